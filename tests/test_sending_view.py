"""A sender at work as a person sees it: in a terminal, without one, and by domain afterwards."""

from __future__ import annotations

import io
import threading
from collections import Counter

import pytest
from conftest import NOW
from ledger import HOUR, MINUTE, deliver, going, people
from rich.console import Console
from sqlalchemy.orm import Session

from newsletter import figures
from newsletter.cli.sending import left_of, live, rate_of, summary
from newsletter.models import Issue, Subscriber
from newsletter.sender import Progress
from newsletter.states import DeliveryState


@pytest.fixture
def session(scratch: Session) -> Session:
    return scratch


def plain(width: int = 100) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=None, highlight=False, emoji=False, markup=False)


def terminal(width: int = 100) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
        _environ={"TERM": "xterm-256color"},
    )


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines(console: Console) -> list[str]:
    return [line.rstrip() for line in text(console).splitlines()]


def last_drawing(
    console: Console, steps: list[tuple[float, dict[str, int], str]], due: int = 1000, done: int = 0
) -> str:
    """What stands there after a sender said these things at these seconds, the sender still at work."""
    moment = [0.0]
    progress = Progress()
    with live(console, due, done=done, clock=lambda: moment[0]) as show:
        for at, counts, trouble in steps:
            moment[0], progress.counts, progress.trouble = at, Counter(counts), trouble
            show(progress)
        from rich.text import Text

        drawn = Text.from_ansi(text(console)).plain
    return drawn[drawn.rindex("deliveries") :]


def test_without_a_terminal_there_is_a_line_at_the_start_and_one_at_the_end() -> None:
    out, moment = plain(), [0.0]
    with live(out, 4882, clock=lambda: moment[0]) as show:
        for count in range(0, 4880, 10):
            moment[0] += 0.01
            show(Progress(Counter(sent=count)))
        show(Progress(Counter(sent=4865, deferred=14, failed=2, uncertain=1), "relay outbox: no route to host"))
    assert lines(out) == [
        "deliveries: 4,882 messages due",
        "deliveries: 4,868 of 4,882 in 4 s: 4,865 sent, 14 deferred, 2 failed, 1 uncertain",
        "relay outbox: no route to host",
    ]
    assert "\x1b" not in text(out)


def test_what_had_ended_before_is_counted_as_done() -> None:
    out = plain()
    with live(out, 100, done=40, clock=lambda: 0.0) as show:
        show(Progress(Counter(sent=60)))
    assert lines(out) == [
        "deliveries: 100 messages due, 40 of them done before",
        "deliveries: 100 of 100 in 0 s: 60 sent",
    ]


def test_in_a_terminal_a_bar_with_count_rate_and_time_left() -> None:
    drawn = last_drawing(terminal(), [(1.0, {"sent": 100}, ""), (2.0, {"sent": 300}, "")])
    assert "━" in drawn
    assert "300 of 1,000   150/s   4 s left" in drawn


def test_the_rate_is_of_the_last_seconds_and_not_of_the_whole() -> None:
    slow = [(float(second), {"sent": 10 * second}, "") for second in range(1, 31)]
    fast = [(30.0 + second, {"sent": 300 + 50 * second}, "") for second in range(1, 13)]
    assert "50/s   2 s left" in last_drawing(terminal(), [*slow, *fast])


@pytest.mark.parametrize("step", [(0.5, {"sent": 400}, ""), (5.0, {"sent": 19}, "")])
def test_nothing_is_said_of_the_rate_until_there_are_enough_samples(step: tuple[float, dict[str, int], str]) -> None:
    assert "—/s   — left" in last_drawing(terminal(), [step])


def test_what_is_deferred_failed_or_uncertain_stands_below_in_its_colour() -> None:
    out = terminal()
    drawn = last_drawing(out, [(1.0, {"sent": 90, "deferred": 14, "failed": 3, "uncertain": 1}, "")])
    assert "94 of 1,000" in drawn
    assert "◷ 14 deferred   ✗ 3 failed   ? 1 uncertain" in drawn
    assert "\x1b[33m◷ 14 deferred" in text(out)
    assert "\x1b[31m✗ 3 failed" in text(out)
    assert "\x1b[35m? 1 uncertain" in text(out)


