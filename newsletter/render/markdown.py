"""A story's Markdown as tokens, once: HTML and plain text are both made from them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from newsletter.errors import DraftMistake
from newsletter.render.links import absolute, host
from newsletter.render.typography import kept_together, quotes, spaceless

_TAGS = frozenset(
    "p a br hr em strong s sup code pre ul ol li blockquote h3 h4 table thead tbody tr th td div".split()  # noqa: SIM905
)
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}, "div": {"class"}}

_DEEPEST = 100
"""Levels: a list in a list is two more, a quotation one."""
_DEEPEST_QUOTES = 8
_DEEPEST_STYLES = 4
"""How many of emphasis, strong emphasis and strikethrough within each other make a difference."""
_STYLES = ("em", "strong", "s")
_WIDEST_TABLE = 73
"""Characters: of the longest word of each of its columns, and two between them."""


@dataclass(frozen=True, slots=True)
class Body:
    """A story's text, parsed: its blocks, with footnotes at the end."""

    tokens: tuple[Token, ...]

    def links(self) -> Iterator[str]:
        """Every address that the text links to, in order."""
        for token in self.tokens:
            for child in token.children or ():
                if child.type == "link_open":
                    yield str(child.attrs["href"])


@functools.lru_cache(maxsize=16)
def _markdown(language: str) -> MarkdownIt:
    # What is deeper the parser leaves out, rather than be brought down by it; `parse` says so.
    options = {
        "typographer": True,
        "html": False,
        "xhtmlOut": True,
        "quotes": quotes(language),
        "maxNesting": _DEEPEST,
    }
    made = MarkdownIt("commonmark", options).enable(["table", "strikethrough", "replacements", "smartquotes"])
    made.use(footnote_plugin)
    for name, html in (
        ("footnote_block_open", '<div class="notes">\n'),
        ("footnote_block_close", "</div>\n"),
        ("footnote_open", ""),
        ("footnote_close", ""),
    ):
        made.add_render_rule(name, _constant(html))
    made.add_render_rule("footnote_ref", _number)
    return made


def _constant(html: str) -> Callable[..., str]:
    return lambda *_: html


def _number(_: object, tokens: list[Token], at: int, *__: object) -> str:
    return f"<sup>{tokens[at].meta['id'] + 1}</sup>" + (" " if tokens[at].meta.get("note") else "")


def parse(text: str, language: str, is_field: Callable[[str], bool] = lambda _: False, where: str = "") -> Body:
    """A story's Markdown, its merge fields already hidden; `is_field` knows a hidden field that is an address.

    CommonMark with tables, strikethrough and footnotes; HTML in it is text. A link that isn't a whole web
    address is only its words. A picture within the text is a link to it, its words the alt text: nothing is
    fetched while rendering, so its size can't be known, and a picture without one makes mail jump.
    Headings stand below the story's own. DraftMistake, with `where` and the line of the text, for lists and quotations
    that go too deep to be read.
    """
    env: dict[str, object] = {}
    tokens = _markdown(language).parse(text, env)
    for token in tokens:
        if token.level >= _DEEPEST - 1 and token.type in ("blockquote_open", "list_item_open"):
            raise DraftMistake(
                f"lists or quotations stand within each other {_DEEPEST // 2 - 1} deep and deeper",
                where=f"{where}, its text" if where else "the text",
                line=token.map[0] + 1 if token.map else None,
                remedy="Take some of their marks away.",
            )
    headings = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    top = min(headings, default=1)
    footnote: int | None = None
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h3" if int(token.tag[1]) == top else "h4"
        elif token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs = {"align": str(token.attrs["style"]).removeprefix("text-align:")}
        elif token.type == "footnote_open":
            footnote = token.meta["id"]
        if token.type == "inline" and token.children is not None:
            token.children = _inline(token.children, is_field)
            if footnote is not None:
                token.children.insert(0, Token("footnote_ref", "", 0, meta={"id": footnote, "note": True}))
                footnote = None
    return Body(tuple(_shallow(token for token in tokens if token.type != "footnote_anchor")))


