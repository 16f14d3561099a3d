"""Claim, compose, submit, record, until nothing is due: one thread, one loop over its relay connections.

A turn of the loop:
1. hear what the relays have answered;
2. in one transaction write those answers down, and mark as submitting every message that a relay waits for;
3. only then let those bodies go, each followed in the same write by the envelope of the next message.

So a commit serves as many messages as there are connections, there is no lock and no second thread, and what is
in doubt after a crash is at most one message for each connection.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from newsletter import compose, deliveries
from newsletter.bounces.refusals import Refusals, refusal
from newsletter.compose import Composer
from newsletter.errors import Mistake, SubscriberMistake
from newsletter.folder import Folder
from newsletter.in_hand import PAUSE, InHand
from newsletter.issues.states import enter
from newsletter.ledger import Entry, Ledger
from newsletter.models import Issue
from newsletter.patience import PatientDatabase
from newsletter.pool import Pool
from newsletter.relay_turns import RelayTurns
from newsletter.relays import (
    Closed,
    Conversation,
    Deferred,
    Ended,
    Event,
    Job,
    Ready,
    Refused,
    Returned,
    Sent,
    Uncertain,
    about_the_sender,
)
from newsletter.states import DeliveryState, IssueState

RENEW = dt.timedelta(seconds=20)
"""After which a lease is renewed, whatever happens."""
ENOUGH_REFUSALS = 20
"""Messages that a relay refuses in a row, for what the sender is and not for who the reader is, before an issue is
paused: nobody's copy is to fail because a relay's door is closed to us."""
COMPOSERS = 8
"""Issues whose messages are kept ready to be filled in."""
SHORTEST_WAIT = 0.005
"""Seconds that a loop waits at least where it waits for a rate."""

STATES = {Sent: DeliveryState.sent, Refused: DeliveryState.failed, Uncertain: DeliveryState.uncertain}


@dataclass(slots=True)
class Progress:
    """What a sender has done since it began; shown while it works."""

    counts: Counter[str] = field(default_factory=Counter)
    """By the word of the state that deliveries came to."""
    trouble: str = ""
    """What is wrong with the relays or the database, if anything."""


class Sender:
    """Sends whatever is due, in whichever issue, until there is nothing left or it is told to stop."""

    def __init__(
        self,
        folder: Folder,
        clock: Callable[[], dt.datetime],
        *,
        show: Callable[[Progress], None] | None = None,
        chance: Callable[[], float] = random.random,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`wait` is what is done while the database is away, for so many seconds."""
        self.owner = f"{_here()}:{os.getpid()}:{os.urandom(4).hex()}"
        self.progress = Progress()
        self._folder = folder
        self._clock = clock
        self._chance = chance
        self._show = show or (lambda _: None)
        self._database = PatientDatabase(folder, told=self._tell, wait=wait)
        self._composers: dict[int, Composer] = {}
        self._turns: RelayTurns
        self._hand: InHand
        self._pool: Pool
        self._refusals: Counter[str] = Counter()
        """By relay: how many in a row were about us."""
        self._returns = Refusals(folder.config.returns, self._database.write)
        self._now = self._renewed = clock()

    def run(self, *, stop: Callable[[], bool], forever: bool = False) -> Progress:
        """Sends until nothing can be done now, or for ever, or until `stop` says so; then ends what is in the open.

        Nothing can be done where nothing is due, or where no relay lets us in: `Progress.trouble` says which. A
        message that a relay is being given is waited for; one that was only announced goes back to the ledger.
        """
        self._database.stop = stop
        with _rare_collections():
            return self._run(stop, forever)

    def _run(self, stop: Callable[[], bool], forever: bool) -> Progress:
        self._turns = RelayTurns(self._folder.config.relays, self._database, self._clock)
        self._hand = InHand(self._folder, self._database, self.owner, self._clock)
        self._pool = Pool(self._folder, self._turns)
        try:
            self._database.write(self._expire_the_dead)
            while not stop():
                if not self._turn():
                    if not forever:
                        break
                    time.sleep(PAUSE)
            self._drain()
        finally:
            self._database.close()
            self._pool.close()
        return self.progress

    # ---- one turn

    def _turn(self) -> bool:
        """Whether there was something that could be done now."""
        self._now = self._clock()
        self._stay_alive()
        self._hand.claim()
        self._pool.grow(self._hand.waiting)
        for conversation in self._pool.conversations:
            while conversation.idle and (job := self._next_job(conversation)):
                conversation.offer(job)
        self.progress.trouble = self._turns.trouble
        more = self._more()
        if not self._pool.working and more is None:
            self._pool.hang_up()
            self._returns.act(self._now, at_last=True)
            self._show(self.progress)
            return False
        self._handle(self._pool.wait(PAUSE if more is None else min(PAUSE, more)), fresh=True)
        self._show(self.progress)
        return True

    def _more(self) -> float | None:
        """In how many seconds a rate or a pace lets the next message go, if there is one that waits for that."""
        moments = [each for each in (self._turns.more, self._hand.lines.more) if each is not None]
        if not moments or not self._hand.waiting:
            return None
        return max(SHORTEST_WAIT, (min(moments) - self._clock()).total_seconds())

    def _stay_alive(self) -> None:
        """Renews the leases where no answer has come for long: a relay may take ten minutes over one.

        By the clock that leases are told by, which may go on while a machine sleeps, and may be set back.
        """
        now = self._clock()
        if dt.timedelta() <= now - self._renewed < RENEW or self._hand.empty:
            return
        self._renewed = now
        if not self._hand.still_ours(self._database.turn(lambda ledger, _: ledger.renew(self.owner, now))):
            self._hand.let_go(lambda _: True)

    def _handle(self, happened: list[tuple[Conversation, list[Event]]], *, fresh: bool) -> None:
        """Writes down what was answered and lets go what may; with fresh=False nothing new is begun."""
        ready: list[tuple[Conversation, Job]] = []
        ended: list[tuple[str, Ended]] = []
        for conversation, events in happened:
            for event in events:
                match event:
                    case Ready(job):
                        ready.append((conversation, job))
                    case Ended():
                        ended.append((conversation.relay, event))
                    case Closed(fault):
                        self._pool.lost(conversation, fault)
        # A connection may have ended right after its 354: then there is nothing to let go.
        over = {id(event.job) for _, event in ended}
        ready = [(conversation, job) for conversation, job in ready if id(job) not in over]
        if not ready and not ended:
            return
        begun = self._write_down(ready if fresh else [], ended)
        for conversation, job in ready:
            if (key := (job.issue, job.subscriber)) in begun:
                # What is begun once lets one body go, whatever else may have gone wrong.
                begun.remove(key)
                job.begun = True
                conversation.release(job, self._next_job(conversation) if fresh else None)
            else:
                # The reader left, or the issue was paused, since it was announced: the relay must not get it, and
                # after its 354 only an end of the connection can tell it so.
                ended += [
                    (conversation.relay, event) for event in self._pool.drop(conversation, "not to be sent after all")
                ]
        self._settle(ended)
        self._returns.act(self._now)

    def _write_down(
        self, ready: list[tuple[Conversation, Job]], ended: list[tuple[str, Ended]]
    ) -> set[tuple[int, int]]:
        """The turn's one transaction. Answers which of the ready ones are now submitting."""
        now = self._clock()
        entries: dict[str, list[Entry]] = {}
        for relay, event in ended:
            if (entry := self._entry(event, now)) is not None:
                entries.setdefault(relay, []).append(entry)
        refused = {
            (entry.issue, entry.subscriber): found
            for relay, said in entries.items()
            for entry in said
            if relay and entry.state is DeliveryState.failed
            if (found := refusal(entry.issue, entry.subscriber, entry.tries, entry.reply)) is not None
        }
        by_place: dict[tuple[str, int], list[Job]] = {}
        for conversation, job in ready:
            by_place.setdefault((conversation.relay, job.issue), []).append(job)

        def write(ledger: Ledger, again: bool) -> tuple[int, set[int], set[tuple[int, int]]]:
            begun: set[tuple[int, int]] = set()
            spent: set[int] = set()
            renewed = ledger.renew(self.owner, now)
            going = self._may_leave(ledger, now) if ready else set()
            for relay, said in entries.items():
                ledger.record(said, relay, now)
            if refused:
                ledger.returned(list(refused.values()), now)
            for (relay, issue), jobs in by_place.items():
                if self._hand.still_ours(renewed) and issue in going:
                    begun |= self._begin(ledger, issue, jobs, relay, now, spent, again=again)
            return renewed, going - spent, begun

        renewed, going, begun = self._database.turn(write, lambda: self._prepare(len(ready)))
        self._renewed = now
        ours = self._hand.still_ours(renewed)
        for said in entries.values():
            self.progress.counts.update([entry.state.value for entry in said])
        if refused or self._returns.in_a_row:
            for relay, said in entries.items():
                for entry in said:
                    taken = entry.state is DeliveryState.sent
                    self._returns.hear(relay, taken, refused.get((entry.issue, entry.subscriber)))
        for said in entries.values():
            for entry in said if not ours else ():
                if entry.next_look is not None:
                    self._try_again_later(entry, entry.next_look, now)
        if not ours or any(job.issue not in going for _, job in ready):
            self._hand.let_go(lambda job: not ours or job.issue not in going)
        return begun

    def _may_leave(self, ledger: Ledger, now: dt.datetime) -> set[int]:
        """The issues of which messages may be begun in this turn."""
        found = ledger.going(now)
        for number, gate in self._hand.open.items():
            if gate.until is not None and now >= gate.until:
                found.discard(number)
        return found

    def _begin(
        self,
        ledger: Ledger,
        issue: int,
        jobs: list[Job],
        relay: str,
        now: dt.datetime,
        spent: set[int],
        *,
        again: bool,
    ) -> set[tuple[int, int]]:
        """Marks jobs as submitting. An issue whose warm-up has nothing left for today is added to `spent`."""
        gate = self._hand.open.get(issue)
        warming = gate if gate is not None and gate.domain else None
        if warming is not None:
            left = warming.amount - ledger.warm(warming.domain, warming.day, 0)
            jobs = jobs[: max(0, left)]
            if left <= len(jobs):
                spent.add(issue)
        if not jobs:
            return set()
        retried = [(job.subscriber, job.tries) for job in jobs if job.tries]
        begun = ledger.begin(issue, [job.subscriber for job in jobs], retried, relay, now)
        if warming is not None:
            ledger.warm(warming.domain, warming.day, len(begun))
        if again and (lost := [job for job in jobs if job.subscriber not in begun]):
            # The first time may have come through, and only the word of it was lost. Their bodies are still here.
            ledger.record([self._not_handed_over(job, now) for job in lost], relay, now)
        return {(issue, subscriber) for subscriber in begun}

    def _not_handed_over(self, job: Job, now: dt.datetime) -> Entry:
        why = "the database went away before the message had left"
        return Entry(job.issue, job.subscriber, DeliveryState.deferred, why, True, job.tries, now)

    def _try_again_later(self, entry: Entry, at: dt.datetime, now: dt.datetime) -> None:
        """Its batch has gone to another sender, which may be done with it."""
        self._database.write(lambda session: deliveries.due_again(session, entry.issue, entry.subscriber, at, now))

    def _entry(self, event: Ended, now: dt.datetime) -> Entry | None:
        job, outcome = event.job, event.outcome
        match outcome:
            case Sent(reply):
                return Entry(job.issue, job.subscriber, DeliveryState.sent, reply, job.begun, job.tries)
            case Returned():
                return None
            case Deferred(reply):
                tries = job.tries + 1
                again = deliveries.next_try(
                    self._folder.config.sending, tries, job.first_try or now, now, self._chance()
                )
                if again is None:
                    given_up = self._folder.config.sending.give_up_after
                    return self._made(job, DeliveryState.failed, f"{reply} (given up after {given_up})")
                return self._made(job, DeliveryState.deferred, reply, again)
            case _:
                return self._made(job, STATES[type(outcome)], outcome.reply)

    def _made(self, job: Job, state: DeliveryState, reply: str, again: dt.datetime | None = None) -> Entry:
        return Entry(job.issue, job.subscriber, state, reply, job.begun, job.tries, again)

    def _settle(self, ended: list[tuple[str, Ended]]) -> None:
        settled: list[Ended] = []
        for relay, event in ended:
            if isinstance(event.outcome, Returned):
                self._hand.put_back(event.job)
                continue
            settled.append(event)
            if isinstance(event.outcome, Refused):
                self._count_refusal(relay, event.job.issue, event.outcome.reply)
            elif relay in self._refusals and isinstance(event.outcome, Sent):
                del self._refusals[relay]
        self._hand.settled([event.job for event in settled])
        if self._hand.lines.hear(settled):
            self._hand.sort()

    def _count_refusal(self, relay: str, issue: int, reply: str) -> None:
        if about_the_sender(reply):
            self._refusals[relay] += 1
            if self._refusals[relay] >= ENOUGH_REFUSALS:
                del self._refusals[relay]
                self._pause(issue, f"relay {relay} refused {ENOUGH_REFUSALS} in a row: {reply}")

    # ---- messages

    def _next_job(self, conversation: Conversation) -> Job | None:
        """The next job for a relay, its message composed; one whose address no mail server could take has failed."""
        if not self._turns.may_take(conversation.relay):
            return None
        while (job := self._hand.next()) is not None:
            if job.message is None:
                assert job.reader is not None
                try:
                    job.message = self._composer(job.issue).compose(job.reader, self._now)
                except SubscriberMistake as mistake:
                    ended = [("", Ended(job, Refused(str(mistake))))]
                    self._write_down([], ended)
                    self._settle(ended)
                    continue
                except Mistake as mistake:
                    self._hand.put_back(job)
                    self._pause(job.issue, str(mistake))
                    continue
            self._turns.took(conversation.relay)
            return job
        return None

    def _prepare(self, count: int) -> None:
        """Composes the messages that follow. What can't be composed is dealt with when its turn comes."""
        for job in self._hand.coming(count):
            if job.message is None and job.reader is not None and job.issue in self._composers:
                with contextlib.suppress(Mistake):
                    job.message = self._composers[job.issue].compose(job.reader, self._now)

    def _composer(self, issue: int) -> Composer:
        if issue not in self._composers:
            now = self._clock()
            if len(self._composers) >= COMPOSERS:
                self._composers.clear()
            self._composers[issue] = self._database.write(
                lambda session: compose.for_issue(
                    session, self._folder, session.get_one(Issue, issue), now, measured=True
                )
            )
        return self._composers[issue]

    def _pause(self, number: int, why: str) -> None:
        """Stops an issue whose messages can't be made or aren't taken, and lets the others go on."""
        now = self._clock()

        def pause(session: Session) -> None:
            issue = session.get_one(Issue, number, with_for_update=True)
            if issue.state is IssueState.sending:
                enter(issue, IssueState.paused, now, why=why, next_look=None)

        self._database.write(pause)
        self._composers.pop(number, None)
        self._hand.let_go(lambda job: job.issue == number)

    # ---- the end

    def _drain(self) -> None:
        """Waits for the relays' answers about what has been let go; gives everything else back."""
        while any(not each.idle for each in self._pool.conversations):
            for conversation in list(self._pool.conversations):
                if not conversation.idle and not conversation.open:
                    self._pool.drop(conversation, "the sender stopped")
            self._handle(self._pool.wait(PAUSE), fresh=False)
        self._pool.hang_up()
        self._returns.act(self._clock(), at_last=True)
        self._hand.give_all_back()

    def _expire_the_dead(self, session: Session) -> None:
        """Whoever ran on this machine and is gone holds no batch: nobody has to wait for its lease."""
        host = _here()
        dead = [owner for owner in deliveries.owners(session) if owner.startswith(f"{host}:") and not _alive(owner)]
        if dead:
            deliveries.expire(session, dead, self._clock())

    def _tell(self, trouble: str) -> None:
        self.progress.trouble = trouble
        self._show(self.progress)


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Thousands of jobs live for a second and make no cycles; looking for garbage among them is a tenth of the work."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _here() -> str:
    """The machine, and the set of processes that can be seen on it: two containers may share a host's name."""
    try:
        processes = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        processes = 0
    return f"{socket.gethostname()[:40]}/{processes}"


def _alive(owner: str) -> bool:
    try:
        os.kill(int(owner.split(":")[1]), 0)
    except (ProcessLookupError, ValueError, IndexError):
        return False
    except PermissionError:
        return True
    return True
