"""Which column of somebody's file means what, and what one row says about one suppressed address.

Known are the exports of Amazon SES, SendGrid, Mailgun, Postmark, Mailchimp and listmonk, our own, and plain tables
and lists. What says that an address may be mailed is never taken for a suppression, and neither is a refusal that may
pass, or that was of the sender.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from newsletter.addresses import checked
from newsletter.bounces import classes, phrases
from newsletter.errors import ImportMistake, SubscriberMistake
from newsletter.spreadsheets import Record, unguarded
from newsletter.states import ReturnKind, SuppressionReason
from newsletter.subscriber_columns import OWN as SUBSCRIBERS
from newsletter.subscriber_columns import Means, is_address, plain, read_moment
from newsletter.tokens import Keys

OWN = ("address", "fingerprint", "fingerprint_key", "reason", "since", "why")
"""The columns of our own export."""
_ADDRESS = (*Means.address.value, "recipient")
_REASON = (
    "reason",
    "suppression_reason",
    "suppressionreason",
    "suppression_type",
    "bounce_type",
    "bouncetype",
    "status",
    "state",
    "type",
    "suppressed",
)
_WHY = ("why", "error", "description", "details", "diagnostic", "message", "comment", "note", "notes")
_SINCE = (
    "since",
    "date",
    "created",
    "created_at",
    "createdat",
    "last_update_time",
    "lastupdatetime",
    "suppressed_at",
    "bounced_at",
    "timestamp",
    "added",
    "added_at",
    "clean_time",
    "unsub_time",
)
_BY_TITLE = {"clean_time": SuppressionReason.bounce, "unsub_time": SuppressionReason.request}
"""Columns that only a file of one reason has."""
_BY_NAME = (
    (re.compile(r"bounce|invalid_email|cleaned_"), SuppressionReason.bounce),
    (re.compile(r"complaint|spam_?report"), SuppressionReason.complaint),
    (re.compile(r"unsub"), SuppressionReason.request),
)
"""What the name of a file says where its rows say nothing."""
_SUBSCRIBED = re.compile(r"subscribed_")
"""How the name of Mailchimp's file of those who may be mailed begins."""
_WORDS = {
    SuppressionReason.bounce: (
        "bounce bounced hard hard_bounce hardbounce hard_bounced permanent cleaned invalid invalid_email undeliverable"
    ),
    SuppressionReason.complaint: "complaint complained complaints spam spam_complaint spamcomplaint spam_report abuse",
    SuppressionReason.request: (
        "request unsubscribe unsubscribed unsub global_unsubscribe opt_out opted_out manual manual_block"
        " manualsuppression manual_suppression suppressed blocklist blocklisted blacklisted blocked disabled"
    ),
    SuppressionReason.erasure: "erasure erased forgotten",
}
_REASONS = {word: reason for reason, words in _WORDS.items() for word in words.split()}
_SOFT = frozenset(["soft", "soft_bounce", "softbounce", "transient", "temporary", "deferred"])
_MAILED = frozenset(
    ["active", "subscribed", "enabled", "confirmed", "regular", "pending", "unconfirmed", "no", "false", "0"]
)
NOT_A_REASON = "is no reason that is known here; write bounce, complaint, request or erasure, or say --reason"


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says."""

    fingerprint: str
    address: str | None
    reason: SuppressionReason
    since: dt.datetime | None
    why: str
    assumed: bool
    undated: bool


def score(cells: Sequence[str]) -> int:
    """How well a header is understood: 0 without addresses or fingerprints, 1 where it is a row already."""
    titles = {plain(cell) for cell in cells}
    if titles.isdisjoint((*_ADDRESS, "fingerprint")):
        return int(sum(is_address(cell) for cell in cells) == 1)
    return 10 + len(titles & {*_ADDRESS, *_REASON, *_WHY, *_SINCE, *OWN})


def key_check(known: Keys) -> str:
    """What tells the fingerprints of one database from those of another: 16 hexadecimal digits that say no more."""
    return known.blurred("which key fingerprints are made with", digits=16)


class Columns:
    """The columns of one file, understood."""

    def __init__(self, header: Sequence[str], name: str, known: Keys, wanted: SuppressionReason | None) -> None:
        titles = [plain(cell) for cell in header]
        self.headerless = score(header) == 1
        """The first row is about an address already."""
        if self.headerless:
            # As SES takes them: an address, and perhaps a word beside it.
            beside = _REASONS.keys() | _SOFT
            titles = ["email" if is_address(cell) else "reason" if plain(cell) in beside else "" for cell in header]
        self._header = header
        self._known, self._check = known, key_check(known)
        self._address = _first(titles, _ADDRESS)
        self._fingerprint = _first(titles, ("fingerprint",))
        self._key = _first(titles, ("fingerprint_key",))
        if self._address is None and self._fingerprint is None:
            shown = ", ".join(cell.strip()[:40] or "(empty)" for cell in header[:12])
            raise ImportMistake(
                "there is no column of addresses in it",
                where=name,
                line=1,
                remedy=f"One of them must be called email. The first row has: {shown}.",
            )
        self._ours = set(SUBSCRIBERS) <= set(titles)
        """The file is our own export of subscribers; who isn't suppressed there may be mailed."""
        named = ("suppressed",) if self._ours else _REASON
        self._reasons = [at for title in named for at, each in enumerate(titles) if each == title]
        self._code = _first(titles, ("code",))
        self._why = _first(titles, _WHY)
        self._since = [at for title in _SINCE for at, each in enumerate(titles) if each == title]
        file = re.split(r"[/\\]", name)[-1].lower()
        if _SUBSCRIBED.match(file):
            raise ImportMistake(
                "by its name this is a list of those who are subscribed",
                where=name,
                remedy="If none of them is ever to be mailed, give it another name.",
            )
        by_title = next((reason for title, reason in _BY_TITLE.items() if title in titles), None)
        by_name = next((reason for shape, reason in _BY_NAME if shape.search(file)), None)
        self._wanted = wanted
        self._by_file = by_title or by_name

    def row(self, record: Record) -> Row | None:
        """What a row says: None where the address may be mailed. SubscriberMistake says why it can't be taken."""
        cells = record.cells
        if len(cells) > len(self._header) and any(cell.strip() for cell in cells[len(self._header) :]):
            raise SubscriberMistake(f"the row has {len(cells)} cells, the header {len(self._header)}")
        cells = [unguarded(cell).strip() for cell in cells] + [""] * (len(self._header) - len(cells))
        reason, prose = self._reason(cells)
        if reason is None:
            return None
        address, fingerprint = self._who(cells)
        if reason.value is SuppressionReason.erasure:
            address = None
        since = next(filter(None, (_moment(cells[at]) for at in self._since)), None)
        why = cells[self._why] if self._why is not None else ""
        if reason.value is SuppressionReason.erasure:
            # Other people's words may name whom they are about.
            why, prose = "", []
        return Row(
            fingerprint,
            address,
            reason.value,
            since,
            _one_line(" ".join(filter(None, (why, *prose)))),
            reason.assumed,
            since is None and any(cells[at] for at in self._since),
        )

    def _who(self, cells: Sequence[str]) -> tuple[str | None, str]:
        """The address, where there is one, and the fingerprint."""
        if self._address is not None and cells[self._address]:
            found = checked(cells[self._address])
            return found.address, self._known.print_of(found.key)
        fingerprint = cells[self._fingerprint].lower() if self._fingerprint is not None else ""
        if not fingerprint:
            raise SubscriberMistake("there is no address")
        if not re.fullmatch(r"[0-9a-f]{32}", fingerprint):
            raise SubscriberMistake(f'"{fingerprint[:40]}" is no fingerprint; it has 32 hexadecimal digits')
        if self._key is None or cells[self._key] != self._check:
            raise SubscriberMistake("the fingerprint was made with another database's key, and protects nobody here")
        return None, fingerprint

    def _reason(self, cells: Sequence[str]) -> tuple[_Reason | None, list[str]]:
        """Why the address isn't mailed, None where it is; and what else the cells of that say, for people."""
        prose: list[str] = []
        for at in self._reasons:
            word = plain(cells[at])
            if word in _REASONS:
                return _Reason(_REASONS[word]), prose
            if word in _SOFT:
                raise SubscriberMistake(_TEMPORARY)
            if word in _MAILED:
                return None, prose
            if word and not any(cells[at] in each for each in prose):
                prose.append(cells[at])
        if self._ours:
            return None, prose
        if self._wanted is not None:
            return _Reason(self._wanted, assumed=True), prose
        said = " ".join((cells[self._code] if self._code is not None else "", *prose)).strip()
        why = cells[self._why] if self._why is not None and self._code is not None else ""
        if said:
            return self._judged(f"{said} {why}".strip()), prose
        return _Reason(self._by_file or SuppressionReason.request, assumed=True), prose

    def _judged(self, words: str) -> _Reason:
        """What a server's words mean, as SendGrid and Mailgun keep them. SubscriberMistake where it isn't a bounce."""
        kind, status = classes.of_reply(words)
        if kind is ReturnKind.hard:
            return _Reason(SuppressionReason.bounce)
        if not status and phrases.meaning(words)[0] is None:
            if self._by_file is not None:
                return _Reason(self._by_file, assumed=True)
            raise SubscriberMistake(f'"{words[:60]}" {NOT_A_REASON}')
        raise SubscriberMistake(_POLICY if kind is ReturnKind.policy else _TEMPORARY)


_TEMPORARY = "a bounce that may pass is no reason to suppress; --reason bounce takes it all the same"
_POLICY = "the sender was refused here, not the reader; --reason bounce takes it all the same"


@dataclass(frozen=True, slots=True)
class _Reason:
    value: SuppressionReason
    assumed: bool = False
    """The row doesn't say it."""


def _first(titles: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((titles.index(title) for title in wanted if title in titles), None)


def _one_line(text: str) -> str:
    """Other people's words as they are kept: on one line, not without end."""
    return "".join(each if each.isprintable() else " " for each in text).strip()[:500]


def _moment(text: str) -> dt.datetime | None:
    """A moment as other systems write it: ISO 8601, seconds since 1970, or as in mails (RFC 5322); None else."""
    try:
        if text.isdecimal():
            return dt.datetime.fromtimestamp(int(text), dt.UTC)
        if found := read_moment(text):
            return found
        mailed = parsedate_to_datetime(text)
    except (ValueError, OverflowError, OSError):
        return None
    return mailed.replace(tzinfo=dt.UTC) if mailed.tzinfo is None else mailed
