"""Readers' pages as a browser shows them: Chromium walks through every page, and axe-core finds nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path

import msgspec
import pytest
from chromium import PERSON, PHONE, faults_anywhere, wider, window
from conftest import NOW
from playwright.sync_api import Browser, Page
from published import sending
from sqlalchemy import select

from newsletter import letter_mail, subscribers, suppressions
from newsletter.folder import Folder
from newsletter.models import Departure, Letter, List, Subscriber
from newsletter.states import SuppressionReason
from newsletter.tokens import keys
from newsletter.web.numbers import key
from newsletter.web.serving import Serving

TEMPLATES = Path(__file__).parent.parent / "templates"
ARCHIVE = {"_feeds.html", "_issues.html", "moved.html", "neighbours.html", "search.html", "volume.html"}
"""What tests/test_archive_files.py shows to a browser."""
SHADES = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


@dataclass
class Site:
    """The pages of a publication with an issue on its way, served, and the token of one reader's copy."""

    folder: Folder
    base: str
    token: str
    clock: list[dt.datetime]
    seen: set[str] = field(default_factory=set)
    """The templates that a browser has shown."""
    places: list[str] = field(default_factory=list)
    """Where a look was taken: what it was, and what was wrong there."""

    def later(self, **much: float) -> None:
        self.clock[0] += dt.timedelta(**much)

    def look(self, page: Page, what: str, *, checked: bool = True) -> None:
        """Looks at the page that a window shows."""
        page.wait_for_load_state()
        self.seen |= set(re.findall(r"<!-- ([\w-]+\.html) -->", page.content()))
        if checked:
            self.places += [f"{what}: {fault}" for fault in faults_anywhere(page)]

    def mailed(self, to: str) -> str:
        """The path of the link in the newest letter to an address, as a relay was given it."""
        letter_mail.deliver(self.folder, self.clock[0])
        self.later(minutes=5)
        with self.folder.reading() as session:
            newest = session.scalars(select(Letter.id).order_by(Letter.id.desc())).first()
            secrets = keys(session, NOW)
        for path in (self.folder.path / "outbox" / "new").iterdir():
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            part = mail.get_body(("plain",))
            assert part is not None
            found = re.search(re.escape(self.base) + r"(/(?:confirm|address|me)/([0-9a-f]+))", part.get_content())
            if mail["To"] == to and found and (found[1].startswith("/me/") or secrets.read_letter(found[2]) == newest):
                return found[1]
        raise AssertionError(f"no such letter to {to}")

    def one(self, address: str) -> dict[str, str]:
        with self.folder.reading() as session:
            person = subscribers.find(session, address)
            return {row.list: row.state.value for row in subscribers.standings(session, person)}


