"""newsletter bounce ...: what came back."""

from __future__ import annotations

import datetime as dt
import sys

import click
from rich.text import Text

from newsletter.cli.common import Moment, at_option, console, here, json_option, plural, print_json, table
from newsletter.states import ReturnKind

TEMPFAIL = 75
"""EX_TEMPFAIL of sysexits.h: a mail server keeps the message and tries again."""
COLOURS = {
    ReturnKind.hard: "red",
    ReturnKind.complaint: "red",
    ReturnKind.soft: "yellow",
    ReturnKind.policy: "yellow",
    ReturnKind.unknown: "magenta",
    ReturnKind.forged: "magenta",
    ReturnKind.unsubscribe: "blue",
}
MEANINGS = {
    ReturnKind.hard: "the address doesn't exist",
    ReturnKind.soft: "it can't take mail now",
    ReturnKind.policy: "we were refused, not the reader",
    ReturnKind.delayed: "the server is still trying",
    ReturnKind.delivered: "a report of success",
    ReturnKind.complaint: "reported as spam",
    ReturnKind.unsubscribe: "asks to leave",
    ReturnKind.reply: "an automatic reply",
    ReturnKind.forged: "about no message of ours",
    ReturnKind.unknown: "for a person to look at",
}
kind_option = click.option(
    "--kind", "-k", type=click.Choice([each.value for each in ReturnKind]), help="Only of this kind."
)
since_option = click.option("--since", type=Moment(), metavar="TIME", help="Only what came from then on.")


@click.group()
def bounce() -> None:
    """What came back: bounces, complaints, mails that ask to leave; taken in, and what was made of them.

    \b
    newsletter bounce summary --since 2023-11-14
    newsletter bounce list --kind unknown
    newsletter bounce show 17
    """


@bounce.command()
@click.option("--recipient", default="", metavar="ADDRESS", help="To whom it came back: bounces+TOKEN@….")
@at_option
def read(recipient: str, now: dt.datetime) -> None:
    """Take one message in from standard input: for a mail server's pipe.

    Exit code 0 means that it is on disk; 75 that it couldn't be, and is to be tried again (EX_TEMPFAIL).

    \b
    newsletter bounce read < message.eml
    newsletter -C /srv/digest bounce read --recipient "$ORIGINAL_RECIPIENT"
    """
    from newsletter.bounces import acting
    from newsletter.errors import Mistake

    try:
        raw = sys.stdin.buffer.read(acting.LARGEST + 1)
        while sys.stdin.buffer.read(1 << 20):
            pass
        rows = acting.take(here(), raw, "stdin", recipient, now)
    except Mistake as mistake:
        click.echo(str(mistake), err=True)
        sys.exit(TEMPFAIL)
    except Exception:  # noqa: BLE001 - whatever it is, the mail server must not throw the message away
        import traceback

        traceback.print_exc(limit=-1)
        sys.exit(TEMPFAIL)
    for row in rows:
        click.echo(f"{row.kind.value}: {row.done}")


@bounce.command()
@click.option("--most", type=click.IntRange(1), default=100_000, show_default=True, help="Messages of each mailbox.")
@at_option
def fetch(most: int, now: dt.datetime) -> None:
    """Look once into the Maildir and the IMAP folder of config.toml, and take in what is there.

    \b
    newsletter bounce fetch
    """
    from newsletter.bounces import imap, mailboxes
    from newsletter.cli.progress import progress
    from newsletter.errors import ReturnMistake

    folder = here()
    settings = folder.config.returns
    if not settings.maildir and settings.imap is None:
        raise ReturnMistake(
            "there is no mailbox to look into",
            where=folder.path / "config.toml",
            remedy="Set returns.maildir, or [returns.imap].",
        )
    if settings.maildir:
        with progress("Maildir", min(most, len(mailboxes.waiting(folder)))) as told:
            count = mailboxes.look_into_maildir(folder, lambda: now, most=most, told=told)
        click.echo(f"{plural(count, 'message')} from {settings.maildir}.")
    if settings.imap is not None:
        with progress("IMAP", None) as told:
            count = imap.look_into_imap(folder, lambda: now, most=most, told=told)
        click.echo(f"{plural(count, 'message')} from {settings.imap.folder} at {settings.imap.host}.")


