"""Signing up: the form, the same for other sites and programs, and the page behind the link in the letter.

What the pages answer is the same whether or not an address is known. A form that isn't sealed by us for this network
(another site's, an old one, a program's) is shown, filled in, with one more press to make; so a plain form on any site
leads here. Nothing is confirmed but by a button behind a letter's link, and not where a mail scanner may have pressed
it: there the page asks for one more press.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests

from newsletter import addresses, asks, cadence, signups, visits
from newsletter.archive.catalogue import SHOWN
from newsletter.config import Cadence, Publication
from newsletter.errors import CadenceMistake, SubscriberMistake
from newsletter.models import Issue, List
from newsletter.render.corrected import corrected
from newsletter.signups import Asked, Invitation, Wish
from newsletter.subscribers import NAME_LENGTH, one_line
from newsletter.tokens import Keys, keys
from newsletter.web import pages, seals, work
from newsletter.web.noting import client, noting
from newsletter.web.pages import page
from newsletter.web.site import site

signup = Blueprint("signup", __name__)

HONEY = "topic"
"""The field that no person sees. Not the name of anything that a browser would fill in by itself."""
JSON_SHARE = 0.25
"""The part of a network's limit that programs may use, since their asks carry no seal."""
TOO_SOON = dt.timedelta(seconds=5)
"""Nobody opens a letter and presses its button within this; a scanner does."""
SECOND_THOUGHT = dt.timedelta(seconds=2)
"""The second press counts when the page has stood for so long."""
_ANYBODY = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form."""

    address: str = ""
    name: str = ""
    lists: tuple[str, ...] = ()
    language: str = ""
    faults: dict[str, str] = field(default_factory=dict)
    """Field: what is wrong with it."""


@signup.get("/<slug>/subscribe")
def form(slug: str) -> Response:
    """The form, with this publication's lists ticked."""
    publication = _publication(slug)
    return _form(slug, Typed(lists=publication.lists))


@signup.post("/<slug>/subscribe")
def ask(slug: str) -> Response:
    """A letter to confirm, and "look into your inbox": the same page whatever is known of the address."""
    publication = _publication(slug)
    here, now, sent = site(), site().now(), request.form
    language = pages.spoken(publication, sent.get("language", "")[:16])
    typed = Typed(sent.get("address", "").strip(), sent.get("name", "").strip(), _ticked(sent), language)
    with here.folder.reading() as session:
        secrets = keys(session, now)
        offer = signups.offered(session)
        lately = asks.lately(session, request.remote_addr or "", now)
    if sent.get(HONEY):
        noting().ignored(slug, "form")
        return _look_into_your_inbox(slug, typed, offer)
    old = sent.get("seal", "")
    age = seals.age(secrets, old, "sign-up", _subject(slug), now)
    if age is None and "lists" not in sent:
        typed = Typed(typed.address, typed.name, publication.lists, language)
    if age is None or age.total_seconds() < here.folder.config.sign_up.least_seconds:
        return _form(slug, typed, once_more=True, seal=old if age is not None else "")
    if faults := _faults(typed, offer, publication):
        return _form(slug, Typed(typed.address, typed.name, typed.lists, language, faults), seal=old)
    limits = here.folder.config.sign_up
    if lately.full(limits):
        raise TooManyRequests(retry_after=3600)
    subject = f"{_subject(slug)} {addresses.address_key(typed.address)}"
    if work.looks_automatic(lately, limits) and not work.done(secrets, subject, now):
        return page(
            "work.html",
            slug,
            language=language,
            typed=typed,
            seal=old,
            work_seal=work.seal(secrets, subject, now),
            bits=work.BITS,
            script=work.script_path(),
        )
    wish = Wish(
        slug=slug,
        address=typed.address,
        name=typed.name,
        lists=typed.lists,
        language=language,
        wording=wording(publication, language),
        page=f"{here.folder.config.base_url}/{slug}/subscribe",
        client=request.remote_addr or "",
    )
    with here.folder.session() as session:
        if signups.ask(session, here.folder.config, wish, now) is Asked.full:
            raise TooManyRequests(retry_after=3600)
    here.wake()
    return _look_into_your_inbox(slug, typed, offer)


@signup.get("/<slug>/subscribe/snippet")
def snippet(slug: str) -> Response:
    """The form as it can be put into any page, and the address for programs."""
    publication = _publication(slug)
    with site().folder.reading() as session:
        offer = [row.slug for row in signups.offered(session)]
    lists = [name for name in publication.lists if name in offer]
    return page("snippet.html", slug, action=f"{site().folder.config.base_url}/{slug}/subscribe", lists=lists)


