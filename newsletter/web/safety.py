"""What holds for every answer: its headers, plain pages for what goes wrong, and a line in the log that gives no
reader away.
"""

from __future__ import annotations

import logging
import re

from flask import Flask, Request, Response, g, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from werkzeug.exceptions import HTTPException, NotFound

from newsletter.errors import Mistake
from newsletter.web import pages
from newsletter.web.site import site

log = logging.getLogger("newsletter.web")

POLICY = (
    "default-src 'none'",
    "style-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The address of a reader's page is the key to it: no other site is told it, not even ours.
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), browsing-topics=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SECRET = re.compile(r"[0-9a-f]{24,}|[A-Za-z0-9_.~=-]{40,}")


def guard(app: Flask) -> None:
    """Puts what holds for every answer in front of and behind all views."""
    app.after_request(_headers)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(DBAPIError, _away)
    app.register_error_handler(NoConnection, _away)
    app.register_error_handler(Mistake, _mistaken)
    app.register_error_handler(Exception, _fault)


def allow(*sources: str) -> None:
    """Lets this answer's page do more than the others may, by directives such as "style-src 'sha256-…'"."""
    g.allowed = (*getattr(g, "allowed", ()), *sources)


def public(seconds: int) -> None:
    """Lets this answer be kept by whoever fetched it: it holds nothing of a reader's."""
    g.kept_for = seconds


def shown_path(request: Request) -> str:
    """The path of a request without what is secret in it."""
    return _SECRET.sub("...", request.path)[:200].encode("ascii", "backslashreplace").decode()


def _headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    allowed = getattr(g, "allowed", ())
    names = {source.partition(" ")[0] for source in allowed}
    if "img-src" not in names:
        # Pictures are where base_url says, also while the pages are looked at on the machine itself.
        allowed = (*allowed, f"img-src 'self' {site().origin}")
    parts = [part for part in POLICY if part.partition(" ")[0] not in names]
    response.headers.setdefault("Content-Security-Policy", "; ".join([*parts, *allowed]))
    kept_for = getattr(g, "kept_for", None)
    if kept_for is not None and response.status_code in (200, 304):
        response.headers.setdefault("Cache-Control", f"public, max-age={kept_for}")
    else:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("X-Robots-Tag", "noindex, nofollow")
    if site().folder.config.base_url.startswith("https://"):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    # Nobody is known by a cookie here, so none is ever set, whatever a library may think.
    response.headers.remove("Set-Cookie")
    return response


def _refused(error: HTTPException) -> Response:
    code = error.code or 500
    if code >= 400:
        log.info("%s %s: %s %s", request.method, shown_path(request), code, error.name)
    response = pages.trouble(code if code in pages.TROUBLES else 400 if code < 500 else 500, code)
    if error.response is not None:
        response.headers.extend(error.response.headers)
    if code == 405 and (allowed := getattr(error, "valid_methods", None)):
        response.headers["Allow"] = ", ".join(sorted(allowed))
    if retry := getattr(error, "retry_after", None):
        response.headers["Retry-After"] = str(retry)
    return response


def _away(error: DBAPIError | NoConnection) -> Response:
    why = type(error.orig if isinstance(error, DBAPIError) else error).__name__
    log.warning("%s %s: the database can't be used: %s", request.method, shown_path(request), why)
    response = pages.trouble(503, 503)
    response.headers["Retry-After"] = "30"
    return response


def _mistaken(error: Mistake) -> Response:
    """A mistake of the admin's, in config.toml or a template: theirs to read, not the reader's."""
    log.error("%s %s: %s", request.method, shown_path(request), error)
    return pages.trouble(500, 500)


def _fault(error: Exception) -> Response:
    if isinstance(error, UnicodeError):
        return _refused(NotFound())
    log.error("%s %s failed", request.method, shown_path(request), exc_info=error)
    return pages.trouble(500, 500)
