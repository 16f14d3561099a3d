"""newsletter status --watch: what stands in a terminal of any width, what a log gets, what machines get."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import CONFIG, NOW
from ledger import HOUR, MINUTE, SECOND, deliver, going, people
from rich.console import Console
from rich.text import Text
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from newsletter.cli import newsletter
from newsletter.cli.watch import Look, Looker, screen, watch
from newsletter.folder import Folder
from newsletter.models import Batch, Delivery, Issue, RelayHealth
from newsletter.states import DeliveryState, IssueState

LONG = "421 4.7.28 slow down: " + "our system has detected an unusual rate of mail " * 3


def console(width: int = 100, height: int = 50, *, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
        _environ={"TERM": "xterm-256color"},
    )


def text(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return Text.from_ansi(out.file.getvalue()).plain


def begin(folder: Folder, *, sender: bool = True) -> None:
    """Vol 2 No 21 on its way to a hundred readers, with everything in it that may be."""
    with folder.session() as session:
        issue = going(session, NOW - HOUR, sender=NOW + HOUR if sender else None)
        big = people(session, [f"r{n}@bigmail.example" for n in range(60)])
        rest = people(
            session, [f"r{n}@a-domain-with-a-long-name-{n % 9}.in-some-prefecture.example" for n in range(40)]
        )
        deliver(session, issue, big[:30], DeliveryState.sent, NOW)
        deliver(session, issue, big[30:34], DeliveryState.deferred, NOW, LONG, NOW + 9 * MINUTE)
        deliver(session, issue, big[34:36], DeliveryState.deferred, NOW, "450 4.2.1 greylisted", NOW - SECOND)
        deliver(session, issue, big[36:37], DeliveryState.uncertain, NOW)
        deliver(session, issue, big[37:39], DeliveryState.failed, NOW)
        deliver(session, issue, big[39:], DeliveryState.queued, NOW)
        deliver(session, issue, rest[:1], DeliveryState.skipped, NOW, "unsubscribed")
        deliver(session, issue, rest[1:], DeliveryState.queued, NOW)
        session.add(
            RelayHealth(relay="outbox", why="no route to host", since=NOW - MINUTE, failures=2, next_look=NOW + MINUTE)
        )


def look(folder: Folder, seconds: Callable[[], float] = lambda: 0.0) -> Looker:
    return Looker(folder, folder.config.publications, lambda: NOW, seconds)


def sends(folder: Folder, count: int) -> None:
    """A sender hands over so many more; the issue is sent when none is left."""
    with folder.session() as session:
        queued = session.query(Delivery).filter_by(state=DeliveryState.queued).limit(count).all()
        for row in queued:
            row.state = DeliveryState.sent
        session.flush()
        if not session.query(Delivery).filter_by(state=DeliveryState.queued).count():
            session.execute(update(Issue).values(state=IssueState.sent, finished=NOW))
            session.execute(update(Batch).values(owner=None, due=None))


SCREEN = """\
US-Japan Alliance Digest                                                          14:46:00, New York

◐   Vol 2 No 21   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   34 of 100   —/s   — left
    ◷ 6 deferred   ✗ 2 failed   ? 1 uncertain   – 1 skipped
    1 sender: here

Waits              Why                                                                      Next try
────────────────────────────────────────────────────────────────────────────────────────────────────
◷ 4 deferred       421 4.7.28 slow down: our system has detected an unusual rate of mail…   14:55
◷ 2 deferred       450 4.2.1 greylisted                                                     now
◷ relay outbox     no route to host, since today 14:45                                      14:47

Domain                    Due      Sent   Deferred   Failed   Uncertain   It said last
────────────────────────────────────────────────────────────────────────────────────────────────────
bigmail.example            60        30          6        2           1   the relay closed the conn…
a-domain-with-a-lo…         5         0          0        0           0
a-domain-with-a-lo…         5         0          0        0           0
a-domain-with-a-lo…         5         0          0        0           0
a-domain-with-a-lo…         5         0          0        0           0
5 others                   20         0          0        0           0

