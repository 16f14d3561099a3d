"""What the archive's pages know between requests: the catalogue of each publication, and its index of words."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from sqlalchemy.orm import Session

from newsletter.archive import catalogue as catalogues
from newsletter.archive import search
from newsletter.archive.catalogue import Catalogue
from newsletter.archive.search import Index, Place
from newsletter.folder import Folder

MOST = 100
"""Answers that are kept: the pages that most people look at, 10 to 100 KB each."""


class Shelf:
    """One for all threads. Nothing is read again that hasn't changed."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._catalogues: dict[str, Catalogue] = {}
        self._indexes: dict[str, tuple[Index, Catalogue]] = {}
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[object, ...], tuple[object, bytes]] = OrderedDict()

    def catalogue(self, session: Session, slug: str) -> Catalogue:
        """What anyone may read of a publication, as it is now."""
        known = self._catalogues.get(slug)
        now = catalogues.catalogue(session, self._folder, slug, known)
        self._catalogues[slug] = now
        return now

    def index(self, session: Session, slug: str) -> Index:
        """The words of all its stories, as they are now."""
        with self._lock:
            return self._index(session, slug)

    def find(self, session: Session, slug: str, query: str) -> list[Place]:
        """What is found in that index, while nobody else adds to it."""
        with self._lock:
            return self._index(session, slug).find(query)

    def _index(self, session: Session, slug: str) -> Index:
        now = self.catalogue(session, slug)
        index, of = self._indexes.get(slug, (Index(), None))
        if of is not now:
            unknown = [entry.id for entry in now.entries if not index.knows(entry)]
            search.bring_up(index, now, dict(catalogues.texts(session, self._folder, unknown)))
            self._indexes[slug] = (index, now)
        return index

    def answer(self, key: tuple[object, ...], stamp: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        """What `make` makes, made once for as long as the stamp of what it is made from doesn't change."""
        known = self._answers.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        made = make()
        with self._lock:
            self._answers[key] = (stamp, made)
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)
        return made
