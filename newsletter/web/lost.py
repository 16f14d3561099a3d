"""A link that leads nowhere, and the way to a new one: the same page and the same answer for all who ask."""

from __future__ import annotations

from flask import Blueprint, Response, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests

from newsletter import addresses, asks, letters, own_page, suppressions
from newsletter.config import span
from newsletter.errors import SubscriberMistake
from newsletter.models import Subscriber, Subscription
from newsletter.states import LetterKind, SubscriptionState
from newsletter.tokens import keys
from newsletter.web import pages, seals
from newsletter.web.pages import page
from newsletter.web.site import site

lost_link = Blueprint("lost_link", __name__)


def lost(session: Session, status: int = 404, *, fault: str = "", typed: str = "") -> Response:
    """The page for a link that is cut, changed, forged, or of someone who was erased: which of these isn't said."""
    now = site().now()
    seal = seals.make(keys(session, now), "lost", "", now)
    return page("lost.html", None, status=status, seal=seal, fault=fault, typed=typed)


@lost_link.get("/lost")
def form() -> Response:
    """The page by itself."""
    with site().folder.reading() as session:
        return lost(session, 200)


@lost_link.post("/lost")
def ask() -> Response:
    """A letter with a new link, where the address is subscribed to anything; the same page where it isn't."""
    here, now = site(), site().now()
    typed = request.form.get("address", "").strip()
    client = request.remote_addr or ""
    with here.folder.reading() as session:
        secrets = keys(session, now)
        if seals.age(secrets, request.form.get("seal", ""), "lost", "", now) is None:
            return lost(session, 200, typed=typed[:320])
        try:
            address = addresses.checked(typed)
        except (SubscriberMistake, UnicodeError):
            words = pages.words(None).gettext("Mail can’t go to this. An address looks like name@example.org.")
            return lost(session, 422, fault=words, typed=typed[:320])
    with here.folder.session() as session:
        asks.one_at_a_time(session)
        if asks.lately(session, client, now).full(here.folder.config.sign_up):
            raise TooManyRequests(retry_after=3600)
        fingerprint = secrets.print_of(address.key)
        if asks.had_one(session, LetterKind.link, fingerprint, now):
            asks.note(session, LetterKind.link, "", client, now)
        else:
            asks.note(session, LetterKind.link, fingerprint, client, now)
            _queue(session, address.key, fingerprint)
    here.wake()
    return page("link-sent.html", None, address=address.address)


def _queue(session: Session, key: str, fingerprint: str) -> None:
    here, now = site(), site().now()
    person = session.scalar(select(Subscriber).where(Subscriber.address_key == key))
    if person is None or person.address is None or suppressions.suppressed(session, fingerprint) is not None:
        return
    known = session.scalar(
        select(Subscription.list_id)
        .where(Subscription.subscriber_id == person.id, Subscription.state != SubscriptionState.pending)
        .limit(1)
    )
    if known is None:
        return
    letters.queue(
        session,
        own_page.publication_of(session, here.folder.config, person),
        LetterKind.link,
        person.id,
        person.address,
        now=now,
        expires=now + span(here.folder.config.sign_up.confirm_within),
        language=person.language or pages.spoken(None),
    )
