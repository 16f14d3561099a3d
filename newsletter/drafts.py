"""The queue of stories: a draft joins it, waits its turn, and is placed in an issue.

What an editor writes is a `Written`, whether it came from a file, from standard input or from a form;
`wrongs` says what is wrong with one. The queue is in the order of `position`, then of coming.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import urlsplit

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from newsletter.errors import DraftMistake
from newsletter.models import Draft, Issue, Picture
from newsletter.states import DraftState

QUEUED = (DraftState.writing, DraftState.ready)
"""The states of a draft that still has its place in the queue."""

_LONGEST = {"headline": 300, "section": 80, "author": 200, "link": 2000, "alt": 1000, "credit": 300}
"""In characters. Longer ones are slips, such as a whole story in its headline."""

LONGEST_BODY = 300_000
"""Characters of a story's text; a book has half a million."""
_MOST = {"\n": (20_000, "lines"), "[": (15_000, "square brackets that open"), "'": (20_000, "'"), '"': (20_000, '"')}
"""What a text may have at most, of that of which reading it as Markdown takes long: with these it takes seconds."""


@dataclass(frozen=True, slots=True)
class Written:
    """What is written of a story: everything of a draft but its picture, its state and its place."""

    headline: str
    body: str
    """Markdown."""
    section: str = ""
    link: str = ""
    author: str = ""
    alt: str = ""
    credit: str = ""
    not_before: dt.date | None = None
    not_after: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong with what was written."""

    key: str
    """The field of Written that it is about."""
    what: str
    remedy: str | None = None
    row: int = 0
    """For the body: on which of its lines, from 0."""


def wrongs(written: Written, sections: Sequence[str], *, pictured: bool) -> Iterator[Wrong]:
    """Everything that is wrong with a story, for a publication with these sections.

    `pictured` says whether a picture goes with it.
    """
    for key, limit in _LONGEST.items():
        value: str = getattr(written, key)
        name = "the alt text" if key == "alt" else f"the {key}"
        if (at := _unprintable(value, also="\t\n\u2028\u2029")) is not None:
            breaks = value[at] in "\n\u2028\u2029"
            yield Wrong(
                key,
                f"{name} {'has a line break in it' if breaks else f'holds {_called(value[at])}'}",
                "Write it on one line." if breaks else "Take it out.",
            )
        elif len(value) > limit:
            yield Wrong(key, f"{name} has {len(value):,} characters; {limit:,} is the most")
    if not visible(written.headline):
        yield Wrong("headline", "the headline is missing", "Write headline: What the story says.")
    if not visible(written.body):
        yield Wrong("body", "the story has no text")
    elif len(written.body) > LONGEST_BODY:
        yield Wrong(
            "body",
            f"the text has {len(written.body):,} characters; {LONGEST_BODY:,} is the most",
            "Tell the beginning, and link to the whole of it.",
        )
    elif (at := _unprintable(written.body)) is not None:
        yield Wrong(
            "body",
            f"the text holds {_called(written.body[at])}, at which Gmail may cut the mail off",
            "Take it out; it often comes along when text is copied.",
            written.body.count("\n", 0, at),
        )
    for sign, (most, name) in _MOST.items():
        if (count := written.body.count(sign)) > most and len(written.body) <= LONGEST_BODY:
            yield Wrong(
                "body", f"the text has {count:,} {name}; {most:,} is the most", "Is something in it by mistake?"
            )
    if sections:
        there = f"There is {_either(sections)}."
        if not written.section:
            yield Wrong("section", "the section is missing", there)
        elif written.section not in sections:
            near = _nearest(written.section, sections)
            yield Wrong(
                "section",
                f'there is no section "{written.section}"',
                f"Did you mean {near}? {there}" if near else there,
            )
    if written.link and (what := _link_is(written.link)):
        yield Wrong("link", what, "Write a whole address such as https://example.org/report.")
    if pictured and not written.alt:
        yield Wrong("alt", "the picture has no alt text", "Say in a sentence what is to be seen in it.")
    for key in ("alt", "credit"):
        if not pictured and getattr(written, key):
            what = "an alt text" if key == "alt" else "a credit"
            yield Wrong(key, f"there is {what}, but no picture", "Name the picture's file, or take it out.")
    if written.not_before and written.not_after and written.not_after < written.not_before:
        yield Wrong("not_after", f"{written.not_after} comes before not_before, {written.not_before}")


def check(written: Written, sections: Sequence[str], *, pictured: bool) -> None:
    """DraftMistake for the first thing that is wrong."""
    for wrong in wrongs(written, sections, pictured=pictured):
        raise DraftMistake(wrong.what, remedy=wrong.remedy)


def add(
    session: Session,
    publication: str,
    written: Written,
    now: dt.datetime,
    *,
    sections: Sequence[str],
    picture: Picture | None = None,
    state: DraftState = DraftState.ready,
    source: str = "",
) -> Draft:
    """A new draft at the end of the publication's queue, ready or in writing.

    `sections` are the publication's, `source` the file it came from. DraftMistake where something is wrong.
    """
    check(written, sections, pictured=picture is not None)
    last = session.scalar(select(func.max(Draft.position)).where(Draft.publication == publication)) or 0
    draft = Draft(publication=publication, state=state, position=last + 1, source=source)
    draft.created = draft.changed = now
    _fill(draft, written, picture)
    session.add(draft)
    session.flush()
    return draft


def get(session: Session, number: int, publication: str | None = None) -> Draft:
    """The draft with that id. DraftMistake if there is none, or it is another publication's."""
    # An id is 32 bits wide in PostgreSQL.
    draft = session.get(Draft, number) if 0 < number < 2**31 else None
    if draft is None:
        raise DraftMistake(f"there is no draft {number}", remedy="See them all: newsletter draft list --all.")
    if publication is not None and draft.publication != publication:
        raise DraftMistake(f'draft {number} belongs to "{draft.publication}", not to "{publication}"')
    return draft


