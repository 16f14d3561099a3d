"""The archive: what anyone may read, found, cited and fed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import re
import shutil
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import feedparser
import html5lib
import msgspec
import pytest
from an_archive import FIRST, filled
from conftest import NOW, copied, folder_on
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import delete, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from newsletter import corrections
from newsletter.archive import catalogue as catalogues
from newsletter.archive import citation, feeds, search, words
from newsletter.archive.search import Index
from newsletter.config import is_issn
from newsletter.errors import ConfigMistake
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.states import IssueState, RenditionKind
from newsletter.theme_settings import Theme
from newsletter.tokens import keys
from newsletter.web import make
from newsletter.web.shelf import Shelf

TEMPLATES = Path(__file__).parent.parent / "templates"
BASE = "https://digest.example.org"
LATER = NOW + dt.timedelta(days=900)


@pytest.fixture(scope="session")
def thirty(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with thirty issues in two volumes, to copy."""
    place = tmp_path_factory.mktemp("thirty")
    shutil.copy(migrated, place / "newsletter.db")
    _fill("sqlite:///newsletter.db", place)
    return place / "newsletter.db"


@pytest.fixture(scope="session")
def thirty_on_postgres(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database with the same."""
    with copied(postgres, "migrated") as url:
        _fill(url, tmp_path_factory.mktemp("thirty"))
        yield str(make_url(url).database)


def _fill(database_url: str, place: Path) -> None:
    folder = folder_on(database_url, place)
    shutil.copytree(TEMPLATES, folder.templates)
    with folder.session() as session:
        assert len(list(filled(session, folder, 30, stories=3))) == 30
    folder.engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """Thirty issues in two volumes, on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("lite_archive")
        return
    with copied(request.getfixturevalue("postgres"), request.getfixturevalue("thirty_on_postgres")) as url:
        yield from _opened(url, tmp_path)


@pytest.fixture
def lite_archive(thirty: Path, tmp_path: Path) -> Iterator[Folder]:
    """The same, where the database doesn't matter."""
    shutil.copy(thirty, tmp_path / "newsletter.db")
    yield from _opened("sqlite:///newsletter.db", tmp_path)


def _opened(database_url: str, place: Path) -> Iterator[Folder]:
    folder = folder_on(database_url, place)
    shutil.copytree(TEMPLATES, folder.templates)
    yield folder
    folder.engine.dispose()


def client(folder: Folder) -> FlaskClient:
    return make(folder, lambda: LATER).test_client()


def strict(content: str) -> None:
    """A page that a parser of HTML forgives nothing in."""
    html5lib.HTMLParser(strict=True).parse(content)


# what is public


def test_the_catalogue_lists_what_was_sent_newest_first_by_volume(archive: Folder) -> None:
    with archive.reading() as session:
        found = catalogues.catalogue(session, archive, "digest")
    assert [entry.label for entry in found.entries][:7] == ["2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "1.24"]
    assert {volume: len(entries) for volume, entries in found.volumes.items()} == {2: 6, 1: 24}
    before, after = found.neighbours(found.entries[0])
    assert (before and before.label, after) == ("2.5", None)
    assert found.entries[-1].date == FIRST
    assert len(found.entries[0].headlines) == 3


@pytest.mark.parametrize("state", [each for each in IssueState if each not in catalogues.SHOWN])
def test_an_issue_that_hasnt_gone_is_in_nothing(archive: Folder, state: IssueState) -> None:
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 6)).one().state = state
    served = client(archive)
    for path in ("/digest", "/digest/2", "/digest/feed.atom", "/digest/feed.rss", "/digest/feed.json", "/sitemap.xml"):
        assert "/digest/2/6" not in served.get(path).text, path
        assert "/digest/2/5" in served.get(path).text, path
    for path in ("/digest/2/6", "/digest/2/6.pdf", "/digest/2/6.bib", "/digest/2/6.ris"):
        assert served.get(path).status_code == 404
    assert 'rel="next"' not in served.get("/digest/2/5").text


