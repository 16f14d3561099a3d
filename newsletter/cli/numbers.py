"""newsletter numbers ...: how lists grow, what came back, why readers leave."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli.common import at_option, console, emit, here, json_option, local, publication_option, table

if TYPE_CHECKING:
    from rich.console import Console

    from newsletter.numbers import Numbers

NAMES = ("growth", "issues", "links", "returns", "domains", "doors", "reasons", "ignored")
"""As in newsletter.numbers, which --help doesn't wait for."""


@click.group()
def numbers() -> None:
    """How lists grow, what came back, why readers leave: show, link.

    Counted from what is kept anyway, and of nobody by name. Opens and clicks only where config.toml has the
    publication measure them (measure_opens, measure_clicks), in sum and with scanners left out.

    \b
    newsletter numbers show                     in the terminal
    newsletter numbers show --html numbers.html a page with plots, in one file
    newsletter numbers show --csv growth        one table as CSV
    newsletter numbers link                     a link to the page, for 30 days
    """


@numbers.command()
@click.option("--issues", "count", type=click.IntRange(2, 260), default=26, show_default=True, help="Look back so far.")
@click.option("--csv", "name", type=click.Choice(NAMES), help="One table as CSV on standard output.")
@click.option(
    "--html", "file", type=click.Path(path_type=Path, dir_okay=False), help="The page with its plots, as one file."
)
@publication_option
@json_option
@at_option
def show(
    count: int, name: str | None, file: Path | None, publication: str | None, as_json: bool, now: dt.datetime
) -> None:
    """The numbers of a publication over its last issues.

    Growth of each list between issues, the deliveries of each issue, what came back and from which domains, by
    which door readers left and what they said, how many visits of programs were ignored. "Sent" means that a
    relay took responsibility for a message; no more is known.

    \b
    newsletter numbers show
    newsletter numbers show --issues 12 --json
    newsletter numbers show --csv reasons > reasons.csv
    newsletter numbers show --html numbers.html
    """
    from newsletter import config
    from newsletter import numbers as counted
    from newsletter.errors import Mistake

    if sum((name is not None, file is not None, as_json)) > 1:
        raise click.UsageError("One of --csv, --html and --json at a time.")
    folder = here()
    slug, settings = folder.publication(publication)
    with folder.reading() as session:
        found = counted.of(session, slug, settings, now, count=count)
    if name is not None:
        from newsletter.web.numbers import csv

        sys.stdout.write(csv(counted.tables(found)[name]))
        return
    if file is not None:
        from newsletter.web.numbers import html

        try:
            file.write_text(html(folder, found), encoding="utf-8")
        except OSError as error:
            raise Mistake(f"it can't be written: {error.strerror}", where=file) from None
        console().print(f"Written to {file}.")
        return
    zone = config.zone(settings.cadence.zone)
    emit(as_json, found, lambda out: _shown(out, found, zone))


@numbers.command()
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How long it works.")
@publication_option
@json_option
@at_option
def link(days: int, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """A link to the page of numbers, for who has no login: whoever has it sees the page until it expires.

    It names no reader. It can't be taken back before that, so give it no more days than are needed.

    \b
    newsletter numbers link
    newsletter numbers link --days 7 -p digest
    """
    from newsletter import config
    from newsletter.tokens import keys
    from newsletter.web.numbers import key

    folder = here()
    slug, settings = folder.publication(publication)
    until = now + dt.timedelta(days=days)
    with folder.session() as session:
        url = f"{folder.config.base_url}/numbers/{key(keys(session, now), slug, until)}"

    def shown(out: Console) -> None:
        out.print(url, soft_wrap=True)
        out.print(f"Until {local(until, config.zone(settings.cadence.zone))}.", style="bright_black")

    emit(as_json, {"publication": slug, "url": url, "until": until}, shown)


def _shown(out: Console, found: Numbers, zone: dt.tzinfo) -> None:
    from newsletter.web.numbers import (
        DOORS,
        came_and_went,
        grown,
        said_of_doors,
        said_of_measures,
        said_of_returns,
    )

    for each in found.growth:
        out.print(f"{each.title}  {grown(each)}", style="bold")
        out.print(came_and_went(each), style="bright_black")
        made = table("Until", "Time", "Joined>", "Left>", "Suppressed>", "Active>")
        for period in reversed(each.periods):
            figures = (period.joined, period.left, period.suppressed, period.active)
            made.add_row(period.label, local(period.until, zone), *(f"{figure:,}" for figure in figures))
        out.print(made)
        out.print()
    if found.issues:
        _issues(out, found, zone)
    out.print(said_of_measures(found), style="bright_black")
    out.print()
    out.print(said_of_returns(found), style="bold")
    if found.domains:
        made = table("Domain", "Hard>", "Soft>", "Policy>", "Complaints>")
        for domain, kinds in found.domains.items():
            made.add_row(domain, *(f"{kinds.get(kind, 0):,}" for kind in ("hard", "soft", "policy", "complaint")))
        out.print(made)
    out.print()
    out.print(said_of_doors(found), style="bold")
    if found.doors:
        made = table("Left by", "Readers>")
        for door, count in found.doors.items():
            made.add_row(DOORS.get(door, door), f"{count:,}")
        out.print(made)
    if found.reasons:
        out.print(f"{len(found.reasons):,} said why: newsletter numbers show --csv reasons", style="bright_black")
    out.print()
    ever = sum(all_ for _, all_ in found.ignored.values())
    out.print(
        f"{ever:,} visits of programs were ignored, {sum(some for some, _ in found.ignored.values()):,} this month."
    )


def _issues(out: Console, found: Numbers, zone: dt.tzinfo) -> None:
    opened = any(each.opened is not None for each in found.issues)
    followed = any(each.followed is not None for each in found.issues)
    made = table(
        "Issue",
        "Time",
        "Due>",
        "Sent>",
        "Failed>",
        "Left>",
        *(("Opened by>",) if opened else ()),
        *(("Clicked by>",) if followed else ()),
    )
    for each in found.issues:
        row = [each.due, each.counts.get("sent", 0), each.counts.get("failed", 0), each.left]
        measured = [pair for pair, on in ((each.opened, opened), (each.followed, followed)) if on]
        made.add_row(
            each.label,
            local(each.at, zone),
            *(f"{figure:,}" for figure in row),
            *("" if pair is None else f"{pair[1]:,}" for pair in measured),
        )
    out.print(made)
