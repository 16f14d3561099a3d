"""What only a person decides about deliveries: after real sending, on both databases."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import Engine, select, update
from test_sender import READERS, issue, issue_state, send, states  # noqa: F401 - issue is a fixture

from newsletter import audience, decisions, deliveries, delivery_log, erasure, subscribers, suppressions
from newsletter.decisions import Decided, Place
from newsletter.delivery_log import Which
from newsletter.errors import DeliveryMistake
from newsletter.folder import Folder
from newsletter.ledger import Entry, Ledger
from newsletter.models import Attempt, Batch, Delivery, Issue, Subscriber
from newsletter.states import DeliveryState, IssueState, SuppressionReason

LATER = NOW + dt.timedelta(hours=1)
FAILED, UNCERTAIN, DEFERRED = "reader01", "reader02", "reader03"


@pytest.fixture
def sent(issue: Any) -> Any:  # noqa: F811
    """sent(server): an issue to eight readers, of whom one failed, one is uncertain, and one is deferred."""

    def make(server: MailServer) -> Folder:
        server.refuse[f"{FAILED}@example.org"] = "550 5.2.3 message too long"
        server.refuse[f"{DEFERRED}@example.org"] = "451 4.7.1 greylisted"
        server.lose_after_dot.add(f"{UNCERTAIN}@example.org")
        folder: Folder = issue(server, READERS[:8])
        send(folder, NOW)
        server.refuse.clear()
        server.messages.clear()
        assert Counter(state for state, _ in states(folder).values()) == {
            "sent": 5, "failed": 1, "uncertain": 1, "deferred": 1,
        }  # fmt: skip
        return folder

    return make


def ids(folder: Folder, names: Iterable[str]) -> tuple[int, ...]:
    with folder.reading() as session:
        return tuple(subscribers.find(session, f"{name}@example.org").id for name in names)


def decide(folder: Folder, how: Callable[..., Decided], *names: str, now: dt.datetime = LATER, **which: Any) -> Decided:
    """What the commands do: place by place, then the issue is finished if it is."""
    meant = Which(readers=ids(folder, names), **which)
    with folder.reading() as session:
        number = session.scalars(select(Issue.id)).one()
        places = decisions.places(session, number, meant)
    done, left_out = 0, []
    for place in places:
        with folder.session() as session:
            args = (place, meant, "Ada", now)
            decided = how(session, *([] if how is decisions.count_as_sent else [folder.publication()[1]]), *args)
        done += decided.done
        left_out += decided.left_out
    with folder.session() as session:
        deliveries.finish(session, number, now)
    return Decided(done, tuple(left_out))


def attempts(folder: Folder, name: str) -> list[tuple[str, str]]:
    with folder.reading() as session:
        row = session.scalars(select(Issue)).one()
        told = delivery_log.history(session, folder.publication()[1], row, f"{name}@example.org", NOW)
        return [(each.state.value, each.reply or "") for each in told.tries]


# ---- trying again


def test_what_failed_is_tried_again_and_what_was_said_before_is_kept(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        assert decide(folder, decisions.retry, states=(DeliveryState.failed,)) == Decided(1)
        assert attempts(folder, FAILED) == [
            ("failed", "550 5.2.3 message too long"), ("queued", "to be tried again, by Ada"),
        ]  # fmt: skip
        send(folder, NOW + dt.timedelta(minutes=1))
        assert [message.recipient for message in server.messages] == []
        send(folder, LATER)
        assert Counter(m.recipient for m in server.messages) == {
            f"{FAILED}@example.org": 1,
            f"{DEFERRED}@example.org": 1,
        }
    assert attempts(folder, FAILED) == [("failed", "550 5.2.3 message too long"), ("sent", "250 2.0.0 taken")]
    assert issue_state(folder) is IssueState.sent


def test_what_is_deferred_is_tried_now_rather_than_at_its_time(sent: Any) -> None:
    soon = NOW + dt.timedelta(seconds=10)
    with MailServer() as server:
        folder = sent(server)
        send(folder, soon)
        assert not server.messages
        assert decide(folder, decisions.retry, states=(DeliveryState.deferred,), now=soon) == Decided(1)
        send(folder, soon)
        assert [message.recipient for message in server.messages] == [f"{DEFERRED}@example.org"]
    assert attempts(folder, DEFERRED) == [("deferred", "451 4.7.1 greylisted"), ("sent", "250 2.0.0 taken")]


def test_an_issue_that_was_sent_is_sending_again_and_then_sent(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        send(folder, LATER)
        assert issue_state(folder) is IssueState.sent
        decide(folder, decisions.retry)
        with folder.reading() as session:
            row = session.scalars(select(Issue)).one()
            assert (row.state, row.finished) == (IssueState.sending, None)
        send(folder, LATER + dt.timedelta(minutes=1))
    with folder.reading() as session:
        row = session.scalars(select(Issue)).one()
        assert (row.state, row.finished) == (IssueState.sent, LATER + dt.timedelta(minutes=1))


def test_trying_again_never_touches_what_was_sent_or_may_have_been(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        for state in DeliveryState:
            if state not in decisions.RETRIED:
                with pytest.raises(DeliveryMistake, match=f"what is {state.value} is not tried again"):
                    decide(folder, decisions.retry, states=(state,))
        assert decide(folder, decisions.retry, UNCERTAIN, READERS[0], READERS[5]) == Decided(0)
        assert decide(folder, decisions.retry) == Decided(2)
        send(folder, LATER)
        assert {m.recipient for m in server.messages} == {f"{FAILED}@example.org", f"{DEFERRED}@example.org"}
    assert states(folder)[UNCERTAIN][0] == "uncertain"


def test_only_what_was_meant_is_tried_again(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        assert decide(folder, decisions.retry, reply="relaying denied") == Decided(0)
        assert decide(folder, decisions.retry, domain="example.com") == Decided(0)
        assert decide(folder, decisions.retry, reply="GREYLISTED", domain="example.org") == Decided(1)
    assert (states(folder)[FAILED][0], states(folder)[DEFERRED][0]) == ("failed", "queued")


def test_the_time_after_which_it_is_given_up_begins_anew_for_what_had_failed(sent: Any) -> None:
    days_later = NOW + dt.timedelta(days=5)
    with MailServer() as server:
        folder = sent(server)
        decide(folder, decisions.retry, FAILED, now=days_later)
        server.refuse[f"{FAILED}@example.org"] = "451 4.3.2 shutting down"
        send(folder, days_later)
    assert states(folder)[FAILED] == ("deferred", "451 4.3.2 shutting down")


def test_whoever_left_or_is_suppressed_or_erased_is_not_tried_again(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            session.execute(
                update(Delivery).where(Delivery.state == DeliveryState.sent).values(state=DeliveryState.failed)
            )
            left, gone, reported = (subscribers.find(session, f"{READERS[n]}@example.org") for n in (4, 5, 6))
            subscribers.unsubscribe(session, folder.config, left, None, NOW, "asked")
            erasure.clear(session, gone, NOW)
            suppressions.add(session, str(reported.address), SuppressionReason.complaint, "", NOW)
        decided = decide(folder, decisions.retry)
        assert decided.done == 4
        assert sorted(decided.left_out) == [
            (f"{READERS[4]}@example.org", "unsubscribed"),
            (f"{READERS[6]}@example.org", "suppressed: complaint"),
            (f"subscriber {gone.id}, erased", "erased"),
        ]
        send(folder, LATER)
        assert len(server.messages) == 4
    with folder.reading() as session:
        assert deliveries.tally(session, session.scalars(select(Issue.id)).one()) == {
            DeliveryState.sent: 4, DeliveryState.failed: 3, DeliveryState.uncertain: 1,
        }  # fmt: skip


def test_a_reader_of_two_lists_who_left_one_of_them_is_still_tried_again(
    make_folder: Any, sent: Any, subscribe: Any
) -> None:
    del make_folder
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            subscribe(session, "elsewhere@example.org", lists=("weekly",))
            person = subscribers.find(session, f"{FAILED}@example.org")
            subscribers.add(session, folder.config, str(person.address), lists=("weekly",), now=NOW, why="asked")
            subscribers.unsubscribe(session, folder.config, person, ("alliance-digest",), NOW, "asked")
        assert decide(folder, decisions.retry, FAILED).left_out == ((f"{FAILED}@example.org", "unsubscribed"),)
        publication = folder.publication()[1]
        both = type(publication)(**{f: getattr(publication, f) for f in publication.__struct_fields__} | {
            "lists": ("alliance-digest", "weekly")
        })  # fmt: skip
        with folder.session() as session:
            (place,) = decisions.places(session, session.scalars(select(Issue.id)).one(), Which())
            assert decisions.retry(
                session, both, place, Which(states=(DeliveryState.failed,)), "Ada", LATER
            ) == Decided(1)


def test_a_paused_issue_stays_paused_and_what_is_tried_again_goes_when_it_is_resumed(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            session.execute(update(Issue).values(state=IssueState.paused))
        assert decide(folder, decisions.retry) == Decided(2)
        send(folder, LATER)
        assert issue_state(folder) is IssueState.paused
        assert not server.messages
        with folder.session() as session:
            session.execute(update(Issue).values(state=IssueState.sending))
        send(folder, LATER)
        assert len(server.messages) == 2


@pytest.mark.parametrize("state", [IssueState.cancelled, IssueState.held, IssueState.approved])
def test_of_an_issue_that_is_not_being_sent_nothing_is_sent_again(sent: Any, state: IssueState) -> None:
    with MailServer() as server:
        folder = sent(server)
    with folder.session() as session:
        session.execute(update(Issue).values(state=state))
    for how in (decisions.retry, decisions.send_again):
        with pytest.raises(DeliveryMistake, match=f"Vol 2 No 21 is {state.value}, and nothing of it can be sent again"):
            decide(folder, how)
    assert decide(folder, decisions.count_as_sent) == Decided(1)


# ---- batches


def test_each_batch_with_something_to_try_again_is_due_and_no_other(sent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "BATCH", 2)
    with MailServer() as server:
        folder = sent(server)
        send(folder, LATER)
        with folder.session() as session:
            session.execute(
                update(Delivery).where(Delivery.subscriber_id.in_(ids(folder, [READERS[0], READERS[7]])))
                .values(state=DeliveryState.failed)
            )  # fmt: skip
        assert decide(folder, decisions.retry) == Decided(3)
        with folder.reading() as session:
            assert [batch.due for batch in session.scalars(select(Batch).order_by(Batch.first))] == [
                LATER, None, None, LATER,
            ]  # fmt: skip
        server.messages.clear()
        send(folder, LATER)
        assert sorted(m.recipient[:8] for m in server.messages) == [READERS[0], FAILED, READERS[7]]
    assert issue_state(folder) is IssueState.sent


def test_what_is_queued_again_in_the_batch_of_a_sender_at_work_is_sent_by_it(issue: Any) -> None:  # noqa: F811
    decided = []
    with MailServer(refuse={f"{FAILED}@example.org": "550 5.2.3 message too long"}) as server:
        folder = issue(server, READERS[:8], connections=1)

        def again(recipient: str) -> None:
            if recipient == f"{READERS[6]}@example.org":
                server.refuse.clear()
                server.on_data = None
                decided.append(decide(folder, decisions.retry, FAILED, now=NOW))

        server.on_data = again
        send(folder, NOW)
        send(folder, NOW)
        assert Counter(m.recipient for m in server.messages) == {f"{name}@example.org": 1 for name in READERS[:8]}
    assert decided == [Decided(1)]
    assert issue_state(folder) is IssueState.sent


def test_what_is_queued_again_in_the_batch_of_a_lost_sender_waits_for_its_lease(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            until = LATER + dt.timedelta(minutes=1)
            session.execute(update(Batch).values(owner="elsewhere:1:x", until=until, due=NOW))
        decide(folder, decisions.retry, FAILED)
        send(folder, LATER)
        assert not server.messages
        send(folder, LATER + dt.timedelta(minutes=2))
        assert f"{FAILED}@example.org" in {m.recipient for m in server.messages}


# ---- two at once, where rows are locked one by one


def until_done_or_waiting(thread: threading.Thread, engine: Engine) -> None:
    """Until it has ended, or PostgreSQL says that it waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while thread.is_alive():
        with engine.connect() as connection:
            if connection.exec_driver_sql(waiting).scalar():
                return


