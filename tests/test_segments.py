"""Segments: expressions read, meant the same in Python and on both databases, counted, and gone by."""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from click.testing import CliRunner
from conftest import CONFIG, NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_suppressions import sending

from newsletter import config, dispatch, issues, scheduler, segments
from newsletter.addresses import checked
from newsletter.cli import newsletter
from newsletter.cli.doctor_checks import check
from newsletter.config import Publication
from newsletter.dns_records import Level
from newsletter.errors import ConfigMistake, IssueMistake, ListMistake, Mistake, SegmentMistake
from newsletter.folder import Folder
from newsletter.models import Delivery, Interest, Issue, List, Subscriber, Subscription
from newsletter.segments.expressions import (
    Both,
    Either,
    Engaged,
    Expression,
    How,
    Joined,
    JoinedWithin,
    Measured,
    Not,
    Of,
    OnList,
    Text,
)
from newsletter.states import HitKind, IssueState, SubscriptionState

ATTRIBUTES = ("city", "plan", "joined")
NEW_YORK = ZoneInfo("America/New_York")
DAY = dt.timedelta(days=1)


def digest(**changes: Any) -> Publication:
    found = config.decode(CONFIG, Path("config.toml")).publications["digest"]
    return msgspec.structs.replace(found, measure_opens=True, measure_clicks=True, measure_readers=True, **changes)


# ---- reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("city is 'Tokyo'", Text(Of.attribute, How.one_of, ("Tokyo",), "city")),
        ("CITY IS NOT 'Tokyo'", Not(Text(Of.attribute, How.one_of, ("Tokyo",), "city"))),
        ("city in ('a', \"b\")", Text(Of.attribute, How.one_of, ("a", "b"), "city")),
        ("city not in ('a')", Not(Text(Of.attribute, How.one_of, ("a",), "city"))),
        ("city is 'O''Brien'", Text(Of.attribute, How.one_of, ("O'Brien",), "city")),
        ("city contains 'kyo'", Text(Of.attribute, How.contains, ("kyo",), "city")),
        ("city starts with 'T'", Text(Of.attribute, How.starts, ("T",), "city")),
        ("domain ends with '.go.jp'", Text(Of.domain, How.ends, (".go.jp",))),
        ("domain is 'Bücher.example'", Text(Of.domain, How.one_of, ("xn--bcher-kva.example",))),
        ("city is known", Text(Of.attribute, How.known, (), "city")),
        ("name is unknown", Not(Text(Of.name, How.known))),
        ("attribute joined is 'x'", Text(Of.attribute, How.one_of, ("x",), "joined")),
        ("joined before 2024-01-01", Joined(end=dt.date(2024, 1, 1))),
        ("joined after 2023-12-31", Joined(first=dt.date(2024, 1, 1))),
        ("joined on 2023-06-01", Joined(dt.date(2023, 6, 1), dt.date(2023, 6, 2))),
        ("joined on or after 2023-06-01", Joined(first=dt.date(2023, 6, 1))),
        ("joined on or before 2023-06-01", Joined(end=dt.date(2023, 6, 2))),
        ("joined within 2 weeks", JoinedWithin(14)),
        ("list 'invitations'", OnList("invitations")),
        ("clicked within 1 day", Engaged(HitKind.click, 1)),
        ("measured", Measured()),
        ("city is 'e\u0301'", Text(Of.attribute, How.one_of, ("é",), "city")),
        (
            "measured or city is known and not (name is known or list 'x')",
            Either(
                (
                    Measured(),
                    Both(
                        (
                            Text(Of.attribute, How.known, (), "city"),
                            Not(Either((Text(Of.name, How.known), OnList("x")))),
                        )
                    ),
                )
            ),
        ),
    ],
)
def test_an_expression_says_what_it_says(text: str, expected: Expression) -> None:
    assert segments.parse(text, ATTRIBUTES) == expected


