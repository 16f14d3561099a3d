"""The public issues of a publication, newest first, with what a page says of each."""

from __future__ import annotations

import datetime as dt
import functools
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import escape
from sqlalchemy import bindparam, func, select, true
from sqlalchemy.orm import Session

from newsletter import fields, numbering
from newsletter.errors import Mistake
from newsletter.folder import Folder
from newsletter.models import Correction, Issue, Rendition
from newsletter.render import edition
from newsletter.render.corrected import corrected, with_headlines
from newsletter.render.edition import Edition, page_url, seen
from newsletter.render.page import plain
from newsletter.render.typography import typeset
from newsletter.states import IssueState, RenditionKind

SHOWN = (IssueState.sending, IssueState.paused, IssueState.sent)
"""The states of an issue that anyone may read on the web."""

_STORY = re.compile(r'<h2><a href="[^"#]*#([^"]*)">(.*?)</a></h2>(.*?)(?=<h2><a href=|\Z)', re.DOTALL)
_PICTURE = re.compile(r'<figure><img src="([^"]*)" width="(\d+)" height="(\d+)" alt="([^"]*)">')
_UNTOLD = re.compile(r"<figure>.*?</figure>|<[^<>]*>", re.DOTALL)
_WITHIN_WORDS = re.compile(r"</?(?:a|em|strong|s|code)(?: [^<>]*)?>")
"""Tags that part no words, as the others do."""


def _public(slug: Any) -> tuple[Any, ...]:
    return (
        Issue.publication == slug,
        Issue.state.in_(SHOWN),
        Issue.volume.is_not(None),
        Issue.private.is_(False),
    )


_COLUMNS = (
    Issue.volume,
    Issue.number,
    Issue.through,
    Issue.date,
    Issue.subject,
    Issue.preheader,
    Issue.started,
    Issue.since,
)


def _stamped() -> Any:
    public = _public(bindparam("slug"))
    made = (
        select(func.count(), func.max(Correction.id))
        .join(Issue, Issue.id == Correction.issue_id)
        .where(*public)
        .subquery()
    )
    of = select(func.count(), func.sum(Issue.id), func.max(Issue.started)).where(*public).subquery()
    return select(of, made).select_from(of.join(made, true()))


_STAMP = _stamped()


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture of an issue, at its real size in pixels."""

    url: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True, slots=True)
class Told:
    """A story, as the archive lists it."""

    headline: str
    anchor: str
    """Its place on the issue's page."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An issue, as the archive lists it; everything as it is for nobody in particular."""

    id: int
    volume: int
    number: int
    through: int | None
    date: dt.date
    title: str
    """Its subject, with the headlines in it as they were corrected."""
    preheader: str
    stories: tuple[Told, ...]
    picture: Picture | None
    sent: dt.datetime
    """When it began to go to its readers."""
    updated: dt.datetime
    """When it was last corrected, else `sent`."""
    revision: int
    paper_bytes: int
    """Of its PDF; 0 where there is none."""
    url: str

    @property
    def label(self) -> str:
        """In short: "2.21"."""
        return numbering.label(self.volume, self.number, self.through)

    @property
    def long_label(self) -> str:
        """In full: "Vol 2 No 21"."""
        return numbering.long_label(self.volume, self.number, self.through)

    @property
    def numbers(self) -> str:
        """The number alone: "21", or "21–22" for a combined issue."""
        return f"{self.number}–{self.through}" if self.through else str(self.number)

    @property
    def last(self) -> int:
        """Its last number; of most issues the only one."""
        return self.through or self.number

    @property
    def pdf_url(self) -> str | None:
        return f"{self.url}.pdf" if self.paper_bytes else None

    @property
    def headlines(self) -> tuple[str, ...]:
        return tuple(story.headline for story in self.stories)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What anyone may read of one publication."""

    slug: str
    stamp: tuple[Any, ...]
    """Changes with whatever changes here; a few numbers, quickly asked."""
    entries: tuple[Entry, ...]
    """Newest first."""

    @property
    def volumes(self) -> Mapping[int, Sequence[Entry]]:
        """The entries of each volume, the newest volume first."""
        made: dict[int, list[Entry]] = {}
        for entry in self.entries:
            made.setdefault(entry.volume, []).append(entry)
        return made

    @property
    def updated(self) -> dt.datetime | None:
        """When anything in it changed last."""
        return max((entry.updated for entry in self.entries), default=None)

    def find(self, volume: int, number: int) -> Entry | None:
        """The issue of a number; a combined one by any of its numbers."""
        return next(
            (each for each in self.entries if each.volume == volume and each.number <= number <= each.last), None
        )

    def neighbours(self, entry: Entry) -> tuple[Entry | None, Entry | None]:
        """The issues before and after one."""
        at = next(at for at, each in enumerate(self.entries) if each.id == entry.id)
        before = self.entries[at + 1] if at + 1 < len(self.entries) else None
        return before, self.entries[at - 1] if at else None


def stamp(session: Session, slug: str) -> tuple[Any, ...]:
    """What tells one state of a publication's archive from another: asked at every page, so in one quick statement."""
    row = session.connection().execute(_STAMP, {"slug": slug}).one()
    return tuple(row)


