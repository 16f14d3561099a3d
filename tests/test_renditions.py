"""One issue, five renditions: all of them tell the same stories, links and credits, in the same order."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from html import escape
from urllib.parse import unquote

import msgspec
import pikepdf
import pypdfium2
import pytest
from edition_sample import ROOT, TEMPLATES, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from lxml import html as lxml_html
from test_corrections import LATER, gone, shown
from test_render_issue import odd

from newsletter import config, fields, web
from newsletter.corrections import Wish, correct
from newsletter.folder import Folder
from newsletter.render import Edition, PdfView, PictureView, pdf, render
from newsletter.render import edition as this_edition
from newsletter.render.page import plain
from newsletter.render.rendering import for_nobody
from newsletter.states import RenditionKind

HTML, TEXT, PAGE, PDF, ENTRY = (RenditionKind(word) for word in ("html", "text", "page", "pdf", "entry"))
DESIGNS = sorted(path.parent.name for path in TEMPLATES.glob("*/issue.mjml"))
HERE = Folder(ROOT, config.read(ROOT / "config.toml"), None)  # type: ignore[arg-type]
POINTS = 72 / 25.4
"""PDF points to a millimetre."""


@dataclasses.dataclass(frozen=True)
class Told:
    """What a rendition says, to a reader of whom nothing is known."""

    letters: str
    """All letters and digits, one after the other."""
    links: list[str]


def told(edition: Edition) -> dict[RenditionKind, Told]:
    """What each rendition of an edition says."""
    paper = pdf.make(edition, HERE)
    pointed = dataclasses.replace(edition, pdf=PdfView(edition.pdf_url, pdf.pages(paper), len(paper)))
    made = render(pointed, TEMPLATES)
    found = {kind: of_html(filled(made[kind], edition.fields)) for kind in (HTML, PAGE, ENTRY)}
    text = plain(made[TEXT], edition.fields)
    urls = re.findall(r"(?<![a-z])(?:https?|mailto|tel):\S+", text)
    found[TEXT] = Told(letters(re.sub(r"\s?\[\d+\]", "", text)), [same(url) for url in urls])
    found[PDF] = of_pdf(paper)
    return found


def filled(framed: str, names: frozenset[str]) -> str:
    """HTML with its fields filled in for a reader of whom nothing is known."""
    parts = fields.chosen(fields.nodes(framed, names), lambda _: "")
    return "".join(part if isinstance(part, str) else escape(part.fallback) for part in parts)


def of_html(text: str) -> Told:
    tree = lxml_html.document_fromstring(text)
    for unseen in (*tree.xpath("//style"), *tree.xpath("//head")):
        unseen.drop_tree()
    return Told(letters(tree.text_content()), [same(url) for url in tree.xpath("//a/@href")])


def of_pdf(content: bytes) -> Told:
    """What stands on its pages between header and footer."""
    said = ""
    document = pypdfium2.PdfDocument(content)
    for page in document:
        width, height = page.get_size()
        said += page.get_textpage().get_text_bounded(left=0, bottom=20 * POINTS, right=width, top=height - 17 * POINTS)
    document.close()
    with pikepdf.open(io.BytesIO(content)) as file:
        links = [
            same(str(note["/A"]["/URI"]))
            for page in file.pages
            for note in page.get("/Annots", [])
            if "/URI" in note.get("/A", {})
        ]
    return Told(letters(said), links)


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def same(url: str) -> str:
    return unquote(url).rstrip("/")


def links_of(edition: Edition) -> list[str]:
    """Where the stories lead, in their order, each once."""
    readied, html = for_nobody(edition)
    found: list[str] = []
    for story in readied.stories:
        found += [same(url) for url in lxml_html.fragment_fromstring(html[story.position], "div").xpath(".//a/@href")]
        if story.source:
            found.append(same(story.link))
    return list(dict.fromkeys(found))


def stories_of(edition: Edition) -> Iterator[tuple[str, str]]:
    """Each story's headline and text, as they are read."""
    readied, html = for_nobody(edition)
    for story in readied.stories:
        tree = lxml_html.fragment_fromstring(html[story.position], "div")
        for raised in tree.xpath(".//sup"):
            raised.drop_tree()
        yield letters(story.headline), tree.text_content()


def check_links_and_credits(edition: Edition, made: dict[RenditionKind, Told]) -> None:
    wanted = links_of(edition)
    readied, _ = for_nobody(edition)
    for kind, one in made.items():
        assert [url for url in dict.fromkeys(one.links) if url in wanted] == wanted, kind
        at = 0
        for story in readied.stories:
            # A text has no pictures, and so none to be credited.
            if story.picture and story.picture.credit and kind is not TEXT:
                credit = letters(story.picture.credit)
                assert one.letters.count(credit) == [
                    letters(each.picture.credit) for each in readied.stories if each.picture
                ].count(credit), kind
                if story is not readied.lead:
                    at = one.letters.index(credit, at)


def check_words(edition: Edition, made: dict[RenditionKind, Told]) -> None:
    """Every word of every story, in its order; between them may stand what a design puts there."""
    for kind, one in made.items():
        at = 0
        for headline, text in stories_of(edition):
            at = one.letters.index(headline, at)
            for word in text.split():
                assert letters(word) in one.letters[at:], (kind, word)
                at = one.letters.index(letters(word), at)