def test_a_private_issue_is_read_by_who_has_its_link_and_is_in_nothing(archive: Folder) -> None:
    with archive.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 3)).one()
        issue.private = True
        key, other = keys(session, LATER).issue(issue.id), keys(session, LATER).issue(issue.id + 1)
        headline = issue.stories[0].headline
    served = client(archive)
    for path in ("/digest", "/digest/2", "/digest/feed.atom", "/digest/feed.rss", "/digest/feed.json", "/sitemap.xml"):
        assert "2/3" not in served.get(path).text, path
    assert headline not in served.get("/digest").text
    assert served.get("/digest/2/3").status_code == 404
    assert "/digest/2/2" in served.get("/digest/2/4").text
    answer = served.get(f"/digest/private/{key}")
    assert headline in answer.text
    assert "neighbours" not in answer.text.partition("</head>")[2]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    # What isn't there, what isn't private, what is made up, and another publication's: all the same answer.
    wrong = [served.get(f"/digest/private/{each}") for each in (other, "0" * 26, key[:-2], "x")]
    assert {(each.status_code, each.text) for each in wrong} == {(404, served.get("/digest/9/9").text)}
    assert served.get(f"/digest/2/3?key={key}").status_code == 404


# pages


@pytest.mark.parametrize(
    "path",
    ["/digest", "/digest/1", "/digest/2", "/digest/2/4", "/digest/1/1", "/digest/search?q=ports", "/digest/search"],
)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page_is_strict_html(lite_archive: Folder, path: str, language: str) -> None:
    answer = client(lite_archive).get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200
    strict(answer.text)
    ids = re.findall(r'\bid="([^"]*)"', answer.text)
    assert len(ids) == len(set(ids))


def test_the_front_page_has_the_latest_issue_the_last_seven_and_a_way_to_all_others(lite_archive: Folder) -> None:
    text = client(lite_archive).get("/digest").text
    assert text.index("Vol 2 · No 6") < text.index("No 5</span>") < text.index("No 23</span>")
    assert text.count('<span class="no">') == 7
    assert "Show No 22 to No 1" in text
    assert '<form class="joining" method="post" action="/digest/subscribe">' in text


def test_a_page_has_an_icon_in_the_publications_colour(lite_archive: Folder) -> None:
    digest = lite_archive.config.publications["digest"]
    green = msgspec.structs.replace(digest, theme=Theme(mark="#117733"))
    config = msgspec.structs.replace(
        lite_archive.config, publications={"digest": green}, base_url="https://example.org/news"
    )
    served = client(dataclasses.replace(lite_archive, config=config))
    found = re.search(r'<link rel="icon" href="([^"]*)"', served.get("/news/digest").text)
    assert found
    answer = served.get(found[1])
    assert answer.mimetype == "image/x-icon"
    with Image.open(io.BytesIO(answer.data)) as picture:
        assert picture.info["sizes"] == {(16, 16), (32, 32), (48, 48)}
        assert picture.convert("RGB").getpixel((16, 13)) == (0x11, 0x77, 0x33)


def test_an_archive_without_issues_says_so(lite_folder: Folder) -> None:
    served = client(lite_folder)
    assert "No issue has been sent yet." in served.get("/digest").text
    assert served.get("/digest/1").status_code == 404
    for name in feeds.NAMES:
        assert served.get(f"/digest/{name}").status_code == 200
    assert not feedparser.parse(served.get("/digest/feed.atom").data).entries


def test_an_issues_page_is_what_is_kept_with_its_neighbours_named(archive: Folder) -> None:
    with archive.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 1, Issue.number == 24)).one()
        kept = session.get_one(Rendition, (issue.id, RenditionKind.page, 1)).content.decode()
    served = client(archive).get("/digest/1/24").text
    begin, _, end = kept.partition("<!--neighbours-->")
    assert served.startswith(begin)
    assert served.endswith(end)
    nav = served[len(begin) : -len(end)]
    assert re.findall(r'<a rel="(\w+)" href="([^"]*)"', nav) == [("prev", "/digest/1/23"), ("next", "/digest/2/1")]


