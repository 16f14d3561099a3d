"""Visits to the links in mails and to readers' pages: which of them a person made, and which a program.

Mail gateways follow every link of a mail before its reader sees it, and some press buttons. So nothing is changed by
a visit, and none is counted until it is clear who made it. A visit is kept as a hit for minutes; when its message has
been quiet for a quarter of an hour it is settled: counted in sum (`measures`), or counted as ignored (`ignored`),
and the hit is gone. Signs of a program:

- it followed the canary: a link that no person sees or reaches by keyboard;
- it asked by HEAD, which no browser does when a person follows a link;
- it followed several different links of one message within two seconds;
- it says so itself: a prefetch (Purpose, Sec-Purpose, X-Moz), no name at all, the name of a known program.

With one of the first three all its other visits to that message, ten minutes before and after, are ignored too. A
"client" is a network (IPv4 /24, IPv6 /48) and a program's name, and both are kept only as a keyed hash. What can't be
told: a scanner that follows one link alone, minutes later, from a browser's name, is counted as a person. Apple's
mail programs fetch every picture whether or not anybody looks; they are ignored, and with them the people behind them.
Google and Yahoo fetch pictures themselves, when a mail is opened first: a second opening isn't seen. So an open is a
hint, and the pages say so.
"""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Select, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from newsletter import database
from newsletter.models import Hit, Ignored, Interest, Issue, Measure, Seen, Subscriber
from newsletter.states import HitKind
from newsletter.tokens import Keys

QUIET = dt.timedelta(minutes=15)
"""A message without a visit for so long is settled."""
LONGEST = dt.timedelta(hours=1)
"""No hit is kept for longer, however busy its message is."""
NEAR = dt.timedelta(minutes=10)
"""How far a sign reaches, before it and after it."""
AT_ONCE = dt.timedelta(seconds=2)
MANY = 3
"""Different links of one message, followed AT_ONCE: a program."""
MEASURED_FOR = dt.timedelta(days=30)
"""From the start of sending; afterwards nothing of an issue is counted, and what told messages apart is forgotten."""
EVERY_LINK = 0
"""The number that stands for all links of an issue together."""
AT_A_TIME = 2000
"""Messages that are settled in one transaction."""

_PROGRAMS = re.compile(
    r"bot\b|bot/|crawl|spider|scanner|preview|headless|curl/|wget/|python|go-http|java/|okhttp|libwww|httpclient"
    r"|urlscan|barracuda|proofpoint|mimecast|safelinks|externalhit|axios|node-fetch|phantom",
    re.IGNORECASE,
)


class Came(enum.Enum):
    """What a request says by itself about who made it."""

    person = "person"
    """As far as it can be told at once."""
    program = "program"
    """A client that no person uses: it marks its other visits too."""
    ahead = "ahead"
    """Fetched before anybody asked for it, or for everybody: only this one isn't counted."""
    unwatched = "unwatched"
    """The reader asks not to be counted (DNT, Sec-GPC): nothing at all is kept."""


