"""The calendar: the wall clock in many zones, both clock changes, month ends, and calendars that can't be."""

from __future__ import annotations

import calendar
import datetime as dt
import time
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter import cadence
from newsletter.config import Cadence
from newsletter.errors import CadenceMistake

ZONES = (
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Europe/London",
    "Europe/Berlin",
    "Africa/Casablanca",
    "Asia/Tokyo",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Chatham",
    "Africa/Cairo",
    "America/Havana",
)
DATES = st.dates(dt.date(1975, 1, 1), dt.date(2037, 1, 1))
TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59]))
RHYTHMS = st.builds("{} {}".format, st.integers(1, 40), st.sampled_from(["days", "weeks", "months"]))

CADENCES = st.builds(
    Cadence,
    anchor=DATES,
    every=RHYTHMS,
    time=TIMES,
    zone=st.sampled_from(ZONES),
    copy_deadline=st.sampled_from(["1 day before at 17:00", "10 days before at 02:30", "same day at 00:00"]),
    approve_by=st.just("same day at 00:00"),
)


def dates(rule: Cadence, after: dt.date, count: int) -> list[dt.date]:
    return [slot.date for slot in islice(cadence.slots(rule, after), count)]


def lost_days(zone: str) -> set[dt.date]:
    """Days that a zone never had."""
    return {"Pacific/Apia": {dt.date(2011, 12, 30)}, "Pacific/Kwajalein": {dt.date(1993, 8, 21)}}.get(zone, set())


@given(CADENCES, DATES)
def test_issues_follow_each_other_strictly_in_dates_and_in_time(rule: Cadence, after: dt.date) -> None:
    for one, next_one in pairwise(islice(cadence.slots(rule, after), 8)):
        assert one.date < next_one.date
        assert one.sends < next_one.sends


@given(CADENCES, DATES)
def test_the_wall_clock_reads_the_time_wherever_there_is_such_a_time(rule: Cadence, after: dt.date) -> None:
    zone, hour = ZoneInfo(rule.zone), dt.time.fromisoformat(rule.time)
    for slot in islice(cadence.slots(rule, after), 6):
        wall = slot.sends.astimezone(zone)
        wanted = dt.datetime.combine(slot.date, hour)
        if wall.replace(tzinfo=None) == wanted:
            assert wall.fold == 0
        else:
            # Only where no clock of the zone ever showed it, and then later by the gap's length.
            before = (slot.sends - dt.timedelta(days=2)).astimezone(zone).utcoffset()
            behind = (slot.sends + dt.timedelta(days=2)).astimezone(zone).utcoffset()
            assert before is not None
            assert behind is not None
            assert wall.replace(tzinfo=None) == wanted + (behind - before)


@given(CADENCES, DATES)
def test_nothing_comes_before_what_it_follows(rule: Cadence, after: dt.date) -> None:
    for slot in islice(cadence.slots(rule, after), 4):
        assert slot.deadline <= slot.approve_by <= slot.sends
        assert [at for _, at in slot.reminders] == sorted(at for _, at in slot.reminders)


@given(CADENCES, DATES, st.integers(0, 3000))
def test_it_does_not_matter_where_one_starts_to_look(rule: Cadence, after: dt.date, later: int) -> None:
    from_later = after + dt.timedelta(days=later)
    whole = list(islice((s for s in cadence.slots(rule, after) if s.date > from_later), 3))
    assert whole == list(islice(cadence.slots(rule, from_later), 3))


@given(st.integers(1, 60), st.sampled_from(["days", "weeks"]), st.sampled_from(ZONES), DATES, DATES, TIMES)
def test_days_and_weeks_are_exact_across_every_change_of_clocks(
    count: int, unit: str, zone: str, anchor: dt.date, after: dt.date, at: str
) -> None:
    rule = Cadence(anchor=anchor, every=f"{count} {unit}", zone=zone, time=at, approve_by="same day at 00:00")
    step = count * (7 if unit == "weeks" else 1)
    for one, next_one in pairwise(dates(rule, after, 6)):
        if not any(one < lost < next_one for lost in lost_days(zone)):
            assert (next_one - one).days == step
        assert (one - anchor).days % step == 0


@given(st.integers(1, 30), DATES, DATES)
def test_months_keep_their_day_or_take_the_last(count: int, anchor: dt.date, after: dt.date) -> None:
    rule = Cadence(anchor=anchor, every=f"{count} months")
    found = dates(rule, after, 6)
    assert len(found) == 6
    for date in found:
        assert date.day == min(anchor.day, calendar.monthrange(date.year, date.month)[1])
        assert ((date.year - anchor.year) * 12 + date.month - anchor.month) % count == 0
    for one, next_one in pairwise(found):
        assert (next_one.year - one.year) * 12 + next_one.month - one.month == count


