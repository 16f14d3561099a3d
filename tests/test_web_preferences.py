"""A reader's own page: what they choose there, what they are told, and who can't press its buttons for them."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mailserver import being_sent, ledger
from own_page import Own, form, title
from sqlalchemy import event, select
from werkzeug.test import TestResponse

from newsletter import erasure, letter_mail, pausing, signups, subscribers, suppressions, tokens, visits
from newsletter.errors import ConfigMistake
from newsletter.folder import Folder
from newsletter.models import Ask, Consent, Departure, Event, HitKind, Ignored, Interest, Letter, List, Subscriber
from newsletter.states import ConsentTo, LeftBy, LetterKind, SubscriptionState, SuppressionReason
from newsletter.tokens import keys

Subscribe = Callable[..., Subscriber]
Make = Callable[..., Folder]
KEI = "kei@example.org"
MEASURED = ("max_stories = 5\n", "max_stories = 5\nmeasure_readers = true\n")
TWO = (
    "[publications.digest.numbering]",
    """[publications.talks]
title = "Talks"
publisher = "Example Society"
postal_address = "100 Example Street"
sender = "talks@example.org"
editors = ["desk@example.org"]
lists = ["talks"]

[publications.talks.cadence]
anchor = 2023-11-21
zone = "America/New_York"

[publications.digest.numbering]""",
)


def at_home(folder: Folder, subscribe: Subscribe, *, issue: bool = True) -> Own:
    """Kei reads alliance-digest, an issue of which is on its way; invitations and extras are offered, staff isn't."""
    number = being_sent(folder, subscribe, ["mio@example.org"])
    with folder.session() as session:
        session.add_all(
            [
                List(slug="invitations", title="Invitations", description="Talks & workshops."),
                List(slug="extras", title="Extras"),
                List(slug="staff", title="Staff", public=False),
                List(slug="gone", title="Gone", retired=NOW),
            ]
        )
        person = subscribe(session, KEI, name="Kei Mori", attributes={"city": "Kyoto", "shoe": "42"})
        person.language = "en"
        token = keys(session, NOW).reader(number if issue else 0, person.id)
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


def person(own: Own) -> Subscriber:
    with own.folder.reading() as session:
        return own.person(session)


def consents(own: Own) -> list[Consent]:
    with own.folder.reading() as session:
        return list(session.scalars(select(Consent).order_by(Consent.id)))


def departures(own: Own) -> list[Departure]:
    with own.folder.reading() as session:
        return list(session.scalars(select(Departure).order_by(Departure.id)))


def history(own: Own) -> list[str]:
    with own.folder.reading() as session:
        return list(session.scalars(select(Event.what).order_by(Event.id)))


def faults(page: TestResponse) -> dict[str, str]:
    """Field: what stands in the list of faults at the top of the page."""
    return {
        name: html.unescape(text) for name, text in re.findall(r'<li><a href="#([\w-]+)">(.*?)</a></li>', page.text)
    }


# ---- what it shows


def test_the_page_shows_what_they_get_and_who_they_are(lite: Own) -> None:
    page = lite.get(lite.me)
    text = html.unescape(page.text)
    assert page.status_code == 200
    assert title(page) == "Your subscriptions"
    for words in (KEI, "Kei Mori", "Kyoto", "Invitations", "Extras", "Since November 13, 2023"):
        assert words in text, words
    assert "Next issue: November 14, 2023" in text
    assert form(page, lite.me)["lists"] == ["alliance-digest"]
    assert 'href="/canary/' in page.text


def test_it_offers_what_is_offered_to_all_and_what_they_are_on_and_nothing_else(lite: Own) -> None:
    assert "Staff" not in lite.get(lite.me).text
    assert "Gone" not in lite.get(lite.me).text
    with lite.folder.session() as session:
        staff = session.scalars(select(List).where(List.slug == "staff")).one()
        signups.begin(session, lite.person(session), [staff], "hired", NOW)
    assert "Staff" in lite.get(lite.me).text


