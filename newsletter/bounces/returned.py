"""The log of what came back, as people ask for it. Reading only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from newsletter.errors import ReturnMistake
from newsletter.models import Issue, Return, Subscriber
from newsletter.states import ReturnKind


@dataclass(frozen=True, slots=True)
class Returned:
    """A line of the log."""

    id: int
    at: dt.datetime
    source: str
    kind: ReturnKind
    address: str
    """Whose copy it was, or whom the report named, if they are a subscriber; "" where nobody knows."""
    subscriber: int | None
    issue: str
    """As on the command line, "digest 2.21"; "" where it isn't known."""
    status: str
    words: str
    done: str
    file: str
    """In the folder of returned messages."""


def listing(
    session: Session,
    *,
    kind: ReturnKind | None = None,
    since: dt.datetime | None = None,
    kept: bool = False,
    limit: int | None = None,
) -> Iterator[Returned]:
    """The lines of the log, the newest first, one by one as the database gives them. With kept=True only those whose
    message lies in the folder for a person to look at.
    """
    query = _lines().order_by(Return.at.desc(), Return.id.desc())
    if kind is not None:
        query = query.where(Return.kind == kind)
    if since is not None:
        query = query.where(Return.at >= since)
    if kept:
        query = query.where(Return.file != "")
    if limit is not None:
        query = query.limit(limit)
    for row, address, issue in session.execute(query.execution_options(yield_per=1000)):
        yield _returned(row, address, issue)


def one(session: Session, number: int) -> Returned:
    """A line of the log. ReturnMistake if there is none."""
    found = session.execute(_lines().where(Return.id == number)).one_or_none() if number < 2**63 else None
    if found is None:
        raise ReturnMistake(f"there is no return {number}", remedy="Look: newsletter bounce list.")
    return _returned(*found)


@dataclass(frozen=True, slots=True)
class Summed:
    """How many returns there were of a kind, by one way."""

    kind: ReturnKind
    source: str
    count: int
    last: dt.datetime


def summary(session: Session, since: dt.datetime | None = None) -> list[Summed]:
    """How many of each kind came by which way, in the order of ReturnKind."""
    query = select(Return.kind, Return.source, func.count(), func.max(Return.at)).group_by(Return.kind, Return.source)
    if since is not None:
        query = query.where(Return.at >= since)
    order = list(ReturnKind)
    found = [Summed(*row) for row in session.execute(query)]
    return sorted(found, key=lambda each: (order.index(each.kind), -each.count, each.source))


def _lines() -> Select[Return, str | None, Issue | None]:
    # By the number where it is known, since an address may have changed hands; else by who has the address.
    whoever = aliased(Subscriber)
    person = func.coalesce(
        Return.subscriber_id,
        select(func.min(whoever.id))
        .where(whoever.fingerprint == Return.fingerprint, Return.fingerprint != "")
        .scalar_subquery(),
    )
    return (
        select(Return, Subscriber.address, Issue)
        .select_from(Return)
        .outerjoin(Subscriber, Subscriber.id == person)
        .outerjoin(Issue, Issue.id == Return.issue_id)
    )


def _returned(row: Return, address: str | None, issue: Issue | None) -> Returned:
    label = f"{issue.publication} {issue.volume}.{issue.number}" if issue is not None and issue.volume else ""
    return Returned(
        row.id,
        row.at,
        row.source,
        row.kind,
        address or "",
        row.subscriber_id,
        label,
        row.status,
        row.words,
        row.done,
        row.file,
    )
