"""Renditions made beside the transaction that needs them, so that nobody waits for the database while they are.

A design may take half a minute before it is stopped. A step that runs `aside` and needs what isn't made yet is undone,
that is made with no transaction open, and the step runs again: what it then reads of the issue, its stories and its
number decides whether these are its renditions. Where the issue has changed meanwhile, they are made once more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from newsletter.errors import Mistake
from newsletter.folder import Folder
from newsletter.render import inline
from newsletter.render.edition import Edition
from newsletter.render.rendering import render
from newsletter.states import RenditionKind

T = TypeVar("T")
Maker = Callable[[Edition, Folder], Any]

TURNS = 8
"""How often a step is tried; for an issue that changes each time they are then made within the transaction."""

_READY = "renditions made aside"


def aside(folder: Folder, step: Callable[[Session], T]) -> T:
    """What `step` answers, which runs in a transaction of its own, and is told when that is committed.

    Whatever it renders may undo it, and it runs again from its beginning: it does nothing that can't be undone.
    """
    ready: list[tuple[Maker, Edition, Any]] = []
    for turn in range(TURNS):
        try:
            with folder.session() as session:
                if turn < TURNS - 1:
                    session.info[_READY] = ready
                return step(session)
        except _NotReady as wanted:
            ready.append((wanted.maker, wanted.edition, _outcome(wanted.maker, wanted.edition, folder)))
    raise AssertionError("the last try needs nothing ready")


def paper(session: Session, edition: Edition, folder: Folder) -> bytes:
    """The PDF of an edition; see `newsletter.render.pdf.make` for its Mistakes. Made aside, where the step runs so."""
    content: bytes = _made(session, _paper, edition, folder)
    return content


def others(session: Session, edition: Edition, folder: Folder) -> Mapping[RenditionKind, str]:
    """All renditions but the PDF; see `newsletter.render.render` for their Mistakes. Made aside, likewise."""
    found: Mapping[RenditionKind, str] = _made(session, _others, edition, folder)
    return found


def _paper(edition: Edition, folder: Folder) -> bytes:
    from newsletter.render import pdf

    # typst works in a process of its own; what the mail is made with is loaded meanwhile.
    threading.Thread(target=inline.load).start()
    return pdf.make(edition, folder)


def _others(edition: Edition, folder: Folder) -> Mapping[RenditionKind, str]:
    return render(edition, folder.templates)


def _made(session: Session, maker: Maker, edition: Edition, folder: Folder) -> Any:
    ready: list[tuple[Maker, Edition, Any]] | None = session.info.get(_READY)
    if ready is None:
        return maker(edition, folder)
    for made_by, of, outcome in ready:
        if made_by is maker and of == edition:
            if isinstance(outcome, Mistake):
                raise outcome.with_traceback(None)
            return outcome
    raise _NotReady(maker, edition)


def _outcome(maker: Maker, edition: Edition, folder: Folder) -> Any:
    try:
        return maker(edition, folder)
    except Mistake as mistake:
        return mistake


class _NotReady(Exception):  # noqa: N818 - it is no error
    """Undoes a step that needs what isn't made yet."""

    def __init__(self, maker: Maker, edition: Edition) -> None:
        self.maker = maker
        self.edition = edition
        super().__init__()