def test_who_has_a_page_already_is_told_so(archive: Folder) -> None:
    served = client(archive)
    for path in ("/digest", "/digest/2", "/digest/2/4", "/digest/feed.atom", "/digest/2/4.bib", "/sitemap.xml"):
        first = served.get(path)
        again = served.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b""), path
        assert again.headers["Cache-Control"].startswith("public"), path
    since = served.get("/digest/2/4").headers["Last-Modified"]
    assert served.get("/digest/2/4", headers={"If-Modified-Since": since}).status_code == 304


def test_a_correction_is_on_the_page_and_in_the_feeds_at_once(archive: Folder) -> None:
    served = client(archive)
    before = [served.get(path).headers["ETag"] for path in ("/digest/2/4", "/digest/feed.atom", "/sitemap.xml")]
    served.get("/digest/search?q=ports")
    with archive.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 4)).one()
        told = list(issue.stories)
        wish = corrections.Wish("It was nine.", 2, headline="Nine, not eight", body="It is nine: xylophones.")
        corrections.correct(session, archive, issue, wish, LATER)
    answer = served.get("/digest/2/4")
    assert "It was nine." in answer.text
    after = [served.get(path).headers["ETag"] for path in ("/digest/2/4", "/digest/feed.atom", "/sitemap.xml")]
    assert not set(before) & set(after)
    atom = feedparser.parse(served.get("/digest/feed.atom").data)
    corrected = next(each for each in atom.entries if each.id == f"{BASE}/digest/2/4")
    assert corrected.updated != corrected.published
    assert "It was nine." in corrected.content[0].value
    assert "Nine, not eight" in corrected.summary
    assert told[1].headline not in corrected.summary
    assert "Nine, not eight" in served.get("/digest/2").text
    assert "Nine, not eight" in re.sub("</?mark>", "", served.get("/digest/search?q=xylophones").text)


def test_an_issue_of_a_version_that_made_no_entries_is_listed_all_the_same(archive: Folder) -> None:
    with archive.session() as session:
        session.execute(delete(Rendition).where(Rendition.kind.in_([RenditionKind.entry, RenditionKind.pdf])))
    served = client(archive)
    assert served.get("/digest/2").text.count("<h3>") == 6
    assert "<mark>ports</mark>" in served.get("/digest/search?q=ports").text
    assert served.get("/digest/feed.atom").status_code == 200


def test_an_issn_is_checked_by_its_last_digit(lite_folder: Folder) -> None:
    assert is_issn("2049-3630")
    assert is_issn("2434-561X")
    assert not any(map(is_issn, ["2049-3631", "20493630", "2049-363", "2049-36３0", "x049-3630"]))
    from conftest import CONFIG

    from newsletter import config

    wrong = CONFIG.replace("[publications.digest]", '[publications.digest]\nissn = "2049-3631"')
    with pytest.raises(ConfigMistake, match="2049-3631"):
        config.decode(wrong, lite_folder.path / "config.toml")


def test_an_address_with_a_slash_behind_it_leads_to_the_page(lite_archive: Folder) -> None:
    config = msgspec.structs.replace(lite_archive.config, base_url="https://example.org/news")
    served, under = client(lite_archive), client(dataclasses.replace(lite_archive, config=config))
    for path in ("/digest", "/digest/2", "/digest/2/4", "/digest/search"):
        answer = served.get(f"{path}/?in=ja")
        assert (answer.status_code, answer.headers["Location"]) == (301, f"{path}?in=ja")
        assert under.get(f"/news{path}/").headers["Location"] == f"/news{path}"
        assert served.get(path).status_code == 200
    for path in ("/elsewhere/", "/digest/x/", "/digest/2/4.pdf/"):
        assert served.get(path).status_code == 404, path


def test_under_a_path_base_url_is_the_front_page_and_every_way_leads_on_under_it(lite_archive: Folder) -> None:
    config = msgspec.structs.replace(lite_archive.config, base_url="https://example.org/news")
    under = client(dataclasses.replace(lite_archive, config=config))
    for path in ("/news", "/news/", "/"):
        answer = under.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/news/digest"), path
    assert under.get("/newsletter").status_code == 404
    doubled = under.get("/news/digest//2")
    assert urlsplit(doubled.headers["Location"]).path == "/news/digest/2"


