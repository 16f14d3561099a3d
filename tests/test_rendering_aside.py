"""While an issue is rendered nobody waits for the database, and what is kept is the issue as it then is."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pypdfium2
import pytest
from conftest import NOW
from edition_sample import TEMPLATES
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from test_render_edition import issue_with

from newsletter import database, dispatch, issues, preview, scheduler
from newsletter.errors import TemplateMistake
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition, Story, Subscriber
from newsletter.render import aside, edition, others
from newsletter.states import IssueState, RenditionKind

CATALOGUE = b'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'


@pytest.fixture
def slow(make_folder: Callable[..., Folder], database_url: str) -> Iterator[tuple[Folder, Folder]]:
    """A folder with an assembled issue that isn't rendered yet, and another process's view of it, which never waits."""
    folder = make_folder()
    shutil.copytree(TEMPLATES, folder.templates)
    for each in (folder.templates / "translations").iterdir():
        each.unlink()
    later = NOW + dt.timedelta(days=1)
    with folder.session() as session:
        issue = issue_with(session, {"headline": "Before"}, {"headline": "Second"})
        issue.approve_by = issue.sends = later
    engine = database.open_database(database_url, folder.path)
    wait = "PRAGMA busy_timeout = 0" if engine.dialect.name == "sqlite" else "SET lock_timeout = 1"
    event.listen(engine, "connect", lambda connection, _: connection.cursor().execute(wait))
    yield folder, Folder(folder.path, folder.config, engine)
    engine.dispose()


@contextmanager
def under_way(folder: Folder, work: Callable[[], object]) -> Iterator[None]:
    """What is done within is done while `work` renders: it waits for a catalogue, which comes through a pipe."""
    pipe = folder.templates / "translations" / "fr.po"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        with pipe.open("wb") as catalogue:  # opens once it is being read
            pipe.unlink()
            try:
                yield
            finally:
                catalogue.write(CATALOGUE)
        done.result()


def kept(folder: Folder) -> dict[RenditionKind, str]:
    def text(row: Rendition) -> str:
        if row.kind is not RenditionKind.pdf:
            return row.content.decode()
        return "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(row.content))

    with folder.reading() as session:
        return {row.kind: text(row) for row in session.scalars(select(Rendition))}


Subscribe = Callable[..., Subscriber]


def test_while_an_issue_is_rendered_a_reader_subscribes_and_an_editor_approves(
    slow: tuple[Folder, Folder], subscribe: Subscribe
) -> None:
    folder, elsewhere = slow
    with under_way(folder, lambda: scheduler.tick(folder, NOW)):
        with elsewhere.session() as session:
            subscribe(session, "ada@example.org")
        with elsewhere.session() as session:
            issues.approve(session, session.get_one(Issue, 1), "ada", NOW)
    assert set(kept(folder)) == set(RenditionKind)
    with folder.reading() as session:
        assert session.get_one(Issue, 1).state is IssueState.approved


def test_while_an_issue_is_previewed_others_write(slow: tuple[Folder, Folder], subscribe: Subscribe) -> None:
    folder, elsewhere = slow
    with (
        under_way(folder, lambda: preview.preview(folder, "digest", "2.21", NOW)),
        elsewhere.session() as session,
    ):
        subscribe(session, "ada@example.org")
        issues.lock(session, session.get_one(Issue, 1))
    assert kept(folder) == {}


def test_who_subscribes_while_an_issue_that_starts_is_rendered_gets_it(
    slow: tuple[Folder, Folder], subscribe: Subscribe
) -> None:
    folder, elsewhere = slow
    with folder.session() as session:
        issues.approve(session, session.get_one(Issue, 1), "ada", NOW)

    def step(session: Session) -> int:
        return dispatch.start(session, folder, session.get_one(Issue, 1), NOW).due

    started: list[int] = []
    with under_way(folder, lambda: started.append(aside(folder, step))), elsewhere.session() as session:
        subscribe(session, "ada@example.org")
    assert started == [1]


def test_a_story_that_changes_while_it_is_rendered_is_kept_as_it_then_is(slow: tuple[Folder, Folder]) -> None:
    folder, elsewhere = slow
    with under_way(folder, lambda: scheduler.tick(folder, NOW)), elsewhere.session() as session:
        session.scalars(select(Story).where(Story.position == 1)).one().headline = "After"
    made = kept(folder)
    assert set(made) == set(RenditionKind)
    for text in made.values():
        assert "After" in text
        assert "Before" not in text


def test_of_an_issue_that_is_reopened_while_it_is_rendered_nothing_is_kept(slow: tuple[Folder, Folder]) -> None:
    folder, elsewhere = slow
    with under_way(folder, lambda: scheduler.tick(folder, NOW)), elsewhere.session() as session:
        issues.reopen(session, session.get_one(Issue, 1), NOW)
    assert kept(folder) == {}
    with folder.reading() as session:
        assert session.get_one(Issue, 1).state is IssueState.open


def test_a_design_that_cant_be_rendered_holds_the_issue_and_no_rendition_is_kept(
    slow: tuple[Folder, Folder], subscribe: Subscribe
) -> None:
    folder, elsewhere = slow
    (folder.templates / "digest" / "issue.txt").write_text("{{ nothing }}")
    with under_way(folder, lambda: scheduler.tick(folder, NOW)), elsewhere.session() as session:
        subscribe(session, "ada@example.org")
    with folder.reading() as session:
        issue = session.get_one(Issue, 1)
        assert issue.state is IssueState.held
        assert 'nothing is called "nothing" here' in issue.why
    assert kept(folder) == {}


def test_an_issue_that_changes_each_time_it_is_rendered_is_rendered_in_the_end(lite_folder: Folder) -> None:
    shutil.copytree(TEMPLATES, lite_folder.templates)
    turns: list[int] = []

    def step(session: Session) -> str:
        turns.append(len(turns))
        issue = issue_with(session, {"headline": f"Turn {len(turns)}"}, {})
        slug, publication = lite_folder.publication()
        return others(session, edition(lite_folder, slug, publication, issue), lite_folder)[RenditionKind.text]

    made = aside(lite_folder, step)
    assert len(turns) > 2
    assert f"Turn {len(turns)}" in made
    with lite_folder.reading() as session:
        assert len(session.scalars(select(Issue)).all()) == 1


def test_a_mistake_made_aside_comes_up_where_the_rendition_was_wanted(lite_folder: Folder, tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES, lite_folder.templates)
    (tmp_path / "templates" / "digest" / "issue.txt").write_text("{{ nothing }}")
    seen: list[str] = []

    def step(session: Session) -> None:
        issue = issue_with(session, {}, {})
        slug, publication = lite_folder.publication()
        try:
            others(session, edition(lite_folder, slug, publication, issue), lite_folder)
        except TemplateMistake as mistake:
            seen.append(str(mistake))

    aside(lite_folder, step)
    assert len(seen) == 1
    assert "issue.txt, line 1" in seen[0]
