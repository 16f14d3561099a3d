"""Bounces that are written for people: Exim's, qmail's (QSBMF), and those of servers with a form of their own.

Read for three things: whom it is about, what the server said, and whether that was the last word.
"""

from __future__ import annotations

import email
import logging
import re

from newsletter.bounces.came import ADDRESS, Came, cleaned, said_of
from newsletter.bounces.classes import CODE, classify, status_in
from newsletter.bounces.phrases import meaning
from newsletter.bounces.reports import RECIPIENTS
from newsletter.bounces.verdict import Verdict
from newsletter.states import ReturnKind

_QMAIL = "this is the qmail-send program"
_OPENINGS = (
    _QMAIL,
    "this is the mail system at host",
    "this is the postfix program",
    "this message was created automatically by mail delivery software",
    "this is an automatically generated delivery status notification",
    "your message did not reach some or all of the intended recipients",
    "delivery to the following recipient failed",
    "delivery to the following recipients failed",
    "the following message could not be delivered",
    "your message could not be delivered",
    "the original message was received at",
    "this is the machine generated message from mail service",
)
_ORIGINAL = re.compile(
    r"^[ \t]*(?:-{2,}.{0,20}(?:this is a copy of|below this line|original message|start of (?:returned|original)|"
    r"forwarded|returned (?:mail|message)|unsent message|message header|undelivered message|header|ursprüngliche|"
    r"original-nachricht|copy of (?:the|your) message|this line is a copy).{0,80}|=+ ?original.{0,40}|"
    r"(?:original )?message (?:headers?|text|follows|contents?)\b.{0,40}follows?.{0,10}|"
    r".{0,40}original message follows.{0,20}|\*{3,}.{0,20}original message.{0,40}|message headers:?|"
    r"original message headers:?|(?:return-path|received|dkim-signature|list-unsubscribe|mime-version|"
    r"x-mailer):[^\n]*)$",
    re.IGNORECASE | re.MULTILINE,
)
_DELAYED = re.compile(
    r"warning message only|not yet been delivered|has been delayed|is delayed|message delayed|delayed \d+|"
    r"still being retried|will (?:be retried|keep trying|continue (?:to try|trying|to attempt)|retry)|"
    r"attempts will continue|do(?:n't| not) need to (?:resend|re-send)|no action is required on your part|"
    r"continue to be made|still trying|delivery (?:has been |is )?delayed|delivery is still|verzögert|"
    r"weiterhin versucht|retardé|再送|遅延",
    re.IGNORECASE,
)
_GIVEN_UP = re.compile(
    r"giv(?:en|ing) up|gave up|permanent (?:error|failure|fatal)|fatal error|not going to try|unable to deliver|"
    r"will not be retried|could not be delivered|permanently|abandoned",
    re.IGNORECASE,
)
_OURS = re.compile(
    r"(?:postmaster|mailer-daemon|mail-daemon|abuse|support|helpdesk|admin|hostmaster|help|noreply|no-reply|bounces?)$",
    re.IGNORECASE,
)
_NOT_HERE = re.compile(
    r"\s*(?:from|sender|reply-to|return-path|message-id|x-[a-z-]+|mail from|cc|contact)\s*:|.*\bMAIL FROM\b",
    re.IGNORECASE,
)
_STARTS = re.compile(r"\s*(?:[-*•>]+\s*)?(?:to:|recipient:|user:|address:)?\s*[<\"'(]?$", re.IGNORECASE)
_LINES = 300
_FLUFL = 48 * 1024
_FLUFL_LINES = 800
_NESTED = 20
"""Boundaries that a message may speak of; the standard library's parser takes the square of them."""

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)  # it tells of every message that it can't read


def exim(came: Came) -> list[Verdict]:
    """Exim's bounce: the header X-Failed-Recipients says for whom, the text why."""
    header = came.top.get("x-failed-recipients")
    addresses = list(dict.fromkeys(cleaned(found[0]) for found in ADDRESS.finditer(header)))[:RECIPIENTS]
    if not addresses:
        return []
    text = _report(came)
    return [_judged(came, address, said_of(text, address) or text, "Exim's text") for address in addresses]


