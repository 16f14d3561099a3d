"""Who an issue goes to: whoever is left out is counted with the reason, so that the sums add up; and readers who pause."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from test_decisions import DEFERRED, LATER, UNCERTAIN, decide, sent  # noqa: F401 - sent is a fixture
from test_sender import READERS, issue, send, states  # noqa: F401 - issue is a fixture
from test_suppressions import sending, waiting

from newsletter import audience, decisions, erasure, pausing, subscribers, suppressions
from newsletter.audience import Audience
from newsletter.cli import newsletter
from newsletter.errors import SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import Attempt, Delivery, Issue, List, Subscriber, Subscription, Suppression
from newsletter.states import IssueState, SubscriptionState, SuppressionReason

NEW_YORK, TOKYO = ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")
TODAY, TOMORROW = dt.date(2023, 11, 13), dt.date(2023, 11, 14)
"""In New York; in Tokyo it is the 14th already."""


def unsent(session: Session) -> Issue:
    """An issue whose audience isn't frozen yet."""
    row = sending(session, state=IssueState.approved)
    row.started = None
    return row


# ---- adding up


@pytest.mark.parametrize("seed", range(6))
def test_candidates_are_those_due_and_those_left_out_each_for_one_reason(
    scratch: Session, subscribe: Callable[..., Subscriber], seed: int
) -> None:
    chance = random.Random(seed)
    lists = ("digest", "members") if seed % 2 else ("digest",)
    everybody: list[Subscriber] = []
    for number in range(40):
        on = tuple(slug for slug in ("digest", "members", "elsewhere") if chance.random() < 0.6)
        person = subscribe(scratch, f"r{number}@example.org", name=chance.choice("abc"), lists=on)
        person.paused_until = chance.choice([None, None, TODAY, TOMORROW])
        everybody.append(person)
        for row in scratch.scalars(select(Subscription).where(Subscription.subscriber_id == person.id)):
            row.state = chance.choice([*[SubscriptionState.active] * 3, *SubscriptionState])
        if chance.random() < 0.2:
            reason = chance.choice(list(SuppressionReason))
            scratch.add(Suppression(fingerprint=person.fingerprint, reason=reason, since=NOW))
    scratch.flush()
    within = (Subscriber.name == "a") if seed > 1 else None

    expected: dict[str, int] = {}
    due: set[int] = set()
    candidates = 0
    for person in everybody:
        barred = scratch.get(Suppression, person.fingerprint)
        for row, slug in scratch.execute(
            select(Subscription, List.slug).join(List).where(Subscription.subscriber_id == person.id)
        ):
            if slug not in lists:
                continue
            candidates += 1
            if row.state is not SubscriptionState.active:
                why = row.state.value
            elif barred:
                why = f"suppressed: {barred.reason.value}"
            elif person.paused_until == TOMORROW:
                why = "paused"
            elif within is not None and person.name != "a":
                why = "outside the segment"
            elif person.id in due:
                why = "on another list too"
            else:
                due.add(person.id)
                continue
            expected[why] = expected.get(why, 0) + 1

    found = audience.count(scratch, lists, NOW, zone=NEW_YORK, within=within)
    assert found == Audience(candidates, len(due), expected)
    assert found.candidates == found.due + sum(found.excluded.values())
    frozen = unsent(scratch)
    assert audience.freeze(scratch, frozen, lists, NOW, zone=NEW_YORK, within=within) == found
    assert (frozen.candidates, frozen.excluded) == (found.candidates, found.excluded)
    made = scratch.scalars(select(Delivery.subscriber_id).where(Delivery.issue_id == frozen.id))
    assert set(made) == due


def test_whoever_pauses_until_a_day_gets_mail_on_that_day_as_it_is_in_the_publications_zone(
    scratch: Session, subscribe: Callable[..., Subscriber]
) -> None:
    subscribe(scratch, "jane@example.org").paused_until = TOMORROW
    scratch.flush()
    lists = ["alliance-digest"]
    assert audience.count(scratch, lists, NOW, zone=NEW_YORK).excluded == {"paused": 1}
    assert audience.count(scratch, lists, NOW, zone=TOKYO).due == 1


