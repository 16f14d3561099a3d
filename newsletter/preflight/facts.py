"""What preflight knows of an issue: all that its rules may look at, gathered before and frozen."""

from __future__ import annotations

import datetime as dt
import html as entities
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from newsletter import fields
from newsletter.fields import Node, Value
from newsletter.numbering import Number, Numbered
from newsletter.preflight.sources import Passage, Reading, Source, reading
from newsletter.render.edition import Edition, StoryView

KNOWN = "Reader"
"""What stands for a reader's value where one is needed."""
_IN_A_LINK = re.compile(r"<[a-zA-Z][^<>]*?\b(?:href|src)=\"[^\"<>]*$")


@dataclass(frozen=True, slots=True)
class Earlier:
    """A story of an earlier issue that has something in common with one of this."""

    issue: str
    """Its label, "2.20"."""
    headline: str
    link: str
    body: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a rendition couldn't be made."""

    rule: str
    """The rule that tells of it: "not-rendered" or "no-pdf"."""
    what: str
    remedy: str
    story: int | None = None
    row: int | None = None
    """Of the story's text, from 0."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """CSS that the author of the design wrote."""

    file: str
    css: str
    line: int
    """On which it begins in its file."""
    inlined: bool
    """It is written into the tags; else it stands in the head, and adds to what stands there."""


@dataclass(frozen=True, slots=True)
class Audience:
    """What is known of the readers who are due: how many, and their values."""

    due: int
    """0 where nothing in the issue depends on who they are: then nobody was counted."""
    lacking: Mapping[str, int]
    """By field: how many have no value for it."""
    longest: Mapping[str, int]
    """By field: the octets of the longest value."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of a link that was followed over the network."""

    alive: bool | None
    """None: it can't be told."""
    said: str


@dataclass(frozen=True, slots=True)
class Spam:
    """What SpamAssassin says of the mail."""

    score: float
    rules: tuple[str, ...]
    """Those that count against it, the worst first: "HTML_FONT_LOW_CONTRAST 0.7"."""


@dataclass(frozen=True)
class Facts:
    """One issue with its renditions, and what is known of its readers and of earlier issues."""

    edition: Edition
    now: dt.datetime
    goes: dt.date
    """The day on which it goes, in the publication's zone."""
    html: str = ""
    text: str = ""
    """Both with their merge fields framed; empty where they couldn't be made."""
    page: str = ""
    entry: str = ""
    """In feeds."""
    pdf: bytes | None = None
    message: bytes = b""
    """As it is sent; empty where none could be made."""
    no_message: str = ""
    """Why none could be made, where that isn't the renditions' fault."""
    troubles: tuple[Trouble, ...] = ()
    audience: Audience | None = None
    """None where nobody knows yet whom it goes to."""
    earlier: tuple[Earlier, ...] = ()
    last: Numbered | None = None
    """The issue with the number before this one's."""
    ahead: Number | None = None
    """An issue for an earlier date that has a higher number."""
    pictures: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each picture, by its address."""
    sheets: tuple[Sheet, ...] = ()
    sources: Mapping[int, Source] = field(default_factory=dict)
    signs: bool = False
    """Messages are signed here."""
    rehearsal: bool = False
    """Its messages are only written to a folder."""
    followed: Mapping[str, Followed] | None = None
    """By address; None where nobody followed them."""
    spam: Spam | None = None
    no_spam: str = ""
    """Why there is no score, where one was wanted."""

    def story(self, position: int) -> StoryView:
        return next(story for story in self.edition.stories if story.position == position)

    @cached_property
    def readings(self) -> Mapping[int, Reading]:
        """Each story's text, by its position."""
        return {
            story.position: reading(story.body, self.edition.fields, story.position) for story in self.edition.stories
        }

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        """Every piece of text of the issue and its publication that readers see."""
        return tuple(self._passages())

    def _passages(self) -> Iterator[Passage]:
        publication = self.edition.publication
        for line, where in ((self.edition.subject, "the subject"), (self.edition.preheader, "the preheader")):
            # They are made of headlines, and what is wrong with those is told of the story.
            for story in self.edition.stories:
                line = line.replace(story.headline, " ")  # noqa: PLW2901
            yield Passage(line, key="", where=where)
        for name in ("title", "publisher", "postal_address", "standfirst", "compiled_by"):
            yield Passage(getattr(publication, name), key="", where=f"{name} in config.toml")
        for story in self.edition.stories:
            for key in ("headline", "section", "author"):
                yield Passage(getattr(story, key), story.position, key)
            if story.picture:
                yield Passage(story.picture.alt, story.position, "alt")
                yield Passage(story.picture.credit, story.position, "credit")
            yield from self.readings[story.position].passages

    def own(self, name: str) -> str:
        """What stands for a reader's own link of that field."""
        word = {"unsubscribe_url": "leave", "preferences_url": "me", "view_url": "view"}[name]
        return f"{self.edition.base_url}/{word}/token"

    @cached_property
    def html_nodes(self) -> tuple[Node, ...]:
        return fields.nodes(self.html, self.edition.fields)

    @cached_property
    def text_nodes(self) -> tuple[Node, ...]:
        return fields.nodes(self.text, self.edition.fields)

    @cached_property
    def subject_nodes(self) -> tuple[Node, ...]:
        return fields.nodes(fields.frame(self.edition.subject, self.edition.fields), self.edition.fields)

    def value(self, word: str) -> Callable[[str], str]:
        """A reader of whom everything is known, all of it this word; nothing, if it is empty. Links all have."""
        return lambda name: self.own(name) if name in fields.URLS else word

    def html_for(self, word: str) -> str:
        """The HTML as that reader gets it."""
        value, made = self.value(word), ""
        for part in fields.chosen(self.html_nodes, value):
            if not isinstance(part, Value):
                made += part
            elif part.name in fields.URLS:
                made += value(part.name)
            else:
                said = value(part.name) or part.fallback
                made += quote(said, safe="") if _IN_A_LINK.search(made[-3000:]) else entities.escape(said)
        return made

    def text_for(self, word: str) -> str:
        """The text as that reader gets it."""
        return fields.fill(self.text_nodes, self.value(word))

    @cached_property
    def tree(self) -> Any:
        """The HTML as elements (lxml), for a reader of whom everything is known; None where there is none."""
        if not self.html:
            return None
        from lxml import html as lxml_html

        return lxml_html.document_fromstring(self.html_for(KNOWN))

    @cached_property
    def page_tree(self) -> Any:
        """The web page as elements; None where there is none."""
        if not self.page:
            return None
        from lxml import html as lxml_html

        return lxml_html.document_fromstring(self.page)
