"""Who had letters sent lately: what keeps anyone from filling a stranger's inbox with them.

What is counted is what was asked, not what was sent. So the counts are the same whether or not an address is known,
and nobody learns from where they stop. A row is kept for a day; it holds a network and the fingerprint of an address.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from newsletter.models import Ask
from newsletter.reader_settings import SignUp
from newsletter.states import LetterKind

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
"""A stranger can cause one letter of a kind to an address in this time."""


@dataclass(frozen=True, slots=True)
class Lately:
    """How much was asked in the last hour."""

    network: int
    """From the network of this client."""
    in_all: int

    def full(self, limits: SignUp, share: float = 1.0) -> bool:
        """Whether no more may be asked now; `share` is the part of the network's limit that may be used."""
        return self.network >= max(1, int(limits.per_network * share)) or self.in_all >= limits.in_all


def network(client: str) -> str:
    """The network of a client's address: an IPv4 /24, an IPv6 /48 (what a household or an office has); "" for none.

    An IPv4 address that is written as an IPv6 one (RFC 4291 §2.5.5.2) is an IPv4 address.
    """
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def one_at_a_time(session: Session) -> None:
    """Whoever else asks waits until this transaction has ended, so that two at once don't both find room."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext("newsletter asks"))))


def lately(session: Session, client: str, now: dt.datetime) -> Lately:
    """What was asked in the last hour, from the client's network and in all."""
    place = network(client)
    found, in_all = session.execute(
        select(func.count().filter(Ask.network == place), func.count()).where(Ask.at > now - HOUR)
    ).one()
    return Lately(found, in_all)


def had_one(session: Session, what: LetterKind, fingerprint: str, now: dt.datetime) -> bool:
    """Whether a letter of this kind to the address was asked for within the last day."""
    there = select(Ask.id).where(Ask.fingerprint == fingerprint, Ask.what == what, Ask.at > now - DAY).limit(1)
    return session.scalar(there) is not None


def note(session: Session, what: LetterKind, fingerprint: str, client: str, now: dt.datetime) -> None:
    """Counts an ask. Whether a letter goes is another matter.

    `fingerprint` is empty where the address had one already: or who asks every day would keep it from ever having one.
    """
    session.add(Ask(at=now, network=network(client), fingerprint=fingerprint, what=what))
    session.flush()


def forget(session: Session, now: dt.datetime) -> None:
    """Lets go of what no limit counts any more."""
    session.execute(delete(Ask).where(Ask.at <= now - DAY))
