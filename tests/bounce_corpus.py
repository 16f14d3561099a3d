"""The messages in tests/bounces/ with what each means, and how the reader did on them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from newsletter.bounces.reading import read
from newsletter.bounces.verdict import Verdict

HERE = Path(__file__).parent / "bounces"
TOKEN = "c41f0a6be97d25830b5ce2a900000015000000002f"
MESSAGE_ID = "8e02d1f7a34c5b6990aa17ce@news.example.org"

Said = tuple[str, str, str]
"""Kind, status and address."""


@dataclass(frozen=True)
class Shape:
    """One message, and what it means."""

    name: str
    raw: bytes
    recipient: str
    reports: tuple[Said, ...]
    token: str
    message_id: str

    def read(self) -> tuple[Verdict, ...]:
        return read(self.raw, self.recipient)

    def wrong(self, found: tuple[Verdict, ...]) -> list[str]:
        """What of the verdicts isn't as expected, in words."""
        said = tuple((each.kind.value, each.status, each.address) for each in found)
        made = [] if said == self.reports else [f"{said} where {self.reports} is right"]
        if any(each.token != self.token for each in found):
            made.append("no token" if self.token else "a token that isn't the reader's")
        if any(each.message_id != self.message_id for each in found):
            made.append("no Message-ID" if self.message_id else "a Message-ID that isn't ours")
        return made


TABLES = ("expected.toml", "held_out.toml")
"""The second is of messages that were written when the reader was done, and were right at once."""


def shapes() -> list[Shape]:
    """All that the tables name."""
    rows = {name: row for each in TABLES for name, row in tomllib.loads((HERE / each).read_text("utf-8")).items()}
    return [
        Shape(
            name,
            (HERE / f"{name}.eml").read_bytes(),
            row.get("recipient", ""),
            tuple((each["kind"], each["status"], each["address"]) for each in row["reports"]),
            TOKEN if row["token"] else "",
            MESSAGE_ID if row["message_id"] else "",
        )
        for name, row in rows.items()
    ]


def table() -> tuple[str, int, int]:
    """Shape | expected | found | right? as text, how many are right, and of how many."""
    lines, right, all_of_them = [], 0, shapes()
    for shape in all_of_them:
        found = shape.read()
        good = not shape.wrong(found)
        right += good
        expected = ", ".join(f"{kind} {status}".strip() for kind, status, _ in shape.reports)
        got = ", ".join(f"{each.kind.value} {each.status}".strip() for each in found)
        lines.append(f"{shape.name:<44} {expected:<24} {got:<24} {'yes' if good else 'NO'}")
        lines += [f"    {each}" for each in shape.wrong(found)]
    return "\n".join(lines), right, len(all_of_them)