def plain(came: Came) -> list[Verdict]:
    """A bounce of any other form; empty where the text isn't understood, or isn't one."""
    text = _report(came)
    opening = text[:600].lower()
    qmail = _QMAIL in opening
    if not came.by_a_machine and (came.answers or not any(each in " ".join(opening.split()) for each in _OPENINGS)):
        return []
    paragraphs = _named(came, text)
    if not paragraphs:
        found = _mentioned(came, text)
        paragraphs = [(found, text)] if found else [("", text)]
    why = "qmail's text" if qmail else "text"
    if _DELAYED.search(text) and not _GIVEN_UP.search(text) and not status_in(text).startswith("5"):
        return [
            came.verdict(ReturnKind.delayed, why, address=each, status=status_in(r), words=r) for each, r in paragraphs
        ]
    found_any = []
    for address, reason in paragraphs[:RECIPIENTS]:
        said = reason if _says(reason) else text
        if _says(said):
            found_any.append(_judged(came, address, said, why))
    return found_any


def others(came: Came, raw: bytes) -> list[Verdict]:
    """What flufl.bounce knows of, which has met many servers: addresses, and whether it was the last word."""
    from flufl.bounce import all_failures

    if not came.by_a_machine or raw[:_FLUFL].lower().count(b"boundary") > _NESTED:
        return []
    # Its expressions take the square of a line's length, and its parser goes as deep as the message does.
    lines = raw[:_FLUFL].replace(b"\r\n", b"\n").split(b"\n", _FLUFL_LINES)[:_FLUFL_LINES]
    try:
        delayed, failed = all_failures(email.message_from_bytes(b"\n".join(line[:400] for line in lines)))
    except Exception:  # noqa: BLE001 - anything may be wrong with a message, and it raises in many ways
        return []
    text = _report(came)
    found = []
    for kind, addresses in ((ReturnKind.delayed, delayed - failed), (None, failed)):
        for octets in sorted(addresses)[:RECIPIENTS]:
            match = ADDRESS.search(octets.decode("utf-8", "replace")[:400])
            if match is None or match[0].lower() in came.ours:
                continue
            if kind is None:
                found.append(_judged(came, cleaned(match[0]), text, "flufl.bounce"))
            else:
                found.append(came.verdict(kind, "flufl.bounce", address=cleaned(match[0]), words=text))
    return found


def _judged(came: Came, address: str, reason: str, why: str) -> Verdict:
    status = status_in(reason)
    return came.verdict(classify(status, reason[:2000]), why, address=address, status=status, words=_gist(reason))


def _report(came: Came) -> str:
    """The text up to the returned message."""
    text = came.text[: 16 * 1024]
    # The first lines are the report's own, whatever they look like.
    found = _ORIGINAL.search(text, 40)
    return text[: found.start()] if found else text


def _says(reason: str) -> bool:
    return bool(status_in(reason)) or meaning(reason)[0] is not None


def _gist(reason: str) -> str:
    """From the first code on, if there is one: what stands before it is what every bounce says."""
    code = CODE.search(reason[:4000])
    return reason[code.start() :] if code and len(reason) > 200 else reason


def _named(came: Came, text: str) -> list[tuple[str, str]]:
    """Recipients that begin a line, each with what is said below (qmail, Exim, Postfix, and many)."""
    found: list[tuple[str, str]] = []
    lines = [line[:1000] for line in text.split("\n")[:_LINES]]
    for at, line in enumerate(lines):
        if "@" not in line or len(found) >= RECIPIENTS:
            continue
        match = ADDRESS.search(line)
        if match is None or not _STARTS.match(line[: match.start()]) or not _candidate(came, match):
            continue
        rest = line[match.end() :].strip(" \t>\"'):;,")
        below = []
        for other in lines[at + 1 : at + 25]:
            if (again := ADDRESS.search(other)) and _STARTS.match(other[: again.start()]) and _candidate(came, again):
                break
            below.append(other)
        found.append((cleaned(match[0]), "\n".join([rest, *below]).strip()))
    unlike: dict[str, tuple[str, str]] = {}
    for address, reason in found:
        before = unlike.get(address.lower())
        if before is None or (not _says(before[1]) and _says(reason)):
            unlike[address.lower()] = address, reason
    return list(unlike.values())


def _mentioned(came: Came, text: str) -> str:
    """The first address in the text that isn't one of ours."""
    for line in text.split("\n")[:_LINES]:
        if "@" in line and not _NOT_HERE.match(line[:1000]):
            for match in ADDRESS.finditer(line[:1000]):
                if _candidate(came, match):
                    return cleaned(match[0])
    return ""


def _candidate(came: Came, match: re.Match[str]) -> bool:
    address = cleaned(match[0]).lower()
    return "." in match[2] and address not in came.ours and not _OURS.match(match[1])