def test_looking_at_their_pages_changes_nothing_whoever_looks(own: Own) -> None:
    before = [own.lists(), history(own), own.letters(), departures(own)]
    for path in (own.me, f"{own.me}/data", f"{own.me}/erase", f"{own.me}?lists=extras&name=X&seal=1"):
        for method in ("GET", "HEAD"):
            assert own.browser.open(path, method=method).status_code == 200
    for path in (f"{own.me}/leave",):
        assert own.get(path).status_code == 405
    assert [own.lists(), history(own), own.letters(), departures(own)] == before
    assert person(own).name == "Kei Mori"


def test_a_link_that_is_for_all_publications_leads_to_the_same_page(lite_folder: Folder, subscribe: Subscribe) -> None:
    own = at_home(lite_folder, subscribe, issue=False)
    assert KEI in own.get(own.me).text
    assert own.save(name="Kei").status_code == 200
    assert person(own).name == "Kei"
    own.settled()


# ---- saving


def test_what_is_saved_is_so_at_once_and_is_said_with_the_time(own: Own) -> None:
    own.later(minutes=3)
    page = own.save(name="  Kei  Mori-Ito ", attribute_city="Nara", attribute_plan="gold", language="ja")
    assert page.status_code == 200
    assert 'lang="ja"' in page.text
    assert "11月13日" in page.text
    kei = person(own)
    assert (kei.name, kei.language) == ("Kei  Mori-Ito", "ja")
    assert kei.attributes == {"city": "Nara", "plan": "gold", "shoe": "42"}
    page = own.save(language="en", attribute_plan="")
    assert "Saved</b> on November 13, 2023 at 14:49 EST" in page.text
    assert "plan" not in person(own).attributes


def test_saving_what_is_there_changes_nothing(own: Own) -> None:
    before = [own.lists(), history(own), own.letters(), departures(own), consents(own), person(own).attributes]
    assert own.save().status_code == 200
    assert [own.lists(), history(own), own.letters(), departures(own), consents(own), person(own).attributes] == before


def test_a_list_that_is_ticked_begins_at_once_and_their_consent_is_written_down(own: Own) -> None:
    page = own.save(lists=["alliance-digest", "invitations"])
    assert form(page, own.me)["lists"] == ["alliance-digest", "invitations"]
    assert own.lists() == {"alliance-digest": "active", "invitations": "active"}
    [consent] = consents(own)
    assert (consent.to, consent.lists, consent.client) == (ConsentTo.subscription, "invitations", own.client)
    assert consent.confirmed == NOW
    # The very words by the boxes, as they were shown.
    assert consent.wording in html.unescape(page.text)
    assert own.token not in consent.page


def test_a_list_that_they_left_comes_back_by_their_own_tick(own: Own) -> None:
    own.save(lists=None)
    assert own.lists() == {"alliance-digest": "unsubscribed"}
    own.save(lists=["alliance-digest"])
    assert own.lists() == {"alliance-digest": "active"}
    assert [row.lists for row in consents(own)] == ["alliance-digest"]


def test_a_list_that_is_no_longer_ticked_is_left_at_once_and_its_waiting_copy_is_called_off(
    folder: Folder, subscribe: Subscribe
) -> None:
    number = being_sent(folder, subscribe, [KEI])
    with folder.session() as session:
        token = keys(session, NOW).reader(number, subscribers.find(session, KEI).id)
    own = Own(folder, token)
    own.save(lists=None)
    assert own.lists() == {"alliance-digest": "unsubscribed"}
    assert ledger(folder) == {KEI: ("skipped", "unsubscribed")}
    [row] = departures(own)
    assert (row.by, row.lists, row.issue_id) == (LeftBy.preferences, "alliance-digest", number)
    own.settled()


@pytest.mark.parametrize("slug", ["staff", "gone", "nowhere", "", "alliance-digest\x00", "\ud800"])
def test_no_form_of_anybodys_puts_them_on_a_list_that_isnt_offered(lite: Own, slug: str) -> None:
    sent = form(lite.get(lite.me), lite.me)
    wanted = slug.encode("utf-8", "surrogatepass")
    body = f"seal={sent['seal']}&shown=alliance-digest&lists=alliance-digest".encode()
    body += b"&shown=" + wanted + b"&lists=" + wanted
    lite.browser.post(lite.me, data=body, content_type="application/x-www-form-urlencoded")
    assert lite.lists() == {"alliance-digest": "active"}


