"""Gates: the hours of a window, and the day's amount of a warm-up; alone, and through the sender."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from conftest import CONFIG, NOW
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mailserver import MailServer, Steps, being_sent, ledger, relay, through
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import config, gates
from newsletter.config import Config, WarmUp
from newsletter.folder import Folder
from newsletter.gates import Open, Shut
from newsletter.models import Batch, Issue, Subscriber, WarmDay
from newsletter.sender import Progress, Sender
from newsletter.states import IssueState

once = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLAIN = config.decode(CONFIG, Path("config.toml"))
ZONES = ["America/New_York", "Europe/Berlin", "Asia/Tokyo", "Australia/Lord_Howe"]
HOUR, MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)


def settings_of(*, window: str = "", zone: str = "America/New_York", ramp: WarmUp | None = None) -> Config:
    publication = PLAIN.publications["digest"]
    cadence = msgspec.structs.replace(publication.cadence, window=window, zone=zone)
    return msgspec.structs.replace(
        PLAIN,
        publications={"digest": msgspec.structs.replace(publication, cadence=cadence)},
        warm_up={} if ramp is None else {"example.org": ramp},
    )


def look(session: Session, settings: Config, now: dt.datetime) -> Open | Shut:
    return gates.look(session, settings, settings.publications["digest"], now)


def at(zone: str, text: str, fold: int = 0) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(dt.UTC)


def test_without_a_window_or_a_warm_up_messages_may_leave_at_any_time_and_that_stays_so(scratch: Session) -> None:
    assert look(scratch, PLAIN, NOW) == Open(None)


@pytest.mark.parametrize(
    ("window", "now", "opened", "until"),
    [
        ("08:00 to 20:00", "2023-11-13 07:59", False, "2023-11-13 08:00"),
        ("08:00 to 20:00", "2023-11-13 08:00", True, "2023-11-13 20:00"),
        ("08:00 to 20:00", "2023-11-13 19:59", True, "2023-11-13 20:00"),
        ("08:00 to 20:00", "2023-11-13 20:00", False, "2023-11-14 08:00"),
        ("22:00 to 06:00", "2023-11-13 21:59", False, "2023-11-13 22:00"),
        ("22:00 to 06:00", "2023-11-13 22:00", True, "2023-11-14 06:00"),
        ("22:00 to 06:00", "2023-11-14 00:00", True, "2023-11-14 06:00"),
        ("22:00 to 06:00", "2023-11-14 05:59", True, "2023-11-14 06:00"),
        ("22:00 to 06:00", "2023-11-14 06:00", False, "2023-11-14 22:00"),
        ("00:00 to 06:00", "2023-11-13 23:00", False, "2023-11-14 00:00"),
        ("18:00 to 00:00", "2023-11-13 18:00", True, "2023-11-14 00:00"),
        # The night in which New York's clock goes back, and the one in which it goes forward.
        ("22:00 to 06:00", "2023-11-04 23:00", True, "2023-11-05 06:00"),
        ("08:00 to 20:00", "2023-11-05 01:30", False, "2023-11-05 08:00"),
        ("22:00 to 06:00", "2024-03-09 23:00", True, "2024-03-10 06:00"),
        ("08:00 to 20:00", "2024-03-09 20:00", False, "2024-03-10 08:00"),
    ],
)
def test_a_window_is_told_by_the_wall_clock(scratch: Session, window: str, now: str, opened: bool, until: str) -> None:
    found = look(scratch, settings_of(window=window), at("America/New_York", now))
    assert isinstance(found, Open) is opened
    assert found.until == at("America/New_York", until)
    if isinstance(found, Shut):
        assert found.why == f"outside of its hours, {window} in America/New_York"


@pytest.mark.parametrize(
    ("zone", "evening", "hours"),
    [
        ("America/New_York", "2023-11-04 22:00", 9),
        ("America/New_York", "2024-03-09 22:00", 7),
        ("Europe/Berlin", "2023-10-28 22:00", 9),
        ("Europe/Berlin", "2024-03-30 22:00", 7),
        ("Europe/Berlin", "2024-03-29 22:00", 8),
    ],
)
def test_a_night_in_which_the_clock_changes_has_an_hour_more_or_less(
    scratch: Session, zone: str, evening: str, hours: int
) -> None:
    begin = at(zone, evening)
    assert look(scratch, settings_of(window="22:00 to 06:00", zone=zone), begin) == Open(begin + hours * HOUR)


moments = st.one_of(
    st.datetimes(dt.datetime(2023, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),
    # About the changes of the clock.
    *(
        st.datetimes(begin, begin + dt.timedelta(days=2), timezones=st.just(dt.UTC))
        for begin in (
            dt.datetime(2023, 11, 4, 12),
            dt.datetime(2024, 3, 9, 12),
            dt.datetime(2023, 10, 28, 12),
            dt.datetime(2024, 3, 30, 12),
        )
    ),
)
times = st.one_of(st.times(), st.times(dt.time(0), dt.time(3, 59))).map(lambda time: f"{time:%H:%M}")


def skipped(zone: str, now: dt.datetime, *walls: str) -> bool:
    """Whether one of these times of day doesn't exist within three days: the clock jumps over it."""
    here = now.astimezone(ZoneInfo(zone)).date()
    for days in range(-3, 4):
        for wall in walls:
            moment = dt.datetime.combine(here + dt.timedelta(days=days), dt.time.fromisoformat(wall), ZoneInfo(zone))
            if moment.astimezone(dt.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != moment.replace(tzinfo=None):
                return True
    return False


@once
@given(opens=times, closes=times, zone=st.sampled_from(ZONES), now=moments)
@example(opens="22:00", closes="06:00", zone="America/New_York", now=dt.datetime(2023, 11, 5, 5, 30, tzinfo=dt.UTC))
@example(opens="01:30", closes="01:15", zone="America/New_York", now=dt.datetime(2023, 11, 5, 6, 20, tzinfo=dt.UTC))
def test_what_is_shut_opens_at_the_moment_that_it_says_and_what_is_open_shuts_then(
    scratch: Session, opens: str, closes: str, zone: str, now: dt.datetime
) -> None:
    if opens == closes:
        return
    settings = settings_of(window=f"{opens} to {closes}", zone=zone)
    found = look(scratch, settings, now)
    assert found.until is not None
    assert now < found.until <= now + dt.timedelta(days=2)
    if skipped(zone, now, opens, closes):
        return
    just_before = look(scratch, settings, found.until - dt.timedelta(microseconds=1))
    then = look(scratch, settings, found.until)
    if isinstance(found, Shut):
        assert isinstance(then, Open)
        assert just_before == found
    else:
        assert isinstance(then, Shut)
        assert just_before == found


def test_a_window_that_the_clock_jumps_over_waits_for_the_next_day(scratch: Session) -> None:
    settings = settings_of(window="02:10 to 02:50", zone="America/New_York")
    now = at("America/New_York", "2024-03-09 03:00")
    for _ in range(3):
        found = look(scratch, settings, now)
        assert isinstance(found, Shut | Open)
        assert found.until is not None
        assert found.until > now
        now = found.until
    assert now > at("America/New_York", "2024-03-10 12:00")


def test_a_window_that_begins_in_the_skipped_hour_opens_when_it_says(scratch: Session) -> None:
    settings = settings_of(window="02:30 to 03:15", zone="America/New_York")
    found = look(scratch, settings, at("America/New_York", "2024-03-09 12:00"))
    assert isinstance(found, Shut)
    assert isinstance(look(scratch, settings, found.until), Open)


# ---- warm-up

RAMP = WarmUp(begins=dt.date(2023, 11, 13), first_day=5, growth=1.5, days=4)


def day(number: int, hour: int = 15) -> dt.datetime:
    """An hour of a day of the warm-up, in New York."""
    return at("America/New_York", f"2023-11-{13 + number:02} {hour:02}:00")


@pytest.mark.parametrize(("number", "amount"), [(0, 5), (1, 7), (2, 11), (3, 16)])
def test_each_day_of_a_warm_up_has_half_as_many_more(scratch: Session, number: int, amount: int) -> None:
    found = look(scratch, settings_of(ramp=RAMP), day(number))
    assert found == Open(day(number + 1, 0), "example.org", day(number).date(), amount)


def test_before_it_begins_nothing_leaves_and_after_its_days_there_is_no_limit(scratch: Session) -> None:
    begins = at("America/New_York", "2023-11-13 00:00")
    settings = settings_of(ramp=RAMP)
    shut = Shut("the warm-up of example.org begins on 2023-11-13", begins)
    assert look(scratch, settings, begins - MINUTE) == shut
    assert look(scratch, settings, begins - dt.timedelta(days=40)) == shut
    assert isinstance(look(scratch, settings, begins), Open)
    assert look(scratch, settings, day(4, 0)) == Open(None)
    assert look(scratch, settings, day(4, 0) - MINUTE) == Open(day(4, 0), "example.org", dt.date(2023, 11, 16), 16)


def test_a_day_that_is_used_up_is_shut_until_midnight_where_the_publication_is(scratch: Session) -> None:
    for zone, midnight in (("America/New_York", "2023-11-14T05:00"), ("Europe/Berlin", "2023-11-13T23:00")):
        scratch.merge(WarmDay(domain="example.org", day=dt.date(2023, 11, 13), begun=5))
        scratch.flush()
        found = look(scratch, settings_of(ramp=RAMP, zone=zone), dt.datetime(2023, 11, 13, 17, tzinfo=dt.UTC))
        assert found == Shut(
            "warm-up of example.org: today's 5 messages have gone, the rest follows",
            dt.datetime.fromisoformat(midnight).replace(tzinfo=dt.UTC),
        )


def test_the_days_are_those_of_the_publications_zone(scratch: Session) -> None:
    now = dt.datetime(2023, 11, 13, 16, tzinfo=dt.UTC)
    for zone, date, amount in (
        ("Asia/Tokyo", dt.date(2023, 11, 14), 7),
        ("America/New_York", dt.date(2023, 11, 13), 5),
    ):
        found = look(scratch, settings_of(ramp=RAMP, zone=zone), now)
        assert isinstance(found, Open)
        assert (found.day, found.amount) == (date, amount)


def test_another_domains_warm_up_is_nothing_to_this_publication(scratch: Session) -> None:
    settings = msgspec.structs.replace(PLAIN, warm_up={"elsewhere.example": RAMP})
    assert look(scratch, settings, day(-5)) == Open(None)


def test_a_window_and_a_warm_up_are_both_kept_to(scratch: Session) -> None:
    settings = settings_of(window="08:00 to 20:00", ramp=RAMP)
    assert look(scratch, settings, day(0, 12)) == Open(day(0, 20), "example.org", day(0).date(), 5)
    assert isinstance(look(scratch, settings, day(0, 21)), Shut)
    night = settings_of(window="20:00 to 06:00", ramp=RAMP)
    assert look(scratch, night, day(0, 22)) == Open(day(1, 0), "example.org", day(0).date(), 5)
    assert look(scratch, night, day(1, 1)) == Open(day(1, 6), "example.org", day(1).date(), 7)


@given(
    first=st.integers(1, 10**9),
    growth=st.floats(1, 10, exclude_min=True),
    days=st.integers(1, 365),
    number=st.integers(-400, 800),
)
@example(first=10**9, growth=10.0, days=365, number=364)
def test_a_warm_up_never_shrinks_and_ends(first: int, growth: float, days: int, number: int) -> None:
    ramp = WarmUp(begins=NOW.date(), first_day=first, growth=growth, days=days)
    today = gates.of_day(ramp, NOW.date() + dt.timedelta(days=number))
    tomorrow = gates.of_day(ramp, NOW.date() + dt.timedelta(days=number + 1))
    assert (today is None) is (number >= days)
    if number < 0:
        assert today == 0
    elif today is not None:
        assert today >= first
    if today is not None and tomorrow is not None:
        assert tomorrow >= today


@once
@given(now=moments, zone=st.sampled_from(ZONES), begun=st.integers(0, 30))
def test_a_used_up_day_is_over_when_it_says_so(scratch: Session, now: dt.datetime, zone: str, begun: int) -> None:
    ramp = msgspec.structs.replace(RAMP, begins=dt.date(2023, 6, 1), days=365, growth=1.0001)
    today = now.astimezone(ZoneInfo(zone)).date()
    scratch.merge(WarmDay(domain="example.org", day=today, begun=begun))
    scratch.flush()
    found = look(scratch, settings_of(ramp=ramp, zone=zone), now)
    if today < ramp.begins:
        assert isinstance(found, Shut)
    elif today >= ramp.begins + dt.timedelta(days=365):
        assert found == Open(None)
    else:
        assert isinstance(found, Shut if begun >= 5 else Open)
        assert found.until is not None
        assert now < found.until <= now + dt.timedelta(hours=26)
        assert found.until.astimezone(ZoneInfo(zone)).date() == today + dt.timedelta(days=1)


# ---- through the sender

READERS = [f"reader{i:02}@example.org" for i in range(25)]
ZONE = 'zone = "America/New_York"'
WARM = '\n[warm_up."example.org"]\nbegins = 2023-11-13\nfirst_day = 5\ngrowth = 1.5\ndays = {days}\n'


@pytest.fixture
def sending(make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber]) -> Callable[..., Folder]:
    """sending(server, window="…", warm_up=days, connections=n): a folder with an issue being sent to READERS."""

    def make(
        server: MailServer, *, window: str = "", warm_up: int = 0, connections: int = 2, readers: list[str] = READERS
    ) -> Folder:
        folder = make_folder(
            *through(
                relay(server, "outbox", connections=connections), beside=WARM.format(days=warm_up) if warm_up else ""
            ),
            *([(ZONE, f'{ZONE}\nwindow = "{window}"')] if window else []),
        )
        being_sent(folder, subscribe, readers)
        return folder

    return make


