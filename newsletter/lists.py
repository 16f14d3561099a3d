"""Mailing lists, described in `lists/*.toml` and applied like configuration: shown first, then made so.

The name of the file is the list's slug. A list whose file is gone is retired: its subscriptions are kept, and
nobody is mailed through it. No address ever stands in these files.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.config import Words
from newsletter.errors import ListMistake
from newsletter.folder import Folder
from newsletter.models import List, Subscriber, Subscription, Suppression
from newsletter.states import SubscriptionState
from newsletter.toml_file import line_of, parse, source


class Described(Struct, frozen=True, forbid_unknown_fields=True):
    """A list as its file describes it."""

    title: Annotated[Words, Meta(max_length=200)]
    description: str = ""
    public: bool = True
    double_opt_in: bool = True


class What(enum.Enum):
    """What becomes of a list."""

    add = "add"
    """There is a new file."""
    change = "change"
    """The file says something else than before."""
    retire = "retire"
    """The file is gone: nobody is mailed through the list any more, its subscriptions are kept."""
    restore = "return"
    """The file of a retired list is there again, and so is everyone on it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What would change about one list."""

    slug: str
    what: What
    fields: tuple[tuple[str, object, object], ...] = ()
    """(field, before, after); all of them for a new list, with None before."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many stand how with a list. The four add up to all its subscriptions."""

    active: int
    pending: int
    unsubscribed: int
    suppressed: int
    """Active or pending, and never mailed, since their address is suppressed."""


def described(folder: Folder) -> dict[str, Described]:
    """The lists as their files describe them, by slug.

    ConfigMistake names file and line of what is wrong in one; ListMistake a file whose name can't be a slug,
    or a list that config.toml names and that has no file.
    """
    place = folder.path / "lists"
    found: dict[str, Described] = {}
    for path in sorted(place.glob("*.toml")):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", path.stem):
            raise ListMistake(
                f"\"{path.stem}\" can't be a list's name",
                where=path,
                remedy="Name it with small letters, digits and dashes, 40 at the most: weekly-news.toml.",
            )
        found[path.stem] = parse(source(path), path, Described)
    for name, publication in folder.config.publications.items():
        for slug in publication.lists:
            if slug not in found:
                config = folder.path / "config.toml"
                raise ListMistake(
                    f'publications.{name}.lists names "{slug}", and there is no lists/{slug}.toml',
                    where=config,
                    line=line_of(source(config), f"publications.{name}.lists"),
                    remedy=f'Make the file, with title = "…" in it, or take "{slug}" out of the publication.',
                )
    return found


def plan(session: Session, folder: Folder) -> tuple[Change, ...]:
    """What would have to change in the database for it to say what the files say. Changes nothing.

    Raises what `described` raises.
    """
    files = described(folder)
    rows = {row.slug: row for row in session.scalars(select(List).order_by(List.slug))}
    changes = []
    for slug, wanted in files.items():
        row = rows.get(slug)
        fields = tuple(
            (field, before, after)
            for field in Described.__struct_fields__
            if (before := getattr(row, field, None)) != (after := getattr(wanted, field))
        )
        if row is None:
            changes.append(Change(slug, What.add, fields))
        elif row.retired is not None:
            changes.append(Change(slug, What.restore, fields))
        elif fields:
            changes.append(Change(slug, What.change, fields))
    changes += [Change(slug, What.retire) for slug, row in rows.items() if slug not in files and row.retired is None]
    return tuple(changes)


def apply(session: Session, changes: tuple[Change, ...], now: dt.datetime) -> None:
    """Makes the changes that `plan` found."""
    for change in changes:
        row = session.scalar(select(List).where(List.slug == change.slug))
        if row is None:
            row = List(slug=change.slug)
            session.add(row)
        for field, _, after in change.fields:
            setattr(row, field, after)
        row.retired = now if change.what is What.retire else None
    session.flush()


def named(session: Session, slugs: tuple[str, ...]) -> tuple[List, ...]:
    """The lists with these slugs, in that order. ListMistake where one isn't there, or is retired."""
    rows = {row.slug: row for row in session.scalars(select(List).where(List.slug.in_(slugs)))}
    for slug in slugs:
        if slug not in rows:
            known = session.scalars(select(List.slug).where(List.retired.is_(None)).order_by(List.slug)).all()
            there = f"There is {', '.join(known)}." if known else "Make lists first: newsletter list apply."
            raise ListMistake(f'there is no list "{slug}"', remedy=there)
        if rows[slug].retired is not None:
            raise ListMistake(
                f'the list "{slug}" is retired: its file is gone',
                remedy=f"Bring lists/{slug}.toml back and run newsletter list apply, or use another list.",
            )
    return tuple(rows[slug] for slug in slugs)


def counts(session: Session) -> dict[str, Counts]:
    """How many stand how with each list, by slug."""
    found = {slug: dict.fromkeys(Counts.__slots__, 0) for slug in session.scalars(select(List.slug))}
    barred = Suppression.fingerprint.is_not(None)
    for slug, state, suppressed, count in session.execute(
        select(List.slug, Subscription.state, barred, func.count())
        .join_from(Subscription, List, List.id == Subscription.list_id)
        .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
        .outerjoin(Suppression, Suppression.fingerprint == Subscriber.fingerprint)
        .group_by(List.slug, Subscription.state, barred)
    ):
        left = state is SubscriptionState.unsubscribed
        found[slug]["suppressed" if suppressed and not left else state.value] += count
    return {slug: Counts(**numbers) for slug, numbers in found.items()}


def publications(folder: Folder, slug: str) -> tuple[str, ...]:
    """The publications that go to a list."""
    return tuple(name for name, goes in folder.config.publications.items() if slug in goes.lists)


def file_of(folder: Folder, slug: str) -> Path:
    """Where a list is described."""
    return folder.path / "lists" / f"{slug}.toml"
