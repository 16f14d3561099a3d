"""Corrections: what was wrong in an issue that readers have had, and is put right, said with its date.

Nothing changes in what was mailed. The page, the PDF and the feed entry are rendered anew from the frozen stories with
the corrections in them, as the next revision, and kept beside those before.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from newsletter import cadence, drafts, issues, story_file
from newsletter.drafts import Written
from newsletter.errors import DraftMistake, IssueMistake
from newsletter.folder import Folder
from newsletter.issues.states import refuse
from newsletter.models import Correction, Delivery, Issue, Story
from newsletter.render import render_revision
from newsletter.render.corrected import corrected
from newsletter.states import DeliveryState, IssueState

LONGEST = 1000
"""Characters that the words of a correction may have."""

_HAD = (IssueState.sending, IssueState.paused, IssueState.sent)
_BEGUN = (DeliveryState.sent, DeliveryState.submitting, DeliveryState.uncertain)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be put right."""

    words: str
    """What readers are told."""
    position: int | None = None
    """The story's; None where it is about the issue as a whole."""
    headline: str | None = None
    body: str | None = None
    """What the story says from now on; None where it stays."""
    announce: bool = False
    """Whether the next issue carries a note of it."""
    by: str = ""


def correct(session: Session, folder: Folder, issue: Issue, wish: Wish, now: dt.datetime) -> Correction:
    """Corrects an issue: the next revision of its page, PDF and feed entry is rendered and kept.

    To be run `aside`: rendering may take its time. IssueMistake where nobody has had the issue yet, or for what can't
    be corrected; the Mistakes of rendering where the corrected issue can't be rendered. Then nothing is changed.
    """
    issues.lock(session, issue)
    slug, publication = folder.publication(issue.publication)
    if not _had(session, issue):
        remedy = "Nobody has had it yet, so change its drafts: newsletter issue reopen."
        raise refuse(issue, "corrected", "Nobody had it." if issue.state is IssueState.cancelled else remedy)
    if wish.announce and issue.private and not publication.private:
        raise IssueMistake(
            f"{issues.name(issue)} is private, and a note would lead the readers of the next issue to it",
            remedy="Correct it without --announce.",
        )
    words = _words(wish.words)
    story = _story(issue, wish)
    headline, body = _changes(issue, story, wish)
    last = session.scalar(select(func.max(Correction.revision)).where(Correction.issue_id == issue.id)) or 1
    made = Correction(
        issue_id=issue.id,
        position=wish.position,
        revision=last + 1,
        made=now,
        date=cadence.local_date(publication.cadence, now),
        by=wish.by,
        words=words,
        headline=headline,
        body=body,
        announced=wish.announce,
    )
    session.add(made)
    session.flush()
    session.expire(issue, ["corrections"])
    render_revision(session, folder, slug, publication, issue, now)
    return made


def from_file(raw: bytes, story: Story, slug: str, *, where: Path | None = None) -> tuple[str | None, str]:
    """The headline and the text that a corrected story's file has: front matter and Markdown, or Markdown alone.

    Only these two can be corrected. DraftMistake where the file says anything else otherwise than the story, and for
    whatever a story's file can't say.
    """
    if not raw.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"---"):
        bare = story_file.body(raw, where=where)
        for wrong in drafts.wrongs(Written("headline", bare), (), pictured=False):
            raise DraftMistake(wrong.what, where=where, line=wrong.row + 1, remedy=wrong.remedy)
        return None, bare
    read = story_file.read(raw, {slug: ()}, where=where, beside=where.parent if where else None, publication=slug)
    written = read.written
    kept = {"alt": story.picture_alt, "credit": story.picture_credit}
    for key in ("section", "link", "author", "alt", "credit"):
        was = kept[key] if key in kept else getattr(story, key)
        if (now := getattr(written, key)) and now != was:
            raise DraftMistake(
                f'the {key} is "{was}" in the issue, and can\'t be corrected to "{now}"'
                if was
                else f"the story has no {key} in the issue, and can't get one",
                where=where,
                remedy="A correction changes the headline and the text; say the rest with --words.",
            )
    return written.headline, written.body


def listing(session: Session, issue: Issue) -> Sequence[Correction]:
    """An issue's corrections, the earliest first."""
    return session.scalars(select(Correction).where(Correction.issue_id == issue.id).order_by(Correction.id)).all()


def _had(session: Session, issue: Issue) -> bool:
    """Whether a reader has, or may have, a copy."""
    if issue.state is IssueState.cancelled:
        begun = exists().where(Delivery.issue_id == issue.id, Delivery.state.in_(_BEGUN))
        return bool(session.scalar(select(begun)))
    return issue.state in _HAD


def _words(words: str) -> str:
    words = words.strip()
    if not drafts.visible(words):
        raise IssueMistake("a correction says what was wrong and what is right", remedy='Say it with --words "…".')
    if len(words) > LONGEST:
        raise IssueMistake(f"these words have {len(words):,} characters; {LONGEST:,} is the most")
    if any(unicodedata.category(letter) in {"Cc", "Zl", "Zp", "Cs"} for letter in words):
        raise IssueMistake("the words hold a line break or a control character", remedy="Write them on one line.")
    if "[[" in words:
        raise IssueMistake("the words hold a merge field", remedy="They are the same for everybody: write it out.")
    return words


def _story(issue: Issue, wish: Wish) -> Story | None:
    if wish.position is None:
        if wish.headline is not None or wish.body is not None:
            raise IssueMistake("a headline and a text belong to a story", remedy="Say which with --story.")
        return None
    story = next((each for each in issue.stories if each.position == wish.position), None)
    if story is None:
        has = f"It has stories 1 to {len(issue.stories)}." if len(issue.stories) > 1 else "It has one story, 1."
        raise IssueMistake(f"{issues.name(issue)} has no story {wish.position}", remedy=has)
    return story


def _changes(issue: Issue, story: Story | None, wish: Wish) -> tuple[str | None, str | None]:
    """The headline and the text that the story gets; None where it stays as it is."""
    if story is None:
        return None, None
    headline, body = corrected(story, issue.corrections)
    new = wish.headline.strip() if wish.headline is not None else headline
    text = wish.body if wish.body is not None else body
    drafts.check(Written(headline=new, body=text), (), pictured=False)
    asked = wish.headline is not None or wish.body is not None
    if asked and (new, text) == (headline, body):
        raise IssueMistake(f"story {story.position} says that already", remedy="Nothing was changed.")
    return (new if new != headline else None), (text if text != body else None)
