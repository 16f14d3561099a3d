"""What needs a person, and what to type about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from newsletter.cli.common import length, local, plural

if TYPE_CHECKING:
    from newsletter.standing import Next, Standing
    from newsletter.waits import Wait


SOON = dt.timedelta(days=1)
"""How long before a copy deadline missing stories need a person."""


@dataclass(frozen=True, slots=True)
class ToDo:
    """One thing that a person has to do."""

    state: str
    """The word of the state that it is about; its shape stands in front."""
    what: str
    commands: tuple[str, ...]
    """What to type; one of them is enough."""
    after: str = ""
    loud: bool = False
    """Something is late, or nobody is at work on it."""


def to_do(found: Standing, *, several: bool = False) -> list[ToDo]:
    """What needs a person, the loudest first. With several publications in the folder the commands name theirs."""
    needed = [*_late(found), *_next(found.next, found), *(each for wait in found.waits for each in _wait(wait, found))]
    if several:
        which = f" -p {found.publication}"
        needed = [replace(each, commands=tuple(_named(command, which) for command in each.commands)) for each in needed]
    # The same may be said of an issue as the next one and as one that waits.
    return list(dict.fromkeys(needed))


def _named(command: str, which: str) -> str:
    return command if command.endswith((" run", " work", " apply")) else command + which


def _late(found: Standing) -> Iterator[ToDo]:
    from newsletter import config

    zone = config.zone(found.zone)
    for going in found.going:
        if going.forsaken:
            yield ToDo(
                going.state.value,
                f"{going.name} is being sent, and no sender is at work. Start one:",
                ("newsletter run", "newsletter work"),
                loud=True,
            )
    for each in (found.next, found.following):
        if each is None or each.overdue is None:
            continue
        unsent = each.overdue.value == "unsent"
        moment = each.sends if unsent else each.deadline
        done = "gone" if unsent else "been assembled"
        when = f"{local(moment, zone, now=found.now)}, {length(found.now - moment)} ago"
        said = f"{_capital(each.name)} should have {done} {when}. {_because(each)}"
        commands = _remedies(each, found)
        yield ToDo("held", said if commands else said.rstrip(":") + ".", commands, loud=True)


def _because(each: Next) -> str:
    if each.state is None or each.state.value == "open":
        return "newsletter run is not up:" if not each.reopened else "It waits to be assembled again:"
    if each.state.value == "held":
        return f"It is held{f' by {each.held_by}' if each.held_by else ''}, see below:"
    if each.state.value == "assembled":
        return "It waits for someone to send it:" if each.approval.value == "manual" else "It is not approved:"
    return "It is approved, and nothing sends it:"


def _remedies(each: Next, found: Standing) -> tuple[str, ...]:
    if each.state is None or (each.state.value == "open" and not each.reopened):
        return ("newsletter run",)
    if each.state.value == "open":
        return (f"newsletter issue assemble --issue {each.label}",)
    if each.state.value == "approved":
        return ("newsletter run", f"newsletter issue send {each.label}")
    if each.state.value == "assembled":
        verb = "send" if each.approval.value == "manual" else "approve"
        return (f"newsletter issue {verb} {each.label}",)
    return next((_lifts(wait, found) for wait in found.waits if wait.label == each.label), ())


def _next(each: Next, found: Standing) -> Iterator[ToDo]:
    from newsletter import config

    if each.no_segment:
        commands = ("newsletter segment list",)
        yield ToDo("held", f"{_capital(each.no_audience)}. Mend it in config.toml, and look again:", commands)
    elif each.no_audience:
        yield ToDo("held", f"{_capital(each.no_audience)}. Describe it in lists/, then:", ("newsletter list apply",))
    elif each.audience is not None and not each.audience.candidates:
        commands = ("newsletter subscriber import readers.csv",)
        yield ToDo("open", "Nobody is on its lists yet. Import readers:", commands)
    if each.queue is not None and not each.queue.ready and not each.queue.writing:
        yield ToDo("open", "No drafts yet. Queue one:", ("newsletter draft add story.md",))
    elif each.queue is not None and each.queue.ready < each.queue.least and each.deadline - found.now < SOON:
        more = plural(each.queue.least - each.queue.ready, "more story", "more stories")
        made = ("newsletter draft ready ID",) if each.queue.writing else ()
        yield ToDo("open", f"{_capital(each.name)} needs {more}:", ("newsletter draft add story.md", *made))
    if each.queue is not None and each.number is None:
        yield ToDo(
            "open",
            f"{_capital(each.name)} has no number yet. Give it one:",
            (f"newsletter issue edit {each.label} --volume V --number N",),
        )
    if each.state is not None and each.state.value == "assembled" and each.overdue is None:
        until = local(each.approve_by, config.zone(found.zone), now=found.now)
        if each.approval.value == "approve":
            yield ToDo("assembled", "approve with", (f"newsletter issue approve {each.label}",), f"by {until}")
        elif each.approval.value == "manual":
            yield ToDo("assembled", "send with", (f"newsletter issue send {each.label}",))


def _wait(wait: Wait, found: Standing) -> Iterator[ToDo]:
    if wait.kind.value == "uncertain":
        yield ToDo("uncertain", "resolve with", (f"newsletter delivery resolve {wait.label}",))
    if wait.kind.value != "issue" or wait.state == "sending":
        return
    if any(one is not None and one.label == wait.label and one.overdue for one in (found.next, found.following)):
        return
    if wait.state == "open":
        yield ToDo("open", "assemble with", (f"newsletter issue assemble --issue {wait.label}",))
    elif commands := _lifts(wait, found):
        verbs = " or ".join(command.split()[2] for command in commands)
        yield ToDo(wait.state, f"{verbs} with", commands)


def _lifts(wait: Wait, found: Standing) -> tuple[str, ...]:
    """What lets an issue go on that is held or paused; nothing where it goes on by itself."""
    if wait.state == "paused" or wait.held_by:
        return (f"newsletter issue resume {wait.label}",)
    each = next((one for one in (found.next, found.following) if one is not None and one.label == wait.label), None)
    if wait.held_in is not None and wait.held_in.value == "open":
        if wait.next_look is None:
            # Its time has passed, and its drafts wait for the next issue.
            return (
                f"newsletter issue assemble --issue {wait.label}",
                f"newsletter issue cancel {wait.label} --why REASON",
            )
        # What is missing is said of the next issue; it goes on by itself once it is there.
        return ()
    unapproved = wait.held_in is not None and wait.held_in.value == "assembled"
    if unapproved and each is not None and each.approval.value == "approve" and each.approve_by <= found.now:
        return (f"newsletter issue approve {wait.label}",)
    return (f"newsletter issue resume {wait.label}",)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
