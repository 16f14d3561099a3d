"""A message taken apart, as far as reading what comes back needs it: any bytes will do, and none take long.

Not the standard library's email package: that one is some twenty times slower, builds parts thousands deep, and
raises on some headers. Here what is too much is left out: see the bounds.
"""

from __future__ import annotations

import binascii
import itertools
import re

from msgspec import Struct

READ = 2 * 1024 * 1024
"""Octets of a message that are looked at. Reports stand before the message that they return; the rest isn't read."""
DEPTH = 12
"""Parts within parts within parts; what lies deeper is left as it is."""
PARTS = 200
"""Of a whole message."""
HEADERS = 500
"""Header fields of a message or part."""
FIELD = 16 * 1024
"""Octets of a header field."""
TEXT = 256 * 1024
"""Octets of a part's text that are decoded."""

_NAME = re.compile(rb"[!-9;-~]{1,100}")
_FOLD = re.compile(rb"\n[ \t]+")
_PARAMETER = re.compile(r""";\s*([\w!#$%&'*+.^`{|}~-]{1,60})\s*=\s*(?:"((?:[^"\\]|\\.){0,2000})"|([^\s;"]{0,2000}))""")
_WORD = re.compile(r"=\?([A-Za-z0-9_.:-]{1,40})(?:\*[A-Za-z0-9-]*)?\?([bBqQ])\?([^?\n]*)\?=")
_CHARSET = re.compile(
    r"(?:us-)?ascii|utf-?(?:7|8|16(?:le|be)?)|latin-?\d|iso-?(?:8859|2022)-[a-z0-9-]+|(?:windows-|cp)\d{3,4}|koi8-[rut]"
    r"|gbk|gb2312|gb18030|hz-gb-2312|big5(?:-?hkscs)?|euc-?(?:jp|kr)|shift-jis|sjis|ks-c-5601-1987|tis-620|macintosh"
)
"""Those that are asked for: of the codecs that Python has, some aren't charsets, and some take long."""
_SAME = {
    "x-sjis": "cp932",
    "shift-jis": "cp932",
    "windows-31j": "cp932",
    "iso-8859-8-i": "iso-8859-8",
    "unicode-1-1-utf-7": "utf-7",
    "ks-c-5601-1987": "cp949",
    "gb2312": "gb18030",
    "iso-2022-jp": "iso-2022-jp-ext",
}
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_SNIFFED = re.compile(rb"(?:\A|\n)--([^\s]{1,200})[ \t]*\n((?:[^\n]{1,500}\n){1,6})")


class Part(Struct):
    """A message, or a part of one."""

    headers: list[tuple[str, str]]
    """Names in small letters, values unfolded and as they stand: encoded words aren't decoded."""
    body: bytes
    """As it stands, lines ending with LF."""
    kind: str = "text/plain"
    parameters: dict[str, str] = {}
    parts: list[Part] = []
    """Of a multipart, its parts; of a message/rfc822 (or its like), the message."""

    def get(self, name: str) -> str:
        """The first header of that name (in small letters), as it stands; "" where there is none."""
        for each, value in self.headers:
            if each == name:
                return value
        return ""

    def all(self, name: str) -> list[str]:
        """All headers of that name."""
        return [value for each, value in self.headers if each == name]

    def line(self, name: str) -> str:
        """The first header of that name with its encoded words decoded (RFC 2047)."""
        return unworded(self.get(name))

    def content(self, limit: int = TEXT) -> bytes:
        """The body without its transfer encoding, as much as there is of it; broken encodings give what they can."""
        return _transferred(self.body, self.get("content-transfer-encoding"), limit)

    def text(self) -> str:
        """The body as text; what can't be decoded is replaced."""
        return decoded(self.content(), self.parameters.get("charset", ""))


def parse(raw: bytes) -> Part:
    """A message as parts. Never raises, and looks at READ octets at the most."""
    raw = raw[:READ]
    text = raw.replace(b"\r", b"") if b"\n" in raw else raw.replace(b"\r", b"\n")
    text = text.lstrip(b"\n")
    if text.startswith((b"From ", b">From ")):
        text = text.partition(b"\n")[2]
    return _part(text, DEPTH, [PARTS], "text/plain")


def fields(text: bytes) -> list[tuple[str, str]]:
    """Header fields, HEADERS at the most. Lines that are none are passed over."""
    found = []
    if b"\n " in text or b"\n\t" in text:
        text = _FOLD.sub(b" ", text)
    for line in text.split(b"\n", 4 * HEADERS)[: 4 * HEADERS]:
        name, colon, value = line.partition(b":")
        name = name.rstrip()
        if colon and _NAME.fullmatch(name):
            found.append((name.decode("ascii").lower(), _plain(value[:FIELD].strip())))
            if len(found) == HEADERS:
                break
    return found


