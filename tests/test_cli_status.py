"""newsletter status: what a person reads, to the letter, and what machines get."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import NOW
from ledger import DAY, HOUR, MINUTE, SECOND, deliver, going, past, people, queue
from rich.console import Console
from sqlalchemy import update
from sqlalchemy.orm import Session

from newsletter import issues, standing, waits
from newsletter.cli import newsletter
from newsletter.cli.status import show
from newsletter.cli.to_do import to_do
from newsletter.folder import Folder
from newsletter.models import Draft, Issue, Notice, RelayHealth
from newsletter.states import DeliveryState, DraftState, SubscriptionState

DEADLINE = NOW + 2 * HOUR + 14 * MINUTE
SENDS = DEADLINE + 16 * HOUR
BRIEF = """
[publications.brief]
title = "The Brief"
publisher = "Example Society"
postal_address = "Washington"
sender = "brief@example.org"
lists = ["alliance-digest"]
approval = "manual"
numbering = { scheme = "by-hand" }
cadence = { anchor = 2023-12-01, every = "1 month", zone = "Asia/Ho_Chi_Minh" }
"""


def seen(folder: Folder, at: Any = NOW, *, width: int = 100, several: bool = False, **how: Any) -> str:
    """What status prints of the first publication, without the white space at the ends of lines."""
    out = Console(file=io.StringIO(), width=width, color_system=None, highlight=False, emoji=False, markup=False, **how)
    with folder.reading() as session:
        found = standing.of(session, folder.config, "digest", at)
        show(out, found, waits.relays(session, ["outbox"]), several=several)
    assert isinstance(out.file, io.StringIO)
    return "\n".join(line.rstrip() for line in out.file.getvalue().splitlines()) + "\n"


def run(folder: Folder, *words: str) -> Result:
    at = [] if "--at" in words else ["--at", "2023-11-13T14:46-05:00"]
    result = CliRunner().invoke(newsletter, ["-C", str(folder.path), "status", *at, *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def commands(folder: Folder, at: Any = NOW) -> list[str]:
    with folder.reading() as session:
        found = standing.of(session, folder.config, "digest", at)
        return [command for each in to_do(found) for command in each.commands]


def busy(session: Session) -> None:
    """The day before Vol 2 No 21 goes, as in the picture that this looks like."""
    people(session, [f"r{n}@example.org" for n in range(20)])
    people(session, ["a@example.net"], state=SubscriptionState.pending, since=NOW - 4 * DAY)
    people(session, ["b@example.net"], state=SubscriptionState.pending, since=NOW - HOUR)
    past(session, 19, NOW - 27 * DAY - 6 * HOUR, 10 * MINUTE + 41 * SECOND, sent=12, failed=3)
    past(session, 20, NOW - 13 * DAY - 6 * HOUR, sent=1210, failed=3, uncertain=2, skipped=1)
    queue(session, 3)
    queue(session, 1, at=NOW - 20 * DAY)
    queue(session, 1, state=DraftState.writing)


BUSY = """\
US-Japan Alliance Digest                                  Monday, November 13, 2023, 14:46, New York

Next issue         When                      In
────────────────────────────────────────────────────────────────────────────────────────────────────
Vol 2 No 21        ○ open                           4 ready, one of them carried over; 1 in writing
copy deadline      today 17:00       2 h 14 min     ready drafts are frozen, the number is given
approve by         tomorrow 08:00   17 h 14 min     else it is held
sends              tomorrow 09:00   18 h 14 min     20 due of 22 candidates

Waits                    Since          Why                                    Next look
────────────────────────────────────────────────────────────────────────────────────────────────────
? 2 deliveries of 2.20   Oct 31 09:49   the relay closed the connection        when you resolve them
◷ 2 subscriptions        Nov 9 to 13    not yet confirmed                      when they confirm

Last issues        Sent on                  Due    Sent   Failed   Uncertain   Skipped          Took
────────────────────────────────────────────────────────────────────────────────────────────────────
Vol 2 No 20        Oct 31                 1,216   1,210        3           2         1   10 min 58 s
Vol 2 No 19        Oct 17                    15      12        3           0         0   10 min 41 s

? resolve with newsletter delivery resolve 2.20
"""

EMPTY = """\
US-Japan Alliance Digest                                  Monday, November 13, 2023, 14:46, New York