def served(folder: Folder, clock: list[dt.datetime]) -> tuple[Folder, str, Serving]:
    """The folder's pages, served where its mails link to, so that a browser can follow any link."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    folder = dataclasses.replace(folder, config=msgspec.structs.replace(folder.config, base_url=base))
    serving = Serving(folder, lambda: clock[0], port=port)
    serving.start()
    return folder, base, serving


@pytest.fixture
def site(lite_folder: Folder, subscribe: Callable[..., Subscriber]) -> Iterator[Site]:
    shutil.copytree(TEMPLATES, lite_folder.templates)
    for path in (lite_folder.templates / "web").glob("*.html"):
        # A page says by which template it was made.
        text = path.read_text(encoding="utf-8")
        before = "{% block main %}" if path.name != "_base.html" and "{% block main %}" in text else "<body>"
        path.write_text(text.replace(before, f"{before}<!-- {path.name} -->", 1), encoding="utf-8")
    clock = [NOW]
    folder, base, serving = served(lite_folder, clock)
    with folder.session() as session:
        person = subscribe(session, "kei@example.org", name="Kei Mori")
        digest = session.scalars(select(List)).one()
        digest.title, digest.description = "US-Japan Alliance Digest", "Every two weeks."
        session.add(List(slug="invitations", title="Invitations", description="Talks and workshops, once a month."))
        issue = sending(session, folder)
        token = keys(session, NOW).reader(issue.id, person.id)
    yield Site(folder, base, token, clock)
    serving.stop()


def heading(page: Page) -> str:
    return page.get_by_role("heading", level=1).inner_text()


def press(page: Page, name: str) -> None:
    """Presses a button, and waits for the page that it leads to."""
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=True).click()


def a_readers_life(site: Site, page: Page, *, checked: bool) -> None:
    """From signing up to being erased, as the pages and the letters lead."""

    def look(what: str) -> None:
        site.look(page, what, checked=checked)

    page.goto("/digest/subscribe")
    look("sign-up")
    site.later(seconds=10)
    press(page, "Subscribe")
    look("sign-up, faults")
    page.get_by_label("E-mail address").fill("noor@example.org")
    page.get_by_label("Name").fill("Noor Okafor")
    press(page, "Subscribe")
    assert heading(page) == "Look into your inbox"
    look("signed up")
    page.goto(site.mailed("noor@example.org"))
    look("confirm")
    press(page, "Subscribe")
    assert heading(page) == "You are subscribed"
    look("confirmed")

    with page.expect_navigation():
        page.get_by_role("link", name="To my page").click()
    assert heading(page) == "Your subscriptions"
    look("own page")
    own = page.url
    page.get_by_role("checkbox", name="Invitations").check()
    page.get_by_label("Name", exact=True).fill("Noor Okafor-Lindqvist-Hernandez of the Institute for Public Affairs")
    page.get_by_label("A break until").fill("2023-01-01")
    page.get_by_label("City").fill("Nara")
    press(page, "Save")
    assert page.get_by_role("alert").is_visible()
    look("own page, faults")
    page.get_by_role("link", name="Choose a day").click()
    page.get_by_label("A break until").fill("2023-12-24")
    page.get_by_label("E-mail address").fill("noor.okafor.with.a.long.name@correspondence.example.net")
    press(page, "Save")
    assert page.get_by_role("status").inner_text().startswith("Saved on November 13, 2023 at 14:5")
    look("own page, saved")
    assert site.one("noor@example.org") == {"alliance-digest": "active", "invitations": "active"}

    page.goto(site.mailed("noor.okafor.with.a.long.name@correspondence.example.net"))
    assert heading(page) == "Is this your new address?"
    look("new address")
    press(page, "Yes, send it here")
    assert heading(page) == "This is your address now"
    look("new address, done")
    page.goto(site.mailed("noor@example.org"))
    look("old address")
    press(page, "Yes, send it here")
    assert heading(page) == "Your mail comes here again"
    look("old address, done")

    page.goto(own)
    site.later(days=2)
    page.get_by_label("Language").select_option("ja")
    page.get_by_label("A break until").fill("")
    press(page, "Save")
    look("own page, once more")
    press(page, "Save")
    assert page.locator("html").get_attribute("lang") == "ja"
    look("own page, Japanese")
    page.goto(own + "?in=en")
    page.get_by_label("Language").select_option("en")
    press(page, "Save")
    press(page, "Unsubscribe from everything")
    assert "You are unsubscribed from everything" in page.get_by_role("status").inner_text()
    look("own page, left")
    page.get_by_role("checkbox", name="Alliance Digest").check()
    press(page, "Save")

    with site.folder.reading() as session:
        noor = subscribers.find(session, "noor@example.org")
        [issue] = session.scalars(select(List.id).where(List.slug == "alliance-digest"))
        token = keys(session, NOW).reader(issue, noor.id)
    page.goto(f"/leave/{token}")
    look("leave")
    press(page, "Unsubscribe")
    assert heading(page) == "You are unsubscribed"
    look("left")
    press(page, "Undo")
    look("back")
    page.goto(f"/leave/{token}")
    page.goto(f"/canary/{token}")
    page.goto(f"/leave/{token}")
    site.later(minutes=1)
    press(page, "Unsubscribe")
    look("leave, once more")
    site.later(seconds=5)
    press(page, "Unsubscribe")
    press(page, "Undo")
    look("left, once more")
    page.get_by_label("Why, if you like to say").fill("Too much to read.")
    press(page, "Send")
    look("left, reason kept")
    page.goto(f"/leave/{token}?in=ja")
    look("left, Japanese")

    page.goto("/me/cut")
    assert heading(page) == "This link leads nowhere"
    look("lost")
    page.get_by_label("E-mail address").fill("noor@example.org")
    press(page, "Send a new link")
    look("link sent")
    with site.folder.session() as session:
        suppressions.add(session, "noor@example.org", SuppressionReason.bounce, "", site.clock[0])
    page.goto(own)
    look("own page, barred")
    with site.folder.session() as session:
        suppressions.remove(session, "noor@example.org", "they wrote", site.clock[0])
    letter_mail.deliver(site.folder, site.clock[0])
    page.goto(own)
    with page.expect_navigation():
        page.get_by_role("link", name="Erase all of it").click()
    look("erase")
    site.later(minutes=20)
    press(page, "Erase all of it")
    assert heading(page) == "Erased"
    look("erased")
    page.goto(own)
    assert heading(page) == "This link leads nowhere"


def odd_corners(site: Site, page: Page, *, checked: bool) -> None:
    """The pages that a reader's life doesn't lead to."""

    def look(what: str) -> None:
        site.look(page, what, checked=checked)

    for path in ("/digest", "/nowhere", "/confirm/cut", "/digest/subscribe/snippet", "/digest/scanners", "/lost?in=ja"):
        page.goto(path)
        look(path)
    page.goto("/digest/2/21")
    look("an issue")
    with site.folder.session() as session:
        good = key(keys(session, NOW), "digest", site.clock[0] + dt.timedelta(days=1))
    page.goto(f"/numbers/{good}")
    look("numbers")
    # Somebody who asks, and reports a mail as spam before they confirm.
    page.goto("/digest/subscribe?in=ja")
    look("sign-up, Japanese")
    page.goto("/digest/subscribe")
    site.later(seconds=10)
    page.get_by_label("E-mail address").fill("ada@example.org")
    press(page, "Subscribe")
    link = site.mailed("ada@example.org")
    with site.folder.session() as session:
        suppressions.add(session, "ada@example.org", SuppressionReason.complaint, "", site.clock[0])
    page.goto(link)
    press(page, "Subscribe")
    assert heading(page) == "This address gets no mail from us"
    look("barred")
    with site.folder.session() as session:
        for row in session.scalars(select(List)):
            row.public = False
    page.goto("/digest/subscribe")
    look("nothing offered")
    with site.folder.session() as session:
        for row in session.scalars(select(List)):
            row.public = True


def several_publications(site: Site, chromium: Browser, *, checked: bool) -> None:
    """The front page, and a link that is for all of them."""
    digest = site.folder.config.publications["digest"]
    both = {"digest": digest, "talks": msgspec.structs.replace(digest, title="Talks", lists=("invitations",))}
    config = msgspec.structs.replace(site.folder.config, publications=both)
    folder, base, serving = served(dataclasses.replace(site.folder, config=config), site.clock)
    with folder.reading() as session:
        all_of_them = keys(session, NOW).reader(0, subscribers.find(session, "kei@example.org").id)
    with window(chromium, base, size=PHONE, script=checked, agent=PERSON) as page:
        for path in ("/", f"/leave/{all_of_them}", f"/me/{all_of_them}", "/lost"):
            page.goto(path)
            site.look(page, f"of several publications, {path.split('/')[1]}", checked=checked)
    serving.stop()


def work_for_a_browser(site: Site, chromium: Browser, *, checked: bool) -> None:
    """A browser that says of itself that it is a program; its script doesn't come."""
    with window(chromium, site.base, size=PHONE, script=checked) as page:
        page.route("**/look/work.*.js", lambda route: route.abort())
        page.goto("/digest/subscribe")
        site.later(seconds=10)
        page.get_by_label("E-mail address").fill("bot@example.org")
        press(page, "Subscribe")
        assert heading(page) == "One moment"
        site.look(page, "work", checked=checked)
        site.later(seconds=31)
        press(page, "Subscribe")
        assert heading(page) == "Look into your inbox"


