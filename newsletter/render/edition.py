"""An issue as its templates see it: everything that they may know, frozen, and no database behind it."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from newsletter import fields, numbering, pictures
from newsletter.config import Publication
from newsletter.dates import long_date
from newsletter.errors import IssueMistake
from newsletter.folder import Folder
from newsletter.models import Issue, Story
from newsletter.render.links import absolute
from newsletter.tokens import Keys

MAIL, COLUMN = 640, 560
"""CSS pixels: the width of a mail, and that of its text."""

# What lxml refuses, what frames merge fields, and what Gmail cuts a mail off at; none of it is ever seen.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LONGEST_ANCHOR = 60
_TAKEN = frozenset({"contents", "top"})
"""Names that the web page has for itself."""


@dataclass(frozen=True, slots=True)
class PictureView:
    """A picture, with the size that it is shown at."""

    url: str
    width: int
    height: int
    real_width: int
    real_height: int
    alt: str
    credit: str
    file: Path | None = None
    """In the store; only the PDF needs it."""


@dataclass(frozen=True, slots=True)
class PdfView:
    """The PDF of the issue, as the others point to it."""

    url: str
    pages: int
    bytes: int

    @property
    def size(self) -> str:
        """In words: "71 KB"."""
        kilobytes = max(1, round(self.bytes / 1000))
        return f"{kilobytes} KB" if kilobytes < 1000 else f"{self.bytes / 1e6:.1f} MB"


@dataclass(frozen=True, slots=True)
class StoryView:
    """One story. Its text is put into a template with `body(story)`."""

    position: int
    headline: str
    anchor: str
    """Its name on the web page, unique in the issue."""
    url: str
    """The web page, at this story."""
    section: str
    body: str
    """Markdown."""
    link: str
    author: str
    picture: PictureView | None
    source: str = ""
    """The host that `link` leads to, where the text itself has no link there."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One issue, frozen."""

    publication: Publication
    slug: str
    base_url: str
    volume: int
    number: int
    through: int | None
    date: dt.date
    subject: str
    preheader: str
    stories: tuple[StoryView, ...]
    fields: frozenset[str]
    """The names of all merge fields that there are."""
    pdf: PdfView | None = None
    """None where there is none to point to."""
    key: str = ""
    """What opens the page of a private issue; empty: anyone may read it."""

    @property
    def label(self) -> str:
        """In short: "2.21"."""
        return numbering.label(self.volume, self.number, self.through)

    @property
    def long_label(self) -> str:
        """In full: "Vol 2 No 21"."""
        return numbering.long_label(self.volume, self.number, self.through)

    @property
    def numbers(self) -> str:
        """The number alone: "21", or "21–22" for a combined issue."""
        return f"{self.number}–{self.through}" if self.through else str(self.number)

    @property
    def long_date(self) -> str:
        """As the publication's language writes it."""
        return long_date(self.date, self.publication.language)

    @property
    def url(self) -> str:
        """The issue's page on the web."""
        return page_url(self.base_url, self.slug, self.volume, self.number, self.key)

    @property
    def pdf_url(self) -> str:
        """Where the PDF is."""
        return f"{self.url}.pdf"

    @property
    def share_url(self) -> str:
        """Opens a new mail with the page's address in it."""
        subject = quote(f"{self.publication.title}, {self.long_label}", safe="")
        return f"mailto:?subject={subject}&body={quote(self.url, safe='')}"

    @property
    def lead(self) -> StoryView | None:
        """The story whose picture stands under the masthead: the first one that has any."""
        return next((story for story in self.stories if story.picture), None)

    @property
    def start(self) -> str:
        """The side on which lines begin."""
        return "left" if self.publication.direction == "ltr" else "right"

    @property
    def end(self) -> str:
        """The side on which lines end."""
        return "right" if self.publication.direction == "ltr" else "left"

    @property
    def imprint(self) -> str:
        """Who publishes it, and where: the publisher isn't named twice."""
        publisher, address = self.publication.publisher, self.publication.postal_address
        return address if address.casefold().startswith(publisher.casefold()) else f"{publisher}, {address}"


