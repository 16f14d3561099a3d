"""What all renditions of the sample issue cost, the PDF among them: `python benchmarks/renditions.py [TIMES]`.

HTML, text, page and PDF of five stories and a picture, from Markdown to finished bytes. Cold is a process of its own,
imports and Python's start included; warm is the median within one. Where there is Chromium, the contact sheet of a
preview too, its start included.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def once() -> dict[str, bytes]:
    """Renders the sample; what came out."""
    from edition_sample import ROOT, TEMPLATES, sample

    from newsletter import config
    from newsletter.folder import Folder
    from newsletter.render import PdfView, pdf, render

    folder = Folder(ROOT, config.read(ROOT / "config.toml"), None)  # type: ignore[arg-type]
    edition = sample()
    content = pdf.make(edition, folder)
    edition = dataclasses.replace(edition, pdf=PdfView(edition.pdf_url, pdf.pages(content), len(content)))
    made = render(edition, TEMPLATES)
    return {kind.value: text.encode() for kind, text in made.items()} | {"pdf": content}


def contact_sheet(made: dict[str, bytes]) -> str:
    """Draws the contact sheet of the sample three times; a line about that."""
    from edition_sample import sample

    from newsletter.contact_sheet import Copy, chromium, contact_sheet

    if chromium.found() is None:
        return "contact sheet: there is no Chromium on this machine"
    edition = sample()
    html, text = (re.sub("\x02[^\x03]*\x03", "", made[kind].decode()) for kind in ("html", "text"))
    copy = Copy(
        title=edition.publication.title,
        name=edition.long_label,
        date=edition.date,
        language=edition.publication.language,
        direction=edition.publication.direction,
        sender=edition.publication.title,
        subject=edition.subject,
        html=html,
        text=text,
        pdf=made["pdf"],
        size=len(html) + len(text),
        pictures={
            story.picture.url: story.picture.file.read_bytes()
            for story in edition.stories
            if story.picture and story.picture.file
        },
    )
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        sheet = contact_sheet(copy)
        spent.append(time.perf_counter() - began)
    return f"contact sheet: {statistics.median(spent):.1f} s, the median of 3; {len(sheet.content) / 1e6:.1f} MB"


def main(times: int) -> None:
    cold = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, __file__, "--once"], check=True, cwd=Path(__file__).parent.parent)
        cold.append(time.perf_counter() - began)
    made = once()
    warm = []
    for _ in range(times):
        began = time.perf_counter()
        once()
        warm.append(time.perf_counter() - began)
    print(f"renditions: {statistics.median(warm):.3f} s an issue, the median of {times}")
    print(f"cold: {statistics.median(cold):.2f} s, the median of 3 processes")
    print("bytes: " + ", ".join(f"{kind} {len(content) / 1000:.1f} KB" for kind, content in made.items()))
    print(contact_sheet(made))


if __name__ == "__main__":
    if sys.argv[1:] == ["--once"]:
        once()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
