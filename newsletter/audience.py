"""Who an issue goes to: counted, explained, frozen.

Candidates are the subscriptions on the publication's lists, in any state. Each of them is either a delivery or
excluded for a reason that is said, so that the sums add up: candidates = due + excluded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Exists,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql import visitors

from newsletter.errors import IssueMistake, ListMistake
from newsletter.models import Batch, Delivery, Issue, List, Subscriber, Subscription, Suppression
from newsletter.states import DeliveryState, SubscriptionState, SuppressionReason

BATCH = 1000
"""Deliveries that a sender takes at a time."""


@dataclass(frozen=True, slots=True)
class Audience:
    """How the candidates of an issue add up."""

    candidates: int
    due: int
    excluded: dict[str, int]
    """Reason: count, without zeros. "on another list too", "pending", "suppressed: bounce", "paused", …"""


def count(
    session: Session,
    lists: Sequence[str],
    now: dt.datetime,
    *,
    zone: dt.tzinfo = dt.UTC,
    within: ColumnElement[bool] | None = None,
) -> Audience:
    """Who an issue would go to now. ListMistake for a list that isn't there.

    `zone` is the publication's, in whose days readers pause. `within` says of a Subscriber whether they are in the
    segment that the issue goes to; None: everybody is.
    """
    whom = _Whom(_list_ids(session, lists), now.astimezone(zone).date(), within)
    if len(whom.lists) == 1:
        return _adds_up(session, whom)
    columns = func.count(Subscription.subscriber_id), func.count(Subscription.subscriber_id.distinct())
    reached, due = session.execute(_chosen(whom, *columns)).one()
    return _adds_up(session, whom, (reached, due))


def due(
    session: Session,
    lists: Sequence[str],
    now: dt.datetime,
    *,
    zone: dt.tzinfo = dt.UTC,
    within: ColumnElement[bool] | None = None,
) -> Select[Any]:
    """The numbers of the subscribers whom an issue would go to now, each once, as a query; else as `count`."""
    whom = _Whom(_list_ids(session, lists), now.astimezone(zone).date(), within)
    return _chosen(whom, Subscription.subscriber_id).distinct()


def freeze(
    session: Session,
    issue: Issue,
    lists: Sequence[str],
    now: dt.datetime,
    *,
    zone: dt.tzinfo = dt.UTC,
    within: ColumnElement[bool] | None = None,
) -> Audience:
    """Makes one delivery for each reader who is due, and the batches that senders will take.

    In the caller's transaction, with the count of those left out and why; `zone` and `within` as for `count`.
    IssueMistake if the issue has an audience already. The order is by subscriber, so that the ledger is written as
    it will be read.
    """
    if issue.started is not None:
        raise IssueMistake("its audience is frozen already")
    whom = _Whom(_list_ids(session, lists), now.astimezone(zone).date(), within)
    due = _chosen(whom, Subscription.subscriber_id).distinct().subquery()
    rows = select(
        literal(issue.id),
        due.c.subscriber_id,
        literal(DeliveryState.queued, Delivery.state.type),
        literal(now, Delivery.since.type),
        literal(0),
    ).order_by(due.c.subscriber_id)
    columns = ["issue_id", "subscriber_id", "state", "since", "tries"]
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        # Whoever leaves meanwhile waits until the deliveries are there to be seen, and calls off their own. Without it
        # they would have left, and get a copy all the same. (SQLite's writers wait for each other anyway.)
        session.execute(text("LOCK TABLE subscriptions IN SHARE MODE"))
    session.execute(insert(Delivery).from_select(columns, rows))
    made = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.issue_id == issue.id)) or 0
    _cut_into_batches(session, issue.id, now)
    reached = made
    if len(whom.lists) > 1:
        # Whoever is due is so on each of the lists that they are active on; the segment isn't asked once more.
        reached = (
            session.scalar(
                select(func.count())
                .select_from(Subscription)
                .join(Delivery, Delivery.subscriber_id == Subscription.subscriber_id)
                .where(
                    Delivery.issue_id == issue.id,
                    Subscription.list_id.in_(whom.lists),
                    Subscription.state == SubscriptionState.active,
                )
            )
            or 0
        )
    audience = _adds_up(session, whom, (reached, made))
    issue.started = now
    issue.candidates, issue.excluded = audience.candidates, dict(audience.excluded)
    session.flush()
    return audience


def _list_ids(session: Session, lists: Sequence[str]) -> list[int]:
    found = {
        row.slug: row.id
        for row in session.execute(select(List.slug, List.id).where(List.slug.in_(lists), List.retired.is_(None)))
    }
    for slug in lists:
        if slug not in found:
            raise ListMistake(
                f'there is no list "{slug}"',
                where="config.toml",
                remedy=f"Describe it in lists/{slug}.toml and run: newsletter list apply.",
            )
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Whom:
    """Whom an issue is for."""

    lists: list[int]
    today: dt.date
    within: ColumnElement[bool] | None


def _left_out(today: dt.date) -> ColumnElement[bool]:
    """Whether the reader of a Subscription is suppressed, or pauses."""
    suppressed = select(Subscriber.id).join(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
    # They are found once, and the many are compared with them; and not by NOT IN, for which PostgreSQL goes through
    # all of them again for each of the many where they don't fit into its work_mem: that takes hours.
    few = suppressed.union(select(Subscriber.id).where(Subscriber.paused_until > today)).subquery()
    return exists().where(few.c.id == Subscription.subscriber_id)


def _chosen(whom: _Whom, *columns: Any) -> Select[Any]:
    """`columns` of the subscriptions through which somebody is reached: on one of the lists, and not left out."""
    chosen = select(*columns).where(
        Subscription.list_id.in_(whom.lists),
        Subscription.state == SubscriptionState.active,
        ~_left_out(whom.today),
    )
    if whom.within is None:
        return chosen
    return chosen.join(Subscriber, Subscriber.id == Subscription.subscriber_id).where(whom.within)


def _adds_up(session: Session, whom: _Whom, chosen: tuple[int, int] | None = None) -> Audience:
    """The sum, in one pass over the subscriptions: how many there are, and why those that lead to nobody don't.

    `chosen` is how many of them lead to how many readers, where that is known; else it is one for one.
    """
    paused = Subscriber.paused_until.is_not(None) & (Subscriber.paused_until > whom.today)
    free = (Subscription.state == SubscriptionState.active) & Suppression.fingerprint.is_(None)
    within = true() if whom.within is None or chosen else whom.within
    rows = (
        select(
            Subscription.state,
            Suppression.reason,
            (free & paused).label("paused"),
            (free & ~paused).label("allowed"),
            # The segment is what takes its time: it is asked last, of nobody who is left out already; and in a WHEN,
            # since of an AND that is a value SQLite works out both sides.
            case((and_(free, ~paused, within), true()), else_=false()).label("reached"),
        )
        .select_from(Subscription)
        .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
        .outerjoin(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
        .where(Subscription.list_id.in_(whom.lists))
    )
    elsewhere = any(isinstance(part, Exists) for part in visitors.iterate(within))
    if elsewhere and session.get_bind().dialect.name == "postgresql":
        # Keeps it a query of its own: PostgreSQL then sees that other tables are asked a million times, and makes a
        # hash of them. Where none is asked it would only keep it from working with several processes.
        rows = rows.offset(0)
    each = rows.subquery().c
    pending, unsubscribed, pauses, allowed, reached, *barred = session.execute(
        select(
            func.count().filter(each.state == SubscriptionState.pending),
            func.count().filter(each.state == SubscriptionState.unsubscribed),
            func.count().filter(each.paused),
            func.count().filter(each.allowed),
            func.count().filter(each.reached),
            *(
                func.count().filter(each.state == SubscriptionState.active, each.reason == reason)
                for reason in SuppressionReason
            ),
        )
    ).one()
    reached, due = chosen or (reached, reached)
    # Somebody may be suppressed or pause between two statements, on PostgreSQL: no count gets negative by it, and what
    # is told still adds up.
    outside = 0 if whom.within is None else max(0, allowed - reached)
    excluded = {
        "on another list too": max(0, allowed - outside - due),
        "pending": pending,
        "unsubscribed": unsubscribed,
        **{f"suppressed: {reason.value}": n for reason, n in zip(SuppressionReason, barred, strict=True)},
        "paused": pauses,
        "outside the segment": outside,
    }
    return Audience(due + sum(excluded.values()), due, {reason: n for reason, n in excluded.items() if n})


def _cut_into_batches(session: Session, issue: int, now: dt.datetime) -> None:
    first = session.scalar(select(func.min(Delivery.subscriber_id)).where(Delivery.issue_id == issue))
    while first is not None:
        # The next cut, by the ledger's key alone: no window function has to sort a million rows for it.
        following = session.scalar(
            select(Delivery.subscriber_id)
            .where(Delivery.issue_id == issue, Delivery.subscriber_id >= first)
            .order_by(Delivery.subscriber_id)
            .offset(BATCH)
            .limit(1)
        )
        last = (
            following - 1
            if following is not None
            else session.scalar(select(func.max(Delivery.subscriber_id)).where(Delivery.issue_id == issue))
        )
        session.execute(insert(Batch).values(issue_id=issue, first=first, last=last, due=now))
        first = following
