"""From drafts to inboxes: every step in its order, on both databases, over real sockets."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import NOW
from mailserver import MailServer
from sqlalchemy import func, select

from newsletter import audience, init, issues, notice_mail, scheduler
from newsletter.folder import Folder, open_folder
from newsletter.issues import Happened
from newsletter.models import Delivery, Draft, Issue, Notice, Rendition, Subscriber
from newsletter.sender import Sender
from newsletter.states import DeliveryState, DraftState, IssueState, NoticeState

TEMPLATES = Path(__file__).parent.parent / "templates"
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def newsroom(make_folder: Callable[..., Folder], subscribe: Callable[..., Subscriber]) -> Callable[..., Folder]:
    """newsroom(port): a folder with the sample's templates, three readers and three drafts that are ready."""

    def make(port: int | None = None, *changes: tuple[str, str], readers: int = 3) -> Folder:
        relay = f'kind = "smtp"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"' if port else 'kind = "maildir"'
        folder = make_folder(('kind = "maildir"', relay), *changes)
        shutil.copytree(TEMPLATES, folder.path / "templates")
        with folder.session() as session:
            for i in range(readers):
                subscribe(
                    session, f"reader{i}@example.org", name=f"Reader {i}", attributes={"city": "Kyōto"} if i else {}
                )
            for i, section in enumerate(("Economy", "Diplomacy", "Defense")):
                session.add(
                    Draft(
                        publication="digest",
                        headline=f"Headline {i}",
                        section=section,
                        position=i,
                        state=DraftState.ready,
                        body=f"Dear [[name|reader]][[if city]] in [[city]][[end]], story {i}.",
                        created=NOW,
                        changed=NOW,
                    )
                )
        return folder

    return make


def only_issue(folder: Folder) -> Issue:
    with folder.reading() as session:
        return session.scalars(select(Issue).order_by(Issue.id)).first()  # type: ignore[return-value]


def approve(folder: Folder, now: dt.datetime) -> None:
    with folder.session() as session:
        issues.approve(session, session.get_one(Issue, only_issue(folder).id), "Ada", now)


def test_a_story_goes_from_the_queue_to_every_readers_inbox(newsroom: Any) -> None:
    with MailServer() as server:
        folder = newsroom(server.port)
        scheduler.tick(folder, NOW)
        issue = only_issue(folder)
        assert issue.state is IssueState.open
        scheduler.tick(folder, issue.deadline)
        assert only_issue(folder).state is IssueState.assembled
        approve(folder, issue.deadline + HOUR)
        scheduler.tick(folder, issue.sends - HOUR)
        assert not server.messages
        scheduler.tick(folder, issue.sends)
        Sender(folder, lambda: issue.sends).run(stop=lambda: False)
        messages = {m.recipient: email.message_from_bytes(m.data, policy=email.policy.default) for m in server.messages}
    assert sorted(messages) == [f"reader{i}@example.org" for i in range(3)]
    for i, (_, message) in enumerate(sorted(messages.items())):
        text, html = (part.get_content() for part in message.iter_parts())
        assert message["To"].addresses[0].display_name == f"Reader {i}"
        assert "2.21" in message["Subject"]
        greeting = f"Dear Reader {i}{' in Kyōto' if i else ''}, story 2."
        assert greeting in text
        assert greeting in html
        assert html.rindex("Headline 0<") < html.rindex("Headline 1<") < html.rindex("Headline 2<")
        assert "[[" not in text + html
        assert f"reader{i}@example.org" in text
    assert only_issue(folder).state is IssueState.sent
    with folder.reading() as session:
        assert {draft.state for draft in session.scalars(select(Draft))} == {DraftState.published}
        assert {row.state for row in session.scalars(select(Delivery))} == {DeliveryState.sent}
        assert {row.sha256 for row in session.scalars(select(Rendition))}


