"""The issue as a PDF: two pages for the sample, tagged (PDF/UA-1), with bookmarks and live links.

    stories' HTML, for nobody in particular ─→ blocks ─┐
    the edition's lines, typeset ──────────────────────┴→ edition.json ─┐
    issue.typ, and what else of typst and pictures its design has ──────┼→ typst, a process of its own ─→ PDF
    the store's pictures, made what typst takes where they aren't ──────┘

Text reaches typst as data only, so nothing in it is typst. The date in it is the issue's, so the same issue is the
same bytes, as long as typst and the fonts are the same.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from newsletter.errors import ConfigMistake, FontMistake, Mistake, PictureMistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.render import templates
from newsletter.render.edition import Edition, PictureView, StoryView
from newsletter.render.links import host
from newsletter.render.pdf_blocks import Block, blocks, visible, words
from newsletter.render.pdf_press import MAIN, Wrong, pressed
from newsletter.render.rendering import for_nobody

LARGEST_DESIGN = 20_000_000
"""Bytes of pictures and the like that a design may have."""

_DESIGN = "design"
_OF_A_DESIGN = (".typ", ".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".json", ".csv", ".toml")
_TAKEN = {"PNG": ("png", {"1", "L", "LA", "P", "RGB", "RGBA"}), "JPEG": ("jpg", {"L", "RGB"})}
"""What typst shows as it is: formats by Pillow's names, and their modes."""
_PAGES = re.compile(rb"<xmpTPg:NPages>(\d+)</xmpTPg:NPages>")
_SCRIPTS = {"Hant": "TW", "Hans": "CN"}

_MAIN = b"""\
#import "/newsletter.typ": edition, publication, faces
#set document(
  title: edition.title, author: publication.publisher, description: edition.preheader,
  keywords: (edition.long_label, publication.title), date: datetime(..edition.date),
)
#set text(
  font: faces, lang: edition.language, region: edition.region,
  dir: if publication.direction == "rtl" { rtl } else { ltr }, fallback: sys.inputs.machine == "yes",
)
#include "/design/issue.typ"
"""


@dataclass(frozen=True, slots=True)
class MissingGlyph:
    """Letters that no font has: they would be empty boxes."""

    text: str
    name: str
    """As Unicode calls it: "U+13000 EGYPTIAN HIEROGLYPH A001"."""
    story: int | None
    """The position of the first story that it stands in; None: it is in none, but in the masthead or the like."""
    headline: str = ""


def make(edition: Edition, folder: Folder) -> bytes:
    """The PDF of an issue.

    TemplateMistake with file and line for what is wrong with issue.typ, and where it takes too long or too much
    memory; FontMistake for letters that no font has; PictureMistake for a picture that isn't there.
    """
    readied, html = for_nobody(edition)
    made = _pressed(readied, html, folder)
    if isinstance(made, bytes):
        return made
    if missing := _missing(made, readied, html):
        raise _no_font(missing)
    raise _mistake(made, folder.templates / edition.publication.design)


def missing_glyphs(edition: Edition, folder: Folder) -> tuple[MissingGlyph, ...]:
    """The letters of an issue that no font has, each with its first place; Mistakes as `make`, for anything else."""
    readied, html = for_nobody(edition)
    made = _pressed(readied, html, folder)
    if isinstance(made, bytes):
        return ()
    if missing := _missing(made, readied, html):
        return missing
    raise _mistake(made, folder.templates / edition.publication.design)


def pages(content: bytes) -> int:
    """How many pages a PDF of ours has, by its metadata."""
    found = _PAGES.search(content)
    assert found is not None, "typst writes it down"
    return int(found[1])


def _pressed(readied: Edition, html: Mapping[int, str], folder: Folder) -> bytes | Wrong:
    files = {
        MAIN: _MAIN,
        "newsletter.typ": Path(__file__).with_name("newsletter.typ").read_bytes(),
        **_design(folder.templates / readied.publication.design),
    }
    shown: dict[int, str] = {}
    for story in readied.stories:
        if story.picture:
            content, extension = _picture(story, story.picture)
            shown[story.position] = f"pictures/{story.position}.{extension}"
            files[shown[story.position]] = content
    files["edition.json"] = json.dumps(_told(readied, html, shown), ensure_ascii=False).encode("utf-8", "replace")
    midnight = dt.datetime.combine(readied.date, dt.time(), dt.UTC)
    return pressed(files, timestamp=int(midnight.timestamp()), fonts=_fonts(folder))