only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""SQLite has one writer at a time."""


@only_postgresql
def test_what_is_queued_again_while_its_batch_is_given_back_is_not_forgotten(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            claimed = deliveries.claim(session, "here:1:x", LATER)
        assert claimed is not None
        with folder.session() as session:
            session.execute(
                update(Delivery).where(Delivery.state == DeliveryState.deferred)
                .values(state=DeliveryState.failed, next_look=None)
            )  # fmt: skip
        person = threading.Thread(target=decide, args=(folder, decisions.retry, FAILED))

        class Between:
            """The ledger's cursor; right after the sender has looked at its batch, someone decides."""

            def __init__(self, cursor: Any) -> None:
                self.cursor = cursor

            def __getattr__(self, name: str) -> Any:
                return getattr(self.cursor, name)

            def execute(self, statement: str, values: Any) -> None:
                self.cursor.execute(statement, values)
                if "FROM batches" in statement and person.ident is None:
                    person.start()
                    until_done_or_waiting(person, folder.engine)

        ledger = Ledger(folder.engine)
        ledger._cursor = Between(ledger._cursor)
        with ledger.turn():
            ledger.give_back(claimed, "here:1:x", LATER)
        ledger.close()
        person.join()
        send(folder, LATER)
        assert [m.recipient for m in server.messages] == [f"{FAILED}@example.org"]


