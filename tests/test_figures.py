"""The figures of what is being sent: right at each look, although each counts only what may have changed."""

from __future__ import annotations

import datetime as dt

import pytest
from conftest import NOW
from ledger import HOUR, MINUTE, deliver, going, people
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from newsletter import figures, issues
from newsletter.figures import Pace, Watched
from newsletter.models import Batch, Delivery, Issue
from newsletter.states import DeliveryState, IssueState

SENT = DeliveryState.sent


@pytest.fixture
def session(scratch: Session) -> Session:
    return scratch


def batches(session: Session, issue: Issue, ids: list[int], size: int) -> list[int]:
    """Cuts the ledger into batches that nobody has; answers the first reader of each."""
    session.execute(delete(Batch).where(Batch.issue_id == issue.id))
    starts = ids[::size]
    for first, following in zip(starts, [*starts[1:], ids[-1] + 1], strict=True):
        session.add(Batch(issue_id=issue.id, first=first, last=following - 1, due=NOW))
    session.flush()
    return starts


def ledger(session: Session, count: int, size: int) -> tuple[Issue, list[int], list[int]]:
    """An issue with so many queued deliveries in batches of that size: it, its readers, where batches begin."""
    issue = going(session, NOW - HOUR)
    ids = people(session, [f"r{n}@d{n % 3}.example" for n in range(count)])
    deliver(session, issue, ids, DeliveryState.queued, NOW)
    return issue, ids, batches(session, issue, ids, size)


def counted(watched: Watched, session: Session, issue: Issue, at: float = 0.0) -> dict[str, int]:
    """The counts after one look."""
    while not watched.look(session):
        pass
    return watched.figures(issue, at, NOW).counts


def becomes(session: Session, ids: list[int], state: DeliveryState) -> None:
    session.execute(update(Delivery).where(Delivery.subscriber_id.in_(ids)).values(state=state))


def claim(session: Session, first: int, owner: str = "alpha/1:2:ab", until: dt.timedelta = MINUTE) -> None:
    session.execute(update(Batch).where(Batch.first == first).values(owner=owner, until=NOW + until))


def test_a_first_look_takes_many_short_readings_and_adds_up(session: Session) -> None:
    issue, ids, _ = ledger(session, 3 * figures.SLICE, 1)
    becomes(session, ids[:70], SENT)
    watched, readings = Watched(issue.id), 1
    while not watched.look(session):
        readings += 1
        done, ahead = watched.ahead
        assert 0 < done <= ahead == 6 * figures.SLICE
    assert readings >= 6
    found = watched.figures(issue, 0.0, NOW)
    assert found.counts == {"queued": 80, "sent": 70}
    assert (found.due, found.done, found.untried) == (150, 70, 80)
    assert [(each.name, each.due) for each in found.domains] == [(f"d{n}.example", 50) for n in range(3)]


def test_what_a_sender_does_to_its_batch_is_seen_at_the_next_look(session: Session) -> None:
    issue, ids, starts = ledger(session, 8, 4)
    watched = Watched(issue.id)
    assert counted(watched, session, issue) == {"queued": 8}
    claim(session, starts[1])
    becomes(session, ids[4:6], SENT)
    assert counted(watched, session, issue) == {"queued": 6, "sent": 2}
    becomes(session, ids[6:7], DeliveryState.submitting)
    assert counted(watched, session, issue) == {"queued": 5, "submitting": 1, "sent": 2}


def test_a_batch_that_was_taken_and_given_back_between_two_looks_is_seen(session: Session) -> None:
    issue, ids, starts = ledger(session, 4 * figures.IN_TURN, 2)
    watched = Watched(issue.id)
    counted(watched, session, issue)
    becomes(session, ids[-2:], SENT)
    session.execute(update(Batch).where(Batch.first == starts[-1]).values(due=None))
    assert counted(watched, session, issue)["sent"] == 2


