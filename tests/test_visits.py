"""Who made a visit, a person or a program; and what is left of it when that is clear."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st
from ledger import HOUR, MINUTE, SECOND, past, people
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from newsletter import erasure, visits
from newsletter.folder import Folder
from newsletter.models import Hit, Ignored, Interest, Issue, Measure, Seen, Subscriber
from newsletter.states import HitKind
from newsletter.tokens import Keys
from newsletter.visits import Came, Visit, came, hit, settle, signs, suspicious

KEYS = Keys(token=(b"k" * 32,), form=(b"o" * 32,), fingerprint=b"f" * 32)
FOX = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
OPEN, CLICK, PAGE, CANARY = HitKind.open, HitKind.click, HitKind.page, HitKind.canary
LATER = NOW + 2 * HOUR


@pytest.fixture
def session(scratch: Session) -> Session:
    return scratch


@pytest.fixture
def issue(session: Session) -> Issue:
    return past(session, 21, NOW - HOUR)


def followed(
    issue: Issue, link: int | None, message: str = "m", client: str = "c", at: dt.datetime = NOW, who: int | None = None
) -> dict[str, object]:
    what = OPEN if link is None else CLICK
    return hit(what, message, client, at, issue=issue.id, link=link, subscriber=who)


def measures(session: Session) -> dict[tuple[str, int], tuple[int, int]]:
    """(what, link): (times, readers)."""
    session.expire_all()
    return {(row.what.value, row.link): (row.times, row.readers) for row in session.scalars(select(Measure))}


def ignored(session: Session) -> dict[str, int]:
    return dict(session.execute(select(Ignored.what, func.sum(Ignored.times)).group_by(Ignored.what)).all())


def left(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Hit)) or 0


def test_opens_and_clicks_of_people_are_counted_in_sum_and_the_hits_are_gone(session: Session, issue: Issue) -> None:
    visits.record(
        session,
        [
            followed(issue, None, "ada"),
            followed(issue, None, "ada", at=NOW + MINUTE),
            followed(issue, None, "grace"),
            followed(issue, 3, "ada"),
            followed(issue, 3, "grace"),
            followed(issue, 4, "ada", at=NOW + 5 * SECOND),
        ],
    )
    assert settle(session, LATER) == 2
    assert measures(session) == {
        ("open", 0): (3, 2),
        ("click", 0): (3, 2),
        ("click", 3): (2, 2),
        ("click", 4): (1, 1),
    }
    assert left(session) == 0
    assert ignored(session) == {}


def test_a_reader_who_comes_back_later_counts_once_among_readers(session: Session, issue: Issue) -> None:
    for hours in range(3):
        visits.record(session, [followed(issue, 3, at=NOW + hours * HOUR)])
        settle(session, NOW + hours * HOUR + 20 * MINUTE)
    assert measures(session)["click", 3] == (3, 1)


def test_hits_wait_until_their_message_has_been_quiet_for_a_quarter_of_an_hour(session: Session, issue: Issue) -> None:
    visits.record(session, [followed(issue, 3), followed(issue, 4, at=NOW + 14 * MINUTE)])
    assert settle(session, NOW + 20 * MINUTE) == 0
    assert left(session) == 2
    assert settle(session, NOW + 29 * MINUTE) == 1


def test_no_hit_is_kept_for_more_than_an_hour_however_busy_its_message_is(session: Session, issue: Issue) -> None:
    visits.record(session, [followed(issue, 3, at=NOW + n * 5 * MINUTE) for n in range(13)])
    assert settle(session, NOW + HOUR) == 1
    assert left(session) == 0


@pytest.mark.parametrize("minutes", [-10, -1, 0, 1, 10])
def test_who_follows_the_canary_is_not_counted_ten_minutes_before_and_after(
    session: Session, issue: Issue, minutes: int
) -> None:
    canary = hit(CANARY, "m", "c", NOW + minutes * MINUTE, issue=issue.id)
    visits.record(session, [followed(issue, 3), followed(issue, None), canary])
    settle(session, LATER)
    assert measures(session) == {}
    assert ignored(session) == {"click": 1, "open": 1, "canary": 1}
    assert session.scalars(select(Ignored.publication)).first() == "digest"


def test_the_canary_says_nothing_about_other_clients_other_messages_and_other_hours(
    session: Session, issue: Issue
) -> None:
    visits.record(
        session,
        [
            hit(CANARY, "m", "scanner", NOW, issue=issue.id),
            followed(issue, 3, "m", "person"),
            followed(issue, 3, "other", "scanner"),
            followed(issue, 5, "m", "scanner", NOW + 11 * MINUTE),
        ],
    )
    settle(session, LATER)
    assert measures(session)["click", 3] == (2, 2)
    assert measures(session)["click", 5] == (1, 1)


def test_who_follows_three_links_within_two_seconds_is_a_program(session: Session, issue: Issue) -> None:
    visits.record(session, [followed(issue, link, at=NOW + link * SECOND / 2) for link in (1, 2, 3)])
    visits.record(session, [followed(issue, 7, at=NOW + 5 * MINUTE)])
    settle(session, LATER)
    assert measures(session) == {}
    assert ignored(session) == {"click": 4}


def test_a_gateway_that_takes_turns_between_networks_is_seen_too(session: Session, issue: Issue) -> None:
    visits.record(session, [followed(issue, link, client=f"c{link}") for link in (1, 2, 3)])
    settle(session, LATER)
    assert measures(session) == {}


def test_a_person_who_follows_one_link_thrice_or_three_links_slowly_is_none(session: Session, issue: Issue) -> None:
    visits.record(session, [followed(issue, 1, "a", at=NOW + n * SECOND / 3) for n in range(3)])
    visits.record(session, [followed(issue, n, "b", at=NOW + n * 2 * SECOND) for n in (1, 2, 3)])
    settle(session, LATER)
    assert measures(session)["click", 0] == (6, 2)


def test_pages_are_never_counted_only_judged(session: Session, issue: Issue) -> None:
    visits.note(session, KEYS, PAGE, issue.id, 5, "c", NOW)
    visits.note(session, KEYS, PAGE, None, 6, "d", NOW)
    visits.note(session, KEYS, CANARY, None, 6, "d", NOW)
    settle(session, LATER)
    assert measures(session) == {}
    assert ignored(session) == {"page": 1, "canary": 1}


def test_what_is_kept_by_name_is_kept_only_of_who_agrees_when_it_is_written(session: Session, issue: Issue) -> None:
    ada, grace = people(session, ["ada@example.org", "grace@example.org"])
    session.execute(update(Subscriber).where(Subscriber.id == ada).values(measured=NOW - HOUR))
    for who in (ada, grace):
        visits.record(
            session,
            [followed(issue, 3, f"m{who}", who=who, at=NOW + n * MINUTE) for n in range(2)]
            + [followed(issue, None, f"m{who}", who=who)],
        )
    settle(session, LATER)
    kept = session.scalars(select(Interest).order_by(Interest.what)).all()
    assert [(row.subscriber_id, row.what.value, row.link, row.at) for row in kept] == [
        (ada, "click", 3, NOW),
        (ada, "open", 0, NOW),
    ]
    assert measures(session)["click", 3] == (4, 2)


def test_after_thirty_days_nothing_tells_one_message_from_another(session: Session, issue: Issue) -> None:
    visits.record(session, [followed(issue, 3)])
    settle(session, LATER)
    assert session.scalar(select(func.count()).select_from(Seen)) == 2
    settle(session, NOW - HOUR + visits.MEASURED_FOR)
    assert session.scalar(select(func.count()).select_from(Seen)) == 0
    assert measures(session)["click", 3] == (1, 1)


def test_many_messages_are_settled_a_stretch_at_a_time(
    session: Session, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "AT_A_TIME", 10)
    visits.record(session, [followed(issue, 1, f"m{n}") for n in range(25)])
    assert [settle(session, LATER) for _ in range(4)] == [10, 10, 5, 0]
    assert measures(session)["click", 1] == (25, 25)


@pytest.mark.parametrize(
    ("where", "when", "told"),
    [
        ("m", "c", True),
        ("other", "c", True),
        ("m", "other", True),
        ("other", "other", False),
    ],
)
def test_a_button_is_suspicious_where_the_canary_was_followed(
    session: Session, where: str, when: str, told: bool
) -> None:
    visits.record(session, [hit(CANARY, where, when, NOW - 30 * SECOND)])
    assert suspicious(session, "m", "c", NOW) is told


def test_suspicion_passes(session: Session) -> None:
    visits.record(session, [hit(CANARY, "m", "other", NOW - 2 * MINUTE), hit(CANARY, "m", "c", NOW - 11 * MINUTE)])
    assert not suspicious(session, "m", "c", NOW)


def test_a_button_is_suspicious_where_links_were_taken_all_at_once(session: Session, issue: Issue) -> None:
    visits.record(session, [followed(issue, link, at=NOW - SECOND) for link in (1, 2)])
    assert not suspicious(session, "m", "c", NOW)
    visits.record(session, [followed(issue, 3, at=NOW - SECOND)])
    assert suspicious(session, "m", "c", NOW)
    assert not suspicious(session, "m", "person", NOW)


@pytest.mark.parametrize(
    ("method", "headers", "what", "told"),
    [
        ("GET", {"User-Agent": FOX}, CLICK, Came.person),
        ("HEAD", {"User-Agent": FOX}, CLICK, Came.program),
        ("GET", {"User-Agent": FOX, "Sec-Purpose": "prefetch;prerender"}, CLICK, Came.ahead),
        ("GET", {"User-Agent": FOX, "Purpose": "prefetch"}, CLICK, Came.ahead),
        ("GET", {"User-Agent": FOX, "X-Moz": "prefetch"}, CLICK, Came.ahead),
        ("GET", {"User-Agent": FOX, "DNT": "1"}, CLICK, Came.unwatched),
        ("GET", {"User-Agent": FOX, "Sec-GPC": "1"}, OPEN, Came.unwatched),
        ("GET", {}, CLICK, Came.ahead),
        ("GET", {"User-Agent": "Mozilla/5.0"}, OPEN, Came.ahead),
        ("GET", {"User-Agent": "Mozilla/5.0"}, CLICK, Came.person),
        ("GET", {"User-Agent": "curl/8.5.0"}, CLICK, Came.ahead),
        ("GET", {"User-Agent": "Mozilla/5.0 (compatible; bingbot/2.0)"}, CLICK, Came.ahead),
        ("GET", {"User-Agent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"}, OPEN, Came.person),
    ],
)
def test_what_a_request_says_of_itself(method: str, headers: dict[str, str], what: HitKind, told: Came) -> None:
    assert came(method, headers, what) is told


def test_a_client_is_a_network_and_a_name_and_neither_can_be_read() -> None:
    one = visits.client(KEYS, "192.0.2.7", FOX)
    assert one == visits.client(KEYS, "192.0.2.99", FOX) == visits.client(KEYS, "::ffff:192.0.2.1", FOX)
    assert one != visits.client(KEYS, "192.0.3.7", FOX)
    assert one != visits.client(KEYS, "192.0.2.7", "other")
    assert visits.client(KEYS, "2001:db8:1::1", FOX) == visits.client(KEYS, "2001:db8:1:ffff::2", FOX)
    assert len(one) == 32
    assert "192" not in bytes.fromhex(one).decode("latin-1")
    assert visits.client(KEYS, None, None) == visits.client(KEYS, "", "")


def test_what_is_ignored_on_a_day_adds_up(session: Session) -> None:
    for times in (1, 2):
        visits.ignore(session, "digest", "form", NOW, times)
    visits.ignore(session, "digest", "form", NOW + dt.timedelta(days=1))
    assert ignored(session) == {"form": 4}
    assert session.scalar(select(func.count()).select_from(Ignored)) == 2


moments = st.integers(0, 15).map(lambda seconds: NOW + seconds * SECOND)
some_visits = st.lists(
    st.builds(
        Visit, moments, st.sampled_from([OPEN, CLICK, CLICK, PAGE, CANARY]), st.integers(1, 4), st.sampled_from("abc")
    ),
    max_size=12,
)


@given(some_visits)
def test_signs_are_what_they_are_said_to_be(made: Sequence[Visit]) -> None:
    """Against the plainest way of saying it: every two seconds that begin with a visit."""
    expected = {(visit.client, visit.at) for visit in made if visit.what is CANARY}
    followed = [visit for visit in made if visit.what in (CLICK, PAGE)]
    for start in followed:
        burst = [visit for visit in followed if start.at <= visit.at <= start.at + visits.AT_ONCE]
        if len({(visit.what, visit.link) for visit in burst}) >= visits.MANY:
            expected |= {(visit.client, visit.at) for visit in burst}
    assert {(client, at) for client, times in signs(made).items() for at in times} == expected


def test_there_is_something_to_settle_only_when_a_hit_is_old_enough(session: Session, issue: Issue) -> None:
    assert not visits.due(session, NOW)
    visits.record(session, [followed(issue, 3)])
    assert not visits.due(session, NOW + 14 * MINUTE)
    assert visits.due(session, NOW + 15 * MINUTE)
    settle(session, NOW + 15 * MINUTE)
    assert not visits.due(session, NOW + 20 * MINUTE)
    assert visits.due(session, NOW - HOUR + visits.MEASURED_FOR)


def test_the_bell_settles_what_is_due(lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        issue = past(session, 21, NOW - HOUR)
        visits.record(session, [followed(issue, 3)])
    from newsletter.scheduler import Bell

    Bell(lite_folder, lambda: LATER, print).ring()
    with lite_folder.reading() as session:
        assert measures(session)["click", 3] == (1, 1)
        assert left(session) == 0


def test_who_takes_it_back_or_is_erased_leaves_nothing_by_name(session: Session, issue: Issue) -> None:
    (ada,) = people(session, ["ada@example.org"])
    session.execute(update(Subscriber).where(Subscriber.id == ada).values(measured=NOW - HOUR))
    visits.record(session, [followed(issue, 3, who=ada)])
    settle(session, LATER)
    visits.record(session, [followed(issue, 4, who=ada, at=LATER)])
    erasure.clear(session, session.get_one(Subscriber, ada), LATER)
    settle(session, LATER + HOUR)
    assert session.scalar(select(Interest)) is None
    assert measures(session)["click", 0] == (2, 1)
