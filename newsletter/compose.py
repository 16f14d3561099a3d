"""A rendition and a reader make a message: bytes, ready for the wire.

What is the same for all readers is encoded once an issue; per reader a list of segments is copied, the values
are put in their places, and it is joined. No MIME library is asked per reader: that would take a hundred times
as long (findings in the README). The bytes need no dot-stuffing and end with CRLF. Where config.toml has a key for
the sender's domain, they are signed.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import html
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import fields, headers
from newsletter import quoted_printable as qp
from newsletter.config import Publication, zone
from newsletter.dates import long_date
from newsletter.errors import IssueMistake
from newsletter.fields import Node, Value
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.states import RenditionKind
from newsletter.tokens import Keys, keys

if TYPE_CHECKING:
    from newsletter.dkim import Signer, Signing
    from newsletter.measuring import Marks

VARYING = ("To", "Subject", "Date", "Message-ID", "List-Unsubscribe")
"""The headers that each message has for itself, in their order; the others follow."""
LARGE = 2048
"""Octets from which it costs less to hand a segment to the system as it is than to copy it into a message."""
VARIANTS = 256
"""How many combinations of conditions are kept encoded; a rarer one is encoded when it comes."""


class Reader(Struct, frozen=True, gc=False):
    """Whom a message is for: what may be filled in, and no more."""

    subscriber: int
    address: str
    name: str
    attributes: dict[str, str]
    joined: dt.datetime | None
    measured: bool = False
    """Whether they agreed to have what they open and follow kept with their name."""


@dataclass(frozen=True, slots=True)
class Content:
    """What every copy of an issue has in common."""

    issue: int
    slug: str
    volume: int
    number: int
    subject: str
    """Merge fields as they were written, [[name]]."""
    html: str
    text: str
    """Both with their merge fields framed (see newsletter.fields)."""


class Message(Struct, frozen=True, gc=False):
    """A message and its envelope."""

    sender: str
    """The envelope's: where this very copy comes back to (VERP)."""
    recipient: str
    parts: tuple[bytes, ...]
    """Its bytes, one after the other. What is the same for all readers stands alone, and is never copied."""

    @property
    def data(self) -> bytes:
        """Its bytes in one."""
        return b"".join(self.parts)

    @property
    def size(self) -> int:
        """In octets."""
        return sum(map(len, self.parts))


def for_issue(session: Session, folder: Folder, issue: Issue, now: dt.datetime, *, measured: bool = False) -> Composer:
    """The composer of an issue that has been assembled and rendered.

    With `measured` its messages have in them what the publication measures by. That is for those which go out: what is
    only looked at, as a preview or in the browser, isn't counted.
    IssueMistake if it hasn't; DkimMistake where a key that its messages are to be signed with can't be used.
    """
    slug, publication = folder.publication(issue.publication)
    made = {
        row.kind: row.content.decode()
        for row in session.scalars(
            select(Rendition).where(
                Rendition.issue_id == issue.id, Rendition.kind.in_([RenditionKind.html, RenditionKind.text])
            )
        )
    }
    if len(made) < 2 or issue.volume is None or issue.number is None:
        raise IssueMistake("the issue hasn't been rendered yet", remedy="It is when it is assembled.")
    content = Content(
        issue.id, slug, issue.volume, issue.number, issue.subject, made[RenditionKind.html], made[RenditionKind.text]
    )
    names = fields.known(folder.config.attributes)
    secrets = keys(session, now)
    marks: Marks | None = None
    if measured and (publication.measure_opens or publication.measure_clicks):
        from newsletter import measuring

        content = replace(content, html=measuring.measured(content.html, publication, folder.config.base_url))
        marks = measuring.Marks(secrets, issue.id, by_name=publication.measure_readers)
    signers: tuple[Signer, ...] = ()
    if folder.config.dkim:
        from newsletter import dkim

        signers = dkim.signers(folder.config.dkim, folder.path, headers.wire_address(publication.sender))
    return Composer(content, publication, folder.config.base_url, names, secrets, signers, marks)


