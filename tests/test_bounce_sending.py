"""What a relay refuses while it is asked counts as a returned message does; and a relay that refuses all, for none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from came_back import returns, suppressed, told
from conftest import NOW
from mailserver import MailServer, being_sent, ledger, relay, through
from sqlalchemy import event, select

from newsletter.bounces.intake import Intake
from newsletter.folder import Folder
from newsletter.models import BounceScore, Delivery, Issue, Return, Subscriber
from newsletter.sender import Progress, Sender
from newsletter.states import DeliveryState, IssueState

Subscribe = Callable[..., Subscriber]
READERS = [f"r{n:02}@example.org" for n in range(30)]


def send(folder: Folder, now: dt.datetime = NOW) -> Progress:
    return Sender(folder, lambda: now, chance=lambda: 0.5).run(stop=lambda: False)


def test_refusals_count_each_as_what_it_is(make_folder: Callable[..., Folder], subscribe: Subscribe) -> None:
    refuse = {
        READERS[3]: "550 5.1.1 no such user",
        READERS[4]: "550 5.2.2 mailbox full",
        READERS[5]: "550 5.7.1 you are on a list of ours",
        READERS[6]: "554 5.3.4 message too large",
    }
    with MailServer(refuse=refuse) as server:
        folder = make_folder(*through(relay(server, "a")))
        being_sent(folder, subscribe, READERS[:10])
        send(folder)
    assert suppressed(folder) == {READERS[3]: "bounce"}
    rows = {row.status: row for row in returns(folder)}
    assert {status: (row.source, row.done) for status, row in rows.items()} == {
        "5.1.1": ("relay", "suppressed (bounce)"),
        "5.2.2": ("relay", "score 1.0 of 5"),
        "5.7.1": ("relay", "not counted: we were refused, not the reader"),
        "5.3.4": ("relay", "not counted: it says nothing of the reader"),
    }
    assert rows["5.1.1"].words == "550 5.1.1 no such user"
    assert rows["5.1.1"].at == NOW
    with folder.reading() as session:
        person = session.scalars(select(Subscriber).where(Subscriber.address == READERS[3])).one()
        assert (rows["5.1.1"].subscriber_id, rows["5.1.1"].fingerprint) == (person.id, person.fingerprint)
        assert session.scalars(select(BounceScore.score)).one() == 1.0


def test_what_was_deferred_until_it_was_given_up_is_a_soft_bounce(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    with MailServer(refuse={READERS[0]: "450 4.2.1 busy"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        being_sent(folder, subscribe, READERS[:2])
        send(folder)
        assert told(folder) == []
        send(folder, NOW + dt.timedelta(days=2))
    assert ledger(folder)[READERS[0]] == ("failed", "450 4.2.1 busy (given up after 2 days)")
    assert told(folder) == [("soft", "score 1.0 of 5")]


def test_what_no_relay_has_said_counts_for_nothing(make_folder: Callable[..., Folder], subscribe: Subscribe) -> None:
    with MailServer(extensions=("PIPELINING",)) as server:
        folder = make_folder(*through(relay(server, "a")))
        being_sent(folder, subscribe, [READERS[0], "jörg@example.org"])
        send(folder)
    assert {state for state, _ in ledger(folder).values()} == {"sent", "failed"}
    assert told(folder) == []


@pytest.mark.parametrize("words", ["554 5.7.1 we don't know you", "550 5.1.1 no such user"])
def test_a_relay_that_refuses_everybody_says_nothing_about_anybody(
    make_folder: Callable[..., Folder], subscribe: Subscribe, words: str
) -> None:
    with MailServer(refuse=dict.fromkeys(READERS, words)) as server:
        folder = make_folder(*through(relay(server, "a")))
        being_sent(folder, subscribe, READERS)
        send(folder)
    rows = returns(folder)
    assert len(rows) >= 20
    assert {row.done for row in rows} == {"not counted: the relay refused 20 or more in a row"}
    assert suppressed(folder) == {}


def test_a_row_of_refusals_is_over_when_the_relay_takes_a_message(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    gone = READERS[0:15] + READERS[16:30]
    with MailServer(refuse=dict.fromkeys(gone, "550 5.1.1 no such user")) as server:
        folder = make_folder(*through(relay(server, "a", connections=1)))
        being_sent(folder, subscribe, READERS)
        send(folder)
    assert set(suppressed(folder)) == set(gone)


def test_a_refused_readers_later_copies_are_called_off(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    with MailServer(refuse={READERS[0]: "550 5.1.1 no such user"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        being_sent(folder, subscribe, READERS[:2])
        send(folder)
        being_sent(folder, lambda *_, **__: None, [""], number=22)
        send(folder)
        assert [message.recipient for message in server.messages] == [READERS[1]] * 2
    assert len(returns(folder)) == 1


def test_a_refusal_is_on_disk_with_the_delivery_that_failed(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    """The machine dies before it is acted on: another sender finds it in the log."""
    with MailServer(refuse={READERS[0]: "550 5.1.1 no such user"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        being_sent(folder, subscribe, READERS[:1])

        def die(progress: Progress) -> None:
            if progress.counts:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Sender(folder, lambda: NOW, show=die).run(stop=lambda: False)
    assert ledger(folder)[READERS[0]][0] == "failed"
    assert told(folder) == [("hard", "")]
    later = NOW + dt.timedelta(minutes=11)
    Intake(folder, lambda: later).look(later)
    assert told(folder) == [("hard", "suppressed (bounce)")]
    assert suppressed(folder) == {READERS[0]: "bounce"}


def test_a_sender_asks_the_database_no_more_often_where_nothing_is_refused(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        being_sent(folder, subscribe, READERS)
        asked: list[str] = []

        def heard(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            asked.append(statement)

        event.listen(folder.engine, "before_cursor_execute", heard)
        send(folder)
        event.remove(folder.engine, "before_cursor_execute", heard)
    assert asked
    assert not [each for each in asked if "returns" in each or "bounce_scores" in each]


def test_an_issue_that_was_paused_by_its_relay_is_as_it_was_before(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    with MailServer(refuse=dict.fromkeys(READERS, "554 5.7.1 we don't know you")) as server:
        folder = make_folder(*through(relay(server, "a", connections=1)))
        being_sent(folder, subscribe, READERS)
        send(folder)
    with folder.reading() as session:
        assert session.scalars(select(Issue.state)).one() is IssueState.paused
        failed = session.scalars(select(Delivery).where(Delivery.state == DeliveryState.failed)).all()
        assert len(failed) == len(session.scalars(select(Return)).all()) < len(READERS)
