"""What went before: stories that readers have had, numbers and dates, sources."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from newsletter import numbering
from newsletter.config import NumberingScheme
from newsletter.numbering import Number
from newsletter.preflight.facts import Earlier, Facts
from newsletter.preflight.finding import Found, looks_for
from newsletter.preflight_rules import Level
from newsletter.render.edition import StoryView

_SOURCE = re.compile(
    r"\b(?:sources?|quellen?|fuentes?|fonti?|fontes?|bron(?:nen)?|źródł[oa]|источники?|джерел[оа])\s*:"
    r"|(?:出典|資料|来源|來源|출처|المصدر|المصادر|מקור(?:ות)?)\s*[:\uff1a]",
    re.IGNORECASE,
)


@looks_for("used-before")
def used_before(facts: Facts) -> Iterator[Found]:
    for at, story in enumerate(facts.edition.stories):
        if twin := next((each for each in facts.edition.stories[:at] if _alike(each.body, story.body)), None):
            same = twin.body.strip() == story.body.strip()
            yield Found(
                f"story {twin.position} has {'' if same else 'nearly '}the same text",
                "Drop one of the two drafts." if same else "See whether they are two.",
                story.position, row=0, level=None if same else Level.note,
            )  # fmt: skip
        # The strongest that can be said of it is told: of its text, then of its headline, then of its source.
        for had in (_text_had, _headline_had, _source_had):
            if said := next((said for told in facts.earlier if (said := had(story, told))), None):
                yield said
                break


def _text_had(story: StoryView, told: Earlier) -> Found | None:
    if told.body.strip() == story.body.strip():
        return Found(f"its text was in {told.issue}", "Drop its draft.", story.position, row=0)
    if _alike(told.body, story.body):
        what = f"its text was in {told.issue}, but for small changes"
        return Found(what, "Drop its draft, or tell only what is new.", story.position, row=0)
    return None


def _headline_had(story: StoryView, told: Earlier) -> Found | None:
    if told.headline.strip().casefold() != story.headline.strip().casefold():
        return None
    return Found(
        f"its headline was in {told.issue}", "If it is news, say so in its headline.", story.position, "headline"
    )


def _source_had(story: StoryView, told: Earlier) -> Found | None:
    if not told.link or told.link != story.link:
        return None
    return Found(
        f'{told.issue} had a story from the same source, "{told.headline}"', "See whether it is another.",
        story.position, "link", level=Level.note,
    )  # fmt: skip


def _alike(one: str, other: str) -> bool:
    """Whether two texts are the same but for small changes: of their runs of letters most are in both."""
    if one.strip() == other.strip():
        return bool(one.strip())
    if not 0.5 < len(one) / max(1, len(other)) < 2:
        return False
    ours, theirs = _runs(one), _runs(other)
    return min(len(ours), len(theirs)) >= _ENOUGH and len(ours & theirs) >= 0.6 * len(ours | theirs)


_ENOUGH = 40
"""Runs of letters from which it can be told."""


@functools.lru_cache(maxsize=64)
def _runs(text: str) -> frozenset[str]:
    letters = "".join(filter(str.isalnum, text[:8000].casefold()))
    # Four Japanese characters say as much as eight letters.
    size = 8 if " " in text[:100] else 4
    return frozenset(letters[at : at + size] for at in range(len(letters) - size + 1))


@looks_for("number-order")
def number_order(facts: Facts) -> Iterator[Found]:
    edition = facts.edition
    own = Number(edition.volume, edition.number, edition.through)
    where = "the masthead"
    remedy = (
        "Give it its number: newsletter issue edit next --volume … --number …"
        " (once it is assembled, newsletter issue reopen it first)."
    )
    if facts.ahead is not None:
        yield Found(f"{own} comes after {facts.ahead} in the calendar", remedy, where=where)
    if facts.last is None:
        return
    settings = edition.publication.numbering
    following = numbering.next_number(settings, facts.last, edition.date)
    last = facts.last.number
    if settings.scheme is NumberingScheme.hand or following is None:
        fits = (own.volume, own.number) in ((last.volume, last.last + 1), (last.volume + 1, 1))
        expected = f"{last.volume}.{last.last + 1} or {last.volume + 1}.1"
    else:
        fits = (own.volume, own.number) == (following.volume, following.number)
        expected = str(following)
    if not fits:
        yield Found(f"after {last} comes {expected}, and this is {own}", remedy, where=where)


@looks_for("date-differs")
def date_differs(facts: Facts) -> Iterator[Found]:
    if facts.edition.date != facts.goes:
        yield Found(
            f"it says {facts.edition.date}, and the issue goes on {facts.goes}"
            f" ({facts.edition.publication.cadence.zone})",
            "Reopen the issue and assemble it again for the day on which it goes, or leave it.",
            where="the masthead",
        )


@looks_for("no-source")
def no_source(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        links = [link for link in facts.readings[story.position].links if (link.url or "").startswith("http")]
        # An author's own piece is its own source.
        named = story.author or _SOURCE.search(story.body)
        if not story.link and not links and not named:
            yield Found("it has no link, and its text has none", "Write link: and where it comes from.", story.position,
                        "headline")  # fmt: skip
