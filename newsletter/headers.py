"""Message headers as bytes, each a line or more with its CRLF.

Written here, and not by the standard library's email package, because that one turns a List-Unsubscribe with a
long link into encoded words, loses the quotes round a name with commas, and leaves a literal =?…?= in a subject
to be decoded as something else (all measured). Encoded words are at most 75 octets (RFC 2047 §2) and never cut
a character as a reader sees it; lines are folded at 76 where they can be; tokens and links never are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import idna
from wcwidth import iter_graphemes

from newsletter.errors import SubscriberMistake

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
"""A phrase that needs no quotes (RFC 5322 §3.2.3: atext and single spaces)."""
_PRINTABLE = re.compile(r"[ -~]*")
_SAFE_IN_Q = re.compile(rb"[A-Za-z0-9!*+/-]")
"""What stands for itself in a Q encoded word of a phrase (RFC 2047 §5.3)."""
_Q_ROOM, _B_ROOM = 18, 39
"""Octets of text that a first encoded word always has room for, after a header's name."""
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_PLAIN_ADDRESS = re.compile(_LOCAL.pattern + r"@[A-Za-z0-9.-]+")


def token(name: str, value: str) -> bytes:
    """A header whose value is made of tokens and links, on one line: List-Unsubscribe, Message-ID, Feedback-ID.

    ValueError for a line break, for what isn't ASCII, and for a line past 998 octets (RFC 5322 §2.1.1).
    """
    line = f"{name}: {value}"
    if not _PRINTABLE.fullmatch(line) or len(line) > 998:
        raise ValueError(f"{name} can't hold {value!r}")
    return line.encode() + b"\r\n"


def words(name: str, value: str) -> bytes:
    """A header of free text, such as Subject: as it is where it is short ASCII, else folded or in encoded words."""
    first = len(name) + 2
    if _PRINTABLE.fullmatch(value) and "=?" not in value and value == value.strip() and "  " not in value:
        folded = _fold(value.split(" "), first)
        if folded is not None:
            return f"{name}: {folded}\r\n".encode()
    return f"{name}: {_encoded(value, first)}\r\n".encode()


def mailbox(name: str, display: str, address: str) -> bytes:
    """A header with one mailbox: To, From, Reply-To. `address` has been through wire_address.

    A display name never becomes an address of its own, however many commas and brackets it holds.
    """
    if not display:
        return f"{name}: {address}\r\n".encode()
    first = len(name) + 2
    if _ATOMS.fullmatch(display) and "=?" not in display:
        phrase: str | None = display if first + len(display) <= 76 else _fold(display.split(" "), first)
    elif _PRINTABLE.fullmatch(display) and "=?" not in display and "  " not in display and display == display.strip():
        # Folded within the quotes, which keeps the space; encoded words would do too, but many programs read a
        # name in several of them with spaces put in between (CPython's email package among them).
        phrase = _fold(('"' + display.replace("\\", r"\\").replace('"', r"\"") + '"').split(" "), first)
    else:
        phrase = None
    if phrase is None:
        phrase = _encoded(display, first)
    last = len(phrase) - phrase.rfind("\n") - 1 + (0 if "\n" in phrase else first)
    fold = "\r\n " if last + len(address) + 3 > 76 else " "
    return f"{name}: {phrase}{fold}<{address}>\r\n".encode()


def one_line(text: str) -> str:
    """A text with a space for every run of line breaks and control characters: even an encoded one misleads."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)


def wire_address(address: str) -> str:
    """An address as a mail server takes it: the domain in IDNA's letters, the local part quoted where it must be.

    A local part that isn't ASCII stays; only a server with SMTPUTF8 (RFC 6531) takes it. SubscriberMistake for
    what can't be an address at all.
    """
    if _PLAIN_ADDRESS.fullmatch(address):
        return address
    local, at, domain = address.rpartition("@")
    if not (at and local and domain) or re.search(r"[\x00-\x20\x7f-\x9f<>]", address):
        raise SubscriberMistake(f"{address!r} is not an address")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError as error:
            raise SubscriberMistake(f'"{domain}" is not a domain: {error}') from None
    if not _LOCAL.fullmatch(local) and local.isascii() and not (local[0] == local[-1] == '"' and len(local) > 2):
        local = '"' + local.replace("\\", r"\\").replace('"', r"\"") + '"'
    return f"{local}@{domain}"


def _fold(parts: list[str], first: int) -> str | None:
    """Words joined by spaces, folded to lines of at most 76; None where one word alone is longer."""
    lines, width = [""], first
    for i, part in enumerate(parts):
        if width + (i > 0) + len(part) > 76:
            if i == 0 or len(part) > 75:
                return None
            lines.append("")
            width = 0
        lines[-1] += (" " if i else "") + part
        width += (i > 0) + len(part)
    return "\r\n".join(lines)


def _encoded(text: str, first: int) -> str:
    """`text` in encoded words, in whichever of B and Q is shorter; a line each (RFC 2047 §2)."""
    text = one_line(text)
    raw = text.encode()
    plain = sum(1 for byte in raw if _SAFE_IN_Q.match(bytes([byte])) or byte == 32)
    q = plain + 3 * (len(raw) - plain) <= 4 * len(raw) / 3 + 2
    if q and any(len(grapheme.encode()) > _Q_ROOM for grapheme in iter_graphemes(text)):
        q = False
    return "\r\n ".join(_encoded_words(text, q, first))


def _encoded_words(text: str, q: bool, first: int) -> Iterator[str]:
    room = min(75, 76 - first)
    chunk = b""
    for grapheme in _pieces(text, _Q_ROOM if q else _B_ROOM):
        if chunk and _length(chunk + grapheme, q) > room:
            yield _word(chunk, q)
            chunk, room = b"", 75
        chunk += grapheme
    yield _word(chunk, q)


def _pieces(text: str, room: int) -> Iterator[bytes]:
    """What must stay in one word: each character as a reader sees it; only one longer than a word by code point."""
    for grapheme in iter_graphemes(text):
        raw = grapheme.encode()
        yield from [raw] if len(raw) <= room else (character.encode() for character in grapheme)


def _length(raw: bytes, q: bool) -> int:
    return 12 + (len(_q(raw)) if q else (len(raw) + 2) // 3 * 4)


def _word(raw: bytes, q: bool) -> str:
    return f"=?utf-8?q?{_q(raw)}?=" if q else f"=?utf-8?b?{base64.b64encode(raw).decode()}?="


def _q(raw: bytes) -> str:
    return "".join(
        chr(byte) if _SAFE_IN_Q.match(bytes([byte])) else "_" if byte == 32 else f"={byte:02X}" for byte in raw
    )
