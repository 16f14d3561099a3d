"""Headers, asked as bytes: what a mail program at the other end would read."""

from __future__ import annotations

import email
import email.policy
import re
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import iter_graphemes

from newsletter import headers
from newsletter.errors import SubscriberMistake

FAMILY = "👨‍👩‍👧‍👦"
NAMES = [
    "Ada",
    "Lovelace, Ada",
    'Ada "The Countess" L.',
    "山田 花子",
    "نورة",
    "สมชาย ใจดี",
    FAMILY * 12,
    "=?utf-8?q?x?=",
    "O'Neil (Ops)",
    "a@b.example, c@d.example",
    "Back\\slash",
    "Łukasz, Prof. Dr. med. dent. h. c. mult. " * 3,
    "Anna " * 35,
    "x" * 190,
    "  spaced  ",
]
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=120)


def unfolded(raw: bytes) -> str:
    assert raw.endswith(b"\r\n")
    assert raw.isascii()
    return raw[:-2].replace(b"\r\n", b"").decode()


def check_lines(raw: bytes) -> None:
    lines = raw.split(b"\r\n")
    assert all(len(line) <= 998 for line in lines)
    assert all(line[:1] in b" \t" for line in lines[1:-1]), raw
    assert not any(line.strip() == b"" for line in lines[:-1]), raw
    for word in re.findall(rb"=\?utf-8\?[qb]\?[^?]*\?=", raw):
        assert len(word) <= 75


def decoded(header: bytes) -> str:
    return str(make_header(decode_header(header.split(b": ", 1)[1].decode().rstrip("\r\n"))))


@pytest.mark.parametrize("display", NAMES)
def test_a_name_arrives_whole_and_makes_no_second_address(display: str) -> None:
    raw = headers.mailbox("To", display, "ada@example.org")
    check_lines(raw)
    ((name, address),) = getaddresses([unfolded(raw).split(": ", 1)[1]])
    assert address == "ada@example.org"
    assert str(make_header(decode_header(name))).replace("\r\n", "") == display


@given(LINES)
def test_any_name_arrives_as_one_mailbox(display: str) -> None:
    raw = headers.mailbox("To", display, "ada@example.org")
    check_lines(raw)
    ((name, address),) = getaddresses([unfolded(raw).split(": ", 1)[1]])
    assert address == "ada@example.org"
    assert str(make_header(decode_header(name))) == display


@given(LINES)
def test_any_subject_arrives_as_it_was_written(subject: str) -> None:
    raw = headers.words("Subject", subject)
    check_lines(raw)
    assert decoded(raw).replace("\n", "").replace("\r", "") == subject


def test_a_subject_that_looks_encoded_is_not_decoded_into_something_else() -> None:
    raw = headers.words("Subject", "=?utf-8?q?free?= money")
    assert b"=?utf-8?q?free?=" not in raw
    assert decoded(raw) == "=?utf-8?q?free?= money"


@pytest.mark.parametrize("text", [FAMILY * 20, "e\u0301" * 60, "กำ" * 40, "नमस्ते " * 20])
def test_no_encoded_word_cuts_a_character_as_a_reader_sees_it(text: str) -> None:
    raw = headers.words("Subject", text)
    pieces = [
        part.decode("utf-8")
        for part, _ in (decode_header(w.decode())[0] for w in re.findall(rb"=\?utf-8\?[qb]\?[^?]*\?=", raw))
    ]
    assert len(pieces) > 1
    assert [g for piece in pieces for g in iter_graphemes(piece)] == list(iter_graphemes(text))


def test_a_long_unsubscribe_link_stays_one_token_on_one_line() -> None:
    link = "<https://digest.example.org/leave/" + "a1" * 60 + ">, <mailto:leave+" + "a1" * 20 + "@example.org>"
    raw = headers.token("List-Unsubscribe", link)
    assert raw == f"List-Unsubscribe: {link}\r\n".encode()


@pytest.mark.parametrize("value", ["a\r\nBcc: x@example.org", "a\nb", "a\rb", "ü", "x" * 1000])
def test_a_token_header_takes_no_line_break_and_nothing_but_ascii(value: str) -> None:
    with pytest.raises(ValueError, match="can't hold"):
        headers.token("Feedback-ID", value)


@pytest.mark.parametrize("value", ["a\r\nBcc: x@example.org", "a\nb", "\r", "a\x00b"])
def test_a_line_break_in_free_text_never_starts_a_header(value: str) -> None:
    for raw in (headers.words("Subject", value), headers.mailbox("To", value, "a@example.org")):
        message = email.message_from_bytes(raw + b"\r\n", policy=email.policy.default)
        assert set(message.keys()) <= {"Subject", "To"}
        assert b"\nBcc" not in raw


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("ada@example.org", "ada@example.org"),
        ("ada@münchen.example", "ada@xn--mnchen-3ya.example"),
        ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ("two words@example.org".replace(" ", "."), "two.words@example.org"),
        ('"two@signs"@example.org', '"two@signs"@example.org'),
        ("a..b@example.org", '"a..b"@example.org'),
        ("jösé@example.org", "jösé@example.org"),
    ],
)
def test_an_address_goes_out_as_a_mail_server_takes_it(address: str, wire: str) -> None:
    assert headers.wire_address(address) == wire


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "a b@example.org",
        "a@b\r\nRCPT TO:<x@y.example>",
        "a<b@example.org",
        "a@-.example.ü-",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SubscriberMistake):
        headers.wire_address(address)
