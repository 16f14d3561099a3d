"""Importing: what people really have is understood, and nobody who left is brought back by it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import stat
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_suppressions import LATER, sending, states, waiting

from newsletter import erasure, subscribers, suppressions
from newsletter.cli import newsletter
from newsletter.errors import ImportMistake, ListMistake
from newsletter.folder import Folder
from newsletter.models import List, Subscriber, Subscription
from newsletter.spreadsheets import guarded, opened, unguarded
from newsletter.states import SubscriptionState, SuppressionReason
from newsletter.subscriber_columns import score
from newsletter.subscriber_export import export_csv, export_json
from newsletter.subscriber_import import Outcome, Refused, Report, import_subscribers

Subscribe = Callable[..., Subscriber]
DIGEST = "alliance-digest"
AT_LEISURE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def folder(folder: Folder) -> Folder:
    with folder.session() as session:
        session.add(List(slug=DIGEST, title="Digest"))
    return folder


class Import:
    """One import and what came of it."""

    def __init__(self, session: Session, folder: Folder, content: bytes | str, **how: object) -> None:
        self.refused: list[Refused] = []
        name = str(how.pop("file", "people.csv"))
        path = folder.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        encoding = how.pop("encoding", None)
        given = {"lists": (DIGEST,), "now": NOW, "why": f"import {name}"} | how
        with opened(path, score, encoding) as table:  # type: ignore[arg-type]
            self.report: Report = import_subscribers(
                session,
                folder.config,
                table,
                refuse=lambda row, _: self.refused.append(row),
                **given,  # type: ignore[arg-type]
            )
        assert sum(self.report.outcomes.values()) == self.report.rows
        assert sum(self.report.reasons.values()) == self.report.outcomes[Outcome.refused]

    def outcomes(self) -> dict[str, int]:
        return {outcome.name: count for outcome, count in self.report.outcomes.items() if count}


def people(session: Session) -> dict[str, tuple[str, dict[str, str], str]]:
    """Address: name, attributes, state."""
    return {row.address: (row.name, dict(row.attributes), row.shown) for row in subscribers.listing(session)}


# What people really have: made up, in the shape of the programs' exports.

MAILCHIMP = (
    '"Email Address","First Name","Last Name",City,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,LEID,NOTES,TAGS\n'
    'amber@example.org,Amber,A.,Kyoto,3,"2021-04-05 06:07:08",192.0.2.1,"2021-04-05 06:10:00",1,"two\nlines","a,b"\n'
    "basil@example.org,,,,2,,,,2,,\n"
)
MAILCHIMP_UNSUBSCRIBED = (
    '"Email Address","First Name",OPTIN_TIME,UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_REASON\n'
    'amber@example.org,Amber,"2021-04-05 06:07:08","2022-01-01 00:00:00","Issue 3","NORMAL"\n'
)
MAILCHIMP_CLEANED = (
    '"Email Address","First Name",CLEAN_TIME,CLEAN_CAMPAIGN_TITLE\n'
    'amber@example.org,Amber,"2022-01-01 00:00:00","Issue 3"\n'
)
SUBSTACK = (
    "email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at\n"
    "amber@example.org,true,2024-01-01T00:00:00.000Z,yearly,false,2021-04-05T06:07:08.000Z,\n"
    "basil@example.org,false,,other,false,2021-04-05T06:07:08.000Z,\n"
    "clover@example.org,false,,other,true,2021-04-05T06:07:08.000Z,\n"
)
BUTTONDOWN = (
    "email,notes,metadata,tags,referrer_url,creation_date,secondary_id,subscriber_type,source,unsubscription_date\n"
    'amber@example.org,"a\nnote","{""city"": ""Kyoto"", ""cat"": ""Tama""}",x,,2021-04-05T06:07:08Z,1,regular,api,\n'
    "basil@example.org,,{},,,2021-04-05T06:07:08Z,2,unactivated,api,\n"
    "clover@example.org,,{},,,2021-04-05T06:07:08Z,3,unsubscribed,api,2022-01-01T00:00:00Z\n"
    "dune@example.org,,{},,,2021-04-05T06:07:08Z,4,undeliverable,api,\n"
    "ember@example.org,,{},,,2021-04-05T06:07:08Z,5,complained,api,\n"
)
LISTMONK = (
    "uuid,email,name,attributes,status,created_at,updated_at\n"
    '1b2c,amber@example.org,Amber A.,"{""city"": ""Kyoto"", ""plan"": null, ""deep"": {""x"": 1}}",enabled,'
    "2021-04-05 06:07:08.123456 +0000 UTC,2021-04-05 06:07:08.123456 +0000 UTC\n"
    "1b2d,basil@example.org,Basil,{},blocklisted,2021-04-05 06:07:08 +0000 UTC,\n"
    "1b2e,clover@example.org,Clover,{},disabled,2021-04-05 06:07:08 +0000 UTC,\n"
)


def test_mailchimps_subscribed_file_is_understood(folder: Folder) -> None:
    with folder.session() as session:
        done = Import(session, folder, MAILCHIMP)
        assert people(session) == {
            "amber@example.org": ("Amber A.", {"first_name": "Amber", "city": "Kyoto"}, "active"),
            "basil@example.org": ("", {}, "active"),
        }
        assert done.report.left_out == ("MEMBER_RATING", "OPTIN_IP", "LEID", "NOTES", "TAGS")
        joined = {row.address: row.joined for row in subscribers.listing(session)}
        assert joined["amber@example.org"] == dt.datetime(2021, 4, 5, 6, 10, tzinfo=dt.UTC)
        assert joined["basil@example.org"] == NOW


def test_substacks_paying_is_not_subscribing(folder: Folder) -> None:
    with folder.session() as session:
        Import(session, folder, SUBSTACK)
        assert {name: (row[1], row[2]) for name, row in people(session).items()} == {
            "amber@example.org": ({"plan": "yearly"}, "active"),
            "basil@example.org": ({"plan": "other"}, "active"),
            "clover@example.org": ({"plan": "other"}, "unsubscribed"),
        }


def test_buttondowns_file_is_understood(folder: Folder) -> None:
    with folder.session() as session:
        done = Import(session, folder, BUTTONDOWN)
        found = people(session)
        assert found["amber@example.org"] == ("", {"city": "Kyoto"}, "active")
        assert [row[2] for row in found.values()] == ["active", "pending", "unsubscribed", "suppressed", "suppressed"]
        assert done.outcomes() == {"added": 2, "unsubscribed": 1, "suppressed": 2}
        assert "metadata.cat" in done.report.left_out
        reasons = {row.address: row.suppressed for row in subscribers.listing(session)}
        assert reasons["dune@example.org"] is SuppressionReason.bounce
        assert reasons["ember@example.org"] is SuppressionReason.complaint


def test_listmonks_file_is_understood(folder: Folder) -> None:
    with folder.session() as session:
        done = Import(session, folder, LISTMONK)
        assert people(session) == {
            "amber@example.org": ("Amber A.", {"city": "Kyoto"}, "active"),
            "basil@example.org": ("Basil", {}, "suppressed"),
            "clover@example.org": ("Clover", {}, "unsubscribed"),
        }
        assert done.report.left_out == ("uuid", "updated_at", "attributes.deep")


LEFT = {
    "mailchimp": MAILCHIMP_UNSUBSCRIBED,
    "cleaned": MAILCHIMP_CLEANED,
    "named unsubscribed": "Email Address\namber@example.org\n",
    "named cleaned": "Email Address\namber@example.org\n",
    "buttondown date": "email,unsubscription_date\namber@example.org,2022-01-01\n",
    "status": "email,status\namber@example.org,Unsubscribed\n",
    "two states": "email,status,type\namber@example.org,active,removed\n",
    "boolean": "email,subscribed\namber@example.org,FALSE\n",
    "ghost": "id,email,name,subscribed_to_emails,deleted_at\n1,amber@example.org,A,false,\n",
    "blocklisted": "email,name,status\namber@example.org,A,blocklisted\n",
}
NAMES = {
    "named unsubscribed": "unsubscribed_email_audience_export_1.csv",
    "named cleaned": "cleaned_email_audience_1.csv",
}


@pytest.mark.parametrize("kind", LEFT)
def test_whoever_a_file_says_has_left_is_never_active(folder: Folder, subscribe: Subscribe, kind: str) -> None:
    for state in (SubscriptionState.active, SubscriptionState.pending):
        for before in (None, "active", "pending", "unsubscribed"):
            with folder.session() as session:
                if before:
                    subscribe(session, "amber@example.org", state=SubscriptionState(before))
                Import(session, folder, LEFT[kind], file=NAMES.get(kind, "people.csv"), state=state)
                [row] = session.scalars(select(Subscription))
                assert row.state is SubscriptionState.unsubscribed
                barred = suppressions.of_address(session, "amber@example.org", NOW) is not None
                assert barred is (kind in ("cleaned", "named cleaned", "blocklisted"))
                session.rollback()


STILL_THERE = [
    MAILCHIMP,
    SUBSTACK,
    BUTTONDOWN,
    LISTMONK,
    "amber@example.org\n",
    "email,status\nAMBER@Example.org,subscribed\n",
    "email,state\namber@example.org,pending\n",
]


@pytest.mark.parametrize("how", ["left", "suppressed", "erased"])
def test_a_reader_who_left_is_not_brought_back_by_an_import(folder: Folder, subscribe: Subscribe, how: str) -> None:
    with folder.session() as session:
        amber = subscribe(session, "Amber@example.org", name="As she was")
        if how == "left":
            subscribers.unsubscribe(session, folder.config, amber, None, NOW, "one-click")
        elif how == "suppressed":
            suppressions.add(session, "amber@example.org", SuppressionReason.complaint, "", NOW)
        else:
            erasure.clear(session, amber, NOW)
        for content, state, update in product(
            STILL_THERE, (SubscriptionState.active, SubscriptionState.pending), (False, True)
        ):
            done = Import(session, folder, content, state=state, update_known=update)
            [why] = [row.reason for row in done.refused if "amber" in str(row.cells).lower()]
            assert (
                why
                == {
                    "left": "unsubscribed from alliance-digest",
                    "suppressed": "suppressed (complaint)",
                    "erased": "erased on their own wish",
                }[how]
            )
        rows = [row for row in subscribers.listing(session) if row.address.lower() == "amber@example.org"]
        if how == "erased":
            assert rows == []
        else:
            assert [(row.shown, row.name) for row in rows] == [
                ("unsubscribed" if how == "left" else "suppressed", "As she was")
            ]


@pytest.mark.parametrize(
    "lines", [("active", "unsubscribed"), ("unsubscribed", "active"), ("active", "bounced", "active")]
)
def test_within_a_file_having_left_wins_in_whatever_order(folder: Folder, lines: tuple[str, ...]) -> None:
    content = "email,status\n" + "".join(f"amber@example.org,{state}\n" for state in lines)
    with folder.session() as session:
        Import(session, folder, content)
        [row] = session.scalars(select(Subscription))
        assert row.state is SubscriptionState.unsubscribed


def test_an_import_that_says_someone_left_calls_off_what_waits_for_them(folder: Folder, subscribe: Subscribe) -> None:
    with folder.session() as session:
        issue = sending(session)
        for name in ("amber", "basil", "clover"):
            waiting(session, issue, subscribe(session, f"{name}@example.org"))
        done = Import(session, folder, "email,status\namber@example.org,unsubscribed\nbasil@example.org,bounced\n")
        assert done.report.skipped == 2
        assert states(session) == [("skipped", "unsubscribed"), ("skipped", "unsubscribed"), ("queued", None)]


def test_a_row_in_a_file_of_those_who_left_that_does_not_say_when_is_in_doubt(folder: Folder) -> None:
    content = "Email Address,UNSUB_TIME\namber@example.org,\nbasil@example.org,2022-01-01\n"
    with folder.session() as session:
        done = Import(session, folder, content)
        assert done.outcomes() == {"refused": 1, "unsubscribed": 1}
        assert "UNSUB_TIME" in done.refused[0].reason
        Import(session, folder, content, maps={"UNSUB_TIME": ""})
        assert [row[2] for row in people(session).values()] == ["unsubscribed", "active"]


def test_a_state_that_is_not_known_is_never_taken_for_a_yes(folder: Folder) -> None:
    content = "email,type\namber@example.org,churned\nbasil@example.org,regular\nclover@example.org,\n"
    with folder.session() as session:
        done = Import(session, folder, content)
        assert done.outcomes() == {"refused": 1, "added": 2}
        assert '"churned" in type' in done.refused[0].reason


def test_a_column_given_to_an_attribute_still_tells_who_left(folder: Folder) -> None:
    content = "email,type\namber@example.org,Donor\nbasil@example.org,unsubscribed\n"
    with folder.session() as session:
        Import(session, folder, content, maps={"Type": "plan"})
        assert people(session)["amber@example.org"] == ("", {"plan": "Donor"}, "active")
        assert people(session)["basil@example.org"][2] == "unsubscribed"


def test_an_attribute_called_state_is_an_attribute(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(('"city"', '"state"'))
    with folder.session() as session:
        session.add(List(slug=DIGEST, title="Digest"))
        Import(session, folder, "email,state\namber@example.org,CA\n")
        assert people(session) == {"amber@example.org": ("", {"state": "CA"}, "active")}
        out = io.StringIO(newline="")
        export_csv(subscribers.listing(session), folder.config.attributes, out)
        session.rollback()
    with folder.session() as session:
        session.add(List(slug=DIGEST, title="Digest"))
        Import(session, folder, out.getvalue())
        assert people(session) == {"amber@example.org": ("", {"state": "CA"}, "active")}


def test_names_and_attributes_are_filled_in_where_empty_and_replaced_only_if_asked(
    folder: Folder, subscribe: Subscribe
) -> None:
    content = "email,name,city,plan\namber@example.org,New,Osaka,\n"
    with folder.session() as session:
        subscribe(session, "amber@example.org", name="", attributes={"city": "Kyoto", "plan": "paid"})
        assert Import(session, folder, content).outcomes() == {"known": 1}
        assert people(session)["amber@example.org"] == ("New", {"city": "Kyoto", "plan": "paid"}, "active")
        Import(session, folder, content.replace("New", "Newer"), update_known=True)
        assert people(session)["amber@example.org"] == ("Newer", {"city": "Osaka", "plan": "paid"}, "active")


def test_a_pending_subscription_is_not_confirmed_by_an_import(folder: Folder, subscribe: Subscribe) -> None:
    with folder.session() as session:
        subscribe(session, "amber@example.org", state=SubscriptionState.pending)
        Import(session, folder, "email\namber@example.org\n")
        assert people(session)["amber@example.org"][2] == "pending"


def test_one_person_on_two_lists_stays_out_of_the_one_they_left(folder: Folder, subscribe: Subscribe) -> None:
    with folder.session() as session:
        subscribe(session, "amber@example.org", state=SubscriptionState.unsubscribed)
        session.add(List(slug="extra", title="Extra"))
        session.flush()
        done = Import(session, folder, "email\namber@example.org\n", lists=(DIGEST, "extra"))
        assert (done.outcomes(), done.report.partly) == ({"joined": 1}, 1)
        assert done.refused[0].reason == "unsubscribed from alliance-digest"
        assert [(row.list, row.shown) for row in subscribers.listing(session)] == [
            ("alliance-digest", "unsubscribed"),
            ("extra", "active"),
        ]


def test_rows_that_cannot_be_taken_are_handed_back_with_line_and_reason(folder: Folder) -> None:
    content = (
        "email,name,city\n"
        '"amber@example.org","Amber\r\nBcc: all@example.org",x\n'
        "\n"
        "not-an-address,B,\n"
        ",nobody,\n"
        "clover@example.org,Clover,Kyoto,too,many\n"
        f"dune@example.org,{'D' * 201},\n"
        "ember@example.org,E\u202er,\n"
        "fern@example.org,Fern,\n"
        "Fern@Example.org,Fern,\n"
    )
    with folder.session() as session:
        done = Import(session, folder, content)
        assert [(row.line, row.reason.partition(":")[0]) for row in done.refused] == [
            (2, "the name holds a line break"),
            (5, '"not-an-address" is not an address'),
            (6, "there is no address"),
            (7, "the row has 5 cells, the header 3; a quotation mark is missing"),
            (8, "the name is 201 characters long; 200 is the most"),
            (9, "the name holds a control character (U+202E)"),
        ]
        assert list(people(session)) == ["fern@example.org"]
        assert done.outcomes() == {"refused": 6, "added": 1, "repeated": 1}


WRITTEN = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc", "Zl", "Zp"],
        exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    ),
    max_size=30,
).map(lambda text: subscribers.one_line(text, "name"))
PERSON = st.tuples(
    st.from_regex(r"\A[a-z0-9=+'-][a-z0-9=+'-]{0,8}@example\.org\Z"),
    WRITTEN,
    st.sampled_from(["", "en", "zh-Hant"]),
    st.dictionaries(st.sampled_from(["first_name", "city", "plan"]), WRITTEN.filter(bool)),
    st.sampled_from(SubscriptionState),
    st.sampled_from([None, SuppressionReason.bounce, SuppressionReason.complaint]),
)


@AT_LEISURE
@given(st.lists(PERSON, max_size=6, unique_by=lambda person: unguarded(person[0])))
def test_what_is_exported_and_imported_again_is_the_same(
    folder: Folder,
    subscribe: Subscribe,
    given: list[tuple[str, str, str, dict[str, str], SubscriptionState, SuppressionReason | None]],
) -> None:
    def all_of(session: Session) -> list[tuple[object, ...]]:
        return sorted(
            (
                row.address,
                row.name,
                row.language,
                sorted(row.attributes.items()),
                row.list,
                str(row.state),
                row.joined,
                str(row.suppressed),
            )
            for row in subscribers.listing(session)
        )

    with folder.session() as session:
        for address, name, language, attributes, state, barred in given:
            person = subscribe(session, address, name=name, attributes=attributes, state=state)
            person.language = language
            if barred:
                suppressions.add(session, address, barred, "", NOW)
        session.flush()
        before = all_of(session)
        out = io.StringIO(newline="")
        export_csv(subscribers.listing(session), folder.config.attributes, out)
        session.rollback()
    with folder.session() as session:
        done = Import(session, folder, out.getvalue(), now=LATER)
        # Who is suppressed and active had joined then; all else is to the letter.
        assert all_of(session) == before
        assert done.refused == []
        session.rollback()


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "windows-1252"]


@settings(AT_LEISURE, max_examples=60)
@given(
    st.sampled_from(ENCODINGS),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.booleans(),
    st.lists(st.text("aé;,\t|\"' \n—x", max_size=12), min_size=1, max_size=4),
    st.booleans(),
)
def test_every_encoding_separator_and_quoting_gives_the_same_people(
    lite_folder: Folder,
    encoding: str,
    separator: str,
    ending: str,
    quoting: int,
    told: bool,
    notes: list[str],
    turned: bool,
) -> None:
    out = io.StringIO(newline="")
    write = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    rows = [["E-Mail Address", "Notes", "City"]] + [
        # Python's writer quotes only the line breaks that it makes itself.
        [f"reader{number}@example.org", note.replace("\n", ending), f"Orléans {number}, “;|,”"]
        for number, note in enumerate(notes)
    ]
    write_rows = [row[::-1] for row in rows] if turned else rows
    write.writerows(write_rows)
    content = (f"sep={separator}{ending}" if told else "") + out.getvalue()
    with lite_folder.session() as session:
        session.add(List(slug=DIGEST, title="Digest"))
        done = Import(session, lite_folder, content.encode(encoding))
        assert done.refused == []
        assert [(row.address, row.attributes) for row in subscribers.listing(session)] == [
            (row[0], {"city": row[2]}) for row in rows[1:]
        ]
        assert done.report.separator == separator
        assert done.report.left_out == ("Notes",)
        session.rollback()


def test_windows_1252_is_taken_and_said(folder: Folder) -> None:
    with folder.session() as session:
        done = Import(session, folder, "email;city\namber@example.org;Orléans\n".encode("windows-1252"))
        assert done.report.encoding == "windows-1252"
        assert people(session)["amber@example.org"][1] == {"city": "Orléans"}


def test_japanese_excels_encoding_is_asked_for_and_taken_when_named(folder: Folder) -> None:
    content = "メールアドレス,氏名,city\namber@example.org,さくら、ＡＭＥ,東京\n".encode("cp932")
    with folder.session() as session:
        with pytest.raises(ImportMistake, match="--encoding cp932"):
            Import(session, folder, content)
        Import(session, folder, content, encoding="cp932")
        assert people(session) == {"amber@example.org": ("さくら、ＡＭＥ", {"city": "東京"}, "active")}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "there is nothing in it"),
        (b"\xef\xbb\xbf\r\n\r\n", "there is nothing in it"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(1, 200)) * 20, "no text"),
        (b"%PDF-1.7", "PDF"),
        (b"<!doctype html><html>", "web page"),
        (b"name,city\nAmber,Kyoto\n", "no column of addresses"),
        (
            b'email,name\namber@example.org,"Amber\nbasil@example.org,Basil\nclover@example.org,Clover\n',
            "line 2: a quotation mark",
        ),
        (
            b'email,name\namber@example.org,"Amber\nbasil@example.org,"Basil"\nclover@example.org,Clover\n',
            "line 2: a quotation mark",
        ),
        (b'email,name\namber@example.org,"' + b"Amber\n" * 30000, "line 2: a quotation mark"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence_and_leaves_nothing(
    folder: Folder, content: bytes, words: str
) -> None:
    with pytest.raises(ImportMistake) as mistake, folder.session() as session:
        Import(session, folder, content)
    assert words in str(mistake.value)
    assert "people.csv" in str(mistake.value)
    with folder.session() as session:
        assert people(session) == {}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"maps": {"Town": "city"}}, 'no column "Town"'),
        ({"maps": {"name": "town"}}, 'no attribute "town"'),
    ],
)
def test_a_map_of_what_is_not_there_is_a_sentence(folder: Folder, how: dict[str, object], words: str) -> None:
    with folder.session() as session, pytest.raises(ImportMistake, match=words):
        Import(session, folder, "email,name\namber@example.org,A\n", **how)


def test_a_list_that_is_not_there_is_a_sentence(folder: Folder) -> None:
    with folder.session() as session, pytest.raises(ListMistake, match="There is alliance-digest"):
        Import(session, folder, MAILCHIMP, lists=("nonsense",))


def test_an_import_stopped_in_the_middle_leaves_nothing(folder: Folder) -> None:
    content = "email\n" + "".join(f"reader{number}@example.org\n" for number in range(2500))

    def stop(octets: int) -> None:
        if octets >= len(content):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), folder.session() as session:
        Import(session, folder, content, progress=stop)
    with folder.session() as session:
        assert people(session) == {}
        assert Import(session, folder, content).outcomes() == {"added": 2500}


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "'=1", "''+", "＝1", "-"])
def test_no_cell_is_a_formula_and_reading_gives_it_back(cell: str) -> None:
    assert guarded(cell)[0] == "'"
    assert unguarded(guarded(cell)) == cell


@settings(deadline=None)
@given(st.text(max_size=8))
def test_any_cell_comes_back_as_it_was(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert guarded(cell)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")


def run(folder: Folder, *words: str, **how: object) -> tuple[int, str]:
    done = CliRunner().invoke(newsletter, ["-C", str(folder.path), "subscriber", *words], **how)  # type: ignore[arg-type]
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def test_a_dry_run_reports_the_same_and_takes_nobody_in(folder: Folder, beside: Path) -> None:
    (beside / "people.csv").write_text(MAILCHIMP + "nonsense,,,,,,,,,,\n", encoding="utf-8")
    dry = json.loads(run(folder, "import", "people.csv", "-l", DIGEST, "--dry-run", "--json")[1])
    with folder.session() as session:
        assert people(session) == {}
    wet = json.loads(run(folder, "import", "people.csv", "-l", DIGEST, "--json")[1])
    assert (wet.pop("dry_run"), dry.pop("dry_run")) == (False, True)
    assert (wet.pop("refused_file"), dry.pop("refused_file")) == ("people-refused-2.csv", "people-refused.csv")
    assert wet == dry
    assert wet["outcomes"]["added"] == 2


def test_refused_rows_go_to_a_file_of_ones_own_that_is_safe_and_can_be_imported_again(
    folder: Folder, beside: Path
) -> None:
    (beside / "people.csv").write_text("email,name\nnonsense,=1+1\namber@example.org,A\n", encoding="utf-8")
    code, shown = run(folder, "import", "people.csv", "-l", DIGEST)
    assert (code, "people-refused.csv" in shown, "not an address" in shown) == (0, True, True)
    path = beside / "people-refused.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert rows[0] == ["line", "reason", "email", "name"]
    assert (rows[1][0], rows[1][2:]) == ("2", ["nonsense", "'=1+1"])
    path.write_text(path.read_text(encoding="utf-8").replace("nonsense,", "basil@example.org,"), encoding="utf-8")
    run(folder, "import", "people-refused.csv", "-l", DIGEST)
    with folder.session() as session:
        assert people(session)["basil@example.org"][0] == "=1+1"


def test_an_import_that_fails_leaves_no_file_of_refused_rows(folder: Folder, beside: Path) -> None:
    (beside / "people.csv").write_text(
        'email,name\nnonsense,x\namber@example.org,"never closed\nx,y\n', encoding="utf-8"
    )
    with pytest.raises(ImportMistake):
        run(folder, "import", "people.csv", "-l", DIGEST)
    assert [path.name for path in beside.iterdir()] == ["people.csv"]


def test_standard_input_is_a_file_too(folder: Folder, beside: Path) -> None:
    code, shown = run(folder, "import", "-", "-l", DIGEST, input=MAILCHIMP.encode("utf-16"))
    assert code == 0
    assert "standard input: 2 rows, UTF-16" in shown


def test_an_export_goes_to_a_new_file_that_excel_reads_and_json_to_machines(folder: Folder, beside: Path) -> None:
    with folder.session() as session:
        Import(session, folder, "email,name\namber@example.org,桜\n")
    run(folder, "export", "--output", "out.csv")
    content = (beside / "out.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfaddress,name,language,list,state,since,joined,why,suppressed,first_name")
    assert "桜".encode() in content
    assert stat.S_IMODE((beside / "out.csv").stat().st_mode) == 0o600
    with pytest.raises(Exception, match="such a file already"):
        run(folder, "export", "--output", "out.csv")
    lines = run(folder, "export", "--json", "--state", "active")[1].splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["桜"]
    assert run(folder, "export", "--state", "pending")[1].strip("\ufeff").count("\r\n") <= 1
    with folder.reading() as session:
        assert export_json(subscribers.listing(session), io.StringIO()) == 1


def test_the_sample_subscribers_are_sixty_and_all_taken_in(folder: Folder) -> None:
    sample = Path(__file__).parent.parent / "sample/subscribers.csv"
    with folder.session() as session:
        done = Import(session, folder, sample.read_bytes())
        assert done.outcomes() == {"added": 60}
        assert done.report.left_out == ()
        names = [row.name for row in subscribers.listing(session)]
    for letters in ("桜", "قمر", "ดาว", "👨‍👩‍👧‍👦", "=?utf-8?q?", "Dune, D.", '"Em"'):
        assert any(letters in name for name in names), letters
    assert max(map(len, names)) > 150
    assert "" in names
