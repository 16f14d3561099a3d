"""Amazon SES by way of SNS: notifications of bounces and complaints, and events of a configuration set.

A message of SNS is signed with a key whose certificate SNS itself serves (signature versions 1 and 2). It is believed
where it is of a topic in config.toml, and the certificate comes from SNS in that topic's region.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import ssl
import threading
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from newsletter.bounces.acting import Report
from newsletter.bounces.webhooks import Rejection, classified, inner, items, json_object, report, text, verdict
from newsletter.states import ReturnKind

Fetch = Callable[[str], bytes]
"""Gets what is at an address; OSError where it can't be had."""

TIMEOUT = 5.0
"""Seconds to fetch a certificate in, or to confirm a subscription."""
LARGEST = 64 * 1024
"""Octets of an answer that are read."""
MOST = 20
"""Certificates that are remembered."""
_TOPIC = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):\d{12}:[\w.-]+")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]+\.pem")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""What is signed of each type of message, in that order; Subject only where there is one."""

_PERMANENT = {
    "General": ReturnKind.hard,
    "NoEmail": ReturnKind.hard,
    "Suppressed": ReturnKind.hard,
    "OnAccountSuppressionList": ReturnKind.hard,
    "UnsubscribedRecipient": ReturnKind.unsubscribe,
}
_TRANSIENT = {
    "General": ReturnKind.soft,
    "MailboxFull": ReturnKind.soft,
    "MessageTooLarge": ReturnKind.policy,
    "ContentRejected": ReturnKind.policy,
    "AttachmentRejected": ReturnKind.policy,
    "CustomTimeoutExceeded": ReturnKind.soft,
}
"""By subtype. What is about the message is ours to answer for."""


class Certificates:
    """SNS's certificates, fetched once each."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self._known: dict[str, x509.Certificate] = {}
        self._lock = threading.Lock()

    def get(self, address: str) -> x509.Certificate:
        """The certificate at an address. OSError where it can't be had, ValueError where it isn't one."""
        with self._lock:
            if address in self._known:
                return self._known[address]
        found = x509.load_pem_x509_certificate(self.fetch(address))
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[address] = found
        return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **named: Any) -> None:
        """None: an answer from elsewhere is none."""
        del args, named


def fetch(address: str, trust: ssl.SSLContext | None = None) -> bytes:
    """What is at an https address, in `TIMEOUT` seconds, with no way round by elsewhere. OSError where it isn't had."""
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=trust or ssl.create_default_context()), _NoRedirect()
    )
    if not address.startswith("https://"):
        raise OSError("it is no https address")
    try:
        with opener.open(address, timeout=TIMEOUT) as answer:
            found = answer.read(LARGEST + 1)
    except (HTTPException, ValueError) as error:
        raise OSError(str(error)) from None
    if len(found) > LARGEST:
        raise OSError("the answer is too large")
    return bytes(found)


def read(
    body: bytes, topics: tuple[str, ...], certificates: Certificates, now: dt.datetime
) -> tuple[Report, ...] | Rejection:
    """The reports in a request; `topics` are those of config.toml. A subscription to one of them is confirmed."""
    said = json_object(body)
    if said is None or text(said, "Type") not in _SIGNED:
        return Rejection(400, "it is no message of SNS")
    topic = text(said, "TopicArn")
    if topic not in topics or (arn := _TOPIC.fullmatch(topic)) is None:
        return Rejection(403, f"the topic {topic[:200]!r} isn't in config.toml")
    host = f"sns.{arn[2]}.amazonaws.com{'.cn' if arn[1] == 'aws-cn' else ''}"
    if (wrong := _unsigned(said, host, certificates, now)) is not None:
        return wrong
    match text(said, "Type"):
        case "SubscriptionConfirmation":
            return _confirm(text(said, "SubscribeURL"), host, certificates.fetch)
        case "Notification":
            return _notification(json_object(text(said, "Message").encode("utf-8", "replace")), text(said, "MessageId"))
    return ()


