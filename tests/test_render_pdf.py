"""The issue as a PDF: what stands in it, what it is for machines, and that no story and no template does harm."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import shutil
import socket
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pikepdf
import pypdfium2
import pytest
from conftest import NOW
from design_samples import DESIGNS
from edition_sample import ROOT, TEMPLATES, sample, telling
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_render_edition import issue_with
from test_render_issue import BREAKING, HTML, PAGE, TEXT, Tree, odd

from newsletter import config, dispatch, pictures, preflight, preview, web
from newsletter.config import Config
from newsletter.errors import ConfigMistake, FontMistake, PictureMistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.preflight_rules import Level
from newsletter.render import Edition, PdfView, pdf, pdf_blocks, render, render_issue
from newsletter.render.pdf_emoji import Emoji
from newsletter.render.pdf_press import Wrong, pressed
from newsletter.states import IssueState, RenditionKind

GOLDEN = ROOT / "tests" / "golden"


def on_paper(edition: Edition, folder: Folder | None = None) -> bytes:
    return pdf.make(edition, folder or a_folder())


def a_folder(path: Path = ROOT, fonts: str = "") -> Folder:
    """A publication's folder without a database."""
    settings_: Config = config.read(ROOT / "config.toml")
    return Folder(path, msgspec.structs.replace(settings_, fonts=fonts), None)  # type: ignore[arg-type]


def pages_of(content: bytes) -> list[str]:
    """The text of each page in its order, without what only parts words and lines."""
    document = pypdfium2.PdfDocument(content)
    return [squeezed(page.get_textpage().get_text_range()) for page in document]


def text_of(content: bytes) -> str:
    return "".join(pages_of(content))


def boxes_of(content: bytes) -> list[tuple[str, float, float]]:
    """Every letter that is to be seen, with its left and right edge in points."""
    found = []
    for page in pypdfium2.PdfDocument(content):
        text = page.get_textpage()
        letters = text.get_text_range()
        if len(letters) != text.count_chars():
            letters = "".join(text.get_text_range(at, 1)[:1] or " " for at in range(text.count_chars()))
        for at, letter in enumerate(letters):
            if letter.strip("\u200b \r\n\x02\ufffe"):
                left, _, right, _ = text.get_charbox(at)
                found.append((letter, left, right))
    return found


def squeezed(text: str) -> str:
    return re.sub(r"[\s\u200b\u00ad\x02\ufffe-]+", "", unicodedata.normalize("NFKC", text))


def links_of(content: bytes) -> list[str]:
    """Every web address that the PDF links to, in its order; a link over two lines once."""
    found: list[str] = []
    with pikepdf.open(io.BytesIO(content)) as document:
        for page in document.pages:
            for note in page.get("/Annots", []):
                action = note.get("/A", {})
                if "/URI" in action and (not found or found[-1] != str(action["/URI"])):
                    found.append(str(action["/URI"]))
    return found


def tags_of(content: bytes) -> list[tuple[str, str]]:
    """Every element of the structure tree in the order of reading, with its alternative text."""

    def walk(node: Any) -> Iterator[tuple[str, str]]:
        if isinstance(node, pikepdf.Array):
            for each in node:
                yield from walk(each)
        elif isinstance(node, pikepdf.Dictionary):
            if "/S" in node:
                yield str(node["/S"]), str(node.get("/Alt", ""))
            yield from walk(node.get("/K"))

    with pikepdf.open(io.BytesIO(content)) as document:
        return list(walk(document.Root["/StructTreeRoot"]["/K"]))


def words_of(edition: Edition) -> list[str]:
    return [story.headline for story in edition.stories]


SAMPLE = on_paper(sample())


# What stands in it


def test_the_sample_has_two_pages() -> None:
    assert pdf.pages(SAMPLE) == 2
    assert pdf.pages(on_paper(sample(paper="a4"))) == 2


def test_paper_is_letter_or_a4_as_the_publication_says() -> None:
    for paper, size in (("letter", (612, 792)), ("a4", (595, 842))):
        with pikepdf.open(io.BytesIO(on_paper(sample(paper=paper)))) as document:
            assert all(tuple(round(float(side)) for side in page.mediabox[2:]) == size for page in document.pages)


def test_masthead_headlines_with_pages_stories_and_footers_stand_in_their_order() -> None:
    first, second = pages_of(SAMPLE)
    edition = sample()
    places = [
        first.index(squeezed(part))
        for part in ("US-Japan Alliance Digest", "Two weeks between", "Vol 2 · No 21", "Illustration: US-Japan")
    ]
    assert places == sorted(places)
    for story, page in zip(edition.stories, (1, 1, 2, 2, 2), strict=True):
        assert squeezed(f"{story.headline}page {page}") in first
        assert squeezed(story.headline) in (first, second)[page - 1]
    assert first.endswith(squeezed("Sasakawa USA 1 of 2")) or squeezed("1 of 2") in first
    assert squeezed("2 of 2") in second
    assert squeezed("Vol 2 · No 21, November 14, 2023") in second


