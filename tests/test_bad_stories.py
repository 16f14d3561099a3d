"""Bad input: what can't be an issue is told with its place and remedy; all else is whole in every rendition."""

from __future__ import annotations

import io
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from bad_stories import HEAVY, REFUSED, RENDERED, Bad, edition, squeezed
from conftest import NOW
from edition_sample import TEMPLATES, telling
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from PIL import Image
from playwright.sync_api import Browser
from test_render_edition import issue_with
from test_render_issue import Tree
from test_render_pdf import a_folder, on_paper

from newsletter import pictures, preview, story_file
from newsletter.errors import DraftMistake, FieldMistake, Mistake, PictureMistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.render import pdf, render
from newsletter.render.text import columns
from newsletter.render.typography import typeset
from newsletter.states import RenditionKind

HTML, TEXT, PAGE, ENTRY, PDF = (
    RenditionKind.html,
    RenditionKind.text,
    RenditionKind.page,
    RenditionKind.entry,
    RenditionKind.pdf,
)
KINDS = (HTML, TEXT, PAGE, ENTRY, PDF)


# What is refused as it is queued


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_can_not_be_a_story_is_refused_with_the_line_and_what_to_do(name: str) -> None:
    raw, line, words = REFUSED[name]
    with pytest.raises(DraftMistake, match=words) as caught:
        story_file.read(raw, {"digest": ("Economy",)}, where="story.md", publication="digest")
    assert caught.value.where == "story.md"
    if line is not None:
        assert caught.value.line == line


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *more: bytes) -> bytes:
    """The file of a picture that says it is this large."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(b"\0" * 400)) + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


NOT_PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "1 × 10,000 pixels": (lambda: saved(Image.new("RGB", (1, 10_000)), "PNG"), "1 × 10,000 pixels.* Crop it"),
    "10,000 × 1 pixels": (lambda: saved(Image.new("RGB", (10_000, 1)), "PNG"), "10,000 × 1 pixels.* Crop it"),
    "an SVG with a script": (
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "an SVG.* Export it as PNG",
    ),
    "a bomb that says it is large": (lambda: png(30_000, 30_000), "far too many pixels.* Export it 1280 pixels wide"),
    "a bomb in its remarks": (
        lambda: png(10, 10, chunk(b"zTXt", b"x\0\0" + zlib.compress(b"\0" * 80_000_000))),
        "damaged.* save it anew",
    ),
    "a photograph that is cut off": (
        lambda: saved(Image.effect_noise((400, 300), 60).convert("RGB"), "JPEG")[:9000],
        "damaged or cut off.* save it anew",
    ),
    "a page of HTML": (lambda: b"<!doctype html><html><body>404</body></html>", "not a picture"),
    "nothing": (lambda: b"", "this file is empty"),
    "instrument data": (lambda: saved(Image.new("F", (30, 20), 0.5), "TIFF"), "Export it as an ordinary PNG"),
}


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_a_file_that_can_not_be_a_picture_is_refused_with_its_name_and_what_to_do(name: str) -> None:
    made, words = NOT_PICTURES[name]
    with pytest.raises(PictureMistake, match=words) as caught:
        pictures.prepare(made(), where="shown.png")
    assert caught.value.where == "shown.png"


# What is rendered


class Rendered:
    """The renditions of an issue of bad stories, and their text in the order of reading."""

    def __init__(self, stories: dict[str, Bad]) -> None:
        self.stories = stories
        this = edition(stories)
        self.raw = render(this, TEMPLATES)
        self.paper = on_paper(this)
        self.text = {kind: squeezed(_text(kind, raw)) for kind, raw in self.raw.items()}
        pages = (page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(self.paper))
        self.text[PDF] = re.sub(
            rf"{squeezed('US-JapanAllianceDigestVol2')}·No21,November14,2023|SasakawaUSA\d+of\d+",
            "",
            "".join(map(squeezed, pages)),
            flags=re.IGNORECASE,
        )

    def story(self, name: str, kind: RenditionKind) -> str:
        """What a rendition has of a story: from its beginning up to that of the next."""
        at = list(self.stories).index(name) + 1
        text = self.text[kind]
        begins = text.index(f"Begin{at}x.")
        ends = text.find(f"Begin{at + 1}x.", begins)
        return text[begins : ends if ends >= 0 else len(text)]


def _text(kind: RenditionKind, raw: str) -> str:
    raw = re.sub("\x02[^\x03]*\x03", "", raw)
    if kind is TEXT:
        return raw
    tree = lxml_html.document_fromstring(raw)
    for each in tree.xpath("//script | //style"):
        each.drop_tree()
    return str(tree.text_content())


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return Rendered(RENDERED)


@pytest.fixture(scope="module")
def heavy() -> Rendered:
    return Rendered(HEAVY)


def holds(made: Rendered, name: str, bad: Bad, kind: RenditionKind) -> None:
    headline = squeezed(typeset(bad.headline or name, "en"))
    text = made.story(name, kind)
    at = 0
    for part in bad.holds:
        if kind is PDF and part in bad.not_on_paper:
            continue
        found = text.find(squeezed(part), at)
        assert found >= 0, f"{part!r} is missing, or out of its order"
        at = found + len(squeezed(part))
    assert f"End{list(made.stories).index(name) + 1}x." in text
    for part in bad.lacks:
        assert part not in text
    if kind is not PDF or headline.isascii():
        assert headline in made.text[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.value))
@pytest.mark.parametrize("name", RENDERED)
def test_a_bad_story_is_whole_in_every_rendition(rendered: Rendered, name: str, kind: RenditionKind) -> None:
    holds(rendered, name, RENDERED[name], kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.value))
@pytest.mark.parametrize("name", HEAVY)
def test_a_story_without_end_is_whole_in_every_rendition(heavy: Rendered, name: str, kind: RenditionKind) -> None:
    holds(heavy, name, HEAVY[name], kind)


@pytest.mark.parametrize("kind", [HTML, PAGE], ids=lambda kind: str(kind.value))
def test_of_bad_stories_html_is_well_formed_with_nothing_in_it_that_runs(
    rendered: Rendered, kind: RenditionKind
) -> None:
    tree = Tree(re.sub("\x02[^\x03]*\x03", "x", rendered.raw[kind]))
    assert not {tag for tag, _ in tree.tags} & {"iframe", "object", "form", "mj-raw"}
    # What search engines read is data; no browser runs it.
    assert all(attributes["type"] == "application/ld+json" for tag, attributes in tree.tags if tag == "script")
    assert not [name for _, attributes in tree.tags for name in attributes if name.startswith("on")]
    assert not re.search("[\x00\x04-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufdd0\ufffe\U0001fffe]", rendered.raw[kind])


def test_of_bad_stories_the_pdf_is_tagged_and_nothing_of_it_runs_over_the_edge_of_the_paper(rendered: Rendered) -> None:
    with pikepdf.open(io.BytesIO(rendered.paper)) as document:
        assert bool(document.Root["/MarkInfo"]["/Marked"])
        assert "/StructTreeRoot" in document.Root
    for page in pypdfium2.PdfDocument(rendered.paper):
        text = page.get_textpage()
        edge = page.get_width()
        lefts, _, rights, _ = zip(*(text.get_rect(at) for at in range(text.count_rects())), strict=True)
        assert min(lefts) > 0
        assert max(rights) < edge


def test_of_bad_stories_a_line_of_text_has_72_columns_unless_it_can_not_be_broken(rendered: Rendered) -> None:
    for line in re.sub("\x02[^\x03]*\x03", "", rendered.raw[TEXT]).splitlines():
        unbroken = max(map(columns, line.split()), default=0) > 40 or line.lstrip("> ").startswith("line_")
        assert columns(line) <= 72 or unbroken or line.startswith("    "), line


@pytest.mark.parametrize("width", [375, 700])
@pytest.mark.parametrize("kind", [HTML, PAGE], ids=lambda kind: str(kind.value))
def test_bad_stories_are_no_wider_than_the_window(chromium: Browser, kind: RenditionKind, width: int) -> None:
    # On a phone, preflight warns of lists so deep.
    stories = {name: bad for name, bad in RENDERED.items() if width > 375 or name != "lists twelve deep"}
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.set_content(re.sub("\x02[^\x03]*\x03", "", render(edition(stories), TEMPLATES)[kind]))
    wide = page.evaluate(
        "[...document.querySelectorAll('p, li, h2, td, pre')].filter(each => each.getBoundingClientRect().right >"
        " innerWidth + 1 && !each.closest('.text table')).map(each => each.textContent.slice(0, 60))"
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_bad_stories_have_anchors_of_their_own(rendered: Rendered) -> None:
    tree = Tree(rendered.raw[PAGE])
    names = [attributes["id"] for _, attributes in tree.tags if "id" in attributes]
    assert len(names) == len(set(names)) > len(RENDERED)
    links = {str(attributes.get("href")) for tag, attributes in tree.tags if tag == "a"}
    assert {link[1:] for link in links if link.startswith("#")} <= set(names)


@pytest.mark.parametrize(
    ("body", "mistake", "words"),
    [
        ("Dear [[name]], [[if city]]\n\nin [[city]].", FieldMistake, r"\[\[if …\]\] has no \[\[end\]\]"),
        ("Before.\n\n" + "> " * 3000 + "deep", DraftMistake, "line 3: lists or quotations stand within each other"),
    ],
    ids=["a condition without end", "quotations without end"],
)
def test_what_can_not_be_rendered_is_told_with_its_story_and_line(
    body: str, mistake: type[Mistake], words: str
) -> None:
    for make in (lambda this: render(this, TEMPLATES), on_paper):
        with pytest.raises(mistake, match=words) as caught:
            make(telling(body, headline="The one"))
        assert 'story 1, "The one"' in str(caught.value.where)


def test_a_letter_that_no_font_has_keeps_the_issue_off_paper_and_harms_no_other_rendition() -> None:
    this = telling("A letter \u0378 that is none.")
    with pytest.raises(Mistake, match=r"U\+0378 .* in story 1"):
        on_paper(this)
    assert all("A letter \u0378 that is none." in text for text in render(this, TEMPLATES).values())


# Templates that go on for ever


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("issue.mjml", "{% for a in range(999999) %}{% for b in range(999999) %}{% endfor %}{% endfor %}", "turns"),
        ("issue.txt", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "without end"),
        ("page.html", "{% for a in range(900000) %}<p>again</p>{% endfor %}", "2,000,000 characters"),
    ],
)
def test_a_template_that_loops_for_ever_is_named_with_its_file(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    (tmp_path / "templates" / "digest" / name).write_text(text)
    with pytest.raises(TemplateMistake, match=words) as caught:
        render(telling("Text."), tmp_path / "templates")
    assert caught.value.where == str(tmp_path / "templates" / "digest" / name)


def test_a_design_for_paper_that_fails_harms_no_other_rendition(lite_folder: Folder) -> None:
    shutil.copytree(TEMPLATES, lite_folder.templates)
    (lite_folder.templates / "digest" / "issue.typ").write_text("#let again(x) = again(x)\n#again(1)\n")
    with lite_folder.session() as session:
        issue_with(session, {"headline": "One"}, {"headline": "Two"})
    made = preview.preview(lite_folder, "digest", "2.21", NOW)
    assert made.pdf is None
    assert "issue.typ, line 1" in str(made.no_pdf)
    for text in (made.html, made.text, made.page):
        assert text.index("One") < text.rindex("Two")


# Whatever is written


class Story:
    """Markdown that is made up, with a word in each of its places; `words` in the order of reading."""

    def __init__(self, draw: Callable[..., int]) -> None:
        self._draw = draw
        self.words: list[str] = []
        self.notes: list[str] = []
        self.markdown = "\n\n".join(self._block(0) for _ in range(self._upto(4) + 1))
        for number, word in enumerate(self.notes):
            self.markdown += f"\n\n[^n{number}]: {word} in a note"

    def _upto(self, most: int) -> int:
        return self._draw(st.integers(0, most))

    def _word(self) -> str:
        self.words.append(f"w{len(self.words)}q")
        return self.words[-1]

    def _inline(self) -> str:
        made = []
        for _ in range(self._upto(5) + 1):
            word = self._word()
            kind = self._upto(14)
            if kind == 14:
                self.notes.append(f"n{len(self.notes)}q")
                made.append(f"{word}[^n{len(self.notes) - 1}]")
                continue
            forms = ("{}", "*{}*", "**{}**", "~~{}~~", "`{}`", "[{}](https://example.org/{})", '"{}"', "<b>{}</b>")
            forms += (
                "العربية {}",
                "日本語{}",
                "ภาษาไทย {}",
                "![{}](https://example.org/p.png)",
                "{} -- 5 million",
                "[[{}]]",
            )
            made.append(forms[kind].replace("{}", word))
        return " ".join(made)

    def _block(self, depth: int) -> str:
        kind = self._upto(7 if depth == 0 else 5 if depth < 4 else 1)
        if kind in (2, 3):
            mark = "- " if kind == 2 else "1. "
            items = [self._within(depth).replace("\n", "\n" + " " * len(mark)) for _ in range(self._upto(2) + 1)]
            return "\n".join(mark + item for item in items)
        if kind == 4:
            return "\n".join(f"> {line}" for line in self._within(depth).split("\n"))
        if kind == 5:
            return f"```\n{self._word()} = 1\n  {self._word()}\n```"
        if kind == 6:
            rows = [f"|{self._word()}|{self._word()}|" for _ in range(self._upto(2) + 2)]
            return "\n".join([rows[0], "|---|:-:|", *rows[1:]])
        return f"### {self._word()}" if kind == 7 else self._inline()

    def _within(self, depth: int) -> str:
        return "\n\n".join(self._block(depth + 1) for _ in range(self._upto(1) + 1))


@st.composite
def stories(draw: Callable[..., int]) -> Story:
    return Story(draw)


def in_order(text: str, words: list[str]) -> None:
    at = 0
    for word in words:
        found = text.find(word, at)
        assert found >= 0, f"{word} is missing, or out of its order"
        at = found + len(word)


@settings(max_examples=60, deadline=None)
@given(stories())
def test_whatever_is_written_stands_in_every_rendition_word_for_word_in_the_same_order(story: Story) -> None:
    this = telling(story.markdown)
    for kind, raw in render(this, TEMPLATES).items():
        in_order(_text(kind, raw), [*story.words, *story.notes])


@settings(max_examples=8, deadline=None)
@given(stories())
def test_whatever_is_written_stands_on_paper_word_for_word_in_the_same_order(story: Story) -> None:
    # Not every machine has the fonts; which letters these are doesn't matter here.
    this = telling(re.sub("[\u0590-\uffff]+", "", story.markdown))
    content = pdf.make(this, a_folder())
    text = "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(content))
    in_order(squeezed(text), [*story.words, *story.notes])