Next issue         When                      In
────────────────────────────────────────────────────────────────────────────────────────────────────
Vol 2 No 21        ○ open                           no drafts yet; it needs 2
copy deadline      today 17:00       2 h 14 min     ready drafts are frozen, the number is given
approve by         tomorrow 08:00   17 h 14 min     else it is held
sends              tomorrow 09:00   18 h 14 min     there is no list "alliance-digest"

✓ Nothing waits.

No issue has gone out yet; the last three will be listed here.

‖ There is no list "alliance-digest". Describe it in lists/, then: newsletter list apply
○ No drafts yet. Queue one: newsletter draft add story.md
"""

SENDING = """\
US-Japan Alliance Digest                                 Tuesday, November 14, 2023, 09:00, New York

Being sent                                       Done    Rate   Left   Deferred   Failed   Uncertain
────────────────────────────────────────────────────────────────────────────────────────────────────
◐ Vol 2 No 21                            603 of 1,000   100/s    3 s         14        2           1

Next issue         When                       In
────────────────────────────────────────────────────────────────────────────────────────────────────
Vol 2 No 22        ○ open                            no drafts yet; it needs 2
copy deadline      Nov 27 17:00      13 days 7 h     ready drafts are frozen, the number is given
approve by         Nov 28 08:00     13 days 22 h     else it is held
sends              Nov 28 09:00     13 days 23 h     1,000 due of 1,000 candidates

Waits                     Since         Why                                    Next look
────────────────────────────────────────────────────────────────────────────────────────────────────
◷ 14 deliveries of 2.21   today 09:00   421 4.7.28 slow down                   today 09:10
? 1 delivery of 2.21      today 09:00   the relay closed the connection        when you resolve it
○ 1 mail to the editors   today 09:00   550 5.7.1 denied                       by newsletter run
◷ relay outbox            today 09:00   no route to host                       today 09:01

No issue has gone out yet; the last three will be listed here.

○ No drafts yet. Queue one: newsletter draft add story.md
? resolve with newsletter delivery resolve 2.21
"""

LATE = """\
US-Japan Alliance Digest                                 Tuesday, November 14, 2023, 09:40, New York

✗ Vol 2 No 21 should have gone today 09:00, 40 min ago. It is approved, and nothing sends it:
  newsletter run or newsletter issue send 2.21

Next issue         When                           In
────────────────────────────────────────────────────────────────────────────────────────────────────
Vol 2 No 21        ✓ approved                            3 stories, frozen
copy deadline      yesterday 17:00   16 h 40 min ago     assembled, the number is given
approve by         today 08:00        1 h 40 min ago     approved by Ann
sends              today 09:00            40 min ago     1 due of 1 candidate

