"""One look at a publication's calendar. What is due is done, once, however many processes look at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from newsletter import cadence, drafts, notices
from newsletter.cadence import Slot
from newsletter.config import Approval, Publication
from newsletter.database import insert
from newsletter.errors import IssueMistake
from newsletter.issues.assembling import assemble, expected
from newsletter.issues.states import UNNUMBERED, Event, Happened, back, enter, lock, lock_calendar, name
from newsletter.models import Draft, Issue, Story
from newsletter.states import DraftState, IssueState


def advance(session: Session, slug: str, publication: Publication, now: dt.datetime) -> list[Event]:
    """Does what the calendar says is due by `now`, and answers what that was. Looking again changes nothing.

    Opens the next issue, reminds, assembles at the copy deadline, approves or holds at the time of approval,
    and says which issue is due. Slots that were missed while nothing ran are not caught up with one by one:
    their drafts wait for the next issue. CadenceMistake for a calendar that can't be.
    """
    lock_calendar(session, slug)
    # First of all, since it also brings the open issue in line with a calendar that was changed.
    _, events = _open_next(session, slug, publication, now)
    for issue in _waiting(session, slug):
        events += _look(session, slug, publication, issue, now)
    # A late issue may be opened and closed in one look; then the one after it is opened too.
    for _ in range(_MOST_AT_ONCE):
        issue, opened = _open_next(session, slug, publication, now)
        events += opened
        if not opened:
            break
        events += _look(session, slug, publication, issue, now)
    return events


_MOST_AT_ONCE = 50
"""Issues opened in one look; any more wait for the next look."""


def open_next(session: Session, slug: str, publication: Publication, now: dt.datetime) -> Issue:
    """The issue that takes drafts now; made on first look, and only one however many look at once.

    It is for the first slot, not missed, that hasn't been assembled or cancelled. If the calendar was changed
    under an open issue, that issue moves to the slot, with all that was wanted of it.
    """
    lock_calendar(session, slug)
    return _open_next(session, slug, publication, now)[0]


def _waiting(session: Session, slug: str) -> list[Issue]:
    """The issues that the calendar may have something to do with, earliest first, as they are now."""
    return list(
        session.scalars(
            select(Issue)
            .where(
                Issue.publication == slug,
                or_(
                    Issue.state.in_((IssueState.open, IssueState.assembled, IssueState.approved)),
                    (Issue.state == IssueState.held) & (Issue.held_in == IssueState.open),
                ),
            )
            .order_by(Issue.slot)
            .execution_options(populate_existing=True)
        )
    )


def _open_next(session: Session, slug: str, publication: Publication, now: dt.datetime) -> tuple[Issue, list[Event]]:
    waiting = {issue.slot: issue for issue in _waiting(session, slug) if _unassembled(issue)}
    slot = _first_unhandled(session, slug, publication, now, set(waiting))
    strays = [
        issue
        for date, issue in waiting.items()
        if date != slot.date
        and not cadence.missed(publication.cadence, issue.sends, now)
        and cadence.slot_on(publication.cadence, date) is None
    ]
    for date, issue in waiting.items():
        if issue not in strays and (same := cadence.slot_on(publication.cadence, date)) is not None:
            _set_clocks(issue, same, now)
    if slot.date in waiting:
        return waiting[slot.date], []
    if strays:
        issue = strays[0]
        before = name(issue)
        issue.slot = slot.date
        _set_clocks(issue, slot, now)
        session.flush()
        return issue, [Event(Happened.moved, issue.id, f"The calendar was changed: {before} is {name(issue)} now.")]
    made = session.scalar(
        insert(session, Issue)
        .values(
            publication=slug,
            slot=slot.date,
            state=IssueState.open,
            why=UNNUMBERED,
            since=now,
            held_by="",
            next_look=slot.deadline,
            deadline=slot.deadline,
            approve_by=slot.approve_by,
            sends=slot.sends,
            wanted_subject="",
            wanted_preheader="",
            subject="",
            preheader="",
            approved_by="",
        )
        .on_conflict_do_nothing(index_elements=["publication", "slot"])
        .returning(Issue.id)
    )
    issue = session.scalars(
        select(Issue)
        .where(Issue.publication == slug, Issue.slot == slot.date)
        .execution_options(populate_existing=True)
    ).one()
    if made is None:
        return issue, []
    closes = cadence.wall_clock(publication.cadence, slot.deadline)
    return issue, [Event(Happened.opened, issue.id, f"{_capital(name(issue))} is open until {closes}.")]


def _first_unhandled(
    session: Session, slug: str, publication: Publication, now: dt.datetime, waiting: set[dt.date]
) -> Slot:
    handled = set(session.scalars(select(Issue.slot).where(Issue.publication == slug))) - waiting
    for slot in cadence.upcoming(publication.cadence, now):
        if slot.date not in handled:
            return slot
    raise cadence.never(publication.cadence, now.date())


def _unassembled(issue: Issue) -> bool:
    return issue.state is IssueState.open or issue.held_in is IssueState.open


def _set_clocks(issue: Issue, slot: Slot, now: dt.datetime) -> None:
    """Until an issue is assembled its clocks are the calendar's, whatever they were when it was opened."""
    if (issue.deadline, issue.approve_by, issue.sends) == (slot.deadline, slot.approve_by, slot.sends):
        return
    issue.deadline, issue.approve_by, issue.sends = slot.deadline, slot.approve_by, slot.sends
    if not issue.held_by:
        back(issue, IssueState.open, now)


