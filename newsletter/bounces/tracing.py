"""Whom a verdict is about, and how we know: by our own token, by our own Message-ID, or by nothing that counts.

Anybody can write a delivery report about anybody. An address alone therefore proves nothing, unless a provider has
signed what it is in.
"""

from __future__ import annotations

import datetime as dt
import enum

from msgspec import Struct
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from newsletter.addresses import checked
from newsletter.bounces.verdict import Verdict
from newsletter.errors import SubscriberMistake
from newsletter.models import Delivery, Issue, Letter, Subscriber
from newsletter.states import LetterKind, LetterState
from newsletter.tokens import Keys

LAST_ISSUES = 50
"""How many of the latest issues a Message-ID without a token is looked for in."""


class Proof(enum.Enum):
    """What shows that a report is about a message of ours."""

    token = "token"  # noqa: S105 - a word
    """The token of this very copy."""
    message = "message"
    """The Message-ID of this very copy, which can't be guessed either."""
    letter = "letter"
    """The token of a letter, or its return address."""
    signed = "signed"
    """A provider's signature; the address is believed."""
    none = "none"
    """Nothing."""


class Traced(Struct, frozen=True):
    """Whom a verdict is about, as far as that is proven. A token names a reader though nothing of theirs was sent."""

    proof: Proof
    subscriber: Subscriber | None = None
    issue: int | None = None
    delivery: Delivery | None = None
    letter: Letter | None = None
    fingerprint: str = ""
    """Of the address that the report names, or else of the subscriber's: for the log, proven or not."""


def trace(session: Session, keys: Keys, verdict: Verdict, *, signed: bool = False) -> Traced:
    """Whom `verdict` is about. With signed=True its address is believed.

    A token counts where the ledger says that this copy was begun; asking to leave needs no copy.
    """
    named = fingerprint_of(keys, verdict.address)
    if (found := keys.read(verdict.token)) is not None:
        issue, number = found
        subscriber = session.get(Subscriber, number)
        if not issue and subscriber is not None:
            # The return address of a letter: it names the reader, and no issue.
            letter = _latest_letter(session, number)
            proof = Proof.none if letter is None else Proof.letter
            return Traced(proof, subscriber, None, None, letter, subscriber.fingerprint)
        delivery = session.get(Delivery, (issue, number))
        if delivery is not None and not delivery.tries:
            delivery = None
        if subscriber is not None:
            proof = Proof.token if delivery is not None else Proof.none
            return Traced(proof, subscriber, issue, delivery, None, subscriber.fingerprint)
    elif (letter_id := keys.read_letter(verdict.token)) is not None:
        letter = session.get(Letter, letter_id)
        if letter is not None and letter.state is not LetterState.queued:
            subscriber = session.get(Subscriber, letter.subscriber_id)
            return Traced(Proof.letter, subscriber, None, None, letter, subscriber.fingerprint if subscriber else "")
    person = session.scalar(select(Subscriber).where(Subscriber.fingerprint == named)) if named else None
    if person is not None and (delivery := _by_message(session, keys, verdict.message_id, person.id)) is not None:
        return Traced(Proof.message, person, delivery.issue_id, delivery, None, named)
    if person is not None and signed:
        return Traced(Proof.signed, person, None, None, None, named)
    return Traced(Proof.none, fingerprint=named)


def fingerprint_of(keys: Keys, address: str) -> str:
    """The fingerprint of an address; "" where it isn't one."""
    if not address:
        return ""
    try:
        return keys.print_of(checked(address).key)
    except SubscriberMistake:
        return ""


def _by_message(session: Session, keys: Keys, message_id: str, subscriber: int) -> Delivery | None:
    """The copy that has this Message-ID, among the latest issues that this subscriber was given to a relay for."""
    own = message_id.strip().strip("<>").partition("@")[0].lower()
    if not own:
        return None
    latest = select(Issue.id).where(Issue.started.is_not(None)).order_by(Issue.started.desc()).limit(LAST_ISSUES)
    for delivery in session.scalars(
        select(Delivery).where(
            Delivery.issue_id.in_(session.scalars(latest).all()),
            Delivery.subscriber_id == subscriber,
            Delivery.tries > 0,
        )
    ):
        if keys.message(delivery.issue_id, subscriber) == own:
            return delivery
    return None


def _latest_letter(session: Session, subscriber: int) -> Letter | None:
    """The letter that was sent to a subscriber last."""
    return session.scalar(
        select(Letter)
        .where(Letter.subscriber_id == subscriber, Letter.state != LetterState.queued)
        .order_by(Letter.asked.desc(), Letter.id.desc())
        .limit(1)
    )


def moved_since(session: Session, subscriber: int, since: dt.datetime) -> bool:
    """Whether a subscriber has changed their address since: then a report may be about the one that they left."""
    return bool(
        session.scalar(
            select(
                exists().where(
                    Letter.subscriber_id == subscriber,
                    Letter.kind.in_((LetterKind.change, LetterKind.changed)),
                    Letter.state == LetterState.used,
                    Letter.since >= since,
                )
            )
        )
    )
