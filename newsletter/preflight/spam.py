"""SpamAssassin's view of a mail, where it is installed: by its rules alone, nothing is asked over the network."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

from newsletter.preflight.facts import Facts, Spam
from newsletter.preflight.finding import Found, looks_for
from newsletter.preflight_rules import Level

SUSPICIOUS = 3.0
"""Points from which somebody should look; most servers file a mail as spam at 5."""
PATIENCE = 60
"""Seconds."""

_SCORE = re.compile(r"^X-Spam-Status:.*?\bscore=(-?[\d.]+)", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"^\s*(-?\d+(?:\.\d)?)\s+([A-Z][A-Z0-9_]+)\s", re.MULTILINE)


def score(message: bytes, program: str = "spamassassin") -> Spam | str:
    """What SpamAssassin says of a message; in words why it says nothing, where it is missing or fails."""
    path = shutil.which(program)
    if path is None:
        return "SpamAssassin isn't installed here (Debian has it as spamassassin), so there is no spam score"
    try:
        # -L: local tests only. -t: with a report, whatever the score.
        done = subprocess.run([path, "-L", "-t"], input=message, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"SpamAssassin gave no answer ({type(error).__name__}), so there is no spam score"
    said = done.stdout.decode("utf-8", "replace").replace("\r\n", "\n")
    found = _SCORE.search(said)
    if found is None:
        why = done.stderr.decode("utf-8", "replace").strip().split("\n")[0][:200]
        return f"SpamAssassin gave no score{f' ({why})' if why else ''}"
    rules = sorted(((float(points), name) for points, name in _RULE.findall(said)), reverse=True)
    return Spam(float(found[1]), tuple(f"{name} {points:.1f}" for points, name in rules if points > 0))


@looks_for("spam-score")
def spam_score(facts: Facts) -> Iterator[Found]:
    if facts.spam is not None and facts.spam.score >= SUSPICIOUS:
        yield Found(
            f"SpamAssassin gives it {facts.spam.score:.1f} points, and 5 are spam: {', '.join(facts.spam.rules[:5])}",
            "Look each of them up, and change what it is about.",
            where="the message",
        )
    elif facts.no_spam:
        yield Found(facts.no_spam, "Install it, or let it be.", where="the message", level=Level.note)