def send(folder: Folder, now: dt.datetime | Steps) -> Progress:
    clock = now if isinstance(now, Steps) else Steps(now)
    return Sender(folder, clock, chance=lambda: 0.5).run(stop=clock.turn)


def the_issue(folder: Folder) -> Issue:
    with folder.reading() as session:
        return session.scalars(select(Issue)).one()


def test_outside_of_its_window_an_issue_sends_nothing_and_says_why_and_until_when(sending: Any) -> None:
    with MailServer() as server:
        folder = sending(server, window="16:00 to 20:00")
        opens = at("America/New_York", "2023-11-13 16:00")
        for now in (NOW, NOW + MINUTE, opens - MINUTE):
            send(folder, now)
        assert server.connections == 0
        waiting = the_issue(folder)
        assert (waiting.state, waiting.why, waiting.next_look) == (
            IssueState.sending,
            "outside of its hours, 16:00 to 20:00 in America/New_York",
            opens,
        )
        send(folder, opens)
        assert sorted(m.recipient for m in server.messages) == READERS
    assert the_issue(folder).state is IssueState.sent
    assert (the_issue(folder).why, the_issue(folder).next_look) == ("", None)


def test_once_the_window_is_open_the_issue_no_longer_says_that_it_waits(sending: Any) -> None:
    with MailServer() as server:
        folder = sending(server, window="16:00 to 20:00", connections=1)
        send(folder, NOW)
        assert the_issue(folder).why
        said: list[str] = []
        server.on_data = lambda _: said.append(the_issue(folder).why)
        send(folder, at("America/New_York", "2023-11-13 16:00"))
    assert set(said) == {""}


