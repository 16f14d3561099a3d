"""The queue of stories, on both databases."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import replace

import pytest
from conftest import NOW
from sqlalchemy.orm import Session

from newsletter import drafts
from newsletter.drafts import Written
from newsletter.errors import DraftMistake
from newsletter.folder import Folder
from newsletter.models import Draft, Issue, Picture
from newsletter.states import DraftState

SECTIONS = ("Economy", "Diplomacy", "Defense")
LATER = NOW + dt.timedelta(hours=1)
TUESDAY = dt.date(2023, 11, 14)


def written(headline: str = "H", **values: object) -> Written:
    return replace(Written(headline, "Text.", "Economy"), **values)  # type: ignore[arg-type]


def queue(session: Session, *headlines: str, publication: str = "digest", **options: object) -> list[Draft]:
    return [
        drafts.add(session, publication, written(headline), NOW, sections=SECTIONS, **options)  # type: ignore[arg-type]
        for headline in headlines
    ]


def place(session: Session, draft: Draft, *, numbered: bool = True, through: int | None = None) -> None:
    issue = Issue(
        publication="digest",
        slot=TUESDAY,
        since=NOW,
        deadline=NOW,
        approve_by=NOW,
        sends=NOW,
        volume=2 if numbered else None,
        number=21 if numbered else None,
        through=through,
    )
    session.add(issue)
    session.flush()
    draft.state, draft.issue_id = DraftState.placed, issue.id
    session.flush()


def names(found: object) -> str:
    return " ".join(draft.headline for draft in found)  # type: ignore[attr-defined]


def picture(session: Session) -> Picture:
    row = Picture(sha256="ab" * 32, extension="png", width=1280, height=640, size=9, added=NOW)
    session.add(row)
    session.flush()
    return row


def test_new_stories_join_the_end_of_their_own_publications_queue(session: Session) -> None:
    queue(session, "a", "b")
    queue(session, "x", publication="other")
    queue(session, "c")
    assert names(drafts.listing(session, "digest")) == "a b c"
    assert names(drafts.listing(session, "other")) == "x"
    assert {draft.created for draft in drafts.listing(session, "digest")} == {NOW}


def test_a_story_keeps_all_that_was_written(session: Session) -> None:
    row = picture(session)
    full = Written(
        "日本の「見出し」 🏯",
        "Text with <b>, {{ x }} and \t tab\n\n…",
        "Defense",
        "https://example.org",
        "Hana",
        "A bridge.",
        "Picture: us",
        TUESDAY,
        TUESDAY,
    )
    number = drafts.add(session, "digest", full, NOW, sections=SECTIONS, picture=row, source="a.md").id
    session.expire_all()
    kept = drafts.get(session, number)
    assert (
        Written(
            kept.headline,
            kept.body,
            kept.section,
            kept.link,
            kept.author,
            kept.picture_alt,
            kept.picture_credit,
            kept.not_before,
            kept.not_after,
        )
        == full
    )
    assert (kept.picture, kept.state, kept.source) == (row, DraftState.ready, "a.md")


def test_what_is_wrong_with_a_story_keeps_it_out_of_the_queue(session: Session) -> None:
    for wrong in (
        written(""),
        written(" \u00a0"),
        written("a\nb"),
        written("a\u0085b"),
        written(body=""),
        written(body="\x00"),
        written(section="Sports"),
        written(section=""),
        written(alt="A bridge."),
        written(link="ftp://x"),
        written(author="x" * 201),
        written(not_before=TUESDAY, not_after=TUESDAY - dt.timedelta(days=1)),
    ):
        with pytest.raises(DraftMistake):
            drafts.add(session, "digest", wrong, NOW, sections=SECTIONS)
    with pytest.raises(DraftMistake, match="no alt text"):
        drafts.add(session, "digest", written(), NOW, sections=SECTIONS, picture=picture(session))
    assert drafts.listing(session, "digest") == []


def test_an_issue_takes_ready_stories_whose_dates_suit_it_in_the_order_of_the_queue(session: Session) -> None:
    day = dt.timedelta(days=1)
    for headline, first, last in (
        ("always", None, None),
        ("from-today", TUESDAY, None),
        ("from-tomorrow", TUESDAY + day, None),
        ("until-today", None, TUESDAY),
        ("until-yesterday", None, TUESDAY - day),
        ("only-today", TUESDAY, TUESDAY),
    ):
        drafts.add(session, "digest", written(headline, not_before=first, not_after=last), NOW, sections=SECTIONS)
    unfinished, dropped, placed = queue(session, "unfinished", "dropped", "placed")
    queue(session, "elsewhere", publication="other")
    drafts.write(session, unfinished, NOW)
    drafts.drop(session, dropped, NOW)
    place(session, placed)
    for claim in (False, True):
        found = drafts.candidates(session, "digest", TUESDAY, claim=claim)
        assert names(found) == "always from-today until-today only-today"
    assert names(drafts.candidates(session, "digest", TUESDAY + day)) == "always from-today from-tomorrow"


def test_stories_of_the_same_position_go_in_the_order_of_their_coming(session: Session) -> None:
    first, second, third = queue(session, "first", "second", "third")
    for draft in (first, second, third):
        draft.position = 7
    third.created = NOW - dt.timedelta(days=1)
    session.flush()
    assert names(drafts.candidates(session, "digest", TUESDAY)) == "third first second"


def test_an_edit_changes_what_is_written_and_neither_state_nor_place(session: Session) -> None:
    a, b = queue(session, "a", "b")
    drafts.write(session, a, NOW)
    drafts.edit(session, a, written("A", alt="Alt."), LATER, sections=SECTIONS, picture=picture(session))
    assert (a.headline, a.state, a.created, a.changed) == ("A", DraftState.writing, NOW, LATER)
    assert a.picture is not None
    assert names(drafts.listing(session, "digest")) == "A b"
    drafts.edit(session, a, written("A"), LATER, sections=SECTIONS)
    assert (a.picture, a.picture_sha256, b.changed) == (None, None, NOW)
    with pytest.raises(DraftMistake, match="no section"):
        drafts.edit(session, a, written(section="Sports"), LATER, sections=SECTIONS)


def test_an_edit_does_not_write_over_what_somebody_else_changed_meanwhile(session: Session) -> None:
    (a,) = queue(session, "a")
    drafts.edit(session, a, written("theirs"), LATER, sections=SECTIONS, seen=NOW)
    with pytest.raises(DraftMistake, match="somebody else"):
        drafts.edit(session, a, written("mine"), LATER, sections=SECTIONS, seen=NOW)
    assert a.headline == "theirs"


def test_a_story_goes_from_writing_to_ready_and_back_and_comes_back_from_dropped(session: Session) -> None:
    (a,) = queue(session, "a", state=DraftState.writing)
    assert a.state is DraftState.writing
    drafts.ready(session, a, LATER)
    assert (a.state, a.changed) == (DraftState.ready, LATER)
    drafts.ready(session, a, LATER + dt.timedelta(hours=1))
    assert a.changed == LATER
    drafts.drop(session, a, LATER)
    assert names(drafts.listing(session, "digest")) == ""
    with pytest.raises(DraftMistake, match="draft write"):
        drafts.edit(session, a, written(), LATER, sections=SECTIONS)
    drafts.write(session, a, LATER)
    assert a.state is DraftState.writing


def test_a_story_that_stands_in_an_issue_is_not_touched_and_the_issue_is_named(session: Session) -> None:
    (a,) = queue(session, "a")
    place(session, a)
    for state in (DraftState.placed, DraftState.published):
        a.state = state
        with pytest.raises(DraftMistake, match=f"{state.value} in Vol 2 No 21, and can't be edited"):
            drafts.edit(session, a, written("b"), LATER, sections=SECTIONS)
        for turn in (drafts.ready, drafts.write, drafts.drop):
            with pytest.raises(DraftMistake, match="in Vol 2 No 21"):
                turn(session, a, LATER)
        with pytest.raises(DraftMistake, match="not in the queue"):
            drafts.order(session, "digest", [a.id])
    assert (a.headline, a.changed) == ("a", NOW)


def test_the_issue_of_a_story_is_named_by_its_numbers_or_else_its_date(session: Session) -> None:
    a, _ = queue(session, "a", "b")
    assert drafts.standing(session, a) == ""
    place(session, a, numbered=False)
    assert drafts.standing(session, a) == "the issue of 2023-11-14"
    issue = session.get_one(Issue, a.issue_id)
    issue.volume, issue.number, issue.through = 2, 21, 22
    assert drafts.standing(session, a) == "Vol 2 No 21–22"


@pytest.mark.parametrize("number", [0, -1, 99, 2**31, 2**63, 10**30])
def test_a_draft_that_is_not_there_is_a_sentence(session: Session, number: int) -> None:
    with pytest.raises(DraftMistake, match="there is no draft"):
        drafts.get(session, number)


def test_a_draft_of_another_publication_is_not_given_out(session: Session) -> None:
    (a,) = queue(session, "a", publication="other")
    with pytest.raises(DraftMistake, match='belongs to "other"'):
        drafts.get(session, a.id, "digest")


@pytest.mark.parametrize(
    ("moves", "how", "after"),
    [
        ("c", {}, "c a b d e"),
        ("db", {}, "d b a c e"),
        ("a", {"last": True}, "b c d e a"),
        ("ec", {"before": "b"}, "a e c b d"),
        ("a", {"before": "e"}, "b c d a e"),
        ("edcba", {}, "e d c b a"),
        ("edcba", {"last": True}, "e d c b a"),
    ],
)
def test_stories_move_to_the_head_the_end_or_before_another(
    session: Session, moves: str, how: dict[str, str], after: str
) -> None:
    known = {draft.headline: draft.id for draft in queue(session, *"abcde")}
    before = known[how["before"]] if "before" in how else None
    moved = drafts.order(session, "digest", [known[name] for name in moves], before=before, last="last" in how)
    assert names(moved) == names(drafts.listing(session, "digest")) == after
    queue(session, "new")
    assert names(drafts.listing(session, "digest")) == f"{after} new"


def test_an_order_that_cannot_be_changes_nothing(session: Session) -> None:
    _, b, gone = queue(session, "a", "b", "gone")
    (other,) = queue(session, "other", publication="other")
    drafts.drop(session, gone, NOW)
    for numbers, before, what in (
        ([b.id, b.id], None, "named twice"),
        ([b.id], b.id, "before itself"),
        ([b.id, 99], None, "no draft 99"),
        ([b.id, gone.id], None, "dropped"),
        ([b.id], other.id, 'belongs to "other"'),
    ):
        with pytest.raises(DraftMistake, match=what):
            drafts.order(session, "digest", numbers, before=before)
    assert names(drafts.listing(session, "digest")) == "a b"


def test_an_edit_waits_for_the_issue_that_is_taking_the_story_and_is_then_refused(folder: Folder) -> None:
    with folder.session() as session:
        number = queue(session, "a")[0].id
    began, outcome = threading.Event(), []

    def edit() -> None:
        with folder.session() as session:
            draft = drafts.get(session, number)
            began.set()
            try:
                drafts.edit(session, draft, written("changed"), LATER, sections=SECTIONS)
            except DraftMistake as mistake:
                outcome.append(str(mistake))

    with folder.session() as session:
        (draft,) = drafts.candidates(session, "digest", TUESDAY, claim=True)
        editor = threading.Thread(target=edit)
        editor.start()
        if folder.engine.dialect.name == "postgresql":
            # There it has read the row as it was; on SQLite it can't even begin.
            began.wait()
        place(session, draft)
    editor.join()
    (said,) = outcome
    assert said.startswith(f"draft {number} is placed in Vol 2 No 21, and can't be edited.")
