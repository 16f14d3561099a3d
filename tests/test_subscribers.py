"""Subscribers: who comes, who leaves, who is erased."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from conftest import NOW
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_suppressions import LATER, sending, states, waiting

from newsletter import erasure, subscribers, suppressions
from newsletter.cli import newsletter
from newsletter.errors import ListMistake, SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import Attempt, Base, Delivery, List, Notice, Subscriber, Subscription
from newsletter.states import DeliveryState, IssueState, SubscriptionState, SuppressionReason

Subscribe = Callable[..., Subscriber]
DIGEST = ("alliance-digest",)


@pytest.fixture
def lists(session: Session) -> None:
    session.add_all([List(slug="alliance-digest", title="Digest"), List(slug="extra", title="Extra")])
    session.flush()


def add(session: Session, folder: Folder, address: str, **more: object) -> Subscriber:
    return subscribers.add(
        session,
        folder.config,
        address,
        **{"lists": DIGEST, "now": NOW, "why": "card"} | more,  # type: ignore[arg-type]
    )


@pytest.mark.usefixtures("lists")
def test_somebody_added_is_found_by_any_way_of_writing_their_address_and_by_number(
    session: Session, folder: Folder
) -> None:
    jane = add(session, folder, "Jane@Example.org", name=" Jane ", attributes={"city": "Kyoto"})
    assert subscribers.find(session, "jane@EXAMPLE.org") is jane
    assert subscribers.find(session, str(jane.id)) is jane
    assert (jane.name, jane.attributes) == ("Jane", {"city": "Kyoto"})
    [standing] = subscribers.standings(session, jane)
    assert (standing.list, standing.state, standing.joined, standing.why) == (
        "alliance-digest",
        SubscriptionState.active,
        NOW,
        "card",
    )
    for nobody in ("joe@example.org", "999", "99999999999999"):
        with pytest.raises(SubscriberMistake):
            subscribers.find(session, nobody)


@pytest.mark.usefixtures("lists")
def test_adding_somebody_again_keeps_what_is_not_said_anew(session: Session, folder: Folder) -> None:
    add(session, folder, "jane@example.org", name="Jane", attributes={"city": "Kyoto"}, state=SubscriptionState.pending)
    jane = add(
        session, folder, "JANE@example.org", attributes={"plan": "paid"}, now=LATER, lists=("alliance-digest", "extra")
    )
    assert (jane.name, jane.attributes) == ("Jane", {"city": "Kyoto", "plan": "paid"})
    assert [(s.list, s.state.value) for s in subscribers.standings(session, jane)] == [
        ("alliance-digest", "active"),
        ("extra", "active"),
    ]
    assert len(session.scalars(select(Subscriber)).all()) == 1


@pytest.mark.usefixtures("lists")
def test_an_admin_cannot_bring_back_somebody_who_left(session: Session, folder: Folder) -> None:
    jane = add(session, folder, "jane@example.org")
    subscribers.unsubscribe(session, folder.config, jane, None, LATER, "one-click")
    with pytest.raises(SubscriberMistake, match="left alliance-digest on 2023-11-13"):
        add(session, folder, "jane@example.org")
    assert subscribers.standings(session, jane)[0].state is SubscriptionState.unsubscribed


@pytest.mark.usefixtures("lists")
def test_a_suppressed_address_is_not_added(session: Session, folder: Folder) -> None:
    suppressions.add(session, "jane@example.org", SuppressionReason.complaint, "", NOW)
    with pytest.raises(SubscriberMistake, match="suppressed"):
        add(session, folder, "Jane@example.org")
    assert session.scalars(select(Subscriber)).all() == []


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize(
    "more",
    [
        {"name": "Jane\r\nBcc: all@example.org"},
        {"name": "Jane\u202e"},
        {"name": "Ja\0ne"},
        {"name": "Ja\u2028ne"},
        {"name": "Jane\x85Bcc: x"},
        {"name": "J" * 201},
        {"name": "\ud800"},
        {"attributes": {"city": "Kyoto\nX: y"}},
        {"attributes": {"town": "Kyoto"}},
        {"language": "English please"},
    ],
)
def test_what_could_become_a_header_or_mislead_is_refused_at_the_door(
    session: Session, folder: Folder, more: dict[str, object]
) -> None:
    with pytest.raises(SubscriberMistake):
        add(session, folder, "jane@example.org", **more)
    assert session.scalars(select(Subscriber)).all() == []


@pytest.mark.parametrize(
    "name", ["Zoë", "👩🏽‍💻", "نجمة", 'O’Neil, "J"', "=?utf-8?q?x?=", "J" * 200, "قمر\u200f", "ส้ม"]
)
def test_names_of_all_kinds_stay_as_they_are(name: str) -> None:
    assert subscribers.one_line(name, "name") == name


def test_a_list_that_is_not_there_is_a_sentence(session: Session, folder: Folder) -> None:
    with pytest.raises(ListMistake, match="newsletter list apply"):
        add(session, folder, "jane@example.org")


def test_who_leaves_gets_no_copy_that_still_waits(session: Session, folder: Folder, subscribe: Subscribe) -> None:
    issue = sending(session)
    jane, joe = subscribe(session, "jane@example.org"), subscribe(session, "joe@example.org")
    waiting(session, issue, jane)
    waiting(session, issue, joe)
    gone = subscribers.unsubscribe(session, folder.config, jane, DIGEST, LATER, "one-click")
    assert (gone.lists, gone.skipped) == (DIGEST, 1)
    assert states(session) == [("skipped", "unsubscribed"), ("queued", None)]
    [standing] = subscribers.standings(session, jane)
    assert (standing.state, standing.since, standing.why) == (SubscriptionState.unsubscribed, LATER, "one-click")
    again = subscribers.unsubscribe(session, folder.config, jane, DIGEST, LATER + dt.timedelta(1), "twice")
    assert (again.lists, again.skipped) == ((), 0)
    assert subscribers.standings(session, jane)[0].why == "one-click"


@pytest.mark.parametrize(
    ("other", "retired", "skipped"),
    [
        (SubscriptionState.active, False, 0),
        (SubscriptionState.active, True, 1),
        (SubscriptionState.pending, False, 1),
    ],
)
def test_who_leaves_one_list_keeps_the_copy_that_another_brings_them(
    make_folder: Callable[..., Folder], subscribe: Subscribe, other: SubscriptionState, retired: bool, skipped: int
) -> None:
    folder = make_folder(('lists = ["alliance-digest"]', 'lists = ["alliance-digest", "extra"]'))
    with folder.session() as session:
        jane = subscribe(session, "jane@example.org")
        extra = List(slug="extra", title="Extra", retired=NOW if retired else None)
        session.add(extra)
        session.flush()
        session.add(Subscription(subscriber_id=jane.id, list_id=extra.id, state=other, since=NOW))
        waiting(session, sending(session), jane)
        assert subscribers.unsubscribe(session, folder.config, jane, DIGEST, LATER, "").skipped == skipped
        assert subscribers.unsubscribe(session, folder.config, jane, None, LATER, "").skipped == 1 - skipped


def test_leaving_one_publication_leaves_the_copy_of_another(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    from msgspec.structs import replace

    config = replace(
        folder.config,
        publications=folder.config.publications
        | {"other": replace(folder.config.publications["digest"], lists=("extra",))},
    )
    jane = subscribe(session, "jane@example.org", lists=("alliance-digest", "extra"))
    waiting(session, sending(session), jane, "deferred")
    waiting(session, sending(session, publication="other", state=IssueState.held), jane)
    assert subscribers.unsubscribe(session, config, jane, DIGEST, LATER, "").skipped == 1
    assert [state for state, _ in states(session)] == ["skipped", "queued"]


def test_leaving_a_list_one_is_not_on_is_said(session: Session, folder: Folder, subscribe: Subscribe) -> None:
    jane = subscribe(session, "jane@example.org")
    with pytest.raises(SubscriberMistake, match="not on extra"):
        subscribers.unsubscribe(session, folder.config, jane, ("extra",), LATER, "")


def everything(session: Session) -> str:
    """All that the database holds, as text."""
    return "\n".join(
        str(row)
        for table in Base.metadata.sorted_tables
        if table.name != "keys"
        for row in session.execute(select(table))
    ).lower()


def test_who_is_erased_leaves_no_trace_but_a_fingerprint(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    jane = subscribe(session, "Jane.Doe@example.org", name="Jane Quux", attributes={"city": "Kyoto"})
    joe = subscribe(session, "joe@example.org")
    issue, last = sending(session), sending(session, state=IssueState.sent, slot=1)
    waiting(session, issue, jane, "deferred", "451 <JANE.DOE@EXAMPLE.ORG> later")
    waiting(session, last, jane, "failed", "550 user jane.doe unknown")
    waiting(session, issue, joe, "failed", "550 joe@example.org")
    session.add(
        Attempt(
            issue_id=last.id,
            subscriber_id=jane.id,
            state=DeliveryState.deferred,
            at=NOW,
            reply="451 jane.doe@example.org",
        )
    )
    session.add(Notice(publication="digest", about="x", subject="x", body="uncertain: Jane.Doe@example.org", since=NOW))
    suppressions.add(session, "jane.doe@example.org", SuppressionReason.bounce, "jane.doe@example.org", NOW)
    suppressions.remove(session, "jane.doe@example.org", "jane.doe called", NOW)
    number, fingerprint = jane.id, jane.fingerprint
    assert "jane.doe" in everything(session)

    assert erasure.clear(session, jane, LATER).lists == DIGEST
    left = everything(session)
    assert all(word not in left for word in ("jane", "quux", "kyoto"))
    assert session.get_one(Subscriber, number).erased == LATER
    assert "550 joe@example.org" in left
    barred = suppressions.suppressed(session, fingerprint)
    assert barred
    assert (barred.reason, barred.address) == (SuppressionReason.erasure, None)
    with pytest.raises(SubscriberMistake, match="erased"):
        erasure.clear(session, session.get_one(Subscriber, number), LATER)


def test_who_is_erased_gets_no_copy_that_still_waits(session: Session, subscribe: Subscribe) -> None:
    jane = subscribe(session, "jane@example.org")
    waiting(session, sending(session), jane)
    assert erasure.clear(session, jane, LATER).skipped == 1
    assert states(session) == [("skipped", "erased")]


def test_the_erased_cannot_be_added(session: Session, folder: Folder, subscribe: Subscribe) -> None:
    erasure.clear(session, subscribe(session, "jane@example.org"), LATER)
    with pytest.raises(SubscriberMistake, match="erasure"):
        add(session, folder, "jane@example.org")


def test_erasing_reaches_the_file_of_the_database_too(lite_folder: Folder, subscribe: Subscribe) -> None:
    with lite_folder.session() as session:
        for number in range(200):
            subscribe(session, f"reader{number}@example.org")
        subscribe(session, "unmistakable@example.org", name="Quuxington")
    with lite_folder.session() as session:
        erasure.clear(session, subscribers.find(session, "unmistakable@example.org"), LATER)
    erasure.scrub(lite_folder.engine)
    for file in lite_folder.path.glob("newsletter.db*"):
        assert b"nmistakable" not in file.read_bytes(), file
        assert b"Quuxington" not in file.read_bytes(), file


def test_listing_filters_by_list_state_and_words(session: Session, folder: Folder, subscribe: Subscribe) -> None:
    subscribe(session, "jane@example.org", name="100% Jane", lists=("alliance-digest", "extra"))
    subscribe(session, "joe@example.org", state=SubscriptionState.unsubscribed)
    subscribe(session, "ann@example.org")
    subscribe(session, "none@example.org", lists=())
    suppressions.add(session, "ann@example.org", SuppressionReason.bounce, "", NOW)

    def found(**how: str) -> list[tuple[str, str | None, str]]:
        return [(row.address.partition("@")[0], row.list, row.shown) for row in subscribers.listing(session, **how)]

    assert found() == [
        ("jane", "alliance-digest", "active"),
        ("jane", "extra", "active"),
        ("joe", "alliance-digest", "unsubscribed"),
        ("ann", "alliance-digest", "suppressed"),
        ("none", None, ""),
    ]
    assert [name for name, _, _ in found(slug="extra")] == ["jane"]
    assert [name for name, _, _ in found(state="active", slug="alliance-digest")] == ["jane"]
    assert [name for name, _, _ in found(state="suppressed")] == ["ann"]
    assert [name for name, _, _ in found(search="% jANE", slug="extra")] == ["jane"]
    assert found(search="_") == []


def test_the_history_tells_who_came_and_left_and_what_went_to_them(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    jane = subscribe(session, "jane@example.org")
    waiting(session, sending(session), jane, "sent", "250 OK")
    subscribers.unsubscribe(session, folder.config, jane, None, LATER, "one-click")
    told = [happening.what for happening in subscribers.history(session, jane)]
    assert told[0] == "alliance-digest: unsubscribed (one-click)"
    assert "digest 2.14: sent (250 OK)" in told
    assert told[-1] == "added" or "added" in told


def test_the_commands_do_what_they_say(folder: Folder) -> None:
    with folder.session() as session:
        session.add(List(slug="alliance-digest", title="Digest"))

    def run(*words: str, noun: str = "subscriber", **how: object) -> str:
        done = CliRunner().invoke(
            newsletter,
            ["--folder", str(folder.path), noun, *words],
            catch_exceptions=False,
            **how,  # type: ignore[arg-type]
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    run("add", "jane@example.org", "-l", "alliance-digest", "--name", "Jane", "--set", "city=Kyoto")
    assert "Nobody" in run("list", "--state", "pending")
    assert json.loads(run("list", "--json"))[0]["name"] == "Jane"
    assert "jane@example.org" in run("list", "--search", "JANE")
    with folder.session() as session:
        waiting(session, sending(session), subscribers.find(session, "jane@example.org"))
        waiting(session, sending(session, publication="gone", slot=15), subscribers.find(session, "jane@example.org"))
    assert "2 deliveries" in run("unsubscribe", "jane@example.org", "--all", "--why", "asked by mail")
    assert "asked by mail" in run("show", "jane@example.org")
    run("add", "jane@example.org", "--reason", "complaint", "--why", "button", noun="suppression")
    assert "complaint" in run("show", "1")
    run("remove", "jane@example.org", "--why", "she wrote", noun="suppression")
    shown = json.loads(run("show", "jane@example.org", "--json"))
    assert shown["suppressed"] is None
    assert any("she wrote" in happening["what"] for happening in shown["history"])
    run("erase", "jane@example.org", input="y\n")
    assert json.loads(run("list", "--json")) == []
    assert "erased" in run("show", "1")


def test_erasing_asks_first(folder: Folder, subscribe: Subscribe) -> None:
    with folder.session() as session:
        subscribe(session, "jane@example.org")
    done = CliRunner().invoke(
        newsletter, ["-C", str(folder.path), "subscriber", "erase", "jane@example.org"], input="n\n"
    )
    assert done.exit_code != 0
    with folder.session() as session:
        assert subscribers.find(session, "jane@example.org").erased is None
        assert session.scalars(select(Delivery)).all() == []
