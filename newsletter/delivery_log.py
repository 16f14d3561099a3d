"""The ledger for people: read, exported, put right by hand.

`retry` and `resolve` are the only ways back for a delivery that has ended, and only a person takes them. What the
ledger said before is kept as an attempt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, case, func, select, text, update
from sqlalchemy.orm import Session

from newsletter import deliveries, issues
from newsletter.config import Publication
from newsletter.errors import DeliveryMistake
from newsletter.issues.states import back
from newsletter.models import Attempt, Batch, Delivery, DeliveryState, Issue, IssueState, Subscriber, Suppression
from newsletter.subscribers import find, reached

TROUBLE = (
    DeliveryState.uncertain,
    DeliveryState.failed,
    DeliveryState.deferred,
    DeliveryState.submitting,
    DeliveryState.queued,
    DeliveryState.skipped,
    DeliveryState.sent,
)
"""The order in which a person wants to see them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One delivery, as the log shows it. An erased reader has no address."""

    subscriber: int
    address: str | None
    name: str
    state: DeliveryState
    since: dt.datetime
    next_look: dt.datetime | None
    tries: int
    relay: str | None
    reply: str | None


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at a delivery: the state it came to, when, through which relay, and the server's own words."""

    state: DeliveryState
    at: dt.datetime
    relay: str | None
    reply: str | None


@dataclass(frozen=True, slots=True)
class Which:
    """Which deliveries of an issue are meant. What isn't said doesn't narrow."""

    states: tuple[DeliveryState, ...] = ()
    search: str = ""
    """In the address or the name."""
    domain: str = ""
    reply: str = ""
    """In what the relay said."""
    addresses: tuple[str, ...] = ()


def lines(session: Session, issue: Issue, which: Which, *, limit: int | None = None) -> Iterator[Line]:
    """Deliveries of an issue, those in trouble first; streamed."""
    order = case({state.value: place for place, state in enumerate(TROUBLE)}, value=Delivery.state, else_=99)
    wanted = _wanted(session, issue, which).order_by(order, Delivery.subscriber_id)
    if limit is not None:
        wanted = wanted.limit(limit)
    for row in session.execute(wanted.execution_options(yield_per=1000)):
        yield Line(*row)


def count(session: Session, issue: Issue, which: Which) -> int:
    """How many deliveries are meant."""
    return session.scalar(select(func.count()).select_from(_wanted(session, issue, which).subquery())) or 0


def tries(session: Session, issue: Issue, who: str) -> tuple[Line, list[Try]]:
    """A reader's delivery, and every attempt at it in order, the last one included.

    DeliveryMistake if the issue didn't go to them; SubscriberMistake if they aren't here.
    """
    person = find(session, who)
    line = next(lines(session, issue, Which(addresses=(str(person.id),))), None)
    if line is None:
        raise DeliveryMistake(f"{issues.name(issue)} was not due to {who}", remedy="They weren't in its audience.")
    kept = [
        Try(row.state, row.at, row.relay, row.reply)
        for row in session.scalars(
            select(Attempt).where(Attempt.issue_id == issue.id, Attempt.subscriber_id == person.id).order_by(Attempt.id)
        )
    ]
    if line.tries or line.reply:
        kept.append(Try(line.state, line.since, line.relay, line.reply))
    return line, kept


def attempts(session: Session, issue: Issue, subscribers: Sequence[int]) -> dict[int, list[Try]]:
    """Earlier attempts at some deliveries, by subscriber."""
    made: dict[int, list[Try]] = {}
    for row in session.scalars(
        select(Attempt).where(Attempt.issue_id == issue.id, Attempt.subscriber_id.in_(subscribers)).order_by(Attempt.id)
    ):
        made.setdefault(row.subscriber_id, []).append(Try(row.state, row.at, row.relay, row.reply))
    return made


def retry(session: Session, publication: Publication, issue: Issue, which: Which, now: dt.datetime) -> tuple[int, int]:
    """Queues failed deliveries once more, and deferred ones now; answers how many, and how many were left out.

    Left out, and skipped, is who has left, is suppressed or erased meanwhile. Never touches what was sent or is
    uncertain. DeliveryMistake for other states, or where the issue isn't one that is sent.
    """
    allowed = (DeliveryState.failed, DeliveryState.deferred)
    states = which.states or (DeliveryState.failed,)
    if wrong := [state.value for state in states if state not in allowed]:
        raise DeliveryMistake(
            f"{wrong[0]} deliveries are not tried again",
            remedy="Only failed and deferred ones are; uncertain ones: delivery resolve.",
        )
    return _again(
        session, publication, issue, Which(states, which.search, which.domain, which.reply, which.addresses), now
    )


