"""A real Postfix on loopback, and an issue that goes through it into one Maildir: none lost, doubled or altered.

    python -m tests.postfix [READERS]        the same as the test, with 10,000 or any number; prints figures

Postfix has a folder of its own for its config, its queue and its mail, a port that nobody else has, and only the
services that take a message and put it into the Maildir: there is none that could send one anywhere.
"""

# ruff: noqa: T201, TRY002 - what a person sees; what went wrong is a sentence

from __future__ import annotations

import contextlib
import datetime as dt
import email
import email.policy
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from sqlalchemy import insert, select

from newsletter import audience, compose, database
from newsletter.compose import Composer, Message, Reader
from newsletter.folder import Folder, open_folder
from newsletter.models import Delivery, Issue, List, Rendition, Subscriber, Subscription
from newsletter.sender import Sender
from newsletter.states import DeliveryState, IssueState, RenditionKind, SubscriptionState

NOW = dt.datetime(2023, 11, 14, 14, 0, tzinfo=dt.UTC)
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

MAIN = """\
compatibility_level = 3.6
queue_directory = {place}/queue
data_directory = {place}/data
mail_spool_directory = {place}/spool
maillog_file = {place}/log/mail
maillog_file_prefixes = {place}
myhostname = relay.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
disable_dns_lookups = yes
biff = no
alias_maps =
local_recipient_maps =
in_flow_delay = 0s
default_process_limit = 20

# Every address is a mailbox, and all of them are one Maildir.
virtual_mailbox_domains = static:all
virtual_mailbox_base = {place}/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}

# Nothing leaves this machine: there is no smtp service in master.cf, and this is for what would look for it.
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60   1 pickup
cleanup   unix  n - n -    0 cleanup
qmgr      unix  n - n 300  1 qmgr
rewrite   unix  - - n -    - trivial-rewrite
bounce    unix  - - n -    0 bounce
defer     unix  - - n -    0 bounce
trace     unix  - - n -    0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -    - proxymap
showq     unix  n - n -    - showq
error     unix  - - n -    - error
retry     unix  - - n -    - error
virtual   unix  - n n -    - virtual
anvil     unix  - - n -    1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""
CONFIG = """\
database = "sqlite:///newsletter.db"
base_url = "https://digest.example.org"
attributes = ["city", "plan"]
[[relays]]
name = "postfix"
host = "127.0.0.1"
port = {port}
security = "none"
connections = {connections}
[publications.digest]
title = "Übersee-Digest, “US–Japan”"
publisher = "Example Society"
postal_address = "100 Example Street NW, Washington, DC 20036"
sender = "digest@example.org"
bounces = "bounces@example.org"
lists = ["alliance-digest"]
[publications.digest.cadence]
anchor = 2023-11-14
"""
SUBJECT = "日米ダイジェスト 2.21: a subject – with “quotes”, and long enough for a second line; \x02city|nowhere\x03"
HARD = (
    "\n.\n..\n.hidden\nFrom the desk\n  two spaces in front, two behind  \n\ttab\t\n" + "one word of 300: " + "w" * 300
)
HTML = (
    "<!doctype html><html><body><p>Dear \x02name|reader\x03 of \x02city\x03,\x02if plan = pro\x03 PRO\x02else\x03"
    " basic\x02end\x03</p>\n"
    + ("<p>" + "Words – with a “quote”, 東京 and some more 🗾. " * 12 + "</p>\n") * 40
    + HARD
    + "\n"
    '<p>\x02address\x03 since \x02joined\x03 <a href="\x02unsubscribe_url\x03">Leave</a></p></body></html>\n'
)
TEXT = (
    "Dear \x02name|reader\x03,\n"
    + HARD
    + "\n"
    + "Words in a line, as a text part has them.\n" * 50
    + "\x02unsubscribe_url\x03\n"
)
NAMES = (
    "",
    "Ann",
    "Ólafur, “the” 2nd",
    "山田 太郎",
    'O"Neil\\',
    "A name that goes on " * 5,
    "=?utf-8?q?no?=",
    "a.b@c.org",
)
ADDRESSES = (
    "reader{n}@example{m}.org",
    "reader{n}+tag=1@example{m}.org",
    '"quoted..{n}"@example{m}.org',
    "läser{n}@example{m}.org",
    "reader{n}@münchen{m}.example",
)
"""One in ten is of a kind that isn't the first."""


class UnfitError(Exception):
    """Why there can be no Postfix here, as a sentence."""