# axe-core is a script itself: without any, only the way through is walked.
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_a_reader_comes_and_goes_by_pages_and_letters_that_all_can_use(
    site: Site, chromium: Browser, script: bool
) -> None:
    with window(chromium, site.base, size=PHONE, script=script, agent=PERSON) as page:
        a_readers_life(site, page, checked=script)
        odd_corners(site, page, checked=script)
    several_publications(site, chromium, checked=script)
    work_for_a_browser(site, chromium, checked=script)
    assert site.places == []
    every = {path.name for path in (TEMPLATES / "web").glob("*.html")} - {"_base.html"} - ARCHIVE
    assert every - site.seen == set(), "no browser has shown these"
    with site.folder.reading() as session:
        assert [row.reason for row in session.scalars(select(Departure).where(Departure.reason != ""))] == []


def by_keys(page: Page, name: str) -> None:
    """Goes by Tab to the button of that name, whose focus is to be seen, and presses Enter."""
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "() => { const it = document.activeElement; const look = getComputedStyle(it);"
            " return [it.tagName, it.innerText.trim(), look.outlineStyle, parseFloat(look.outlineWidth)] }"
        )
        if at[0] != "BODY":
            assert at[2] != "none", f"nobody sees that {at[:2]} has the focus"
            assert at[3] >= 2, at
        if at[:2] == ["BUTTON", name]:
            with page.expect_navigation():
                page.keyboard.press("Enter")
            return
    raise AssertionError(f"no Tab leads to {name}")


