"""Pictures: what is said of them, what they weigh, and whose they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from newsletter.preflight.facts import Facts
from newsletter.preflight.finding import Found, looks_for
from newsletter.render.text import columns

LONG_ALT = 250
"""Columns."""
HEAVY = 1_000_000
"""Bytes of all pictures together."""

_FILE = re.compile(
    r"\S+\.(?:jpe?g|png|gif|webp|svg|heic|tiff?|bmp|avif)"
    r"|(?:img|dsc[nf]?|pxl|mvimg|gopr|image|photo|picture|screenshot|screen shot|untitled|unnamed|download|bild|foto)"
    r"[ _-]*[\d(][\d ._:()-]*",
    re.IGNORECASE,
)
_NOTHING = frozenset(
    (  # noqa: SIM905 - a list of words
        "picture|image|photo|photograph|graphic|illustration|logo|alt|alt text|a picture|an image|a photo|a photograph|"
        "bild|foto|ein bild|ein foto|imagen|una imagen|immagine|imagem|une image|une photo|"
        "写真|画像|图片|照片|사진|그림|صورة|תמונה"
    ).split("|")
)


_NOBODY = re.compile(
    r"[\W_]*(?:(?:photo(?:graph)?|picture|image|illustration|credits?|source|foto|bild|quelle|crédit|写真|صورة)"
    r"(?: (?:by|credit|von|par|de))?)?[\W_]*",
    re.IGNORECASE,
)
"""A credit that says what it is, and not whose: "Photo:", "©"."""


@looks_for("alt-missing")
def missing_alt(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        if story.picture and not story.picture.alt.strip():
            yield Found("its picture has no alt text", "Say in a sentence what is to be seen in it.", story.position,
                        "picture")  # fmt: skip
    for picture in _pictures(facts):
        if picture.get("alt") is None:
            yield Found(
                f"the picture {_name(picture)} has no alt text",
                'Say what is to be seen in it; alt="" for mere ornament.',
                where="the HTML",
            )


@looks_for("alt-useless")
def useless_alt(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        alt = story.picture.alt.strip() if story.picture else ""
        remedy = "Say in a sentence what is to be seen in it."
        bare = alt.casefold().strip(" .[]()-–—_")
        if alt and (_FILE.fullmatch(alt) or not bare or bare in _NOTHING):
            yield Found(f'its alt text, "{alt}", says nothing of what is to be seen', remedy, story.position, "alt")
        elif alt and alt.casefold() == story.headline.strip().casefold():
            yield Found("its alt text is the headline again", remedy, story.position, "alt")


@looks_for("alt-long")
def long_alt(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        if story.picture and (width := columns(story.picture.alt)) > LONG_ALT:
            yield Found(
                f"its alt text has {width} columns", "One sentence; what needs more belongs into the story.",
                story.position, "alt",
            )  # fmt: skip


@looks_for("picture-size")
def sizeless(facts: Facts) -> Iterator[Found]:
    for picture in _pictures(facts):
        lacking = [name for name in ("width", "height") if not (picture.get(name) or "").isdecimal()]
        if lacking:
            yield Found(
                f"the picture {_name(picture)} has no {' and no '.join(lacking)} in its tag",
                "Write both, in pixels, as attributes.",
                where="the HTML",
            )


@looks_for("pictures-heavy")
def heavy(facts: Facts) -> Iterator[Found]:
    weighed = {
        story.picture.url: (story, facts.pictures.get(story.picture.url, 0))
        for story in facts.edition.stories
        if story.picture
    }
    whole = sum(size for _, size in weighed.values())
    if whole > HEAVY:
        story, most = max(weighed.values(), key=lambda pair: pair[1])
        yield Found(
            f"the pictures have {whole / 1e6:.1f} MB together; the one of this story has {most / 1e6:.1f} MB",
            "Crop it, or take one with less fine detail.",
            story.position,
            "picture",
        )


@looks_for("picture-in-text")
def in_text(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        for link in facts.readings[story.position].links:
            if link.picture:
                words = f'"{link.words}"' if link.words else "whose words are the name of its site"
                yield Found(
                    f"the picture {link.written} is shown as a link, {words}",
                    "Give it to the story as its picture, if there is none yet.",
                    story.position,
                    row=link.row,
                )


@looks_for("no-credit")
def no_credit(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        if story.picture is None:
            continue
        credit, remedy = story.picture.credit.strip(), "Write credit: and whose picture it is."
        if not credit:
            yield Found("its picture has no credit", remedy, story.position, "picture")
        elif _NOBODY.fullmatch(credit):
            yield Found(f'its picture\'s credit, "{credit}", names nobody', remedy, story.position, "credit")


def _pictures(facts: Facts) -> Iterator[Any]:
    """The pictures of the HTML, but for those of one pixel, which nobody is to see."""
    if facts.tree is None:
        return
    for picture in facts.tree.iter("img"):
        if picture.get("width") != "1" or picture.get("height") != "1":
            yield picture


def _name(picture: Any) -> str:
    return str(picture.get("src") or "without an address").rpartition("/")[2][-60:] or "without a name"
