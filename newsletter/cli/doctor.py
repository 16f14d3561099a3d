"""newsletter doctor: whether this machine, its relays, domains and database are fit to send; and keys made."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from newsletter.cli.common import console, json_option, place, print_json, table

if TYPE_CHECKING:
    from newsletter.config import Config, Dkim

MARKS = {"ok": ("✓ ok", "green"), "warning": ("◷ warning", "yellow"), "wrong": ("✗ wrong", "red")}
SELECTORS = {"rsa": "newsletter", "ed25519": "newsletter-ed25519"}
"""Where no other is asked for. One for each kind, since both may sign."""


@click.group(invoke_without_command=True)
@click.option("--dns", "with_dns", is_flag=True, help="Also ask DNS for the records: DKIM keys, SPF, DMARC.")
@click.option("--dns-server", metavar="ADDRESS", default="", help="Ask this name server, and not this machine's own.")
@click.option("--pages", "with_pages", is_flag=True, help="Also ask base_url for the pages, as a mail program would.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an answer of DNS or of the pages.",
)
@json_option
@click.pass_context
def doctor(
    context: click.Context, with_dns: bool, dns_server: str, with_pages: bool, timeout: float, as_json: bool
) -> None:
    """Is this folder fit to send? Looks at the database, the clock, each relay, and the keys that sign.

    Each relay is logged in to, and given nothing. Exit code 2 where something is wrong; a warning is worth a look,
    and stops nothing.

    \b
    newsletter doctor                 the machine, the database, the relays, the keys
    newsletter doctor --dns           and what DNS says: DKIM, SPF, DMARC
    newsletter doctor --pages         and whether mail programs reach the pages
    newsletter doctor dkim-key        make a key to sign with, and see what to publish
    """
    if context.invoked_subcommand is not None:
        return
    from newsletter.cli import doctor_checks, doctor_pages
    from newsletter.cli.progress import progress
    from newsletter.dns_records import Dns, Finding, Level
    from newsletter.folder import open_folder

    folder = open_folder(place(), checked=False)
    context.call_on_close(folder.engine.dispose)
    asked = Dns(dns_server, seconds=timeout) if with_dns or dns_server else None
    findings: list[Finding] = []
    with progress("looking", None) as advance:
        looked = doctor_checks.check(folder, dt.datetime.now(dt.UTC), asked)
        pages = doctor_pages.check(folder, timeout) if with_pages else ()
        for finding in itertools.chain(looked, pages):
            findings.append(finding)
            advance(1)
    fit = all(finding.level is not Level.wrong for finding in findings)
    if as_json:
        print_json({"fit": fit, "findings": findings})
    else:
        shown = table("", "What", "How it is, and what to do")
        for finding in findings:
            word, colour = MARKS[finding.level.value]
            said = Text(finding.what[:1].upper() + finding.what[1:])
            if finding.to_do:
                said.append(f"\n{finding.to_do}", "bold")
            shown.add_row(Text(word, colour), finding.about, said)
        console().print(shown)
    context.exit(0 if fit else 2)


@doctor.command("dkim-key")
@click.option("--domain", "-d", metavar="DOMAIN", help="Whose mail it signs.  [default: the sender's]")
@click.option(
    "--selector",
    "-s",
    metavar="NAME",
    help="Where under the domain its record is; another one for each key.  "
    f"[default: {SELECTORS['rsa']}, {SELECTORS['ed25519']}]",
)
@click.option("--kind", type=click.Choice(["rsa", "ed25519"]), default="rsa", show_default=True, help="Which kind.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Its file.  [default: SELECTOR.DOMAIN.pem]"
)
@click.option(
    "--show", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Make none; show one that is there."
)
@json_option
def dkim_key(
    domain: str | None, selector: str | None, kind: str, output: Path | None, show: Path | None, as_json: bool
) -> None:
    """Make a key to sign with, and see what to publish.

    Prints the record for DNS, and the lines for config.toml. The file is readable by you alone, and nothing is ever
    written over. RSA is what everyone verifies; Ed25519 is signed with in an eighth of the time, and not verified
    everywhere: have both, or RSA alone.

    \b
    newsletter doctor dkim-key
    newsletter doctor dkim-key --kind ed25519
    newsletter doctor dkim-key --domain example.org --selector autumn --output autumn.pem
    newsletter doctor dkim-key --show autumn.pem
    """
    from newsletter import dkim, dns_records
    from newsletter.cli.new_file import new_file
    from newsletter.errors import DkimMistake

    settings = _settings(needed=domain is None)
    if show is not None:
        key = dkim.read_key(show)
        kind = dkim.kind(key)
        if (entry := _entry(settings, show)) is not None:
            domain, selector = domain or entry.domain, selector or entry.selector
    domain = _name("--domain", domain or _sender(settings))
    selector = _name("--selector", selector or SELECTORS[kind])
    path = show or output or place() / f"{selector}.{domain}.pem"
    if show is None:
        if settings and (domain, selector) in {dkim.names(each) for each in settings.dkim}:
            raise DkimMistake(
                f'config.toml has a key with the selector "{selector}" for {domain} already',
                remedy="Name another with --selector; mail that is under way still needs the old one's record.",
            )
        key = dkim.new_key(kind)
        with new_file(path, DkimMistake) as part:
            part.write_bytes(dkim.pem(key))
    name, record = dns_records.dkim_name(domain, selector), dns_records.dkim_record(key)
    lines = config_lines(domain, selector, path)
    if as_json:
        print_json(
            {
                "file": str(path),
                "kind": kind,
                "name": name,
                "record": record,
                "strings": dns_records.strings(record),
                "config": lines,
            }
        )
        return
    click.echo(f"{path}: {dkim.words(key)}{', readable by you alone' if show is None else ''}\n")
    click.echo(f"Publish in DNS, as TXT:\n\n  name   {name}\n  value  {record}\n")
    click.echo(f"The same as a zone file has it:\n\n{dns_records.zone_line(name, record)}\n")
    click.echo(f"Once DNS has it, in config.toml:\n\n{lines}\n")
    click.echo("Then: newsletter doctor --dns")


def config_lines(domain: str, selector: str, path: Path) -> str:
    """The part of config.toml that names a key."""
    import json

    folder, path = place().absolute(), path.absolute()
    file = path.relative_to(folder) if path.is_relative_to(folder) else path
    return f'[[dkim]]\ndomain = "{domain}"\nselector = "{selector}"\nkey = {json.dumps(str(file), ensure_ascii=False)}'


def _settings(*, needed: bool) -> Config | None:
    """config.toml, if it is there; a mistake in it is only told where it is needed."""
    from newsletter import config
    from newsletter.errors import ConfigMistake

    try:
        return config.read(place() / "config.toml")
    except ConfigMistake:
        if needed:
            raise
        return None


def _sender(settings: Config | None) -> str:
    from newsletter.errors import DkimMistake

    assert settings is not None
    domains = {each.sender.rpartition("@")[2] for each in settings.publications.values()}
    if len(domains) > 1:
        raise DkimMistake(
            f"the publications here are sent from {', '.join(sorted(domains))}", remedy="Say which with --domain."
        )
    return domains.pop()


def _entry(settings: Config | None, file: Path) -> Dkim | None:
    """The entry of config.toml that names a file."""
    entries = settings.dkim if settings else ()
    return next((each for each in entries if (place() / each.key).absolute() == file.absolute()), None)


def _name(option: str, text: str) -> str:
    from newsletter.config import dns_name
    from newsletter.errors import DkimMistake

    try:
        return dns_name(text)
    except ValueError as error:
        raise DkimMistake(f"{option}: {error}") from None
