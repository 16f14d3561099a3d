"""A frozen issue becomes its renditions: the mail's HTML and text, the web page, and the PDF.

    Edition ─→ Marks hide merge fields ─→ stories: Markdown ─→ tokens ─┬→ HTML, sanitised ─┐
                                                                      └→ text             │
    issue.mjml ─→ Jinja2 ─→ check ─→ harden ─→ MJML ─→ soften ─→ stories put in ─→ premailer ─→ frames ─→ html
    issue.txt  ─→ Jinja2, with the stories' text ─→ frames ─→ text
    page.html  ─→ Jinja2, with the stories' HTML ─→ frames filled for nobody ─→ page
    issue.typ  ─→ typst, with the stories' HTML as data, filled for nobody ─→ pdf

The PDF comes first: the others say how long it is. Stories meet neither Jinja nor MJML nor typst as source. Whatever
is wrong is a TemplateMistake, FieldMistake, FontMistake or PictureMistake with its place, and nothing is made.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.config import Publication
from newsletter.database import insert
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.render import theme_pictures
from newsletter.render.edition import Edition, PdfView, PictureView, StoryView, edition
from newsletter.render.making import aside, others, paper
from newsletter.render.rendering import render
from newsletter.states import RenditionKind
from newsletter.tokens import keys

__all__ = [
    "Edition",
    "PdfView",
    "PictureView",
    "StoryView",
    "aside",
    "edition",
    "others",
    "paper",
    "render",
    "render_issue",
    "render_revision",
]


def render_issue(
    session: Session,
    folder: Folder,
    slug: str,
    publication: Publication,
    issue: Issue,
    now: dt.datetime,
    *,
    on_paper: bool = True,
) -> dict[RenditionKind, Rendition]:
    """The renditions of an assembled issue, as it is sent: made and kept the first time, from then on what was kept.

    Within `aside` they are made beside the transaction.
    TemplateMistake, FieldMistake, FontMistake or PictureMistake where it can't be rendered: then none is kept.
    IssueMistake where it has no number yet. With on_paper=False there is no PDF, and no word of one in the others: for
    a look at these while the PDF can't be made. What was corrected since is in none of them: see `render_revision`.
    """
    kept = _kept(session, issue, 1)
    missing = [kind for kind in RenditionKind if kind not in kept and (on_paper or kind is not RenditionKind.pdf)]
    if not missing:
        return kept
    this = edition(folder, slug, publication, issue, keys(session, now), revision=1)
    theme_pictures.keep(session, folder, publication, now)
    made: dict[RenditionKind, bytes] = {}
    if on_paper:
        from newsletter.render import pdf

        there = kept.get(RenditionKind.pdf)
        content = there.content if there else paper(session, this, folder)
        made[RenditionKind.pdf] = content
        this = dataclasses.replace(this, pdf=PdfView(this.pdf_url, pdf.pages(content), len(content)))
    if missing != [RenditionKind.pdf]:
        made |= {kind: text.encode() for kind, text in others(session, this, folder).items()}
    _keep(session, issue, 1, {kind: made[kind] for kind in missing}, now)
    return _kept(session, issue, 1)


def render_revision(
    session: Session, folder: Folder, slug: str, publication: Publication, issue: Issue, now: dt.datetime
) -> dict[RenditionKind, Rendition]:
    """The page, the PDF and the feed entry with all corrections that were made, kept beside those before.

    What was mailed stays as it is. A PDF is made where the issue had one. Mistakes as `render_issue`.
    """
    this = edition(folder, slug, publication, issue, keys(session, now))
    theme_pictures.keep(session, folder, publication, now)
    made: dict[RenditionKind, bytes] = {}
    if RenditionKind.pdf in _kept(session, issue, 1):
        from newsletter.render import pdf

        made[RenditionKind.pdf] = content = paper(session, this, folder)
        this = dataclasses.replace(this, pdf=PdfView(this.pdf_url, pdf.pages(content), len(content)))
    found = others(session, this, folder)
    made |= {kind: found[kind].encode() for kind in (RenditionKind.page, RenditionKind.entry)}
    _keep(session, issue, this.revision, made, now)
    return _kept(session, issue, this.revision)


def _keep(session: Session, issue: Issue, revision: int, made: Mapping[RenditionKind, bytes], now: dt.datetime) -> None:
    for kind, content in made.items():
        # Two processes may render at once: they make the same bytes, and the first to commit keeps them.
        session.execute(
            insert(session, Rendition)
            .values(
                issue_id=issue.id,
                kind=kind,
                revision=revision,
                content=content,
                sha256=hashlib.sha256(content).hexdigest(),
                made=now,
            )
            .on_conflict_do_nothing()
        )


def _kept(session: Session, issue: Issue, revision: int) -> dict[RenditionKind, Rendition]:
    rows = select(Rendition).where(Rendition.issue_id == issue.id, Rendition.revision == revision)
    return {row.kind: row for row in session.scalars(rows)}
