"""Everything raised on purpose.

    Mistake                  something a person can put right; a sentence, never a traceback
    ├── ConfigMistake        config.toml or a list's file
    ├── DatabaseMistake      a database that can't be reached, or is of another version
    ├── CadenceMistake       a calendar that can't be
    ├── DraftMistake         a story's file, or what was asked of a draft
    ├── PictureMistake       a picture that isn't one, or can't go into a mail
    ├── ListMistake          a list that isn't there
    ├── SegmentMistake       an expression that can't be read, a segment that isn't there
    ├── SubscriberMistake    an address that isn't one, a person who isn't there
    ├── ImportMistake        a file of subscribers that can't be read at all
    ├── FieldMistake         a merge field that isn't known, a condition that doesn't close
    ├── FontMistake          letters that no font has
    ├── TemplateMistake      a template that doesn't compile, with its line and column
    ├── IssueMistake         something asked of an issue that its state doesn't allow
    │   └── PreflightMistake    an issue that would harm its readers
    ├── DeliveryMistake      something asked of a delivery that its state doesn't allow
    ├── DkimMistake          a key that messages can't be signed with
    ├── ReturnMistake        a returned message that can't be written down now, a mailbox that can't be looked into
    ├── RelayMistake         a relay that can't be reached, or refuses us
    ├── BrowserMistake       no Chromium to take pictures with, or one that fails
    └── WebMistake           pages that can't be served: a port that is taken, a translation that can't be read

What a mail server answers to a message is not here: it is a value (see newsletter.smtp). Neither is a
fault of the program's own: that stays an exception of Python's and is shown as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Mistake(Exception):  # noqa: N818 - it is called what it is
    """Something a person did, or can put right: where it is, what is wrong, what to do.

    `where` is a file, or a file with line and column; shown in front. `remedy` is a whole sentence.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        line: int | None = None,
        column: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.line = line
        self.column = column
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = self.where or ""
        if self.line is not None:
            place += f", line {self.line}" if place else f"line {self.line}"
            if self.column is not None:
                place += f", column {self.column}"
        sentence = f"{place}: {self.what}" if place else self.what
        if sentence[-1:] not in ".?!":
            sentence += "."
        return f"{sentence} {self.remedy}" if self.remedy else sentence


class ConfigMistake(Mistake):
    """config.toml or a list's file can't be read, or says something that can't be."""


class DatabaseMistake(Mistake):
    """The database can't be reached, or belongs to another version of the program."""


class CadenceMistake(Mistake):
    """A calendar that can't be: an unknown zone, an anchor that never comes."""


class DraftMistake(Mistake):
    """A story's file can't be read, or a draft isn't there, or isn't in a state for what was asked."""


class PictureMistake(Mistake):
    """A picture isn't one, or can't go into a mail."""


class ListMistake(Mistake):
    """A list that isn't there."""


class SegmentMistake(Mistake):
    """An expression that can't be read, a segment that isn't there.

    `marked` are two lines for a terminal: the expression, and marks under what is wrong in it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        line: int | None = None,
        remedy: str | None = None,
        marked: tuple[str, ...] = (),
    ) -> None:
        self.marked = marked
        super().__init__(what, where=where, line=line, remedy=remedy)


class SubscriberMistake(Mistake):
    """An address that isn't one, or a person who isn't there."""


class ImportMistake(Mistake):
    """A file of subscribers can't be read at all; a bad row is a value, not this."""


class FieldMistake(Mistake):
    """A merge field that isn't known, or a condition that doesn't close."""


@dataclass(frozen=True, slots=True)
class MissingGlyph:
    """Letters that no font has: they would be empty boxes."""

    text: str
    name: str
    """As Unicode calls it: "U+13000 EGYPTIAN HIEROGLYPH A001"."""
    story: int | None
    """The position of the first story that it stands in; None: it is in none, but in the masthead or the like."""
    headline: str = ""


class FontMistake(Mistake):
    """Letters of an issue that no font has: the PDF would show empty boxes."""

    def __init__(self, what: str, *, letters: tuple[MissingGlyph, ...], remedy: str | None = None) -> None:
        self.letters = letters
        super().__init__(what, remedy=remedy)


class TemplateMistake(Mistake):
    """A template doesn't compile."""


class IssueMistake(Mistake):
    """Something was asked of an issue that its state doesn't allow."""


class PreflightMistake(IssueMistake):
    """Preflight found errors in an issue: it doesn't go. `told` is a sentence for each."""

    def __init__(self, what: str, *, told: tuple[str, ...], remedy: str | None = None) -> None:
        self.told = told
        super().__init__(what, remedy=remedy)


class DeliveryMistake(Mistake):
    """Something was asked of a delivery that its state doesn't allow."""


class DkimMistake(Mistake):
    """A file holds no key that messages can be signed with, or can't be made one."""


class ReturnMistake(Mistake):
    """A returned message can't be written down now, or a mailbox of them can't be looked into."""


class RelayMistake(Mistake):
    """A relay can't be reached, or refuses us: its address, its login, its certificate."""


class BrowserMistake(Mistake):
    """There is no Chromium to take pictures with, or it fails."""


class WebMistake(Mistake):
    """The pages can't be served: a port that is taken, a translation that can't be read."""