def test_a_list_that_came_onto_the_page_after_it_was_shown_is_left_as_it_is(lite: Own) -> None:
    page = lite.get(lite.me)
    with lite.folder.session() as session:
        row = session.scalars(select(List).where(List.slug == "staff")).one()
        signups.begin(session, lite.person(session), [row], "hired", NOW)
    lite.save(page)
    assert lite.lists() == {"alliance-digest": "active", "staff": "active"}


def test_unsubscribing_from_everything_is_one_press_and_is_said_with_the_time(own: Own) -> None:
    own.save(lists=["alliance-digest", "invitations"])
    page = own.press(f"{own.me}/leave", own.get(own.me))
    assert "You are unsubscribed from everything</b>, since November 13, 2023 at 14:46 EST" in page.text
    assert set(own.lists().values()) == {"unsubscribed"}
    assert [row.by for row in departures(own)] == [LeftBy.preferences]
    assert own.press(f"{own.me}/leave", page).status_code == 200
    assert len(departures(own)) == 1


def test_nothing_begins_for_a_suppressed_address_and_the_page_says_why(lite: Own) -> None:
    with lite.folder.session() as session:
        suppressions.add(session, KEI, SuppressionReason.bounce, "", NOW)
    page = lite.save(lists=["alliance-digest", "invitations"])
    assert lite.lists() == {"alliance-digest": "active"}
    assert consents(lite) == []
    assert "Mail to your address came back" in page.text


@pytest.mark.parametrize("reason", list(SuppressionReason))
def test_every_reason_why_nothing_is_sent_has_its_words(lite: Own, reason: SuppressionReason) -> None:
    with lite.folder.session() as session:
        suppressions.add(session, KEI, reason, "", NOW)
    assert 'class="notice held told"' in lite.get(lite.me).text


# ---- a break


def test_a_break_lasts_until_the_day_and_ends_when_the_field_is_emptied(own: Own) -> None:
    page = own.save(until="2023-12-24")
    assert form(page, own.me)["until"] == "2023-12-24"
    assert person(own).paused_until == dt.date(2023, 12, 24)
    # Saved once more for another reason, it isn't told twice.
    own.save(name="K")
    assert history(own).count("paused until 2023-12-24") == 1
    own.save(until="")
    assert person(own).paused_until is None


def test_a_break_that_is_over_keeps_nobody_from_saving(lite: Own) -> None:
    with lite.folder.session() as session:
        pausing.pause(session, lite.person(session), dt.date(2023, 11, 20), NOW)
    lite.later(days=30)
    page = lite.get(lite.me)
    assert form(page, lite.me)["until"] == ""
    assert lite.save(page, name="K").status_code == 200
    assert person(lite).name == "K"


def test_the_longest_break_that_an_admin_can_give_can_be_saved_again(lite: Own) -> None:
    with lite.folder.session() as session:
        late = NOW.replace(hour=23)
        pausing.pause(session, lite.person(session), dt.date(2023, 11, 14) + pausing.LONGEST, late)
    assert lite.save(name="K").status_code == 200


