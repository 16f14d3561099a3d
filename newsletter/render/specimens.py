"""Made-up issues that show what a design does: an ordinary one, an odd one, and one with hardly anything in it.

They come with the program, so that a design can be looked at before there is any issue. Nobody in them exists.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
from collections.abc import Mapping
from pathlib import Path

import msgspec

from newsletter import fields
from newsletter.config import Cadence, Publication
from newsletter.render.edition import Edition, PdfView, PictureView, StoryView, anchors
from newsletter.theme_settings import Theme

BASE_URL = "https://harbor.example.org"
DATE = dt.date(2024, 3, 5)
SAID = ("quayside", "lighthouse", "breakwater")
"""A word of each story's text, in its order, that stands nowhere else: where it is missing, so is the text."""

_PDF = PdfView(f"{BASE_URL}/harbor/3/5.pdf", 2, 71_000)
_ORDINARY = (
    (
        "Harbor board puts $4 million into the old pier",
        "Economy",
        (
            f"The harbor board voted on March 1 to spend [$4 million](https://example.org/pier) on the old pier. "
            f"Work begins in May on the {SAID[0]}, and ends in fall. “It will stand for fifty years,” said the chair."
        ),
        "",
        "https://example.org/pier",
    ),
    (
        "Keepers meet to compare their lamps",
        "Safety",
        (
            f"Forty keepers met for two days. Each {SAID[1]} on the coast was on the table:\n\n"
            "| Lamp | Range | Built |\n|---|--:|--:|\n| North | 18 miles | 1871 |\n| South | 22 miles | 1902 |\n\n"
            "- North gets a new lens.\n- South stays as it is.\n\n> A lamp that nobody sees is only a fire.\n\n"
            "## What comes next\n\nThe next meeting is in June."
        ),
        "Ada Example",
        "https://example.org/lamps",
    ),
    (
        "A ferry comes back",
        "",
        f"After two years the ferry runs again, twice a day, past the {SAID[2]}.",
        "",
        "",
    ),
)
_ODD = (
    (
        "כותרת ארוכה מאוד שמספרת על מועצת הנמל ועל ארבעה מיליון דולר ועל המזח הישן ועל כל מה שעוד יקרה בו לפני "
        "שהחורף יגיע ועל האנשים שגרים לידו ועל המעבורת שחוזרת אחרי שנתיים"
    ),
    (
        f"שלום [[name|קורא]], [[if name]]טוב שבאת.[[else]]ברוך הבא.[[end]] המועצה החליטה ב־1 במרץ[^1] ({SAID[0]}).\n\n"
        "1. אחד\n   - שניים\n2. שלוש\n\n| א | ב |\n|---|--:|\n| 1 | 2 |\n\n    code < & >\n\n[^1]: הערה"
    ),
)


def specimens(design: str, theme: Theme, attributes: tuple[str, ...], pictures: Path) -> Mapping[str, Edition]:
    """The three issues in a design, by what they are called. `pictures` is a folder that theirs are written to."""
    shown = _picture(pictures / "specimen.png", 1280, 640)
    small = _picture(pictures / "specimen-small.png", 192, 192)
    publication = Publication(
        title="The Harbor Letter",
        publisher="Example Harbor Society",
        postal_address="Example Harbor Society, 1 Example Quay, Harbor City",
        sender="letter@harbor.example.org",
        lists=("harbor",),
        cadence=Cadence(anchor=DATE),
        standfirst="Two weeks on the coast, in three stories",
        compiled_by="Compiled every two weeks by the Example Harbor Society.",
        privacy_url=f"{BASE_URL}/privacy",
        design=design,
        theme=theme,
    )
    wide = PictureView(
        f"{BASE_URL}/pictures/{'ab' * 32}.png",
        theme.width,
        theme.width // 2,
        1280,
        640,
        "A pier at dawn.",
        "Photo: Ada Example",
        shown,
    )
    ordinary = _edition(
        publication, attributes, [(*story, wide if at == 0 else None) for at, story in enumerate(_ORDINARY)]
    )
    odd = _edition(
        msgspec.structs.replace(
            publication,
            title="מכתב הנמל",
            language="he",
            direction="rtl",
            standfirst="",
            compiled_by="",
            privacy_url="",
        ),
        attributes,
        [(_ODD[0], "", _ODD[1], "", "", None)],
        through=6,
        pdf=None,
    )
    bare = _edition(
        msgspec.structs.replace(publication, standfirst="", compiled_by="", theme=Theme()),
        attributes,
        [("Short", "", f"Only this, at the {SAID[0]}.", "", "", None)],
        preheader="",
        pdf=None,
    )
    themed = {
        name: PictureView(f"{BASE_URL}/pictures/{'cd' * 32}.png", 96, 96, 192, 192, f"The {name}", "", small)
        for name in ("logo", "portrait")
        if getattr(theme, name)
    }
    return {"ordinary": _with(ordinary, themed), "odd": _with(odd, themed), "bare": bare}


def _with(edition: Edition, themed: Mapping[str, PictureView]) -> Edition:
    return dataclasses.replace(edition, logo=themed.get("logo"), portrait=themed.get("portrait"))


def _edition(
    publication: Publication,
    attributes: tuple[str, ...],
    told: list[tuple[str, str, str, str, str, PictureView | None]],
    *,
    through: int | None = None,
    preheader: str = "Four million for the pier · Keepers compare lamps · A ferry comes back",
    pdf: PdfView | None = _PDF,
) -> Edition:
    names = anchors([(at, headline) for at, (headline, *_) in enumerate(told, 1)])
    stories = tuple(
        StoryView(
            position=at,
            headline=headline,
            anchor=name,
            url=f"{BASE_URL}/harbor/3/5#{name}",
            section=section,
            body=body,
            link=link,
            author=author,
            picture=picture,
        )
        for at, ((headline, section, body, author, link, picture), name) in enumerate(zip(told, names, strict=True), 1)
    )
    return Edition(
        publication=publication,
        slug="harbor",
        base_url=BASE_URL,
        volume=3,
        number=5,
        through=through,
        date=DATE,
        subject=f"The Harbor Letter 3.5: {stories[0].headline}",
        preheader=preheader,
        stories=stories,
        fields=fields.known(attributes),
        pdf=pdf,
    )


def _picture(path: Path, width: int, height: int) -> Path:
    from PIL import Image

    made = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).save(made, "PNG")
    path.write_bytes(made.getvalue())
    return path
