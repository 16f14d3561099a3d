"""What newsletter doctor looks at: this machine, the database, the relays, the keys, and what DNS says of them."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import os
import smtplib
import ssl
import stat
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select, text

from newsletter import database, database_check, dkim, dns_records, headers, segments
from newsletter.config import Dkim, Publication, Relay, RelayKind, Security
from newsletter.dkim import Key
from newsletter.dns_records import Dns, Finding, Level
from newsletter.errors import Mistake
from newsletter.folder import Folder
from newsletter.models import Issue
from newsletter.smtp_login import log_in

EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE", "SMTPUTF8", "ENHANCEDSTATUSCODES")
"""Of ESMTP, those that make a difference here."""
APART = dt.timedelta(seconds=5)
"""By how much two clocks may differ before it is said."""
TOO_FAR = dt.timedelta(minutes=1)
"""… before leases are taken from senders that are alive."""


def check(folder: Folder, now: dt.datetime, asked: Dns | None) -> Iterator[Finding]:
    """Every finding, as it comes; DNS is asked only where there is someone to ask."""
    yield from _database(folder, now)
    yield _zones()
    for relay in folder.config.relays:
        yield _maildir(folder, relay) if relay.kind is RelayKind.maildir else _relay(folder, relay)
    if not folder.config.base_url.startswith("https://"):
        yield Finding(
            Level.warning,
            "base_url",
            "unsubscribing by one click asks for https, and mail programs take no notice of this address",
            "Write https://… in config.toml once the pages have a certificate.",
        )
    yield from _segments(folder)
    keys = list(_keys(folder))
    yield from (finding for _, _, finding in keys)
    signing = [(entry, key) for entry, key, _ in keys if key is not None]
    for slug, publication in folder.config.publications.items():
        yield _signed(folder, slug, publication)
    if asked is not None:
        yield from _dns(folder, asked, signing)


# ---- this machine


def _database(folder: Folder, now: dt.datetime) -> Iterator[Finding]:
    about = "database"
    file = database_check.file_of(folder.engine)
    if file is not None and not file.exists():
        yield Finding(Level.wrong, about, f"{file}: there is no database yet", "Make it: newsletter db upgrade.")
        return
    try:
        database.check(folder.engine)
        yield Finding(
            Level.ok, about, f"it answers, and its tables are of version {database.head()}, as this program's"
        )
        with database.reached(folder.engine), folder.reading() as session:
            if folder.engine.dialect.name == "postgresql":
                asked = dt.datetime.now(dt.UTC)
                told = session.execute(text("SELECT clock_timestamp()")).scalar_one()
                yield _clocks(abs(told - asked))
            elif (last := session.scalar(select(func.max(Issue.since)))) is not None and last > now + APART:
                yield Finding(
                    Level.wrong,
                    "clock",
                    f"it says {now:%Y-%m-%d %H:%M} UTC, and the database has something of {last:%Y-%m-%d %H:%M}",
                    "Set the clock, and let NTP keep it.",
                )
            else:
                yield Finding(Level.ok, "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC; nothing in the database is of later")
    except Mistake as mistake:
        yield _wrong(about, mistake)


def _clocks(apart: dt.timedelta) -> Finding:
    if apart <= APART:
        return Finding(Level.ok, "clock", "it agrees with the database server's")
    return Finding(
        Level.wrong if apart > TOO_FAR else Level.warning,
        "clock",
        f"it is {apart.total_seconds():,.0f} seconds apart from the database server's",
        "Let NTP keep both.",
    )


def _zones() -> Finding:
    """Which table of time zones is in use: the system's where it has one, else that of the package tzdata."""
    about = "time zones"
    packaged = _packaged_zones()
    place = next((Path(each) for each in zoneinfo.TZPATH if (Path(each) / "UTC").exists()), None)
    if place is None:
        return Finding(Level.ok, about, f"those of the package tzdata, {packaged}")
    try:
        with (place / "tzdata.zi").open(encoding="utf-8") as opened:
            system = _release(opened.readline())
    except OSError:
        return Finding(Level.ok, about, f"the system's, in {place}; it doesn't tell of which release")
    if system < packaged:
        return Finding(
            Level.warning,
            about,
            f"the system's are of {system}, older than the package's, {packaged}: where a government has moved the"
            " clocks since, issues go an hour early or late",
            "Upgrade the system's tzdata, or set PYTHONTZPATH=\"\" in the environment to use the package's.",
        )
    return Finding(Level.ok, about, f"the system's, {system}")


def _packaged_zones() -> str:
    try:
        with importlib.resources.files("tzdata").joinpath("zoneinfo", "tzdata.zi").open(encoding="utf-8") as opened:
            return _release(opened.readline())
    except (ModuleNotFoundError, OSError):
        return ""


def _release(line: str) -> str:
    """The release in the first line of a table of zones, "# version 2026f"."""
    return line.removeprefix("# version").strip()


# ---- relays


