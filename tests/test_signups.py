"""Signing up: what counts, what doesn't, what is confirmed, and what is forgotten."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import msgspec
import pytest
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter import asks, letters, signups, subscribers, suppressions
from newsletter.config import Config
from newsletter.errors import ListMistake, SubscriberMistake
from newsletter.folder import Folder
from newsletter.models import Ask, Consent, Event, Letter, List, Subscriber, Subscription
from newsletter.reader_settings import SignUp
from newsletter.signups import Asked, Wish
from newsletter.states import LetterKind, LetterState, SubscriptionState, SuppressionReason

DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)
WORDS = "One mail with a link."
Subscribe = Callable[..., Subscriber]


@pytest.fixture(autouse=True)
def lists(request: pytest.FixtureRequest) -> None:
    """Three lists that are offered, one at once, and one that isn't offered."""
    if "session" in request.fixturenames:
        offer(request.getfixturevalue("session"))


def offer(session: Session) -> None:
    session.add_all(
        [
            List(slug="alliance-digest", title="Alliance Digest"),
            List(slug="invitations", title="Invitations"),
            List(slug="notes", title="Notes", double_opt_in=False),
            List(slug="staff", title="Staff", public=False),
        ]
    )
    session.flush()


def wish(address: str = "noor@example.org", *lists: str, name: str = "", client: str = "198.51.100.7") -> Wish:
    return Wish(
        "digest", address, name, lists or ("alliance-digest",), "en", WORDS, "https://x/digest/subscribe", client
    )


def ask(session: Session, folder: Folder, wished: Wish, now: dt.datetime = NOW, **more: bool | float) -> Asked:
    return signups.ask(session, folder.config, wished, now, **more)


def states(session: Session, address: str = "noor@example.org") -> dict[str, str]:
    rows = session.execute(
        select(List.slug, Subscription.state)
        .join(Subscription, Subscription.list_id == List.id)
        .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
        .where(Subscriber.address == address)
    )
    return {slug: state.value for slug, state in rows}


def sent(session: Session, number: int = -1) -> Letter:
    """The last letter, as it is once a relay has taken it."""
    letter = session.scalars(select(Letter).order_by(Letter.id)).all()[number]
    letter.state, letter.address = LetterState.sent, ""
    session.flush()
    return letter


def limited(folder: Folder, **limits: int) -> Config:
    return msgspec.structs.replace(folder.config, sign_up=SignUp(**limits))


# ---- asked and confirmed


def test_asking_leaves_a_subscription_that_waits_a_letter_and_the_words_agreed_to(
    session: Session, folder: Folder
) -> None:
    assert ask(session, folder, wish("Noor@Example.org", "alliance-digest", "invitations")) is Asked.noted
    assert states(session, "Noor@example.org") == {"alliance-digest": "pending", "invitations": "pending"}
    letter = session.scalars(select(Letter)).one()
    assert (letter.kind, letter.address, letter.expires) == (LetterKind.confirm, "Noor@example.org", NOW + 7 * DAY)
    consent = session.scalars(select(Consent)).one()
    assert (consent.wording, consent.client, consent.lists) == (WORDS, "198.51.100.7", "alliance-digest,invitations")
    assert (consent.asked, consent.confirmed) == (NOW, None)
    assert letter.detail["consent"] == consent.id


def test_the_button_behind_the_letter_begins_the_subscription_and_confirms_the_consent(
    session: Session, folder: Folder
) -> None:
    ask(session, folder, wish(name="Noor Okafor"))
    letter = sent(session)
    found = signups.confirm(session, folder.config, letter.id, "203.0.113.9", NOW + DAY)
    assert found is not None
    assert (found.address, found.lists) == ("noor@example.org", ("Alliance Digest",))
    assert states(session) == {"alliance-digest": "active"}
    assert letter.state is LetterState.used
    consent = session.scalars(select(Consent)).one()
    assert (consent.confirmed, consent.confirmed_client) == (NOW + DAY, "203.0.113.9")
    person = session.scalars(select(Subscriber)).one()
    assert (person.name, person.language) == ("Noor Okafor", "en")
    row = session.scalars(select(Subscription)).one()
    assert (row.joined, row.why) == (NOW + DAY, "confirmed by mail")


