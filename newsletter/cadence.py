"""When an issue closes and goes: pure dates, no clock of its own.

The dates come from APScheduler's CalendarIntervalTrigger; the wall clock is put on them here, because the
trigger (3.11, read and tried) leaves out a date whose time falls into a spring gap, slips by a day for good
when a zone loses a whole day (Pacific/Apia, 2011-12-30), leaves out months without a 31st, and never comes
back from year 9999. So it is only asked for days at noon in UTC, where none of that happens:

- A wall time in a gap moves forward by the gap's length (02:30 → 03:30); in a fold it is the first of two.
- "Every month" from the 29th, 30th or 31st is the last day of a month that is too short for it.
- A day that the zone never had goes with the day that took its place; where that is an issue's day too,
  there is one issue.
"""

from __future__ import annotations

import calendar
import datetime as dt
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from zoneinfo import ZoneInfo

from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger

from newsletter.config import Cadence, before, every, span, wall_time, zone
from newsletter.errors import CadenceMistake

LAST = dt.date(9998, 12, 31)
"""No issue is later: a year short of where dates end, so that no zone's offset falls off the edge."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One date in a publication's calendar, and the moments that belong to it. All instants are UTC."""

    date: dt.date
    """What identifies it."""
    deadline: dt.datetime
    approve_by: dt.datetime
    sends: dt.datetime
    reminders: tuple[tuple[str, dt.datetime], ...]
    """Each as config.toml words it, and its instant; earliest first."""


def slots(cadence: Cadence, after: dt.date) -> Iterator[Slot]:
    """Every slot dated later than `after`, in order; it ends only where the calendar does, in 9998.

    Skipped dates are left out, extra ones are in. CadenceMistake for a calendar that can't be.
    """
    waiting: Slot | None = None
    for day in _days(cadence, after):
        following = _slot(cadence, day)
        # Equal where the zone never had the earlier day: it would have been at the same moment.
        if waiting is not None and waiting.sends < following.sends:
            yield waiting
        waiting = following
    if waiting is not None:
        yield waiting


def next_slot(cadence: Cadence, after: dt.date) -> Slot:
    """The first slot dated later than `after`. CadenceMistake if there is none."""
    for slot in slots(cadence, after):
        return slot
    raise never(cadence, after)


def slot_on(cadence: Cadence, date: dt.date) -> Slot | None:
    """The slot of that date, or None where the calendar has none."""
    found = next(slots(cadence, date - dt.timedelta(days=1)), None) if date > dt.date.min else None
    return found if found is not None and found.date == date else None


def upcoming(cadence: Cadence, now: dt.datetime) -> Iterator[Slot]:
    """The slots that haven't been missed: those ahead, and one that may still go late."""
    try:
        # Two days earlier covers any zone's offset, and a day that a zone lost.
        after = (now - span(cadence.late)).date() - dt.timedelta(days=2)
    except OverflowError:
        after = dt.date.min
    return (slot for slot in slots(cadence, after) if not missed(cadence, slot.sends, now))


def first(cadence: Cadence, now: dt.datetime, count: int) -> list[Slot]:
    """The next `count` slots that haven't been missed. CadenceMistake if there are none at all."""
    found = list(islice(upcoming(cadence, now), count))
    if not found:
        raise never(cadence, now.date())
    return found


def never(cadence: Cadence, after: dt.date) -> CadenceMistake:
    """The mistake of a calendar in which no issue comes any more."""
    return CadenceMistake(
        f"the calendar has no issue after {after}: it starts on {cadence.anchor}, every {cadence.every}, "
        f"and ends in {LAST.year}",
        remedy="Check cadence.anchor, cadence.every and cadence.skip in config.toml.",
    )


def missed(cadence: Cadence, sends: dt.datetime, now: dt.datetime) -> bool:
    """Whether it is too late by `cadence.late` for what should have gone at `sends`."""
    return now - sends > span(cadence.late)


def local_date(cadence: Cadence, instant: dt.datetime) -> dt.date:
    """The date of an instant in the publication's zone."""
    return instant.astimezone(zone(cadence.zone)).date()