def fit() -> None:
    """Sees to it that Postfix is installed and can be started; UnfitError says why it can't be."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise UnfitError("only root can start a Postfix")
    if shutil.which("postfix", path=PLACES):
        return
    if not shutil.which("apt-get"):
        raise UnfitError("Postfix is not installed, and there is no apt-get to install it with")
    # Without a configuration of its own it is installed and not started.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    choice = "postfix postfix/main_mailer_type select No configuration\n"
    try:
        subprocess.run(["debconf-set-selections"], input=choice, text=True, env=quiet, check=True, timeout=30)
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "postfix"]):
            subprocess.run(["apt-get", "-qq", *words], env=quiet, check=True, timeout=300, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnfitError(f"Postfix is not installed, and can't be: {error}") from None


@dataclass(frozen=True)
class Postfix:
    place: Path
    port: int

    def ask(self, program: str, *words: str) -> str:
        command = [shutil.which(program, path=PLACES) or program, "-c", str(self.place / "config"), *words]
        done = subprocess.run(command, check=False, text=True, capture_output=True, timeout=60)
        if done.returncode:
            raise Exception(f"{' '.join(command)}: {done.stderr}{done.stdout}\n{self.log()}")
        return done.stdout

    def queue(self) -> list[str]:
        """What it still has in hand, a line of JSON each."""
        return self.ask("postqueue", "-j").splitlines()

    def messages(self) -> list[Path]:
        new = self.place / "mail/inbox/new"
        return sorted(new.iterdir()) if new.exists() else []

    def log(self) -> str:
        """What it complained of."""
        lines = (self.place / "log/mail").read_text(errors="replace").splitlines()
        return "\n".join(
            [line for line in lines if any(w in line for w in ("warning", "error", "fatal", "panic"))][-20:]
        )

    def settle(self, count: int, seconds: float) -> None:
        """Waits until it has put that many messages into the Maildir and has nothing left, at most so long."""
        until = time.monotonic() + seconds
        while len(self.messages()) < count or self.queue():
            if time.monotonic() > until:
                raise Exception(
                    f"{len(self.messages())} of {count} have arrived after {seconds:.0f} s; "
                    f"still in the queue: {self.queue()[:5]}\n{self.log()}"
                )
            time.sleep(0.2)


@contextlib.contextmanager
def running() -> Iterator[Postfix]:
    """A Postfix of its own, started; stopped and gone afterwards."""
    # Not below a folder that is only root's: its processes give up being root.
    place = Path(tempfile.mkdtemp(prefix="postfix"))
    place.chmod(0o755)
    try:
        nobody, owner = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        for name in ("config", "queue", "data", "mail", "spool", "log"):
            (place / name).mkdir()
        os.chown(place / "data", owner.pw_uid, 0)
        os.chown(place / "mail", nobody.pw_uid, nobody.pw_gid)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        main = MAIN.format(place=place, uid=nobody.pw_uid, gid=nobody.pw_gid)
        (place / "config/main.cf").write_text(main)
        (place / "config/master.cf").write_text(MASTER.format(port=port))
        postfix = Postfix(place, port)
        postfix.ask("postfix", "start")
        try:
            yield postfix
        finally:
            postfix.ask("postfix", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)


# ---- an issue, and who gets it


def readers(count: int) -> list[Reader]:
    def address(n: int) -> str:
        return ADDRESSES[n // 10 % len(ADDRESSES) if n % 10 == 0 else 0].format(n=n, m=n % 40)

    return [
        Reader(
            n,
            address(n),
            NAMES[n % len(NAMES)],
            {"city": ("Tokyo", "São Paulo", "")[n % 3], "plan": ("pro", "basic")[n % 2]},
            NOW - dt.timedelta(days=n % 900),
        )
        for n in range(1, count + 1)
    ]


def filled(path: Path, port: int, people: list[Reader], connections: int) -> Folder:
    """A publication's folder with an issue that is being sent to all of them."""
    (path / "config.toml").write_text(CONFIG.format(port=port, connections=connections), encoding="utf-8")
    folder = open_folder(path, checked=False)
    database.upgrade(folder.engine)
    with folder.session() as session:
        session.add(List(id=1, slug="alliance-digest", title="Digest"))
        when = dict.fromkeys(("since", "deadline", "approve_by", "sends"), NOW)
        about = {"publication": "digest", "slot": NOW.date(), "date": NOW.date(), "volume": 2, "number": 21}
        issue = Issue(id=1, state=IssueState.sending, subject=SUBJECT, **when, **about)
        session.add(issue)
        session.flush()
        for kind, content in ((RenditionKind.html, HTML), (RenditionKind.text, TEXT)):
            session.add(Rendition(issue_id=1, kind=kind, content=content.encode(), sha256="", made=NOW))
        session.execute(
            insert(Subscriber),
            [
                {
                    "id": each.subscriber,
                    "address": each.address,
                    "address_key": each.address.lower(),
                    "fingerprint": f"{each.subscriber:032x}",
                    "name": each.name,
                    "created": NOW,
                    "attributes": each.attributes,
                    "language": "",
                }
                for each in people
            ],
        )
        state = SubscriptionState.active
        session.execute(
            insert(Subscription),
            [
                {
                    "subscriber_id": p.subscriber,
                    "list_id": 1,
                    "state": state,
                    "since": NOW,
                    "joined": p.joined,
                    "why": "",
                }
                for p in people
            ],
        )
        audience.freeze(session, issue, ["alliance-digest"], NOW)
    return folder


