"""newsletter status: what is going on, what waits and why, what comes next, and what to type about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from newsletter.cli.common import (
    SHAPES,
    at_option,
    emit,
    here,
    json_option,
    length,
    local,
    plural,
    publication_option,
    state,
    table,
)
from newsletter.cli.to_do import SOON, ToDo, to_do

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from newsletter.standing import Going, Next, Past, Queue, Standing
    from newsletter.waits import Wait

WIDEST = 120
"""Columns that are used at most: longer lines are hard to follow."""
SLIMMEST = 76
"""Columns under which the last issues are told without what is uncertain and skipped."""


@click.command()
@publication_option
@json_option
@at_option
def status(publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """What is going on, what waits and why, what comes next.

    For each publication of the folder: what is being sent, the next issue with its clocks and its audience, all
    that waits (why, since when, when it is next looked at), the last issues, and what to type where a person is
    needed. Times are the wall clock of the publication's zone. "Sent" means that a relay took responsibility for
    a message; no more is known. Nothing is changed by looking.

    \b
    newsletter status
    newsletter status -p digest --json
    newsletter status --at "2023-11-14 08:55"    as it will stand then, if nothing is done
    """
    from newsletter import standing, waits

    folder = here()
    chosen = dict([folder.publication(publication)]) if publication else folder.config.publications
    with folder.reading() as session:
        found = [standing.of(session, slug, each, now) for slug, each in chosen.items()]
        relays = waits.relays(session, [relay.name for relay in folder.config.relays])
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
            _waits(out, "All wait for", relays, found[0])

    emit(
        as_json,
        {
            "now": now,
            "publications": [{"standing": each, "to_do": to_do(each, several=several)} for each in found],
            "relays": relays,
        },
        shown,
    )


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
    _next(out, found)
    out.print()
    _waits(out, "Waits", [*found.waits, *relays], found)
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
    return [rate, Text(left, "bright_black")] if each.senders else ["", Text("no sender", "red")]


def _next(out: Console, found: Standing) -> None:
    each, zone, slim = found.next, _zone(found), narrow(out)
    columns: list[str | tuple[str, dict[str, object]]] = [
        ("Next issue", {"min_width": 16, "no_wrap": True}),
        ("When", {"min_width": 14, "no_wrap": True}),
        ("In>", {"min_width": 11}),
    ]
    made = table(*columns, ("", {"ratio": 1}), expand=True)

    def row(
        name: RenderableType, when: RenderableType, until: dt.datetime | None, note: Text, *, late: bool = False
    ) -> None:
        away = Text()
        if until is not None:
            ahead = until - found.now
            ago = Text(f"{length(-ahead)} ago", "bold red" if late else "bright_black")
            away = Text(length(ahead)) if ahead > dt.timedelta() else ago
        made.add_row(name, when, away, Text() if slim else Padding(note, (0, 0, 0, 2)))

    stands = state(each.state or "open")
    row(Text(each.name, "bold"), stands, None, _stories(each, found.now))
    late = None if each.overdue is None else each.overdue.value
    row(
        "copy deadline",
        local(each.deadline, zone, now=found.now),
        each.deadline,
        _deadline(each),
        late=late == "unassembled",
    )
    if each.approval.value != "manual":
        row("approve by", local(each.approve_by, zone, now=found.now), each.approve_by, _approval(each))
    row("sends", local(each.sends, zone, now=found.now), each.sends, _audience(each), late=late == "unsent")
    if found.following is not None:
        then = found.following
        made.add_row()
        row(Text(then.name, "bold"), state(then.state or "open"), None, _stories(then, found.now))
        note = _deadline(then) if then.held_in or then.reopened else Text("it takes drafts until then")
        row("copy deadline", local(then.deadline, zone, now=found.now), then.deadline, note)
    out.print(made)
    if slim:
        # What the last column would have said, and nothing else does.
        out.print()
        out.print(Text.assemble(_capital(_stories(each, found.now)), ". ", _capital(_audience(each)), "."))


def _stories(each: Next, now: dt.datetime) -> Text:
    if each.stories is not None:
        return Text(f"{plural(each.stories, 'story', 'stories')}, frozen")
    assert each.queue is not None
    return _queue(each.queue, soon=each.deadline - now < SOON)


def _queue(queue: Queue, *, soon: bool) -> Text:
    if not queue.ready and not queue.writing:
        return Text(f"no drafts yet; it needs {queue.least}")
    said = Text(f"{queue.ready:,} ready", "yellow" if soon and queue.ready < queue.least else "")
    if queue.ready < queue.least:
        said.append(f", it needs {queue.least}")
    if queue.carried:
        them = "all" if queue.carried == queue.ready else f"{_number(queue.carried)} of them"
        said.append(f", {them} carried over")
    if queue.over:
        said.append(f", {_number(queue.over)} more than it takes")
    if queue.writing:
        said.append(f"; {queue.writing:,} in writing")
    return said


def _deadline(each: Next) -> Text:
    if not each.unassembled:
        return Text("assembled, the number is given", "bright_black")
    if each.reopened:
        return Text("reopened: it waits to be assembled again", "yellow")
    if each.held_in is not None:
        return Text("held: see below", "yellow")
    return Text("ready drafts are frozen, the number is given")


def _approval(each: Next) -> Text:
    if each.approved_by:
        return Text(f"approved by {each.approved_by}", "green")
    if each.state is not None and each.state.value == "approved":
        return Text("approved: nobody held it", "green")
    if each.state is not None and each.state.value == "held" and not each.unassembled:
        return Text("held: see below", "yellow")
    return Text("else it is held" if each.approval.value == "approve" else "it goes unless someone holds it")


def _audience(each: Next) -> Text:
    by_hand = "by hand: " if each.approval.value == "manual" else ""
    if each.audience is None:
        return Text(f"{by_hand}{each.no_audience}", "yellow")
    if not each.audience.candidates:
        return Text(f"{by_hand}nobody is on its lists yet", "yellow")
    due = f"{each.audience.due:,} due of {plural(each.audience.candidates, 'candidate')}"
    return Text(by_hand + due, "" if each.audience.due else "yellow")


def _waits(out: Console, head: str, waits: Sequence[Wait], found: Standing) -> None:
    if not waits:
        out.print(Text.assemble(("✓", "green"), " Nothing waits."))
        return
    slim, zone = narrow(out), _zone(found)
    made = table(
        (head, {"min_width": 20, "no_wrap": True}),
        ("Since", {"no_wrap": True}),
        ("Why", {"ratio": 1}),
        *([] if slim else [("Next look", {"min_width": 21})]),
        expand=True,
    )
    expected = {one.label: one.number for one in (found.next, found.following) if one is not None}
    for each in waits:
        shape, colour = SHAPES[each.state]
        why = f"{each.held_by}: {each.why}" if each.held_by else each.why
        made.add_row(
            Text(f"{shape} {_what(each, expected)}", colour),
            _since(each, found),
            Text(why),
            *([] if slim else [local(each.next_look, zone, now=found.now) or _decides(each)]),
        )
    out.print(made)


def _what(each: Wait, expected: dict[str, str | None]) -> str:
    """What it is that waits; an issue goes by the number it would get, while it has none."""
    of = f" of {each.label}" if each.label else ""
    return {
        "issue": f"issue {expected.get(each.label) or each.label}",
        "deferred": plural(each.count, "delivery", "deliveries") + of,
        "uncertain": plural(each.count, "delivery", "deliveries") + of,
        "relay": f"relay {each.label}",
        "subscription": plural(each.count, "subscription"),
        "notice": f"{plural(each.count, 'mail')} to the editors",
    }[each.kind.value]


def _decides(each: Wait) -> str:
    """Who or what looks next, where that isn't a time."""
    if each.kind.value == "issue":
        if each.state == "open":
            return "when you assemble it"
        return "when you resume it" if each.held_by or each.state == "paused" else "when you decide"
    return {
        "uncertain": "when you resolve them" if each.count > 1 else "when you resolve it",
        "subscription": "when they confirm" if each.count > 1 else "when it is confirmed",
        "notice": "by newsletter run",
    }.get(each.kind.value, "")


def _since(each: Wait, found: Standing) -> str:
    """One moment, or the days of the first and the last: "today 14:31", "Nov 9 to 13", "Oct 28 to Nov 2"."""
    zone = _zone(found)
    first, last = each.since.astimezone(zone).date(), each.until.astimezone(zone).date()
    if first == last:
        return local(each.since, zone, now=found.now)
    year = "" if first.year == last.year == found.now.astimezone(zone).year else f", {first.year}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%b} {first.day} to {last.day}{year}"
    return f"{first:%b} {first.day}{year} to {last:%b} {last.day}" + (f", {last.year}" if year else "")


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


def _capital(text: Text) -> Text:
    return Text(text.plain[:1].upper() + text.plain[1:], text.style)


def _number(count: int) -> str:
    return "one" if count == 1 else f"{count:,}"


def _zone(found: Standing) -> dt.tzinfo:
    from newsletter import config

    return config.zone(found.zone)
