"""One click to the letter of RFC 8058, and beyond it: what mail programs really send, and what comes between."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import quote

import pytest
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mailserver import ledger
from sqlalchemy import event, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session
from test_web_leaving import FORM, ONE_CLICK, Desk, lite  # noqa: F401 - lite is a fixture

from newsletter import audience, departures
from newsletter.departures import Leaving
from newsletter.folder import Folder
from newsletter.models import Departure, Event, Issue, Subscriber, Subscription
from newsletter.states import IssueState, LeftBy, SubscriptionState
from newsletter.tokens import Keys, keys
from newsletter.web import make, one_click
from newsletter.web.one_click import OneClick

SOON = NOW + dt.timedelta(minutes=5)
PART = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
MULTIPART = "multipart/form-data"


# ---- what is sent


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(PART, MULTIPART, id="no boundary named"),
        pytest.param(PART, MULTIPART + "; boundary=c", id="another boundary named"),
        pytest.param(PART.removesuffix(b"--b--\r\n"), MULTIPART + "; boundary=b", id="cut before its last boundary"),
        pytest.param(PART.replace(b"\r\n", b"\n"), MULTIPART + "; boundary=b", id="bare line feeds"),
        pytest.param(
            PART.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n", 1),
            MULTIPART + "; boundary=b",
            id="a part with a type",
        ),
        pytest.param(
            PART.replace(b'Unsubscribe"', b'Unsubscribe"; filename=""'), MULTIPART + "; boundary=b", id="as a file"
        ),
        pytest.param(b"List-Unsubscribe=One-Click", MULTIPART + "; boundary=b", id="a form that says multipart"),
        pytest.param(b"list-unsubscribe=one-click", FORM, id="small letters"),
        pytest.param(b"List%2DUnsubscribe=One%2DClick", FORM, id="with its hyphens escaped"),
        pytest.param(b"List-Unsubscribe=One-Click\r\n", FORM, id="with a line end"),
        pytest.param(b"List-Unsubscribe=One-Click&to=kei\xff", FORM, id="with what is no UTF-8"),
        pytest.param(b"\x00List-Unsubscribe=One-Click\x00", "text/plain", id="between NULs"),
        pytest.param(b"a=b&" * 2000 + b"List-Unsubscribe=One-Click", FORM, id="after much else"),
    ],
)
def test_a_body_that_another_reader_would_find_empty_is_honoured_too(
    lite: Desk,  # noqa: F811
    body: bytes,
    content_type: str,
) -> None:
    answer = lite.browser.post(f"/leave/{lite.token}", data=body, content_type=content_type)
    assert (answer.status_code, answer.data) == (200, b"Unsubscribed.\n")
    assert not lite.on


@pytest.mark.parametrize("body", [b"", b"List-Unsubscribe", b"One-Click", b"One-Click=List-Unsubscribe", b"\xff\x00"])
def test_any_other_body_only_brings_the_page(lite: Desk, body: bytes) -> None:  # noqa: F811
    answer = lite.browser.post(f"/leave/{lite.token}", data=body, content_type=FORM)
    assert answer.mimetype == "text/html"
    assert lite.on


def test_megabytes_are_refused_and_nobody_is_told_that_they_left(lite: Desk) -> None:  # noqa: F811
    answer = lite.browser.post(f"/leave/{lite.token}", data=b"a" * 3_000_000 + b"&List-Unsubscribe=One-Click")
    assert answer.status_code == 413
    assert lite.on


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(token=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=90))
def test_whatever_stands_in_the_place_of_a_token_does_no_harm(lite: Desk, token: str) -> None:  # noqa: F811
    answer = lite.browser.post(f"/leave/{quote(token, safe='')}", data=ONE_CLICK)
    # Some of it is another path, such as a dot or two.
    assert answer.status_code in (200, 404)
    assert lite.on


# ---- whose lists


@pytest.fixture
def renamed(
    make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber]
) -> tuple[Folder, Keys, Subscriber, Issue]:
    """Somebody on two lists, with an issue of a publication that config.toml doesn't know any more."""
    folder = make_folder()
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org", lists=("alliance-digest", "weekly"))
        row = an_issue(session, "before-it-was-renamed")
        secrets = keys(session, NOW)
    return folder, secrets, kei, row


def an_issue(session: Session, publication: str = "digest", state: IssueState = IssueState.sent) -> Issue:
    row = Issue(
        publication=publication,
        slot=NOW.date(),
        state=state,
        since=NOW,
        deadline=NOW,
        approve_by=NOW,
        sends=NOW,
        volume=2,
        number=20,
    )
    session.add(row)
    session.flush()
    return row


def standing(folder: Folder) -> set[SubscriptionState]:
    with folder.reading() as session:
        return set(session.scalars(select(Subscription.state)))


def test_a_link_of_a_publication_that_is_no_more_leaves_everything(
    renamed: tuple[Folder, Keys, Subscriber, Issue],
) -> None:
    folder, secrets, kei, row = renamed
    browser = make(folder, lambda: SOON).test_client()
    token = secrets.reader(row.id, kei.id)
    assert browser.get(f"/leave/{token}").status_code == 200
    assert browser.post(f"/leave/{token}", data=ONE_CLICK).data == b"Unsubscribed.\n"
    assert standing(folder) == {SubscriptionState.unsubscribed}
    with folder.reading() as session:
        (gone,) = session.scalars(select(Departure))
    assert (gone.publication, gone.issue_id, gone.lists) == ("", row.id, "alliance-digest,weekly")
    assert browser.application.extensions["newsletter visits"].wait()


