"""What the calendar holds: the next issues with their clocks and the numbers that they will get."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import cadence, numbering
from newsletter.config import Cadence, Publication, zone
from newsletter.errors import IssueMistake
from newsletter.issues.finding import last_numbered, number_of
from newsletter.models import Issue
from newsletter.numbering import Number, Numbered
from newsletter.states import IssueState


@dataclass(frozen=True, slots=True)
class Ahead:
    """One issue to come."""

    slot: dt.date
    deadline: dt.datetime
    approve_by: dt.datetime
    sends: dt.datetime
    number: Number | None
    """What it has, or will have if every issue before it appears; None where someone must say it."""
    state: IssueState | None
    """None while nobody has opened it."""
    extra: bool
    """The publication's config names its date besides the rhythm."""
    shift: dt.timedelta | None
    """How far clocks were changed since the issue before (the first: since now); None where they weren't."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A date that config.toml skips."""

    slot: dt.date
    needed: bool
    """Whether there would have been an issue; if not, skipping it does nothing, and may be a slip."""


def outlook(
    session: Session, slug: str, publication: Publication, now: dt.datetime, count: int
) -> list[Ahead | Skipped]:
    """The next `count` issues of a publication that haven't been missed, and the dates skipped among them.

    CadenceMistake for a calendar that can't be.
    """
    clock = publication.cadence
    rows = {issue.slot: issue for issue in session.scalars(select(Issue).where(Issue.publication == slug))}
    last = last_numbered(session, slug)
    offset = _offset(clock, now)
    ahead: list[Ahead | Skipped] = []
    for slot in cadence.first(clock, now, count):
        issue = rows.get(slot.date)
        # Once assembled its clocks are its own; before, they follow the calendar.
        own = issue if issue is not None and issue.assembled is not None else slot
        date = cadence.local_date(clock, own.sends)
        number = _number(publication, last, date, issue)
        if number is not None and (last is None or number.follows(last.number)):
            last = Numbered(number, date)
        shift = _offset(clock, own.sends) - offset
        offset += shift
        ahead.append(
            Ahead(
                slot=slot.date,
                deadline=own.deadline,
                approve_by=own.approve_by,
                sends=own.sends,
                number=number,
                state=None if issue is None else issue.state,
                extra=slot.date in clock.extra,
                shift=shift or None,
            )
        )
    if ahead:
        ahead += _skipped(clock, cadence.local_date(clock, now), ahead[-1].slot)
    return sorted(ahead, key=lambda row: row.slot)


def _number(publication: Publication, last: Numbered | None, date: dt.date, issue: Issue | None) -> Number | None:
    if issue is None:
        return numbering.next_number(publication.numbering, last, date)
    if issue.state is IssueState.cancelled or number_of(issue) is not None:
        return number_of(issue)
    try:
        return numbering.wanted(
            publication.numbering,
            last,
            date,
            volume=issue.wanted_volume,
            number=issue.wanted_number,
            through=issue.wanted_through,
        )
    except IssueMistake:
        return None


def _skipped(clock: Cadence, since: dt.date, until: dt.date) -> list[Skipped]:
    without = msgspec.structs.replace(clock, skip=())
    return [
        Skipped(date, needed=cadence.slot_on(without, date) is not None)
        for date in sorted(set(clock.skip))
        if since <= date <= until
    ]


def _offset(clock: Cadence, instant: dt.datetime) -> dt.timedelta:
    return instant.astimezone(zone(clock.zone)).utcoffset() or dt.timedelta()
