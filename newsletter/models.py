"""All tables on one page. Queries live with their noun, not here.

Times are UTC and aware. States are stored as their words. What a row waits for is in `why`, `since` and
`next_look`, so that nothing is ever stuck without saying so.
"""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from newsletter.states import (
    ConsentTo,
    DeliveryState,
    DraftState,
    HitKind,
    IssueState,
    LeftBy,
    LetterKind,
    LetterState,
    NoticeState,
    RenditionKind,
    ReturnKind,
    SubscriptionState,
    SuppressionReason,
)


class Instant(TypeDecorator[dt.datetime]):
    """A moment: aware in Python, timestamptz in PostgreSQL, UTC text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no zone")
        value = value.astimezone(dt.UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


_STATES: tuple[type[enum.Enum], ...] = (
    DraftState,
    IssueState,
    DeliveryState,
    SubscriptionState,
    SuppressionReason,
    NoticeState,
    RenditionKind,
    ConsentTo,
    HitKind,
    LeftBy,
    LetterKind,
    LetterState,
    ReturnKind,
)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dt.datetime: Instant,
        dt.date: Date,
        dict[str, Any]: JSON,
        bytes: LargeBinary,
        **{
            states: Enum(states, native_enum=False, length=16, values_callable=lambda e: [m.value for m in e])
            for states in _STATES
        },
    }


class Key(Base):
    """Secrets of this database: what signs readers' links, and what fingerprints addresses."""

    __tablename__ = "keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16), index=True)
    secret: Mapped[bytes]
    created: Mapped[dt.datetime]


class Picture(Base):
    """A picture in the store, by the SHA-256 of the bytes that readers get."""

    __tablename__ = "pictures"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    extension: Mapped[str] = mapped_column(String(4))
    """jpg, png or gif."""
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]
    """In bytes."""
    added: Mapped[dt.datetime]


class StoryText:
    """What a draft and the story copied from it have in common."""

    headline: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    """Markdown."""
    section: Mapped[str] = mapped_column(String(80), default="")
    link: Mapped[str] = mapped_column(Text, default="")
    author: Mapped[str] = mapped_column(String(200), default="")
    picture_sha256: Mapped[str | None] = mapped_column(ForeignKey("pictures.sha256"))
    picture_alt: Mapped[str] = mapped_column(Text, default="")
    picture_credit: Mapped[str] = mapped_column(Text, default="")


class Draft(StoryText, Base):
    """One story that an editor has queued."""

    __tablename__ = "drafts"
    id: Mapped[int] = mapped_column(primary_key=True)
    publication: Mapped[str] = mapped_column(String(40), index=True)
    state: Mapped[DraftState] = mapped_column(default=DraftState.ready)
    position: Mapped[int] = mapped_column(default=0)
    """The order that editors gave; lower comes first."""
    not_before: Mapped[dt.date | None]
    not_after: Mapped[dt.date | None]
    source: Mapped[str] = mapped_column(Text, default="")
    """The file that it came from, if any."""
    created: Mapped[dt.datetime]
    changed: Mapped[dt.datetime]
    issue_id: Mapped[int | None] = mapped_column(ForeignKey("issues.id"))
    picture: Mapped[Picture | None] = relationship()


