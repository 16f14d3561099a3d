"""What is made of returns: whom they are about, what they lead to, and that nothing counts twice or is lost."""

from __future__ import annotations

import datetime as dt
import stat
import threading
from collections.abc import Callable
from typing import Any

import pytest
from came_back import (
    LATER,
    again,
    dsn,
    gone_out,
    message_id,
    number_of,
    returns,
    secrets,
    settings,
    suppressed,
    token,
    told,
)
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st
from mailserver import being_sent, ledger
from sqlalchemy import select, update

from newsletter import erasure, subscribers, suppressions
from newsletter.bounces import acting, counting, keeping, refusals
from newsletter.bounces.acting import Report
from newsletter.bounces.addressed import OurAddresses, token_of
from newsletter.bounces.verdict import Verdict
from newsletter.errors import ReturnMistake
from newsletter.folder import Folder
from newsletter.models import BounceScore, Delivery, Departure, Letter, Return, Subscriber, Subscription
from newsletter.states import (
    DeliveryState,
    LetterKind,
    LetterState,
    ReturnKind,
    SubscriptionState,
    SuppressionReason,
)

ANN, BOB, CAT = "ann@example.org", "bob@example.org", "cat@example.org"
HARD = {"kind": ReturnKind.hard, "status": "5.1.1", "words": "550 5.1.1 no such user"}
SOFT = {"kind": ReturnKind.soft, "status": "4.2.2", "words": "452 4.2.2 mailbox full"}


def say(folder: Folder, digest: str, *, now: dt.datetime = LATER, source: str = "stdin", **verdict: Any) -> Return:
    """Acts on one verdict."""
    signed = verdict.pop("signed", False)
    raw = verdict.pop("raw", b"Subject: what came back\n\nwhole\n")
    report = Report(Verdict(**verdict), digest)
    (row,) = acting.report(folder, source, [report], now, raw=raw, signed=signed)
    return row


@pytest.fixture
def issue(folder: Folder, subscribe: Callable[..., Subscriber]) -> int:
    return gone_out(folder, subscribe, [ANN, BOB, CAT])


def test_an_address_that_does_not_exist_is_suppressed_at_once(folder: Folder, issue: int) -> None:
    row = say(folder, "d1", token=token(folder, issue, ANN), **HARD)
    assert (row.kind, row.done) == (ReturnKind.hard, "suppressed (bounce)")
    assert (row.issue_id, row.subscriber_id, row.status) == (issue, number_of(folder, ANN), "5.1.1")
    assert suppressed(folder) == {ANN: "bounce"}
    with folder.reading() as session:
        told = [each.what for each in subscribers.history(session, subscribers.find(session, ANN))]
    assert "suppressed: bounce (550 5.1.1 no such user)" in told


def test_one_who_is_gone_behind_an_alias_is_no_reason_never_to_mail_its_reader_again(
    folder: Folder, issue: int
) -> None:
    mine = token(folder, issue, ANN)
    whole = dsn("gone@behind.example", token=mine)
    second = b"\r\n\r\nFinal-Recipient: rfc822; well@behind.example\r\nAction: delayed\r\nStatus: 4.2.0\r\n\r\n--b0und"
    at = whole.index(b"\r\n\r\n--b0und", whole.index(b"Final-Recipient"))
    both = whole[:at] + second + whole[at + len(b"\r\n\r\n--b0und") :]
    rows = acting.take(folder, both, "stdin", "", LATER)
    assert sorted(row.kind.value for row in rows) == ["delayed", "soft"]
    assert suppressed(folder) == {}
    acting.take(folder, dsn("gone@behind.example", token=mine, number=2), "stdin", "", LATER)
    assert suppressed(folder) == {ANN: "bounce"}


def test_a_token_counts_in_whatever_case_a_server_has_folded_it_to(folder: Folder, issue: int) -> None:
    assert say(folder, "d1", token=token(folder, issue, ANN).upper(), **HARD).done == "suppressed (bounce)"


