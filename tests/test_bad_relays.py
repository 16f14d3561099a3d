"""Relays that do what no relay should: each is a stated reason, on the delivery or the relay, and the rest goes on."""

from __future__ import annotations

import copy
import datetime as dt
import smtplib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from conftest import NOW
from hypothesis import given, settings
from hypothesis import strategies as st
from mailserver import MailServer, Steps, being_sent, ledger, relay, through
from sqlalchemy import select

from newsletter import in_hand, sender, smtp
from newsletter.compose import Message
from newsletter.config import Relay, Security
from newsletter.folder import Folder
from newsletter.models import Delivery, Issue, RelayHealth
from newsletter.relays import Closed, Deferred, Ended, Job, Ready, Refused, Returned, Sent, Uncertain
from newsletter.sender import Progress, Sender
from newsletter.smtp import SmtpConversation
from newsletter.states import IssueState

MINUTE = dt.timedelta(minutes=1)
READERS = [f"reader{n:02}@example.org" for n in range(12)]
ONE = READERS[4]
"""Whose message meets with what is wrong."""


@pytest.fixture
def sending(
    make_folder: Callable[..., Folder], subscribe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Folder]:
    """sending(relay(…), relay(…)): a folder with an issue being sent to READERS."""
    monkeypatch.setattr(sender, "PAUSE", 0.005)
    monkeypatch.setattr(in_hand, "PAUSE", 0.005)

    def make(*relays: str, readers: list[str] = READERS) -> Folder:
        folder = make_folder(*through(*relays))
        being_sent(folder, subscribe, readers)
        return folder

    return make


def send(folder: Folder, now: dt.datetime | Steps = NOW) -> Progress:
    # It goes on a little: a domain that is paced waits for its time.
    clock = now if isinstance(now, Steps) else Steps(now, dt.timedelta(milliseconds=20))
    return Sender(folder, clock, chance=lambda: 0.5).run(stop=clock.turn)


def known_against(folder: Folder) -> dict[str, str]:
    with folder.reading() as session:
        return {row.relay: row.why for row in session.scalars(select(RelayHealth))}


def copies(*servers: MailServer) -> Counter[str]:
    return Counter(m.recipient for server in servers for m in server.messages)


def said_at_all(folder: Folder) -> str:
    """Everything that is said of deliveries and relays."""
    with folder.reading() as session:
        rows = [row.reply or "" for row in session.scalars(select(Delivery))]
    return "\n".join([*rows, *known_against(folder).values()])


# ---- at every step, everything that can be wrong in what it says

