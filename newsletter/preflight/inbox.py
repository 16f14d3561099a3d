"""What an inbox shows of a mail before it is opened: subject and preheader, counted in columns as they are seen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from wcwidth import iter_graphemes

from newsletter import fields
from newsletter.preflight.facts import KNOWN, Facts
from newsletter.preflight.finding import Found, looks_for
from newsletter.preflight_rules import Level
from newsletter.render.text import columns

PHONE = 40
"""Columns of a subject that a phone held upright shows, or a few more; a Japanese character takes two."""
DESK = 90
"""Columns that a wide window shows beside the sender's name, at most."""
PREHEADER = 140
"""Columns of a preheader that any inbox shows: three lines on a large phone."""

_EDIT = 'Write another: newsletter issue edit next --{} "…" (once it is assembled, newsletter issue reopen it first).'


def cut(text: str, width: int) -> str:
    """A text as an inbox of that many columns shows it: whole, or cut before a character as readers see it, and "…"."""
    if columns(text) <= width:
        return text
    made = ""
    for cluster in iter_graphemes(text):
        if columns(f"{made}{cluster}…") > width:
            break
        made += cluster
    return made.rstrip() + "…"


def _subjects(facts: Facts) -> tuple[str, str]:
    """The subject for a reader of whom all is known, and for one of whom nothing is."""
    known, nothing = (fields.fill(facts.subject_nodes, facts.value(word)).strip() for word in (KNOWN, ""))
    return known, nothing


@looks_for("subject-empty")
def empty_subject(facts: Facts) -> Iterator[Found]:
    known, nothing = _subjects(facts)
    if not known:
        yield Found("it is empty", _EDIT.format("subject"), where="the subject")
    elif not nothing and _some_lack(facts):
        what = "it is empty for readers of whom nothing is known"
        yield Found(what, "Give its merge field words to fall back to: [[name|…]].", where="the subject")
    elif not any(map(str.isalnum, known)):
        what = f'there is no word in "{known}"'
        yield Found(what, _EDIT.format("subject"), where="the subject", level=Level.warning)


def _some_lack(facts: Facts) -> bool:
    """Whether some readers may lack a value of the subject's; for all we know, where nobody was counted."""
    if facts.audience is None or not facts.audience.lacking:
        return True
    lacking = [name for name, count in facts.audience.lacking.items() if count]
    return any(re.search(rf"\[\[\s*(?:if\s+(?:not\s+)?)?{name}\b", facts.edition.subject) for name in lacking)


@looks_for("subject-long")
def long_subject(facts: Facts) -> Iterator[Found]:
    width = max(map(columns, _subjects(facts)))
    if width > DESK:
        yield Found(
            f"it has {width} columns, and no inbox shows more than {DESK}",
            _EDIT.format("subject"),
            where="the subject",
        )


@looks_for("subject-cut")
def cut_subject(facts: Facts) -> Iterator[Found]:
    subject = _subjects(facts)[1]
    if PHONE < columns(subject) <= DESK:
        yield Found(
            f'it has {columns(subject)} columns; a phone shows "{cut(subject, PHONE)}"',
            "Put what matters first.",
            where="the subject",
        )


@looks_for("preheader-empty")
def empty_preheader(facts: Facts) -> Iterator[Found]:
    if not facts.edition.preheader.strip():
        yield Found("there is none", _EDIT.format("preheader"), where="the preheader")


@looks_for("preheader-long")
def long_preheader(facts: Facts) -> Iterator[Found]:
    width = columns(facts.edition.preheader)
    if width > PREHEADER:
        yield Found(
            f'it has {width} columns; inboxes show at most "{cut(facts.edition.preheader, PREHEADER)}"',
            _EDIT.format("preheader"),
            where="the preheader",
        )


@looks_for("preheader-repeats")
def repeating_preheader(facts: Facts) -> Iterator[Found]:
    # Signs at the end, capitals and spaces of another kind make no other words.
    subject, preheader = (
        " ".join(re.findall(r"\w+", text.casefold())) for text in (facts.edition.subject, facts.edition.preheader)
    )
    if preheader and preheader in subject:
        yield Found("it only repeats the subject", _EDIT.format("preheader"), where="the preheader")
