"""What came back is understood: reports, texts, people's mail, and bombs."""

from __future__ import annotations

import tracemalloc

import pytest
from bounce_corpus import HERE, MESSAGE_ID, TOKEN, Shape, shapes, table
from came_back import dsn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from newsletter.bounces.classes import classify, of_reply
from newsletter.bounces.mime import DEPTH, PARTS, READ, Part, parse, unworded
from newsletter.bounces.reading import read
from newsletter.bounces.reports import RECIPIENTS
from newsletter.bounces.verdict import Verdict
from newsletter.states import ReturnKind

DAEMON = b"From: MAILER-DAEMON@mx.example.net\r\nTo: digest@example.org\r\nSubject: Undelivered Mail\r\n"


def only(raw: bytes, recipient: str = "") -> Verdict:
    (verdict,) = read(raw, recipient)
    return verdict


def human(subject: str, body: str, *headers: str) -> bytes:
    lines = ["From: Jun <jun.sample@example.net>", "To: digest@example.org", f"Subject: {subject}", *headers, "", body]
    return "\r\n".join(lines).encode()


def letters(part: Part) -> int:
    return len(part.body) + sum(letters(each) for each in part.parts)


def parts(part: Part) -> int:
    return 1 + sum(parts(each) for each in part.parts)


def depth(part: Part) -> int:
    return 1 + max((depth(each) for each in part.parts), default=0)


# ---- the corpus


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.name)
def test_a_message_is_taken_for_what_it_means(shape: Shape) -> None:
    assert shape.wrong(shape.read()) == []


def test_the_corpus_is_large_and_every_message_of_it_is_asked() -> None:
    text, right, total = table()
    print(f"\n{text}\n\n{right} of {total} right")  # noqa: T201 - for pytest -s
    assert total >= 75
    assert {path.stem for path in HERE.glob("*.eml")} == {shape.name for shape in shapes()}


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.name)
def test_line_ends_make_no_difference(shape: Shape) -> None:
    bare = shape.raw.replace(b"\r\n", b"\n")
    assert Shape(**{**vars(shape), "raw": bare}).wrong(read(bare, shape.recipient)) == []
    boxed = b"From MAILER-DAEMON Tue Nov 14 14:00:09 2023\n" + bare
    assert read(boxed, shape.recipient) == read(bare, shape.recipient)


# ---- classification


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        ("5.1.1", "", "hard"),
        ("5.1.2", "", "hard"),
        ("5.1.3", "", "hard"),
        ("5.1.6", "", "hard"),
        ("5.1.10", "", "hard"),
        ("5.2.1", "", "hard"),
        ("5.7.17", "", "hard"),
        ("5.1.0", "", "soft"),
        ("5.1.4", "", "soft"),
        ("5.2.0", "", "soft"),
        ("5.2.2", "", "soft"),
        ("5.2.3", "", "soft"),
        ("5.3.4", "", "soft"),
        ("5.4.1", "", "soft"),
        ("5.4.7", "", "soft"),
        ("5.0.0", "", "soft"),
        ("4.2.2", "", "soft"),
        ("4.1.1", "", "soft"),
        ("4.4.7", "", "soft"),
        ("5.1.8", "", "policy"),
        ("5.5.4", "", "policy"),
        ("5.6.1", "", "policy"),
        ("5.7.1", "", "policy"),
        ("5.7.26", "", "policy"),
        ("5.7.515", "", "policy"),
        ("4.7.28", "", "policy"),
        ("2.1.5", "", "delivered"),
        ("", "", "soft"),
        ("nonsense", "no such user", "hard"),
        ("5.7.1", "User unknown", "hard"),
        ("5.7.1", "RESOLVER.RST.AuthRequired; authentication required", "policy"),
        ("5.4.1", "Recipient address rejected: Access denied", "hard"),
        ("5.4.1", "Access denied", "policy"),
        ("5.0.0", "blocked using zen.spamhaus.org", "policy"),
        ("5.1.1", "message rejected: it looks like spam", "policy"),
        ("5.1.1", "mailbox full", "soft"),
        ("5.7.1", "mailbox unavailable", "policy"),
        ("5.5.0", "Requested action not taken: mailbox unavailable", "hard"),
        ("5.2.1", "The user is receiving mail at a rate that prevents additional messages", "soft"),
        ("5.1.8", "Sender address rejected: Domain not found", "policy"),
        ("4.1.1", "User unknown", "soft"),
        ("4.4.7", "421 4.7.0 too many messages from your ip, rate limited", "policy"),
        ("5.7.25", "The IP address has no PTR record: address not found", "policy"),
        ("5.1.1", "<nospam@blocked.example>: user unknown", "hard"),
        ("5.0.0", "<nospam@blocked.example> refused", "soft"),
        ("5.1.0", "5.1.0 - Unknown address error 550-'5.7.1 <x@example.net>... Access denied'", "policy"),
        ("5.2.3", "Recipient address rejected: Message length exceeds administrative limit", "soft"),
        ("5.3.0", "Recipient address rejected: Internal error", "soft"),
        ("5.1.0", "after MAIL FROM:<digest@example.org>: 553 5.1.0 no such domain", "policy"),
        ("5.0.0", "The group may not exist, or you may not have permission to post", "policy"),
        ("554", "Service currently unavailable", "soft"),
        ("554", "delivery error: dd This user doesn't have a example.net account", "hard"),
        ("5.5.0", "The recipient account is blocked", "soft"),
    ],
)
def test_a_refusal_is_told_by_its_code_and_where_that_misleads_by_its_words(status: str, words: str, kind: str) -> None:
    assert classify(status, words).value == kind