class Issue(Base):
    """One edition of a publication."""

    __tablename__ = "issues"
    __table_args__ = (
        UniqueConstraint("publication", "slot"),
        UniqueConstraint("publication", "volume", "number"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    publication: Mapped[str] = mapped_column(String(40))
    slot: Mapped[dt.date]
    """The date in the calendar that it is for: one issue a date, however many processes look."""
    state: Mapped[IssueState] = mapped_column(default=IssueState.open)
    held_in: Mapped[IssueState | None]
    """The state that a held issue was in, and goes back to."""
    held_by: Mapped[str] = mapped_column(String(200), default="")
    """Who holds it, and so who may let it go; empty where the program itself found a reason."""
    why: Mapped[str] = mapped_column(Text, default="")
    since: Mapped[dt.datetime]
    next_look: Mapped[dt.datetime | None]
    deadline: Mapped[dt.datetime]
    approve_by: Mapped[dt.datetime]
    sends: Mapped[dt.datetime]
    volume: Mapped[int | None]
    number: Mapped[int | None]
    through: Mapped[int | None]
    """The last number of a combined issue such as 21–22."""
    wanted_volume: Mapped[int | None]
    wanted_number: Mapped[int | None]
    wanted_through: Mapped[int | None]
    wanted_subject: Mapped[str] = mapped_column(Text, default="")
    wanted_preheader: Mapped[str] = mapped_column(Text, default="")
    """What an editor asked for before the issue was assembled."""
    wanted_private: Mapped[bool | None]
    """Whether it is to be private; None: as its publication's issues are."""
    segment: Mapped[str] = mapped_column(String(40), default="", server_default="")
    """The part of its lists that it goes to, by the name of a segment; empty: the publication's, or all of them."""
    date: Mapped[dt.date | None]
    """On the masthead: the date of sending in the publication's zone."""
    subject: Mapped[str] = mapped_column(Text, default="")
    """As frozen, merge fields not yet filled in; empty before that."""
    preheader: Mapped[str] = mapped_column(Text, default="")
    approved_by: Mapped[str] = mapped_column(String(200), default="")
    assembled: Mapped[dt.datetime | None]
    private: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Read on the web only by who has its link; in no list, feed or search."""
    started: Mapped[dt.datetime | None]
    """When its audience was frozen."""
    finished: Mapped[dt.datetime | None]
    candidates: Mapped[int | None]
    """Subscriptions on the lists that it goes to, in any state, when the audience was frozen."""
    excluded: Mapped[dict[str, Any] | None]
    """Reason: count. candidates = deliveries + the sum of these."""
    stories: Mapped[list[Story]] = relationship(order_by="Story.position", back_populates="issue")
    corrections: Mapped[list[Correction]] = relationship(
        foreign_keys="Correction.issue_id", order_by="Correction.id", back_populates="issue"
    )
    notes: Mapped[list[Correction]] = relationship(foreign_keys="Correction.told_in", order_by="Correction.id")
    """Corrections to earlier issues that this one carries a note of."""


class Story(StoryText, Base):
    """A draft as an issue holds it: a copy, frozen."""

    __tablename__ = "stories"
    __table_args__ = (UniqueConstraint("issue_id", "position"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id"))
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id"))
    position: Mapped[int]
    """From 1: the number over the story and in the list of headlines."""
    issue: Mapped[Issue] = relationship(back_populates="stories")
    picture: Mapped[Picture | None] = relationship()


class Rendition(Base):
    """One output of a frozen issue, to the byte."""

    __tablename__ = "renditions"
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id"), primary_key=True)
    kind: Mapped[RenditionKind] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1, server_default="1")
    """1, as it was sent; from 2 what is read on the web and on paper since a correction. A mail has no other than 1."""
    content: Mapped[bytes]
    sha256: Mapped[str] = mapped_column(String(64))
    made: Mapped[dt.datetime]


class Correction(Base):
    """What was wrong in an issue that readers have had, and is put right: said with its date, never silently."""

    __tablename__ = "corrections"
    id: Mapped[int] = mapped_column(primary_key=True)
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id"), index=True)
    position: Mapped[int | None]
    """The story's; None where it is about the issue as a whole."""
    revision: Mapped[int]
    """Of the page, the PDF and the feed entry: the first that has it."""
    made: Mapped[dt.datetime]
    date: Mapped[dt.date]
    """The day in the publication's zone, as readers see it."""
    by: Mapped[str] = mapped_column(String(200), default="")
    words: Mapped[str] = mapped_column(Text)
    """What readers are told: what was wrong, what is right."""
    headline: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str | None] = mapped_column(Text)
    """The story's headline and text from then on; None where they stay."""
    announced: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the next issue carries a note of it."""
    told_in: Mapped[int | None] = mapped_column(ForeignKey("issues.id"))
    """The issue that carries it."""
    issue: Mapped[Issue] = relationship(foreign_keys=issue_id, back_populates="corrections")


class List(Base):
    """Who a publication can go to, as `lists/*.toml` describes it."""

    __tablename__ = "lists"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(40), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    public: Mapped[bool] = mapped_column(default=True)
    """Offered on the sign-up page."""
    double_opt_in: Mapped[bool] = mapped_column(default=True)
    retired: Mapped[dt.datetime | None]
    """Its file is gone; nobody is mailed through it, and its subscriptions are kept."""


class Subscriber(Base):
    """A person with an address, a name and attributes. After erasure only the row itself is left."""

    __tablename__ = "subscribers"
    __table_args__ = (
        Index(
            "ix_subscribers_paused",
            "paused_until",
            sqlite_where=text("paused_until IS NOT NULL"),
            postgresql_where=text("paused_until IS NOT NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str | None] = mapped_column(String(320))
    """As they wrote it; None once erased."""
    address_key: Mapped[str | None] = mapped_column(String(320), unique=True)
    """The same address however it is written: one key, one person."""
    fingerprint: Mapped[str] = mapped_column(String(32), index=True)
    """Of address_key; what suppressions are looked up by."""
    name: Mapped[str] = mapped_column(String(200), default="")
    language: Mapped[str] = mapped_column(String(16), default="")
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Attribute: text."""
    created: Mapped[dt.datetime]
    erased: Mapped[dt.datetime | None]
    paused_until: Mapped[dt.date | None]
    """Until that day, in the publication's zone, no issue goes to them; on it and afterwards they do."""
    measured: Mapped[dt.datetime | None]
    """Since when they agree to have what they open and follow kept with their name; None: they don't."""


class Subscription(Base):
    """One subscriber on one list."""

    __tablename__ = "subscriptions"
    __table_args__ = (Index("ix_subscriptions_list", "list_id", "subscriber_id"),)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)
    state: Mapped[SubscriptionState]
    since: Mapped[dt.datetime]
    joined: Mapped[dt.datetime | None]
    """When it became active first; shown in the footer of every mail."""
    why: Mapped[str] = mapped_column(Text, default="")
    """How it came to this state: "import FILE", "one-click", "asked by mail"."""


