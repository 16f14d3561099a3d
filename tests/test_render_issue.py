"""A whole issue: what comes out is what came out before, and no story reaches out of its place.

`pytest tests/test_render_issue.py --renew-golden` writes tests/golden/ anew; look at the difference before
you commit it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import socket
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import NOW
from edition_sample import ROOT, TEMPLATES, sample, telling
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_render_edition import issue_with

from newsletter import compose, fields, pictures
from newsletter.compose import Reader
from newsletter.folder import Folder
from newsletter.models import Rendition
from newsletter.render import Edition, PictureView, render, render_issue
from newsletter.render.page import plain
from newsletter.states import RenditionKind

GOLDEN = Path(__file__).parent / "golden"
HTML, TEXT, PAGE = RenditionKind.html, RenditionKind.text, RenditionKind.page
FILES = {HTML: "issue.html", TEXT: "issue.txt", PAGE: "page.html"}

ODD = """"Quoted" for [[first_name|R&D <you>]], $8 billion[^1] and [leave]([[unsubscribe_url]]) {{ 7*7 }} {% x %} [[x]] <mjml>.

[[if city]]

Only in [[city]].

[[else]]

Nowhere.

[[end]]

## Part

1. one
   - two <script>alert(1)</script>

> said

|a|b|
|-|-:|
|1|2|

    code < & [[name]]

![chart](https://example.org/c.png) a\u00a0b ไทย 👩‍👩‍👧‍👦

[^1]: note
"""


class Tree(HTMLParser):
    """Reads HTML as strictly as a mail program doesn't: what is opened is closed, in order."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "col", "input"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append((tag, dict(attrs)))
        # libxml2 leaves out the end of an empty item; HTML lets it (WHATWG §13.1.2.4).
        if tag == "li" and self._open[-1] == "li":
            self._open.pop()
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        if tag in ("ul", "ol") and self._open[-1] == "li":
            self._open.pop()
        assert self._open.pop() == tag


def odd() -> Edition:
    """An issue with everything in it that might go wrong."""
    edition = sample()
    picture_ = PictureView(
        "https://digest.example.org/pictures/x.png", 560, 280, 1280, 640, 'A "quoted" ไทย \\ ❤️ alt', "Photo: R&D <b>"
    )
    first, second, third, *_ = edition.stories
    return dataclasses.replace(
        edition,
        stories=(
            first,
            dataclasses.replace(
                second,
                body=ODD,
                picture=picture_,
                author="By [[name|A. & B.]]",
                link="https://www.example.org/elsewhere",
                headline='For [[name|you]] & "everything" <b>else</b> {{ 7*7 }}',
            ),
            third,
        ),
    )


CASES: dict[str, Callable[[], Edition]] = {"sample": sample, "odd": odd}


@pytest.mark.parametrize("name", CASES)
def test_an_issue_comes_out_to_the_letter_as_it_did_before(name: str, request: pytest.FixtureRequest) -> None:
    made = render(CASES[name](), TEMPLATES)
    for kind, file in FILES.items():
        path = GOLDEN / f"{name}-{file}"
        text = made[kind].replace("\x02", "[[").replace("\x03", "]]")
        if request.config.getoption("renew_golden"):
            path.write_text(text, "utf-8")
        assert text == path.read_text("utf-8"), f"{path.name} differs: look at it, then --renew-golden"


def test_the_same_issue_is_the_same_bytes_and_the_network_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refused)
    assert render(odd(), TEMPLATES) == render(odd(), TEMPLATES)


