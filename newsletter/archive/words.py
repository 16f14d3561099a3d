"""A text as the words that it is searched by. templates/web/search.js does the same in a browser, letter for letter."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 40
"""Letters of a word that count; what is longer is found by its beginning."""

# What may be left out in writing.
_LEFT_OUT = re.compile(
    "[\u0300-\u036f"  # accents of Latin, Greek and Cyrillic
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # points of Hebrew
    "\u0610-\u061a\u0640\u064b-\u065f\u0670]"  # vowels of Arabic, and what draws its letters out
)
_UNSPACED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_LETTER = f"(?:[^\\W_{_UNSPACED}]|[\u0900-\u0963\u0966-\u0dff])"
"""Of a script with spaces. India's vowel signs are no letters to `re`, and stand within words."""
_PIECES = re.compile(f"[{_UNSPACED}]+|{_LETTER}(?:{_LETTER}|['’](?={_LETTER}))*")
_PLAIN = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
"""The same for ASCII, which most of most texts is, several times as fast."""
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


def folded(text: str) -> str:
    """A text as it is compared: small letters, one form for each, and nothing that may be left out in writing."""
    text = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize("NFC", _LEFT_OUT.sub("", unicodedata.normalize("NFD", text)))


def words(text: str) -> list[str]:
    """The words of a text, folded, as often as they stand in it.

    Of a script that has no spaces between its words every letter is one, and every two that stand together.
    """
    if text.isascii():
        return [word for piece in _PLAIN.findall(text.lower()) for word in _all(piece)]
    found: list[str] = []
    for piece in _PIECES.findall(folded(text)):
        if _IS_UNSPACED.match(piece):
            found += piece
            found += [piece[at : at + 2] for at in range(len(piece) - 1)]
        else:
            found += _all(piece)
    return found


def _all(piece: str) -> list[str]:
    """A word, and where it has an apostrophe its parts too: "l'été" is found by "été", "O'Neill" by "oneill"."""
    if "'" in piece or "’" in piece:
        return [_one(piece), *(part[:LONGEST] for part in re.split("['’]", piece))]
    return [piece[:LONGEST]]


def _one(piece: str) -> str:
    if "'" in piece or "’" in piece:
        piece = piece.replace("'", "").replace("’", "")
    return piece[:LONGEST]


def asked(query: str) -> list[tuple[str, bool]]:
    """The words that a query asks for, each once, and whether a longer word that begins so will do too."""
    found: dict[str, bool] = {}
    for piece in _PIECES.findall(folded(query)):
        if _IS_UNSPACED.match(piece):
            pairs = [piece[at : at + 2] for at in range(len(piece) - 1)]
            found |= dict.fromkeys(pairs or [piece], False)
        else:
            word = _one(piece)
            found[word] = len(word) > 2
    return list(found.items())
