"""Volume and number: no gaps and no twins, whatever comes."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.config import Numbering, NumberingScheme
from newsletter.errors import IssueMistake
from newsletter.numbering import Number, Numbered, checked, label, long_label, next_number, parse, wanted

YEAR, COUNT, HAND = NumberingScheme.year, NumberingScheme.count, NumberingScheme.hand


def series(numbering: Numbering, issues: list[tuple[dt.date, int]]) -> list[Numbered]:
    """What issues of these dates get, each combining so many numbers more."""
    given_out: list[Numbered] = []
    for date, more in issues:
        last = given_out[-1] if given_out else None
        number = next_number(numbering, last, date)
        assert number is not None
        if more and (numbering.scheme is YEAR or number.number + more <= numbering.per_volume):
            number = checked(numbering, Number(number.volume, number.number, number.number + more))
        given_out.append(Numbered(number, date))
    return given_out


DATED = st.lists(st.tuples(st.dates(dt.date(1999, 1, 1), dt.date(2040, 1, 1)), st.integers(0, 2)), max_size=30).map(
    sorted
)


def numbers_of(issues: list[Numbered]) -> list[tuple[int, int]]:
    return [(i.number.volume, n) for i in issues for n in range(i.number.number, i.number.last + 1)]


@given(DATED)
def test_by_year_numbers_have_no_gap_and_no_twin_and_a_volume_is_a_year(issues: list[tuple[dt.date, int]]) -> None:
    given_out = series(Numbering(scheme=YEAR, start_volume=2, start_number=21), issues)
    numbers = numbers_of(given_out)
    assert len(set(numbers)) == len(numbers)
    for (volume, number), (next_volume, following) in pairwise(numbers):
        assert (next_volume == volume and following == number + 1) or (next_volume > volume and following == 1)
    for issue in given_out:
        assert issue.number.volume - 2 == issue.date.year - given_out[0].date.year


@given(DATED, st.integers(3, 12))
def test_by_count_numbers_have_no_gap_and_no_twin_and_volumes_are_full(
    issues: list[tuple[dt.date, int]], per_volume: int
) -> None:
    numbers = numbers_of(series(Numbering(scheme=COUNT, per_volume=per_volume), issues))
    assert numbers == [(at // per_volume + 1, at % per_volume + 1) for at in range(len(numbers))]


def test_the_year_that_counts_is_the_issues_own_and_not_a_week_number() -> None:
    last = Numbered(Number(2, 26), dt.date(2026, 12, 25))
    assert next_number(Numbering(), last, dt.date(2027, 1, 1)) == Number(3, 1)
    assert next_number(Numbering(), Numbered(Number(3, 1), dt.date(2027, 1, 1)), dt.date(2027, 1, 8)) == Number(3, 2)


def test_a_year_without_an_issue_is_a_volume_too() -> None:
    assert next_number(Numbering(), Numbered(Number(2, 21), dt.date(2023, 11, 14)), dt.date(2025, 1, 7)) == Number(4, 1)


def test_an_issue_that_comes_out_late_still_follows_the_last_number() -> None:
    last = Numbered(Number(3, 1), dt.date(2024, 1, 2))
    assert next_number(Numbering(), last, dt.date(2023, 12, 26)) == Number(3, 2)


def test_after_a_combined_issue_comes_the_number_after_both() -> None:
    last = Numbered(Number(2, 21, 22), dt.date(2023, 11, 14))
    assert next_number(Numbering(), last, dt.date(2023, 11, 28)) == Number(2, 23)


def test_a_combined_issue_does_not_cross_the_end_of_a_volume() -> None:
    rule = Numbering(scheme=COUNT, per_volume=24)
    last = Numbered(Number(2, 23), dt.date(2023, 11, 14))
    with pytest.raises(IssueMistake, match=r"2\.24–25 crosses the end of the volume, which has 24 numbers"):
        wanted(rule, last, dt.date(2023, 11, 28), volume=None, number=None, through=25)


def test_what_is_not_wanted_follows_from_the_last() -> None:
    last = Numbered(Number(2, 21), dt.date(2023, 11, 14))
    day = dt.date(2023, 11, 28)
    assert wanted(Numbering(), last, day, volume=None, number=None, through=23) == Number(2, 22, 23)
    assert wanted(Numbering(), last, day, volume=3, number=None, through=None) == Number(3, 1)
    assert wanted(Numbering(), last, day, volume=None, number=40, through=None) == Number(2, 40)


def test_by_hand_there_is_no_number_until_someone_says_it() -> None:
    rule = Numbering(scheme=HAND, start_volume=7)
    day = dt.date(2023, 11, 28)
    assert next_number(rule, None, day) is None
    assert wanted(rule, None, day, volume=8, number=None, through=None) is None
    assert wanted(rule, None, day, volume=None, number=3, through=None) == Number(7, 3)
    assert wanted(rule, Numbered(Number(9, 1), day), day, volume=None, number=3, through=None) == Number(9, 3)


@pytest.mark.parametrize(
    "number",
    [
        Number(0, 1),
        Number(1, 0),
        Number(1, 5, 4),
        Number(1, 5, 5),
        Number(1, 100_000),
        Number(100_000, 1),
    ],
)
def test_numbers_that_cannot_be_are_mistakes(number: Number) -> None:
    with pytest.raises(IssueMistake):
        checked(Numbering(), number)


@given(st.integers(1, 99999), st.integers(1, 99998), st.one_of(st.none(), st.just(99999)))
def test_what_a_label_says_is_read_back(volume: int, number: int, through: int | None) -> None:
    text = label(volume, number, through)
    assert parse(text) == parse(text.replace("–", "-")) == Number(volume, number, through)


def test_labels_look_as_on_the_masthead() -> None:
    assert (label(2, 21), label(2, 21, 22)) == ("2.21", "2.21–22")
    assert (long_label(2, 21), long_label(2, 21, 22)) == ("Vol 2 No 21", "Vol 2 No 21–22")


@pytest.mark.parametrize("text", ["", "21", "2.", ".21", "2.21.3", "two.one", "2,21", "2.21–", "999999.1"])
def test_what_is_not_a_number_gets_a_sentence(text: str) -> None:
    with pytest.raises(IssueMistake, match="is not a volume and number"):
        parse(text)
