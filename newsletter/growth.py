"""How lists grow: counted from what is kept of subscriptions anyway, and walked back from now.

What can be known of the past: when a subscription became active first, when it was left, when its address was
suppressed, and of who left and came back the last time. Subscriptions of erased people are gone; where a departure of
theirs is left it says when they went, and the lists are counted with them until then. A moment is an hour wide.
"""

from __future__ import annotations

import datetime as dt
import functools
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    SQLColumnExpression,
    Text,
    case,
    cast,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session

from newsletter.config import Publication, zone
from newsletter.models import Departure, List, Subscriber, Subscription, Suppression
from newsletter.states import SubscriptionState

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment at which subscriptions are counted: an issue went out, a month began, or now."""

    label: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Period:
    """What happened to a list between a moment and the one before."""

    label: str
    """Of the moment that ends it."""
    until: dt.datetime
    joined: int
    left: int
    suppressed: int
    active: int
    """At its end: subscriptions that would be mailed."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How a list grew."""

    list: str
    title: str
    active: int
    """Now."""
    at_first: int
    """At the first moment."""
    first: Moment
    periods: tuple[Period, ...]
    """From the first moment on, the newest last."""


def moments(gone: Sequence[tuple[str, dt.datetime]], publication: Publication, now: dt.datetime) -> tuple[Moment, ...]:
    """When subscriptions are counted: as each issue (label, start) went out, and now; each month's first where there
    were fewer than two issues.
    """
    if len(gone) >= 2:
        return (*(Moment(label, at) for label, at in gone), Moment("now", now))
    here = now.astimezone(zone(publication.cadence.zone))
    day = here.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    firsts = []
    for _ in range(12):
        firsts.append(Moment(f"{day:%b %Y}", day.astimezone(dt.UTC)))
        day = (day - dt.timedelta(days=1)).replace(day=1)
    return (*reversed(firsts), Moment("now", now))


