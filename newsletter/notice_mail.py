"""Notices to the editors, written as mails and handed to a relay."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import msgspec
from sqlalchemy import select

from newsletter import headers
from newsletter import quoted_printable as qp
from newsletter.compose import Message
from newsletter.config import Publication, zone
from newsletter.errors import DkimMistake
from newsletter.folder import Folder
from newsletter.models import Notice
from newsletter.pool import hand_over
from newsletter.relays import Sent
from newsletter.states import NoticeState


def deliver(folder: Folder, now: dt.datetime) -> int:
    """Sends the notices that are queued, each to all editors of its publication; answers how many went.

    One that a relay doesn't take stays queued, with its words. RelayMistake if no relay lets us in: then all stay.
    A notice may come twice if the machine dies between a relay's yes and our note of it: a reminder too many does
    no harm, one too few may.
    """
    with folder.reading() as session:
        waiting = session.scalars(select(Notice).where(Notice.state == NoticeState.queued).order_by(Notice.id)).all()
    went = 0
    for notice in waiting:
        publication = folder.config.publications.get(notice.publication)
        outcomes = (
            [
                hand_over(folder, _signed(folder, publication, _message(notice, publication, editor, now), now))
                for editor in publication.editors
            ]
            if publication
            else []
        )
        refused = [outcome.reply for outcome in outcomes if not isinstance(outcome, Sent)]
        with folder.session() as session:
            row = session.get_one(Notice, notice.id)
            if len(refused) < len(outcomes) or not outcomes:
                row.state = NoticeState.sent
                went += bool(outcomes)
            row.why = "; ".join(refused) if outcomes else "there are no editors in config.toml"
            row.since = now
    return went


def _signed(folder: Folder, publication: Publication, message: Message, now: dt.datetime) -> Message:
    """As an issue is; unsigned where the key is what an editor has to hear of."""
    if not folder.config.dkim:
        return message
    from newsletter import dkim

    try:
        signers = dkim.signers(folder.config.dkim, folder.path, headers.wire_address(publication.sender))
    except DkimMistake:
        return message
    return msgspec.structs.replace(message, parts=(dkim.signed(signers, message.data, int(now.timestamp())),))


def _message(notice: Notice, publication: Publication, editor: str, now: dt.datetime) -> Message:
    sender = headers.wire_address(publication.sender)
    recipient = headers.wire_address(editor)
    domain = sender.rpartition("@")[2]
    body, _ = qp.encode(notice.body.rstrip("\n") + "\n")
    data = b"".join(
        (
            headers.mailbox("From", publication.sender_name or publication.title, sender),
            headers.mailbox("To", "", recipient),
            headers.words("Subject", notice.subject),
            headers.token("Date", format_datetime(now.astimezone(zone(publication.cadence.zone)))),
            headers.token("Message-ID", f"<notice.{notice.id}.{int(notice.since.timestamp())}@{domain}>"),
            headers.token("Auto-Submitted", "auto-generated"),
            headers.token("MIME-Version", "1.0"),
            headers.token("Content-Type", "text/plain; charset=utf-8"),
            headers.token("Content-Transfer-Encoding", "quoted-printable"),
            b"\r\n",
            body,
        )
    )
    return Message(sender, recipient, (data,))