@signup.route("/<slug>/subscribe.json", methods=["OPTIONS"])
def preflight(slug: str) -> Response:
    """Any site's script may ask; nothing of a reader's is known by a browser here, so nothing can be taken."""
    _publication(slug)
    methods = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Content-Type"}
    return Response(status=204, headers={**_ANYBODY, **methods, "Access-Control-Max-Age": "86400"})


@signup.post("/<slug>/subscribe.json")
def ask_by_program(slug: str) -> Response:
    """The same for programs: {"address", "name", "lists"}. It is always confirmed by a letter."""
    publication = _publication(slug)
    here, now = site(), site().now()
    language = pages.spoken(publication)
    _ = pages.words(publication, language).gettext
    asked: Any = None
    with contextlib.suppress(RecursionError):
        asked = request.get_json(force=True, silent=True)
    if not isinstance(asked, dict):
        return _said({"errors": {"": _("Send a JSON object with an address.")}}, 422)
    lists = asked.get("lists", list(publication.lists))
    texts = {key: asked.get(key, "") for key in ("address", "name")}
    wrong = [key for key, value in texts.items() if not isinstance(value, str)]
    if not isinstance(lists, list) or not all(isinstance(each, str) for each in lists):
        wrong.append("lists")
    with here.folder.reading() as session:
        offer = signups.offered(session)
    faults = {key: _("This is not of the right type.") for key in wrong}
    if not wrong:
        typed = Typed(texts["address"], texts["name"], tuple(dict.fromkeys(lists)), language)
        faults = _faults(typed, offer, publication)
    if faults:
        return _said({"errors": faults}, 422)
    wish = Wish(
        slug=slug,
        address=typed.address,
        name=typed.name,
        lists=typed.lists,
        language=language,
        # What was shown there isn't known here; they agree to the words on the page behind the letter's link.
        wording=_("The subscription begins with this button, and ends whenever you like: by a link in every mail."),
        page=request.headers.get("Origin", "")[:200],
        client=request.remote_addr or "",
    )
    with here.folder.session() as session:
        outcome = signups.ask(session, here.folder.config, wish, now, at_once=False, share=JSON_SHARE)
    if outcome is Asked.full:
        answer = _said({"errors": {"": _("Too many have asked; try again in an hour.")}}, 429)
        answer.headers["Retry-After"] = "3600"
        return answer
    here.wake()
    return _said({"state": "asked"}, 202)


@signup.get("/confirm/<token>")
def confirm_page(token: str) -> Response:
    """What the letter's link would confirm, and the button. Opening it changes nothing."""
    here, now = site(), site().now()
    with here.folder.reading() as session:
        secrets = keys(session, now)
        number = secrets.read_letter(token)
        found = signups.look(session, here.folder.config, number, now) if number else None
    if found is None:
        return _lost()
    if found.used:
        return _confirmed(found, secrets, now)
    return _button(found, token, seals.make(secrets, "confirm", token, now))


@signup.post("/confirm/<token>")
def confirm(token: str) -> Response:
    """The button. Pressed twice it succeeds twice; where a scanner may have pressed it, it is to be pressed again."""
    here, now = site(), site().now()
    seal = request.form.get("seal", "")
    with here.folder.reading() as session:
        secrets = keys(session, now)
        number = secrets.read_letter(token)
        found = signups.look(session, here.folder.config, number, now) if number else None
        if found is None or number is None:
            return _lost()
        automatic = now - found.sent < TOO_SOON or visits.suspicious(
            session, visits.message_of_letter(secrets, number), client(secrets), now
        )
    if found.used:
        return _confirmed(found, secrets, now)
    first = seals.age(secrets, seal, "confirm", token, now)
    second = seals.age(secrets, seal, "confirm again", token, now)
    if first is None and second is None:
        return _button(found, token, seals.make(secrets, "confirm", token, now), once_more=True)
    waited = second is not None and second >= SECOND_THOUGHT and now - found.sent >= TOO_SOON
    if automatic and not waited:
        noting().ignored(found.slug, "button")
        return _button(found, token, seals.make(secrets, "confirm again", token, now), once_more=True)
    with here.folder.session() as session:
        found = signups.confirm(session, here.folder.config, number, request.remote_addr or "", now)
    return _confirmed(found, secrets, now) if found is not None else _lost()


def wording(publication: Publication, language: str) -> str:
    """What somebody agrees to who presses the button; kept with their consent."""
    return pages.words(publication, language).gettext(
        "We send you one mail with a link. Your subscription begins when you press the button on the page behind it. "
        "We keep your address, your name and these choices, and give them to nobody."
    )


def _publication(slug: str) -> Publication:
    publication = site().folder.config.publications.get(slug)
    if publication is None:
        abort(404)
    return publication


def _subject(slug: str) -> str:
    """What the form's seal is made for: so that one that was fetched here is of no use to machines elsewhere."""
    return f"{slug} {asks.network(request.remote_addr or '')}"


