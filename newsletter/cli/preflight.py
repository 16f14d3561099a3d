"""newsletter issue preflight: what would go wrong in readers' inboxes, found before it does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.common import (
    at_option,
    console,
    emit,
    here,
    json_option,
    plural,
    print_json,
    publication_option,
    table,
)
from newsletter.cli.issue import issue_argument

if TYPE_CHECKING:
    from rich.table import Table

    from newsletter.preflight import Finding
    from newsletter.preflight_rules import Level

MARKS = {"error": ("✗ error", "red"), "warning": ("◷ warning", "yellow"), "note": ("· note", "bright_black")}


@click.command()
@issue_argument
@click.option("--network", is_flag=True, help="Also follow each link, to see which are dead.")
@click.option("--rules", is_flag=True, help="Look at no issue; list what preflight looks for.")
@publication_option
@json_option
@at_option
def preflight(which: str, network: bool, rules: bool, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """What would go wrong in readers' inboxes, and what to do about it. Exit code 2 where an error holds the issue.

    One that still takes drafts is looked at as it would go now; nothing is kept of that. The same is looked at when an
    issue is assembled, and before it is sent.

    JSON has the issue, its label and subject, counts by level, whether links were followed (network), the rules that
    are switched off with their reasons (off), and findings: each with rule, level, what, why, remedy, and as far as it
    has one story (its place in the issue), headline, where (the file, or the part of the issue) and line.

    \b
    newsletter issue preflight                 the next one
    newsletter issue preflight 2.21 --network  and follow its links, 40 s at most
    newsletter issue preflight --rules         all rules; what is switched off
    newsletter issue preflight --json          for machines
    """
    from newsletter import preflight as steps

    folder = here()
    slug, settings = folder.publication(publication)
    if rules:
        _rules(settings.preflight, as_json=as_json)
        return
    looked = steps.of(folder, slug, which, now)
    follow = network or settings.follow_links
    out = console()
    if out.is_terminal and not as_json:
        with out.status("following its links" if follow else "looking"):
            known = steps.asked(looked.known, network=follow, off=looked.off)
    else:
        known = steps.asked(looked.known, network=follow, off=looked.off)
    found = steps.findings(known, looked.off)
    counts = {level.value: sum(each.level is level for each in found) for level in steps.Level}
    if as_json:
        row = {"issue": looked.name, "label": looked.label, "subject": known.edition.subject, "counts": counts}
        print_json(row | {"network": follow, "findings": found, "off": looked.off})
    else:
        from rich.text import Text

        out.print(Text.assemble((looked.name, "bold"), f"  {steps.in_words(found)}"))
        out.print(Text(known.edition.subject, "bright_black"))
        if found:
            out.print()
            out.print(findings_table(found))
        if looked.off:
            out.print()
            out.print(Text("Switched off in config.toml", "bright_black"))
            for name, reason in looked.off.items():
                out.print(Text.assemble(f"{name}: ", (reason, "bright_black")))
    click.get_current_context().exit(2 if counts["error"] else 0)


def findings_table(found: Iterable[Finding]) -> Table:
    """Findings as people read them: how bad, where, what, why it matters, and the remedy."""
    from rich.text import Text

    from newsletter.preflight.finding import capital

    shown = table("", ("Where", {"max_width": 32}), "What it is, why it matters, and what to do")
    for finding in found:
        if shown.row_count:
            shown.add_row()
        word, colour = MARKS[finding.level.value]
        place = Text(capital(finding.place).replace(", ", "\n", 1 if finding.story is not None else 0))
        if finding.headline:
            place.append(f"\n{_cut(finding.headline, 60)}", "bright_black")
        said = Text(f"{capital(finding.what)}.")
        said.append(f"\n{finding.why}", "bright_black")
        said.append(f"\n{finding.remedy}", "bold")
        said.append(f"  {finding.rule}", "bright_black")
        shown.add_row(Text(word, colour), place, said)
    return shown


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def summary(found: Iterable[Finding], label: str) -> list[str]:
    """Findings in lines: how many of each level, and the errors; for where they are told beside other things."""
    from newsletter import preflight as steps

    found = list(found)
    lines = [f"Preflight: {steps.in_words(found)}."]
    lines += [f"✗ {finding.sentence}" for finding in steps.errors(found)]
    if found:
        lines.append(f"newsletter issue preflight {label} says more.")
    return lines


def _rules(off: Mapping[str, str], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from newsletter.preflight_rules import RULES

    def level(of: Level) -> Text:
        return Text(*MARKS[of.value])

    def shown(out: Console) -> None:
        made = table("Rule", "Level", "Finds that")
        for name, rule in RULES.items():
            said = Text(rule.finds)
            if name in off:
                said.append(f"\nswitched off: {off[name]}", "yellow")
            made.add_row(name, level(rule.level), said)
        out.print(made)
        out.print()
        out.print(f"{plural(len(RULES), 'rule')}; {len(off) or 'none'} switched off.")

    rows: list[dict[str, Any]] = [
        {"rule": name, "level": rule.level, "finds": rule.finds, "why": rule.why, "off": off.get(name)}
        for name, rule in RULES.items()
    ]
    emit(as_json, rows, shown)