def test_what_changes_in_a_batch_that_nobody_has_is_seen_after_some_looks(session: Session) -> None:
    issue, ids, _ = ledger(session, 2 * figures.IN_TURN, 1)
    watched = Watched(issue.id)
    counted(watched, session, issue)
    becomes(session, ids[-1:], DeliveryState.skipped)
    seen = [counted(watched, session, issue).get("skipped", 0) for _ in range(figures.IN_TURN)]
    assert seen[0] == 0
    assert seen[-1] == 1


def test_a_cancelled_issue_is_counted_at_once_as_it_was_left(session: Session) -> None:
    issue, ids, _ = ledger(session, 2 * figures.IN_TURN, 1)
    watched = Watched(issue.id)
    becomes(session, ids[:10], SENT)
    counted(watched, session, issue)
    issues.cancel(session, issue, "a mistake in it", NOW)
    assert counted(watched, session, issue) == {"sent": 10, "skipped": len(ids) - 10}


def test_senders_are_told_by_host_as_long_as_their_lease_runs(session: Session) -> None:
    issue, _, starts = ledger(session, 6, 1)
    for first, owner in zip(starts, ["alpha/1:2:a", "alpha/1:2:a", "alpha/1:3:b", "beta/9:2:c"], strict=False):
        claim(session, first, owner)
    claim(session, starts[4], "gamma/9:2:d", -MINUTE)
    watched = Watched(issue.id)
    counted(watched, session, issue)
    assert watched.figures(issue, 0.0, NOW).senders == {"alpha": 2, "beta": 1}


def test_deferred_deliveries_of_all_batches_are_told_together_by_the_relays_codes(session: Session) -> None:
    issue = going(session, NOW - HOUR)
    ids = people(session, [f"r{n}@example.org" for n in range(6)])
    for place, (said, wait) in enumerate(
        [
            ("421 4.7.28 slow down r0", 20),
            ("450 4.2.1 greylisted", 5),
            ("421 4.7.28 slow down r2", 10),
            ("421 4.7.28 slow down r3", 30),
        ]
    ):
        deliver(session, issue, [ids[place]], DeliveryState.deferred, NOW, said, NOW + wait * MINUTE)
    deliver(session, issue, ids[4:], SENT, NOW)
    batches(session, issue, ids, 2)
    found = figures.of(session, issue, NOW)
    assert [(each.code, each.said, each.count, each.next_look) for each in found.deferred] == [
        ("421 4.7.28", "421 4.7.28 slow down r0", 3, NOW + 10 * MINUTE),
        ("450 4.2.1", "450 4.2.1 greylisted", 1, NOW + 5 * MINUTE),
    ]
    assert found.next_look == NOW + 5 * MINUTE
    assert (found.done, found.untried) == (2, 0)


def test_the_rate_is_that_of_the_last_ten_seconds_whoever_sends(session: Session) -> None:
    issue, ids, starts = ledger(session, 400, 200)
    for first, host in zip(starts, ("alpha", "beta"), strict=True):
        claim(session, first, f"{host}/1:2:a")
    watched = Watched(issue.id)
    assert counted(watched, session, issue, 0.0) == {"queued": 400}
    assert watched.figures(issue, 0.5, NOW).rate is None
    becomes(session, [*ids[:30], *ids[200:230]], SENT)
    counted(watched, session, issue, 2.0)
    found = watched.figures(issue, 2.0, NOW)
    assert (found.rate, found.left) == (30.0, pytest.approx(340 / 30))


def test_a_pace_forgets_what_was_long_ago_and_what_was_queued_again() -> None:
    pace = Pace()
    for second in range(30):
        pace.hear(float(second), 10 * second)
    for second in range(30, 45):
        pace.hear(float(second), 300 + 100 * (second - 30))
    assert pace.rate == 100.0
    assert pace.left(500) == 5.0
    pace.hear(45.0, 200)
    assert pace.rate is None
    assert pace.left(500) is None
    pace.hear(47.0, 300)
    assert pace.rate == 50.0


def test_issues_that_are_being_sent_are_found_and_no_others(session: Session) -> None:
    one = going(session, NOW - HOUR)
    going(session, NOW - 50 * HOUR, number=20, state=IssueState.paused)
    assert [each.id for each in figures.going(session, ["digest", "brief"])] == [one.id]
    assert figures.going(session, ["brief"]) == []
