"""The design's own CSS against what mail programs understand (see newsletter.preflight.caniemail).

Only what its author wrote, only what matters: CSS without which a mail merely looks plainer isn't told, nor is what
stands in the head for programs that understand it, as long as the mail stands without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.preflight.caniemail import Support, support
from newsletter.preflight.facts import Facts, Sheet
from newsletter.preflight.finding import Found, looks_for
from newsletter.preflight_rules import Level

ENOUGH = 0.9
"""The share of mail programs that is enough for CSS without which something is lost."""

_PLAINER = frozenset(
    """accent-color animation backdrop-filter background-blend-mode background-clip background-origin
    background-position background-repeat background-size border-collapse border-image border-radius
    border-spacing box-shadow box-sizing caption-side color-scheme cursor empty-cells font-kerning
    font-size-adjust font-stretch height hyphens letter-spacing line-height list-style-image list-style-position
    max-height min-height min-width opacity orphans outline outline-offset overflow overflow-wrap resize
    table-layout tab-size text-align-last text-decoration text-decoration-color text-decoration-line
    text-decoration-skip-ink text-decoration-style text-decoration-thickness text-emphasis text-justify
    text-overflow text-shadow text-underline-offset text-underline-position text-wrap transition user-select
    white-space widows word-break word-spacing word-wrap""".split()  # noqa: SIM905
)
"""Properties without which a mail looks plainer, and nothing is lost."""
_LIKE = {
    **dict.fromkeys(("left", "right", "top", "bottom"), "css-left-right-top-bottom"),
    **dict.fromkeys(("gap", "row-gap", "column-gap"), "css-gap"),
    **dict.fromkeys(("grid-template-columns", "grid-template-rows", "grid-template-areas"), "css-grid-template"),
    **dict.fromkeys(("margin-inline", "margin-block"), "css-margin-inline-block"),
    **dict.fromkeys(("padding-inline", "padding-block"), "css-padding-inline-block"),
    **dict.fromkeys((f"margin-{axis}-{side}" for axis in ("inline", "block") for side in ("start", "end")),
                    "css-margin-inline-start-end"),
    **dict.fromkeys((f"padding-{axis}-{side}" for axis in ("inline", "block") for side in ("start", "end")),
                    "css-padding-inline-start-end"),
    **dict.fromkeys(("border-inline", "border-block"), "css-border-inline-block"),
    **dict.fromkeys((f"border-{axis}-{side}" for axis in ("inline", "block") for side in ("start", "end")),
                    "css-border-inline-block-individual"),
    **dict.fromkeys(("columns", "column-count"), "css-column-count"),
}  # fmt: skip
_VALUES = (
    (re.compile(r"\b(?:inline-)?flex\b"), "css-display-flex", ("display",)),
    (re.compile(r"\b(?:inline-)?grid\b"), "css-display-grid", ("display",)),
    (re.compile(r"\bvar\("), "css-variables", ()),
    (re.compile(r"\bcalc\("), "css-unit-calc", ()),
    (re.compile(r"\bclamp\("), "css-function-clamp", ()),
    (re.compile(r"\bmax\("), "css-function-max", ()),
    (re.compile(r"\bmin\("), "css-function-min", ()),
    (re.compile(r"\brgba\("), "css-rgba", ()),
    (re.compile(r"\blight-dark\("), "css-function-light-dark", ()),
    (re.compile(r"\b(?:ok)?l(?:ch|ab)\("), "css-modern-color", ()),
    (re.compile(r"linear-gradient\("), "css-linear-gradient", ()),
    (re.compile(r"radial-gradient\("), "css-radial-gradient", ()),
    (re.compile(r"\d(?:rem)\b"), "css-unit-rem", ()),
    (re.compile(r"\dvw\b"), "css-unit-vw", ()),
    (re.compile(r"\dvh\b"), "css-unit-vh", ()),
    (re.compile(r"\dch\b"), "css-unit-ch", ()),
    (re.compile(r"\b(?:fit|min|max)-content\b"), "css-intrinsic-size", ()),
)
_AT = re.compile(r"@(import|font-face)\b")
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")


def features(sheet: Sheet) -> Iterator[tuple[str, int]]:
    """What of CSS a sheet uses that mail programs differ in, as caniemail calls it, and on which line of its file."""
    css = _QUOTED.sub(lambda found: '"' + "x" * (len(found[0]) - 2) + '"', _blank(_COMMENT, sheet.css))
    for found in _AT.finditer(css):
        yield f"css-at-{found[1]}", _line(sheet, css, found.start())
    if not sheet.inlined:
        css = _without_media(css)
    for rule in _RULE.finditer(css):
        at = rule.start(2)
        for declaration in rule[2].split(";"):
            name, colon, value = declaration.partition(":")
            start = at + len(declaration) - len(declaration.lstrip())
            at += len(declaration) + 1
            name, value = name.strip().lower(), value.lower()
            if not colon or name.startswith(("mso-", "-", "@")):
                continue
            line = _line(sheet, css, start)
            if name not in _PLAINER:
                yield _LIKE.get(name, f"css-{name}"), line
            for pattern, feature, of in _VALUES:
                if (not of or name in of) and pattern.search(value):
                    yield feature, line


def _blank(pattern: re.Pattern[str], css: str) -> str:
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), css)


def _line(sheet: Sheet, css: str, offset: int) -> int:
    return sheet.line + css.count("\n", 0, offset)


def _without_media(css: str) -> str:
    """The CSS with what stands in @media and @supports blanked: it is for those who understand it."""
    out, at = "", 0
    for opened in re.finditer(r"@(?:media|supports|keyframes)[^{]*\{", css):
        if opened.start() < at:
            continue
        depth, end = 1, opened.end()
        while depth and end < len(css):
            depth += {"{": 1, "}": -1}.get(css[end], 0)
            end += 1
        out += css[at : opened.start()] + re.sub(r"[^\n]", " ", css[opened.start() : end])
        at = end
    return out + css[at:]


@looks_for("css-support")
def css_support(facts: Facts) -> Iterator[Found]:
    told: set[str] = set()
    for sheet in facts.sheets:
        for feature, line in features(sheet):
            known = support(feature)
            if feature in told or known is None or known.share >= ENOUGH:
                continue
            told.add(feature)
            yield _found(sheet, line, known)


def _found(sheet: Sheet, line: int, known: Support) -> Found:
    named = ", ".join(known.lacking[:3]) + (", …" if len(known.lacking) > 3 else "")
    return Found(
        f"{known.title} is understood by {known.share:.0%} of mail programs, not by {named}",
        "Do it another way (tables, widths, plain values), or see in the preview that the mail stands without it.",
        where=f"{sheet.file}, line {line}",
        level=None if sheet.inlined else Level.note,
    )
