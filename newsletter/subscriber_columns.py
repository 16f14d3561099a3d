"""Which column of somebody's file means what, and what one row says about one person.

Known are the exports of Mailchimp, Substack, Buttondown, listmonk, Ghost and Keila, our own, and plain tables
in any order. One rule stands over all of them: whatever hints that a person has left counts, wherever it
stands and whatever else is asked for; a word about their state that isn't known is never taken for a yes.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newsletter.addresses import Address, checked
from newsletter.errors import ImportMistake, SubscriberMistake
from newsletter.spreadsheets import Record, unguarded
from newsletter.states import SubscriptionState, SuppressionReason
from newsletter.subscribers import ATTRIBUTE_LENGTH, is_language, one_line

OWN = ("address", "name", "language", "list", "state", "since", "joined", "why", "suppressed")
"""The columns of our own export; attributes come after them."""


class Means(enum.Enum):
    """What a column is about: its titles, the surest first."""

    address = (
        "email_address",
        "email",
        "e_mail",
        "e_mail_address",
        "emailaddress",
        "subscriber_email",
        "mail",
        "mail_address",
        "メールアドレス",
        "address",
    )
    whole_name = ("name", "full_name", "fullname", "display_name", "subscriber_name", "氏名", "名前")
    first = ("first_name", "firstname", "fname", "given_name", "名")
    last = ("last_name", "lastname", "lname", "surname", "family_name", "姓")
    language = ("language", "lang", "locale")
    state = ("status", "state", "subscriber_type", "subscription_status", "email_status", "type")
    joined = (
        "joined",
        "confirm_time",
        "optin_time",
        "created_at",
        "creation_date",
        "subscribed_at",
        "joined_at",
        "date_joined",
        "signup_date",
        "start_date",
        "subscription_date",
    )
    json = ("attributes", "metadata", "data")
    left = (
        "unsub_time",
        "unsub_reason",
        "unsub_campaign_title",
        "unsubscribed",
        "unsubscribed_at",
        "unsubscribed_on",
        "unsubscription_date",
        "unsubscription_reason",
        "unsubscribe_date",
        "unsubscribe_reason",
        "email_disabled",
        "emails_disabled",
        "opted_out",
        "opt_out",
        "optout",
        "deleted_at",
    )
    bounced = ("clean_time", "clean_campaign_title", "cleaned_at", "cleaned", "bounced", "bounced_at")
    still = ("subscribed", "is_subscribed", "subscribed_to_emails", "opted_in", "opt_in", "email_enabled")
    list = ("list",)
    suppressed = ("suppressed",)


_LEAVING = (Means.state, Means.left, Means.bounced, Means.still)
_ONE = (Means.address, Means.whole_name, Means.first, Means.last, Means.language)
_OF_THOSE_WHO_LEFT = ("unsub_time", "clean_time")
"""Mailchimp writes these into its files of people who left or bounced."""

_NO = frozenset(("", "0", "false", "no", "n", "f", "null", "none", "never", "-"))
_STATES = {
    **dict.fromkeys(
        (
            "active",
            "subscribed",
            "enabled",
            "confirmed",
            "regular",
            "premium",
            "free",
            "paid",
            "comp",
            "gift",
            "gifted",
            "founding",
            "trial",
            "trialed",
            "subscriber",
            "opted_in",
            "yes",
            "true",
            "1",
        ),
        SubscriptionState.active,
    ),
    **dict.fromkeys(
        ("pending", "unconfirmed", "unactivated", "unverified", "not_confirmed"), SubscriptionState.pending
    ),
    **dict.fromkeys(
        (
            "unsubscribed",
            "unsub",
            "disabled",
            "inactive",
            "removed",
            "deleted",
            "opted_out",
            "opt_out",
            "left",
            "nonsubscribed",
            "non_subscribed",
            "transactional",
            "archived",
            "deactivated",
            "cancelled",
            "canceled",
            "unreachable",
            "no",
            "false",
            "0",
        ),
        SubscriptionState.unsubscribed,
    ),
}
_BARRED = {
    **dict.fromkeys(("cleaned", "bounced", "bounce", "hard_bounce", "undeliverable"), SuppressionReason.bounce),
    **dict.fromkeys(("complained", "complaint", "spam"), SuppressionReason.complaint),
    **dict.fromkeys(
        ("blocklisted", "blacklisted", "blocked", "suppressed", "spammy", "malicious", "request"),
        SuppressionReason.request,
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says about a person."""

    line: int
    address: Address
    name: str
    language: str
    attributes: Mapping[str, str]
    state: SubscriptionState | None
    """None where it says nothing."""
    barred: SuppressionReason | None
    joined: dt.datetime | None
    list: str | None
    """The list that it is about, in our own export."""