@pytest.mark.parametrize(
    ("text", "marked", "words"),
    [
        ("citty is 'Tokyo'", "citty", "Did you mean city?"),
        ("city is Tokyo", "Tokyo", "Write it in quotes: 'Tokyo'."),
        ("city = 'Tokyo'", "=", 'Write "is".'),
        ("city is 'Tok", "'", "not closed"),
        ("city is ‘Tokyo’", "‘", "straight quotation marks"),
        ("city is ''", "''", 'Write "is known" or "is unknown"'),
        ("city is 'a\x00'", "'a�'", "control character (U+0000)"),
        ("city is 'a\nb'", "'a b'", "line break"),
        ("city is \udc80", "�", "U+DC80"),
        ("city sounds like 'x'", "sounds", '"starts with"'),
        ("city starts 'x'", "'x'", '"with" is expected'),
        ("city is 'a' city is 'b'", "city", 'joined by "and" or "or"'),
        ("(city is 'a'", "(", "this parenthesis is not closed"),
        ("city is 'a')", ")", "never opened"),
        ("city is 'a' and", "", "it ends here"),
        ("and city is 'a'", "and", "there is no test before this and"),
        ("", "", "there is nothing in it"),
        ("joined before 2024-02-30", "2024-02-30", "there is no 2024-02-30"),
        ("joined before 0024-01-01", "0024-01-01", "1970 to 2999"),
        ("joined before 01/02/2024", "01/02/2024", "2024-01-31"),
        ("joined before '2024-01-01'", "'2024-01-01'", "without quotes"),
        ("joined befor 2024-01-01", "befor", '"before"'),
        ("joined within 3 months", "months", "days or weeks"),
        ("joined within 0 days", "0", "no length of time"),
        ("joined within 99999999999999 days", "99999999999999", "no length of time"),
        ("list invitations", "invitations", "in quotes"),
        ("opened 90 days", "90", '"within" is expected'),
        ("domain contains 'ü'", "'ü'", "domain as DNS writes it"),
        ("domain is 'x y'", "'x y'", "DNS"),
        ("city in ()", ")", "a text in quotes"),
        ("city in ('a'", "", "closing parenthesis"),
        ("(" * 60 + "measured" + ")" * 60, "(", "more than 40 levels"),
        ("not " * 60 + "measured", "not", "more than 40 levels"),
        ("東京 is 'x'", "東京", "there is no attribute"),
    ],
)
def test_what_is_wrong_is_marked_and_what_would_be_right_is_said(text: str, marked: str, words: str) -> None:
    with pytest.raises(SegmentMistake) as found:
        segments.parse(text, ATTRIBUTES)
    assert words in str(found.value)
    line, under = found.value.marked
    before = len(under) - len(under.lstrip())
    if marked:
        # Where a letter takes two columns, so do the marks.
        assert unicodedata.normalize("NFC", line).find(marked, max(0, before - 6)) >= 0
        assert line[before : before + len(marked)] == marked
    assert set(under.strip()) == {"^"}


def test_an_expression_has_an_end() -> None:
    assert segments.parse("city is '" + "x" * 1980 + "'", ATTRIBUTES)
    with pytest.raises(SegmentMistake, match="2,001 characters long"):
        segments.parse("city is '" + "x" * 1991 + "'", ATTRIBUTES)


@given(
    st.text(
        alphabet=st.sampled_from("city is not in and or ( ) , '\" a joined before within days 20-1\n\0é東\udc80"),
        max_size=80,
    )
)
def test_whatever_is_written_is_an_expression_or_a_sentence(text: str) -> None:
    said = "."
    try:
        segments.parse(text, ATTRIBUTES)
    except SegmentMistake as mistake:
        said = str(mistake)
    assert said[-1] in ".?!"


# ---- the same on both databases as in Python


@dataclass
class Person:
    """A subscriber, as the tests see them."""

    address: str
    name: str
    language: str
    attributes: dict[str, str]
    joined: dict[str, dt.datetime | None]
    """By list; those that they are active on are in `active`."""
    active: set[str]
    opened: dict[HitKind, dt.datetime] = field(default_factory=dict)
    measured: bool = False


VALUES = (
    "Tokyo", "TOKYO", "東京", "Zürich", "ZÜRICH", "zu\u0308rich", "İstanbul", "istanbul", "ΣΊΣΥΦΟΣ", "σίσυφος",
    "Москва", "МОСКВА", "50% off", "50x off", "a_b", "aXb", "a/b", "a\\b", "O'Brien", 'say "x"', "Straße", "STRASSE",
    "\u212aelvin", "ǅ", "ﬁn", "", " ", "null", "0",
)  # fmt: skip
texts = st.sampled_from(VALUES) | st.text(alphabet="aAbB%_/\\'\"éÉĸßıIİ東", max_size=3)
kept = texts.map(lambda text: unicodedata.normalize("NFC", text.strip()))
asked = texts.map(lambda text: unicodedata.normalize("NFC", text)).filter(str.strip)
LISTS = ("alliance-digest", "invitations")
moments = st.datetimes(dt.datetime(2023, 9, 1), dt.datetime(2023, 11, 13)).map(lambda each: each.replace(tzinfo=dt.UTC))
days = st.dates(dt.date(2023, 8, 30), dt.date(2023, 11, 15))

