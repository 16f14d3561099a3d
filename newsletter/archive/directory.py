"""What programs look for first: sitemap.xml (sitemaps.org, 0.9) and robots.txt (RFC 9309)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from lxml import etree

from newsletter.archive.catalogue import Catalogue

_SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
MOST = 50_000
"""Addresses that a sitemap may have."""


def sitemap(catalogues: Iterable[Catalogue], base_url: str) -> bytes:
    """Every page of the archives that lasts, with the day on which it changed last."""
    root = etree.Element(f"{{{_SITEMAP}}}urlset", nsmap={None: _SITEMAP})

    def add(address: str, changed: dt.datetime | None) -> None:
        if len(root) >= MOST:
            return
        url = etree.SubElement(root, f"{{{_SITEMAP}}}url")
        etree.SubElement(url, f"{{{_SITEMAP}}}loc").text = address
        if changed:
            etree.SubElement(url, f"{{{_SITEMAP}}}lastmod").text = changed.isoformat()

    for catalogue in catalogues:
        home = f"{base_url}/{catalogue.slug}"
        add(home, catalogue.updated)
        for volume, entries in catalogue.volumes.items():
            add(f"{home}/{volume}", max(entry.updated for entry in entries))
        for entry in catalogue.entries:
            add(entry.url, entry.updated)
    written: Any = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return bytes(written)


def robots(base_url: str, prefix: str) -> bytes:
    """Nothing of a reader's is for programs that gather pages. A search says of itself that it isn't."""
    # Most honour only a robots.txt at the root of a host; under a prefix it is for the admin to copy.
    closed = "".join(f"Disallow: {prefix}/{each}/\n" for each in ("leave", "me", "view", "confirm", "numbers", "m"))
    return f"User-agent: *\n{closed}\nSitemap: {base_url}/sitemap.xml\n".encode()
