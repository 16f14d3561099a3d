"""Segments as people type them: what an expression means in both databases, and issues that the calendar sends by one."""

from __future__ import annotations

import datetime as dt
import json
import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from click.testing import CliRunner
from conftest import CONFIG, NOW
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_flow import approve, newsroom, only_issue  # noqa: F401 - newsroom is a fixture
from wcwidth import wcswidth

from newsletter import config, issues, scheduler, segments
from newsletter.cli import newsletter
from newsletter.config import Publication
from newsletter.errors import IssueMistake, SegmentMistake
from newsletter.folder import Folder
from newsletter.models import Delivery, Interest, Issue, List, Subscriber, Subscription
from newsletter.segments import parse
from newsletter.segments.expressions import DEEPEST
from newsletter.states import HitKind, IssueState, SubscriptionState

ATTRIBUTES = ("city", "plan", "joined")
NEW_YORK = ZoneInfo("America/New_York")
DAY = dt.timedelta(days=1)
DIGEST = msgspec.structs.replace(
    config.decode(CONFIG, Path("config.toml")).publications["digest"],
    measure_opens=True,
    measure_clicks=True,
    measure_readers=True,
)


def found(session: Session, text: str, publication: Publication = DIGEST, now: dt.datetime = NOW) -> set[int]:
    """The subscribers of whom an expression is true."""
    condition = segments.condition(session, parse(text, ATTRIBUTES), "digest", publication, now)
    return set(session.scalars(select(Subscriber.id).where(condition)))


def names(session: Session, text: str, **also: Any) -> str:
    """Likewise, by their names."""
    some = found(session, text, **also)
    return " ".join(session.scalars(select(Subscriber.name).where(Subscriber.id.in_(some)).order_by(Subscriber.name)))


# ---- what is written


def test_of_a_long_expression_the_part_with_the_mistake_is_shown() -> None:
    text = "city is 'Tokyo' and " * 20 + "citty is 'Kyoto'" + " and city is '東京'" * 20
    with pytest.raises(SegmentMistake) as raised:
        parse(text, ATTRIBUTES)
    line, under = raised.value.marked
    assert len(line) <= 102
    start = under.index("^")
    assert line[start : start + 5] == "citty"
    assert under.count("^") == 5


_WORDS = st.sampled_from(
    [
        "city",
        "plan",
        "name",
        "joined",
        "list",
        "is",
        "not",
        "in",
        "and",
        "or",
        "(",
        ")",
        ",",
        "'x'",
        '"y"',
        "'",
        "known",
        "unknown",
        "contains",
        "starts",
        "with",
        "before",
        "on",
        "after",
        "within",
        "2024-01-31",
        "90",
        "days",
        "opened",
        "measured",
        "attribute",
        "=",
        "%",
        "--",
        ";",
        "\\",
        "’",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=40), st.lists(_WORDS, max_size=14).map(" ".join)))
@example("attribute")
@example("'")
@example("not")
def test_whatever_is_written_is_understood_or_marked(text: str) -> None:
    try:
        parse(text, ATTRIBUTES)
    except SegmentMistake as mistake:
        line, under = mistake.marked
        assert line.isprintable()
        assert under.strip(" ").strip("^") == ""
        assert "^" in under
        # The last of the marks may stand behind the end of the line, and no further.
        assert len(under) <= wcswidth(line) + 1


# ---- what it means


@dataclass(frozen=True)
class Person:
    """A subscriber as plain Python."""

    name: str
    language: str
    domain: str
    attributes: dict[str, str]
    states: dict[str, SubscriptionState]
    joined: tuple[dt.datetime, ...]
    measured: bool
    seen: tuple[tuple[HitKind, dt.datetime], ...]
    """Of the digest alone."""
    number: list[int] = field(default_factory=list)

    @property
    def first(self) -> dt.datetime | None:
        return min(self.joined, default=None)


Asked = tuple[str, Callable[[Person], bool]]
"""An expression as it is typed, and what it means, in Python."""

