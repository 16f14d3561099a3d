"""An issue on one picture: as phones, desks and inboxes show it, light and dark, and its text and PDF beside.

    the mail ─→ Chromium, one window, no network, no script ─→ a shot for each view ─┐
    the PDF  ─→ PDFium ─→ its pages ─────────────────────────────────────────────────┤
    sender, subject, preheader ─→ cut as inboxes cut them ─┬─────────────────────────┴→ sheet.html ─→ Chromium ─→ PNG
    the text ──────────────────────────────────────────────┘

The same issue is the same bytes, as long as Chromium and the fonts are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from newsletter.contact_sheet.chromium import SECONDS, started
from newsletter.contact_sheet.layout import WIDTH, Copy, laid_out
from newsletter.contact_sheet.paper import MOST, drawn
from newsletter.contact_sheet.shots import VIEWS, Shot, View, Window

__all__ = ["NAMES", "STEPS", "Copy", "Sheet", "contact_sheet"]

STEPS = len(VIEWS) + 1
"""Pictures that are taken: one for each view, and the sheet."""
NAMES = (*(view.name for view in VIEWS), *(f"pdf-{number}" for number in range(1, MOST + 1)))
"""What the shots of a sheet may be called."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """All of it as PNG."""

    content: bytes
    shots: Mapping[str, bytes]
    """Each view, and each page of the PDF, by its name: "phone", "pdf-1"."""


def contact_sheet(copy: Copy, told: Callable[[int], None] = lambda _: None, *, seconds: float = SECONDS) -> Sheet:
    """The contact sheet of an issue; `told` hears of each picture that is taken, STEPS in all.

    BrowserMistake where there is no Chromium, or it isn't done after so many seconds.
    """
    with started(seconds) as browser:
        window = Window(browser)
        shots: dict[View, Shot] = {}
        for view in VIEWS:
            shots[view] = window.mail(copy.html, copy.pictures, view)
            told(1)
        paper = drawn(copy.pdf) if copy.pdf is not None else None
        page, files = laid_out(copy, shots, paper, browser.version)
        content = window.shot(page, files, WIDTH).content
        told(1)
    named = {view.name: shot.content for view, shot in shots.items()}
    pages = {f"pdf-{number}": page for number, page in enumerate(paper.pages, 1)} if paper else {}
    return Sheet(content, named | pages)
