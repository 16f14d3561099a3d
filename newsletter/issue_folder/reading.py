"""An issue's folder as a value: read whole and checked before anything is done with it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from newsletter import fields, pictures, story_file
from newsletter.config import Config
from newsletter.drafts import Written, wrongs
from newsletter.errors import ConfigMistake, DraftMistake, FieldMistake, IssueMistake, PictureMistake
from newsletter.issue_folder.description import DESCRIPTION, FILES, FORMAT, SUMS, Correction, Description
from newsletter.issue_folder.opening import Opened
from newsletter.pictures import Prepared
from newsletter.states import IssueState, RenditionKind
from newsletter.toml_file import line_of, parse

_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_KINDS = {name: kind for kind, name in FILES.items()}
_PLACE = re.compile(r"renditions/(?:revision-([1-9][0-9]{0,5})/)?([a-z]+\.[a-z]+)")
_MAILED = (RenditionKind.html, RenditionKind.text, RenditionKind.page, RenditionKind.entry)
_LATER = (RenditionKind.page, RenditionKind.entry)
_EASTWARD = dt.timedelta(hours=14)
"""How far the easternmost clocks are ahead of UTC: there, an issue dated tomorrow may have gone."""
_ENDS = (dt.MINYEAR, dt.MAXYEAR)
"""Years that have times which are none in another zone."""
_CHANGED = (
    f"Bring it back as it was. To have an issue rendered anew, take out {SUMS}, renditions/ and what issue.toml says of"
    " them."
)


@dataclass(frozen=True, slots=True)
class StoryRead:
    written: Written
    picture: Prepared | None


@dataclass(frozen=True, slots=True)
class FolderRead:
    """What an issue's folder holds, checked."""

    place: Path
    text: str
    """Of issue.toml, for the lines of mistakes."""
    description: Description
    stories: tuple[StoryRead, ...]
    renditions: dict[tuple[RenditionKind, int], bytes]
    """By kind and revision; empty where it is to be rendered."""

    def mistake(self, what: str, key: str = "", remedy: str | None = None) -> IssueMistake:
        """A mistake at the line of issue.toml that has a key."""
        line = line_of(self.text, key) if key else None
        return IssueMistake(what, where=self.place / DESCRIPTION, line=line, remedy=remedy)


def read(place: Path, settings: Config, now: dt.datetime) -> FolderRead:
    """An issue's folder. Mistakes with file and line for the first thing in it that can't be."""
    opened = Opened(place)
    raw = opened.read(DESCRIPTION)
    path = place / DESCRIPTION
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise IssueMistake("this is not UTF-8", where=path, line=line, remedy="Save the file as UTF-8.") from None
    try:
        description = parse(text, path, Description)
    except RecursionError:
        raise ConfigMistake("this is nested too deeply", where=path) from None
    found = FolderRead(place, text, description, (), {})
    _check(found, now)
    listed = _sums(opened)
    renditions = _renditions(opened, found, listed)
    stories = tuple(_story(opened, found, name, kept=bool(renditions)) for name in dict.fromkeys(description.stories))
    _known(renditions, settings, place)
    return dataclasses.replace(found, stories=stories, renditions=renditions)


def _check(found: FolderRead, now: dt.datetime) -> None:
    """What issue.toml says, as far as it can be told from itself."""
    said = found.description
    if said.format != FORMAT:
        raise found.mistake(
            f"this is format {said.format}, and this program reads {FORMAT}", "format", "It takes a newer release."
        )
    if said.state != IssueState.sent.value:
        raise found.mistake(
            f'its state is "{said.state}", and only issues that were sent are imported',
            "state",
            "Export it again once it is sent.",
        )
    for key in ("subject", "preheader"):
        if re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]", getattr(said, key)):
            raise found.mistake(f"the {key} holds a line break or a control character", key, "Write it on one line.")
    if said.through is not None and said.through <= said.number:
        raise found.mistake(f"it can't run from No {said.number} to No {said.through}", "through")
    for name in said.times.__struct_fields__:
        moment = getattr(said.times, name)
        if moment is not None and moment.tzinfo is None:
            raise found.mistake(f"{name} has no zone", f"times.{name}", "Write it as in 2023-11-14T14:00:00Z.")
        if moment is not None and moment.year in _ENDS:
            raise found.mistake(f"{name} is no time of an issue: {moment}", f"times.{name}")
    today = (now + _EASTWARD).date()
    # One may be sent before its day; then its times say so.
    gone = said.times.started is not None and said.times.started <= now
    if said.date > today and not gone:
        raise found.mistake(f"{said.date} is yet to come, so it can't have been sent", "date")
    if said.slot is not None and said.slot > today and not gone:
        raise found.mistake(
            f"{said.slot} is yet to come, and the issue of that day would not be made",
            "slot",
            "Give it the day it went.",
        )
    if len(set(said.stories)) < len(said.stories):
        twice = next(each for each in said.stories if said.stories.count(each) > 1)
        raise found.mistake(f'"{twice}" is listed twice', "stories")
    revision = 1
    for each in said.corrections:
        _check_correction(found, each, revision, today)
        revision = each.revision


