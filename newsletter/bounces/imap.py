"""Bounces in a folder on an IMAP server (RFC 9051, RFC 3501).

Messages are named by UID, fetched without being marked as read (BODY.PEEK), and moved away or deleted only after what
was made of them is on disk. A connection that is cut at any moment loses nothing.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import imaplib
import os
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from newsletter.bounces import acting
from newsletter.errors import ReturnMistake
from newsletter.folder import Folder
from newsletter.reader_settings import Imap, ReturnSecurity

AT_A_LOOK = 1000
"""Messages that one look takes in at the most; the rest waits for the next."""
AT_ONCE = 50
"""Messages after which those that were read are taken out."""
SEARCHED = 20_000
"""Messages that are asked for at once: the answer is one line, and imaplib takes no line past a million octets."""
TIMEOUT = 60.0
"""Seconds that a server may be silent."""

_Part = bytes | tuple[bytes, bytes] | None
"""What imaplib gives for a line of an answer; with a literal, a pair."""


def look_into_imap(
    folder: Folder,
    clock: Callable[[], dt.datetime],
    *,
    most: int = AT_A_LOOK,
    stop: Callable[[], bool] = lambda: False,
    began: Callable[[int], None] = lambda _: None,
    told: Callable[[int], None] = lambda _: None,
) -> int:
    """Takes in what lies in the folder; answers how many messages. `began` hears how many there are, `told` of each.

    ReturnMistake where the server can't be reached, doesn't let us in or falls silent, or nothing can be written
    down: what wasn't taken in by then is there still.
    """
    settings = folder.config.returns.imap
    assert settings is not None, "whoever looks sees whether it is configured"
    count = 0
    with _complaints(settings), _connected(folder, settings) as server:
        there = _yes(server.select(folder_name(settings.folder)))
        numbers = _numbers(server, there)[:most]
        able = _capabilities(server)
        began(len(numbers))
        for start in range(0, len(numbers), AT_ONCE):
            taken: list[bytes] = []
            try:
                for number in numbers[start : start + AT_ONCE]:
                    if stop():
                        return count
                    if (raw := _fetched(server, number)) is not None:
                        acting.take(folder, raw, "imap", "", clock())
                        taken.append(number)
                        count += 1
                        told(1)
            finally:
                # Also where the database went away in the middle: what is written down need not come again.
                _take_out(server, settings, taken, able)
    return count


@contextlib.contextmanager
def _complaints(settings: Imap) -> Iterator[None]:
    """A server's or a network's complaint as a ReturnMistake."""
    try:
        yield
    except (imaplib.IMAP4.error, OSError, EOFError, ValueError) as error:
        if isinstance(error, ssl.SSLCertVerificationError):
            what = f"its certificate isn't trusted: {error.verify_message}"
        elif isinstance(error, OSError) and error.strerror:
            what = error.strerror.lower()
        else:
            what = str(error) or type(error).__name__
        raise ReturnMistake(
            f"the mailbox can't be looked into: {acting.one_line(what, 200)}",
            where=f"{settings.username} at {settings.host}:{settings.port}",
            remedy="Nothing is lost; it is tried again. Check returns.imap in config.toml where this goes on.",
        ) from None


@contextlib.contextmanager
def _connected(folder: Folder, settings: Imap) -> Iterator[imaplib.IMAP4]:
    password = os.environ.get(settings.password_env)
    if password is None:
        raise ReturnMistake(
            f"the environment has no {settings.password_env}",
            where="returns.imap",
            remedy="Set it to the mailbox's password; it is never kept in config.toml.",
        )
    trust = ssl.create_default_context()
    if settings.ca_file:
        try:
            trust.load_verify_locations(folder.path / settings.ca_file)
        except OSError as error:
            raise ReturnMistake(
                f"the certificates can't be read: {error.strerror}",
                where=folder.path / settings.ca_file,
                remedy="Check returns.imap.ca_file in config.toml.",
            ) from None
    server: imaplib.IMAP4
    if settings.security is ReturnSecurity.tls:
        server = imaplib.IMAP4_SSL(settings.host, settings.port, ssl_context=trust, timeout=TIMEOUT)
    else:
        server = imaplib.IMAP4(settings.host, settings.port, timeout=TIMEOUT)
    try:
        if settings.security is ReturnSecurity.starttls:
            server.starttls(trust)
        if settings.username.isascii() and password.isascii():
            server.login(settings.username, password)
        else:
            # LOGIN has no way to say them (RFC 3501 §6.2.3); PLAIN is UTF-8 (RFC 4616).
            server.authenticate("PLAIN", lambda _: f"\0{settings.username}\0{password}".encode())
        yield server
    finally:
        # No CLOSE: that would delete what others have marked.
        with contextlib.suppress(imaplib.IMAP4.error, OSError, EOFError):
            server.logout()
        with contextlib.suppress(OSError):
            server.shutdown()


def _numbers(server: imaplib.IMAP4, selected: list[_Part]) -> list[bytes]:
    """The UIDs of the messages that aren't marked as deleted, the oldest first; of so many as fit on a line."""
    count = int(selected[0]) if isinstance(selected[0], bytes) else 0
    if not count:
        return []
    found = _yes(server.uid("SEARCH", f"1:{min(count, SEARCHED)}", "UNDELETED"))
    return [number for line in found if isinstance(line, bytes) for number in line.split() if number.isdigit()]


