"""What DNS says about the domains that mail comes from: DKIM keys, SPF, DMARC; and what to publish there."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

import dns.exception
import dns.rdtypes.txtbase
import dns.resolver

from newsletter import dkim
from newsletter.dkim import Key
from newsletter.errors import Mistake

SPF_LOOKUPS = 10
"""Terms of an SPF record, and of those it includes, that may ask DNS (RFC 7208 §4.6.4)."""
STRING = 255
"""Octets of one string of a TXT record (RFC 1035 §3.3)."""


class Level(enum.Enum):
    """How it stands with what was looked at."""

    ok = "ok"
    warning = "warning"
    """Issues go, and something is worth a look."""
    wrong = "wrong"
    """Issues don't go, or are refused."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    about: str
    what: str
    to_do: str = ""


class Dns:
    """Asks for TXT records; waits no longer than it is told."""

    def __init__(self, server: str = "", *, seconds: float = 5.0) -> None:
        """`server` is the address of a name server, 192.0.2.53 or 192.0.2.53:5353; "" for this machine's own.

        Mistake where that is no address, or where the machine knows no name server.
        """
        host, _, port = server.partition(":") if server.count(":") == 1 else (server, "", "")
        try:
            self._resolver = dns.resolver.Resolver(configure=not server)
            if server:
                self._resolver.nameservers = [host.strip("[]")]
                self._resolver.port = int(port or 53)
        except (dns.resolver.NoResolverConfiguration, ValueError):
            raise Mistake(
                f'"{server}" is not the address of a name server' if server else "this machine knows no name server",
                remedy="Name one by its address: --dns-server 192.0.2.53.",
            ) from None
        self._resolver.lifetime = seconds
        self._known: dict[str, tuple[str, ...] | None] = {}

    def txt(self, name: str) -> tuple[str, ...] | None:
        """The TXT records of a name, the strings of each joined; () if it has none, None if nobody answers in time."""
        if name not in self._known:
            self._known[name] = self._asked(name)
        return self._known[name]

    def _asked(self, name: str) -> tuple[str, ...] | None:
        try:
            answer = self._resolver.resolve(name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except dns.exception.DNSException:
            return None
        return tuple(
            b"".join(record.strings).decode("utf-8", "replace")
            for record in answer
            if isinstance(record, dns.rdtypes.txtbase.TXTBase)
        )


# ---- what to publish


def dkim_name(domain: str, selector: str) -> str:
    """Where DNS has the public key of a selector (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def dkim_record(key: Key) -> str:
    """The TXT record of a key."""
    return f"v=DKIM1; k={dkim.kind(key)}; p={dkim.public(key)}"


def strings(record: str) -> list[str]:
    """A TXT record in strings of the length that one may have; those who read it join them."""
    return [record[at : at + STRING] for at in range(0, len(record), STRING)]


def zone_line(name: str, record: str) -> str:
    """A TXT record as a zone file has it."""
    return f"{name}. IN TXT ( " + "\n    ".join(f'"{string}"' for string in strings(record)) + " )"


# ---- what is published


def check_dkim(asked: Dns, domain: str, selector: str, key: Key) -> Finding:
    """Whether DNS has the public part of a key."""
    name, record = dkim_name(domain, selector), dkim_record(key)
    publish = f"Publish at {name}, as TXT: {record}"
    found = asked.txt(name)
    if found is None:
        return _silence(name)
    if not found:
        return Finding(Level.wrong, name, "DNS has no such record, so that nobody can check what it signs", publish)
    if len(found) > 1:
        what = f"DNS has {len(found)} records, and a verifier takes any of them, or none"
        return Finding(Level.wrong, name, what, "Leave the one that newsletter doctor dkim-key --show prints.")
    tags = _tags(found[0])
    if tags is None or tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        return Finding(Level.wrong, name, f"this is no DKIM record: {found[0]}", publish)
    if not tags["p"]:
        return Finding(Level.wrong, name, "the key is revoked: its p= is empty", "Use another selector.")
    if tags["p"] != dkim.public(key) or tags.get("k", "rsa") != dkim.kind(key):
        return Finding(Level.wrong, name, "DNS has another key than the one that signs", publish)
    if "sha256" not in tags.get("h", "sha256").split(":") or not {"*", "email"} & set(tags.get("s", "*").split(":")):
        what = f"the record doesn't allow these signatures: {found[0]}"
        return Finding(Level.wrong, name, what, publish)
    if "y" in tags.get("t", "").split(":"):
        what = "the record says that it is a test (t=y), and is treated as if there were no signature"
        return Finding(Level.warning, name, what, "Take t=y out of it once all is well.")
    return Finding(Level.ok, name, f"the {dkim.kind(key)} key's record is there")


def check_spf(asked: Dns, domain: str) -> Finding:
    """Whether the domain of the return address says who may send for it (RFC 7208)."""
    about = f"SPF of {domain}"
    found = asked.txt(domain)
    if found is None:
        return _silence(about)
    records = [each for each in found if re.match(r"v=spf1(?: |$)", each, re.IGNORECASE)]
    if not records:
        return Finding(
            Level.warning,
            about,
            "there is no record; who takes much mail wants one",
            f'Publish at {domain}, as TXT, with what the relay\'s operator names: "v=spf1 include:… -all"',
        )
    if len(records) > 1:
        return Finding(Level.wrong, about, f"{len(records)} records count as none (permerror)", "Make them one.")
    if re.search(r" \+?all(?: |$)", records[0], re.IGNORECASE):
        return Finding(Level.warning, about, "it lets everyone send: +all", "End it with -all or ~all.")
    lookups = _lookups(asked, records[0], set())
    if lookups is None:
        return Finding(Level.warning, about, f"what it includes can't be asked for: {records[0]}", "Try again later.")
    if lookups > SPF_LOOKUPS:
        what = f"it takes {lookups} questions to DNS, and above {SPF_LOOKUPS} it counts as none (permerror)"
        return Finding(Level.wrong, about, what, "Take out what no longer sends, or write addresses for names.")
    return Finding(Level.ok, about, f"{records[0]} ({lookups} of {SPF_LOOKUPS} questions to DNS)")


def check_dmarc(asked: Dns, sender: str, bounces: str, signing: list[str]) -> Finding:
    """Whether a sender's domain has a policy (RFC 9989), and whether what is sent can pass it.

    `sender` and `bounces` are domains, `signing` those that sign.
    """
    about = f"DMARC of {sender}"
    labels = sender.split(".")
    for at in range(len(labels) - 1):
        domain = ".".join(labels[at:])
        found = asked.txt(f"_dmarc.{domain}")
        if found is None:
            return _silence(about)
        records = [each for each in found if re.match(r"v\s*=\s*DMARC1\s*(?:;|$)", each)]
        if len(records) > 1:
            return Finding(Level.wrong, about, f"{len(records)} records at _dmarc.{domain} count as none", "Leave one.")
        if records:
            return _judge(about, domain, records[0], sender, bounces, signing)
    return Finding(
        Level.warning,
        about,
        "there is no policy; Gmail, Yahoo and Outlook want one of whoever sends much",
        f'Publish at _dmarc.{sender}, as TXT: "v=DMARC1; p=none; rua=mailto:postmaster@{sender}"',
    )


def _judge(about: str, domain: str, record: str, sender: str, bounces: str, signing: list[str]) -> Finding:
    tags = _tags(record) or {}
    policy = tags.get("p") if domain == sender else tags.get("sp", tags.get("p"))
    if policy not in ("none", "quarantine", "reject"):
        return Finding(Level.wrong, about, f"the record has no policy: {record}", "Write p=none, quarantine or reject.")
    keys = [each for each in signing if each == sender] if tags.get("adkim") == "s" else signing
    path = bounces == sender if tags.get("aspf") == "s" else _related(bounces, sender)
    if not keys and not path:
        return Finding(
            Level.warning,
            about,
            f"p={policy}, and neither a signature of ours nor the return address at {bounces} is aligned with {sender}",
            f"Sign with a key of {sender}, or let `bounces` be at {sender}.",
        )
    by = " and ".join([*(["DKIM"] if keys else []), *(["the return address"] if path else [])])
    return Finding(Level.ok, about, f"p={policy} at _dmarc.{domain}; aligned by {by}")


def _related(one: str, other: str) -> bool:
    return f".{one}".endswith(f".{other}") or f".{other}".endswith(f".{one}")


def _silence(about: str) -> Finding:
    return Finding(Level.warning, about, "DNS doesn't answer", "Try again, or ask another server with --dns-server.")


def _tags(record: str) -> dict[str, str] | None:
    """A tag=value list (RFC 6376 §3.2) without its white space; None where it isn't one."""
    tags = {}
    for part in record.strip().removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals:
            return None
        tags[name.strip()] = re.sub(r"\s+", "", value)
    return tags


def _lookups(asked: Dns, record: str, seen: set[str]) -> int | None:
    """How many questions it takes to go through an SPF record; None where one that it includes isn't told."""
    count = 0
    for term in record.lower().split()[1:]:
        found = re.fullmatch(r"[+?~-]?(include|redirect|a|mx|ptr|exists)(?:[:=/](.*))?", term)
        if not found:
            continue
        count += 1
        other = found[2] or ""
        if found[1] in ("include", "redirect") and "%" not in other and other not in seen and count <= SPF_LOOKUPS:
            seen.add(other)
            texts = asked.txt(other)
            if texts is None:
                return None
            for text in texts:
                if text.lower().startswith("v=spf1"):
                    more = _lookups(asked, text, seen)
                    if more is None:
                        return None
                    count += more
    return count
