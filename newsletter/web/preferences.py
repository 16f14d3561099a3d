"""A reader's own page: what they get, who they are, a break, another address; and what is held about them.

The link in each mail is the key to it, for years. So whoever is forwarded a mail can look at it and change it; which
is why an address counts only once it is confirmed from where it is, and why erasing asks twice and is told nowhere
else. Nothing is changed but by a POST with a seal of ours.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests

from newsletter import address_change, addresses, departures, erasure, holdings, own_page, subscribers, suppressions
from newsletter.config import Publication, zone
from newsletter.errors import SubscriberMistake
from newsletter.own_page import Choice, Choices, Words
from newsletter.signups import Asked
from newsletter.states import LeftBy
from newsletter.tokens import keys
from newsletter.web import pages, reader, seals
from newsletter.web.lost import lost
from newsletter.web.pages import page
from newsletter.web.reader import Whose
from newsletter.web.site import site

preferences = Blueprint("preferences", __name__)

LONG = 2000
"""Characters of a field that are shown again; more than any may have."""


@preferences.get("/me/<token>")
def look(token: str) -> Response:
    """The page."""
    with site().folder.reading() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost()
        reader.note(who, "me")
        return _page(session, who)


@preferences.post("/me/<token>")
def save(token: str) -> Response:
    """Save: all of it, or nothing and what is wrong with it."""
    here, now = site(), site().now()
    with here.folder.session() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost()
        offered = own_page.choices(session, who.person)
        typed = _typed(who, offered)
        if seals.age(who.keys, request.form.get("seal", ""), "me", token, now) is None:
            return _page(session, who, typed=typed, once_more=True)
        wrong = _faults(who, typed, now)
        if wrong:
            return _page(session, who, typed=typed, wrong=wrong)
        if asked := _another_address(who):
            if _ask_for(session, who, asked, now) is Asked.full:
                raise TooManyRequests(retry_after=3600)
            here.wake()
        own_page.save(
            session,
            here.folder.config,
            who.person,
            who.issue.id if who.issue else None,
            offered,
            typed,
            _words(who),
            now,
        )
        return _page(session, who, saved=True, asked=asked)


@preferences.post("/me/<token>/leave")
def leave(token: str) -> Response:
    """Unsubscribe from everything."""
    now = site().now()
    with site().folder.session() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost()
        if seals.age(who.keys, request.form.get("seal", ""), "me", token, now) is None:
            return _page(session, who, once_more=True)
        number = who.issue.id if who.issue else None
        departures.leave(session, site().folder.config, who.person, "", number, LeftBy.preferences, now)
        return _page(session, who, left=True)


@preferences.get("/me/<token>/data")
def data(token: str) -> Response:
    """All that is held about them, to keep."""
    with site().folder.reading() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost()
        held = holdings.everything(session, site().folder.config, who.person, site().now())
    response = Response(msgspec.json.format(msgspec.json.encode(held), indent=2), mimetype="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="what-we-hold.json"'
    return response


@preferences.get("/me/<token>/erase")
def ask_to_erase(token: str) -> Response:
    """Asks once more."""
    with site().folder.reading() as session:
        who = reader.whose(session, token)
        return _erase_page(who) if who is not None else lost()


@preferences.post("/me/<token>/erase")
def erase(token: str) -> Response:
    """Everything about them is erased."""
    here, now = site(), site().now()
    with here.folder.session() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost()
        automatic = reader.suspicious(session, who)
        age = seals.age(who.keys, request.form.get("seal", ""), "erase", token, now)
        if age is None or (automatic and age < dt.timedelta(seconds=2)):
            return _erase_page(who)
        language, slug = who.person.language, who.shown
        erasure.erase(session, here.folder, who.person, LeftBy.preferences, now)
    subscribers.scrub(here.folder.engine)
    return page("erased.html", slug, language=language)


@preferences.get("/address/<token>")
def new_address(token: str) -> Response:
    """The page behind the link that was mailed to a new address, or to the old one to take it back."""
    now = site().now()
    with site().folder.reading() as session:
        secrets = keys(session, now)
        number = secrets.read_letter(token)
        move = address_change.look(session, number, now) if number else None
        if move is None or move.slug not in site().folder.config.publications:
            return lost()
        me = secrets.reader(0, move.subscriber)
    seal = seals.make(secrets, "address", token, now)
    shown = None if move.back or not move.used else me
    return page(
        "address.html", move.slug, language=move.language, move=move, token=token, seal=seal, me=shown, canary=token
    )


@preferences.post("/address/<token>")
def change_address(token: str) -> Response:
    """The button there."""
    here, now = site(), site().now()
    with here.folder.session() as session:
        secrets = keys(session, now)
        number = secrets.read_letter(token)
        if number is None or seals.age(secrets, request.form.get("seal", ""), "address", token, now) is None:
            return new_address(token)
        address_change.do(session, here.folder.config, number, now)
    here.wake()
    return new_address(token)


def _typed(who: Whose, offered: tuple[Choice, ...]) -> Choices:
    sent = request.form
    until: dt.date | None = None
    if text := sent.get("until", "").strip()[:10]:
        try:
            until = dt.date.fromisoformat(text)
        except ValueError:
            until = dt.date.min
    ticked = set(sent.getlist("lists"))
    language = sent.get("language", "")
    return Choices(
        frozenset(choice.slug for choice in offered if choice.slug in ticked),
        sent.get("name", "")[:LONG],
        {key: sent.get(f"attribute-{key}", "")[:LONG] for key in site().folder.config.attributes},
        language if language in site().words else who.person.language,
        until,
        sent.get("measured") == "yes" if _measuring(who) else who.person.measured is not None,
    )


def _as_kept(who: Whose, offered: tuple[Choice, ...]) -> Choices:
    person = who.person
    return Choices(
        frozenset(choice.slug for choice in offered if choice.on),
        person.name,
        dict(person.attributes),
        person.language,
        person.paused_until,
        person.measured is not None,
    )


def _faults(who: Whose, typed: Choices, now: dt.datetime) -> dict[str, str]:
    """Field: what is wrong with it, in the reader's language."""
    _ = pages.words(_publication(who), who.person.language).gettext
    words = {
        "line": _("This is one line of letters, digits and signs, and not too long."),
        "past": _("Choose a day that is still to come; or leave it empty."),
        "far": _("A break can have a year at the most. If it is to be longer, unsubscribe and come back."),
    }
    today = now.astimezone(zone(_publication(who).cadence.zone)).date()
    wrong = {field: words[kind] for field, kind in own_page.faults(site().folder.config, typed, now, today).items()}
    try:
        addresses.checked(request.form.get("address", "") or str(who.person.address))
    except (SubscriberMistake, UnicodeError):
        wrong["address"] = _("Mail can’t go to this. An address looks like name@example.org.")
    return wrong