@pytest.mark.parametrize("connections", [1, 3])
def test_a_window_that_closes_in_the_middle_stops_it_within_a_message_a_connection(
    sending: Any, connections: int
) -> None:
    clock = Steps(NOW)
    with MailServer() as server:
        folder = sending(server, window="08:00 to 15:00", connections=connections)
        closes = at("America/New_York", "2023-11-13 15:00")

        def close(recipient: str) -> None:
            if len(server.messages) >= 8:
                clock.now = closes

        server.on_data = close
        send(folder, clock)
        assert 8 <= len(server.messages) <= 8 + connections
        waiting = the_issue(folder)
        assert waiting.state is IssueState.sending
        send(folder, closes + MINUTE)
        assert the_issue(folder).why == "outside of its hours, 08:00 to 15:00 in America/New_York"
        opens = at("America/New_York", "2023-11-14 08:00")
        assert the_issue(folder).next_look == opens
        assert len(server.messages) <= 8 + connections
        server.on_data = None
        send(folder, opens)
        assert sorted(m.recipient for m in server.messages) == READERS
    assert {state for state, _ in ledger(folder).values()} == {"sent"}


def test_a_warm_up_sends_each_days_amount_and_no_more_whoever_looks_how_often(sending: Any) -> None:
    with MailServer() as server:
        folder = sending(server, warm_up=3)
        for number, gone in enumerate((5, 12, 23)):
            for hour in (15, 18, 23):
                send(folder, day(number, hour))
                assert len(server.messages) == gone
            waiting = the_issue(folder)
            assert waiting.why == (
                f"warm-up of example.org: today's {(5, 7, 11)[number]} messages have gone, the rest follows"
            )
            assert waiting.next_look == day(number + 1, 0)
        send(folder, day(3, 0))
        assert sorted(m.recipient for m in server.messages) == READERS
    assert the_issue(folder).state is IssueState.sent
    assert the_issue(folder).why == ""
    with folder.reading() as session:
        assert {row.day.day: row.begun for row in session.scalars(select(WarmDay))} == {13: 5, 14: 7, 15: 11}


