"""An expression read: what it asks of a subscriber, as a frozen value.

    expression   either                            and binds before or; parentheses before both
    either       both { "or" both }
    both         negated { "and" negated }
    negated      "not" negated | "(" either ")" | test
    test         FIELD "is" ["not"] TEXT  |  FIELD "is" "known" | "unknown"
                 FIELD ["not"] "in" "(" TEXT { "," TEXT } ")"
                 FIELD "contains" TEXT  |  FIELD "starts" "with" TEXT  |  FIELD "ends" "with" TEXT
                 "joined" "before" | "after" | "on" | "on" "or" "before" | "on" "or" "after" DATE
                 "joined" "within" NUMBER "days" | "weeks"
                 "list" TEXT
                 "opened" | "clicked" "within" NUMBER "days" | "weeks"
                 "measured"
    FIELD        name, language, domain, an attribute; "attribute" NAME for one that is called like another word

Written by hand: a grammar this small is shorter so than a table for a parser, and only so does every mistake say in
words what would be right.
"""

from __future__ import annotations

import datetime as dt
import difflib
import enum
from collections.abc import Collection
from dataclasses import dataclass

from newsletter.config import dns_name
from newsletter.errors import SegmentMistake
from newsletter.segments.words import Kind, Word, words, wrong
from newsletter.states import HitKind

DEEPEST = 40
"""Parentheses and "not" within each other."""
_UNITS = {"day": 1, "days": 1, "week": 7, "weeks": 7}
_MOST_DAYS = 36500


class Of(enum.Enum):
    """What of a subscriber is compared."""

    name = "name"
    language = "language"
    domain = "domain"
    """Of their address, as DNS writes it."""
    attribute = "attribute"


class How(enum.Enum):
    """How a text is compared. Capital and small letters are the same; what isn't known is like nothing."""

    one_of = "is"
    contains = "contains"
    starts = "starts with"
    ends = "ends with"
    known = "is known"


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is kept about them is such and such."""

    of: Of
    how: How
    values: tuple[str, ...] = ()
    """For one_of several, else one; none for known."""
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """The day on which they first joined a list: not before `first`, and before `end`."""

    first: dt.date | None = None
    end: dt.date | None = None


@dataclass(frozen=True, slots=True)
class JoinedWithin:
    """They first joined a list in the last so many days."""

    days: int


@dataclass(frozen=True, slots=True)
class OnList:
    """They are active on a list."""

    slug: str


@dataclass(frozen=True, slots=True)
class Engaged:
    """They opened an issue, or followed a link in one, in the last so many days."""

    what: HitKind
    days: int


@dataclass(frozen=True, slots=True)
class Measured:
    """They agree to be measured by name; of nobody else it is known what they open."""


@dataclass(frozen=True, slots=True)
class Not:
    """Whoever isn't so."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Both:
    """All of these."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of these."""

    parts: tuple[Expression, ...]


Expression = Text | Joined | JoinedWithin | OnList | Engaged | Measured | Not | Both | Either


def parse(text: str, attributes: Collection[str]) -> Expression:
    """What an expression asks, where subscribers have these attributes.

    SegmentMistake marks the word that is wrong, and says what would be right.
    """
    return _Reading(text, attributes).whole()


def parts(expression: Expression) -> list[Expression]:
    """An expression and all that is within it."""
    found: list[Expression] = [expression]
    for each in found:
        if isinstance(each, Not):
            found.append(each.part)
        elif isinstance(each, Both | Either):
            found += each.parts
    return found


