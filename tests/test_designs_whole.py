"""No design leaves out what another shows, whatever the theme; and none reaches what another has for itself."""

from __future__ import annotations

import ctypes
import dataclasses
import datetime as dt
import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pypdfium2
import pytest
from conftest import NOW
from design_samples import DESIGNS, arabic
from edition_sample import TEMPLATES, sample, telling
from everything import everything
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html
from playwright.sync_api import Browser
from test_render_issue import HTML, PAGE, TEXT, Tree
from test_render_pdf import a_folder, boxes_of, on_paper, pages_of, squeezed, text_of

from newsletter import fields, web
from newsletter.errors import TemplateMistake
from newsletter.folder import Folder
from newsletter.render import Edition, render
from newsletter.render.edition import CorrectionView
from newsletter.theme_settings import STACKS, Theme, Typeface, wrongs

each_design = pytest.mark.parametrize("design", DESIGNS)
FIELD = re.compile(r"\x02[^\x03]*\x03")


def words(html: str) -> str:
    """What is read of a rendition, without what only parts it."""
    tree = lxml_html.fromstring(FIELD.sub("", html))
    for each in [*tree.iter("style", "script", "title")]:
        each.drop_tree()
    return squeezed(tree.text_content()).casefold()


def lines_of(edition: Edition) -> list[str]:
    """Every line that an editor wrote, or that readers go by."""
    publication = edition.publication
    found = [publication.title, edition.long_date, publication.compiled_by, edition.imprint]
    for story in edition.stories:
        found += [story.headline, story.section, story.author]
    found += ["1.2 million cars", "What it means", "Two weeks is a short time", "400,000", "Nothing more is known."]
    return [line for line in (*found, *(note.words for note in edition.notes)) if line]


@each_design
def test_no_design_leaves_a_line_of_the_editors_out(design: str) -> None:
    edition = everything(design)
    made = render(edition, TEMPLATES)
    read = {"mail": words(made[HTML]), "page": words(made[PAGE]), "text": squeezed(made[TEXT]).casefold()}
    read["paper"] = text_of(on_paper(edition, a_folder())).casefold()
    for where, text in read.items():
        for line in lines_of(edition):
            assert squeezed(line).casefold() in text, (where, line)
    shown = [story.picture for story in edition.stories if story.picture]
    for picture in shown:
        for part in (HTML, PAGE):
            assert made[part].count(f'src="{picture.url}"') == 1
            assert made[part].count(f'alt="{picture.alt}"') == 1
        for where in ("mail", "page", "paper"):
            assert squeezed(picture.credit).casefold() in read[where], (where, picture.credit)
    for part in (HTML, PAGE):
        assert 'href="https://www.example.org/plant"' in made[part]
    assert "Source: https://www.example.org/plant" in made[TEXT]


@each_design
def test_a_correction_is_told_at_its_story_and_over_all_on_the_page_and_on_paper(design: str) -> None:
    edition = everything(design)
    second = edition.stories[1]
    told = CorrectionView(
        2, dt.date(2023, 11, 20), "Nov 20, 2023", "It said six ministers.", 2, second.headline, second.anchor
    )
    stories = (edition.stories[0], dataclasses.replace(second, corrections=(told,)), *edition.stories[2:])
    edition = dataclasses.replace(edition, stories=stories, corrections=(told,), revision=2)
    said = squeezed("It said six ministers.").casefold()
    assert words(render(edition, TEMPLATES)[PAGE]).count(said) == 2
    assert text_of(on_paper(edition, a_folder())).casefold().count(said) == 2


@each_design
def test_every_design_has_the_ways_on_and_the_ways_out(design: str) -> None:
    edition = everything(design)
    made = render(edition, TEMPLATES)
    for name in ("unsubscribe_url", "preferences_url", "view_url"):
        assert re.search(f'<a href="\x02{name}\x03"', made[HTML])
        assert f"\x02{name}\x03\n" in made[TEXT]
    for part in (HTML, TEXT):
        assert "\x02address\x03" in made[part]
        assert re.search("\x02if joined\x03\\s+on\\s+\x02joined\x03\x02end\x03", made[part])
        for url in (edition.url, edition.pdf_url, edition.publication.privacy_url):
            assert url in made[part]
    assert edition.share_url.replace("&", "&amp;") in made[HTML]


