"""How long readers' pages take over real waitress, beside a waitress that only says hello.

    python benchmarks/pages.py [REQUESTS]

Each server is a process of its own; the client keeps one connection open and asks one thing after the other, the
servers by turns, so that both meet the same machine. Printed are the median and the 95th percentile in milliseconds,
and what a request cost the server in CPU milliseconds. The database is SQLite with one issue sent and 10,000 readers.
"""

from __future__ import annotations

import datetime as dt
import http.client
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import insert, select

from newsletter import dispatch, drafts, init, issues, pictures, story_file
from newsletter.folder import Folder, included, open_folder
from newsletter.models import List, Subscriber, Subscription
from newsletter.states import IssueState, SubscriptionState
from newsletter.tokens import keys
from newsletter.web.serving import Serving

NOW = dt.datetime(2023, 11, 14, 15, tzinfo=dt.UTC)
READERS = 10_000
TURN = 50
"""Requests to one server before it is another's turn."""
BROWSER = {"Accept-Language": "en", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


def filled(place: Path) -> Path:
    """The sample publication with an issue that has gone out."""
    folder = init.make(place / "digest", NOW)
    with folder.session() as session:
        lists = session.scalars(select(List)).all()
        secrets = keys(session, NOW)
        names = [f"r{number}@example.org" for number in range(READERS)]
        session.execute(
            insert(Subscriber),
            [
                {"address": n, "address_key": n, "fingerprint": secrets.print_of(n), "created": NOW, "attributes": {}}
                for n in names
            ],
        )
        everybody = session.scalars(select(Subscriber.id)).all()
        session.execute(
            insert(Subscription),
            [
                {"subscriber_id": n, "list_id": row.id, "state": SubscriptionState.active, "since": NOW, "joined": NOW}
                for row in lists
                for n in everybody
            ],
        )
        slug, publication = folder.publication()
        for path in sorted((included() / "sample" / "stories").glob("[1-5]*.md")):
            story = story_file.read(
                path.read_bytes(), {slug: publication.sections}, beside=path.parent, publication=slug
            )
            kept = pictures.store(session, folder.pictures, path.parent / story.picture, NOW) if story.picture else None
            drafts.add(session, slug, story.written, NOW, sections=publication.sections, picture=kept)
        issue = issues.open_next(session, slug, publication, NOW - dt.timedelta(days=1))
        issues.assemble(session, slug, publication, issue, NOW)
        issue.state = IssueState.approved
        dispatch.start(session, folder, issue, NOW)
    return folder.path


def serve_pages(path: Path, told: Connection) -> None:
    folder: Folder = open_folder(path)
    serving = Serving(folder, lambda: dt.datetime.now(dt.UTC), port=0)
    serving.start()
    told.send(serving.address)
    told.recv()


def serve_hello(_: Path, told: Connection) -> None:
    from waitress.server import create_server

    def hello(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]

    server = create_server(hello, host="127.0.0.1", port=0, threads=16, ident=None)
    told.send(f"http://127.0.0.1:{server.effective_port}")
    server.run()


class Server:
    """A server in a process of its own, and what it took."""

    def __init__(self, target, path: Path) -> None:
        here, there = multiprocessing.Pipe()
        self._told = here
        self.process = multiprocessing.get_context("spawn").Process(target=target, args=(path, there), daemon=True)
        self.process.start()
        self.connection = http.client.HTTPConnection(here.recv().removeprefix("http://"))

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[float, bytes]:
        headers = dict(BROWSER)
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        begun = time.perf_counter()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        taken = time.perf_counter() - begun
        assert answer.status == 200, (answer.status, content[:500])
        return taken * 1000, content


def measure(name: str, requests: int, rows: list[tuple[Server, str, str, str | None]]) -> None:
    took: list[list[float]] = [[] for _ in rows]
    spent = [0.0] * len(rows)
    for server, method, path, body in rows:
        for _ in range(20):
            server.ask(method, path, body)
    for _ in range(-(-requests // TURN)):
        for at, (server, method, path, body) in enumerate(rows):
            before = server.cpu()
            took[at] += [server.ask(method, path, body)[0] for _ in range(TURN)]
            spent[at] += server.cpu() - before
    print(f"{name}: {len(took[0])} requests each")
    for (_, method, path, _), times, cpu in zip(rows, took, spent, strict=True):
        cut = statistics.quantiles(times, n=20)[-1]
        each = 1000 * cpu / len(times)
        print(f"  {method:<5}{path:<28}{statistics.median(times):8.2f} ms median{cut:9.2f} ms 95 %{each:9.2f} ms CPU")


def main(requests: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = filled(Path(place))
        pages, hello = Server(serve_pages, path), Server(serve_hello, path)
        form = urlencode({"address": "a@", "lists": "alliance-digest"})
        measure(
            "Pages",
            requests,
            [
                (hello, "GET", "/", None),
                (pages, "GET", "/digest/subscribe", None),
                (pages, "POST", "/digest/subscribe", form),
                (pages, "GET", "/digest", None),
            ],
        )
        for server in (pages, hello):
            server.process.terminate()
            server.process.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
