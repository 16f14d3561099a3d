"""What a returned message says about one recipient, before anybody looks into the database."""

from __future__ import annotations

from msgspec import Struct

from newsletter.states import ReturnKind


class Verdict(Struct, frozen=True, kw_only=True):
    """One recipient's part of a returned message. A pure fact: whether we ever sent it is asked later."""

    kind: ReturnKind
    token: str = ""
    """The reader's token, from the return address (VERP) or the returned message's own headers; empty: not found."""
    message_id: str = ""
    """The Message-ID of the message that was returned, without brackets; empty: not found."""
    address: str = ""
    """The recipient that the report names; empty: not named."""
    status: str = ""
    """The enhanced status code (RFC 3463) such as "5.1.1"; else the SMTP code; else empty."""
    words: str = ""
    """What the other server said, on one line, at most 500 characters."""
    why: str = ""
    """In a few words, what this was told by: "delivery report", "Exim's text", "feedback report"."""