def score(cells: Sequence[str]) -> int:
    """How well a header is understood: 0 without a column of addresses, 1 where it is a row already."""
    titles = {plain(cell) for cell in cells}
    if titles.isdisjoint(Means.address.value):
        return int(sum(is_address(cell) for cell in cells) == 1)
    return 10 + len(titles & {title for meaning in Means for title in meaning.value})


class Columns:
    """The columns of one file, understood.

    `declared` are the attributes of config.toml; `maps` titles and the attribute that each is to become, or ""
    for none. ImportMistake where there is no column of addresses, or a map names what isn't there.
    """

    def __init__(self, header: Sequence[str], declared: Sequence[str], maps: Mapping[str, str], name: str) -> None:
        titles = [plain(cell) for cell in header]
        mapped = {plain(title): attribute for title, attribute in maps.items()}
        self.header = list(header)
        self.own = set(OWN) <= set(titles)
        """The file is our own export, and each row is about one list."""
        self.headerless = score(header) == 1
        """The first row is about a person already; only their addresses are taken."""
        if self.headerless:
            titles = ["email" if is_address(cell) else "" for cell in header]
        _check_maps(maps, titles, header, declared)
        self._declared = frozenset(declared)
        self._attributes: dict[int, str] = {}
        for at, title in enumerate(titles):
            itself = title if title in declared else title.removeprefix("attribute_")
            attribute = mapped.get(title, itself)
            if attribute in declared and (title in mapped or not (self.own and title in OWN)):
                self._attributes[at] = attribute
        self._loose = frozenset(at for at, title in enumerate(titles) if at in self._attributes or title in mapped)
        """Columns that are an attribute, or are said to be nothing: their words needn't be known."""
        self._at = {
            meaning: tuple(
                at
                for wanted in meaning.value
                for at, title in enumerate(titles)
                if title == wanted and (meaning in (*_LEAVING, Means.first, Means.last) or at not in self._loose)
            )
            for meaning in Means
        }
        for meaning in _ONE:
            self._at[meaning] = self._at[meaning][:1]
        if self.own:
            self._at |= {
                Means.address: (titles.index("address"),),
                Means.state: (titles.index("state"),),
                Means.joined: (titles.index("joined"),),
                Means.json: (),
                Means.left: (),
                Means.bounced: (),
                Means.still: (),
            }
        else:
            self._at |= {Means.list: (), Means.suppressed: ()}
        if not self._at[Means.address]:
            shown = ", ".join(cell.strip()[:40] or "(empty)" for cell in header[:12])
            raise ImportMistake(
                "there is no column of addresses in it",
                where=name,
                line=1,
                remedy=f"One of them must be called email. The first row has: {shown}.",
            )
        self._in_doubt = next(
            (header[at] for at, title in enumerate(titles) if title in _OF_THOSE_WHO_LEFT and at not in self._loose), ""
        )
        self._says_left = _by_name(name)
        self._unknown: dict[str, None] = {}
        used = {at for places in self._at.values() for at in places} | self._attributes.keys()
        self._left_out = [
            f"column {at + 1}" if self.headerless or not cell.strip() else cell.strip()
            for at, cell in enumerate(header)
            if at not in used and not (self.own and titles[at] in OWN)
        ]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The columns that nothing was taken from, and the keys within JSON that aren't declared."""
        return (*self._left_out, *self._unknown)

    def row(self, record: Record) -> Row:
        """What a row says; SubscriberMistake says why it can't be taken."""
        cells = record.cells
        if len(cells) > len(self.header) and any(cell.strip() for cell in cells[len(self.header) :]):
            raise SubscriberMistake(
                f"the row has {len(cells)} cells, the header {len(self.header)}; a quotation mark is missing"
            )
        cells = [unguarded(cell) for cell in cells] + [""] * (len(self.header) - len(cells))
        address = checked(self._one(cells, Means.address))
        state, barred = self._standing(cells)
        first = one_line(self._one(cells, Means.first), "first name")
        last = one_line(self._one(cells, Means.last), "last name")
        name = one_line(self._one(cells, Means.whole_name) or ("" if self.own else f"{first} {last}"), "name")
        attributes = self._json(cells)
        for attribute, value in (("first_name", first), ("last_name", last)):
            if value and attribute in self._declared:
                attributes[attribute] = value
        for at, attribute in self._attributes.items():
            if value := cells[at].strip():
                attributes[attribute] = one_line(value, f'attribute "{attribute}"', ATTRIBUTE_LENGTH)
        language = self._one(cells, Means.language)
        return Row(
            record.line,
            address,
            name,
            language if is_language(language) else "",
            attributes,
            state,
            barred,
            next(filter(None, (read_moment(cells[at]) for at in self._at[Means.joined])), None),
            self._one(cells, Means.list) if self.own else None,
        )

    def _one(self, cells: Sequence[str], meaning: Means) -> str:
        places = self._at[meaning]
        return cells[places[0]].strip() if places else ""

    def _standing(self, cells: Sequence[str]) -> tuple[SubscriptionState | None, SuppressionReason | None]:
        state, barred = self._says_left
        word = plain(self._one(cells, Means.suppressed))
        if word:
            barred = _BARRED.get(word, SuppressionReason.request)
        gone = state is not None
        told = False
        for at in self._at[Means.state]:
            if not (word := plain(cells[at])):
                continue
            found = _STATES.get(word)
            if word in _BARRED:
                barred, gone = _BARRED[word], True
            elif found is SubscriptionState.unsubscribed:
                gone = gone or at not in self._loose or word not in _NO
            elif found is not None:
                told = True
                state = found if state is not SubscriptionState.pending else state
            elif at not in self._loose:
                raise SubscriberMistake(
                    f'"{cells[at].strip()[:40]}" in {self.header[at]} is no state that is known here; '
                    "write active, pending or unsubscribed"
                )
        if any(plain(cells[at]) not in _NO for at in self._at[Means.bounced]):
            barred, gone = barred or SuppressionReason.bounce, True
        if any(plain(cells[at]) not in _NO for at in self._at[Means.left]) or any(
            cells[at].strip() and plain(cells[at]) in _NO for at in self._at[Means.still]
        ):
            gone = True
        if gone:
            return SubscriptionState.unsubscribed, barred
        if self._in_doubt and not told:
            raise SubscriberMistake(
                f"a file with {self._in_doubt} is of people who left, and this row doesn't say when; "
                f'--map "{self._in_doubt}=" takes such rows as subscribed'
            )
        return state, barred

    def _json(self, cells: Sequence[str]) -> dict[str, str]:
        attributes: dict[str, str] = {}
        for at in self._at[Means.json]:
            text = cells[at].strip()
            if not text.startswith("{"):
                continue
            try:
                values = json.loads(text)
            except ValueError:
                raise SubscriberMistake(f"{self.header[at]} is not JSON") from None
            for key, value in values.items():
                attribute = plain(key)
                if attribute not in self._declared or isinstance(value, dict | list):
                    if len(self._unknown) < 100:
                        self._unknown[f"{self.header[at]}.{key}"] = None
                elif value is not None and (said := str(value)).strip():
                    attributes[attribute] = one_line(said, f'attribute "{attribute}"', ATTRIBUTE_LENGTH)
        return attributes