def test_a_path_that_is_called_like_a_publication_is_that_publications_page(lite_archive: Folder) -> None:
    config = msgspec.structs.replace(lite_archive.config, base_url="https://example.org/digest")
    under = client(dataclasses.replace(lite_archive, config=config))
    assert under.get("/digest/digest").status_code == 200
    # A web server in front that takes the path off asks so for the same page: to be sent there again would go on.
    assert under.get("/digest").status_code == 200


def test_a_combined_issue_is_found_by_each_of_its_numbers(lite_archive: Folder) -> None:
    with lite_archive.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 6)).one()
        issue.through = 8
    served = client(lite_archive)
    for number in (7, 8):
        answer = served.get(f"/digest/2/{number}")
        assert (answer.status_code, answer.headers["Location"]) == (301, "/digest/2/6")
        assert served.get(f"/digest/2/{number}.pdf").status_code == 404
    assert served.get("/digest/2/6").status_code == 200
    assert served.get("/digest/2/9").status_code == 404
    assert "No 6–8" in served.get("/digest/2").text
    assert "number = {6--8}" in served.get("/digest/2/6.bib").text


def test_a_volume_leads_to_the_ones_before_and_after_it(lite_archive: Folder) -> None:
    with lite_archive.session() as session:
        for issue in session.scalars(select(Issue).where(Issue.volume == 1, Issue.number > 12)):
            issue.volume = 3
    served = client(lite_archive)
    for volume, wanted in (("2", [("prev", "/digest/1"), ("next", "/digest/3")]), ("1", [("next", "/digest/2")])):
        text = served.get(f"/digest/{volume}").text
        assert re.findall(r'<a rel="(\w+)" href="([^"]*)"', text) == wanted
        assert f'<meta property="og:url" content="{BASE}/digest/{volume}">' in text
        assert 'property="og:description"' in text


def test_a_list_is_known_by_what_it_says_and_not_by_a_time(lite_archive: Folder) -> None:
    served = client(lite_archive)
    since = {"If-Modified-Since": "Sun, 01 Jan 2006 00:00:00 GMT"}
    for path in ("/digest", "/digest/1", "/digest/feed.atom"):
        # An issue of long ago may be taken in, one of today called off: the latest time in a list tells nothing.
        assert served.get(path, headers=since).status_code == 200, path
        assert "Last-Modified" not in served.get(path).headers, path


def test_the_pages_of_a_publication_for_its_readers_dont_say_that_nothing_was_sent(
    make_folder: Callable[..., Folder],
) -> None:
    text = client(make_folder(("min_stories = 2", "min_stories = 2\nprivate = true"))).get("/digest").text
    assert "No issue has been sent yet" not in text
    assert "Its issues are for those who get them by mail." in text
    assert '<a href="/digest/subscribe">' in text


def test_headlines_say_their_language_on_a_page_in_another(lite_archive: Folder) -> None:
    served = client(lite_archive)
    for path in ("/digest", "/digest/2", "/digest/search?q=ports"):
        assert 'lang="en" dir="ltr">' not in served.get(path).text.partition("<body>")[2], path
        text = served.get(path, headers={"Accept-Language": "ja"}).text
        assert re.search(r'<h[23] lang="en" dir="ltr"><a href="/digest/2/\d', text), path


# cited


def test_an_issue_is_cited_in_words_and_for_programs(lite_archive: Folder) -> None:
    served = client(lite_archive)
    page = re.sub(r"<[^<>]*>", "", served.get("/digest/2/4").text)
    assert "US-Japan Alliance Digest, Vol 2 No 4 (January 18, 2005)" in page
    bib = served.get("/digest/2/4.bib")
    assert bib.headers["Content-Disposition"] == 'attachment; filename="digest-2.4.bib"'
    assert bib.text.startswith("@misc{digest-2-4,\n  title = {US-Japan Alliance Digest, Vol 2 No 4},")
    ris = served.get("/digest/2/4.ris").text
    lines = [line.split("  - ") for line in ris.splitlines()]
    assert [line[0] for line in lines][:1] == ["TY"]
    assert ("UR", f"{BASE}/digest/2/4") in [tuple(line) for line in lines]
    assert ris.endswith("ER  - \r\n")


