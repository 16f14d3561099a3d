"""What pages are made of, and an issue as one reader gets it: pictures, the style sheet, the reader's own copy."""

from __future__ import annotations

import re

from flask import Blueprint, Response, abort, send_file

from newsletter import compose, pictures
from newsletter.models import Issue, Picture, Subscriber
from newsletter.states import SubscriptionState
from newsletter.subscribers import standings
from newsletter.tokens import keys
from newsletter.web import icon as icons
from newsletter.web import safety
from newsletter.web.lost import lost
from newsletter.web.site import site

reading = Blueprint("reading", __name__)

FOR_EVER = 31_536_000
"""Seconds: for what is named by its content."""
DAY = 86_400


@reading.get("/look/<name>.css")
def style(name: str) -> Response:
    """The style sheet; one of an earlier version is gone."""
    here = site()
    if not here.style_path.endswith(f"/{name}.css"):
        abort(404)
    safety.public(FOR_EVER)
    return Response(here.style, mimetype="text/css")


@reading.get("/favicon.ico")
def icon() -> Response:
    """What a browser shows beside a page's name, in the colour of the first publication."""
    safety.public(DAY)
    publications = site().folder.config.publications.values()
    return Response(icons.icon(next(iter(publications)).theme.mark), mimetype="image/x-icon")


@reading.get("/pictures/<name>")
def picture(name: str) -> Response:
    """A picture of an issue, by the SHA-256 of its bytes."""
    sha256, _, extension = name.partition(".")
    with site().folder.reading() as session:
        row = session.get(Picture, sha256) if re.fullmatch("[0-9a-f]{64}", sha256) else None
    if row is None or row.extension != extension:
        abort(404)
    path = pictures.path(site().folder.pictures, row)
    if not path.is_file():
        abort(404)
    safety.public(FOR_EVER)
    response = send_file(path, conditional=True, max_age=FOR_EVER)
    # Mail programs that show mails on the web fetch it from there.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@reading.get("/view/<token>")
def view(token: str) -> Response:
    """An issue in the browser, as the reader of this very copy gets it."""
    now = site().now()
    folder = site().folder
    with folder.reading() as session:
        named = keys(session, now).read(token)
        found = session.get(Issue, named[0]) if named else None
        person = session.get(Subscriber, named[1]) if named else None
        if (
            found is None
            or person is None
            or person.address is None
            or found.publication not in folder.config.publications
        ):
            return lost(session)
        joined = [
            standing.joined
            for standing in standings(session, person)
            if standing.state is SubscriptionState.active and standing.joined
        ]
        composer = compose.for_issue(session, folder, found, now)
    reader = compose.Reader(
        person.id, person.address, person.name, dict(person.attributes), min(joined) if joined else None
    )
    # A mail has its styles in its tags: they are allowed here, and nothing else is.
    safety.allow("style-src 'unsafe-inline'")
    return Response(composer.html(reader), mimetype="text/html")
