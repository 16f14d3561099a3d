"""newsletter issue export and import: issues as folders."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli.common import at_option, here, plural, publication_option

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@click.command()
@click.argument("which", metavar="ISSUE")
@click.argument("place", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@publication_option
def export(which: str, place: Path, publication: str | None) -> None:
    """Write an issue into a folder: stories, pictures, renditions and their checksums. No reader is in it.

    The same issue makes the same bytes, so that git sees what changed. DIR is made, is empty, or is an earlier export
    of the same issue, which is brought up to date.

    \b
    newsletter issue export 2.21 archive/2.21
    (cd archive/2.21 && sha256sum -c SHA256SUMS)
    """
    from newsletter import issue_folder, issues

    folder = here()
    slug, _ = folder.publication(publication)
    with folder.reading() as session:
        found = issues.find(session, slug, which)
        name = issues.name(found)
        made = issue_folder.files(session, folder, found)
    changed = issue_folder.write(made, place)
    size = sum(map(len, made.values()))
    click.echo(f"{name}: {plural(len(made), 'file')}, {size / 1e6:.1f} MB, in {place}")
    click.echo(f"{changed} of them new or changed." if changed else "Nothing has changed since the last time.")


@click.command("import")
@click.argument("places", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@publication_option
@at_option
def import_(places: tuple[Path, ...], publication: str | None, now: dt.datetime) -> None:
    """Read folders that `export` wrote, or that somebody wrote by hand, into the archive.

    The issues are in it as sent, each with its number and date; nothing is mailed. Checksums are verified. A folder
    without renditions is rendered: it needs an issue.toml with volume, number, date and stories, and those files. Take
    in only folders that you trust: their pages are shown as they are. Where they lead to another address than the one
    they have here, that is said.

    All of them are taken in, or none, in the order of their numbers.

    \b
    newsletter issue import archive/2.21
    newsletter issue import archive/*
    """
    from newsletter import issue_folder, issues
    from newsletter.cli.progress import progress
    from newsletter.render import aside, edition
    from newsletter.states import RenditionKind
    from newsletter.tokens import keys

    folder = here()
    slug, _ = folder.publication(publication)
    with progress("Reading", len(places)) as done:
        read = []
        for place in places:
            read.append(issue_folder.read(place, folder.config, now))
            done(1)
    read.sort(key=lambda each: (each.description.volume, each.description.number))

    def step(session: Session) -> list[tuple[str, str]]:
        rows = [issue_folder.archive(session, folder, each, slug, now) for each in read]
        settings = folder.config.publications[slug]
        return [(issues.name(row), edition(folder, slug, settings, row, keys(session, now)).url) for row in rows]

    elsewhere = False
    for (name, address), each in zip(aside(folder, step), read, strict=True):
        how = "its renditions as they were" if each.renditions else "rendered"
        click.echo(f"{name} is in the archive: {plural(len(each.stories), 'story', 'stories')}, {how}.")
        if each.renditions and address.encode() not in each.renditions[RenditionKind.page, 1]:
            elsewhere = True
            click.echo(f"  Its pages were made for another address than {address}, and lead there.")
    if elsewhere:
        click.echo(
            "To have an issue rendered for this address, take SHA256SUMS, renditions/ and what issue.toml says of them"
            " out of its folder before it is imported."
        )
