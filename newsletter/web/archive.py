"""The archive: a publication's issues, one issue, search, feeds, and what programs look for.

All of it is public, and the same for everyone; only a private issue needs its key. An answer has its ETag, and who has
it already is told so.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, abort, redirect, request
from sqlalchemy.orm import Session

from newsletter.archive import catalogue as catalogues
from newsletter.archive import citation, directory, feeds, search
from newsletter.archive.catalogue import SHOWN, Catalogue, Entry
from newsletter.models import Issue
from newsletter.states import RenditionKind
from newsletter.tokens import keys
from newsletter.web import pages, safety
from newsletter.web.pages import page, text
from newsletter.web.site import site

archive = Blueprint("archive", __name__)

IN_FRONT = 7
"""Issues that the front page lists under the latest one, at the least; a volume page lists all."""
FOUND = 10
"""Stories on a page of what was found."""
MINUTE, FIVE_MINUTES = 60, 300
"""Seconds that others may keep an answer."""
_STYLE = re.compile(rb"<style[^>]*>(.*?)</style>", re.DOTALL)
_NEIGHBOURS = b"<!--neighbours-->"
_VOLUME = "/<slug>/<int(max=99999):volume>"
_ISSUE = _VOLUME + "/<int(max=99999):number>"


@dataclass(frozen=True, slots=True)
class Shown:
    """A volume, as the front page shows it."""

    number: int
    entries: Sequence[Entry]
    """Those that are listed; the others are on the volume's own page."""
    count: int
    years: str
    rest: tuple[Entry, Entry] | None
    """The newest and the oldest of the others."""


@archive.get("/")
def front() -> Response:
    """The publications; straight to the only one."""
    publications = site().folder.config.publications
    if len(publications) == 1 and not site().static:
        return redirect(site().path(next(iter(publications))), 302)  # type: ignore[return-value]
    return page("front.html", None, publications=publications)


@archive.get("/<slug>")
def issues(slug: str) -> Response:
    """A publication's front page: its latest issue, the others by volume, and a way to subscribe."""
    with site().folder.reading() as session:
        now = _catalogue(session, slug)

        def made(language: str) -> str:
            pages_of_it = catalogues.pages(session, now.entries[0]) if now.entries else None
            shown = list(_volumes(now))
            return text("issues.html", slug, language, latest=now.entries[:1], volumes=shown, pages=pages_of_it)

        safety.public(MINUTE)
        return _kept(_page(now, made, "front"))


@archive.get(_VOLUME)
def volume(slug: str, volume: int) -> Response:
    """All issues of a volume."""
    with site().folder.reading() as session:
        now = _catalogue(session, slug)
    entries = [entry for entry in now.entries if entry.volume == volume]
    if not entries:
        abort(404)
    safety.public(FIVE_MINUTES)
    volumes = list(now.volumes)
    at = volumes.index(volume)
    before, after = [*volumes[at + 1 :], None][0], volumes[at - 1] if at else None

    def made(language: str) -> str:
        years = _years(entries)
        return text(
            "volume.html", slug, language, volume=volume, entries=entries, years=years, before=before, after=after
        )

    return _kept(_page(now, made, "volume", volume))


@archive.get(_ISSUE)
def issue(slug: str, volume: int, number: int) -> Response:
    """An issue's page: to the byte as it was rendered, but for the mark where its neighbours are named."""
    with site().folder.reading() as session:
        now = _catalogue(session, slug)
        entry = now.find(volume, number) or abort(404)
        if entry.number != number:
            # Files can't redirect: there a page leads on.
            if site().static:
                return page("moved.html", slug, entry=entry)
            return redirect(site().path(slug, volume, entry.number), 301)  # type: ignore[return-value]
        content = catalogues.content(session, entry.id, RenditionKind.page)
    if content is None:
        abort(404)
    if _NEIGHBOURS in content:
        content = content.replace(_NEIGHBOURS, neighbours(now, entry).encode())
    before, after = now.neighbours(entry)
    safety.public(FIVE_MINUTES)
    return _kept(_styled(content), max(each.updated for each in (entry, before, after) if each))


