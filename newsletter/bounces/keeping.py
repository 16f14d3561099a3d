"""The folder of returned messages that a person has to look at: each a file of its own, and no more than fit.

Only whoever runs the program may read them: they hold addresses, and what people wrote.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Sequence
from email import message_from_bytes
from email.policy import compat32
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from newsletter.errors import ReturnMistake
from newsletter.folder import Folder
from newsletter.models import Return, Subscriber

MOST = 2000
"""Files; beyond that the oldest go. Their lines in the log stay."""
MOST_OCTETS = 256 * 1024 * 1024
"""Of all of them."""
_NAME = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{16}\.(eml|json)")


def place(folder: Folder) -> Path:
    """Where they lie."""
    return folder.path / folder.config.returns.keep


def keep(folder: Folder, raw: bytes, digest: str, now: dt.datetime, ending: str = "eml") -> str:
    """Writes a message down, whole, and on disk when this answers; the file's name. ReturnMistake if it can't be.

    The name is the day and the beginning of the digest, so that the same message on the same day is one file.
    """
    name = f"{now:%Y-%m-%d}-{digest[:16]}.{ending}"
    where = place(folder)
    beside = where / f".{name}.{os.getpid()}"
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(where, len(raw), name)
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(where / name)
        handle = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise ReturnMistake(
            f"a returned message can't be kept: {error.strerror}",
            where=where,
            remedy="Nothing was done with it. Check `returns.keep` in config.toml, and the room on the disk.",
        ) from None
    return name


def _make_room(where: Path, octets: int, but: str) -> None:
    files = sorted(each for each in where.iterdir() if _NAME.fullmatch(each.name) and each.name != but)
    sizes = {}
    for each in files:
        with contextlib.suppress(FileNotFoundError):
            sizes[each] = each.stat().st_size
    count, total = len(sizes) + 1, sum(sizes.values()) + octets
    for each, size in sizes.items():
        if count <= MOST and total <= MOST_OCTETS:
            return
        each.unlink(missing_ok=True)
        count, total = count - 1, total - size


def drop(folder: Folder, name: str) -> None:
    """Takes a kept message away; nothing where it is gone already."""
    if _NAME.fullmatch(name):
        (place(folder) / name).unlink(missing_ok=True)


def there(folder: Folder, name: str) -> Path | None:
    """The file of a kept message, if it is still there."""
    path = place(folder) / name
    return path if _NAME.fullmatch(name) and path.is_file() else None


def forget(session: Session, folder: Folder, subscriber: Subscriber, before: Sequence[str] = ()) -> int:
    """Takes away the kept messages of or about a person who is about to be erased; answers how many.

    To be called before erasure.clear, which knows no folder, and in the same transaction: afterwards nobody
    knows the address that they are found by. A message is theirs where the log says so, or where their address is
    in it, in the clear or encoded as MIME allows; or one of those that they had `before`.
    """
    theirs = (Return.subscriber_id == subscriber.id) | (Return.fingerprint == subscriber.fingerprint)
    names = set(session.scalars(select(Return.file).where(Return.file != "", theirs)))
    forms = [form.lower().encode() for form in {subscriber.address, subscriber.address_key, *before} if form]
    if forms and place(folder).is_dir():
        for path in place(folder).iterdir():
            if _NAME.fullmatch(path.name) and path.name not in names and _mentions(path, forms):
                names.add(path.name)
    for name in names:
        drop(folder, name)
    if names:
        session.execute(update(Return).where(Return.file.in_(names)).values(file="", words="(erased)"))
    return len(names)


def _mentions(path: Path, forms: list[bytes]) -> bool:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return False
    if any(form in raw.lower() for form in forms):
        return True
    try:
        parts = [part.get_payload(decode=True) for part in message_from_bytes(raw, policy=compat32).walk()]
    except Exception:  # noqa: BLE001 - what can't be read as a message was looked through as it is
        return False
    return any(form in part.lower() for part in parts if isinstance(part, bytes) for form in forms)
