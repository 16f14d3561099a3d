"""A reader who takes a break: until a day, no issue goes to them; on it and afterwards they do again.

The day is one of the publication's zone. Whoever pauses stays on their lists, and what they missed isn't sent later.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from newsletter import suppressions
from newsletter.errors import SubscriberMistake
from newsletter.models import Subscriber

LONGEST = dt.timedelta(days=366)
"""A break that is longer is leaving."""
_BEHIND, _AHEAD = dt.timedelta(hours=12), dt.timedelta(hours=14)
"""How far the days of the earth's zones reach to either side of UTC's."""


def pause(session: Session, subscriber: Subscriber, until: dt.date | None, now: dt.datetime) -> int:
    """`subscriber` gets no issue before the day `until`; None ends a break. Answers how many copies were called off.

    What waits for them in an issue that is being sent now is called off in the same transaction. Done twice it changes
    nothing. SubscriberMistake for a day that isn't ahead anywhere, for one that is further ahead than LONGEST, and for
    somebody who was erased.
    """
    if subscriber.address is None:
        raise SubscriberMistake(f"subscriber {subscriber.id} was erased", remedy="Nothing was changed.")
    if until is not None and until <= (now - _BEHIND).astimezone(dt.UTC).date():
        raise SubscriberMistake(f"{until} has come already", remedy="Name a day that is ahead.")
    last = (now + _AHEAD).astimezone(dt.UTC).date() + LONGEST
    if until is not None and until > last:
        raise SubscriberMistake(
            f"{until} is too far ahead for a pause", remedy=f"{last} is the latest; or unsubscribe."
        )
    if subscriber.paused_until == until:
        return 0
    subscriber.paused_until = until
    words = f"paused until {until}" if until else "no longer paused"
    suppressions.record(session, subscriber.fingerprint, words, now)
    session.flush()
    if until is None or until <= (now + _AHEAD).astimezone(dt.UTC).date():
        # The day may have begun where one of the publications is. Senders know their zone, and ask last.
        return 0
    return suppressions.skip_waiting(session, [subscriber.id], words, now)
