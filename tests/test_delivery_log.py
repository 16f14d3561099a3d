"""The log of deliveries as people read it, after real sending, on both databases."""

from __future__ import annotations

import csv
import datetime as dt
import email
import io
import json
from typing import Any

import pytest
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import select, update
from test_sender import READERS, issue, send  # noqa: F401 - issue is a fixture

from newsletter import delivery_log, erasure, subscribers, suppressions
from newsletter.delivery_log import Entry, Line, Which
from newsletter.errors import DeliveryMistake, SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import Batch, Delivery, Issue, Subscriber
from newsletter.states import DeliveryState, IssueState, SuppressionReason

LATER = NOW + dt.timedelta(minutes=30)


@pytest.fixture
def sent(issue: Any) -> Any:  # noqa: F811
    """sent(server): an issue to eight readers: 01 failed, 02 is uncertain, 03 was deferred first, 04 is deferred."""

    def make(server: MailServer) -> Folder:
        server.refuse["reader01@example.org"] = "550 5.1.1 no such user"
        server.drop_after_dot.add("reader02@example.org")
        server.refuse["reader03@example.org"] = server.refuse["reader04@example.org"] = "451 4.7.1 greylisted"
        folder: Folder = issue(server, READERS[:8])
        send(folder, NOW)
        del server.refuse["reader03@example.org"]
        for minutes in (3, 6):
            send(folder, NOW + dt.timedelta(minutes=minutes))
        return folder

    return make


@pytest.fixture
def folder_sent(sent: Any) -> Folder:
    with MailServer() as server:
        folder: Folder = sent(server)
    return folder


def lines(folder: Folder, which: Which | None = None, limit: int = 100) -> list[Line]:
    with folder.reading() as session:
        return delivery_log.lines(session, session.scalars(select(Issue.id)).one(), which or Which(), limit)


def names(folder: Folder, **which: Any) -> list[str]:
    return [str(line.address).partition("@")[0] for line in lines(folder, Which(**which))]


def entries(folder: Folder) -> list[Entry]:
    with folder.reading() as session:
        row = session.scalars(select(Issue)).one()
        return list(delivery_log.entries(session, folder.publication()[1], row, NOW))


def test_candidates_are_due_or_excluded_and_due_is_the_sum_of_the_states(folder_sent: Folder) -> None:
    with folder_sent.session() as session:
        row = session.scalars(select(Issue)).one()
        row.candidates, row.excluded = 11, {"unsubscribed": 2, "suppressed: bounce": 1}
        sums = delivery_log.sums(session, row)
    assert sums.candidates == sums.due + sum(sums.excluded.values())
    assert sums.due == sum(sums.states.values()) == 8
    assert {state.value: n for state, n in sums.states.items()} == {
        "sent": 5,
        "failed": 1,
        "uncertain": 1,
        "deferred": 1,
    }


def test_the_newest_trouble_comes_first_and_then_the_others_by_reader(folder_sent: Folder) -> None:
    with folder_sent.session() as session:
        everyone = session.scalars(select(Subscriber).order_by(Subscriber.id)).all()
        everyone[7].address = everyone[7].address_key = "aaron@example.org"
        session.execute(update(Delivery).where(Delivery.subscriber_id == everyone[1].id).values(since=LATER))
    assert names(folder_sent) == [
        "reader01",
        "reader04",
        "reader02",
        "aaron",
        "reader00",
        "reader03",
        "reader05",
        "reader06",
    ]
    assert [str(line.address) for line in lines(folder_sent, limit=4)][3] == "aaron@example.org"


