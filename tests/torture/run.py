"""One run: a copied database, mail servers, real processes, until nothing is due any more."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError

from newsletter.cli.work import send_for_ever, stop_on_signals
from newsletter.folder import open_folder
from newsletter.sender import Progress, Sender

from . import stages
from .ledgers import CONFIG, NOW, RELAY, SMALL, Books, Postgres, Size, Sqlite, Standing, Template
from .loop import Loop
from .processes import DATABASE_LOST, Clock, fork
from .server import Manner, Seen, Server, Way

FACTOR = 20.0
"""How much faster than the world's our clock runs. A lease of 2 minutes is 6 seconds, in which a noisy machine is
heard of; where nobody is at work the clock is put forward to what is due next, so that nothing is waited for."""
LONGEST = 90.0
"""Seconds after which a run that hasn't come to an end has failed."""
MOST_SENDERS = 300
MOST_IDLE = 8
"""Rounds in which nothing changed, after which nothing will."""
SLACK = 40.0
"""Seconds that the clock is put beyond what is due next: what is due soon after it goes with it."""
LEASE = 120.0

COMPLAINED = "complained about the database"
Complaint = (sqlite3.Error, psycopg.Error)


@dataclass(slots=True)
class Child:
    """A process of a run."""

    pid: int
    kind: str
    number: int
    log: Path
    alive: bool = True
    ended: str = ""
    stage: str = ""


