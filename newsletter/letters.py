"""Mails to one reader that aren't issues: queued in the transaction of what they are about, sent once each."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy.orm import Session

from newsletter.models import Letter
from newsletter.states import LetterKind, LetterState


def queue(
    session: Session,
    slug: str,
    kind: LetterKind,
    subscriber: int,
    address: str,
    *,
    now: dt.datetime,
    expires: dt.datetime,
    language: str = "",
    detail: dict[str, Any] | None = None,
) -> Letter:
    """Queues a letter in the name of the publication `slug`.

    Whoever asks sees to the limits first (see newsletter.asks): nothing here keeps a stranger's inbox from being
    filled.
    """
    letter = Letter(
        publication=slug,
        kind=kind,
        subscriber_id=subscriber,
        address=address,
        language=language,
        detail=detail or {},
        state=LetterState.queued,
        since=now,
        asked=now,
        expires=expires,
        tries=0,
        why="",
    )
    session.add(letter)
    session.flush()
    return letter
