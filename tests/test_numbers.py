"""The numbers of a publication, from rows to page: they add up, and name nobody."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from conftest import CONFIG, NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger import DAY, HOUR, past
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from newsletter import config, numbers, visits
from newsletter.cli import newsletter
from newsletter.folder import Folder
from newsletter.growth import Moment, growth, moments
from newsletter.models import (
    Departure,
    Issue,
    Key,
    List,
    Measure,
    Rendition,
    Return,
    Subscriber,
    Subscription,
    Suppression,
)
from newsletter.states import HitKind, LeftBy, RenditionKind, ReturnKind, SubscriptionState, SuppressionReason
from newsletter.tokens import keys, rotate
from newsletter.web import make
from newsletter.web.numbers import key, read_key

DIGEST = config.decode(CONFIG, Path("config.toml")).publications["digest"]
ACTIVE, UNSUBSCRIBED, PENDING = SubscriptionState.active, SubscriptionState.unsubscribed, SubscriptionState.pending


@pytest.fixture
def session(scratch: Session) -> Session:
    scratch.add(List(id=1, slug="alliance-digest", title="Digest"))
    scratch.flush()
    return scratch


def join(
    session: Session,
    number: int,
    joined: dt.datetime | None,
    left: dt.datetime | None = None,
    suppressed: dt.datetime | None = None,
    *,
    erased: dt.datetime | None = None,
    since: dt.datetime | None = None,
    state: SubscriptionState | None = None,
) -> None:
    """A subscriber as they are kept, whatever happened to them."""
    address = None if erased else f"r{number}@d{number % 3}.example"
    session.add(
        Subscriber(
            id=number,
            address=address,
            address_key=address,
            fingerprint=f"{number}",
            created=joined or NOW,
            erased=erased,
            attributes={},
        )
    )
    session.flush()
    if not erased:
        state = state or (UNSUBSCRIBED if left else ACTIVE)
        session.add(
            Subscription(
                subscriber_id=number, list_id=1, state=state, since=since or left or joined or NOW, joined=joined
            )
        )
    if suppressed:
        session.add(Suppression(fingerprint=f"{number}", reason=SuppressionReason.bounce, since=suppressed))
    session.flush()


def depart(session: Session, number: int, at: dt.datetime, **more: object) -> None:
    values = {"publication": "digest", "lists": "alliance-digest", "by": LeftBy.page, "reason": "", **more}
    session.execute(insert(Departure), [{"subscriber_id": number, "at": at, **values}])


LOOKED_AT = (
    Moment("2.19", NOW - 28 * DAY),
    Moment("2.20", NOW - 14 * DAY),
    Moment("2.21", NOW - DAY),
    Moment("now", NOW),
)


def curve(session: Session, looked_at: tuple[Moment, ...] = LOOKED_AT) -> list[int]:
    (found,) = growth(session, ["alliance-digest"], looked_at)
    active = found.at_first
    for period in found.periods:
        active += period.joined - period.left - period.suppressed
        assert active == period.active
    assert active == found.active
    return [found.at_first, *(period.active for period in found.periods)]


def test_a_list_grows_by_who_joins_and_shrinks_by_who_leaves_or_is_suppressed(session: Session) -> None:
    join(session, 1, NOW - 100 * DAY)
    join(session, 2, NOW - 20 * DAY)
    join(session, 3, NOW - 90 * DAY, left=NOW - 10 * DAY)
    join(session, 4, NOW - 90 * DAY, suppressed=NOW - 2 * HOUR)
    join(session, 5, NOW - 90 * DAY, left=NOW - 80 * DAY)
    join(session, 6, None, state=PENDING)
    join(session, 7, None, state=UNSUBSCRIBED)
    assert curve(session) == [3, 4, 3, 2]
    (found,) = growth(session, ["alliance-digest"], LOOKED_AT)
    assert [(p.label, p.joined, p.left, p.suppressed) for p in found.periods] == [
        ("2.20", 1, 0, 0),
        ("2.21", 0, 1, 0),
        ("now", 0, 0, 1),
    ]


def test_who_left_and_came_back_was_away_meanwhile(session: Session) -> None:
    join(session, 1, NOW - 100 * DAY, since=NOW - 5 * DAY)
    depart(session, 1, NOW - 20 * DAY)
    assert curve(session) == [1, 0, 1, 1]


def test_a_departure_that_was_taken_back_is_none(session: Session) -> None:
    join(session, 1, NOW - 100 * DAY, since=NOW - 20 * DAY)
    depart(session, 1, NOW - 20 * DAY - HOUR, undone=NOW - 20 * DAY)
    assert curve(session) == [1, 1, 1, 1]


def test_the_erased_are_counted_until_they_went(session: Session) -> None:
    join(session, 1, NOW - 100 * DAY, erased=NOW - 5 * DAY)
    depart(session, 1, NOW - 5 * DAY)
    assert curve(session) == [1, 1, 0, 0]


events = st.lists(
    st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)), st.one_of(st.none(), st.integers(0, 60))),
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events)
def test_the_curve_is_what_counting_heads_at_each_moment_gives(
    session: Session, people: list[tuple[int, int | None, int | None]]
) -> None:
    for table in (Subscription, Suppression, Subscriber):
        session.execute(delete(table))
    heads = []
    for number, (came, stayed, well) in enumerate(people, 1):
        # Whole hours off the moments: an hour is as exactly as it is told.
        joined = NOW - came * DAY - 2 * HOUR
        left = None if stayed is None else min(joined + stayed * DAY, NOW)
        suppressed = None if well is None or left else min(joined + well * DAY, NOW)
        join(session, number, joined, left, suppressed)
        heads.append((joined, min(filter(None, (left, suppressed)), default=None)))
    expected = [
        sum(joined <= moment.at and (gone is None or gone > moment.at) for joined, gone in heads)
        for moment in LOOKED_AT[:-1]
    ]
    assert curve(session) == [*expected, sum(gone is None for _, gone in heads)]


def test_before_the_second_issue_months_are_looked_at() -> None:
    found = moments([("2.21", NOW - DAY)], DIGEST, NOW)
    assert [moment.label for moment in found[-3:]] == ["Oct 2023", "Nov 2023", "now"]
    assert found[-2].at == dt.datetime(2023, 11, 1, 4, tzinfo=dt.UTC)
    assert len(found) == 13


def filled(session: Session) -> None:
    """A publication with a past, on a database that has its list."""
    for number, days in ((19, 28), (20, 14), (21, 1)):
        past(session, number, NOW - days * DAY, sent=10 + number, failed=2)
    ids = {issue.number: issue.id for issue in session.scalars(select(Issue))}
    for number in range(1, 9):
        join(session, number, NOW - number * 5 * DAY, left=NOW - 3 * DAY if number in (2, 4) else None)
    depart(session, 2, NOW - 3 * DAY, issue_id=ids[20], by=LeftBy.one_click, reason="=Too many mails")
    depart(session, 4, NOW - 3 * DAY, issue_id=ids[20], by=LeftBy.page)
    depart(session, 5, NOW - 2 * DAY, issue_id=ids[20], undone=NOW - 2 * DAY + HOUR, reason="a slip")
    depart(session, 6, NOW - 2 * DAY, publication="other", reason="not ours")
    for number, kind, days in (
        (1, ReturnKind.hard, 12),
        (2, ReturnKind.soft, 12),
        (3, ReturnKind.soft, 1),
        (4, ReturnKind.complaint, 1),
        (5, ReturnKind.reply, 1),
        (6, ReturnKind.hard, 100),
    ):
        session.add(
            Return(
                at=NOW - days * DAY,
                source="stdin",
                digest=f"{number}",
                kind=kind,
                subscriber_id=number,
                issue_id=ids[20],
                done="",
            )
        )
    session.flush()
    session.add(Measure(issue_id=ids[20], what=HitKind.open, link=0, times=9, readers=5))
    session.add(Measure(issue_id=ids[20], what=HitKind.click, link=0, times=4, readers=3))
    session.add(Measure(issue_id=ids[20], what=HitKind.click, link=2, times=3, readers=2))
    session.add(
        Rendition(
            issue_id=ids[20],
            kind=RenditionKind.html,
            content=b'<a href="https://a.example/">a</a><a href="https://b.example/?x=1&amp;y=2">b</a>',
            sha256="",
            made=NOW,
        )
    )
    visits.ignore(session, "digest", "click", NOW, 2)
    visits.ignore(session, "digest", "click", NOW - 60 * DAY, 5)
    visits.ignore(session, "other", "click", NOW, 50)
    session.flush()


def test_all_numbers_of_a_publication(session: Session) -> None:
    filled(session)
    found = numbers.of(session, "digest", DIGEST, NOW)
    assert found.measures == ()
    assert [(each.label, each.due, dict(each.counts)) for each in found.issues] == [
        ("2.21", 33, {"sent": 31, "failed": 2}),
        ("2.20", 32, {"sent": 30, "failed": 2}),
        ("2.19", 31, {"sent": 29, "failed": 2}),
    ]
    twenty = found.issues[1]
    assert (twenty.left, twenty.complaints, twenty.hard) == (2, 1, 2)
    assert (twenty.opened, twenty.followed) == ((9, 5), (4, 3))
    assert [(link.number, link.url, link.readers) for link in twenty.links] == [(2, "https://b.example/?x=1&y=2", 2)]
    assert found.issues[0].opened is None
    assert dict(found.returns) == {"soft": 2, "complaint": 1, "hard": 1, "reply": 1}
    assert {name: dict(each) for name, each in found.domains.items()} == {
        "d1.example": {"hard": 1, "complaint": 1},
        "d0.example": {"soft": 1},
        "d2.example": {"soft": 1},
    }
    assert dict(found.doors) == {"one-click": 1, "page": 1}
    assert found.undone == 1
    assert [(reason.issue, reason.words) for reason in found.reasons] == [("2.20", "=Too many mails")]
    assert dict(found.ignored) == {"click": (2, 7)}


def test_an_issue_of_before_the_measuring_is_not_said_to_be_opened_by_nobody(session: Session) -> None:
    filled(session)
    past(session, 18, NOW - 45 * DAY, sent=5)
    measuring = msgspec.structs.replace(DIGEST, measure_opens=True)
    found = numbers.of(session, "digest", measuring, NOW)
    assert found.measures == ("opens",)
    assert [each.opened for each in found.issues] == [(0, 0), (9, 5), (0, 0), None]


def test_what_was_counted_of_an_issue_is_counted_again_when_an_uncertain_one_is_resolved(session: Session) -> None:
    issue = past(session, 21, NOW - DAY, sent=3, uncertain=1)
    assert numbers._deliveries(session, issue) == {"sent": 3, "uncertain": 1}
    from newsletter.models import Delivery
    from newsletter.states import DeliveryState

    session.execute(update(Delivery).where(Delivery.state == DeliveryState.uncertain).values(state=DeliveryState.sent))
    assert numbers._deliveries(session, issue) == {"sent": 4}


def test_many_domains_are_the_largest_and_the_others(session: Session) -> None:
    past(session, 20, NOW - 30 * DAY)
    past(session, 21, NOW - 28 * DAY)
    for number in range(1, 16):
        join(session, number, NOW - 50 * DAY)
        session.execute(update(Subscriber).where(Subscriber.id == number).values(address_key=f"x@d{number:02}.example"))
        session.add(
            Return(
                at=NOW - DAY, source="stdin", digest=f"{number}", kind=ReturnKind.soft, subscriber_id=number, done=""
            )
        )
    session.flush()
    found = numbers.of(session, "digest", DIGEST, NOW).domains
    assert list(found)[:2] == ["d01.example", "d02.example"]
    assert len(found) == numbers.LARGEST + 1
    assert found["5 others"] == {"soft": 5}


@pytest.fixture
def told(lite_folder: Folder) -> Folder:
    with lite_folder.session() as session:
        session.add(List(id=1, slug="alliance-digest", title="Digest"))
        session.flush()
        filled(session)
    return lite_folder


def test_the_page_is_behind_a_key_that_expires(told: Folder) -> None:
    with told.session() as session:
        secrets = keys(session, NOW)
    good = key(secrets, "digest", NOW + DAY)
    answer = make(told, lambda: NOW).test_client().get(f"/numbers/{good}")
    assert answer.status_code == 200
    assert "style=" not in answer.text
    assert "<script" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert make(told, lambda: NOW + DAY).test_client().get(f"/numbers/{good}").status_code == 404
    for bad in (good[:-1], good[:-3] + "AAA", good.replace("digest", "other"), "digest~ffffffff", good + "x"):
        assert make(told, lambda: NOW).test_client().get(f"/numbers/{bad}").status_code == 404, bad


def test_a_key_of_a_replaced_secret_still_opens_and_a_readers_token_does_not(told: Folder) -> None:
    with told.session() as session:
        old = key(keys(session, NOW), "digest", NOW + DAY)
        rotate(session, NOW)
        secrets = keys(session, NOW)
        assert session.scalars(select(Key).where(Key.purpose == "form")).all()
    assert read_key(secrets, old, NOW) == ("digest", NOW + DAY)
    assert read_key(secrets, secrets.reader(1, 2), NOW) is None


def test_the_page_names_no_reader(told: Folder) -> None:
    with told.session() as session:
        secrets = keys(session, NOW)
    browser = make(told, lambda: NOW).test_client()
    here = f"/numbers/{key(secrets, 'digest', NOW + DAY)}"
    everything = browser.get(here).text + "".join(
        browser.get(f"{here}/{name}.csv").get_data(as_text=True) for name in numbers.TABLES
    )
    assert not re.search(r"r\d@", everything)
    assert "=Too many mails" in everything


def test_each_table_is_a_csv_file_that_no_spreadsheet_runs(told: Folder) -> None:
    with told.session() as session:
        secrets = keys(session, NOW)
    browser = make(told, lambda: NOW).test_client()
    here = f"/numbers/{key(secrets, 'digest', NOW + DAY)}"
    page = browser.get(here).text
    for name in numbers.TABLES:
        assert f'href="{here}/{name}.csv"' in page
        answer = browser.get(f"{here}/{name}.csv")
        assert answer.mimetype == "text/csv"
        rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))
        assert len({len(row) for row in rows}) == 1
        if name == "reasons":
            assert rows == [["day", "issue", "reason"], ["2023-11-10", "2.20", "'=Too many mails"]]
    assert browser.get(f"{here}/people.csv").status_code == 404


class Page(HTMLParser):
    """What a page fetches, and its plots."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.plots: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("link", "img", "script", "iframe"):
            self.fetched.append(str(found))
        if tag == "svg":
            assert found["role"] == "img"
            self.plots.append(str(found["aria-label"]))