def test_looking_twice_does_nothing_twice(newsroom: Any) -> None:
    with MailServer() as server:
        folder = newsroom(server.port)
        scheduler.tick(folder, NOW)
        issue = only_issue(folder)
        for moment in (issue.deadline, issue.deadline, issue.deadline):
            scheduler.tick(folder, moment)
        approve(folder, issue.deadline)
        for _ in range(3):
            scheduler.tick(folder, issue.sends)
            Sender(folder, lambda: issue.sends).run(stop=lambda: False)
        assert Counter(m.recipient for m in server.messages) == {f"reader{i}@example.org": 1 for i in range(3)}


def test_the_audience_adds_up_and_nobody_on_two_lists_gets_two(newsroom: Any, subscribe: Any) -> None:
    from newsletter.models import Suppression
    from newsletter.states import SubscriptionState, SuppressionReason

    folder = newsroom(None, ('lists = ["alliance-digest"]', 'lists = ["alliance-digest", "members"]'))
    with folder.session() as session:
        subscribe(session, "both@example.org", lists=("alliance-digest", "members"))
        subscribe(session, "pending@example.org", state=SubscriptionState.pending)
        subscribe(session, "left@example.org", state=SubscriptionState.unsubscribed)
        who = subscribe(session, "gone@example.org")
        session.add(Suppression(fingerprint=who.fingerprint, reason=SuppressionReason.bounce, since=NOW))
        subscribe(session, "elsewhere@example.org", lists=("other",))
    with folder.reading() as session:
        found = audience.count(session, ["alliance-digest", "members"], NOW)
    assert found.excluded == {"on another list too": 1, "pending": 1, "unsubscribed": 1, "suppressed: bounce": 1}
    assert (found.candidates, found.due) == (8, 4)
    assert found.candidates == found.due + sum(found.excluded.values())
    scheduler.tick(folder, NOW)
    issue = only_issue(folder)
    scheduler.tick(folder, issue.deadline)
    approve(folder, issue.deadline)
    scheduler.tick(folder, issue.sends)
    with folder.reading() as session:
        row = session.get_one(Issue, issue.id)
        assert (row.candidates, row.excluded) == (found.candidates, found.excluded)
        assert session.scalar(select(func.count()).select_from(Delivery)) == 4


def test_a_broken_template_holds_the_issue_and_the_editors_are_told(newsroom: Any) -> None:
    folder = newsroom()
    template = folder.path / "templates" / "digest" / "issue.mjml"
    template.write_text(
        template.read_text().replace("<mj-wrapper ", "<mj-wraper ", 1).replace("</mj-wrapper>", "</mj-wraper>", 1)
    )
    scheduler.tick(folder, NOW)
    scheduler.tick(folder, only_issue(folder).deadline)
    issue = only_issue(folder)
    assert issue.state is IssueState.held
    assert "issue.mjml, line" in issue.why
    assert "mj-wraper" in issue.why
    with folder.reading() as session:
        assert any("issue.mjml" in notice.body for notice in session.scalars(select(Notice)))
        assert not session.scalars(select(Rendition)).all()


def test_an_issue_that_would_go_to_nobody_is_held(newsroom: Any, subscribe: Any) -> None:
    folder = newsroom(readers=0)
    with folder.session() as session:
        subscribe(session, "elsewhere@example.org", lists=("alliance-digest",)).erased = None
        from newsletter.models import Subscription
        from newsletter.states import SubscriptionState

        session.scalars(select(Subscription)).one().state = SubscriptionState.pending
    scheduler.tick(folder, NOW)
    issue = only_issue(folder)
    scheduler.tick(folder, issue.deadline)
    approve(folder, issue.deadline)
    scheduler.tick(folder, issue.sends)
    held = only_issue(folder)
    assert held.state is IssueState.held
    assert "would go to nobody" in held.why


