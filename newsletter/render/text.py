"""The plain text of a story, from the same tokens as its HTML: a part that is written, not scraped.

Lines have at most 72 columns, as terminals and mail programs count them: a Japanese character takes two, and
lines of it break anywhere but where its typesetters wouldn't. Links are numbered through the issue and listed
under their story.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from markdown_it.tree import SyntaxTreeNode
from wcwidth import wcswidth, wcwidth

from newsletter.render.markdown import Body

COLUMNS = 72
Measure = Callable[[str], int]

_GLUE = "\x1f"
"""Between a word and its [1]: a space that no line breaks at."""
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
# What doesn't begin and what doesn't end a line of Chinese or Japanese (JIS X 4051, the short list).
_NOT_FIRST = frozenset(
    "、。，．・：；？！）］｝〉》」』】〕〗ー々〻ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ’”…‥,.:;?!)]}»›％%"
)
_NOT_LAST = frozenset("（［｛〈《「『【〔〖‘“([{«‹￥＄$£€")


def columns(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    width: int = wcswidth(text.replace(_GLUE, " "))
    return width if width >= 0 else len(text)


class Links:
    """The links of an issue, numbered in the order of their first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, url: str) -> int:
        return self._numbers.setdefault(url, len(self._numbers) + 1)


def wrap(text: str, width: int = COLUMNS, measure: Measure = columns) -> list[str]:
    """Lines of at most `width` columns; a longer word, such as a web address, has one to itself.

    A line break in the text stays, no-break spaces are never broken at.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0
        for word in re.split("[ \t]+", paragraph.strip(" \t")):
            space = bool(line)
            for piece in _pieces(word):
                size = measure(piece)
                if line and used + space + size > width:
                    lines.append(line)
                    line, used, space = "", 0, False
                line += f"{' ' if space else ''}{piece}"
                used += size + space
                space = False
        lines.append(line)
    return [line.replace(_GLUE, " ") for line in lines]


def _pieces(word: str) -> Iterator[str]:
    """A word, parted where a line of Chinese or Japanese may break."""
    if word.isascii() or all(wcwidth(letter) < 2 for letter in word):
        yield word
        return
    begun = 0
    for at, (before, after) in enumerate(pairwise(word), 1):
        if _may_break(before, after):
            yield word[begun:at]
            begun = at
    yield word[begun:]


def _may_break(before: str, after: str) -> bool:
    if after in _NOT_FIRST or before in _NOT_LAST or "\u200d" in (before, after):
        return False
    if _GLUE in (before, after) or "\u00a0" in (before, after) or "\U0001f3fb" <= after <= "\U0001f3ff":
        return False
    wide = [wcwidth(letter) == 2 and not "\uac00" <= letter <= "\ud7a3" for letter in (before, after)]
    return any(wide)


def underlined(text: str, with_: str, width: int = COLUMNS, measure: Measure = columns) -> str:
    """A heading, wrapped, with a line under it as long as its longest."""
    lines = wrap(text, width, measure)
    return "\n".join([*lines, with_ * min(width, max(map(measure, lines)))])


def body(story: Body, links: Links, measure: Measure = columns) -> str:
    """A story's text, and under it its footnotes and its links."""
    told = _Teller(links, measure)
    lines = told.blocks(SyntaxTreeNode(list(story.tokens)).children, COLUMNS)
    listed = [f"[{links.number(url)}] {url}" for url in dict.fromkeys(told.linked)]
    if listed:
        lines += ["", *listed]
    return "\n".join(lines)


