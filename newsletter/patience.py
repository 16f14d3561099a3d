"""A database that is away for a while is waited for, with what is to be written kept in memory.

A server that is restarted, a disk that is full for a minute: what the relays have answered meanwhile is known, and
nothing of it becomes uncertain only because it couldn't be written down at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import InterfaceError as WrappedInterfaceError
from sqlalchemy.exc import OperationalError as WrappedOperationalError
from sqlalchemy.orm import Session

from newsletter.folder import Folder
from newsletter.ledger import Ledger

T = TypeVar("T")
SHORTEST, LONGEST = 0.1, 5.0
"""Seconds between two tries, doubled each time."""
ENOUGH = 600.0
"""Seconds of waiting after which it is said to whoever called."""


class PatientDatabase:
    """Does work on the database again and again, until it is on disk. Work must be such that doing it twice does no
    harm: the first time may have come through, with only the word of it lost.
    """

    def __init__(
        self, folder: Folder, *, told: Callable[[str], None], wait: Callable[[float], None] = time.sleep
    ) -> None:
        """`told` gets what is wrong, and "" when it is well again."""
        self._folder = folder
        self._told = told
        self._wait = wait
        self._ledger: Ledger | None = None
        driver = folder.engine.dialect.loaded_dbapi
        self._away = (WrappedOperationalError, WrappedInterfaceError, driver.OperationalError, driver.InterfaceError)
        self.stop: Callable[[], bool] = lambda: False
        """Once it says so nothing is waited for any more."""

    def write(self, work: Callable[[Session], T]) -> T:
        """Work in one transaction of a session."""

        def ask(again: bool) -> T:
            del again
            with self._folder.session() as session:
                return work(session)

        return self._until_it_is_done(ask)

    def turn(self, work: Callable[[Ledger, bool], T], meanwhile: Callable[[], None] | None = None) -> T:
        """Work in one transaction of the ledger; it is told whether it may have been done before.

        `meanwhile` is done while the disk is waited for, and must not need the database.
        """

        def ask(again: bool) -> T:
            if self._ledger is None:
                self._ledger = Ledger(self._folder.engine)
            with self._ledger.turn() if meanwhile is None else self._ledger.turn(meanwhile):
                return work(self._ledger, again)

        return self._until_it_is_done(ask)

    def close(self) -> None:
        """Gives the ledger's connection back."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _until_it_is_done(self, ask: Callable[[bool], T]) -> T:
        try:
            return ask(False)
        except self._away as error:
            self._lost(error)
        pause, waited = SHORTEST, 0.0
        while True:
            self._wait(pause)
            waited += pause
            pause = min(LONGEST, 2 * pause)
            try:
                done = ask(True)
            except self._away as error:
                self._lost(error)
                if waited > ENOUGH or self.stop():
                    raise
            else:
                self._told("")
                return done

    def _lost(self, error: BaseException) -> None:
        raw = error.orig if isinstance(error, DBAPIError) else error
        words = str(raw).strip().splitlines() or [type(raw).__name__]
        self._told(f"the database can't be used: {words[0]}")
        if self._ledger is not None:
            self._ledger.drop()
            self._ledger = None
        self._folder.engine.dispose()