def growth(session: Session, lists: Iterable[str], looked_at: Sequence[Moment]) -> tuple[Growth, ...]:
    """How many subscriptions of each list were active at those moments, and what came and went between them.

    What is active now is counted, and then walked back from: two readings of `subscriptions`, whatever its size.
    """
    rows = {row.id: row for row in session.scalars(select(List).where(List.slug.in_(tuple(lists))).order_by(List.slug))}
    change = _Changes(len(looked_at), [int(moment.at.timestamp()) // _HOUR for moment in looked_at])
    _subscriptions(session, tuple(rows), change)
    _suppressions(session, tuple(rows), change)
    _came_back(session, tuple(rows), change)
    _erased(session, {row.slug: row.id for row in rows.values()}, change)
    made = []
    for number, row in rows.items():
        periods = []
        active = change.active[number]
        for place in range(len(looked_at) - 1, 0, -1):
            moment = looked_at[place]
            joined, left, suppressed = (change.at[number, what, place] for what in ("joined", "left", "suppressed"))
            periods.append(Period(moment.label, moment.at, joined, left, suppressed, active))
            active += left + suppressed - joined
        made.append(Growth(row.slug, row.title, change.active[number], active, looked_at[0], tuple(reversed(periods))))
    return tuple(made)


class _Changes:
    """What came and went, by list and by the period in which it did."""

    def __init__(self, places: int, hours: Sequence[int]) -> None:
        self.active: Counter[int] = Counter()
        self.at: Counter[tuple[int, str, int]] = Counter()
        self.first = hours[0]
        self._places = places
        self._hours = hours

    def place(self, hour: int) -> int:
        """The period that an hour is in; 0: before the first moment."""
        # What happens in the hour of a moment is after it; what happens now is in the last period.
        return min(bisect_right(self._hours, hour), self._places - 1)

    def add(self, number: int, what: str, hour: int, count: int = 1) -> None:
        self.at[number, what, self.place(hour)] += count


def _subscriptions(session: Session, lists: Sequence[int], change: _Changes) -> None:
    """Who is here, who joined and who left; only what happened since the first moment is told apart, by the hour."""
    on_lists = Subscription.list_id.in_(lists)
    active = Subscription.state == SubscriptionState.active
    unsubscribed = Subscription.state == SubscriptionState.unsubscribed
    edge = dt.datetime.fromtimestamp(change.first * _HOUR, dt.UTC)
    for number, count in session.execute(
        select(Subscription.list_id, func.count()).where(on_lists, active).group_by(Subscription.list_id)
    ):
        change.active[number] = count

    def happened(what: str, moment: SQLColumnExpression[Any], *which: ColumnElement[bool]) -> None:
        for number, hour, count in session.execute(
            select(Subscription.list_id, _hour(session, moment).label("hour"), func.count())
            .where(on_lists, moment >= edge, *which)
            .group_by(Subscription.list_id, "hour")
        ):
            change.add(number, what, _hours(hour), count)

    happened("joined", Subscription.joined, or_(active, unsubscribed))
    # Of who was put on a list by hand it may not be kept when.
    happened("joined", Subscription.since, active, Subscription.joined.is_(None))
    happened("left", Subscription.since, unsubscribed, Subscription.joined.is_not(None))


def _suppressions(session: Session, lists: Sequence[int], change: _Changes) -> None:
    began = func.coalesce(Subscription.joined, Subscription.since)
    # Who joined although they were suppressed was never mailed: they go as they come.
    since: SQLColumnExpression[Any] = case((Suppression.since < began, began), else_=Suppression.since)
    for number, hour, count in session.execute(
        select(Subscription.list_id, _hour(session, since).label("hour"), func.count())
        .select_from(Suppression)
        .join(Subscriber, Subscriber.fingerprint == Suppression.fingerprint)
        .join(Subscription, Subscription.subscriber_id == Subscriber.id)
        .where(Subscription.list_id.in_(lists), Subscription.state == SubscriptionState.active)
        .group_by(Subscription.list_id, "hour")
    ):
        change.active[number] -= count
        if (at := _hours(hour)) >= change.first:
            change.add(number, "suppressed", at, count)


def _came_back(session: Session, lists: Sequence[int], change: _Changes) -> None:
    """Who left and is here again: away from their last departure on until they came back."""
    away: dict[tuple[int, int], tuple[dt.datetime, dt.datetime]] = {}
    for subscriber, number, at, back, named, slug in session.execute(
        select(
            Subscription.subscriber_id,
            Subscription.list_id,
            Departure.at,
            Subscription.since,
            Departure.lists,
            List.slug,
        )
        .select_from(Departure)
        .join(Subscription, Subscription.subscriber_id == Departure.subscriber_id)
        .join(List, List.id == Subscription.list_id)
        .where(
            Departure.undone.is_(None),
            # The few first: those whose subscription didn't begin when they joined.
            Departure.subscriber_id.in_(
                select(Subscription.subscriber_id).where(
                    Subscription.state == SubscriptionState.active, Subscription.since > Subscription.joined
                )
            ),
            Subscription.list_id.in_(lists),
            Subscription.state == SubscriptionState.active,
            Subscription.since > Departure.at,
            Subscription.joined < Departure.at,
        )
        .order_by(Departure.at)
    ):
        if slug in _named(named):
            away[subscriber, number] = at, back
    for (_, number), (at, back) in away.items():
        for what, moment in (("left", at), ("joined", back)):
            if (hour := _hours_of(moment)) >= change.first:
                change.add(number, what, hour)


def _erased(session: Session, lists: Mapping[str, int], change: _Changes) -> None:
    """Erased people, as far as a departure of theirs is left: on the lists it names from their first day until it."""
    gone: dict[tuple[int, int], tuple[dt.datetime, dt.datetime]] = {}
    for subscriber, came, at, named in session.execute(
        select(Subscriber.id, Subscriber.created, Departure.at, Departure.lists)
        .join(Departure, Departure.subscriber_id == Subscriber.id)
        .where(Subscriber.erased.is_not(None), Departure.undone.is_(None))
        .order_by(Departure.at)
    ):
        for slug in _named(named):
            if slug in lists:
                gone.setdefault((subscriber, lists[slug]), (came, at))
    for (_, number), (came, at) in gone.items():
        for what, moment in (("joined", came), ("left", at)):
            if (hour := _hours_of(moment)) >= change.first:
                change.add(number, what, hour)


def _named(lists: str) -> list[str]:
    return [each.strip() for each in lists.split(",") if each.strip()]


def _hour(session: Session, moment: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """The hour that a moment is in, as the database tells it quickest; `_hours` reads it."""
    if session.get_bind().dialect.name == "postgresql":
        return cast(func.floor(func.extract("epoch", moment) / _HOUR), BigInteger)
    # "2023-11-14 14:00:00.000000", in UTC.
    return func.substr(type_coerce(moment, Text), 1, 13)


@functools.lru_cache(maxsize=20_000)
def _hours(told: str | int) -> int:
    """Hours since 1970."""
    if isinstance(told, str):
        return int(dt.datetime.fromisoformat(f"{told}:00:00+00:00").timestamp()) // _HOUR
    return int(told)


def _hours_of(moment: dt.datetime) -> int:
    return int(moment.timestamp()) // _HOUR
