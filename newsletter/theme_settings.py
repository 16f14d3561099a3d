"""The part of config.toml that is about looks: what a publication's designs share and each publication has its own of.

Values only: templates write them into the mail, the page and the PDF. Whether colours have enough contrast is
preflight's to say, since that depends on what stands on what.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated

from msgspec import Meta, Struct


class Typeface(enum.Enum):
    """A family of typefaces that readers' machines have: nothing is fetched, nothing is licensed."""

    georgia = "georgia"
    palatino = "palatino"
    times = "times"
    system = "system"
    """Each machine's own: San Francisco, Segoe UI, Roboto."""
    helvetica = "helvetica"
    verdana = "verdana"


STACKS = {
    Typeface.georgia: "Georgia, 'Times New Roman', serif",
    Typeface.palatino: "'Palatino Linotype', Palatino, 'Book Antiqua', Georgia, serif",
    Typeface.times: "'Times New Roman', Times, serif",
    Typeface.system: "-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
    Typeface.helvetica: "Helvetica, Arial, sans-serif",
    Typeface.verdana: "Verdana, Geneva, sans-serif",
}
"""What CSS calls them, the first that a machine has is taken."""


class Theme(Struct, frozen=True, forbid_unknown_fields=True):
    """How a publication looks, in any design."""

    mark: str = "#b3301f"
    """The publication's accent: the flag over the masthead, numbers. All colours have six digits."""
    mark_dark: str = "#f08a75"
    """The same on dark paper."""
    link: str = "#1d4480"
    link_dark: str = "#9cbbf5"
    text: Typeface = Typeface.georgia
    """What the publisher says is set in: title, headlines, stories."""
    labels: Typeface = Typeface.system
    """What the program says is set in: sections, dates, ways out."""
    print_face: str = ""
    """The family that the PDF is set in, of the folder `fonts` or of the machine; Libertinus Serif when empty."""
    width: Annotated[int, Meta(ge=480, le=720)] = 640
    """Of a mail, in CSS pixels."""
    logo: str = ""
    """A picture over the title, from where config.toml is."""
    logo_alt: str = ""
    """What it says, for those who don't see it; the publisher's name when empty."""
    logo_width: Annotated[int, Meta(ge=24, le=400)] = 160
    """In CSS pixels."""
    portrait: str = ""
    """A picture of who writes, from where config.toml is; the design "letter" shows it."""
    portrait_alt: str = ""
    """What is to be seen on it; the name under the letter when empty."""
    signed: str = ""
    """The name under a letter, where its story has no author."""
    role: str = ""
    """What they are: "Editor"."""

    @property
    def text_stack(self) -> str:
        """What CSS calls the publisher's typefaces."""
        return STACKS[self.text]

    @property
    def labels_stack(self) -> str:
        """What CSS calls the program's typefaces."""
        return STACKS[self.labels]

    @property
    def labels_stack_on_pages(self) -> str:
        """The same in a browser, where older ones know Apple's typeface by another name."""
        return self.labels_stack.replace("-apple-system,", "-apple-system, BlinkMacSystemFont,")

    @property
    def column(self) -> int:
        """The width of a mail's text, in CSS pixels."""
        return self.width - 80


_COLOUR = re.compile("#[0-9a-fA-F]{6}")
_KINDS = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_FAMILY = re.compile(r"[\w .+-]{0,80}")


def wrongs(theme: Theme) -> Iterator[tuple[str, str]]:
    """What is wrong with a theme: the key, and a sentence that says what would be right."""
    for key in ("mark", "mark_dark", "link", "link_dark"):
        if not _COLOUR.fullmatch(value := getattr(theme, key)):
            yield key, f'"{value}" is not a colour of six digits; write it as "#b3301f"'
    for key in ("logo", "portrait"):
        if not (value := getattr(theme, key)):
            continue
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            yield key, f'"{value}" leads out of the folder; write where the file is from config.toml on'
        elif path.suffix.lower() not in _KINDS:
            yield key, f'"{value}" is no picture that a mail can show; write a file of {", ".join(_KINDS)}'
    if theme.width % 2:
        yield (
            "width",
            f"{theme.width} is odd; Outlook wants pictures and columns of whole pixels, so write an even width",
        )
    if not _FAMILY.fullmatch(theme.print_face):
        yield "print_face", f'"{theme.print_face}" is no name of a typeface; write it as "Source Serif 4"'