def _unsigned(said: dict[str, Any], host: str, certificates: Certificates, now: dt.datetime) -> Rejection | None:
    """What is wrong with the signature; None where nothing is."""
    address = text(said, "SigningCertURL")
    if not _at(address, host) or not _CERTIFICATE.fullmatch(urlsplit(address).path):
        return Rejection(403, f"the certificate is to come from {address[:200]!r}, which isn't {host}")
    try:
        certificate = certificates.get(address)
    except OSError as error:
        return Rejection(503, f"the certificate can't be fetched: {error}")
    except ValueError:
        return Rejection(403, "the certificate isn't one")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return Rejection(403, "the certificate isn't valid now")
    names = [name for name in _SIGNED[text(said, "Type")] if name != "Subject" or said.get("Subject") is not None]
    what = "".join(f"{name}\n{text(said, name)}\n" for name in names)
    public = certificate.public_key()
    version = text(said, "SignatureVersion")
    if not isinstance(public, rsa.RSAPublicKey) or version not in ("1", "2"):
        return Rejection(403, "the signature is of an unknown kind")
    try:
        # Version 1 is SHA-1 by SNS's definition; what is forged would need a second preimage.
        public.verify(
            base64.b64decode(text(said, "Signature"), validate=True),
            what.encode("utf-8", "replace"),
            padding.PKCS1v15(),
            SHA1() if version == "1" else SHA256(),  # noqa: S303
        )
    except (InvalidSignature, binascii.Error):
        return Rejection(403, "the signature is wrong")
    return None


def _at(address: str, host: str) -> bool:
    """Whether an address is https at a host, at its usual port, without a name or password."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" and parts.netloc == host


def _confirm(address: str, host: str, fetch: Fetch) -> tuple[Report, ...] | Rejection:
    if not _at(address, host):
        return Rejection(403, f"the subscription is to be confirmed at {address[:200]!r}, which isn't {host}")
    try:
        fetch(address)
    except OSError as error:
        return Rejection(503, f"the subscription can't be confirmed: {error}")
    return ()


def _notification(said: dict[str, Any] | None, number: str) -> tuple[Report, ...] | Rejection:
    if said is None:
        # "Successfully validated SNS topic …": a sentence, when a topic is set.
        return ()
    match text(said, "notificationType") or text(said, "eventType"):
        case "Bounce":
            return _bounce(said, number)
        case "Complaint":
            return _complaint(said, number)
        case "DeliveryDelay":
            delayed = inner(said, "deliveryDelay")
            return tuple(
                _made(said, each, ReturnKind.delayed, "delay", text(each, "diagnosticCode"), number)
                for each in items(delayed.get("delayedRecipients"))
            )
    return ()


def _bounce(said: dict[str, Any], number: str) -> tuple[Report, ...]:
    bounce = inner(said, "bounce")
    type_, subtype = text(bounce, "bounceType"), text(bounce, "bounceSubType")
    made = []
    for each in items(bounce.get("bouncedRecipients")):
        words, status = text(each, "diagnosticCode"), text(each, "status")
        match type_:
            case "Permanent":
                kind = _PERMANENT.get(subtype, ReturnKind.soft)
                if kind is ReturnKind.hard and classified(status, words, kind) is ReturnKind.policy:
                    # SES calls a refusal permanent whomever it was meant for.
                    kind = ReturnKind.policy
            case "Transient":
                kind = _TRANSIENT.get(subtype, ReturnKind.soft)
            case "Undetermined":
                kind = classified(status, words, ReturnKind.soft)
            case _:
                kind = ReturnKind.unknown
        made.append(_made(said, each, kind, f"{type_} {subtype}", words, number))
    return tuple(made)


def _complaint(said: dict[str, Any], number: str) -> tuple[Report, ...]:
    complaint = inner(said, "complaint")
    word = text(complaint, "complaintFeedbackType") or text(complaint, "complaintSubType") or "complaint"
    # "not-spam" takes a complaint back, "auth-failure" is about us (RFC 5965 §7.3, RFC 6591).
    kind = ReturnKind.reply if word in ("not-spam", "auth-failure") else ReturnKind.complaint
    return tuple(_made(said, each, kind, word, word, number) for each in items(complaint.get("complainedRecipients")))


def _made(
    said: dict[str, Any], recipient: dict[str, Any], kind: ReturnKind, what: str, words: str, number: str
) -> Report:
    mail = inner(said, "mail")
    headers = {text(each, "name").lower(): text(each, "value") for each in items(mail.get("headers"))}
    made = verdict(
        kind,
        text(recipient, "emailAddress"),
        f"SES: {what}",
        status=text(recipient, "status"),
        words=words or what,
        sender=text(mail, "source"),
        message_id=headers.get("message-id", ""),
    )
    return report("ses", number, made)
