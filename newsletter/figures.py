"""The figures of what is being sent, from the ledger alone: whoever reaches the database sees the same.

Counting a million rows each second would cost more than sending does. A batch that nobody has holds what it held,
as long as its row says what it said; so a look counts only the batches that a sender has, those whose row has
changed, and a few of the others in turn, since an unsubscribing reader or a decision changes a delivery and not
its batch. A look reads for a moment, so that it holds up neither a sender nor the tidying of the database's log.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, String, bindparam, case, cast, func, select
from sqlalchemy.orm import Session

from newsletter import issues, waits
from newsletter.models import Batch, Delivery, Issue, Subscriber
from newsletter.states import DeliveryState, IssueState

WINDOW = 10.0
"""Seconds that a rate is taken from."""
ENOUGH, LONG_ENOUGH = 20, 1.0
"""Deliveries that ended, and seconds, before a rate is said."""
LARGEST = 5
"""Domains that go by their names."""
SLICE = 50
"""Batches that one reading counts at most."""
IN_TURN = 120
"""Looks after which every batch has been counted again, whatever its row says."""
TROUBLE = (DeliveryState.deferred, DeliveryState.failed, DeliveryState.uncertain)
OPEN = frozenset({"queued", "submitting", "deferred"})
_OTHERS = "*"
"""Stands for the domains that have no name of their own; no domain is called so."""
_RANK = 27
"""Characters in front of a reply: whether it tells of trouble, and when it came, as text that sorts."""


class Pace:
    """How fast deliveries end: over the last seconds, whoever sends them."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def hear(self, moment: float, done: int) -> None:
        """So many had ended at that moment, in seconds of any clock that only goes on."""
        if self._samples and done < self._samples[-1][1]:
            # Someone has queued what had ended: what was before says nothing about how fast it goes now.
            self._samples.clear()
        self._samples.append((moment, done))
        while len(self._samples) > 2 and moment - self._samples[1][0] >= WINDOW:
            self._samples.popleft()

    @property
    def rate(self) -> float | None:
        """Deliveries a second; None until there are enough samples."""
        if not self._samples:
            return None
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        if after - before < ENOUGH or last - first < LONG_ENOUGH:
            return None
        return (after - before) / (last - first)

    def left(self, untried: int) -> float | None:
        """Seconds until so many more have been tried, at that rate; None while it can't be told."""
        rate = self.rate
        return None if rate is None else max(0, untried) / rate