# ---- what came out


def compare(raw: bytes, reader: Reader, made: Message, composer: Composer) -> None:
    """Whether a file of the Maildir is the message that was made for a reader, to the octet and as a program reads it."""
    who = f"reader {reader.subscriber}, {reader.address}"
    head = (
        f"Return-Path: <{made.sender}>\nX-Original-To: {made.recipient}\nDelivered-To: {made.recipient}\nReceived: "
    ).encode()
    assert raw.startswith(head), f"{who}: it begins with {raw[: len(head)]!r}, not {head!r}"
    # Past the Received: of one Postfix, it is what was handed over; in a file a line ends with LF.
    assert raw.endswith(b"\n" + made.data.replace(b"\r\n", b"\n")), f"{who}: altered on the way"
    lines_before = raw[: len(raw) - len(made.data.replace(b"\r\n", b"\n"))].decode().splitlines()
    more = [line for line in lines_before[4:] if not line.startswith("\t")]
    assert more == [], f"{who}: Postfix added {more}"

    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed["Return-Path"] == f"<{made.sender}>"
    assert parsed["Subject"] == composer.subject(reader), who
    assert parsed["From"].addresses[0].addr_spec == "digest@example.org"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for kind, content in (("plain", composer.text(reader)), ("html", composer.html(reader))):
        part = parsed.get_body((kind,))
        assert part is not None, f"{who}: no {kind} part"
        assert part.get_content().rstrip("\n") == content.rstrip("\n"), f"{who}: another {kind} part"
    assert not parsed.defects, (who, parsed.defects)


@dataclass(frozen=True)
class Figures:
    readers: int
    sending: float
    """Seconds until the sender had Postfix's 250 for every message."""
    arriving: float
    """Seconds until the last one was in the Maildir."""
    octets: int


def through(count: int, *, connections: int = 8, tamper: Callable[[Path], None] | None = None) -> Figures:
    """Sends an issue to `count` readers through a Postfix, and compares what came out with what was made.

    AssertionError where one is missing, doubled or altered. `tamper` may change the Maildir before that is looked at.
    """
    people = readers(count)
    with running() as postfix, tempfile.TemporaryDirectory() as place:
        folder = filled(Path(place), postfix.port, people, connections)
        began = time.monotonic()
        progress = Sender(folder, lambda: NOW).run(stop=lambda: False)
        sending = time.monotonic() - began
        with folder.reading() as session:
            other = session.execute(
                select(Delivery.subscriber_id, Delivery.state, Delivery.reply).where(
                    Delivery.state != DeliveryState.sent
                )
            ).all()
        assert progress.counts == {"sent": count}, (other[:5], postfix.log())
        postfix.settle(count, 60 + count / 20)
        arriving = time.monotonic() - began
        assert postfix.queue() == [], "its queue isn't empty"
        with folder.reading() as session:
            row = session.scalars(select(Issue)).one()
            assert row.state is IssueState.sent
            composer = compose.for_issue(session, folder, row, NOW)
        folder.engine.dispose()
        if tamper is not None:
            tamper(postfix.place / "mail/inbox/new")
        expected = {(made := composer.compose(each, NOW)).sender: (each, made) for each in people}
        assert len(expected) == count
        seen: Counter[str] = Counter()
        octets = 0
        for file in postfix.messages():
            raw = file.read_bytes()
            sender = raw[raw.index(b"<") + 1 : raw.index(b">")].decode()
            assert sender in expected, f"a message from {sender}: nobody's"
            seen[sender] += 1
            octets += len(raw)
            compare(raw, *expected[sender], composer)
        lost = [reader.address for sender, (reader, _) in expected.items() if not seen[sender]]
        twice = [expected[sender][0].address for sender, times in seen.items() if times > 1]
        assert not lost, f"{len(lost)} lost: {lost[:5]}"
        assert not twice, f"{len(twice)} doubled: {twice[:5]}"
        return Figures(count, sending, arriving, octets)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    try:
        fit()
    except UnfitError as unfit:
        print(unfit)
        return 2
    done = through(count, connections=16)
    print(
        f"{done.readers:,} messages of {done.octets / done.readers / 1000:.1f} KB through Postfix into one Maildir:"
        f" none lost, none doubled, none altered\n"
        f"taken by Postfix in {done.sending:.1f} s, {done.readers / done.sending:,.0f} a second;"
        f" delivered in {done.arriving:.1f} s, {done.readers / done.arriving:,.0f} a second"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
