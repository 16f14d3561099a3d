"""The conversation with a mail server, pipelined.

smtplib makes the connection (EHLO, STARTTLS, AUTH), blocking, with certificates verified; from then on this
module speaks, without ever waiting. An envelope's three commands leave in one write where the server offers
PIPELINING (RFC 2920), and the next envelope leaves with the body before it; else one command at a time.

A body leaves only after `release`. If the connection is lost, what counts is whether the last octet of
"CR LF . CR LF" had been handed to the system: if not, the server can't have taken the message.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
from collections import deque

from newsletter.config import Relay
from newsletter.relays import (
    Closed,
    Deferred,
    Ended,
    Event,
    Job,
    Ready,
    Refused,
    Reply,
    Returned,
    Sent,
    Uncertain,
)
from newsletter.smtp_login import discard

COMMAND_SECONDS = 300.0
"""RFC 5321 §4.5.3.2: five minutes for MAIL and RCPT, and we give DATA and RSET the same."""
FINAL_SECONDS = 600.0
"""Ten minutes after the final dot."""
AT_ONCE = 64
"""Pieces of bytes handed to the system in one call, which takes 1,024 at most."""
RECEIVED = 4096
"""Octets asked for at a time: some thirty replies."""
LONGEST_REPLY = 65536
"""Octets without an end of a reply after which the other side isn't a mail server."""
LONGEST_WORDS = 1000
"""Characters of a reply that are kept."""