def listing(session: Session, publication: str, states: Sequence[DraftState] = QUEUED) -> Sequence[Draft]:
    """The publication's drafts in these states, in the order of the queue."""
    return session.scalars(_in_order(publication).where(Draft.state.in_(states))).all()


def candidates(session: Session, publication: str, date: dt.date, *, claim: bool = False) -> Sequence[Draft]:
    """The ready drafts that an issue of that date may take, in the order of the queue.

    With claim=True, for whoever is about to place them: no one else changes them until the transaction ends.
    """
    found = _in_order(publication).where(
        Draft.state == DraftState.ready,
        or_(Draft.not_before.is_(None), Draft.not_before <= date),
        or_(Draft.not_after.is_(None), Draft.not_after >= date),
    )
    if claim:
        found = found.with_for_update().execution_options(populate_existing=True)
    return session.scalars(found).all()


def edit(
    session: Session,
    draft: Draft,
    written: Written,
    now: dt.datetime,
    *,
    sections: Sequence[str],
    picture: Picture | None = None,
    seen: dt.datetime | None = None,
) -> None:
    """Puts what is written now in the place of what was, picture included; its state and place stay.

    `seen` is `draft.changed` as it was when the editor began. DraftMistake where something is wrong, where
    the draft is no longer in the queue, or where somebody else has changed it since `seen`.
    """
    _still(session, draft, "edited", *QUEUED)
    if seen is not None and draft.changed != seen:
        raise DraftMistake(
            f"draft {draft.id} has been changed by somebody else meanwhile",
            remedy=f"See what it says now: newsletter draft show {draft.id}.",
        )
    check(written, sections, pictured=picture is not None)
    _fill(draft, written, picture)
    draft.changed = now
    session.flush()


def ready(session: Session, draft: Draft, now: dt.datetime) -> None:
    """An issue may take it: from writing, or back from dropped. DraftMistake if it stands in one already."""
    _turn(session, draft, DraftState.ready, "made ready", now)


def write(session: Session, draft: Draft, now: dt.datetime) -> None:
    """Back to writing: no issue takes it until it is ready. DraftMistake if it stands in one already."""
    _turn(session, draft, DraftState.writing, "taken back", now)


def drop(session: Session, draft: Draft, now: dt.datetime) -> None:
    """It will not appear, unless brought back. DraftMistake if it stands in an issue already."""
    _turn(session, draft, DraftState.dropped, "dropped", now)


def order(
    session: Session,
    publication: str,
    numbers: Sequence[int],
    *,
    before: int | None = None,
    last: bool = False,
) -> Sequence[Draft]:
    """Puts drafts in this order at the head of the queue, or before another one, or at its end.

    The others keep theirs. Answers the whole queue as it is now. DraftMistake for an id that is not in it.
    """
    waiting = _in_order(publication).where(Draft.state.in_(QUEUED)).with_for_update()
    queue = list(session.scalars(waiting.execution_options(populate_existing=True)))
    known = {draft.id: draft for draft in queue}
    for number in (*numbers, *([] if before is None else [before])):
        if number not in known:
            draft = get(session, number, publication)
            raise DraftMistake(f"draft {number} is {draft.state.value}, and not in the queue")
    if len(set(numbers)) < len(numbers):
        raise DraftMistake(f"draft {next(n for n in numbers if numbers.count(n) > 1)} is named twice")
    if before in numbers:
        raise DraftMistake(f"draft {before} can't come before itself")
    moved = [known[number] for number in numbers]
    rest = [draft for draft in queue if draft.id not in numbers]
    at = len(rest) if last else 0 if before is None else rest.index(known[before])
    queue = [*rest[:at], *moved, *rest[at:]]
    for position, draft in enumerate(queue, 1):
        draft.position = position
    session.flush()
    return queue


