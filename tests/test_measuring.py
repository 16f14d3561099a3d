"""What a mail has in it where a publication measures, and that it has nothing of that where it doesn't."""

from __future__ import annotations

import datetime as dt
import quopri
import re
import shutil
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from conftest import CONFIG, NOW
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from newsletter import compose, config, dispatch, issues, measuring, visits
from newsletter.compose import Reader
from newsletter.folder import Folder, included
from newsletter.models import Draft, Hit, Ignored, Issue, Subscriber
from newsletter.states import DraftState, HitKind
from newsletter.tokens import Keys, keys
from newsletter.web import make
from newsletter.web.noting import Noting

BASE = "https://digest.example.org"
KEYS = Keys(token=(b"k" * 32,), form=(b"o" * 32,), fingerprint=b"f" * 32)
PUBLICATION = config.decode(CONFIG, __import__("pathlib").Path("config.toml")).publications["digest"]
BOTH = msgspec.structs.replace(PUBLICATION, measure_opens=True, measure_clicks=True)
CLICKS = msgspec.structs.replace(PUBLICATION, measure_clicks=True)
FOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"}
"""What a person's browser says of itself."""
HTML = (
    '<!doctype html><html><body><p><a class="x" href="https://example.org/a?b=1&amp;c=2" style="color:#000000">One</a>'
    ' <a href="https://example.net/é">Two</a> <a href="https://example.org/a?b=1&amp;c=2">One again</a>'
    '<a href="mailto:desk@example.org">Write</a> <a href="tel:+15550100">Call</a>'
    f'<a href="{BASE}/digest/2/21">On the web</a> <a href="{BASE}">Front</a> <a href="https://DIGEST.example.org/x">x</a>'
    '<a href="https://example.org/?city=\x02city\x03">City</a>'
    '<a href="https://www.example.com/said"><b>https://www.example.com/said</b></a>'
    '<a href="\x02unsubscribe_url\x03">Leave</a> <a href="\x02preferences_url\x03">Me</a></p></body></html>\n'
)
STORY = "Read [the paper](https://example.net/paper?x=1&y=2) and [the bill](https://example.com/bill), [[name|reader]]."


def hrefs(html: str) -> list[str]:
    return re.findall(r'href="([^"]*)"', html)


def test_links_that_lead_out_go_through_us_and_no_other() -> None:
    made = measuring.measured(HTML, CLICKS, BASE)
    mark = "\x02measuring_mark\x03"
    assert hrefs(made) == [
        f"{BASE}/to/1/{mark}",
        f"{BASE}/to/2/{mark}",
        f"{BASE}/to/1/{mark}",
        "mailto:desk@example.org",
        "tel:+15550100",
        f"{BASE}/digest/2/21",
        BASE,
        "https://DIGEST.example.org/x",
        "https://example.org/?city=\x02city\x03",
        "https://www.example.com/said",
        "\x02unsubscribe_url\x03",
        "\x02preferences_url\x03",
        f"{BASE}/canary/{mark}",
    ]
    assert measuring.links(HTML)[:2] == ("https://example.org/a?b=1&c=2", "https://example.net/é")
    assert "<img" not in made


def test_the_privacy_page_is_not_measured() -> None:
    publication = msgspec.structs.replace(CLICKS, privacy_url="https://example.org/a/")
    html = '<a href="https://example.org/a">Privacy</a><a href="https://example.org/b">b</a>'
    assert hrefs(measuring.measured(html, publication, BASE))[:2] == [
        "https://example.org/a",
        f"{BASE}/to/2/\x02measuring_mark\x03",
    ]


def test_a_path_that_only_begins_like_ours_leads_out() -> None:
    html = '<a href="https://example.org/news/2">ours</a><a href="https://example.org/newspaper">theirs</a>'
    made = hrefs(measuring.measured(html, CLICKS, "https://example.org/news"))
    assert made[0] == "https://example.org/news/2"
    assert made[1].startswith("https://example.org/news/to/2/")


def test_where_nothing_is_measured_the_html_is_the_very_same() -> None:
    assert measuring.measured(HTML, PUBLICATION, BASE) is HTML


def test_only_opens_measured_leaves_links_alone_and_adds_a_pixel() -> None:
    made = measuring.measured(HTML, msgspec.structs.replace(PUBLICATION, measure_opens=True), BASE)
    assert hrefs(made)[:-1] == hrefs(HTML)
    assert re.findall(r'<img src="([^"]*)"', made) == [f"{BASE}/seen/\x02measuring_mark\x03"]
    assert made.endswith("</body></html>\n")


