"""A story's Markdown as tokens, once: HTML and plain text are both made from them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from newsletter.render.links import absolute, host
from newsletter.render.typography import kept_together, quotes, spaceless

_TAGS = frozenset(
    "p a br hr em strong s sup code pre ul ol li blockquote h3 h4 table thead tbody tr th td div".split()  # noqa: SIM905
)
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"align"}, "td": {"align"}, "div": {"class"}}


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
    # Deeper than a hundred levels no text goes; what does is cut off rather than let it bring the parser down.
    options = {"typographer": True, "html": False, "xhtmlOut": True, "quotes": quotes(language), "maxNesting": 100}
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


def parse(text: str, language: str, is_field: Callable[[str], bool] = lambda _: False) -> Body:
    """A story's Markdown, its merge fields already hidden; `is_field` knows a hidden field that is an address.

    CommonMark with tables, strikethrough and footnotes; HTML in it is text. A link that isn't a whole web
    address is only its words. A picture within the text is a link to it, its words the alt text: nothing is
    fetched while rendering, so its size can't be known, and a picture without one makes mail jump.
    Headings stand below the story's own.
    """
    env: dict[str, object] = {}
    tokens = _markdown(language).parse(text, env)
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
    return Body(tuple(token for token in tokens if token.type != "footnote_anchor"))


def _inline(children: list[Token], is_field: Callable[[str], bool]) -> list[Token]:
    made: list[Token] = []
    linked: list[bool] = []
    for token in children:
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


def to_html(body: Body, language: str) -> str:
    """A story's text as HTML: closed elements from a short list, and nothing that runs, loads or styles."""
    maker = _markdown(language)
    html = maker.renderer.render(list(body.tokens), maker.options, {})
    # markdown-it lets no HTML through; the sanitiser holds even if one day it did.
    return nh3.clean(
        html,
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        link_rel=None,
        url_schemes={"https", "http", "mailto", "tel"},
    ).strip()