@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        ("550 5.1.1 <ada@example.net>: Recipient address rejected", "hard", "5.1.1"),
        ("550 user unknown", "hard", "550"),
        ("550-5.1.1 The account\n550 5.1.1 doesn't exist", "hard", "5.1.1"),
        ("550 #5.1.0 Address rejected.", "hard", "5.1.0"),
        ("554 delivery error: dd This user doesn't have a yahoo.com account", "hard", "554"),
        ("552 Requested mail action aborted: exceeded storage allocation", "soft", "552"),
        ("550", "soft", "550"),
        ("550 no", "soft", "550"),
        ("452 4.2.2 over quota", "soft", "4.2.2"),
        ("451 try again later", "soft", "451"),
        ("554 no", "policy", "554"),
        ("550 5.7.1 Service unavailable; client host [5.1.1.7] blocked", "policy", "5.7.1"),
        ("550 rejected by host 5.1.1.7 for no reason", "soft", "550"),
        ("550 4.2.2 odd", "soft", "550"),
        ("530 5.7.0 Must issue a STARTTLS command first", "policy", "5.7.0"),
        ("556 domain does not accept mail", "hard", "556"),
        ("", "soft", ""),
    ],
)
def test_a_relays_reply_is_told_by_the_same(reply: str, kind: str, status: str) -> None:
    assert (of_reply(reply)[0].value, of_reply(reply)[1]) == (kind, status)


# ---- delivery reports


def test_a_token_is_found_however_its_letters_are_folded_and_whoever_was_told_it() -> None:
    raw = dsn("jun.sample@example.net")
    for recipient in (f"bounces+{TOKEN}@example.org", f"BOUNCES+{TOKEN.upper()}@EXAMPLE.ORG"):
        assert only(raw, recipient).token == TOKEN
    for header in ("Delivered-To", "X-Original-To", "Envelope-To"):
        assert only(f"{header}: <bounces+{TOKEN.upper()}@example.org>\r\n".encode() + raw).token == TOKEN
    assert only(raw).token == ""


def test_what_the_envelope_says_counts_before_what_the_headers_say() -> None:
    other = "ab" * 20
    assert only(dsn("jun.sample@example.net", token=other), f"bounces+{TOKEN}@example.org").token == TOKEN


def test_a_report_names_the_address_that_we_sent_to_and_not_where_it_was_forwarded() -> None:
    raw = dsn("there@example.com").replace(
        b"Final-Recipient:", b"Original-Recipient: rfc822; here@example.net\r\nFinal-Recipient:"
    )
    assert only(raw).address == "here@example.net"


def test_a_report_whose_boundary_is_lost_is_read_all_the_same() -> None:
    raw = dsn("jun.sample@example.net", token=TOKEN).replace(b"--b0und\r\n", b"").replace(b"--b0und--\r\n", b"")
    found = only(raw)
    assert (found.kind, found.status, found.address) == (ReturnKind.hard, "5.1.1", "jun.sample@example.net")
    assert found.why == "delivery report"


