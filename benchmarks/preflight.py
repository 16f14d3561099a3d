"""What preflight costs: `python benchmarks/preflight.py [READERS] [--runs N]`.

The sample issue, assembled and rendered, in a folder with so many readers (1,000), on SQLite. Cold is the first look in
a process, with the imports that it needs; warm is the median within one. "before sending" is what is added to the
transaction in which an issue starts: the errors alone. Rendering isn't counted, nor is SpamAssassin, which takes a
second or two where it is installed; nothing is asked over the network.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select, text

if TYPE_CHECKING:
    from newsletter.folder import Folder

ROOT = Path(__file__).parent.parent
NOW = dt.datetime(2023, 11, 13, 22, tzinfo=dt.UTC)
PEOPLE = """
WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :count)
INSERT INTO subscribers (id, address, address_key, fingerprint, name, language, attributes, created)
SELECT i, 'r' || i || '@example.org', 'r' || i || '@example.org', printf('%032x', i), 'Reader ' || i, '',
  '{"first_name": "Reader' || i || '", "city": "Tokyo"}', '2023-11-13 22:00:00.000000' FROM s
"""
ON_THE_LIST = """
INSERT INTO subscriptions (subscriber_id, list_id, state, since, joined, why)
SELECT id, (SELECT min(id) FROM lists), 'active', created, created, '' FROM subscribers
"""


def made(path: Path, readers: int, *, rendered: bool = True) -> tuple[Folder, int]:
    """The folder with the sample issue assembled, and the issue's number in its database."""
    from newsletter import drafts, init, issues, pictures, story_file
    from newsletter.render import render_issue

    folder = init.make(path, NOW)
    slug, publication = folder.publication()
    with folder.session() as session:
        for file in sorted((ROOT / "sample" / "stories").glob("[1-5]*.md")):
            told = story_file.read(
                file.read_bytes(), {slug: publication.sections}, beside=file.parent, publication=slug
            )
            picture = (
                pictures.store(session, folder.pictures, file.parent / told.picture, NOW) if told.picture else None
            )
            drafts.add(session, slug, told.written, NOW, sections=publication.sections, picture=picture)
        session.execute(text(PEOPLE), {"count": readers})
        session.execute(text(ON_THE_LIST))
        issue = issues.open_next(session, slug, publication, NOW)
        issues.assemble(session, slug, publication, issue, NOW)
        if rendered:
            render_issue(session, folder, slug, publication, issue, NOW)
        return folder, issue.id


def times(runs: int, step: Callable[[], object]) -> float:
    """The median, in milliseconds."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        step()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def look(path: Path) -> None:
    """The first look in a process."""
    began, used = time.perf_counter(), time.process_time()
    from newsletter import preflight
    from newsletter.folder import open_folder
    from newsletter.models import Issue

    folder = open_folder(path)
    with folder.reading() as session:
        issue = session.scalars(select(Issue).where(Issue.volume.is_not(None))).one()
        preflight.look(session, folder, issue, NOW)
    print(f"{(time.perf_counter() - began) * 1000:.0f} {(time.process_time() - used) * 1000:.0f}")


def main(readers: int, runs: int) -> None:
    import subprocess

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "digest"
        folder, number = made(path, readers)
        cold = [
            subprocess.run([sys.executable, __file__, "--look", path], check=True, stdout=-1, cwd=ROOT).stdout.split()
            for _ in range(3)
        ]
        from newsletter import preflight
        from newsletter.models import Issue

        with folder.reading() as session:
            issue = session.get_one(Issue, number)
            found = preflight.look(session, folder, issue, NOW)
            warm = times(runs, lambda: preflight.look(session, folder, issue, NOW))
            before = times(runs, lambda: preflight.faults(session, folder, issue, NOW))
            known = preflight.facts(session, folder, issue, NOW)
            gathered = times(runs, lambda: preflight.facts(session, folder, issue, NOW))
        engine = folder.engine
        engine.dispose()
    print(f"preflight of the sample, {readers:,} readers: {preflight.in_words(found)}; {len(known.html):,} characters")
    wall, cpu = (statistics.median(int(each[at]) for each in cold) for at in (0, 1))
    print(f"cold: {wall} ms, {cpu} ms of CPU, the medians of 3 processes, imports included")
    print(f"warm: {warm:.0f} ms, of which {gathered:.0f} ms to gather what is known; the median of {runs}")
    print(f"before sending: {before:.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="?", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.look:
        look(asked.look)
    else:
        main(asked.readers, asked.runs)
