"""The numbers page: behind a signed link that expires, since there is no login; also as a file with all in it."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort
from itsdangerous import BadSignature, Signer
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from newsletter import numbers, plots
from newsletter.config import zone
from newsletter.dates import long_date
from newsletter.folder import Folder
from newsletter.growth import Growth
from newsletter.numbers import Numbers, Table
from newsletter.spreadsheets import Writer
from newsletter.tokens import Keys, keys
from newsletter.web.site import STYLES, site

pages = Blueprint("numbers", __name__)

SHOWN = 12
"""Issues and reasons that stand on the page; all of them are in the files."""


def key(secrets: Keys, slug: str, until: dt.datetime) -> str:
    """What stands in the address of a publication's numbers, good until then."""
    return _signer(secrets).sign(f"{slug}~{int(until.timestamp()):x}").decode()


def read_key(secrets: Keys, text: str, now: dt.datetime) -> tuple[str, dt.datetime] | None:
    """The publication of a key and until when it is good; None where it isn't ours, or was good until now."""
    try:
        slug, _, moment = _signer(secrets).unsign(text).decode().partition("~")
        until = dt.datetime.fromtimestamp(int(moment, 16), dt.UTC)
    except (BadSignature, ValueError, OverflowError, OSError):
        return None
    return (slug, until) if now < until else None


def _signer(secrets: Keys) -> Signer:
    # itsdangerous signs with the last key of the list, and takes all of them.
    return Signer(list(reversed(secrets.form)), salt="numbers", sep="~", digest_method=hashlib.sha256)


@pages.get("/numbers/<text>")
def show(text: str) -> Response:
    """The page."""
    found, until = _found(text)
    here = site()
    made = html(here.folder, found, style=here.style_path, here=here.path("numbers", text), expires=until)
    return Response(made, mimetype="text/html")