class Headers(Protocol):
    """The headers of a request; asked without regard to case."""

    def get(self, name: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Visit:
    """One hit, as it is judged."""

    at: dt.datetime
    what: HitKind
    link: int | None
    client: str


def came(method: str, headers: Headers, what: HitKind) -> Came:
    """What a request's method and headers say."""
    program = (headers.get("User-Agent") or "").strip()
    if method == "HEAD":
        return Came.program
    if headers.get("DNT") == "1" or headers.get("Sec-GPC") == "1":
        return Came.unwatched
    purposes = " ".join(headers.get(name) or "" for name in ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"))
    if re.search(r"prefetch|prerender|preview", purposes, re.IGNORECASE):
        return Came.ahead
    # Apple's Mail Privacy Protection: nothing but these words, for every mail, looked at or not.
    if not program or _PROGRAMS.search(program) or (what is HitKind.open and program == "Mozilla/5.0"):
        return Came.ahead
    return Came.person


def message(keys: Keys, issue: int, subscriber: int) -> str:
    """The mark of one reader's copy, as it stands in hits; issue 0 for links that belong to none."""
    return keys.blurred(f"reader {issue} {subscriber}")


def message_of_letter(keys: Keys, letter: int) -> str:
    """The mark of a letter."""
    return keys.blurred(f"letter {letter}")


def message_of(keys: Keys, token: str) -> tuple[str, int | None] | None:
    """The mark of the message that a token of any kind stands in, and its issue. None for no token of ours."""
    if (marked := keys.read_mark(token)) is not None:
        if marked.subscriber is not None:
            return message(keys, marked.issue, marked.subscriber), marked.issue or None
        return keys.blurred(f"mark {marked.issue} {marked.mark.hex()}"), marked.issue or None
    if (named := keys.read(token)) is not None:
        return message(keys, *named), named[0] or None
    if (letter := keys.read_letter(token)) is not None:
        return message_of_letter(keys, letter), None
    return None


def client(keys: Keys, address: str | None, program: str | None) -> str:
    """The mark of a client: its network and its name."""
    try:
        known = ipaddress.ip_address(address or "")
        known = getattr(known, "ipv4_mapped", None) or known
        network = str(ipaddress.ip_network((known, 24 if known.version == 4 else 48), strict=False))
    except ValueError:
        network = address or ""
    return keys.blurred(f"client {network} {program or ''}")


def note(
    session: Session,
    keys: Keys,
    what: HitKind,
    issue: int | None,
    subscriber: int,
    client: str,
    now: dt.datetime,
) -> None:
    """Notes a visit to one of a reader's own pages, or to its canary; `client` as the function client() makes it."""
    record(session, [hit(what, message(keys, issue or 0, subscriber), client, now, issue=issue)])


def hit(
    what: HitKind,
    message: str,
    client: str,
    now: dt.datetime,
    *,
    issue: int | None = None,
    link: int | None = None,
    subscriber: int | None = None,
) -> dict[str, Any]:
    """A hit to be recorded. `subscriber` only where they agreed to be measured."""
    return {
        "at": now,
        "what": what,
        "issue_id": issue,
        "link": link,
        "message": message,
        "client": client,
        "subscriber_id": subscriber,
    }


def record(session: Session, hits: Sequence[Mapping[str, Any]]) -> None:
    """Writes hits."""
    if hits:
        session.execute(insert(Hit), [dict(each) for each in hits])


def ignore(session: Session, publication: str, what: str, now: dt.datetime, times: int = 1) -> None:
    """Counts what was ignored: an open, a click, a page, a canary; a button pressed by a program, a form filled in."""
    row = database.insert(session, Ignored).values(publication=publication, day=now.date(), what=what, times=times)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Ignored.publication, Ignored.day, Ignored.what],
            set_={"times": Ignored.times + row.excluded.times},
        )
    )


def suspicious(session: Session, message: str, client: str, now: dt.datetime) -> bool:
    """Whether a button may have been pressed by a program: then the page asks for one more press.

    So it is where this client followed a canary lately, whichever message it was in, where somebody followed the
    canary of this message a moment ago, or where this client took many links of this message at once.
    """
    rows = session.execute(
        select(Hit.at, Hit.what, Hit.link, Hit.client, Hit.message)
        .where(Hit.at >= now - NEAR, or_(Hit.message == message, Hit.client == client))
        .order_by(Hit.at.desc())
        .limit(500)
    ).all()
    for row in rows:
        if row.what is HitKind.canary and (row.client == client or now - row.at <= dt.timedelta(minutes=1)):
            return True
    here = [Visit(row.at, row.what, row.link, row.client) for row in rows if row.message == message]
    return client in signs(here)


def signs(visits: Iterable[Visit]) -> dict[str, list[dt.datetime]]:
    """Client: when it showed itself to be a program, among the visits to one message."""
    found: dict[str, list[dt.datetime]] = defaultdict(list)
    followed = []
    for visit in sorted(visits, key=lambda visit: visit.at):
        if visit.what is HitKind.canary:
            found[visit.client].append(visit.at)
        elif visit.what is not HitKind.open:
            followed.append(visit)
    first = 0
    for last, visit in enumerate(followed):
        while visit.at - followed[first].at > AT_ONCE:
            first += 1
        burst = followed[first : last + 1]
        if len({(each.what, each.link) for each in burst}) >= MANY:
            # From several networks too: large gateways take turns.
            for each in burst:
                found[each.client].append(each.at)
    return dict(found)


def automatic(visit: Visit, found: Mapping[str, Sequence[dt.datetime]]) -> bool:
    """Whether a program made this visit, by the signs among all visits to its message."""
    return any(abs(visit.at - at) <= NEAR for at in found.get(visit.client, ()))


def due(session: Session, now: dt.datetime) -> bool:
    """Whether there may be something to settle: a hit that is old enough, or an issue whose measuring is over."""
    old = session.scalar(select(exists().where(Hit.at <= now - QUIET)))
    return bool(old) or bool(session.scalar(select(exists().where(Seen.issue_id.in_(_over(now))))))


