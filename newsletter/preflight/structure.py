"""How the mail is built: headings, tables, lists, language and direction, size."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter import quoted_printable, translations
from newsletter.fields import Choice, Node, Value
from newsletter.preflight.facts import KNOWN, Facts
from newsletter.preflight.finding import Found, looks_for

NEAR, CLIPPED = 90_000, 102_000
"""Bytes of HTML, decoded: from where somebody should look, and where Gmail cuts. Nobody knows its count exactly."""
WIDEST = 5
"""Columns of a story's table."""
DEEPEST = 4
"""Lists within lists."""

_RANGES = {
    "Latn": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff",
    "Grek": "\u0370-\u03ff\u1f00-\u1fff",
    "Cyrl": "\u0400-\u052f",
    "Armn": "\u0530-\u058f",
    "Hebr": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Arab": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
    "Deva": "\u0900-\u097f",
    "Beng": "\u0980-\u09ff",
    "Thai": "\u0e00-\u0e7f",
    "Geor": "\u10a0-\u10ff",
    "Hang": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "Kana": "\u3040-\u30ff",
    "Hani": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
}
_SCRIPTS = {name: re.compile(f"[{letters}]") for name, letters in _RANGES.items()}
_MIXED = {"Jpan": ("Kana", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",), "Kore": ("Hang", "Hani")}
_RIGHT_TO_LEFT = re.compile(f"[{_RANGES['Hebr']}{_RANGES['Arab']}]{{3,}}")
_ENOUGH = 60
"""Letters from which a text's script can be told."""
_NAMES = {
    "Latn": "Latin", "Grek": "Greek", "Cyrl": "Cyrillic", "Armn": "Armenian", "Hebr": "Hebrew", "Arab": "Arabic",
    "Deva": "Devanagari", "Beng": "Bengali", "Thai": "Thai", "Geor": "Georgian", "Hang": "Korean", "Kana": "Japanese",
    "Hani": "Chinese",
}  # fmt: skip


def longest(facts: Facts) -> int:
    """Bytes of the HTML, decoded, for the reader whose is the longest."""
    known = facts.audience.longest if facts.audience else {}

    def size(nodes: tuple[Node, ...]) -> int:
        whole = 0
        for node in nodes:
            if isinstance(node, Choice):
                whole += max(size(node.then), size(node.otherwise))
            elif isinstance(node, Value):
                # A value that isn't there falls back; readers' own links are as long as known says.
                whole += max(known.get(node.name, len(KNOWN)), len(node.fallback.encode()))
            else:
                whole += len(node.encode())
        return whole

    return size(facts.html_nodes)


def _heavy(facts: Facts, size: int) -> Found:
    encoded = len(quoted_printable.encode(facts.html_for(KNOWN))[0])
    heaviest = max(facts.edition.stories, key=lambda story: len(story.body.encode()), default=None)
    most = len(heaviest.body.encode()) if heaviest else 0
    return Found(
        f"it has {size / 1000:,.1f} KB for the longest reader ({encoded / 1000:,.1f} KB as it is encoded)"
        + (f"; story {heaviest.position} has {most / 1000:,.1f} KB of them" if heaviest else ""),
        "Shorten a story, or tell its beginning and link to the rest.",
        where="the HTML",
    )


@looks_for("clipped")
def clipped(facts: Facts) -> Iterator[Found]:
    if facts.html and (size := longest(facts)) > CLIPPED:
        yield _heavy(facts, size)


@looks_for("nearly-clipped")
def nearly_clipped(facts: Facts) -> Iterator[Found]:
    if facts.html and NEAR < (size := longest(facts)) <= CLIPPED:
        yield _heavy(facts, size)


@looks_for("heading-order")
def headings(facts: Facts) -> Iterator[Found]:
    if facts.tree is None:
        return
    levels = [(int(each.tag[1]), each) for each in facts.tree.iter("h1", "h2", "h3", "h4", "h5", "h6")]
    ones = sum(level == 1 for level, _ in levels)
    if ones != 1:
        yield Found(
            f"there {'is no' if not ones else f'are {ones}'} h1", "Make the title of the publication the only one.",
            where="the HTML",
        )  # fmt: skip
    before = 0
    for level, heading in levels:
        if before and level > before + 1:
            words = heading.text_content().strip()[:60]
            yield Found(
                f'after an h{before} comes an h{level}, "{words}"', f"Make it an h{before + 1}.", where="the HTML"
            )
        before = level


@looks_for("table-role")
def table_roles(facts: Facts) -> Iterator[Found]:
    if facts.tree is None:
        return
    bare = [
        table
        for table in facts.tree.iter("table")
        if (table.get("role") or "").strip() not in ("presentation", "none") and table.find(".//th") is None
    ]
    if bare:
        words = re.sub(r"\s+", " ", bare[0].text_content()).strip()[:40]
        yield Found(
            f'{len(bare)} of its tables {"have" if len(bare) > 1 else "has"} neither role="presentation" nor a heading'
            + (f', the first at "{words}"' if words else ""),
            'Write role="presentation" into the tag of each.',
            where="the HTML",
        )


@looks_for("table-wide")
def wide_tables(facts: Facts) -> Iterator[Found]:
    for position, reading in facts.readings.items():
        columns, row = reading.columns
        if columns > WIDEST:
            yield Found(f"a table has {columns} columns", f"Make it two, or link to it: a phone has room for {WIDEST}.",
                        position, row=row)  # fmt: skip


@looks_for("list-deep")
def deep_lists(facts: Facts) -> Iterator[Found]:
    for position, reading in facts.readings.items():
        depth, row = reading.depth
        if depth > DEEPEST:
            yield Found(f"lists go {depth} deep here", "Write the inner ones as sentences.", position, row=row)


@looks_for("no-title")
def no_title(facts: Facts) -> Iterator[Found]:
    if facts.tree is not None and not (facts.tree.findtext("head/title") or "").strip():
        yield Found("it has no title", "Put an <mj-title> into the head of the design.", where="the HTML")


def script(language: str) -> str | None:
    """The script in which a language is usually written (CLDR): "Latn", "Jpan"; None where nobody knows."""
    from babel.core import get_global

    tag = language.replace("-", "_")
    if found := re.search(r"_([A-Z][a-z]{3})(?:_|$)", tag):
        return found[1]
    likely = get_global("likely_subtags")
    full = likely.get(tag) or likely.get(tag.partition("_")[0].lower())
    parts = str(full or "").split("_")
    return parts[1] if len(parts) > 1 else None


@looks_for("language")
def language(facts: Facts) -> Iterator[Found]:
    tag = facts.edition.publication.language
    for where, tree in (("the HTML", facts.tree), ("the page", facts.page_tree)):
        if tree is not None and (tree.get("lang") or "und") == "und":
            yield Found("it says no language", 'Write lang="{{ publication.language }}".', where=where)
    text = "".join(passage.text for passage in facts.passages if passage.story is not None)
    counts = {name: len(letters.findall(text)) for name, letters in _SCRIPTS.items()}
    whole = sum(counts.values())
    usual = script(tag)
    expected = _MIXED.get(usual or "", (usual,))
    if whole < _ENOUGH or usual is None or not any(name in counts for name in expected):
        return
    most = max(counts, key=lambda name: counts[name])
    in_it = sum(counts.get(name or "", 0) for name in expected)
    chinese = usual == "Jpan" and counts["Hani"] > whole / 2 and counts["Kana"] * 20 < whole
    japanese = usual in ("Hans", "Hant") and counts["Kana"] * 5 > whole
    if in_it * 2 < whole or chinese or japanese:
        seen = "Japanese" if japanese else _NAMES[most]
        yield Found(
            f'it is "{tag}", and most letters of the stories are {seen}',
            "Write the language in which readers get it.",
            where="language in config.toml",
        )


@looks_for("direction")
def direction(facts: Facts) -> Iterator[Found]:
    publication = facts.edition.publication
    usual = translations.direction(publication.language)
    if usual != publication.direction:
        yield Found(
            f'it is "{publication.direction}", and {translations.name(publication.language)} runs "{usual}"',
            f'Write direction = "{usual}".',
            where="direction in config.toml",
        )


@looks_for("mixed-direction")
def mixed(facts: Facts) -> Iterator[Found]:
    ltr = facts.edition.publication.direction == "ltr"
    if not ltr:
        # Latin names and sums within Arabic or Hebrew are everyday, and bidi's rules are made for them.
        return
    for position, reading in facts.readings.items():
        for passage in reading.passages:
            if found := _RIGHT_TO_LEFT.search(passage.text):
                yield Found(
                    f'"{found[0]}" runs from right to left', "Look at it in the preview.", position,
                    row=passage.at(found.start()),
                )  # fmt: skip
                break
