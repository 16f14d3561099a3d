"""An issue as a folder: the same issue, the same bytes; read back it is the same issue; nothing in it reaches out."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import NOW
from edition_sample import ROOT, TEMPLATES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from test_corrections import LATER, LEAD, assembled_next, gone, shown
from test_render_edition import issue_with

from newsletter import issue_folder, issues, pictures, verifying
from newsletter.cli import newsletter
from newsletter.corrections import Wish, correct
from newsletter.errors import ConfigMistake, DraftMistake, IssueMistake, Mistake, PictureMistake
from newsletter.folder import Folder
from newsletter.issue_folder.description import Description, written
from newsletter.models import Correction, Delivery, Draft, Issue, Notice, Picture, Rendition, Story, Subscriber
from newsletter.render import aside, render_issue
from newsletter.states import DraftState, IssueState, RenditionKind
from newsletter.toml_file import parse

Changes = Callable[..., Folder]
BY_HAND = """volume = 1
number = 3
date = 2022-03-15
stories = ["stories/1.md", "stories/2.md"]
"""


def exported(folder: Folder, place: Path) -> dict[str, bytes]:
    """Vol 2 No 21, corrected twice, written into a folder; answers its files."""
    with folder.session() as session:
        issue = gone(session, folder)
        correct(session, folder, issue, Wish('A "slip" \\ of ours.', 1, "Another headline", "One.\n\nTwo \\n."), LATER)
        correct(session, folder, issue, Wish("The whole.", announce=True, by="Ann"), LATER)
        made = issue_folder.files(session, folder, issue)
    issue_folder.write(made, place)
    return made


def taken_in(folder: Folder, place: Path, now: dt.datetime = LATER) -> int:
    """A folder's issue into the database; answers its id."""
    read = issue_folder.read(place, folder.config, now)
    return aside(folder, lambda session: issue_folder.archive(session, folder, read, "digest", now).id)


def emptied(folder: Folder) -> None:
    """As if it were another database: nothing in it, and no picture in the store."""
    with folder.session() as session:
        for model in (Rendition, Correction, Story, Draft, Issue, Picture):
            session.query(model).delete()
    shutil.rmtree(folder.pictures, ignore_errors=True)


def tree(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()
    }


def summed(place: Path) -> None:
    """SHA256SUMS as they are right for what is there now."""
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in tree(place).items()
        if name != "SHA256SUMS"
    ]
    (place / "SHA256SUMS").write_text("".join(lines))


# ---- writing


def test_the_same_issue_is_the_same_folder_and_sha256sum_agrees(folder: Folder, tmp_path: Path) -> None:
    made = exported(folder, tmp_path / "one")
    with folder.reading() as session:
        again = issue_folder.files(session, folder, session.scalars(select(Issue)).one())
    assert again == made == tree(tmp_path / "one")
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path / "one", capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert len(checked.stdout.splitlines()) == len(made) - 1
    assert set(made) >= {
        ".gitattributes",
        "issue.toml",
        "stories/1-toyota-spends-8-million.md",
        "stories/2-blinken-in-tokyo.md",
        *(f"renditions/{name}" for name in ("mail.html", "mail.txt", "page.html", "entry.html", "issue.pdf")),
        *(f"renditions/revision-{n}/{name}" for n in (2, 3) for name in ("page.html", "entry.html", "issue.pdf")),
    }


def test_a_folder_holds_what_readers_had_and_no_reader(
    folder: Folder, tmp_path: Path, subscribe: Callable[..., Subscriber]
) -> None:
    with folder.session() as session:
        reader = subscribe(session, "noor@example.org", name="Noor Example")
        issue = gone(session, folder)
        session.add(
            Delivery(issue_id=issue.id, subscriber_id=reader.id, state="sent", since=NOW, reply="250 noor@example.org")
        )
    with folder.reading() as session:
        issue = session.scalars(select(Issue)).one()
        made = issue_folder.files(session, folder, issue)
        for row in session.scalars(select(Rendition)):
            assert row.content in made.values()
    for name, content in made.items():
        assert b"noor" not in content.lower(), name
        if not name.endswith((".pdf", ".png", ".jpg")):
            assert b"\r" not in content, name


def test_a_story_in_a_folder_can_be_queued_as_a_draft(lite_folder: Folder, tmp_path: Path) -> None:
    exported(lite_folder, tmp_path / "one")
    text = (tmp_path / "one" / "stories" / "1-toyota-spends-8-million.md").read_text()
    assert "headline: Toyota spends $8 million\n" in text
    path = tmp_path / "one" / "stories" / "1-toyota-spends-8-million.md"
    path.write_text(text.replace("---\n", "---\nsection: Economy\n", 1))
    found = CliRunner().invoke(newsletter, ["-C", str(lite_folder.path), "draft", "add", str(path)])
    assert found.exit_code == 0, found.output


