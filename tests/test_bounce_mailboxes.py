"""Bounces in a Maildir and on an IMAP server: taken in once, taken out afterwards, and never lost in between."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from came_back import LATER, dsn, gone_out, returns, settings, suppressed, token, told
from conftest import NOW
from imapserver import ImapServer

from newsletter.bounces.imap import folder_name, look_into_imap
from newsletter.bounces.intake import Intake
from newsletter.bounces.mailboxes import look_into_maildir
from newsletter.errors import ReturnMistake
from newsletter.folder import Folder
from newsletter.models import Subscriber

NAMES = [f"r{n}@example.org" for n in range(5)]
Subscribe = Callable[..., Subscriber]


def bounces(folder: Folder, subscribe: Subscribe) -> list[bytes]:
    """A delivery report for each of NAMES, whose addresses don't exist."""
    issue = gone_out(folder, subscribe, NAMES)
    return [dsn(name, token=token(folder, issue, name), number=n) for n, name in enumerate(NAMES)]


def later() -> dt.datetime:
    return LATER


# ---- Maildir


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    place = tmp_path / "bounced"
    for part in ("new", "cur", "tmp"):
        (place / part).mkdir(parents=True)
    return place


@pytest.fixture
def with_maildir(make_folder: Callable[..., Folder], maildir: Path) -> Folder:
    del maildir
    return make_folder(settings('[returns]\nmaildir = "bounced"'))


def test_a_maildir_is_emptied_once_what_lay_there_is_on_disk(
    with_maildir: Folder, maildir: Path, subscribe: Subscribe
) -> None:
    for n, raw in enumerate(bounces(with_maildir, subscribe)):
        part = "new" if n % 2 else "cur"
        (maildir / part / f"17000000{n}.M1P1.host{':2,S' if part == 'cur' else ''}").write_bytes(raw)
    (maildir / "tmp" / "170000009.half").write_bytes(b"Subject: half")
    assert look_into_maildir(with_maildir, later) == 5
    assert sorted(suppressed(with_maildir)) == NAMES
    assert [path.name for path in maildir.rglob("*") if path.is_file()] == ["170000009.half"]
    assert look_into_maildir(with_maildir, later) == 0


def test_what_is_no_message_is_left_alone_and_never_waited_for(
    with_maildir: Folder, maildir: Path, tmp_path: Path, subscribe: Subscribe
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bounces(with_maildir, subscribe)[0])
    (maildir / "new" / "link").symlink_to(secret)
    os.mkfifo(maildir / "new" / "pipe")
    (maildir / "new" / "folder").mkdir()
    (maildir / "new" / ".hidden").write_bytes(b"Subject: hidden")
    assert look_into_maildir(with_maildir, later) == 0
    assert returns(with_maildir) == []
    assert len(list((maildir / "new").iterdir())) == 4


def test_a_message_that_vanishes_in_the_middle_of_a_look_is_somebody_elses(
    with_maildir: Folder, maildir: Path, subscribe: Subscribe
) -> None:
    for n, raw in enumerate(bounces(with_maildir, subscribe)):
        (maildir / "new" / f"{n}").write_bytes(raw)

    def vanish(_: int) -> None:
        (maildir / "new" / "3").unlink(missing_ok=True)

    assert look_into_maildir(with_maildir, later, told=vanish) == 4
    assert sorted(suppressed(with_maildir)) == [name for name in NAMES if name != NAMES[3]]


def test_a_maildir_that_vanishes_is_said_and_what_it_held_is_not_counted_twice(
    with_maildir: Folder, maildir: Path, subscribe: Subscribe
) -> None:
    for n, raw in enumerate(bounces(with_maildir, subscribe)):
        (maildir / "new" / f"{n}").write_bytes(raw)
    assert look_into_maildir(with_maildir, later, told=lambda _: shutil.rmtree(maildir, ignore_errors=True)) == 1
    with pytest.raises(ReturnMistake, match="a Maildir has the folders new, cur and tmp"):
        look_into_maildir(with_maildir, later)


def test_a_message_stays_where_it_is_while_the_database_is_away(
    with_maildir: Folder, maildir: Path, subscribe: Subscribe
) -> None:
    for n, raw in enumerate(bounces(with_maildir, subscribe)):
        (maildir / "new" / f"{n}").write_bytes(raw)

    def rename(old: str, new: str) -> None:
        with with_maildir.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    rename("returns", "elsewhere")
    with pytest.raises(ReturnMistake, match="can't be used"):
        look_into_maildir(with_maildir, later)
    assert len(list((maildir / "new").iterdir())) == 5
    rename("elsewhere", "returns")
    assert look_into_maildir(with_maildir, later) == 5
    assert sorted(suppressed(with_maildir)) == NAMES