def plain(title: str) -> str:
    """A word as it is compared: "E-Mail Address" and "email_address" differ in nothing that counts."""
    title = unguarded(title.strip(" \t\r\n\ufeff"))
    return re.sub(r"[^\w]+", "_", title.casefold()).strip("_") or title


def is_address(cell: str) -> bool:
    if "@" not in cell:
        return False
    try:
        checked(unguarded(cell.lstrip("\ufeff")))
    except SubscriberMistake:
        return False
    return True


def _by_name(name: str) -> tuple[SubscriptionState | None, SuppressionReason | None]:
    """What the name of a file says of everybody in it: Mailchimp names its three so."""
    file = re.split(r"[/\\]", name)[-1].lower()
    if file.startswith("cleaned_"):
        return SubscriptionState.unsubscribed, SuppressionReason.bounce
    if file.startswith(("unsubscribed_", "nonsubscribed_")):
        return SubscriptionState.unsubscribed, None
    return None, None


def _check_maps(maps: Mapping[str, str], titles: Sequence[str], header: Sequence[str], declared: Sequence[str]) -> None:
    for title, attribute in maps.items():
        if plain(title) not in titles:
            raise ImportMistake(f'there is no column "{title}"', remedy=f"There is {', '.join(header)}.")
        if attribute and attribute not in declared:
            raise ImportMistake(
                f'there is no attribute "{attribute}"',
                remedy=f"config.toml declares {', '.join(declared) or 'none'}; add it to `attributes` there.",
            )


def read_moment(text: str) -> dt.datetime | None:
    """A moment as exports write it, UTC where it has no zone; None where it isn't one."""
    text = text.strip()
    if len(text) < 10:
        return None
    for said in (text, text[:19]):
        try:
            moment = dt.datetime.fromisoformat(said)
        except ValueError:
            continue
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return None