CITIES = (
    *("Tokyo", "tokyo", "TŌKYŌ", "Kyōto", "東京", "São Paulo", "İstanbul", "ISTANBUL", "ıstanbul", "ΟΔΟΣ", "οδος"),
    *("Straße", "STRASSE", "O'Fallon", 'the "City"', "100%", "100 of", "a_b", "axb", "a/b", "a/%", "back\\slash"),
    *("x'; DROP TABLE subscribers; --", "😀 town", "Ǆ", "ǆ", "ᏣᎳᎩ", "null", "true", "0", "{}", "K", "K", "ﬁ", "ſ"),
)
DOMAINS = ("example.org", "mail.example.org", "example.com", "xn--exmple-cua.org", "x-y.example", "org.example")
LISTS = ("alliance-digest", "members")
SPELT = {"exämple.org": "xn--exmple-cua.org", "EXÄMPLE.org": "xn--exmple-cua.org", "Example.ORG": "example.org"}


def fold(text: str) -> str:
    """Small letters, one for one: the dotted capital I and the final sigma have several, or by their neighbours."""
    return "".join({"İ": "i", "Σ": "σ", "ς": "σ"}.get(each, each.lower()) for each in text)


def crowd(session: Session, count: int = 70) -> list[Person]:
    """Subscribers of all sorts, and one who is erased."""
    chance = random.Random(58)
    midnight = dt.datetime(2023, 11, 6, tzinfo=NEW_YORK)
    moments = [midnight + delta for delta in (-DAY, -dt.timedelta(seconds=1), dt.timedelta(0), dt.timedelta(hours=23))]
    moments += [dt.datetime(2023, 3, 12, 5, tzinfo=dt.UTC), NOW - 90 * DAY, NOW - 7 * DAY, NOW]
    rows = [List(slug=slug, title=slug) for slug in LISTS]
    session.add_all(rows)
    made_of: list[Issue] = []
    for publication in ("digest", "bulletin"):
        clocks = {"deadline": NOW, "approve_by": NOW, "sends": NOW, "since": NOW}
        made_of.append(Issue(publication=publication, slot=NOW.date(), state=IssueState.sent, **clocks))
    session.add_all(made_of)
    session.flush()
    everybody: list[Person] = []
    for number in range(count):
        attributes = {each: chance.choice(CITIES) for each in ATTRIBUTES if chance.random() < 0.8}
        states, joined = {}, []
        row = Subscriber(
            address=f"r{number}@x",
            address_key=f"r{number}@{chance.choice(DOMAINS)}",
            fingerprint=f"{number:032x}",
            name=chance.choice(("", "Jane", "JANE Doe", "Δούς", *CITIES)),
            language=chance.choice(("", "en", "ja", "zh-Hant")),
            attributes={key: unicodedata.normalize("NFC", each) for key, each in attributes.items()},
            created=NOW,
            measured=chance.choice((None, NOW)),
        )
        if number == 7:
            row = Subscriber(fingerprint="7", created=NOW, erased=NOW)
        session.add(row)
        session.flush()
        for at in rows:
            if chance.random() < 0.6:
                states[at.slug] = chance.choice(list(SubscriptionState))
                when = chance.choice([None, *moments])
                joined += [when] if when else []
                session.add(
                    Subscription(
                        subscriber_id=row.id, list_id=at.id, state=states[at.slug], since=NOW, joined=when, why=""
                    )
                )
        seen = []
        for each in made_of:
            for what in (HitKind.open, HitKind.click):
                if chance.random() < 0.3:
                    at_time = NOW - chance.choice((0, 1, 7, 8, 90, 91)) * DAY
                    session.add(Interest(subscriber_id=row.id, issue_id=each.id, what=what, link=1, at=at_time))
                    seen += [(what, at_time)] if each.publication == "digest" else []
        everybody.append(
            Person(
                row.name,
                row.language,
                (row.address_key or "").partition("@")[2],
                dict(row.attributes),
                states,
                tuple(joined),
                row.measured is not None,
                tuple(seen),
                [row.id],
            )
        )
    session.flush()
    return everybody


@st.composite
def typed(draw: Any) -> str:
    """A text to compare with: kept by somebody, a part of such, otherwise written, or any."""
    text = draw(st.sampled_from(CITIES))
    match draw(st.integers(0, 4)):
        case 0:
            start = draw(st.integers(0, len(text) - 1))
            text = text[start : start + draw(st.integers(1, 4))]
        case 1:
            text = draw(st.sampled_from((text.upper(), text.lower(), text.swapcase())))
        case 2:
            text = draw(
                st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), min_size=1, max_size=3)
            )
    text = unicodedata.normalize("NFC", text)
    return text if text.strip() else "x"