def _fetched(server: imaplib.IMAP4, number: bytes) -> bytes | None:
    """A message, or as much of it as is read; None where it has gone meanwhile."""
    found = _yes(server.uid("FETCH", number.decode(), f"(BODY.PEEK[]<0.{acting.LARGEST}>)"))
    return next((bytes(part[1]) for part in found if isinstance(part, tuple)), None)


def _capabilities(server: imaplib.IMAP4) -> set[str]:
    """What the server can do for who has logged in: often more than it said at first, and then nobody asks again."""
    found = _yes(server.capability())
    return {
        word.decode("ascii", "replace").upper() for line in found if isinstance(line, bytes) for word in line.split()
    }


def _take_out(server: imaplib.IMAP4, settings: Imap, numbers: list[bytes], able: set[str]) -> None:
    """Moves messages to the folder for those that were read, or deletes them where there is none."""
    if not numbers:
        return
    uids = b",".join(numbers).decode()
    if settings.done:
        if "MOVE" in able:
            _yes(server.uid("MOVE", uids, folder_name(settings.done)))
            return
        _yes(server.uid("COPY", uids, folder_name(settings.done)))
    _yes(server.uid("STORE", uids, "+FLAGS.SILENT", r"(\Deleted)"))
    if "UIDPLUS" in able:
        _yes(server.uid("EXPUNGE", uids))
        return
    # A plain EXPUNGE takes all that are marked, so only where no one else has marked any.
    marked = _yes(server.uid("SEARCH", "DELETED"))
    if {number for line in marked if isinstance(line, bytes) for number in line.split()} <= set(numbers):
        _yes(server.expunge())


def _yes(answer: tuple[str, list[Any]]) -> list[_Part]:
    """What a server answered, where it was OK. IMAP4.error with its words where it wasn't."""
    word, data = answer
    if word != "OK":
        words = b" ".join(part for part in data if isinstance(part, bytes)).decode("utf-8", "replace")
        raise imaplib.IMAP4.error(words or f"it answered {word}")
    return data


def folder_name(name: str) -> str:
    """A folder's name as IMAP writes it: in quotes, and in its own UTF-7 (RFC 3501 §5.1.3)."""

    def encoded(found: re.Match[str]) -> str:
        return "&" + base64.b64encode(found[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"

    text = re.sub(r"[^\x20-\x7e]+", encoded, name.replace("&", "&-"))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
