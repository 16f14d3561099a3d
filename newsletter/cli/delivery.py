"""newsletter delivery: the log of deliveries, read. What a person decides about it is in delivery_decisions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from newsletter.cli.common import (
    SHAPES,
    at_option,
    emit,
    here,
    json_option,
    local,
    plural,
    publication_option,
    state,
    table,
)
from newsletter.cli.delivery_decisions import domain_option, issue_argument, reply_option, resolve, retry

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from newsletter.delivery_log import Entry, Sums
    from newsletter.models import Issue

STATES = ("queued", "submitting", "sent", "deferred", "failed", "uncertain", "skipped")


@click.group()
def delivery() -> None:
    """The log of deliveries: one for each reader of each issue, with what the relay said.

    ISSUE is a volume and number (2.21), a number alone (21), or a date of the calendar. "Sent" means that a relay
    took it: what becomes of a message behind the relay is not known here.

    \b
    newsletter delivery list 2.21                        how it adds up, and what is in trouble
    newsletter delivery show 2.21 ada@example.org        every attempt, in the server's own words
    newsletter delivery export 2.21 --output log.csv     all of it
    newsletter delivery retry 2.21                       what failed is tried again
    newsletter delivery resolve 2.21                     what is uncertain, by name
    """


delivery.add_command(retry)
delivery.add_command(resolve)


@delivery.command("list")
@issue_argument
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; may be repeated."
)
@click.option(
    "--search", "-s", default="", metavar="TEXT", help="Only with this in the address, the name or the reply."
)
@domain_option
@reply_option
@click.option("-n", "limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@publication_option
@json_option
@at_option
def list_(
    which: str,
    states: tuple[str, ...],
    search: str,
    domain: str,
    reply: str,
    limit: int,
    publication: str | None,
    as_json: bool,
    now: dt.datetime,
) -> None:
    """An issue's deliveries: how they add up, those in trouble, newest first, then the others by reader.

    \b
    newsletter delivery list 2.21
    newsletter delivery list 2.21 --state failed --state uncertain
    newsletter delivery list 2.21 --domain example.org --json -n 1000
    """
    from newsletter import config, delivery_log, issues, waits
    from newsletter.states import DeliveryState

    folder = here()
    slug, settings = folder.publication(publication)
    zone = config.zone(settings.cadence.zone)
    wanted = delivery_log.Which(
        states=tuple(DeliveryState(word) for word in states),
        search=search,
        reply=reply,
        domain=delivery_log.domain_key(domain) if domain else "",
    )
    with folder.reading() as session:
        issue = delivery_log.started(issues.find(session, slug, which))
        found = delivery_log.sums(session, issue)
        lines = delivery_log.lines(session, issue.id, wanted, limit)
        matching = sum(delivery_log.tally(session, issue.id, wanted).values())
    more, label = matching - len(lines), waits.label(issue)

    def shown(out: Console) -> None:
        out.print(Text.assemble((issues.name(issue), "bold"), "  ", state(issue.state)))
        _adds_up(out, found)
        out.print()
        if not lines:
            out.print("No delivery matches that.")
            return
        narrow = out.is_terminal and out.width < NARROW
        fixed, said_last = {"no_wrap": True}, ("It said last", {"ratio": 3, "no_wrap": True})
        made = table(
            ("State", {"min_width": 12, **fixed}),
            ("Reader", {"ratio": 2, "min_width": 16, **fixed}),
            ("Since", fixed),
            "Tries>",
            ("Relay", fixed),
            *([] if narrow else [said_last]),
            expand=True,
        )
        for line in lines:
            said = Text(line.reply or "", "bright_black", overflow="ellipsis", no_wrap=True)
            made.add_row(
                state(line.state),
                Text(line.reader, overflow="ellipsis"),
                local(line.since, zone, now=now),
                str(line.tries),
                line.relay or "",
                *([] if narrow else [said]),
            )
        out.print(made)
        if more:
            out.print()
            out.print(
                Text(f"{more:,} more: -n {matching} shows all, newsletter delivery export {label} writes a file.")
            )

    emit(
        as_json,
        {
            "issue": label,
            "publication": slug,
            "state": issue.state.value,
            "candidates": found.candidates,
            "excluded": found.excluded,
            "due": found.due,
            "states": {word: found.states.get(DeliveryState(word), 0) for word in STATES},
            "matching": matching,
            "more": more,
            "deliveries": lines,
        },
        shown,
    )


NARROW = 90
"""Columns under which the last column of the table is left out."""


def _adds_up(out: Console, found: Sums) -> None:
    left_out = "".join(f" + {count:,} {reason}" for reason, count in found.excluded.items())
    out.print(f"{plural(found.candidates, 'candidate')} = {found.due:,} due{left_out}")
    order = ("sent", "deferred", "failed", "uncertain", "skipped", "queued", "submitting")
    counts = {each.value: count for each, count in found.states.items()}
    parts = [Text(f"{counts[word]:,} {word}", SHAPES[word][1]) for word in order if word in counts]
    out.print(Text.assemble(f"{found.due:,} due = ", Text(" + ").join(parts) if parts else "0"))
    out.print(Text("Sent: a relay took it; no more is known.", "bright_black"))


@delivery.command()
@issue_argument
@click.argument("who", metavar="ADDRESS|NUMBER")
@publication_option
@json_option
@at_option
def show(which: str, who: str, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """One reader's copy of an issue: each attempt in order, in the server's own words.

    The Message-ID is in the relay's log, if the relay took the message.

    \b
    newsletter delivery show 2.21 ada@example.org
    newsletter delivery show 2.21 17 --json
    """
    from newsletter import config, delivery_log, issues, waits

    folder = here()
    slug, settings = folder.publication(publication)
    zone = config.zone(settings.cadence.zone)
    with folder.reading() as session:
        issue = delivery_log.started(issues.find(session, slug, which))
        found = delivery_log.history(session, settings, issue, who, now)
    line = found.line

    def shown(out: Console) -> None:
        out.print(Text.assemble((line.reader, "bold"), f"  {line.name}  " if line.name else "  ", state(line.state)))
        out.print(Text(f"{issues.name(issue)} of {settings.title}, times in {zone.key}", "bright_black"))
        out.print(Text(f"Message-ID {found.message_id}", "bright_black"), soft_wrap=True)
        out.print()
        once = {"no_wrap": True}
        made = table(("When", once), ("State", once), ("Relay", once), ("It said", {"ratio": 1}), expand=True)
        for each in found.tries:
            made.add_row(local(each.at, zone, now=now), state(each.state), each.relay or "", Text(each.reply or ""))
        out.print(made)
        if next_look := local(found.tries[-1].next_look, zone, now=now) or found.waits_for:
            out.print()
            out.print(f"Next look: {next_look}", soft_wrap=True)
        if line.state.value == "sent":
            out.print()
            out.print(Text("Sent: a relay took it; no more is known.", "bright_black"))

    emit(
        as_json,
        {
            "issue": waits.label(issue),
            "publication": slug,
            "subscriber": line.subscriber,
            "address": line.address,
            "name": line.name,
            "state": line.state.value,
            "tries": line.tries,
            "message_id": found.message_id,
            "waits_for": found.waits_for,
            "attempts": found.tries,
        },
        shown,
    )


@delivery.command()
@click.argument("which", metavar="ISSUE|--all", required=False)
@click.option("--all", "everything", is_flag=True, help="Every issue that was ever sent.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A file that isn't there yet.  [default: standard output]",
)
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@publication_option
@at_option
def export(
    which: str | None, everything: bool, output: Path | None, kind: str, publication: str | None, now: dt.datetime
) -> None:
    """Write the whole log: a line for each attempt, and one for how each delivery stands (`last`).

    As CSV, in which no spreadsheet takes a cell for a formula, or as JSON lines. An issue that is being sent is
    written as it was at one moment.

    \b
    newsletter delivery export 2.21 --output deliveries.csv
    newsletter delivery export --all --format jsonl > log.jsonl
    """
    from newsletter import delivery_log, issues
    from newsletter.cli.new_file import text_out
    from newsletter.cli.progress import progress
    from newsletter.errors import DeliveryMistake

    if (which is None) != everything:
        raise click.UsageError("Say which: ISSUE, or --all.")
    folder = here()
    slugs = [folder.publication(publication)[0]] if publication or which else [*folder.config.publications]
    with folder.reading() as session:
        chosen: list[Issue] = []
        for slug in slugs:
            if which is not None:
                chosen.append(delivery_log.started(issues.find(session, slug, which)))
            else:
                chosen += [each for each in reversed(issues.listing(session, slug)) if each.started is not None]
        if not chosen:
            raise DeliveryMistake("no issue has been sent yet", remedy="There is nothing to write.")
        total = sum(delivery_log.size(session, each.id) for each in chosen)
        with text_out(output, DeliveryMistake) as out, progress("deliveries", total) as advance:
            log = _counted(session, folder.config.publications, chosen, now, advance)
            count = (delivery_log.export_csv if kind == "csv" else delivery_log.export_jsonl)(log, out)
    if output:
        click.echo(f"{plural(count, 'line')} in {output}.", err=True)


def _counted(
    session: Session, publications: Any, chosen: list[Issue], now: dt.datetime, advance: Any
) -> Iterator[Entry]:
    from newsletter import delivery_log

    count = 0
    for each in chosen:
        for entry in delivery_log.entries(session, publications[each.publication], each, now):
            yield entry
            count += 1
            if count % 1000 == 0:
                advance(1000)
    advance(count % 1000)
