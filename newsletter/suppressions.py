"""Addresses never to be mailed again, and why; and what still waits for someone is called off.

Every path to sending asks here last. A suppression is known by the fingerprint of an address, so that it
protects after erasure too, when the address itself is gone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, and_, delete, insert, select, true, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from newsletter import database
from newsletter.addresses import checked
from newsletter.errors import SubscriberMistake
from newsletter.models import Attempt, BounceScore, Delivery, Event, Issue, Subscriber, Suppression
from newsletter.states import DeliveryState, IssueState, SuppressionReason
from newsletter.tokens import keys

UNFINISHED = (IssueState.sending, IssueState.paused, IssueState.held)
"""The states of an issue in which some of its audience may still be waiting for it."""


def suppressed(session: Session, fingerprint: str) -> Suppression | None:
    """Why an address is never to be mailed, by its fingerprint; None where it may be."""
    return session.get(Suppression, fingerprint)


def fingerprint_of(session: Session, address: str, now: dt.datetime) -> str:
    """What an address is known by here. SubscriberMistake if it isn't one."""
    return keys(session, now).print_of(checked(address).key)


def of_address(session: Session, address: str, now: dt.datetime) -> Suppression | None:
    """Why `address` is never to be mailed; None where it may be. SubscriberMistake if it isn't an address."""
    return suppressed(session, fingerprint_of(session, address, now))


def add(
    session: Session, address: str, reason: SuppressionReason, why: str, now: dt.datetime
) -> tuple[Suppression, int]:
    """`address` is never mailed again, whether or not a subscriber has it.

    Answers the suppression, the one that was there first if there was one, and how many deliveries that still
    waited for the address were skipped. SubscriberMistake if it isn't an address.
    """
    known = checked(address)
    fingerprint = keys(session, now).print_of(known.key)
    if suppressed(session, fingerprint) is None:
        put(
            session,
            [{"fingerprint": fingerprint, "address": known.address, "reason": reason, "since": now, "why": why}],
        )
        record(session, fingerprint, f"suppressed: {reason.value}{f' ({why})' if why else ''}", now)
    row = session.get_one(Suppression, fingerprint)
    people = session.scalars(select(Subscriber.id).where(Subscriber.fingerprint == fingerprint)).all()
    return row, skip_waiting(session, people, f"suppressed: {row.reason.value}", now)


def put(session: Session, rows: Sequence[dict[str, object]]) -> None:
    """Writes suppressions, many at once; one that is there already stays as it is."""
    session.execute(database.insert(session, Suppression).on_conflict_do_nothing(), rows)


def remove(session: Session, address: str, why: str, now: dt.datetime) -> Suppression:
    """Lifts the suppression of `address`, with the reason for it on record. Nobody is subscribed by it.

    If it had bounced its score begins anew, so that the next soft bounce doesn't bring the suppression back.
    SubscriberMistake where there is none, or no reason.
    """
    if not why.strip():
        raise SubscriberMistake("there is no reason", remedy="Say why this address may be mailed again.")
    row = of_address(session, address, now)
    if row is None:
        raise SubscriberMistake(f"{address} is not suppressed", remedy="Nothing was changed.")
    session.delete(row)
    if row.reason is SuppressionReason.bounce:
        session.execute(delete(BounceScore).where(BounceScore.fingerprint == row.fingerprint))
    record(session, row.fingerprint, f"suppression lifted ({row.reason.value}): {why.strip()}", now)
    session.flush()
    return row


def record(session: Session, fingerprint: str, what: str, now: dt.datetime) -> None:
    """Puts `what` into the history of an address."""
    session.execute(insert(Event), [{"fingerprint": fingerprint, "at": now, "what": what}])


def skip_waiting(
    session: Session,
    subscribers: Sequence[int],
    reply: str,
    now: dt.datetime,
    *,
    only: ColumnElement[bool] | None = None,
) -> int:
    """Calls off what still waits, queued or deferred, for these subscribers. Answers how many deliveries.

    `only` narrows it, by columns of Delivery and Issue. What a server said to an earlier try is kept as an
    attempt. A message that a relay is being given at this moment can't be called back.
    """
    if not subscribers:
        return 0
    waiting = and_(
        Delivery.issue_id == Issue.id,
        Issue.state.in_(UNFINISHED),
        Delivery.subscriber_id.in_(subscribers),
        Delivery.state.in_((DeliveryState.queued, DeliveryState.deferred)),
        true() if only is None else only,
    )
    earlier = select(
        Delivery.issue_id,
        Delivery.subscriber_id,
        Delivery.state,
        Delivery.since,
        Delivery.relay,
        Delivery.reply,
    ).where(waiting, Delivery.state == DeliveryState.deferred)
    session.execute(
        insert(Attempt).from_select(
            ["issue_id", "subscriber_id", "state", "at", "relay", "reply"],
            earlier,
        )
    )
    done = session.execute(
        update(Delivery)
        .where(waiting)
        .values(state=DeliveryState.skipped, reply=reply, since=now, next_look=None, relay=None)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(done, CursorResult)
    for row in session.identity_map.values():
        if isinstance(row, Delivery):
            session.expire(row)
    return done.rowcount


def listing(
    session: Session,
    *,
    reason: SuppressionReason | None = None,
    since: dt.datetime | None = None,
    search: str | None = None,
) -> Iterator[Suppression]:
    """Suppressions, one by one as the database gives them, oldest first; `since` and later, with `search` in the
    address.
    """
    query = select(Suppression).order_by(Suppression.since, Suppression.fingerprint)
    if reason is not None:
        query = query.where(Suppression.reason == reason)
    if since is not None:
        query = query.where(Suppression.since >= since)
    if search:
        query = query.where(Suppression.address.icontains(search, autoescape=True))
    for row in session.scalars(query.execution_options(yield_per=1000)):
        yield row
        session.expunge(row)


def history(session: Session, fingerprint: str) -> Sequence[Event]:
    """What happened to an address, newest first; also to one that nobody here has."""
    query = select(Event).where(Event.fingerprint == fingerprint).order_by(Event.at.desc(), Event.id.desc())
    return session.scalars(query).all()
