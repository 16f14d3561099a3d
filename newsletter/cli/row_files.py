"""A file of rows that is taken in: its options, its progress, the rows refused, and what is told of it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO, TypeVar

import click
from rich.console import Console
from rich.text import Text

from newsletter.cli.common import at_option, json_option, plural, table
from newsletter.errors import ImportMistake

if TYPE_CHECKING:
    from newsletter.spreadsheets import Writer
    from newsletter.subscriber_import import Refused

Command = TypeVar("Command", bound=Callable[..., Any])
Outcome = TypeVar("Outcome", bound=Enum)
MOST_REASONS = 12
"""Told under an outcome; a file may be wrong in a thousand ways."""


class Report(Protocol):
    """What every report of an import tells about its file."""

    rows: int
    encoding: str
    separator: str


def file_options(command: Command) -> Command:
    """The argument and the options that every import has."""
    for option in (
        at_option,
        json_option,
        click.option("--encoding", metavar="NAME", help="Where it is not found rightly, such as cp932."),
        click.option(
            "--refused",
            "refused_path",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Where refused rows go.  [default: NAME-refused.csv here]",
        ),
        click.option("--dry-run", is_flag=True, help="Do all of it, report, and undo it."),
    ):
        command = option(command)
    return command


file_argument = click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
"""The file to take in; - is standard input."""


def named(file: Path) -> tuple[Path | None, str]:
    """The file, None for standard input, and what it is called."""
    source = None if str(file) == "-" else file
    return source, source.name if source else "standard input"


@contextlib.contextmanager
def progress_of(size: int, name: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, told the octets read so far; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(name, total=size)
        yield lambda position: bar.update(task, completed=position)


def print_file(out: Console, report: Report, name: str) -> str:
    """The first line: what was read, and how; answers the encoding as people call it."""
    from newsletter.spreadsheets import SEPARATORS

    codec = {"utf-8-sig": "UTF-8"}.get(report.encoding, report.encoding.upper())
    out.print(f"{name}: {plural(report.rows, 'row')}, {codec}, separated by {SEPARATORS[report.separator]}")
    return codec


def print_outcomes(
    out: Console,
    outcomes: Mapping[Outcome, int],
    refused: Outcome,
    details: Mapping[Outcome, Mapping[str, int]],
    order: Iterable[Outcome],
) -> None:
    """What became of the rows; under an outcome its reasons, the commonest first."""
    told = table("Rows>", "", "")
    for outcome in order:
        if count := outcomes[outcome]:
            told.add_row(f"{count:,}", Text(outcome.value, "red" if outcome is refused else ""), "")
            reasons = sorted(details.get(outcome, {}).items(), key=lambda each: -each[1])
            for reason, number in reasons[:MOST_REASONS]:
                told.add_row("", Text(f"{number:,}  {reason}", "bright_black"), "")
    out.print()
    out.print(told)
    out.print()


def print_end(out: Console, path: Path | None, dry_run: bool) -> None:
    """The last lines: where the refused rows are, and whether it counts."""
    if path:
        out.print(Text.assemble("Refused rows, with line and reason: ", (str(path), "blue")))
    out.print("Dry run: all of it was undone." if dry_run else "Done.")


class RefusedRows:
    """Written beside its final name and given that name by `keep`: an import that fails leaves no file.

    Made only once a row is refused; `path` is None until then. Without a wish it is NAME-refused.csv in the
    current folder, or NAME-refused-2.csv and so on, since somebody may be at work on an earlier one.
    """

    def __init__(self, source: Path | None, wanted: Path | None) -> None:
        self.path: Path | None = None
        self._source, self._wanted = source, wanted
        self._out: TextIO | None = None
        self._write: Writer | None = None

    def __enter__(self) -> Self:
        if self._wanted and self._source and self._wanted.absolute() == self._source.absolute():
            raise ImportMistake("refused rows can't go into the file that they come from", where=self._wanted)
        return self

    def take(self, refused: Refused, header: Sequence[str]) -> None:
        """Writes down one refused row."""
        if self._write is None:
            self.path = self._wanted or self._free()
            try:
                # Addresses are nobody else's business on this machine.
                handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            except OSError as error:
                raise ImportMistake(
                    f"refused rows can't be written here: {error.strerror}",
                    where=self.path,
                    remedy="Say where they may go: --refused FILE.",
                ) from None
            from newsletter.spreadsheets import Writer

            self._out = open(handle, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed in __exit__
            self._write = Writer(self._out)
            self._write.row(["line", "reason", *header])
        self._write.row([str(refused.line), refused.reason, *refused.cells])

    def keep(self) -> None:
        """Gives the file its name; done once the import is."""
        if self._out and self.path:
            self._out.close()
            self._part.replace(self.path)
            self._out = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out:
            self._out.close()
            self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        assert self.path
        return self.path.with_name(self.path.name + ".part")

    def _free(self) -> Path:
        stem = f"{self._source.stem if self._source else 'subscribers'}-refused"
        number = 1
        while (path := Path(f"{stem}{f'-{number}' if number > 1 else ''}.csv")).exists():
            number += 1
        return path
