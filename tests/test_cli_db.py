"""newsletter db, as an admin types it: on both databases, and on ones that aren't well."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import NOW
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.engine import make_url
from test_sender import READERS, issue, send  # noqa: F401 - issue is a fixture

from newsletter import database, database_check
from newsletter.cli import newsletter
from newsletter.errors import DatabaseMistake, Mistake
from newsletter.folder import Folder
from newsletter.models import Batch, Delivery, Event, Issue, Subscriber
from newsletter.states import DeliveryState, IssueState


def type_in(folder: Folder, *words: str) -> Result:
    result = CliRunner().invoke(newsletter, ["-C", str(folder.path), "db", *words])
    if isinstance(result.exception, Mistake):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def findings(folder: Folder) -> tuple[int, list[str]]:
    """The exit code of a check, and what isn't well."""
    result = type_in(folder, "check", "--json")
    said = json.loads(result.stdout)
    wrong = [each["sentence"] for each in said["findings"] if not each["well"]]
    assert said["well"] == (not wrong)
    return result.exit_code, wrong


@pytest.fixture
def sent(issue: Any) -> Folder:  # noqa: F811
    folder: Folder = issue(None, READERS[:5])
    send(folder, NOW)
    return folder


# ---- upgrade


def test_upgrading_makes_the_tables_and_says_of_which_version(lite_folder: Folder) -> None:
    (lite_folder.path / "newsletter.db").unlink()
    assert type_in(lite_folder, "upgrade").stdout == f"The tables are made, of version {database.head()}.\n"
    assert type_in(lite_folder, "check").exit_code == 0


def test_upgrading_what_is_up_to_date_changes_nothing_and_says_so(folder: Folder) -> None:
    wanted = database.head()
    assert type_in(folder, "upgrade").stdout == f"The tables are of version {wanted} already; nothing was changed.\n"


def test_a_database_newer_than_the_program_is_left_alone(folder: Folder) -> None:
    with folder.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseMistake, match="newer than this program"):
        type_in(folder, "upgrade")
    code, (sentence,) = findings(folder)
    assert code == 1
    assert "of version 9999, newer than this program" in sentence


# ---- check


def test_a_sound_database_is_said_to_be(sent: Folder) -> None:
    result = type_in(sent, "check")
    assert result.exit_code == 0
    engine = "PostgreSQL 1" if sent.engine.dialect.name == "postgresql" else "newsletter.db is whole"
    assert engine in result.stdout
    assert f"✓ Its tables are of version {database.head()}, as this program's.\n" in result.stdout
    assert "✓ Vol 2 No 21 adds up: 5 were due: 5 sent.\n" in result.stdout
    assert findings(sent) == (0, [])


def test_an_issue_at_work_adds_up_too(issue: Any) -> None:  # noqa: F811
    assert "✓ Vol 2 No 21 adds up: 5 were due: 5 queued.\n" in type_in(issue(None, READERS[:5]), "check").stdout


def test_a_delivery_that_is_missing_is_found(sent: Folder) -> None:
    with sent.session() as session:
        session.execute(
            delete(Delivery).where(Delivery.subscriber_id == select(func.min(Subscriber.id)).scalar_subquery())
        )
    assert findings(sent) == (1, ["Vol 2 No 21: 5 were due, and the ledger holds 4 deliveries."])
    assert "✗ Vol 2 No 21: 5 were due" in type_in(sent, "check").stdout


def test_a_delivery_that_was_forgotten_by_an_issue_that_is_sent_is_found(sent: Folder) -> None:
    with sent.session() as session:
        session.execute(update(Delivery).values(state=DeliveryState.queued))
    assert findings(sent) == (1, ["Vol 2 No 21 is sent, and 5 of its deliveries have not ended."])


