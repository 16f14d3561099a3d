"""Quoted-printable (RFC 2045 §6.7), made so that nothing on the way has a reason to touch it.

Beside what the standard asks: no line begins with a dot, so that SMTP needs no dot-stuffing; none begins with
"From "; no white space stands at a line's end or twice in a row, so that DKIM's relaxed and simple forms of a
body are the same. Lines have at most 76 octets. Texts are encoded once an issue; a reader's values get lines of
their own between soft breaks, so that filling one in never wraps another line anew.
"""

from __future__ import annotations

import re

_ESCAPED = {bytes([byte]): f"={byte:02X}".encode() for byte in range(256)}
_UNSAFE = re.compile(rb"[^!-<>-~ ]|(?<= ) | $")
_WIDTH = 75
"""Octets before a soft break; with its "=" a line has 76."""

SOFT = b"=\r\n"


def encode(text: str, *, column: int = 0) -> tuple[bytes, int]:
    """`text` encoded, its line breaks as CRLF, from a column on; and the column at which it ends."""
    out = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for i, line in enumerate(lines):
        encoded, column = _line(line.encode(), column)
        out.append(encoded)
        if i < len(lines) - 1:
            out.append(b"\r\n")
            column = 0
    return b"".join(out), column


def value(text: str) -> bytes:
    """A reader's value on lines of its own; a soft break has to stand before it and after it."""
    return _line(" ".join(text.split("\n")).encode(), 0)[0]


def _line(raw: bytes, column: int) -> tuple[bytes, int]:
    safe = _UNSAFE.sub(lambda found: _ESCAPED[found[0]], raw)
    out = []
    while True:
        if column == 0:
            safe = _start(safe)
        room = _WIDTH - column
        if len(safe) <= room:
            out.append(safe)
            return b"".join(out), column + len(safe)
        cut = room
        if safe[cut - 1 : cut] == b"=":
            cut -= 1
        elif safe[cut - 2 : cut - 1] == b"=":
            cut -= 2
        out += [safe[:cut], SOFT]
        safe, column = safe[cut:], 0


def _start(safe: bytes) -> bytes:
    if safe.startswith(b"."):
        return b"=2E" + safe[1:]
    if safe.startswith(b"From "):
        return b"=46" + safe[1:]
    return safe
