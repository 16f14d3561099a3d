"""Rates: whatever is asked and whenever, no span holds more than it may, and no more is lost than must be."""

from __future__ import annotations

import datetime as dt
import math
import threading
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest
from conftest import CONFIG, NOW
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from newsletter import config, rates
from newsletter.errors import ConfigMistake
from newsletter.folder import Folder
from newsletter.models import Allowance
from newsletter.rates import Rate

once = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SECOND = dt.timedelta(seconds=1)
names = (f"r{n}" for n in count())


def most_in_a_span(granted: Sequence[tuple[dt.timedelta, int]], seconds: float) -> int:
    """The most that any span of so many seconds holds, its end not counted; the fullest begins with a grant."""
    span = dt.timedelta(seconds=seconds)
    return max(
        (sum(n for at, n in granted[i:] if at < begin + span) for i, (begin, _) in enumerate(granted)), default=0
    )


steps = st.lists(
    st.tuples(
        # Mostly about as long as rates are; now and then a night, or a clock that stands.
        st.one_of(
            st.just(dt.timedelta()),
            st.timedeltas(dt.timedelta(microseconds=1), 2 * SECOND),
            st.timedeltas(dt.timedelta(), dt.timedelta(days=1)),
        ),
        st.one_of(
            st.just(dt.timedelta()), st.just(dt.timedelta()), st.timedeltas(dt.timedelta(), dt.timedelta(days=1))
        ),
        st.integers(1, 200),
    ),
    max_size=40,
)


@once
@given(
    counts=st.lists(st.integers(1, 120), min_size=1, max_size=3),
    seconds=st.sampled_from([1.0, 7.5, 3600.0]),
    steps=steps,
)
@example(counts=[10], seconds=1.0, steps=[(SECOND / 10, dt.timedelta(), 9)] * 30)
@example(counts=[20], seconds=1.0, steps=[(SECOND / 20, SECOND / 4, 9)] * 40)
def test_no_span_holds_more_than_the_count_whatever_is_asked_and_however_the_clock_is_set_back(
    scratch: Session, counts: list[int], seconds: float, steps: list[tuple[dt.timedelta, dt.timedelta, int]]
) -> None:
    asked = [Rate(next(names), each, seconds) for each in counts]
    passed, set_back = dt.timedelta(), dt.timedelta()
    granted = []
    for passes, back, wanted in steps:
        passed += passes
        set_back += back
        taken, again = rates.take(scratch, asked, wanted, NOW + passed - set_back)
        assert 0 <= taken <= wanted
        assert again is not None
        granted.append((passed, taken))
    assert most_in_a_span(granted, seconds) <= min(counts)


@once
@given(fraction=st.floats(0.01, 0.99), steps=steps)
def test_a_fraction_of_one_is_one_in_so_many_times_as_long(
    scratch: Session, fraction: float, steps: list[tuple[dt.timedelta, dt.timedelta, int]]
) -> None:
    rate = Rate(next(names), fraction, 1.0)
    passed, granted = dt.timedelta(), []
    for passes, _, wanted in steps:
        passed += passes
        granted.append((passed, rates.take(scratch, [rate], wanted, NOW + passed)[0]))
    assert most_in_a_span(granted, 1 / fraction) <= 1


@once
@given(fraction=st.floats(1.01, 40), steps=steps)
def test_between_two_whole_numbers_it_is_never_more_than_the_next_one(
    scratch: Session, fraction: float, steps: list[tuple[dt.timedelta, dt.timedelta, int]]
) -> None:
    rate = Rate(next(names), fraction, 1.0)
    passed, granted = dt.timedelta(), []
    for passes, _, wanted in steps:
        passed += passes
        granted.append((passed, rates.take(scratch, [rate], wanted, NOW + passed)[0]))
    assert most_in_a_span(granted, 1.0) <= math.ceil(fraction)


def test_half_a_message_a_second_is_one_in_two(scratch: Session) -> None:
    rate = Rate("half", 0.5, 1.0)
    assert rates.take(scratch, [rate], 5, NOW) == (1, NOW + 2 * SECOND)
    assert rates.take(scratch, [rate], 5, NOW + 1.9 * SECOND)[0] == 0
    assert rates.take(scratch, [rate], 5, NOW + 2 * SECOND) == (1, NOW + 4 * SECOND)


