"""The ledger: batches claimed once, what is open given back, retries on a stated schedule."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from newsletter import audience, deliveries
from newsletter.config import Sending, span
from newsletter.errors import IssueMistake, ListMistake
from newsletter.folder import Folder
from newsletter.ledger import Ledger
from newsletter.models import Batch, Delivery, Issue, Subscriber
from newsletter.states import DeliveryState, IssueState


@pytest.fixture
def frozen(folder: Folder, subscribe: Callable[..., Subscriber]) -> Callable[[int], Folder]:
    """frozen(n): an issue being sent to n readers."""

    def make(readers: int) -> Folder:
        with folder.session() as session:
            issue = Issue(
                publication="digest",
                slot=NOW.date(),
                state=IssueState.sending,
                since=NOW,
                deadline=NOW,
                approve_by=NOW,
                sends=NOW,
                volume=2,
                number=21,
                subject="x",
            )
            session.add(issue)
            for i in range(readers):
                subscribe(session, f"reader{i}@example.org")
            session.flush()
            audience.freeze(session, issue, ["alliance-digest"], NOW)
        return folder

    return make


def test_every_reader_is_in_exactly_one_batch(frozen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "BATCH", 7)
    folder = frozen(24)
    with folder.reading() as session:
        batches = session.execute(select(Batch.first, Batch.last).order_by(Batch.first)).all()
        people = session.scalars(select(Delivery.subscriber_id)).all()
    assert len(batches) == 4
    assert all(sum(first <= person <= last for first, last in batches) == 1 for person in people)


def test_an_audience_is_frozen_once(frozen: Any) -> None:
    folder = frozen(3)
    with pytest.raises(IssueMistake, match="frozen already"), folder.session() as session:
        audience.freeze(session, session.scalars(select(Issue)).one(), ["alliance-digest"], NOW)
    with folder.reading() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 3


def test_an_audience_of_a_list_that_is_not_there_is_a_sentence(folder: Folder) -> None:
    with pytest.raises(ListMistake, match=r"lists/nobody\.toml"), folder.reading() as session:
        audience.count(session, ["nobody"], NOW)


def test_two_senders_at_once_never_get_the_same_batch(frozen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "BATCH", 2)
    folder = frozen(40)
    got: list[tuple[int, int]] = []

    def claim(owner: str) -> None:
        while True:
            with folder.session() as session:
                claimed = deliveries.claim(session, owner, NOW)
            if claimed is None:
                return
            got.append(claimed.key)

    threads = [threading.Thread(target=claim, args=(f"host:{i}:x",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 20


def test_two_senders_can_not_both_begin_one_delivery_whatever_their_leases_say(frozen: Any) -> None:
    folder = frozen(6)
    with folder.reading() as session:
        people = list(session.scalars(select(Delivery.subscriber_id)))
        issue = session.scalars(select(Issue.id)).one()
    begun: list[set[int]] = []

    def begin() -> None:
        ledger = Ledger(folder.engine)
        try:
            with ledger.turn():
                begun.append(ledger.begin(issue, people, [], "office", NOW))
        finally:
            ledger.close()

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, begun)) == [0, 0, 0, 6]


def test_a_turn_that_fails_leaves_nothing(frozen: Any) -> None:
    folder = frozen(2)
    with folder.reading() as session:
        people = list(session.scalars(select(Delivery.subscriber_id)))
        issue = session.scalars(select(Issue.id)).one()
    ledger = Ledger(folder.engine)
    with pytest.raises(RuntimeError), ledger.turn():
        assert len(ledger.begin(issue, people, [], "office", NOW)) == 2
        raise RuntimeError
    ledger.close()
    with folder.reading() as session:
        assert deliveries.tally(session, issue) == {DeliveryState.queued: 2}


def test_a_batch_given_back_is_due_when_the_first_of_its_open_deliveries_is(frozen: Any) -> None:
    folder = frozen(4)
    with folder.session() as session:
        claimed = deliveries.claim(session, "host:1:x", NOW)
        assert claimed is not None
        one, two, *rest = session.scalars(select(Delivery.subscriber_id).order_by(Delivery.subscriber_id)).all()
        for person, minutes in ((one, 30), (two, 10)):
            session.execute(
                update(Delivery)
                .where(Delivery.subscriber_id == person)
                .values(state=DeliveryState.deferred, next_look=NOW + dt.timedelta(minutes=minutes))
            )
        session.execute(update(Delivery).where(Delivery.subscriber_id.in_(rest)).values(state=DeliveryState.sent))
    ledger = Ledger(folder.engine)
    with ledger.turn():
        assert ledger.give_back(claimed, "host:1:x", NOW), "there is something left to do"
    with folder.session() as session:
        assert session.scalars(select(Batch)).one().due == NOW + dt.timedelta(minutes=10)
        assert not deliveries.finish(session, claimed.issue, NOW)
        session.execute(update(Delivery).values(state=DeliveryState.failed, next_look=None))
        claimed = deliveries.claim(session, "host:1:x", NOW + dt.timedelta(hours=1))
        assert claimed is not None
    with ledger.turn():
        assert not ledger.give_back(claimed, "host:1:x", NOW)
    ledger.close()
    with folder.session() as session:
        assert session.scalars(select(Batch)).one().due is None
        assert deliveries.finish(session, claimed.issue, NOW)


def test_a_batch_is_given_back_by_whoever_has_it_and_nobody_else(frozen: Any) -> None:
    folder = frozen(2)
    with folder.session() as session:
        claimed = deliveries.claim(session, "new:1:x", NOW)
        assert claimed is not None
        session.execute(update(Delivery).values(state=DeliveryState.submitting))
    ledger = Ledger(folder.engine)
    with ledger.turn():
        ledger.give_back(claimed, "old:1:x", NOW)
    with folder.session() as session:
        assert session.scalars(select(Batch)).one().owner == "new:1:x"
        assert deliveries.tally(session, claimed.issue) == {DeliveryState.submitting: 2}
    with ledger.turn():
        ledger.give_back(claimed, "new:1:x", NOW)
    ledger.close()
    with folder.session() as session:
        assert deliveries.tally(session, claimed.issue) == {DeliveryState.uncertain: 2}


def test_a_sender_never_takes_its_own_batch_again_however_late_its_clock_is(frozen: Any) -> None:
    folder = frozen(2)
    with folder.session() as session:
        assert deliveries.claim(session, "here:1:x", NOW) is not None
        assert deliveries.claim(session, "here:1:x", NOW + dt.timedelta(hours=1)) is None
        assert deliveries.claim(session, "there:1:x", NOW + dt.timedelta(hours=1)) is not None


def test_what_a_lost_sender_had_begun_of_a_cancelled_issue_is_uncertain_too(frozen: Any) -> None:
    folder = frozen(2)
    with folder.session() as session:
        assert deliveries.claim(session, "here:1:x", NOW) is not None
        session.execute(update(Delivery).values(state=DeliveryState.submitting))
        session.scalars(select(Issue)).one().state = IssueState.cancelled
        session.flush()
        deliveries.lapse(session, NOW + dt.timedelta(minutes=1))
        assert session.scalars(select(Batch)).one().owner == "here:1:x"
        deliveries.lapse(session, NOW + dt.timedelta(minutes=3))
        batch = session.scalars(select(Batch)).one()
        assert batch.owner is None
        assert deliveries.tally(session, batch.issue_id) == {DeliveryState.uncertain: 2}


@given(
    tries=st.integers(1, 30),
    chance=st.floats(0, 1),
    waited=st.timedeltas(dt.timedelta(0), dt.timedelta(days=4)),
)
def test_the_next_try_keeps_to_the_schedule_and_never_comes_after_giving_up(
    tries: int, chance: float, waited: dt.timedelta
) -> None:
    sending = Sending()
    again = deliveries.next_try(sending, tries, NOW, NOW + waited, chance)
    step = span(sending.retry_after[min(tries, len(sending.retry_after)) - 1])
    if again is None:
        assert waited + step * 1.1 > span(sending.give_up_after)
    else:
        assert again <= NOW + span(sending.give_up_after)
        assert step * 0.9 <= again - (NOW + waited) <= step * 1.1 + dt.timedelta(microseconds=1)
