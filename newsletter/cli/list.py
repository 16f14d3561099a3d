"""newsletter list ...: the lists that `lists/*.toml` describes."""

from __future__ import annotations

import dataclasses
import datetime as dt

import click
from rich.text import Text

from newsletter import config
from newsletter.cli.common import (
    at_option,
    console,
    emit,
    here,
    json_option,
    listed,
    plural,
    state,
    table,
    yes_option,
)

SIGNS = {"add": ("+", "green"), "change": ("~", "yellow"), "retire": ("-", "red"), "return": ("+", "green")}


@click.group()
def list() -> None:  # noqa: A001 - it is what people type
    """Mailing lists: apply, list, show.

    A list is a file lists/NAME.toml with title, description, public and double_opt_in.

    \b
    newsletter list apply --dry-run      what would change
    newsletter list apply                make it so
    newsletter list list                 all lists, and how many are on each
    newsletter list show alliance-digest
    """


@list.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@yes_option
@json_option
@at_option
def apply(dry_run: bool, yes: bool, as_json: bool, now: dt.datetime) -> None:
    """Make the database say what lists/*.toml says; shows what changes first.

    A list whose file is gone is retired: nobody is mailed through it, its subscriptions are kept. Only for
    that it asks.

    \b
    newsletter list apply --dry-run
    newsletter list apply --yes
    """
    from newsletter import lists
    from newsletter.errors import ListMistake

    folder = here()
    with folder.reading() as session:
        changes = lists.plan(session, folder)
        numbers = lists.counts(session)
    if as_json:
        emit(
            True,
            [
                {
                    "list": change.slug,
                    "what": change.what.value,
                    "fields": [{"field": field, "old": old, "new": new} for field, old, new in change.fields],
                }
                for change in changes
            ],
            lambda _: None,
        )
    elif not changes:
        console().print("The lists are as their files say; nothing to change.")
    else:
        shown = table("", "List", "Field", "Before", "After")
        for change in changes:
            sign, colour = SIGNS[change.what.value]
            first = (Text(f"{sign} {change.what.value}", colour), Text(change.slug, "bold"))
            for field, old, new in change.fields or [("", None, None)]:
                shown.add_row(*first, field, _said(old), _said(new))
                first = (Text(), Text())
        console().print(shown)
        console().print()
    retired = [change.slug for change in changes if change.what is lists.What.retire]
    for slug in retired:
        click.echo(
            f"{slug} would reach nobody any more; "
            f"{plural(numbers[slug].active, 'active subscription')} on it would be kept.",
            err=True,
        )
    if dry_run or not changes:
        return
    if retired and not yes:
        click.confirm(f"Retire {listed(retired)}?", abort=True, err=True)
    with folder.session() as session:
        # Planned again under the lock, so that what is made is what was shown, or nothing.
        if lists.plan(session, folder) != changes:
            raise ListMistake("the lists were changed meanwhile", remedy="Nothing was done; run it again.")
        lists.apply(session, changes, now)
    if not as_json:
        console().print(f"{plural(len(changes), 'list')} changed.")


@list.command("list")
@json_option
def list_all(as_json: bool) -> None:
    """All lists, and how many are on each.

    \b
    newsletter list list
    newsletter list list --json
    """
    from sqlalchemy import select

    from newsletter import lists
    from newsletter.models import List

    folder = here()
    with folder.reading() as session:
        rows = session.scalars(select(List).order_by(List.slug)).all()
        numbers = lists.counts(session)
    found = [
        {
            "list": row.slug,
            "title": row.title,
            "public": row.public,
            "retired": row.retired,
            **dataclasses.asdict(numbers[row.slug]),
            "publications": lists.publications(folder, row.slug),
        }
        for row in rows
    ]
    if not found and not as_json:
        console().print("There are no lists yet. Make lists/NAME.toml, then: newsletter list apply.")
        return

    shown = table("List", "Title", "Active>", "Pending>", "Unsubscribed>", "Suppressed>", "Goes out with")
    for entry in found:
        gone = Text("retired", "bright_black") if entry["retired"] else None
        shown.add_row(
            Text(str(entry["list"]), "bold"),
            str(entry["title"]),
            *(f"{entry[word]:,}" for word in ("active", "pending", "unsubscribed", "suppressed")),
            gone or listed(lists.publications(folder, str(entry["list"]))) or "nothing",
        )
    emit(as_json, found, lambda out: out.print(shown))


@list.command()
@click.argument("slug")
@json_option
def show(slug: str, as_json: bool) -> None:
    """One list: what it is, how many stand how with it, which publications go to it.

    \b
    newsletter list show alliance-digest
    """
    from sqlalchemy import select

    from newsletter import lists
    from newsletter.errors import ListMistake
    from newsletter.models import List

    folder = here()
    with folder.reading() as session:
        row = session.scalar(select(List).where(List.slug == slug))
        if row is None:
            lists.named(session, (slug,))
            raise ListMistake(f'there is no list "{slug}"')
        numbers = lists.counts(session)[slug]
    goes = lists.publications(folder, slug)
    entry = {
        "list": row.slug,
        "title": row.title,
        "description": row.description,
        "public": row.public,
        "double_opt_in": row.double_opt_in,
        "retired": row.retired,
        **dataclasses.asdict(numbers),
        "publications": goes,
        "file": lists.file_of(folder, slug),
    }
    if as_json:
        emit(True, entry, lambda _: None)
        return
    out = console()
    out.print(Text(row.title, "bold"))
    if row.description:
        out.print(row.description)
    out.print()
    facts = table("", "", show_header=False)
    facts.add_row("goes out with", listed(goes) or "nothing")
    facts.add_row("sign-up page", "offered" if row.public else "not offered")
    facts.add_row("double opt-in", "yes" if row.double_opt_in else "no")
    if row.retired:
        zone = config.zone(next(iter(folder.config.publications.values())).cadence.zone)
        facts.add_row("retired", f"{row.retired.astimezone(zone):%Y-%m-%d %H:%M}")
    out.print(facts)
    out.print()
    stand = table("State", "Subscriptions>")
    for word, count in dataclasses.asdict(numbers).items():
        stand.add_row(state(word), f"{count:,}")
    out.print(stand)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
