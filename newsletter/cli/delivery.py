"""newsletter delivery: the log, and what a person may put right in it."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from newsletter.cli.common import (
    at_option,
    console,
    emit,
    here,
    json_option,
    listed,
    local,
    plural,
    publication_option,
    state,
    table,
    yes_option,
)
from newsletter.cli.issue import by_option
from newsletter.models import DeliveryState

if TYPE_CHECKING:
    from rich.console import Console

    from newsletter.delivery_log import Line, Which

issue_argument = click.argument("which", metavar="ISSUE")
state_option = click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([each.value for each in DeliveryState]),
    help="Only these; may be said several times.",
)
domain_option = click.option("--domain", default="", metavar="DOMAIN", help="Only addresses at this domain.")
reply_option = click.option(
    "--where-reply", "reply", default="", metavar="TEXT", help="Only where the relay said this."
)


@click.group()
def delivery() -> None:
    """The log of deliveries: one for each reader of each issue, with what the relay said.

    "Sent" means that a relay took it. Whether it reached an inbox, nobody tells a sender.

    \b
    newsletter delivery list 2.21                         what needs a person first
    newsletter delivery show 2.21 ada@example.org         every attempt, in the server's own words
    newsletter delivery retry 2.21 --state failed         try them once more
    newsletter delivery resolve 2.21 --sent               the uncertain ones count as sent
    newsletter delivery export 2.21 --output log.csv
    """


@delivery.command("list")
@issue_argument
@state_option
@click.option("--search", default="", metavar="TEXT", help="Only where the address or the name holds this.")
@domain_option
@reply_option
@click.option("-n", "limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@publication_option
@json_option
@at_option
def list_(
    which: str,
    states: tuple[str, ...],
    search: str,
    domain: str,
    reply: str,
    limit: int,
    publication: str | None,
    as_json: bool,
    now: dt.datetime,
) -> None:
    """The deliveries of an issue, those in trouble first.

    \b
    newsletter delivery list 2.21
    newsletter delivery list 2.21 --state failed --state deferred
    newsletter delivery list 2.21 --domain example.org --json
    """
    from newsletter import config, deliveries, delivery_log, issues

    folder = here()
    slug, settings = folder.publication(publication)
    zone = config.zone(settings.cadence.zone)
    wanted = _which(states, search=search, domain=domain, reply=reply)
    with folder.reading() as session:
        issue = issues.find(session, slug, which)
        found = list(delivery_log.lines(session, issue, wanted, limit=limit))
        more = delivery_log.count(session, issue, wanted) - len(found)
        tally = deliveries.tally(session, issue.id)
        facts = {
            "issue": str(issues.number_of(issue) or ""),
            "state": issue.state.value,
            "candidates": issue.candidates,
            "excluded": issue.excluded or {},
            "tally": {each.value: count for each, count in tally.items()},
            "more": more,
            "deliveries": [_facts(line) for line in found],
        }
        name, excluded = issues.name(issue), issue.excluded or {}
        candidates = issue.candidates

    def shown(out: Console) -> None:
        from rich.text import Text

        if candidates is None:
            out.print(f"{name} has no audience yet; it is frozen when it is sent.")
            return
        left_out = f", less {listed(f'{count:,} {why}' for why, count in excluded.items())}" if excluded else ""
        out.print(f"{name}: {plural(candidates, 'candidate')}{left_out}: {sum(tally.values()):,} due.")
        out.print(_tally_line(tally))
        out.print()
        if not found:
            out.print("No delivery is like that.")
            return
        made = table("Reader", "State", "Since", "Tries>", "It said last")
        for line in found:
            made.add_row(
                Text(line.address or "(erased)", overflow="ellipsis"),
                state(line.state),
                local(line.since, zone, now=now),
                str(line.tries),
                Text(_said(line, zone, now), "bright_black", overflow="ellipsis"),
            )
        out.print(made)
        if more:
            out.print(Text(f"and {more:,} more; -n says how many are shown", "bright_black"))

    emit(as_json, facts, shown)


@delivery.command()
@issue_argument
@click.argument("address")
@publication_option
@json_option
@at_option
def show(which: str, address: str, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """Every attempt at one reader's copy, in the server's own words.

    \b
    newsletter delivery show 2.21 ada@example.org
    """
    from newsletter import config, delivery_log, headers, issues
    from newsletter.tokens import keys

    folder = here()
    slug, settings = folder.publication(publication)
    zone = config.zone(settings.cadence.zone)
    with folder.session() as session:
        issue = issues.find(session, slug, which)
        line, tried = delivery_log.tries(session, issue, address)
        domain = headers.wire_address(settings.sender).rpartition("@")[2]
        number = f"<{keys(session, now).message(issue.id, line.subscriber)}@{domain}>"
        name = issues.name(issue)
    facts = _facts(line) | {
        "message_id": number,
        "attempts": [
            {"state": each.state.value, "at": each.at, "relay": each.relay, "reply": each.reply} for each in tried
        ],
    }

    def shown(out: Console) -> None:
        from rich.text import Text

        out.print(Text.assemble((f"{line.address or '(erased)'}", "bold"), f", {name}  ", state(line.state)))
        out.print(Text(f"Message-ID {number}", "bright_black"))
        if line.state is DeliveryState.sent:
            out.print("A relay took it; no more is known.")
        if line.next_look:
            out.print(f"Tried again {local(line.next_look, zone, now=now)}.")
        out.print()
        if not tried:
            out.print("Not tried yet.")
            return
        made = table("Try>", "When", "State", "Relay", "It said")
        for place, each in enumerate(tried, 1):
            made.add_row(
                str(place), local(each.at, zone, now=now), state(each.state), each.relay or "", each.reply or ""
            )
        out.print(made)

    emit(as_json, facts, shown)


@delivery.command()
@click.argument("which", metavar="[ISSUE]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every issue.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file.  [default: standard output]")
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@publication_option
def export(which: str | None, everything: bool, output: Path | None, kind: str, publication: str | None) -> None:
    """The whole log, earlier attempts included: a row for each.

    \b
    newsletter delivery export 2.21 --output deliveries.csv
    newsletter delivery export --all --format jsonl > log.jsonl
    """
    from newsletter import delivery_log, issues

    folder = here()
    slug, _ = folder.publication(publication)
    if bool(which) == everything:
        raise click.UsageError("Name an issue, or say --all.")
    rows = 0
    with folder.reading() as session, _out(output) as out:
        write = _writer(kind, out)
        chosen = issues.listing(session, slug) if everything else [issues.find(session, slug, str(which))]
        for issue in chosen:
            if issue.started is None:
                continue
            label = str(issues.number_of(issue))
            batch: list[Line] = []
            with _bar(output, label, sum((issue.excluded or {}).values()), issue.candidates or 0) as advance:
                for line in _and_end(delivery_log.lines(session, issue, _which(()))):
                    if line is not None:
                        batch.append(line)
                    if batch and (line is None or len(batch) == 500):
                        earlier = delivery_log.attempts(session, issue, [each.subscriber for each in batch])
                        for each in batch:
                            for tried in earlier.get(each.subscriber, []):
                                write(
                                    [
                                        label,
                                        each.address or "",
                                        tried.state.value,
                                        tried.at.isoformat(),
                                        tried.relay or "",
                                        tried.reply or "",
                                        "earlier",
                                    ]
                                )
                                rows += 1
                            write(
                                [
                                    label,
                                    each.address or "",
                                    each.state.value,
                                    each.since.isoformat(),
                                    each.relay or "",
                                    each.reply or "",
                                    "last",
                                ]
                            )
                            rows += 1
                        advance(len(batch))
                        batch = []
    if output:
        click.echo(f"{plural(rows, 'row')} in {output}")


@delivery.command()
@issue_argument
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1)
@state_option
@domain_option
@reply_option
@yes_option
@publication_option
@at_option
def retry(
    which: str,
    addresses: tuple[str, ...],
    states: tuple[str, ...],
    domain: str,
    reply: str,
    yes: bool,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """Try failed deliveries once more, or deferred ones now. What was sent or is uncertain is never touched.

    \b
    newsletter delivery retry 2.21
    newsletter delivery retry 2.21 --state deferred --domain example.org
    newsletter delivery retry 2.21 --where-reply "5.7.1" --yes
    """
    from newsletter import delivery_log, issues

    folder = here()
    slug, settings = folder.publication(publication)
    wanted = _which(states or ("failed",), domain=domain, reply=reply, addresses=addresses)
    with folder.reading() as session:
        issue = issues.find(session, slug, which)
        count, name = delivery_log.count(session, issue, wanted), issues.name(issue)
    if not count:
        click.echo(f"{name}: no {' or '.join(each.value for each in wanted.states)} delivery is like that.")
        return
    if not yes:
        click.confirm(f"Try {plural(count, 'delivery', 'deliveries')} of {name} once more?", abort=True)
    with folder.session() as session:
        queued, left = delivery_log.retry(session, settings, issues.find(session, slug, which), wanted, now)
    _say_again(queued, left)


@delivery.command()
@issue_argument
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1)
@click.option("--sent", is_flag=True, help="They count as sent.")
@click.option("--again", is_flag=True, help="They are sent once more; whoever had the first copy gets two.")
@domain_option
@by_option
@yes_option
@publication_option
@at_option
def resolve(
    which: str,
    addresses: tuple[str, ...],
    sent: bool,
    again: bool,
    domain: str,
    by: str,
    yes: bool,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """Decide about the uncertain ones: the final dot had left, and no answer came. Nobody but a person does this.

    The Message-ID is in the relay's own log, if the relay took the message. Without --sent or --again they are listed.

    \b
    newsletter delivery resolve 2.21
    newsletter delivery resolve 2.21 --sent
    newsletter delivery resolve 2.21 ada@example.org --again
    """
    from newsletter import delivery_log, headers, issues
    from newsletter.tokens import keys

    if sent and again:
        raise click.UsageError("Say --sent or --again, not both.")
    folder = here()
    slug, settings = folder.publication(publication)
    wanted = _which(("uncertain",), domain=domain, addresses=addresses)
    with folder.session() as session:
        issue = issues.find(session, slug, which)
        name, count = issues.name(issue), delivery_log.count(session, issue, wanted)
        if not count:
            click.echo(f"{name}: no delivery is uncertain.")
            return
        if not sent and not again:
            secret, domain_of = keys(session, now), headers.wire_address(settings.sender).rpartition("@")[2]
            made = table("Reader", "What is known", "Message-ID")
            for line in delivery_log.lines(session, issue, wanted, limit=200):
                made.add_row(
                    line.address or "(erased)",
                    line.reply or "",
                    f"<{secret.message(issue.id, line.subscriber)}@{domain_of}>",
                )
            out = console()
            out.print(made)
            out.print()
            out.print(
                f"{plural(count, 'delivery', 'deliveries')} of {name}: the relay may have taken them, or not."
                " Its log knows, by Message-ID."
            )
            out.print(f"newsletter delivery resolve {which} [ADDRESS]... --sent | --again")
            return
    if not yes:
        what = "count as sent" if sent else "be sent once more"
        click.confirm(f"Shall {plural(count, 'delivery', 'deliveries')} of {name} {what}?", abort=True)
    with folder.session() as session:
        done, left = delivery_log.resolve(
            session, settings, issues.find(session, slug, which), wanted, now, again=again, by=by
        )
    if again:
        _say_again(done, left)
    else:
        click.echo(f"{plural(done, 'delivery', 'deliveries')} counted as sent.")


def _which(
    states: tuple[str, ...], *, search: str = "", domain: str = "", reply: str = "", addresses: tuple[str, ...] = ()
) -> Which:
    from newsletter.delivery_log import Which

    return Which(tuple(DeliveryState(each) for each in states), search, domain, reply, addresses)


def _facts(line: Line) -> dict[str, Any]:
    return {
        "subscriber": line.subscriber,
        "address": line.address,
        "name": line.name,
        "state": line.state.value,
        "since": line.since,
        "next_look": line.next_look,
        "tries": line.tries,
        "relay": line.relay,
        "reply": line.reply,
    }


def _said(line: Line, zone: dt.tzinfo, now: dt.datetime) -> str:
    again = f"; again {local(line.next_look, zone, now=now)}" if line.next_look else ""
    return f"{line.reply or ''}{again}"


def _tally_line(tally: dict[DeliveryState, int]) -> Any:
    from rich.text import Text

    from newsletter.cli.common import SHAPES

    made = Text()
    for each in DeliveryState:
        if count := tally.get(each, 0):
            shape, colour = SHAPES[each.value]
            made.append(f"{'   ' if made else ''}{shape} {count:,} {each.value}", colour)
            if each is DeliveryState.sent:
                made.append(" (a relay took them)", "bright_black")
    return made


def _say_again(queued: int, left: int) -> None:
    click.echo(f"{plural(queued, 'delivery', 'deliveries')} queued once more; a sender takes them.")
    if left:
        click.echo(f"{left:,} skipped: they have left, or are suppressed or erased by now.")


@contextmanager
def _out(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that gets its name when it is whole."""
    from newsletter.errors import DeliveryMistake

    if output is None:
        yield sys.stdout
        return
    part = output.with_name(output.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            yield out
        part.replace(output)
    except OSError as error:
        raise DeliveryMistake(f"it can't be written: {error.strerror}", where=output) from None
    finally:
        part.unlink(missing_ok=True)


COLUMNS = ("issue", "address", "state", "at", "relay", "reply", "try")


def _writer(kind: str, out: TextIO) -> Callable[[list[str]], None]:
    if kind == "csv":
        from newsletter.spreadsheets import Writer

        writer = Writer(out)
        writer.row(COLUMNS)
        return writer.row
    import json

    return lambda cells: print(json.dumps(dict(zip(COLUMNS, cells, strict=True)), ensure_ascii=False), file=out)


def _and_end(lines: Iterator[Line]) -> Iterator[Line | None]:
    yield from lines
    yield None


@contextmanager
def _bar(output: Path | None, label: str, excluded: int, candidates: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    shown = output is not None and sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as progress:
        task = progress.add_task(label, total=candidates - excluded)
        yield lambda count: progress.advance(task, count)
