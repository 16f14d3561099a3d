"""The ledger: what has become of each copy, written before and after it happens.

A sender claims a batch, and says `begin` for each message before its body may leave; then `record`s what the
relay answered. Whatever dies, a row tells where its copy is. What a row may become depends on what it is
(every UPDATE names the states it starts from), so that two senders can't both begin one delivery, whatever
their leases say.

This is the hot path: statements go to the driver as they are, many rows a statement, one transaction a turn.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from newsletter.compose import Reader
from newsletter.config import Sending, span
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


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch in a sender's hands."""

    issue: int
    first: int
    last: int

    @property
    def key(self) -> tuple[int, int]:
        return self.issue, self.first


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to be made now."""

    reader: Reader
    tries: int
    first_try: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a delivery, to be written down."""

    issue: int
    subscriber: int
    state: DeliveryState
    reply: str
    begun: bool
    """Whether the ledger says that it is submitting; else it was refused before that."""
    tries: int
    next_look: dt.datetime | None = None


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
            Batch.due <= now,
            Batch.owner.is_(None) | (Batch.until < now),
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


def expire(session: Session, owners: Iterable[str], now: dt.datetime) -> None:
    """Ends the leases of owners that are known to be dead, so that nobody waits for them to run out."""
    session.execute(update(Batch).where(Batch.owner.in_(list(owners))).values(until=now - dt.timedelta(seconds=1)))


def owners(session: Session) -> list[str]:
    """Whoever has a batch."""
    return [owner for owner in session.scalars(select(Batch.owner).where(Batch.owner.is_not(None)).distinct()) if owner]


def give_back(session: Session, batch: Claimed, owner: str, now: dt.datetime) -> None:
    """Ends a claim. The batch is due again when the first of its open deliveries is; never, if it has none."""
    mine = (Batch.issue_id == batch.issue) & (Batch.first == batch.first) & (Batch.owner == owner)
    # Locked before it is counted: what someone queues again meanwhile is either seen here, or waits for this.
    session.execute(select(Batch.first).where(mine).with_for_update())
    here = (Delivery.issue_id == batch.issue) & Delivery.subscriber_id.between(batch.first, batch.last)
    queued = session.scalar(select(func.count()).where(here, Delivery.state == DeliveryState.queued))
    again = (
        now
        if queued
        else session.scalar(select(func.min(Delivery.next_look)).where(here, Delivery.state == DeliveryState.deferred))
    )
    session.execute(update(Batch).where(mine).values(owner=None, until=None, due=again))


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


# ---- one turn of a sender


