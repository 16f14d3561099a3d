"""The jobs of recipient domains that have asked for less: each domain's in a line, let go at the pace it can take."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from newsletter import pacing, rates
from newsletter.pacing import Learned
from newsletter.patience import PatientDatabase
from newsletter.rates import Rate
from newsletter.relays import Deferred, Ended, Job, Sent

HOLD = dt.timedelta(minutes=1)
"""What can't go within this is put off in the ledger, so that a slow domain's jobs don't pile up in memory."""
FURTHEST = 10 * HOLD
"""No further than this, since the domain may be well again by then."""
LEAST = 20
"""Jobs that a line may hold, however slow it is."""
SEEN = 2000
"""Answers from which a domain's rate is told, and within so many seconds."""
SECONDS = 10.0
ENOUGH = 5
"""Refusals among them that it takes to be about the domain: one reader's may be for that reader."""


@dataclass(slots=True)
class _Line:
    learned: Learned
    jobs: deque[Job] = field(default_factory=deque)
    left: int = 0
    granted: dt.datetime | None = None
    more: dt.datetime | None = None
    promised: dt.datetime | None = None
    """The moment that the last one put off was put off until."""
    asked: dt.datetime | None = None
    """When the rate was last changed, or asked to be."""


class DomainLines:
    """The lines of one sender; what was learned, and how far it is used up, all senders share."""

    def __init__(self, database: PatientDatabase, clock: Callable[[], dt.datetime]) -> None:
        self._database = database
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._answers: deque[tuple[float, str, bool]] = deque(maxlen=SEEN)
        """When, from whose address, and whether it asked for less."""
        self._freed: deque[Job] = deque()
        """Whose domain has nothing to keep to any more."""
        self.look()

    @property
    def more(self) -> dt.datetime | None:
        """When the first line that waits for its pace may go on."""
        return min((line.more for line in self._lines.values() if line.jobs and line.more), default=None)

    @property
    def jobs(self) -> list[Job]:
        """All that wait."""
        return [*self._freed, *(job for line in self._lines.values() for job in line.jobs)]

    def look(self) -> None:
        """Learns what other senders have learned."""
        known = self._database.write(pacing.known)
        for domain, learned in known.items():
            self._learn(domain, learned)
        for domain in [domain for domain in self._lines if domain not in known]:
            self._learn(domain, None)

    def sort(self, jobs: Iterable[Job]) -> tuple[deque[Job], list[tuple[Job, dt.datetime, str]]]:
        """Puts jobs into their domains' lines. Answers those without one, and those to be put off: until when, why."""
        free: deque[Job] = deque()
        put_off: list[tuple[Job, dt.datetime, str]] = []
        now = self._clock()
        for job in jobs:
            line = self._lines.get(domain := _domain(job))
            if line is None:
                free.append(job)
                continue
            a_while = max(LEAST, int(line.learned.rate * HOLD.total_seconds()))
            if len(line.jobs) < a_while:
                line.jobs.append(job)
                continue
            promised = max(line.promised or now, now) + dt.timedelta(seconds=1 / line.learned.rate)
            line.promised = min(promised, now + FURTHEST)
            # By the minute, so that many come back to a batch together.
            until = now + HOLD * math.ceil((line.promised - now) / HOLD)
            put_off.append((job, until, f"{domain} gets {line.learned.rate:.1f} a second: {line.learned.why}"))
        return free, put_off

    def next(self) -> Job | None:
        """The next job whose domain can take one now."""
        if self._freed:
            return self._freed.popleft()
        for domain, line in self._lines.items():
            if line.jobs and self._granted(domain, line):
                line.left -= 1
                return line.jobs.popleft()
        return None

    def take_out(self, gone: Callable[[Job], bool]) -> list[Job]:
        """Jobs that aren't ours any more."""
        out = [job for job in self.jobs if gone(job)]
        self._freed = deque(job for job in self._freed if not gone(job))
        for line in self._lines.values():
            line.jobs = deque(job for job in line.jobs if not gone(job))
        return out

    def hear(self, ended: Iterable[Ended]) -> bool:
        """Learns from what relays answered. Whether there is a line that wasn't there before."""
        new = False
        seconds = time.monotonic()
        for event in ended:
            if isinstance(event.outcome, Sent):
                self._answers.append((seconds, _address(event.job), False))
                if self._lines and (line := self._lines.get(domain := _domain(event.job))):
                    self._speed_up(domain, line)
            elif isinstance(event.outcome, Deferred) and pacing.asks_for_less(event.outcome.reply):
                self._answers.append((seconds, _address(event.job), True))
                new |= self._slow_down(_domain(event.job), event.outcome.reply, seconds)
        return new

    def _slow_down(self, domain: str, reply: str, seconds: float) -> bool:
        now, line = self._clock(), self._lines.get(domain)
        if line is not None and line.asked is not None and dt.timedelta() <= now - line.asked < pacing.STEP:
            return False
        recent = [each for each in self._answers if seconds - each[0] < SECONDS]
        its = [less for _, address, less in recent if address.lower().endswith(f"@{domain}")]
        if line is None and sum(its) < ENOUGH:
            return False
        seen = len(its) / max(1.0, seconds - recent[0][0]) if recent else 0.0
        learned = self._database.write(lambda session: pacing.slow_down(session, domain, seen, reply, now))
        self._learn(domain, learned)
        self._lines[domain].asked = now
        return line is None

    def _speed_up(self, domain: str, line: _Line) -> None:
        now = self._clock()
        if line.asked is not None and dt.timedelta() <= now - line.asked < pacing.STEP:
            return
        line.asked = now
        self._learn(domain, self._database.write(lambda session: pacing.speed_up(session, domain, now)))

    def _learn(self, domain: str, learned: Learned | None) -> None:
        if learned is not None:
            line = self._lines.setdefault(domain, _Line(learned))
            line.learned = learned
        elif domain in self._lines:
            self._freed += self._lines.pop(domain).jobs

    def _granted(self, domain: str, line: _Line) -> bool:
        now = self._clock()
        rate = Rate(f"domain {domain}", line.learned.rate, 1.0)
        if line.left > 0 and line.granted is not None and dt.timedelta() <= now - line.granted <= rate.good_for:
            return True
        line.left = 0
        if line.more is not None and now < line.more <= now + 2 * pacing.STEP:
            return False
        line.granted = now
        line.left, line.more = self._database.write(lambda session: rates.take(session, [rate], rate.at_once, now))
        return line.left > 0


def _address(job: Job) -> str:
    return job.reader.address if job.reader is not None else ""


def _domain(job: Job) -> str:
    return _address(job).rpartition("@")[2].lower()