Ctrl-C ends this view. The sending goes on.
"""


def test_the_screen_at_a_hundred_columns(lite_folder: Folder) -> None:
    begin(lite_folder)
    out = console()
    out.print(screen(look(lite_folder)(), lite_folder.config.publications, out))
    drawn = "\n".join(line.rstrip() for line in text(out).splitlines()) + "\n"
    assert drawn.replace("╸", "━").replace("╺", "━") == SCREEN


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("trouble", ["", "the database can't be used: connection to server failed"])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut_short(
    lite_folder: Folder, width: int, trouble: str
) -> None:
    begin(lite_folder)
    found = look(lite_folder)()
    out = console(width)
    out.print(screen(Look(found.now, found.going, found.relays, trouble), lite_folder.config.publications, out))
    lines = text(out).splitlines()
    assert max(len(line) for line in lines) <= width
    assert any("34 of 100" in line for line in lines)
    assert any("━" in line for line in lines)
    (head,) = [line for line in lines if line.startswith("Domain")]
    assert {"Sent", "Deferred", "Failed"} <= set(head.split())
    assert "…" not in head
    assert ("It said last" in head) is (width >= 100)


def test_a_low_terminal_loses_the_tables_and_never_how_far_it_is(lite_folder: Folder) -> None:
    begin(lite_folder)
    out = console(height=8)
    out.print(screen(look(lite_folder)(), lite_folder.config.publications, out))
    drawn = text(out)
    assert "34 of 100" in drawn
    assert "Domain" not in drawn
    assert len(drawn.splitlines()) < 8


def test_the_watch_ends_by_itself_when_everything_has_been_sent(folder: Folder) -> None:
    begin(folder)
    with folder.session() as session:
        session.execute(
            update(Delivery).where(Delivery.state == DeliveryState.deferred).values(state=DeliveryState.queued)
        )
    moment = [0.0]

    def wait(seconds: float) -> None:
        assert seconds == 1.0
        moment[0] += seconds
        sends(folder, 25)

    out = console()
    watch(look(folder, lambda: moment[0]), folder.config.publications, out, wait=wait)
    drawn = text(out)
    assert "25/s   1 s left" in drawn
    last = drawn[drawn.rindex("Vol 2 No 21") :]
    assert "100 of 100   sent" in last
    assert last.rstrip().endswith("Sent: a relay took responsibility for it; no more is known.")
    assert moment[0] == 3.0


def test_without_a_terminal_it_is_a_line_every_ten_seconds(
    lite_folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(lite_folder)
    moment = [0.0]

    def wait(seconds: float) -> None:
        assert seconds == 10.0
        moment[0] += seconds
        sends(lite_folder, 50)

    watch(look(lite_folder, lambda: moment[0]), lite_folder.config.publications, console(terminal=False), wait=wait)
    said = capsys.readouterr().out.splitlines()
    trouble = "6 deferred, 2 failed, 1 uncertain, 1 skipped"
    assert [line for line in said if "relay" not in line] == [
        f"2023-11-13 14:46:00  Vol 2 No 21: 34 of 100, —/s, — left, {trouble}, 1 sender: here",
        f"2023-11-13 14:46:00  Vol 2 No 21: 84 of 100, 5.0/s, 2 s left, {trouble}, 1 sender: here",
        f"2023-11-13 14:46:00  Vol 2 No 21: 94 of 100, sent, {trouble}",
    ]
    assert "2023-11-13 14:46:00  relay outbox: no route to host, tried again 14:47" in said


def test_for_machines_it_is_one_object_a_line(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    begin(folder)
    watch(
        look(folder), folder.config.publications, console(), as_json=True, every=3.0, wait=lambda _: sends(folder, 100)
    )
    first, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    (issue,) = first["going"]
    assert (issue["publication"], issue["label"], issue["state"]) == ("digest", "2.21", "sending")
    assert issue["counts"] == {"queued": 60, "sent": 30, "deferred": 6, "failed": 2, "uncertain": 1, "skipped": 1}
    assert (
        issue["due"] == sum(issue["counts"].values()) == sum(sum(each["counts"].values()) for each in issue["domains"])
    )
    assert (issue["rate"], issue["left"], issue["senders"]) == (None, None, {"here": 1})
    assert [(each["code"], each["count"]) for each in issue["deferred"]] == [("421 4.7.28", 4), ("450 4.2.1", 2)]
    assert [each["label"] for each in first["relays"]] == ["outbox"]
    assert last["going"][0]["state"] == "sent"


def test_nobody_at_work_is_said_with_what_to_type(lite_folder: Folder) -> None:
    begin(lite_folder, sender=False)
    out = console()
    out.print(screen(look(lite_folder)(), lite_folder.config.publications, out))
    assert "34 of 100   no sender is at work" in text(out)
    assert "start one: newsletter run or newsletter work" in text(out)


def test_a_database_that_is_away_leaves_the_old_figures_and_is_tried_again(lite_folder: Folder) -> None:
    begin(lite_folder)
    looker, turns = look(lite_folder), [0]

    def flaky() -> Look:
        turns[0] += 1
        if turns[0] == 2:
            raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))
        return looker()

    out = console()
    watch(flaky, lite_folder.config.publications, out, wait=lambda _: sends(lite_folder, 30))
    drawn = text(out)
    trouble = drawn.index("✗ The database can't be used: server closed the connection. The figures are old.")
    assert "34 of 100" in drawn[trouble:]
    assert drawn.rindex("94 of 100   sent") > drawn.rindex("The figures are old.")


def test_between_two_looks_nothing_is_held_so_that_sqlite_can_put_its_log_away(lite_folder: Folder) -> None:
    begin(lite_folder)
    told: list[Any] = []

    def wait(_: float) -> None:
        sends(lite_folder, 50)
        with lite_folder.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            told.append(connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())

    watch(look(lite_folder), lite_folder.config.publications, console(), wait=wait)
    assert [busy for busy, *_ in told] == [0, 0]


def test_nothing_being_sent_is_a_sentence_and_for_machines_an_empty_list(folder: Folder) -> None:
    place = ["-C", str(folder.path), "status", "--watch"]
    found = CliRunner().invoke(newsletter, place)
    assert (found.exit_code, found.output) == (0, "Nothing is being sent. What comes next: newsletter status\n")
    assert json.loads(CliRunner().invoke(newsletter, [*place, "--json"]).output)["going"] == []


def test_every_without_watch_is_a_mistake(lite_folder: Folder) -> None:
    found = CliRunner().invoke(newsletter, ["-C", str(lite_folder.path), "status", "--every", "5"])
    assert found.exit_code == 2
    assert "--every goes with --watch." in found.output


def test_ctrl_c_ends_the_view_without_a_word_and_with_130(lite_folder: Folder) -> None:
    begin(lite_folder)
    (lite_folder.path / "config.toml").write_text(CONFIG, encoding="utf-8")
    words = [sys.executable, "-m", "newsletter", "-C", str(lite_folder.path), "status", "--watch", "--every", "0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "34 of 100" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert (process.stderr.read(), process.wait(timeout=30)) == ("", 130)
