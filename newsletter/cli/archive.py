"""newsletter archive ...: what anyone may read, as files, and searched."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click
from rich.text import Text

from newsletter.cli.common import at_option, console, here, json_option, plural, print_json, publication_option, table


@click.group()
def archive() -> None:
    """The archive of all issues that anyone may read.

    newsletter run and newsletter web serve it; here it is written into files, and searched.

    \b
    newsletter archive build public/
    newsletter archive search "tokyo batteries"
    """


@archive.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--publication", "-p", "slugs", multiple=True, metavar="NAME", help="Only this one; may be repeated.")
@json_option
@at_option
def build(target: Path, slugs: tuple[str, ...], as_json: bool, now: dt.datetime) -> None:
    """Write the archive as files that any web server can hand out, or bring them up to date.

    Pages, PDFs, pictures, feeds, sitemap and search, under the addresses that they have for ever. What hasn't
    changed isn't made again; what isn't public any more is taken away. Private issues are not in it.

    \b
    newsletter archive build public/
    newsletter archive build public/ --publication digest --json
    """
    from newsletter.cli.progress import progress
    from newsletter.web import files

    folder = here()
    for slug in slugs:
        folder.publication(slug)
    chosen = slugs or tuple(folder.config.publications)
    built = files.build(folder, target, chosen, now, lambda count: progress("issues", count))
    if as_json:
        print_json(
            {
                "folder": target,
                "issues": built.issues,
                "issues_made": built.issues_made,
                "files_written": built.written,
                "files_kept": built.kept,
                "files_removed": built.removed,
                "bytes": built.bytes,
            }
        )
        return
    out = console()
    out.print(
        f"{plural(built.issues, 'issue')}, {built.issues_made:,} of them made anew: {plural(built.written, 'file')}"
        f" written, {built.kept:,} kept, {built.removed:,} removed; {built.bytes / 1e6:,.1f} MB in {target}"
    )


@archive.command()
@click.argument("words", nargs=-1, required=True)
@publication_option
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="Stories that are shown.")
@json_option
def search(words: tuple[str, ...], publication: str | None, limit: int, as_json: bool) -> None:
    """Find stories that have all of these words, the best first.

    \b
    newsletter archive search tokyo batteries
    newsletter archive search "半導体" --json
    """
    from newsletter.web.shelf import Shelf

    folder = here()
    slug, _ = folder.publication(publication)
    with folder.reading() as session:
        found = Shelf(folder).find(session, slug, " ".join(words))
    if as_json:
        print_json(
            [
                {
                    "issue": place.entry.label,
                    "date": place.entry.date,
                    "headline": place.told.headline,
                    "url": f"{place.entry.url}#{place.told.anchor}",
                }
                for place in found[:limit]
            ]
        )
        return
    out = console()
    if not found:
        out.print("Nothing was found; each story that is found has all of the words.")
        return
    shown = table("Issue", "Date", "Headline")
    for place in found[:limit]:
        shown.add_row(Text(place.entry.label, "blue"), f"{place.entry.date}", place.told.headline)
    out.print(shown)
    if len(found) > limit:
        out.print()
        out.print(f"{limit:,} of {len(found):,}; --limit {len(found)} shows all.")
