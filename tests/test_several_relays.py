"""Several relays: who gets which message, what happens when one dies, how fast they get it, and what domains ask for."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mailserver import MailServer, Received, Steps, being_sent, ledger, relay, through
from sqlalchemy import delete, func, select

from newsletter import in_hand, sender
from newsletter.config import Relay
from newsletter.folder import Folder
from newsletter.models import Allowance, Attempt, Batch, Delivery, Issue, Pace, RelayHealth, Subscriber
from newsletter.patience import PatientDatabase
from newsletter.relay_turns import RelayTurns
from newsletter.sender import Progress, Sender
from newsletter.states import IssueState

MINUTE = dt.timedelta(minutes=1)


def readers(count: int, domain: str = "example.org") -> list[str]:
    return [f"reader{n:03}@{domain}" for n in range(count)]


@pytest.fixture
def sending(
    make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Folder]:
    """sending([relay(…), …], addresses): a folder with an issue being sent to them."""
    # What is waited for where nothing happens: so that a test's clock of steps isn't held up by the real one.
    monkeypatch.setattr(sender, "PAUSE", 0.005)
    monkeypatch.setattr(in_hand, "PAUSE", 0.005)

    def make(relays: Sequence[str], addresses: Sequence[str], **more: Any) -> Folder:
        folder = make_folder(*through(*relays))
        being_sent(folder, subscribe, addresses, **more)
        return folder

    return make


def send(folder: Folder, now: dt.datetime | Steps = NOW) -> Progress:
    clock = now if isinstance(now, Steps) else Steps(now)
    return Sender(folder, clock, chance=lambda: 0.5).run(stop=clock.turn)


def by_relay(folder: Folder) -> Counter[str]:
    with folder.reading() as session:
        return Counter(session.scalars(select(Delivery.relay)).all())


def the_issue(folder: Folder) -> Issue:
    with folder.reading() as session:
        return session.scalars(select(Issue)).one()


class Patient(Steps):
    """A clock that stands still while a relay is logged in to or spoken with, however long that takes this machine."""

    def __init__(self, server: MailServer, now: dt.datetime, step: dt.timedelta) -> None:
        super().__init__(now, step)
        self._server = server
        self._heard = self._of_the_server()

    def _of_the_server(self) -> tuple[int, int]:
        return len(self._server.commands), len(self._server.messages)

    def turn(self) -> bool:
        for thread in threading.enumerate():
            if thread.name.startswith("login "):
                thread.join(30)
        if (heard := self._of_the_server()) != self._heard:
            self._heard = heard
            return False
        return super().turn()


class Watched(list[Received]):
    """A list of messages that says when the first is in it."""

    def __init__(self, there: threading.Event) -> None:
        super().__init__()
        self._there = there

    def append(self, message: Received) -> None:
        super().append(message)
        self._there.set()


def copies(*servers: MailServer) -> Counter[str]:
    return Counter(m.recipient for server in servers for m in server.messages)


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


# ---- shares


@pytest.mark.parametrize("connections", [1, 3])
def test_two_relays_share_three_to_one_at_any_moment(sending: Any, connections: int) -> None:
    order: list[str] = []
    with MailServer() as a, MailServer() as b:
        a.on_data = lambda _: order.append("a")
        b.on_data = lambda _: order.append("b")
        folder = sending(
            [relay(a, "a", share=3, connections=connections), relay(b, "b", share=1, connections=connections)],
            readers(200),
        )
        send(folder)
        assert copies(a, b) == dict.fromkeys(readers(200), 1)
    # From when both have a connection. Each may have one announced and one in the open a connection.
    first = max(order.index("a"), order.index("b"))
    began = Counter(order[:first])
    room = 2 * connections
    for n in range(first, len(order) + 1):
        count = Counter(order[:n])
        had = {name: count[name] - (began[name] if began[name] > room else 0) for name in "ab"}
        assert abs(had["a"] / 3 - had["b"]) <= room + 1, (n, count)
    assert 150 - 4 * room <= by_relay(folder)["a"] <= 150 + 4 * room


def test_a_relay_that_goes_nowhere_has_no_share(sending: Any) -> None:
    with MailServer() as a, MailServer(greeting="554 5.7.1 go away") as b:
        folder = sending([relay(a, "a"), relay(b, "b", share=100)], readers(30))
        progress = send(folder)
        assert copies(a) == dict.fromkeys(readers(30), 1)
    assert "relay b: it refuses us: 554 5.7.1 go away" in progress.trouble
    assert by_relay(folder) == {"a": 30}


# ---- priorities


def test_a_later_priority_is_used_only_while_the_first_is_down(sending: Any) -> None:
    with MailServer(greeting="421 4.3.2 down for a while") as first, MailServer() as second:
        folder = sending([relay(first, "first"), relay(second, "second", priority=2)], readers(40))
        send(folder, Steps(NOW, until=lambda: len(second.messages) >= 10))
        sent = len(second.messages)
        assert 10 <= sent < 40
        assert not first.messages
        with folder.reading() as session:
            rests = session.scalars(select(RelayHealth)).one()
            assert (rests.relay, rests.why) == ("first", "it refuses us: 421 4.3.2 down for a while")
        # It is well again, and nobody knows until it is tried, which is when its rest is over.
        first.greeting = "220 test ESMTP"
        send(folder, Steps(NOW, until=lambda: len(second.messages) >= sent + 5))
        assert not first.messages
        sent = len(second.messages)
        # Until the first has answered the later one goes on; no longer. Logging in takes as long as it takes: what the
        # later one has in hand waits for it.
        answered = threading.Event()
        first.messages = Watched(answered)
        second.on_rcpt = lambda _: "" if answered.wait(30) else "451 4.3.2 the first never answered"
        send(folder, rests.next_look)
        assert len(second.messages) - sent <= 6
        assert first.messages
        assert copies(first, second) == dict.fromkeys(readers(40), 1)
    with folder.reading() as session:
        assert session.scalars(select(RelayHealth)).all() == []
    assert the_issue(folder).state is IssueState.sent


def test_a_first_relay_that_stays_down_is_tried_less_and_less_often(sending: Any) -> None:
    with MailServer(greeting="421 4.3.2 down") as first, MailServer(greeting="421 4.3.2 down too") as second:
        folder = sending([relay(first, "first"), relay(second, "second", priority=2)], readers(3))
        now, waits = NOW, []
        for _ in range(9):
            progress = send(folder, now)
            with folder.reading() as session:
                rests = {row.relay: row.next_look for row in session.scalars(select(RelayHealth))}
            waits.append((rests["first"] - now).total_seconds())
            now = max(rests.values())
        assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]
        assert "relay first: it refuses us: 421 4.3.2 down; tried again at" in progress.trouble
        assert "relay second: it refuses us: 421 4.3.2 down too" in progress.trouble
    assert {state for state, _ in ledger(folder).values()} == {"queued"}


def test_when_all_are_down_nothing_is_lost_and_all_goes_once_one_is_well(sending: Any, nobody: int) -> None:
    with MailServer() as well:
        folder = sending([relay(nobody, "gone"), relay(nobody, "gone-too", priority=2)], readers(10))
        progress = send(folder)
        assert "relay gone: it can't be reached" in progress.trouble
        assert the_issue(folder).state is IssueState.sending
        config = folder.config
        import msgspec

        changed = tuple(msgspec.structs.replace(each, port=well.port) for each in config.relays)
        again = Folder(folder.path, msgspec.structs.replace(config, relays=changed), folder.engine)
        send(again, NOW + MINUTE)
        assert copies(well) == dict.fromkeys(readers(10), 1)


# ---- one that dies in the middle


def test_when_a_relay_dies_in_the_middle_the_other_takes_over_and_nobody_gets_two(sending: Any) -> None:
    with MailServer() as a, MailServer() as b:
        folder = sending([relay(a, "a"), relay(b, "b")], readers(60))
        dead = threading.Event()

        def die(recipient: str) -> None:
            if len(a.messages) >= 8:
                dead.set()
                a.greeting = "421 4.3.2 dead"
            if dead.is_set():
                raise ConnectionError("cut off")

        a.on_data = die
        for minutes in (0, 3, 6, 20):
            send(folder, NOW + minutes * MINUTE)
        got = copies(a, b)
    found = ledger(folder)
    assert set(got.values()) == {1}
    assert dead.is_set()
    assert {state for state, _ in found.values()} == {"sent"}
    assert set(got) == set(readers(60))


@pytest.mark.parametrize("kept", [True, False])
def test_nothing_that_one_relay_may_have_taken_is_given_to_another(sending: Any, kept: bool) -> None:
    cut = set(readers(60)[20:30])
    what = "drop_after_dot" if kept else "lose_after_dot"
    with MailServer(**{what: set(cut)}) as a, MailServer(**{what: set(cut)}) as b:
        folder = sending([relay(a, "a"), relay(b, "b", share=2)], readers(60))
        for minutes in (0, 3, 60, 600):
            send(folder, NOW + minutes * MINUTE)
        got = copies(a, b)
    found = ledger(folder)
    assert {address for address, (state, _) in found.items() if state == "uncertain"} == cut
    assert {state for address, (state, _) in found.items() if address not in cut} == {"sent"}
    assert set(got.values()) == {1}
    assert set(got) == set(readers(60)) - (set() if kept else cut)


# ---- logins that hang


def test_a_login_that_hangs_holds_up_no_other_relay(sending: Any) -> None:
    with MailServer(instead={"greeting": b""}) as silent, MailServer() as well:
        folder = sending([relay(silent, "silent", share=9), relay(well, "well")], readers(30))
        send(folder, Steps(NOW, until=lambda: len(well.messages) >= 30))
        assert copies(well) == dict.fromkeys(readers(30), 1)
        assert silent.connections >= 1
    assert by_relay(folder) == {"well": 30}


def test_a_first_relay_that_was_down_and_now_hangs_holds_up_no_later_one(sending: Any) -> None:
    with MailServer(instead={"greeting": b""}) as silent, MailServer() as well:
        folder = sending([relay(silent, "silent"), relay(well, "well", priority=2)], readers(10))
        with folder.session() as session:
            session.add(
                RelayHealth(relay="silent", why="no answer", since=NOW - MINUTE, failures=3, next_look=NOW - MINUTE)
            )
        send(folder, Steps(NOW, until=lambda: len(well.messages) >= 10, turns=200))
        assert copies(well) == dict.fromkeys(readers(10), 1)


# ---- slow start, idle connections


def test_connections_grow_with_the_answers_and_no_faster(sending: Any) -> None:
    most: list[tuple[int, int]] = []
    with MailServer() as server:
        folder = sending([relay(server, "a", connections=8)], readers(120))
        server.on_data = lambda _: most.append((server.connections, len(server.messages)))
        send(folder)
        assert server.connections == 8
    assert most[0] == (1, 0)
    # One at first, and one more for each answer; what was answered and not yet heard counts too.
    assert all(open_ <= 1 + answered for open_, answered in most)


def test_a_relay_that_answers_nobody_gets_one_connection(sending: Any) -> None:
    with MailServer(instead={".": b""}) as server:
        folder = sending([relay(server, "a", connections=8)], readers(40))
        with pytest.raises(RuntimeError, match="on and on"):
            send(folder, Steps(NOW, turns=40))
        assert server.connections == 1
    assert Counter(state for state, _ in ledger(folder).values())["submitting"] <= 1


def test_no_more_connections_are_opened_than_there_are_readers(sending: Any) -> None:
    with MailServer() as server:
        send(sending([relay(server, "a", connections=8)], readers(2)))
        assert server.connections <= 2


def test_connections_that_have_nothing_to_do_are_ended_politely(sending: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from newsletter import pool

    monkeypatch.setattr(pool, "SWEEP", 0.0)
    monkeypatch.setattr(pool, "IDLE", 0.05)
    with MailServer() as idle, MailServer() as slow:
        folder = sending([relay(idle, "idle", connections=1), relay(slow, "slow", connections=1)], readers(4))
        # One relay takes its time over one message; the other has nothing to do until then.
        go_on = threading.Event()
        slow.on_data = lambda _: go_on.wait(10)

        def look() -> bool:
            if "QUIT" in idle.commands:
                go_on.set()
            return False

        send(folder, Steps(NOW, until=look))
        assert go_on.is_set()
        assert copies(idle, slow) == dict.fromkeys(readers(4), 1)
    assert idle.connections <= 3


# ---- rates


def most_in_a_span(moments: list[dt.datetime], span: dt.timedelta) -> int:
    moments = sorted(moments)
    return max(sum(begin <= each < begin + span for each in moments) for begin in moments)


def begun(folder: Folder, relay: str) -> list[dt.datetime]:
    """When each message of a relay was begun, by the sender's clock."""
    with folder.reading() as session:
        return list(session.scalars(select(Delivery.first_try).where(Delivery.relay == relay)))


