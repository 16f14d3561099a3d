"""A mail server of one thread: it keeps a receipt of every whole message, and is difficult in any way it is told.

A receipt is only given for a message whose final dot was seen here. What a relay does with a try at a recipient
is a Way, drawn by seed from the recipient and how often it was tried, so that it doesn't depend on who is quicker.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .loop import Loop

_MESSAGE_ID = re.compile(rb"^Message-ID: <([0-9a-f]+)@", re.MULTILINE)
_NOW: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Way:
    """What is done with one try at one recipient."""

    kind: str = "accept"
    """accept, rcpt, data, final (with `reply`), or how the connection is cut: at data, in body, before dot,
    taken (after the dot, and it has the message), lost (after the dot, and it hasn't); babble and unasked after the
    dot; swallow: RCPT gets no answer, and soon the connection ends."""
    reply: str = ""
    wait: float = 0.0
    """Seconds before the answer to the final dot."""
    reset: bool = False
    """Cut with a reset, so that even answers on their way are lost."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How one connection is treated."""

    greeting: str = "220 torture ESMTP"
    pipelining: bool = True
    enough_after: int = 0
    """Messages after which MAIL is answered 421 and the connection closed."""
    closed_after: int = 0
    """Messages after which it is closed without a word."""
    reset: bool = False


@dataclass(slots=True)
class Try:
    """What this server saw of one try at one recipient."""

    recipient: str
    connection: int
    way: Way
    moment: float
    let_in: bool = False
    """354 was said: the sender may let the body go."""
    whole: bool = False
    """The final dot was seen."""
    taken: bool = False
    """Responsibility was taken: this is a receipt."""
    said: str = ""
    """The last answer about this try; "" where none was given."""
    message_id: str = ""
    crooked: bool = False
    """On a connection where replies were out of step: what the sender made of them is not its fault."""


@dataclass(slots=True)
class Seen:
    """Everything that the servers of a run saw."""

    tries: list[Try] = field(default_factory=list)
    connections: int = 0
    cut_open: int = 0
    """Connections that the server ended while a body may have been on its way, or its answer."""
    broken: list[str] = field(default_factory=list)
    """Messages that weren't what they should be."""
    commands: int = 0


class Server:
    """Listens on a port of its own, for as long as it is alive."""

    def __init__(
        self, loop: Loop, seen: Seen, ways: Callable[[str, int], Way], manners: Callable[[int], Manner]
    ) -> None:
        self._loop, self._ways, self._manners = loop, ways, manners
        self.seen = seen
        self.tried: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.on_whole: Callable[[], None] = lambda: None
        """Called for every final dot seen."""
        self._listener: socket.socket | None = None
        self.port = 0
        self.rise()

    def rise(self) -> None:
        """Listens (again)."""
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self.port))
        except OSError:
            listener.close()
            self._loop.after(0.02, self.rise)
            return
        listener.listen(128)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._loop.watch(listener, self._accept)

    def die(self) -> None:
        """Every connection is reset, and nobody listens."""
        if self._listener is not None:
            self._loop.forget(self._listener)
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            connection.cut(reset=True)

    def sockets(self) -> list[socket.socket]:
        """What a process that is forked must not keep."""
        return [each.sock for each in self.connections] + ([self._listener] if self._listener else [])

    def ways(self, recipient: str) -> Way:
        self.tried[recipient] += 1
        return self._ways(recipient, self.tried[recipient])

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock, _ = self._listener.accept()
            self.seen.connections += 1
            Connection(self, self._loop, sock, self.seen.connections, self._manners(self.seen.connections))