@given(st.text(max_size=80))
@example("a\nUR  - https://example.com")
def test_no_name_breaks_out_of_a_reference(name: str) -> None:
    entry = catalogues.Entry(
        1, 2, 4, 5, FIRST, name, name, (catalogues.Told(name, "a"),), None, NOW, NOW, 1, 0, f"{BASE}/digest/2/4"
    )
    from conftest import CONFIG

    from newsletter import config

    publication = config.decode(CONFIG, Path("config.toml")).publications["digest"]
    publication = msgspec.structs.replace(publication, title=name, publisher=name)
    bib = citation.bibtex(publication, "digest", entry)
    assert bib.count("{") == bib.count("}")
    depth = 0
    assert not re.search(r"(?<!\\)[~^#&%$_]", bib.partition("\n  date")[0].removeprefix("@misc{digest-2-4,"))
    for letter in bib[:-2]:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth > 0 or letter != "}" or bib.startswith("@misc{")
    for line in re.split("\r\n|\r|\n", citation.ris(publication, entry))[:-1]:
        assert re.match(r"[A-Z][A-Z0-9]  - ", line), line


# feeds


@pytest.mark.parametrize("name", ["feed.atom", "feed.rss"])
def test_feed_readers_read_the_feed_back(archive: Folder, name: str) -> None:
    answer = client(archive).get(f"/digest/{name}")
    assert answer.content_type == f"{feeds.NAMES[name]}; charset=utf-8"
    read = feedparser.parse(answer.data)
    assert not read.bozo, read.get("bozo_exception")
    assert read.feed.title == "US-Japan Alliance Digest"
    assert len(read.entries) == feeds.LATEST
    first = read.entries[0]
    assert (first.link, first.id) == (f"{BASE}/digest/2/6", f"{BASE}/digest/2/6")
    with archive.reading() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 6)).one()
        content = catalogues.content(session, issue.id, RenditionKind.entry)
        headlines = [story.headline for story in issue.stories]
    told = re.findall(r"<h2><a [^>]*>(.*?)</a></h2>", first.content[0].value)
    assert told == headlines
    assert content is not None
    assert re.sub(r"\s", "", first.content[0].value)[:60] == re.sub(r"\s", "", content.decode())[:60]
    assert first.published_parsed[:3] == (2005, 2, 15)


def test_the_json_feed_is_one(archive: Folder) -> None:
    answer = client(archive).get("/digest/feed.json")
    made = json.loads(answer.data)
    assert made["version"] == "https://jsonfeed.org/version/1.1"
    assert made["feed_url"] == f"{BASE}/digest/feed.json"
    assert len(made["items"]) == feeds.LATEST
    for item in made["items"]:
        assert item["id"] == item["url"]
        assert item["content_html"]
        assert dt.datetime.fromisoformat(item["date_published"]).tzinfo


def test_a_feed_stands_whatever_a_story_says(lite_folder: Folder) -> None:
    shutil.copytree(TEMPLATES, lite_folder.path / "templates")
    nasty = "A ]]> B & <b>C</b> </content></script> \x0b\x1b\x85\ufffe\u202e\U0001f468\u200d\U0001f469 &amp; \"'"
    with lite_folder.session() as session:
        for issue in filled(session, lite_folder, 1, stories=1):
            session.execute(delete(Rendition))
            issue.subject = issue.stories[0].headline = nasty
            issue.stories[0].body = nasty
            session.flush()
            session.expire_all()
            from newsletter.render import render_issue

            _, publication = lite_folder.publication("digest")
            render_issue(session, lite_folder, "digest", publication, issue, NOW, on_paper=False)
    served = client(lite_folder)
    for name in ("feed.atom", "feed.rss"):
        read = feedparser.parse(served.get(f"/digest/{name}").data)
        assert not read.bozo
        assert "]]>" in read.entries[0].content[0].value.replace("&gt;", ">")
        assert "<b>" not in read.entries[0].content[0].value
    told_in_json = json.loads(served.get("/digest/feed.json").data)["items"][0]
    assert "]]" in told_in_json["content_html"]
    assert "\x0b" not in told_in_json["title"]
    for path in ("/digest", "/digest/1", "/digest/1/1", "/digest/search?q=amp"):
        text = served.get(path).text
        strict(text)
        assert "<b>C" not in text
    told = re.search(r'ld\+json">(.*?)</script>', served.get("/digest/1/1").text)
    assert told
    assert json.loads(told[1])["hasPart"][0]["headline"].startswith("A ]]> B & <b>C</b>")


