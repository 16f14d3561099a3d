"""A mail server for tests: real sockets, real SMTP, and any of the ways in which a relay can be difficult.

    with MailServer(refuse={"bob@example.org": "550 5.1.1 no such user"}) as server: …

`messages` are those that it took responsibility for (it said 250), `commands` what it was told. What it did is
kept for each message in `taken`, even where it then hid its answer.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


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
    greeting: str = "220 test ESMTP"
    on_data: Any = None
    """Called with the recipient before DATA is answered."""

    def __enter__(self) -> Self:
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError, OSError, ValueError):
                    owner._speak(self)

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
        count = 0
        sender = recipient = ""

        def say(line: str) -> None:
            handler.wfile.write(line.encode() + b"\r\n")

        say(self.greeting)
        while line := handler.rfile.readline():
            command = line.decode().strip()
            self.commands.append(command)
            verb = command[:4].upper()
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
                if not recipient:
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
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("500 5.5.2 what?")
