"""newsletter doctor, as an admin types it: on folders that are well and on ones that aren't, with a name server."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import trustme
from click.testing import CliRunner, Result
from mailserver import MailServer
from sqlalchemy import update
from test_sender import issue  # noqa: F401 - a fixture

from newsletter import dkim, dns_records
from newsletter.cli import newsletter
from newsletter.config import Security
from newsletter.dns_records import Dns, Level
from newsletter.errors import DkimMistake, Mistake
from newsletter.folder import Folder
from newsletter.models import Issue

RSA, ED25519 = dkim.new_key("rsa"), dkim.new_key("ed25519")
RECORD = dns_records.dkim_record(ED25519)
NAME = "s._domainkey.example.org"


def type_in(folder: Path, *words: str) -> Result:
    result = CliRunner().invoke(newsletter, ["-C", str(folder), "doctor", *words])
    if isinstance(result.exception, Mistake):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def findings(folder: Folder, *words: str, code: int = 0) -> dict[str, tuple[str, str, str]]:
    """What is found: {what it is about: (level, what, to do)}."""
    result = type_in(folder.path, "--json", *words)
    assert result.exit_code == code, result.output
    said = json.loads(result.stdout)
    assert said["fit"] == (code == 0)
    found = {each["about"]: (each["level"], each["what"], each["to_do"]) for each in said["findings"]}
    assert len(found) == len(said["findings"])
    return found


def entry(selector: str, file: str, domain: str = "example.org") -> str:
    return f'\n[[dkim]]\ndomain = "{domain}"\nselector = "{selector}"\nkey = "{file}"\n'


def save(folder: Folder, name: str, key: Any, mode: int = 0o600) -> Path:
    path = folder.path / name
    path.write_bytes(dkim.pem(key))
    path.chmod(mode)
    return path


def append(folder: Folder, *more: str) -> None:
    with (folder.path / "config.toml").open("a", encoding="utf-8") as file:
        file.write("".join(more))


def relay(folder: Folder, text: str) -> None:
    file = folder.path / "config.toml"
    before = file.read_text(encoding="utf-8")
    assert 'kind = "maildir"\n' in before
    file.write_text(before.replace('kind = "maildir"\n', text), encoding="utf-8")


# ---- machine and database


def test_a_new_folder_is_fit_for_a_rehearsal_and_told_what_it_lacks(folder: Folder) -> None:
    found = findings(folder)
    assert {about: level for about, (level, _, _) in found.items()} == {
        "database": "ok",
        "clock": "ok",
        "time zones": found["time zones"][0],
        "relay outbox": "warning",
        "publication digest": "warning",
    }
    assert "a rehearsal, no reader gets anything" in found["relay outbox"][1]
    assert "nobody signs List-Unsubscribe-Post unless the relay does" in found["publication digest"][1]
    assert not (folder.path / "outbox").exists(), "it changes nothing"
    shown = type_in(folder.path)
    assert shown.exit_code == 0
    assert "◷ warning   publication digest" in shown.stdout
    assert "Make one: newsletter doctor dkim-key." in shown.stdout


def test_a_database_that_is_not_there_is_wrong_and_none_is_made(lite_folder: Folder) -> None:
    (lite_folder.path / "newsletter.db").unlink()
    level, what, to_do = findings(lite_folder, code=2)["database"]
    assert (level, to_do) == ("wrong", "Make it: newsletter db upgrade.")
    assert "there is no database yet" in what
    assert not (lite_folder.path / "newsletter.db").exists()


def test_a_database_of_another_version_or_out_of_reach_is_wrong(
    make_folder: Callable[..., Folder], database_url: str
) -> None:
    folder = make_folder()
    with folder.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    level, what, to_do = findings(folder, code=2)["database"]
    assert (level, to_do) == ("wrong", "Bring it up to date: newsletter db upgrade.")
    assert "the database is of version 0000, this program wants" in what
    folder = make_folder((database_url, "postgresql://digest:secret@127.0.0.1:1/digest"))
    level, what, to_do = findings(folder, code=2)["database"]
    assert level == "wrong"
    assert "the database can't be used" in what
    assert "secret" not in what + to_do


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_clock_behind_what_was_written_down_is_wrong(issue: Any) -> None:  # noqa: F811
    folder = issue(None, ["ada"])
    assert findings(folder)["clock"][0] == "ok"
    with folder.session() as session:
        session.execute(update(Issue).values(since=dt.datetime(2999, 1, 1, 9, tzinfo=dt.UTC)))
    level, what, _ = findings(folder, code=2)["clock"]
    assert level == "wrong"
    assert "the database has something of 2999-01-01" in what


# ---- relays


def test_a_relay_that_lets_us_in_is_told_with_what_it_offers(lite_folder: Folder) -> None:
    offers = ("PIPELINING", "8BITMIME", "SIZE 10240000", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    with MailServer(extensions=offers) as server:
        relay(lite_folder, f'host = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\nhello = "test"\n')
        level, what, _ = findings(lite_folder)["relay outbox"]
        assert not any(command.startswith("MAIL") for command in server.commands), "it is given nothing"
    assert level == "ok"
    offered = "PIPELINING, 8BITMIME, SIZE 10,240,000, SMTPUTF8, ENHANCEDSTATUSCODES"
    assert what == f"lets us in at 127.0.0.1:{server.port}, in the clear, and offers {offered}"
    with MailServer(extensions=()) as server:
        file = lite_folder.path / "config.toml"
        file.write_text(file.read_text().replace(what.split(":")[1].split(",")[0], str(server.port)))
        level, what, to_do = findings(lite_folder)["relay outbox"]
    assert (level, what.rpartition(" offers ")[2]) == ("warning", "nothing")
    assert "PIPELINING" in to_do


def test_a_relay_that_is_not_there_or_lacks_its_password_is_wrong(
    lite_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay(lite_folder, 'host = "127.0.0.1"\nport = 1\nsecurity = "none"\n')
    level, what, to_do = findings(lite_folder, code=2)["relay outbox"]
    assert (level, what) == ("wrong", "it can't be reached: connection refused")
    assert "Check host, port and security" in to_do
    monkeypatch.delenv("RELAY_PASSWORD", raising=False)
    file = lite_folder.path / "config.toml"
    file.write_text(file.read_text().replace("port = 1\n", 'username = "d"\npassword_env = "RELAY_PASSWORD"\n'))
    assert findings(lite_folder, code=2)["relay outbox"][1] == "the environment has no RELAY_PASSWORD"
    shown = type_in(lite_folder.path)
    assert shown.exit_code == 2
    assert "✗ wrong     relay outbox" in shown.stdout


def test_a_relays_encryption_is_told(lite_folder: Folder) -> None:
    from test_smtp_login import Keeps, listening

    authority, certificate = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(certificate)
    authority.cert_pem.write_to_path(lite_folder.path / "ca.pem")
    with listening(Keeps(), Security.tls, certificate) as port:
        relay(lite_folder, f'port = {port}\nsecurity = "tls"\nca_file = "ca.pem"\nhello = "test"\n')
        _, what, _ = findings(lite_folder)["relay outbox"]
    assert what.startswith(f"lets us in at localhost:{port}, TLSv1.3, and offers ")


# ---- keys


def test_each_key_is_read_and_one_that_others_can_read_is_a_warning(lite_folder: Folder) -> None:
    append(lite_folder, entry("r", "rsa.pem"), entry("e", "ed.pem"), entry("x", "x.pem", "example.net"))
    save(lite_folder, "rsa.pem", RSA)
    open_to_all = save(lite_folder, "ed.pem", ED25519, 0o644)
    save(lite_folder, "x.pem", ED25519)
    found = findings(lite_folder)
    assert found["key r of example.org"] == ("ok", "RSA, 2,048 bits, in rsa.pem", "")
    assert found["key e of example.org"] == (
        "warning",
        "Ed25519, in ed.pem; others on this machine can read it (mode 0644)",
        f"chmod 600 {open_to_all}",
    )
    assert found["key x of example.net"][0] == "warning"
    assert "no publication's sender is at example.net" in found["key x of example.net"][1]
    assert found["publication digest"] == (
        "ok",
        "what digest@example.org sends is signed by r of example.org and e of example.org",
        "",
    )


def test_a_key_that_cannot_be_used_is_wrong(lite_folder: Folder) -> None:
    append(lite_folder, entry("r", "none.pem"))
    level, what, to_do = findings(lite_folder, code=2)["key r of example.org"]
    assert (level, to_do) == ("wrong", "Make one: newsletter doctor dkim-key.")
    assert "none.pem: there is no such file" in what


def test_a_key_of_1024_bits_signs_and_is_a_warning(lite_folder: Folder) -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    append(lite_folder, entry("r", "old.pem"))
    save(lite_folder, "old.pem", generate_private_key(65537, 1024))
    level, what, to_do = findings(lite_folder)["key r of example.org"]
    assert (level, what) == ("warning", "RSA, 1,024 bits, in old.pem")
    assert "2048" in to_do


# ---- DNS


class NameServer:
    """A name server on loopback that knows the TXT records it is told, and nothing else."""

    def __init__(self, **records: list[str]) -> None:
        self.records = dict(records)
        self.deaf = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            raw, whence = self._socket.recvfrom(4096)
            if raw == b"stop":
                return
            if self.deaf:
                continue
            asked = dns.message.from_wire(raw)
            answer = dns.message.make_response(asked)
            answer.flags |= dns.flags.RA
            name = asked.question[0].name
            known = self.records.get(name.to_text(omit_final_dot=True))
            if known is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif known:
                quoted = [" ".join(f'"{part}"' for part in dns_records.strings(text)) for text in known]
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *quoted))
            self._socket.sendto(answer.to_wire(), whence)

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            host, port = self.address.split(":")
            other.sendto(b"stop", (host, int(port)))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.stop()


def test_with_all_records_published_all_is_well(lite_folder: Folder, server: NameServer) -> None:
    append(lite_folder, entry("r", "rsa.pem"), entry("s", "ed.pem"))
    save(lite_folder, "rsa.pem", RSA)
    save(lite_folder, "ed.pem", ED25519)
    server.records = {
        "r._domainkey.example.org": [dns_records.dkim_record(RSA)],
        NAME: [RECORD],
        "example.org": ["v=spf1 include:relay.example.net -all", "google-site-verification=x"],
        "relay.example.net": ["v=spf1 ip4:192.0.2.0/24 -all"],
        "_dmarc.example.org": ["v=DMARC1; p=quarantine; np=reject; t=n; psd=n; rua=mailto:a@example.org"],
    }
    found = findings(lite_folder, "--dns", "--dns-server", server.address)
    assert found["r._domainkey.example.org"] == ("ok", "the rsa key's record is there", "")
    assert found[NAME] == ("ok", "the ed25519 key's record is there", "")
    assert found["SPF of example.org"][:2] == (
        "ok",
        "v=spf1 include:relay.example.net -all (1 of 10 questions to DNS)",
    )
    assert found["DMARC of example.org"][:2] == (
        "ok",
        "p=quarantine at _dmarc.example.org; aligned by DKIM and the return address",
    )


@pytest.mark.parametrize(
    ("records", "level", "what"),
    [
        (None, Level.wrong, "DNS has no such record"),
        ([], Level.wrong, "DNS has no such record"),
        ([RECORD, RECORD.replace("v=DKIM1; ", "")], Level.wrong, "DNS has 2 records"),
        ([dns_records.dkim_record(RSA)], Level.wrong, "DNS has another key"),
        (["v=DKIM1; k=ed25519; p="], Level.wrong, "the key is revoked"),
        (["v=spf1 -all"], Level.wrong, "this is no DKIM record"),
        (["v=DKIM2; " + RECORD.split("; ", 1)[1]], Level.wrong, "this is no DKIM record"),
        (["nonsense"], Level.wrong, "this is no DKIM record"),
        ([RECORD + "; h=sha1"], Level.wrong, "doesn't allow these signatures"),
        ([RECORD + "; s=tlsrpt"], Level.wrong, "doesn't allow these signatures"),
        ([RECORD + "; t=y"], Level.warning, "says that it is a test"),
        ([RECORD + ";"], Level.ok, "record is there"),
        (["k=ed25519;p=" + dkim.public(ED25519)[:20] + " " + dkim.public(ED25519)[20:]], Level.ok, "record is there"),
    ],
)
def test_a_key_and_its_record(server: NameServer, records: list[str] | None, level: Level, what: str) -> None:
    if records is not None:
        server.records = {NAME: records}
    found = dns_records.check_dkim(Dns(server.address), "example.org", "s", ED25519)
    assert found.level is level, found
    assert what in found.what
    assert (found.to_do == "") == (level is Level.ok)


@pytest.mark.parametrize(
    ("records", "level", "what"),
    [
        ({}, Level.warning, "there is no record"),
        ({"example.org": ["v=spf10 -all"]}, Level.warning, "there is no record"),
        ({"example.org": ["v=spf1 -all", "v=spf1 a -all"]}, Level.wrong, "2 records count as none"),
        ({"example.org": ["v=spf1 a +all"]}, Level.warning, "it lets everyone send"),
        ({"example.org": ["v=spf1 all"]}, Level.warning, "it lets everyone send"),
        ({"example.org": ["v=spf1 ip4:192.0.2.1 a mx ~all"]}, Level.ok, "(2 of 10 questions to DNS)"),
        ({"example.org": ["v=spf1 redirect=example.org"]}, Level.ok, "of 10 questions"),
        (
            {
                "example.org": ["v=spf1 include:a.net include:b.net -all"],
                "a.net": ["v=spf1 " + "a:x.net " * 9 + "-all"],
            },
            Level.wrong,
            "it takes 11 questions to DNS",
        ),
    ],
)
def test_what_spf_says(server: NameServer, records: dict[str, list[str]], level: Level, what: str) -> None:
    server.records = records
    found = dns_records.check_spf(Dns(server.address), "example.org")
    assert found.level is level, found
    assert what in found.what


@pytest.mark.parametrize(
    ("records", "bounces", "signing", "level", "what"),
    [
        ({}, "news.example.org", [], Level.warning, "there is no policy"),
        ({"_dmarc.example.org": ["v=DMARC1; p=reject"]}, "example.org", [], Level.ok, "p=reject at _dmarc.example.org"),
        ({"_dmarc.example.org": ["v=DMARC1; p=reject; sp=none"]}, "example.org", [], Level.ok, "p=none"),
        ({"_dmarc.news.example.org": ["v=DMARC1;p=none"]}, "news.example.org", [], Level.ok, "by the return address"),
        ({"_dmarc.news.example.org": ["v=DMARC1; p=all"]}, "news.example.org", [], Level.wrong, "has no policy"),
        ({"_dmarc.news.example.org": ["v=DMARC1"]}, "news.example.org", [], Level.wrong, "has no policy"),
        (
            {"_dmarc.news.example.org": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]},
            "news.example.org",
            [],
            Level.wrong,
            "2 records at _dmarc.news.example.org count as none",
        ),
        ({"_dmarc.example.org": ["v=DMARC1; p=none"]}, "relay.net", ["example.org"], Level.ok, "aligned by DKIM"),
        ({"_dmarc.example.org": ["v=DMARC1; p=none"]}, "relay.net", [], Level.warning, "neither a signature of ours"),
        (
            {"_dmarc.example.org": ["v=DMARC1; p=none; adkim=s; aspf=s"]},
            "example.org",
            ["example.org"],
            Level.warning,
            "neither a signature of ours",
        ),
    ],
)
def test_what_dmarc_says(
    server: NameServer, records: dict[str, list[str]], bounces: str, signing: list[str], level: Level, what: str
) -> None:
    server.records = records
    found = dns_records.check_dmarc(Dns(server.address), "news.example.org", bounces, signing)
    assert found.level is level, found
    assert what in found.what


def test_a_name_server_that_says_nothing_is_a_warning_after_the_time_that_was_given(
    lite_folder: Folder, server: NameServer
) -> None:
    server.deaf = True
    append(lite_folder, entry("s", "ed.pem"))
    save(lite_folder, "ed.pem", ED25519)
    found = findings(lite_folder, "--dns-server", server.address, "--timeout", "0.1")
    for about in (NAME, "SPF of example.org", "DMARC of example.org"):
        assert found[about][:2] == ("warning", "DNS doesn't answer")


def test_dns_is_not_asked_unless_someone_says_so(lite_folder: Folder) -> None:
    assert not any("DMARC" in about for about in findings(lite_folder))


def test_a_name_server_by_its_name_is_a_sentence(lite_folder: Folder) -> None:
    for word in ("ns.example.org", "192.0.2.1:dns"):
        with pytest.raises(Mistake, match=f'"{word}" is not the address of a name server. Name one by its address'):
            type_in(lite_folder.path, "--dns-server", word)


# ---- dkim-key


@pytest.mark.parametrize(("kind", "words"), [("rsa", "RSA, 2,048 bits"), ("ed25519", "Ed25519")])
def test_a_key_is_made_for_its_owner_alone_and_its_lines_and_record_work(
    lite_folder: Folder, server: NameServer, kind: str, words: str
) -> None:
    told = type_in(lite_folder.path, "dkim-key", "--kind", kind).stdout
    selector = {"rsa": "newsletter", "ed25519": "newsletter-ed25519"}[kind]
    file = lite_folder.path / f"{selector}.example.org.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = dkim.read_key(file)
    assert dkim.kind(key) == kind
    assert told.startswith(f"{file}: {words}, readable by you alone\n")
    name, record = (
        next(line.split(None, 1)[1] for line in told.splitlines() if line.startswith(f"  {what} "))
        for what in ("name", "value")
    )
    lines = told[told.index("[[dkim]]") : told.index("\n\nThen: newsletter doctor --dns")]
    assert tomllib.loads(lines) == {
        "dkim": [{"domain": "example.org", "selector": selector, "key": f"{selector}.example.org.pem"}]
    }
    append(lite_folder, "\n", lines, "\n")
    server.records = {name: [record]}
    assert findings(lite_folder, "--dns-server", server.address)[name][0] == "ok"
    shown = type_in(lite_folder.path, "dkim-key", "--show", str(file)).stdout
    assert shown == told.replace(", readable by you alone", "")
    with pytest.raises(DkimMistake, match=f'has a key with the selector "{selector}" for example.org already'):
        type_in(lite_folder.path, "dkim-key", "--kind", kind)


def test_a_long_record_is_told_in_strings_that_a_zone_file_may_have(lite_folder: Folder) -> None:
    made = json.loads(type_in(lite_folder.path, "dkim-key", "--json").stdout)
    assert made["name"] == "newsletter._domainkey.example.org"
    assert "".join(made["strings"]) == made["record"]
    assert [len(each) <= 255 for each in made["strings"]] == [True, True]
    told = type_in(lite_folder.path, "dkim-key", "--show", made["file"]).stdout
    line = told[told.index("newsletter._domainkey.example.org. IN TXT") : told.index("\n\nOnce DNS has it")]
    import dns.zone

    zone = dns.zone.from_text(
        f"$TTL 60\n@ SOA ns.example. a.example. 1 1 1 1 1\n@ NS ns.example.\n{line}\n", "example.org"
    )
    ((_, _, data),) = zone.iterate_rdatas("TXT")
    assert b"".join(data.strings).decode() == made["record"]


def test_a_key_is_never_written_over(lite_folder: Folder) -> None:
    mine = lite_folder.path / "mine.pem"
    mine.write_text("mine")
    with pytest.raises(DkimMistake, match=r"mine\.pem: there is such a file already"):
        type_in(lite_folder.path, "dkim-key", "--output", str(mine))
    assert mine.read_text() == "mine"


def test_what_cannot_be_in_dns_is_a_sentence(lite_folder: Folder) -> None:
    with pytest.raises(DkimMistake, match='--selector: "a b" is not a name that DNS can have'):
        type_in(lite_folder.path, "dkim-key", "--selector", "a b")
    with pytest.raises(DkimMistake, match='--domain: "ex_ample" is not a name that DNS can have'):
        type_in(lite_folder.path, "dkim-key", "--domain", "ex_ample")
    assert not list(lite_folder.path.glob("*.pem*"))


def test_without_a_folder_a_domain_has_to_be_said(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="there is no such file"):
        type_in(tmp_path, "dkim-key")
    type_in(tmp_path, "dkim-key", "--domain", "München.example", "--kind", "ed25519")
    assert (tmp_path / "newsletter-ed25519.xn--mnchen-3ya.example.pem").exists()


def test_openssl_reads_the_key_and_finds_the_public_part_that_is_published(lite_folder: Folder) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = json.loads(type_in(lite_folder.path, "dkim-key", "--json").stdout)
    words = [openssl, "pkey", "-in", made["file"], "-check", "-pubout"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    body = told[told.index("-----BEGIN PUBLIC KEY-----") :].splitlines()[1:-1]
    assert made["record"] == f"v=DKIM1; k=rsa; p={''.join(body)}"


@pytest.mark.parametrize("words", [(), ("dkim-key",)])
def test_every_verb_has_help_with_examples(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(newsletter, ["doctor", *words, "--help"]).stdout
    assert f"  newsletter {' '.join(('doctor', *words))}" in said