# ---- what can't be saved


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("until", "2023-11-13", "Choose a day that is still to come"),
        ("until", "1999-01-01", "Choose a day"),
        ("until", "tomorrow", "Choose a day"),
        ("until", "2023-02-31", "Choose a day"),
        ("until", "9999-12-31", "a year at the most"),
        ("name", "Kei\nBcc: all@example.org", "one line"),
        ("name", "\u202eiroM", "one line"),
        ("name", "K" * 201, "not too long"),
        ("name", "K\x00", "one line"),
        ("attribute-city", "Kyo\rto", "one line"),
        ("attribute-city", "x" * 1001, "not too long"),
        ("address", "kei", "Mail can’t go to this"),
        ("address", "kei@example.org, all@example.org", "Mail can’t go to this"),
        ("address", "kei@\x00example.org", "Mail can’t go to this"),
    ],
)
def test_a_fault_is_said_at_the_field_and_at_the_top_and_nothing_at_all_is_saved(
    lite: Own, field: str, value: str, words: str
) -> None:
    typed = {"name": "Somebody Else", "lists": ["extras"], field: value}
    page = lite.press(lite.me, **typed)
    assert page.status_code == 422
    assert words in faults(page)[field]
    assert page.text.count(html.escape(faults(page)[field], quote=False)) == 2
    assert f'id="{field}"' in page.text
    assert 'aria-invalid="true"' in page.text
    # What was typed stays, but for a day that is none.
    assert form(page, lite.me)["lists"] == ["extras"]
    if field == "address":
        assert form(page, lite.me)["address"] == value
    if field != "name":
        assert form(page, lite.me)["name"] == "Somebody Else"
    assert person(lite).name == "Kei Mori"
    assert lite.lists() == {"alliance-digest": "active"}
    assert lite.letters() == []


def test_faults_are_told_in_the_language_of_their_page(lite: Own) -> None:
    page = lite.save(language="ja", until="1999-01-01")
    assert 'lang="ja"' in page.text
    assert all(not text.isascii() for text in faults(page).values())


def test_bytes_that_are_no_characters_are_no_name(lite: Own) -> None:
    seal = form(lite.get(lite.me), lite.me)["seal"]
    body = f"seal={seal}&lists=alliance-digest&name=".encode() + b"\xff\xfe%ff"
    lite.browser.post(lite.me, data=body, content_type="application/x-www-form-urlencoded")
    assert person(lite).name.isprintable()
    assert "\udcff" not in person(lite).name


@pytest.mark.parametrize("path", ["", "/leave", "/erase"])
def test_megabytes_are_refused(lite: Own, path: str) -> None:
    assert lite.post(f"{lite.me}{path}", {"seal": "x", "name": "K" * 3_000_000}).status_code == 413


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["name", "address", "until", "language", "attribute-city", "lists", "measured"]),
        st.text(max_size=40),
    )
)
def test_whatever_is_typed_it_is_saved_or_said_to_be_wrong(lite: Own, typed: dict[str, str]) -> None:
    page = lite.post(lite.me, {"seal": form(lite.get(lite.me), lite.me)["seal"]} | typed)
    assert page.status_code in (200, 422, 429)
    kei = person(lite)
    assert "\n" not in kei.name
    assert kei.address == KEI
    assert set(lite.lists()) <= {"alliance-digest", "invitations", "extras"}


def test_a_language_that_the_pages_dont_speak_is_kept_as_theirs(lite: Own) -> None:
    with lite.folder.session() as session:
        lite.person(session).language = "fr"
    lite.save(name="K")
    assert person(lite).language == "fr"
    lite.save(language="tlh")
    assert person(lite).language == "fr"


# ---- whose page it is


def test_links_that_lead_nowhere_get_one_and_the_same_answer_everywhere(own: Own, subscribe: Subscribe) -> None:
    with own.folder.session() as session:
        secrets = keys(session, NOW)
        gone = subscribe(session, "gone@example.org")
        erased = secrets.reader(0, gone.id)
        erasure.erase(session, own.folder, gone, LeftBy.admin, NOW)
    bad = {
        "cut": own.token[:-1],
        "longer": own.token + "00",
        "changed": own.token[:-1] + ("0" if own.token[-1] != "0" else "1"),
        "of a letter": secrets.letter(1),
        "of a measured link": secrets.measured(1, 1),
        "of a picture": secrets.mark(1, b"12345678"),
        "of nobody": secrets.reader(1, 999),
        "of no issue": secrets.reader(999, 1),
        "erased": erased,
        "words": "unsubscribe",
        "nul": "%00" * 18,
        "not unicode": "%ff%fe",
    }
    seen = set()
    for what, token in bad.items():
        for path in ("", "/data", "/erase"):
            answer = own.get(f"/me/{token}{path}")
            assert answer.status_code == 404, (what, path)
            if what != "not unicode":
                seen.add(re.sub(r'name="seal" value="[^"]*"', "", answer.text))
        for path in ("", "/leave", "/erase"):
            assert own.post(f"/me/{token}{path}", {"seal": "x"}).status_code == 404, (what, path)
    assert len(seen) == 1
    assert own.lists() == {"alliance-digest": "active"}