def _check_correction(found: FolderRead, each: Correction, before: int, today: dt.date) -> None:
    key = "corrections"
    if each.revision != before + 1:
        raise found.mistake(
            f"revision {each.revision} doesn't follow revision {before}", key, "List them in their order."
        )
    if each.story is not None and each.story > len(found.description.stories):
        raise found.mistake(f"there is no story {each.story} to correct", key)
    if each.story is None and (each.headline is not None or each.body is not None):
        raise found.mistake("a headline and a text belong to a story", key, "Say which with story = 1.")
    if each.made is not None and each.made.tzinfo is None:
        raise found.mistake("made has no zone", key, "Write it as in 2023-11-20T14:00:00Z.")
    if each.date > today or (each.made is not None and each.made.year in _ENDS):
        raise found.mistake(f"revision {each.revision} can't have been made then", key)
    headline = "headline" if each.headline is None else each.headline
    body = "text" if each.body is None else each.body
    if (what := _unfit(headline, body)) is not None:
        raise found.mistake(f"revision {each.revision}: {what}", key)
    if not found.description.renditions:
        for wrong in wrongs(Written(headline=headline, body=body), (), pictured=False):
            raise found.mistake(f"revision {each.revision}: {wrong.what}", key, wrong.remedy)
        if "[[" in each.words or not each.words.strip():
            what = "the words hold a merge field" if each.words.strip() else "the words are missing"
            raise found.mistake(f"revision {each.revision}: {what}", key, "Write out what was wrong and what is right.")
    if re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]", each.words):
        raise found.mistake("the words hold a line break or a control character", key, "Write them on one line.")


