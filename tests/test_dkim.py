"""Signatures, by the eyes of two verifiers that aren't ours: dkimpy here, Debian's opendkim where it is installed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dkim as dkimpy
import msgspec
import pytest
from conftest import CONFIG, NOW
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mailserver import MailServer
from sqlalchemy import select
from test_compose import HTML, KEYS, NAMES, PUBLICATION, TEXT, VALUES, check_wire, composer, parsed, reader
from test_sender import READERS, issue, send  # noqa: F401 - issue is a fixture

from newsletter import config, dkim, dns_records, headers, issues
from newsletter.compose import Composer, Content
from newsletter.config import Dkim
from newsletter.errors import ConfigMistake, DkimMistake
from newsletter.models import Issue
from newsletter.states import IssueState

RSA, ED25519 = dkim.new_key("rsa"), dkim.new_key("ed25519")
ENTRIES = {
    "rsa": (Dkim("example.org", "r2026", "rsa.pem"), RSA),
    "ed25519": (Dkim("example.org", "e2026", "ed25519.pem"), ED25519),
}
DNS = {
    f"{dns_records.dkim_name(entry.domain, entry.selector)}.".encode(): dns_records.dkim_record(key).encode()
    for entry, key in ENTRIES.values()
}
KINDS = [("rsa",), ("ed25519",), ("rsa", "ed25519")]


def dns(name: bytes, timeout: int = 5) -> bytes | None:
    return DNS.get(name)


def signing(*kinds: str, subject: str = "Digest 2.21: Toyota", html: str = HTML, **changes: Any) -> Composer:
    content = Content(issue=7, slug="digest", volume=2, number=21, subject=subject, html=html, text=TEXT)
    signers = tuple(dkim.signer(*ENTRIES[kind]) for kind in kinds)
    publication = msgspec.structs.replace(PUBLICATION, **changes)
    return Composer(content, publication, "https://digest.example.org", NAMES, KEYS, signers)


def verdicts(data: bytes) -> list[bool]:
    """What dkimpy says of each signature of a message."""
    count = data.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature: ")
    return [_verdict(data, index) for index in range(count)]


def _verdict(data: bytes, index: int) -> bool:
    try:
        return bool(dkimpy.DKIM(data).verify(idx=index, dnsfunc=dns))
    except dkimpy.DKIMException:
        return False


def tags(data: bytes, index: int = 0) -> dict[str, str]:
    """The tags of a signature."""
    value = parsed(data).get_all("DKIM-Signature")[index]
    return {name.strip(): re.sub(r"\s", "", text) for name, _, text in (tag.partition("=") for tag in value.split(";"))}


COMPOSERS = {kinds: signing(*kinds, subject="For [[name|you]]: Digest 2.21") for kinds in KINDS}
PLAIN = signing("rsa")


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
@settings(max_examples=60)
@given(name=VALUES, city=VALUES)
def test_every_signature_of_whatever_message_is_good(kinds: tuple[str, ...], name: str, city: str) -> None:
    data = COMPOSERS[kinds].compose(reader(name=name, city=city), NOW).data
    check_wire(data)
    assert verdicts(data) == [True] * len(kinds)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "東京 太郎 " * 12,
        "Lovelace, Ada, Countess of, " * 8,
        "x" * 300,
        ' "quoted" \\ ',
        "Ada  Lovelace",
        "a@b, c@d",
    ],
)
@pytest.mark.parametrize("address", ["ada@example.org", "news@münchen.example", "jösé@example.org", "a b@example.org"])
def test_names_and_addresses_that_are_written_in_many_ways_are_signed_as_they_are_written(
    name: str, address: str
) -> None:
    if address == "a b@example.org":
        address = '"ab,"@example.org'
    for kinds in KINDS:
        assert verdicts(COMPOSERS[kinds].compose(reader(name=name, address=address), NOW).data) == [True] * len(kinds)


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
def test_the_message_under_the_signatures_is_the_one_that_is_sent_without_them(kinds: tuple[str, ...]) -> None:
    who = reader(city="Tōkyō & Ōsaka")
    plain, signed = composer().compose(who, NOW), signing(*kinds).compose(who, NOW)
    assert signed.data.endswith(plain.data)
    rest = signed.data.removesuffix(plain.data)
    assert re.fullmatch(rb"(DKIM-Signature: [^\r]+\r\n( [^\r]+\r\n)+)+", rest)
    assert rest.count(b"DKIM-Signature: ") == len(kinds)
    assert all(len(line) <= 78 for line in rest.split(b"\r\n"))
    assert (signed.sender, signed.recipient) == (plain.sender, plain.recipient)


@settings(max_examples=150)
@given(st.data())
def test_an_octet_that_is_changed_in_what_is_signed_breaks_every_signature(data: st.DataObject) -> None:
    whole = BOTH
    start = whole.index(b"\r\nTo: ") + 2
    at = data.draw(st.sampled_from([at for at in range(start, len(whole)) if at not in LOOSE]))
    other = data.draw(st.sampled_from([octet for octet in b"bZ07=-<>" if octet | 32 != whole[at] | 32]))
    changed = whole[:at] + bytes([other]) + whole[at + 1 :]
    assert verdicts(changed) == [False, False], whole[at - 20 : at + 20]


BOTH = signing("rsa", "ed25519").compose(reader(city="Tōkyō"), NOW).data


def _loose() -> set[int]:
    """Where a change is allowed: the two headers that aren't signed, the case of names, white space that is folded."""
    head = BOTH.partition(b"\r\n\r\n")[0]
    found: set[int] = set()
    for line in re.finditer(rb"(?m)^(Precedence|X-Auto-Response-Suppress): [^\r]*\r\n", head):
        found |= set(range(line.start() - 2, line.end()))
    return found


