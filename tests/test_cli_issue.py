"""newsletter issue: what editors type, and what they are told."""

from __future__ import annotations

import getpass
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import NOW

from newsletter import issues
from newsletter.cli import newsletter
from newsletter.errors import IssueMistake
from newsletter.folder import Folder
from newsletter.models import Draft
from newsletter.states import DraftState, IssueState

BEFORE = "2023-11-13T14:46-05:00"
AFTER = "2023-11-13T17:00-05:00"


@pytest.fixture
def run(folder: Folder) -> Any:
    def invoke(*words: str, at: str = BEFORE) -> Result:
        result = CliRunner().invoke(newsletter, ["-C", str(folder.path), "issue", *words, "--at", at])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def queue(folder: Folder, count: int) -> None:
    with folder.session() as session:
        session.add_all(
            Draft(
                publication="digest",
                headline=f"Story {n}",
                section="Economy",
                body="Text.",
                position=n,
                created=NOW,
                changed=NOW,
                state=DraftState.ready,
            )
            for n in range(1, count + 1)
        )


def test_an_issue_from_drafts_to_approval_as_an_editor_does_it(folder: Folder, run: Any) -> None:
    queue(folder, 3)
    assert "No issue yet" in run("list").stdout
    assert "Vol 2 No 21" in run("show").stdout
    assert run("assemble", at=AFTER).stdout == (
        "Vol 2 No 21 is assembled of 3 stories.\nSubject: US-Japan Alliance Digest 2.21: Story 1\n"
    )
    assert "is approved by Ann, and goes Tue Nov 14, 2023, 09:00." in run("approve", "--by", "Ann", at=AFTER).stdout
    listed = run("list", at=AFTER).stdout
    assert "✓ approved" in listed
    assert "tomorrow 09:00" in listed


def test_before_the_deadline_assembling_takes_force(folder: Folder, run: Any) -> None:
    queue(folder, 3)
    with pytest.raises(IssueMistake, match=r"takes drafts until Mon Nov 13, 2023, 17:00 .*--force"):
        run("assemble")
    assert "Vol 2 No 21–22 is assembled" in run("assemble", "--force", "--through", "22").stdout


def test_assembling_with_too_few_stories_says_so_and_changes_nothing(folder: Folder, run: Any) -> None:
    queue(folder, 1)
    with pytest.raises(IssueMistake, match=r"1 story is ready; at least 2 are needed\. Nothing was changed\."):
        run("assemble", "--force", "--number", "40")
    assert "No issue yet" in run("list").stdout


def test_what_an_issue_is_to_be_called_is_said_before_it_is_frozen(folder: Folder, run: Any) -> None:
    queue(folder, 2)
    said = run("edit", "next", "--number", "30", "--subject", "{headline}", "--preheader", "Inside").stdout
    assert said == "The issue of Nov 14, 2023 will be Vol 2 No 30.\n"
    run("assemble", "--force")
    shown = json.loads(run("show", "--json", "2.30").stdout)
    assert (shown["subject"], shown["preheader"], shown["label"]) == ("Story 1", "Inside", "2.30")
    with pytest.raises(IssueMistake, match=r"It is frozen; reopen it first"):
        run("edit", "30", "--subject", "late")
    assert run("edit", "next").exit_code == 2


def test_a_hold_is_shown_with_who_and_why_until_it_is_resumed(folder: Folder, run: Any) -> None:
    queue(folder, 2)
    run("assemble", "--force")
    run("hold", "21", "--why", "a source is missing.", "--by", "Ann")
    assert "Ann: a source is missing" in run("list").stdout
    shown = run("show", "21").stdout
    assert "‖ held" in shown
    assert "when someone decides" in shown
    assert run("resume", "21").stdout == "Vol 2 No 21 is assembled again.\n"


def test_the_one_who_decides_is_the_login_by_default(folder: Folder, run: Any) -> None:
    queue(folder, 2)
    run("assemble", "--force")
    run("approve", "21")
    assert json.loads(run("show", "21", "--json").stdout)["approved_by"] == getpass.getuser()


def test_reopening_and_cancelling(folder: Folder, run: Any) -> None:
    queue(folder, 2)
    run("assemble", at=AFTER)
    assert (
        run("reopen", "21", at=AFTER).stdout == "Vol 2 No 21 is open again. Close it with newsletter issue assemble.\n"
    )
    assert run("cancel", "2023-11-14", "--why", "holiday", at=AFTER).stdout == (
        "The issue of Nov 14, 2023 is cancelled: holiday.\n"
    )
    assert "✗ cancelled" in run("list").stdout
    assert json.loads(run("show", "next", "--json", at=AFTER).stdout)["slot"] == "2023-11-28"


def test_pausing_is_for_what_is_being_sent(folder: Folder, run: Any) -> None:
    queue(folder, 2)
    run("assemble", "--force")
    with pytest.raises(IssueMistake, match=r"is assembled, and can't be paused\. What can be done now: approve"):
        run("pause", "21")
    with folder.session() as session:
        issues.find(session, "digest", "21").state = IssueState.sending
    assert run("pause", "21").stdout == "Vol 2 No 21 is paused. It goes on with newsletter issue resume.\n"
    assert run("resume", "21").stdout == "Vol 2 No 21 is sending again.\n"


def test_an_issue_that_is_not_there_is_a_sentence(folder: Folder, run: Any) -> None:
    queue(folder, 2)
    run("assemble", "--force")
    with pytest.raises(IssueMistake, match=r'there is no issue "2\.99"\. There is 2\.21 \(assembled\)'):
        run("show", "2.99")


def test_everything_about_an_issue_is_there_for_machines(folder: Folder, run: Any) -> None:
    queue(folder, 2)
    row = json.loads(run("show", "--json").stdout)
    assert row["state"] == "open"
    assert (row["ready"], row["expected"], row["label"]) == (2, "Vol 2 No 21", None)
    assert row["sends"] == "2023-11-14T14:00:00Z"
    run("assemble", "--force")
    [row] = json.loads(run("list", "--json").stdout)
    assert [story["headline"] for story in row["stories"]] == ["Story 1", "Story 2"]


@pytest.mark.parametrize(
    "verb",
    [
        "list",
        "show",
        "assemble",
        "edit",
        "approve",
        "hold",
        "resume",
        "pause",
        "cancel",
        "reopen",
    ],
)
def test_every_verb_has_help(verb: str) -> None:
    assert verb in CliRunner().invoke(newsletter, ["issue", "--help"]).stdout
    result = CliRunner().invoke(newsletter, ["issue", verb, "--help"])
    assert result.exit_code == 0
    assert "--at TIME" in result.stdout
