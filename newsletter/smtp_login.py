"""The way into a mail server: connected, greeted, encrypted, logged in, by smtplib; blocking."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from pathlib import Path

from newsletter.config import Relay, Security
from newsletter.errors import RelayMistake

LONGEST = 1000
"""Characters of what a server said that are kept."""


def log_in(relay: Relay, password: str | None, beside: Path, *, timeout: float = 30.0) -> smtplib.SMTP:
    """A connection to a relay: greeted, encrypted and logged in as its config asks.

    RelayMistake says which step was refused, and what to look at.
    """
    at = f"{relay.host}:{relay.port}"

    def mistake(what: str, remedy: str) -> RelayMistake:
        # A server's words may hold anything; a database takes no NUL, and a terminal would obey some of the others.
        what = "".join(letter if letter.isprintable() else "\ufffd" for letter in what)[:LONGEST]
        return RelayMistake(what, where=f"relay {relay.name} ({at})", remedy=remedy)

    context = None
    if relay.security is not Security.none:
        try:
            context = ssl.create_default_context(cafile=str(beside / relay.ca_file) if relay.ca_file else None)
        except OSError as error:
            raise mistake(f"the certificates in {relay.ca_file} can't be read: {error}", "Check ca_file.") from None
    hello = relay.hello or socket.gethostname() or "localhost"
    server: smtplib.SMTP | None = None
    try:
        if relay.security is Security.tls:
            assert context is not None
            server = smtplib.SMTP_SSL(relay.host, relay.port, local_hostname=hello, timeout=timeout, context=context)
        else:
            server = smtplib.SMTP(relay.host, relay.port, local_hostname=hello, timeout=timeout)
        server.ehlo_or_helo_if_needed()
        if relay.security is Security.starttls:
            server.starttls(context=context)
            server.ehlo()
        if relay.username:
            server.login(relay.username, password or "")
    except ssl.SSLCertVerificationError as error:
        discard(server)
        raise mistake(
            f"its certificate isn't good: {error.verify_message}",
            "Use the name that the certificate is for, or name its issuer in ca_file.",
        ) from None
    except smtplib.SMTPNotSupportedError as error:
        discard(server)
        remedy = (
            'It may want port 465 with security = "tls"; for a server on this machine write security = "none".'
            if "STARTTLS" in str(error)
            else "Check username, security and port."
        )
        raise mistake(f"it doesn't offer what is asked of it: {error}", remedy) from None
    except smtplib.SMTPAuthenticationError as error:
        discard(server)
        raise mistake(
            f"it refuses the login: {_spoken(error.smtp_code, error.smtp_error)}",
            f"Check username, and the password in the environment variable {relay.password_env or '(password_env)'}.",
        ) from None
    except smtplib.SMTPResponseException as error:
        discard(server)
        raise mistake(f"it refuses us: {_spoken(error.smtp_code, error.smtp_error)}", "Ask who runs it.") from None
    except UnicodeEncodeError:
        # What it says holds a letter of the password.
        discard(server)
        raise mistake(
            "the login can't be said: username or password has letters outside ASCII",
            "Have the relay's password set to one of plain letters.",
        ) from None
    # ValueError: a challenge to log in that isn't base64 comes out of smtplib as it is.
    except (OSError, smtplib.SMTPException, ValueError) as error:
        discard(server)
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise mistake(
            f"it can't be reached: {words[:1].lower()}{words[1:]}",
            "Check host, port and security, and that it is running.",
        ) from None
    return server


def _spoken(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"


def discard(server: smtplib.SMTP | None) -> None:
    """Closes a connection, whatever state it is in."""
    if server is not None:
        with contextlib.suppress(OSError):
            server.close()