@pytest.mark.parametrize(
    "edition",
    [sample(), odd(), sample(direction="rtl", language="ar"), sample(standfirst="", compiled_by="", privacy_url="")],
    ids=["sample", "odd", "rtl", "bare"],
)
def test_html_and_page_are_well_formed_and_every_picture_has_size_and_words(edition: Edition) -> None:
    made = render(edition, TEMPLATES)
    for kind in (HTML, PAGE):
        text = made[kind]
        assert text.startswith("<!doctype html>")
        # The way out for Outlook is a comment; its tags are checked with those of the rest.
        tree = Tree(re.sub(r"\x02[^\x03]*\x03", "x", text))
        for tag, attributes in tree.tags:
            if tag == "img":
                assert attributes["alt"]
                assert int(attributes["width"] or "")
                assert int(attributes["height"] or "")
            assert tag not in ("iframe", "object", "form")
            assert not [name for name in attributes if name.startswith("on")]
        # What search engines are told is data, which no browser runs.
        told = [attributes for tag, attributes in tree.tags if tag == "script"]
        assert told == ([{"type": "application/ld+json"}] if kind is PAGE else [])
        assert [attributes["lang"] for tag, attributes in tree.tags if tag == "html"] == [edition.publication.language]
        assert [attributes["dir"] for tag, attributes in tree.tags if tag == "html"] == [edition.publication.direction]
        assert [tag for tag, _ in tree.tags].count("h1") == 1
        assert [tag for tag, _ in tree.tags].count("h2") == len(edition.stories)
        assert "mergefield" not in text
        assert "storyplace" not in text


def test_what_outlook_reads_is_well_formed_too() -> None:
    html = re.sub(r"\x02[^\x03]*\x03", "x", render(odd(), TEMPLATES)[HTML])
    outlook = re.sub(r"<!--\[if !mso\]><!-->.*?<!--<!\[endif\]-->", "", html, flags=re.DOTALL)
    outlook = re.sub(r"<!--\[if (?:mso \| IE|mso)\]>(.*?)<!\[endif\]-->", r"\1", outlook, flags=re.DOTALL)
    Tree(re.sub(r"<(/?)(?:xml|o:[A-Za-z]+|noscript)[^>]*>", "", outlook))


def test_layout_tables_are_not_read_out_as_tables() -> None:
    tree = Tree(render(sample(), TEMPLATES)[HTML])
    assert {attributes.get("role") for tag, attributes in tree.tags if tag == "table"} == {"presentation"}


def test_colours_of_a_mail_have_six_digits() -> None:
    html = render(odd(), TEMPLATES)[HTML]
    assert not re.search(r"(?:bgcolor=\"|color:\s*)#[0-9a-f]{3}\b", html)


def test_a_mail_is_far_from_where_gmail_cuts_it_off() -> None:
    assert len(render(sample(), TEMPLATES)[HTML].encode()) < 48_000


def test_what_is_dark_in_the_template_is_dark_in_the_mail() -> None:
    html = render(sample(), TEMPLATES)[HTML]
    source = (TEMPLATES / "digest" / "issue.mjml").read_text()
    assert html.count("!important") >= source.count("!important")
    assert "@media (prefers-color-scheme: dark)" in html
    assert "[data-ogsc] h1" in html


def test_the_ways_out_are_each_readers_own_and_whole() -> None:
    html, text = render(sample(), TEMPLATES)[HTML], render(sample(), TEMPLATES)[TEXT]
    assert re.search('<a href="\x02unsubscribe_url\x03"[^>]*>Unsubscribe</a>', html)
    assert re.search('<a href="\x02preferences_url\x03"[^>]*>Preferences</a>', html)
    assert "Unsubscribe  \x02unsubscribe_url\x03\n" in text
    for part in (html, text):
        assert "\x02address\x03" in part
        assert re.search("\x02if joined\x03\\s+on\\s+\x02joined\x03\x02end\x03", part)


def test_a_field_in_a_link_is_not_percent_encoded() -> None:
    made = render(telling("[x](https://x.example/?c=[[city]]&n=[[name|a b]])"), TEMPLATES)
    assert 'href="https://x.example/?c=\x02city\x03&amp;n=\x02name|a b\x03"' in made[HTML]
    assert 'href="https://x.example/?c=&amp;n=a%20b"' in made[PAGE]


def test_no_field_of_a_person_is_on_the_web_page() -> None:
    page = render(odd(), TEMPLATES)[PAGE]
    assert "\x02" not in page
    assert "For you &amp;" in page
    assert "R&amp;D &lt;you&gt;" in page
    assert "Nowhere." in page
    assert "Only in" not in page
    assert ">leave</a>" not in page
    assert "style=" not in page
    assert page.count("<script") == 1