@each_design
def test_every_page_can_be_found_cited_and_left_for_its_neighbours(design: str) -> None:
    edition = everything(design)
    page = render(edition, TEMPLATES)[PAGE]
    assert f'<link rel="canonical" href="{edition.url}">' in page
    assert page.count('<script type="application/ld+json">') == 1
    assert page.count("<!--neighbours-->") == 1
    assert page.count('id="cite"') == 1
    for story in edition.stories:
        assert page.count(f'id="{story.anchor}"') == 1


@each_design
def test_no_text_of_a_mail_is_smaller_than_twelve_pixels(design: str) -> None:
    mail = render(everything(design), TEMPLATES)[HTML]
    sizes = {int(size) for size in re.findall(r"font-size:\s*(\d+)px", mail)}
    # 0 and 1 are where nothing is to be seen: in the flag, and in the preheader.
    assert min(sizes - {0, 1}) >= 12


@each_design
def test_the_mail_of_a_design_is_far_from_where_gmail_cuts_it_off(design: str) -> None:
    assert len(render(sample(design=design), TEMPLATES)[HTML].encode()) < 48_000


@each_design
def test_text_keeps_to_72_columns_for_a_reader_with_an_address_as_long_as_most(design: str) -> None:
    edition = everything(design)
    framed = render(edition, TEMPLATES)[TEXT]
    known = {"address": "noor.okafor@example.org", "joined": "March 6, 2023"}
    text = fields.fill(fields.nodes(framed, edition.fields), lambda name: known.get(name, "https://a.example/"))
    assert "noor.okafor@example.org" in text
    assert max(len(line) for line in text.splitlines() if "://" not in line) <= 72


@pytest.mark.parametrize("more", [2, 4, 6, 8])
@each_design
def test_on_paper_a_picture_stays_with_its_headline_and_its_text(design: str, more: int) -> None:
    edition = everything(design)
    first, *others = edition.stories
    first = dataclasses.replace(first, body=f"{first.body}\n" + "One more sentence of it.\n\n" * more)
    pages = pages_of(on_paper(dataclasses.replace(edition, stories=(first, *others)), a_folder()))
    told = next(page for page in pages if squeezed("Idris Vance") in page)
    assert squeezed("Photo: Ministry of Examples") in told
    assert squeezed("He met four ministers in two days, and flew on to Seoul.") in told


@pytest.mark.parametrize("more", range(1, 9))
@each_design
def test_on_paper_who_wrote_a_story_is_never_the_last_line_of_a_page(design: str, more: int) -> None:
    edition = everything(design)
    first, second, third = edition.stories
    first = dataclasses.replace(first, body="One sentence of the first story.\n\n" * 3 * more)
    long = "The second begins. " + "It goes on for a good while, and then some more. " * 90
    second = dataclasses.replace(second, body=long, picture=None)
    pages = pages_of(on_paper(dataclasses.replace(edition, stories=(first, second, third)), a_folder()))
    told = next(page for page in pages if squeezed("Idris Vance") in page)
    assert squeezed("The second begins.") in told


FOOT = 62
"""Points from the lower edge of the paper, under which nothing but the foot of the page stands."""


@pytest.mark.parametrize("more", range(18, 30))
@each_design
def test_on_paper_no_line_and_no_section_is_left_behind_on_the_page_before_its_story(design: str, more: int) -> None:
    edition = everything(design)
    first, second, _ = edition.stories
    first = dataclasses.replace(first, body="One line.\n\n" * more, link="", picture=None)
    long = "The second begins. " + "It goes on for a good while, and then some more. " * 120
    second = dataclasses.replace(second, body=long, section="Diplomacy", picture=None)
    edition = dataclasses.replace(edition, stories=(first, second), notes=(), logo=None)
    for page in list(pypdfium2.PdfDocument(on_paper(edition, a_folder())))[:-1]:
        text = page.get_textpage()
        said = squeezed(text.get_text_range()).casefold()
        assert "diplomacy" not in said or squeezed(second.headline).casefold() in said
        rects = map(text.get_rect, range(text.count_rects()))
        lowest = min(bottom for _, bottom, _, _ in rects if bottom > FOOT)
        drawn = [it.get_bounds() for it in page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_PATH], max_depth=5)]
        assert not [top for left, _, right, top in drawn if right - left > 100 and FOOT < top < lowest]


