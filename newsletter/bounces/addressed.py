"""Return addresses: which are ours, and whose copy comes back to one (VERP)."""

from __future__ import annotations

import re

from msgspec import Struct

from newsletter import headers
from newsletter.config import Config, dns_name

_TOKEN = re.compile(r"[0-9a-f]{26,80}")
_AT_THE_END = re.compile(r"\+([0-9a-fA-F]{26,80})@")


class OurAddresses(Struct, frozen=True):
    """The addresses that bounces may come to: each publication's `bounces`, and the sender, who gets some anyway."""

    known: frozenset[tuple[str, str]]
    """(local part, domain), both in small letters, the domain as DNS has it."""

    @classmethod
    def of(cls, config: Config) -> OurAddresses:
        """The addresses of a config."""
        found = set()
        for publication in config.publications.values():
            for address in (publication.bounces, publication.sender):
                if address:
                    local, _, domain = headers.wire_address(address).rpartition("@")
                    found.add((local.lower(), domain.lower()))
        return cls(frozenset(found))

    def take(self, recipient: str) -> bool:
        """Whether `recipient` is one of them, alone or with +TOKEN in it. Whose token it is isn't asked here."""
        local, at, domain = recipient.strip().lower().rpartition("@")
        if not at:
            return False
        try:
            domain = dns_name(domain)
        except ValueError:
            return False
        if (local, domain) in self.known:
            return True
        before, plus, token = local.rpartition("+")
        return bool(plus) and (before, domain) in self.known and _TOKEN.fullmatch(token) is not None


def token_of(address: str) -> str:
    """The token in a return address, in small letters; "" where there is none."""
    found = _AT_THE_END.search(address)
    return found[1].lower() if found else ""
