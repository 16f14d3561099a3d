"""newsletter db: the database made or brought up to date, checked, copied."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from newsletter.cli.common import (
    Moment,
    at_option,
    console,
    here,
    json_option,
    place,
    plural,
    print_json,
    yes_option,
)

if TYPE_CHECKING:
    from newsletter.folder import Folder


@click.group()
def db() -> None:
    """The database: what newsletter.db, or the PostgreSQL in its place, needs now and then.

    \b
    newsletter db upgrade                   after installing a newer newsletter
    newsletter db check                     is it whole, and does every audience add up?
    newsletter db backup digest-backup.db   a copy, while sending goes on
    newsletter db rotate-keys               new secrets for readers' links
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


@db.command("rotate-keys")
@click.option(
    "--forget-before",
    type=Moment(),
    metavar="TIME",
    help="Forget keys that were replaced before that: links that they signed lead nowhere any more.",
)
@yes_option
@at_option
def rotate_keys(forget_before: dt.datetime | None, yes: bool, now: dt.datetime) -> None:
    """Make new secrets for the links in mails, for return addresses and for forms.

    Links that were signed with the old ones go on working, for as long as the old ones are kept; so whoever kept an
    old mail can still leave by it. Only where a secret may have been seen by someone, forget the old ones too.

    \b
    newsletter db rotate-keys
    newsletter db rotate-keys --forget-before 2024-01-01
    """
    from newsletter import tokens

    if forget_before is not None and not yes:
        click.confirm("Links in mails from before then will lead nowhere, the ones to leave by too. Go on?", abort=True)
    with here().session() as session:
        tokens.keys(session, now)
        forgotten = 0
        if forget_before is None:
            tokens.rotate(session, now)
        else:
            forgotten = tokens.forget(session, forget_before)
    if forget_before is None:
        click.echo("New keys sign from now on; links that are out already go on working.")
    else:
        click.echo(f"{plural(forgotten, 'old key')} forgotten.")