def test_a_link_works_for_years_and_after_a_rotation_and_in_capitals(lite: Own) -> None:
    with lite.folder.session() as session:
        tokens.rotate(session, NOW)
    lite.later(days=2000)
    assert title(lite.get(lite.me)) == "Your subscriptions"
    assert title(lite.get(f"/me/{lite.token.upper()}")) == "Your subscriptions"
    with lite.folder.session() as session:
        tokens.forget(session, lite.now)
    assert lite.get(lite.me).status_code == 404


def test_a_link_of_a_publication_that_is_no_more_leads_to_their_page_for_all(
    make_folder: Make, subscribe: Subscribe
) -> None:
    own = at_home(make_folder(), subscribe)
    renamed = Own(make_folder(("publications.digest", "publications.other")), own.token)
    assert title(renamed.get(renamed.me)) == "Your subscriptions"
    assert renamed.save(lists=None, address="new@example.org").status_code == 200
    assert renamed.lists() == {"alliance-digest": "unsubscribed"}
    renamed.settled()


def test_no_answer_takes_two_connections_at_once_so_that_many_bad_links_dont_block_each_other(
    lite: Own,
) -> None:
    held: Counter[int] = Counter()
    most: Counter[int] = Counter()

    def out(*_: object) -> None:
        held[threading.get_ident()] += 1
        most[threading.get_ident()] = max(most[threading.get_ident()], held[threading.get_ident()])

    def back(*_: object) -> None:
        held[threading.get_ident()] -= 1

    event.listen(lite.folder.engine, "checkout", out)
    event.listen(lite.folder.engine, "checkin", back)
    token = lite.ask_for("new@example.org")
    lite.press(f"/address/{token}")
    for path in (f"/me/{'0' * 36}", f"/address/{'0' * 26}", f"/leave/{'0' * 36}", f"/view/{'0' * 36}", "/lost"):
        lite.get(path)
        lite.post(path, {"seal": "x", "address": "kei"})
    for path in ("leave", "erase"):
        lite.post(f"/me/{'0' * 36}/{path}", {"seal": "x"})
        lite.post(f"{lite.me}/{path}", {"seal": "x"})
    assert max(most.values()) == 1


# ---- who may press


@pytest.mark.parametrize("path", ["", "/leave", "/erase"])
@pytest.mark.parametrize("seal", ["none", "forged", "another reader's", "another form's", "a day old", "of tomorrow"])
def test_a_form_that_isnt_this_page_s_does_nothing_and_is_shown_again(
    own: Own, subscribe: Subscribe, path: str, seal: str
) -> None:
    where = f"{own.me}{path}"
    shown = f"{own.me}/erase" if path == "/erase" else own.me
    sent = form(own.get(shown), where) | {"name": "Mallory", "address": "mallory@example.org", "lists": ["extras"]}
    with own.folder.session() as session:
        other = keys(session, NOW).reader(0, subscribe(session, "other@example.org").id)
    if seal == "none":
        sent.pop("seal")
    elif seal == "forged":
        sent["seal"] = sent["seal"][:-3] + "AAA"
    elif seal == "another reader's":
        sent["seal"] = form(own.get(shown.replace(own.token, other)), where.replace(own.token, other))["seal"]
    elif seal == "another form's":
        wrong = own.me if path == "/erase" else f"{own.me}/erase"
        sent["seal"] = form(own.get(wrong), wrong)["seal"]
    else:
        own.later(days=1, seconds=1) if seal == "a day old" else own.later(minutes=-5)
    page = own.post(where, sent)
    assert page.status_code == 200
    assert "One more press." in page.text
    assert own.lists() == {"alliance-digest": "active"}
    assert person(own).name == "Kei Mori"
    assert own.address == KEI
    assert own.letters() == []
    if not path:
        # What was typed stays: the next press on the page that came does it.
        assert own.save(page).status_code == 200
        assert person(own).name == "Mallory"
        assert [(kind, to) for kind, to, _ in own.letters()] == [("change", "mallory@example.org")]