def test_before_a_warm_up_begins_nothing_is_sent(sending: Any) -> None:
    with MailServer() as server:
        folder = sending(server, warm_up=3)
        send(folder, day(-1))
        assert server.connections == 0
    assert the_issue(folder).why == "the warm-up of example.org begins on 2023-11-13"


def test_a_days_amount_that_is_used_up_ends_the_work_and_not_connection_after_connection(sending: Any) -> None:
    with MailServer() as server:
        send(sending(server, warm_up=3, readers=[f"r{n:03}@example.org" for n in range(120)]), day(0))
        assert len(server.messages) == 5
        assert server.connections <= 4


def test_two_senders_share_a_days_amount(sending: Any) -> None:
    with MailServer() as server:
        # Two batches' worth, so that each has one.
        folder = sending(server, warm_up=3, readers=[f"r{n:03}@example.org" for n in range(130)])
        with folder.session() as session:
            batch = session.scalars(select(Batch)).first()
            assert batch is not None
            middle, last = batch.first + 60, batch.last
            batch.last = middle - 1
            session.flush()
            session.add(Batch(issue_id=batch.issue_id, first=middle, last=last, due=batch.due))
        wrong: list[BaseException] = []

        def one() -> None:
            try:
                send(folder, day(0))
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert len(server.messages) == 5
        send(folder, day(1))
        assert len(server.messages) == 12
    assert max(Counter(m.recipient for m in server.messages).values()) == 1


def test_a_crash_does_not_forget_what_the_day_has_had(sending: Any) -> None:
    class Crash(BaseException):
        pass

    def crash(progress: Progress) -> None:
        if progress.counts["sent"] >= 3:
            raise Crash

    with MailServer() as server:
        folder = sending(server, warm_up=3, connections=1)
        with pytest.raises(Crash):
            Sender(folder, lambda: day(0), show=crash).run(stop=lambda: False)
        # The lost sender's lease has run out.
        for minutes in (3, 10):
            send(folder, day(0) + minutes * MINUTE)
        assert len(server.messages) <= 5
        begun = [state for state, _ in ledger(folder).values() if state != "queued"]
        assert len(begun) == 5
        send(folder, day(1))
        assert len(server.messages) <= 12
    assert max(Counter(m.recipient for m in server.messages).values()) == 1
