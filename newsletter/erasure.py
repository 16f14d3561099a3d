"""Erased at a person's own wish, or by an admin for them: the whole of it, in one transaction."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from newsletter import address_change, departures, subscribers
from newsletter.bounces import keeping
from newsletter.folder import Folder
from newsletter.models import Ask, Consent, Departure, Letter, Subscriber
from newsletter.states import LeftBy
from newsletter.subscribers import Gone


def erase(session: Session, folder: Folder, subscriber: Subscriber, by: LeftBy, now: dt.datetime) -> Gone:
    """They leave every list, and everything that says who they were is gone (see subscribers.erase).

    That goes for addresses too that they had before. What stays is that somebody left, with no word of who; and the
    fingerprints by which no import brings them back. SubscriberMistake where they were erased already. Afterwards,
    past the commit: subscribers.scrub.
    """
    number, fingerprint = subscriber.id, subscriber.fingerprint
    before = address_change.former(session, number)
    lists = tuple(row.list for row in subscribers.standings(session, subscriber))
    left = departures.leave_lists(session, folder.config, subscriber, lists, "", None, by, now)
    keeping.forget(session, folder, subscriber, before)
    gone = subscribers.erase(session, subscriber, now, before)
    session.execute(delete(Consent).where(Consent.subscriber_id == number))
    session.execute(delete(Letter).where(Letter.subscriber_id == number))
    session.execute(delete(Ask).where(Ask.fingerprint == fingerprint))
    session.execute(
        update(Departure)
        .where(Departure.subscriber_id == number)
        .values(reason="")
        .execution_options(synchronize_session=False)
    )
    return Gone(gone.lists, gone.skipped + left.skipped)
