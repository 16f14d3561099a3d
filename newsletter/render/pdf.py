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
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from newsletter import translations
from newsletter.errors import ConfigMistake, FontMistake, MissingGlyph, Mistake, PictureMistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.render import templates
from newsletter.render.edition import CorrectionView, Edition, PictureView, StoryView
from newsletter.render.links import host
from newsletter.render.pdf_blocks import Block, blocks, visible, words
from newsletter.render.pdf_emoji import Emoji
from newsletter.render.pdf_press import MAIN, Wrong, pressed
from newsletter.render.rendering import for_nobody
from newsletter.theme_settings import Theme

LARGEST_DESIGN = 20_000_000
"""Bytes of pictures and the like that a design may have."""

_DESIGN = "design"
_OF_A_DESIGN = (".typ", ".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".json", ".csv", ".toml")
_TAKEN = {"PNG": ("png", {"1", "L", "LA", "P", "RGB", "RGBA"}), "JPEG": ("jpg", {"L", "RGB"})}
"""What typst shows as it is: formats by Pillow's names, and their modes."""
_PAGES = re.compile(rb"<xmpTPg:NPages>(\d+)</xmpTPg:NPages>")
_LEFT_OUT = re.compile(rb"left out: (U\+[0-9A-F]+(?: U\+[0-9A-F]+)*)")
_SCRIPTS = {"Hant": "TW", "Hans": "CN"}

_MAIN = b"""\
#import "/newsletter.typ": edition, publication, faces
#set document(
  title: edition.title, author: publication.publisher, description: edition.preheader,
  keywords: (edition.long_label, publication.title, ..edition.left_out), date: datetime(..edition.date),
)
#set text(
  font: faces, lang: edition.language, region: edition.region,
  dir: if publication.direction == "rtl" { rtl } else { ltr }, fallback: sys.inputs.machine == "yes",
)
#include "/design/issue.typ"
#context {
  let told = query(<corrected>).map(it => it.value)
  for it in edition.corrections {
    assert(it.number in told, message: "this design doesn't show corrections: put story.corrections.map(corrected) in")
  }
  let told = query(<noted>).map(it => it.value)
  for it in edition.notes {
    assert(it.url + it.words in told, message: "this design doesn't show edition.notes: put noted(it) in for each")
  }
}
"""
_SAME = rb"""
#let plain(it) = {
  if type(it) == str { it }
  else if type(it) == array { it.map(plain).join("") }
  else if type(it) == content { plain(("text", "children", "child", "body").map(name => it.at(name, default: ""))) }
}
// Letters and digits, whether they are printed as capitals or not.
#let bare(it) = lower(upper(plain(it))).replace(regex("[^\\p{L}\\p{N}]+"), "")
#context {
  let told = query(<told>).map(it => it.value)
  let headings = query(heading).map(it => bare(it.body))
  let links = query(link).map(it => it.dest)
  let shown = query(image).map(it => it.source)
  let credited = query(<credited>).map(it => it.value)
  let unless = ", or switch renditions-differ off with the reason"
  for it in edition.stories {
    let lacks(what, remedy) = (
      "this design's PDF lacks the " + what + " of story " + str(it.position) + ": put " + remedy + " in" + unless
    )
    let headed = headings.any(words => bare(it.headline) in words)
    assert(headed, message: lacks("headline", "heading(level: 2, story.headline)"))
    assert(it.position in told, message: lacks("text", "body(story)"))
    assert(it.source == "" or it.link in links, message: lacks("source", "link(story.link, story.source)"))
    if it.picture != none and it.picture.file in shown and it.picture.credit != "" {
      assert(it.position in credited, message: lacks("picture's credit", "story.picture.credit"))
    }
  }
  assert(
    told == edition.stories.map(it => it.position),
    message: "this design's PDF has a story twice, or out of order: put body(story) in once for each" + unless,
  )
}
"""
"""Whether the PDF has all that the other renditions have, too; not asked where `renditions-differ` is switched off."""


def make(edition: Edition, folder: Folder) -> bytes:
    """The PDF of an issue. Emoji that no font has are left out of it, or are letters: see `left_out`.

    TemplateMistake with file and line for what is wrong with issue.typ, and where it takes too long or too much
    memory; FontMistake for other letters that no font has; PictureMistake for a picture that isn't there.
    """
    readied, html = for_nobody(edition)
    made = _pressed(readied, html, folder)
    if isinstance(made, Wrong) and made.not_shown:
        emoji = Emoji(made.not_shown)
        readied, html = emoji.without(readied, html)
        if emoji.found:
            made = _pressed(readied, html, folder, emoji.found)
    if isinstance(made, bytes):
        return made
    if missing := _missing(made, readied, html):
        raise _no_font(missing)
    raise _mistake(made, folder.templates / edition.publication.design)


def pages(content: bytes) -> int:
    """How many pages a PDF of ours has, by its metadata."""
    found = _PAGES.search(content)
    assert found is not None, "typst writes it down"
    return int(found[1])


def left_out(content: bytes) -> tuple[str, ...]:
    """The emoji that a PDF of ours lacks since no font had them; flags are two letters in it, keycaps their sign."""
    return tuple(_unnamed(found) for found in dict.fromkeys(_LEFT_OUT.findall(content)))


def _unnamed(codes: bytes) -> str:
    return "".join(chr(int(code, 16)) for code in codes.decode().replace("U+", "").split())


def _pressed(readied: Edition, html: Mapping[int, str], folder: Folder, lacking: tuple[str, ...] = ()) -> bytes | Wrong:
    files = {
        MAIN: _MAIN + (b"" if "renditions-differ" in readied.publication.preflight else _SAME),
        "newsletter.typ": Path(__file__).with_name("newsletter.typ").read_bytes(),
        **_design(folder.templates / readied.publication.design),
        **_shared(folder.templates / templates.SHARED),
    }
    themed: dict[str, str] = {}
    for name, own in (("logo", readied.logo), ("portrait", readied.portrait)):
        if own:
            content, extension = _picture(f"the {name} of the theme", own)
            themed[name] = f"pictures/{name}.{extension}"
            files[themed[name]] = content
    shown: dict[int, str] = {}
    for story in readied.stories:
        if story.picture:
            name = f'the picture of story {story.position}, "{story.headline}"'
            content, extension = _picture(name, story.picture)
            shown[story.position] = f"pictures/{story.position}.{extension}"
            files[shown[story.position]] = content
    told = _told(readied, html, shown) | {
        "logo": _themed(readied.logo, themed.get("logo")),
        "portrait": _themed(readied.portrait, themed.get("portrait")),
        "left_out": [f"left out: {' '.join(f'U+{ord(letter):04X}' for letter in each)}" for each in lacking],
        "words": translations.sentences(templates.words(folder.templates, readied.publication.language)),
    }
    files["edition.json"] = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
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
    return _read(place, _DESIGN)


def _shared(place: Path) -> dict[str, bytes]:
    """Likewise those that all designs may use."""
    return _read(place, templates.SHARED) if place.is_dir() else {}


def _read(place: Path, name: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    within, size = place.resolve(), 0
    for path in sorted(place.rglob("*")):
        # A link to elsewhere would be a way to read any file of this machine.
        if path.suffix.lower() not in _OF_A_DESIGN or not path.is_file() or not path.resolve().is_relative_to(within):
            continue
        size += path.stat().st_size
        if size > LARGEST_DESIGN:
            of = "design" if name == _DESIGN else "folder"
            raise TemplateMistake(
                f"the files of this {of} have more than {LARGEST_DESIGN // 1_000_000} MB", where=place
            )
        try:
            found[f"{name}/{path.relative_to(place).as_posix()}"] = path.read_bytes()
        except OSError as error:
            raise TemplateMistake(f"it can't be read: {error.strerror}", where=path) from None
    return found


def _picture(name: str, picture: PictureView) -> tuple[bytes, str]:
    """A picture and what it is, by its content: as it is in the store, or made what typst takes."""
    from PIL import Image, UnidentifiedImageError

    from newsletter import pictures

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
    stories = {
        story.position: _story(story, html, shown)
        | {"corrections": [_corrected(edition.corrections.index(each), each) for each in story.corrections]}
        for story in edition.stories
    }
    return {
        "publication": {
            name: words(getattr(publication, name))
            for name in ("title", "publisher", "postal_address", "standfirst", "compiled_by")
        }
        | {"theme": _look(publication.theme)}
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
        "revision": edition.revision,
        "revised": edition.revised,
        "corrections": [_corrected(number, each) for number, each in enumerate(edition.corrections)],
        "notes": [
            {"url": each.url, "long_label": each.long_label, "words": words(each.words)} for each in edition.notes
        ],
        "stories": list(stories.values()),
        "lead": stories[lead.position] if lead else None,
    }


def _corrected(number: int, correction: CorrectionView) -> dict[str, Any]:
    return {
        "number": number,
        "long_date": correction.long_date,
        "words": words(correction.words),
        "position": correction.position,
        "headline": words(correction.headline),
    }


def _look(theme: Theme) -> dict[str, str]:
    told = {name: words(getattr(theme, name)) for name in ("signed", "role")}
    return told | {"mark": theme.mark, "link": theme.link, "print_face": theme.print_face}


def _themed(picture: PictureView | None, file: str | None) -> dict[str, Any] | None:
    if picture is None:
        return None
    return {"file": f"/{file}", "alt": picture.alt, "width": picture.width, "height": picture.height}


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
    return FontMistake(
        f"no font has what the PDF would show as an empty box: {told}",
        letters=missing,
        remedy="Put a font that has it into the folder that fonts in config.toml names, or install one"
        f" (Debian: {package}), or take it out.",
    )


def _mistake(wrong: Wrong, design: Path) -> Mistake:
    """What is wrong with issue.typ, at the innermost line of it that typst names."""
    ours = (f"{_DESIGN}/", f"{templates.SHARED}/")
    at = next(((file, line, column) for file, line, column in wrong.places if file.startswith(ours)), None)
    if at is None:
        what, colon, remedy = wrong.what.removeprefix("assertion failed: ").rpartition(": put ")
        told = f"Put {remedy}." if colon else wrong.remedy
        return TemplateMistake(
            f"the PDF can't be made: {what if colon else remedy}", where=design / "issue.typ", remedy=told
        )
    file, line, column = at
    where = design / file.removeprefix(f"{_DESIGN}/") if file.startswith(f"{_DESIGN}/") else design.parent / file
    return TemplateMistake(wrong.what, where=where, line=line, column=column, remedy=wrong.remedy)
