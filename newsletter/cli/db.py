"""newsletter db: the database brought up to date, checked, copied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli.common import emit, json_option, place

if TYPE_CHECKING:
    from rich.console import Console

    from newsletter.folder import Folder


@click.group()
def db() -> None:
    """The database: what newsletter.db, or the PostgreSQL behind it, needs from time to time.

    \b
    newsletter db upgrade                   after installing a newer newsletter
    newsletter db check
    newsletter db backup digest-backup.db   while sending goes on
    """


def _folder() -> Folder:
    from newsletter.folder import open_folder

    return open_folder(place(), checked=False)


@db.command()
def upgrade() -> None:
    """Make the tables, or bring them up to this program's version.

    \b
    newsletter db upgrade
    """
    from newsletter import database

    folder = _folder()
    before, after = database.upgrade(folder.engine)
    folder.engine.dispose()
    if before == after:
        click.echo(f"The database is of version {after} already.")
    else:
        click.echo(f"The tables are made: version {after}." if before is None else f"From version {before} to {after}.")


@db.command()
@json_option
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Is the database whole, of the right version, and does every audience add up? Exit code 1 if not.

    \b
    newsletter db check
    """
    from newsletter import database_check

    folder = _folder()
    findings = database_check.check(folder)
    folder.engine.dispose()

    def shown(out: Console) -> None:
        from rich.text import Text

        for finding in findings:
            out.print(Text.assemble(("✓ ", "green") if finding.well else ("✗ ", "red"), finding.sentence))

    emit(as_json, [{"well": each.well, "sentence": each.sentence} for each in findings], shown)
    if not all(each.well for each in findings):
        context.exit(1)


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Copy an SQLite database, whole, while others go on writing to it.

    \b
    newsletter db backup /var/backups/digest.db
    """
    from newsletter import database_check

    folder = _folder()
    size = database_check.backup(folder, file)
    folder.engine.dispose()
    click.echo(f"Copied the database to {file}: {size / 1e6:,.1f} MB.")