@only_postgresql
def test_a_reader_who_leaves_while_their_copy_is_queued_again_gets_none(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)

        def leave() -> None:
            with folder.session() as session:
                person = subscribers.find(session, f"{FAILED}@example.org")
                subscribers.unsubscribe(session, folder.config, person, None, LATER, "one-click")

        reader = threading.Thread(target=leave)
        with folder.session() as session:
            meant = Which(states=(DeliveryState.failed,))
            (place,) = decisions.places(session, session.scalars(select(Issue.id)).one(), meant)
            assert decisions.retry(session, folder.publication()[1], place, meant, "Ada", LATER) == Decided(1)
            reader.start()
            until_done_or_waiting(reader, folder.engine)
        reader.join()
        send(folder, LATER)
        assert f"{FAILED}@example.org" not in {m.recipient for m in server.messages}
    assert states(folder)[FAILED] == ("skipped", "unsubscribed")


@only_postgresql
@pytest.mark.parametrize("how", [decisions.retry, decisions.send_again])
def test_a_reader_whose_subscription_is_being_changed_is_not_waited_for(sent: Any, how: Any) -> None:
    who = FAILED if how is decisions.retry else UNCERTAIN
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as leaving:
            person = subscribers.find(leaving, f"{who}@example.org")
            subscribers.unsubscribe(leaving, folder.config, person, None, LATER, "one-click")
            decided = decide(folder, how, who)
        assert decided == Decided(0, ((f"{who}@example.org", decisions.BUSY),))
    assert states(folder)[who][0] == ("failed" if who == FAILED else "uncertain")


