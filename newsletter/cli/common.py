"""What the commands share: their options, the way they open a folder, and how tables and progress look."""

from __future__ import annotations

import datetime as dt
import enum
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from newsletter.folder import Folder, open_folder

F = TypeVar("F", bound=Callable[..., Any])

publication_option = click.option(
    "--publication", "-p", metavar="NAME", help="Which publication, where the folder holds several."
)
json_option = click.option("--json", "as_json", is_flag=True, help="For machines: JSON on standard output.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Don't ask.")


class Moment(click.ParamType[dt.datetime]):
    """A moment such as 2023-11-13T17:00 or "2023-11-13 17:00-05:00"; this machine's zone where it has none."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        if isinstance(value, dt.datetime):
            return value
        try:
            moment = dt.datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f'"{value}" is not a time. Write 2023-11-13T17:00 or 2023-11-13T17:00-05:00.', param, ctx)
        return moment.astimezone() if moment.tzinfo is None else moment


def at_option(command: F) -> F:
    """Adds --at TIME: what is done as if it were that moment. The command gets `now`, aware."""
    return click.option(
        "--at",
        "now",
        type=Moment(),
        default=lambda: dt.datetime.now(dt.UTC),
        metavar="TIME",
        help="As if it were that moment: to rehearse a calendar.",
    )(command)


def here() -> Folder:
    """The publication folder that the command is about, opened and checked."""
    folder = open_folder(place())
    click.get_current_context().call_on_close(folder.engine.dispose)
    return folder


def place() -> Path:
    """The path of that folder, not opened."""
    path = click.get_current_context().find_root().obj
    return path if isinstance(path, Path) else Path()


def console() -> Console:
    """Standard output: the reader's own colours; plain, and as wide as the lines, where it isn't a terminal."""
    out = Console(highlight=False, soft_wrap=False, emoji=False, markup=False)
    return out if out.is_terminal else Console(highlight=False, width=120, color_system=None, emoji=False, markup=False)


# A state is a shape, a word and a colour, in that order of importance.
SHAPES = {
    "open": ("○", ""),
    "writing": ("○", ""),
    "queued": ("○", ""),
    "ready": ("✓", "green"),
    "approved": ("✓", "green"),
    "sent": ("✓", "green"),
    "active": ("✓", "green"),
    "published": ("✓", "green"),
    "assembled": ("◐", "blue"),
    "sending": ("◐", "blue"),
    "submitting": ("◐", "blue"),
    "placed": ("◐", "blue"),
    "deferred": ("◷", "yellow"),
    "pending": ("◷", "yellow"),
    "held": ("‖", "yellow"),
    "paused": ("‖", "yellow"),
    "failed": ("✗", "red"),
    "cancelled": ("✗", "red"),
    "uncertain": ("?", "magenta"),
    "skipped": ("–", "bright_black"),
    "dropped": ("–", "bright_black"),
    "unsubscribed": ("–", "bright_black"),
    "suppressed": ("–", "bright_black"),
}


def state(word: enum.Enum | str) -> Text:
    """A state as it is shown everywhere: shape, word, colour."""
    word = str(word.value) if isinstance(word, enum.Enum) else word
    shape, colour = SHAPES.get(word, ("", ""))
    return Text(f"{shape} {word}".strip(), colour)


def table(*columns: str | tuple[str, dict[str, Any]], **options: Any) -> Table:
    """A table as all of them look: no boxes, one line under the head. "Figure>" is set to the right."""
    made = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_edge=False,
        header_style="bright_black",
        border_style="bright_black",
        **options,
    )
    for column in columns:
        name, how = (column, {}) if isinstance(column, str) else column
        if name.endswith(">"):
            name, how = name[:-1], {"justify": "right", "no_wrap": True, **how}
        made.add_column(name, **how)
    return made


def emit(as_json: bool, rows: Any, shown: Callable[[Console], None]) -> None:
    """`rows` as JSON for machines, or whatever `shown` prints for people."""
    if as_json:
        print_json(rows)
    else:
        shown(console())


def print_json(rows: Any) -> None:
    """JSON on standard output, indented, with times in ISO 8601."""
    encoded = msgspec.json.format(msgspec.json.encode(rows, enc_hook=_plain), indent=2)
    sys.stdout.write(json.dumps(json.loads(encoded), ensure_ascii=False, indent=2) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def local(moment: dt.datetime | None, zone: dt.tzinfo, *, now: dt.datetime | None = None) -> str:
    """A moment on the publication's clock: "today 17:00", "tomorrow 09:00", "Nov 14 09:00", "Nov 14, 2022 09:00"."""
    if moment is None:
        return ""
    moment = moment.astimezone(zone)
    time = f"{moment:%H:%M}"
    if now is None:
        return f"{moment:%b} {moment.day}, {moment.year} {time}"
    today = now.astimezone(zone).date()
    days = (moment.date() - today).days
    if days in (-1, 0, 1):
        return f"{('yesterday', 'today', 'tomorrow')[days + 1]} {time}"
    return f"{moment:%b} {moment.day}{'' if moment.year == today.year else f', {moment.year}'} {time}"


def length(span: dt.timedelta) -> str:
    """A length of time in two units: "2 h 14 min", "17 days 3 h", "9 s"."""
    seconds = int(span.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [(days, "day" if days == 1 else "days"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((i for i, (count, _) in enumerate(parts) if count), 3)
    return sign + " ".join(
        f"{count} {unit}" for count, unit in parts[first : first + 2] if count or unit == parts[first][1]
    )


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count and its noun: "1 story", "1,234 stories"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(words: Iterable[object]) -> str:
    """Words as a sentence has them: a; a and b; a, b and c."""
    given: Sequence[str] = [str(word) for word in words]
    return " and ".join([", ".join(given[:-1]), given[-1]] if len(given) > 1 else given)
