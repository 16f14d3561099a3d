"""A reader's mail goes to another address: asked for on their page, confirmed from the new address, told to the old.

Whoever has a forwarded issue has the link to its reader's page. So the new address counts only when the button behind
a link that was mailed to it is pressed; and the old one gets a letter by which the change is taken back, for a week.
What is answered is the same whether or not the new address is anybody's here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from newsletter import asks, departures, letters, signups, suppressions
from newsletter.addresses import checked
from newsletter.config import Config, span
from newsletter.models import Event, Letter, List, Subscriber, Subscription
from newsletter.signups import Asked
from newsletter.states import LeftBy, LetterKind, LetterState, SubscriptionState
from newsletter.tokens import keys

UNDO = dt.timedelta(days=7)
"""For so long the old address can take a change back."""
MOVED = "moved to another address"


@dataclass(frozen=True, slots=True)
class Move:
    """What a letter's link would do, or has done."""

    slug: str
    subscriber: int
    before: str
    after: str
    language: str
    back: bool
    """Whether it takes a change back, for the old address."""
    used: bool


def ask(
    session: Session,
    config: Config,
    subscriber: Subscriber,
    slug: str,
    address: str,
    *,
    client: str,
    language: str,
    now: dt.datetime,
) -> Asked:
    """A letter goes to the new address, with the link that makes it count. SubscriberMistake for what is no address.

    Nothing goes to an address that is suppressed; one letter of this kind a day goes to any. The answer says neither.
    """
    known = checked(address)
    asks.one_at_a_time(session)
    if asks.lately(session, client, now).full(config.sign_up):
        return Asked.full
    fingerprint = keys(session, now).print_of(known.key)
    had_one = asks.had_one(session, LetterKind.change, fingerprint, now)
    asks.note(session, LetterKind.change, "" if had_one else fingerprint, client, now)
    if had_one or suppressions.suppressed(session, fingerprint) is not None:
        return Asked.noted
    letters.queue(
        session,
        slug,
        LetterKind.change,
        subscriber.id,
        known.address,
        now=now,
        expires=now + span(config.sign_up.confirm_within),
        language=language,
        detail={"before": subscriber.address, "after": known.address},
    )
    return Asked.noted


def look(session: Session, letter: int, now: dt.datetime) -> Move | None:
    """What a letter's link would do; None where it is no such letter, or leads nowhere any more."""
    row = session.get(Letter, letter)
    return _move(session, row, now) if row is not None else None


def do(session: Session, config: Config, letter: int, now: dt.datetime) -> Move | None:
    """The button behind the link was pressed: the change is made, or taken back. Twice, it succeeds twice."""
    row = session.get(Letter, letter, with_for_update=True, populate_existing=True)
    move = _move(session, row, now) if row is not None else None
    if row is None or move is None or move.used:
        return move
    person = session.get_one(Subscriber, row.subscriber_id)
    if not _readdress(session, config, person, move, now):
        return None
    row.state, row.since, row.next_look, row.address = LetterState.used, now, None, ""
    if not move.back:
        letters.queue(
            session,
            row.publication,
            LetterKind.changed,
            person.id,
            move.before,
            now=now,
            expires=now + UNDO,
            language=row.language,
            detail={"before": move.after, "after": move.before, "undo": person.address == move.after},
        )
    session.flush()
    return move


def _move(session: Session, row: Letter, now: dt.datetime) -> Move | None:
    person = session.get(Subscriber, row.subscriber_id)
    if row.kind not in (LetterKind.change, LetterKind.changed) or person is None or person.address is None:
        return None
    back = row.kind is LetterKind.changed
    used = row.state is LetterState.used
    open_ = row.state in (LetterState.queued, LetterState.sent) and row.expires > now
    if not (used or open_) or (back and not row.detail.get("undo")):
        return None
    before, after = row.detail["before"], row.detail["after"]
    # Another change since: this one is of no use any more.
    if person.address != (after if used else before) and not (used and not back):
        return None
    return Move(row.publication, person.id, before, after, row.language, back, used)


def _readdress(session: Session, config: Config, person: Subscriber, move: Move, now: dt.datetime) -> bool:
    known = checked(move.after)
    fingerprint = keys(session, now).print_of(known.key)
    if suppressions.suppressed(session, fingerprint) is not None:
        return False
    other = session.scalar(select(Subscriber).where(Subscriber.address_key == known.key))
    if other is not None and other.id != person.id:
        return _join(session, config, person, other, now)
    session.execute(
        update(Event)
        .where(Event.fingerprint == person.fingerprint)
        .values(fingerprint=fingerprint)
        .execution_options(synchronize_session=False)
    )
    person.address, person.address_key, person.fingerprint = known.address, known.key, fingerprint
    suppressions.record(session, fingerprint, "address changed by the reader", now)
    session.flush()
    return True


def _join(session: Session, config: Config, person: Subscriber, other: Subscriber, now: dt.datetime) -> bool:
    """The new address is a subscriber already: the same person. They get there what they got here."""
    rows = session.scalars(
        select(List)
        .join(Subscription, Subscription.list_id == List.id)
        .where(Subscription.subscriber_id == person.id, Subscription.state == SubscriptionState.active)
        .order_by(List.slug)
    ).all()
    signups.begin(session, other, rows, "moved from another address", now)
    lists = tuple(row.slug for row in rows)
    departures.leave_lists(session, config, person, lists, "", None, LeftBy.preferences, now, why=MOVED)
    return True
