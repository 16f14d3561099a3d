"""newsletter segment ...: parts of lists, described by expressions."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from newsletter.cli.common import at_option, emit, here, json_option, plural, publication_option, table

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from newsletter.config import Publication
    from newsletter.folder import Folder
    from newsletter.segments import Expression


@click.group()
def segment() -> None:
    """Segments: parts of lists that an issue or a publication goes to, described in config.toml under [segments].

    Capital and small letters are the same. What isn't known of a reader is like no text at all. Days are those of the
    publication's zone, and the day of joining is that of the first list joined. "and" binds before "or".

    \b
    city is 'Tokyo'     city is not 'Tokyo'       city in ('Tokyo', 'Kyoto')    city is known / unknown
    city contains 'y'   city starts with 'T'      city ends with 'o'
    language is 'ja'    name is known             domain ends with '.go.jp'
    joined before 2024-01-01                      also after, on, on or before, on or after
    joined within 90 days                         or weeks
    list 'invitations'                            is active on that list, too
    opened within 90 days    clicked within 90 days    measured
    plan is 'pro' and not (city is 'Tokyo' or joined within 2 weeks)

    Of readers who don't agree to be measured it isn't known what they open: "not opened within 90 days" holds for all
    of them, and "measured and not opened within 90 days" for those alone of whom it is known.

    \b
    newsletter segment count "city is 'Tokyo' and joined within 90 days"
    """


@segment.command("list")
@json_option
def list_all(as_json: bool) -> None:
    """The segments of config.toml, which publications go to them, and what is wrong with one.

    \b
    newsletter segment list
    """
    from newsletter import segments

    folder = here()
    mistakes = {each.name: each.mistake for each in segments.check_all(folder.config, _lists(folder))}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "expression": text,
            "publications": [slug for slug, each in folder.config.publications.items() if each.segment == name],
            "mistake": str(mistakes[name]) if name in mistakes else None,
        }
        for name, text in folder.config.segments.items()
    ]

    def shown(out: Console) -> None:
        if not rows:
            out.print("No segment yet. Describe one in config.toml:")
            out.print("[segments]\ntokyo = \"city is 'Tokyo'\"", style="bright_black")
            return
        made = table("Name", "Expression", "Usual for")
        for row in rows:
            made.add_row(
                Text(row["name"], "red" if row["mistake"] else ""), row["expression"], ", ".join(row["publications"])
            )
        out.print(made)
        for row in rows:
            if row["mistake"]:
                out.print()
                out.print(_capital(row["mistake"]), style="red")

    emit(as_json, rows, shown)


@segment.command()
@click.argument("name")
@publication_option
@json_option
@at_option
def show(name: str, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """One segment: its expression, who uses it, and how many readers are in it now.

    \b
    newsletter segment show tokyo
    """
    from newsletter import segments

    folder = here()
    expression = segments.expression_of(folder.config, name)
    _count(folder, name, folder.config.segments[name], expression, None, publication, now, as_json=as_json)


@segment.command()
@click.argument("text", metavar="NAME|EXPRESSION")
@click.option("--list", "-l", "slug", metavar="SLUG", help="On this list, not on those of the publication.")
@publication_option
@json_option
@at_option
def count(text: str, slug: str | None, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """How many readers an issue would go to now, by a saved segment or by an expression to try.

    \b
    newsletter segment count tokyo
    newsletter segment count "city in ('Tokyo', 'Kyoto') and joined within 90 days"
    newsletter segment count "plan is unknown" --list members --json
    """
    from newsletter import segments

    folder = here()
    name = text if text in folder.config.segments else ""
    if name:
        expression = segments.expression_of(folder.config, name)
    elif text.replace("-", "").isalnum() and text != "measured":
        # One word is a name that isn't there, rather than an expression cut short.
        expression = segments.expression_of(folder.config, text)
    else:
        expression = segments.parse(text, folder.config.attributes)
    _count(folder, name, folder.config.segments.get(name, text), expression, slug, publication, now, as_json=as_json)


def _count(
    folder: Folder,
    name: str,
    text: str,
    expression: Expression,
    slug: str | None,
    publication: str | None,
    now: dt.datetime,
    *,
    as_json: bool,
) -> None:
    from newsletter import audience, segments
    from newsletter.config import zone

    title, settings = folder.publication(publication)
    lists = (slug,) if slug else settings.lists
    where = zone(settings.cadence.zone)
    with folder.reading() as session:
        within = segments.condition(session, expression, title, settings, now)
        found = audience.count(session, lists, now, zone=where, within=within)
        measured = _measured(session, expression, title, settings, lists, now)
    row = {
        "name": name or None,
        "expression": text,
        "publication": title,
        "lists": lists,
        "candidates": found.candidates,
        "due": found.due,
        "excluded": found.excluded,
        "measured": measured,
    }

    def shown(out: Console) -> None:
        out.print(Text.assemble((f"{name}  " if name else "", "bold"), text))
        out.print(f"on {', '.join(lists)}", style="bright_black")
        out.print()
        made = table("Readers>", "")
        made.add_row(f"{found.due:,}", Text("would get an issue now", "bold"))
        for reason, number in found.excluded.items():
            made.add_row(f"{number:,}", Text(reason, "bright_black"))
        out.print(made)
        if measured is not None:
            out.print()
            out.print(f"{plural(measured, 'reader')} agreed to be measured; of no one else is it known what they open.")

    emit(as_json, row, shown)


def _measured(
    session: Session,
    expression: Expression,
    slug: str,
    settings: Publication,
    lists: tuple[str, ...],
    now: dt.datetime,
) -> int | None:
    """How many of the readers agreed to be measured; None where the expression doesn't rest on that."""
    from newsletter import audience, segments
    from newsletter.config import zone

    if not segments.rests_on_measuring(expression):
        return None
    within = segments.condition(session, segments.parse("measured", ()), slug, settings, now)
    return audience.count(session, lists, now, zone=zone(settings.cadence.zone), within=within).due


def _lists(folder: Folder) -> list[str]:
    return [path.stem for path in sorted((folder.path / "lists").glob("*.toml"))]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
