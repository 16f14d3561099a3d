"""The latest issues of a publication as feeds: Atom (RFC 4287), RSS 2.0, JSON Feed 1.1.

Each issue is one entry with all its stories. An entry's id is the address of the issue's page, which never changes.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import json
from collections.abc import Mapping
from typing import Any

from lxml import etree

from newsletter.archive.catalogue import Catalogue, Entry
from newsletter.config import Publication
from newsletter.render.edition import seen

LATEST = 20
"""Issues in a feed."""
NAMES = {
    "feed.atom": "application/atom+xml",
    "feed.rss": "application/rss+xml",
    "feed.json": "application/feed+json",
}
"""Each feed's file, under the publication's address, and what it is."""

_ATOM = "http://www.w3.org/2005/Atom"
_CONTENT = "http://purl.org/rss/1.0/modules/content/"
_DC = "http://purl.org/dc/elements/1.1/"
_XML = "http://www.w3.org/XML/1998/namespace"


def latest(catalogue: Catalogue) -> tuple[Entry, ...]:
    """The issues that are in the feeds."""
    return catalogue.entries[:LATEST]


def feed(
    name: str, publication: Publication, catalogue: Catalogue, contents: Mapping[int, str], base_url: str
) -> bytes:
    """A feed by its file's name; `contents` is the HTML of each of `latest`, by its id."""
    home = f"{base_url}/{catalogue.slug}"
    made = {"feed.atom": _atom, "feed.rss": _rss, "feed.json": _json}[name]
    return made(publication, catalogue, contents, home, f"{home}/{name}")


def _updated(publication: Publication, catalogue: Catalogue) -> dt.datetime:
    """When a feed changed last; where it is empty, a day that doesn't change."""
    first = dt.datetime.combine(publication.cadence.anchor, dt.time(), dt.UTC)
    return max((entry.updated for entry in latest(catalogue)), default=first)


def _atom(
    publication: Publication, catalogue: Catalogue, contents: Mapping[int, str], home: str, address: str
) -> bytes:
    root = etree.Element(f"{{{_ATOM}}}feed", {f"{{{_XML}}}lang": publication.language}, {None: _ATOM})

    def add(parent: Any, name: str, text: str | None = None, **attributes: str) -> Any:
        made = etree.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
        made.text = text and seen(text)
        return made

    add(root, "title", publication.title)
    if publication.standfirst:
        add(root, "subtitle", publication.standfirst)
    add(root, "id", home)
    add(root, "link", rel="self", type=NAMES["feed.atom"], href=address)
    add(root, "link", rel="alternate", type="text/html", href=home)
    add(root, "updated", _updated(publication, catalogue).isoformat())
    add(add(root, "author"), "name", publication.publisher)
    for each in latest(catalogue):
        entry = add(root, "entry")
        add(entry, "title", each.title)
        add(entry, "id", each.url)
        add(entry, "link", rel="alternate", type="text/html", href=each.url)
        if each.pdf_url:
            add(entry, "link", rel="enclosure", type="application/pdf", href=each.pdf_url, length=str(each.paper_bytes))
        add(entry, "published", each.sent.isoformat())
        add(entry, "updated", each.updated.isoformat())
        if each.preheader:
            add(entry, "summary", each.preheader)
        add(entry, "content", contents.get(each.id, ""), type="html")
    return _written(root)


def _rss(publication: Publication, catalogue: Catalogue, contents: Mapping[int, str], home: str, address: str) -> bytes:
    root = etree.Element("rss", {"version": "2.0"}, {"atom": _ATOM, "content": _CONTENT, "dc": _DC})
    channel = etree.SubElement(root, "channel")

    def add(parent: Any, name: str, text: str | None = None, **attributes: str) -> Any:
        made = etree.SubElement(parent, name, attributes)
        made.text = text and seen(text)
        return made

    add(channel, "title", publication.title)
    add(channel, "link", home)
    add(channel, f"{{{_ATOM}}}link", rel="self", type=NAMES["feed.rss"], href=address)
    add(channel, "description", publication.standfirst or publication.title)
    add(channel, "language", publication.language)
    add(channel, "lastBuildDate", email.utils.format_datetime(_updated(publication, catalogue)))
    for each in latest(catalogue):
        item = add(channel, "item")
        add(item, "title", each.title)
        add(item, "link", each.url)
        add(item, "guid", each.url, isPermaLink="true")
        add(item, "pubDate", email.utils.format_datetime(each.sent))
        add(item, f"{{{_DC}}}creator", publication.publisher)
        if each.preheader:
            add(item, "description", each.preheader)
        add(item, f"{{{_CONTENT}}}encoded", contents.get(each.id, ""))
        if each.pdf_url:
            add(item, "enclosure", url=each.pdf_url, length=str(each.paper_bytes), type="application/pdf")
    return _written(root)


def _json(
    publication: Publication, catalogue: Catalogue, contents: Mapping[int, str], home: str, address: str
) -> bytes:
    items = []
    for each in latest(catalogue):
        item: dict[str, Any] = {
            "id": each.url,
            "url": each.url,
            "title": each.title,
            "content_html": contents.get(each.id, ""),
            "date_published": each.sent.isoformat(),
            "date_modified": each.updated.isoformat(),
            "language": publication.language,
        }
        if each.preheader:
            item["summary"] = each.preheader
        if each.picture:
            item["image"] = each.picture.url
        if each.pdf_url:
            item["attachments"] = [
                {"url": each.pdf_url, "mime_type": "application/pdf", "size_in_bytes": each.paper_bytes}
            ]
        items.append(item)
    made: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": publication.title,
        "home_page_url": home,
        "feed_url": address,
        "language": publication.language,
        "authors": [{"name": publication.publisher}],
        "items": items,
    }
    if publication.standfirst:
        made["description"] = publication.standfirst
    return json.dumps(made, ensure_ascii=False, indent=1).encode() + b"\n"


def _written(root: Any) -> bytes:
    written: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return written
