"""Links followed over the network: which are dead, and that nobody who writes a link turns us against our own network."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from preflight_sample import found, known, saying

from newsletter import preflight
from newsletter.preflight import links
from newsletter.preflight.network import AGENT, Limits, follow, public, resolved

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
"""An address that the tests allow, and one that they don't: the network behind the server."""


@dataclass
class Site:
    """A web server that writes down what it was asked, and by whom it was connected to."""

    server: ThreadingHTTPServer
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    connections: Counter[str] = field(default_factory=Counter)
    written: int = 0

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def url(self, path: str, host: str = HERE) -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.asked]


def answering(site_of: Callable[[], Site]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            site_of().connections[str(self.request.getsockname()[0])] += 1
            super().setup()

        def answer(self) -> None:
            site = site_of()
            site.asked.append((self.command, self.path, dict(self.headers)))
            path = self.path
            if path.startswith("/to?"):
                self.send_response(302)
                self.send_header("Location", path[4:])
                self.end_headers()
            elif path == "/circle":
                self.send_response(301)
                self.send_header("Location", "/circle")
                self.end_headers()
            elif path.startswith("/get-only/"):
                self.send_error(405 if self.command == "HEAD" else 200)
            elif path == "/huge":
                self.send_response(404 if self.command == "HEAD" else 200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while self.command == "GET" and site.written < 200_000_000:
                        site.written += self.wfile.write(b"x" * 65536)
            elif path == "/many-headers":
                with contextlib.suppress(OSError):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    for number in range(100_000):
                        self.wfile.write(b"X-%d: y\r\n" % number)
            else:
                self.send_response(int(path.rpartition("/")[2].partition("?")[0]))
                self.end_headers()

        do_GET = do_HEAD = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    """It listens on all loopback addresses, as what is private does."""
    made: list[Site] = []
    server = ThreadingHTTPServer(("0.0.0.0", 0), answering(lambda: made[0]))
    server.daemon_threads = True
    made.append(Site(server))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made[0]
    server.shutdown()
    server.server_close()
    thread.join()


def allowing(*ports: int, **more: object) -> Limits:
    """As in production, but that one loopback address counts as public, and these ports as the web's."""

    def may(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return str(address) == HERE or public(address)

    return replace(Limits(each=5, whole=8, ports=frozenset(ports), may=may), **more)  # type: ignore[arg-type]


def one(url: str, limits: Limits) -> tuple[bool | None, str]:
    answer = follow([url], limits)[url]
    return answer.alive, answer.said


# ---- what is dead, and what isn't


@pytest.mark.parametrize(
    ("path", "alive", "asked"),
    [
        ("/200", True, ["HEAD /200"]),
        ("/204", True, ["HEAD /204"]),
        ("/404", False, ["HEAD /404", "GET /404"]),
        ("/410", False, ["HEAD /410", "GET /410"]),
        ("/get-only/200", True, ["HEAD /get-only/200", "GET /get-only/200"]),
        ("/403", None, ["HEAD /403", "GET /403"]),
        ("/429", None, ["HEAD /429"]),
        ("/500", None, ["HEAD /500", "GET /500"]),
        ("/503", None, ["HEAD /503", "GET /503"]),
    ],
)
def test_only_what_a_site_says_clearly_is_dead(site: Site, path: str, alive: bool | None, asked: list[str]) -> None:
    assert one(site.url(path), allowing(site.port))[0] is alive
    assert site.paths() == asked


def test_a_redirect_is_followed_and_a_circle_is_dead(site: Site) -> None:
    limits = allowing(site.port)
    assert one(site.url("/to?/200"), limits)[0] is True
    assert one(site.url(f"/to?{site.url('/404')}"), limits)[0] is False
    assert one(site.url(f"/to?{site.url('/to?/200')}"), limits)[0] is True
    site.asked.clear()
    assert one(site.url("/circle"), limits) == (False, "it leads from one address to the next, more than 5 times")
    assert len(site.asked) == limits.redirects + 1


def test_nothing_is_told_to_a_site_but_that_it_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{ELSEWHERE}:{site.port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://{ELSEWHERE}:{site.port}")
    one(site.url("/a b/ü/200?x=1&y=é#part"), allowing(site.port))
    ((method, path, headers),) = site.asked
    assert (method, path) == ("HEAD", "/a%20b/%C3%BC/200?x=1&y=%C3%A9")
    assert headers == {
        "Host": f"{HERE}:{site.port}",
        "User-Agent": AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    assert set(site.connections) == {HERE}


def test_a_name_that_there_is_none_of_is_dead_and_one_that_cant_be_looked_up_now_isnt() -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    def later(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    assert one("https://gone.example.com/", Limits(resolve=nobody)) == (False, "there is no such site")
    assert one("https://gone.example.com/", Limits(resolve=later)) == (None, "its name can't be looked up now")


def test_on_a_machine_without_a_network_no_link_is_called_dead() -> None:
    def offline(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    made = follow(["https://a.example.com/", "https://b.example.com/"], Limits(resolve=offline))
    assert [answer.alive for answer in made.values()] == [None, None]
    made = follow(["https://a.example.com/1", "https://a.example.com/2"], Limits(resolve=offline))
    assert [answer.alive for answer in made.values()] == [False, False]


def test_where_nothing_listens_it_is_dead() -> None:
    with socket.create_server((HERE, 0)) as held:
        port = held.getsockname()[1]
    assert one(f"http://{HERE}:{port}/", allowing(port)) == (False, "nothing answers there")


# ---- certificates


@pytest.fixture
def secure() -> Iterator[tuple[int, trustme.CA]]:
    """A server with TLS for site.example.com alone, and who vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("site.example.com").configure_cert(context)
    made: list[Site] = []
    server = ThreadingHTTPServer((HERE, 0), answering(lambda: made[0]))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    made.append(Site(server))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made[0].port, authority
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_is_for_the_name_in_the_link_though_the_address_is_pinned(secure: tuple[int, trustme.CA]) -> None:
    port, authority = secure
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    limits = allowing(port, tls=trusting, resolve=lambda host, port: [HERE])
    assert one(f"https://site.example.com:{port}/200", limits) == (True, "it works (200)")
    alive, said = one(f"https://other.example.com:{port}/200", limits)
    assert (alive, "certificate" in said) == (False, True)
    alive, said = one(f"https://site.example.com:{port}/200", replace(limits, tls=ssl.create_default_context()))
    assert (alive, "certificate" in said) == (False, True)


# ---- our own network


PRIVATE = [
    "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.192",
    "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1", "fec0::1", "3fff::1", "::ffff:0:127.0.0.1", "5f00::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_within_is_public_however_it_is_written(address: str) -> None:
    assert not public(ipaddress.ip_address(address))
    name = "https://innocent.example.com/"
    alive, said = one(name, Limits(resolve=lambda host, port: ["93.184.215.14", address]))
    assert (alive, said) == (False, "it leads into a private network, where no reader gets; it wasn't followed")


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "1.1.1.1"])
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_an_ipv6_one_is_never_more_public_than_itself(address: ipaddress.IPv4Address) -> None:
    for around in ("::ffff:{0}", "64:ff9b::{0}", "::{0}", "::ffff:0:{0}"):
        inside = ipaddress.ip_address(around.format(address))
        assert not public(inside) or public(address)


@pytest.mark.parametrize("host", [ELSEWHERE, "2130706434", "0x7f000002", "017700000002", "127.2", "[::ffff:127.0.0.2]"])
def test_a_private_address_is_connected_to_under_no_name(site: Site, host: str) -> None:
    assert one(site.url("/200", host), allowing(site.port))[0] is not True
    assert not site.connections
    assert one(site.url(f"/to?http://{host}:{site.port}/200"), allowing(site.port))[0] is not True
    assert set(site.connections) == {HERE}
    assert site.paths() == [f"HEAD /to?http://{host}:{site.port}/200"]


def test_a_name_that_answers_otherwise_the_second_time_leads_nowhere_else(site: Site) -> None:
    answers = iter([[HERE], [ELSEWHERE], [ELSEWHERE], [ELSEWHERE]])
    limits = allowing(site.port, resolve=lambda host, port: next(answers))
    assert one(f"http://rebinding.example.com:{site.port}/200", limits)[0] is True
    assert next(answers) == [ELSEWHERE], "one look-up for one connection, and what was looked at is connected to"
    alive, said = one(f"http://rebinding.example.com:{site.port}/200", limits)
    assert (alive, "private network" in said) == (False, True)
    assert set(site.connections) == {HERE}


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:25/_x", "//", "http://"]
)
def test_a_redirect_leads_to_the_web_or_nowhere(site: Site, target: str) -> None:
    assert one(site.url(f"/to?{target}"), allowing(site.port))[0] is not True
    assert set(site.connections) == {HERE}


def test_other_ports_than_the_webs_are_left_alone(site: Site) -> None:
    alive, said = one(site.url("/200"), allowing(80, 443))
    assert (alive, said) == (None, f"it wasn't followed: port {site.port} isn't one of the web's")
    assert not site.connections
    alive, _ = one(site.url(f"/to?http://{HERE}:25/"), allowing(site.port))
    assert alive is None


def test_as_it_is_in_production_nothing_on_this_machine_is_asked(site: Site) -> None:
    made = follow([site.url("/200"), f"http://localhost:{site.port}/200", "http://localhost/", "http://127.0.0.1/"])
    assert all(answer.alive is not True for answer in made.values())
    assert not site.connections
    assert resolved("127.0.0.1", 80) == ["127.0.0.1"]


# ---- slow, huge and many


@contextlib.contextmanager
def talking(say: Callable[[socket.socket, threading.Event], None]) -> Iterator[tuple[int, threading.Event]]:
    """A server that says what `say` does, until the event."""
    over = threading.Event()
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                say(connection, over)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], over
        over.set()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def dripping(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not over.wait(0.02):
        connection.sendall(b"y")


@pytest.mark.parametrize("say", [silent, dripping])
def test_a_site_that_takes_its_time_is_given_up_and_not_called_dead(say: Callable[..., None]) -> None:
    with talking(say) as (port, _):
        alive, said = one(f"http://{HERE}:{port}/", allowing(port, each=0.3))
    assert (alive, said) == (None, "no answer came within 0 seconds")


def test_of_a_page_without_end_little_is_read(site: Site) -> None:
    assert one(site.url("/huge"), allowing(site.port))[0] is True
    assert site.written < 50_000_000


def test_headers_without_end_are_no_answer(site: Site) -> None:
    assert one(site.url("/many-headers"), allowing(site.port))[0] is None


def test_what_is_no_http_is_no_answer() -> None:
    with talking(lambda connection, _: connection.sendall(b"220 mail.example.com ESMTP\r\n")) as (port, _):
        assert one(f"http://{HERE}:{port}/", allowing(port))[0] is None


def test_a_resolver_that_hangs_holds_up_nothing_else(site: Site) -> None:
    over = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        if host == "hangs.example.com":
            over.wait()
        return [HERE]

    urls = [f"http://hangs.example.com:{site.port}/200", *(site.url(f"/{n}/200") for n in range(5))]
    try:
        made = follow(urls, allowing(site.port, resolve=resolve, whole=1.5, at_once=2))
    finally:
        over.set()
    assert made[urls[0]].alive is None
    assert "no time left" in made[urls[0]].said
    assert all(made[url].alive for url in urls[1:])


def test_only_so_many_are_followed_each_once(site: Site) -> None:
    urls = [site.url(f"/{n}/200") for n in range(6)]
    made = follow([*urls, *urls], allowing(site.port, most=4))
    assert [made[url].alive for url in urls] == [True] * 4 + [None] * 2
    assert len(site.asked) == 4
    assert "only 4 are" in made[urls[5]].said


@pytest.mark.parametrize(
    "url",
    ["", "http://", "http://[", "https://\x00/", "http://a b/", "mailto:x@example.org", "http://%/", "http://x:99999/"],
)
def test_what_is_no_address_is_an_answer_too(url: str) -> None:
    assert one(url, Limits(resolve=lambda host, port: [ELSEWHERE]))[0] is not True


# ---- as a rule


def test_a_link_that_is_told_to_be_local_is_not_followed_too() -> None:
    hosts = ("127.0.0.1", "0x7f.1", "0177.0.0.1", "127.1", "printer.localdomain", "[::1]", "intranet")
    edition = saying(" ".join(f"[{number}](http://{host}/)" for number, host in enumerate(hosts)))
    facts = known(replace(edition, stories=(replace(edition.stories[1], link=""),)))
    assert [each.what.split("/")[2] for each in found("link-local", facts)] == list(hosts)
    assert preflight.asked(facts, network=True, off={"spam-score": "not here"}).followed == {}


def test_a_dead_link_is_told_with_its_story_and_an_unclear_one_is_a_note(site: Site) -> None:
    body = f"The [report]({site.url('/404')}), the [minutes]({site.url('/403')}) and the [speech]({site.url('/200')})."
    facts = known(saying(body), rehearsal=True)
    urls = [url for url in links.followable(facts) if str(site.port) in url]
    assert len(urls) == 3
    made = found("link-dead", replace(facts, followed=follow(urls, allowing(site.port))))
    assert [(each.story, each.line, each.level.value) for each in made] == [(2, 3, "warning"), (2, 3, "note")]
    assert made[0].what == f"{urls[0]}: the site says that it isn't there (404)"