"""


def test_the_day_before_an_issue_at_a_hundred_columns(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        busy(session)
    assert seen(lite_folder) == BUSY


def test_a_new_folder_says_what_would_be_here_and_what_to_do(lite_folder: Folder) -> None:
    assert seen(lite_folder) == EMPTY


def test_an_issue_that_is_being_sent_with_all_that_waits(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        issue = going(session, SENDS, sender=SENDS + 5 * MINUTE)
        ids = people(session, [f"r{n}@example.org" for n in range(1000)])
        deliver(session, issue, ids[:600], DeliveryState.sent, SENDS + 2 * SECOND)
        deliver(
            session, issue, ids[600:614], DeliveryState.deferred, SENDS, "421 4.7.28 slow down", SENDS + 10 * MINUTE
        )
        deliver(session, issue, ids[614:616], DeliveryState.failed, SENDS)
        deliver(session, issue, ids[616:617], DeliveryState.uncertain, SENDS)
        deliver(session, issue, ids[617:], DeliveryState.queued, SENDS)
        session.add(Notice(publication="digest", about="x", subject="s", body="b", since=SENDS, why="550 5.7.1 denied"))
        session.add(
            RelayHealth(relay="outbox", why="no route to host", since=SENDS, failures=2, next_look=SENDS + MINUTE)
        )
    assert seen(lite_folder, SENDS + 8 * SECOND) == SENDING


def test_a_late_issue_is_said_first_and_loudly(lite_folder: Folder) -> None:
    digest = lite_folder.config.publications["digest"]
    with lite_folder.session() as session:
        people(session, ["ann@example.org"])
        queue(session, 3)
        issues.advance(session, "digest", digest, DEADLINE)
        issues.approve(session, issues.find(session, "digest", "next"), "Ann", DEADLINE + HOUR)
    assert seen(lite_folder, SENDS + 40 * MINUTE).startswith(LATE)
    loud = seen(lite_folder, SENDS + 40 * MINUTE, force_terminal=True, no_color=False)
    assert "✗ Vol 2 No 21 should have gone" in loud


def test_a_held_issue_says_by_whom_and_what_lets_it_go(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        queue(session, 3)
        digest = lite_folder.config.publications["digest"]
        issues.hold(
            session, issues.open_next(session, "digest", digest, NOW), "a source is missing", "Ann", NOW - MINUTE
        )
    text = seen(lite_folder)
    waits = next(line for line in text.splitlines() if line.startswith("‖ issue"))
    assert waits.split("  ")[0] == "‖ issue 2.21"
    for words in ("today 14:45", "Ann: a source is missing", "when you resume it"):
        assert words in waits
    assert "‖ resume with newsletter issue resume 2023-11-14" in text


# ---- widths


@pytest.mark.parametrize("width", [60, 80, 89, 100, 140])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_no_line_is_wider_than_the_terminal_nor_than_is_easily_read(
    lite_folder: Folder, width: int, is_terminal: bool
) -> None:
    with lite_folder.session() as session:
        busy(session)
        issue = going(session, NOW - HOUR)
        long = "421 4.7.28 " + "our system has detected an unusual rate of mail " * 5
        deliver(session, issue, [1, 2], DeliveryState.deferred, NOW, long, NOW + HOUR)
    text = seen(lite_folder, width=width, force_terminal=is_terminal)
    assert max(len(line) for line in text.splitlines()) <= min(width, 120)
    last = text[text.index("Last issues") :].splitlines()
    assert "1,216" in last[2]
    assert not any("…" in line for line in last[:4])


def test_narrow_terminals_lose_the_last_columns_but_not_the_drafts_nor_the_audience(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        busy(session)
    text = seen(lite_folder, width=80)
    assert "4 ready, one of them carried over; 1 in writing. 20 due of 22 candidates." in text
    for left_out in ("Next look", "Took", "else it is held"):
        assert left_out in seen(lite_folder, width=100)
        assert left_out not in text


def test_a_bar_is_drawn_only_in_a_terminal(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        issue = going(session, NOW, sender=NOW + MINUTE)
        deliver(session, issue, [1], DeliveryState.sent, NOW)
        deliver(session, issue, [2], DeliveryState.queued, NOW)
    assert "━" not in seen(lite_folder)
    assert "━" in seen(lite_folder, force_terminal=True)


# ---- what to type


def digest_at(folder: Folder, session: Session, *moments: Any) -> Issue:
    digest = folder.config.publications["digest"]
    for moment in moments:
        issues.advance(session, "digest", digest, moment)
    return issues.find(session, "digest", "2023-11-14")


def test_an_assembled_issue_is_to_be_approved(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        people(session, ["ann@example.org"])
        queue(session, 3)
        digest_at(lite_folder, session, DEADLINE)
    assert "newsletter issue approve 2.21" in commands(lite_folder, DEADLINE + HOUR)
    assert "approve with newsletter issue approve 2.21 by tomorrow 08:00" in seen(lite_folder, DEADLINE + HOUR)


def test_an_issue_held_for_want_of_approval_is_approved_and_one_held_by_a_person_resumed(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        people(session, ["ann@example.org"])
        queue(session, 3)
        issue = digest_at(lite_folder, session, DEADLINE, SENDS - HOUR)
    assert commands(lite_folder, SENDS - MINUTE) == ["newsletter issue approve 2.21"]
    with lite_folder.session() as session:
        issues.hold(session, session.get_one(Issue, issue.id), "wrong picture", "Ann", SENDS - MINUTE)
    assert commands(lite_folder, SENDS - MINUTE) == ["newsletter issue resume 2.21"]


def test_an_issue_that_missed_its_time_is_assembled_or_cancelled(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        people(session, ["ann@example.org"])
        queue(session, 1)
        digest_at(lite_folder, session, DEADLINE, SENDS + DAY)
    assert commands(lite_folder, SENDS + DAY) == [
        "newsletter issue assemble --issue 2023-11-14",
        "newsletter issue cancel 2023-11-14 --why REASON",
    ]


def test_missing_stories_need_a_person_only_when_the_deadline_is_near(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        people(session, ["ann@example.org"])
        queue(session, 1)
        queue(session, 1, state=DraftState.writing)
    assert commands(lite_folder, DEADLINE - 3 * DAY) == []
    assert commands(lite_folder) == ["newsletter draft add story.md", "newsletter draft ready ID"]
    assert "Vol 2 No 21 needs 1 more story:" in seen(lite_folder)


def test_what_stands_still_needs_a_person_and_the_word_for_it(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        ids = people(session, ["ann@example.org"])
        queue(session, 3)
        issue = going(session, NOW - DAY, number=20)
        deliver(session, issue, ids, DeliveryState.queued, NOW - DAY)
    assert commands(lite_folder) == ["newsletter run", "newsletter work"]
    with lite_folder.session() as session:
        issues.pause(session, session.get_one(Issue, issue.id), "Ann", NOW)
    assert commands(lite_folder) == ["newsletter issue resume 2.20"]


def test_every_command_it_names_is_there_and_takes_what_it_is_given(lite_folder: Folder) -> None:
    import inspect
    import re

    from newsletter.cli import to_do as module

    named = set(re.findall(r'"(newsletter [a-z]+(?: [a-z]+)?)', inspect.getsource(module)))
    assert {"newsletter run", "newsletter issue resume", "newsletter draft add"} <= named
    named.discard("newsletter run is")
    for each in sorted(named):
        result = CliRunner().invoke(newsletter, [*each.split()[1:], "--help"])
        assert result.exit_code == 0, each


# ---- several publications, machines


def two(make_folder: Callable[..., Folder]) -> Folder:
    return make_folder(("[publications.digest.numbering]", f"{BRIEF}\n[publications.digest.numbering]"))


def test_several_publications_stand_one_under_the_other_and_commands_name_theirs(
    make_folder: Callable[..., Folder],
) -> None:
    folder = two(make_folder)
    with folder.session() as session:
        people(session, ["ann@example.org"])
        past(session, 20, NOW - 13 * DAY, sent=1, uncertain=1)
        session.add(RelayHealth(relay="outbox", why="no route to host", since=NOW, failures=2, next_look=NOW + MINUTE))
    text = run(folder).stdout
    assert text.index("Alliance Digest") < text.index("The Brief") < text.index("All wait for")
    assert text.count("relay outbox") == 1
    assert "Tuesday, November 14, 2023, 02:46, Ho Chi Minh" in text
    assert "newsletter delivery resolve 2.20 -p digest" in text
    assert "newsletter issue edit 2023-12-01 --volume V --number N -p brief" in text
    assert "The Brief" not in run(folder, "-p", "digest").stdout


def test_json_gives_everything_as_facts(make_folder: Callable[..., Folder]) -> None:
    folder = two(make_folder)
    with folder.session() as session:
        busy(session)
        session.execute(update(Draft).values(state=DraftState.writing))
        session.add(RelayHealth(relay="outbox", why="no route to host", since=NOW, failures=2, next_look=NOW + MINUTE))
    found = json.loads(run(folder, "--json").stdout)
    assert found["now"] == "2023-11-13T14:46:00-05:00"
    assert [each["standing"]["publication"] for each in found["publications"]] == ["digest", "brief"]
    digest = found["publications"][0]["standing"]
    assert (digest["next"]["number"], digest["next"]["queue"]["writing"]) == ("2.21", 5)
    assert digest["next"]["audience"] == {"candidates": 22, "due": 20, "excluded": {"pending": 2}}
    assert [(each["kind"], each["count"], each["next_look"]) for each in digest["waits"]] == [
        ("uncertain", 2, None),
        ("subscription", 2, None),
    ]
    assert (digest["last"][0]["label"], digest["last"][0]["took"]) == ("2.20", 658.0)
    assert found["publications"][0]["to_do"][0]["commands"][0] == "newsletter draft add story.md -p digest"
    assert [each["label"] for each in found["relays"]] == ["outbox"]


def test_at_another_time_it_says_how_things_will_stand_if_nothing_is_done(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        queue(session, 3)
    text = run(lite_folder, "--at", "2023-11-13T17:30-05:00").stdout
    assert (
        "Vol 2 No 21 should have been assembled today 17:00, 30 min ago. newsletter run is not up: newsletter run"
        in text
    )
