"""An issue that has gone out, and what comes back of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from conftest import NOW
from mailserver import being_sent
from sqlalchemy import select, update

from newsletter.folder import Folder
from newsletter.models import Delivery, Issue, Return, Subscriber, Suppression
from newsletter.states import DeliveryState, IssueState
from newsletter.tokens import Keys, keys

LATER = NOW + dt.timedelta(days=1)


def gone_out(
    folder: Folder,
    subscribe: Callable[..., Subscriber],
    addresses: Sequence[str],
    *,
    number: int = 21,
    state: DeliveryState = DeliveryState.sent,
    started: dt.datetime = NOW,
) -> int:
    """Issue 2.NUMBER, that a relay has taken for each of these addresses; its id."""
    issue = being_sent(folder, subscribe, addresses, number=number)
    with folder.session() as session:
        session.execute(update(Issue).where(Issue.id == issue).values(state=IssueState.sent, started=started))
        session.execute(
            update(Delivery)
            .where(Delivery.issue_id == issue)
            .values(state=state, tries=1, first_try=started, since=started, relay="outbox", reply="250 2.0.0 taken")
        )
    return issue


def again(folder: Folder, number: int, started: dt.datetime) -> int:
    """A later issue to everybody; its id."""
    with folder.session() as session:
        issue = Issue(
            publication="digest",
            slot=NOW.date() + dt.timedelta(days=number),
            state=IssueState.sent,
            since=started,
            started=started,
            deadline=started,
            approve_by=started,
            sends=started,
            volume=2,
            number=number,
        )
        session.add(issue)
        session.flush()
        for person in session.scalars(select(Subscriber)):
            session.add(
                Delivery(
                    issue_id=issue.id,
                    subscriber_id=person.id,
                    state=DeliveryState.sent,
                    since=started,
                    first_try=started,
                    tries=1,
                    relay="outbox",
                )
            )
        return issue.id


def secrets(folder: Folder) -> Keys:
    with folder.session() as session:
        return keys(session, NOW)


def number_of(folder: Folder, address: str) -> int:
    with folder.reading() as session:
        return session.scalars(select(Subscriber.id).where(Subscriber.address == address)).one()


def token(folder: Folder, issue: int, address: str) -> str:
    return secrets(folder).reader(issue, number_of(folder, address))


def message_id(folder: Folder, issue: int, address: str) -> str:
    return f"{secrets(folder).message(issue, number_of(folder, address))}@example.org"


def dsn(
    address: str,
    *,
    token: str = "",
    status: str = "5.1.1",
    words: str = "550 5.1.1 no such user here",
    message: str = "",
    action: str = "failed",
    number: int = 1,
) -> bytes:
    """A delivery report (RFC 3464) as Postfix writes them."""
    to = f"digest+{token}@example.org" if token else "digest@example.org"
    original = f"Message-ID: <{message or 'f00@elsewhere.example'}>\r\nSubject: Digest\r\n"
    lines = [
        "From: MAILER-DAEMON@mx.example.net (Mail Delivery System)",
        "Subject: Undelivered Mail Returned to Sender",
        f"To: {to}",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b0und"',
        "Date: Tue, 14 Nov 2023 09:05:00 -0500 (EST)",
        f"Message-Id: <20231114.{number}@mx.example.net>",
        "",
        "--b0und",
        "Content-Type: text/plain",
        "",
        "I'm sorry to have to inform you that your message could not be delivered.",
        "",
        "--b0und",
        "Content-Type: message/delivery-status",
        "",
        "Reporting-MTA: dns; mx.example.net",
        "",
        f"Final-Recipient: rfc822; {address}",
        f"Action: {action}",
        f"Status: {status}",
        f"Diagnostic-Code: smtp; {words}",
        "",
        "--b0und",
        "Content-Type: text/rfc822-headers",
        "",
        original,
        "--b0und--",
        "",
    ]
    return "\r\n".join(lines).encode()


def suppressed(folder: Folder) -> dict[str, str]:
    """Address: why it is never mailed again."""
    with folder.reading() as session:
        return {str(row.address): row.reason.value for row in session.scalars(select(Suppression))}


def returns(folder: Folder) -> list[Return]:
    """The log, oldest first."""
    with folder.reading() as session:
        return list(session.scalars(select(Return).order_by(Return.id)))


def told(folder: Folder) -> list[tuple[str, str]]:
    """(kind, what was made of it) of each line of the log."""
    return [(row.kind.value, row.done) for row in returns(folder)]


def settings(toml: str) -> tuple[str, str]:
    """For make_folder: this at the end of config.toml, where its tables are."""
    return "[publications.digest]", f"{toml}\n\n[publications.digest]"
