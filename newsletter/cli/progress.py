"""A bar for what may take over a second; nothing where nobody looks at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Call what this gives with how many more are done. On standard error, if that is a terminal; gone afterwards.

    Count, rate and time left are shown too. With None for `total` it only says that something is going on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Figures(ProgressColumn):
        """How many are done, of how many, and how many a second."""

        def render(self, task: Task) -> Text:
            rate = f"   {task.speed:,.0f}/s" if task.speed else ""
            return Text(f"{task.completed:,.0f} of {task.total or 0:,.0f}{rate}  ")

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(style="bright_black", complete_style="blue", finished_style="green", pulse_style="blue"),
        *([] if total is None else [Figures(), TimeRemainingColumn(compact=True)]),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as shown:
        task = shown.add_task(what, total=total)
        yield lambda count: shown.advance(task, count)
