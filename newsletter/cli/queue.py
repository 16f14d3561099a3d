"""The queue of stories as it is shown: as a table, as facts for machines, as a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.common import console, listed, plural, state, table
from newsletter.folder import Folder
from newsletter.models import Draft
from newsletter.states import DraftState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def as_file(folder: Folder, found: Draft) -> str:
    """A draft as a story's file, its picture by its path from the publication's folder."""
    from newsletter import pictures, story_file
    from newsletter.drafts import QUEUED, Written

    picture = ""
    if found.picture:
        path = pictures.path(folder.pictures, found.picture)
        picture = str(path.relative_to(folder.path) if path.is_relative_to(folder.path) else path)
    written = Written(
        found.headline,
        found.body,
        found.section,
        found.link,
        found.author,
        found.picture_alt,
        found.picture_credit,
        found.not_before,
        found.not_after,
    )
    queued = found.state if found.state in QUEUED else None
    return story_file.write(story_file.StoryFile(written, picture, queued))


def named(found: Draft) -> str:
    """A draft in a line: "3: Headline (Section)"."""
    return f"{found.id}: {found.headline}{f' ({found.section})' if found.section else ''}"


def zone(folder: Folder, publication: str) -> dt.tzinfo:
    """The zone of a publication's clock."""
    from newsletter import config

    return config.zone(folder.publication(publication)[1].cadence.zone)


def places(session: Session, publication: str) -> dict[int, int]:
    """Draft id: number in the queue, from 1."""
    from newsletter import drafts

    return {each.id: place for place, each in enumerate(drafts.listing(session, publication), 1)}


def facts(folder: Folder, session: Session, found: Draft, places: dict[int, int]) -> dict[str, Any]:
    """A draft for machines, without its text."""
    from newsletter import drafts, pictures

    picture = found.picture and {
        "url": pictures.url(folder.config.base_url, found.picture),
        "width": found.picture.width,
        "height": found.picture.height,
        "size": found.picture.size,
        "alt": found.picture_alt,
        "credit": found.picture_credit,
    }
    return {
        "id": found.id,
        "publication": found.publication,
        "place": places.get(found.id),
        "state": found.state.value,
        "issue": drafts.standing(session, found) or None,
        "headline": found.headline,
        "section": found.section,
        "link": found.link,
        "author": found.author,
        "picture": picture,
        "not_before": found.not_before,
        "not_after": found.not_after,
        "source": found.source,
        "created": found.created,
        "changed": found.changed,
    }


def show(session: Session, found: Sequence[Draft], places: dict[int, int], now: dt.datetime) -> None:
    """The table, and how many of each state there are."""
    from newsletter import drafts

    if not found:
        click.echo("No story is queued. Queue one: newsletter draft add FILE.")
        return
    whole = {"no_wrap": True}
    made = table("No>", "Id>", ("State", whole), "Section", "Headline", ("Dates", whole), "Picture")
    for each in found:
        made.add_row(
            str(places.get(each.id, "")),
            str(each.id),
            state(each.state),
            each.section,
            each.headline,
            drafts.standing(session, each) or _dates(each, now.date()),
            "✓" if each.picture_sha256 else "",
        )
    console().print(made)
    counts = [
        f"{count} {'in writing' if one is DraftState.writing else one.value}"
        for one in DraftState
        if (count := sum(each.state is one for each in found))
    ]
    click.echo(f"\n{plural(len(found), 'story', 'stories')}: {listed(counts)}.")


def _dates(found: Draft, today: dt.date) -> str:
    def short(date: dt.date) -> str:
        return f"{date:%b} {date.day}{'' if date.year == today.year else f', {date.year}'}"

    first, last = found.not_before, found.not_after
    if first and last:
        return f"{short(first)} – {short(last)}"
    return f"from {short(first)}" if first else f"until {short(last)}" if last else ""
