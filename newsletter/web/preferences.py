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

from newsletter import (
    address_change,
    addresses,
    departures,
    erasure,
    holdings,
    own_page,
    suppressions,
    visits,
)
from newsletter.address_change import Pressed
from newsletter.config import Publication, zone
from newsletter.errors import SubscriberMistake
from newsletter.own_page import Choice, Choices, Words
from newsletter.signups import Asked
from newsletter.states import LeftBy
from newsletter.tokens import keys
from newsletter.web import pages, reader, seals
from newsletter.web.lost import lost
from newsletter.web.noting import client, noting
from newsletter.web.pages import page
from newsletter.web.reader import Whose
from newsletter.web.seals import Press
from newsletter.web.signup import TOO_SOON, next_issue
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
            return lost(session)
        reader.note(who, "me")
        return _page(session, who)


@preferences.post("/me/<token>")
def save(token: str) -> Response:
    """Save: all of it, or nothing and what is wrong with it."""
    here, now = site(), site().now()
    with here.folder.session() as session:
        who = reader.whose(session, token, changing=True)
        if who is None:
            return lost(session)
        # What wasn't on the page when it was opened isn't left for not being ticked.
        there = set(request.form.getlist("shown"))
        offered = tuple(choice for choice in own_page.choices(session, who.person) if choice.slug in there)
        typed = _typed(who, offered)
        if (press := reader.press(session, who, "me", now)) is not Press.counts:
            return _page(session, who, typed=typed, once_more=press)
        wrong = _faults(who, typed)
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
        who = reader.whose(session, token, changing=True)
        if who is None:
            return lost(session)
        if (press := reader.press(session, who, "me", now)) is not Press.counts:
            return _page(session, who, once_more=press)
        number = who.issue.id if who.issue else None
        departures.leave(session, site().folder.config, who.person, "", number, LeftBy.preferences, now)
        return _page(session, who, left=True)


@preferences.get("/me/<token>/data")
def data(token: str) -> Response:
    """All that is held about them, to keep."""
    with site().folder.reading() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost(session)
        held = holdings.everything(session, site().folder.config, who.person, site().now())
    response = Response(msgspec.json.format(msgspec.json.encode(held), indent=2), mimetype="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="what-we-hold.json"'
    return response


@preferences.get("/me/<token>/erase")
def ask_to_erase(token: str) -> Response:
    """Asks once more."""
    with site().folder.reading() as session:
        who = reader.whose(session, token)
        return _erase_page(who) if who is not None else lost(session)


@preferences.post("/me/<token>/erase")
def erase(token: str) -> Response:
    """Everything about them is erased."""
    here, now = site(), site().now()
    with here.folder.session() as session:
        who = reader.whose(session, token, changing=True)
        if who is None:
            return lost(session)
        if (press := reader.press(session, who, "erase", now)) is not Press.counts:
            return _erase_page(who, once_more=press)
        language, slug = who.person.language, who.shown
        erasure.erase(session, here.folder, who.person, LeftBy.preferences, now)
    erasure.scrub(here.folder.engine)
    return page("erased.html", slug, language=language)


@preferences.get("/address/<token>")
def new_address(token: str) -> Response:
    """The page behind the link that was mailed to a new address, or to the old one to take it back."""
    with site().folder.reading() as session:
        return _address_page(session, token)


def _address_page(session: Session, token: str, once_more: Press | None = None) -> Response:
    now = site().now()
    secrets = keys(session, now)
    number = secrets.read_letter(token)
    move = address_change.look(session, number, now) if number else None
    if move is None or move.slug not in site().folder.config.publications:
        return lost(session)
    return page(
        "address.html",
        move.slug,
        language=move.language,
        move=move,
        token=token,
        canary=token,
        seal=seals.make(secrets, "address again" if once_more is Press.automatic else "address", token, now),
        once_more=once_more is not None,
        me=secrets.reader(0, move.subscriber) if move.used else None,
    )


@preferences.post("/address/<token>")
def change_address(token: str) -> Response:
    """The button there. Where a mail scanner may have pressed it, it is to be pressed again."""
    here, now = site(), site().now()
    with here.folder.reading() as session:
        secrets = keys(session, now)
        number = secrets.read_letter(token)
        move = address_change.look(session, number, now) if number else None
        if number is None or move is None or move.used or move.slug not in here.folder.config.publications:
            return _address_page(session, token)
        too_soon = now - move.sent < TOO_SOON
        automatic = too_soon or visits.suspicious(
            session, visits.message_of_letter(secrets, number), client(secrets), now
        )
        given = request.form.get("seal", "")
        press = seals.press(secrets, given, "address", token, now, automatic=automatic)
        if too_soon and press is Press.counts:
            press = Press.automatic
        if press is Press.automatic:
            noting().ignored(move.slug, "button")
        if press is not Press.counts:
            return _address_page(session, token, press)
    _ = pages.words(here.folder.config.publications[move.slug], move.language).gettext
    pressed = Pressed(_("Yes, send it here"), f"{here.folder.config.base_url}/address", request.remote_addr or "")
    with here.folder.session() as session:
        address_change.do(session, here.folder.config, number, pressed, now)
        done = _address_page(session, token)
    here.wake()
    return done


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
        {key: sent.get(f"attribute-{key}", "")[:LONG] for key in site().folder.config.own_attributes},
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
        # A break that is over isn't one that they could save again.
        person.paused_until if person.paused_until and person.paused_until > _today(who) else None,
        person.measured is not None,
    )


