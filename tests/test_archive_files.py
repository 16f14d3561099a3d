"""The archive as files: what the pages say, written down; brought up to date; searched by a script."""

from __future__ import annotations

import datetime as dt
import functools
import http.server
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import msgspec
import pytest
from an_archive import filled
from chromium import faults_anywhere, window
from click.testing import CliRunner
from conftest import NOW, folder_on
from playwright.sync_api import Browser
from sqlalchemy import select

from newsletter import corrections
from newsletter.cli import newsletter
from newsletter.errors import WebMistake
from newsletter.folder import Folder
from newsletter.models import Issue
from newsletter.states import IssueState
from newsletter.web import files, make
from newsletter.web.files import MANIFEST, build
from newsletter.web.serving import Serving
from newsletter.web.shelf import Shelf

TEMPLATES = Path(__file__).parent.parent / "templates"
STORIES = Path(__file__).parent.parent / "sample" / "stories"
LATER = NOW + dt.timedelta(days=900)


@pytest.fixture(scope="session")
def issues(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 27 issues in two volumes, to copy."""
    return _filled(migrated, tmp_path_factory.mktemp("issues"), None)


@pytest.fixture(scope="session")
def pictured_issues(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a picture."""
    return _filled(migrated, tmp_path_factory.mktemp("pictured"), next(STORIES.glob("*.png")))


def _filled(migrated: Path, place: Path, picture: Path | None) -> Path:
    shutil.copy(migrated, place / "newsletter.db")
    shutil.copytree(TEMPLATES, place / "templates")
    folder = folder_on("sqlite:///newsletter.db", place)
    with folder.session() as session:
        assert sum(1 for _ in filled(session, folder, 27, stories=3, picture=picture)) == 27
    folder.engine.dispose()
    return place


@pytest.fixture
def archive(issues: Path, tmp_path: Path) -> Iterator[Folder]:
    yield from _copied(issues, tmp_path)


@pytest.fixture
def pictured(pictured_issues: Path, tmp_path: Path) -> Iterator[Folder]:
    yield from _copied(pictured_issues, tmp_path)


def _copied(issues: Path, place: Path) -> Iterator[Folder]:
    shutil.copytree(issues, place, dirs_exist_ok=True)
    folder = folder_on("sqlite:///newsletter.db", place)
    yield folder
    folder.engine.dispose()


def tree(target: Path) -> dict[str, bytes]:
    return {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def test_each_file_is_what_the_pages_answer(pictured: Folder, tmp_path: Path) -> None:
    archive = pictured
    built = build(archive, tmp_path / "public", ("digest",), LATER)
    made = tree(tmp_path / "public")
    assert built.written == len(made)
    assert built.bytes == sum(map(len, made.values()))
    client = make(archive, lambda: LATER, static=True).test_client()
    for path, content in made.items():
        if "/search/" not in path:
            with client.get("/" + path.removesuffix("index.html").rstrip("/")) as answer:
                assert answer.data == content, path
    assert {
        "index.html",
        "robots.txt",
        "sitemap.xml",
        "favicon.ico",
        "digest/index.html",
        "digest/1/24/index.html",
    } <= made.keys()
    assert {
        "digest/feed.atom",
        "digest/feed.rss",
        "digest/feed.json",
        "digest/2/3.bib",
        "digest/2/3.ris",
    } <= made.keys()
    assert len([path for path in made if path.startswith("pictures/")]) == 1
    assert len([path for path in made if path.startswith("look/")]) == 1


def test_what_hasnt_changed_isnt_made_or_written_again(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"
    build(archive, target, ("digest",), LATER)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*") if path.is_file() and path.name != MANIFEST}
    again = build(archive, target, ("digest",), LATER)
    assert (again.issues_made, again.written, again.removed) == (0, 0, 0)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_correction_changes_that_issue_and_what_lists_it(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"
    build(archive, target, ("digest",), LATER)
    before = tree(target)
    with archive.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 2)).one()
        corrections.correct(session, archive, issue, corrections.Wish("It was nine.", 2, headline="Nine"), LATER)
    built = build(archive, target, ("digest",), LATER)
    after = tree(target)
    changed = {path for path in after if before.get(path) != after[path] and "/search/" not in path}
    lists = {f"digest/{name}" for name in ("index.html", "2/index.html", "feed.atom", "feed.rss", "feed.json")}
    # The RIS has an abstract, of the headlines.
    assert changed == {"digest/2/2/index.html", "digest/2/2.ris", "sitemap.xml", *lists}
    assert built.issues_made == 1
    fresh = tmp_path / "fresh"
    build(archive, fresh, ("digest",), LATER)
    assert tree(fresh) == after


def test_a_new_issue_is_named_by_the_one_before_it(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one().state = IssueState.approved
    build(archive, target, ("digest",), LATER)
    assert not (target / "digest/2/3").exists()
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one().state = IssueState.sent
    assert build(archive, target, ("digest",), LATER).issues_made == 2
    assert b'rel="next"' in (target / "digest/2/2/index.html").read_bytes()


def test_what_isnt_public_any_more_is_taken_away_and_nothing_else(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"
    build(archive, target, ("digest",), LATER)
    (target / "digest/2/notes.txt").write_text("mine")
    (target / "digest/2/3.bib").write_text("changed by hand")
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one().private = True
    built = build(archive, target, ("digest",), LATER)
    assert built.removed == 2
    assert not (target / "digest/2/3").exists()
    assert (target / "digest/2/notes.txt").read_text() == "mine"
    assert (target / "digest/2/3.bib").read_text() == "changed by hand"


def test_a_build_that_was_interrupted_is_made_whole(archive: Folder, tmp_path: Path) -> None:
    target, whole = tmp_path / "public", tmp_path / "whole"
    build(archive, whole, ("digest",), LATER)

    class Struck(Exception):  # noqa: N818 - the machine going down is no error of ours
        pass

    class Bar:
        def __enter__(self) -> Self:
            self.left = 9
            return self

        def __call__(self, _: int) -> None:
            self.left -= 1
            if not self.left:
                raise Struck

        def __exit__(self, *_: object) -> None: ...

    with pytest.raises(Struck):
        build(archive, target, ("digest",), LATER, lambda _: Bar())
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one().private = True
    build(archive, target, ("digest",), LATER)
    build(archive, whole, ("digest",), LATER)
    assert tree(target) == tree(whole)


def test_what_an_interrupted_build_wrote_is_taken_back_where_it_isnt_public_any_more(
    archive: Folder, tmp_path: Path
) -> None:
    def second_volume(state: IssueState) -> None:
        with archive.session() as session:
            for issue in session.scalars(select(Issue).where(Issue.volume == 2)):
                issue.state = state

    target = tmp_path / "public"
    second_volume(IssueState.approved)
    build(archive, target, ("digest",), LATER)
    before = tree(target)
    second_volume(IssueState.sent)
    # It is stopped late: everything is written but what comes last.
    (target / "robots.txt").unlink()
    (target / "robots.txt").mkdir()
    with pytest.raises(WebMistake, match="can't be written"):
        build(archive, target, ("digest",), LATER)
    assert (target / "digest/2/index.html").is_file()
    (target / "digest/2/3/index.html.part").write_text("half of a page")
    (target / "robots.txt").rmdir()
    second_volume(IssueState.cancelled)
    build(archive, target, ("digest",), LATER)
    (target / "robots.txt.part").unlink(missing_ok=True)
    assert tree(target) == before


def test_a_file_that_isnt_what_was_written_is_written_again(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"
    build(archive, target, ("digest",), LATER)
    before = tree(target)
    for path in ("digest/1/7/index.html", "digest/1/8.bib", "digest/index.html", "sitemap.xml"):
        (target / path).write_bytes(before[path][:100])
    (target / "digest/1/9.ris").unlink()
    built = build(archive, target, ("digest",), LATER)
    assert (built.issues_made, built.written) == (3, 5)
    assert tree(target) == before


def test_a_build_writes_through_no_link(archive: Folder, tmp_path: Path) -> None:
    target, outside = tmp_path / "public", tmp_path / "outside"
    build(archive, target, ("digest",), LATER)
    outside.mkdir()
    (outside / "letter.txt").write_text("dear")
    (target / "digest/index.html").unlink()
    (target / "digest/index.html.part").symlink_to(outside / "letter.txt")
    build(archive, target, ("digest",), LATER)
    assert (outside / "letter.txt").read_text() == "dear"
    (target / "digest/1/7/index.html").rename(outside / "index.html")
    shutil.rmtree(target / "digest/1/7")
    (target / "digest/1/7").symlink_to(outside)
    with pytest.raises(WebMistake, match="this is a link"):
        build(archive, target, ("digest",), LATER)
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 1, Issue.number == 7)).one().private = True
    build(archive, target, ("digest",), LATER)
    assert sorted(path.name for path in outside.iterdir()) == ["index.html", "letter.txt"]


def test_two_builds_dont_write_one_folder_at_once(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"

    class Bar:
        def __enter__(self) -> Self:
            return self

        def __call__(self, _: int) -> None:
            with pytest.raises(WebMistake, match="another build"):
                build(archive, target, ("digest",), LATER)

        def __exit__(self, *_: object) -> None: ...

    assert build(archive, target, ("digest",), LATER, lambda _: Bar()).issues == 27
    assert build(archive, target, ("digest",), LATER).written == 0


def test_issues_are_made_anew_where_their_pages_would_differ_and_only_there(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"
    build(archive, target, ("digest",), LATER)
    digest = msgspec.structs.replace(archive.config.publications["digest"], postal_address="Elsewhere")
    config = msgspec.structs.replace(archive.config, publications={"digest": digest})
    moved = Folder(archive.path, config, archive.engine)
    assert build(moved, target, ("digest",), LATER).issues_made == 0
    ours = archive.templates / "web" / "neighbours.html"
    ours.write_text(ours.read_text("utf-8").replace("←", "back to"), "utf-8")
    assert build(moved, target, ("digest",), LATER).issues_made == 26
    assert b"back to No 1" in (target / "digest/1/2/index.html").read_bytes()


def test_a_folder_with_something_else_in_it_is_left_alone(archive: Folder, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("dear")
    with pytest.raises(WebMistake, match="something else"):
        build(archive, tmp_path / "home", ("digest",), LATER)
    with pytest.raises(WebMistake, match="file"):
        build(archive, tmp_path / "home" / "thesis.txt", ("digest",), LATER)
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / MANIFEST).write_text(json.dumps({"files": {"../home/thesis.txt": ""}, "issues": {}}))
    with pytest.raises(WebMistake, match="outside"):
        build(archive, tmp_path / "trap", ("digest",), LATER)
    (tmp_path / "trap" / MANIFEST).write_text("{")
    with pytest.raises(WebMistake, match="read"):
        build(archive, tmp_path / "trap", ("digest",), LATER)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "dear"


def test_an_issue_that_goes_while_an_archive_is_built_doesnt_bring_the_build_down(
    archive: Folder, tmp_path: Path
) -> None:
    with archive.session() as session:
        latest = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one()
        latest.state = IssueState.approved

    @contextmanager
    def going(_: int) -> Iterator[Callable[[int], None]]:
        yield lambda _: None
        with archive.session() as session:
            session.get_one(Issue, latest.id).state = IssueState.sending

    assert build(archive, tmp_path / "public", ("digest",), LATER, going).issues == 26
    assert not (tmp_path / "public/digest/2/3/index.html").exists()
    assert build(archive, tmp_path / "public", ("digest",), LATER).issues_made == 2, "the issue, and the one before it"
    assert (tmp_path / "public/digest/2/3/index.html").exists()


def test_a_link_to_a_picture_elsewhere_keeps_no_archive_from_being_built(archive: Folder, tmp_path: Path) -> None:
    elsewhere = f"https://other.example.org/pictures/{'a' * 64}.png"
    with archive.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 2)).one()
        corrections.correct(session, archive, issue, corrections.Wish("A link.", 1, body=f"[See]({elsewhere})"), LATER)
    build(archive, tmp_path / "public", ("digest",), LATER)
    assert elsewhere.encode() in (tmp_path / "public/digest/2/2/index.html").read_bytes()
    assert not (tmp_path / "public/pictures").exists()


def test_the_other_numbers_of_a_combined_issue_keep_a_style_that_is_there(archive: Folder, tmp_path: Path) -> None:
    target = tmp_path / "public"
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one().through = 4
    build(archive, target, ("digest",), LATER)
    sheet = archive.templates / "web" / "reader.css"
    sheet.write_text(sheet.read_text("utf-8") + "\n.new { color: #123456; }\n", "utf-8")
    build(archive, target, ("digest",), LATER)
    style = re.search(r'href="/(look/\w+\.css)"', (target / "digest/2/4/index.html").read_text("utf-8"))
    assert style
    assert (target / style[1]).is_file()


def test_a_folder_of_one_publication_leads_to_no_other(archive: Folder, tmp_path: Path) -> None:
    digest = archive.config.publications["digest"]
    both = {"digest": digest, "talks": msgspec.structs.replace(digest, title="Talks at Noon")}
    folder = replace(archive, config=msgspec.structs.replace(archive.config, publications=both))
    build(folder, tmp_path / "one", ("digest",), LATER)
    assert b"/digest/2/3" in tree(tmp_path / "one")["sitemap.xml"]
    assert not [path for path, content in tree(tmp_path / "one").items() if b"Talks" in content or b"/talks" in content]
    build(folder, tmp_path / "both", ("digest", "talks"), LATER)
    assert b"Talks at Noon" in tree(tmp_path / "both")["index.html"]


def test_pages_under_a_path_are_built_under_it(archive: Folder, tmp_path: Path) -> None:
    config = msgspec.structs.replace(archive.config, base_url="https://example.org/news")
    build(Folder(archive.path, config, archive.engine), tmp_path / "public", ("digest",), LATER)
    page = (tmp_path / "public/digest/index.html").read_text("utf-8")
    assert 'href="/news/digest/2/3"' in page
    assert (tmp_path / "public/digest/2/3/index.html").is_file()


def test_the_command_says_what_it_did_and_in_json(archive: Folder, tmp_path: Path) -> None:
    run = CliRunner()
    target = str(tmp_path / "public")
    result = run.invoke(newsletter, ["-C", str(archive.path), "archive", "build", target])
    assert result.exit_code == 0, result.output
    assert "27 issues, 27 of them made anew" in " ".join(result.output.split())
    told = json.loads(run.invoke(newsletter, ["-C", str(archive.path), "archive", "build", target, "--json"]).output)
    assert (told["issues"], told["issues_made"], told["files_written"], told["files_removed"]) == (27, 0, 0, 0)
    result = run.invoke(newsletter, ["-C", str(archive.path), "archive", "build", str(archive.path)])
    assert isinstance(result.exception, WebMistake)
    found = json.loads(run.invoke(newsletter, ["-C", str(archive.path), "archive", "search", "tokyo", "--json"]).output)
    assert found
    assert all(each["url"].startswith("https://digest.example.org/digest/") for each in found)
    assert (
        "Nothing was found" in run.invoke(newsletter, ["-C", str(archive.path), "archive", "search", "zeppelin"]).output
    )


# in a browser


class _Handler(http.server.SimpleHTTPRequestHandler):
    """A web server as README.md says: a path's own file, or the index.html in the folder of that name."""

    def send_head(self):  # type: ignore[no-untyped-def]
        path = Path(self.translate_path(self.path))
        if path.is_dir() and (path / "index.html").is_file():
            where, mark, query = self.path.partition("?")
            self.path = where.rstrip("/") + "/index.html" + mark + query
        return super().send_head()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def public(archive: Folder, tmp_path: Path) -> Iterator[tuple[Folder, str]]:
    """The archive's files, handed out by a web server that knows nothing of us."""
    handler = functools.partial(_Handler, directory=str(tmp_path / "public"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        folder = replace(archive, config=msgspec.structs.replace(archive.config, base_url=base))
        build(folder, tmp_path / "public", ("digest",), LATER)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, base
        server.shutdown()
        thread.join()


def test_a_browser_finds_in_files_what_the_server_finds(public: tuple[Folder, str], chromium: Browser) -> None:
    folder, base = public
    with folder.reading() as session:
        index = Shelf(folder).index(session, "digest")
    with window(chromium, base) as page:
        for query in ("tokyo", "ports", "batt kyo", "WASHINGTON", "o", "Wáshington's", "zeppelin", "constructor"):
            page.goto(f"/digest/search?q={query}")
            page.wait_for_selector("#found > :not(noscript)")
            there = page.eval_on_selector_all(
                ".hits h2 a", "all => all.map(a => [a.textContent, a.getAttribute('href')])"
            )
            wanted = [
                [place.told.headline, f"/digest/{place.entry.volume}/{place.entry.number}#{place.told.anchor}"]
                for place in index.find(query)
            ][:50]
            assert there == wanted, query
        page.goto("/digest")
        page.click("text=Read the issue")
        page.wait_for_url(f"{base}/digest/2/3")
        page.click("a[rel=prev]")
        page.wait_for_url(f"{base}/digest/2/2")


def test_each_number_of_a_combined_issue_leads_to_its_page(
    public: tuple[Folder, str], tmp_path: Path, chromium: Browser
) -> None:
    folder, base = public
    with folder.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one().through = 4
    assert build(folder, tmp_path / "public", ("digest",), LATER).issues_made == 2, "the issue, and the one before it"
    files = tree(tmp_path / "public")
    assert "digest/2/4.pdf" not in files
    assert b"/digest/2/3<" in files["sitemap.xml"]
    assert b"/digest/2/4<" not in files["sitemap.xml"]
    with window(chromium, base) as page:
        page.goto("/digest/2/4")
        page.wait_for_url(f"{base}/digest/2/3")
        # Where a browser doesn't go on by itself, a link leads there.
        stays = files["digest/2/4/index.html"].replace(b'http-equiv="refresh"', b'name="refresh"')
        page.route("**/digest/2/4", lambda route: route.fulfill(body=stays, content_type="text/html"))
        page.goto("/digest/2/4")
        assert faults_anywhere(page) == []
        assert page.get_by_role("main").get_by_role("link").get_attribute("href") == "/digest/2/3"


def test_axe_finds_nothing_on_any_page_of_the_archive(archive: Folder, chromium: Browser) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serving = Serving(archive, lambda: LATER, port=port)
    serving.start()
    try:
        with window(chromium, f"http://127.0.0.1:{port}") as page:
            for path in ("/digest", "/digest/1", "/digest/2/3", "/digest/search?q=tokyo", "/digest/search?q=zeppelin"):
                page.goto(path)
                assert faults_anywhere(page) == [], path
    finally:
        serving.stop()


def test_without_a_script_the_search_in_files_says_where_the_issues_are(
    public: tuple[Folder, str], chromium: Browser
) -> None:
    with window(chromium, public[1], script=False) as page:
        page.goto("/digest/search")
        assert page.locator("noscript a, #found a").first.get_attribute("href") == "/digest"


def test_files_know_nothing_of_who_asks(archive: Folder, tmp_path: Path) -> None:
    build(archive, tmp_path / "public", ("digest",), LATER)
    for path, content in tree(tmp_path / "public").items():
        if path.endswith(".html") and not path.startswith("digest/1/") and not path.startswith("digest/2/"):
            assert b'name="seal"' not in content, path
            assert b"?in=" not in content, path
    assert files.MANIFEST.startswith(".")