def test_one_look_takes_in_no_more_than_it_is_told(with_maildir: Folder, maildir: Path, subscribe: Subscribe) -> None:
    for n, raw in enumerate(bounces(with_maildir, subscribe)):
        (maildir / "new" / f"{n}").write_bytes(raw)
    assert look_into_maildir(with_maildir, later, most=2) == 2
    assert sorted(path.name for path in (maildir / "new").iterdir()) == ["2", "3", "4"]
    assert look_into_maildir(with_maildir, later, stop=lambda: True) == 0


# ---- IMAP


@pytest.fixture
def imap_folder(make_folder: Callable[..., Folder], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Folder]:
    """imap_folder(server, done="…"): a folder that looks into that server."""

    def make(server: ImapServer, **more: Any) -> Folder:
        monkeypatch.setenv("MAILBOX_PASSWORD", more.pop("password", "secret"))
        keys = {"host": "127.0.0.1", "port": server.port, "security": "none", **more}
        lines = [f"{key} = {value if isinstance(value, int) else repr(value)}" for key, value in keys.items()]
        access = ["[returns.imap]", 'username = "bounces"', 'password_env = "MAILBOX_PASSWORD"', *lines]
        return make_folder(settings("\n".join(access)))

    return make


@pytest.fixture
def full(make_folder: Callable[..., Folder], subscribe: Subscribe) -> dict[str, list[bytes]]:
    """What an IMAP server has; and the folder on the test's database that it is about."""
    return {"INBOX": bounces(make_folder(), subscribe), "Done": []}


def test_an_imap_folder_is_emptied_once_what_lay_there_is_on_disk(imap_folder: Any, full: Any) -> None:
    with ImapServer(full) as server:
        folder = imap_folder(server)
        assert look_into_imap(folder, later) == 5
        assert server.left() == []
        assert look_into_imap(folder, later) == 0
    assert sorted(suppressed(folder)) == NAMES
    assert {row.source for row in returns(folder)} == {"imap"}


@pytest.mark.parametrize("extensions", [("MOVE", "UIDPLUS"), ("UIDPLUS",), ()])
def test_what_was_read_is_moved_where_config_says_so(imap_folder: Any, full: Any, extensions: tuple[str, ...]) -> None:
    with ImapServer(full, extensions=extensions) as server:
        folder = imap_folder(server, done="Done")
        assert look_into_imap(folder, later) == 5
        assert server.left() == []
        assert sorted(server.left("Done")) == sorted(full["INBOX"])


def test_messages_are_never_marked_as_read(imap_folder: Any, full: Any) -> None:
    with ImapServer(full, refuse={"STORE": "NO read-only"}, extensions=()) as server:
        folder = imap_folder(server)
        with pytest.raises(ReturnMistake, match="read-only"):
            look_into_imap(folder, later)
        assert server.left() == full["INBOX"]
        assert {flag for kept in server.folders["INBOX"] for flag in kept.flags} == set()


def test_what_others_have_marked_as_deleted_is_neither_read_nor_expunged(imap_folder: Any, full: Any) -> None:
    for extensions in ((), ("UIDPLUS",)):
        with ImapServer(full, extensions=extensions) as server:
            server.folders["INBOX"][2].flags.add("\\Deleted")
            assert look_into_imap(imap_folder(server), later) == 4
            assert full["INBOX"][2] in server.left()
            assert len([each for each in server.folders["INBOX"] if "\\Deleted" not in each.flags]) == 0


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_connection_that_is_cut_in_the_middle_of_a_message_loses_nothing(
    imap_folder: Any, full: Any, cut: int
) -> None:
    with ImapServer(full, cut_in_fetch=cut) as server:
        folder = imap_folder(server)
        with pytest.raises(ReturnMistake, match="Nothing is lost"):
            look_into_imap(folder, later)
        assert len(suppressed(folder)) == cut - 1
        assert len(server.left()) == 5
        look_into_imap(folder, later)
        assert server.left() == []
    assert sorted(suppressed(folder)) == NAMES
    assert len(returns(folder)) == 5


@pytest.mark.parametrize("where", ["cut_before", "cut_after"])
@pytest.mark.parametrize(
    ("verb", "extensions", "done"),
    [("MOVE", ("MOVE",), "Done"), ("STORE", (), ""), ("EXPUNGE", ("UIDPLUS",), ""), ("EXPUNGE", (), "")],
)
def test_a_connection_that_is_cut_while_messages_are_taken_out_counts_none_twice(
    imap_folder: Any, full: Any, where: str, verb: str, extensions: tuple[str, ...], done: str
) -> None:
    with ImapServer(full, extensions=extensions, **{where: verb}) as server:
        folder = imap_folder(server, done=done)
        with pytest.raises(ReturnMistake):
            look_into_imap(folder, later)
        look_into_imap(folder, later)
        assert not [each for each in server.folders["INBOX"] if "\\Deleted" not in each.flags]
        assert len(server.left("Done")) == (5 if done else 0)
    assert [kind for kind, _ in told(folder)] == ["hard"] * 5


