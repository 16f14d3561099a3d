"""Ready drafts become an issue: copied, ordered, numbered and frozen, all in the caller's one transaction."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from newsletter import cadence, drafts, notices, numbering
from newsletter.config import SUBJECT_NAMES, Approval, Publication, span
from newsletter.errors import IssueMistake
from newsletter.issues import finding
from newsletter.issues.states import Event, Happened, enter, lock, name, refuse
from newsletter.models import Correction, Draft, Issue, Story, StoryText
from newsletter.numbering import Number
from newsletter.states import DraftState, IssueState

LONGEST_PREHEADER = 110
"""In characters: what Gmail's list shows beside a subject on a wide screen, at most."""

_COPIED = tuple(StoryText.__annotations__)


def assemble(session: Session, slug: str, publication: Publication, issue: Issue, now: dt.datetime) -> Event:
    """Freezes an open issue: copies the ready drafts, gives it its number, date, subject and preheader.

    The first `max_stories` of the queue are taken and stand in their sections' order; the rest stay ready.
    Where stories or a number are missing the issue is held in `open`, says why, and the editors get a notice:
    that is an Event too. One that was missed by more than cadence.late is closed now, and what follows the
    deadline follows it by the same time as ever. IssueMistake if it isn't open, or someone holds it.
    """
    lock(session, issue)
    if issue.state is not IssueState.open and issue.held_in is not IssueState.open:
        raise refuse(issue, "assembled", "Reopen it to let other stories in: newsletter issue reopen.")
    if issue.held_by:
        raise refuse(issue, "assembled", "Resume it first: newsletter issue resume.")
    if cadence.missed(publication.cadence, issue.sends, now):
        shift = now - issue.deadline
        issue.deadline, issue.approve_by, issue.sends = now, issue.approve_by + shift, issue.sends + shift
    date = cadence.local_date(publication.cadence, issue.sends)
    ready = drafts.candidates(session, slug, issue.slot, claim=True)
    number, missing = _number(session, slug, publication, issue)
    if len(ready) < publication.min_stories:
        missing.insert(0, _too_few(len(ready), publication.min_stories))
    if number is None or missing:
        return _wait(session, slug, publication, issue, "; ".join(missing), now)
    stories = _copy(session, publication, issue, ready[: publication.max_stories], now)
    issue.volume, issue.number, issue.through, issue.date = number.volume, number.number, number.through, date
    headlines = [story.headline for story in stories]
    issue.subject = subject(issue.wanted_subject or publication.subject, publication, number, date, headlines)
    issue.preheader = issue.wanted_preheader or preheader(headlines)
    issue.private = publication.private if issue.wanted_private is None else issue.wanted_private
    issue.assembled = now
    _tell_corrections(session, issue)
    by_hand = publication.approval is Approval.manual
    enter(
        issue,
        IssueState.assembled,
        now,
        next_look=None if by_hand else issue.approve_by,
        why=_WAITS[publication.approval].format(cadence.wall_clock(publication.cadence, issue.approve_by)),
    )
    session.flush()
    over = len(ready) - len(stories)
    sentence = f"{name(issue)} is assembled of {_stories(len(stories))}"
    sentence += f"; {_count(over, 'draft')} carried over to the next." if over else "."
    return Event(Happened.assembled, issue.id, sentence)


_WAITS = {
    Approval.manual: "it goes when someone sends it",
    Approval.approve: "it waits for approval, by {}",
    Approval.veto: "it goes unless someone holds it by {}",
}


def expected(session: Session, slug: str, publication: Publication, issue: Issue) -> Number | None:
    """The number that an issue would get if it were assembled for its time; its own once it has one.

    None where someone must say it. IssueMistake where what an editor asked for can't be.
    """
    if (own := finding.number_of(issue)) is not None:
        return own
    number = numbering.wanted(
        publication.numbering,
        finding.last_numbered(session, slug),
        cadence.local_date(publication.cadence, issue.sends),
        volume=issue.wanted_volume,
        number=issue.wanted_number,
        through=issue.wanted_through,
    )
    if number is not None:
        finding.check_free(session, number, issue)
    return number


def subject(template: str, publication: Publication, number: Number, date: dt.date, headlines: Sequence[str]) -> str:
    """A subject with its {names} filled in, once: braces in a headline stay braces. Merge fields stay too.

    IssueMistake for a {name} that there isn't.
    """
    values = {
        "title": publication.title,
        "volume": str(number.volume),
        "number": f"{number.number}–{number.through}" if number.through else str(number.number),
        "date": f"{date:%B} {date.day}, {date.year}",
        "headline": headlines[0] if headlines else "",
    }
    check_subject(template)
    return re.sub(r"\{([^{}]*)\}", lambda found: values[found[1]], template)


