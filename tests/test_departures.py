"""Readers leave, one by one and many at once, and take it back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mailserver import MailServer, Steps, being_sent, ledger, relay, through
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import config, departures, erasure, subscribers, suppressions
from newsletter.config import Config
from newsletter.departures import Leaving
from newsletter.folder import Folder
from newsletter.models import Delivery, Departure, Event, Issue, List, Subscriber, Subscription
from newsletter.sender import Sender
from newsletter.states import DeliveryState, IssueState, LeftBy, SubscriptionState, SuppressionReason

LISTS = ("alliance-digest", "invitations", "weekly")
HOUR = dt.timedelta(hours=1)
Make = Callable[..., Folder]
TWO = (
    'lists = ["alliance-digest"]\n',
    'lists = ["alliance-digest", "invitations"]\n',
)


def states(session: Session) -> dict[tuple[str | None, str], tuple[SubscriptionState, str]]:
    session.expire_all()
    return {
        (address, slug): (row.state, row.why)
        for row, address, slug in session.execute(
            select(Subscription, Subscriber.address, List.slug)
            .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
            .join(List, List.id == Subscription.list_id)
        )
    }


def issue(session: Session, *, publication: str = "digest", state: IssueState = IssueState.sending) -> Issue:
    row = Issue(
        publication=publication,
        slot=NOW.date() + dt.timedelta(days=len(session.scalars(select(Issue.id)).all())),
        state=state,
        since=NOW,
        deadline=NOW,
        approve_by=NOW,
        sends=NOW,
        volume=2,
        number=21 + len(session.scalars(select(Issue.id)).all()),
        started=NOW,
    )
    session.add(row)
    session.flush()
    return row


def test_leaving_a_publication_is_leaving_all_its_lists_and_no_other(
    make_folder: Make, subscribe: Callable[..., Subscriber]
) -> None:
    folder = make_folder(TWO)
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org", lists=LISTS)
        gone = departures.leave(session, folder.config, kei, "digest", 7, LeftBy.page, NOW)
        assert sorted(gone.lists) == ["alliance-digest", "invitations"]
        assert states(session)["kei@example.org", "weekly"][0] is SubscriptionState.active
        (row,) = session.scalars(select(Departure))
        assert (row.publication, row.issue_id, row.lists, row.by) == (
            "digest",
            7,
            "alliance-digest,invitations",
            LeftBy.page,
        )
        assert departures.leave(session, folder.config, kei, "digest", 7, LeftBy.page, NOW).lists == ()
        assert len(session.scalars(select(Departure)).all()) == 1


def test_a_link_of_no_issue_leaves_every_list(folder: Folder, subscribe: Callable[..., Subscriber]) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org", lists=LISTS)
        departures.leave_many(session, folder.config, [Leaving(0, kei.id)], LeftBy.one_click, NOW)
        assert {state for state, _ in states(session).values()} == {SubscriptionState.unsubscribed}


def test_those_who_arent_there_are_passed_over(folder: Folder, subscribe: Callable[..., Subscriber]) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org")
        gone = subscribe(session, "gone@example.org")
        erasure.clear(session, gone, NOW)
        wanted = [Leaving(0, 999), Leaving(999, kei.id), Leaving(0, gone.id)]
        departures.leave_many(session, folder.config, wanted, LeftBy.one_click, NOW)
        assert states(session) == {("kei@example.org", "alliance-digest"): (SubscriptionState.active, "")}
        assert session.scalars(select(Departure)).all() == []


STATES = st.sampled_from([None, *SubscriptionState])
PEOPLE = st.lists(st.tuples(STATES, STATES, STATES), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PEOPLE, st.data())
def test_many_at_once_are_left_as_they_would_be_one_by_one(
    scratch: Session, people: list[tuple[SubscriptionState | None, ...]], data: st.DataObject
) -> None:
    settled = config.decode(_config(), _path())
    wanted = data.draw(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, len(people))), max_size=10))
    together = _play(scratch, settled, people, wanted, many=True)
    apart = _play(scratch, settled, people, wanted, many=False)
    assert together == apart


def _config() -> str:
    from conftest import CONFIG

    return CONFIG.replace(*TWO)


def _path() -> Any:
    from pathlib import Path

    return Path("config.toml")


def _play(
    session: Session,
    settled: Config,
    people: list[tuple[SubscriptionState | None, ...]],
    wanted: list[tuple[int, int]],
    *,
    many: bool,
) -> Any:
    """What there is afterwards; everything is undone again. Issue 1 is the digest's, 2 a publication's that is gone."""
    with session.begin_nested() as nested:
        lists = [List(slug=slug, title=slug) for slug in LISTS]
        session.add_all(lists)
        session.flush()
        issues = {0: 0, 1: issue(session).id, 2: issue(session, publication="gone").id}
        numbers = []
        for at, standing in enumerate(people):
            row = Subscriber(
                address=f"r{at}@example.org",
                address_key=f"r{at}@example.org",
                fingerprint=f"{at:032x}",
                created=NOW,
                attributes={},
            )
            session.add(row)
            session.flush()
            numbers.append(row.id)
            session.add(
                Delivery(issue_id=issues[1], subscriber_id=row.id, state=DeliveryState.queued, since=NOW, tries=0)
            )
            for each, state in zip(lists, standing, strict=True):
                if state is not None:
                    session.add(Subscription(subscriber_id=row.id, list_id=each.id, state=state, since=NOW, why=""))
        session.flush()
        numbers.append(999_999)
        asked = [Leaving(issues[number], numbers[who]) for number, who in wanted]
        if many:
            departures.leave_many(session, settled, asked, LeftBy.one_click, NOW + HOUR)
        else:
            for each in asked:
                person = session.get(Subscriber, each.subscriber)
                if person is None:
                    continue
                slug = {issues[1]: "digest", issues[2]: "gone"}.get(each.issue, "")
                departures.leave(session, settled, person, slug, each.issue, LeftBy.one_click, NOW + HOUR)
        first = numbers[0]
        found = (
            sorted((key, state.value, why) for key, (state, why) in states(session).items()),
            sorted(
                (row.subscriber_id - first, slug)
                for row in session.scalars(select(Departure))
                for slug in row.lists.split(",")
            ),
            sorted((row.fingerprint, row.what) for row in session.scalars(select(Event))),
            sorted((row.subscriber_id - first, row.state.value) for row in session.scalars(select(Delivery))),
        )
        nested.rollback()
    session.expunge_all()
    return found


# ---- taking it back


def test_a_departure_is_taken_back_to_the_very_lists_that_it_took_them_off(
    make_folder: Make, subscribe: Callable[..., Subscriber]
) -> None:
    folder = make_folder(TWO)
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org", lists=LISTS)
        departures.leave_lists(session, folder.config, kei, ("invitations",), "", None, LeftBy.admin, NOW - HOUR)
        departures.leave(session, folder.config, kei, "digest", 1, LeftBy.page, NOW)
        assert departures.undo(session, kei, "digest", NOW + HOUR) == ("alliance-digest",)
        found = {slug: state for (_, slug), (state, _) in states(session).items()}
        assert found == {
            "alliance-digest": SubscriptionState.active,
            "invitations": SubscriptionState.unsubscribed,
            "weekly": SubscriptionState.active,
        }


def test_a_departure_is_taken_back_within_a_day_and_once(folder: Folder, subscribe: Callable[..., Subscriber]) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org")
        departures.leave(session, folder.config, kei, "digest", 1, LeftBy.page, NOW)
        assert departures.undo(session, kei, "digest", NOW + departures.UNDO + HOUR) == ()
        assert departures.undo(session, kei, "digest", NOW + HOUR) == ("alliance-digest",)
        assert departures.undo(session, kei, "digest", NOW + HOUR) == ()


def test_nobody_is_taken_back_from_under_a_suppression(folder: Folder, subscribe: Callable[..., Subscriber]) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org")
        departures.leave(session, folder.config, kei, "digest", 1, LeftBy.page, NOW)
        suppressions.add(session, "kei@example.org", SuppressionReason.complaint, "", NOW)
        assert departures.undo(session, kei, "digest", NOW + HOUR) == ()


def test_someone_who_had_never_confirmed_is_pending_again_and_no_more(
    folder: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org", state=SubscriptionState.pending)
        departures.leave(session, folder.config, kei, "digest", 1, LeftBy.page, NOW)
        departures.undo(session, kei, "digest", NOW + HOUR)
        assert states(session)["kei@example.org", "alliance-digest"][0] is SubscriptionState.pending


def test_a_reason_is_kept_with_the_departure_on_one_line_and_no_longer_than_it_may_be(
    folder: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org")
        assert not departures.say_why(session, kei.id, "digest", "too early", NOW)
        departures.leave(session, folder.config, kei, "digest", 1, LeftBy.page, NOW)
        assert departures.say_why(session, kei.id, "digest", "too\r\nmany\x00mails " + "x" * 5000, NOW + HOUR)
        (row,) = session.scalars(select(Departure))
        assert row.reason.startswith("too many mails xxx")
        assert len(row.reason) == departures.LONGEST
        assert not departures.say_why(session, kei.id, "digest", "late", NOW + departures.REASON + HOUR)


# ---- while an issue goes out


@pytest.mark.parametrize("many", [False, True], ids=["by the page", "by one click"])
def test_a_reader_who_leaves_while_the_issue_is_going_out_gets_no_copy(
    make_folder: Make, subscribe: Callable[..., Subscriber], many: bool
) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "office", connections=1)))
        being_sent(folder, subscribe, [f"r{at}@example.org" for at in range(30)])
        leaver = "r29@example.org"

        def leave(recipient: str) -> None:
            if recipient != "r3@example.org":
                return
            with folder.session() as session:
                person = subscribers.find(session, leaver)
                (number,) = session.scalars(select(Issue.id)).all()
                if many:
                    departures.leave_many(session, folder.config, [Leaving(number, person.id)], LeftBy.one_click, NOW)
                else:
                    departures.leave(session, folder.config, person, "digest", number, LeftBy.page, NOW)

        server.on_data = leave
        clock = Steps()
        Sender(folder, clock).run(stop=clock.turn)
        assert leaver not in {each.recipient for each in server.messages}
        assert len(server.messages) == 29
        assert ledger(folder)[leaver] == ("skipped", "unsubscribed")
