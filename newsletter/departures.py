"""Readers leave: at once, for good, and by whichever door; and take it back, if they like, within a day.

A departure says by which door, after which issue, and why, where they cared to say. `leave_many` is what a stream of
one-click requests needs: the same for many readers in a few statements and one transaction.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from newsletter import subscribers, suppressions
from newsletter.config import Config
from newsletter.models import Departure, Event, Issue, List, Subscriber, Subscription
from newsletter.states import LeftBy, SubscriptionState

UNDO = dt.timedelta(days=1)
"""For so long a departure can be taken back by a button."""
REASON = dt.timedelta(days=30)
"""For so long a reason can be given."""
LONGEST = 2000
"""Characters of a reason."""
WHY = {
    LeftBy.one_click: "one-click",
    LeftBy.page: "by the page behind the link",
    LeftBy.preferences: "on their own page",
    LeftBy.mail: "asked by mail",
    LeftBy.admin: "by an admin",
}
"""What a subscription says of how it ended."""


class Leaving(Struct, frozen=True):
    """Someone who leaves, by the link of one of their copies."""

    issue: int
    """The issue that the link was in; 0: a link for all publications."""
    subscriber: int


def leave(
    session: Session,
    config: Config,
    subscriber: Subscriber,
    publication: str,
    issue: int | None,
    by: LeftBy,
    now: dt.datetime,
) -> subscribers.Gone:
    """`subscriber` leaves every list of `publication`, or of all where that is empty. Done twice, it changes nothing.

    So they do where `publication` isn't there any more: nobody knows which lists were its own, and whoever was told
    that they have left must have. Copies that still wait for them are called off in the same transaction.
    """
    lists = tuple(row.list for row in subscribers.standings(session, subscriber))
    if publication not in config.publications:
        publication = ""
    if publication:
        lists = tuple(slug for slug in lists if slug in config.publications[publication].lists)
    return leave_lists(session, config, subscriber, lists, publication, issue, by, now)


def leave_lists(
    session: Session,
    config: Config,
    subscriber: Subscriber,
    lists: tuple[str, ...],
    publication: str,
    issue: int | None,
    by: LeftBy,
    now: dt.datetime,
    *,
    why: str = "",
) -> subscribers.Gone:
    """The same for certain lists. SubscriberMistake where they aren't on one of them."""
    gone = subscribers.unsubscribe(session, config, subscriber, lists, now, why or WHY[by])
    if gone.lists:
        session.add(
            Departure(
                subscriber_id=subscriber.id,
                publication=publication,
                issue_id=issue or None,
                lists=",".join(sorted(gone.lists)),
                at=now,
                by=by,
                reason="",
            )
        )
        session.flush()
    return gone


def leave_many(session: Session, config: Config, leaving: Iterable[Leaving], by: LeftBy, now: dt.datetime) -> None:
    """All of these leave, each the lists of the publication whose issue it was: what `leave` does, a few statements.

    Whoever isn't there, was erased, or has left already, is passed over.
    """
    wanted = list(dict.fromkeys(leaving))
    issues = _publications(session, {each.issue for each in wanted if each.issue})
    by_publication: dict[str, dict[int, int | None]] = defaultdict(dict)
    for each in wanted:
        publication = issues.get(each.issue) if each.issue else ""
        if publication is not None:
            known = publication if publication in config.publications else ""
            by_publication[known].setdefault(each.subscriber, each.issue or None)
    everybody: set[int] = set()
    for publication, people in by_publication.items():
        lists = config.publications[publication].lists if publication else None
        _leave_together(session, publication, lists, people, by, now)
        everybody |= people.keys()
    if everybody:
        subscribers.call_off(session, config, sorted(everybody), now)


def _publications(session: Session, issues: set[int]) -> Mapping[int, str]:
    if not issues:
        return {}
    return dict(session.execute(select(Issue.id, Issue.publication).where(Issue.id.in_(issues))).all())