def test_an_export_is_brought_up_to_date_and_what_others_put_there_stays(lite_folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "one"
    with lite_folder.session() as session:
        issue = gone(session, lite_folder)
        issue_folder.write(issue_folder.files(session, lite_folder, issue), place)
    (place / ".git").mkdir()
    (place / "README").write_text("Ours.")
    untouched = (place / "renditions" / "mail.html").stat()
    with lite_folder.session() as session:
        issue = session.scalars(select(Issue)).one()
        correct(session, lite_folder, issue, Wish("A slip."), LATER)
        made = issue_folder.files(session, lite_folder, issue)
        assert issue_folder.write(made, place) == 5
        assert issue_folder.write(made, place) == 0
        fewer = {name: content for name, content in made.items() if "revision-2" not in name}
        issue_folder.write(fewer, place)
    assert not list((place / "renditions" / "revision-2").iterdir())
    assert (place / "README").read_text() == "Ours."
    after = (place / "renditions" / "mail.html").stat()
    assert (after.st_mtime_ns, after.st_ino) == (untouched.st_mtime_ns, untouched.st_ino)


@pytest.mark.parametrize("there", ["something", "another issue", "no issue", "a file", "a link"])
def test_a_folder_that_holds_anything_else_is_left_alone(lite_folder: Folder, tmp_path: Path, there: str) -> None:
    with lite_folder.session() as session:
        made = issue_folder.files(session, lite_folder, gone(session, lite_folder))
    place = tmp_path / "one"
    if there == "something":
        place.mkdir()
        (place / "thesis.txt").write_text("Mine.")
    elif there == "another issue":
        issue_folder.write({**made, "issue.toml": made["issue.toml"].replace(b"number = 21", b"number = 22")}, place)
    elif there == "no issue":
        place.mkdir()
        (place / "issue.toml").write_text('volume = "II"\nnumber = inf\n')
    elif there == "a file":
        place.write_text("Mine.")
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path)
    with pytest.raises(IssueMistake) as caught:
        issue_folder.write(made, place)
    assert str(place) in str(caught.value)
    assert tree(tmp_path) == before


def test_a_link_within_an_export_is_not_written_through(lite_folder: Folder, tmp_path: Path) -> None:
    place, outside = tmp_path / "one", tmp_path / "outside"
    with lite_folder.session() as session:
        made = issue_folder.files(session, lite_folder, gone(session, lite_folder))
    issue_folder.write(made, place)
    shutil.rmtree(place / "stories")
    outside.mkdir()
    (place / "stories").symlink_to(outside)
    with pytest.raises(IssueMistake, match="this is a link"):
        issue_folder.write(made, place)
    assert list(outside.iterdir()) == []


