"""The ledger as a sender writes it: the statements of its turns, in the words of one kind of database.

They go to the driver as they are, many rows a statement, one transaction a turn: this is asked all the time, and
SQLAlchemy's care would cost more than the statements.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import msgspec
from msgspec import Struct
from sqlalchemy import Engine

from newsletter.bounces.refusals import Refusal
from newsletter.compose import Reader
from newsletter.deliveries import KEEP, LEASE, Claimed
from newsletter.states import DeliveryState, IssueState


class Due(Struct, frozen=True, gc=False):
    """A delivery to be made now."""

    reader: Reader
    tries: int
    first_try: dt.datetime | None


class Entry(Struct, frozen=True, gc=False):
    """What became of a delivery, to be written down."""

    issue: int
    subscriber: int
    state: DeliveryState
    reply: str
    begun: bool
    """Whether the ledger says that it is submitting; else it was refused before that."""
    tries: int
    next_look: dt.datetime | None = None


class Ledger:
    """The statements of a sender's turns, on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self._postgres = engine.dialect.name == "postgresql"
        self._pooled = engine.raw_connection()
        self._driver = cast("Any", self._pooled.dbapi_connection)
        self._cursor = self._driver.cursor()
        self._committer = ThreadPoolExecutor(1, "commit")
        """Waits for the disk, and holds nothing meanwhile that others need to go on."""
        here = "issue_id = ? AND subscriber_id = ?"
        among = "subscriber_id = ANY(?)" if self._postgres else "subscriber_id IN (SELECT value FROM json_each(?))"
        self._begin = self._words(
            "UPDATE deliveries SET state = 'submitting', since = ?, tries = tries + 1,"
            f" first_try = COALESCE(first_try, ?), relay = ?, reply = NULL, next_look = NULL"
            f" WHERE issue_id = ? AND {among}"
            " AND state IN ('queued', 'deferred') RETURNING subscriber_id"
        )
        self._answered = (
            "UPDATE deliveries SET state = a.state, since = a.since, next_look = a.next_look, reply = a.reply"
            " FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::int[], %s::int[])"
            " AS a (state, since, next_look, reply, issue_id, subscriber_id)"
            " WHERE deliveries.issue_id = a.issue_id AND deliveries.subscriber_id = a.subscriber_id"
            " AND deliveries.state IN ('submitting', 'uncertain')"
            if self._postgres
            else f"UPDATE deliveries SET state = ?, since = ?, next_look = ?, reply = ? WHERE {here}"
            " AND state IN ('submitting', 'uncertain')"
        )
        self._refused = self._words(
            "UPDATE deliveries SET state = ?, since = ?, next_look = ?, reply = ?, tries = tries + 1,"
            f" first_try = COALESCE(first_try, ?), relay = ? WHERE {here} AND tries = ?"
            " AND state IN ('queued', 'deferred')"
        )
        self._keep = self._words(KEEP + f" WHERE {here} AND tries = ? AND state IN ('deferred', 'uncertain')")
        whole = "WHERE issue_id = ? AND first = ? AND owner = ?"
        self._mine = self._words(f"SELECT 1 FROM batches {whole}" + (" FOR UPDATE" if self._postgres else ""))
        among_these = "FROM deliveries WHERE issue_id = batches.issue_id AND subscriber_id BETWEEN first AND last"
        self._back = self._words(
            "UPDATE batches SET owner = NULL, until = NULL, due ="
            f" CASE WHEN EXISTS (SELECT 1 {among_these} AND state = 'queued') THEN CAST(? AS {{moment}})"
            f" ELSE (SELECT min(next_look) {among_these} AND state = 'deferred') END {whole}".format(
                moment="timestamptz" if self._postgres else "text"
            )
        )
        self._doubt = self._words(
            "UPDATE deliveries SET state = 'uncertain', since = ?, reply = ?, next_look = NULL"
            " WHERE issue_id = ? AND subscriber_id BETWEEN ? AND ? AND state = 'submitting'"
        )
        stretch = "issue_id = ? AND subscriber_id BETWEEN ? AND ?"
        self._state = self._words("SELECT state FROM issues WHERE id = ?" + (" FOR SHARE" if self._postgres else ""))
        self._keep_deferred = self._words(KEEP + f" WHERE {stretch} AND state = 'deferred' AND tries > 0")
        self._call_off = self._words(
            "UPDATE deliveries SET state = 'skipped', since = ?, reply = 'cancelled', next_look = NULL"
            f" WHERE {stretch} AND state IN ('queued', 'deferred')"
        )
        self._open = self._words(
            "SELECT 1 FROM batches WHERE issue_id = ? AND (due IS NOT NULL OR owner IS NOT NULL) LIMIT 1"
        )
        self._going = self._words("SELECT id FROM issues WHERE state = 'sending' AND (why = '' OR next_look <= ?)")
        self._renew = self._words("UPDATE batches SET until = ? WHERE owner = ?")
        self._due = self._words(
            "SELECT d.subscriber_id, d.tries, d.first_try, s.address, s.name, s.attributes, x.reason,"
            " (SELECT min(joined) FROM subscriptions WHERE subscriber_id = d.subscriber_id), s.measured IS NOT NULL,"
            " s.paused_until"
            " FROM deliveries d JOIN subscribers s ON s.id = d.subscriber_id"
            " LEFT JOIN suppressions x ON x.fingerprint = s.fingerprint"
            " WHERE d.issue_id = ? AND d.subscriber_id BETWEEN ? AND ?"
            " AND (d.state = 'queued' OR d.state = 'deferred' AND d.next_look <= ?) ORDER BY d.subscriber_id"
        )
        self._skip = self._words(
            f"UPDATE deliveries SET state = 'skipped', since = ?, reply = ?, next_look = NULL WHERE {here}"
            " AND state IN ('queued', 'deferred')"
        )

        self._put_off = self._words(
            f"UPDATE deliveries SET state = 'deferred', since = ?, next_look = ?, reply = ? WHERE {here}"
            " AND state IN ('queued', 'deferred')"
        )
        self._returned = self._words(
            "INSERT INTO returns (at, source, digest, kind, fingerprint, subscriber_id, issue_id, status, words, done,"
            " file) SELECT ?, 'relay', ?, ?, fingerprint, id, CAST(? AS integer), ?, ?, '', '' FROM subscribers"
            " WHERE id = ? ON CONFLICT (digest) DO NOTHING"
        )
        self._warm = self._words(
            "INSERT INTO warm_days (domain, day, begun) VALUES (?, ?, ?)"
            " ON CONFLICT (domain, day) DO UPDATE SET begun = warm_days.begun + excluded.begun RETURNING begun"
        )

    @contextmanager
    def turn(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """One transaction: on disk when it is left, or nothing of it. `meanwhile` is done while the disk works."""
        if not self._postgres:
            self._cursor.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._driver.rollback()
            raise
        committed = self._committer.submit(self._driver.commit)
        try:
            meanwhile()
        finally:
            committed.result()

    def close(self) -> None:
        """Gives the connection back."""
        self._committer.shutdown()
        self._cursor.close()
        self._pooled.close()

    def drop(self) -> None:
        """Lets a connection go that is of no use any more."""
        self._committer.shutdown()
        self._pooled.invalidate()
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

    def going(self, now: dt.datetime) -> set[int]:
        """The issues that are being sent: not paused, held or cancelled, and nothing keeps them waiting."""
        self._cursor.execute(self._going, (self._moment(now),))
        return {row[0] for row in self._cursor.fetchall()}

    def warm(self, domain: str, day: dt.date, more: int) -> int:
        """Counts messages of a domain in its warm-up; answers how many have begun on that day. Locked for this turn."""
        self._cursor.execute(self._warm, (domain, day if self._postgres else day.isoformat(), more))
        return int(self._cursor.fetchone()[0])

    def put_off(self, jobs: Sequence[tuple[int, int, int, dt.datetime, str]], now: dt.datetime) -> None:
        """Deliveries that can't be tried for a while say so: issue, subscriber, tries, until when, why."""
        if again := [(issue, subscriber, tries) for issue, subscriber, tries, _, _ in jobs if tries]:
            self._cursor.executemany(self._keep, again)
        moment = self._moment(now)
        self._cursor.executemany(
            self._put_off,
            [(moment, self._moment(until), why, issue, subscriber) for issue, subscriber, _, until, why in jobs],
        )

    def give_back(self, batch: Claimed, owner: str, now: dt.datetime) -> bool:
        """Ends a claim. The batch is due again when the first of its open deliveries is; never, if it has none.

        Whether the issue has batches that are due, or somebody's.
        """
        mine = (batch.issue, batch.first, owner)
        # Locked before it is counted: what someone queues again meanwhile is either seen here, or waits for this.
        self._cursor.execute(self._mine, mine)
        if self._cursor.fetchone() is not None:
            # There is nothing left in the open, or nobody would ever ask what became of it.
            why = "given back without the relay's answer"
            self._cursor.execute(self._doubt, (self._moment(now), why, batch.issue, batch.first, batch.last))
            self._cursor.execute(self._state, (batch.issue,))
            if self._cursor.fetchone() == (IssueState.cancelled.value,):
                # What was in the open when it was cancelled, and was refused for now: there is no later.
                self._cursor.execute(self._keep_deferred, (batch.issue, batch.first, batch.last))
                self._cursor.execute(self._call_off, (self._moment(now), batch.issue, batch.first, batch.last))
            self._cursor.execute(self._back, (self._moment(now), *mine))
        self._cursor.execute(self._open, (batch.issue,))
        return self._cursor.fetchone() is not None

    def due(self, batch: Claimed, now: dt.datetime, today: dt.date) -> list[Due]:
        """The deliveries of a batch to be made now; `today` is the day in the publication's zone.

        Readers who were suppressed or erased since, or pause, are skipped, and said to be.
        """
        self._cursor.execute(self._due, (batch.issue, batch.first, batch.last, self._moment(now)))
        found: list[Due] = []
        skipped: list[tuple[Any, ...]] = []
        again: list[tuple[int, int, int]] = []
        for row in self._cursor.fetchall():
            subscriber, tries, first_try, address, name, attributes, reason, joined, agreed, paused = row
            until = dt.date.fromisoformat(paused) if isinstance(paused, str) else paused
            why = ""
            if reason is not None:
                why = f"suppressed: {reason}"
            elif address is None:
                why = "erased"
            elif until is not None and until > today:
                why = f"paused until {until}"
            if why:
                skipped.append((self._moment(now), why, batch.issue, subscriber))
                if tries:
                    again.append((batch.issue, subscriber, tries))
                continue
            kept = attributes if isinstance(attributes, dict) else msgspec.json.decode(attributes) if attributes else {}
            reader = Reader(subscriber, address, name, kept, _aware(joined), bool(agreed))
            found.append(Due(reader, tries, _aware(first_try)))
        if again:
            self._cursor.executemany(self._keep, again)
        if skipped:
            self._cursor.executemany(self._skip, skipped)
        return found

    def begin(
        self, issue: int, subscribers: Sequence[int], retried: Sequence[tuple[int, int]], relay: str, now: dt.datetime
    ) -> set[int]:
        """Marks deliveries as submitting; answers those that were still to be made. Their bodies may leave afterwards.

        `retried` are those that have been tried before, and how often: what the ledger says of that is kept as an
        attempt.
        """
        if retried:
            self._cursor.executemany(self._keep, [(issue, subscriber, tries) for subscriber, tries in retried])
        moment = self._moment(now)
        among = list(subscribers) if self._postgres else json.dumps(subscribers)
        self._cursor.execute(self._begin, (moment, moment, relay, issue, among))
        return {row[0] for row in self._cursor.fetchall()}

    def record(self, entries: Sequence[Entry], relay: str, now: dt.datetime) -> None:
        """Writes down what a relay answered."""
        moment = self._moment(now)
        begun = [
            (
                entry.state.value,
                moment,
                entry.next_look and self._moment(entry.next_look),
                entry.reply,
                entry.issue,
                entry.subscriber,
            )
            for entry in entries
            if entry.begun
        ]
        refused = [entry for entry in entries if not entry.begun]
        if begun and self._postgres:
            # One statement: with one for each row, half of the work would be talking about them.
            self._cursor.execute(self._answered, [list(column) for column in zip(*begun, strict=True)])
        elif begun:
            self._cursor.executemany(self._answered, begun)
        if again := [(entry.issue, entry.subscriber, entry.tries) for entry in refused if entry.tries]:
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
                        entry.tries,
                    )
                    for entry in refused
                ],
            )

    def returned(self, refusals: Sequence[Refusal], now: dt.datetime) -> None:
        """Writes into the log of returns what relays refused for good; what it leads to is decided later."""
        moment = self._moment(now)
        self._cursor.executemany(
            self._returned,
            [
                (moment, each.digest, each.kind.value, each.issue, each.status, each.words, each.subscriber)
                for each in refusals
            ],
        )


def _aware(moment: Any) -> dt.datetime | None:
    if moment is None:
        return None
    made: dt.datetime = dt.datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return made if made.tzinfo else made.replace(tzinfo=dt.UTC)
