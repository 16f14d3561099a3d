"""Seals on forms: a form is acted on only if we gave it out ourselves, for that very purpose, not long ago.

There are no cookies and no logins, so a browser has nothing of a reader's that another site could use; the secret is in
the address of the page. The seal is what another site's form doesn't have, and it says how long ago the form was
shown.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import secrets

from itsdangerous import BadSignature, Signer

from newsletter.tokens import Keys

OLDEST = dt.timedelta(days=1)
"""A form that has stood open for longer is shown anew, with what was typed."""


SECOND_THOUGHT = dt.timedelta(seconds=2)
"""A second press counts when the page has stood for so long."""


class Press(enum.Enum):
    """What a button's press is worth."""

    counts = "counts"
    unsealed = "unsealed"
    """Not from a page that we gave out lately: nothing is done."""
    automatic = "automatic"
    """Perhaps a program's: it is to be made once more, on a page whose seal is for that ("leave again")."""


def press(keys: Keys, seal: str, form: str, subject: str, now: dt.datetime, *, automatic: bool) -> Press:
    """What a press is worth; `automatic`: whether a program may have made it."""
    second = age(keys, seal, f"{form} again", subject, now)
    if second is None and age(keys, seal, form, subject, now) is None:
        return Press.unsealed
    if automatic and (second is None or second < SECOND_THOUGHT):
        return Press.automatic
    return Press.counts


def make(keys: Keys, form: str, subject: str, now: dt.datetime) -> str:
    """A seal for a form called `form`, about `subject` (a token, a publication)."""
    value = f"{int(now.timestamp() * 1000):x}-{secrets.token_hex(6)}"
    return _signer(keys, form, subject).sign(value).decode()


def age(keys: Keys, seal: str, form: str, subject: str, now: dt.datetime) -> dt.timedelta | None:
    """How long ago the form was shown; None where the seal isn't ours, is for another form, or is too old."""
    try:
        value = _signer(keys, form, subject).unsign(seal).decode()
        shown = dt.datetime.fromtimestamp(int(value.partition("-")[0], 16) / 1000, dt.UTC)
    except (BadSignature, ValueError, OverflowError, OSError):
        return None
    since = now - shown
    return since if dt.timedelta(seconds=-5) <= since <= OLDEST else None


def _signer(keys: Keys, form: str, subject: str) -> Signer:
    # itsdangerous signs with the last key of the list, and takes all of them.
    return Signer(list(reversed(keys.form)), salt=f"form {form} {subject}", digest_method=hashlib.sha256)
