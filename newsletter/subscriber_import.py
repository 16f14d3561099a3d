"""A file of subscribers is taken in: all of it in one transaction, a batch of rows at a time.

Nobody is brought back by it. Whoever left a list stays out of it, whoever is suppressed or erased is not
taken in, and a row that says someone has left makes them leave here too. Each row ends as exactly one thing
(see `Outcome`), and those that end as refused are handed back with their line and the reason.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from newsletter import suppressions
from newsletter.config import Config
from newsletter.errors import ImportMistake, SubscriberMistake
from newsletter.lists import named
from newsletter.models import Base, Event, List, Subscriber, Subscription, Suppression
from newsletter.spreadsheets import Record, Table
from newsletter.states import SubscriptionState, SuppressionReason
from newsletter.subscriber_columns import Columns, Row
from newsletter.subscribers import call_off
from newsletter.tokens import Keys, keys

BATCH = 1000
# The tables themselves: half a million objects would cost more than the database does.
_SUBSCRIBERS, _SUBSCRIPTIONS = Base.metadata.tables["subscribers"], Base.metadata.tables["subscriptions"]


class Outcome(enum.Enum):
    """What became of a row."""

    added = "added"
    """Somebody new."""
    joined = "joined"
    """Somebody known, now on a list more."""
    known = "known"
    """Somebody who was on the list already; at most their name or attributes were filled in."""
    repeated = "repeated"
    """An address that stood further up in the file and said the same."""
    unsubscribed = "taken in as unsubscribed"
    """The row says that they left."""
    suppressed = "taken in as suppressed"
    """The row says that their address bounces, or that they complained or are blocked."""
    elsewhere = "of another list"
    """A row of our own export about a list that wasn't asked for."""
    refused = "refused"
    """Not taken in; the reason is in the file of refused rows."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that wasn't taken in, or not for every list."""

    line: int
    reason: str
    cells: Sequence[str]


@dataclass(slots=True)
class Report:
    """What an import did. The outcomes add up to the rows."""

    encoding: str = ""
    separator: str = ""
    rows: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why rows were refused; they add up to the refused."""
    partly: int = 0
    """Rows taken in, but not for a list that their owner had left."""
    left_out: tuple[str, ...] = ()
    """Columns that nothing was taken from."""
    headerless: bool = False
    skipped: int = 0
    """Deliveries that still waited for somebody who left, and now will not go."""


@dataclass(slots=True)
class _Person:
    """A subscriber while a batch is worked on."""

    id: int | None
    key: str
    address: str
    fingerprint: str
    name: str
    language: str
    attributes: dict[str, str]
    states: dict[int, SubscriptionState]
    """By list, as they are in the end."""
    before: dict[int, SubscriptionState]
    joined: dt.datetime | None = None
    fresh: bool = False
    """Added by this import."""
    changed: bool = False
    barred: SuppressionReason | None = None


def import_subscribers(
    session: Session,
    config: Config,
    table: Table,
    *,
    lists: tuple[str, ...],
    now: dt.datetime,
    why: str,
    refuse: Callable[[Refused, Sequence[str]], None],
    state: SubscriptionState = SubscriptionState.active,
    update_known: bool = False,
    maps: dict[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Takes in everybody in `table`, on to `lists`, and reports.

    `refuse` gets each refused row, and the header. `progress` is told the octets read so far. `why` goes into
    each subscription. A row that says nothing about its state is taken in as `state`, active or pending; it
    rests on whoever imports that those people agreed. ImportMistake where the file can't be understood, and
    ListMistake for an unknown list; whoever opened the session then undoes what was done.
    """
    taking = _Import(session, config, named(session, lists), now, why, state, update_known)
    report = Report(encoding=table.encoding, separator=table.separator)
    records = table.records()
    if (first := next(records, None)) is None:
        raise ImportMistake("there is nothing in it", where=table.name)
    columns = Columns(first.cells, config.attributes, maps or {}, table.name)
    report.headerless = columns.headerless
    if columns.headerless:
        records = _again(first, records)
    header = [] if columns.headerless else columns.header

    def out(record: Record, reason: str) -> None:
        refuse(Refused(record.line, reason, record.cells), header)

    try:
        while batch := list(islice(records, BATCH)):
            rows = []
            for record in batch:
                try:
                    rows.append((record, columns.row(record)))
                except SubscriberMistake as mistake:
                    report.reasons[_kind(mistake.what)] += 1
                    report.outcomes[Outcome.refused] += 1
                    out(record, mistake.what)
            for record, outcome, reason in taking.batch(rows):
                report.outcomes[outcome] += 1
                if outcome is Outcome.refused:
                    report.reasons[reason] += 1
                elif reason:
                    report.partly += 1
                if reason:
                    out(record, reason)
            report.rows += len(batch)
            if progress:
                progress(table.position)
    except IntegrityError:
        raise ImportMistake(
            "somebody else added one of these subscribers meanwhile",
            where=table.name,
            remedy="Nothing was taken in; run it again.",
        ) from None
    report.left_out, report.skipped = columns.left_out, taking.skipped
    return report