class Connection:
    """One conversation, from the server's side."""

    def __init__(self, server: Server, loop: Loop, sock: socket.socket, number: int, manner: Manner) -> None:
        self.sock = sock
        self._server, self._loop, self._number, self._manner = server, loop, number, manner
        self._seen = server.seen
        self._in = bytearray()
        self._looked = 0
        self._reading_body = False
        self._waiting = False
        self._sender = ""
        self._try: Try | None = None
        self._last: Try | None = None
        self._count = 0
        self._crooked = False
        self._over = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.connections.add(self)
        loop.watch(sock, self._heard)
        self._say(manner.greeting)
        if manner.greeting[0] != "2":
            self.cut()

    def cut(self, *, reset: bool = False) -> None:
        """Ends it."""
        if self._over:
            return
        if (self._try is not None and self._try.let_in) or (reset and self._last is not None):
            self._seen.cut_open += 1
        if reset:
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
        self._end()

    def _end(self) -> None:
        self._over = True
        self._server.connections.discard(self)
        self._loop.forget(self.sock)
        self.sock.close()

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self.sock.send(line.encode() + b"\r\n")

    def _heard(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._in += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._over and not self._waiting:
            if self._reading_body:
                if not self._body():
                    return
                continue
            end = self._in.find(b"\r\n")
            if end < 0:
                return
            line = bytes(self._in[:end])
            del self._in[: end + 2]
            self._seen.commands += 1
            self._command(line.decode("utf-8", "replace"))

    def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb in ("EHLO", "HELO"):
            offers = ["torture", *(["PIPELINING"] if self._manner.pipelining else []), "8BITMIME", "SIZE 10000000"]
            for i, offer in enumerate(offers):
                self._say(f"250{' ' if i == len(offers) - 1 else '-'}{offer}")
        elif verb == "MAIL":
            if self._manner.enough_after and self._count >= self._manner.enough_after:
                self._say("421 4.7.0 enough for this connection")
                self.cut(reset=self._manner.reset)
            elif self._manner.closed_after and self._count >= self._manner.closed_after:
                self.cut(reset=self._manner.reset)
            elif self._sender:
                self._say("503 5.5.1 nested MAIL")
            else:
                self._sender = line[line.index("<") + 1 : line.index(">")] or "<>"
                self._say("250 2.1.0 ok")
        elif verb == "RCPT":
            self._rcpt(line[line.index("<") + 1 : line.index(">")])
        elif verb == "DATA":
            self._data()
        elif verb == "RSET":
            self._sender, self._try = "", None
            self._say("250 2.0.0 reset")
        elif verb == "QUIT":
            self._say("221 2.0.0 bye")
            self._end()
        else:
            self._say("500 5.5.2 what?")

    def _rcpt(self, recipient: str) -> None:
        if not self._sender:
            self._say("503 5.5.1 need MAIL")
            return
        way = self._server.ways(recipient)
        this = Try(recipient, self._number, way, time.monotonic(), crooked=self._crooked)
        self._seen.tries.append(this)
        if way.kind == "rcpt":
            this.said = way.reply
            self._say(way.reply)
        elif way.kind == "swallow":
            self._crooked = this.crooked = True
            self._try = this
            self._loop.after(0.05, self.cut)
        else:
            self._try = this
            self._say("250 2.1.5 ok")

    def _data(self) -> None:
        this = self._try
        if not self._sender or this is None:
            self._say("503 5.5.1 no valid recipients")
        elif this.way.kind == "at data":
            self.cut(reset=this.way.reset)
        elif this.way.kind == "data":
            this.said = this.way.reply
            self._say(this.way.reply)
        else:
            this.let_in = True
            self._reading_body, self._looked = True, 0
            self._say("354 go on")

    def _body(self) -> bool:
        """Whether the message is whole."""
        this = self._try
        assert this is not None
        if this.way.kind == "in body" and self._in:
            self.cut(reset=this.way.reset)
            return False
        if self._in.startswith(b".\r\n"):
            end, size = 0, 3
        else:
            end, size = self._in.find(b"\r\n.\r\n", self._looked), 5
        if end < 0:
            self._looked = max(0, len(self._in) - 4)
            return False
        if this.way.kind == "before dot":
            # All but the dot was read. Whether the sender had handed it over, it alone can know.
            self.cut(reset=this.way.reset)
            return False
        data = bytes(self._in[: end + 2]) if size == 5 else b""
        del self._in[: end + size]
        self._reading_body = False
        this.whole = True
        found = _MESSAGE_ID.search(data)
        this.message_id = found[1].decode() if found else ""
        if not data.endswith(b"--\r\n") or not found:
            self._seen.broken.append(f"{this.recipient}: {len(data)} octets, {data[-60:]!r}")
        self._count += 1
        self._server.on_whole()
        if self._over:
            return False
        self._answer(this)
        return not self._over

    def _answer(self, this: Try) -> None:
        kind = this.way.kind
        this.taken = kind not in ("final", "lost")
        if kind in ("taken", "lost"):
            self.cut(reset=this.way.reset)
        elif this.way.wait:
            self._waiting = True
            self._loop.after(this.way.wait, lambda: self._late(this))
        else:
            self._final(this)

    def _late(self, this: Try) -> None:
        if not self._over:
            self._waiting = False
            self._final(this)
            self._go_on()

    def _final(self, this: Try) -> None:
        self._sender, self._try, self._last = "", None, this
        match this.way.kind:
            case "babble":
                self._say("\x00\xff what is it that you want of me")
                self._try = this
                self.cut()
                return
            case "final":
                this.said = this.way.reply
                self._say(this.way.reply)
                if this.way.reply.startswith("421"):
                    self.cut()
                return
        this.said = this.way.reply or "250 2.0.0 taken"
        self._say(this.said)
        if this.way.kind == "unasked":
            self._crooked = True
            self._say("250 2.0.0 did I say that?")
