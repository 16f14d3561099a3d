"""The sample digest from drafts to inboxes, on this machine: a rehearsal of the whole flow with real parts.

The mail server is aiosmtpd on a loopback port, delivering into a Maildir; the clock is the sample's, November 2023.
"""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from newsletter import config, deliveries, drafts, init, issues, pictures, scheduler, story_file, subscribers
from newsletter import suppressions as suppressed
from newsletter.cli.common import listed, local, plural, table
from newsletter.cli.common import state as shown_state
from newsletter.cli.sending import live
from newsletter.errors import Mistake
from newsletter.folder import Folder, included, open_folder
from newsletter.models import Delivery, Issue, Rendition, Subscriber
from newsletter.sender import Sender
from newsletter.spreadsheets import opened
from newsletter.states import DraftState, IssueState, SubscriptionState, SuppressionReason
from newsletter.subscriber_columns import score
from newsletter.subscriber_import import import_subscribers

MARK = ".newsletter-demo"
"""The file that says that a folder was made by a demo, and may be replaced by the next."""
QUEUED = dt.datetime(2023, 11, 10, 15, 0, tzinfo=dt.UTC)
"""The Friday on which the sample's editors queue their stories."""
LIST = "alliance-digest"


def run(path: Path, out: Console) -> None:
    """Runs the demo in a folder at `path`, and says what it does. Mistake unless every message arrived."""
    out.print("The sample digest, from drafts to inboxes, on this machine. Nothing leaves it.")
    out.print()
    folder = _folder(path)
    with _mail_server(path / "maildir") as port:
        folder = _pointed_at(folder, port)
        try:
            _flow(folder, path, out)
        finally:
            folder.engine.dispose()


def _flow(folder: Folder, path: Path, out: Console) -> None:
    say = _Steps(out)
    slug, publication = folder.publication()
    zone = config.zone(publication.cadence.zone)
    say("lists", f"{publication.lists[0]}, as lists/{publication.lists[0]}.toml describes it")
    say("readers", _readers(folder))
    say("drafts", _drafts(folder, slug))

    with folder.session() as session:
        issue = issues.open_next(session, slug, publication, QUEUED)
    told = [event.sentence for event in scheduler.tick(folder, issue.deadline) if event.issue == issue.id]
    say("copy deadline", f"{local(issue.deadline, zone)}: {' '.join(told)}")
    approved = issue.approve_by - dt.timedelta(hours=1)
    with folder.session() as session:
        issues.approve(session, session.get_one(Issue, issue.id), "the demo", approved)
    say("approval", f"{local(approved, zone)}: the demo says yes")
    with folder.reading() as session:
        issue = session.get_one(Issue, issue.id)
        made = [
            (row.kind.value, len(row.content))
            for row in session.scalars(select(Rendition).where(Rendition.issue_id == issue.id).order_by(Rendition.kind))
        ]
        name = issues.name(issue)
    say("renditions", listed(f"{kind} {size / 1000:.0f} KB" for kind, size in made) + ", once for all readers")

    scheduler.tick(folder, issue.sends)
    with folder.reading() as session:
        issue = session.get_one(Issue, issue.id)
        if issue.state is not IssueState.sending:
            raise Mistake(f"{name} isn't being sent: {issue.why}")
        excluded = issue.excluded or {}
        due = (issue.candidates or 0) - sum(excluded.values())
    reasons = listed(f"{count:,} {reason}" for reason, count in excluded.items())
    say("audience", f"{issue.candidates:,} candidates less {sum(excluded.values()):,} ({reasons}): {due:,} due")

    began = time.monotonic()
    sender_clock = lambda: issue.sends + dt.timedelta(seconds=time.monotonic() - began)  # noqa: E731
    with live(out, due) as show:
        Sender(folder, sender_clock, show=show).run(stop=lambda: False)
    with folder.reading() as session:
        tally = deliveries.tally(session, issue.id)
        say("deliveries", listed(f"{count:,} {state.value}" for state, count in tally.items()) + ": a relay took them")
        out.print()
        _log(folder, out, issue.id)
    arrived = _check(path / "maildir" / "new", folder, issue, due)
    out.print()
    out.print(f"{name}: {plural(arrived, 'message')} of {due:,} arrived, each whole and with its reader's name.")
    _where_to_look(folder, slug, issue, path, out)


class _Steps:
    """A line for each step: done, what, how long it took."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._last = time.monotonic()

    def __call__(self, name: str, what: str) -> None:
        now = time.monotonic()
        grid = Table.grid(padding=(0, 2, 0, 0))
        for width, justify in ((1, "left"), (13, "left"), (70, "left"), (7, "right")):
            grid.add_column(width=width, justify=justify)  # type: ignore[arg-type]
        grid.add_row(Text("✓", "green"), name, what, Text(f"{now - self._last:.1f} s", "bright_black"))
        self._out.print(grid)
        self._last = now


def _folder(path: Path) -> Folder:
    if path.exists() and any(path.iterdir()):
        if not (path / MARK).exists():
            raise Mistake(
                "there is something here that no demo made",
                where=path,
                remedy="Name another: newsletter demo --directory DIR.",
            )
        shutil.rmtree(path)
    folder = init.make(path, QUEUED)
    (path / MARK).touch()
    return folder


@contextmanager
def _mail_server(maildir: Path) -> Iterator[int]:
    try:
        from aiosmtpd.controller import Controller
        from aiosmtpd.handlers import Mailbox
    except ImportError:
        raise Mistake(
            "the demo's mail server isn't installed", remedy='Install it with: pip install "newsletter[demo]".'
        ) from None
    # The controller asks for a number; a socket that is closed again leaves one free.
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
    controller = Controller(Mailbox(maildir), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def _pointed_at(folder: Folder, port: int) -> Folder:
    """The folder with the demo's mail server as its relay, in its config.toml like any other."""
    file = folder.path / "config.toml"
    text = file.read_text(encoding="utf-8").replace(
        'kind = "maildir"\npath = "outbox"', f'host = "127.0.0.1"\nport = {port}\nsecurity = "none"'
    )
    file.write_text(text, encoding="utf-8")
    folder.engine.dispose()
    return open_folder(folder.path)