def test_sums_that_name_what_is_outside_take_nothing_away(lite_folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "one"
    with lite_folder.session() as session:
        made = issue_folder.files(session, lite_folder, gone(session, lite_folder))
    issue_folder.write(made, place)
    (tmp_path / "precious").write_text("Mine.")
    with (place / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  ../precious\n{'0' * 64}  {tmp_path}/precious\n")
    issue_folder.write(made, place)
    assert (tmp_path / "precious").read_text() == "Mine."


def test_an_export_that_fails_leaves_no_half_of_a_folder(lite_folder: Folder, tmp_path: Path) -> None:
    with lite_folder.session() as session:
        made = issue_folder.files(session, lite_folder, gone(session, lite_folder))
    # A name that no file system takes, last of all.
    with pytest.raises(IssueMistake, match="can't be written"):
        issue_folder.write({**made, f"stories/{'x' * 300}.md": b""}, tmp_path / "one")
    assert not [path for path in tmp_path.iterdir() if "one" in path.name]


def test_what_is_not_frozen_yet_is_not_exported(session: Session, folder: Folder) -> None:
    issue = issues.open_next(session, *folder.publication(), NOW)
    with pytest.raises(IssueMistake, match="Assemble it first"):
        issue_folder.files(session, folder, issue)


def test_a_damaged_rendition_is_not_exported_as_if_it_were_whole(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    session.get_one(Rendition, (issue.id, RenditionKind.page, 1)).content = b"another page"
    with pytest.raises(IssueMistake, match="its SHA-256 is another"):
        issue_folder.files(session, folder, issue)


# ---- there and back


def test_an_issue_goes_into_a_folder_and_back_and_is_the_same(folder: Folder, tmp_path: Path) -> None:
    made = exported(folder, tmp_path / "one")
    emptied(folder)
    number = taken_in(folder, tmp_path / "one")
    with folder.session() as session:
        issue = session.get_one(Issue, number)
        assert issue_folder.files(session, folder, issue) == made
        assert issue.state is IssueState.sent
        assert [story.picture is not None for story in issue.stories] == [True, False]
        assert {draft.state for draft in session.scalars(select(Draft))} == {DraftState.published}
        checked, _ = verifying.verify(session, folder, issue, LATER)
        assert len(checked) == 11
        assert all(each.whole and each.same for each in checked)
        # Nobody is mailed, and the calendar goes on after it.
        assert not session.scalar(select(func.count()).select_from(Delivery))
        assert not session.scalar(select(func.count()).select_from(Notice))
        assert issues.due(session, "digest", LATER + dt.timedelta(days=9)) == []
        following = assembled_next(session, folder)
        assert (following.volume, following.number) == (2, 22)
        assert [note.words for note in following.notes] == ["The whole."]


def test_an_imported_issue_can_be_corrected_further(folder: Folder, tmp_path: Path) -> None:
    exported(folder, tmp_path / "one")
    emptied(folder)
    number = taken_in(folder, tmp_path / "one")
    with folder.session() as session:
        made = correct(session, folder, session.get_one(Issue, number), Wish("One more.", 2), LATER)
        assert made.revision == 4


def test_notes_find_the_corrections_that_they_tell_of(folder: Folder, tmp_path: Path) -> None:
    with folder.session() as session:
        earlier = gone(session, folder)
        correct(session, folder, earlier, Wish("Once.", announce=True), LATER)
        issue = assembled_next(session, folder)
        render_issue(session, folder, *folder.publication(), issue, LATER)
        issue.state, issue.started, issue.finished = IssueState.sent, LATER, LATER
        session.flush()
        session.expire_all()
        first, second = (issue_folder.files(session, folder, each) for each in (earlier, issue))
    issue_folder.write(first, tmp_path / "first")
    issue_folder.write(second, tmp_path / "second")
    emptied_in_order(folder)
    with pytest.raises(IssueMistake, match=r"tells of a correction to 2\.21.*Import that one first"):
        taken_in(folder, tmp_path / "second", dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    now = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    numbers = [taken_in(folder, tmp_path / "first", now)]
    toml = (tmp_path / "second" / "issue.toml").read_text()
    (tmp_path / "second" / "issue.toml").write_text(
        toml.replace('issue = "2.21"\nrevision = 2', 'issue = "2.21"\nrevision = 3')
    )
    summed(tmp_path / "second")
    with pytest.raises(IssueMistake, match="that has no revision 3"):
        taken_in(folder, tmp_path / "second", now)
    issue_folder.write(second, tmp_path / "second")
    numbers.append(taken_in(folder, tmp_path / "second", now))
    with folder.session() as session:
        assert [issue_folder.files(session, folder, session.get_one(Issue, each)) for each in numbers] == [
            first,
            second,
        ]


def emptied_in_order(folder: Folder) -> None:
    with folder.session() as session:
        session.query(Correction).delete()
    emptied(folder)


_ODD = st.sampled_from(
    ["---", "# no", "a: b", "yes", "null", "1.0", "- x", "& a", "! b", "| c", "*d", '"q"', "'", "\\n", '"""', "[[name]]", "{{ 7*7 }}", "日本", "ab", "é", "🎌", " "]
)  # fmt: skip
_LINE = st.lists(
    st.one_of(_ODD, st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufffe\uffff"), max_size=12)),
    min_size=1,
    max_size=5,
).map(" ".join)  # fmt: skip
_HEADLINE = _LINE.filter(str.strip)
_BODY = st.lists(st.one_of(_LINE, st.sampled_from(["", "\t", "    code", "---", '"""'])), min_size=1, max_size=6)
_TEXT = _BODY.map("\n".join).filter(str.strip)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stories=st.lists(st.tuples(_HEADLINE, _TEXT, _LINE), min_size=1, max_size=3),
    corrected=st.lists(st.tuples(_HEADLINE, _TEXT), max_size=2),
    subject=_LINE,
)
def test_whatever_the_texts_are_they_come_back_as_the_same_bytes(
    lite_folder: Folder,
    tmp_path_factory: pytest.TempPathFactory,
    stories: list[tuple[str, str, str]],
    corrected: list[tuple[str, str]],
    subject: str,
) -> None:
    place = tmp_path_factory.mktemp("odd") / "one"
    with Session(lite_folder.engine) as session:
        issue = issue_with(
            session, *({"headline": headline, "body": body, "author": author} for headline, body, author in stories)
        )
        issue.state, issue.assembled, issue.started, issue.finished = IssueState.sent, NOW, NOW, NOW
        issue.subject = issue.preheader = subject.strip() or "x"
        for revision, (words, body) in enumerate(corrected, 2):
            session.add(
                Correction(
                    issue_id=issue.id, position=1, revision=revision, made=NOW, date=NOW.date(), words=words, body=body
                )
            )
        for kind in RenditionKind:
            later = () if kind in (RenditionKind.html, RenditionKind.text) else range(2, 2 + len(corrected))
            for revision in (1, *later):
                content = f"%PDF-{kind.value}{revision}".encode()
                session.add(
                    Rendition(
                        issue_id=issue.id,
                        kind=kind,
                        revision=revision,
                        content=content,
                        sha256=hashlib.sha256(content).hexdigest(),
                        made=NOW,
                    )
                )
        session.flush()
        session.expire_all()
        first = issue_folder.files(session, lite_folder, issue)
        before = [(story.headline.strip(" \t\n"), story.author.strip(" \t\n")) for story in issue.stories]
        told = [(each.words, each.headline, each.body) for each in issue.corrections]
        session.rollback()
    issue_folder.write(first, place)
    read = issue_folder.read(place, lite_folder.config, LATER)
    with Session(lite_folder.engine) as session:
        issue = issue_folder.archive(session, lite_folder, read, "digest", LATER)
        session.expire_all()
        assert issue_folder.files(session, lite_folder, issue) == first
        assert [(story.headline, story.author) for story in issue.stories] == before
        assert [(each.words, each.headline, each.body) for each in issue.corrections] == told
        session.rollback()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_text_survives_issue_toml(text: str) -> None:
    head = {"volume": 1, "number": 1, "date": dt.date(2022, 1, 1), "stories": ["stories/1.md"], "subject": text}
    made = written(head, "x")
    assert tomllib.loads(made).get("subject", "") == text
    assert parse(made, Path("issue.toml"), Description).subject == text


# ---- by hand


def by_hand(place: Path) -> Path:
    """An issue from before there was this program, as somebody wrote it down."""
    (place / "stories").mkdir(parents=True)
    (place / "pictures").mkdir()
    (place / "issue.toml").write_text(BY_HAND)
    shutil.copy(LEAD, place / "pictures" / "hills.png")
    (place / "stories" / "1.md").write_text(
        "---\nheadline: An old story\nsection: History\npicture: ../pictures/hills.png\nalt: Hills\n---\n\nLong ago.\n"
    )
    (place / "stories" / "2.md").write_text(
        "---\nheadline: Another\n---\n\nAnd later, in [detail](https://example.org).\n"
    )
    return place


def test_a_folder_written_by_hand_is_rendered(folder: Folder, tmp_path: Path) -> None:
    folder.templates.symlink_to(TEMPLATES)
    number = taken_in(folder, by_hand(tmp_path / "old"))
    with folder.session() as session:
        issue = session.get_one(Issue, number)
        assert (issue.volume, issue.number, issue.date, issue.slot) == (
            1,
            3,
            dt.date(2022, 3, 15),
            dt.date(2022, 3, 15),
        )
        assert issue.subject == "US-Japan Alliance Digest 1.3: An old story"
        assert issue.preheader == "Another"
        assert issue.sends.date() == dt.date(2022, 3, 15)
        kept = {row.kind: row.content for row in session.scalars(select(Rendition))}
        assert set(kept) == set(RenditionKind)
        assert "Long ago." in shown(kept[RenditionKind.page])
        made = issue_folder.files(session, folder, issue)
    emptied(folder)
    issue_folder.write(made, tmp_path / "new")
    again = taken_in(folder, tmp_path / "new")
    with folder.session() as session:
        assert issue_folder.files(session, folder, session.get_one(Issue, again)) == made


def test_corrections_of_a_folder_written_by_hand_become_revisions(lite_folder: Folder, tmp_path: Path) -> None:
    lite_folder.templates.symlink_to(TEMPLATES)
    place = by_hand(tmp_path / "old")
    with (place / "issue.toml").open("a") as file:
        file.write('[[corrections]]\nrevision = 2\ndate = 2022-03-20\nstory = 1\nwords = "It was another year."\n')
        file.write(
            '[[corrections]]\nrevision = 3\ndate = 2022-03-21\nwords = "And another."\nheadline = "x"\nstory = 2\n'
        )
    number = taken_in(lite_folder, place)
    with lite_folder.session() as session:
        pages = {
            row.revision: shown(row.content)
            for row in session.scalars(select(Rendition).where(Rendition.issue_id == number))
            if row.kind is RenditionKind.page
        }
    assert "another year" not in pages[1]
    assert "Corrected on March 20, 2022: It was another year." in pages[2]
    assert "And another" not in pages[2]
    assert "And another" in pages[3]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("issue.toml", "volume = 1", "volume = ", "issue.toml, line 1, column 10: this is not TOML"),
        ("issue.toml", "volume = 1", 'volume = "1"', "issue.toml, line 1: volume: a whole number is wanted here"),
        ("issue.toml", "volume = 1", "volume = 0", "issue.toml, line 1: volume: it must be at least 1"),
        ("issue.toml", "volume = 1\n", "", "volume: it is missing"),
        ("issue.toml", "volume = 1", "volume = 1\ncolour = 2", "issue.toml, line 2: colour: there is no setting"),
        ("issue.toml", "number = 3", "number = 3\nthrough = 3", "issue.toml, line 3: it can't run from No 3 to No 3"),
        ("issue.toml", "2022-03-15", "2222-03-15", "issue.toml, line 3: 2222-03-15 is yet to come"),
        ("issue.toml", "2022-03-15", "2022-02-30", "issue.toml, line 3"),
        ("issue.toml", "number = 3", 'number = 3\nstate = "sending"', 'line 3: its state is "sending"'),
        ("issue.toml", "number = 3", "number = 3\nformat = 2", "line 3: this is format 2"),
        ("issue.toml", "number = 3", 'number = 3\nsubject = "a\\nb"', "line 3: the subject holds a line break"),
        ("issue.toml", "number = 3", 'number = 3\npublication = "other"', 'line 3: this is an issue of "other"'),
        ("issue.toml", '"stories/2.md"', '"stories/1.md"', 'line 4: "stories/1.md" is listed twice'),
        (
            "issue.toml",
            '"stories/2.md"',
            '"stories/3.md"',
            "stories/3.md: there is no such file, which issue.toml names",
        ),
        ("issue.toml", '"stories/2.md"', '"../2.md"', 'line 4: "../2.md" is no story'),
        ("issue.toml", '"stories/2.md"', '"/etc/passwd"', 'line 4: "/etc/passwd" is no story'),
        ("issue.toml", '"stories/2.md"', '"stories/../../2.md"', 'line 4: "stories/../../2.md" is no story'),
        ("issue.toml", "stories = [", "stories = [] #", "issue.toml, line 4"),
        ("issue.toml", '2.md"]', '2.md"]\n[times]\nsends = 2022-03-15T09:00:00', "line 6: sends has no zone"),
        ("issue.toml", "number = 3", "number = 3\nformat = 1\xff", "issue.toml, line 3"),
        ("issue.toml", "number = 3", f"number = {'3' * 5000}", "issue.toml: a number in it has too many digits"),
        ("issue.toml", "number = 3", "number = 3\nslot = 2222-03-15", "line 3: 2222-03-15 is yet to come"),
        (
            "issue.toml",
            '2.md"]',
            '2.md"]\n[times]\nsends = 0001-01-01T00:00:00+14:00',
            "line 6: sends is no time of an",
        ),
        (
            "issue.toml",
            '2.md"]',
            '2.md"]\n[times]\nsends = 9999-12-31T23:59:59-14:00',
            "line 6: sends is no time of an",
        ),
        ("stories/1.md", "headline: An old story", "headline: An old: story", "1.md, line 2"),
        ("stories/1.md", "Long ago.", "Long \x07 ago.", "1.md, line 8: the text holds a control character"),
        ("stories/1.md", "../pictures/hills.png", "../pictures/none.png", "pictures/none.png: there is no such file"),
        (
            "stories/1.md",
            "../pictures/hills.png",
            "/etc/hostname",
            '1.md, line 4: the picture "/etc/hostname" is not in',
        ),
        ("stories/1.md", "../pictures/hills.png", "../../hills.png", "1.md, line 4: the picture"),
        ("stories/1.md", "../pictures/hills.png", "../stories/2.md", "1.md, line 4: the picture"),
        ("stories/1.md", "alt: Hills\n", "", "1.md, line 4: the picture has no alt text"),
        ("stories/1.md", "alt: Hills", "alt: Hills\nstate: ready", "1.md: state is for drafts"),
    ],
)
def test_what_is_wrong_in_a_folder_is_said_with_its_file_and_line_and_nothing_is_taken_in(
    lite_folder: Folder, tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    lite_folder.templates.symlink_to(TEMPLATES)
    place = by_hand(tmp_path / "old")
    text = (place / file).read_text()
    assert old in text
    (place / file).write_bytes(text.replace(old, new).encode("latin-1"))
    with pytest.raises(Mistake) as caught:
        taken_in(lite_folder, place)
    assert said in str(caught.value)
    with lite_folder.reading() as session:
        for model in (Issue, Story, Draft, Picture, Rendition):
            assert not session.scalar(select(func.count()).select_from(model))


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("revision = 3\nwords = 'x'", "revision 3 doesn't follow revision 1"),
        ("revision = 2\nwords = 'x'\nstory = 3", "no story 3 to correct"),
        ("revision = 2\nwords = 'x'\nheadline = 'y'", "belong to a story"),
        ("revision = 2\nwords = 'x'\nstory = 1\nheadline = ' '", "headline is missing"),
        ("revision = 2\nwords = 'x'\nstory = 1\nbody = \"a\\u0007\"", "control character"),
        ('revision = 2\nwords = "a\\nb"', "line break"),
        ("revision = 2\nwords = ''", "can't be empty"),
        ("revision = 2\nwords = 'x'\nmade = 2022-03-15T09:00:00", "made has no zone"),
        ("revision = 1\nwords = 'x'", "at least 2"),
        ("revision = 2\nwords = 'Dear [[name]]'", "revision 2: the words hold a merge field"),
        ("revision = 2\nwords = ' '", "revision 2: the words are missing"),
        ("revision = 2\nwords = 'x'\nmade = 0001-01-01T00:00:00+14:00", "revision 2 can't have been made then"),
    ],
)
def test_a_correction_in_a_folder_that_can_not_be_is_refused(
    lite_folder: Folder, tmp_path: Path, toml: str, said: str
) -> None:
    place = by_hand(tmp_path / "old")
    with (place / "issue.toml").open("a") as file:
        file.write(f"[[corrections]]\ndate = 2022-03-20\n{toml}\n")
    with pytest.raises(Mistake, match=re.escape(said)):
        issue_folder.read(place, lite_folder.config, LATER)


def test_a_correction_of_a_day_that_is_yet_to_come_is_refused(lite_folder: Folder, tmp_path: Path) -> None:
    place = by_hand(tmp_path / "old")
    with (place / "issue.toml").open("a") as file:
        file.write("[[corrections]]\ndate = 2222-03-20\nrevision = 2\nwords = 'x'\n")
    with pytest.raises(IssueMistake, match="revision 2 can't have been made then"):
        issue_folder.read(place, lite_folder.config, LATER)


def test_what_went_in_the_east_this_morning_is_not_yet_to_come_because_it_is_yesterday_in_greenwich(
    lite_folder: Folder, tmp_path: Path
) -> None:
    place = by_hand(tmp_path / "old")
    evening = dt.datetime(2022, 3, 14, 23, 30, tzinfo=dt.UTC)
    assert issue_folder.read(place, lite_folder.config, evening).description.date == dt.date(2022, 3, 15)
    with pytest.raises(IssueMistake, match="yet to come"):
        issue_folder.read(place, lite_folder.config, evening - dt.timedelta(days=1))


def test_an_issue_that_was_sent_before_its_day_goes_into_a_folder_and_back_on_the_same_day(
    lite_folder: Folder, tmp_path: Path
) -> None:
    with lite_folder.session() as session:
        issue = gone(session, lite_folder)
        issue.slot = issue.date = dt.date(2023, 11, 28)
        made = issue_folder.files(session, lite_folder, issue)
    issue_folder.write(made, tmp_path / "one")
    emptied(lite_folder)
    number = taken_in(lite_folder, tmp_path / "one", NOW + dt.timedelta(hours=1))
    with lite_folder.session() as session:
        assert issue_folder.files(session, lite_folder, session.get_one(Issue, number)) == made


# ---- what can't be trusted


def test_a_number_and_a_date_are_taken_once(folder: Folder, tmp_path: Path) -> None:
    folder.templates.symlink_to(TEMPLATES)
    place = by_hand(tmp_path / "old")
    taken_in(folder, place)
    with pytest.raises(IssueMistake, match=r"issue.toml, line 2: 1\.3 is taken by Vol 1 No 3"):
        taken_in(folder, place)
    (place / "issue.toml").write_text(BY_HAND.replace("number = 3", "number = 2\nthrough = 4"))
    with pytest.raises(IssueMistake, match="is taken by Vol 1 No 3"):
        taken_in(folder, place)
    (place / "issue.toml").write_text(BY_HAND.replace("number = 3", "number = 4"))
    with pytest.raises(IssueMistake, match=r"Vol 1 No 3 \(sent\) is already for 2022-03-15"):
        taken_in(folder, place)


@pytest.mark.parametrize("what", ["stories/1.md", "pictures/hills.png", "stories", "pictures", "issue.toml"])
def test_a_link_is_not_followed(lite_folder: Folder, tmp_path: Path, what: str) -> None:
    place = by_hand(tmp_path / "old")
    (place / what).rename(tmp_path / "elsewhere")
    (place / what).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IssueMistake, match="this is a link"):
        issue_folder.read(place, lite_folder.config, LATER)


