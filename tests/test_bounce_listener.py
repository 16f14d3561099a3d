"""The mail server that takes bounces: spoken to by smtplib, and by sockets where a client wouldn't say such things."""

from __future__ import annotations

import contextlib
import datetime as dt
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from came_back import LATER, dsn, gone_out, returns, settings, suppressed, token, told
from conftest import NOW

from newsletter.bounces import acting, keeping, listener
from newsletter.bounces.listener import Listener
from newsletter.errors import ReturnMistake
from newsletter.folder import Folder
from newsletter.models import Subscriber

ANN, BOB = "ann@example.org", "bob@example.org"
Subscribe = Callable[..., Subscriber]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def listening(folder: Folder, clock: Callable[[], dt.datetime] = lambda: LATER) -> Iterator[int]:
    """A listener; its port."""
    door = Listener(folder, clock)
    door.start()
    try:
        yield int(door.address.rpartition(":")[2])
    finally:
        door.stop()


def with_listener(lmtp: bool = False) -> tuple[str, str]:
    return settings(f"[returns.listener]\nport = {free_port()}\nlmtp = {str(lmtp).lower()}")


class Wire:
    """A connection on which anything can be said."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> str:
        line = self.file.readline().decode()
        while line[3:4] == "-":
            line = self.file.readline().decode()
        return line.strip()

    def say(self, line: str | bytes) -> str:
        self.socket.sendall((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()


def test_a_bounce_with_the_null_sender_is_on_disk_when_250_is_said(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    folder = make_folder(with_listener())
    issue = gone_out(folder, subscribe, [ANN])
    mine = token(folder, issue, ANN)
    with listening(folder) as port, smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        assert client.sendmail("", [f"digest+{mine.upper()}@example.org"], dsn(ANN, token=mine)) == {}
        assert told(folder) == [("hard", "suppressed (bounce)")]
        assert client.sendmail("somebody@example.net", ["digest@example.org"], b"Subject: hm\r\n\r\nhm\r\n") == {}
    assert [row.source for row in returns(folder)] == ["listener"] * 2
    assert suppressed(folder) == {ANN: "bounce"}


def test_the_token_of_the_envelope_counts_where_the_message_has_none(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    folder = make_folder(with_listener())
    issue = gone_out(folder, subscribe, [ANN, BOB])
    with listening(folder) as port, smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.sendmail("", [f"digest+{token(folder, issue, ANN)}@example.org"], dsn("alias@example.net"))
    assert suppressed(folder) == {ANN: "bounce"}


def test_what_is_for_nobody_of_ours_is_refused(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(with_listener())
    with listening(folder) as port, Wire(port) as wire:
        wire.say("EHLO there")
        assert wire.say("DATA").startswith("503")
        wire.say("MAIL FROM:<>")
        for stranger in ("postmaster@example.org", "digest@elsewhere.example", "digest+zz@example.org"):
            assert wire.say(f"RCPT TO:<{stranger}>") == "550 5.1.1 nobody here has that address"
        assert wire.say("DATA").startswith("503")
        assert wire.say("RCPT TO:<digest@example.org>").startswith("250")
    assert returns(folder) == []


def test_lmtp_answers_for_each_recipient(make_folder: Callable[..., Folder], subscribe: Subscribe) -> None:
    folder = make_folder(with_listener(lmtp=True))
    issue = gone_out(folder, subscribe, [ANN, BOB])
    with listening(folder) as port, Wire(port) as wire:
        assert wire.say("EHLO there").startswith("500")
        assert wire.say("LHLO there").startswith("250")
        assert wire.say("MAIL FROM:<>").startswith("250")
        for name in (ANN, BOB):
            assert wire.say(f"RCPT TO:<digest+{token(folder, issue, name)}@example.org>").startswith("250")
        assert wire.say("RCPT TO:<nobody@example.org>").startswith("550")
        assert wire.say("DATA").startswith("354")
        assert wire.say(dsn("list@example.net") + b".") == "250 2.0.0 written down"
        assert wire.reply() == "250 2.0.0 written down"
        assert wire.say("NOOP").startswith("250")
    assert suppressed(folder) == {ANN: "bounce", BOB: "bounce"}


def test_nothing_is_taken_while_the_database_is_away(
    make_folder: Callable[..., Folder], subscribe: Subscribe, tmp_path: Path
) -> None:
    folder = make_folder(with_listener(lmtp=True))
    issue = gone_out(folder, subscribe, [ANN])
    mine = token(folder, issue, ANN)

    def handed_over() -> str:
        with Wire(port) as wire:
            wire.say("LHLO there")
            wire.say("MAIL FROM:<>")
            wire.say(f"RCPT TO:<digest+{mine}@example.org>")
            wire.say("DATA")
            return wire.say(dsn(ANN, token=mine) + b".")

    del tmp_path
    with folder.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE returns RENAME TO elsewhere")
    with listening(folder) as port:
        assert handed_over() == "451 4.3.0 it can't be written down now, try again later"
        with folder.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO returns")
        assert handed_over() == "250 2.0.0 written down"
    assert told(folder) == [("hard", "suppressed (bounce)")]


def test_a_message_that_is_too_large_is_heard_to_its_end_and_refused(
    make_folder: Callable[..., Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "LARGEST", 1024 * 1024)
    folder = make_folder(with_listener())
    with listening(folder) as port, Wire(port) as wire:
        wire.say("EHLO there")
        assert wire.say("MAIL FROM:<> SIZE=1048577").startswith("552")
        assert wire.say("MAIL FROM:<>").startswith("250")
        assert wire.say("RCPT TO:<digest@example.org>").startswith("250")
        assert wire.say("DATA").startswith("354")
        wire.socket.sendall(b"Subject: bomb\r\n\r\n" + b"\r\n" * 600_000)
        assert wire.say(b".") == "552 5.3.4 more than 1 MB"
        assert wire.say("NOOP").startswith("250")
    assert returns(folder) == []


def test_long_lines_and_dots_and_bare_line_feeds_arrive_as_they_were_meant(
    make_folder: Callable[..., Folder],
) -> None:
    folder = make_folder(with_listener())
    with listening(folder) as port, Wire(port) as wire:
        wire.say("EHLO there")
        wire.say("MAIL FROM:<>")
        wire.say("RCPT TO:<digest@example.org>")
        wire.say("DATA")
        long = b"x" * 200_000
        sent = b"Subject: odd\r\n\r\n..two dots\r\n" + long + b"\r\n\n.\nMAIL FROM:<evil@example.net>\r\n"
        assert wire.say(sent + b".").startswith("250")
    (row,) = returns(folder)
    kept = keeping.there(folder, row.file)
    assert kept is not None
    assert (
        kept.read_bytes() == b"Subject: odd\r\n\r\n.two dots\r\n" + long + b"\r\n\n.\nMAIL FROM:<evil@example.net>\r\n"
    )


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(with_listener())
    with listening(folder) as port:
        with Wire(port) as wire:
            wire.say("EHLO there")
            wire.say("MAIL FROM:<>")
            wire.say("RCPT TO:<digest@example.org>")
            wire.say("DATA")
            wire.socket.sendall(b"Subject: half\r\n\r\nhalf of")
        with Wire(port) as wire:
            assert wire.say("NOOP").startswith("250")
    assert returns(folder) == []


def test_there_is_an_end_to_connections_and_their_places_are_given_back(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(with_listener())
    with listening(folder) as port, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(port)) for _ in range(listener.MOST)]
        assert {wire.greeting[:3] for wire in wires} == {"220"}
        assert stack.enter_context(Wire(port)).greeting == "421 4.3.2 too many connections, try again later"
        assert wires[0].say("QUIT").startswith("221")
        assert wires[0].reply() == ""
        assert stack.enter_context(Wire(port)).greeting.startswith("220")


def test_a_silent_client_and_one_that_never_ends_are_let_go(
    make_folder: Callable[..., Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(with_listener())
    monkeypatch.setattr(listener, "IDLE", 0.2)
    with listening(folder) as port, Wire(port) as wire:
        assert wire.reply() == ""
    monkeypatch.setattr(listener, "IDLE", 300.0)
    monkeypatch.setattr(listener, "LONGEST", 0.3)
    monkeypatch.setattr(listener, "COMMANDS", 10**9)
    again = make_folder(with_listener())
    with listening(again) as port, Wire(port) as wire, pytest.raises((ConnectionError, EOFError)):
        while wire.say("NOOP"):
            pass
        raise EOFError


def test_one_that_waits_for_the_database_holds_up_no_other(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    """The clock is asked in the thread that acts: one thread stands there, and another connection is answered."""
    folder = make_folder(with_listener())
    issue = gone_out(folder, subscribe, [ANN, BOB])
    held, go_on = threading.Event(), threading.Event()

    def clock() -> dt.datetime:
        if not held.is_set():
            held.set()
            assert go_on.wait(20)
        return LATER

    answered: list[dict[str, tuple[int, bytes]]] = []

    def hand_over(port: int, name: str) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            mine = token(folder, issue, name)
            answered.append(client.sendmail("", [f"digest+{mine}@example.org"], dsn(name, token=mine)))

    with listening(folder, clock) as port:
        waits = threading.Thread(target=hand_over, args=(port, ANN))
        waits.start()
        assert held.wait(20)
        hand_over(port, BOB)
        assert suppressed(folder) == {BOB: "bounce"}
        go_on.set()
        waits.join()
    assert answered == [{}, {}]
    assert suppressed(folder) == {ANN: "bounce", BOB: "bounce"}


def test_a_port_that_is_taken_is_said(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(with_listener())
    with listening(folder), pytest.raises(ReturnMistake, match="Is another newsletter run up"):
        Listener(folder, lambda: NOW)
