"""What a reader decides on their own page: which lists, who they are, a break, and whether they may be measured."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from newsletter import consents, departures, pausing, signups, suppressions, visits
from newsletter.config import Config
from newsletter.errors import SubscriberMistake
from newsletter.models import List, Subscriber, Subscription
from newsletter.states import ConsentTo, LeftBy, SubscriptionState
from newsletter.subscribers import ATTRIBUTE_LENGTH, NAME_LENGTH, one_line


@dataclass(frozen=True, slots=True)
class Choice:
    """A list that a reader may be on, and how they stand with it."""

    slug: str
    title: str
    description: str
    on: bool
    since: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Choices:
    """What stands in the form of the page."""

    lists: frozenset[str]
    name: str
    attributes: Mapping[str, str]
    language: str
    paused_until: dt.date | None
    measured: bool


@dataclass(frozen=True, slots=True)
class Words:
    """Where and under which words it was decided."""

    wording: str
    measuring: str
    page: str
    client: str
    language: str


def choices(session: Session, subscriber: Subscriber) -> tuple[Choice, ...]:
    """The lists that are offered to all, and those that this reader is on."""
    found = []
    for row, standing in session.execute(
        select(List, Subscription)
        .outerjoin(Subscription, (Subscription.list_id == List.id) & (Subscription.subscriber_id == subscriber.id))
        .where(List.retired.is_(None), or_(List.public.is_(True), Subscription.state == SubscriptionState.active))
        .order_by(List.title, List.slug)
    ):
        on = standing is not None and standing.state is SubscriptionState.active
        found.append(Choice(row.slug, row.title, row.description, on, standing.since if on else None))
    return tuple(found)


def publication_of(session: Session, config: Config, subscriber: Subscriber) -> str:
    """The publication in whose name a letter goes to a reader: the first that they get, or else the first."""
    on = {choice.slug for choice in choices(session, subscriber) if choice.on}
    theirs = (slug for slug, publication in config.publications.items() if on & set(publication.lists))
    return next(theirs, next(iter(config.publications)))


def faults(config: Config, subscriber: Subscriber, chosen: Choices, today: dt.date) -> dict[str, str]:
    """Field: which kind of fault it has ("line", "past", "far"); empty where all of it can be kept."""
    wrong = {}
    for field, text, longest in [
        ("name", chosen.name, NAME_LENGTH),
        *((f"attribute-{key}", chosen.attributes.get(key, ""), ATTRIBUTE_LENGTH) for key in config.own_attributes),
    ]:
        try:
            one_line(text, field, longest)
        except SubscriberMistake:
            wrong[field] = "line"
    if chosen.paused_until is not None and chosen.paused_until != subscriber.paused_until:
        if chosen.paused_until <= today:
            wrong["until"] = "past"
        elif chosen.paused_until > today + pausing.LONGEST:
            wrong["until"] = "far"
    return wrong


def save(
    session: Session,
    config: Config,
    subscriber: Subscriber,
    issue: int | None,
    offered: Sequence[Choice],
    chosen: Choices,
    words: Words,
    now: dt.datetime,
) -> None:
    """Makes it so, in the caller's transaction. Lists that weren't offered are left as they are.

    A list that is ticked begins at once, also one that they had left: it is their own doing, and written down as
    their consent. Nothing begins for a suppressed address.
    """
    there = {choice.slug: choice.on for choice in offered}
    wanted = [slug for slug, on in there.items() if not on and slug in chosen.lists]
    unwanted = tuple(slug for slug, on in there.items() if on and slug not in chosen.lists)
    if wanted and suppressions.suppressed(session, subscriber.fingerprint) is None:
        rows = session.scalars(select(List).where(List.slug.in_(wanted)).order_by(List.slug)).all()
        signups.begin(session, subscriber, rows, "on their own page", now)
        _agree(session, subscriber, ConsentTo.subscription, words.wording, words, wanted, now)
    if unwanted:
        departures.leave_lists(session, config, subscriber, unwanted, "", issue, LeftBy.preferences, now)
    subscriber.name = one_line(chosen.name, "name")
    given = {key: one_line(chosen.attributes.get(key, ""), key, ATTRIBUTE_LENGTH) for key in config.own_attributes}
    kept = {key: value for key, value in subscriber.attributes.items() if key not in given}
    subscriber.attributes = kept | {key: value for key, value in given.items() if value}
    subscriber.language = chosen.language
    pausing.pause(session, subscriber, chosen.paused_until, now)
    if chosen.measured and subscriber.measured is None:
        subscriber.measured = now
        _agree(session, subscriber, ConsentTo.measuring, words.measuring, words, (), now)
        suppressions.record(session, subscriber.fingerprint, "agreed to be measured", now)
    elif not chosen.measured and subscriber.measured is not None:
        subscriber.measured = None
        visits.forget(session, subscriber.id)
        suppressions.record(session, subscriber.fingerprint, "no longer agrees to be measured", now)
    session.flush()


def _agree(
    session: Session,
    subscriber: Subscriber,
    to: ConsentTo,
    wording: str,
    words: Words,
    lists: Sequence[str],
    now: dt.datetime,
) -> None:
    consents.write_down(
        session,
        subscriber.id,
        to,
        wording=wording,
        language=words.language,
        page=words.page,
        client=words.client,
        now=now,
        lists=lists,
        confirmed=True,
    )
