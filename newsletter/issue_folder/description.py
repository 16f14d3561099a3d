"""issue.toml: its shape, and how it is written."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from newsletter.numbering import MOST
from newsletter.states import RenditionKind

FORMAT = 1
DESCRIPTION = "issue.toml"
SUMS = "SHA256SUMS"
ATTRIBUTES = ".gitattributes"
FILES = {
    RenditionKind.html: "mail.html",
    RenditionKind.text: "mail.txt",
    RenditionKind.page: "page.html",
    RenditionKind.entry: "entry.html",
    RenditionKind.pdf: "issue.pdf",
}
"""What each rendition is called in renditions/."""

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Digit = Annotated[int, Meta(ge=1, le=MOST)]
Words = Annotated[str, Meta(min_length=1)]


class Times(Struct, frozen=True, forbid_unknown_fields=True):
    """Its clocks, each with its zone."""

    deadline: dt.datetime | None = None
    approve_by: dt.datetime | None = None
    sends: dt.datetime | None = None
    assembled: dt.datetime | None = None
    started: dt.datetime | None = None
    finished: dt.datetime | None = None


class Correction(Struct, frozen=True, forbid_unknown_fields=True):
    revision: Annotated[int, Meta(ge=2)]
    date: dt.date
    words: Words
    made: dt.datetime | None = None
    story: Digit | None = None
    by: str = ""
    announce: bool = False
    """The next issue is still to tell of it."""
    headline: str | None = None
    body: str | None = None


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """A correction to an earlier issue that this one tells of."""

    issue: Words
    """By its volume and number: "2.20"."""
    revision: Annotated[int, Meta(ge=2)]


class Rendition(Struct, frozen=True, forbid_unknown_fields=True):
    file: Words
    sha256: Digest


class Description(Struct, frozen=True, forbid_unknown_fields=True):
    """What issue.toml says."""

    volume: Digit
    number: Digit
    date: dt.date
    stories: Annotated[tuple[Words, ...], Meta(min_length=1, max_length=200)]
    """Their files, in order."""
    format: int = FORMAT
    publication: str = ""
    through: Digit | None = None
    slot: dt.date | None = None
    """Its date in the calendar; the date on the masthead where it isn't said."""
    state: str = "sent"
    subject: str = ""
    preheader: str = ""
    private: bool = False
    times: Times = Times()
    corrections: tuple[Correction, ...] = ()
    notes: tuple[Note, ...] = ()
    renditions: tuple[Rendition, ...] = ()


def written(values: Mapping[str, Any], head: str) -> str:
    """A description as TOML: keys in the order given, those that are None, "", False or empty left out.

    A list of mappings becomes [[tables]], a mapping a [table]; both after the plain values.
    """
    lines = [f"# {head}", *_pairs(values)]
    for key, value in values.items():
        if isinstance(value, Mapping) and _said(value):
            lines += ["", f"[{key}]", *_pairs(value)]
        elif _is_tables(value):
            for row in value:
                lines += ["", f"[[{key}]]", *_pairs(row)]
    return "\n".join(lines) + "\n"


def _said(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_said, value.values()))
    return value is not None and value is not False and value not in ("", (), [])


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} = {_value(value)}"
        for key, value in values.items()
        if not isinstance(value, Mapping) and not _is_tables(value) and _said(value)
    ]


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        case dt.date():
            return value.isoformat()
        case str():
            return _text(value)
        case list():
            return "[\n" + "".join(f"  {_value(each)},\n" for each in value) + "]"
        case _:
            raise TypeError(type(value))


def _text(value: str) -> str:
    """A string; one of several lines as several lines, which is what git compares."""
    lines = [json.dumps(line, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007F") for line in value.split("\n")]
    return f'"{lines[0]}"' if len(lines) == 1 else '"""\n' + "\n".join(lines) + '"""'
