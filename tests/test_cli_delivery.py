"""newsletter delivery, as an admin types it."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
from email import message_from_bytes
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import select, update
from test_sender import READERS, issue, send, states  # noqa: F401 - issue is a fixture

from newsletter import erasure, subscribers
from newsletter.cli import newsletter
from newsletter.cli.new_file import new_file
from newsletter.errors import DeliveryMistake, IssueMistake, Mistake, SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import Delivery, Issue
from newsletter.states import DeliveryState, IssueState

AT = ("--at", "2023-11-13T15:00:00-05:00")


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    """SQLite alone: what is asked of the database here is tested on both in test_delivery_log and test_decisions."""
    shutil.copy(migrated, tmp_path / "newsletter.db")
    return "sqlite:///newsletter.db"


def type_in(folder: Folder, *words: str, typed: str | None = None) -> Result:
    at = () if "--at" in words or words[0] == "--help" else AT
    result = CliRunner().invoke(newsletter, ["-C", str(folder.path), "delivery", *words, *at], input=typed)
    if isinstance(result.exception, Mistake):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def said(folder: Folder, *words: str, typed: str | None = None) -> str:
    result = type_in(folder, *words, typed=typed)
    assert result.exit_code == 0, result.output
    return result.stdout


def facts(folder: Folder, *words: str) -> Any:
    return json.loads(said(folder, *words, "--json"))


@pytest.fixture
def make_sent(issue: Any) -> Any:  # noqa: F811
    def make(server: MailServer) -> Folder:
        server.refuse["reader01@example.org"] = "550 5.2.3 =message too long"
        server.drop_after_dot |= {"reader02@example.org", "reader03@example.org"}
        folder: Folder = issue(server, READERS[:6])
        # A relay that breaks off is left alone for some seconds.
        for seconds in (0, 6, 20):
            send(folder, NOW + dt.timedelta(seconds=seconds))
        server.refuse.clear()
        return folder

    return make


@pytest.fixture
def sent(make_sent: Any) -> Folder:
    """An issue that went to six readers; 01 failed, 02 and 03 are uncertain."""
    with MailServer() as server:
        folder: Folder = make_sent(server)
    return folder


# ---- reading


def test_the_log_says_how_the_audience_adds_up_and_shows_trouble_first(sent: Folder) -> None:
    with sent.session() as session:
        session.execute(update(Issue).values(candidates=9, excluded={"unsubscribed": 2, "suppressed: bounce": 1}))
    output = said(sent, "list", "2.21")
    assert output.splitlines()[:4] == [
        "Vol 2 No 21  ✓ sent",
        "9 candidates = 6 due + 2 unsubscribed + 1 suppressed: bounce",
        "6 due = 3 sent + 1 failed + 2 uncertain",
        "Sent: a relay took it; no more is known.",
    ]
    assert output.count("a relay took it") == 1
    rows = [line.split()[2] for line in output.splitlines() if "@example.org" in line]
    assert rows == [f"reader0{n}@example.org" for n in (1, 2, 3, 0, 4, 5)]
    assert "today 14:46" in output
    assert "550 5.2.3 =message too long" in output


def test_a_long_reply_is_shortened_in_the_table_and_whole_for_machines(sent: Folder) -> None:
    long = "550 5.7.1 " + "for many reasons " * 20 + "in the end"
    with sent.session() as session:
        session.execute(update(Delivery).where(Delivery.state == DeliveryState.failed).values(reply=long))
    output = said(sent, "list", "2.21")
    (line,) = (line for line in output.splitlines() if "reader01" in line)
    assert "550 5.7.1 for many" in line
    assert line.rstrip().endswith("…")
    assert facts(sent, "list", "2.21")["deliveries"][0]["reply"] == long


def test_the_log_says_how_many_more_there_are_and_how_to_see_them(sent: Folder) -> None:
    assert "4 more: -n 6 shows all, newsletter delivery export 2.21 writes a file." in said(
        sent, "list", "2.21", "-n", "2"
    )
    assert " more: " not in said(sent, "list", "2.21", "-n", "6")
    assert "1 more: -n 2 shows all" in said(sent, "list", "2.21", "-n", "1", "--state", "uncertain")


def test_the_log_for_machines_adds_up_too(sent: Folder) -> None:
    found = facts(sent, "list", "2.21", "-n", "2", "--state", "uncertain", "--state", "failed")
    assert found["candidates"] == found["due"] + sum(found["excluded"].values())
    assert found["due"] == sum(found["states"].values()) == 6
    assert (found["matching"], found["more"], len(found["deliveries"])) == (3, 1, 2)
    assert found["deliveries"][0] == {
        "subscriber": found["deliveries"][0]["subscriber"], "address": "reader01@example.org", "name": "Reader01",
        "state": "failed", "since": "2023-11-13T19:46:00Z", "next_look": None, "tries": 1, "relay": "outbox",
        "reply": "550 5.2.3 =message too long",
    }  # fmt: skip


def test_the_log_is_narrowed_by_state_text_domain_and_reply(sent: Folder) -> None:
    assert len(facts(sent, "list", "2.21", "--domain", "example.org")["deliveries"]) == 6
    assert "No delivery matches that." in said(sent, "list", "2.21", "--domain", "example.com")
    assert [each["address"] for each in facts(sent, "list", "2.21", "--search", "er04")["deliveries"]] == [
        "reader04@example.org"
    ]
    assert [each["address"] for each in facts(sent, "list", "2.21", "--where-reply", "5.2.3")["deliveries"]] == [
        "reader01@example.org"
    ]
    with pytest.raises(DeliveryMistake, match=r'"no domain" is not a domain'):
        type_in(sent, "list", "2.21", "--domain", "no domain")


def test_an_issue_that_is_not_there_or_has_no_audience_is_a_sentence(folder: Folder) -> None:
    with folder.session() as session:
        session.add(Issue(
            publication="digest", slot=NOW.date(), state=IssueState.open, since=NOW, deadline=NOW, approve_by=NOW, sends=NOW,
        ))  # fmt: skip
    for words in (["list"], ["show", "ada@example.org"], ["export"], ["retry"], ["resolve"]):
        verb, *rest = words
        with pytest.raises(IssueMistake, match=r'there is no issue "9\.9"'):
            type_in(folder, verb, "9.9", *rest)
        with pytest.raises(DeliveryMistake, match="its audience is frozen when it is sent"):
            type_in(folder, verb, "next", *rest)


def test_one_readers_attempts_are_shown_in_the_servers_own_words(make_sent: Any) -> None:
    with MailServer() as server:
        folder = make_sent(server)
        said(folder, "retry", "2.21", "--yes", "--by", "Ada")
        send(folder, NOW + dt.timedelta(minutes=20))
        (received,) = (each for each in server.messages if each.recipient == "reader01@example.org")
    output = said(folder, "show", "2.21", "reader01@example.org")
    assert "reader01@example.org  Reader01  ✓ sent" in output
    assert "Vol 2 No 21 of US-Japan Alliance Digest, times in America/New_York" in output
    assert output.index("550 5.2.3 =message too long") < output.index("250 2.0.0 taken")
    assert "Sent: a relay took it; no more is known." in output
    found = facts(folder, "show", "2.21", "reader01@example.org")
    assert [(each["state"], each["reply"]) for each in found["attempts"]] == [
        ("failed", "550 5.2.3 =message too long"), ("sent", "250 2.0.0 taken"),
    ]  # fmt: skip
    assert found["message_id"] == message_from_bytes(received.data)["Message-ID"]
    assert f"Message-ID {found['message_id']}\n" in output
    assert found["tries"] == 2


def test_what_is_uncertain_says_who_looks_at_it_next(sent: Folder) -> None:
    output = said(sent, "show", "2.21", "reader02@example.org")
    assert "\nNext look: when someone decides: newsletter delivery resolve 2.21\n" in output
    assert "Next look" not in said(sent, "show", "2.21", "reader01@example.org")
    with sent.session() as session:
        again = NOW + dt.timedelta(minutes=24)
        session.execute(update(Delivery).values(state=DeliveryState.deferred, next_look=again))
        session.execute(update(Issue).values(state=IssueState.sending))
    assert "\nNext look: today 15:10\n" in said(sent, "show", "2.21", "reader01@example.org")
    with pytest.raises(SubscriberMistake, match="nobody here has the address nobody@example.org"):
        type_in(sent, "show", "2.21", "nobody@example.org")


# ---- as a file


def test_the_whole_log_as_a_file_that_no_spreadsheet_takes_for_formulas(sent: Folder, tmp_path: Path) -> None:
    with sent.session() as session:
        session.execute(update(Delivery).where(Delivery.state == DeliveryState.failed).values(reply="=1+1"))
    said(sent, "retry", "2.21", "--yes", "--by", "=Ada")
    path = tmp_path / "log.csv"
    assert type_in(sent, "export", "2.21", "--output", str(path)).stderr == f"7 lines in {path}.\n"
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    assert [(row["state"], row["last"], row["reply"]) for row in rows if row["address"] == "reader01@example.org"] == [
        ("failed", "no", "'=1+1"), ("queued", "yes", "to be tried again, by =Ada"),
    ]  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_log_of_every_issue_as_json_lines_on_standard_output(sent: Folder) -> None:
    rows = [json.loads(line) for line in said(sent, "export", "--all", "--format", "jsonl").splitlines()]
    assert len(rows) == 6
    assert {(row["publication"], row["issue"]) for row in rows} == {("digest", "2.21")}
    assert [row["address"] for row in rows] == sorted(row["address"] for row in rows)
    assert type_in(sent, "export").exit_code == type_in(sent, "export", "2.21", "--all").exit_code == 2


def test_an_export_writes_over_nothing_and_leaves_nothing_half_done(sent: Folder, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("mine")
    with pytest.raises(DeliveryMistake, match="there is such a file already. Nothing was written; name another"):
        type_in(sent, "export", "2.21", "-o", str(path))
    assert path.read_text() == "mine"
    with pytest.raises(DeliveryMistake, match="it can't be written: No such file or directory"):
        type_in(sent, "export", "2.21", "-o", str(tmp_path / "nowhere" / "log.csv"))
    with pytest.raises(IssueMistake):
        type_in(sent, "export", "9.9", "-o", str(tmp_path / "other.csv"))
    assert [each.name for each in tmp_path.glob("*.csv*")] == ["log.csv"]


def test_a_new_file_is_there_whole_or_not_at_all_whoever_else_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(KeyboardInterrupt), new_file(path, DeliveryMistake) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DeliveryMistake, match="such a file already"), new_file(path, DeliveryMistake) as part:
        part.write_text("ours")
        path.write_text("theirs, meanwhile")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a.txt", "theirs, meanwhile")]


# ---- trying again


def test_trying_again_says_how_many_and_asks_first(sent: Folder) -> None:
    refused = type_in(sent, "retry", "2.21", typed="n\n")
    assert "Try 1 delivery of Vol 2 No 21 again (1 failed)?" in refused.stderr
    assert refused.exit_code == 1
    assert states(sent)["reader01"][0] == "failed"
    assert said(sent, "retry", "2.21", "--by", "Ada", typed="y\n") == (
        "1 delivery of Vol 2 No 21 queued again.\n"
        "A sender takes them: newsletter run, or now: newsletter issue send 2.21\n"
    )
    assert states(sent)["reader01"] == ("queued", "to be tried again, by Ada")
    assert "◐ sending" in said(sent, "list", "2.21")
    assert said(sent, "retry", "2.21") == "Vol 2 No 21 has no failed delivery.\n"


def test_only_what_was_asked_for_is_tried_again(sent: Folder) -> None:
    assert said(sent, "retry", "2.21", "--state", "deferred", "--yes") == "Vol 2 No 21 has no deferred delivery.\n"
    assert "like that" in said(sent, "retry", "2.21", "--where-reply", "relaying denied", "--yes")
    assert "like that" in said(sent, "retry", "2.21", "--domain", "example.com", "--yes")
    for who, words in (
        ("reader00", r"is sent; what is failed and deferred is tried again"),
        ("reader02", "newsletter delivery resolve 2.21"),
    ):
        with pytest.raises(DeliveryMistake, match=words):
            type_in(sent, "retry", "2.21", "reader01@example.org", f"{who}@example.org", "--yes")
    assert states(sent)["reader01"][0] == "failed"
    assert "1 delivery of Vol 2 No 21 queued again." in said(sent, "retry", "2.21", "reader01@example.org", "--yes")


def test_whoever_left_meanwhile_is_left_out_and_counted(sent: Folder) -> None:
    with sent.session() as session:
        person = subscribers.find(session, "reader01@example.org")
        subscribers.unsubscribe(session, sent.config, person, None, NOW, "asked")
    assert said(sent, "retry", "2.21", "--yes") == "1 delivery left as it is: 1 unsubscribed.\n"
    assert "✓ sent" in said(sent, "list", "2.21")


def test_of_a_paused_issue_it_is_said_when_they_go_and_of_a_cancelled_one_none_do(sent: Folder) -> None:
    with sent.session() as session:
        session.execute(update(Issue).values(state=IssueState.paused))
    assert "They go when it is resumed: newsletter issue resume 2.21" in said(sent, "retry", "2.21", "--yes")
    with sent.session() as session:
        session.execute(update(Issue).values(state=IssueState.cancelled))
    for words in (("retry", "2.21"), ("resolve", "2.21", "--again")):
        with pytest.raises(DeliveryMistake, match="Vol 2 No 21 is cancelled, and nothing of it can be sent again"):
            type_in(sent, *words, "--yes")


# ---- deciding about what is uncertain


def test_uncertain_ones_are_listed_by_name_and_nothing_is_decided_unasked(sent: Folder) -> None:
    before = states(sent)
    output = said(sent, "resolve", "2.21")
    found = facts(sent, "resolve", "2.21")
    assert [each["address"] for each in found] == ["reader02@example.org", "reader03@example.org"]
    for each in found:
        assert f"? {each['address']}  today 14:46 through outbox\n  {each['reply']}\n  {each['message_id']}\n" in output
    assert "2 deliveries of Vol 2 No 21: the relay may have taken them, or not." in output
    assert "newsletter delivery resolve 2.21 ADDRESS... --sent " in output
    assert "newsletter delivery resolve 2.21 ADDRESS... --again" in output
    assert states(sent) == before


def test_a_decision_is_asked_for_by_name_and_can_be_declined(sent: Folder) -> None:
    before = states(sent)
    for flag, question in (
        ("--sent", "Count 2 deliveries of Vol 2 No 21 as sent?"),
        ("--again", "Send 2 deliveries of Vol 2 No 21 again, whoever may have the first?"),
    ):
        declined = type_in(sent, "resolve", "2.21", flag, typed="n\n")
        assert question in declined.stderr
        assert "reader02@example.org" in declined.stdout
        assert declined.exit_code == 1
    assert states(sent) == before


def test_counting_as_sent_says_who_said_so(sent: Folder) -> None:
    assert said(sent, "resolve", "2.21", "reader02@example.org", "--sent", "--yes", "--by", "Ada") == (
        "1 delivery of Vol 2 No 21 counted as sent by Ada.\n"
    )
    assert states(sent)["reader02"][1].endswith("; counted as sent by Ada")
    assert states(sent)["reader03"][0] == "uncertain"
    assert "1 delivery of" in said(sent, "resolve", "2.21", "--sent", "--yes")
    assert said(sent, "resolve", "2.21") == "Vol 2 No 21 has no uncertain delivery.\n"
    assert "6 due = 5 sent + 1 failed" in said(sent, "list", "2.21")


def test_sending_again_leaves_out_by_name_who_is_gone(sent: Folder) -> None:
    with sent.session() as session:
        person = subscribers.find(session, "reader02@example.org")
        subscribers.unsubscribe(session, sent.config, person, None, NOW, "asked")
    assert said(sent, "resolve", "2.21", "--again", "--yes") == (
        "reader02@example.org: unsubscribed, skipped.\n"
        "1 delivery of Vol 2 No 21 queued again.\n"
        "A sender takes them: newsletter run, or now: newsletter issue send 2.21\n"
    )
    assert (states(sent)["reader02"], states(sent)["reader03"][0]) == (("skipped", "unsubscribed"), "queued")


def test_an_erased_readers_uncertain_delivery_is_named_by_its_number(sent: Folder) -> None:
    with sent.session() as session:
        person = subscribers.find(session, "reader02@example.org")
        erasure.clear(session, person, NOW)
    assert f"? subscriber {person.id}, erased" in said(sent, "resolve", "2.21")
    assert "1 delivery of" in said(sent, "resolve", "2.21", str(person.id), "--sent", "--yes")


def test_what_is_not_uncertain_is_not_decided_about(sent: Folder) -> None:
    before = states(sent)
    for flag in ("--sent", "--again"):
        with pytest.raises(
            DeliveryMistake, match=r"reader01@example\.org is failed, not uncertain\. Nothing was changed\."
        ):
            type_in(sent, "resolve", "2.21", "reader02@example.org", "reader01@example.org", flag, "--yes")
    assert type_in(sent, "resolve", "2.21", "--sent", "--again").exit_code == 2
    assert type_in(sent, "resolve", "2.21", "--sent", "--json").exit_code == 2
    assert states(sent) == before


def test_the_issue_is_sent_once_the_last_of_it_is_decided(make_sent: Any) -> None:
    with MailServer() as server:
        folder = make_sent(server)
        said(folder, "resolve", "2.21", "--again", "--yes")
        with folder.reading() as session:
            assert session.scalars(select(Issue)).one().state is IssueState.sending
        send(folder, NOW + dt.timedelta(minutes=20))
    with folder.reading() as session:
        assert session.scalars(select(Issue)).one().state is IssueState.sent


@pytest.mark.parametrize("verb", ["list", "show", "export", "retry", "resolve"])
def test_every_verb_has_help_with_examples(verb: str) -> None:
    assert verb in CliRunner().invoke(newsletter, ["delivery", "--help"]).stdout
    result = CliRunner().invoke(newsletter, ["delivery", verb, "--help"])
    assert result.exit_code == 0
    assert f"newsletter delivery {verb} 2.21" in click.unstyle(result.stdout)
