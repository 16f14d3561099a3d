"""How a publication stands: what comes next, what waits and why, what has gone out. Reading only.

Counting is by issue, along the ledger's key, and for no more issues than are shown: a ledger of many years is
as quick to look at as a new one.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, replace

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from newsletter import cadence, dispatch, drafts, issues, segments, waits
from newsletter.audience import Audience
from newsletter.config import Approval, Config, Publication
from newsletter.errors import IssueMistake, ListMistake, Mistake, SegmentMistake
from newsletter.issues.finding import AHEAD
from newsletter.issues.outlook import Ahead, outlook
from newsletter.models import Batch, Delivery, Draft, Issue, Story
from newsletter.states import DeliveryState, DraftState, IssueState
from newsletter.waits import PATIENCE, Wait, label

WINDOW = dt.timedelta(minutes=1)
"""What the rate of sending is taken from."""
ENOUGH, LONG_ENOUGH = 20, 2.0
"""Copies sent within WINDOW, and seconds since the first of them, before a rate is said."""
SHOWN = 3
"""How many of the last issues are shown, and counted."""


class Overdue(enum.Enum):
    """Something whose time has come and that nobody has done."""

    unassembled = "unassembled"
    """Its copy deadline has passed, and nothing has looked."""
    unsent = "unsent"
    """Its time has passed, and it isn't being sent."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The drafts that an open issue may take."""

    ready: int
    carried: int
    """Of these, how many have been ready since before the issue before was assembled, and fitted its date."""
    over: int
    """Of these, how many are more than the issue takes."""
    writing: int
    least: int
    """How many stories the issue needs."""


@dataclass(frozen=True, slots=True)
class Next:
    """An issue that nobody has had yet."""

    name: str
    """As it is called, or will be if it is assembled now: "Vol 2 No 21"."""
    label: str
    """What it is called on the command line: "2.21", or the date of the calendar while it has no number."""
    slot: dt.date
    number: str | None
    """The number it has, or would get now, in short: "2.21"; None where someone must say it."""
    state: IssueState | None
    """None while nobody has opened it."""
    held_in: IssueState | None
    held_by: str
    why: str
    reopened: bool
    """Open, and waiting for someone to assemble it."""
    deadline: dt.datetime
    approve_by: dt.datetime
    sends: dt.datetime
    approval: Approval
    approved_by: str
    overdue: Overdue | None
    stories: int | None
    """How many are frozen in it; None before that."""
    queue: Queue | None
    """None once it is frozen."""
    segment: str
    """The part of its lists that it goes to; empty: all of them."""
    audience: Audience | None
    """Who it would go to now; None where `no_audience` says why that can't be told."""
    no_audience: str
    no_segment: bool
    """Whether that is its segment's fault; else it is a list's."""

    @property
    def unassembled(self) -> bool:
        return self.state in (None, IssueState.open) or self.held_in is IssueState.open


@dataclass(frozen=True, slots=True)
class Going:
    """An issue that is being sent, or is paused."""

    name: str
    label: str
    state: IssueState
    started: dt.datetime | None
    due: int
    done: int
    """Those that have ended, however they ended."""
    counts: dict[str, int]
    """State of deliveries: count, without zeros."""
    rate: float | None
    """Copies a second that relays took within the last minute; None until there are enough samples."""
    left: float | None
    """Seconds until every copy has been tried, at that rate."""
    next_look: dt.datetime | None
    """When the first of its open batches is due."""
    senders: int
    """How many are at work on it."""
    waits: bool
    """For its hours, or for the next day of a warm-up."""
    forsaken: bool
    """Copies are due, and no sender is at work."""


@dataclass(frozen=True, slots=True)
class Past:
    """An issue that has gone out."""

    name: str
    label: str
    state: IssueState
    started: dt.datetime | None
    finished: dt.datetime
    due: int
    counts: dict[str, int]
    """State of deliveries: count, without zeros."""
    took: float | None
    """Seconds from when its audience was frozen."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All there is to say about one publication."""

    publication: str
    title: str
    now: dt.datetime
    zone: str
    next: Next
    following: Next | None
    """The issue that takes drafts meanwhile, where the next one is frozen."""
    going: tuple[Going, ...]
    waits: tuple[Wait, ...]
    last: tuple[Past, ...]


