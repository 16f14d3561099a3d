"""Letters to readers, written as mails and handed to a relay.

A letter is claimed before it is handed over, so that of two processes one sends it. Whether its address is suppressed
is asked last of all. A letter whose fate is unknown counts as sent: were it tried again and again, a relay that takes
messages and loses the connection would fill an inbox. If the machine dies between a relay's yes and our note of it,
the letter goes once more after the claim has run out, with the same Message-ID.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import random
from dataclasses import dataclass
from email.utils import format_datetime
from gettext import NullTranslations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, TemplateError, select_autoescape
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from newsletter import headers, suppressions, translations
from newsletter import quoted_printable as qp
from newsletter.compose import Message
from newsletter.config import Publication, zone
from newsletter.dates import long_date
from newsletter.deliveries import next_try
from newsletter.errors import Mistake, SubscriberMistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.models import Letter, List, Subscriber
from newsletter.pool import hand_over
from newsletter.relays import Deferred, Outcome, Refused, Returned, Sent, about_the_sender
from newsletter.render.text import wrap
from newsletter.states import LetterKind, LetterState, SuppressionReason
from newsletter.tokens import Keys, keys

if TYPE_CHECKING:
    from newsletter.dkim import Signer

LEASE = dt.timedelta(minutes=10)
"""How long a claim lasts: longer than a relay may take to answer the final dot (RFC 5321 §4.5.3.2.6)."""
AT_A_TIME = 100
"""Letters of one look; the bell looks again soon."""
ASKED_FOR = (SuppressionReason.request, SuppressionReason.bounce, SuppressionReason.erasure)
"""Suppressions that a letter to confirm goes through: its owner alone can lift them, and this is how."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A letter that is ours to send, and all that it needs."""

    id: int
    publication: str
    kind: LetterKind
    subscriber: int
    address: str
    language: str
    detail: dict[str, Any]
    asked: dt.datetime
    expires: dt.datetime
    lists: tuple[str, ...]
    """The titles of the lists that it is about."""
    keys: Keys


def deliver(folder: Folder, now: dt.datetime) -> int:
    """Sends the letters that are due, AT_A_TIME at the most; answers how many went.

    RelayMistake if no relay lets us in, DkimMistake where a key can't be used, TemplateMistake for a template that
    can't: then all stay queued.
    """
    with folder.reading() as session:
        waiting = session.scalars(select(Letter.id).where(_due(now)).order_by(Letter.id).limit(AT_A_TIME)).all()
    went = 0
    signers: dict[str, tuple[Signer, ...]] = {}
    for number in waiting:
        with folder.session() as session:
            letter = _claim(session, folder, number, now)
        if letter is None:
            continue
        publication = folder.config.publications[letter.publication]
        try:
            if letter.publication not in signers:
                signers[letter.publication] = _signers(folder, publication)
            mail = message(folder, letter, now, signers[letter.publication])
            outcome: Outcome = hand_over(folder, mail)
        except SubscriberMistake as mistake:
            outcome = Refused(str(mistake))
        except Mistake as mistake:
            # It isn't about this letter: it waits, and says for what.
            with folder.session() as session:
                session.execute(
                    update(Letter)
                    .where(Letter.id == number, Letter.state == LetterState.queued)
                    .values(next_look=None, why=str(mistake), tries=Letter.tries - 1)
                )
            raise
        with folder.session() as session:
            row = session.get(Letter, number)
            if row is not None:
                went += _record(folder, row, outcome, now)
    return went


