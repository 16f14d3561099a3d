"""Issues in each of the designs, for tests of how they look and of what mail programs get."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

from edition_sample import PICTURES, ROOT, sample
from PIL import Image

from newsletter import fields
from newsletter.render.edition import Edition, PdfView, PictureView
from newsletter.theme_settings import Theme

DESIGNS = ("digest", "brief", "letter")
LEAD = ROOT / "sample" / "stories" / "lead.png"
SIGNED = Theme(signed="Hana Whitfield", role="Editor")

_ARABIC = (
    "تويوتا تستثمر ثمانية مليارات دولار أخرى",
    "الاقتصاد",
    "أعلنت الشركة أنها ستنفق [ثمانية مليارات دولار](https://example.org/a) على مصنع البطاريات.\n\n> اقتباس قصير.\n\n- واحد\n- اثنان",
)


def issue(design: str, **publication: Any) -> Edition:
    """The sample in a design, with a PDF to point to; a letter is longer, and has who wrote it."""
    theme = publication.pop("theme", SIGNED if design == "letter" else Theme())
    made = sample(design=design, theme=theme, **publication)
    made = dataclasses.replace(made, pdf=PdfView(made.pdf_url, 2, 71_000))
    if design != "letter":
        return made
    first, *more = made.stories
    long = f"{first.body}\n\n{more[1].body}\n\n## What it means\n\n{more[2].body}\n\n{more[0].body}"
    return dataclasses.replace(made, stories=(dataclasses.replace(first, body=long), *more[1:]), portrait=portrait())


def arabic(design: str) -> Edition:
    """The same from right to left."""
    made = issue(
        design,
        language="ar",
        direction="rtl",
        title="نشرة التحالف",
        publisher="جمعية المثال",
        postal_address="جمعية المثال، القاهرة",
        standfirst="أسبوعان في خمس قصص",
        compiled_by="تصدر كل أسبوعين.",
    )
    headline, section, body = _ARABIC
    stories = tuple(
        dataclasses.replace(story, headline=f"{headline} {story.position}", section=section, body=body)
        for story in made.stories
    )
    return dataclasses.replace(made, stories=stories)


def portrait(file: Path | None = None) -> PictureView:
    return PictureView(f"{PICTURES}/{'cd' * 32}.png", 96, 96, 192, 192, "Hana Whitfield at a desk", "", file)


def square(path: Path, colour: str = "#406080", size: tuple[int, int] = (192, 192)) -> Path:
    """A picture of one colour, as a file."""
    made = io.BytesIO()
    Image.new("RGB", size, colour).save(made, "PNG")
    path.write_bytes(made.getvalue())
    return path


def for_a_reader(framed: str, edition: Edition) -> str:
    """A mail with its fields filled in."""
    values = {"address": "noor@example.org", "joined": "March 6, 2023", "name": "Noor"}
    return fields.fill(
        fields.nodes(framed, edition.fields), lambda name: values.get(name, f"https://digest.example.org/{name}")
    )
