"""The sending watched: newsletter status --watch. From the ledger, so it sees every sender on every host."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from newsletter.cli.common import SHAPES, listed, local, plural, table
from newsletter.cli.progress import progress
from newsletter.cli.sending import TROUBLE, domains_table, line, pace_of, troubles
from newsletter.figures import Watched
from newsletter.states import IssueState

if TYPE_CHECKING:
    from newsletter.config import Publication
    from newsletter.figures import Figures
    from newsletter.folder import Folder
    from newsletter.waits import Wait

WIDEST = 120
"""Columns that are used at most: longer lines are hard to follow."""
EVERY, EVERY_LINE = 1.0, 10.0
"""Seconds between two looks: where a person looks on, and where lines are written."""
MOST = 4
"""Replies of deferred deliveries that are told apart."""
LONG = 200
"""Batches to be counted at first from which a bar says so: about a second."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found."""

    now: dt.datetime
    going: tuple[Figures, ...]
    """What is being sent, and what was when the watch began or since."""
    relays: tuple[Wait, ...]
    """Those that are left alone."""
    trouble: str = ""
    """Why the figures are old, where the database can't be reached."""

    @property
    def over(self) -> bool:
        return not self.trouble and not any(each.state is IssueState.sending for each in self.going)


@dataclass(slots=True)
class Looker:
    """Looks at the ledger again and again; keeps what it has counted."""

    folder: Folder
    publications: Mapping[str, Publication]
    clock: Callable[[], dt.datetime]
    seconds: Callable[[], float]
    _watched: dict[int, Watched] = field(default_factory=dict)

    def __call__(self) -> Look:
        """How it stands now. A first look goes through the whole ledger of an issue, in many short readings."""
        from newsletter import figures, waits
        from newsletter.models import Issue

        with self.folder.reading() as session:
            for issue in figures.going(session, list(self.publications)):
                self._watched.setdefault(issue.id, Watched(issue.id))
        for watched in self._watched.values():
            self._count(watched)
        now, names = self.clock(), [relay.name for relay in self.folder.config.relays]
        with self.folder.reading() as session:
            found = tuple(
                watched.figures(session.get_one(Issue, number), self.seconds(), now)
                for number, watched in self._watched.items()
            )
            return Look(now, found, (*waits.relays(session, names), *waits.paces(session)))

    def _count(self, watched: Watched) -> None:
        with self.folder.reading() as session:
            if watched.look(session):
                return
        done, ahead = watched.ahead
        if watched.looks or ahead < LONG:
            while not self._more(watched):
                pass
            return
        with progress("counting", ahead) as advance:
            while not self._more(watched):
                before, done = done, watched.ahead[0]
                advance(done - before)

    def _more(self, watched: Watched) -> bool:
        with self.folder.reading() as session:
            return watched.look(session)