def _shallow(tokens: Iterable[Token]) -> Iterator[Token]:
    """Tokens without the quotations that leave no room for words; what is in them stands in the one around them."""
    depth = 0
    for token in tokens:
        if token.type in ("blockquote_open", "blockquote_close"):
            depth -= token.nesting < 0
            within = depth
            depth += token.nesting > 0
            if within >= _DEEPEST_QUOTES:
                continue
        yield token


def _inline(children: list[Token], is_field: Callable[[str], bool]) -> list[Token]:
    made: list[Token] = []
    linked: list[bool] = []
    depth = 0
    for token in children:
        if token.tag in _STYLES:
            # Opening, it stands within so many others; closing, likewise.
            depth -= token.nesting < 0
            within = depth
            depth += token.nesting > 0
            if within >= _DEEPEST_STYLES:
                continue
        if token.type == "link_open":
            url = str(token.attrs["href"])
            whole = url if is_field(url) else absolute(url)
            linked.append(whole is not None)
            if whole is not None:
                token.attrs["href"] = whole
                made.append(token)
        elif token.type == "link_close":
            if linked.pop():
                made.append(token)
        elif token.type == "image":
            made += _picture_link(token, inside=any(linked))
        elif token.type != "footnote_anchor":
            if token.type == "text":
                token.content = kept_together(token.content)
            made.append(token)
    return [
        token
        for at, token in enumerate(made)
        if not (
            token.type == "softbreak"
            and 0 < at < len(made) - 1
            and spaceless(made[at - 1].content, made[at + 1].content)
        )
    ]


def _picture_link(token: Token, *, inside: bool) -> list[Token]:
    url = absolute(str(token.attrs.get("src", "")))
    words = "".join(child.content for child in token.children or ()) or (host(url) if url else "")
    text = Token("text", "", 0, content=words)
    if url is None or inside:
        return [text]
    return [Token("link_open", "a", 1, attrs={"href": url}), text, Token("link_close", "a", -1)]


def _narrowed(tokens: Sequence[Token]) -> Iterator[Token]:
    """Tokens with the tables that are too wide for a mail as lists."""
    table: list[Token] | None = None
    for token in tokens:
        if token.type == "table_open":
            table = []
        if table is None:
            yield token
            continue
        table.append(token)
        if token.type == "table_close":
            rows = list(_rows(table))
            widths = (2 + max(map(_longest_word, column)) for column in zip(*rows, strict=False))
            yield from table if sum(widths) <= _WIDEST_TABLE else _listed(rows)
            table = None


def _rows(table: Sequence[Token]) -> Iterator[list[Token]]:
    row: list[Token] = []
    for token in table:
        if token.type == "inline":
            row.append(token)
        elif token.type == "tr_close":
            yield row
            row = []


def _longest_word(cell: Token) -> int:
    said = "".join(child.content if child.type in ("text", "code_inline") else " " for child in cell.children or ())
    return max(map(len, said.split()), default=0)


def _listed(rows: Sequence[Sequence[Token]]) -> Iterator[Token]:
    head, *body = rows
    yield Token("bullet_list_open", "ul", 1, block=True)
    for row in body or [[Token("inline", "", 0, children=[]) for _ in head]]:
        yield Token("list_item_open", "li", 1, block=True)
        yield Token("paragraph_open", "p", 1, block=True)
        line: list[Token] = []
        for name, cell in zip(head, row, strict=False):
            if line:
                line.append(Token("hardbreak", "br", 0))
            if name.children:
                line += [Token("strong_open", "strong", 1), *name.children, Token("strong_close", "strong", -1)]
                line.append(Token("text", "", 0, content=": "))
            line += cell.children or []
        yield Token("inline", "", 0, children=line)
        yield Token("paragraph_close", "p", -1, block=True)
        yield Token("list_item_close", "li", -1, block=True)
    yield Token("bullet_list_close", "ul", -1, block=True)


def to_html(body: Body, language: str) -> str:
    """A story's text as HTML: closed elements from a short list, and nothing that runs, loads or styles.

    A table whose longest words have no room beside each other is a list of its rows, each cell behind its head.
    """
    maker = _markdown(language)
    html = maker.renderer.render(list(_narrowed(body.tokens)), maker.options, {})
    # markdown-it lets no HTML through; the sanitiser holds even if one day it did.
    return nh3.clean(
        html,
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        link_rel=None,
        url_schemes={"https", "http", "mailto", "tel"},
    ).strip()
