"""One look at the calendar: everything once, across missed runs, clock changes and two processes at once."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import pytest
from conftest import CONFIG, NOW
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter import config, issues
from newsletter.config import Approval, Publication
from newsletter.errors import CadenceMistake, IssueMistake
from newsletter.folder import Folder
from newsletter.issues import Happened
from newsletter.models import Draft, Issue, Notice, Story
from newsletter.states import DraftState, IssueState

DEADLINE = dt.datetime(2023, 11, 13, 22, tzinfo=dt.UTC)
APPROVE_BY = dt.datetime(2023, 11, 14, 13, tzinfo=dt.UTC)
SENDS = dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def queue(session: Session, count: int, publication: str = "digest", **also: dt.date) -> None:
    session.add_all(
        Draft(
            publication=publication,
            headline=f"Story {n}",
            section="Economy",
            body="Text.",
            position=n,
            created=NOW,
            changed=NOW,
            state=DraftState.ready,
            **also,
        )
        for n in range(count)
    )
    session.flush()


def look(session: Session, publication: Publication, now: dt.datetime, slug: str = "digest") -> list[str]:
    """What a look brings; a second look at the same moment must bring nothing but what is due."""
    events = issues.advance(session, slug, publication, now)
    rows = _everything(session)
    assert {e.what for e in issues.advance(session, slug, publication, now)} <= {Happened.due}
    assert _everything(session) == rows
    return [event.what.value for event in events]


def _everything(session: Session) -> list[object]:
    session.flush()
    columns = list(Issue.__table__.columns)
    return [
        session.execute(select(*columns).order_by(Issue.id)).all(),
        session.execute(select(Notice.about).order_by(Notice.id)).all(),
        session.execute(select(Draft.id, Draft.state, Draft.issue_id).order_by(Draft.id)).all(),
        session.scalar(select(func.count(Story.id))),
    ]


@pytest.fixture
def session(scratch: Session) -> Session:
    return scratch


@pytest.fixture
def digest() -> Publication:
    return config.decode(CONFIG, Path("config.toml")).publications["digest"]


def the(session: Session, slot: str = "2023-11-14") -> Issue:
    return issues.find(session, "digest", slot)


def notices(session: Session) -> list[str]:
    return list(session.scalars(select(Notice.about).order_by(Notice.id)))


def test_an_issue_from_open_to_due_with_a_yes_in_time(session: Session, digest: Publication) -> None:
    queue(session, 3)
    assert look(session, digest, SENDS - 5 * DAY) == ["opened"]
    assert look(session, digest, SENDS - 3 * DAY) == ["reminded"]
    assert look(session, digest, DEADLINE - HOUR) == []
    assert look(session, digest, DEADLINE) == ["assembled", "opened"]
    issues.approve(session, the(session), "Ann", DEADLINE + HOUR)
    assert look(session, digest, APPROVE_BY) == []
    assert look(session, digest, SENDS) == ["due"]
    assert look(session, digest, SENDS + HOUR) == ["due"]
    assert notices(session) == [
        "reminder 2023-11-14 3 days before at 09:00",
        "assembled 2023-11-14 2023-11-13T22:00:00",
    ]


def test_without_a_yes_it_is_held_and_the_editors_are_told_once(session: Session, digest: Publication) -> None:
    queue(session, 3)
    look(session, digest, DEADLINE)
    assert look(session, digest, APPROVE_BY) == ["held"]
    issue = the(session)
    assert (issue.state, issue.held_in) == (IssueState.held, IssueState.assembled)
    assert issue.why == "not approved by Tue Nov 14, 2023, 08:00"
    issues.resume(session, issue, APPROVE_BY + HOUR)
    assert look(session, digest, APPROVE_BY + HOUR) == ["held"]
    assert [about for about in notices(session) if about.startswith("not approved")] == [
        "not approved 2023-11-14 2023-11-13T22:00:00"
    ]


def test_under_veto_it_goes_unless_someone_holds_it(session: Session, digest: Publication) -> None:
    digest = msgspec.structs.replace(digest, approval=Approval.veto)
    queue(session, 3)
    look(session, digest, DEADLINE)
    assert look(session, digest, APPROVE_BY) == ["approved"]
    assert the(session).why == "nobody held it by Tue Nov 14, 2023, 08:00"
    assert look(session, digest, SENDS) == ["due"]
    queue(session, 3)
    look(session, digest, DEADLINE + 14 * DAY)
    issues.hold(session, the(session, "2023-11-28"), "wrong figures", "Ann", DEADLINE + 14 * DAY)
    assert "approved" not in look(session, digest, SENDS + 14 * DAY)
    assert the(session, "2023-11-28").state is IssueState.held


def test_manual_issues_stay_assembled(session: Session, digest: Publication) -> None:
    digest = msgspec.structs.replace(digest, approval=Approval.manual)
    queue(session, 3)
    look(session, digest, DEADLINE)
    assert look(session, digest, SENDS + DAY) == []
    assert the(session).state is IssueState.assembled


def test_too_few_stories_are_waited_for_until_it_is_too_late(session: Session, digest: Publication) -> None:
    queue(session, 1)
    assert look(session, digest, DEADLINE) == ["opened", "held"]
    assert look(session, digest, DEADLINE + HOUR) == []
    queue(session, 1)
    assert look(session, digest, DEADLINE + 2 * HOUR) == ["assembled", "opened"]
    assert [about for about in notices(session) if about.startswith("held")] == ["held 2023-11-14"]


def test_an_issue_that_never_had_enough_stays_held_and_the_next_is_opened(
    session: Session, digest: Publication
) -> None:
    queue(session, 1)
    look(session, digest, DEADLINE)
    assert look(session, digest, SENDS + 6 * HOUR) == []
    assert sorted(look(session, digest, SENDS + 6 * HOUR + dt.timedelta(seconds=1))) == ["held", "opened"]
    issue = the(session)
    assert issue.state is IssueState.held
    assert issue.why == (
        "1 story is ready; at least 2 are needed; its time, Tue Nov 14, 2023, 09:00, has passed, "
        "and its drafts wait for the next issue"
    )
    queue(session, 5)
    assert look(session, digest, SENDS + DAY) == []
    assert issues.find(session, "digest", "next").slot == dt.date(2023, 11, 28)


def test_a_reminder_says_what_is_ready_what_is_missing_and_until_when(session: Session, digest: Publication) -> None:
    queue(session, 1)
    look(session, digest, SENDS - 3 * DAY)
    [notice] = session.scalars(select(Notice))
    assert notice.subject == "US-Japan Alliance Digest: Vol 2 No 21 closes Mon Nov 13, 2023, 17:00"
    assert "Drafts ready: 1. In writing: 0." in notice.body
    assert "Missing: 1; without at least 2 the issue is held." in notice.body


def test_reminders_missed_while_the_machine_was_off_come_as_one(session: Session, digest: Publication) -> None:
    clock = msgspec.structs.replace(
        digest.cadence, reminders=("7 days before at 09:00", "3 days before at 09:00", "1 day before at 09:00")
    )
    digest = msgspec.structs.replace(digest, cadence=clock)
    queue(session, 3)
    assert look(session, digest, SENDS - 10 * DAY) == ["opened"]
    assert look(session, digest, DEADLINE - HOUR) == ["reminded"]
    assert notices(session) == ["reminder 2023-11-14 1 day before at 09:00"]


def test_an_approved_issue_still_goes_late_within_the_rule(session: Session, digest: Publication) -> None:
    queue(session, 3)
    look(session, digest, DEADLINE)
    issues.approve(session, the(session), "Ann", DEADLINE)
    assert look(session, digest, SENDS + 6 * HOUR) == ["due"]


def test_later_than_that_it_is_held_and_a_person_can_let_it_go_at_once(session: Session, digest: Publication) -> None:
    queue(session, 3)
    look(session, digest, DEADLINE)
    issues.approve(session, the(session), "Ann", DEADLINE)
    later = SENDS + 7 * HOUR
    assert look(session, digest, later) == ["held"]
    issue = the(session)
    assert (issue.held_in, issue.next_look) == (IssueState.approved, None)
    assert "it should have gone at Tue Nov 14, 2023, 09:00" in issue.why
    assert issues.due(session, "digest", later) == []
    issues.resume(session, issue, later + HOUR)
    assert look(session, digest, later + HOUR) == ["due"]


def test_slots_missed_before_anything_was_opened_are_not_caught_up_with(session: Session, digest: Publication) -> None:
    queue(session, 20)
    assert look(session, digest, SENDS + 100 * DAY) == ["opened"]
    [issue] = issues.listing(session, "digest")
    assert issue.slot == dt.date(2024, 3, 5)


def test_back_within_the_rule_the_late_issue_is_assembled_at_once(session: Session, digest: Publication) -> None:
    digest = msgspec.structs.replace(digest, approval=Approval.veto)
    queue(session, 3)
    assert look(session, digest, SENDS + 28 * DAY + HOUR) == ["opened", "assembled", "approved", "due", "opened"]
    assert the(session, "2023-12-12").date == dt.date(2023, 12, 12)


def test_an_open_issue_whose_time_passed_is_held_and_its_drafts_wait_for_the_next(
    session: Session, digest: Publication
) -> None:
    look(session, digest, NOW)
    queue(session, 3)
    assert sorted(look(session, digest, SENDS + 8 * DAY)) == ["held", "opened"]
    assert the(session).why.startswith("the machine was off, or nothing ran on it")
    look(session, digest, DEADLINE + 14 * DAY)
    assert issues.name(the(session, "2023-11-28")) == "Vol 2 No 21"


def test_a_missed_issue_can_still_be_assembled_and_its_clocks_start_then(session: Session, digest: Publication) -> None:
    digest = msgspec.structs.replace(digest, approval=Approval.veto)
    look(session, digest, NOW)
    later = SENDS + 2 * DAY
    look(session, digest, later)
    queue(session, 3)
    issue = the(session)
    issues.assemble(session, "digest", digest, issue, later)
    assert (issue.approve_by, issue.sends) == (later + 15 * HOUR, later + 16 * HOUR)
    assert issue.date == dt.date(2023, 11, 16) + DAY
    assert look(session, digest, later + 16 * HOUR) == ["approved", "due"]


def test_a_reopened_issue_waits_for_someone_and_not_for_the_next_look(session: Session, digest: Publication) -> None:
    queue(session, 3)
    look(session, digest, DEADLINE)
    issues.reopen(session, the(session), DEADLINE + HOUR, by="Ann")
    assert look(session, digest, DEADLINE + 2 * HOUR) == []
    assert look(session, digest, SENDS) == ["held"]
    assert "reopened" in the(session).why
    assert notices(session)[-1].startswith("reopened 2023-11-14")


def test_before_its_deadline_a_reopened_issue_closes_at_it(session: Session, digest: Publication) -> None:
    queue(session, 3)
    issue = issues.open_next(session, "digest", digest, NOW)
    issues.assemble(session, "digest", digest, issue, NOW)
    issues.reopen(session, issue, NOW)
    assert "assembled" in look(session, digest, DEADLINE)


def test_a_cancelled_issue_is_not_made_again(session: Session, digest: Publication) -> None:
    look(session, digest, NOW)
    issues.cancel(session, the(session), "holiday", NOW)
    assert look(session, digest, NOW) == ["opened"]
    assert issues.find(session, "digest", "next").slot == dt.date(2023, 11, 28)


def test_the_open_issue_moves_with_a_changed_calendar_and_keeps_what_was_wanted(
    session: Session, digest: Publication
) -> None:
    issue = issues.open_next(session, "digest", digest, NOW)
    issues.override(session, issue, number=30)
    moved = msgspec.structs.replace(
        digest, cadence=msgspec.structs.replace(digest.cadence, skip=(dt.date(2023, 11, 14),))
    )
    assert look(session, moved, NOW) == ["moved"]
    [row] = issues.listing(session, "digest")
    assert (row.id, row.slot, row.wanted_number) == (issue.id, dt.date(2023, 11, 28), 30)
    assert row.sends == SENDS + 14 * DAY


def test_an_open_issues_clocks_follow_the_calendar_and_a_frozen_ones_do_not(
    session: Session, digest: Publication
) -> None:
    queue(session, 3)
    look(session, digest, NOW)
    later = msgspec.structs.replace(
        digest, cadence=msgspec.structs.replace(digest.cadence, copy_deadline="1 day before at 19:00", time="10:00")
    )
    assert look(session, later, DEADLINE) == []
    assert (the(session).deadline, the(session).sends) == (DEADLINE + 2 * HOUR, SENDS + HOUR)
    look(session, later, DEADLINE + 2 * HOUR)
    look(session, digest, DEADLINE + 3 * HOUR)
    assert the(session).sends == SENDS + HOUR


@pytest.mark.parametrize(
    ("anchor", "before", "after"),
    [
        ("2024-02-27", 14, 13),  # daylight saving begins on March 10
        ("2024-10-22", 13, 14),  # and ends on November 3
    ],
)
def test_nine_stays_nine_when_the_clocks_change(
    session: Session, digest: Publication, anchor: str, before: int, after: int
) -> None:
    digest = msgspec.structs.replace(
        digest,
        approval=Approval.veto,
        cadence=msgspec.structs.replace(digest.cadence, anchor=dt.date.fromisoformat(anchor)),
    )
    hours = []
    for slot in (dt.date.fromisoformat(anchor), dt.date.fromisoformat(anchor) + 14 * DAY):
        queue(session, 2)
        nine = dt.datetime.combine(slot, dt.time(before if not hours else after), dt.UTC)
        look(session, digest, nine - 12 * HOUR)
        assert "due" not in look(session, digest, nine - dt.timedelta(seconds=1))
        assert "due" in look(session, digest, nine)
        hours.append(the(session, slot.isoformat()).sends.hour)
        the(session, slot.isoformat()).state = IssueState.sent
    assert hours == [before, after]


def test_publications_side_by_side_do_not_touch_each_other(session: Session, digest: Publication) -> None:
    queue(session, 3)
    look(session, digest, DEADLINE)
    queue(session, 3, "brief")
    assert look(session, digest, DEADLINE, slug="brief")[0] == "opened"
    labels = {issue.publication: issues.name(issue) for issue in session.scalars(select(Issue)) if issue.volume}
    assert labels == {"digest": "Vol 2 No 21", "brief": "Vol 2 No 21"}


def test_a_calendar_that_never_comes_is_a_sentence(session: Session, digest: Publication) -> None:
    never = msgspec.structs.replace(digest, cadence=msgspec.structs.replace(digest.cadence, anchor=dt.date(9999, 1, 1)))
    with pytest.raises(CadenceMistake, match="no issue after 2023-11-13"):
        issues.advance(session, "digest", never, NOW)


@pytest.mark.parametrize("moment", [NOW, SENDS - 3 * DAY, DEADLINE, APPROVE_BY, SENDS, SENDS + DAY])
def test_four_processes_at_once_do_everything_once(folder: Folder, digest: Publication, moment: dt.datetime) -> None:
    digest = msgspec.structs.replace(digest, approval=Approval.veto)
    with folder.session() as session:
        queue(session, 8)
    # Connected beforehand, else they come one after the other.
    for connection in [folder.engine.connect() for _ in range(4)]:
        connection.close()
    start = Barrier(4)

    def run(_: int) -> list[str]:
        start.wait()
        with folder.session() as session:
            return [e.sentence for e in issues.advance(session, "digest", digest, moment) if e.what is not Happened.due]

    with ThreadPoolExecutor(4) as pool:
        done = [sentence for sentences in pool.map(run, range(4)) for sentence in sentences]
    assert len(done) == len(set(done)) > 0
    with folder.session() as session:
        found = issues.listing(session, "digest")
        assert len({issue.slot for issue in found}) == len(found)
        placed = session.scalar(select(func.count(Draft.id)).where(Draft.state == DraftState.placed))
        assert session.scalar(select(func.count(Story.id))) == placed


def test_two_issues_assembled_at_once_get_two_numbers(folder: Folder, digest: Publication) -> None:
    with folder.session() as session:
        # No draft suits both, so that no draft's lock keeps them apart.
        queue(session, 2, not_after=dt.date(2023, 11, 14))
        queue(session, 2, not_before=dt.date(2023, 11, 28))
        first = issues.open_next(session, "digest", digest, NOW)
        issues.cancel(session, first, "later", NOW)
        second = issues.open_next(session, "digest", digest, NOW).id
        first.state = IssueState.open

    def other() -> str:
        with folder.session() as session:
            issue = session.get_one(Issue, second)
            issues.assemble(session, "digest", digest, issue, DEADLINE)
            return issues.name(issue)

    with ThreadPoolExecutor(1) as pool:
        with folder.session() as session:
            issue = session.get_one(Issue, first.id)
            issues.assemble(session, "digest", digest, issue, DEADLINE)
            answer = pool.submit(other)
            _until_it_waits(session, answer)
        assert (issues.name(issue), answer.result()) == ("Vol 2 No 21", "Vol 2 No 22")


def _until_it_waits(session: Session, other: Future[str]) -> None:
    """Until the other process has run into a lock of this one; SQLite lets it not even begin."""
    while session.get_bind().dialect.name == "postgresql" and not other.done():
        if session.connection().exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
            return


def test_an_approval_that_comes_during_a_cancellation_is_refused(folder: Folder, digest: Publication) -> None:
    with folder.session() as session:
        queue(session, 3)
        issue = issues.open_next(session, "digest", digest, DEADLINE)
        issues.assemble(session, "digest", digest, issue, DEADLINE)

    def approve() -> str:
        with folder.session() as session:
            seen = session.get_one(Issue, issue.id)
            try:
                issues.approve(session, seen, "Ann", DEADLINE)
            except IssueMistake as mistake:
                return mistake.what
            return "approved"

    with ThreadPoolExecutor(1) as pool:
        with folder.session() as session:
            issues.cancel(session, session.get_one(Issue, issue.id), "no", DEADLINE)
            answer = pool.submit(approve)
            _until_it_waits(session, answer)
        assert answer.result() == "the issue of Nov 14, 2023 is cancelled, and can't be approved"
