"""Leaving: by one click from a mail program (RFC 8058), or by the button on the page behind the link.

A POST of a mail program is honoured at once, from anywhere, with no seal, no cookie and no redirect, as often as it
comes, and answered 200 also for a token that is nobody's: so the answer tells nobody who is subscribed. It is
answered when it is on disk. GET and HEAD show a page and change nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import cast

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import departures
from newsletter.models import Delivery, Issue, List, Subscription
from newsletter.states import DeliveryState, LeftBy, SubscriptionState
from newsletter.tokens import Keys, keys
from newsletter.web import reader, safety, seals
from newsletter.web.lost import lost
from newsletter.web.one_click import OneClick
from newsletter.web.pages import page
from newsletter.web.reader import Whose
from newsletter.web.seals import Press
from newsletter.web.site import Site, site

leaving = Blueprint("leaving", __name__)
log = logging.getLogger("newsletter.web")

_ONE_CLICK = re.compile(rb"list-unsubscribe\b.{0,200}?\bone-click\b", re.IGNORECASE | re.DOTALL)
KEYS_FOR = dt.timedelta(minutes=1)
"""For so long the keys are kept in memory: one that is forgotten by an admin works no longer than this."""


class _Doors:
    """What one-click requests share: the queue to the disk, and the keys, so that they aren't read for each."""

    def __init__(self, here: Site) -> None:
        self.one_click = OneClick(here.folder, here.clock)
        self._keys: tuple[dt.datetime, Keys] | None = None

    def keys(self) -> Keys:
        now = site().now()
        if self._keys is None or not dt.timedelta() <= now - self._keys[0] < KEYS_FOR:
            with site().folder.reading() as session:
                self._keys = now, keys(session, now)
        return self._keys[1]


@leaving.record
def _begin(state: BlueprintSetupState) -> None:
    state.app.extensions["newsletter doors"] = _Doors(cast("Site", state.app.extensions["newsletter"]))


@leaving.get("/leave/<token>")
def ask(token: str) -> Response:
    """The page with the button; or, where they have left, the page that says so."""
    with site().folder.reading() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost(session)
        reader.note(who, "leave")
        return _page(session, who)


@leaving.post("/leave/<token>")
def leave(token: str) -> Response:
    """One click of a mail program, or the button of our page."""
    if _is_one_click():
        return _one_click(token)
    now = site().now()
    with site().folder.reading() as session:
        who = reader.whose(session, token)
        if who is None:
            return lost(session)
        press = reader.press(session, who, "leave", now)
        if press is not Press.counts:
            return _page(session, who, once_more=press is Press.automatic)
    with site().folder.session() as session:
        who = reader.whose(session, token, changing=True)
        if who is None:
            return lost(session)
        number = who.issue.id if who.issue is not None else None
        departures.leave(session, site().folder.config, who.person, who.slug, number, LeftBy.page, now)
        return _page(session, who)


@leaving.post("/leave/<token>/undo")
def undo(token: str) -> Response:
    """They take it back: the lists that this departure took them off."""
    now = site().now()
    with site().folder.session() as session:
        who = reader.whose(session, token, changing=True)
        if who is None:
            return lost(session)
        press = reader.press(session, who, "left", now)
        if press is not Press.counts:
            return _page(session, who, once_more=press is Press.automatic)
        departures.undo(session, who.person, who.slug, now)
        return _page(session, who, back=bool(_theirs(session, who)))


@leaving.post("/leave/<token>/reason")
def reason(token: str) -> Response:
    """Why they left, where they care to say."""
    now = site().now()
    with site().folder.session() as session:
        who = reader.whose(session, token, changing=True)
        if who is None:
            return lost(session)
        said = request.form.get("reason", "").strip()
        press = seals.press(who.keys, request.form.get("seal", ""), "left", token, now, automatic=False)
        thanks = (
            bool(said) and press is Press.counts and departures.say_why(session, who.person.id, who.slug, said, now)
        )
        return _page(session, who, thanks=thanks, typed="" if thanks else said[: departures.LONGEST])


def _is_one_click() -> bool:
    """Whether the body holds what RFC 8058 §3.1 has a mail program send.

    It is looked for in the octets as they came, whatever they are said to be: a multipart body without its boundary,
    or a form with octets that are no UTF-8, is read as an empty form. A reader who is told 200 has left.
    """
    if _ONE_CLICK.search(request.get_data(cache=True)):
        return True
    return request.form.get("List-Unsubscribe", "").strip().lower() == "one-click"


def _one_click(token: str) -> Response:
    doors = cast("_Doors", current_app.extensions["newsletter doors"])
    named = doors.keys().read(token)
    if named is None:
        log.info("POST %s: one-click with a token that isn't ours", safety.shown_path(request))
    else:
        doors.one_click.leave(*named)
    return Response("Unsubscribed.\n", mimetype="text/plain")


def _theirs(session: Session, who: Whose) -> list[tuple[str, Subscription]]:
    """Title and subscription of the lists that this link is about, and that they haven't left."""
    query = (
        select(List.title, Subscription)
        .join(Subscription, Subscription.list_id == List.id)
        .where(
            Subscription.subscriber_id == who.person.id,
            Subscription.state != SubscriptionState.unsubscribed,
            List.retired.is_(None),
        )
        .order_by(List.title)
    )
    if who.slug:
        query = query.where(List.slug.in_(site().folder.config.publications[who.slug].lists))
    return [(title, row) for title, row in session.execute(query)]


def _page(
    session: Session, who: Whose, *, once_more: bool = False, back: bool = False, thanks: bool = False, typed: str = ""
) -> Response:
    """The page to leave by, or that they have left, as it is now."""
    now = site().now()
    address = who.person.address
    staying = _theirs(session, who)
    if staying and not back:
        return page(
            "leave.html",
            who.shown,
            language=who.person.language,
            address=address,
            token=who.token,
            canary=who.token,
            lists=[title for title, _ in staying],
            seal=seals.make(who.keys, "leave again" if once_more else "leave", who.token, now),
            once_more=once_more,
        )
    gone = departures.latest(session, who.person.id, who.slug)
    return page(
        "back.html" if back else "left.html",
        who.shown,
        language=who.person.language,
        address=address,
        token=who.token,
        canary=who.token,
        once_more=once_more,
        since=gone.at if gone else None,
        undoable=gone is not None and now - gone.at <= departures.UNDO,
        last=_last_issue(session, who),
        reason_wanted=gone is not None and not gone.reason and now - gone.at <= departures.REASON,
        longest=departures.LONGEST,
        thanks=thanks,
        typed=typed,
        seal=seals.make(who.keys, "left again" if once_more else "left", who.token, now),
    )


def _last_issue(session: Session, who: Whose) -> Issue | None:
    """The last issue of theirs that a relay took."""
    if not who.slug:
        return None
    lately = (
        select(Issue.id)
        .where(Issue.publication == who.slug, Issue.started.is_not(None))
        .order_by(Issue.started.desc())
        .limit(10)
    )
    return session.scalar(
        select(Issue)
        .join(Delivery, Delivery.issue_id == Issue.id)
        .where(
            Delivery.issue_id.in_(session.scalars(lately).all()),
            Delivery.subscriber_id == who.person.id,
            Delivery.state == DeliveryState.sent,
        )
        .order_by(Issue.started.desc())
        .limit(1)
    )
