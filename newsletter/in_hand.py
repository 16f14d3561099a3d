"""What one sender has in its hands: batches of the ledger under its lease, and the jobs that are made of them."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import cadence, deliveries, gates
from newsletter.deliveries import Claimed
from newsletter.domain_lines import DomainLines
from newsletter.folder import Folder
from newsletter.gates import Open, Shut
from newsletter.ledger import Due, Ledger
from newsletter.models import Issue
from newsletter.patience import PatientDatabase
from newsletter.relays import Job
from newsletter.states import IssueState

PAUSE = 0.5
"""Seconds after which it is looked again for something that is due."""
LOOK = 10.0
"""Seconds after which what other senders have learned of domains is read again."""


@dataclass(slots=True)
class _Batch:
    """A claimed batch, and how many of its deliveries are still in our hands."""

    claimed: Claimed
    open: int


class InHand:
    """Batches and jobs of one sender."""

    def __init__(self, folder: Folder, database: PatientDatabase, owner: str, clock: Callable[[], dt.datetime]) -> None:
        self.lines = DomainLines(database, clock)
        self.open: dict[int, Open] = {}
        """By issue: until when its messages may leave, and how many."""
        self._folder = folder
        self._database = database
        self._owner = owner
        self._clock = clock
        self._batches: dict[tuple[int, int], _Batch] = {}
        self._jobs: deque[Job] = deque()
        self._nothing_until = 0.0
        self._looked = time.monotonic()
        self._unknown = False
        """Whether more is ours than we know of: a claim came through, and the word of it didn't."""

    def still_ours(self, renewed: int) -> bool:
        """Whether nothing was taken from us, by how many leases were renewed."""
        self._unknown |= renewed > len(self._batches)
        return renewed >= len(self._batches)

    @property
    def empty(self) -> bool:
        """Whether no batch is ours."""
        return not self._batches

    @property
    def waiting(self) -> int:
        """How many jobs could be given to a relay now, as far as their domains go."""
        return len(self._jobs) or bool(self.lines.jobs)

    @property
    def wanted(self) -> int:
        """How many jobs to have ready: two for each connection that there may be."""
        return 2 * sum(relay.connections for relay in self._folder.config.relays)

    def claim(self) -> None:
        """Takes batches until there is enough to do, or nothing is due."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            self.lines.look()
        while len(self._jobs) < self.wanted and self._nothing_until <= time.monotonic():
            now = self._clock()
            taken = self._database.write(partial(self._claimed, now))
            if taken is None:
                self._nothing_until = time.monotonic() + PAUSE
                return
            claimed, today = taken
            found = self._database.turn(partial(_due, claimed, now, today))
            self._batches[claimed.key] = _Batch(claimed, len(found))
            self._jobs += [
                Job(
                    claimed.issue,
                    each.reader.subscriber,
                    claimed.key,
                    each.tries,
                    reader=each.reader,
                    first_try=each.first_try,
                )
                for each in found
            ]
            if not found:
                self._settled(claimed.key, 0)
            self.sort()

    def _claimed(self, now: dt.datetime, session: Session) -> tuple[Claimed, dt.date] | None:
        """A batch of an issue that may leave now, and which day it is for its publication."""
        taken = self._batch(now, session)
        if taken is None:
            return None
        _, publication = self._folder.publication(session.get_one(Issue, taken.issue).publication)
        return taken, cadence.local_date(publication.cadence, now)

    def _batch(self, now: dt.datetime, session: Session) -> Claimed | None:
        """A batch of an issue that may leave now. An issue that may not says why, and until when."""
        self.open = {}
        for issue in session.scalars(select(Issue).where(Issue.state == IssueState.sending, deliveries.may_leave(now))):
            _, publication = self._folder.publication(issue.publication)
            found = gates.look(session, self._folder.config, publication, now)
            if isinstance(found, Shut):
                issue.why, issue.since, issue.next_look = found.why, now, found.until
            else:
                self.open[issue.id] = found
                if issue.why:
                    issue.why, issue.since, issue.next_look = "", now, now
        session.flush()
        if self._unknown:
            self._unknown = False
            for claimed in deliveries.owned(session, self._owner):
                if claimed.key not in self._batches:
                    return claimed
        taken = deliveries.claim(session, self._owner, now)
        if taken is None:
            deliveries.lapse(session, now)
            # One whose last batch was given back while it was paused has nobody else to say that it is sent.
            for number in session.scalars(select(Issue.id).where(Issue.state == IssueState.sending)).all():
                deliveries.finish(session, number, now)
        return taken

    def sort(self) -> None:
        """Puts jobs of domains that asked for less into their lines, and off what can't go for a while."""
        self._jobs, put_off = self.lines.sort(self._jobs)
        if not put_off:
            return
        now = self._clock()
        self._database.turn(
            lambda ledger, _: ledger.put_off(
                [(job.issue, job.subscriber, job.tries, until, why) for job, until, why in put_off], now
            )
        )
        for job, _, _ in put_off:
            self._settled(job.batch, 1)

    def next(self) -> Job | None:
        """The next job, in the order of the ledger; those of slow domains when their turn has come."""
        return self.lines.next() or (self._jobs.popleft() if self._jobs else None)

    def coming(self, count: int) -> list[Job]:
        """The jobs that are next, as far as can be told."""
        return list(islice(self._jobs, count))

    def put_back(self, job: Job) -> None:
        """A job comes back as it was, to be the next."""
        if job.batch in self._batches:
            self._jobs.appendleft(job)

    def settled(self, jobs: Iterable[Job]) -> None:
        """Jobs have come to an end, or wait in the ledger for their next try."""
        for job in jobs:
            self._settled(job.batch, 1)

    def let_go(self, gone: Callable[[Job], bool]) -> None:
        """Forgets jobs that aren't ours to do any more, and gives back their batches."""
        out = [job for job in self._jobs if gone(job)] + self.lines.take_out(gone)
        self._jobs = deque(job for job in self._jobs if not gone(job))
        self.settled(out)

    def give_all_back(self) -> None:
        """Nothing is in our hands any more."""
        self._jobs.clear()
        self.lines.take_out(lambda _: True)
        for batch in list(self._batches.values()):
            self._give_back(batch.claimed)

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
        if not self._database.turn(lambda ledger, _: ledger.give_back(claimed, self._owner, now)):
            self._database.write(lambda session: deliveries.finish(session, claimed.issue, now))


def _due(claimed: Claimed, now: dt.datetime, today: dt.date, ledger: Ledger, again: bool) -> list[Due]:
    del again
    return ledger.due(claimed, now, today)