def check_subject(template: str) -> None:
    """IssueMistake unless all {names} of a subject are known."""
    for found in re.findall(r"\{([^{}]*)\}", template):
        if found not in SUBJECT_NAMES:
            raise IssueMistake(
                f"the subject has {{{found}}}, which there isn't",
                remedy=f"There is {', '.join(f'{{{known}}}' for known in SUBJECT_NAMES)}.",
            )


def preheader(headlines: Sequence[str]) -> str:
    """What an inbox shows after the subject: the headlines that the subject hasn't told, cut at a word.

    At most LONGEST_PREHEADER characters; never within a merge field or a character made of several.
    """
    whole = " · ".join(headlines[1:])
    if len(whole) <= LONGEST_PREHEADER:
        return whole
    cut = LONGEST_PREHEADER - 1
    # A language without spaces is cut anywhere between characters.
    at = whole.rfind(" ", LONGEST_PREHEADER // 2, cut + 1)
    cut = at if at > 0 else cut
    while cut and (_joins(whole[cut]) or whole[cut - 1] == "\u200d"):
        cut -= 1
    kept = whole[:cut]
    if kept.rfind("[[") > kept.rfind("]]"):
        kept = kept[: kept.rfind("[[")]
    while kept.count("[[if ") > kept.count("[[end]]"):
        kept = kept[: kept.rfind("[[if ")]
    return kept.rstrip(" ·,;:–—-") + "…"


def _joins(character: str) -> bool:
    """Whether it belongs to the character before it: accents, variation selectors, skin tones, joiners."""
    return (
        unicodedata.category(character).startswith("M")
        or character == "\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _number(session: Session, slug: str, publication: Publication, issue: Issue) -> tuple[Number | None, list[str]]:
    """The number to give, and what keeps from giving one: a look at the calendar can't end in a mistake."""
    try:
        number = expected(session, slug, publication, issue)
    except IssueMistake as mistake:
        return None, [mistake.what]
    if number is None:
        return None, ["it has no number yet, and this publication's are given by hand: newsletter issue edit"]
    return number, []


def _too_few(ready: int, least: int) -> str:
    are = "is" if ready == 1 else "are"
    return f"{_stories(ready)} {are} ready; at least {least} {'is' if least == 1 else 'are'} needed"


def _wait(session: Session, slug: str, publication: Publication, issue: Issue, why: str, now: dt.datetime) -> Event:
    """Holds an issue in `open`; it is looked at again until its time has passed by cadence.late."""
    event = Event(Happened.held, issue.id, f"{name(issue)[:1].upper()}{name(issue)[1:]} is held: {why}.")
    if issue.state is IssueState.held:
        issue.why = why
        return event
    until = issue.sends + span(publication.cadence.late)
    enter(issue, IssueState.held, now, why=why, next_look=until, held_in=IssueState.open)
    session.flush()
    clock = publication.cadence
    notices.queue(
        session,
        slug,
        f"held {issue.slot}",
        f"{publication.title}: {name(issue)} is held",
        f"Its copy deadline has come, and it can't be assembled: {why}.\n\n"
        f"As soon as nothing is missing it is assembled, until {cadence.wall_clock(clock, until)}. "
        f"It should go {cadence.wall_clock(clock, issue.sends)} ({clock.zone}).\n",
        now,
    )
    return event


def _copy(
    session: Session, publication: Publication, issue: Issue, taken: Sequence[Draft], now: dt.datetime
) -> list[Story]:
    places = {section: place for place, section in enumerate(publication.sections)}
    stories = []
    for position, draft in enumerate(sorted(taken, key=lambda d: places.get(d.section, len(places))), 1):
        copied = {key: getattr(draft, key) for key in _COPIED}
        story = Story(issue_id=issue.id, draft_id=draft.id, position=position, **copied)
        draft.state, draft.issue_id, draft.changed = DraftState.placed, issue.id, now
        session.add(story)
        stories.append(story)
    session.flush()
    session.expire(issue, ["stories"])
    return stories


def _tell_corrections(session: Session, issue: Issue) -> None:
    """Has an issue tell the corrections that were announced and that no issue has told yet.

    Those of a private issue wait for another private one: the note leads to its page.
    """
    earlier = select(Issue.id).where(Issue.publication == issue.publication, Issue.id != issue.id)
    if not issue.private:
        earlier = earlier.where(Issue.private.is_(False))
    session.execute(
        update(Correction)
        .where(Correction.announced, Correction.told_in.is_(None), Correction.issue_id.in_(earlier))
        .values(told_in=issue.id)
    )
    session.expire(issue, ["notes"])


def _stories(count: int) -> str:
    return _count(count, "story", "stories")


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
