"""The database: opened, checked, brought up to date. SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from newsletter.errors import DatabaseMistake

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.orm import Session

    from newsletter.models import Base

MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str, beside: Path) -> Engine:
    """An engine for `url`; a relative SQLite file is looked for in `beside`, and $NAME in the environment.

    Nothing is connected to yet. DatabaseMistake for a URL that isn't one.
    """
    if url.startswith("$"):
        try:
            url = os.environ[url[1:]]
        except KeyError:
            raise DatabaseMistake(
                f"the environment has no {url[1:]}, which config.toml names for the database",
                remedy="Set it to an SQLAlchemy URL such as postgresql://user@host/name.",
            ) from None
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite":
            if parsed.database and parsed.database != ":memory:":
                parsed = parsed.set(database=str(beside / parsed.database))
            engine = create_engine(parsed, connect_args={"timeout": 30})
            event.listen(engine, "connect", _sqlite_connect)
            event.listen(engine, "begin", _sqlite_begin)
            return engine
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
        pass
    raise DatabaseMistake(
        f'"{re.sub(r"://.*@", "://…@", url)}" is not a database that can be used',
        remedy="Write sqlite:///newsletter.db or postgresql://user@host/name.",
    )


def insert(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that may say what is to become of a row that is there already, as this session's database says it."""
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def _sqlite_connect(connection: Any, _record: object) -> None:
    # SQLAlchemy begins the transactions (see _sqlite_begin); the driver's own rules would do it too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # What is committed is on disk: the ledger's promise rests on it.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # What is changed or erased is overwritten in the file, also by an SQLite that isn't built so (Debian's is).
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.execute("PRAGMA cache_size = -4000")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # The write lock at once: a transaction that read first and writes later would fail, not wait.
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def head() -> str:
    """The version that this program's tables have."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def version(engine: Engine) -> str | None:
    """The version of the tables in the database; None where there are none. DatabaseMistake if it can't be reached."""
    with reached(engine), engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return None if found is None else str(found)


def check(engine: Engine) -> None:
    """DatabaseMistake unless the database is there and of this program's version."""
    found, wanted = version(engine), head()
    if found == wanted:
        return
    if found is None or found < wanted:
        raise DatabaseMistake(
            "the database has no tables yet"
            if found is None
            else f"the database is of version {found}, this program wants {wanted}",
            remedy="Bring it up to date: newsletter db upgrade.",
        )
    raise DatabaseMistake(
        f"the database is of version {found}, newer than this program, which knows {wanted}",
        remedy="Install the newer newsletter; nothing was changed.",
    )


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Makes the tables, or brings them up to date. Answers the version before and after."""
    from alembic import command
    from alembic.config import Config as Alembic

    before, wanted = version(engine), head()
    if before is not None and before > wanted:
        check(engine)
    settings = Alembic()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with reached(engine), engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
    return before, wanted


@contextmanager
def reached(engine: Engine) -> Iterator[None]:
    """Turns a driver's complaint about the connection into a DatabaseMistake."""
    try:
        yield
    except DBAPIError as error:
        where = engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string()
        words = str(error.orig).strip().splitlines()
        raise DatabaseMistake(
            f"the database can't be used: {words[0] if words else type(error.orig).__name__}",
            where=where,
            remedy="Check `database` in config.toml, and that the file or the server can be reached from here.",
        ) from None