@dataclass(frozen=True, slots=True)
class Domain:
    """What became of the deliveries to one domain, or to several together."""

    name: str
    counts: dict[str, int]
    """State of deliveries: count; the sum is how many were due."""
    said: str
    """What the relay said last of one it didn't take; of one it took, where it took all."""

    @property
    def due(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class PutOff:
    """Deferred deliveries of which the relays said the same."""

    code: str
    """Reply code and enhanced code ("421 4.7.28"), or the words themselves where there is none."""
    said: str
    """One of the replies, whole."""
    count: int
    next_look: dt.datetime | None
    """When the first of them is tried again."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How far an issue is."""

    publication: str
    name: str
    label: str
    """What it is called on the command line: "2.21"."""
    state: IssueState
    why: str
    due: int
    done: int
    """Those that have ended, however they ended."""
    counts: dict[str, int]
    """State of deliveries: count, without zeros."""
    rate: float | None
    """Deliveries that ended a second, over the last ten; None until there are enough samples."""
    left: float | None
    """Seconds until every copy has been tried, at that rate."""
    senders: dict[str, int]
    """Host: how many senders there have a part of it."""
    domains: tuple[Domain, ...]
    deferred: tuple[PutOff, ...]
    """The most first."""

    @property
    def untried(self) -> int:
        return self.counts.get("queued", 0) + self.counts.get("submitting", 0)

    @property
    def next_look(self) -> dt.datetime | None:
        """When the first of the deferred is tried again."""
        return min((each.next_look for each in self.deferred if each.next_look is not None), default=None)


@dataclass(slots=True)
class _Counted:
    """What a batch held when it was counted, and what its row said."""

    row: tuple[dt.datetime | None, str | None]
    look: int
    counts: Counter[str]
    domains: Counter[tuple[str, str]]
    """Domain and state: count."""
    said: dict[str, str]
    """Domain: the reply that ranks highest, with its rank in front."""
    deferred: list[PutOff]


@dataclass(slots=True)
class Watched:
    """One issue, looked at again and again."""

    issue: int
    pace: Pace = field(default_factory=Pace)
    looks: int = 0
    _due: Counter[str] = field(default_factory=Counter)
    """Domain: deliveries, as far as they have been told by domain."""
    _told: int = 0
    """The last subscriber that has been."""
    _named: frozenset[str] = frozenset()
    """The largest domains, once all have been told."""
    _domains: int = 0
    _batches: dict[int, _Counted] = field(default_factory=dict)
    _state: IssueState | None = None
    _again: set[int] = field(default_factory=set)
    _rows: list[Any] = field(default_factory=list)
    _statements: tuple[Select[Any], ...] = ()

    @property
    def ahead(self) -> tuple[int, int]:
        """How much of a first look is done, of how much: in batches, each of which is gone through twice."""
        told = sum(row.last <= self._told for row in self._rows)
        return told + len(self._batches), 2 * len(self._rows)

    def look(self, session: Session) -> bool:
        """Counts what may have changed, as much as one short reading may; whether that was all.

        Called again, in another transaction, until it was.
        """
        # Before what they hold is counted: a change between the two is then counted the next time, not missed.
        self._rows = list(
            session.execute(
                select(Batch.first, Batch.last, Batch.due, Batch.owner, Batch.until)
                .where(Batch.issue_id == self.issue)
                .order_by(Batch.first)
            )
        )
        state = session.scalar(select(Issue.state).where(Issue.id == self.issue))
        if state is not self._state:
            # Whoever pauses, cancels or ends it changes deliveries and no batch.
            self._state, self._again = state, set(self._batches)
        if not self._named and self._rows:
            return self._tell_domains(session)
        wanted = self._wanted()
        for row in wanted[:SLICE]:
            self._batches[row.first] = self._count(session, row)
            self._again.discard(row.first)
        if len(wanted) > SLICE:
            return False
        self.looks += 1
        return True

    def _wanted(self) -> list[Row[Any]]:
        """The batches to be counted now: all that are not counted as they stand, and then those due in turn."""
        must: list[Row[Any]] = []
        held: list[Row[Any]] = []
        idle: list[Row[Any]] = []
        for row in self._rows:
            known = self._batches.get(row.first)
            if known is None or known.row != (row.due, row.owner) or row.first in self._again:
                must.append(row)
            elif known.look < self.looks:
                (idle if row.owner is None else held).append(row)
        if len(must) >= SLICE:
            return must
        # However many senders there are, a look stays short: those counted longest ago come first.
        for each in (idle, held):
            each.sort(key=lambda row: self._batches[row.first].look)
        in_turn = min(SLICE // 2, -(-len(self._rows) // IN_TURN))
        return (must + idle[:in_turn] + held)[:SLICE]

    def _tell_domains(self, session: Session) -> bool:
        """Finds the largest domains, a stretch at a time: who is due doesn't change once an audience is frozen."""
        stretch = [row for row in self._rows if row.last > self._told][:SLICE]
        if stretch:
            name = _domain(session).label("name")
            self._due.update(
                dict(
                    session.execute(
                        select(name, func.count())
                        .select_from(Delivery)
                        .outerjoin(Subscriber, Subscriber.id == Delivery.subscriber_id)
                        .where(
                            Delivery.issue_id == self.issue,
                            Delivery.subscriber_id.between(stretch[0].first, stretch[-1].last),
                        )
                        .group_by(name)
                    ).all()
                )
            )
            self._told = stretch[-1].last
        if len(stretch) == SLICE:
            return False
        # One more than the largest goes by its name: "1 other" would take the same line.
        most = LARGEST if len(self._due) != LARGEST + 1 else LARGEST + 1
        ordered = sorted(self._due.items(), key=lambda each: (-each[1], each[0]))
        self._named, self._domains = frozenset(name for name, _ in ordered[:most]) or frozenset({""}), len(ordered)
        self._due.clear()
        return False

    def _count(self, session: Session, row: Row[Any]) -> _Counted:
        if not self._statements:
            self._statements = _statements(session, self._named)
        by_domain, by_words = self._statements
        here = {"issue": self.issue, "first": row.first, "last": row.last}
        made = _Counted((row.due, row.owner), self.looks, Counter(), Counter(), {}, [])
        for domain, state, count, said in session.execute(by_domain, here):
            made.counts[state.value] += count
            made.domains[domain, state.value] += count
            if said is not None:
                made.said[domain] = max(made.said.get(domain, ""), said)
        if made.counts["deferred"]:
            made.deferred = _together(
                PutOff(waits.codes(beginning), said, many, again)
                for beginning, said, many, again in session.execute(by_words, here)
            )
        return made

    def figures(self, issue: Issue, moment: float, now: dt.datetime) -> Figures:
        """What the last look came to, at that moment in seconds of any clock that only goes on."""
        counts: Counter[str] = Counter()
        for each in self._batches.values():
            counts.update(each.counts)
        found = {state.value: counts[state.value] for state in DeliveryState if counts[state.value]}
        done = sum(count for word, count in found.items() if word not in OPEN)
        self.pace.hear(moment, done)
        owners = {row.owner for row in self._rows if row.owner and row.until is not None and row.until > now}
        return Figures(
            publication=issue.publication,
            name=issues.name(issue),
            label=waits.label(issue),
            state=issue.state,
            why=issue.why,
            due=sum(found.values()),
            done=done,
            counts=found,
            rate=self.pace.rate,
            left=self.pace.left(found.get("queued", 0) + found.get("submitting", 0)),
            senders=dict(sorted(Counter(owner.partition("/")[0].partition(":")[0] for owner in owners).items())),
            domains=tuple(self._by_domain()),
            deferred=tuple(_together(one for each in self._batches.values() for one in each.deferred)),
        )

    def _by_domain(self) -> Iterator[Domain]:
        counts: dict[str, Counter[str]] = {}
        said: dict[str, str] = {}
        for each in self._batches.values():
            for (domain, state), count in each.domains.items():
                counts.setdefault(domain, Counter())[state] += count
            for domain, words in each.said.items():
                said[domain] = max(said.get(domain, ""), words)
        named = [domain for domain in counts if domain != _OTHERS]
        for domain in sorted(named, key=lambda name: (-counts[name].total(), name)):
            yield _told(domain or "erased", counts[domain], said.get(domain, ""))
        if _OTHERS in counts:
            others = max(1, self._domains - len(self._named))
            yield _told(f"{others:,} other{'s' * (others != 1)}", counts[_OTHERS], said.get(_OTHERS, ""))


def of(session: Session, issue: Issue, now: dt.datetime) -> Figures:
    """The figures of one issue, all counted now; no rate can be told from one look."""
    watched = Watched(issue.id)
    while not watched.look(session):
        pass
    return watched.figures(issue, 0.0, now)


def going(session: Session, publications: Sequence[str]) -> Sequence[Issue]:
    """The issues of these publications that are being sent, the first first."""
    return session.scalars(
        select(Issue)
        .where(Issue.publication.in_(publications), Issue.state == IssueState.sending)
        .order_by(Issue.sends, Issue.id)
    ).all()


def _statements(session: Session, named: frozenset[str]) -> tuple[Select[Any], ...]:
    """What a batch holds by domain and state; and its deferred deliveries by how the replies begin.

    Put together once: they are asked for each batch, and to build them would take longer than to answer them.
    """
    here = (Delivery.issue_id == bindparam("issue")) & Delivery.subscriber_id.between(
        bindparam("first"), bindparam("last")
    )
    name = _domain(session)
    shown = case((name.in_(sorted(named)), name), else_=_OTHERS).label("shown")
    words = func.coalesce(Delivery.reply, "")
    start = func.substr(words, 1, 24).label("start")
    return (
        select(shown, Delivery.state, func.count(), func.max(_ranked(session)))
        .select_from(Delivery)
        # Outer, and an erased subscriber has no address: the delivery is still counted.
        .outerjoin(Subscriber, Subscriber.id == Delivery.subscriber_id)
        .where(here)
        .group_by(shown, Delivery.state),
        select(start, func.min(words), func.count(), func.min(Delivery.next_look))
        .where(here, Delivery.state == DeliveryState.deferred)
        .group_by(start),
    )


def _told(name: str, counts: Counter[str], said: str) -> Domain:
    return Domain(name, {state.value: counts[state.value] for state in DeliveryState}, said[_RANK:])


def _together(found: Iterator[PutOff]) -> list[PutOff]:
    """Those of one code as one, the most first."""
    by_code: dict[str, list[PutOff]] = {}
    for each in found:
        by_code.setdefault(each.code, []).append(each)
    made = [
        PutOff(
            code,
            min(each.said for each in alike),
            sum(each.count for each in alike),
            min((each.next_look for each in alike if each.next_look is not None), default=None),
        )
        for code, alike in by_code.items()
    ]
    return sorted(made, key=lambda each: (-each.count, each.code))


def _domain(session: Session) -> ColumnElement[str]:
    """A subscriber's domain, as addresses are compared; "" once they are erased."""
    at = (func.strpos if _postgres(session) else func.instr)(Subscriber.address_key, "@")
    return func.coalesce(func.substr(Subscriber.address_key, at + 1), "")


def _ranked(session: Session) -> ColumnElement[Any]:
    """A reply with what it sorts by in front of it: one MAX finds what was said last, trouble before all else."""
    stamp: ColumnElement[Any] = (
        func.to_char(func.timezone("UTC", Delivery.since), "YYYY-MM-DD HH24:MI:SS.US")
        if _postgres(session)
        else cast(Delivery.since, String)
    )
    troubled = case((Delivery.state.in_(TROUBLE), "1"), else_="0")
    answered = Delivery.state.in_([DeliveryState.sent, *TROUBLE])
    return case((answered, troubled.concat(stamp).concat(func.coalesce(Delivery.reply, ""))))


def _postgres(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