def test_what_is_filled_in_for_nobody_is_fallbacks_and_other_parts() -> None:
    names = frozenset({"name", "city"})
    framed = "Dear \x02name|reader\x03, \x02if city\x03in \x02city\x03\x02else\x03somewhere\x02end\x03\x02if not city\x03!\x02end\x03"
    assert plain(framed, names) == "Dear reader, somewhere!"


def test_a_source_is_named_where_the_text_has_no_link_to_it() -> None:
    linked = telling("[x](https://www.example.org/a)", link="https://www.example.org/a")
    apart = telling("Nothing.", link="https://www.example.org/a")
    assert "Source:" not in render(linked, TEMPLATES)[HTML]
    for kind, words in (
        (HTML, ">example.org</a>"),
        (PAGE, ">example.org</a>"),
        (TEXT, "Source: https://www.example.org/a"),
    ):
        assert words in render(apart, TEMPLATES)[kind]


def test_text_tells_the_same_stories_in_the_same_order() -> None:
    text = render(sample(), TEMPLATES)[TEXT]
    headlines = [story.headline.replace("$8 ", "$8\u00a0") for story in sample().stories]
    places = [text.index(f"{headline}\n===") for headline in headlines]
    assert places == sorted(places)
    for long in ("https://", "You get this because"):
        text = "\n".join(line for line in text.splitlines() if long not in line)
    assert max(map(len, text.splitlines())) <= 72


def outside(html: str) -> tuple[str, str, str]:
    """A mail with one story: what is before the story, the story, what is after it."""
    before, mark, rest = html.partition('<div class="story"')
    assert mark
    end = 0
    depth = 1
    for found in re.finditer(r"<(/?)div\b", rest):
        depth += -1 if found[1] else 1
        if depth == 0:
            end = found.start()
            break
    return before, rest[:end], rest[end:]


