"""`newsletter draft`: stories join the queue, and wait their turn."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli import editor, queue
from newsletter.cli.common import at_option, here, json_option, local, print_json, publication_option
from newsletter.errors import DraftMistake
from newsletter.folder import Folder
from newsletter.models import Draft, Picture
from newsletter.states import DraftState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.pictures import Prepared
    from newsletter.story_file import StoryFile

WAITING = (DraftState.writing, DraftState.ready, DraftState.placed)
file_type = click.Path(path_type=Path, allow_dash=True, dir_okay=False)
ids = click.argument("numbers", metavar="ID…", nargs=-1, required=True, type=int)


@click.group()
def draft() -> None:
    """Stories: add, list, show, edit, ready, drop, order.

    A story is a file: a few lines between two lines of three dashes, then its text in Markdown.

    \b
    ---
    headline: "Blinken in Tokyo: G7, Gaza and a longer agenda"
    section: Diplomacy
    ---
    \b
    Secretary of State Antony Blinken spent November 7 and 8 …

    The lines may be headline, section, link, picture, alt, credit, author, not_before, not_after, state
    (ready or writing) and publication.

    \b
    newsletter draft add story.md
    newsletter draft list
    newsletter draft order 5 3
    """


@dataclass(frozen=True)
class _Story:
    """A story that has been read and found right, with its picture; nothing of it is kept yet."""

    file: StoryFile
    picture: Prepared | None
    source: str


@draft.command()
@click.argument("files", nargs=-1, metavar="[FILE…|-]", type=file_type)
@publication_option
@at_option
def add(files: tuple[Path, ...], publication: str | None, now: dt.datetime) -> None:
    """Queue stories: from files, from standard input (-), or written now in your $EDITOR.

    All files are read and checked first; a mistake in any of them queues none.

    \b
    newsletter draft add toyota.md blinken.md
    newsletter draft add - < toyota.md
    newsletter draft add
    """
    folder = here()
    if files:
        stories = _with_progress(lambda file: _read_file(folder, file, publication), files)
        _queue(folder, stories, publication, now)
        return
    editor.must_have_editor("Name a file, or - for standard input.")
    from newsletter import story_file

    sections = folder.publication(publication)[1].sections

    def take(raw: bytes) -> None:
        _queue(folder, [_read(folder, raw, "your text", folder.path, publication)], publication, now)

    if not editor.edited(folder.path, story_file.template(sections).encode(), take):
        click.echo("Nothing was written; nothing is queued.")


@draft.command("list")
@publication_option
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([each.value for each in DraftState]),
    help="Only these; may be said several times.",
)
@click.option("--all", "everything", is_flag=True, help="Those published and dropped, too.")
@json_option
@at_option
def listing(
    publication: str | None, states: tuple[str, ...], everything: bool, as_json: bool, now: dt.datetime
) -> None:
    """The queue, in its order, and what has been placed in an issue.

    \b
    newsletter draft list
    newsletter draft list --state ready --json
    """
    from newsletter import drafts

    folder = here()
    name, _ = folder.publication(publication)
    wanted = tuple(DraftState(word) for word in states) or (tuple(DraftState) if everything else WAITING)
    with folder.reading() as session:
        found = drafts.listing(session, name, wanted)
        places = queue.places(session, name)
        if as_json:
            print_json([queue.facts(folder, session, each, places) for each in found])
        else:
            queue.show(session, found, places, now)


@draft.command()
@click.argument("number", metavar="ID", type=int)
@publication_option
@json_option
def show(number: int, publication: str | None, as_json: bool) -> None:
    """One story, as a file that `add` and `edit` read.

    \b
    newsletter draft show 3
    newsletter draft show 3 > story.md
    """
    from newsletter import drafts

    folder = here()
    with folder.reading() as session:
        found = drafts.get(session, number, publication and folder.publication(publication)[0])
        if as_json:
            facts = queue.facts(folder, session, found, queue.places(session, found.publication))
            print_json({**facts, "body": found.body})
            return
        zone = queue.zone(folder, found.publication)
        place = drafts.standing(session, found)
        note = f"draft {number}: {found.state.value}{f' in {place}' if place else ''}"
        note += f", queued {local(found.created, zone)}"
        if found.changed != found.created:
            note += ", changed " + local(found.changed, zone)
        fence, _, rest = queue.as_file(folder, found).partition("\n")
    click.echo(f"{fence}\n# {note}\n{rest}", nl=False)


@draft.command()
@click.argument("number", metavar="ID", type=int)
@click.argument("file", required=False, metavar="[FILE|-]", type=file_type)
@click.option("--headline")
@click.option("--section")
@click.option("--link")
@click.option("--author")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="A file; with --alt.")
@click.option("--no-picture", is_flag=True, help="Without picture, alt text and credit.")
@click.option("--alt", help="What is to be seen in the picture, in a sentence.")
@click.option("--credit", help="Who made the picture.")
@click.option("--not-before", metavar="DATE", help="Such as 2023-11-20.")
@click.option("--not-after", metavar="DATE")
@publication_option
@at_option
def edit(
    number: int,
    file: Path | None,
    picture: Path | None,
    no_picture: bool,
    publication: str | None,
    now: dt.datetime,
    **texts: str | None,
) -> None:
    """Change a story that is still in the queue: by options, from a file, or in your $EDITOR.

    An option with nothing in it empties that field. State and place in the queue stay.

    \b
    newsletter draft edit 3 --headline "Blinken in Tokyo" --not-before ""
    newsletter draft edit 3 story.md
    newsletter draft edit 3
    """
    from newsletter import drafts

    folder = here()
    given = {key: text.strip() for key, text in texts.items() if text is not None}
    with folder.reading() as session:
        found = drafts.get(session, number, publication and folder.publication(publication)[0])
        name, old, seen = found.publication, queue.as_file(folder, found), found.changed
    if file and (given or picture or no_picture):
        raise DraftMistake("a file and options can't be given together", remedy="The file says all of it.")

    def take(raw: bytes) -> None:
        _replace(folder, number, _read(folder, raw, "your text", folder.path, name), now, seen)

    if file:
        _replace(folder, number, _read_file(folder, file, name), now)
    elif given or picture or no_picture:
        _replace(folder, number, _changed(folder, old, name, given, picture, no_picture), now, seen)
    else:
        editor.must_have_editor("Name a file, - for standard input, or options such as --headline.")
        if not editor.edited(folder.path, old.encode(), take):
            click.echo("Nothing was changed.")


@draft.command()
@ids
@publication_option
@at_option
def ready(numbers: tuple[int, ...], publication: str | None, now: dt.datetime) -> None:
    """An issue may take them: after writing, or after they were dropped.

    \b
    newsletter draft ready 3 4
    """
    from newsletter import drafts

    _turn(numbers, publication, now, drafts.ready, "ready")


@draft.command()
@ids
@publication_option
@at_option
def write(numbers: tuple[int, ...], publication: str | None, now: dt.datetime) -> None:
    """Back to writing: no issue takes them until they are ready.

    \b
    newsletter draft write 3
    """
    from newsletter import drafts

    _turn(numbers, publication, now, drafts.write, "writing")


@draft.command()
@ids
@publication_option
@at_option
def drop(numbers: tuple[int, ...], publication: str | None, now: dt.datetime) -> None:
    """They will not appear. `ready` and `write` bring them back.

    \b
    newsletter draft drop 3
    """
    from newsletter import drafts

    _turn(numbers, publication, now, drafts.drop, "dropped")


@draft.command()
@ids
@click.option("--before", metavar="ID", type=int, help="Put them before this one.")
@click.option("--last", is_flag=True, help="Put them at the end.")
@publication_option
@at_option
def order(numbers: tuple[int, ...], before: int | None, last: bool, publication: str | None, now: dt.datetime) -> None:
    """Put stories at the head of the queue in this order, or before another, or at its end.

    \b
    newsletter draft order 5 3
    newsletter draft order 5 --before 2
    newsletter draft order 1 --last
    """
    from newsletter import drafts

    if last and before is not None:
        raise DraftMistake("--before and --last can't be given together")
    folder = here()
    with folder.session() as session:
        name = publication and folder.publication(publication)[0]
        name = drafts.get(session, numbers[0], name).publication
        found = drafts.order(session, name, numbers, before=before, last=last)
        queue.show(session, found, queue.places(session, name), now)


def _turn(
    numbers: tuple[int, ...],
    publication: str | None,
    now: dt.datetime,
    turn: Callable[[Session, Draft, dt.datetime], None],
    word: str,
) -> None:
    from newsletter import drafts

    folder = here()
    with folder.session() as session:
        name = publication and folder.publication(publication)[0]
        done = [drafts.get(session, number, name) for number in numbers]
        for each in done:
            turn(session, each, now)
    for each in done:
        click.echo(f"{word} {queue.named(each)}")


def _read_file(folder: Folder, file: Path, publication: str | None) -> _Story:
    from newsletter.story_file import LARGEST

    if str(file) == "-":
        raw = sys.stdin.buffer.read(LARGEST + 1)
        return _read(folder, raw, "standard input", Path(), publication, source="")
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    except FileNotFoundError:
        raise DraftMistake("there is no such file", where=file) from None
    except OSError as error:
        raise DraftMistake(f"it can't be read: {error.strerror}", where=file) from None
    return _read(folder, raw, str(file), file.parent, publication, source=str(file))


def _read(folder: Folder, raw: bytes, where: str, beside: Path, publication: str | None, *, source: str = "") -> _Story:
    from newsletter import story_file

    known = {name: each.sections for name, each in folder.config.publications.items()}
    name = folder.publication(publication)[0] if publication or len(known) == 1 else None
    story = story_file.read(raw, known, where=where, beside=beside, publication=name)
    picture = _prepared(folder, beside / story.picture) if story.picture else None
    return _Story(story, picture, source)


def _prepared(folder: Folder, file: Path) -> Prepared:
    from newsletter import pictures

    raw = pictures.contents(file)
    with folder.reading() as session:
        made = pictures.ready_made(session, raw)
    return made or pictures.prepare(raw, where=file)


def _with_progress(read: Callable[[Path], _Story], files: Sequence[Path]) -> list[_Story]:
    """Pictures of many megapixels take a while."""
    if len(files) == 1 or not sys.stderr.isatty():
        return [read(file) for file in files]
    from rich.console import Console
    from rich.progress import track

    return [read(file) for file in track(files, "Reading", console=Console(stderr=True), transient=True)]


def _kept(session: Session, folder: Folder, story: _Story, now: dt.datetime) -> Picture | None:
    from newsletter import pictures

    return pictures.keep(session, folder.pictures, story.picture, now) if story.picture else None


def _queue(folder: Folder, stories: Sequence[_Story], publication: str | None, now: dt.datetime) -> None:
    from newsletter import drafts

    with folder.session() as session:
        added = []
        for story in stories:
            name, described = folder.publication(publication or story.file.publication or None)
            picture = _kept(session, folder, story, now)
            added.append(
                drafts.add(
                    session,
                    name,
                    story.file.written,
                    now,
                    sections=described.sections,
                    picture=picture,
                    state=story.file.state or DraftState.ready,
                    source=story.source,
                )
            )
    for each in added:
        click.echo(f"queued {queue.named(each)}{', in writing' if each.state is DraftState.writing else ''}")


def _replace(folder: Folder, number: int, story: _Story, now: dt.datetime, seen: dt.datetime | None = None) -> None:
    from newsletter import drafts

    with folder.session() as session:
        found = drafts.get(session, number)
        sections = folder.publication(found.publication)[1].sections
        picture = _kept(session, folder, story, now)
        drafts.edit(session, found, story.file.written, now, sections=sections, picture=picture, seen=seen)
        if story.file.state is DraftState.ready:
            drafts.ready(session, found, now)
        elif story.file.state is DraftState.writing:
            drafts.write(session, found, now)
    click.echo(f"changed {queue.named(found)}")


def _changed(
    folder: Folder, old: str, publication: str, given: dict[str, str], picture: Path | None, no_picture: bool
) -> _Story:
    """The story with what the options say put in the place of what it said."""
    from newsletter import story_file

    story = _read(folder, old.encode(), "what is stored", folder.path, publication)
    changes: dict[str, Any] = dict(given)
    for key in ("not_before", "not_after"):
        if text := given.get(key):
            changes[key] = story_file.date(text)
            if changes[key] is None:
                raise DraftMistake(f'"{text}" is not a date', remedy=story_file.NO_DATE)
        elif key in given:
            changes[key] = None
    if no_picture:
        changes = {"alt": "", "credit": "", **changes}
    made = _prepared(folder, picture) if picture else None if no_picture else story.picture
    return _Story(replace(story.file, written=replace(story.file.written, **changes)), made, "")