def test_a_monthly_from_the_31st_appears_every_month_on_its_last_day() -> None:
    rule = Cadence(anchor=dt.date(2023, 12, 31), every="1 month")
    assert dates(rule, dt.date(2023, 12, 1), 5) == [
        dt.date(2023, 12, 31),
        dt.date(2024, 1, 31),
        dt.date(2024, 2, 29),
        dt.date(2024, 3, 31),
        dt.date(2024, 4, 30),
    ]


def test_a_yearly_from_a_leap_day_appears_every_year() -> None:
    rule = Cadence(anchor=dt.date(2024, 2, 29), every="12 months")
    assert dates(rule, dt.date(2024, 1, 1), 5) == [
        dt.date(2024, 2, 29),
        dt.date(2025, 2, 28),
        dt.date(2026, 2, 28),
        dt.date(2027, 2, 28),
        dt.date(2028, 2, 29),
    ]


@pytest.mark.parametrize(
    ("zone", "date", "at", "utc"),
    [
        ("America/New_York", dt.date(2024, 3, 10), "02:30", "2024-03-10T07:30+00:00"),  # 03:30 daylight time
        ("America/New_York", dt.date(2024, 11, 3), "01:30", "2024-11-03T05:30+00:00"),  # the first of the two
        ("Australia/Lord_Howe", dt.date(2023, 10, 1), "02:15", "2023-09-30T15:45+00:00"),  # half an hour: 02:45
        ("Australia/Lord_Howe", dt.date(2024, 4, 7), "01:45", "2024-04-06T14:45+00:00"),
        ("America/Sao_Paulo", dt.date(2018, 11, 4), "00:00", "2018-11-04T03:00+00:00"),  # midnight didn't exist: 01:00
        ("Africa/Casablanca", dt.date(2024, 4, 14), "02:30", "2024-04-14T02:30+00:00"),  # after Ramadan
        ("Asia/Kathmandu", dt.date(1986, 1, 1), "00:10", "1985-12-31T18:40+00:00"),  # fifteen minutes, once
    ],
)
def test_a_time_in_a_gap_moves_forward_and_one_in_a_fold_is_the_first(
    zone: str, date: dt.date, at: str, utc: str
) -> None:
    rule = Cadence(anchor=date, every="1 day", zone=zone, time=at, approve_by="same day at 00:00", reminders=())
    slot = cadence.next_slot(rule, date - dt.timedelta(days=1))
    assert (slot.date, slot.sends) == (date, dt.datetime.fromisoformat(utc))


def test_a_gap_does_not_put_the_deadline_after_the_issue() -> None:
    rule = Cadence(
        anchor=dt.date(2024, 3, 10),
        zone="America/New_York",
        time="03:00",
        copy_deadline="same day at 02:30",
        approve_by="same day at 02:45",
    )
    slot = cadence.next_slot(rule, dt.date(2024, 3, 1))
    assert slot.deadline == slot.approve_by == slot.sends == dt.datetime(2024, 3, 10, 7, tzinfo=dt.UTC)


def test_samoas_lost_day_doubles_nothing_and_the_rhythm_stays() -> None:
    daily = Cadence(anchor=dt.date(2011, 12, 28), every="1 day", zone="Pacific/Apia", reminders=())
    assert dates(daily, dt.date(2011, 12, 27), 4) == [
        dt.date(2011, 12, 28),
        dt.date(2011, 12, 29),
        dt.date(2011, 12, 31),
        dt.date(2012, 1, 1),
    ]
    weekly = Cadence(anchor=dt.date(2011, 12, 23), every="1 week", zone="Pacific/Apia", reminders=())
    lost = cadence.next_slot(weekly, dt.date(2011, 12, 24))
    assert lost.date == dt.date(2011, 12, 30)
    assert cadence.wall_clock(weekly, lost.sends) == "Sat Dec 31, 2011, 09:00"
    assert cadence.next_slot(weekly, lost.date).date == dt.date(2012, 1, 6)


@given(CADENCES, st.sets(st.integers(0, 12)), st.sets(st.integers(-200, 400)))
def test_skipped_dates_are_left_out_and_extra_ones_come_in_once(
    rule: Cadence, skipped: set[int], more: set[int]
) -> None:
    start = rule.anchor - dt.timedelta(days=300)
    regular = dates(rule, start, 13)
    skip = {regular[i] for i in skipped}
    extra = {rule.anchor + dt.timedelta(days=day) for day in more} - skip - lost_days(rule.zone)
    changed = Cadence(
        anchor=rule.anchor,
        every=rule.every,
        time=rule.time,
        zone=rule.zone,
        approve_by=rule.approve_by,
        copy_deadline=rule.copy_deadline,
        skip=tuple(skip),
        extra=tuple(extra),
    )
    expected = sorted(((set(regular) | extra) - skip) - lost_days(rule.zone))
    found = [slot.date for slot in islice(cadence.slots(changed, start), len(expected))]
    upto = min(regular[-1], max(expected, default=regular[-1]))
    assert [d for d in found if d <= upto] == [d for d in expected if d <= upto]


