"""newsletter subscriber import: a file of subscribers, and what became of its rows."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

import click
from rich.text import Text

from newsletter.cli.common import at_option, console, here, json_option, listed, plural, print_json, table
from newsletter.errors import ImportMistake

if TYPE_CHECKING:
    from newsletter.spreadsheets import Writer
    from newsletter.subscriber_import import Refused, Report


def pairs(given: tuple[str, ...], example: str) -> dict[str, str]:
    """NAME=TEXT options as a dictionary; `example` is for the mistake."""
    found = {}
    for text in given:
        left, sign, right = text.rpartition("=")
        if not sign or not left.strip():
            raise click.BadParameter(f'"{text}" has no name before a =. Write {example}.')
        found[left.strip()] = right.strip()
    return found


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--list", "-l", "slugs", multiple=True, required=True, metavar="SLUG", help="A list; may be repeated.")
@click.option(
    "--state",
    "wanted",
    type=click.Choice(["active", "pending"]),
    default="active",
    show_default=True,
    help="For rows that don't say. With active you say that those people agreed.",
)
@click.option(
    "--map", "maps", multiple=True, metavar="COLUMN=ATTRIBUTE", help='A column for an attribute; "COLUMN=" for nothing.'
)
@click.option("--update", is_flag=True, help="The file's names and attributes replace ours.")
@click.option("--dry-run", is_flag=True, help="Do all of it, report, and undo it.")
@click.option(
    "--refused",
    "refused_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where refused rows go.  [default: NAME-refused.csv here]",
)
@click.option("--encoding", metavar="NAME", help="Where it is not found rightly, such as cp932.")
@json_option
@at_option
def import_(
    file: Path,
    slugs: tuple[str, ...],
    wanted: str,
    maps: tuple[str, ...],
    update: bool,
    dry_run: bool,
    refused_path: Path | None,
    encoding: str | None,
    as_json: bool,
    now: dt.datetime,
) -> None:
    """Take in a file of subscribers; - is standard input.

    Exports of Mailchimp, Substack, Buttondown, listmonk and of this program are understood, and any table
    with a column called email. Nobody who left, is suppressed or erased is brought back. It is one
    transaction: an import that is stopped leaves nothing.

    \b
    newsletter subscriber import people.csv --list alliance-digest --dry-run
    newsletter subscriber import members.csv -l alliance-digest --map "Town=city" --update
    newsletter subscriber import - -l alliance-digest --state pending < people.csv
    """
    from newsletter.spreadsheets import opened
    from newsletter.states import SubscriptionState
    from newsletter.subscriber_columns import score
    from newsletter.subscriber_import import import_subscribers

    folder = here()
    source = None if str(file) == "-" else file
    name = source.name if source else "standard input"
    with RefusedRows(source, refused_path) as refused, opened(source, score, encoding) as rows:
        with progress_of(rows.size, name) as progress, folder.session() as session:
            report = import_subscribers(
                session,
                folder.config,
                rows,
                lists=slugs,
                now=now,
                why=f"import {name}",
                refuse=refused.take,
                state=SubscriptionState(wanted),
                update_known=update,
                maps=pairs(maps, "Town=city"),
                progress=progress,
            )
            if dry_run:
                session.rollback()
        refused.keep()
    if as_json:
        print_json(_plain_report(report, refused.path, dry_run))
    else:
        _print_report(report, refused.path, name, dry_run)


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


def _plain_report(report: Report, path: Path | None, dry_run: bool) -> dict[str, object]:
    from newsletter.subscriber_import import Outcome

    return {
        "dry_run": dry_run,
        "rows": report.rows,
        "outcomes": {outcome.name: report.outcomes[outcome] for outcome in Outcome},
        "refused": dict(report.reasons),
        "refused_file": path,
        "partly": report.partly,
        "deliveries_skipped": report.skipped,
        "columns_left_out": report.left_out,
        "encoding": report.encoding,
        "separator": report.separator,
        "header": not report.headerless,
    }


def _print_report(report: Report, path: Path | None, name: str, dry_run: bool) -> None:
    from newsletter.spreadsheets import SEPARATORS
    from newsletter.subscriber_import import Outcome

    out = console()
    codec = {"utf-8-sig": "UTF-8"}.get(report.encoding, report.encoding.upper())
    out.print(f"{name}: {plural(report.rows, 'row')}, {codec}, separated by {SEPARATORS[report.separator]}")
    if codec == "WINDOWS-1252":
        out.print("It isn't UTF-8, so Windows-1252 was taken; if names look wrong, say --encoding.", style="yellow")
    if report.headerless:
        out.print("It has no header; only the addresses were taken.", style="yellow")
    if report.left_out:
        shown = listed(report.left_out[:12]) + (" and others" if len(report.left_out) > 12 else "")
        out.print(f"Left out, since no attribute is called so: {shown}", style="bright_black")
    out.print()
    told = table("Rows>", "", "")
    for outcome in Outcome:
        if count := report.outcomes[outcome]:
            told.add_row(f"{count:,}", Text(outcome.value, "red" if outcome is Outcome.refused else ""), "")
            if outcome is Outcome.refused:
                for reason, number in report.reasons.most_common(12):
                    told.add_row("", Text(f"{number:,}  {reason}", "bright_black"), "")
    out.print(told)
    out.print()
    if report.partly:
        out.print(f"{plural(report.partly, 'row')} not taken in for a list that their owner left.")
    if report.skipped:
        out.print(f"{plural(report.skipped, 'delivery', 'deliveries')} that still waited called off.")
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
