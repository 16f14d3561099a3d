"""One thread that waits for everything in a run: sockets, processes, moments."""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from typing import Any


class Loop:
    """Calls what was asked for when a file can be read, or a moment has come."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._moments: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def watch(self, file: Any, heard: Callable[[], None]) -> None:
        self._selector.register(file, selectors.EVENT_READ, heard)

    def forget(self, file: Any) -> None:
        self._selector.unregister(file)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._moments, (time.monotonic() + seconds, next(self._order), what))

    def turn(self, longest: float = 0.1) -> None:
        """Waits until something happens, and has it done."""
        now = time.monotonic()
        if self._moments:
            longest = max(0.0, min(longest, self._moments[0][0] - now))
        for key, _ in self._selector.select(longest):
            # What came first in this turn may have closed what comes now.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        now = time.monotonic()
        while self._moments and self._moments[0][0] <= now:
            heapq.heappop(self._moments)[2]()

    def close(self) -> None:
        self._moments.clear()
        self._selector.close()
