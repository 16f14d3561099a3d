"""An issue's folder into the database: archived as sent. Nobody is mailed, and the calendar takes no notice."""

from __future__ import annotations

import datetime as dt
import hashlib

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import cadence, issues, numbering, pictures
from newsletter.config import Publication, zone
from newsletter.errors import IssueMistake, Mistake
from newsletter.folder import Folder
from newsletter.issue_folder.reading import FolderRead, StoryRead
from newsletter.issues.assembling import preheader, subject
from newsletter.issues.finding import check_free
from newsletter.models import Correction, Draft, Issue, Picture, Rendition, Story
from newsletter.numbering import Number
from newsletter.render import render_issue, render_revision
from newsletter.states import DraftState, IssueState

WHY = "imported"


def archive(session: Session, folder: Folder, found: FolderRead, slug: str, now: dt.datetime) -> Issue:
    """The issue of a folder as one of the publication's that was sent; one without renditions is rendered.

    To be run `aside`. IssueMistake where its number or its date is taken, where it tells of an issue that isn't there,
    or belongs to another publication; the Mistakes of rendering. Then nothing is changed.
    """
    publication = folder.config.publications[slug]
    said = found.description
    if said.publication and said.publication != slug:
        raise found.mistake(
            f'this is an issue of "{said.publication}", not of "{slug}"',
            "publication",
            "Say which publication is meant, or change it here."
            if said.publication not in folder.config.publications
            else f"Import it with --publication {said.publication}.",
        )
    # One look at the calendar at a time: its numbers are given under this lock.
    issues.lock_calendar(session, slug)
    number = Number(said.volume, said.number, said.through)
    try:
        numbering.checked(publication.numbering, number)
        issue = _issue(session, publication, found, slug, number, now)
    except IssueMistake as mistake:
        raise found.mistake(mistake.what, "number", mistake.remedy) from None
    stories = [_story(session, folder, issue, at, each, now) for at, each in enumerate(found.stories, 1)]
    headlines = [story.headline for story in stories]
    assert issue.date is not None
    if not said.subject:
        issue.subject = subject(publication.subject, publication, number, issue.date, headlines)
    if not said.preheader:
        issue.preheader = preheader(headlines)
    session.flush()
    session.expire(issue)
    _tell(session, found, slug, issue)
    if found.renditions:
        _correct(session, found, publication, issue, now)
        _keep(session, found, issue)
        return issue
    try:
        render_issue(session, folder, slug, publication, issue, now)
        for each in said.corrections:
            _correct(session, found, publication, issue, now, only=each.revision)
            render_revision(session, folder, slug, publication, issue, now)
    except Mistake as mistake:
        raise IssueMistake(f"it can't be rendered: {mistake}", where=found.place) from None
    return issue


def _issue(
    session: Session, publication: Publication, found: FolderRead, slug: str, number: Number, now: dt.datetime
) -> Issue:
    said = found.description
    slot = said.slot or said.date
    noon = dt.datetime.combine(said.date, dt.time(12), zone(publication.cadence.zone)).astimezone(dt.UTC)
    own = cadence.slot_on(publication.cadence, slot)
    sends = said.times.sends or (own.sends if own and said.date == slot else min(noon, now))
    issue = Issue(
        publication=slug,
        slot=slot,
        state=IssueState.sent,
        why=WHY,
        since=said.times.finished or sends,
        next_look=None,
        deadline=said.times.deadline or sends,
        approve_by=said.times.approve_by or sends,
        sends=sends,
        assembled=said.times.assembled or sends,
        started=said.times.started or sends,
        finished=said.times.finished or sends,
        volume=number.volume,
        number=number.number,
        through=number.through,
        date=said.date,
        subject=said.subject,
        preheader=said.preheader,
        private=said.private,
    )
    check_free(session, number, issue)
    other = session.scalar(select(Issue).where(Issue.publication == slug, Issue.slot == slot))
    if other is not None:
        raise IssueMistake(
            f"{issues.name(other)} ({other.state.value}) is already for {slot}",
            remedy="Give this one another slot, such as the day it went.",
        )
    session.add(issue)
    session.flush()
    return issue


def _story(session: Session, folder: Folder, issue: Issue, position: int, read: StoryRead, now: dt.datetime) -> Story:
    picture: Picture | None = None
    if read.picture is not None:
        picture = pictures.keep(session, folder.pictures, read.picture, now)
    written = read.written
    text = {
        "headline": written.headline,
        "body": written.body,
        "section": written.section,
        "link": written.link,
        "author": written.author,
        "picture_sha256": picture.sha256 if picture else None,
        "picture_alt": written.alt,
        "picture_credit": written.credit,
    }
    draft = Draft(
        publication=issue.publication,
        state=DraftState.published,
        position=position,
        created=issue.assembled,
        changed=issue.assembled,
        issue_id=issue.id,
        **text,
    )
    session.add(draft)
    session.flush()
    story = Story(issue_id=issue.id, draft_id=draft.id, position=position, **text)
    session.add(story)
    return story


def _correct(
    session: Session,
    found: FolderRead,
    publication: Publication,
    issue: Issue,
    now: dt.datetime,
    *,
    only: int | None = None,
) -> None:
    """The corrections that the folder tells of; only one of them where its renditions are still to be made."""
    for each in found.description.corrections:
        if only is not None and each.revision != only:
            continue
        noon = dt.datetime.combine(each.date, dt.time(12), zone(publication.cadence.zone))
        session.add(
            Correction(
                issue_id=issue.id,
                position=each.story,
                revision=each.revision,
                made=each.made or min(noon, now),
                date=each.date,
                by=each.by,
                words=each.words,
                headline=each.headline,
                body=each.body,
                announced=each.announce,
            )
        )
    session.flush()
    session.expire(issue, ["corrections"])


def _tell(session: Session, found: FolderRead, slug: str, issue: Issue) -> None:
    """Ties the notes that it carries to the corrections of earlier issues, which have to be there."""
    for note in found.description.notes:
        try:
            earlier = issues.find(session, slug, note.issue)
        except IssueMistake as mistake:
            raise found.mistake(
                f"it tells of a correction to {note.issue}, and {mistake.what}", "notes", "Import that one first."
            ) from None
        correction = session.scalar(
            select(Correction).where(Correction.issue_id == earlier.id, Correction.revision == note.revision)
        )
        if correction is None:
            raise found.mistake(
                f"it tells of a correction to {note.issue}, and that has no revision {note.revision}", "notes"
            )
        correction.told_in, correction.announced = issue.id, True
    session.flush()
    session.expire(issue, ["notes"])


def _keep(session: Session, found: FolderRead, issue: Issue) -> None:
    made = {each.revision: each.made for each in issue.corrections}
    assert issue.assembled is not None
    for (kind, revision), content in found.renditions.items():
        session.add(
            Rendition(
                issue_id=issue.id,
                kind=kind,
                revision=revision,
                content=content,
                sha256=hashlib.sha256(content).hexdigest(),
                made=made.get(revision, issue.assembled),
            )
        )
    session.flush()
