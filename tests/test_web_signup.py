"""The pages of signing up: what they show, what they take, and what they keep from whom."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import html
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from chromium import PERSON, faults_anywhere
from conftest import NOW
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mailserver import MailServer, relay, through
from playwright.sync_api import Browser
from published import sending
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from newsletter import cadence, letter_mail, subscribers, suppressions, visits
from newsletter.folder import Folder
from newsletter.models import Consent, Ignored, Letter, List, Subscriber, Subscription
from newsletter.states import HitKind, LetterState, SubscriptionState, SuppressionReason
from newsletter.tokens import keys
from newsletter.web import make, signup, work
from newsletter.web.serving import Serving

TEMPLATES = Path(__file__).parent.parent / "templates"
DAY = dt.timedelta(days=1)
BROWSER = {"Accept-Language": "en-US,en;q=0.9", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
Subscribe = Callable[..., Subscriber]
Changes = Callable[..., Folder]


class Reader:
    """Somebody at a browser, and the time by which they do what they do."""

    def __init__(self, folder: Folder, *, client: str = "198.51.100.7") -> None:
        self.folder = folder
        self.now = NOW
        self.woken = 0
        self.app = make(folder, lambda: self.now, self._wake)
        self.browser: FlaskClient = self.app.test_client()
        self.client = client
        self.headers = dict(BROWSER)

    def _wake(self) -> None:
        self.woken += 1

    def get(self, path: str, **more: str) -> TestResponse:
        return self.browser.get(path, headers=self.headers | more, environ_base={"REMOTE_ADDR": self.client})

    def post(self, path: str, data: object, **more: str) -> TestResponse:
        return self.browser.post(
            path, data=data, headers=self.headers | more, environ_base={"REMOTE_ADDR": self.client}
        )

    def send(self, path: str, data: object) -> TestResponse:
        return self.browser.post(path, json=data, headers=self.headers, environ_base={"REMOTE_ADDR": self.client})

    def seal(self) -> str:
        """Of the form, which has then stood open for ten seconds."""
        found = hidden(self.get("/digest/subscribe"), "seal")
        self.now += dt.timedelta(seconds=10)
        return found

    def ask(self, address: str = "noor@example.org", *lists: str, **more: str) -> TestResponse:
        data = {"address": address, "lists": list(lists) or ["alliance-digest"], "seal": self.seal(), **more}
        return self.post("/digest/subscribe", data)

    def letter(self) -> str:
        """The token of the last letter, which a relay has taken; five minutes later."""
        with self.folder.session() as session:
            row = session.scalars(select(Letter).order_by(Letter.id.desc())).first()
            assert row is not None
            row.state, row.since, row.address = LetterState.sent, self.now, ""
            token = keys(session, NOW).letter(row.id)
        self.now += dt.timedelta(minutes=5)
        return token

    def press(self, token: str, *, after: float = 3, page: TestResponse | None = None) -> TestResponse:
        """The button of the page behind a letter's link, some seconds after it was opened."""
        page = page or self.get(f"/confirm/{token}")
        seal = hidden(page, "seal")
        self.now += dt.timedelta(seconds=after)
        return self.post(f"/confirm/{token}", {"seal": seal})