def test_a_report_under_another_boundary_than_it_says_is_read_all_the_same() -> None:
    raw = dsn("jun.sample@example.net", token=TOKEN).replace(b"\r\n--b0und", b"\r\n--other")
    assert only(raw) == only(dsn("jun.sample@example.net", token=TOKEN))


def test_a_warning_is_told_from_the_last_word_by_the_code_too() -> None:
    text = b"<jun.sample@example.net>:\r\n%s\r\nDelivery attempts will continue to be made.\r\n"
    for reply, kind in ((b"450 4.2.1 busy", ReturnKind.delayed), (b"550 5.1.1 user unknown", ReturnKind.hard)):
        assert only(DAEMON + b"\r\n" + text % reply).kind is kind


def test_bytes_of_japanese_that_nobody_announced_are_read() -> None:
    raw = (
        dsn("jun.sample@example.net", status="5.0.0", words="X")
        .replace(b"550 5.1.1 no such user here", b"")
        .replace(b"smtp; X", "X-Notes; Domino に見つかりません".encode("iso-2022-jp"))
    )
    assert only(raw).kind is ReturnKind.hard


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("failed", "5.1.1", "hard"),
        ("Failed", "4.4.7", "soft"),
        ("failed (bounced)", "5.1.1", "hard"),
        ("delayed", "5.1.1", "delayed"),
        ("delivered", "2.0.0", "delivered"),
        ("relayed", "2.0.0", "delivered"),
        ("expanded", "2.1.5", "delivered"),
        ("failed", "2.0.0", "delivered"),
        ("", "5.1.1", "hard"),
    ],
)
def test_the_action_tells_whether_it_was_the_last_word(action: str, status: str, kind: str) -> None:
    raw = dsn("jun.sample@example.net", action=action, status=status, words="").replace(
        b"Diagnostic-Code: smtp; \r\n", b""
    )
    assert only(raw).kind.value == kind


def test_a_report_of_thousands_is_read_as_far_as_a_hundred() -> None:
    block = b"\r\nFinal-Recipient: rfc822; u%d@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    many = b"".join(block % number for number in range(20_000))
    raw = DAEMON + b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n"
    found = read(raw + b"\r\nReporting-MTA: dns; x\r\n" + many + b"--b--\r\n")
    assert [each.address for each in found] == [f"u{number}@example.net" for number in range(RECIPIENTS)]


# ---- people


@pytest.mark.parametrize(
    "word",
    [
        "unsubscribe",
        "Unsubscribe!",
        "UNSUBSCRIBE",
        "Abmelden",
        "désabonner",
        "配信停止",
        "退订",
        "отписаться",
        "구독 취소",
    ],
)
def test_just_the_word_asks_to_leave_in_the_subject_or_above_what_is_quoted(word: str) -> None:
    assert only(human(word, "")).kind is ReturnKind.unsubscribe
    quoted = f"{word}\r\n\r\nJun\r\n\r\nOn 14 Nov 2023, the Digest wrote:\r\n> Vol 2.21, of interest\r\n"
    assert only(human("Re: Vol 2.21", quoted)).kind is ReturnKind.unsubscribe


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("How do I unsubscribe my old address?", "I have a new one."),
        ("Re: Vol 2.21", "Can one unsubscribe from the PDF alone?"),
        ("Re: Vol 2.21", "Very good.\r\n\r\n> unsubscribe\r\n"),
        ("Fwd: Vol 2.21", "-----Original Message-----\r\nunsubscribe"),
    ],
)
def test_a_sentence_with_the_word_in_it_is_for_a_person_to_read(subject: str, body: str) -> None:
    assert only(human(subject, body)).kind is ReturnKind.unknown


def test_someone_who_quotes_a_forwarded_issue_leaves_in_nobody_elses_name() -> None:
    quoted = f"Please unsubscribe me\r\n\r\n> https://news.example.org/leave/{TOKEN}\r\n"
    found = only(human("Re: Fwd: Vol 2.21", quoted, "In-Reply-To: <hers@example.com>"))
    assert (found.kind, found.token, found.message_id) == (ReturnKind.unsubscribe, "", "hers@example.com")