@pytest.mark.parametrize("edition", [sample(), sample(direction="rtl")], ids=["sample", "rtl"])
def test_all_stories_links_and_credits_stand_in_every_rendition_in_the_same_order(edition: Edition) -> None:
    made = render(edition, TEMPLATES)
    paper = on_paper(edition)
    html = {
        kind: re.sub(r"<(?:style|title|head)\b.*?</(?:style|title|head)>|<[^>]*>", "", made[kind], flags=re.DOTALL)
        for kind in (HTML, PAGE)
    }
    texts = {
        HTML: squeezed(html[HTML]),
        PAGE: squeezed(html[PAGE]),
        TEXT: squeezed(made[TEXT]),
        RenditionKind.pdf: text_of(paper),
    }
    for kind, text in texts.items():
        at = 0
        for story in edition.stories:
            at = text.index(squeezed(story.headline), at)
        # The list of headlines comes first; then each story's headline, and all words of its text.
        at = 0 if kind is PAGE else text.index(squeezed(edition.stories[-1].headline)) + 1
        for story in edition.stories:
            at = text.index(squeezed(story.headline), at)
            for sentence in re.split(r"\[.*?\)", story.body.replace("'", "’")):
                longest = max(re.split(r"[\s]+", sentence), key=len)
                at = text.index(squeezed(longest), at)
        if kind is not TEXT:
            credit = squeezed(edition.lead.picture.credit if edition.lead and edition.lead.picture else "")
            assert text.count(credit) == 1
    inner = [url for story in edition.stories for url in re.findall(r"\]\((https[^)]*)\)", story.body)]
    for found in (
        [url for url in links_of(paper) if "/sources/" in url],
        [url for url in re.findall(r'href="([^"]*)"', made[HTML]) if "/sources/" in url],
        [url for url in re.findall(r'href="([^"]*)"', made[PAGE]) if "/sources/" in url],
    ):
        assert found == inner


def test_everything_that_markdown_may_say_comes_out() -> None:
    body = """Dear [[name|reader]], **bold** *italic* ~~struck~~ `code #x` H[^1] [a link](https://e.example/?a=1&b=2).

## Part

### Finer

1. one
   - two
2. three

> said

|left|right|
|-|-:|
|cell|12|

    pre #code()
      indented

***

line\\
broken <b>no tag</b> &amp; &lt;

![a chart](https://e.example/c.png)

[^1]: the note
"""
    content = on_paper(telling(body))
    text = text_of(content)
    for part in (
        *(
            "Dear reader,",
            "bold",
            "italic",
            "struck",
            "code #x",
            "a link",
            "Part",
            "Finer",
            "1. one",
            "two",
            "2. three",
        ),
        *(
            "said",
            "left",
            "right",
            "cell",
            "12",
            "pre #code()",
            "indented",
            "linebroken",
            "<b>no tag</b> & <",
            "a chart",
            "the note",
        ),
    ):
        assert squeezed(part) in text, part
    assert [url for url in links_of(content) if "e.example" in url] == [
        "https://e.example/?a=1&b=2",
        "https://e.example/c.png",
    ]
    tags = [tag for tag, _ in tags_of(content)]
    for tag in (
        "/P",
        "/L",
        "/LI",
        "/BlockQuote",
        "/Table",
        "/TH",
        "/TD",
        "/Code",
        "/Link",
        "/H1",
        "/H2",
        "/H3",
        "/H4",
        "/Strong",
        "/Em",
    ):
        assert tag in tags, (tag, set(tags))


def test_a_source_is_named_where_the_text_has_no_link_to_it() -> None:
    apart = on_paper(telling("Nothing.", link="https://www.example.org/a"))
    assert squeezed("Source: example.org") in text_of(apart)
    assert "https://www.example.org/a" in links_of(apart)
    linked = on_paper(telling("[x](https://www.example.org/a)", link="https://www.example.org/a"))
    assert "Source:" not in text_of(linked)


def test_it_is_for_nobody_in_particular() -> None:
    content = on_paper(odd_without_emoji())
    text = text_of(content)
    assert squeezed("For you &") in text
    assert squeezed("“Quoted” for R&D <you>,") in text
    assert "Nowhere." in text
    assert "Onlyin" not in text
    assert "mergefield" not in text
    assert all(url.startswith(("https://", "http://", "mailto:", "tel:")) for url in links_of(content))


def odd_without_emoji() -> Edition:
    """The odd issue of the other renditions, without what only fonts for emoji and Thai have, its picture the sample's."""
    edition = odd()
    first, second, *_ = edition.stories
    assert first.picture is not None
    assert second.picture is not None
    plain = "".join(letter for letter in second.body if ord(letter) < 0x0E00)
    shown = dataclasses.replace(second.picture, file=first.picture.file)
    changed = dataclasses.replace(second, body=plain, picture=shown)
    return dataclasses.replace(edition, stories=(first, changed, *edition.stories[2:]))


# What it is for machines


def test_the_same_issue_is_the_same_bytes() -> None:
    assert on_paper(sample()) == SAMPLE


def test_what_the_template_reads_is_what_it_read_before(request: pytest.FixtureRequest) -> None:
    """The PDF's own bytes change with every release of typst; what it is made from doesn't."""
    for name, edition in (("sample", sample()), ("odd", odd_without_emoji())):
        readied, html = pdf.for_nobody(edition)
        shown = {story.position: f"pictures/{story.position}.png" for story in edition.stories if story.picture}
        told = json.dumps(pdf._told(readied, html, shown), ensure_ascii=False, indent=1) + "\n"
        path = GOLDEN / f"{name}-pdf.json"
        if request.config.getoption("renew_golden"):
            path.write_text(told, "utf-8")
        assert told == path.read_text("utf-8"), f"{path.name} differs: look at it, then --renew-golden"


def test_title_author_number_language_and_date_are_in_the_metadata() -> None:
    with pikepdf.open(io.BytesIO(SAMPLE)) as document:
        assert document.docinfo["/Title"] == "US-Japan Alliance Digest, Vol 2 No 21"
        assert document.docinfo["/Author"] == "Sasakawa USA"
        assert "Vol 2 No 21" in str(document.docinfo["/Keywords"])
        assert str(document.docinfo["/CreationDate"]).startswith("D:20231114")
        assert str(document.Root["/Lang"]) == "en"
        assert document.Root["/ViewerPreferences"]["/DisplayDocTitle"]
        with document.open_metadata() as metadata:
            assert metadata["dc:title"] == "US-Japan Alliance Digest, Vol 2 No 21"
            assert metadata["pdfuaid:part"] == "1"
            assert metadata["xmp:CreateDate"].startswith("2023-11-14")


