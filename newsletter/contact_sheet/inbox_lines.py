"""What inboxes show of a mail before it is opened: sender, subject and preheader, cut as Gmail and Apple Mail cut them.

None of these programs cuts by counting: they cut where the line ends, which moves with letters, window and type size.
The columns here are what others measured or tell, with Latin text and the programs' own settings; a Japanese character
takes two. They haven't been seen in those programs by us.

    EmailToolTester  www.emailtooltester.com/en/blog/email-subject-lines-character-limit: measured with a pangram on an
                     iPhone 14 and others
    typecount        typecount.com/blog/email-subject-line-length (2026): a table
    theMarketer      themarketer.com/resources/knowledge-base/how-long-should-your-preview-texts-be: a table
    AcelleMail       knowledge.acellemail.com/articles/email-preheader-text-the-hidden-conversion-booster: a table
    campaign.name    campaign.name/tools/email-subject-line-tester: sender names
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import lxml.html

from newsletter.preflight.inbox import cut
from newsletter.render.text import columns

SENDER = 25
"""Columns of a sender's name (campaign.name: 20 to 25 on phones)."""
GMAIL_PHONE_SUBJECT = 40
"""typecount: about 40."""
GMAIL_PHONE_PREHEADER = 40
"""AcelleMail: 40 to 70; the least, one line under the subject."""
GMAIL_DESK_SUBJECT = 70
"""typecount: about 70."""
GMAIL_DESK_LINE = 137
"""Of subject and preheader, which share a line: 97 of preheader (theMarketer), taken to be after a subject of 40."""
APPLE_PHONE_SUBJECT = 48
"""EmailToolTester, measured."""
APPLE_PHONE_PREHEADER = 99
"""EmailToolTester, measured: two lines."""
APPLE_DESK_SUBJECT = 64
"""typecount: about 64."""
APPLE_DESK_PREHEADER = 140
"""theMarketer: 140."""

_ENOUGH = 400
"""Columns of a mail's beginning, more than any inbox shows."""
_BLANK = 4
"""Columns of nothing at the end of a line from which it is filler that ends it, not a cut."""
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u115f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SILENT = ("head", "script", "style", "title")
_INLINE = ("a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "q", "s", "small", "span", "strong", "u")


@dataclass(frozen=True, slots=True)
class InboxLine:
    """A mail as one inbox lists it."""

    program: str
    device: str
    """phone or desk."""
    sender: str
    subject: str
    preheader: str


def inbox_lines(sender: str, subject: str, html: str) -> tuple[InboxLine, ...]:
    """A mail in the inboxes of Gmail and Apple Mail, on a phone and at a desk."""
    said = beginning(html)
    subject = " ".join(subject.split())
    beside = cut(subject, GMAIL_DESK_SUBJECT)
    # " – " stands between the two.
    rest = max(0, GMAIL_DESK_LINE - columns(beside) - 3)
    return (
        InboxLine("Gmail", "desk", cut(sender, SENDER), beside, shown(said, rest)),
        InboxLine(
            "Gmail",
            "phone",
            cut(sender, SENDER),
            cut(subject, GMAIL_PHONE_SUBJECT),
            shown(said, GMAIL_PHONE_PREHEADER),
        ),
        InboxLine(
            "Apple Mail",
            "phone",
            cut(sender, SENDER),
            cut(subject, APPLE_PHONE_SUBJECT),
            shown(said, APPLE_PHONE_PREHEADER),
        ),
        InboxLine(
            "Apple Mail",
            "desk",
            cut(sender, SENDER),
            cut(subject, APPLE_DESK_SUBJECT),
            shown(said, APPLE_DESK_PREHEADER),
        ),
    )


def beginning(html: str) -> str:
    """What a mail says first, as inboxes take it: its text from the top, the hidden preheader before all else.

    Filler stays, as the spaces that are seen of it.
    """
    document = lxml.html.document_fromstring(html)
    body = document.find("body")
    said: list[str] = []
    _say(document if body is None else body, said)
    # Only what HTML takes for space is drawn together; a filler's figure spaces keep their width.
    text = re.sub(r"[ \t\r\n\f]+", " ", _UNSEEN.sub("", "".join(said))).strip(" ")
    return cut(text, _ENOUGH)


def shown(said: str, width: int) -> str:
    """As much of a mail's beginning as an inbox of so many columns shows; without "…" where filler fills its end."""
    if not width:
        return ""
    seen = cut(said, width)
    bare = seen.removesuffix("…").rstrip()
    # As spaces that a line may break at: filler must not draw the word before it to the next.
    return re.sub(r"\s", " ", bare if columns(bare) <= width - 1 - _BLANK else seen)


def _say(element: Any, said: list[str]) -> None:
    """Adds an element's text, in its order, to what is said; a space where a block begins and ends."""
    # lxml's comments have a function for a tag.
    if not isinstance(element.tag, str) or element.tag in _SILENT:
        return
    block = element.tag not in _INLINE
    said.append(" " if block else "")
    said.append(element.text or "")
    for child in element:
        _say(child, said)
        said.append(child.tail or "")
    said.append(" " if block else "")