def _maildir(folder: Folder, relay: Relay) -> Finding:
    about = f"relay {relay.name}"
    place = (folder.path / relay.path).absolute()
    there = next(each for each in (place, *place.parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        return Finding(
            Level.wrong, about, f"{there} can't be written to", "Let the user that newsletter runs as write."
        )
    return Finding(
        Level.warning,
        about,
        f"a Maildir, {relay.path}: a rehearsal, no reader gets anything",
        "For real mail name a server.",
    )


def _relay(folder: Folder, relay: Relay) -> Finding:
    about = f"relay {relay.name}"
    password = os.environ.get(relay.password_env) if relay.password_env else None
    if relay.username and password is None:
        what = f"the environment has no {relay.password_env or 'password (password_env names none)'}"
        return Finding(Level.wrong, about, what, "Set it to the relay's password; it is never kept in config.toml.")
    try:
        server = log_in(relay, password, folder.path, timeout=15)
    except Mistake as mistake:
        return _wrong(about, mistake)
    try:
        offers = [_offer(server, name) for name in EXTENSIONS if server.has_extn(name)]
        tls = server.sock.version() if isinstance(server.sock, ssl.SSLSocket) else None
    finally:
        server.close()
    what = (
        f"lets us in at {relay.host}:{relay.port}, {tls or 'in the clear'}, and offers {', '.join(offers) or 'nothing'}"
    )
    if relay.security is Security.none and relay.host not in ("localhost", "127.0.0.1", "::1"):
        to_do = 'Write security = "starttls", unless nobody else is on the way there.'
        return Finding(Level.warning, about, what, to_do)
    if "PIPELINING" not in offers:
        to_do = "Without PIPELINING every message waits for four answers. It works, and takes its time."
        return Finding(Level.warning, about, what, to_do)
    return Finding(Level.ok, about, what)


def _offer(server: smtplib.SMTP, name: str) -> str:
    size = server.esmtp_features.get("size", "") if name == "SIZE" else ""
    return f"SIZE {int(size):,}" if size.isdigit() and int(size) else name


# ---- segments


def _segments(folder: Folder) -> Iterator[Finding]:
    there = [path.stem for path in sorted((folder.path / "lists").glob("*.toml"))]
    mistakes = {each.name: each.mistake for each in segments.check_all(folder.config, there)}
    for name, expression in folder.config.segments.items():
        if name in mistakes:
            yield Finding(Level.wrong, f"segment {name}", mistakes[name].what, mistakes[name].remedy or "")
        else:
            yield Finding(Level.ok, f"segment {name}", expression)


# ---- signatures


def _keys(folder: Folder) -> Iterator[tuple[Dkim, Key | None, Finding]]:
    for entry in folder.config.dkim:
        about = f"key {entry.selector} of {entry.domain}"
        path = folder.path / entry.key
        try:
            key = dkim.read_key(path)
        except Mistake as mistake:
            yield entry, None, _wrong(about, mistake)
            continue
        what = f"{dkim.words(key)}, in {entry.key}"
        mode = stat.S_IMODE(path.stat().st_mode)
        if not any(
            dkim.aligned(entry, headers.wire_address(each.sender)) for each in folder.config.publications.values()
        ):
            what, to_do = f"{what}; no publication's sender is at {entry.domain}", "It signs nothing."
            yield entry, key, Finding(Level.warning, about, what, to_do)
        elif mode & 0o077:
            what = f"{what}; others on this machine can read it (mode {mode:04o})"
            yield entry, key, Finding(Level.warning, about, what, f"chmod 600 {path}")
        elif not dkim.usual(key):
            to_do = f"Make one of {dkim.GOOD_BITS} bits, under another selector: newsletter doctor dkim-key."
            yield entry, key, Finding(Level.warning, about, what, to_do)
        else:
            yield entry, key, Finding(Level.ok, about, what)


def _signed(folder: Folder, slug: str, publication: Publication) -> Finding:
    about, sender = f"publication {slug}", headers.wire_address(publication.sender)
    entries = [entry for entry in folder.config.dkim if dkim.aligned(entry, sender)]
    if entries:
        by = " and ".join(f"{entry.selector} of {entry.domain}" for entry in entries)
        return Finding(Level.ok, about, f"what {publication.sender} sends is signed by {by}")
    return Finding(
        Level.warning,
        about,
        f"there is no key for {publication.sender}: nobody signs List-Unsubscribe-Post unless the relay does",
        "Make one: newsletter doctor dkim-key.",
    )


def _dns(folder: Folder, asked: Dns, signing: list[tuple[Dkim, Key]]) -> Iterator[Finding]:
    for entry, key in signing:
        domain, selector = dkim.names(entry)
        yield dns_records.check_dkim(asked, domain, selector, key)
    for publication in folder.config.publications.values():
        sender = headers.wire_address(publication.sender)
        bounces = headers.wire_address(publication.bounces or publication.sender)
        by = [dkim.names(entry)[0] for entry, _ in signing if dkim.aligned(entry, sender)]
        domain, path = (each.rpartition("@")[2].lower() for each in (sender, bounces))
        yield dns_records.check_spf(asked, path)
        yield dns_records.check_dmarc(asked, domain, path, by)


def _wrong(about: str, mistake: Mistake) -> Finding:
    where = f"{mistake.where}: " if mistake.where and not mistake.where.startswith(about) else ""
    return Finding(Level.wrong, about, where + mistake.what, mistake.remedy or "")
