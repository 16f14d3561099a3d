"""newsletter calendar: the next issues, their clocks and numbers."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.common import (
    at_option,
    emit,
    here,
    json_option,
    length,
    publication_option,
    state,
    table,
)

if TYPE_CHECKING:
    from rich.console import Console

    from newsletter.config import Publication
    from newsletter.issues.outlook import Ahead, Skipped


@click.command()
@click.option("-n", "count", type=click.IntRange(1, 500), default=6, show_default=True, help="How many.")
@publication_option
@json_option
@at_option
def calendar(count: int, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """The next issues: number, copy deadline, time of approval, time of sending.

    Times are the wall clock of the publication's zone. Numbers are those that the issues will get if
    each of them appears. Nothing is changed by looking.

    \b
    newsletter calendar                    the next six
    newsletter calendar -n 26              a year of a bi-weekly
    newsletter calendar --at 2024-03-01    as it will look in March
    """
    from newsletter.issues.outlook import outlook

    folder = here()
    chosen = dict([folder.publication(publication)]) if publication else folder.config.publications
    with folder.reading() as session:
        ahead = {slug: outlook(session, slug, each, now, count) for slug, each in chosen.items()}

    def shown(out: Console) -> None:
        for place, (slug, each) in enumerate(chosen.items()):
            if place:
                out.print()
            _show(out, each, ahead[slug], now)

    emit(as_json, [_row(slug, each, row) for slug, each in chosen.items() for row in ahead[slug]], shown)


def _show(out: Console, publication: Publication, rows: list[Ahead | Skipped], now: dt.datetime) -> None:
    from rich.text import Text

    from newsletter import config
    from newsletter.issues.outlook import Skipped

    zone = config.zone(publication.cadence.zone)
    rhythm = f"  every {publication.cadence.every}, times in {zone.key}"
    out.print(Text.assemble((publication.title, "bold"), (rhythm, "bright_black")))
    out.print()
    whole = {"no_wrap": True}
    shown = table("Issue", ("Copy deadline", whole), ("Approve by", whole), ("Sends", whole), "In>", "")
    year = now.astimezone(zone).year
    for row in rows:
        if isinstance(row, Skipped):
            what = "no issue" if row.needed else "skipped, but no date of the calendar"
            shown.add_row(
                Text("–", "bright_black"),
                "",
                "",
                Text(day(row.slot, year), "bright_black"),
                "",
                Text(f"skipped: {what}" if row.needed else what, "bright_black"),
            )
            continue
        notes = [Text("extra")] if row.extra else []
        if row.state is not None:
            notes.insert(0, state(row.state))
        if row.shift is not None:
            notes.append(Text(f"clocks {_hours(row.shift)}", "bright_black"))
        shown.add_row(
            Text("number by hand", "yellow") if row.number is None else Text(row.number.long, "bold"),
            moment(row.deadline, zone),
            moment(row.approve_by, zone),
            moment(row.sends, zone, year),
            length(row.sends - now) if row.sends > now else "now",
            Text(", ").join(notes),
        )
        year = row.sends.astimezone(zone).year
    out.print(shown)


def moment(instant: dt.datetime, zone: dt.tzinfo, year: int | None = None) -> str:
    """A moment on the publication's clock: "Tue Nov 14 09:00", and its year unless it is this one."""
    wall = instant.astimezone(zone)
    return f"{day(wall.date(), year)} {wall:%H:%M}"


def day(date: dt.date, year: int | None = None) -> str:
    """A date with its weekday, and its year unless it is this one."""
    return f"{date:%a %b} {date.day}{'' if year in (None, date.year) else f', {date.year}'}"


def _hours(shift: dt.timedelta) -> str:
    """How clocks were changed: "forward 1 h", "back 30 min"."""
    return f"{'forward' if shift > dt.timedelta() else 'back'} {length(abs(shift))}"


def _row(slug: str, publication: Publication, row: Ahead | Skipped) -> dict[str, Any]:
    from newsletter import config
    from newsletter.issues.outlook import Skipped

    if isinstance(row, Skipped):
        return {"publication": slug, "slot": row.slot, "skipped": True, "needed": row.needed}
    zone = config.zone(publication.cadence.zone)
    return {
        "publication": slug,
        "slot": row.slot,
        "skipped": False,
        "extra": row.extra,
        "label": None if row.number is None else str(row.number),
        "volume": None if row.number is None else row.number.volume,
        "number": None if row.number is None else row.number.number,
        "through": None if row.number is None else row.number.through,
        "state": None if row.state is None else row.state.value,
        "deadline": row.deadline.astimezone(zone),
        "approve_by": row.approve_by.astimezone(zone),
        "sends": row.sends.astimezone(zone),
        "zone": zone.key,
        "clocks_changed_by": None if row.shift is None else int(row.shift.total_seconds()),
    }
