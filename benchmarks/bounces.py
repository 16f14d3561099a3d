"""What reading of returned messages gets right, and what it costs: `python benchmarks/bounces.py [TIMES]`.

Prints what each message of tests/bounces/ means and was taken for, and how many of them are read in a second of CPU:
the median of 5 runs over all of them, TIMES times each, in turn.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

RUNS = 5


def main(times: int) -> None:
    from bounce_corpus import shapes, table

    from newsletter.bounces.reading import read

    text, right, total = table()
    print(f"{'shape':<44} {'expected':<24} {'found':<24} right?")
    print(text)
    print(f"\n{right} of {total} right (kind, status, address, token and Message-ID)")
    messages = [(shape.raw, shape.recipient) for shape in shapes()]
    rates = []
    for _ in range(RUNS):
        began = time.process_time()
        for _ in range(times):
            for raw, recipient in messages:
                read(raw, recipient)
        rates.append(times * len(messages) / (time.process_time() - began))
    mean = sum(len(raw) for raw, _ in messages) / len(messages) / 1000
    print(
        f"{statistics.median(rates):,.0f} a CPU-second of {mean:.1f} KB on average, the median of {RUNS} "
        f"({min(rates):,.0f} to {max(rates):,.0f})"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