@pytest.mark.parametrize("per_second", [2, 20])
def test_no_second_holds_more_than_its_relay_may_have(sending: Any, per_second: int) -> None:
    with MailServer() as server:
        folder = sending([relay(server, "a", per_second=per_second)], readers(3 * per_second + 1))
        clock = Steps(NOW, dt.timedelta(milliseconds=20))
        progress = send(folder, clock)
        assert copies(server) == dict.fromkeys(readers(3 * per_second + 1), 1)
        assert not progress.trouble
    # What is granted is announced at once and begun when the relay says so: one more for each connection.
    assert most_in_a_span(begun(folder, "a"), dt.timedelta(seconds=1)) <= per_second + 2
    assert clock.now - NOW >= dt.timedelta(seconds=2)


def test_an_hours_rate_holds_across_restarts(sending: Any) -> None:
    with MailServer() as server:
        folder = sending([relay(server, "a", per_hour=6)], readers(10))
        now = NOW
        for quarter in range(8):
            # A new sender each five minutes, which works for three of them.
            for part in range(3):
                until = NOW + quarter * 15 * MINUTE + part * 5 * MINUTE
                clock = Patient(server, until, MINUTE)
                clock.until = lambda clock=clock, end=until + 3 * MINUTE: clock.now >= end  # type: ignore[misc]
                send(folder, clock)
        assert len(server.messages) == 10
        now = sorted(begun(folder, "a"))
        assert most_in_a_span(now, dt.timedelta(hours=1)) <= 6
        assert now[-1] - now[0] >= 9 * 10 * MINUTE