def on_first_page(content: bytes) -> list[tuple[str, float, float]]:
    """The lines of the first page in their order: what they say, how high they stand, and the size of their letters."""
    text = pypdfium2.PdfDocument(content)[0].get_textpage()
    found: list[tuple[str, float, float]] = []
    x, y = ctypes.c_double(), ctypes.c_double()
    for at in range(text.count_chars()):
        if not (letter := text.get_text_range(at, 1)).strip():
            continue
        pypdfium2.raw.FPDFText_GetCharOrigin(text.raw, at, x, y)
        said, high, size = found[-1] if found else ("", -1.0, 0.0)
        if abs(high - y.value) < 0.1:
            found[-1] = (said + letter, high, size)
        else:
            found.append((letter, y.value, pypdfium2.raw.FPDFText_GetFontSize(text.raw, at)))
    return found


LONG = {
    "en": ("Eight billion more", " for batteries and for all that belongs to them" * 3, "First line.", 1.04),
    "ja": ("電池にさらに八十億", "ドルを投じると同社が発表" * 6, "一行目。", 1.2),
}


@pytest.mark.parametrize("language", LONG)
@each_design
def test_on_paper_the_lines_of_a_headline_belong_together_and_never_touch(design: str, language: str) -> None:
    begins, goes_on, body, least = LONG[language]
    edition = telling(body, edition=sample(design=design, language=language), headline=begins + goes_on, section="")
    lines = on_first_page(on_paper(edition, a_folder()))
    first = next(at for at, (said, _, _) in enumerate(lines) if said.lstrip("1").startswith(squeezed(begins)))
    last = next(at for at, (said, _, _) in enumerate(lines) if said == squeezed(body))
    *within, below = [one[1] - other[1] for one, other in itertools.pairwise(lines[first : last + 1])]
    # A letter's headline is twice as large as its text.
    assert max(within) < below or design == "letter"
    assert min(within) > least * lines[first + 1][2]


@pytest.mark.parametrize("language", LONG)
def test_on_paper_the_lines_of_a_headline_in_the_list_are_nearer_than_the_next_headline(language: str) -> None:
    begins, goes_on, _, _ = LONG[language]
    edition = sample(language=language)
    first, second, *others = edition.stories
    first = dataclasses.replace(first, headline=begins + goes_on, picture=None)
    second = dataclasses.replace(second, headline="Ende")
    lines = on_first_page(on_paper(dataclasses.replace(edition, stories=(first, second, *others)), a_folder()))
    heights = {high for said, high, _ in lines if said.startswith("2Ende")}
    at = next(at for at, (said, _, _) in enumerate(lines) if said.startswith(f"1{squeezed(begins)}"))
    listed = [*(high for _, high, _ in lines[at:] if high > max(heights)), max(heights)]
    *within, below = [above - under for above, under in itertools.pairwise(sorted(set(listed), reverse=True))]
    assert within
    assert max(within) < below


@each_design
def test_on_paper_a_table_begins_where_the_text_does(design: str) -> None:
    body = "Written above.\n\n| Year | Sum |\n| --- | --- |\n| Wide | 1 |\n"
    edition = telling(body, edition=sample(design=design, title="T", standfirst=""), headline="H", section="")
    above, within = [left for letter, left, _ in boxes_of(on_paper(edition, a_folder())) if letter == "W"][:2]
    assert abs(above - within) < 0.5


@each_design
def test_what_nobody_has_translated_is_read_from_its_own_side(design: str) -> None:
    mail = render(arabic(design), TEMPLATES)[HTML]
    for sentence in ("2 pages, 71 KB", "You get this because"):
        assert re.search(rf'<div[^>]* dir="auto"[^>]*>{sentence}', mail), sentence
    letters = boxes_of(on_paper(arabic_on_paper(design), a_folder()))
    at = next(at for at in range(len(letters)) if [letter for letter, *_ in letters[at : at + 2]] == ["o", "f"])
    one = next(each for each in (letters[at - 1], letters[at + 2]) if each[0] == "1")
    assert one[2] < letters[at][1], "1 of 6, not 6 of 1"


def arabic_on_paper(design: str) -> Edition:
    """Of two pages at least."""
    edition = dataclasses.replace(arabic(design), portrait=None)
    stories = tuple(dataclasses.replace(story, body=f"{story.body}\n\n" * 8) for story in edition.stories)
    return dataclasses.replace(edition, stories=stories)


COLOURS = st.from_regex(r"#[0-9a-fA-F]{6}", fullmatch=True)


