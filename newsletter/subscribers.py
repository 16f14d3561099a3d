"""People with an address: found, added, listed, and let go.

Whoever left a list comes back only by their own doing: neither `add` here nor an import brings them.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from newsletter import consents, suppressions
from newsletter.addresses import checked
from newsletter.config import Config
from newsletter.errors import SubscriberMistake
from newsletter.lists import named
from newsletter.models import (
    Delivery,
    Event,
    Issue,
    List,
    Subscriber,
    Subscription,
    Suppression,
)
from newsletter.states import SubscriptionState, SuppressionReason
from newsletter.tokens import keys

NAME_LENGTH = 200
ATTRIBUTE_LENGTH = 1000
# C0, DEL and C1 can end a header or a line; U+2028 and U+2029 are line breaks to some programs; embeddings
# and overrides of direction turn round what stands after a name; a lone surrogate is no character at all.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a subscriber stands with one list."""

    list: str
    state: SubscriptionState
    since: dt.datetime
    joined: dt.datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A subscriber's subscription to one list; or the subscriber alone, with `list` None, if on none."""

    id: int
    address: str
    name: str
    language: str
    attributes: Mapping[str, str]
    list: str | None
    state: SubscriptionState | None
    since: dt.datetime | None
    joined: dt.datetime | None
    why: str
    suppressed: SuppressionReason | None

    @property
    def shown(self) -> str:
        """The state that counts: suppressed, whatever the subscription says; or that; or nothing."""
        if self.suppressed:
            return "suppressed"
        return self.state.value if self.state else ""


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a subscriber's history."""

    at: dt.datetime
    what: str


@dataclass(frozen=True, slots=True)
class Gone:
    """What unsubscribing or erasing did."""

    lists: tuple[str, ...]
    skipped: int
    """Deliveries that still waited and now will not go."""


def one_line(text: str, what: str, longest: int = NAME_LENGTH) -> str:
    """`text` as it is kept about a person: trimmed, in NFC. `what` is what it is called in the mistake.

    SubscriberMistake where it holds a line break or another control character, which in a header would begin
    another one (RFC 5322 §2.2), or is longer than `longest` characters.
    """
    text = text.strip()
    if not text:
        return ""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if not text.isprintable() and (found := _UNFIT.search(text)):
        breaks = found[0] in "\r\n\u2028\u2029\x85"
        kind = "line break" if breaks else f"control character (U+{ord(found[0]):04X})"
        raise SubscriberMistake(f"the {what} holds a {kind}")
    if len(text) > longest:
        raise SubscriberMistake(f"the {what} is {len(text):,} characters long; {longest:,} is the most")
    return text


def is_language(text: str) -> bool:
    """Whether `text` is shaped like a language tag (BCP 47) that fits: "en", "ja", "zh-Hant"."""
    return len(text) <= 16 and _LANGUAGE.fullmatch(text) is not None


