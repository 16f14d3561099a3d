"""An index of all stories of a publication, in memory, and what is found in it.

A story is a posting under each of its words: which story, and how much the word counts there. What is found holds all
words of the query, and comes in the order of how much they count; the newer issue first where that is equal.
"""

from __future__ import annotations

import bisect
import functools
import html
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from newsletter.archive.catalogue import Catalogue, Entry, Told
from newsletter.archive.words import asked, folded, words

IN_HEADLINE = 5
"""How much a word in a headline counts; one in the text counts 1 each time."""
MOST = 255
BALANCE = 4
"""How many times as much the rarer of two words counts."""
WHOLE = 3
"""How many times as much a word counts that is the one asked for, and not only begins so."""
LONGEST_QUERY = 200
MOST_WORDS = 12
"""Of a query: nobody asks for more."""
AROUND = 90
"""Characters of a text that are shown before and after a word that was found."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a story is."""

    entry: Entry
    told: Told


class Index:
    """The words of all stories. Add issues as they go out; `places` knows them by their numbers here."""

    def __init__(self) -> None:
        self.places: list[Place | None] = []
        self.postings: dict[str, array[int]] = {}
        """Word: for each story that has it, its number times 256, and how much it counts there."""
        self._known: dict[tuple[int, int], range] = {}
        self._sorted: list[str] = []

    def __len__(self) -> int:
        return sum(place is not None for place in self.places)

    def knows(self, entry: Entry) -> bool:
        return (entry.id, entry.revision) in self._known

    def add(self, entry: Entry, texts: Mapping[str, str]) -> None:
        """Takes in an issue: what its stories say by their anchors."""
        first = len(self.places)
        for told in entry.stories:
            counts = Counter(words(texts.get(told.anchor, "")))
            for word in words(told.headline):
                counts[word] += IN_HEADLINE
            number = len(self.places) << 8
            for word, count in counts.items():
                self.postings.setdefault(word, array("I")).append(number | min(count, MOST))
            self.places.append(Place(entry, told))
        self._known[(entry.id, entry.revision)] = range(first, len(self.places))
        self._sorted = []

    def keep(self, entries: Iterable[Entry]) -> None:
        """Forgets what isn't among these any more: an issue that was corrected, or isn't public now."""
        wanted = {(entry.id, entry.revision) for entry in entries}
        for gone in self._known.keys() - wanted:
            for number in self._known.pop(gone):
                self.places[number] = None

    def find(self, query: str) -> list[Place]:
        """The stories that have all words of the query, the best first; none for a query without words."""
        counts: Counter[int] | None = None
        for word, longer in asked(query[:LONGEST_QUERY])[:MOST_WORDS]:
            found: Counter[int] = Counter()
            for each in self._beginning(word) if longer else (word,):
                whole = WHOLE if each == word else 1
                for posting in self.postings.get(each, ()):
                    found[posting >> 8] += (posting & MOST) * whole
            counts = found if counts is None else _both(counts, found)
        ranked = [(number, count, self.places[number]) for number, count in (counts or {}).items()]
        there = [(count, place.entry.date, number, place) for number, count, place in ranked if place is not None]
        # A story's number tells its order within an issue, from the front.
        there.sort(key=lambda each: (-each[0], -each[1].toordinal(), each[2]))
        return [place for *_, place in there]

    def _beginning(self, start: str) -> Iterable[str]:
        if not self._sorted:
            self._sorted = sorted(self.postings)
        at = bisect.bisect_left(self._sorted, start)
        while at < len(self._sorted) and self._sorted[at].startswith(start):
            yield self._sorted[at]
            at += 1


def _both(one: Counter[int], other: Counter[int]) -> Counter[int]:
    """What has both: a story that is about the one and the other comes before one that is all about one of them."""
    return Counter(
        {each: one[each] + other[each] + BALANCE * min(one[each], other[each]) for each in one.keys() & other.keys()}
    )


def bring_up(index: Index, catalogue: Catalogue, texts: Mapping[int, Mapping[str, str]]) -> None:
    """Makes an index agree with a catalogue; `texts` are those of the issues that it doesn't know yet, by their id."""
    index.keep(catalogue.entries)
    for entry in reversed(catalogue.entries):
        if not index.knows(entry):
            index.add(entry, texts.get(entry.id, {}))


def excerpt(text: str, query: str) -> Markup:
    """A piece of a text round the first words of the query in it, these marked."""
    wanted = asked(query[:LONGEST_QUERY])[:MOST_WORDS]
    spans = _spans(text, wanted)
    if not spans:
        end = _cut(text, 2 * AROUND)
        return Markup(_ended(text, 0, end))  # noqa: S704
    begin = 0 if spans[0][0] <= AROUND else _cut(text, spans[0][0] - AROUND)
    end = _cut(text, max(begin + 2 * AROUND, spans[0][1] + AROUND))
    made, at = "…" if begin else "", begin
    for first, last in spans:
        if first >= at and last <= end:
            made += html.escape(text[at:first]) + f"<mark>{html.escape(text[first:last])}</mark>"
            at = last
    return Markup(made + _ended(text, at, end))  # noqa: S704


def _ended(text: str, at: int, end: int) -> str:
    """The last piece of an excerpt; what shows that there is more clings to the last word."""
    return html.escape(text[at:end]) if end >= len(text) else html.escape(text[at:end].rstrip()) + "…"


def marked(text: str, query: str) -> Markup:
    """A whole text, a headline, with the words of the query in it marked."""
    made, at = "", 0
    for first, last in _spans(text, asked(query[:LONGEST_QUERY])[:MOST_WORDS]):
        made += html.escape(text[at:first]) + f"<mark>{html.escape(text[first:last])}</mark>"
        at = last
    return Markup(made + html.escape(text[at:]))  # noqa: S704


def _spans(text: str, wanted: Iterable[tuple[str, bool]]) -> list[tuple[int, int]]:
    """Where in a text the words of a query stand; stretches that touch are one."""
    small, places = _with_places(text)
    found = []
    for word, longer in wanted:
        spaced = word[0].isascii() or not _spaceless(word)
        pattern = rf"\b{re.escape(word)}" + (r"\w*" if longer else r"\b") if spaced else re.escape(word)
        found += [(places[each.start()], places[each.end()]) for each in re.finditer(pattern, small)]
    joined: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _spaceless(word: str) -> bool:
    return len(list(words(word))) > 1 or len(word) == 1


@functools.lru_cache(maxsize=4096)
def _letter(letter: str) -> str:
    return folded(letter)


def _with_places(text: str) -> tuple[str, Sequence[int]]:
    """A text folded, and for each of its letters, and its end, where that is in the text."""
    made = list(map(_letter, text))
    small = "".join(made)
    if len(small) == len(text) and all(made):
        # As many letters, and none of them gone: each stands where it stood.
        return small, range(len(text) + 1)
    places: list[int] = []
    for at, letter in enumerate(made):
        places += [at] * len(letter)
    return small, [*places, len(text)]


def _cut(text: str, at: int) -> int:
    """The nearest place before `at` where a word ends; `at` where there is none within 20 letters."""
    if at >= len(text):
        return len(text)
    space = text.rfind(" ", max(0, at - 20), at)
    return space + 1 if space > 0 else at
