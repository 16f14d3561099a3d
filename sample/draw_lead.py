"""Draws the sample's lead picture: two shores and one bridge, as a print in six inks.

Run it where Pillow is installed, as `newsletter` brings it:

    python sample/draw_lead.py

It writes sample/stories/lead.png, 1280 × 640, the same to the byte with the same Pillow. Drawn four times as
large and then reduced, so that every edge is smooth and no SVG renderer is needed. The inks are middle tones,
so that the picture stands on white paper and in a dark inbox alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw

W, H = 1280, 640
FINE = 4
"""How many times as large it is drawn."""
SEA, DECK = 440, 388
TOWERS = 296, 984
TOP, LOW = 148, 372
SUN_AT, SUN_RADIUS = (812, 270), 76
GLINTS = (70, 0), (54, 14), (64, -10), (36, 8), (44, -12), (24, 10), (30, -4), (12, 2)
"""The sun on the water, from the horizon down: half of a glint's width, and how far it lies aside."""
RIPPLES = (
    (0, 470, 170),
    (300, 484, 250),
    (1010, 476, 270),
    (90, 520, 330),
    (900, 532, 250),
    (520, 548, 180),
    (0, 580, 260),
    (1060, 584, 220),
    (360, 606, 320),
)
PAPER, PALE, MID, DEEP, INK, SUN = "#f0eae0", "#a5b6d1", "#5273a8", "#27467d", "#13244a", "#c2412c"

Point = tuple[float, float]


def deck(x: float) -> float:
    """Height of the roadway at x: a very flat arch."""
    return DECK - 14 * (1 - ((x - W / 2) / (W / 2)) ** 2)


def cable(x: float) -> float:
    """Height of the main cable at x: a parabola between the towers, a long sag to each shore."""
    left, right = TOWERS
    if left <= x <= right:
        return LOW - (LOW - TOP) * ((x - W / 2) / ((right - left) / 2)) ** 2
    shore, tower = (-140, left) if x < left else (W + 140, right)
    along = (x - shore) / (tower - shore)
    return deck(0) + (TOP - deck(0)) * along + 60 * along * (1 - along)


def hills(*curves: tuple[Point, Point, Point, Point]) -> list[Point]:
    """Points along cubic Bézier curves, each (start, its handle, the end's handle, end)."""
    return [
        (
            (1 - t) ** 3 * a[0] + 3 * (1 - t) ** 2 * t * b[0] + 3 * (1 - t) * t**2 * c[0] + t**3 * d[0],
            (1 - t) ** 3 * a[1] + 3 * (1 - t) ** 2 * t * b[1] + 3 * (1 - t) * t**2 * c[1] + t**3 * d[1],
        )
        for a, b, c, d in curves
        for t in (step / 64 for step in range(65))
    ]


class Print:
    """A sheet that is drawn on in the picture's own measures, whatever its real size."""

    def __init__(self) -> None:
        self.sheet = Image.new("RGB", (W * FINE, H * FINE), PAPER)
        self.pen = ImageDraw.Draw(self.sheet)

    def shape(self, points: list[Point], ink: str) -> None:
        self.pen.polygon([(x * FINE, y * FINE) for x, y in points], fill=ink)

    def bar(self, x: float, y: float, width: float, height: float, ink: str) -> None:
        # Pillow draws the last pixel too.
        self.pen.rectangle((x * FINE, y * FINE, (x + width) * FINE - 1, (y + height) * FINE - 1), fill=ink)

    def line(self, points: list[Point], width: float, ink: str) -> None:
        """A line that is as wide as it says wherever it leads: a band between two edges."""
        edges: tuple[list[Point], list[Point]] = ([], [])
        for i, (x, y) in enumerate(points):
            (x0, y0), (x1, y1) = points[max(i - 1, 0)], points[min(i + 1, len(points) - 1)]
            long = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
            dx, dy = -(y1 - y0) / long * width / 2, (x1 - x0) / long * width / 2
            edges[0].append((x + dx, y + dy))
            edges[1].append((x - dx, y - dy))
        self.shape(edges[0] + edges[1][::-1], ink)

    def wash(self, ink: str, at: tuple[int, int], size: tuple[int, int], strength: tuple[int, int]) -> None:
        """Lays ink over a part, from one strength at its top to another at its foot, 0 to 255."""
        top, foot = strength
        ramp = Image.linear_gradient("L").resize((1, size[1] * FINE), Image.Resampling.BILINEAR)
        mask = ramp.point(lambda v: top + (foot - top) * v / 255).resize((size[0] * FINE, size[1] * FINE))
        self.sheet.paste(ink, (at[0] * FINE, at[1] * FINE), mask)


