"""The numbers of a publication: how its lists grow, what came back, why readers leave, what was opened where that is
measured. Counted from what is kept anyway; of nobody by name, and of the erased only that there were so many.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from newsletter import issues, measuring
from newsletter.config import Publication
from newsletter.growth import Growth, growth, moments
from newsletter.models import (
    Delivery,
    Departure,
    Ignored,
    Issue,
    Measure,
    Rendition,
    Return,
    Subscriber,
)
from newsletter.states import DeliveryState, HitKind, RenditionKind, ReturnKind
from newsletter.visits import MEASURED_FOR

ISSUES = 26
"""How many issues are looked back on: a year of one every two weeks."""
LARGEST = 10
"""Domains that are named; the others are one."""
REASONS = 500
"""Reasons for leaving that are told, the newest."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link of an issue, and how often it was followed."""

    number: int
    url: str
    times: int
    readers: int


@dataclass(frozen=True, slots=True)
class Sent:
    """An issue that went out."""

    id: int
    label: str
    name: str
    at: dt.datetime
    due: int
    counts: Mapping[str, int]
    """State of deliveries: count, without zeros."""
    left: int
    """Who left by its links, or after it."""
    complaints: int
    hard: int
    opened: tuple[int, int] | None
    """Times, readers; None where it wasn't measured."""
    followed: tuple[int, int] | None
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why somebody left, in their own words."""

    at: dt.datetime
    issue: str
    words: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """All that is told about one publication."""

    publication: str
    title: str
    now: dt.datetime
    since: dt.datetime
    """Where what is told of returns and departures begins: the first of the moments."""
    measures: tuple[str, ...]
    """What the publication measures now: "opens", "clicks", "readers"."""
    growth: tuple[Growth, ...]
    issues: tuple[Sent, ...]
    """The newest first."""
    returns: Mapping[str, int]
    """Kind: how many."""
    domains: Mapping[str, Mapping[str, int]]
    """Domain: kind: how many; the most first, "others" last."""
    doors: Mapping[str, int]
    """How they left: how many."""
    undone: int
    """Who took it back at once; not counted among the others."""
    reasons: tuple[Reason, ...]
    erased: int
    """People whose data was erased since then: of this whole folder, since nothing says what they read."""
    ignored: Mapping[str, tuple[int, int]]
    """What of programs was ignored: this month, ever."""


@dataclass(frozen=True, slots=True)
class Table:
    """Figures in rows, for a CSV file or a page."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | dt.datetime, ...], ...]