def hidden(page: TestResponse, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def heading(page: TestResponse) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    assert found
    return html.unescape(found[1])


@pytest.fixture
def offered(lite_folder: Folder) -> Folder:
    """A folder with two lists that are offered, one of them this publication's, and one that isn't."""
    with lite_folder.session() as session:
        session.add_all(
            [
                List(slug="alliance-digest", title="Alliance Digest", description="Every two weeks."),
                List(slug="invitations", title="Invitations", description="Talks & workshops."),
                List(slug="staff", title="Staff", public=False),
            ]
        )
    return lite_folder


@pytest.fixture
def reader(offered: Folder) -> Reader:
    return Reader(offered)


def letters(folder: Folder) -> int:
    with folder.reading() as session:
        return session.scalar(select(func.count()).select_from(Letter)) or 0


def states(folder: Folder, address: str = "noor@example.org") -> dict[str, str]:
    with folder.reading() as session:
        person = session.scalar(select(Subscriber).where(Subscriber.address == address))
        return {} if person is None else {row.list: row.state.value for row in subscribers.standings(session, person)}


# ---- the form


def test_only_the_lists_that_the_page_is_about_are_ticked(reader: Reader) -> None:
    text = reader.get("/digest/subscribe").text
    ticked = {name: "checked" in rest for name, rest in re.findall(r'name="lists" value="([^"]+)"([^>]*)>', text)}
    assert ticked == {"alliance-digest": True, "invitations": False}
    assert "Talks &amp; workshops." in text
    assert "Next issue: November 14, 2023." in text


def test_the_form_shows_the_newest_issue_beside_it(reader: Reader, subscribe: Subscribe) -> None:
    shutil.copytree(TEMPLATES, reader.folder.templates)
    with reader.folder.session() as session:
        subscribe(session, "kei@example.org")
        issue = sending(session, reader.folder)
        first = issue.stories[0].headline
    text = html.unescape(reader.get("/digest/subscribe").text)
    assert "Vol 2 · No 21" in text
    assert first in text
    assert '<a href="/digest/2/21">Read the latest issue</a>' in text


def test_a_publication_whose_lists_arent_offered_says_whom_to_write_to(lite_folder: Folder) -> None:
    answer = Reader(lite_folder).get("/digest/subscribe")
    assert answer.status_code == 200
    assert "digest@example.org" in answer.text
    assert "<form" not in answer.text


@pytest.mark.parametrize(
    "path", ["/nowhere/subscribe", "/nowhere/subscribe/snippet", "/staff/subscribe", "/digest/subscribe/other"]
)
def test_there_is_no_form_for_what_is_no_publication(reader: Reader, path: str) -> None:
    assert reader.get(path).status_code == 404


def test_looking_changes_nothing(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    before = states(reader.folder)
    for path in ("/digest/subscribe", "/digest/subscribe/snippet", f"/confirm/{token}"):
        assert reader.get(path).status_code == 200
        assert reader.browser.head(path, headers=BROWSER).status_code == 200
    assert states(reader.folder) == before == {"alliance-digest": "pending"}
    assert letters(reader.folder) == 1


def test_an_ask_is_answered_by_a_look_into_the_inbox_and_the_bell_is_rung(reader: Reader) -> None:
    answer = reader.ask("noor@example.org", "alliance-digest", "invitations", name="Noor Okafor")
    assert answer.status_code == 200
    assert heading(answer) == "Look into your inbox"
    assert states(reader.folder) == {"alliance-digest": "pending", "invitations": "pending"}
    assert reader.woken == 1


def test_the_words_by_the_button_are_those_that_are_kept(reader: Reader) -> None:
    page = reader.get("/digest/subscribe")
    reader.ask()
    with reader.folder.reading() as session:
        consent = session.scalars(select(Consent)).one()
    assert consent.wording in html.unescape(page.text)
    assert (consent.client, consent.page) == ("198.51.100.7", "https://digest.example.org/digest/subscribe")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("address", "", "Type the address"),
        ("address", "noor@", "Mail can’t go to this"),
        ("address", "noor@example", "Mail can’t go to this"),
        ("address", "a@example.org, b@example.org", "Mail can’t go to this"),
        ("address", "noor@example.org\r\nBcc: all@example.org", "Mail can’t go to this"),
        ("address", "noor\x00@example.org", "Mail can’t go to this"),
        ("name", "Noor\nOkafor", "A name is one line"),
        ("name", "Noor\x00", "A name is one line"),
        ("name", "x" * 201, "A name is one line"),
        ("lists", [], "Tick what you would like"),
        ("lists", ["staff"], "isn’t offered"),
        ("lists", ["'; DROP TABLE lists; --"], "isn’t offered"),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_once_at_the_top_and_what_was_typed_stays(
    reader: Reader, field: str, value: str | list[str], words: str
) -> None:
    typed = {"address": "noor@example.org", "name": "Noor <b>", "lists": ["invitations"], "seal": reader.seal()}
    answer = reader.post("/digest/subscribe", typed | {field: value})
    text = html.unescape(answer.text)
    assert answer.status_code == 422
    assert text.count(words) == 2
    assert f'<a href="#{field}">' in text
    assert f'id="{field}-fault"' in text
    if field != "name":
        assert 'value="Noor &lt;b&gt;"' in answer.text
    if field != "lists":
        assert 'value="invitations" checked' in answer.text
    assert letters(reader.folder) == 0


def test_ten_thousand_lists_are_a_fault_and_no_more(reader: Reader) -> None:
    body = "&".join(["address=noor@example.org", f"seal={reader.seal()}", *["lists=x"] * 5_000, *["lists=y"] * 1_000])
    answer = reader.browser.post(
        "/digest/subscribe", data=body, headers=BROWSER, content_type="application/x-www-form-urlencoded",
        environ_base={"REMOTE_ADDR": reader.client},
    )  # fmt: skip
    assert answer.status_code == 422
    assert (
        reader.send("/digest/subscribe.json", {"address": "a@example.org", "lists": ["x"] * 5_000}).status_code == 422
    )


@pytest.mark.parametrize("path", ["/digest/subscribe", "/digest/subscribe.json", "/confirm/" + "0" * 26])
def test_megabytes_are_refused_unread(reader: Reader, path: str) -> None:
    answer = reader.post(path, {"address": "x" * 2_000_000})
    assert answer.status_code in (404, 413) if path.startswith("/confirm") else answer.status_code == 413


@pytest.mark.parametrize(
    "body", [b"address=\xff\xfe@example.org", b"address=%ff%00%ed%a0%80&name=%ff", b"=&&=&%", b"seal=%00\xc3\x28", b""]
)
def test_a_form_in_no_encoding_at_all_is_the_form_again(reader: Reader, body: bytes) -> None:
    answer = reader.browser.post(
        "/digest/subscribe", data=body, content_type="application/x-www-form-urlencoded", headers=BROWSER
    )
    assert answer.status_code == 200
    assert "One more press" in answer.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    typed=st.dictionaries(
        st.sampled_from(["address", "name", "lists", "language", "seal", "work_seal", "topic"]), st.text(max_size=40)
    )
)
def test_whatever_is_typed_is_answered_with_a_page(reader: Reader, typed: dict[str, str]) -> None:
    assert reader.post("/digest/subscribe", typed).status_code == 200
    assert reader.post("/digest/subscribe", {"seal": reader.seal()} | typed).status_code in (200, 422, 429)


# ---- whose form it is


def seal_of_another_network(reader: Reader) -> str:
    return Reader(reader.folder, client="203.0.113.5").seal()


def test_a_form_of_another_site_leads_to_one_more_press_with_what_was_typed(reader: Reader) -> None:
    answer = reader.post("/digest/subscribe", {"address": "noor@example.org"}, Origin="https://elsewhere.example")
    assert answer.status_code == 200
    assert "One more press" in answer.text
    assert 'value="noor@example.org"' in answer.text
    assert 'value="alliance-digest" checked' in answer.text
    assert letters(reader.folder) == 0
    seal = hidden(answer, "seal")
    reader.now += dt.timedelta(seconds=5)
    reader.post("/digest/subscribe", {"address": "noor@example.org", "lists": "alliance-digest", "seal": seal})
    assert letters(reader.folder) == 1


@pytest.mark.parametrize("way", ["forged", "cut", "of another network", "of another form", "too old", "twice over"])
def test_a_seal_that_isnt_ours_for_this_form_and_network_asks_for_one_more_press(reader: Reader, way: str) -> None:
    seal = reader.seal()
    bad = {
        "forged": seal[:-4] + "AAAA",
        "cut": seal[:-1],
        "of another network": seal_of_another_network(reader),
        "of another form": hidden(reader.get("/digest/subscribe"), "seal").replace("-", "", 1),
        "too old": seal,
        "twice over": seal + seal,
    }[way]
    if way == "too old":
        reader.now += DAY
    answer = reader.post("/digest/subscribe", {"address": "noor@example.org", "lists": "alliance-digest", "seal": bad})
    assert "One more press" in answer.text
    assert hidden(answer, "seal") != bad
    assert letters(reader.folder) == 0


def test_nobody_fills_in_the_form_faster_than_in_three_seconds_and_waiting_is_enough(reader: Reader) -> None:
    seal = hidden(reader.get("/digest/subscribe"), "seal")
    typed = {"address": "noor@example.org", "lists": "alliance-digest", "seal": seal}
    reader.now += dt.timedelta(seconds=2.9)
    answer = reader.post("/digest/subscribe", typed)
    assert "One more press" in answer.text
    assert hidden(answer, "seal") == seal
    reader.now += dt.timedelta(seconds=0.2)
    assert heading(reader.post("/digest/subscribe", typed)) == "Look into your inbox"


def test_who_fills_in_the_field_that_no_person_sees_is_told_the_same_and_nothing_is_sent(reader: Reader) -> None:
    trapped = reader.ask(**{signup.HONEY: "https://spam.example"})
    assert letters(reader.folder) == 0
    assert trapped.data == reader.ask().data
    assert letters(reader.folder) == 1
    assert reader.app.extensions["newsletter visits"].wait()
    with reader.folder.reading() as session:
        assert [(row.what, row.times) for row in session.scalars(select(Ignored))] == [("form", 1)]


def test_a_form_sent_twice_is_answered_twice_and_one_letter_goes(reader: Reader) -> None:
    typed = {"address": "noor@example.org", "lists": "alliance-digest", "seal": reader.seal()}
    assert reader.post("/digest/subscribe", typed).data == reader.post("/digest/subscribe", typed).data
    assert letters(reader.folder) == 1


# ---- who is known


def test_no_answer_tells_whether_an_address_is_known(reader: Reader, subscribe: Subscribe) -> None:
    with reader.folder.session() as session:
        subscribe(session, "active@example.org")
        subscribe(session, "leaver@example.org", state=SubscriptionState.unsubscribed)
        subscribe(session, "waiter@example.org", state=SubscriptionState.pending)
        for reason in SuppressionReason:
            suppressions.add(session, f"{reason.value}@example.org", reason, "", NOW)
    seal = reader.seal()
    answers, replies = set(), set()
    names = ["active", "leaver", "waiter", "nobody", "nobody", *(reason.value for reason in SuppressionReason)]
    for number, name in enumerate(names):
        reader.client = f"198.51.{number}.7"
        seal = reader.seal()
        address = f"{name}@example.org"
        typed = {"address": address, "lists": "alliance-digest", "seal": seal}
        answer = reader.post("/digest/subscribe", typed)
        headers = sorted((key, value) for key, value in answer.headers if key not in ("Date", "Content-Length"))
        answers.add((answer.status_code, str(headers), answer.data.replace(address.encode(), b"ADDRESS")))
        reply = reader.send("/digest/subscribe.json", {"address": address})
        replies.add((reply.status_code, reply.data))
    assert len(answers) == 1
    assert replies == {(202, b'{"state":"asked"}\n')}


# ---- limits, and a little work


def fill(reader: Reader, count: int) -> None:
    from newsletter import asks
    from newsletter.states import LetterKind

    with reader.folder.session() as session:
        for number in range(count):
            asks.note(session, LetterKind.confirm, f"{number}", reader.client, reader.now)


def test_a_network_that_asked_too_much_is_told_when_to_come_back(reader: Reader) -> None:
    fill(reader, 20)
    answer = reader.ask()
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "3600"
    assert letters(reader.folder) == 0
    reader.client = "203.0.113.9"
    assert reader.ask().status_code == 200


def proof(seal: str) -> str:
    number = 0
    while int.from_bytes(hashlib.sha256(f"{seal}:{number}".encode()).digest()[:3], "big") >> (24 - work.BITS):
        number += 1
    return str(number)


def work_of(page: TestResponse) -> dict[str, str]:
    names = ("address", "name", "lists", "language", "seal", "work_seal")
    return {name: hidden(page, name) for name in names}


@pytest.mark.parametrize(
    "sign",
    [{"User-Agent": "python-requests/2.32"}, {"User-Agent": "Mozilla/5.0 HeadlessChrome/140"}, {"Accept-Language": ""}],
)
def test_whoever_looks_like_a_program_has_to_work_for_it(reader: Reader, sign: dict[str, str]) -> None:
    reader.headers |= sign
    page = reader.ask(name="Noor")
    assert heading(page) == "One moment"
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert letters(reader.folder) == 0
    typed = work_of(page)
    assert (typed["address"], typed["name"]) == ("noor@example.org", "Noor")
    assert heading(reader.post("/digest/subscribe", typed | {"work": "1"})) == "One moment"
    assert (
        heading(reader.post("/digest/subscribe", typed | {"work": proof(typed["work_seal"])})) == "Look into your inbox"
    )
    assert letters(reader.folder) == 1


def test_a_network_that_asked_half_of_what_it_may_has_to_work_for_the_rest(reader: Reader) -> None:
    fill(reader, 10)
    assert heading(reader.ask()) == "One moment"


def test_without_script_the_same_form_counts_once_it_has_stood_for_half_a_minute(reader: Reader) -> None:
    reader.headers.pop("Accept-Language")
    typed = work_of(reader.ask())
    reader.now += dt.timedelta(seconds=29)
    again = reader.post("/digest/subscribe", typed)
    assert heading(again) == "One moment"
    assert work_of(again)["work_seal"] == typed["work_seal"]
    reader.now += dt.timedelta(seconds=1)
    assert heading(reader.post("/digest/subscribe", typed)) == "Look into your inbox"


def test_work_done_for_one_address_is_none_for_another(reader: Reader) -> None:
    reader.headers.pop("Accept-Language")
    typed = work_of(reader.ask())
    typed |= {"work": proof(typed["work_seal"]), "address": "stranger@example.org"}
    assert heading(reader.post("/digest/subscribe", typed)) == "One moment"
    assert letters(reader.folder) == 0


@pytest.mark.parametrize("number", ["", "-1", "1e5", "٣", "9" * 17, "0x10", "1\x00"])
def test_what_is_no_number_is_no_proof(number: str) -> None:
    assert not work.solved("seal", number)


def test_the_script_is_ours_and_only_that_pages_policy_lets_it_run(reader: Reader) -> None:
    assert "script-src" not in reader.get("/digest/subscribe").headers["Content-Security-Policy"]
    reader.headers.pop("Accept-Language")
    found = re.search(r'<script src="(/look/work\.[0-9a-f]{16}\.js)" defer>', reader.ask().text)
    assert found
    answer = reader.get(found[1])
    assert answer.mimetype == "text/javascript"
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    assert reader.get("/look/work.0123456789abcdef.js").status_code == 404


# ---- programs and other sites


def test_a_program_may_ask_from_any_site_and_is_answered_in_json(reader: Reader) -> None:
    before = reader.browser.options("/digest/subscribe.json", headers={"Origin": "https://elsewhere.example"})
    assert before.status_code == 204
    assert before.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in before.headers
    asked = {"address": "noor@example.org", "name": "Noor", "lists": ["alliance-digest"]}
    answer = reader.send("/digest/subscribe.json", asked)
    assert (answer.status_code, answer.json) == (202, {"state": "asked"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert states(reader.folder) == {"alliance-digest": "pending"}


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, {"address"}),
        ({"address": "noor"}, {"address"}),
        ({"address": "noor@example.org", "name": "a\nb"}, {"name"}),
        ({"address": "\ud800@example.org"}, {"address"}),
        ({"address": "noor@example.org", "name": "\ud800"}, {"name"}),
        ({"address": 7, "name": [], "lists": "alliance-digest"}, {"address", "name", "lists"}),
        ({"address": "noor@example.org", "lists": [1]}, {"lists"}),
        ({"address": "noor@example.org", "lists": []}, {"lists"}),
        ({"address": "noor@example.org", "lists": ["staff"]}, {"lists"}),
        ([], {""}),
        (None, {""}),
    ],
)
def test_what_a_program_got_wrong_is_said_by_field(reader: Reader, asked: object, fields: set[str]) -> None:
    answer = reader.send("/digest/subscribe.json", asked)
    assert answer.status_code == 422
    assert set(answer.json["errors"]) == fields
    assert letters(reader.folder) == 0