def _in_order(publication: str) -> Select[Draft]:
    mine = select(Draft).where(Draft.publication == publication)
    return mine.order_by(Draft.position, Draft.created, Draft.id)


def _fill(draft: Draft, written: Written, picture: Picture | None) -> None:
    draft.headline, draft.body, draft.section = written.headline, written.body, written.section
    draft.link, draft.author = written.link, written.author
    draft.not_before, draft.not_after = written.not_before, written.not_after
    draft.picture = picture
    draft.picture_alt, draft.picture_credit = written.alt, written.credit


def _turn(session: Session, draft: Draft, state: DraftState, done: str, now: dt.datetime) -> None:
    _still(session, draft, done, *QUEUED, DraftState.dropped)
    if draft.state is not state:
        draft.state = state
        draft.changed = now
        session.flush()


def _still(session: Session, draft: Draft, done: str, *states: DraftState) -> None:
    # Read again under a lock: an issue may have taken it since it was looked at.
    session.flush()
    session.refresh(draft, with_for_update=True)
    if draft.state in states:
        return
    if draft.state is DraftState.dropped:
        raise DraftMistake(
            f"draft {draft.id} is dropped, and can't be {done}",
            remedy=f"Bring it back first: newsletter draft write {draft.id}.",
        )
    raise DraftMistake(
        f"draft {draft.id} is {draft.state.value}{_in_issue(session, draft)}, and can't be {done}",
        remedy="An issue's stories are frozen; what is new about it goes into a new draft.",
    )


def _in_issue(session: Session, draft: Draft) -> str:
    return f" in {place}" if (place := standing(session, draft)) else ""


def standing(session: Session, draft: Draft) -> str:
    """The issue in which it stands, as "Vol 2 No 21" or "the issue of 2023-11-14"; "" where in none."""
    issue = None if draft.issue_id is None else session.get(Issue, draft.issue_id)
    if issue is None:
        return ""
    if issue.volume is None or issue.number is None:
        return f"the issue of {issue.slot}"
    through = f"–{issue.through}" if issue.through is not None and issue.through != issue.number else ""
    return f"Vol {issue.volume} No {issue.number}{through}"


def visible(text: str) -> bool:
    """Whether there is anything in it that a reader sees."""
    return any(unicodedata.category(letter)[0] not in "CZM" or letter in _OF_ITS_OWN for letter in text)


_OF_ITS_OWN = frozenset(map(chr, range(0xE000, 0xF900)))
"""Letters for private use: a font may have them."""


def _unprintable(value: str, also: str = "") -> int | None:
    """Where the first character is that no mail should hold, or one of `also`; newline and tab are let by."""
    for at, character in enumerate(value):
        if character in also:
            return at
        kind = unicodedata.category(character)
        if kind == "Cs" or character in "\ufffe\uffff" or (kind == "Cc" and character not in "\n\t"):
            return at
    return None


def _called(character: str) -> str:
    if character == "\t":
        return "a tab"
    if unicodedata.category(character) == "Cs":
        return f"half a character (U+{ord(character):04X})"
    return f"a control character (U+{ord(character):04X})"


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _nearest(word: str, known: Sequence[str]) -> str | None:
    folded = {each.casefold(): each for each in known}
    near = get_close_matches(word.casefold(), folded, 1)
    return folded[near[0]] if near else None


def _link_is(link: str) -> str | None:
    """What is wrong with a link; None where it is one that a mail can carry."""
    try:
        parts = urlsplit(link)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return f'"{link}" is not an address'
    if re.search(r"[\s<>\"]", link):
        return f'"{link}" has a space, a quote or an angle bracket in it'
    if parts.scheme in ("http", "https"):
        return None if host else f'"{link}" names no site'
    if parts.scheme == "mailto":
        return None if "@" in parts.path else f'"{link}" names no address'
    return f'"{link}" does not begin with https:, http: or mailto:'
