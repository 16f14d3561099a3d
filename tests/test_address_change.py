"""A reader's mail goes to another address: not without that address's word, nor for good against the old one's."""

from __future__ import annotations

import datetime as dt
import html
import re
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy

import pytest
from conftest import NOW
from mailserver import MailServer, being_sent, relay, through
from own_page import Own, form, title
from sqlalchemy import select

from newsletter import address_change, erasure, letter_mail, signups, subscribers, suppressions
from newsletter.bounces.tracing import moved_since
from newsletter.folder import Folder
from newsletter.models import Consent, Departure, Event, Ignored, Letter, List, Subscriber
from newsletter.states import LeftBy, LetterKind, LetterState, SuppressionReason
from newsletter.tokens import keys

Subscribe = Callable[..., Subscriber]
OLD, NEW, OTHER = "kei@example.org", "kei@example.com", "third@example.net"
LOST = "This link leads nowhere"


def at_home(folder: Folder, subscribe: Subscribe) -> Own:
    """Kei reads alliance-digest and invitations, and Mio alliance-digest; an issue is on its way."""
    number = being_sent(folder, subscribe, ["mio@example.org"])
    with folder.session() as session:
        person = subscribe(session, OLD, name="Kei Mori", lists=("alliance-digest", "invitations"))
        person.language = "en"
        token = keys(session, NOW).reader(number, person.id)
    return Own(folder, token)


@pytest.fixture
def own(folder: Folder, subscribe: Subscribe) -> Iterator[Own]:
    """On both databases."""
    made = at_home(folder, subscribe)
    yield made
    made.settled()


@pytest.fixture
def lite(lite_folder: Folder, subscribe: Subscribe) -> Iterator[Own]:
    made = at_home(lite_folder, subscribe)
    yield made
    made.settled()


def confirmed(own: Own, address: str = NEW) -> str:
    """Another address was asked for and confirmed; the token of its letter."""
    token = own.ask_for(address)
    assert title(own.press(f"/address/{token}")) == "This is your address now"
    return token


def row(own: Own, address: str) -> Subscriber | None:
    with own.folder.reading() as session:
        return session.scalar(select(Subscriber).where(Subscriber.address == address))


# ---- asking


def test_a_new_address_gets_a_letter_and_nothing_changes_before_its_button_is_pressed(own: Own) -> None:
    page = own.save(address=NEW, name="Kei M")
    assert f"A mail with a link is on its way to {NEW}" in page.text
    assert own.woken
    assert own.letters() == [("change", NEW, "queued")]
    assert own.address == OLD
    token = own.letter(LetterKind.change)
    for _ in range(2):
        shown = own.get(f"/address/{token}")
        assert title(shown) == "Is this your new address?"
    assert own.browser.head(f"/address/{token}").status_code == 200
    assert f"What goes to {OLD} will go to {NEW}" in shown.text
    assert own.address == OLD
    done = own.press(f"/address/{token}", shown)
    assert title(done) == "This is your address now"
    assert own.address == NEW
    with own.folder.reading() as session:
        assert subscribers.find(session, NEW).fingerprint == keys(session, NOW).print_of(NEW)
        told = [each.what for each in subscribers.history(session, subscribers.find(session, NEW))]
    assert "address changed by the reader" in told
    assert own.lists(NEW) == {"alliance-digest": "active", "invitations": "active"}


def test_pressed_twice_it_succeeds_twice_and_moves_once(own: Own) -> None:
    token = own.ask_for(NEW)
    page = own.get(f"/address/{token}")
    assert [title(own.press(f"/address/{token}", page)) for _ in range(2)] == ["This is your address now"] * 2
    assert title(own.get(f"/address/{token}")) == "This is your address now"
    assert [kind for kind, _, _ in own.letters()] == ["change", "changed"]


