"""The log of deliveries, and putting it right by hand: on both databases, with a real mail server."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from test_sender import READERS, issue, send, states  # noqa: F401 - issue is a fixture

from newsletter import delivery_log, subscribers, suppressions
from newsletter.delivery_log import Which
from newsletter.errors import DeliveryMistake, SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import Batch, DeliveryState, Issue, IssueState, SuppressionReason

LATER = NOW + dt.timedelta(hours=1)


def the_issue(session: Session) -> Issue:
    return session.scalars(select(Issue)).one()


def retry(folder: Folder, which: Which = Which()) -> tuple[int, int]:
    with folder.session() as session:
        return delivery_log.retry(session, folder.publication()[1], the_issue(session), which, LATER)


def resolve(folder: Folder, *addresses: str, again: bool) -> tuple[int, int]:
    with folder.session() as session:
        return delivery_log.resolve(
            session,
            folder.publication()[1],
            the_issue(session),
            Which(addresses=addresses),
            LATER,
            again=again,
            by="Ada",
        )


@pytest.fixture
def sent(issue: Callable[..., Folder]) -> Callable[..., Folder]:  # noqa: F811
    """sent(server): an issue that went to eight readers, one of whom failed and two of whom are uncertain."""

    def make(server: MailServer) -> Folder:
        server.refuse["reader01@example.org"] = "550 5.1.1 no such user"
        server.drop_after_dot.add("reader02@example.org")
        server.lose_after_dot.add("reader03@example.org")
        folder = issue(server, READERS[:8])
        for minutes in (0, 3, 6):
            send(folder, NOW + dt.timedelta(minutes=minutes))
        server.refuse.clear()
        return folder

    return make


def test_the_log_shows_what_needs_a_person_first(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
    with folder.reading() as session:
        found = list(delivery_log.lines(session, the_issue(session), Which()))
        assert [line.state.value for line in found] == ["uncertain"] * 2 + ["failed"] + ["sent"] * 5
        assert found[2].reply == "550 5.1.1 no such user"
        assert delivery_log.count(session, the_issue(session), Which(states=(DeliveryState.sent,))) == 5
        assert [line.address for line in delivery_log.lines(session, the_issue(session), Which(search="READER01"))] == [
            "reader01@example.org"
        ]
        assert delivery_log.count(session, the_issue(session), Which(reply="5.1.1")) == 1
        assert delivery_log.count(session, the_issue(session), Which(domain="example.org")) == 8
        assert delivery_log.count(session, the_issue(session), Which(domain="ample.org")) == 0
        assert delivery_log.count(session, the_issue(session), Which(search="%")) == 0


def test_a_failed_delivery_is_tried_once_more_and_what_was_said_before_is_kept(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        assert retry(folder) == (1, 0)
        with folder.reading() as session:
            assert the_issue(session).state is IssueState.sending
        send(folder, LATER)
        assert Counter(m.recipient for m in server.messages)["reader01@example.org"] == 1
    assert states(folder)["reader01"] == ("sent", "250 2.0.0 taken")
    with folder.reading() as session:
        assert the_issue(session).state is IssueState.sent
        line, tried = delivery_log.tries(session, the_issue(session), "reader01@example.org")
        assert (line.tries, [each.reply for each in tried]) == (2, ["550 5.1.1 no such user", "250 2.0.0 taken"])


def test_retry_never_touches_what_was_sent_or_is_uncertain(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        for state in (DeliveryState.sent, DeliveryState.uncertain, DeliveryState.skipped):
            with pytest.raises(DeliveryMistake, match="not tried again"):
                retry(folder, Which(states=(state,)))
        retry(folder)
        send(folder, LATER)
        assert max(Counter(m.recipient for m in server.messages).values()) == 1
    assert Counter(state for state, _ in states(folder).values()) == {"sent": 6, "uncertain": 2}


def test_uncertain_ones_count_as_sent_when_a_person_says_so(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        before = len(server.messages)
        assert resolve(folder, "reader02@example.org", again=False) == (1, 0)
        send(folder, LATER)
        assert len(server.messages) == before
    found = states(folder)
    assert found["reader02"][0] == "sent"
    assert found["reader02"][1].endswith("; counted as sent by Ada")
    assert found["reader03"][0] == "uncertain"


def test_uncertain_ones_are_sent_again_only_when_a_person_says_so(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        assert resolve(folder, "reader03@example.org", again=True) == (1, 0)
        send(folder, LATER)
        assert Counter(m.recipient for m in server.messages)["reader03@example.org"] == 1
    assert states(folder)["reader03"][0] == "sent"
    assert states(folder)["reader02"][0] == "uncertain"


def test_whoever_left_meanwhile_is_skipped_and_not_sent_again(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            gone = subscribers.find(session, "reader02@example.org")
            subscribers.unsubscribe(session, folder.config, gone, None, LATER, "asked")
            suppressions.add(session, "reader03@example.org", SuppressionReason.complaint, "asked", LATER)
        before = len(server.messages)
        assert resolve(folder, again=True) == (0, 2)
        send(folder, LATER)
        assert len(server.messages) == before
    assert states(folder)["reader02"][0] == states(folder)["reader03"][0] == "skipped"


def test_what_is_queued_again_in_a_batch_that_a_sender_holds_is_not_forgotten(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            session.execute(update(Issue).values(state=IssueState.sending))
            session.execute(update(Batch).values(owner="elsewhere:1:x", until=LATER + dt.timedelta(minutes=1), due=NOW))
        assert retry(folder) == (1, 0)
        send(folder, LATER)
        assert "reader01@example.org" not in {m.recipient for m in server.messages}
        send(folder, LATER + dt.timedelta(minutes=2))
        assert "reader01@example.org" in {m.recipient for m in server.messages}


def test_a_reader_who_was_not_in_the_audience_is_a_sentence(sent: Any, subscribe: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
    with folder.session() as session:
        subscribe(session, "late@example.org")
        with pytest.raises(DeliveryMistake, match="was not due to"):
            delivery_log.tries(session, the_issue(session), "late@example.org")
        with pytest.raises(SubscriberMistake):
            delivery_log.tries(session, the_issue(session), "nobody@example.org")


def test_an_issue_that_is_not_on_its_way_has_nothing_to_retry(folder: Folder) -> None:
    with folder.session() as session:
        row = Issue(
            publication="digest",
            slot=NOW.date(),
            state=IssueState.assembled,
            since=NOW,
            deadline=NOW,
            approve_by=NOW,
            sends=NOW,
            volume=2,
            number=21,
        )
        session.add(row)
        session.flush()
        with pytest.raises(DeliveryMistake, match="nothing of it can be sent again"):
            delivery_log.retry(session, folder.publication()[1], row, Which(), NOW)