class Suppression(Base):
    """An address never to be mailed again, and why. Every path to sending asks here last."""

    __tablename__ = "suppressions"
    fingerprint: Mapped[str] = mapped_column(String(32), primary_key=True)
    address: Mapped[str | None] = mapped_column(String(320))
    """None after an erasure: the fingerprint alone still protects."""
    reason: Mapped[SuppressionReason]
    since: Mapped[dt.datetime]
    why: Mapped[str] = mapped_column(Text, default="")


class Event(Base):
    """Something that happened to an address: the history that `subscriber show` tells.

    By fingerprint, so that it also holds what happened to an address nobody here has. Gone after erasure.
    """

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(32), index=True)
    at: Mapped[dt.datetime]
    what: Mapped[str] = mapped_column(Text)


class Delivery(Base):
    """One issue to one subscriber: the ledger.

    Kept narrow, and in the order of its key, since a publication's every copy has a row here.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(
            "ix_deliveries_submitting",
            "issue_id",
            sqlite_where=text("state = 'submitting'"),
            postgresql_where=text("state = 'submitting'"),
        ),
        Index(
            "ix_deliveries_uncertain",
            "issue_id",
            sqlite_where=text("state = 'uncertain'"),
            postgresql_where=text("state = 'uncertain'"),
        ),
        {"sqlite_with_rowid": False},
    )
    # No foreign keys: rows are made from the tables that they would point to, nothing there is ever deleted,
    # and PostgreSQL would look each of a million up.
    issue_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subscriber_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[DeliveryState]
    since: Mapped[dt.datetime]
    next_look: Mapped[dt.datetime | None]
    """When a deferred one is tried again."""
    first_try: Mapped[dt.datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    relay: Mapped[str | None] = mapped_column(String(40))
    reply: Mapped[str | None] = mapped_column(Text)
    """The server's own words about the last try; or ours, where none came."""


class Attempt(Base):
    """An earlier try at a delivery: what the next try would have written over."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_delivery", "issue_id", "subscriber_id"),)
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    issue_id: Mapped[int]
    subscriber_id: Mapped[int]
    state: Mapped[DeliveryState]
    at: Mapped[dt.datetime]
    relay: Mapped[str | None] = mapped_column(String(40))
    reply: Mapped[str | None] = mapped_column(Text)


class Batch(Base):
    """A stretch of an issue's ledger, by subscriber, that one sender has, or may take.

    While `owner` is set and `until` is ahead, nobody else touches its deliveries. When it is given back with
    deferred deliveries in it, `due` says when the first of them is to be tried again.
    """

    __tablename__ = "batches"
    __table_args__ = (
        Index("ix_batches_due", "due"),
        Index(
            "ix_batches_open",
            "issue_id",
            sqlite_where=text("due IS NOT NULL OR owner IS NOT NULL"),
            postgresql_where=text("due IS NOT NULL OR owner IS NOT NULL"),
        ),
    )
    issue_id: Mapped[int] = mapped_column(ForeignKey("issues.id"), primary_key=True)
    first: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The least subscriber id in it."""
    last: Mapped[int]
    """The greatest."""
    due: Mapped[dt.datetime | None]
    """When it is next worth looking at; None once all its deliveries have ended."""
    owner: Mapped[str | None] = mapped_column(String(80))
    until: Mapped[dt.datetime | None]