def test_a_delivery_where_no_sender_looks_is_found(issue: Any) -> None:  # noqa: F811
    folder = issue(None, READERS[:5])
    with folder.session() as session:
        session.execute(update(Batch).values(first=Batch.first + 1))
    assert findings(folder) == (1, ["Vol 2 No 21: 1 of its deliveries wait where no sender looks."])
    with folder.session() as session:
        session.execute(update(Batch).values(first=Batch.first - 1, due=None))
    assert findings(folder) == (1, ["Vol 2 No 21: 5 of its deliveries wait where no sender looks."])
    with folder.session() as session:
        session.execute(update(Issue).values(state=IssueState.cancelled))
    assert findings(folder)[0] == 0


def test_a_database_without_tables_or_that_is_not_there_is_found_and_none_is_made(lite_folder: Folder) -> None:
    file = lite_folder.path / "newsletter.db"
    file.unlink()
    assert findings(lite_folder) == (1, [f"{file}: there is no database yet. Make it: newsletter db upgrade."])
    assert not file.exists()
    sqlite3.connect(file).close()
    file.touch()
    assert findings(lite_folder) == (1, ["It has no tables yet. Make them: newsletter db upgrade."])


def test_a_database_of_an_older_version_is_found(folder: Folder) -> None:
    with folder.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    code, (sentence,) = findings(folder)
    assert code == 1
    assert sentence.startswith("Its tables are of version 0000, this program wants")


def test_a_damaged_file_is_found(lite_folder: Folder) -> None:
    file = lite_folder.path / "newsletter.db"
    with lite_folder.session() as session:
        session.execute(insert(Event), [{"fingerprint": "f" * 32, "at": NOW, "what": "x" * 500} for _ in range(200)])
    lite_folder.engine.dispose()
    raw = bytearray(file.read_bytes())
    middle = raw.index(b"x" * 500) // 4096 * 4096
    raw[middle : middle + 4096] = os.urandom(4096)
    file.write_bytes(raw)
    code, wrong = findings(lite_folder)
    assert code == 1
    assert all(sentence.startswith(f"{file} is damaged: ") for sentence in wrong)
    file.write_bytes(b"no database at all" * 400)
    code, (sentence,) = findings(lite_folder)
    assert code == 1
    assert "file is not a database" in sentence


def test_a_row_that_points_to_none_is_found(lite_folder: Folder) -> None:
    with sqlite3.connect(lite_folder.path / "newsletter.db") as connection:
        connection.execute("INSERT INTO batches (issue_id, first, last) VALUES (7, 1, 2)")
    connection.close()
    assert findings(lite_folder) == (1, ["Row 1 of batches points to a row of issues that isn't there."])


def test_a_database_that_cannot_be_reached_is_found(make_folder: Callable[..., Folder], database_url: str) -> None:
    folder = make_folder((database_url, "postgresql://digest:secret@127.0.0.1:1/digest"))
    code, (sentence,) = findings(folder)
    assert code == 1
    assert "the database can't be used" in sentence
    assert "secret" not in sentence


# ---- backup


