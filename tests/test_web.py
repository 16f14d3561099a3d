"""What holds for every page: what a browser is told, what goes wrong, what is in the log, and what is there to read."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import http.client
import logging
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import NOW
from flask import Flask, request
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from published import sending
from sqlalchemy.exc import OperationalError

from newsletter import erasure, subscribers, tokens, translations
from newsletter.errors import WebMistake
from newsletter.folder import Folder
from newsletter.models import Base, Issue, Rendition, Subscriber
from newsletter.states import IssueState, RenditionKind
from newsletter.tokens import Keys, keys
from newsletter.web import make, seals
from newsletter.web.serving import Serving

TEMPLATES = Path(__file__).parent.parent / "templates"
KEYS = Keys(token=(b"t" * 32,), form=(b"f" * 32,), fingerprint=b"p" * 32)
Changes = Callable[..., Folder]


@pytest.fixture
def browser(lite_folder: Folder) -> FlaskClient:
    return make(lite_folder, lambda: NOW).test_client()


# ---- what a browser is told


@pytest.mark.parametrize("path", ["/digest", "/nowhere", "/view/0000", "/"])
def test_every_answer_says_how_little_a_browser_may_do_with_it(browser: FlaskClient, path: str) -> None:
    headers = browser.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "img-src": "'self' https://digest.example.org",
        "style-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_readers_page_is_kept_by_nobody_and_found_by_no_search_engine(browser: FlaskClient) -> None:
    headers = browser.get("/view/" + "0" * 40).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"


def test_no_answer_sets_a_cookie_even_where_a_library_would(lite_folder: Folder) -> None:
    app = make(lite_folder, lambda: NOW)

    @app.get("/biscuit")
    def biscuit() -> str:
        from flask import after_this_request

        @after_this_request
        def offer(response):
            response.set_cookie("known", "you")
            return response

        return "crumbs"

    assert "Set-Cookie" not in app.test_client().get("/biscuit").headers


def test_a_plain_site_without_a_certificate_promises_none(make_folder: Changes) -> None:
    folder = make_folder(("https://digest.example.org", "http://digest.example.org"))
    assert "Strict-Transport-Security" not in make(folder, lambda: NOW).test_client().get("/digest").headers


def test_the_style_sheet_may_be_kept_for_ever_under_the_name_of_its_content(browser: FlaskClient) -> None:
    link = re.search(r'rel="stylesheet" href="([^"]+)"', browser.get("/digest").text)
    assert link
    answer = browser.get(link[1])
    assert answer.status_code == 200
    assert answer.mimetype == "text/css"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000"
    assert "--paper" in answer.text
    assert browser.get("/look/0123456789abcdef.css").status_code == 404


# ---- languages


def test_a_page_speaks_the_browsers_language_unless_the_address_names_another(browser: FlaskClient) -> None:
    japanese = browser.get("/nowhere", headers={"Accept-Language": "ja-JP,en;q=0.5"})
    assert 'lang="ja"' in japanese.text
    assert japanese.headers["Content-Language"] == "ja"
    assert 'lang="en"' in browser.get("/nowhere?in=en", headers={"Accept-Language": "ja"}).text
    assert 'lang="en"' in browser.get("/nowhere", headers={"Accept-Language": "tlh"}).text


def test_a_language_is_found_as_a_browser_means_it() -> None:
    assert translations.best(["pt-BR", "ja"], ["en", "ja"]) == "ja"
    assert translations.best(["zh-Hant-TW"], ["en", "zh-Hant"]) == "zh-Hant"
    assert translations.best(["JA_jp"], ["ja"]) == "ja"
    assert translations.best(["xx"], ["en"]) is None


def test_a_translation_in_the_folder_is_one_more_language(lite_folder: Folder) -> None:
    place = lite_folder.templates / "translations"
    place.mkdir(parents=True)
    header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (place / "ar.po").write_text(header + 'msgid "Issues"\nmsgstr "الأعداد"\n', encoding="utf-8")
    text = make(lite_folder, lambda: NOW).test_client().get("/digest?in=ar").text
    assert "الأعداد" in text
    assert 'dir="rtl"' in text


def test_a_translation_that_cant_be_read_is_told_with_its_file(lite_folder: Folder) -> None:
    place = lite_folder.templates / "translations"
    place.mkdir(parents=True)
    (place / "fr.po").write_bytes(b'msgid "Issues\nmsgstr \xff\n')
    with pytest.raises(WebMistake, match=r"fr\.po"):
        make(lite_folder, lambda: NOW)


# ---- what goes wrong


@pytest.mark.parametrize(
    "path", ["/" + "a" * 5000, "/view/%FF%FE", "/view/..%2f..%2fetc%2fpasswd", "/digest/2/99999999999999999999", "/%00"]
)
def test_an_address_that_leads_nowhere_is_a_plain_page(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert "<h1>" in answer.text
    assert "Traceback" not in answer.text


def test_a_method_that_a_page_doesnt_know_is_told_which_it_does(browser: FlaskClient) -> None:
    answer = browser.delete("/digest")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert "Nothing has changed" in answer.text


@pytest.fixture
def odd(lite_folder: Folder) -> Flask:
    """The pages, with some more that break in their own ways."""
    app = make(lite_folder, lambda: NOW)

    @app.post("/form")
    def form() -> str:
        return request.form.get("words", "")

    @app.get("/away/<secret>")
    def away(secret: str) -> str:
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    @app.get("/broken/<secret>")
    def broken(secret: str) -> str:
        raise ZeroDivisionError(secret)

    return app


def test_a_form_of_megabytes_is_refused_unread(odd: Flask) -> None:
    answer = odd.test_client().post("/form", data={"words": "x" * 2_000_000})
    assert answer.status_code == 413
    assert "too much at once" in answer.text


def test_a_form_in_no_encoding_at_all_breaks_nothing(odd: Flask) -> None:
    answer = odd.test_client().post(
        "/form", data=b"words=\xff\xfe%ff%00\xed\xa0\x80", content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 200


def test_a_database_that_is_away_is_said_to_be_and_when_to_come_back(odd: Flask) -> None:
    answer = odd.test_client().get("/away/x")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "disk" not in answer.text


def test_a_fault_of_ours_is_logged_whole_and_shown_as_a_plain_page(
    odd: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "ab12" * 10
    with caplog.at_level(logging.INFO, "newsletter.web"):
        answer = odd.test_client().get(f"/broken/{secret}")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert "/broken/..." in caplog.text


def test_the_log_tells_what_was_refused_without_a_readers_token(
    browser: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    token = KEYS.reader(1, 2)
    with caplog.at_level(logging.INFO, "newsletter.web"):
        browser.get(f"/nothing/{token}")
    assert "GET /nothing/...: 404" in caplog.text
    assert token not in caplog.text


# ---- where it stands


def test_pages_under_a_path_know_it_whether_or_not_the_server_in_front_takes_it_off(make_folder: Changes) -> None:
    folder = make_folder(("https://digest.example.org", "https://example.org/news"))
    browser = make(folder, lambda: NOW).test_client()
    for path in ("/news/digest", "/digest"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert 'href="/news/look/' in answer.text


def test_a_client_is_who_the_connection_says_unless_a_server_in_front_is_declared(make_folder: Changes) -> None:
    def client(folder: Folder) -> str:
        app = make(folder, lambda: NOW)

        @app.get("/who")
        def who() -> str:
            return str(request.remote_addr)

        return app.test_client().get("/who", headers={"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}).text

    assert client(make_folder()) == "127.0.0.1"
    assert client(make_folder(("[web]\nport = 0", "[web]\nport = 0\nproxies = 1"))) == "203.0.113.9"


@pytest.fixture
def served(lite_folder: Folder) -> Iterator[Serving]:
    serving = Serving(lite_folder, lambda: NOW)
    serving.start()
    yield serving
    serving.stop()


def test_the_pages_are_served_and_say_nothing_of_what_serves_them(served: Serving) -> None:
    connection = http.client.HTTPConnection(urlsplit(served.address).netloc)
    connection.request("GET", "/digest")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["Server"] is None
    connection.close()


def test_a_head_is_answered_like_a_get_without_the_page(served: Serving) -> None:
    connection = http.client.HTTPConnection(urlsplit(served.address).netloc)
    connection.request("HEAD", "/digest")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.close()


def test_stopping_ends_connections_that_are_only_kept_open(lite_folder: Folder) -> None:
    serving = Serving(lite_folder, lambda: NOW)
    serving.start()
    with socket.create_connection((urlsplit(serving.address).hostname, urlsplit(serving.address).port)) as held:
        held.sendall(b"GET /digest HTTP/1.1\r\nHost: x\r\n\r\n")
        held.settimeout(10)
        assert held.recv(100).startswith(b"HTTP/1.1 200")
        serving.stop()
        while held.recv(65536):
            pass
    with pytest.raises(OSError):
        socket.create_connection((urlsplit(serving.address).hostname, urlsplit(serving.address).port), timeout=5)


def test_a_port_that_is_taken_is_a_sentence(lite_folder: Folder, served: Serving) -> None:
    with pytest.raises(WebMistake, match=r"can't be served on 127\.0\.0\.1, port \d+"):
        Serving(lite_folder, lambda: NOW, port=urlsplit(served.address).port)


# ---- seals


def test_a_seal_says_how_long_ago_its_form_was_shown() -> None:
    seal = seals.make(KEYS, "sign-up", "digest", NOW)
    assert seals.age(KEYS, seal, "sign-up", "digest", NOW + dt.timedelta(seconds=7)) == dt.timedelta(seconds=7)


@pytest.mark.parametrize(
    ("keys", "form", "subject", "later"),
    [
        pytest.param(Keys(KEYS.token, (b"another" * 5,), KEYS.fingerprint), "leave", "a", 1, id="another installation"),
        pytest.param(KEYS, "erase", "a", 1, id="another form"),
        pytest.param(KEYS, "leave", "b", 1, id="another reader"),
        pytest.param(KEYS, "leave", "a", 86401, id="yesterday"),
        pytest.param(KEYS, "leave", "a", -3600, id="from the future"),
    ],
)
def test_a_seal_of_another_form_reader_or_time_is_none(keys: Keys, form: str, subject: str, later: int) -> None:
    seal = seals.make(KEYS, "leave", "a", NOW)
    assert seals.age(keys, seal, form, subject, NOW + dt.timedelta(seconds=later)) is None


def test_a_seal_outlives_a_rotation_of_keys() -> None:
    seal = seals.make(KEYS, "leave", "a", NOW)
    rotated = Keys(KEYS.token, (b"new" * 11, *KEYS.form), KEYS.fingerprint)
    assert seals.age(rotated, seal, "leave", "a", NOW) == dt.timedelta()


@given(st.text(max_size=200))
def test_whatever_stands_where_a_seal_should_is_no_seal_and_no_fault(text: str) -> None:
    assert seals.age(KEYS, text, "leave", "a", NOW) is None


# ---- tokens


@given(st.integers(1, 2**40), st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_a_letters_token_leads_to_its_letter_and_is_no_readers(letter: int, issue: int, subscriber: int) -> None:
    assert KEYS.read_letter(KEYS.letter(letter)) == letter
    assert KEYS.read(KEYS.letter(letter)) is None
    assert KEYS.read_letter(KEYS.reader(issue, subscriber)) is None


@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1), st.data())
def test_a_token_that_is_cut_or_changed_by_one_digit_leads_nowhere(
    issue: int, subscriber: int, data: st.DataObject
) -> None:
    token = KEYS.reader(issue, subscriber)
    at = data.draw(st.integers(0, len(token) - 1))
    digit = data.draw(st.sampled_from("0123456789abcdef"))
    changed = token[:at] + digit + token[at + 1 :]
    assert KEYS.read(token[:at]) is None
    if changed != token:
        assert KEYS.read(changed) is None


@pytest.mark.parametrize("text", ["", " ", "0", "ab cd" * 9, "é" * 20, "ab" * 4000, "\x00" * 30, "１２" * 15])
def test_what_is_no_token_is_none(text: str) -> None:
    assert KEYS.read(text) is None
    assert KEYS.read_letter(text) is None


def test_links_work_after_a_rotation_and_lead_nowhere_once_the_old_keys_are_forgotten(folder: Folder) -> None:
    day = dt.timedelta(days=1)
    with folder.session() as session:
        old = keys(session, NOW)
        token, name = old.reader(3, 4), old.print_of("kei@example.org")
        tokens.rotate(session, NOW + day)
        rotated = keys(session, NOW + day)
        assert rotated.read(token) == (3, 4)
        assert rotated.reader(3, 4) != token
        assert tokens.forget(session, NOW) == 0
        assert tokens.forget(session, NOW + 2 * day) == len(tokens.ROTATED)
        bare = keys(session, NOW + 2 * day)
    assert bare.read(token) is None
    assert bare.read(rotated.reader(3, 4)) == (3, 4)
    assert bare.print_of("kei@example.org") == name


# ---- what is there to read


@pytest.fixture
def published(lite_folder: Folder, subscribe: Callable[..., Subscriber]) -> tuple[Folder, str]:
    """A folder with an issue on its way, and the token of one reader's copy."""
    shutil.copytree(TEMPLATES, lite_folder.templates)
    with lite_folder.session() as session:
        person = subscribe(session, "kei@example.org", name="Kei <Mori>")
        issue = sending(session, lite_folder)
        return lite_folder, keys(session, NOW).reader(issue.id, person.id)