@once
@given(number=st.integers(1, 100_000), seconds=st.sampled_from([1.0, 3600.0]), wanted=st.integers(1, 20_000))
@example(number=5000, seconds=3600.0, wanted=1)
@example(number=9, seconds=1.0, wanted=9)
def test_whoever_comes_back_when_told_to_gets_nine_tenths_of_the_rate(
    scratch: Session, number: int, seconds: float, wanted: int
) -> None:
    rate = Rate(next(names), number, seconds)
    now, got = NOW, 0
    for _ in range(60):
        taken, again = rates.take(scratch, [rate], wanted, now)
        got += taken
        assert again is not None
        assert taken or again > now, "told to come back at once, for nothing"
        now = max(now, again)
    # What could go at once is not what the rate is made of.
    assert got - rate.at_once >= 0.9 * number * ((now - NOW).total_seconds() / seconds) - rate.at_once - 1


@pytest.mark.parametrize("wanted", [1, 2])
def test_a_rate_is_used_fully_over_an_hour(scratch: Session, wanted: int) -> None:
    rate = Rate("full", 20, 1.0)
    now, got = NOW, 0
    while now < NOW + dt.timedelta(minutes=2):
        taken, again = rates.take(scratch, [rate], wanted, now)
        got += taken
        assert again is not None
        now = max(again, now + dt.timedelta(microseconds=1))
    assert 0.9 * 20 * 120 <= got <= 20 * 120


@once
@given(steps=steps)
def test_zero_is_never(scratch: Session, steps: list[tuple[dt.timedelta, dt.timedelta, int]]) -> None:
    off, on = Rate(next(names), 0, 1.0), Rate(next(names), 100, 1.0)
    now = NOW
    for passes, back, wanted in steps:
        now += passes - back
        assert rates.take(scratch, [on, off], wanted, now) == (0, None)
    assert scratch.get(Allowance, on.name) is None, "the other rate isn't used up by what was not granted"


def test_of_two_rates_the_slower_one_counts_and_says_when(scratch: Session) -> None:
    quick, slow = Rate("quick", 100, 1.0), Rate("slow", 10, 3600.0)
    assert rates.take(scratch, [quick, slow], 50, NOW) == (1, NOW + dt.timedelta(minutes=6))
    assert rates.take(scratch, [quick, slow], 50, NOW + dt.timedelta(minutes=5))[0] == 0
    # The quick one has lost only what was granted.
    assert rates.take(scratch, [quick], 50, NOW + dt.timedelta(minutes=5))[0] == 5


@pytest.mark.parametrize("number", [1, 200])
@pytest.mark.parametrize("back", [dt.timedelta(minutes=3), dt.timedelta(days=400)])
def test_a_clock_set_back_has_nobody_wait_for_longer_than_a_rate_that_is_used_up(
    scratch: Session, number: int, back: dt.timedelta
) -> None:
    rate = Rate("back", number, 60.0)
    assert rates.take(scratch, [rate], number, NOW)[0] == rate.at_once
    taken, again = rates.take(scratch, [rate], number, NOW - back)
    assert taken == 0
    assert again == NOW - back + rate.apart
    assert rates.take(scratch, [rate], 1, again)[0] == 1


def test_nothing_wanted_takes_nothing(scratch: Session) -> None:
    rate = Rate("nothing", 1, 1.0)
    assert rates.take(scratch, [rate], 0, NOW)[0] == 0
    assert rates.take(scratch, [rate], 1, NOW)[0] == 1


@pytest.mark.parametrize("number", ["1e-12", "1e-300", "inf", "nan", "-1"])
def test_a_rate_that_is_none_is_told_with_its_line(number: str, tmp_path: Path) -> None:
    text = CONFIG.replace('kind = "maildir"', f'kind = "maildir"\nper_second = {number}')
    with pytest.raises(ConfigMistake, match="per_second"):
        config.decode(text, tmp_path / "config.toml")


def test_a_rate_outlives_whoever_took_from_it(make_folder: Callable[..., Folder]) -> None:
    rate = Rate("kept", 5, 3600.0)
    folder = make_folder()
    with folder.session() as session:
        assert rates.take(session, [rate], 5, NOW)[0] == 1
    folder.engine.dispose()
    again = make_folder()
    with again.session() as session:
        assert rates.take(session, [rate], 5, NOW + dt.timedelta(minutes=11))[0] == 0
        assert rates.take(session, [rate], 5, NOW + dt.timedelta(minutes=12))[0] == 1


def test_senders_at_once_share_one_count(folder: Folder) -> None:
    rate = Rate("shared", 200, 3600.0)
    begin = threading.Barrier(4)
    taken: list[int] = []
    wrong: list[BaseException] = []

    def take() -> None:
        begin.wait()
        try:
            for _ in range(15):
                with folder.session() as session:
                    taken.append(rates.take(session, [rate], 1, NOW)[0])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(taken) == rate.at_once == 10