def _look(session: Session, slug: str, publication: Publication, issue: Issue, now: dt.datetime) -> Iterator[Event]:
    """One issue, from whatever state it is in to as far as it goes by itself."""
    lock(session, issue)
    if _unassembled(issue):
        yield from _until_assembled(session, slug, publication, issue, now)
    if issue.state is IssueState.assembled:
        yield from _until_approved(session, slug, publication, issue, now)
    if issue.state is IssueState.approved:
        yield from _until_due(session, slug, publication, issue, now)


def _until_assembled(
    session: Session, slug: str, publication: Publication, issue: Issue, now: dt.datetime
) -> Iterator[Event]:
    if issue.held_by or (issue.state is IssueState.held and issue.next_look is None):
        return
    was_held, why = issue.state is IssueState.held, issue.why
    sends = cadence.wall_clock(publication.cadence, issue.sends)
    remedy = "Assemble it after all with newsletter issue assemble, or cancel it."
    if issue.state is IssueState.open and issue.next_look is None:
        if now >= issue.sends:
            reason = f"it was reopened, and not assembled again by its time, {sends}"
            yield _hold(session, slug, publication, issue, "reopened", reason, now, remedy)
    elif cadence.missed(publication.cadence, issue.sends, now):
        reason = f"{why}; its time" if was_held else "the machine was off, or nothing ran on it; its time"
        reason = f"{reason}, {sends}, has passed, and its drafts wait for the next issue"
        yield _hold(session, slug, publication, issue, "missed", reason, now, remedy)
    elif now >= issue.deadline:
        event = assemble(session, slug, publication, issue, now)
        if event.what is Happened.assembled:
            _tell_assembled(session, slug, publication, issue, now)
        if not was_held or issue.why != why:
            yield event
    else:
        yield from _remind(session, slug, publication, issue, now)


def _until_approved(
    session: Session, slug: str, publication: Publication, issue: Issue, now: dt.datetime
) -> Iterator[Event]:
    if publication.approval is Approval.manual or now < issue.approve_by:
        return
    by = cadence.wall_clock(publication.cadence, issue.approve_by)
    if publication.approval is Approval.veto:
        enter(issue, IssueState.approved, now, why=f"nobody held it by {by}", next_look=issue.sends)
        yield Event(Happened.approved, issue.id, f"{name(issue)} is approved: nobody held it by {by}.")
    else:
        yield _hold(
            session,
            slug,
            publication,
            issue,
            "not approved",
            f"not approved by {by}",
            now,
            "Approve it with newsletter issue approve: it goes at its time, or at once if that has passed.",
        )


def _until_due(
    session: Session, slug: str, publication: Publication, issue: Issue, now: dt.datetime
) -> Iterator[Event]:
    if now < issue.sends:
        return
    if not cadence.missed(publication.cadence, issue.sends, now):
        yield Event(Happened.due, issue.id, f"{name(issue)} is due to be sent.")
        return
    sends = cadence.wall_clock(publication.cadence, issue.sends)
    yield _hold(
        session,
        slug,
        publication,
        issue,
        "late",
        f"the machine was off, or nothing ran on it: it should have gone at {sends}, "
        f"and {publication.cadence.late} have passed",
        now,
        "Let it go at once with newsletter issue resume, or cancel it.",
    )