def test_a_relay_that_cannot_be_reached_is_said_at_once_in_words() -> None:
    steps = [(1.0, {"sent": 90}, ""), (1.001, {"sent": 91}, "relay outbox: no route to host")]
    assert "◷ relay outbox: no route to host" in last_drawing(terminal(), steps)


@pytest.mark.parametrize(
    ("counts", "shape"),
    [
        ({"sent": 1000}, "✓"),
        ({"sent": 986, "failed": 14}, "✓"),
        ({"sent": 986, "deferred": 14}, "◷"),
        ({"sent": 500}, "‖"),
    ],
)
def test_at_the_end_the_shape_says_what_is_left(counts: dict[str, int], shape: str) -> None:
    out = terminal()
    with live(out, 1000, clock=lambda: 3.0) as show:
        show(Progress(Counter(counts)))
    from rich.text import Text

    assert f"{shape}   deliveries" in Text.from_ansi(text(out)).plain.rpartition("in 0 s")[0].splitlines()[-1]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_bar_never_wraps(width: int) -> None:
    due = 1_000_000
    out = terminal(width)
    with live(out, due, clock=iter(range(100)).__next__) as show:
        show(Progress(Counter(sent=14_000)))
        from rich.text import Text

        drawn = Text.from_ansi(text(out)).plain.splitlines()
    figures, drawing = (drawn[-1], drawn[-1]) if width > 60 else drawn[-2:]
    assert figures.rstrip().endswith("14,000 of 1,000,000   14,000/s   1 min 10 s left")
    assert "━" in drawing
    assert max(len(line) for line in drawn) <= width


def test_no_thread_is_started_and_the_cursor_comes_back_even_after_a_fault() -> None:
    out, before = terminal(), threading.enumerate()
    seen: list[threading.Thread] = []

    def send() -> None:
        with live(out, 10) as show:
            show(Progress(Counter(sent=1)))
            seen.extend(threading.enumerate())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send()
    assert seen == before
    assert threading.enumerate() == before
    assert text(out).rindex("\x1b[?25h") > text(out).rindex("\x1b[?25l")


@pytest.mark.parametrize(("rate", "said"), [(None, "—"), (5310.4, "5,310/s"), (10.0, "10/s"), (0.42, "0.4/s")])
def test_rates(rate: float | None, said: str) -> None:
    assert rate_of(rate) == said


@pytest.mark.parametrize(("seconds", "said"), [(None, "—"), (0.2, "1 s"), (125.0, "2 min 5 s")])
def test_times_left(seconds: float | None, said: str) -> None:
    assert left_of(seconds) == said


# ---- by domain


def by_domain(session: Session, issue: Issue) -> tuple[figures.Domain, ...]:
    return figures.of(session, issue, NOW).domains


def addresses(domain: str, count: int) -> list[str]:
    return [f"r{n}@{domain}" for n in range(count)]


@pytest.fixture
def issue(session: Session) -> Issue:
    return going(session, NOW - HOUR)


def test_domains_add_up_the_largest_first_and_the_others_as_one(session: Session, issue: Issue) -> None:
    for n in range(9):
        deliver(session, issue, people(session, addresses(f"d{n}.example", 20 - n)), DeliveryState.sent, NOW)
    found = by_domain(session, issue)
    assert [each.name for each in found] == [*(f"d{n}.example" for n in range(5)), "4 others"]
    assert [each.due for each in found] == [20, 19, 18, 17, 16, 15 + 14 + 13 + 12]


def test_one_domain_more_than_the_largest_goes_by_its_name(session: Session, issue: Issue) -> None:
    for n in range(6):
        deliver(session, issue, people(session, addresses(f"d{n}.example", 20 - n)), DeliveryState.sent, NOW)
    assert [each.name for each in by_domain(session, issue)] == [f"d{n}.example" for n in range(6)]


def test_what_a_domain_said_of_trouble_comes_before_its_last_yes(session: Session, issue: Issue) -> None:
    first, second, third, fourth, left_out = people(session, addresses("d.example", 5))
    deliver(session, issue, [first], DeliveryState.failed, NOW - 2 * MINUTE, "550 5.1.1 no such user")
    deliver(session, issue, [second], DeliveryState.deferred, NOW - MINUTE, "421 4.7.28 slow down", NOW + HOUR)
    deliver(session, issue, [third], DeliveryState.sent, NOW, "250 2.0.0 OK")
    deliver(session, issue, [fourth], DeliveryState.queued, NOW)
    deliver(session, issue, [left_out], DeliveryState.skipped, NOW, "suppressed: bounce")
    [found] = by_domain(session, issue)
    assert found.said == "421 4.7.28 slow down"
    assert {word: count for word, count in found.counts.items() if count} == {
        "failed": 1,
        "deferred": 1,
        "sent": 1,
        "queued": 1,
        "skipped": 1,
    }


