"""What a person types: `newsletter NOUN VERB`, one module a noun. Only words in and words out."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from newsletter import __version__

# Name: (module, what it does). Modules are imported when asked for, so that --help answers at once.
COMMANDS = {
    "init": ("start", "Make a new publication's folder."),
    "demo": ("start", "The sample digest from drafts to inboxes, on this machine."),
    "run": ("work", "Scheduler, sender and pages in one process."),
    "work": ("work", "A sender only, for more hosts."),
    "web": ("work", "Readers' pages only."),
    "status": ("status", "What is going on, what waits and why, what comes next."),
    "draft": ("draft", "Stories: add, list, show, edit, ready, drop, order."),
    "issue": ("issue", "Issues: assemble, preview, approve, hold, send, pause, …"),
    "list": ("list", "Mailing lists: apply, list, show."),
    "subscriber": ("subscriber", "Subscribers: add, list, import, export, unsubscribe, pause, erase."),
    "segment": ("segment", "Parts of lists, described by expressions: list, show, count."),
    "suppression": ("suppression", "Addresses never mailed: list, show, add, remove, import, export."),
    "delivery": ("delivery", "The log of deliveries: list, show, retry, resolve, export."),
    "bounce": ("bounce", "What came back: read, fetch, list, show, summary."),
    "numbers": ("numbers", "How lists grow, what came back, why readers leave: show, link."),
    "archive": ("archive", "What anyone may read: build, search."),
    "template": ("template", "Designs: list, check, copy."),
    "calendar": ("calendar", "The next issues: deadline, send time, number."),
    "doctor": ("doctor", "Is this fit to send? Machine, database, relays, keys; dkim-key."),
    "db": ("db", "The database: upgrade, check, backup."),
}


class Nouns(click.Group):
    """The commands of COMMANDS, each imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        # Not list(…): once newsletter.cli.list is imported, that is what the name means here.
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"newsletter.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])


@click.command(cls=Nouns, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--folder",
    "-C",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    envvar="NEWSLETTER_FOLDER",
    help="The publication's folder, where config.toml is.  [default: this one]",
)
@click.version_option(__version__, prog_name="newsletter")
@click.pass_context
def newsletter(context: click.Context, folder: Path) -> None:
    """A numbered periodical in every reader's inbox, on time, and every copy accounted for.

    \b
    newsletter init digest          make a publication's folder, from the sample
    newsletter draft add story.md   queue a story
    newsletter calendar             when the next issues close and go
    newsletter status               what is going on, what waits and why
    """
    context.obj = folder