def neighbours(now: Catalogue, entry: Entry) -> str:
    """The issues before and after one, in the language of the page that they are named on, whoever asks."""
    before, after = now.neighbours(entry)
    language = site().folder.config.publications[now.slug].language
    return text("neighbours.html", now.slug, language, before=before, after=after)


@archive.get(_ISSUE + ".pdf")
def paper(slug: str, volume: int, number: int) -> Response:
    """An issue's PDF, to the byte as it was rendered."""
    with site().folder.reading() as session:
        entry = _entry(_catalogue(session, slug), volume, number)
        content = catalogues.content(session, entry.id, RenditionKind.pdf)
    if content is None:
        abort(404)
    safety.public(FIVE_MINUTES)
    return _kept(_paper(content, f"{slug}-{volume}.{number}"), entry.updated)


@archive.get(_ISSUE + ".<any(bib, ris):form>")
def reference(slug: str, volume: int, number: int, form: str) -> Response:
    """An issue for programs that keep references."""
    with site().folder.reading() as session:
        entry = _entry(_catalogue(session, slug), volume, number)
    publication = site().folder.config.publications[slug]
    text = citation.bibtex(publication, slug, entry) if form == "bib" else citation.ris(publication, entry)
    mimetype = "application/x-bibtex" if form == "bib" else "application/x-research-info-systems"
    safety.public(FIVE_MINUTES)
    response = Response(text, content_type=f"{mimetype}; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{slug}-{volume}.{number}.{form}"'
    return _kept(response, entry.updated)


@archive.get("/<slug>/private/<key>")
def private(slug: str, key: str) -> Response:
    """A private issue's page, for who has its link. Nobody is told about its neighbours, or they of it."""
    content = _private(slug, key, RenditionKind.page)
    return _styled(content.replace(_NEIGHBOURS, b""))


@archive.get("/<slug>/private/<key>.pdf")
def private_paper(slug: str, key: str) -> Response:
    """A private issue's PDF, likewise."""
    return _paper(_private(slug, key, RenditionKind.pdf), slug)


@archive.get("/<slug>/search")
def find(slug: str) -> Response:
    """The stories that hold all words of `q`, the best first."""
    query = request.args.get("q", "").strip()[: search.LONGEST_QUERY]
    number = request.args.get("page", 1, type=int)
    _there(slug)
    if site().static:
        return page("search.html", slug, query="", found=(), count=0, number=1, last=1)
    with site().folder.reading() as session:
        found = site().shelf.find(session, slug, query) if query else []
        last = max(1, -(-len(found) // FOUND))
        number = min(max(number, 1), last)
        shown = found[(number - 1) * FOUND : number * FOUND]
        known = dict(catalogues.texts(session, site().folder, list({place.entry.id for place in shown})))
    told = [
        (
            place,
            search.marked(place.told.headline, query),
            search.excerpt(known[place.entry.id].get(place.told.anchor, ""), query),
        )
        for place in shown
    ]
    safety.public(MINUTE)
    return page("search.html", slug, query=query, found=told, count=len(found), number=number, last=last)


@archive.get("/<slug>/")
@archive.get(_VOLUME + "/")
@archive.get(_ISSUE + "/")
@archive.get("/<slug>/search/")
def slashed(slug: str, **_: object) -> Response:
    """An address with a slash behind it, as many write them: the page is at the one without."""
    _there(slug)
    query = request.query_string.decode("latin-1")
    address = site().prefix + request.path.rstrip("/") + (f"?{query}" if query else "")
    return redirect(address, 301)  # type: ignore[return-value]


@archive.get("/<slug>/<any('feed.atom', 'feed.rss', 'feed.json'):name>")
def feed(slug: str, name: str) -> Response:
    """The latest issues, for feed readers."""
    with site().folder.reading() as session:
        now = _catalogue(session, slug)
        config = site().folder.config

        def made() -> bytes:
            contents = dict(catalogues.entries_html(session, [entry.id for entry in feeds.latest(now)]))
            return feeds.feed(name, config.publications[slug], now, contents, config.base_url)

        content = site().shelf.answer((name, slug), now.stamp, made)
    safety.public(FIVE_MINUTES)
    response = Response(content, content_type=f"{feeds.NAMES[name]}; charset=utf-8")
    # Readers in a browser fetch feeds from wherever they are.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return _kept(response)


@archive.get("/sitemap.xml")
def sitemap() -> Response:
    """Every page that lasts."""
    with site().folder.reading() as session:
        known = [site().shelf.catalogue(session, slug) for slug in site().folder.config.publications]

    def made() -> bytes:
        return directory.sitemap(known, site().folder.config.base_url)

    content = site().shelf.answer(("sitemap.xml",), tuple(each.stamp for each in known), made)
    safety.public(FIVE_MINUTES)
    return _kept(Response(content, mimetype="application/xml"))


@archive.get("/robots.txt")
def robots() -> Response:
    safety.public(FIVE_MINUTES)
    return _kept(Response(directory.robots(site().folder.config.base_url, site().prefix), mimetype="text/plain"))


def _there(slug: str) -> None:
    if slug not in site().folder.config.publications:
        abort(404)


def _catalogue(session: Session, slug: str) -> Catalogue:
    _there(slug)
    return site().shelf.catalogue(session, slug)


def _entry(now: Catalogue, volume: int, number: int) -> Entry:
    entry = now.find(volume, number)
    return entry if entry is not None and entry.number == number else abort(404)


def _private(slug: str, key: str, kind: RenditionKind) -> bytes:
    """A rendition of a private issue; whatever is wrong with the key, the answer is the same."""
    with site().folder.reading() as session:
        number = keys(session, site().now()).read_issue(key)
        row = session.get(Issue, number) if number is not None else None
        if row is None or row.publication != slug or not row.private or row.state not in SHOWN:
            abort(404)
        return catalogues.content(session, row.id, kind) or abort(404)


def _volumes(now: Catalogue) -> Iterator[Shown]:
    """The newest volume is listed; where that has few issues yet, the one before it too."""
    room = IN_FRONT
    for number, entries in now.volumes.items():
        # The latest stands over the list.
        others = [entry for entry in entries if entry is not now.entries[0]]
        listed, rest = others[:room], others[room:]
        room -= len(listed)
        yield Shown(number, listed, len(entries), _years(entries), (rest[0], rest[-1]) if rest else None)


def _page(now: Catalogue, make: Callable[[str], str], *what: object) -> Response:
    """A page of the archive in the language of who asks; made once in each, for as long as nothing changes."""
    language = pages.spoken(site().folder.config.publications[now.slug])
    content = site().shelf.answer((now.slug, language, *what), now.stamp, lambda: make(language).encode())
    return pages.said(content, language)


def _years(entries: Sequence[Entry]) -> str:
    first, last = entries[-1].date.year, entries[0].date.year
    return str(first) if first == last else f"{first}–{last}"


def _styled(content: bytes) -> Response:
    """A page that has its style in it: nothing else may style it."""
    digests = [base64.b64encode(hashlib.sha256(style).digest()).decode() for style in _STYLE.findall(content)]
    safety.allow("style-src " + " ".join(f"'sha256-{digest}'" for digest in digests))
    return Response(content, mimetype="text/html")


def _paper(content: bytes, name: str) -> Response:
    response = Response(content, mimetype="application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="{name}.pdf"'
    return response


def _kept(response: Response, changed: dt.datetime | None = None) -> Response:
    """The answer with what lets others keep it; a short one for who has it already.

    A list has no time at which it changed: an issue of long ago may have been taken in, one of today called off.
    """
    response.add_etag()
    if changed is not None:
        response.last_modified = changed
    response.make_conditional(request)
    return response
