"""Which relay may have the next message: by priority, by share, by rate, and by whether it is well."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from newsletter import rates, relay_health
from newsletter.config import Relay
from newsletter.patience import PatientDatabase
from newsletter.rates import Rate

STALLED = 10.0
"""Seconds without a word from a relay that has work, after which the others no longer wait for it."""
SOON = dt.timedelta(seconds=2)
"""A connection is opened no longer than this before there is something for it."""


@dataclass(slots=True)
class _Turn:
    """What a sender knows of one relay."""

    relay: Relay
    rates: tuple[Rate, ...]
    taken: int = 0
    """Messages that it has had since the relays that are well last changed."""
    left: int = 0
    """Messages that its rates have granted and nobody has used."""
    granted: dt.datetime | None = None
    more: dt.datetime | None = None
    """When its rates grant more."""
    rests: dt.datetime | None = None
    """Until when it is left alone; None: it is well."""
    why: str = ""
    connections: int = 0
    heard: float = field(default_factory=time.monotonic)

    @property
    def never(self) -> bool:
        return any(rate.count <= 0 for rate in self.rates)


class RelayTurns:
    """Whose turn it is, in one sender. What must be counted together is in the database."""

    def __init__(self, relays: Iterable[Relay], database: PatientDatabase, clock: Callable[[], dt.datetime]) -> None:
        self._database = database
        self._clock = clock
        self._turns = {relay.name: _Turn(relay, tuple(_rates(relay))) for relay in relays}
        self._simple = len(self._turns) == 1 and not any(turn.rates for turn in self._turns.values())
        rests = database.write(relay_health.known)
        for name, turn in self._turns.items():
            turn.rests, turn.why = rests.get(name, (None, ""))

    @property
    def trouble(self) -> str:
        """What is wrong with the relays, in words."""
        said = [
            f"relay {name}: {turn.why}; tried again at {turn.rests:%H:%M:%S} UTC"
            for name, turn in self._turns.items()
            if turn.rests is not None
        ]
        said += [f"relay {name}: its rate is 0 in config.toml" for name, turn in self._turns.items() if turn.never]
        return "; ".join(said)

    @property
    def more(self) -> dt.datetime | None:
        """When a rate grants the next message, if any relay waits for that; what is past is now."""
        return min((turn.more for turn in self._well() if turn.more is not None and not turn.left), default=None)

    def to_open(self) -> list[Relay]:
        """The relays that connections may be opened to now: those of the first priority with any that is well."""
        soon = self._clock() + SOON
        return [
            turn.relay for turn in self._first(self._well()) if turn.left > 0 or turn.more is None or turn.more <= soon
        ]

    def may_take(self, name: str) -> bool:
        """Whether a relay may have a message now."""
        turn = self._turns[name]
        if self._simple:
            return turn.rests is None or turn.rests <= self._clock()
        peers = self._first(self._well())
        if turn not in peers:
            return False
        # Ahead of its share it waits for the others, by no more than what it needs to stay busy.
        moving = [peer for peer in peers if peer is turn or self._moves(peer)]
        least = min(peer.taken / peer.relay.share for peer in moving)
        ahead = turn.taken - least * turn.relay.share
        return ahead <= turn.connections and self._granted(turn)

    def took(self, name: str) -> None:
        """A relay has been offered a message."""
        turn = self._turns[name]
        turn.taken += 1
        turn.left -= 1

    def heard(self, name: str, seconds: float, *, served: bool) -> None:
        """A relay said something, at a moment of the monotonic clock; it is well once it has answered for a message."""
        turn = self._turns[name]
        turn.heard = seconds
        if served and turn.rests is not None:
            turn.rests, turn.why = None, ""
            self._database.write(lambda session: relay_health.clear(session, name))
            self._begin_anew()

    def connected(self, name: str, change: int) -> None:
        """A connection more, or one less."""
        self._turns[name].connections += change

    def blame(self, name: str, why: str) -> None:
        """A relay failed: it is left alone for a while. Several connections that fail together are one failure."""
        turn, now = self._turns[name], self._clock()
        if turn.rests is not None and turn.rests > now:
            return
        turn.rests = self._database.write(lambda session: relay_health.blame(session, name, why, now))
        turn.why = why
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nobody catches up with what others took while it was away."""
        for turn in self._turns.values():
            turn.taken = 0

    def _well(self) -> list[_Turn]:
        now = self._clock()
        return [turn for turn in self._turns.values() if not turn.never and (turn.rests is None or turn.rests <= now)]

    @staticmethod
    def _first(turns: list[_Turn]) -> list[_Turn]:
        """Those of the first priority with any that is well. One that failed is tried beside them until it answers."""
        well = [turn.relay.priority for turn in turns if turn.rests is None]
        first = min(well, default=max((turn.relay.priority for turn in turns), default=0))
        return [turn for turn in turns if turn.relay.priority <= first]

    def _moves(self, turn: _Turn) -> bool:
        return (
            turn.connections > 0
            and time.monotonic() - turn.heard < STALLED
            and (turn.left > 0 or turn.more is None or turn.more <= self._clock())
        )

    def _granted(self, turn: _Turn) -> bool:
        if not turn.rates:
            return True
        now = self._clock()
        if turn.left > 0 and turn.granted is not None:
            if dt.timedelta() <= now - turn.granted <= min(rate.good_for for rate in turn.rates):
                return True
            turn.left = 0
        if turn.more is not None and now < turn.more <= now + max(rate.apart * rate.at_once for rate in turn.rates):
            return False
        # In small lumps: what is granted here is lost to the others if this process dies.
        wanted = max(1, min(rate.at_once for rate in turn.rates))
        turn.left, turn.more = self._database.write(lambda session: rates.take(session, turn.rates, wanted, now))
        turn.granted = now
        return turn.left > 0


def _rates(relay: Relay) -> Iterable[Rate]:
    if relay.per_second is not None:
        yield Rate(f"relay {relay.name} a second", relay.per_second, 1.0)
    if relay.per_hour is not None:
        yield Rate(f"relay {relay.name} an hour", relay.per_hour, 3600.0)
