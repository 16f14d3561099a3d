"""Letters as mails: what is in them, to whom they go and to whom never, and what becomes of each."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from threading import Barrier

import dkim as dkimpy
import pytest
from conftest import NOW
from mailserver import MailServer, Received, relay, through
from sqlalchemy import select

from newsletter import dkim, letter_mail, letters, suppressions, waits
from newsletter.errors import RelayMistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.models import Letter, Subscriber
from newsletter.states import LetterKind, LetterState, SubscriptionState, SuppressionReason
from newsletter.tokens import keys
from newsletter.waits import Waits

DAY = dt.timedelta(days=1)
Subscribe = Callable[..., Subscriber]
Changes = Callable[..., Folder]


def queue(
    folder: Folder,
    subscribe: Subscribe,
    kind: LetterKind = LetterKind.confirm,
    address: str = "noor@example.org",
    *,
    language: str = "en",
    to: str = "",
    **detail: object,
) -> int:
    with folder.session() as session:
        person = session.scalar(select(Subscriber).where(Subscriber.address == address)) or subscribe(
            session, address, state=SubscriptionState.pending
        )
        if kind is LetterKind.confirm:
            detail = {"lists": ["alliance-digest"], "name": "Buy Now http://spam.example", **detail}
        return letters.queue(
            session, "digest", kind, person.id, to or address, now=NOW, expires=NOW + 7 * DAY, language=language, detail=detail
        ).id  # fmt: skip


def letter(folder: Folder, number: int) -> Letter:
    with folder.reading() as session:
        return session.get_one(Letter, number)


def parsed(mail: Received) -> EmailMessage:
    message = message_from_bytes(mail.data, policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def bodies(mail: Received) -> tuple[str, str]:
    text, html = parsed(mail).iter_parts()
    return text.get_content(), html.get_content()


def links(folder: Folder, number: int) -> str:
    with folder.reading() as session:
        return keys(session, NOW).letter(number)


# ---- what is in them


def test_a_letter_to_confirm_says_what_for_until_when_and_what_to_do_if_it_wasnt_they(
    make_folder: Changes, subscribe: Subscribe
) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        assert letter_mail.deliver(folder, NOW) == 1
    [mail] = server.messages
    assert mail.recipient == "noor@example.org"
    token = links(folder, number)
    for body in bodies(mail):
        assert f"https://digest.example.org/confirm/{token}" in body
        assert "Alliance Digest" in body
        assert "November 20, 2023" in body
        assert "If it wasn’t you, do nothing" in " ".join(body.split())
    assert len(mail.data) < 20_000


def test_a_letter_says_that_a_program_sent_it_and_offers_nothing_to_leave(
    make_folder: Changes, subscribe: Subscribe
) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        queue(folder, subscribe)
        letter_mail.deliver(folder, NOW)
    head = server.messages[0].data.partition(b"\r\n\r\n")[0]
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in head
    assert b"List-Unsubscribe" not in head
    assert b"Precedence" not in head
    assert b"\r\nSubject: Confirm your subscription to US-Japan Alliance Digest\r\n" in head


def test_a_letter_repeats_nothing_of_what_a_stranger_typed(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        queue(folder, subscribe)
        letter_mail.deliver(folder, NOW)
    assert b"spam.example" not in server.messages[0].data
    assert not any("spam.example" in body or "Buy Now" in body for body in bodies(server.messages[0]))


def test_a_letter_comes_back_to_an_address_that_says_whose_it_was(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        letter_mail.deliver(folder, NOW)
    local, _, domain = server.messages[0].sender.partition("@")
    name, _, token = local.partition("+")
    assert (name, domain) == ("digest", "example.org")
    with folder.reading() as session:
        assert keys(session, NOW).read(token) == (0, letter(folder, number).subscriber_id)


@pytest.mark.parametrize(
    ("kind", "detail", "path", "words"),
    [
        (LetterKind.change, {}, "address", "Is this your new address?"),
        (LetterKind.changed, {"undo": True}, "address", "Your mail goes to another address now"),
        (LetterKind.link, {}, "me", "The way to your page"),
        (LetterKind.link, {"subscribed": True}, "me", "You are subscribed"),
    ],
)
def test_each_kind_of_letter_has_its_link_and_its_words_in_both_parts(
    lite_folder: Folder, subscribe: Subscribe, kind: LetterKind, detail: dict[str, bool], path: str, words: str
) -> None:
    number = queue(lite_folder, subscribe, kind, **detail)
    mail = made(lite_folder, number)
    with lite_folder.reading() as session:
        secrets = keys(session, NOW)
        row = session.get_one(Letter, number)
        token = secrets.reader(0, row.subscriber_id) if path == "me" else secrets.letter(number)
    for body in bodies(mail):
        assert f"https://digest.example.org/{path}/{token}" in body
        assert words in body
        assert "100 Example Street NW" in body


def test_the_letter_to_an_old_address_has_no_link_where_there_is_no_way_back(
    lite_folder: Folder, subscribe: Subscribe
) -> None:
    mail = made(lite_folder, queue(lite_folder, subscribe, LetterKind.changed))
    assert not any("/address/" in body for body in bodies(mail))


def made(folder: Folder, number: int) -> Received:
    with folder.session() as session:
        claimed = letter_mail._claim(session, folder, number, NOW)
    assert claimed is not None
    message = letter_mail.message(folder, claimed, NOW)
    return Received(message.sender, message.recipient, message.data)


def test_a_letter_carries_the_link_that_no_person_sees_and_only_where_a_button_waits(
    lite_folder: Folder, subscribe: Subscribe
) -> None:
    number = queue(lite_folder, subscribe)
    text, html = bodies(made(lite_folder, number))
    assert "/canary/" not in text
    found = re.search(r'<div style="display:none[^>]*aria-hidden="true"><a href="([^"]+)" tabindex="-1"', html)
    assert found
    assert found[1] == f"https://digest.example.org/canary/{links(lite_folder, number)}"
    assert "/canary/" not in bodies(made(lite_folder, queue(lite_folder, subscribe, LetterKind.link)))[1]


def test_a_letter_needs_no_picture_no_script_and_nothing_from_elsewhere(
    lite_folder: Folder, subscribe: Subscribe
) -> None:
    for kind in LetterKind:
        html = bodies(made(lite_folder, queue(lite_folder, subscribe, kind)))[1]
        assert not re.search(r"<(img|script|link|iframe|form)\b|url\(|@import", html)
        assert all(address.startswith("https://digest.example.org/") for address in re.findall(r'href="([^"]+)"', html))


def test_every_line_of_a_letter_is_one_that_mail_servers_take(lite_folder: Folder, subscribe: Subscribe) -> None:
    for kind in LetterKind:
        data = made(lite_folder, queue(lite_folder, subscribe, kind, detail_lists=["x" * 40])).data
        assert data.endswith(b"\r\n")
        assert max(map(len, data.split(b"\r\n"))) <= 80
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|^\.", data, re.MULTILINE)
        data.decode("ascii")


def test_an_address_outside_ascii_gets_its_letter_in_idnas_letters(lite_folder: Folder, subscribe: Subscribe) -> None:
    mail = made(lite_folder, queue(lite_folder, subscribe, address="noor@bücher.example.org"))
    assert mail.recipient == "noor@xn--bcher-kva.example.org"


def test_the_words_are_in_the_readers_language_where_there_are_words(lite_folder: Folder, subscribe: Subscribe) -> None:
    place = lite_folder.templates / "translations"
    place.mkdir(parents=True)
    (place / "de.po").write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "Is it you who subscribed?"\nmsgstr "Haben Sie abonniert?"\n'
        'msgid "Confirm your subscription to %(title)s"\nmsgstr "Bestätigen: %(title)s"\n',
        encoding="utf-8",
    )
    mail = made(lite_folder, queue(lite_folder, subscribe, language="de-AT"))
    assert "Haben Sie abonniert?" in bodies(mail)[0]
    assert parsed(mail)["Subject"] == "Bestätigen: US-Japan Alliance Digest"
    assert parsed(mail)["Content-Language"] == "de"
    assert 'lang="en"' in bodies(made(lite_folder, queue(lite_folder, subscribe, language="tlh")))[1]


def test_a_template_in_the_folder_goes_before_ours_and_a_broken_one_is_told_with_its_line(
    lite_folder: Folder, subscribe: Subscribe
) -> None:
    place = lite_folder.templates / "mail"
    place.mkdir(parents=True)
    (place / "confirm.txt").write_text("Hello\n{% if %}", encoding="utf-8")
    number = queue(lite_folder, subscribe)
    with pytest.raises(TemplateMistake, match=r"mail/confirm\.txt, line 2"):
        letter_mail.deliver(lite_folder, NOW)
    assert letter(lite_folder, number).state is LetterState.queued
    assert "line 2" in letter(lite_folder, number).why
    (place / "confirm.txt").write_text("Hello {{ address }}: {{ link }}", encoding="utf-8")
    assert bodies(made(lite_folder, number))[0].startswith("Hello noor@example.org: https://")


def test_letters_are_signed_as_issues_are(make_folder: Changes, subscribe: Subscribe, tmp_path: Path) -> None:
    key = dkim.new_key("ed25519")
    (tmp_path / "key.pem").write_bytes(dkim.pem(key))
    beside = '\n[[dkim]]\ndomain = "example.org"\nselector = "s"\nkey = "key.pem"\n'
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a"), beside=beside))
        queue(folder, subscribe)
        letter_mail.deliver(folder, NOW)
    record = f"v=DKIM1; k=ed25519; p={dkim.public(key)}".encode()
    assert dkimpy.verify(server.messages[0].data, dnsfunc=lambda name, timeout=5: record)
    assert b"s=s;" in server.messages[0].data


# ---- to whom, and to whom never


@pytest.mark.parametrize("reason", list(SuppressionReason))
@pytest.mark.parametrize("kind", list(LetterKind))
def test_a_suppressed_address_gets_no_letter_but_the_one_by_which_its_owner_can_lift_it(
    make_folder: Changes, subscribe: Subscribe, kind: LetterKind, reason: SuppressionReason
) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe, kind)
        with folder.session() as session:
            # After it was queued: what is asked last is what counts.
            suppressions.add(session, "noor@example.org", reason, "", NOW)
        letter_mail.deliver(folder, NOW)
    goes = kind is LetterKind.confirm and reason is not SuppressionReason.complaint
    assert len(server.messages) == goes
    row = letter(folder, number)
    if not goes:
        assert (row.state, row.why) == (LetterState.failed, f"the address is suppressed: {reason.value}")
        assert row.address == ""


def test_a_letter_whose_time_is_over_isnt_sent(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        queue(folder, subscribe)
        assert letter_mail.deliver(folder, NOW + 7 * DAY) == 0
    assert server.messages == []


def test_somebody_erased_meanwhile_gets_none(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        with folder.session() as session:
            person = session.get_one(Subscriber, letter(folder, number).subscriber_id)
            person.address = person.address_key = None
        letter_mail.deliver(folder, NOW)
    assert server.messages == []
    assert letter(folder, number).state is LetterState.failed


# ---- what becomes of each


def test_a_letter_goes_once_and_its_address_is_kept_no_longer_than_it_is_of_use(
    make_folder: Changes, subscribe: Subscribe
) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        changing = queue(folder, subscribe, LetterKind.change, to="new@example.org")
        assert letter_mail.deliver(folder, NOW) == 2
        assert letter_mail.deliver(folder, NOW + DAY) == 0
    assert [mail.recipient for mail in server.messages] == ["noor@example.org", "new@example.org"]
    row = letter(folder, number)
    assert (row.state, row.since, row.address, row.tries, row.next_look) == (LetterState.sent, NOW, "", 1, None)
    # What is confirmed by this one is the address itself.
    assert letter(folder, changing).address == "new@example.org"


def test_of_many_processes_one_sends_each_letter(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        for number in range(6):
            queue(folder, subscribe, address=f"r{number}@example.org")
        start = Barrier(4)

        def deliver(_: int) -> int:
            start.wait()
            return letter_mail.deliver(folder, NOW)

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(deliver, range(4))) == 6
    assert sorted(mail.recipient for mail in server.messages) == [f"r{number}@example.org" for number in range(6)]


def test_a_letter_that_isnt_taken_now_is_tried_again_later_with_the_servers_words(
    make_folder: Changes, subscribe: Subscribe
) -> None:
    with MailServer(refuse={"noor@example.org": "451 4.7.1 greylisted"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        assert letter_mail.deliver(folder, NOW) == 0
        row = letter(folder, number)
        assert (row.state, row.why) == (LetterState.queued, "451 4.7.1 greylisted")
        assert row.next_look is not None
        assert NOW + dt.timedelta(seconds=100) < row.next_look < NOW + dt.timedelta(seconds=140)
        server.refuse.clear()
        assert letter_mail.deliver(folder, NOW + dt.timedelta(seconds=90)) == 0
        assert letter_mail.deliver(folder, row.next_look) == 1
    assert letter(folder, number).state is LetterState.sent


def test_a_letter_that_is_put_off_for_days_has_failed(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer(refuse={"noor@example.org": "452 4.2.2 full"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        letter_mail.deliver(folder, NOW + 3 * DAY)
    assert (letter(folder, number).state, letter(folder, number).why) == (LetterState.failed, "452 4.2.2 full")


def test_a_letter_that_is_refused_has_failed_and_says_why(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer(refuse={"noor@example.org": "550 5.1.1 no such user"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        number, other = queue(folder, subscribe), queue(folder, subscribe, address="kei@example.org")
        assert letter_mail.deliver(folder, NOW) == 1
    assert (letter(folder, number).state, letter(folder, number).why) == (LetterState.failed, "550 5.1.1 no such user")
    assert letter(folder, other).state is LetterState.sent


def test_a_refusal_of_us_isnt_held_against_the_letter(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer(refuse={"noor@example.org": "554 5.7.1 relay access denied"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        letter_mail.deliver(folder, NOW)
    assert letter(folder, number).state is LetterState.queued


def test_a_letter_whose_fate_is_unknown_is_never_sent_again(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer(drop_after_dot={"noor@example.org"}) as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        letter_mail.deliver(folder, NOW)
        letter_mail.deliver(folder, NOW + DAY)
    assert len(server.messages) == 1
    assert letter(folder, number).state is LetterState.sent
    assert letter(folder, number).why.startswith("uncertain: ")


def test_while_no_relay_lets_us_in_letters_wait_and_say_so(make_folder: Changes, subscribe: Subscribe) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
    number = queue(folder, subscribe)
    with pytest.raises(RelayMistake):
        letter_mail.deliver(folder, NOW)
    row = letter(folder, number)
    assert (row.state, row.tries, row.next_look) == (LetterState.queued, 0, None)
    assert "relay a" in row.why


def test_a_letter_that_somebody_died_over_is_taken_up_when_the_claim_has_run_out(
    make_folder: Changes, subscribe: Subscribe
) -> None:
    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        with folder.session() as session:
            assert letter_mail._claim(session, folder, number, NOW) is not None
        assert letter_mail.deliver(folder, NOW + letter_mail.LEASE - dt.timedelta(seconds=1)) == 0
        assert letter_mail.deliver(folder, NOW + letter_mail.LEASE) == 1


def test_what_waits_is_told_with_its_reason_and_without_a_name(make_folder: Changes, subscribe: Subscribe) -> None:
    words = "451 4.7.1 {0}: greylisted, try again"
    addresses = ["noor@example.org", "kei@example.org"]
    with MailServer(refuse={each: words.format(each) for each in addresses}) as server:
        folder = make_folder(*through(relay(server, "a")))
        for each in addresses:
            queue(folder, subscribe, address=each)
        letter_mail.deliver(folder, NOW)
    with folder.reading() as session:
        [wait] = waits.letters(session, "digest", NOW)
    assert (wait.kind, wait.count, wait.why, wait.since) == (Waits.letter, 2, "451 4.7.1", NOW)
    assert wait.next_look is not None
    with folder.reading() as session:
        assert waits.letters(session, "another", NOW) == []


def test_the_bell_sends_what_was_queued_and_ends_what_is_over(make_folder: Changes, subscribe: Subscribe) -> None:
    from newsletter.scheduler import Bell

    with MailServer() as server:
        folder = make_folder(*through(relay(server, "a")))
        number = queue(folder, subscribe)
        told: list[str] = []
        Bell(folder, lambda: NOW, told.append).ring()
        assert [mail.recipient for mail in server.messages if mail.recipient == "noor@example.org"]
        Bell(folder, lambda: NOW + 7 * DAY, told.append).ring()
    assert letter(folder, number).state is LetterState.expired