def quoted(text: str, draw: Any) -> str:
    mark = draw(st.sampled_from("'\""))
    return mark + text.replace(mark, mark * 2) + mark


@st.composite
def compared(draw: Any) -> Asked:
    """A test of a text."""
    which = draw(st.sampled_from(("city", "plan", "attribute joined", "name", "language")))
    key = which.rpartition(" ")[2]

    def kept(person: Person) -> str:
        return getattr(person, key) if key in ("name", "language") else person.attributes.get(key, "")

    if draw(st.booleans()) and draw(st.booleans()):
        how = draw(st.sampled_from(("is known", "is unknown", "is not known")))
        return f"{which} {how}", lambda person: bool(kept(person)) is (how == "is known")
    how = draw(st.sampled_from(("is", "is not", "in", "not in", "contains", "starts with", "ends with")))
    values = [draw(st.one_of(typed(), st.sampled_from(("ja", "EN", "zh-hant", "jane")))) for _ in range(3)]
    if how in ("in", "not in"):
        given_ = {fold(each) for each in values}
        said = ", ".join(quoted(each, draw) for each in values)
        return f"{which} {how} ({said})", lambda person: (fold(kept(person)) in given_) is (how == "in")
    wanted = fold(values[0])
    holds: dict[str, Callable[[str], bool]] = {
        "is": lambda text: text == wanted,
        "is not": lambda text: text != wanted,
        "contains": lambda text: wanted in text,
        "starts with": lambda text: text.startswith(wanted),
        "ends with": lambda text: text.endswith(wanted),
    }
    return f"{which} {how} {quoted(values[0], draw)}", lambda person: holds[how](fold(kept(person)))


@st.composite
def of_domain(draw: Any) -> Asked:
    how = draw(st.sampled_from(("is", "contains", "starts with", "ends with")))
    if how == "is":
        written = draw(st.sampled_from((*DOMAINS, *SPELT, "elsewhere.example")))
        wanted = SPELT.get(written, written)
        return f"domain is '{written}'", lambda person: person.domain == wanted
    piece = draw(st.sampled_from(("exam", "ORG", ".org", "mail.", "xn--", "%", "_", "x_y", "/", "e", "r1")))
    small = piece.lower()
    holds: dict[str, Callable[[str], bool]] = {
        "contains": lambda text: small in text,
        "starts with": lambda text: text.startswith(small),
        "ends with": lambda text: text.endswith(small),
    }
    return f"domain {how} '{piece}'", lambda person: holds[how](person.domain)


@st.composite
def of_joining(draw: Any) -> Asked:
    if draw(st.booleans()):
        count, unit = draw(st.sampled_from(((1, "day"), (7, "days"), (1, "week"), (90, "days"), (13, "weeks"))))
        since = NOW - count * (7 if "week" in unit else 1) * DAY
        return f"joined within {count} {unit}", lambda person: person.first is not None and person.first >= since
    day = draw(
        st.sampled_from((dt.date(2023, 11, 5), dt.date(2023, 11, 6), dt.date(2023, 11, 7), dt.date(2023, 3, 12)))
    )
    how = draw(st.sampled_from(("before", "after", "on", "on or before", "on or after")))
    holds: dict[str, Callable[[dt.date], bool]] = {
        "before": lambda date: date < day,
        "after": lambda date: date > day,
        "on": lambda date: date == day,
        "on or before": lambda date: date <= day,
        "on or after": lambda date: date >= day,
    }

    def holds_of(person: Person) -> bool:
        return person.first is not None and holds[how](person.first.astimezone(NEW_YORK).date())

    return f"joined {how} {day}", holds_of


@st.composite
def of_measuring(draw: Any) -> Asked:
    if draw(st.booleans()):
        return "measured", lambda person: person.measured
    word, what = draw(st.sampled_from((("opened", HitKind.open), ("clicked", HitKind.click))))
    days = draw(st.sampled_from((1, 7, 90)))
    since = NOW - days * DAY
    return (
        f"{word} within {days} days",
        lambda person: any(each is what and at >= since for each, at in person.seen),
    )


@st.composite
def on_list(draw: Any) -> Asked:
    slug = draw(st.sampled_from(LISTS))
    return f"list '{slug}'", lambda person: person.states.get(slug) is SubscriptionState.active