LOOSE = _loose()


@pytest.mark.parametrize(
    "more",
    [
        b"From: Eve <eve@example.net>",
        b"To: everyone@example.net",
        b"Subject: You have won",
        b"Date: Mon, 13 Nov 2023 14:46:01 -0500",
        b"Reply-To: eve@example.net",
        b"List-Unsubscribe: <https://eve.example.net/>",
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        b"Content-Type: text/plain",
        b"Message-ID: <other@example.net>",
        b"MIME-Version: 1.0",
    ],
)
def test_a_second_header_in_front_or_behind_breaks_the_signatures(more: bytes) -> None:
    head, _, body = BOTH.partition(b"\r\n\r\n")
    assert verdicts(more + b"\r\n" + BOTH) == [False, False]
    assert verdicts(head + b"\r\n" + more + b"\r\n\r\n" + body) == [False, False]
    assert verdicts(b"Received: from a by b; Mon, 13 Nov 2023 14:46:01 -0500\r\n" + BOTH) == [True, True]


def test_a_second_header_breaks_the_signature_of_an_issue_with_a_reply_to_as_well() -> None:
    data = signing("ed25519", reply_to="desk@example.org").compose(reader(), NOW).data
    assert verdicts(data) == [True]
    assert verdicts(b"Reply-To: eve@example.net\r\n" + data) == [False]
    assert verdicts(data.replace(b"Reply-To: desk@", b"Reply-To: task@")) == [False]


def test_what_a_signature_says() -> None:
    for index, (algorithm, selector) in enumerate([("rsa-sha256", "r2026"), ("ed25519-sha256", "e2026")]):
        said = tags(BOTH, index)
        assert said.keys() == {"v", "a", "c", "d", "s", "h", "t", "bh", "b"}
        assert (said["a"], said["s"]) == (algorithm, selector)
        assert (said["v"], said["c"], said["d"]) == ("1", "relaxed/relaxed", "example.org")
        assert int(said["t"]) == int(NOW.timestamp())
        names = said["h"].lower().split(":")
        for name in ("from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"):
            assert names.count(name) == 2, name
        for name in ("list-id", "feedback-id", "list-archive"):
            assert names.count(name) == 1, name
        assert names.count("reply-to") == 1, "there is none, and none can be put in"
    assert tags(BOTH, 0)["bh"] == tags(BOTH, 1)["bh"]


def test_white_space_that_servers_change_on_the_way_does_no_harm() -> None:
    data = signing("rsa", "ed25519").compose(reader(name="Lovelace, Ada, Countess of, " * 8), NOW).data
    head, _, body = data.partition(b"\r\n\r\n")
    start = head.index(b"\r\nTo: ")
    unfolded = head[:start] + head[start:].replace(b"\r\n ", b"\t ").replace(b"Subject:", b"SUBJECT:")
    assert verdicts(unfolded + b"\r\n\r\n" + body + b"\r\n\r\n") == [True, True]


def test_messages_of_an_issue_are_signed_one_by_one_in_any_order() -> None:
    made = signing("rsa", "ed25519", subject="[[city]]")
    for number in (3, 1, 2, 1):
        data = made.compose(reader(name=f"Reader {number}", city=f"City {number}"), NOW + dt.timedelta(number)).data
        assert verdicts(data) == [True, True]
        assert int(tags(data)["t"]) == int((NOW + dt.timedelta(number)).timestamp())