def test_an_answer_to_asking_to_leave_does_not_ask_again() -> None:
    subject = f"Automatic reply: unsubscribe {TOKEN}"
    assert only(human(subject, "unsubscribe", "Auto-Submitted: auto-replied")).kind is ReturnKind.reply


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Vol 2.21",
        "Out of Office: Vol 2.21",
        "Abwesenheitsnotiz",
        "Réponse automatique : Vol 2.21",
        "Respuesta automática: Vol 2.21",
        "自動返信: 不在のお知らせ",
        "自动回复",
        "Автоответ: Vol 2.21",
    ],
)
def test_being_away_is_told_by_the_subject_alone(subject: str) -> None:
    assert only(human(subject, "I'm away. User unknown.")).kind is ReturnKind.reply


def test_asking_not_to_be_answered_is_no_automatic_reply() -> None:
    raw = human("A question", "Which ministry was it?", "X-Auto-Response-Suppress: All", "Auto-Submitted: no")
    assert only(raw).kind is ReturnKind.unknown


def test_a_person_who_writes_of_failures_is_no_mail_server() -> None:
    for subject in ("Retour sur le Digest", "Delivery to Japan", "Bounce rates", "Re: Undeliverable: Vol 2.21"):
        raw = human(subject, "550 5.1.1 bo.sample@example.com: user unknown", f"In-Reply-To: <{MESSAGE_ID}>")
        assert only(raw).kind is ReturnKind.unknown
    body = "This is the mail system at host mx.example.net.\r\n\r\n<bo@example.com>: 550 5.1.1 user unknown\r\n"
    assert only(human("Fwd: Your digest", body)).kind is ReturnKind.unknown


# ---- bombs


def nested(levels: int) -> bytes:
    one = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    return (
        DAEMON
        + b"".join(one % (level, level) for level in range(levels))
        + b"Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\n"
    )