def test_a_date_both_skipped_and_extra_is_a_mistake() -> None:
    day = dt.date(2023, 12, 26)
    with pytest.raises(CadenceMistake, match="2023-12-26 is both skipped and extra"):
        cadence.next_slot(Cadence(anchor=dt.date(2023, 11, 14), skip=(day,), extra=(day,)), day)


@pytest.mark.parametrize(
    "rule",
    [
        Cadence(anchor=dt.date(9999, 12, 31)),
        Cadence(anchor=dt.date(9998, 12, 31), every="13 months", skip=(dt.date(9998, 12, 31),)),
        Cadence(anchor=dt.date(1990, 1, 31), every="99999999999999999999 months", skip=(dt.date(1990, 1, 31),)),
        Cadence(anchor=dt.date(1990, 1, 31), every="99999999999999999999 weeks"),
        Cadence(anchor=dt.date(2023, 1, 31), reminders=("999999999999 days before at 09:00",)),
        Cadence(
            anchor=dt.date(1, 1, 1), every="9000 months", zone="Asia/Tokyo", copy_deadline="900000 days before at 09:00"
        ),
    ],
)
def test_a_calendar_that_never_comes_is_a_mistake_and_not_an_endless_search(rule: Cadence) -> None:
    with pytest.raises(CadenceMistake, match="cadence"):
        cadence.next_slot(rule, dt.date(2023, 11, 1))


def test_an_anchor_in_the_far_future_is_simply_the_first_issue() -> None:
    assert cadence.next_slot(Cadence(anchor=dt.date(2150, 5, 1)), dt.date(2023, 1, 1)).date == dt.date(2150, 5, 1)


def test_a_rhythm_longer_than_the_calendar_ends_after_its_anchor() -> None:
    rule = Cadence(anchor=dt.date(2023, 1, 31), every="99999999 months")
    assert dates(rule, dt.date(2000, 1, 1), 5) == [dt.date(2023, 1, 31)]


def test_what_may_still_go_late_is_upcoming_and_what_is_missed_is_not() -> None:
    rule = Cadence(anchor=dt.date(2023, 11, 14), zone="America/New_York", late="6 hours")
    sends = dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)
    assert cadence.first(rule, sends + dt.timedelta(hours=6), 1)[0].date == dt.date(2023, 11, 14)
    assert cadence.first(rule, sends + dt.timedelta(hours=6, seconds=1), 1)[0].date == dt.date(2023, 11, 28)


def test_slot_on_knows_the_dates_of_the_calendar() -> None:
    rule = Cadence(anchor=dt.date(2023, 11, 14))
    assert cadence.slot_on(rule, dt.date(2023, 11, 28)) == cadence.next_slot(rule, dt.date(2023, 11, 14))
    assert cadence.slot_on(rule, dt.date(2023, 11, 21)) is None
    assert cadence.slot_on(rule, dt.date.min) is None


@pytest.mark.parametrize("machine", ["UTC", "Pacific/Apia", "America/New_York", "Asia/Kathmandu"])
def test_the_machines_own_zone_does_not_matter(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Cadence(anchor=dt.date(2023, 10, 31), every="1 week", zone="Europe/Berlin", time="02:30")
    here = list(islice(cadence.slots(rule, dt.date(2023, 9, 1)), 30))
    monkeypatch.setenv("TZ", machine)
    time.tzset()
    try:
        assert list(islice(cadence.slots(rule, dt.date(2023, 9, 1)), 30)) == here
    finally:
        monkeypatch.undo()
        time.tzset()


@settings(max_examples=20)
@given(st.sampled_from(ZONES), st.integers(1990, 2035))
def test_a_daily_goes_once_on_every_day_that_its_zone_had_all_year_long(zone: str, year: int) -> None:
    rule = Cadence(anchor=dt.date(1980, 1, 1), every="1 day", zone=zone, time="02:30", approve_by="same day at 00:00")
    found = dates(rule, dt.date(year - 1, 12, 31), 366)
    first, last = dt.date(year, 1, 1), dt.date(year, 12, 31)
    every_day = {first + dt.timedelta(days=day) for day in range((last - first).days + 1)} - lost_days(zone)
    assert {day for day in found if day.year == year} == every_day
