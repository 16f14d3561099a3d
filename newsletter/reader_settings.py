"""The parts of config.toml that are about readers: the pages they meet, signing up, and what comes back."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1)]


class Web(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the pages are served; a web server with a certificate stands in front of it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8025
    """0: any that is free."""
    threads: Annotated[int, Meta(ge=1, le=256)] = 32
    proxies: Annotated[int, Meta(ge=0, le=10)] = 0
    """How many web servers in front of it add to X-Forwarded-For; with 0 the header is not believed."""


class SignUp(Struct, frozen=True, forbid_unknown_fields=True):
    """How signing up is kept from being turned against strangers."""

    confirm_within: str = "7 days"
    """A subscription that isn't confirmed by then is forgotten, and the address with it."""
    least_seconds: Annotated[int, Meta(ge=0, le=60)] = 3
    """Nobody fills in the form faster than this."""
    per_network: Count = 20
    """Confirmation mails that one network (IPv4 /24, IPv6 /48) may cause in an hour."""
    in_all: Count = 1000
    """Confirmation mails in an hour, whoever asks."""


class ReturnSecurity(enum.Enum):
    """How the connection to a mailbox is kept from listeners."""

    none = "none"
    """In the clear; for a server on this machine."""
    starttls = "starttls"
    """In the clear until STARTTLS, then TLS; the certificate is verified."""
    tls = "tls"
    """TLS from the first byte; the certificate is verified."""


class Imap(Struct, frozen=True, forbid_unknown_fields=True):
    """A mailbox on an IMAP server that bounces are delivered to."""

    host: str
    username: str
    password_env: str
    """The environment variable that holds the password; it is never written in config.toml."""
    port: Port = 993
    security: ReturnSecurity = ReturnSecurity.tls
    ca_file: str = ""
    """A file of certificates to trust besides the system's."""
    folder: str = "INBOX"
    done: str = ""
    """The folder on the server that messages are moved to once they are read; empty: they are deleted."""


class Listener(Struct, frozen=True, forbid_unknown_fields=True):
    """A mail server of our own that takes bounces, and nothing else."""

    host: str = "127.0.0.1"
    port: Port = 2525
    lmtp: bool = False
    """LMTP (RFC 2033), as Postfix and Exim hand mail to a program; else SMTP."""


class Webhooks(Struct, frozen=True, forbid_unknown_fields=True):
    """Providers that report bounces by HTTP; each is off until its key is given. Keys are never written here: a
    key that ends in _env names an environment variable.
    """

    ses_topics: tuple[str, ...] = ()
    """The ARNs of the SNS topics that are believed."""
    postmark_password_env: str = ""
    """Of the basic authentication in the webhook's address; the user is "newsletter"."""
    sendgrid_key: str = ""
    """The verification key (public, base64) of the signed event webhook."""
    mailgun_key_env: str = ""
    """The HTTP webhook signing key."""


class Returns(Struct, frozen=True, forbid_unknown_fields=True):
    """How messages that come back are read, and what they lead to."""

    listener: Listener | None = None
    maildir: str = ""
    """A Maildir that bounces are delivered to, from where config.toml is."""
    imap: Imap | None = None
    webhooks: Webhooks = Webhooks()
    keep: str = "returned"
    """The folder where messages lie that a person has to look at, from where config.toml is."""
    soft_limit: Annotated[float, Meta(ge=1, le=1000)] = 5.0
    """An address is suppressed when its soft bounces have added up to this, one for each issue at the most."""
    half_life: str = "60 days"
    """In this time without a bounce half of them are forgotten."""
