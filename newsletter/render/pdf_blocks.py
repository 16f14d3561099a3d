"""A story's HTML as blocks and runs: the plain values that the PDF's template builds its content from.

They are data and nothing else: lists, strings and numbers, written as JSON. Nothing in them is ever read as typst.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

DEEPEST = 12
"""Lists and quotations within each other; what is deeper stands at the margin of the twelfth."""
LONGEST_URL = 8000
"""Bytes: what typst takes. A longer link is only its words."""
LINE = 73
"""Characters that a table's line has room for, at its usual size."""
_SMALLER = 1.4
_LONGEST_WORD = 20
"""Characters; a longer one, such as a web address, may be parted."""

_WORD = re.compile(rf"[\u0021-\u007e\u00a1-\u058f\u1e00-\u1fff]{{{_LONGEST_WORD + 1},}}")
# In the narrowest column where code stands; what is longer would run over the edge of the paper.
_LONG_CODE, _CODE_PARTED = re.compile(r"(\S{40})(?=\S)"), "\\1\u200b"
_STOP = re.compile(r"(?<=[/._?&=#:;,|+~-])(?=\w)|(?<=\w)(?=%)")
_UNPRINTABLE = re.compile("[\x00\ufeff\ufffe\uffff]")
_TURN = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BACK = dict.fromkeys("\u202a\u202b\u202d\u202e", "\u202c") | dict.fromkeys("\u2066\u2067\u2068", "\u2069")
_STYLES = {"strong": "bold", "em": "italic", "s": "struck", "code": "code", "sup": "raised"}
_CONTAINERS = frozenset({"ul", "ol", "li", "blockquote", "div"})
_TEXTS = frozenset({"p", "h3", "h4", "th", "td"})

Block = dict[str, Any]
"""kind: text, heading, list, quote, code, line, table, rows or notes; and what belongs to it."""


def blocks(html: str) -> list[Block]:
    """The blocks of sanitised HTML, in their order, with every letter and every link of it."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.finished()


def words(text: str) -> str:
    """A line of text as it can be printed: places to part what is longer than a line, no marks of byte order.

    What it turns round with a sign of Unicode's is turned back at its end, and not what stands after it.
    """
    clean = _UNPRINTABLE.sub("", text).replace("\n", " ").replace("\t", " ")
    turned: list[str] = []
    for sign in _TURN.findall(clean):
        if sign in _BACK:
            turned.append(_BACK[sign])
        elif turned and turned[-1] == sign:
            turned.pop()
    return _WORD.sub(lambda found: _parted(found[0]), clean) + "".join(reversed(turned))


def visible(text: str) -> bool:
    """Whether there is anything to be seen in it."""
    return any(unicodedata.category(letter)[0] in "LNPS" for letter in text)


def _parted(word: str) -> str:
    pieces = []
    for piece in _STOP.split(word):
        pieces += [piece[at : at + _LONGEST_WORD] for at in range(0, len(piece), _LONGEST_WORD)]
    return "\u200b".join(pieces)


@dataclass(slots=True)
class _Open:
    """A container that isn't closed yet."""

    tag: str
    blocks: list[Block] = field(default_factory=list)
    items: list[list[Block]] = field(default_factory=list)
    start: int = 1


