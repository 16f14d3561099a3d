"""What was promised, asked of the servers' receipts and the ledger when everything has settled."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from .run import Run
from .server import Try

ENDED = {"sent", "failed", "uncertain", "skipped"}
GIVEN_UP = "(given up after "
LOST_SENDER = "its sender ("


@dataclass
class Verdict:
    """Of one run, or of several together."""

    runs: int = 0
    messages: int = 0
    """Receipts: messages that a server took responsibility for."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Anything else that was promised: sums, reasons, an end."""
    uncertain: int = 0
    allowed: int = 0
    losses: int = 0
    most: tuple[int, int] = (0, 0)
    """Uncertain in the run with the most, and how many were allowed in it."""
    hits: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    """What is worth a look and broke no promise: uncertain although an answer had been given, failed for a mix-up."""

    @property
    def broken(self) -> bool:
        return bool(self.lost or self.doubled or self.wrong)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.runs + other.runs,
            self.messages + other.messages,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.wrong + other.wrong,
            self.uncertain + other.uncertain,
            self.allowed + other.allowed,
            self.losses + other.losses,
            max(self.most, other.most),
            self.hits + other.hits,
            self.remarks + other.remarks,
        )


def judge(run: Run) -> Verdict:
    """What has become of everyone who was due, and whether that is as it must be."""
    verdict = Verdict(runs=1, losses=run.losses, wrong=list(run.wrong), hits=Counter(run.hits))
    template = run.template
    rows = run.books.query(
        "SELECT issue_id, subscriber_id, state, tries, next_look, reply FROM deliveries ORDER BY issue_id, subscriber_id"
    )
    tries: dict[str, list[Try]] = defaultdict(list)
    for each in run.seen.tries:
        tries[each.recipient].append(each)
    receipts = Counter(each.message_id for each in run.seen.tries if each.taken)
    verdict.messages = receipts.total()
    verdict.wrong += run.seen.broken
    message_ids = {row[1]: template.keys.message(row[0], row[1]) for row in rows}
    for message_id in receipts.keys() - set(message_ids.values()):
        verdict.wrong.append(f"nobody's: Message-ID {message_id}")
    states = {row[1]: (row[2], row[4], row[5] or "") for row in rows}
    for number in template.addresses.keys() - states.keys():
        verdict.lost.append(f"{number} was due and isn't in the ledger")
    for number in states.keys() - template.addresses.keys() - template.suppressed:
        verdict.wrong.append(f"{number} is in the ledger and wasn't due")
    if len(rows) != len(states):
        verdict.wrong.append(f"{len(rows)} deliveries to {len(states)} readers")
    for number, (state, next_look, reply) in states.items():
        address = template.addresses.get(number, "")
        one = f"{address or number}: {state} {reply!r}"
        mine = tries[address]
        copies = receipts[message_ids[number]]
        crooked = any(each.crooked for each in mine)
        if number in template.suppressed:
            if state != "skipped" or copies:
                verdict.wrong.append(f"{one}: suppressed, {copies} copies")
            continue
        if any(each.message_id not in ("", message_ids[number]) for each in mine):
            verdict.wrong.append(f"{one}: got somebody else's message")
        if copies > 1 and not crooked:
            verdict.doubled.append(f"{one}: {copies} copies; {_told(mine)}")
        if state not in ENDED:
            verdict.lost.append(f"{one}: next look {next_look}; {_told(mine)}")
        elif state == "sent" and not copies and not crooked:
            verdict.lost.append(f"{one}: no server has it; {_told(mine)}")
        elif state == "failed":
            given_up = GIVEN_UP in reply and mine
            if not any(each.said.startswith("5") for each in mine) and not given_up:
                into = verdict.remarks if crooked else verdict.lost
                into.append(f"{one}: nobody refused it; {_told(mine)}")
            if copies and not crooked:
                verdict.wrong.append(f"{one}: {copies} copies; {_told(mine)}")
        elif state == "skipped" and copies:
            verdict.wrong.append(f"{one}: {copies} copies; {_told(mine)}")
        elif state == "uncertain":
            verdict.uncertain += 1
            if not any(each.let_in for each in mine):
                verdict.wrong.append(f"{one}: no server ever waited for it; {_told(mine)}")
            elif LOST_SENDER in reply and not run.losses:
                verdict.wrong.append(f"{one}: no sender was lost; {_told(mine)}")
            elif LOST_SENDER not in reply and mine[-1].said and not crooked:
                verdict.remarks.append(f"{one}: {_told(mine)}")
    everywhere = run.connections * run.relays
    verdict.allowed = everywhere * run.losses + run.seen.cut_open
    verdict.most = (verdict.uncertain, verdict.allowed)
    if verdict.uncertain > verdict.allowed:
        verdict.wrong.append(
            f"{verdict.uncertain} uncertain: more than {everywhere} connections × {run.losses} losses"
            f" + {run.seen.cut_open} cut by the server"
        )
    for issue, candidates, excluded in run.books.query(
        "SELECT id, candidates, excluded FROM issues WHERE started IS NOT NULL"
    ):
        out = json.loads(excluded) if isinstance(excluded, str) else excluded or {}
        here = sum(1 for row in rows if row[0] == issue)
        if candidates != here + sum(out.values()):
            verdict.wrong.append(f"issue {issue}: {candidates} candidates, {here} deliveries, excluded {out}")
    for check in run.check:
        verdict.wrong += check()
    return verdict


def _told(tries: list[Try]) -> str:
    if not tries:
        return "no server ever heard of it"
    return "; ".join(
        f"try on connection {each.connection}: {each.way.kind}"
        f"{', let in' if each.let_in else ''}{', whole' if each.whole else ''}{', taken' if each.taken else ''}"
        f", said {each.said!r}"
        for each in tries
    )
