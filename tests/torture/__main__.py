"""`python -m tests.torture`: thousands of runs, a table, and 1 if what was promised didn't hold."""

# ruff: noqa: T201 - it is what a person sees

from __future__ import annotations

import argparse
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import NoReturn

from .oracle import Verdict
from .play import Asked, clean_up, draw, place, play
from .processes import begin_worker
from .run import COMPLAINED
from .scenarios import SCENARIOS
from .stages import STAGES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--only", choices=list(SCENARIOS), default="", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--broken", default="", help="Take a defence out, to see the oracle red (see stages.py).")
    parser.add_argument("--small", action="store_true", help="As few readers as will do: what the tests run.")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    databases = ["sqlite", "postgresql"] if asked.database == "both" else [asked.database]
    todo = draw(asked.runs, asked.seed, databases, asked.only, asked.broken, small=asked.small)
    where = place()
    by: dict[str, Verdict] = {name: Verdict() for name in SCENARIOS if any(each.scenario == name for each in todo)}
    kept = False
    began = time.monotonic()

    def end(number: int, frame: object) -> NoReturn:
        # At once: what is being played is of no use any more. Workers clean up behind themselves.
        del frame
        workers = multiprocessing.active_children()
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(10)
        if not kept:
            shutil.rmtree(where, ignore_errors=True)
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with ProcessPoolExecutor(
        min(asked.jobs, len(todo)), multiprocessing.get_context("spawn"), initializer=begin_worker, initargs=(clean_up,)
    ) as pool:
        ahead: set[Future[tuple[Asked, Verdict, str]]] = set()
        left = iter(todo)
        done = 0
        while True:
            while len(ahead) < 2 * asked.jobs and (each := next(left, None)) is not None:
                ahead.add(pool.submit(play, each, where))
            if not ahead:
                break
            ready, ahead = wait(ahead, return_when=FIRST_COMPLETED)
            for future in ready:
                this, verdict, path = future.result()
                by[this.scenario] += verdict
                done += 1
                if verdict.broken or verdict.remarks:
                    kept = True
                    print(f"\r{'BROKEN' if verdict.broken else 'remark'}  {this.command}\n    {path}", flush=True)
                    for line in (*verdict.lost, *verdict.doubled, *verdict.wrong, *verdict.remarks)[:5]:
                        print(f"    {line[:300]}")
            _progress(done, len(todo), sum(by.values(), Verdict()), began)
    print()
    total = sum(by.values(), Verdict())
    _table(by, total)
    print(
        f"\n{total.runs:,} runs in {time.monotonic() - began:.0f} s, seeds {asked.seed} to {asked.seed + asked.runs - 1}:"
        f" python -m tests.torture {shlex.join(sys.argv[1:])}"
    )
    if kept:
        print(f"What was kept is in {where}.")
    else:
        shutil.rmtree(where)
    return 1 if total.broken else 0


def _progress(done: int, of: int, total: Verdict, began: float) -> None:
    if not sys.stdout.isatty() and done % 50 and done != of:
        return
    rate = done / (time.monotonic() - began)
    print(
        f"\r{done:,} of {of:,} runs   {total.messages:,} messages   {total.losses:,} deaths   {len(total.lost)} lost"
        f"   {len(total.doubled)} doubled   {total.uncertain} uncertain   {rate:.1f} runs/s   {(of - done) / rate:.0f} s left ",
        end="" if sys.stdout.isatty() else "\n",
        flush=True,
    )


def _table(by: dict[str, Verdict], total: Verdict) -> None:
    heads = ("scenario", "runs", "messages", "deaths", "lost", "doubled", "wrong", "uncertain", "most / allowed")
    rows = [
        (
            name,
            *(
                f"{each:,}"
                for each in (v.runs, v.messages, v.losses, len(v.lost), len(v.doubled), len(v.wrong), v.uncertain)
            ),
            f"{v.most[0]} / {v.most[1]}",
        )
        for name, v in (*by.items(), ("all", total))
    ]
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows[:-1], tuple("-" * width for width in widths), rows[-1]):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
    killed = [stage for stage in STAGES if total.hits[stage]]
    if killed:
        print("\nkilled")
    for stage in (*killed, COMPLAINED):
        if total.hits[stage]:
            print(f"{total.hits[stage]:6,}  {stage}")


if __name__ == "__main__":
    sys.exit(main())
