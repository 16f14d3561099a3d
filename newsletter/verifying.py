"""Whether what is kept of an issue is whole, and whether rendering still makes the same of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.errors import Mistake
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.render import PdfView, edition, render
from newsletter.states import RenditionKind
from newsletter.tokens import keys


@dataclass(frozen=True, slots=True)
class Checked:
    """One kept rendition."""

    kind: RenditionKind
    revision: int
    sha256: str
    whole: bool
    """It still has the SHA-256 that was written down with it."""
    same: bool | None
    """Rendering makes these very bytes today; None where it makes none."""


def verify(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> tuple[list[Checked], str]:
    """Each rendition that is kept, and why it can't be rendered today; "" where it can. Only looks."""
    from newsletter.render import pdf

    slug, publication = folder.publication(issue.publication)
    rows = session.scalars(
        select(Rendition).where(Rendition.issue_id == issue.id).order_by(Rendition.revision, Rendition.kind)
    ).all()
    today: dict[tuple[RenditionKind, int], bytes] = {}
    trouble = ""
    for revision in sorted({row.revision for row in rows}):
        this = edition(folder, slug, publication, issue, keys(session, now), revision=revision)
        try:
            if any(row.kind is RenditionKind.pdf and row.revision == revision for row in rows):
                content = pdf.make(this, folder)
                today[RenditionKind.pdf, revision] = content
                # The others are compared as they were made: with the PDF that is kept.
                paper = next(row for row in rows if row.kind is RenditionKind.pdf and row.revision == revision).content
                this = dataclasses.replace(this, pdf=PdfView(this.pdf_url, pdf.pages(paper), len(paper)))
            for kind, text in render(this, folder.templates).items():
                today[kind, revision] = text.encode()
        except Mistake as mistake:
            trouble = trouble or str(mistake)
    found = []
    for row in rows:
        made = today.get((row.kind, row.revision))
        whole = hashlib.sha256(row.content).hexdigest() == row.sha256
        found.append(Checked(row.kind, row.revision, row.sha256, whole, None if made is None else made == row.content))
    return found, trouble
