"""newsletter status: what is going on, what waits and why, what comes next, and what to type about it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from newsletter.cli import next_issue, waiting
from newsletter.cli.common import (
    SHAPES,
    at_option,
    console,
    emit,
    here,
    json_option,
    length,
    publication_option,
    table,
)
from newsletter.cli.to_do import ToDo, to_do

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from newsletter.config import Publication
    from newsletter.folder import Folder
    from newsletter.standing import Going, Past, Standing
    from newsletter.waits import Wait

WIDEST = 120
"""Columns that are used at most: longer lines are hard to follow."""
SLIMMEST = 76
"""Columns under which the last issues are told without what is uncertain and skipped."""


@click.command()
@publication_option
@json_option
@click.option("--watch", "watching", is_flag=True, help="Look on while issues are being sent, until none is.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="With --watch: between two looks.  [default: 1; 10 where it is not a terminal]",
)
@at_option
def status(publication: str | None, as_json: bool, watching: bool, every: float | None, now: dt.datetime) -> None:
    """What is going on, what waits and why, what comes next.

    For each publication of the folder: what is being sent, the next issue with its clocks and its audience, all
    that waits (why, since when, when it is next looked at), the last issues, and what to type where a person is
    needed. Times are the wall clock of the publication's zone. "Sent" means that a relay took responsibility for
    a message; no more is known. Nothing is changed by looking.

    With --watch what is being sent is followed until nothing is: how far it is, how fast, who sends it, what each
    domain answers, what is deferred and why. It reads the ledger, so it shows every sender on every host. In a
    terminal it is drawn in place; elsewhere it is a line for each issue, with --json one object a line. Ctrl-C
    ends it with exit code 130, and the sending goes on.

    \b
    newsletter status
    newsletter status --watch
    newsletter status --watch --json --every 60 >> sending.jsonl
    newsletter status -p digest --json
    newsletter status --at "2023-11-14 08:55"    as it will stand then, if nothing is done
    """
    from newsletter import standing, waits

    if every is not None and not watching:
        raise click.UsageError("--every goes with --watch.")
    folder = here()
    chosen = dict([folder.publication(publication)]) if publication else folder.config.publications
    if watching:
        _watch(folder, chosen, now, as_json=as_json, every=every)
        return
    with folder.reading() as session:
        found = [standing.of(session, folder.config, slug, now) for slug in chosen]
        relays = waits.relays(session, [relay.name for relay in folder.config.relays]) + waits.paces(session)
    several = len(folder.config.publications) > 1

    def shown(out: Console) -> None:
        for place, each in enumerate(found):
            if place:
                out.print()
                out.print()
            show(out, each, relays if len(found) == 1 else [], several=several)
        if relays and len(found) > 1:
            out.print()
            out.print()
            waiting.show(out, "All wait for", relays, found[0], narrow=narrow(out))

    emit(
        as_json,
        {
            "now": now,
            "publications": [{"standing": each, "to_do": to_do(each, several=several)} for each in found],
            "relays": relays,
        },
        shown,
    )


def _watch(
    folder: Folder, chosen: Mapping[str, Publication], now: dt.datetime, *, as_json: bool, every: float | None
) -> None:
    from newsletter.cli import watch
    from newsletter.cli.work import clock_from

    context = click.get_current_context()
    asked = context.get_parameter_source("now") is click.core.ParameterSource.COMMANDLINE
    look = watch.Looker(folder, chosen, clock_from(now if asked else None), time.monotonic)
    try:
        watch.watch(look, chosen, console(), as_json=as_json, every=every)
    except KeyboardInterrupt:
        # Without a word: "Stopped." would be said of the view, and read of the sending.
        context.exit(130)


def show(out: Console, found: Standing, relays: Sequence[Wait] = (), *, several: bool = False) -> None:
    """One publication, as a person reads it. With several in the folder, what is to be typed names it."""
    out.width = min(out.width, WIDEST)
    needed = to_do(found, several=several)
    _head(out, found)
    out.print()
    if loud := [each for each in needed if each.loud]:
        _to_do(out, loud)
        out.print()
    if found.going:
        _going(out, found)
        out.print()
    next_issue.show(out, found, narrow=narrow(out))
    out.print()
    waiting.show(out, "Waits", [*found.waits, *relays], found, narrow=narrow(out))
    out.print()
    _last(out, found)
    if quiet := [each for each in needed if not each.loud]:
        out.print()
        _to_do(out, quiet)


def narrow(out: Console) -> bool:
    """Whether the last column of each table is left out."""
    from newsletter.cli.sending import NARROW

    return out.width < NARROW


def _to_do(out: Console, needed: Sequence[ToDo]) -> None:
    for each in needed:
        shape, colour = ("✗", "red") if each.loud else SHAPES[each.state]
        line = Text.assemble((shape, colour), " ", (each.what, "bold red" if each.loud else ""))
        typed = Text(" or ").join(Text(command, "blue") for command in each.commands)
        typed.append(f" {each.after}".rstrip())
        # A command is not broken over two lines where the next one holds it.
        if not each.commands or line.cell_len + 1 + typed.cell_len <= out.width:
            out.print(line.append(" " if each.commands else "").append_text(typed))
        else:
            out.print(line)
            out.print(Padding(typed, (0, 0, 0, 2)))


# ---- the parts, from the top


def _head(out: Console, found: Standing) -> None:
    wall = found.now.astimezone(_zone(found))
    title = Text(found.title, "bold")
    city = found.zone.rpartition("/")[2].replace("_", " ")
    moment = Text(f"{wall:%A}, {wall:%B} {wall.day}, {wall.year}, {wall:%H:%M}, {city}", "bright_black")
    if title.cell_len + moment.cell_len + 2 > out.width:
        out.print(title)
        out.print(moment)
        return
    head = Table.grid(expand=True)
    head.add_column()
    head.add_column(justify="right")
    head.add_row(title, moment)
    out.print(head)


def _going(out: Console, found: Standing) -> None:
    from newsletter.cli.sending import bar, coloured, left_of, rate_of

    made = table(
        ("Being sent", {"min_width": 16, "no_wrap": True, **({} if out.is_terminal else {"ratio": 1})}),
        *([("", {"ratio": 1})] if out.is_terminal else []),
        "Done>",
        "Rate>",
        "Left>",
        *([] if narrow(out) else ["Deferred>", "Failed>", "Uncertain>"]),
        expand=True,
    )
    for each in found.going:
        shape, colour = SHAPES[each.state.value]
        row: list[RenderableType] = [Text.assemble((shape, colour), " ", (each.name, "bold"))]
        row += [bar(each.due, each.done, colour=colour)] if out.is_terminal else []
        row.append(f"{each.done:,} of {each.due:,}")
        row += _pace(each, rate_of(each.rate), left_of(each.left))
        if not narrow(out):
            row += [coloured(each.counts.get(word, 0), word) for word in ("deferred", "failed", "uncertain")]
        made.add_row(*row)
    out.print(made)


def _pace(each: Going, rate: str, left: str) -> list[RenderableType]:
    untried = each.counts.get("queued", 0) + each.counts.get("submitting", 0)
    if each.state.value == "paused":
        return ["", Text("paused", "yellow")]
    if not untried:
        return ["", Text("retries", "yellow")]
    if each.waits:
        return ["", Text("waits", "yellow")]
    return [rate, Text(left, "bright_black")] if each.senders else ["", Text("no sender", "red")]


def _last(out: Console, found: Standing) -> None:
    if not found.last:
        out.print(Text("No issue has gone out yet; the last three will be listed here.", "bright_black"))
        return
    made = table(
        ("Last issues", {"min_width": 16, "no_wrap": True}),
        ("Sent on", {"ratio": 1, "no_wrap": True}),
        "Due>",
        "Sent>",
        "Failed>",
        "Uncertain>",
        "Skipped>",
        "Took>",
        expand=True,
    )
    for each in found.last:
        made.add_row(*_past(each, found), _took(each))
    # No figure is ever cut short: the last columns go.
    del made.columns[5 if out.width < SLIMMEST else 7 if narrow(out) else 8 :]
    out.print(made)


def _past(each: Past, found: Standing) -> list[RenderableType]:
    from newsletter.cli.sending import coloured

    wall = (each.started or each.finished).astimezone(_zone(found))
    year = "" if wall.year == found.now.astimezone(_zone(found)).year else f", {wall.year}"
    called = Text(each.name)
    if each.state.value == "cancelled":
        called.append(", cancelled", "red")
    return [
        called,
        f"{wall:%b} {wall.day}{year}",
        f"{each.due:,}",
        f"{each.counts.get('sent', 0):,}",
        f"{each.counts.get('failed', 0):,}",
        coloured(each.counts.get("uncertain", 0), "uncertain"),
        f"{each.counts.get('skipped', 0):,}",
    ]


def _took(each: Past) -> str:
    return "" if each.took is None else length(dt.timedelta(seconds=each.took))


def _zone(found: Standing) -> dt.tzinfo:
    from newsletter import config

    return config.zone(found.zone)
