"""newsletter issue list and show: issues as they stand."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import click

from newsletter.cli.common import (
    at_option,
    emit,
    here,
    json_option,
    local,
    plural,
    publication_option,
    state,
    table,
)
from newsletter.cli.issue import changing, issue_argument

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from newsletter.config import Publication
    from newsletter.models import Issue
    from newsletter.preflight import Finding


@click.command("list")
@click.option("-n", "count", type=click.IntRange(1), default=12, show_default=True, help="How many.")
@publication_option
@json_option
@at_option
def list_(count: int, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """Every issue, newest first: number, state, date, stories, when it is due, and why it waits.

    \b
    newsletter issue list
    newsletter issue list -n 26 --json
    """
    from newsletter import config, issues

    folder = here()
    slug, settings = folder.publication(publication)
    zone = config.zone(settings.cadence.zone)
    with folder.reading() as session:
        rows = [_facts(session, slug, settings, each) for each in issues.listing(session, slug, last=count)]

    def shown(out: Console) -> None:
        from rich.text import Text

        if not rows:
            out.print("No issue yet. The first is opened by newsletter run, or by newsletter issue assemble.")
            return
        made = table("Issue", "State", "Date", "Stories>", "Due", "Why")
        for row in rows:
            due = None if row["state"] == "cancelled" else row["finished"] or row["sends"]
            made.add_row(
                Text(row["name"], "bold" if row["label"] else ""),
                state(row["state"]),
                str(row["date"] or row["slot"]),
                f"{row['ready']} ready" if row["ready"] is not None else str(len(row["stories"])),
                local(due, zone, now=now),
                _why(row),
            )
        out.print(made)

    emit(as_json, rows, shown)


@click.command()
@issue_argument
@publication_option
@json_option
@at_option
def show(which: str, publication: str | None, as_json: bool, now: dt.datetime) -> None:
    """Everything about one issue: its clocks, its stories, why it waits and when it is next looked at.

    \b
    newsletter issue show
    newsletter issue show 2.21 --json
    """
    from newsletter import config

    with changing(which, publication, now) as (session, slug, settings, found):
        row = _facts(session, slug, settings, found) | _record(session, slug, found, now)
    zone = config.zone(settings.cadence.zone)
    if not found.started and row["state"] not in ("sent", "cancelled"):
        row |= _ahead(slug, found, now)
        row["preflight"] = _preflight(found, now)

    def shown(out: Console) -> None:
        from rich.text import Text

        out.print(Text.assemble((row["name"], "bold"), "  ", state(row["state"])))
        out.print(Text(f"{settings.title}, times in {zone.key}", "bright_black"))
        out.print()
        clocks = table("", "", "", show_header=False)
        if row["expected"] and not row["label"]:
            clocks.add_row("number", row["expected"], "if it were assembled now")
        clocks.add_row("copy deadline", local(row["deadline"], zone, now=now), _assembled(row, zone, now))
        clocks.add_row("approve by", local(row["approve_by"], zone, now=now), _approval(row, settings))
        clocks.add_row("sends", local(row["sends"], zone, now=now), "")
        if row["started"]:
            clocks.add_row("started", local(row["started"], zone, now=now), "")
        if row["finished"]:
            clocks.add_row("finished", local(row["finished"], zone, now=now), "")
        if row["candidates"] is not None or row["no_audience"]:
            clocks.add_row("audience", "", _audience(row))
        for field in ("subject", "preheader"):
            if row[field]:
                clocks.add_row(field, "", row[field])
        if row["private"]:
            clocks.add_row("private", "", row["address"] or "it has its address once it is assembled")
        if row["corrections"]:
            revision = row["corrections"][-1]["revision"]
            clocks.add_row("corrected", "", f"revision {revision}: newsletter issue corrections {row['label']}")
        out.print(clocks)
        out.print()
        if row["why"]:
            over = row["state"] in ("sent", "cancelled")
            next_look = local(row["next_look"], zone, now=now) or ("" if over else "when someone decides")
            waits = table("Why", "Since", "Next look")
            waits.add_row(_why(row), local(row["since"], zone, now=now), next_look)
            out.print(waits)
            out.print()
        if row["stories"]:
            stories = table("No>", "Headline", "Section")
            for story in row["stories"]:
                stories.add_row(str(story["position"]), story["headline"], story["section"])
            out.print(stories)
        elif row["ready"] is not None:
            out.print(f"{plural(row['ready'], 'draft')} ready: newsletter draft list.")
        if row["preflight"] is not None:
            from newsletter.cli.preflight import summary

            out.print()
            for line in summary(row["preflight"], row["label"]):
                out.print(Text(line))

    emit(as_json, row, shown)


def _facts(session: Session, slug: str, settings: Publication, each: Issue) -> dict[str, Any]:
    """One issue as plain values."""
    from newsletter import drafts, issues, segments
    from newsletter.errors import IssueMistake
    from newsletter.states import IssueState

    unassembled = each.state is IssueState.open or each.held_in is IssueState.open
    number = issues.number_of(each)
    try:
        expected = issues.expected(session, slug, settings, each) if unassembled else number
    except IssueMistake:
        expected = None
    title = issues.name(each)
    return {
        "publication": slug,
        "slot": each.slot,
        "name": title[:1].upper() + title[1:],
        "label": None if number is None else str(number),
        "volume": each.volume,
        "number": each.number,
        "through": each.through,
        "expected": None if expected is None else expected.long,
        "date": each.date,
        "state": each.state.value,
        "held_in": each.held_in.value if each.held_in else None,
        "held_by": each.held_by,
        "why": each.why,
        "since": each.since,
        "next_look": each.next_look,
        "deadline": each.deadline,
        "approve_by": each.approve_by,
        "sends": each.sends,
        "assembled": each.assembled,
        "approved_by": each.approved_by,
        "started": each.started,
        "finished": each.finished,
        "subject": each.subject or each.wanted_subject,
        "preheader": each.preheader or each.wanted_preheader,
        "segment": segments.name_of(settings, each) or None,
        "no_audience": None,
        "preflight": None,
        "candidates": each.candidates,
        "excluded": each.excluded,
        "ready": len(drafts.candidates(session, slug, each.slot)) if unassembled else None,
        "stories": [
            {
                "position": story.position,
                "headline": story.headline,
                "section": story.section,
                "draft": story.draft_id,
            }
            for story in each.stories
        ],
    }


def _record(session: Session, slug: str, each: Issue, now: dt.datetime) -> dict[str, Any]:
    """What is kept of it for good: where its page is, whether that is private, what was corrected."""
    from newsletter.cli.issue_correct import facts
    from newsletter.render.edition import page_url
    from newsletter.tokens import keys

    folder = here()
    private = each.private
    if each.assembled is None:
        private = folder.config.publications[slug].private if each.wanted_private is None else each.wanted_private
    address = None
    if each.assembled is not None and each.volume is not None and each.number is not None:
        key = keys(session, now).issue(each.id) if private else ""
        address = page_url(folder.config.base_url, slug, each.volume, each.number, key)
    return {
        "private": private,
        "address": address,
        "corrections": [facts(session, one) for one in each.corrections],
    }


def _ahead(slug: str, each: Issue, now: dt.datetime) -> dict[str, Any]:
    """Who it would go to now, by reading alone: a large list takes a moment to count."""
    from newsletter import dispatch
    from newsletter.errors import Mistake

    folder = here()
    try:
        with folder.reading() as session:
            found = dispatch.ahead(session, folder.config, slug, each, now)
    except Mistake as mistake:
        return {"no_audience": str(mistake)}
    return {"candidates": found.candidates, "excluded": found.excluded}


def _preflight(each: Issue, now: dt.datetime) -> tuple[Finding, ...] | None:
    """What preflight finds in it; None while it isn't rendered."""
    from newsletter import preflight
    from newsletter.models import Issue

    folder = here()
    with folder.reading() as session:
        found = session.get_one(Issue, each.id)
        return preflight.look(session, folder, found, now) if preflight.is_rendered(session, found) else None


def _audience(row: dict[str, Any]) -> str:
    to = f"segment {row['segment']}: " if row["segment"] else ""
    if row["no_audience"]:
        return f"{to}{row['no_audience']}"
    excluded = row["excluded"] or {}
    due = f"{row['candidates'] - sum(excluded.values()):,} due of {plural(row['candidates'], 'candidate')}"
    out = ", ".join(f"{count:,} {reason}" for reason, count in excluded.items())
    return f"{to}{due}{f'; left out: {out}' if out else ''}"


def _why(row: dict[str, Any]) -> str:
    return f"{row['held_by']}: {row['why']}" if row["held_by"] else str(row["why"])


def _assembled(row: dict[str, Any], zone: dt.tzinfo, now: dt.datetime) -> str:
    if row["assembled"]:
        return f"assembled {local(row['assembled'], zone, now=now)}"
    return "ready drafts are frozen, the number is given"


def _approval(row: dict[str, Any], settings: Publication) -> str:
    from newsletter.config import Approval

    if row["approved_by"]:
        return f"approved by {row['approved_by']}"
    return {
        Approval.manual: "it goes when someone sends it",
        Approval.approve: "else it is held",
        Approval.veto: "it goes unless someone holds it",
    }[settings.approval]