def _leave_together(
    session: Session,
    publication: str,
    lists: Sequence[str] | None,
    people: Mapping[int, int | None],
    by: LeftBy,
    now: dt.datetime,
) -> None:
    query = (
        select(Subscription.subscriber_id, List.id, List.slug, Subscriber.fingerprint)
        .join(List, List.id == Subscription.list_id)
        .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
        .where(Subscription.subscriber_id.in_(people), Subscription.state != SubscriptionState.unsubscribed)
        # In one order for all who write, so that two don't wait for each other.
        .order_by(Subscription.subscriber_id, List.slug)
        .with_for_update(of=Subscription)
    )
    if lists is not None:
        query = query.where(List.slug.in_(lists))
    rows = session.execute(query).all()
    if not rows:
        return
    theirs: dict[int, list[str]] = defaultdict(list)
    of_list: dict[int, list[int]] = defaultdict(list)
    events = []
    why = WHY[by]
    for subscriber, number, slug, fingerprint in rows:
        theirs[subscriber].append(slug)
        of_list[number].append(subscriber)
        events.append({"fingerprint": fingerprint, "at": now, "what": f"{slug}: unsubscribed ({why})"})
    for number, those in of_list.items():
        session.execute(
            update(Subscription)
            .where(Subscription.list_id == number, Subscription.subscriber_id.in_(those))
            .values(state=SubscriptionState.unsubscribed, since=now, why=why)
            .execution_options(synchronize_session=False)
        )
    session.execute(insert(Event), events)
    session.execute(
        insert(Departure),
        [
            {
                "subscriber_id": subscriber,
                "publication": publication,
                "issue_id": people[subscriber],
                "lists": ",".join(slugs),
                "at": now,
                "by": by,
                "reason": "",
            }
            for subscriber, slugs in theirs.items()
        ],
    )


def latest(session: Session, subscriber: int, publication: str) -> Departure | None:
    """The last departure of a subscriber from a publication, or from all, that they haven't taken back."""
    return session.scalar(
        select(Departure)
        .where(
            Departure.subscriber_id == subscriber,
            Departure.publication.in_((publication, "")),
            Departure.undone.is_(None),
        )
        .order_by(Departure.at.desc(), Departure.id.desc())
        .limit(1)
    )


def undo(session: Session, subscriber: Subscriber, publication: str, now: dt.datetime) -> tuple[str, ...]:
    """They are on the lists again that their last departure took them off; answers which.

    Only within UNDO, and never from under a suppression: then nothing is done. What was called off of an issue that
    is being sent stays called off.
    """
    row = latest(session, subscriber.id, publication)
    if row is None or now - row.at > UNDO or suppressions.suppressed(session, subscriber.fingerprint):
        return ()
    back = []
    for subscription, slug in session.execute(
        select(Subscription, List.slug)
        .join(List, List.id == Subscription.list_id)
        .where(Subscription.subscriber_id == subscriber.id, List.slug.in_(row.lists.split(",")))
        .order_by(List.slug)
    ):
        # What has changed since by another door isn't touched; neither is what was never confirmed.
        if subscription.state is SubscriptionState.unsubscribed and subscription.since == row.at:
            back.append(slug)
            state = SubscriptionState.active if subscription.joined else SubscriptionState.pending
            subscription.state, subscription.since, subscription.why = state, now, "taken back"
            suppressions.record(session, subscriber.fingerprint, f"{slug}: {state.value} (taken back)", now)
    row.undone = now
    session.flush()
    return tuple(back)


def say_why(session: Session, subscriber: int, publication: str, reason: str, now: dt.datetime) -> bool:
    """Keeps why somebody left, in their own words, with their last departure; whether there was one to keep it with."""
    row = latest(session, subscriber, publication)
    if row is None or now - row.at > REASON:
        return False
    row.reason = " ".join(reason.replace("\x00", " ").split())[:LONGEST]
    session.flush()
    return True
