"""newsletter delivery and newsletter db, as an admin types them."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import text
from test_sender import READERS, issue, send  # noqa: F401 - issue is a fixture

from newsletter import database_check
from newsletter.cli import newsletter
from newsletter.errors import DatabaseMistake, IssueMistake, Mistake
from newsletter.folder import Folder

AT = ("--at", "2023-11-13T15:00:00-05:00")


def type_in(folder: Folder, *words: str, typed: str | None = None) -> Result:
    result = CliRunner().invoke(newsletter, ["-C", str(folder.path), *words], input=typed)
    if isinstance(result.exception, Mistake):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


@pytest.fixture
def sent(issue: Any) -> Any:  # noqa: F811
    def make() -> Folder:
        with MailServer(
            refuse={"reader01@example.org": "550 5.1.1 =no such user"}, drop_after_dot={"reader02@example.org"}
        ) as server:
            folder: Folder = issue(server, READERS[:5])
            for _ in range(2):
                send(folder, NOW)
        return folder

    return make


def test_the_log_says_how_the_audience_adds_up_and_who_needs_a_person(sent: Any) -> None:
    output = type_in(sent(), "delivery", "list", "2.21", *AT).output
    assert "Vol 2 No 21: 5 candidates: 5 due." in output
    assert "✓ 3 sent (a relay took them)" in output
    assert (
        output.index("reader02@example.org")
        < output.index("reader01@example.org")
        < output.index("reader00@example.org")
    )
    assert "550 5.1.1 =no such user" in output


def test_the_log_for_machines_holds_the_same(sent: Any) -> None:
    facts = json.loads(type_in(sent(), "delivery", "list", "2.21", "--json", "-n", "2").output)
    assert facts["tally"] == {"sent": 3, "failed": 1, "uncertain": 1}
    assert facts["candidates"] == sum(facts["tally"].values()) + sum(facts["excluded"].values())
    assert [each["state"] for each in facts["deliveries"]] == ["uncertain", "failed"]
    assert facts["more"] == 3


def test_one_readers_attempts_are_shown_with_the_message_id_that_the_message_had(sent: Any) -> None:
    folder = sent()
    shown = json.loads(type_in(folder, "delivery", "show", "2.21", "reader01@example.org", "--json").output)
    assert [each["reply"] for each in shown["attempts"]] == ["550 5.1.1 =no such user"]
    assert shown["message_id"].endswith("@example.org>")
    assert "550 5.1.1" in type_in(folder, "delivery", "show", "2.21", "reader01@example.org").output


def test_the_whole_log_as_a_file_that_no_spreadsheet_takes_for_formulas(sent: Any, tmp_path: Path) -> None:
    folder = sent()
    type_in(folder, "delivery", "retry", "2.21", "--yes", *AT)
    type_in(folder, "delivery", "export", "2.21", "--output", str(tmp_path / "log.csv"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "log.csv").read_text("utf-8-sig"))))
    assert len(rows) == 6
    assert [(row["state"], row["try"]) for row in rows if row["address"] == "reader01@example.org"] == [
        ("failed", "earlier"),
        ("queued", "last"),
    ]
    lines = type_in(folder, "delivery", "export", "--all", "--format", "jsonl").output.splitlines()
    assert len([json.loads(line) for line in lines]) == 6


def test_retrying_asks_first_and_says_how_many(sent: Any) -> None:
    folder = sent()
    refused = type_in(folder, "delivery", "retry", "2.21", typed="n\n")
    assert "Try 1 delivery of Vol 2 No 21 once more?" in refused.output
    assert "no deferred delivery" in type_in(folder, "delivery", "retry", "2.21", "--state", "deferred", *AT).output
    assert "1 delivery queued once more" in type_in(folder, "delivery", "retry", "2.21", "--yes", *AT).output


def test_uncertain_ones_are_listed_by_name_and_nothing_is_decided_unasked(sent: Any) -> None:
    folder = sent()
    output = type_in(folder, "delivery", "resolve", "2.21", *AT).output
    assert "reader02@example.org" in output
    assert "--sent | --again" in output
    assert json.loads(type_in(folder, "delivery", "list", "2.21", "--json").output)["tally"]["uncertain"] == 1
    assert (
        "1 delivery counted as sent."
        in type_in(folder, "delivery", "resolve", "2.21", "--sent", "--yes", "--by", "Ada", *AT).output
    )
    assert "no delivery is uncertain" in type_in(folder, "delivery", "resolve", "2.21", *AT).output


def test_an_issue_that_is_not_there_is_a_sentence(sent: Any) -> None:
    with pytest.raises(IssueMistake):
        type_in(sent(), "delivery", "list", "9.9")


def test_a_sound_database_is_said_to_be(sent: Any) -> None:
    folder = sent()
    result = type_in(folder, "db", "check")
    assert result.exit_code == 0
    assert "5 were due, 5 deliveries are on record" in result.output
    assert all(each["well"] for each in json.loads(type_in(folder, "db", "check", "--json").output))


def test_an_audience_that_does_not_add_up_is_found(sent: Any) -> None:
    folder = sent()
    with folder.engine.begin() as connection:
        connection.execute(text("DELETE FROM deliveries WHERE state = 'failed'"))
    result = type_in(folder, "db", "check")
    assert result.exit_code == 1
    assert "5 were due, 4 deliveries are on record" in result.output


def test_a_delivery_where_no_sender_looks_is_found(sent: Any) -> None:
    folder = sent()
    with folder.engine.begin() as connection:
        connection.execute(text("UPDATE batches SET first = first + 1"))
    assert type_in(folder, "db", "check").exit_code == 1


def test_upgrading_says_from_which_version_to_which(lite_folder: Folder) -> None:
    assert "already" in type_in(lite_folder, "db", "upgrade").output
    (lite_folder.path / "newsletter.db").unlink()
    assert "The tables are made: version 0001" in type_in(lite_folder, "db", "upgrade").output


def test_a_backup_is_whole_and_writes_over_nothing(lite_folder: Folder, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert "Copied the database" in type_in(lite_folder, "db", "backup", str(copy)).output
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    connection.close()
    with pytest.raises(DatabaseMistake, match="something here already"):
        type_in(lite_folder, "db", "backup", str(copy))
    with pytest.raises(DatabaseMistake):
        type_in(lite_folder, "db", "backup", "/no/such/place/copy.db")


def test_postgresql_is_backed_up_by_its_own_tool(folder: Folder, tmp_path: Path) -> None:
    if folder.engine.dialect.name == "postgresql":
        with pytest.raises(DatabaseMistake, match="pg_dump"):
            database_check.backup(folder, tmp_path / "copy.db")
    else:
        assert database_check.backup(folder, tmp_path / "copy.db") > 0
