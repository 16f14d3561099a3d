"""An issue as one reader would get it, before anybody does.

It is the same assembling, rendering and composing as for sending. An issue that still takes drafts is assembled
for the preview and then undone, so that what is seen is the issue as it would go now.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter import compose, issues, pictures, preflight, subscribers
from newsletter.compose import Message, Reader
from newsletter.config import Publication
from newsletter.contact_sheet import NAMES, Copy, contact_sheet
from newsletter.errors import Mistake
from newsletter.folder import Folder
from newsletter.models import Issue, Picture, Subscription
from newsletter.preflight import Finding
from newsletter.rehearsing import rehearsed
from newsletter.render import render_issue
from newsletter.render.links import absolute
from newsletter.states import RenditionKind

NOBODY = Reader(0, "reader@example.org", "", {}, None)
"""A reader of whom nothing is known: every field shows what it falls back to."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a reader would get."""

    name: str
    """Of the issue: "Vol 2 No 21"."""
    subject: str
    html: str
    text: str
    page: str
    """The web page, which is the same for every reader."""
    pdf: bytes | None
    message: Message
    publication: Publication
    date: dt.date
    """On the masthead."""
    no_pdf: Mistake | None = None
    """Why there is no PDF; the others are then as they would be without one."""
    findings: tuple[Finding, ...] = ()
    """What preflight says of it."""


def preview(folder: Folder, slug: str, which: str, now: dt.datetime, *, reader: str | None = None) -> Preview:
    """The issue `which` as the subscriber with the address `reader` would get it; nothing of it is kept.

    Mistakes: an issue or a reader that isn't there, too few stories, a template or a story that can't be rendered.
    A PDF that can't be made keeps nobody from seeing the rest.
    """
    _, publication = folder.publication(slug)

    def look(session: Session, issue: Issue) -> Preview:
        no_pdf = None
        try:
            made = render_issue(session, folder, slug, publication, issue, now)
        except Mistake as mistake:
            made = render_issue(session, folder, slug, publication, issue, now, on_paper=False)
            no_pdf = mistake
        composer = compose.for_issue(session, folder, issue, now)
        who = _reader(session, reader) if reader else NOBODY
        return Preview(
            issues.name(issue),
            composer.subject(who),
            composer.html(who),
            composer.text(who),
            made[RenditionKind.page].content.decode(),
            made[RenditionKind.pdf].content if RenditionKind.pdf in made else None,
            composer.compose(who, now),
            publication,
            issue.date or now.date(),
            no_pdf,
            preflight.look(session, folder, issue, now),
        )

    return rehearsed(folder, slug, which, now, look)


def _reader(session: Session, address: str) -> Reader:
    person = subscribers.find(session, address)
    if person.address is None:
        raise Mistake("that subscriber's data was erased")
    joined = session.scalar(select(func.min(Subscription.joined)).where(Subscription.subscriber_id == person.id))
    # Under nobody's number: the links in a preview must not unsubscribe the person whom it is shown as.
    return Reader(NOBODY.subscriber, person.address, person.name, person.attributes, joined)


SHEET = "contact-sheet.png"
PICTURES = "pictures"
"""The file and the folder that `draw` writes."""


def write(folder: Folder, made: Preview, place: Path) -> list[Path]:
    """Writes a preview into a folder, for a look without a network: HTML with its pictures, text, PDF, message.

    What is left there of an earlier look and would tell another story than the rest is removed.
    """
    place.mkdir(parents=True, exist_ok=True)
    html, page = made.html, made.page
    for url, source in _pictures(folder, html).items():
        shutil.copy(source, place / source.name)
        html, page = html.replace(url, source.name), page.replace(url, source.name)
    files = {
        "index.html": html.encode(),
        "text.txt": made.text.encode(),
        "page.html": page.encode(),
        "message.eml": made.message.data,
    }
    if made.pdf is not None:
        files["issue.pdf"] = made.pdf
    else:
        (place / "issue.pdf").unlink(missing_ok=True)
    for old in (place / SHEET, *(place / PICTURES / f"{name}.png" for name in NAMES)):
        old.unlink(missing_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return [place / name for name in files]


def draw(folder: Folder, made: Preview, place: Path, told: Callable[[int], None] = lambda _: None) -> list[Path]:
    """Writes a preview's contact sheet, and each of its pictures in their true size, into the same folder.

    `told` hears of each picture that is taken, contact_sheet.STEPS in all. BrowserMistake where none can be taken.
    """
    publication = made.publication
    sheet = contact_sheet(
        Copy(
            title=publication.title,
            name=made.name,
            date=made.date,
            language=publication.language,
            direction=publication.direction,
            sender=publication.sender_name or publication.title,
            subject=made.subject,
            html=made.html,
            text=made.text,
            pdf=made.pdf,
            size=made.message.size,
            pictures={url: path.read_bytes() for url, path in _pictures(folder, made.html).items()},
        ),
        told,
    )
    (place / PICTURES).mkdir(parents=True, exist_ok=True)
    files = {place / SHEET: sheet.content}
    files |= {place / PICTURES / f"{name}.png": shot for name, shot in sheet.shots.items()}
    for path, content in files.items():
        path.write_bytes(content)
    return list(files)


def _pictures(folder: Folder, html: str) -> dict[str, Path]:
    """The files of the pictures that a mail shows, by their addresses; those that are in the store.

    Their rows may have been undone with the preview's transaction, as those of a new logo are; their files are there.
    """
    base_url = absolute(folder.config.base_url) or folder.config.base_url
    pattern = re.escape(base_url) + r"/pictures/([0-9a-f]{64})\.(\w+)"
    shown = [Picture(sha256=sha256, extension=kind) for sha256, kind in sorted(set(re.findall(pattern, html)))]
    files = {pictures.url(base_url, each): pictures.path(folder.pictures, each) for each in shown}
    return {url: file for url, file in files.items() if file.is_file()}