def reached(lists: Sequence[str], subscriber: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a publication that goes to `lists` goes to `subscriber`, as a condition for SQL.

    It does through one active subscription on a list that isn't retired. Suppressions are asked apart.
    """
    return exists().where(
        Subscription.subscriber_id == subscriber,
        Subscription.state == SubscriptionState.active,
        List.id == Subscription.list_id,
        List.slug.in_(lists),
        List.retired.is_(None),
    )


def find(session: Session, who: str) -> Subscriber:
    """The subscriber with an address, however it is written, or an id. SubscriberMistake if there is none."""
    if who.isdecimal():
        row = session.get(Subscriber, int(who)) if int(who) < 2**31 else None
        if row is None:
            raise SubscriberMistake(f"there is no subscriber {who}")
        return row
    row = session.scalar(select(Subscriber).where(Subscriber.address_key == checked(who).key))
    if row is None:
        raise SubscriberMistake(
            f"nobody here has the address {who}", remedy="Look: newsletter subscriber list --search WORD."
        )
    return row


def add(
    session: Session,
    config: Config,
    address: str,
    *,
    lists: tuple[str, ...],
    now: dt.datetime,
    why: str,
    name: str = "",
    language: str = "",
    attributes: Mapping[str, str] | None = None,
    state: SubscriptionState = SubscriptionState.active,
) -> Subscriber:
    """Somebody joins lists; a new subscriber, or one who is here already, who keeps what isn't said anew.

    SubscriberMistake where the address isn't one, or is suppressed, or left one of the lists: an admin can't
    bring them back, only they themselves can. ListMistake for an unknown list. Nothing is done then.
    """
    known = checked(address)
    name = one_line(name, "name")
    if language and not is_language(language):
        raise SubscriberMistake(f'"{language}" is not a language tag', remedy='Write "en" or "zh-Hant".')
    given = {}
    for key, value in (attributes or {}).items():
        if key not in config.attributes:
            there = f"config.toml declares {', '.join(config.attributes) or 'none'}."
            raise SubscriberMistake(f'there is no attribute "{key}"', remedy=there)
        given[key] = one_line(value, f'attribute "{key}"', ATTRIBUTE_LENGTH)
    fingerprint = keys(session, now).print_of(known.key)
    if barred := suppressions.suppressed(session, fingerprint):
        raise SubscriberMistake(
            f"{known.address} is suppressed ({barred.reason.value}) and never mailed",
            remedy="Only if its owner asks for mail again: newsletter suppression remove ADDRESS --why WHY.",
        )
    rows = named(session, lists)
    person = session.scalar(select(Subscriber).where(Subscriber.address_key == known.key))
    if person is None:
        person = Subscriber(
            address=known.address,
            address_key=known.key,
            fingerprint=fingerprint,
            created=now,
            name="",
            language="",
            attributes={},
        )
        session.add(person)
        session.flush()
    for row in rows:
        _join(session, person, row, state, why, now)
    person.name = name or person.name
    person.language = language or person.language
    if given:
        person.attributes = {**person.attributes, **given}
    session.flush()
    return person


def _join(
    session: Session, person: Subscriber, row: List, state: SubscriptionState, why: str, now: dt.datetime
) -> None:
    joined = now if state is SubscriptionState.active else None
    there = session.get(Subscription, (person.id, row.id))
    if there is None:
        session.add(
            Subscription(subscriber_id=person.id, list_id=row.id, state=state, since=now, joined=joined, why=why)
        )
    elif there.state is SubscriptionState.unsubscribed and state is not SubscriptionState.unsubscribed:
        raise SubscriberMistake(
            f"{person.address} left {row.slug} on {there.since:%Y-%m-%d} and is not brought back",
            remedy="Only they themselves can come back, by signing up.",
        )
    elif there.state is SubscriptionState.pending and state is not SubscriptionState.pending:
        there.state, there.since, there.joined, there.why = state, now, there.joined or joined, why
    else:
        return
    suppressions.record(session, person.fingerprint, f"{row.slug}: {state.value} ({why})", now)


def unsubscribe(
    session: Session,
    config: Config,
    subscriber: Subscriber,
    lists: tuple[str, ...] | None,
    now: dt.datetime,
    why: str,
) -> Gone:
    """`subscriber` leaves `lists`, or every list where that is None; for good, and at once.

    In the same transaction the copies that still wait for them are called off, of each publication that now
    reaches them through no list. Done twice it changes nothing. SubscriberMistake if they aren't on one of
    `lists`.
    """
    # Read under a lock: whoever leaves by two doors at once has left once, since the first of the two moments.
    there: dict[str, Subscription] = dict(
        session.execute(
            select(List.slug, Subscription)
            .join(List, List.id == Subscription.list_id)
            .where(Subscription.subscriber_id == subscriber.id)
            .order_by(List.slug)
            .with_for_update(of=Subscription)
            .execution_options(populate_existing=True)
        ).all()
    )
    for slug in lists or ():
        if slug not in there:
            raise SubscriberMistake(
                f"{subscriber.address} is not on {slug}",
                remedy=f"They are on {', '.join(there)}." if there else "They are on no list.",
            )
    left = []
    for slug in there if lists is None else lists:
        row = there[slug]
        if row.state is not SubscriptionState.unsubscribed:
            row.state, row.since, row.why = SubscriptionState.unsubscribed, now, why
            suppressions.record(session, subscriber.fingerprint, f"{slug}: unsubscribed ({why})", now)
            left.append(slug)
    session.flush()
    return Gone(tuple(left), call_off(session, config, [subscriber.id], now))


def call_off(session: Session, config: Config, subscribers: Sequence[int], now: dt.datetime) -> int:
    """Skips what waits for subscribers from publications that no longer reach them. Answers how many."""
    skipped = 0
    unfinished = select(Issue.publication).where(Issue.state.in_(suppressions.UNFINISHED)).distinct()
    for name in session.scalars(unfinished).all():
        lists = config.publications[name].lists if name in config.publications else ()
        only = (Issue.publication == name) & ~reached(lists, Delivery.subscriber_id.expression)
        skipped += suppressions.skip_waiting(session, subscribers, "unsubscribed", now, only=only)
    return skipped


def standings(session: Session, subscriber: Subscriber) -> tuple[Standing, ...]:
    """How a subscriber stands with each list they have ever been on."""
    return tuple(
        Standing(slug, row.state, row.since, row.joined, row.why)
        for slug, row in session.execute(
            select(List.slug, Subscription)
            .join(List, List.id == Subscription.list_id)
            .where(Subscription.subscriber_id == subscriber.id)
            .order_by(List.slug)
        )
    )


def history(session: Session, subscriber: Subscriber, issues: int = 10) -> tuple[Happening, ...]:
    """What happened to a subscriber, newest first: they came and left, and the last issues to go to them."""
    told = [Happening(subscriber.created, "added")]
    told += [
        Happening(row.at, row.what)
        for row in session.scalars(select(Event).where(Event.fingerprint == subscriber.fingerprint))
    ]
    told += [Happening(*line) for line in consents.told(session, subscriber.id)]
    last = session.scalars(
        select(Issue.id).where(Issue.started.is_not(None)).order_by(Issue.started.desc()).limit(issues)
    )
    for delivery, issue in session.execute(
        select(Delivery, Issue)
        .join(Issue, Issue.id == Delivery.issue_id)
        .where(Delivery.issue_id.in_(last.all()), Delivery.subscriber_id == subscriber.id)
    ):
        number = f"{issue.publication} {issue.volume}.{issue.number}"
        reply = f" ({delivery.reply})" if delivery.reply else ""
        told.append(Happening(delivery.since, f"{number}: {delivery.state.value}{reply}"))
    return tuple(sorted(told, key=lambda happening: happening.at, reverse=True))


def listing(
    session: Session, *, slug: str | None = None, state: str | None = None, search: str | None = None
) -> Iterator[Listed]:
    """Everybody, one by one as the database gives them, in the order in which they were added.

    `state` is pending, active, unsubscribed or suppressed, as `Listed.shown` says. `search` is looked for in
    addresses and names. The erased aren't there.
    """
    query = (
        select(
            Subscriber.id,
            Subscriber.address,
            Subscriber.name,
            Subscriber.language,
            Subscriber.attributes,
            List.slug,
            Subscription.state,
            Subscription.since,
            Subscription.joined,
            func.coalesce(Subscription.why, ""),
            Suppression.reason,
        )
        .outerjoin(Subscription, Subscription.subscriber_id == Subscriber.id)
        .outerjoin(List, List.id == Subscription.list_id)
        .outerjoin(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
        .where(Subscriber.address.is_not(None))
        .order_by(Subscriber.id, List.slug)
    )
    if slug is not None:
        query = query.where(List.slug == slug)
    if state == "suppressed":
        query = query.where(Suppression.reason.is_not(None))
    elif state is not None:
        query = query.where(Subscription.state == SubscriptionState(state), Suppression.reason.is_(None))
    if search:
        fields = (Subscriber.address, Subscriber.name)
        query = query.where(or_(*(field.icontains(search, autoescape=True) for field in fields)))
    for row in session.execute(query.execution_options(yield_per=1000)):
        yield Listed(*row)
