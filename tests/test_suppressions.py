"""Suppressions: who is never mailed again, and what still waited for them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from conftest import NOW
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import suppressions
from newsletter.errors import SubscriberMistake
from newsletter.models import Attempt, BounceScore, Delivery, Issue, Subscriber
from newsletter.states import DeliveryState, IssueState, SuppressionReason
from newsletter.tokens import keys

LATER = NOW + dt.timedelta(hours=1)


def sending(
    session: Session, *, publication: str = "digest", state: IssueState = IssueState.sending, slot: int = 14
) -> Issue:
    """An issue of which some copies still wait."""
    issue = Issue(
        publication=publication,
        slot=dt.date(2023, 11, slot),
        state=state,
        since=NOW,
        deadline=NOW,
        approve_by=NOW,
        sends=NOW,
        volume=2,
        number=slot,
        started=NOW,
    )
    session.add(issue)
    session.flush()
    return issue


def waiting(
    session: Session, issue: Issue, person: Subscriber, state: str = "queued", reply: str | None = None
) -> Delivery:
    delivery = Delivery(
        issue_id=issue.id,
        subscriber_id=person.id,
        state=DeliveryState(state),
        since=NOW,
        tries=1,
        reply=reply,
        relay="outbox" if reply else None,
        next_look=LATER if state == "deferred" else None,
    )
    session.add(delivery)
    session.flush()
    return delivery


def states(session: Session) -> list[tuple[str, str | None]]:
    rows = session.scalars(select(Delivery).order_by(Delivery.subscriber_id, Delivery.issue_id))
    return [(row.state.value, row.reply) for row in rows]


def test_suppressing_an_address_calls_off_what_waits_for_it_and_nothing_else(
    session: Session, subscribe: Callable[..., Subscriber]
) -> None:
    issue = sending(session)
    done = sending(session, state=IssueState.sent, slot=1)
    jane, joe = subscribe(session, "jane@example.org"), subscribe(session, "joe@example.org")
    waiting(session, done, jane, "failed", "550 no")
    waiting(session, issue, jane)
    waiting(session, issue, joe)
    row, skipped = suppressions.add(session, "JANE@example.org", SuppressionReason.bounce, "550 5.1.1", LATER)
    assert (row.reason, row.address, row.why, skipped) == (SuppressionReason.bounce, "JANE@example.org", "550 5.1.1", 1)
    assert states(session) == [("skipped", "suppressed: bounce"), ("failed", "550 no"), ("queued", None)]


def test_what_a_server_said_to_an_earlier_try_is_kept_when_the_next_is_called_off(
    session: Session, subscribe: Callable[..., Subscriber]
) -> None:
    jane = subscribe(session, "jane@example.org")
    waiting(session, sending(session, state=IssueState.paused), jane, "deferred", "451 later")
    assert suppressions.add(session, "jane@example.org", SuppressionReason.complaint, "", LATER)[1] == 1
    [attempt] = session.scalars(select(Attempt))
    assert (attempt.reply, attempt.state, attempt.at, attempt.relay) == (
        "451 later",
        DeliveryState.deferred,
        NOW,
        "outbox",
    )
    [delivery] = session.scalars(select(Delivery))
    assert (delivery.since, delivery.next_look, delivery.tries) == (LATER, None, 1)


def test_a_message_already_with_a_relay_stays_with_it(session: Session, subscribe: Callable[..., Subscriber]) -> None:
    jane = subscribe(session, "jane@example.org")
    for slot, state in enumerate(("submitting", "sent", "uncertain", "failed"), 1):
        waiting(session, sending(session, slot=slot), jane, state)
    assert suppressions.add(session, "jane@example.org", SuppressionReason.request, "", LATER)[1] == 0
    assert [state for state, _ in states(session)] == ["submitting", "sent", "uncertain", "failed"]


def test_suppressing_twice_keeps_the_first_reason(session: Session) -> None:
    suppressions.add(session, "jane@example.org", SuppressionReason.complaint, "first", NOW)
    row, _ = suppressions.add(session, "Jane@Example.org", SuppressionReason.bounce, "second", LATER)
    assert (row.reason, row.why, row.since) == (SuppressionReason.complaint, "first", NOW)


def test_of_two_who_suppress_an_address_at_once_the_first_to_write_is_kept(scratch: Session) -> None:
    row, _ = suppressions.add(scratch, "jane@example.org", SuppressionReason.complaint, "first", NOW)
    again = {"fingerprint": row.fingerprint, "address": None, "reason": SuppressionReason.bounce, "since": LATER}
    suppressions.put(scratch, [again | {"why": "second"}])
    scratch.refresh(row)
    assert (row.reason, row.address, row.why) == (SuppressionReason.complaint, "jane@example.org", "first")


def test_a_suppression_is_known_by_fingerprint_and_by_any_way_of_writing_the_address(session: Session) -> None:
    suppressions.add(session, "jane@example.org", SuppressionReason.request, "", NOW)
    assert suppressions.suppressed(session, keys(session, NOW).print_of("jane@example.org"))
    assert suppressions.of_address(session, " JANE@EXAMPLE.ORG", NOW)
    assert suppressions.of_address(session, "joe@example.org", NOW) is None


def test_lifting_a_suppression_needs_a_reason_and_one_to_lift(session: Session) -> None:
    suppressions.add(session, "jane@example.org", SuppressionReason.bounce, "", NOW)
    with pytest.raises(SubscriberMistake, match="reason"):
        suppressions.remove(session, "jane@example.org", " ", LATER)
    suppressions.remove(session, "jane@example.org", "she wrote", LATER)
    assert suppressions.of_address(session, "jane@example.org", LATER) is None
    with pytest.raises(SubscriberMistake, match="not suppressed"):
        suppressions.remove(session, "jane@example.org", "again", LATER)


@pytest.mark.parametrize("reason", ["bounce", "complaint"])
def test_after_a_bounce_is_lifted_the_score_begins_anew(
    scratch: Session, subscribe: Callable[..., Subscriber], reason: str
) -> None:
    jane = subscribe(scratch, "jane@example.org")
    scratch.add(BounceScore(fingerprint=jane.fingerprint, score=4.5, at=NOW))
    suppressions.add(scratch, "jane@example.org", SuppressionReason(reason), "", NOW)
    suppressions.remove(scratch, "jane@example.org", "she wrote", LATER)
    left = scratch.scalars(select(BounceScore.score)).all()
    assert left == ([] if reason == "bounce" else [4.5])
