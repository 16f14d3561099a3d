"""What a typesetter sees to: quotation marks, dashes, and that a sum isn't parted from its unit."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt

_QUOTES = {
    "cs": "„“‚‘",
    "da": "„“‚‘",
    "de": "„“‚‘",
    "es": "«»“”",
    "et": "„“‚‘",
    "fi": "””’’",
    "hu": "„”»«",
    "it": "«»“”",
    "ja": "「」『』",
    "nb": "«»‘’",
    "nn": "«»‘’",
    "no": "«»‘’",
    "pl": "„”«»",
    "pt": "«»“”",
    "pt-br": "“”‘’",
    "ru": "«»„“",
    "sk": "„“‚‘",
    "sl": "„“‚‘",
    "sv": "””’’",
    "uk": "«»„“",
    "zh-tw": "「」『』",
    "de-ch": "«»‹›",
    "el": "«»“”",
    "fa": "«»‹›",
    "ro": "„”«»",
    "hr": "„“‚‘",
}
# With the narrow space that French puts inside them.
_FRENCH = ["«\u202f", "\u202f»", "‹\u202f", "\u202f›"]

_UNIT = (
    r"(?:thousand|million|billion|trillion|percent|per\s?cent|Millionen|Milliarden?|Mio\.|Mrd\.|Prozent|millions?"
    r"|milliards?|millones|bn|tn|km²?|k?m²|kg|GW|MW|kW|GWh|MWh|kWh|°C|°F|%|€)(?![\w²])"
)
_SUM = re.compile(rf"(\d) (?={_UNIT})")
_UNITS = re.compile(r"((?:[$€£¥₩₹]|US\$|USD|EUR|JPY|Vol\.?|No\.?|Nr\.?|p\.|pp\.|§)) (?=\d)")
_CJK = "\u2e80-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff"
_JOINED = re.compile(rf"[{_CJK}]$"), re.compile(rf"^[{_CJK}]")


def quotes(language: str) -> str | Sequence[str]:
    """The quotation marks of a language, outer and inner, as markdown-it takes them; English where unknown."""
    code = language.lower()
    if code.split("-")[0] == "fr":
        return _FRENCH
    return _QUOTES.get(code) or _QUOTES.get(code.split("-")[0], "“”‘’")


def kept_together(text: str) -> str:
    """The text with no-break spaces between a figure and its unit, a sign and its figure."""
    return _UNITS.sub("\\1\u00a0", _SUM.sub("\\1\u00a0", text)) if any(map(str.isdigit, text)) else text


def spaceless(before: str, after: str) -> bool:
    """Whether two lines join without a space: both sides are Chinese or Japanese."""
    return bool(_JOINED[0].search(before) and _JOINED[1].search(after))


@functools.lru_cache(maxsize=16)
def _setter(language: str) -> MarkdownIt:
    options = {"typographer": True, "quotes": quotes(language)}
    return MarkdownIt("zero", options).enable(["replacements", "smartquotes"])


def typeset(text: str, language: str) -> str:
    """A line that isn't Markdown, such as a headline, with the language's quotation marks and dashes."""
    found = _setter(language).parseInline(text)
    return kept_together("".join(child.content for token in found for child in token.children or ()))
