"""newsletter issue correct, corrections and verify: the record of what readers have had."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.common import at_option, emit, here, json_option, publication_option, table
from newsletter.cli.issue import by_option

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from newsletter.models import Correction

sent_argument = click.argument("which", metavar="ISSUE")


@click.command()
@sent_argument
@click.option("--story", "position", type=click.IntRange(1), metavar="NO", help="Its number; none: the whole issue.")
@click.option(
    "--words", required=True, metavar="SENTENCE", help="What readers are told: what was wrong, what is right."
)
@click.option("--headline", help="What its headline is from now on.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Its text from now on: Markdown, with front matter or without.",
)
@click.option("--announce", is_flag=True, help="The next issue carries a note of it.")
@by_option
@publication_option
@at_option
def correct(
    which: str,
    position: int | None,
    words: str,
    headline: str | None,
    file: Path | None,
    announce: bool,
    by: str,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """Put right what was wrong in an issue that readers have had, and say so with the date.

    The page, the PDF and the feed entry are rendered anew, as the next revision; every revision is kept. What was
    mailed stays as it is. Before anyone has an issue, reopen it instead.

    \b
    newsletter issue correct 2.21 --story 3 --words "The sum is $8 billion, not million." --file 3-toyota.md
    newsletter issue correct 2.21 --story 1 --words "The headline misspelt a name." --headline "Blinken in Tokyo"
    newsletter issue correct 2.21 --words "The date on the masthead was wrong." --announce
    """
    from newsletter import corrections, issues
    from newsletter.errors import DraftMistake
    from newsletter.models import Issue
    from newsletter.render import aside, edition
    from newsletter.tokens import keys

    folder = here()
    slug, settings = folder.publication(publication)
    if (file or headline is not None) and position is None:
        raise click.UsageError("Say with --story which story --headline or --file is for.")
    try:
        raw = file.read_bytes() if file else None
    except OSError as error:
        raise DraftMistake(f"it can't be read: {error.strerror}", where=file) from None
    with folder.reading() as session:
        number = issues.find(session, slug, which).id

    def step(session: Session) -> tuple[str, int, bool, str]:
        found = session.get_one(Issue, number)
        title, text = headline, None
        story = next((each for each in found.stories if each.position == position), None)
        if raw is not None and story is not None:
            written, text = corrections.from_file(raw, story, slug, where=file)
            title = written if title is None else title
        wish = corrections.Wish(words, position, title, text, announce, by)
        made = corrections.correct(session, folder, found, wish, now)
        page = edition(folder, slug, settings, found, keys(session, now)).url
        return issues.name(found), made.revision, made.headline is not None or made.body is not None, page

    name, revision, changed, page = aside(folder, step)
    click.echo(f"{name} is corrected: its page, its PDF and its feed entry are revision {revision} now.")
    if not changed:
        click.echo("They say so; headline and text of its stories are as they were.")
    click.echo("What was mailed stays as it was mailed.")
    if announce:
        click.echo("The next issue that is assembled carries a note of it.")
    click.echo(page)


@click.command()
@sent_argument
@publication_option
@json_option
def corrections(which: str, publication: str | None, as_json: bool) -> None:
    """What was corrected in an issue, when, by whom, and which issue tells of it.

    \b
    newsletter issue corrections 2.21
    newsletter issue corrections 2.21 --json
    """
    from newsletter import corrections as record
    from newsletter import issues

    folder = here()
    slug, _ = folder.publication(publication)
    with folder.reading() as session:
        found = issues.find(session, slug, which)
        name = issues.name(found)
        rows = [facts(session, each) for each in record.listing(session, found)]

    def shown(out: Console) -> None:
        if not rows:
            out.print(f"Nothing was corrected in {name}.")
            return
        made = table("Revision>", "Date", "Story>", "Words", "Changed", "Told in")
        for row in rows:
            changed = ", ".join(key for key in ("headline", "body") if row[key] is not None).replace("body", "text")
            told = row["told_in"] or ("the next issue" if row["announced"] else "")
            made.add_row(str(row["revision"]), str(row["date"]), str(row["story"] or ""), row["words"], changed, told)
        out.print(made)

    emit(as_json, rows, shown)


def facts(session: Session, each: Correction) -> dict[str, Any]:
    """One correction as plain values."""
    from newsletter import issues
    from newsletter.models import Issue

    told = session.get(Issue, each.told_in) if each.told_in else None
    return {
        "revision": each.revision,
        "date": each.date,
        "made": each.made,
        "story": each.position,
        "words": each.words,
        "headline": each.headline,
        "body": each.body,
        "by": each.by,
        "announced": each.announced,
        "told_in": str(issues.number_of(told)) if told else None,
    }


@click.command()
@sent_argument
@publication_option
@json_option
@at_option
def verify(which: str, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """Check the kept renditions of an issue: each against its SHA-256, and against what rendering makes of it today.

    What is kept never changes. Rendering may make other bytes once the design, the config, the fonts or the version of
    the program have changed: that is told, and is no fault. A kept rendition that doesn't have its SHA-256 is one: then
    the exit code is 2.

    \b
    newsletter issue verify 2.21
    newsletter issue verify 2.21 --json
    """
    from newsletter import issues, verifying

    folder = here()
    slug, _ = folder.publication(publication)
    with folder.reading() as session:
        found = issues.find(session, slug, which)
        name = issues.name(found)
        checked, trouble = verifying.verify(session, folder, found, now)
    rows = [
        {
            "kind": each.kind.value,
            "revision": each.revision,
            "sha256": each.sha256,
            "whole": each.whole,
            "same": each.same,
        }
        for each in checked
    ]

    def shown(out: Console) -> None:
        made = table("Rendition", "Revision>", "SHA-256", "Kept", "Rendered today")
        for each in checked:
            today = {True: "the same", False: "differs", None: "not made"}[each.same]
            made.add_row(
                each.kind.value, str(each.revision), each.sha256[:16], "whole" if each.whole else "DAMAGED", today
            )
        out.print(made)
        if trouble:
            out.print(f"It can't be rendered today: {trouble}")
        elif any(each.same is False for each in checked):
            out.print(
                "What differs was made by another version of the design, the config, the fonts or the program. What is"
                " kept is what readers had."
            )

    emit(as_json, {"issue": name, "renditions": rows, "trouble": trouble}, shown)
    if not all(each.whole for each in checked):
        raise SystemExit(2)