def test_their_own_address_however_it_is_written_is_no_change(lite: Own) -> None:
    for same in (OLD.upper(), f"  {OLD} ", ""):
        assert lite.save(address=same).status_code == 200
    assert lite.letters() == []


def test_the_answer_is_the_same_whether_or_not_the_new_address_is_anybodys(own: Own) -> None:
    with own.folder.session() as session:
        suppressions.add(session, "barred@example.org", SuppressionReason.complaint, "", NOW)
    answers = {}
    for address in ("mio@example.org", "barred@example.org", "free@example.org"):
        answer = own.save(address=address)
        answers[re.sub(r'value="[0-9a-f]+-[^"]*"', "", answer.text.replace(address, ""))] = address
        assert answer.status_code == 200
    assert len(answers) == 1, list(answers.values())
    assert [to for _, to, _ in own.letters()] == ["mio@example.org", "free@example.org"]
    # Nor does what is held about them tell: only who reads there knows what came of it.
    assert "barred@example.org" not in (held := own.get(f"{own.me}/data").text)
    assert "free@example.org" not in held
    assert "mio@example.org" not in held


def test_one_address_gets_one_such_letter_a_day_whoever_asks(lite: Own) -> None:
    for _ in range(3):
        assert lite.save(address=NEW).status_code == 200
    assert len(lite.letters()) == 1
    lite.later(days=1, seconds=1)
    lite.save(address=NEW)
    assert len(lite.letters()) == 2


def test_an_address_that_is_suppressed_meanwhile_isnt_moved_to(lite: Own) -> None:
    token = lite.ask_for(NEW)
    page = lite.get(f"/address/{token}")
    with lite.folder.session() as session:
        suppressions.add(session, NEW, SuppressionReason.complaint, "", NOW)
    assert title(lite.press(f"/address/{token}", page)) == LOST
    assert lite.get(f"/address/{token}").status_code == 404
    assert lite.address == OLD


def test_a_letter_that_nobody_answered_leads_nowhere_in_the_end_and_its_address_is_forgotten(own: Own) -> None:
    token = own.ask_for(NEW)
    page = own.get(f"/address/{token}")
    own.later(days=7)
    assert own.get(f"/address/{token}").status_code == 404
    assert title(own.press(f"/address/{token}", page)) == LOST
    with own.folder.session() as session:
        assert signups.expire(session, own.now) == 1
    assert own.address == OLD
    with own.folder.reading() as session:
        letter = session.scalars(select(Letter)).one()
    # As the letter itself promises.
    assert (letter.address, letter.detail) == ("", {})
    assert own.get(f"/address/{token}").status_code == 404


@pytest.mark.parametrize("way", ["cut", "longer", "changed", "of a reader", "of another letter", "of no letter", "nul"])
def test_a_link_that_isnt_such_a_letters_leads_nowhere_and_says_no_more(lite: Own, way: str) -> None:
    token = lite.ask_for(NEW)
    lite.press("/lost", address="mio@example.org")
    link = lite.letter(LetterKind.link)
    with lite.folder.reading() as session:
        secrets = keys(session, NOW)
    bad = {
        "cut": token[:-1],
        "longer": token + "00",
        "changed": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "of a reader": lite.token,
        "of another letter": link,
        "of no letter": secrets.letter(987_654),
        "nul": "%00" * 13,
    }[way]
    answer = lite.get(f"/address/{bad}")
    assert answer.status_code == 404
    assert "example" not in html.unescape(answer.text).replace("Example Society, 100 Example Street", "")
    assert lite.post(f"/address/{bad}", {"seal": "x"}).status_code == 404
    assert lite.address == OLD


# ---- who may press


