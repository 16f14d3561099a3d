"""An issue as it would go now, whether it is assembled already or still takes drafts; nothing of it is kept."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from newsletter import issues
from newsletter.errors import IssueMistake
from newsletter.folder import Folder
from newsletter.models import Issue
from newsletter.render import aside
from newsletter.states import IssueState

T = TypeVar("T")


def rehearsed(folder: Folder, slug: str, which: str, now: dt.datetime, look: Callable[[Session, Issue], T]) -> T:
    """What `look` answers about the issue `which`, assembled where it still takes drafts; then all of that is undone.

    IssueMistake for an issue that isn't there, or can't be assembled. `look` may render, and run more than once.
    """
    _, publication = folder.publication(slug)
    seen: list[T] = []

    def step(session: Session) -> None:
        if which == "next":
            issues.open_next(session, slug, publication, now)
        issue = issues.find(session, slug, which)
        if issue.state is IssueState.open or issue.held_in is IssueState.open:
            event = issues.assemble(session, slug, publication, issue, now)
            if event.what is not issues.Happened.assembled:
                # Nothing of that is kept, so it isn't held.
                raise IssueMistake(f"{issues.name(issue)} can't be assembled: {issue.why}")
        seen.append(look(session, issue))
        raise _Enough

    with contextlib.suppress(_Enough):
        aside(folder, step)
    return seen[-1]


class _Enough(Exception):  # noqa: N818 - it is no error
    """The way out that undoes the transaction."""
