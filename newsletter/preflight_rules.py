"""What preflight looks for: each rule's name, its level, what it finds, and why that matters to a reader.

Here, and not with the functions that look (newsletter.preflight), since config.toml switches rules off by their names.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How much a finding matters."""

    error = "error"
    """The issue is held: readers would be harmed, or couldn't leave."""
    warning = "warning"
    """It goes, and somebody should have looked."""
    note = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that goes wrong in inboxes. A finding may be of a lower level than its rule, never of a higher."""

    level: Level
    finds: str
    why: str


_E, _W, _N = Level.error, Level.warning, Level.note

RULES: dict[str, Rule] = {
    # the issue as a whole
    "not-rendered": Rule(_E, "a template or a story can't be rendered", "Without its renditions there is no mail."),
    "no-pdf": Rule(_E, "the PDF can't be made, or lacks letters", "Who follows the link to the PDF finds none."),
    "pdf-emoji": Rule(
        _W, "the PDF lacks an emoji, since no font has it", "Who reads the PDF gets other words than the rest."
    ),
    "renditions-differ": Rule(
        _E,
        "a headline, a link or a credit is missing in a rendition, or out of order",
        "Who reads the text, the page or the PDF gets another issue than who reads the mail.",
    ),
    "clipped": Rule(
        _E,
        "the HTML has more than 102,000 bytes for the longest reader",
        "Gmail cuts a mail off there, and with its end the way to unsubscribe.",
    ),
    "nearly-clipped": Rule(
        _W,
        "the HTML has more than 90,000 bytes for the longest reader",
        "Gmail cuts a mail off at about 102,000 bytes.",
    ),
    # what an inbox shows
    "subject-empty": Rule(
        _E, "the subject is empty for some readers, or has no word", "An empty subject looks like a fault, or spam."
    ),
    "subject-long": Rule(
        _W, "the subject has more than 90 columns", "Its end is cut off on desks as well as on phones."
    ),
    "subject-cut": Rule(_N, "a phone cuts the subject off", "Most readers decide by what a phone shows of it."),
    "preheader-empty": Rule(
        _W, "there is no preheader", "Inboxes show the first words of the mail in its place: the masthead, every time."
    ),
    "preheader-long": Rule(_N, "the preheader has more than 140 columns", "No inbox shows the end of it."),
    "preheader-repeats": Rule(
        _W, "the preheader says what the subject says", "The one line that could say more is lost."
    ),
    # ways out
    "no-unsubscribe": Rule(
        _E,
        "the HTML or the text has no unsubscribe link",
        "Who can't leave reports spam, and in most countries the law wants it.",
    ),
    "no-postal-address": Rule(
        _E,
        "the publisher's postal address isn't in the HTML or the text",
        "Readers, and the law, ask who writes to them.",
    ),
    "no-one-click": Rule(
        _E,
        "the List-Unsubscribe headers (RFC 8058) are missing",
        "The mail program's own button doesn't appear, and Gmail and Yahoo refuse bulk mail without it.",
    ),
    "one-click-unsigned": Rule(
        _E,
        "List-Unsubscribe isn't among the headers that DKIM signs",
        "RFC 8058 wants it signed; the mail program's button doesn't appear.",
    ),
    "unsigned": Rule(_N, "messages aren't signed here", "Without DKIM, large providers refuse bulk mail."),
    # links
    "link-local": Rule(
        _E, "a link leads to this machine, a private network or a file", "It works for nobody but its author."
    ),
    "link-placeholder": Rule(_E, "a link leads nowhere yet", "Readers who follow it find nothing."),
    "link-lost": Rule(_W, "a link isn't a whole web address", "Readers see its words, and no link."),
    "link-http": Rule(
        _W, "a link is http, not https", "On an open network anybody can read it, and change what comes back."
    ),
    "link-words": Rule(
        _W, 'a link says "here", "more" or the like, or nothing', "A screen reader lists links by their words alone."
    ),
    "link-bare": Rule(_W, "a link's words are a web address", "A screen reader spells it out, sign by sign."),
    "link-twice": Rule(
        _W,
        "the same words lead to different places in one story",
        "Who hears the links alone can't tell which is which.",
    ),
    "link-dead": Rule(_W, "a link is dead (only over the network)", "Readers who follow it find nothing."),
    # pictures
    "alt-missing": Rule(_E, "a picture has no alt text", "Who can't see it, or blocks pictures, is told nothing."),
    "alt-useless": Rule(_W, "an alt text is a file's name, or says only that this is a picture", "It tells nothing."),
    "alt-long": Rule(_W, "an alt text has more than 250 columns", "A screen reader can't pause in it or go back."),
    "picture-size": Rule(
        _W, "a picture has no width or height in its tag", "Outlook shows it at full size, and text jumps as it loads."
    ),
    "pictures-heavy": Rule(
        _W, "the pictures have more than 1 MB together", "On a phone's network they come late, or not."
    ),
    "picture-in-text": Rule(
        _N, "a picture within a text is shown as a link", "Readers see words where a picture was meant."
    ),
    "no-credit": Rule(
        _W,
        "a picture has no credit, or one that names nobody",
        "Readers can't tell whose it is, and its owner may ask.",
    ),
    # structure
    "heading-order": Rule(
        _W, "the mail has no h1 or several, or skips a level of headings", "Screen readers go from heading to heading."
    ),
    "table-role": Rule(
        _W, "a table that only lays out isn't marked as that", 'A screen reader announces "table, row, column".'
    ),
    "table-wide": Rule(_W, "a story's table has more than five columns", "On a phone its words break into letters."),
    "list-deep": Rule(_W, "a story's lists go more than four deep", "On a phone hardly any width is left for words."),
    "no-title": Rule(_W, "the HTML has no title", "Screen readers and browser tabs name the mail by it."),
    "language": Rule(
        _W, "the language tag and the script of the text don't agree", "Screen readers speak it with the wrong voice."
    ),
    "direction": Rule(_W, "the direction isn't the language's", "Lines begin on the wrong side."),
    "mixed-direction": Rule(
        _N, "a passage runs the other way than the issue", "Signs and figures at its edges may be shown out of place."
    ),
    "invisible-text": Rule(
        _E, "text has hardly any contrast with what it stands on", "It can't be read, in light or in dark."
    ),
    "contrast": Rule(_W, "text has less contrast than WCAG 2 asks for", "Many can't read it, and nobody in sunlight."),
    "css-support": Rule(
        _W, "the design's CSS isn't understood by many mail programs", "What it is for doesn't happen there."
    ),
    "spam-score": Rule(_W, "SpamAssassin finds the mail suspicious", "Some readers find it in their spam folder."),
    # words
    "placeholder": Rule(_E, "a text that was to be replaced is still there", "Readers see that nobody looked."),
    "placeholder-perhaps": Rule(_W, "TK, TBD, XXX or the like stands in a text", "Readers may see that nobody looked."),
    "field-unknown": Rule(
        _E,
        "a merge field isn't known, or an [[end]] has no [[if …]]: it stays as it is written",
        "Readers see brackets where a name was meant.",
    ),
    "field-foreign": Rule(
        _W, "a merge field of another program stays as it is written", "Readers see brackets where a name was meant."
    ),
    "field-empty": Rule(
        _W, "a merge field without a fallback is empty for some readers", 'They read "Dear ," with nothing in the gap.'
    ),
    "control-characters": Rule(_E, "there is a control character", "Gmail may cut the mail off there."),
    "invisible-characters": Rule(
        _W, "there are characters that nobody sees", "They break searches and links, and spam filters count them."
    ),
    "broken-characters": Rule(_W, "letters were garbled on their way here", "Readers see â€™ or � in their place."),
    "html-in-text": Rule(
        _W, "there is HTML in a story, or Markdown that makes nothing", "It isn't run: readers see the signs."
    ),
    "footnote-lost": Rule(_W, "a footnote has a mark but no text", "Readers see [^1] and find no note."),
    "own-name": Rule(
        _W, "the publication's or publisher's own name is misspelt", "It is the slip that readers notice."
    ),
    "headline-twice": Rule(
        _W, "two stories have the same headline, or nearly", "In the list of headlines they can't be told apart."
    ),
    "headline-long": Rule(
        _W, "a headline has more than 120 columns", "The list of headlines can't be taken in at a glance."
    ),
    "story-short": Rule(_W, "a story has hardly any text", "It looks as if it had been sent by mistake."),
    # sources, and what went before
    "no-source": Rule(_W, "a story has no link and names no source", "Readers can't go and see for themselves."),
    "used-before": Rule(
        _W,
        "a story was in an earlier issue, if with small changes, or is in this one twice",
        "Readers have had it, or get it twice.",
    ),
    "number-order": Rule(
        _W, "the number doesn't follow the last one", "Who keeps the issues looks for one that isn't there."
    ),
    "date-differs": Rule(_W, "the date on the masthead isn't the day of sending", "The issue looks late, or early."),
}
"""Every rule, in the order in which findings of one level are told."""