@given(st.integers(1, 2**31 - 1), st.binary(min_size=8, max_size=8), st.integers(1, 2**31 - 1))
def test_marks_are_read_back_and_are_no_key_to_a_readers_pages(issue: int, mark: bytes, subscriber: int) -> None:
    unnamed, named = KEYS.mark(issue, mark), KEYS.measured(issue, subscriber)
    assert (found := KEYS.read_mark(unnamed)) is not None
    assert (found.issue, found.mark, found.subscriber) == (issue, mark, None)
    assert (found := KEYS.read_mark(named)) is not None
    assert (found.issue, found.mark, found.subscriber) == (issue, b"", subscriber)
    for token in (unnamed, named):
        assert KEYS.read(token) is None
        assert KEYS.read_letter(token) is None
        assert KEYS.read_mark(token[:-1] + ("0" if token[-1] != "0" else "1")) is None
    assert KEYS.read_mark(KEYS.reader(issue, subscriber)) is None


def test_a_mark_can_be_made_by_nobody_else_not_even_with_the_keys_of_the_database() -> None:
    one, other = (measuring.Marks(KEYS, 7, by_name=True) for _ in range(2))
    assert one.of(42, agreed=False) == one.of(42, agreed=False)
    assert one.of(42, agreed=False) != one.of(43, agreed=False)
    assert one.of(42, agreed=False) != other.of(42, agreed=False)


def test_only_who_agreed_is_named_and_only_where_the_publication_asks() -> None:
    asking, not_asking = (measuring.Marks(KEYS, 7, by_name=by_name) for by_name in (True, False))
    named = {
        (marks is asking, agreed): KEYS.read_mark(marks.of(42, agreed=agreed)).subscriber
        for marks in (asking, not_asking)
        for agreed in (True, False)
    }
    assert named == {(True, True): 42, (True, False): None, (False, True): None, (False, False): None}


Made = tuple[Folder, Issue]
MEASURING = (
    'sections = ["Economy"',
    'measure_opens = true\nmeasure_clicks = true\nmeasure_readers = true\nsections = ["Economy"',
)


def going(folder: Folder, subscribe: Callable[..., Subscriber]) -> int:
    """An issue that is being sent to two readers."""
    shutil.copytree(included() / "templates", folder.path / "templates")
    with folder.session() as session:
        for n in range(2):
            session.add(
                Draft(
                    publication="digest",
                    headline=f"Story {n}",
                    section="Economy",
                    body=STORY,
                    position=n,
                    created=NOW,
                    changed=NOW,
                    state=DraftState.ready,
                )
            )
        ada = subscribe(session, "ada@example.org", name="Ada")
        subscribe(session, "grace@example.org")
        ada.measured = NOW
        session.flush()
        slug, publication = folder.publication()
        issue = issues.open_next(session, slug, publication, NOW)
        issues.assemble(session, slug, publication, issue, NOW)
        issues.approve(session, issue, "Editor", NOW)
        dispatch.start(session, folder, issue, NOW)
        return issue.id


def composed(folder: Folder, issue: int, *, measured: bool = True, who: int = 2, agreed: bool = False) -> str:
    with folder.session() as session:
        composer = compose.for_issue(session, folder, session.get_one(Issue, issue), NOW, measured=measured)
    data = composer.compose(Reader(who, f"r{who}@example.org", "", {}, NOW, agreed), NOW).data
    html = data.partition(b"Content-Type: text/html")[2].partition(b"\r\n\r\n")[2]
    return quopri.decodestring(html).decode()


@pytest.fixture
def sent(lite_folder: Folder, subscribe: Callable[..., Subscriber]) -> Made:
    text = CONFIG.replace(*MEASURING)
    folder = replace(lite_folder, config=config.decode(text, lite_folder.path / "config.toml"))
    return folder, going(folder, subscribe)


@pytest.fixture
def browser(sent: Made) -> FlaskClient:
    return make(sent[0], lambda: NOW + dt.timedelta(minutes=5)).test_client()


def noted(browser: FlaskClient, folder: Folder) -> list[Hit]:
    waiting: Noting = browser.application.extensions["newsletter visits"]
    assert waiting.wait()
    with folder.reading() as session:
        return list(session.scalars(select(Hit).order_by(Hit.id)))


def path_of(html: str, kind: str) -> str:
    return re.search(rf'"{BASE}(/{kind}/[^"]*)"', html)[1]


