"""What all renditions of the sample issue cost, the PDF among them: `python benchmarks/renditions.py [TIMES]`.

HTML, text, page and PDF of five stories and a picture, from Markdown to finished bytes. Cold is a process of its own,
imports and Python's start included; warm is the median within one.
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def once() -> dict[str, int]:
    """Renders the sample; the sizes of what came out, in bytes."""
    from edition_sample import ROOT, TEMPLATES, sample

    from newsletter import config
    from newsletter.folder import Folder
    from newsletter.render import PdfView, pdf, render

    folder = Folder(ROOT, config.read(ROOT / "config.toml"), None)  # type: ignore[arg-type]
    edition = sample()
    content = pdf.make(edition, folder)
    edition = dataclasses.replace(edition, pdf=PdfView(edition.pdf_url, pdf.pages(content), len(content)))
    made = render(edition, TEMPLATES)
    return {kind.value: len(text.encode()) for kind, text in made.items()} | {"pdf": len(content)}


def main(times: int) -> None:
    cold = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, __file__, "--once"], check=True, cwd=Path(__file__).parent.parent)
        cold.append(time.perf_counter() - began)
    sizes = once()
    warm = []
    for _ in range(times):
        began = time.perf_counter()
        once()
        warm.append(time.perf_counter() - began)
    print(f"renditions: {statistics.median(warm):.3f} s an issue, the median of {times}")
    print(f"cold: {statistics.median(cold):.2f} s, the median of 3 processes")
    print("bytes: " + ", ".join(f"{kind} {size / 1000:.1f} KB" for kind, size in sizes.items()))


if __name__ == "__main__":
    if sys.argv[1:] == ["--once"]:
        once()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