@pytest.mark.parametrize("seal", ["none", "forged", "another letter's", "another form's", "a day old"])
def test_a_button_that_isnt_this_pages_does_nothing_and_is_to_be_pressed_again(own: Own, seal: str) -> None:
    token, other = own.ask_for(NEW), own.ask_for(OTHER)
    where = f"/address/{token}"
    seals = {
        "none": "",
        "forged": "0-0.abc",
        "another letter's": form(own.get(f"/address/{other}"), f"/address/{other}")["seal"],
        "another form's": form(own.get(own.me), own.me)["seal"],
        "a day old": form(own.get(where), where)["seal"],
    }
    own.later(days=1, seconds=1)
    page = own.post(where, {"seal": seals[seal]})
    assert "One more press." in page.text
    assert own.address == OLD
    assert title(own.press(where, page)) == "This is your address now"


def test_a_scanners_press_moves_nobody_and_takes_nothing_back(own: Own) -> None:
    where = f"/address/{own.ask_for(NEW)}"
    for expected, before, after in [("This is your address now", OLD, NEW), ("Your mail comes here again", NEW, OLD)]:
        page = own.get(where)
        own.scanned(where.rpartition("/")[2])
        own.later(seconds=30)
        again = own.press(where, page)
        assert "One more press." in again.text
        own.later(seconds=30)
        own.press(where, page)
        assert own.address == before
        own.later(seconds=2)
        assert title(own.press(where, again)) == expected
        assert own.address == after
        if after == NEW:
            own.later(hours=1)
            where = f"/address/{own.letter(LetterKind.changed)}"
    own.settled()
    with own.folder.reading() as session:
        assert session.scalars(select(Ignored.times).where(Ignored.what == "button")).one() >= 4


def test_a_press_seconds_after_the_letter_went_is_no_persons(lite: Own) -> None:
    where = f"/address/{lite.ask_for(NEW)}"
    lite.later(minutes=-5, seconds=1)
    page = lite.get(where)
    again = lite.press(where, page)
    assert "One more press." in again.text
    lite.later(seconds=2)
    assert "One more press." in lite.press(where, again).text
    assert lite.address == OLD
    lite.later(seconds=5)
    assert title(lite.press(where, again)) == "This is your address now"


def test_the_page_has_the_link_that_no_person_sees(lite: Own) -> None:
    token = lite.ask_for(NEW)
    page = lite.get(f"/address/{token}")
    assert f'<a class="canary" href="/canary/{token}" aria-hidden="true" tabindex="-1"' in page.text
    lite.get(f"/canary/{token}")
    lite.settled()
    assert "One more press." in lite.press(f"/address/{token}", page).text


# ---- taking it back


def test_the_old_address_is_told_and_can_take_it_back_for_a_week(own: Own) -> None:
    confirmed(own)
    assert own.letters()[-1] == ("changed", OLD, "queued")
    token = own.letter(LetterKind.changed)
    page = own.get(f"/address/{token}")
    assert title(page) == "Have your mail come here again?"
    assert own.address == NEW
    done = own.press(f"/address/{token}", page)
    assert title(done) == "Your mail comes here again"
    assert own.address == OLD
    assert title(own.press(f"/address/{token}", page)) == "Your mail comes here again"
    assert own.lists() == {"alliance-digest": "active", "invitations": "active"}
    # Nobody is told of that: it is where the mail went before.
    assert [kind for kind, _, _ in own.letters()] == ["change", "changed"]


def test_after_a_week_it_stays_as_it_is(own: Own) -> None:
    confirmed(own)
    token = own.letter(LetterKind.changed)
    own.later(days=7)
    assert own.get(f"/address/{token}").status_code == 404
    assert own.post(f"/address/{token}", {"seal": "x"}).status_code == 404
    assert own.address == NEW


def test_once_taken_back_the_new_addresss_letter_shows_nothing_of_theirs_any_more(own: Own) -> None:
    stranger = confirmed(own)
    assert "/me/" in own.get(f"/address/{stranger}").text
    own.press(f"/address/{own.letter(LetterKind.changed)}")
    answer = own.get(f"/address/{stranger}")
    assert answer.status_code == 404
    assert "/me/" not in answer.text
    assert OLD not in answer.text