def catalogue(session: Session, folder: Folder, slug: str, known: Catalogue | None = None) -> Catalogue:
    """The archive of a publication. What `known`, an earlier one, has already isn't read again."""
    now = stamp(session, slug)
    if known is not None and known.stamp == now:
        return known
    before = {(entry.id, entry.revision): entry for entry in known.entries} if known else {}
    latest = {
        number: (revision, made)
        for number, revision, made in session.execute(
            select(Rendition.issue_id, func.max(Rendition.revision), func.max(Rendition.made))
            .join(Issue, Issue.id == Rendition.issue_id)
            .where(*_public(slug), Rendition.kind == RenditionKind.page)
            .group_by(Rendition.issue_id)
        )
    }
    papers: dict[int, int] = dict(
        session.execute(
            select(Rendition.issue_id, func.length(Rendition.content))
            .join(Issue, Issue.id == Rendition.issue_id)
            .where(*_public(slug), Rendition.kind == RenditionKind.pdf)
            .order_by(Rendition.revision)
        ).all()
    )
    rows = session.execute(
        select(Issue.id, *_COLUMNS).where(*_public(slug)).order_by(Issue.volume.desc(), Issue.number.desc())
    ).all()
    new = [row.id for row in rows if (row.id, latest.get(row.id, (1, None))[0]) not in before]
    contents = dict(entries_html(session, new))
    read = _Reading(session, folder, slug)
    entries = []
    for row in rows:
        revision, made = latest.get(row.id, (1, row.since))
        entries.append(
            before.get((row.id, revision))
            or read.entry(row, revision, made, papers.get(row.id, 0), contents.get(row.id))
        )
    return Catalogue(slug, now, tuple(entries))


