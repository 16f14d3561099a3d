"""What waits: why, since when, and when it is next looked at. Reading only."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, and_, case, func, literal_column, select
from sqlalchemy.orm import Session

from newsletter import issues
from newsletter.models import Delivery, Issue, Letter, List, Notice, Pace, RelayHealth, Subscription
from newsletter.states import DeliveryState, IssueState, LetterState, NoticeState, SubscriptionState

PATIENCE = dt.timedelta(minutes=1)
"""How long something may be due and not done before it is said to be late: the bell rings more often."""


class Waits(enum.Enum):
    """What it is that waits."""

    issue = "issue"
    """Held or paused, reopened and not assembled again, or being sent and waiting for its hours or the next day."""
    deferred = "deferred"
    """Deliveries that will be tried again."""
    uncertain = "uncertain"
    """Deliveries of which nobody knows whether they arrived."""
    relay = "relay"
    """One that failed and is left alone for a while."""
    pace = "pace"
    """A recipient domain that asked for less: its readers' copies go as fast as it takes them."""
    subscription = "subscription"
    """Asked for, not yet confirmed."""
    notice = "notice"
    """Mails to the editors that could not be sent."""
    letter = "letter"
    """Mails to single readers, to confirm an address or with a link, that could not be sent yet."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that waits: why, since when, and when it is next looked at."""

    kind: Waits
    label: str
    """The issue's, as on the command line, or the relay's or the domain's name; "" for what belongs to none."""
    state: str
    """The word of the state that it is in."""
    count: int
    since: dt.datetime
    until: dt.datetime
    """Since when the latest of them waits."""
    why: str
    next_look: dt.datetime | None
    """None where a person decides."""
    held_by: str = ""
    held_in: IssueState | None = None
    """For a held issue: the state that it goes back to."""


def relays(session: Session, names: Sequence[str]) -> list[Wait]:
    """The relays that failed and haven't taken a message since. They are all publications' alike."""
    found = session.scalars(select(RelayHealth).where(RelayHealth.relay.in_(names)).order_by(RelayHealth.since))
    return [Wait(Waits.relay, row.relay, "deferred", 1, row.since, row.since, row.why, row.next_look) for row in found]


def paces(session: Session) -> list[Wait]:
    """The recipient domains that are paced, the slowest first. They are all publications' alike."""
    found = session.scalars(select(Pace).order_by(Pace.rate, Pace.domain))
    return [
        Wait(
            Waits.pace,
            row.domain,
            "deferred",
            1,
            row.since,
            row.since,
            f"it gets {row.rate:.1f} messages a second: {row.why}",
            None,
        )
        for row in found
    ]


def stopped(session: Session, slug: str) -> list[Wait]:
    """Issues that are held, paused, reopened and not assembled again, or sent on later."""
    found = session.scalars(
        select(Issue)
        .where(
            Issue.publication == slug,
            Issue.state.in_((IssueState.held, IssueState.paused))
            | and_(Issue.state == IssueState.open, Issue.next_look.is_(None))
            | and_(Issue.state == IssueState.sending, Issue.why != ""),
        )
        .order_by(Issue.slot)
    )
    return [
        Wait(
            Waits.issue,
            label(issue),
            issue.state.value,
            1,
            issue.since,
            issue.since,
            issue.why,
            issue.next_look,
            issue.held_by,
            issue.held_in,
        )
        for issue in found
    ]


def deferred(session: Session, issue: Issue) -> list[Wait]:
    """An issue's deferred deliveries, by what the relays said."""
    here = and_(Delivery.issue_id == issue.id, Delivery.state == DeliveryState.deferred)
    return _by_words(session, [issue], here, Waits.deferred)


def uncertain(session: Session, slug: str) -> list[Wait]:
    """Uncertain deliveries of any issue there ever was, by what was written of them, the newest issue first."""
    # In so many words, and with no word about the issue: then the index that holds no others is what is read.
    unsure: ColumnElement[bool] = literal_column("deliveries.state = 'uncertain'")
    found = session.scalars(
        select(Issue)
        .where(Issue.publication == slug, Issue.id.in_(select(Delivery.issue_id).where(unsure).distinct()))
        .order_by(Issue.slot.desc())
    ).all()
    return _by_words(session, found, unsure, Waits.uncertain) if found else []


