"""One-click unsubscribing, each on disk before its answer, alone and while an issue is being sent.

    python benchmarks/one_click.py [CLICKS] [--readers N] [--connections N]

Three rounds, by turns, three times: an issue is sent alone; readers click alone; both at once. The pages are served by
waitress in one process, the sender is another, both on one SQLite file with full fsync; the clients are a third, over
kept-alive connections on loopback, each waiting for its answer before it clicks again. All who click are on the list
of the issue that is being sent, at its far end. Afterwards it is checked that each of them is unsubscribed, and that
nobody who was had their copy begun afterwards. CPU is in seconds per 1,000.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import resource
import selectors
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import issue
import send
from sink import Sink

BODY = b"List-Unsubscribe=One-Click"
ANSWER = b"Unsubscribed.\n"


def serve(path: Path, wire: Any) -> None:
    """The pages, in a process of its own."""
    from newsletter.folder import open_folder
    from newsletter.web.serving import Serving

    folder = open_folder(path)
    serving = Serving(folder, lambda: dt.datetime.now(dt.UTC), port=0)
    serving.start()
    wire.send(serving.address.removeprefix("http://"))
    while wire.recv() == "cpu":
        use = resource.getrusage(resource.RUSAGE_SELF)
        wire.send(use.ru_utime + use.ru_stime)
    serving.stop()
    folder.engine.dispose()


def click(address: str, tokens: list[str], connections: int, wire: Any) -> None:
    """The clients: so many connections, each clicking one after the other."""
    host, _, port = address.partition(":")
    requests = [
        f"POST /leave/{token} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n".encode()
        + BODY
        for token in tokens
    ]
    requests.reverse()
    wrong: list[str] = []
    wire.send("ready")
    wire.recv()
    began = time.perf_counter()
    ready = selectors.DefaultSelector()
    for _ in range(connections):
        connection = socket.create_connection((host, int(port)))
        ready.register(connection, selectors.EVENT_READ, bytearray())
        connection.sendall(requests.pop())
    open_ = connections
    while open_:
        for key, _ in ready.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            heard: bytearray = key.data
            heard += connection.recv(65536)
            if not heard.endswith(ANSWER):
                assert heard, "the server hung up"
                continue
            if not heard.startswith(b"HTTP/1.1 200 "):
                wrong.append(heard[:100].decode())
            heard.clear()
            if requests:
                connection.sendall(requests.pop())
            else:
                ready.unregister(connection)
                connection.close()
                open_ -= 1
    wire.send((time.perf_counter() - began, wrong))


class Round:
    """A folder with an issue for so many readers, of whom the last ones click."""

    def __init__(self, place: Path, port: int, readers: int, clicks: int, connections: int) -> None:
        from newsletter.folder import open_folder
        from newsletter.tokens import keys

        self.path = place
        self.clicks = clicks
        settings = issue.CONFIG.format(database="sqlite:///newsletter.db", port=port, connections=64)
        (place / "config.toml").write_text(settings, encoding="utf-8")
        issue.fill(place, readers)
        folder = open_folder(place)
        with folder.session() as session:
            secrets = keys(session, dt.datetime.now(dt.UTC))
        folder.engine.dispose()
        self.tokens = [secrets.reader(1, readers - at) for at in range(clicks)]
        self.connections = connections

    def sending(self) -> subprocess.Popen[str]:
        sender = subprocess.Popen(
            [sys.executable, str(Path(send.__file__)), "--send", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert sender.stdout is not None
        assert sender.stdout.readline() == "ready\n"
        return sender

    def clicking(self) -> dict[str, float]:
        """Clicks; the rate, and what it cost the server."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        server = context.Process(target=serve, args=(self.path, theirs))
        server.start()
        address = ours.recv()
        here, there = context.Pipe()
        client = context.Process(target=click, args=(address, self.tokens, self.connections, there))
        client.start()
        here.recv()
        ours.send("cpu")
        at_rest = ours.recv()
        here.send("go")
        seconds, wrong = here.recv()
        ours.send("cpu")
        cpu = ours.recv() - at_rest
        ours.send("stop")
        client.join()
        server.join()
        assert not wrong, wrong
        return {"rate": self.clicks / seconds, "cpu": 1000 * cpu / self.clicks}

    def check(self) -> None:
        with sqlite3.connect(self.path / "newsletter.db") as database:
            (left,) = database.execute("SELECT count(*) FROM subscriptions WHERE state = 'unsubscribed'").fetchone()
            (late,) = database.execute(
                "SELECT count(*) FROM deliveries d JOIN subscriptions s ON s.subscriber_id = d.subscriber_id"
                " WHERE s.state = 'unsubscribed' AND d.state = 'sent' AND d.since > datetime(s.since, '+2 seconds')"
            ).fetchone()
            (departures,) = database.execute("SELECT count(*) FROM departures").fetchone()
        database.close()
        assert left == departures == self.clicks, (left, departures)
        assert late == 0, f"{late} copies were begun after their readers had left"


def sent(sender: subprocess.Popen[str]) -> dict[str, Any]:
    assert sender.stdout is not None
    told: dict[str, Any] = json.loads(sender.stdout.readline())
    sender.wait()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clicks", type=int, nargs="?", default=5000)
    parser.add_argument("--readers", type=int, default=150_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    figures: dict[str, list[float]] = {}

    def note(**found: float) -> None:
        for name, value in found.items():
            figures.setdefault(name, []).append(value)

    with Sink() as sink:
        for _ in range(given.runs):
            for way in ("sending", "clicking", "both"):
                with tempfile.TemporaryDirectory() as place:
                    ready = Round(Path(place), sink.port, given.readers, given.clicks, given.connections)
                    sender = ready.sending() if way != "clicking" else None
                    if sender is not None:
                        assert sender.stdin is not None
                        sender.stdin.write("go\n")
                        sender.stdin.flush()
                    if way != "sending":
                        if sender is not None:
                            time.sleep(0.5)
                        found = ready.clicking()
                        note(**{f"clicks, {way}": found["rate"], f"clicks' CPU, {way}": found["cpu"]})
                        if sender is not None:
                            assert sender.poll() is None, "the issue was sent before the clicks were over: --readers"
                    if sender is not None:
                        told = sent(sender)
                        done = sum(told["counts"].values())
                        note(**{f"messages, {way}": done / told["seconds"]})
                    if way != "sending":
                        ready.check()
    print(f"{'':28}{'median':>10}   of {given.runs}")
    for name, values in figures.items():
        shown = [f"{value:,.2f}" if "CPU" in name else f"{value:,.0f}" for value in values]
        middle = statistics.median(values)
        print(f"{name:28}{middle:>10,.{2 if 'CPU' in name else 0}f}   {' · '.join(shown)}")


if __name__ == "__main__":
    main()
