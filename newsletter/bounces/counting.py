"""What returns lead to: suppressions, and scores that fade. For many at once, since a relay may refuse thousands.

`count` gets rows of the log (Return) that are in the database already, and writes into `done` what was made of each.
The words of `done` name nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from newsletter import database, suppressions
from newsletter.config import span
from newsletter.models import BounceScore, Event, Return, Subscriber, Suppression
from newsletter.reader_settings import Returns
from newsletter.states import ReturnKind, SuppressionReason

T = TypeVar("T")
AT_ONCE = 500
"""Rows that one statement is about."""
WITHOUT_ISSUE = dt.timedelta(days=1)
"""Where a report doesn't say which issue it is about, an address gets one point in this time at the most."""
SCORED = "score "
"""How `done` begins where a point was given."""

_BARRED = {ReturnKind.hard: SuppressionReason.bounce, ReturnKind.complaint: SuppressionReason.complaint}
COUNTED = (*_BARRED, ReturnKind.soft, ReturnKind.policy)
"""The kinds that `count` is for."""


def count(session: Session, settings: Returns, rows: Sequence[Return], now: dt.datetime) -> None:
    """Acts on returns of the COUNTED kinds, whose subscriber is proven.

    hard and complaint suppress at once; soft is a point, at most one an issue, and suppresses once the points of an
    address add up to `soft_limit`; policy is nobody's fault but ours.
    """
    for some in slices(rows):
        numbers = {row.subscriber_id for row in some if row.subscriber_id is not None}
        people = {row.id: row for row in session.scalars(select(Subscriber).where(Subscriber.id.in_(numbers)))}
        barred: list[tuple[Return, Subscriber, SuppressionReason]] = []
        soft: list[tuple[Return, Subscriber]] = []
        for row in some:
            person = people.get(row.subscriber_id or 0)
            if row.kind is ReturnKind.policy:
                row.done = "not counted: we were refused, not the reader"
            elif person is None or person.address is None:
                row.done = "nothing to do: nobody has the address any more"
            elif row.kind is ReturnKind.soft:
                soft.append((row, person))
            else:
                barred.append((row, person, _BARRED[row.kind]))
        barred += _scored(session, settings, soft, now)
        _bar(session, barred, now)
        session.flush()


def faded(score: float, since: dt.datetime, now: dt.datetime, half_life: dt.timedelta) -> float:
    """What is left of a score after a time: half of it after each `half_life`. A clock set back changes nothing."""
    if not half_life:
        return 0.0
    return float(score * 0.5 ** max(0.0, (now - since) / half_life))


def slices(rows: Sequence[T], size: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """The rows, so many at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def reason_of(row: Return) -> str:
    """Status and words of a return as a reason for people to read: "5.1.1 550 no such user"."""
    words = row.words if not row.status or row.status in row.words else f"{row.status} {row.words}"
    return (words or row.kind.value)[:300]


def _bar(session: Session, rows: Sequence[tuple[Return, Subscriber, SuppressionReason]], now: dt.datetime) -> None:
    """Suppresses these people's addresses, and calls off what still waits for them."""
    if not rows:
        return
    prints = {person.fingerprint for _, person, _ in rows}
    there = {row.fingerprint: row.reason for row in _suppressed(session, prints)}
    new: dict[str, dict[str, object]] = {}
    for row, person, reason in rows:
        prefix = f"{row.done}: " if row.done else ""
        if (before := there.get(person.fingerprint)) is not None:
            row.done = f"{prefix}suppressed already ({before.value})"
            continue
        row.done = f"{prefix}suppressed ({reason.value})"
        new.setdefault(
            person.fingerprint,
            {
                "fingerprint": person.fingerprint,
                "address": person.address,
                "reason": reason,
                "since": now,
                "why": reason_of(row),
            },
        )
    if new:
        suppressions.put(session, [new[each] for each in sorted(new)])
        session.execute(
            insert(Event),
            [
                {
                    "fingerprint": each["fingerprint"],
                    "at": now,
                    "what": f"suppressed: {_word(each['reason'])} ({each['why']})",
                }
                for each in new.values()
            ],
        )
    for reason in SuppressionReason:
        # Those who were suppressed before too: what still waits for them must not, whoever queued it.
        people = [person.id for _, person, first in rows if there.get(person.fingerprint, first) is reason]
        suppressions.skip_waiting(session, people, f"suppressed: {reason.value}", now)


def _word(reason: object) -> str:
    assert isinstance(reason, SuppressionReason)
    return reason.value


def _suppressed(session: Session, prints: set[str]) -> Sequence[Suppression]:
    return session.scalars(select(Suppression).where(Suppression.fingerprint.in_(prints))).all()


def _scored(
    session: Session, settings: Returns, rows: Sequence[tuple[Return, Subscriber]], now: dt.datetime
) -> list[tuple[Return, Subscriber, SuppressionReason]]:
    """Gives each its point; answers those whose points are enough."""
    if not rows:
        return []
    half_life, limit = span(settings.half_life), settings.soft_limit
    prints = sorted({person.fingerprint for _, person in rows})
    session.execute(
        database.insert(session, BounceScore).on_conflict_do_nothing(),
        [{"fingerprint": each, "score": 0.0, "at": now} for each in prints],
    )
    scores = {
        row.fingerprint: row
        for row in session.scalars(
            select(BounceScore)
            .where(BounceScore.fingerprint.in_(prints))
            .order_by(BounceScore.fingerprint)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    # After the locks: whoever counts the same issue at the same time has been waited for.
    given = _given(session, prints, now)
    enough: list[tuple[Return, Subscriber, SuppressionReason]] = []
    told: list[dict[str, object]] = []
    for row, person in rows:
        key = person.fingerprint, row.issue_id
        if key in given:
            row.done = "counted already" + (" for this issue" if row.issue_id is not None else " today")
            continue
        given.add(key)
        score = scores[person.fingerprint]
        score.score, score.at = faded(score.score, score.at, now, half_life) + 1.0, max(score.at, now)
        row.done = f"{SCORED}{score.score:.1f} of {limit:g}"
        told.append(
            {
                "fingerprint": person.fingerprint,
                "at": now,
                "what": f"bounced ({reason_of(row)}): {row.done}",
            }
        )
        if score.score >= limit:
            # Begun anew: who lifts the suppression has not to fear that the next bounce brings it back.
            score.score = 0.0
            enough.append((row, person, SuppressionReason.bounce))
    if told:
        session.execute(insert(Event), told)
    return enough


def _given(session: Session, prints: Sequence[str], now: dt.datetime) -> set[tuple[str, int | None]]:
    """The issues that these addresses have their point for already; None for the one that they had today without."""
    return {
        (fingerprint, issue)
        for fingerprint, issue, at in session.execute(
            select(Return.fingerprint, Return.issue_id, Return.at).where(
                Return.fingerprint.in_(prints), Return.kind == ReturnKind.soft, Return.done.startswith(SCORED)
            )
        )
        if issue is not None or at > now - WITHOUT_ISSUE
    }