def decoded(raw: bytes, charset: str) -> str:
    """Bytes as text, by their charset where it is one, else as UTF-8 where they are, else as Windows' Latin."""
    name = charset.strip(" \"'").lower().replace("_", "-")
    name = _SAME.get(name, name)
    if name in ("utf-8", "us-ascii", "") and b"\x1b$" in raw:
        name = "iso-2022-jp-ext"
    if name not in ("utf-8", "us-ascii", "") and _CHARSET.fullmatch(name):
        try:
            return raw.decode(name, "replace")
        except (LookupError, ValueError):
            pass
    return _plain(raw)


def unworded(value: str) -> str:
    """A header's value with its encoded words decoded. Words of one charset side by side are decoded together."""
    if "=?" not in value:
        return value
    made: list[str] = []
    held, charset, at = b"", "", 0
    for found in _WORD.finditer(value):
        between = value[at : found.start()]
        if at == 0 or between.strip() or found[1].lower() != charset:
            made.append(decoded(held, charset))
            held = b""
        if at == 0 or between.strip():
            made.append(between)
        charset = found[1].lower()
        raw = found[3].encode("ascii", "replace")
        held += _base64(raw) if found[2] in "bB" else binascii.a2b_qp(raw, header=True)
        at = found.end()
    return "".join((*made, decoded(held, charset), value[at:]))


def _plain(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        # Cut in the middle of a character, or a byte or two that are wrong: still UTF-8.
        if error.start > len(raw) - 4 or (error.start and not raw[: error.start].isascii()):
            return raw.decode("utf-8", "replace")
        return raw.decode("cp1252", "replace")


def _part(text: bytes, depth: int, left: list[int], otherwise: str) -> Part:
    head, body = _divided(text)
    headers = fields(head)
    kind = otherwise
    parameters: dict[str, str] = {}
    for name, value in headers:
        if name == "content-type":
            kind, parameters = _content_type(value)
            break
    part = Part(headers, body, kind or otherwise, parameters)
    if depth <= 0:
        return part
    if kind.startswith("multipart/"):
        part.parts = _parts(part, depth, left)
    elif kind in ("message/rfc822", "message/global", "message/news") and left[0] > 0:
        left[0] -= 1
        inner = part.content(READ) if part.get("content-transfer-encoding") else body
        part.parts = [_part(inner.lstrip(b"\n"), depth - 1, left, "text/plain")]
    return part


def _divided(text: bytes) -> tuple[bytes, bytes]:
    """The header and the body. Where the first line is no field, all of it is body."""
    if text.startswith(b"\n"):
        return b"", text[1:]
    first = text.partition(b"\n")[0]
    name = first.partition(b":")
    if not name[1] or not _NAME.fullmatch(name[0].rstrip()):
        return b"", text
    head, _, body = text.partition(b"\n\n")
    return head, body


def _content_type(value: str) -> tuple[str, dict[str, str]]:
    kind = value.partition(";")[0].strip().lower()
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(value):
        name = found[1].lower().removesuffix("*").removesuffix("*0")
        parameters.setdefault(name, found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2]))
    return kind, parameters


def _parts(part: Part, depth: int, left: list[int]) -> list[Part]:
    boundary = part.parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
    body = b"\n" + part.body
    if not boundary or b"\n--" + boundary not in body:
        # No boundary, or not the one that was announced: the first line that looks like one.
        boundary = _sniffed(part.body[:TEXT])
        if not boundary:
            return []
    otherwise = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
    pieces: list[list[bytes]] = []
    ended = False
    for piece in body.split(b"\n--" + boundary)[1:]:
        rest = piece.partition(b"\n")[0].strip()
        if rest and rest != b"--":
            # A longer boundary that begins alike, of a part within.
            if pieces and not ended:
                pieces[-1] += [b"\n--", boundary, piece]
            continue
        ended = ended or rest == b"--"
        if ended or len(pieces) >= left[0]:
            ended = True
            continue
        pieces.append([piece.partition(b"\n")[2]])
    left[0] -= len(pieces)
    return [_part(b"".join(each), depth - 1, left, otherwise) for each in pieces]


def _sniffed(body: bytes) -> bytes:
    """The boundary of the first line that looks like one, since a part's headers follow; empty where there is none."""
    for found in itertools.islice(_SNIFFED.finditer(body), PARTS):
        if found[2].lower().startswith((b"content-type:", b"content-tr")) or b"\ncontent-type:" in found[2].lower():
            return found[1]
    return b""


def _transferred(body: bytes, encoding: str, limit: int) -> bytes:
    encoding = encoding.strip().lower()
    if encoding == "base64":
        return _base64(body[: limit * 4 // 3])
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body[:limit])
    return body[:limit]


def _base64(raw: bytes) -> bytes:
    clean = _NOT_BASE64.sub(b"", raw)
    clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    try:
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return b""