def test_who_leads_the_mail_on_to_a_third_address_cant_keep_the_first_from_taking_it_back(own: Own) -> None:
    confirmed(own, NEW)
    first = own.letter(LetterKind.changed)
    confirmed(own, OTHER)
    second = own.letter(LetterKind.changed)
    own.save(address="fourth@example.net")
    waiting = own.letter(LetterKind.change)
    assert own.address == OTHER
    assert title(own.press(f"/address/{first}")) == "Your mail comes here again"
    assert own.address == OLD
    # And what was asked for since, or could be taken back by the later address, is void.
    for token in (second, waiting):
        assert own.get(f"/address/{token}").status_code == 404
        own.post(f"/address/{token}", {"seal": "x"})
    assert own.address == OLD
    with own.folder.reading() as session:
        left = session.scalars(select(Letter).where(Letter.state == LetterState.expired)).all()
        assert {each.why for each in left} == {"another change was made since"}


def test_taken_back_by_a_later_address_it_is_still_the_firsts_to_take_back(lite: Own) -> None:
    confirmed(lite, NEW)
    first = lite.letter(LetterKind.changed)
    confirmed(lite, OTHER)
    lite.press(f"/address/{lite.letter(LetterKind.changed)}")
    assert lite.address == NEW
    assert title(lite.press(f"/address/{first}")) == "Your mail comes here again"
    assert lite.address == OLD


def test_an_old_address_that_is_suppressed_meanwhile_takes_nothing_back(lite: Own) -> None:
    confirmed(lite)
    token = lite.letter(LetterKind.changed)
    with lite.folder.session() as session:
        suppressions.add(session, OLD, SuppressionReason.bounce, "", NOW)
    assert lite.get(f"/address/{token}").status_code == 404
    assert lite.address == NEW


def test_an_old_address_that_has_signed_up_anew_meanwhile_takes_the_lists_back(own: Own, subscribe: Subscribe) -> None:
    confirmed(own)
    token = own.letter(LetterKind.changed)
    with own.folder.session() as session:
        subscribe(session, OLD, lists=())
    done = own.press(f"/address/{token}")
    assert title(done) == "Your mail comes here again"
    assert title(own.get(f"/address/{token}")) == "Your mail comes here again"
    assert own.lists(OLD) == {"alliance-digest": "active", "invitations": "active"}
    assert set(own.lists(NEW).values()) == {"unsubscribed"}


def test_a_bounce_of_what_went_to_the_address_before_isnt_held_against_the_one_after(lite: Own) -> None:
    with lite.folder.reading() as session:
        number = lite.person(session).id
        assert not moved_since(session, number, NOW)
    confirmed(lite)
    with lite.folder.reading() as session:
        assert moved_since(session, number, NOW)
        assert not moved_since(session, number, lite.now + dt.timedelta(seconds=1))
    lite.later(days=2)
    lite.press(f"/address/{lite.letter(LetterKind.changed)}")
    with lite.folder.reading() as session:
        assert moved_since(session, number, NOW + dt.timedelta(days=1))


# ---- joining somebody who is here already


def joining(own: Own) -> str:
    """Kei moves to Mio's address; the token of the letter."""
    token = own.ask_for("mio@example.org")
    page = own.press(f"/address/{token}")
    assert title(page) == "This is your address now"
    return token


