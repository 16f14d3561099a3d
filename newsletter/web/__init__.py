"""What a browser asks: readers' pages. GET and HEAD change nothing, anywhere; no cookie is ever set."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from newsletter.folder import Folder
from newsletter.web import safety
from newsletter.web.site import Site, UnderPrefix

LARGEST = 64 * 1024
"""Octets of a form; the webhooks of providers may have more."""


def make(
    folder: Folder,
    clock: Callable[[], dt.datetime],
    wake: Callable[[], None] = lambda: None,
    *,
    static: bool = False,
) -> Flask:
    """The pages of a publication's folder, as a WSGI application.

    `wake` is called when something was queued that shouldn't wait for the next ring of the bell. With `static` they are
    as they are written into files.
    """
    from newsletter.web.archive import archive
    from newsletter.web.hooks import hooks
    from newsletter.web.leaving import leaving
    from newsletter.web.lost import lost_link
    from newsletter.web.measured import measured
    from newsletter.web.numbers import pages as numbers
    from newsletter.web.preferences import preferences
    from newsletter.web.reading import reading
    from newsletter.web.signup import signup
    from newsletter.web.work import work

    app = Flask("newsletter.web", static_folder=None, template_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST, MAX_FORM_MEMORY_SIZE=LARGEST, MAX_FORM_PARTS=200)
    site = Site.of(folder, clock, wake, static=static)
    app.extensions["newsletter"] = site
    safety.guard(app)
    for blueprint in (archive, hooks, leaving, lost_link, measured, numbers, preferences, reading, signup, work):
        app.register_blueprint(blueprint)
    app.wsgi_app = UnderPrefix(app.wsgi_app, site.prefix, folder.config.publications)  # type: ignore[method-assign]
    if folder.config.web.proxies:
        hops = folder.config.web.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0, x_prefix=0)  # type: ignore[method-assign]
    return app
