"""What is typed: help, exit codes, and what a person did wrong told as a sentence, with nothing half done."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

import newsletter
from newsletter import init
from newsletter.__main__ import main
from newsletter.cli import newsletter as top

BEFORE = dt.datetime(2023, 11, 13, 14, 46, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
"""A Monday, the day before Vol 2 No 21 goes."""
STORY = "---\nheadline: {0}\nsection: {1}\n---\n\nText of {0}.\n"
COMMAND = (sys.executable, "-m", "newsletter")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """A publication's folder, and somebody who types in it."""

    path: Path
    type: Callable[..., Said]

    @property
    def config(self) -> str:
        return (self.path / "config.toml").read_text(encoding="utf-8")

    def change(self, old: str, new: str) -> None:
        assert old in self.config, old
        (self.path / "config.toml").write_text(self.config.replace(old, new, 1), encoding="utf-8")

    def issue(self) -> dict[str, Any]:
        found = json.loads(self.type("issue", "show", "2.21", "--json").out)
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `newsletter init` makes it, to copy."""
    path = tmp_path_factory.mktemp("made") / "digest"
    init.make(path, BEFORE).engine.dispose()
    return path


@pytest.fixture
def desk(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    """Commands run in this process, through the one place where a Mistake becomes words."""
    path = tmp_path / "digest"
    shutil.copytree(pristine, path)
    monkeypatch.chdir(path)

    def type_(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["newsletter", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return Desk(path, type_)


@pytest.fixture
def assembled(desk: Desk) -> Desk:
    """With two readers, and Vol 2 No 21 assembled of three stories."""
    for name in ("ada", "bea"):
        assert desk.type("subscriber", "add", f"{name}@example.org", "--list", "alliance-digest").code == 0
    for at, section in enumerate(("Economy", "Diplomacy", "Defense")):
        Path(f"{at}.md").write_text(STORY.format(f"Story {at}", section), encoding="utf-8")
    assert desk.type("draft", "add", "0.md", "1.md", "2.md").code == 0
    assert desk.type("issue", "assemble", "--force", "--at", BEFORE.isoformat()).code == 0
    return desk


def a_sentence(said: Said, *words: str) -> None:
    """Exit code 2 and one line on standard error that ends a sentence and holds these words."""
    assert said.code == 2, said
    assert said.err.count("\n") == 1, said.err
    assert said.err.rstrip()[-1] in '.!?…"', said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err or word[:1].upper() + word[1:] in said.err, (word, said.err)


def commands() -> Iterator[tuple[str, click.Command, str]]:
    """Every command: what is typed, itself, its help."""

    def walk(
        command: click.Command, typed: str, parent: click.Context | None
    ) -> Iterator[tuple[str, click.Command, str]]:
        context = click.Context(command, info_name=typed.rpartition(" ")[2], parent=parent, max_content_width=100)
        yield typed, command, command.get_help(context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None, f"{typed} lists {name}, which there isn't"
                yield from walk(inner, f"{typed} {name}", context)

    return walk(top, "newsletter", None)


def test_octets_on_the_command_line_that_are_no_utf_8_are_said_to_be_none_and_nothing_is_changed(
    assembled: Desk,
) -> None:
    a_sentence(assembled.type("issue", "hold", "next", "--why", "a source\udcff"), "typed isn't UTF-8")
    a_sentence(assembled.type("issue", "hold", "next", "--why", "a source", "--by", "\udce9"), "typed isn't UTF-8")
    assert assembled.issue()["state"] == "assembled"


# ---- help


def test_help_answers_without_loading_the_database_the_templates_or_the_tables() -> None:
    ask = (
        "import sys\nsys.argv = ['newsletter', '--help']\nfrom newsletter.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    print('LOADED', *sorted({'sqlalchemy', 'jinja2', 'rich', 'alembic', 'PIL', 'mjml'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.rstrip().endswith("LOADED"), said.stdout
    assert "Usage: newsletter" in said.stdout


def test_the_version_is_told(desk: Desk) -> None:
    assert desk.type("--version").out == f"newsletter, version {newsletter.__version__}\n"


def test_help_of_every_command_says_what_it_does_and_shows_it_typed() -> None:
    for typed, _, text in commands():
        lines = [line.strip() for line in text.splitlines()]
        assert lines[2:3] > [""], f"{typed} doesn't say what it does"
        assert any(line.startswith(typed) for line in lines[1:]), f"{typed} --help shows no example"


def test_every_command_that_shows_something_also_tells_it_to_machines() -> None:
    asked = [
        (typed, command)
        for typed, command, _ in commands()
        if typed.split()[-1] in ("list", "show", "status", "calendar") and not isinstance(command, click.Group)
    ]
    assert len(asked) >= 12
    for typed, command in asked:
        assert any("--json" in each.opts for each in command.params), f"{typed} has no --json"


def test_help_is_plain_words() -> None:
    for typed, _, text in commands():
        for word in ("please", "successfully", "oops", "!"):
            assert word not in text.lower(), f"{typed} --help says {word!r}"


@pytest.mark.parametrize("words", [(), ("draft",), ("issue",), ("list",), ("subscriber",), ("delivery",), ("db",)])
def test_a_noun_alone_shows_its_help(desk: Desk, words: tuple[str, ...]) -> None:
    said = desk.type(*words)
    assert "Usage: newsletter" in said.out + said.err
    assert "Traceback" not in said.err


# ---- config.toml


def test_without_a_config_the_way_to_one_is_told(desk: Desk) -> None:
    (desk.path / "config.toml").unlink()
    a_sentence(desk.type("status"), "config.toml: there is no such file", "newsletter init DIR")


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00\x01", b'title = "\xe9"\n', bytes(range(256))])
def test_a_config_that_is_no_text_is_a_sentence(desk: Desk, raw: bytes) -> None:
    (desk.path / "config.toml").write_bytes(raw)
    a_sentence(desk.type("status"), "config.toml, line", "this is not UTF-8. Save the file as UTF-8.")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('sender = "digest@example.org"', "sender = digest", "this is not TOML"),
        ('sender = "', 'sendr = "', "publications.digest.sendr: there is no setting `sendr` here"),
        (
            'time = "09:00"',
            'time = "9 o\'clock"',
            'publications.digest.cadence.time: "9 o\'clock" is not a time of day; write it as "09:00"',
        ),
        ('time = "09:00"', 'time = "25:00"', '"25:00" is not a time of day'),
        ("America/New_York", "America/Springfield", 'cadence.zone: "America/Springfield" is not a time zone'),
        ("America/New_York", "../../etc/passwd", "is not a time zone"),
        ("anchor = 2023-11-14\n", "", "publications.digest.cadence.anchor: it is missing"),
        ("anchor = 2023-11-14", 'anchor = "Nov 14"', "anchor: this is not a date; write it as 2023-11-14"),
        ("anchor = 2023-11-14", "anchor = 2023-02-30", "this is not TOML: invalid date"),
        ('every = "2 weeks"', 'every = "fortnightly"', '"fortnightly" is not a rhythm; write "14 days"'),
        ("1 day before at 17:00", "same day at 09:01", "cadence.copy_deadline: it comes after the issue goes"),
        ("same day at 08:00", "same day at 10:00", "cadence.approve_by: it must come between"),
        (
            'approval = "approve"',
            'approval = "always"',
            '"always" is not known here; write "manual" or "approve" or "veto"',
        ),
        ('scheme = "by-year"', 'scheme = "roman"', 'numbering.scheme: "roman" is not known here'),
        (
            "min_stories = 3",
            'min_stories = "three"',
            "min_stories: a whole number is wanted here, not a text in quotes",
        ),
        ("min_stories = 3", "min_stories = 0", "min_stories: it must be at least 1"),
        ("min_stories = 3", "min_stories = 9", "min_stories: it is more than max_stories (8)"),
        ('lists = ["alliance-digest"]', "lists = []", "publications.digest.lists: it can't be empty"),
        ('lists = ["alliance-digest"]', 'lists = "alliance-digest"', "a list such as"),
        ('title = "US-Japan Alliance Digest"', 'title = " "', "publications.digest.title: it can't be empty"),
        (
            "[publications.digest.numbering]",
            '[publications.digest.preflight]\nno-source = " "\n[publications.digest.numbering]',
            "publications.digest.preflight.no-source: it can't be empty",
        ),
        (
            'kind = "maildir"',
            'kind = "pigeon"',
            'relays[0].kind: "pigeon" is not known here; write "smtp" or "maildir"',
        ),
        ('base_url = "https:', 'base_url = "ftp:', "is not a web address"),
        ('base_url = "', 'basis = "', "there is no setting `basis` here"),
        ('sender = "digest@', 'sender = "Digest <digest@', "is not an address"),
        ('title = "US', 'title = "US\\r\\nBcc: x', "title: it holds a line break or a control character"),
        ("{volume}", "{volum}", "there is no {volum}; there is {title}"),
        ('late = "6 hours"', 'late = "soon"', '"soon" is not a length of time; write "30 minutes"'),
        ("[publications.digest.numbering]", '[publications."Our Digest"]', "a name is wanted here"),
    ],
)
def test_a_config_that_cannot_be_is_a_sentence_with_its_line(desk: Desk, old: str, new: str, words: str) -> None:
    where = desk.config.split(old, 1)[0].count("\n") + 1
    desk.change(old, new)
    said = desk.type("calendar")
    a_sentence(said, str(desk.path / "config.toml"), words)
    if "missing" in words:
        # What isn't there stands on no line; that of its table helps most.
        where = desk.config.split("[publications.digest.cadence]")[0].count("\n") + 1
    if old[:1] != "[" and new[:5] != "basis":
        assert f"config.toml, line {where}" in said.err, said.err


@pytest.mark.parametrize("more", ["", "\n[web]\nport = 8025\n\n[web]\n"], ids=["a key", "a table at the end"])
def test_what_is_set_twice_is_told_where_it_is_set_again(desk: Desk, more: str) -> None:
    again = "[web]" if more else 'language = "ja"'
    desk.change('language = "en"\n', 'language = "en"\n' if more else 'language = "en"\nlanguage = "ja"\n')
    text = desk.path.joinpath("config.toml").read_text("utf-8") + more
    desk.path.joinpath("config.toml").write_text(text, "utf-8")
    line = text[: text.rindex(again)].count("\n") + 1
    a_sentence(desk.type("status"), f"config.toml, line {line}", "this is set a second time. Leave it in one place.")


def test_of_several_relays_the_line_of_the_wrong_one_is_told(desk: Desk) -> None:
    desk.change("[publications.digest]", '[[relays]]\nname = "other"\nport = "smtp"\n\n[publications.digest]')
    line = desk.config.split('port = "smtp"')[0].count("\n") + 1
    a_sentence(desk.type("calendar"), f"line {line}: relays[1].port: a whole number is wanted here")


def test_an_anchor_that_never_comes_is_a_sentence(desk: Desk) -> None:
    desk.change("anchor = 2023-11-14", "anchor = 9999-12-30")
    a_sentence(desk.type("calendar"), "the calendar has no issue after", "cadence.anchor")


def test_a_list_that_is_not_there_is_a_sentence(assembled: Desk) -> None:
    assembled.change('lists = ["alliance-digest"]', 'lists = ["nobody"]')
    a_sentence(assembled.type("list", "apply"), 'publications.digest.lists names "nobody"', "lists/nobody.toml")
    a_sentence(assembled.type("issue", "send", "2.21", "--yes"), 'there is no list "nobody"')
    assert assembled.issue()["state"] == "assembled"


# ---- the database


def test_a_database_newer_than_the_program_is_left_alone(desk: Desk) -> None:
    import sqlite3

    with sqlite3.connect(desk.path / "newsletter.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    a_sentence(desk.type("status"), "the database is of version 9999, newer than this program", "nothing was changed")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://digest:secret@127.0.0.1:1/digest", "the database can't be used"),
        ("sqlite:///no/such/folder/newsletter.db", "the database can't be used: unable to open database file"),
        ("sqlite:///config.toml", "the database can't be used: file is not a database"),
        ("mysql://digest:secret@localhost/digest", "is not a database that can be used"),
        ("$NO_SUCH_DATABASE", "the environment has no NO_SUCH_DATABASE"),
    ],
)
def test_a_database_that_cannot_be_reached_is_a_sentence_without_its_password(desk: Desk, url: str, words: str) -> None:
    desk.change("sqlite:///newsletter.db", url)
    said = desk.type("status")
    a_sentence(said, words)
    assert "secret" not in said.err


def test_a_folder_that_is_not_empty_is_not_made_into_a_publications(desk: Desk) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("kept", encoding="utf-8")
    a_sentence(desk.type("init", "mine"), "there is something here already")
    assert [each.name for each in Path("mine").iterdir()] == ["notes.txt"]


# ---- things that aren't there


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("calendar", "-p", "weekly"), 'there is no publication "weekly". There is digest.'),
        (("draft", "list", "-p", "weekly"), 'there is no publication "weekly"'),
        (("list", "show", "weekly"), 'there is no list "weekly". There is alliance-digest.'),
        (("subscriber", "list", "--list", "weekly"), 'there is no list "weekly"'),
        (("subscriber", "add", "a@example.org", "--list", "weekly"), 'there is no list "weekly"'),
        (("issue", "show", "9.9"), 'there is no issue "9.9"'),
        (("issue", "show", "ninety"), '"ninety" is not a volume and number'),
        (("issue", "approve", "9.9"), 'there is no issue "9.9"'),
        (("issue", "preview", "9.9"), 'there is no issue "9.9"'),
        (("issue", "send", "9.9", "--yes"), 'there is no issue "9.9"'),
        (("delivery", "list", "9.9"), 'there is no issue "9.9"'),
        (("db", "backup", "config.toml"), "there is such a file already"),
        (("db", "backup", "no/such/place.db"), "place.db"),
        (("draft", "show", "99"), "there is no draft 99"),
        (("draft", "ready", "99"), "there is no draft 99"),
        (("draft", "edit", "99", "--headline", "x"), "there is no draft 99"),
        (("subscriber", "show", "nobody@example.org"), "nobody here has the address nobody@example.org"),
        (("subscriber", "unsubscribe", "nobody@example.org", "--all"), "nobody here has the address"),
        (
            ("subscriber", "import", "people.csv", "--list", "alliance-digest"),
            "people.csv: it can't be read: No such file",
        ),
        (("subscriber", "add", "not an address", "--list", "alliance-digest"), '"not an address" is not an address'),
        (
            ("subscriber", "add", "a@example.org", "--list", "alliance-digest", "--name", "A\r\nBcc: b@example.org"),
            "line break",
        ),
        (("draft", "add", "story.md"), "story.md: there is no such file"),
    ],
)
def test_what_is_not_there_is_a_sentence(desk: Desk, words: tuple[str, ...], told: str) -> None:
    a_sentence(desk.type(*words), told)


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("issue", "hold"),
        ("calendar", "--at", "tomorrow"),
        ("calendar", "-n", "0"),
        ("draft", "show", "one"),
    ],
)
def test_what_cannot_be_typed_ends_with_two_and_a_word_about_help(desk: Desk, words: tuple[str, ...]) -> None:
    said = desk.type(*words)
    assert (said.code, said.out) == (2, "")
    assert "Usage: newsletter" in said.err
    assert "Error: " in said.err


# ---- stories and pictures


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("No front matter.\n", "line 1"),
        ("---\nheadline: A: B: C\nsection: Economy\n---\n\nText.\n", "line 2: a colon stands within this text"),
        (
            "---\nheadlin: A\nsection: Economy\n---\n\nText.\n",
            'line 2: there is no "headlin" in a story. Did you mean headline?',
        ),
        (
            "---\nheadline: A\nsection: Economics\n---\n\nText.\n",
            'line 3: there is no section "Economics". Did you mean Economy?',
        ),
        ("---\nheadline: A\nsection: Economy\nnot_before: soon\n---\n\nText.\n", 'line 4: "soon" is not a date'),
        ("---\nheadline: A\nsection: Economy\n---\n\n", "the story has no text"),
        ("---\nheadline: A\nsection: Economy\nlink: javascript:alert(1)\n---\n\nText.\n", "line 4"),
        (
            "---\nheadline: A\nsection: Economy\npicture: none.png\nalt: None.\n---\n\nText.\n",
            "line 4: there is no picture at",
        ),
    ],
)
def test_a_story_with_a_mistake_names_its_line_and_none_is_queued(desk: Desk, text: str, told: str) -> None:
    Path("good.md").write_text(STORY.format("Good", "Economy"), encoding="utf-8")
    Path("bad.md").write_text(text, encoding="utf-8")
    a_sentence(desk.type("draft", "add", "good.md", "bad.md"), "bad.md", told)
    assert json.loads(desk.type("draft", "list", "--json").out) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GIF89a, or so it says", "picture.png"),
        (b"", "picture.png"),
        # A PNG that says it has 100,000 × 100,000 pixels: a bomb, refused by its header.
        (
            bytes.fromhex("89504e470d0a1a0a0000000d49484452000186a0000186a00802000000f9b8f1c60000000049454e44ae426082"),
            "picture.png",
        ),
    ],
)
def test_an_image_that_is_none_or_a_bomb_is_a_sentence_and_nothing_is_kept(
    desk: Desk, content: bytes, told: str
) -> None:
    Path("picture.png").write_bytes(content)
    text = STORY.format("Pictured", "Economy").replace("---\n\n", "picture: picture.png\nalt: A bridge.\n---\n\n")
    Path("story.md").write_text(text, encoding="utf-8")
    a_sentence(desk.type("draft", "add", "story.md"), told)
    assert json.loads(desk.type("draft", "list", "--json").out) == []
    assert not (desk.path / "pictures").exists()


# ---- templates


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("digest/issue.mjml", "<mj-spacer", "<mj-spaceship", "mj-spaceship"),
        ("shared/mail-foot.mjml", "[[address]]", "[[adress]]", "[[adress]] is not a field"),
        (
            "shared/mail-foot.mjml",
            "[[unsubscribe_url]]",
            "[[if city]][[unsubscribe_url]]",
            "this [[if …]] has no [[end]]",
        ),
        ("digest/issue.txt", "{% endfor %}", "", "issue.txt"),
        ("shared/text-head.txt", "publication.title", "publication.titel", "titel"),
        ("digest/page.html", "{{", "{{ no_such_thing }}{{", "no_such_thing"),
    ],
)
def test_a_broken_template_is_a_sentence_with_its_line_and_no_mail(
    assembled: Desk, name: str, old: str, new: str, told: str
) -> None:
    template = assembled.path / "templates" / name
    text = template.read_text(encoding="utf-8")
    assert old in text
    template.write_text(text.replace(old, new, 1), encoding="utf-8")
    for words in (("preview", "2.21"), ("test", "2.21", "me@example.org"), ("send", "2.21", "--yes")):
        a_sentence(assembled.type("issue", *words, "--at", BEFORE.isoformat()), f"{name}, line", told)
        assert assembled.issue()["state"] == "assembled"
        assert not list((assembled.path / "outbox" / "new").glob("*"))


def test_a_condition_that_never_ends_in_a_story_is_a_sentence(assembled: Desk) -> None:
    Path("3.md").write_text(STORY.format("Story 3", "Economy") + "[[if city]]You.\n", encoding="utf-8")
    assert assembled.type("issue", "reopen", "2.21", "--at", BEFORE.isoformat()).code == 0
    assembled.type("draft", "add", "3.md")
    a_sentence(assembled.type("issue", "preview", "--at", BEFORE.isoformat()), "this [[if …]] has no [[end]]")


# ---- relays


class Nobody:
    """An authenticator of aiosmtpd's that lets nobody in."""

    def __call__(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)