def test_who_moves_to_a_subscribers_address_gets_there_what_they_got_here(own: Own) -> None:
    token = joining(own)
    assert own.lists("mio@example.org") == {"alliance-digest": "active", "invitations": "active"}
    assert own.lists(OLD) == {"alliance-digest": "unsubscribed", "invitations": "unsubscribed"}
    with own.folder.reading() as session:
        mio = subscribers.find(session, "mio@example.org")
        assert mio.name == "Mio"
        # Only what began there is proven there.
        [consent] = session.scalars(select(Consent).where(Consent.subscriber_id == mio.id))
        assert (consent.lists, consent.client, consent.wording) == ("invitations", own.client, "Yes, send it here")
        assert consent.confirmed is not None
        me = keys(session, NOW).reader(0, mio.id)
        theirs = session.scalars(select(Departure)).one()
        assert (theirs.subscriber_id, theirs.lists) != (mio.id, "")
    # The way from there is to the page of the address that it is now, not of the one before.
    assert f"/me/{me}" in own.get(f"/address/{token}").text
    assert own.letters()[-1] == ("changed", OLD, "queued")


def test_a_joining_is_taken_back_list_by_list_and_only_what_it_did(own: Own) -> None:
    joining(own)
    with own.folder.session() as session:
        mio = subscribers.find(session, "mio@example.org")
        assert [row.list for row in subscribers.standings(session, mio)] == ["alliance-digest", "invitations"]
    token = own.letter(LetterKind.changed)
    assert title(own.get(f"/address/{token}")) == "Have your mail come here again?"
    assert title(own.press(f"/address/{token}")) == "Your mail comes here again"
    assert own.lists(OLD) == {"alliance-digest": "active", "invitations": "active"}
    # Mio had alliance-digest before.
    assert own.lists("mio@example.org") == {"alliance-digest": "active", "invitations": "unsubscribed"}
    assert title(own.get(f"/address/{token}")) == "Your mail comes here again"


def test_taking_a_joining_back_touches_nothing_that_was_decided_since(own: Own) -> None:
    joining(own)
    token = own.letter(LetterKind.changed)
    with own.folder.session() as session:
        mio, kei = subscribers.find(session, "mio@example.org"), subscribers.find(session, OLD)
        rows = session.scalars(select(List).where(List.slug == "invitations")).all()
        subscribers.unsubscribe(session, own.folder.config, mio, ("invitations",), own.now, "page")
        signups.begin(session, mio, rows, "signed up", own.now)
        signups.begin(session, kei, rows, "signed up", own.now)
        subscribers.unsubscribe(session, own.folder.config, kei, ("invitations",), own.now, "page")
    own.press(f"/address/{token}")
    assert own.lists("mio@example.org") == {"alliance-digest": "active", "invitations": "active"}
    assert own.lists(OLD) == {"alliance-digest": "active", "invitations": "unsubscribed"}


def test_a_joining_is_taken_back_also_when_the_other_was_erased_meanwhile(own: Own) -> None:
    joining(own)
    token = own.letter(LetterKind.changed)
    with own.folder.session() as session:
        erasure.erase(session, own.folder, subscribers.find(session, "mio@example.org"), LeftBy.admin, own.now)
    own.press(f"/address/{token}")
    assert set(own.lists(OLD).values()) == {"active"}


# ---- at once


def together(*works: Callable[[], object]) -> None:
    begun = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        begun.wait()
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def test_of_two_changes_that_are_pressed_at_once_one_counts_and_the_other_leads_nowhere(own: Own) -> None:
    tokens = [own.ask_for(NEW), own.ask_for(OTHER)]
    pages = [own.get(f"/address/{token}") for token in tokens]
    titles: list[str] = []
    together(
        *(
            lambda at=at: titles.append(title(own.press(f"/address/{tokens[at]}", pages[at])))  # type: ignore[misc]
            for at in (0, 1)
        )
    )
    assert sorted(titles) == ["This is your address now", LOST]
    assert own.address in (NEW, OTHER)
    told = [(kind, to) for kind, to, _ in own.letters() if kind == "changed"]
    assert told == [("changed", OLD)]
    with own.folder.reading() as session:
        person = own.person(session)
        assert person.address_key == person.address
        assert person.fingerprint == keys(session, NOW).print_of(str(person.address))


