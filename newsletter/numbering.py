"""Volume and number: what follows what. Pure; newsletter.issues gives them out.

By year, the volume goes up by one for each calendar year since the last issue, also for a year in which none
appeared: so a volume always tells its year, and a reader who has Vol 2 of 2023 knows where 2025 is.
Within a volume numbers have no gaps and no twins; a combined issue such as 21–22 stands for both.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from newsletter.config import Numbering, NumberingScheme
from newsletter.errors import IssueMistake

MOST = 99_999
"""The greatest volume or number: a year's date typed as a number is a slip, not a wish."""

_LABEL = re.compile(r"\s*(\d{1,5})\s*\.\s*(\d{1,5})(?:\s*[-–]\s*(\d{1,5}))?\s*")


@dataclass(frozen=True, slots=True)
class Number:
    """What stands on the masthead: volume and number, or volume and numbers of a combined issue."""

    volume: int
    number: int
    through: int | None = None
    """The last number of a combined issue; None for a single one."""

    @property
    def last(self) -> int:
        return self.through or self.number

    @property
    def long(self) -> str:
        """As on the masthead: "Vol 2 No 21"."""
        return long_label(self.volume, self.number, self.through)

    def follows(self, other: Number) -> bool:
        """Whether it comes later than another one."""
        return (self.volume, self.number) > (other.volume, other.last)

    def __str__(self) -> str:
        return label(self.volume, self.number, self.through)


@dataclass(frozen=True, slots=True)
class Numbered:
    """An issue that has its number, and its date on the masthead."""

    number: Number
    date: dt.date


def next_number(numbering: Numbering, last: Numbered | None, date: dt.date) -> Number | None:
    """What an issue of `date` is called after `last`, the highest so far; None where someone must say it.

    An issue dated before `last` (one that comes out late) still follows it: numbers are in the order in which
    they were given.
    """
    if numbering.scheme is NumberingScheme.hand:
        return None
    if last is None:
        return Number(numbering.start_volume, numbering.start_number)
    volume, following = last.number.volume, last.number.last + 1
    if numbering.scheme is NumberingScheme.year:
        years = date.year - last.date.year
        return Number(volume + years, 1) if years > 0 else Number(volume, following)
    return Number(volume, following) if following <= numbering.per_volume else Number(volume + 1, 1)


def wanted(
    numbering: Numbering,
    last: Numbered | None,
    date: dt.date,
    *,
    volume: int | None,
    number: int | None,
    through: int | None,
) -> Number | None:
    """The number of an issue of `date`, where an editor wants this volume, number or last number, if any.

    What isn't wanted follows from `last`. None where someone must say it. IssueMistake for what can't be.
    """
    following = next_number(numbering, last, date)
    if volume is None:
        if following is not None:
            volume = following.volume
        else:
            volume = last.number.volume if last is not None else numbering.start_volume
    if number is None:
        if following is None:
            return None
        number = following.number if volume == following.volume else 1
    return checked(numbering, Number(volume, number, through))


def checked(numbering: Numbering, number: Number) -> Number:
    """The same number, if it can be: else an IssueMistake."""
    if not (1 <= number.volume <= MOST and 1 <= number.number <= number.last <= MOST):
        if number.through is not None and number.through < number.number:
            raise IssueMistake(
                f"a combined issue can't run from No {number.number} to No {number.through}",
                remedy="The last number comes after the first.",
            )
        raise IssueMistake(f"volume and number are from 1 to {MOST}, not {number.volume} and {number.number}")
    if number.through == number.number:
        raise IssueMistake(f"No {number.number} to No {number.through} is one number", remedy="Leave the last one out.")
    if numbering.scheme is NumberingScheme.count and number.through and number.last > numbering.per_volume:
        raise IssueMistake(
            f"{number} crosses the end of the volume, which has {numbering.per_volume} numbers",
            remedy="A combined issue lies within one volume.",
        )
    return number


def label(volume: int, number: int, through: int | None = None) -> str:
    """In short: "2.21", or "2.21–22" for a combined issue."""
    return f"{volume}.{number}–{through}" if through else f"{volume}.{number}"


def long_label(volume: int, number: int, through: int | None = None) -> str:
    """In full: "Vol 2 No 21", or "Vol 2 No 21–22" for a combined issue."""
    return f"Vol {volume} No {number}–{through}" if through else f"Vol {volume} No {number}"


def parse(text: str) -> Number:
    """The Number of "2.21", "2.21-22" or "2.21–22". IssueMistake for anything else."""
    found = _LABEL.fullmatch(text)
    if not found:
        raise IssueMistake(
            f'"{text}" is not a volume and number', remedy='Write "2.21", or "2.21-22" for a combined issue.'
        )
    return Number(int(found[1]), int(found[2]), int(found[3]) if found[3] else None)
