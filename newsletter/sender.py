"""Claim, compose, submit, record, until nothing is due: one thread, one loop over its relay connections.

A turn of the loop:
1. hear what the relays have answered;
2. in one transaction write those answers down, and mark as submitting every message that a relay waits for;
3. only then let those bodies go, each followed in the same write by the envelope of the next message.

So a commit serves as many messages as there are connections, there is no lock and no second thread, and what is
in doubt after a crash is at most one message for each connection.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from newsletter import compose, deliveries
from newsletter.compose import Composer
from newsletter.deliveries import Claimed, Entry, Ledger
from newsletter.errors import Mistake, SubscriberMistake
from newsletter.folder import Folder
from newsletter.issues.states import enter
from newsletter.models import Issue
from newsletter.pool import Pool
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
)
from newsletter.states import DeliveryState, IssueState

PAUSE = 0.5
"""Seconds after which a loop that waits for nothing in particular looks again."""
RENEW = 20.0
"""Seconds after which a lease is renewed, whatever happens."""

STATES = {Sent: DeliveryState.sent, Refused: DeliveryState.failed, Uncertain: DeliveryState.uncertain}


@dataclass(slots=True)
class _Batch:
    """A claimed batch, and how many of its deliveries are still in our hands."""

    claimed: Claimed
    open: int


@dataclass(slots=True)
class Progress:
    """What a sender has done since it began; shown while it works."""

    counts: Counter[str] = field(default_factory=Counter)
    """By the word of the state that deliveries came to."""
    trouble: str = ""
    """What is wrong with the relays, if anything."""


class Sender:
    """Sends whatever is due, in whichever issue, until there is nothing left or it is told to stop."""

    def __init__(
        self,
        folder: Folder,
        clock: Callable[[], dt.datetime],
        *,
        show: Callable[[Progress], None] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.owner = f"{_here()}:{os.getpid()}:{os.urandom(4).hex()}"
        self.progress = Progress()
        self._folder = folder
        self._clock = clock
        self._chance = chance
        self._show = show or (lambda _: None)
        self._ledger = Ledger(folder.engine)
        self._composers: dict[int, Composer] = {}
        self._readers: dict[tuple[int, int], deliveries.Due] = {}
        self._batches: dict[tuple[int, int], _Batch] = {}
        self._jobs: deque[Job] = deque()
        self._pool = Pool(folder, clock)
        self._nothing_until = 0.0
        self._renewed = 0.0

    def run(self, *, stop: Callable[[], bool], forever: bool = False) -> Progress:
        """Sends until nothing can be done now, or for ever, or until `stop` says so; then ends what is in the open.

        Nothing can be done where nothing is due, or where no relay lets us in: `Progress.trouble` says which. A
        message that a relay is being given is waited for; one that was only announced goes back to the ledger.
        """
        self._expire_the_dead()
        try:
            while not stop():
                if not self._turn():
                    if not forever:
                        break
                    time.sleep(PAUSE)
            self._drain()
        finally:
            self._ledger.close()
            self._pool.close()
        return self.progress

    # ---- one turn

    def _turn(self) -> bool:
        """Whether there was something that could be done now."""
        self._stay_alive()
        self._claim()
        self._pool.grow(len(self._jobs))
        for conversation in self._pool.conversations:
            while conversation.idle and (job := self._next_job()):
                conversation.offer(job)
        self.progress.trouble = self._pool.trouble
        if not self._pool.working:
            self._pool.hang_up()
            return False
        self._handle(self._pool.wait(PAUSE), fresh=True)
        self._show(self.progress)
        return True

    def _stay_alive(self) -> None:
        """Renews the leases where no answer has come for long: a relay may take ten minutes over one."""
        if self._batches and time.monotonic() - self._renewed > RENEW:
            with self._ledger.turn():
                self._ledger.renew(self.owner, self._clock())
            self._renewed = time.monotonic()

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
            if (job.issue, job.subscriber) in begun:
                job.begun = True
                conversation.release(job, self._next_job() if fresh else None)
            else:
                # The reader left, or the issue was paused, since it was announced: the relay must not get it, and
                # after its 354 only an end of the connection can tell it so.
                ended += [
                    (conversation.relay, event) for event in self._pool.drop(conversation, "not to be sent after all")
                ]
        self._settle(ended)

    def _write_down(
        self, ready: list[tuple[Conversation, Job]], ended: list[tuple[str, Ended]]
    ) -> set[tuple[int, int]]:
        """The turn's one transaction. Answers which of the ready ones are now submitting."""
        now = self._clock()
        begun: set[tuple[int, int]] = set()
        entries: dict[str, list[Entry]] = {}
        for relay, event in ended:
            if (entry := self._entry(event, now)) is not None:
                entries.setdefault(relay, []).append(entry)
        by_place: dict[tuple[str, int], list[Job]] = {}
        for conversation, job in ready:
            by_place.setdefault((conversation.relay, job.issue), []).append(job)
        self._renewed = time.monotonic()
        with self._ledger.turn():
            ours = self._ledger.renew(self.owner, now) == len(self._batches)
            going = self._ledger.going() if ready else set()
            for relay, said in entries.items():
                self._ledger.record(said, relay, now)
            for (relay, issue), jobs in by_place.items():
                if ours and issue in going:
                    retried = [job.subscriber for job in jobs if job.tries]
                    found = self._ledger.begin(issue, [job.subscriber for job in jobs], retried, relay, now)
                    begun |= {(issue, subscriber) for subscriber in found}
        for said in entries.values():
            for entry in said:
                self.progress.counts[entry.state.value] += 1
        if not ours or any(job.issue not in going for _, job in ready):
            self._let_go(lambda job: not ours or job.issue not in going)
        return begun

    def _entry(self, event: Ended, now: dt.datetime) -> Entry | None:
        job, outcome = event.job, event.outcome
        match outcome:
            case Returned():
                return None
            case Deferred(reply):
                tries = job.tries + 1
                first = self._readers[job.issue, job.subscriber].first_try or now
                again = deliveries.next_try(self._folder.config.sending, tries, first, now, self._chance())
                if again is None:
                    given_up = self._folder.config.sending.give_up_after
                    return self._made(job, DeliveryState.failed, f"{reply} (given up after {given_up})")
                return self._made(job, DeliveryState.deferred, reply, again)
            case _:
                return self._made(job, STATES[type(outcome)], outcome.reply)

    def _made(self, job: Job, state: DeliveryState, reply: str, again: dt.datetime | None = None) -> Entry:
        return Entry(job.issue, job.subscriber, state, reply, job.begun, job.tries, again)

    # ---- jobs

    def _claim(self) -> None:
        wanted = 2 * max(relay.connections for relay in self._folder.config.relays)
        while len(self._jobs) < wanted and self._nothing_until <= time.monotonic():
            now = self._clock()
            with self._folder.session() as session:
                claimed = deliveries.claim(session, self.owner, now)
            if claimed is None:
                self._nothing_until = time.monotonic() + PAUSE
                return
            with self._ledger.turn():
                found = self._ledger.due(claimed, now)
            self._batches[claimed.key] = _Batch(claimed, len(found))
            for each in found:
                self._readers[claimed.issue, each.reader.subscriber] = each
                self._jobs.append(Job(claimed.issue, each.reader.subscriber, claimed.key, each.tries))
            if not found:
                self._settled(claimed.key, 0)

    def _next_job(self) -> Job | None:
        """The next job with its message composed; one whose address no mail server could take has failed."""
        while self._jobs:
            job = self._jobs.popleft()
            if job.message is not None:
                return job
            try:
                job.message = self._composer(job.issue).compose(
                    self._readers[job.issue, job.subscriber].reader, self._clock()
                )
            except SubscriberMistake as mistake:
                ended = Ended(job, Refused(str(mistake)))
                self._write_down([], [("", ended)])
                self._settle([("", ended)])
            except Mistake as mistake:
                self._jobs.appendleft(job)
                self._pause(job.issue, str(mistake))
            else:
                return job
        return None

    def _pause(self, number: int, why: str) -> None:
        """Stops an issue whose messages can't be made, and lets the others go on."""
        with self._folder.session() as session:
            issue = session.get_one(Issue, number)
            if issue.state is IssueState.sending:
                enter(issue, IssueState.paused, self._clock(), why=why, next_look=None)
        self._composers.pop(number, None)
        self._let_go(lambda job: job.issue == number)

    def _composer(self, issue: int) -> Composer:
        if issue not in self._composers:
            with self._folder.session() as session:
                row = session.get_one(Issue, issue)
                self._composers[issue] = compose.for_issue(session, self._folder, row, self._clock())
        return self._composers[issue]

    def _settle(self, ended: list[tuple[str, Ended]]) -> None:
        for _, event in ended:
            job = event.job
            if isinstance(event.outcome, Returned) and job.batch in self._batches:
                self._jobs.appendleft(job)
            else:
                self._readers.pop((job.issue, job.subscriber), None)
                self._settled(job.batch, 1)

    def _settled(self, key: tuple[int, int], count: int) -> None:
        batch = self._batches.get(key)
        if batch is None:
            return
        batch.open -= count
        if batch.open <= 0:
            self._give_back(batch.claimed)

    def _give_back(self, claimed: Claimed) -> None:
        del self._batches[claimed.key]
        now = self._clock()
        with self._folder.session() as session:
            deliveries.give_back(session, claimed, self.owner, now)
            if deliveries.finish(session, claimed.issue, now):
                self._composers.pop(claimed.issue, None)

    def _let_go(self, gone: Callable[[Job], bool]) -> None:
        """Forgets jobs that aren't ours to do any more, and gives back their batches."""
        keys = {job.batch for job in self._jobs if gone(job)}
        for job in [job for job in self._jobs if gone(job)]:
            self._jobs.remove(job)
            self._readers.pop((job.issue, job.subscriber), None)
            self._batches[job.batch].open -= 1
        for key in keys:
            if self._batches[key].open <= 0:
                self._give_back(self._batches[key].claimed)

    # ---- the end

    def _drain(self) -> None:
        """Waits for the relays' answers about what has been let go; gives everything else back."""
        while any(not each.idle for each in self._pool.conversations):
            for conversation in list(self._pool.conversations):
                if not conversation.idle and not conversation.open:
                    self._pool.drop(conversation, "the sender stopped")
            self._handle(self._pool.wait(PAUSE), fresh=False)
        self._pool.hang_up()
        self._jobs.clear()
        for batch in list(self._batches.values()):
            self._give_back(batch.claimed)

    def _expire_the_dead(self) -> None:
        """Whoever ran on this machine and is gone holds no batch: nobody has to wait for its lease."""
        host = _here()
        with self._folder.session() as session:
            dead = [owner for owner in deliveries.owners(session) if owner.startswith(f"{host}:") and not _alive(owner)]
            if dead:
                deliveries.expire(session, dead, self._clock())


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