def test_of_two_readers_who_move_to_one_address_at_once_one_gets_it_and_the_other_joins(
    own: Own, subscribe: Subscribe
) -> None:
    with own.folder.session() as session:
        ada = subscribe(session, "ada@example.org", lists=("invitations",))
        token = keys(session, NOW).reader(0, ada.id)
    other = Own(own.folder, token)
    first = own.ask_for(NEW)
    own.later(days=1)
    other.later(days=1, minutes=5)
    second = other.ask_for(NEW)
    pages = own.get(f"/address/{first}"), other.get(f"/address/{second}")
    titles: list[str] = []
    together(
        lambda: titles.append(title(own.press(f"/address/{first}", pages[0]))),
        lambda: titles.append(title(other.press(f"/address/{second}", pages[1]))),
    )
    assert titles == ["This is your address now"] * 2
    with own.folder.reading() as session:
        assert len(session.scalars(select(Subscriber).where(Subscriber.address == NEW)).all()) == 1
    assert own.lists(NEW)["invitations"] == "active"
    other.settled()


def test_pressed_while_they_are_erased_it_brings_nothing_of_them_back(own: Own) -> None:
    token = own.ask_for(NEW)
    page = own.get(f"/address/{token}")
    holding, done = threading.Event(), threading.Event()
    titles: list[str] = []

    def erase() -> None:
        with own.folder.session() as session:
            erasure.erase(session, own.folder, own.person(session), LeftBy.admin, own.now)
            holding.set()
            done.wait(0.5)

    def press() -> None:
        holding.wait()
        titles.append(title(own.press(f"/address/{token}", page)))
        done.set()

    threads = [threading.Thread(target=erase), threading.Thread(target=press)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert titles == [LOST]
    assert own.address is None
    assert row(own, NEW) is None
    with own.folder.reading() as session:
        assert session.scalars(select(Letter)).all() == []
        assert session.scalars(select(Event)).all() == []


# ---- the letters


def test_the_letters_say_what_they_are_and_the_old_addresss_has_its_link(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    with MailServer() as server:
        own = at_home(make_folder(*through(relay(server, "a"))), subscribe)
        own.save(address=NEW)
        assert letter_mail.deliver(own.folder, own.now) == 1
        own.later(minutes=5)
        confirm = link(server.messages[-1].data)
        assert title(own.press(confirm)) == "This is your address now"
        assert letter_mail.deliver(own.folder, own.now) == 1
        own.later(minutes=5)
        mails = [message_from_bytes(each.data, policy=policy.default) for each in server.messages]
        back = link(server.messages[-1].data)
    assert [mail["To"] for mail in mails] == [NEW, OLD]
    assert mails[0]["Subject"] == "Confirm your new address for US-Japan Alliance Digest"
    assert mails[1]["Subject"] == "Your address for US-Japan Alliance Digest has changed"
    # Who reads at the old address isn't told the new one by the mail.
    assert NEW.encode() not in server.messages[-1].data
    assert title(own.press(back)) == "Your mail comes here again"
    assert own.address == OLD
    own.settled()


def link(raw: bytes) -> str:
    """The path of the link in a letter's text."""
    part = message_from_bytes(raw, policy=policy.default).get_body(("plain",))
    assert part is not None
    found = re.search(r"https://digest\.example\.org(/address/[0-9a-f]+)", part.get_content())
    assert found, part.get_content()
    return found[1]


def test_what_a_reader_had_as_address_is_known_until_they_are_erased(lite: Own) -> None:
    def former() -> tuple[str, ...]:
        with lite.folder.reading() as session:
            return address_change.former(session, lite.person(session).id)

    assert former() == ()
    lite.ask_for("somebody.else@example.net")
    assert former() == ()
    confirmed(lite, NEW)
    confirmed(lite, OTHER)
    assert former() == tuple(sorted([OLD, NEW, OTHER]))
    lite.later(days=1)
    joining(lite)
    assert "mio@example.org" not in former()
