"""Where measured links, the picture of one pixel and the canary lead; and what anyone may know of what was ignored.

A link leads where the frozen issue says, whatever the token: an unknown issue or number is a plain page, and no address
of a request is ever led to. Nothing is set in the browser, and the page that is reached isn't told where from.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections import OrderedDict
from dataclasses import dataclass
from typing import cast

from flask import Blueprint, Response, abort, current_app, request
from flask.blueprints import BlueprintSetupState
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.urls import iri_to_uri

from newsletter import measuring, visits
from newsletter.models import Ignored, Issue, Rendition
from newsletter.states import HitKind, RenditionKind
from newsletter.tokens import Keys, Mark, keys
from newsletter.visits import Came
from newsletter.web.noting import Noting, client, noting
from newsletter.web.pages import page
from newsletter.web.site import Site, site

measured = Blueprint("measured", __name__)

KEPT = 64
"""Issues whose links are kept in memory."""
PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


@dataclass(frozen=True, slots=True)
class Sent:
    """What is to be known of an issue that went out."""

    slug: str
    started: dt.datetime
    links: tuple[str, ...]


class Issues:
    """The links of issues, read once from their frozen renditions."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Sent] = OrderedDict()

    def get(self, issue: int) -> Sent | None:
        """An issue that went out, or is going out; before that it may be rendered anew, and nobody has its links."""
        found = self._kept.get(issue)
        if found is None:
            with site().folder.reading() as session:
                row = session.execute(
                    select(Issue.publication, Issue.started, Rendition.content)
                    .join(Rendition, Rendition.issue_id == Issue.id)
                    .where(Issue.id == issue, Issue.started.is_not(None), Rendition.kind == RenditionKind.html)
                ).one_or_none()
            if row is None:
                return None
            found = Sent(row.publication, row.started, measuring.links(row.content.decode()))
            self._kept[issue] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found


@measured.record
def _begin(state: BlueprintSetupState) -> None:
    here = cast("Site", state.app.extensions["newsletter"])
    state.app.extensions["newsletter visits"] = Noting(here.folder)
    state.app.extensions["newsletter issues"] = Issues()


@measured.get("/to/<int:link>/<token>")
def to(link: int, token: str) -> Response:
    """A measured link: 302 to where the issue links to."""
    secrets = _keys()
    mark = secrets.read_mark(token)
    issue = None if mark is None else _issues().get(mark.issue)
    if mark is None or issue is None or not 1 <= link <= len(issue.links):
        abort(404)
    _count(secrets, token, mark, issue, HitKind.click, link)
    response = Response(b"", 302, content_type="text/plain; charset=utf-8")
    # An address of ASCII, as a header has it (RFC 9110 §10.2.2); it has no control character, or it were no link.
    response.headers["Location"] = iri_to_uri(issue.links[link - 1])
    response.autocorrect_location_header = False
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@measured.get("/seen/<token>")
def seen(token: str) -> Response:
    """The picture of one pixel; the same for a token that isn't ours."""
    secrets = _keys()
    mark = secrets.read_mark(token)
    issue = None if mark is None else _issues().get(mark.issue)
    if mark is not None and issue is not None:
        _count(secrets, token, mark, issue, HitKind.open, None)
    response = Response(PIXEL, mimetype="image/gif")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@measured.get("/canary/<token>")
def canary(token: str) -> Response:
    """The link that no person sees. Whoever follows it is a program; it is told so, and nothing more."""
    secrets = _keys()
    if (found := visits.message_of(secrets, token)) is not None:
        message, issue = found
        noting().hit(visits.hit(HitKind.canary, message, client(secrets), site().now(), issue=issue))
    words = "No person comes here. This link shows which programs follow every link, so that none is counted.\n"
    return Response(words, mimetype="text/plain")


@measured.get("/<slug>/scanners")
def scanners(slug: str) -> Response:
    """What was ignored, for anyone to see; and what our links do and don't do."""
    here = site()
    if slug not in here.folder.config.publications:
        abort(404)
    month = here.now().date().replace(day=1)
    with here.folder.reading() as session:
        ever = _sums(session, slug, None)
        lately = _sums(session, slug, month)
    return page(
        "scanners.html",
        slug,
        ever=sum(ever.values()),
        lately=sum(lately.values()),
        kinds=[(what, lately.get(what, 0), ever[what]) for what in sorted(ever, key=lambda what: -ever[what])],
        month=month,
    )


def _sums(session: Session, slug: str, since: dt.date | None) -> dict[str, int]:
    query = select(Ignored.what, func.sum(Ignored.times)).where(Ignored.publication.in_((slug, "")))
    if since is not None:
        query = query.where(Ignored.day >= since)
    return {what: int(times) for what, times in session.execute(query.group_by(Ignored.what))}


def _keys() -> Keys:
    with site().folder.reading() as session:
        return keys(session, site().now())


def _issues() -> Issues:
    return cast("Issues", current_app.extensions["newsletter issues"])


def _count(secrets: Keys, token: str, mark: Mark, issue: Sent, what: HitKind, link: int | None) -> None:
    """Notes an open or a click, where that is measured, and where the reader doesn't ask not to be."""
    here = site()
    publication = here.folder.config.publications.get(issue.slug)
    if publication is None or here.now() >= issue.started + visits.MEASURED_FOR:
        return
    if not (publication.measure_opens if what is HitKind.open else publication.measure_clicks):
        return
    came = visits.came(request.method, request.headers, what)
    found = visits.message_of(secrets, token)
    if came is Came.unwatched or found is None:
        return
    message, _ = found
    if came is not Came.person:
        noting().ignored(issue.slug, what.value)
    if came is Came.program:
        noting().hit(visits.hit(HitKind.canary, message, client(secrets), here.now(), issue=mark.issue))
    if came is Came.person:
        who = mark.subscriber if publication.measure_readers else None
        noting().hit(
            visits.hit(what, message, client(secrets), here.now(), issue=mark.issue, link=link, subscriber=who)
        )