def _by_words(session: Session, found: Sequence[Issue], which: ColumnElement[bool], kind: Waits) -> list[Wait]:
    """Deliveries in groups of the same codes, since what follows them in a reply may be each one's own."""
    words = func.coalesce(Delivery.reply, "")
    coded = and_(func.substr(words, 1, 1) >= "0", func.substr(words, 1, 1) <= "9")
    # "421 4.7.28 slow down" is told by ten characters: a code (RFC 5321), an enhanced one (RFC 3463).
    start = case((coded, func.substr(words, 1, 10)), else_=func.substr(words, 1, 24)).label("start")
    groups = session.execute(
        select(
            Delivery.issue_id,
            start,
            func.count(),
            func.min(Delivery.since),
            func.max(Delivery.since),
            func.min(Delivery.next_look),
            func.min(words),
        )
        .where(which)
        .group_by(Delivery.issue_id, start)
        .order_by(Delivery.issue_id, start)
    ).all()
    waiting: list[Wait] = []
    for issue in found:
        merged: dict[str, Wait] = {}
        for number, beginning, count, since, until, next_look, said in groups:
            if number != issue.id:
                continue
            made = Wait(kind, label(issue), kind.value, count, since, until, said, next_look)
            key = codes(beginning)
            merged[key] = _together(merged[key], made) if key in merged else made
        waiting += sorted(merged.values(), key=lambda wait: -wait.count)
    return waiting


def _together(one: Wait, other: Wait) -> Wait:
    looks = [moment for moment in (one.next_look, other.next_look) if moment is not None]
    return replace(
        one,
        count=one.count + other.count,
        since=min(one.since, other.since),
        until=max(one.until, other.until),
        next_look=min(looks, default=None),
    )


def codes(beginning: str) -> str:
    """What replies of a kind have in common: "421 4.7.28" of "421 4.7.28"; "451" of "451 <ann@e"."""
    if not beginning[:3].isdecimal():
        return beginning
    code, _, rest = beginning.partition(" ")
    enhanced = rest.partition(" ")[0]
    return f"{code} {enhanced}" if enhanced[:2] in ("2.", "4.", "5.") else code


def subscriptions(session: Session, lists: Sequence[str]) -> list[Wait]:
    """The pending subscriptions on these lists, as one."""
    count, since, until = session.execute(
        select(func.count(), func.min(Subscription.since), func.max(Subscription.since))
        .join(List, List.id == Subscription.list_id)
        .where(List.slug.in_(lists), List.retired.is_(None), Subscription.state == SubscriptionState.pending)
    ).one()
    if not count:
        return []
    return [Wait(Waits.subscription, "", "pending", count, since, until, "not yet confirmed", None)]


def notices(session: Session, slug: str, now: dt.datetime) -> list[Wait]:
    """Notices that a relay didn't take, or that nobody has tried to send although there was time."""
    groups = session.execute(
        select(Notice.why, func.count(), func.min(Notice.since), func.max(Notice.since))
        .where(
            Notice.publication == slug,
            Notice.state == NoticeState.queued,
            (Notice.why != "") | (Notice.since < now - PATIENCE),
        )
        .group_by(Notice.why)
        .order_by(func.min(Notice.since))
    )
    return [
        Wait(Waits.notice, "", "queued", count, since, until, why or "not yet sent", None)
        for why, count, since, until in groups
    ]


def letters(session: Session, slug: str, now: dt.datetime) -> list[Wait]:
    """Letters that a relay didn't take yet, by what it said, without the words that may name a reader; and letters
    that nobody has tried to send although there was time.
    """
    waiting: dict[str, Wait] = {}
    for why, count, since, until, next_look in session.execute(
        select(Letter.why, func.count(), func.min(Letter.since), func.max(Letter.since), func.min(Letter.next_look))
        .where(
            Letter.publication == slug,
            Letter.state == LetterState.queued,
            (Letter.why != "") | (Letter.since < now - PATIENCE),
        )
        .group_by(Letter.why)
        .order_by(func.min(Letter.since))
    ):
        key = codes(why) or "not yet sent"
        made = Wait(Waits.letter, "", "queued", count, since, until, key, next_look)
        waiting[key] = _together(waiting[key], made) if key in waiting else made
    return list(waiting.values())


def label(issue: Issue) -> str:
    """What an issue is called on the command line: "2.21", or its date in the calendar while it has no number."""
    number = issues.number_of(issue)
    return issue.slot.isoformat() if number is None else str(number)