def test_two_senders_keep_to_one_rate(sending: Any) -> None:
    with MailServer() as server:
        folder = sending([relay(server, "a", per_second=20)], readers(40))
        clock = Steps(NOW, dt.timedelta(milliseconds=10), turns=20_000)
        split(folder, 20)
        together(lambda: send(folder, clock), lambda: send(folder, clock))
        assert copies(server) == dict.fromkeys(readers(40), 1)
    assert most_in_a_span(begun(folder, "a"), dt.timedelta(seconds=1)) <= 20 + 2 * 2


def split(folder: Folder, at: int) -> None:
    """Cuts the one batch in two, so that two senders have something each."""
    with folder.session() as session:
        batch = session.scalars(select(Batch)).one()
        middle, last = batch.first + at, batch.last
        batch.last = middle - 1
        session.flush()
        session.add(Batch(issue_id=batch.issue_id, first=middle, last=last, due=batch.due))


def together(*works: Callable[[], object]) -> None:
    """Does all of it at once."""
    wrong: list[BaseException] = []

    def one(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=one, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


@pytest.mark.parametrize("off", ["per_second", "per_hour"])
def test_a_relay_whose_rate_is_zero_gets_nothing_and_the_other_everything(sending: Any, off: str) -> None:
    with MailServer() as a, MailServer() as b:
        folder = sending([relay(a, "a", share=100, **{off: 0}), relay(b, "b", priority=2)], readers(20))
        progress = send(folder)
        assert (a.connections, copies(b)) == (0, dict.fromkeys(readers(20), 1))
    assert progress.trouble == "relay a: its rate is 0 in config.toml"
    assert the_issue(folder).state is IssueState.sent


def test_with_every_relay_switched_off_the_sender_ends_says_why_and_nothing_is_lost(sending: Any) -> None:
    with MailServer() as server:
        folder = sending([relay(server, "a", per_second=0)], readers(5))
        progress = send(folder)
        assert server.connections == 0
    assert progress.trouble == "relay a: its rate is 0 in config.toml"
    assert {state for state, _ in ledger(folder).values()} == {"queued"}
    with folder.reading() as session:
        assert session.scalars(select(Batch)).one().owner is None
    assert the_issue(folder).state is IssueState.sending


def turns_of(folder: Folder, clock: Steps) -> RelayTurns:
    return RelayTurns(folder.config.relays, PatientDatabase(folder, told=lambda _: None), clock)


def take(turns: RelayTurns, wanted: int) -> int:
    for n in range(wanted):
        if not turns.may_take("a"):
            return n
        turns.took("a")
    return wanted


def test_what_was_granted_and_not_used_does_not_come_on_top_later(sending: Any) -> None:
    with MailServer() as server:
        folder = sending([relay(server, "a", per_second=100)], readers(1))
        clock = Steps(NOW)
        # Each of four senders has some left over of what it was granted for one message.
        senders = [turns_of(folder, clock) for _ in range(4)]
        for turns in senders:
            assert take(turns, 1) == 1
            clock.now += MINUTE
        taken = 0
        for _ in range(1000):
            taken += sum(take(turns, 50) for turns in senders)
            clock.now += dt.timedelta(milliseconds=1)
    assert 80 <= taken <= 100


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(1, 120),
    steps=st.lists(
        st.tuples(
            st.one_of(
                st.timedeltas(dt.timedelta(), dt.timedelta(milliseconds=60)),
                st.timedeltas(dt.timedelta(), dt.timedelta(seconds=3)),
            ),
            st.integers(1, 150),
            st.integers(0, 2),
        ),
        max_size=40,
    ),
)
def test_what_a_relay_is_given_is_never_more_than_its_rate_however_the_work_comes(
    lite_folder: Folder, number: int, steps: list[tuple[dt.timedelta, int, int]]
) -> None:
    """Also where three senders share it, and each may stop with what it was granted still in hand."""
    clock = Steps(NOW)
    with lite_folder.session() as session:
        session.execute(delete(Allowance))
    database = PatientDatabase(lite_folder, told=lambda _: None)
    senders = [RelayTurns([Relay(name="a", per_second=number)], database, clock) for _ in range(3)]
    gone: list[dt.datetime] = []
    for passes, wanted, which in steps:
        clock.now += passes
        gone += [clock.now] * take(senders[which], wanted)
    assert not gone or most_in_a_span(gone, dt.timedelta(seconds=1)) <= number