@pytest.mark.parametrize("path", ["", "/leave", "/erase"])
def test_a_scanners_press_does_nothing_and_a_persons_second_one_does(own: Own, path: str) -> None:
    where = f"{own.me}{path}"
    page = own.get(f"{own.me}/erase" if path == "/erase" else own.me)
    own.scanned(own.token)
    own.later(seconds=30)
    again = own.press(where, page, **({"lists": None} if not path else {}))
    assert "One more press." in again.text
    assert own.lists() == {"alliance-digest": "active"}
    # Again with the first page's seal: however long it stood, it is no second thought.
    own.later(seconds=30)
    again = own.press(where, page, **({"lists": None} if not path else {}))
    assert own.lists() == {"alliance-digest": "active"}
    own.later(seconds=1)
    own.press(where, again)
    assert own.lists() == {"alliance-digest": "active"}
    own.later(seconds=2)
    done = own.press(where, again)
    assert done.status_code == 200
    assert own.lists() in ({"alliance-digest": "unsubscribed"}, {})
    own.settled()
    with own.folder.reading() as session:
        assert session.scalars(select(Ignored.times).where(Ignored.what == "button")).one() >= 2


def test_taking_a_departure_back_is_no_scanners_to_do_either(lite: Own) -> None:
    left = lite.press(f"/leave/{lite.token}")
    assert title(left) == "You are unsubscribed"
    assert 'href="/canary/' in left.text
    lite.scanned(lite.token)
    lite.later(seconds=30)
    again = lite.press(f"/leave/{lite.token}/undo", left)
    assert "One more press." in again.text
    assert lite.lists() == {"alliance-digest": "unsubscribed"}
    kept = lite.press(f"/leave/{lite.token}/reason", again, reason="Too much.")
    assert "Kept." in kept.text
    lite.later(seconds=2)
    assert title(lite.press(f"/leave/{lite.token}/undo", again)) == "You are subscribed again"


# ---- being measured


def test_nobody_is_asked_to_be_measured_where_no_publication_measures(lite: Own) -> None:
    assert "May be measured" not in lite.get(lite.me).text
    lite.save(measured="yes")
    assert person(lite).measured is None


def test_who_agrees_to_be_measured_is_and_who_takes_it_back_is_forgotten(
    make_folder: Make, subscribe: Subscribe
) -> None:
    own = at_home(make_folder(MEASURED), subscribe)
    page = own.save(measured="yes")
    [consent] = consents(own)
    assert (consent.to, consent.confirmed) == (ConsentTo.measuring, NOW)
    assert consent.wording in html.unescape(page.text)
    assert person(own).measured == NOW
    own.save(name="K")
    assert len(consents(own)) == 1
    with own.folder.session() as session:
        session.add(Interest(subscriber_id=person(own).id, issue_id=1, what=HitKind.open, link=0, at=NOW))
    own.save(measured=None)
    assert person(own).measured is None
    with own.folder.reading() as session:
        assert session.scalars(select(Interest)).all() == []
    assert history(own)[-1] == "no longer agrees to be measured"
    own.settled()


def test_consent_can_be_taken_back_where_nobody_asks_for_it_any_more(lite: Own) -> None:
    with lite.folder.session() as session:
        lite.person(session).measured = NOW
    lite.save(measured=None)
    assert person(lite).measured is None


# ---- several publications


def test_leaving_everything_leaves_the_lists_of_all_publications(make_folder: Make, subscribe: Subscribe) -> None:
    own = at_home(make_folder(TWO), subscribe)
    with own.folder.session() as session:
        session.add(List(slug="talks", title="Talks"))
    own.save(lists=["alliance-digest", "talks"])
    assert set(own.lists()) == {"alliance-digest", "talks"}
    own.press(f"{own.me}/leave", own.get(own.me))
    assert set(own.lists().values()) == {"unsubscribed"}
    own.settled()