def test_a_message_that_belongs_to_no_issue_is_signed_too() -> None:
    signers = tuple(dkim.signer(*each) for each in ENTRIES.values())
    plain = b"From: desk@example.org\r\nTo: ed@example.org\r\nSubject: a \r\n  b\r\n\r\nText\r\n"
    data = dkim.signed(signers, plain, 1_700_000_000)
    assert verdicts(data) == [True, True]
    assert data.endswith(plain)
    assert verdicts(data.replace(b"Text", b"Next")) == [False, False]
    assert dkim.signed((), plain, 0) == plain


# ---- a second verifier


OPENDKIM = shutil.which("opendkim", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.mark.skipif(OPENDKIM is None, reason="opendkim is not installed: apt-get install opendkim")
def test_opendkim_takes_what_is_signed_and_refuses_what_was_changed(tmp_path: Path) -> None:
    assert OPENDKIM is not None
    keys = "".join(f"{name.decode().rstrip('.')} {record.decode()}\n" for name, record in DNS.items())
    (tmp_path / "keys").write_text(keys)
    (tmp_path / "conf").write_text(f"Mode v\nSocket inet:0@localhost\nTestPublicKeys {tmp_path / 'keys'}\n")

    def verdict(data: bytes) -> list[str]:
        (tmp_path / "mail.eml").write_bytes(data)
        told = subprocess.run(
            [OPENDKIM, "-x", tmp_path / "conf", "-vv", "-t", tmp_path / "mail.eml"],
            capture_output=True,
            check=True,
            text=True,
        )
        return re.findall(r"dkim=(\w+)[^;]* header\.a=(\S+)", told.stdout)

    passed = [("pass", "rsa-sha256"), ("pass", "ed25519-sha256")]
    failed = [("fail", "rsa-sha256"), ("fail", "ed25519-sha256")]
    made = signing("rsa", "ed25519", subject="For [[name|you]]")
    for name in ("Ada Lovelace", "東京 太郎 " * 12, "Lovelace, Ada, Countess of, " * 8, ""):
        data = made.compose(reader(name=name, city="Tōkyō"), NOW).data
        assert verdict(data) == passed
        assert verdict(data.replace(b"Tky", b"Kyo").replace(b"example.org/leave", b"example.net/leave")) == failed
        assert verdict(b"Subject: You have won\r\n" + data) == failed
        assert verdict(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" + data) == failed


# ---- keys


# 512 bits, and good for nothing but this.
SHORT = b"""-----BEGIN RSA PRIVATE KEY-----
MIIBOgIBAAJBALYwrcj0M/aP2AWpVWvXMOzf90Zcq7EEArW5DVFiOkp3lLpJ1Aur
mxgO3sKJYQCuKazttop02KOXM4GHCQLfJ5MCAwEAAQJAEASjouFlmC35bjX/HqYi
1RCz6unG5p9VpaiJdThPq7BFpcWKBdmZqynKUW+2G+nk6yVNKrNqpgzRO/h7QckJ
4QIhAO7v5fhRBRtJzYimH5Ey8wzj5Nt6pKu4XbouWqtKRn4ZAiEAwzNeF3gGCwMm
WLjkGcAL77AlAoO/O4PoBd0BNyUUMIsCIC3XvUm9UbuAl3ymUtwq6FMKzngFud5w
ixsTlbXTlF7RAiEAiAVvd6Mnct0LB6AvMtJkfu2bnJj51Rshv5Q1mJu56ekCIBwT
NEuFyEuBWH7ehRDSGwEMhStXlLeeS82wkKYKDkE0
-----END RSA PRIVATE KEY-----
"""


def pem(key: Any, **how: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how.get("hidden", NoEncryption())))


def test_a_key_comes_back_from_its_file_and_from_the_forms_that_openssl_writes(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    for key in (RSA, ED25519):
        file.write_bytes(dkim.pem(key))
        assert dkim.public(dkim.read_key(file)) == dkim.public(key)
    traditional = RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert traditional.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
    file.write_bytes(traditional)
    assert dkim.public(dkim.read_key(file)) == dkim.public(RSA)


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (None, "there is no such file", "newsletter doctor dkim-key"),
        (b"", "this is not a private key in PEM", "newsletter doctor dkim-key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "this is not a private key in PEM", ""),
        (bytes(range(256)), "this is not a private key in PEM", ""),
        (pem(RSA, hidden=BestAvailableEncryption(b"secret")), "the key is encrypted", "openssl pkey"),
        (
            RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "this is the public part of a key",
            "BEGIN PRIVATE KEY",
        ),
        (
            pem(ec.generate_private_key(ec.SECP256R1())),
            "of a kind that DKIM doesn't know; it knows RSA and Ed25519",
            "",
        ),
        (SHORT, "has 512 bits, and signatures by one under 1024 count for nothing", "newsletter doctor dkim-key"),
    ],
    ids=["missing", "empty", "broken", "binary", "encrypted", "public", "elliptic", "short"],
)
def test_a_file_that_nothing_can_be_signed_with_is_a_sentence_that_names_it(
    tmp_path: Path, content: bytes | None, what: str, remedy: str
) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DkimMistake) as told:
        dkim.read_key(file)
    assert str(told.value).startswith(f"{file}: ")
    assert what in str(told.value)
    assert remedy in str(told.value)


