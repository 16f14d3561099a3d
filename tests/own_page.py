"""A reader's own pages, as a browser without scripts asks for them: for tests of what readers decide there."""

from __future__ import annotations

import datetime as dt
import html
import re
from dataclasses import dataclass, field
from typing import Any

from conftest import NOW
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from newsletter import visits
from newsletter.folder import Folder
from newsletter.models import Letter, Subscriber
from newsletter.states import HitKind, LetterKind, LetterState
from newsletter.subscribers import standings
from newsletter.tokens import keys
from newsletter.web import make

AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
HOME = "198.51.100.7"


def title(page: TestResponse) -> str:
    """The heading of a page."""
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    assert found, page.text
    return html.unescape(found[1])


def form(page: TestResponse, action: str) -> dict[str, Any]:
    """What a browser would send of a page's form, were its button pressed at once."""
    found = re.search(rf'<form[^>]*action="{action}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
    assert found, page.text
    sent: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", found[1]):
        said = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        box = said.get("type") == "checkbox"
        if box and " checked" not in tag:
            continue
        if said["name"] in ("lists", "shown"):
            sent.setdefault(said["name"], []).append(said["value"])
        else:
            sent[said["name"]] = said["value"]
    for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', found[1], re.DOTALL):
        chosen = re.search(r'value="([^"]*)"[^>]* selected', options)
        first = re.search(r'value="([^"]*)"', options)
        assert first
        sent[name] = (chosen or first)[1]
    return sent


@dataclass
class Own:
    """A reader at the pages of their own; the clock; and what the database says of them."""

    folder: Folder
    token: str
    clock: list[dt.datetime] = field(default_factory=lambda: [NOW])
    client: str = HOME
    woken: list[bool] = field(default_factory=list)
    browser: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.app = make(self.folder, lambda: self.clock[0], lambda: self.woken.append(True))
        self.browser = self.app.test_client()

    @property
    def now(self) -> dt.datetime:
        return self.clock[0]

    @property
    def me(self) -> str:
        return f"/me/{self.token}"

    def later(self, **much: float) -> None:
        self.clock[0] += dt.timedelta(**much)

    def get(self, path: str, **more: str) -> TestResponse:
        return self.browser.get(path, headers={"User-Agent": AGENT} | more, environ_base={"REMOTE_ADDR": self.client})

    def post(self, path: str, data: object) -> TestResponse:
        return self.browser.post(
            path, data=data, headers={"User-Agent": AGENT}, environ_base={"REMOTE_ADDR": self.client}
        )

    def press(self, action: str, at: TestResponse | str | None = None, **change: object) -> TestResponse:
        """Presses the button of the form that leads to `action`, on a page; `change` is what was typed, None: emptied."""
        page = self.get(at or action) if not isinstance(at, TestResponse) else at
        sent = form(page, action) | change
        return self.post(action, {name: value for name, value in sent.items() if value is not None})

    def save(self, at: TestResponse | None = None, **change: object) -> TestResponse:
        return self.press(self.me, at, **{name.replace("attribute_", "attribute-"): v for name, v in change.items()})

    def ask_for(self, address: str) -> str:
        """Asks for another address; the token of the letter, which a relay took, five minutes later."""
        assert self.save(address=address).status_code == 200
        return self.letter(LetterKind.change)

    def letter(self, kind: LetterKind) -> str:
        """The token of the last letter of a kind, which a relay has taken; five minutes later."""
        with self.folder.session() as session:
            row = session.scalars(select(Letter).where(Letter.kind == kind).order_by(Letter.id.desc())).first()
            assert row is not None, f"there is no letter {kind.value}"
            row.state, row.since = LetterState.sent, self.now
            token = keys(session, NOW).letter(row.id)
        self.later(minutes=5)
        return token

    def letters(self) -> list[tuple[str, str, str]]:
        """Kind, address and state of each."""
        with self.folder.reading() as session:
            rows = session.scalars(select(Letter).order_by(Letter.id))
            return [(row.kind.value, row.address, row.state.value) for row in rows]

    def lists(self, address: str = "kei@example.org") -> dict[str, str]:
        with self.folder.reading() as session:
            person = session.scalar(select(Subscriber).where(Subscriber.address == address))
            return {} if person is None else {row.list: row.state.value for row in standings(session, person)}

    def person(self, session: Session) -> Subscriber:
        named = keys(session, NOW).read(self.token)
        assert named
        return session.get_one(Subscriber, named[1])

    @property
    def address(self) -> str | None:
        with self.folder.reading() as session:
            return self.person(session).address

    def scanned(self, token: str) -> None:
        """A program from this reader's network followed the link in a mail that no person sees."""
        with self.folder.session() as session:
            secrets = keys(session, NOW)
            marked = visits.message_of(secrets, token)
            assert marked
            client = visits.client(secrets, self.client, AGENT)
            visits.record(session, [visits.hit(HitKind.canary, marked[0], client, self.now, issue=marked[1])])

    def settled(self) -> None:
        """What is noted beside the answers is written, before the database is taken away."""
        assert self.app.extensions["newsletter visits"].wait()
