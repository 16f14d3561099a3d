"""The ledger as people read it: how an audience adds up, who is where, each attempt, the whole of it as a file.

What a person may decide about it is in newsletter.decisions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Select, func, literal, null, or_, select, union_all
from sqlalchemy.orm import Session

from newsletter import deliveries, headers, issues
from newsletter.addresses import checked
from newsletter.config import Publication
from newsletter.errors import DeliveryMistake, SubscriberMistake
from newsletter.models import Attempt, Batch, Delivery, Issue, Subscriber
from newsletter.spreadsheets import Writer
from newsletter.states import DeliveryState, IssueState
from newsletter.subscribers import find
from newsletter.tokens import Keys, keys
from newsletter.waits import label

TROUBLE = (DeliveryState.failed, DeliveryState.uncertain, DeliveryState.deferred)
"""What a person wants to see first."""


@dataclass(frozen=True, slots=True)
class Sums:
    """How an issue's audience adds up: candidates = due + excluded, and due = the sum of the states."""

    candidates: int
    excluded: dict[str, int]
    """Reason: count."""
    due: int
    """How many deliveries the ledger holds."""
    states: dict[DeliveryState, int]
    """Without zeros."""


@dataclass(frozen=True, slots=True)
class Which:
    """Which deliveries of an issue are meant. What is left empty doesn't narrow."""

    states: tuple[DeliveryState, ...] = ()
    readers: tuple[int, ...] = ()
    """Ids of subscribers."""
    search: str = ""
    """In the address, in the name, or in what was said."""
    domain: str = ""
    """As `domain_key` gives it."""
    reply: str = ""
    """In what was said last."""

    def where(self, issue: int) -> ColumnElement[bool]:
        """The same for SQL, about Delivery and Subscriber."""
        made = Delivery.issue_id == issue
        if self.states:
            made &= Delivery.state.in_(self.states)
        if self.readers:
            made &= Delivery.subscriber_id.in_(self.readers)
        if self.search:
            within = (Subscriber.address, Subscriber.name, Delivery.reply)
            made &= or_(*(column.icontains(self.search, autoescape=True) for column in within))
        if self.domain:
            made &= Subscriber.address_key.endswith(f"@{self.domain}", autoescape=True)
        if self.reply:
            made &= Delivery.reply.icontains(self.reply, autoescape=True)
        return made

    @property
    def personal(self) -> bool:
        """Whether it asks about subscribers, and not only about the ledger."""
        return bool(self.search or self.domain)


@dataclass(frozen=True, slots=True)
class Line:
    """One delivery. An erased reader has no address."""

    subscriber: int
    address: str | None
    name: str
    state: DeliveryState
    since: dt.datetime
    next_look: dt.datetime | None
    tries: int
    relay: str | None
    reply: str | None

    @property
    def reader(self) -> str:
        """The address; or the number, once it is erased."""
        return self.address or f"subscriber {self.subscriber}, erased"


@dataclass(frozen=True, slots=True)
class Try:
    """What a delivery came to, and when: one attempt at it, or a decision about it."""

    at: dt.datetime
    state: DeliveryState
    relay: str | None
    reply: str | None
    """The server's own words; or ours, where none came."""
    next_look: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All there is to say about one delivery."""

    line: Line
    message_id: str
    tries: tuple[Try, ...]
    """In order; the last is how it stands."""
    waits_for: str
    """What it waits for where no time is known, or ""."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the whole log: an earlier attempt, or how a delivery stands."""

    publication: str
    issue: str
    subscriber: int
    address: str | None
    at: dt.datetime
    state: DeliveryState
    last: bool
    """Whether it stands so; else it was an earlier attempt."""
    tries: int | None
    relay: str | None
    reply: str | None
    next_look: dt.datetime | None
    message_id: str


def started(issue: Issue) -> Issue:
    """The issue; DeliveryMistake unless it has an audience."""
    if issue.started is None:
        name = issues.name(issue)
        raise DeliveryMistake(
            f"{name[:1].upper()}{name[1:]} has no deliveries: its audience is frozen when it is sent",
            remedy="See when: newsletter issue list.",
        )
    return issue