def test_a_machine_that_was_off_for_too_long_holds_the_issue_and_says_so(newsroom: Any) -> None:
    folder = newsroom()
    scheduler.tick(folder, NOW)
    issue = only_issue(folder)
    scheduler.tick(folder, issue.deadline)
    approve(folder, issue.deadline)
    events = scheduler.tick(folder, issue.sends + 7 * HOUR)
    assert Happened.held in {event.what for event in events}
    assert only_issue(folder).state is IssueState.held


def test_editors_get_their_notices_by_mail_once(newsroom: Any) -> None:
    with MailServer() as server:
        folder = newsroom(
            server.port, ('editors = ["desk@example.org"]', 'editors = ["desk@example.org", "ed@example.org"]')
        )
        scheduler.tick(folder, NOW)
        scheduler.tick(folder, only_issue(folder).deadline)
        with folder.reading() as session:
            waiting = len(session.scalars(select(Notice)).all())
        assert waiting
        assert notice_mail.deliver(folder, NOW) == waiting
        assert notice_mail.deliver(folder, NOW) == 0
        assert Counter(m.recipient for m in server.messages) == {"desk@example.org": waiting, "ed@example.org": waiting}
        message = email.message_from_bytes(server.messages[-1].data, policy=email.policy.default)
        assert "Vol 2 No 21" in message["Subject"]
        assert message["Auto-Submitted"] == "auto-generated"
        assert "Headline 0" in message.get_content()


def test_a_notice_that_no_relay_takes_waits_and_says_why(newsroom: Any) -> None:
    with MailServer(refuse={"desk@example.org": "450 4.2.1 later"}) as server:
        folder = newsroom(server.port)
        scheduler.tick(folder, NOW)
        scheduler.tick(folder, only_issue(folder).deadline)
        assert notice_mail.deliver(folder, NOW) == 0
        with folder.reading() as session:
            notice = session.scalars(select(Notice)).first()
            assert notice is not None
            assert (notice.state, notice.why) == (NoticeState.queued, "450 4.2.1 later")
        server.refuse.clear()
        assert notice_mail.deliver(folder, NOW) > 0


SECOND = """
[publications.bulletin]
title = "Members' Bulletin"
publisher = "Example Society"
postal_address = "100 Example Street NW, Washington, DC 20036"
sender = "bulletin@example.org"
lists = ["members"]
approval = "veto"

[publications.bulletin.cadence]
every = "1 month"
anchor = 2023-11-14
zone = "Asia/Tokyo"
"""


def test_two_publications_side_by_side_keep_their_own_numbers_calendars_and_readers(
    newsroom: Any, subscribe: Any
) -> None:
    with MailServer() as server:
        folder = newsroom(server.port, ("[publications.digest]", SECOND + "\n[publications.digest]"))
        with folder.session() as session:
            subscribe(session, "member@example.org", lists=("members",))
            session.add(
                Draft(
                    publication="bulletin",
                    headline="For members",
                    body="Text.",
                    state=DraftState.ready,
                    created=NOW,
                    changed=NOW,
                )
            )
        start = dt.datetime(2023, 11, 12, 12, tzinfo=dt.UTC)
        for hour in range(60):
            now = start + hour * HOUR
            scheduler.tick(folder, now)
            with folder.session() as session:
                for issue in session.scalars(select(Issue).where(Issue.state == IssueState.assembled)):
                    issues.approve(session, issue, "Ada", now)
            Sender(folder, lambda now=now: now).run(stop=lambda: False)  # type: ignore[misc]
        got = Counter((m.recipient, m.data.split(b"Subject: ")[1].split(b" ")[0]) for m in server.messages)
    assert got == {("member@example.org", b"Members'"): 1} | {
        (f"reader{i}@example.org", b"US-Japan"): 1 for i in range(3)
    }
    with folder.reading() as session:
        numbers = {
            row.publication: (row.volume, row.number, row.sends)
            for row in session.scalars(select(Issue).where(Issue.state == IssueState.sent))
        }
    assert numbers == {
        "bulletin": (1, 1, dt.datetime(2023, 11, 14, 0, tzinfo=dt.UTC)),
        "digest": (2, 21, dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)),
    }


