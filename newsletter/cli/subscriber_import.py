"""newsletter subscriber import: a file of subscribers, and what became of its rows."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli.common import console, here, listed, plural, print_json
from newsletter.cli.row_files import (
    RefusedRows,
    file_argument,
    file_options,
    named,
    print_end,
    print_file,
    print_outcomes,
    progress_of,
)

if TYPE_CHECKING:
    from newsletter.subscriber_import import Report


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
@file_argument
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
@file_options
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
    source, name = named(file)
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
    from newsletter.subscriber_import import Outcome

    out = console()
    codec = print_file(out, report, name)
    if codec == "WINDOWS-1252":
        out.print("It isn't UTF-8, so Windows-1252 was taken; if names look wrong, say --encoding.", style="yellow")
    if report.headerless:
        out.print("It has no header; only the addresses were taken.", style="yellow")
    if report.left_out:
        shown = listed(report.left_out[:12]) + (" and others" if len(report.left_out) > 12 else "")
        out.print(f"Left out, since no attribute is called so: {shown}", style="bright_black")
    print_outcomes(out, report.outcomes, Outcome.refused, {Outcome.refused: report.reasons}, Outcome)
    if report.partly:
        out.print(f"{plural(report.partly, 'row')} not taken in for a list that their owner left.")
    if report.skipped:
        out.print(f"{plural(report.skipped, 'delivery', 'deliveries')} that still waited called off.")
    print_end(out, path, dry_run)