@pytest.mark.parametrize(
    ("tag", "language"),
    [("en-GB", "en-GB"), ("zh-Hant", "zh-TW"), ("pt_BR", "pt-BR"), ("klingon", "und"), ("", "und")],
)
def test_a_language_tag_is_said_as_pdf_readers_know_it(tag: str, language: str) -> None:
    with pikepdf.open(
        io.BytesIO(on_paper(dataclasses.replace(telling("x"), publication=sample(language=tag).publication)))
    ) as document:
        assert str(document.Root["/Lang"]) == language


def test_stories_are_bookmarks_under_the_title() -> None:
    with pikepdf.open(io.BytesIO(SAMPLE)) as document, document.open_outline() as outline:
        (title,) = outline.root
        assert title.title == "US-Japan Alliance Digest"
        assert [squeezed(each.title) for each in title.children] == [squeezed(words) for words in words_of(sample())]


def test_it_is_tagged_and_its_picture_has_its_words() -> None:
    tags = tags_of(SAMPLE)
    with pikepdf.open(io.BytesIO(SAMPLE)) as document:
        assert document.Root["/MarkInfo"]["/Marked"]
    assert [tag for tag, _ in tags if re.fullmatch(r"/H\d", tag)] == ["/H1", *["/H2"] * 5]
    (words,) = [words for tag, words in tags if tag == "/Figure"]
    assert words.startswith("A suspension bridge")


def test_a_picture_without_words_is_an_ornament() -> None:
    edition = sample()
    first, *others = edition.stories
    assert first.picture is not None
    bare = dataclasses.replace(first, picture=dataclasses.replace(first.picture, alt=""))
    content = on_paper(dataclasses.replace(edition, stories=(bare, *others)))
    assert "/Figure" not in [tag for tag, _ in tags_of(content)]


def test_headings_within_a_story_skip_no_level() -> None:
    html = "<h4>a</h4><h3>b</h3><h4>c</h4>"
    assert [block["level"] for block in pdf_blocks.blocks(html)] == [3, 3, 4]


# Scripts


def test_japanese_and_arabic_are_set_with_the_fonts_of_the_machine() -> None:
    edition = telling("日本語の本文。 وهذا نص عربي 123.", headline="統合司令部をめぐる協議")
    try:
        content = on_paper(edition)
    except FontMistake:
        pytest.skip("this machine has no fonts for Japanese and Arabic; Debian: fonts-noto-cjk, fonts-noto-core")
    for part in ("日本語の本文", "نص عربي", "統合司令部をめぐる協議"):
        assert squeezed(part) in text_of(content)
    with pikepdf.open(io.BytesIO(content)) as document:
        fonts = {str(font["/BaseFont"]) for page in document.pages for font in page["/Resources"]["/Font"].values()}
    assert len(fonts) >= 3


def test_right_to_left_the_rail_is_on_the_right() -> None:
    ltr, rtl = (
        [
            left
            for letter, left, _ in boxes_of(on_paper(telling("x" * 30, section="QQ", edition=sample(direction=way))))
            if letter in "Qq"
        ]
        for way in ("ltr", "rtl")
    )
    assert max(ltr) + 200 < min(rtl)


def test_a_letter_that_no_font_has_is_named_with_its_story_and_what_to_do() -> None:
    with pytest.raises(FontMistake) as caught:
        on_paper(second_story("A \u0378."))
    words = str(caught.value)
    assert "U+0378" in words
    assert 'in story 2, "Blinken in Tokyo' in words
    assert "fonts in config.toml" in words
    assert [(one.text, one.story) for one in caught.value.letters] == [("\u0378", 2)]


def test_a_sign_on_a_letter_that_no_font_has_is_named_and_not_the_letter() -> None:
    for sign in SIGNS:
        with contextlib.suppress(FontMistake):
            on_paper(second_story(f"A sign x{sign}."))
            continue
        with pytest.raises(FontMistake, match=f"U\\+{ord(sign):04X} {unicodedata.name(sign)}") as caught:
            on_paper(second_story(f"A \u0378 and a sign x{sign}."))
        assert [(one.text, one.story) for one in caught.value.letters] == [("\u0378", 2), (sign, 2)]
        return
    pytest.skip("this machine has fonts with all of these signs")


SIGNS = "\u20e3\u1ace\u1dfa\U0001e2ae\U00010f82"
"""Signs that stand on a letter: a keycap, and some that came to Unicode late; a machine with many fonts may have some."""


def second_story(body: str) -> Edition:
    """The first two stories of the sample, the second with another text."""
    first, second, *_ = sample().stories
    return dataclasses.replace(sample(), stories=(first, dataclasses.replace(second, body=body)))


EMOJI = {
    "A 🎌, and": "A, and",
    "🎌 first": "first",
    "in 🎌 between": "in between",
    "x🎌y": "xy",
    "two 🎌🎌 of them": "two of them",
    "👩\u200d👩\u200d👧 and 👍🏽.": "and.",
    "🇯🇵 3%, 🇺🇸 4%": "JP 3%, US 4%",
    "1\ufe0f\u20e3 and #\u20e3": "1 and #",
    "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f Wales": "Wales",
    "1 and # and ✓": "1 and # and ✓",
    "a \u0378": "a \u0378",
}