@pytest.mark.parametrize("name", ["feed.atom", "feed.rss"])
def test_a_feed_stands_whatever_the_publication_is_called(lite_folder: Folder, name: str) -> None:
    publication = msgspec.structs.replace(
        lite_folder.config.publications["digest"], title="A & <b>\x0b\x00B", publisher="\x1b"
    )
    empty = catalogues.Catalogue("digest", (), ())
    read = feedparser.parse(feeds.feed(name, publication, empty, {}, BASE))
    assert not read.bozo
    assert read.feed.title == "A & <b>B"


def test_programs_find_every_page_that_lasts(archive: Folder) -> None:
    served = client(archive)
    root = ET.fromstring(served.get("/sitemap.xml").data)
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    found = [each.text or "" for each in root.iter(f"{space}loc")]
    assert len(found) == 1 + 2 + 30
    assert all(served.get(each.removeprefix(BASE)).status_code == 200 for each in found)
    robots = served.get("/robots.txt").text
    assert f"Sitemap: {BASE}/sitemap.xml" in robots
    assert "Disallow: /me/" in robots


def test_a_page_tells_search_engines_what_it_is(lite_archive: Folder) -> None:
    text = client(lite_archive).get("/digest/2/4").text
    found = re.search(r'<script type="application/ld\+json">(.*?)</script>', text)
    assert found
    told = json.loads(found[1])
    assert (told["@type"], told["issueNumber"], told["datePublished"]) == ("PublicationIssue", "4", "2005-01-18")
    assert told["isPartOf"]["volumeNumber"] == "2"
    assert [each["@type"] for each in told["hasPart"]] == ["NewsArticle"] * 3
    assert f'<link rel="canonical" href="{BASE}/digest/2/4">' in text
    assert f'<meta property="og:url" content="{BASE}/digest/2/4">' in text


# search


def test_what_is_found_has_all_words_and_leads_to_its_story(archive: Folder) -> None:
    text = client(archive).get("/digest/search?q=Tokyo+batteries").text
    hits = re.findall(r'<h2><a href="([^"]*)">(.*?)</a></h2><p>(.*?)</p>', text)
    assert hits
    for path, headline, excerpt in hits:
        assert "#" in path
        plain = re.sub("<[^<>]*>", "", headline + excerpt).lower()
        assert "tokyo" in plain or "batter" in plain
    assert "<mark>" in hits[0][1]


def test_a_search_for_nothing_finds_nothing_and_says_so(archive: Folder) -> None:
    served = client(archive)
    assert "Nothing was found." in served.get("/digest/search?q=zeppelin").text
    assert "Nothing was found." in served.get("/digest/search?q=%00%EF%BF%BD+%3C%3E").text
    assert "found" in served.get("/digest/search").text
    hostile = served.get('/digest/search?q="><script>alert(1)</script>&page=x')
    assert hostile.status_code == 200
    assert "<script>" not in hostile.text
    assert served.get("/digest/search?q=ports&page=99999999999999999999").status_code == 200
    assert served.get(f"/digest/search?q={'a+' * 3000}").status_code == 200


def found(index: Index, query: str) -> list[str]:
    return [place.told.headline for place in index.find(query)]