def test_what_is_no_file_is_not_waited_for(lite_folder: Folder, tmp_path: Path) -> None:
    place = by_hand(tmp_path / "old")
    (place / "stories" / "1.md").unlink()
    os.mkfifo(place / "stories" / "1.md")
    with pytest.raises(IssueMistake, match="this is not a file"):
        issue_folder.read(place, lite_folder.config, LATER)


@pytest.mark.parametrize("what", ["stories/1.md", "pictures/hills.png", "issue.toml"])
def test_a_folder_in_the_place_of_a_file_is_said_to_be_none(lite_folder: Folder, tmp_path: Path, what: str) -> None:
    place = by_hand(tmp_path / "old")
    (place / what).unlink()
    (place / what).mkdir()
    with pytest.raises(IssueMistake, match="this is not a file"):
        issue_folder.read(place, lite_folder.config, LATER)


@pytest.mark.parametrize("line", ['alt: "\\0"', 'credit: "a\\ud800"', 'author: "\\udc00"'])
def test_what_no_database_can_hold_is_refused_in_an_exported_story_too(
    lite_folder: Folder, tmp_path: Path, line: str
) -> None:
    exported(lite_folder, tmp_path / "one")
    emptied(lite_folder)
    story = next((tmp_path / "one" / "stories").glob("2-*.md"))
    story.write_text(story.read_text("utf-8").replace("---\n", f"---\n{line}\n", 1), "utf-8")
    summed(tmp_path / "one")
    with pytest.raises(DraftMistake, match=f"2-.*md: the {line.partition(':')[0]} holds a NUL or half a character"):
        taken_in(lite_folder, tmp_path / "one")