PLAIN = outside(render(telling("Plain."), TEMPLATES)[HTML])
ALLOWED = set("p a br hr em strong s sup code pre ul ol li blockquote h3 h4 table thead tbody tr th td div".split())  # noqa: SIM905
BREAKING = st.sampled_from(
    [
        "</div>",
        "</td></tr></table>",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "{{ 7*7 }}",
        "{% raw %}",
        "[[x]]",
        "[[name]]",
        "<mj-section>",
        "</mjml>",
        "<!--",
        "-->",
        "<!--[if mso]>",
        "<![endif]-->",
        "&lt;",
        "&#60;",
        "\\",
        "storyplacex1z",
        "mergefieldx0z",
        "\x02",
        "\x03",
        "\x00",
        "[x](javascript:alert(1))",
        '[x](https://e.example/"onload="x)',
        "![a](https://e.example/x)",
        "| a | b |\n|-|-|\n| 1 | 2 |",
        "\n\n",
        "\n- ",
        "\n> ",
        "\n    ",
        "`",
        "*",
        "```\n",
        "[^1]",
        "\n[^1]: ",
        '"',
        "'",
        "--",
        "ไ",
        "\u202e",
        "\ud800",
        "<style>",
        "</style>",
        "<a href='x'>",
        "http://日本.example/",
        "<https://e.example/>",
        "[[else]]",
        "[[end]]",
        "# ",
        "<>",
        "]]>",
        "<?php ?>",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(BREAKING | st.text(max_size=12), max_size=14).map("".join))
def test_no_story_reaches_out_of_its_place(body: str) -> None:
    made = render(telling(body), TEMPLATES)
    before, story, after = outside(made[HTML])
    assert (before, after) == (PLAIN[0], PLAIN[2])
    tree = Tree("<div>" + re.sub(r"\x02[^\x03]*\x03", "x", story.partition(">")[2]) + "</div>")
    for tag, attributes in tree.tags:
        assert tag in ALLOWED
        assert set(attributes) <= {"href", "title", "start", "align", "class", "style"}
        href = attributes.get("href")
        assert href is None or re.match(r"https?://|mailto:|tel:", href)
    assert "49" not in story.replace("7*7", "") or "49" in body
    assert made[PAGE].count("<script") == 1
    compose_like = fields.fill(fields.nodes(made[TEXT], sample().fields), lambda name: name)
    assert "\x02" not in compose_like


def test_words_that_look_like_our_own_marks_are_only_words() -> None:
    made = render(telling("mergefieldx0z storyplacex1z [[name]]", headline="storyplacex1z storyplacexx1z"), TEMPLATES)
    for kind in (HTML, PAGE, TEXT):
        assert made[kind].count("mergefieldx0z storyplacex1z ") == 1
        assert made[kind].count("storyplacex1z storyplacexx1z") >= 1


def test_headlines_and_other_lines_are_text_and_nothing_else() -> None:
    nasty = '</h2></mj-text><script>alert(1)</script>{{ 7*7 }}{% raw %} "onload="x" \\ <mj-raw> [[x]]'
    edition = dataclasses.replace(
        telling(
            "x",
            headline=nasty,
            section=nasty,
            author=nasty,
            picture=PictureView("https://x.example/p.png", 640, 320, 1280, 640, nasty, nasty),
        ),
        subject=nasty,
        preheader=nasty,
    )
    made = render(
        dataclasses.replace(
            edition,
            publication=sample(
                title=nasty, publisher=nasty, standfirst=nasty, compiled_by=nasty, postal_address=nasty
            ).publication,
        ),
        TEMPLATES,
    )
    for kind in (HTML, PAGE):
        tree = Tree(made[kind])
        assert all(not name.startswith("onload") for _, attributes in tree.tags for name in attributes)
        assert [tag for tag, _ in tree.tags if tag in ("script", "mj-raw")] == (["script"] if kind is PAGE else [])
        assert "{{ 7*7 }}" in made[kind]
    told = json.loads(made[PAGE].partition('<script type="application/ld+json">')[2].partition("</script>")[0])
    assert told["hasPart"][0]["headline"] == told["hasPart"][0]["articleSection"]
    assert "</h2></mj-text><script>alert(1)</script>" in told["hasPart"][0]["headline"]
    assert "<script>alert(1)</script>" in made[TEXT]


def test_an_issue_is_rendered_once_and_kept(session: Session, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(TEMPLATES)
    shown = pictures.store(session, folder.pictures, ROOT / "sample" / "stories" / "lead.png", NOW)
    issue = issue_with(
        session, {"picture_sha256": shown.sha256, "picture_alt": "Hills"}, {"body": "Dear [[first_name|reader]]."}
    )
    slug, publication = folder.publication()
    first = render_issue(session, folder, slug, publication, issue, NOW)
    assert set(first) == set(RenditionKind)
    assert all(len(row.sha256) == 64 and row.made == NOW for row in first.values())
    (tmp_path / "templates").unlink()
    again = render_issue(session, folder, slug, publication, issue, NOW.replace(year=2024))
    assert {kind: row.content for kind, row in again.items()} == {kind: row.content for kind, row in first.items()}
    assert len(session.scalars(select(Rendition)).all()) == len(RenditionKind)


def test_a_mail_made_of_a_rendition_has_every_field_filled_in(session: Session, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(TEMPLATES)
    issue = issue_with(session, {"body": ODD, "headline": "For [[name|you]]"}, {})
    render_issue(session, folder, *folder.publication(), issue, NOW, on_paper=False)
    composer = compose.for_issue(session, folder, issue, NOW)
    reader = Reader(1, "noor@example.org", "Noor <b>", {"city": "Kyoto"}, NOW)
    html, text = composer.html(reader), composer.text(reader)
    for part in (html, text):
        assert "\x02" not in part
        assert "Kyoto" in part
        assert "Nowhere" not in part
        assert "noor@example.org" in part
    assert "For Noor &lt;b&gt;" in html
    assert "/leave/" in html
    Tree(html)
    Tree(composer.html(Reader(2, "x@example.org", "", {}, None)))
    assert "subscribed to US-Japan Alliance Digest." in " ".join(
        composer.text(Reader(2, "x@example.org", "", {}, None)).split()
    )


def test_a_broken_template_leaves_nothing_behind(session: Session, folder: Folder) -> None:
    issue = issue_with(session, {})
    with pytest.raises(Exception, match="there is no design"):
        render_issue(session, folder, *folder.publication(), issue, NOW)
    assert session.scalars(select(Rendition)).all() == []
