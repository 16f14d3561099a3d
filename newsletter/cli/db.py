"""newsletter db: the database made or brought up to date, checked, copied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from newsletter.cli.common import console, json_option, place, print_json

if TYPE_CHECKING:
    from newsletter.folder import Folder


@click.group()
def db() -> None:
    """The database: what newsletter.db, or the PostgreSQL in its place, needs now and then.

    \b
    newsletter db upgrade                   after installing a newer newsletter
    newsletter db check                     is it whole, and does every audience add up?
    newsletter db backup digest-backup.db   a copy, while sending goes on
    """


def _there() -> Folder:
    """The folder, whatever is the matter with its database."""
    from newsletter.folder import open_folder

    folder = open_folder(place(), checked=False)
    click.get_current_context().call_on_close(folder.engine.dispose)
    return folder


@db.command()
def upgrade() -> None:
    """Make the tables, or bring them up to this program's version. Back up first.

    \b
    newsletter db upgrade
    """
    from newsletter import database

    before, after = database.upgrade(_there().engine)
    if before is None:
        click.echo(f"The tables are made, of version {after}.")
    elif before == after:
        click.echo(f"The tables are of version {after} already; nothing was changed.")
    else:
        click.echo(f"The tables were of version {before} and are of version {after} now.")


@db.command()
@json_option
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Is the database whole, of the right version, and does every issue's audience add up?

    Exit code 1 where something is wrong. Nothing is changed.

    \b
    newsletter db check
    newsletter db check --json
    """
    from newsletter import database_check
    from newsletter.cli.progress import progress

    findings, out = [], console()
    with progress("looking", None) as advance:
        for finding in database_check.check(_there()):
            findings.append(finding)
            advance(1)
    well = all(finding.well for finding in findings)
    if as_json:
        print_json({"well": well, "findings": findings})
    else:
        for finding in findings:
            mark = ("✓ ", "green") if finding.well else ("✗ ", "red")
            out.print(Text.assemble(mark, finding.sentence), soft_wrap=True)
    context.exit(0 if well else 1)


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Copy an SQLite database as it is at one moment, while others go on writing to it.

    FILE must not be there yet, and is there only once it is whole. The copy holds the secrets that sign readers'
    links. For PostgreSQL it says what to type instead.

    \b
    newsletter db backup /var/backups/digest.db
    """
    from newsletter import database_check
    from newsletter.cli.new_file import new_file
    from newsletter.cli.progress import progress
    from newsletter.errors import DatabaseMistake

    folder = _there()
    if database_check.file_of(folder.engine) is None:
        raise DatabaseMistake(
            "this database is PostgreSQL, which has a tool of its own",
            remedy=f"Type: {database_check.dump_command(folder.engine.url, file)}",
        )
    with new_file(file, DatabaseMistake) as part, progress("copying", 100) as advance:
        done = 0

        def show(share: float) -> None:
            nonlocal done
            advance(int(100 * share) - done)
            done = int(100 * share)

        version = database_check.copy(folder.engine, part, show)
    click.echo(f"{file} is a copy of the database, {file.stat().st_size / 1e6:,.1f} MB, of version {version}.")
    click.echo(f"To a whole backup belong config.toml, lists/, templates/ and {folder.config.pictures}/ too.")
