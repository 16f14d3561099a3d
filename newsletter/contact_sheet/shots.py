"""Pictures of a mail as a browser of a given width draws it: light, dark, darkened by force, without its pictures.

The mail is shown as it was sent, addresses and all. Every request is answered here, from what is handed over, or
refused; none reaches a network. No script runs.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from newsletter.contact_sheet.chromium import Browser, Event

DENSITY = 2
"""Pixels of a picture to a CSS pixel, as on most phones and many desks."""
TALLEST = 8000
"""CSS pixels that a picture is cut off at: Chromium draws no more than 16,384 of its own at once."""

_ADDRESS = "http://mail.invalid/{}"
"""Where the mail stands for Chromium (RFC 2606: nowhere)."""
_KINDS = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif"))


@dataclass(frozen=True, slots=True)
class View:
    """A way to look at a mail."""

    name: str
    """Of its file: "forced-dark"."""
    title: str
    width: int
    """CSS pixels."""
    dark: bool = False
    """For a reader who prefers dark."""
    forced: bool = False
    """Darkened by the mail program, whatever the mail says of dark."""
    pictures: bool = True


VIEWS = (
    View("phone", "Phone", 375),
    View("desk", "Desk", 700),
    View("dark", "Dark", 700, dark=True),
    View("forced-dark", "Forced dark", 375, forced=True),
    View("pictures-off", "Pictures off", 700, pictures=False),
)


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a page."""

    content: bytes
    """PNG."""
    width: int
    height: int
    """CSS pixels, of what it shows."""
    whole: int
    """CSS pixels, of the page: it may go on."""


class Window:
    """A page in a browser that shows what it is given."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._files: Mapping[str, bytes] = {}
        self._count = 0
        self._loaded: set[str] = set()
        browser.heard = self._hear
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        self._ask("Page.enable")
        self._ask("Page.setLifecycleEventsEnabled", enabled=True)
        self._ask("Fetch.enable", patterns=[{"urlPattern": "*"}])
        self._ask("Emulation.setScriptExecutionDisabled", value=True)

    def mail(self, html: str, pictures: Mapping[str, bytes], view: View) -> Shot:
        """A mail in a view; `pictures` by their addresses. BrowserMistake where Chromium fails."""
        return self.shot(
            html, pictures if view.pictures else {}, view.width, dark=view.dark, forced=view.forced, density=DENSITY
        )

    def shot(
        self,
        html: str,
        files: Mapping[str, bytes],
        width: int,
        *,
        dark: bool = False,
        forced: bool = False,
        density: int = 1,
    ) -> Shot:
        """HTML as it is drawn, from its top; `files` by their addresses."""
        self._count += 1
        address = _ADDRESS.format(self._count)
        self._files = {**files, address: html.encode()}
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=density, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        # Over whatever the mail says of dark: Gmail on Android knows neither color-scheme nor prefers-color-scheme.
        self._ask("Emulation.setAutoDarkModeOverride", **({"enabled": True} if forced else {}))
        loader = self._ask("Page.navigate", url=address)["loaderId"]
        self._browser.wait(lambda: loader in self._loaded)
        whole = max(1, round(self._ask("Page.getLayoutMetrics")["cssContentSize"]["height"]))
        height = min(whole, TALLEST * DENSITY // density)
        drawn = self._ask(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
        )
        return Shot(base64.b64decode(drawn["data"]), width, height, whole)

    def _ask(self, method: str, **parameters: object) -> Event:
        return self._browser.call(method, self._session, **parameters)

    def _hear(self, event: Event) -> None:
        asked = event["params"]
        if event["method"] == "Page.lifecycleEvent" and asked["name"] == "load":
            self._loaded.add(asked["loaderId"])
        if event["method"] != "Fetch.requestPaused":
            return
        content = self._files.get(asked["request"]["url"].partition("#")[0])
        if content is None:
            # "Aborted", not "Failed": a page that is sent elsewhere stays where it is.
            self._browser.send("Fetch.failRequest", self._session, requestId=asked["requestId"], errorReason="Aborted")
            return
        kind = next((kind for start, kind in _KINDS if content.startswith(start)), "text/html; charset=utf-8")
        self._browser.send(
            "Fetch.fulfillRequest",
            self._session,
            requestId=asked["requestId"],
            responseCode=200,
            responseHeaders=[{"name": "Content-Type", "value": kind}],
            body=base64.b64encode(content).decode(),
        )