@dataclass
class Run:
    """What a scenario sets up, and then what happens."""

    scenario: str
    seed: int
    path: Path
    source: Sqlite | Postgres
    broken: str = ""
    """The defence that is taken out of the senders."""
    small: bool = False
    """As few readers as will do."""

    size: Size = SMALL
    connections: int = 4
    relays: int = 1
    relay_lines: list[str] = field(default_factory=list)
    """What config.toml says besides about each relay."""
    senders: int = 1
    """How many are at work at once."""
    serving: bool = False
    """Senders as `newsletter work` runs them: for ever, until SIGTERM."""
    ways: Callable[[str, int], Way] = lambda recipient, nth: Way()
    manners: Callable[[int], Manner] = lambda number: Manner()
    stages: list[tuple[str, int]] = field(default_factory=list)
    """Where the next senders are killed, one after the other."""
    draining: bool = False
    """Stages count only after SIGTERM."""
    on_begin: list[Callable[[], None]] = field(default_factory=list)
    on_sender: list[Callable[[Child], None]] = field(default_factory=list)
    attacked: bool = False
    """The database is: complaints about it end a sender, and are no fault."""
    check: list[Callable[[], list[str]]] = field(default_factory=list)
    """What a scenario itself asks afterwards; sentences about what is wrong."""

    losses: int = 0
    """Deaths of senders, and moments at which a living one lost its lease or its database."""
    pending: int = 0
    """What must still happen before the run can end."""
    wrong: list[str] = field(default_factory=list)
    hits: list[str] = field(default_factory=list)
    """Stages at which a sender was killed, and senders that complained about their database."""
    story: list[str] = field(default_factory=list)
    started: int = 0
    wholes: int = 0
    """Final dots seen."""

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.scenario} {self.seed}")
        self.loop = Loop()
        self.clock = Clock(NOW, FACTOR)
        self.seen = Seen()
        self.books: Books = None  # type: ignore[assignment]
        self.servers: list[Server] = []
        self.children: list[Child] = []
        self._at_wholes: list[tuple[int, Callable[[], None]]] = []
        self._began = time.monotonic()
        self._last_sign = ""
        self._idle = 0
        self._stopping = False
        self._closing = False
        self._polled = 0.0

    # ---- what scenarios use

    def tell(self, sentence: str) -> None:
        self.story.append(f"{time.monotonic() - self._began:7.3f}  {sentence}")

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.loop.after(seconds, what)

    def at_wholes(self, count: int, what: Callable[[], None]) -> None:
        """When so many final dots have been seen since now."""
        self._at_wholes.append((self.wholes + count, what))

    def living(self, kind: str = "sender") -> list[Child]:
        return [each for each in self.children if each.alive and each.kind == kind]

    def signal(self, child: Child, number: signal.Signals) -> None:
        if child.alive:
            self.tell(f"{number.name} to {child.kind} {child.number}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)

    def jump(self, seconds: float) -> None:
        self.tell(f"the clock is put {seconds:+,.0f} s")
        self.clock.jump(seconds)

    def start(self, kind: str, work: Callable[[], int], *, stage: str = "") -> Child:
        self.started += 1
        log = self.path / f"{kind}-{self.started}.log"
        pid = fork(work, log, [sock for server in self.servers for sock in server.sockets()])
        child = Child(pid, kind, self.started, log, stage=stage)
        self.children.append(child)
        fd = os.pidfd_open(pid)
        self.loop.watch(fd, lambda: self._ended(child, fd))
        self.tell(f"{kind} {child.number} begins (process {pid}){f', to die {stage}' if stage else ''}")
        return child

    def start_sender(self) -> Child:
        stage = self.stages.pop(0) if self.stages else None
        child = self.start("sender", lambda: self.send(stage), stage=f"{stage[0]} ({stage[1]})" if stage else "")
        for each in self.on_sender:
            each(child)
        return child

    # ---- in a child

    def send(self, stage: tuple[str, int] | None) -> int:
        if self.broken:
            stages.BROKEN[self.broken]()
        folder = open_folder(self.path, checked=False)
        if self.serving:
            asked = stop_on_signals()
            if stage:
                stages.arm(*stage, armed=asked.is_set if self.draining else lambda: True)
            send_for_ever(folder, self.clock, asked)
            return 0
        if stage:
            stages.arm(*stage)
        try:
            Sender(folder, self.clock, show=_said()).run(stop=lambda: False)
        except (DBAPIError, *Complaint):
            traceback.print_exc()
            print("the database can't be used")  # noqa: T201 - to its log
            return DATABASE_LOST
        return 0

    # ---- from beginning to end

    def play(self) -> Template:
        """Until nothing is due any more."""
        self.template = self.source.template(self.size)
        self.books = self.source.copy(self.size, self.path)
        self.servers = [Server(self.loop, self.seen, self.ways, self.manners) for _ in range(self.relays)]
        for server in self.servers:
            server.on_whole = self._whole
            server.tried = self.servers[0].tried
        relays = "".join(
            RELAY.format(name=f"relay{i}", port=server.port, connections=self.connections, more=more)
            for i, (server, more) in enumerate(zip_longest(self.servers, self.relay_lines, fillvalue=""))
        )
        (self.path / "config.toml").write_text(CONFIG.format(database=self.books.url, relays=relays))
        try:
            for each in self.on_begin:
                each()
            if self.size.started:
                for _ in range(self.senders):
                    self.start_sender()
            self._until_settled()
        finally:
            # From here on nobody takes a dead one's place.
            self._closing = True
            while living := [child for child in self.children if child.alive]:
                for child in living:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, signal.SIGKILL)
                self.loop.turn()
        return self.template

    def close(self) -> None:
        """Gives everything back; asked once the oracle has looked."""
        for server in self.servers:
            server.die()
        self.loop.close()
        if self.books is not None:
            self.books.drop()

    def _until_settled(self) -> None:
        while True:
            self.loop.turn(0.05)
            if time.monotonic() - self._began > LONGEST or self.started > MOST_SENDERS:
                self.wrong.append(f"not settled after {time.monotonic() - self._began:.0f} s, {self.started} processes")
                return
            if self.living("sender"):
                if self.serving and not self._stopping and time.monotonic() - self._polled > 0.1:
                    self._polled = time.monotonic()
                    self._stop_if_settled()
            elif not any(each.alive for each in self.children) and self._next_round():
                return

    def standing(self) -> Standing | None:
        """None while the database can't be asked."""
        try:
            return self.books.standing()
        except Complaint:
            return None

    def _stop_if_settled(self) -> None:
        now = self.standing()
        if now is None:
            return
        if now.settled and not self.pending:
            self._stopping = True
            for child in self.living():
                self.signal(child, signal.SIGTERM)
        elif now.sign == self._last_sign:
            # Senders that run for ever wait for the clock. It may be put forward over the leases that they keep.
            moment = self.clock()
            nearest = min((each for each in (*now.moments, *now.rests) if each > moment), default=None)
            if nearest is not None:
                seconds = (nearest - moment).total_seconds() + SLACK
                self.losses += len(self.living()) if seconds > LEASE and len(self.living()) > 1 else 0
                self.jump(seconds)
        self._last_sign = now.sign

    def _next_round(self) -> bool:
        """Nobody is at work: whether that is the end; else senders are started for what is due next."""
        now = self.standing()
        if now is None or now.paused:
            time.sleep(0.005)
            return False
        if now.settled:
            return not self.pending
        moment = self.clock()
        sign = f"{now.sign} {len(self.seen.tries)}"
        self._idle = self._idle + 1 if sign == self._last_sign else 0
        nearest = None
        if self._idle:
            nearest = min((each for each in (*now.moments, *now.owned, *now.rests) if each > moment), default=None)
            if nearest is None and self._idle > MOST_IDLE:
                self.wrong.append(f"it isn't settled, and nothing is ever due: {sign}")
                return True
        elif now.moments and not now.owned and min(now.moments) > moment:
            nearest = min(now.moments)
        self._last_sign = sign
        if nearest is not None:
            self.jump((nearest - moment).total_seconds() + SLACK)
        for _ in range(self.senders):
            self.start_sender()
        return False

    def _ended(self, child: Child, fd: int) -> None:
        self.loop.forget(fd)
        os.close(fd)
        _, status = os.waitpid(child.pid, 0)
        child.alive = False
        code = os.waitstatus_to_exitcode(status)
        child.ended = signal.Signals(-code).name if code < 0 else str(code)
        self.tell(f"{child.kind} {child.number} has ended: {child.ended}")
        if child.kind != "sender" or self._closing:
            return
        if code != 0:
            self.losses += 1
        if code == -signal.SIGKILL and child.stage:
            self.hits.append(child.stage.rpartition(" (")[0])
        if self.attacked and "the database can't be used" in child.log.read_text().lower():
            self.hits.append(COMPLAINED)
        if code == DATABASE_LOST and not self.attacked:
            self.wrong.append(
                f"sender {child.number} complained about a database that nobody had touched (see its log)"
            )
        elif code > 0 and code != DATABASE_LOST and not (self.serving and code == 128 + signal.SIGTERM):
            self.wrong.append(f"sender {child.number} ended with {code} (see its log)")
        if (code != 0 or (self.serving and not self._stopping)) and self.started < MOST_SENDERS:
            standing = self.standing()
            if standing is None or not standing.settled:
                self.start_sender()

    def _whole(self) -> None:
        self.wholes += 1
        for each in [each for each in self._at_wholes if each[0] <= self.wholes]:
            self._at_wholes.remove(each)
            each[1]()


def _said() -> Callable[[Progress], None]:
    """What troubles a sender, once, in its log."""
    last = ""

    def show(progress: Progress) -> None:
        nonlocal last
        if progress.trouble != last:
            last = progress.trouble
            print(last or "well again")  # noqa: T201 - to its log

    return show


def limit(pid: int, octets: int) -> None:
    """How long a file that a process writes may become: its disk is full, or not any more."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))
