"""A file that is there whole or not at all, and never in the place of another."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from newsletter.errors import Mistake


@contextmanager
def new_file(path: Path, mistake: type[Mistake]) -> Iterator[Path]:
    """An empty file beside `path`, to be written to; it gets its name at the end, or is gone if anything is raised.

    For nobody else's eyes on this machine: addresses are in it. The mistake says what stands in the way.
    """
    part = path.with_name(path.name + ".part")
    taken = mistake("there is such a file already", where=path, remedy="Nothing was written; name another.")
    if path.exists() or path.is_symlink():
        raise taken
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise mistake(f"it can't be written: {error.strerror}", where=path) from None
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        _give_name(part, path)
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise mistake(f"it can't be written: {error.strerror}", where=path) from None
    finally:
        part.unlink(missing_ok=True)


def _give_name(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if path.exists():
            raise FileExistsError from None
        part.rename(path)


@contextmanager
def text_out(path: Path | None, mistake: type[Mistake]) -> Iterator[TextIO]:
    """A text to be written in UTF-8: to a new file, or to standard output where `path` is None."""
    if path is not None:
        with new_file(path, mistake) as part, part.open("w", encoding="utf-8", newline="") as out:
            yield out
        return
    out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield out
    finally:
        out.flush()
        out.detach()
