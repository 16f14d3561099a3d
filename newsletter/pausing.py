"""A reader who takes a break: until a day, no issue goes to them; on it and afterwards they do again."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from newsletter import suppressions
from newsletter.models import Subscriber

LONGEST = dt.timedelta(days=366)
"""A break that is longer is leaving."""


def pause(session: Session, subscriber: Subscriber, until: dt.date | None, now: dt.datetime) -> int:
    """`subscriber` gets no issue before the day `until`; None ends a break. Answers how many copies were called off.

    What waits for them in an issue that is being sent now is called off in the same transaction.
    """
    if subscriber.paused_until == until:
        return 0
    subscriber.paused_until = until
    words = f"paused until {until}" if until else "a break ended"
    suppressions.record(session, subscriber.fingerprint, words, now)
    session.flush()
    return suppressions.skip_waiting(session, [subscriber.id], words, now) if until else 0