@SHADES
def test_signing_up_and_leaving_can_be_done_by_keys_alone(site: Site, chromium: Browser, dark: bool) -> None:
    with window(chromium, site.base, dark=dark, agent=PERSON) as page:
        page.goto("/digest/subscribe")
        site.later(seconds=10)
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "address":
                break
        page.keyboard.type("noor@example.org")
        by_keys(page, "Subscribe")
        assert heading(page) == "Look into your inbox"
        page.goto(site.mailed("noor@example.org"))
        by_keys(page, "Subscribe")
        assert site.one("noor@example.org") == {"alliance-digest": "active"}
        page.goto(f"/leave/{site.token}")
        by_keys(page, "Unsubscribe")
        assert site.one("kei@example.org") == {"alliance-digest": "unsubscribed"}
        by_keys(page, "Undo")
        assert site.one("kei@example.org") == {"alliance-digest": "active"}
        assert heading(page) == "You are subscribed again"


def test_the_first_tab_leads_past_what_stands_on_every_page(site: Site, chromium: Browser) -> None:
    with window(chromium, site.base, size=PHONE, agent=PERSON) as page:
        page.goto(f"/me/{site.token}")
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="To the content")
        assert skip.evaluate("link => link === document.activeElement")
        box = skip.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        # The key is only sent: the browser follows the link in its own time.
        with page.expect_navigation(url="**/me/*#main"):
            page.keyboard.press("Enter")


def test_a_page_at_twice_its_size_on_a_narrow_phone_loses_nothing(site: Site, chromium: Browser) -> None:
    """WCAG 2.2, 1.4.10: 320 pixels wide, nothing needs to be scrolled sideways."""
    with window(chromium, site.base, size=(320, 640), agent=PERSON) as page:
        for path in (
            f"/me/{site.token}",
            f"/me/{site.token}/erase",
            f"/leave/{site.token}",
            "/lost",
            "/digest/subscribe",
        ):
            page.goto(path)
            assert wider(page) == [], path


def test_what_can_be_pressed_is_large_enough_for_a_thumb(site: Site, chromium: Browser) -> None:
    with window(chromium, site.base, size=PHONE, agent=PERSON) as page:
        for path in (f"/me/{site.token}", f"/me/{site.token}/erase", f"/leave/{site.token}", "/lost"):
            page.goto(path)
            small = page.eval_on_selector_all(
                "main button, main a, main input:not([type=hidden]), main select",
                "all => all.map(it => [it.innerText || it.name, (it.closest('label') || it).getBoundingClientRect()])"
                ".filter(([, box]) => box.height < 24 || box.width < 24).map(([name]) => name)",
            )
            assert small == [], path
