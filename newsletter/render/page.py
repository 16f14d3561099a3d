"""The web page of an issue: the same for everyone who looks, so with no reader's values in it."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import quote

from newsletter import fields
from newsletter.errors import TemplateMistake

_TO_A_FIELD = re.compile(r"(?:href|src|action)=\"\x02", re.IGNORECASE)
_IN_A_LINK = re.compile(r"<[a-zA-Z][^<>]*?\b(?:href|src|action)=\"[^\"<>]*$", re.IGNORECASE)


def plain(framed: str, names: frozenset[str]) -> str:
    """Framed text as it is for nobody in particular: fallbacks filled in, conditions as for unknown values."""
    return "".join(
        part if isinstance(part, str) else part.fallback
        for part in fields.chosen(fields.nodes(framed, names), lambda _: "")
    )


def plain_html(framed: str, names: frozenset[str], where: str | Path) -> str:
    """The same for HTML. TemplateMistake where a link would lead to a reader's own page: nobody has one."""
    if found := _TO_A_FIELD.search(framed):
        line = framed.count("\n", 0, found.start()) + 1
        raise TemplateMistake(
            f"in the expanded template, line {line}: a link on the page needs a reader's own value",
            where=where,
            remedy="The page is the same for all; merge fields are for mails.",
        )
    made = ""
    for part in fields.chosen(fields.nodes(framed, names), lambda _: ""):
        if isinstance(part, str):
            made += part
        else:
            made += quote(part.fallback, safe="") if _IN_A_LINK.search(made) else html.escape(part.fallback)
    return made
