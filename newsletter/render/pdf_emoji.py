"""Emoji that no font has: an issue isn't held for them. The PDF does without, and says which in its keywords.

A flag is its two letters then, and a keycap its digit or sign: so "🇯🇵 3%" stays "JP 3%".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

import msgspec

from newsletter.render.edition import Edition
from newsletter.render.rendering import with_lines

# Unicode 16: what is shown as a picture unless told otherwise (Emoji_Presentation), and the blocks made of such.
_PICTURE = (
    "[\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be"
    "\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757"
    "\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f000-\U0001f1e5\U0001f200-\U0001f2ff\U0001f300-\U0001faff]"
)
# Any other sign is one where it is asked to be shown as one.
_ASKED = "[\u00a9\u00ae\u203c-\u3299]\ufe0f"
_SKIN = "[\U0001f3fb-\U0001f3ff]"
_ONE = f"(?:{_ASKED}|{_PICTURE}\ufe0f?){_SKIN}?[\U000e0020-\U000e007f]*"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_KEYCAP = "[0-9#*]\ufe0f?\u20e3"
_EMOJI = re.compile(f"( ?)({_FLAG}|{_KEYCAP}|{_ONE}(?:\u200d(?:{_ONE}|[\u2190-\u2bff]))*)( ?)")


class Emoji:
    """The emoji among letters that no font has."""

    def __init__(self, missing: Iterable[str]) -> None:
        # Fonts need these two for nothing by themselves.
        self._missing = frozenset("".join(missing)) - {"\ufe0f", "\u200d"}
        self._found: dict[str, None] = {}

    @property
    def found(self) -> tuple[str, ...]:
        """Those that were taken out, each once."""
        return tuple(self._found)

    def without(self, edition: Edition, html: Mapping[int, str]) -> tuple[Edition, dict[int, str]]:
        """An edition's lines and its stories' HTML without them."""
        plain = with_lines(edition, lambda words, _: self._out(words).strip())
        publication = msgspec.structs.replace(
            plain.publication,
            **{name: self._out(getattr(plain.publication, name)) for name in ("title", "publisher", "postal_address")},
        )
        texts = {position: self._out(text) for position, text in html.items()}
        return dataclasses.replace(plain, publication=publication), texts

    def _out(self, text: str) -> str:
        return _EMOJI.sub(self._instead, text)

    def _instead(self, found: re.Match[str]) -> str:
        before, emoji, after = found.groups()
        if self._missing.isdisjoint(emoji):
            return found[0]
        self._found[emoji] = None
        if re.fullmatch(_FLAG, emoji):
            return before + "".join(chr(ord(letter) - 0x1F1E6 + ord("A")) for letter in emoji) + after
        if emoji[-1] == "\u20e3":
            return before + emoji[0] + after
        begins = found.start() == 0 or found.string[found.start() - 1] in ">\n "
        return " " if after and (before or not begins) else ""