def test_one_by_one_it_does_so_too(renamed: tuple[Folder, Keys, Subscriber, Issue]) -> None:
    folder, _, kei, row = renamed
    with folder.session() as session:
        person = session.get_one(Subscriber, kei.id)
        departures.leave(session, folder.config, person, row.publication, row.id, LeftBy.mail, SOON)
    assert standing(folder) == {SubscriptionState.unsubscribed}


# ---- what comes between


def waits(folder: Folder, on: Future[None]) -> bool:
    """Whether somebody waits for a lock, once that is clear: they do, or they are through."""
    if folder.engine.dialect.name == "sqlite":
        # A writer tries again and again by itself; it can't be asked.
        return not on.done()
    with folder.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not on.done():
            if connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return True
    return False


@pytest.mark.parametrize("many", [False, True], ids=["by the page", "by one click"])
def test_who_leaves_while_the_audience_is_frozen_gets_no_copy(
    folder: Folder, subscribe: Callable[..., Subscriber], many: bool
) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org")
        subscribe(session, "mio@example.org")
        number = an_issue(session, state=IssueState.approved).id

    def leave() -> None:
        if many:
            OneClick(folder, lambda: SOON).leave(number, kei.id)
            return
        with folder.session() as session:
            person = session.get_one(Subscriber, kei.id)
            departures.leave(session, folder.config, person, "digest", number, LeftBy.page, SOON)

    with ThreadPoolExecutor(1) as pool:
        with folder.session() as session:
            row = session.get_one(Issue, number)
            audience.freeze(session, row, ["alliance-digest"], NOW)
            row.state = IssueState.sending
            session.flush()
            left = pool.submit(leave)
            waits(folder, left)
        left.result(timeout=60)
    assert ledger(folder)["kei@example.org"] == ("skipped", "unsubscribed")
    assert ledger(folder)["mio@example.org"][0] == "queued"


def test_two_doors_at_once_are_one_departure(folder: Folder, subscribe: Callable[..., Subscriber]) -> None:
    with folder.session() as session:
        kei = subscribe(session, "kei@example.org")

    def leave() -> None:
        with folder.session() as session:
            person = session.get_one(Subscriber, kei.id)
            departures.leave(session, folder.config, person, "digest", None, LeftBy.page, SOON)

    with ThreadPoolExecutor(1) as pool:
        with folder.session() as session:
            departures.leave_many(session, folder.config, [Leaving(0, kei.id)], LeftBy.one_click, NOW)
            second = pool.submit(leave)
            waits(folder, second)
        second.result(timeout=60)
    with folder.reading() as session:
        (row,) = session.scalars(select(Departure))
        assert (row.by, row.at) == (LeftBy.one_click, NOW)
        assert session.scalar(select(func.count()).select_from(Event)) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite's writers take turns
def test_clicks_that_another_transaction_was_preferred_to_are_written_again(
    folder: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    with folder.session() as session:
        first, second = (subscribe(session, f"r{at}@example.org") for at in range(2))
    given_up: list[str] = []
    event.listen(folder.engine, "handle_error", lambda context: given_up.append(context.original_exception.sqlstate))
    clicks = OneClick(folder, lambda: SOON)

    def both() -> None:
        threads = [threading.Thread(target=clicks.leave, args=(0, person.id)) for person in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def touch(session: Session, person: Subscriber) -> None:
        session.execute(update(Subscription).where(Subscription.subscriber_id == person.id).values(why="touched"))

    with ThreadPoolExecutor(1) as pool:
        with folder.session() as session:
            # We don't look soon whether they wait for us as we do for them; they do, after a second.
            session.execute(text("SET LOCAL deadlock_timeout = '1min'"))
            touch(session, second)
            done = pool.submit(both)
            assert waits(folder, done)
            touch(session, first)
        done.result(timeout=60)
    assert given_up == ["40P01"]
    assert standing(folder) == {SubscriptionState.unsubscribed}


def test_what_goes_wrong_again_and_again_is_not_tried_for_ever(
    lite: Desk,  # noqa: F811
) -> None:
    class PreferredError(Exception):
        sqlstate = "40P01"

    tried = 0

    def lose(*_: object) -> None:
        nonlocal tried
        tried += 1
        raise OperationalError("UPDATE", {}, PreferredError())

    event.listen(lite.folder.engine, "commit", lose)
    answer = lite.browser.post(f"/leave/{lite.token}", data=ONE_CLICK)
    event.remove(lite.folder.engine, "commit", lose)
    assert (answer.status_code, tried) == (503, one_click.TRIES)
    assert lite.on


def test_where_all_connections_are_taken_it_is_not_said_to_be_stored(lite: Desk) -> None:  # noqa: F811
    def none_free(*_: object) -> None:
        raise NoConnection("QueuePool limit reached")

    event.listen(lite.folder.engine, "begin", none_free)
    answer = lite.browser.post(f"/leave/{lite.token}", data=ONE_CLICK)
    event.remove(lite.folder.engine, "begin", none_free)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert lite.on


def test_a_click_is_through_to_the_disk_before_its_answer(lite: Desk) -> None:  # noqa: F811
    with lite.folder.engine.connect() as connection:
        # 2 is FULL: the log is synchronised at each commit.
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
