"""A reader's mail goes to another address: asked for on their page, confirmed from the new address, told to the old.

Whoever has a forwarded issue has the link to its reader's page. So the new address counts only when the button behind
a link that was mailed to it is pressed; and the old one gets a letter by which the change is taken back, for a week,
wherever the mail has been led since. What is answered is the same whether or not the new address is anybody's here.

Where the new address is a subscriber already, that is taken for the same person: they get there what they got here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from newsletter import asks, consents, departures, letters, signups, suppressions
from newsletter.addresses import Address, checked
from newsletter.config import Config, span
from newsletter.models import Event, Letter, List, Subscriber, Subscription
from newsletter.signups import Asked
from newsletter.states import ConsentTo, LeftBy, LetterKind, LetterState, SubscriptionState
from newsletter.tokens import keys

UNDO = dt.timedelta(days=7)
"""For so long the old address can take a change back."""
LEFT = "moved to another address"
JOINED = "moved from another address"
BACK = "their other address took it back"
"""What a subscription says of how it came to its state."""
_OPEN = (LetterState.queued, LetterState.sent)


@dataclass(frozen=True, slots=True)
class Move:
    """What a letter's link would do, or has done."""

    slug: str
    subscriber: int
    """Who has, or would have, the address `after`."""
    before: str
    after: str
    language: str
    back: bool
    """Whether it takes a change back, for the old address."""
    used: bool
    sent: dt.datetime
    """When a relay took the letter; or when it was asked for, where that isn't known."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """The button behind a letter's link: under which words it was pressed, and from where."""

    wording: str
    page: str
    client: str


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