@pytest.mark.parametrize("text", EMOJI)
def test_an_emoji_that_no_font_has_is_left_out_a_flag_is_its_letters_and_a_keycap_its_sign(text: str) -> None:
    emoji = Emoji(letter for letter in text if not letter.isascii() or letter in "1#")
    edition, html = emoji.without(telling("x", headline=text), {1: f"<p>{text}</p>"})
    assert edition.stories[0].headline == EMOJI[text]
    assert html[1].replace("<p> ", "<p>") == f"<p>{EMOJI[text]}</p>"
    assert bool(emoji.found) is (text != EMOJI[text])


def test_an_emoji_that_a_font_has_stays() -> None:
    emoji = Emoji(["🎌"])
    _, html = emoji.without(telling("x"), {1: "<p>👍🏽 and 🎌</p>"})
    assert html[1] == "<p>👍🏽 and</p>"
    assert emoji.found == ("🎌",)


def test_an_issue_is_not_held_for_an_emoji_and_preflight_warns_of_it(lite_folder: Folder) -> None:
    (lite_folder.path / "templates").symlink_to(TEMPLATES)
    with lite_folder.session() as session:
        issue = issue_with(session, {}, {"headline": NO_EMOJI * 2, "body": f"Go {NO_EMOJI} go, 🇯🇵."})
        paper = render_issue(session, lite_folder, *lite_folder.publication(), issue, NOW)[RenditionKind.pdf].content
        looked = preflight.look(session, lite_folder, issue, NOW)
    # A machine with emoji has flags, but not what isn't one yet.
    lacking = pdf.left_out(paper)
    assert lacking in ((NO_EMOJI,), (NO_EMOJI, "🇯🇵"))
    assert ("Gogo,JP." if "🇯🇵" in lacking else "Gogo,") in text_of(paper)
    (finding,) = (each for each in looked if each.rule in ("pdf-emoji", "no-pdf"))
    assert (finding.rule, finding.level, finding.story) == ("pdf-emoji", Level.warning, 2)
    assert f"no font here has {', '.join(lacking)}" in finding.sentence


NO_EMOJI = "\U0001faff"
"""Among the emoji, but none yet."""


def test_a_letter_that_no_font_has_outside_the_stories_is_said_to_be_there() -> None:
    with pytest.raises(FontMistake, match="U\\+0378.* outside the stories"):
        on_paper(sample(standfirst="\u0378"))


def test_a_font_of_the_folder_in_config_is_used_and_named_first(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    (tmp_path / "typefaces").mkdir()
    source = next(
        (
            path
            for place in ("/usr/share/fonts", "/Library/Fonts")
            for path in Path(place).rglob("NotoNaskhArabic-Regular.ttf")
        ),
        None,
    )
    if source is None:
        pytest.skip("this test copies Noto Naskh Arabic; Debian: fonts-noto-core")
    shutil.copy(source, tmp_path / "typefaces")
    content = on_paper(telling("نص عربي"), a_folder(tmp_path, "typefaces"))
    assert b"NotoNaskhArabic" in content


def test_a_folder_of_fonts_that_is_not_there_is_a_mistake_in_config(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    with pytest.raises(ConfigMistake, match=r"config.toml: fonts: there is no folder .*typefaces"):
        on_paper(telling("x"), a_folder(tmp_path, "typefaces"))


@pytest.mark.parametrize(
    "letter", ["\ufeff", "\u2028", "\u00ad", "\u202e", "\u200d", "\ufe0f", "\u2060", "\x85", "\ufffe"]
)
def test_letters_that_nobody_sees_do_no_harm(letter: str) -> None:
    content = on_paper(telling(f"before{letter}after", headline=f"a{letter}b"))
    assert "before" in text_of(content)


# What stories can't do

HOSTILE = st.sampled_from(
    [
        '#panic("x")',
        '#read("/etc/passwd")',
        '#image("/etc/passwd")',
        '#include "x.typ"',
        '#import "@preview/a:1.0.0"',
        '#eval("1+1")',
        "#sys.inputs",
        "#set page(width: 1pt)",
        "#show: none",
        "$ x^2 $",
        "\\",
        "`",
        "```typst\n#panic()\n```",
        "<label>",
        "@ref",
        "//",
        "/*",
        "*/",
        "= h",
        "+ e",
        "/ t: d",
        "~",
        "---",
        "#{",
        "}",
        "[",
        "]",
        '"',
        "'",
        "#",
        "@",
        "$",
        "https://e.example/#panic()",
        "\u202e",
        "\u2066",
        '{"kind": "link"}',
        "\\u{1F600}",
        "%",
        "&",
        "&#35;panic()",
    ]
)
DISPLAYED = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F, exclude_categories=("Cc",)), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(HOSTILE | DISPLAYED, max_size=8).map("".join),
    st.lists(HOSTILE | DISPLAYED, min_size=1, max_size=4).map("".join),
)
def test_no_story_is_ever_read_as_typst(body: str, line: str) -> None:
    edition = telling(body, headline=line, section=line[:40], author=line)
    edition = dataclasses.replace(
        edition,
        publication=sample(title=f"T{line}", publisher=f"P{line}", standfirst=line, compiled_by=line).publication,
    )
    content = on_paper(edition)
    readied, _ = pdf.for_nobody(edition)
    shown = text_of(content)
    assert "root:" not in shown
    # What such signs turn round, pdfium tells in another order than it is shown.
    if "\u202e" not in body + line and "\u2066" not in body + line:
        assert squeezed(readied.stories[0].headline).lower() in shown.lower()
        for word in re.findall(r"panic|read|eval|include", body):
            assert word in shown
        # Whatever stood in the stories, what is around them is as it was.
        assert "November14,2023" in shown
        assert "SasakawaUSA,100ExampleStreet" in shown