# ---- what domains ask for


class Domain:
    """A domain that takes `rate` messages a second, by the test's clock, and answers 421 4.7.28 to more."""

    def __init__(self, clock: Steps, name: str, rate: int) -> None:
        self.clock = clock
        self.name = name
        self.rate = rate
        self.taken: list[dt.datetime] = []
        self.refused = 0

    def __call__(self, recipient: str) -> str:
        if not recipient.endswith("@" + self.name):
            return ""
        now = self.clock.now
        if sum(now - each < dt.timedelta(seconds=1) for each in self.taken) >= self.rate:
            self.refused += 1
            return "421 4.7.28 too many messages from you"
        self.taken.append(now)
        return ""


def test_a_domain_that_is_given_too_many_is_paced_and_says_so_and_no_other_is_held_up(sending: Any) -> None:
    clock = Steps(NOW, dt.timedelta(milliseconds=100))
    slow, others = readers(24, "slow.example"), readers(60, "quick.example")
    with MailServer() as server:
        domain = Domain(clock, "slow.example", 2)
        server.on_rcpt = domain
        # The slow ones come first.
        folder = sending([relay(server, "a")], [*slow, *others])
        said: list[str] = []
        quick_by: list[dt.datetime] = []

        def look() -> bool:
            if not said and domain.refused:
                with folder.reading() as session:
                    said.extend(row.why for row in session.scalars(select(Pace)))
            if not quick_by and sum(m.recipient in others for m in server.messages) == len(others):
                quick_by.append(clock.now)
            return False

        clock.until = look
        for _ in range(60):
            clock.turns = 3000
            send(folder, clock)
            with folder.reading() as session:
                again = session.scalar(select(func.min(Delivery.next_look)))
            if again is None:
                break
            clock.now = max(clock.now, again)
        assert copies(server) == dict.fromkeys([*slow, *others], 1)
    assert said == ["421 4.7.28 too many messages from you (before the message had left)"]
    assert domain.refused
    # Most of it never was refused: it waited in its line.
    with folder.reading() as session:
        kept = session.scalars(select(Attempt)).all()
        assert {attempt.reply for attempt in kept} <= {
            "421 4.7.28 too many messages from you (before the message had left)",
            *(each.reply for each in kept if (each.reply or "").startswith("slow.example gets ")),
        }
    # The others were done before the slow one was.
    assert quick_by
    assert quick_by[0] < max(domain.taken)
    assert the_issue(folder).state is IssueState.sent


