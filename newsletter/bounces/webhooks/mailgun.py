"""Mailgun's webhooks, signed by HMAC-SHA256.

The signature covers a timestamp and a token, and not what is said. So each token is good for one event and never
again: it is what the event is known by in our log.
"""

from __future__ import annotations

import datetime as dt
import hmac
import threading
from collections import OrderedDict
from hashlib import sha256

from newsletter.bounces.acting import Report
from newsletter.bounces.webhooks import Rejection, classified, inner, json_object, text, verdict
from newsletter.states import ReturnKind

TOLERANCE = dt.timedelta(hours=9)
"""How old a request may be: one that we couldn't take is sent anew for eight hours."""
AHEAD = dt.timedelta(minutes=10)
"""How far their clock may be before ours."""
MOST = 100_000
"""Tokens of events that leave no line in the log, and are remembered here."""


class Spent:
    """Tokens that came with events of no interest: no other event may come with them later."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._tokens: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, token: str) -> None:
        """A token is good for nothing any more."""
        with self._lock:
            self._tokens[token] = None
            while len(self._tokens) > self._most:
                self._tokens.popitem(last=False)

    def __contains__(self, token: str) -> bool:
        with self._lock:
            return token in self._tokens


def read(body: bytes, key: str, now: dt.datetime, spent: Spent) -> tuple[Report, ...] | Rejection:
    """The report in a request, if it is one that we make something of. `key` is the webhook signing key."""
    said = json_object(body)
    if said is None:
        return Rejection(400, "it is no event of Mailgun's")
    timestamp, token = text(said, "signature", "timestamp"), text(said, "signature", "token")
    expected = hmac.new(key.encode(), (timestamp + token).encode(), sha256).hexdigest()
    given = text(said, "signature", "signature")
    if not (key and token and hmac.compare_digest(expected.encode(), given.encode())):
        return Rejection(403, "the signature is wrong, or there is none")
    # Two numbers of ten digits and a token make one text: where the one ends and the other begins must be plain.
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) == 10):
        return Rejection(403, "the timestamp isn't one")
    age = now.timestamp() - int(timestamp)
    if not -AHEAD.total_seconds() <= age <= TOLERANCE.total_seconds():
        return Rejection(403, "the timestamp is too old, or ahead of us")
    if token in spent:
        return ()
    event = inner(said, "event-data")
    if not text(event, "event"):
        return Rejection(400, "it is no event of Mailgun's")
    kind = _kind(event)
    if kind is None:
        spent.spend(token)
        return ()
    status = inner(event, "delivery-status")
    made = verdict(
        kind,
        text(event, "recipient"),
        f"Mailgun: {text(event, 'event')} {text(event, 'reason')}".strip(),
        status=text(status, "enhanced-code") or text(status, "code"),
        words=text(status, "message") or text(status, "description") or text(event, "reason"),
        sender=text(event, "envelope", "sender"),
        message_id=text(event, "message", "headers", "message-id"),
    )
    # By the token alone, whoever it is said to be about: a second event with the same token is the same to us.
    return (Report(made, sha256(f"mailgun\0{token}".encode()).hexdigest()),)


def _kind(event: dict[str, object]) -> ReturnKind | None:
    match text(event, "event"):
        case "complained":
            return ReturnKind.complaint
        case "unsubscribed":
            return ReturnKind.unsubscribe
        case "failed" | "rejected":
            return _failed(event)
    return None


def _failed(event: dict[str, object]) -> ReturnKind:
    """Temporary: Mailgun is still trying. Permanent: it gave up, or didn't even try, for one of its own lists."""
    if text(event, "event") == "rejected":
        return ReturnKind.policy
    if text(event, "severity") == "temporary":
        return ReturnKind.delayed
    match text(event, "reason"):
        case "suppress-bounce":
            return ReturnKind.hard
        case "suppress-complaint":
            return ReturnKind.complaint
        case "suppress-unsubscribe":
            return ReturnKind.unsubscribe
        case "old":
            return ReturnKind.soft
        case "espblock":
            return ReturnKind.policy
    delivery = inner(event, "delivery-status")
    status = text(delivery, "enhanced-code") or text(delivery, "code")
    words = text(delivery, "message") or text(delivery, "description")
    found = classified(status, words, ReturnKind.soft)
    if found in (ReturnKind.hard, ReturnKind.soft, ReturnKind.policy):
        return found
    return ReturnKind.soft
