"""From assembled to on its way: an issue is rendered, looked at by preflight, and its audience frozen."""

from __future__ import annotations

import datetime as dt
import hashlib

from sqlalchemy.orm import Session

from newsletter import audience, issues, notices, preflight, segments
from newsletter.audience import Audience
from newsletter.config import Config, zone
from newsletter.errors import IssueMistake, Mistake, PreflightMistake
from newsletter.folder import Folder
from newsletter.issues.states import back, enter
from newsletter.models import Issue
from newsletter.states import IssueState

RENDERED = frozenset({IssueState.assembled, IssueState.approved, IssueState.sending, IssueState.paused})


def render(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> bool:
    """Renders an assembled issue, once, and has preflight look at it; whether it may go as it is.

    If a template or a story can't be rendered, or preflight finds an error, the issue is held with the reason, and the
    editors get word: a broken template is never a broken mail.
    """
    try:
        ready(session, folder, issue, now)
    except Mistake as mistake:
        held_back(session, folder, issue, mistake, now)
        return False
    return True


_BEFORE = frozenset({IssueState.assembled, IssueState.approved})
"""The states of an issue that nobody has had yet."""


def ready(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> None:
    """Makes what an issue goes with. A Mistake where that can't be; PreflightMistake where it would harm its readers.

    A PDF may be missing where that rule of preflight is switched off.
    """
    from newsletter.render import render_issue

    slug, publication = folder.publication(issue.publication)
    try:
        render_issue(session, folder, slug, publication, issue, now)
    except Mistake:
        if "no-pdf" not in publication.preflight:
            raise
        render_issue(session, folder, slug, publication, issue, now, on_paper=False)
    if issue.state in _BEFORE and (found := preflight.faults(session, folder, issue, now)):
        raise preflight.refusal(issues.name(issue), str(issues.number_of(issue)), found)


def held_back(session: Session, folder: Folder, issue: Issue, mistake: Mistake, now: dt.datetime) -> None:
    """Holds an issue that can't go, with the reason, and tells the editors: once for each reason."""
    slug, publication = folder.publication(issue.publication)
    if issue.state is not IssueState.held:
        enter(issue, IssueState.held, now, why=str(mistake), next_look=None, held_in=issue.state)
    label = issues.number_of(issue)
    if isinstance(mistake, PreflightMistake):
        about = f"preflight {issue.id} {hashlib.sha256(' '.join(mistake.told).encode()).hexdigest()[:32]}"
        listed = "".join(f"- {each}\n" for each in mistake.told)
        said = (
            f"Preflight found what would harm its readers:\n\n{listed}\n"
            f"To put that right: newsletter issue reopen {label}, mend the drafts or the design, newsletter issue"
            f" assemble. Where it is meant to be so, switch the rule off under [publications.{slug}.preflight] in"
            f" config.toml, with the reason, and then: newsletter issue resume {label}\n\n"
            f"newsletter issue preflight {label} says more of each.\n"
        )
    else:
        about = f"not rendered {issue.id} {mistake}"
        said = f"It can't go.\n\n{mistake}\n\nPut that right, then: newsletter issue resume {label}\n"
    notices.queue(session, slug, about, f"{publication.title}: {issues.name(issue)} is held", said, now)
    session.flush()


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
    can't be rendered, or would go to nobody, PreflightMistake if it would harm its readers, SegmentMistake if its
    segment can't be used, DkimMistake if its key can't: then nothing is changed.
    """
    issues.lock(session, issue)
    name = issues.name(issue)
    if issue.state is not IssueState.approved:
        raise IssueMistake(f"{name} is {issue.state.value}, and only an approved issue is sent")
    try:
        ready(session, folder, issue, now)
    except PreflightMistake:
        raise
    except Mistake as mistake:
        raise IssueMistake(f"{name} can't be rendered: {mistake}") from None
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
