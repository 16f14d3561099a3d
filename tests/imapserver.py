"""An IMAP server for tests: real sockets, as much of RFC 3501 as reading a folder takes, and what may go wrong.

with ImapServer({"INBOX": [b"Subject: one\\r\\n\\r\\n…"]}) as server: …
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Kept:
    uid: int
    raw: bytes
    flags: set[str] = field(default_factory=set)


@dataclass
class ImapServer:
    """Says yes to what it knows, but for what it is told."""

    mail: dict[str, list[bytes]]
    """Folder: the messages in it at first."""
    extensions: tuple[str, ...] = ("MOVE", "UIDPLUS")
    """Said once somebody has logged in, as many servers do."""
    password: str = "secret"
    tls: ssl.SSLContext | None = None
    """TLS from the first byte, or with starttls=True after STARTTLS."""
    starttls: bool = False
    cut_in_fetch: int = 0
    """At the so-manieth FETCH the connection is cut in the middle of the message; once."""
    cut_before: str = ""
    """A command ("STORE", "MOVE", "EXPUNGE") before which the connection is cut; once."""
    cut_after: str = ""
    """A command that is done and never answered: the connection is cut; once."""
    refuse: dict[str, str] = field(default_factory=dict)
    """Command: what it is answered, such as "NO [OVERQUOTA] full"."""
    vanish: set[int] = field(default_factory=set)
    """UIDs that are listed and gone when they are fetched."""
    commands: list[str] = field(default_factory=list)
    fetches: int = 0

    def __enter__(self) -> Self:
        owner = self
        self.folders = {
            name: [Kept(10 * n + 7, raw) for n, raw in enumerate(messages)] for name, messages in self.mail.items()
        }
        self._next = 1000

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if owner.tls and not owner.starttls:
                    try:
                        self._secure()
                    except (ssl.SSLError, OSError):
                        return
                with contextlib.suppress(ConnectionError, OSError, ValueError, IndexError):
                    owner._speak(self)
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                self.connection.close()

            def _secure(self) -> None:
                assert owner.tls
                self.connection = owner.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def left(self, folder: str = "INBOX") -> list[bytes]:
        """The messages in a folder."""
        return [kept.raw for kept in self.folders.get(folder, [])]

    def _cut(self, when: str, verb: str) -> None:
        if getattr(self, when) == verb:
            setattr(self, when, "")
            raise ConnectionError("cut, as was asked")

    def _speak(self, handler: Any) -> None:
        here: list[Kept] = []
        logged_in = False

        def say(line: str) -> None:
            handler.wfile.write(line.encode() + b"\r\n")

        say("* OK ready")
        while line := handler.rfile.readline():
            text = line.decode().strip()
            tag, _, rest = text.partition(" ")
            words = rest.split(" ")
            verb = words[1].upper() if words[0].upper() == "UID" else words[0].upper()
            self.commands.append("LOGIN" if verb == "LOGIN" else rest)
            done = f"{tag} OK done"
            self._cut("cut_before", verb)
            if verb in self.refuse:
                say(f"{tag} {self.refuse[verb]}")
                continue
            if verb == "CAPABILITY":
                more = " ".join(self.extensions) if logged_in else "STARTTLS" if self.starttls else ""
                say(f"* CAPABILITY IMAP4rev1 {more}".rstrip())
            elif verb == "STARTTLS":
                say(done)
                handler._secure()
                continue
            elif verb == "LOGIN":
                logged_in = words[2].strip('"') == self.password
                done = done if logged_in else f"{tag} NO [AUTHENTICATIONFAILED] wrong password"
            elif verb == "AUTHENTICATE":
                say("+ ")
                given = base64.b64decode(handler.rfile.readline().strip()).decode().split("\0")
                logged_in = given[2] == self.password
                done = done if logged_in else f"{tag} NO wrong password"
            elif verb == "SELECT":
                name = re.findall(r'"(.*)"', rest)[0]
                if name not in self.folders:
                    say(f"{tag} NO [NONEXISTENT] there is no such folder")
                    continue
                here = self.folders[name]
                say(f"* {len(here)} EXISTS")
                say("* OK [UIDVALIDITY 1] fine")
            elif verb == "SEARCH":
                wanted = {"UNDELETED": False, "DELETED": True}[words[-1]]
                found = [str(kept.uid) for kept in here if ("\\Deleted" in kept.flags) is wanted]
                say(" ".join(["* SEARCH", *found]))
            elif verb == "FETCH":
                self._fetch(handler, here, int(words[2]), rest)
            elif verb == "STORE":
                for kept in self._named(here, words[2]):
                    kept.flags |= set(re.findall(r"\\\w+", rest))
            elif verb in ("COPY", "MOVE"):
                name = re.findall(r'"(.*)"', rest)[0]
                if name not in self.folders:
                    say(f"{tag} NO [TRYCREATE] there is no such folder")
                    continue
                for kept in self._named(here, words[2]):
                    self._next += 1
                    self.folders[name].append(Kept(self._next, kept.raw, set(kept.flags)))
                    if verb == "MOVE":
                        here.remove(kept)
            elif verb == "EXPUNGE":
                chosen = self._named(here, words[2]) if words[0].upper() == "UID" else list(here)
                for kept in chosen:
                    if "\\Deleted" in kept.flags:
                        here.remove(kept)
            elif verb == "LOGOUT":
                say("* BYE")
                say(done)
                return
            else:
                done = f"{tag} BAD what?"
            self._cut("cut_after", verb)
            say(done)

    def _named(self, here: list[Kept], uids: str) -> list[Kept]:
        numbers = {int(each) for each in uids.split(",")}
        return [kept for kept in here if kept.uid in numbers]

    def _fetch(self, handler: Any, here: list[Kept], uid: int, rest: str) -> None:
        self.fetches += 1
        for place, kept in enumerate(here, 1):
            if kept.uid == uid and uid not in self.vanish:
                if "PEEK" not in rest:
                    kept.flags.add("\\Seen")
                start, size = (int(each) for each in re.findall(r"<(\d+)\.(\d+)>", rest)[0])
                raw = kept.raw[start : start + size]
                head = f"* {place} FETCH (UID {uid} BODY[]<{start}> {{{len(raw)}}}\r\n".encode()
                if self.fetches == self.cut_in_fetch:
                    handler.wfile.write(head + raw[: len(raw) // 2])
                    raise ConnectionError("cut, as was asked")
                handler.wfile.write(head + raw + b")\r\n")
