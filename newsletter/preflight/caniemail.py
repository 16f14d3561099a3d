"""Which mail programs understand which CSS, by caniemail.com: an extract in caniemail.json, its licence beside it.

`python -m newsletter.preflight.caniemail CLONE` writes the extract anew from a clone of its repository.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("caniemail.json")
_WIDE = ("Gmail", "Apple Mail", "Outlook", "Yahoo! Mail", "Samsung Email", "Mozilla Thunderbird")
"""Named first where some of many are named."""


@dataclass(frozen=True, slots=True)
class Support:
    """Which mail programs understand a feature."""

    title: str
    """As it is written in CSS: "border-radius"."""
    known: int
    """Programs in which it was tried."""
    lacking: tuple[str, ...]
    """Those that don't understand it, widespread ones first: "Outlook (Windows)"."""

    @property
    def share(self) -> float:
        """Of the programs, those that understand it at least in part: from 0 to 1."""
        return 1 - len(self.lacking) / self.known if self.known else 1.0


@functools.cache
def _extract() -> Mapping[str, Any]:
    made: Mapping[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return made


@functools.cache
def support(feature: str) -> Support | None:
    """What is known of a feature by its name there, such as "css-border-radius"; None where it isn't in the data."""
    data = _extract()
    if feature not in data["features"]:
        return None
    title, letters = data["features"][feature]
    pairs = list(zip(data["clients"], letters, strict=True))
    lacking = [client for client, letter in pairs if letter == "n"]
    lacking.sort(key=lambda client: next((at for at, name in enumerate(_WIDE) if client.startswith(name)), len(_WIDE)))
    return Support(title, sum(letter in "yan" for _, letter in pairs), tuple(lacking))


def renew(clone: Path) -> None:
    """Writes the extract anew: of each CSS feature and program the answer for the newest version that was tried.

    y yes, a in part, n no, "-" not tried.
    """
    import yaml

    names = yaml.safe_load((clone / "_data" / "nicenames.yml").read_text("utf-8"))
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for path in sorted((clone / "_features").glob("css-*.md")):
        front = yaml.load(re.split(r"(?m)^---\s*$", path.read_text("utf-8"))[1].replace("\t", " "), yaml.BaseLoader)  # noqa: S506
        answers: dict[str, str] = {}
        for family, platforms in front["stats"].items():
            for platform, versions in platforms.items():
                if isinstance(versions, dict) and versions:
                    client = f"{names['family'].get(family, family)} ({names['platform'].get(platform, platform)})"
                    answers[client] = str(list(versions.values())[-1])[:1]
        found[path.stem] = (front["title"], answers)
    clients = sorted({client for _, answers in found.values() for client in answers})
    features = {
        slug: [title, "".join(letter if (letter := answers.get(client, "-")) in "yan" else "-" for client in clients)]
        for slug, (title, answers) in found.items()
    }
    lines = ",\n".join(f"{json.dumps(slug)}: {json.dumps(row)}" for slug, row in features.items())
    _FILE.write_text(f'{{"clients": {json.dumps(clients)},\n"features": {{\n{lines}\n}}}}\n', "utf-8")


if __name__ == "__main__":
    renew(Path(sys.argv[1]))