def test_what_a_paced_domain_can_not_have_for_a_while_is_put_off_with_the_reason(sending: Any) -> None:
    slow = readers(60, "slow.example")
    with MailServer() as server:
        folder = sending([relay(server, "a")], slow)
        with folder.session() as session:
            session.add(
                Pace(domain="slow.example", rate=0.1, before=1.0, why="421 4.7.28 slowly", since=NOW, changed=NOW)
            )
        send(folder, Steps(NOW, until=lambda: len(server.messages) >= 1))
        found = ledger(folder)
    waiting = Counter(found.values())
    # Twenty are kept in the line.
    assert waiting["deferred", "slow.example gets 0.1 a second: 421 4.7.28 slowly"] >= 30
    assert waiting["sent", "250 2.0.0 taken"] == 1
    with folder.reading() as session:
        looks = session.scalars(select(Delivery.next_look).where(Delivery.next_look.is_not(None))).all()
    # One in ten seconds: the last one of forty goes within seven minutes.
    assert NOW < min(looks) < max(looks) <= NOW + 8 * MINUTE


def test_a_full_mailbox_slows_its_domain_down_for_nobody(sending: Any) -> None:
    with MailServer(refuse=dict.fromkeys(readers(10), "452 4.2.2 over quota")) as server:
        folder = sending([relay(server, "a")], readers(30))
        send(folder)
        assert len(server.messages) == 20
    with folder.reading() as session:
        assert session.scalars(select(Pace)).all() == []
        assert session.scalars(select(Allowance)).all() == []


