"""Segments by the names that config.toml gives them, and which of them an issue goes to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from newsletter.config import Config, Publication
from newsletter.errors import Mistake, SegmentMistake
from newsletter.models import Issue
from newsletter.segments.expressions import Expression, OnList, parse, parts
from newsletter.segments.meaning import check_measured, condition

ALL = "all"
"""In place of a segment's name: nobody is left out, whatever the publication's segment is."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A saved segment that can't be used."""

    name: str
    mistake: Mistake


def name_of(publication: Publication, issue: Issue | None) -> str:
    """Which segment an issue goes to; with None, one that isn't opened yet. Empty: everybody.

    An issue's own comes before its publication's.
    """
    own = (issue.segment if issue is not None else "") or publication.segment
    return "" if own == ALL else own


def expression_of(config: Config, name: str) -> Expression:
    """What a saved segment asks. SegmentMistake if there is none of that name, or it can't be read."""
    if name not in config.segments:
        known = ", ".join(config.segments)
        raise SegmentMistake(
            f'there is no segment "{name}"',
            remedy=f"There is {known}." if known else "Describe it in config.toml under [segments].",
        )
    return _named(config, name)


def within(
    session: Session, config: Config, slug: str, publication: Publication, issue: Issue | None, now: dt.datetime
) -> ColumnElement[bool] | None:
    """Whether a Subscriber is in the segment that an issue goes to; None where it goes to everybody.

    SegmentMistake or ListMistake, with the segment's name, for one that can't be used: then nobody must be sent it.
    """
    name = name_of(publication, issue)
    if not name:
        return None
    expression = expression_of(config, name)
    try:
        return condition(session, expression, slug, publication, now)
    except Mistake as mistake:
        raise _about(name, mistake) from None


def check_all(config: Config, lists: Collection[str] | None = None) -> Iterator[Wrong]:
    """Every saved segment that can't be used; `lists` are those that there are, where that is known."""
    for name in config.segments:
        try:
            expression = _named(config, name)
            for each in parts(expression):
                if isinstance(each, OnList) and lists is not None and each.slug not in lists:
                    there = ", ".join(lists) or "none"
                    raise SegmentMistake(f'there is no list "{each.slug}"', remedy=f"There is {there}.")
            for slug, publication in config.publications.items():
                if publication.segment == name:
                    check_measured(expression, slug, publication)
        except Mistake as mistake:
            yield Wrong(name, mistake if mistake.where else _about(name, mistake))


def _named(config: Config, name: str) -> Expression:
    try:
        return parse(config.segments[name], config.attributes)
    except SegmentMistake as mistake:
        raise _about(name, mistake) from None


def _about(name: str, mistake: Mistake) -> SegmentMistake:
    return SegmentMistake(
        mistake.what,
        where=f'the segment "{name}"',
        remedy=mistake.remedy,
        marked=getattr(mistake, "marked", ()),
    )
