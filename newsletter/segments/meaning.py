"""What an expression asks, as a condition for SQL about a Subscriber, with every value bound.

Two truths only: what isn't known is like no text at all, so "city is not 'Tokyo'" holds for whoever's city isn't known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, and_, column, false, func, not_, or_, select, table, true
from sqlalchemy import text as sql
from sqlalchemy.orm import Session, aliased

from newsletter import lists
from newsletter.config import Publication, zone
from newsletter.errors import SegmentMistake
from newsletter.models import Interest, Issue, Subscriber, Subscription
from newsletter.segments.expressions import (
    Both,
    Either,
    Engaged,
    Expression,
    How,
    Joined,
    JoinedWithin,
    Measured,
    Not,
    Of,
    OnList,
    Text,
    parts,
)
from newsletter.states import HitKind, SubscriptionState

_ALONE = {ord("İ"): "i", ord("Σ"): "σ", ord("ς"): "σ"}
"""Letters whose small form is of two characters, or depends on what stands beside them."""
_COLLATIONS = ("pg_c_utf8", "und-x-icu")
"""Of PostgreSQL, those that know the small form of every letter, whatever the database's own; the fastest first."""


def folded(text: str) -> str:
    """A text with all letters small, each for itself, as both databases make it too."""
    return text.lower() if text.isascii() else text.translate(_ALONE).lower()


def condition(
    session: Session, expression: Expression, slug: str, publication: Publication, now: dt.datetime
) -> ColumnElement[bool]:
    """Whether a Subscriber is so, for one publication at `now`. For use in this session only.

    Days are those of the publication's zone. ListMistake for a list that isn't there; SegmentMistake where it asks what
    isn't measured.
    """
    check_measured(expression, slug, publication)
    asked = [each.slug for each in parts(expression) if isinstance(each, OnList)]
    known = dict(zip(asked, (row.id for row in lists.named(session, tuple(asked))), strict=True)) if asked else {}
    return _Meaning(_folding(session), known, slug, zone(publication.cadence.zone), now).of(expression)


def check_measured(expression: Expression, slug: str, publication: Publication) -> None:
    """SegmentMistake if it asks what the publication doesn't measure, or its readers don't let it know."""
    if rests_on_measuring(expression) and not publication.measure_readers:
        raise SegmentMistake(
            f"engagement isn't measured here: {slug} doesn't ask its readers whether what they open may be kept",
            remedy=f"publications.{slug}.measure_readers = true would ask them, from then on; or leave it out.",
        )
    asked = {each.what for each in parts(expression) if isinstance(each, Engaged)}
    for what, on, key, words in (
        (HitKind.open, publication.measure_opens, "measure_opens", "what is opened"),
        (HitKind.click, publication.measure_clicks, "measure_clicks", "which links are followed"),
    ):
        if what in asked and not on:
            raise SegmentMistake(
                f"engagement isn't measured here: {slug} doesn't count {words}",
                remedy=f"publications.{slug}.{key} = true would, from then on; or leave it out.",
            )


def rests_on_measuring(expression: Expression) -> bool:
    """Whether it asks what readers open, or whether they agree that it may be known."""
    return any(isinstance(each, Engaged | Measured) for each in parts(expression))


def _folding(session: Session) -> Callable[[ColumnElement[Any]], ColumnElement[str]]:
    """How this database makes letters small."""
    if session.get_bind().dialect.name == "sqlite":
        # SQLite's own lower() knows the letters of ASCII only. Once for each connection, since SQLite won't have a
        # function made anew while rows are being read.
        connection = session.connection()
        if "folded" not in connection.info:
            driver: Any = connection.connection.dbapi_connection
            driver.create_function("folded", 1, _folded_or_none, deterministic=True)
            connection.info["folded"] = True
        return func.folded
    name = column("collname", String)
    # So that what is asked of other tables is looked up in a hash, and not by an index for each of a million readers.
    session.execute(sql("SET LOCAL work_mem = '64MB'"))
    there = set(session.scalars(select(name).select_from(table("pg_collation")).where(name.in_(_COLLATIONS))))
    collation = next((each for each in _COLLATIONS if each in there), None)

    def small(text: ColumnElement[Any]) -> ColumnElement[str]:
        alone = func.translate(text, "".join(map(chr, _ALONE)), "".join(_ALONE.values()), type_=String)
        return func.lower(alone.collate(collation) if collation else alone)

    return small


