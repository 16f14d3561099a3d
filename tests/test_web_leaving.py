"""The link to leave by: one click of a mail program to the letter of RFC 8058, and the page with its button."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import NOW
from flask.testing import FlaskClient
from mailserver import being_sent
from sqlalchemy import event, select, text
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from newsletter import erasure, subscribers, tokens, visits
from newsletter.folder import Folder
from newsletter.models import Ask, Departure, Ignored, Letter, List, Subscriber, Subscription
from newsletter.states import HitKind, LeftBy, SubscriptionState
from newsletter.tokens import keys
from newsletter.web import make
from newsletter.web.noting import Noting
from newsletter.web.one_click import OneClick
from newsletter.web.serving import Serving

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
FORM = "application/x-www-form-urlencoded"


@dataclass
class Desk:
    """A reader of two lists, an issue on its way to them, and a browser."""

    folder: Folder
    token: str
    browser: FlaskClient
    clock: list[dt.datetime] = field(default_factory=lambda: [NOW])

    def states(self) -> dict[str, SubscriptionState]:
        with self.folder.reading() as session:
            rows = session.execute(
                select(List.slug, Subscription.state)
                .join(Subscription, Subscription.list_id == List.id)
                .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
                .where(Subscriber.address == "kei@example.org")
            )
            return dict(rows.all())

    @property
    def on(self) -> bool:
        return self.states()["alliance-digest"] is SubscriptionState.active

    def press(self, path: str = "", *, at: TestResponse | None = None, **also: str) -> TestResponse:
        """Presses the button of the page, with what is hidden in its form."""
        shown = at or self.browser.get(f"/leave/{self.token}")
        form = re.search(rf'<form[^>]*action="/leave/{self.token}{path}">(.*?)</form>', shown.text, re.DOTALL)
        assert form, shown.text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form[1]))
        return self.browser.post(f"/leave/{self.token}{path}", data={**hidden, **also})

    def later(self, **much: float) -> None:
        self.clock[0] += dt.timedelta(**much)


@pytest.fixture
def desk(folder: Folder, subscribe: Callable[..., Subscriber]) -> Iterator[Desk]:
    number = being_sent(folder, subscribe, ["mio@example.org"])
    with folder.session() as session:
        person = subscribe(session, "kei@example.org", lists=("alliance-digest", "invitations"))
        token = keys(session, NOW).reader(number, person.id)
    clock = [NOW]
    app = make(folder, lambda: clock[0])
    yield Desk(folder, token, app.test_client(), clock)
    # What is noted beside the answers is written before the database is taken away.
    assert app.extensions["newsletter visits"].wait()


# ---- one click


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"List-Unsubscribe=One-Click", FORM, id="urlencoded"),
        pytest.param(b"List-Unsubscribe=One-Click", FORM + "; charset=UTF-8", id="with a charset"),
        pytest.param(b"List-Unsubscribe=One-Click&and=more", FORM, id="with more in it"),
        pytest.param(
            b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            id="multipart",
        ),
        pytest.param(b"List-Unsubscribe=One-Click", None, id="without a type"),
        pytest.param(b"List-Unsubscribe=One-Click\r\n", "text/plain", id="as text"),
    ],
)
def test_a_mail_programs_post_is_honoured_at_once(desk: Desk, body: bytes, content_type: str | None) -> None:
    answer = desk.browser.post(
        f"/leave/{desk.token}",
        data=body,
        content_type=content_type,
        headers={"Origin": "https://mail.example.com", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert answer.mimetype == "text/plain"
    assert desk.states() == {
        "alliance-digest": SubscriptionState.unsubscribed,
        "invitations": SubscriptionState.active,
    }
    with desk.folder.reading() as session:
        (row,) = session.scalars(select(Departure))
    assert (row.by, row.lists) == (LeftBy.one_click, "alliance-digest")


def test_it_may_come_as_often_as_it_likes(desk: Desk) -> None:
    answers = [desk.browser.post(f"/leave/{desk.token}", data=ONE_CLICK) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.data for answer in answers}) == 1
    with desk.folder.reading() as session:
        assert len(session.scalars(select(Departure)).all()) == 1


def test_a_token_that_is_nobodys_gets_the_same_answer_and_changes_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with desk.folder.reading() as session:
        secrets = keys(session, NOW)
    changed = desk.token[:-1] + ("0" if desk.token[-1] != "0" else "1")
    nobody = secrets.reader(1, 9999)
    with caplog.at_level(logging.INFO, "newsletter.web"):
        for token in (desk.token[:-2], desk.token[:20], changed, nobody, secrets.letter(1), "x", "0" * 36):
            answer = desk.browser.post(f"/leave/{token}", data=ONE_CLICK)
            assert (answer.status_code, answer.data) == (200, b"Unsubscribed.\n"), token
    assert desk.on
    assert "a token that isn't ours" in caplog.text
    assert changed not in caplog.text


def test_a_token_works_after_its_letters_case_was_folded(desk: Desk) -> None:
    desk.browser.post(f"/leave/{desk.token.upper()}", data=ONE_CLICK)
    assert not desk.on


def test_a_token_of_a_rotated_key_works_and_one_of_a_forgotten_key_doesnt(desk: Desk) -> None:
    day = dt.timedelta(days=1)
    with desk.folder.session() as session:
        tokens.rotate(session, NOW)
    desk.later(hours=1)
    assert desk.browser.get(f"/leave/{desk.token}").status_code == 200
    with desk.folder.session() as session:
        tokens.forget(session, NOW + day)
    desk.later(hours=1)
    assert desk.browser.post(f"/leave/{desk.token}", data=ONE_CLICK).status_code == 200
    assert desk.on
    assert desk.browser.get(f"/leave/{desk.token}").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_looking_changes_nothing(desk: Desk, method: str) -> None:
    answer = desk.browser.open(f"/leave/{desk.token}?List-Unsubscribe=One-Click", method=method)
    assert answer.status_code == 200
    assert desk.on


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused(desk: Desk, method: str) -> None:
    assert desk.browser.open(f"/leave/{desk.token}", method=method, data=ONE_CLICK).status_code == 405
    assert desk.on


def test_what_could_not_be_stored_is_not_said_to_be_and_may_be_tried_again(lite: Desk) -> None:
    def full(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    event.listen(lite.folder.engine, "commit", full)
    answer = lite.browser.post(f"/leave/{lite.token}", data=ONE_CLICK)
    event.remove(lite.folder.engine, "commit", full)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert lite.on
    assert lite.browser.post(f"/leave/{lite.token}", data=ONE_CLICK).status_code == 200
    assert not lite.on


@pytest.fixture
def lite(lite_folder: Folder, subscribe: Callable[..., Subscriber]) -> Desk:
    number = being_sent(lite_folder, subscribe, ["kei@example.org"])
    with lite_folder.session() as session:
        token = keys(session, NOW).reader(number, subscribers.find(session, "kei@example.org").id)
    clock = [NOW]
    return Desk(lite_folder, token, make(lite_folder, lambda: clock[0]).test_client(), clock)


def test_an_erased_readers_click_is_answered_like_any_other(desk: Desk) -> None:
    with desk.folder.session() as session:
        erasure.clear(session, subscribers.find(session, "kei@example.org"), NOW)
    answer = desk.browser.post(f"/leave/{desk.token}", data=ONE_CLICK)
    assert (answer.status_code, answer.data) == (200, b"Unsubscribed.\n")


def test_clicks_that_come_together_are_written_together_and_each_is_there(
    folder: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    number = being_sent(folder, subscribe, [f"r{at}@example.org" for at in range(40)])
    with folder.reading() as session:
        people = session.scalars(select(Subscriber.id)).all()
    commits = 0
    one_click = OneClick(folder, lambda: NOW)

    def count(*_: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(folder.engine, "commit", count)
    started = threading.Barrier(len(people))

    def click(person: int) -> None:
        started.wait()
        one_click.leave(number, person)

    threads = [threading.Thread(target=click, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    event.remove(folder.engine, "commit", count)
    with folder.reading() as session:
        left = session.scalars(select(Subscription.state)).all()
    assert set(left) == {SubscriptionState.unsubscribed}
    assert len(left) == 40
    assert 1 <= commits < 40


def test_one_request_that_cant_be_stored_is_told_so_and_so_are_those_with_it(lite: Desk) -> None:
    one_click = OneClick(lite.folder, lambda: NOW)
    with lite.folder.engine.connect() as holder:
        holder.execute(text("DROP TABLE departures"))
        holder.commit()
    for _ in range(2):
        with pytest.raises(OperationalError):
            one_click.leave(1, 1)


KILLED = """
import os, sys
from pathlib import Path
from newsletter.folder import open_folder
from newsletter.web.serving import Serving
from conftest import NOW
serving = Serving(open_folder(Path(sys.argv[1])), lambda: NOW)
serving.start()
print(serving.address, flush=True)
sys.stdin.read()
"""


def test_who_was_answered_is_unsubscribed_whatever_becomes_of_the_program(lite: Desk) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(lite.folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        connection = http.client.HTTPConnection(urlsplit(server.stdout.readline().strip()).netloc)
        connection.request("POST", f"/leave/{lite.token}", b"List-Unsubscribe=One-Click", {"Content-Type": FORM})
        status = connection.getresponse().status
        server.send_signal(signal.SIGKILL)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            server.stdin.close()
        connection.close()
    assert status == 200
    assert not lite.on


def test_it_works_over_a_real_connection(lite: Desk) -> None:
    serving = Serving(lite.folder, lambda: NOW)
    serving.start()
    connection = http.client.HTTPConnection(urlsplit(serving.address).netloc)
    connection.request("POST", f"/leave/{lite.token}", b"List-Unsubscribe=One-Click", {"Content-Type": FORM})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"Unsubscribed.\n")
    connection.close()
    serving.stop()
    assert not lite.on


# ---- the page


def test_the_button_of_the_page_unsubscribes_and_says_since_when(desk: Desk) -> None:
    shown = desk.browser.get(f"/leave/{desk.token}")
    assert "kei@example.org" in shown.text
    assert "Leave US-Japan Alliance Digest?" in shown.text
    done = desk.press(at=shown)
    assert "You are unsubscribed" in done.text
    assert "Since November 13, 2023 at 14:46 EST." in done.text
    assert desk.states()["alliance-digest"] is SubscriptionState.unsubscribed
    assert desk.states()["invitations"] is SubscriptionState.active
    assert "You are unsubscribed" in desk.browser.get(f"/leave/{desk.token}").text


def test_a_form_of_another_site_only_brings_the_page(desk: Desk) -> None:
    for data in ({}, {"seal": "forged"}, {"seal": ""}):
        answer = desk.browser.post(f"/leave/{desk.token}", data=data)
        assert "Leave US-Japan Alliance Digest?" in answer.text
    assert desk.on


def test_a_seal_of_another_reader_or_another_page_is_none(desk: Desk) -> None:
    with desk.folder.reading() as session:
        secrets = keys(session, NOW)
    from newsletter.web import seals

    for form, subject in (("leave", "another"), ("left", desk.token), ("confirm", desk.token)):
        desk.browser.post(f"/leave/{desk.token}", data={"seal": seals.make(secrets, form, subject, NOW)})
    assert desk.on


def test_a_program_that_presses_buttons_is_asked_once_more_and_counted(desk: Desk) -> None:
    with desk.folder.session() as session:
        secrets = keys(session, NOW)
        number, person = secrets.read(desk.token) or (0, 0)
        scanner = visits.client(secrets, "127.0.0.1", "Scanner")
        visits.record(session, [visits.hit(HitKind.canary, visits.message(secrets, number, person), scanner, NOW)])
    desk.browser.environ_base["HTTP_USER_AGENT"] = "Scanner"
    first = desk.press()
    assert "One more press" in first.text
    assert desk.on
    # A person reads before pressing again; a program doesn't.
    assert "One more press" in desk.press(at=first).text
    assert desk.on
    desk.later(seconds=10)
    desk.press(at=first)
    assert not desk.on
    noting = desk.browser.application.extensions["newsletter visits"]
    assert isinstance(noting, Noting)
    assert noting.wait()
    with desk.folder.reading() as session:
        assert session.scalars(select(Ignored.times).where(Ignored.what == "button")).all() == [2]


def test_a_mail_programs_click_is_honoured_even_where_a_scanner_was(desk: Desk) -> None:
    desk.browser.get(f"/canary/{desk.token}")
    desk.browser.post(f"/leave/{desk.token}", data=ONE_CLICK)
    assert not desk.on


def test_undo_brings_them_back_and_a_second_time_changes_nothing(desk: Desk) -> None:
    left = desk.press()
    back = desk.press("/undo", at=left)
    assert "You are subscribed again" in back.text
    assert desk.on
    desk.press("/undo", at=left)
    assert desk.on


def test_undo_needs_the_page_that_they_left_by(desk: Desk) -> None:
    desk.press()
    desk.browser.post(f"/leave/{desk.token}/undo")
    desk.browser.post(f"/leave/{desk.token}/undo", data={"seal": "forged"})
    assert not desk.on


def test_a_day_later_there_is_no_undo(desk: Desk) -> None:
    left = desk.press()
    desk.later(days=1, hours=1)
    assert "/undo" not in desk.browser.get(f"/leave/{desk.token}").text
    desk.press("/undo", at=left)
    assert not desk.on


def test_a_reason_is_kept_without_a_word_of_who_gave_it_on_the_page(desk: Desk) -> None:
    thanks = desk.press("/reason", at=desk.press(), reason="Too many\r\nmails <b>really</b>")
    assert "Kept." in thanks.text
    with desk.folder.reading() as session:
        assert session.scalars(select(Departure.reason)).all() == ["Too many mails <b>really</b>"]
    assert "<b>really" not in desk.browser.get(f"/leave/{desk.token}").text


def test_a_reason_without_our_form_is_not_kept(desk: Desk) -> None:
    desk.press()
    desk.browser.post(f"/leave/{desk.token}/reason", data={"reason": "forged"})
    with desk.folder.reading() as session:
        assert session.scalars(select(Departure.reason)).all() == [""]


def test_an_empty_reason_is_none(desk: Desk) -> None:
    assert "Kept." not in desk.press("/reason", at=desk.press(), reason="  ").text


def test_a_link_for_all_publications_leaves_everything(desk: Desk) -> None:
    with desk.folder.reading() as session:
        secrets = keys(session, NOW)
        _, person = secrets.read(desk.token) or (0, 0)
    desk.token = secrets.reader(0, person)
    desk.press()
    assert set(desk.states().values()) == {SubscriptionState.unsubscribed}


# ---- lost


def test_a_link_that_is_cut_gets_a_page_with_a_way_to_a_new_one(desk: Desk) -> None:
    answer = desk.browser.get(f"/leave/{desk.token[:-3]}")
    assert answer.status_code == 404
    assert "This link leads nowhere" in answer.text
    assert "Nothing has changed" in answer.text
    assert "kei@example.org" not in answer.text


def ask(desk: Desk, address: str) -> TestResponse:
    seal = re.search(r'name="seal" value="([^"]+)"', desk.browser.get("/lost").text)
    assert seal
    return desk.browser.post("/lost", data={"address": address, "seal": seal[1]})


def letters(desk: Desk) -> list[str]:
    with desk.folder.reading() as session:
        return [letter.address for letter in session.scalars(select(Letter).order_by(Letter.id))]


def test_who_asks_for_a_new_link_learns_nothing_about_an_address(desk: Desk) -> None:
    known, unknown = ask(desk, "kei@example.org"), ask(desk, "nobody@example.org")
    assert known.status_code == unknown.status_code == 200
    assert known.text.replace("kei@", "X@") == unknown.text.replace("nobody@", "X@")
    assert letters(desk) == ["kei@example.org"]


def test_an_address_gets_one_new_link_a_day(desk: Desk) -> None:
    for _ in range(3):
        ask(desk, "kei@example.org")
        ask(desk, "KEI@example.org")
    assert letters(desk) == ["kei@example.org"]
    desk.later(days=1, hours=1)
    ask(desk, "kei@example.org")
    assert len(letters(desk)) == 2


def test_a_network_that_asks_for_too_many_is_told_to_wait(desk: Desk) -> None:
    limit = desk.folder.config.sign_up.per_network
    answers = [ask(desk, f"n{at}@example.org").status_code for at in range(limit + 1)]
    assert answers == [200] * limit + [429]
    with desk.folder.reading() as session:
        assert len(session.scalars(select(Ask)).all()) == limit


def test_nobody_who_is_suppressed_or_was_never_confirmed_gets_a_link(
    desk: Desk, subscribe: Callable[..., Subscriber]
) -> None:
    from newsletter import suppressions
    from newsletter.states import SuppressionReason

    with desk.folder.session() as session:
        subscribe(session, "new@example.org", state=SubscriptionState.pending)
        suppressions.add(session, "kei@example.org", SuppressionReason.bounce, "", NOW)
    ask(desk, "new@example.org")
    ask(desk, "kei@example.org")
    assert letters(desk) == []


@pytest.mark.parametrize("address", ["", "kei", "kei@", "a" * 1000 + "@example.org", "k\x00ei@example.org", "é\ud800"])
def test_what_is_no_address_stays_in_the_form_with_a_sentence(desk: Desk, address: str) -> None:
    answer = ask(desk, address.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    assert answer.status_code == 422
    assert "An address looks like name@example.org" in answer.text
    assert letters(desk) == []


def test_another_sites_form_asks_for_nothing(desk: Desk) -> None:
    answer = desk.browser.post("/lost", data={"address": "kei@example.org"})
    assert answer.status_code == 200
    assert "kei@example.org" in answer.text
    assert letters(desk) == []