class Refuses:
    """A mail server that takes no message."""

    async def handle_MAIL(  # noqa: N802 - aiosmtpd looks for it by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        return "550 5.7.1 no mail from you"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert isinstance(port, int)
        return port


def relay(desk: Desk, port: int, security: str, more: str = "") -> None:
    desk.change(
        'kind = "maildir"\npath = "outbox"', f'host = "127.0.0.1"\nport = {port}\nsecurity = "{security}"\n{more}'
    )


@pytest.fixture(params=["test", "send"])
def refused(request: pytest.FixtureRequest, assembled: Desk) -> Callable[..., None]:
    """refused(words…): neither a test nor an issue goes; the words are told, and nothing is half done."""

    def check(*words: str) -> None:
        before = assembled.issue()
        rest = ("2.21", "me@example.org") if request.param == "test" else ("2.21", "--yes")
        a_sentence(assembled.type("issue", request.param, *rest, "--at", BEFORE.isoformat()), *words)
        assert assembled.issue() == before
        assert assembled.issue()["state"] == "assembled"

    return check


def test_a_relay_that_is_not_there_is_a_sentence(assembled: Desk, refused: Callable[..., None]) -> None:
    port = free_port()
    relay(assembled, port, "none")
    refused(
        f"relay outbox (127.0.0.1:{port}): it can't be reached: connection refused", "Check host, port and security"
    )


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_relay_that_refuses_the_login_is_a_sentence(
    assembled: Desk, refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    relay(assembled, port, "none", 'username = "digest"\npassword_env = "RELAY_PASSWORD"')
    refused("the environment has no RELAY_PASSWORD")
    monkeypatch.setenv("RELAY_PASSWORD", "correct horse")
    server = Controller(
        object(), hostname="127.0.0.1", port=port, authenticator=Nobody(), auth_required=True, auth_require_tls=False
    )
    server.start()
    try:
        refused(
            "it refuses the login: 535 5.7.8",
            "Check username, and the password in the environment variable RELAY_PASSWORD",
        )
    finally:
        server.stop()


def test_a_relay_with_a_certificate_that_is_not_good_is_a_sentence(
    assembled: Desk, refused: Callable[..., None]
) -> None:
    import ssl

    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example.org").configure_cert(context)
    authority.cert_pem.write_to_path(assembled.path / "ours.pem")
    stranger.cert_pem.write_to_path(assembled.path / "strange.pem")
    port = free_port()
    relay(assembled, port, "starttls", 'ca_file = "strange.pem"')
    server = Controller(object(), hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True)
    server.start()
    try:
        refused("its certificate isn't good: unable to get local issuer certificate", "ca_file")
        assembled.change("strange.pem", "ours.pem")
        refused("its certificate isn't good: IP address mismatch")
        assembled.change("ours.pem", "none.pem")
        refused("the certificates in none.pem can't be read")
    finally:
        server.stop()


def test_a_relay_that_offers_no_tls_is_not_spoken_to_in_the_clear(
    assembled: Desk, refused: Callable[..., None]
) -> None:
    port = free_port()
    relay(assembled, port, "starttls")
    server = Controller(object(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        refused("it doesn't offer what is asked of it: STARTTLS")
    finally:
        server.stop()


def test_a_relay_that_takes_no_test_is_quoted(assembled: Desk) -> None:
    port = free_port()
    relay(assembled, port, "none")
    server = Controller(Refuses(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        said = assembled.type("issue", "test", "2.21", "me@example.org")
    finally:
        server.stop()
    a_sentence(
        said, "the relay doesn't take the test to me@example.org: it refuses the sender: 550 5.7.1 no mail from you"
    )


def test_two_tests_into_a_maildir_are_two_messages(assembled: Desk) -> None:
    assert assembled.type("issue", "test", "2.21", "me@example.org", "you@example.org").code == 0
    assert assembled.type("issue", "test", "2.21", "me@example.org").code == 0
    assert len(list((assembled.path / "outbox" / "new").iterdir())) == 3


# ---- stopped


def test_ctrl_c_in_the_middle_of_an_import_leaves_nothing(desk: Desk) -> None:
    rows = [f"reader{n}@example.org" for n in range(3000)] + ["no address " * 20] * 3000
    Path("people.csv").write_text("email\n" + "\n".join(rows) + "\n", encoding="utf-8")
    # The file of refused rows is a pipe that nobody empties: the import stands still in its transaction, with
    # thousands of readers written and no clock asked.
    os.mkfifo("refused.csv.part")
    importing = subprocess.Popen(
        [*COMMAND, "subscriber", "import", "people.csv", "--list", "alliance-digest", "--refused", "refused.csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with open("refused.csv.part", encoding="utf-8") as pipe:
        assert "reason" in pipe.readline()
        importing.send_signal(signal.SIGINT)
        while pipe.read(1 << 16):
            pass
    out, err = importing.communicate(timeout=30)
    assert (importing.returncode, out, err.strip()) == (130, "", "Stopped.")
    assert json.loads(desk.type("subscriber", "list", "--json").out) == []
    assert not list(desk.path.glob("refused*"))


def test_a_reader_of_the_output_who_has_seen_enough_is_no_fault(assembled: Desk) -> None:
    for words in (("draft", "list"), ("draft", "list", "--json"), ("--help",), ("calendar", "-n", "100")):
        listing = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == "", words
        listing.stderr.close()
        assert listing.wait(timeout=30) != 2
