"""The way into a real mail server, in the clear and encrypted; and messages over TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from newsletter.compose import Message
from newsletter.config import Relay, Security
from newsletter.errors import RelayMistake
from newsletter.folder import Folder
from newsletter.pool import hand_over
from newsletter.relays import Sent
from newsletter.smtp_login import log_in

LARGE = b"Subject: x\r\n\r\n" + b"A line of a message that is larger than any buffer on the way.\r\n" * 40_000


class Keeps:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.messages.append((envelope.rcpt_tos[0], envelope.original_content))
        return "250 2.0.0 kept"


def allow(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    del server, session, envelope, mechanism
    return AuthResult(success=data.login == b"digest" and data.password == b"right", handled=False)


@contextmanager
def listening(
    keeps: Keeps, security: Security, certificate: ssl.SSLContext | None = None, **more: Any
) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
    if security is Security.tls:
        more["ssl_context"] = certificate
    elif security is Security.starttls:
        more |= {"tls_context": certificate, "require_starttls": True}
    controller = Controller(
        keeps, hostname="127.0.0.1", port=port, data_size_limit=10_000_000, server_hostname="test", **more
    )
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA) -> Callable[[str], ssl.SSLContext]:
    def issue(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    return issue


def relay(port: int, security: Security, **more: Any) -> Relay:
    return Relay(name="office", host="localhost", port=port, security=security, hello="test", **more)


@pytest.mark.parametrize("security", [Security.tls, Security.starttls])
def test_a_relay_with_a_good_certificate_takes_messages_encrypted(
    tmp_path: Path, lite_folder: Folder, authority: trustme.CA, certificate: Any, security: Security
) -> None:
    import msgspec

    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    keeps = Keeps()
    with listening(keeps, security, certificate("localhost")) as port:
        settings = msgspec.structs.replace(lite_folder.config, relays=(relay(port, security, ca_file="ca.pem"),))
        outcome = hand_over(
            Folder(tmp_path, settings, lite_folder.engine), Message("a@example.org", "b@example.org", (LARGE,))
        )
    assert outcome == Sent("250 2.0.0 kept")
    assert keeps.messages == [("b@example.org", LARGE)]


@pytest.mark.parametrize("security", [Security.tls, Security.starttls])
@pytest.mark.parametrize(
    ("name", "trusted", "words"),
    [
        ("localhost", False, "unable to get local issuer certificate"),
        ("elsewhere.example", True, "not valid for 'localhost'"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused_before_anything_is_said(
    tmp_path: Path, authority: trustme.CA, certificate: Any, security: Security, name: str, trusted: bool, words: str
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    keeps = Keeps()
    with listening(keeps, security, certificate(name)) as port, pytest.raises(RelayMistake) as caught:
        log_in(relay(port, security, ca_file="ca.pem" if trusted else ""), None, tmp_path)
    assert "its certificate isn't good" in str(caught.value)
    assert words in str(caught.value)
    assert "relay office (localhost:" in str(caught.value)


def test_a_relay_without_starttls_is_not_given_anything_in_the_clear(tmp_path: Path) -> None:
    with listening(Keeps(), Security.none) as port, pytest.raises(RelayMistake, match="STARTTLS"):
        log_in(relay(port, Security.starttls), None, tmp_path)


def test_a_login_is_made_and_a_refused_one_says_which_variable_to_look_at(tmp_path: Path) -> None:
    with listening(Keeps(), Security.none, authenticator=allow, auth_require_tls=False) as port:
        log_in(relay(port, Security.none, username="digest", password_env="RELAY_PASSWORD"), "right", tmp_path).quit()
        with pytest.raises(RelayMistake) as caught:
            log_in(relay(port, Security.none, username="digest", password_env="RELAY_PASSWORD"), "wrong", tmp_path)
    assert "it refuses the login: 535" in str(caught.value)
    assert "RELAY_PASSWORD" in str(caught.value)


def test_a_missing_password_is_said_before_the_relay_is_asked(
    lite_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    monkeypatch.delenv("RELAY_PASSWORD", raising=False)
    settings = msgspec.structs.replace(
        lite_folder.config, relays=(relay(1, Security.none, username="digest", password_env="RELAY_PASSWORD"),)
    )
    with pytest.raises(RelayMistake, match="the environment has no RELAY_PASSWORD"):
        hand_over(
            Folder(lite_folder.path, settings, lite_folder.engine),
            Message("a@example.org", "b@example.org", (b"x\r\n",)),
        )


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 1), ("no-such-host.invalid", 25)])
def test_a_relay_that_is_not_there_is_a_sentence(tmp_path: Path, host: str, port: int) -> None:
    with pytest.raises(RelayMistake, match="it can't be reached"):
        log_in(Relay(name="office", host=host, port=port, security=Security.none), None, tmp_path)


def test_a_server_that_is_no_mail_server_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RelayMistake):
            log_in(
                Relay(name="office", host="127.0.0.1", port=server.getsockname()[1], security=Security.none),
                None,
                tmp_path,
            )
        thread.join()


def test_a_file_of_certificates_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RelayMistake, match="ca_file"):
        log_in(relay(1, Security.tls, ca_file="none.pem"), None, tmp_path)


def test_a_message_that_no_ledger_knows_of_goes_into_a_maildir_too(lite_folder: Folder) -> None:
    outcome = hand_over(lite_folder, Message("a+x@example.org", "b@example.org", (b"Subject: x\r\n\r\nText\r\n",)))
    assert isinstance(outcome, Sent)
    assert len(list((lite_folder.path / "outbox" / "new").iterdir())) == 1
