"""Pages: a template of templates/web/, in the reader's language."""

from __future__ import annotations

import datetime as dt
import functools
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from flask import Response, request
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape

from newsletter import translations
from newsletter.config import Publication, zone
from newsletter.dates import long_date
from newsletter.web.site import Site, site

TROUBLES = (400, 403, 404, 405, 413, 429, 500, 503)
"""The status codes that have words of their own."""


def page(template: str, slug: str | None, *, status: int = 200, language: str = "", **values: Any) -> Response:
    """A page of the publication `slug`; None where it is about none of them, or all.

    `language` is the reader's own, where they have said one. Templates know: publication (or None), slug, language,
    languages, path(…), style, wordings of dates (date, moment), and `values`.
    """
    publications = site().folder.config.publications
    if slug is None and len(publications) == 1:
        slug = next(iter(publications))
    chosen = spoken(publications[slug] if slug else None, language)
    return said(text(template, slug, chosen, **values), chosen, status)


def said(content: str | bytes, language: str, status: int = 200) -> Response:
    """A page that is in one of several languages, by what its reader's browser asked for."""
    response = Response(content, status, mimetype="text/html")
    response.headers["Content-Language"] = language
    response.headers["Vary"] = "Accept-Language"
    return response


def text(template: str, slug: str | None, language: str, **values: Any) -> str:
    """A template of pages in a language, or in English where there is no such one; see `page`."""
    here = site()
    publications = here.folder.config.publications
    publication = publications[slug] if slug else None
    chosen = translations.best([language, translations.SOURCE], here.words) or translations.SOURCE
    environment = _environment(here.places, chosen, here.words[chosen])
    return environment.get_template(template).render(
        publication=publication,
        slug=slug,
        language=chosen,
        direction=translations.direction(chosen),
        languages={tag: translations.name(tag) for tag in here.words},
        path=here.path,
        style=here.style_path,
        static=here.static,
        base_url=here.folder.config.base_url,
        date=functools.partial(_date, language=chosen, publication=publication),
        moment=functools.partial(_moment, language=chosen, publication=publication),
        imprint=(publication or next(iter(publications.values()))).postal_address,
        publisher=(publication or next(iter(publications.values()))).publisher,
        **values,
    )


def numbered(slug: str, language: str, entry: Any) -> tuple[str, str]:
    """The number and the date of an issue, as pages in this language show them."""
    chosen = translations.best([language, translations.SOURCE], site().words) or translations.SOURCE
    spoken_words = site().words[chosen]
    label = spoken_words.gettext("Vol %(volume)s · No %(number)s") % {"volume": entry.volume, "number": entry.numbers}
    publication = site().folder.config.publications[slug]
    return label, _date(entry.date, language=chosen, publication=publication)


def trouble(status: int, code: int) -> Response:
    """The plain page for what went wrong: `status` says which words, `code` is the HTTP status. Asks no database."""
    return page("trouble.html", None, status=code, trouble=status)


def spoken(publication: Publication | None, language: str = "") -> str:
    """The language of this answer: the one asked for in the address (?in=ja), the reader's own, their browser's, the
    publication's.
    """
    known = site().words
    asked = [request.args.get("in", "")[:16], language, *(tag for tag, _ in request.accept_languages)]
    fallback = publication.language if publication else ""
    return translations.best([*filter(None, asked), fallback or translations.SOURCE], known) or translations.SOURCE


def words(publication: Publication | None, language: str = "") -> NullTranslations:
    """The words of this answer's language, for sentences that are made in code."""
    return site().words[spoken(publication, language)]


@functools.lru_cache(maxsize=64)
def _environment(places: tuple[Path, ...], language: str, words: NullTranslations) -> Environment:
    del language
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(place / "web") for place in places]),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    return environment


def _zone(publication: Publication | None, here: Site) -> dt.tzinfo:
    return zone((publication or next(iter(here.folder.config.publications.values()))).cadence.zone)


def _date(value: dt.datetime | dt.date, *, language: str, publication: Publication | None) -> str:
    """A day as it is written out, on the publication's calendar."""
    if isinstance(value, dt.datetime):
        value = value.astimezone(_zone(publication, site())).date()
    return long_date(value, language)


def _moment(value: dt.datetime, *, language: str, publication: Publication | None) -> str:
    """A time of day with minutes, on the publication's clock: "10:24 EST"."""
    from babel.dates import format_time

    local = value.astimezone(_zone(publication, site()))
    # The zone as people there call it; most languages have no word for another's, and show "-0500".
    return f"{format_time(local, 'HH:mm', tzinfo=local.tzinfo, locale=language.replace('-', '_'))} {local.tzname()}"