def domain_key(domain: str) -> str:
    """A domain as addresses are looked for by it. DeliveryMistake if it isn't one."""
    try:
        return checked(f"a@{domain.strip().lstrip('@')}").key.rpartition("@")[2]
    except SubscriberMistake:
        raise DeliveryMistake(f'"{domain}" is not a domain', remedy="Write it as example.org.") from None


def sums(session: Session, issue: Issue) -> Sums:
    """How the audience of an issue adds up."""
    tally = deliveries.tally(session, issue.id)
    due, excluded = sum(tally.values()), dict(issue.excluded or {})
    candidates = due + sum(excluded.values()) if issue.candidates is None else issue.candidates
    return Sums(candidates, excluded, due, {state: tally[state] for state in DeliveryState if state in tally})


def chosen(issue: int, which: Which) -> Select[*tuple[Any, ...]]:
    """The deliveries meant, as the columns of Line, in no order."""
    # Outer, so that the log shows all of the ledger, whatever else the database holds.
    return (
        select(
            Delivery.subscriber_id,
            Subscriber.address,
            func.coalesce(Subscriber.name, ""),
            Delivery.state,
            Delivery.since,
            Delivery.next_look,
            Delivery.tries,
            Delivery.relay,
            Delivery.reply,
        )
        .select_from(Delivery)
        .outerjoin(Subscriber, Subscriber.id == Delivery.subscriber_id)
        .where(which.where(issue))
    )


def tally(session: Session, issue: int, which: Which) -> dict[DeliveryState, int]:
    """How many of the deliveries meant are in each state; states without any are left out."""
    if which == Which():
        return deliveries.tally(session, issue)
    counted = select(Delivery.state, func.count()).select_from(Delivery)
    if which.personal:
        counted = counted.join(Subscriber, Subscriber.id == Delivery.subscriber_id)
    return dict(session.execute(counted.where(which.where(issue)).group_by(Delivery.state)).all())


def lines(session: Session, issue: int, which: Which, limit: int) -> list[Line]:
    """The first of the deliveries meant: those in trouble, newest first; then the others, by reader."""
    troubled = (
        chosen(issue, which).where(Delivery.state.in_(TROUBLE)).order_by(Delivery.since.desc(), Delivery.subscriber_id)
    )
    found = [Line(*row) for row in session.execute(troubled.limit(limit))]
    if len(found) < limit:
        others = (
            chosen(issue, which)
            .where(Delivery.state.not_in(TROUBLE))
            .order_by(Subscriber.address_key.is_(None), Subscriber.address_key, Delivery.subscriber_id)
        )
        found += [Line(*row) for row in session.execute(others.limit(limit - len(found)))]
    return found


def named(session: Session, issue: Issue, who: Sequence[str]) -> list[Line]:
    """The deliveries to these readers, by address or number.

    SubscriberMistake for one who isn't here; DeliveryMistake for one whom the issue wasn't due to.
    """
    found = []
    for each in dict.fromkeys(who):
        person = find(session, each)
        row = session.execute(chosen(issue.id, Which(readers=(person.id,)))).first()
        if row is None:
            raise DeliveryMistake(
                f"{issues.name(issue)} has no delivery to {person.address or each}",
                remedy=f"They were not in its audience: newsletter subscriber show {person.address or each}.",
            )
        found.append(Line(*row))
    return found


def history(session: Session, publication: Publication, issue: Issue, who: str, now: dt.datetime) -> History:
    """One reader's delivery, and each attempt at it. Mistakes as for `named`."""
    (line,) = named(session, issue, [who])
    earlier = session.scalars(
        select(Attempt)
        .where(Attempt.issue_id == issue.id, Attempt.subscriber_id == line.subscriber)
        .order_by(Attempt.id)
    )
    next_look, waits_for = _next_step(session, issue, line)
    return History(
        line,
        message_ids(publication, keys(session, now))(issue.id, line.subscriber),
        (
            *(Try(row.at, row.state, row.relay, row.reply) for row in earlier),
            Try(line.since, line.state, line.relay, line.reply, next_look),
        ),
        waits_for,
    )


