"""Plots as plain SVG, made on the server: no script; colours by class, so that they turn dark with the page.

Each has a sentence for those who don't see it. Bars begin at zero; lines may not, and say where they do. Figures
stand in a table beside a plot; a plot is for the eye.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH = 568
_LETTER = 6.6
"""Pixels that a letter takes at 12, about."""
_LARGER = 1.3
"""How much larger letters are on a phone, where the whole plot is smaller."""


def line(points: Sequence[tuple[str, int]], sentence: str, *, ticks: int = 5) -> str:
    """A line through (label, value), its first and last value written out; "" where there are fewer than two points."""
    if len(points) < 2:
        return ""
    values = [value for _, value in points]
    low, high, step = _scale(min(values), max(values))
    height, left, right, top, base = 228, 12 + _wide(f"{high:,}"), WIDTH - 40, 28, 192

    def at(place: int, value: float) -> tuple[float, float]:
        return left + place * (right - left) / (len(points) - 1), base - (value - low) / (high - low) * (base - top)

    parts = []
    for value in range(low, high + 1, step):
        y = at(0, value)[1]
        parts += [
            _rule(left, y, WIDTH, y, "axis" if value == low else "grid"),
            _text(left - 8, y + 4, f"{value:,}", "end"),
        ]
    for place in _spread(len(points), ticks):
        x, anchor = at(place, low)[0], "start" if not place else "end" if place == len(points) - 1 else "middle"
        parts.append(_text(x, base + 20, points[place][0], anchor))
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(place, value) for place, value in enumerate(values)))
    parts.append(f'<polyline class="line" points="{drawn}"/>')
    for place in (0, len(points) - 1):
        x, y = at(place, values[place])
        rising = values[-1] >= values[0]
        above = (place > 0) == rising
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        parts.append(
            _text(
                x,
                y - 12 if above and y > 18 else y + 20,
                f"{values[place]:,}",
                "end" if place else "start",
                "strong",
            )
        )
    return _svg(height, sentence, parts)


def came_and_left(
    bars: Sequence[tuple[str, int, int]], sentence: str, names: tuple[str, str], *, ticks: int = 5
) -> str:
    """Bars of (label, came, left): what came upwards, what left downwards, on one scale."""
    if not any(came or left for _, came, left in bars):
        return ""
    most = max(max(came, left) for _, came, left in bars)
    _, high, step = _scale(0, most)
    left_edge, top, height = 12 + _wide(f"{high:,}"), 40, 260
    zero = top + (height - 24 - top) / 2
    room = (height - 24 - top) / 2
    width = (WIDTH - left_edge) / len(bars)
    gap = min(8.0, width / 4)
    parts = [_swatch(left_edge, 6, "f-joined"), _text(left_edge + 18, 15, names[0])]
    second = left_edge + 42 + _wide(names[0])
    parts += [_swatch(second, 6, "f-left"), _text(second + 18, 15, names[1])]
    for value in range(-high, high + 1, high if high // step > 2 else step):
        y = zero - value / high * room
        parts += [
            _rule(left_edge, y, WIDTH, y, "grid" if value else "axis"),
            _text(left_edge - 8, y + 4, f"{abs(value):,}", "end"),
        ]
    for place, (_, came, left) in enumerate(bars):
        x = left_edge + place * width + gap / 2
        parts.append(_bar(x, zero - came / high * room, width - gap, came / high * room, "f-joined"))
        parts.append(_bar(x, zero, width - gap, left / high * room, "f-left"))
    for place in _spread(len(bars), ticks):
        parts.append(
            _text(
                left_edge + (place + 0.5) * width,
                height - 4,
                bars[place][0],
                "middle",
            )
        )
    return _svg(height, sentence, parts)


def rows(bars: Sequence[tuple[str, Sequence[int]]], sentence: str, names: Sequence[str], classes: Sequence[str]) -> str:
    """Bars from left to right: (label, values), one colour for each of the `names`; the sum stands at the end."""
    if not any(sum(values) for _, values in bars):
        return ""
    label = 12 + max(_wide(_short(name)) for name, _ in bars) * _LARGER
    most = max(sum(values) for _, values in bars)
    scale = (WIDTH - label - 16 - _wide(f"{most:,}") * _LARGER) / most
    top = 36 if len(names) > 1 else 8
    parts = []
    x = label
    for name, css in zip(names, classes, strict=True):
        if len(names) > 1:
            parts += [_swatch(x, 4, css), _text(x + 18, 13, name)]
            x += 42 + _wide(name)
    for place, (name, values) in enumerate(bars):
        y = top + place * 32
        parts.append(_text(label - 12, y + 14, _short(name), "end"))
        x = label
        for value, css in zip(values, classes, strict=True):
            if value:
                parts.append(_bar(x, y, max(value * scale, 1), 20, css))
                x += value * scale
        parts.append(_text(x + 8, y + 14, f"{sum(values):,}", "start", "strong"))
    end = top + len(bars) * 32 - 8
    parts.append(_rule(label, top - 4, label, end, "axis"))
    return _svg(end + 8, sentence, parts)


def _scale(least: int, most: int) -> tuple[int, int, int]:
    """Round figures below and above, and the step between two lines: 1, 2 or 5 of a power of ten."""
    if most == least:
        least, most = max(0, least - 1), most + 1
    if least < (most - least) * 2:
        least = 0
    rough = max(1.0, (most - least) / 4)
    power = 10 ** math.floor(math.log10(rough))
    step = max(1, int(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)))
    return least // step * step, -(-most // step) * step, step


def _spread(count: int, ticks: int) -> list[int]:
    """Which of `count` places get a label: at most `ticks`, the first and the last among them."""
    if count <= ticks:
        return list(range(count))
    return sorted({round(place * (count - 1) / (ticks - 1)) for place in range(ticks)})


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _wide(words: str) -> float:
    return len(words) * _LETTER


def _svg(height: float, sentence: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(sentence)}">'
        + "".join(parts)
        + "</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str = "start", css: str = "") -> str:
    style = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _bar(x: float, y: float, width: float, height: float, css: str) -> str:
    return f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"/>'


def _swatch(x: float, y: float, css: str) -> str:
    return _bar(x, y, 10, 10, css)
