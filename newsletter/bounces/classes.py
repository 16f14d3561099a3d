"""What a refusal means for the reader: by its enhanced status code (RFC 3463, and the registry of RFC 5248), by its
SMTP code (RFC 5321 §4.2), and by its words, where these say more than the code.

Where there is doubt it is soft: that suppresses an address only if it goes on for long. Policy refusals are of us, or
of this message, and never held against the reader.
"""

from __future__ import annotations

import functools
import re

from newsletter.bounces.phrases import meaning
from newsletter.states import ReturnKind

H, S, P = ReturnKind.hard, ReturnKind.soft, ReturnKind.policy

_EXACT = {
    # x.1: the address
    "1.1": H,  # no such mailbox
    "1.2": H,  # no such domain
    "1.3": H,  # not an address as that server writes them
    "1.4": S,  # it fits several mailboxes: theirs to mend
    "1.6": H,  # moved, and nobody says where to
    "1.7": P,  # the sender's address has a fault
    "1.8": P,  # the sender's domain has a fault
    "1.10": H,  # the domain takes no mail at all (RFC 7505); Microsoft: no such recipient
    "1.20": P,  # Microsoft: several From addresses
    "1.90": P,  # Microsoft: too many recipients a day, for us
    # x.2: the mailbox
    "2.1": H,  # switched off; with the words of a rate it is soft
    "2.2": S,  # full
    "2.3": S,  # our message is longer than they take: an issue with fewer pictures may go through
    "2.4": S,  # a list's address couldn't be spread
    # x.3 (their system) and x.4 (the way there) pass, as a rule; what doesn't is in the words
    "4.310": H,  # Microsoft: the domain doesn't exist
    # x.5: the conversation. Never the reader's doing; only 5.5.0 is used for everything
    "5.0": S,
    # x.7
    "7.17": H,  # the mailbox has another owner now (RFC 7293)
    "7.18": H,  # the domain has another owner now (RFC 7293)
}
"""By subject and detail of a permanent code."""
_SUBJECT = {
    "0": S,  # nothing is said
    "1": S,  # an address: perhaps the sender's
    "2": S,  # a mailbox
    "3": S,  # their system
    "4": S,  # the way there
    "5": P,  # the conversation: between servers
    "6": P,  # the content: of our message
    "7": P,  # security and policy
}
_UNSURE = ("0.0", "1.0", "1.1", "5.0", "5.1")
"""Codes that are used for all and everything: words that alone wouldn't do may tell what is meant."""
_PLAIN = {
    "500": P,  # the conversation, as x.5
    "501": P,
    "502": P,
    "503": P,
    "504": P,
    "511": H,  # no such address, with some servers
    "512": H,  # no such host
    "521": S,  # this host takes no mail (RFC 7504); another of the domain may
    "523": S,  # longer than they take
    "530": P,  # we must log in
    "534": P,
    "535": P,
    "538": P,
    "541": P,  # taken for spam
    "552": S,  # out of storage
    "554": P,  # no service for us, or the content: said at the greeting or at the end
    "555": P,  # parameters of MAIL or RCPT not known
    "556": H,  # the domain takes no mail (RFC 7504)
    "571": P,  # not authorised
}
"""By SMTP code, where the server gives no enhanced one; others are soft."""

_ENHANCED = re.compile(r"(?<![\w.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_REPLY = re.compile(r"\s*([245]\d\d)(?:[ -]|$)#?\s*(?:[(\[{<]?\s*#?\s*([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d))?")
CODE = re.compile(
    r"(?<![\w.:/@=#-])(?:[Ee]rror ?|code ?|SMTP;? ?|#|\()?([45]\d\d)"
    r"(?:[ -]['\"#(]{0,3}([45]\.\d{1,3}\.\d{1,3})(?!\.?\d))?"
    r"(?=[ :;,)\]-]|$)(?! (?:KB|MB|bytes|octets|hours|days|seconds))",
    re.MULTILINE,
)
"""An SMTP reply within a text."""
_EXACT_CODE = re.compile(r"(?<![\w.])([45]\.[0-7]\.\d{1,3})(?!\.?\d)")
_STATUS = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?!\d)|\s*([245]\d\d)(?!\d)")


def classify(status: str, words: str) -> ReturnKind:
    """What a refusal with this status ("5.1.1" or "550"; "" where there was none) and these words means.

    hard, soft or policy; for a status that says yes (2.x.x), delivered.
    """
    found = _STATUS.match(status)
    said, surely = meaning(words)
    if found is None:
        return said or S
    subject = detail = "0"
    if found[4]:
        category, by_code = found[4][0], _PLAIN.get(found[4], S)
    else:
        category, subject, detail = found[1], found[2].lstrip("0") or "0", found[3].lstrip("0") or "0"
        by_code = _EXACT.get(f"{subject}.{detail}") or _SUBJECT.get(subject, S)
    if category == "2":
        return ReturnKind.delivered
    if category == "4":
        # A refusal for now never says that an address is gone, whatever its words; one of us stays one of us.
        return P if P in (said, by_code) and (said is P or not surely) else S
    if said is None or (not surely and (by_code is H or f"{subject}.{detail}" not in _UNSURE)):
        return by_code
    return said


@functools.lru_cache(1024)
def of_reply(reply: str) -> tuple[ReturnKind, str]:
    """What an SMTP server's reply means, and its status: the enhanced code if it has one, else the SMTP code.

    ("550 5.1.1 no such user" is (hard, "5.1.1"), "550 user unknown" is (hard, "550").) Cached, since a server that
    refuses says the same to thousands.
    """
    status = status_of(reply)
    return classify(status, reply), status


def status_of(text: str) -> str:
    """The enhanced code of a reply, else its SMTP code, else any enhanced code in the text; "" where there is none.

    An enhanced code of another class than the SMTP code's isn't one: it may be somebody's version, or network.
    """
    found = _REPLY.match(text)
    if found is None:
        other = _ENHANCED.search(text)
        return other[0] if other else ""
    if found[2] and found[2][0] == found[1][0]:
        return found[2]
    for other in _ENHANCED.finditer(text, found.end(1)):
        if other[1] == found[1][0]:
            return other[0]
    return found[1]


def vague(status: str) -> bool:
    """Whether a status says no more than yes or no: "5.0.0", "550", ""."""
    return status.count(".") != 2 or status.endswith(".0.0")


def status_in(reason: str) -> str:
    """The most exact code in a text: an enhanced one, else the first SMTP code."""
    codes = list(CODE.finditer(reason[:4000]))
    for found in codes:
        if found[2] and found[2][0] == found[1][0] and not found[2].endswith(".0.0"):
            return found[2]
    if exact := _EXACT_CODE.search(reason[:4000]):
        return exact[1]
    return codes[0][1] if codes else ""
