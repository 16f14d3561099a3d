"""The contact sheet of a preview: what its pictures show, what a mail can't do in them, and what is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from newsletter.cli import newsletter
from newsletter.contact_sheet import STEPS, Copy, chromium, contact_sheet
from newsletter.contact_sheet.inbox_lines import (
    APPLE_DESK_PREHEADER,
    APPLE_PHONE_PREHEADER,
    GMAIL_DESK_LINE,
    GMAIL_PHONE_SUBJECT,
    InboxLine,
    beginning,
    inbox_lines,
    shown,
)
from newsletter.contact_sheet.layout import TALLEST, WIDTH, laid_out
from newsletter.contact_sheet.paper import MOST, drawn
from newsletter.contact_sheet.shots import DENSITY, VIEWS, Shot, Window
from newsletter.contact_sheet.shots import TALLEST as TALLEST_SHOT
from newsletter.errors import BrowserMistake
from newsletter.folder import Folder
from newsletter.render.text import columns

TOP = Path(__file__).parent.parent
MAGENTA, GREEN, NAVY = (255, 0, 255), (0, 160, 0), (0, 0, 96)
PICTURE = "https://digest.example.org/pictures/magenta.png"

needs_chromium = pytest.mark.skipif(
    chromium.found() is None, reason="there is no Chromium on this machine; Debian has it by that name"
)

MAIL = f"""<!doctype html><html lang="en"><head><title>A mail</title>
<style>:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}
@media (prefers-color-scheme: dark) {{ body {{ background: rgb(0, 0, 96) !important; color: white !important; }} }}
</style></head><body style="margin: 0; background: rgb(255, 255, 255)">
<div style="display: none">Said before all else</div>
<img src="{PICTURE}" alt="A field" width="100%" height="300" style="display: block">
<p>One story.</p><div style="height: 900px"></div></body></html>"""


def png(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(out, "PNG")
    return out.getvalue()


def paper(pages: int = 1) -> bytes:
    out = io.BytesIO()
    sheets = [Image.new("RGB", (612, 792), GREEN) for _ in range(pages)]
    sheets[0].save(out, "PDF", save_all=True, append_images=sheets[1:])
    return out.getvalue()


COPY = Copy(
    title="US-Japan Alliance Digest",
    name="Vol 2 No 21",
    date=dt.date(2023, 11, 14),
    language="en",
    direction="ltr",
    sender="US-Japan Alliance Digest",
    subject="US-Japan Alliance Digest 2.21: Toyota puts another $8 billion into US batteries",
    html=MAIL,
    text="US-JAPAN ALLIANCE DIGEST\n\nOne story.\n",
    pdf=paper(),
    size=48_000,
    pictures={PICTURE: png(MAGENTA)},
)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def count(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return sum(number for number, each in image.getcolors(1 << 24) or () if each == colour)


def near(one: tuple[int, ...], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 8 for a, b in zip(one, other, strict=True))


def runs(image: Image.Image, row: int, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Where a colour stands in a row of pixels: from, and how wide."""
    found: list[tuple[int, int]] = []
    begun = None
    for at in range(image.width + 1):
        same = at < image.width and near(image.getpixel((at, row)), colour)
        if same and begun is None:
            begun = at
        elif not same and begun is not None:
            found.append((begun, at - begun))
            begun = None
    return [run for run in found if run[1] > 50]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[int, str]]]:
    """Gives the processes that this test has begun and that are still there; their temporary files are in one folder."""
    mark = f"NEWSLETTER_TEST={uuid4().hex}"
    name, _, value = mark.partition("=")
    monkeypatch.setenv(name, value)
    # A short path: a socket of Chromium's lies in it, and a socket's path may have 107 octets.
    place = tempfile.mkdtemp(prefix="v")
    monkeypatch.setattr(tempfile, "tempdir", place)

    def left() -> dict[int, str]:
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    yield left
    assert not any(Path(place).iterdir()), "something is left in the temporary folder"
    shutil.rmtree(place)


