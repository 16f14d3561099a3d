"""What only a person decides about deliveries: that they are made again, or that they count as sent.

A batch at a time, each in a transaction of its own, so that senders go on meanwhile and a ledger of a million is
never held up: each function takes one Place, and can be run again. Rows are locked in the order in which senders
lock them: batch, issue, subscriptions, deliveries. What the ledger said before is kept as an attempt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, case, func, select, text, update
from sqlalchemy.orm import Session

from newsletter import cadence, deliveries, issues
from newsletter.config import Publication
from newsletter.delivery_log import Line, Which, chosen
from newsletter.errors import DeliveryMistake
from newsletter.issues.states import back
from newsletter.models import Batch, Delivery, Issue, List, Subscriber, Subscription, Suppression
from newsletter.states import DeliveryState, IssueState, SubscriptionState
from newsletter.subscribers import reached

RETRIED = (DeliveryState.failed, DeliveryState.deferred)
"""What `retry` takes; never what was sent, or may have been."""
BUSY = "being changed at this moment"
"""Why somebody is left as they are whose subscription another process has in its hands."""


@dataclass(frozen=True, slots=True)
class Place:
    """The stretch of an issue's ledger that a batch covers, by subscriber."""

    issue: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of the deliveries meant in one place."""

    done: int
    left_out: tuple[tuple[str, str], ...] = ()
    """Readers to whom nothing is sent again, and why."""


def check(issue: Issue) -> None:
    """DeliveryMistake if nothing of an issue is sent any more, or yet."""
    if issue.state not in (IssueState.sending, IssueState.paused, IssueState.sent):
        name = issues.name(issue)
        raise DeliveryMistake(
            f"{name[:1].upper()}{name[1:]} is {issue.state.value}, and nothing of it can be sent again"
        )


def places(session: Session, issue: int, which: Which) -> list[Place]:
    """Where to look for the deliveries meant, in order."""
    found = session.execute(select(Batch.first, Batch.last).where(Batch.issue_id == issue).order_by(Batch.first))
    readers = which.readers
    return [
        Place(issue, first, last)
        for first, last in found
        if not readers or any(first <= reader <= last for reader in readers)
    ]


def retry(session: Session, publication: Publication, place: Place, which: Which, by: str, now: dt.datetime) -> Decided:
    """Failed deliveries are queued again, and deferred ones now rather than later; one sent is sending again.

    Whoever has left, pauses, is suppressed or was erased meanwhile is left out, and their delivery stays as it is.
    DeliveryMistake for any other state, and for an issue of which nothing is sent any more.
    """
    states = which.states or RETRIED
    for state in states:
        if state not in RETRIED:
            raise DeliveryMistake(
                f"what is {state.value} is not tried again",
                remedy="Only what failed or is deferred is; about what is uncertain decide with delivery resolve.",
            )
    decided, _ = _again(session, publication, place, replace(which, states=states), by, now)
    return decided


def send_again(
    session: Session, publication: Publication, place: Place, which: Which, by: str, now: dt.datetime
) -> Decided:
    """Uncertain deliveries are queued once more: their readers may get a second copy, with the same Message-ID.

    Whoever has left, pauses, is suppressed or was erased meanwhile is skipped. DeliveryMistake as for `retry`.
    """
    decided, gone = _again(session, publication, place, _uncertain(which), by, now)
    for why in sorted(set(gone.values())):
        ids = [reader for reader, reason in gone.items() if reason == why]
        _keep(session, place, ids)
        session.execute(
            update(Delivery)
            .where(Delivery.issue_id == place.issue, Delivery.subscriber_id.in_(ids))
            .values(state=DeliveryState.skipped, since=now, next_look=None, relay=None, reply=why)
            .execution_options(synchronize_session=False)
        )
    return decided


def count_as_sent(session: Session, place: Place, which: Which, by: str, now: dt.datetime) -> Decided:
    """Uncertain deliveries count as sent, and say who said so."""
    ids = [line.subscriber for line in _meant(session, place, _uncertain(which))]
    if ids:
        _keep(session, place, ids)
        session.execute(
            update(Delivery)
            .where(Delivery.issue_id == place.issue, Delivery.subscriber_id.in_(ids))
            .values(
                state=DeliveryState.sent,
                since=now,
                next_look=None,
                reply=func.coalesce(Delivery.reply, "").concat(f"; counted as sent by {by}"),
            )
            .execution_options(synchronize_session=False)
        )
    return Decided(len(ids))


def _uncertain(which: Which) -> Which:
    return replace(which, states=(DeliveryState.uncertain,))


def _again(
    session: Session, publication: Publication, place: Place, which: Which, by: str, now: dt.datetime
) -> tuple[Decided, dict[int, str]]:
    """Queues what is meant; and whoever it can't be sent to any more, with the reason."""
    before = _meant(session, place, which, lock=False)
    if not before:
        return Decided(0), {}
    here = (Batch.issue_id == place.issue) & (Batch.first == place.first)
    session.execute(select(Batch.first).where(here).with_for_update())
    issue = session.scalars(
        select(Issue).where(Issue.id == place.issue).with_for_update().execution_options(populate_existing=True)
    ).one()
    check(issue)
    out = _left_out(session, publication, before, now)
    known = {line.subscriber for line in before}
    meant = [line for line in _meant(session, place, which) if line.subscriber in known]
    ids = [line.subscriber for line in meant if line.subscriber not in out]
    if ids:
        _keep(session, place, ids)
        # The time after which it is given up begins anew for what had ended; not for what was still being tried.
        first_try = case((Delivery.state == DeliveryState.deferred, Delivery.first_try))
        session.execute(
            update(Delivery)
            .where(Delivery.issue_id == place.issue, Delivery.subscriber_id.in_(ids))
            .values(
                state=DeliveryState.queued,
                since=now,
                next_look=None,
                first_try=first_try,
                relay=None,
                reply=f"to be tried again, by {by}",
            )
            .execution_options(synchronize_session=False)
        )
        # A sender that has the batch gives it back as due, since it counts what is queued then.
        session.execute(update(Batch).where(here).values(due=now).execution_options(synchronize_session=False))
        if issue.state is IssueState.sent:
            back(issue, IssueState.sending, now)
            issue.finished = None
        session.flush()
    told = tuple((line.reader, out[line.subscriber]) for line in meant if line.subscriber in out)
    gone = {line.subscriber: out[line.subscriber] for line in meant if out.get(line.subscriber, BUSY) != BUSY}
    return Decided(len(ids), told), gone