def test_a_letter_comes_in_the_name_of_a_publication_that_they_get(make_folder: Make, subscribe: Subscribe) -> None:
    folder = make_folder(TWO)
    with folder.session() as session:
        token = keys(session, NOW).reader(0, subscribe(session, "ada@example.org", lists=("talks",)).id)
    own = Own(folder, token)
    assert own.get(own.me).status_code == 200
    own.save(address="new@example.org")
    own.press("/lost", address="ada@example.org")
    with folder.reading() as session:
        assert [(row.kind, row.publication) for row in session.scalars(select(Letter).order_by(Letter.id))] == [
            (LetterKind.change, "talks"),
            (LetterKind.link, "talks"),
        ]
    own.settled()


# ---- what we hold


def test_what_is_held_comes_as_a_file_that_nobody_keeps(lite: Own) -> None:
    answer = lite.get(f"{lite.me}/data")
    assert answer.mimetype == "application/json"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="what-we-hold.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    held = json.loads(answer.data)
    assert (held["address"], held["name"]) == (KEI, "Kei Mori")
    assert lite.token not in answer.text


def test_the_page_says_how_much_is_held(lite: Own) -> None:
    text = html.unescape(lite.get(lite.me).text)
    assert "1 subscription, with the day that it began" in text
    assert "0 deliveries" in text
    lite.save(lists=["alliance-digest", "extras"])
    text = html.unescape(lite.get(lite.me).text)
    assert "2 subscriptions, with the days that they began" in text
    assert "1 consent, with the page" in text


# ---- erasing


def test_erasing_asks_once_more_and_then_all_is_gone(own: Own) -> None:
    page = own.get(f"{own.me}/erase")
    assert title(page) == "Erase all of it?"
    assert KEI in page.text
    assert own.address == KEI
    done = own.press(f"{own.me}/erase", page)
    assert title(done) == "Erased"
    assert KEI not in done.text
    assert own.address is None
    assert own.lists() == {}
    # Their links lead nowhere now; the button pressed twice finds nobody.
    assert own.press(f"{own.me}/erase", page).status_code == 404
    assert own.get(own.me).status_code == 404
    assert own.browser.post(f"/leave/{own.token}", data={"List-Unsubscribe": "One-Click"}).status_code == 200


