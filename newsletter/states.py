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
    pdf = "pdf"
    """The issue on paper: a tagged PDF, for nobody in particular."""
    entry = "entry"
    """The HTML of the issue's entry in feeds, for nobody in particular."""


class ConsentTo(enum.Enum):
    """What someone agreed to."""

    subscription = "subscription"
    """To be mailed through lists."""
    measuring = "measuring"
    """To have what they open and follow kept with their name."""


class LetterKind(enum.Enum):
    """What a mail to one reader is for."""

    confirm = "confirm"
    """Is it you who asked to subscribe? The subscription begins with the button behind the link."""
    change = "change"
    """Is this new address yours? It counts from the button behind the link."""
    changed = "changed"
    """To the old address: mail goes elsewhere from now on."""
    link = "link"
    """A new link to the reader's own page, asked for by them or by someone who knows their address."""


class LetterState(enum.Enum):
    """Where a mail to one reader is."""

    queued = "queued"
    """To be sent at the next opportunity."""
    sent = "sent"
    """A relay took it; its link works until it is used or expires."""
    used = "used"
    """The button behind its link was pressed."""
    failed = "failed"
    """No relay would take it, or its address is suppressed."""
    expired = "expired"
    """Nobody pressed the button in time."""


class LeftBy(enum.Enum):
    """The door by which someone left."""

    one_click = "one-click"
    """The button of their mail program (RFC 8058)."""
    page = "page"
    """The page behind the link in the mail."""
    preferences = "preferences"
    """Their own page: a list no longer ticked."""
    mail = "mail"
    """A mail with the word unsubscribe."""
    admin = "admin"
    """Somebody here did it for them."""


class ReturnKind(enum.Enum):
    """What a returned message turned out to be."""

    hard = "hard"
    """The address doesn't exist: suppressed."""
    soft = "soft"
    """It can't take mail now: counted, and suppressed when it goes on for long."""
    policy = "policy"
    """We were refused, not the reader: their address is not held to blame."""
    delayed = "delayed"
    """The server is still trying."""
    delivered = "delivered"
    """A report of success."""
    complaint = "complaint"
    """Their owner reported it as spam: suppressed at once."""
    unsubscribe = "unsubscribe"
    """A mail that asks to leave."""
    reply = "reply"
    """An automatic reply: out of office, a ticket number, a challenge. Ignored."""
    forged = "forged"
    """A report about a message that we never sent. Ignored."""
    unknown = "unknown"
    """Not understood: it is in the folder of returned messages, for a person to look at."""


class HitKind(enum.Enum):
    """What a visit to a link in a mail was."""

    open = "open"
    """The picture that is measured was fetched."""
    click = "click"
    """A link was followed."""
    page = "page"
    """One of the reader's own pages was looked at."""
    canary = "canary"
    """The link that no person sees was followed: this client is a scanner."""
