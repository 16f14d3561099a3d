"""What is held about a person: all of it, as they may ask (GDPR Art. 15 and 20), in words and as data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.config import Config
from newsletter.models import (
    Attempt,
    BounceScore,
    Consent,
    Delivery,
    Departure,
    Event,
    Interest,
    Issue,
    Letter,
    Return,
    Subscriber,
    Suppression,
)
from newsletter.subscribers import standings


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
    return Sums(len(standings(session, subscriber)), count(Consent), count(Letter), deliveries or 0, count(Interest))


def everything(session: Session, config: Config, subscriber: Subscriber, now: dt.datetime) -> dict[str, Any]:
    """All that is held about a subscriber, as JSON can have it; times in UTC."""
    issues = {row.id: row for row in session.scalars(select(Issue).where(Issue.volume.is_not(None)))}

    def issue(number: int | None) -> str | None:
        row = issues.get(number or 0)
        return f"{row.publication} {row.volume}.{row.number}" if row is not None else None

    def rows(table: Any, *columns: str, mine: Any = None, order: Any = None) -> list[dict[str, Any]]:
        condition = table.subscriber_id == subscriber.id if mine is None else mine
        found = session.scalars(select(table).where(condition).order_by(table.id if order is None else order))
        return [{column: _plain(getattr(row, column)) for column in columns} for row in found]

    suppression = session.get(Suppression, subscriber.fingerprint)
    score = session.get(BounceScore, subscriber.fingerprint)
    theirs = Return.fingerprint == subscriber.fingerprint
    in_ledger = Delivery.issue_id.in_(issues) & (Delivery.subscriber_id == subscriber.id)
    tried = Attempt.issue_id.in_(issues) & (Attempt.subscriber_id == subscriber.id)
    return {
        "as_of": _plain(now),
        "held_by": sorted({each.publisher for each in config.publications.values()}),
        "address": subscriber.address,
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
        "history": rows(Event, "at", "what", mine=Event.fingerprint == subscriber.fingerprint),
        "letters": rows(Letter, "kind", "address", "asked", "state", "since"),
        "deliveries": [
            {
                "issue": issue(row.issue_id),
                "state": row.state.value,
                "at": _plain(row.since),
                "server_said": row.reply,
            }
            for row in session.scalars(select(Delivery).where(in_ledger).order_by(Delivery.issue_id))
        ],
        "earlier_tries": [
            {"issue": issue(row.issue_id), "state": row.state.value, "at": _plain(row.at), "server_said": row.reply}
            for row in session.scalars(select(Attempt).where(tried).order_by(Attempt.id))
        ],
        "departures": rows(Departure, "lists", "at", "by", "reason", "undone"),
        "returned_mail": rows(Return, "at", "kind", "status", "words", "done", mine=theirs),
        "opened_and_followed": [
            {"issue": issue(row.issue_id), "what": row.what.value, "link": row.link, "first": _plain(row.at)}
            for row in session.scalars(select(Interest).where(Interest.subscriber_id == subscriber.id))
        ],
        "soft_bounces": {"score": score.score, "as_of": _plain(score.at)} if score else None,
        "suppressed": {"reason": suppression.reason.value, "since": _plain(suppression.since), "why": suppression.why}
        if suppression
        else None,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    return getattr(value, "value", value)
