"""Relays that failed: why, since when, and when each is tried again. A relay without a row is well."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from newsletter.models import RelayHealth

FIRST, LONGEST = dt.timedelta(seconds=5), dt.timedelta(minutes=10)


def blame(session: Session, relay: str, why: str, now: dt.datetime) -> dt.datetime:
    """Leaves a relay alone for a while: five seconds at first, doubled each time, ten minutes at most."""
    row = session.get(RelayHealth, relay)
    if row is None:
        row = RelayHealth(relay=relay, why=why, since=now, failures=0, next_look=now)
        session.add(row)
    row.why, row.failures = why, row.failures + 1
    row.next_look = now + min(LONGEST, FIRST * 2 ** min(row.failures - 1, 12))
    session.flush()
    return row.next_look


def clear(session: Session, relay: str) -> None:
    """Says that a relay is well again."""
    session.execute(delete(RelayHealth).where(RelayHealth.relay == relay))


def resting(session: Session, now: dt.datetime) -> set[str]:
    """The relays that are left alone now."""
    return set(session.scalars(select(RelayHealth.relay).where(RelayHealth.next_look > now)))