REPORT = DAEMON + b"Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.example\nStatus: 5.0.0\n"
HTML = DAEMON + b"Content-Type: text/html\n\n"
BOMBS = {
    "nothing": b"",
    "one line end": b"\r\n",
    "NULs": b"\0" * 100_000,
    "multiparts five thousand deep": nested(5000),
    "messages sixty thousand deep": DAEMON + b"Content-Type: message/rfc822\n\n" * 60_000,
    "no headers at all": b"a mail without headers, 550 5.1.1 no such user <ada@example.net>",
    "a header line of a megabyte": b"Subject: " + b"x" * 1_000_000 + b"\n\nhello",
    "a header folded half a million times": b"Subject: x" + b"\n y" * 500_000 + b"\n\n",
    "four hundred thousand headers": b"X: y\n" * 400_000 + b"\n",
    "a hundred thousand recipients": b"To: a@b.example\n" * 100_000,
    "a megabyte of one word": DAEMON + b"\n" + b"a" * 1_000_000,
    "a megabyte of at signs": DAEMON + b"\n" + b"a@" * 500_000,
    "encoded words without an end": b"Subject: " + b"=?utf-8?q?" * 1600 + b"\n\n",
    "boundaries alone": DAEMON + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n" * 500_000,
    "boundaries that begin alike": DAEMON + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--bx\n" * 300_000,
    "an empty boundary": DAEMON + b'Content-Type: multipart/mixed; boundary=""\n\n' + b"--\n" * 300_000,
    "headers below a boundary nobody knows": DAEMON
    + b"Content-Type: multipart/mixed\n\n--"
    + b"x" * 190
    + b"\n"
    + b"A: b\n" * 50_000,
    "quotes in parameters": b"Content-Type: multipart/mixed; " + b'a="' * 5000 + b"\n\n",
    "a report of empty lines": DAEMON + b"Content-Type: message/delivery-status\n\n" + b"\n" * 1_000_000 + b"x",
    "a reason without an end": REPORT + b"Diagnostic-Code: smtp; " + b"user " * 100_000,
    "styles without an end": HTML + b"<style>" * 100_000,
    "comments without an end": HTML + b"<!--" * 100_000,
    "broken base64": DAEMON + b"Content-Transfer-Encoding: base64\n\n" + b"=*A" * 500_000,
    "base64 that is cut": DAEMON + b"Content-Transfer-Encoding: base64\n\n" + b"A" * 500_001,
    "a charset nobody knows": DAEMON + b"Content-Type: text/plain; charset=x-klingon\n\n550 5.1.1 \xff\xfe",
    "a charset that is a program": DAEMON + b"Content-Type: text/plain; charset=zip\n\nPK",
    "a charset that takes the square": DAEMON + b"Content-Type: text/plain; charset=punycode\n\n" + b"a-9" * 80_000,
    "a charset that is Python": DAEMON + b"Content-Type: text/plain; charset=unicode_escape\n\n\\q\\xZZ",
    "half of a UTF-16": DAEMON + b"Content-Type: text/plain; charset=utf-16\n\n" + b"\xd8\x00" * 50_000,
    "escapes that lead nowhere": DAEMON + b"Content-Type: text/plain; charset=iso-2022-jp\n\n" + b"\x1b$B" * 50_000,
    "a message without headers in it": DAEMON
    + b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\n\n--b--",
    "Unicode garbage": human("\u202e\ufeff\U000e0001", "\u0000\ufffe\u2028" * 1000),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_does_not_go_off(bomb: bytes) -> None:
    for recipient in ("", f"bounces+{TOKEN}@example.org", "a+" * 50_000):
        for found in read(bomb, recipient):
            assert len(found.words) <= 500
            assert len(found.address) <= 320
            assert found.words.isprintable()


def test_of_a_hundred_megabytes_two_are_read() -> None:
    report = dsn("jun.sample@example.net", token=TOKEN)
    huge = report + b"\r\n" + b"x" * (100 * 1024 * 1024)
    tracemalloc.start()
    try:
        assert only(huge).kind is ReturnKind.hard
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * READ
    late = DAEMON + b"\r\n" + b"x\r\n" * (READ // 3) + b"<ada@example.net>: 550 5.1.1 user unknown\r\n"
    assert only(late).kind is ReturnKind.unknown


def test_parts_have_bounds() -> None:
    assert depth(parse(nested(5000))) <= DEPTH + 1
    assert parts(parse(BOMBS["boundaries alone"])) <= PARTS + 1
    folders = b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n"
    assert parts(parse(folders + (b"--c\n\nx\n" * 50 + b"--c--\n--b\n") * 50)) <= PARTS + 1
    assert letters(parse(nested(5000))) <= (DEPTH + 2) * READ


def test_the_parts_of_a_part_are_not_its_neighbours() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b2\n\n"
        b"--b2\n\none\n--b2\n\ntwo\n--b2--\n--b\n\nthree\n--b--\nafter"
    )
    top = parse(raw)
    assert [[each.body for each in part.parts] or part.body for part in top.parts] == [[b"one", b"two"], b"three"]


def test_encoded_words_side_by_side_are_one_text() -> None:
    assert unworded("=?utf-8?B?5pel?= =?utf-8?B?5pys?= and =?iso-8859-1?Q?J=FCrgen_M?=") == "日本 and Jürgen M"
    assert unworded("=?utf-8?B?5pel5g==?= =?utf-8?B?nKw=?=") == "日本"
    assert unworded("=?zip?B?eA==?= =?utf-8?X?y?=") == "x =?utf-8?X?y?="


@given(st.binary(max_size=4000), st.text(max_size=100))
@settings(max_examples=300)
@example(b"From: \xff@\n\n", "")
def test_no_bytes_make_it_raise(raw: bytes, recipient: str) -> None:
    assert read(raw, recipient)


WORDS = [line for shape in shapes()[::5] for line in shape.raw.split(b"\r\n")]


@given(
    st.sampled_from(shapes()),
    st.lists(
        st.tuples(st.integers(0, 6000), st.integers(0, 400), st.sampled_from(WORDS) | st.binary(max_size=30)),
        max_size=8,
    ),
)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_no_damage_on_the_way_makes_it_raise(shape: Shape, cuts: list[tuple[int, int, bytes]]) -> None:
    raw = shape.raw
    for at, length, instead in cuts:
        raw = raw[:at] + instead + raw[at + length :]
    for found in read(raw, shape.recipient):
        assert isinstance(found.kind, ReturnKind)
        assert found.token == found.token.lower()
        found.words.encode()


@given(st.sampled_from([each for each in shapes() if each.reports[0][0] == "unknown"]), st.binary(max_size=300))
def test_what_a_person_wrote_is_never_a_bounce_whatever_they_quote(shape: Shape, quoted: bytes) -> None:
    raw = shape.raw + b"\r\n> " + quoted.replace(b"\r", b"").replace(b"\n", b"\r\n> ") + b"\r\n> 550 5.1.1 user unknown"
    if shape.name.startswith(("human", "spam")):
        assert only(raw, shape.recipient).kind is ReturnKind.unknown