WRONG = {
    "a code of nine hundred": b"999 2.0.0 ok\r\n",
    "a code that has not been since 1982": b"150 wait for it\r\n",
    "a code of two digits": b"25 ok\r\n",
    "binary babble": bytes(range(128, 256)) + b"\r\n",
    "zeros": b"\0" * 100 + b"\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>\r\n",
    "an empty line": b"\r\n",
    "megabytes in one line": b"250 " + b"x" * 3_000_000 + b"\r\n",
    "megabytes in many lines": b"250-more\r\n" * 300_000 + b"250 ok\r\n",
    "a close": None,
    "421 and a close": b"421 4.3.2 shutting down\r\n",
}
STEPS = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_relay_that_always_says_what_is_wrong_is_said_to_and_the_other_one_does_the_work(
    sending: Any, wrong: str, step: str
) -> None:
    # Where EHLO isn't understood HELO is tried.
    steps = ["EHLO", "HELO"] if step == "EHLO" else [step]
    with MailServer(instead=dict.fromkeys(steps, WRONG[wrong])) as bad, MailServer() as good:
        folder = sending(relay(bad, "bad", connections=1), relay(good, "good", connections=1))
        # After 421 a domain is paced: then time must go on for its next message.
        step_of_clock = dt.timedelta(seconds=1 if wrong == "421 and a close" else 0)
        for minutes in (0, 3, 15, 60, 150):
            send(folder, Steps(NOW + minutes * MINUTE, step_of_clock, turns=2000))
        got = copies(bad, good)
    found = ledger(folder)
    assert set(got.values()) == {1}
    # EHLO may be as long as it likes: whoever greets for three megabytes has said yes all the same.
    says_yes = (wrong, step) == ("megabytes in many lines", "EHLO")
    assert says_yes or not bad.messages
    states = Counter(state for state, _ in found.values())
    assert set(states) <= {"sent", "uncertain", "deferred"}, found
    assert {address for address, (state, _) in found.items() if state == "sent"} == set(got)
    # One for each try of the bad relay's connection, and only where the final dot had left.
    assert states["uncertain"] <= (5 if step == "." else 0)
    assert states["sent"] >= len(READERS) - 5
    if states["uncertain"]:
        assert all(reply for state, reply in found.values() if state == "uncertain")
    elif wrong != "421 and a close" and not says_yes:
        assert known_against(folder).get("bad"), "nothing is said about it"
    assert len(said_at_all(folder)) < 20_000
    assert not set(map(chr, [*range(9), *range(11, 32)])) & set(said_at_all(folder))


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("wrong", [name for name in WRONG if name not in {"a close", "421 and a close"}])
def test_what_is_wrong_once_costs_at_most_that_one_reader_a_delay(sending: Any, wrong: str, step: str) -> None:
    key = step if step == "MAIL" else f"{step} {ONE}"
    with MailServer() as server:
        folder = sending(relay(server, "only", connections=1))
        server.instead[key] = WRONG[wrong]
        first = send(folder)
        assert len(server.messages) <= 11
        del server.instead[key]
        for minutes in (1, 3, 20):
            send(folder, NOW + minutes * MINUTE)
        got = copies(server)
    found = ledger(folder)
    if step == ".":
        assert found.pop(ONE)[0] == "uncertain"
    elif step == "MAIL":
        assert "relay only" in first.trouble
    assert {state for state, _ in found.values()} == {"sent"}
    assert set(got.values()) == {1}
    assert the_issue(folder).state is IssueState.sent


def the_issue(folder: Folder) -> Issue:
    with folder.reading() as session:
        return session.scalars(select(Issue)).one()


# ---- replies out of step

OUT_OF_STEP = {
    "an extra 250 before the answer to RCPT": {"beforehand": {f"RCPT {ONE}": b"250 2.1.5 again\r\n"}},
    "an extra 250 before the answer to DATA": {"beforehand": {f"DATA {ONE}": b"250 2.0.0 again\r\n"}},
    "354 to RCPT": {"instead": {f"RCPT {ONE}": b"354 go on\r\n"}},
    "250 to DATA": {"instead": {f"DATA {ONE}": b"250 2.0.0 ok\r\n"}},
    "220 to RCPT": {"beforehand": {f"RCPT {ONE}": b"220 test ESMTP\r\n"}},
    "354 to MAIL": {"instead": {"MAIL": b"354 go on\r\n"}},
}


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
@pytest.mark.parametrize("wrong", OUT_OF_STEP)
def test_replies_out_of_step_cost_no_reader_a_copy_and_give_nobody_two(
    sending: Any, wrong: str, extensions: tuple[str, ...]
) -> None:
    with MailServer(extensions=extensions, **copy.deepcopy(OUT_OF_STEP[wrong])) as server:
        folder = sending(relay(server, "only", connections=1))
        progress = send(folder)
        first = ledger(folder)
        server.instead.clear()
        server.beforehand.clear()
        for minutes in (1, 3, 20):
            send(folder, NOW + minutes * MINUTE)
        got = copies(server)
    assert Counter(state for state, _ in first.values())["failed"] == 0, first[ONE]
    assert "its replies are out of step: " in (progress.trouble if wrong == "354 to MAIL" else first[ONE][1])
    assert set(got.values()) == {1}
    assert {state for state, _ in ledger(folder).values()} == {"sent"}


def test_an_extra_250_after_354_and_before_the_message_is_no_answer_to_it(sending: Any) -> None:
    with MailServer(instead={f"DATA {ONE}": b"354 go on\r\n250 2.0.0 taken, I promise\r\n"}) as server:
        folder = sending(relay(server, "only", connections=1))
        send(folder)
        assert ledger(folder)[ONE][0] != "sent"


