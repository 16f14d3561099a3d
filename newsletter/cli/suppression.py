"""newsletter suppression ...: addresses never to be mailed again."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from newsletter.cli.common import at_option, console, here, json_option, plural, print_json, state, table
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
    from newsletter.models import Suppression
    from newsletter.suppression_files import Report

GIVEN = ("bounce", "complaint", "request")
"""The reasons that somebody at the desk may give; erasure is what subscriber erase leaves."""
ALL = (*GIVEN, "erasure")
MANY = "delivery", "deliveries"


@click.group()
def suppression() -> None:
    """Addresses that are never mailed, whoever has them and whatever lists they are on.

    Every path to sending asks here last. One that was erased is known by its fingerprint alone.

    \b
    newsletter suppression list --reason complaint
    newsletter suppression add jane@example.org --why "wrote to the editor"
    newsletter suppression import bounces.csv --dry-run
    """


@suppression.command("list")
@click.option("--reason", type=click.Choice(ALL), help="Only for this reason.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Only from this day on (UTC).")
@click.option("--search", "-s", metavar="WORD", help="Only with this in the address.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows in the table.")
@json_option
def list_all(reason: str | None, since: dt.datetime | None, search: str | None, limit: int, as_json: bool) -> None:
    """Suppressed addresses, oldest first.

    \b
    newsletter suppression list --since 2024-05-01
    newsletter suppression list --reason bounce --json
    """
    from newsletter import suppressions
    from newsletter.states import SuppressionReason

    with here().reading() as session:
        rows = suppressions.listing(
            session,
            reason=SuppressionReason(reason) if reason else None,
            since=since.replace(tzinfo=dt.UTC) if since else None,
            search=search,
        )
        if as_json:
            _print_array(rows)
            return
        shown, count = table("Address", "Reason", "Since", "Why"), 0
        for row in rows:
            count += 1
            if count <= limit:
                who = row.address or Text(f"erased, {row.fingerprint[:12]}…", "bright_black")
                shown.add_row(who, row.reason.value, f"{row.since:%Y-%m-%d}", row.why)
    out = console()
    if not count:
        out.print("No address is suppressed" + (" that matches that." if reason or since or search else "."))
        return
    out.print(shown)
    out.print()
    if count > limit:
        out.print(f"{limit:,} of {count:,}; --limit {count} shows all, suppression export writes them to a file.")
    else:
        out.print(plural(count, "address", "addresses"), style="bright_black")


def _plain(row: Suppression) -> dict[str, Any]:
    return {
        "address": row.address,
        "fingerprint": row.fingerprint,
        "reason": row.reason,
        "since": row.since,
        "why": row.why,
    }


def _print_array(rows: Iterator[Suppression]) -> None:
    import msgspec

    encoder = msgspec.json.Encoder()
    sys.stdout.write("[")
    for number, row in enumerate(rows):
        sys.stdout.write(("," if number else "") + "\n  " + encoder.encode(_plain(row)).decode())
    sys.stdout.write("\n]\n")


@suppression.command()
@click.argument("address")
@json_option
@at_option
def show(address: str, as_json: bool, now: dt.datetime) -> None:
    """Whether an address is suppressed, why and since when, and what happened to it.

    \b
    newsletter suppression show jane@example.org
    """
    from newsletter import suppressions

    with here().reading() as session:
        row = suppressions.of_address(session, address, now)
        past = suppressions.history(session, suppressions.fingerprint_of(session, address, now))
    if as_json:
        print_json(
            {
                "address": address,
                "suppressed": None if row is None else _plain(row),
                "history": [{"at": event.at, "what": event.what} for event in past],
            }
        )
        return
    out = console()
    out.print(Text(address, "bold"))
    if row is None:
        out.print("It isn't suppressed.")
    else:
        why = f": {row.why}" if row.why else ""
        out.print(
            Text.assemble(state("suppressed"), f" since {row.since:%Y-%m-%d}, {row.reason.value}{why}; never mailed")
        )
    if past:
        out.print()
        told = table("When (UTC)", "What")
        for event in past:
            told.add_row(f"{event.at:%Y-%m-%d %H:%M}", event.what)
        out.print(told)


@suppression.command()
@click.argument("address")
@click.option("--reason", type=click.Choice(GIVEN), default="request", show_default=True)
@click.option("--why", default="", help="Kept with it.")
@at_option
def add(address: str, reason: str, why: str, now: dt.datetime) -> None:
    """Never mail an address again, whoever has it and whatever lists they are on.

    \b
    newsletter suppression add jane@example.org --why "wrote to the editor"
    newsletter suppression add jane@example.org --reason complaint
    """
    from newsletter import suppressions
    from newsletter.states import SuppressionReason

    with here().session() as session:
        row, skipped = suppressions.add(session, address, SuppressionReason(reason), why, now)
    out = console()
    out.print(f"{address} is suppressed ({row.reason.value}) since {row.since:%Y-%m-%d} and never mailed.")
    if skipped:
        out.print(f"{plural(skipped, *MANY)} that still waited called off.")


@suppression.command()
@click.argument("address")
@click.option("--why", required=True, help="Who asked for mail again, and how; kept on record.")
@at_option
def remove(address: str, why: str, now: dt.datetime) -> None:
    """Lift a suppression. It subscribes nobody: whoever left a list stays out of it.

    \b
    newsletter suppression remove jane@example.org --why "her mailbox was full; she wrote on Nov 3"
    """
    from newsletter import suppressions

    with here().session() as session:
        row = suppressions.remove(session, address, why, now)
    console().print(f"{address} may be mailed again; it was suppressed since {row.since:%Y-%m-%d}.")


@suppression.command("import")
@file_argument
@click.option(
    "--reason", type=click.Choice(ALL), help="For rows that don't say.  [default: by the file's name, or request]"
)
@click.option("--why", help="Kept with rows that don't say.  [default: import FILE]")
@file_options
def import_(
    file: Path,
    reason: str | None,
    why: str | None,
    dry_run: bool,
    refused_path: Path | None,
    encoding: str | None,
    as_json: bool,
    now: dt.datetime,
) -> None:
    """Suppress the addresses in a file; - is standard input.

    Exports of Amazon SES, SendGrid, Mailgun, Postmark, Mailchimp, listmonk and of this program are understood, any
    table with a column called email, and bare addresses, one a line. Who is suppressed already stays so as they are.
    It is one transaction: an import that is stopped leaves nothing.

    \b
    newsletter suppression import bounces.csv --dry-run
    newsletter suppression import spam_reports.csv --reason complaint
    """
    from newsletter.spreadsheets import opened
    from newsletter.states import SuppressionReason
    from newsletter.suppression_columns import score
    from newsletter.suppression_files import import_suppressions

    folder = here()
    source, name = named(file)
    with RefusedRows(source, refused_path) as refused, opened(source, score, encoding) as rows:
        with progress_of(rows.size, name) as progress, folder.session() as session:
            report = import_suppressions(
                session,
                rows,
                now=now,
                why=why or f"import {name}",
                refuse=refused.take,
                reason=SuppressionReason(reason) if reason else None,
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
    from newsletter.suppression_files import Outcome

    return {
        "dry_run": dry_run,
        "rows": report.rows,
        "outcomes": {outcome.name: report.outcomes[outcome] for outcome in Outcome},
        "added": {reason.value: count for reason, count in report.added.items()},
        "refused": dict(report.refused),
        "refused_file": path,
        "reason_assumed": report.assumed,
        "dates_not_understood": report.undated,
        "subscribers": report.readers,
        "to_erase": report.to_erase,
        "deliveries_skipped": report.skipped,
        "encoding": report.encoding,
        "separator": report.separator,
        "header": not report.headerless,
    }


def _print_report(report: Report, path: Path | None, name: str, dry_run: bool) -> None:
    from newsletter.suppression_files import Outcome

    out = console()
    print_file(out, report, name)
    added = {each.value: number for each, number in report.added.items()}
    details = {Outcome.added: added, Outcome.refused: report.refused}
    print_outcomes(out, report.outcomes, Outcome.refused, details, Outcome)
    if report.assumed:
        out.print(f"{plural(report.assumed, 'row')} didn't say why; another reason can be given with --reason.")
    if report.undated:
        out.print(f"{plural(report.undated, 'date')} not understood; the moment of the import stands there.")
    if report.readers:
        out.print(f"{plural(report.readers, 'subscriber')} here among them.")
    if report.to_erase:
        out.print(
            f"{plural(report.to_erase, 'subscriber')} asked elsewhere to be erased, and what is kept of them here is"
            " still there: newsletter subscriber erase.",
            style="yellow",
        )
    if report.skipped:
        out.print(f"{plural(report.skipped, *MANY)} that still waited called off.")
    print_end(out, path, dry_run)


@suppression.command()
@click.option("--reason", type=click.Choice(ALL), help="Only for this reason.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Only from this day on (UTC).")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A file that isn't there yet.  [default: standard output]",
)
@at_option
def export(reason: str | None, since: dt.datetime | None, output: Path | None, now: dt.datetime) -> None:
    """Write suppressions as CSV.

    Of an erased address there is the fingerprint, which means something only to this database and its copies: import
    refuses it elsewhere. To take suppressions to another program, filter out the rows without an address.

    \b
    newsletter suppression export --output suppressions.csv
    newsletter suppression export --reason complaint --since 2024-05-01
    """
    from newsletter import suppressions
    from newsletter.cli.subscriber import exported_to
    from newsletter.states import SuppressionReason
    from newsletter.suppression_files import export_suppressions
    from newsletter.tokens import keys

    with here().reading() as session, exported_to(output) as out:
        # Made here where there is none yet, and then there is nobody yet whom it tells of either.
        known = keys(session, now)
        rows = suppressions.listing(
            session,
            reason=SuppressionReason(reason) if reason else None,
            since=since.replace(tzinfo=dt.UTC) if since else None,
        )
        count = export_suppressions(rows, known, out)
    if output:
        console().print(Text.assemble(f"{plural(count, 'address', 'addresses')} written to ", (str(output), "blue")))