def test_a_sign_that_turns_letters_round_turns_its_own_line_and_no_other() -> None:
    edition = dataclasses.replace(
        telling("x"),
        publication=sample(
            compiled_by="By \u202eabc", publisher="Q", postal_address="Q, Example Street, Z"
        ).publication,
    )
    boxes = boxes_of(on_paper(edition))
    ends = [max(left for letter, left, _ in boxes if letter == each) for each in "QZ"]
    assert ends[0] + 50 < ends[1]


@settings(max_examples=200, deadline=None)
@given(st.lists(BREAKING | st.text(max_size=12), max_size=14).map("".join))
def test_blocks_have_every_letter_of_the_html_and_are_only_data(body: str) -> None:
    _, html = pdf.for_nobody(telling(body))
    made = pdf_blocks.blocks(html[1])
    assert json.loads(json.dumps(made)) == made
    told = squeezed("".join(strings(made)))
    assert sorted(squeezed(pdf_blocks.words(html_text(html[1])))) == sorted(told)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name == "text":
                yield part
            elif name not in ("kind", "url", "styles", "sides", "start", "level"):
                yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def html_text(html: str) -> str:
    from html.parser import HTMLParser

    class Letters(HTMLParser):
        text = ""

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Letters()
    reader.feed(html)
    reader.close()
    return reader.text


# What templates can't do


WHOLE = """
#import "/newsletter.typ": *
#heading(level: 1, publication.title)
#for story in edition.stories {
  heading(level: 2, upper(story.headline))
  if story.picture != none { picture(story, width: 10mm); story.picture.credit }
  body(story)
  if story.source != "" { link(story.link, story.source) }
}
"""
"""What a design has to have in some way."""


def designed(tmp_path: Path, source: str, whole: str = WHOLE) -> Folder:
    """A folder whose design is this issue.typ with all stories under it, and the sample's other files."""
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    (tmp_path / "templates" / "digest" / "issue.typ").write_text(source + whole, "utf-8")
    return a_folder(tmp_path)


def test_a_mistake_in_a_template_is_named_with_its_file_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(TemplateMistake, match=r"digest/issue\.typ, line 2, column 2: unknown variable: nothing\."):
        on_paper(sample(), designed(tmp_path, "a\n#nothing"))


def test_a_picture_in_a_template_needs_words_for_those_who_do_not_see_it(tmp_path: Path) -> None:
    folder = designed(tmp_path, '#image("logo.png")')
    Image.new("RGB", (4, 4)).save(tmp_path / "templates" / "digest" / "logo.png")
    with pytest.raises(TemplateMistake, match=r"issue\.typ, line 1.* missing alt text.* Make sure your images"):
        on_paper(sample(), folder)
    (tmp_path / "templates" / "digest" / "issue.typ").write_text('#image("logo.png", alt: "Logo")' + WHOLE, "utf-8")
    assert ("/Figure", "Logo") in tags_of(on_paper(sample(), folder))


def test_a_design_without_issue_typ_is_told_what_it_needs(tmp_path: Path) -> None:
    folder = designed(tmp_path, "")
    (tmp_path / "templates" / "digest" / "issue.typ").unlink()
    with pytest.raises(TemplateMistake, match=r"issue\.typ: there is no such file\. The design needs it for the PDF\."):
        on_paper(sample(), folder)


@pytest.mark.parametrize(
    "source",
    ["#let x = 0\n#while x < 1 { x = x - 1 }", "#let f(n) = { for i in range(1000) { f(n + 1) } }\n#f(0)"],
    ids=["for ever", "for long"],
)
def test_a_template_that_goes_on_for_ever_is_ended_with_a_sentence(source: str) -> None:
    made = pressed(b_main(source), timestamp=0, seconds=1)
    assert isinstance(made, Wrong)
    assert re.search("isn't done after 1 second|infinite|maximum function call depth", made.what)


def test_a_document_without_end_is_ended_too() -> None:
    """typst sets pages for as long as there are any: a document without end is text without end."""
    made = pressed(
        b_main("#let page-of(n) = lorem(2000)\n#for n in range(100000) { page-of(n) }"), timestamp=0, seconds=2
    )
    assert isinstance(made, Wrong)
    assert "2 seconds" in made.what or "memory" in made.what


def b_main(source: str) -> dict[str, bytes]:
    return {"main.typ": source.encode()}


@pytest.mark.parametrize(
    "source", ['#let s = "a" * 4000000000', "#let a = range(2000000000)", "#let a = (0,) * 500000000"]
)
def test_a_template_that_eats_memory_is_ended_with_a_sentence(source: str) -> None:
    made = pressed(b_main(source), timestamp=0)
    assert isinstance(made, Wrong)
    assert made.what == "it needs more than 2 GB of memory"


def test_a_template_reads_its_design_and_nothing_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('"word"', "utf-8")
    for source in (
        '#json("../../secret.json")',
        f'#json("{secret}")',
        '#read("/../../../etc/passwd")',
        '#json("link.json")',
    ):
        place = tmp_path / f"n{abs(hash(source))}"
        folder = designed(place, source)
        (place / "templates" / "digest" / "link.json").symlink_to(secret)
        with pytest.raises(TemplateMistake, match=r"issue\.typ, line 1"):
            on_paper(sample(), folder)
    folder = designed(tmp_path / "own", '#json("own.json")')
    (tmp_path / "own" / "templates" / "digest" / "own.json").write_text('"ours"', "utf-8")
    assert "ours" in text_of(on_paper(sample(), folder))


