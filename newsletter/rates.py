"""How many messages may leave in a second or an hour: counted in the database, so that a restart forgets nothing
and all senders share one count.

The generic cell rate algorithm (ITU-T I.371): one moment a rate is kept, until which what was taken uses it up. A
twentieth of the count may go at once, the rest evenly apart, so that no span of that length, wherever it begins, ever
holds more than the count, even where what was granted is used a little later.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from newsletter.database import insert
from newsletter.models import Allowance


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `seconds`. A count under one is one in so many times longer a span."""

    name: str
    count: float
    seconds: float

    @property
    def at_once(self) -> int:
        """How many may go without waiting."""
        return max(1, int(self.count) // 20)

    @property
    def apart(self) -> dt.timedelta:
        """How far the others stand apart: rounded up, never down."""
        aside = self.at_once - 1 + (self.at_once if self.at_once > 1 else 0)
        return dt.timedelta(microseconds=math.ceil(1e6 * self.seconds / (self.count - aside)))

    @property
    def good_for(self) -> dt.timedelta:
        """How long what was granted may still be used; after that it is lost."""
        return self.at_once * self.apart if self.at_once > 1 else dt.timedelta()


def take(session: Session, rates: Sequence[Rate], wanted: int, now: dt.datetime) -> tuple[int, dt.datetime | None]:
    """Takes up to `wanted` from all of these rates: how many it is, and when there will be more.

    None for the moment: never, since a rate is zero. What is taken and not used is lost.
    """
    if any(rate.count <= 0 for rate in rates):
        return 0, None
    rows = [(rate, _row(session, rate.name, now)) for rate in rates]
    used = []
    for rate, row in rows:
        # A clock that was set back must not have everyone wait for the time that it was set back by.
        used.append(min(max(row.used_until, now), now + rate.at_once * rate.apart))
    free = min(
        rate.at_once - math.ceil((until - now) / rate.apart) for (rate, _), until in zip(rows, used, strict=True)
    )
    taken = max(0, min(free, wanted))
    again = now
    for (rate, row), until in zip(rows, used, strict=True):
        row.used_until = until + taken * rate.apart
        again = max(again, row.used_until - (rate.at_once - 1) * rate.apart)
    session.flush()
    return taken, again


def _row(session: Session, name: str, now: dt.datetime) -> Allowance:
    found = session.get(Allowance, name, with_for_update=True, populate_existing=True)
    if found is None:
        session.execute(insert(session, Allowance).values(name=name, used_until=now).on_conflict_do_nothing())
        found = session.get_one(Allowance, name, with_for_update=True, populate_existing=True)
    return found