def test_two_senders_pace_a_domain_together(sending: Any) -> None:
    slow = readers(40, "slow.example")
    with MailServer() as server:
        folder = sending([relay(server, "a")], slow)
        split(folder, 20)
        with folder.session() as session:
            session.add(Pace(domain="slow.example", rate=4.0, before=400.0, why="421 slowly", since=NOW, changed=NOW))
        end = NOW + dt.timedelta(seconds=4)
        clock = Steps(NOW, dt.timedelta(milliseconds=25), turns=20_000)
        clock.until = lambda: clock.now >= end
        together(lambda: send(folder, clock), lambda: send(folder, clock))
        assert max(copies(server).values()) == 1
        assert 1 <= len(server.messages) <= 4 * 4 + 1


# ---- policy


@pytest.mark.parametrize("where", ["refuse", "refuse_data"])
@pytest.mark.parametrize("words", ["550 5.7.1 we don't like you", "554 rejected", "550 5.7.26 unauthenticated"])
def test_twenty_refusals_for_what_we_are_pause_the_issue_with_the_reason(sending: Any, where: str, words: str) -> None:
    with MailServer(**{where: dict.fromkeys(readers(80), words)}) as server:
        folder = sending([relay(server, "a")], readers(80))
        send(folder)
        assert not server.messages
    paused = the_issue(folder)
    assert paused.state is IssueState.paused
    assert paused.why == f"relay a refused 20 in a row: {words}"
    found = Counter(state for state, _ in ledger(folder).values())
    assert 20 <= found["failed"] <= 20 + 2 * 2
    assert set(found) == {"failed", "queued"}
    with folder.reading() as session:
        assert session.scalars(select(Batch)).one().owner is None


@pytest.mark.parametrize("words", ["550 5.1.1 no such user", "550 nobody of that name", "553 5.1.3 what an address"])
def test_any_number_of_readers_who_are_not_there_does_not(sending: Any, words: str) -> None:
    with MailServer(refuse=dict.fromkeys(readers(45), words)) as server:
        folder = sending([relay(server, "a")], readers(50))
        send(folder)
        assert len(server.messages) == 5
    assert the_issue(folder).state is IssueState.sent
    assert Counter(ledger(folder).values()) == {("failed", words): 45, ("sent", "250 2.0.0 taken"): 5}


def test_a_reader_who_gets_a_copy_between_them_ends_the_row(sending: Any) -> None:
    refused = {each: "550 5.7.1 no" for n, each in enumerate(readers(60)) if n % 15}
    with MailServer(refuse=refused) as server:
        folder = sending([relay(server, "a", connections=1)], readers(60))
        send(folder)
        assert len(server.messages) == 4
    assert the_issue(folder).state is IssueState.sent