def _today(who: Whose) -> dt.date:
    return site().now().astimezone(zone(_publication(who).cadence.zone)).date()


def _faults(who: Whose, typed: Choices) -> dict[str, str]:
    """Field: what is wrong with it, in the language of the page that says so."""
    _ = pages.words(_publication(who), typed.language).gettext
    words = {
        "line": _("This is one line of letters, digits and signs, and not too long."),
        "past": _("Choose a day that is still to come; or leave it empty."),
        "far": _("A break can have a year at the most. If it is to be longer, unsubscribe and come back."),
    }
    found = own_page.faults(site().folder.config, who.person, typed, _today(who))
    wrong = {field: words[kind] for field, kind in found.items()}
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
    slug = who.slug or own_page.publication_of(session, site().folder.config, who.person)
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
    """Whether they are asked if they may be measured; who once agreed always can take it back."""
    publications = site().folder.config.publications
    those = [publications[who.slug]] if who.slug else list(publications.values())
    return who.person.measured is not None or any(each.measure_readers for each in those)


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
    once_more: Press | None = None,
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
        "typed_address": request.form["address"][:320] if typed and "address" in request.form else person.address,
        "offered": sorted(offered, key=lambda choice: choice.slug not in _publication(who).lists),
        "shown": shown,
        "until": "" if shown.paused_until in (None, dt.date.min) else str(shown.paused_until),
        "attributes": site().folder.config.own_attributes,
        "labels": {key: key.replace("_", " ").capitalize() for key in site().folder.config.own_attributes},
        "wrong": wrong or {},
        "once_more": once_more.value if once_more else "",
        "next": _next_issues(now),
        "saved": now if saved else None,
        "left": now if left else None,
        "asked": asked,
        "barred": suppression.reason.value if suppression else "",
        "measuring": _measuring_wording(who) if _measuring(who) else "",
        "wording": _words(who).wording,
        "held": holdings.sums(session, person),
        "seal": seals.make(who.keys, "me again" if once_more is Press.automatic else "me", who.token, now),
    }
    language = person.language if not wrong else shown.language
    return page("preferences.html", who.shown, status=422 if wrong else 200, language=language, **values)


def _next_issues(now: dt.datetime) -> dict[str, dt.date]:
    """List: the day of the next issue that goes to it."""
    found: dict[str, dt.date] = {}
    for publication in site().folder.config.publications.values():
        if (day := next_issue(publication.cadence, now)) is not None:
            for slug in publication.lists:
                found[slug] = min(day, found.get(slug, day))
    return found


def _erase_page(who: Whose, once_more: Press | None = None) -> Response:
    form = "erase again" if once_more is Press.automatic else "erase"
    seal = seals.make(who.keys, form, who.token, site().now())
    return page(
        "erase.html",
        who.shown,
        language=who.person.language,
        address=who.person.address,
        token=who.token,
        canary=who.token,
        once_more=once_more is not None,
        seal=seal,
    )