def test_deliveries_are_found_by_state_reader_domain_and_what_was_said(folder_sent: Folder) -> None:
    assert names(folder_sent, states=(DeliveryState.failed, DeliveryState.uncertain)) == ["reader01", "reader02"]
    assert names(folder_sent, search="READER01") == ["reader01"]
    assert names(folder_sent, search="greylisted") == ["reader04"]
    assert names(folder_sent, reply="5.1.1") == ["reader01"]
    assert names(folder_sent, reply="%") == names(folder_sent, search="_") == []
    assert len(names(folder_sent, domain="example.org")) == 8
    assert names(folder_sent, domain="ample.org") == []
    with folder_sent.reading() as session:
        number = session.scalars(select(Issue.id)).one()
        asked = Which(domain="example.org", reply="taken")
        assert delivery_log.tally(session, number, asked) == {DeliveryState.sent: 5}
        assert sum(delivery_log.tally(session, number, Which()).values()) == 8


def test_a_domain_is_understood_as_people_write_it() -> None:
    assert delivery_log.domain_key(" @Bücher.Example.ORG") == "xn--bcher-kva.example.org"
    with pytest.raises(DeliveryMistake, match=r'"example" is not a domain\. Write it as example\.org\.'):
        delivery_log.domain_key("example")


def test_every_attempt_is_told_in_order_with_the_servers_own_words(folder_sent: Folder) -> None:
    with folder_sent.reading() as session:
        row = session.scalars(select(Issue)).one()
        told = delivery_log.history(session, folder_sent.publication()[1], row, "reader03@example.org", NOW)
        waiting = delivery_log.history(session, folder_sent.publication()[1], row, "reader04@example.org", NOW)
    assert [(each.state.value, each.relay, each.reply) for each in told.tries] == [
        ("deferred", "outbox", "451 4.7.1 greylisted"),
        ("sent", "outbox", "250 2.0.0 taken"),
    ]
    assert [each.at for each in told.tries] == [NOW, NOW + dt.timedelta(minutes=3)]
    assert (told.line.tries, told.waits_for) == (2, "")
    assert waiting.tries[-1].next_look == NOW + dt.timedelta(minutes=3 + 10)


