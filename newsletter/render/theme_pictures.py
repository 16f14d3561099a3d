"""The pictures that a publication's theme names: its logo, and the portrait of who writes.

They go the way of all pictures: made what a mail needs, named by their content, kept in the store. So a mail that has
gone keeps the logo that it went with.
"""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path

from sqlalchemy.orm import Session

from newsletter import pictures
from newsletter.config import Publication
from newsletter.folder import Folder
from newsletter.pictures import Prepared

PORTRAIT = 96
"""CSS pixels: the width of a portrait."""


def logo(folder: Folder, publication: Publication) -> Prepared | None:
    """The logo as readers get it; None where there is none. PictureMistake for a file that isn't a picture."""
    theme = publication.theme
    return _prepared(folder.path / theme.logo, theme.logo_width) if theme.logo else None


def portrait(folder: Folder, publication: Publication) -> Prepared | None:
    """The portrait, likewise."""
    theme = publication.theme
    return _prepared(folder.path / theme.portrait, PORTRAIT) if theme.portrait else None


def keep(session: Session, folder: Folder, publication: Publication, now: dt.datetime) -> None:
    """Both in the store, with what it takes for readers to get them. PictureMistake, also where it can't be written."""
    for made in (logo(folder, publication), portrait(folder, publication)):
        if made is not None:
            pictures.keep(session, folder.pictures, made, now)


def _prepared(path: Path, width: int) -> Prepared:
    return _made(pictures.contents(path), width, path)


# The same few, asked for with every look at an issue; to make one takes a twentieth of a second.
@functools.lru_cache(maxsize=8)
def _made(raw: bytes, width: int, path: Path) -> Prepared:
    return pictures.prepare(raw, width=width, where=path)