@st.composite
def joined_up(draw: Any, within: st.SearchStrategy[Asked]) -> Asked:
    """Tests with "and" and "or" between, parentheses round some of them, as people write."""
    rows: list[list[Asked]] = []
    for _ in range(draw(st.integers(1, 3))):
        row: list[Asked] = []
        for _ in range(draw(st.integers(1, 3))):
            text, holds = draw(within)
            if draw(st.booleans()):
                row.append((f"not ({text})", lambda person, holds=holds: not holds(person)))
            else:
                row.append((f"({text})", holds))
        rows.append(row)
    said = " OR ".join(" And ".join(text for text, _ in row) for row in rows)
    return said, lambda person: any(all(holds(person) for _, holds in row) for row in rows)


@st.composite
def unbracketed(draw: Any) -> Asked:
    """a or not b and c: what binds first is what the language says."""
    some = [draw(_TEST) for _ in range(4)]
    (a, b, c, d) = (holds for _, holds in some)
    said = "{} or not {} and {} or {}".format(*(text for text, _ in some))
    return said, lambda person: a(person) or ((not b(person)) and c(person)) or d(person)


_TEST = st.one_of(compared(), compared(), of_domain(), of_joining(), of_measuring(), on_list())
EXPRESSIONS = st.one_of(_TEST, unbracketed(), st.recursive(_TEST, joined_up, max_leaves=8))


def test_any_expression_means_the_same_in_the_database_as_in_plain_python(scratch: Session) -> None:
    everybody = crowd(scratch)

    @settings(max_examples=250, deadline=None)
    @given(EXPRESSIONS)
    def means_the_same(asked: Asked) -> None:
        text, holds = asked
        assert found(scratch, text) == {person.number[0] for person in everybody if holds(person)}, text

    means_the_same()


def test_the_widest_and_the_deepest_expression_is_counted_too(scratch: Session) -> None:
    crowd(scratch)
    active = found(scratch, "list 'members'")
    assert active
    assert found(scratch, "list 'members' or " * 105 + "list 'members'") == active
    wide = " or ".join(f"city contains '{letter}'" for letter in "ghjlqvwyz" * 8)
    assert found(scratch, wide) == found(scratch, " or ".join(f"city contains '{letter}'" for letter in "ghjlqvwyz"))
    deep = "(list 'members' or not " * (DEEPEST // 2) + "list 'members'" + ")" * (DEEPEST // 2)
    assert found(scratch, deep) == active


@pytest.fixture
def five(scratch: Session, subscribe: Callable[..., Subscriber]) -> Session:
    """Ann and Bea in Tokyo, Cleo in Kyoto, Dora and Eve nobody knows where."""
    for name, attributes in (
        ("Ann", {"city": "Tokyo", "plan": "pro"}),
        ("Bea", {"city": "TOKYO"}),
        ("Cleo", {"city": "Kyōto", "plan": "pro"}),
        ("Dora", {"plan": "free"}),
        ("Eve", {}),
    ):
        subscribe(scratch, f"{name}@example.org", name=name, attributes=attributes)
    return scratch


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("city is 'tokyo'", "Ann Bea"),
        ("city is not 'Tokyo'", "Cleo Dora Eve"),
        ("not city is not 'Tokyo'", "Ann Bea"),
        ("CITY IN ('Tokyo', 'KYŌTO')", "Ann Bea Cleo"),
        ("city is not in ('Tokyo', 'Kyōto')", "Dora Eve"),
        ("city is 'Kyo\u0304to'", "Cleo"),
        ("city is unknown and plan is unknown", "Eve"),
        ("city is unknown or plan is 'pro' and city is 'Tokyo'", "Ann Dora Eve"),
        ("(city is unknown or plan is 'pro') and not city is 'Tokyo'", "Cleo Dora Eve"),
        ("city is '%'", ""),
        ("city contains '%'", ""),
        ("city contains '_o'", ""),
    ],
)
def test_what_people_write_finds_whom_they_mean(five: Session, text: str, expected: str) -> None:
    assert names(five, text) == expected


def test_nothing_that_is_written_becomes_sql(five: Session) -> None:
    text = (
        "city is 'w%1' or city in ('w2', 'w3') or city contains 'w4' or domain is 'w5.example' or domain ends with 'w6'"
    )
    condition = segments.condition(five, parse(text, ATTRIBUTES), "digest", DIGEST, NOW)
    sql = str(select(Subscriber.id).where(condition).compile(five.get_bind()))
    assert not [word for word in ("w%1", "w2", "w3", "w4", "w5", "w6") if word in sql]


