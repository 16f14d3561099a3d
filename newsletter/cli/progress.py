"""A bar for what may take over a second; nothing where nobody looks at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Call what this gives with how many more are done. On standard error, if that is a terminal; gone afterwards.

    With None for `total` it only says that something is going on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    figures = [] if total is None else [MofNCompleteColumn(" of "), TimeRemainingColumn(compact=True)]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *figures,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as shown:
        task = shown.add_task(what, total=total)
        yield lambda count: shown.advance(task, count)