def an_index(*stories: tuple[str, str]) -> Index:
    index = Index()
    for at, (headline, text) in enumerate(stories):
        entry = catalogues.Entry(
            at,
            1,
            at + 1,
            None,
            FIRST + dt.timedelta(at),
            "",
            "",
            (catalogues.Told(headline, "a"),),
            None,
            NOW,
            NOW,
            1,
            0,
            "",
        )
        index.add(entry, {"a": text})
    return index


def test_scripts_are_searched_as_their_readers_write_them() -> None:
    index = an_index(
        ("日米首脳会談", "半導体の供給網について合意した。"),
        ("Économie française", "L'été dernier, les coûts ont baissé."),
        ("أخبار الاقتصاد", "اتَّفَقَ الوزيران على خطة جديدة."),
        ("สะพานใหม่", "รัฐบาลเปิดสะพานใหม่ในกรุงเทพ"),
        ("हिन्दी में समाचार", "मंत्री ने कहा कि योजना तैयार है।"),
        ("Straße und Ｆｕｌｌ", "Über die Brücke."),
    )
    for query, headline in (
        ("半導体", "日米首脳会談"),
        ("会談", "日米首脳会談"),
        ("合", "日米首脳会談"),
        ("economie", "Économie française"),
        ("ete", "Économie française"),
        ("l'été", "Économie française"),
        ("lete", "Économie française"),
        ("اتفق", "أخبار الاقتصاد"),
        ("สะพาน", "สะพานใหม่"),
        ("समाचार", "हिन्दी में समाचार"),
        ("full brucke", "Straße und Ｆｕｌｌ"),
        ("ÜBER", "Straße und Ｆｕｌｌ"),
    ):
        assert found(index, query) == [headline], query


def test_a_headline_counts_more_than_a_text_and_a_whole_word_more_than_its_beginning() -> None:
    index = an_index(
        ("Cables", "Nothing on ships."),
        ("Ships", "One line."),
        ("Shipsheds", "A line."),
        ("Seas", "Ships, twice: ships."),
    )
    assert found(index, "ships") == ["Ships", "Seas", "Shipsheds", "Cables"]
    assert found(index, "sh") == []
    assert found(index, "ships cables") == ["Cables"]


def test_a_word_is_whole_however_it_is_set_and_who_compiles_an_issue_is_no_part_of_a_story(lite_folder: Folder) -> None:
    entry = (
        '<h2><a href="https://x.org/1/1#one">One</a></h2>\n<p>The <em>semi</em>conductors, <a href="https://y.org">a'
        "\nlink</a>.<sup>2</sup> An end</p><p>of it</p>\n<p><em>Compiled by A &amp; B.</em></p>\n"
    )
    digest = msgspec.structs.replace(lite_folder.config.publications["digest"], compiled_by="Compiled by A & B.")
    config = msgspec.structs.replace(lite_folder.config, publications={"digest": digest})
    lite_folder = dataclasses.replace(lite_folder, config=config)
    shutil.copytree(TEMPLATES, lite_folder.path / "templates")
    with lite_folder.session() as session:
        issue = next(filled(session, lite_folder, 1, stories=1))
        session.get_one(Rendition, (issue.id, RenditionKind.entry, 1)).content = entry.encode()
        session.flush()
        told = dict(catalogues.texts(session, lite_folder, [issue.id]))[issue.id]
    assert told == {"one": "The semiconductors, a link. 2 An end of it"}


def test_an_issue_that_was_corrected_is_found_by_what_it_says_now(archive: Folder) -> None:
    shelf = Shelf(archive)
    with archive.reading() as session:
        index = shelf.index(session, "digest")
        assert not index.find("xylophones")
        count = len(index)
    with archive.session() as session:
        issue = session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 4)).one()
        old = issue.stories[1].body
        wish = corrections.Wish("It was nine.", 2, body="It is nine: xylophones.")
        corrections.correct(session, archive, issue, wish, LATER)
    with archive.reading() as session:
        index = shelf.index(session, "digest")
        assert [place.entry.label for place in index.find("xylophones")] == ["2.4"]
        assert len(index) == count
    assert old


