"""DKIM signatures (RFC 6376): RSA and Ed25519 (RFC 8301, RFC 8463), sha256, relaxed/relaxed.

Written here over `cryptography`, since a library that is given whole messages reads each anew: 8,500 µs, of which
RSA is 250. What an issue's messages have in common is put into canonical form and hashed once; a body as
newsletter.quoted_printable writes it is canonical as it stands, so that its hash is one sha256 over its octets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from newsletter.config import Dkim, dns_name
from newsletter.errors import DkimMistake

Key = RSAPrivateKey | Ed25519PrivateKey

LEAST_BITS = 1024
"""Of an RSA key (RFC 8301 §3.2): verifiers don't look at a signature by a shorter one."""
GOOD_BITS = 2048
"""Of an RSA key: what is made, and what the same RFC asks for."""
MOST_BITS = 4096
"""Of an RSA key: longer ones a verifier needn't take."""

NOT_SIGNED = frozenset({"precedence", "x-auto-response-suppress"})
"""Headers of ours that nobody acts on for a reader's sake, and that servers on the way take out or change."""
SEALED = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "MIME-Version",
    "Content-Type",
)
"""Named in h= once more than they occur, so that a second one breaks the signature (RFC 6376 §8.15): with it someone
who has a signed message could send it on under another subject, or with a way to unsubscribe that leads to them."""

_MAKE = "Make one: newsletter doctor dkim-key."


# ---- keys


def read_key(path: Path) -> Key:
    """The private key in a PEM file. DkimMistake if it isn't there, or isn't one that mail can be signed with."""
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        raise DkimMistake("there is no such file, which [[dkim]] names as a key", where=path, remedy=_MAKE) from None
    except OSError as error:
        raise DkimMistake(
            f"the key can't be read: {error.strerror}",
            where=path,
            remedy="Let the user that newsletter runs as read it, and nobody else.",
        ) from None
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise DkimMistake(
            "the key is encrypted, and nobody is there to type its password when an issue goes",
            where=path,
            remedy="Write it without one: openssl pkey -in OLD -out NEW. Its file's mode is what protects it.",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        if b"PUBLIC KEY-----" in pem or b"CERTIFICATE-----" in pem:
            raise DkimMistake(
                "this is the public part of a key, and signing takes the private one",
                where=path,
                remedy='Its first line says "BEGIN PRIVATE KEY".',
            ) from None
        raise DkimMistake("this is not a private key in PEM", where=path, remedy=_MAKE) from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise DkimMistake(
            "this key is of a kind that DKIM doesn't know; it knows RSA and Ed25519", where=path, remedy=_MAKE
        )
    if isinstance(key, RSAPrivateKey) and key.key_size < LEAST_BITS:
        raise DkimMistake(
            f"this RSA key has {key.key_size} bits, and signatures by one under {LEAST_BITS} count for nothing",
            where=path,
            remedy=_MAKE,
        )
    return key


def new_key(kind: str) -> Key:
    """A new key: "rsa", of GOOD_BITS, or "ed25519"."""
    return Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65537, GOOD_BITS)


def pem(key: Key) -> bytes:
    """A private key as a file holds it: PKCS #8 in PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def words(key: Key) -> str:
    """A key's kind and length, for people."""
    return f"RSA, {key.key_size:,} bits" if isinstance(key, RSAPrivateKey) else "Ed25519"


def usual(key: Key) -> bool:
    """Whether it is of a length that is neither too short to be safe nor too long to be taken."""
    return not isinstance(key, RSAPrivateKey) or GOOD_BITS <= key.key_size <= MOST_BITS


def kind(key: Key) -> str:
    """The k= of its record: "rsa" or "ed25519"."""
    return "rsa" if isinstance(key, RSAPrivateKey) else "ed25519"


def public(key: Key) -> str:
    """The p= of its record: SubjectPublicKeyInfo for RSA (RFC 6376 §3.6.1), the bare key for Ed25519 (RFC 8463 §4)."""
    if isinstance(key, RSAPrivateKey):
        raw = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(raw).decode()


# ---- signing


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that is ready to sign."""

    domain: str
    selector: str
    algorithm: str
    sign: Callable[[bytes], bytes]
    """A sha256 digest to its signature."""


def signers(entries: Iterable[Dkim], beside: Path, sender: str) -> tuple[Signer, ...]:
    """Who signs messages from `sender`, an address as it is on the wire: the entries aligned with it, in their order.

    DkimMistake where the key of one of them can't be used.
    """
    return tuple(signer(entry, read_key(beside / entry.key)) for entry in entries if aligned(entry, sender))


def aligned(entry: Dkim, sender: str) -> bool:
    """Whether an entry's domain is that of an address, or a parent of it."""
    return f".{sender.rpartition('@')[2].lower()}".endswith(f".{dns_name(entry.domain)}")


