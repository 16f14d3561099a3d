"""A new publication's folder, copied from the sample that comes with the program."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

from newsletter import database, lists
from newsletter.errors import ConfigMistake
from newsletter.folder import Folder, included, open_folder

PARTS = ("config.toml", "templates", "lists")


def make(path: Path, now: dt.datetime) -> Folder:
    """Makes a folder that works at once: config, templates, lists, and a database with its tables.

    ConfigMistake if there is something in the folder already; nothing is ever written over.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigMistake(
            "there is something here already", where=path, remedy="Name a folder that is empty or doesn't exist yet."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = included() / part
            if source.is_dir():
                shutil.copytree(source, path / part, ignore=shutil.ignore_patterns(".*", "__pycache__"))
            else:
                shutil.copy(source, path / part)
    except OSError as error:
        raise ConfigMistake(f"the folder can't be made: {error.strerror}", where=path) from None
    folder = open_folder(path, checked=False)
    database.upgrade(folder.engine)
    with folder.session() as session:
        lists.apply(session, lists.plan(session, folder), now)
    return folder
