"""Who an issue goes to: counted, explained, frozen.

Candidates are the subscriptions on the publication's lists, in any state. Each of them is either a delivery or
excluded for a reason that is said, so that the sums add up: candidates = due + excluded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

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
    """Reason: count, without zeros. "on another list too", "pending", "unsubscribed", "suppressed: bounce", …"""


def count(session: Session, lists: Sequence[str]) -> Audience:
    """Who an issue would go to now. ListMistake for a list that isn't there."""
    ids = _list_ids(session, lists)
    due = session.scalar(select(func.count()).select_from(_due(ids).subquery())) or 0
    return _adds_up(session, ids, due)


def freeze(session: Session, issue: Issue, lists: Sequence[str], now: dt.datetime) -> Audience:
    """Makes one delivery for each reader who is due, and the batches that senders will take.

    In the caller's transaction, with the count of those left out and why. IssueMistake if the issue has an
    audience already. The order is by subscriber, so that the ledger is written as it will be read.
    """
    if issue.started is not None:
        raise IssueMistake("its audience is frozen already")
    ids = _list_ids(session, lists)
    due = _due(ids).subquery()
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
    audience = _adds_up(session, ids, made)
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


def _suppressed() -> ColumnElement[bool]:
    # The suppressions are few: who they are is found once, and the many are compared with it.
    return Subscription.subscriber_id.in_(
        select(Subscriber.id).join(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
    )


def _due(ids: list[int]) -> Select[int]:
    return (
        select(Subscription.subscriber_id)
        .where(Subscription.list_id.in_(ids), Subscription.state == SubscriptionState.active, ~_suppressed())
        .distinct()
    )


def _adds_up(session: Session, ids: list[int], due: int) -> Audience:
    on_lists = Subscription.list_id.in_(ids)
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
    active = by_state.get(SubscriptionState.active, 0)
    excluded = {
        "on another list too": active - sum(suppressed.values()) - due,
        "pending": by_state.get(SubscriptionState.pending, 0),
        "unsubscribed": by_state.get(SubscriptionState.unsubscribed, 0),
        **suppressed,
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
