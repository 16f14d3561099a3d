"""Signing up: asked for on a page, confirmed by a link in a letter, forgotten where nobody confirms.

Whoever asks may not be whose address it is. So nothing of what they typed counts before the owner confirms: no
subscription, no name, no way back for someone who left; and the letter repeats nothing of it, or it would carry
anybody's words to anybody. What `ask` answers is the same whether or not the address is known.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from newsletter import asks, consents, letters, suppressions
from newsletter.addresses import checked
from newsletter.config import Config, span
from newsletter.errors import ListMistake
from newsletter.models import (
    Consent,
    Delivery,
    Departure,
    Event,
    Issue,
    Letter,
    List,
    Subscriber,
    Subscription,
    Suppression,
)
from newsletter.states import ConsentTo, LetterKind, LetterState, SubscriptionState, SuppressionReason
from newsletter.subscribers import one_line
from newsletter.tokens import keys

AT_A_TIME = 200
"""Letters that one look for expired ones ends."""
ASKED = "signed up"
"""How a subscription came to be that waits for its letter; those that an import left pending are no concern of ours."""
_OPEN = (LetterState.queued, LetterState.sent)


class Asked(enum.Enum):
    """What came of an ask. It says nothing of the address."""

    noted = "noted"
    full = "full"
    """Too many have asked, from this network or in all: nothing was written down."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for, from where, under which words."""

    slug: str
    """The publication on whose page it was."""
    address: str
    name: str
    lists: tuple[str, ...]
    language: str
    """That of the page, and so of the letter."""
    wording: str
    """The words by the button, as they were shown."""
    page: str
    client: str
    """The network address."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a letter's link would confirm, or has confirmed."""

    letter: int
    slug: str
    subscriber: int
    address: str
    name: str
    lists: tuple[str, ...]
    """Their titles."""
    language: str
    sent: dt.datetime
    """When a relay took the letter; or when it was asked for, where that isn't known."""
    used: bool
    barred: bool
    """Its owner reported a mail as spam: no button lifts that."""


def offered(session: Session) -> Sequence[List]:
    """The lists that anybody may sign up for."""
    return session.scalars(
        select(List).where(List.public.is_(True), List.retired.is_(None)).order_by(List.title, List.slug)
    ).all()


def ask(
    session: Session, config: Config, wish: Wish, now: dt.datetime, *, at_once: bool = True, share: float = 1.0
) -> Asked:
    """Somebody asks for lists to be sent to an address. Whatever is known of it, the answer is the same.

    Someone on all of them already gets a letter with the way to their own page; a list without double_opt_in begins
    at once, unless they left it, or `at_once` is False, or the address is suppressed; for all else a letter goes, and
    what it confirms is done by `confirm`. An address that reported spam gets nothing. One letter a day goes to an
    address; `share` is the part of the network's limit that may be used.

    SubscriberMistake for what is no address or no name; ListMistake for a list that isn't offered.
    """
    known = checked(wish.address)
    name = one_line(wish.name, "name")
    offer = {row.slug: row for row in offered(session)}
    if not wish.lists or not set(wish.lists) <= set(offer):
        raise ListMistake("no such list is offered", remedy=f"There is {', '.join(offer) or 'none'}.")
    asks.one_at_a_time(session)
    if asks.lately(session, wish.client, now).full(config.sign_up, share):
        return Asked.full
    fingerprint = keys(session, now).print_of(known.key)
    had_one = asks.had_one(session, LetterKind.confirm, fingerprint, now)
    asks.note(session, LetterKind.confirm, "" if had_one else fingerprint, wish.client, now)
    barred = suppressions.suppressed(session, fingerprint)
    if had_one or (barred and barred.reason is SuppressionReason.complaint):
        return Asked.noted
    person = session.scalar(select(Subscriber).where(Subscriber.address_key == known.key))
    known_before = person is not None and not _only_asked(session, person)
    if person is None:
        person = Subscriber(
            address=known.address,
            address_key=known.key,
            fingerprint=fingerprint,
            created=now,
            name="",
            language=wish.language,
            attributes={},
        )
        session.add(person)
        session.flush()
    rows = [offer[slug] for slug in dict.fromkeys(wish.lists)]
    if not barred:
        there = _there(session, person)
        rows = [row for row in rows if not _is(there.get(row.id), SubscriptionState.active)]
    wanted = [row.slug for row in rows]
    consent = _agreed(session, person, wish, wanted, now) if wanted else None
    if not barred and at_once:
        begun = [
            row for row in rows if not row.double_opt_in and not _is(there.get(row.id), SubscriptionState.unsubscribed)
        ]
        begin(session, person, begun, ASKED, now)
        if begun and not known_before:
            person.name = name or person.name
        rows = [row for row in rows if row not in begun]
    detail: dict[str, object]
    if rows:
        for row in rows:
            if session.get(Subscription, (person.id, row.id)) is None:
                _put(session, person, row, SubscriptionState.pending, ASKED, now)
        detail = {"lists": [row.slug for row in rows], "consent": consent, "name": name, "known": known_before}
        kind = LetterKind.confirm
    else:
        detail = {"subscribed": True}
        kind = LetterKind.link
    letters.queue(
        session,
        wish.slug,
        kind,
        person.id,
        str(person.address),
        now=now,
        expires=now + span(config.sign_up.confirm_within),
        language=person.language if known_before and person.language else wish.language,
        detail=detail,
    )
    return Asked.noted