def test_a_domain_that_took_all_has_said_its_last_yes(session: Session, issue: Issue) -> None:
    first, second = people(session, addresses("d.example", 2))
    deliver(session, issue, [first], DeliveryState.sent, NOW, "250 2.0.0 later")
    deliver(session, issue, [second], DeliveryState.sent, NOW - MINUTE, "250 2.0.0 sooner")
    assert by_domain(session, issue)[0].said == "250 2.0.0 later"


def test_someone_erased_since_is_still_counted(session: Session, issue: Issue) -> None:
    [one] = people(session, ["gone@d.example"])
    deliver(session, issue, [one], DeliveryState.sent, NOW)
    person = session.get_one(Subscriber, one)
    person.address = person.address_key = None
    session.flush()
    assert [(each.name, each.due) for each in by_domain(session, issue)] == [("erased", 1)]


def test_other_issues_are_not_counted(session: Session, issue: Issue) -> None:
    [one] = people(session, ["ann@d.example"])
    deliver(session, going(session, NOW - 400 * HOUR, number=20), [one], DeliveryState.sent, NOW)
    assert by_domain(session, issue) == ()


def fill(session: Session, issue: Issue) -> None:
    big = people(session, addresses("bigmail.example", 16))
    deliver(session, issue, big[:13], DeliveryState.sent, NOW)
    deliver(session, issue, big[13:15], DeliveryState.deferred, NOW, "421 4.7.28 slow down", NOW + HOUR)
    deliver(session, issue, big[15:], DeliveryState.uncertain, NOW - MINUTE)
    post = people(session, addresses("post.example", 12))
    deliver(session, issue, post[:9], DeliveryState.sent, NOW)
    deliver(session, issue, post[9:], DeliveryState.failed, NOW)
    for n in range(6):
        deliver(session, issue, people(session, addresses(f"d{n}.example", 9 - n)), DeliveryState.sent, NOW)


SUMMARY = """\
Domain                 Due      Sent   Deferred   Failed   Uncertain   It said last
────────────────────────────────────────────────────────────────────────────────────────────────────
bigmail.example         16        13          2        0           1   421 4.7.28 slow down
post.example            12         9          0        3           0   550 5.1.1 no such user
d0.example               9         9          0        0           0   250 2.0.0 OK
d1.example               8         8          0        0           0   250 2.0.0 OK
d2.example               7         7          0        0           0   250 2.0.0 OK
3 others                15        15          0        0           0   250 2.0.0 OK

Sent: a relay took responsibility for it; no more is known."""


def test_the_summary_at_a_hundred_columns(session: Session, issue: Issue) -> None:
    fill(session, issue)
    out = plain()
    summary(out, session, issue)
    assert "\n".join(lines(out)) == SUMMARY


def test_the_summary_leaves_out_its_last_column_where_it_is_narrow(session: Session, issue: Issue) -> None:
    fill(session, issue)
    out = plain(80)
    summary(out, session, issue)
    assert "It said last" not in text(out)
    assert max(len(line) for line in text(out).splitlines()) <= 80
    assert len(lines(out)) == len(SUMMARY.splitlines())


def test_what_is_still_queued_is_a_column_of_its_own_so_that_the_figures_add_up(session: Session, issue: Issue) -> None:
    one, two = people(session, addresses("d.example", 2))
    deliver(session, issue, [one], DeliveryState.sent, NOW)
    deliver(session, issue, [two], DeliveryState.queued, NOW)
    out = plain()
    summary(out, session, issue)
    assert lines(out)[0].split() == ["Domain", "Due", "Sent", "Deferred", "Failed", "Queued", "It", "said", "last"]
    assert lines(out)[2].split()[:6] == ["d.example", "2", "1", "0", "0", "1"]


def test_an_issue_without_deliveries_says_so(session: Session, issue: Issue) -> None:
    out = plain()
    summary(out, session, issue)
    assert text(out) == "No deliveries: its audience is not frozen yet.\n"