def test_what_is_no_json_is_a_fault_too(reader: Reader) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[" * 60_000, b'{"address": ' + b"[" * 50_000):
        assert reader.post("/digest/subscribe.json", body).status_code == 422


def test_programs_may_ask_a_quarter_of_what_people_may(reader: Reader) -> None:
    for number in range(5):
        assert reader.send("/digest/subscribe.json", {"address": f"r{number}@example.org"}).status_code == 202
    answer = reader.send("/digest/subscribe.json", {"address": "r5@example.org"})
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "3600"
    assert reader.ask("r6@example.org").status_code == 200


def test_the_snippet_leads_to_this_form(reader: Reader) -> None:
    text = html.unescape(reader.get("/digest/subscribe/snippet").text)
    assert '<form action="https://digest.example.org/digest/subscribe" method="post">' in text
    assert '<input type="hidden" name="lists" value="alliance-digest">' in text


# ---- the button behind the letter


def test_the_page_behind_the_link_says_what_for_and_its_button_does_it(reader: Reader) -> None:
    reader.ask(name="Noor Okafor")
    token = reader.letter()
    page = reader.get(f"/confirm/{token}")
    text = html.unescape(page.text)
    assert "noor@example.org" in text
    assert "Alliance Digest" in text
    assert "In the name of Noor Okafor." in text
    assert f'href="/canary/{token}" aria-hidden="true" tabindex="-1"' in text
    done = reader.press(token)
    assert heading(done) == "You are subscribed"
    assert states(reader.folder) == {"alliance-digest": "active"}
    with reader.folder.reading() as session:
        person = session.scalars(select(Subscriber)).one()
        assert f'href="/me/{keys(session, NOW).reader(0, person.id)}"' in done.text
        assert session.scalars(select(Consent)).one().confirmed_client == "198.51.100.7"


def test_the_button_pressed_twice_succeeds_twice(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    page = reader.get(f"/confirm/{token}")
    assert reader.press(token, page=page).data == reader.press(token, page=page).data
    assert heading(reader.get(f"/confirm/{token}")) == "You are subscribed"


def test_a_link_that_is_used_or_over_leads_nowhere_for_who_left_and_says_how_to_ask_anew(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    reader.press(token)
    with reader.folder.session() as session:
        person = session.scalars(select(Subscriber)).one()
        subscribers.unsubscribe(session, reader.folder.config, person, None, reader.now, "page")
    answer = reader.get(f"/confirm/{token}")
    assert answer.status_code == 404
    assert heading(answer) == "This link leads nowhere"
    assert 'href="/digest/subscribe"' in answer.text


@pytest.mark.parametrize("way", ["cut", "longer", "changed", "of a reader", "of no letter", "words", "nul"])
def test_a_token_that_isnt_a_letters_leads_nowhere_and_all_such_answers_are_the_same(reader: Reader, way: str) -> None:
    reader.ask()
    token = reader.letter()
    with reader.folder.reading() as session:
        secrets = keys(session, NOW)
    bad = {
        "cut": token[:-1],
        "longer": token + "00",
        "changed": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "of a reader": secrets.reader(0, 1),
        "of no letter": secrets.letter(987_654),
        "words": "unsubscribe",
        "nul": "%00" * 26,
    }[way]
    answer = reader.get(f"/confirm/{bad}")
    assert answer.status_code == 404
    assert answer.data == reader.get("/confirm/0").data
    assert reader.post(f"/confirm/{bad}", {"seal": "x"}).status_code == 404
    assert states(reader.folder) == {"alliance-digest": "pending"}


def test_an_expired_link_confirms_nothing(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    reader.now += 7 * DAY
    assert reader.get(f"/confirm/{token}").status_code == 404


def test_a_button_pressed_by_another_site_is_to_be_pressed_again(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    for seal in ("", "forged", hidden(reader.get("/digest/subscribe"), "seal")):
        answer = reader.post(f"/confirm/{token}", {"seal": seal})
        assert "One more press" in answer.text
        assert states(reader.folder) == {"alliance-digest": "pending"}
    assert heading(reader.press(token, page=answer)) == "You are subscribed"


def test_the_seal_of_one_letters_page_is_none_for_another(reader: Reader) -> None:
    reader.ask()
    mine = reader.letter()
    reader.ask("kei@example.org")
    theirs = reader.letter()
    answer = reader.post(f"/confirm/{theirs}", {"seal": hidden(reader.get(f"/confirm/{mine}"), "seal")})
    assert "One more press" in answer.text
    assert states(reader.folder, "kei@example.org") == {"alliance-digest": "pending"}


def test_a_press_seconds_after_the_letter_went_is_a_scanners_and_asks_for_one_more(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    reader.now -= dt.timedelta(minutes=5)
    page = reader.press(token, after=2)
    assert "One more press" in page.text
    assert states(reader.folder) == {"alliance-digest": "pending"}
    assert "One more press" in reader.press(token, after=1, page=page).text
    assert states(reader.folder) == {"alliance-digest": "pending"}
    assert heading(reader.press(token, after=5, page=page)) == "You are subscribed"


def test_who_followed_the_link_that_no_person_sees_presses_once_more(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    with reader.folder.session() as session:
        secrets = keys(session, NOW)
        number = secrets.read_letter(token)
        assert number is not None
        client = visits.client(secrets, reader.client, BROWSER["User-Agent"])
        visits.record(
            session, [visits.hit(HitKind.canary, visits.message_of_letter(secrets, number), client, reader.now)]
        )
    page = reader.press(token)
    assert "One more press" in page.text
    assert "One more press" in reader.press(token, after=1, page=page).text
    assert states(reader.folder) == {"alliance-digest": "pending"}
    assert heading(reader.press(token, after=2, page=page)) == "You are subscribed"
    assert reader.app.extensions["newsletter visits"].wait()
    with reader.folder.reading() as session:
        assert [(row.what, row.times) for row in session.scalars(select(Ignored))] == [("button", 2)]


def test_who_reported_spam_meanwhile_is_told_so_and_stays_out(reader: Reader) -> None:
    reader.ask()
    token = reader.letter()
    with reader.folder.session() as session:
        suppressions.add(session, "noor@example.org", SuppressionReason.complaint, "", NOW)
    answer = reader.press(token)
    assert heading(answer) == "This address gets no mail from us"
    assert states(reader.folder) == {"alliance-digest": "pending"}


def test_from_the_form_to_the_first_issue_over_a_real_relay_on_both_databases(make_folder: Changes) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        with folder.session() as session:
            session.add(List(slug="alliance-digest", title="Alliance Digest"))
        reader = Reader(folder)
        reader.ask(name="Noor Okafor")
        letter_mail.deliver(folder, reader.now)
        reader.now += dt.timedelta(minutes=5)
        [mail] = server.messages
        found = re.search(rb"https://digest\.example\.org(/confirm/[0-9a-f=\r\n]+)\r\n\r\n", mail.data)
        assert found
        path = found[1].replace(b"=\r\n", b"").decode()
        assert heading(reader.press(path.rpartition("/")[2])) == "You are subscribed"
    assert states(folder) == {"alliance-digest": "active"}
    with folder.reading() as session:
        assert session.scalars(select(Subscription)).one().why == "confirmed by mail"


def test_the_next_issue_is_named_only_where_the_calendar_has_one(reader: Reader) -> None:
    publication = reader.folder.config.publications["digest"]
    reader.now = dt.datetime.combine(cadence.LAST, dt.time(23), dt.UTC)
    assert "Next issue" not in reader.get("/digest/subscribe").text
    assert signup.next_issue(publication.cadence, NOW) == dt.date(2023, 11, 14)


# ---- in a real browser


@pytest.fixture
def served(offered: Folder, subscribe: Subscribe) -> Iterator[tuple[str, Folder, list[dt.datetime]]]:
    shutil.copytree(TEMPLATES, offered.templates)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    folder = dataclasses.replace(offered, config=msgspec.structs.replace(offered.config, base_url=base))
    with folder.session() as session:
        subscribe(session, "kei@example.org")
        sending(session, folder)
    clock = [NOW]
    serving = Serving(folder, lambda: clock[0], port=port)
    serving.start()
    yield base, folder, clock
    serving.stop()


# axe-core is a script itself: without any, only the way through is walked.
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_somebody_signs_up_and_confirms_and_all_can_use_the_pages(
    served: tuple[str, Folder, list[dt.datetime]], chromium: Browser, script: bool
) -> None:
    base, folder, clock = served
    plain = chromium.new_context(
        base_url=base,
        color_scheme="light",
        user_agent=PERSON,
        locale="en-US",
        java_script_enabled=script,
    )
    page = plain.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    found: dict[str, list[str]] = {}

    def check(name: str) -> None:
        found[name] = faults_anywhere(page) if script else []

    page.goto("/digest/subscribe")
    check("form")
    clock[0] += dt.timedelta(seconds=10)
    page.get_by_role("button", name="Subscribe").click()
    check("faults")
    assert page.get_by_label("E-mail address").evaluate("field => field.getAttribute('aria-invalid')") == "true"
    page.get_by_label("E-mail address").fill("noor@example.org")
    page.get_by_label("Name").fill("Noor Okafor")
    page.get_by_role("button", name="Subscribe").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Look into your inbox"
    check("asked")
    with folder.session() as session:
        row = session.scalars(select(Letter)).one()
        row.state, row.since = LetterState.sent, clock[0]
        token = keys(session, NOW).letter(row.id)
    page.goto(f"/confirm/{token}")
    check("confirm")
    page.get_by_role("button", name="Subscribe").click()
    assert page.get_by_text("One more press").is_visible()
    check("once more")
    clock[0] += dt.timedelta(seconds=10)
    page.get_by_role("button", name="Subscribe").click()
    assert page.get_by_role("heading", level=1).inner_text() == "You are subscribed"
    check("confirmed")
    for path in ("/digest/subscribe/snippet", "/confirm/0"):
        page.goto(path)
        check(path)
    assert plain.cookies() == []
    plain.close()
    assert not any(found.values()), found
    assert not [each for each in complaints if "Failed to load resource" not in each]
    assert states(folder) == {"alliance-digest": "active"}


def test_a_browser_that_looks_like_a_program_does_the_work_by_itself(
    served: tuple[str, Folder, list[dt.datetime]], chromium: Browser
) -> None:
    base, folder, clock = served
    context = chromium.new_context(base_url=base, user_agent="HeadlessChrome", locale="en-US")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.goto("/digest/subscribe")
    clock[0] += dt.timedelta(seconds=10)
    page.get_by_label("E-mail address").fill("noor@example.org")
    page.get_by_role("button", name="Subscribe").click()
    page.get_by_role("heading", name="Look into your inbox").wait_for()
    context.close()
    assert not [each for each in complaints if "Failed to load resource" not in each]
    assert states(folder) == {"alliance-digest": "pending"}
