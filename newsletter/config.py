"""config.toml as one frozen value.

Shapes are checked by msgspec; what it can't know (zones, times, addresses that need each other) is checked
here. Every mistake names the file, the line and what would be right.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from newsletter.errors import ConfigMistake
from newsletter.preflight_rules import RULES
from newsletter.reader_settings import Returns, SignUp, Web
from newsletter.theme_settings import Theme
from newsletter.theme_settings import wrongs as theme_wrongs
from newsletter.toml_file import line_of, parse, source

T = TypeVar("T")
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)]
Words = Annotated[str, Meta(pattern=r"\S")]
Count = Annotated[int, Meta(ge=1)]


class Security(enum.Enum):
    """How the connection to a relay is kept from listeners."""

    none = "none"
    """In the clear; for a relay on this machine."""
    starttls = "starttls"
    """In the clear until STARTTLS (RFC 3207), then TLS; the certificate is verified."""
    tls = "tls"
    """TLS from the first byte (RFC 8314); the certificate is verified."""


class RelayKind(enum.Enum):
    """What stands at the other end."""

    smtp = "smtp"
    """A mail server."""
    maildir = "maildir"
    """A folder of messages that any mail program opens: for rehearsals. Nothing leaves the machine."""


class Approval(enum.Enum):
    """What it takes for an assembled issue to go."""

    manual = "manual"
    """It goes when someone sends it, and not before."""
    approve = "approve"
    """It goes at its time if someone has approved it; else it is held."""
    veto = "veto"
    """It goes at its time unless someone holds it."""


class NumberingScheme(enum.Enum):
    """How the next volume and number follow from the last."""

    year = "by-year"
    """A new volume with the first issue dated in a new year; numbers start at 1 in each."""
    count = "by-count"
    """A new volume after so many numbers."""
    hand = "by-hand"
    """Someone says it for each issue; until then the issue is held."""


class Relay(Struct, frozen=True, forbid_unknown_fields=True):
    """A mail server that we hand messages to."""

    name: Name
    kind: RelayKind = RelayKind.smtp
    host: str = "localhost"
    port: Annotated[int, Meta(ge=1, le=65535)] = 25
    security: Security = Security.starttls
    username: str = ""
    password_env: str = ""
    """The environment variable that holds the password; it is never written in this file."""
    ca_file: str = ""
    """A file of certificates to trust besides the system's, for a relay with one of its own."""
    connections: Annotated[int, Meta(ge=1, le=200)] = 8
    hello: str = ""
    """The name we give in EHLO; the machine's own when empty."""
    path: str = "outbox"
    """For a maildir: the folder, from where config.toml is."""
    priority: Count = 1
    """Relays of a later priority are used only while none of an earlier one is well."""
    share: Count = 1
    """Of the messages, among the relays of one priority: two with 3 and 1 get three quarters and one quarter."""
    per_second: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    """Messages in any second, from all senders together; 0 switches it off."""
    per_hour: Annotated[int, Meta(ge=0, le=10**9)] | None = None
    """Messages in any hour, likewise."""


class Dkim(Struct, frozen=True, forbid_unknown_fields=True):
    """A key that messages are signed with (RFC 6376): all whose sender is at this domain, or below it."""

    domain: Words
    """The d= of the signature."""
    selector: Words
    """The s=: where under the domain DNS has the public key, so that an old key and a new one can be there at once."""
    key: Words
    """A file with the private key in PEM, RSA or Ed25519; from where config.toml is."""


class Sending(Struct, frozen=True, forbid_unknown_fields=True):
    """How messages are tried again, and when we give up."""

    retry_after: tuple[str, ...] = ("2 minutes", "10 minutes", "30 minutes", "1 hour", "2 hours", "4 hours")
    """After each deferral; the last one repeats. A tenth more or less is added by chance."""
    give_up_after: str = "2 days"
    """From the first attempt; then a deferred delivery has failed."""


class WarmUp(Struct, frozen=True, forbid_unknown_fields=True):
    """How much a new sending domain sends a day while it earns its name: first_day, and each day so much more."""

    begins: dt.date
    first_day: Count = 200
    growth: Annotated[float, Meta(gt=1, le=10)] = 1.5
    """Each day as many times what the day before had."""
    days: Annotated[int, Meta(ge=1, le=365)] = 30
    """Afterwards there is no limit."""


class Cadence(Struct, frozen=True, forbid_unknown_fields=True):
    """When an issue goes, and what comes before it. All times are the wall clock in `zone`."""

    anchor: dt.date
    """The date of one issue; the later ones are counted from it."""
    every: Words = "2 weeks"
    """A count of days, weeks or months."""
    time: Words = "09:00"
    zone: Words = "UTC"
    copy_deadline: Words = "1 day before at 17:00"
    approve_by: Words = "same day at 08:00"
    reminders: tuple[str, ...] = ("3 days before at 09:00",)
    skip: tuple[dt.date, ...] = ()
    extra: tuple[dt.date, ...] = ()
    late: Words = "6 hours"
    """An issue that couldn't go at its time still goes within this; after it, it is held and says so."""
    window: str = ""
    """The hours in which messages may leave, as "08:00 to 20:00"; empty: all of them. It may go past midnight."""