def test_an_issue_is_in_the_browser_as_its_reader_gets_it(published: tuple[Folder, str]) -> None:
    folder, token = published
    answer = make(folder, lambda: NOW).test_client().get(f"/view/{token}")
    assert answer.status_code == 200
    assert "You get this because kei@example.org subscribed" in answer.text
    assert f"/leave/{token}" in answer.text
    assert "\x02" not in answer.text
    assert "style-src 'unsafe-inline'" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_nobody_elses_issue_is_shown_for_a_token_that_isnt_theirs(published: tuple[Folder, str]) -> None:
    folder, token = published
    browser = make(folder, lambda: NOW).test_client()
    with folder.session() as session:
        for issue, subscriber in ((0, 1), (99, 1), (1, 99)):
            other = keys(session, NOW).reader(issue, subscriber)
            assert browser.get(f"/view/{other}").status_code == 404
        letter = keys(session, NOW).letter(1)
    for broken in (token[:-1], token[:-2], token + "00", letter, "x"):
        assert browser.get(f"/view/{broken}").status_code == 404, broken


def test_an_erased_readers_copy_is_shown_to_nobody(published: tuple[Folder, str]) -> None:
    folder, token = published
    with folder.session() as session:
        erasure.clear(session, subscribers.find(session, "kei@example.org"), NOW)
    assert make(folder, lambda: NOW).test_client().get(f"/view/{token}").status_code == 404