def test_who_searches_waits_while_another_takes_an_issue_into_the_index(lite_archive: Folder) -> None:
    """Words that are being added can't be gone through; the second finds what the first has taken in."""
    shelf, adding, go_on, found = Shelf(lite_archive), threading.Event(), threading.Event(), threading.Event()
    places: dict[str, int] = {}

    def held(*_: object) -> None:
        if threading.current_thread().name == "first" and not adding.is_set():
            adding.set()
            go_on.wait(30)

    def look() -> None:
        with lite_archive.reading() as session:
            places[threading.current_thread().name] = len(shelf.find(session, "digest", "tokyo"))
        if threading.current_thread().name == "second":
            found.set()

    event.listen(lite_archive.engine, "before_cursor_execute", held)
    threads = [threading.Thread(target=look, name=name) for name in ("first", "second")]
    threads[0].start()
    assert adding.wait(30)
    threads[1].start()
    # It isn't let in, however long it is given.
    assert not found.wait(0.5)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert places["first"] == places["second"] > 0


def test_a_catalogue_reads_only_what_it_doesnt_know(archive: Folder) -> None:
    with archive.reading() as session:
        first = catalogues.catalogue(session, archive, "digest")
        assert catalogues.catalogue(session, archive, "digest", first) is first
    with archive.session() as session:
        session.scalars(select(Issue).where(Issue.volume == 2, Issue.number == 6)).one().state = IssueState.cancelled
    with archive.reading() as session:
        second = catalogues.catalogue(session, archive, "digest", first)
    assert [id(each) for each in second.entries] == [id(each) for each in first.entries[1:]]


@pytest.mark.parametrize("query", ["word", "nothing"])
def test_what_is_shown_of_a_text_is_never_markup(query: str) -> None:
    text = "<b>One</b> & <i>word</i> <script>alert(1)</script>"
    for made in (str(search.excerpt(text, query)), str(search.marked(text, query))):
        assert re.findall("<[^<>]*>", made) in ([], ["<mark>", "</mark>"])
        assert " &amp; " in made


@given(st.text(max_size=120), st.text(max_size=30))
def test_an_excerpt_is_a_piece_of_its_text(text: str, query: str) -> None:
    import html

    made = str(search.excerpt(text, query))
    plain = html.unescape(re.sub("</?mark>", "", made))
    assert plain.removeprefix("…").removesuffix("…") in text or plain in text
    assert made.count("<mark>") == made.count("</mark>")
    assert html.unescape(re.sub("</?mark>", "", str(search.marked(text, query)))) == text


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Z"]), max_size=60))
def test_a_text_is_found_by_any_of_its_words(text: str) -> None:
    index = an_index(("x", text))
    for piece in re.findall(r"\w+", text):
        if words.asked(piece):
            assert found(index, piece) == ["x"], piece


@given(st.text(max_size=60))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert words.folded(words.folded(text)) == words.folded(text)


def test_the_quick_way_for_ascii_is_the_other_way() -> None:
    text = "It's 4,000 MW: the O'Neill-type plant's 2nd unit, x_y, don''t 'quote' it."
    assert words.words(text) == words.words(text + " 年")[:-1]


@given(text=st.text(alphabet="aZ’ßé\u0301\u0651ﬁ年 ", max_size=12))
@example(text="ß\u0301x")
def test_what_is_found_in_a_folded_text_is_marked_where_it_stands(text: str) -> None:
    small, places = search._with_places(text)
    assert small == "".join(words.folded(letter) for letter in text)
    assert len(places) == len(small) + 1
    assert places[-1] == len(text)
    assert all(small[at] in words.folded(text[places[at]]) for at in range(len(small)))


def test_entries_are_values(lite_archive: Folder) -> None:
    with lite_archive.reading() as session:
        entry = catalogues.catalogue(session, lite_archive, "digest").entries[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.volume = 3  # type: ignore[misc]


def test_an_archive_that_is_empty_has_no_entries(session: Session, folder: Folder) -> None:
    assert catalogues.catalogue(session, folder, "digest").entries == ()
