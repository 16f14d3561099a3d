"""An archive of 500 issues, built as files, rebuilt when one has changed, served: python benchmarks/archive.py [ISSUES]

The issues are made up, five stories each, rendered as real ones are (without the PDF unless --paper: its making is what
renditions.py measures). Served pages are asked for without a network, each answer anew, in the same process; the median
of 100 answers of each kind, of different issues.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from an_archive import filled
from sqlalchemy import select

from newsletter import corrections, init
from newsletter.archive.search import Index
from newsletter.folder import Folder, open_folder
from newsletter.models import Issue
from newsletter.web import files, make
from newsletter.web.shelf import Shelf

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("issues", nargs="?", type=int, default=500)
    parser.add_argument("--paper", action="store_true", help="with a PDF for each issue")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newsletter-archive-") as place:
        folder = open_folder(init.make(Path(place) / "folder", NOW).path)
        with folder.session() as session:
            made = sum(1 for _ in filled(session, folder, asked.issues, on_paper=asked.paper))
        print(f"{made} issues, {made * 5:,} stories")
        built(folder, Path(place) / "public")
        served(folder, paper=asked.paper)


def built(folder: Folder, target: Path) -> None:
    """How long a build takes, one in which nothing has changed, and one after a correction."""
    for what in ("built", "built again, nothing changed", "built again, one issue corrected"):
        if what.endswith("corrected"):
            with folder.session() as session:
                issue = session.scalars(select(Issue).order_by(Issue.id)).all()[
                    200 % len(session.scalars(select(Issue)).all())
                ]
                corrections.correct(session, folder, issue, corrections.Wish("The sum was wrong.", 2), NOW)
        began, cpu = time.perf_counter(), time.process_time()
        result = files.build(folder, target, ("digest",), NOW)
        print(
            f"{what}: {time.perf_counter() - began:.2f} s, {time.process_time() - cpu:.2f} s of CPU;"
            f" {result.issues_made} issues made, {result.written:,} of {result.written + result.kept:,} files written,"
            f" {result.bytes / 1e6:.1f} MB"
        )


def served(folder: Folder, *, paper: bool) -> None:
    """How long each kind of page takes, and what the index of words does."""
    client = make(folder, lambda: NOW).test_client()
    began = time.perf_counter()
    with folder.reading() as session:
        index: Index = Shelf(folder).index(session, "digest")
    took = time.perf_counter() - began
    tracemalloc.start()
    with folder.reading() as session:
        again, shelf = tracemalloc.get_traced_memory()[0], Shelf(folder)
        shelf.index(session, "digest")
    grown = (tracemalloc.get_traced_memory()[0] - again) / 1e6
    tracemalloc.stop()
    postings = sum(len(each) for each in index.postings.values())
    print(
        f"catalogue and index read: {took:.2f} s, once a process; {len(index.postings):,} words,"
        f" {postings:,} postings, {grown:.1f} MB while the process runs"
    )
    with folder.reading() as session:
        numbers = session.execute(select(Issue.volume, Issue.number)).all()
    for what, path in (
        ("front page", lambda _: "/digest"),
        ("volume", lambda each: f"/digest/{each[0]}"),
        ("issue", lambda each: f"/digest/{each[0]}/{each[1]}"),
        *([("PDF", lambda each: f"/digest/{each[0]}/{each[1]}.pdf")] if paper else []),
        ("reference", lambda each: f"/digest/{each[0]}/{each[1]}.bib"),
        ("search, two words", lambda each: f"/digest/search?q=tokyo+batteries&page={each[1]}"),
        ("feed", lambda _: "/digest/feed.atom"),
        ("sitemap", lambda _: "/sitemap.xml"),
    ):
        client.get(path(numbers[0]))
        took = []
        for at in range(100):
            each = numbers[at * 7 % len(numbers)]
            began = time.perf_counter()
            answer = client.get(path(each))
            took.append(time.perf_counter() - began)
            assert answer.status_code == 200, answer.status
        print(f"{what}: {statistics.median(took) * 1000:.1f} ms at the median")


if __name__ == "__main__":
    main()
