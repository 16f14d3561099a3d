"""Sending through a real Postfix: what arrives in the mailbox is what was made, once for each reader."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from postfix import UnfitError, fit, through


@pytest.fixture(scope="module", autouse=True)
def _postfix() -> None:
    try:
        fit()
    except UnfitError as unfit:
        pytest.skip(str(unfit))


def test_a_real_postfix_delivers_every_copy_once_and_unaltered() -> None:
    through(300)


def _first(folder: Path) -> Path:
    return min(folder.iterdir())


def _alter(folder: Path) -> None:
    file = _first(folder)
    file.write_bytes(file.read_bytes().replace(b"Words", b"words"))


@pytest.mark.parametrize(
    ("said", "tamper"),
    [
        ("1 lost", lambda folder: _first(folder).unlink()),
        ("1 doubled", lambda folder: shutil.copy(_first(folder), folder / "again")),
        ("altered on the way", _alter),
    ],
)
def test_what_is_lost_doubled_or_altered_on_the_way_would_be_seen(said: str, tamper: Callable[[Path], None]) -> None:
    with pytest.raises(AssertionError, match=said):
        through(3, tamper=tamper)
