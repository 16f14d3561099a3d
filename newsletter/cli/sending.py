"""A sender at work, as a person sees it: a bar while it goes on, and a table by domain afterwards."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from newsletter.cli.common import SHAPES, length, plural, table
from newsletter.states import DeliveryState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from newsletter.models import Issue
    from newsletter.sender import Progress

NARROW = 90
"""Columns under which the last column of a table is left out."""
ENDED = ("sent", "failed", "uncertain", "skipped")
WINDOW = 10.0
"""Seconds that the rate is taken from."""
ENOUGH, LONG_ENOUGH = 20, 1.0
"""Messages, and seconds, before a rate is said."""
AGAIN = 0.1
"""Seconds between two drawings."""
SHORTEST, LONGEST = 8, 40
"""Columns of the bar; where there are fewer it is left out."""
LARGEST = 5
"""Domains that the table names."""
TROUBLE = ("deferred", "failed", "uncertain")


def coloured(count: int, word: str) -> Text:
    """A figure in the colour of its state; none where it is zero."""
    return Text(f"{count:,}", SHAPES[word][1] if count else "")


def rate_of(rate: float | None) -> str:
    """A rate: "5,310/s", "0.4/s"; "…" while there are too few samples."""
    if rate is None:
        return "…"
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def left_of(seconds: float | None) -> str:
    """A length of time to come: "1 s", "2 min 5 s"; "…" while it can't be told."""
    return "…" if seconds is None else length(dt.timedelta(seconds=max(1.0, seconds)))


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


# ---- while it goes on


@dataclass(slots=True)
class _Shown:
    """What the sender said last, and when it had done how much."""

    due: int
    done_before: int
    clock: Callable[[], float]
    began: float
    samples: deque[tuple[float, int]]
    counts: dict[str, int]
    trouble: str = ""
    over: bool = False

    @property
    def done(self) -> int:
        return self.done_before + sum(self.counts.get(word, 0) for word in ENDED)

    def hear(self, progress: Progress) -> None:
        self.counts, self.trouble = dict(progress.counts), progress.trouble
        moment = self.clock()
        self.samples.append((moment, self.done))
        while len(self.samples) > 2 and moment - self.samples[1][0] >= WINDOW:
            self.samples.popleft()

    @property
    def rate(self) -> float | None:
        (first, before), (last, after) = self.samples[0], self.samples[-1]
        if after - before < ENOUGH or last - first < LONG_ENOUGH:
            return None
        return (after - before) / (last - first)

    @property
    def left(self) -> float | None:
        rate = self.rate
        untried = max(0, self.due - self.done - self.counts.get("deferred", 0))
        return None if rate is None else untried / rate

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
        shape, colour = SHAPES[self.state]
        figures = Text(f"{self.done:,} of {self.due:,}")
        if self.over:
            figures.append(f"   in {length(self.took)}", "bright_black")
        else:
            figures.append(f"   {rate_of(self.rate)}").append(f"   {left_of(self.left)} left", "bright_black")
        name = Text.assemble((shape, colour), "   deliveries   ")
        # The widest figures that may come: the bar doesn't grow and shrink with them, and nothing wraps.
        size = width - name.cell_len - 3 - 2 * len(f"{self.due:,}") - len(" of    99,999/s   59 min 59 s left")
        line = Table.grid(padding=0)
        if size >= SHORTEST:
            line.add_row(name, bar(self.due, self.done, width=min(size, LONGEST)), "   ", figures)
        else:
            fits = name.cell_len + figures.cell_len <= width
            line.add_row(name if fits else Text(f"{shape} ", colour), figures)
        below = [each for each in (self._counted(), Text(self.trouble and f"◷ {self.trouble}", "yellow")) if each]
        return Group(line, *(Padding(each, (0, 0, 0, 4)) for each in below))

    def _counted(self) -> Text:
        return Text("   ").join(
            Text(f"{SHAPES[word][0]} {self.counts[word]:,} {word}", SHAPES[word][1])
            for word in (*TROUBLE, "skipped")
            if self.counts.get(word)
        )

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
    shown = _Shown(due, done, clock, clock(), deque([(clock(), done)]), {})
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


# ---- afterwards


@dataclass(frozen=True, slots=True)
class Domain:
    """What became of the deliveries to one domain, or to several together."""

    name: str
    counts: dict[str, int]
    """State of deliveries: count; the sum is how many were due."""
    said: str
    """What the relay said last of one it didn't take; of one it took, where it took all."""

    @property
    def due(self) -> int:
        return sum(self.counts.values())