def check_whole_texts(edition: Edition, made: dict[RenditionKind, Told]) -> None:
    """Every story's text letter by letter, in its order."""
    for kind, one in made.items():
        at = 0
        for headline, text in stories_of(edition):
            at = one.letters.find(headline, at)
            assert at >= 0, (kind, headline)
            found = one.letters.find(letters(text), at)
            if kind is PDF and found < 0:
                # What stands in the rail beside it comes between where a story goes over two pages.
                check_words(edition, {kind: one})
                return
            assert found >= 0, (kind, text)
            at = found + len(letters(text))


@pytest.mark.parametrize("design", DESIGNS)
def test_the_sample_is_told_alike_in_all_five(design: str) -> None:
    edition = sample(design=design)
    made = told(edition)
    assert set(made) == set(RenditionKind)
    check_links_and_credits(edition, made)
    check_whole_texts(edition, made)


@pytest.mark.parametrize("design", DESIGNS)
def test_an_odd_issue_is_told_alike_in_all_five(design: str) -> None:
    edition = odd()
    first, second, *others = edition.stories
    assert second.picture
    # A picture that is there, and no emoji: a PDF does without those that no font has.
    picture = dataclasses.replace(second.picture, file=ROOT / "sample" / "stories" / "lead.png", alt="An alt")
    second = dataclasses.replace(second, body=second.body.replace("👩‍👩‍👧‍👦", ""), picture=picture)
    edition = dataclasses.replace(
        edition,
        stories=(first, second, *others),
        publication=msgspec.structs.replace(edition.publication, design=design),
    )
    made = told(edition)
    check_links_and_credits(edition, made)
    check_words(edition, made)


def test_what_one_rendition_lacks_is_noticed() -> None:
    edition = sample()
    whole = told(edition)
    second = edition.stories[1]
    without = told(dataclasses.replace(edition, stories=(edition.stories[0], *edition.stories[2:])))
    swapped = told(dataclasses.replace(edition, stories=(edition.stories[0], *reversed(edition.stories[1:]))))
    assert second.picture is None
    for kind in RenditionKind:
        with pytest.raises((AssertionError, ValueError)):
            check_whole_texts(edition, {**whole, kind: without[kind]})
        with pytest.raises((AssertionError, ValueError)):
            check_links_and_credits(edition, {**whole, kind: without[kind]})
        with pytest.raises((AssertionError, ValueError)):
            check_whole_texts(edition, {**whole, kind: swapped[kind]})


FEEDS = {
    "feed.atom": lambda raw: etree.fromstring(raw).findtext(".//{*}entry/{*}content"),
    "feed.rss": lambda raw: etree.fromstring(raw).findtext(".//item/{*}encoded"),
    "feed.json": lambda raw: json.loads(raw)["items"][0]["content_html"],
}


@pytest.mark.parametrize("name", FEEDS)
def test_every_feed_tells_the_whole_issue_as_its_entry_does(lite_folder: Folder, name: str) -> None:
    with lite_folder.session() as session:
        issue = gone(session, lite_folder)
        made = this_edition(lite_folder, *lite_folder.publication(), issue)
        correct(session, lite_folder, issue, Wish("A slip of ours.", 2), LATER)
    raw = web.make(lite_folder, lambda: LATER).test_client().get(f"/digest/{name}").data
    content = FEEDS[name](raw)
    found = of_html(content)
    check_whole_texts(made, {ENTRY: found})
    check_links_and_credits(made, {ENTRY: found})
    assert "Corrected on November 20, 2023: A slip of ours." in shown(content)


_WORD = st.sampled_from(
    [
        "Tokyo",
        "Washington",
        "“quoted”",
        "G7",
        "$8",
        "billion",
        "Ōsaka",
        "café",
        "naïve",
        "R&D",
        "<b>",
        "3–4",
        "§",
        "50%",
        "*starred*",
        "`code`",
        "it’s",
        "don't",
        "one-off",
    ]
)
_RUN = st.lists(_WORD, min_size=2, max_size=12).map(" ".join)
_LINK = st.tuples(_RUN, st.integers(1, 40)).map(lambda pair: f"[{pair[0]}](https://example.org/source/{pair[1]})")
_PARAGRAPH = st.lists(st.one_of(_RUN, _LINK), min_size=1, max_size=4).map(" ".join)
_BLOCK = st.one_of(
    _PARAGRAPH,
    _PARAGRAPH.map("> {}".format),
    st.lists(_PARAGRAPH, min_size=2, max_size=3).map(lambda items: "\n".join(f"- {each}" for each in items)),
    _RUN.map("**{}**".format),
)
_STORY = st.tuples(_RUN, st.lists(_BLOCK, min_size=1, max_size=4).map("\n\n".join), st.booleans(), st.booleans())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_STORY, min_size=1, max_size=5))
def test_whatever_the_stories_are_they_are_told_alike(stories: list[tuple[str, str, bool, bool]]) -> None:
    edition = sample()
    first = edition.stories[0]
    assert first.picture
    made = []
    for at, (headline, body, linked, pictured) in enumerate(stories, 1):
        picture: PictureView | None = None
        if pictured:
            picture = dataclasses.replace(
                first.picture, credit=f"Credit number {at} of this issue", width=560, height=280
            )
        made.append(
            dataclasses.replace(
                first,
                position=at,
                headline=f"Headline {at}: {headline}",
                anchor=f"story-{at}",
                url=f"{edition.url}#story-{at}",
                body=body,
                link=f"https://elsewhere.example/{at}" if linked else "",
                picture=picture,
            )
        )
    edition = dataclasses.replace(edition, stories=tuple(made))
    found = told(edition)
    check_links_and_credits(edition, found)
    check_whole_texts(edition, found)