@bounce.command("list")
@kind_option
@since_option
@click.option("--kept", is_flag=True, help="Only those that lie in the folder for a person to look at.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows, the newest first.")
@json_option
def list_all(kind: str | None, since: dt.datetime | None, kept: bool, limit: int, as_json: bool) -> None:
    """The log of what came back, the newest first.

    \b
    newsletter bounce list --kind hard --since 2023-11-14
    newsletter bounce list --kept
    newsletter bounce list --kind unknown --json
    """
    from newsletter.bounces import returned

    with here().reading() as session:
        found = list(
            returned.listing(session, kind=ReturnKind(kind) if kind else None, since=since, kept=kept, limit=limit)
        )
    if as_json:
        print_json(found)
        return
    out = console()
    if not found:
        out.print("Nothing came back" + (" that matches that." if kind or since or kept else " yet."))
        return
    shown = table("No>", "When (UTC)", "Kind", "Address", "Status", ("What was made of it", {"ratio": 1}))
    for each in found:
        shown.add_row(
            str(each.id),
            f"{each.at:%m-%d %H:%M}",
            Text(each.kind.value, COLOURS.get(each.kind, "")),
            each.address,
            each.status,
            f"{each.done}\n{each.file}" if kept and each.file else each.done,
        )
    out.print(shown)
    out.print()
    out.print(plural(len(found), "row"), style="bright_black")


@bounce.command()
@click.argument("number", type=click.IntRange(1))
@json_option
def show(number: int, as_json: bool) -> None:
    """One line of the log, whole: what the other server said, what was made of it, and where the message lies.

    \b
    newsletter bounce show 17
    """
    from newsletter.bounces import keeping, returned

    folder = here()
    with folder.reading() as session:
        found = returned.one(session, number)
    if as_json:
        print_json(found)
        return
    lies = keeping.there(folder, found.file) if found.file else None
    lines: list[tuple[str, str]] = [
        ("kind", f"{found.kind.value}: {MEANINGS[found.kind]}"),
        ("came", f"{found.at:%Y-%m-%d %H:%M} UTC, by {found.source}"),
        ("address", found.address or "not known"),
        ("issue", found.issue or "not known"),
        ("status", found.status),
        ("said", found.words),
        ("done", found.done),
        ("message", str(lies) if lies else "no longer there" if found.file else "not kept"),
    ]
    # A path or a server's words may be longer than a line, and are wanted whole.
    shown = table("", ("", {"overflow": "fold"}), show_header=False)
    for name, value in lines:
        if value:
            shown.add_row(Text(name, "bright_black"), value)
    console().print(shown)


@bounce.command()
@since_option
@json_option
def summary(since: dt.datetime | None, as_json: bool) -> None:
    """How many came back of each kind, and by which way.

    \b
    newsletter bounce summary
    newsletter bounce summary --since 2023-11-14 --json
    """
    from newsletter.bounces import returned

    with here().reading() as session:
        found = returned.summary(session, since)
    if as_json:
        print_json(found)
        return
    out = console()
    if not found:
        out.print("Nothing came back" + (" since then." if since else " yet."))
        return
    shown = table("Kind", "By", "Count>", "Last (UTC)", "What it means")
    before = None
    for each in found:
        first = each.kind is not before
        before = each.kind
        shown.add_row(
            Text(each.kind.value, COLOURS.get(each.kind, "")) if first else "",
            each.source,
            f"{each.count:,}",
            f"{each.last:%Y-%m-%d %H:%M}",
            Text(MEANINGS[each.kind] if first else "", "bright_black"),
        )
    out.print(shown)