people = st.builds(
    Person,
    address=st.sampled_from(["a@example.org", "b@Sub.Example.org", "org@bücher.example", "x_y%@xn--80ak.test.org"]),
    name=kept,
    language=st.sampled_from(["", "ja", "en-GB", "EN"]),
    attributes=st.dictionaries(st.sampled_from(ATTRIBUTES), kept, max_size=3),
    joined=st.dictionaries(st.sampled_from(LISTS), st.none() | moments, max_size=2),
    active=st.sets(st.sampled_from(LISTS)),
    opened=st.dictionaries(st.sampled_from([HitKind.open, HitKind.click]), moments, max_size=2),
    measured=st.booleans(),
)
fields = st.tuples(st.sampled_from([Of.name, Of.language]), st.just("")) | st.tuples(
    st.just(Of.attribute), st.sampled_from(ATTRIBUTES)
)
hows = st.sampled_from([How.contains, How.starts, How.ends])
tests = (
    st.builds(lambda f, v: Text(f[0], How.one_of, tuple(v), f[1]), fields, st.lists(asked, min_size=1, max_size=3))
    | st.builds(lambda f, how, v: Text(f[0], how, (v,), f[1]), fields, hows, asked)
    | st.builds(lambda f: Text(f[0], How.known, (), f[1]), fields)
    | st.builds(lambda v: Text(Of.domain, How.one_of, (v,)), st.sampled_from(["example.org", "xn--bcher-kva.example"]))
    | st.builds(
        lambda how, v: Text(Of.domain, how, (v,)),
        hows,
        st.sampled_from(["EXAMPLE", "org", ".org", "xn--", "sub", "_", "%", "a", "e", "le.org"]),
    )
    | st.builds(lambda day: Joined(end=day), days)
    | st.builds(lambda day: Joined(first=day), days)
    | st.builds(lambda day: Joined(day, day + DAY), days)
    | st.builds(JoinedWithin, st.integers(1, 90))
    | st.builds(OnList, st.sampled_from(LISTS))
    | st.builds(Engaged, st.sampled_from([HitKind.open, HitKind.click]), st.integers(1, 90))
    | st.just(Measured())
)
expressions = st.recursive(
    tests,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(lambda each: Both(tuple(each)), st.lists(inner, min_size=2, max_size=3))
        | st.builds(lambda each: Either(tuple(each)), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=6,
)


def written(asks: Expression) -> str:
    """An expression in words again."""

    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    match asks:
        case Text(of, how, values, attribute):
            what = f"attribute {attribute}" if attribute else of.value
            if how is How.known:
                return f"{what} is known"
            if len(values) > 1:
                return f"{what} in ({', '.join(map(quoted, values))})"
            return f"{what} {how.value} {quoted(values[0])}"
        case Joined(None, end):
            return f"joined before {end}"
        case Joined(first, None):
            return f"joined on or after {first}"
        case Joined(first, _):
            return f"joined on {first}"
        case JoinedWithin(count):
            return f"joined within {count} days"
        case OnList(slug):
            return f"list '{slug}'"
        case Engaged(what, count):
            return f"{'opened' if what is HitKind.open else 'clicked'} within {count} days"
        case Measured():
            return "measured"
        case Not(part):
            return f"not ({written(part)})"
        case Both(parts):
            return " and ".join(f"({written(each)})" for each in parts)
        case Either(parts):
            return " or ".join(f"({written(each)})" for each in parts)


def small(text: str) -> str:
    return text.replace("İ", "i").replace("Σ", "σ").replace("ς", "σ").lower()


def holds(asks: Expression, person: Person) -> bool:
    """What an expression asks, in the plainest Python."""
    match asks:
        case Not(part):
            return not holds(part, person)
        case Both(parts):
            return all(holds(each, person) for each in parts)
        case Either(parts):
            return any(holds(each, person) for each in parts)
        case Text(of, how, values, attribute):
            text = {
                Of.name: person.name,
                Of.language: person.language,
                Of.domain: checked(person.address).key.rpartition("@")[2],
                Of.attribute: person.attributes.get(attribute, ""),
            }[of]
            wanted = [small(value) for value in values]
            return {
                How.known: lambda: text != "",
                How.one_of: lambda: small(text) in wanted,
                How.contains: lambda: wanted[0] in small(text),
                How.starts: lambda: small(text).startswith(wanted[0]),
                How.ends: lambda: small(text).endswith(wanted[0]),
            }[how]()
        case Joined(first, end):
            since = min((each for each in person.joined.values() if each), default=None)
            day = since and since.astimezone(NEW_YORK).date()
            return day is not None and (first is None or day >= first) and (end is None or day < end)
        case JoinedWithin(count):
            since = min((each for each in person.joined.values() if each), default=None)
            return since is not None and since >= NOW - count * DAY
        case OnList(slug):
            return slug in person.active
        case Engaged(what, count):
            return what in person.opened and person.opened[what] >= NOW - count * DAY
        case Measured():
            return person.measured


def put(session: Session, everybody: Sequence[Person], lists: dict[str, int], issue: int) -> list[int]:
    rows = []
    for number, person in enumerate(everybody):
        row = Subscriber(
            address=person.address,
            address_key=f"{number}{checked(person.address).key}",
            fingerprint=f"{number:032x}",
            name=person.name,
            language=person.language,
            attributes=person.attributes,
            created=NOW,
            measured=NOW if person.measured else None,
        )
        session.add(row)
        session.flush()
        rows.append(row.id)
        for slug in LISTS:
            if slug in person.active or slug in person.joined:
                state = SubscriptionState.active if slug in person.active else SubscriptionState.unsubscribed
                joined = person.joined.get(slug)
                session.add(
                    Subscription(subscriber_id=row.id, list_id=lists[slug], state=state, since=NOW, joined=joined)
                )
        for what, at in person.opened.items():
            session.add(Interest(subscriber_id=row.id, issue_id=issue, what=what, link=0, at=at))
    session.flush()
    return rows


@pytest.fixture
def ground(scratch: Session) -> tuple[Session, dict[str, int], int]:
    rows = [List(slug=slug, title=slug) for slug in LISTS]
    scratch.add_all(rows)
    issue = sending(scratch)
    scratch.flush()
    return scratch, {row.slug: row.id for row in rows}, issue.id


@given(everybody=st.lists(people, min_size=1, max_size=5), asks=expressions)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_expression_means_the_same_on_both_databases_as_in_python(
    ground: tuple[Session, dict[str, int], int], everybody: list[Person], asks: Expression
) -> None:
    session, lists, issue = ground
    found = segments.parse(written(asks), ATTRIBUTES)
    with session.begin_nested() as point:
        ids = put(session, everybody, lists, issue)
        means = segments.condition(session, found, "digest", digest(), NOW)
        answer = set(session.scalars(select(Subscriber.id).where(means)))
        inverse = set(session.scalars(select(Subscriber.id).where(~means)))
        point.rollback()
    expected = {number for number, person in zip(ids, everybody, strict=True) if holds(asks, person)}
    assert answer == expected, written(asks)
    assert answer ^ inverse == set(ids)
    session.expunge_all()


def test_whoever_opened_another_publications_issue_did_not_open_this_ones(
    ground: tuple[Session, dict[str, int], int],
) -> None:
    session, lists, _ = ground
    other = sending(session, publication="weekly", slot=15)
    person = Person("a@example.org", "", "", {}, {}, set(), {HitKind.open: NOW - DAY}, measured=True)
    put(session, [person], lists, other.id)
    asks = segments.parse("opened within 9 days", ())
    for slug, expected in (("digest", 0), ("weekly", 1)):
        means = segments.condition(session, asks, slug, digest(), NOW)
        assert len(session.scalars(select(Subscriber.id).where(means)).all()) == expected


def test_a_value_is_never_sql(ground: tuple[Session, dict[str, int], int]) -> None:
    session, lists, issue = ground
    put(session, [Person("a@example.org", "x", "", {}, {}, set())], lists, issue)
    for value in ("' OR '1'='1", "x'; DROP TABLE subscribers; --", "%", "_", "x%"):
        quoted = value.replace("'", "''")
        for how in ("is", "contains", "starts with", "ends with"):
            means = segments.condition(session, segments.parse(f"name {how} '{quoted}'", ()), "digest", digest(), NOW)
            assert session.scalars(select(Subscriber.id).where(means)).all() == []
            if len(value) > 2:
                assert value not in str(means.compile(dialect=session.get_bind().dialect))


def test_a_list_that_is_not_there_and_engagement_that_is_not_measured_are_sentences(scratch: Session) -> None:
    with pytest.raises(ListMistake, match='there is no list "nowhere"'):
        segments.condition(scratch, segments.parse("list 'nowhere'", ()), "digest", digest(), NOW)
    unmeasured = msgspec.structs.replace(digest(), measure_readers=False)
    for text in ("opened within 9 days", "not (clicked within 9 days)", "measured"):
        with pytest.raises(SegmentMistake, match="engagement isn't measured here"):
            segments.condition(scratch, segments.parse(text, ()), "digest", unmeasured, NOW)


# ---- which segment an issue goes to


SEGMENTS = (
    "[web]",
    "[segments]\ntokyo = \"city is 'Tokyo'\"\nbroken = \"citty is 'Tokyo'\"\n\n[web]",
)
USUAL = ('sections = ["Economy"', 'segment = "tokyo"\nsections = ["Economy"')
BROKEN = ('sections = ["Economy"', 'segment = "broken"\nsections = ["Economy"')


def approved(session: Session) -> Issue:
    row = sending(session, state=IssueState.approved)
    row.started = None
    return row


def three(session: Session, subscribe: Callable[..., Subscriber]) -> None:
    for name, city in (("ann", "Tokyo"), ("bea", "TOKYO"), ("kim", "Kyoto")):
        subscribe(session, f"{name}@example.org", attributes={"city": city})


def test_an_issues_own_segment_comes_before_its_publications_and_all_is_everybody(
    make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber]
) -> None:
    folder = make_folder(SEGMENTS, USUAL)
    with folder.session() as session:
        three(session, subscribe)
        issue = approved(session)
        for own, due, outside in (("", 2, 1), ("all", 3, 0), ("tokyo", 2, 1)):
            issue.segment = own
            found = dispatch.ahead(session, folder.config, "digest", issue, NOW)
            assert (found.due, found.excluded.get("outside the segment", 0)) == (due, outside)
            assert found.candidates == found.due + sum(found.excluded.values())
        assert dispatch.ahead(session, folder.config, "digest", None, NOW).due == 2


