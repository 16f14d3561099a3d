"""How an issue gets from one state to the next, and stands still while someone decides."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.errors import IssueMistake
from newsletter.models import Issue
from newsletter.numbering import long_label
from newsletter.states import IssueState

UNNUMBERED = "it takes drafts until its copy deadline"


class Happened(enum.Enum):
    """What a look at the calendar found or did."""

    opened = "opened"
    """The next issue takes drafts."""
    moved = "moved"
    """The calendar was changed, and the open issue is for another date now."""
    reminded = "reminded"
    """A reminder to the editors is queued."""
    assembled = "assembled"
    """The copy deadline came: stories are frozen, the number is given."""
    approved = "approved"
    """Nobody held it until the time by which they could."""
    held = "held"
    """It doesn't go on its own; the sentence says why."""
    due = "due"
    """Its time to be sent has come. Said at every look until sending begins."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to an issue, with the sentence that tells it."""

    what: Happened
    issue: int
    """Its id."""
    sentence: str


def lock_calendar(session: Session, slug: str) -> None:
    """Waits until no other process is at work on this publication's issues; lasts until the transaction ends.

    Rows that don't exist yet and numbers not yet given can't be locked one by one. SQLite's sessions hold the
    write lock already.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"newsletter issues of {slug}"))))


def lock(session: Session, issue: Issue) -> None:
    """Waits until nobody else changes the issue, and reads it again as it is now."""
    lock_calendar(session, issue.publication)
    session.flush()
    session.refresh(issue, with_for_update=True)


def enter(
    issue: Issue,
    state: IssueState,
    now: dt.datetime,
    *,
    why: str,
    next_look: dt.datetime | None,
    held_in: IssueState | None = None,
    held_by: str = "",
) -> None:
    """Puts an issue into a state, with why it stands there, since when, and when it is next looked at."""
    issue.state, issue.held_in, issue.held_by = state, held_in, held_by
    issue.why, issue.since, issue.next_look = why, now, next_look


def back(issue: Issue, state: IssueState, now: dt.datetime) -> None:
    """Puts an issue into the state that it waits in: open, assembled, approved or sending."""
    waits = {
        IssueState.open: (UNNUMBERED, issue.deadline),
        IssueState.assembled: ("it is frozen, and waits to be approved or sent", issue.approve_by),
        IssueState.approved: ("it waits for its time", issue.sends),
        IssueState.sending: ("", now),
    }
    why, next_look = waits[state]
    enter(issue, state, now, why=why, next_look=next_look)


def name(issue: Issue) -> str:
    """What an issue is called: "Vol 2 No 21", or "the issue of Nov 14, 2023" while it has no number."""
    if issue.volume is None or issue.number is None:
        return f"the issue of {issue.slot:%b} {issue.slot.day}, {issue.slot.year}"
    return long_label(issue.volume, issue.number, issue.through)


def state_in_words(issue: Issue) -> str:
    """The state, and for a held one why: "held by Ann: a source is missing"."""
    if issue.state is IssueState.held:
        return f"held{f' by {issue.held_by}' if issue.held_by else ''}: {issue.why}".rstrip(": .")
    return str(issue.state.value)


def refuse(issue: Issue, done: str, remedy: str) -> IssueMistake:
    """The mistake of asking something of an issue that its state doesn't allow."""
    return IssueMistake(f"{name(issue)} is {state_in_words(issue)}, and can't be {done}", remedy=remedy)


def may_do(issue: Issue) -> str:
    """What can be done with an issue in its state, as a sentence."""
    can = {
        IssueState.open: "assemble, hold, cancel or edit",
        IssueState.assembled: "approve, hold, reopen or cancel",
        IssueState.approved: "hold, reopen, cancel or send",
        IssueState.sending: "pause or cancel",
        IssueState.paused: "resume or cancel",
        IssueState.held: f"resume, {'edit' if issue.held_in is IssueState.open else 'reopen'} or cancel",
    }
    verbs = can.get(issue.state)
    return f"What can be done now: {verbs}." if verbs else "Nothing more can be done with it."