def test_what_is_saved_while_they_are_erased_brings_nothing_of_them_back(own: Own) -> None:
    """The form is sent; between the reading of its token and the writing of its words they are erased."""
    page = own.get(own.me)
    sent = form(page, own.me) | {"name": "Kei Again", "attribute-city": "Osaka"}
    holding, done = threading.Event(), threading.Event()
    answers: list[int] = []

    def erase() -> None:
        with own.folder.session() as session:
            who = own.person(session)
            erasure.erase(session, own.folder, who, LeftBy.admin, NOW)
            holding.set()
            # The other is let in here, and has to wait for the end of this transaction.
            done.wait(0.5)

    def save() -> None:
        holding.wait()
        answers.append(own.post(own.me, sent).status_code)
        done.set()

    threads = [threading.Thread(target=erase), threading.Thread(target=save)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert answers == [404]
    kei = person(own)
    assert (kei.address, kei.name, kei.attributes) == (None, "", {})


def test_two_who_save_at_once_both_get_an_answer_and_one_of_them_stands(own: Own) -> None:
    page = own.get(own.me)
    answers: list[int] = []
    begun = threading.Barrier(2)

    def save(name: str, lists: list[str]) -> None:
        sent = form(page, own.me) | {"name": name, "lists": lists}
        begun.wait()
        answers.append(own.post(own.me, sent).status_code)

    threads = [
        threading.Thread(target=save, args=("One", ["alliance-digest", "extras"])),
        threading.Thread(target=save, args=("Two", ["invitations", "extras"])),
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert answers == [200, 200]
    assert person(own).name in ("One", "Two")
    assert own.lists()["extras"] == "active"


# ---- a lost link


def test_the_answer_to_a_lost_link_is_the_same_whoever_asks_and_for_whom(own: Own, subscribe: Subscribe) -> None:
    with own.folder.session() as session:
        subscribe(session, "pending@example.org", state=SubscriptionState.pending)
        subscribe(session, "barred@example.org")
        suppressions.add(session, "barred@example.org", SuppressionReason.bounce, "", NOW)
    answers = {}
    for address in (KEI, "pending@example.org", "barred@example.org", "nobody@example.org"):
        answer = own.press("/lost", address=address)
        answers[address] = answer.text.replace(address, "")
        assert answer.status_code == 200
    assert len(set(answers.values())) == 1
    assert [(kind, to) for kind, to, _ in own.letters()] == [("link", KEI)]
    assert own.woken


def test_a_new_link_is_mailed_once_a_day_and_opens_their_page(lite: Own) -> None:
    for _ in range(3):
        assert title(lite.press("/lost", address="KEI@Example.ORG")) == "Look into your inbox"
    assert len(lite.letters()) == 1
    assert letter_mail.deliver(lite.folder, lite.now) == 1
    lite.later(days=1, seconds=1)
    lite.press("/lost", address=KEI)
    assert len(lite.letters()) == 2


def test_a_network_that_asks_too_often_is_told_to_wait(lite: Own) -> None:
    page = lite.get("/lost")
    for number in range(20):
        assert lite.press("/lost", page, address=f"r{number}@example.org").status_code == 200
    answer = lite.press("/lost", page, address=KEI)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "3600"
    assert lite.save(name="Mallory", address="new@example.org").status_code == 429
    assert person(lite).name == "Kei Mori"
    assert lite.letters() == []
    with lite.folder.reading() as session:
        assert len(session.scalars(select(Ask)).all()) == 20


@pytest.mark.parametrize("typed", ["", "kei", "kei@example", "a\x00@example.org", "\u202e@example.org", "x" * 5000])
def test_what_is_no_address_is_said_at_the_field(lite: Own, typed: str) -> None:
    answer = lite.press("/lost", address=typed)
    assert answer.status_code == 422
    assert "Mail can’t go to this" in html.unescape(answer.text)
    assert lite.letters() == []


def test_a_lost_links_form_of_another_site_only_fills_in_ours(lite: Own) -> None:
    for seal in ("", "forged", form(lite.get(lite.me), lite.me)["seal"]):
        answer = lite.post("/lost", {"address": KEI, "seal": seal})
        assert form(answer, "/lost")["address"] == KEI
    assert lite.letters() == []


def test_what_a_scanner_did_on_their_page_is_no_interest_of_theirs(lite: Own) -> None:
    lite.get(lite.me)
    lite.get(f"/canary/{lite.token}")
    lite.settled()
    with lite.folder.session() as session:
        visits.settle(session, NOW + dt.timedelta(hours=2))
        assert session.scalars(select(Interest)).all() == []


def test_an_attribute_that_is_the_editors_business_is_neither_shown_nor_changed_by_its_reader(
    make_folder: Callable[..., Folder], subscribe: Subscribe
) -> None:
    own = at_home(make_folder(("[web]\n", 'reader_attributes = ["city"]\n\n[web]\n')), subscribe)
    with own.folder.session() as session:
        subscribers.find(session, KEI).attributes = {"city": "Kyoto", "plan": "free"}
    page = own.get(own.me)
    assert 'name="attribute-city"' in page.text
    assert 'name="attribute-plan"' not in page.text
    own.post(own.me, {**form(page, own.me), "attribute-city": "Osaka", "attribute-plan": "pro"})
    with own.folder.reading() as session:
        assert subscribers.find(session, KEI).attributes == {"city": "Osaka", "plan": "free"}
    own.settled()


def test_an_attribute_for_readers_that_isnt_kept_is_told_with_its_line(make_folder: Callable[..., Folder]) -> None:
    with pytest.raises(ConfigMistake, match=r'line \d+: reader_attributes: "shoe" is not one of attributes'):
        make_folder(("[web]\n", 'reader_attributes = ["shoe"]\n\n[web]\n'))