def _again(first: Record, rest: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from rest


_KINDS = {
    " is not an address: ": "not an address",
    " is no state that is known here": "a state that isn't known",
    " characters long; ": "too long a name or attribute",
    " cells, the header ": "more cells than the header",
}


def _kind(reason: str) -> str:
    """A reason as it is counted: without what only this row holds."""
    for shape, kind in _KINDS.items():
        if shape in reason:
            return kind
    return reason


class _Import:
    """What stays the same from batch to batch."""

    def __init__(
        self,
        session: Session,
        config: Config,
        lists: Sequence[List],
        now: dt.datetime,
        why: str,
        state: SubscriptionState,
        update_known: bool,
    ) -> None:
        self.session, self.config, self.now, self.why, self.state = session, config, now, why, state
        self.lists = {row.id: row.slug for row in lists}
        self.update_known = update_known
        self.keys: Keys = keys(session, now)
        self.newest = session.scalar(select(func.max(Subscriber.id))) or 0
        self.skipped = 0

    def batch(self, rows: Sequence[tuple[Record, Row]]) -> Iterator[tuple[Record, Outcome, str]]:
        """What becomes of each row, and why where it is refused, wholly or for a list; all written down."""
        people = self._known({row.address.key for _, row in rows})
        prints = {key: self.keys.print_of(key) for key in {row.address.key for _, row in rows}}
        barred = dict(
            self.session.execute(
                select(Suppression.fingerprint, Suppression.reason).where(Suppression.fingerprint.in_(prints.values()))
            ).all()
        )
        answers = []
        for record, row in rows:
            fingerprint = prints[row.address.key]
            answers.append((record, *self._take(row, fingerprint, people, barred)))
        self._write(people.values())
        yield from answers

    def _known(self, keys: set[str]) -> dict[str, _Person]:
        people: dict[int, _Person] = {}
        for row in self.session.execute(
            select(
                Subscriber.id,
                Subscriber.address_key,
                Subscriber.address,
                Subscriber.fingerprint,
                Subscriber.name,
                Subscriber.language,
                Subscriber.attributes,
            ).where(Subscriber.address_key.in_(keys))
        ):
            people[row.id] = _Person(
                row.id,
                row.address_key,
                row.address,
                row.fingerprint,
                row.name,
                row.language,
                dict(row.attributes),
                {},
                {},
                fresh=row.id > self.newest,
            )
        for subscriber, listed, state in self.session.execute(
            select(Subscription.subscriber_id, Subscription.list_id, Subscription.state).where(
                Subscription.subscriber_id.in_(people), Subscription.list_id.in_(self.lists)
            )
        ):
            people[subscriber].states[listed] = people[subscriber].before[listed] = state
        return {person.key: person for person in people.values()}

    def _take(
        self, row: Row, fingerprint: str, people: dict[str, _Person], barred: dict[str, SuppressionReason]
    ) -> tuple[Outcome, str]:
        wanted = [at for at, slug in self.lists.items() if row.list is None or row.list == slug]
        if not wanted:
            return Outcome.elsewhere, ""
        known = people.get(row.address.key)
        there = barred.get(fingerprint)
        if there is SuppressionReason.erasure:
            return Outcome.refused, "erased on their own wish"
        if there and row.barred and known:
            return Outcome.known, ""
        if there:
            return Outcome.refused, f"suppressed ({there.value})"
        state = row.state or self.state
        person = known or _Person(
            None,
            row.address.key,
            row.address.address,
            fingerprint,
            "",
            "",
            {},
            {},
            {},
            fresh=True,
        )
        left = [
            self.lists[at]
            for at in wanted
            if person.states.get(at) is SubscriptionState.unsubscribed and state is not SubscriptionState.unsubscribed
        ]
        if len(left) == len(wanted) and not row.barred:
            return Outcome.refused, f"unsubscribed from {' and '.join(left)}"
        people[row.address.key] = person
        moved = False
        for at in wanted:
            has = person.states.get(at)
            if has is None or (has is not state and state is SubscriptionState.unsubscribed):
                person.states[at] = state
                moved = True
        if row.barred:
            person.barred = barred[fingerprint] = row.barred
        self._details(person, row)
        reason = f"unsubscribed from {' and '.join(left)}" if left else ""
        return self._outcome(known, row, state, moved), reason

    def _outcome(self, known: _Person | None, row: Row, state: SubscriptionState, moved: bool) -> Outcome:
        if row.barred:
            return Outcome.suppressed
        if not moved:
            return Outcome.repeated if known and known.fresh else Outcome.known
        if state is SubscriptionState.unsubscribed:
            return Outcome.unsubscribed
        return Outcome.joined if known else Outcome.added

    def _details(self, person: _Person, row: Row) -> None:
        """Fills in what is empty; with `update_known` the file's word goes, where it has one."""
        over = self.update_known
        if row.name and (over or not person.name) and row.name != person.name:
            person.name, person.changed = row.name, True
        if row.language and (over or not person.language) and row.language != person.language:
            person.language, person.changed = row.language, True
        for attribute, value in row.attributes.items():
            had = person.attributes.get(attribute)
            if (over or not had) and had != value:
                person.attributes[attribute] = value
                person.changed = True
        person.joined = person.joined or row.joined

    def _write(self, everybody: Collection[_Person]) -> None:
        session = self.session
        fresh = [person for person in everybody if person.id is None]
        changed = [person for person in everybody if person.id is not None and person.changed]
        if fresh:
            session.execute(
                insert(_SUBSCRIBERS),
                [
                    {
                        "address": person.address,
                        "address_key": person.key,
                        "fingerprint": person.fingerprint,
                        "name": person.name,
                        "language": person.language,
                        "attributes": person.attributes,
                        "created": self.now,
                    }
                    for person in fresh
                ],
            )
            # Asked for afterwards: RETURNING would make it a statement a row on SQLite.
            ids = dict(
                session.execute(
                    select(Subscriber.address_key, Subscriber.id).where(
                        Subscriber.address_key.in_([person.key for person in fresh])
                    )
                ).all()
            )
            for person in fresh:
                person.id = ids[person.key]
        if changed:
            session.execute(
                update(_SUBSCRIBERS)
                .where(_SUBSCRIBERS.c.id == bindparam("at"))
                .values(
                    name=bindparam("now_name"),
                    language=bindparam("now_language"),
                    attributes=bindparam("now_attributes"),
                ),
                [
                    {
                        "at": person.id,
                        "now_name": person.name,
                        "now_language": person.language,
                        "now_attributes": person.attributes,
                    }
                    for person in changed
                ],
            )
        self._write_subscriptions(everybody)
        for reason in {person.barred for person in everybody if person.barred}:
            barred = [person for person in everybody if person.barred is reason]
            suppressions.put(
                session,
                [
                    {
                        "fingerprint": person.fingerprint,
                        "address": person.address,
                        "reason": reason,
                        "since": self.now,
                        "why": self.why,
                    }
                    for person in barred
                ],
            )
            waiting = [person.id for person in barred if person.id is not None and not person.fresh]
            why = f"suppressed: {reason.value}"
            self.skipped += suppressions.skip_waiting(session, waiting, why, self.now)

    def _write_subscriptions(self, everybody: Collection[_Person]) -> None:
        session = self.session
        new, left = [], []
        for person in everybody:
            for at, state in person.states.items():
                if at not in person.before:
                    joined = None
                    if state is SubscriptionState.active:
                        joined = min(person.joined, self.now) if person.joined else self.now
                    new.append(
                        {
                            "subscriber_id": person.id,
                            "list_id": at,
                            "state": state,
                            "since": self.now,
                            "joined": joined,
                            "why": self.why,
                        }
                    )
                elif state is not person.before[at]:
                    left.append((person, at))
        if new:
            session.execute(insert(_SUBSCRIPTIONS), new)
        if left:
            session.execute(
                update(_SUBSCRIPTIONS)
                .where(
                    _SUBSCRIPTIONS.c.subscriber_id == bindparam("who"),
                    _SUBSCRIPTIONS.c.list_id == bindparam("at"),
                )
                .values(state=SubscriptionState.unsubscribed, since=self.now, why=self.why),
                [{"who": person.id, "at": at} for person, at in left],
            )
            session.execute(
                insert(Event),
                [
                    {
                        "fingerprint": person.fingerprint,
                        "at": self.now,
                        "what": f"{self.lists[at]}: unsubscribed ({self.why})",
                    }
                    for person, at in left
                ],
            )
            gone = {person.id for person, _ in left if person.id is not None}
            self.skipped += call_off(session, self.config, sorted(gone), self.now)