def of(session: Session, slug: str, publication: Publication, now: dt.datetime, *, count: int = ISSUES) -> Numbers:
    """The numbers of a publication over its last `count` issues. Looks only; nothing is changed."""
    gone = session.scalars(
        select(Issue)
        .where(Issue.publication == slug, Issue.started.is_not(None), Issue.started <= now)
        .order_by(Issue.started.desc())
        .limit(count)
    ).all()
    looked_at = moments([(_short(issue), issue.started) for issue in reversed(gone) if issue.started], publication, now)
    since = looked_at[0].at
    window = Window(slug, since, now)
    measured = {"opens": publication.measure_opens, "clicks": publication.measure_clicks}
    measured["readers"] = publication.measure_readers
    return Numbers(
        publication=slug,
        title=publication.title,
        now=now,
        since=since,
        measures=tuple(name for name, on in measured.items() if on),
        growth=growth(session, publication.lists, looked_at),
        issues=tuple(_sent(session, publication, gone, now)),
        returns=_returns(session, window),
        domains=_domains(session, window),
        doors=_doors(session, window),
        undone=session.scalar(
            select(func.count()).select_from(Departure).where(window.departures(), Departure.undone.is_not(None))
        )
        or 0,
        reasons=_reasons(session, window),
        erased=session.scalar(
            select(func.count()).select_from(Subscriber).where(Subscriber.erased > since, Subscriber.erased <= now)
        )
        or 0,
        ignored=_ignored(session, slug, now),
    )


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows belong to a publication and its last issues."""

    slug: str
    since: dt.datetime
    until: dt.datetime

    def departures(self) -> ColumnElement[bool]:
        """Whether a departure does; one from everything belongs to all."""
        return and_(Departure.at > self.since, Departure.at <= self.until, Departure.publication.in_((self.slug, "")))

    def returns(self) -> ColumnElement[bool]:
        """Whether a return does; one that names no issue belongs to all."""
        ours = select(Issue.id).where(Issue.publication == self.slug)
        return and_(
            Return.at > self.since,
            Return.at <= self.until,
            or_(Return.issue_id.is_(None), Return.issue_id.in_(ours)),
        )


_counted: dict[tuple[str, int, dt.datetime, int], dict[str, int]] = {}
"""The deliveries of finished issues by state: they change only with what is uncertain, or when the issue does."""


def _deliveries(session: Session, issue: Issue) -> dict[str, int]:
    uncertain = session.scalar(
        select(func.count()).where(Delivery.issue_id == issue.id, Delivery.state == DeliveryState.uncertain)
    )
    key = (str(session.get_bind().engine.url), issue.id, issue.since, uncertain or 0)
    if issue.finished is not None and key in _counted:
        return _counted[key]
    counts = {
        state.value: count
        for state, count in session.execute(
            select(Delivery.state, func.count()).where(Delivery.issue_id == issue.id).group_by(Delivery.state)
        )
    }
    if issue.finished is not None:
        if len(_counted) > 1000:
            _counted.clear()
        _counted[key] = counts
    return counts


def _sent(session: Session, publication: Publication, gone: Sequence[Issue], now: dt.datetime) -> Iterable[Sent]:
    ids = [issue.id for issue in gone]
    left = _by_issue(session, Departure, Departure.undone.is_(None), ids)
    complaints = _by_issue(session, Return, Return.kind == ReturnKind.complaint, ids)
    hard = _by_issue(session, Return, Return.kind == ReturnKind.hard, ids)
    measured: dict[int, dict[tuple[HitKind, int], tuple[int, int]]] = defaultdict(dict)
    for row in session.scalars(select(Measure).where(Measure.issue_id.in_(ids))):
        measured[row.issue_id][row.what, row.link] = row.times, row.readers
    for issue in gone:
        assert issue.started is not None
        counts = _deliveries(session, issue)
        found = measured[issue.id]
        # Of an issue that went out before it was measured nothing is known, which isn't zero.
        lately = issue.started > now - MEASURED_FOR
        opened = found.get((HitKind.open, 0)) or ((0, 0) if lately and publication.measure_opens else None)
        followed = found.get((HitKind.click, 0)) or ((0, 0) if lately and publication.measure_clicks else None)
        yield Sent(
            id=issue.id,
            label=_short(issue),
            name=issues.name(issue),
            at=issue.started,
            due=sum(counts.values()),
            counts=counts,
            left=left.get(issue.id, 0),
            complaints=complaints.get(issue.id, 0),
            hard=hard.get(issue.id, 0),
            opened=opened,
            followed=followed,
            links=_links(session, issue, found),
        )


def _links(session: Session, issue: Issue, found: Mapping[tuple[HitKind, int], tuple[int, int]]) -> tuple[Link, ...]:
    numbers = {link: each for (what, link), each in found.items() if what is HitKind.click and link}
    if not numbers:
        return ()
    content = session.scalar(
        select(Rendition.content).where(Rendition.issue_id == issue.id, Rendition.kind == RenditionKind.html)
    )
    urls = measuring.links(content.decode()) if content else ()
    made = [
        Link(number, urls[number - 1] if number <= len(urls) else "", times, readers)
        for number, (times, readers) in numbers.items()
    ]
    return tuple(sorted(made, key=lambda link: (-link.readers, -link.times, link.number)))


def _by_issue(
    session: Session, table: type[Departure | Return], which: ColumnElement[bool], ids: Sequence[int]
) -> dict[int | None, int]:
    return dict(
        session.execute(
            select(table.issue_id, func.count()).where(which, table.issue_id.in_(ids)).group_by(table.issue_id)
        ).all()
    )


def _returns(session: Session, window: Window) -> dict[str, int]:
    found = session.execute(select(Return.kind, func.count()).where(window.returns()).group_by(Return.kind))
    return {kind.value: count for kind, count in sorted(found, key=lambda row: (-row[1], row[0].value))}


def _domains(session: Session, window: Window) -> dict[str, dict[str, int]]:
    """Bounces and complaints by the domain that they came from; those of the erased are "(erased)"."""
    postgres = session.get_bind().dialect.name == "postgresql"
    at = (func.strpos if postgres else func.instr)(Subscriber.address_key, "@")
    name = func.coalesce(func.substr(Subscriber.address_key, at + 1), "(erased)").label("name")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for domain, kind, count in session.execute(
        select(name, Return.kind, func.count())
        .select_from(Return)
        .join(Subscriber, Subscriber.id == Return.subscriber_id)
        .where(
            window.returns(),
            Return.kind.in_((ReturnKind.hard, ReturnKind.soft, ReturnKind.policy, ReturnKind.complaint)),
        )
        .group_by(name, Return.kind)
    ):
        counts[domain][kind.value] += count
    ordered = sorted(counts, key=lambda domain: (-counts[domain].total(), domain))
    most = LARGEST if len(ordered) != LARGEST + 1 else LARGEST + 1
    made = {domain: dict(counts[domain]) for domain in ordered[:most]}
    if rest := ordered[most:]:
        made[f"{len(rest)} others"] = dict(sum((counts[domain] for domain in rest), Counter()))
    return made


def _doors(session: Session, window: Window) -> dict[str, int]:
    found = session.execute(
        select(Departure.by, func.count()).where(window.departures(), Departure.undone.is_(None)).group_by(Departure.by)
    )
    return {by.value: count for by, count in sorted(found, key=lambda row: (-row[1], row[0].value))}


def _reasons(session: Session, window: Window) -> tuple[Reason, ...]:
    """Without names, and with no more of the time than the day is shown."""
    rows = session.execute(
        select(Departure.at, Issue, Departure.reason)
        .outerjoin(Issue, Issue.id == Departure.issue_id)
        .where(window.departures(), Departure.reason != "", Departure.undone.is_(None))
        .order_by(Departure.at.desc(), Departure.id.desc())
        .limit(REASONS)
    )
    return tuple(Reason(at, _short(issue) if issue else "", words) for at, issue, words in rows)


def _ignored(session: Session, slug: str, now: dt.datetime) -> dict[str, tuple[int, int]]:
    month = now.astimezone(dt.UTC).date().replace(day=1)
    lately = func.sum(case((Ignored.day >= month, Ignored.times), else_=0))
    found = session.execute(
        select(Ignored.what, lately, func.sum(Ignored.times))
        .where(Ignored.publication.in_((slug, "")))
        .group_by(Ignored.what)
    )
    return {what: (int(some), int(ever)) for what, some, ever in sorted(found, key=lambda row: (-row[2], row[0]))}


def tables(found: Numbers) -> dict[str, Table]:
    """The figures as tables, by the name of their CSV: growth, issues, links, returns, domains, doors, reasons,
    ignored.
    """
    states = ("sent", "failed", "uncertain", "skipped", "deferred", "queued", "submitting")
    kinds = ("hard", "soft", "policy", "complaint")

    def pair(each: tuple[int, int] | None) -> tuple[str | int, str | int]:
        return ("", "") if each is None else each

    made = [
        Table(
            "growth",
            ("list", "until", "time", "joined", "left", "suppressed", "active"),
            tuple(
                (each.list, period.label, period.until, period.joined, period.left, period.suppressed, period.active)
                for each in found.growth
                for period in each.periods
            ),
        ),
        Table(
            "issues",
            ("issue", "time", "due", *states, "hard_bounces", "complaints", "left", *_READ),
            tuple(
                (
                    each.label,
                    each.at,
                    each.due,
                    *(each.counts.get(state, 0) for state in states),
                    each.hard,
                    each.complaints,
                    each.left,
                    *pair(each.opened),
                    *pair(each.followed),
                )
                for each in found.issues
            ),
        ),
        Table(
            "links",
            ("issue", "link", "address", "clicks", "readers_who_clicked"),
            tuple(
                (each.label, link.number, link.url, link.times, link.readers)
                for each in found.issues
                for link in each.links
            ),
        ),
        Table("returns", ("kind", "count"), tuple(found.returns.items())),
        Table(
            "domains",
            ("domain", *kinds),
            tuple((name, *(each.get(kind, 0) for kind in kinds)) for name, each in found.domains.items()),
        ),
        Table("doors", ("left_by", "count"), tuple(found.doors.items())),
        Table(
            "reasons", ("day", "issue", "reason"), tuple((f"{r.at:%Y-%m-%d}", r.issue, r.words) for r in found.reasons)
        ),
        Table("ignored", ("what", "this_month", "ever"), tuple((what, *each) for what, each in found.ignored.items())),
    ]
    return {table.name: table for table in made}


_READ = ("opens", "readers_who_opened", "clicks", "readers_who_clicked")
TABLES = ("growth", "issues", "links", "returns", "domains", "doors", "reasons", "ignored")
"""The names of all tables."""


def _short(issue: Issue) -> str:
    """An issue in a word: "2.21", or its date while it has no number."""
    return f"{issues.number_of(issue) or issue.slot}"