# ---- deciding about what is uncertain


def test_uncertain_ones_count_as_sent_when_a_person_says_so_and_who_said_it_is_kept(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        before = states(folder)[UNCERTAIN][1]
        assert decide(folder, decisions.count_as_sent, UNCERTAIN) == Decided(1)
        send(folder, LATER)
        assert f"{UNCERTAIN}@example.org" not in {m.recipient for m in server.messages}
    assert attempts(folder, UNCERTAIN) == [("uncertain", before), ("sent", f"{before}; counted as sent by Ada")]
    assert issue_state(folder) is IssueState.sent


def test_uncertain_ones_are_sent_again_when_a_person_says_so(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        before = states(folder)[UNCERTAIN][1]
        assert decide(folder, decisions.send_again, UNCERTAIN) == Decided(1)
        send(folder, LATER)
        assert Counter(m.recipient for m in server.messages)[f"{UNCERTAIN}@example.org"] == 1
    assert attempts(folder, UNCERTAIN) == [("uncertain", before), ("sent", "250 2.0.0 taken")]


def test_deciding_about_uncertain_ones_touches_no_others(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        others = [name for name in READERS[:8] if name != UNCERTAIN]
        before = states(folder)
        assert (
            decide(folder, decisions.count_as_sent, *others)
            == decide(folder, decisions.send_again, *others)
            == Decided(0)
        )
        assert states(folder) == before


@pytest.mark.parametrize("how", ["left", "suppressed", "erased"])
def test_whoever_is_gone_is_skipped_rather_than_sent_to_again(sent: Any, how: str) -> None:
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            person = subscribers.find(session, f"{UNCERTAIN}@example.org")
            if how == "left":
                subscribers.unsubscribe(session, folder.config, person, None, NOW, "asked")
            elif how == "suppressed":
                suppressions.add(session, str(person.address), SuppressionReason.bounce, "", NOW)
            else:
                erasure.clear(session, person, NOW)
        decided = decide(folder, decisions.send_again)
        why = {"left": "unsubscribed", "suppressed": "suppressed: bounce", "erased": "erased"}[how]
        assert decided.done == 0
        assert [reason for _, reason in decided.left_out] == [why]
        send(folder, LATER)
        assert f"{UNCERTAIN}@example.org" not in {m.recipient for m in server.messages}
    with folder.reading() as session:
        row = session.scalars(select(Delivery).where(Delivery.subscriber_id == person.id)).one()
        assert (row.state, row.reply) == (DeliveryState.skipped, why)
        kept = session.scalars(select(Attempt).where(Attempt.subscriber_id == person.id)).one()
        assert kept.state is DeliveryState.uncertain


def test_a_late_answer_does_not_undo_what_a_person_decided(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        decide(folder, decisions.count_as_sent, UNCERTAIN)
        (who,) = ids(folder, [UNCERTAIN])
        ledger = Ledger(folder.engine)
        with ledger.turn(), folder.reading() as session:
            number = session.scalars(select(Issue.id)).one()
            late = Entry(number, who, DeliveryState.failed, "550 too late", begun=True, tries=1)
            ledger.record([late], "outbox", LATER)
        ledger.close()
    assert states(folder)[UNCERTAIN][0] == "sent"


def test_places_are_those_of_the_readers_who_are_named(sent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "BATCH", 3)
    with MailServer() as server:
        folder = sent(server)
    first, last = ids(folder, [READERS[0], READERS[7]])
    with folder.reading() as session:
        number = session.scalars(select(Issue.id)).one()
        everywhere = decisions.places(session, number, Which())
        assert len(everywhere) == 3
        assert decisions.places(session, number, Which(readers=(first, last))) == [everywhere[0], everywhere[2]]
        assert everywhere[0] == Place(number, first, first + 2)
        assert session.get(Subscriber, last) is not None
