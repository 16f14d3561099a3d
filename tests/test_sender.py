"""Sending, against a real mail server over real sockets, with the ledger on both databases."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import create_engine, select, update

from newsletter import audience
from newsletter.folder import Folder
from newsletter.models import Attempt, Batch, Delivery, Draft, Issue, RelayHealth, Rendition, Subscriber, Suppression
from newsletter.sender import Progress, Sender
from newsletter.states import DeliveryState, DraftState, IssueState, RenditionKind, SuppressionReason

SMTP = 'kind = "smtp"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\nconnections = {connections}'


@pytest.fixture
def issue(make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber]) -> Callable[..., Folder]:
    """issue(server, names): a folder whose issue 2.21 is being sent to NAME@example.org, through that server."""

    def make(server: MailServer | None, names: list[str], *, connections: int = 2) -> Folder:
        relay = SMTP.format(port=server.port, connections=connections) if server else 'kind = "maildir"'
        folder = make_folder(('kind = "maildir"', relay))
        with folder.session() as session:
            row = Issue(
                publication="digest",
                slot=NOW.date(),
                state=IssueState.sending,
                since=NOW,
                deadline=NOW,
                approve_by=NOW,
                sends=NOW,
                volume=2,
                number=21,
                date=NOW.date(),
                subject="Digest 2.21",
            )
            session.add(row)
            session.flush()
            session.add(
                Draft(
                    publication="digest",
                    headline="h",
                    body="b",
                    state=DraftState.placed,
                    created=NOW,
                    changed=NOW,
                    issue_id=row.id,
                )
            )
            for kind in (RenditionKind.html, RenditionKind.text):
                session.add(
                    Rendition(
                        issue_id=row.id, kind=kind, content=b"<p>Dear \x02name|reader\x03</p>\n", sha256="", made=NOW
                    )
                )
            for name in names:
                subscribe(session, f"{name}@example.org", name=name.title())
            audience.freeze(session, row, ["alliance-digest"], NOW)
        return folder

    return make


def send(folder: Folder, now: dt.datetime = NOW, *, stop: Callable[[], bool] = lambda: False) -> Progress:
    return Sender(folder, lambda: now, chance=lambda: 0.5).run(stop=stop)


def states(folder: Folder) -> dict[str, tuple[str, str]]:
    """Name: (state, what the relay said)."""
    with folder.reading() as session:
        rows = session.execute(
            select(Subscriber.address, Delivery).join(Delivery, Delivery.subscriber_id == Subscriber.id)
        )
        return {address.split("@")[0]: (row.state.value, row.reply or "") for address, row in rows}


def issue_state(folder: Folder) -> IssueState:
    with folder.reading() as session:
        return session.scalars(select(Issue)).one().state


READERS = [f"reader{i:02}" for i in range(25)]


def test_every_reader_gets_one_copy_and_the_ledger_says_what_the_relay_said(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS)
        progress = send(folder)
        assert sorted(message.recipient for message in server.messages) == [f"{name}@example.org" for name in READERS]
        assert all(
            f"To: {m.recipient.split('@')[0].title()} <{m.recipient}>".encode() in m.data for m in server.messages
        )
        assert len({message.sender for message in server.messages}) == 25
    assert progress.counts == {"sent": 25}
    assert set(states(folder).values()) == {("sent", "250 2.0.0 taken")}
    assert issue_state(folder) is IssueState.sent
    with folder.reading() as session:
        assert session.scalars(select(Draft)).one().state is DraftState.published
        assert {row.relay for row in session.scalars(select(Delivery))} == {"outbox"}
        assert session.scalars(select(Batch)).one().owner is None


def test_sending_again_sends_nothing(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:3])
        send(folder)
        send(folder)
        assert len(server.messages) == 3


def test_a_maildir_gets_every_message_as_a_mail_program_would_read_it(issue: Any, tmp_path: Path) -> None:
    folder = issue(None, READERS)
    send(folder)
    files = sorted((tmp_path / "outbox" / "new").iterdir())
    assert len(files) == 25
    assert b"To: Reader00 <reader00@example.org>\r\n" in files[0].read_bytes()
    assert issue_state(folder) is IssueState.sent


def test_an_envelope_leaves_in_one_write_with_the_message_before_it(issue: Any) -> None:
    with MailServer() as server:
        send(issue(server, READERS[:2], connections=1))
        assert [command[:4] for command in server.commands][:7] == [
            "ehlo",
            "MAIL",
            "RCPT",
            "DATA",
            "MAIL",
            "RCPT",
            "DATA",
        ]


def test_a_server_without_pipelining_is_told_one_thing_at_a_time(issue: Any) -> None:
    with MailServer(extensions=("8BITMIME",), refuse={"reader01@example.org": "550 5.1.1 no"}) as server:
        folder = issue(server, READERS[:4])
        send(folder)
        assert len(server.messages) == 3
    assert states(folder)["reader01"] == ("failed", "550 5.1.1 no")


@pytest.mark.parametrize("go_on", [False, True])
def test_a_refused_reader_has_failed_with_the_servers_words_and_the_rest_goes_on(issue: Any, go_on: bool) -> None:
    with MailServer(
        refuse={"reader01@example.org": "550 5.1.1 no such user"}, go_on_without_recipients=go_on
    ) as server:
        folder = issue(server, READERS[:6])
        send(folder)
        assert len(server.messages) == 5
    found = states(folder)
    assert found.pop("reader01") == ("failed", "550 5.1.1 no such user")
    assert {state for state, _ in found.values()} == {"sent"}
    assert issue_state(folder) is IssueState.sent


@pytest.mark.parametrize("where", ["refuse", "refuse_data"])
def test_a_deferred_reader_is_tried_again_on_schedule_and_every_attempt_is_kept(issue: Any, where: str) -> None:
    answers = {"reader01@example.org": "451 4.7.1 greylisted"}
    with MailServer(**{where: answers}) as server:
        folder = issue(server, READERS[:3])
        send(folder)
        assert states(folder)["reader01"] == ("deferred", "451 4.7.1 greylisted")
        assert issue_state(folder) is IssueState.sending
        send(folder, NOW + dt.timedelta(minutes=1))
        assert len(server.messages) == 2
        send(folder, NOW + dt.timedelta(minutes=2))
        assert states(folder)["reader01"][0] == "deferred"
        with folder.reading() as session:
            row = session.scalars(select(Delivery).where(Delivery.state == DeliveryState.deferred)).one()
            assert (row.tries, row.next_look) == (2, NOW + dt.timedelta(minutes=12))
        answers.clear()
        send(folder, NOW + dt.timedelta(minutes=12))
        assert len(server.messages) == 3
    assert states(folder)["reader01"] == ("sent", "250 2.0.0 taken")
    assert issue_state(folder) is IssueState.sent
    with folder.reading() as session:
        kept = session.scalars(select(Attempt).order_by(Attempt.id)).all()
        assert [(row.state, row.reply, row.at) for row in kept] == [
            (DeliveryState.deferred, "451 4.7.1 greylisted", NOW + dt.timedelta(minutes=m)) for m in (0, 2)
        ]


def test_a_reader_deferred_for_too_long_has_failed_and_says_so(issue: Any) -> None:
    with MailServer(refuse={"reader00@example.org": "450 4.2.0 later"}) as server:
        folder = issue(server, READERS[:2])
        for hours in (0, 1, 6, 20, 47, 49, 60):
            send(folder, NOW + dt.timedelta(hours=hours))
    assert states(folder)["reader00"] == ("failed", "450 4.2.0 later (given up after 2 days)")
    assert issue_state(folder) is IssueState.sent


def test_a_connection_cut_before_the_message_costs_nobody_a_copy_and_gives_nobody_two(issue: Any) -> None:
    with MailServer(drop_at_data={f"{name}@example.org" for name in READERS[:4]}) as server:
        folder = issue(server, READERS[:8])
        for minutes in (0, 3, 6, 9):
            send(folder, NOW + dt.timedelta(minutes=minutes))
        assert Counter(m.recipient for m in server.messages) == {f"{name}@example.org": 1 for name in READERS[:8]}
    assert {state for state, _ in states(folder).values()} == {"sent"}


def test_a_connection_cut_in_the_middle_of_a_message_is_no_doubt_since_the_final_dot_had_not_left(issue: Any) -> None:
    with MailServer(drop_before_dot={"reader00@example.org"}, extensions=("PIPELINING",)) as server:
        folder = issue(server, READERS[:2], connections=1)
        with folder.session() as session:
            # More than the system holds between two sockets, so that the end can't have left.
            session.execute(update(Rendition).values(content=b"<p>Dear reader</p>\n" * 600_000))
        send(folder)
        state, reply = states(folder)["reader00"]
        assert state == "deferred"
        assert reply.endswith("(before the message had left)")
        for minutes in (3, 6):
            send(folder, NOW + dt.timedelta(minutes=minutes))
        assert Counter(m.recipient for m in server.messages) == {f"{name}@example.org": 1 for name in READERS[:2]}


def test_a_message_whose_connection_always_ends_is_deferred_and_holds_nobody_up(issue: Any) -> None:
    class Always(set[str]):
        def discard(self, _: str) -> None:
            """It never gets better."""

    with MailServer(drop_at_data=Always({"reader01@example.org"})) as server:
        folder = issue(server, READERS[:6], connections=1)
        for minutes in range(0, 20, 2):
            send(folder, NOW + dt.timedelta(minutes=minutes))
        assert len(server.messages) == 5
    assert states(folder)["reader01"][0] == "deferred"


@pytest.mark.parametrize("taken", [True, False])
def test_a_connection_cut_after_the_final_dot_leaves_that_one_uncertain_and_never_sends_it_again(
    issue: Any, taken: bool
) -> None:
    cut = {"reader02@example.org"}
    with MailServer(**{"drop_after_dot" if taken else "lose_after_dot": cut}) as server:
        folder = issue(server, READERS[:8])
        for minutes in (0, 5, 60, 600):
            send(folder, NOW + dt.timedelta(minutes=minutes))
        assert len(server.messages) == 8 - (not taken)
    found = states(folder)
    assert found.pop("reader02")[0] == "uncertain"
    assert {state for state, _ in found.values()} == {"sent"}
    assert issue_state(folder) is IssueState.sent


def test_a_relay_that_closes_after_some_messages_is_asked_again(issue: Any) -> None:
    with MailServer(close_after=3) as server:
        folder = issue(server, READERS)
        send(folder)
        assert len(server.messages) == 25
        assert server.connections > 8
    assert {state for state, _ in states(folder).values()} == {"sent"}


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (
            {"answer_mail": "530 5.7.0 authentication required"},
            "it refuses the sender: 530 5.7.0 authentication required",
        ),
        ({"answer_mail": "451 4.3.0 try later"}, "it refuses the sender: 451 4.3.0 try later"),
        ({"babble": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "it says what no mail server says"),
        ({"babble": b"\x00\xff\x01\r\n"}, "it says what no mail server says"),
        ({"babble": b"x" * 300000}, "it sends a line without an end"),
        ({"babble": b"250-and\r\n" * 2000}, "it sends a reply without an end"),
        ({"greeting": "554 5.7.1 go away"}, "it refuses us: 554 5.7.1 go away"),
    ],
)
def test_a_relay_that_is_wrong_in_itself_costs_no_reader_anything(
    issue: Any, trouble: dict[str, Any], words: str
) -> None:
    with MailServer(**trouble) as server:
        folder = issue(server, READERS[:5])
        progress = send(folder)
        assert words in progress.trouble
        assert not server.messages
    assert {state for state, _ in states(folder).values()} == {"queued"}
    with folder.reading() as session:
        health = session.scalars(select(RelayHealth)).one()
        assert words in health.why
        assert health.next_look > NOW
    assert issue_state(folder) is IssueState.sending


def test_a_reader_who_leaves_while_the_issue_is_going_out_gets_no_copy(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:6], connections=1)

        def leave(recipient: str) -> None:
            if recipient == "reader02@example.org":
                with folder.session() as session:
                    number = session.scalars(select(Subscriber.id).where(Subscriber.address == recipient)).one()
                    session.execute(
                        update(Delivery).where(Delivery.subscriber_id == number).values(state=DeliveryState.skipped)
                    )

        # After DATA was sent and before it is answered: the very last moment.
        server.on_data = leave
        send(folder)
        assert sorted(m.recipient[:8] for m in server.messages) == [
            "reader00",
            "reader01",
            "reader03",
            "reader04",
            "reader05",
        ]
    assert states(folder)["reader02"][0] == "skipped"
    assert issue_state(folder) is IssueState.sent


def test_a_reader_suppressed_after_the_audience_was_frozen_gets_no_copy(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:3])
        with folder.session() as session:
            who = session.scalars(select(Subscriber).where(Subscriber.address == "reader01@example.org")).one()
            session.add(Suppression(fingerprint=who.fingerprint, reason=SuppressionReason.complaint, since=NOW))
        send(folder)
        assert len(server.messages) == 2
    assert states(folder)["reader01"] == ("skipped", "suppressed: complaint")


def test_a_paused_issue_stops_within_a_message_and_goes_on_where_it_stopped(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS, connections=1)

        def pause(recipient: str) -> None:
            if recipient == "reader04@example.org":
                with folder.session() as session:
                    session.execute(update(Issue).values(state=IssueState.paused))

        server.on_data = pause
        send(folder)
        assert len(server.messages) == 4
        assert Counter(state for state, _ in states(folder).values()) == {"sent": 4, "queued": 21}
        with folder.session() as session:
            session.execute(update(Issue).values(state=IssueState.sending))
        server.on_data = None
        send(folder)
        assert Counter(m.recipient for m in server.messages) == {f"{name}@example.org": 1 for name in READERS}
    assert issue_state(folder) is IssueState.sent


def test_an_issue_whose_messages_can_not_be_made_is_paused_with_the_reason_and_others_go_on(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:3])
        with folder.session() as session:
            session.execute(update(Rendition).values(content=b"<p>\x02salary\x03</p>\n"))
        send(folder)
        assert not server.messages
        with folder.reading() as session:
            paused = session.scalars(select(Issue)).one()
            assert paused.state is IssueState.paused
            assert "[[salary]]" in paused.why
            assert session.scalars(select(Batch)).one().owner is None
    assert {state for state, _ in states(folder).values()} == {"queued"}


def away(folder: Folder, *, back: bool = False) -> None:
    """Takes the ledger away from whoever uses it; gives it back."""
    if folder.engine.dialect.name == "sqlite":
        old, new = ("gone", "deliveries") if back else ("deliveries", "gone")
        with folder.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")
        return
    name = folder.engine.url.database
    beside = create_engine(folder.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with beside.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {'true' if back else 'false'}")
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    beside.dispose()


def test_a_database_that_goes_away_in_the_middle_is_waited_for_and_every_answer_is_written_down(issue: Any) -> None:
    told: list[str] = []
    with MailServer() as server:
        folder = issue(server, READERS[:12], connections=3)
        waited: list[float] = []

        def wait(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                away(folder, back=True)

        server.on_data = lambda recipient: away(folder) if recipient == "reader05@example.org" else None
        sender = Sender(
            folder, lambda: NOW, show=lambda progress: told.append(progress.trouble), chance=lambda: 0.5, wait=wait
        )
        sender.run(stop=lambda: False)
        again = Sender(folder, lambda: NOW + dt.timedelta(minutes=5))
        again.run(stop=lambda: False)
        got = Counter(m.recipient for m in server.messages)
    assert set(got.values()) == {1}
    assert len(got) == 12
    assert {state for state, _ in states(folder).values()} == {"sent"}
    assert waited
    assert any("the database can't be used" in words for words in told)
    assert told[-1] == ""


def test_a_sender_told_to_stop_while_the_database_is_away_leaves_at_most_one_a_connection_uncertain(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:12], connections=1)
        driver = folder.engine.dialect.loaded_dbapi
        stopping: list[bool] = []
        server.on_data = lambda recipient: away(folder) if recipient == "reader05@example.org" else None
        sender = Sender(folder, lambda: NOW, wait=lambda _: stopping.append(True))
        with pytest.raises(driver.Error):
            sender.run(stop=lambda: bool(stopping))
        server.on_data = None
        away(folder, back=True)
        send(folder, NOW + dt.timedelta(minutes=5))
        got = Counter(m.recipient for m in server.messages)
    assert max(got.values()) == 1
    found = states(folder)
    assert {state for state, _ in found.values()} <= {"sent", "uncertain"}
    assert sum(state == "uncertain" for state, _ in found.values()) <= 1
    assert set(got) | {f"{name}@example.org" for name, (state, _) in found.items() if state == "uncertain"} == {
        f"{name}@example.org" for name in READERS[:12]
    }


def test_an_address_that_no_mail_server_could_take_fails_alone(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:3])
        with folder.session() as session:
            session.execute(update(Subscriber).where(Subscriber.name == "Reader01").values(address="no one"))
        send(folder)
        assert len(server.messages) == 2
    assert states(folder)["no one"][0] == "failed"
    assert issue_state(folder) is IssueState.sent


def test_a_sender_that_is_told_to_stop_finishes_what_is_in_the_open_and_leaves_the_rest_queued(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS, connections=2)
        send(folder, stop=lambda: len(server.messages) >= 5)
        found = Counter(state for state, _ in states(folder).values())
        assert found["sent"] == len(server.messages) < 25
        assert set(found) == {"sent", "queued"}
        with folder.reading() as session:
            assert session.scalars(select(Batch)).one().owner is None
        send(folder)
        assert Counter(m.recipient for m in server.messages) == {f"{name}@example.org": 1 for name in READERS}


def test_what_a_lost_sender_had_begun_is_uncertain_and_the_rest_is_taken_over(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:10])
        with folder.session() as session:
            session.execute(update(Batch).values(owner="elsewhere:1:x", until=NOW + dt.timedelta(minutes=2)))
            begun = session.scalars(
                select(Subscriber.id).where(Subscriber.address.in_(["reader03@example.org", "reader07@example.org"]))
            ).all()
            session.execute(
                update(Delivery)
                .where(Delivery.subscriber_id.in_(begun))
                .values(state=DeliveryState.submitting, tries=1)
            )
        send(folder, NOW + dt.timedelta(minutes=1))
        assert not server.messages
        send(folder, NOW + dt.timedelta(minutes=3))
        assert len(server.messages) == 8
    found = states(folder)
    assert (
        found["reader03"]
        == found["reader07"]
        == ("uncertain", "its sender (elsewhere:1:x) was lost before the relay's answer")
    )


def test_a_dead_sender_of_this_machine_is_not_waited_for_and_one_that_only_shares_its_name_is(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:4])
        ours = Sender(folder, lambda: NOW).owner
        here, pid, _ = ours.split(":")
        assert len(ours) <= 80
        # A number that no process has: past the system's greatest.
        for owner, sent in ((f"{here.split('/')[0]}/1:{2**22 + 1}:x", 0), (f"{here}:{2**22 + 1}:x", 4)):
            with folder.session() as session:
                session.execute(update(Batch).values(owner=owner, until=NOW + dt.timedelta(minutes=2)))
            send(folder, NOW + dt.timedelta(seconds=1))
            assert len(server.messages) == sent
        assert pid.isdigit()


def test_a_sender_whose_lease_was_lost_sends_nothing_that_another_has_taken(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, READERS[:10], connections=1)

        def taken_over(recipient: str) -> None:
            if recipient == "reader03@example.org":
                with folder.session() as session:
                    session.execute(update(Batch).values(owner="elsewhere:1:x", until=NOW + dt.timedelta(minutes=2)))

        server.on_data = taken_over
        send(folder)
        assert len(server.messages) == 3
    assert Counter(state for state, _ in states(folder).values()) == {"sent": 3, "queued": 7}


def test_an_address_that_needs_smtputf8_waits_for_no_relay_that_has_none(issue: Any) -> None:
    with MailServer() as server:
        folder = issue(server, ["jösé", "ada"])
        send(folder)
        assert [m.recipient for m in server.messages] == ["ada@example.org"]
    assert states(folder)["jösé"] == ("failed", "this relay takes no address with letters outside ASCII (no SMTPUTF8)")


def test_a_message_larger_than_the_relay_takes_fails_alone(issue: Any) -> None:
    with MailServer(extensions=("PIPELINING", "SIZE 100")) as server:
        folder = issue(server, READERS[:2])
        send(folder)
        assert not server.messages
    assert states(folder)["reader00"][1].endswith("this relay takes 100")