def do(session: Session, config: Config, letter: int, pressed: Pressed, now: dt.datetime) -> Move | None:
    """The button behind the link was pressed: the change is made, or taken back. Twice, it succeeds twice.

    What else was asked for in this reader's name is void then; and when a change is taken back, so is what later
    addresses could take back. None where the link leads nowhere any more.
    """
    row = session.get(Letter, letter)
    if row is None:
        return None
    # In the order in which erasing takes them, so that two don't wait for each other.
    person = session.get(Subscriber, row.subscriber_id, with_for_update={"key_share": True}, populate_existing=True)
    row = session.get(Letter, letter, with_for_update=True, populate_existing=True)
    move = _move(session, row, now) if row is not None else None
    if row is None or person is None or move is None or move.used:
        return move
    # Nobody signs up with the address, and nobody else is given it, until this transaction has ended.
    asks.one_at_a_time(session)
    known = checked(move.after)
    other = session.scalar(
        select(Subscriber)
        .where(Subscriber.address_key == known.key, Subscriber.id != person.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    detail: dict[str, Any] = {}
    if row.detail.get("joined"):
        _part(session, config, person, row.detail, now)
    elif other is not None:
        detail = _join(session, config, person, other, row.language, pressed, now)
        row.detail = {**row.detail, "to": other.id}
    else:
        _readdress(session, person, known, now)
    row.state, row.since, row.next_look, row.address = LetterState.used, now, None, ""
    _void(session, person.id, row, now)
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
            detail={"before": move.after, "after": move.before, "undo": True, **detail},
        )
    session.flush()
    return _move(session, row, now)


def former(session: Session, subscriber: int) -> tuple[str, ...]:
    """The addresses that a subscriber has or had, as the letters tell by which they were changed."""
    found = set()
    for row in session.scalars(
        select(Letter).where(
            Letter.subscriber_id == subscriber,
            Letter.kind.in_((LetterKind.change, LetterKind.changed)),
            Letter.state == LetterState.used,
        )
    ):
        if not {"to", "joined"} & set(row.detail):
            found |= {row.detail["before"], row.detail["after"]}
    return tuple(sorted(found))


def _move(session: Session, row: Letter, now: dt.datetime) -> Move | None:
    person = session.get(Subscriber, row.subscriber_id)
    if row.kind not in (LetterKind.change, LetterKind.changed) or person is None or person.address is None:
        return None
    back = row.kind is LetterKind.changed
    used = row.state is LetterState.used
    open_ = row.state in _OPEN and row.expires > now
    if not (used or open_) or (back and not row.detail.get("undo")):
        return None
    before, after = row.detail["before"], row.detail["after"]
    key = checked(after).key
    # Who has the address when all is done: the same subscriber, or one who had it already.
    owner = session.get(Subscriber, row.detail.get("to", person.id))
    there = owner is not None and owner.address_key == key
    if used or (back and row.detail.get("joined")):
        stands = there
    elif back:
        stands = not there
    else:
        stands = person.address == before
    if owner is None or not stands:
        return None
    if not used and suppressions.suppressed(session, keys(session, now).print_of(key)) is not None:
        return None
    sent = row.since if row.state is LetterState.sent else row.asked
    return Move(row.publication, owner.id, before, after, row.language, back, used, sent)


def _readdress(session: Session, person: Subscriber, known: Address, now: dt.datetime) -> None:
    fingerprint = keys(session, now).print_of(known.key)
    session.execute(
        update(Event)
        .where(Event.fingerprint == person.fingerprint)
        .values(fingerprint=fingerprint)
        .execution_options(synchronize_session=False)
    )
    person.address, person.address_key, person.fingerprint = known.address, known.key, fingerprint
    suppressions.record(session, fingerprint, "address changed by the reader", now)
    session.flush()


def _join(
    session: Session,
    config: Config,
    person: Subscriber,
    other: Subscriber,
    language: str,
    pressed: Pressed,
    now: dt.datetime,
) -> dict[str, Any]:
    """They get there what they got here; answers what it takes to take that back."""
    rows = [row for row, state in _standing(session, person) if state.state is SubscriptionState.active]
    there = {row.id for row, state in _standing(session, other) if state.state is SubscriptionState.active}
    begun = [row.slug for row in rows if row.id not in there]
    signups.begin(session, other, rows, JOINED, now)
    if begun:
        consents.write_down(
            session,
            other.id,
            ConsentTo.subscription,
            wording=pressed.wording,
            language=language,
            page=pressed.page,
            client=pressed.client,
            now=now,
            lists=begun,
            confirmed=True,
        )
    left = tuple(row.slug for row in rows)
    departures.leave_lists(session, config, person, left, "", None, LeftBy.preferences, now, why=LEFT)
    return {"joined": other.id, "left": list(left), "begun": begun}


def _part(session: Session, config: Config, person: Subscriber, detail: dict[str, Any], now: dt.datetime) -> None:
    """Takes a joining back: what has changed since by another door isn't touched."""
    rows = [row for row, state in _standing(session, person) if row.slug in detail["left"] and state.why == LEFT]
    signups.begin(session, person, rows, BACK, now)
    other = session.get(Subscriber, detail["joined"], with_for_update={"key_share": True}, populate_existing=True)
    if other is not None and other.address is not None:
        begun = tuple(
            row.slug for row, state in _standing(session, other) if row.slug in detail["begun"] and state.why == JOINED
        )
        departures.leave_lists(session, config, other, begun, "", None, LeftBy.preferences, now, why=BACK)


def _standing(session: Session, person: Subscriber) -> list[tuple[List, Subscription]]:
    query = (
        select(List, Subscription)
        .join(Subscription, Subscription.list_id == List.id)
        .where(Subscription.subscriber_id == person.id, List.retired.is_(None))
        .order_by(List.slug)
    )
    return [(row, state) for row, state in session.execute(query)]


def _void(session: Session, subscriber: int, done: Letter, now: dt.datetime) -> None:
    """Ends the other changes that were asked for; and what later addresses could take back, if this takes one back."""
    for letter in session.scalars(
        select(Letter).where(
            Letter.subscriber_id == subscriber,
            Letter.id != done.id,
            Letter.kind.in_((LetterKind.change, LetterKind.changed)),
            Letter.state.in_(_OPEN),
        )
    ):
        later = done.kind is LetterKind.changed and letter.id > done.id
        if letter.kind is LetterKind.change or later:
            letter.state, letter.since, letter.next_look, letter.address = LetterState.expired, now, None, ""
            letter.why = "another change was made since"
        if letter.kind is LetterKind.change:
            letter.detail = {}
