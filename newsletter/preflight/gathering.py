"""Gathers what preflight has to know: from the ledger, the readers, the templates. The only part with a database."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import LargeBinary, Select, case, cast, func, or_, select
from sqlalchemy.orm import Session

from newsletter import audience, cadence, compose, fields, issues, segments
from newsletter.compose import Reader
from newsletter.config import Publication, RelayKind, zone
from newsletter.errors import FontMistake, Mistake
from newsletter.fields import Choice, Node, Value
from newsletter.folder import Folder
from newsletter.models import Delivery, Draft, Issue, Rendition, Story, Subscriber
from newsletter.numbering import Number, Numbered
from newsletter.preflight.facts import Audience, Earlier, Facts, Sheet, Trouble
from newsletter.preflight.sources import Source, source
from newsletter.render.edition import edition
from newsletter.render.rendering import story_called
from newsletter.render.templates import read
from newsletter.states import IssueState, RenditionKind
from newsletter.subscribers import ATTRIBUTE_LENGTH, NAME_LENGTH
from newsletter.tokens import keys

SOMEBODY = Reader((1 << 40) - 1, "reader@example.org", "", {}, None)
"""A reader of whom nothing is known, with a token as long as they come."""

_LAST = 3
"""Issues whose stories are held against this one's word by word, nearly."""

_STYLE = re.compile(r"<mj-style(?P<inline>[^>]*)>(?P<css>.*?)</mj-style>", re.DOTALL)
_INCLUDED = re.compile(r"""\{%-?\s*(?:include|import|from|extends)\s+["']([^"'\n]+)["']""")
_TEMPLATED = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


def gather(
    session: Session,
    folder: Folder,
    slug: str,
    publication: Publication,
    issue: Issue,
    made: Mapping[RenditionKind, Rendition],
    now: dt.datetime,
    *,
    troubles: tuple[Trouble, ...] = (),
    counted: bool = True,
) -> Facts:
    """All that preflight's rules may know of an assembled issue; `made` are its renditions, as far as there are any.

    With counted=False its readers aren't counted, which takes seconds where there are a million: their values are then
    taken to be as long as any may be.
    """
    this = edition(folder, slug, publication, issue, keys(session, now), revision=1)
    html, text, page, entry = (
        made[kind].content.decode() if kind in made else ""
        for kind in (RenditionKind.html, RenditionKind.text, RenditionKind.page, RenditionKind.entry)
    )
    used = sorted(_used([html, text, this.subject], this.fields))
    token = len(f"{folder.config.base_url}/preferences/{keys(session, now).reader(issue.id, SOMEBODY.subscriber)}")
    readers = (
        _audience(session, folder, slug, publication, issue, used, token, now)
        if counted
        else Audience(0, {}, _most(used, token))
    )
    message, no_message, signs = _message(session, folder, issue, now) if html and text else (b"", "", False)
    last, ahead = _neighbours(session, slug, issue)
    return Facts(
        edition=this,
        now=now,
        goes=cadence.local_date(publication.cadence, issue.started or max(issue.sends, now)),
        html=html,
        text=text,
        page=page,
        entry=entry,
        pdf=made[RenditionKind.pdf].content if RenditionKind.pdf in made else None,
        message=message,
        no_message=no_message,
        troubles=troubles,
        audience=readers,
        earlier=_earlier(session, slug, issue),
        last=last,
        ahead=ahead,
        pictures={
            view.picture.url: row.picture.size
            for view, row in zip(this.stories, sorted(issue.stories, key=lambda each: each.position), strict=True)
            if view.picture and row.picture
        },
        sheets=sheets(folder.templates, publication.design),
        sources=_sources(session, folder, issue),
        signs=signs,
        rehearsal=all(relay.kind is RelayKind.maildir for relay in folder.config.relays),
    )


def troubles(mistake: Mistake, *, on_paper: bool) -> tuple[Trouble, ...]:
    """Why a rendition couldn't be made; where fonts lack letters, one for each letter, with its story."""
    rule = "no-pdf" if on_paper else "not-rendered"
    remedy = mistake.remedy or "Put that right."
    if isinstance(mistake, FontMistake) and mistake.letters:
        return tuple(
            Trouble(rule, f'no font has "{each.text}" ({each.name})', remedy, each.story) for each in mistake.letters
        )
    if (story := story_called(mistake.where or "")) is not None:
        return (Trouble(rule, mistake.what, remedy, story, mistake.line - 1 if mistake.line else None),)
    where = f"{mistake.where}{f', line {mistake.line}' if mistake.line else ''}: " if mistake.where else ""
    return (Trouble(rule, f"{where}{mistake.what}", remedy),)


