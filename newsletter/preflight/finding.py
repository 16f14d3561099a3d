"""What preflight finds, as values, and the register of the functions that look for it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from newsletter.preflight_rules import RULES, Level

if TYPE_CHECKING:
    from newsletter.preflight.facts import Facts
    from newsletter.preflight.sources import Passage

log = logging.getLogger("newsletter")

_LEVELS = list(Level)

MOST = 20
"""Findings of one rule that are told: whoever pasted a thousand wrong links has one fault to mend."""


class Finding(Struct, frozen=True):
    """One thing that would go wrong in inboxes, or has been noticed."""

    rule: str
    level: Level
    what: str
    """What is wrong: the words of a sentence, without its full stop."""
    why: str
    """Why it matters to a reader."""
    remedy: str
    story: int | None = None
    """The story's position in the issue; None where it isn't about one."""
    headline: str = ""
    where: str = ""
    """The story's file where it is known; else the part of the issue: "the subject", "the HTML"."""
    line: int | None = None
    """In that file; where the file isn't known, in the story's text."""

    @property
    def place(self) -> str:
        """Where it is, for people: "story 2, 2-blinken.md, line 7"."""
        parts = [f"story {self.story}"] if self.story is not None else []
        parts += [self.where] if self.where else []
        if self.line is not None:
            parts.append(f"line {self.line}" + ("" if self.where else " of its text"))
        return ", ".join(parts)

    @property
    def sentence(self) -> str:
        """All of it in a line: place, what, remedy."""
        text = f"{self.place}: {self.what}" if self.place else capital(self.what)
        return f"{text}. {self.remedy}"


def capital(words: str) -> str:
    """Words as the beginning of a sentence; an address, a host, a file and a setting stay as they are."""
    return words if re.search(r"[./_]\w|://", words.split(" ", 1)[0]) else words[:1].upper() + words[1:]


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule's function answers; the rest of the finding is known from the rule."""

    what: str
    remedy: str
    story: int | None = None
    key: str = "body"
    """Which part of the story, as in its front matter; "body" for its text."""
    row: int | None = None
    """In the body: on which of its lines, from 0."""
    where: str = ""
    """Where it isn't in a story."""
    level: Level | None = None
    """Where it matters less than the rule's own level says."""


def found_at(passage: Passage, offset: int, what: str, remedy: str) -> Found:
    """What was found at an offset of a text."""
    return Found(what, remedy, passage.story, passage.key, passage.at(offset), passage.where)


Look = Callable[["Facts"], Iterator[Found]]
LOOKS: dict[str, Look] = {}
"""The function of each rule, by its name."""


def looks_for(rule: str) -> Callable[[Look], Look]:
    """Registers the function of a rule; the rule itself stands in newsletter.preflight_rules."""

    def register(look: Look) -> Look:
        assert rule in RULES, rule
        assert rule not in LOOKS, rule
        LOOKS[rule] = look
        return look

    return register


def findings(facts: Facts, off: Mapping[str, str], looks: Mapping[str, Look] = LOOKS) -> tuple[Finding, ...]:
    """All that the rules find, errors first; those that are switched `off` aren't asked.

    A pure function of the facts. A rule that itself fails is a warning of that rule's: it must not stop an issue.
    """
    made: list[Finding] = []
    for name, rule in RULES.items():
        if name in off or name not in looks:
            continue
        try:
            made += _few([_finding(name, found, facts) for found in looks[name](facts)])
        except Exception as error:
            # A fault of ours: the log has it whole. The other rules, and the issue, go on.
            log.exception("the preflight rule %s failed", name)
            what = f"this rule itself failed, and has looked at nothing ({type(error).__name__}: {error})"
            level = max(rule.level, Level.warning, key=_LEVELS.index)
            made.append(Finding(name, level, what, rule.why, "Look for it yourself, and report the fault."))
    return tuple(sorted(made, key=lambda finding: _LEVELS.index(finding.level)))


def _few(found: list[Finding]) -> list[Finding]:
    """The findings of one rule, the worst first, and how many more there are where there are very many."""
    found.sort(key=lambda finding: _LEVELS.index(finding.level))
    if len(found) <= MOST:
        return found
    last = found[MOST - 1]
    more = f"there are {len(found) - MOST + 1:,} more of these"
    return [
        *found[: MOST - 1],
        Finding(last.rule, last.level, more, last.why, "Put the first ones right, and look again."),
    ]


def _finding(name: str, found: Found, facts: Facts) -> Finding:
    rule = RULES[name]
    level = rule.level if found.level is None else max(rule.level, found.level, key=_LEVELS.index)
    headline, where, line = "", found.where, None
    if found.story is not None:
        headline = facts.story(found.story).headline
        source = facts.sources.get(found.story)
        if source is not None:
            where = source.file
            line = source.keys.get(found.key) if found.key != "body" or found.row is None else source.body + found.row
        elif found.key != "body":
            where = found.key
        elif found.row is not None:
            line = found.row + 1
    return Finding(name, level, found.what, rule.why, found.remedy, found.story, headline, where, line)
