"""Messages as bytes: the contract with every mail program."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import quopri
import re
from email.message import EmailMessage
from email.utils import getaddresses

import msgspec
import pytest
from conftest import CONFIG, NOW
from hypothesis import given
from hypothesis import strategies as st

from newsletter import config, fields
from newsletter import quoted_printable as qp
from newsletter.compose import Composer, Content, Reader
from newsletter.tokens import Keys

PUBLICATION = config.decode(CONFIG, __import__("pathlib").Path("config.toml")).publications["digest"]
KEYS = Keys(token=(b"k" * 32,), form=(b"o" * 32,), fingerprint=b"f" * 32)
NAMES = fields.known(["first_name", "city", "plan"])
HTML = (
    '<!doctype html><html lang="en"><body><p>Dear \x02name|reader\x03,</p>\n<p>.dots and  two spaces </p>'
    "<p>\x02if city\x03You are in \x02city\x03.\x02else\x03Where are you?\x02end\x03</p>"
    '<a href="\x02unsubscribe_url\x03">Leave</a> <a href="https://example.org/?city=\x02city\x03&amp;x=1">City</a>'
    "<p>" + "Tōkyō 東京 " * 40 + "</p></body></html>\n"
)
TEXT = "Dear \x02name|reader\x03,\n\n\x02if city\x03You are in \x02city\x03.\n\x02end\x03.hidden\nFrom here on\nLeave: \x02unsubscribe_url\x03\n"


def composer(html: str = HTML, text: str = TEXT, subject: str = "Digest 2.21: Toyota", **changes: object) -> Composer:
    content = Content(issue=7, slug="digest", volume=2, number=21, subject=subject, html=html, text=text)
    return Composer(content, msgspec.structs.replace(PUBLICATION, **changes), "https://digest.example.org", NAMES, KEYS)


def reader(name: str = "Ada Lovelace", address: str = "ada@example.org", **attributes: str) -> Reader:
    return Reader(42, address, name, attributes, dt.datetime(2023, 3, 6, 15, tzinfo=dt.UTC))


def parsed(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)  # type: ignore[return-value]


def check_wire(data: bytes) -> None:
    """What every message must be, whoever it is for."""
    assert data.endswith(b"\r\n")
    assert data.isascii()
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")
    head, _, body = data.partition(b"\r\n\r\n")
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
    for line in body.split(b"\r\n"):
        assert len(line) <= 76, line
        assert not line.startswith(b".")
        assert not line.startswith(b"From ")
        assert not re.search(rb"[ \t]$|[ \t]{2}", line), line


def parts(data: bytes) -> tuple[str, str]:
    message = parsed(data)
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return tuple(
        quopri.decodestring(part.get_payload(decode=False).encode()).decode().replace("\r\n", "\n")
        for part in (text, html)
    )


def test_a_message_has_a_text_part_then_an_html_part_with_the_readers_values() -> None:
    message = composer().compose(reader(city="Tōkyō & Ōsaka"), NOW)
    check_wire(message.data)
    text, html = parts(message.data)
    assert text == (
        "Dear Ada Lovelace,\n\nYou are in Tōkyō & Ōsaka.\n.hidden\nFrom here on\n"
        f"Leave: https://digest.example.org/leave/{KEYS.reader(7, 42)}\n"
    )
    assert "<p>Dear Ada Lovelace,</p>\n<p>.dots and  two spaces </p>" in html
    assert "You are in Tōkyō &amp; Ōsaka." in html
    assert f'<a href="https://digest.example.org/leave/{KEYS.reader(7, 42)}">' in html
    assert '"https://example.org/?city=T%C5%8Dky%C5%8D%20%26%20%C5%8Csaka&amp;x=1"' in html
    assert "\x02" not in html + text
    assert "\x03" not in html + text


def test_what_is_not_known_of_a_reader_falls_back_to_the_words_behind_the_bar() -> None:
    text, html = parts(composer().compose(reader(name=""), NOW).data)
    assert text.startswith("Dear reader,\n\n.hidden")
    assert "Dear reader," in html
    assert "Where are you?" in html


def test_the_headers_say_what_bulk_mail_has_to_say() -> None:
    data = composer().compose(reader(), NOW).data
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n"
    token = KEYS.reader(7, 42)
    for line in (
        b"From: US-Japan Alliance Digest <digest@example.org>\r\n",
        b"To: Ada Lovelace <ada@example.org>\r\n",
        b"Subject: Digest 2.21: Toyota\r\n",
        b"Date: Mon, 13 Nov 2023 14:46:00 -0500\r\n",
        f"Message-ID: <{KEYS.message(7, 42)}@example.org>\r\n".encode(),
        b"List-Id: US-Japan Alliance Digest <digest.example.org>\r\n",
        f"List-Unsubscribe: <https://digest.example.org/leave/{token}>, <mailto:digest@example.org?subject=unsubscribe%20{token}>\r\n".encode(),
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        b"List-Archive: <https://digest.example.org/digest>\r\n",
        b"Feedback-ID: 2.21:digest:issue:exampleorg\r\n",
        b"Precedence: bulk\r\n",
        b"Auto-Submitted: auto-generated\r\n",
        b"MIME-Version: 1.0\r\n",
    ):
        assert head.count(b"\r\n" + line) == 1 or head.startswith(line), line
    names = [line.split(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"")]
    assert len(names) == len(set(names))


def test_a_message_id_depends_on_issue_and_subscriber_alone() -> None:
    one = parsed(composer().compose(reader(), NOW).data)["Message-ID"]
    rotated = Keys(token=(b"new" * 11, *KEYS.token), form=KEYS.form, fingerprint=KEYS.fingerprint)
    content = Content(7, "digest", 2, 21, "Another", "<p>x</p>", "x")
    again = Composer(content, PUBLICATION, "https://elsewhere.example", NAMES, rotated).compose(
        reader(name="Changed", city="x"), NOW + dt.timedelta(days=3)
    )
    assert parsed(again.data)["Message-ID"] == one
    assert len(one) < 60


def test_a_bounce_comes_back_to_an_address_that_says_which_copy_it_was() -> None:
    message = composer(bounces="returns@bounces.example.org").compose(reader(), NOW)
    local, _, domain = message.sender.rpartition("@")
    assert domain == "bounces.example.org"
    assert KEYS.read(local.removeprefix("returns+")) == (7, 42)
    assert KEYS.read(local.removeprefix("returns+")[:-1] + "0") in (None, (7, 42))
    assert KEYS.read("ff" + local.removeprefix("returns+")[2:]) in (None, (7, 42))
    assert len(local) <= 64


@pytest.mark.parametrize("token", ["", "zz", "00", "f" * 24, "F" * 200, "é", "f" * 25])
def test_a_token_that_is_not_ours_reads_as_nothing(token: str) -> None:
    assert KEYS.read(token) is None


def test_a_subject_may_speak_to_the_reader() -> None:
    made = composer(subject="[[if city]][[city]]: [[end]]Digest for [[name|you]] [[else]]")
    assert parsed(made.compose(reader(city="東京"), NOW).data)["Subject"] == "東京: Digest for Ada Lovelace [[else]]"
    assert b"Subject: Digest for you [[else]]\r\n" in made.compose(reader(name=""), NOW).data


def test_a_name_with_a_line_break_starts_no_header() -> None:
    message = composer(subject="For [[name]]").compose(reader(name="Eve\r\nBcc: all@example.org"), NOW)
    check_wire(message.data)
    assert parsed(message.data)["Bcc"] is None
    assert getaddresses([parsed(message.data)["To"]]) == [("Eve Bcc: all@example.org", "ada@example.org")]
    assert parsed(message.data)["Subject"] == "For Eve Bcc: all@example.org"


def test_a_value_can_not_break_out_of_its_place_in_the_html() -> None:
    _, html = parts(composer().compose(reader(name='"><script>alert(1)</script>', city='" onclick="x'), NOW).data)
    assert "<script" not in html
    assert 'onclick="' not in html


VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200)


@given(name=VALUES, city=VALUES)
def test_whatever_the_values_the_message_is_whole_and_says_them(name: str, city: str) -> None:
    who = reader(name=name, city=city)
    made = composer()
    message = made.compose(who, NOW)
    check_wire(message.data)
    assert parts(message.data) == (made.text(who), made.html(who))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x02\x03"), max_size=400))
def test_any_text_comes_through_quoted_printable_unchanged(text: str) -> None:
    encoded, column = qp.encode(text)
    assert quopri.decodestring(encoded) == text.replace("\n", "\r\n").encode()
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    assert column == len(encoded.rpartition(b"\r\n")[2])


def test_two_hundred_variants_of_conditions_stay_within_bounds() -> None:
    plans = "".join(f"\x02if plan = {i}\x03plan {i}\x02end\x03" for i in range(400))
    made = composer(html=f"<p>{plans}</p>", text="x")
    for i in range(400):
        assert f"<p>plan {i}</p>" in parts(made.compose(reader(plan=str(i)), NOW).data)[1]
    assert len(made._variants) <= 256


@given(html=VALUES, city=VALUES)
def test_dkims_relaxed_and_simple_bodies_are_the_same_so_that_no_message_is_scanned_for_white_space(
    html: str, city: str
) -> None:
    from dkim.canonicalization import Relaxed, Simple

    made = composer(html=f" {html} \n\n{html}\x02city\x03 {html}\n\n", text=f"{html}\n \n\x02city\x03\n\n")
    body = made.compose(reader(city=city), NOW).data.partition(b"\r\n\r\n")[2]
    assert Relaxed.canonicalize_body(body) == Simple.canonicalize_body(body) == body