# ---- processes


def made_up(tmp_path: Path, port: int, readers: int) -> Folder:
    """A folder on disk, as init makes it, with an issue whose time has come in a moment; for real processes."""
    folder = init.make(tmp_path / "digest", NOW)
    file = folder.path / "config.toml"
    text = (
        file.read_text()
        .replace(
            'kind = "maildir"\npath = "outbox"',
            f'host = "127.0.0.1"\nport = {port}\nsecurity = "none"\nconnections = 4',
        )
        .replace('approval = "approve" ', 'approval = "veto" ')
    )
    file.write_text(text)
    folder.engine.dispose()
    folder = open_folder(folder.path)
    with folder.session() as session:
        from newsletter import subscribers

        for i in range(readers):
            subscribers.add(
                session, folder.config, f"reader{i}@example.org", lists=("alliance-digest",), now=NOW, why="test"
            )
        for i in range(3):
            session.add(
                Draft(
                    publication="digest",
                    headline=f"Headline {i}",
                    section="Economy",
                    position=i,
                    state=DraftState.ready,
                    body="Text.",
                    created=NOW,
                    changed=NOW,
                )
            )
    return folder


def process(folder: Folder, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "newsletter", "-C", str(folder.path), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.02)


def test_run_assembles_and_sends_by_itself_and_stops_on_sigterm(tmp_path: Path) -> None:
    with MailServer() as server:
        folder = made_up(tmp_path, server.port, 20)
        scheduler.tick(folder, NOW)
        scheduler.tick(folder, only_issue(folder).deadline)
        scheduler.tick(folder, only_issue(folder).approve_by)
        running = process(folder, "run", "--at", "2023-11-14T09:00:00-05:00")
        try:
            until(lambda: only_issue(folder).state is IssueState.sent)
            running.send_signal(signal.SIGTERM)
            said, _ = running.communicate(timeout=20)
        finally:
            running.kill()
        assert running.returncode == 0, said
        readers = Counter(m.recipient for m in server.messages if m.recipient.startswith("reader"))
        assert readers == {f"reader{i}@example.org": 1 for i in range(20)}
    folder.engine.dispose()


def test_after_kill_9_nobody_is_forgotten_nobody_gets_two_and_at_most_one_a_connection_is_in_doubt(
    tmp_path: Path,
) -> None:
    with MailServer() as server:
        folder = made_up(tmp_path, server.port, 400)
        scheduler.tick(folder, NOW)
        issue = only_issue(folder)
        for moment in (issue.deadline, issue.approve_by, issue.sends):
            scheduler.tick(folder, moment)
        for wanted in (60, 150, 230):
            working = process(folder, "work", "--at", "2023-11-14T09:00:00-05:00")
            until(lambda wanted=wanted: len(server.messages) >= wanted)  # type: ignore[misc]
            working.kill()
            working.communicate()
        Sender(folder, lambda: issue.sends + HOUR).run(stop=lambda: False)
        got = Counter(m.recipient for m in server.messages)
    with folder.reading() as session:
        found = Counter(
            {
                state.value: n
                for state, n in session.execute(select(Delivery.state, func.count()).group_by(Delivery.state))
            }
        )
        uncertain = set(
            session.scalars(
                select(Subscriber.address)
                .join(Delivery, Delivery.subscriber_id == Subscriber.id)
                .where(Delivery.state == DeliveryState.uncertain)
            )
        )
        sent = set(
            session.scalars(
                select(Subscriber.address)
                .join(Delivery, Delivery.subscriber_id == Subscriber.id)
                .where(Delivery.state == DeliveryState.sent)
            )
        )
    assert set(found) <= {"sent", "uncertain"}
    assert found["sent"] + found["uncertain"] == 400
    assert found["uncertain"] <= 3 * 4
    assert max(got.values()) == 1
    assert sent <= set(got)
    assert set(got) <= sent | uncertain
    folder.engine.dispose()
