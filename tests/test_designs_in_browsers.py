"""The three designs in a browser: nothing out of sight on a small phone, every colour of the theme, words for pictures."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import faults
from design_samples import DESIGNS, LEAD, arabic, for_a_reader, issue, square
from edition_sample import TEMPLATES, telling
from everything import everything, picture
from PIL import Image, ImageStat
from playwright.sync_api import Browser, Page, Route
from test_render_pdf import boxes_of, pages_of, squeezed

from newsletter.render import Edition, render
from newsletter.states import RenditionKind


class Looker:
    """Shows HTML in a window, its pictures from this folder, and nothing over the network."""

    def __init__(self, browser: Browser, portrait: bytes) -> None:
        self.browser = browser
        self.portrait = portrait

    def at(self, html: str, width: int, *, dark: bool = False, pictures: bool = True) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        page = context.new_page()

        def answer(route: Route) -> None:
            if pictures and "/pictures/" in route.request.url:
                body = self.portrait if "cdcd" in route.request.url else LEAD.read_bytes()
                route.fulfill(body=body, content_type="image/png")
            else:
                route.abort()

        page.route("**/*", answer)
        page.set_content(html, wait_until="load")
        return page

    def picture(self, html: str, width: int, *, dark: bool = False) -> Image.Image:
        page = self.at(html, width, dark=dark)
        shot = page.screenshot(full_page=True)
        page.context.close()
        return Image.open(io.BytesIO(shot)).convert("RGB")


@pytest.fixture
def looker(chromium: Browser, tmp_path: Path) -> Iterator[Looker]:
    return Looker(chromium, square(tmp_path / "portrait.png").read_bytes())


def mail(edition: Edition) -> str:
    return for_a_reader(render(edition, TEMPLATES)[RenditionKind.html], edition)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("design", DESIGNS)
def test_every_colour_of_the_theme_is_to_be_seen(design: str, dark: bool, looker: Looker) -> None:
    edition = issue(design)
    theme = edition.publication.theme
    seen = looker.picture(mail(edition), 700, dark=dark)
    counts = {"#{:02x}{:02x}{:02x}".format(*colour): count for count, colour in seen.getcolors(1 << 24)}
    wanted = {
        theme.mark_dark if dark else theme.mark: 200,
        theme.link_dark if dark else theme.link: 200,
        "#161a21" if dark else "#ffffff": 200_000,
        "#0e1116" if dark else "#eef1f5": 50_000,
    }
    for colour, least in wanted.items():
        assert counts.get(colour, 0) >= least, (colour, counts.get(colour, 0))


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("make", [issue, arabic])
def test_on_the_smallest_phone_nothing_is_pushed_out_of_sight(
    design: str, make: Callable[[str], Edition], looker: Looker
) -> None:
    edition = make(design)
    made = render(edition, TEMPLATES)
    for html in (for_a_reader(made[RenditionKind.html], edition), made[RenditionKind.page]):
        page = looker.at(html, 320)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 320
        page.context.close()


@pytest.mark.parametrize("width", [320, 375])
@pytest.mark.parametrize("design", DESIGNS)
def test_on_a_phone_neither_pictures_that_are_off_nor_a_broad_table_push_the_text_out_of_sight(
    design: str, width: int, looker: Looker
) -> None:
    edition = everything(design)
    # As broad as tables get before they become lists, and a picture in each story.
    table = ("|" + "Preliminary|" * 5 + "\n") + "|" + "--|" * 5 + "\n" + "|" + "13,900,000 |" * 5
    room = edition.publication.theme.column
    stories = tuple(
        dataclasses.replace(
            story,
            body=f"{story.body}\n\n{table}\n",
            picture=picture(f"p{story.position}", room, room // 2, "Hills at dawn"),
        )
        for story in edition.stories
    )
    made = render(dataclasses.replace(edition, stories=stories), TEMPLATES)
    for html in (for_a_reader(made[RenditionKind.html], edition), made[RenditionKind.page]):
        assert html.count("<table") > 3
        for pictures in (True, False):
            page = looker.at(html, width, pictures=pictures)
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width
            page.context.close()


@pytest.mark.parametrize("design", DESIGNS)
def test_axe_finds_nothing_wrong_with_the_page_of_an_issue(design: str, looker: Looker) -> None:
    html = render(issue(design), TEMPLATES)[RenditionKind.page]
    for width, dark in ((1280, False), (375, True)):
        page = looker.at(html, width, dark=dark)
        assert faults(page) == []
        page.context.close()


@pytest.mark.parametrize("design", DESIGNS)
def test_with_pictures_off_their_words_stand_in_their_place(design: str, looker: Looker) -> None:
    page = looker.at(mail(issue(design)), 700, pictures=False)
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L")
    box = page.locator("img").first.bounding_box()
    page.context.close()
    assert box is not None
    place = shot.crop((int(box["x"]), int(box["y"]), int(box["x"] + box["width"]), int(box["y"] + box["height"])))
    assert ImageStat.Stat(place).extrema[0][0] < 160


RHYTHM = """
- one
- two
  - of it
    - of that
