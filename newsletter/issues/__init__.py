"""Issues: opened, assembled, numbered and frozen, approved, held, and let go when their time comes.

    advancing     one look at a publication's calendar: what is due is done, once, however many look
    assembling    ready drafts copied and frozen, with a number, in the caller's one transaction
    changing      what a person decides: approve, hold, resume, pause, cancel, reopen, another number
    finding       which issue is meant, which is due, which number is the last
    outlook       the next issues, with the numbers that they will get
    states        how an issue gets from one state to the next, and stands still meanwhile

At most one process at a time is at work on a publication's issues; each function waits for its turn.
"""

from newsletter.issues.advancing import advance, open_next
from newsletter.issues.assembling import assemble, expected
from newsletter.issues.changing import (
    approve,
    cancel,
    choose_segment,
    hold,
    make_private,
    override,
    pause,
    reopen,
    resume,
)
from newsletter.issues.finding import due, find, last_numbered, listing, number_of
from newsletter.issues.states import Event, Happened, lock, lock_calendar, name

__all__ = [
    "Event",
    "Happened",
    "advance",
    "approve",
    "assemble",
    "cancel",
    "choose_segment",
    "due",
    "expected",
    "find",
    "hold",
    "last_numbered",
    "listing",
    "lock",
    "lock_calendar",
    "make_private",
    "name",
    "number_of",
    "open_next",
    "override",
    "pause",
    "reopen",
    "resume",
]
