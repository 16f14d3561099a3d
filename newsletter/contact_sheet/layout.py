"""How the sheet is laid out: everything in its place, in the proportions that it has on a screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from newsletter.contact_sheet.inbox_lines import inbox_lines
from newsletter.contact_sheet.paper import Paper
from newsletter.contact_sheet.shots import Shot, View
from newsletter.dates import long_date

WIDTH = 2400
"""Pixels of the sheet."""
TALLEST = 3600
"""Pixels that a view has at most; what goes on is said below it."""

_MARGIN, _GAP = 64, 40
_SCALE = 0.56
"""Of a CSS pixel of the mail on the sheet."""
_LINE = 14
"""Pixels of a line of the text."""
_FEWEST = 40
"""Lines of the text that there is always room for."""
_FEW = 24
"""Lines that aren't worth a cut."""
_PADDING, _HEAD = 20, 138
"""Pixels: round the text, and what the label over the pages takes with the space above it."""
_LARGE = 2
"""Pages that are shown large, side by side; more of them stand as broad as the views over them."""
_FILE = "http://mail.invalid/sheet/{}.png"
_HOW = {
    "dark": "by the mail's own colours",
    "forced-dark": "roughly Gmail on Android",
    "pictures-off": "until the reader asks for them",
}


@dataclass(frozen=True, slots=True)
class Copy:
    """What is on the sheet: an issue as one reader gets it."""

    title: str
    """Of the publication."""
    name: str
    """Of the issue: "Vol 2 No 21"."""
    date: dt.date
    language: str
    direction: str
    """ltr or rtl."""
    sender: str
    """As inboxes name it."""
    subject: str
    html: str
    text: str
    pdf: bytes | None
    size: int
    """Octets of the whole message."""
    pictures: Mapping[str, bytes]
    """Those of the mail, by their addresses."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """A picture on the sheet, in its pixels."""

    name: str
    title: str
    note: str
    url: str
    width: int
    height: int
    """Of what is seen of it."""
    more: str = ""
    """How much follows, and where it is."""


def laid_out(
    copy: Copy, shots: Mapping[View, Shot], paper: Paper | None, drawn_by: str
) -> tuple[str, dict[str, bytes]]:
    """The sheet as HTML, WIDTH wide, and the pictures in it by their addresses."""
    from jinja2 import Environment, StrictUndefined

    files = {_FILE.format(view.name): shot.content for view, shot in shots.items()}
    panels = [_panel(view, shot) for view, shot in shots.items()]
    widest = max(panel.width for panel in panels)
    phones = [panel for panel in panels if panel.width < widest]
    desks = [panel for panel in panels if panel.width == widest]
    column = WIDTH - 2 * _MARGIN - sum(panel.width + _GAP for panel in panels)
    broad = sum(panel.width + _GAP for panel in desks) - _GAP
    pages: list[_Panel] = []
    tall = max(panel.height for panel in desks)
    if paper is not None:
        files |= {_FILE.format(f"pdf-{number}"): page for number, page in enumerate(paper.pages, 1)}
        beside = _LARGE if len(paper.pages) <= _LARGE else len(desks)
        pages = _pages(paper, (broad - (beside - 1) * _GAP) // beside)
        tall += -(-len(pages) // beside) * (pages[0].height + _GAP) + _HEAD
    tall = max([tall, *(panel.height for panel in phones)])
    lines = copy.text.rstrip("\n").split("\n")
    room = max(_FEWEST, (tall - 2 * _PADDING) // _LINE)
    if len(lines) <= room + _FEW:
        room = len(lines)
    page = (
        Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        .from_string(Path(__file__).with_name("sheet.html").read_text(encoding="utf-8"))
        .render(
            copy=copy,
            date=long_date(copy.date, copy.language),
            short_date=_short(copy.date, copy.language),
            inboxes=inbox_lines(copy.sender, copy.subject, copy.html),
            phones=phones,
            desks=desks,
            column=column,
            broad=broad,
            lines=lines[:room],
            more_lines=max(0, len(lines) - room),
            paper=paper,
            pages=pages,
            weights=_weights(copy, paper),
            drawn_by=drawn_by,
            size={"width": WIDTH, "margin": _MARGIN, "gap": _GAP, "line": _LINE, "padding": _PADDING},
        )
    )
    return page, files


def _panel(view: View, shot: Shot) -> _Panel:
    height = min(round(shot.height * _SCALE), TALLEST)
    seen = round(height / _SCALE)
    more = ""
    if seen + 1 < shot.whole:
        more = f"{shot.whole - seen:,} of {shot.whole:,} px follow"
        if seen + 1 < shot.height:
            more += f": pictures/{view.name}.png"
    return _Panel(
        view.name,
        view.title,
        f"{view.width} px" + (f", {_HOW[view.name]}" if view.name in _HOW else ""),
        _FILE.format(view.name),
        round(shot.width * _SCALE),
        height,
        more,
    )


def _pages(paper: Paper, width: int) -> list[_Panel]:
    height = round(width * paper.height / paper.width)
    return [
        _Panel(f"pdf-{number}", "", "", _FILE.format(f"pdf-{number}"), width, height)
        for number in range(1, len(paper.pages) + 1)
    ]


def _weights(copy: Copy, paper: Paper | None) -> str:
    """What it weighs: "HTML 48 KB, text 7 KB, whole message 60 KB, PDF 71 KB"."""
    weights = {"HTML": len(copy.html.encode()), "text": len(copy.text.encode()), "whole message": copy.size}
    if copy.pdf is not None and paper is not None:
        weights["PDF"] = len(copy.pdf)
    return ", ".join(f"{what} {max(1, round(size / 1000)):,} KB" for what, size in weights.items())


def _short(date: dt.date, language: str) -> str:
    """A date as an inbox has it: "Nov 14", "11月14日"."""
    from babel import Locale, UnknownLocaleError
    from babel.dates import format_skeleton

    try:
        locale = Locale.parse(language.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        locale = Locale("en")
    return format_skeleton("MMMd", dt.datetime.combine(date, dt.time()), locale=locale)