def test_the_message_id_is_the_one_that_the_message_had(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
    with folder.reading() as session:
        row = session.scalars(select(Issue)).one()
        for message in server.messages:
            told = delivery_log.history(session, folder.publication()[1], row, message.recipient, NOW)
            assert told.message_id == email.message_from_bytes(message.data)["Message-ID"]


@pytest.mark.parametrize(
    ("state", "issue_state", "owner", "words"),
    [
        ("uncertain", "sent", None, "when someone decides: newsletter delivery resolve 2.21"),
        ("submitting", "sending", "here:1:x", "when the relay has answered"),
        ("queued", "paused", None, "when the issue is resumed: newsletter issue resume 2.21"),
        ("deferred", "paused", None, "when the issue is resumed: newsletter issue resume 2.21"),
        ("queued", "sending", "here:1:x", "when its sender comes to it"),
        ("queued", "sending", None, ""),
        ("failed", "sent", None, ""),
    ],
)  # fmt: skip
def test_whatever_waits_says_what_for(issue: Any, state: str, issue_state: str, owner: str | None, words: str) -> None:  # noqa: F811
    folder = issue(None, ["ada"])
    with folder.session() as session:
        session.execute(update(Issue).values(state=IssueState(issue_state)))
        session.execute(update(Batch).values(owner=owner))
        session.execute(update(Delivery).values(state=DeliveryState(state)))
    with folder.reading() as session:
        row = session.scalars(select(Issue)).one()
        told = delivery_log.history(session, folder.publication()[1], row, "ada@example.org", NOW)
    assert told.waits_for == words
    assert told.tries[-1].next_look == (NOW if (state, words) == ("queued", "") else None)


def test_a_reader_who_was_not_in_the_audience_is_a_sentence(folder_sent: Folder, subscribe: Any) -> None:
    with folder_sent.session() as session:
        subscribe(session, "late@example.org")
        row = session.scalars(select(Issue)).one()
        with pytest.raises(DeliveryMistake, match=r"Vol 2 No 21 has no delivery to late@example\.org"):
            delivery_log.named(session, row, ["late@example.org"])
        with pytest.raises(SubscriberMistake, match="nobody here has the address"):
            delivery_log.named(session, row, ["nobody@example.org"])


def test_an_issue_without_an_audience_is_a_sentence(folder: Folder) -> None:
    row = Issue(publication="digest", slot=NOW.date(), state=IssueState.open)
    with pytest.raises(DeliveryMistake, match=r"^The issue of Nov 13, 2023 has no deliveries: its audience is frozen"):
        delivery_log.started(row)


def test_the_whole_log_has_each_attempt_before_how_the_delivery_stands(folder_sent: Folder) -> None:
    log = entries(folder_sent)
    assert [(entry.address or "")[:8] for entry in log] == sorted((entry.address or "")[:8] for entry in log)
    told = [(entry.state.value, entry.last, entry.tries) for entry in log if entry.address == "reader03@example.org"]
    assert told == [("deferred", False, None), ("sent", True, 2)]
    assert sum(entry.last for entry in log) == 8
    with folder_sent.reading() as session:
        assert delivery_log.size(session, session.scalars(select(Issue.id)).one()) == len(log)


def test_the_log_of_an_erased_reader_stays_without_their_address(folder_sent: Folder) -> None:
    with folder_sent.session() as session:
        erasure.clear(session, subscribers.find(session, "reader03@example.org"), NOW)
    gone = [entry for entry in entries(folder_sent) if entry.address is None]
    assert [entry.state.value for entry in gone] == ["deferred", "sent"]
    (line,) = [line for line in lines(folder_sent) if line.address is None]
    assert line.reader == f"subscriber {gone[0].subscriber}, erased"
    with folder_sent.reading() as session:
        row = session.scalars(select(Issue)).one()
        told = delivery_log.history(session, folder_sent.publication()[1], row, str(gone[0].subscriber), NOW)
        assert len(told.tries) == 2


def test_no_spreadsheet_takes_what_a_server_said_for_a_formula(folder_sent: Folder) -> None:
    with folder_sent.session() as session:
        session.execute(update(Delivery).values(reply='=HYPERLINK("https://example.com","550")\r\n+1'))
    out = io.StringIO()
    assert delivery_log.export_csv(entries(folder_sent), out) == 10
    rows = list(csv.DictReader(io.StringIO(out.getvalue().removeprefix("\ufeff"), newline="")))
    assert len(rows) == 10
    assert {row["reply"][0] for row in rows if row["last"] == "yes"} == {"'"}
    assert list(rows[0]) == list(Entry.__slots__)


def test_the_log_for_machines_says_the_same(folder_sent: Folder) -> None:
    out, log = io.StringIO(), entries(folder_sent)
    assert delivery_log.export_jsonl(log, out) == len(log)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(row["address"], row["state"], row["reply"], row["message_id"]) for row in rows] == [
        (entry.address, entry.state.value, entry.reply, entry.message_id) for entry in log
    ]


def test_the_log_is_that_of_one_moment_although_a_sender_goes_on(sent: Any) -> None:
    with MailServer() as server:
        folder = sent(server)
        server.refuse.clear()
        with folder.reading() as session:
            row = session.scalars(select(Issue)).one()
            log = delivery_log.entries(session, folder.publication()[1], row, NOW)
            begun = [next(log)]
            send(folder, LATER)
            begun += log
    assert "reader04@example.org" in {message.recipient for message in server.messages}
    told = [(entry.state.value, entry.last) for entry in begun if entry.address == "reader04@example.org"]
    assert told == [("deferred", False), ("deferred", True)]


def test_a_suppressed_readers_delivery_is_told_as_skipped(issue: Any) -> None:  # noqa: F811
    folder = issue(None, ["ada", "bea"])
    with folder.session() as session:
        suppressions.add(session, "ada@example.org", SuppressionReason.complaint, "", NOW)
    (line,) = lines(folder, Which(states=(DeliveryState.skipped,)))
    assert (line.address, line.reply) == ("ada@example.org", "suppressed: complaint")
