"""A mail server of our own that takes bounces and nothing else: SMTP, or LMTP from a mail server on the same machine.

It says 250 when a message is written down and not before (RFC 5321 §4.2.5), and 451 where the database is away, so
that whoever has the message keeps it. The conversation is aiosmtpd's, on an event loop in a thread of its own; what
is done with a message is done in other threads, so that no connection waits for another's.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from newsletter.bounces import acting
from newsletter.bounces.addressed import OurAddresses
from newsletter.errors import Mistake, ReturnMistake
from newsletter.folder import Folder

log = logging.getLogger("newsletter")

MOST = 10
"""Connections at a time; the next one is told 421 and tries again."""
IDLE = 300.0
"""Seconds that a client has for each command, and for a message (RFC 5321 §4.5.3.2.7)."""
LONGEST = 1200.0
"""Seconds that a connection lasts at the most, whatever is said on it."""
COMMANDS = 1000
"""Commands of one kind on a connection; there is no greater need on the way back."""
WORKERS = 4


class Listener:
    """Takes bounces on a port from `start` to `stop`."""

    def __init__(self, folder: Folder, clock: Callable[[], dt.datetime]) -> None:
        """Binds the port of returns.listener. ReturnMistake where it can't be had."""
        settings = folder.config.returns.listener
        assert settings is not None, "whoever starts it looks whether it is configured"
        try:
            family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
            self._socket = socket.create_server((settings.host, settings.port), family=family, backlog=100)
        except OSError as error:
            raise ReturnMistake(
                f"bounces can't be listened for on {settings.host}, port {settings.port}: {error.strerror}",
                remedy="Is another newsletter run up? Else change returns.listener in config.toml.",
            ) from None
        self._lmtp = settings.lmtp
        self._handler = _Handler(folder, clock)
        self._open: set[asyncio.Transport] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bounces", daemon=True)

    @property
    def address(self) -> str:
        """Where it listens, such as 127.0.0.1:2525."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Begins to take messages."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Takes no more. A message that is being written down is; its sender may not hear of it, and comes again."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            server = runner.run(self._serve(self._loop))
            self._ready.set()
            try:
                self._loop.run_forever()
            finally:
                server.close()
                for transport in list(self._open):
                    transport.abort()
                self._handler.workers.shutdown(wait=True)

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        return await loop.create_server(self._conversation, sock=self._socket)

    def _conversation(self) -> asyncio.BaseProtocol:
        assert self._loop is not None
        if len(self._open) >= MOST:
            return _Full()
        return (_Lmtp if self._lmtp else _Smtp)(self._handler, self._open, self._loop)


class _Full(asyncio.Protocol):
    """Sends away whom there is no room for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"421 4.3.2 too many connections, try again later\r\n")
        transport.close()


class _Handler:
    """What is done with a message. Its methods have the names that aiosmtpd calls them by."""

    def __init__(self, folder: Folder, clock: Callable[[], dt.datetime]) -> None:
        self.workers = ThreadPoolExecutor(WORKERS, "bounce")
        self._folder = folder
        self._clock = clock
        self._ours = OurAddresses.of(folder.config)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if not self._ours.take(address):
            return "550 5.1.1 nobody here has that address"
        if len(envelope.rcpt_tos) >= acting.MOST_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def took(self, raw: bytes, recipients: list[str]) -> list[str]:
        """The answer for each recipient, once their part is written down, or can't be."""
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(self.workers, self._take, raw, recipient) for recipient in recipients]

    def _take(self, raw: bytes, recipient: str) -> str:
        try:
            acting.take(self._folder, raw, "listener", recipient, self._clock())
        except Mistake as mistake:
            log.warning("a returned message was put off: %s", mistake)
            return "451 4.3.0 it can't be written down now, try again later"
        except Exception:
            log.exception("a returned message was put off")
            return "451 4.3.0 it can't be written down now, try again later"
        return "250 2.0.0 written down"


class _Conversation(SMTP):
    """One connection, of which there aren't too many, and none for ever.

    DATA is read here and not by aiosmtpd, which keeps an object for every line, ten times the size of a message of
    empty lines, and refuses lines past 1,001 octets, which real bounces have.
    """

    line_length_limit = 64 * 1024

    def __init__(self, handler: _Handler, others: set[asyncio.Transport], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            handler,
            data_size_limit=acting.LARGEST,
            enable_SMTPUTF8=True,
            ident="newsletter",
            timeout=IDLE,
            command_call_limit=COMMANDS,
            loop=loop,
        )
        self._ours = handler
        self._others = others
        self._wire: asyncio.Transport | None = None
        self._at_the_longest: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        self._others.add(transport)
        self._at_the_longest = self.loop.call_later(LONGEST, transport.abort)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._wire is not None:
            self._others.discard(self._wire)
        if self._at_the_longest is not None:
            self._at_the_longest.cancel()
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """DATA; what is past the limit is read and forgotten, so that the answer can be heard (RFC 5321 §4.2.5)."""
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        recipients = list(self.envelope.rcpt_tos)
        if not recipients:
            await self.push("503 5.5.1 need RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 DATA stands alone")
            return
        await self.push("354 end with a dot alone on a line")
        raw = await self._message()
        if raw is None:
            answers = [f"552 5.3.4 more than {acting.LARGEST // 1024 // 1024} MB"] * len(recipients)
        else:
            answers = await self._ours.took(raw, recipients)
        self.envelope = self._create_envelope()
        await self._answer(answers)

    async def _message(self) -> bytes | None:
        """The message, dots taken out; None where it is too large."""
        raw = bytearray()
        fresh, fits = True, True
        while True:
            try:
                part = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as error:
                part = await self._reader.readexactly(error.consumed)
            if fresh and part == b".\r\n":
                return bytes(raw) if fits else None
            if fits:
                raw += part[1:] if fresh and part.startswith(b".") else part
                fits = len(raw) <= acting.LARGEST
                if not fits:
                    raw.clear()
            fresh = part.endswith(b"\r\n")

    async def _answer(self, answers: list[str]) -> None:
        raise NotImplementedError


class _Smtp(_Conversation):
    """SMTP: one answer for all (RFC 5321); the worst of them, since what comes twice counts once."""

    async def _answer(self, answers: list[str]) -> None:
        await self.push(max(answers, key=lambda each: each[0] == "4" or each[0] == "5"))


class _Lmtp(_Conversation, LMTP):
    """LMTP: an answer for each recipient (RFC 2033 §4.2)."""

    async def _answer(self, answers: list[str]) -> None:
        for answer in answers:
            await self.push(answer)
