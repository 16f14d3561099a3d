"""Providers that report by HTTP: each a module that checks who speaks, and reads what is said.

What they say is signed, or comes with a password; so the addresses in it are believed, where a delivery report by mail
would need a token. Each module has `read`, which answers reports or a Rejection.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from newsletter.bounces.acting import Report
from newsletter.bounces.addressed import token_of
from newsletter.bounces.classes import classify
from newsletter.bounces.verdict import Verdict
from newsletter.states import ReturnKind


class Rejection(Struct, frozen=True):
    """A request that nothing is done about, and the HTTP status that says so."""

    status: int
    why: str
    """For our log; nobody else is told."""


def report(source: str, event: str, verdict: Verdict) -> Report:
    """A report known by what its provider calls the event, so that it counts once however often it is sent."""
    return Report(verdict, hashlib.sha256(f"{source}\0{event}\0{verdict.address.lower()}".encode()).hexdigest())


def json_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None where it isn't one."""
    found = decoded(body)
    return found if isinstance(found, dict) else None


def decoded(body: bytes | str) -> Any:
    """JSON, or None where it isn't."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def text(found: Any, *path: str) -> str:
    """What stands at a place in JSON, if it is text or a number; else ""."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return str(found)


def inner(found: Any, *path: str) -> dict[str, Any]:
    """The object at a place in JSON; an empty one where there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def items(found: Any) -> list[dict[str, Any]]:
    """The objects of a list in JSON."""
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def verdict(kind: ReturnKind, address: str, why: str, **more: str) -> Verdict:
    """A verdict from a provider's words. `sender` is the envelope's, where it is told: the token is in it."""
    sender = more.pop("sender", "")
    message_id = more.pop("message_id", "").strip().strip("<>")
    return Verdict(kind=kind, address=address.strip(), why=why, token=token_of(sender), message_id=message_id, **more)


def classified(status: str, words: str, otherwise: ReturnKind) -> ReturnKind:
    """The kind by enhanced status code and words as in a delivery report; `otherwise` where neither says anything."""
    return classify(status, words) if status else otherwise
