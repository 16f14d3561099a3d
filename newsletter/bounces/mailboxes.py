"""Mailboxes that bounces are delivered to: a Maildir here, an IMAP folder elsewhere. A look takes in what is there.

A message is taken out of the mailbox only after what was made of it is on disk, so a look that is cut short at any
moment loses nothing; what it has taken in and not taken out comes again and counts once. A mailbox must be there for
bounces alone: everything in it is taken in.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from newsletter.bounces import acting
from newsletter.errors import ReturnMistake
from newsletter.folder import Folder

AT_A_LOOK = 1000
"""Messages that one look takes in at the most; the rest waits for the next."""


def maildir(folder: Folder) -> Path:
    """The Maildir of config.toml."""
    return folder.path / folder.config.returns.maildir


def waiting(folder: Folder) -> list[Path]:
    """The messages in the Maildir, in the order of their names, which begin with their time. ReturnMistake if there
    is no Maildir.
    """
    place = maildir(folder)
    found: list[Path] = []
    try:
        for part in ("new", "cur"):
            with os.scandir(place / part) as entries:
                found += [Path(entry.path) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise ReturnMistake(
            f"the Maildir can't be read: {error.strerror}",
            where=place,
            remedy="Check `returns.maildir` in config.toml; a Maildir has the folders new, cur and tmp.",
        ) from None
    return sorted(found, key=lambda path: path.name)


def look_into_maildir(
    folder: Folder,
    clock: Callable[[], dt.datetime],
    *,
    most: int = AT_A_LOOK,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[int], None] = lambda _: None,
) -> int:
    """Takes in what lies in the Maildir; answers how many messages. `told` hears of each.

    One that vanishes meanwhile was somebody else's to move. ReturnMistake where the Maildir can't be read, a message
    can't be taken out, or nothing can be written down; the others stay where they are.
    """
    count = 0
    for path in waiting(folder)[:most]:
        if stop():
            break
        with _opened(path) as raw:
            if raw is None:
                continue
            acting.take(folder, raw, "maildir", "", clock())
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ReturnMistake(
                f"a message can't be taken out of the Maildir: {error.strerror}",
                where=path,
                remedy="It counts once all the same. Let this user write there.",
            ) from None
        count += 1
        told(1)
    return count


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[bytes | None]:
    """The beginning of a message, as much as is read; None where it is gone, or is no file."""
    try:
        # Not to wait for a pipe that somebody put there, and not to follow a link to where we alone may read.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        yield None
        return
    with open(handle, "rb") as file:
        yield file.read(acting.LARGEST)
