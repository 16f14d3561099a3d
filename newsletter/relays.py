"""What every relay has in common: jobs go in, and what became of them comes out.

smtp speaks with a mail server, maildir writes into a folder; the sender knows only what stands here.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Protocol

from msgspec import Struct

from newsletter.compose import Message, Reader

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")


class Reply(Struct, frozen=True, gc=False):
    """A server's words: a code of three digits (RFC 5321 §4.2) and its text, lines joined by a space."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463) in front of the text, or ""."""
        found = _ENHANCED.match(self.text)
        return found[0] if found else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()


class Sent(Struct, frozen=True, gc=False):
    """The relay took responsibility: a 2xx after the final dot."""

    reply: str


class Deferred(Struct, frozen=True, gc=False):
    """Not now: a 4xx, or the connection was lost before the final dot had left."""

    reply: str


class Refused(Struct, frozen=True, gc=False):
    """No: a 5xx about this recipient or this message."""

    reply: str


class Uncertain(Struct, frozen=True, gc=False):
    """The final dot left and no answer came."""

    reply: str


class Returned(Struct, frozen=True, gc=False):
    """Not begun, through no fault of its own: the connection ended before its turn. Nothing is to be recorded."""

    reply: str


def about_the_sender(refusal: str) -> bool:
    """Whether a refusal (5xx) is about who sends, not about this reader: policy or security (5.7.x), or 554 alone."""
    code, _, rest = refusal.partition(" ")
    enhanced = _ENHANCED.match(rest)
    if enhanced is not None:
        return enhanced[0].startswith("5.7.")
    return code in {"530", "535", "554"}


Outcome = Sent | Deferred | Refused | Uncertain | Returned


class Job(Struct, eq=False, gc=False):
    """One delivery in a sender's hands."""

    issue: int
    subscriber: int
    batch: tuple[int, int]
    tries: int
    message: Message | None = None
    reader: Reader | None = None
    """Whom it is for; None for what no ledger knows of."""
    first_try: dt.datetime | None = None
    begun: bool = False
    """Whether the ledger says `submitting`."""


class Ready(Struct, frozen=True, gc=False):
    """The relay waits for this message (354). It must not have it before the ledger says so."""

    job: Job


class Ended(Struct, frozen=True, gc=False):
    """What became of a job."""

    job: Job
    outcome: Outcome


class Closed(Struct, frozen=True, gc=False):
    """The conversation is over. `fault` is what the relay did wrong, "" where it ended as it may."""

    fault: str


Event = Ready | Ended | Closed


class Conversation(Protocol):
    """One connection to a relay: at most one message in the open, and the envelope of the next."""

    relay: str
    served: int
    """How many messages it has answered for."""

    def fileno(self) -> int | None:
        """To wait on; None where there is nothing to wait for."""

    @property
    def idle(self) -> bool:
        """Whether it can be offered a job."""

    @property
    def unsent(self) -> bool:
        """Whether something is still to be written."""

    @property
    def open(self) -> bool:
        """Whether it has let a message go and waits for the answer."""

    @property
    def eager(self) -> bool:
        """Whether it has something to tell already."""

    def offer(self, job: Job) -> None:
        """Announces a message: its envelope, no more."""

    def release(self, job: Job, following: Job | None) -> None:
        """Lets a message go that is Ready and that the ledger says is submitting; offers the next in the same write."""

    def events(self, seconds: float) -> list[Event]:
        """What has happened, up to a moment of the monotonic clock; reads and writes what it can without waiting."""

    def quit(self) -> None:
        """Ends it politely, if nothing is in the open; else at once."""

    def drop(self, why: str) -> list[Event]:
        """Ends it at once; what its jobs have come to."""
