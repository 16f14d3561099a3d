"""newsletter issue preview, test, send: an issue looked at, tried, let go."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newsletter.cli.common import at_option, console, here, listed, plural, publication_option, yes_option
from newsletter.cli.issue import by_option, issue_argument

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.audience import Audience


@click.command()
@issue_argument
@click.option(
    "--as", "reader", metavar="ADDRESS", help="As this subscriber would get it.  [default: a reader without a name]"
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write into.  [default: preview/ISSUE]",
)
@click.option("--no-pictures", is_flag=True, help="Without the contact sheet, which takes some seconds.")
@publication_option
@at_option
def preview(
    which: str,
    reader: str | None,
    output: Path | None,
    no_pictures: bool,
    publication: str | None,
    now: dt.datetime,
) -> None:
    """See an issue as a reader would get it: the HTML with its pictures, the text, the PDF, and the whole message.

    Where there is Chromium, also contact-sheet.png: inboxes, phone, desk, dark, forced dark, pictures off, text and
    PDF on one picture, and in pictures/ each of them by itself.

    One that still takes drafts is shown as it would go now. Nothing is kept of that.

    \b
    newsletter issue preview                              the next one
    newsletter issue preview 2.21 --as ada@example.org
    newsletter issue preview next --output /tmp/look --no-pictures
    """
    from newsletter import preview as previews
    from newsletter.cli.preflight import summary
    from newsletter.cli.progress import progress
    from newsletter.contact_sheet import STEPS
    from newsletter.errors import BrowserMistake

    folder = here()
    slug, _ = folder.publication(publication)
    made = previews.preview(folder, slug, which, now, reader=reader)
    place = output or folder.path / "preview" / made.name.replace("Vol ", "").replace(" No ", ".")
    files = previews.write(folder, made, place)
    click.echo(f"{made.name}: {made.subject}")
    click.echo(f"HTML {len(made.html.encode()) / 1000:.0f} KB, whole message {made.message.size / 1000:.0f} KB")
    if made.no_pdf is not None:
        click.echo(f"There is no PDF, and without one it isn't sent: {made.no_pdf}")
    for file in files:
        click.echo(str(file))
    if not no_pictures:
        try:
            with progress("Pictures", STEPS) as taken:
                sheet, *shots = previews.draw(folder, made, place, taken)
            click.echo(str(sheet))
            click.echo(f"{shots[0].parent}: {listed(shot.stem for shot in shots)}")
        except BrowserMistake as mistake:
            click.echo(f"There is no contact sheet: {mistake}")
    for line in summary(made.findings, which):
        click.echo(line)


@click.command()
@issue_argument
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--as", "reader", metavar="ADDRESS", help="With the name and attributes of this subscriber.")
@publication_option
@at_option
def test(which: str, addresses: tuple[str, ...], reader: str | None, publication: str | None, now: dt.datetime) -> None:
    """Send an issue to one or more addresses, to see it in a real mail program. No delivery is recorded.

    \b
    newsletter issue test next me@example.org
    newsletter issue test 2.21 me@example.org --as ada@example.org
    """
    from email.utils import make_msgid

    import msgspec

    from newsletter import addresses as known
    from newsletter import dkim, headers, suppressions
    from newsletter import preview as previews
    from newsletter.errors import RelayMistake, SubscriberMistake
    from newsletter.pool import hand_over
    from newsletter.relays import Sent

    folder = here()
    slug, settings = folder.publication(publication)
    signers = dkim.signers(folder.config.dkim, folder.path, headers.wire_address(settings.sender))
    wanted = [known.checked(address).address for address in addresses]
    with folder.session() as session:
        for address in wanted:
            if barred := suppressions.of_address(session, address, now):
                raise SubscriberMistake(
                    f"{address} is suppressed ({barred.reason.value}) and never mailed",
                    remedy="If it is yours: newsletter suppression remove ADDRESS --why WHY.",
                )
    made = previews.preview(folder, slug, which, now, reader=reader)
    for address in wanted:
        recipient = headers.wire_address(address)
        domain = made.message.sender.rpartition("@")[2]
        data = _retitled(made.message.data, recipient, f"[Test] {made.subject}", make_msgid("test", domain))
        data = dkim.signed(signers, data, int(now.timestamp()))
        outcome = hand_over(folder, msgspec.structs.replace(made.message, recipient=recipient, parts=(data,)))
        if not isinstance(outcome, Sent):
            raise RelayMistake(f"the relay doesn't take the test to {address}: {outcome.reply}")
        click.echo(f"A relay took the test of {made.name} to {address}: {outcome.reply}")


def _retitled(data: bytes, recipient: str, subject: str, number: str) -> bytes:
    """The message with To and Subject of its own, and a Message-ID, so that no second test is taken for a copy.

    Unsigned: the signatures were of what it was before.
    """
    import re

    from newsletter import headers

    head, _, body = data.partition(b"\r\n\r\n")
    own = (b"to", b"subject", b"message-id", b"dkim-signature")
    kept = [line for line in re.split(rb"\r\n(?![ \t])", head) if line.split(b":")[0].lower() not in own]
    fresh = (
        headers.mailbox("To", "", recipient) + headers.words("Subject", subject) + headers.token("Message-ID", number)
    )
    return fresh + b"\r\n".join(kept) + b"\r\n\r\n" + body


@click.command()
@issue_argument
@click.option("--start-only", is_flag=True, help="Freeze the audience; leave the sending to `newsletter run`.")
@by_option
@yes_option
@publication_option
@at_option
def send(which: str, start_only: bool, by: str, yes: bool, publication: str | None, now: dt.datetime) -> None:
    """Send an issue now: freeze its audience, and hand every message to a relay.

    One that is assembled is approved by this. What was begun before goes on where it stopped. Ctrl-C stops within a
    message for each connection; nobody is forgotten, and nobody gets two.

    \b
    newsletter issue send 2.21
    newsletter issue send 2.21 --yes --start-only
    """
    from newsletter import deliveries, dispatch, issues, segments
    from newsletter.cli.sending import live, summary
    from newsletter.cli.work import clock_from, stop_on_signals
    from newsletter.models import Issue
    from newsletter.pool import probe
    from newsletter.render import aside
    from newsletter.sender import Sender
    from newsletter.states import IssueState

    folder = here()
    slug, settings = folder.publication(publication)
    out = console()
    probe(folder)
    with folder.reading() as session:
        issue = issues.find(session, slug, which)
        name, number, state = issues.name(issue), issue.id, issue.state
        ahead = (
            dispatch.ahead(session, folder.config, slug, issue, now)
            if state in (IssueState.assembled, IssueState.approved)
            else None
        )
        segment = segments.name_of(settings, issue)
    to = f" in the segment {segment}" if segment else ""
    if ahead is not None and not yes:
        if segment:
            click.echo(f"{ahead.excluded.get('outside the segment', 0):,} are outside the segment {segment}.")
        click.confirm(f"Send {name} to {plural(ahead.due, 'reader')}{to} now?", abort=True)

    def started(session: Session) -> Audience | None:
        issue = session.get_one(Issue, number)
        if issue.state is IssueState.assembled:
            issues.approve(session, issue, by, now)
        return None if issue.state is IssueState.sending else dispatch.start(session, folder, issue, now)

    if frozen := aside(folder, started):
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in frozen.excluded.items())
        click.echo(f"{name}: {frozen.candidates:,} candidates, {frozen.due:,} due{to}")
        if left_out:
            click.echo(f"Left out: {left_out}")
    with folder.reading() as session:
        tally = deliveries.tally(session, number)
    due = sum(tally.values())
    done = due - sum(tally.get(each, 0) for each in deliveries.OPEN)
    if start_only:
        return
    asked = stop_on_signals()
    clock = clock_from(now)
    with live(out, due, done=done) as show:
        Sender(folder, clock, show=show).run(stop=asked.is_set)
    with folder.reading() as session:
        summary(out, session, session.get_one(Issue, number))
