"""A private issue is read on the web only by who has its link; everything that goes to its readers has that link."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from conftest import NOW
from edition_sample import TEMPLATES
from sqlalchemy import delete
from sqlalchemy.orm import Session
from test_corrections import LATER, assembled_next, gone

from newsletter import compose, dispatch, issues, measuring, web
from newsletter.cli import newsletter
from newsletter.compose import Reader
from newsletter.corrections import Wish, correct
from newsletter.errors import IssueMistake
from newsletter.folder import Folder
from newsletter.models import Issue, List, Rendition
from newsletter.render import render_issue
from newsletter.states import IssueState, RenditionKind
from newsletter.tokens import keys, rotate

PRIVATE = ("min_stories = 2", "min_stories = 2\nprivate = true")
OPEN = re.compile(r"https://digest\.example\.org/digest/\d+/\d+")


def rendered(session: Session, folder: Folder, issue: Issue) -> dict[RenditionKind, bytes]:
    if not folder.templates.exists():
        folder.templates.symlink_to(TEMPLATES)
    made = render_issue(session, folder, *folder.publication(), issue, LATER)
    return {kind: row.content for kind, row in made.items()}


def test_whatever_leads_to_a_private_issue_has_its_key_and_nothing_leads_to_its_number(
    session: Session, folder: Folder
) -> None:
    issue = assembled_next(session, folder, private=True)
    made = rendered(session, folder, issue)
    key = keys(session, NOW).issue(issue.id)
    page = f"https://digest.example.org/digest/private/{key}"
    for kind in (RenditionKind.html, RenditionKind.text, RenditionKind.page, RenditionKind.entry):
        text = made[kind].decode()
        assert page in text, kind
        assert not OPEN.search(text), kind
    assert f"{page}.pdf" in made[RenditionKind.html].decode()
    assert page.encode() in made[RenditionKind.pdf]
    assert not OPEN.search(made[RenditionKind.pdf].decode("latin-1"))
    assert keys(session, NOW).read_issue(key) == issue.id


def test_the_headers_of_a_private_issues_mail_lead_to_nothing_of_its_own(session: Session, folder: Folder) -> None:
    issue = assembled_next(session, folder, private=True)
    rendered(session, folder, issue)
    composer = compose.for_issue(session, folder, issue, NOW)
    message = composer.compose(Reader(1, "noor@example.org", "", {}, None), NOW)
    head = message.data.partition(b"\r\n\r\n")[0].decode()
    assert "List-Archive: <https://digest.example.org/digest>" in head
    assert keys(session, NOW).issue(issue.id) not in head
    # Each reader's own view is theirs as ever.
    assert "/view/" in composer.html(Reader(1, "noor@example.org", "", {}, None))


def test_links_to_a_private_page_are_never_led_through_the_counter(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(("min_stories = 2", "min_stories = 2\nmeasure_clicks = true"))
    with folder.session() as session:
        issue = assembled_next(session, folder, private=True)
        html = rendered(session, folder, issue)[RenditionKind.html].decode()
        measured = measuring.measured(html, folder.publication()[1], folder.config.base_url)
        key = keys(session, NOW).issue(issue.id)
        assert measured.count(f"/private/{key}") == html.count(f"/private/{key}") > 3


def test_a_publication_may_be_private_and_one_issue_of_it_public(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(PRIVATE)
    with folder.session() as session:
        issue = assembled_next(session, folder)
        assert issue.private
        issue.state = IssueState.sent
        slug, publication = folder.publication()
        following = issues.open_next(session, slug, publication, LATER)
        issues.make_private(session, following, private=False)
        assert not assembled_next(session, folder).private


def test_a_publication_that_becomes_private_makes_the_issue_so_that_is_open_already(
    make_folder: Callable[..., Folder],
) -> None:
    folder = make_folder()
    with folder.session() as session:
        issues.open_next(session, *folder.publication(), LATER)
    with make_folder(PRIVATE).session() as session:
        assert assembled_next(session, make_folder(PRIVATE)).private


def test_it_can_be_changed_until_it_is_rendered_and_again_once_it_is_reopened(session: Session, folder: Folder) -> None:
    issue = assembled_next(session, folder)
    issues.make_private(session, issue, private=True)
    assert issue.private
    issue.state = IssueState.approved
    issues.make_private(session, issue, private=False)
    assert not issue.private
    rendered(session, folder, issue)
    with pytest.raises(IssueMistake, match=r"can't be made private\. It is rendered; reopen it first"):
        issues.make_private(session, issue, private=True)
    issues.reopen(session, issue, LATER)
    issues.make_private(session, issue, private=True)
    issues.assemble(session, *folder.publication(), issue, LATER)
    assert issue.private


@pytest.mark.parametrize("state", [IssueState.sending, IssueState.sent, IssueState.paused, IssueState.cancelled])
def test_what_has_gone_can_not_be_made_private_any_more(session: Session, folder: Folder, state: IssueState) -> None:
    issue = gone(session, folder)
    session.execute(delete(Rendition))
    issue.state = state
    with pytest.raises(IssueMistake, match="can't be made private"):
        issues.make_private(session, issue, private=True)
    assert not issue.private


def test_a_correction_of_a_private_issue_keeps_its_address(session: Session, folder: Folder) -> None:
    issue = assembled_next(session, folder, private=True)
    rendered(session, folder, issue)
    issue.state = IssueState.sent
    correct(session, folder, issue, Wish("A slip."), LATER)
    page = session.get_one(Rendition, (issue.id, RenditionKind.page, 2)).content.decode()
    assert f"/private/{keys(session, NOW).issue(issue.id)}" in page
    assert not OPEN.search(page)


def test_a_private_issue_may_tell_of_a_correction_to_another_private_one(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(PRIVATE)
    with folder.session() as session:
        earlier = assembled_next(session, folder)
        rendered(session, folder, earlier)
        earlier.state = IssueState.sent
        correct(session, folder, earlier, Wish("A slip.", 1, announce=True), LATER)
        issue = assembled_next(session, folder)
        mail = rendered(session, folder, issue)[RenditionKind.html].decode()
        assert f"/private/{keys(session, NOW).issue(earlier.id)}#one-more" in mail


def test_a_key_is_of_one_issue_and_one_database_and_outlives_a_rotation(session: Session, folder: Folder) -> None:
    before = keys(session, NOW)
    key = before.issue(7)
    rotate(session, NOW)
    after = keys(session, NOW)
    assert after.read_issue(key) == 7
    assert after.issue(7) != key
    assert after.read_issue(before.letter(7)) is None
    assert after.read_issue(before.reader(7, 1)) is None
    assert after.read_issue(key[:-1] + ("0" if key[-1] != "0" else "1")) is None


def test_editors_say_it_and_see_its_address(lite_folder: Folder) -> None:
    folder = lite_folder
    folder.templates.symlink_to(TEMPLATES)

    def run(*words: str) -> str:
        found = CliRunner().invoke(newsletter, ["-C", str(folder.path), "issue", *words, "--at", LATER.isoformat()])
        assert found.exit_code == 0, found.output
        return found.output

    assert "only by who has its link" in run("edit", "next", "--private")
    assert "it has its address once it is assembled" in run("show", "next")
    assert "for all to read" in run("edit", "next", "--public")
    assert "private" not in run("show", "next")
    run("edit", "next", "--private")
    with folder.session() as session:
        issue = assembled_next(session, folder)
        address = f"https://digest.example.org/digest/private/{keys(session, NOW).issue(issue.id)}"
        number = str(issues.number_of(issue))
    shown = json.loads(run("show", number, "--json"))
    assert (shown["private"], shown["address"]) == (True, address)
    assert address in run("show", number).replace("\n", "").replace(" ", "")


def test_on_the_web_a_private_issue_is_behind_its_key_and_nowhere_else(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        session.add(List(slug="alliance-digest", title="The Digest"))
        gone(session, lite_folder)
        issue = assembled_next(session, lite_folder, private=True)
        rendered(session, lite_folder, issue)
        issue.state, issue.started = IssueState.sent, LATER
        key = keys(session, NOW).issue(issue.id)
    browser = web.make(lite_folder, lambda: LATER).test_client()
    answer = browser.get(f"/digest/private/{key}")
    assert answer.status_code == 200
    assert "One more" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.get(f"/digest/private/{key}.pdf").mimetype == "application/pdf"
    for path in ("/digest/2/22", "/digest/2/22.pdf", f"/digest/private/{key[:-1]}", f"/else/private/{key}"):
        assert browser.get(path).status_code == 404
    for path in ("/digest", "/digest/subscribe", "/digest/feed.atom", "/digest/feed.json", "/digest/2/21"):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert "One more" not in answer.text, path
        assert "2/22" not in answer.text, path
    assert "Toyota spends" in browser.get("/digest/subscribe").text


def test_the_sign_up_page_shows_the_latest_issue_as_it_was_corrected(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        session.add(List(slug="alliance-digest", title="The Digest"))
        correct(session, lite_folder, gone(session, lite_folder), Wish("A slip.", 1, "Toyota spends $8 billion"), LATER)
    text = web.make(lite_folder, lambda: LATER).test_client().get("/digest/subscribe").text
    assert "Toyota spends $8 billion" in text
    assert "Toyota spends $8 million" not in text


def test_a_private_issue_is_dispatched_as_any_other(session: Session, folder: Folder) -> None:
    folder.templates.symlink_to(TEMPLATES)
    issue = assembled_next(session, folder, private=True)
    assert dispatch.render(session, folder, issue, LATER)
    assert issue.state is IssueState.assembled
