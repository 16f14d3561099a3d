"""What came back is taken in: read, traced to a message of ours, acted on, and written down, in one transaction.

The same thing counts once, however often and by whatever way it comes. Nothing is lost: what isn't understood is kept
for a person to look at, and where nothing can be written down the door keeps the message and tries again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from newsletter import database, departures
from newsletter.bounces import counting, keeping
from newsletter.bounces.tracing import Proof, Traced, fingerprint_of, moved_since, trace
from newsletter.bounces.verdict import Verdict
from newsletter.errors import Mistake, ReturnMistake
from newsletter.folder import Folder
from newsletter.models import Delivery, Issue, Return, Subscriber
from newsletter.states import DeliveryState, LeftBy, LetterKind, LetterState, ReturnKind
from newsletter.tokens import Keys, keys

log = logging.getLogger("newsletter")

LARGEST = 10 * 1024 * 1024
"""Octets of a message that are taken in; what is beyond them isn't read."""
MOST_RECIPIENTS = 100
"""Of one report. Our messages have one recipient each, and an alias seldom leads to more."""

_NOTED = {
    ReturnKind.delayed: "noted: the server is still trying",
    ReturnKind.delivered: "noted: a server reports that it arrived",
    ReturnKind.reply: "ignored: an automatic reply",
}
# What makes two copies of a message the same message: not the headers that each way of coming adds.
_TELLING = frozenset((b"from", b"to", b"subject", b"date", b"message-id", b"content-type", b"auto-submitted"))
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Report(Struct, frozen=True):
    """One thing that was said about one recipient, and what tells it apart from all others."""

    verdict: Verdict
    digest: str
    """SHA-256, hexadecimal: the same for the same thing."""


def take(folder: Folder, raw: bytes, source: str, recipient: str, now: dt.datetime) -> tuple[Return, ...]:
    """Takes a message in that came back by `source` to `recipient` ("" where that isn't known).

    Answers the lines of the log about it, one for each recipient that it reports on; those that were there already
    if it came before. ReturnMistake where it can't be written down now: nothing was done, and whoever has the message
    must keep it.
    """
    raw = raw[:LARGEST]
    content = content_digest(raw)
    verdicts = _of_one_copy(_read(raw, recipient)[:MOST_RECIPIENTS])
    reports = [Report(each, _digest(content, each.token, each.address.lower())) for each in verdicts]
    return report(folder, source, reports, now, raw=raw)


def report(
    folder: Folder,
    source: str,
    reports: Sequence[Report],
    now: dt.datetime,
    *,
    raw: bytes,
    ending: str = "eml",
    signed: bool = False,
) -> tuple[Return, ...]:
    """Acts on reports that came together, as `take` does. With signed=True a provider vouches for the addresses.

    `raw` is what is kept for a person to look at, where one of them isn't understood.
    """
    if len(reports) > MOST_RECIPIENTS:
        # A provider's heap of events: several transactions, so that nobody waits long for the database.
        return tuple(
            row
            for some in counting.slices(reports, MOST_RECIPIENTS)
            for row in report(folder, source, some, now, raw=raw, ending=ending, signed=signed)
        )
    try:
        return _in_one(folder, source, reports, now, raw, ending, signed)
    except Mistake:
        raise
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise _away(error) from None
    except Exception:
        # A fault of ours must not have the same message come again for ever: it is kept, and the log has the rest.
        log.exception("a returned message couldn't be acted on")
    unknown = Verdict(kind=ReturnKind.unknown, words="the program failed over it; its log says how")
    whole = Report(unknown, reports[0].digest if reports else hashlib.sha256(raw).hexdigest())
    try:
        return _in_one(folder, source, [whole], now, raw, ending, signed)
    except SQLAlchemyError as error:
        raise _away(error) from None


def _away(error: SQLAlchemyError) -> ReturnMistake:
    words = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return ReturnMistake(
        f"the database can't be used: {words[0]}", remedy="Nothing was done with the message; it is to come again."
    )


def _read(raw: bytes, recipient: str) -> tuple[Verdict, ...]:
    from newsletter.bounces.reading import read

    try:
        found = read(raw, recipient)
    except Exception:
        log.exception("a returned message couldn't be read")
        found = ()
    return found or (Verdict(kind=ReturnKind.unknown),)