def of(session: Session, config: Config, slug: str, now: dt.datetime) -> Standing:
    """How a publication stands at `now`. CadenceMistake for a calendar in which no issue comes any more."""
    publication = config.publications[slug]
    upcoming, following = _ahead(session, slug, publication, now)
    under_way = session.scalars(
        select(Issue)
        .where(Issue.publication == slug, Issue.state.in_((IssueState.sending, IssueState.paused)))
        .order_by(Issue.sends)
    ).all()
    going = [_going(session, issue, now) for issue in under_way]
    waiting = waits.stopped(session, slug)
    for issue, each in zip(under_way, going, strict=True):
        if each.counts.get("deferred"):
            waiting += waits.deferred(session, issue)
    waiting += waits.uncertain(session, slug)
    waiting += waits.subscriptions(session, publication.lists)
    waiting += waits.notices(session, slug, now)
    waiting += waits.letters(session, slug, now)

    readers: dict[str, Audience | Mistake] = {}

    def shown(each: Ahead | Issue) -> Next:
        issue = each if isinstance(each, Issue) else None
        segment = segments.name_of(publication, issue)
        if segment not in readers:
            try:
                readers[segment] = dispatch.ahead(session, config, slug, issue, now)
            except (ListMistake, SegmentMistake) as mistake:
                readers[segment] = mistake
        return _next(session, slug, publication, each, readers[segment], segment, now)

    return Standing(
        publication=slug,
        title=publication.title,
        now=now,
        zone=publication.cadence.zone,
        next=shown(upcoming),
        following=None if following is None else shown(following),
        going=tuple(going),
        waits=tuple(waiting),
        last=tuple(_last(session, slug)),
    )


# ---- what comes next


def _ahead(
    session: Session, slug: str, publication: Publication, now: dt.datetime
) -> tuple[Ahead | Issue, Ahead | Issue | None]:
    """The issue that is next, and where that is frozen the one that takes drafts."""
    rows = session.scalars(
        select(Issue).where(Issue.publication == slug, Issue.state.in_(AHEAD)).order_by(Issue.slot)
    ).all()
    waiting: list[Ahead | Issue] = [issue for issue in rows if not _given_up(publication, issue, now)]
    if not any(isinstance(each, Issue) and _unassembled(each) for each in waiting):
        waiting += _unopened(session, slug, publication, now)
    if not waiting:
        raise cadence.never(publication.cadence, now.date())
    first, *later = waiting
    if isinstance(first, Ahead) or _unassembled(first):
        return first, None
    return first, next((each for each in later if isinstance(each, Ahead) or _unassembled(each)), None)


def _unopened(session: Session, slug: str, publication: Publication, now: dt.datetime) -> list[Ahead]:
    """The first date of the calendar that has no issue yet; none where the calendar ends before."""
    taken = session.scalar(select(func.count()).where(Issue.publication == slug, Issue.sends >= now)) or 0
    found = outlook(session, slug, publication, now, taken + 3)
    return [row for row in found if isinstance(row, Ahead) and row.state is None][:1]


def _unassembled(issue: Issue) -> bool:
    return issue.state is IssueState.open or issue.held_in is IssueState.open


def _given_up(publication: Publication, issue: Issue, now: dt.datetime) -> bool:
    """Held in open after its time: it stays so until someone decides, and another issue is next."""
    if issue.held_in is not IssueState.open or issue.next_look is not None:
        return False
    return not issue.held_by or cadence.missed(publication.cadence, issue.sends, now)


def _next(
    session: Session,
    slug: str,
    publication: Publication,
    each: Ahead | Issue,
    readers: Audience | Mistake,
    segment: str,
    now: dt.datetime,
) -> Next:
    issue = each if isinstance(each, Issue) else None
    clocks: Ahead | Issue | cadence.Slot = each
    if isinstance(each, Ahead):
        number, unassembled = each.number, True
    else:
        unassembled = _unassembled(each)
        # Until an issue is assembled its clocks are the calendar's, whatever they were when it was opened.
        clocks = (cadence.slot_on(publication.cadence, each.slot) if unassembled else None) or each
        try:
            number = issues.expected(session, slug, publication, each)
        except IssueMistake:
            number = None
    own = issues.number_of(issue) if issue is not None else None
    title = f"the issue of {each.slot:%b} {each.slot.day}" if number is None else number.long
    made = Next(
        name=title,
        label=str(own) if own is not None else each.slot.isoformat(),
        slot=each.slot,
        number=None if number is None else str(number),
        state=each.state,
        held_in=issue.held_in if issue is not None else None,
        held_by=issue.held_by if issue is not None else "",
        why=issue.why if issue is not None else "",
        reopened=issue is not None and issue.state is IssueState.open and issue.next_look is None,
        deadline=clocks.deadline,
        approve_by=clocks.approve_by,
        sends=clocks.sends,
        approval=publication.approval,
        approved_by=issue.approved_by if issue is not None else "",
        overdue=None,
        stories=None if unassembled or issue is None else _stories(session, issue.id),
        queue=_queue(session, slug, publication, each) if unassembled else None,
        segment=segment,
        audience=None if isinstance(readers, Mistake) else readers,
        no_audience=_sentence(readers) if isinstance(readers, Mistake) else "",
        no_segment=isinstance(readers, SegmentMistake),
    )
    return _said_overdue(made, now)


