"""A Chromium of our own for as long as pictures are taken: started without a network, ended with all its children.

It is driven over a pipe by the Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/), so
nothing but Chromium itself is needed, one process serves all pictures, and it ends by itself when we do: JSON, a NUL
after each message, into its file descriptor 3 and out of its 4 (--remote-debugging-pipe).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from newsletter.errors import BrowserMistake

SECONDS = 60.0
"""How long a Chromium may live; all pictures of the sample take it a tenth of that."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
INSTALL = "Install it (Debian: apt install chromium)."

_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    # No way out: no name is found, what needs none meets a proxy that isn't there, and nothing is asked of its own.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
    "--password-store=basic",
    # The same picture on every machine that has the same fonts.
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--lang=en-US",
)
_PIECE = 1 << 20

Event = dict[str, Any]


def found() -> str | None:
    """Where Chromium, or Chrome, is on this machine; None where there is none."""
    named = next(filter(None, map(shutil.which, NAMES)), None)
    return named or next((place for place in PLACES if os.access(place, os.X_OK)), None)


@contextmanager
def started(seconds: float = SECONDS) -> Iterator[Browser]:
    """A Chromium with a profile of its own, gone when this is left. BrowserMistake where there is none, or it won't.

    After `seconds` it is ended, whatever it does; what was waited for is then a BrowserMistake.
    """
    program = found()
    if program is None:
        raise BrowserMistake("Chromium isn't on this machine", remedy=INSTALL)
    place = Path(tempfile.mkdtemp(prefix="newsletter-chromium-"))
    try:
        browser = _begun(program, place, seconds)
        try:
            yield browser
        finally:
            browser.end()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _begun(program: str, place: Path, seconds: float) -> Browser:
    """A Chromium that speaks; in its sandbox, where it can have one. Root can't, and some machines let nobody."""
    for sandbox in (False,) if os.geteuid() == 0 else (True, False):
        browser = Browser(program, place, seconds, sandbox=sandbox)
        try:
            browser.version = browser.greeted()
        except BaseException as error:
            browser.end()
            refused = isinstance(error, BrowserMistake) and "No usable sandbox" in browser.complaints()
            if not (sandbox and refused):
                raise
        else:
            return browser
    raise AssertionError("the last one raises")


class Browser:
    """One running Chromium, and the conversation with it."""

    version: str = ""
    """Its name and version: "Chromium 156"."""

    def __init__(self, program: str, place: Path, seconds: float, *, sandbox: bool) -> None:
        self._seconds = seconds
        self._complaints = place / "complaints.txt"
        self._late = False
        self._number = 0
        self._kept = bytearray()
        self.heard: Callable[[Event], None] = lambda _: None
        """Is told of every event that comes while an answer is waited for."""
        flags = [*_FLAGS, f"--user-data-dir={place / 'profile'}", *([] if sandbox else ["--no-sandbox"])]
        # The reader's own fonts stay; nothing is written beside the profile.
        environment = os.environ | {
            "TMPDIR": str(place),
            "CHROME_CONFIG_HOME": str(place),
            "BREAKPAD_DUMP_LOCATION": str(place),
            "GSETTINGS_BACKEND": "memory",
        }
        with self._complaints.open("wb") as complaints:
            try:
                self._process = subprocess.Popen(
                    # Descriptors can't be given numbers by subprocess; a shell can do that.
                    ["/bin/sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh", program, *flags],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    bufsize=0,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise BrowserMistake(f"it can't be started: {error.strerror}", where=program) from None
        # Ends whatever we wait for: the pipe closes.
        self._watch = threading.Timer(seconds, self._too_late)
        self._watch.daemon = True
        self._watch.start()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Asks for something and waits for the answer. BrowserMistake where none comes, or it is a refusal."""
        number = self.send(method, session, **parameters)
        while True:
            told = self._next()
            if told.get("id") == number:
                if "error" in told:
                    raise BrowserMistake(f"Chromium refuses {method}: {told['error'].get('message', '')}")
                answer: dict[str, Any] = told.get("result", {})
                return answer
            if "method" in told:
                self.heard(told)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Asks for something whose answer nobody waits for."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        left = memoryview(json.dumps(message).encode() + b"\0")
        try:
            while left:
                left = left[_pipe(self._process.stdin).write(left) or 0 :]
        except (OSError, ValueError):
            raise self._gone() from None
        return self._number

    def wait(self, until: Callable[[], bool]) -> None:
        """Listens to events until something is so. BrowserMistake where that doesn't come."""
        while not until():
            told = self._next()
            if "method" in told:
                self.heard(told)

    def greeted(self) -> str:
        """Waits until Chromium speaks; its name and version."""
        name, _, version = str(self.call("Browser.getVersion").get("product", "")).partition("/")
        return f"{'Chromium' if 'Chrom' in name else name} {version.partition('.')[0]}"

    def end(self) -> None:
        """Ends Chromium and its children, at once."""
        self._watch.cancel()
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                _pipe(pipe).close()
        self._process.wait()

    def complaints(self) -> str:
        """What it has written to its standard error."""
        return self._complaints.read_text(encoding="utf-8", errors="replace")

    def _next(self) -> Event:
        searched = 0
        while (end := self._kept.find(b"\0", searched)) < 0:
            searched = len(self._kept)
            try:
                piece = os.read(_pipe(self._process.stdout).fileno(), _PIECE)
            except OSError:
                piece = b""
            if not piece:
                raise self._gone()
            self._kept += piece
        message, self._kept = bytes(self._kept[:end]), self._kept[end + 1 :]
        try:
            told: Event = json.loads(message)
        except ValueError:
            raise BrowserMistake("what calls itself Chromium here doesn't speak its language", remedy=INSTALL) from None
        return told

    def _gone(self) -> BrowserMistake:
        if self._late:
            return BrowserMistake(
                f"Chromium wasn't done after {self._seconds:g} seconds, and was ended", remedy="Try again."
            )
        self._kill()
        code = self._process.wait()
        complaints = self.complaints()
        lines = [line for line in complaints.splitlines() if re.search("FATAL|sandbox|error while", line)]
        # Of a shell's or a browser's line only what it says, without time and place.
        why = re.sub(r"^\[[^\]]*\]\s*|^\S*: ?\d*: ?", "", lines[-1])[:200] if lines else _ending(code)
        return BrowserMistake(f"Chromium ended while pictures were taken: {why}", remedy="Does it start otherwise?")

    def _too_late(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        # Its session is its own: what it started is in its group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "it closed its pipe, or was killed"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "both are asked for"
    return pipe
