"""Whether a database is whole, and a copy of it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sqlalchemy import func, select

from newsletter import database, issues
from newsletter.errors import DatabaseMistake
from newsletter.folder import Folder
from newsletter.models import Batch, Delivery, Issue


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, as a sentence."""

    well: bool
    sentence: str


def check(folder: Folder) -> list[Finding]:
    """Looks at version and integrity, and at whether each issue's deliveries are as many as were due.

    DatabaseMistake if the database can't be reached or is of another version.
    """
    database.check(folder.engine)
    findings = [Finding(well=True, sentence=f"version {database.head()}, as this program wants it")]
    with database.reached(folder.engine), folder.reading() as session:
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            whole = said == ["ok"]
            findings.append(Finding(whole, "the file is whole" if whole else f"the file is damaged: {said[0]}"))
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            findings.append(
                Finding(
                    not dangling,
                    "every row points to one that is there"
                    if not dangling
                    else f"{len(dangling)} rows point to one that isn't there, first in {dangling[0][0]}",
                )
            )
        else:
            said = [str(connection.exec_driver_sql("SHOW server_version").scalar())]
            findings.append(Finding(well=True, sentence=f"PostgreSQL {said[0]} answers"))
        for issue in session.scalars(select(Issue).where(Issue.started.is_not(None)).order_by(Issue.id)):
            due = (issue.candidates or 0) - sum((issue.excluded or {}).values())
            rows = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.issue_id == issue.id)) or 0
            covered = (
                session.scalar(
                    select(func.count())
                    .select_from(Delivery)
                    .join(
                        Batch,
                        (Batch.issue_id == Delivery.issue_id) & Delivery.subscriber_id.between(Batch.first, Batch.last),
                    )
                    .where(Delivery.issue_id == issue.id)
                )
                or 0
            )
            well = due == rows == covered
            findings.append(
                Finding(
                    well,
                    f"{issues.name(issue)}: {due:,} were due, {rows:,} deliveries are on record"
                    + ("" if covered == rows else f", {covered:,} of them where a sender looks"),
                )
            )
    return findings


def backup(folder: Folder, file: Path) -> int:
    """A copy of an SQLite database at one moment, whatever is written meanwhile; answers its size in bytes.

    DatabaseMistake where there is something already, it can't be written, or the database is PostgreSQL.
    """
    url = folder.engine.url
    if folder.engine.dialect.name != "sqlite":
        raise DatabaseMistake(
            "this copies SQLite only",
            remedy=f"Use PostgreSQL's own: pg_dump --format=custom --file={file} {url.database}",
        )
    database.check(folder.engine)
    if file.exists():
        raise DatabaseMistake("there is something here already", where=file, remedy="Name a file that isn't there yet.")
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with database.reached(folder.engine), folder.reading() as session:
            source = cast("sqlite3.Connection", session.connection().connection.dbapi_connection)
            target = sqlite3.connect(part)
            try:
                source.backup(target)
            finally:
                target.close()
        part.replace(file)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseMistake(f"the copy can't be written: {error}", where=file) from None
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size
