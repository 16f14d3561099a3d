"""The sample digest as an edition, for tests and benchmarks of rendering: no database behind it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import msgspec

from newsletter import config, fields, story_file
from newsletter.render.edition import Edition, PictureView, StoryView, anchors

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "templates"
PICTURES = "https://digest.example.org/pictures"


def sample(**publication: Any) -> Edition:
    """Vol 2 No 21 of the sample publication, the publication changed by keyword."""
    settings = config.read(ROOT / "config.toml")
    slug, its = next(iter(settings.publications.items()))
    read = [
        story_file.read(path.read_bytes(), {slug: its.sections}, beside=path.parent, publication=slug)
        for path in sorted((ROOT / "sample" / "stories").glob("[1-5]*.md"))
    ]
    names = anchors([(at, story.written.headline) for at, story in enumerate(read, 1)])
    page = f"{settings.base_url}/{slug}/2/21"
    stories = tuple(
        StoryView(
            position=at,
            headline=story.written.headline,
            anchor=name,
            url=f"{page}#{name}",
            section=story.written.section,
            body=story.written.body,
            link=story.written.link,
            author=story.written.author,
            picture=PictureView(
                f"{PICTURES}/{'ab' * 32}.png",
                640,
                320,
                1280,
                640,
                story.written.alt,
                story.written.credit,
                ROOT / "sample" / "stories" / story.picture,
            )
            if story.picture
            else None,
        )
        for at, (story, name) in enumerate(zip(read, names, strict=True), 1)
    )
    return Edition(
        publication=msgspec.structs.replace(its, **publication),
        slug=slug,
        base_url=settings.base_url,
        volume=2,
        number=21,
        through=None,
        date=dt.date(2023, 11, 14),
        subject=f"US-Japan Alliance Digest 2.21: {stories[0].headline}",
        preheader="Blinken in Tokyo · Allies line up on humanitarian aid and energy · Resolute Dragon ends",
        stories=stories,
        fields=fields.known(settings.attributes),
    )


def telling(body: str, *, edition: Edition | None = None, **story: Any) -> Edition:
    """The sample with one story only, which has this text and no link of its own."""
    edition = edition or sample()
    one = dataclasses.replace(edition.stories[0], **{"body": body, "link": "", "picture": None, **story})
    return dataclasses.replace(edition, stories=(one,))