def _fonts(folder: Folder) -> Path | None:
    if not folder.config.fonts:
        return None
    place = folder.path / folder.config.fonts
    if not place.is_dir():
        raise ConfigMistake(
            f"fonts: there is no folder {place}",
            where=folder.path / "config.toml",
            remedy="Make it and put fonts into it, or take the line out.",
        )
    return place


def _design(place: Path) -> dict[str, bytes]:
    """The files of a design that its issue.typ may use, by where they are in the process's folder."""
    if not (place / "issue.typ").is_file():
        templates.read(place.parent, place.name)
        raise TemplateMistake(
            "there is no such file", where=place / "issue.typ", remedy="The design needs it for the PDF."
        )
    found: dict[str, bytes] = {}
    within, size = place.resolve(), 0
    for path in sorted(place.rglob("*")):
        # A link to elsewhere would be a way to read any file of this machine.
        if path.suffix.lower() not in _OF_A_DESIGN or not path.is_file() or not path.resolve().is_relative_to(within):
            continue
        size += path.stat().st_size
        if size > LARGEST_DESIGN:
            raise TemplateMistake(
                f"the files of this design have more than {LARGEST_DESIGN // 1_000_000} MB", where=place
            )
        try:
            found[f"{_DESIGN}/{path.relative_to(place).as_posix()}"] = path.read_bytes()
        except OSError as error:
            raise TemplateMistake(f"it can't be read: {error.strerror}", where=path) from None
    return found


def _picture(story: StoryView, picture: PictureView) -> tuple[bytes, str]:
    """A story's picture and what it is, by its content: as it is in the store, or made what typst takes."""
    from PIL import Image, UnidentifiedImageError

    from newsletter import pictures

    name = f'the picture of story {story.position}, "{story.headline}"'
    if picture.file is None or not picture.file.is_file():
        raise PictureMistake(
            f"{name}, is gone from the store",
            where=picture.file,
            remedy="Bring it back from a backup, or reopen the issue and give the draft its picture again.",
        )
    raw = pictures.contents(picture.file)
    try:
        with Image.open(io.BytesIO(raw)) as image:
            extension, modes = _TAKEN.get(image.format or "", ("", set()))
            if image.mode in modes and getattr(image, "n_frames", 1) == 1:
                return raw, extension
    except (UnidentifiedImageError, OSError, ValueError):
        pass  # what prepare() says of it is meant for people
    made = pictures.prepare(raw, where=picture.file)
    return made.content, made.extension


def _told(edition: Edition, html: Mapping[int, str], shown: Mapping[int, str]) -> dict[str, Any]:
    """What newsletter.typ reads: the edition's values, for nobody in particular."""
    publication = edition.publication
    language, region = _spoken(publication.language)
    lead = edition.lead
    stories = {story.position: _story(story, html, shown) for story in edition.stories}
    return {
        "publication": {
            name: words(getattr(publication, name))
            for name in ("title", "publisher", "postal_address", "standfirst", "compiled_by")
        }
        | {"direction": publication.direction, "paper": publication.paper, "privacy_url": publication.privacy_url},
        "language": language,
        "region": region,
        "title": words(f"{publication.title}, {edition.long_label}"),
        "volume": edition.volume,
        "numbers": edition.numbers,
        "label": edition.label,
        "long_label": edition.long_label,
        "long_date": edition.long_date,
        "date": {"year": edition.date.year, "month": edition.date.month, "day": edition.date.day},
        "url": edition.url,
        "home": words(re.sub("^https?://", "", edition.url)),
        "imprint": words(edition.imprint),
        "preheader": words(edition.preheader),
        "stories": list(stories.values()),
        "lead": stories[lead.position] if lead else None,
    }