def _readers(folder: Folder) -> str:
    with folder.session() as session, opened(included() / "sample" / "subscribers.csv", score, None) as rows:
        report = import_subscribers(
            session,
            folder.config,
            rows,
            lists=(LIST,),
            now=QUEUED - dt.timedelta(days=240),
            why="import subscribers.csv",
            refuse=lambda _refused, _header: None,
            state=SubscriptionState.active,
        )
        # Three who must get nothing, so that the audience has something to add up.
        joined = QUEUED - dt.timedelta(days=100)
        for address, state in (
            ("pending@example.org", SubscriptionState.pending),
            ("left@example.org", SubscriptionState.active),
            ("complained@example.org", SubscriptionState.active),
        ):
            subscribers.add(session, folder.config, address, lists=(LIST,), now=joined, why="demo", state=state)
        left = subscribers.find(session, "left@example.org")
        subscribers.unsubscribe(session, folder.config, left, None, QUEUED, "demo")
        suppressed.add(session, "complained@example.org", SuppressionReason.complaint, "demo", QUEUED)
    return f"{report.rows} imported; three more: one pending, one who left, one who complained"


def _drafts(folder: Folder, slug: str) -> str:
    sections = {name: publication.sections for name, publication in folder.config.publications.items()}
    files = sorted((included() / "sample" / "stories").glob("*.md"))
    with folder.session() as session:
        for file in files:
            story = story_file.read(file.read_bytes(), sections, where=file, beside=file.parent, publication=slug)
            source = file.parent / story.picture if story.picture else None
            picture = pictures.store(session, folder.pictures, source, QUEUED) if source else None
            drafts.add(
                session,
                slug,
                story.written,
                QUEUED,
                sections=sections[slug],
                picture=picture,
                state=story.state or DraftState.ready,
                source=file.name,
            )
        queued = len(drafts.listing(session, slug))
    return f"{queued} stories queued, one of them not due yet, and a picture"


def _log(folder: Folder, out: Console, issue: int) -> None:
    made = table("Reader", "State", "Tries>", "The relay said")
    with folder.reading() as session:
        rows = session.execute(
            select(Subscriber.name, Subscriber.address, Delivery)
            .join(Delivery, Delivery.subscriber_id == Subscriber.id)
            .where(Delivery.issue_id == issue)
            .order_by(Delivery.subscriber_id)
        ).all()
    for _, address, row in rows[:10]:
        made.add_row(
            Text(str(address), overflow="ellipsis"),
            shown_state(row.state),
            str(row.tries),
            Text(row.reply or "", "bright_black"),
        )
    out.print(made)
    if len(rows) > 10:
        out.print(Text(f"and {len(rows) - 10:,} more", "bright_black"))


def _check(new: Path, folder: Folder, issue: Issue, due: int) -> int:
    """How many messages arrived; Mistake unless each reader who was due has one, whole, and nobody has two."""
    with folder.reading() as session:
        expected = {
            str(person.address): person.name
            for person in session.scalars(
                select(Subscriber)
                .join(Delivery, Delivery.subscriber_id == Subscriber.id)
                .where(Delivery.issue_id == issue.id)
            )
        }
    got: list[str] = []
    for file in sorted(new.iterdir()):
        message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        (reader,) = message["To"].addresses
        parts = [part.get_content() for part in message.iter_parts()]
        label = f"{issue.volume}.{issue.number}"
        if len(parts) != 2 or any("[[" in part or "\x02" in part for part in parts) or label not in message["Subject"]:
            raise Mistake(f"the message to {reader.addr_spec} isn't whole", where=file)
        if reader.display_name != expected.get(reader.addr_spec):
            raise Mistake(f"the message to {reader.addr_spec} has another name: {reader.display_name!r}", where=file)
        got.append(reader.addr_spec)
    if sorted(got) != sorted(expected) or len(got) != due:
        raise Mistake(f"{len(got)} messages arrived, {due} were due", where=new)
    return len(got)


def _where_to_look(folder: Folder, slug: str, issue: Issue, path: Path, out: Console) -> None:
    from newsletter import preview

    made = preview.preview(folder, slug, f"{issue.volume}.{issue.number}", issue.sends)
    preview.write(folder, made, path / "preview")
    out.print()
    for place, what in (
        (path / "preview" / "index.html", "the issue as a mail program shows it"),
        (path / "preview" / "text.txt", "its text part"),
        (path / "preview" / "page.html", "its web page"),
        (path / "preview" / "issue.pdf", "the issue on paper"),
        (path / "preview" / "message.eml", "a whole message"),
        (path / "maildir" / "new", "every message, as it arrived"),
    ):
        out.print(Text.assemble("  ", (f"{place!s:<46}", "blue"), f"  {what}"))
    out.print()
    for command, what in (
        (f"delivery list {issue.volume}.{issue.number}", "the log of every delivery"),
        ("status", "where things stand"),
    ):
        out.print(Text.assemble("  ", (f"{f'newsletter -C {path} {command}':<46}", "blue"), f"  {what}"))