class Ledger:
    """The statements of a sender's turns, in the words of one kind of database, on a connection of its own.

    They go to the driver as they are: this is asked at every turn, and SQLAlchemy's care would cost more than
    the statements.
    """

    def __init__(self, engine: Engine) -> None:
        self._postgres = engine.dialect.name == "postgresql"
        self._pooled = engine.raw_connection()
        self._driver = cast("Any", self._pooled.dbapi_connection)
        self._cursor = self._driver.cursor()
        here = "issue_id = ? AND subscriber_id = ?"
        among = "subscriber_id = ANY(?)" if self._postgres else "subscriber_id IN (SELECT value FROM json_each(?))"
        self._begin = self._words(
            "UPDATE deliveries SET state = 'submitting', since = ?, tries = tries + 1,"
            f" first_try = COALESCE(first_try, ?), relay = ?, reply = NULL, next_look = NULL"
            f" WHERE issue_id = ? AND {among}"
            " AND state IN ('queued', 'deferred') RETURNING subscriber_id"
        )
        self._answered = self._words(
            f"UPDATE deliveries SET state = ?, since = ?, next_look = ?, reply = ? WHERE {here}"
            " AND state IN ('submitting', 'uncertain')"
        )
        self._refused = self._words(
            "UPDATE deliveries SET state = ?, since = ?, next_look = ?, reply = ?, tries = tries + 1,"
            f" first_try = COALESCE(first_try, ?), relay = ? WHERE {here} AND state IN ('queued', 'deferred')"
        )
        self._keep = self._words(KEEP + f" WHERE {here} AND state IN ('deferred', 'uncertain')")
        self._renew = self._words("UPDATE batches SET until = ? WHERE owner = ?")
        self._due = self._words(
            "SELECT d.subscriber_id, d.tries, d.first_try, s.address, s.name, s.attributes, x.reason,"
            " (SELECT min(joined) FROM subscriptions WHERE subscriber_id = d.subscriber_id)"
            " FROM deliveries d JOIN subscribers s ON s.id = d.subscriber_id"
            " LEFT JOIN suppressions x ON x.fingerprint = s.fingerprint"
            " WHERE d.issue_id = ? AND d.subscriber_id BETWEEN ? AND ?"
            " AND (d.state = 'queued' OR d.state = 'deferred' AND d.next_look <= ?) ORDER BY d.subscriber_id"
        )
        self._skip = self._words(
            f"UPDATE deliveries SET state = 'skipped', since = ?, reply = ?, next_look = NULL WHERE {here}"
            " AND state IN ('queued', 'deferred')"
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One transaction: on disk when it is left, or nothing of it."""
        if not self._postgres:
            self._cursor.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._driver.rollback()
            raise
        self._driver.commit()

    def close(self) -> None:
        """Gives the connection back."""
        self._cursor.close()
        self._pooled.close()

    def _words(self, statement: str) -> str:
        return statement.replace("?", "%s") if self._postgres else statement

    def _moment(self, moment: dt.datetime | None) -> Any:
        if moment is None or self._postgres:
            return moment
        return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def renew(self, owner: str, now: dt.datetime) -> int:
        """Says that a sender is alive; answers how many batches are still its own, and locks them for this turn."""
        self._cursor.execute(self._renew, (self._moment(now + LEASE), owner))
        return int(self._cursor.rowcount)

    def going(self) -> set[int]:
        """The issues that are being sent: not paused, held or cancelled."""
        self._cursor.execute("SELECT id FROM issues WHERE state = 'sending'")
        return {row[0] for row in self._cursor.fetchall()}

    def due(self, batch: Claimed, now: dt.datetime) -> list[Due]:
        """The deliveries of a batch to be made now; those suppressed or erased since are skipped, and said to be."""
        self._cursor.execute(self._due, (batch.issue, batch.first, batch.last, self._moment(now)))
        found: list[Due] = []
        skipped: list[tuple[Any, ...]] = []
        for subscriber, tries, first_try, address, name, attributes, reason, joined in self._cursor.fetchall():
            if reason is not None or address is None:
                why = f"suppressed: {reason}" if reason is not None else "erased"
                skipped.append((self._moment(now), why, batch.issue, subscriber))
                continue
            kept = attributes if isinstance(attributes, dict) else msgspec.json.decode(attributes) if attributes else {}
            found.append(Due(Reader(subscriber, address, name, kept, _aware(joined)), tries, _aware(first_try)))
        if skipped:
            self._cursor.executemany(self._skip, skipped)
        return found

    def begin(
        self, issue: int, subscribers: Sequence[int], retried: Sequence[int], relay: str, now: dt.datetime
    ) -> set[int]:
        """Marks deliveries as submitting; answers those that were still to be made. Their bodies may leave afterwards.

        `retried` are those that have been tried before: what the ledger says of that is kept as an attempt.
        """
        if retried:
            self._cursor.executemany(self._keep, [(issue, subscriber) for subscriber in retried])
        moment = self._moment(now)
        among = list(subscribers) if self._postgres else json.dumps(subscribers)
        self._cursor.execute(self._begin, (moment, moment, relay, issue, among))
        return {row[0] for row in self._cursor.fetchall()}

    def record(self, entries: Sequence[Entry], relay: str, now: dt.datetime) -> None:
        """Writes down what a relay answered."""
        moment = self._moment(now)
        begun = [
            (entry.state.value, moment, self._moment(entry.next_look), entry.reply, entry.issue, entry.subscriber)
            for entry in entries
            if entry.begun
        ]
        refused = [entry for entry in entries if not entry.begun]
        if begun:
            self._cursor.executemany(self._answered, begun)
        if again := [(entry.issue, entry.subscriber) for entry in refused if entry.tries]:
            self._cursor.executemany(self._keep, again)
        if refused:
            self._cursor.executemany(
                self._refused,
                [
                    (
                        entry.state.value,
                        moment,
                        self._moment(entry.next_look),
                        entry.reply,
                        moment,
                        relay,
                        entry.issue,
                        entry.subscriber,
                    )
                    for entry in refused
                ],
            )


def _aware(moment: Any) -> dt.datetime | None:
    if moment is None:
        return None
    made: dt.datetime = dt.datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return made if made.tzinfo else made.replace(tzinfo=dt.UTC)


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