class Numbering(Struct, frozen=True, forbid_unknown_fields=True):
    """How issues are numbered."""

    scheme: NumberingScheme = NumberingScheme.year
    start_volume: Count = 1
    start_number: Count = 1
    per_volume: Count = 24
    """Numbers in a volume, where the scheme is by-count."""


class Publication(Struct, frozen=True, forbid_unknown_fields=True):
    """A periodical: title, sender, calendar, numbering, template, the lists it goes to."""

    title: Words
    publisher: Words
    postal_address: Words
    sender: Words
    """The address that issues come from, without a name; the name is `sender_name` or the title."""
    lists: Annotated[tuple[Name, ...], Meta(min_length=1)]
    cadence: Cadence
    editors: tuple[str, ...] = ()
    """Who gets reminders and word of what is held."""
    sender_name: str = ""
    reply_to: str = ""
    bounces: str = ""
    """Where bounces go, as local-part@domain; each message adds +TOKEN to the local part (VERP)."""
    list_id: str = ""
    """RFC 2919; made from the publication's name and the sender's domain when empty. Never change it."""
    standfirst: str = ""
    compiled_by: str = ""
    subject: Words = "{title} {volume}.{number}: {headline}"
    """{title} {volume} {number} {date} {headline}, and merge fields such as [[name|reader]]."""
    language: str = "en"
    direction: Annotated[str, Meta(pattern="^(ltr|rtl)$")] = "ltr"
    design: Name = "digest"
    theme: Theme = Theme()
    paper: Annotated[str, Meta(pattern="^(letter|a4)$")] = "letter"
    """What the PDF is to be printed on: US Letter, or A4."""
    sections: tuple[str, ...] = ()
    """In the order in which they appear; a draft names one of them. Without any, drafts need none."""
    min_stories: Count = 1
    max_stories: Count = 12
    approval: Approval = Approval.approve
    private: bool = False
    """Whether issues are read on the web only by who has their link, unless one is said to be public."""
    numbering: Numbering = Numbering()
    privacy_url: str = ""
    issn: str = ""
    """Its International Standard Serial Number, as "2049-3630" (ISO 3297): in citations and on its pages."""
    segment: str = ""
    """The part of its lists that it goes to, one of `segments`; empty: all of them. An issue may have its own."""
    measure_opens: bool = False
    """Whether it is counted how often an issue is opened, in sum and for nobody in particular."""
    measure_clicks: bool = False
    """Whether it is counted how often a link is followed, likewise."""
    measure_readers: bool = False
    """Whether readers are asked if what they open and follow may be kept with their name."""
    follow_links: bool = False
    """Whether `newsletter issue preflight` follows links over the network without being told to by --network."""
    preflight: dict[str, Words] = {}
    """Rules of preflight that are switched off, each with the reason."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A publication folder's config.toml. One folder may hold several publications, side by side."""

    publications: dict[Name, Publication]
    base_url: Words
    """Where readers' pages, pictures and the links in mails live: https, no slash at the end."""
    relays: Annotated[tuple[Relay, ...], Meta(min_length=1)]
    database: str = "sqlite:///newsletter.db"
    """An SQLAlchemy URL, or the name of an environment variable as $NAME. A relative file is looked for
    beside config.toml."""
    pictures: str = "pictures"
    """The folder of pictures, by content."""
    fonts: str = ""
    """A folder of fonts for the PDF, from where config.toml is; they come before the machine's own."""
    attributes: tuple[Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")], ...] = ()
    """What is kept about a subscriber besides address and name; each is a merge field."""
    reader_attributes: tuple[str, ...] | None = None
    """Those of them that readers see and change on their own page; without it all of them."""
    sending: Sending = Sending()
    warm_up: dict[str, WarmUp] = {}
    """By the domain of a sender."""
    dkim: tuple[Dkim, ...] = ()
    """Without any, messages aren't signed here; the relay may do it."""
    segments: dict[Name, Words] = {}
    """Parts of lists, each by an expression such as "city is 'Tokyo' and joined before 2024-01-01"."""
    web: Web = Web()
    sign_up: SignUp = SignUp()
    returns: Returns = Returns()

    @property
    def own_attributes(self) -> tuple[str, ...]:
        """The attributes that readers see and change on their own page."""
        return self.attributes if self.reader_attributes is None else self.reader_attributes


LEAST_RATE = 1 / 86400
"""Messages a second."""
SUBJECT_NAMES = ("title", "volume", "number", "date", "headline")
"""What a subject may hold in braces."""

_SPAN = re.compile(r"^\s*(\d+)\s*(second|minute|hour|day|week)s?\s*$")
_BEFORE = re.compile(r"^\s*(?:(\d+)\s+days?\s+before|(same\s+day))\s+at\s+(\d{1,2}:\d{2})\s*$")
_LABELS = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_WINDOW = re.compile(r"^\s*(\d{1,2}:\d{2})\s+to\s+(\d{1,2}:\d{2})\s*$")
_EVERY = re.compile(r"^\s*(\d+)\s+(day|week|month)s?\s*$")


def span(text: str) -> dt.timedelta:
    """A length of time such as "6 hours". ValueError says what would be right."""
    if not (found := _SPAN.match(text)):
        raise ValueError(f'"{text}" is not a length of time; write "30 minutes", "6 hours" or "2 days"')
    try:
        return dt.timedelta(**{found[2] + "s": int(found[1])})
    except OverflowError:
        raise ValueError(f'"{text}" is longer than a calendar goes') from None


def wall_time(text: str) -> dt.time:
    """A time of day such as "09:00". ValueError says what would be right."""
    try:
        hour, minute = text.strip().split(":")
        return dt.time(int(hour), int(minute))
    except ValueError:
        raise ValueError(f'"{text}" is not a time of day; write it as "09:00"') from None


def before(text: str) -> tuple[int, dt.time]:
    """Days before the day of sending, and a time: "1 day before at 17:00", "same day at 08:00"."""
    if not (found := _BEFORE.match(text)):
        raise ValueError(f'"{text}" is not understood; write "1 day before at 17:00" or "same day at 08:00"')
    return int(found[1] or 0), wall_time(found[3])


def window(text: str) -> tuple[dt.time, dt.time]:
    """The hours "08:00 to 20:00" as two times of day. ValueError says what would be right."""
    if not (found := _WINDOW.match(text)) or (times := (wall_time(found[1]), wall_time(found[2])))[0] == times[1]:
        raise ValueError(f'"{text}" is not a span of hours; write "08:00 to 20:00"')
    return times


def every(text: str) -> tuple[int, str]:
    """A count and "days", "weeks" or "months" from "2 weeks"."""
    found = _EVERY.match(text)
    if not found or int(found[1]) == 0:
        raise ValueError(f'"{text}" is not a rhythm; write "14 days", "2 weeks" or "1 month"')
    return int(found[1]), found[2] + "s"


def dns_name(text: str) -> str:
    """A name as DNS has it, of labels with dots between them: small, in IDNA's letters. ValueError if it can't be."""
    name = text.lower()
    if not name.isascii():
        import idna

        try:
            name = idna.encode(text, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f'"{text}" is not a name that DNS can have: {error}') from None
    if not _LABELS.fullmatch(name):
        raise ValueError(f'"{text}" is not a name that DNS can have; write letters, digits, dashes, and dots between')
    return name


def is_issn(text: str) -> bool:
    """Whether it is an ISSN whose last digit is right (ISO 3297, annex A)."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{3}[0-9X]", text):
        return False
    digits = [10 if each == "X" else int(each) for each in text.replace("-", "")]
    return sum(digit * weight for digit, weight in zip(digits, range(8, 0, -1), strict=True)) % 11 == 0


def zone(text: str) -> ZoneInfo:
    """An IANA zone by name."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'"{text}" is not a time zone; write an IANA name such as "America/New_York"') from None


def read(path: Path) -> Config:
    """config.toml at `path`, checked.

    ConfigMistake names the file, the line and what would be right.
    """
    return decode(source(path), path)


def decode(text: str, path: Path) -> Config:
    """A checked Config from TOML text; `path` is for the words of mistakes."""
    config = parse(text, path, Config)

    def check(key: str, value: str, reader: Callable[[str], T]) -> T:
        try:
            return reader(value)
        except ValueError as error:
            raise ConfigMistake(f"{key}: {error}", where=path, line=line_of(text, key)) from None

    def wrong(key: str, what: str) -> ConfigMistake:
        return ConfigMistake(f"{key}: {what}", where=path, line=line_of(text, key))

    if not config.publications:
        raise wrong("publications", "there is none; a [publications.NAME] is needed")
    if not re.match(r"^https?://[^/\s]+[^\s]*[^/\s]$", config.base_url):
        raise wrong("base_url", f'"{config.base_url}" is not a web address; write "https://digest.example.org"')
    names = [relay.name for relay in config.relays]
    for name in names:
        if names.count(name) > 1:
            raise wrong("relays", f'two relays are called "{name}"')
    if "all" in config.segments:
        raise wrong("segments.all", '"all" is everybody, and no name for a segment; call it otherwise')
    for i, relay in enumerate(config.relays):
        if relay.per_second and relay.per_second < LEAST_RATE:
            raise wrong(
                f"relays[{i}].per_second", f"{relay.per_second} is less than one message a day; 0 is none at all"
            )
    for domain in config.warm_up:
        if domain not in {each.sender.rpartition("@")[2] for each in config.publications.values()}:
            raise wrong(f"warm_up.{domain}", f"no publication's sender is at {domain}")
    for name in config.reader_attributes or ():
        if name not in config.attributes:
            raise wrong("reader_attributes", f'"{name}" is not one of attributes')
    for at in config.sending.retry_after:
        check("sending.retry_after", at, span)
    if not config.sending.retry_after:
        raise wrong("sending.retry_after", "at least one length of time is needed")
    check("sending.give_up_after", config.sending.give_up_after, span)
    check("sign_up.confirm_within", config.sign_up.confirm_within, span)
    check("returns.half_life", config.returns.half_life, span)
    signing: set[tuple[str, str]] = set()
    for i, entry in enumerate(config.dkim):
        domain = check(f"dkim[{i}].domain", entry.domain, dns_name)
        selector = check(f"dkim[{i}].selector", entry.selector, dns_name)
        if "." not in domain:
            raise wrong(f"dkim[{i}].domain", f'"{entry.domain}" is no domain of anybody; write it as "example.org"')
        if (domain, selector) in signing:
            raise wrong(f"dkim[{i}].selector", f'another key has the selector "{selector}" at {domain} already')
        signing.add((domain, selector))
    for slug, publication in config.publications.items():
        key = f"publications.{slug}"
        cadence = publication.cadence
        check(f"{key}.cadence.every", cadence.every, every)
        check(f"{key}.cadence.time", cadence.time, wall_time)
        check(f"{key}.cadence.zone", cadence.zone, zone)
        check(f"{key}.cadence.late", cadence.late, span)
        if cadence.window:
            check(f"{key}.cadence.window", cadence.window, window)
        sends = (0, wall_time(cadence.time))
        deadline = check(f"{key}.cadence.copy_deadline", cadence.copy_deadline, before)
        approve = check(f"{key}.cadence.approve_by", cadence.approve_by, before)
        for reminder in cadence.reminders:
            check(f"{key}.cadence.reminders", reminder, before)
        if _order(deadline) > _order(sends):
            raise wrong(f"{key}.cadence.copy_deadline", "it comes after the issue goes")
        if not _order(deadline) <= _order(approve) <= _order(sends):
            raise wrong(f"{key}.cadence.approve_by", "it must come between the copy deadline and the time of sending")
        if publication.segment and publication.segment not in config.segments:
            raise wrong(f"{key}.segment", f'there is no segment "{publication.segment}"; describe it under [segments]')
        if publication.min_stories > publication.max_stories:
            raise wrong(f"{key}.min_stories", f"it is more than max_stories ({publication.max_stories})")
        for name, what in theme_wrongs(publication.theme):
            raise wrong(f"{key}.theme.{name}", what)
        if publication.issn and not is_issn(publication.issn):
            raise wrong(
                f"{key}.issn",
                f'"{publication.issn}" is no ISSN: four digits, a dash, three digits, and one or X that checks them',
            )
        for rule in publication.preflight:
            if rule not in RULES:
                near = " or ".join(get_close_matches(rule, RULES, 3, 0.5))
                remedy = f"did you mean {near}?" if near else "newsletter issue preflight --rules lists them"
                raise wrong(
                    f"{key}.preflight.{rule}",
                    f'preflight has no rule "{rule}"; {remedy}',
                )
        for name in re.findall(r"\{([^{}]*)\}", publication.subject):
            if name not in SUBJECT_NAMES:
                raise wrong(
                    f"{key}.subject", f"there is no {{{name}}}; there is {', '.join(f'{{{n}}}' for n in SUBJECT_NAMES)}"
                )
        for name in ("sender", "reply_to", "bounces"):
            value = getattr(publication, name)
            if value and not re.match(
                r"^[^@\s<>,;:\"()\[\]\\\x00-\x1f]+@[^@\s<>,;:\"()\[\]\\]+\.[^@\s<>,;:\"()\[\]\\]+$", value
            ):
                raise wrong(
                    f"{key}.{name}", f'"{value}" is not an address; write it as "digest@example.org", without a name'
                )
        for name in ("title", "publisher", "postal_address", "sender_name", "list_id", "subject"):
            if re.search(r"[\x00-\x1f\x7f-\x9f]", getattr(publication, name)):
                raise wrong(f"{key}.{name}", "it holds a line break or a control character")
    return config


def _order(moment: tuple[int, dt.time]) -> tuple[int, dt.time]:
    return -moment[0], moment[1]