def _folded_or_none(text: object) -> str | None:
    return folded(text) if isinstance(text, str) else None


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an expression means in one database, for one publication, at one moment."""

    small: Callable[[ColumnElement[Any]], ColumnElement[str]]
    lists: dict[str, int]
    slug: str
    zone: dt.tzinfo
    now: dt.datetime

    def of(self, expression: Expression) -> ColumnElement[bool]:
        """True or false for every Subscriber, never unknown: "not" rests on it."""
        match expression:
            case Both(parts):
                return and_(true(), *map(self.of, parts))
            case Either(parts):
                return or_(false(), *map(self.of, parts))
            case Not(part):
                return not_(self.of(part))
            case Text():
                return self._text(expression)
            case Joined(first, end):
                return self._joined(self._instant(first), self._instant(end))
            case JoinedWithin(days):
                return self._joined(self.now - dt.timedelta(days=days), None)
            case OnList(slug):
                there = aliased(Subscription)
                return (
                    select(there)
                    .where(
                        there.subscriber_id == Subscriber.id,
                        there.list_id == self.lists[slug],
                        there.state == SubscriptionState.active,
                    )
                    .exists()
                )
            case Measured():
                return Subscriber.measured.is_not(None)
            case Engaged(what, days):
                issues = select(Issue.id).where(Issue.publication == self.slug)
                return (
                    select(Interest)
                    .where(
                        Interest.subscriber_id == Subscriber.id,
                        Interest.what == what,
                        Interest.at >= self.now - dt.timedelta(days=days),
                        Interest.issue_id.in_(issues),
                    )
                    .exists()
                )

    def _text(self, asked: Text) -> ColumnElement[bool]:
        match asked.of:
            case Of.name:
                column: ColumnElement[Any] = Subscriber.name.expression
            case Of.language:
                column = Subscriber.language.expression
            case Of.domain:
                return self._domain(asked)
            case Of.attribute:
                column = Subscriber.attributes[asked.attribute].as_string()
        if asked.how is How.known:
            return func.coalesce(column, "") != ""
        length = func.coalesce(func.length(column), 0)
        column = func.coalesce(self.small(column), "")
        values = [folded(each) for each in asked.values]
        match asked.how:
            case How.one_of:
                # The small form is as long as the other, and to count letters is less work than to make them small.
                return and_(length.in_({len(each) for each in values}), column.in_(values))
            case How.contains:
                return column.contains(values[0], autoescape=True)
            case How.starts:
                return column.startswith(values[0], autoescape=True)
            case How.ends:
                return column.endswith(values[0], autoescape=True)

    def _domain(self, asked: Text) -> ColumnElement[bool]:
        """By the key of the address, which is in small letters and has the domain in ASCII, after its only @."""
        key = func.coalesce(Subscriber.address_key, "")
        if asked.how is How.known:
            return key != ""
        if asked.how is How.one_of:
            return or_(false(), *(key.endswith("@" + each, autoescape=True) for each in asked.values))
        piece = asked.values[0].lower()
        if asked.how is How.ends:
            return key.endswith(piece, autoescape=True)
        between = "%@%" if asked.how is How.contains else "%@"
        for sign in ("/", "%", "_"):
            piece = piece.replace(sign, "/" + sign)
        return key.like(f"{between}{piece}%", escape="/")

    def _instant(self, day: dt.date | None) -> dt.datetime | None:
        """When a day begins in the publication's zone."""
        return None if day is None else dt.datetime.combine(day, dt.time(), self.zone)

    def _joined(self, first: dt.datetime | None, end: dt.datetime | None) -> ColumnElement[bool]:
        """The earliest joining is in this stretch: none before it, and one in it."""
        within = aliased(Subscription)
        found = select(within).where(within.subscriber_id == Subscriber.id)
        if first is not None:
            found = found.where(within.joined >= first)
        if end is not None:
            found = found.where(within.joined < end)
        if first is None:
            return found.exists()
        earlier = aliased(Subscription)
        none = ~select(earlier).where(earlier.subscriber_id == Subscriber.id, earlier.joined < first).exists()
        return and_(found.exists(), none)
