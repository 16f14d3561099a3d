"""What becomes of deliveries: batches are claimed under a lease, and whatever dies, a row tells where its copy is.

A sender claims a batch, begins each message before its body may leave, and records what the relay answered (see
newsletter.ledger). What a row may become depends on what it is (every UPDATE names the states it starts from), so that
two senders can't both begin one delivery, whatever their leases say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from msgspec import Struct
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from newsletter.config import Sending, span
from newsletter.issues.states import back
from newsletter.models import Batch, Delivery, Draft, Issue
from newsletter.states import DeliveryState, DraftState, IssueState

KEEP = (
    "INSERT INTO attempts (issue_id, subscriber_id, state, at, relay, reply)"
    " SELECT issue_id, subscriber_id, state, since, relay, reply FROM deliveries"
)
"""Keeps as an attempt what the next one writes over."""
OPEN = (DeliveryState.queued, DeliveryState.submitting, DeliveryState.deferred)
"""The states that a delivery doesn't stay in."""
LEASE = dt.timedelta(minutes=2)
"""How long a batch stays with a sender that is not heard of."""


class Claimed(Struct, frozen=True, gc=False):
    """A batch in a sender's hands."""

    issue: int
    first: int
    last: int

    @property
    def key(self) -> tuple[int, int]:
        return self.issue, self.first


# ---- a sender's batches


def claim(session: Session, owner: str, now: dt.datetime) -> Claimed | None:
    """A batch that is due and nobody's, or whose owner hasn't been heard of for its lease.

    What a lost owner had begun becomes uncertain: its final dot may have left.
    """
    batch = session.scalar(
        select(Batch)
        .join(Issue, Issue.id == Batch.issue_id)
        .where(
            Issue.state == IssueState.sending,
            may_leave(now),
            Batch.due <= now,
            # Never its own: what it has in its hands it would take a second time.
            Batch.owner.is_(None) | ((Batch.until < now) & (Batch.owner != owner)),
        )
        .order_by(Batch.due, Batch.issue_id, Batch.first)
        .limit(1)
        .with_for_update(skip_locked=True, of=Batch)
    )
    if batch is None:
        return None
    if batch.owner is not None:
        doubt(session, batch, f"its sender ({batch.owner}) was lost before the relay's answer", now)
    batch.owner, batch.until = owner, now + LEASE
    session.flush()
    return Claimed(batch.issue_id, batch.first, batch.last)


def may_leave(now: dt.datetime) -> ColumnElement[bool]:
    """An issue that nothing keeps waiting: it says why it waits, and until when."""
    return (Issue.why == "") | (Issue.next_look <= now)


def due_again(session: Session, issue: int, subscriber: int, at: dt.datetime, now: dt.datetime) -> None:
    """A delivery is to be made again although its batch is not ours any more; one of an issue that is sent, too."""
    here = (Batch.issue_id == issue) & (Batch.first <= subscriber) & (Batch.last >= subscriber)
    session.execute(update(Batch).where(here, Batch.due.is_(None) | (Batch.due > at)).values(due=at))
    row = session.get(Issue, issue, with_for_update=True)
    if row is not None and row.state is IssueState.sent:
        back(row, IssueState.sending, now)
    session.flush()


def doubt(session: Session, batch: Batch, why: str, now: dt.datetime) -> None:
    """Makes uncertain what was begun in a batch and has no answer."""
    session.execute(
        update(Delivery)
        .where(
            Delivery.issue_id == batch.issue_id,
            Delivery.subscriber_id.between(batch.first, batch.last),
            Delivery.state == DeliveryState.submitting,
        )
        .values(state=DeliveryState.uncertain, since=now, reply=why, next_look=None)
    )


def lapse(session: Session, now: dt.datetime) -> None:
    """Ends the leases of lost senders on issues that aren't being sent any more, as `claim` does on those that are."""
    lost = session.scalars(
        select(Batch)
        .join(Issue, Issue.id == Batch.issue_id)
        .where(Issue.state != IssueState.sending, Batch.owner.is_not(None), Batch.until < now)
        .with_for_update(skip_locked=True, of=Batch)
    )
    for batch in lost:
        doubt(session, batch, f"its sender ({batch.owner}) was lost before the relay's answer", now)
        batch.owner = batch.until = None
        if session.get_one(Issue, batch.issue_id, with_for_update=True).state is IssueState.cancelled:
            session.execute(
                update(Delivery)
                .where(
                    Delivery.issue_id == batch.issue_id,
                    Delivery.subscriber_id.between(batch.first, batch.last),
                    Delivery.state.in_((DeliveryState.queued, DeliveryState.deferred)),
                )
                .values(state=DeliveryState.skipped, since=now, reply="cancelled", next_look=None)
            )
    session.flush()


def expire(session: Session, owners: Iterable[str], now: dt.datetime) -> None:
    """Ends the leases of owners that are known to be dead, so that nobody waits for them to run out."""
    session.execute(update(Batch).where(Batch.owner.in_(list(owners))).values(until=now - dt.timedelta(seconds=1)))


def owners(session: Session) -> list[str]:
    """Whoever has a batch."""
    return [owner for owner in session.scalars(select(Batch.owner).where(Batch.owner.is_not(None)).distinct()) if owner]


def owned(session: Session, owner: str) -> list[Claimed]:
    """The batches that a sender has."""
    found = session.execute(select(Batch.issue_id, Batch.first, Batch.last).where(Batch.owner == owner))
    return [Claimed(*row) for row in found]


def finish(session: Session, issue: int, now: dt.datetime) -> bool:
    """Makes an issue sent if all its deliveries have ended, and its drafts published. Whether it did."""
    row = session.scalar(select(Issue).where(Issue.id == issue).with_for_update())
    if row is None or row.state is not IssueState.sending:
        return False
    if session.scalar(
        select(func.count()).where(Batch.issue_id == issue, Batch.due.is_not(None) | Batch.owner.is_not(None))
    ):
        return False
    row.state, row.why, row.since, row.next_look, row.finished = IssueState.sent, "", now, None, now
    session.execute(
        update(Draft)
        .where(Draft.issue_id == issue, Draft.state == DraftState.placed)
        .values(state=DraftState.published, changed=now)
    )
    session.flush()
    return True


def next_try(
    sending: Sending, tries: int, first_try: dt.datetime, now: dt.datetime, chance: float
) -> dt.datetime | None:
    """When a delivery is tried again after its nth try was deferred; None when it has been long enough.

    `chance` from 0 to 1 spreads it a tenth to either side, so that what was refused together doesn't return together.
    """
    steps = sending.retry_after
    wait = span(steps[min(tries, len(steps)) - 1]) * (0.9 + 0.2 * chance)
    return now + wait if now + wait <= first_try + span(sending.give_up_after) else None


def tally(session: Session, issue: int) -> dict[DeliveryState, int]:
    """How many deliveries of an issue are in each state; states without any are left out."""
    return dict(
        session.execute(
            select(Delivery.state, func.count()).where(Delivery.issue_id == issue).group_by(Delivery.state)
        ).all()
    )