def entries_html(session: Session, issues: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The HTML of these issues' entries in feeds, in their latest revision, by the issue's id; a hundred at a time."""
    for at in range(0, len(issues), 100):
        rows = session.execute(
            select(Rendition.issue_id, Rendition.content)
            .where(Rendition.issue_id.in_(issues[at : at + 100]), Rendition.kind == RenditionKind.entry)
            .order_by(Rendition.revision)
        )
        found: dict[int, bytes] = dict(rows.all())
        yield from ((number, content.decode()) for number, content in found.items())


def content(session: Session, issue: int, kind: RenditionKind) -> bytes | None:
    """The latest revision of a rendition, to the byte; None where there is none."""
    return session.scalar(
        select(Rendition.content)
        .where(Rendition.issue_id == issue, Rendition.kind == kind)
        .order_by(Rendition.revision.desc())
        .limit(1)
    )


def pages(session: Session, entry: Entry) -> int | None:
    """How many pages the PDF of an issue has; None where there is none."""
    from newsletter.render import pdf

    paper = content(session, entry.id, RenditionKind.pdf) if entry.paper_bytes else None
    return pdf.pages(paper) if paper else None


def texts(session: Session, folder: Folder, issues: Sequence[int]) -> Iterator[tuple[int, dict[str, str]]]:
    """What the stories of these issues say, without marks, by their anchors; with the issue's id."""
    left = dict.fromkeys(issues)
    compiled = {each.compiled_by for each in folder.config.publications.values() if each.compiled_by}
    for number, entry in entries_html(session, issues):
        del left[number]
        told = entry.rstrip()
        for words in compiled:
            # It stands behind the last story, and is no part of it.
            told = told.removesuffix(f"<p><em>{escape(words)}</em></p>")
        yield number, {html.unescape(anchor): _text(rest) for anchor, _, rest in _STORY.findall(told)}
    for number in left:
        yield number, {story.anchor: story.body for story in _edition(session, folder, number).stories}


# The same few issues are found again and again.
@functools.lru_cache(maxsize=1024)
def _text(content: str) -> str:
    """What HTML says, in one line."""
    return re.sub(r"\s+", " ", html.unescape(_UNTOLD.sub(" ", _WITHIN_WORDS.sub("", content)))).strip()


def _edition(session: Session, folder: Folder, issue: int) -> Edition:
    row = session.get_one(Issue, issue)
    _, publication = folder.publication(row.publication)
    return edition(folder, row.publication, publication, row)


class _Reading:
    """What entries of one publication are made with."""

    def __init__(self, session: Session, folder: Folder, slug: str) -> None:
        config = folder.config
        self._session, self._folder, self._slug = session, folder, slug
        self._names = fields.known(config.attributes)
        self._language, self._title = config.publications[slug].language, config.publications[slug].title

    def entry(self, issue: Any, revision: int, made: dt.datetime, paper: int, content: str | None) -> Entry:
        """An issue whose page is of this revision, and was made then.

        `paper` are the octets of its PDF, `content` its entry in feeds.
        """
        sent = issue.started or issue.since
        stories, picture = _stories(self._session, self._folder, issue.id, content)
        changed = self._changed(issue.id) if revision > 1 else {}
        return Entry(
            id=issue.id,
            volume=issue.volume,
            number=issue.number,
            through=issue.through,
            date=issue.date,
            title=self._said(issue.subject, changed),
            preheader=self._said(issue.preheader, changed),
            stories=stories,
            picture=picture,
            sent=sent,
            updated=made if revision > 1 else sent,
            revision=revision,
            paper_bytes=paper,
            url=page_url(self._folder.config.base_url, self._slug, issue.volume, issue.number),
        )

    def _changed(self, issue: int) -> dict[str, str]:
        """The headlines of an issue that were corrected, as they were and as they are."""
        row = self._session.get_one(Issue, issue)
        return {story.headline: corrected(story, row.corrections)[0] for story in row.stories}

    def _said(self, text: str, changed: Mapping[str, str]) -> str:
        text = seen(with_headlines(text, changed, self._title))
        try:
            if "[[" in text:
                text = plain(fields.frame(text, self._names), self._names)
        except Mistake:
            # A field that has since gone from config.toml: what is written says more than nothing.
            return text
        return typeset(text, self._language)


def _stories(
    session: Session, folder: Folder, issue: int, entry: str | None
) -> tuple[tuple[Told, ...], Picture | None]:
    if entry is None:
        # An issue of a version that made no entries.
        of = _edition(session, folder, issue)
        told = tuple(Told(story.headline, story.anchor) for story in of.stories)
        shown = of.lead.picture if of.lead else None
        return told, Picture(shown.url, shown.real_width, shown.real_height, shown.alt) if shown else None
    told = tuple(
        Told(html.unescape(_UNTOLD.sub("", headline)), anchor) for anchor, headline, _ in _STORY.findall(entry)
    )
    found = _PICTURE.search(entry)
    if found is None:
        return told, None
    return told, Picture(html.unescape(found[1]), int(found[2]), int(found[3]), html.unescape(found[4]))
