"""What waits, as newsletter status shows it: what, since when, why, and who or what looks next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from newsletter.cli.common import SHAPES, local, plural, table

if TYPE_CHECKING:
    from rich.console import Console

    from newsletter.standing import Standing
    from newsletter.waits import Wait


def show(out: Console, head: str, waits: Sequence[Wait], found: Standing, *, narrow: bool) -> None:
    """What waits, a line each; or that nothing does."""
    if not waits:
        out.print(Text.assemble(("✓", "green"), " Nothing waits."))
        return
    slim, zone = narrow, _zone(found)
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
        "pace": f"domain {each.label}",
        "subscription": plural(each.count, "subscription"),
        "notice": f"{plural(each.count, 'mail')} to the editors",
        "letter": f"{plural(each.count, 'letter')} to readers",
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
        "letter": "by newsletter run",
        "pace": "with every message",
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


def _zone(found: Standing) -> dt.tzinfo:
    from newsletter import config

    return config.zone(found.zone)
