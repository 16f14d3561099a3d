"""Erasing: nothing that any table, file or byte of the database knew of a person is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from a_life import BEFORE, MARK, NOWADAYS, lived, moment
from click.testing import CliRunner
from conftest import CONFIG, NOW
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from test_holdings import NOBODY, theirs

from newsletter import config, database, erasure, subscribers, suppressions
from newsletter.bounces import keeping
from newsletter.cli import newsletter
from newsletter.errors import SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import Base, Delivery, Departure, Return, Subscriber
from newsletter.states import DeliveryState, LeftBy, SuppressionReason
from newsletter.tokens import keys

Subscribe = Callable[..., Subscriber]
LATER = moment(600)
KEPT = {
    "subscribers": "an empty row, whose number stands in links and is never anybody else's",
    "deliveries": "that an issue went to somebody, so that its sums stay right",
    "attempts": "the same",
    "departures": "that somebody left, and when",
    "returns": "that something came back, and when",
    "suppressions": "fingerprints, by which no import brings them back",
}
"""Tables in which a row is left, and which of it."""


def words(session: Session) -> str:
    """Everything that stands in any table."""
    session.expire_all()
    found: list[Any] = []
    for table in Base.metadata.sorted_tables:
        found += [value for row in session.execute(select(table)) for value in row]
    return " ".join(str(value).lower() for value in found if not isinstance(value, bytes))


def test_no_table_knows_anything_of_who_is_erased(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.session() as session:
        person = session.get_one(Subscriber, number)
        assert MARK in words(session)
        about = {name: theirs(session, table, person) for name, table in Base.metadata.tables.items()}
        assert all(rows for name, rows in about.items() if name not in NOBODY)
        gone = erasure.erase(session, folder, person, LeftBy.preferences, LATER)
        assert set(gone.lists) == {"alliance-digest", "invitations"}
    with folder.session() as session:
        assert MARK not in words(session)
        assert "203.0.113" not in words(session)
        person = session.get_one(Subscriber, number)
        assert person.erased == LATER
        assert (person.paused_until, person.measured, person.language) == (None, None, "")
        for name, table in Base.metadata.tables.items():
            rows = theirs(session, table, person)
            assert bool(rows) == (name in KEPT), f"{name}: kept for a reason? {rows}"
        assert {row.reason for row in session.scalars(select(Departure))} == {""}
        assert {(row.words, row.fingerprint, row.file) for row in session.scalars(select(Return))} == {
            ("(erased)", "", "")
        }


def test_no_address_that_they_ever_had_is_brought_back(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.session() as session:
        erasure.erase(session, folder, session.get_one(Subscriber, number), LeftBy.admin, LATER)
    with folder.session() as session:
        for address in (BEFORE, NOWADAYS):
            barred = suppressions.of_address(session, address, LATER)
            assert barred is not None
            assert (barred.reason, barred.address, barred.why) == (SuppressionReason.erasure, None, "")
            with pytest.raises(SubscriberMistake, match="erasure"):
                subscribers.add(session, folder.config, address, lists=("alliance-digest",), now=LATER, why="list")


def test_an_address_of_theirs_that_is_somebody_elses_now_stays_with_them(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.session() as session:
        subscribe(session, BEFORE, lists=())
        suppressions.remove(session, BEFORE, "they signed up", moment(100))
        erasure.erase(session, folder, session.get_one(Subscriber, number), LeftBy.admin, LATER)
    with folder.session() as session:
        assert suppressions.of_address(session, BEFORE, LATER) is None
        assert subscribers.find(session, BEFORE).erased is None
        assert any(
            "they signed up" in line.what for line in subscribers.history(session, subscribers.find(session, BEFORE))
        )
        # And yet what a server said of this reader's copies names nobody any more.
        [reply] = session.scalars(select(Delivery.reply).where(Delivery.subscriber_id == number))
        assert reply == "(erased)"


def test_what_still_waits_for_them_is_called_off(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.session() as session:
        [copy] = session.scalars(select(Delivery).where(Delivery.subscriber_id == number))
        copy.state = DeliveryState.queued
        session.flush()
        gone = erasure.erase(session, folder, session.get_one(Subscriber, number), LeftBy.admin, LATER)
        assert gone.skipped == 1
        session.expire_all()
        [copy] = session.scalars(select(Delivery).where(Delivery.subscriber_id == number))
        assert copy.state is DeliveryState.skipped


def test_that_somebody_left_is_counted_by_the_door_they_took(folder: Folder, subscribe: Subscribe) -> None:
    with folder.session() as session:
        person = subscribe(session, "kei@example.org")
        erasure.erase(session, folder, person, LeftBy.preferences, LATER)
        [row] = session.scalars(select(Departure))
        assert (row.by, row.lists, row.at) == (LeftBy.preferences, "alliance-digest", LATER)


def test_erased_twice_is_a_mistake(folder: Folder, subscribe: Subscribe) -> None:
    with folder.session() as session:
        person = subscribe(session, "kei@example.org")
        erasure.erase(session, folder, person, LeftBy.admin, LATER)
        with pytest.raises(SubscriberMistake, match="erased already"):
            erasure.erase(session, folder, person, LeftBy.admin, LATER)


def test_nothing_of_them_is_left_in_any_byte_of_the_folder(tmp_path: Path, subscribe: Subscribe) -> None:
    """Also with an SQLite that of itself leaves what was written over where it was."""
    engine = database.open_database("sqlite:///newsletter.db", tmp_path)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA secure_delete = OFF"), insert=True)
    database.upgrade(engine)
    folder = Folder(tmp_path, config.decode(CONFIG, tmp_path / "config.toml"), engine)
    with folder.session() as session:
        for at in range(200):
            subscribe(session, f"reader{at}@example.org")
    number = lived(folder, subscribe)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(MARK.encode() in path.read_bytes().lower() for path in files)
    assert len(list(keeping.place(folder).iterdir())) == 4
    with folder.session() as session:
        session.get_one(Subscriber, number).name = "Second Quuxley"
    with folder.session() as session:
        erasure.erase(session, folder, session.get_one(Subscriber, number), LeftBy.preferences, LATER)
    erasure.scrub(engine)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert MARK.encode() not in path.read_bytes().lower(), path
        assert b"203.0.113" not in path.read_bytes(), path
    engine.dispose()


def test_the_command_erases_no_less_than_the_page(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    done = CliRunner().invoke(
        newsletter,
        ["--folder", str(folder.path), "subscriber", "erase", NOWADAYS, "--yes"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    assert f"Subscriber {number} is erased; 2 subscriptions went with them." in done.output
    with folder.session() as session:
        assert MARK not in words(session)
        assert {row.by for row in session.scalars(select(Departure))} >= {LeftBy.admin}


def test_the_command_to_unsubscribe_says_by_whom_they_left(folder: Folder, subscribe: Subscribe) -> None:
    with folder.session() as session:
        subscribe(session, "kei@example.org", lists=("alliance-digest", "invitations"))
    command = [
        "--folder",
        str(folder.path),
        "subscriber",
        "unsubscribe",
        "kei@example.org",
        "--all",
        "--why",
        "by phone",
    ]
    for _ in range(2):
        assert CliRunner().invoke(newsletter, command, catch_exceptions=False).exit_code == 0
    with folder.reading() as session:
        [row] = session.scalars(select(Departure))
        assert (row.by, row.lists) == (LeftBy.admin, "alliance-digest,invitations")
        stand = subscribers.standings(session, subscribers.find(session, "kei@example.org"))
        assert {each.why for each in stand} == {"by phone"}


def test_a_fingerprint_alone_is_left_of_an_address(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.session() as session:
        prints = {keys(session, NOW).print_of(address.lower()) for address in (BEFORE, NOWADAYS)}
        erasure.erase(session, folder, session.get_one(Subscriber, number), LeftBy.admin, LATER)
    with folder.reading() as session:
        left = {
            name: theirs(session, table, session.get_one(Subscriber, number))
            for name, table in Base.metadata.tables.items()
        }
        assert {row["fingerprint"] for row in left["suppressions"]} == prints
        assert not left["events"]
        assert not left["bounce_scores"]
        assert not left["asks"]