def test_a_day_begins_when_it_does_in_the_publications_zone(five: Session) -> None:
    [row] = five.scalars(select(Subscription).join(Subscriber).where(Subscriber.name == "Ann"))
    row.joined = dt.datetime(2023, 11, 6, 4, 30, tzinfo=dt.UTC)
    five.flush()
    assert names(five, "joined on 2023-11-05") == "Ann"
    tokyo = msgspec.structs.replace(DIGEST, cadence=msgspec.structs.replace(DIGEST.cadence, zone="Asia/Tokyo"))
    assert names(five, "joined on 2023-11-06", publication=tokyo) == "Ann"


def test_the_last_days_end_now(five: Session) -> None:
    assert names(five, "joined within 2 days") == "Ann Bea Cleo Dora Eve"
    assert names(five, "joined within 2 days", now=NOW + 2 * DAY) == "Ann Bea Cleo Dora Eve"
    assert names(five, "joined within 2 days", now=NOW + 2 * DAY + dt.timedelta(seconds=1)) == ""


def test_the_day_of_joining_is_that_of_the_first_list(five: Session, subscribe: Callable[..., Subscriber]) -> None:
    flo = subscribe(five, "flo@example.org", name="Flo", lists=("alliance-digest", "members"))
    rows = list(five.scalars(select(Subscription).where(Subscription.subscriber_id == flo.id)))
    rows[0].joined, rows[1].joined = NOW - 400 * DAY, None
    five.flush()
    assert "Flo" not in names(five, "joined within 90 days")
    assert names(five, "joined before 2023-01-01") == "Flo"
    rows[1].joined = NOW
    five.flush()
    assert "Flo" not in names(five, "joined within 90 days")


@pytest.mark.parametrize(
    ("text", "off", "words"),
    [
        ("opened within 9 days", "measure_readers", r"digest doesn't ask its readers"),
        ("city is 'x' and not (plan is 'y' or measured)", "measure_readers", r"digest doesn't ask its readers"),
        ("opened within 9 days", "measure_opens", r"digest doesn't count what is opened"),
        ("not clicked within 9 days", "measure_clicks", r"digest doesn't count which links are followed"),
    ],
)
def test_what_is_not_measured_is_not_asked(five: Session, text: str, off: str, words: str) -> None:
    assert found(five, text) is not None
    with pytest.raises(SegmentMistake, match=words):
        found(five, text, msgspec.structs.replace(DIGEST, **{off: False}))


def test_segments_are_asked_for_while_rows_are_still_being_read(lite_folder: Folder, subscribe: Any) -> None:
    with lite_folder.session() as session:
        for n in range(3):
            subscribe(session, f"r{n}@example.org", attributes={"city": "Tokyo"})
    with lite_folder.reading() as session:
        rows = session.connection().execution_options(stream_results=True).exec_driver_sql("SELECT id FROM subscribers")
        assert rows.fetchone()
        assert len(found(session, "city is 'TOKYO'")) == 3
        assert rows.fetchone()
        assert len(found(session, "city is 'tokyo'")) == 3
        rows.close()


# ---- who an issue goes to


SAVED = """
[segments]
tokyo = "city is 'tokyo'"
elsewhere = "city is known and city is not 'Tokyo'"
broken = "citty is 'Tokyo'"
nowhere = "list 'nowhere'"

[publications.digest]
"""


def segmented(*usual: str) -> tuple[str, str]:
    line = f'segment = "{usual[0]}"\n' if usual else ""
    return "[publications.digest]\n", SAVED + line


@pytest.mark.parametrize(("usual", "words"), [("broken", 'there is no attribute "citty"'), ("nowhere", '"nowhere"')])
def test_a_segment_that_cannot_be_used_holds_the_issue_and_nobody_gets_it(
    newsroom: Any,  # noqa: F811
    usual: str,
    words: str,
) -> None:
    folder: Folder = newsroom(None, segmented(usual))
    scheduler.tick(folder, NOW)
    issue = only_issue(folder)
    scheduler.tick(folder, issue.deadline)
    approve(folder, issue.deadline)
    scheduler.tick(folder, issue.sends)
    held = only_issue(folder)
    assert (held.state, held.started) == (IssueState.held, None)
    assert f'the segment "{usual}": ' in held.why
    assert words in held.why
    with folder.reading() as session:
        assert not session.scalars(select(Delivery)).all()


