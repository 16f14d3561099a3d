"""Web addresses as every mail program understands them."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import idna

SCHEMES = ("https", "http", "mailto", "tel")


def absolute(url: str) -> str | None:
    """An address to link to, its host in ASCII (RFC 3490: mail programs and premailer know no other).

    None where it isn't whole, or where its scheme leads elsewhere than to a page, a mailbox or a telephone.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in SCHEMES:
        return None
    if parts.scheme in ("mailto", "tel"):
        return url
    if not parts.hostname:
        return None
    user, at, host = parts.netloc.rpartition("@")
    if not host.isascii():
        name, colon, port = host.partition(":")
        try:
            host = idna.encode(name, uts46=True).decode() + colon + port
        except idna.IDNAError:
            return None
    return urlunsplit((parts.scheme, user + at + host, parts.path, parts.query, parts.fragment))


def host(url: str) -> str:
    """What a reader is told of where a link leads: the host without www, in its own letters."""
    name = urlsplit(url).hostname or ""
    try:
        return idna.decode(name.removeprefix("www."))
    except idna.IDNAError:
        return name.removeprefix("www.")