def test_the_page_as_a_file_needs_nothing_else(told: Folder, tmp_path: Path) -> None:
    file = tmp_path / "numbers.html"
    said = CliRunner().invoke(
        newsletter, ["-C", str(told.path), "numbers", "show", "--html", str(file), "--at", NOW.isoformat()]
    )
    assert said.exit_code == 0, said.output
    page = Page()
    page.feed(file.read_text("utf-8"))
    assert page.fetched == []
    assert page.plots[0] == "Digest: 6: 3 more than at 2.19."
    assert len(page.plots) >= 5
    assert ".csv" not in file.read_text("utf-8")


def test_the_terminal_tells_the_same_and_machines_get_json(told: Folder) -> None:
    def typed(*words: str) -> str:
        said = CliRunner().invoke(newsletter, ["-C", str(told.path), "numbers", *words, "--at", NOW.isoformat()])
        assert said.exit_code == 0, said.output
        return said.stdout

    shown = typed("show")
    assert "Digest  6: 3 more than at 2.19." in shown
    assert "Opens and clicks are not measured for this publication." in shown
    assert "7 visits of programs were ignored, 2 this month." in shown
    assert json.loads(typed("show", "--json"))["doors"] == {"one-click": 1, "page": 1}
    assert typed("show", "--csv", "doors").splitlines()[1:] == ["one-click,1", "page,1"]
    url = json.loads(typed("link", "--days", "2", "--json"))["url"]
    assert url.startswith("https://digest.example.org/numbers/digest~")
    later = make(told, lambda: NOW + 2 * DAY - HOUR).test_client()
    assert later.get(url.removeprefix("https://digest.example.org")).status_code == 200


def test_an_empty_publication_has_a_page_too(lite_folder: Folder, tmp_path: Path) -> None:
    with lite_folder.session() as session:
        good = key(keys(session, NOW), "digest", NOW + DAY)
    answer = make(lite_folder, lambda: NOW).test_client().get(f"/numbers/{good}")
    assert answer.status_code == 200, answer.text
    for words in ("No issue has gone out yet.", "Nothing came back.", "Nobody left.", "None yet."):
        assert words in answer.text
