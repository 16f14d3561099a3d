"""What is held about a person: all of it, as they may ask (GDPR Art. 15 and 20), in words and as data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from newsletter import address_change
from newsletter.addresses import checked
from newsletter.config import Config
from newsletter.models import (
    Ask,
    Attempt,
    BounceScore,
    Consent,
    Delivery,
    Departure,
    Event,
    Hit,
    Interest,
    Issue,
    Letter,
    Return,
    Subscriber,
    Suppression,
)
from newsletter.states import LetterKind, LetterState
from newsletter.subscribers import standings
from newsletter.tokens import keys


@dataclass(frozen=True, slots=True)
class Sums:
    """How much is held."""

    subscriptions: int
    consents: int
    letters: int
    deliveries: int
    interests: int


def sums(session: Session, subscriber: Subscriber) -> Sums:
    """How much is held about a subscriber."""

    def count(table: Any) -> int:
        return session.scalar(select(func.count()).where(table.subscriber_id == subscriber.id)) or 0

    deliveries = session.scalar(
        select(func.count()).where(Delivery.issue_id.in_(select(Issue.id)), Delivery.subscriber_id == subscriber.id)
    )
    letters = session.scalar(select(func.count()).where(_theirs(subscriber))) or 0
    return Sums(len(standings(session, subscriber)), count(Consent), letters, deliveries or 0, count(Interest))


def everything(session: Session, config: Config, subscriber: Subscriber, now: dt.datetime) -> dict[str, Any]:
    """All that is held about a subscriber, as JSON can have it; times in UTC.

    Of addresses that they had before, too, except what another subscriber has now.
    """
    issues = {row.id: row for row in session.scalars(select(Issue).where(Issue.volume.is_not(None)))}

    def issue(number: int | None) -> str | None:
        row = issues.get(number or 0)
        return f"{row.publication} {row.volume}.{row.number}" if row is not None else None

    def rows(table: Any, *columns: str, mine: Any = None, order: Any = None) -> list[dict[str, Any]]:
        condition = table.subscriber_id == subscriber.id if mine is None else mine
        found = session.scalars(select(table).where(condition).order_by(table.id if order is None else order))
        return [{column: _plain(getattr(row, column)) for column in columns} for row in found]

    before = address_change.former(session, subscriber.id)
    secrets = keys(session, now)
    known = {secrets.print_of(checked(address).key): address for address in before}
    others = select(Subscriber.fingerprint).where(Subscriber.id != subscriber.id, Subscriber.fingerprint.in_(known))
    for other in session.scalars(others).all():
        known.pop(other)
    known[subscriber.fingerprint] = str(subscriber.address)
    theirs = or_(Return.fingerprint.in_(known), Return.subscriber_id == subscriber.id)
    in_ledger = Delivery.issue_id.in_(issues) & (Delivery.subscriber_id == subscriber.id)
    tried = Attempt.issue_id.in_(issues) & (Attempt.subscriber_id == subscriber.id)
    return {
        "as_of": _plain(now),
        "held_by": sorted({each.publisher for each in config.publications.values()}),
        "number": subscriber.id,
        "address": subscriber.address,
        "addresses_before": [address for address in before if address != subscriber.address],
        "name": subscriber.name,
        "language": subscriber.language,
        "attributes": dict(subscriber.attributes),
        "added": _plain(subscriber.created),
        "paused_until": _plain(subscriber.paused_until),
        "measured_since": _plain(subscriber.measured),
        "subscriptions": [
            {
                "list": row.list,
                "state": row.state.value,
                "since": _plain(row.since),
                "joined": _plain(row.joined),
                "how": row.why,
            }
            for row in standings(session, subscriber)
        ],
        "consents": rows(
            Consent,
            "to",
            "lists",
            "asked",
            "page",
            "client",
            "wording",
            "language",
            "confirmed",
            "confirmed_client",
        ),
        "history": rows(Event, "at", "what", mine=Event.fingerprint.in_(known)),
        "letters": rows(
            Letter,
            "kind",
            "address",
            "language",
            "detail",
            "asked",
            "expires",
            "state",
            "since",
            "why",
            mine=_theirs(subscriber),
        ),
        "letters_asked_for": rows(Ask, "at", "what", "network", mine=Ask.fingerprint.in_(known)),
        "deliveries": [
            {
                "issue": issue(row.issue_id),
                "state": row.state.value,
                "at": _plain(row.since),
                "first_try": _plain(row.first_try),
                "tries": row.tries,
                "by_our_relay": row.relay,
                "server_said": row.reply,
            }
            for row in session.scalars(select(Delivery).where(in_ledger).order_by(Delivery.issue_id))
        ],
        "earlier_tries": [
            {
                "issue": issue(row.issue_id),
                "state": row.state.value,
                "at": _plain(row.at),
                "by_our_relay": row.relay,
                "server_said": row.reply,
            }
            for row in session.scalars(select(Attempt).where(tried).order_by(Attempt.id))
        ],
        "departures": [
            {"after": issue(row["issue_id"]), **{key: value for key, value in row.items() if key != "issue_id"}}
            for row in rows(Departure, "publication", "issue_id", "lists", "at", "by", "reason", "undone")
        ],
        "returned_mail": rows(Return, "at", "source", "kind", "status", "words", "done", "file", mine=theirs),
        "opened_and_followed": [
            {"issue": issue(row.issue_id), "what": row.what.value, "link": row.link, "first": _plain(row.at)}
            for row in session.scalars(select(Interest).where(Interest.subscriber_id == subscriber.id))
        ],
        "visits_of_the_last_hour": [
            {"issue": issue(row.issue_id), "what": row.what.value, "link": row.link, "at": _plain(row.at)}
            for row in session.scalars(select(Hit).where(Hit.subscriber_id == subscriber.id).order_by(Hit.id))
        ],
        "soft_bounces": [
            {"address": known[row.fingerprint], "score": row.score, "as_of": _plain(row.at)}
            for row in session.scalars(select(BounceScore).where(BounceScore.fingerprint.in_(known)))
        ],
        "suppressed": [
            {
                "address": known[row.fingerprint],
                "reason": row.reason.value,
                "since": _plain(row.since),
                "why": row.why,
            }
            for row in session.scalars(select(Suppression).where(Suppression.fingerprint.in_(known)))
        ],
    }


def _theirs(subscriber: Subscriber) -> ColumnElement[bool]:
    """The letters to a subscriber. One to an address that nobody confirmed as theirs is somebody else's.

    It would tell whoever asked for it whether mail may go to that address.
    """
    change = (Letter.kind == LetterKind.change) & (Letter.state != LetterState.used)
    return (Letter.subscriber_id == subscriber.id) & ~change


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    return getattr(value, "value", value)
