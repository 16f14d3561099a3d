"""What all renditions of the sample issue cost, the PDF among them: `python benchmarks/renditions.py [TIMES]`.

HTML, text, page, PDF and feed entry of five stories and a picture, from the frozen stories in the database to bytes
that are kept there (undone each time). Cold is a process of its own, imports and Python's start included; warm is the
median within one. Where there is Chromium, the contact sheet of a preview too, its start included.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newsletter.folder import Folder

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def opened(path: Path) -> Folder:
    from newsletter.folder import open_folder

    return open_folder(path)


def once(folder: Folder) -> dict[str, bytes]:
    """Renders the one issue of a folder; what came out."""
    from sqlalchemy import select

    from newsletter.models import Issue
    from newsletter.render import render_issue

    with folder.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume.is_not(None))).one()
        kept = render_issue(session, folder, *folder.publication(), issue, issue.since)
        made = {kind.value: row.content for kind, row in kept.items()}
        session.rollback()
    return made


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
    from preflight import made as assembled

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "digest"
        assembled(path, 0, rendered=False)[0].engine.dispose()
        cold = []
        for _ in range(7):
            began = time.perf_counter()
            subprocess.run([sys.executable, __file__, "--once", path], check=True)
            cold.append(time.perf_counter() - began)
        folder = opened(path)
        made = once(folder)
        warm = []
        for _ in range(times):
            began = time.perf_counter()
            once(folder)
            warm.append(time.perf_counter() - began)
        folder.engine.dispose()
    print(f"renditions: {statistics.median(warm):.3f} s an issue, the median of {times}")
    print(
        f"cold: {statistics.median(cold):.2f} s ({min(cold):.2f} to {max(cold):.2f}), median of {len(cold)} processes"
    )
    print("bytes: " + ", ".join(f"{kind} {len(content) / 1000:.1f} KB" for kind, content in made.items()))
    print(contact_sheet(made))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        once(opened(Path(sys.argv[2])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
