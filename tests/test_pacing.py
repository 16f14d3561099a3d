"""Pacing: what a domain can take is learned from what it refuses, by halves, and unlearned slowly."""

from __future__ import annotations

import datetime as dt
from itertools import count

import pytest
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from newsletter import pacing
from newsletter.models import Pace
from newsletter.pacing import PARTS, SLOWEST, STEP

once = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHY = "421 4.7.28 too many messages"
DOMAIN = "example.com"
domains = (f"{n}.example" for n in count())


def down(session: Session, now: dt.datetime, seen: float = 0.0) -> float:
    return pacing.slow_down(session, DOMAIN, seen, WHY, now).rate


def up(session: Session, now: dt.datetime) -> float | None:
    learned = pacing.speed_up(session, DOMAIN, now)
    return None if learned is None else learned.rate


def test_the_first_refusal_halves_what_the_domain_was_getting_and_keeps_what_it_said(scratch: Session) -> None:
    assert down(scratch, NOW, seen=40.0) == 20.0
    learned = pacing.known(scratch)[DOMAIN]
    assert (learned.domain, learned.rate, learned.why) == (DOMAIN, 20.0, WHY)
    row = scratch.get_one(Pace, DOMAIN)
    assert (row.before, row.since, row.changed) == (40.0, NOW, NOW)


def test_however_many_are_refused_within_ten_seconds_it_is_halved_once(scratch: Session) -> None:
    down(scratch, NOW, seen=40.0)
    assert {down(scratch, NOW + STEP * n / 100, seen=40.0) for n in range(100)} == {20.0}
    assert [down(scratch, NOW + STEP + STEP * n / 100, seen=40.0) for n in range(100)] == [10.0] * 100
    assert down(scratch, NOW + 2 * STEP) == 5.0


def test_it_is_never_slower_than_one_message_in_ten_seconds(scratch: Session) -> None:
    assert down(scratch, NOW, seen=0.0) == SLOWEST
    assert [down(scratch, NOW + n * STEP) for n in range(1, 50)] == [SLOWEST] * 49


def test_what_is_taken_raises_it_by_equal_steps_one_in_ten_seconds(scratch: Session) -> None:
    down(scratch, NOW, seen=40.0)
    assert up(scratch, NOW + STEP / 2) == 20.0, "too soon after the refusal"
    rates = [up(scratch, NOW + n * STEP / 2) for n in range(2, 8)]
    assert rates == [22.0, 22.0, 24.0, 24.0, 26.0, 26.0]


def test_at_twice_what_it_first_refused_everything_is_forgotten(scratch: Session) -> None:
    down(scratch, NOW, seen=40.0)
    rates = [up(scratch, NOW + n * STEP) for n in range(1, 31)]
    assert rates == [*(20.0 + 2 * n for n in range(1, 30)), None]
    assert pacing.known(scratch) == {}
    assert up(scratch, NOW + 31 * STEP) is None
    assert down(scratch, NOW + 32 * STEP, seen=90.0) == 45.0, "it begins anew"


def test_the_slowest_domain_gets_well_again_too(scratch: Session) -> None:
    down(scratch, NOW, seen=0.0)
    assert up(scratch, NOW + STEP) is None


def test_each_domain_has_a_pace_of_its_own(scratch: Session) -> None:
    down(scratch, NOW, seen=40.0)
    pacing.slow_down(scratch, "other.example", 4.0, "451 4.7.0 later", NOW)
    assert {domain: learned.rate for domain, learned in pacing.known(scratch).items()} == {
        DOMAIN: 20.0,
        "other.example": 2.0,
    }


@pytest.mark.parametrize("change", [down, up])
@pytest.mark.parametrize("back", [dt.timedelta(seconds=1), dt.timedelta(hours=5), dt.timedelta(days=400)])
def test_a_clock_set_back_freezes_nothing(scratch: Session, change: object, back: dt.timedelta) -> None:
    down(scratch, NOW, seen=40.0)
    assert change(scratch, NOW - back) == (10.0 if change is down else 22.0)  # type: ignore[operator]
    assert change(scratch, NOW - back + STEP) == (5.0 if change is down else 24.0)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("reply", "less"),
    [
        ("421 4.7.28 too many messages", True),
        ("421 too many messages", True),
        ("450 4.7.1 greylisted", True),
        ("451 4.3.0 the machine is full", True),
        ("452 4.3.1 out of space", True),
        ("421 4.4.2 timeout", True),
        ("450 4.2.0 mailbox busy", False),
        ("452 4.2.2 over quota", False),
        ("450 4.1.8 no such sender domain", False),
        ("450 4.1.1 unknown for now", False),
        ("552 5.2.2 mailbox full", False),
        ("550 5.7.1 no", False),
        ("250 2.0.0 ok", False),
        ("the relay closed the connection (before the message had left)", False),
        ("no answer in 300 seconds (before the message had left)", False),
        ("4210 4.7.0 a code of four digits", False),
        ("", False),
    ],
)
def test_a_domain_asks_for_less_by_a_4xx_that_is_not_about_one_mailbox(reply: str, less: bool) -> None:
    assert pacing.asks_for_less(reply) is less


@given(st.text())
def test_whatever_a_server_says_is_an_answer_to_whether_it_asks_for_less(reply: str) -> None:
    assert pacing.asks_for_less(reply) in {True, False}


@once
@given(
    seen=st.floats(0, 10_000),
    history=st.lists(
        st.tuples(
            st.booleans(),
            st.one_of(
                st.timedeltas(dt.timedelta(), 2 * STEP), st.timedeltas(-dt.timedelta(days=2), dt.timedelta(days=2))
            ),
        ),
        max_size=60,
    ),
)
def test_whatever_happens_the_rate_stays_in_its_bounds_and_changes_once_in_ten_seconds(
    scratch: Session, seen: float, history: list[tuple[bool, dt.timedelta]]
) -> None:
    domain, now = next(domains), NOW
    pacing.slow_down(scratch, domain, seen, WHY, now)
    before = scratch.get_one(Pace, domain).before
    assert before == max(SLOWEST, seen)
    rate, changed = max(SLOWEST, seen / 2), now
    for refused, passes in history:
        now += passes
        learned = pacing.slow_down(scratch, domain, 1.0, WHY, now) if refused else pacing.speed_up(scratch, domain, now)
        may_change = not dt.timedelta() <= now - changed < STEP
        if learned is None:
            assert may_change
            assert not refused
            assert rate + max(SLOWEST, before / PARTS) >= 2 * before
            break
        if may_change:
            wanted = max(SLOWEST, rate / 2) if refused else rate + max(SLOWEST, before / PARTS)
            assert learned.rate == pytest.approx(wanted)
            changed = now
        else:
            assert learned.rate == rate
        assert SLOWEST <= learned.rate < max(2 * before, 2 * SLOWEST)
        rate = learned.rate