def _story(story: StoryView, html: Mapping[int, str], shown: Mapping[int, str]) -> dict[str, Any]:
    told = blocks(html[story.position])
    picture = story.picture and {
        "file": f"/{shown[story.position]}",
        "alt": story.picture.alt,
        "credit": words(story.picture.credit),
        "real_width": story.picture.real_width,
        "real_height": story.picture.real_height,
    }
    return {
        "position": story.position,
        # One of nothing but a field may be empty for nobody; a bookmark has to say something.
        "headline": words(story.headline) if visible(story.headline) else "…",
        "section": words(story.section),
        "author": words(story.author),
        "link": story.link,
        "source": words(story.source),
        "hosts": list(dict.fromkeys(words(host(url)) for url in _links(told) if urlsplit(url).hostname)),
        "picture": picture,
        "blocks": told,
    }


def _links(value: Any) -> Iterator[str]:
    """Every address that blocks lead to, in order."""
    if isinstance(value, dict):
        block: Block = value
        if block.get("kind") == "link":
            yield block["url"]
        for part in block.values():
            yield from _links(part)
    elif isinstance(value, list):
        for part in value:
            yield from _links(part)


def _spoken(tag: str) -> tuple[str, str | None]:
    """A language tag (BCP 47) as typst takes it: the language, "und" where it is none, and the region."""
    first, *others = re.split("[-_]", tag)
    language = first.lower() if re.fullmatch("[A-Za-z]{2,3}", first) else "und"
    region = next((part.upper() for part in others if re.fullmatch("[A-Za-z]{2}", part)), None)
    return language, region or next((_SCRIPTS[part.title()] for part in others if part.title() in _SCRIPTS), None)


def _missing(wrong: Wrong, readied: Edition, html: Mapping[int, str]) -> tuple[MissingGlyph, ...]:
    found: dict[str, MissingGlyph] = {}
    lines = {
        story.position: " ".join(
            (story.headline, story.section, story.author, story.source, story.picture.credit if story.picture else "")
        )
        + json.dumps(blocks(html[story.position]), ensure_ascii=False)
        for story in readied.stories
    }
    for text in wrong.not_shown:
        shown = _as_it_stands(text, lines.values())
        story = next((each for each in readied.stories if shown in lines[each.position]), None)
        name = " ".join(f"U+{ord(each):04X} {unicodedata.name(each, 'without a name')}" for each in shown[:3])
        found[shown] = MissingGlyph(shown, name, story.position if story else None, story.headline if story else "")
    return tuple(found.values())


def _as_it_stands(text: str, lines: Any) -> str:
    """The letters that typst names; the sign on them, where it names only the letter that a sign stands on."""
    if len(text) == 1 and (text.isascii() or text.isalpha()):
        for line in lines:
            for found in re.finditer(re.escape(text) + r"([^\w\s])", line):
                if unicodedata.category(found[1]) in ("Mn", "Me"):
                    return str(found[1])
    return text


_FEW = 5


def _no_font(missing: tuple[MissingGlyph, ...]) -> FontMistake:
    def place(one: MissingGlyph) -> str:
        where = f'in story {one.story}, "{one.headline}"' if one.story else "outside the stories"
        return f"“{one.text}” ({one.name}) {where}"

    more = len(missing) - _FEW
    told = "; ".join(map(place, missing[:_FEW])) + (f"; and {more} more" if more > 0 else "")
    scripts = "".join(one.name for one in missing)
    package = "fonts-noto-cjk" if re.search("CJK|HIRAGANA|KATAKANA|HANGUL", scripts) else "fonts-noto-core"
    if any(ord(letter) >= 0x1F000 and unicodedata.category(letter) == "So" for one in missing for letter in one.text):
        package = "fonts-noto-color-emoji"
    return FontMistake(
        f"no font has what the PDF would show as an empty box: {told}",
        remedy="Put a font that has it into the folder that fonts in config.toml names, or install one"
        f" (Debian: {package}), or take it out.",
    )


def _mistake(wrong: Wrong, design: Path) -> Mistake:
    """What is wrong with issue.typ, at the innermost line of it that typst names."""
    at = next(((file, line, column) for file, line, column in wrong.places if file.startswith(f"{_DESIGN}/")), None)
    if at is None:
        return TemplateMistake(f"the PDF can't be made: {wrong.what}", where=design / "issue.typ", remedy=wrong.remedy)
    file, line, column = at
    where = design / file.removeprefix(f"{_DESIGN}/")
    return TemplateMistake(wrong.what, where=where, line=line, column=column, remedy=wrong.remedy)
