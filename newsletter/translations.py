"""What readers see, in their language: GNU gettext catalogues, read from .po files as they are.

One more language is one more file in templates/translations/, named by its language tag. English is what the source
says. A folder's own file goes before the one that comes with the program, which fills in what that doesn't have; what
neither has stays English.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

SOURCE = "en"
"""The language of the sentences in templates and code."""
_AS_WRITTEN = NullTranslations()


def catalogues(places: tuple[Path, ...]) -> dict[str, NullTranslations]:
    """Language: its words. Of each sentence, those of the first of `places` that has it.

    A file that has changed is read again. ValueError, with file and reason, for one that can't be read.
    """
    files = []
    for place in places:
        for path in sorted(place.glob("*.po")):
            found = path.stat()
            files.append((path, found.st_mtime_ns, found.st_size))
    return _read(tuple(files))


def sentences(words: NullTranslations) -> dict[str, str]:
    """Every sentence that has no plural, and what it is in these words; empty for the source's own."""
    return words.sentences() if isinstance(words, _Words) else {}


class _Words(GNUTranslations):
    """A catalogue that can be listed."""

    _catalog: dict[str | tuple[str, int], str]

    def sentences(self) -> dict[str, str]:
        within = self._fallback  # type: ignore[attr-defined]
        more = within.sentences() if isinstance(within, _Words) else {}
        return more | {key: text for key, text in self._catalog.items() if isinstance(key, str) and key}


@functools.lru_cache(maxsize=32)
def _read(files: tuple[tuple[Path, int, int], ...]) -> dict[str, NullTranslations]:
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import PoFileError, read_po

    found: dict[str, NullTranslations] = {}
    for path, _, _ in files:
        language = path.stem
        compiled = io.BytesIO()
        try:
            with path.open("rb") as file:
                write_mo(compiled, read_po(file, locale=language.replace("-", "_"), abort_invalid=True))
        except (OSError, PoFileError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None
        compiled.seek(0)
        if language in found:
            found[language].add_fallback(_Words(compiled))
        else:
            found[language] = _Words(compiled)
    return {SOURCE: _AS_WRITTEN} | found


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
