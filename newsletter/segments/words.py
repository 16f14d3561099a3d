"""An expression cut into words, and the mistake that marks one of them."""

from __future__ import annotations

import datetime as dt
import enum
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from wcwidth import wcswidth

from newsletter.errors import SegmentMistake

LONGEST = 2000
"""Characters in an expression."""
_WORD = re.compile(
    r"""(?P<space>\s+)
      | (?P<date>\d{4}-\d{1,2}-\d{1,2}(?![\w-]))
      | (?P<number>\d+(?![\w./-]))
      | (?P<word>[^\W\d]\w*)
      | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<mark>[(),])
      | (?P<strange>[<>=!]=?|<>|&&?|\|\|?|[\d/.-]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = {
    "=": "is",
    "==": "is",
    "!=": "is not",
    "<>": "is not",
    "<": "before",
    ">": "after",
    "<=": "on or before",
    ">=": "on or after",
    "!": "not",
    "&": "and",
    "&&": "and",
    "|": "or",
    "||": "or",
}
_CURLED = "‘’‚“”„«»「」`´"


class Kind(enum.Enum):
    """What a word is."""

    word = "a word"
    text = "a text in quotes"
    number = "a number"
    date = "a date"
    mark = "a parenthesis or comma"
    end = "the end"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an expression."""

    kind: Kind
    said: str
    """As it stands there."""
    at: int
    """How many characters stand before it."""
    text: str = ""
    """Of a text in quotes, what it holds, in NFC; of a word, the same in small letters."""
    date: dt.date = dt.date.min


def wrong(text: str, word: Word, what: str, remedy: str = "") -> SegmentMistake:
    """The mistake of a word in an expression."""
    line = "".join(" " if each.isspace() else each if each.isprintable() else "�" for each in text)
    shown, at = line, word.at
    if len(shown) > 100:
        start = max(0, min(at - 40, len(line) - 100))
        shown, at = ("…" if start else "") + line[start : start + 100], at - start + (1 if start else 0)
    under = " " * max(0, wcswidth(shown[:at])) + "^" * max(1, wcswidth(word.said[: len(shown) - at].strip() or "x"))
    where = "at the end" if word.kind is Kind.end else f"at character {word.at + 1}"
    return SegmentMistake(f"{what}, {where}", remedy=remedy or None, marked=(shown, under))


def words(text: str) -> Iterator[Word]:
    """The words of an expression, and then its end. SegmentMistake for what can't be one."""
    if len(text) > LONGEST:
        raise SegmentMistake(
            f"the expression is {len(text):,} characters long; {LONGEST:,} is the most",
            remedy="Write an attribute that says the same, or divide it among several segments.",
        )
    for found in _WORD.finditer(text):
        kind, said, at = found.lastgroup, found[0], found.start()
        if kind == "space":
            continue
        here = Word(Kind.word, said, at)
        if kind == "strange":
            raise _strange(text, here)
        if kind == "date":
            yield Word(Kind.date, said, at, date=_date(text, here))
        elif kind == "text":
            yield Word(Kind.text, said, at, text=_value(text, here))
        else:
            yield Word(Kind(Kind[str(kind)]), said, at, text=said.lower())
    yield Word(Kind.end, "", len(text))


def _strange(text: str, here: Word) -> SegmentMistake:
    said = here.said
    if said in _OPERATORS:
        return wrong(text, here, f"{said} is not understood", f'Write "{_OPERATORS[said]}".')
    if said in "'\"":
        return wrong(text, here, f"the quotation mark {said} is not closed", "A mark within a text is written twice.")
    if said in _CURLED:
        return wrong(text, here, f"{said} is not understood", "Write straight quotation marks: 'Tokyo'.")
    if said[0].isdigit():
        return wrong(text, here, f"{said} is neither a number nor a date", "Write dates as 2024-01-31.")
    shown = said if said.isprintable() else f"the character U+{ord(said):04X}"
    return wrong(text, here, f"{shown} is not understood", "Texts stand in quotes: city is 'Tokyo'.")


def _date(text: str, here: Word) -> dt.date:
    try:
        year, month, day = map(int, here.said.split("-"))
        found = dt.date(year, month, day)
    except ValueError:
        raise wrong(text, here, f"there is no {here.said}", "Write dates as 2024-01-31.") from None
    if not 1970 <= found.year <= 2999:
        raise wrong(text, here, f"{here.said} is out of all time", "Write a year from 1970 to 2999.")
    return found


def _value(text: str, here: Word) -> str:
    quote = here.said[0]
    value = unicodedata.normalize("NFC", here.said[1:-1].replace(quote * 2, quote))
    if not value.strip():
        raise wrong(text, here, "there is nothing between the quotation marks", 'Write "is known" or "is unknown".')
    for each in value:
        if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp"):
            raise wrong(text, here, f"the text holds a line break or a control character (U+{ord(each):04X})")
    return value
