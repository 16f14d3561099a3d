"""What holds for every page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import NOW
from flask.testing import FlaskClient

from newsletter.folder import Folder
from newsletter.web import make


@pytest.fixture
def browser(folder: Folder) -> FlaskClient:
    return make(folder, lambda: NOW).test_client()


def test_a_page_says_what_a_browser_may_do_with_it(browser: FlaskClient) -> None:
    answer = browser.get("/digest")
    assert answer.status_code == 200, answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in answer.headers


def test_a_page_that_isnt_there_is_a_plain_page(browser: FlaskClient) -> None:
    answer = browser.get("/nowhere/at/all")
    assert answer.status_code == 404
    assert "There is no page here" in answer.text