def test_a_suppressed_address_is_in_no_audience(scratch: Session, subscribe: Callable[..., Subscriber]) -> None:
    for name in ("ann", "bea"):
        subscribe(scratch, f"{name}@example.org")
    suppressions.add(scratch, "ann@example.org", SuppressionReason.request, "", NOW)
    row = unsent(scratch)
    assert audience.freeze(scratch, row, ["alliance-digest"], NOW).due == 1
    [person] = scratch.scalars(select(Subscriber).join(Delivery, Delivery.subscriber_id == Subscriber.id))
    assert person.address == "bea@example.org"


def test_postgresql_goes_through_the_suppressed_once_however_many_they_are(
    scratch: Session, subscribe: Callable[..., Subscriber]
) -> None:
    if scratch.get_bind().dialect.name == "sqlite":
        return
    subscribe(scratch, "jane@example.org", lists=("digest", "members"))
    said: list[tuple[str, Any]] = []
    connection = scratch.connection()

    def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        said.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", hear)
    audience.count(scratch, ["digest", "members"], NOW)
    audience.count(scratch, ["digest"], NOW)
    audience.freeze(scratch, unsent(scratch), ["digest", "members"], NOW)
    event.remove(connection, "before_cursor_execute", hear)
    asked = [each for each in said if "suppressions" in each[0]]
    assert len(asked) > 3
    for statement, parameters in asked:
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
        # A subplan is asked once for each of a million, as soon as what it finds doesn't fit into work_mem.
        assert "SubPlan" not in plan, plan


