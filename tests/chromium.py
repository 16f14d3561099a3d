"""A real browser for tests: Debian's Chromium, driven by playwright, and axe-core to ask whether all can use a page.

The fixture `chromium` in conftest.py starts it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Browser, Page

PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
"""What a person's browser says that it is."""
PHONE, DESK = (375, 812), (1280, 900)
"""Width and height in CSS pixels."""


@contextmanager
def window(
    browser: Browser,
    base: str,
    *,
    size: tuple[int, int] = DESK,
    dark: bool = False,
    script: bool = True,
    language: str = "en-US",
    agent: str | None = None,
) -> Iterator[Page]:
    """A window of a reader's browser. Any address outside `base` is refused, as is anything that a page's own policy
    refuses; both fail the test. `agent` is its User-Agent, where its own, that says of itself that it is a program,
    won't do.
    """
    context = browser.new_context(
        base_url=base,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        locale=language,
        user_agent=agent,
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("request", lambda asked: None if asked.url.startswith(base) else complaints.append(f"left for {asked.url}"))
    yield page
    assert not context.cookies(), "a page has set a cookie"
    context.close()
    assert not complaints, complaints


@functools.cache
def _axe() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def faults(page: Page, *only: str) -> list[str]:
    """What axe-core finds wrong with a page, and whether it can be scrolled sideways; nothing is what it should be.

    `only` are the rules of axe-core to ask, where not all of them.
    """
    if not page.evaluate("typeof axe === 'object'"):
        # By the debugger, past the page's own policy, which lets no script in.
        page.evaluate(_axe())
    how = {"resultTypes": ["violations"]} | ({"runOnly": list(only)} if only else {})
    found = page.evaluate("how => axe.run(document, how)", how)
    told = [
        f"{each['id']} ({each['impact']}): {each['help']}: {node['html'][:120]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
    return told + wider(page)


def wider(page: Page) -> list[str]:
    """By how much a page can be scrolled sideways, where it can."""
    wide = page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
    return [f"it is {wide} pixels wider than the window"] if wide > 0 else []


def faults_anywhere(page: Page) -> list[str]:
    """What is wrong with a page on a phone or on a desk, in the light or in the dark."""
    found, usual = [], page.viewport_size
    for name, size in (("phone", PHONE), ("desk", DESK)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        told = faults(page)
        page.emulate_media(color_scheme="dark")
        # Nothing but colours differs in the dark.
        told += faults(page, "color-contrast")
        page.emulate_media(color_scheme="light")
        found += [f"{name}: {fault}" for fault in told]
    if usual:
        page.set_viewport_size(usual)
    return found
