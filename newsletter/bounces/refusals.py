"""What relays refuse for good, while they are asked: it counts as a returned message does.

A refusal is in the log from the transaction on that says that the delivery failed, with nothing in `done`. What it
leads to is decided a little later and for many at once: so a sender isn't held up, and refusals one after the other,
with no message taken between them, can be told from readers who are gone. A relay that refuses everybody says nothing
about anybody.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.bounces import counting
from newsletter.bounces.acting import one_line
from newsletter.bounces.classes import of_reply
from newsletter.models import Return
from newsletter.reader_settings import Returns
from newsletter.states import ReturnKind

IN_A_ROW = 20
"""Refusals by one relay, with no message taken between them, from which on none of them counts."""
SOON = 1.0
"""Seconds that refusals are gathered for at the most, while others are being sent."""
MANY = 500
"""Refusals that are acted on at once without waiting for more."""
FORGOTTEN = dt.timedelta(minutes=10)
"""Refusals of a sender that died are taken up by others after this."""
UNDONE = ""


class Refusal(Struct, frozen=True):
    """A delivery that a relay refused for good."""

    issue: int
    subscriber: int
    digest: str
    kind: ReturnKind
    status: str
    words: str


def refusal(issue: int, subscriber: int, tries: int, reply: str) -> Refusal | None:
    """What a relay's last word on a delivery says of the reader; None where these are no relay's words, but ours."""
    if not (reply[:3].isdecimal() and reply[:1] in ("4", "5")):
        return None
    kind, status = of_reply(reply)
    digest = hashlib.sha256(f"relay\0{issue}\0{subscriber}\0{tries}".encode()).hexdigest()
    return Refusal(issue, subscriber, digest, kind, one_line(status, 16), one_line(reply, 500))


class Refusals:
    """The refusals that one sender has heard and that aren't acted on yet."""

    def __init__(self, settings: Returns, write: Callable[[Callable[[Session], None]], None]) -> None:
        """`write` does work in one transaction, and does it again where the database was away."""
        self._settings = settings
        self._write = write
        self._rows: dict[str, list[str]] = {}
        """By relay: the digests of those that came since it took a message last."""
        self._many: set[str] = set()
        """The relays whose row has become too long to count."""
        self._ready: list[str] = []
        self._gathering_since: float | None = None

    @property
    def in_a_row(self) -> bool:
        """Whether some relay's last word was a refusal: then it is to be heard whether it takes a message."""
        return bool(self._rows)

    def hear(self, relay: str, taken: bool, refused: Refusal | None) -> None:
        """What became of a delivery that is on disk: a relay took it, or refused it, or neither."""
        if refused is not None:
            row = self._rows.setdefault(relay, [])
            row.append(refused.digest)
            if len(row) >= IN_A_ROW:
                self._many.add(relay)
            if len(row) >= MANY:
                self._dismiss(relay)
        elif taken and relay in self._rows:
            self._end_row(relay)

    def act(self, now: dt.datetime, *, at_last: bool = False) -> None:
        """Acts on those that are ripe; with at_last=True on all, since nothing more is coming for now."""
        if at_last:
            for relay in list(self._rows):
                self._end_row(relay)
        if not self._ready:
            return
        if self._gathering_since is None:
            self._gathering_since = time.monotonic()
        if at_last or len(self._ready) >= MANY or time.monotonic() - self._gathering_since >= SOON:
            ready, self._ready, self._gathering_since = self._ready, [], None
            self._write(lambda session: settle(session, self._settings, _undone(session, ready), now))

    def _end_row(self, relay: str) -> None:
        if relay in self._many:
            self._dismiss(relay)
            self._many.discard(relay)
        self._ready += self._rows.pop(relay, [])

    def _dismiss(self, relay: str) -> None:
        row = self._rows.pop(relay, [])
        self._rows[relay] = []
        self._write(lambda session: dismiss(_undone(session, row)))


def settle(session: Session, settings: Returns, rows: Sequence[Return], now: dt.datetime) -> None:
    """Acts on refusals that were written down."""
    counted = []
    for row in rows:
        if row.kind in counting.COUNTED and not _of_the_relay(row):
            counted.append(row)
        else:
            row.done = "not counted: it says nothing of the reader"
    counting.count(session, settings, counted, now)


def dismiss(rows: Iterable[Return]) -> None:
    """Refusals that came one after the other, and say nothing about any reader."""
    for row in rows:
        row.done = f"not counted: the relay refused {IN_A_ROW} or more in a row"


def take_up(session: Session, settings: Returns, now: dt.datetime) -> int:
    """Acts on refusals that a sender left behind when it died; answers how many. Of each issue and status, where there
    are as many as a relay in trouble makes, none counts.
    """
    rows = session.scalars(
        select(Return)
        .where(Return.done == UNDONE, Return.at < now - FORGOTTEN)
        .order_by(Return.id)
        .limit(10 * MANY)
        .with_for_update(skip_locked=True)
    ).all()
    alike: dict[tuple[int | None, str], list[Return]] = {}
    for row in rows:
        alike.setdefault((row.issue_id, row.status), []).append(row)
    for some in alike.values():
        if len(some) >= IN_A_ROW:
            dismiss(some)
        else:
            settle(session, settings, some, now)
    session.flush()
    return len(rows)


def _undone(session: Session, digests: Sequence[str]) -> list[Return]:
    return [
        row
        for some in counting.slices(digests)
        for row in session.scalars(
            select(Return).where(Return.digest.in_(some), Return.done == UNDONE).order_by(Return.id).with_for_update()
        )
    ]


def _of_the_relay(row: Return) -> bool:
    """Whether it is about the relay that we speak with, and not about where it would take the message.

    RFC 3463 §3.4, §3.5: x.3.x is the mail system that speaks, x.4.x its network. A domain that doesn't exist is told
    by some in x.4.x too; that is hard, and not meant here.
    """
    return row.kind is ReturnKind.soft and row.status[1:4] in (".3.", ".4.")