def test_a_folder_in_the_place_of_a_key_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DkimMistake, match="the key can't be read: Is a directory"):
        dkim.read_key(tmp_path)


# ---- config.toml


def entry(domain: str, selector: str = "s", key: str = "key.pem") -> str:
    return f'\n[[dkim]]\ndomain = "{domain}"\nselector = "{selector}"\nkey = "{key}"\n'


@pytest.mark.parametrize(
    ("sender", "signing"),
    [
        ("digest@example.org", ["example.org"]),
        ("digest@News.Example.ORG", ["example.org", "news.example.org"]),
        ("digest@myexample.org", []),
        ("digest@example.org.example.net", []),
        ("digest@münchen.example", ["münchen.example"]),
    ],
)
def test_a_message_is_signed_by_every_key_of_its_senders_domain_or_of_a_parent(
    tmp_path: Path, sender: str, signing: list[str]
) -> None:
    (tmp_path / "key.pem").write_bytes(dkim.pem(ED25519))
    text = "".join(entry(each) for each in ("example.org", "news.example.org", "münchen.example"))
    settings = config.decode(CONFIG.replace("digest@example.org", sender) + text, Path("config.toml"))
    wire = headers.wire_address(sender)
    assert [each.domain for each in settings.dkim if dkim.aligned(each, wire)] == signing
    made = dkim.signers(settings.dkim, tmp_path, wire)
    assert [each.domain for each in made] == [config.dns_name(each) for each in signing]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (entry("example org"), 'dkim[0].domain: "example org" is not a name that DNS can have'),
        (entry("-example.org"), 'dkim[0].domain: "-example.org" is not a name'),
        (entry(f"{'x' * 64}.org"), "is not a name that DNS can have"),
        (entry(".".join(["x" * 60] * 5)), "is not a name that DNS can have"),
        (entry("org"), 'dkim[0].domain: "org" is no domain of anybody'),
        (entry("example.org", "a_b"), 'dkim[0].selector: "a_b" is not a name that DNS can have'),
        (entry("example.org", "a..b"), 'dkim[0].selector: "a..b" is not a name'),
        (entry("example.org", ""), "dkim[0].selector: it can't be empty"),
        (
            entry("example.org") + entry("news.example.org") + entry("Example.Org", "S", "other.pem"),
            'dkim[2].selector: another key has the selector "s" at example.org already',
        ),
        (entry("example.org") + "bits = 2048\n", "dkim[0].bits: there is no setting `bits` here"),
    ],
)
def test_a_key_that_config_cannot_have_is_told_with_its_line(text: str, what: str) -> None:
    with pytest.raises(ConfigMistake) as told:
        config.decode(CONFIG + text, Path("config.toml"))
    assert what in str(told.value)
    found = re.match(r"config\.toml, line (\d+)", str(told.value))
    assert found is not None
    assert int(found[1]) > CONFIG.count("\n")


# ---- an issue


def test_an_issue_whose_key_is_gone_stands_still_with_the_reason_and_goes_on_once_it_is_back(issue: Any) -> None:  # noqa: F811
    with MailServer() as server:
        plain = issue(server, READERS[:3])
        key = (Dkim("example.org", "s", "key.pem"),)
        folder = dataclasses.replace(plain, config=msgspec.structs.replace(plain.config, dkim=key))
        send(folder)
        assert server.messages == []
        with folder.session() as session:
            found = session.scalars(select(Issue)).one()
            assert found.state is IssueState.paused
            file = folder.path / "key.pem"
            assert found.why.startswith(f"{file}: there is no such file, which [[dkim]] names as a key.")
            issues.resume(session, found, NOW)
        file.write_bytes(dkim.pem(ED25519))
        send(folder)
    known = {b"s._domainkey.example.org.": dns_records.dkim_record(ED25519).encode()}
    assert len(server.messages) == 3
    for message in server.messages:
        assert dkimpy.DKIM(message.data).verify(dnsfunc=lambda name, timeout=5: known.get(name))
