"""Whether readers and mail programs reach the pages, asked from outside."""

from __future__ import annotations

import dataclasses
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import trustme
from conftest import NOW

from newsletter.cli import doctor_pages
from newsletter.dns_records import Finding, Level
from newsletter.folder import Folder
from newsletter.web.serving import Serving


def at(folder: Folder, url: str) -> Folder:
    return dataclasses.replace(folder, config=msgspec.structs.replace(folder.config, base_url=url))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def found(folder: Folder) -> dict[str, Finding]:
    return {finding.about: finding for finding in doctor_pages.check(folder, 10)}


@contextmanager
def another(status: int, headers: dict[str, str], *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Another web server, which answers all POSTs with `status` and `headers`, and GETs like one of our pages."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.answer(404, {"Content-Security-Policy": headers.get("policy", "frame-ancestors 'none'")})

        def do_POST(self) -> None:
            self.answer(status, headers)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_pages_that_are_served_are_found_and_let_a_mail_program_unsubscribe(lite_folder: Folder) -> None:
    port = free_port()
    folder = at(lite_folder, f"http://127.0.0.1:{port}")
    serving = Serving(folder, lambda: NOW, port=port)
    serving.start()
    levels = {about: finding.level for about, finding in found(folder).items()}
    serving.stop()
    assert levels == {"pages": Level.ok, "one-click": Level.ok}


def test_where_nothing_answers_it_says_what_to_start(lite_folder: Folder) -> None:
    finding = found(at(lite_folder, f"http://127.0.0.1:{free_port()}"))["pages"]
    assert finding.level is Level.wrong
    assert "nothing answers" in finding.what
    assert "newsletter run" in finding.to_do


def test_somebody_elses_site_is_told_from_ours(lite_folder: Folder) -> None:
    with another(200, {"policy": "default-src *"}) as url:
        finding = found(at(lite_folder, url))["pages"]
    assert finding.level is Level.wrong
    assert "isn't our pages" in finding.what


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        pytest.param(
            301, {"Location": "https://www.example.org/"}, "sent on to https://www.example.org/", id="redirect"
        ),
        pytest.param(403, {}, "answered with 403", id="refused"),
        pytest.param(200, {"Set-Cookie": "a=b"}, "and a cookie", id="cookie"),
    ],
)
def test_what_breaks_one_click_is_named(lite_folder: Folder, status: int, headers: dict[str, str], words: str) -> None:
    with another(status, headers) as url:
        finding = found(at(lite_folder, url))["one-click"]
    assert finding.level is Level.wrong
    assert words in finding.what


def test_a_certificate_that_mail_programs_wouldnt_take_is_wrong(lite_folder: Folder) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with another(200, {}, tls=context) as url:
        finding = found(at(lite_folder, url))["pages"]
    assert finding.level is Level.wrong
    assert "certificate" in finding.what
