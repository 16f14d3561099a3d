"""The picture that a browser shows in a tab beside a page's name: a sheet with the flag of the masthead."""

from __future__ import annotations

import functools
import io

SIDE = 48
"""Pixels; browsers make it smaller."""
_PAPER, _INK, _LINES = "#ffffff", "#15191f", "#98a1ae"
_FINE = 8
"""Drawn so many times as large, and made smaller: Pillow's corners have steps."""


@functools.lru_cache(maxsize=4)
def icon(mark: str) -> bytes:
    """An ICO with that colour ("#b3282d") at the flag's beginning, in 16, 32 and 48 pixels."""
    from PIL import Image, ImageDraw

    fine = Image.new("RGBA", (SIDE * _FINE, SIDE * _FINE))
    draw = ImageDraw.Draw(fine)

    def box(left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
        return left * _FINE, top * _FINE, right * _FINE - 1, bottom * _FINE - 1

    draw.rounded_rectangle(box(0, 0, SIDE, SIDE), 9 * _FINE, fill=_PAPER)
    draw.rectangle(box(9, 9, 24, 18), fill=mark)
    draw.rectangle(box(24, 9, 39, 18), fill=_INK)
    for top, right in ((24, 39), (33, 30)):
        draw.rectangle(box(9, top, right, top + 3), fill=_LINES)
    out = io.BytesIO()
    fine.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(out, "ICO", sizes=[(16, 16), (32, 32), (SIDE, SIDE)])
    return out.getvalue()