def look(session: Session, config: Config, letter: int, now: dt.datetime) -> Invitation | None:
    """What a letter's link would confirm; None where it is no such letter, or leads nowhere any more."""
    row = session.get(Letter, letter)
    return _invitation(session, config, row, now) if row is not None else None


def confirm(session: Session, config: Config, letter: int, client: str, now: dt.datetime) -> Invitation | None:
    """The owner of the address says yes: what the letter was about begins. Twice, it succeeds twice.

    It lifts a suppression that isn't for a complaint, since it is their own doing. None where the link leads nowhere
    any more, and where they have left since they used it: an old link brings nobody back twice.
    """
    row = session.get(Letter, letter, with_for_update=True, populate_existing=True)
    found = _invitation(session, config, row, now) if row is not None else None
    if row is None or found is None or found.used or found.barred:
        return found
    person = session.get_one(Subscriber, row.subscriber_id)
    if suppressions.suppressed(session, person.fingerprint) is not None:
        why = "they signed up again, and confirmed it by the link in a letter"
        suppressions.remove(session, str(person.address), why, now)
    begin(session, person, _lists(session, row), "confirmed by mail", now)
    consent = session.get(Consent, row.detail.get("consent") or 0)
    if consent is not None and consent.subscriber_id == person.id and consent.confirmed is None:
        consent.confirmed, consent.confirmed_client = now, client[:64]
    person.name = row.detail.get("name") or person.name
    person.language = person.language or row.language
    row.state, row.since, row.next_look, row.address = LetterState.used, now, None, ""
    session.flush()
    return found


def expire(session: Session, now: dt.datetime) -> int:
    """Ends the letters whose time is over, and forgets who never confirmed; answers how many letters it was.

    An address that is known by nothing else goes with its letters and consents. An empty row is left, as after an
    erasure: its number stands in a letter's return address, and must never be anybody else's.
    """
    asks.forget(session, now)
    ended = session.scalars(
        select(Letter)
        .where(Letter.state.in_((*_OPEN, LetterState.failed)), Letter.expires <= now)
        .order_by(Letter.id)
        .limit(AT_A_TIME)
        .with_for_update(skip_locked=True)
    ).all()
    if ended and session.get_bind().dialect.name == "sqlite":
        # What is forgotten is overwritten in the file too, not only let go of.
        session.connection().exec_driver_sql("PRAGMA secure_delete = ON")
    for letter in ended:
        letter.state, letter.since, letter.next_look, letter.address = LetterState.expired, now, None, ""
        if letter.kind is LetterKind.change:
            # The address that somebody typed: nobody confirmed that it is theirs.
            letter.detail = {}
    session.flush()
    for letter in ended:
        if letter.kind is LetterKind.confirm:
            _let_go(session, letter, now)
    session.flush()
    return len(ended)


def _invitation(session: Session, config: Config, letter: Letter, now: dt.datetime) -> Invitation | None:
    person = session.get(Subscriber, letter.subscriber_id)
    lists = _lists(session, letter)
    if (
        letter.kind is not LetterKind.confirm
        or letter.publication not in config.publications
        or person is None
        or person.address is None
        or not lists
    ):
        return None
    used = letter.state is LetterState.used
    if used:
        there = _there(session, person)
        if not all(_is(there.get(row.id), SubscriptionState.active) for row in lists):
            return None
    elif letter.state not in _OPEN or letter.expires <= now:
        return None
    barred = suppressions.suppressed(session, person.fingerprint)
    return Invitation(
        letter.id,
        letter.publication,
        person.id,
        person.address,
        letter.detail.get("name") or "",
        tuple(row.title for row in lists),
        letter.language,
        letter.since if letter.state is LetterState.sent else letter.asked,
        used,
        barred is not None and barred.reason is SuppressionReason.complaint,
    )


