"""Erased at a person's own wish, or by an admin for them: the whole of it, in one transaction."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, delete, func, or_, select, update
from sqlalchemy.orm import Session

from newsletter import address_change, departures, subscribers, suppressions, visits
from newsletter.addresses import checked
from newsletter.bounces import keeping
from newsletter.errors import SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import (
    Ask,
    Attempt,
    BounceScore,
    Consent,
    Delivery,
    Departure,
    Event,
    Issue,
    Letter,
    Notice,
    Return,
    Subscriber,
    Subscription,
    Suppression,
)
from newsletter.states import LeftBy, SuppressionReason
from newsletter.subscribers import Gone
from newsletter.tokens import keys


def erase(session: Session, folder: Folder, subscriber: Subscriber, by: LeftBy, now: dt.datetime) -> Gone:
    """They leave every list, and everything that says who they were is gone (see clear).

    That goes for addresses too that they had before. What stays is that somebody left, with no word of who; and the
    fingerprints by which no import brings them back. SubscriberMistake where they were erased already. Afterwards,
    past the commit: scrub.
    """
    number, fingerprint = subscriber.id, subscriber.fingerprint
    before = address_change.former(session, number)
    lists = tuple(row.list for row in subscribers.standings(session, subscriber))
    left = departures.leave_lists(session, folder.config, subscriber, lists, "", None, by, now)
    keeping.forget(session, folder, subscriber, before)
    gone = clear(session, subscriber, now, before)
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


def clear(session: Session, subscriber: Subscriber, now: dt.datetime, before: Sequence[str] = ()) -> Gone:
    """What is known of a person is written over. What is left says nothing of them.

    Left are an empty row, so that the ledger of deliveries adds up, and a fingerprint among the suppressions,
    so that no import brings them back. Replies of mail servers that quote them become "(erased)". Backups and
    files exported earlier are out of reach. Returned messages that were kept as files are the caller's to take away
    first (bounces.keeping.forget): nobody knows afterwards whose they are. The same goes for addresses that they had
    `before`, except where one is another subscriber's now.
    """
    if subscriber.address is None or subscriber.address_key is None:
        raise SubscriberMistake(f"subscriber {subscriber.id} was erased already")
    if session.get_bind().dialect.name == "sqlite":
        # What is overwritten is overwritten in the file too, not only let go of.
        session.connection().exec_driver_sql("PRAGMA secure_delete = ON")
    lists = [standing.list for standing in subscribers.standings(session, subscriber)]
    skipped = suppressions.skip_waiting(session, [subscriber.id], "erased", now)
    known = {subscriber.fingerprint: str(subscriber.address_key)}
    known |= {keys(session, now).print_of(each.key): each.key for each in map(checked, before)}
    others = select(Subscriber.fingerprint).where(Subscriber.id != subscriber.id, Subscriber.fingerprint.in_(known))
    given_away = re.compile(_forms(str(subscriber.address), *known.values(), *before), re.IGNORECASE)
    for other in session.scalars(others).all():
        known.pop(other)
    _erase_quotes(session, subscriber, given_away, known)
    session.execute(delete(Subscription).where(Subscription.subscriber_id == subscriber.id))
    session.execute(delete(Event).where(Event.fingerprint.in_(known)))
    session.execute(delete(Suppression).where(Suppression.fingerprint.in_(known)))
    session.execute(delete(BounceScore).where(BounceScore.fingerprint.in_(known)))
    visits.forget(session, subscriber.id)
    reason = SuppressionReason.erasure
    suppressions.put(
        session, [{"fingerprint": each, "address": None, "reason": reason, "since": now, "why": ""} for each in known]
    )
    subscriber.address = subscriber.address_key = None
    subscriber.name = subscriber.language = ""
    subscriber.attributes = {}
    subscriber.measured = subscriber.paused_until = None
    subscriber.erased = now
    session.flush()
    return Gone(tuple(lists), skipped)


def _forms(*addresses: str) -> str:
    """A pattern of what gives a person away: their addresses, and the local part of each as a word."""
    local = [re.escape(address.rpartition("@")[0]) for address in addresses]
    return "|".join([*map(re.escape, addresses), *(rf"(?<!\w){word}(?!\w)" for word in local)])


def _erase_quotes(
    session: Session, subscriber: Subscriber, given_away: re.Pattern[str], known: Mapping[str, str]
) -> None:
    """`known` are their addresses, as keys, by fingerprint."""
    issues = select(Issue.id)
    theirs: list[Delivery | Attempt] = [
        *session.scalars(
            select(Delivery).where(Delivery.issue_id.in_(issues), Delivery.subscriber_id == subscriber.id)
        ),
        *session.scalars(select(Attempt).where(Attempt.issue_id.in_(issues), Attempt.subscriber_id == subscriber.id)),
    ]
    for row in theirs:
        if row.reply and given_away.search(row.reply):
            row.reply = "(erased)"
    # What came back about them; and what names them in a line about someone else, or about nobody that we know.
    session.execute(
        update(Return)
        .where(
            or_(
                Return.subscriber_id == subscriber.id,
                Return.fingerprint.in_(known),
                *(func.lower(Return.words).contains(key, autoescape=True) for key in known.values()),
            )
        )
        .values(words="(erased)", fingerprint="")
        .execution_options(synchronize_session=False)
    )
    # Words to the editors name no one but in a list of what is uncertain; only whole addresses count here.
    for notice in session.scalars(
        select(Notice).where(
            or_(
                *(func.lower(Notice.body).contains(key, autoescape=True) for key in known.values()),
                *(func.lower(Notice.why).contains(key, autoescape=True) for key in known.values()),
            )
        )
    ):
        notice.body, notice.why = (
            re.sub("|".join(map(re.escape, known.values())), "(erased)", text, flags=re.IGNORECASE)
            for text in (notice.body, notice.why)
        )


def scrub(engine: Engine) -> None:
    """Writes what was erased over in the files of the database too, as far as we reach them; after the commit.

    PostgreSQL does so by itself, by and by (autovacuum).
    """
    if engine.dialect.name == "sqlite":
        # Past SQLAlchemy, which would begin a transaction, and a checkpoint can't be made in one.
        with contextlib.closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
