"""What a person decides about an issue. Each step reads it again under a lock, and says no with a reason."""

from __future__ import annotations

import datetime as dt
import unicodedata

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from newsletter import segments
from newsletter.config import Config
from newsletter.errors import IssueMistake
from newsletter.issues import finding
from newsletter.issues.assembling import check_subject
from newsletter.issues.states import back, enter, lock, may_do, name, refuse
from newsletter.models import Correction, Delivery, Draft, Issue, Rendition, Story
from newsletter.numbering import MOST, Number
from newsletter.states import DeliveryState, DraftState, IssueState

FROZEN = (IssueState.assembled, IssueState.approved)
"""The states of a numbered issue that nobody has been sent yet."""


def approve(session: Session, issue: Issue, by: str, now: dt.datetime) -> None:
    """It goes at its time; at once, if that has passed: whoever approves late wants it to go.

    Also lifts what the program itself holds it for, such as a missing approval; not what a person does.
    """
    lock(session, issue)
    held = issue.state is IssueState.held and issue.held_in in FROZEN
    if issue.state is not IssueState.assembled and not held:
        raise refuse(issue, "approved", may_do(issue))
    if issue.held_by:
        raise refuse(issue, "approved", "Resume it first: newsletter issue resume.")
    issue.approved_by = by
    _not_before(issue, now)
    back(issue, IssueState.approved, now)


def hold(session: Session, issue: Issue, why: str, by: str, now: dt.datetime) -> None:
    """It doesn't go until it is resumed. `by` is empty where the program itself finds a reason.

    A person may take over what the program holds; then it isn't lifted by itself any more.
    """
    lock(session, issue)
    if issue.state in (IssueState.sending, IssueState.paused):
        raise refuse(issue, "held", "Stop it with newsletter issue pause, or cancel it.")
    if issue.state is IssueState.held and not issue.held_by:
        within = issue.held_in
    elif issue.state in (IssueState.open, *FROZEN):
        within = issue.state
    else:
        raise refuse(issue, "held", may_do(issue))
    enter(issue, IssueState.held, now, why=why, next_look=None, held_in=within, held_by=by)


def resume(session: Session, issue: Issue, now: dt.datetime) -> None:
    """A held issue goes back to where it was, and a paused one is sent on.

    If its time has passed meanwhile, it goes at once where it was approved, or as soon as it is.
    """
    lock(session, issue)
    if issue.state is IssueState.paused:
        back(issue, IssueState.sending, now)
    elif issue.state is IssueState.held and issue.held_in is not None:
        if issue.held_in is not IssueState.open:
            _not_before(issue, now)
        back(issue, issue.held_in, now)
    else:
        raise refuse(issue, "resumed", may_do(issue))


def pause(session: Session, issue: Issue, by: str, now: dt.datetime) -> None:
    """Stops an issue that is being sent; what a relay has been given already stays given."""
    lock(session, issue)
    if issue.state is not IssueState.sending:
        raise refuse(issue, "paused", may_do(issue))
    enter(issue, IssueState.paused, now, why=f"paused by {by}" if by else "paused", next_look=None)


def cancel(session: Session, issue: Issue, why: str, now: dt.datetime) -> None:
    """It will not go, or not to those who haven't had it.

    Copies not yet begun are skipped. Where nobody can have had one, its drafts are ready again, and it gives
    its number back if that is the last one given: the next issue takes it, so there is no gap. A number that
    a later issue already follows stays with the cancelled one, where it can be seen: another issue with it
    would stand out of order. Where somebody may have had a copy, its stories are published and its number
    stays.
    """
    lock(session, issue)
    if issue.state in (IssueState.sent, IssueState.cancelled):
        raise refuse(issue, "cancelled", may_do(issue))
    session.execute(
        update(Delivery)
        .where(Delivery.issue_id == issue.id, Delivery.state.in_((DeliveryState.queued, DeliveryState.deferred)))
        .values(state=DeliveryState.skipped, since=now, next_look=None, reply="cancelled")
    )
    begun = session.scalar(
        select(
            exists().where(
                Delivery.issue_id == issue.id,
                Delivery.state.in_((DeliveryState.sent, DeliveryState.submitting, DeliveryState.uncertain)),
            )
        )
    )
    if begun:
        _turn_drafts(session, issue, DraftState.published, now)
    else:
        _turn_drafts(session, issue, DraftState.ready, now)
        _give_number_back(session, issue)
        _tell_later(session, issue)
    if issue.started is not None:
        issue.finished = now
    enter(issue, IssueState.cancelled, now, why=why, next_look=None)
    session.flush()