def sky(sheet: Print) -> None:
    """Two falls of ink, as a printer wipes the block: deep at the edge, none where the sun is."""
    sheet.wash(PALE, (0, 0), (W, 68), (255, 255))
    sheet.wash(MID, (0, 0), (W, 68), (255, 0))
    sheet.wash(PALE, (0, 68), (W, 68), (255, 0))
    sheet.pen.circle((SUN_AT[0] * FINE, SUN_AT[1] * FINE), SUN_RADIUS * FINE, fill=SUN)


def shores(sheet: Print) -> None:
    """Round hills on the left, cut cliffs on the right; paler with distance."""
    left, right = (0, SEA), (W, SEA)
    far = hills(
        ((0, 300), (70, 262), (132, 270), (196, 322)),
        ((196, 322), (260, 374), (330, 384), (430, 398)),
        ((430, 398), (530, 412), (540, 424), (600, SEA)),
    )
    sheet.shape([left, *far], PALE)
    cliffs = [(W, 286), (1204, 262), (1150, 318), (1090, 326), (1030, 382), (948, 392), (880, 420)]
    sheet.shape([right, *cliffs, (800, SEA)], PALE)
    near = hills(
        ((0, 352), (60, 322), (110, 346), (158, 378)),
        ((158, 378), (206, 410), (276, 420), (338, SEA)),
    )
    sheet.shape([left, *near], MID)
    cliffs = [(W, 336), (1226, 336), (1186, 376), (1122, 384), (1076, 420), (1000, 426)]
    sheet.shape([right, *cliffs, (968, SEA)], MID)


def water(sheet: Print) -> None:
    sheet.bar(0, SEA, W, H - SEA, MID)
    cape = hills(
        ((0, 410), (40, 396), (84, 402), (120, 422)),
        ((120, 422), (156, 442), (176, 438), (210, SEA)),
    )
    sheet.shape([(0, SEA), *cape], DEEP)
    sheet.shape([(W, SEA), (W, 398), (1240, 398), (1212, 422), (1150, 428), (1120, SEA)], DEEP)
    for i, (half, aside) in enumerate(GLINTS):
        sheet.bar(SUN_AT[0] - half + aside, round(SEA + 12 + i * 11 + i * i * 0.9), 2 * half, 3, SUN)
    for x, y, long in RIPPLES:
        sheet.wash(PALE, (x, y), (long, 2), (140, 140))
    sheet.wash(INK, (0, H - 130), (W, 130), (0, 204))


def hangers() -> Iterator[int]:
    for x in range(8, W, 14):
        if min(abs(x - tower) for tower in TOWERS) > 9:
            yield x


def bridge(sheet: Print) -> None:
    for x in hangers():
        sheet.bar(x - 0.5, cable(x), 1, deck(x) - cable(x), INK)
    for first, last in ((0, TOWERS[0]), TOWERS, (TOWERS[1], W)):
        sheet.line([(x, cable(x)) for x in [*range(first, last, 4), last]], 3, INK)
    sheet.line([(x, deck(x)) for x in range(0, W + 1, 32)], 6, INK)
    for tower in TOWERS:
        for side in (-1, 1):
            leg = ((8, 136), (3, 136), (6, 450), (12, 450))
            sheet.shape([(tower + side * x, y) for x, y in leg], INK)
        for y, half in ((140, 8), (212, 9), (300, 9), (412, 11)):
            sheet.bar(tower - half, y, 2 * half, 5, INK)
        sheet.bar(tower - 20, 446, 40, 8, INK)


def main() -> None:
    sheet = Print()
    for layer in (sky, shores, water, bridge):
        layer(sheet)
    target = Path(__file__).parent / "stories" / "lead.png"
    sheet.sheet.resize((W, H), Image.Resampling.BOX).save(target, optimize=True)
    print(target)  # noqa: T201 - it says what it wrote


if __name__ == "__main__":
    main()
