"""The files of an issue's folder: none of them leads out of it, none is too large."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from newsletter.errors import IssueMistake

LARGEST = 40_000_000
"""Bytes that a file may have."""
MOST = 400_000_000
"""Bytes that all of them may have."""


class Opened:
    """A folder that files are read from, each once."""

    def __init__(self, place: Path) -> None:
        """IssueMistake where there is no such folder, or none that can be read."""
        self.place = place
        try:
            there = place.is_dir()
        except OSError as error:
            raise IssueMistake(f"it can't be read: {error.strerror}", where=place) from None
        if not there:
            raise IssueMistake("there is no such folder", where=place)
        self._read: dict[str, bytes] = {}
        self._size = 0

    def has(self, name: str) -> bool:
        return os.path.lexists(self.place / name)

    def read(self, name: str, *, why: str = "") -> bytes:
        """A file by its path in the folder; `why` names who speaks of it.

        IssueMistake where it isn't there, isn't a file, is too large, or where a link leads to it or its path leads
        out of the folder.
        """
        if name in self._read:
            return self._read[name]
        path = self.place / name
        _check(name, path if not why else None, why)
        at = self.place
        try:
            for part in PurePosixPath(name).parts:
                at /= part
                if at.is_symlink():
                    what = "this is a link, and may lead elsewhere"
                    raise IssueMistake(what, where=at, remedy="Put the file itself there.")
            # Looked at again once it is open: what is at a path may change.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            said = f", which {why} names" if why else ""
            raise IssueMistake(f"there is no such file{said}", where=path) from None
        except OSError as error:
            raise IssueMistake(f"it can't be read: {error.strerror}", where=path) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise IssueMistake("this is not a file", where=path)
        with os.fdopen(descriptor, "rb") as file:
            try:
                content = file.read(LARGEST + 1)
            except OSError as error:
                raise IssueMistake(f"it can't be read: {error.strerror}", where=path) from None
        if len(content) > LARGEST:
            raise IssueMistake(f"this file has more than {LARGEST // 1_000_000} MB", where=path)
        self._size += len(content)
        if self._size > MOST:
            raise IssueMistake(f"the files of this folder have more than {MOST // 1_000_000} MB", where=self.place)
        self._read[name] = content
        return content

    def names(self, parts: Iterable[str]) -> list[str]:
        """The files in these folders within it, by their paths; what begins with a dot is left out."""
        found = []
        for part in parts:
            for folder, inner, names in os.walk(self.place / part):
                inner[:] = sorted(each for each in inner if not each.startswith("."))
                here = Path(folder).relative_to(self.place)
                found += [(here / each).as_posix() for each in sorted(names) if not each.startswith(".")]
        return found


def _check(name: str, where: Path | None, why: str) -> None:
    parts = PurePosixPath(name)
    if (
        not name
        or parts.is_absolute()
        or ".." in parts.parts
        or "\\" in name
        or re.search("[\0\ud800-\udfff]", name)
        or parts.as_posix() != name
        or len(name) > 500
    ):
        said = f"{why} names " if why else ""
        raise IssueMistake(
            f'{said}"{name[:80]}", which is no path within this folder',
            where=where,
            remedy="Write it as in stories/1-toyota.md.",
        )
