"""How a publication stands: every fact, on both databases."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from conftest import CONFIG, NOW
from ledger import DAY, HOUR, MINUTE, SECOND, deliver, going, past, people, queue
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from newsletter import config, issues, standing, waits
from newsletter.config import Approval, Publication
from newsletter.folder import Folder
from newsletter.models import Base, Draft, Issue, Notice, RelayHealth
from newsletter.standing import Overdue, Standing
from newsletter.states import DeliveryState, DraftState, IssueState, NoticeState, SubscriptionState
from newsletter.waits import Wait, Waits

DEADLINE = dt.datetime(2023, 11, 13, 22, tzinfo=dt.UTC)
APPROVE_BY = dt.datetime(2023, 11, 14, 13, tzinfo=dt.UTC)
SENDS = dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)


@pytest.fixture
def session(scratch: Session) -> Session:
    return scratch


@pytest.fixture
def digest() -> Publication:
    return config.decode(CONFIG, Path("config.toml")).publications["digest"]


def of(session: Session, publication: Publication, now: dt.datetime = NOW) -> Standing:
    session.flush()
    whole = msgspec.structs.replace(config.decode(CONFIG, Path("config.toml")), publications={"digest": publication})
    return standing.of(session, whole, "digest", now)


def waiting(found: Standing, kind: Waits) -> list[Wait]:
    return [wait for wait in found.waits if wait.kind is kind]


# ---- what comes next


def test_the_next_issue_is_told_before_anyone_has_opened_it(session: Session, digest: Publication) -> None:
    found = of(session, digest).next
    assert (found.name, found.number, found.label, found.state) == ("Vol 2 No 21", "2.21", "2023-11-14", None)
    assert (found.deadline, found.approve_by, found.sends) == (DEADLINE, APPROVE_BY, SENDS)
    assert found.queue == standing.Queue(ready=0, carried=0, over=0, writing=0, least=2)


def test_looking_changes_nothing(folder: Folder) -> None:
    with folder.session() as session:
        queue(session, 3)
        people(session, ["ann@example.org"])
        deliver(session, going(session, NOW), [1], DeliveryState.deferred, NOW)

    def rows() -> list[object]:
        with folder.reading() as session:
            return [session.execute(select(each)).all() for each in Base.metadata.sorted_tables]

    before = rows()
    with folder.reading() as session:
        standing.of(session, folder.config, "digest", NOW + DAY)
        assert not session.new
        assert not session.dirty
    assert rows() == before


def test_drafts_ready_carried_over_too_many_and_in_writing_are_told_apart(
    session: Session, digest: Publication
) -> None:
    past(session, 20, NOW - 13 * DAY)
    queue(session, 2, at=NOW - 20 * DAY)
    queue(session, 4)
    queue(session, 3, state=DraftState.writing)
    queue(session, 1, state=DraftState.dropped)
    assert of(session, digest).next.queue == standing.Queue(ready=6, carried=2, over=1, writing=3, least=2)


def test_a_draft_that_was_not_to_appear_before_is_not_carried_over(session: Session, digest: Publication) -> None:
    past(session, 20, NOW - 13 * DAY)
    queue(session, 2, at=NOW - 20 * DAY)
    session.scalars(select(Draft)).first().not_before = dt.date(2023, 11, 10)  # type: ignore[union-attr]
    found = of(session, digest).next.queue
    assert found is not None
    assert (found.ready, found.carried) == (2, 1)


def test_a_number_by_hand_is_not_promised(session: Session, digest: Publication) -> None:
    by_hand = msgspec.structs.replace(digest.numbering, scheme=config.NumberingScheme.hand)
    found = of(session, msgspec.structs.replace(digest, numbering=by_hand)).next
    assert (found.name, found.number, found.label) == ("the issue of Nov 14", None, "2023-11-14")


def test_the_audience_is_as_it_would_be_now(session: Session, digest: Publication) -> None:
    people(session, ["ann@example.org", "ben@example.org"])
    people(session, ["cy@example.org"], state=SubscriptionState.unsubscribed)
    found = of(session, digest).next.audience
    assert found is not None
    assert (found.due, found.candidates) == (2, 3)


def test_a_list_that_is_missing_is_said_and_the_rest_is_told_all_the_same(
    session: Session, digest: Publication
) -> None:
    found = of(session, digest)
    assert found.next.audience is None
    assert found.next.no_audience == 'there is no list "alliance-digest"'


def test_a_frozen_issue_is_next_and_another_takes_drafts_meanwhile(session: Session, digest: Publication) -> None:
    queue(session, 6)
    issues.advance(session, "digest", digest, DEADLINE)
    found = of(session, digest, DEADLINE + HOUR)
    assert (found.next.name, found.next.label, found.next.state) == ("Vol 2 No 21", "2.21", IssueState.assembled)
    assert (found.next.stories, found.next.queue) == (5, None)
    assert found.following is not None
    assert (found.following.name, found.following.slot) == ("Vol 2 No 22", dt.date(2023, 11, 28))
    assert found.following.queue == standing.Queue(ready=1, carried=1, over=0, writing=0, least=2)


def test_an_issue_that_missed_its_time_is_not_next_but_waits(session: Session, digest: Publication) -> None:
    queue(session, 1)
    issues.advance(session, "digest", digest, DEADLINE)
    issues.advance(session, "digest", digest, SENDS + DAY)
    found = of(session, digest, SENDS + DAY)
    assert found.next.slot == dt.date(2023, 11, 28)
    [wait] = waiting(found, Waits.issue)
    assert (wait.label, wait.state, wait.next_look) == ("2023-11-14", "held", None)
    assert "has passed" in wait.why


def test_an_issue_that_someone_holds_is_next_until_its_time_has_passed(session: Session, digest: Publication) -> None:
    issues.hold(session, issues.open_next(session, "digest", digest, NOW), "a source is missing", "Ann", NOW)
    assert of(session, digest).next.slot == dt.date(2023, 11, 14)
    assert of(session, digest, SENDS + DAY).next.slot == dt.date(2023, 11, 28)


def test_clocks_of_an_open_issue_are_the_calendars_as_it_is_now(session: Session, digest: Publication) -> None:
    issues.open_next(session, "digest", digest, NOW)
    later = msgspec.structs.replace(digest.cadence, time="11:00")
    assert of(session, msgspec.structs.replace(digest, cadence=later)).next.sends == SENDS + 2 * HOUR


# ---- what is overdue


def test_an_approved_issue_that_nobody_sends_is_overdue_after_a_minute(session: Session, digest: Publication) -> None:
    queue(session, 3)
    issues.advance(session, "digest", digest, DEADLINE)
    issues.approve(session, issues.find(session, "digest", "next"), "Ann", DEADLINE)
    assert of(session, digest, SENDS).next.overdue is None
    assert of(session, digest, SENDS + MINUTE).next.overdue is None
    assert of(session, digest, SENDS + MINUTE + SECOND).next.overdue is Overdue.unsent


def test_a_held_issue_is_overdue_once_its_time_has_passed(session: Session, digest: Publication) -> None:
    queue(session, 3)
    issues.advance(session, "digest", digest, DEADLINE)
    issues.advance(session, "digest", digest, APPROVE_BY)
    assert of(session, digest, SENDS - MINUTE).next.overdue is None
    assert of(session, digest, SENDS + HOUR).next.overdue is Overdue.unsent


def test_a_deadline_at_which_nothing_looked_is_overdue(session: Session, digest: Publication) -> None:
    queue(session, 3)
    issues.open_next(session, "digest", digest, NOW)
    assert of(session, digest, DEADLINE).next.overdue is None
    assert of(session, digest, DEADLINE + HOUR).next.overdue is Overdue.unassembled
    assert of(session, digest, SENDS + HOUR).next.overdue is Overdue.unsent


def test_a_deadline_that_was_looked_at_is_not(session: Session, digest: Publication) -> None:
    queue(session, 1)
    issues.advance(session, "digest", digest, DEADLINE)
    assert of(session, digest, DEADLINE + HOUR).next.overdue is None


@pytest.mark.parametrize("drafts", [0, 3])
def test_before_anyone_has_opened_an_issue_only_drafts_make_it_overdue(
    session: Session, digest: Publication, drafts: int
) -> None:
    queue(session, drafts)
    assert of(session, digest, DEADLINE + HOUR).next.overdue == (Overdue.unassembled if drafts else None)


# ---- what is being sent


def test_done_rate_and_time_left_come_from_the_ledger(session: Session, digest: Publication) -> None:
    issue = going(session, NOW - 10 * MINUTE, sender=NOW + MINUTE)
    deliver(session, issue, range(1, 101), DeliveryState.sent, NOW - 2 * MINUTE)
    deliver(session, issue, range(101, 161), DeliveryState.sent, NOW - 30 * SECOND)
    deliver(session, issue, range(161, 164), DeliveryState.failed, NOW - 20 * SECOND)
    deliver(session, issue, [164], DeliveryState.submitting, NOW)
    deliver(session, issue, range(165, 204), DeliveryState.queued, NOW - 10 * MINUTE)
    deliver(session, issue, [204], DeliveryState.deferred, NOW, "451 4.7.1 greylisted", NOW + MINUTE)
    [found] = of(session, digest).going
    assert (found.due, found.done, found.senders, found.forsaken) == (204, 163, 1, False)
    assert found.rate == pytest.approx(2.0)
    assert found.left == pytest.approx(20.0)
    assert found.counts == {"sent": 160, "failed": 3, "submitting": 1, "queued": 39, "deferred": 1}


@pytest.mark.parametrize(("count", "seconds"), [(19, 30), (500, 1), (500, 61)])
def test_without_enough_samples_no_rate_is_said(
    session: Session, digest: Publication, count: int, seconds: int
) -> None:
    issue = going(session, NOW - 10 * MINUTE, sender=NOW + MINUTE)
    deliver(session, issue, range(1, count + 1), DeliveryState.sent, NOW - seconds * SECOND)
    [found] = of(session, digest).going
    assert (found.rate, found.left) == (None, None)


def test_copies_that_are_due_with_no_sender_at_work_are_forsaken(session: Session, digest: Publication) -> None:
    deliver(session, going(session, NOW, sender=NOW + MINUTE), [1], DeliveryState.queued, NOW)
    assert not of(session, digest, NOW + 30 * SECOND).going[0].forsaken
    assert of(session, digest, NOW + 2 * MINUTE).going[0].forsaken


def test_copies_that_wait_for_another_try_are_not_forsaken(session: Session, digest: Publication) -> None:
    issue = going(session, NOW - HOUR)
    deliver(session, issue, [1], DeliveryState.deferred, NOW - HOUR, "451 4.7.1 greylisted", NOW + MINUTE)
    session.execute(Base.metadata.tables["batches"].update().values(due=NOW + MINUTE))
    [found] = of(session, digest).going
    assert (found.forsaken, found.next_look) == (False, NOW + MINUTE)


def test_a_paused_issue_is_shown_with_what_it_has_done_and_waits(session: Session, digest: Publication) -> None:
    issue = going(session, NOW - HOUR)
    deliver(session, issue, [1], DeliveryState.sent, NOW - HOUR)
    deliver(session, issue, [2], DeliveryState.queued, NOW - HOUR)
    issues.pause(session, issue, "Ann", NOW)
    found = of(session, digest, NOW + HOUR)
    assert [(each.state, each.done, each.forsaken) for each in found.going] == [(IssueState.paused, 1, False)]
    assert [(each.label, each.why) for each in waiting(found, Waits.issue)] == [("2.21", "paused by Ann")]


# ---- what waits


def test_deferred_deliveries_are_told_together_where_the_relays_codes_are_the_same(
    session: Session, digest: Publication
) -> None:
    issue = going(session, NOW - HOUR, sender=NOW)
    for n in range(1, 6):
        deliver(
            session,
            issue,
            [n],
            DeliveryState.deferred,
            NOW - n * MINUTE,
            f"421 4.7.28 slow down, {n}",
            NOW + n * MINUTE,
        )
    deliver(session, issue, [6], DeliveryState.deferred, NOW, "451 <ann@example.org> greylisted", NOW + HOUR)
    deliver(session, issue, [7], DeliveryState.deferred, NOW, "451 <ben@example.org> greylisted", NOW + DAY)
    deliver(session, issue, [8], DeliveryState.deferred, NOW, "the relay closed the connection", NOW + HOUR)
    found = waiting(of(session, digest), Waits.deferred)
    assert [(each.count, each.label, each.why, each.next_look) for each in found] == [
        (5, "2.21", "421 4.7.28 slow down, 1", NOW + MINUTE),
        (2, "2.21", "451 <ann@example.org> greylisted", NOW + HOUR),
        (1, "2.21", "the relay closed the connection", NOW + HOUR),
    ]
    assert (found[0].since, found[0].until) == (NOW - 5 * MINUTE, NOW - MINUTE)


def test_uncertain_deliveries_wait_however_long_ago_their_issue_was(session: Session, digest: Publication) -> None:
    for number in range(1, 8):
        past(session, number, NOW - (100 - number) * DAY, sent=2, uncertain=number % 2 + 1)
    past(session, 1, NOW - 5 * DAY, publication="brief", sent=1, uncertain=1)
    found = waiting(of(session, digest), Waits.uncertain)
    assert [(each.label, each.count) for each in found] == [(f"2.{n}", n % 2 + 1) for n in range(7, 0, -1)]
    assert {(each.why, each.next_look) for each in found} == {("the relay closed the connection", None)}


def test_the_index_for_uncertain_deliveries_is_there_and_is_used(session: Session) -> None:
    indexes = {each["name"] for each in inspect(session.connection()).get_indexes("deliveries")}
    assert "ix_deliveries_uncertain" in indexes
    if session.get_bind().dialect.name == "sqlite":
        plan = (
            session.connection()
            .exec_driver_sql(
                "EXPLAIN QUERY PLAN SELECT issue_id, count(*) FROM deliveries WHERE deliveries.state = 'uncertain' GROUP BY issue_id"
            )
            .all()
        )
        assert "ix_deliveries_uncertain" in str(plan)


def test_a_relay_that_failed_waits_until_it_is_tried_again(session: Session) -> None:
    for name in ("outbox", "gone"):
        session.add(RelayHealth(relay=name, why="no route to host", since=NOW, failures=3, next_look=NOW + MINUTE))
    session.flush()
    [found] = waits.relays(session, ["outbox", "second"])
    assert (found.label, found.why, found.since, found.next_look) == ("outbox", "no route to host", NOW, NOW + MINUTE)


def test_pending_subscriptions_on_the_publications_lists_wait(session: Session, digest: Publication) -> None:
    people(session, ["a@example.org"], state=SubscriptionState.pending, since=NOW - 4 * DAY)
    people(session, ["b@example.org"], state=SubscriptionState.pending, since=NOW)
    people(session, ["c@example.org"], state=SubscriptionState.pending, slug="another")
    [found] = waiting(of(session, digest), Waits.subscription)
    assert (found.count, found.since, found.until) == (2, NOW - 4 * DAY, NOW)


def test_notices_wait_that_were_refused_or_that_nobody_sends(session: Session, digest: Publication) -> None:
    def notice(about: str, at: dt.datetime, why: str = "", state: NoticeState = NoticeState.queued) -> None:
        session.add(Notice(publication="digest", about=about, subject="s", body="b", since=at, why=why, state=state))

    notice("a", NOW, "550 5.7.1 relaying denied")
    notice("b", NOW - HOUR)
    notice("just queued", NOW - SECOND)
    notice("sent", NOW - HOUR, state=NoticeState.sent)
    found = waiting(of(session, digest), Waits.notice)
    assert [(each.count, each.why) for each in found] == [(1, "not yet sent"), (1, "550 5.7.1 relaying denied")]


def test_whatever_waits_says_why_and_since_when(session: Session, digest: Publication) -> None:
    queue(session, 1)
    issues.advance(session, "digest", digest, DEADLINE)
    reopened = past(session, 30, NOW - DAY)
    reopened.state, reopened.next_look, reopened.why = (
        IssueState.open,
        None,
        "reopened: it waits for someone to assemble it",
    )
    past(session, 20, NOW - 13 * DAY, uncertain=1)
    people(session, ["a@example.org"], state=SubscriptionState.pending)
    found = of(session, digest, DEADLINE + HOUR)
    assert len(found.waits) == 5
    assert all(wait.why and wait.since <= wait.until for wait in found.waits)


# ---- what has gone out


def test_the_last_three_issues_with_what_became_of_each_copy(session: Session, digest: Publication) -> None:
    for number in (17, 18, 19):
        past(session, number, NOW - (21 - number) * 14 * DAY, sent=3)
    past(session, 20, NOW - 13 * DAY, sent=5, failed=2, uncertain=1, skipped=3)
    found = of(session, digest).last
    assert [each.label for each in found] == ["2.20", "2.19", "2.18"]
    assert found[0].counts == {"sent": 5, "failed": 2, "uncertain": 1, "skipped": 3}
    assert (found[0].due, found[0].took, found[0].started) == (11, 658.0, NOW - 13 * DAY)


def test_an_issue_cancelled_while_it_was_sent_is_among_the_last(session: Session, digest: Publication) -> None:
    issue = going(session, NOW - HOUR)
    deliver(session, issue, [1], DeliveryState.sent, NOW - HOUR)
    deliver(session, issue, [2], DeliveryState.queued, NOW - HOUR)
    issues.cancel(session, issue, "wrong picture", NOW)
    [found] = of(session, digest, NOW + MINUTE).last
    assert (found.state, found.counts) == (IssueState.cancelled, {"sent": 1, "skipped": 1})


def test_only_the_issues_that_are_shown_are_counted(session: Session, digest: Publication) -> None:
    for number in range(1, 13):
        past(session, number, NOW - (50 - number) * DAY, sent=1)
    counted: list[str] = []
    from sqlalchemy import event

    def heard(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if "deliveries" in statement and "'uncertain'" not in statement:
            counted.append(statement)

    event.listen(session.get_bind(), "before_cursor_execute", heard)
    try:
        of(session, digest)
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", heard)
    assert len(counted) == 3
    assert session.scalar(select(func.count(Issue.id))) == 12


def test_under_manual_approval_nothing_is_promised_but_the_time_is_kept(session: Session, digest: Publication) -> None:
    manual = msgspec.structs.replace(digest, approval=Approval.manual)
    queue(session, 3)
    issues.advance(session, "digest", manual, DEADLINE)
    found = of(session, manual, SENDS + HOUR).next
    assert (found.approval, found.overdue) == (Approval.manual, Overdue.unsent)