def _hold(
    session: Session,
    slug: str,
    publication: Publication,
    issue: Issue,
    kind: str,
    why: str,
    now: dt.datetime,
    remedy: str,
) -> Event:
    """Holds an issue until a person decides, and tells the editors: once for each time it was assembled."""
    within = issue.held_in if issue.state is IssueState.held else issue.state
    enter(issue, IssueState.held, now, why=why, next_look=None, held_in=within)
    session.flush()
    assembled = f" {issue.assembled:%Y-%m-%dT%H:%M:%S}" if issue.assembled else ""
    notices.queue(
        session,
        slug,
        f"{kind} {issue.slot}{assembled}",
        f"{publication.title}: {name(issue)} is held",
        f"{_capital(name(issue))} is held: {why}.\n\n{remedy}\n",
        now,
    )
    return Event(Happened.held, issue.id, f"{_capital(name(issue))} is held: {why}.")


def _tell_assembled(session: Session, slug: str, publication: Publication, issue: Issue, now: dt.datetime) -> None:
    """Word to the editors that there is something to approve or to hold."""
    clock = publication.cadence
    stories = session.scalars(select(Story).where(Story.issue_id == issue.id).order_by(Story.position))
    sends = f"{cadence.wall_clock(clock, issue.sends)} ({clock.zone})"
    by = cadence.wall_clock(clock, issue.approve_by)
    what = {
        Approval.manual: "It goes when someone sends it: newsletter issue send.",
        Approval.approve: f"It goes {sends} if it is approved by {by}: newsletter issue approve.",
        Approval.veto: f"It goes {sends} unless someone holds it by {by}: newsletter issue hold.",
    }[publication.approval]
    notices.queue(
        session,
        slug,
        f"assembled {issue.slot} {now:%Y-%m-%dT%H:%M:%S}",
        f"{publication.title}: {name(issue)} is assembled",
        f"{what}\n\n" + "".join(f"{story.position}. {story.headline}\n" for story in stories),
        now,
    )


def _remind(session: Session, slug: str, publication: Publication, issue: Issue, now: dt.datetime) -> Iterator[Event]:
    """Queues the reminder whose time came last: those before it would only say the same at the same time."""
    slot = cadence.slot_on(publication.cadence, issue.slot)
    come = [text for text, at in slot.reminders if at <= now] if slot is not None else []
    if not come or now >= issue.sends:
        return
    deadline = cadence.wall_clock(publication.cadence, issue.deadline)
    title = _expected_name(session, slug, publication, issue)
    queued = notices.queue(
        session,
        slug,
        f"reminder {issue.slot} {come[-1]}",
        f"{publication.title}: {title} closes {deadline}",
        _reminder(session, slug, publication, issue, title),
        now,
    )
    if queued:
        yield Event(Happened.reminded, issue.id, f"The editors are reminded that {title} closes {deadline}.")


def _reminder(session: Session, slug: str, publication: Publication, issue: Issue, title: str) -> str:
    clock = publication.cadence
    ready = len(drafts.candidates(session, slug, issue.slot))
    writing = (
        session.scalar(select(func.count()).where(Draft.publication == slug, Draft.state == DraftState.writing)) or 0
    )
    least, most = publication.min_stories, publication.max_stories
    lines = [
        f"{title} closes {cadence.wall_clock(clock, issue.deadline)} ({clock.zone}).",
        f"It goes {cadence.wall_clock(clock, issue.sends)}.",
        f"Drafts ready: {ready}. In writing: {writing}.",
    ]
    if ready < least:
        lines.append(f"Missing: {least - ready}; without at least {least} the issue is held.")
    elif ready > most:
        lines.append(f"It takes {most}; {ready - most} will be carried over.")
    else:
        lines.append(f"Nothing is missing; there is room for {most - ready} more.")
    if title == name(issue):
        lines.append("It has no number yet: newsletter issue edit next --volume … --number …")
    return "\n".join(lines) + "\n"


def _expected_name(session: Session, slug: str, publication: Publication, issue: Issue) -> str:
    try:
        number = expected(session, slug, publication, issue)
    except IssueMistake:
        number = None
    return name(issue) if number is None else number.long


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
