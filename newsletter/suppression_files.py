"""Suppressions from files of other systems and of our own, and to a file.

Understood are what Amazon SES, SendGrid, Mailgun, Postmark, Mailchimp and listmonk write, our own export, any table
with a column of addresses, and bare addresses, one a line. Columns are known by their names. An import takes
nobody's suppression away and changes none: whoever is suppressed already stays so, with the first reason.

An erased address is in our export as its fingerprint, made with a key that never leaves the database; `fingerprint_key`
tells whose key it was. Such a row means something only where the key is the same: in the same database, or in one that
was restored from its backup. Elsewhere it would protect nobody, and is refused rather than taken in for nothing.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TextIO

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from newsletter import suppressions
from newsletter.errors import ImportMistake, SubscriberMistake
from newsletter.models import Event, Subscriber, Suppression
from newsletter.spreadsheets import Record, Table, Writer
from newsletter.states import SuppressionReason
from newsletter.subscriber_import import Refused
from newsletter.suppression_columns import NOT_A_REASON, OWN, Columns, Row, key_check
from newsletter.tokens import Keys, keys

BATCH = 1000


class Outcome(enum.Enum):
    """What became of a row."""

    added = "suppressed"
    """Not mailed from now on."""
    known = "suppressed already"
    """Before, or by a row further up."""
    mailed = "not a suppression"
    """The row says that this address may be mailed."""
    refused = "refused"
    """Not taken in; the reason is in the file of refused rows."""


@dataclass(slots=True)
class Report:
    """What an import did. The outcomes add up to the rows."""

    encoding: str
    separator: str
    headerless: bool
    rows: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    added: Counter[SuppressionReason] = field(default_factory=Counter)
    """By reason; they add up to the added."""
    refused: Counter[str] = field(default_factory=Counter)
    """By why; they add up to the refused."""
    assumed: int = 0
    """Rows that don't say why, and were given the reason that was asked for, or that the file's name says."""
    undated: int = 0
    """Rows with a date that isn't understood; theirs is the moment of the import."""
    readers: int = 0
    """Subscribers here among the added."""
    to_erase: int = 0
    """Those who asked another system to erase them, and whose data we still have: suppressed now or long ago."""
    skipped: int = 0
    """Deliveries that still waited for somebody, and now will not go."""


def import_suppressions(
    session: Session,
    table: Table,
    *,
    now: dt.datetime,
    why: str,
    refuse: Callable[[Refused, Sequence[str]], None],
    reason: SuppressionReason | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Suppresses everybody in `table`, calls off what still waits for them, and reports.

    `reason` is for rows that don't say theirs; with None the name of the file may say it, else it is request.
    `refuse` gets each refused row, and the header; `progress` the octets read so far. ImportMistake where the file
    can't be understood; whoever opened the session then undoes what was done.
    """
    records = table.records()
    first = next(records, None)
    if first is None:
        raise ImportMistake("there is nothing in it", where=table.name)
    known = keys(session, now)
    columns = Columns(first.cells, table.name, known, reason)
    report = Report(table.encoding, table.separator, columns.headerless)
    header = [] if columns.headerless else first.cells
    erased: set[str] = set()
    rows = _again(first, records) if columns.headerless else records
    while batch := list(islice(rows, BATCH)):
        meant = []
        for record in batch:
            try:
                row = columns.row(record)
            except SubscriberMistake as mistake:
                report.outcomes[Outcome.refused] += 1
                report.refused[_kind(mistake.what)] += 1
                refuse(Refused(record.line, mistake.what, record.cells), header)
                continue
            if row is None:
                report.outcomes[Outcome.mailed] += 1
            else:
                meant.append(row)
        _write(session, meant, report, why, now)
        asked = {row.fingerprint for row in meant if row.reason is SuppressionReason.erasure} - erased
        report.to_erase += _still_here(session, asked)
        erased |= asked
        report.rows += len(batch)
        if progress:
            progress(table.position)
    return report


def _write(session: Session, rows: Sequence[Row], report: Report, why: str, now: dt.datetime) -> None:
    there = set(
        session.scalars(
            select(Suppression.fingerprint).where(Suppression.fingerprint.in_({row.fingerprint for row in rows}))
        )
    )
    fresh: dict[str, Row] = {}
    for row in rows:
        if row.fingerprint in there or row.fingerprint in fresh:
            report.outcomes[Outcome.known] += 1
            continue
        fresh[row.fingerprint] = row
        report.outcomes[Outcome.added] += 1
        report.added[row.reason] += 1
        report.assumed += row.assumed
        report.undated += row.undated
    if not fresh:
        return
    suppressions.put(
        session,
        [
            {
                "fingerprint": row.fingerprint,
                "address": row.address,
                "reason": row.reason,
                "since": min(row.since or now, now),
                "why": row.why or why,
            }
            for row in fresh.values()
        ],
    )
    told = [
        {"fingerprint": row.fingerprint, "at": now, "what": f"suppressed: {row.reason.value} ({row.why or why})"}
        for row in fresh.values()
        if row.reason is not SuppressionReason.erasure
    ]
    if told:
        session.execute(insert(Event), told)
    people: dict[SuppressionReason, list[int]] = {}
    for number, fingerprint in session.execute(
        select(Subscriber.id, Subscriber.fingerprint).where(Subscriber.fingerprint.in_(fresh))
    ):
        people.setdefault(fresh[fingerprint].reason, []).append(number)
        report.readers += 1
    for reason, numbers in people.items():
        report.skipped += suppressions.skip_waiting(session, numbers, f"suppressed: {reason.value}", now)


def _still_here(session: Session, fingerprints: set[str]) -> int:
    """How many of these subscribers have not been erased here."""
    if not fingerprints:
        return 0
    theirs = Subscriber.fingerprint.in_(fingerprints) & Subscriber.address.is_not(None)
    return session.scalars(select(func.count()).select_from(Subscriber).where(theirs)).one()


def export_suppressions(rows: Iterable[Suppression], known: Keys, out: TextIO) -> int:
    """Writes suppressions as CSV, in UTF-8 with a BOM. Answers how many.

    An address where we have it; else its fingerprint, and what tells the key that it was made with.
    """
    write = Writer(out)
    write.row(OWN)
    check, count = key_check(known), 0
    for row in rows:
        who = (row.address, "", "") if row.address else ("", row.fingerprint, check)
        write.row([*who, row.reason.value, row.since.isoformat(), row.why])
        count += 1
    return count


def _again(first: Record, rest: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from rest


def _kind(reason: str) -> str:
    """A reason for refusing as it is counted: without what only this row holds."""
    if " is not an address: " in reason:
        return "not an address"
    if NOT_A_REASON in reason:
        return "a reason that isn't known"
    return "more cells than the header" if " cells, the header " in reason else reason
