"""The bell. APScheduler rings it; what is due is in the database, and every look at it can be repeated.

`tick` is one look: at each publication's calendar, at what is to be rendered, at what is to be started, at
notices that wait. It is given the time, so that a calendar can be rehearsed in a second.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import dispatch, issues, letter_mail, notice_mail, signups, visits
from newsletter.errors import Mistake
from newsletter.folder import Folder
from newsletter.issues import Event, Happened
from newsletter.models import Issue, Rendition
from newsletter.render import aside
from newsletter.states import IssueState

EVERY = 10
"""Seconds between two rings."""

log = logging.getLogger("newsletter")


def tick(folder: Folder, now: dt.datetime) -> list[Event]:
    """One look at everything that time brings; what happened. Done twice, or by two, it does nothing twice."""
    happened: list[Event] = []
    for slug, publication in folder.config.publications.items():
        with folder.session() as session:
            happened += issues.advance(session, slug, publication, now)
    for issue in _unrendered(folder):
        _render(folder, issue, now)
    for event in happened:
        if event.what is Happened.due:
            _start(folder, event.issue, now)
    with folder.session() as session:
        signups.expire(session, now)
    return happened


def _unrendered(folder: Folder) -> list[int]:
    with folder.reading() as session:
        return list(
            session.scalars(
                select(Issue.id).where(
                    Issue.state.in_(dispatch.RENDERED),
                    ~select(Rendition).where(Rendition.issue_id == Issue.id).exists(),
                )
            )
        )


def _render(folder: Folder, number: int, now: dt.datetime) -> None:
    def step(session: Session) -> None:
        issue = session.get_one(Issue, number)
        issues.lock(session, issue)
        if issue.state in dispatch.RENDERED:
            dispatch.render(session, folder, issue, now)

    aside(folder, step)


def _start(folder: Folder, number: int, now: dt.datetime) -> None:
    def step(session: Session) -> None:
        issue = session.get_one(Issue, number)
        issues.lock(session, issue)
        if issue.state is IssueState.approved:
            dispatch.start(session, folder, issue, now)

    try:
        aside(folder, step)
    except Mistake as mistake:
        with folder.session() as session:
            issue = session.get_one(Issue, number)
            if issue.state is IssueState.approved:
                dispatch.held_back(session, folder, issue, mistake, now)


def _settle(folder: Folder, now: dt.datetime) -> None:
    """Visits whose makers are clear by now, a stretch a transaction, so that nobody waits long for the database."""
    more = True
    while more:
        with folder.reading() as session:
            if not visits.due(session, now):
                return
        with folder.session() as session:
            more = visits.settle(session, now) == visits.AT_A_TIME


class Bell:
    """Rings `tick` every few seconds in a thread of its own, until it is stopped."""

    def __init__(
        self,
        folder: Folder,
        clock: Callable[[], dt.datetime],
        told: Callable[[str], None],
        look: Callable[[dt.datetime], object] | None = None,
    ) -> None:
        """`told` gets a sentence for whatever happens; `look` is called beside the rings, however long it takes."""
        self._folder = folder
        self._clock = clock
        self._told = told
        self._last: str = ""
        self._scheduler = BackgroundScheduler(timezone=dt.UTC)
        self._scheduler.add_job(
            self.ring,
            id="ring",
            trigger=IntervalTrigger(seconds=EVERY, timezone=dt.UTC),
            coalesce=True,
            max_instances=1,
            next_run_time=dt.datetime.now(dt.UTC),
        )

        if look is not None:
            # A mailbox on a slow server holds no calendar up.
            self._scheduler.add_job(
                lambda: look(self._clock()),
                trigger=IntervalTrigger(seconds=EVERY, timezone=dt.UTC),
                coalesce=True,
                max_instances=1,
            )

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Waits for a ring that is under way, then rings no more."""
        self._scheduler.shutdown(wait=True)

    def wake(self) -> None:
        """Rings at once: something was queued that someone waits for."""
        self._scheduler.modify_job("ring", next_run_time=dt.datetime.now(dt.UTC))

    def ring(self) -> None:
        """One look, and the notices that it left. What goes wrong is said once, and tried again at the next ring."""
        try:
            for event in tick(self._folder, self._clock()):
                if event.what is not Happened.due:
                    self._told(event.sentence)
            notice_mail.deliver(self._folder, self._clock())
            letter_mail.deliver(self._folder, self._clock())
            _settle(self._folder, self._clock())
            self._last = ""
        except Mistake as mistake:
            if str(mistake) != self._last:
                self._told(str(mistake))
            self._last = str(mistake)
        except Exception:
            # A fault of ours must not silence the bell: it is logged whole, and the next ring tries again.
            log.exception("the scheduler's look at the calendar failed")