def names(entry: Dkim) -> tuple[str, str]:
    """An entry's domain and selector as DNS has them."""
    return dns_name(entry.domain), dns_name(entry.selector)


def signer(entry: Dkim, key: Key) -> Signer:
    """What signs for an entry with its key."""
    domain, selector = names(entry)
    if isinstance(key, Ed25519PrivateKey):
        return Signer(domain, selector, "ed25519-sha256", key.sign)
    padding, hashed = PKCS1v15(), Prehashed(SHA256())
    return Signer(domain, selector, "rsa-sha256", lambda digest: key.sign(digest, padding, hashed))


class Signing:
    """Signs the messages of one issue: the headers that all of them have are read and hashed once."""

    def __init__(self, signers: tuple[Signer, ...], constant: bytes, varying: tuple[str, ...] = ()) -> None:
        """`constant` is the headers that are the same in all messages, `varying` the names of the others, in order."""
        fixed = [(name, field) for name, field in _fields(constant) if name.lower() not in NOT_SIGNED]
        # Those that vary come last in h=: what comes before is hashed once, and each message goes on from there.
        self._constant = hashlib.sha256(b"".join(_relaxed(name, field) for name, field in fixed))
        self._names = [(f"\r\n{name}: ".encode(), f"\r\n{name.lower()}:".encode()) for name in varying]
        names = [*(name for name, _ in fixed), *varying, *SEALED]
        self._signatures = [(*_begun(signer, names), signer.sign) for signer in signers]

    def headers(self, varying: bytes, body: bytes | memoryview, seconds: int) -> bytes:
        """A message's DKIM-Signature headers, to be put in front of it.

        `varying` is its own headers as newsletter.headers writes them: one space behind a colon and at a fold, no
        other run of white space. `body` has to be in the relaxed form (RFC 6376 §3.4.4) as it is. `seconds` is the
        message's moment, since 1970.
        """
        own = b"\r\n" + varying.replace(b"\r\n ", b" ")
        for written, relaxed in self._names:
            own = own.replace(written, relaxed, 1)
        hashed = self._constant.copy()
        hashed.update(own[2:])
        body_hash = binascii.b2a_base64(hashlib.sha256(body).digest(), newline=False)
        rest = b"t=%d; bh=%b;" % (seconds, body_hash)
        made = []
        for begun, relaxed, sign in self._signatures:
            each = hashed.copy()
            # The signature signs itself too, with an empty b= (§3.7).
            each.update(relaxed + rest + b" b=")
            signature = binascii.b2a_base64(sign(each.digest()), newline=False)
            lines = [signature[at : at + 73] for at in range(0, len(signature), 73)]
            made.append(begun + rest + b"\r\n b=" + b"\r\n ".join(lines) + b"\r\n")
        return b"".join(made)


def signed(signers: tuple[Signer, ...], message: bytes, seconds: int) -> bytes:
    """One message, signed. Its body has to be as newsletter.quoted_printable makes it."""
    if not signers:
        return message
    head, _, body = message.partition(b"\r\n\r\n")
    return Signing(signers, head + b"\r\n").headers(b"", body, seconds) + message


def _fields(headers: bytes) -> list[tuple[str, bytes]]:
    """Each header's name, and the header whole, folds and all."""
    return [
        (field.partition(b":")[0].decode(), field + b"\r\n")
        for field in re.split(rb"\r\n(?![ \t])", headers.removesuffix(b"\r\n"))
    ]


def _relaxed(name: str, field: bytes) -> bytes:
    """A header in its relaxed form (§3.4.2)."""
    value = field.partition(b":")[2].replace(b"\r\n", b"")
    return name.lower().encode() + b":" + re.sub(rb"[ \t]+", b" ", value).strip(b" \t") + b"\r\n"


def _begun(signer: Signer, names: list[str]) -> tuple[bytes, bytes]:
    """A signature's header up to where it differs from message to message, as it is written and relaxed."""
    tags = ["v=1;", f"a={signer.algorithm};", "c=relaxed/relaxed;", f"d={signer.domain};", f"s={signer.selector};"]
    line, lines = "DKIM-Signature:", []
    for word in [
        *(f" {tag}" for tag in tags),
        f" h={names[0]}:",
        *(f"{name}:" for name in names[1:-1]),
        f"{names[-1]};",
    ]:
        if len(line) + len(word) > 76:
            lines.append(line)
            line = "" if word.startswith(" ") else " "
        line += word
    written = "\r\n".join([*lines, line]).encode() + b"\r\n "
    return written, _relaxed("DKIM-Signature", written).removesuffix(b"\r\n") + b" "
