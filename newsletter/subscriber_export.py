"""Subscribers as a file: CSV for people and spreadsheets, JSON lines for machines.

Importing the CSV gives the same subscribers again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

import msgspec

from newsletter.spreadsheets import Writer
from newsletter.subscriber_columns import OWN
from newsletter.subscribers import Listed


def export_csv(people: Iterable[Listed], attributes: Sequence[str], out: TextIO) -> int:
    """Writes one row a subscription, in UTF-8 with a BOM. Answers how many.

    An attribute that is called like one of the columns stands as "attribute state".
    """
    write = Writer(out)
    write.row([*OWN, *(f"attribute {name}" if name in OWN else name for name in attributes)])
    count = 0
    for person in people:
        write.row(
            [
                person.address,
                person.name,
                person.language,
                person.list or "",
                person.state.value if person.state else "",
                person.since.isoformat() if person.since else "",
                person.joined.isoformat() if person.joined else "",
                person.why,
                person.suppressed.value if person.suppressed else "",
                *(str(person.attributes.get(name, "")) for name in attributes),
            ]
        )
        count += 1
    return count


def export_json(people: Iterable[Listed], out: TextIO) -> int:
    """Writes one JSON object a line and subscription (newline-delimited JSON). Answers how many."""
    encoder = msgspec.json.Encoder()
    count = 0
    for person in people:
        out.write(encoder.encode(person).decode() + "\n")
        count += 1
    return count
