"""Unsubscribing by one click, many at a time: requests that wait together are on disk together.

A commit waits for the disk; while one request does, others come. Whoever comes next takes all that wait, and writes
them in one transaction. Nobody is answered before the commit that holds their own request. Where PostgreSQL gives a
transaction up because it and another wait for each other, it is done again: what is in it can be done twice.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from newsletter import departures
from newsletter.departures import Leaving
from newsletter.folder import Folder
from newsletter.states import LeftBy

MOST = 500
"""Requests in one transaction: senders must not wait long for the database."""
GATHER = 0.01
"""Seconds in which others may join: what a reader's mail program doesn't notice."""
TRIES = 5
"""How often a transaction is begun at the most."""
_GIVEN_UP = ("40001", "40P01")
"""PostgreSQL's states of a transaction that another one was preferred to: serialization_failure, deadlock_detected."""


class _Waiting:
    """One request, and what became of it."""

    def __init__(self, leaving: Leaving) -> None:
        self.leaving = leaving
        self.called = threading.Event()
        """Set when it is done; or when it is its turn to write for all."""
        self.done = False
        self.failed: BaseException | None = None


class OneClick:
    """Lets readers leave; safe to be called by many threads at once."""

    def __init__(self, folder: Folder, clock: Callable[[], dt.datetime]) -> None:
        self._folder = folder
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()
        self._busy = False
        """Whether somebody writes for all."""

    def leave(self, issue: int, subscriber: int) -> None:
        """Returns when it is on disk. Raises what the database said where it could not be stored."""
        mine = _Waiting(Leaving(issue, subscriber))
        with self._lock:
            self._waiting.append(mine)
            if not self._busy:
                self._busy = True
                mine.called.set()
        mine.called.wait()
        if not mine.done:
            self._write_for_all()
        if mine.failed is not None:
            raise mine.failed

    def _write_for_all(self) -> None:
        # A transaction costs the same for one as for many, and whoever has its turn is the first of those who wait.
        time.sleep(GATHER)
        with self._lock:
            these, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            self._write([each.leaving for each in these])
        except BaseException as error:  # noqa: BLE001 - it is raised again for each of them
            for each in these:
                each.failed = error
        for each in these:
            each.done = True
            each.called.set()
        with self._lock:
            # The next one writes for those who have come meanwhile, so that nobody serves others for long.
            self._busy = bool(self._waiting)
            if self._waiting:
                self._waiting[0].called.set()

    def _write(self, these: list[Leaving]) -> None:
        for left in reversed(range(TRIES)):
            try:
                with self._folder.session() as session:
                    departures.leave_many(session, self._folder.config, these, LeftBy.one_click, self._clock())
            except OperationalError as error:
                if not left or getattr(error.orig, "sqlstate", None) not in _GIVEN_UP:
                    raise
            else:
                return