def page_url(base_url: str, slug: str, volume: int, number: int, key: str = "") -> str:
    """Where the page of an issue is; with its key, where it is private."""
    return f"{base_url}/{slug}/private/{key}" if key else f"{base_url}/{slug}/{volume}/{number}"


def edition(folder: Folder, slug: str, publication: Publication, issue: Issue, secret: Keys | None = None) -> Edition:
    """An assembled issue as its templates see it. IssueMistake where it has no number yet.

    `secret` are the database's; a private issue's address is made with them.
    """
    if issue.volume is None or issue.number is None or issue.date is None:
        raise IssueMistake("an issue is rendered once it has its number", remedy="Assemble it first.")
    base_url = absolute(folder.config.base_url) or folder.config.base_url
    key = secret.issue(issue.id) if issue.private and secret else ""
    page = page_url(base_url, slug, issue.volume, issue.number, key)
    stories = sorted(issue.stories, key=lambda story: story.position)
    lead = next((story for story in stories if story.picture), None)
    names = anchors([(story.position, story.headline) for story in stories])
    return Edition(
        publication=_seen(publication),
        slug=slug,
        base_url=base_url,
        volume=issue.volume,
        number=issue.number,
        through=issue.through,
        date=issue.date,
        subject=seen(issue.subject),
        preheader=seen(issue.preheader),
        stories=tuple(
            StoryView(
                position=story.position,
                headline=seen(story.headline),
                anchor=name,
                url=f"{page}#{name}",
                section=seen(story.section),
                body=seen(story.body),
                link=absolute(seen(story.link)) or "",
                author=seen(story.author),
                picture=_picture(folder, base_url, story, MAIL if story is lead else COLUMN),
            )
            for story, name in zip(stories, names, strict=True)
        ),
        fields=fields.known(folder.config.attributes),
        key=key,
    )


def seen(text: str) -> str:
    """A text without the characters that nobody sees and machines stumble over; line breaks and tabs stay."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def anchors(headlines: list[tuple[int, str]]) -> list[str]:
    """A name for each story, from its position and headline: "toyota-puts-another-8-billion", or "story-3".

    Only letters that a link carries as they are; a headline that has too few of them goes by its position.
    """
    made: list[str] = []
    for position, headline in headlines:
        bare = re.sub(r"\[\[[^\[\]]*\]\]", "", headline)
        plain = unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode().lower()
        words = re.findall(r"[a-z0-9]+", plain.replace("'", "").replace("’", ""))
        name = ""
        for word in words:
            if len(name) + len(word) >= _LONGEST_ANCHOR:
                break
            name += f"-{word}" if name else word
        letters = sum(map(str.isalnum, bare))
        if len("".join(words)) * 2 < letters or not name or name in _TAKEN or name in made:
            name = f"story-{position}"
        made.append(name)
    return made


def _seen(publication: Publication) -> Publication:
    """The publication with what its templates print made fit to print."""
    texts = ("title", "publisher", "postal_address", "standfirst", "compiled_by")
    return msgspec.structs.replace(
        publication,
        privacy_url=absolute(publication.privacy_url) or "",
        **{name: seen(getattr(publication, name)) for name in texts},
    )


def _picture(folder: Folder, base_url: str, story: Story, room: int) -> PictureView | None:
    kept = story.picture
    if kept is None:
        return None
    width = min(room, kept.width)
    return PictureView(
        url=pictures.url(base_url, kept),
        width=width,
        height=max(1, round(kept.height * width / kept.width)),
        real_width=kept.width,
        real_height=kept.height,
        alt=seen(story.picture_alt),
        credit=seen(story.picture_credit),
        file=pictures.path(folder.pictures, kept),
    )
