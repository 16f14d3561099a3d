"""The page of numbers and that of scanners in a real browser: axe-core finds nothing, and no policy is broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import faults_anywhere, window
from conftest import NOW
from ledger import DAY
from playwright.sync_api import Browser
from test_numbers import filled

from newsletter import visits
from newsletter.folder import Folder
from newsletter.models import List
from newsletter.tokens import keys
from newsletter.web.numbers import key
from newsletter.web.serving import Serving


@pytest.fixture
def pages(lite_folder: Folder) -> Iterator[tuple[str, list[str]]]:
    with lite_folder.session() as session:
        session.add(List(id=1, slug="alliance-digest", title="Digest"))
        session.flush()
        filled(session)
        visits.ignore(session, "digest", "canary", NOW)
        good = key(keys(session, NOW), "digest", NOW + DAY)
    serving = Serving(lite_folder, lambda: NOW, port=0)
    serving.start()
    yield serving.address, [f"/numbers/{good}", "/digest/scanners"]
    serving.stop()


def test_all_can_use_the_numbers_and_the_page_of_scanners(pages: tuple[str, list[str]], chromium: Browser) -> None:
    base, paths = pages
    with window(chromium, base) as page:
        for path in paths:
            assert page.goto(path).status == 200
            for closed in page.locator("details").all():
                closed.locator("summary").click()
            assert faults_anywhere(page) == []
