"""Whether a database is whole, and whether the ledger in it adds up; and a copy of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import cast

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from newsletter import database, deliveries, issues
from newsletter.errors import DatabaseMistake
from newsletter.folder import Folder
from newsletter.models import Batch, Delivery, Issue
from newsletter.states import DeliveryState, IssueState

OFTEN = 20000
"""Steps of SQLite's machine between two looks at how far a copy is."""
TOLD = 20
"""Faults of one kind that are told, at most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, as a sentence."""

    well: bool
    sentence: str


def file_of(engine: Engine) -> Path | None:
    """The file that an SQLite database is in; None for PostgreSQL."""
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None


def check(folder: Folder) -> Iterator[Finding]:
    """Looks at version, integrity and, issue by issue, at whether the audience adds up; answers as it goes.

    Nothing is changed, and no file is made. A database that can't be reached is a finding too.
    """
    file = file_of(folder.engine)
    if file is not None and not file.exists():
        yield Finding(False, f"{file}: there is no database yet. Make it: newsletter db upgrade.")
        return
    try:
        found, wanted = database.version(folder.engine), database.head()
        with database.reached(folder.engine), folder.reading() as session:
            yield from _sound(session.connection(), file)
            if found != wanted:
                yield _other_version(found, wanted)
                return
            yield Finding(True, f"Its tables are of version {found}, as this program's.")
            for issue in session.scalars(select(Issue).where(Issue.started.is_not(None)).order_by(Issue.id)):
                yield from _adds_up(session, issue)
    except DatabaseMistake as mistake:
        yield Finding(False, str(mistake))


def _sound(connection: Connection, file: Path | None) -> Iterator[Finding]:
    if file is None:
        version = connection.exec_driver_sql("SHOW server_version").scalar()
        yield Finding(True, f"PostgreSQL {version} answers.")
        return
    try:
        faults = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA integrity_check({TOLD})")]
        dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(TOLD)
    except DBAPIError as error:
        yield Finding(False, f"{file} is damaged: {error.orig}.")
        return
    if faults == ["ok"]:
        yield Finding(True, f"{file} is whole, by SQLite {sqlite3.sqlite_version}.")
    else:
        yield from (Finding(False, f"{file} is damaged: {fault}.") for fault in faults)
    for table, row, parent, _ in dangling:
        yield Finding(False, f"Row {row} of {table} points to a row of {parent} that isn't there.")


def _other_version(found: str | None, wanted: str) -> Finding:
    if found is None:
        return Finding(False, "It has no tables yet. Make them: newsletter db upgrade.")
    if found < wanted:
        return Finding(
            False,
            f"Its tables are of version {found}, this program wants {wanted}. Bring them up: newsletter db upgrade.",
        )
    return Finding(
        False,
        f"Its tables are of version {found}, newer than this program, which knows {wanted}. Install the newer one.",
    )


def _adds_up(session: Session, issue: Issue) -> Iterator[Finding]:
    """An issue's ledger against the count that was written when its audience was frozen, and against its state."""
    name = issues.name(issue)
    tally = deliveries.tally(session, issue.id)
    rows, due = sum(tally.values()), (issue.candidates or 0) - sum((issue.excluded or {}).values())
    waiting = sum(tally.get(state, 0) for state in deliveries.OPEN)
    wrong = []
    if rows != due:
        wrong.append(f"{name}: {due:,} were due, and the ledger holds {rows:,} deliveries.")
    if waiting and issue.state is IssueState.sent:
        wrong.append(f"{name} is sent, and {waiting:,} of its deliveries have not ended.")
    if waiting and issue.state in (IssueState.sending, IssueState.paused):
        looked_at = session.scalar(
            select(func.count())
            .select_from(Batch)
            .join(
                Delivery,
                (Delivery.issue_id == Batch.issue_id) & Delivery.subscriber_id.between(Batch.first, Batch.last),
            )
            .where(
                Batch.issue_id == issue.id,
                Batch.due.is_not(None) | Batch.owner.is_not(None),
                Delivery.state.in_(deliveries.OPEN),
            )
        )
        if lost := waiting - (looked_at or 0):
            wrong.append(f"{name}: {lost:,} of its deliveries wait where no sender looks.")
    if wrong:
        yield from (Finding(False, sentence) for sentence in wrong)
        return
    states = ", ".join(f"{tally[state]:,} {state.value}" for state in DeliveryState if state in tally)
    yield Finding(True, f"{name} adds up: {due:,} were due{f': {states}' if states else ''}.")


def dump_command(url: URL, file: Path) -> str:
    """What to type to copy a PostgreSQL database with its own tool, which asks for the password itself."""
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return f"pg_dump --format=custom --file={quote(str(file))} {quote(plain.render_as_string(hide_password=False))}"


def copy(engine: Engine, part: Path, progress: Callable[[float], object] = lambda _: None) -> str:
    """Copies an SQLite database as it is at one moment, while others go on writing, into the empty file `part`.

    What was erased is not in the copy, even where the database's file still holds it as free space. `progress` is
    told, from 0 to 1, how far it is. Answers the version of the tables. DatabaseMistake where there is no database, it
    is no SQLite, or there is no room.
    """
    file = file_of(engine)
    if file is None:
        raise DatabaseMistake("this copies SQLite", remedy=f"For PostgreSQL: {dump_command(engine.url, part)}")
    if not file.exists():
        raise DatabaseMistake("there is no database yet", where=file, remedy="Make it: newsletter db upgrade.")
    version = database.version(engine)
    if version is None:
        raise DatabaseMistake("the database has no tables yet", where=file, remedy="Make them: newsletter db upgrade.")
    # Past SQLAlchemy, which would begin a transaction: VACUUM can't be in one.
    with database.reached(engine), closing(engine.raw_connection()) as pooled:
        connection = cast("sqlite3.Connection", pooled.dbapi_connection)
        size = file.stat().st_size or 1
        stopped: list[BaseException] = []

        def look() -> int:
            try:
                progress(min(1.0, part.stat().st_size / size))
            except BaseException as error:  # noqa: BLE001 - SQLite would swallow it, Ctrl-C too; raised again below
                stopped.append(error)
                return 1
            return 0

        connection.set_progress_handler(look, OFTEN)
        try:
            connection.execute("VACUUM INTO ?", (str(part),))
        except sqlite3.Error as error:
            if stopped:
                raise stopped[0] from None
            raise DatabaseMistake(f"it can't be copied: {error}", where=file) from None
        finally:
            connection.set_progress_handler(None, 0)
    return version