@settings(max_examples=15, deadline=None)
@given(
    st.builds(
        Theme,
        mark=COLOURS,
        mark_dark=COLOURS,
        link=COLOURS,
        link_dark=COLOURS,
        text=st.sampled_from(Typeface),
        labels=st.sampled_from(Typeface),
        width=st.integers(240, 360).map(lambda half: half * 2),
        signed=st.sampled_from(["", 'Hana <Whitfield> & "Co"']),
        role=st.sampled_from(["", "Editor </style>", "{{ 7*7 }}"]),
    ),
    st.sampled_from(DESIGNS),
)
def test_any_theme_that_config_takes_makes_a_whole_mail_and_page(theme: Theme, design: str) -> None:
    assert not list(wrongs(theme))
    made = render(everything(design, theme=theme), TEMPLATES)
    for part in (HTML, PAGE):
        Tree(FIELD.sub("x", made[part]))
        assert {theme.mark, theme.mark_dark, theme.link, theme.link_dark} <= set(
            re.findall("#[0-9a-fA-F]{6}", made[part])
        )
    assert f"max-width:{theme.width}px" in made[HTML].replace(" ", "")


def test_typefaces_end_in_a_kind_that_every_machine_has_and_stay_within_their_attribute() -> None:
    assert set(STACKS) == set(Typeface)
    assert all(stack.rpartition(", ")[2] in ("serif", "sans-serif") for stack in STACKS.values())
    assert not any(sign in stack for stack in STACKS.values() for sign in '";<>')


def test_a_mistake_in_what_designs_share_is_placed_there(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES / "brief", tmp_path / "brief")
    shutil.copytree(TEMPLATES / "shared", tmp_path / "shared")
    path = tmp_path / "shared" / "mail-foot.mjml"
    text = path.read_text("utf-8").replace("{{ edition.imprint }}", "{{ edition.imprnt }}")
    path.write_text(text, "utf-8")
    with pytest.raises(TemplateMistake, match='there is no "imprnt" in edition') as caught:
        render(everything("brief"), tmp_path)
    assert (caught.value.where, caught.value.line) == (str(path), text[: text.index("imprnt")].count("\n") + 1)


@pytest.mark.parametrize(
    "outside",
    ["../digest/page.css", "digest/page.css", "shared/../digest/page.css", "shared/../../config.toml", "/etc/hostname"],
)
def test_a_design_includes_what_is_shared_and_nothing_of_another(outside: str, tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    (tmp_path / "config.toml").write_text("secret")
    path = tmp_path / "templates" / "brief" / "page.html"
    path.write_text('{% include "' + outside + '" %}' + path.read_text("utf-8"), "utf-8")
    with pytest.raises(TemplateMistake, match="there is no template"):
        render(everything("brief"), tmp_path / "templates")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_about_a_publication_are_in_its_colours_and_those_of_another_in_theirs(
    dark: bool, chromium: Browser, make_folder: Callable[..., Folder]
) -> None:
    theme = '[publications.digest.theme]\nmark = "#0b5d4e"\nmark_dark = "#5fd0b4"\ntext = "palatino"\n\n'
    folder = make_folder(("[publications.digest.numbering]", f"{theme}[publications.digest.numbering]"))
    client = web.make(folder, lambda: NOW).test_client()
    html = client.get("/digest/subscribe").text
    sheet = re.search(r'<link rel="stylesheet" href="([^"]+)">', html)
    assert sheet
    context = chromium.new_context(color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_content(re.sub(r"<link[^>]*>", f"<style>{client.get(sheet[1]).text}</style>", html, count=1))
    own = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    assert page.evaluate(own, "--mark") == ("#5fd0b4" if dark else "#0b5d4e")
    assert page.evaluate(own, "--link") == ("#9cbbf5" if dark else "#1d4480")
    assert page.evaluate(own, "--serif").startswith("'Palatino Linotype'")
    page.evaluate("document.documentElement.dataset.publication = 'another'")
    assert page.evaluate(own, "--mark") == ("#f08a75" if dark else "#b3301f")
    context.close()


def test_where_every_theme_is_as_it_comes_the_style_sheet_says_nothing_of_publications(lite_folder: Folder) -> None:
    client = web.make(lite_folder, lambda: NOW).test_client()
    html = client.get("/digest/subscribe").text
    assert '<html lang="en" dir="ltr" data-publication="digest">' in html
    sheet = re.search(r'<link rel="stylesheet" href="([^"]+)">', html)
    assert sheet
    assert "data-publication" not in client.get(sheet[1]).text