def _lists(session: Session, letter: Letter) -> Sequence[List]:
    """The lists that a letter is about, without those that are gone."""
    slugs = letter.detail.get("lists") or ()
    return session.scalars(select(List).where(List.slug.in_(slugs), List.retired.is_(None)).order_by(List.title)).all()


def _there(session: Session, person: Subscriber) -> dict[int, Subscription]:
    rows = session.scalars(select(Subscription).where(Subscription.subscriber_id == person.id))
    return {row.list_id: row for row in rows}


def _is(row: Subscription | None, state: SubscriptionState) -> bool:
    return row is not None and row.state is state


def _agreed(session: Session, person: Subscriber, wish: Wish, lists: Sequence[str], now: dt.datetime) -> int:
    return consents.write_down(
        session,
        person.id,
        ConsentTo.subscription,
        wording=wish.wording,
        language=wish.language,
        page=wish.page,
        client=wish.client,
        now=now,
        lists=lists,
    ).id


def begin(session: Session, person: Subscriber, lists: Sequence[List], why: str, now: dt.datetime) -> None:
    """Subscriptions become active, whatever they were: it is the reader's own doing, or this isn't to be called."""
    for row in lists:
        there = session.get(Subscription, (person.id, row.id))
        if there is None:
            _put(session, person, row, SubscriptionState.active, why, now)
        elif there.state is not SubscriptionState.active:
            there.state, there.since, there.joined, there.why = SubscriptionState.active, now, there.joined or now, why
        else:
            continue
        suppressions.record(session, person.fingerprint, f"{row.slug}: active ({why})", now)
    session.flush()


def _put(session: Session, person: Subscriber, row: List, state: SubscriptionState, why: str, now: dt.datetime) -> None:
    joined = now if state is SubscriptionState.active else None
    session.add(Subscription(subscriber_id=person.id, list_id=row.id, state=state, since=now, joined=joined, why=why))
    session.flush()


def _only_asked(session: Session, person: Subscriber) -> bool:
    """Whether nothing is known of someone but that somebody typed their address on a page."""
    asked = session.scalars(
        select(Letter).where(Letter.subscriber_id == person.id, Letter.kind == LetterKind.confirm)
    ).all()
    if not asked or any(letter.state is LetterState.used or letter.detail.get("known") for letter in asked):
        return False
    settled = exists().where(Subscription.subscriber_id == person.id, Subscription.state != SubscriptionState.pending)
    left = exists().where(Departure.subscriber_id == person.id)
    # By way of the issues, since the ledger is in their order.
    had = exists().where(Delivery.issue_id.in_(select(Issue.id)), Delivery.subscriber_id == person.id)
    return not session.scalar(select(settled | left | had))


def _let_go(session: Session, letter: Letter, now: dt.datetime) -> None:
    """What nobody confirmed by this letter, and no other one may still confirm, is forgotten."""
    others = session.scalars(
        select(Letter).where(
            Letter.subscriber_id == letter.subscriber_id,
            Letter.kind == LetterKind.confirm,
            Letter.state.in_(_OPEN),
            Letter.expires > now,
        )
    ).all()
    still = {slug for other in others for slug in other.detail.get("lists", ())}
    lists = select(List.id).where(List.slug.in_([s for s in letter.detail.get("lists", ()) if s not in still]))
    person = session.get_one(Subscriber, letter.subscriber_id)
    only_asked = not others and _only_asked(session, person)
    session.execute(
        delete(Subscription).where(
            Subscription.subscriber_id == person.id,
            Subscription.state == SubscriptionState.pending,
            Subscription.why == ASKED,
            Subscription.list_id.in_(lists),
        )
    )
    if not only_asked or session.scalar(select(exists().where(Subscription.subscriber_id == person.id))):
        return
    session.execute(delete(Consent).where(Consent.subscriber_id == person.id))
    session.execute(delete(Letter).where(Letter.subscriber_id == person.id))
    if session.get(Suppression, person.fingerprint) is None:
        session.execute(delete(Event).where(Event.fingerprint == person.fingerprint))
    person.address = person.address_key = None
    person.name = person.language = person.fingerprint = ""
    person.attributes = {}
    person.erased = now