class Composer:
    """Makes the messages of one issue. `compose` is a pure function of the reader and the moment."""

    def __init__(
        self,
        content: Content,
        publication: Publication,
        base_url: str,
        names: frozenset[str],
        keys: Keys,
        signers: tuple[Signer, ...] = (),
        marks: Marks | None = None,
    ) -> None:
        """`marks` make the tokens of measured links, where the content has any."""
        # No line of an inbox is broken by a space, and one that isn't ASCII would have the whole line encoded.
        content = replace(content, subject=content.subject.replace("\u00a0", " "))
        self._content = content
        self._keys = keys
        self._base_url = base_url
        self._zone = zone(publication.cadence.zone)
        self._language = publication.language
        self._subject = fields.nodes(fields.frame(content.subject, names), names)
        self._text = fields.nodes(content.text, names)
        self._html = fields.nodes(content.html, names if marks is None else names | {fields.MARK})
        self._conditions = tuple(dict.fromkeys((*fields.conditions(self._text), *fields.conditions(self._html))))
        self._variants: dict[tuple[bool, ...], _Variant] = {}
        self._same_subject = (
            b""
            if any(not isinstance(node, str) for node in self._subject)
            else headers.words("Subject", content.subject)
        )
        sender = headers.wire_address(publication.sender)
        self._domain = sender.rpartition("@")[2]
        bounces = headers.wire_address(publication.bounces or publication.sender)
        self._bounce_local, _, self._bounce_domain = bounces.rpartition("@")
        self._bounces = bounces
        # "=_" can't stand in quoted-printable, so the boundary can't stand in a part.
        digest = hashlib.sha256((content.text + content.html).encode()).hexdigest()
        self._boundary = f"=_{content.slug[:20]}-{digest[:24]}".encode()
        self._constant = _constant_headers(content, publication, base_url, sender, self._boundary)
        self._signing: Signing | None = None
        if signers:
            from newsletter.dkim import Signing

            self._signing = Signing(signers, self._constant, VARYING)
        self._date: tuple[int, bytes] = (-1, b"")
        self._getters: dict[str, _Getter] = {
            name: functools.partial(_attribute, name) for name in names if name not in fields.ALWAYS
        } | {
            "name": lambda reader, _: reader.name,
            "address": lambda reader, _: reader.address,
            "joined": self._joined,
            "unsubscribe_url": lambda _, token: f"{base_url}/leave/{token}",
            "preferences_url": lambda _, token: f"{base_url}/me/{token}",
            "view_url": lambda _, token: f"{base_url}/view/{token}",
        }
        if marks is not None:
            self._getters[fields.MARK] = lambda reader, _: marks.of(reader.subscriber, agreed=reader.measured)

    def compose(self, reader: Reader, now: dt.datetime) -> Message:
        """The message for one reader.

        SubscriberMistake for an address that no mail server could take.
        """
        issue, second = self._content.issue, int(now.timestamp())
        token = self._keys.reader(issue, reader.subscriber)
        variant = self._variant(reader, token)
        recipient = headers.wire_address(reader.address)
        varying = b"".join(
            (
                headers.mailbox("To", reader.name, recipient),
                self._same_subject or headers.words("Subject", fields.fill(self._subject, self._values(reader, token))),
                self._date_header(now, second),
                f"Message-ID: <{self._keys.message(issue, reader.subscriber)}@{self._domain}>\r\n"
                f"List-Unsubscribe: <{self._base_url}/leave/{token}>,"
                f" <mailto:{self._bounces}?subject=unsubscribe%20{token}>\r\n".encode(),
            )
        )
        segments = variant.segments[:]
        segments[0] = varying
        for encode, value, fallback, places in variant.slots:
            encoded = encode(value(reader, token) or fallback)
            for place in places:
                segments[place] = encoded
        parts = tuple(
            [segments[start] if stop - start == 1 else b"".join(segments[start:stop]) for start, stop in variant.parts]
        )
        if self._signing is not None:
            data = b"".join(parts)
            # The body begins behind the empty line; quoted_printable has made it canonical.
            body = memoryview(data)[len(varying) + len(self._constant) + 2 :]
            parts = self._signing.headers(varying, body, second), data
        return Message(f"{self._bounce_local}+{token}@{self._bounce_domain}", recipient, parts)

    def _variant(self, reader: Reader, token: str) -> _Variant:
        key = (
            tuple([condition.holds(self._getters[condition.name](reader, token)) for condition in self._conditions])
            if self._conditions
            else ()
        )
        variant = self._variants.get(key)
        if variant is None:
            pieces = self._constant, self._boundary, self._text, self._html
            variant = _Variant(*pieces, self._values(reader, token), self._getters)
            if len(self._variants) < VARIANTS:
                self._variants[key] = variant
        return variant

    def subject(self, reader: Reader) -> str:
        """The subject line as this reader sees it."""
        return headers.one_line(fields.fill(self._subject, self._values(reader)))

    def html(self, reader: Reader) -> str:
        """The HTML part as this reader gets it, decoded: for previews."""
        value = self._values(reader)
        return "".join(
            part if isinstance(part, str) else _HTML_ENCODERS[context][0](value(part.name) or part.fallback)
            for part, context in _with_contexts(list(fields.chosen(self._html, value)))
        )

    def text(self, reader: Reader) -> str:
        """The text part as this reader gets it, decoded."""
        return fields.fill(self._text, self._values(reader))

    def _values(self, reader: Reader, token: str | None = None) -> Callable[[str], str]:
        token = token or self._keys.reader(self._content.issue, reader.subscriber)
        return lambda name: self._getters[name](reader, token)

    def _joined(self, reader: Reader, _: str) -> str:
        return long_date(reader.joined.astimezone(self._zone).date(), self._language) if reader.joined else ""

    def _date_header(self, now: dt.datetime, second: int) -> bytes:
        if self._date[0] != second:
            self._date = second, f"Date: {format_datetime(now.astimezone(self._zone))}\r\n".encode()
        return self._date[1]


