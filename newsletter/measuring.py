"""How a mail is changed where a publication measures, and how little of its reader is in that.

Off by default; then a mail has no picture to measure by and no link that leads through us, and its bytes are the
same as if this module weren't there. Where it is on:

    https://…/to/3/TOKEN      in place of the third link; the text part keeps its links as they are
    https://…/seen/TOKEN      a picture of one pixel
    https://…/canary/TOKEN    a link that no person sees: who follows it is a scanner

To count how many readers followed a link, and not only how often, two visits must be known to come from one message.
So the token has a mark. What is the least that a mark can say? A number of the reader, or a hash of it, would do; but
whoever has the database has the key of that hash too, and can make the hash of every reader and compare. So a mark is
made with a key that exists only in the memory of the process that composes the issue, and is written down nowhere.
When that process ends nobody can ever tell whose a mark was; we couldn't if we were asked to. A message that is
composed again by another process has another mark, and only one of them arrives.

A reader who agreed to be measured by name (`Subscriber.measured`) gets a token that says who they are instead. It is
not the token of their own pages: whoever forwards a link hands out no key.

Which link a number means is read from the frozen rendition, so a link leads where the issue said, or nowhere: there
is no way to write one that leads elsewhere. Not led through us are links to our own pages (the ones to leave by among
them; RFC 8058's is in the headers, untouched), to the publication's privacy page, to mailboxes and telephones, links
with a reader's values in them, and those whose words are an address themselves: to say one address and to lead to
another is what fraud does, and spam filters look for it.
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from html import escape, unescape
from urllib.parse import urlsplit

from newsletter import fields
from newsletter.config import Publication, dns_name
from newsletter.tokens import Keys

_LINK = re.compile(r'(<a\b[^<>]*?\shref=")([^"<>]*)("[^<>]*>)(.*?)(?=</a>)', re.DOTALL | re.IGNORECASE)
_TAGS = re.compile(r"<[^<>]*>")
_ADDRESS = re.compile(r"\s*(https?://|www\.)", re.IGNORECASE)
_END = re.compile(r"</body>", re.IGNORECASE)
_TOKEN = f"\x02{fields.MARK}\x03"


def links(html: str) -> tuple[str, ...]:
    """The web addresses that a rendition links to, each once, in the order of the text; the first is number 1.

    It depends on nothing but the rendition, so a number means the same for ever.
    """
    found = (unescape(each[2]) for each in _LINK.finditer(html))
    return tuple(dict.fromkeys(url for url in found if _leads_out(url)))


def measured(html: str, publication: Publication, base_url: str) -> str:
    """The framed HTML of a mail with what `publication` measures in it: as it was, where it measures nothing."""
    if publication.measure_clicks:
        numbers = {url: number for number, url in enumerate(links(html), 1)}

        def through_us(found: re.Match[str]) -> str:
            url = unescape(found[2])
            if url not in numbers or _left_alone(url, found[4], publication, base_url):
                return found[0]
            return f"{found[1]}{escape(base_url)}/to/{numbers[url]}/{_TOKEN}{found[3]}{found[4]}"

        html = _LINK.sub(through_us, html)
    added = ""
    if publication.measure_clicks or publication.measure_opens:
        added += (
            f'<a href="{escape(base_url)}/canary/{_TOKEN}" aria-hidden="true" tabindex="-1"'
            ' style="display:none;mso-hide:all"></a>'
        )
    if publication.measure_opens:
        added += (
            f'<img src="{escape(base_url)}/seen/{_TOKEN}" width="1" height="1" alt=""'
            ' style="display:block;border:0;width:1px;height:1px">'
        )
    if not added:
        return html
    ends = list(_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + added + html[at:]


class Marks:
    """The tokens of one issue's measured links, as long as this process composes it."""

    def __init__(self, keys: Keys, issue: int, *, by_name: bool) -> None:
        """`by_name`: whether readers who agreed to it are measured by name here."""
        self._keys = keys
        self._issue = issue
        self._by_name = by_name
        self._secret = secrets.token_bytes(32)

    def of(self, subscriber: int, *, agreed: bool) -> str:
        """The token in the links of one reader's copy."""
        if agreed and self._by_name and subscriber:
            return self._keys.measured(self._issue, subscriber)
        mark = blake2b(subscriber.to_bytes(8, "big"), key=self._secret, digest_size=8).digest()
        return self._keys.mark(self._issue, mark)


def _leads_out(url: str) -> bool:
    if "\x02" in url or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _left_alone(url: str, words: str, publication: Publication, base_url: str) -> bool:
    if _ADDRESS.match(unescape(_TAGS.sub("", words))):
        return True
    if publication.privacy_url and _same_place(url, publication.privacy_url):
        return True
    ours, theirs = urlsplit(base_url), urlsplit(url)
    path = ours.path.rstrip("/")
    return _host(ours.hostname) == _host(theirs.hostname) and (
        theirs.path.rstrip("/") == path or theirs.path.startswith(path + "/")
    )


def _same_place(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (_host(a.hostname), a.path.rstrip("/")) == (_host(b.hostname), b.path.rstrip("/"))


def _host(name: str | None) -> str:
    try:
        return dns_name(name or "")
    except ValueError:
        return name or ""
