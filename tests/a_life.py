"""A reader of whom every table knows something that can, and both of whose addresses stand wherever one may.

Every word that gives them away has MARK in it, so that a test finds what is left of them, wherever it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from conftest import NOW
from mailserver import being_sent
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import address_change, asks, consents, own_page, suppressions
from newsletter.address_change import Pressed
from newsletter.bounces import keeping
from newsletter.folder import Folder
from newsletter.models import (
    Attempt,
    BounceScore,
    Delivery,
    Departure,
    Hit,
    Interest,
    Letter,
    List,
    Notice,
    Return,
    Subscriber,
    Subscription,
)
from newsletter.own_page import Choices, Words
from newsletter.states import (
    ConsentTo,
    DeliveryState,
    HitKind,
    LeftBy,
    LetterKind,
    LetterState,
    ReturnKind,
    SuppressionReason,
)
from newsletter.tokens import keys

MARK = "quux"
BEFORE, NOWADAYS = "Old.Quuxington@example.com", "kei.quuxington@example.org"
CLIENT = "203.0.113.77"


def moment(minutes: int) -> dt.datetime:
    """One that nothing else has."""
    return NOW + dt.timedelta(minutes=minutes)


def lived(folder: Folder, subscribe: Callable[..., Subscriber]) -> int:
    """Their number. They were at another address before; an issue went to them; all else that can be, was."""
    number = being_sent(folder, subscribe, [BEFORE, "mio@example.org"])
    with folder.session() as session:
        person = session.scalars(select(Subscriber).where(Subscriber.address == BEFORE)).one()
        person.created, person.name = moment(-99), "First Quuxley"
        session.add(List(slug="invitations", title="Invitations"))
        copy = session.get_one(Delivery, (number, person.id))
        copy.state, copy.since, copy.first_try, copy.tries, copy.relay = (
            DeliveryState.failed,
            moment(1),
            moment(2),
            3,
            "outbox",
        )
        copy.reply = f"550 5.1.1 <{BEFORE.lower()}> unknown, try old.quuxington"
        session.add(
            Attempt(
                issue_id=number,
                subscriber_id=person.id,
                state=DeliveryState.deferred,
                at=moment(3),
                relay="other",
                reply=f"451 {BEFORE} later",
            )
        )
    with folder.session() as session:
        person = session.scalars(select(Subscriber).where(Subscriber.address == BEFORE)).one()
        _moved(session, folder, person)
    with folder.session() as session:
        _busy(session, folder, number, session.scalars(select(Subscriber).where(Subscriber.address == NOWADAYS)).one())
        return session.scalars(select(Subscriber.id).where(Subscriber.address == NOWADAYS)).one()


def _moved(session: Session, folder: Folder, person: Subscriber) -> None:
    address_change.ask(session, folder.config, person, "digest", NOWADAYS, client=CLIENT, language="en", now=moment(4))
    letter = session.scalars(select(Letter)).one()
    letter.state, letter.since = LetterState.sent, moment(5)
    pressed = Pressed("Yes", "https://digest.example.org/address", CLIENT)
    assert address_change.do(session, folder.config, letter.id, pressed, moment(6))
    # Word came later of the address that they had left.
    suppressions.add(session, BEFORE, SuppressionReason.bounce, f"{BEFORE} bounced", moment(7))
    session.add(BounceScore(fingerprint=keys(session, NOW).print_of(BEFORE.lower()), score=1.25, at=moment(8)))


def _busy(session: Session, folder: Folder, issue: int, person: Subscriber) -> None:
    choices = Choices(
        frozenset(["alliance-digest", "invitations"]),
        "Kei Quuxington",
        {"first_name": "Quuxy", "city": "Quuxville"},
        "ja",
        dt.date(2023, 12, 24),
        measured=True,
    )
    words = Words("tick, said Quuxley", "measure, said Quuxley", "https://digest.example.org/quux", CLIENT, "ja")
    offered = own_page.choices(session, person)
    own_page.save(session, folder.config, person, issue, offered, choices, words, moment(10))
    consents.write_down(
        session,
        person.id,
        ConsentTo.subscription,
        wording="Quux wording",
        language="en",
        page="https://quux.example",
        client="203.0.113.78",
        now=moment(11),
    )
    rows = session.scalars(select(Subscription).where(Subscription.subscriber_id == person.id).order_by("list_id"))
    for at, row in enumerate(rows):
        row.since, row.joined, row.why = moment(20 + at), moment(30 + at), f"card that Quux {at} gave"
    session.add(
        Letter(
            publication="digest",
            kind=LetterKind.confirm,
            subscriber_id=person.id,
            address=NOWADAYS,
            language="ja",
            detail={"name": "Kei Quuxson", "lists": ["invitations"]},
            state=LetterState.failed,
            since=moment(40),
            asked=moment(41),
            expires=moment(42),
            next_look=None,
            why=f"550 {NOWADAYS}",
        )
    )
    asks.note(session, LetterKind.link, person.fingerprint, CLIENT, moment(43))
    session.add(
        Departure(
            subscriber_id=person.id,
            publication="digest",
            issue_id=issue,
            lists="invitations",
            at=moment(44),
            by=LeftBy.page,
            reason="Quux moved to Quuxville",
            undone=moment(45),
        )
    )
    session.add(Interest(subscriber_id=person.id, issue_id=issue, what=HitKind.click, link=7, at=moment(46)))
    session.add(
        Hit(
            at=moment(47),
            what=HitKind.click,
            issue_id=issue,
            link=8,
            message="m" * 32,
            client="c" * 32,
            subscriber_id=person.id,
        )
    )
    session.add(BounceScore(fingerprint=person.fingerprint, score=2.5, at=moment(48)))
    suppressions.record(session, person.fingerprint, "seen by Quux", moment(49))
    session.add(Notice(publication="digest", about="x", subject="x", body=f"{BEFORE}, {NOWADAYS}", since=NOW))
    for at, (digest, about, words_) in enumerate(
        [
            ("a" * 64, person.fingerprint, f"550 {NOWADAYS}"),
            ("b" * 64, keys(session, NOW).print_of(BEFORE.lower()), f"550 {BEFORE}"),
            ("d" * 64, "", f"550 nobody, not even {BEFORE.lower()}"),
        ]
    ):
        raw = f"To: bounces@example.org\r\n\r\nno {BEFORE if at else NOWADAYS}, said Quux\r\n".encode()
        session.add(
            Return(
                at=moment(50 + at),
                source="maildir",
                digest=digest,
                kind=ReturnKind.hard,
                fingerprint=about,
                subscriber_id=person.id if not at else None,
                issue_id=issue if not at else None,
                status=f"5.1.{at}",
                words=words_,
                done=f"noted {at}",
                file=keeping.keep(folder, raw, digest, moment(50 + at)),
            )
        )
    keeping.keep(folder, f"From: {BEFORE}\r\n\r\nremove me\r\n".encode(), "e" * 64, NOW)
    session.flush()
