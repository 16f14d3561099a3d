"""What preflight knows of the sample, and of samples that somebody spoilt: for tests of its rules, without a database."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from typing import Any

import msgspec
from conftest import NOW
from edition_sample import TEMPLATES, sample

from newsletter.compose import Composer, Content, Reader
from newsletter.preflight import LOOKS, Facts, Finding, findings
from newsletter.preflight.facts import Audience, Earlier
from newsletter.render import render
from newsletter.render.edition import Edition
from newsletter.states import RenditionKind
from newsletter.tokens import Keys

KEYS = Keys(token=(b"k" * 32,), form=(b"o" * 32,), fingerprint=b"f" * 32)
READERS = Audience(340, {"first_name": 0, "city": 0, "plan": 0, "name": 0}, {"first_name": 12, "city": 20, "name": 30})
EARLIER = Earlier(
    "2.20", "A delegation in Nagoya", "https://example.org/sources/nagoya", "Thirty people went to Nagoya."
)


def known(edition: Edition | None = None, **more: Any) -> Facts:
    """The facts of an edition, the sample if none is given; `more` of them by keyword."""
    if edition is None:
        return dataclasses.replace(_sample(), **more)
    made = render(edition, TEMPLATES)
    html, text = made[RenditionKind.html], made[RenditionKind.text]
    content = Content(7, edition.slug, edition.volume, edition.number, edition.subject, html, text)
    composer = Composer(content, edition.publication, edition.base_url, edition.fields, KEYS)
    message = composer.compose(Reader(42, "ada@example.org", "", {}, None), NOW).data
    facts = Facts(
        edition,
        NOW,
        edition.date,
        html=html,
        text=text,
        page=made[RenditionKind.page],
        entry=made[RenditionKind.entry],
        pdf=b"%PDF-1.7",
        message=message,
        audience=READERS,
        earlier=(EARLIER,),
        signs=True,
        pictures={story.picture.url: 80_000 for story in edition.stories if story.picture},
    )
    return dataclasses.replace(facts, **more)


@functools.cache
def _sample() -> Facts:
    return known(sample())


def story(position: int = 2, *, edition: Edition | None = None, **changes: Any) -> Edition:
    """The sample with one of its stories changed."""
    edition = edition or sample()
    stories = tuple(
        dataclasses.replace(each, **changes) if each.position == position else each for each in edition.stories
    )
    return dataclasses.replace(edition, stories=stories)


def saying(body: str, position: int = 2) -> Edition:
    """The sample with another text in one of its stories, behind a sentence or two that nothing is wrong with."""
    start = "The ministers met in Tokyo in the first week of November and spoke for two days. "
    return story(position, body=f"{start}\n\n{body}\n")


def pictured(**changes: Any) -> Edition:
    """The sample with its lead picture changed."""
    first = sample().stories[0]
    assert first.picture is not None
    return story(1, picture=dataclasses.replace(first.picture, **changes))


def publishing(edition: Edition | None = None, **changes: Any) -> Edition:
    """The sample as another publication's."""
    edition = edition or sample()
    return dataclasses.replace(edition, publication=msgspec.structs.replace(edition.publication, **changes))


def found(rule: str, facts: Facts) -> list[Finding]:
    """What one rule finds."""
    return [each for each in findings(facts, {}, {rule: LOOKS[rule]}) if each.rule == rule]


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)
