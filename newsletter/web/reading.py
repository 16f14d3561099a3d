"""What is there to read: an issue as one reader gets it, an issue's page, pictures, the style sheet."""

from __future__ import annotations

import base64
import hashlib
import re

from flask import Blueprint, Response, abort, redirect, send_file
from sqlalchemy import select

from newsletter import compose, pictures
from newsletter.models import Issue, Picture, Rendition, Subscriber
from newsletter.states import IssueState, RenditionKind, SubscriptionState
from newsletter.subscribers import standings
from newsletter.tokens import keys
from newsletter.web import safety
from newsletter.web.lost import lost
from newsletter.web.pages import page
from newsletter.web.site import site

reading = Blueprint("reading", __name__)

FOR_EVER = 31_536_000
"""Seconds: for what is named by its content."""
SHOWN = (IssueState.sending, IssueState.paused, IssueState.sent)
"""The states of an issue that anyone may read on the web."""
_STYLE = re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL)


@reading.get("/look/<name>.css")
def style(name: str) -> Response:
    """The style sheet; one of an earlier version is gone."""
    here = site()
    if not here.style_path.endswith(f"/{name}.css"):
        abort(404)
    safety.public(FOR_EVER)
    return Response(here.style, mimetype="text/css")


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


@reading.get("/")
def front() -> Response:
    """The publications; straight to the only one."""
    publications = site().folder.config.publications
    if len(publications) == 1:
        return redirect(site().path(next(iter(publications))), 302)  # type: ignore[return-value]
    return page("front.html", None, publications=publications)


@reading.get("/<slug>")
def issues(slug: str) -> Response:
    """A publication's issues, newest first."""
    if slug not in site().folder.config.publications:
        abort(404)
    with site().folder.reading() as session:
        found = session.scalars(
            select(Issue)
            .where(Issue.publication == slug, Issue.state.in_(SHOWN), Issue.volume.is_not(None))
            .order_by(Issue.volume.desc(), Issue.number.desc())
        ).all()
        shown = [(issue, [story.headline for story in issue.stories]) for issue in found]
    safety.public(60)
    return page("issues.html", slug, issues=shown)


@reading.get("/<slug>/<int(max=99999):volume>/<int(max=99999):number>")
def issue(slug: str, volume: int, number: int) -> Response:
    """An issue's page, to the byte as it was rendered."""
    if slug not in site().folder.config.publications:
        abort(404)
    content = _rendition(slug, volume, number, RenditionKind.page)
    if content is None:
        abort(404)
    # The page has its style in it, and nothing else may style it.
    digests = [base64.b64encode(hashlib.sha256(style).digest()).decode() for style in _STYLE.findall(content)]
    safety.allow("style-src " + " ".join(f"'sha256-{digest}'" for digest in digests))
    safety.public(300)
    return Response(content, mimetype="text/html")


@reading.get("/<slug>/<int(max=99999):volume>/<int(max=99999):number>.pdf")
def paper(slug: str, volume: int, number: int) -> Response:
    """An issue's PDF, to the byte as it was rendered."""
    if slug not in site().folder.config.publications:
        abort(404)
    content = _rendition(slug, volume, number, RenditionKind.pdf)
    if content is None:
        abort(404)
    safety.public(300)
    response = Response(content, mimetype="application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="{slug}-{volume}.{number}.pdf"'
    return response


def _rendition(slug: str, volume: int, number: int, kind: RenditionKind) -> bytes | None:
    """What is kept of an issue that anyone may read."""
    with site().folder.reading() as session:
        return session.scalar(
            select(Rendition.content)
            .join(Issue, Issue.id == Rendition.issue_id)
            .where(
                Issue.publication == slug,
                Issue.volume == volume,
                Issue.number == number,
                Issue.state.in_(SHOWN),
                Rendition.kind == kind,
            )
        )


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
