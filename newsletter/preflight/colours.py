"""Contrast of text with what it stands on (WCAG 2.2, §1.4.3), in light and in dark, as mail programs paint it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from newsletter.preflight.facts import Facts
from newsletter.preflight.finding import Found, looks_for

TEXT, LARGE = 4.5, 3.0
"""The least contrast: of text, and of text of 24 pixels, or 18.66 in bold."""
UNREADABLE = 1.7
"""Below this nobody reads it: the usual fault is dark text that a dark background came under."""

_NAMED = {
    "black": 0x000000, "silver": 0xC0C0C0, "gray": 0x808080, "grey": 0x808080, "white": 0xFFFFFF, "maroon": 0x800000,
    "red": 0xFF0000, "purple": 0x800080, "fuchsia": 0xFF00FF, "green": 0x008000, "lime": 0x00FF00, "olive": 0x808000,
    "yellow": 0xFFFF00, "navy": 0x000080, "blue": 0x0000FF, "teal": 0x008080, "aqua": 0x00FFFF, "orange": 0xFFA500,
}  # fmt: skip
_HEX = re.compile(r"#([0-9a-f]{6}|[0-9a-f]{3})\b", re.IGNORECASE)
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?:,\s*([\d.]+)\s*)?\)", re.IGNORECASE)
_SIZE = re.compile(r"([\d.]+)(px|pt|em|%)?")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DARK = re.compile(r"@media[^{]*prefers-color-scheme\s*:\s*dark[^{]*\{")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_PAINT = frozenset({"color", "background-color", "background"})
_UNSEEN_TAGS = frozenset({"head", "style", "script", "title"})


@dataclass(frozen=True, slots=True)
class Paint:
    """How text is painted somewhere in the mail."""

    ink: int = 0x000000
    ground: int = 0xFFFFFF
    size: float = 16.0
    bold: bool = False
    hidden: bool = False
    pictured: bool = False
    """It stands on a picture, whose colours nobody knows."""

    @property
    def enough(self) -> float:
        return LARGE if self.size >= 24 or (self.bold and self.size >= 18.66) else TEXT


def luminance(colour: int) -> float:
    """Relative luminance, from 0 to 1."""

    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    return 0.2126 * linear(colour >> 16) + 0.7152 * linear(colour >> 8 & 255) + 0.0722 * linear(colour & 255)


def contrast(one: int, other: int) -> float:
    """From 1 (the same) to 21 (black on white)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colour(value: str) -> int | None:
    """A colour as CSS writes it, as 0xRRGGBB; None where it isn't a plain and opaque one."""
    value = value.strip().lower()
    if found := _HEX.search(value):
        digits = found[1] if len(found[1]) == 6 else "".join(each * 2 for each in found[1])
        return int(digits, 16)
    if found := _RGB.search(value):
        if found[4] is not None and float(found[4]) < 1:
            return None
        return int(found[1]) << 16 | int(found[2]) << 8 | int(found[3])
    return next((_NAMED[word] for word in re.findall(r"[a-z]+", value) if word in _NAMED), None)


def declarations(css: str, important: set[str] | None = None) -> dict[str, str]:
    """The declarations of a style by property, the last one winning, those that are important above all.

    `important`, if given, gets the names of these.
    """
    made: dict[str, str] = {}
    important = set() if important is None else important
    # A semicolon within quotes or brackets ends nothing.
    for part in re.findall(r"(?:[^;\"'(]|\"[^\"]*\"|'[^']*'|\([^)]*\))+", css):
        name, colon, value = part.partition(":")
        name = name.strip().lower()
        if not colon or (name in important and "!important" not in value):
            continue
        if "!important" in value:
            important.add(name)
        made[name] = value.replace("!important", "").strip()
    return made


def dark_rules(head: str) -> Iterator[tuple[str, dict[str, str], set[str]]]:
    """The selectors and declarations that count where a reader's scheme is dark, and which of these are important."""
    head = _COMMENT.sub("", head)
    for opened in _DARK.finditer(head):
        depth, at = 1, opened.end()
        while depth and at < len(head):
            depth += {"{": 1, "}": -1}.get(head[at], 0)
            at += 1
        for rule in _RULE.finditer(head[opened.end() : at - 1]):
            important: set[str] = set()
            said = declarations(rule[2], important)
            for selector in rule[1].split(","):
                yield selector.strip(), said, important


@dataclass(frozen=True, slots=True)
class Painted:
    """A piece of text, and how it is painted."""

    text: str
    paint: Paint


