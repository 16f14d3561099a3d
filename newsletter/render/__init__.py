"""A frozen issue becomes its renditions: the mail's HTML and text, and the web page.

    Edition ─→ Marks hide merge fields ─→ stories: Markdown ─→ tokens ─┬→ HTML, sanitised ─┐
                                                                      └→ text             │
    issue.mjml ─→ Jinja2 ─→ check ─→ harden ─→ MJML ─→ soften ─→ stories put in ─→ premailer ─→ frames ─→ html
    issue.txt  ─→ Jinja2, with the stories' text ─→ frames ─→ text
    page.html  ─→ Jinja2, with the stories' HTML ─→ frames filled for nobody ─→ page

Stories meet neither Jinja nor MJML as source. Whatever is wrong is a TemplateMistake or FieldMistake with its
place, and nothing is made.
"""

from __future__ import annotations

import datetime as dt
import hashlib

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from newsletter.config import Publication
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.render.edition import Edition, PictureView, StoryView, edition
from newsletter.render.rendering import render
from newsletter.states import RenditionKind

__all__ = ["Edition", "PictureView", "StoryView", "edition", "render", "render_issue"]


def render_issue(
    session: Session, folder: Folder, slug: str, publication: Publication, issue: Issue, now: dt.datetime
) -> dict[RenditionKind, Rendition]:
    """The renditions of an assembled issue: made and kept the first time, from then on what was kept.

    TemplateMistake or FieldMistake where it can't be rendered; IssueMistake where it has no number yet.
    """
    kept = _kept(session, issue)
    if len(kept) == len(RenditionKind):
        return kept
    made = render(edition(folder, slug, publication, issue), folder.templates)
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    for kind, text in made.items():
        content = text.encode()
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
