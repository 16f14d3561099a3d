"""All ways by which bounces come in by themselves, while `newsletter run` is up."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

from newsletter.bounces import refusals
from newsletter.errors import Mistake
from newsletter.folder import Folder

log = logging.getLogger("newsletter")

EVERY = dt.timedelta(minutes=1)
"""Between two looks into the mailboxes."""


class Intake:
    """The listener, and looks into the mailboxes."""

    def __init__(
        self, folder: Folder, clock: Callable[[], dt.datetime], told: Callable[[str], None] = lambda _: None
    ) -> None:
        """ReturnMistake where the listener's port can't be had. `told` gets a sentence for what goes wrong, once."""
        self._folder = folder
        self._clock = clock
        self._told = told
        self._stopped = False
        self._said: dict[str, str] = {}
        """By way: what was last said to be wrong with it."""
        self._looked: dt.datetime | None = None
        self._listener = None
        if folder.config.returns.listener is not None:
            from newsletter.bounces.listener import Listener

            self._listener = Listener(folder, clock)
            self._listener.start()

    @property
    def address(self) -> str:
        """Where bounces are listened for; "" where they aren't."""
        return self._listener.address if self._listener else ""

    def look(self, now: dt.datetime) -> int:
        """Looks into the mailboxes, once a minute however often it is called, and takes up what a sender that died
        left behind. Answers how many messages came in. What goes wrong is told once, and raises nothing.
        """
        if self._looked is not None and dt.timedelta() <= now - self._looked < EVERY:
            return 0
        self._looked = now
        count = 0
        settings = self._folder.config.returns
        if settings.maildir:
            from newsletter.bounces.mailboxes import look_into_maildir

            count += self._carefully(
                "maildir", lambda: look_into_maildir(self._folder, self._clock, stop=lambda: self._stopped)
            )
        if settings.imap is not None:
            from newsletter.bounces.imap import look_into_imap

            count += self._carefully(
                "imap", lambda: look_into_imap(self._folder, self._clock, stop=lambda: self._stopped)
            )
        self._carefully("refusals", lambda: self._take_up(now))
        return count

    def stop(self) -> None:
        """Ends the listener; a look that is under way ends after the message that it is at."""
        self._stopped = True
        if self._listener is not None:
            self._listener.stop()

    def _take_up(self, now: dt.datetime) -> int:
        with self._folder.session() as session:
            refusals.take_up(session, self._folder.config.returns, now)
        return 0

    def _carefully(self, way: str, look: Callable[[], int]) -> int:
        try:
            count = look()
        except Mistake as mistake:
            self._say(way, str(mistake))
            return 0
        except Exception as error:
            log.exception("a look at what came back (%s) failed", way)
            self._say(way, f"what came back ({way}) can't be looked at: {type(error).__name__}; the log has more")
            return 0
        self._said.pop(way, None)
        return count

    def _say(self, way: str, words: str) -> None:
        if self._said.get(way) != words:
            self._said[way] = words
            self._told(words)


def start(folder: Folder, clock: Callable[[], dt.datetime], told: Callable[[str], None]) -> Intake:
    """Begins to take bounces in, by whatever ways config.toml names. ReturnMistake where the port can't be had."""
    return Intake(folder, clock, told)
