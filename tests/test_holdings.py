"""What we hold about a reader, whole: whatever a table knows of them is in it, column by column."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from a_life import BEFORE, NOWADAYS, lived
from conftest import NOW
from sqlalchemy import ColumnElement, Table, or_, select
from sqlalchemy.orm import Session

from newsletter import address_change, holdings
from newsletter.folder import Folder
from newsletter.models import Base, Letter, Subscriber
from newsletter.states import LetterState
from newsletter.tokens import keys

Subscribe = Callable[..., Subscriber]

NOBODY = {
    "alembic_version": "of the tables themselves",
    "allowances": "rates of relays and of recipients' domains",
    "batches": "stretches of an issue's ledger, by number",
    "corrections": "what was wrong in an issue, in the editors' words",
    "drafts": "stories",
    "ignored": "counts of scanners' visits",
    "issues": "issues",
    "keys": "our secrets",
    "lists": "lists",
    "measures": "counts of opens and clicks",
    "notices": "mails to editors; whole addresses in them are erased",
    "paces": "recipients' domains",
    "pictures": "pictures",
    "relay_health": "relays",
    "renditions": "issues",
    "seen": "hashes that lead to nobody; of who agreed to be measured they lead to a number, for 30 days",
    "stories": "stories",
    "warm_days": "counts by sending domain",
}
"""Tables that hold nothing of a reader, and why that is so."""
UNTOLD = {
    "id": "the number of a row",
    "list_id": "told by the list's name",
    "subscriber_id": "their number, told once",
    "issue_id": "told as publication and number",
    "fingerprint": "made from the address with a secret of ours",
    "address_key": "the address in small letters",
    "message": "a hash of what is told",
    "client": "a hash; a consent's client is told",
    "digest": "a hash of what came back",
    "next_look": "when we look again",
    "tries": "how often we tried",
}
"""Columns that aren't told, and why."""
TOLD_ALL_THE_SAME = {("consents", "client"), ("deliveries", "tries")}
OURS = {("letters", "publication"), ("hits", "issue_id")}


def theirs(session: Session, table: Table, person: Subscriber) -> list[dict[str, Any]]:
    """The rows of a table that are about a person, by their number, or one of their addresses."""
    secrets = keys(session, NOW)
    prints = [person.fingerprint, secrets.print_of(BEFORE.lower())]
    ways: list[ColumnElement[bool]] = []
    if table.name == "subscribers":
        ways.append(table.c.id == person.id)
    if "subscriber_id" in table.c:
        ways.append(table.c.subscriber_id == person.id)
    if "fingerprint" in table.c:
        ways.append(table.c.fingerprint.in_(prints))
    if not ways:
        return []
    return [dict(row._mapping) for row in session.execute(select(table).where(or_(*ways)))]


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    else:
        yield str(value)


def plain(value: Any) -> list[str]:
    """A column's value as the file has it."""
    if isinstance(value, dt.datetime):
        value = value.replace(tzinfo=value.tzinfo or dt.UTC)
        return [value.astimezone(dt.UTC).isoformat(timespec="seconds")]
    if isinstance(value, enum.Enum):
        return [str(value.value)]
    if isinstance(value, dict):
        return list(leaves(value))
    return [str(value)]


def test_every_table_is_either_told_of_or_named_with_the_reason_why_not(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.reading() as session:
        person = session.get_one(Subscriber, number)
        held = holdings.everything(session, folder.config, person, NOW)
        told = set(leaves(msgspec.json.decode(msgspec.json.encode(held))))
        for name, table in Base.metadata.tables.items():
            rows = theirs(session, table, person)
            assert bool(rows) != (name in NOBODY), f"{name}: told of, or named in NOBODY? And is it in tests/a_life.py?"
            for row in rows:
                for column, value in row.items():
                    if value in (None, "", {}) or (name, column) in OURS:
                        continue
                    if column in UNTOLD and (name, column) not in TOLD_ALL_THE_SAME:
                        continue
                    missing = set(plain(value)) - told
                    assert not missing, f"{name}.{column}: {missing}"
    assert "digest 2.21" in told
    assert str(number) in told


def test_it_tells_of_the_addresses_that_they_had_and_of_nobody_elses(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.session() as session:
        person = session.get_one(Subscriber, number)
        held = holdings.everything(session, folder.config, person, NOW)
        assert held["address"] == NOWADAYS
        assert held["addresses_before"] == [BEFORE]
        assert [each["address"] for each in held["suppressed"]] == [BEFORE]
        assert {each["address"] for each in held["soft_bounces"]} == {BEFORE, NOWADAYS}
        assert "mio@example.org" not in msgspec.json.encode(held).decode()
        # Somebody else has their old address now: what is known of it is about them.
        subscribe(session, BEFORE, lists=())
        held = holdings.everything(session, folder.config, person, NOW)
        assert held["suppressed"] == []
        assert [each["address"] for each in held["soft_bounces"]] == [NOWADAYS]


def test_what_was_asked_for_in_their_name_and_nobody_confirmed_is_not_told(
    folder: Folder, subscribe: Subscribe
) -> None:
    number = lived(folder, subscribe)
    with folder.session() as session:
        person = session.get_one(Subscriber, number)
        before = holdings.sums(session, person)
        address_change.ask(
            session, folder.config, person, "digest", "stranger@example.net", client="", language="en", now=NOW
        )
        asked = session.scalars(select(Letter).order_by(Letter.id.desc())).first()
        assert asked is not None
        for state in LetterState:
            asked.state = state
            session.flush()
            told = "stranger@example.net" in str(holdings.everything(session, folder.config, person, NOW))
            assert told == (state is LetterState.used), state
            assert (holdings.sums(session, person).letters > before.letters) == told


def test_the_sums_are_those_of_the_file(folder: Folder, subscribe: Subscribe) -> None:
    number = lived(folder, subscribe)
    with folder.reading() as session:
        person = session.get_one(Subscriber, number)
        held = holdings.everything(session, folder.config, person, NOW)
        sums = holdings.sums(session, person)
    assert sums.subscriptions == len(held["subscriptions"]) == 2
    assert sums.consents == len(held["consents"]) == 3
    assert sums.letters == len(held["letters"]) == 3
    assert sums.deliveries == len(held["deliveries"]) == 1
    assert sums.interests == len(held["opened_and_followed"]) == 1


def test_of_a_reader_of_whom_little_is_known_it_says_so(lite_folder: Folder, subscribe: Subscribe) -> None:
    with lite_folder.session() as session:
        person = subscribe(session, "new@example.org")
        held = holdings.everything(session, lite_folder.config, person, NOW)
    assert held["suppressed"] == held["soft_bounces"] == held["history"] == held["letters"] == []
    assert held["held_by"] == ["Example Society"]
    assert held["as_of"] == "2023-11-13T19:46:00+00:00"
