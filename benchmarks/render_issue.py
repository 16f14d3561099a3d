"""What the sample issue costs to render: `python benchmarks/render_issue.py [TIMES]`.

HTML, text and web page of five stories, from Markdown to finished bytes; cold is the first in a process,
imports and templates included.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def main(times: int) -> None:
    from edition_sample import TEMPLATES, sample

    edition = sample()
    began = time.perf_counter()
    from newsletter.render import render

    made = render(edition, TEMPLATES)
    cold = time.perf_counter() - began
    warm = []
    for _ in range(times):
        began = time.perf_counter()
        render(edition, TEMPLATES)
        warm.append(time.perf_counter() - began)
    sizes = ", ".join(f"{kind.value} {len(text.encode()) / 1000:.1f} KB" for kind, text in made.items())
    print(f"render: {statistics.median(warm) * 1000:.1f} ms an issue, the median of {times}; {cold * 1000:.0f} ms cold")
    print(f"bytes: {sizes}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
