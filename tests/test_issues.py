"""Issues: assembled, numbered and frozen in one transaction; approved, held, cancelled, reopened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import CONFIG, NOW
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from newsletter import config, issues
from newsletter.config import Approval, Numbering, NumberingScheme, Publication
from newsletter.errors import ConfigMistake, IssueMistake
from newsletter.folder import Folder
from newsletter.issues.assembling import preheader
from newsletter.models import Delivery, Draft, Issue, Notice, Rendition, Story
from newsletter.states import DeliveryState, DraftState, IssueState, RenditionKind

DEADLINE = dt.datetime(2023, 11, 13, 22, tzinfo=dt.UTC)
SENDS = dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def queue(session: Session, *headlines: str, **also: Any) -> list[Draft]:
    """Ready drafts at the end of the queue; "Economy: …" says the section."""
    last = session.scalar(select(func.max(Draft.position))) or 0
    drafts = []
    for position, headline in enumerate(headlines, last + 1):
        section, _, title = headline.rpartition(": ")
        drafts.append(
            Draft(
                **{
                    "publication": "digest",
                    "headline": title,
                    "section": section,
                    "body": "Text.",
                    "position": position,
                    "created": NOW,
                    "changed": NOW,
                    "state": DraftState.ready,
                }
                | also
            )
        )
    session.add_all(drafts)
    session.flush()
    return drafts


def assembled(
    session: Session, publication: Publication, now: dt.datetime = DEADLINE, *, slug: str = "digest"
) -> Issue:
    issue = issues.open_next(session, slug, publication, now)
    issues.assemble(session, slug, publication, issue, now)
    return issue


@pytest.fixture
def session(scratch: Session) -> Session:
    return scratch


@pytest.fixture
def digest() -> Publication:
    return config.decode(CONFIG, Path("config.toml")).publications["digest"]


def test_the_next_issue_is_open_with_its_clocks(session: Session, digest: Publication) -> None:
    issue = issues.open_next(session, "digest", digest, NOW)
    assert (issue.slot, issue.state, issue.volume) == (dt.date(2023, 11, 14), IssueState.open, None)
    assert (issue.deadline, issue.sends, issue.next_look) == (DEADLINE, SENDS, DEADLINE)
    assert issues.open_next(session, "digest", digest, NOW) is issue


def test_ready_drafts_are_copied_in_the_order_of_sections_then_of_the_queue(
    session: Session, digest: Publication
) -> None:
    queue(session, "Defense: Drills", "Economy: Chips", "Defense: Radar", "Diplomacy: Summit")
    issue = assembled(session, digest)
    assert [s.headline for s in issue.stories] == ["Chips", "Summit", "Drills", "Radar"]
    assert [s.position for s in issue.stories] == [1, 2, 3, 4]
    assert (issue.volume, issue.number, issue.date) == (2, 21, dt.date(2023, 11, 14))
    assert issue.subject == "US-Japan Alliance Digest 2.21: Chips"
    assert issue.preheader == "Summit · Drills · Radar"
    assert {d.state for d in session.scalars(select(Draft))} == {DraftState.placed}
    assert {d.issue_id for d in session.scalars(select(Draft))} == {issue.id}


def test_a_story_is_a_copy_of_the_whole_draft(session: Session, digest: Publication) -> None:
    written = {"link": "https://example.org/chips", "author": "A. Sato", "body": "One *long* paragraph."}
    queue(session, "Economy: Chips", "Economy: Rice", **written)
    story = assembled(session, digest).stories[0]
    assert {key: getattr(story, key) for key in written} == written
    session.scalars(select(Draft)).first().body = "Changed afterwards."  # type: ignore[union-attr]
    session.flush()
    session.expire_all()
    assert session.get_one(Story, story.id).body == "One *long* paragraph."


def test_more_drafts_than_fit_are_carried_over_in_the_order_of_the_queue(session: Session, digest: Publication) -> None:
    queue(session, *(f"Defense: {n}" for n in range(6)), "Economy: late but first")
    issue = issues.open_next(session, "digest", digest, DEADLINE)
    event = issues.assemble(session, "digest", digest, issue, DEADLINE)
    assert event.sentence == "Vol 2 No 21 is assembled of 5 stories; 2 drafts carried over to the next."
    assert [s.headline for s in issue.stories] == ["0", "1", "2", "3", "4"]
    ready = session.scalars(select(Draft.headline).where(Draft.state == DraftState.ready)).all()
    assert ready == ["5", "late but first"]


def test_drafts_not_due_or_past_or_in_writing_or_of_others_stay_where_they_are(
    session: Session, digest: Publication
) -> None:
    queue(session, "Economy: in", "Economy: in too")
    queue(session, "early", not_before=dt.date(2023, 11, 15))
    queue(session, "past", not_after=dt.date(2023, 11, 13))
    queue(session, "unfinished", state=DraftState.writing)
    queue(session, "theirs", publication="brief")
    assert [s.headline for s in assembled(session, digest).stories] == ["in", "in too"]


def test_too_few_stories_hold_the_issue_with_a_reason_and_one_notice(session: Session, digest: Publication) -> None:
    queue(session, "Economy: alone")
    issue = assembled(session, digest)
    issues.assemble(session, "digest", digest, issue, DEADLINE + HOUR)
    assert (issue.state, issue.held_in, issue.volume) == (IssueState.held, IssueState.open, None)
    assert issue.why == "1 story is ready; at least 2 are needed"
    [notice] = session.scalars(select(Notice))
    assert issue.why in notice.body
    assert session.scalar(select(func.count(Story.id))) == 0


def test_numbers_follow_each_other_and_the_year_turns_the_volume(session: Session, digest: Publication) -> None:
    labels = []
    for slot in (dt.date(2023, 12, 12), dt.date(2023, 12, 26), dt.date(2024, 1, 9), dt.date(2024, 1, 23)):
        queue(session, "Economy: a", "Economy: b")
        issue = assembled(session, digest, dt.datetime.combine(slot, dt.time(1), dt.UTC))
        assert issue.slot == slot
        labels.append(issues.name(issue))
    assert labels == ["Vol 2 No 21", "Vol 2 No 22", "Vol 3 No 1", "Vol 3 No 2"]


def test_a_combined_issue_takes_two_numbers(session: Session, digest: Publication) -> None:
    queue(session, *(f"Economy: {n}" for n in range(8)))
    issue = issues.open_next(session, "digest", digest, NOW)
    issues.override(session, issue, through=22)
    issues.assemble(session, "digest", digest, issue, DEADLINE)
    assert issue.subject == "US-Japan Alliance Digest 2.21–22: 0"
    assert issues.find(session, "digest", "22") is issue
    queue(session, "Economy: c", "Economy: d")
    assert issues.name(assembled(session, digest, SENDS + 7 * DAY)) == "Vol 2 No 23"


def test_by_hand_an_issue_waits_for_its_number(session: Session, digest: Publication) -> None:
    digest = msgspec.structs.replace(digest, numbering=Numbering(scheme=NumberingScheme.hand, start_volume=5))
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    assert issue.state is IssueState.held
    assert "given by hand" in issue.why
    issues.override(session, issue, number=7)
    issues.assemble(session, "digest", digest, issue, DEADLINE)
    assert issues.name(issue) == "Vol 5 No 7"


def test_a_number_is_never_given_twice(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    assembled(session, digest)
    issue = issues.open_next(session, "digest", digest, SENDS + 7 * DAY)
    with pytest.raises(IssueMistake, match=r"2\.20–21 is taken by Vol 2 No 21, dated 2023-11-14"):
        issues.override(session, issue, volume=2, number=20, through=21)


def test_a_wish_that_became_impossible_holds_the_issue_instead_of_stopping_the_calendar(
    session: Session, digest: Publication
) -> None:
    queue(session, "Economy: a", "Economy: b")
    assembled(session, digest)
    queue(session, "Economy: c", "Economy: d")
    issue = issues.open_next(session, "digest", digest, SENDS + 7 * DAY)
    issues.override(session, issue, number=21)
    issues.assemble(session, "digest", digest, issue, SENDS + 14 * DAY - 16 * HOUR)
    assert (issue.state, issue.why) == (IssueState.held, "2.21 is taken by Vol 2 No 21, dated 2023-11-14")


def test_an_editors_subject_and_preheader_are_used_and_its_braces_filled(session: Session, digest: Publication) -> None:
    queue(session, "Economy: {volume} of [[name|reader]]", "Economy: b")
    issue = issues.open_next(session, "digest", digest, NOW)
    issues.override(session, issue, subject="{number}, {date}: {headline}", preheader="Read this")
    issues.assemble(session, "digest", digest, issue, DEADLINE)
    assert issue.subject == "21, November 14, 2023: {volume} of [[name|reader]]"
    assert issue.preheader == "Read this"


@pytest.mark.parametrize(
    ("wish", "what"),
    [
        ({"subject": "{titel}"}, "{titel}, which there isn't"),
        ({"subject": "a\r\nBcc: b@example.org"}, "line break"),
        ({"preheader": "a\u2028b"}, "line break"),
        ({"number": 100_000}, "number 100000 can't be"),
        ({"number": 22, "through": 22}, "can't run from No 22 to No 22"),
    ],
)
def test_wishes_that_cannot_be_are_refused_at_once(
    session: Session, digest: Publication, wish: dict[str, Any], what: str
) -> None:
    issue = issues.open_next(session, "digest", digest, NOW)
    with pytest.raises(IssueMistake, match=what):
        issues.override(session, issue, **wish)


def test_an_error_in_the_middle_leaves_nothing_and_the_number_is_not_lost(folder: Folder, digest: Publication) -> None:
    broken = folder.engine.dialect.name
    with folder.session() as session:
        queue(session, "Economy: a", "Economy: b", "Economy: c")
        issues.open_next(session, "digest", digest, NOW)
    with folder.engine.begin() as connection:
        for statement in _FULL[broken]:
            connection.exec_driver_sql(statement)
    with pytest.raises(DBAPIError, match="disk is full"), folder.session() as session:
        assembled(session, digest)
    with folder.session() as session:
        issue = issues.find(session, "digest", "next")
        assert (issue.state, issue.volume, issue.stories) == (IssueState.open, None, [])
        assert {d.state for d in session.scalars(select(Draft))} == {DraftState.ready}
        on = " ON stories" if broken == "postgresql" else ""
        session.connection().exec_driver_sql(f"DROP TRIGGER full_{on}")
    with folder.session() as session:
        assert issues.name(assembled(session, digest)) == "Vol 2 No 21"


_FULL = {
    "sqlite": [
        """CREATE TRIGGER full_ BEFORE INSERT ON stories WHEN NEW.position = 3
           BEGIN SELECT RAISE(ABORT, 'disk is full'); END""",
    ],
    "postgresql": [
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'disk is full'; END $$""",
        """CREATE TRIGGER full_ BEFORE INSERT ON stories FOR EACH ROW WHEN (NEW.position = 3)
           EXECUTE FUNCTION full_disk()""",
    ],
}
"""A real failure of the database at the third story."""