def test_no_package_is_fetched_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked: list[bytes] = []

        def answer() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(200))

        thread = threading.Thread(target=answer)
        thread.start()
        # A proxy of this machine's would be the way to the network.
        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        made = pressed(b_main('#import "@preview/cetz:0.3.1"'), timestamp=0)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert isinstance(made, Wrong)
    assert "package" in made.what
    assert asked == []


def test_no_setting_of_python_in_the_environment_reaches_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "typst.py").write_text("raise SystemExit('taken over')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert isinstance(pressed(b_main("#set document(title: [x])\nx"), timestamp=0), bytes)


# Bad input


WORDS = "The committee met in Hawaii on Tuesday and spoke of energy, aid and the sea. "


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ((WORDS * 8 + "\n\n") * 320, "oftheseaend"),
        ("Yes", "Yes"),
        ("", "Economy"),
        ("|a|b|\n|-|-:|\n|one|two|", "onetwo"),
        ("|a|b|\n|-|-:|", "ab"),
        (
            "|"
            + "|".join(f"Ministry{n}" for n in range(12))
            + "|\n|"
            + "-|" * 12
            + "\n|"
            + "|".join(f"value{n}" for n in range(12))
            + "|",
            "Ministry11: value11",
        ),
        ("\n".join("  " * n + f"- level {n}" for n in range(10)), "level 9"),
        ("\n".join("  " * n + f"- level {n}" for n in range(45)), "level 44"),
        (">" * 60 + " deep", "deep"),
        ("*_" * 60 + "x" + "_*" * 60, "x"),
        ("1000000000. far\n2. on", "far"),
        ("[" + "x" * 40 + "](https://e.example/" + "a" * 9000 + ")", "x" * 40),
        ("y" * 1500, "y" * 1500),
        ("Left وهذا right.", "right."),
    ],
    ids=[
        "200 KB",
        "one word",
        "nothing",
        "only a table",
        "only its head",
        "a wide table",
        "ten deep",
        "45 deep",
        "quotes",
        "emphasis",
        "a large number",
        "a long link",
        "a long word",
        "both ways",
    ],
)
def test_a_story_of_any_shape_is_set_whole(body: str, told: str) -> None:
    if told == "oftheseaend":
        body, told = body + "The end", "The end"
        assert len(body) > 195_000
    assert squeezed(told).lower() in text_of(on_paper(telling(body))).lower()


def test_nothing_runs_off_the_page() -> None:
    long = telling(
        "y" * 300 + " https://e.example/" + "a/" * 200, headline="W" * 300, section="S" * 60, author="A" * 200
    )
    tables = telling(
        "|"
        + "|".join(f"Minister{n}" for n in range(8))
        + "|\n|"
        + "-|" * 8
        + "\n|"
        + "|".join("value" * 3 for n in range(8))
        + "|"
    )
    for edition in (long, tables):
        boxes = boxes_of(on_paper(edition))
        assert min(left for _, left, _ in boxes) > 56
        assert max(right for _, _, right in boxes) < 612 - 56


def test_a_rule_between_two_paragraphs_has_air_on_both_sides() -> None:
    def apart(body: str) -> float:
        page = pypdfium2.PdfDocument(on_paper(telling(body)))[0].get_textpage()
        text = page.get_text_range()
        return float(page.get_charbox(text.index("Above"))[1] - page.get_charbox(text.index("Below"))[3])

    assert apart("Above.\n\n---\n\nBelow.") > apart("Above.\n\nBelow.") + 10


def test_a_headline_of_300_characters_is_set_whole() -> None:
    headline = "A headline that goes on " * 12 + "and then ends"
    assert squeezed(headline) in text_of(on_paper(telling("x", headline=headline)))


def shown_as(content: bytes, tmp_path: Path, name: str) -> Edition:
    edition = sample()
    first, *others = edition.stories
    assert first.picture is not None
    file = tmp_path / name
    file.write_bytes(content)
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    picture = dataclasses.replace(first.picture, file=file, real_width=width, real_height=height)
    return dataclasses.replace(edition, stories=(dataclasses.replace(first, picture=picture), *others))


def drawn(mode: str, size: tuple[int, int], kind: str, **more: Any) -> bytes:
    made = io.BytesIO()
    Image.new(mode, size).save(made, kind, **more)
    return made.getvalue()


