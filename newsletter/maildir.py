"""A folder in the place of a mail server: for rehearsals, and to look at every message before any leaves.

A Maildir, so that any mail program opens it. Each message is written beside, then moved in: whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from newsletter.config import Relay
from newsletter.errors import RelayMistake
from newsletter.relays import Deferred, Ended, Event, Job, Ready, Sent


class MaildirConversation:
    """Writes messages into a folder. See newsletter.relays.Conversation."""

    def __init__(self, relay: Relay, beside: Path) -> None:
        """RelayMistake if the folder can't be made."""
        self.relay = relay.name
        self.served = 0
        self._path = beside / relay.path
        self._events: list[Event] = []
        try:
            for part in ("tmp", "new", "cur"):
                (self._path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RelayMistake(
                f"the folder can't be made: {error.strerror}",
                where=f"relay {relay.name} ({self._path})",
                remedy="Check `path` of the relay in config.toml.",
            ) from None

    def fileno(self) -> None:
        return None

    @property
    def idle(self) -> bool:
        return not self._events

    @property
    def unsent(self) -> bool:
        return False

    @property
    def open(self) -> bool:
        return any(isinstance(event, Ended) for event in self._events)

    @property
    def eager(self) -> bool:
        return bool(self._events)

    def offer(self, job: Job) -> None:
        self._events.append(Ready(job))

    def release(self, job: Job, following: Job | None) -> None:
        assert job.message is not None
        local = job.message.sender.rpartition("@")[0]
        # The name is the copy's own, so that a second try replaces the first and never doubles it. What no ledger
        # knows of, a notice or a test, goes by what it says: two of them are two.
        own = local.rpartition("+")[2] if job.issue else hashlib.sha256(job.message.data).hexdigest()
        name = f"{job.issue}.{job.subscriber}.{own[:16]}.eml"
        try:
            with (self._path / "tmp" / name).open("wb") as file:
                file.write(f"Return-Path: <{job.message.sender}>\r\nDelivered-To: {job.message.recipient}\r\n".encode())
                file.writelines(job.message.parts)
                file.flush()
                os.fsync(file.fileno())
            (self._path / "tmp" / name).replace(self._path / "new" / name)
        except OSError as error:
            self._events.append(Ended(job, Deferred(f"451 4.3.0 the folder can't be written: {error.strerror}")))
        else:
            self._events.append(Ended(job, Sent(f"250 2.0.0 {name}")))
        if following is not None:
            self.offer(following)

    def events(self, seconds: float) -> list[Event]:
        del seconds
        happened, self._events = self._events, []
        return happened

    def quit(self) -> None:
        """Nothing to end."""

    def drop(self, why: str) -> list[Event]:
        del why
        return []