def _sums(opened: Opened) -> dict[str, str]:
    """What SHA256SUMS says, once every file has it; empty where there is no SHA256SUMS."""
    if not opened.has(SUMS):
        return {}
    path = opened.place / SUMS
    listed: dict[str, str] = {}
    for number, line in enumerate(opened.read(SUMS).decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        row = _SUM.fullmatch(line)
        if row is None:
            raise IssueMistake("this is no line of a SHA-256 and a file", where=path, line=number)
        if row[2] in listed:
            raise IssueMistake(f'"{row[2]}" is listed a second time', where=path, line=number)
        content = opened.read(row[2], why=f"line {number} of {SUMS}")
        if hashlib.sha256(content).hexdigest() != row[1]:
            raise IssueMistake(
                f"this isn't what it was when it was written: its SHA-256 is not the one on line {number} of {SUMS}",
                where=opened.place / row[2],
                remedy=_CHANGED,
            )
        listed[row[2]] = row[1]
    ours = [DESCRIPTION, *opened.names(("stories", "pictures", "renditions"))]
    for name in ours:
        if name not in listed:
            raise IssueMistake(f"{SUMS} doesn't list this file", where=opened.place / name, remedy="Take it out.")
    return listed


def _renditions(opened: Opened, found: FolderRead, listed: dict[str, str]) -> dict[tuple[RenditionKind, int], bytes]:
    made: dict[tuple[RenditionKind, int], bytes] = {}
    for each in found.description.renditions:
        place = _PLACE.fullmatch(each.file)
        kind = _KINDS.get(place[2]) if place else None
        revision = int(place[1] or 1) if place else 1
        if place is None or kind is None or (place[1] == "1"):
            raise found.mistake(
                f'"{each.file}" is no rendition', "renditions", f"There is renditions/{', '.join(FILES.values())}."
            )
        content = opened.read(each.file, why=DESCRIPTION)
        if hashlib.sha256(content).hexdigest() != each.sha256:
            raise IssueMistake(
                "this isn't what was made: its SHA-256 is not the one in issue.toml",
                where=opened.place / each.file,
                remedy=_CHANGED,
            )
        if (kind, revision) in made:
            raise found.mistake(f'"{each.file}" is listed twice', "renditions")
        if revision > 1 and kind in (RenditionKind.html, RenditionKind.text):
            raise found.mistake(f'"{each.file}" can\'t be: a mail has no revisions', "renditions")
        made[kind, revision] = content
    if not made:
        if listed and opened.names(("renditions",)):
            raise found.mistake("there are renditions that it doesn't list", "", "Take renditions/ out.")
        return made
    last = found.description.corrections[-1].revision if found.description.corrections else 1
    for revision in range(1, last + 1):
        for kind in _MAILED if revision == 1 else _LATER:
            if (kind, revision) not in made:
                within = "renditions/" if revision == 1 else f"renditions/revision-{revision}/"
                raise found.mistake(
                    f"{within}{FILES[kind]} is missing in its list",
                    "renditions",
                    "List all of them, or none, to have the issue rendered.",
                )
    if over := next((revision for _, revision in made if revision > last), None):
        raise found.mistake(f"there is no correction with revision {over}", "renditions")
    return made


def _story(opened: Opened, found: FolderRead, name: str, *, kept: bool) -> StoryRead:
    if not re.fullmatch(r"stories/[^/]+\.md", name):
        raise found.mistake(f'"{name}" is no story', "stories", "Write it as in stories/1-toyota.md.")
    where = opened.place / name
    raw = opened.read(name, why=DESCRIPTION)
    told, body = story_file.values(raw, where=where)
    picture = None
    if named := told.get("picture"):
        inside = posixpath.normpath(posixpath.join("stories", named))
        if not re.fullmatch(r"pictures/[^/]+", inside):
            line = next((at for at, row in enumerate(raw.decode().splitlines(), 1) if row.startswith("picture")), None)
            raise DraftMistake(
                f'the picture "{named}" is not in pictures/', where=where, line=line, remedy="Write ../pictures/NAME."
            )
        picture = _picture(opened, inside, name, exact=kept)
    for key in ("state", "not_before", "not_after", "publication"):
        if told.get(key):
            raise DraftMistake(f"{key} is for drafts, and this story was published", where=where, remedy="Take it out.")
    if not kept:
        # What a draft has to be, but for its section: there may have been others at that time.
        return StoryRead(story_file.read(raw, {"": ()}, where=where, beside=where.parent).written, picture)
    # What readers have had is as it is, whatever drafts have to be today, but a database must be able to hold it.
    if found_in := next((key for key, text in told.items() if re.search("[\0\ud800-\udfff]", text)), None):
        raise DraftMistake(f"the {found_in} holds a NUL or half a character", where=where, remedy="Take it out.")
    if (wrong := _unfit(told.get("headline", ""), body, told.get("section", ""), told.get("author", ""))) is not None:
        raise DraftMistake(wrong, where=where)
    written = Written(
        headline=told["headline"],
        body=body,
        section=told.get("section", ""),
        link=told.get("link", ""),
        author=told.get("author", ""),
        alt=told.get("alt", ""),
        credit=told.get("credit", ""),
    )
    return StoryRead(written, picture)


def _unfit(headline: str, body: str, section: str = "", author: str = "") -> str | None:
    """Why a database can't hold such a story; None where it can."""
    if not headline.strip():
        return "the headline is missing"
    if re.search("[\x00-\x08\x0b-\x1f]", headline + body):
        return "it holds a control character"
    if len(section) > 80 or len(author) > 200:
        return "the section has more than 80 characters, or the author more than 200"
    return None


def _picture(opened: Opened, name: str, story: str, *, exact: bool) -> Prepared:
    """A picture: as it is where renditions point to these bytes, else made what a mail needs."""
    where = opened.place / name
    raw = opened.read(name, why=story)
    made = pictures.prepare(raw, where=where)
    if not exact:
        return made
    digest, _, extension = name.removeprefix("pictures/").partition(".")
    if hashlib.sha256(raw).hexdigest() != digest:
        raise PictureMistake(
            "its name is not its SHA-256, by which the renditions point to it",
            where=where,
            remedy="Bring it back as it was.",
        )
    if (size := pictures.as_kept(raw, extension)) is None:
        raise PictureMistake(f"this is no {extension.upper() or 'picture'} as the store has them", where=where)
    return Prepared(raw, extension, *size)


def _known(renditions: dict[tuple[RenditionKind, int], bytes], settings: Config, place: Path) -> None:
    """Renditions have to be what the pages and the sender take them for."""
    names = fields.known(settings.attributes)
    for (kind, revision), content in renditions.items():
        where = place / "renditions" / (f"revision-{revision}" if revision > 1 else "") / FILES[kind]
        if kind is RenditionKind.pdf:
            if not content.startswith(b"%PDF-"):
                raise IssueMistake("this is not a PDF", where=where)
            continue
        try:
            text = content.decode()
            if kind in (RenditionKind.html, RenditionKind.text):
                fields.nodes(text, names)
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise IssueMistake("this is not UTF-8", where=where, line=line) from None
        except FieldMistake as mistake:
            raise IssueMistake(mistake.what, where=where, remedy=mistake.remedy) from None
        except (AssertionError, IndexError):
            raise IssueMistake("its merge fields don't fit together", where=where, remedy=_CHANGED) from None
