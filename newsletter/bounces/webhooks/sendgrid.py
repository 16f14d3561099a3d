"""SendGrid's event webhook, signed by ECDSA on P-256 over timestamp and body."""

from __future__ import annotations

import base64
import binascii
import datetime as dt

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from newsletter.bounces.acting import Report
from newsletter.bounces.webhooks import Rejection, classified, decoded, items, report, text, verdict
from newsletter.errors import ConfigMistake
from newsletter.states import ReturnKind

TOLERANCE = dt.timedelta(hours=25)
"""How old a request may be: events are sent anew for a day. One that comes twice counts once."""
AHEAD = dt.timedelta(minutes=10)
"""How far their clock may be before ours."""

_DROPPED = {
    "Bounced Address": ReturnKind.hard,
    "Invalid": ReturnKind.hard,
    "Spam Reporting Address": ReturnKind.complaint,
    "Unsubscribed Address": ReturnKind.unsubscribe,
}
"""Why it didn't even try, by SendGrid's own lists. Other reasons are about what was sent."""
_POLICY = ("Reputation", "Content", "Frequency or Volume Too High")


def read(body: bytes, signature: str, timestamp: str, key: str, now: dt.datetime) -> tuple[Report, ...] | Rejection:
    """The reports in a request; `signature` and `timestamp` are its headers, `key` is that of config.toml.

    ConfigMistake where the key isn't one.
    """
    if not _signed(body, signature, timestamp, key):
        return Rejection(403, "the signature is wrong, or there is none")
    age = now.timestamp() - int(timestamp)
    if not -AHEAD.total_seconds() <= age <= TOLERANCE.total_seconds():
        return Rejection(403, "the timestamp is too old, or ahead of us")
    said = decoded(body)
    if not isinstance(said, list):
        return Rejection(400, "it is no list of events")
    return tuple(made for event in items(said) if (made := _event(event)) is not None)


def _signed(body: bytes, signature: str, timestamp: str, key: str) -> bool:
    try:
        public = load_der_public_key(base64.b64decode(key, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise ConfigMistake(
            "returns.webhooks.sendgrid_key is no verification key",
            remedy="Copy it from the settings of the signed event webhook; it begins with MFkw.",
        )
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    try:
        public.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ec.ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _event(event: dict[str, object]) -> Report | None:
    word, reason, status = text(event, "event"), text(event, "reason"), text(event, "status")
    why = f"SendGrid: {word}"
    match word:
        case "bounce":
            why = f"SendGrid: {text(event, 'type') or word}"
            kind = _bounced(event, status, reason)
        case "dropped":
            known = (kind for start, kind in _DROPPED.items() if reason.startswith(start))
            kind = next(known, ReturnKind.policy)
        case "spamreport":
            kind = ReturnKind.complaint
        case "unsubscribe" | "group_unsubscribe":
            kind = ReturnKind.unsubscribe
        case "deferred":
            kind = ReturnKind.delayed
        case _:
            return None
    made = verdict(kind, text(event, "email"), why, status=status, words=reason, message_id=text(event, "smtp-id"))
    return report("sendgrid", text(event, "sg_event_id") or f"{text(event, 'smtp-id')} {word}", made)


def _bounced(event: dict[str, object], status: str, reason: str) -> ReturnKind:
    """SendGrid calls a bounce "bounce" where it gives the address up, and "blocked" where the next one may arrive."""
    classification = text(event, "bounce_classification")
    if classification in _POLICY:
        return ReturnKind.policy
    if classification == "Invalid Address":
        return ReturnKind.hard
    if classification in ("Mailbox Unavailable", "Technical Failure", "Technical"):
        return ReturnKind.soft
    found = classified(status, reason, ReturnKind.unknown)
    if text(event, "type") == "blocked":
        return found if found in (ReturnKind.soft, ReturnKind.policy) else ReturnKind.soft
    return found if found in (ReturnKind.hard, ReturnKind.soft, ReturnKind.policy) else ReturnKind.soft
