"""A story as its author wrote it: where in its file what stands, its links, its words with their lines."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from newsletter import story_file
from newsletter.errors import FieldMistake
from newsletter.fields import URLS, Marks, Value, read
from newsletter.render.links import absolute


@dataclass(frozen=True, slots=True)
class Source:
    """The file that a story came from, still the same: lines from 1."""

    file: str
    body: int
    """The line on which its text begins."""
    keys: Mapping[str, int]
    """The line of each key of its front matter."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that readers see."""

    text: str
    story: int | None = None
    key: str = "body"
    row: int | None = None
    """The row of the body on which it begins, from 0."""
    where: str = ""

    def at(self, offset: int) -> int | None:
        """The row of what stands at an offset of it."""
        return None if self.row is None else self.row + self.text.count("\n", 0, offset)


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a story's text."""

    words: str
    written: str
    """Its address as it was written."""
    url: str | None
    """The address that readers get; None where it isn't a whole one, or a reader's own page."""
    row: int
    own: bool = False
    """It leads to a reader's own page, such as [[unsubscribe_url]]."""
    picture: bool = False
    """It stands for a picture within the text."""


@dataclass(slots=True)
class Reading:
    """What there is in a story's text."""

    passages: list[Passage] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    columns: tuple[int, int] = (0, 0)
    """Of its widest table, and the row on which that begins."""
    depth: tuple[int, int] = (0, 0)
    """Of its deepest list, likewise."""


@functools.cache
def _markdown() -> MarkdownIt:
    # As newsletter.render.markdown has it, without the typographer: words stay as they were typed.
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 100}).enable(["table", "strikethrough"])
    return made.use(footnote_plugin)


def reading(body: str, names: frozenset[str], story: int) -> Reading:
    """A story's Markdown, read for what stands where. Merge fields stay in the words as they were written."""
    marks = Marks(names, [body])
    try:
        hidden = marks.hide(body)
    except FieldMistake:
        # Rendering says where; here it is read as it stands.
        hidden = body
    made = Reading()
    row = depth = columns = 0
    in_head = False
    for token in _markdown().parse(hidden, {}):
        if token.map:
            row = token.map[0]
        if token.type in ("bullet_list_open", "ordered_list_open"):
            depth += 1
            made.depth = max(made.depth, (depth, row), key=lambda pair: pair[0])
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type == "thead_open":
            in_head, columns = True, 0
        elif token.type == "thead_close":
            in_head = False
            made.columns = max(made.columns, (columns, row), key=lambda pair: pair[0])
        elif token.type == "th_open" and in_head:
            columns += 1
        elif token.type == "inline":
            _inline(token, row, marks, made, story)
    return made


def _inline(token: Token, row: int, marks: Marks, made: Reading, story: int) -> None:
    text = ""
    begun: list[tuple[int, str, int]] = []
    for child in token.children or ():
        if child.type in ("softbreak", "hardbreak"):
            text += "\n"
        elif child.type == "text":
            text += child.content
        elif child.type == "code_inline":
            text += " "
        elif child.type == "link_open":
            begun.append((len(text), str(child.attrs["href"]), text.count("\n")))
        elif child.type == "link_close" and begun:
            start, href, below = begun.pop()
            made.links.append(_link(text[start:], href, row + below, marks))
        elif child.type == "image":
            words = "".join(each.content for each in child.children or ())
            link = _link(words, str(child.attrs.get("src", "")), row + text.count("\n"), marks)
            made.links.append(Link(link.words, link.written, link.url, link.row, link.own, picture=True))
            text += words
    made.passages.append(Passage(_shown(text, marks), story, row=row))


def _link(words: str, href: str, row: int, marks: Marks) -> Link:
    framed = marks.frame(href)
    written = _shown(href, marks)
    expression = read(framed[1 : framed.find("\x03")], marks.names) if framed.startswith("\x02") else None
    own = isinstance(expression, Value) and expression.name in URLS
    # A field within an address is a value of each reader's: any word stands for it here.
    url = None if own else absolute(re.sub("\x02[^\x03]*\x03", "x", framed))
    return Link(_shown(words, marks).strip(), written, url, row, own)


def _shown(text: str, marks: Marks) -> str:
    return re.sub("\x02([^\x03]*)\x03", r"[[\1]]", marks.frame(text))


_KEY = re.compile(r"([a-z_]+)\s*:")


def source(written: str, body: str, folder: Path) -> Source | None:
    """Where a draft's parts stand in the file that it came from; None where that is gone, or says something else."""
    if not written:
        return None
    for path in (folder / written, Path(written)):
        try:
            if not path.is_file() or path.stat().st_size > story_file.LARGEST:
                continue
            text = path.read_text("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, ValueError):
            continue
        if body and (at := text.find(body)) >= 0:
            file = str(path.relative_to(folder)) if path.is_relative_to(folder) else written
            return Source(file, text.count("\n", 0, at) + 1, dict(_keys(text[:at])))
    return None


def _keys(front: str) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(front.split("\n"), 1):
        if found := _KEY.match(line):
            yield found[1], number
