"""newsletter bounce, as an admin types it and as a mail server pipes into it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from came_back import LATER, dsn, gone_out, returns, suppressed, token, told
from click.testing import CliRunner, Result
from imapserver import ImapServer

from newsletter.bounces import acting, keeping
from newsletter.bounces.acting import Report
from newsletter.bounces.verdict import Verdict
from newsletter.cli import newsletter
from newsletter.errors import Mistake, ReturnMistake
from newsletter.folder import Folder
from newsletter.models import Subscriber
from newsletter.states import ReturnKind

ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    """SQLite alone: what is asked of the database here is tested on both elsewhere."""
    shutil.copy(migrated, tmp_path / "newsletter.db")
    return "sqlite:///newsletter.db"


@pytest.fixture
def issue(folder: Folder, subscribe: Callable[..., Subscriber]) -> int:
    return gone_out(folder, subscribe, [ANN, BOB])


def type_in(folder: Folder, *words: str) -> Result:
    result = CliRunner().invoke(newsletter, ["-C", str(folder.path), *words])
    if result.exception and not isinstance(result.exception, Mistake | SystemExit):
        raise result.exception
    return result


def piped(folder: Folder, raw: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "newsletter", "-C", str(folder.path), "bounce", "read", *words]
    return subprocess.run(command, input=raw, capture_output=True, check=False, timeout=60)


@pytest.fixture
def log(folder: Folder, issue: int) -> Folder:
    """Three lines in the log, one with its message kept."""
    mine = token(folder, issue, ANN)
    for digest, verdict in {
        "1": Verdict(kind=ReturnKind.hard, token=mine, status="5.1.1", words="550 5.1.1 [bold]no such user"),
        "2": Verdict(kind=ReturnKind.policy, token=token(folder, issue, BOB), status="5.7.1", words="550 blocked"),
        "3": Verdict(kind=ReturnKind.unknown),
    }.items():
        acting.report(folder, "imap", [Report(verdict, digest)], LATER, raw=b"Subject: hm\n\nhm\n")
    return folder


def test_a_mail_server_pipes_a_bounce_in_and_is_told_that_it_is_on_disk(folder: Folder, issue: int) -> None:
    mine = f"digest+{token(folder, issue, ANN)}@example.org"
    said = piped(folder, dsn("alias@example.net"), "--recipient", mine)
    assert (said.returncode, said.stdout, said.stderr) == (0, b"hard: suppressed (bounce)\n", b"")
    assert suppressed(folder) == {ANN: "bounce"}
    assert returns(folder)[0].source == "stdin"
    assert piped(folder, dsn("alias@example.net"), "--recipient", mine).returncode == 0
    assert len(returns(folder)) == 1


def test_a_mail_server_is_told_to_try_again_where_nothing_can_be_written_down(folder: Folder) -> None:
    with folder.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE returns RENAME TO elsewhere")
    said = piped(folder, dsn(ANN))
    assert said.returncode == 75
    assert b"the database can't be used" in said.stderr
    assert b"Traceback" not in said.stderr
    (folder.path / "config.toml").write_text("nonsense")
    assert piped(folder, dsn(ANN)).returncode == 75
    (folder.path / "config.toml").unlink()
    assert piped(folder, dsn(ANN)).returncode == 75


def test_bytes_of_any_kind_are_taken_and_end_somewhere(folder: Folder) -> None:
    for raw in (b"", b"\x00\xff" * 1000, b"Subject: =?x?b?????\r\n" * 50, b"x" * (acting.LARGEST + 5)):
        assert piped(folder, raw).returncode == 0
    assert all(row.done for row in returns(folder))
    assert all(keeping.there(folder, row.file) for row in returns(folder) if row.kind is ReturnKind.unknown)


def test_the_log_is_listed_the_newest_first(log: Folder) -> None:
    said = type_in(log, "bounce", "list")
    lines = [line.split() for line in said.output.splitlines() if line[:1].isspace() or line[:1].isdigit()]
    assert [(line[0], line[3], line[4]) for line in lines if len(line) > 4 and line[0].isdigit()] == [
        ("3", "unknown", "kept"),
        ("2", "policy", BOB),
        ("1", "hard", ANN),
    ]
    assert "3 rows" in said.output
    assert ANN not in type_in(log, "bounce", "list", "--kind", "policy").output
    assert type_in(log, "bounce", "list", "--since", "2023-11-15T00:00").output == (
        "Nothing came back that matches that.\n"
    )
    kept = type_in(log, "bounce", "list", "--kept").output
    assert returns(log)[2].file in kept
    assert ANN not in kept
    assert "1 row" in type_in(log, "bounce", "list", "--limit", "1").output


def test_the_log_is_listed_for_machines(log: Folder) -> None:
    found = json.loads(type_in(log, "bounce", "list", "--json").output)
    assert [(row["kind"], row["address"], row["issue"]) for row in found] == [
        ("unknown", "", ""),
        ("policy", BOB, "digest 2.21"),
        ("hard", ANN, "digest 2.21"),
    ]


def test_one_line_is_shown_whole(log: Folder) -> None:
    said = type_in(log, "bounce", "show", "1").output
    for words in ("hard: the address doesn't exist", "by imap", ANN, "digest 2.21", "550 5.1.1 [bold]no such user"):
        assert words in said
    assert "suppressed (bounce)" in said
    assert "not kept" in said
    kept = returns(log)[2].file
    assert kept in "".join(type_in(log, "bounce", "show", "3").output.split())
    keeping.drop(log, kept)
    assert "no longer there" in type_in(log, "bounce", "show", "3").output
    assert json.loads(type_in(log, "bounce", "show", "1", "--json").output)["status"] == "5.1.1"
    missing = type_in(log, "bounce", "show", "99")
    assert isinstance(missing.exception, ReturnMistake)
    assert isinstance(type_in(log, "bounce", "show", "9" * 30).exception, ReturnMistake)


def test_the_kinds_are_counted(log: Folder) -> None:
    said = type_in(log, "bounce", "summary").output
    assert [line.split()[:3] for line in said.splitlines()[2:]] == [
        ["hard", "imap", "1"],
        ["policy", "imap", "1"],
        ["unknown", "imap", "1"],
    ]
    found = json.loads(type_in(log, "bounce", "summary", "--json").output)
    assert [(row["kind"], row["count"]) for row in found] == [("hard", 1), ("policy", 1), ("unknown", 1)]
    assert type_in(log, "bounce", "summary", "--since", "2024-01-01T00:00").output == "Nothing came back since then.\n"


def test_mailboxes_are_looked_into_once(
    make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder()
    issue = gone_out(folder, subscribe, [ANN, BOB])
    for part in ("new", "cur", "tmp"):
        (folder.path / "bounced" / part).mkdir(parents=True)
    (folder.path / "bounced" / "new" / "1").write_bytes(dsn(ANN, token=token(folder, issue, ANN)))
    nothing = type_in(folder, "bounce", "fetch")
    assert isinstance(nothing.exception, Mistake)
    assert "there is no mailbox to look into" in str(nothing.exception)
    monkeypatch.setenv("MAILBOX_PASSWORD", "secret")
    with ImapServer({"INBOX": [dsn(BOB, token=token(folder, issue, BOB))]}) as server:
        text = (folder.path / "config.toml").read_text()
        text += f"""
[returns]
maildir = "bounced"
[returns.imap]
host = "127.0.0.1"
port = {server.port}
security = "none"
username = "bounces"
password_env = "MAILBOX_PASSWORD"
"""
        (folder.path / "config.toml").write_text(text)
        said = type_in(folder, "bounce", "fetch", "--at", LATER.isoformat())
    assert said.output == "1 message from bounced.\n1 message from INBOX at 127.0.0.1.\n"
    assert suppressed(folder) == {ANN: "bounce", BOB: "bounce"}


def test_erasing_someone_takes_their_kept_messages_away(log: Folder) -> None:
    raw = f"Subject: hello\n\n{ANN} here\n".encode()
    acting.report(log, "imap", [Report(Verdict(kind=ReturnKind.unknown), "4")], LATER, raw=raw)
    assert len(list(keeping.place(log).iterdir())) == 2
    assert type_in(log, "subscriber", "erase", ANN, "--yes").exit_code == 0
    assert [path.read_bytes() for path in keeping.place(log).iterdir()] == [b"Subject: hm\n\nhm\n"]
    assert told(log)[0] == ("hard", "suppressed (bounce)")
    assert {row.words for row in returns(log)} == {"(erased)", "550 blocked", ""}
