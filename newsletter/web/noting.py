"""Visits are written down beside the answer, never before it: a reader waits for no database.

A request puts what it saw into a queue in memory and answers; a thread that lives for as long as there is something
to write takes all that has come and writes it in one transaction. If the database can't be written then, the visits
are lost, and that is said in the log: they are numbers, and a link has to work.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from typing import Any, cast

from flask import current_app, request

from newsletter import visits
from newsletter.folder import Folder
from newsletter.tokens import Keys
from newsletter.web.site import site

MOST = 10_000
"""Visits that wait to be written, at most."""
log = logging.getLogger("newsletter.web")


class Noting:
    """The visits that wait to be written down."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._hits: deque[dict[str, Any]] = deque()
        self._ignored: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._writing = False

    def hit(self, row: dict[str, Any]) -> None:
        """A hit, as newsletter.visits.hit makes it."""
        with self._lock:
            if len(self._hits) < MOST:
                self._hits.append(row)
        self._write()

    def ignored(self, publication: str, what: str) -> None:
        """Something that is known at once to be a program's doing."""
        with self._lock:
            self._ignored[publication, what] += 1
        self._write()

    def wait(self, seconds: float = 5.0) -> bool:
        """Waits until all that came so far is written, or that long; whether it is."""
        with self._quiet:
            return self._quiet.wait_for(lambda: not self._writing, seconds)

    def _write(self) -> None:
        with self._lock:
            if self._writing:
                return
            self._writing = True
        now = site().now()
        threading.Thread(target=self._run, args=(now,), name="visits", daemon=True).start()

    def _run(self, now: Any) -> None:
        while True:
            with self._quiet:
                hits, ignored = list(self._hits), dict(self._ignored)
                self._hits.clear()
                self._ignored.clear()
                if not hits and not ignored:
                    self._writing = False
                    self._quiet.notify_all()
                    return
            try:
                with self._folder.session() as session:
                    visits.record(session, hits)
                    for (publication, what), times in ignored.items():
                        visits.ignore(session, publication, what, now, times)
            # Whatever it is, the next visits may fare better, and nobody waits for these.
            except Exception as error:  # noqa: BLE001
                log.warning("%d visits couldn't be written down: %s", len(hits), type(error).__name__)


def noting() -> Noting:
    """The visits of this site."""
    return cast("Noting", current_app.extensions["newsletter visits"])


def client(keys: Keys) -> str:
    """The mark of the client that this request comes from."""
    return visits.client(keys, request.remote_addr, request.headers.get("User-Agent"))