def test_a_mail_of_a_publication_that_measures_nothing_has_the_same_bytes_as_ever(
    lite_folder: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    folder = lite_folder
    issue = going(folder, subscribe)
    with folder.session() as session:
        row = session.get_one(Issue, issue)
        plain = compose.for_issue(session, folder, row, NOW)
        measured = compose.for_issue(session, folder, row, NOW, measured=True)
    reader = Reader(2, "grace@example.org", "", {}, NOW)
    assert measured.compose(reader, NOW).data == plain.compose(reader, NOW).data
    assert b"/to/" not in plain.compose(reader, NOW).data
    assert b"canary" not in plain.compose(reader, NOW).data


def test_the_text_part_and_the_headers_are_the_same_measured_or_not(sent: Made) -> None:
    folder, issue = sent
    with folder.session() as session:
        row = session.get_one(Issue, issue)
        made = [
            compose.for_issue(session, folder, row, NOW, measured=measured).compose(
                Reader(2, "grace@example.org", "", {}, NOW), NOW
            )
            for measured in (True, False)
        ]
    boundary = re.compile(rb"=_digest-[0-9a-f]+")
    measured, plain = (
        boundary.sub(b"=", each.data).partition(b"Content-Type: text/html")[0].split(b"\r\n") for each in made
    )
    assert measured == plain
    assert b"https://example.net/paper?x=3D1&y=3D2" in b"".join(made[0].data.split(b"=\r\n"))


def test_a_link_of_a_mail_leads_where_the_issue_says(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    link = path_of(composed(folder, issue), "to")
    answer = browser.get(link, headers=FOX)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://example.net/paper?x=1&y=2"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in answer.headers
    (hit,) = noted(browser, folder)
    assert (hit.what, hit.issue_id, hit.link, hit.subscriber_id) == (
        HitKind.click,
        issue,
        int(link.split("/")[2]),
        None,
    )


def test_what_a_sender_sends_is_measured_and_names_only_who_agreed(
    make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber]
) -> None:
    folder = make_folder(MEASURING)
    issue = going(folder, subscribe)
    from newsletter.sender import Sender

    Sender(folder, lambda: NOW, chance=lambda: 0.5).run(stop=lambda: False)
    with folder.reading() as session:
        found = keys(session, NOW)
        ada = session.scalars(select(Subscriber.id).where(Subscriber.measured.is_not(None))).one()
    named = {}
    for path in (folder.path / "outbox" / "new").iterdir():
        data = path.read_bytes()
        html = quopri.decodestring(data.partition(b"Content-Type: text/html")[2]).decode()
        marks = {found.read_mark(token) for token in re.findall(r"/(?:to/\d+|seen|canary)/([0-9a-f]+)", html)}
        (mark,) = marks
        assert mark is not None
        assert mark.issue == issue
        named["ada@" in data.decode().partition("To: ")[2].partition("\r\n")[0]] = mark.subscriber
    assert named == {True: ada, False: None}


def test_a_reader_who_agreed_is_named_in_the_hit_and_nobody_else(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    for agreed in (True, False):
        browser.get(path_of(composed(folder, issue, who=1, agreed=agreed), "to"), headers=FOX)
    assert [hit.subscriber_id for hit in noted(browser, folder)] == [1, None]


@pytest.mark.parametrize("change", ["number", "token", "cut", "issue", "none"])
def test_no_link_can_be_made_to_lead_elsewhere(browser: FlaskClient, sent: Made, change: str) -> None:
    folder, issue = sent
    _, _, number, token = path_of(composed(folder, issue), "to").split("/")
    other = "0" if token[5] != "0" else "1"
    with folder.reading() as session:
        foreign = keys(session, NOW).mark(issue + 1, b"x" * 8)
    tried = {
        "number": f"/to/99/{token}",
        "token": f"/to/{number}/{token[:5]}{other}{token[6:]}",
        "cut": f"/to/{number}/{token[:-2]}",
        "issue": f"/to/{number}/{foreign}",
        "none": f"/to/0/{token}",
    }[change]
    answer = browser.get(tried + "?url=https://evil.example&to=//evil.example", headers=FOX)
    assert answer.status_code == 404
    assert "Location" not in answer.headers
    assert noted(browser, folder) == []


def test_a_link_works_while_the_database_cannot_be_written(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    link = path_of(composed(folder, issue), "to")

    @event.listens_for(folder.engine, "before_cursor_execute")
    def refuse(conn: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            raise OSError("disk full")

    answer = browser.get(link, headers=FOX)
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://example.net/paper?x=1&y=2")
    assert noted(browser, folder) == []
    event.remove(folder.engine, "before_cursor_execute", refuse)


def test_the_pixel_is_a_picture_that_nobody_keeps(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    answer = browser.get(path_of(composed(folder, issue), "seen"), headers=FOX)
    assert answer.data.startswith(b"GIF89a\x01\x00\x01\x00")
    assert answer.mimetype == "image/gif"
    assert answer.headers["Cache-Control"] == "no-store"
    assert [hit.what for hit in noted(browser, folder)] == [HitKind.open]
    assert browser.get("/seen/00ff", headers=FOX).data == answer.data
    assert len(noted(browser, folder)) == 1


@pytest.mark.parametrize("asks", [{"DNT": "1"}, {"Sec-GPC": "1"}])
def test_who_asks_not_to_be_counted_is_not(browser: FlaskClient, sent: Made, asks: dict[str, str]) -> None:
    folder, issue = sent
    html = composed(folder, issue)
    assert browser.get(path_of(html, "to"), headers=FOX | asks).status_code == 302
    browser.get(path_of(html, "seen"), headers=FOX | asks)
    assert noted(browser, folder) == []
    with folder.reading() as session:
        assert session.scalar(select(Ignored)) is None


def test_after_thirty_days_a_link_still_leads_and_is_not_counted(sent: Made) -> None:
    folder, issue = sent
    link = path_of(composed(folder, issue), "to")
    late = make(folder, lambda: NOW + visits.MEASURED_FOR).test_client()
    assert late.get(link, headers=FOX).status_code == 302
    assert noted(late, folder) == []


def test_where_measuring_was_switched_off_since_a_link_still_leads_and_is_not_counted(
    sent: Made, lite_folder: Folder
) -> None:
    folder, issue = sent
    link = path_of(composed(folder, issue), "to")
    off = make(lite_folder, lambda: NOW).test_client()
    assert off.get(link, headers=FOX).status_code == 302
    assert noted(off, folder) == []


def test_what_is_only_looked_at_is_not_measured(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    with folder.reading() as session:
        token = keys(session, NOW).reader(issue, 2)
    shown = browser.get(f"/view/{token}")
    assert shown.status_code == 200
    assert "https://example.net/paper" in shown.text
    assert "/seen/" not in shown.text


def test_a_head_request_is_ignored_and_marks_its_client(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    link = path_of(composed(folder, issue), "to")
    assert browser.head(link, headers=FOX).headers["Location"] == "https://example.net/paper?x=1&y=2"
    browser.get(link, headers=FOX)
    assert [hit.what for hit in noted(browser, folder)] == [HitKind.canary, HitKind.click]
    with folder.session() as session:
        visits.settle(session, NOW + dt.timedelta(hours=2))
        ignored = {row.what: row.times for row in session.scalars(select(Ignored))}
    assert ignored == {"canary": 1, "click": 2}


def test_the_canary_of_a_mail_marks_its_message_and_tells_nobody_anything(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    html = composed(folder, issue)
    known = browser.get(path_of(html, "canary"), headers=FOX)
    unknown = browser.get("/canary/00ff", headers=FOX)
    assert (known.status_code, known.data) == (unknown.status_code, unknown.data) == (200, known.data)
    browser.get(path_of(html, "to"), headers=FOX)
    canary, click = noted(browser, folder)
    assert (canary.what, canary.message) == (HitKind.canary, click.message)


@pytest.mark.parametrize("kind", ["reader", "letter"])
def test_a_canary_stands_for_a_readers_page_or_a_letter_too(browser: FlaskClient, sent: Made, kind: str) -> None:
    folder, _ = sent
    with folder.reading() as session:
        found = keys(session, NOW)
    token = found.reader(1, 2) if kind == "reader" else found.letter(5)
    browser.get(f"/canary/{token}", headers=FOX)
    (hit,) = noted(browser, folder)
    assert hit.message == (visits.message(found, 1, 2) if kind == "reader" else visits.message_of_letter(found, 5))


def test_anyone_can_see_how_much_was_ignored(browser: FlaskClient, sent: Made) -> None:
    folder, _ = sent
    assert "No visit of a program has been ignored yet." in browser.get("/digest/scanners").text
    with folder.session() as session:
        visits.ignore(session, "digest", "click", NOW - dt.timedelta(days=40), 7)
        visits.ignore(session, "digest", "button", NOW, 2)
    shown = browser.get("/digest/scanners").text
    assert "2 visits of programs were ignored this month, 9 ever." in shown
    assert "Buttons pressed" in shown
    assert browser.get("/nowhere/scanners").status_code == 404


def test_the_links_of_an_issue_that_has_not_gone_out_lead_nowhere(browser: FlaskClient, sent: Made) -> None:
    folder, issue = sent
    link = path_of(composed(folder, issue), "to")
    with folder.session() as session:
        session.execute(update(Issue).values(started=None))
    assert browser.get(link, headers=FOX).status_code == 404