def message(folder: Folder, letter: Claimed, now: dt.datetime, signers: tuple[Signer, ...] = ()) -> Message:
    """A letter as a message, text and HTML; signed by `signers`. TemplateMistake where a template can't be used.

    It says that a program sent it (RFC 3834), so that no absence notice answers; and it has no List-Unsubscribe,
    since there is nothing to leave yet.
    """
    publication = folder.config.publications[letter.publication]
    sender = headers.wire_address(publication.sender)
    recipient = headers.wire_address(letter.address)
    language, words = spoken(folder, letter.language, publication.language)
    subject = _subject(letter, publication, words)
    values = _values(folder, letter, publication, language) | {"subject": subject}
    name = letter.kind.value
    parts = {kind: _rendered(folder, f"{name}.{kind}", language, words, values) for kind in ("txt", "html")}
    digest = hashlib.blake2b(
        f"{letter.id} {letter.asked.timestamp()}".encode(),
        key=letter.keys.fingerprint,
        digest_size=12,
        person=b"letter",
    ).hexdigest()
    # "=_" can't stand in quoted-printable, so the boundary can't stand in a part.
    boundary = f"=_letter-{digest}".encode()
    bounces = headers.wire_address(publication.bounces or publication.sender)
    local, _, domain = bounces.rpartition("@")
    data = b"".join(
        (
            headers.mailbox("From", publication.sender_name or publication.title, sender),
            headers.token("Reply-To", headers.wire_address(publication.reply_to)) if publication.reply_to else b"",
            headers.mailbox("To", "", recipient),
            headers.words("Subject", subject),
            headers.token("Date", format_datetime(now.astimezone(zone(publication.cadence.zone)))),
            headers.token("Message-ID", f"<letter.{digest}@{sender.rpartition('@')[2]}>"),
            headers.token("Auto-Submitted", "auto-generated"),
            headers.token("X-Auto-Response-Suppress", "OOF, AutoReply"),
            headers.token("Content-Language", language),
            headers.token("MIME-Version", "1.0"),
            b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n',
            _part(boundary, b"text/plain", parts["txt"]),
            _part(boundary, b"text/html", parts["html"]),
            b"\r\n--" + boundary + b"--\r\n",
        )
    )
    if signers:
        from newsletter import dkim

        data = dkim.signed(signers, data, int(now.timestamp()))
    return Message(f"{local}+{letter.keys.reader(0, letter.subscriber)}@{domain}", recipient, (data,))


def spoken(folder: Folder, *wanted: str) -> tuple[str, NullTranslations]:
    """The first of these languages that there are words for, and its words."""
    try:
        known = translations.catalogues(tuple(place / "translations" for place in folder.template_places))
    except ValueError as error:
        raise TemplateMistake(f"a translation can't be read: {error}") from None
    language = translations.best(filter(None, wanted), known) or translations.SOURCE
    return language, known[language]


def _due(now: dt.datetime) -> ColumnElement[bool]:
    return and_(
        Letter.state == LetterState.queued,
        Letter.expires > now,
        or_(Letter.next_look.is_(None), Letter.next_look <= now),
    )


