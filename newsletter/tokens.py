"""What can't be guessed: tokens in readers' links and return addresses, and fingerprints of addresses.

The secrets are rows of the database, so that every host that works on it has them. The newest of a purpose
signs; all of them verify, so that a link in an old mail keeps working after a rotation.
"""

from __future__ import annotations

import datetime as dt
import hmac
import itertools
import secrets
import struct
from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.models import Key

ROTATED = ("token", "form")
PURPOSES = (*ROTATED, "fingerprint")
_MAC = 12
"""Bytes of keyed BLAKE2b (RFC 7693) in a token: 96 bits. It is made twice a message; HMAC takes six times as long."""


_SUBSCRIBER = 40
"""Bits of a subscriber's number in a token; the issue's stand above them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the token in a measured link says."""

    issue: int
    mark: bytes
    """What tells its message from others, and leads to nobody; empty where the reader is named."""
    subscriber: int | None
    """Who, where they agreed to be measured."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets of one database, newest first."""

    token: tuple[bytes, ...]
    form: tuple[bytes, ...]
    """What seals the forms on our pages, and hashes what must not be told apart from outside."""
    fingerprint: bytes
    """Never rotated: suppressions of erased addresses are known by it alone."""

    def reader(self, issue: int, subscriber: int) -> str:
        """A token for one reader of one issue: 36 hexadecimal digits, give or take a few.

        No capitals, since it also stands in return addresses, where some servers fold case.
        """
        number = issue << _SUBSCRIBER | subscriber
        what = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return (blake2b(what, key=self.token[0], digest_size=_MAC).digest() + what).hex()

    def letter(self, letter: int) -> str:
        """A token for the link in a letter: 26 hexadecimal digits or more. It is no reader's token, nor they it."""
        what = letter.to_bytes((letter.bit_length() + 7) // 8, "big")
        return (blake2b(what, key=self.token[0], digest_size=_MAC, person=b"letter").digest() + what).hex()

    def read_letter(self, token: str) -> int | None:
        """The letter of a token, or None where it isn't one of ours."""
        raw = _raw(token)
        if raw is None or not 1 <= len(raw) - _MAC <= 8:
            return None
        mac, what = raw[:_MAC], raw[_MAC:]
        for key in self.token:
            if hmac.compare_digest(mac, blake2b(what, key=key, digest_size=_MAC, person=b"letter").digest()):
                return int.from_bytes(what, "big")
        return None

    def issue(self, issue: int) -> str:
        """A token for the page of a private issue: 26 hexadecimal digits or more. It is no reader's token."""
        what = issue.to_bytes((issue.bit_length() + 7) // 8, "big")
        return (blake2b(what, key=self.token[0], digest_size=_MAC, person=b"issue").digest() + what).hex()

    def read_issue(self, token: str) -> int | None:
        """The issue of a token, or None where it isn't one of ours."""
        raw = _raw(token)
        if raw is None or not 1 <= len(raw) - _MAC <= 8:
            return None
        mac, what = raw[:_MAC], raw[_MAC:]
        for key in self.token:
            if hmac.compare_digest(mac, blake2b(what, key=key, digest_size=_MAC, person=b"issue").digest()):
                return int.from_bytes(what, "big")
        return None

    def mark(self, issue: int, mark: bytes) -> str:
        """A token for the measured links of one message, by a `mark` of 8 octets that leads to nobody.

        32 hexadecimal digits and those of the issue. It opens no page of a reader's.
        """
        what = mark + issue.to_bytes((issue.bit_length() + 7) // 8, "big")
        return (blake2b(what, key=self.token[0], digest_size=8, person=b"mark").digest() + what).hex()

    def measured(self, issue: int, subscriber: int) -> str:
        """The same for a reader who agreed to be measured: it says who they are, and still opens no page of theirs."""
        number = issue << _SUBSCRIBER | subscriber
        what = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return (blake2b(what, key=self.token[0], digest_size=_MAC, person=b"measured").digest() + what).hex()

    def read_mark(self, token: str) -> Mark | None:
        """What a token of `mark` or `measured` says, or None where it isn't one of ours."""
        raw = _raw(token)
        if raw is None:
            return None
        for key in self.token:
            mac, what = raw[:8], raw[8:]
            if 9 <= len(what) <= 12 and hmac.compare_digest(
                mac, blake2b(what, key=key, digest_size=8, person=b"mark").digest()
            ):
                return Mark(int.from_bytes(what[8:], "big"), what[:8], None)
            mac, what = raw[:_MAC], raw[_MAC:]
            if 1 <= len(what) <= 12 and hmac.compare_digest(
                mac, blake2b(what, key=key, digest_size=_MAC, person=b"measured").digest()
            ):
                number = int.from_bytes(what, "big")
                return Mark(number >> _SUBSCRIBER, b"", number & (1 << _SUBSCRIBER) - 1)
        return None

    def message(self, issue: int, subscriber: int) -> str:
        """What a Message-ID is made of: the same for ever for one reader of one issue. 24 hexadecimal digits."""
        return blake2b(struct.pack(">IQ", issue, subscriber), key=self.fingerprint, digest_size=12).hexdigest()

    def read(self, token: str) -> tuple[int, int] | None:
        """(issue, subscriber) of a token, or None where it isn't one of ours."""
        raw = _raw(token)
        if raw is None:
            return None
        mac, what = raw[:_MAC], raw[_MAC:]
        if not 1 <= len(what) <= 12 or what[0] == 0:
            return None
        for key in self.token:
            if hmac.compare_digest(mac, blake2b(what, key=key, digest_size=_MAC).digest()):
                number = int.from_bytes(what, "big")
                return number >> _SUBSCRIBER, number & (1 << _SUBSCRIBER) - 1
        return None

    def blurred(self, what: str, *, digits: int = 32) -> str:
        """A hash of something that must be told apart, and not be read: of a message, of a client."""
        return blake2b(what.encode(), key=self.fingerprint, digest_size=digits // 2, person=b"blurred").hexdigest()

    def print_of(self, address_key: str) -> str:
        """The fingerprint of an address: 32 hexadecimal digits."""
        return blake2b(address_key.encode(), key=self.fingerprint, digest_size=16, person=b"address").hexdigest()


def rotate(session: Session, now: dt.datetime) -> None:
    """New secrets sign from now on. The old ones still verify: a link in an old mail keeps working."""
    for purpose in ROTATED:
        session.add(Key(purpose=purpose, secret=secrets.token_bytes(32), created=now))
    session.flush()


def forget(session: Session, before: dt.datetime) -> int:
    """Secrets that a newer one had replaced before that moment are forgotten; answers how many.

    Every link that they signed leads nowhere from now on, and nobody can leave by it with one click.
    """
    forgotten = 0
    for purpose in ROTATED:
        rows = session.scalars(select(Key).where(Key.purpose == purpose).order_by(Key.id)).all()
        for row, successor in itertools.pairwise(rows):
            if successor.created < before:
                session.delete(row)
                forgotten += 1
    session.flush()
    return forgotten


def _raw(token: str) -> bytes | None:
    """The bytes of hexadecimal digits in the one way that we write them: no space, no other alphabet's digits."""
    if not token.isascii() or len(token) > 80 or not token.isalnum():
        return None
    try:
        return bytes.fromhex(token)
    except ValueError:
        return None


def keys(session: Session, now: dt.datetime) -> Keys:
    """The database's secrets; made on first use."""
    found: dict[str, list[bytes]] = {purpose: [] for purpose in PURPOSES}
    for key in session.scalars(select(Key).order_by(Key.id.desc())):
        found.setdefault(key.purpose, []).append(key.secret)
    for purpose in PURPOSES:
        if not found[purpose]:
            secret = secrets.token_bytes(32)
            session.add(Key(purpose=purpose, secret=secret, created=now))
            found[purpose] = [secret]
    session.flush()
    return Keys(token=tuple(found["token"]), form=tuple(found["form"]), fingerprint=found["fingerprint"][0])