@pytest.mark.parametrize("words", ["550 5.7.1 before you ask: no", "250 2.0.0 yes, whatever it is"])
def test_what_is_said_before_anything_was_asked_is_kept_against_the_relay(
    words: str,
) -> None:
    conversation, wire = begun_conversation()
    with wire:
        wire.sendall(words.encode() + b"\r\n")
        assert conversation.events(1.0) == [Closed(words)]
        assert not conversation.idle


# ---- one conversation, looked at closely


OPEN: list[tuple[SmtpConversation, socket.socket]] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    end_all()


def end_all() -> None:
    while OPEN:
        conversation, wire = OPEN.pop()
        conversation.drop("")
        wire.close()


def begun_conversation(**features: str) -> tuple[SmtpConversation, socket.socket]:
    """A conversation after its login, and the other end of its wire."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    server = smtplib.SMTP()
    server.sock, server.does_esmtp, server.esmtp_features = ours, True, {"pipelining": "", **features}
    settings = Relay(name="close", host="127.0.0.1", port=25, security=Security.none)
    conversations.append(SmtpConversation(server, settings, 0.0))
    return conversations[-1], theirs


conversations: list[SmtpConversation] = []


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """Ends the conversations that a test has begun."""
    yield
    while conversations:
        conversations.pop().drop("over")


def job(content: bytes = b"Subject: x\r\n\r\nx\r\n", number: int = 1) -> Job:
    return Job(1, number, (1, 1), 0, Message("a@example.org", f"r{number}@example.org", (content,)))


def ready(content: bytes = b"Subject: x\r\n\r\nx\r\n") -> tuple[SmtpConversation, socket.socket, Job]:
    """A conversation whose relay waits for a message."""
    conversation, wire = begun_conversation()
    made = job(content)
    conversation.offer(made)
    wire.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
    assert conversation.events(1.0) == [Ready(made)]
    made.begun = True
    return conversation, wire, made


def test_a_relay_that_never_answers_the_final_dot_is_given_ten_minutes_and_then_it_is_uncertain() -> None:
    conversation, wire, made = ready()
    conversation.release(made, None)
    with wire:
        assert conversation.events(smtp.FINAL_SECONDS) == []
        assert conversation.events(1.0 + smtp.FINAL_SECONDS) == []
        assert conversation.events(1.1 + smtp.FINAL_SECONDS) == [
            Ended(made, Uncertain("no answer in 600 seconds")),
            Closed("no answer in 600 seconds"),
        ]


@pytest.mark.parametrize("answers", [b"", b"250 ok\r\n", b"250 ok\r\n250 ok\r\n"])
def test_a_relay_that_never_answers_a_command_is_given_five_minutes_and_nobody_is_in_doubt(answers: bytes) -> None:
    conversation, wire = begun_conversation()
    made = job()
    with wire:
        conversation.offer(made)
        wire.sendall(answers)
        assert conversation.events(1.0) == []
        assert conversation.events(smtp.COMMAND_SECONDS) == []
        ended, closed = conversation.events(1.1 + smtp.COMMAND_SECONDS)
    assert isinstance(ended, Ended)
    # Before its turn had come it is as it was; afterwards it waits, since it may be what stops the relay.
    assert isinstance(ended.outcome, Deferred if answers else Returned)
    assert ended.outcome.reply.startswith("no answer in 300 seconds")
    assert closed == Closed("no answer in 300 seconds")


def test_a_relay_that_drips_is_still_answering() -> None:
    conversation, wire, made = ready()
    conversation.release(made, None)
    with wire:
        for n, octet in enumerate(b"250 2.0.0 taken\r\n"):
            wire.sendall(bytes([octet]))
            happened = conversation.events(1.0 + n * (smtp.FINAL_SECONDS - 1))
    assert happened == [Ended(made, Sent("250 2.0.0 taken"))]


def test_a_250_that_comes_before_the_message_has_left_is_not_believed() -> None:
    # More than the system holds between two sockets, and nobody reads it.
    conversation, wire, made = ready(b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 4_000_000)
    conversation.release(made, None)
    with wire:
        wire.sendall(b"250 2.0.0 taken, I promise\r\n")
        assert conversation.unsent
        happened = conversation.events(2.0)
    assert not any(isinstance(event, Ended) and isinstance(event.outcome, Sent) for event in happened)


@pytest.mark.parametrize("words", [b"552 5.3.4 too big\r\n", b"451 4.3.1 no room\r\n"])
def test_a_no_that_comes_before_the_message_has_left_ends_the_message_and_the_connection(words: bytes) -> None:
    conversation, wire, made = ready(b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 4_000_000)
    conversation.release(made, None)
    with wire:
        wire.sendall(words)
        wire.shutdown(socket.SHUT_WR)
        happened = [*conversation.events(2.0), *conversation.events(3.0)]
    assert [type(event.outcome) for event in happened if isinstance(event, Ended)] in ([Refused], [Deferred])
    assert isinstance(happened[-1], Closed)


def test_an_extra_yes_after_354_is_the_relays_fault_and_not_this_messages_answer() -> None:
    conversation, wire = begun_conversation()
    made = job()
    conversation.offer(made)
    with wire:
        wire.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n250 2.0.0 taken, I promise\r\n")
        happened = conversation.events(1.0)
    assert happened[0] == Ready(made)
    assert isinstance(happened[1], Ended)
    assert isinstance(happened[1].outcome, Deferred)
    assert happened[2] == Closed("250 2.0.0 taken, I promise")


@given(
    said=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from(
                [
                    b"250 ok\r\n",
                    b"354 go on\r\n",
                    b"550 5.1.1 no\r\n",
                    b"421 bye\r\n",
                    b"250-a\r\n",
                    b"\r\n",
                    b"999 x\r\n",
                ]
            ),
        ),
        max_size=14,
    )
)
@settings(max_examples=400, deadline=None)
def test_whatever_a_relay_says_each_message_ends_once_and_only_its_own_yes_is_a_yes(said: list[bytes]) -> None:
    end_all()
    conversation, wire = begun_conversation()
    jobs = [job(number=n) for n in range(1, 4)]
    left = list(jobs)
    ended: list[Ended] = []
    released: list[Job] = []
    closed = 0
    with wire:
        for n, words in enumerate([*said, None]):
            if conversation.idle and left and not closed:
                conversation.offer(left.pop(0))
            if closed:
                break
            if words is None:
                wire.shutdown(socket.SHUT_WR)
            else:
                wire.sendall(words)
            for event in conversation.events(1.0 + n):
                match event:
                    case Ready(made):
                        made.begun = True
                        released.append(made)
                        conversation.release(made, left.pop(0) if left else None)
                    case Ended():
                        ended.append(event)
                    case Closed():
                        closed += 1
        for event in conversation.events(100.0):
            assert isinstance(event, Ended | Closed)
            if isinstance(event, Ended):
                ended.append(event)
            else:
                closed += 1
    assert closed == 1
    offered = [each for each in jobs if each not in left]
    assert sorted(event.job.subscriber for event in ended) == [each.subscriber for each in offered]
    for event in ended:
        if isinstance(event.outcome, Sent | Uncertain):
            assert event.job in released
        if isinstance(event.outcome, Sent):
            assert event.outcome.reply.startswith("2")
        assert len(event.outcome.reply) <= 1100
        assert not any(ord(each) < 32 for each in event.outcome.reply)


# ---- a relay that changes its mind when it is asked again


def test_a_login_refused_in_the_middle_rests_the_relay_says_so_and_the_rest_goes_on_later(
    sending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_PASSWORD", "right")
    with MailServer(extensions=("PIPELINING", "AUTH PLAIN"), close_after=3) as server:
        folder = sending(relay(server, "only", connections=1, username="digest", password_env="RELAY_PASSWORD"))
        server.on_data = lambda _: setattr(server, "answer_auth", "535 5.7.8 not any more")
        progress = send(folder)
        assert len(server.messages) == 3
        assert "relay only: it refuses the login: 535 5.7.8 not any more" in progress.trouble
        assert Counter(state for state, _ in ledger(folder).values()) == {"sent": 3, "queued": 9}
        server.on_data = None
        server.answer_auth = "235 2.7.0 again"
        send(folder, NOW + MINUTE)
        assert copies(server) == dict.fromkeys(READERS, 1)
    assert known_against(folder) == {}


def test_starttls_withdrawn_in_the_middle_gives_nothing_away_in_the_clear(sending: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with MailServer(extensions=("PIPELINING", "STARTTLS"), tls=context, close_after=3) as server, MailServer() as other:
        folder = sending(
            relay(server, "office", connections=1, host="localhost", security="starttls", ca_file="ca.pem"),
            relay(other, "other", priority=2, connections=1),
        )
        server.on_data = lambda _: setattr(server, "extensions", ("PIPELINING",))
        progress = send(folder)
        assert len(server.messages) == 3
        assert server.commands.count("STARTTLS") == 1
        assert "relay office: it doesn't offer what is asked of it: STARTTLS" in progress.trouble
        # What came after the greeting of the second connection: nothing but names.
        after = server.commands[max(i for i, each in enumerate(server.commands) if each[:4] == "ehlo") :]
        assert [each[:4].lower() for each in after if each] in (["ehlo"], ["ehlo", "quit"])
        assert copies(server, other) == dict.fromkeys(READERS, 1)


def test_a_certificate_that_is_not_good_rests_that_relay_and_the_other_one_does_the_work(sending: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with MailServer(extensions=("STARTTLS",), tls=context) as server, MailServer() as other:
        folder = sending(relay(server, "office", host="localhost", security="starttls"), relay(other, "other"))
        progress = send(folder)
        assert copies(other) == dict.fromkeys(READERS, 1)
        assert not server.messages
    assert "relay office: its certificate isn't good: unable to get local issuer certificate" in progress.trouble
    assert known_against(folder) == {"office": "its certificate isn't good: unable to get local issuer certificate"}


def test_a_password_that_the_login_can_not_carry_is_said_and_not_shown(
    sending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_PASSWORD", "gehéim")
    with MailServer(extensions=("AUTH PLAIN",)) as server, MailServer() as other:
        office = relay(server, "office", username="desk", password_env="RELAY_PASSWORD")
        folder = sending(office, relay(other, "other"))
        progress = send(folder)
        assert copies(other) == dict.fromkeys(READERS, 1)
    assert "username or password has letters outside ASCII" in progress.trouble
    assert "é" not in progress.trouble + known_against(folder)["office"]


def test_ehlo_refused_is_said_with_its_words(sending: Any) -> None:
    no = b"550 5.7.1 not to you\r\n"
    with MailServer(instead={"EHLO": no, "HELO": no}) as server, MailServer() as other:
        folder = sending(relay(server, "office"), relay(other, "other"))
        progress = send(folder)
        assert copies(other) == dict.fromkeys(READERS, 1)
    assert "relay office: it refuses us: 550 5.7.1 not to you" in progress.trouble


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param(("SIZE \xb2",), id="a size that is a digit and no number"),
        pytest.param(("SIZE " + "9" * 5000,), id="a size of five thousand digits"),
        pytest.param(("SIZE many",), id="a size in words"),
        pytest.param(("SIZE -1",), id="a size below nothing"),
        pytest.param(("SIZE",), id="no size"),
        pytest.param(("", "PIPELINING"), id="an empty extension"),
        pytest.param(("PIPELINING",) * 500, id="five hundred extensions"),
        pytest.param(("\0\x1b[31m",), id="an extension of control characters"),
    ],
)
def test_extensions_that_make_no_sense_stop_nobody(sending: Any, extensions: tuple[str, ...]) -> None:
    with MailServer() as server, MailServer() as other:
        lines = ["test", *extensions]
        server.instead["EHLO"] = b"".join(
            f"250{' ' if n == len(lines) - 1 else '-'}{each}\r\n".encode("latin-1") for n, each in enumerate(lines)
        )
        folder = sending(relay(server, "odd", connections=1), relay(other, "other", connections=1))
        send(folder)
        assert copies(server, other) == dict.fromkeys(READERS, 1)


@pytest.mark.parametrize(
    ("extension", "answer"),
    [
        ("AUTH CRAM-MD5", "334 x"),
        ("AUTH CRAM-MD5", "334 \u00e9\u00e9"),
        ("AUTH PLAIN", "535 5.7.8 no\0no"),
        ("AUTH PLAIN", "999 what"),
        ("AUTH", "235 ok"),
        ("AUTH KERBEROS_V5", "235 ok"),
    ],
)
def test_a_login_that_makes_no_sense_is_a_reason_and_the_other_relay_does_the_work(
    sending: Any, monkeypatch: pytest.MonkeyPatch, extension: str, answer: str
) -> None:
    monkeypatch.setenv("RELAY_PASSWORD", "right")
    with MailServer(extensions=(extension,), answer_auth=answer) as server, MailServer() as other:
        folder = sending(relay(server, "odd", username="digest", password_env="RELAY_PASSWORD"), relay(other, "other"))
        progress = send(folder)
        assert copies(server, other) == dict.fromkeys(READERS, 1)
    assert "relay odd: " in progress.trouble


@pytest.mark.parametrize("step", ["greeting", "MAIL"])
def test_421_to_every_connection_rests_the_relay_and_does_not_ask_it_again_at_once(sending: Any, step: str) -> None:
    with MailServer(instead={step: b"421 4.3.2 too many connections from you\r\n"}) as server:
        folder = sending(relay(server, "only"))
        progress = send(folder)
        assert server.connections <= 4
    assert "421 4.3.2 too many connections from you" in progress.trouble
    assert {state for state, _ in ledger(folder).values()} == {"queued"}


@pytest.mark.parametrize("step", ["greeting", "RCPT", "."])
def test_zeros_and_colours_in_what_it_says_are_taken_out_of_its_words(sending: Any, step: str) -> None:
    words = b"554 5.1.1 no\0\x1b[31m\xff\x85 way\r\n"
    with MailServer(instead={step: words}) as server:
        folder = sending(relay(server, "odd", connections=1))
        send(folder)
    said = said_at_all(folder)
    assert "554 5.1.1 no" in said
    assert not [each for each in said if (ord(each) < 32 and each != "\n") or 127 <= ord(each) < 160]


def test_a_yes_for_a_message_that_it_throws_away_is_a_yes_and_its_words_are_kept(sending: Any) -> None:
    with MailServer(instead={".": b"250 2.0.0 queued as 4711, dropped\r\n"}) as server:
        folder = sending(relay(server, "liar"))
        send(folder)
        assert not server.messages
    # Sent is what it promised, no more; who, what and when stands there, to ask it.
    assert set(ledger(folder).values()) == {("sent", "250 2.0.0 queued as 4711, dropped")}
    with folder.reading() as session:
        assert {row.relay for row in session.scalars(select(Delivery))} == {"liar"}
    assert the_issue(folder).state is IssueState.sent


def test_a_relay_that_takes_less_than_a_message_says_how_much_and_the_other_takes_what_it_can(sending: Any) -> None:
    with MailServer(extensions=("PIPELINING", "SIZE 100")) as small, MailServer() as other:
        folder = sending(relay(small, "small", connections=1), relay(other, "other", connections=1))
        send(folder)
        assert not small.messages
        got = copies(other)
    found = ledger(folder)
    failed = {address: words for address, (state, words) in found.items() if state == "failed"}
    assert set(failed) | set(got) == set(READERS)
    assert not set(failed) & set(got)
    assert all(words.startswith("the message has ") and words.endswith(" takes 100") for words in failed.values())


def test_a_relay_that_talks_without_end_holds_up_no_other(sending: Any) -> None:
    with MailServer() as endless, MailServer() as other:
        stop = threading.Event()

        def talk(_: str) -> str:
            while not stop.is_set():
                endless.wires[-1].sendall(b"250-and\r\n" * 500)
            return ""

        endless.on_rcpt = talk
        folder = sending(relay(endless, "endless", connections=1), relay(other, "other", connections=1))
        for minutes in (0, 3):
            send(folder, NOW + minutes * MINUTE)
        stop.set()
        assert len(other.messages) >= 11
    assert known_against(folder)["endless"] == "it sends a reply without an end"