class RelayHealth(Base):
    """A relay that failed, and when it is tried again. No row: nothing is known against it."""

    __tablename__ = "relay_health"
    relay: Mapped[str] = mapped_column(String(40), primary_key=True)
    why: Mapped[str] = mapped_column(Text)
    since: Mapped[dt.datetime]
    failures: Mapped[int]
    next_look: Mapped[dt.datetime]


class Allowance(Base):
    """How far a rate is used up: the moment from which nothing is left of what was taken. Shared by all senders."""

    __tablename__ = "allowances"
    name: Mapped[str] = mapped_column(String(300), primary_key=True)
    """What is limited: "relay office 20 a second", "domain example.org"."""
    used_until: Mapped[dt.datetime]


class Pace(Base):
    """What was learned of a recipient domain that couldn't take messages as fast as they came."""

    __tablename__ = "paces"
    domain: Mapped[str] = mapped_column(String(255), primary_key=True)
    rate: Mapped[float]
    """Messages a second that it gets now, from all senders together."""
    before: Mapped[float]
    """The rate at which it first refused."""
    why: Mapped[str] = mapped_column(Text)
    """What it said last."""
    since: Mapped[dt.datetime]
    changed: Mapped[dt.datetime]
    """When the rate was last lowered or raised."""


class WarmDay(Base):
    """How many messages a sending domain in its warm-up has begun on a day of its publication's zone."""

    __tablename__ = "warm_days"
    domain: Mapped[str] = mapped_column(String(255), primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    begun: Mapped[int]


class Notice(Base):
    """A mail to the editors: a reminder, or word of what is held. Sent once, by the unique `about`."""

    __tablename__ = "notices"
    __table_args__ = (UniqueConstraint("publication", "about"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    publication: Mapped[str] = mapped_column(String(40))
    about: Mapped[str] = mapped_column(String(200))
    """What makes it the same notice, such as "reminder 2023-11-14 3 days before at 09:00"."""
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[NoticeState] = mapped_column(default=NoticeState.queued)
    since: Mapped[dt.datetime]
    why: Mapped[str] = mapped_column(Text, default="")


class Consent(Base):
    """That someone agreed to something: when, from where, and to which words. Gone after erasure."""

    __tablename__ = "consents"
    id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id"), index=True)
    to: Mapped[ConsentTo]
    lists: Mapped[str] = mapped_column(Text, default="")
    """The lists that were ticked, with commas between."""
    asked: Mapped[dt.datetime]
    page: Mapped[str] = mapped_column(Text, default="")
    """The address of the page where it was asked."""
    client: Mapped[str] = mapped_column(String(64), default="")
    """The network address that it came from."""
    wording: Mapped[str] = mapped_column(Text)
    """The words by the button, as they were shown."""
    language: Mapped[str] = mapped_column(String(16), default="")
    """The language that they were shown in."""
    confirmed: Mapped[dt.datetime | None]
    confirmed_client: Mapped[str] = mapped_column(String(64), default="")


class Letter(Base):
    """A mail to one reader that isn't an issue: to confirm an address, or with a new link. Sent once."""

    __tablename__ = "letters"
    # A number that was given is in somebody's link, and is never given again.
    __table_args__ = (Index("ix_letters_state_expires", "state", "expires"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(primary_key=True)
    publication: Mapped[str] = mapped_column(String(40))
    kind: Mapped[LetterKind]
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id"), index=True)
    address: Mapped[str] = mapped_column(String(320))
    """Where it goes: for a change of address, the new one. Empty once it was sent and is of no more use."""
    language: Mapped[str] = mapped_column(String(16), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What was asked for, to be done when it is confirmed: {"lists": [...], "consent": 3}."""
    state: Mapped[LetterState] = mapped_column(default=LetterState.queued)
    since: Mapped[dt.datetime]
    asked: Mapped[dt.datetime]
    expires: Mapped[dt.datetime]
    """After this its link does nothing any more."""
    tries: Mapped[int] = mapped_column(default=0)
    next_look: Mapped[dt.datetime | None]
    why: Mapped[str] = mapped_column(Text, default="")


class Ask(Base):
    """That somebody had a letter sent to an address, whoever's it is. Kept for a day, for the limits alone."""

    __tablename__ = "asks"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(index=True)
    network: Mapped[str] = mapped_column(String(50))
    """Where it was asked from: an IPv4 /24 or an IPv6 /48."""
    fingerprint: Mapped[str] = mapped_column(String(32), index=True)
    """Of the address."""
    what: Mapped[LetterKind]
    """Which kind of letter."""


class Departure(Base):
    """Someone left: by which door, after which issue, and why, where they cared to say."""

    __tablename__ = "departures"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(index=True)
    publication: Mapped[str] = mapped_column(String(40), default="")
    """Empty: all of them."""
    issue_id: Mapped[int | None]
    """The issue whose link was used."""
    lists: Mapped[str] = mapped_column(Text)
    """The lists left, with commas between."""
    at: Mapped[dt.datetime] = mapped_column(index=True)
    by: Mapped[LeftBy]
    reason: Mapped[str] = mapped_column(Text, default="")
    """In their own words; empty again after erasure."""
    undone: Mapped[dt.datetime | None]
    """When they took it back by the button on the same page."""


class Return(Base):
    """A message that came back, or a relay's or provider's word of one, and what was made of it."""

    __tablename__ = "returns"
    __table_args__ = (
        Index("ix_returns_undone", "at", sqlite_where=text("done = ''"), postgresql_where=text("done = ''")),
    )
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(index=True)
    source: Mapped[str] = mapped_column(String(40))
    """Which way it came: "listener", "maildir", "imap", "stdin", "relay", "ses", "postmark", …"""
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """Of what came, so that the same thing counts once however often it comes."""
    kind: Mapped[ReturnKind]
    fingerprint: Mapped[str] = mapped_column(String(32), default="", index=True)
    """Of the address that it is about; empty where none could be told."""
    subscriber_id: Mapped[int | None]
    issue_id: Mapped[int | None]
    status: Mapped[str] = mapped_column(String(16), default="")
    """The enhanced status code (RFC 3463), or the SMTP code where there is none."""
    words: Mapped[str] = mapped_column(Text, default="")
    """What the other server said, shortened; "(erased)" after erasure."""
    done: Mapped[str] = mapped_column(Text)
    """What was made of it, in a sentence: "suppressed", "score 2.5 of 5", "ignored: an automatic reply". Empty for
    moments only: a relay's refusal, until it is clear whether it says anything of the reader."""
    file: Mapped[str] = mapped_column(String(200), default="")
    """Where a person finds the whole of it, in the folder of returned messages; empty where it wasn't kept."""


class BounceScore(Base):
    """How often an address couldn't take mail lately; it halves as time goes by."""

    __tablename__ = "bounce_scores"
    fingerprint: Mapped[str] = mapped_column(String(32), primary_key=True)
    score: Mapped[float]
    at: Mapped[dt.datetime]
    """When the score was that; since then it has faded."""


class Hit(Base):
    """A visit to a link in a mail, kept for minutes: until it is clear whether a person or a scanner made it."""

    __tablename__ = "hits"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(index=True)
    what: Mapped[HitKind]
    issue_id: Mapped[int | None]
    link: Mapped[int | None]
    """Which link of the issue, for a click."""
    message: Mapped[str] = mapped_column(String(32), index=True)
    """Which message it came from: a keyed hash, that no longer leads to a reader once the hit is settled."""
    client: Mapped[str] = mapped_column(String(32))
    """Which client it came from: a keyed hash of network and program."""
    subscriber_id: Mapped[int | None]
    """Only where the reader agreed to be measured."""


class Seen(Base):
    """That a message was counted already: what keeps `Measure.readers` from counting one reader twice.

    Gone 30 days after the issue went out, when its measuring ends.
    """

    __tablename__ = "seen"
    __table_args__ = ({"sqlite_with_rowid": False},)
    issue_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    what: Mapped[HitKind] = mapped_column(primary_key=True)
    link: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    message: Mapped[str] = mapped_column(String(32), primary_key=True)
    """As in Hit: a keyed hash of what leads to nobody, but for readers who agreed to be measured."""


class Measure(Base):
    """How often an issue was opened, or one of its links followed. No reader is in it."""

    __tablename__ = "measures"
    issue_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    what: Mapped[HitKind] = mapped_column(primary_key=True)
    link: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """0 for opens, and for clicks on any of its links."""
    times: Mapped[int]
    readers: Mapped[int]
    """How many different messages it was."""


class Interest(Base):
    """What a reader who agreed to be measured opened or followed."""

    __tablename__ = "interests"
    subscriber_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    issue_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    what: Mapped[HitKind] = mapped_column(primary_key=True)
    link: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[dt.datetime]
    """The first time."""


class Ignored(Base):
    """How many visits of scanners were ignored on a day: a count that anyone can see."""

    __tablename__ = "ignored"
    publication: Mapped[str] = mapped_column(String(40), primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(String(16), primary_key=True)
    """What was ignored: open, click, page, canary, button, form."""
    times: Mapped[int]
