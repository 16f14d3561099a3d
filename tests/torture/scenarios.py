"""What is done to the senders in a run, each by its name. Everything is drawn from the run's seed."""

from __future__ import annotations

import datetime as dt
import math
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event, select

from newsletter import issues, scheduler
from newsletter.folder import open_folder
from newsletter.models import Delivery, Issue
from newsletter.states import DeliveryState, IssueState

from .ledgers import HEAVY, LARGE, MIDDLE, NOW, SMALL, TINY_BATCHES, TOP, UNSTARTED, Postgres
from .run import LEASE, Child, Run, limit
from .server import Manner, Way
from .stages import STAGES


@dataclass(frozen=True, slots=True)
class Scenario:
    prepare: Callable[[Run], None]
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    share: int = 1
    """How often it comes among the others."""


# ---- servers

LATER = ("421 4.3.2 not now", "450 4.2.1 mailbox busy", "451 4.7.1 greylisted", "452 4.3.1 no room", "552 5.2.2 full")
NEVER = ("550 5.1.1 no such user", "553 5.1.3 bad address", "554 5.7.1 not wanted")
TRIES = 3
"""The try at a recipient from which on the server has nothing against it; most of the time."""


def _accept(rng: random.Random) -> Way:
    return Way(wait=rng.uniform(0.0005, 0.006) if rng.random() < 0.3 else 0.0)


def _late(rng: random.Random) -> Way:
    return Way(wait=rng.uniform(0.01, 0.15))


def _before_dot(rng: random.Random) -> Way:
    return Way(rng.choice(("at data", "in body", "before dot")), reset=rng.random() < 0.5)


def _after_dot(rng: random.Random) -> Way:
    return Way(rng.choice(("taken", "lost")), reset=rng.random() < 0.5)


def _refusal(rng: random.Random) -> Way:
    kind = rng.choice(("rcpt", "data", "final"))
    later = LATER if kind == "final" else LATER[1:]
    return Way(kind, rng.choice(later if rng.random() < 0.6 else NEVER))


def _babble(rng: random.Random) -> Way:
    del rng
    return Way("babble")


def _out_of_step(rng: random.Random) -> Way:
    return Way(rng.choice(("unasked", "swallow")))


def _ways(run: Run, *mix: tuple[float, Callable[[random.Random], Way]]) -> Callable[[str, int], Way]:
    """Each of the mix so often; yes to the rest. One in fifty recipients is put off for ever if anybody is refused."""
    stubborn = any(make is _refusal for _, make in mix)

    def ways(recipient: str, nth: int) -> Way:
        rng = random.Random(f"{run.seed} {recipient} {nth}")
        if stubborn and random.Random(f"{run.seed} {recipient}").random() < 0.02:
            return Way("rcpt", "451 4.7.1 greylisted for ever")
        if nth < TRIES:
            for share, make in mix:
                if rng.random() < share:
                    return make(rng)
        return _accept(rng)

    return ways


def _manners(run: Run, share: float) -> Callable[[int], Manner]:
    """Connections that are closed after a few messages, or refused, or without PIPELINING; for a while."""

    def manners(number: int) -> Manner:
        rng = random.Random(f"{run.seed} connection {number}")
        pipelining = rng.random() > 0.15
        if number > (10 if run.small else 40) or rng.random() > share:
            return Manner(pipelining=pipelining)
        after = rng.randint(1, 20)
        return rng.choice(
            (
                Manner(pipelining=pipelining, enough_after=after, reset=rng.random() < 0.3),
                Manner(pipelining=pipelining, closed_after=after, reset=rng.random() < 0.5),
                Manner(greeting="421 4.3.2 too many connections"),
                Manner(greeting="554 5.3.2 go away"),
            )
        )

    return manners


