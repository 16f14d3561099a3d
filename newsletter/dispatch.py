"""From assembled to on its way: an issue is rendered, and its audience frozen."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from newsletter import audience, issues, notices, segments
from newsletter.audience import Audience
from newsletter.config import Config, zone
from newsletter.errors import IssueMistake, Mistake
from newsletter.folder import Folder
from newsletter.issues.states import back, enter
from newsletter.models import Issue
from newsletter.states import IssueState

RENDERED = frozenset({IssueState.assembled, IssueState.approved, IssueState.sending, IssueState.paused})


def render(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> bool:
    """Renders an assembled issue, once; whether that went well.

    If a template or a story can't be rendered the issue is held with the reason, and the editors get word: a
    broken template is never a broken mail.
    """
    from newsletter.render import render_issue

    slug, publication = folder.publication(issue.publication)
    try:
        render_issue(session, folder, slug, publication, issue, now)
    except Mistake as mistake:
        if issue.state is not IssueState.held:
            held_in = issue.state
            enter(issue, IssueState.held, now, why=str(mistake), next_look=None, held_in=held_in)
        notices.queue(
            session,
            slug,
            f"not rendered {issue.id} {mistake}",
            f"{publication.title}: {issues.name(issue)} is held",
            f"It can't be rendered.\n\n{mistake}\n\n"
            f"Put that right, then: newsletter issue resume {issues.number_of(issue)}\n",
            now,
        )
        session.flush()
        return False
    return True


def ahead(session: Session, config: Config, slug: str, issue: Issue | None, now: dt.datetime) -> Audience:
    """Who an issue would go to now; with None, the publication's next one.

    ListMistake for a list that isn't there, SegmentMistake for a segment that can't be used.
    """
    publication = config.publications[slug]
    within = segments.within(session, config, slug, publication, issue, now)
    return audience.count(session, publication.lists, now, zone=zone(publication.cadence.zone), within=within)


def start(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> Audience:
    """Freezes the audience of an approved issue; from then on senders take its deliveries.

    In the caller's transaction, so that two who start it make one audience. IssueMistake if it isn't approved,
    can't be rendered, or would go to nobody, SegmentMistake if its segment can't be used, DkimMistake if its key can't:
    then nothing is changed.
    """
    issues.lock(session, issue)
    name = issues.name(issue)
    if issue.state is not IssueState.approved:
        raise IssueMistake(f"{name} is {issue.state.value}, and only an approved issue is sent")
    if not render(session, folder, issue, now):
        raise IssueMistake(f"{name} can't be rendered: {issue.why}")
    slug, publication = folder.publication(issue.publication)
    if folder.config.dkim:
        from newsletter import dkim, headers

        # Before anybody is promised a copy: with a key that can't be used no message can be made.
        dkim.signers(folder.config.dkim, folder.path, headers.wire_address(publication.sender))
    within = segments.within(session, folder.config, slug, publication, issue, now)
    where = zone(publication.cadence.zone)
    found = audience.freeze(session, issue, publication.lists, now, zone=where, within=within)
    if not found.due:
        raise IssueMistake(
            f"{name} would go to nobody: {found.candidates} candidates, none of them due",
            remedy="Import or add subscribers; newsletter list show says who is on a list, and in which state.",
        )
    back(issue, IssueState.sending, now)
    session.flush()
    return found
