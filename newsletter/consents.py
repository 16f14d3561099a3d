"""What people agreed to: written down with the words that they saw, and told again on demand.

It is the proof that somebody may be mailed, so a row says when, from where, to which wording, and when it was
confirmed; it goes when the person is erased.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.models import Consent, Letter
from newsletter.states import ConsentTo, LetterState


def write_down(
    session: Session,
    subscriber: int,
    to: ConsentTo,
    *,
    wording: str,
    language: str,
    page: str,
    client: str,
    now: dt.datetime,
    lists: Sequence[str] = (),
    confirmed: bool = False,
) -> Consent:
    """Writes down that somebody agreed, or says so; with `confirmed` it is certain that it was they."""
    consent = Consent(
        subscriber_id=subscriber,
        to=to,
        lists=",".join(lists),
        asked=now,
        page=page[:500],
        client=client[:64],
        wording=wording,
        language=language,
        confirmed=now if confirmed else None,
        confirmed_client=client[:64] if confirmed else "",
    )
    session.add(consent)
    session.flush()
    return consent


def of(session: Session, subscriber: int) -> Sequence[Consent]:
    """What a subscriber agreed to, oldest first."""
    return session.scalars(select(Consent).where(Consent.subscriber_id == subscriber).order_by(Consent.id)).all()


def told(session: Session, subscriber: int) -> list[tuple[dt.datetime, str]]:
    """Moment and sentence of each consent, and of each letter, for a subscriber's history."""
    lines = []
    for consent in of(session, subscriber):
        about = f" ({consent.lists})" if consent.lists else ""
        where = f" from {consent.client}" if consent.client else ""
        lines.append((consent.asked, f'asked for {consent.to.value}{about}{where}: "{consent.wording}"'))
        if consent.confirmed:
            where = f" from {consent.confirmed_client}" if consent.confirmed_client else ""
            lines.append((consent.confirmed, f"confirmed {consent.to.value}{about}{where}"))
    for letter in session.scalars(select(Letter).where(Letter.subscriber_id == subscriber)):
        words = f" ({letter.why})" if letter.why else ""
        again = f", next look {letter.next_look:%Y-%m-%d %H:%M} UTC" if letter.next_look else ""
        waits = again if letter.state is LetterState.queued else ""
        lines.append((letter.since, f"letter {letter.kind.value}: {letter.state.value}{words}{waits}"))
    return lines
