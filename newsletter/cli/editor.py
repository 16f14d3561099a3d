"""A text in $EDITOR, offered again until it is right, and never lost."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from newsletter.errors import DraftMistake, Mistake

_NOTE = "# ✗ ".encode()
"""What the line begins with that tells of a mistake; left out again when the text is read."""


def must_have_editor(instead: str) -> None:
    """DraftMistake where there is nothing to write in; `instead` says what to do then."""
    if not sys.stdin.isatty() and not (os.environ.get("VISUAL") or os.environ.get("EDITOR")):
        raise DraftMistake("there is no terminal to write in, and no $EDITOR", remedy=instead)


def edited(folder: Path, text: bytes, take: Callable[[bytes], None]) -> bool:
    """Offers a text in the editor until it is taken; False where it was left as it was.

    It lies in a file of its own all the while, and whatever happens, what was written is not lost with it.
    """
    handle, name = tempfile.mkstemp(prefix="story-", suffix=".md", dir=folder)
    os.close(handle)
    file = Path(name)
    file.write_bytes(text)
    try:
        while True:
            offered = file.read_bytes()
            click.edit(filename=name)
            if file.read_bytes() == offered:
                if offered == text:
                    return False
                raise DraftMistake("the story was left with a mistake in it, and nothing was done")
            written = _without_note(file.read_bytes())
            try:
                take(written)
            except Mistake as mistake:
                file.write_bytes(_with_note(written, mistake))
                click.echo(str(mistake), err=True)
                if not click.confirm("Go on writing?", default=True, err=True):
                    raise
            else:
                file.unlink()
                return True
    finally:
        if file.is_file():
            if file.read_bytes() == text:
                file.unlink()
            else:
                click.echo(f"Your text is in {file}.", err=True)


def _with_note(written: bytes, mistake: Mistake) -> bytes:
    """The text with the mistake as a note in its front matter, or over it where there is none."""
    fence, newline, rest = written.partition(b"\n")
    within = fence.strip() == b"---" and newline
    if mistake.line is not None and (mistake.line > 1 or not within):
        mistake.line += 1
    place = f"line {mistake.line}: " if mistake.line else ""
    words = " ".join(f"{place}{mistake.what}. {mistake.remedy or ''}".split())
    note = _NOTE + words.encode("utf-8", "replace") + b"\n"
    return fence + b"\n" + note + rest if within else note + written


def _without_note(text: bytes) -> bytes:
    lines = text.split(b"\n")
    return b"\n".join(line for row, line in enumerate(lines) if row > 1 or not line.startswith(_NOTE))
