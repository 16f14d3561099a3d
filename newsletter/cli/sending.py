"""Sending, as a person sees it: a line with a bar while it goes on, and tables of who said what."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from newsletter.cli.common import SHAPES, length, plural, table
from newsletter.figures import Pace

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.figures import Domain
    from newsletter.models import Issue
    from newsletter.sender import Progress

NARROW = 90
"""Columns under which the last column of a table is left out."""
ENDED = ("sent", "failed", "uncertain", "skipped")
AGAIN = 0.1
"""Seconds between two drawings."""
SHORTEST, LONGEST = 8, 40
"""Columns of the bar; where there are fewer it has a line of its own."""
GAP, SLIMMEST, SAID = 3, 16, 22
"""Columns between two columns of a table, and the least that a domain and what it said get."""
TROUBLE = ("deferred", "failed", "uncertain")


def coloured(count: int, word: str) -> Text:
    """A figure in the colour of its state; none where it is zero."""
    return Text(f"{count:,}", SHAPES[word][1] if count else "")


def rate_of(rate: float | None) -> str:
    """A rate: "5,310/s", "0.4/s"; "—" while there are too few samples."""
    if rate is None:
        return "—"
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def left_of(seconds: float | None) -> str:
    """A length of time to come: "1 s", "2 min 5 s"; "—" while it can't be told."""
    return "—" if seconds is None else length(dt.timedelta(seconds=max(1.0, seconds)))


def bar(due: int, done: int, *, width: int | None = None, colour: str = "blue") -> ProgressBar:
    """How much is done, as a line."""
    return ProgressBar(
        total=max(due, 1),
        completed=done,
        width=width,
        style="bright_black",
        complete_style=colour,
        finished_style="green",
    )


def pace_of(rate: float | None, left: float | None) -> Text:
    """How fast, and how much longer: "20/s   2 min 44 s left"."""
    return Text("—/s" if rate is None else rate_of(rate)).append(f"   {left_of(left)} left", "bright_black")


def line(state: str, name: Text, due: int, done: int, tail: Text, width: int) -> RenderableType:
    """What is being sent, on one line: shape, name, bar, how many of how many, and `tail`. It never wraps.

    Where there is no room for the bar it stands below.
    """
    shape, colour = SHAPES[state]
    called = Text.assemble((shape, colour), "   ", name, "   ")
    figures = Text(f"{done:,} of {due:,}   ").append_text(tail)
    # The widest figures that may come: the bar doesn't grow and shrink with them, and nothing wraps.
    widest = max(tail.cell_len, len("99,999/s   59 min 59 s left"))
    size = width - called.cell_len - 3 - 2 * len(f"{due:,}") - len(" of    ") - widest
    made = Table.grid(padding=0)
    if size >= SHORTEST:
        made.add_row(called, bar(due, done, width=min(size, LONGEST)), "   ", figures)
        return made
    front = next(
        each
        for each in (called, Text.assemble((shape, colour), " ", name, "   "), Text.assemble((shape, colour), " "))
        if each.cell_len + figures.cell_len <= width or each.cell_len == 2
    )
    front.append_text(figures).truncate(width, overflow="ellipsis")
    return Group(front, Padding(bar(due, done, width=max(SHORTEST, width - 8)), (0, 4, 0, 4)))


def troubles(counts: dict[str, int], width: int) -> Text:
    """What didn't go as it should: shape, count, word of each, as many as there is room for; empty where all did."""
    made = Text()
    for word in (*TROUBLE, "skipped"):
        if counts.get(word):
            gap, (shape, colour) = "   " if made else "", SHAPES[word]
            said = Text.assemble(gap, (f"{shape} {counts[word]:,} {word}", colour))
            if made.cell_len + said.cell_len > width:
                break
            made.append_text(said)
    return made


# ---- a sender of our own, while it goes on