def _meant(session: Session, place: Place, which: Which, *, lock: bool = True) -> list[Line]:
    """The deliveries meant in one place; locked, so that no late answer of a lost sender comes between."""
    query = chosen(place.issue, which).where(Delivery.subscriber_id.between(place.first, place.last))
    query = query.order_by(Delivery.subscriber_id)
    return [Line(*row) for row in session.execute(query.with_for_update(of=Delivery) if lock else query)]


def _left_out(session: Session, publication: Publication, lines: Sequence[Line], now: dt.datetime) -> dict[int, str]:
    """Which readers nothing may be sent to, and why.

    The subscriptions by which the others are reached are held until the transaction ends: who unsubscribes
    meanwhile waits for it, and then finds a queued delivery to call off. Never the other way round: what another
    process is changing at this moment is not waited for.
    """
    lists = publication.lists
    ids = [line.subscriber for line in lines]
    held = set(
        session.scalars(
            select(Subscription.subscriber_id)
            .join(List, List.id == Subscription.list_id)
            .where(
                Subscription.subscriber_id.in_(ids),
                Subscription.state == SubscriptionState.active,
                List.slug.in_(lists),
                List.retired.is_(None),
            )
            .with_for_update(read=True, of=Subscription, skip_locked=True)
        )
    )
    suppressed = dict(
        session.execute(
            select(Subscriber.id, Suppression.reason)
            .join(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
            .where(Subscriber.id.in_(ids))
        ).all()
    )
    today = cadence.local_date(publication.cadence, now)
    paused = dict(
        session.execute(
            select(Subscriber.id, Subscriber.paused_until).where(
                Subscriber.id.in_(ids), Subscriber.paused_until > today
            )
        ).all()
    )
    reading = set(
        session.scalars(select(Subscriber.id).where(Subscriber.id.in_(ids), reached(lists, Subscriber.id.expression)))
    )
    out = {}
    for line in lines:
        if line.address is None:
            out[line.subscriber] = "erased"
        elif line.subscriber in suppressed:
            out[line.subscriber] = f"suppressed: {suppressed[line.subscriber].value}"
        elif line.subscriber not in held:
            out[line.subscriber] = BUSY if line.subscriber in reading else "unsubscribed"
        elif line.subscriber in paused:
            out[line.subscriber] = f"paused until {paused[line.subscriber]}"
    return out


def _keep(session: Session, place: Place, ids: Sequence[int]) -> None:
    kept = text(deliveries.KEEP + " WHERE issue_id = :issue AND subscriber_id IN :ids")
    session.execute(kept.bindparams(bindparam("ids", expanding=True)), {"issue": place.issue, "ids": list(ids)})