@pytest.mark.parametrize(
    ("name", "said"),
    [("a" * 300 + ".png", "it can't be read: File name too long"), ("\\ud800.png", "no path within this folder")],
)
def test_a_name_that_no_file_can_have_is_a_mistake(lite_folder: Folder, tmp_path: Path, name: str, said: str) -> None:
    place = by_hand(tmp_path / "old")
    story = place / "stories" / "1.md"
    story.write_text(story.read_text("utf-8").replace("../pictures/hills.png", f'"../pictures/{name}"'), "utf-8")
    with pytest.raises(IssueMistake, match=said):
        issue_folder.read(place, lite_folder.config, LATER)
    with pytest.raises(IssueMistake, match="it can't be read: File name too long"):
        issue_folder.read(tmp_path / ("a" * 300), lite_folder.config, LATER)


def test_a_file_without_end_is_not_read_to_its_end(lite_folder: Folder, tmp_path: Path) -> None:
    place = by_hand(tmp_path / "old")
    with (place / "pictures" / "hills.png").open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(IssueMistake, match="more than 40 MB"):
        issue_folder.read(place, lite_folder.config, LATER)


def test_a_picture_that_is_none_is_refused(lite_folder: Folder, tmp_path: Path) -> None:
    place = by_hand(tmp_path / "old")
    (place / "pictures" / "hills.png").write_text("<svg onload='alert(1)'/>")
    with pytest.raises(PictureMistake, match="this is an SVG"):
        issue_folder.read(place, lite_folder.config, LATER)


