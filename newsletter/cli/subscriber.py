"""newsletter subscriber ...: people with an address."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click
from rich.text import Text

from newsletter.cli.common import (
    at_option,
    console,
    here,
    json_option,
    listed,
    plural,
    print_json,
    state,
    table,
    yes_option,
)
from newsletter.cli.subscriber_import import import_, pairs

lists_option = click.option("--list", "-l", "slugs", multiple=True, metavar="SLUG", help="A list; may be repeated.")
STATES = ("pending", "active", "unsubscribed", "suppressed")


@click.group()
def subscriber() -> None:
    """Subscribers: add, list, show, import, export, unsubscribe, pause, erase.

    A subscriber is named by their address or their number.

    \b
    newsletter subscriber import people.csv --list alliance-digest --dry-run
    newsletter subscriber list --state unsubscribed
    newsletter subscriber show jane@example.org
    """


subscriber.add_command(import_)


@subscriber.command()
@click.argument("address")
@click.option("--list", "-l", "slugs", multiple=True, required=True, metavar="SLUG", help="A list; may be repeated.")
@click.option("--name", "-n", default="", help="Their name.")
@click.option("--language", default="", metavar="TAG", help="Such as en or ja.")
@click.option("--set", "values", multiple=True, metavar="ATTRIBUTE=TEXT", help="An attribute; may be repeated.")
@click.option("--state", "wanted", type=click.Choice(["active", "pending"]), default="active", show_default=True)
@click.option("--why", default="added by an admin", show_default=True, help="How they agreed; kept with it.")
@at_option
def add(
    address: str,
    slugs: tuple[str, ...],
    name: str,
    language: str,
    values: tuple[str, ...],
    wanted: str,
    why: str,
    now: dt.datetime,
) -> None:
    """Put somebody on a list.

    Whoever left a list is not brought back by it: only they themselves can come back.

    \b
    newsletter subscriber add jane@example.org --list alliance-digest --name Jane
    newsletter subscriber add k@example.org -l alliance-digest --set city=Kyoto --why "card at the fair"
    """
    from newsletter import subscribers
    from newsletter.states import SubscriptionState

    folder = here()
    with folder.session() as session:
        person = subscribers.add(
            session,
            folder.config,
            address,
            lists=slugs,
            now=now,
            why=why,
            name=name,
            language=language,
            attributes=pairs(values, "city=Kyoto"),
            state=SubscriptionState(wanted),
        )
        stand = [standing for standing in subscribers.standings(session, person) if standing.list in slugs]
    for standing in stand:
        console().print(Text.assemble(f"{person.address}  {standing.list}  ", state(standing.state)))


@subscriber.command("list")
@click.option("--list", "-l", "slug", metavar="SLUG", help="Only this list.")
@click.option("--state", "wanted", type=click.Choice(STATES), help="Only in this state.")
@click.option("--search", "-s", metavar="WORD", help="Only with this in the address or the name.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows in the table.")
@json_option
def list_all(slug: str | None, wanted: str | None, search: str | None, limit: int, as_json: bool) -> None:
    """Subscribers, a row for each of their subscriptions.

    \b
    newsletter subscriber list --list alliance-digest --state active
    newsletter subscriber list --search example.org --json
    """
    from newsletter import lists, subscribers
    from newsletter.models import List

    with here().reading() as session:
        if slug and session.query(List.id).filter(List.slug == slug).first() is None:
            lists.named(session, (slug,))
        people = subscribers.listing(session, slug=slug, state=wanted, search=search)
        if as_json:
            _print_array(people)
            return
        shown = table("No>", "Address", "Name", "List", "State", "Since")
        count = 0
        for person in people:
            count += 1
            if count <= limit:
                shown.add_row(
                    str(person.id),
                    person.address,
                    person.name,
                    person.list or "",
                    state(person.shown),
                    f"{person.since:%Y-%m-%d}" if person.since else "",
                )
    out = console()
    if not count:
        out.print("Nobody here" + (" matches that." if slug or wanted or search else " yet."))
        out.print("Take people in: newsletter subscriber import FILE --list SLUG", style="bright_black")
        return
    out.print(shown)
    out.print()
    if count > limit:
        out.print(f"{limit:,} of {count:,}; --limit {count} shows all, subscriber export writes them to a file.")
    else:
        out.print(plural(count, "row"), style="bright_black")


def _print_array(people: Iterator[object]) -> None:
    import msgspec

    encoder = msgspec.json.Encoder()
    sys.stdout.write("[")
    for number, person in enumerate(people):
        sys.stdout.write(("," if number else "") + "\n  " + encoder.encode(person).decode())
    sys.stdout.write("\n]\n")


@subscriber.command()
@click.argument("who", metavar="ADDRESS|NUMBER")
@json_option
def show(who: str, as_json: bool) -> None:
    """One subscriber: their lists, and what happened to them.

    \b
    newsletter subscriber show jane@example.org
    newsletter subscriber show 17 --json
    """
    from newsletter import subscribers, suppressions

    with here().reading() as session:
        person = subscribers.find(session, who)
        stand = subscribers.standings(session, person)
        past = subscribers.history(session, person)
        barred = suppressions.suppressed(session, person.fingerprint)
    if as_json:
        print_json(
            {
                "id": person.id,
                "address": person.address,
                "name": person.name,
                "language": person.language,
                "attributes": person.attributes,
                "created": person.created,
                "erased": person.erased,
                "paused_until": person.paused_until,
                "suppressed": {"reason": barred.reason, "since": barred.since, "why": barred.why} if barred else None,
                "subscriptions": stand,
                "history": past,
            }
        )
        return
    out = console()
    out.print(Text.assemble((person.address or f"subscriber {person.id}, erased", "bold"), f"  {person.name}"))
    facts = [f"{name} {text}" for name, text in person.attributes.items() if text]
    facts += [f"language {person.language}"] if person.language else []
    if facts:
        out.print(", ".join(facts), style="bright_black")
    if barred:
        why = f": {barred.why}" if barred.why else ""
        out.print(
            Text.assemble(
                state("suppressed"), f" since {barred.since:%Y-%m-%d}, {barred.reason.value}{why}; never mailed"
            )
        )
    if person.paused_until:
        out.print(Text.assemble(state("paused"), f" until {person.paused_until}; no issue goes to them before"))
    out.print()
    lists = table("List", "State", "Since", "Joined", "Why")
    for standing in stand:
        lists.add_row(
            standing.list,
            state(standing.state),
            f"{standing.since:%Y-%m-%d}",
            f"{standing.joined:%Y-%m-%d}" if standing.joined else "",
            standing.why,
        )
    out.print(lists if stand else "On no list.")
    out.print()
    told = table("When (UTC)", "What")
    for happening in past:
        told.add_row(f"{happening.at:%Y-%m-%d %H:%M}", happening.what)
    out.print(told)


@subscriber.command()
@click.option("--list", "-l", "slug", metavar="SLUG", help="Only this list.")
@click.option("--state", "wanted", type=click.Choice(STATES), help="Only in this state.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A file that isn't there yet.  [default: standard output]",
)
@json_option
def export(slug: str | None, wanted: str | None, output: Path | None, as_json: bool) -> None:
    """Write subscribers as CSV, or with --json as JSON lines; a row for each subscription.

    No cell is taken for a formula by a spreadsheet, and importing the file gives the same subscribers.

    \b
    newsletter subscriber export --output subscribers.csv
    newsletter subscriber export --list alliance-digest --state active --json
    """
    from newsletter import lists, subscribers
    from newsletter.models import List
    from newsletter.subscriber_export import export_csv, export_json

    folder = here()
    with folder.reading() as session:
        if slug and session.query(List.id).filter(List.slug == slug).first() is None:
            lists.named(session, (slug,))
        people = subscribers.listing(session, slug=slug, state=wanted)
        with exported_to(output) as out:
            count = export_json(people, out) if as_json else export_csv(people, folder.config.attributes, out)
    if output:
        click.echo(f"{plural(count, 'row')} in {output}", err=True)


@contextlib.contextmanager
def exported_to(path: Path | None) -> Iterator[TextIO]:
    """A new file that nobody else on this machine reads, or standard output. SubscriberMistake if there is one."""
    import io
    import os

    from newsletter.errors import SubscriberMistake

    if path is None:
        out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=False)
        try:
            yield out
        finally:
            out.flush()
            out.detach()
        return
    try:
        # Addresses are nobody else's business on this machine.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SubscriberMistake("there is such a file already", where=path, remedy="Name another.") from None
    except OSError as error:
        raise SubscriberMistake(f"it can't be written: {error.strerror}", where=path) from None
    with open(handle, "w", encoding="utf-8", newline="") as out_file:
        yield out_file


@subscriber.command()
@click.argument("who", metavar="ADDRESS|NUMBER")
@lists_option
@click.option("--all", "everything", is_flag=True, help="Every list.")
@click.option("--why", default="asked an admin", show_default=True, help="Kept with it.")
@at_option
def unsubscribe(who: str, slugs: tuple[str, ...], everything: bool, why: str, now: dt.datetime) -> None:
    """Let somebody leave lists, at once and for good; copies that still wait for them are called off.

    \b
    newsletter subscriber unsubscribe jane@example.org --all
    newsletter subscriber unsubscribe jane@example.org --list alliance-digest --why "asked by mail"
    """
    from newsletter import departures, subscribers
    from newsletter.states import LeftBy

    if bool(slugs) == everything:
        raise click.UsageError("Say which: --list SLUG, or --all.")
    folder = here()
    with folder.session() as session:
        person = subscribers.find(session, who)
        lists = tuple(row.list for row in subscribers.standings(session, person)) if everything else slugs
        gone = departures.leave_lists(session, folder.config, person, lists, "", None, LeftBy.admin, now, why=why)
    out = console()
    if gone.lists:
        out.print(f"{person.address} is unsubscribed from {listed(gone.lists)}.")
    else:
        out.print(f"{person.address} was not subscribed there any more; nothing was changed.")
    if gone.skipped:
        out.print(f"{plural(gone.skipped, 'delivery', 'deliveries')} that still waited called off.")


@subscriber.command()
@click.argument("who", metavar="ADDRESS|NUMBER")
@yes_option
@at_option
def erase(who: str, yes: bool, now: dt.datetime) -> None:
    """Erase all data of a person, for good; only a fingerprint stays, so that no import brings them back.

    \b
    newsletter subscriber erase jane@example.org
    """
    from newsletter import erasure, subscribers
    from newsletter.states import LeftBy

    folder = here()
    with folder.reading() as session:
        person = subscribers.find(session, who)
        address, number = person.address, person.id
    if not yes:
        click.confirm(f"Erase everything about {address}? This can't be undone.", abort=True, err=True)
    with folder.session() as session:
        gone = erasure.erase(session, folder, subscribers.find(session, str(number)), LeftBy.admin, now)
    erasure.scrub(folder.engine)
    out = console()
    out.print(f"Subscriber {number} is erased; {plural(len(gone.lists), 'subscription')} went with them.")
    if gone.skipped:
        out.print(f"{plural(gone.skipped, 'delivery', 'deliveries')} that still waited called off.")
    out.print("Backups and files exported earlier still hold the address.", style="bright_black")


@subscriber.command()
@click.argument("who", metavar="ADDRESS|NUMBER")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="The first day on which they get mail."
)
@click.option("--off", is_flag=True, help="End it now.")
@at_option
def pause(who: str, until: dt.datetime | None, off: bool, now: dt.datetime) -> None:
    """Send somebody no issue until a day, in the publication's zone; they stay on their lists.

    Copies that still wait for them are called off. What they missed isn't sent later.

    \b
    newsletter subscriber pause jane@example.org --until 2024-05-01
    newsletter subscriber pause jane@example.org --off
    """
    from newsletter import pausing, subscribers

    if (until is None) != off:
        raise click.UsageError("Say which: --until DATE, or --off.")
    with here().session() as session:
        person = subscribers.find(session, who)
        skipped = pausing.pause(session, person, None if until is None else until.date(), now)
        address, day = person.address, person.paused_until
    out = console()
    out.print(f"{address} gets no issue until {day}." if day else f"{address} gets issues again.")
    if skipped:
        out.print(f"{plural(skipped, 'delivery', 'deliveries')} that still waited called off.")
