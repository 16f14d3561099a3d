"""newsletter delivery retry and resolve: what only a person decides."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.text import Text

from newsletter.cli.common import (
    SHAPES,
    at_option,
    console,
    here,
    json_option,
    listed,
    local,
    plural,
    print_json,
    publication_option,
    yes_option,
)
from newsletter.cli.issue import by_option

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from newsletter.config import Publication
    from newsletter.decisions import Decided, Place
    from newsletter.delivery_log import Line, Which
    from newsletter.folder import Folder
    from newsletter.models import Issue

issue_argument = click.argument("which", metavar="ISSUE")
domain_option = click.option("--domain", default="", metavar="DOMAIN", help="Only addresses at this domain.")
reply_option = click.option("--where-reply", "reply", default="", metavar="TEXT", help="Only where this was said last.")
readers_argument = click.argument("who", metavar="[ADDRESS|NUMBER]...", nargs=-1)


@click.command()
@issue_argument
@readers_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["failed", "deferred"]),
    help="Only in this state; may be repeated.  [default: failed; of those who are named, both]",
)
@domain_option
@reply_option
@by_option
@yes_option
@publication_option
@at_option
def retry(
    which: str,
    who: tuple[str, ...],
    states: tuple[str, ...],
    domain: str,
    reply: str,
    by: str,
    yes: bool,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """Try again what failed, or now rather than later what is deferred.

    What a relay took, and what it may have taken, is never touched. Whoever has left, is suppressed or was erased
    is left out. An issue that was sent is sending again until all of it has ended.

    \b
    newsletter delivery retry 2.21 --where-reply "relaying denied"
    newsletter delivery retry 2.21 --state deferred --domain example.org
    newsletter delivery retry 2.21 ada@example.org bea@example.org --yes
    """
    from newsletter import decisions
    from newsletter.errors import DeliveryMistake
    from newsletter.states import DeliveryState

    folder = here()
    _, settings = folder.publication(publication)
    words = states or (("failed", "deferred") if who else ("failed",))
    meant = _meant(folder, publication, which, who, words, domain, reply, now)
    for line in meant.lines:
        if line.state.value not in words:
            doubt = line.state is DeliveryState.uncertain
            raise DeliveryMistake(
                f"{line.reader} is {line.state.value}; what is {listed(words)} is tried again",
                remedy=f"Decide about it: newsletter delivery resolve {which}." if doubt else "Nothing was changed.",
            )
    decisions.check(meant.issue)
    if not meant.count:
        like = " like that" if domain or reply else ""
        click.echo(f"{meant.title} has no {' or '.join(words)} delivery{like}.")
        return
    if not yes:
        parts = listed(f"{meant.counts[word]:,} {word}" for word in words if word in meant.counts)
        click.confirm(f"Try {meant.deliveries} again ({parts})?", abort=True, err=True)

    def step(session: Session, place: Place) -> Decided:
        return decisions.retry(session, settings, place, meant.which, by, now)

    reasons: Counter[str] = Counter()
    done = _decide(folder, meant, step, lambda _, why: reasons.update([why]), now)
    _say_queued(meant, done)
    if reasons:
        left = plural(reasons.total(), "delivery", "deliveries")
        told = listed(f"{count:,} {why}" for why, count in reasons.most_common())
        click.echo(f"{left} left as {'it is' if reasons.total() == 1 else 'they are'}: {told}.")
    elif not done:
        click.echo(NOTHING)


@click.command()
@issue_argument
@readers_argument
@click.option("--sent", is_flag=True, help="They arrived: they count as sent.")
@click.option("--again", is_flag=True, help="They didn't: they are sent once more.")
@domain_option
@by_option
@yes_option
@json_option
@publication_option
@at_option
def resolve(
    which: str,
    who: tuple[str, ...],
    sent: bool,
    again: bool,
    domain: str,
    by: str,
    yes: bool,
    as_json: bool,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """Decide about what is uncertain: all of the message had left, and no answer came.

    Without --sent or --again they are listed, each with the Message-ID by which the relay's log knows it. Nothing but
    this command decides about them. Without addresses it is about all of them. Whoever has left, is suppressed or was
    erased meanwhile is skipped rather than sent to again.

    \b
    newsletter delivery resolve 2.21
    newsletter delivery resolve 2.21 ada@example.org --sent
    newsletter delivery resolve 2.21 bea@example.org --again
    """
    from newsletter import decisions
    from newsletter.errors import DeliveryMistake

    if sent and again:
        raise click.UsageError("Say --sent or --again, not both.")
    if as_json and (sent or again):
        raise click.UsageError("--json is for listing them.")
    folder = here()
    _, settings = folder.publication(publication)
    meant = _meant(folder, publication, which, who, ("uncertain",), domain, "", now)
    for line in meant.lines:
        if who and line.state.value != "uncertain":
            raise DeliveryMistake(f"{line.reader} is {line.state.value}, not uncertain", remedy="Nothing was changed.")
    if again:
        decisions.check(meant.issue)
    if as_json:
        print_json([_facts(line, meant) for line in meant.lines])
        return
    out = console()
    if not meant.count:
        out.print(f"{meant.title} has no uncertain delivery{' there' if domain else ''}.")
        return
    if not (sent or again):
        _list(out, meant, settings, now)
        _what_to_type(out, meant)
        return
    if not yes:
        _list(out, meant, settings, now)
        what = (
            f"Count {meant.deliveries} as sent"
            if sent
            else f"Send {meant.deliveries} again, whoever may have the first"
        )
        click.confirm(f"{what}?", abort=True, err=True)

    def step(session: Session, place: Place) -> Decided:
        if sent:
            return decisions.count_as_sent(session, place, meant.which, by, now)
        return decisions.send_again(session, settings, place, meant.which, by, now)

    left_out: list[tuple[str, str]] = []
    done = _decide(folder, meant, step, lambda reader, why: left_out.append((reader, why)), now)
    for reader, why in left_out:
        after = "left uncertain; decide again" if why == decisions.BUSY else "skipped"
        out.print(f"{reader}: {why}, {after}.", soft_wrap=True)
    if again:
        _say_queued(meant, done)
    elif done:
        out.print(f"{plural(done, 'delivery', 'deliveries')} of {meant.title} counted as sent by {by}.")
    if not done and not left_out:
        out.print(NOTHING)


# ---- what is meant


@dataclass(slots=True)
class _Meant:
    """Which deliveries somebody typed of, looked up."""

    issue: Issue
    title: str
    label: str
    which: Which
    counts: dict[str, int]
    lines: Sequence[Line]
    """Those who were named, in whatever state; or else what is uncertain."""
    message_id: Callable[[int, int], str]

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    @property
    def deliveries(self) -> str:
        return f"{plural(self.count, 'delivery', 'deliveries')} of {self.title}"


def _meant(
    folder: Folder,
    publication: str | None,
    which: str,
    who: tuple[str, ...],
    words: Sequence[str],
    domain: str,
    reply: str,
    now: dt.datetime,
) -> _Meant:
    from newsletter import delivery_log, issues, waits
    from newsletter.states import DeliveryState
    from newsletter.tokens import keys

    slug, settings = folder.publication(publication)
    wanted = delivery_log.Which(
        states=tuple(DeliveryState(word) for word in words),
        reply=reply,
        domain=delivery_log.domain_key(domain) if domain else "",
    )
    with folder.reading() as session:
        issue = delivery_log.started(issues.find(session, slug, which))
        lines: Sequence[Line] = ()
        if who:
            lines = delivery_log.named(session, issue, who)
            wanted = delivery_log.Which(
                wanted.states, tuple(line.subscriber for line in lines), "", wanted.domain, wanted.reply
            )
        counts = {state.value: count for state, count in delivery_log.tally(session, issue.id, wanted).items()}
        if not who and words == ("uncertain",):
            lines = delivery_log.lines(session, issue.id, wanted, max(1, sum(counts.values())))
        message_id = delivery_log.message_ids(settings, keys(session, now))
    title = issues.name(issue)
    return _Meant(issue, title[:1].upper() + title[1:], waits.label(issue), wanted, counts, lines, message_id)


def _facts(line: Line, meant: _Meant) -> dict[str, object]:
    return {
        "subscriber": line.subscriber,
        "address": line.address,
        "name": line.name,
        "since": line.since,
        "tries": line.tries,
        "relay": line.relay,
        "reply": line.reply,
        "message_id": meant.message_id(meant.issue.id, line.subscriber),
    }


def _list(out: Console, meant: _Meant, settings: Publication, now: dt.datetime) -> None:
    from newsletter import config

    zone = config.zone(settings.cadence.zone)
    shape, colour = SHAPES["uncertain"]
    for line in meant.lines:
        through = f" through {line.relay}" if line.relay else ""
        since = f"  {local(line.since, zone, now=now)}{through}"
        out.print(Text.assemble((shape, colour), " ", (line.reader, "bold"), (since, "bright_black")), soft_wrap=True)
        out.print(Text(f"  {line.reply or 'nothing was heard'}"), soft_wrap=True)
        out.print(Text(f"  {meant.message_id(meant.issue.id, line.subscriber)}", "bright_black"), soft_wrap=True)
    out.print()


def _what_to_type(out: Console, meant: _Meant) -> None:
    out.print(
        f"{meant.deliveries}: the relay may have taken them, or not. Its log knows, by Message-ID.", soft_wrap=True
    )
    typed = f"newsletter delivery resolve {meant.label} ADDRESS..."
    for flag, what in (("--sent", "it is there: it counts as sent"), ("--again", "it isn't: it is sent once more")):
        out.print(Text.assemble((f"{typed} {flag:<7}", "blue"), f"   {what}"), soft_wrap=True)
    out.print(Text("Without addresses it is about all of them.", "bright_black"))


# ---- what is done


NOTHING = "Nothing was changed: what was meant has been decided meanwhile."


def _decide(
    folder: Folder,
    meant: _Meant,
    step: Callable[[Session, Place], Decided],
    left_out: Callable[[str, str], object],
    now: dt.datetime,
) -> int:
    """Takes a step in each place, in a transaction of its own; then the issue is sent if all of it has ended.

    Tells `left_out` who was, and why. Answers about how many deliveries it is decided.
    """
    from newsletter import decisions, deliveries
    from newsletter.cli.progress import progress

    done = 0
    with folder.reading() as session:
        places = decisions.places(session, meant.issue.id, meant.which)
    with progress("batches", len(places)) as advance:
        for place in places:
            with folder.session() as session:
                decided = step(session, place)
            done += decided.done
            for reader, why in decided.left_out:
                left_out(reader, why)
            advance(1)
    with folder.session() as session:
        deliveries.finish(session, meant.issue.id, now)
    return done


def _say_queued(meant: _Meant, done: int) -> None:
    if not done:
        return
    click.echo(f"{plural(done, 'delivery', 'deliveries')} of {meant.title} queued again.")
    if meant.issue.state.value == "paused":
        click.echo(f"They go when it is resumed: newsletter issue resume {meant.label}")
    else:
        click.echo(f"A sender takes them: newsletter run, or now: newsletter issue send {meant.label}")
