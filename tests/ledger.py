"""Drafts, issues and ledgers put in place as rows, for tests of what is seen of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from conftest import NOW
from sqlalchemy import insert
from sqlalchemy.orm import Session

from newsletter.models import Batch, Delivery, Draft, Issue, List, Subscriber, Subscription
from newsletter.states import DeliveryState, DraftState, IssueState, SubscriptionState

DAY, HOUR, MINUTE, SECOND = (dt.timedelta(**{unit: 1}) for unit in ("days", "hours", "minutes", "seconds"))
REPLIES = {"sent": "250 2.0.0 OK", "failed": "550 5.1.1 no such user", "uncertain": "the relay closed the connection"}


def queue(session: Session, count: int, *, state: DraftState = DraftState.ready, at: dt.datetime = NOW - HOUR) -> None:
    """Drafts, last changed at that time."""
    session.add_all(
        Draft(
            publication="digest",
            headline=f"Story {n}",
            section="Economy",
            body="Text.",
            position=n,
            created=at,
            changed=at,
            state=state,
        )
        for n in range(count)
    )
    session.flush()


def people(
    session: Session,
    addresses: Sequence[str],
    *,
    state: SubscriptionState = SubscriptionState.active,
    slug: str = "alliance-digest",
    since: dt.datetime = NOW - 30 * DAY,
) -> list[int]:
    """Subscribers on a list; answers their ids."""
    found = session.query(List).filter_by(slug=slug).one_or_none()
    if found is None:
        found = List(slug=slug, title=slug)
        session.add(found)
        session.flush()
    made = [
        Subscriber(address=each, address_key=each, fingerprint=each[:32], created=NOW, attributes={})
        for each in addresses
    ]
    session.add_all(made)
    session.flush()
    session.execute(
        insert(Subscription),
        [
            {"subscriber_id": person.id, "list_id": found.id, "state": state, "since": since, "why": ""}
            for person in made
        ],
    )
    return [person.id for person in made]


def deliver(
    session: Session,
    issue: Issue,
    subscribers: Sequence[int],
    state: DeliveryState,
    at: dt.datetime,
    reply: str = "",
    next_look: dt.datetime | None = None,
) -> None:
    """Rows of the ledger."""
    if subscribers:
        session.execute(
            insert(Delivery),
            [
                {
                    "issue_id": issue.id,
                    "subscriber_id": each,
                    "state": state,
                    "since": at,
                    "tries": 1,
                    "relay": "outbox",
                    "reply": reply or REPLIES.get(state.value),
                    "next_look": next_look,
                }
                for each in subscribers
            ],
        )


def past(
    session: Session,
    number: int,
    at: dt.datetime,
    took: dt.timedelta = 10 * MINUTE + 58 * SECOND,
    *,
    state: IssueState = IssueState.sent,
    publication: str = "digest",
    **counts: int,
) -> Issue:
    """An issue that went out, and its ledger: past(session, 20, at, sent=12, failed=1)."""
    issue = Issue(
        publication=publication,
        slot=at.date(),
        state=state,
        since=at,
        deadline=at - 16 * HOUR,
        approve_by=at - HOUR,
        sends=at,
        volume=2,
        number=number,
        date=at.date(),
        assembled=at - 16 * HOUR,
        started=at,
        finished=at + took,
    )
    session.add(issue)
    session.flush()
    first = 1
    for word, count in counts.items():
        deliver(session, issue, range(first, first + count), DeliveryState(word), at + 3 * MINUTE)
        first += count
    return issue


def going(
    session: Session,
    at: dt.datetime,
    *,
    sender: dt.datetime | None = None,
    number: int = 21,
    state: IssueState = IssueState.sending,
) -> Issue:
    """An issue whose sending began at that time; a sender has its one batch until `sender`."""
    issue = Issue(
        publication="digest",
        slot=at.date(),
        state=state,
        since=at,
        deadline=at - 16 * HOUR,
        approve_by=at - HOUR,
        sends=at,
        volume=2,
        number=number,
        date=at.date(),
        assembled=at - 16 * HOUR,
        started=at,
        why="",
    )
    session.add(issue)
    session.flush()
    session.add(
        Batch(
            issue_id=issue.id, first=1, last=10**6, due=at, owner=None if sender is None else "here:1:ab", until=sender
        )
    )
    session.flush()
    return issue