@pages.get("/numbers/<text>/<name>.csv")
def file(text: str, name: str) -> Response:
    """One table as CSV."""
    if name not in numbers.TABLES:
        abort(404)
    found, _ = _found(text)
    response = Response(csv(numbers.tables(found)[name]), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{found.publication}-{name}.csv"'
    return response


def _found(text: str) -> tuple[Numbers, dt.datetime]:
    here = site()
    now = here.now()
    with here.folder.reading() as session:
        known = read_key(keys(session, now), text, now)
        if known is None or known[0] not in here.folder.config.publications:
            abort(404)
        slug, until = known
        return numbers.of(session, slug, here.folder.config.publications[slug], now), until


def csv(table: Table) -> str:
    """A table as CSV, times in ISO 8601."""
    out = io.StringIO(newline="")
    writer = Writer(out)
    writer.row(table.columns)
    for row in table.rows:
        writer.row([cell.isoformat(timespec="seconds") if isinstance(cell, dt.datetime) else str(cell) for cell in row])
    return out.getvalue()


def html(folder: Folder, found: Numbers, *, style: str = "", here: str = "", expires: dt.datetime | None = None) -> str:
    """The page. Without `here`, its address, it is a file that needs nothing else."""
    publication = folder.config.publications[found.publication]
    at = zone(publication.cadence.zone)
    tables = numbers.tables(found)

    def sheet(name: str) -> str:
        return folder.template(f"web/{name}").read_text("utf-8")

    values = _plots(found, tables)
    template = _environment(folder.template_places).get_template("numbers.html")
    return template.render(
        numbers=found,
        tables=tables,
        file=not here,
        style=style if here else Markup("".join(map(sheet, STYLES))),  # noqa: S704 - our own
        here=here,
        expires=expires,
        public=f"{folder.config.base_url}/{found.publication}/scanners",
        imprint=publication.postal_address,
        date=lambda moment: long_date(moment.astimezone(at).date(), "en"),
        moment=lambda moment: f"{long_date(moment.astimezone(at).date(), 'en')}, {moment.astimezone(at):%H:%M %Z}",
        shown=lambda cell: _shown(cell, at),
        **values,
    )


@functools.lru_cache(maxsize=4)
def _environment(places: tuple[Path, ...]) -> Environment:
    return Environment(
        loader=ChoiceLoader([FileSystemLoader(place / "web") for place in places]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(cell: Any, at: dt.tzinfo) -> str:
    if isinstance(cell, dt.datetime):
        local = cell.astimezone(at)
        return f"{local:%Y-%m-%d %H:%M}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _plots(found: Numbers, tables: Mapping[str, Table]) -> dict[str, Any]:
    """What the template shows: each plot with its sentence, which stands above it and is said of it too."""
    lists = []
    for each in found.growth:
        grew, came = grown(each), came_and_went(each)
        points = [(_tick(each.first.label), each.at_first)]
        points += [(_tick(period.label), period.active) for period in each.periods]
        lists.append(
            {
                "growth": each,
                "grew": grew,
                "came": came,
                "line": _svg(plots.line(points, f"{each.title}: {grew}")),
                "bars": _svg(
                    plots.came_and_left(
                        [(_tick(p.label), p.joined, p.left + p.suppressed) for p in each.periods],
                        f"{each.title}: {came}",
                        ("joined", "left or suppressed"),
                    )
                ),
                "table": Table(
                    "growth",
                    tables["growth"].columns[1:],
                    tuple(row[1:] for row in reversed(tables["growth"].rows) if row[0] == each.list),
                ),
            }
        )
    returned = said_of_returns(found)
    worst = next(iter(found.domains), "")
    by_domain = (
        f"{sum(found.domains[worst].values()):,} of {sum(sum(each.values()) for each in found.domains.values()):,}"
        f" from {worst}."
        if worst
        else "None from a reader’s address."
    )
    left = said_of_doors(found)
    kept = _kept_columns(tables["issues"])
    return {
        "glance": _glance(found),
        "lists": lists,
        "by_issue": len(found.issues) > 1,
        "issues": kept,
        "read": _read(found),
        "links": [
            {
                "name": each.name,
                "table": Table(
                    "links",
                    ("link", "address", "clicks", "readers"),
                    tuple((link.number, link.url, link.times, link.readers) for link in each.links),
                ),
            }
            for each in [issue for issue in found.issues if issue.links][:3]
        ],
        "measures": said_of_measures(found),
        "returned": returned,
        "by_domain": by_domain,
        "kinds_plot": _svg(
            plots.rows([(kind, [count]) for kind, count in found.returns.items()], returned, ["returns"], ["f-sent"])
        ),
        "domains_plot": _svg(
            plots.rows(
                [
                    (name, [each.get("hard", 0), each.get("soft", 0), each.get("policy", 0) + each.get("complaint", 0)])
                    for name, each in found.domains.items()
                ],
                by_domain,
                ["hard", "soft", "policy, complaints"],
                ["f-hard", "f-soft", "f-other"],
            )
        ),
        "left": left,
        "doors_plot": _svg(
            plots.rows(
                [(DOORS.get(by, by), [count]) for by, count in found.doors.items()], left, ["departures"], ["f-sent"]
            )
        ),
        "older": max(0, len(found.issues) - SHOWN),
        "ignored": Table(
            "ignored",
            ("what", "this month", "ever"),
            tuple((IGNORED.get(what, what), *each) for what, each in found.ignored.items()),
        ),
        "reasons": found.reasons[:SHOWN],
        "more": max(0, len(found.reasons) - SHOWN),
    }


DOORS = {
    "one-click": "mail program’s button",
    "page": "link in the mail",
    "preferences": "their own page",
    "mail": "a mail to us",
    "admin": "somebody here",
}
"""How each door is called, by its word in departures."""
IGNORED = {
    "open": "pictures that measure, fetched",
    "click": "links followed",
    "page": "readers’ pages looked at",
    "canary": "the link that no person sees, followed",
    "button": "buttons pressed",
    "form": "forms filled in",
}
"""What was ignored, by its word in the table of that name."""


def grown(each: Growth) -> str:
    """What a list's line shows, in a sentence."""
    change = each.active - each.at_first
    if not change:
        return f"{each.active:,}, as many as at {each.first.label}."
    return f"{each.active:,}: {abs(change):,} {'more' if change > 0 else 'fewer'} than at {each.first.label}."


def came_and_went(each: Growth) -> str:
    """What its bars show."""
    joined = sum(period.joined for period in each.periods)
    left = sum(period.left for period in each.periods)
    suppressed = sum(period.suppressed for period in each.periods)
    return f"{joined:,} joined, {left:,} left, {suppressed:,} were suppressed."


def said_of_measures(found: Numbers) -> str:
    """Which of opens and clicks are measured, and what that is worth."""
    ways = [way for way in ("opens", "clicks") if way in found.measures]
    if not ways:
        return "Opens and clicks are not measured for this publication."
    unmeasured = "" if len(ways) == 2 else f" {'Clicks' if ways == ['opens'] else 'Opens'} are not measured."
    words = f"{' and '.join(ways).capitalize()} are measured in sum, for 30 days after an issue went out.{unmeasured}"
    if "opens" in ways:
        words += (
            " An open is a hint: Apple’s mail programs fetch every picture and are left out, Google and Yahoo fetch it"
            " once for their readers, and others fetch none."
        )
    return words


def said_of_returns(found: Numbers) -> str:
    """What came back, in a sentence."""
    hard, soft, complaints = (found.returns.get(kind, 0) for kind in ("hard", "soft", "complaint"))
    return (
        f"{hard:,} hard and {soft:,} soft bounces; {complaints:,} {'complaint' if complaints == 1 else 'complaints'}."
    )


def said_of_doors(found: Numbers) -> str:
    """How readers left, in a sentence."""
    total = sum(found.doors.values())
    if not total:
        return "Nobody left."
    door, most = next(iter(found.doors.items()))
    return f"{most:,} of {total:,} by the {DOORS[door]}." if door == "one-click" else f"{total:,} left."


def _glance(found: Numbers) -> list[dict[str, str]]:
    active = sum(each.active for each in found.growth)
    change = active - sum(each.at_first for each in found.growth)
    left = sum(found.doors.values())
    first = found.growth[0].first.label if found.growth else "first"
    made = [
        {
            "label": "Active",
            "figure": f"{active:,}",
            "said": f"subscriptions, {abs(change):,} {'more' if change >= 0 else 'fewer'} than at {first}",
        }
    ]
    if found.issues:
        last = found.issues[0]
        lost = last.due - last.counts.get("sent", 0)
        made.append(
            {
                "label": f"Sent, {last.label}",
                "figure": f"{last.counts.get('sent', 0):,}",
                "said": f"of {last.due:,} due" + (f"; {lost:,} not" if lost else ", all of them"),
            }
        )
    made.append({"label": "Left", "figure": f"{left:,}", "said": f"and {found.undone:,} who took it back"})
    made.append(
        {
            "label": "Bounces",
            "figure": f"{found.returns.get('hard', 0) + found.returns.get('soft', 0):,}",
            "said": f"and {found.returns.get('complaint', 0):,} complaints",
        }
    )
    return made


def _kept_columns(table: Table) -> Table:
    """The table of issues without columns in which there is nothing, so that it fits."""
    always = {"issue", "time", "due", "sent", "failed", "left"}
    keep = [
        place
        for place, name in enumerate(table.columns)
        if name in always or any(row[place] not in (0, "") for row in table.rows)
    ]
    names = {
        "hard_bounces": "hard",
        "readers_who_opened": "opened by",
        "readers_who_clicked": "clicked by",
    }
    return Table(
        "issues",
        tuple(names.get(table.columns[place], table.columns[place]) for place in keep),
        tuple(tuple(row[place] for place in keep) for row in table.rows[:SHOWN]),
    )


def _read(found: Numbers) -> list[dict[str, Any]]:
    """Bars of readers who opened and who followed a link, by issue, where that was measured."""
    made = []
    for name, each in (
        ("opened", [(sent.label, sent.opened, sent.counts.get("sent", 0)) for sent in found.issues]),
        ("followed a link of", [(sent.label, sent.followed, sent.counts.get("sent", 0)) for sent in found.issues]),
    ):
        bars = [(label, [pair[1]]) for label, pair, _ in each if pair is not None][:SHOWN]
        if bars:
            label, count = bars[0][0], bars[0][1][0]
            sent = each[[label for label, _, _ in each].index(label)][2]
            share = f", {count / sent:.0%} of those it was sent to" if sent and count <= sent else ""
            said = f"{count:,} {'reader' if count == 1 else 'readers'} {name} {label}{share}."
            made.append({"said": said, "svg": _svg(plots.rows(bars, said, [name], ["f-opened"]))})
    return made


def _tick(label: str) -> str:
    return f"No {label.partition('.')[2]}" if label.replace(".", "").isdecimal() else label


def _svg(text: str) -> Markup:
    return Markup(text)  # noqa: S704 - newsletter.plots escapes what it is given
