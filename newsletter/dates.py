"""Dates as they are written out for readers."""

from __future__ import annotations

import datetime as dt
import functools


@functools.lru_cache(maxsize=4096)
def long_date(date: dt.date, language: str) -> str:
    """A date as it is written out in a language: "November 14, 2023", "2023年11月14日"."""
    from babel import Locale, UnknownLocaleError
    from babel.dates import format_date

    try:
        locale = Locale.parse(language.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        locale = Locale("en")
    return format_date(date, "long", locale=locale)