class _Reading:
    """One expression while it is read, a word at a time."""

    def __init__(self, text: str, attributes: Collection[str]) -> None:
        self._whole = text
        self._attributes = attributes
        self._words = list(words(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        if self._next().kind is Kind.end:
            raise self._wrong("there is nothing in it", "Write such as: city is 'Tokyo'.")
        found = self._either()
        if self._next().kind is not Kind.end:
            if self._next().said == ")":
                raise self._wrong("this parenthesis was never opened")
            raise self._wrong(f"{self._next().said} is not expected here", 'Tests are joined by "and" or "or".')
        return found

    def _next(self) -> Word:
        return self._words[self._at]

    def _wrong(self, what: str, remedy: str = "", word: Word | None = None) -> SegmentMistake:
        return wrong(self._whole, word or self._next(), what, remedy)

    def _is(self, *said: str) -> bool:
        """Whether these words come next; they are taken then."""
        coming = self._words[self._at : self._at + len(said)]
        if tuple(each.text for each in coming if each.kind in (Kind.word, Kind.mark)) != said:
            return False
        self._at += len(said)
        return True

    def _take(self, kind: Kind, wanted: str, remedy: str = "") -> Word:
        word = self._next()
        if word.kind is not kind:
            found = f"{word.said} stands here" if word.said else "it ends here"
            raise self._wrong(f"{found}, where {wanted} is expected", remedy)
        self._at += 1
        return word

    # ---- and, or, not

    def _either(self) -> Expression:
        found = [self._both()]
        while self._is("or"):
            found.append(self._both())
        return found[0] if len(found) == 1 else Either(tuple(found))

    def _both(self) -> Expression:
        found = [self._negated()]
        while self._is("and"):
            found.append(self._negated())
        return found[0] if len(found) == 1 else Both(tuple(found))

    def _negated(self) -> Expression:
        opened = self._next()
        if opened.text not in ("not", "(") or opened.kind not in (Kind.word, Kind.mark):
            return self._test()
        self._at += 1
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong(f"more than {DEEPEST} levels stand within each other", "Write it flatter.", opened)
        if opened.said != "(":
            found: Expression = Not(self._negated())
        else:
            found = self._either()
            if not self._is(")"):
                if self._next().kind is Kind.end:
                    raise self._wrong("this parenthesis is not closed", word=opened)
                raise self._wrong(f"{self._next().said} is not expected here", 'Tests are joined by "and" or "or".')
        self._depth -= 1
        return found

    # ---- tests

    def _test(self) -> Expression:
        word = self._take(Kind.word, "a test", "Write such as: city is 'Tokyo', or joined before 2024-01-01.")
        match word.text:
            case "joined":
                return self._joined()
            case "list":
                remedy = "Write such as: list 'invitations'."
                return OnList(self._take(Kind.text, "the name of a list in quotes", remedy).text)
            case "opened" | "clicked":
                if not self._is("within"):
                    raise self._wrong('"within" is expected here', f"Write such as: {word.text} within 90 days.")
                return Engaged(HitKind.open if word.text == "opened" else HitKind.click, self._days())
            case "measured":
                return Measured()
            case "name" | "language" | "domain":
                return self._compared(Of(word.text))
            case "attribute":
                named = self._take(Kind.word, "the name of an attribute")
                return self._compared(Of.attribute, self._declared(named))
            case "and" | "or":
                raise self._wrong(f"there is no test before this {word.text}", word=word)
        return self._compared(Of.attribute, self._declared(word))

    def _declared(self, word: Word) -> str:
        if word.said in self._attributes:
            return word.said
        if word.text in self._attributes:
            return word.text
        known = [*self._attributes, "name", "language", "domain", "joined", "list", "opened", "clicked", "measured"]
        near = difflib.get_close_matches(word.text, known, 1)
        mean = f"Did you mean {near[0]}? " if near else ""
        there = ", ".join(self._attributes) or "none"
        raise self._wrong(
            f'there is no attribute "{word.said}"',
            f"{mean}config.toml declares {there}; a text stands in quotes.",
            word,
        )

    def _compared(self, of: Of, attribute: str = "") -> Expression:
        def text(how: How, *values: str) -> Text:
            return Text(of, how, values, attribute)

        start = self._next()
        if self._is("is", "known"):
            return text(How.known)
        if self._is("is", "unknown") or self._is("is", "not", "known"):
            return Not(text(How.known))
        if self._is("is", "not", "in") or self._is("not", "in"):
            return Not(text(How.one_of, *self._several(of)))
        if self._is("is", "in") or self._is("in"):
            return text(How.one_of, *self._several(of))
        if self._is("is", "not"):
            return Not(text(How.one_of, self._value(of)))
        if self._is("is"):
            return text(How.one_of, self._value(of))
        for how in (How.contains, How.starts, How.ends):
            if self._is(*how.value.split()):
                return text(how, self._piece(of))
        if self._is("starts") or self._is("ends"):
            raise self._wrong(f'"with" is expected after {start.said}', f"Write such as: {start.text} with 'T'.")
        near = difflib.get_close_matches(start.text, ["is", "in", "contains", "starts with", "ends with"], 1)
        mean = f"Did you mean {near[0]}? " if near else ""
        found = f"{start.said} stands here" if start.said else "it ends here"
        raise self._wrong(
            f"{found}, where a comparison is expected",
            f'{mean}Write "is", "is not", "in", "contains", "starts with", "ends with", "is known" or "is unknown".',
            start,
        )

    def _text(self) -> Word:
        word = self._next()
        said = word.said.replace("'", "''")
        remedy = f"Write it in quotes: '{said}'." if said and word.kind is not Kind.mark else "Write such as: 'Tokyo'."
        return self._take(Kind.text, "a text in quotes", remedy)

    def _value(self, of: Of) -> str:
        word = self._text()
        if of is not Of.domain:
            return word.text
        try:
            return dns_name(word.text)
        except ValueError as error:
            raise self._wrong(str(error), word=word) from None

    def _piece(self, of: Of) -> str:
        """A part of a text; of a domain only in the letters of DNS, since the rest of its name decides the others."""
        word = self._text()
        if of is Of.domain and (not word.text.isascii() or "@" in word.text):
            raise self._wrong(
                "this can't be a part of a domain as DNS writes it", "Write the whole: domain is '…'.", word
            )
        return word.text

    def _several(self, of: Of) -> tuple[str, ...]:
        if not self._is("("):
            raise self._wrong("a parenthesis is expected here", "Write such as: in ('Tokyo', 'Kyoto').")
        found = [self._value(of)]
        while self._is(","):
            found.append(self._value(of))
        if not self._is(")"):
            raise self._wrong(
                "a comma or a closing parenthesis is expected here", "Write such as: in ('Tokyo', 'Kyoto')."
            )
        return tuple(found)

    def _joined(self) -> Expression:
        if self._is("within"):
            return JoinedWithin(self._days())
        day = dt.timedelta(days=1)
        if self._is("before"):
            return Joined(end=self._date())
        if self._is("after"):
            return Joined(first=self._date() + day)
        if self._is("on", "or", "before"):
            return Joined(end=self._date() + day)
        if self._is("on", "or", "after"):
            return Joined(first=self._date())
        if self._is("on"):
            found = self._date()
            return Joined(found, found + day)
        raise self._wrong(
            f"{self._next().said or 'the end'} stands here, where a comparison of dates is expected",
            'Write "before", "after", "on", "on or before", "on or after" or "within".',
        )

    def _date(self) -> dt.date:
        return self._take(Kind.date, "a date", "Write it as 2024-01-31, without quotes.").date

    def _days(self) -> int:
        remedy = "Write such as: within 90 days."
        number = self._take(Kind.number, "a number", remedy)
        unit = self._take(Kind.word, '"days" or "weeks"', remedy)
        if unit.text not in _UNITS:
            raise self._wrong(f'"{unit.said}" can\'t be counted here', "Count in days or weeks: 90 days.", unit)
        days = int(number.said) * _UNITS[unit.text] if len(number.said) < 7 else 0
        if not 1 <= days <= _MOST_DAYS:
            raise self._wrong(f"{number.said} {unit.said} is no length of time that can be asked for", remedy, number)
        return days
