"""Mails to the editors: queued once each, in the transaction of what they tell of."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from newsletter.database import insert
from newsletter.models import Notice
from newsletter.states import NoticeState


def queue(session: Session, slug: str, about: str, subject: str, body: str, now: dt.datetime) -> bool:
    """Queues a notice for the editors of the publication `slug`; False if the same was queued before.

    The same is what has the same `about` (at most 200 characters), whichever process queued it: the database
    decides, so two that look at once queue one.
    """
    made = session.execute(
        insert(session, Notice)
        .values(
            publication=slug,
            about=about[:200],
            subject=subject,
            body=body,
            state=NoticeState.queued,
            since=now,
            why="",
        )
        .on_conflict_do_nothing(index_elements=["publication", "about"])
        .returning(Notice.id)
    )
    return made.first() is not None