def _of_one_copy(verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
    """A copy of ours goes to one address. Where a report names several, that is an alias, and one of those behind it
    who is gone is no reason never to mail the reader again.
    """
    if len({each.address.lower() for each in verdicts}) < 2:
        return verdicts
    return [
        msgspec.structs.replace(each, kind=ReturnKind.soft) if each.kind is ReturnKind.hard else each
        for each in verdicts
    ]


def content_digest(raw: bytes) -> str:
    """What a message is known by, however it came: by its body and the headers that its writer gave it.

    Line ends and the headers that are added on the way (Received, Delivered-To, …) make no difference.
    """
    text = raw.replace(b"\r\n", b"\n").lstrip(b"\n")
    if text.startswith(b"From "):
        text = text.partition(b"\n")[2]
    head, _, body = text.partition(b"\n\n")
    lines: list[bytes] = []
    telling = False
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if telling:
                lines.append(b" ".join(line.split()))
            continue
        name = line.partition(b":")[0].strip().lower()
        telling = name in _TELLING
        if telling:
            lines.append(b" ".join(line.split()))
    return hashlib.sha256(b"\n".join(lines) + b"\n\n" + body.strip()).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


# ---- in one transaction


def _in_one(
    folder: Folder,
    source: str,
    reports: Sequence[Report],
    now: dt.datetime,
    raw: bytes,
    ending: str,
    signed: bool,
) -> tuple[Return, ...]:
    kept = ""
    try:
        with folder.session() as session:
            made: list[Return] = []
            to_count: list[Return] = []
            secrets = keys(session, now)
            for each in reports:
                found = trace(session, secrets, each.verdict, signed=signed)
                row, new = _row(session, source, each, found, now)
                made.append(row)
                if not new:
                    continue
                if _for_a_person(row, found):
                    kept = kept or keeping.keep(folder, raw, hashlib.sha256(raw).hexdigest(), now, ending)
                    row.file = kept
                if _act(session, folder, row, found, each.verdict, secrets, now):
                    to_count.append(row)
            session.flush()
            if to_count:
                counting.count(session, folder.config.returns, to_count, now)
            for row in to_count:
                _say_of_doubt(session, row)
            session.flush()
            return tuple(dict.fromkeys(made))
    except BaseException:
        if kept:
            keeping.drop(folder, kept)
        raise


def _row(session: Session, source: str, said: Report, found: Traced, now: dt.datetime) -> tuple[Return, bool]:
    """The line of the log, and whether it is new. On PostgreSQL whoever writes the same one is waited for."""
    verdict = said.verdict
    kind = verdict.kind
    if found.proof is Proof.none and (kind in counting.COUNTED):
        kind = ReturnKind.forged
    proven = found.proof is not Proof.none
    number = session.scalar(
        database.insert(session, Return)
        .values(
            at=now,
            source=source,
            digest=said.digest,
            kind=kind,
            fingerprint=found.fingerprint,
            subscriber_id=found.subscriber.id if proven and found.subscriber else None,
            issue_id=found.issue if proven else None,
            status=one_line(verdict.status, 16),
            words=one_line(verdict.words, 500),
            done="to be counted",
            file="",
        )
        .on_conflict_do_nothing()
        .returning(Return.id)
    )
    if number is None:
        return session.scalars(select(Return).where(Return.digest == said.digest)).one(), False
    row = session.get_one(Return, number)
    row.done = ""
    return row, True


def one_line(text: str, longest: int) -> str:
    """Somebody else's words as they are kept: on one line, without what databases and terminals can't take."""
    return _UNFIT.sub(" ", text[: 4 * longest]).strip()[:longest]


def _for_a_person(row: Return, found: Traced) -> bool:
    """Whether the whole of it must be kept: not understood, or a wish to leave by somebody we can't tell."""
    return row.kind is ReturnKind.unknown or (row.kind is ReturnKind.unsubscribe and not _may_leave(found))


def _may_leave(found: Traced) -> bool:
    """Asking to leave needs a token, or a signature, and nothing that was sent: a link may come from a preview."""
    return found.subscriber is not None


def _act(
    session: Session, folder: Folder, row: Return, found: Traced, verdict: Verdict, secrets: Keys, now: dt.datetime
) -> bool:
    """Does what one line leads to; True where it is to be counted with the others."""
    match row.kind:
        case ReturnKind.forged:
            row.done = "ignored: nothing shows that it is about a message of ours"
        case ReturnKind.unknown:
            row.done = "kept for a person to look at"
        case ReturnKind.unsubscribe if _may_leave(found):
            assert found.subscriber is not None
            row.subscriber_id, row.fingerprint, row.issue_id = (
                found.subscriber.id,
                found.subscriber.fingerprint,
                found.issue,
            )
            row.done = _leave(session, folder, found.subscriber, found.issue, now)
        case ReturnKind.unsubscribe:
            row.done = "kept for a person to look at: it asks to leave, and nothing shows who wrote it"
        case kind if kind in _NOTED:
            row.done = _NOTED[kind]
            if found.delivery is not None and kind is not ReturnKind.reply:
                _say_of_doubt(session, row)
        case _ if found.letter is not None:
            return _about_letter(row, found, fingerprint_of(secrets, verdict.address), now)
        case _ if (
            found.delivery is not None
            and found.subscriber is not None
            and moved_since(session, found.subscriber.id, found.delivery.since)
        ):
            row.done = "not counted: it is about the address that they had before"
        case _:
            return True
    return False


def _leave(session: Session, folder: Folder, subscriber: Subscriber, issue: int | None, now: dt.datetime) -> str:
    """They leave the lists of the issue's publication, or of all publications where no issue is known."""
    if subscriber.address is None:
        return "nothing to do: they were erased"
    row = session.get(Issue, issue) if issue is not None else None
    name = row.publication if row is not None and row.publication in folder.config.publications else ""
    gone = departures.leave(session, folder.config, subscriber, name, row.id if row else None, LeftBy.mail, now)
    if not gone.lists:
        return "nothing to do: they had left already"
    return f"left {', '.join(gone.lists)}"


def _about_letter(row: Return, found: Traced, named: str, now: dt.datetime) -> bool:
    """A letter that came back has failed; the address that it went to is held to it, where it is the subscriber's.

    `named` is the fingerprint of the address that the report names, "" where it names none.
    """
    letter = found.letter
    assert letter is not None
    if row.kind is ReturnKind.hard and letter.state is LetterState.sent:
        letter.state, letter.since, letter.why = LetterState.failed, now, counting.reason_of(row)
    if letter.kind in (LetterKind.change, LetterKind.changed) or (named and named != found.fingerprint):
        # To the address that they want to have, or had: neither is the one that they have now.
        row.done = "noted: a letter to another address than they have now came back"
        return False
    return True


def _say_of_doubt(session: Session, row: Return) -> None:
    """A report about a copy that nobody was sure had left shows that it did. What follows, a person decides."""
    if row.issue_id is None or row.subscriber_id is None:
        return
    delivery = session.get(Delivery, (row.issue_id, row.subscriber_id))
    if delivery is not None and delivery.state is DeliveryState.uncertain:
        row.done += "; its delivery is uncertain, and this shows that the message left"