def test_every_byte_that_was_changed_is_noticed(lite_folder: Folder, tmp_path: Path) -> None:
    made = exported(lite_folder, tmp_path / "one")
    place = tmp_path / "one"
    issue_folder.read(place, lite_folder.config, LATER)
    for name in made:
        if name == "SHA256SUMS":
            continue
        whole = (place / name).read_bytes()
        (place / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(Mistake) as caught:
            issue_folder.read(place, lite_folder.config, LATER)
        assert name in str(caught.value)
        (place / name).write_bytes(whole)
    issue_folder.read(place, lite_folder.config, LATER)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda place: (place / "stories" / "3.md").write_text("x"), "SHA256SUMS doesn't list this file"),
        (lambda place: (place / "renditions" / "mail.txt").unlink(), "mail.txt: there is no such file"),
        (lambda place: append(place / "SHA256SUMS", "what?\n"), "this is no line of a SHA-256"),
        (lambda place: append(place / "SHA256SUMS", "0" * 64 + "  ../x\n"), 'names "../x"'),
        (lambda place: append(place / "SHA256SUMS", "0" * 64 + "  /etc/passwd\n"), 'names "/etc/passwd"'),
        (lambda place: append(place / "SHA256SUMS", "0" * 64 + "  x\\y\n"), "no path within this folder"),
        (
            lambda place: append(place / "SHA256SUMS", (place / "SHA256SUMS").read_text().splitlines(True)[0]),
            "is listed a second time",
        ),
    ],
)
def test_sums_that_do_not_fit_the_folder_are_noticed(
    lite_folder: Folder, tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    exported(lite_folder, tmp_path / "one")
    change(tmp_path / "one")
    with pytest.raises(IssueMistake, match=re.escape(said)):
        issue_folder.read(tmp_path / "one", lite_folder.config, LATER)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("issue.toml", "renditions/mail.html", "renditions/other.html", '"renditions/other.html" is no rendition'),
        ("issue.toml", "renditions/mail.html", "renditions/../mail.html", "is no rendition"),
        ("issue.toml", "renditions/mail.html", "renditions/revision-1/mail.html", "is no rendition"),
        ("issue.toml", "revision-3/page.html", "revision-4/page.html", "revision-4/page.html: there is no such file"),
        ("renditions/mail.html", "\x02address\x03", "\x02salary\x03", "mail.html: [[salary]] was a field"),
        ("renditions/mail.html", "\x02end\x03", "", "SHA-256 is not the one in issue.toml"),
        ("renditions/issue.pdf", "%PDF", "%PDX", "issue.pdf"),
    ],
)
def test_renditions_that_can_not_be_are_noticed_even_where_the_sums_are_right(
    lite_folder: Folder, tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    place = tmp_path / "one"
    exported(lite_folder, place)
    was = (place / file).read_bytes()
    changed = was.replace(old.encode(), new.encode())
    assert changed != was
    (place / file).write_bytes(changed)
    if file != "issue.toml" and "SHA-256" not in said:
        text = (place / "issue.toml").read_text()
        sums = [hashlib.sha256(each).hexdigest() for each in (was, changed)]
        (place / "issue.toml").write_text(text.replace(*sums))
    summed(place)
    with pytest.raises(IssueMistake) as caught:
        issue_folder.read(place, lite_folder.config, LATER)
    assert said in str(caught.value)


def test_some_renditions_are_none(lite_folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "one"
    exported(lite_folder, place)
    text = (place / "issue.toml").read_text()
    without = re.sub(r'\[\[renditions\]\]\nfile = "renditions/page.html"\nsha256 = "\w+"\n\n', "", text)
    assert without != text
    (place / "issue.toml").write_text(without)
    summed(place)
    with pytest.raises(IssueMistake, match="renditions/page.html is missing in its list"):
        issue_folder.read(place, lite_folder.config, LATER)


def test_renditions_and_sums_taken_out_an_export_is_rendered_anew(lite_folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "one"
    exported(lite_folder, place)
    emptied(lite_folder)
    shutil.rmtree(place / "renditions")
    (place / "SHA256SUMS").unlink()
    text = (place / "issue.toml").read_text()
    (place / "issue.toml").write_text(text[: text.index("[[renditions]]")])
    number = taken_in(lite_folder, place)
    with lite_folder.session() as session:
        rows = session.scalars(select(Rendition).where(Rendition.issue_id == number)).all()
    assert sorted({row.revision for row in rows}) == [1, 2, 3]


def test_a_picture_that_renditions_point_to_must_be_that_picture(lite_folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "one"
    exported(lite_folder, place)
    (picture,) = (place / "pictures").iterdir()
    other = pictures.prepare(ROOT / "sample" / "stories" / "lead.png", width=100).content
    picture.write_bytes(other)
    summed(place)
    with pytest.raises(PictureMistake, match="its name is not its SHA-256"):
        issue_folder.read(place, lite_folder.config, LATER)


def test_an_issue_that_can_not_be_rendered_leaves_nothing_and_none_of_those_with_it(
    lite_folder: Folder, tmp_path: Path
) -> None:
    lite_folder.templates.symlink_to(TEMPLATES)
    good, bad = by_hand(tmp_path / "good"), by_hand(tmp_path / "bad")
    (bad / "issue.toml").write_text(BY_HAND.replace("number = 3", "number = 4").replace("03-15", "03-29"))
    (bad / "stories" / "2.md").write_text("---\nheadline: Another\n---\n\nNo font has \u0378.\n")
    found = CliRunner().invoke(newsletter, ["-C", str(lite_folder.path), "issue", "import", str(good), str(bad)])
    assert isinstance(found.exception, IssueMistake)
    assert "U+0378" in str(found.exception)
    with lite_folder.reading() as session:
        assert session.scalars(select(Issue)).all() == []


def test_a_mistake_of_toml_is_one_of_config(lite_folder: Folder, tmp_path: Path) -> None:
    place = by_hand(tmp_path / "old")
    (place / "issue.toml").write_text("[" * 5000)
    with pytest.raises((ConfigMistake, IssueMistake)):
        issue_folder.read(place, lite_folder.config, LATER)


def test_issues_go_out_and_come_in_from_the_terminal(lite_folder: Folder, tmp_path: Path) -> None:
    def run(*words: str, code: int = 0) -> str:
        found = CliRunner().invoke(newsletter, ["-C", str(lite_folder.path), "issue", *words])
        assert found.exit_code == code, found.output
        return found.output

    exported(lite_folder, tmp_path / "x")
    assert "new or changed" in run("export", "2.21", str(tmp_path / "one"))
    assert "Nothing has changed" in run("export", "2.21", str(tmp_path / "one"))
    emptied(lite_folder)
    by_hand(tmp_path / "old")
    said = run("import", str(tmp_path / "one"), str(tmp_path / "old"))
    assert said.splitlines() == [
        "Vol 1 No 3 is in the archive: 2 stories, rendered.",
        "Vol 2 No 21 is in the archive: 2 stories, its renditions as they were.",
    ]
    assert "imported" in run("list")


def test_who_takes_in_pages_that_lead_to_another_address_is_told(lite_folder: Folder, tmp_path: Path) -> None:
    exported(lite_folder, tmp_path / "one")
    emptied(lite_folder)
    config = lite_folder.path / "config.toml"
    config.write_text(
        config.read_text("utf-8").replace("https://digest.example.org", "https://new.example.org"), "utf-8"
    )
    run = CliRunner().invoke(newsletter, ["-C", str(lite_folder.path), "issue", "import", str(tmp_path / "one")])
    assert run.exit_code == 0, run.output
    assert "made for another address than https://new.example.org/digest/2/21, and lead there" in run.output
    assert "take SHA256SUMS, renditions/" in run.output
