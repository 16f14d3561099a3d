"""What a recipient domain can take, learned from what it refuses: additive increase, multiplicative decrease.

A domain of which nothing is known gets messages as fast as they come. When it defers one for a reason that isn't
one mailbox's own, it gets half as many a second as it was getting, and half again while it goes on; while it takes
them, a little more every ten seconds. Once it takes twice what it first refused, what was learned is forgotten.
The rate is the database's, so that all senders keep to it together.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from newsletter.database import insert
from newsletter.models import Pace

SLOWEST = 0.1
"""Messages a second that a domain gets however much it refuses: one in ten seconds finds out when it is well again."""
STEP = dt.timedelta(seconds=10)
"""Between two changes: what is refused at once counts once."""
PARTS = 20
"""The rate rises by this part of the rate at which trouble began."""

_FOUR = re.compile(r"4\d\d(?![-\d])")
_ONE_MAILBOX = re.compile(r"4\d\d 4\.[12]\.")


@dataclass(frozen=True, slots=True)
class Learned:
    """How fast a domain gets messages, and why."""

    domain: str
    rate: float
    """A second."""
    why: str


def asks_for_less(reply: str) -> bool:
    """Whether a deferral is about how fast messages come: a 4xx that isn't about one mailbox (4.1.x, 4.2.x)."""
    return _FOUR.match(reply) is not None and _ONE_MAILBOX.match(reply) is None


def known(session: Session) -> dict[str, Learned]:
    """What has been learned, by domain."""
    return {row.domain: Learned(row.domain, row.rate, row.why) for row in session.scalars(select(Pace))}


def slow_down(session: Session, domain: str, seen: float, why: str, now: dt.datetime) -> Learned:
    """After a refusal: half the rate; where nothing is known yet, half of the `seen` messages a second it got."""
    row = _row(session, domain)
    if row is None:
        rate = max(SLOWEST, seen / 2)
        session.execute(
            insert(session, Pace)
            .values(domain=domain, rate=rate, before=max(SLOWEST, seen), why=why, since=now, changed=now)
            .on_conflict_do_nothing()
        )
        row = session.get_one(Pace, domain)
    elif _rested(row, now):
        row.rate, row.why, row.changed = max(SLOWEST, row.rate / 2), why, now
    session.flush()
    return Learned(domain, row.rate, row.why)


def speed_up(session: Session, domain: str, now: dt.datetime) -> Learned | None:
    """After messages were taken at this pace: a little more. None once there is nothing left to keep to."""
    row = _row(session, domain)
    if row is None:
        return None
    if _rested(row, now):
        row.rate, row.changed = row.rate + max(SLOWEST, row.before / PARTS), now
        if row.rate >= 2 * row.before:
            session.execute(delete(Pace).where(Pace.domain == domain))
            return None
    session.flush()
    return Learned(domain, row.rate, row.why)


def _row(session: Session, domain: str) -> Pace | None:
    return session.get(Pace, domain, with_for_update=True, populate_existing=True)


def _rested(row: Pace, now: dt.datetime) -> bool:
    # Also where the clock was set back.
    return not dt.timedelta() <= now - row.changed < STEP
