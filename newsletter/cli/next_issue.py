"""The next issue, as newsletter status shows it: when it closes and goes, and what it would hold."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from newsletter.cli.common import length, local, plural, state, table
from newsletter.cli.to_do import SOON

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from newsletter.standing import Next, Queue, Standing


def show(out: Console, found: Standing, *, narrow: bool) -> None:
    """Its clocks, its stories and its audience, and under it the issue that takes drafts meanwhile."""
    from newsletter import config

    each, zone, slim = found.next, config.zone(found.zone), narrow
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
    due += f", segment {each.segment}" if each.segment else ""
    return Text(by_hand + due, "" if each.audience.due else "yellow")


def _capital(text: Text) -> Text:
    return Text(text.plain[:1].upper() + text.plain[1:], text.style)


def _number(count: int) -> str:
    return "one" if count == 1 else f"{count:,}"
