"""Whose page it is: a token, read; and that a page was looked at, noted, so that scanners show themselves."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from flask import request
from sqlalchemy.orm import Session

from newsletter import visits
from newsletter.models import Issue, Subscriber
from newsletter.states import HitKind
from newsletter.tokens import Keys, keys
from newsletter.visits import Came
from newsletter.web import seals
from newsletter.web.noting import client, noting
from newsletter.web.seals import Press
from newsletter.web.site import site

LINKS = {"leave": -1, "me": -2}
"""A reader's own pages, as visits to them are told apart from each other; links of an issue count from 1."""


@dataclass(frozen=True, slots=True)
class Whose:
    """What a reader's token leads to."""

    token: str
    keys: Keys
    person: Subscriber
    issue: Issue | None
    """The issue that the link was in, where it was in one."""
    slug: str
    """Its publication; empty for a link that is for all of them, as is one whose publication is no more."""

    @property
    def shown(self) -> str | None:
        """The publication in whose name the page is."""
        return self.slug or None


def whose(session: Session, token: str, *, changing: bool = False) -> Whose | None:
    """Whose token it is; None where it is nobody's, or its reader was erased.

    A link in an issue of a publication that isn't there any more, or has another name now, is one for all of them:
    a link to leave by works for ever. With changing=True nobody else changes or erases them until this transaction has
    ended.
    """
    secrets = keys(session, site().now())
    named = secrets.read(token)
    if named is None:
        return None
    number, subscriber = named
    person = session.get(Subscriber, subscriber, with_for_update={"key_share": True} if changing else None)
    issue = session.get(Issue, number) if number else None
    if person is None or person.address is None or (number and issue is None):
        return None
    slug = issue.publication if issue is not None else ""
    if slug not in site().folder.config.publications:
        slug = ""
    return Whose(token, secrets, person, issue, slug)


def note(who: Whose, what: str) -> None:
    """Notes that one of a reader's own pages was looked at. Nothing of theirs is changed by it, or counted."""
    came = visits.came(request.method, request.headers, HitKind.page)
    if came is Came.unwatched:
        return
    number = who.issue.id if who.issue is not None else 0
    message = visits.message(who.keys, number, who.person.id)
    kind = HitKind.canary if came is Came.program else HitKind.page
    hit = visits.hit(kind, message, client(who.keys), site().now(), issue=number or None, link=LINKS[what])
    noting().hit(hit)


def suspicious(session: Session, who: Whose) -> bool:
    """Whether a button on a page of theirs may have been pressed by a program."""
    message = visits.message(who.keys, who.issue.id if who.issue is not None else 0, who.person.id)
    return visits.suspicious(session, message, client(who.keys), site().now())


def press(session: Session, who: Whose, form: str, now: dt.datetime) -> Press:
    """What the press of a button on one of their pages is worth; one that a program may have made is counted."""
    given = request.form.get("seal", "")
    made = seals.press(who.keys, given, form, who.token, now, automatic=suspicious(session, who))
    if made is Press.automatic:
        noting().ignored(who.slug, "button")
    return made