def _message(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> tuple[bytes, str, bool]:
    """The message as it is sent, or why none can be made, and whether it is signed."""
    try:
        data = compose.for_issue(session, folder, issue, now).compose(SOMEBODY, now).data
    except Mistake as mistake:
        return b"", str(mistake), bool(folder.config.dkim)
    return data, "", data.startswith(b"DKIM-Signature:")


def _neighbours(session: Session, slug: str, issue: Issue) -> tuple[Numbered | None, Number | None]:
    """The issue with the number before this one's, and the first one for an earlier date with a higher number."""
    others = session.scalars(
        select(Issue)
        .where(Issue.publication == slug, Issue.id != issue.id, Issue.volume.is_not(None), Issue.number.is_not(None))
        .order_by(Issue.volume.desc(), Issue.number.desc())
    ).all()
    own = issues.number_of(issue)
    assert own is not None, "an issue is looked at once it has its number"
    before = [(number, each) for each in others if (number := issues.number_of(each)) and own.follows(number)]
    after = [
        number
        for each in others
        if each.slot < issue.slot and (number := issues.number_of(each)) and not own.follows(number)
    ]
    last = Numbered(before[0][0], before[0][1].date or before[0][1].slot) if before else None
    return last, after[0] if after else None


def _earlier(session: Session, slug: str, issue: Issue) -> tuple[Earlier, ...]:
    """Stories of other issues, not cancelled, that have a headline, a text or a link in common with this one's; and all
    of the last few, which may be told again in other words.
    """
    headlines = [story.headline.lower() for story in issue.stories]
    links = [story.link for story in issue.stories if story.link]
    others = (
        Issue.publication == slug,
        Issue.id != issue.id,
        Issue.slot <= issue.slot,
        Issue.state != IssueState.cancelled,
    )
    newest = select(Issue.id).where(*others).order_by(Issue.slot.desc()).limit(_LAST)
    rows = session.execute(
        select(Story, Issue)
        .join(Issue, Issue.id == Story.issue_id)
        .where(
            *others,
            or_(
                Issue.id.in_(newest),
                func.lower(Story.headline).in_(headlines),
                Story.body.in_([story.body for story in issue.stories]),
                Story.link.in_(links),
            ),
        )
        .order_by(Issue.slot.desc(), Story.position)
        .limit(200)
    )
    return tuple(
        Earlier(str(issues.number_of(other) or other.slot), story.headline, story.link, story.body)
        for story, other in rows
    )


def _audience(
    session: Session,
    folder: Folder,
    slug: str,
    publication: Publication,
    issue: Issue,
    used: list[str],
    token: int,
    now: dt.datetime,
) -> Audience | None:
    """What the readers who are due lack, and how long their values are: of the fields in use, in one statement."""
    kept = [name for name in used if name == "name" or name not in fields.ALWAYS]
    longest = _most(used, token)
    if not kept and "address" not in used:
        return Audience(0, {}, longest)
    due: Select[Any]
    if issue.started is not None:
        due = select(Delivery.subscriber_id).where(Delivery.issue_id == issue.id)
    else:
        where = zone(publication.cadence.zone)
        try:
            within = segments.within(session, folder.config, slug, publication, issue, now)
            due = audience.due(session, publication.lists, now, zone=where, within=within)
        except Mistake:
            return None
    sqlite = session.get_bind().dialect.name == "sqlite"
    values = [Subscriber.name if name == "name" else Subscriber.attributes[name].as_string() for name in kept]
    values = [func.coalesce(value, "") for value in values]
    octets = [func.length(cast(value, LargeBinary)) if sqlite else func.octet_length(value) for value in values]
    count, longest_address, *rest = session.execute(
        select(
            func.count(),
            func.coalesce(func.max(func.length(Subscriber.address)), 0),
            *(func.coalesce(func.sum(case((func.trim(value) == "", 1), else_=0)), 0) for value in values),
            *(func.coalesce(func.max(size), 0) for size in octets),
        ).where(Subscriber.id.in_(due))
    ).one()
    lacking, sizes = rest[: len(kept)], rest[len(kept) :]
    longest |= dict(zip(kept, sizes, strict=True)) | {"address": longest_address}
    return Audience(count, dict(zip(kept, lacking, strict=True)), longest)


def _most(used: list[str], token: int) -> dict[str, int]:
    """The octets that a value of each field may have in HTML, at most; `token` are those of a reader's own link."""
    return {
        **dict.fromkeys(used, 6 * ATTRIBUTE_LENGTH),
        "name": 6 * NAME_LENGTH,
        "address": 320,
        # The longest month and day that any language writes out, or nearly.
        "joined": 40,
        **dict.fromkeys(fields.URLS, token),
    }


def _used(framed: Iterable[str], names: frozenset[str]) -> set[str]:
    found: set[str] = set()

    def walk(nodes: tuple[Node, ...]) -> None:
        for node in nodes:
            if isinstance(node, Choice):
                found.add(node.condition.name)
                walk(node.then)
                walk(node.otherwise)
            elif isinstance(node, Value):
                found.add(node.name)

    *texts, subject = framed
    for each in (*texts, fields.frame(subject, names)):
        walk(fields.nodes(each, names))
    return found


def sheets(templates: Path, design: str) -> tuple[Sheet, ...]:
    """The CSS that the author of the design wrote for the mail, as it is now."""
    try:
        sources = read(templates, design)
    except Mistake:
        return ()
    made = []
    for name in (*_reached("inline.css", sources.texts), *_reached("issue.mjml", sources.texts)):
        content = sources.texts[name]
        file = sources.path(name).relative_to(templates).as_posix()
        if name.endswith(".css"):
            made.append(Sheet(file, _plain(content), 1, inlined=True))
            continue
        for found in _STYLE.finditer(content):
            line = content.count("\n", 0, found.start("css")) + 1
            made.append(Sheet(file, _plain(found["css"]), line, inlined="inline" in found["inline"]))
    return tuple(made)


def _plain(css: str) -> str:
    """CSS with what a template puts into it blanked, line by line."""
    return _TEMPLATED.sub(lambda each: re.sub(r"[^\n]", " ", each[0]), css)


def _reached(name: str, texts: Mapping[str, str]) -> list[str]:
    """A template and all that it includes, by their names."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        each = waiting.pop(0)
        if each in texts and each not in found:
            found.append(each)
            waiting += _INCLUDED.findall(texts[each])
    return found


def _sources(session: Session, folder: Folder, issue: Issue) -> dict[int, Source]:
    """The file of each story, where it came from one and that still says the same."""
    rows = session.execute(
        select(Story.position, Draft.source, Story.body)
        .join(Draft, Draft.id == Story.draft_id)
        .where(Story.issue_id == issue.id)
    )
    found = {position: source(written, body, folder.path) for position, written, body in rows}
    return {position: place for position, place in found.items() if place is not None}
