"""What readers see, in their language: GNU gettext catalogues, read from .po files as they are.

One more language is one more file in templates/translations/, named by its language tag. English is what the source
says; a sentence that a catalogue doesn't have stays English.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

SOURCE = "en"
"""The language of the sentences in templates and code."""


@functools.lru_cache(maxsize=32)
def catalogues(places: tuple[Path, ...]) -> dict[str, NullTranslations]:
    """Language: its words. The first of `places` that has a language's file has the say about that language.

    ValueError, with file and reason, for a file that can't be read.
    """
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import PoFileError, read_po

    found: dict[str, NullTranslations] = {SOURCE: NullTranslations()}
    for place in places:
        for path in sorted(place.glob("*.po")):
            language = path.stem
            if language in found:
                continue
            compiled = io.BytesIO()
            try:
                with path.open("rb") as file:
                    write_mo(compiled, read_po(file, locale=language.replace("-", "_"), abort_invalid=True))
            except (OSError, PoFileError, ValueError) as error:
                raise ValueError(f"{path}: {error}") from None
            compiled.seek(0)
            found[language] = GNUTranslations(compiled)
    return found


def best(wanted: Iterable[str], known: Iterable[str]) -> str | None:
    """The first of the `wanted` language tags that is among the `known`, or whose language is (RFC 4647 §3.4)."""
    there = {tag.lower(): tag for tag in known}
    for tag in wanted:
        parts = tag.lower().replace("_", "-").split("-")
        while parts:
            if found := there.get("-".join(parts)):
                return found
            parts.pop()
    return None


def name(language: str) -> str:
    """What a language calls itself: "English", "日本語"."""
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale.parse(language.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return language
    shown = locale.get_display_name(locale) or language
    return shown[:1].upper() + shown[1:]


def direction(language: str) -> str:
    """Which way a language is written: "ltr" or "rtl"."""
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(language.replace("-", "_")).text_direction
    except (UnknownLocaleError, ValueError):
        return "ltr"