def test_an_issues_page_is_what_was_rendered_and_styled_by_itself_alone(published: tuple[Folder, str]) -> None:
    folder, _ = published
    browser = make(folder, lambda: NOW).test_client()
    answer = browser.get("/digest/2/21")
    with folder.reading() as session:
        kept = session.get_one(Rendition, (1, RenditionKind.page, 1)).content
    # It is the only issue, so it has no neighbours to name.
    assert re.sub(rb"\n+", b"\n", answer.data) == re.sub(rb"\n+", b"\n", kept.replace(b"<!--neighbours-->", b""))
    (style,) = re.findall(rb"<style>(.*?)</style>", answer.data, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]
    assert "style=" not in re.sub(r"<style>.*?</style>", "", answer.text, flags=re.DOTALL)
    assert 'href="/digest/2/21"' in browser.get("/digest").text


@pytest.mark.parametrize("state", [IssueState.assembled, IssueState.approved, IssueState.held, IssueState.cancelled])
def test_an_issue_that_hasnt_gone_is_on_no_page(published: tuple[Folder, str], state: IssueState) -> None:
    folder, _ = published
    with folder.session() as session:
        session.get_one(Issue, 1).state = state
    browser = make(folder, lambda: NOW).test_client()
    assert browser.get("/digest/2/21").status_code == 404
    assert "/digest/2/21" not in browser.get("/digest").text