def _sentence(mistake: Mistake) -> str:
    return f"{mistake.where}: {mistake.what}" if isinstance(mistake, SegmentMistake) and mistake.where else mistake.what


def _said_overdue(made: Next, now: dt.datetime) -> Next:
    untouched = made.state is None and made.queue is not None and not made.queue.ready
    if now - made.sends > PATIENCE and not untouched:
        return replace(made, overdue=Overdue.unsent)
    if made.state in (None, IssueState.open) and not made.reopened and now - made.deadline > PATIENCE:
        return made if untouched else replace(made, overdue=Overdue.unassembled)
    return made


def _stories(session: Session, issue: int) -> int:
    return session.scalar(select(func.count()).select_from(Story).where(Story.issue_id == issue)) or 0


def _queue(session: Session, slug: str, publication: Publication, each: Ahead | Issue) -> Queue:
    ready = drafts.candidates(session, slug, each.slot)
    before = session.execute(
        select(Issue.slot, Issue.assembled)
        .where(
            Issue.publication == slug,
            Issue.assembled.is_not(None),
            Issue.state != IssueState.cancelled,
            Issue.slot < each.slot,
        )
        .order_by(Issue.slot.desc())
        .limit(1)
    ).first()
    carried = [
        draft
        for draft in ready
        if before is not None
        and before.assembled is not None
        and draft.changed <= before.assembled
        and (draft.not_before is None or draft.not_before <= before.slot)
    ]
    writing = session.scalar(select(func.count()).where(Draft.publication == slug, Draft.state == DraftState.writing))
    return Queue(
        ready=len(ready),
        carried=len(carried),
        over=max(0, len(ready) - publication.max_stories),
        writing=writing or 0,
        least=publication.min_stories,
    )


# ---- what is being sent


def _going(session: Session, issue: Issue, now: dt.datetime) -> Going:
    counts: dict[str, int] = {}
    recent, first = 0, None
    lately = case((and_(Delivery.since > now - WINDOW, Delivery.since <= now), Delivery.since))
    for state, count, within, earliest in session.execute(
        select(Delivery.state, func.count(), func.count(lately), func.min(lately))
        .where(Delivery.issue_id == issue.id)
        .group_by(Delivery.state)
    ):
        counts[state.value] = count
        if state is DeliveryState.sent:
            recent, first = within, earliest
    rate = None
    if first is not None and recent >= ENOUGH and (now - first).total_seconds() >= LONG_ENOUGH:
        rate = recent / (now - first).total_seconds()
    untried = counts.get("queued", 0) + counts.get("submitting", 0)
    due = sum(counts.values())
    senders = (
        session.scalar(select(func.count(Batch.owner.distinct())).where(Batch.issue_id == issue.id, Batch.until > now))
        or 0
    )
    open_batches = select(func.min(Batch.due)).where(Batch.issue_id == issue.id)
    next_look = session.scalar(open_batches)
    return Going(
        name=issues.name(issue),
        label=label(issue),
        state=issue.state,
        started=issue.started,
        due=due,
        done=due - untried - counts.get("deferred", 0),
        counts=counts,
        rate=rate,
        left=None if rate is None else untried / rate,
        next_look=next_look,
        senders=senders,
        waits=issue.state is IssueState.sending and bool(issue.why),
        forsaken=issue.state is IssueState.sending
        and not senders
        and not issue.why
        and next_look is not None
        and now - max(next_look, issue.since) > PATIENCE,
    )


# ---- what has gone out


def _last(session: Session, slug: str) -> list[Past]:
    found = session.scalars(
        select(Issue)
        .where(Issue.publication == slug, Issue.finished.is_not(None))
        .order_by(Issue.finished.desc())
        .limit(SHOWN)
    )
    past = []
    for issue in found:
        assert issue.finished is not None
        counts = {
            state.value: n
            for state, n in session.execute(
                select(Delivery.state, func.count()).where(Delivery.issue_id == issue.id).group_by(Delivery.state)
            )
        }
        past.append(
            Past(
                name=issues.name(issue),
                label=label(issue),
                state=issue.state,
                started=issue.started,
                finished=issue.finished,
                due=sum(counts.values()),
                counts=counts,
                took=None if issue.started is None else (issue.finished - issue.started).total_seconds(),
            )
        )
    return past