ANIMATED = {"save_all": True, "append_images": [Image.new("P", (40, 30), 1)], "duration": 50}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (drawn("CMYK", (800, 400), "JPEG"), "cmyk.jpg"),
        (drawn("P", (40, 30), "GIF", **ANIMATED), "animated.gif"),
        (drawn("RGBA", (300, 300), "PNG"), "clear.png"),
        (drawn("I;16", (300, 300), "PNG"), "deep.png"),
        (drawn("RGB", (300, 300), "WEBP"), "web.webp"),
        (drawn("RGB", (640, 320), "JPEG"), "wrong.png"),
        (drawn("L", (1, 1), "PNG"), "dot.png"),
        (drawn("RGB", (1, 10_000), "PNG"), "thread.png"),
        (drawn("RGB", (10_000, 1), "PNG"), "line.png"),
        (drawn("RGB", (600, 1200), "PNG"), "tall.png"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_picture_of_any_kind_is_shown_or_refused_in_a_sentence(content: bytes, name: str, tmp_path: Path) -> None:
    edition = shown_as(content, tmp_path, name)
    made = on_paper(edition)
    assert [words for tag, words in tags_of(made) if tag == "/Figure"]
    with pikepdf.open(io.BytesIO(made)) as document:
        images = [image for page in document.pages for image in page.get_images().values()]
        assert images
        assert all(str(image.get("/ColorSpace")) != "/DeviceCMYK" for image in images)
    assert pdf.pages(made) <= 3


@pytest.mark.parametrize("content", [b"", b"<svg onload='x'/>", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_in_the_store_that_is_no_picture_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    edition = shown_as(drawn("L", (1, 1), "PNG"), tmp_path, "x.png")
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(PictureMistake, match=re.escape(str(tmp_path / "x.png"))):
        on_paper(edition)


def test_a_picture_that_is_gone_from_the_store_is_named_with_its_story(tmp_path: Path) -> None:
    edition = shown_as(drawn("L", (1, 1), "PNG"), tmp_path, "x.png")
    (tmp_path / "x.png").unlink()
    with pytest.raises(PictureMistake, match='the picture of story 1, "Toyota.*is gone from the store'):
        on_paper(edition)


# The same as the others have


def two(**second: object) -> Edition:
    """An issue of two stories, the second with a picture and a source that its text doesn't link to."""
    first, *_ = sample().stories
    other = {
        "position": 2,
        "headline": "Der große Streit um „STRASSEN“",
        "body": "The second text.",
        "source": "e.example",
    }
    return dataclasses.replace(
        sample(),
        stories=(
            dataclasses.replace(first, picture=None, body="The first text."),
            dataclasses.replace(first, **{**other, "link": "https://e.example/x", **second}),  # type: ignore[arg-type]
        ),
    )


HEADED = "heading(level: 2, upper(story.headline))"
LEFT_OUT = [
    (HEADED, "", "lacks the headline of story 1."),
    (HEADED, "heading(level: 2, edition.stories.first().headline)", "lacks the headline of story 2."),
    ("body(story)", "", "lacks the text of story 1."),
    ("body(story)", "if story.position == 1 { body(story) }", "lacks the text of story 2."),
    ("body(story)", "body(story); body(story)", "has a story twice, or out of order"),
    ("link(story.link, story.source)", "", "lacks the source of story 1."),
    ("; story.picture.credit", "", "lacks the picture's credit of story 2."),
]


@pytest.mark.parametrize(("part", "instead", "told"), LEFT_OUT, ids=[told for _, _, told in LEFT_OUT])
def test_a_design_whose_pdf_lacks_something_of_a_story_is_a_mistake_unless_that_is_meant(
    tmp_path: Path, part: str, instead: str, told: str
) -> None:
    edition, folder = two(), designed(tmp_path, "", WHOLE.replace(part, instead))
    with pytest.raises(TemplateMistake, match=f"issue.typ: the PDF can't be made: this design's PDF {told}") as caught:
        on_paper(edition, folder)
    assert caught.value.remedy is not None
    assert re.fullmatch(r"Put \S.* in.*, or switch renditions-differ off with the reason\.", caught.value.remedy)
    meant = msgspec.structs.replace(
        edition.publication, preflight={"renditions-differ": "paper is for headlines alone"}
    )
    assert pdf.pages(on_paper(dataclasses.replace(edition, publication=meant), folder)) == 1


def test_stories_in_another_order_on_paper_are_a_mistake(tmp_path: Path) -> None:
    folder = designed(tmp_path, "", WHOLE.replace("in edition.stories", "in edition.stories.rev()"))
    with pytest.raises(TemplateMistake, match="has a story twice, or out of order"):
        on_paper(two(), folder)


def test_a_headline_may_be_set_in_any_way_and_a_picture_left_out(tmp_path: Path) -> None:
    for number, way in enumerate(
        (
            "heading(level: 2)[#str(story.position). #emph(smallcaps(lower(story.headline)))]",
            "layout(size => block(heading(level: 2, box(text(12pt, strong(story.headline))))))",
            "heading(level: 2, link(story.link, story.headline))",
        )
    ):
        whole = WHOLE.replace(HEADED, way)
        whole = whole.replace("{ picture(story, width: 10mm); story.picture.credit }", "{ }")
        assert pdf.pages(on_paper(two(), designed(tmp_path / str(number), "", whole))) == 1


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(
    ("language", "direction", "headline"),
    [
        ("ja", "ltr", "日米外相、東京で会談――「G7」の後に"),
        ("ar", "rtl", "الوزيران في طوكيو: \u200f2023 عامُ الطاقة"),
        ("de", "ltr", "Fuß, Straße & „Maß“ – [[name]]"),
        ("en", "ltr", "[[name]]"),
        ("tr", "ltr", "İIıi: https://e.example/a/very/long/address/that/is/parted/somewhere 👍"),
        ("en", "ltr", "The second text."),
    ],
)
def test_no_design_of_ours_leaves_anything_out_of_its_pdf(
    design: str, language: str, direction: str, headline: str
) -> None:
    edition = two(headline=headline)
    publication = msgspec.structs.replace(
        edition.publication, design=design, language=language, direction=direction, title=headline
    )
    assert pdf.pages(on_paper(dataclasses.replace(edition, publication=publication))) == 1


# In an issue's life


def assembled(session: Session, folder: Folder, **story: object) -> Issue:
    kept = pictures.store(session, folder.pictures, ROOT / "sample" / "stories" / "lead.png", NOW)
    shown = {"picture_sha256": kept.sha256, "picture_alt": "Hills", "picture_credit": "Drawn here"}
    return issue_with(session, {**shown, **story}, {"body": "Dear [[first_name|reader]]."})


def test_the_pdf_is_made_once_with_the_others_which_say_how_long_it_is(
    session: Session, folder: Folder, tmp_path: Path
) -> None:
    (tmp_path / "templates").symlink_to(TEMPLATES)
    issue = assembled(session, folder)
    assert dispatch.render(session, folder, issue, NOW)
    kept = {row.kind: row for row in session.scalars(select(Rendition))}
    assert set(kept) == set(RenditionKind)
    content = kept[RenditionKind.pdf].content
    size = f"1 page, {round(len(content) / 1000)} KB"
    url = "https://digest.example.org/digest/2/21.pdf"
    html, text, page = (kept[kind].content.decode() for kind in (HTML, TEXT, PAGE))
    assert f'href="{url}"' in html
    assert size in html
    assert f'<a href="{url}">PDF, {size}</a>' in page
    assert f"PDF          {url}\n" in text
    (tmp_path / "templates").unlink()
    assert dispatch.render(session, folder, issue, NOW)


def test_an_issue_from_before_there_were_pdfs_gets_one_and_its_mail_stays_as_it_was(
    session: Session, folder: Folder, tmp_path: Path
) -> None:
    (tmp_path / "templates").symlink_to(TEMPLATES)
    issue = assembled(session, folder)
    before = render_issue(session, folder, *folder.publication(), issue, NOW, on_paper=False)
    assert RenditionKind.pdf not in before
    assert "Download the PDF" not in before[HTML].content.decode()
    after = render_issue(session, folder, *folder.publication(), issue, NOW)
    assert after[RenditionKind.pdf].content.startswith(b"%PDF-")
    assert {kind: after[kind].content for kind in before} == {kind: row.content for kind, row in before.items()}


def test_an_issue_whose_pdf_can_not_be_made_is_held_and_nothing_of_it_is_kept(
    session: Session, folder: Folder, tmp_path: Path
) -> None:
    (tmp_path / "templates").symlink_to(TEMPLATES)
    issue = assembled(session, folder, body="No font has \u0378.")
    assert not dispatch.render(session, folder, issue, NOW)
    assert issue.state is IssueState.held
    assert "U+0378" in issue.why
    assert session.scalars(select(Rendition)).all() == []


def test_a_preview_has_the_pdf_and_where_there_is_none_the_others_and_the_reason(
    lite_folder: Folder, tmp_path: Path
) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    with lite_folder.session() as session:
        assembled(session, lite_folder)
    made = preview.preview(lite_folder, "digest", "2.21", NOW)
    assert made.no_pdf is None
    files = preview.write(lite_folder, made, tmp_path / "look")
    assert (tmp_path / "look" / "issue.pdf") in files
    assert (tmp_path / "look" / "issue.pdf").read_bytes() == made.pdf
    (tmp_path / "templates" / "digest" / "issue.typ").write_text("#nothing")
    without = preview.preview(lite_folder, "digest", "2.21", NOW)
    assert without.pdf is None
    assert "issue.typ, line 1, column 2" in str(without.no_pdf)
    assert "Hills" in without.html
    assert "Download the PDF" not in without.html
    assert (tmp_path / "look" / "issue.pdf") not in preview.write(lite_folder, without, tmp_path / "look")
    assert not (tmp_path / "look" / "issue.pdf").exists()


def test_an_issue_that_has_gone_has_its_pdf_on_the_web_and_another_has_not(lite_folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(TEMPLATES)
    with lite_folder.session() as session:
        issue = assembled(session, lite_folder)
        assert dispatch.render(session, lite_folder, issue, NOW)
        content = session.get_one(Rendition, (issue.id, RenditionKind.pdf, 1)).content
    browser = web.make(lite_folder, lambda: NOW).test_client()
    assert browser.get("/digest/2/21.pdf").status_code == 404
    with lite_folder.session() as session:
        session.get_one(Issue, 1).state = IssueState.sent
    answer = browser.get("/digest/2/21.pdf")
    assert answer.status_code == 200
    assert answer.data == content
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == 'inline; filename="digest-2.21.pdf"'
    for nothing in ("/digest/2/22.pdf", "/else/2/21.pdf", "/digest/2/x.pdf"):
        assert browser.get(nothing).status_code == 404


@pytest.mark.parametrize("pages", [1, 2])
def test_mail_and_page_point_to_the_pdf_in_well_formed_html(pages: int) -> None:
    edition = dataclasses.replace(sample(), pdf=PdfView(sample().pdf_url, pages, 71_400))
    made = render(edition, TEMPLATES)
    for kind in (HTML, PAGE):
        tree = Tree(re.sub(r"\x02[^\x03]*\x03", "x", made[kind]))
        assert [a["href"] for tag, a in tree.tags if tag == "a" and str(a.get("href")).endswith(".pdf")] == [
            edition.pdf_url
        ]
        assert f"{pages} page{'s' if pages > 1 else ''}, 71 KB" in made[kind]


def test_a_size_is_said_in_kilobytes_and_from_a_million_in_megabytes() -> None:
    assert [PdfView("", 1, size).size for size in (10, 71_400, 999_400, 999_600, 1_250_000)] == [
        *("1 KB", "71 KB", "999 KB", "1.0 MB", "1.2 MB"),
    ]


def test_paper_of_another_size_is_a_mistake_in_config(tmp_path: Path) -> None:
    text = (ROOT / "config.toml").read_text("utf-8").replace('language = "en"', 'language = "en"\npaper = "a5"')
    with pytest.raises(ConfigMistake, match="paper"):
        config.decode(text, tmp_path / "config.toml")


def test_a_headline_of_only_a_field_that_nobody_has_is_not_an_empty_bookmark() -> None:
    content = on_paper(telling("# [[name]]\n\nText.", headline="[[name]]"))
    assert "…" in text_of(content) or "..." in text_of(content)
