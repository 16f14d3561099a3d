"""Addresses: what is one, and when two are the same person's."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.addresses import address_key, checked
from newsletter.errors import SubscriberMistake

LETTERS = "abzABZ09.-_+!'=/@ \t\nüİß"
WRITTEN = st.one_of(
    st.text(LETTERS, max_size=12),
    st.builds("{}@{}".format, st.text(LETTERS, max_size=70), st.text("abzXN09.-", max_size=75)),
    st.builds(
        "{}@{}.{}".format,
        st.text("aZ0.+'", min_size=1, max_size=9),
        st.text("aB-9.", max_size=9),
        st.sampled_from(["org", "ORG", "local", "test", "arpa", "c", "co.uk", "1", "xn--p1ai", "invalid", "a-b"]),
    ),
)


@settings(deadline=None)
@given(WRITTEN)
@example("a@" + "b" * 63 + ".org")
@example("a@" + "b" * 64 + ".org")
@example("a" * 64 + "@" + ".".join(["b" * 63, "c" * 63, "d" * 57]) + ".org")
@example("a" * 65 + "@example.org")
@example("a@b.onion")
@example("a@xy--z.org")
@example("a@example.test")
@example("a@-b.org")
@example("a@b-.org")
def test_the_quick_way_takes_only_what_the_library_takes_and_makes_the_same_of_it(text: str) -> None:
    try:
        found = validate_email(text.strip(), check_deliverability=False, strict=True)
    except EmailNotValidError:
        with pytest.raises(SubscriberMistake):
            checked(text)
        return
    assert checked(text).address == found.normalized
    if not text.isascii():
        return
    assert checked(text).key == f"{found.local_part.lower()}@{found.ascii_domain.lower()}"


@settings(deadline=None)
@given(st.one_of(WRITTEN, st.emails()))
def test_a_key_is_its_own_key_and_nothing_that_is_no_address_has_one(text: str) -> None:
    try:
        key = address_key(text)
    except SubscriberMistake:
        with pytest.raises(EmailNotValidError):
            validate_email(text.strip(), check_deliverability=False, strict=True)
        return
    assert address_key(key) == key
    assert address_key(key.upper()) == key or not key.isascii()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jane.Doe@Example.ORG", "jane.doe@example.org"),
        ("jane@bücher.example", "JANE@xn--bcher-kva.example"),
        ("u\u0308ber@example.org", "\u00dcber@example.org"),
        (" jane@example.org\u200b", "jane@example.org"),
    ],
)
def test_one_mailbox_written_in_two_ways_is_one_person(one: str, other: str) -> None:
    assert address_key(one) == address_key(other)


def test_an_address_keeps_the_letters_its_owner_wrote() -> None:
    assert checked("Jane.Doe@Example.ORG").address == "Jane.Doe@example.org"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jane",
        "jane@",
        "@example.org",
        "jane@localhost",
        "jane@example",
        "ja ne@example.org",
        "jane@exam ple.org",
        "Jane <jane@example.org>",
        "jane@example.org\nBcc: all@example.org",
        "jane@example.org\r",
        "jane@@example.org",
        "jane@[127.0.0.1]",
        '"ja ne"@example.org',
        "jane..doe@example.org",
        "jane@example.org,joe@example.org",
    ],
)
def test_what_is_no_address_is_said_to_be_none_in_a_sentence_without_a_line_break(text: str) -> None:
    if text.endswith("\r"):
        assert checked(text).address == "jane@example.org"
        return
    with pytest.raises(SubscriberMistake) as mistake:
        checked(text)
    assert "address" in str(mistake.value)
    assert str(mistake.value).isprintable()
