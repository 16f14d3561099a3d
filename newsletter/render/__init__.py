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

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from newsletter.config import Publication
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.render.edition import Edition, PdfView, PictureView, StoryView, edition
from newsletter.render.rendering import render
from newsletter.states import RenditionKind
from newsletter.tokens import keys

__all__ = ["Edition", "PdfView", "PictureView", "StoryView", "edition", "render", "render_issue"]


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
    """The renditions of an assembled issue: made and kept the first time, from then on what was kept.

    TemplateMistake, FieldMistake, FontMistake or PictureMistake where it can't be rendered: then none is kept.
    IssueMistake where it has no number yet. With on_paper=False there is no PDF, and no word of one in the others:
    for a look at these while the PDF can't be made.
    """
    kept = _kept(session, issue)
    missing = [kind for kind in RenditionKind if kind not in kept and (on_paper or kind is not RenditionKind.pdf)]
    if not missing:
        return kept
    this = edition(folder, slug, publication, issue, keys(session, now))
    made: dict[RenditionKind, bytes] = {}
    if on_paper:
        from newsletter.render import pdf

        paper = kept.get(RenditionKind.pdf)
        content = paper.content if paper else pdf.make(this, folder)
        made[RenditionKind.pdf] = content
        this = dataclasses.replace(this, pdf=PdfView(this.pdf_url, pdf.pages(content), len(content)))
    if missing != [RenditionKind.pdf]:
        made |= {kind: text.encode() for kind, text in render(this, folder.templates).items()}
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    for kind in missing:
        content = made[kind]
        # Two processes may render at once: they make the same bytes, and the first to commit keeps them.
        session.execute(
            insert(Rendition)
            .values(
                issue_id=issue.id,
                kind=kind,
                content=content,
                sha256=hashlib.sha256(content).hexdigest(),
                made=now,
            )
            .on_conflict_do_nothing()
        )
    return _kept(session, issue)


def _kept(session: Session, issue: Issue) -> dict[RenditionKind, Rendition]:
    return {row.kind: row for row in session.scalars(select(Rendition).where(Rendition.issue_id == issue.id))}