def message_ids(publication: Publication, secret: Keys) -> Callable[[int, int], str]:
    """What makes Message-IDs of issue and subscriber, as they stand in the messages: to find them in a relay's log."""
    domain = headers.wire_address(publication.sender).rpartition("@")[2]
    return lambda issue, subscriber: f"<{secret.message(issue, subscriber)}@{domain}>"


def size(session: Session, issue: int) -> int:
    """How many entries the log of an issue has."""
    counts = (select(func.count()).select_from(table).where(table.issue_id == issue) for table in (Delivery, Attempt))
    return sum(session.scalar(count) or 0 for count in counts)


def entries(session: Session, publication: Publication, issue: Issue, now: dt.datetime) -> Iterator[Entry]:
    """The whole log of an issue, by reader, each reader's attempts in order; one by one as the database gives them.

    One statement, so that it is the ledger of one moment, whatever senders do meanwhile.
    """
    address = (
        select(Subscriber.address).where(Subscriber.id == Delivery.subscriber_id).correlate(Delivery).scalar_subquery()
    )
    before = (
        select(Subscriber.address).where(Subscriber.id == Attempt.subscriber_id).correlate(Attempt).scalar_subquery()
    )
    stands = select(
        Delivery.subscriber_id.label("reader"),
        literal(2**62, BigInteger).label("place"),
        address.label("address"),
        Delivery.since,
        Delivery.state,
        Delivery.tries,
        Delivery.relay,
        Delivery.reply,
        Delivery.next_look,
    ).where(Delivery.issue_id == issue.id)
    earlier = select(
        Attempt.subscriber_id,
        Attempt.id,
        before,
        Attempt.at,
        Attempt.state,
        null(),
        Attempt.relay,
        Attempt.reply,
        null(),
    ).where(Attempt.issue_id == issue.id)
    rows = session.execute(union_all(stands, earlier).order_by("reader", "place").execution_options(yield_per=1000))
    number, made = label(issue), message_ids(publication, keys(session, now))
    for reader, place, mail, at, state, tries, relay, reply, next_look in rows:
        yield Entry(
            issue.publication,
            number,
            reader,
            mail,
            at,
            state,
            place == 2**62,
            tries,
            relay,
            reply,
            next_look,
            made(issue.id, reader),
        )


def export_csv(log: Iterable[Entry], out: TextIO) -> int:
    """Writes the log for people and spreadsheets: CSV in UTF-8 with a BOM, no cell a formula. Answers how many."""
    write = Writer(out)
    write.row(Entry.__slots__)
    count = 0
    for entry in log:
        write.row(
            [
                entry.publication,
                entry.issue,
                str(entry.subscriber),
                entry.address or "",
                entry.at.isoformat(),
                entry.state.value,
                "yes" if entry.last else "no",
                "" if entry.tries is None else str(entry.tries),
                entry.relay or "",
                entry.reply or "",
                entry.next_look.isoformat() if entry.next_look else "",
                entry.message_id,
            ]
        )
        count += 1
    return count


def export_jsonl(log: Iterable[Entry], out: TextIO) -> int:
    """Writes one JSON object a line and entry (newline-delimited JSON). Answers how many."""
    encoder, count = msgspec.json.Encoder(), 0
    for entry in log:
        out.write(encoder.encode(entry).decode() + "\n")
        count += 1
    return count


def _next_step(session: Session, issue: Issue, line: Line) -> tuple[dt.datetime | None, str]:
    """When a delivery is looked at next; or in words what it waits for."""
    if line.state is DeliveryState.uncertain:
        return None, f"when someone decides: newsletter delivery resolve {label(issue)}"
    if line.state is DeliveryState.submitting:
        return None, "when the relay has answered"
    if line.state not in deliveries.OPEN:
        return None, ""
    if issue.state is not IssueState.sending:
        return None, f"when the issue is resumed: newsletter issue resume {label(issue)}"
    if line.state is DeliveryState.deferred:
        return line.next_look, ""
    batch = session.scalar(
        select(Batch).where(Batch.issue_id == issue.id, Batch.first <= line.subscriber, Batch.last >= line.subscriber)
    )
    return (batch.due, "") if batch is not None and batch.owner is None else (None, "when its sender comes to it")