def _ticked(sent: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sent.getlist("lists")))


def _faults(typed: Typed, offer: Sequence[List], publication: Publication) -> dict[str, str]:
    """Field: what is wrong with it, in the reader's language."""
    _ = pages.words(publication, typed.language).gettext
    faults = {}
    try:
        addresses.checked(typed.address)
    except (SubscriberMistake, UnicodeError):
        faults["address"] = (
            _("Mail can’t go to this. An address looks like name@example.org.")
            if typed.address.strip()
            else _("Type the address that the mail is to go to.")
        )
    try:
        one_line(typed.name, "name")
    except SubscriberMistake:
        faults["name"] = _("A name is one line of at most %(count)s characters.") % {"count": NAME_LENGTH}
    if not typed.lists:
        faults["lists"] = _("Tick what you would like to get.")
    elif not set(typed.lists) <= {row.slug for row in offer}:
        faults["lists"] = _("One of these isn’t offered any more. Tick what you would like to get.")
    return faults


def _form(slug: str, typed: Typed, *, once_more: bool = False, seal: str = "") -> Response:
    publication = _publication(slug)
    here, now = site(), site().now()
    with here.folder.reading() as session:
        offer = sorted(signups.offered(session), key=lambda row: row.slug not in publication.lists)
        latest = _latest(session, slug)
        if not seal:
            seal = seals.make(keys(session, now), "sign-up", _subject(slug), now)
    if not offer:
        return page("nothing-offered.html", slug, language=typed.language)
    return page(
        "signup.html",
        slug,
        status=422 if typed.faults else 200,
        language=typed.language,
        typed=typed,
        offer=offer,
        latest=latest,
        sends=next_issue(publication.cadence, now),
        once_more=once_more,
        seal=seal,
        honey=HONEY,
        wording=wording(publication, typed.language),
    )


def _look_into_your_inbox(slug: str, typed: Typed, offer: Sequence[List]) -> Response:
    by_letter = {row.slug for row in offer if row.double_opt_in}
    confirmed = not typed.lists or bool(by_letter & set(typed.lists))
    return page("signed-up.html", slug, language=typed.language, address=typed.address, confirmed=confirmed)


def _button(found: Invitation, token: str, seal: str, *, once_more: bool = False) -> Response:
    return page(
        "confirm.html",
        found.slug,
        language=found.language,
        found=found,
        token=token,
        canary=token,
        seal=seal,
        once_more=once_more,
    )


def _confirmed(found: Invitation, secrets: Keys, now: dt.datetime) -> Response:
    if found.barred:
        return page("barred.html", found.slug, language=found.language, found=found)
    publication = _publication(found.slug)
    return page(
        "confirmed.html",
        found.slug,
        language=found.language,
        found=found,
        me=site().path("me", secrets.reader(0, found.subscriber)),
        sends=next_issue(publication.cadence, now),
    )


def _lost() -> Response:
    """For a link that is cut, forged, used up, too old: which of these it was isn't said."""
    publications = site().folder.config.publications
    return page(
        "confirm-lost.html",
        next(iter(publications)) if len(publications) == 1 else None,
        status=404,
        publications=publications,
    )


def _said(what: dict[str, Any], status: int) -> Response:
    answer = jsonify(what)
    answer.status_code = status
    answer.headers.update(_ANYBODY)
    return answer


def _latest(session: Session, slug: str) -> dict[str, Any] | None:
    """The newest issue that anyone may read: its number, date, headlines and first picture."""
    issue = session.scalar(
        select(Issue)
        .where(
            Issue.publication == slug,
            Issue.state.in_(SHOWN),
            Issue.volume.is_not(None),
            Issue.private.is_(False),
        )
        .order_by(Issue.volume.desc(), Issue.number.desc())
        .limit(1)
    )
    if issue is None:
        return None
    told = next((story for story in issue.stories if story.picture), None)
    picture = told.picture if told else None
    return {
        "volume": issue.volume,
        "number": issue.number,
        "date": issue.date,
        "headlines": [corrected(story, issue.corrections)[0] for story in issue.stories],
        "picture": picture and (site().path("pictures", f"{picture.sha256}.{picture.extension}"), picture),
        "alt": told.picture_alt if told else "",
    }


def next_issue(clock: Cadence, now: dt.datetime) -> dt.date | None:
    """The day of the next issue; None where the calendar has none."""
    return _day(clock, now.replace(minute=0, second=0, microsecond=0))


@functools.lru_cache(maxsize=256)
def _day(clock: Cadence, hour: dt.datetime) -> dt.date | None:
    try:
        return next((slot.date for slot in cadence.upcoming(clock, hour) if slot.sends >= hour), None)
    except CadenceMistake:
        return None
