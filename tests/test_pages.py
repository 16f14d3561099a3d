"""Readers' pages as a browser shows them: Chromium walks through every page, and axe-core finds nothing."""

from __future__ import annotations

import dataclasses
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from chromium import DESK, PHONE, faults, window
from conftest import NOW
from playwright.sync_api import Browser
from published import sending

from newsletter.folder import Folder
from newsletter.models import Subscriber
from newsletter.tokens import keys
from newsletter.web.serving import Serving

TEMPLATES = Path(__file__).parent.parent / "templates"
SIZES = pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
SHADES = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


@dataclass
class Site:
    """The pages of a publication with an issue on its way, served, and the token of one reader's copy."""

    folder: Folder
    base: str
    token: str


@pytest.fixture
def site(lite_folder: Folder, subscribe: Callable[..., Subscriber]) -> Iterator[Site]:
    shutil.copytree(TEMPLATES, lite_folder.templates)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # What mails link to is what is served, so that a browser can follow any link.
    base = f"http://127.0.0.1:{port}"
    folder = dataclasses.replace(lite_folder, config=msgspec.structs.replace(lite_folder.config, base_url=base))
    with folder.session() as session:
        person = subscribe(session, "kei@example.org", name="Kei Mori")
        issue = sending(session, folder)
        token = keys(session, NOW).reader(issue.id, person.id)
    serving = Serving(folder, lambda: NOW, port=port)
    serving.start()
    yield Site(folder, base, token)
    serving.stop()


@SIZES
@SHADES
def test_all_can_use_what_is_there_to_read(
    site: Site,
    chromium: Browser,
    size: tuple[int, int],
    dark: bool,
) -> None:
    with window(chromium, site.base, size=size, dark=dark) as page:
        for path in ("/digest", "/nowhere", "/digest/2/21"):
            page.goto(path)
            assert faults(page) == [], path