def test_confirming_twice_succeeds_twice_and_changes_nothing_more(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    letter = sent(session)
    signups.confirm(session, folder.config, letter.id, "203.0.113.9", NOW)
    again = signups.confirm(session, folder.config, letter.id, "203.0.113.10", NOW + DAY)
    assert again is not None
    assert again.used
    assert session.scalars(select(Consent)).one().confirmed_client == "203.0.113.9"


def test_a_link_that_was_used_brings_nobody_back_who_has_left_since(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    letter = sent(session)
    signups.confirm(session, folder.config, letter.id, "", NOW)
    person = session.scalars(select(Subscriber)).one()
    subscribers.unsubscribe(session, folder.config, person, None, NOW + DAY, "page")
    assert signups.confirm(session, folder.config, letter.id, "", NOW + 2 * DAY) is None
    assert states(session) == {"alliance-digest": "unsubscribed"}


def test_a_link_does_nothing_any_more_once_its_time_is_over(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    letter = sent(session)
    assert signups.look(session, folder.config, letter.id, letter.expires - SECOND) is not None
    assert signups.look(session, folder.config, letter.id, letter.expires) is None
    assert signups.confirm(session, folder.config, letter.id, "", letter.expires) is None
    assert states(session) == {"alliance-digest": "pending"}


def test_a_letter_of_another_kind_confirms_nothing(session: Session, folder: Folder, subscribe: Subscribe) -> None:
    person = subscribe(session, "a@example.org", state=SubscriptionState.unsubscribed, lists=("invitations",))
    letter = letters.queue(
        session, "digest", LetterKind.change, person.id, "b@example.org", now=NOW, expires=NOW + DAY,
        detail={"lists": ["invitations"]},
    )  # fmt: skip
    assert signups.confirm(session, folder.config, letter.id, "", NOW) is None
    assert states(session, "a@example.org") == {"invitations": "unsubscribed"}


def test_a_letter_of_a_publication_that_is_gone_leads_nowhere(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    config = msgspec.structs.replace(folder.config, publications={"brief": folder.config.publications["digest"]})
    assert signups.look(session, config, sent(session).id, NOW) is None


def test_a_list_without_double_opt_in_begins_at_once_and_its_reader_is_told_by_mail(
    session: Session, folder: Folder
) -> None:
    ask(session, folder, wish("noor@example.org", "notes"))
    assert states(session) == {"notes": "active"}
    assert session.scalars(select(Letter)).one().kind is LetterKind.link


def test_no_program_has_anything_begin_without_a_letter(session: Session, folder: Folder) -> None:
    ask(session, folder, wish("noor@example.org", "notes"), at_once=False)
    assert states(session) == {"notes": "pending"}
    assert session.scalars(select(Letter)).one().kind is LetterKind.confirm


def test_a_list_that_isnt_offered_cant_be_asked_for(session: Session, folder: Folder) -> None:
    for lists in (("staff",), ("alliance-digest", "nowhere"), tuple(f"list-{n}" for n in range(10_000))):
        with pytest.raises(ListMistake):
            ask(session, folder, wish("noor@example.org", *lists))
    with pytest.raises(ListMistake):
        signups.ask(session, folder.config, dataclasses.replace(wish(), lists=()), NOW)
    assert session.scalar(select(func.count()).select_from(Subscriber)) == 0


@pytest.mark.parametrize("name", ["Noor\r\nBcc: all@example.org", "Noor\x00", "N\u2028oor", "x" * 201, "\ud800"])
def test_a_name_that_would_break_a_header_is_refused(session: Session, folder: Folder, name: str) -> None:
    with pytest.raises(SubscriberMistake):
        ask(session, folder, wish(name=name))
    assert session.scalars(select(Letter)).all() == []


# ---- whose address it is


def test_what_a_stranger_typed_changes_nothing_about_a_reader(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    person = subscribe(session, "noor@example.org", name="Noor")
    ask(session, folder, wish("noor@example.org", "invitations", name="Somebody Else"))
    assert (person.name, states(session)) == ("Noor", {"alliance-digest": "active", "invitations": "pending"})


def test_a_reader_of_all_of_it_gets_the_way_to_their_page_instead(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    subscribe(session, "noor@example.org")
    ask(session, folder, wish())
    letter = session.scalars(select(Letter)).one()
    assert (letter.kind, letter.detail) == (LetterKind.link, {"subscribed": True})
    assert session.scalars(select(Consent)).all() == []


def test_who_left_stays_away_until_they_confirm_and_comes_back_then(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    subscribe(session, "noor@example.org", state=SubscriptionState.unsubscribed, lists=("alliance-digest", "notes"))
    ask(session, folder, wish("noor@example.org", "alliance-digest", "notes"))
    assert states(session) == {"alliance-digest": "unsubscribed", "notes": "unsubscribed"}
    signups.confirm(session, folder.config, sent(session).id, "", NOW)
    assert states(session) == {"alliance-digest": "active", "notes": "active"}


@pytest.mark.parametrize("reason", [SuppressionReason.request, SuppressionReason.bounce, SuppressionReason.erasure])
def test_an_address_that_is_suppressed_is_mailed_again_once_its_owner_confirms(
    session: Session, folder: Folder, reason: SuppressionReason
) -> None:
    suppressions.add(session, "noor@example.org", reason, "", NOW)
    ask(session, folder, wish("noor@example.org", "notes"))
    assert states(session) == {"notes": "pending"}
    assert suppressions.of_address(session, "noor@example.org", NOW) is not None
    signups.confirm(session, folder.config, sent(session).id, "", NOW)
    assert states(session) == {"notes": "active"}
    assert suppressions.of_address(session, "noor@example.org", NOW) is None
    assert any("lifted" in row.what for row in session.scalars(select(Event)))


def test_a_bounced_reader_who_is_still_subscribed_may_confirm_their_address_anew(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    subscribe(session, "noor@example.org")
    suppressions.add(session, "noor@example.org", SuppressionReason.bounce, "", NOW)
    ask(session, folder, wish())
    assert signups.confirm(session, folder.config, sent(session).id, "", NOW) is not None
    assert suppressions.of_address(session, "noor@example.org", NOW) is None


def test_an_address_that_reported_spam_gets_nothing_and_leaves_nothing(session: Session, folder: Folder) -> None:
    suppressions.add(session, "noor@example.org", SuppressionReason.complaint, "", NOW)
    assert ask(session, folder, wish()) is Asked.noted
    assert session.scalars(select(Letter)).all() == []
    assert session.scalars(select(Subscriber)).all() == []


def test_a_report_of_spam_after_the_letter_is_lifted_by_no_button(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    letter = sent(session)
    suppressions.add(session, "noor@example.org", SuppressionReason.complaint, "", NOW)
    found = signups.confirm(session, folder.config, letter.id, "", NOW)
    assert found is not None
    assert found.barred
    assert states(session) == {"alliance-digest": "pending"}
    assert suppressions.of_address(session, "noor@example.org", NOW) is not None


# ---- limits


def test_an_address_gets_one_letter_a_day_however_it_is_written_and_whoever_asks(
    session: Session, folder: Folder
) -> None:
    ask(session, folder, wish())
    assert ask(session, folder, wish("NOOR@EXAMPLE.ORG", client="203.0.113.1"), NOW + DAY - SECOND) is Asked.noted
    assert session.scalar(select(func.count()).select_from(Letter)) == 1
    ask(session, folder, wish(), NOW + DAY)
    assert session.scalar(select(func.count()).select_from(Letter)) == 2


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("198.51.100.7", "198.51.100.250"),
        ("2001:db8:7::1", "2001:db8:7:ffff::2"),
        ("::ffff:198.51.100.7", "198.51.100.9"),
    ],
)
def test_a_network_has_so_many_an_hour_and_no_more(session: Session, folder: Folder, one: str, another: str) -> None:
    config = limited(folder, per_network=3)
    for number in range(3):
        assert signups.ask(session, config, wish(f"r{number}@example.org", client=one), NOW) is Asked.noted
    assert signups.ask(session, config, wish("r3@example.org", client=another), NOW) is Asked.full
    assert signups.ask(session, config, wish("r4@example.org", client="192.0.2.1"), NOW) is Asked.noted
    hour = dt.timedelta(hours=1)
    assert signups.ask(session, config, wish("r5@example.org", client=one), NOW + hour) is Asked.noted


def test_there_are_so_many_an_hour_in_all(session: Session, folder: Folder) -> None:
    config = limited(folder, in_all=2)
    for number in range(2):
        assert (
            signups.ask(session, config, wish(f"r{number}@example.org", client=f"10.0.{number}.1"), NOW) is Asked.noted
        )
    assert signups.ask(session, config, wish("r2@example.org", client="10.0.2.1"), NOW) is Asked.full
    assert session.scalar(select(func.count()).select_from(Subscriber)) == 2


def test_nobody_learns_who_is_known_from_where_the_limit_stops(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    subscribe(session, "reader@example.org")
    suppressions.add(session, "cross@example.org", SuppressionReason.complaint, "", NOW)
    config = limited(folder, per_network=4)
    for address in ("reader@example.org", "cross@example.org", "new@example.org", "new@example.org"):
        assert signups.ask(session, config, wish(address), NOW) is Asked.noted
    assert signups.ask(session, config, wish("next@example.org"), NOW) is Asked.full


def test_many_at_once_get_no_more_than_the_limit_and_an_address_one_letter(folder: Folder) -> None:
    with folder.session() as session:
        offer(session)
        ask(session, folder, wish("first@example.org", client="192.0.2.1"))
    config = limited(folder, per_network=5)
    start = Barrier(8)

    def press(number: int) -> Asked:
        start.wait()
        with folder.session() as session:
            return signups.ask(session, config, wish(f"r{number // 2}@example.org"), NOW)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(press, range(8)))
    assert outcomes.count(Asked.noted) == 5
    with folder.reading() as session:
        asked = session.scalars(select(Letter.address)).all()
    assert len(asked) == len(set(asked))


@given(st.text(max_size=60))
def test_whatever_a_client_calls_itself_has_a_network_or_none(client: str) -> None:
    assert len(asks.network(client)) <= 50


def test_a_network_is_what_a_household_or_an_office_has() -> None:
    assert asks.network("198.51.100.77") == "198.51.100.0/24"
    assert asks.network("2001:db8:1:2:3::4") == "2001:db8:1::/48"
    assert asks.network("fe80::1%eth0") == "fe80::/48"
    assert asks.network("unix") == ""


# ---- forgotten


def test_an_address_that_nobody_confirmed_is_forgotten_with_all_that_was_kept_of_it(
    session: Session, folder: Folder
) -> None:
    ask(session, folder, wish(name="Noor Okafor"))
    sent(session)
    assert signups.expire(session, NOW + 7 * DAY - SECOND) == 0
    assert signups.expire(session, NOW + 7 * DAY) == 1
    for table in (Subscription, Consent, Letter, Ask, Event):
        assert session.scalars(select(table)).all() == [], table
    row = session.scalars(select(Subscriber)).one()
    assert (row.address, row.address_key, row.fingerprint, row.name, row.language) == (None, None, "", "", "")


def test_asking_again_keeps_an_address_until_the_last_letter_is_over(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    ask(session, folder, wish("noor@example.org", "alliance-digest", "invitations"), NOW + 2 * DAY)
    signups.expire(session, NOW + 7 * DAY)
    assert states(session) == {"alliance-digest": "pending", "invitations": "pending"}
    signups.expire(session, NOW + 9 * DAY)
    assert states(session) == {}
    assert session.scalars(select(Subscriber)).one().address is None


def test_a_letter_that_no_relay_took_is_over_in_time_too(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    sent(session).state = LetterState.failed
    signups.expire(session, NOW + 7 * DAY)
    assert session.scalars(select(Subscriber)).one().address is None


def test_a_reader_keeps_what_they_have_when_they_dont_confirm_what_was_asked_besides(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    person = subscribe(session, "noor@example.org", name="Noor")
    ask(session, folder, wish("noor@example.org", "invitations"))
    signups.expire(session, NOW + 7 * DAY)
    assert states(session) == {"alliance-digest": "active"}
    assert (person.name, person.address) == ("Noor", "noor@example.org")


def test_somebody_an_admin_added_isnt_forgotten_for_what_a_stranger_asked(session: Session, folder: Folder) -> None:
    subscribers.add(session, folder.config, "noor@example.org", lists=(), now=NOW, why="added", name="Noor")
    ask(session, folder, wish())
    signups.expire(session, NOW + 7 * DAY)
    assert session.scalars(select(Subscriber)).one().address == "noor@example.org"
    assert states(session) == {}


def test_what_an_import_left_pending_stays(session: Session, folder: Folder) -> None:
    subscribers.add(
        session, folder.config, "noor@example.org", lists=("alliance-digest",), now=NOW, why="import a.csv",
        state=SubscriptionState.pending,
    )  # fmt: skip
    ask(session, folder, wish())
    signups.expire(session, NOW + 7 * DAY)
    assert states(session) == {"alliance-digest": "pending"}


def test_forgetting_leaves_a_suppression_and_why_it_is_there(session: Session, folder: Folder) -> None:
    suppressions.add(session, "noor@example.org", SuppressionReason.bounce, "5.1.1", NOW)
    ask(session, folder, wish())
    signups.expire(session, NOW + 7 * DAY)
    assert suppressions.of_address(session, "noor@example.org", NOW) is not None
    assert [row.what for row in session.scalars(select(Event))] == ["suppressed: bounce (5.1.1)"]


def test_a_letters_number_is_never_given_again(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    first = session.scalars(select(Letter)).one().id
    signups.expire(session, NOW + 7 * DAY)
    session.expire_all()
    ask(session, folder, wish(), NOW + 8 * DAY)
    assert session.scalars(select(Letter)).one().id > first


def test_a_letter_of_another_kind_ends_in_time_and_keeps_no_address(
    session: Session, folder: Folder, subscribe: Subscribe
) -> None:
    person = subscribe(session, "noor@example.org")
    letter = letters.queue(session, "digest", LetterKind.change, person.id, "n@example.org", now=NOW, expires=NOW + DAY)
    signups.expire(session, NOW + DAY)
    assert (letter.state, letter.address) == (LetterState.expired, "")
    assert states(session) == {"alliance-digest": "active"}


def test_what_was_agreed_to_and_what_was_sent_is_told_with_a_subscriber(session: Session, folder: Folder) -> None:
    ask(session, folder, wish())
    signups.confirm(session, folder.config, sent(session).id, "203.0.113.9", NOW + DAY)
    told = [each.what for each in subscribers.history(session, session.scalars(select(Subscriber)).one())]
    assert f'asked for subscription (alliance-digest) from 198.51.100.7: "{WORDS}"' in told
    assert "confirmed subscription (alliance-digest) from 203.0.113.9" in told
    assert "letter confirm: used" in told
    assert "alliance-digest: active (confirmed by mail)" in told
