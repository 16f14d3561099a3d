"""Files of suppressions, as other systems write them and as we do; and the commands about suppressions."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import NOW
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from test_suppressions import LATER, sending, states, waiting

from newsletter import erasure, subscribers, suppressions
from newsletter.cli import newsletter
from newsletter.errors import ImportMistake
from newsletter.folder import Folder
from newsletter.models import Key, Subscriber, Suppression
from newsletter.spreadsheets import opened
from newsletter.states import SuppressionReason
from newsletter.suppression_columns import score
from newsletter.suppression_files import Outcome, Report, export_suppressions, import_suppressions
from newsletter.tokens import keys

BOUNCE, COMPLAINT, REQUEST, ERASURE = SuppressionReason


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., tuple[Report, list[tuple[int, str]]]]:
    """take(session, "name.csv", "email\\n…"): what an import reports, and what it refused with line and reason."""

    def read(session: Session, name: str, content: str | bytes, **how: Any) -> tuple[Report, list[tuple[int, str]]]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        refused: list[tuple[int, str]] = []
        with opened(path, score) as table:
            report = import_suppressions(
                session,
                table,
                now=LATER,
                why=f"import {name}",
                refuse=lambda row, _: refused.append((row.line, row.reason)),
                **how,
            )
        assert sum(report.outcomes.values()) == report.rows
        assert sum(report.added.values()) == report.outcomes[Outcome.added]
        assert sum(report.refused.values()) == report.outcomes[Outcome.refused] == len(refused)
        return report, refused

    return read


def kept(session: Session) -> dict[str | None, tuple[SuppressionReason, str]]:
    return {row.address: (row.reason, row.why) for row in session.scalars(select(Suppression))}


# ---- what other systems write


def test_a_bare_list_of_addresses_is_taken_as_asked_for(scratch: Session, take: Any) -> None:
    report, refused = take(scratch, "never.txt", "jane@example.org\nJoe@Example.ORG\n\nkeiko@例え.jp\n")
    assert (report.headerless, report.rows, report.assumed, refused) == (True, 3, 3, [])
    assert kept(scratch) == {
        "jane@example.org": (REQUEST, "import never.txt"),
        "Joe@example.org": (REQUEST, "import never.txt"),
        "keiko@例え.jp": (REQUEST, "import never.txt"),
    }


def test_amazon_writes_an_address_and_a_word_with_no_header(scratch: Session, take: Any) -> None:
    take(scratch, "ses.csv", "jane@example.org,BOUNCE\njoe@example.org,COMPLAINT\n")
    assert {address: reason for address, (reason, _) in kept(scratch).items()} == {
        "jane@example.org": BOUNCE,
        "joe@example.org": COMPLAINT,
    }


def test_amazons_console_writes_columns(scratch: Session, take: Any) -> None:
    text = "Email address,Reason,Last update time\njane@example.org,COMPLAINT,2023-05-01T10:00:00Z\n"
    report, _ = take(scratch, "ses.csv", text)
    assert report.undated == 0
    [row] = scratch.scalars(select(Suppression))
    assert (row.reason, row.since) == (COMPLAINT, dt.datetime(2023, 5, 1, 10, tzinfo=dt.UTC))


def test_sendgrid_keeps_the_servers_words_and_only_lasting_ones_about_the_reader_count(
    scratch: Session, take: Any
) -> None:
    text = (
        "status,reason,email,created\n"
        "5.1.1,550 5.1.1 The email account that you tried to reach does not exist,gone@example.org,1683000000\n"
        "4.2.2,452 4.2.2 mailbox full,full@example.org,1683000000\n"
        "5.7.1,550 5.7.1 Message rejected due to our policy,policy@example.org,1683000000\n"
    )
    report, refused = take(scratch, "suppression_bounces.csv", text)
    assert kept(scratch) == {
        "gone@example.org": (BOUNCE, "550 5.1.1 The email account that you tried to reach does not exist")
    }
    assert [line for line, _ in refused] == [3, 4]
    assert "may pass" in refused[0][1]
    assert "the sender was refused" in refused[1][1]
    assert scratch.scalars(select(Suppression.since)).one() == dt.datetime.fromtimestamp(1683000000, dt.UTC)
    report, refused = take(scratch, "suppression_bounces.csv", text, reason=BOUNCE)
    assert report.outcomes == {Outcome.added: 2, Outcome.known: 1}
    assert refused == []


def test_sendgrids_spam_reports_say_what_they_are_by_their_name_alone(scratch: Session, take: Any) -> None:
    take(scratch, "suppression_spam_reports.csv", "ip,email,created\n10.0.0.1,jane@example.org,1683000000\n")
    assert kept(scratch)["jane@example.org"][0] is COMPLAINT


def test_words_that_nobody_knows_mean_what_the_name_of_the_file_says(scratch: Session, take: Any) -> None:
    text = "reason,email,created\nWir mögen das nicht,jane@example.org,1683000000\nmailbox full,joe@example.org,1683000000\n"
    report, refused = take(scratch, "suppression_invalid_emails.csv", text)
    assert (kept(scratch), report.assumed) == ({"jane@example.org": (BOUNCE, "Wir mögen das nicht")}, 1)
    assert [line for line, _ in refused] == [3]
    _, refused = take(scratch, "people.csv", text)
    assert [line for line, _ in refused] == [2, 3]


def test_mailgun_has_a_code_and_an_error(scratch: Session, take: Any) -> None:
    text = (
        "address,code,error,created_at\n"
        'gone@example.org,550,"No such user here","Fri, 21 Oct 2022 11:02:55 GMT"\n'
        'busy@example.org,421,"Try again later","Fri, 21 Oct 2022 11:02:55 GMT"\n'
    )
    _, refused = take(scratch, "list.csv", text)
    assert kept(scratch) == {"gone@example.org": (BOUNCE, "No such user here")}
    assert [line for line, _ in refused] == [3]
    assert scratch.scalars(select(Suppression.since)).one() == dt.datetime(2022, 10, 21, 11, 2, 55, tzinfo=dt.UTC)


def test_postmark_writes_words_of_its_own(scratch: Session, take: Any) -> None:
    take(
        scratch,
        "postmark.csv",
        "EmailAddress,SuppressionReason,Origin,CreatedAt\n"
        "a@example.org,HardBounce,Recipient,2023-05-01T10:00:00-05:00\n"
        "b@example.org,SpamComplaint,Recipient,2023-05-01T10:00:00-05:00\n"
        "c@example.org,ManualSuppression,Customer,2023-05-01T10:00:00-05:00\n",
    )
    assert [reason for reason, _ in kept(scratch).values()] == [BOUNCE, COMPLAINT, REQUEST]


def test_mailchimps_cleaned_addresses_bounced(scratch: Session, take: Any) -> None:
    take(scratch, "export.csv", "Email Address,First Name,CLEAN_TIME\njane@example.org,Jane,2023-05-01 10:00:00\n")
    assert kept(scratch)["jane@example.org"][0] is BOUNCE


def test_mailchimps_file_of_those_who_are_subscribed_suppresses_nobody(scratch: Session, take: Any) -> None:
    with pytest.raises(ImportMistake, match="those who are subscribed"):
        take(scratch, "subscribed_members_export_1a2b.csv", "Email Address,First Name\njane@example.org,Jane\n")
    take(scratch, "unsubscribed_members_export_1a2b.csv", "Email Address,First Name\njane@example.org,Jane\n")
    assert kept(scratch)["jane@example.org"][0] is REQUEST


def test_who_may_be_mailed_is_never_taken_for_suppressed(scratch: Session, take: Any) -> None:
    text = "uuid,email,name,attributes,status\n1,a@example.org,A,{},enabled\n2,b@example.org,B,{},blocklisted\n"
    report, _ = take(scratch, "listmonk.csv", text, reason=BOUNCE)
    assert kept(scratch).keys() == {"b@example.org"}
    assert report.outcomes == {Outcome.mailed: 1, Outcome.added: 1}


def test_of_our_own_export_of_subscribers_only_the_suppressed_are_meant(scratch: Session, take: Any) -> None:
    text = (
        "address,name,language,list,state,since,joined,why,suppressed\n"
        "a@example.org,,,digest,unsubscribed,,,,\nb@example.org,,,digest,active,,,,complaint\n"
    )
    report, _ = take(scratch, "subscribers.csv", text)
    assert kept(scratch).keys() == {"b@example.org"}
    assert report.outcomes[Outcome.mailed] == 1


# ---- bad input


def test_a_bad_row_is_told_with_its_line_and_does_not_hold_up_the_others(scratch: Session, take: Any) -> None:
    text = (
        "email;reason\r\njane@example;bounce\r\njoe@example.org;whatever\r\n;bounce\r\nann@example.org;soft\r\n"
        "bea@example.org;bounce;x\r\nkim@example.org;complaint\r\n"
    )
    report, refused = take(scratch, "mixed.csv", b"\xef\xbb\xbf" + text.encode())
    assert (report.separator, kept(scratch).keys()) == (";", {"kim@example.org"})
    assert [line for line, _ in refused] == [2, 3, 4, 5, 6]
    assert refused[0][1].startswith('"jane@example" is not an address: ')
    assert refused[1][1] == (
        '"whatever" is no reason that is known here; write bounce, complaint, request or erasure, or say --reason'
    )
    assert refused[2][1] == "there is no address"
    assert "may pass" in refused[3][1]
    assert refused[4][1] == "the row has 3 cells, the header 2"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "windows-1252"])
def test_encodings_are_found(scratch: Session, take: Any, encoding: str) -> None:
    take(scratch, "x.csv", "email,reason,why\njané@example.org,bounce,n’existe pas\n".encode(encoding))
    assert kept(scratch) == {"jané@example.org": (BOUNCE, "n’existe pas")}


def test_a_file_without_addresses_is_refused_whole(scratch: Session, take: Any) -> None:
    with pytest.raises(ImportMistake, match="no column of addresses"):
        take(scratch, "x.csv", "name,reason\nJane,bounce\n")


def test_a_date_to_come_or_of_no_shape_is_that_of_the_import(scratch: Session, take: Any) -> None:
    report, _ = take(
        scratch, "x.csv", "email,reason,since\na@example.org,bounce,2999-01-01\nb@example.org,bounce,yesterday\n"
    )
    assert set(scratch.scalars(select(Suppression.since))) == {LATER}
    assert report.undated == 1


# ---- what it does here


def test_who_is_suppressed_already_stays_as_they_are(scratch: Session, take: Any) -> None:
    suppressions.add(scratch, "jane@example.org", COMPLAINT, "first", NOW)
    report, _ = take(
        scratch, "x.csv", "email,reason\nJANE@example.org,bounce\njoe@example.org,bounce\nJoe@example.org,"
    )
    assert report.outcomes == {Outcome.known: 2, Outcome.added: 1}
    assert kept(scratch)["jane@example.org"] == (COMPLAINT, "first")


def test_what_waits_for_the_suppressed_is_called_off_and_it_is_in_their_history(
    session: Session, subscribe: Callable[..., Subscriber], take: Any
) -> None:
    issue = sending(session)
    people = [subscribe(session, f"{name}@example.org") for name in ("ann", "bea", "kim")]
    for person, state in zip(people, ("queued", "deferred", "queued"), strict=True):
        waiting(session, issue, person, state, "451 later" if state == "deferred" else None)
    report, _ = take(
        session, "x.csv", "email,reason\nann@example.org,bounce\nbea@example.org,complaint\nno@example.org,"
    )
    assert (report.readers, report.skipped) == (2, 2)
    assert states(session) == [
        ("skipped", "suppressed: bounce"),
        ("skipped", "suppressed: complaint"),
        ("queued", None),
    ]
    assert "suppressed: bounce (import x.csv)" in [each.what for each in subscribers.history(session, people[0])]


def test_an_import_of_thousands_with_readers_in_every_batch_calls_all_of_theirs_off(
    session: Session, subscribe: Callable[..., Subscriber], take: Any
) -> None:
    issue = sending(session)
    for number in range(0, 2500, 500):
        waiting(session, issue, subscribe(session, f"r{number}@example.org"))
    text = "".join(f"r{number}@example.org\n" for number in range(2500))
    report, _ = take(session, "x.csv", "email\n" + text)
    assert (report.outcomes[Outcome.added], report.readers, report.skipped) == (2500, 5, 5)
    assert set(states(session)) == {("skipped", "suppressed: request")}


# ---- our own export


def exported(session: Session) -> str:
    out = io.StringIO()
    export_suppressions(suppressions.listing(session), keys(session, NOW), out)
    return out.getvalue()


def test_an_export_taken_in_again_gives_the_same(
    scratch: Session, subscribe: Callable[..., Subscriber], take: Any
) -> None:
    suppressions.add(scratch, "jane@example.org", BOUNCE, '=HYPERLINK("x"), she "said"', NOW)
    erasure.clear(scratch, subscribe(scratch, "joe@example.org"), NOW)
    before = [(row.fingerprint, row.address, row.reason, row.since, row.why) for row in suppressions.listing(scratch)]
    text = exported(scratch)
    assert "joe" not in text
    assert ",\"'=HYPERLINK(" in text
    scratch.execute(delete(Suppression))
    report, refused = take(scratch, "suppressions.csv", text)
    assert (report.outcomes, refused) == ({Outcome.added: 2}, [])
    after = [(row.fingerprint, row.address, row.reason, row.since, row.why) for row in suppressions.listing(scratch)]
    assert [row[:4] for row in after] == [row[:4] for row in before]
    assert '=HYPERLINK("x"), she "said"' in {row[4] for row in after}
    assert suppressions.of_address(scratch, "joe@example.org", NOW)


def test_a_fingerprint_of_another_database_is_refused_and_says_why(
    scratch: Session, subscribe: Callable[..., Subscriber], take: Any
) -> None:
    erasure.clear(scratch, subscribe(scratch, "joe@example.org"), NOW)
    text = exported(scratch)
    scratch.execute(delete(Suppression))
    scratch.execute(delete(Key).where(Key.purpose == "fingerprint"))
    _, refused = take(scratch, "suppressions.csv", text)
    assert refused == [(2, "the fingerprint was made with another database's key, and protects nobody here")]
    assert kept(scratch) == {}


def test_bare_fingerprints_are_refused_since_nothing_says_whose_key_it_was(scratch: Session, take: Any) -> None:
    _, refused = take(scratch, "x.csv", f"fingerprint,reason\n{'a' * 32},erasure\nxyz,erasure\n")
    assert "another database's key" in refused[0][1]
    assert refused[1][1] == '"xyz" is no fingerprint; it has 32 hexadecimal digits'


def test_who_was_erased_elsewhere_leaves_no_address_here_and_it_is_said_whose_data_we_still_have(
    scratch: Session, subscribe: Callable[..., Subscriber], take: Any
) -> None:
    subscribe(scratch, "jane@example.org")
    subscribe(scratch, "joe@example.org")
    suppressions.add(scratch, "joe@example.org", BOUNCE, "", NOW)
    erasure.clear(scratch, subscribe(scratch, "kim@example.org"), NOW)
    text = "email,reason,why\n" + "".join(
        f"{name}@example.org,erasure,{name} wrote to us\n" for name in ("jane", "joe", "kim", "no", "jane")
    )
    report, _ = take(scratch, "x.csv", text)
    assert (report.to_erase, report.readers) == (2, 1)
    assert report.outcomes == {Outcome.added: 2, Outcome.known: 3}
    assert kept(scratch).keys() == {None, "joe@example.org"}
    assert "wrote" not in " ".join(row.why for row in scratch.scalars(select(Suppression)))
    assert suppressions.of_address(scratch, "no@example.org", NOW).reason is ERASURE  # type: ignore[union-attr]


# ---- commands


@pytest.fixture
def run(lite_folder: Folder) -> Callable[..., str]:
    def typed(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(
            newsletter, ["-C", str(lite_folder.path), "suppression", *words], catch_exceptions=False
        )
        assert done.exit_code == code, done.output
        return done.stdout

    return typed


def test_addresses_are_suppressed_listed_shown_and_let_go_by_command(run: Any, lite_folder: Folder) -> None:
    assert "No address is suppressed." in run("list")
    run("add", "jane@example.org", "--reason", "complaint", "--why", "wrote to us", "--at", NOW.isoformat())
    run("add", "joe@example.org", "--at", LATER.isoformat())
    assert [row["address"] for row in json.loads(run("list", "--json", "--reason", "complaint"))] == [
        "jane@example.org"
    ]
    assert json.loads(run("list", "--since", "2023-11-14", "--json")) == []
    assert "1 of 2" in run("list", "--limit", "1")
    assert "joe" in run("list", "--search", "JOE")
    assert "never mailed" in run("show", "Jane@example.org")
    shown = json.loads(run("show", "jane@example.org", "--json"))
    assert (shown["suppressed"]["reason"], shown["suppressed"]["why"]) == ("complaint", "wrote to us")
    assert "may be mailed again" in run("remove", "jane@example.org", "--why", "a slip")
    assert json.loads(run("show", "jane@example.org", "--json"))["suppressed"] is None
    assert "suppression lifted" in run("show", "jane@example.org")
    with lite_folder.reading() as session:
        assert kept(session).keys() == {"joe@example.org"}


def test_looking_waits_for_no_writer(run: Any, lite_folder: Folder) -> None:
    run("add", "joe@example.org")
    with lite_folder.engine.connect() as writer, writer.begin():
        # It holds the write lock; whoever wanted it too would wait half a minute.
        assert "isn't suppressed" in run("show", "jane@example.org")
        assert run("export").startswith("\ufeffaddress,fingerprint,")


def test_files_go_in_and_out_by_command(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("email,reason\na@example.org,bounce\nb@,bounce\n", encoding="utf-8")
    assert "Dry run" in run("import", "people.csv", "--dry-run")
    assert json.loads(run("list", "--json")) == []
    report = json.loads(run("import", "people.csv", "--json"))
    assert (report["outcomes"]["added"], report["outcomes"]["refused"]) == (1, 1)
    assert "b@" in Path(report["refused_file"]).read_text(encoding="utf-8-sig")
    run("export", "--output", "out.csv")
    [row] = csv.DictReader(io.StringIO(Path("out.csv").read_text(encoding="utf-8-sig")))
    assert (row["address"], row["reason"], row["fingerprint"]) == ("a@example.org", "bounce", "")
    assert Path("out.csv").stat().st_mode & 0o077 == 0
    assert "suppressed already" in run("import", "out.csv")