def test_what_still_waits_for_a_suppressed_reader_is_called_off(
    folder: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    before = gone_out(folder, subscribe, [ANN])
    being_sent(folder, lambda *_, **__: None, [BOB], number=22)
    assert {state for state, _ in ledger(folder).values()} == {"queued"}
    say(folder, "d1", token=token(folder, before, ANN), **HARD)
    with folder.reading() as session:
        states = session.execute(select(Delivery.state, Delivery.reply).order_by(Delivery.issue_id)).all()
    assert [tuple(each) for each in states][1] == (DeliveryState.skipped, "suppressed: bounce")


def test_a_complaint_suppresses_and_the_first_reason_stays(folder: Folder, issue: int) -> None:
    mine = token(folder, issue, ANN)
    assert say(folder, "d1", token=mine, kind=ReturnKind.complaint).done == "suppressed (complaint)"
    assert say(folder, "d2", token=mine, **HARD).done == "suppressed already (complaint)"
    assert suppressed(folder) == {ANN: "complaint"}


def test_a_report_about_a_message_that_we_never_sent_suppresses_nobody(folder: Folder, issue: int) -> None:
    stranger = secrets(folder).reader(issue, 4711)
    never = secrets(folder).reader(issue + 7, number_of(folder, ANN))
    with folder.session() as session:
        session.execute(
            update(Delivery)
            .where(Delivery.subscriber_id == number_of(folder, BOB))
            .values(tries=0, state=DeliveryState.queued)
        )
    for digest, more in {
        "no token": {},
        "a guess": {"token": "ab" * 18},
        "cut short": {"token": token(folder, issue, ANN)[:-2]},
        "nobody": {"token": stranger},
        "another issue": {"token": never},
        "never begun": {"token": token(folder, issue, BOB), "address": BOB},
        "another's Message-ID": {"message_id": message_id(folder, issue, BOB)},
        "a Message-ID of somebody else's": {"message_id": "f00@elsewhere.example"},
    }.items():
        for kind in (ReturnKind.hard, ReturnKind.soft, ReturnKind.policy, ReturnKind.complaint):
            row = say(folder, f"{digest} {kind}", **{"kind": kind, "address": ANN, **more})
            assert row.kind is ReturnKind.forged, digest
            assert row.done == "ignored: nothing shows that it is about a message of ours"
            assert row.subscriber_id is None
    assert suppressed(folder) == {}
    with folder.reading() as session:
        assert not session.scalars(select(BounceScore)).all()


def test_our_own_message_id_proves_a_report_that_has_lost_its_token(folder: Folder, issue: int) -> None:
    row = say(folder, "d1", address="Ann@Example.org", message_id=f"<{message_id(folder, issue, ANN)}>", **HARD)
    assert (row.done, row.issue_id) == ("suppressed (bounce)", issue)
    assert suppressed(folder) == {ANN: "bounce"}


def test_a_providers_signature_makes_an_address_enough_but_not_one_that_nobody_here_has(
    folder: Folder, issue: int
) -> None:
    del issue
    assert say(folder, "d1", address=ANN, signed=True, **HARD).done == "suppressed (bounce)"
    assert say(folder, "d2", address="stranger@example.org", signed=True, **HARD).kind is ReturnKind.forged
    assert suppressed(folder) == {ANN: "bounce"}


def test_the_same_thing_counts_once_by_whatever_way_it_comes_again(folder: Folder, issue: int) -> None:
    mine = token(folder, issue, ANN)
    first = say(folder, "d1", token=mine, **SOFT)
    second = say(folder, "d1", token=mine, source="imap", now=LATER + dt.timedelta(days=3), **SOFT)
    assert (second.id, second.source, second.done) == (first.id, "stdin", "score 1.0 of 5")
    assert len(returns(folder)) == 1


def test_soft_bounces_add_up_one_an_issue_and_suppress_when_there_are_enough(folder: Folder, issue: int) -> None:
    for week in range(3):
        number = issue if week == 0 else again(folder, 21 + week, NOW + dt.timedelta(hours=week))
        for copy in range(3):
            say(folder, f"{week} {copy}", token=token(folder, number, ANN), now=LATER, **SOFT)
    assert [done for _, done in told(folder)] == [
        "score 1.0 of 5",
        "counted already for this issue",
        "counted already for this issue",
        "score 2.0 of 5",
        "counted already for this issue",
        "counted already for this issue",
        "score 3.0 of 5",
        "counted already for this issue",
        "counted already for this issue",
    ]
    assert suppressed(folder) == {}
    for week in (4, 5):
        number = again(folder, 21 + week, NOW + dt.timedelta(hours=week))
        row = say(folder, f"{week}", token=token(folder, number, ANN), now=LATER, **SOFT)
    assert row.done == "score 5.0 of 5: suppressed (bounce)"
    assert suppressed(folder) == {ANN: "bounce"}


def test_whoever_is_let_in_again_begins_with_no_score(folder: Folder, issue: int) -> None:
    with folder.session() as session:
        fingerprint = subscribers.find(session, ANN).fingerprint
        session.add(BounceScore(fingerprint=fingerprint, score=4.9, at=LATER))
    assert say(folder, "d1", token=token(folder, issue, ANN), **SOFT).done == "score 5.9 of 5: suppressed (bounce)"
    with folder.session() as session:
        suppressions.remove(session, ANN, "her mailbox was full", LATER)
    later = again(folder, 22, LATER)
    assert say(folder, "d2", token=token(folder, later, ANN), **SOFT).done == "score 1.0 of 5"


def test_a_score_fades_by_half_in_each_half_life(make_folder: Callable[..., Folder], subscribe: Any) -> None:
    folder = make_folder(settings('[returns]\nhalf_life = "10 days"\nsoft_limit = 3.0'))
    first = gone_out(folder, subscribe, [ANN])
    say(folder, "d1", token=token(folder, first, ANN), now=NOW, **SOFT)
    second = again(folder, 22, NOW)
    row = say(folder, "d2", token=token(folder, second, ANN), now=NOW + dt.timedelta(days=20), **SOFT)
    assert row.done == "score 1.2 of 3"
    with folder.reading() as session:
        assert session.scalars(select(BounceScore.score)).one() == pytest.approx(1.25)


@given(
    score=st.floats(0, 1000),
    first=st.timedeltas(dt.timedelta(), dt.timedelta(days=2000)),
    second=st.timedeltas(dt.timedelta(), dt.timedelta(days=2000)),
)
def test_a_score_fades_the_same_whether_looked_at_once_or_twice(
    score: float, first: dt.timedelta, second: dt.timedelta
) -> None:
    half = dt.timedelta(days=60)
    at_once = counting.faded(score, NOW, NOW + first + second, half)
    in_two = counting.faded(counting.faded(score, NOW, NOW + first, half), NOW + first, NOW + first + second, half)
    assert 0 <= at_once <= score
    assert in_two == pytest.approx(at_once)
    assert counting.faded(score, NOW, NOW - first, half) == score


def test_where_the_issue_is_not_known_an_address_gets_one_point_a_day(folder: Folder, issue: int) -> None:
    del issue
    said = {"address": ANN, "signed": True, **SOFT}
    assert say(folder, "d1", now=LATER, **said).done == "score 1.0 of 5"
    assert say(folder, "d2", now=LATER + dt.timedelta(hours=23), **said).done == "counted already today"
    assert say(folder, "d3", now=LATER + dt.timedelta(hours=25), **said).done == "score 2.0 of 5"


def test_a_refusal_for_policy_is_never_held_against_the_reader(folder: Folder, issue: int) -> None:
    for count in range(30):
        row = say(folder, f"d{count}", token=token(folder, issue, ANN), kind=ReturnKind.policy, status="5.7.26")
    assert row.done == "not counted: we were refused, not the reader"
    assert suppressed(folder) == {}
    with folder.reading() as session:
        assert not session.scalars(select(BounceScore)).all()


@pytest.mark.parametrize(
    ("kind", "done"),
    [
        (ReturnKind.delayed, "noted: the server is still trying"),
        (ReturnKind.delivered, "noted: a server reports that it arrived"),
        (ReturnKind.reply, "ignored: an automatic reply"),
    ],
)
def test_what_says_nothing_against_an_address_is_only_noted(
    folder: Folder, issue: int, kind: ReturnKind, done: str
) -> None:
    assert say(folder, "d1", token=token(folder, issue, ANN), kind=kind).done == done
    assert say(folder, "d2", kind=kind).done == done
    assert suppressed(folder) == {}


def test_a_mail_that_asks_to_leave_leaves_the_lists_of_that_publication(folder: Folder, issue: int) -> None:
    row = say(folder, "d1", token=token(folder, issue, ANN), kind=ReturnKind.unsubscribe, address="other@example.org")
    assert row.done == "left alliance-digest"
    with folder.reading() as session:
        mine = session.scalars(select(Subscription).where(Subscription.subscriber_id == number_of(folder, ANN))).one()
        assert (mine.state, mine.why) == (SubscriptionState.unsubscribed, "asked by mail")
        left = session.scalars(select(Departure)).one()
        assert (left.subscriber_id, left.publication, left.issue_id, left.lists, left.by.value) == (
            number_of(folder, ANN),
            "digest",
            issue,
            "alliance-digest",
            "mail",
        )
    assert say(folder, "d2", token=token(folder, issue, ANN), kind=ReturnKind.unsubscribe).done == (
        "nothing to do: they had left already"
    )


def test_asking_to_leave_by_an_address_alone_is_for_a_person_to_look_at(folder: Folder, issue: int) -> None:
    del issue
    row = say(folder, "d1", kind=ReturnKind.unsubscribe, address=ANN, raw=b"Subject: unsubscribe\n\n")
    assert row.kind is ReturnKind.unsubscribe
    assert "a person" in row.done
    kept = keeping.there(folder, row.file)
    assert kept is not None
    assert kept.read_bytes() == b"Subject: unsubscribe\n\n"
    with folder.reading() as session:
        assert {each.state for each in session.scalars(select(Subscription))} == {SubscriptionState.active}


def test_what_is_not_understood_is_kept_whole_and_for_nobody_else_to_read(folder: Folder) -> None:
    raw = b"From: who@example.org\r\n\r\n\x00\xff what is this?\r\n"
    row = say(folder, "d1", kind=ReturnKind.unknown, raw=raw, words="what is this?")
    kept = keeping.there(folder, row.file)
    assert kept is not None
    assert kept.read_bytes() == raw
    assert kept.name.startswith("2023-11-14-")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_the_folder_of_kept_messages_has_an_end_and_the_newest_stay(
    lite_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST", 3)
    for day in range(5):
        say(lite_folder, f"d{day}", kind=ReturnKind.unknown, raw=b"%d" % day, now=NOW + dt.timedelta(days=day))
    assert sorted(path.read_bytes() for path in keeping.place(lite_folder).iterdir()) == [b"2", b"3", b"4"]
    monkeypatch.setattr(keeping, "MOST_OCTETS", 10)
    say(lite_folder, "large", kind=ReturnKind.unknown, raw=b"123456789", now=NOW + dt.timedelta(days=9))
    assert sorted(path.read_bytes() for path in keeping.place(lite_folder).iterdir()) == [b"123456789", b"4"]


def test_a_message_that_cannot_be_kept_is_not_taken(lite_folder: Folder) -> None:
    keeping.place(lite_folder).write_text("a file where the folder is to be")
    with pytest.raises(ReturnMistake, match="can't be kept"):
        say(lite_folder, "d1", kind=ReturnKind.unknown)
    assert returns(lite_folder) == []


def test_a_message_that_cannot_be_written_down_leaves_no_file_behind(lite_folder: Folder) -> None:
    with lite_folder.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER away BEFORE UPDATE ON returns BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    with pytest.raises(ReturnMistake, match="the disk is full"):
        say(lite_folder, "d1", kind=ReturnKind.unknown)
    assert returns(lite_folder) == []
    assert list(keeping.place(lite_folder).iterdir()) == []


def test_a_report_about_an_uncertain_delivery_says_that_the_message_left(folder: Folder, subscribe: Any) -> None:
    issue = gone_out(folder, subscribe, [ANN, BOB], state=DeliveryState.uncertain)
    bounced = say(folder, "d1", token=token(folder, issue, ANN), **HARD)
    arrived = say(folder, "d2", token=token(folder, issue, BOB), kind=ReturnKind.delivered)
    for row in (bounced, arrived):
        assert row.done.endswith("; its delivery is uncertain, and this shows that the message left")
    assert {state for state, _ in ledger(folder).values()} == {"uncertain"}


def _letter(folder: Folder, address: str, kind: LetterKind, state: LetterState, since: dt.datetime) -> str:
    with folder.session() as session:
        letter = Letter(
            publication="digest",
            kind=kind,
            subscriber_id=subscribers.find(session, address).id,
            address=address,
            state=state,
            since=since,
            asked=since,
            expires=since + dt.timedelta(days=7),
        )
        session.add(letter)
        session.flush()
        number = letter.id
    return secrets(folder).letter(number)


def test_a_report_about_an_address_that_they_have_given_up_since_does_not_count(folder: Folder, issue: int) -> None:
    _letter(folder, ANN, LetterKind.change, LetterState.used, NOW + dt.timedelta(hours=2))
    row = say(folder, "d1", token=token(folder, issue, ANN), address="old@example.org", **HARD)
    assert row.done == "not counted: it is about the address that they had before"
    assert suppressed(folder) == {}


def test_a_letter_that_comes_back_has_failed_and_its_address_does_not_exist(folder: Folder, issue: int) -> None:
    del issue
    row = say(folder, "d1", token=_letter(folder, ANN, LetterKind.confirm, LetterState.sent, NOW), **HARD)
    assert row.done == "suppressed (bounce)"
    change = say(folder, "d2", token=_letter(folder, BOB, LetterKind.change, LetterState.sent, NOW), **HARD)
    assert change.done == "noted: a letter to another address than they have now came back"
    assert suppressed(folder) == {ANN: "bounce"}
    with folder.reading() as session:
        assert [letter.state for letter in session.scalars(select(Letter))] == [LetterState.failed] * 2


def test_the_return_address_of_a_letter_names_the_reader_and_counts_for_the_address_that_they_have(
    folder: Folder, issue: int
) -> None:
    del issue
    mine = secrets(folder).reader(0, number_of(folder, ANN))
    assert say(folder, "d0", token=mine, **HARD).kind is ReturnKind.forged
    _letter(folder, ANN, LetterKind.link, LetterState.sent, NOW)
    other = say(folder, "d1", token=mine, address="other@example.org", **HARD)
    assert other.done == "noted: a letter to another address than they have now came back"
    assert suppressed(folder) == {}
    assert say(folder, "d2", token=mine, address=ANN, **HARD).done == "suppressed (bounce)"
    assert say(folder, "d3", token=mine, kind=ReturnKind.unsubscribe).done == "left alliance-digest"


def test_words_that_no_database_takes_are_written_down_without_their_sting(folder: Folder, issue: int) -> None:
    words = "550 no\x00thing\r\nX-Evil: \ud800 yes\u2028" + "x" * 9000
    row = say(folder, "d1", token=token(folder, issue, ANN), kind=ReturnKind.hard, words=words, status="5" * 99)
    assert row.words.startswith("550 no thing X-Evil:   yes x")
    assert (len(row.words), len(row.status)) == (500, 16)


def test_two_doors_that_get_the_same_report_at_the_same_time_count_it_once(folder: Folder, issue: int) -> None:
    mine, wrong = token(folder, issue, ANN), []
    start = threading.Barrier(4)

    def once(source: str) -> None:
        start.wait()
        try:
            say(folder, "d1", token=mine, source=source, **SOFT)
        except Exception as error:
            wrong.append(error)

    doors = [threading.Thread(target=once, args=(f"door {n}",)) for n in range(4)]
    for door in doors:
        door.start()
    for door in doors:
        door.join()
    assert wrong == []
    assert [done for _, done in told(folder)] == ["score 1.0 of 5"]


def test_two_reports_of_one_issue_at_the_same_time_give_one_point(folder: Folder, issue: int) -> None:
    mine = token(folder, issue, ANN)
    with folder.session() as session:
        session.add(BounceScore(fingerprint=subscribers.find(session, ANN).fingerprint, score=0.0, at=NOW))
    start = threading.Barrier(4)

    def once(digest: str) -> None:
        start.wait()
        say(folder, digest, token=mine, **SOFT)

    doors = [threading.Thread(target=once, args=(f"d{n}",)) for n in range(4)]
    for door in doors:
        door.start()
    for door in doors:
        door.join()
    assert sorted(done for _, done in told(folder)) == ["counted already for this issue"] * 3 + ["score 1.0 of 5"]


def test_a_fault_of_ours_over_one_report_loses_it_not_and_is_in_the_log(
    folder: Folder, issue: int, caplog: pytest.LogCaptureFixture
) -> None:
    # What no reader of messages should ever say: a word that isn't one.
    row = say(folder, "d1", token=token(folder, issue, ANN), raw=b"whole", kind=ReturnKind.hard, words=None)
    assert row.kind is ReturnKind.unknown
    assert (keeping.place(folder) / row.file).read_bytes() == b"whole"
    assert "couldn't be acted on" in caplog.text


def test_an_erased_person_leaves_nothing_among_what_came_back(folder: Folder, issue: int) -> None:
    say(folder, "d1", token=token(folder, issue, ANN), kind=ReturnKind.soft, words=f"<{ANN}> is full")
    say(folder, "d2", address=BOB, kind=ReturnKind.hard, words=f"nobody like ANN@example.org or {BOB}")
    say(folder, "d3", kind=ReturnKind.unknown, raw=f"Subject: hello\n\nI am {ANN.upper()}\n".encode())
    encoded = b"Content-Transfer-Encoding: base64\n\nSSBhbSBhbm5AZXhhbXBsZS5vcmcgb2YgQW5uCg==\n"
    say(folder, "d4", kind=ReturnKind.unknown, raw=encoded)
    say(folder, "d5", kind=ReturnKind.unknown, raw=b"Subject: hello\n\nI am cat@example.org\n", words="cat")
    with folder.session() as session:
        person = subscribers.find(session, ANN)
        assert keeping.forget(session, folder, person) == 2
        erasure.clear(session, person, LATER)
    assert [path.read_bytes().split()[-1] for path in keeping.place(folder).iterdir()] == [b"cat@example.org"]
    rows = returns(folder)
    assert [row.words for row in rows] == ["(erased)", "(erased)", "(erased)", "(erased)", "cat"]
    assert rows[0].fingerprint == ""
    with folder.reading() as session:
        assert not session.scalars(select(BounceScore)).all()
        assert suppressions.suppressed(session, person.fingerprint).reason is SuppressionReason.erasure  # type: ignore[union-attr]


def test_nothing_happens_to_an_erased_person_when_their_copy_bounces(folder: Folder, issue: int) -> None:
    mine = token(folder, issue, ANN)
    with folder.session() as session:
        erasure.clear(session, subscribers.find(session, ANN), NOW)
    assert say(folder, "d1", token=mine, **HARD).done == "nothing to do: nobody has the address any more"
    assert say(folder, "d2", token=mine, kind=ReturnKind.unsubscribe).done == "nothing to do: they were erased"


# ---- messages, before they are read


SAME = b"From: x@example.net\r\nSubject: Undelivered\r\n  Mail\r\nMessage-ID: <1@x>\r\n\r\nbody\r\nof it\r\n"


@pytest.mark.parametrize(
    "other",
    [
        SAME.replace(b"\r\n", b"\n"),
        b"Return-Path: <>\r\nDelivered-To: digest+ab@example.org\r\nReceived: by a\r\n\tfrom b\r\n" + SAME,
        b"From MAILER-DAEMON Tue Nov 14 09:00:00 2023\n" + SAME,
        SAME + b"\r\n\r\n",
        SAME.replace(b"Undelivered\r\n  Mail", b"Undelivered  Mail"),
    ],
)
def test_a_message_is_the_same_by_whatever_way_it_came(other: bytes) -> None:
    if b"\r\n  Mail" not in other and b"\n  Mail" not in other:
        # Folding apart, a word that stands on another line is another line.
        assert acting.content_digest(other) != acting.content_digest(SAME)
        return
    assert acting.content_digest(other) == acting.content_digest(SAME)


@pytest.mark.parametrize("change", [(b"body", b"Body"), (b"<1@x>", b"<2@x>"), (b"Undelivered", b"Delivered")])
def test_another_message_is_another(change: tuple[bytes, bytes]) -> None:
    assert acting.content_digest(SAME.replace(*change)) != acting.content_digest(SAME)


@given(st.binary())
def test_any_bytes_have_a_digest(raw: bytes) -> None:
    assert len(acting.content_digest(raw)) == 64


def test_only_our_return_addresses_are_taken(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(('editors = ["desk@example.org"]', 'bounces = "Returned@bounces.example.org"'))
    ours = OurAddresses.of(folder.config)
    tail = "ab" * 18
    for address in (
        f"returned+{tail}@bounces.example.org",
        f"RETURNED+{tail.upper()}@Bounces.Example.ORG",
        "returned@bounces.example.org",
        "digest@example.org",
        f"digest+{tail}@example.org",
    ):
        assert ours.take(address), address
    for address in (
        "",
        "@",
        "returned",
        "returned@example.org",
        f"other+{tail}@bounces.example.org",
        f"returned+{tail}@elsewhere.example",
        "returned+@bounces.example.org",
        "returned+abc@bounces.example.org",
        f"returned+{tail}x@bounces.example.org",
        f"returned+{tail}@bounces.example.org@elsewhere.example",
        "postmaster@example.org",
    ):
        assert not ours.take(address), address
    assert token_of(f"returned+{tail.upper()}@bounces.example.org") == tail
    assert token_of("returned@bounces.example.org") == ""


# ---- refusals that a sender left behind


def test_refusals_of_a_sender_that_died_are_taken_up_by_others(folder: Folder, issue: int) -> None:
    with folder.session() as session:
        for name in (ANN, BOB):
            person = subscribers.find(session, name)
            session.add(
                Return(
                    at=NOW if name == ANN else LATER,
                    source="relay",
                    digest=name,
                    kind=ReturnKind.hard,
                    fingerprint=person.fingerprint,
                    subscriber_id=person.id,
                    issue_id=issue,
                    status="5.1.1",
                    words="550 5.1.1 no such user",
                    done="",
                )
            )
    with folder.session() as session:
        assert refusals.take_up(session, folder.config.returns, LATER) == 1
    assert told(folder) == [("hard", "suppressed (bounce)"), ("hard", "")]
    assert suppressed(folder) == {ANN: "bounce"}


def test_as_many_alike_as_a_relay_in_trouble_makes_count_for_nobody(folder: Folder, subscribe: Any) -> None:
    issue = gone_out(folder, subscribe, [f"r{n}@example.org" for n in range(20)])
    with folder.session() as session:
        for person in session.scalars(select(Subscriber)):
            session.add(
                Return(
                    at=NOW,
                    source="relay",
                    digest=str(person.id),
                    kind=ReturnKind.hard,
                    fingerprint=person.fingerprint,
                    subscriber_id=person.id,
                    issue_id=issue,
                    status="5.1.1",
                    done="",
                )
            )
    with folder.session() as session:
        assert refusals.take_up(session, folder.config.returns, LATER) == 20
    assert suppressed(folder) == {}
    assert set(told(folder)) == {("hard", "not counted: the relay refused 20 or more in a row")}