- three

| Year | Sum | Cars |
| --- | --- | ---: |
| 2024 | 1 | 400,000 |
"""
MEASURED = """() => {
  const box = it => it.getBoundingClientRect();
  const all = which => [...document.querySelectorAll('.story ' + which)];
  const words = it => { const range = document.createRange(); range.selectNode(it.firstChild); return box(range); };
  const lines = all('li').map(words);
  const side = getComputedStyle(document.querySelector('.story')).direction == 'rtl' ? 'left' : 'right';
  const text = all('td').at(-1);
  return {
    apart: lines.slice(1).map((it, at) => it.top - lines[at].top),
    table: Math.abs(box(text)[side] - box(text.closest('table'))[side]) + parseFloat(getComputedStyle(text)['padding-' + side]),
  };
}"""


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
@pytest.mark.parametrize("design", DESIGNS)
def test_in_a_mail_items_are_evenly_apart_and_tables_fill_the_column(
    design: str, direction: str, looker: Looker
) -> None:
    page = looker.at(mail(telling(RHYTHM, edition=issue(design, direction=direction))), 700)
    found = page.evaluate(MEASURED)
    page.context.close()
    assert len(found["apart"]) == 4
    assert max(found["apart"]) - min(found["apart"]) < 1, found
    assert found["table"] == 0


@pytest.mark.parametrize("design", DESIGNS)
def test_corrections_of_earlier_issues_stand_as_far_apart_in_a_mail_as_its_stories(design: str, looker: Looker) -> None:
    edition = everything(design)
    note = edition.notes[0]
    plain = [
        dataclasses.replace(story, body="One line.", section="", author="", link="", picture=None)
        for story in edition.stories
    ]
    html = mail(dataclasses.replace(edition, stories=tuple(plain), notes=(note, note)))
    page = looker.at(html, 700)
    lines = page.evaluate("[...document.querySelectorAll('.line p')].map(it => it.getBoundingClientRect().top)")
    above = page.evaluate("[...document.querySelectorAll('.story p')].map(it => it.getBoundingClientRect().bottom)")
    page.context.close()
    over = [min(line - end for end in above if end < line) for line in lines if any(end < line for end in above)]
    assert len(over) == 3 if design == "letter" else 4
    assert max(over) - min(over) <= 8, over


@pytest.mark.parametrize("design", DESIGNS)
def test_a_printed_page_has_its_tables_whole_and_no_headline_without_what_is_under_it(
    design: str, looker: Looker
) -> None:
    edition = everything(design)
    first, second, third = edition.stories
    table = ("|" + "Preliminary|" * 5 + "\n") + "|" + "--|" * 5 + "\n" + "|" + "13,900,000 |" * 4 + "the last |"
    high = dataclasses.replace(picture("high", 500, 750, "A tower"), real_width=1000, real_height=1500)
    second = dataclasses.replace(second, body="Under the picture.", section="Diplomacy", author="", picture=high)
    third = dataclasses.replace(third, body=table)
    for more in range(0, 20, 2):
        begins = dataclasses.replace(first, body="One line.\n\n" * more, picture=None)
        html = render(dataclasses.replace(edition, stories=(begins, second, third)), TEMPLATES)[RenditionKind.page]
        page = looker.at(html, 1280)
        content = page.pdf(format="A4", margin=dict.fromkeys(("top", "right", "bottom", "left"), "10mm"))
        page.context.close()
        pages = pages_of(content)
        told = next(each for each in pages if "diplomacy" in each.casefold())
        assert squeezed(second.headline) in told, more
        assert "Underthepicture." in told, more
        right = max(right for _, _, right in boxes_of(content))
        assert right < 595 - 28, more
        assert any("thelast" in each for each in pages)


@pytest.mark.parametrize("design", DESIGNS)
def test_lines_across_a_page_are_as_long_as_those_over_its_stories(design: str, looker: Looker) -> None:
    page = looker.at(render(everything(design), TEMPLATES)[RenditionKind.page], 1280)
    wide = page.evaluate(
        "['.story', '.colophon', '.cite'].map(it => document.querySelector(it).getBoundingClientRect().width)"
    )
    page.context.close()
    assert len(set(wide)) == 1, wide