def reopen(session: Session, issue: Issue, now: dt.datetime, by: str = "") -> None:
    """An assembled issue that nobody has been sent takes drafts again; a person's hold stays on it.

    Its stories and renditions are gone, the drafts they came from are ready again, and its number is given
    back; where a later issue already follows it, it keeps it. After its copy deadline it waits for someone to
    assemble it.
    """
    lock(session, issue)
    where = issue.held_in if issue.state is IssueState.held else issue.state
    if where not in FROZEN or issue.started is not None:
        raise refuse(issue, "reopened", may_do(issue))
    session.execute(delete(Rendition).where(Rendition.issue_id == issue.id))
    session.execute(delete(Story).where(Story.issue_id == issue.id))
    _turn_drafts(session, issue, DraftState.ready, now)
    _give_number_back(session, issue)
    _tell_later(session, issue)
    issue.date = issue.assembled = None
    issue.private = False
    issue.subject = issue.preheader = issue.approved_by = ""
    if issue.held_by:
        enter(
            issue,
            IssueState.held,
            now,
            why=issue.why,
            next_look=None,
            held_in=IssueState.open,
            held_by=issue.held_by,
        )
    elif now < issue.deadline:
        back(issue, IssueState.open, now)
    else:
        why = f"reopened{f' by {by}' if by else ''}: it waits for someone to assemble it"
        enter(issue, IssueState.open, now, why=why, next_look=None)
    session.flush()
    session.expire(issue, ["stories"])


def override(
    session: Session,
    issue: Issue,
    *,
    volume: int | None = None,
    number: int | None = None,
    through: int | None = None,
    subject: str | None = None,
    preheader: str | None = None,
) -> None:
    """What an editor wants of an issue that isn't assembled yet: None leaves it, 0 or "" takes the wish back.

    IssueMistake for what can't be, or once the issue is frozen.
    """
    lock(session, issue)
    if issue.state is not IssueState.open and issue.held_in is not IssueState.open:
        raise refuse(issue, "edited", "It is frozen; reopen it first: newsletter issue reopen.")
    if issue.volume is not None and (volume, number, through) != (None, None, None):
        raise IssueMistake(f"{name(issue)} keeps its number, since a later issue follows it")
    for field, value in (("volume", volume), ("number", number), ("through", through)):
        if value is None:
            continue
        if not 0 <= value <= MOST:
            raise IssueMistake(f"{field} {value} can't be", remedy=f"It is from 1 to {MOST}.")
        setattr(issue, f"wanted_{field}", value or None)
    if issue.wanted_through and issue.wanted_number and issue.wanted_through <= issue.wanted_number:
        raise IssueMistake(
            f"a combined issue can't run from No {issue.wanted_number} to No {issue.wanted_through}",
            remedy="The last number comes after the first.",
        )
    if issue.wanted_volume and issue.wanted_number:
        asked = Number(issue.wanted_volume, issue.wanted_number, issue.wanted_through)
        finding.check_free(session, asked, issue)
    if subject is not None:
        check_subject(subject)
        issue.wanted_subject = _line(subject, "subject")
    if preheader is not None:
        issue.wanted_preheader = _line(preheader, "preheader")
    session.flush()


def choose_segment(session: Session, config: Config, issue: Issue, segment: str) -> None:
    """Which part of its lists an issue goes to: the name of a segment, "all", or empty for its publication's.

    SegmentMistake for one that isn't there or can't be read. IssueMistake once it is approved: whoever approved it
    approved of those it goes to.
    """
    lock(session, issue)
    if issue.started is not None or issue.state not in (IssueState.open, IssueState.assembled, IssueState.held):
        remedy = "Hold it first: newsletter issue hold." if issue.state is IssueState.approved else may_do(issue)
        raise refuse(issue, "sent to others", remedy)
    if segment and segment != segments.ALL:
        segments.expression_of(config, segment)
    issue.segment = segment
    session.flush()


def make_private(session: Session, issue: Issue, private: bool | None) -> None:
    """Whether an issue's page can be read only by who has its link; None: as its publication's issues are.

    IssueMistake once it is rendered: the address of its page stands in the mail.
    """
    lock(session, issue)
    where = issue.held_in if issue.state is IssueState.held else issue.state
    rendered = session.scalar(select(exists().where(Rendition.issue_id == issue.id)))
    if where not in (IssueState.open, *FROZEN) or rendered:
        done = "made private" if private else "made public"
        raise refuse(
            issue, done, "It is rendered; reopen it first: newsletter issue reopen." if rendered else may_do(issue)
        )
    issue.wanted_private = private
    if where is not IssueState.open and private is not None:
        issue.private = private
    session.flush()


def _line(text: str, what: str) -> str:
    text = text.strip()
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"} for character in text):
        raise IssueMistake(f"the {what} holds a line break or a control character", remedy="Write it on one line.")
    return text


def _not_before(issue: Issue, now: dt.datetime) -> None:
    issue.sends = max(issue.sends, now)


def _turn_drafts(session: Session, issue: Issue, state: DraftState, now: dt.datetime) -> None:
    values = {"state": state, "changed": now} | ({"issue_id": None} if state is DraftState.ready else {})
    session.execute(update(Draft).where(Draft.issue_id == issue.id, Draft.state == DraftState.placed).values(**values))


def _tell_later(session: Session, issue: Issue) -> None:
    """Leaves the corrections that an issue was to tell to the next one."""
    session.execute(update(Correction).where(Correction.told_in == issue.id).values(told_in=None))
    session.expire(issue, ["notes"])


def _give_number_back(session: Session, issue: Issue) -> None:
    """Takes its number off an issue if it is the last one given."""
    last = finding.last_numbered(session, issue.publication)
    if last is not None and last.number == finding.number_of(issue):
        issue.volume = issue.number = issue.through = None
