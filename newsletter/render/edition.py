"""An issue as its templates see it: everything that they may know, frozen, and no database behind it."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from newsletter import fields, numbering, pictures
from newsletter.config import Publication
from newsletter.dates import long_date
from newsletter.errors import IssueMistake
from newsletter.folder import Folder
from newsletter.models import Correction, Issue, Story
from newsletter.pictures import Prepared
from newsletter.render import theme_pictures
from newsletter.render.corrected import corrected, with_headlines
from newsletter.render.links import absolute
from newsletter.theme_settings import Theme
from newsletter.tokens import Keys

# What lxml refuses, what frames merge fields, and what Gmail cuts a mail off at; none of it is ever seen.
_NONE = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
"""What Unicode says are no characters, and never will be."""
_UNSEEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONE}]")
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
class CorrectionView:
    """What was wrong in the issue, and has been put right since readers had it."""

    revision: int
    """Of the page, the PDF and the feed entry: the first that has it."""
    date: dt.date
    long_date: str
    words: str
    """What was wrong, what is right."""
    position: int | None = None
    """The story's; None where it is about the issue as a whole."""
    headline: str = ""
    """The story's, as it is now."""
    anchor: str = ""
    """The story's place on the page."""


@dataclass(frozen=True, slots=True)
class NoteView:
    """A correction to an earlier issue, told to the readers of this one."""

    label: str
    """Of the earlier issue, in short: "2.21"."""
    long_label: str
    """In full: "Vol 2 No 21"."""
    words: str
    url: str
    """The corrected story on the earlier issue's page."""


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
    corrections: tuple[CorrectionView, ...] = ()
    """Those of this story, the earliest first."""


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
    revision: int = 1
    """1, as it was sent; from 2 what is read on the web and on paper since a correction."""
    corrections: tuple[CorrectionView, ...] = ()
    """All that this revision holds, the earliest first."""
    notes: tuple[NoteView, ...] = ()
    """Corrections to earlier issues, told in this one."""
    logo: PictureView | None = None
    """The publication's, from its theme."""
    portrait: PictureView | None = None
    """Who writes, likewise."""

    @property
    def revised(self) -> str:
        """The date of this revision, as the publication's language writes it; empty for the first."""
        return self.corrections[-1].long_date if self.corrections else ""

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
    def home(self) -> str:
        """The publication's page on the web: its archive."""
        return f"{self.base_url}/{self.slug}"

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


def edition(
    folder: Folder,
    slug: str,
    publication: Publication,
    issue: Issue,
    secret: Keys | None = None,
    *,
    revision: int | None = None,
) -> Edition:
    """An assembled issue as its templates see it. IssueMistake where it has no number yet.

    `secret` are the database's; a private issue's address is made with them. `revision` is 1 for the issue as it was
    sent, else one with the corrections up to it; None for the latest. The addresses of stories are those of the first:
    mails and other pages lead there.
    """
    if issue.volume is None or issue.number is None or issue.date is None:
        raise IssueMistake("an issue is rendered once it has its number", remedy="Assemble it first.")
    base_url = absolute(folder.config.base_url) or folder.config.base_url
    page = _page(base_url, issue, secret)
    stories = sorted(issue.stories, key=lambda story: story.position)
    lead = next((story for story in stories if story.picture), None)
    names = anchors([(story.position, story.headline) for story in stories])
    made = [each for each in issue.corrections if revision is None or each.revision <= revision]
    texts = {story.position: corrected(story, made) for story in stories}
    headlines = {story.headline: texts[story.position][0] for story in stories}
    places = dict(zip(texts, names, strict=True))
    told = tuple(_told(each, texts, places, publication.language) for each in made)
    return Edition(
        publication=_seen(publication),
        slug=slug,
        base_url=base_url,
        volume=issue.volume,
        number=issue.number,
        through=issue.through,
        date=issue.date,
        subject=seen(with_headlines(issue.subject, headlines, publication.title)),
        preheader=seen(with_headlines(issue.preheader, headlines, publication.title)),
        stories=tuple(
            StoryView(
                position=story.position,
                headline=seen(texts[story.position][0]),
                anchor=name,
                url=f"{page}#{name}",
                section=seen(story.section),
                body=seen(texts[story.position][1]),
                link=absolute(seen(story.link)) or "",
                author=seen(story.author),
                picture=_picture(folder, base_url, story, publication.theme, lead=story is lead),
                corrections=tuple(each for each in told if each.position == story.position),
            )
            for story, name in zip(stories, names, strict=True)
        ),
        fields=fields.known(folder.config.attributes),
        key=secret.issue(issue.id) if issue.private and secret else "",
        revision=max((each.revision for each in made), default=1),
        corrections=told,
        notes=tuple(_note(base_url, each, secret) for each in issue.notes),
        logo=_themed(
            folder,
            base_url,
            theme_pictures.logo(folder, publication),
            publication.theme.logo_width,
            publication.theme.logo_alt or publication.publisher,
        ),
        portrait=_themed(
            folder,
            base_url,
            theme_pictures.portrait(folder, publication),
            theme_pictures.PORTRAIT,
            publication.theme.portrait_alt or publication.theme.signed,
        ),
    )


def _told(
    correction: Correction, texts: Mapping[int, tuple[str, str]], places: Mapping[int, str], language: str
) -> CorrectionView:
    at = correction.position
    return CorrectionView(
        revision=correction.revision,
        date=correction.date,
        long_date=long_date(correction.date, language),
        words=seen(correction.words),
        position=at,
        headline="" if at is None else seen(texts[at][0]),
        anchor="" if at is None else places[at],
    )


def _note(base_url: str, correction: Correction, secret: Keys | None) -> NoteView:
    earlier = correction.issue
    assert earlier.volume is not None, "only what readers have had is corrected"
    assert earlier.number is not None
    names = anchors([(story.position, story.headline) for story in earlier.stories])
    places = {story.position: f"#{name}" for story, name in zip(earlier.stories, names, strict=True)}
    return NoteView(
        label=numbering.label(earlier.volume, earlier.number, earlier.through),
        long_label=numbering.long_label(earlier.volume, earlier.number, earlier.through),
        words=seen(correction.words),
        url=_page(base_url, earlier, secret) + places.get(correction.position or 0, ""),
    )


def _page(base_url: str, issue: Issue, secret: Keys | None) -> str:
    assert issue.volume is not None
    assert issue.number is not None
    key = secret.issue(issue.id) if issue.private and secret else ""
    return page_url(base_url, issue.publication, issue.volume, issue.number, key)


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


def _themed(folder: Folder, base_url: str, made: Prepared | None, room: int, alt: str) -> PictureView | None:
    if made is None:
        return None
    width = min(room, made.width)
    return PictureView(
        url=pictures.url(base_url, made),
        width=width,
        height=max(1, round(made.height * width / made.width)),
        real_width=made.width,
        real_height=made.height,
        alt=seen(alt),
        credit="",
        file=pictures.path(folder.pictures, made),
    )


def _picture(folder: Folder, base_url: str, story: Story, theme: Theme, *, lead: bool) -> PictureView | None:
    """A story's picture, no wider than the text and half as high again; a broad one that leads goes from edge to edge.

    What is wider than its cell pushes Outlook's tables apart; what is higher, readers scroll past for long.
    """
    kept = story.picture
    if kept is None:
        return None
    if lead and kept.width >= theme.width and kept.width * 4 >= kept.height * 5:
        width = theme.width
    else:
        width = max(1, min(theme.column, kept.width, theme.column * 3 * kept.width // (2 * kept.height)))
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
