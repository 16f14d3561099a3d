"""Pages of a PDF as pictures: of its very bytes, by PDFium, which is what Chromium shows PDFs with."""

from __future__ import annotations

import io
from dataclasses import dataclass

MOST = 8
"""Pages that are drawn; a longer PDF is better read as one."""
DENSITY = 2
"""Pixels to a point."""


@dataclass(frozen=True, slots=True)
class Paper:
    """The first pages of a PDF."""

    pages: tuple[bytes, ...]
    """PNG."""
    width: float
    height: float
    """Points, of the first page."""
    whole: int
    """How many pages it has."""


def drawn(content: bytes) -> Paper:
    """The pages of a PDF of ours."""
    import pypdfium2

    with pypdfium2.PdfDocument(content) as document:
        pages = []
        width, height = document[0].get_size()
        for number in range(min(len(document), MOST)):
            out = io.BytesIO()
            document[number].render(scale=DENSITY).to_pil().save(out, "PNG")
            pages.append(out.getvalue())
        return Paper(tuple(pages), width, height, len(document))
