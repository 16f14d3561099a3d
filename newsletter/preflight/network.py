"""Following links over the network, to see which are dead, without being turned against a network of ours.

Whoever writes a link chooses where this machine connects to. So a name is resolved once, and only where all of its
addresses are public is one of them connected to, that very address; a redirect is looked at in the same way. Nothing
but http and https, on their own ports; no cookies, no proxy; little is read, and all of it within a time.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

from newsletter.preflight.facts import Followed
from newsletter.render.links import absolute

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

AGENT = "newsletter-preflight (checks that links work)"
_DEAD = (404, 410, 451)
"""What says that nothing is there, and won't be (451: for legal reasons)."""
_TRY_GET = (400, 403, 404, 405, 406, 410, 500, 501, 503)
"""Answers to HEAD that many a server gives to that method alone."""
_MOVED = (301, 302, 303, 307, 308)
_GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given to anybody. What carries an IPv4 address in it (NAT64, IPv4-compatible and -translated) is
elsewhere, and so are site-local addresses, which Python calls global.
"""
_SPECIAL = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")),
)
"""For protocols (IANA's registries, RFC 6890; one cloud has its metadata there), for Teredo and 6to4, which carry IPv4
addresses, and for examples. Not every Python knows them.
"""


def public(address: Address) -> bool:
    """Whether an address is on the open internet: not private, loopback, link-local (where clouds keep their
    metadata), multicast, reserved, nor one of these within an IPv6 address.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return public(address.ipv4_mapped)
        if address not in _GLOBAL:
            return False
    special = any(address in network for network in _SPECIAL if network.version == address.version)
    return address.is_global and not address.is_multicast and not special


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, by the machine's resolver."""
    return list(dict.fromkeys(str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


@dataclass(frozen=True, slots=True)
class Limits:
    """How far following links goes."""

    each: float = 10
    """Seconds for one link, redirects and all."""
    whole: float = 40
    """Seconds for all of them; what isn't answered by then isn't known."""
    at_once: int = 8
    most: int = 200
    """Links; the others aren't followed."""
    redirects: int = 5
    read: int = 2048
    """Bytes of an answer's body."""
    ports: frozenset[int] = frozenset({80, 443})
    may: Callable[[Address], bool] = public
    resolve: Callable[[str, int], list[str]] = resolved
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)


_NO_SITE = Followed(alive=False, said="there is no such site")


class _Refused(Exception):  # noqa: N818 - it never leaves this module
    """A link that isn't followed: what to say of it, and whether it is dead for readers."""

    def __init__(self, said: str, *, dead: bool) -> None:
        super().__init__(said)
        self.dead = dead


def follow(urls: Iterable[str], limits: Limits | None = None) -> dict[str, Followed]:
    """What became of each address when it was asked for. Never raises for what a server does."""
    limits = limits or Limits()
    wanted = list(dict.fromkeys(urls))
    chosen = wanted[: limits.most]
    answers = {url: Followed(None, "it wasn't followed: there was no time left") for url in wanted}
    answers |= {url: Followed(None, f"it wasn't followed: only {limits.most} are") for url in wanted[limits.most :]}
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for url in chosen:
        waiting.put(url)
    told: queue.SimpleQueue[tuple[str, Followed]] = queue.SimpleQueue()
    end = time.monotonic() + limits.whole

    def work() -> None:
        while time.monotonic() < end:
            try:
                url = waiting.get_nowait()
            except queue.Empty:
                return
            told.put((url, followed(url, limits)))

    # Threads that nobody waits for: a resolver can't be interrupted, and must not hold up what else is to be said.
    for _ in range(min(limits.at_once, len(chosen))):
        threading.Thread(target=work, daemon=True).start()
    for _ in chosen:
        try:
            url, answer = told.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        answers[url] = answer
    hosts = {urlsplit(absolute(url) or "").hostname for url in wanted}
    if len(hosts) > 1 and all(answer == _NO_SITE for answer in answers.values()):
        return dict.fromkeys(wanted, Followed(None, "no name at all can be looked up from here: is there a network?"))
    return answers


def followed(url: str, limits: Limits) -> Followed:
    """What became of one address."""
    end = time.monotonic() + limits.each
    try:
        return _through_redirects(url, limits, end)
    except _Refused as refused:
        return Followed(False if refused.dead else None, str(refused))
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return _NO_SITE
        return Followed(None, "its name can't be looked up now")
    except ssl.SSLCertVerificationError as error:
        return Followed(False, f"its certificate isn't valid ({error.verify_message})")
    except TimeoutError:
        return Followed(None, f"no answer came within {limits.each:.0f} seconds")
    except ConnectionRefusedError:
        return Followed(False, "nothing answers there")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= end:
            return Followed(None, f"no answer came within {limits.each:.0f} seconds")
        return Followed(None, f"it can't be told whether it works ({type(error).__name__})")


def _through_redirects(url: str, limits: Limits, end: float) -> Followed:
    for _ in range(limits.redirects + 1):
        status, place = _asked("HEAD", url, limits, end)
        if status in _TRY_GET:
            status, place = _asked("GET", url, limits, end)
        if status in _MOVED and place:
            url = urljoin(url, place)
            continue
        if status in _DEAD:
            return Followed(False, f"the site says that it isn't there ({status})")
        if status < 400:
            return Followed(True, f"it works ({status})")
        return Followed(None, f"the site doesn't say whether it is there ({status})")
    return Followed(False, f"it leads from one address to the next, more than {limits.redirects} times")


def _asked(method: str, url: str, limits: Limits, end: float) -> tuple[int, str | None]:
    """The status of an answer, and where it says to go on."""
    whole = absolute(url)
    parts = urlsplit(whole or "")
    if whole is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Refused(f"it leads to {url[:200]}, which isn't a web address", dead=True)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if port not in limits.ports:
        raise _Refused(f"it wasn't followed: port {port} isn't one of the web's", dead=False)
    address = _address(parts.hostname, port, limits)
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="/%:@!$&'()*+,;=~-._?[]")
    default = (parts.scheme, port) in (("https", 443), ("http", 80))
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    headers = {
        "Host": name if default else f"{name}:{port}",
        "User-Agent": AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    with _connected(address, port, limits, end, parts.hostname if parts.scheme == "https" else None) as sock:
        connection = http.client.HTTPConnection(parts.hostname, port)
        connection.sock = sock
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        if time.monotonic() >= end:
            # What was cut off looks like an answer that ended.
            raise TimeoutError
        if method == "GET":
            answer.read(limits.read)
        return answer.status, answer.getheader("Location")


def _address(host: str, port: int, limits: Limits) -> str:
    """The one address to connect to. All of a name's must be public: which one it is is not for the name to choose."""
    found = limits.resolve(host, port)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    for each in found:
        if not limits.may(ipaddress.ip_address(each.partition("%")[0])):
            raise _Refused("it leads into a private network, where no reader gets; it wasn't followed", dead=True)
    # Where a machine has no IPv6, an IPv6 address would be no fault of the link's.
    return next((each for each in found if ":" not in each), found[0])


@contextlib.contextmanager
def _connected(address: str, port: int, limits: Limits, end: float, server: str | None) -> Iterator[socket.socket]:
    """A connection to that very address, cut when the time is up, however slowly the other end drips."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock = socket.create_connection((address, port), timeout=left)
    open_sockets = [sock]

    def cut() -> None:
        for each in open_sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    alarm = threading.Timer(max(0.0, end - time.monotonic()), cut)
    alarm.daemon = True
    alarm.start()
    try:
        if server is not None:
            # On the bare socket while the handshake lasts; wrapping takes it over.
            sock = limits.tls.wrap_socket(sock, server_hostname=server)
            open_sockets.append(sock)
        yield sock
    finally:
        alarm.cancel()
        sock.close()
