"""An issue into a folder: the same issue, the same bytes, whenever and wherever it is written."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter import issues, pictures, story_file
from newsletter.drafts import Written
from newsletter.errors import IssueMistake, Mistake
from newsletter.folder import Folder
from newsletter.issue_folder.description import ATTRIBUTES, DESCRIPTION, FILES, FORMAT, SUMS, written
from newsletter.models import Issue, Picture, Rendition, Story
from newsletter.render.edition import anchors
from newsletter.story_file import StoryFile

_SUM = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


def files(session: Session, folder: Folder, issue: Issue) -> dict[str, bytes]:
    """All files of an issue's folder, by their paths in it. IssueMistake where it isn't frozen yet."""
    if not issue.stories:
        raise IssueMistake(f"{issues.name(issue)} has no stories yet", remedy="Assemble it first.")
    made: dict[str, bytes] = {ATTRIBUTES: b"# Checksums are of these very bytes.\n* -text\n"}
    shown: dict[str, Picture] = {}
    width = len(str(len(issue.stories)))
    names: list[str] = []
    for story, anchor in zip(
        issue.stories, anchors([(each.position, each.headline) for each in issue.stories]), strict=True
    ):
        called = "" if anchor == f"story-{story.position}" else f"-{anchor}"
        names.append(f"stories/{story.position:0{width}}{called}.md")
        made[names[-1]] = _story(story)
        if story.picture:
            shown[_picture(story.picture)] = story.picture
    for name, picture in shown.items():
        made[name] = pictures.contents(pictures.path(folder.pictures, picture))
    sums = []
    kept = session.scalars(select(Rendition).where(Rendition.issue_id == issue.id))
    for row in sorted(kept, key=lambda each: (each.revision, each.kind.value)):
        if hashlib.sha256(row.content).hexdigest() != row.sha256:
            raise IssueMistake(
                f"the {row.kind.value} of {issues.name(issue)}, revision {row.revision}, isn't what it was when it was"
                " made: its SHA-256 is another",
                remedy="Bring the database back from a backup.",
            )
        name = f"renditions/{'' if row.revision == 1 else f'revision-{row.revision}/'}{FILES[row.kind]}"
        made[name] = row.content
        sums.append({"file": name, "sha256": row.sha256})
    made[DESCRIPTION] = _description(issue, names, sums).encode()
    lines = [f"{hashlib.sha256(made[name]).hexdigest()}  {name}\n" for name in sorted(made)]
    return {**{name: made[name] for name in sorted(made)}, SUMS: "".join(lines).encode()}


def write(made: Mapping[str, bytes], place: Path) -> int:
    """Writes the files of an issue's folder; answers how many of them are new or changed.

    A new folder appears whole or not at all. One that was exported before is brought up to date, file by file, its
    checksums last; what others have put there stays. IssueMistake where it holds anything else, or can't be written to.
    """
    try:
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise IssueMistake("this is not a folder", where=place)
        if place.is_dir() and any(place.iterdir()):
            return _update(made, place)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part"))
        try:
            for name, content in made.items():
                _put(part / name, content)
            part.chmod(0o755)
            part.replace(place)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise IssueMistake(f"it can't be written: {error.strerror}", where=error.filename or place) from None
    return len(made)


def _update(made: Mapping[str, bytes], place: Path) -> int:
    before = _before(place)
    own = _identity(made[DESCRIPTION].decode())
    if before is None or before != own:
        what = (
            "it is not empty"
            if before is None
            else f"it holds {before[0] or 'another publication'} {before[1]}.{before[2]}"
        )
        raise IssueMistake(
            f"{what}, and not an export of this issue", where=place, remedy="Name a new folder, or an empty one."
        )
    known = {found[2] for found in _SUM.finditer(_text(place / SUMS))}
    changed = 0
    for name, content in made.items():
        path = place / name
        _no_link(place, name)
        if not path.is_file() or path.read_bytes() != content:
            _put(path, content)
            changed += 1
    for name in sorted(known - set(made)):
        # Only what we wrote is taken away, and only from within this folder.
        if ".." in Path(name).parts or Path(name).is_absolute():
            continue
        _no_link(place, name)
        (place / name).unlink(missing_ok=True)
        changed += 1
    return changed


def _no_link(place: Path, name: str) -> None:
    """IssueMistake where a part of a path is a link: it might lead out of the folder."""
    at = place
    for part in Path(name).parts:
        at /= part
        if at.is_symlink():
            raise IssueMistake("this is a link, and may lead elsewhere", where=at, remedy="Take it away.")


def _put(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, and on disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as part:
        try:
            part.write(content)
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).chmod(0o644)
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() and not path.is_symlink() else ""


def _before(place: Path) -> tuple[str, int, int] | None:
    """Which issue a folder holds; None where it holds none."""
    try:
        return _identity(_text(place / DESCRIPTION))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _identity(description: str) -> tuple[str, int, int]:
    values = tomllib.loads(description)
    return str(values.get("publication", "")), int(values["volume"]), int(values["number"])


def _story(story: Story) -> bytes:
    """A story as a file. IssueMistake where it is of a kind that no file can say."""
    made = StoryFile(
        Written(
            headline=story.headline.strip(" \t\n"),
            body=_body(story.body),
            section=story.section.strip(" \t\n"),
            link=story.link.strip(" \t\n"),
            author=story.author.strip(" \t\n"),
            alt=story.picture_alt.strip(" \t\n"),
            credit=story.picture_credit.strip(" \t\n"),
        ),
        f"../{_picture(story.picture)}" if story.picture else "",
    )
    text = story_file.write(made)
    try:
        told, body = story_file.values(text, where=f"story {story.position} as a file")
    except Mistake as mistake:
        raise IssueMistake(str(mistake)) from None
    meant = {key: getattr(made.written, key) for key in ("headline", "section", "link", "author", "alt", "credit")}
    if any(told.get(key, "") != value for key, value in meant.items()) or body != made.written.body:
        raise IssueMistake(
            f"no file can say what story {story.position} says", remedy="Does it hold control characters?"
        )
    return text.encode()


def _body(body: str) -> str:
    """A text without the empty lines around it, as a story's file has it."""
    lines = body.split("\n")
    first = next((row for row, line in enumerate(lines) if line.strip(" \t")), len(lines))
    return "\n".join(lines[first:]).rstrip(" \t\n")


def _picture(picture: Picture) -> str:
    return f"pictures/{picture.sha256}.{picture.extension}"


def _description(issue: Issue, stories: list[str], sums: list[dict[str, str]]) -> str:
    values: dict[str, Any] = {
        "format": FORMAT,
        "publication": issue.publication,
        "volume": issue.volume,
        "number": issue.number,
        "through": issue.through,
        "date": issue.date,
        "slot": issue.slot,
        "state": issue.state.value,
        "subject": issue.subject,
        "preheader": issue.preheader,
        "private": issue.private,
        "stories": stories,
        "times": {
            name: getattr(issue, name)
            for name in ("deadline", "approve_by", "sends", "assembled", "started", "finished")
        },
        "corrections": [
            {
                "revision": each.revision,
                "date": each.date,
                "made": each.made,
                "story": each.position,
                "words": each.words,
                "by": each.by,
                "announce": each.announced and each.told_in is None,
                "headline": each.headline,
                "body": each.body,
            }
            for each in issue.corrections
        ],
        "notes": [{"issue": str(issues.number_of(each.issue)), "revision": each.revision} for each in issue.notes],
        "renditions": sums,
    }
    return written(values, f"{issues.name(issue)}, as newsletter issue export wrote it.")