def resolve(
    session: Session, publication: Publication, issue: Issue, which: Which, now: dt.datetime, *, again: bool, by: str
) -> tuple[int, int]:
    """Decides about uncertain deliveries: they count as sent, or they are made once more. By a person, never otherwise.

    Answers how many, and how many were left out of sending again (see `retry`).
    """
    only = Which((DeliveryState.uncertain,), which.search, which.domain, which.reply, which.addresses)
    if again:
        return _again(session, publication, issue, only, now)
    issues.lock(session, issue)
    ids = _ids(session, issue, only)
    for some in _chunks(ids):
        session.execute(
            update(Delivery)
            .where(_these(issue, some), Delivery.state == DeliveryState.uncertain)
            .values(
                state=DeliveryState.sent,
                since=now,
                reply=func.coalesce(Delivery.reply, "") + f"; counted as sent by {by}",
            )
        )
    deliveries.finish(session, issue.id, now)
    return len(ids), 0


def _again(session: Session, publication: Publication, issue: Issue, which: Which, now: dt.datetime) -> tuple[int, int]:
    issues.lock(session, issue)
    if issue.state not in (IssueState.sending, IssueState.sent, IssueState.paused):
        raise DeliveryMistake(f"{issues.name(issue)} is {issue.state.value}; nothing of it can be sent again")
    ids = _ids(session, issue, which)
    queued = 0
    for some in _chunks(ids):
        session.execute(
            text(f"{deliveries.KEEP} WHERE issue_id = :issue AND subscriber_id IN ({', '.join(map(str, some))})"),
            {"issue": issue.id},
        )
        here = _these(issue, some) & Delivery.state.in_(which.states)
        may = reached(publication.lists, Delivery.__table__.c.subscriber_id) & ~(
            select(Subscriber.id)
            .join(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
            .where(Subscriber.id == Delivery.subscriber_id)
            .exists()
        )
        session.execute(
            update(Delivery)
            .where(here, ~may)
            .execution_options(synchronize_session=False)
            .values(
                state=DeliveryState.skipped,
                since=now,
                next_look=None,
                reply="left or suppressed before it was tried again",
            )
        )
        # Tried anew from the beginning: the clock of giving up starts with the next try.
        result = session.execute(
            update(Delivery)
            .where(here, may)
            .execution_options(synchronize_session=False)
            .values(state=DeliveryState.queued, since=now, next_look=None, first_try=None)
        )
        queued += int(getattr(result, "rowcount", 0))
    _wake(session, issue, now)
    if queued and issue.state is IssueState.sent:
        back(issue, IssueState.sending, now)
        issue.finished = None
    session.flush()
    deliveries.finish(session, issue.id, now)
    return queued, len(ids) - queued


def _wake(session: Session, issue: Issue, now: dt.datetime) -> None:
    """Has every batch with a queued delivery looked at; one that a sender holds is looked at when it is given back."""
    session.execute(
        update(Batch)
        .where(
            Batch.issue_id == issue.id,
            select(Delivery.subscriber_id)
            .where(
                Delivery.issue_id == issue.id,
                Delivery.subscriber_id.between(Batch.first, Batch.last),
                Delivery.state == DeliveryState.queued,
            )
            .exists(),
        )
        .execution_options(synchronize_session=False)
        .values(due=now)
    )


def _wanted(
    session: Session, issue: Issue, which: Which
) -> Select[int, str | None, str, DeliveryState, dt.datetime, dt.datetime | None, int, str | None, str | None]:
    made = (
        select(
            Delivery.subscriber_id,
            Subscriber.address,
            Subscriber.name,
            Delivery.state,
            Delivery.since,
            Delivery.next_look,
            Delivery.tries,
            Delivery.relay,
            Delivery.reply,
        )
        .join(Subscriber, Subscriber.id == Delivery.subscriber_id)
        .where(Delivery.issue_id == issue.id)
    )
    if which.states:
        made = made.where(Delivery.state.in_(which.states))
    if which.search:
        made = made.where(
            Subscriber.address.icontains(which.search, autoescape=True)
            | Subscriber.name.icontains(which.search, autoescape=True)
        )
    if which.domain:
        made = made.where(Subscriber.address_key.endswith("@" + which.domain.lower().lstrip("@"), autoescape=True))
    if which.reply:
        made = made.where(Delivery.reply.icontains(which.reply, autoescape=True))
    if which.addresses:
        made = made.where(Delivery.subscriber_id.in_([find(session, each).id for each in which.addresses]))
    return made


def _ids(session: Session, issue: Issue, which: Which) -> list[int]:
    chosen = _wanted(session, issue, which).with_only_columns(Delivery.subscriber_id)
    return list(session.scalars(chosen.order_by(Delivery.subscriber_id)))


def _these(issue: Issue, subscribers: Sequence[int]) -> ColumnElement[bool]:
    return (Delivery.issue_id == issue.id) & Delivery.subscriber_id.in_(subscribers)


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), 500):
        yield ids[start : start + 500]
