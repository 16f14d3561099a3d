"""Which issue is meant, which is due, which number is the last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.errors import IssueMistake
from newsletter.issues.states import name
from newsletter.models import Issue
from newsletter.numbering import MOST, Number, Numbered, label, parse
from newsletter.states import IssueState

AHEAD = (IssueState.open, IssueState.assembled, IssueState.approved, IssueState.held)
"""The states of an issue that nobody has had yet, and somebody may."""


def listing(session: Session, slug: str, *, last: int | None = None) -> Sequence[Issue]:
    """The publication's issues, newest first; only so many if `last` says so."""
    return session.scalars(select(Issue).where(Issue.publication == slug).order_by(Issue.slot.desc()).limit(last)).all()


def find(session: Session, slug: str, text: str) -> Issue:
    """The issue that `text` means: "next", "2.21", "21" where one volume has it, or a date of the calendar.

    A combined issue is found by any of its numbers. "next" is the earliest that may still go, and one that is
    held for good only where there is no other. IssueMistake says which issues there are.
    """
    text = text.strip()
    found: list[Issue] = []
    if text == "next":
        found = _ahead(session, slug)[:1]
    elif text.isdecimal():
        number = int(text)
        found = [] if number > MOST else _with_number(session, slug, number)
        if len(found) > 1:
            labels = " or ".join(_short(issue) for issue in found)
            raise IssueMistake(f"No {number} is in several volumes", remedy=f"Write {labels}.")
    elif (date := _date(text)) is not None:
        found = list(session.scalars(select(Issue).where(Issue.publication == slug, Issue.slot == date)))
    else:
        wanted = parse(text)
        same_number = _with_number(session, slug, wanted.number)
        found = [issue for issue in same_number if issue.volume == wanted.volume]
    if not found:
        raise IssueMistake(
            "there is no issue ahead" if text == "next" else f'there is no issue "{text}"',
            remedy=_there_is(session, slug),
        )
    return found[0]


def due(session: Session, slug: str, now: dt.datetime) -> Sequence[Issue]:
    """The approved issues whose time has come, earliest first."""
    return session.scalars(
        select(Issue)
        .where(Issue.publication == slug, Issue.state == IssueState.approved, Issue.sends <= now)
        .order_by(Issue.sends)
    ).all()


def last_numbered(session: Session, slug: str) -> Numbered | None:
    """The highest number given out so far, and its issue's date; cancelled issues that kept theirs count."""
    issue = session.scalar(
        select(Issue)
        .where(Issue.publication == slug, Issue.volume.is_not(None))
        .order_by(Issue.volume.desc(), Issue.number.desc())
        .limit(1)
    )
    number = None if issue is None else number_of(issue)
    return None if issue is None or number is None else Numbered(number, issue.date or issue.slot)


def check_free(session: Session, number: Number, issue: Issue) -> None:
    """IssueMistake if an issue other than this one already has that number, or one of these."""
    other = session.scalar(
        select(Issue).where(
            Issue.publication == issue.publication,
            Issue.id != issue.id,
            Issue.volume == number.volume,
            Issue.number <= number.last,
            func.coalesce(Issue.through, Issue.number) >= number.number,
        )
    )
    if other is not None:
        raise IssueMistake(f"{number} is taken by {name(other)}, dated {other.date or other.slot}")


def number_of(issue: Issue) -> Number | None:
    """Its volume and number as a value; None while it has none."""
    if issue.volume is None or issue.number is None:
        return None
    return Number(issue.volume, issue.number, issue.through)


def _ahead(session: Session, slug: str) -> list[Issue]:
    issues = session.scalars(
        select(Issue).where(Issue.publication == slug, Issue.state.in_(AHEAD)).order_by(Issue.slot)
    ).all()
    return sorted(issues, key=lambda issue: issue.held_in is IssueState.open and issue.next_look is None)


def _with_number(session: Session, slug: str, number: int) -> list[Issue]:
    return list(
        session.scalars(
            select(Issue)
            .where(
                Issue.publication == slug,
                Issue.number <= number,
                func.coalesce(Issue.through, Issue.number) >= number,
            )
            .order_by(Issue.volume)
        )
    )


def _date(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def _short(issue: Issue) -> str:
    if issue.volume is None or issue.number is None:
        return issue.slot.isoformat()
    return label(issue.volume, issue.number, issue.through)


def _there_is(session: Session, slug: str) -> str:
    last = listing(session, slug, last=6)
    if not last:
        return "There is none yet; the first is opened by `newsletter run` or `newsletter issue assemble`."
    return f"There is {', '.join(f'{_short(issue)} ({issue.state.value})' for issue in reversed(last))}."
