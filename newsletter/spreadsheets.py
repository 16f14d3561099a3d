"""Tables as spreadsheets and other programs write them to text files, read and written safely.

Reading: whatever encoding and separator are found are said, not guessed in silence. Writing: no cell can be
taken for a formula (OWASP, "CSV injection"), and reading takes off again what writing put before it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from newsletter.errors import ImportMistake

_HEAD = 65536
"""Octets that are looked at to find out what a file is."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_GUARDED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")
_SEP = re.compile(r"\ufeff?\"?sep=([,;\t|])\"?", re.IGNORECASE)
"""How Excel says which separator a file has, in a line before the header."""
_NOT_TEXT = {
    b"PK\x03\x04": "a spreadsheet (.xlsx, .ods) or another zip file",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old (.xls)",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip file",
    b"{\\rtf": "a text with formatting (.rtf)",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: one that looks like it gets an apostrophe first."""
    return "'" + cell if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that was guarded."""
    return cell[1:] if cell[:1] == "'" and _GUARDED.match(cell) else cell


class Writer:
    """Writes rows of cells, guarded, as CSV: commas, CR LF (RFC 4180), a BOM so that Excel reads UTF-8."""

    def __init__(self, out: TextIO) -> None:
        out.write("\ufeff")
        self._write = csv.writer(out).writerow

    def row(self, cells: Sequence[str]) -> None:
        self._write([guarded(cell) for cell in cells])


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file."""

    line: int
    """Where it begins; a cell may hold line breaks."""
    cells: list[str]


class Table:
    """A file of rows, opened. Its first row is the header, unless it holds none."""

    def __init__(self, raw: BinaryIO, name: str, size: int, text: io.TextIOWrapper) -> None:
        self.name = name
        self.size = size
        """In octets."""
        self.encoding = text.encoding
        self.separator = ","
        self.header: list[str] = []
        self._raw = raw
        self._text = text
        self._quotes = 0

    @property
    def position(self) -> int:
        """Octets read so far."""
        return self._raw.tell()

    def records(self) -> Iterator[Record]:
        """The rows, empty ones left out. ImportMistake where a quotation mark is never closed."""
        reader = csv.reader(self._lines(), delimiter=self.separator)
        while True:
            line = reader.line_num + 1
            self._quotes = 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                raise self._unclosed(line) from None
            if reader.line_num > line and self._quotes % 2:
                raise self._unclosed(line)
            if line == 1 and _SEP.fullmatch(self.separator.join(cells)):
                continue
            if any(cell and not cell.isspace() for cell in cells):
                yield Record(line, cells)

    def _lines(self) -> Iterator[str]:
        for text in self._text:
            self._quotes += text.count('"')
            yield text

    def _unclosed(self, line: int) -> ImportMistake:
        return ImportMistake(
            "a quotation mark opens here and isn't closed where it should be",
            where=self.name,
            line=line,
            remedy="Mend the row; a quotation mark within a cell is written twice.",
        )


@contextmanager
def opened(path: Path | None, score: Callable[[Sequence[str]], int], encoding: str | None = None) -> Iterator[Table]:
    """A file of rows at `path`, or standard input where that is None.

    `score` says how well a header is understood; the separator that gives the best one is taken. Standard
    input is put into a temporary file first, since its encoding shows only when all of it has been seen.
    ImportMistake says what was found instead of a table.
    """
    name = str(path) if path else "standard input"
    with _bytes(path, name) as raw:
        size = raw.seek(0, io.SEEK_END)
        raw.seek(0)
        head = raw.read(_HEAD)
        if not head.strip(b"\xef\xbb\xbf \t\r\n\0"):
            raise ImportMistake("there is nothing in it", where=name)
        for magic, what in _NOT_TEXT.items():
            if head.lstrip()[: len(magic)].lower() == magic.lower():
                raise ImportMistake(
                    f"this is {what}, not a table as text",
                    where=name,
                    remedy="Open it in the program it belongs to and save it as CSV.",
                )
        found = _encoding(raw, head, name, encoding)
        sample = codecs.getincrementaldecoder(found)(errors="replace").decode(head)
        raw.seek(0)
        with io.TextIOWrapper(raw, encoding=found, newline="") as text:
            table = Table(raw, name, size, text)
            table.separator = _separator(sample, score)
            yield table


def _bytes(path: Path | None, name: str) -> BinaryIO:
    if path is None:
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked closes it
        shutil.copyfileobj(sys.stdin.buffer, spool)
        return spool
    try:
        return path.open("rb")
    except OSError as error:
        raise ImportMistake(f"it can't be read: {error.strerror}", where=name) from None


def _encoding(raw: BinaryIO, head: bytes, name: str, wanted: str | None) -> str:
    """The codec of a file, proved on all of it."""
    if wanted:
        tries = [wanted]
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        tries = ["utf-16"]
    elif b"\0" in head:
        # UTF-16 without a mark: letters of ASCII have a zero on one side.
        tries = ["utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"]
        if head.count(0) * 5 < len(head):
            raise ImportMistake("this is no text: there are zero octets in it", where=name, remedy=_SAVE)
    else:
        tries = ["utf-8-sig", "windows-1252"]
    for codec in tries:
        try:
            decoder = codecs.getincrementaldecoder(codec)()
            raw.seek(0)
            while block := raw.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        except LookupError:
            remedy = "Name one such as utf-8 or cp932."
            raise ImportMistake(f'"{wanted}" is not an encoding', remedy=remedy) from None
        return codec
    raise ImportMistake(
        f"its letters are not {wanted or 'UTF-8, UTF-16 or Windows-1252'}",
        where=name,
        remedy=_SAVE,
    )


_SAVE = "Save it as CSV in UTF-8, or say its encoding: --encoding cp932."


def _separator(sample: str, score: Callable[[Sequence[str]], int]) -> str:
    lines = sample.splitlines(keepends=True)
    if lines and (told := _SEP.fullmatch(lines[0].rstrip("\r\n"))):
        return told[1]
    first = "".join(lines[:50]).lstrip("\ufeff\r\n ")

    def rank(separator: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader(io.StringIO(first, newline=""), delimiter=separator), [])
        except csv.Error:
            return (0, 0)
        return (score(cells), len(cells))

    return max(SEPARATORS, key=rank)
