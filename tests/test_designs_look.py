"""How the three designs look, in a real browser: compared with pictures in tests/golden/look/, block by block.

Machines have different typefaces. So everything is set in a monospaced one, whose letters are three fifths of their
size wide wherever it comes from, and since all line heights are in pixels, lines break and parts stand at the same
places; only the letters' shapes differ. Nor may a machine fit letters to its pixels, which makes some of them wider:
geometricPrecision forbids that. The shapes disappear as a picture is reduced to blocks of BLOCK pixels, each the mean
of what is in it. `pytest tests/test_designs_look.py --renew-golden` draws the pictures anew: look at each before you
commit it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from chromium import PERSON
from design_samples import DESIGNS, LEAD, for_a_reader
from edition_sample import TEMPLATES
from everything import everything
from PIL import Image, ImageChops, ImageDraw

from newsletter.render import Edition, render
from newsletter.states import RenditionKind

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOOK = Path(__file__).parent / "golden" / "look"
HTML, PAGE = RenditionKind.html, RenditionKind.page

BLOCK = 20
"""CSS pixels: the side of a block, about one line of text."""
LIGHT, COLOUR = 36, 13
"""How far the worst block may be off, of 255: in lightness, and in each of the two parts of colour (ITU-T T.871).

Between DejaVu Sans Mono and Liberation Mono, which differ a good deal, it is 29 and 10 in these views. A flag in ink
where it should be in the mark's colour is 15 and 17; a line or a section that is lost is 40 and more, and makes
another height. A number or a link in another colour is too small for this, and is asked for by itself below.
"""
KEPT = 4
"""The kept pictures are reduced to a quarter: no letter can be read, and each takes 30 to 40 KB."""

VIEWS = {
    "mail-700": (HTML, 700, False),
    "mail-375": (HTML, 375, False),
    "mail-700-dark": (HTML, 700, True),
    "page-1200": (PAGE, 1200, False),
    "page-375-dark": (PAGE, 375, True),
}
SET = """* { font-family: 'DejaVu Sans Mono', 'Liberation Mono', 'Noto Mono', 'Courier New', monospace !important;
              font-size-adjust: ch-width 0.6 !important; text-rendering: geometricPrecision !important; }"""

each_design = pytest.mark.parametrize("design", DESIGNS)


def face() -> bytes:
    """A portrait, of a kind."""
    image = Image.new("RGB", (192, 192), "#c9b8a8")
    draw = ImageDraw.Draw(image)
    draw.ellipse((56, 30, 136, 120), fill="#7a5a48")
    draw.ellipse((20, 120, 172, 300), fill="#40506a")
    return png(image)


def sign() -> bytes:
    """A logo without a ground of its own."""
    image = Image.new("RGBA", (320, 160), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((0, 0, 159, 159), fill="#0b5d4e")
    draw.rectangle((180, 50, 319, 110), fill="#0b5d4e")
    return png(image)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


PICTURES = {"portrait.png": face(), "logo.png": sign()}


def seen(edition: Edition, kind: RenditionKind) -> str:
    """A rendition as its reader has it."""
    return for_a_reader(render(edition, TEMPLATES)[kind], edition)


@contextmanager
def shown(browser: Browser, html: str, width: int, *, dark: bool = False) -> Iterator[Page]:
    """A window with these bytes in it; pictures come from here, and nothing from the network."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        user_agent=PERSON,
        device_scale_factor=1,
    )
    page = context.new_page()

    def answer(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        if route.request.resource_type == "document":
            route.fulfill(body=html, content_type="text/html; charset=utf-8")
        elif route.request.resource_type == "image":
            route.fulfill(body=PICTURES.get(name) or LEAD.read_bytes(), content_type="image/png")
        else:
            route.abort()

    page.route("**/*", answer)
    page.goto("https://digest.example.org/look")
    yield page
    context.close()


def drawn(browser: Browser, edition: Edition, view: str) -> Image.Image:
    """A view of an edition from top to bottom, one pixel for a CSS pixel."""
    kind, width, dark = VIEWS[view]
    html = seen(edition, kind).replace("</head>", f"<style>{SET}</style></head>")
    with shown(browser, html, width, dark=dark) as page:
        return Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")


def blocks(image: Image.Image, size: int) -> tuple[Image.Image, Image.Image]:
    """The mean lightness of each block of so many pixels, and its mean colour apart from that."""
    wide, high = image.width // size, image.height // size
    small = image.crop((0, 0, wide * size, high * size)).resize((wide, high), Image.Resampling.BOX)
    return small.convert("L"), small.convert("YCbCr")


def off(one: Image.Image, other: Image.Image) -> tuple[int, int]:
    """How far two pictures of one size are apart at their worst block: in lightness, and in colour."""
    (light, colour), (its_light, its_colour) = (blocks(each, BLOCK // KEPT) for each in (one, other))
    parts = ImageChops.difference(colour, its_colour).split()
    worst = ImageChops.difference(light, its_light).getextrema()[1]
    return int(worst), max(int(part.getextrema()[1]) for part in parts[1:])


def differs(one: Image.Image, other: Image.Image) -> str:
    """What is different about two reduced pictures; nothing where that may be the typeface."""
    if abs(one.height - other.height) > 1:
        return f"it is {(one.height - other.height) * KEPT:+} pixels high"
    high = min(one.height, other.height)
    light, colour = off(*(each.crop((0, 0, other.width, high)) for each in (one, other)))
    return f"a block is off by {light} and {colour}" if light > LIGHT or colour > COLOUR else ""


def kept(name: str) -> Image.Image:
    with Image.open(LOOK / name) as image:
        return image.convert("RGB")


def reduced(image: Image.Image) -> Image.Image:
    return image.resize((image.width // KEPT, image.height // KEPT), Image.Resampling.BOX)


@pytest.mark.parametrize("view", VIEWS)
@each_design
def test_a_design_looks_as_it_did(
    design: str, view: str, chromium: Browser, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    now = reduced(drawn(chromium, everything(design), view))
    path = LOOK / f"{design}-{view}.png"
    if request.config.getoption("renew_golden"):
        now.save(path, optimize=True)
    # What came out, for whoever looks into it: pytest keeps the folders of its last three runs.
    now.save(tmp_path / path.name)
    told = f"compare {tmp_path / path.name} with {path}; --renew-golden keeps the new one"
    assert not (what := differs(now, kept(path.name))), f"{what}: {told}"


@each_design
def test_what_is_lost_or_has_another_colour_is_seen_in_the_pictures(design: str, chromium: Browser) -> None:
    edition = everything(design)
    first, second, third = edition.stories
    assert second.picture is not None
    uncredited = dataclasses.replace(second, picture=dataclasses.replace(second.picture, credit=""))
    in_ink = msgspec.structs.replace(edition.publication.theme, mark="#15191f")
    wrong = {
        "the flag in ink": dataclasses.replace(
            edition, publication=msgspec.structs.replace(edition.publication, theme=in_ink)
        ),
        "no logo": dataclasses.replace(edition, logo=None),
        "no note": dataclasses.replace(edition, notes=()),
        "no credit": dataclasses.replace(edition, stories=(first, uncredited, third)),
        "a story less": dataclasses.replace(edition, stories=(first, second)),
    }
    right = kept(f"{design}-mail-700.png")
    for name, changed in wrong.items():
        assert differs(reduced(drawn(chromium, changed, "mail-700")), right), name
    assert differs(reduced(drawn(chromium, edition, "mail-700")), kept(f"{design}-mail-700-dark.png"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@each_design
def test_numbers_are_in_the_mark_s_colour_and_links_in_theirs(design: str, dark: bool, chromium: Browser) -> None:
    edition = everything(design)
    theme = edition.publication.theme
    mark, link = (theme.mark_dark, theme.link_dark) if dark else (theme.mark, theme.link)
    look = """which => [...document.querySelectorAll(which)].map(it => getComputedStyle(it).color)"""
    for kind, marks, links in (
        (HTML, ".mark, .list li", ".go a, .story a"),
        (PAGE, ".mark, .rail li > span", ".text a, .more a, .byline a"),
    ):
        with shown(chromium, seen(edition, kind), 700, dark=dark) as page:
            for colour, which in ((mark, marks), (link, links)):
                wanted = "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))
                found = page.evaluate(look, which)
                assert (set(found) == {wanted}) or (which == marks and design == "letter" and not found), (which, found)
