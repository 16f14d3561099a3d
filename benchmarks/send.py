"""How fast an issue is sent, ledger included: `python benchmarks/send.py [READERS] [--connections N]`.

Freezes an audience and sends to the sink on loopback with one process; prints messages a second, CPU-seconds
per 1,000, and peak memory. Full fsync, as in production. Between the runs the same messages, made beforehand, go
through smtplib.sendmail on one connection, with no ledger: what a plain loop in Python would do.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sink import Sink

CONFIG = """
database = "{database}"
base_url = "https://digest.example.org"
attributes = ["first_name", "city", "plan"]
[[relays]]
name = "sink"
host = "127.0.0.1"
port = {port}
security = "none"
connections = {connections}
[publications.digest]
title = "US-Japan Alliance Digest"
publisher = "Example Society"
postal_address = "100 Example Street NW, Washington, DC 20036"
sender = "digest@example.org"
lists = ["alliance-digest"]
[publications.digest.cadence]
anchor = 2023-11-14
"""
NOW = dt.datetime(2023, 11, 14, 14, 0, tzinfo=dt.UTC)
PARAGRAPH = (
    "<p>" + "Some <b>words</b> in a paragraph that goes on – with a “quote” and a good deal more. " * 8 + "</p>\n"
)


def fill(path: Path, readers: int) -> None:
    """An issue of 31 KB HTML with a text part and six merge fields, and an audience on one list."""
    from sqlalchemy import insert
    from sqlalchemy.orm import Session

    from newsletter import audience, database
    from newsletter.folder import open_folder
    from newsletter.models import Issue, List, Rendition, Subscriber, Subscription
    from newsletter.states import IssueState, RenditionKind, SubscriptionState

    folder = open_folder(path, checked=False)
    database.upgrade(folder.engine)
    html = (
        "<!doctype html><html><body><p>Dear \x02name|reader\x03 of \x02city\x03, plan \x02plan\x03,</p>\n"
        + PARAGRAPH * 41
    )
    html += '<p>\x02address\x03 since \x02joined\x03 <a href="\x02unsubscribe_url\x03">Leave</a></p></body></html>\n'
    text = "Dear \x02name|reader\x03,\n\n" + (
        "Words in a line of about seventy characters, as a text part has them.\n" * 70
    )
    with folder.session() as session:
        session.add(List(id=1, slug="alliance-digest", title="Digest"))
        session.add(
            Issue(
                id=1,
                publication="digest",
                slot=NOW.date(),
                state=IssueState.sending,
                since=NOW,
                deadline=NOW,
                approve_by=NOW,
                sends=NOW,
                volume=2,
                number=21,
                date=NOW.date(),
                subject="US-Japan Alliance Digest 2.21",
            )
        )
        session.flush()
        for kind, content in ((RenditionKind.html, html), (RenditionKind.text, text)):
            session.add(Rendition(issue_id=1, kind=kind, content=content.encode(), sha256="", made=NOW))
    with Session(folder.engine) as session, session.begin():
        for start in range(1, readers + 1, 20000):
            some = range(start, min(start + 20000, readers + 1))
            session.execute(
                insert(Subscriber),
                [
                    {
                        "id": i,
                        "address": f"reader{i}@example{i % 50}.org",
                        "address_key": f"reader{i}@example{i % 50}.org",
                        "fingerprint": f"{i:032x}",
                        "name": f"Reader Number {i}",
                        "created": NOW,
                        "attributes": {"first_name": f"Reader{i}", "city": "Tokyo", "plan": "member"},
                        "language": "",
                    }
                    for i in some
                ],
            )
            session.execute(
                insert(Subscription),
                [
                    {
                        "subscriber_id": i,
                        "list_id": 1,
                        "state": SubscriptionState.active,
                        "since": NOW,
                        "joined": NOW,
                        "why": "",
                    }
                    for i in some
                ],
            )
    began = time.perf_counter()
    with folder.session() as session:
        audience.freeze(session, session.get_one(Issue, 1), ["alliance-digest"], NOW)
    print(f"freezing an audience of {readers:,}: {time.perf_counter() - began:.2f} s")
    folder.engine.dispose()


def send(path: Path) -> None:
    """In a process of its own, so that its memory and its CPU are the sender's alone."""
    from newsletter.folder import open_folder
    from newsletter.sender import Sender

    folder = open_folder(path)
    at_rest = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    progress = Sender(folder, lambda: NOW + dt.timedelta(seconds=time.perf_counter() - began)).run(stop=lambda: False)
    took = time.perf_counter() - began
    use = resource.getrusage(resource.RUSAGE_SELF)
    cpu = use.ru_utime + use.ru_stime - at_rest.ru_utime - at_rest.ru_stime
    # Not ru_maxrss: that begins with what the parent had when it forked.
    peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(json.dumps({"counts": progress.counts, "seconds": took, "cpu": cpu, "peak_mb": peak / 1024}))


def plainly(path: Path, port: int, count: int = 2000) -> dict[str, float]:
    """smtplib.sendmail, one connection, messages made beforehand, nothing written down."""
    import smtplib

    from newsletter import compose
    from newsletter.compose import Reader
    from newsletter.folder import open_folder
    from newsletter.models import Issue

    folder = open_folder(path)
    with folder.session() as session:
        composer = compose.for_issue(session, folder, session.get_one(Issue, 1), NOW)
    folder.engine.dispose()
    reader = Reader(1, "reader1@example.org", "Reader Number 1", {"city": "Tokyo", "plan": "member"}, NOW)
    message = composer.compose(reader, NOW)
    with smtplib.SMTP("127.0.0.1", port, local_hostname="bench") as server:
        server.ehlo()
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            server.sendmail(message.sender, [message.recipient], message.data)
        return {"rate": count / (time.perf_counter() - began), "cpu": 1000 * (time.process_time() - cpu) / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", type=int, nargs="?", default=20000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--database", default="sqlite:///newsletter.db")
    parser.add_argument("--send", type=Path)
    asked = parser.parse_args()
    if asked.send:
        send(asked.send)
        return
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with Sink() as sink:
        for _ in range(asked.runs):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder)
                (path / "config.toml").write_text(
                    CONFIG.format(port=sink.port, connections=asked.connections, database=asked.database)
                )
                fill(path, asked.readers)
                done = subprocess.run(
                    [sys.executable, __file__, "--send", folder], capture_output=True, text=True, check=True
                )
                told = json.loads(done.stdout)
                took = sink.counts()
                assert took["whole"] == asked.readers == told["counts"]["sent"], (took, told)
                assert took["broken"] == 0
                print(
                    f"{asked.readers / told['seconds']:>8,.0f} messages/s"
                    f"   {1000 * told['cpu'] / asked.readers:.3f} CPU-s per 1,000"
                    f"   {told['peak_mb']:.0f} MB   {took['octets'] / asked.readers / 1000:.1f} KB each"
                )
                ours.append((asked.readers / told["seconds"], 1000 * told["cpu"] / asked.readers))
                plain = plainly(path, sink.port)
                sink.counts()
                theirs.append((plain["rate"], plain["cpu"]))
    for name, runs in (("newsletter", ours), ("smtplib, no ledger", theirs)):
        rate, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"median, {name}: {rate:,.0f} messages/s, {cpu:.3f} CPU-s per 1,000")


if __name__ == "__main__":
    main()