def _mixed(run: Run) -> None:
    run.ways = _ways(
        run,
        (0.06, _refusal),
        (0.03, _before_dot),
        (0.03, _after_dot),
        (0.03, _late),
        (0.01, _babble),
        (0.01, _out_of_step),
    )
    run.manners = _manners(run, 0.4)


def _dies(run: Run) -> None:
    """A server dies, and comes back; several times."""

    def schedule(left: int) -> None:
        server = run.rng.choice(run.servers)

        def rise() -> None:
            run.tell("a server is back")
            server.rise()
            run.pending -= 1
            if left > 1:
                schedule(left - 1)

        def die() -> None:
            run.tell("a server dies")
            server.die()
            run.after(run.rng.uniform(0.0, 0.1), rise)

        run.pending += 1
        if run.rng.random() < 0.5:
            run.after(run.rng.uniform(0.0, 0.2), die)
        else:
            # Where the server takes nothing any more, the moment comes all the same.
            done = [False]

            def once() -> None:
                if not done[0]:
                    done[0] = True
                    die()

            run.at_wholes(run.rng.randint(1, 40), once)
            run.after(0.4, once)

    run.on_begin.append(lambda: schedule(run.rng.randint(1, 4)))


# ---- what every run draws


def _ordinary(run: Run) -> None:
    """Readers, connections, relays and a server that mostly says yes; half of the time a difficult one."""
    size = run.rng.choices((SMALL, MIDDLE, LARGE, HEAVY), (5, 4, 1, 1))[0]
    run.size = SMALL if run.small else size
    run.connections = run.rng.choice((1, 2, 4, 4, 8))
    run.relays = run.rng.choice((1, 1, 2))
    run.ways = _ways(run, (0.0, _accept))
    if run.rng.random() < 0.3:
        _mixed(run)


def _nth(run: Run, often: int) -> int:
    """1 more often than 2, 2 than 3: a stage that isn't reached kills nobody."""
    return round(math.exp(run.rng.uniform(0, math.log(often))))


def _some_stages(run: Run, names: list[str]) -> None:
    first = run.seed % len(names)
    chosen = [names[first], *(run.rng.choice(names) for _ in range(run.rng.choice((0, 0, 1, 2, 3))))]
    run.stages = [(name, _nth(run, STAGES[name].often)) for name in chosen]


# ---- senders that die


def killed_at_a_stage(run: Run) -> None:
    _ordinary(run)
    _some_stages(run, list(STAGES))


