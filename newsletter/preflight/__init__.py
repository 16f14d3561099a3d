"""What would go wrong in a reader's inbox, found before anybody has the issue.

    finding      a finding as a value, and the register of the functions that look for one
    facts        what a rule may know: an issue, its renditions, its readers, what went before; frozen
    gathering    the facts, out of the database and the templates
    inbox, exits, links, picture_rules, structure, colours, css, words, own_name, record, alike, spam
                 the rules: small functions of the facts
    sources      a story's Markdown with the lines on which things stand
    caniemail    which mail programs understand which CSS
    network      following links, where that is wanted

A rule's name, level and reason stand in newsletter.preflight_rules. Nothing is asked over the network unless told to.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter import issues
from newsletter.errors import Mistake, PreflightMistake
from newsletter.folder import Folder
from newsletter.models import Issue, Rendition
from newsletter.preflight import (  # noqa: F401 - each registers its rules
    alike,
    colours,
    css,
    exits,
    inbox,
    links,
    own_name,
    picture_rules,
    record,
    spam,
    structure,
    words,
)
from newsletter.preflight.facts import Facts, Trouble
from newsletter.preflight.finding import LOOKS, Finding, findings
from newsletter.preflight.gathering import gather, troubles
from newsletter.preflight_rules import RULES, Level
from newsletter.rehearsing import rehearsed
from newsletter.states import RenditionKind

__all__ = [
    "LOOKS",
    "Facts",
    "Finding",
    "Level",
    "Looked",
    "asked",
    "errors",
    "facts",
    "faults",
    "findings",
    "in_words",
    "is_rendered",
    "look",
    "of",
    "refusal",
]

_TOLD = 2
"""Errors that a reason names; the notice and the command tell all of them."""


@dataclass(frozen=True, slots=True)
class Looked:
    """An issue that was gathered facts of, whether it is assembled already or as it would be now."""

    name: str
    """Of the issue: "Vol 2 No 21"."""
    label: str
    """In short: "2.21"."""
    known: Facts
    off: dict[str, str]
    """The rules that are switched off, and why."""


def look(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> tuple[Finding, ...]:
    """What preflight finds in an assembled issue, errors first; rendered where it hasn't been. Nothing is fetched."""
    _, publication = folder.publication(issue.publication)
    return findings(facts(session, folder, issue, now), publication.preflight)


def faults(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> tuple[Finding, ...]:
    """The errors alone, found quickly: readers are counted only where it depends on them whether there is one."""
    _, publication = folder.publication(issue.publication)
    looks = {name: look for name, look in LOOKS.items() if RULES[name].level is Level.error}

    def found(*, counted: bool) -> tuple[Finding, ...]:
        known = facts(session, folder, issue, now, counted=counted)
        return tuple(errors(findings(known, publication.preflight, looks)))

    first = found(counted=False)
    return found(counted=True) if any(each.rule in _BY_READERS for each in first) else first


_BY_READERS = ("clipped", "subject-empty")


def refusal(name: str, label: str, found: Iterable[Finding]) -> PreflightMistake:
    """Why an issue with these errors doesn't go: the first of them, and how to see all."""
    all_of = list(found)
    told = [finding.sentence for finding in all_of]
    said = [_short(finding) for finding in all_of]
    more = f"; and {len(said) - _TOLD} more" if len(said) > _TOLD else ""
    count = f"{len(said)} error{'s' if len(said) > 1 else ''}"
    return PreflightMistake(
        f"{name} isn't sent as it is, since preflight found {count}: {'; '.join(said[:_TOLD])}{more}",
        told=tuple(told),
        remedy=f"See newsletter issue preflight {label}.",
    )


def _short(finding: Finding) -> str:
    return f"{finding.place}: {finding.what}" if finding.place else finding.what


def of(folder: Folder, slug: str, which: str, now: dt.datetime) -> Looked:
    """The facts of the issue `which`; one that still takes drafts is looked at as it would go now. Nothing is kept.

    IssueMistake for one that isn't there, or can't be assembled.
    """
    with folder.reading() as session:
        if which != "next" and is_rendered(session, issue := issues.find(session, slug, which)):
            return _looked(session, folder, issue, now)
    return rehearsed(folder, slug, which, now, lambda session, issue: _looked(session, folder, issue, now))


def is_rendered(session: Session, issue: Issue) -> bool:
    """Whether all renditions of an issue are kept, so that it can be looked at by reading alone."""
    kinds = select(func.count(Rendition.kind.distinct())).where(Rendition.issue_id == issue.id)
    return issue.volume is not None and session.scalar(kinds) == len(RenditionKind)


def _looked(session: Session, folder: Folder, issue: Issue, now: dt.datetime) -> Looked:
    _, publication = folder.publication(issue.publication)
    label = str(issues.number_of(issue) or issue.slot)
    return Looked(issues.name(issue), label, facts(session, folder, issue, now), dict(publication.preflight))


def facts(session: Session, folder: Folder, issue: Issue, now: dt.datetime, *, counted: bool = True) -> Facts:
    """The facts of an assembled issue. What can't be rendered is one of them, and not a Mistake.

    With counted=False its readers aren't counted, and anything is thought possible of them.
    """
    from newsletter.render import render_issue

    slug, publication = folder.publication(issue.publication)
    found: tuple[Trouble, ...] = ()
    made: dict[RenditionKind, Rendition] = {}
    for on_paper in (True, False):
        try:
            made = render_issue(session, folder, slug, publication, issue, now, on_paper=on_paper)
            break
        except Mistake as mistake:
            # Where the others can't be made either, it isn't the PDF's fault.
            found = troubles(mistake, on_paper=on_paper)
    return gather(session, folder, slug, publication, issue, made, now, troubles=found, counted=counted)


def asked(known: Facts, *, network: bool, off: Mapping[str, str] | None = None) -> Facts:
    """The facts with what takes seconds to find out: SpamAssassin's score, and, if wanted, which links are dead.

    What only rules that are switched `off` want to know isn't asked.
    """
    off = off or {}
    if known.message and "spam-score" not in off:
        said = spam.score(known.message)
        known = dataclasses.replace(known, **({"no_spam": said} if isinstance(said, str) else {"spam": said}))
    if network and "link-dead" not in off:
        from newsletter.preflight.network import follow

        # What is local is told without asking, by another rule.
        known = dataclasses.replace(known, followed=follow(u for u in links.followable(known) if not links.local(u)))
    return known


def errors(found: Iterable[Finding]) -> list[Finding]:
    """Those that hold the issue."""
    return [finding for finding in found if finding.level is Level.error]


def in_words(found: Iterable[Finding]) -> str:
    """How many of each level: "no error, 1 warning, 2 notes"."""
    levels = [finding.level for finding in found]
    parts = [
        f"{count or 'no'} {level.value}{'s' if count > 1 else ''}"
        for level in Level
        if (count := levels.count(level)) or level is Level.error
    ]
    return ", ".join(parts)
