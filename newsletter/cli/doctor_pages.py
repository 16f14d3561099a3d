"""What newsletter doctor --pages looks at: the pages, from outside, as mail programs and readers reach them."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from newsletter.dns_records import Finding, Level
from newsletter.folder import Folder

NOBODY = "0" * 36
"""A token that is nobody's: what is asked with it changes nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a web server said."""

    status: int
    location: str
    cookie: bool
    ours: bool
    """Whether it bears the policy that our pages have."""


def check(folder: Folder, seconds: float) -> Iterator[Finding]:
    """Asks at base_url for a page that is nobody's, and has nobody leave as a mail program would (RFC 8058).

    `seconds` is how long each answer may take.
    """
    about = "pages"
    base = folder.config.base_url
    try:
        seen = _ask("GET", f"{base}/leave/{NOBODY}", seconds)
        left = _ask("POST", f"{base}/leave/{NOBODY}", seconds)
    except ssl.SSLCertVerificationError as error:
        yield Finding(
            Level.wrong,
            about,
            f"the certificate at {base} isn't good: {error.verify_message}",
            "Mail programs won't unsubscribe anyone there. Renew it, or name the host that it is for in base_url.",
        )
        return
    except (OSError, http.client.HTTPException) as error:
        yield Finding(
            Level.wrong,
            about,
            f"nothing answers at {base}: {error}",
            "Start newsletter run, and the web server in front of it.",
        )
        return
    if not seen.ours:
        yield Finding(
            Level.wrong,
            about,
            f"something answers at {base}, with {seen.status}, and it isn't our pages",
            "Have the web server pass every path below base_url on to [web] host and port.",
        )
        return
    yield Finding(Level.ok, about, f"{base} shows readers' pages")
    about = "one-click"
    if left.status == 200 and not left.cookie:
        yield Finding(Level.ok, about, "a mail program's POST to unsubscribe is answered at once (RFC 8058)")
    else:
        what = f"sent on to {left.location}" if left.location else f"answered with {left.status}"
        yield Finding(
            Level.wrong,
            about,
            f"a mail program's POST to unsubscribe is {what}{' and a cookie' if left.cookie else ''}",
            "RFC 8058 lets no mail program follow; have the web server pass POST requests on as they are.",
        )


def _ask(method: str, url: str, seconds: float) -> Answer:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=seconds)
    try:
        body = b"List-Unsubscribe=One-Click" if method == "POST" else None
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        connection.request(method, parts.path, body, headers)
        answer = connection.getresponse()
        answer.read(65536)
        return Answer(
            answer.status,
            answer.headers.get("Location", ""),
            "Set-Cookie" in answer.headers,
            "frame-ancestors 'none'" in answer.headers.get("Content-Security-Policy", ""),
        )
    finally:
        connection.close()
