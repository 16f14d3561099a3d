"""The states that things go through, and reasons and kinds: each with a sentence.

They are stored as their words; the tables are in newsletter.models.
"""

from __future__ import annotations

import enum


class DraftState(enum.Enum):
    """Where a story is on its way into an issue."""

    writing = "writing"
    """Somebody is at work on it; no issue takes it."""
    ready = "ready"
    """The next issue that has room, and whose date suits it, takes it."""
    placed = "placed"
    """It has been copied into an assembled issue."""
    published = "published"
    """The issue that holds it has been sent."""
    dropped = "dropped"
    """It will not appear."""


class IssueState(enum.Enum):
    """Where an issue is on its way to its readers."""

    open = "open"
    """It takes drafts until its copy deadline; it has no number yet."""
    assembled = "assembled"
    """Its stories are copied and frozen, and it has its volume and number."""
    approved = "approved"
    """It goes at its time."""
    sending = "sending"
    """Its audience is frozen; messages are going out."""
    sent = "sent"
    """Every delivery has ended: a relay took it, or it failed, or it was left out, or a person must decide."""
    held = "held"
    """It doesn't go until someone lifts what holds it; `why` says what that is."""
    paused = "paused"
    """It was being sent, and someone stopped it for now."""
    cancelled = "cancelled"
    """It will not go, or not to those who haven't had it yet."""


class DeliveryState(enum.Enum):
    """Where one reader's copy of an issue is."""

    queued = "queued"
    """Not begun."""
    submitting = "submitting"
    """The relay is being given the message; on disk before the final dot leaves."""
    sent = "sent"
    """A relay took responsibility for it (its 250); no more is known."""
    deferred = "deferred"
    """A temporary refusal, or a connection lost before the final dot; it will be tried again."""
    failed = "failed"
    """Refused for good, or deferred for too long."""
    uncertain = "uncertain"
    """The final dot left and no answer came: it may or may not have arrived. A person decides."""
    skipped = "skipped"
    """Left out after the audience was frozen; `reply` says why."""


class SubscriptionState(enum.Enum):
    """Whether a subscriber gets what goes to a list."""

    pending = "pending"
    """Asked for, not yet confirmed."""
    active = "active"
    """Gets what goes to the list."""
    unsubscribed = "unsubscribed"
    """Left; only they themselves can come back."""


class SuppressionReason(enum.Enum):
    """Why an address is never mailed again."""

    bounce = "bounce"
    """It doesn't exist, or hasn't taken mail for long."""
    complaint = "complaint"
    """Its owner reported a message as spam."""
    request = "request"
    """Its owner, or an admin for them, asked for no mail at all."""
    erasure = "erasure"
    """Its owner had all data erased; only a fingerprint is left, so that no import brings it back."""


class NoticeState(enum.Enum):
    """Where a mail to the editors is."""

    queued = "queued"
    """To be sent at the next opportunity."""
    sent = "sent"
    """A relay took it."""


class RenditionKind(enum.Enum):
    """What an issue is rendered as."""

    html = "html"
    """The HTML part of the mail, with merge fields framed."""
    text = "text"
    """The text/plain part of the mail, with merge fields framed."""
    page = "page"
    """The web page of the issue."""