def gone(left: Callable[[], dict[int, str]]) -> bool:
    """Whether all processes end; a killed one may take a moment to."""
    for number in left():
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(number)
            ended, _, _ = select.select([handle], [], [], 20)
            os.close(handle)
            if not ended:
                return False
    return not left()


def impostor(place: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program of the name of Chromium, and no other."""
    program = place / "bin" / "chromium"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


# What the pictures show


@needs_chromium
def test_every_view_and_every_page_is_a_picture_and_stands_on_the_sheet() -> None:
    taken: list[int] = []
    sheet = contact_sheet(COPY, taken.append)
    assert sum(taken) == STEPS
    assert list(sheet.shots) == ["phone", "desk", "dark", "forced-dark", "pictures-off", "pdf-1"]
    for view in VIEWS:
        assert opened(sheet.shots[view.name]).width == view.width * DENSITY
    whole = opened(sheet.content)
    assert whole.width == WIDTH
    # The picture spans each mail from edge to edge, so its colour says where the mails are, and how wide.
    rows = [row for row in range(0, whole.height, 20) if runs(whole, row, MAGENTA)]
    assert len(rows) >= 5
    found = runs(whole, rows[len(rows) // 2], MAGENTA)
    assert [round(width / 0.56 / 5) * 5 for _, width in found] == [375, 375, 700, 700]
    # The page of the PDF, which is green, begins under the desk, below all of the mails there, and is larger than they.
    below = [row for row in range(0, whole.height, 20) if runs(whole, row, GREEN)]
    assert len(below) >= 10
    assert below[0] > rows[0] + 1200 * 0.56
    (at, width), *more = runs(whole, below[len(below) // 2], GREEN)
    assert not more
    assert at == pytest.approx(found[2][0], abs=2)
    assert width > 600


@needs_chromium
def test_no_line_of_the_text_is_cut_at_its_side() -> None:
    # A full block is drawn without gaps by any typeface, so its ink says how much of the line is there.
    def ink(text: str) -> int:
        shots = {view: Shot(png(MAGENTA), view.width, 400, 400) for view in VIEWS}
        page, files = laid_out(dataclasses.replace(COPY, text=text), shots, None, "Chromium")
        with chromium.started() as browser:
            sheet = opened(Window(browser).shot(page, files, WIDTH).content)
        return count(sheet.crop((WIDTH - 64 - 476, 0, WIDTH, sheet.height)), (21, 25, 31))

    none, short, long = (ink("\u2588" * length + "\n") for length in (1, 40, 160))
    assert long - none == pytest.approx((short - none) * 159 / 39, rel=0.05)


@needs_chromium
def test_dark_is_as_the_mail_asks_for_it_and_forced_dark_is_not() -> None:
    with chromium.started() as browser:
        window = Window(browser)
        phone, desk, dark, forced, off = (opened(window.mail(MAIL, COPY.pictures, view).content) for view in VIEWS)
    low = 1000 * DENSITY
    assert phone.getpixel((10, low)) == (255, 255, 255)
    assert desk.getpixel((10, low)) == (255, 255, 255)
    assert dark.getpixel((10, low)) == NAVY
    assert max(forced.getpixel((10, low))) < 64
    assert forced.getpixel((10, low)) != NAVY
    assert off.getpixel((10, low)) == (255, 255, 255)
    for shown_with in (phone, desk, dark, forced):
        assert shown_with.getpixel((40, 300)) == MAGENTA
    assert count(off, MAGENTA) == 0
    # Its alt text stands there instead.
    assert off.crop((0, 0, 300, 100)).convert("L").getextrema()[0] < 100


@needs_chromium
@pytest.mark.parametrize("scheme", ["light dark", "only light", "dark"])
def test_no_mail_can_ask_to_be_spared_from_forced_dark(scheme: str) -> None:
    mail = MAIL.replace("color-scheme: light dark;", f"color-scheme: {scheme};", 1)
    assert mail != MAIL or scheme == "light dark"
    with chromium.started() as browser:
        forced = opened(Window(browser).mail(mail, COPY.pictures, VIEWS[3]).content)
    assert max(forced.getpixel((10, 1000 * DENSITY))) < 64
    assert forced.getpixel((10, 1000 * DENSITY)) != NAVY


@needs_chromium
def test_the_same_issue_is_the_same_picture_to_the_byte() -> None:
    one, two = (contact_sheet(COPY) for _ in range(2))
    assert one.content == two.content
    assert one.shots == two.shots


@needs_chromium
def test_a_mail_longer_than_any_picture_is_cut_off_and_the_sheet_says_how_much_follows() -> None:
    long = dataclasses.replace(COPY, html=MAIL.replace("900px", "30000px"), text="line\n" * 900)
    shots: dict[str, Shot] = {}
    with chromium.started() as browser:
        window = Window(browser)
        shots = {view: window.mail(long.html, long.pictures, view) for view in VIEWS[:1]}
        shot = shots[VIEWS[0]]
        assert opened(shot.content).height == TALLEST_SHOT * DENSITY
        assert shot.whole > 30_000
        page, files = laid_out(long, shots, drawn(COPY.pdf), browser.version)
        sheet = opened(window.shot(page, files, WIDTH).content)
    follow = shot.whole - round(TALLEST / 0.56)
    assert f"{follow:,} of {shot.whole:,} px follow: pictures/phone.png" in page
    assert "lines follow: text.txt" in page
    assert TALLEST < sheet.height < TALLEST + 1500


def test_a_pdf_of_many_pages_is_shown_in_part_and_said_to_be() -> None:
    made = drawn(paper(MOST + 4))
    assert (len(made.pages), made.whole) == (MOST, MOST + 4)
    shots = {view: Shot(png(MAGENTA), view.width, 2000, 2000) for view in VIEWS}
    page, files = laid_out(COPY, shots, made, "Chromium")
    assert "12 pages, 4 of them not shown: issue.pdf" in page
    assert len(files) == len(VIEWS) + MOST


def test_an_issue_without_a_pdf_has_a_sheet_that_says_so() -> None:
    shots = {view: Shot(png(MAGENTA), view.width, 2000, 2000) for view in VIEWS}
    page, _ = laid_out(dataclasses.replace(COPY, pdf=None), shots, None, "Chromium")
    assert "There is none." in page


def test_nothing_of_a_mail_is_code_on_the_sheet() -> None:
    shots = {view: Shot(png(MAGENTA), view.width, 2000, 2000) for view in VIEWS}
    sly = "<img src=x onerror=alert(1)>{{ 7*7 }}"
    page, _ = laid_out(dataclasses.replace(COPY, title=sly, subject=sly, sender=sly, text=sly), shots, None, sly)
    assert "<img src=x" not in page
    assert "49" not in page.partition("</style>")[2]


# What a mail can't do


class Counter:
    """A server on this machine that counts who comes, whatever they want."""

    def __enter__(self) -> Self:
        self.came: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                said = b""
                with contextlib.suppress(OSError):
                    said = connection.recv(1000)
                self.came.append(said)

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


HOSTILE = """<!doctype html><html><head>
<meta http-equiv="refresh" content="0;url=http://127.0.0.1:{port}/refresh">
<link rel="preconnect" href="http://127.0.0.1:{port}"><link rel="dns-prefetch" href="//localhost:{port}">
<link rel="preconnect" href="http://localhost:{port}">
<link rel="prefetch" href="http://127.0.0.1:{port}/prefetch"><link rel="preload" as="image" href="http://127.0.0.1:{port}/p">
<link rel="icon" href="http://127.0.0.1:{port}/icon"><link rel="stylesheet" href="http://127.0.0.1:{port}/css">
<style>@import "http://127.0.0.1:{port}/import"; @font-face {{ font-family: f; src: url(http://127.0.0.1:{port}/font) }}
body {{ margin: 0; background: rgb(0, 160, 0) url(http://localhost:{port}/ground); font-family: f }}</style>
<script src="http://127.0.0.1:{port}/script"></script>
<script>fetch("http://127.0.0.1:{port}/fetch"); new WebSocket("ws://127.0.0.1:{port}/"); document.write("<style>body{{background:red}}</style>")</script>
</head><body background="http://127.0.0.1:{port}/background">
<img src="http://127.0.0.1:{port}/img" onerror="document.body.style.background='red'">
<img srcset="http://127.0.0.1:{port}/srcset 2x"><video src="http://127.0.0.1:{port}/video" poster="http://127.0.0.1:{port}/poster"></video>
<iframe src="http://127.0.0.1:{port}/iframe"></iframe><iframe srcdoc="<img src='http://localhost:{port}/doc'>"></iframe>
<object data="http://127.0.0.1:{port}/object"></object><embed src="http://127.0.0.1:{port}/embed">
<svg><image href="http://127.0.0.1:{port}/svg"/></svg><input type="image" src="http://127.0.0.1:{port}/input">
<img src="file:///etc/passwd"><iframe src="file:///etc/passwd"></iframe><p style="height: 900px">Words</p></body></html>"""


@needs_chromium
def test_a_hostile_mail_fetches_nothing_runs_nothing_and_goes_nowhere() -> None:
    with Counter() as server:
        with chromium.started() as browser:
            window = Window(browser)
            shots = [opened(window.mail(HOSTILE.format(port=server.port), {}, view).content) for view in VIEWS]
            # The next picture is of the next mail: nothing has led the window away.
            after = opened(window.mail(MAIL, COPY.pictures, VIEWS[0]).content)
        assert server.came == []
        for view, shot in zip(VIEWS, shots, strict=True):
            assert view.forced or near(shot.getpixel((shot.width - 4, shot.height - 4)), GREEN)
            assert count(shot, (255, 0, 0)) == 0
        assert after.getpixel((40, 300)) == MAGENTA
        # The server does count.
        with socket.create_connection(("127.0.0.1", server.port)) as visit:
            visit.sendall(b"GET / HTTP/1.0\r\n\r\n")
            visit.recv(10)
    assert len(server.came) == 1


# What is left, and what is said


@needs_chromium
def test_nothing_is_left_of_chromium_when_the_pictures_are_taken(marked: Callable[[], dict[int, str]]) -> None:
    with chromium.started() as browser:
        Window(browser).mail(MAIL, COPY.pictures, VIEWS[0])
        assert len(marked()) > 2
    assert gone(marked), marked()


@needs_chromium
def test_a_chromium_that_crashes_is_a_sentence_and_nothing_is_left_of_it(
    marked: Callable[[], dict[int, str]],
) -> None:
    def crash(_: int) -> None:
        os.kill(min(number for number, line in marked().items() if "--type=" not in line), signal.SIGSEGV)

    with pytest.raises(BrowserMistake, match="Chromium ended while pictures were taken"):
        contact_sheet(COPY, crash)
    assert gone(marked), marked()


@needs_chromium
def test_a_chromium_that_hangs_is_ended_with_its_children_and_that_is_said(
    marked: Callable[[], dict[int, str]],
) -> None:
    def stop(_: int) -> None:
        for number, line in marked().items():
            # The one that looks after crashes belongs to nobody, and ends by itself when the others have.
            if "crashpad" not in line:
                os.kill(number, signal.SIGSTOP)

    with pytest.raises(BrowserMistake, match="wasn't done after 8 seconds, and was ended"):
        contact_sheet(COPY, stop, seconds=8)
    assert gone(marked), marked()


@needs_chromium
def test_chromium_ends_when_the_program_that_began_it_is_killed(marked: Callable[[], dict[int, str]]) -> None:
    script = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from newsletter.contact_sheet import chromium\n"
        "with chromium.started() as browser: print('there', flush=True); sys.stdin.read()"
    )
    place = tempfile.mkdtemp()
    with subprocess.Popen(
        [sys.executable, "-c", script, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TOP
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"there\n"
        program.kill()
    assert gone(marked), marked()
    shutil.rmtree(place)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("tail -f /dev/null & wait", "wasn't done after 1 seconds"),
        ("exit 3", "Chromium ended while pictures were taken: exit code 3"),
        ("kill -ABRT $$", "Chromium ended while pictures were taken: signal SIGABRT"),
        ("echo 'error while loading shared libraries: libnss3.so' >&2; exit 127", "libnss3.so"),
        ("printf 'hello\\0' >&4; exec tail -f /dev/null", "doesn't speak its language"),
    ],
    ids=["hangs", "ends", "dies", "lacks a library", "is something else"],
)
def test_a_program_that_is_not_what_it_is_called_is_a_sentence(
    script: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    marked: Callable[[], dict[int, str]],
) -> None:
    impostor(tmp_path, monkeypatch, f"PATH=/usr/bin:/bin; {script}")
    with pytest.raises(BrowserMistake, match=said):
        contact_sheet(COPY, seconds=1)
    assert gone(marked), marked()


@pytest.fixture
def place(lite_folder: Folder) -> Path:
    """A folder with two drafts, one of them with a picture."""
    folder = lite_folder.path
    shutil.copytree(TOP / "templates", folder / "templates")
    Image.new("RGB", (1280, 640), MAGENTA).save(folder / "field.png")
    for i in range(2):
        picture = "picture: field.png\nalt: A field\ncredit: Nobody\n" if i == 0 else ""
        (folder / f"{i}.md").write_text(
            f"---\nheadline: Headline {i}\nsection: Economy\n{picture}---\nA story, number {i}.\n"
        )
        type_in(folder, "draft", "add", str(folder / f"{i}.md"), *AT)
    return folder


AT = ("--at", "2023-11-13T17:00:00-05:00")


def type_in(folder: Path, *words: str) -> str:
    result = CliRunner().invoke(newsletter, ["-C", str(folder), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@needs_chromium
def test_a_preview_has_its_contact_sheet_beside_it(place: Path) -> None:
    output = type_in(place, "issue", "preview", "--output", str(place / "look"), *AT)
    assert f"{place / 'look' / 'contact-sheet.png'}\n" in output
    assert "pictures: phone, desk, dark, forced-dark, pictures-off and pdf-1" in output
    phone, off = (
        opened((place / "look" / "pictures" / name).read_bytes()) for name in ("phone.png", "pictures-off.png")
    )
    assert count(phone, MAGENTA) > 10_000
    assert count(off, MAGENTA) == 0
    assert opened((place / "look" / "contact-sheet.png").read_bytes()).width == WIDTH
    # A look without pictures leaves none of an earlier one, which would show another issue; what isn't ours stays.
    (place / "look" / "pictures" / "mine.png").write_bytes(b"mine")
    type_in(place, "issue", "preview", "--no-pictures", "--output", str(place / "look"), *AT)
    assert not (place / "look" / "contact-sheet.png").exists()
    assert [path.name for path in (place / "look" / "pictures").iterdir()] == ["mine.png"]


@needs_chromium
def test_a_preview_shows_the_logo_and_the_portrait_though_no_issue_has_them_yet(place: Path) -> None:
    Image.new("RGB", (400, 100), NAVY).save(place / "logo.png")
    Image.new("RGB", (300, 500), GREEN).save(place / "me.png")
    with (place / "config.toml").open("a") as config:
        config.write('[publications.digest.theme]\nlogo = "logo.png"\nportrait = "me.png"\nsigned = "Ada Example"\n')
    text = (place / "config.toml").read_text()
    (place / "config.toml").write_text(text.replace("min_stories = 2", 'min_stories = 2\ndesign = "letter"'))
    type_in(place, "issue", "preview", "--output", str(place / "look"), *AT)
    for name in ("index.html", "page.html"):
        shown = re.findall(r'<img[^>]* src="([^"]+)"', (place / "look" / name).read_text())
        assert len(shown) == 3
        assert all((place / "look" / each).is_file() for each in shown)
    desk = opened((place / "look" / "pictures" / "desk.png").read_bytes())
    for colour in (NAVY, GREEN, MAGENTA):
        assert count(desk, colour) > 5000


def test_without_chromium_the_rest_is_written_and_it_is_said_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(place / "nothing"))
    if chromium.found() is not None:
        pytest.skip("Chromium is where no PATH leads past it")
    output = type_in(place, "issue", "preview", "--output", str(place / "look"), *AT)
    assert (
        "There is no contact sheet: Chromium isn't on this machine. Install it (Debian: apt install chromium).\n"
        in output
    )
    assert {"index.html", "text.txt", "page.html", "message.eml", "issue.pdf"} <= {
        path.name for path in (place / "look").iterdir()
    }


# What inboxes show


def line(program: str, device: str, lines: tuple[InboxLine, ...]) -> InboxLine:
    return next(each for each in lines if (each.program, each.device) == (program, device))


def mail(preheader: str, filler: int = 0) -> str:
    hidden = f'<div style="display:none">{preheader}{"&#847;&#8199;" * filler}</div>'
    return f"<html><head><title>T</title><style>p {{}}</style></head><body><!-- c -->{hidden}<h1>Masthead</h1></body></html>"


def test_a_subject_is_cut_at_each_inboxs_width_and_japanese_counts_double() -> None:
    for subject in ("x" * 200, "日" * 200):
        for each in inbox_lines("Sender", subject, mail("Before")):
            assert each.subject.endswith("…")
        assert columns(line("Gmail", "phone", inbox_lines("S", subject, mail(""))).subject) in (
            GMAIL_PHONE_SUBJECT,
            GMAIL_PHONE_SUBJECT - 1,
        )


def test_gmail_at_a_desk_gives_the_preheader_what_the_subject_leaves() -> None:
    short, long = (line("Gmail", "desk", inbox_lines("S", "x" * n, mail("y" * 300))) for n in (10, 60))
    for each in (short, long):
        assert columns(each.subject) + 3 + columns(each.preheader) == GMAIL_DESK_LINE


def test_filler_is_not_shown_as_a_cut_and_too_little_of_it_lets_the_masthead_in() -> None:
    said = beginning(mail("Before all else", filler=200))
    assert shown(said, APPLE_PHONE_PREHEADER) == "Before all else"
    assert shown(said, APPLE_DESK_PREHEADER) == "Before all else"
    little = shown(beginning(mail("Before all else", filler=20)), APPLE_PHONE_PREHEADER)
    assert little.startswith("Before all else")
    assert little.endswith("Masthead")
    assert shown(beginning(mail("")), APPLE_PHONE_PREHEADER) == "Masthead"


def test_a_preheader_longer_than_the_inbox_is_cut() -> None:
    assert shown(beginning(mail("word " * 60)), APPLE_PHONE_PREHEADER).endswith("…")


def test_what_a_mail_says_first_leaves_out_what_is_not_said() -> None:
    html = "<html><head><title>No</title></head><body><!--[if mso]><p>No</p><![endif]--><script>no</script>A<b>B</b><p>C</p>D&shy;E</body></html>"
    assert beginning(html) == "AB C DE"


@given(st.text(), st.integers(0, 200))
def test_no_inbox_shows_more_columns_than_it_has(text: str, width: int) -> None:
    said = " ".join(text.split())
    assert columns(shown(said, width)) <= max(width, 0)