def _claim(session: Session, folder: Folder, number: int, now: dt.datetime) -> Claimed | None:
    """Takes a letter, if nobody else has, and it may go; else writes down why it may not."""
    # The whole condition stands in the update: another process that waits for the row asks it again.
    taken = session.execute(
        update(Letter)
        .where(Letter.id == number, _due(now))
        .values(next_look=now + LEASE, tries=Letter.tries + 1)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(taken, CursorResult)
    if not taken.rowcount:
        return None
    letter = session.get_one(Letter, number)
    person = session.get(Subscriber, letter.subscriber_id)
    barred = None
    if letter.address and letter.publication in folder.config.publications and person is not None:
        barred = suppressions.of_address(session, letter.address, now)
    if letter.publication not in folder.config.publications:
        why = f'there is no publication "{letter.publication}" any more'
    elif person is None or person.address is None or not letter.address:
        why = "the address is gone"
    elif barred and not (letter.kind is LetterKind.confirm and barred.reason in ASKED_FOR):
        why = f"the address is suppressed: {barred.reason.value}"
    else:
        slugs = letter.detail.get("lists") or ()
        titles = session.scalars(select(List.title).where(List.slug.in_(slugs)).order_by(List.title)).all()
        return Claimed(
            letter.id,
            letter.publication,
            letter.kind,
            letter.subscriber_id,
            letter.address,
            letter.language,
            dict(letter.detail),
            letter.asked,
            letter.expires,
            tuple(titles),
            keys(session, now),
        )
    letter.state, letter.since, letter.next_look, letter.why, letter.address = LetterState.failed, now, None, why, ""
    return None


def _record(folder: Folder, row: Letter, outcome: Outcome, now: dt.datetime) -> bool:
    """Writes down what a relay said; answers whether the letter went."""
    row.why = outcome.reply
    if row.state is not LetterState.queued:
        # The button was pressed before we came to write this down, or its time was over.
        return isinstance(outcome, Sent)
    waits = isinstance(outcome, Deferred | Returned) or (
        isinstance(outcome, Refused) and about_the_sender(outcome.reply)
    )
    if waits:
        again = next_try(folder.config.sending, row.tries, row.asked, now, random.random())  # noqa: S311
        if again is not None and again < row.expires:
            row.next_look = again
            return False
    row.next_look, row.since = None, now
    if waits or isinstance(outcome, Refused):
        row.state = LetterState.failed
    else:
        row.state = LetterState.sent
        row.why = "" if isinstance(outcome, Sent) else f"uncertain: {outcome.reply}"
    if row.kind is not LetterKind.change or row.state is LetterState.failed:
        row.address = ""
    return row.state is LetterState.sent


def _subject(letter: Claimed, publication: Publication, words: NullTranslations) -> str:
    _ = words.gettext
    texts = {
        LetterKind.confirm: _("Confirm your subscription to %(title)s"),
        LetterKind.change: _("Confirm your new address for %(title)s"),
        LetterKind.changed: _("Your address for %(title)s has changed"),
        LetterKind.link: _("You are subscribed to %(title)s")
        if letter.detail.get("subscribed")
        else _("Your page at %(title)s"),
    }
    return texts[letter.kind] % {"title": publication.title}


def _values(folder: Folder, letter: Claimed, publication: Publication, language: str) -> dict[str, Any]:
    base, token = folder.config.base_url, letter.keys.letter(letter.id)
    links = {
        LetterKind.confirm: f"{base}/confirm/{token}",
        LetterKind.change: f"{base}/address/{token}",
        LetterKind.changed: f"{base}/address/{token}" if letter.detail.get("undo") else "",
        LetterKind.link: f"{base}/me/{letter.keys.reader(0, letter.subscriber)}",
    }
    own = zone(publication.cadence.zone)
    return {
        "publication": publication,
        "language": language,
        "direction": translations.direction(language),
        "address": letter.address,
        "lists": letter.lists,
        "asked": letter.asked,
        "expires": letter.expires,
        "known": bool(letter.detail.get("known")),
        "subscribed": bool(letter.detail.get("subscribed")),
        "link": links[letter.kind],
        "canary": f"{base}/canary/{token}" if letter.kind in (LetterKind.confirm, LetterKind.change) else "",
        "date": lambda moment: long_date(moment.astimezone(own).date(), language),
    }


def _rendered(folder: Folder, name: str, language: str, words: NullTranslations, values: dict[str, Any]) -> str:
    try:
        return _environment(folder.template_places, language, words).get_template(name).render(values)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise TemplateMistake(error.message or "it can't be rendered", where=f"mail/{name}", line=line) from None


@functools.lru_cache(maxsize=64)
def _environment(places: tuple[Path, ...], language: str, words: NullTranslations) -> Environment:
    del language
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(place / "mail") for place in places]),
        autoescape=select_autoescape(("html",), default=False),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    environment.filters["wrapped"] = lambda text: "\n".join(wrap(str(text)))
    return environment


def _signers(folder: Folder, publication: Publication) -> tuple[Signer, ...]:
    if not folder.config.dkim:
        return ()
    from newsletter import dkim

    return dkim.signers(folder.config.dkim, folder.path, headers.wire_address(publication.sender))


def _part(boundary: bytes, kind: bytes, text: str) -> bytes:
    encoded, _ = qp.encode(text.strip("\n") + "\n")
    return (
        b"\r\n--" + boundary + b"\r\nContent-Type: " + kind + b"; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded
    )
