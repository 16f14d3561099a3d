"""What every page needs: the folder, the clock, the words of each language, and where the pages lie."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from gettext import NullTranslations
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flask import current_app

from newsletter import translations
from newsletter.config import Publication
from newsletter.errors import WebMistake
from newsletter.folder import Folder
from newsletter.theme_settings import Theme
from newsletter.tokens import keys
from newsletter.web.shelf import Shelf

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STYLES = ("tokens.css", "reader.css", "numbers.css")
"""The style sheets of readers' pages, in their order; served as one."""
_ON_PAGES = ("mark", "mark_dark", "link", "link_dark", "text", "labels")
"""What readers' pages take of a publication's theme."""


@dataclass(frozen=True)
class Site:
    """Made once, when the pages begin to be served."""

    folder: Folder
    clock: Callable[[], dt.datetime]
    wake: Callable[[], None]
    origin: str
    """The scheme and host of base_url."""
    prefix: str
    """The path of base_url, in front of every path of ours: "" or "/news"."""
    words: dict[str, NullTranslations]
    """Language: its words."""
    style: bytes
    style_path: str
    """Where the style sheet is; its name changes with its content, so that it may be kept for ever."""
    places: tuple[Path, ...]
    """Where templates are looked for: in the folder first, then in what comes with the program."""
    shelf: Shelf
    """The archive, as far as it is known already."""
    static: bool = False
    """Whether the pages are written as files: nothing in them may need an answer of ours, but for forms."""

    @classmethod
    def of(
        cls, folder: Folder, clock: Callable[[], dt.datetime], wake: Callable[[], None], *, static: bool = False
    ) -> Site:
        """The site of a folder. WebMistake for a translation that can't be read."""
        with folder.session() as session:
            # Made now where there are none: no page that is only looked at has to write.
            keys(session, clock())
        places = folder.template_places
        try:
            words = translations.catalogues(tuple(place / "translations" for place in places))
        except ValueError as error:
            raise WebMistake(f"a translation can't be read: {error}") from None
        sheets = [folder.template(f"web/{name}").read_text(encoding="utf-8") for name in STYLES]
        style = "".join((*sheets, *_themed(folder.config.publications))).encode()
        digest = hashlib.sha256(style).hexdigest()[:16]
        base = urlsplit(folder.config.base_url)
        prefix = base.path.rstrip("/")
        return cls(
            folder=folder,
            clock=clock,
            wake=wake,
            origin=f"{base.scheme}://{base.netloc}",
            prefix=prefix,
            words=words,
            style=style,
            style_path=f"{prefix}/look/{digest}.css",
            places=places,
            shelf=Shelf(folder),
            static=static,
        )

    def now(self) -> dt.datetime:
        """The time by which everything in this request is done."""
        return self.clock()

    def path(self, *parts: object) -> str:
        """A path of ours, for links and forms, from its parts."""
        return "/".join((self.prefix, *map(str, parts)))


def site() -> Site:
    """The site that this request is for."""
    return cast("Site", current_app.extensions["newsletter"])


def _themed(publications: Mapping[str, Publication]) -> Iterator[str]:
    """The colours and typefaces of publications that have their own, for the pages that are about them."""
    usual = Theme()
    for slug, publication in publications.items():
        theme = publication.theme
        light = {
            "mark": theme.mark,
            "link": theme.link,
            "serif": theme.text_stack,
            "sans": theme.labels_stack_on_pages,
        }
        dark = {"mark": theme.mark_dark, "link": theme.link_dark}
        if all(getattr(theme, name) == getattr(usual, name) for name in _ON_PAGES):
            continue
        pages = f'[data-publication="{slug}"]'
        yield f"{pages} {{ {_tokens(light)} }}\n"
        yield f"@media (prefers-color-scheme: dark) {{ {pages} {{ {_tokens(dark)} }} }}\n"


def _tokens(values: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in values.items())


class UnderPrefix:
    """Takes the path of base_url off, for a web server in front that passes it on; where we send a reader has it."""

    def __init__(self, app: WSGIApplication, prefix: str, slugs: Container[str]) -> None:
        self._app = app
        self._prefix = prefix
        # One that is called like a publication may be that publication's page, of a server that takes the path off.
        self._front = "" if prefix.removeprefix("/") in slugs else prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if self._prefix:
            environ["SCRIPT_NAME"] = self._prefix
            if path == self._front or path.startswith(self._prefix + "/"):
                environ["PATH_INFO"] = path[len(self._prefix) :] or "/"
        return self._app(environ, start_response)
