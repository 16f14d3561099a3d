"""What a message that came back says: one verdict for each recipient that it reports on. Pure: no database, no clock.

Asked in this order, since one may look like another: does it ask to leave, is it a feedback report, a delivery
report, a bounce in words by a mail server, an automatic reply. What none of these knows is for a person to look at.
"""

from __future__ import annotations

from newsletter.bounces import people, reports, texts
from newsletter.bounces.came import Came
from newsletter.bounces.mime import READ
from newsletter.bounces.verdict import Verdict

__all__ = ["READ", "read"]


def read(raw: bytes, recipient: str = "") -> tuple[Verdict, ...]:
    """The verdicts of a message that came back to `recipient` (the envelope's; "" where it isn't known).

    At least one. Never raises, and reads READ octets at the most.
    """
    came = Came(raw, recipient)
    if asked := people.leaving(came):
        return (asked,)
    found = reports.feedback(came) or reports.delivery_report(came) or texts.exim(came)
    if not found and came.by_a_machine:
        found = texts.plain(came)
    if not found and (answered := people.reply(came)):
        return (answered,)
    found = found or texts.plain(came) or texts.others(came, raw)
    return tuple(found) or (people.unknown(came),)
