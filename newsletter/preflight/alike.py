"""Whether all renditions tell the same: every story, link and credit in each, in the same order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from newsletter.preflight.facts import Facts, Trouble
from newsletter.preflight.finding import Found, looks_for
from newsletter.render import pdf
from newsletter.render.rendering import for_nobody

_ENOUGH = 40
"""Letters of a story's beginning that are looked for."""
_FILES = {"the HTML": "issue.mjml", "the text": "issue.txt", "the page": "page.html"}
"""The template that makes a rendition; feed entries are made by none."""


@looks_for("not-rendered")
def not_rendered(facts: Facts) -> Iterator[Found]:
    for trouble in facts.troubles:
        if trouble.rule == "not-rendered":
            yield Found(trouble.what, trouble.remedy, trouble.story, row=_row(facts, trouble))


@looks_for("no-pdf")
def no_pdf(facts: Facts) -> Iterator[Found]:
    for trouble in facts.troubles:
        if trouble.rule == "no-pdf":
            yield Found(trouble.what, trouble.remedy, trouble.story, row=_row(facts, trouble), where="the PDF")


def _row(facts: Facts, trouble: Trouble) -> int | None:
    """On which line of a story's text it is. What is said of a first line may be about a headline that has fields."""
    doubtful = trouble.story is not None and trouble.row == 0 and "[[" in facts.story(trouble.story).headline
    return None if doubtful else trouble.row


@looks_for("pdf-emoji")
def emoji(facts: Facts) -> Iterator[Found]:
    lacking = pdf.left_out(facts.pdf) if facts.pdf else ()
    told: dict[int | None, tuple[list[str], int | None]] = {}
    for each in lacking:
        within = [passage for passage in facts.passages if each in passage.text and passage.story is not None]
        first = within[0] if within else None
        story, row = (first.story, first.at(first.text.index(each))) if first else (None, None)
        told.setdefault(story, ([], row))[0].append(each)
    for story, (several, row) in told.items():
        yield Found(
            f"no font here has {', '.join(several[:5])}{', …' if len(several) > 5 else ''}, so the PDF does without",
            "Put a font with emoji into the folder that fonts in config.toml names, or install one (Debian:"
            " fonts-noto-color-emoji), or take it out.",
            story,
            row=row,
            where="the PDF",
        )


@looks_for("renditions-differ")
def different(facts: Facts) -> Iterator[Found]:
    if facts.tree is None or facts.page_tree is None:
        return
    readied, html = for_nobody(facts.edition)
    shown = _shown(facts)
    for where, (text, leads, pictures) in shown.items():
        file = _FILES.get(where)
        remedy = f"Put it into {file} of the design, or give it back its place." if file else "Report this fault."
        at = 0
        for story in readied.stories:
            whole = True
            for what, letters in (
                ("its headline", _letters(story.headline)),
                ("the beginning of its text", _beginning(html[story.position])),
            ):
                found = text.find(letters, at)
                if found < 0:
                    whole = letters in text
                    lacking = "is out of its order" if whole else "is missing"
                    yield Found(f"{what} {lacking} in {where}", remedy, story.position, "headline")
                    break
                at = found + len(letters)
            # Where its text is missing, so are its links.
            for url in _links(facts, story.position, html[story.position]) if whole else ():
                if not leads(url):
                    yield Found(f"its link to {url} is missing in {where}", remedy, story.position, "link")
            credit = _letters(story.picture.credit) if story.picture else ""
            # Where a design leaves the picture out, as every text does, there is no credit to give.
            if credit and story.picture and story.picture.url in pictures and credit not in text:
                yield Found(f"its picture's credit is missing in {where}", remedy, story.position, "credit")


def _shown(facts: Facts) -> dict[str, tuple[str, Callable[[str], bool], set[str]]]:
    """By rendition, for whom nothing is known of: its letters, whether it leads somewhere, and its pictures."""
    from lxml import html as lxml_html

    def read(tree: Any) -> tuple[str, Callable[[str], bool], set[str]]:
        links = {_same(a.get("href") or "") for a in tree.iter("a")}
        return _letters(_seen(tree)), links.__contains__, {str(picture.get("src")) for picture in tree.iter("img")}

    text = facts.text_for("")
    words = re.sub(r"\[\d+\]", "", text)
    made = {
        "the HTML": read(lxml_html.document_fromstring(facts.html_for(""))),
        # What stands behind an address there, a full stop or a Japanese word, isn't parted from it.
        "the text": (_letters(words), unquote(text).__contains__, set[str]()),
        "the page": read(facts.page_tree),
    }
    if facts.entry:
        made["the feed entry"] = read(lxml_html.document_fromstring(facts.entry))
    return made


def _seen(tree: Any) -> str:
    body = tree.find("body")
    return "".join(body.itertext()) if body is not None else ""


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.casefold()))


def _beginning(html: str) -> str:
    """The first letters of a story's first paragraph; "" where it has none, or only in a table or a list."""
    from lxml import html as lxml_html

    if not (found := re.match(r"\s*<p>(.*?)</p>", html, re.DOTALL)):
        return ""
    inner = re.sub(r"<sup>.*?</sup>", "", found[1])
    return _letters(lxml_html.fromstring(f"<p>{inner}</p>").text_content())[:_ENOUGH]


def _links(facts: Facts, position: int, html: str) -> list[str]:
    """Where a story leads whoever reads it. Addresses with a field in them are each reader's own, and left out, and so
    is what stands between [[if …]] and [[end]] for readers of whom something is known.
    """
    from lxml import html as lxml_html

    story = facts.story(position)
    shown = {_same(a.get("href") or "") for a in lxml_html.fromstring(f"<div>{html}</div>").iter("a")}
    links = facts.readings[position].links
    inner = [_same(each.url) for each in links if each.url and "[[" not in unquote(each.written)]
    return list(dict.fromkeys([*filter(shown.__contains__, inner), *([_same(story.link)] if story.link else [])]))


def _same(url: str) -> str:
    return unquote(url).rstrip("/")
