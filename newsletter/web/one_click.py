"""Unsubscribing by one click, many at a time: requests that wait together are on disk together.

A commit waits for the disk; while one request does, others come. Whoever comes next takes all that wait, and writes
them in one transaction. Nobody is answered before the commit that holds their own request.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

from newsletter import departures
from newsletter.departures import Leaving
from newsletter.folder import Folder
from newsletter.states import LeftBy

MOST = 500
"""Requests in one transaction: senders must not wait long for the database."""


class _Waiting:
    """One request, and what became of it."""

    def __init__(self, leaving: Leaving) -> None:
        self.leaving = leaving
        self.done = False
        self.failed: BaseException | None = None


class OneClick:
    """Lets readers leave; safe to be called by many threads at once."""

    def __init__(self, folder: Folder, clock: Callable[[], dt.datetime]) -> None:
        self._folder = folder
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._queue = threading.Lock()
        self._writing = threading.Lock()

    def leave(self, issue: int, subscriber: int) -> None:
        """Returns when it is on disk. Raises what the database said where it could not be stored."""
        mine = _Waiting(Leaving(issue, subscriber))
        with self._queue:
            self._waiting.append(mine)
        with self._writing:
            while not mine.done:
                self._write()
        if mine.failed is not None:
            raise mine.failed

    def _write(self) -> None:
        # Whoever waits was in the queue before it waited, so those left over are the first to write next.
        with self._queue:
            these, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            with self._folder.session() as session:
                departures.leave_many(
                    session, self._folder.config, (each.leaving for each in these), LeftBy.one_click, self._clock()
                )
        except BaseException as error:  # noqa: BLE001 - it is raised again for each of them
            for each in these:
                each.failed = error
        for each in these:
            each.done = True
