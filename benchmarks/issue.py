"""The issue that the sending benchmarks send: 31 KB of HTML, a text part, six merge fields, a list of any size."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

from newsletter.compose import Message

CONFIG = """
database = "{database}"
base_url = "https://digest.example.org"
attributes = ["first_name", "city", "plan"]
[[relays]]
name = "sink"
host = "127.0.0.1"
port = {port}
security = "none"
connections = {connections}
[publications.digest]
title = "US-Japan Alliance Digest"
publisher = "Example Society"
postal_address = "100 Example Street NW, Washington, DC 20036"
sender = "digest@example.org"
lists = ["alliance-digest"]
[publications.digest.cadence]
anchor = 2023-11-14
"""
NOW = dt.datetime(2023, 11, 14, 14, 0, tzinfo=dt.UTC)
PARAGRAPH = (
    "<p>" + "Some <b>words</b> in a paragraph that goes on – with a “quote” and a good deal more. " * 8 + "</p>\n"
)
HTML = (
    "<!doctype html><html><body><p>Dear \x02name|reader\x03 of \x02city\x03, plan \x02plan\x03,</p>\n"
    + PARAGRAPH * 41
    + '<p>\x02address\x03 since \x02joined\x03 <a href="\x02unsubscribe_url\x03">Leave</a></p></body></html>\n'
)
TEXT = "Dear \x02name|reader\x03,\n\n" + "Words in a line of about seventy characters, as a text part has them.\n" * 70
EACH = 20_000
"""Rows in one INSERT."""


def fill(path: Path, readers: int) -> float:
    """Makes the database of the folder at `path` with the issue about to go out; the seconds of freezing its audience.

    Everybody joined on a day of one of three years, so that dates repeat no more than they do in life.
    """
    from sqlalchemy import insert

    from newsletter import audience, database
    from newsletter.folder import open_folder
    from newsletter.models import Issue, List, Rendition, Subscriber, Subscription
    from newsletter.states import IssueState, RenditionKind, SubscriptionState

    folder = open_folder(path, checked=False)
    database.upgrade(folder.engine)
    with folder.session() as session:
        session.add(List(id=1, slug="alliance-digest", title="Digest"))
        session.add(
            Issue(
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
        )
        session.flush()
        for kind, content in ((RenditionKind.html, HTML), (RenditionKind.text, TEXT)):
            session.add(Rendition(issue_id=1, kind=kind, content=content.encode(), sha256="", made=NOW))
    with folder.session() as session:
        for start in range(1, readers + 1, EACH):
            some = range(start, min(start + EACH, readers + 1))
            session.execute(
                insert(Subscriber),
                [
                    {
                        "id": i,
                        "address": f"reader{i}@example{i % 50}.org",
                        "address_key": f"reader{i}@example{i % 50}.org",
                        "fingerprint": f"{i:032x}",
                        "name": f"Reader Number {i}",
                        "created": NOW,
                        "attributes": {"first_name": f"Reader{i}", "city": "Tokyo", "plan": "member"},
                        "language": "",
                    }
                    for i in some
                ],
            )
            session.execute(
                insert(Subscription),
                [
                    {
                        "subscriber_id": i,
                        "list_id": 1,
                        "state": SubscriptionState.active,
                        "since": NOW,
                        "joined": NOW - dt.timedelta(days=i * 7919 % 1000),
                        "why": "",
                    }
                    for i in some
                ],
            )
    began = time.perf_counter()
    with folder.session() as session:
        audience.freeze(session, session.get_one(Issue, 1), ["alliance-digest"], NOW)
    took = time.perf_counter() - began
    folder.engine.dispose()
    return took


def composed(path: Path, count: int) -> list[Message]:
    """The messages of the first `count` readers."""
    from newsletter import compose
    from newsletter.compose import Reader
    from newsletter.folder import open_folder
    from newsletter.models import Issue

    folder = open_folder(path)
    with folder.session() as session:
        composer = compose.for_issue(session, folder, session.get_one(Issue, 1), NOW)
    folder.engine.dispose()
    readers = (
        Reader(
            i,
            f"reader{i}@example{i % 50}.org",
            f"Reader Number {i}",
            {"first_name": f"Reader{i}", "city": "Tokyo", "plan": "member"},
            NOW - dt.timedelta(days=i * 7919 % 1000),
        )
        for i in range(1, count + 1)
    )
    return [composer.compose(reader, NOW) for reader in readers]


def signed(path: Path, kind: str | None) -> str:
    """The lines of config.toml that have messages signed with a key of that kind, "rsa" or "ed25519"; makes the key."""
    if kind is None:
        return ""
    from newsletter import dkim

    (path / "dkim.pem").write_bytes(dkim.pem(dkim.new_key(kind)))
    (path / "dkim.pem").chmod(0o600)
    return '[[dkim]]\ndomain = "example.org"\nselector = "bench"\nkey = "dkim.pem"\n'
