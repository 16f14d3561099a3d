"""newsletter issue: what editors do with issues. Rendering and sending verbs are in modules of their own."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from newsletter.cli.common import at_option, here, place, publication_option

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.config import Publication
    from newsletter.models import Issue

# Verbs that live in a module of their own, imported when asked for. Name: (module.command, what it does).
ELSEWHERE = {
    "list": ("issue_show.list_", "Every issue, newest first, and why it stands where it does."),
    "show": ("issue_show.show", "Everything about one issue."),
    "preview": ("issue_send.preview", "See it as a reader would get it."),
    "preflight": ("preflight.preflight", "See what would go wrong in readers' inboxes."),
    "test": ("issue_send.test", "Send it to an address of your own."),
    "send": ("issue_send.send", "Send it now."),
    "correct": ("issue_correct.correct", "Put right what readers have had, and say so."),
    "corrections": ("issue_correct.corrections", "What was corrected in it, and when."),
    "verify": ("issue_correct.verify", "Render it again, and compare."),
    "export": ("issue_folder.export", "Write it into a folder: stories, pictures, renditions, checksums."),
    "import": ("issue_folder.import_", "Read such folders into the archive; nothing is mailed."),
}


class Verbs(click.Group):
    """Those of ELSEWHERE, and the verbs below."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*ELSEWHERE, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, name = ELSEWHERE[cmd_name][0].split(".")
        command = getattr(importlib.import_module(f"newsletter.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        rows = [(name, what) for name, (_, what) in ELSEWHERE.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Verbs)
def issue() -> None:
    """Issues: assembled from drafts at their copy deadline, approved, and sent at their time.

    ISSUE is a volume and number (2.21), a number alone (21), a date of the calendar (2023-11-14), or next: the
    earliest that may still go, and what is meant where none is named.

    \b
    newsletter issue list                       every issue, its state, and why it stands there
    newsletter issue show next                  the one that takes drafts now, or waits to go
    newsletter issue edit next --through 22     make it a combined issue, 21–22
    newsletter issue approve 2.21
    newsletter issue hold 2.21 --why "a source is missing"
    """


issue_argument = click.argument("which", metavar="[ISSUE]", default="next")


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone at the terminal"


by_option = click.option("--by", default=_login, metavar="NAME", help="Who decides it.  [default: your login name]")


def _say(sentence: str) -> None:
    click.echo(sentence[:1].upper() + sentence[1:])


@contextmanager
def changing(
    which: str, publication: str | None, now: dt.datetime
) -> Iterator[tuple[Session, str, Publication, Issue]]:
    """The issue that was meant, to be changed: all that is done with it is kept at the end, or nothing."""
    from newsletter import issues

    folder = here()
    slug, settings = folder.publication(publication)
    with folder.session() as session:
        if which == "next":
            issues.open_next(session, slug, settings, now)
        yield session, slug, settings, issues.find(session, slug, which)


@issue.command()
@click.option("--issue", "which", metavar="ISSUE", default="next", show_default=True, help="Which issue.")
@click.option("--force", is_flag=True, help="Before its copy deadline.")
@click.option("--volume", type=click.IntRange(1), help="Its volume, if not the one that follows.")
@click.option("--number", type=click.IntRange(1), help="Its number, if not the one that follows.")
@click.option("--through", type=click.IntRange(1), help="The last number of a combined issue.")
@publication_option
@at_option
def assemble(
    which: str,
    force: bool,
    volume: int | None,
    number: int | None,
    through: int | None,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """Freeze an issue now: its stories are copied from the ready drafts, and it gets its number.

    \b
    newsletter issue assemble                   the next one, once its copy deadline has come
    newsletter issue assemble --force           before that
    newsletter issue assemble --through 22      as a combined issue, 21–22
    """
    from newsletter import cadence, issues
    from newsletter.errors import IssueMistake

    with changing(which, publication, now) as (session, slug, settings, found):
        if any(value is not None for value in (volume, number, through)):
            issues.override(session, found, volume=volume, number=number, through=through)
        if now < found.deadline and not force:
            closes = cadence.wall_clock(settings.cadence, found.deadline)
            raise IssueMistake(
                f"{issues.name(found)} takes drafts until {closes} ({settings.cadence.zone})",
                remedy="Close it now with --force.",
            )
        event = issues.assemble(session, slug, settings, found, now)
        if event.what is not issues.Happened.assembled:
            raise IssueMistake(f"{issues.name(found)} can't be assembled: {found.why}", remedy="Nothing was changed.")
        said = event.sentence
        subject = found.subject
    _say(said)
    _say(f"Subject: {subject}")


@issue.command()
@issue_argument
@click.option("--subject", help='May hold {headline} and the like; "" for the usual one.')
@click.option("--preheader", help='What inboxes show after the subject. "" for the usual one.')
@click.option("--volume", type=click.IntRange(0), help="0 for the one that follows.")
@click.option("--number", type=click.IntRange(0), help="0 for the one that follows.")
@click.option("--through", type=click.IntRange(0), help="The last number of a combined one; 0 for none.")
@click.option("--segment", metavar="NAME", help='Who gets it; all for everybody, "" for the usual ones.')
@click.option("--private/--public", default=None, help="Whether only who has its link reads it on the web.")
@publication_option
@at_option
def edit(
    which: str,
    subject: str | None,
    preheader: str | None,
    volume: int | None,
    number: int | None,
    through: int | None,
    segment: str | None,
    private: bool | None,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """Say what an issue is to be called, who gets it, and who may read it on the web.

    What it is called is frozen when it is assembled: reopen it first. Who gets it can be changed until it is approved.
    Whether it is private can be changed until it is rendered, since the address of its page stands in the mail.

    \b
    newsletter issue edit next --private
    newsletter issue edit next --subject "{title} {volume}.{number}: two in one" --through 22
    newsletter issue edit next --volume 3 --number 1
    newsletter issue edit 2.21 --segment tokyo
    """
    from newsletter import config, issues, segments

    frozen = (subject, preheader, volume, number, through)
    if all(wish is None for wish in (*frozen, segment, private)):
        raise click.UsageError(
            "Say what to change: --subject, --preheader, --volume, --number, --through, --segment or --private."
        )
    settled = config.read(place() / "config.toml")
    with changing(which, publication, now) as (session, slug, settings, found):
        if any(wish is not None for wish in frozen):
            issues.override(
                session,
                found,
                volume=volume,
                number=number,
                through=through,
                subject=subject,
                preheader=preheader,
            )
        if segment is not None:
            issues.choose_segment(session, settled, found, segment)
        if private is not None:
            issues.make_private(session, found, private)
        expected = issues.expected(session, slug, settings, found)
        title = issues.name(found)
        goes_to = segments.name_of(settings, found)
    if any(wish is not None for wish in frozen):
        _say(f"{title} will be {expected.long}." if expected else f"{title} has no number yet.")
    if segment is not None:
        _say(f"{title} goes to the segment {goes_to}." if goes_to else f"{title} goes to everybody on its lists.")
    if private is not None:
        _say(f"{title} is {'read on the web only by who has its link' if private else 'for all to read on the web'}.")


@issue.command()
@issue_argument
@by_option
@publication_option
@at_option
def approve(which: str, by: str, publication: str | None, now: dt.datetime) -> None:
    """Let an assembled issue go at its time; at once, if that has passed.

    \b
    newsletter issue approve
    newsletter issue approve 2.21 --by Ann
    """
    from newsletter import cadence, issues

    with changing(which, publication, now) as (session, _, settings, found):
        issues.approve(session, found, by, now)
        title = issues.name(found)
        goes = "at once" if found.sends <= now else cadence.wall_clock(settings.cadence, found.sends)
    _say(f"{title} is approved by {by}, and goes {goes}.")


@issue.command()
@issue_argument
@click.option("--why", required=True, metavar="REASON", help="What has to be right before it goes.")
@by_option
@publication_option
@at_option
def hold(which: str, why: str, by: str, publication: str | None, now: dt.datetime) -> None:
    """Keep an issue from going until it is resumed.

    \b
    newsletter issue hold next --why "the ministry's figures come at noon"
    """
    from newsletter import issues

    with changing(which, publication, now) as (session, _, __, found):
        issues.hold(session, found, why, by, now)
        title = issues.name(found)
    _say(f"{title} is held by {by}: {why.rstrip('.')}. It goes on with newsletter issue resume.")


@issue.command()
@issue_argument
@publication_option
@at_option
def resume(which: str, publication: str | None, now: dt.datetime) -> None:
    """Let a held issue go on from where it was, or send on one that was paused.

    \b
    newsletter issue resume 2.21
    """
    from newsletter import issues

    with changing(which, publication, now) as (session, _, __, found):
        issues.resume(session, found, now)
        title, word = issues.name(found), found.state.value
    _say(f"{title} is {word} again.")


@issue.command()
@issue_argument
@by_option
@publication_option
@at_option
def pause(which: str, by: str, publication: str | None, now: dt.datetime) -> None:
    """Stop an issue that is being sent. What a relay already has can't be called back.

    \b
    newsletter issue pause 2.21
    """
    from newsletter import issues

    with changing(which, publication, now) as (session, _, __, found):
        issues.pause(session, found, by, now)
        title = issues.name(found)
    _say(f"{title} is paused. It goes on with newsletter issue resume.")


@issue.command()
@issue_argument
@click.option("--why", required=True, metavar="REASON", help="For those who look later.")
@publication_option
@at_option
def cancel(which: str, why: str, publication: str | None, now: dt.datetime) -> None:
    """Call an issue off, for good: it won't go, or not to those who haven't had it.

    Before anyone has been sent it, its drafts are ready again for the next issue.

    \b
    newsletter issue cancel 2.21 --why "a source took it back"
    """
    from newsletter import issues

    with changing(which, publication, now) as (session, _, __, found):
        title = issues.name(found)
        issues.cancel(session, found, why, now)
    _say(f"{title} is cancelled: {why.rstrip('.')}.")


@issue.command()
@issue_argument
@by_option
@publication_option
@at_option
def reopen(which: str, by: str, publication: str | None, now: dt.datetime) -> None:
    """Let an assembled issue take drafts again: its stories are queued again, its number is given back.

    \b
    newsletter issue reopen 2.21
    """
    from newsletter import issues

    with changing(which, publication, now) as (session, _, __, found):
        title = issues.name(found)
        issues.reopen(session, found, now, by)
        word, closes = found.state.value, found.next_look
    after = "" if closes else " Close it with newsletter issue assemble."
    _say(f"{title} is {word} again.{after}")
