"""A mail server for tests: real sockets, real SMTP, and any of the ways in which a relay can be difficult.

    with MailServer(refuse={"bob@example.org": "550 5.1.1 no such user"}) as server: …

Below it is an issue that is being sent through such servers, and a clock for it.

`messages` are those that it took responsibility for (it said 250), `commands` what it was told. What it did is
kept for each message in `taken`, even where it then hid its answer.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from conftest import NOW
from sqlalchemy import select

from newsletter import audience
from newsletter.folder import Folder
from newsletter.models import Delivery, Issue, Rendition, Subscriber
from newsletter.states import IssueState, RenditionKind


@dataclass
class Received:
    sender: str
    recipient: str
    data: bytes


@dataclass
class MailServer:
    """Says yes to everything, but for what it is told."""

    refuse: dict[str, str] = field(default_factory=dict)
    """Recipient: what RCPT is answered."""
    refuse_data: dict[str, str] = field(default_factory=dict)
    """Recipient: what the final dot is answered."""
    answer_mail: str = "250 2.1.0 ok"
    go_on_without_recipients: bool = False
    """DATA is answered 354 although no RCPT was taken."""
    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 10000000")
    drop_at_data: set[str] = field(default_factory=set)
    """Recipients at whose DATA the connection is cut; once each."""
    drop_before_dot: set[str] = field(default_factory=set)
    """Recipients at whose message the connection is cut before the final dot; once each."""
    drop_after_dot: set[str] = field(default_factory=set)
    """… after the final dot: the message is taken, and nobody is told. Once each."""
    lose_after_dot: set[str] = field(default_factory=set)
    """… after the final dot: the message is not taken, and nobody is told. Once each."""
    close_after: int = 0
    """Messages after which a connection is closed with 421."""
    babble: bytes = b""
    """What it says in place of an answer to MAIL."""
    messages: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    wires: list[socket.socket] = field(default_factory=list)
    """The sockets of all connections, for what no answer can do."""
    greeting: str = "220 test ESMTP"
    on_data: Any = None
    """Called with the recipient before DATA is answered."""
    on_rcpt: Any = None
    """Called with the recipient; what it answers is said in place of the usual, unless it is ""."""
    instead: dict[str, bytes | None] = field(default_factory=dict)
    """What is said in place of the right answer, as it is; from b"" on it says nothing more; 421 and None close.
    By command, "greeting", or "." for the final dot; "RCPT a@example.org" (DATA and . likewise) is one reader's."""
    beforehand: dict[str, bytes] = field(default_factory=dict)
    """What is said besides, right before an answer; keys as above."""
    answer_auth: str = "235 2.7.0 welcome"
    tls: ssl.SSLContext | None = None
    """With it STARTTLS is understood (to be named in `extensions`)."""

    def __enter__(self) -> Self:
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True  # or each answer in several writes takes a twenty-fifth of a second

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError, OSError, ValueError):
                    owner._speak(self)
                with contextlib.suppress(OSError):
                    self.connection.close()  # it may be another one by now, encrypted

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _speak(self, handler: Any) -> None:
        self.connections += 1
        self.wires.append(handler.connection)
        count = 0
        sender = recipient = ""

        def say(line: str) -> None:
            handler.wfile.write(line.encode() + b"\r\n")

        def strange(what: str, whose: str = "") -> bool:
            """Whether something was said in place of the right answer. Raises to close the connection."""
            key = f"{what} {whose}" if f"{what} {whose}" in {**self.instead, **self.beforehand} else what
            handler.wfile.write(self.beforehand.get(key, b""))
            if key not in self.instead:
                return False
            if (words := self.instead[key]) is None:
                raise ConnectionError("closed, as was asked")
            handler.wfile.write(words)
            if words.startswith(b"421"):
                raise ConnectionError("closed, as was said")
            if not words:
                while handler.connection.recv(65536):
                    pass
                raise ConnectionError("the other side has had enough")
            return True

        if not strange("greeting"):
            say(self.greeting)
        while line := handler.rfile.readline():
            command = line.decode().strip()
            self.commands.append(command)
            verb = command[:4].upper()
            whose = recipient if verb == "DATA" else command.partition("<")[2].partition(">")[0]
            if strange("STARTTLS" if verb == "STAR" else verb, whose):
                continue
            if verb in ("EHLO", "HELO"):
                lines = ["test", *self.extensions]
                for i, extension in enumerate(lines):
                    say(f"250{' ' if i == len(lines) - 1 else '-'}{extension}")
            elif verb == "MAIL":
                if self.close_after and count >= self.close_after:
                    say("421 4.7.0 enough for this connection")
                    return
                if self.babble:
                    handler.wfile.write(self.babble)
                    continue
                if sender:
                    say("503 5.5.1 nested MAIL")
                    continue
                sender = command[command.index("<") + 1 : command.index(">")] if self.answer_mail[0] == "2" else ""
                say(self.answer_mail)
            elif verb == "RCPT":
                asked = command[command.index("<") + 1 : command.index(">")]
                if not sender:
                    say("503 5.5.1 need MAIL")
                elif self.on_rcpt and (words := self.on_rcpt(asked)):
                    say(words)
                    if words.startswith("421"):
                        return
                elif asked in self.refuse:
                    say(self.refuse[asked])
                else:
                    recipient = asked
                    say("250 2.1.5 ok")
            elif verb == "DATA":
                if not sender or (not recipient and not self.go_on_without_recipients):
                    say("503 5.5.1 no valid recipients")
                    continue
                if self.on_data:
                    self.on_data(recipient)
                if recipient in self.drop_at_data:
                    self.drop_at_data.discard(recipient)
                    return
                say("354 go on")
                if recipient in self.drop_before_dot:
                    self.drop_before_dot.discard(recipient)
                    handler.rfile.read(100)
                    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    return
                data = bytearray()
                while (part := handler.rfile.readline()) not in (b".\r\n", b""):
                    data += part
                if part == b"":
                    return
                if strange(".", recipient):
                    pass
                elif not recipient:
                    say("554 5.5.1 no valid recipients")
                elif recipient in self.lose_after_dot:
                    self.lose_after_dot.discard(recipient)
                    return
                elif recipient in self.drop_after_dot:
                    self.drop_after_dot.discard(recipient)
                    self.messages.append(Received(sender, recipient, bytes(data)))
                    return
                elif recipient in self.refuse_data:
                    say(self.refuse_data[recipient])
                else:
                    self.messages.append(Received(sender, recipient, bytes(data)))
                    say("250 2.0.0 taken")
                count += 1
                sender = recipient = ""
            elif verb == "RSET":
                sender = recipient = ""
                say("250 2.0.0 reset")
            elif verb == "AUTH":
                say(self.answer_auth)
            elif verb == "STAR" and self.tls:
                say("220 2.0.0 go on")
                handler.connection = self.tls.wrap_socket(handler.connection, server_side=True)
                handler.rfile, handler.wfile = handler.connection.makefile("rb"), handler.connection.makefile("wb", 0)
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("500 5.5.2 what?")


