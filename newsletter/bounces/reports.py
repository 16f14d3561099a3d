"""Reports for machines: delivery reports (RFC 3464, 6522, 6533) and feedback reports (RFC 5965, 6591, 9477)."""

from __future__ import annotations

import re

from newsletter.bounces import mime
from newsletter.bounces.came import ANY_ADDRESS, Came, cleaned, first_address, one_line, said_of
from newsletter.bounces.classes import classify, status_in, status_of, vague
from newsletter.bounces.phrases import meaning
from newsletter.bounces.verdict import Verdict
from newsletter.states import ReturnKind

RECIPIENTS = 100
"""Of one report. Our messages have one each; of more, an alias or somebody's joke, the rest isn't read."""

_STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
_MISDECLARED = ("text/", "multipart/", "application/octet", "message/delivery")
"""What fields for machines are found in as well."""
_BLOCKS = re.compile(r"\n[ \t]*\n\s*")
_ABOUT_RECIPIENT = frozenset(("final-recipient", "original-recipient", "action", "status", "diagnostic-code"))
_LOOKS_LIKE_REPORT = re.compile(r"^(?:final|original)-recipient[ \t]*:", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")
_TYPED = re.compile(r"\s*([A-Za-z0-9-]{1,30})\s*;\s*")
_UNICODE = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_EXPIRED = re.compile(r"[45]\.4\.(?:7|300)")
_NOT_COMPLAINTS = {"not-spam": ReturnKind.delivered, "auth-failure": ReturnKind.policy}
"""not-spam: taken out of the spam folder, so it arrived. auth-failure: it is about our signature, not the reader."""


def delivery_report(came: Came) -> list[Verdict]:
    """What a delivery report says about each recipient; empty where this isn't one."""
    blocks = _recipients(came)
    found = [_verdict(came, block) for block in blocks[:RECIPIENTS]]
    return list({(each.address.lower(), each.kind): each for each in reversed(found)}.values())[::-1]


def _recipients(came: Came) -> list[dict[str, str]]:
    for part in came.leaves:
        if part.kind in _STATUS_PARTS and (found := _blocks(part.text())):
            return found
    if came.top.kind == "multipart/report" or came.by_a_machine:
        for part in came.leaves:
            if part.kind.startswith(_MISDECLARED) and part.kind != "text/html":
                text = part.text()
                if _LOOKS_LIKE_REPORT.search(text) and (found := _blocks(text)):
                    return found
    return []


def _blocks(text: str) -> list[dict[str, str]]:
    """The fields of each recipient. Where no empty line divides two, a second recipient field does."""
    found: list[dict[str, str]] = []
    for block in _BLOCKS.split(text, 3 * RECIPIENTS):
        current: dict[str, str] = {}
        for name, value in mime.fields(block.encode("utf-8", "replace")):
            if name == "final-recipient" and name in current:
                found.append(current)
                current = {}
            current.setdefault(name, value)
        found.append(current)
    return [
        each
        for each in found
        if "final-recipient" in each or "original-recipient" in each or ("action" in each and "status" in each)
    ]


def _verdict(came: Came, block: dict[str, str]) -> Verdict:
    action = block.get("action", "").strip().lower().partition(" ")[0].partition("(")[0].strip(" ;.")
    said = _TYPED.sub("", block.get("diagnostic-code", ""), count=1)
    stated = _STATUS.search(block.get("status", ""))
    status = stated[0] if stated else ""
    address = _address(block.get("original-recipient", "")) or _address(block.get("final-recipient", ""))
    if not address and came.original is not None:
        address = first_address(came.original.get("to"))
    kind, status = _kind(action, status, said, address, came)
    words = said if said.strip() else came.text[:2000]
    return came.verdict(kind, "delivery report", address=address, status=status, words=words)


def _kind(action: str, status: str, said: str, address: str, came: Came) -> tuple[ReturnKind, str]:
    if action in ("delivered", "relayed", "expanded"):
        return ReturnKind.delivered, status
    if action == "delayed":
        return ReturnKind.delayed, status
    replied = status_of(said) if said else ""
    if replied[:1] not in ("4", "5"):
        replied = ""
    if status[:1] == "2" and not replied:
        return ReturnKind.delivered, status
    if vague(status) or status[:1] == "2":
        status = replied or status  # "550" says more than 5.0.0
        if not vague(status) or meaning(said)[0] is not None:
            return classify(status, said), status
        # Whoever gives no reason in the fields gives it in the text, if at all.
        near = said_of(came.text[:8000], address)
        status = status_in(near) or status
        return classify(status, near if meaning(near)[0] is not None else f"{said} {came.text[:4000]}"), status
    if not vague(replied) and replied[0] == status[0] and not _EXPIRED.fullmatch(status):
        status = replied  # the server's own, where the reporting one translates
    return classify(status, said), status


def _address(value: str) -> str:
    """The address of a recipient field: "rfc822; ada@example.org" (RFC 3464 §2.3), also of RFC 6533."""
    typed = _TYPED.match(value)
    address = value[typed.end() :] if typed else value
    if typed and typed[1].lower() == "utf-8":
        address = _UNICODE.sub(lambda found: chr(min(int(found[1], 16), 0xFFFD)), address)
    address = mime.unworded(address).strip().strip("<>\"' ")
    if (found := ANY_ADDRESS.search(address)) is not None:
        return cleaned(found[0])
    return ""


def feedback(came: Came) -> list[Verdict]:
    """What a feedback report says; empty where this isn't one."""
    for part in came.leaves:
        if part.kind == "message/feedback-report":
            return [_complaint(came, dict(reversed(mime.fields(part.content().strip(b"\n")))))]
    original = came.original
    if original is not None and (reader := original.get("x-hmxmroriginalrecipient")):
        # Microsoft's, which is no multipart/report: the message, and in it who complained.
        return [
            came.verdict(ReturnKind.complaint, "feedback report", address=first_address(reader), words=came.subject)
        ]
    return []


def _complaint(came: Came, fields: dict[str, str]) -> Verdict:
    kind = fields.get("feedback-type", "").partition(";")[0].strip().lower()
    address = ""
    for name in ("original-rcpt-to", "removal-recipient", "x-original-rcpt-to"):
        address = address or _unredacted(first_address(fields.get(name, "")))
    if not address and came.original is not None:
        for name in ("x-hmxmroriginalrecipient", "x-original-to", "delivered-to", "to"):
            address = address or _unredacted(first_address(came.original.get(name)))
    words = one_line(" ".join((kind or "no type", fields.get("user-agent", ""))), 500)
    return came.verdict(
        _NOT_COMPLAINTS.get(kind, ReturnKind.complaint), "feedback report", address=address, words=words
    )


def _unredacted(address: str) -> str:
    """The address, unless whoever wrote the report has taken out whose it is (RFC 6590)."""
    return "" if "redact" in address.lower() or address.lower().startswith(("undisclosed", "x@")) else address
