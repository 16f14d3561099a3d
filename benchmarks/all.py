"""make bench: every figure of benchmarks/README.md, one after the other, on this machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
CONNECTIONS = ("--connections", "64")
"""As many messages share a commit."""


def run(name: str, *words: str) -> None:
    print(f"\n$ python benchmarks/{name} {' '.join(words)}".rstrip(), flush=True)
    subprocess.run([sys.executable, str(HERE / name), *words], check=True)


def help_as_a_process() -> None:
    took = []
    for _ in range(11):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "newsletter", "--help"], stdout=subprocess.DEVNULL, check=True)
        took.append(time.perf_counter() - began)
    print(f"\nnewsletter --help, as a process: {statistics.median(took):.3f} s (median of 11)")


def yardstick() -> None:
    """How fast Python is here and now: machines differ, and so do minutes on one that others work on, too."""
    took = []
    for _ in range(5):
        began, total = time.perf_counter(), 0
        for each in range(5_000_000):
            total += each
        took.append(time.perf_counter() - began)
    print(f"five million additions in Python: {statistics.median(took):.2f} s (median of 5)")


if __name__ == "__main__":
    yardstick()
    help_as_a_process()
    run("compose.py")
    run("render_issue.py")
    run("renditions.py")
    run("preflight.py")
    run("archive.py")
    run("import_subscribers.py", "100000")
    run("bounces.py")
    run("pages.py")
    run("segments.py")
    run("one_click.py")
    run("sink.py", "--check")
    run("send.py", "40000", "--runs", "5", *CONNECTIONS)
    run("send.py", "--sizes", "10000,100000,1000000", *CONNECTIONS)
    run("send.py", "40000", "--runs", "3", "--database", "postgresql", "--short", *CONNECTIONS)
    run("send.py", "40000", "--runs", "3", "--database", "postgresql", "--senders", "2", "--short", *CONNECTIONS)
    for kind in ("ed25519", "rsa"):
        run("send.py", "10000", "--runs", "3", "--dkim", kind, "--short", *CONNECTIONS)