def watch(
    look: Callable[[], Look],
    publications: Mapping[str, Publication],
    out: Console,
    *,
    as_json: bool = False,
    every: float | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Shows each look until nothing is being sent: drawn in place in a terminal, elsewhere as lines."""
    drawn = out.is_terminal and not as_json
    pause = every or (EVERY if drawn else EVERY_LINE)
    found = look()
    if not found.going and not as_json:
        out.print(Text.assemble("Nothing is being sent. What comes next: ", ("newsletter status", "blue")))
        return
    if not drawn:
        for each in _until_over(look, found, pause, wait):
            for said in [as_line(each)] if as_json else plain(each, publications):
                click.echo(said)
        return
    out.width = min(out.width, WIDEST)
    # Drawn where it is looked: no thread is started, and while a look takes long the figures before it stay.
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as view:
        for each in _until_over(look, found, pause, wait):
            view.update(screen(each, publications, out), refresh=True)


def _until_over(look: Callable[[], Look], found: Look, pause: float, wait: Callable[[float], None]) -> Iterator[Look]:
    from sqlalchemy.exc import DBAPIError

    while True:
        yield found
        if found.over:
            return
        wait(pause)
        try:
            found = look()
        except DBAPIError as error:
            words = str(error.orig).strip().splitlines() or [type(error).__name__]
            found = replace(found, trouble=f"the database can't be used: {words[0]}")


# ---- as lines


def as_line(found: Look) -> str:
    """A look as one JSON object on one line."""
    import msgspec

    facts = {"now": found.now, "going": found.going, "relays": found.relays, "trouble": found.trouble}
    return msgspec.json.encode(facts).decode()


def plain(found: Look, publications: Mapping[str, Publication]) -> Iterator[str]:
    """A look as people read it in a log: a line for each issue, and one for each relay that is left alone."""
    for each in found.going:
        zone = _zone(publications[each.publication])
        parts = [f"{each.done:,} of {each.due:,}"]
        parts += [_tail(each, zone, found.now).plain.replace("   ", ", ")]
        parts += [f"{each.counts[word]:,} {word}" for word in (*TROUBLE, "skipped") if each.counts.get(word)]
        parts += [_senders(each)] if each.senders else []
        yield f"{found.now.astimezone(zone):%Y-%m-%d %H:%M:%S}  {_name(each, found)}: {', '.join(parts)}"
    for wait in found.relays:
        zone = _zone(next(iter(publications.values())))
        again = f", tried again {_again(wait.next_look, zone, found.now)}" if wait.next_look is not None else ""
        yield f"{found.now.astimezone(zone):%Y-%m-%d %H:%M:%S}  {_other(wait)}: {wait.why}{again}"
    if found.trouble:
        yield _capital(found.trouble) + "; tried again."


# ---- in a terminal


def screen(found: Look, publications: Mapping[str, Publication], out: Console) -> RenderableType:
    """A look as it stands in a terminal: as many of its parts as there is room for, what matters most first."""
    parts = list(_parts(found, publications, out.width))
    kept: list[RenderableType] = []
    room = out.height - 1
    for part in parts:
        room -= len(out.render_lines(part, pad=False)) + 1
        if room < -1:
            break
        kept += ([Text()] if kept else []) + [part]
    return Group(*kept)


def _parts(found: Look, publications: Mapping[str, Publication], width: int) -> Iterator[RenderableType]:
    yield _head(found, publications, width)
    shown = {each.publication: _zone(publications[each.publication]) for each in found.going}
    longest = max(len(_name(each, found)) for each in found.going)
    for each in found.going:
        yield _issue(each, found, shown[each.publication], width, longest)
    several = len(found.going) > 1
    zone = next(iter(shown.values()))
    if waits := [
        *(row for each in found.going for row in _deferred(each, several=several)),
        *((Text(f"◷ {_other(one)}", "yellow"), _since(one, zone, found.now), one.next_look) for one in found.relays),
    ]:
        yield _waits(waits, zone, found.now)
    for each in found.going:
        if each.domains:
            yield domains_table(each.domains, width, _name(each, found) if several else "Domain")
    if found.over:
        yield Text("Sent: a relay took responsibility for it; no more is known.", "bright_black")
    else:
        yield Text("Ctrl-C ends this view. The sending goes on.", "bright_black")


def _head(found: Look, publications: Mapping[str, Publication], width: int) -> RenderableType:
    titles = list(dict.fromkeys(publications[each.publication].title for each in found.going))
    first = publications[found.going[0].publication]
    city = first.cadence.zone.rpartition("/")[2].replace("_", " ")
    moment = Text(f"{found.now.astimezone(_zone(first)):%H:%M:%S}, {city}", "bright_black")
    title = Text(listed(titles), "bold")
    title.truncate(max(10, width - moment.cell_len - 2), overflow="ellipsis")
    head = Table.grid(expand=True)
    head.add_column()
    head.add_column(justify="right")
    head.add_row(title, moment)
    if not found.trouble:
        return head
    said = f"✗ {_capital(found.trouble)}. The figures are old."
    return Group(head, Text(said, "red"))


def _issue(each: Figures, found: Look, zone: dt.tzinfo, width: int, longest: int) -> RenderableType:
    name = Text(_name(each, found).ljust(longest), "bold")
    below: list[Text] = [said for said in (troubles(each.counts, width - 4),) if said]
    if each.why and each.state in (IssueState.paused, IssueState.sending):
        below.append(Text(each.why, "yellow"))
    if each.senders:
        below.append(Text(_senders(each), "bright_black"))
    elif _forsaken(each):
        below.append(Text.assemble("start one: ", ("newsletter run", "blue"), " or ", ("newsletter work", "blue")))
    for said in below:
        said.truncate(width - 4, overflow="ellipsis")
    made = line(each.state.value, name, each.due, each.done, _tail(each, zone, found.now), width)
    return Group(made, *(Padding(said, (0, 0, 0, 4)) for said in below))


def _tail(each: Figures, zone: dt.tzinfo, now: dt.datetime) -> Text:
    """How fast and how much longer; or why not."""
    if each.state is not IssueState.sending:
        return Text(each.state.value, SHAPES[each.state.value][1])
    if _forsaken(each):
        return Text("no sender is at work", "red")
    if each.why:
        return Text("waits", "yellow")
    if not each.untried and each.counts.get("deferred"):
        return Text(f"next try {_again(each.next_look, zone, now)}", "yellow")
    return pace_of(each.rate, each.left)


def _forsaken(each: Figures) -> bool:
    return each.state is IssueState.sending and each.untried > 0 and not each.senders and not each.why


def _senders(each: Figures) -> str:
    """Who is at work: "3 senders: alpha 2, beta"."""
    hosts = ", ".join(host if count == 1 else f"{host} {count}" for host, count in each.senders.items())
    return f"{plural(sum(each.senders.values()), 'sender')}: {hosts}"


def _deferred(each: Figures, *, several: bool) -> Iterator[tuple[Text, str, dt.datetime | None]]:
    of = f" of {each.label}" if several else ""
    for one in each.deferred[:MOST]:
        yield Text(f"◷ {one.count:,} deferred{of}", "yellow"), one.said, one.next_look
    if rest := each.deferred[MOST:]:
        looks = [one.next_look for one in rest if one.next_look is not None]
        count = sum(one.count for one in rest)
        words = f"{len(rest)} other replies" if len(rest) > 1 else rest[0].said
        yield Text(f"◷ {count:,} deferred{of}", "yellow"), words, min(looks, default=None)


def _other(wait: Wait) -> str:
    """A relay, or a domain, by name."""
    return f"{'domain' if wait.kind.value == 'pace' else 'relay'} {wait.label}"


def _since(wait: Wait, zone: dt.tzinfo, now: dt.datetime) -> str:
    return f"{wait.why}, since {local(wait.since, zone, now=now)}"


def _waits(rows: list[tuple[Text, str, dt.datetime | None]], zone: dt.tzinfo, now: dt.datetime) -> Table:
    made = table(
        ("Waits", {"min_width": 16, "no_wrap": True}),
        ("Why", {"ratio": 1, "no_wrap": True}),
        ("Next try", {"no_wrap": True}),
        expand=True,
    )
    for what, why, again in rows:
        made.add_row(what, Text(why, overflow="ellipsis", no_wrap=True), _again(again, zone, now))
    return made


def _again(moment: dt.datetime | None, zone: dt.tzinfo, now: dt.datetime) -> str:
    # The view has a clock of its own: "today" would only take the room that reasons need.
    return "now" if moment is not None and moment <= now else local(moment, zone, now=now).removeprefix("today ")


def _name(each: Figures, found: Look) -> str:
    """As the issue is called; with several publications as on the command line."""
    several = len({one.publication for one in found.going}) > 1
    return f"{each.publication} {each.label}" if several else each.name


def _zone(publication: Publication) -> dt.tzinfo:
    from newsletter import config

    return config.zone(publication.cadence.zone)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