def test_a_picture_is_served_by_its_content_and_nothing_else_of_the_folder_is(published: tuple[Folder, str]) -> None:
    folder, token = published
    browser = make(folder, lambda: NOW).test_client()
    (path,) = set(re.findall(r"https://digest\.example\.org(/pictures/[^\"]+)", browser.get(f"/view/{token}").text))
    answer = browser.get(path)
    assert answer.status_code == 200
    assert hashlib.sha256(answer.data).hexdigest() in path
    assert "public" in answer.headers["Cache-Control"]
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    answer.close()
    for other in ("/pictures/..%2fnewsletter.db", "/pictures/" + "0" * 64 + ".png", path.replace(".png", ".html")):
        assert browser.get(other).status_code == 404


def test_looking_at_every_page_changes_nothing(published: tuple[Folder, str]) -> None:
    folder, token = published
    app = make(folder, lambda: NOW)
    with keys_of(folder) as found:
        letter = found.letter(1)
    browser = app.test_client()
    before = dump(folder)
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()):
            continue
        for key in (token, letter, "0" * 40):
            path = re.sub(r"<[^>]*slug>", "digest", rule.rule)
            path = re.sub(r"<int[^>]*volume>", "2", re.sub(r"<int[^>]*number>", "21", path))
            path = re.sub(r"<[^>]*>", key, path)
            for ask in (browser.get, browser.head, browser.options):
                assert ask(path).status_code < 500, path
    assert dump(folder) == before


@contextlib.contextmanager
def keys_of(folder: Folder) -> Iterator[Keys]:
    with folder.reading() as session:
        yield keys(session, NOW)


UNTOUCHED = {"hits", "ignored"}
"""Tables that say only that a page was looked at: they are what the scanners' count is made of."""


def dump(folder: Folder) -> dict[str, list[tuple[object, ...]]]:
    """What is in the database, row by row."""
    with folder.engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(table.select().order_by(*table.primary_key.columns))]
            for name, table in Base.metadata.tables.items()
            if name not in UNTOUCHED
        }
