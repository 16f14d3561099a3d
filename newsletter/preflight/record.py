"""What went before: stories that readers have had, numbers and dates, sources."""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter import numbering
from newsletter.config import NumberingScheme
from newsletter.numbering import Number
from newsletter.preflight.facts import Facts
from newsletter.preflight.finding import Found, looks_for
from newsletter.preflight_rules import Level

_SOURCE = re.compile(r"\b(?:sources?|quellen?|fuentes?|fonti?|fontes?)\s*:|(?:出典|資料|来源)\s*[::]", re.IGNORECASE)


@looks_for("used-before")
def used_before(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        for told in facts.earlier:
            if told.body.strip() == story.body.strip():
                yield Found(f"its text was in {told.issue}", "Drop its draft.", story.position, row=0)
            elif told.headline.strip().casefold() == story.headline.strip().casefold():
                yield Found(f"its headline was in {told.issue}", "If it is news, say so in its headline.",
                            story.position, "headline")  # fmt: skip
            elif told.link and told.link == story.link:
                yield Found(
                    f'{told.issue} had a story from the same source, "{told.headline}"', "See whether it is another.",
                    story.position, "link", level=Level.note,
                )  # fmt: skip
            else:
                continue
            break


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
        links = [link for link in facts.readings[story.position].links if link.url is not None]
        # An author's own piece is its own source.
        named = story.author or _SOURCE.search(story.body)
        if not story.link and not links and not named:
            yield Found("it has no link, and its text has none", "Write link: and where it comes from.", story.position,
                        "headline")  # fmt: skip