_Getter = Callable[[Reader, str], str]
"""A field's value, from the reader and their token."""


def _attribute(name: str, reader: Reader, _: str) -> str:
    return reader.attributes.get(name, "")


def _constant_headers(content: Content, publication: Publication, base_url: str, sender: str, boundary: bytes) -> bytes:
    domain = sender.rpartition("@")[2]
    list_id = publication.list_id or f"{content.slug}.{domain}"
    made = [
        headers.mailbox("From", publication.sender_name or publication.title, sender),
        headers.token("Reply-To", headers.wire_address(publication.reply_to)) if publication.reply_to else b"",
        headers.mailbox("List-Id", publication.title, list_id),
        headers.token("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        headers.token("List-Archive", f"<{base_url}/{content.slug}>"),
        headers.token("List-Owner", f"<mailto:{sender}>"),
        headers.token("List-Post", "NO"),
        headers.token(
            "Feedback-ID",
            f"{content.volume}.{content.number}:{content.slug}:issue:{re.sub('[^a-z0-9]', '', domain)[:15]:_<5}",
        ),
        headers.token("Precedence", "bulk"),
        headers.token("Auto-Submitted", "auto-generated"),
        headers.token("X-Auto-Response-Suppress", "OOF, AutoReply"),
        headers.token("MIME-Version", "1.0"),
        b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n',
    ]
    return b"".join(made)


class _Variant:
    """The segments of one combination of conditions. The first one is for the headers that vary."""

    def __init__(
        self,
        constant: bytes,
        boundary: bytes,
        text: tuple[Node, ...],
        html: tuple[Node, ...],
        value: Callable[[str], str],
        getters: dict[str, _Getter],
    ) -> None:
        self.segments: list[bytes] = [b""]
        places: dict[tuple[str, str, str], list[int]] = {}
        parts = (
            (b"text/plain", [(part, "text") for part in fields.chosen(text, value)]),
            (b"text/html", _with_contexts(list(fields.chosen(html, value)))),
        )
        literal = constant
        for kind, pieces in parts:
            literal += (
                b"\r\n--" + boundary + b"\r\nContent-Type: " + kind + b"; charset=utf-8\r\n"
                b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
            )
            column = 0
            for piece, context in pieces:
                if isinstance(piece, str):
                    encoded, column = qp.encode(piece, column=column)
                    literal += encoded
                else:
                    self.segments.append(literal + (qp.SOFT if column else b""))
                    places.setdefault((context, piece.name, piece.fallback), []).append(len(self.segments))
                    self.segments.append(b"")
                    literal, column = qp.SOFT, 0
        self.segments.append(literal + b"\r\n--" + boundary + b"--\r\n")
        self.parts = _parts([len(segment) for segment in self.segments])
        self.slots = [
            (_HTML_ENCODERS[context][1], getters[name], fallback, tuple(where))
            for (context, name, fallback), where in places.items()
        ]


def _parts(sizes: list[int]) -> list[tuple[int, int]]:
    """Which segments make a part of a message: a large one is a part as it is, those between are joined."""
    parts = []
    start = 0
    for at, size in enumerate(sizes):
        if size >= LARGE:
            parts += [(start, at)] * (start < at) + [(at, at + 1)]
            start = at + 1
    return parts + [(start, len(sizes))] * (start < len(sizes))


def _with_contexts(pieces: list[str | Value]) -> list[tuple[str | Value, str]]:
    """Each piece of an HTML text with how a value there is to be written: as text, as a link, within a link."""
    made: list[tuple[str | Value, str]] = []
    before = ""
    for piece in _merged(pieces):
        if isinstance(piece, str):
            made.append((piece, "html"))
            before = (before + piece)[-2000:]
            continue
        context = "html"
        if found := re.search(r"<[a-zA-Z][^<>]*?\b(?:href|src|action|background)\s*=\s*\"([^\"<>]*)$", before):
            context = "html" if piece.name in fields.URLS and not found[1] else "url"
        made.append((piece, context))
        before += "x"
    return made


def _merged(pieces: list[str | Value]) -> list[str | Value]:
    made: list[str | Value] = []
    for piece in pieces:
        if isinstance(piece, str) and made and isinstance(made[-1], str):
            made[-1] += piece
        else:
            made.append(piece)
    return made


_PLAIN_TEXT = re.compile(r"[!-\-/-<>-~][ !-<>-~]{0,73}")
"""What stands in quoted-printable as it is, on one line, if it has no two spaces together and no "From ".

(Not "." in front: see newsletter.quoted_printable. Runs of one class, since alternatives take five times as long.)
"""
_PLAIN_HTML = re.compile(r"[!#$%(-\-/-;?-~][ !#$%(-;?-~]{0,73}")
"""The same without what HTML escapes."""


def _text_value(value: str) -> bytes:
    if _PLAIN_TEXT.fullmatch(value) and "  " not in value and "From " not in value:
        return value.encode()
    return qp.value(value)


def _html_value(value: str) -> bytes:
    if _PLAIN_HTML.fullmatch(value) and "  " not in value and "From " not in value:
        return value.encode()
    return qp.value(html.escape(value))


def _in_link(value: str) -> str:
    return quote(value, safe="")


_HTML_ENCODERS: dict[str, tuple[Callable[[str], str], Callable[[str], bytes]]] = {
    "text": (str, _text_value),
    "html": (html.escape, _html_value),
    "url": (_in_link, lambda value: qp.value(_in_link(value))),
}
