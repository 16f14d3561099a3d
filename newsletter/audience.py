"""Who an issue goes to: counted, explained, frozen.

Candidates are the subscriptions on the publication's lists, in any state. Each of them is either a delivery or
excluded for a reason that is said, so that the sums add up: candidates = due + excluded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, literal, select
from sqlalchemy.orm import Session

from newsletter.errors import IssueMistake, ListMistake
from newsletter.models import Batch, Delivery, Issue, List, Subscriber, Subscription, Suppression
from newsletter.states import DeliveryState, SubscriptionState

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
    columns = func.count(Subscription.subscriber_id), func.count(Subscription.subscriber_id.distinct())
    reached, due = session.execute(_chosen(whom, *columns)).one()
    return _adds_up(session, whom, reached, due)


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
    audience = _adds_up(session, whom, reached, made)
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


def _suppressed() -> ColumnElement[bool]:
    # The suppressions are few: who they are is found once, and the many are compared with it.
    return Subscription.subscriber_id.in_(
        select(Subscriber.id).join(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
    )


def _paused(today: dt.date) -> ColumnElement[bool]:
    return Subscription.subscriber_id.in_(select(Subscriber.id).where(Subscriber.paused_until > today))


def _chosen(whom: _Whom, *columns: Any) -> Select[Any]:
    """`columns` of the subscriptions through which somebody is reached: on one of the lists, and not left out."""
    chosen = select(*columns).where(
        Subscription.list_id.in_(whom.lists),
        Subscription.state == SubscriptionState.active,
        ~_suppressed(),
        ~_paused(whom.today),
    )
    if whom.within is None:
        return chosen
    return chosen.join(Subscriber, Subscriber.id == Subscription.subscriber_id).where(whom.within)


def _adds_up(session: Session, whom: _Whom, reached: int, due: int) -> Audience:
    """The sum: `reached` subscriptions lead to `due` readers; of all others it is counted why they don't."""
    on_lists = Subscription.list_id.in_(whom.lists)
    by_state = dict(
        session.execute(select(Subscription.state, func.count()).where(on_lists).group_by(Subscription.state)).all()
    )
    suppressed = {
        f"suppressed: {reason.value}": n
        for reason, n in session.execute(
            select(Suppression.reason, func.count())
            .join(Subscriber, Subscriber.fingerprint == Suppression.fingerprint)
            .join(Subscription, Subscription.subscriber_id == Subscriber.id)
            .where(on_lists, Subscription.state == SubscriptionState.active)
            .group_by(Suppression.reason)
        )
    }
    paused = (
        session.scalar(
            select(func.count())
            .select_from(Subscription)
            .where(
                on_lists,
                Subscription.state == SubscriptionState.active,
                ~_suppressed(),
                _paused(whom.today),
            )
        )
        or 0
    )
    allowed = by_state.get(SubscriptionState.active, 0) - sum(suppressed.values()) - paused
    outside = 0 if whom.within is None else allowed - reached
    excluded = {
        "on another list too": allowed - outside - due,
        "pending": by_state.get(SubscriptionState.pending, 0),
        "unsubscribed": by_state.get(SubscriptionState.unsubscribed, 0),
        **suppressed,
        "paused": paused,
        "outside the segment": outside,
    }
    return Audience(sum(by_state.values()), due, {reason: n for reason, n in excluded.items() if n})


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