def by_domain(session: Session, issue: int) -> list[Domain]:
    """An issue's deliveries by domain: the largest, and the others as one. Adds up in the database, and streams."""
    from sqlalchemy import case, func, select

    from newsletter.models import Delivery, Subscriber

    postgres = session.get_bind().dialect.name == "postgresql"
    at = (func.strpos if postgres else func.instr)(Subscriber.address_key, "@")
    # An erased subscriber has no address, and so no domain; the delivery is still counted.
    name = func.coalesce(func.substr(Subscriber.address_key, at + 1), "")
    counts = [func.sum(case((Delivery.state == state, 1), else_=0)).label(state.value) for state in DeliveryState]
    said = func.max(_ranked(postgres))
    rows = session.execute(
        select(name.label("name"), *counts, said.label("said"))
        .select_from(Delivery)
        .join(Subscriber, Subscriber.id == Delivery.subscriber_id)
        .where(Delivery.issue_id == issue)
        .group_by(name)
        .order_by(func.count().desc(), name)
        .execution_options(yield_per=1000)
    )
    largest: list[Domain] = []
    others, how_many, last = dict.fromkeys((state.value for state in DeliveryState), 0), 0, ""
    for row in rows:
        found = {state.value: int(getattr(row, state.value)) for state in DeliveryState}
        if len(largest) < LARGEST:
            largest.append(Domain(row.name or "erased", found, (row.said or "")[_RANK:]))
            continue
        how_many += 1
        last = max(last, row.said or "")
        for word, count in found.items():
            others[word] += count
    if how_many == 1:
        return [*largest, Domain(row.name or "erased", others, last[_RANK:])]
    return [*largest, Domain(f"{how_many:,} others", others, last[_RANK:])] if how_many else largest


_RANK = 27
"""Characters in front of a reply: whether it tells of trouble, and when it came, as text that sorts."""


def _ranked(postgres: bool) -> ColumnElement[Any]:
    """A reply with what it sorts by in front of it: one MAX finds what was said last, trouble before all else."""
    from sqlalchemy import String, case, cast, func

    from newsletter.models import Delivery

    stamp: ColumnElement[Any] = (
        func.to_char(func.timezone("UTC", Delivery.since), "YYYY-MM-DD HH24:MI:SS.US")
        if postgres
        else cast(Delivery.since, String)
    )
    troubled = case((Delivery.state.in_([DeliveryState(word) for word in TROUBLE]), "1"), else_="0")
    answered = Delivery.state.in_([DeliveryState.sent, *(DeliveryState(word) for word in TROUBLE)])
    return case((answered, troubled.concat(stamp).concat(func.coalesce(Delivery.reply, ""))))


def summary(console: Console, session: Session, issue: Issue) -> None:
    """What became of an issue's deliveries, by domain: the five largest, and the others together."""
    domains = by_domain(session, issue.id)
    if not domains:
        console.print("No deliveries: its audience is not frozen yet.")
        return
    told = ["sent", "deferred", "failed"]
    told += [word for word in ("uncertain", "skipped") if any(each.counts[word] for each in domains)]
    waiting = [each.counts["queued"] + each.counts["submitting"] for each in domains]
    said = console.width >= NARROW
    made = table(
        ("Domain", {"min_width": 16, "no_wrap": True, **({} if said else {"ratio": 1})}),
        ("Due>", {"min_width": 7}),
        ("Sent>", {"min_width": 7}),
        *(f"{word.capitalize()}>" for word in told[1:]),
        *(["Queued>"] if any(waiting) else []),
        *([("It said last", {"ratio": 1})] if said else []),
        expand=True,
    )
    for each, queued in zip(domains, waiting, strict=True):
        row: list[RenderableType] = [Text(each.name, overflow="ellipsis"), f"{each.due:,}"]
        row += [coloured(each.counts[word], word) if word != "sent" else f"{each.counts[word]:,}" for word in told]
        row += [f"{queued:,}"] if any(waiting) else []
        if said:
            row.append(Text(each.said, "bright_black", overflow="ellipsis", no_wrap=True))
        made.add_row(*row)
    console.print(made)
    console.print()
    console.print(Text("Sent: a relay took responsibility for it; no more is known.", "bright_black"))