def test_whoever_is_suppressed_while_the_audience_is_frozen_makes_no_count_negative(
    folder: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    with folder.session() as session:
        for name in ("ann", "bea"):
            subscribe(session, f"{name}@example.org")
        number = unsent(session).id
    if folder.engine.dialect.name == "sqlite":
        return  # Writers wait for each other.
    with folder.session() as session:

        def meanwhile(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith("INSERT INTO deliveries"):
                with folder.session() as other:
                    suppressions.add(other, "ann@example.org", SuppressionReason.request, "", NOW)

        event.listen(session.connection(), "after_cursor_execute", meanwhile)
        found = audience.freeze(session, session.get_one(Issue, number), ["alliance-digest"], NOW)
    assert (found.due, found.excluded) == (2, {"suppressed: request": 1})
    assert found.candidates == found.due + sum(found.excluded.values())


# ---- pausing


def test_pausing_calls_off_what_waits_and_ending_it_brings_none_of_that_back(
    session: Session, subscribe: Callable[..., Subscriber]
) -> None:
    jane = subscribe(session, "jane@example.org")
    delivery = waiting(session, sending(session), jane)
    assert pausing.pause(session, jane, dt.date(2024, 5, 1), NOW) == 1
    assert pausing.pause(session, jane, dt.date(2024, 5, 1), NOW) == 0
    session.refresh(delivery)
    assert (delivery.state.value, delivery.reply) == ("skipped", "paused until 2024-05-01")
    assert pausing.pause(session, jane, None, LATER) == 0
    session.refresh(delivery)
    assert delivery.state.value == "skipped"
    told = [each.what for each in subscribers.history(session, jane)]
    assert told.count("paused until 2024-05-01") == 1
    assert "no longer paused" in told
    assert jane.paused_until is None


def test_a_day_that_has_begun_somewhere_is_left_to_those_who_know_where(
    scratch: Session, subscribe: Callable[..., Subscriber]
) -> None:
    jane = subscribe(scratch, "jane@example.org")
    delivery = waiting(scratch, sending(scratch), jane)
    assert pausing.pause(scratch, jane, TOMORROW, NOW) == 0
    scratch.refresh(delivery)
    assert (jane.paused_until, delivery.state.value) == (TOMORROW, "queued")


@pytest.mark.parametrize(
    ("until", "words"),
    [("2023-11-13", "has come already"), ("2023-01-01", "has come already"), ("2024-11-15", "too far ahead")],
)
def test_a_pause_ends_on_a_day_ahead_and_within_a_year(
    scratch: Session, subscribe: Callable[..., Subscriber], until: str, words: str
) -> None:
    jane = subscribe(scratch, "jane@example.org")
    with pytest.raises(SubscriberMistake, match=words):
        pausing.pause(scratch, jane, dt.date.fromisoformat(until), NOW)
    assert jane.paused_until is None


def test_nobody_pauses_for_somebody_who_was_erased(scratch: Session, subscribe: Callable[..., Subscriber]) -> None:
    jane = subscribe(scratch, "jane@example.org")
    erasure.clear(scratch, jane, NOW)
    with pytest.raises(SubscriberMistake, match="was erased"):
        pausing.pause(scratch, jane, dt.date(2024, 5, 1), NOW)
    assert jane.paused_until is None


def test_erasing_forgets_a_pause_too(scratch: Session, subscribe: Callable[..., Subscriber]) -> None:
    jane = subscribe(scratch, "jane@example.org")
    pausing.pause(scratch, jane, dt.date(2024, 5, 1), NOW)
    erasure.clear(scratch, jane, NOW)
    assert jane.paused_until is None


def test_a_reader_who_pauses_after_the_audience_was_frozen_gets_no_copy(issue: Any) -> None:  # noqa: F811
    with MailServer() as server:
        folder = issue(server, READERS[:3])
        with folder.session() as session:
            for name, until in (("reader01", TODAY + dt.timedelta(days=9)), ("reader02", TODAY)):
                # Past pausing.pause, which would call it off: the sender asks for itself.
                subscribers.find(session, f"{name}@example.org").paused_until = until
        send(folder)
        assert sorted(message.recipient[:8] for message in server.messages) == ["reader00", "reader02"]
    assert states(folder)["reader01"] == ("skipped", "paused until 2023-11-22")


def test_what_a_server_said_is_kept_when_the_next_try_falls_into_a_pause(sent: Any) -> None:  # noqa: F811
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            subscribers.find(session, f"{DEFERRED}@example.org").paused_until = dt.date(2024, 5, 1)
        send(folder, LATER)
        assert not server.messages
    assert states(folder)[DEFERRED] == ("skipped", "paused until 2024-05-01")
    with folder.reading() as session:
        person = subscribers.find(session, f"{DEFERRED}@example.org")
        [attempt] = session.execute(select(Attempt.state, Attempt.reply).where(Attempt.subscriber_id == person.id))
        assert (attempt[0].value, attempt[1]) == ("deferred", "451 4.7.1 greylisted")


@pytest.mark.parametrize(("how", "name"), [(decisions.retry, DEFERRED), (decisions.send_again, UNCERTAIN)])
def test_nothing_is_sent_again_to_whoever_pauses(sent: Any, how: Any, name: str) -> None:  # noqa: F811
    with MailServer() as server:
        folder = sent(server)
        with folder.session() as session:
            # Past pausing.pause, which would call off what is deferred.
            subscribers.find(session, f"{name}@example.org").paused_until = dt.date(2024, 5, 1)
        decided = decide(folder, how, name)
        assert (decided.done, decided.left_out) == (0, ((f"{name}@example.org", "paused until 2024-05-01"),))
        send(folder, LATER)
        assert f"{name}@example.org" not in {message.recipient for message in server.messages}


def test_a_pause_is_set_shown_and_ended_by_command(lite_folder: Folder, subscribe: Callable[..., Subscriber]) -> None:
    with lite_folder.session() as session:
        subscribe(session, "jane@example.org")

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(newsletter, ["-C", str(lite_folder.path), "subscriber", *words])
        assert done.exit_code == code, done.output
        return done.output

    at = ("--at", NOW.isoformat())
    assert "no issue until 2024-05-01" in run("pause", "jane@example.org", "--until", "2024-05-01", *at)
    assert "‖ paused until 2024-05-01" in run("show", "jane@example.org")
    assert json.loads(run("show", "1", "--json"))["paused_until"] == "2024-05-01"
    assert "gets issues again" in run("pause", "jane@example.org", "--off", *at)
    assert json.loads(run("show", "1", "--json"))["paused_until"] is None
    assert "--until DATE, or --off" in run("pause", "jane@example.org", code=2)
