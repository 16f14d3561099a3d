"""newsletter init, newsletter demo: how it begins."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from newsletter.cli.common import at_option, console


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@at_option
def init(directory: Path, now: dt.datetime) -> None:
    """Make a new publication's folder, with the sample digest's settings, template and list in it.

    It works at once, and sends nothing: its relay is a folder, outbox/, until config.toml names a mail server.

    \b
    newsletter init digest
    cd digest
    newsletter draft add story.md
    """
    from newsletter import init as starting

    starting.make(directory, now).engine.dispose()
    click.echo(f"Made {directory}: config.toml, templates/, lists/ and newsletter.db.")
    click.echo("Next: set title, sender and cadence in config.toml, then: newsletter calendar")


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="The folder to make; an earlier demo in it is replaced.",
)
def demo(directory: Path) -> None:
    """The sample digest from drafts to inboxes, on this machine. Nothing leaves it.

    Makes a publication's folder, imports 60 made-up subscribers, queues six stories, rehearses the calendar up to the
    time of sending, and sends to a mail server of its own on loopback. Ends with an error unless every message
    arrived.

    \b
    newsletter demo
    newsletter demo --directory /tmp/digest
    """
    from newsletter.cli import demo as rehearsal

    rehearsal.run(directory, console())