def killed_at_any_moment(run: Run) -> None:
    _ordinary(run)
    left = run.rng.randint(1, 5)

    def plan(child: Child) -> None:
        nonlocal left
        if left == 0:
            return
        left -= 1
        if run.rng.random() < 0.5:
            run.after(run.rng.uniform(0, 0.25), lambda: run.signal(child, signal.SIGKILL))
        else:
            run.at_wholes(run.rng.randint(1, run.size.readers // 3), lambda: run.signal(child, signal.SIGKILL))

    run.on_sender.append(plan)


def _told_to_stop(run: Run, *, twice: bool) -> None:
    _ordinary(run)
    run.serving = True
    left = run.rng.randint(1, 4)

    def tell(child: Child) -> None:
        run.signal(child, signal.SIGTERM)
        if twice:
            run.after(run.rng.choice((0.0, 0.002, 0.02)), lambda: run.signal(child, signal.SIGTERM))

    def plan(child: Child) -> None:
        nonlocal left
        if left == 0:
            return
        left -= 1
        if run.rng.random() < 0.3:
            run.after(run.rng.uniform(0, 0.2), lambda: tell(child))
        else:
            run.at_wholes(run.rng.randint(1, run.size.readers // 3), lambda: tell(child))

    run.on_sender.append(plan)


def told_to_stop(run: Run) -> None:
    _told_to_stop(run, twice=False)


def told_twice(run: Run) -> None:
    _told_to_stop(run, twice=True)


DRAINING = [
    "before a turn is committed",
    "after a turn is committed",
    "answer heard, nothing written",
    "answer written, not committed",
    "before a batch is given back",
    "batch given back, not committed",
    "before finish",
    "after finish, not committed",
    "after a batch was given back",
]


def killed_while_draining(run: Run) -> None:
    _told_to_stop(run, twice=False)
    run.draining = True
    _some_stages(run, DRAINING)
    run.stages = [(name, min(nth, 3)) for name, nth in run.stages]


# ---- difficult servers


def _server(*mix: tuple[float, Callable[[random.Random], Way]], manners: float = 0.0) -> Callable[[Run], None]:
    def prepare(run: Run) -> None:
        _ordinary(run)
        run.ways = _ways(run, *mix)
        run.manners = _manners(run, manners)

    return prepare


def server_dies(run: Run) -> None:
    _ordinary(run)
    _dies(run)


def everything_at_once(run: Run) -> None:
    killed_at_any_moment(run)
    _mixed(run)
    _dies(run)
    if run.rng.random() < 0.5:
        _some_stages(run, list(STAGES))
    run.senders = run.rng.choice((1, 2, 3))


def several_relays_with_rates(run: Run) -> None:
    """Priorities, shares and rates; senders and servers that die meanwhile."""
    killed_at_any_moment(run)
    _dies(run)
    run.relays = run.rng.choice((2, 3))
    run.senders = run.rng.choice((1, 1, 2))
    for _ in range(run.relays):
        rate = run.rng.choice(("", "per_second = 20", "per_second = 100", "per_hour = 20000"))
        run.relay_lines.append(f"priority = {run.rng.choice((1, 1, 2))}\nshare = {run.rng.randint(1, 3)}\n{rate}\n")


# ---- the database


def _attack(run: Run, attack: Callable[[], None]) -> None:
    """Some times in a run; every sender that is alive then has lost something."""
    run.attacked = True
    left = run.rng.randint(1, 4)

    def schedule() -> None:
        if run.rng.random() < 0.4:
            run.after(run.rng.uniform(0, 0.2), strike)
        else:
            run.at_wholes(run.rng.randint(1, run.size.readers // 4), strike)

    def strike() -> None:
        nonlocal left
        if run.living():
            run.losses += len(run.living())
            attack()
        left -= 1
        if left > 0:
            schedule()

    run.on_begin.append(schedule)


def backends_terminated(run: Run) -> None:
    _ordinary(run)
    run.serving = run.rng.random() < 0.3

    def attack() -> None:
        source = run.source
        assert isinstance(source, Postgres)
        run.tell("all backends are terminated")
        source.terminate(run.books.name)

    _attack(run, attack)


def database_stopped(run: Run) -> None:
    _ordinary(run)
    run.serving = run.rng.random() < 0.3

    def attack() -> None:
        source = run.source
        assert isinstance(source, Postgres)
        if run.pending:
            return  # it is away already
        run.tell("the database is stopped at once")
        run.pending += 1
        source.stop()
        run.after(run.rng.uniform(0.02, 0.15), start)

    def start() -> None:
        source = run.source
        assert isinstance(source, Postgres)
        running = source.start()

        def look() -> None:
            if running.poll() is None:
                run.after(0.02, look)
            elif source.up():
                run.tell("the database is back")
                run.pending -= 1
            else:
                run.after(0.05, start)

        look()

    _attack(run, attack)


def disk_full(run: Run) -> None:
    _ordinary(run)

    def attack() -> None:
        run.pending += 1
        log = run.path / "newsletter.db-wal"
        # SQLite's index of its log has 32 KB from the beginning.
        size = max(40000, (log.stat().st_size if log.exists() else 0) + run.rng.choice((0, 5000, 20000)))
        full = run.living()
        run.tell(f"the disk is full: no file over {size:,} octets")
        for child in full:
            limit(child.pid, size)

        def free() -> None:
            run.tell("there is room again")
            for child in full:
                if child.alive:
                    limit(child.pid, 1 << 40)
            run.pending -= 1

        run.after(run.rng.uniform(0.01, 0.3), free)

    _attack(run, attack)


def database_at_its_limit(run: Run) -> None:
    """SQLite's own SQLITE_FULL: the first senders' connections may not make the file any longer."""
    _ordinary(run)
    run.attacked = True
    room = time.monotonic() + run.rng.uniform(0.2, 0.8)
    # Long replies: the ledger's rows grow, and need pages.
    run.ways = _ways(run, (0.7, lambda _: Way(reply=f"250 2.0.0 taken{' as said' * 60}")))

    def full(connection: Any, record: object) -> None:
        del record
        if time.monotonic() < room:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + run.rng.choice((0, 0, 1))}")

    send = run.send

    def limited(stage: tuple[str, int] | None) -> int:
        event.listen(Engine, "connect", full)
        return send(stage)

    run.send = limited  # type: ignore[method-assign]


# ---- clocks


def clock_jumps(run: Run) -> None:
    _ordinary(run)
    run.senders = run.rng.choice((1, 1, 2))
    left = run.rng.randint(1, 4)

    def jump() -> None:
        nonlocal left
        seconds = run.rng.choice((-1, 1)) * run.rng.choice((60.0, 3600.0, 5 * 3600.0))
        # Forward over a lease: whoever comes next may take a living sender's batches.
        run.losses += len(run.living()) if seconds > LEASE else 0
        run.jump(seconds)
        left -= 1
        if left:
            schedule()

    def schedule() -> None:
        if run.rng.random() < 0.4:
            run.after(run.rng.uniform(0, 0.1), jump)
        else:
            run.at_wholes(run.rng.randint(1, run.size.readers // 4), jump)

    run.on_begin.append(schedule)


def machine_suspended(run: Run) -> None:
    """The wall clock goes on without the sender while it waits for answers: nobody else has touched its batches."""
    run.size = TINY_BATCHES
    run.connections = run.rng.choice((4, 8))
    run.ways = _ways(run, (0.15, lambda rng: Way(wait=rng.choice((0.05, 0.6)))))
    run.manners = _manners(run, 0.3)

    def jump() -> None:
        if any(run.living()):
            run.losses += 1
            run.jump(300)
            run.after(run.rng.uniform(0.1, 0.4), jump)

    run.after(run.rng.uniform(0, 0.2), jump)


# ---- several at once


def three_senders_one_killed(run: Run) -> None:
    _ordinary(run)
    run.senders = 3
    if run.rng.random() < 0.5:
        run.stages = [(name := run.rng.choice(list(STAGES)), _nth(run, STAGES[name].often))]
        return

    def kill() -> None:
        if run.living():
            run.signal(run.rng.choice(run.living()), signal.SIGKILL)

    for _ in range(run.rng.randint(1, 3)):
        run.at_wholes(run.rng.randint(1, run.size.readers // 2), kill)


def three_senders_one_stopped(run: Run) -> None:
    """SIGSTOP, its lease runs out, the others take what it had, SIGCONT."""
    _ordinary(run)
    run.senders = 3

    def stop() -> None:
        if not run.living():
            return
        child = run.rng.choice(run.living())
        run.pending += 1
        run.losses += 1
        run.signal(child, signal.SIGSTOP)
        run.after(run.rng.uniform(0.0, 0.05), lambda: lapse(child))

    def lapse(child: Child) -> None:
        # For everyone: whoever is alive and writes in time keeps its batches; a turn is much shorter than a lease.
        run.losses += len(run.living()) - 1
        run.jump(LEASE + 5)
        run.start_sender()
        run.after(run.rng.choice((0.0, 0.05, 0.3, 0.8)), lambda: go_on(child))

    def go_on(child: Child) -> None:
        run.signal(child, signal.SIGCONT)
        run.pending -= 1

    for _ in range(run.rng.randint(1, 2)):
        run.at_wholes(run.rng.randint(1, run.size.readers // 2), stop)


def two_schedulers(run: Run) -> None:
    """Two processes look at the calendar at the same moments, some of them killed meanwhile; then it is sent."""
    run.size = UNSTARTED
    run.connections = 2
    run.ways = _ways(run, (0.0, _accept))
    moments = [NOW - dt.timedelta(hours=16, minutes=50), NOW - dt.timedelta(minutes=55), NOW]
    begin = time.monotonic() + 0.05

    def look() -> int:
        folder = open_folder(run.path, checked=False)
        while time.monotonic() < begin:
            pass
        for now in moments:
            for _ in range(2):
                scheduler.tick(folder, now)
        return 0

    def rounds() -> None:
        running = run.living("tick")
        if running:
            run.after(0.02, rounds)
            return
        standing = run.standing()
        if standing is not None and standing.sign != "([], [], 0)":
            run.pending -= 1
            return
        begin_ticks()
        run.after(0.02, rounds)

    def begin_ticks() -> None:
        nonlocal begin
        begin = time.monotonic() + 0.03
        for _ in range(2):
            child = run.start("tick", look)
            if run.rng.random() < 0.4:
                run.after(run.rng.uniform(0.03, 1.0), lambda child=child: run.signal(child, signal.SIGKILL))  # type: ignore[misc]

    def start() -> None:
        (run.path / "templates").symlink_to(TOP / "templates")
        run.pending += 1
        begin_ticks()
        rounds()

    def one_of_each() -> list[str]:
        found = run.books.query("SELECT id, slot, volume, number, started FROM issues ORDER BY id")
        wrong = []
        if len({row[1] for row in found}) != len(found):
            wrong.append(f"two issues for one date: {found}")
        numbered = [row for row in found if row[3] is not None]
        if [(row[2], row[3]) for row in numbered] != [(2, 21)] or numbered[0][4] is None:
            wrong.append(f"not one issue that is numbered 2.21 and started: {found}")
        batches = run.books.query("SELECT count(*) FROM batches")
        if batches != [(1,)]:
            wrong.append(f"{batches} batches in place of one")
        return wrong

    run.on_begin.append(start)
    run.check.append(one_of_each)


# ---- what people decide meanwhile


def _decide(run: Run, what: Callable[[int], None], then: Callable[[], None]) -> None:
    """In another process; `then` once it is done. `what` is given where to write what it found."""
    read, write = os.pipe()

    def work() -> int:
        os.close(read)
        what(write)
        os.close(write)
        return 0

    run.pending += 1
    run.start("decision", work)
    os.close(write)

    def heard() -> None:
        run.loop.forget(read)
        with os.fdopen(read) as file:
            told = file.read()
        run.tell(f"decided: {told[:100]}")
        run.decided = told  # type: ignore[attr-defined]
        run.pending -= 1
        then()

    run.loop.watch(read, heard)


def paused_and_resumed(run: Run) -> None:
    _ordinary(run)
    run.senders = run.rng.choice((1, 2))
    run.serving = run.rng.random() < 0.3
    left = run.rng.randint(1, 3)

    def change(word: str) -> Callable[[int], None]:
        def work(out: int) -> None:
            folder = open_folder(run.path, checked=False)
            with folder.session() as session:
                issue = session.get_one(Issue, 1)
                if word == "pause" and issue.state is IssueState.sending:
                    issues.pause(session, issue, "Ada", run.clock())
                elif word == "resume" and issue.state is IssueState.paused:
                    issues.resume(session, issue, run.clock())
            os.write(out, word.encode())

        return work

    def pause() -> None:
        _decide(run, change("pause"), lambda: run.after(run.rng.uniform(0, 0.1), resume))

    def resume() -> None:
        def then() -> None:
            nonlocal left
            left -= 1
            if left:
                run.at_wholes(run.rng.randint(1, 15), pause)

        _decide(run, change("resume"), then)

    run.at_wholes(run.rng.randint(1, run.size.readers // 2), pause)
    if run.rng.random() < 0.5:
        run.stages = [(name := run.rng.choice(list(STAGES)), _nth(run, STAGES[name].often))]


def _cancelled(run: Run) -> None:
    def work(out: int) -> None:
        folder = open_folder(run.path, checked=False)
        with folder.session() as session:
            issue = session.get_one(Issue, 1)
            issues.lock(session, issue)
            if issue.state in (IssueState.sent, IssueState.cancelled):
                return
            issues.cancel(session, issue, "a mistake in it", run.clock())
            begun = session.scalars(
                select(Delivery.subscriber_id).where(
                    Delivery.state.not_in((DeliveryState.skipped, DeliveryState.failed))
                )
            )
            told = " ".join(str(each) for each in begun)
        os.write(out, f"cancelled {told}".encode())

    def nobody_new() -> list[str]:
        told: str = getattr(run, "decided", "")
        if not told:
            return []
        begun = {int(each) for each in told.split()[1:]}
        numbers = {address: number for number, address in run.template.addresses.items()}
        got = {numbers[each.recipient] for each in run.seen.tries if each.taken}
        return [f"{number} was begun after the issue was cancelled" for number in sorted(got - begun)]

    if run.seed % 2:
        # What is in the open when it is cancelled is put off afterwards.
        run.ways = _ways(run, (0.5, lambda rng: Way("final", LATER[2], wait=rng.uniform(0.01, 0.05))))
    run.at_wholes(run.rng.randint(1, run.size.readers // 2), lambda: _decide(run, work, lambda: None))
    run.check.append(nobody_new)


def cancelled(run: Run) -> None:
    _ordinary(run)
    run.senders = run.rng.choice((1, 2))
    _cancelled(run)


def cancelled_and_killed(run: Run) -> None:
    killed_at_any_moment(run)
    run.senders = run.rng.choice((1, 2))
    _cancelled(run)


SCENARIOS: dict[str, Scenario] = {
    "killed at a stage": Scenario(killed_at_a_stage, share=6),
    "killed at any moment": Scenario(killed_at_any_moment, share=3),
    "told to stop": Scenario(told_to_stop),
    "told to stop twice": Scenario(told_twice),
    "killed while draining": Scenario(killed_while_draining, share=2),
    "server cuts before the dot": Scenario(_server((0.1, _before_dot))),
    "server cuts after the dot": Scenario(_server((0.1, _after_dot))),
    "server answers late": Scenario(_server((0.2, _late))),
    "server refuses": Scenario(_server((0.3, _refusal))),
    "server closes and says 421": Scenario(_server((0.0, _accept), manners=0.8)),
    "server babbles": Scenario(_server((0.05, _babble))),
    "server out of step": Scenario(_server((0.05, _out_of_step))),
    "server dies and comes back": Scenario(server_dies, share=2),
    "everything at once": Scenario(everything_at_once, share=3),
    "several relays with rates": Scenario(several_relays_with_rates, share=2),
    "backends terminated": Scenario(backends_terminated, ("postgresql",)),
    "database stopped": Scenario(database_stopped, ("postgresql",)),
    "disk full": Scenario(disk_full, ("sqlite",)),
    "database at its limit": Scenario(database_at_its_limit, ("sqlite",)),
    "clock jumps": Scenario(clock_jumps, share=2),
    "machine suspended": Scenario(machine_suspended),
    "two schedulers": Scenario(two_schedulers),
    "three senders, one killed": Scenario(three_senders_one_killed, share=2),
    "three senders, one stopped": Scenario(three_senders_one_stopped, share=2),
    "paused and resumed": Scenario(paused_and_resumed),
    "cancelled": Scenario(cancelled),
    "cancelled and killed": Scenario(cancelled_and_killed),
}
