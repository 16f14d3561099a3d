"""The web page of an issue: the same for everyone who looks, so with no reader's values in it."""

from __future__ import annotations

import html
import re
from pathlib import Path

from newsletter import fields
from newsletter.errors import TemplateMistake

_TO_A_FIELD = re.compile(r"<a href=\"\x02[^\"]*\"[^>]*>(.*?)</a>", re.DOTALL)
_LINKED = re.compile(r"(?:href|src|action)=\"[^\"]*\x02", re.IGNORECASE)


def plain(framed: str, names: frozenset[str]) -> str:
    """Framed text as it is for nobody in particular: fallbacks filled in, conditions as for unknown values."""
    return "".join(
        part if isinstance(part, str) else part.fallback
        for part in fields.chosen(fields.nodes(framed, names), lambda _: "")
    )


def plain_html(framed: str, names: frozenset[str], where: str | Path) -> str:
    """The same for HTML. A link that would lead to a reader's own page, such as the one to leave by, is its words.

    TemplateMistake where a link leads to a reader's own page from the template itself: nobody's would be dead.
    """
    framed = _TO_A_FIELD.sub(r"\1", framed)
    if found := _LINKED.search(framed):
        line = framed.count("\n", 0, found.start()) + 1
        raise TemplateMistake(
            f"in the expanded template, line {line}: a link on the page needs a reader's own value", where=where,
            remedy="The page is the same for all; merge fields are for mails.",
        )
    return "".join(
        part if isinstance(part, str) else html.escape(part.fallback)
        for part in fields.chosen(fields.nodes(framed, names), lambda _: "")
    )