def test_an_approved_issue_waits_for_its_time_and_is_due_then(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    issues.approve(session, issue, "Ann", DEADLINE + HOUR)
    assert (issue.state, issue.approved_by, issue.next_look) == (IssueState.approved, "Ann", SENDS)
    assert list(issues.due(session, "digest", SENDS - HOUR)) == []
    assert list(issues.due(session, "digest", SENDS)) == [issue]


def test_approving_after_the_time_lets_it_go_at_once(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    issues.hold(session, issue, "not approved by 08:00", "", SENDS - HOUR)
    issues.approve(session, issue, "Ann", SENDS + 10 * HOUR)
    assert list(issues.due(session, "digest", SENDS + 10 * HOUR)) == [issue]
    assert issues.advance(session, "digest", digest, SENDS + 10 * HOUR)[-1].what is issues.Happened.due


def test_what_a_person_holds_only_a_person_resumes(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    issues.hold(session, issue, "a source is missing", "Ann", DEADLINE)
    with pytest.raises(IssueMistake, match="Vol 2 No 21 is held by Ann: a source is missing, and can't be approved"):
        issues.approve(session, issue, "Bob", DEADLINE)
    with pytest.raises(IssueMistake, match="can't be held"):
        issues.hold(session, issue, "me too", "Bob", DEADLINE)
    issues.resume(session, issue, DEADLINE + HOUR)
    assert (issue.state, issue.held_by, issue.held_in) == (IssueState.assembled, "", None)


def test_a_person_may_take_over_what_the_program_holds(session: Session, digest: Publication) -> None:
    issue = assembled(session, digest)
    assert issue.state is IssueState.held
    issues.hold(session, issue, "wait for the minister", "Ann", DEADLINE)
    queue(session, "Economy: a", "Economy: b")
    issues.advance(session, "digest", digest, DEADLINE + HOUR)
    assert (issue.state, issue.held_by) == (IssueState.held, "Ann")
    with pytest.raises(IssueMistake, match="Resume it first"):
        issues.assemble(session, "digest", digest, issue, DEADLINE + HOUR)
    issues.resume(session, issue, DEADLINE + HOUR)
    issues.advance(session, "digest", digest, DEADLINE + HOUR)
    assert issue.state is IssueState.assembled


def _sending(session: Session, issue: Issue, *states: DeliveryState) -> None:
    issue.state, issue.started = IssueState.sending, SENDS
    session.add_all(
        Delivery(issue_id=issue.id, subscriber_id=n, state=state, since=SENDS) for n, state in enumerate(states, 1)
    )
    session.flush()


def test_pausing_and_resuming_while_it_is_sent(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    _sending(session, issue, DeliveryState.queued)
    issues.pause(session, issue, "Ann", SENDS)
    assert (issue.state, issue.why) == (IssueState.paused, "paused by Ann")
    issues.resume(session, issue, SENDS + HOUR)
    assert issue.state is IssueState.sending


def test_cancelling_before_sending_gives_drafts_and_number_back(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    issues.cancel(session, issue, "the summit was called off", DEADLINE)
    assert (issue.state, issue.volume, issue.why) == (IssueState.cancelled, None, "the summit was called off")
    assert {(d.state, d.issue_id) for d in session.scalars(select(Draft))} == {(DraftState.ready, None)}
    following = assembled(session, digest, SENDS + 13 * DAY)
    assert (following.slot, issues.name(following)) == (dt.date(2023, 11, 28), "Vol 2 No 21")


def test_a_cancelled_issue_keeps_its_number_where_a_later_one_follows(session: Session, digest: Publication) -> None:
    queue(session, *(f"Economy: {n}" for n in range(10)))
    first = assembled(session, digest)
    second = assembled(session, digest, SENDS + 7 * DAY)
    issues.cancel(session, first, "superseded", SENDS + 8 * DAY)
    assert (issues.name(first), issues.name(second)) == ("Vol 2 No 21", "Vol 2 No 22")
    queue(session, "Economy: x", "Economy: y")
    assert issues.name(assembled(session, digest, SENDS + 27 * DAY)) == "Vol 2 No 23"


@pytest.mark.parametrize("had", [DeliveryState.sent, DeliveryState.submitting, DeliveryState.uncertain])
def test_cancelling_after_someone_may_have_had_it_keeps_number_and_stories(
    session: Session, digest: Publication, had: DeliveryState
) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    _sending(session, issue, had, DeliveryState.queued, DeliveryState.deferred, DeliveryState.failed)
    issues.cancel(session, issue, "wrong picture", SENDS)
    session.expire_all()
    states = {copy.subscriber_id: copy.state for copy in session.scalars(select(Delivery))}
    assert states == {1: had, 2: DeliveryState.skipped, 3: DeliveryState.skipped, 4: DeliveryState.failed}
    assert session.get_one(Delivery, (issue.id, 2)).reply == "cancelled"
    assert {d.state for d in session.scalars(select(Draft))} == {DraftState.published}
    assert issues.name(issue) == "Vol 2 No 21"


def test_cancelling_before_any_copy_left_counts_as_not_sent(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    _sending(session, issue, DeliveryState.queued)
    issues.cancel(session, issue, "wrong picture", SENDS)
    assert issue.volume is None
    assert {d.state for d in session.scalars(select(Draft))} == {DraftState.ready}


def test_reopening_gives_stories_renditions_and_number_back(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = issues.open_next(session, "digest", digest, NOW)
    issues.override(session, issue, subject="{headline}")
    issues.assemble(session, "digest", digest, issue, DEADLINE)
    session.add(Rendition(issue_id=issue.id, kind=RenditionKind.html, content=b"", sha256="0" * 64, made=NOW))
    session.flush()
    issues.approve(session, issue, "Ann", DEADLINE)
    issues.reopen(session, issue, DEADLINE + HOUR, by="Ann")
    assert (issue.state, issue.volume, issue.subject, issue.approved_by, issue.stories) == (
        IssueState.open,
        None,
        "",
        "",
        [],
    )
    assert session.scalar(select(func.count()).select_from(Rendition)) == 0
    assert {d.state for d in session.scalars(select(Draft))} == {DraftState.ready}
    queue(session, "Defense: c")
    issues.assemble(session, "digest", digest, issue, DEADLINE + HOUR)
    assert (issues.name(issue), issue.subject, len(issue.stories)) == ("Vol 2 No 21", "a", 3)


def test_a_reopened_issue_keeps_a_number_that_a_later_one_follows(session: Session, digest: Publication) -> None:
    queue(session, *(f"Economy: {n}" for n in range(10)))
    first = assembled(session, digest)
    assembled(session, digest, SENDS + 7 * DAY)
    issues.reopen(session, first, SENDS + 8 * DAY)
    with pytest.raises(IssueMistake, match="keeps its number"):
        issues.override(session, first, number=40)
    issues.assemble(session, "digest", digest, first, SENDS + 8 * DAY)
    assert issues.name(first) == "Vol 2 No 21"


def test_reopening_does_not_lift_a_persons_hold(session: Session, digest: Publication) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    issues.hold(session, issue, "a source is missing", "Ann", DEADLINE)
    issues.reopen(session, issue, DEADLINE)
    assert (issue.state, issue.held_in, issue.held_by) == (IssueState.held, IssueState.open, "Ann")


def test_whatever_a_state_does_not_allow_is_refused_with_what_can_be_done(
    session: Session, digest: Publication
) -> None:
    queue(session, "Economy: a", "Economy: b")
    issue = issues.open_next(session, "digest", digest, NOW)
    asked: dict[str, Callable[[], object]] = {
        "assembled": lambda: issues.assemble(session, "digest", digest, issue, NOW),
        "approved": lambda: issues.approve(session, issue, "Ann", NOW),
        "held": lambda: issues.hold(session, issue, "why", "Ann", NOW),
        "resumed": lambda: issues.resume(session, issue, NOW),
        "paused": lambda: issues.pause(session, issue, "Ann", NOW),
        "cancelled": lambda: issues.cancel(session, issue, "why", NOW),
        "reopened": lambda: issues.reopen(session, issue, NOW),
        "edited": lambda: issues.override(session, issue, subject="x"),
    }
    refused = {
        IssueState.open: ["approved", "resumed", "paused", "reopened"],
        IssueState.assembled: ["assembled", "resumed", "paused", "edited"],
        IssueState.approved: ["assembled", "approved", "resumed", "paused", "edited"],
        IssueState.sending: ["assembled", "approved", "held", "resumed", "reopened", "edited"],
        IssueState.paused: ["assembled", "approved", "held", "paused", "reopened", "edited"],
        IssueState.sent: list(asked),
        IssueState.cancelled: list(asked),
    }
    for state, verbs in refused.items():
        for verb in verbs:
            issue.state, issue.held_in, issue.held_by = state, None, ""
            with pytest.raises(IssueMistake, match=f"is {state.value}, and can't be {verb}") as refusal:
                asked[verb]()
            assert refusal.value.remedy


def test_an_issue_is_found_by_next_number_label_and_date(session: Session, digest: Publication) -> None:
    queue(session, *(f"Economy: {n}" for n in range(10)))
    first = assembled(session, digest)
    second = assembled(session, digest, SENDS + 7 * DAY)
    issues.approve(session, first, "Ann", DEADLINE)
    assert issues.find(session, "digest", "next") is first
    for text in ("2.21", " 2.21 ", "21", "2023-11-14"):
        assert issues.find(session, "digest", text) is first
    assert issues.find(session, "digest", "22") is second
    second.volume, second.number = 3, 21
    session.flush()
    with pytest.raises(IssueMistake, match=r"No 21 is in several volumes\. Write 2\.21 or 3\.21\."):
        issues.find(session, "digest", "21")


@pytest.mark.parametrize("text", ["2.99", "99", "2022-01-01", "999999999999999999999"])
def test_an_issue_that_is_not_there_says_which_are(session: Session, digest: Publication, text: str) -> None:
    with pytest.raises(IssueMistake, match="There is none yet"):
        issues.find(session, "digest", text)
    queue(session, "Economy: a", "Economy: b")
    assembled(session, digest)
    issues.open_next(session, "digest", digest, DEADLINE)
    with pytest.raises(IssueMistake, match=r"There is 2\.21 \(assembled\), 2023-11-28 \(open\)"):
        issues.find(session, "digest", text)


def test_an_issue_held_for_good_is_next_only_where_there_is_no_other(session: Session, digest: Publication) -> None:
    first = issues.open_next(session, "digest", digest, NOW)
    issues.hold(session, first, "no", "Ann", NOW)
    assert issues.find(session, "digest", "next") is first
    second = issues.open_next(session, "digest", digest, SENDS + DAY)
    assert issues.find(session, "digest", "next") is second


def test_manual_issues_wait_for_a_person(session: Session, digest: Publication) -> None:
    digest = msgspec.structs.replace(digest, approval=Approval.manual)
    queue(session, "Economy: a", "Economy: b")
    issue = assembled(session, digest)
    assert (issue.next_look, issue.why) == (None, "it goes when someone sends it")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=90), max_size=9))
def test_a_preheader_is_short_and_whole(headlines: list[str]) -> None:
    made = preheader(headlines)
    assert len(made) <= 110
    if not made.endswith("…"):
        assert made == " · ".join(headlines[1:])


def test_a_preheader_is_cut_at_a_word_and_never_inside_a_field_or_an_emoji() -> None:
    assert preheader(["lead", "word " * 40]).removesuffix("…").split(" ") == ["word"] * 22
    assert preheader(["lead", "日" * 200]) == "日" * 109 + "…"
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    assert preheader(["lead", "x" * 107 + family * 3]) == "x" * 107 + "…"
    assert preheader(["lead", "x" * 90 + "[[name|my dear and faithful reader]]"]) == "x" * 90 + "…"
    assert preheader(["lead", "x" * 80 + " [[if city]]in the middle of [[city]][[end]]"]) == "x" * 80 + "…"


def test_a_subject_with_an_unknown_name_is_refused_with_the_line_of_the_config() -> None:
    text = CONFIG.replace("publisher =", 'subject = "{titel} {volume}"\npublisher =')
    with pytest.raises(ConfigMistake, match=r"config\.toml, line 15: .*there is no \{titel\}; there is \{title\}"):
        config.decode(text, Path("config.toml"))
