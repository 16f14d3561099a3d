"""An issue with everything that an issue can have, in short: for tests of what designs show of it, and where."""

from __future__ import annotations

import dataclasses
from typing import Any

from design_samples import LEAD
from edition_sample import PICTURES, sample

from newsletter.render.edition import Edition, NoteView, PdfView, PictureView
from newsletter.theme_settings import Theme

SIGNED = Theme(signed="Hana Whitfield", role="Editor")

TEXT = """The plant will make cells for [1.2 million cars](https://example.org/cells) a year from 2025 on.

## What it means

> Two weeks is a short time, and a long one.

- 3,000 jobs
- $8&nbsp;billion

| Year | Cars |
| --- | ---: |
| 2024 | 400,000 |
| 2025 | 1,200,000 |
"""


def picture(name: str, width: int, height: int, alt: str, credit: str = "") -> PictureView:
    return PictureView(f"{PICTURES}/{name}.png", width, height, width * 2, height * 2, alt, credit, LEAD)


def everything(design: str, *, theme: Theme = SIGNED, **publication: Any) -> Edition:
    """Three short stories with all that a story can have, a note, a PDF, a logo and a portrait."""
    edition = sample(design=design, theme=theme, **publication)
    first, second, third, *_ = edition.stories
    stories = (
        dataclasses.replace(
            first,
            body=TEXT,
            author="",
            link="https://www.example.org/plant",
            picture=picture("lead", theme.width, theme.width // 2, "Hills at dawn", "Photo: Example Society"),
        ),
        dataclasses.replace(
            second,
            body="He met four ministers in two days, and flew on to Seoul.",
            author="Idris Vance",
            picture=picture("second", 280, 140, "A table with flags", "Photo: Ministry of Examples"),
        ),
        dataclasses.replace(third, body="Nothing more is known.", section="", picture=None, link=""),
    )
    return dataclasses.replace(
        edition,
        stories=stories,
        pdf=PdfView(edition.pdf_url, 2, 71_000),
        notes=(NoteView("2.20", "Vol 2 No 20", "The sum was $7 billion.", f"{edition.home}/2/20#batteries"),),
        logo=picture("logo", 160, 80, "Example Society"),
        portrait=picture("portrait", 96, 96, "Hana Whitfield at her desk"),
    )
