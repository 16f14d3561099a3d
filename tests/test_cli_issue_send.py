"""newsletter issue preview, test and send; newsletter init and demo: as an editor types them."""

from __future__ import annotations

import email
import email.policy
import shutil
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import CONFIG
from mailserver import MailServer

from newsletter.cli import newsletter
from newsletter.errors import ConfigMistake, IssueMistake, Mistake, RelayMistake, SubscriberMistake
from newsletter.folder import Folder

TOP = Path(__file__).parent.parent
AT = ("--at", "2023-11-13T17:00:00-05:00")


def type_in(folder: Path, *words: str) -> Result:
    result = CliRunner().invoke(newsletter, ["-C", str(folder), *words], catch_exceptions=True)
    if isinstance(result.exception, Mistake):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


@pytest.fixture
def place(lite_folder: Folder) -> Path:
    """A folder with the sample's template, three drafts and two readers; its issue not assembled yet."""
    folder = lite_folder.path
    shutil.copytree(TOP / "templates", folder / "templates")
    shutil.copytree(TOP / "lists", folder / "lists")
    type_in(folder, "list", "apply", "--yes")
    for i in range(3):
        (folder / f"{i}.md").write_text(
            f"---\nheadline: Headline {i}\nsection: Economy\n---\nDear [[name|reader]], story {i}.\n"
        )
        type_in(folder, "draft", "add", str(folder / f"{i}.md"), *AT)
    for name in ("Ada", "Béla"):
        type_in(
            folder,
            "subscriber",
            "add",
            f"{name.lower()}@example.org".replace("é", "e"),
            "--name",
            name,
            "--list",
            "alliance-digest",
        )
    return folder


def use_relay(place: Path, server: MailServer) -> None:
    relay = f'host = "127.0.0.1"\nport = {server.port}\nsecurity = "none"'
    (place / "config.toml").write_text(CONFIG.replace('kind = "maildir"', relay))


def test_the_next_issue_is_seen_as_it_would_go_now_and_nothing_is_kept_of_that(place: Path) -> None:
    result = type_in(place, "issue", "preview", "--no-pictures", "--output", str(place / "look"), *AT)
    assert "Vol 2 No 21" in result.output
    assert "Dear reader, story 0." in (place / "look" / "index.html").read_text()
    assert "Dear reader, story 2." in (place / "look" / "text.txt").read_text()
    message = email.message_from_bytes((place / "look" / "message.eml").read_bytes(), policy=email.policy.default)
    assert len(list(message.iter_parts())) == 2
    assert '"state": "ready"' in type_in(place, "draft", "list", "--json").output
    assert "placed" not in type_in(place, "draft", "list", "--json").output


def test_an_issue_is_seen_as_one_subscriber_gets_it_and_its_links_are_nobodys(place: Path) -> None:
    type_in(place, "issue", "preview", "--no-pictures", "--as", "ada@example.org", "--output", str(place / "look"), *AT)
    html = (place / "look" / "index.html").read_text()
    assert "Dear Ada, story 0." in html
    plain = (place / "look" / "message.eml").read_bytes()
    type_in(place, "issue", "preview", "--no-pictures", "--output", str(place / "again"), *AT)
    link = next(line for line in plain.split(b"\r\n") if line.startswith(b"List-Unsubscribe:"))
    assert link in (place / "again" / "message.eml").read_bytes()


def test_a_preview_for_someone_who_is_not_there_is_a_sentence(place: Path) -> None:
    with pytest.raises(SubscriberMistake):
        type_in(place, "issue", "preview", "--as", "nobody@example.org", *AT)


def test_a_test_goes_to_an_address_and_no_delivery_is_recorded(place: Path) -> None:
    with MailServer() as server:
        use_relay(place, server)
        result = type_in(place, "issue", "test", "next", "me@example.net", "--as", "ada@example.org", *AT)
        assert "to me@example.net" in result.output
        message = email.message_from_bytes(server.messages[0].data, policy=email.policy.default)
    assert server.messages[0].recipient == "me@example.net"
    assert str(message["Subject"]).startswith("[Test] ")
    assert message["To"] == "me@example.net"
    assert "Dear Ada" in message.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_test_that_the_relay_refuses_is_a_sentence(place: Path) -> None:
    with MailServer(refuse={"me@example.net": "550 5.1.1 no"}) as server:
        use_relay(place, server)
        with pytest.raises(RelayMistake, match="550 5.1.1 no"):
            type_in(place, "issue", "test", "next", "me@example.net", *AT)


def test_an_issue_is_sent_by_hand_and_a_second_time_is_refused(place: Path) -> None:
    with MailServer() as server:
        use_relay(place, server)
        type_in(place, "issue", "assemble", *AT)
        result = type_in(place, "issue", "send", "2.21", "--yes", *AT)
        assert "2 candidates, 2 due" in result.output
        assert Counter(m.recipient for m in server.messages) == {"ada@example.org": 1, "bela@example.org": 1}
        with pytest.raises(IssueMistake, match="sent"):
            type_in(place, "issue", "send", "2.21", "--yes", *AT)
        assert len(server.messages) == 2


def test_sending_asks_first(place: Path) -> None:
    type_in(place, "issue", "assemble", *AT)
    result = CliRunner().invoke(newsletter, ["-C", str(place), "issue", "send", "2.21", *AT], input="n\n")
    assert "Send Vol 2 No 21 to 2 readers now?" in result.output
    assert result.exit_code != 0
    assert '"state": "assembled"' in type_in(place, "issue", "show", "2.21", "--json").output


def test_a_relay_that_is_not_there_is_said_before_the_audience_is_frozen(place: Path) -> None:
    type_in(place, "issue", "assemble", *AT)
    (place / "config.toml").write_text(
        CONFIG.replace('kind = "maildir"', 'host = "127.0.0.1"\nport = 1\nsecurity = "none"')
    )
    with pytest.raises(RelayMistake, match="can't be reached"):
        type_in(place, "issue", "send", "2.21", "--yes", *AT)
    assert '"state": "assembled"' in type_in(place, "issue", "show", "2.21", "--json").output


def test_a_new_folder_works_at_once_and_nothing_is_written_over(tmp_path: Path) -> None:
    place = tmp_path / "digest"
    CliRunner().invoke(newsletter, ["init", str(place)], catch_exceptions=False)
    assert "Vol 2 No 21" in type_in(place, "calendar", "--at", "2023-11-10T12:00").output
    (place / "mine.txt").write_text("mine")
    result = CliRunner().invoke(newsletter, ["init", str(place)])
    assert isinstance(result.exception, ConfigMistake)
    assert (place / "mine.txt").read_text() == "mine"


def test_the_demo_ends_well_and_can_be_run_again(tmp_path: Path) -> None:
    for _ in range(2):
        result = CliRunner().invoke(newsletter, ["demo", "--directory", str(tmp_path / "demo")], catch_exceptions=False)
        assert result.exit_code == 0
        assert "60 messages of 60 arrived" in result.output
    assert len(list((tmp_path / "demo" / "maildir" / "new").iterdir())) == 60


def test_the_demo_replaces_no_folder_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = CliRunner().invoke(newsletter, ["demo", "--directory", str(tmp_path)])
    assert isinstance(result.exception, Mistake)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_test_goes_to_no_suppressed_address(place: Path) -> None:
    type_in(place, "suppression", "add", "Me@example.org")
    with MailServer() as server:
        use_relay(place, server)
        with pytest.raises(SubscriberMistake, match="is suppressed"):
            type_in(place, "issue", "test", "next", "you@example.org", "me@example.org", *AT)
        assert server.messages == []