_JUST_YES = frozenset({"mail", "rcpt", "rset"})
_OCTETS = re.compile(r"[0-9]{1,20}")
"""RFC 1870 §4."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINE = re.compile(rb"(\d\d\d)([ -]?)([^\r\n]*)")

_ENVELOPE = ("mail", "rcpt", "data")
_Step = tuple[tuple[bytes, ...], tuple[str, ...], Job | None]
"""What is said in one go, the commands in it, and the job that it is about."""


class SmtpConversation:
    """One connection, from its login to its end. See newsletter.relays.Conversation."""

    def __init__(self, server: smtplib.SMTP, relay: Relay, seconds: float) -> None:
        """`seconds` is the moment, by the monotonic clock, as in `events`."""
        self.relay = relay.name
        self.served = 0
        self._server = server  # kept: it closes the socket when it goes
        sock = server.sock
        assert sock is not None
        self._sock: socket.socket = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setblocking(False)
        self._pipelining = server.has_extn("pipelining")
        self._smtputf8 = server.has_extn("smtputf8")
        size = server.esmtp_features.get("size", "")
        self._size = int(size) if _OCTETS.fullmatch(size) else 0
        self._announces_size = server.has_extn("size")
        self._enhanced = server.has_extn("enhancedstatuscodes")
        self._steps: deque[_Step] = deque()
        """To be said."""
        self._awaited: deque[tuple[str, Job | None]] = deque()
        """The commands said, or being said, and not yet answered."""
        self._out: list[bytes | memoryview] = []
        self._in = b""
        self._reply: list[bytes] = []
        self._queued = 0
        self._written = 0
        self._dot = 0
        """The count of octets after which the final dot of the message in the open has left."""
        self._refusals: dict[int, Reply] = {}
        self._reset_first = False
        self._turn: Job | None = None
        """The last job whose MAIL was accepted."""
        self._jobs: list[Job] = []
        """Offered and not yet ended, in order: the message in the open, the envelope of the next."""
        self._seconds = self._moved = seconds
        """The moment of the last look, and when anything was last said or heard."""
        self._over = False
        self._events: list[Event] = []

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def idle(self) -> bool:
        return not self._over and not self._jobs

    @property
    def unsent(self) -> bool:
        return bool(self._out)

    @property
    def open(self) -> bool:
        return any(job.begun for job in self._jobs)

    @property
    def eager(self) -> bool:
        return bool(self._events)

    def offer(self, job: Job) -> None:
        message = job.message
        assert message is not None
        if not message.recipient.isascii() and not self._smtputf8:
            self._events.append(
                Ended(job, Refused("this relay takes no address with letters outside ASCII (no SMTPUTF8)"))
            )
            return
        octets = message.size
        if self._size and octets > self._size:
            self._events.append(Ended(job, Refused(f"the message has {octets} octets; this relay takes {self._size}")))
            return
        self._jobs.append(job)
        if self._reset_first:
            self._steps.append(((b"RSET\r\n",), ("rset",), None))
            self._reset_first = False
        size = f" SIZE={octets}" if self._announces_size else ""
        utf8 = "" if message.recipient.isascii() else " SMTPUTF8"
        mail = f"MAIL FROM:<{message.sender}>{size}{utf8}\r\n"
        rcpt = f"RCPT TO:<{message.recipient}>\r\n"
        if self._pipelining:
            self._steps.append(((f"{mail}{rcpt}DATA\r\n".encode(),), _ENVELOPE, job))
        else:
            for kind, command in zip(_ENVELOPE, (mail, rcpt, "DATA\r\n"), strict=True):
                self._steps.append(((command.encode(),), (kind,), job))
        self._speak()

    def release(self, job: Job, following: Job | None) -> None:
        assert job.message is not None
        self._steps.append(((*job.message.parts, b".\r\n"), ("dot",), job))
        if following is not None:
            self.offer(following)
        # Also where it wasn't offered after all: this relay can't take it.
        self._speak()

    @property
    def _gone(self) -> bool:
        """Whether the last final dot has been handed to the system."""
        return self._written >= self._dot > 0

    def _speak(self) -> None:
        """Hands what may be said now to the buffer: everything, or where nothing may be pipelined one command."""
        while self._steps and (self._pipelining or not self._awaited):
            words, kinds, job = self._steps.popleft()
            for kind in kinds:
                self._awaited.append((kind, job))
            # TLS makes a record of each piece, at a cost.
            self._out += (b"".join(words),) if self._tls else words
            self._queued += sum(map(len, words))
            if kinds[0] == "dot":
                self._dot = self._queued
            self._moved = self._seconds
        if self._out:
            self._write()

    def _write(self) -> None:
        try:
            while self._out:
                count = self._send()
                self._written += count
                if self._written == self._queued:
                    self._out.clear()
                    return
                done = 0
                while done < len(self._out) and count >= len(self._out[done]):
                    count -= len(self._out[done])
                    done += 1
                del self._out[:done]
                if count:
                    self._out[0] = memoryview(self._out[0])[count:]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._events += self._end(f"the connection broke while writing: {_words(error)}", fault=True)

    def _send(self) -> int:
        if self._tls:
            return self._sock.send(self._out[0])
        return self._sock.sendmsg(self._out[:AT_ONCE])  # no copy, one system call

    def events(self, seconds: float) -> list[Event]:
        self._seconds = seconds
        if self._out:
            self._write()
        self._read()
        limit = FINAL_SECONDS if self._awaited and self._awaited[0][0] == "dot" else COMMAND_SECONDS
        if not self._over and self._awaited and seconds - self._moved > limit:
            self._events += self._end(f"no answer in {limit:.0f} seconds", fault=True)
        happened, self._events = self._events, []
        return happened

    def _read(self) -> None:
        while not self._over:
            try:
                data = self._sock.recv(RECEIVED)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._events += self._end(f"the connection broke: {_words(error)}", fault=True)
                return
            if not data:
                self._events += self._end("the relay closed the connection", fault=bool(self._awaited))
                return
            self._moved = self._seconds
            self._parse(data)
            if len(data) < RECEIVED and not self._tls:
                return

    def _parse(self, data: bytes) -> None:
        *lines, self._in = (self._in + data).split(b"\n")
        if len(self._in) > LONGEST_REPLY:
            self._events += self._end("it sends a line without an end", fault=True)
        for line in lines:
            if self._over:
                return
            if self._plain_yes(line):
                continue
            found = _LINE.fullmatch(line.rstrip(b"\r"))
            if found is None or not b"2" <= found[1][:1] <= b"5":
                self._events += self._end(f"it says what no mail server says: {_readable(line)[:80]!r}", fault=True)
                return
            self._reply.append(found[3])
            if found[2] == b"-":
                if len(self._reply) > LONGEST_REPLY // 64:
                    self._events += self._end("it sends a reply without an end", fault=True)
                continue
            words = " ".join(_readable(part) for part in self._reply)
            self._reply = []
            self._answered(Reply(int(found[1]), words[:LONGEST_WORDS]))

    def _plain_yes(self, line: bytes) -> bool:
        """Deals with what nearly every reply is, a yes of one line, without taking it apart; False for any other."""
        if self._reply or not self._awaited:
            return False
        kind, job = self._awaited[0]
        if line.startswith(b"250 "):
            if kind in _JUST_YES:
                if kind == "mail":
                    self._turn = job
            elif kind == "dot" and self._gone and job is not None and line.isascii() and len(line) < LONGEST_WORDS:
                words = line.decode().strip()
                if not words.isprintable():
                    return False
                self._done(job, Sent(words))
            else:
                return False
        elif kind == "data" and line.startswith(b"354 ") and not self._refusals and job is not None:
            self._events.append(Ready(job))
        else:
            return False
        self._awaited.popleft()
        if self._steps:
            self._speak()
        return True

    def _answered(self, reply: Reply) -> None:
        if not self._awaited:
            self._events += self._end(str(reply), fault=True)
            return
        kind, job = self._awaited.popleft()
        if reply.code == 421:
            # RFC 5321 §3.8: it closes. What was in the open is deferred only if this was its final answer.
            if kind == "dot" and job is not None:
                self._done(job, Deferred(str(reply)))
            # Before a recipient was named it is about us; after that it may be about that recipient alone.
            self._events += self._end(str(reply), fault=kind == "mail")
            return
        early = kind == "dot" and not self._gone and reply.code // 100 < 4
        if early or ((reply.code // 100 == 3) != (kind == "data") and reply.code // 100 < 4):
            # RFC 5321 §4.3.2 has no such answer to this command: whatever it is about, it isn't about this message.
            self._awaited.appendleft((kind, job))
            self._events += self._end(f"its replies are out of step: {reply}", fault=True)
            return
        match kind:
            case "mail":
                assert job is not None
                if reply.code // 100 != 2:
                    self._mail_refused(job, reply)
                    return
                self._turn = job
            case "rcpt":
                assert job is not None
                if reply.code // 100 != 2:
                    self._refusals.setdefault(id(job), reply)
                    if not self._pipelining:
                        self._steps.clear()
                        self._reset_first = True
                        self._done(job, self._refusal(self._refusals.pop(id(job))))
            case "data":
                assert job is not None
                self._data_answered(job, reply)
            case "dot":
                assert job is not None
                self._done(job, Sent(str(reply)) if reply.code // 100 == 2 else self._refusal(reply))
            case "empty":
                pass
            case "rset":
                if reply.code // 100 != 2:
                    self._events += self._end(f"it refuses RSET: {reply}", fault=True)
                    return
        if self._steps:
            self._speak()

    def _mail_refused(self, job: Job, reply: Reply) -> None:
        """A relay that doesn't take our sender won't for the next one either: that is about the relay.

        What is about this message alone is its size (552, or 5.3.4).
        """
        if reply.code == 552 or self._enhanced_of(reply) == "5.3.4":
            self._refusals[id(job)] = reply
            if not self._pipelining:
                self._steps.clear()
                self._done(job, self._refusal(self._refusals.pop(id(job))))
            return
        self._events += self._end(f"it refuses the sender: {reply}", fault=True)

    def _data_answered(self, job: Job, reply: Reply) -> None:
        refusal = self._refusals.pop(id(job), None)
        if reply.code == 354:
            if refusal is None:
                self._events.append(Ready(job))
                return
            # RFC 2920 §3.1: nobody is left to get it, yet the server waits for a message: an empty one.
            self._steps.appendleft(((b".\r\n",), ("empty",), None))
        else:
            self._reset_first = True
        self._done(job, self._refusal(refusal or reply))

    def _done(self, job: Job, outcome: Sent | Deferred | Refused) -> None:
        self._jobs.remove(job)
        self.served += 1
        self._events.append(Ended(job, outcome))

    def _enhanced_of(self, reply: Reply) -> str:
        """The enhanced status code (RFC 2034), of a server that says that it writes them; else words are words."""
        return reply.enhanced if self._enhanced else ""

    def _refusal(self, reply: Reply) -> Deferred | Refused:
        """4xx is not now; anything else that isn't yes is no.

        552 for a full mailbox is not now (RFC 5321 §4.5.3.1.10); as 5.3.4 it is about the message's size.
        """
        if reply.code // 100 == 4 or (reply.code == 552 and not self._enhanced_of(reply).startswith("5.3.4")):
            return Deferred(str(reply))
        return Refused(str(reply))

    def _end(self, why: str, *, fault: bool) -> list[Event]:
        """Closes the connection and says what its jobs have come to."""
        made: list[Event] = []
        for job in self._jobs:
            open_steps = {kind for kind, about in self._awaited if about is job}
            if "dot" in open_steps and self._gone:
                made.append(Ended(job, Uncertain(why)))
            elif job is not self._turn:
                made.append(Ended(job, Returned(why)))
            else:
                # Its turn had come: the message itself may be what ended the connection. It waits, others go on.
                made.append(Ended(job, Deferred(f"{why} (before the message had left)")))
        self._jobs = []
        self._over = True
        self._out.clear()
        self._steps.clear()
        self._awaited.clear()
        discard(self._server)
        made.append(Closed(why if fault else ""))
        return made

    def quit(self) -> None:
        if not self._over and not self._jobs:
            with contextlib.suppress(OSError):
                self._sock.send(b"QUIT\r\n")
        self.drop("")

    def drop(self, why: str) -> list[Event]:
        return [] if self._over else self._end(why, fault=False)


def _readable(raw: bytes | bytearray) -> str:
    return _CONTROLS.sub("\ufffd", raw.decode("utf-8", "replace")).strip()


def _words(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()