def settle(session: Session, now: dt.datetime) -> int:
    """Settles the hits of messages that have been quiet for QUIET, AT_A_TIME at the most; answers how many messages.

    Done in one transaction with their removal, so that none is counted twice. What tells messages apart is forgotten
    for issues whose measuring is over.
    """
    session.execute(delete(Seen).where(Seen.issue_id.in_(_over(now))).execution_options(synchronize_session=False))
    due = (
        select(Hit.message)
        .group_by(Hit.message)
        .having(or_(func.max(Hit.at) <= now - QUIET, func.min(Hit.at) <= now - LONGEST))
        .limit(AT_A_TIME)
    )
    # A message's rows go in one statement: of two processes that settle at once each gets what the other doesn't.
    rows = session.execute(
        delete(Hit)
        .where(Hit.message.in_(due.scalar_subquery()))
        .returning(Hit.at, Hit.what, Hit.issue_id, Hit.link, Hit.message, Hit.client, Hit.subscriber_id)
        .execution_options(synchronize_session=False)
    ).all()
    by_message: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_message[row.message].append(row)
    counted: list[Any] = []
    ignored: Counter[tuple[int | None, dt.date, str]] = Counter()
    for together in by_message.values():
        visits = [Visit(row.at, row.what, row.link, row.client) for row in together]
        found = signs(visits)
        for row, visit in zip(together, visits, strict=True):
            if visit.what is HitKind.canary or automatic(visit, found):
                ignored[row.issue_id, row.at.date(), row.what.value] += 1
            elif row.issue_id is not None and row.what in (HitKind.open, HitKind.click):
                counted.append(row)
    _count(session, counted)
    _interests(session, counted)
    names = dict(session.execute(select(Issue.id, Issue.publication)).all()) if ignored else {}
    for (issue, day, what), times in sorted(ignored.items(), key=str):
        moment = dt.datetime.combine(day, dt.time(), dt.UTC)
        ignore(session, names.get(issue, "") if issue else "", what, moment, times)
    return len(by_message)


def forget(session: Session, subscriber: int) -> None:
    """What is kept by name of one reader is gone: they take their consent back, or are erased. Sums stay."""
    session.execute(
        delete(Interest).where(Interest.subscriber_id == subscriber).execution_options(synchronize_session=False)
    )
    session.execute(
        update(Hit)
        .where(Hit.subscriber_id == subscriber)
        .values(subscriber_id=None)
        .execution_options(synchronize_session=False)
    )


def _over(now: dt.datetime) -> Select[int]:
    return select(Issue.id).where(Issue.started <= now - MEASURED_FOR)


def _count(session: Session, rows: Sequence[Any]) -> None:
    times: Counter[tuple[int, HitKind, int]] = Counter()
    seen = set()
    for row in rows:
        links = (0,) if row.what is HitKind.open else (EVERY_LINK, row.link or EVERY_LINK)
        for link in dict.fromkeys(links):
            times[row.issue_id, row.what, link] += 1
            seen.add((row.issue_id, row.what, link, row.message))
    if not times:
        return
    columns = ("issue_id", "what", "link", "message")
    new = session.execute(
        database.insert(session, Seen).on_conflict_do_nothing().returning(Seen.issue_id, Seen.what, Seen.link),
        [dict(zip(columns, each, strict=True)) for each in sorted(seen, key=str)],
    )
    readers = Counter((issue, what, link) for issue, what, link in new)
    for (issue, what, link), count in sorted(times.items(), key=str):
        row = database.insert(session, Measure).values(
            issue_id=issue, what=what, link=link, times=count, readers=readers[issue, what, link]
        )
        session.execute(
            row.on_conflict_do_update(
                index_elements=[Measure.issue_id, Measure.what, Measure.link],
                set_={
                    "times": Measure.times + row.excluded.times,
                    "readers": Measure.readers + row.excluded.readers,
                },
            )
        )


def _interests(session: Session, rows: Sequence[Any]) -> None:
    named = [row for row in rows if row.subscriber_id is not None]
    if not named:
        return
    # Asked now, not when the mail was made: who has taken it back meanwhile isn't written down.
    agreed = set(
        session.scalars(
            select(Subscriber.id).where(
                Subscriber.id.in_({row.subscriber_id for row in named}), Subscriber.measured.is_not(None)
            )
        )
    )
    first: dict[tuple[int, int, HitKind, int], dt.datetime] = {}
    for row in named:
        if row.subscriber_id in agreed:
            key = (row.subscriber_id, row.issue_id, row.what, row.link or 0)
            first[key] = min(row.at, first.get(key, row.at))
    if first:
        session.execute(
            database.insert(session, Interest).on_conflict_do_nothing(),
            [
                {"subscriber_id": who, "issue_id": issue, "what": what, "link": link, "at": at}
                for (who, issue, what, link), at in first.items()
            ],
        )
