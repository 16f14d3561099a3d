"""The pictures that a publication's theme names: its logo, and the portrait of who writes.

They go the way of all pictures: made what a mail needs, named by their content, kept in the store. So a mail that has
gone keeps the logo that it went with.
"""

from __future__ import annotations

import datetime as dt
import functools
import io
from pathlib import Path

from PIL import Image
from sqlalchemy.orm import Session

from newsletter import pictures
from newsletter.config import Publication
from newsletter.folder import Folder
from newsletter.pictures import Prepared

PORTRAIT = 96
"""CSS pixels: the width and the height of a portrait."""


def logo(folder: Folder, publication: Publication) -> Prepared | None:
    """The logo as readers get it; None where there is none. PictureMistake for a file that isn't a picture."""
    theme = publication.theme
    return _prepared(folder.path / theme.logo, theme.logo_width) if theme.logo else None


def portrait(folder: Folder, publication: Publication) -> Prepared | None:
    """The portrait, likewise; of one that isn't square the middle, and of a high one rather the upper part."""
    theme = publication.theme
    return _prepared(folder.path / theme.portrait, PORTRAIT, square=True) if theme.portrait else None


def keep(session: Session, folder: Folder, publication: Publication, now: dt.datetime) -> None:
    """Both in the store, with what it takes for readers to get them. PictureMistake, also where it can't be written."""
    for made in (logo(folder, publication), portrait(folder, publication)):
        if made is not None:
            pictures.keep(session, folder.pictures, made, now)


def _prepared(path: Path, width: int, *, square: bool = False) -> Prepared:
    return _made(pictures.contents(path), width, path, square)


# The same few, asked for with every look at an issue; to make one takes a twentieth of a second.
@functools.lru_cache(maxsize=8)
def _made(raw: bytes, width: int, path: Path, square: bool) -> Prepared:
    if not square:
        return pictures.prepare(raw, width=width, where=path)
    whole = pictures.prepare(raw, width=4 * width, where=path)
    return pictures.prepare(_squared(whole.content), width=width, where=path)


def _squared(content: bytes) -> bytes:
    """A prepared picture without what makes it longer one way than the other."""
    with Image.open(io.BytesIO(content)) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 4
        out = io.BytesIO()
        image.crop((left, top, left + side, top + side)).save(out, "PNG")
    return out.getvalue()
