"""A publication with an issue on its way, from the sample's own stories: for tests of what readers meet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from conftest import NOW
from sqlalchemy.orm import Session

from newsletter import dispatch, drafts, issues, pictures, story_file
from newsletter.folder import Folder
from newsletter.models import Issue
from newsletter.states import IssueState

STORIES = Path(__file__).parent.parent / "sample" / "stories"


def sending(session: Session, folder: Folder, *, slug: str = "digest", now: dt.datetime = NOW) -> Issue:
    """Vol 2 No 21 of three of the sample's stories, rendered, its audience frozen: it is being sent."""
    publication = folder.config.publications[slug]
    sections = {slug: publication.sections}
    for path in sorted(STORIES.glob("[1-5]*.md")):
        story = story_file.read(path.read_bytes(), {slug: ()}, beside=path.parent, publication=slug)
        if story.written.section not in sections[slug]:
            continue
        picture = pictures.store(session, folder.pictures, path.parent / story.picture, now) if story.picture else None
        drafts.add(session, slug, story.written, now, sections=publication.sections, picture=picture)
    issue = issues.open_next(session, slug, publication, now)
    issues.assemble(session, slug, publication, issue, now)
    issue.state = IssueState.approved
    dispatch.start(session, folder, issue, now)
    return issue