# ---- an issue that is sent through it

PAGE = b"<p>Dear \x02name|reader\x03</p>\n"


def relay(server: MailServer | int, name: str, **settings: Any) -> str:
    """A [[relays]] of config.toml: relay(server, "a", share=3)."""
    port = server if isinstance(server, int) else server.port
    more = {"kind": "smtp", "host": "127.0.0.1", "port": port, "security": "none", "connections": 2, **settings}
    return f'[[relays]]\nname = "{name}"\n' + "".join(
        f"{key} = {value if isinstance(value, int | float) else json.dumps(value)}\n" for key, value in more.items()
    )


def through(*relays: str, beside: str = "") -> tuple[tuple[str, str], ...]:
    """For make_folder: these relays in the place of the usual one, and what else config.toml is to say."""
    return (('[[relays]]\nname = "outbox"\nkind = "maildir"\n', "\n".join(relays) + beside),)


def being_sent(
    folder: Folder,
    subscribe: Callable[..., Subscriber],
    addresses: Sequence[str],
    *,
    content: bytes = PAGE,
    number: int = 21,
) -> int:
    """Issue 2.21, being sent to these addresses."""
    with folder.session() as session:
        row = Issue(
            publication="digest",
            slot=NOW.date() + dt.timedelta(days=number),
            state=IssueState.sending,
            since=NOW,
            deadline=NOW,
            approve_by=NOW,
            sends=NOW,
            volume=2,
            number=number,
            date=NOW.date(),
            subject="Digest",
        )
        session.add(row)
        session.flush()
        for kind in (RenditionKind.html, RenditionKind.text):
            session.add(Rendition(issue_id=row.id, kind=kind, content=content, sha256="", made=NOW))
        for address in addresses:
            subscribe(session, address, name=address.split("@")[0].title())
        audience.freeze(session, row, ["alliance-digest"], NOW)
        return row.id


def ledger(folder: Folder) -> dict[str, tuple[str, str]]:
    """Address: (state, what the relay said)."""
    with folder.reading() as session:
        rows = session.execute(
            select(Subscriber.address, Delivery).join(Delivery, Delivery.subscriber_id == Subscriber.id)
        )
        return {address: (row.state.value, row.reply or "") for address, row in rows}


class Steps:
    """A clock that goes on by one step with each turn of a sender: Sender(folder, steps).run(stop=steps.turn).

    So nobody waits for it, and what it says doesn't depend on how busy the machine is. A sender that never ends is
    an error after so many turns.
    """

    def __init__(
        self,
        now: dt.datetime = NOW,
        step: dt.timedelta = dt.timedelta(),
        *,
        until: Callable[[], bool] = lambda: False,
        turns: int = 3000,
    ) -> None:
        self.now = now
        self.step = step
        self.turns = turns
        self.until = until

    def __call__(self) -> dt.datetime:
        return self.now

    def turn(self) -> bool:
        """`stop` of a sender's run."""
        self.now += self.step
        self.turns -= 1
        if self.turns < 0:
            raise RuntimeError("the sender goes on and on")
        return self.until()