def painted(tree: Any, over: Mapping[Any, Mapping[str, str]]) -> list[Painted]:
    """All visible text of a document; `over` are declarations that come on top of an element's own."""
    made: list[Painted] = []

    def walk(element: Any, paint: Paint) -> None:
        if not isinstance(element.tag, str) or element.tag in _UNSEEN_TAGS:
            return
        here = _inner(element, paint, over.get(element, {}))
        add(element.text, here)
        for child in element:
            walk(child, here)
            add(child.tail, here)

    def add(text: str | None, paint: Paint) -> None:
        if (
            text
            and not paint.hidden
            and not paint.pictured
            and (words := re.sub(r"[\s\u034f\u2007\u200b-\u200d\u00ad]+", " ", text).strip())
        ):
            made.append(Painted(words, paint))

    body = tree.find("body")
    if body is not None:
        walk(body, Paint())
    return made


def _inner(element: Any, outer: Paint, over: Mapping[str, str]) -> Paint:
    """How text is painted within an element."""
    style = {**declarations(element.get("style") or ""), **over}
    paint = outer
    if element.tag in ("h1", "h2", "h3", "h4", "h5", "h6", "b", "strong", "th"):
        paint = replace(paint, bold=True)
    if element.tag == "a" and "color" not in style:
        paint = replace(paint, ink=0x0000EE)
    ground = style.get("background-color") or style.get("background") or element.get("bgcolor") or ""
    if "url(" in f"{ground} {style.get('background-image', '')}" or "gradient(" in ground or element.get("background"):
        paint = replace(paint, pictured=True)
    elif (found := colour(ground)) is not None:
        paint = replace(paint, ground=found, pictured=False)
    if (found := colour(style.get("color") or element.get("color") or "")) is not None:
        paint = replace(paint, ink=found)
    if size := _SIZE.match(style.get("font-size", "")):
        number, unit = float(size[1]), size[2] or "px"
        paint = replace(paint, size=number * {"px": 1, "pt": 4 / 3, "em": outer.size, "%": outer.size / 100}[unit])
    if "font-weight" in style:
        weight = style["font-weight"]
        paint = replace(paint, bold=weight in ("bold", "bolder") or (weight.isdecimal() and int(weight) >= 600))
    unseen = style.get("display") == "none" or style.get("visibility") == "hidden" or style.get("opacity") == "0"
    if unseen or (paint.size <= 1 and "font-size" in style):
        # A font size of nothing is a layout's trick, taken back within; what isn't shown stays so.
        paint = replace(paint, hidden=unseen)
    return paint


def _dark(tree: Any) -> dict[Any, dict[str, str]]:
    """What the dark scheme puts on top, by element; nothing where the design has none."""
    from cssselect import GenericTranslator, SelectorError

    over: dict[Any, dict[str, str]] = {}
    translator = GenericTranslator()
    for style in tree.iter("style"):
        for selector, said, important in dark_rules(style.text or ""):
            wanted = {name: value for name, value in said.items() if name in _PAINT}
            if not wanted:
                continue
            try:
                path = translator.css_to_xpath(selector)
            except SelectorError:
                continue
            for element in tree.xpath(path):
                # What isn't important gives way to what stands in the tag.
                own = declarations(element.get("style") or "")
                over.setdefault(element, {}).update(
                    {name: value for name, value in wanted.items() if name in important or name not in own}
                )
    return over


def _poor(facts: Facts) -> Iterator[tuple[str, Painted, float]]:
    """Text with too little contrast: each pair of colours once a scheme."""
    if facts.tree is None:
        return
    schemes: list[tuple[str, Mapping[Any, Mapping[str, str]]]] = [("light", {})]
    if over := _dark(facts.tree):
        schemes.append(("dark", over))
    for scheme, on_top in schemes:
        told: set[tuple[int, int, float]] = set()
        for piece in painted(facts.tree, on_top):
            paint = piece.paint
            if piece.paint.size <= 1 or (key := (paint.ink, paint.ground, paint.enough)) in told:
                continue
            told.add(key)
            if (ratio := contrast(paint.ink, paint.ground)) < paint.enough:
                yield scheme, piece, ratio


def _found(scheme: str, piece: Painted, ratio: float) -> Found:
    paint = piece.paint
    words = piece.text if len(piece.text) <= 40 else piece.text[:39] + "…"
    return Found(
        f'in {scheme}, "{words}" (#{paint.ink:06x} on #{paint.ground:06x}) has a contrast of {ratio:.1f}',
        f"Change one of the two colours in the design or the theme: {paint.enough} is needed.",
        where="the HTML",
    )


@looks_for("invisible-text")
def invisible_text(facts: Facts) -> Iterator[Found]:
    for scheme, piece, ratio in _poor(facts):
        if ratio < UNREADABLE:
            yield _found(scheme, piece, ratio)


@looks_for("contrast")
def poor_contrast(facts: Facts) -> Iterator[Found]:
    for scheme, piece, ratio in _poor(facts):
        if ratio >= UNREADABLE:
            yield _found(scheme, piece, ratio)