def test_what_was_taken_in_before_the_database_went_away_is_taken_out(imap_folder: Any, full: Any) -> None:
    with ImapServer(full) as server:
        folder = imap_folder(server)
        count = 0

        def clock() -> dt.datetime:
            nonlocal count
            count += 1
            if count == 3:
                with folder.engine.begin() as connection:
                    connection.exec_driver_sql("ALTER TABLE returns RENAME TO elsewhere")
            return LATER

        with pytest.raises(ReturnMistake, match="the database can't be used"):
            look_into_imap(folder, clock)
        assert server.left() == full["INBOX"][2:]


def test_a_message_that_vanishes_between_the_list_and_the_fetch_is_passed_over(imap_folder: Any, full: Any) -> None:
    with ImapServer(full, vanish={27}) as server:
        folder = imap_folder(server)
        assert look_into_imap(folder, later) == 4
    assert len(suppressed(folder)) == 4


def test_one_look_has_an_end(imap_folder: Any, full: Any) -> None:
    with ImapServer(full) as server:
        folder = imap_folder(server)
        assert look_into_imap(folder, later, most=2) == 2
        assert server.left() == full["INBOX"][2:]
        assert look_into_imap(folder, later, stop=lambda: True) == 0


def test_a_large_message_is_fetched_no_further_than_it_is_read(
    imap_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newsletter.bounces.acting.LARGEST", 1000)
    with ImapServer({"INBOX": [b"Subject: bomb\r\n\r\n" + b"x" * 5000]}) as server:
        folder = imap_folder(server)
        look_into_imap(folder, later)
        assert [each for each in server.commands if "FETCH" in each] == ["UID FETCH 7 (BODY.PEEK[]<0.1000>)"]
        (row,) = returns(folder)
        assert (folder.path / "returned" / row.file).stat().st_size == 1000


def test_tls_is_verified_from_the_first_byte_and_after_starttls(imap_folder: Any, full: Any, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    for starttls in (False, True):
        security = "starttls" if starttls else "tls"
        with ImapServer(full, tls=context, starttls=starttls) as server:
            for trusted in ("stranger.pem", ""):
                with pytest.raises(ReturnMistake, match="certificate isn't trusted"):
                    look_into_imap(imap_folder(server, security=security, ca_file=trusted), later)
            assert "LOGIN" not in server.commands
            assert look_into_imap(imap_folder(server, security=security, ca_file="ca.pem"), later) == 5


def test_a_wrong_password_a_missing_one_and_a_missing_folder_are_said(
    imap_folder: Any, full: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ImapServer(full) as server:
        with pytest.raises(ReturnMistake, match="wrong password") as wrong:
            look_into_imap(imap_folder(server, password="swordfish"), later)
        assert "swordfish" not in str(wrong.value)
        with pytest.raises(ReturnMistake, match="there is no such folder"):
            look_into_imap(imap_folder(server, folder="Bounces"), later)
        folder = imap_folder(server)
        monkeypatch.delenv("MAILBOX_PASSWORD")
        with pytest.raises(ReturnMistake, match="the environment has no MAILBOX_PASSWORD"):
            look_into_imap(folder, later)
    with pytest.raises(ReturnMistake, match="connection refused"):
        monkeypatch.setenv("MAILBOX_PASSWORD", "secret")
        look_into_imap(folder, later)


def test_a_password_outside_ascii_is_said_as_utf_8(imap_folder: Any, full: Any) -> None:
    with ImapServer(full, password="pässwort") as server:
        assert look_into_imap(imap_folder(server, password="pässwort"), later) == 5


def test_folders_are_named_as_imap_names_them() -> None:
    assert folder_name("INBOX") == '"INBOX"'
    assert folder_name('a "b" \\ & c') == r'"a \"b\" \\ &- c"'
    assert folder_name("~peter/mail/台北/日本語") == '"~peter/mail/&U,BTFw-/&ZeVnLIqe-"'


# ---- all of it, as `newsletter run` has it


def test_an_intake_looks_once_a_minute_and_says_once_what_is_wrong(
    with_maildir: Folder, maildir: Path, subscribe: Subscribe
) -> None:
    said: list[str] = []
    (maildir / "new" / "1").write_bytes(bounces(with_maildir, subscribe)[0])
    intake = Intake(with_maildir, later, said.append)
    assert intake.address == ""
    assert intake.look(NOW) == 1
    (maildir / "new" / "2").write_bytes(b"Subject: hm\n\nhm\n")
    assert intake.look(NOW + dt.timedelta(seconds=59)) == 0
    assert intake.look(NOW + dt.timedelta(seconds=60)) == 1
    shutil.rmtree(maildir)
    for minute in range(2, 5):
        assert intake.look(NOW + dt.timedelta(minutes=minute)) == 0
    assert len(said) == 1
    assert "the Maildir can't be read" in said[0]
    intake.stop()
