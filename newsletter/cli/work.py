"""newsletter run, newsletter work, newsletter web: the processes that keep it going."""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import click

from newsletter.cli.common import Moment, here
from newsletter.folder import Folder

at_option = click.option(
    "--at", type=Moment(), default=None, metavar="TIME", help="Begin as if it were that moment: to rehearse a calendar."
)


@click.command()
@click.option("--no-web", is_flag=True, help="Serve no pages; another process does: newsletter web.")
@at_option
def run(no_web: bool, at: dt.datetime | None) -> None:
    """Keep it all going: the scheduler, a sender and the pages, in this process, until it is told to stop.

    SIGTERM and Ctrl-C let the messages that are being given to a relay end, then stop; a second one stops at once, and
    is safe too: the few that were in the open are listed as uncertain at the next start.

    \b
    newsletter run
    newsletter -C /srv/digest run
    """
    from newsletter.bounces import intake
    from newsletter.scheduler import Bell
    from newsletter.web.serving import Serving

    _log()
    folder = here()
    clock = clock_from(at)
    bounces = intake.start(folder, clock, _say)
    bell = Bell(folder, clock, _say, bounces.look)
    pages = None if no_web else Serving(folder, clock, bell.wake)
    asked = stop_on_signals()
    _say(f"running {', '.join(each.title for each in folder.config.publications.values())} from {folder.path}")
    bell.start()
    if pages:
        pages.start()
        _say(f"pages on {pages.address}")
    if bounces.address:
        _say(f"bounces are listened for on {bounces.address}")
    try:
        send_for_ever(folder, clock, asked)
    finally:
        if pages:
            pages.stop()
        bounces.stop()
        bell.stop()
    _say("stopped")


@click.command()
@at_option
def web(at: dt.datetime | None) -> None:
    """Serve the pages, and nothing else: where newsletter run --no-web does the rest.

    A web server with a certificate stands in front of it; config.toml has the port, [web].

    \b
    newsletter web
    """
    from newsletter.web.serving import Serving

    _log()
    pages = Serving(here(), clock_from(at))
    asked = stop_on_signals()
    pages.start()
    _say(f"pages on {pages.address}")
    while not asked.wait(3600):
        pass
    pages.stop()
    _say("stopped")


@click.command()
@at_option
def work(at: dt.datetime | None) -> None:
    """Send what is due, and nothing else: a sender more, on this host or another with the same database.

    \b
    newsletter work
    """
    folder = here()
    asked = stop_on_signals()
    _say(f"sending for {folder.path}")
    send_for_ever(folder, clock_from(at), asked)
    _say("stopped")


def clock_from(at: dt.datetime | None) -> Callable[[], dt.datetime]:
    """The clock; or one that began to run at another moment."""
    if at is None:
        return lambda: dt.datetime.now(dt.UTC)
    began = time.monotonic()
    return lambda: at + dt.timedelta(seconds=time.monotonic() - began)


def send_for_ever(folder: Folder, clock: Callable[[], dt.datetime], asked: threading.Event) -> None:
    """Sends whatever becomes due until it is asked to stop; outlives a database that is away for a while."""
    from sqlalchemy.exc import DBAPIError

    from newsletter.sender import Progress, Sender

    said = ""

    def show(progress: Progress) -> None:
        nonlocal said
        if progress.trouble != said:
            said = progress.trouble
            _say(said or "the relay takes messages again")

    while not asked.is_set():
        try:
            progress = Sender(folder, clock, show=show).run(stop=asked.is_set, forever=True)
            if progress.counts:
                _say(", ".join(f"{count:,} {state}" for state, count in progress.counts.items()))
        except (DBAPIError, folder.engine.dialect.loaded_dbapi.Error) as error:
            # The ledger speaks with the driver itself, whose complaints nobody wraps.
            words = str(getattr(error, "orig", error)).splitlines() or [type(error).__name__]
            _say(f"the database can't be used: {words[0]}; tried again in 5 seconds")
            folder.engine.dispose()
            asked.wait(5)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; the second of them ends the process at once."""
    asked = threading.Event()

    def heard(number: int, frame: FrameType | None) -> None:
        del frame
        if asked.is_set():
            os._exit(128 + number)
        asked.set()
        _say("stopping, once the relay has answered for what is under way")

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, heard)
    return asked


def _log() -> None:
    """What the program notes of itself, in the same form as what it says."""
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%Y-%m-%d %H:%M:%S", level=logging.WARNING)
    logging.getLogger("newsletter").setLevel(logging.INFO)


def _say(sentence: str) -> None:
    click.echo(f"{dt.datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {sentence[:1].upper()}{sentence[1:]}")
