"""newsletter calendar: what is to come, as people and machines read it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from conftest import NOW

from newsletter import issues
from newsletter.cli import newsletter
from newsletter.errors import CadenceMistake
from newsletter.folder import Folder
from newsletter.models import Draft
from newsletter.states import DraftState

AT = ["--at", "2023-11-13T14:46-05:00"]
ZONE = 'zone = "America/New_York"'


def run(folder: Folder, *words: str) -> Result:
    result = CliRunner().invoke(newsletter, ["-C", str(folder.path), "calendar", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows(folder: Folder, *words: str) -> list[dict[str, object]]:
    found = json.loads(run(folder, *AT, "--json", *words).stdout)
    assert isinstance(found, list)
    return found


def test_the_next_issues_with_numbers_clocks_and_how_long_until(folder: Folder) -> None:
    lines = run(folder, *AT, "-n", "5").stdout.splitlines()
    assert lines[0] == "US-Japan Alliance Digest  every 2 weeks, times in America/New_York"
    assert lines[4].split("  ")[0] == "Vol 2 No 21"
    for words in ("Mon Nov 13 17:00", "Tue Nov 14 08:00", "Tue Nov 14 09:00", "18 h 14 min"):
        assert words in lines[4]
    assert "Vol 3 No 1 " in lines[8]
    assert "Tue Jan 9, 2024 09:00" in lines[8]


def test_looking_changes_nothing(folder: Folder) -> None:
    run(folder, *AT)
    with folder.reading() as session:
        assert issues.listing(session, "digest") == []


def test_a_change_of_clocks_is_noted_where_it_is_first_felt(folder: Folder) -> None:
    at = ["--at", "2024-02-21T12:00-05:00"]
    lines = [line for line in run(folder, *at, "-n", "4").stdout.splitlines() if line.startswith("Vol")]
    assert ["clocks forward 1 h" in line for line in lines] == [False, True, False, False]
    autumn = json.loads(run(folder, "--at", "2024-10-17T12:00-04:00", "--json").stdout)
    assert [row["clocks_changed_by"] for row in autumn[:3]] == [None, -3600, None]


def test_skipped_and_extra_dates_are_marked_and_numbers_leave_no_gap(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder((ZONE, f"{ZONE}\nskip = [2023-11-28, 2023-11-29]\nextra = [2023-12-05]"))
    found = rows(folder, "-n", "3")
    assert [(row["slot"], row.get("label"), row["skipped"], row.get("extra")) for row in found] == [
        ("2023-11-14", "2.21", False, False),
        ("2023-11-28", None, True, None),
        ("2023-11-29", None, True, None),
        ("2023-12-05", "2.22", False, True),
        ("2023-12-12", "2.23", False, False),
    ]
    assert [row["needed"] for row in found if row["skipped"]] == [True, False]
    text = run(folder, *AT).stdout
    assert "skipped: no issue" in text
    assert "extra" in text


def test_an_issue_that_has_been_made_shows_its_own_number_and_state(folder: Folder) -> None:
    digest = folder.config.publications["digest"]
    with folder.session() as session:
        session.add_all(
            Draft(
                publication="digest",
                headline="a",
                section="Economy",
                body="b",
                position=n,
                created=NOW,
                changed=NOW,
                state=DraftState.ready,
            )
            for n in range(2)
        )
        issue = issues.open_next(session, "digest", digest, NOW)
        issues.override(session, issue, number=30, through=31)
        issues.assemble(session, "digest", digest, issue, NOW)
    found = rows(folder)
    assert [(row["label"], row["state"]) for row in found[:2]] == [("2.30–31", "assembled"), ("2.32", None)]
    assert "◐ assembled" in run(folder, *AT).stdout


def test_by_hand_nothing_is_promised(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(("start_number = 21", 'start_number = 21\nscheme = "by-hand"'))
    assert {row["label"] for row in rows(folder)} == {None}
    assert "number by hand" in run(folder, *AT).stdout


def test_several_publications_stand_one_under_the_other(make_folder: Callable[..., Folder]) -> None:
    brief = """
[publications.brief]
title = "The Brief"
publisher = "Example Society"
postal_address = "Washington"
sender = "brief@example.org"
lists = ["brief"]
cadence = { anchor = 2023-11-01, every = "1 month", zone = "Asia/Tokyo" }
"""
    folder = make_folder(("[publications.digest.numbering]", f"{brief}\n[publications.digest.numbering]"))
    text = run(folder, *AT).stdout
    assert "US-Japan Alliance Digest" in text
    assert "The Brief  every 1 month, times in Asia/Tokyo" in text
    assert {row["publication"] for row in rows(folder)} == {"digest", "brief"}
    assert {row["publication"] for row in rows(folder, "-p", "brief")} == {"brief"}


def test_a_calendar_that_never_comes_is_a_sentence(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(("anchor = 2023-11-14", "anchor = 9999-11-14"))
    with pytest.raises(CadenceMistake, match=r"no issue after 2023-11-13.*Check cadence\.anchor"):
        run(folder, *AT)


def test_times_are_the_publications_whatever_the_machines(folder: Folder) -> None:
    sends = rows(folder, "-n", "1")[0]["sends"]
    assert sends == "2023-11-14T09:00:00-05:00"
    assert dt.datetime.fromisoformat(str(sends)) == dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)