class _Teller:
    """Turns the blocks of one story into lines."""

    def __init__(self, links: Links, measure: Measure) -> None:
        self._links = links
        self._measure = measure
        self.linked: list[str] = []

    def blocks(self, nodes: Iterable[SyntaxTreeNode], width: int, *, tight: bool = False) -> list[str]:
        lines: list[str] = []
        for node in nodes:
            made = self._block(node, max(width, 20))
            if lines and made and not tight:
                lines.append("")
            lines += made
        return lines

    def _block(self, node: SyntaxTreeNode, width: int) -> list[str]:
        match node.type:
            case "paragraph":
                return wrap(self._words(node), width, self._measure)
            case "heading":
                return underlined(self._words(node), "-", width, self._measure).split("\n")
            case "blockquote":
                return [f"> {line}".rstrip() for line in self.blocks(node.children, width - 2)]
            case "bullet_list" | "ordered_list":
                return self._list(node, width)
            case "fence" | "code_block":
                return [f"    {line}".rstrip() for line in node.content.rstrip("\n").split("\n")]
            case "hr":
                return ["* * *".center(width).rstrip()]
            case "table":
                return self._table(node, width)
            case "footnote_block":
                return ["", *self.blocks(node.children, width, tight=True)]
            case "footnote":
                inner = self.blocks(node.children, width - 2, tight=True)
                return [line if at == 0 else f"  {line}".rstrip() for at, line in enumerate(inner)]
        return self.blocks(node.children, width)

    def _list(self, node: SyntaxTreeNode, width: int) -> list[str]:
        tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
        lines: list[str] = []
        start = int(node.attrs.get("start", 1))
        last = start + len(node.children) - 1
        for number, item in enumerate(node.children, start):
            mark = "- " if node.type == "bullet_list" else f"{number}.".rjust(len(str(last)) + 1) + " "
            inner = self.blocks(item.children, width - len(mark), tight=tight) or [""]
            if lines and not tight:
                lines.append("")
            lines += [(mark if at == 0 else " " * len(mark) if line else "") + line for at, line in enumerate(inner)]
        return [line.rstrip() for line in lines]

    def _table(self, node: SyntaxTreeNode, width: int) -> list[str]:
        """Columns where they fit; else a paragraph a row, each cell under its head."""
        rows = [
            [(self._cell(cell), str(cell.attrs.get("align", "left"))) for cell in row.children]
            for part in node.children
            for row in part.children
        ]
        widths = [max(self._measure(cell) for cell, _ in column) for column in zip(*rows, strict=True)]
        if sum(widths) + 2 * (len(widths) - 1) <= width:
            padded = (
                [self._padded(cell, size, side) for (cell, side), size in zip(row, widths, strict=True)] for row in rows
            )
            lines = ["  ".join(cells).rstrip() for cells in padded]
            return [lines[0], "  ".join("-" * size for size in widths), *lines[1:]]
        lines = []
        for row in rows[1:]:
            if lines:
                lines.append("")
            for (head, _), (cell, _) in zip(rows[0], row, strict=True):
                first, *more = wrap(f"{head}: {cell}" if head else cell, width - 2, self._measure)
                lines += [first, *(f"  {line}" for line in more)]
        return lines

    def _cell(self, node: SyntaxTreeNode) -> str:
        return self._words(node).replace("\n", " ").replace(_GLUE, " ")

    def _padded(self, text: str, width: int, side: str) -> str:
        room = width - self._measure(text)
        before = room if side == "right" else room // 2 if side == "center" else 0
        return " " * before + text + " " * (room - before)

    def _words(self, node: SyntaxTreeNode) -> str:
        return "".join(self._inline(child) for part in node.children for child in part.children)

    def _inline(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "text":
                return node.content
            case "code_inline":
                return f"`{node.content}`"
            case "softbreak":
                return " "
            case "hardbreak":
                return "\n"
            case "footnote_ref":
                number = str(node.meta["id"] + 1).translate(_SUPERSCRIPT)
                return f"{number}{_GLUE}" if node.meta.get("note") else number
        inner = "".join(map(self._inline, node.children))
        match node.type:
            case "link":
                return self._link(inner, str(node.attrs["href"]))
            case "em":
                return f"_{inner}_"
            case "strong":
                return f"*{inner}*"
            case "s":
                return f"~{inner}~"
        return inner or node.content

    def _link(self, words: str, url: str) -> str:
        if words.strip() in (url, url.removeprefix("mailto:"), url.removeprefix("tel:")):
            return words
        self.linked.append(url)
        return f"{words}{_GLUE}[{self._links.number(url)}]"


def padded(words: str, width: int, measure: Measure = columns) -> str:
    """Words with spaces after them up to `width` columns, and one at the least."""
    return words + " " * max(width - measure(words), 1)


def listing(headlines: Sequence[str], measure: Measure = columns) -> str:
    """Numbered headlines, indented by two, each wrapped under itself."""
    wide = len(str(len(headlines)))
    made: list[str] = []
    for number, headline in enumerate(headlines, 1):
        first, *more = wrap(headline, COLUMNS - wide - 4, measure)
        made += [f"  {number:>{wide}}. {first}", *(" " * (wide + 4) + line for line in more)]
    return "\n".join(made)
