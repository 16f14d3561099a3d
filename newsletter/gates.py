"""What an issue being sent may have to wait for: the hours of its window, and the day's amount of a warm-up."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.config import Cadence, Config, Publication, WarmUp, window, zone
from newsletter.models import WarmDay


@dataclass(frozen=True, slots=True)
class Shut:
    """Nothing may leave now."""

    why: str
    until: dt.datetime


@dataclass(frozen=True, slots=True)
class Open:
    """Messages may leave."""

    until: dt.datetime | None
    """When that is to be looked at again; None: it stays so."""
    domain: str = ""
    """The sending domain that is being warmed up, if it is."""
    day: dt.date = dt.date.min
    amount: int = 0
    """How many messages of that domain may begin on that day."""


def look(session: Session, config: Config, publication: Publication, now: dt.datetime) -> Open | Shut:
    """Whether messages of a publication may leave now."""
    hours = _hours(publication.cadence, now)
    if isinstance(hours, Shut):
        return hours
    domain = publication.sender.rpartition("@")[2]
    ramp = config.warm_up.get(domain)
    if ramp is None:
        return Open(hours)
    today = now.astimezone(zone(publication.cadence.zone)).date()
    tomorrow = _at(publication.cadence, today + dt.timedelta(days=1), dt.time())
    amount = of_day(ramp, today)
    if amount is None:
        return Open(hours)
    if today < ramp.begins:
        begins = _at(publication.cadence, ramp.begins, dt.time())
        return Shut(f"the warm-up of {domain} begins on {ramp.begins}", begins)
    begun = session.scalar(select(WarmDay.begun).where(WarmDay.domain == domain, WarmDay.day == today)) or 0
    if begun >= amount:
        return Shut(f"warm-up of {domain}: today's {amount:,} messages have gone, the rest follows", tomorrow)
    return Open(min(tomorrow, hours or tomorrow), domain, today, amount)


def of_day(ramp: WarmUp, day: dt.date) -> int | None:
    """How many messages a day of a warm-up may have; none before it begins, None (no limit) after it."""
    since = (day - ramp.begins).days
    if since >= ramp.days:
        return None
    # A growth that has left all audiences behind is no limit, and no number that a float can't hold.
    return 0 if since < 0 else int(min(ramp.first_day * ramp.growth ** min(since, 300), 10**12))


def _hours(cadence: Cadence, now: dt.datetime) -> dt.datetime | Shut | None:
    """When the window closes that is open now, None where there is none; Shut outside of it."""
    if not cadence.window:
        return None
    opens, closes = window(cadence.window)
    today = now.astimezone(zone(cadence.zone)).date()
    coming = []
    for days in (-1, 0, 1, 2):
        day = today + dt.timedelta(days=days)
        begin = _at(cadence, day, opens)
        end = _at(cadence, day if opens < closes else day + dt.timedelta(days=1), closes)
        # On the day that the clocks go forward a short window may not come at all.
        if begin <= now < end:
            return end
        if now < begin < end:
            coming.append(begin)
    return Shut(f"outside of its hours, {cadence.window} in {cadence.zone}", min(coming))


def _at(cadence: Cadence, day: dt.date, time: dt.time) -> dt.datetime:
    return dt.datetime.combine(day, time, zone(cadence.zone)).astimezone(dt.UTC)