def test_a_backup_is_whole_and_says_what_else_belongs_to_it(lite_folder: Folder, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    said = type_in(lite_folder, "backup", str(copy)).stdout
    assert said.startswith(
        f"{copy} is a copy of the database, {copy.stat().st_size / 1e6:.1f} MB, of version {database.head()}.\n"
    )
    assert "belong config.toml, lists/, templates/ and pictures/ too" in said
    assert copy.stat().st_mode & 0o777 == 0o600
    shutil.copy(copy, lite_folder.path / "newsletter.db")
    assert findings(lite_folder) == (0, [])


def test_a_backup_is_of_one_moment_although_others_go_on_writing(lite_folder: Folder, tmp_path: Path) -> None:
    """A writer puts in rows by two, a transaction each; a copy that holds an odd number was torn."""
    file, written, over = lite_folder.path / "newsletter.db", threading.Event(), threading.Event()

    def write() -> None:
        connection = sqlite3.connect(file, timeout=30, isolation_level=None)
        while not over.is_set():
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                connection.execute(
                    "INSERT INTO events (fingerprint, at, what) VALUES ('f', '2023-11-13', ?)", ("x" * 5000,)
                )
            connection.execute("COMMIT")
            written.set()
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    try:
        for number in range(5):
            written.clear()
            assert written.wait(30)
            type_in(lite_folder, "backup", str(tmp_path / f"{number}.db"))
            copy = sqlite3.connect(tmp_path / f"{number}.db")
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            counts.append(copy.execute("SELECT count(*) FROM events").fetchone()[0])
            copy.close()
    finally:
        over.set()
        writer.join()
    assert all(count % 2 == 0 for count in counts)
    assert 0 < counts[0] < counts[-1]


def test_a_backup_writes_over_nothing_and_leaves_nothing_half_done(lite_folder: Folder, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("mine")
    with pytest.raises(DatabaseMistake, match=r"there is such a file already\. Nothing was written; name another\."):
        type_in(lite_folder, "backup", str(there))
    assert there.read_text() == "mine"
    with pytest.raises(DatabaseMistake, match="it can't be written: No such file or directory"):
        type_in(lite_folder, "backup", str(tmp_path / "nowhere" / "copy.db"))
    (lite_folder.path / "newsletter.db").unlink()
    with pytest.raises(DatabaseMistake, match="there is no database yet"):
        type_in(lite_folder, "backup", str(tmp_path / "copy.db"))
    assert not list(tmp_path.glob("copy*"))
    assert not (lite_folder.path / "newsletter.db").exists()


def test_a_backup_that_is_stopped_leaves_nothing(lite_folder: Folder, tmp_path: Path) -> None:
    with lite_folder.session() as session:
        session.execute(insert(Event), [{"fingerprint": f"{n:032}", "at": NOW, "what": "x"} for n in range(20000)])
    part, shares = tmp_path / "part", []

    def stop(share: float) -> None:
        shares.append(share)
        if len(shares) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database_check.copy(lite_folder.engine, part, stop)
    assert len(shares) == 3
    assert all(0 <= share <= 1 for share in shares)
    part.unlink()
    assert database_check.copy(lite_folder.engine, part) == database.head()


def test_what_was_erased_is_in_no_backup_made_afterwards(lite_folder: Folder, tmp_path: Path) -> None:
    secret = b"ada.lovelace@example.org"
    with lite_folder.session() as session:
        session.execute(insert(Event), [{"fingerprint": "f", "at": NOW, "what": secret.decode()}])
    with lite_folder.session() as session:
        session.execute(delete(Event))
    type_in(lite_folder, "backup", str(tmp_path / "copy.db"))
    written = b"".join(each.read_bytes() for each in lite_folder.path.glob("newsletter.db*"))
    assert secret in written
    assert secret not in (tmp_path / "copy.db").read_bytes()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_has_a_tool_of_its_own_and_its_command_is_told_without_the_password(
    make_folder: Callable[..., Folder], database_url: str
) -> None:
    folder = make_folder()
    with pytest.raises(DatabaseMistake, match=r"pg_dump --format=custom --file=copy\.db ") as told:
        type_in(folder, "backup", "copy.db")
    assert make_url(database_url).database in str(told.value)
    url = make_url("postgresql+psycopg://ann:secret@db.example.org:5433/digest?sslmode=require")
    assert database_check.dump_command(url, Path("my copy.dump")) == (
        "pg_dump --format=custom --file='my copy.dump' 'postgresql://ann@db.example.org:5433/digest?sslmode=require'"
    )


@pytest.mark.parametrize("verb", ["upgrade", "check", "backup"])
def test_every_verb_has_help_with_examples(verb: str) -> None:
    assert verb in CliRunner().invoke(newsletter, ["db", "--help"]).stdout
    assert f"newsletter db {verb}" in CliRunner().invoke(newsletter, ["db", verb, "--help"]).stdout