def _another_address(who: Whose) -> str:
    """The address that was typed, where it isn't the one that they have."""
    typed = request.form.get("address", "").strip()
    if not typed or addresses.checked(typed).key == who.person.address_key:
        return ""
    return addresses.checked(typed).address


def _ask_for(session: Session, who: Whose, address: str, now: dt.datetime) -> Asked:
    slug = who.slug or next(iter(site().folder.config.publications))
    return address_change.ask(
        session,
        site().folder.config,
        who.person,
        slug,
        address,
        client=request.remote_addr or "",
        language=pages.spoken(_publication(who), who.person.language),
        now=now,
    )


def _publication(who: Whose) -> Publication:
    publications = site().folder.config.publications
    return publications[who.slug] if who.slug else next(iter(publications.values()))


def _measuring(who: Whose) -> bool:
    """Whether anybody asks them if they may be measured."""
    publications = site().folder.config.publications
    those = [publications[who.slug]] if who.slug else list(publications.values())
    return any(each.measure_readers for each in those)


def _words(who: Whose) -> Words:
    publication = _publication(who)
    language = pages.spoken(publication, who.person.language)
    _ = pages.words(publication, who.person.language).gettext
    return Words(
        _("What is ticked is what you get, from the next issue on. Each mail has a link to leave by."),
        _measuring_wording(who),
        f"{site().folder.config.base_url}/me",
        request.remote_addr or "",
        language,
    )


def _measuring_wording(who: Whose) -> str:
    _ = pages.words(_publication(who), who.person.language).gettext
    return _("The editors may see which issues I open and which links I follow. I can take that back here at any time.")


def _page(
    session: Session,
    who: Whose,
    *,
    typed: Choices | None = None,
    wrong: dict[str, str] | None = None,
    once_more: bool = False,
    saved: bool = False,
    left: bool = False,
    asked: str = "",
) -> Response:
    now = site().now()
    person = who.person
    offered = own_page.choices(session, person)
    shown = typed or _as_kept(who, offered)
    suppression = suppressions.suppressed(session, person.fingerprint)
    values: dict[str, Any] = {
        "token": who.token,
        "canary": who.token,
        "address": person.address,
        "typed_address": request.form.get("address", "")[:320] if wrong else person.address,
        "offered": offered,
        "shown": shown,
        "until": "" if shown.paused_until in (None, dt.date.min) else str(shown.paused_until),
        "attributes": site().folder.config.attributes,
        "labels": {key: key.replace("_", " ").capitalize() for key in site().folder.config.attributes},
        "wrong": wrong or {},
        "once_more": once_more,
        "saved": now if saved else None,
        "left": now if left else None,
        "asked": asked,
        "barred": suppression.reason.value if suppression else "",
        "measuring": _measuring_wording(who) if _measuring(who) else "",
        "wording": _words(who).wording,
        "held": holdings.sums(session, person),
        "seal": seals.make(who.keys, "me", who.token, now),
    }
    language = person.language if not wrong else shown.language
    return page("preferences.html", who.shown, status=422 if wrong else 200, language=language, **values)


def _erase_page(who: Whose) -> Response:
    seal = seals.make(who.keys, "erase", who.token, site().now())
    return page(
        "erase.html",
        who.shown,
        language=who.person.language,
        address=who.person.address,
        token=who.token,
        canary=who.token,
        seal=seal,
    )
