"""Postmark's bounce, spam complaint and subscription change webhooks, behind basic authentication."""

from __future__ import annotations

import base64
import binascii
import hmac

from newsletter.bounces.acting import Report
from newsletter.bounces.webhooks import Rejection, json_object, report, text, verdict
from newsletter.states import ReturnKind

USER = "newsletter"

_KINDS = {
    "HardBounce": ReturnKind.hard,
    "BadEmailAddress": ReturnKind.hard,
    "SpamComplaint": ReturnKind.complaint,
    "Transient": ReturnKind.soft,
    "DnsError": ReturnKind.soft,
    "SoftBounce": ReturnKind.soft,
    "Undeliverable": ReturnKind.soft,
    "AddressChange": ReturnKind.reply,
    "AutoResponder": ReturnKind.reply,
    "ChallengeVerification": ReturnKind.reply,
    "Unsubscribe": ReturnKind.unsubscribe,
    # Of what we sent, or of whom it came from; Postmark's SpamNotification is a filter's word, no reader's.
    "SpamNotification": ReturnKind.policy,
    "VirusNotification": ReturnKind.policy,
    "OpenRelayTest": ReturnKind.policy,
    "Blocked": ReturnKind.policy,
    "DMARCPolicy": ReturnKind.policy,
    "SMTPApiError": ReturnKind.policy,
    "TemplateRenderingFailed": ReturnKind.policy,
    "InboundError": ReturnKind.policy,
    "Unconfirmed": ReturnKind.policy,
    "ManuallyDeactivated": ReturnKind.policy,
}
"""By the word of the bounce's type."""


def read(body: bytes, authorization: str, password: str) -> tuple[Report, ...] | Rejection:
    """The reports in a request. `authorization` is its header, `password` the one of config.toml."""
    scheme, _, given = authorization.partition(" ")
    try:
        pair = base64.b64decode(given, validate=True) if scheme.lower() == "basic" else b""
    except binascii.Error:
        pair = b""
    if not password or not hmac.compare_digest(pair, f"{USER}:{password}".encode()):
        return Rejection(401, "the password is wrong, or there is none")
    said = json_object(body)
    if said is None or not text(said, "RecordType"):
        return Rejection(400, "it is no event of Postmark's")
    match text(said, "RecordType"):
        case "Bounce" | "SpamComplaint":
            type_ = text(said, "Type")
            kind = _KINDS.get(type_, ReturnKind.unknown)
            words = text(said, "Details") or text(said, "Description")
            made = verdict(kind, text(said, "Email"), f"Postmark: {type_}", status="", words=words)
            return (report("postmark", text(said, "ID") or text(said, "MessageID"), made),)
        case "SubscriptionChange" if said.get("SuppressSending") is True and text(said, "Origin") == "Recipient":
            reason = text(said, "SuppressionReason")
            kind = ReturnKind.complaint if reason == "SpamComplaint" else ReturnKind.unsubscribe
            made = verdict(kind, text(said, "Recipient"), f"Postmark: {reason}", status="", words=reason)
            return (report("postmark", f"change {text(said, 'MessageID')} {text(said, 'ChangedAt')}", made),)
    return ()