def test_the_segment_is_frozen_with_the_audience(
    make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(SEGMENTS, USUAL)
    monkeypatch.setattr(dispatch, "ready", lambda *_: None)
    with folder.session() as session:
        three(session, subscribe)
        issue = approved(session)
        dispatch.start(session, folder, issue, NOW)
        assert (issue.candidates, issue.excluded) == (3, {"outside the segment": 1})
        people = session.scalars(
            select(Subscriber.address).join(Delivery, Delivery.subscriber_id == Subscriber.id).order_by(Subscriber.id)
        ).all()
        assert people == ["ann@example.org", "bea@example.org"]


@pytest.mark.parametrize(
    ("changes", "own", "words"),
    [
        ((SEGMENTS, BROKEN), "", 'the segment "broken": there is no attribute "citty"'),
        ((SEGMENTS,), "gone", 'there is no segment "gone"'),
    ],
)
def test_a_segment_with_a_mistake_holds_the_issue_and_nobody_is_sent_it(
    make_folder: Callable[..., Folder],
    subscribe: Callable[..., Subscriber],
    monkeypatch: pytest.MonkeyPatch,
    changes: tuple[tuple[str, str], ...],
    own: str,
    words: str,
) -> None:
    folder = make_folder(*changes)
    monkeypatch.setattr(dispatch, "ready", lambda *_: None)
    with folder.session() as session:
        three(session, subscribe)
        issue = approved(session)
        issue.segment = own
        number = issue.id
    scheduler.tick(folder, NOW + dt.timedelta(minutes=1))
    with folder.reading() as session:
        held = session.get_one(Issue, number)
        assert held.state is IssueState.held
        assert held.why.startswith(words)
        assert session.scalars(select(Delivery)).all() == []


def test_who_gets_an_issue_can_be_chosen_until_it_is_approved(
    make_folder: Callable[..., Folder],
) -> None:
    folder = make_folder(SEGMENTS)
    with folder.session() as session:
        issue = approved(session)
        with pytest.raises(IssueMistake, match=r"is approved, and can't be sent to others\. Hold it first"):
            issues.choose_segment(session, folder.config, issue, "tokyo")
        issue.state = IssueState.assembled
        issues.choose_segment(session, folder.config, issue, "tokyo")
        assert issue.segment == "tokyo"
        for wrong in ("nowhere", "broken"):
            with pytest.raises(SegmentMistake):
                issues.choose_segment(session, folder.config, issue, wrong)
        issues.choose_segment(session, folder.config, issue, "all")
        issues.choose_segment(session, folder.config, issue, "")
        assert issue.segment == ""


def test_doctor_looks_at_every_saved_segment(make_folder: Callable[..., Folder]) -> None:
    text = SEGMENTS[1].replace("[segments]", '[segments]\nelsewhere = "list \'nowhere\'"\nkeen = "measured"')
    folder = make_folder(("[web]", text), ('sections = ["Economy"', 'segment = "keen"\nsections = ["Economy"'))
    found = {each.about: each for each in check(folder, NOW, None) if each.about.startswith("segment ")}
    assert {about: each.level for about, each in found.items()} == {
        "segment elsewhere": Level.wrong,
        "segment keen": Level.wrong,
        "segment tokyo": Level.ok,
        "segment broken": Level.wrong,
    }
    assert "there is no list" in found["segment elsewhere"].what
    assert "isn't measured here" in found["segment keen"].what
    assert "citty" in found["segment broken"].what


def test_all_is_no_name_for_a_segment() -> None:
    with pytest.raises(ConfigMistake, match='"all" is everybody'):
        config.decode(CONFIG.replace("[web]", '[segments]\nall = "name is known"\n[web]'), Path("config.toml"))


# ---- commands


@pytest.fixture
def run(make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber]) -> Callable[..., str]:
    folder = make_folder(SEGMENTS)
    with folder.session() as session:
        three(session, subscribe)

    def typed(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(newsletter, ["-C", str(folder.path), *words], catch_exceptions=True)
        if isinstance(done.exception, Mistake):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.stdout

    return typed


def test_segments_are_listed_shown_and_counted_by_command(run: Any) -> None:
    rows = {row["name"]: row for row in json.loads(run("segment", "list", "--json"))}
    assert rows["tokyo"]["mistake"] is None
    assert "citty" in rows["broken"]["mistake"]
    assert "city is 'Tokyo'" in run("segment", "list")
    assert "2 would get an issue now" in " ".join(run("segment", "show", "tokyo").split())
    found = json.loads(run("segment", "count", "city is 'kyoto' or city is unknown", "--json"))
    assert (found["candidates"], found["due"], found["excluded"]) == (3, 1, {"outside the segment": 2})
    assert json.loads(run("segment", "count", "tokyo", "--list", "alliance-digest", "--json"))["due"] == 2
    with pytest.raises(SegmentMistake, match='there is no segment "osaka"'):
        run("segment", "count", "osaka")
    with pytest.raises(SegmentMistake, match="citty"):
        run("segment", "count", "broken")
    with pytest.raises(ListMistake, match="nowhere"):
        run("segment", "count", "tokyo", "--list", "nowhere")


def test_an_issue_is_given_a_segment_by_command_and_shows_who_is_outside_it(run: Any) -> None:
    at = ("--at", NOW.isoformat())
    assert "goes to the segment tokyo" in run("issue", "edit", "next", "--segment", "tokyo", *at)
    shown = run("issue", "show", "next", *at)
    assert "segment tokyo: 2 due of 3 candidates; left out: 1 outside the segment" in " ".join(shown.split())
    found = json.loads(run("issue", "show", "next", "--json", *at))
    assert (found["segment"], found["candidates"], found["excluded"]) == ("tokyo", 3, {"outside the segment": 1})
    assert "2 due of 3 candidates, segment tokyo" in " ".join(run("status", *at).split())
    assert "goes to everybody" in run("issue", "edit", "next", "--segment", "all", *at)


def test_what_is_wrong_in_an_expression_is_marked_on_the_terminal(
    lite_folder: Folder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from newsletter.__main__ import main

    typed = ["newsletter", "-C", str(lite_folder.path), "segment", "count", "plan is known and citty is 'x'"]
    monkeypatch.setattr("sys.argv", typed)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    first, line, under = capfd.readouterr().err.splitlines()
    assert first.endswith("a text stands in quotes.")
    assert line[under.index("^") : under.rindex("^") + 1] == "citty"
