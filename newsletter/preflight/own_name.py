"""The publication's own name, misspelt: its title, its publisher, and the name that its mails come from."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.preflight.facts import Facts
from newsletter.preflight.finding import Found, found_at, looks_for

_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*\.?")
_SPACELESS = re.compile("[\u3040-\u30ff\u3400-\u9fff]+")
_ALIKE = str.maketrans({"‘": "'", "’": "'", "‐": "-", "‑": "-", "\u00a0": " ", "\u202f": " ", "\n": " "})
"""What looks the same, or is made the same by typography."""


@looks_for("own-name")
def own_names(facts: Facts) -> Iterator[Found]:
    publication = facts.edition.publication
    names = dict.fromkeys(filter(None, (publication.title, publication.publisher, publication.sender_name)))
    told: set[str] = set()
    for passage in facts.passages:
        if passage.where.startswith(("title", "publisher")):
            continue
        for name in names:
            for start, end in _near_misses(name, passage.text):
                slip = re.sub(r"\s+", " ", passage.text[start:end])
                if slip not in told and not any(slip in other for other in names):
                    told.add(slip)
                    yield found_at(passage, start, f'"{slip}" is nearly "{name}"', f'If that is meant, write "{name}".')


def _near_misses(name: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a text has a name with other signs between its letters, or as many words, nearly all the same: from, to.

    Possessives, plurals and typographic apostrophes aren't slips. A name of one word must be long, and the slip
    written with a capital, or ordinary words would be taken for it.
    """
    name, text = name.translate(_ALIKE), text.translate(_ALIKE)
    yield from _otherwise_joined(name, text)
    yield from _within(name, text)
    # A dash for a hyphen is told by now.
    name, text = name.replace("–", "-"), text.replace("–", "-")
    wanted = [_stem(word[0]) for word in _WORD.finditer(name)]
    words = list(_WORD.finditer(text))
    if not wanted or (len(wanted) == 1 and len(wanted[0]) < 8):
        return
    for at in range(len(words) - len(wanted) + 1):
        run = words[at : at + len(wanted)]
        shown = [_stem(word[0]) for word in run]
        # Most runs differ in their first letters: those are left at once.
        if shown == wanted or shown[0][:1].casefold() != wanted[0][:1].casefold() or not shown[0][:1].isupper():
            continue
        if [word.casefold() for word in shown] == [word.casefold() for word in wanted]:
            # Only capitals differ: a name in small letters may be a phrase.
            continue
        if all(_like(a, b) for a, b in zip(shown, wanted, strict=True)):
            yield run[0].start(), run[0].start() + len(text[run[0].start() : run[-1].end()].rstrip("."))


def _otherwise_joined(name: str, text: str) -> Iterator[tuple[int, int]]:
    """Where all letters of a name stand in a text, with a capital, and other signs between them: "US–Japan Digest"."""
    letters = [re.escape(letter) for letter in name if letter.isalnum()]
    if len(letters) < 8 or not name[:1].isupper():
        return
    # Neither within a word, nor in an address or a handle.
    run = re.compile(r"(?<![\w@/#.-])" + r"[ .'`–—-]{0,3}".join(letters) + r"(?![\w@/]|[.-]\w)", re.IGNORECASE)
    usual = name.rstrip(".").replace(",", "").casefold()
    for found in run.finditer(text):
        if found[0].casefold() != usual and found[0][:1].isupper():
            yield found.span()


def _within(name: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a text that has no spaces, such as Japanese, has a long name but for one letter."""
    if len(name) < 6 or not _SPACELESS.match(name):
        return
    at = -1
    while (at := text.find(name[:2], at + 1)) >= 0:
        if text.startswith(name, at):
            continue
        for length in (len(name), len(name) - 1, len(name) + 1):
            if _like(slip := text[at : at + length], name) and slip[-1:] == name[-1:]:
                yield at, at + length
                break


def _stem(word: str) -> str:
    return re.sub(r"['’]s$", "", word.rstrip("."))


def _like(a: str, b: str) -> bool:
    """Whether two words are the same but for one letter, or for two that changed places; else it is another name."""
    a, b = a.casefold(), b.casefold()
    if a == b:
        return True
    if len(b) < 4 or a + "s" == b or a == b + "s":
        return False
    start = _in_common(a, b)
    end = _in_common(a[start:][::-1], b[start:][::-1])
    here, there = a[start : len(a) - end], b[start : len(b) - end]
    return max(len(here), len(there)) == 1 or (len(here) == 2 and here == there[::-1])


def _in_common(a: str, b: str) -> int:
    """How many letters two words have in common at their beginning."""
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
