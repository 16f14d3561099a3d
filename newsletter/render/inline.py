"""CSS into the tags, by premailer, with its faults fenced off: tests/test_render_inline.py holds each of them."""

from __future__ import annotations

import functools
import logging
import re
from typing import Any

from newsletter.render.mjml_check import Wrong

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_DECLARATION = re.compile(r"[a-z-]+\s*:\s*[^:;{}]+(?:\s*!important)?|", re.IGNORECASE)
_SHORT = re.compile(r"#[0-9a-fA-F]{3}(?![0-9a-fA-F])")
_MODERN = re.compile(r"var\(|calc\(|min\(|max\(|clamp\(|(?:rgb|hsl)a?\([^,)]*\)", re.IGNORECASE)
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_STYLE = re.compile(r"<style(?=[\s>])")
_HEAD = "Put it into an <mj-style> of issue.mjml: that stays in the head."
_KEPT = ["width", "height", "align", "valign", "bgcolor"]
"""Attributes that premailer would write anew from the style: width="176" would become width="100%"."""


def inlined(html: str, css: str) -> str:
    """The HTML with the rules of `css` in its elements; nothing else of it is changed, and nothing is fetched.

    `<style>` in it stays as it is, with its media queries and rules for single mail programs. ValueError with
    premailer's words where it can't be done.
    """
    doctype = _DOCTYPE.match(html)
    body = html[doctype.end() :] if doctype else html
    body = _STYLE.sub('<style data-premailer="ignore"', body)
    try:
        made = _inliner()(
            body,
            css_text=css,
            allow_network=False,
            strip_important=False,
            disable_validation=True,
            align_floating_images=False,
            cssutils_logging_level=logging.CRITICAL,
            disable_basic_attributes=_KEPT,
        ).transform(pretty_print=False)
    # lxml, cssselect and cssutils, in whose errors nothing is common.
    except Exception as error:
        raise ValueError(f"its CSS can't be written into the tags: {error or type(error).__name__}") from error
    return "<!doctype html>" + str(made).replace(' data-premailer="ignore"', "")


def load() -> None:
    """Loads premailer, which the first `inlined` of a process does otherwise: it takes a fifth of a second."""
    _inliner()


@functools.cache
def _inliner() -> type[Any]:
    """Premailer, parsing a design's sheet once: that took nine tenths of its time.

    It keeps what its functions made in one cache, by their arguments alone, so that style="p" was answered with
    what the selector p had been made into: by what was rendered before, an error or none. Selectors get their own.
    """
    from lxml.cssselect import CSSSelector
    from premailer import Premailer, premailer

    premailer._create_cssselector = functools.lru_cache(maxsize=1024)(CSSSelector)  # noqa: SLF001

    class Inliner(Premailer):  # type: ignore[misc]
        def _parse_style_rules(self, css: str, index: int) -> tuple[list[Any], list[Any]]:
            if css not in _parsed:
                if len(_parsed) >= _MOST_PARSED:
                    _parsed.clear()
                _parsed[css] = super()._parse_style_rules(css, index)
            rules, leftover = _parsed[css]
            return list(rules), list(leftover)

    return Inliner


_MOST_PARSED = 16
_parsed: dict[str, tuple[list[Any], list[Any]]] = {}
"""Sheets by their text. Each stands alone in its document, so the index it has there is the same."""


@functools.lru_cache(maxsize=16)
def css_wrongs(css: str) -> tuple[Wrong, ...]:
    """What is wrong with a sheet that is to be inlined: premailer would drop it, or fall over it, in silence."""
    from cssselect import SelectorError, parse

    blank = _COMMENT.sub(lambda comment: re.sub(r"[^\n]", " ", comment[0]), css)
    found = [
        Wrong(each.start(), f"{each[0]} can't be written into a tag", _HEAD) for each in re.finditer("@[a-z-]+", blank)
    ]
    if found:
        return tuple(found)
    for rule in _RULE.finditer(blank):
        selectors = rule[1].strip()
        at = rule.start() + len(rule[1]) - len(rule[1].lstrip())
        try:
            parse(selectors)
        except SelectorError as error:
            found.append(Wrong(at, f'"{selectors}" is not a selector: {error}'))
        if lost := re.search(r":[a-z-]+|\*", selectors):
            found.append(Wrong(at, f"{lost[0]} can't be written into a tag", _HEAD))
        place = rule.start(2)
        for declaration in rule[2].split(";"):
            start = place + len(declaration) - len(declaration.lstrip())
            place += len(declaration) + 1
            words = declaration.strip()
            if not _DECLARATION.fullmatch(words):
                found.append(Wrong(start, f'"{words}" is not a declaration', "Write property: value; and no more."))
            elif short := _SHORT.search(words):
                found.append(Wrong(start, f"{short[0]} is a colour of three digits", "Outlook wants six."))
            elif modern := _MODERN.search(words):
                found.append(Wrong(start, f"{modern[0]} isn't understood by mail programs", "Write a plain value."))
    rest = _RULE.sub(lambda rule: re.sub(r"[^\n]", " ", rule[0]), blank)
    if stray := re.search(r"\S", rest):
        found.append(Wrong(stray.start(), "a rule is not closed, or closed twice"))
    return tuple(found)