def test_the_calendar_sends_to_the_segment_as_it_is_then_and_it_stays_so(newsroom: Any) -> None:  # noqa: F811
    folder: Folder = newsroom(None, segmented("tokyo"))
    scheduler.tick(folder, NOW)
    issue = only_issue(folder)
    scheduler.tick(folder, issue.deadline)
    approve(folder, issue.deadline)

    def move(name: str, city: str) -> None:
        with folder.session() as session:
            person = session.scalars(select(Subscriber).where(Subscriber.name == name)).one()
            person.attributes = {"city": city}

    move("Reader 0", "Tokyo")
    scheduler.tick(folder, issue.sends)
    move("Reader 0", "Kyoto")
    move("Reader 1", "Tokyo")
    scheduler.tick(folder, issue.sends)
    with folder.reading() as session:
        row = session.get_one(Issue, issue.id)
        assert (row.state, row.candidates, row.excluded) == (IssueState.sending, 3, {"outside the segment": 2})
        [who] = session.scalars(select(Subscriber.name).join(Delivery, Delivery.subscriber_id == Subscriber.id))
        assert who == "Reader 0"
        with pytest.raises(IssueMistake, match="sent to others"):
            issues.choose_segment(session, folder.config, row, "all")


# ---- config.toml and commands


def test_every_saved_segment_is_checked_with_the_publications_that_use_it() -> None:
    text = CONFIG.replace(*segmented("engaged")).replace("[segments]", '[segments]\nengaged = "opened within 9 days"')
    wrong = {each.name: str(each.mistake) for each in segments.check_all(config.decode(text, Path("c")), ["members"])}
    assert set(wrong) == {"engaged", "broken", "nowhere"}
    assert "engagement isn't measured here" in wrong["engaged"]
    assert wrong["nowhere"] == 'the segment "nowhere": there is no list "nowhere". There is members.'
    assert "nowhere" not in {each.name for each in segments.check_all(config.decode(text, Path("c")))}


@pytest.fixture
def place(lite_folder: Folder, subscribe: Callable[..., Subscriber]) -> Path:
    """Three readers, one of them in Tokyo, and the segments of SAVED, on disk."""
    (lite_folder.path / "config.toml").write_text(CONFIG.replace(*segmented("tokyo")), encoding="utf-8")
    with lite_folder.session() as session:
        for n, city in enumerate(("Tokyo", "Kyoto", "")):
            subscribe(session, f"r{n}@example.org", attributes={"city": city} if city else {})
        subscribe(session, "else@example.org", attributes={"city": "Tokyo"}, lists=("members",))
    return lite_folder.path


def run(place: Path, *words: str) -> str:
    done = CliRunner().invoke(newsletter, ["-C", str(place), *words], env={"COLUMNS": "100"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_marks_stand_under_what_is_wrong_where_letters_take_two_columns() -> None:
    with pytest.raises(SegmentMistake) as raised:
        parse("plan is '東京' and citty is 'x'", ATTRIBUTES)
    assert raised.value.marked == ("plan is '東京' and citty is 'x'", " " * 19 + "^" * 5)


def test_an_issue_says_who_it_goes_to_before_it_goes(place: Path) -> None:
    at = ("--at", NOW.isoformat())
    assert "goes to everybody on its lists" in run(place, "issue", "edit", "next", "--segment", "all", *at)
    assert "3 due of 3 candidates" in run(place, "issue", "show", *at)
    assert "goes to the segment tokyo" in run(place, "issue", "edit", "next", "--segment", "", *at)
    shown = " ".join(run(place, "issue", "show", *at).split())
    assert "segment tokyo: 1 due of 3 candidates; left out: 2 outside the segment" in shown
    row = json.loads(run(place, "issue", "show", "--json", *at))
    assert (row["segment"], row["candidates"], row["excluded"]) == ("tokyo", 3, {"outside the segment": 2})
    text = (place / "config.toml").read_text(encoding="utf-8")
    (place / "config.toml").write_text(text.replace('segment = "tokyo"', 'segment = "broken"'), encoding="utf-8")
    assert 'there is no attribute "citty"' in " ".join(run(place, "issue", "show", *at).split())
    assert "newsletter segment list" in run(place, "status", *at)