@dataclass(slots=True)
class _Shown:
    """What the sender said last, and when it had done how much."""

    due: int
    done_before: int
    clock: Callable[[], float]
    began: float
    pace: Pace
    counts: dict[str, int]
    trouble: str = ""
    over: bool = False

    @property
    def done(self) -> int:
        return self.done_before + sum(self.counts.get(word, 0) for word in ENDED)

    def hear(self, progress: Progress) -> None:
        self.counts, self.trouble = dict(progress.counts), progress.trouble
        self.pace.hear(self.clock(), self.done)

    @property
    def state(self) -> str:
        """The word whose shape stands in front: what is left when it is over comes back by itself, or doesn't."""
        if self.done >= self.due:
            return "sent"
        if not self.over:
            return "sending"
        return "deferred" if self.done + self.counts.get("deferred", 0) >= self.due else "paused"

    @property
    def took(self) -> dt.timedelta:
        return dt.timedelta(seconds=self.clock() - self.began)

    def drawn(self, width: int) -> RenderableType:
        """The bar and its figures on a line, what needs a person under it."""
        untried = self.due - self.done - self.counts.get("deferred", 0)
        tail = pace_of(self.pace.rate, self.pace.left(untried))
        if self.over:
            tail = Text(f"in {length(self.took)}", "bright_black")
        made = line(self.state, Text("deliveries"), self.due, self.done, tail, width)
        below = [
            each
            for each in (troubles(self.counts, width - 4), Text(self.trouble and f"◷ {self.trouble}", "yellow"))
            if each
        ]
        return Group(made, *(Padding(each, (0, 0, 0, 4)) for each in below))

    def ended(self) -> str:
        """The same in a sentence, for where there is no terminal."""
        parts = [f"{self.counts[word]:,} {word}" for word in ("sent", *TROUBLE, "skipped") if self.counts.get(word)]
        return f"deliveries: {self.done:,} of {self.due:,} in {length(self.took)}" + (
            f": {', '.join(parts)}" if parts else ""
        )


@contextmanager
def live(
    console: Console, due: int, *, done: int = 0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Progress], None]]:
    """Shows a sender at work: call what this gives with its Progress as often as you like.

    `due` is how many deliveries there are, `done` how many of them had ended before. In a terminal that is a bar
    with count, rate and time left, and what is deferred, failed or uncertain; elsewhere a line at the start and
    one at the end. It draws where it is called, at most ten times a second: no thread is started.
    """
    shown = _Shown(due, done, clock, clock(), Pace(), {})
    shown.pace.hear(shown.began, done)
    if not console.is_terminal:
        console.print(f"deliveries: {plural(due, 'message')} due" + (f", {done:,} of them done before" if done else ""))
        try:
            yield shown.hear
        finally:
            console.print(shown.ended())
            if shown.trouble:
                console.print(shown.trouble)
        return
    drawn = shown.began
    with Live(shown.drawn(console.width), console=console, auto_refresh=False) as view:

        def show(progress: Progress) -> None:
            nonlocal drawn
            news = progress.trouble != shown.trouble
            shown.hear(progress)
            if news or clock() - drawn >= AGAIN:
                drawn = clock()
                view.update(shown.drawn(console.width), refresh=True)

        try:
            yield show
        finally:
            shown.over = True
            view.update(shown.drawn(console.width), refresh=True)


# ---- who said what


def domains_table(domains: Sequence[Domain], width: int, head: str = "Domain") -> Table:
    """What became of an issue by domain: the largest, and the others together.

    No figure is ever cut short: where there is little room the columns go that are needed least.
    """
    figures = {"due": [each.due for each in domains]}
    figures |= {word: [each.counts[word] for each in domains] for word in ("sent", *TROUBLE)}
    figures["queued"] = [each.counts["queued"] + each.counts["submitting"] for each in domains]
    figures["skipped"] = [each.counts["skipped"] for each in domains]
    always = ("due", "sent", "deferred", "failed")
    widths = {
        word: GAP + max(7 if word in ("due", "sent") else len(word), *(len(f"{count:,}") for count in column))
        for word, column in figures.items()
        if word in always or any(column)
    }
    said = width >= NARROW
    room = width - SLIMMEST - (GAP + SAID if said else 0)
    kept: set[str] = set()
    for word in ("sent", "deferred", "failed", "due", "uncertain", "queued", "skipped"):
        if word in widths and room >= widths[word]:
            kept.add(word)
            room -= widths[word]
    longest = max(SLIMMEST, *(len(each.name) for each in domains))
    size = {"width": min(longest, SLIMMEST + room // 2)} if said else {"ratio": 1}
    words = [word for word in figures if word in kept]
    made = table(
        (head, {"no_wrap": True, **size}),
        *((f"{word.capitalize()}>", {"width": widths[word] - GAP}) for word in words),
        *([("It said last", {"ratio": 1})] if said else []),
        expand=True,
    )
    for at, each in enumerate(domains):
        row: list[RenderableType] = [Text(each.name, overflow="ellipsis")]
        for word in words:
            count = figures[word][at]
            row.append(coloured(count, word) if word in TROUBLE else f"{count:,}")
        if said:
            row.append(Text(each.said, "bright_black", overflow="ellipsis", no_wrap=True))
        made.add_row(*row)
    return made


def summary(console: Console, session: Session, issue: Issue) -> None:
    """What became of an issue's deliveries, by domain: the five largest, and the others together."""
    from newsletter import figures

    found = figures.of(session, issue, issue.since)
    if not found.due:
        console.print("No deliveries: its audience is not frozen yet.")
        return
    console.print(domains_table(found.domains, console.width))
    console.print()
    console.print(Text("Sent: a relay took responsibility for it; no more is known.", "bright_black"))