class _Reader(HTMLParser):
    """Reads what render.markdown.to_html writes: closed elements from a short list."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open = [_Open("")]
        self._runs: list[Block] | None = None
        """The line of text that is being read; None between blocks."""
        self._styles: list[str] = []
        self._href = ""
        self._pre: list[str] | None = None
        self._rows: list[list[list[Block]]] = []
        self._sides: list[str] = []
        self._level = 2

    def finished(self) -> list[Block]:
        self._end_text()
        while len(self._open) > 1:
            self._close_container()
        return self._open[0].blocks

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in _CONTAINERS:
            self._end_text()
            opened = _Open(tag)
            start = attributes.get("start") or ""
            # More than ten digits CommonMark itself doesn't take for a number.
            opened.start = int(start) if start.isascii() and start.isdigit() and len(start) < 11 else 1
            self._open.append(opened)
        elif tag == "pre":
            self._end_text()
            self._pre = []
        elif tag == "table":
            self._end_text()
            self._rows, self._sides = [], []
        elif tag == "tr":
            self._rows.append([])
        elif tag == "hr":
            self._end_text()
            self._add({"kind": "line"})
        elif tag == "br":
            self._line().append({"kind": "break"})
        elif tag in _TEXTS:
            self._end_text()
            self._runs = []
            if tag in ("th", "td") and len(self._rows) == 1:
                self._sides.append(attributes.get("align") or "start")
        elif tag == "a":
            url = attributes.get("href") or ""
            self._href = url if 0 < len(url.encode()) <= LONGEST_URL else ""
        elif tag in _STYLES:
            self._styles.append(_STYLES[tag])

    def handle_endtag(self, tag: str) -> None:
        if tag in _CONTAINERS:
            self._end_text()
            self._close_container()
        elif tag == "pre":
            text = "".join(self._pre or ()).removesuffix("\n")
            self._pre = None
            self._styles.clear()
            self._add({"kind": "code", "text": _LONG_CODE.sub(_CODE_PARTED, _UNPRINTABLE.sub("", text))})
        elif tag == "table":
            self._add(_table(self._rows, self._sides))
        elif tag in ("th", "td"):
            self._rows[-1].append(self._taken())
        elif tag in ("h3", "h4"):
            runs = self._taken()
            if not visible(_plain(runs)):
                return
            # A part of a part needs the part: readers of headings would look for what was skipped.
            self._level = min(int(tag[1]), self._level + 1)
            self._add({"kind": "heading", "level": self._level, "runs": runs})
        elif tag == "p":
            self._end_text()
        elif tag == "a":
            self._href = ""
        elif tag in _STYLES and self._styles:
            self._styles.pop()

    def handle_data(self, data: str) -> None:
        if self._pre is not None:
            self._pre.append(data)
            return
        if self._runs is None and not data.strip():
            return
        line = self._line()
        text = words(data.lstrip() if line and line[-1]["kind"] == "break" else data)
        run: Block = {"kind": "run", "text": text}
        if self._styles:
            run["styles"] = sorted(set(self._styles))
        if not self._href:
            line.append(run)
        elif line and line[-1]["kind"] == "link" and line[-1]["url"] == self._href:
            line[-1]["runs"].append(run)
        else:
            line.append({"kind": "link", "url": self._href, "runs": [run]})

    def _line(self) -> list[Block]:
        if self._runs is None:
            self._runs = []
        return self._runs

    def _taken(self) -> list[Block]:
        runs, self._runs = self._runs or [], None
        return runs

    def _end_text(self) -> None:
        if any(run["kind"] != "run" or run["text"].strip() for run in self._runs or ()):
            self._add({"kind": "text", "runs": self._taken()})
        self._runs = None

    def _add(self, block: Block) -> None:
        self._open[-1].blocks.append(block)

    def _close_container(self) -> None:
        closed = self._open.pop()
        within = self._open[-1]
        if closed.tag == "li":
            within.items.append(closed.blocks)
        elif sum(each.tag in ("ul", "ol", "blockquote") for each in self._open) >= DEEPEST:
            within.blocks += [*closed.blocks, *(block for item in closed.items for block in item)]
        elif closed.tag in ("ul", "ol"):
            loose = any(sum(block["kind"] == "text" for block in item) > 1 for item in closed.items)
            start = closed.start if closed.tag == "ol" else None
            within.blocks.append({"kind": "list", "start": start, "loose": loose, "items": closed.items})
        else:
            kind = "quote" if closed.tag == "blockquote" else "notes"
            within.blocks.append({"kind": kind, "blocks": closed.blocks})


def _table(rows: list[list[list[Block]]], sides: list[str]) -> Block:
    """A table; where its longest words have no room beside each other, its rows as lists, each cell under its head."""
    head, *body = rows or [[]]
    needed = sum(
        2 + max((len(word) for row in rows for word in _plain(row[at]).replace("\u200b", " ").split()), default=0)
        for at in range(len(head))
    )
    if needed > LINE * _SMALLER:
        told = body or [[[] for _ in head]]
        return {"kind": "rows", "rows": [[list(pair) for pair in zip(head, row, strict=False)] for row in told]}
    return {"kind": "table", "small": needed > LINE, "sides": sides, "head": head, "rows": body}


def _plain(runs: list[Block]) -> str:
    return "".join(_texts(runs))


def _texts(runs: list[Block]) -> Iterator[str]:
    for run in runs:
        if run["kind"] == "link":
            yield from _texts(run["runs"])
        else:
            yield run.get("text", " ")
