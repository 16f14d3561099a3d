"""Where a sender is killed in its own code. Every private name of the program that the harness knows stands here.

The functions of the running program are wrapped in the child, after it is forked: production code has no switch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import update
from sqlalchemy.orm import Session

from newsletter import deliveries, ledger, pool, sender, smtp
from newsletter.folder import Folder
from newsletter.models import Batch, Delivery
from newsletter.relays import Ended, Ready
from newsletter.states import DeliveryState


def die() -> NoReturn:
    """What the kernel's out-of-memory killer does, at this very place."""
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(1)


@dataclass(frozen=True, slots=True)
class Stage:
    """A place in the sender's code."""

    install: Callable[[Callable[[], None]], None]
    """Has the given function called whenever the place is reached."""
    often: int
    """About how often it is reached in a run; the nth time is drawn below this."""


def _at(owner: Any, name: str, when: str) -> Callable[[Callable[[], None]], None]:
    """Before or after a call of owner.name."""

    def install(reached: Callable[[], None]) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if when == "before":
                reached()
            answer = original(*args, **kwargs)
            if when == "after":
                reached()
            return answer

        setattr(owner, name, wrapped)

    return install


def _claimed(reached: Callable[[], None]) -> None:
    original = deliveries.claim

    def claim(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        if found is not None:
            reached()
        return found

    deliveries.claim = claim


def _around_commit(when: str) -> Callable[[Callable[[], None]], None]:
    """Before a turn's commit, after it, or "while" the disk is waited for."""

    def install(reached: Callable[[], None]) -> None:
        original = ledger.Ledger.turn

        @contextlib.contextmanager
        def turn(self: Any, *meanwhile: Callable[[], None]) -> Iterator[None]:
            def busy() -> None:
                reached()
                for each in meanwhile:
                    each()

            with original(self, busy) if when == "while" and meanwhile else original(self, *meanwhile):
                yield
                if when == "before":
                    reached()
            if when == "after":
                reached()

        ledger.Ledger.turn = turn  # type: ignore[method-assign]

    return install


def _heard(kind: type) -> Callable[[Callable[[], None]], None]:
    """After a conversation has told of such an event, and before anybody acts on it."""

    def install(reached: Callable[[], None]) -> None:
        original = smtp.SmtpConversation.events

        def events(self: Any, seconds: float) -> Any:
            found = original(self, seconds)
            if any(isinstance(each, kind) for each in found):
                reached()
            return found

        smtp.SmtpConversation.events = events  # type: ignore[method-assign]

    return install


def _half_a_body(reached: Callable[[], None]) -> None:
    original = smtp.SmtpConversation._send

    def send(self: Any) -> int:
        if sum(len(part) for part in self._out) > 1000:
            whole = b"".join(bytes(part) for part in self._out)
            count = self._sock.send(whole[: len(whole) // 2])
            reached()
            return count
        return original(self)

    smtp.SmtpConversation._send = send  # type: ignore[method-assign]


def _home(name: str) -> Any:
    return ledger.Ledger if hasattr(ledger.Ledger, name) else deliveries


def _in(name: str, when: str) -> Callable[[Callable[[], None]], None]:
    """Before or after a call of a function of the ledger, be it the module's or the class's."""
    return _at(_home(name), name, when)


def _given_back(reached: Callable[[], None]) -> None:
    """After the commit of a transaction in which a batch was given back."""
    given = False

    def noted() -> None:
        nonlocal given
        given = True

    def over() -> None:
        nonlocal given
        if given:
            given = False
            reached()

    _in("give_back", "after")(noted)
    _around_commit("after")(over)
    session = Folder.session

    @contextlib.contextmanager
    def committed(self: Folder) -> Iterator[Session]:
        with session(self) as made:
            yield made
        over()

    Folder.session = committed  # type: ignore[method-assign]


TURNS = 40
STAGES: dict[str, Stage] = {
    "before a claim is committed": Stage(_claimed, 5),
    "after a claim": Stage(_at(ledger.Ledger, "due", "before"), 5),
    "before a turn is committed": Stage(_around_commit("before"), TURNS),
    "while a turn is committed": Stage(_around_commit("while"), TURNS),
    "after a turn is committed": Stage(_around_commit("after"), TURNS),
    "while a batch's leases are renewed": Stage(_at(ledger.Ledger, "renew", "after"), TURNS),
    "354 heard, nothing written": Stage(_heard(Ready), TURNS),
    "before a body leaves": Stage(_at(smtp.SmtpConversation, "release", "before"), 60),
    "half a body gone": Stage(_half_a_body, 60),
    "after a body was handed over": Stage(_at(smtp.SmtpConversation, "release", "after"), 60),
    "answer heard, nothing written": Stage(_heard(Ended), TURNS),
    "answer written, not committed": Stage(_at(ledger.Ledger, "record", "after"), TURNS),
    "before a batch is given back": Stage(_in("give_back", "before"), 4),
    "batch given back, not committed": Stage(_in("give_back", "after"), 4),
    "before finish": Stage(_in("finish", "before"), 4),
    "after finish, not committed": Stage(_in("finish", "after"), 4),
    "after a batch was given back": Stage(_given_back, 4),
    "while a connection is opened": Stage(_at(pool, "open_relay", "after"), 4),
    "while dead senders are looked for": Stage(_at(sender, "_alive", "after"), 1),
}
"""In the order in which a sender comes to them."""


def arm(name: str, nth: int, *, armed: Callable[[], bool] = lambda: True) -> None:
    """Kills this process when it comes to a stage for the nth time (counted while `armed`)."""
    left = nth

    def reached() -> None:
        nonlocal left
        if armed():
            left -= 1
            if left == 0:
                die()

    STAGES[name].install(reached)


# ---- defences taken out, to see that the oracle can tell


def _released_before_commit() -> None:
    """A body leaves as soon as the relay waits for it; what the ledger says of that comes afterwards."""
    events, release = smtp.SmtpConversation.events, smtp.SmtpConversation.release

    def hasty(self: Any, seconds: float) -> Any:
        found = events(self, seconds)
        for each in found:
            if isinstance(each, Ready):
                release(self, each.job, None)
        return found

    def done_already(self: Any, job: Any, following: Any) -> None:
        del job
        if following is not None:
            self.offer(following)

    smtp.SmtpConversation.events = hasty  # type: ignore[method-assign]
    smtp.SmtpConversation.release = done_already  # type: ignore[method-assign]


def _doubt_is_queued_again() -> None:
    """What a dead sender had begun is simply made again."""

    def doubt(session: Any, batch: Any, why: str, now: Any) -> None:
        session.execute(
            update(Delivery)
            .where(
                Delivery.issue_id == batch.issue_id,
                Delivery.subscriber_id.between(batch.first, batch.last),
                Delivery.state == DeliveryState.submitting,
            )
            .values(state=DeliveryState.queued, since=now, reply=why)
        )

    deliveries.doubt = doubt


def _batches_end_early() -> None:
    """A batch that is given back is never due again, whatever is left in it."""
    home = _home("give_back")
    original = home.give_back

    def give_back(where: Any, claimed: Any, owner: str, now: Any) -> Any:
        answer = original(where, claimed, owner, now)
        if isinstance(where, Session):
            batch = (Batch.issue_id == claimed.issue) & (Batch.first == claimed.first)
            where.execute(update(Batch).where(batch).values(due=None))
        else:
            words = where._words("UPDATE batches SET due = NULL WHERE issue_id = ? AND first = ?")
            where._cursor.execute(words, claimed.key)
        return answer

    home.give_back = give_back


def _states_not_asked() -> None:
    """`begin` takes what it is given, whatever the ledger says of it, and a lost lease is not noticed."""
    begin, renew = ledger.Ledger.begin, ledger.Ledger.renew

    def blind(self: Any, *args: Any) -> Any:
        self._begin = self._begin.replace(" AND state IN ('queued', 'deferred')", "")
        return begin(self, *args)

    def always(self: Any, owner: str, now: Any) -> int:
        return _Always(renew(self, owner, now))

    ledger.Ledger.begin = blind  # type: ignore[method-assign]
    ledger.Ledger.renew = always  # type: ignore[method-assign]


class _Always(int):
    """A count that is never less than what it is compared with, and never more."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ge__(self, other: object) -> bool:
        return True

    def __gt__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def _everything_is_doubtful() -> None:
    """Whatever was only announced when a connection ended is called uncertain."""
    from newsletter.relays import Returned, Uncertain

    original = smtp.SmtpConversation._end

    def end(self: Any, why: str, *, fault: bool) -> Any:
        made = original(self, why, fault=fault)
        return [
            Ended(e.job, Uncertain(why)) if isinstance(e, Ended) and isinstance(e.outcome, Returned) else e
            for e in made
        ]

    smtp.SmtpConversation._end = end  # type: ignore[method-assign]


BROKEN: dict[str, Callable[[], None]] = {
    "released before commit": _released_before_commit,
    "doubt is queued again": _doubt_is_queued_again,
    "batches end early": _batches_end_early,
    "states not asked": _states_not_asked,
    "everything is doubtful": _everything_is_doubtful,
}
"""Defences of the program, each with a way to take it out."""
