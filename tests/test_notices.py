"""Notices to the editors: each queued once, whoever queues it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from conftest import NOW
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import notices
from newsletter.folder import Folder
from newsletter.models import Notice
from newsletter.states import NoticeState


def test_the_same_notice_is_queued_once(session: Session) -> None:
    assert notices.queue(session, "digest", "held 2023-11-14", "Held", "Two stories are missing.", NOW)
    assert not notices.queue(session, "digest", "held 2023-11-14", "Held", "One story is missing.", NOW)
    [notice] = session.scalars(select(Notice))
    assert (notice.body, notice.state, notice.since) == ("Two stories are missing.", NoticeState.queued, NOW)


def test_two_publications_and_two_dates_have_notices_of_their_own(session: Session) -> None:
    assert notices.queue(session, "digest", "held 2023-11-14", "Held", "…", NOW)
    assert notices.queue(session, "brief", "held 2023-11-14", "Held", "…", NOW)
    assert notices.queue(session, "digest", "held 2023-11-28", "Held", "…", NOW)


def test_two_processes_at_once_queue_one(folder: Folder) -> None:
    start = Barrier(4)

    def queue(_: int) -> bool:
        start.wait()
        with folder.session() as session:
            return notices.queue(session, "digest", "held 2023-11-14", "Held", "…", NOW)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(queue, range(4))) == [False, False, False, True]


def test_a_notice_of_what_was_undone_is_undone_too(folder: Folder) -> None:
    with Session(folder.engine) as session:
        assert notices.queue(session, "digest", "held 2023-11-14", "Held", "…", NOW)
        session.rollback()
    with folder.session() as session:
        assert notices.queue(session, "digest", "held 2023-11-14", "Held", "…", NOW)