def wall_clock(cadence: Cadence, instant: dt.datetime) -> str:
    """An instant as the publication's wall calendar and clock show it: "Tue Nov 14, 2023, 09:00"."""
    wall = instant.astimezone(zone(cadence.zone))
    return f"{wall:%a %b} {wall.day}, {wall.year}, {wall:%H:%M}"


def _slot(cadence: Cadence, date: dt.date) -> Slot:
    where = zone(cadence.zone)
    sends = _instant(date, (0, wall_time(cadence.time)), where)
    # In a gap two times may change places (02:30 becomes 03:30, 03:00 stays 03:00): none outruns the next.
    approve_by = min(_instant(date, before(cadence.approve_by), where), sends)
    deadline = min(_instant(date, before(cadence.copy_deadline), where), approve_by)
    reminders = ((text, _instant(date, before(text), where)) for text in cadence.reminders)
    return Slot(
        date=date,
        deadline=deadline,
        approve_by=approve_by,
        sends=sends,
        reminders=tuple(sorted(reminders, key=itemgetter(1))),
    )


def _instant(date: dt.date, moment: tuple[int, dt.time], where: ZoneInfo) -> dt.datetime:
    days, time = moment
    try:
        # fold=0 is what is wanted both times: the offset before a gap, the first pass of a fold (PEP 495).
        return dt.datetime.combine(date - dt.timedelta(days=days), time, where).astimezone(dt.UTC)
    except OverflowError:
        raise CadenceMistake(
            f"{days} days before {date} is outside the calendar",
            remedy="Check cadence.copy_deadline, cadence.approve_by and cadence.reminders in config.toml.",
        ) from None


def _days(cadence: Cadence, after: dt.date) -> Iterator[dt.date]:
    if both := sorted(set(cadence.skip) & set(cadence.extra)):
        raise CadenceMistake(
            f"{both[0]} is both skipped and extra",
            remedy="Take it out of cadence.skip or cadence.extra in config.toml.",
        )
    skip = frozenset(cadence.skip)
    regular = (day for day in _regular(cadence, after) if day not in skip)
    extra = sorted(day for day in set(cadence.extra) if after < day <= LAST)
    last = None
    for day in heapq.merge(regular, extra):
        if day != last:
            yield day
        last = day


def _regular(cadence: Cadence, after: dt.date) -> Iterator[dt.date]:
    """The dates of the rhythm alone, later than `after`."""
    count, unit = every(cadence.every)
    start = _last_before(cadence.anchor, count, unit, after)
    if start > LAST:
        return
    monthly = unit == "months"
    trigger = CalendarIntervalTrigger(
        **{unit: count},
        hour=12,
        timezone=dt.UTC,
        end_date=LAST,
        # Counted from the first, which every month has; the day is put back below.
        start_date=start.replace(day=1) if monthly else start,
    )
    fire: dt.datetime | None = None
    # The trigger looks for a valid date for ever once months have taken it past the year 9999.
    while fire is None or not monthly or fire.year * 12 + fire.month + count <= LAST.year * 12 + 12:
        try:
            fire = trigger.get_next_fire_time(fire, fire)
        except OverflowError:
            return
        if fire is None:
            return
        day = fire.date()
        if monthly:
            day = day.replace(day=min(cadence.anchor.day, calendar.monthrange(day.year, day.month)[1]))
        if day > after:
            yield day


def _last_before(anchor: dt.date, count: int, unit: str, after: dt.date) -> dt.date:
    """A date of the rhythm at or before `after` (in its month, for months), or the anchor if that is later.

    Only a place to start from, so that a daily publication of fifty years isn't counted through each time.
    """
    if after <= anchor:
        return anchor
    if unit == "months":
        months = (after.year - anchor.year) * 12 + after.month - anchor.month
        year, month = divmod(anchor.year * 12 + anchor.month - 1 + months // count * count, 12)
        return dt.date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1]))
    step = count * (7 if unit == "weeks" else 1)
    return anchor + dt.timedelta(days=(after - anchor).days // step * step)
