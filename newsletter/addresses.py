"""What is an address, and the key under which one person is known.

email-validator decides. Most addresses are plain ASCII, and for those a pattern says the same forty times
faster (1 µs against 50): it takes a subset of what the library takes and makes the same key of it, which
tests/test_addresses.py proves against the library. Whatever the pattern doesn't take, the library judges.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from newsletter.errors import SubscriberMistake

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){0,61}(?<!-)"
_PLAIN = re.compile(rf"(?=.{{1,254}}\Z)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+([A-Za-z]{{2,63}})")
_SPECIAL = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)
# Spaces that strip() doesn't know, and that web pages and spreadsheets leave round an address.
_UNSEEN = "\u200b\u2060\ufeff"


@dataclass(frozen=True, slots=True)
class Address:
    """An address that can be mailed to."""

    address: str
    """As its owner wrote it, in NFC, the domain in small letters."""
    key: str
    """The same however it is written: one key, one person."""


def checked(text: str) -> Address:
    """The address that `text` is, without white space round it.

    The key is in small letters throughout, with the domain in ASCII (IDNA 2008) and the rest in NFC. RFC 5321
    §2.4 lets a server tell Jane@ from jane@; next to none does, while people write both for the same mailbox,
    and two copies to one person are the greater harm. The address itself keeps its letters for the envelope.

    SubscriberMistake says what is wrong. Nothing is looked up: whether the domain takes mail is not known.
    """
    text = text.strip().strip(_UNSEEN).strip()
    if (plain := _PLAIN.fullmatch(text)) and plain[1].lower() not in _SPECIAL:
        local, _, domain = text.rpartition("@")
        return Address(f"{local}@{domain.lower()}", text.lower())
    if not text:
        raise SubscriberMistake("there is no address")
    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=True, strict=True)
    except EmailNotValidError as error:
        shown = "".join(letter if letter.isprintable() else "�" for letter in text[:80])
        raise SubscriberMistake(f'"{shown}" is not an address: {_lowered(str(error))}') from None
    key = unicodedata.normalize("NFC", found.local_part.lower()) + "@" + found.ascii_domain.lower()
    return Address(found.normalized, key)


def address_key(text: str) -> str:
    """The key of the address that `text` is; SubscriberMistake where it isn't one."""
    return checked(text).key


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
