"""Relays that failed: why, since when, and when each is tried again. A relay without a row is well."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from newsletter.database import insert
from newsletter.models import RelayHealth

FIRST, LONGEST = dt.timedelta(seconds=5), dt.timedelta(minutes=10)


def blame(session: Session, relay: str, why: str, now: dt.datetime) -> dt.datetime:
    """Leaves a relay alone for a while: five seconds at first, doubled each time, ten minutes at most.

    Several senders may find out at once: it is written in one statement, and the row is theirs one after the other.
    """
    failures = session.scalar(
        insert(session, RelayHealth)
        .values(relay=relay, why=why, since=now, failures=1, next_look=now)
        .on_conflict_do_update(index_elements=["relay"], set_={"failures": RelayHealth.failures + 1, "why": why})
        .returning(RelayHealth.failures)
    )
    next_look: dt.datetime = now + min(LONGEST, FIRST * 2 ** min((failures or 1) - 1, 12))
    session.execute(update(RelayHealth).where(RelayHealth.relay == relay).values(next_look=next_look))
    return next_look


def clear(session: Session, relay: str) -> None:
    """Says that a relay is well again."""
    session.execute(delete(RelayHealth).where(RelayHealth.relay == relay))


def known(session: Session) -> dict[str, tuple[dt.datetime, str]]:
    """The relays that something is known against: until when each is left alone, and why."""
    return {row.relay: (row.next_look, row.why) for row in session.scalars(select(RelayHealth))}
