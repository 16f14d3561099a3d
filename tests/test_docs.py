"""The README and the program say the same: its commands run as written, its tables are complete."""

from __future__ import annotations

import configparser
import datetime as dt
import enum
import functools
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from test_cli import commands

import newsletter
from newsletter import config, reader_settings, story_file, theme_settings
from newsletter.__main__ import main
from newsletter.states import DeliveryState, IssueState

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"`[^`\n]+`", "", re.sub(r"(?ms)^```.*?^```$", "", README))
LONG = ("newsletter run", "newsletter work", "newsletter web")
"""What goes on until it is told to stop."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the file that the README says to save it as."""

    language: str
    text: str
    file: str


def blocks() -> Iterator[Block]:
    for found in re.finditer(r"(?ms)^```(\w+)\n(.*?)^```$", README):
        before = README[: found.start()].rstrip().rpartition("\n\n")[2]
        saved = re.search(r"Save this as `([^`]+)`:$", before)
        yield Block(found[1], found[2], saved[1] if saved else "")


def table(head: str, *, after: str = "") -> list[list[str]]:
    """The rows of the first table with this head, after these words."""
    assert after in README, after
    lines = README[README.index(after) :].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {head} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def spans() -> list[str]:
    """Whatever stands in backquotes outside fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", README))


@functools.cache
def there_is() -> dict[str, click.Command]:
    """Every command, by what is typed after newsletter."""
    return {typed.removeprefix("newsletter").strip(): command for typed, command, _ in commands()}


# ---- commands


def supply(folder: Path) -> None:
    """What the README takes for granted in the publication's folder: a picture, and a file of readers."""
    shutil.copy(TOP / "sample" / "stories" / "lead.png", folder / "bridge.png")
    (folder / "readers.csv").write_text("Email,Name,Town\nkei@example.org,Kei,Kyoto\nnobody,,\n", encoding="utf-8")


def trouble(folder: Path) -> None:
    """What a person is needed for: a delivery that failed, and one of which nobody knows."""
    with sqlite3.connect(folder / "newsletter.db") as database:
        for state, subscriber in (("failed", 2), ("uncertain", 3)):
            change = "UPDATE deliveries SET state = ?, reply = 'no answer' WHERE subscriber_id = ? AND state = 'sent'"
            assert database.execute(change, (state, subscriber)).rowcount == 1
    database.close()


def delivery(subscriber: int) -> str:
    """The state of one reader's copy."""
    with sqlite3.connect("newsletter.db") as database:
        (state,) = database.execute("SELECT state FROM deliveries WHERE subscriber_id = ?", (subscriber,)).fetchone()
    database.close()
    return str(state)


def type_in(line: str) -> int:
    """Types a line that begins with newsletter, in this process: its exit code."""
    words: list[str] = []
    for word in shlex.split(line)[1:]:
        place, _, pattern = word.rpartition("/")
        words += sorted(str(path) for path in Path(place).glob(pattern)) if "*" in word else [word]
    sys.argv = ["newsletter", *words]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    raise AssertionError("main() always exits")


def start_and_stop(line: str) -> int:
    """A command that goes on until it is told to stop: started, told so once it says that it runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(line)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    process.stdout.close()
    assert "Stopped" in rest, first + rest
    return process.wait(timeout=30)


def test_every_command_in_the_readme_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    (tmp_path / "sample").symlink_to(TOP / "sample")
    targets = set(re.findall(r"(?m)^(\w+):", (TOP / "Makefile").read_text(encoding="utf-8")))
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    ran = 0
    try:
        for block in blocks():
            if block.file:
                Path(block.file).write_text(block.text, encoding="utf-8")
            if "delivery resolve" in block.text:
                trouble(Path())
            for line in block.text.splitlines() if block.language == "sh" else ():
                if line.startswith("newsletter"):
                    code = start_and_stop(line) if line in LONG else type_in(line)
                    said = capfd.readouterr()
                    assert code == 0, f"$ {line}\n{said.out}{said.err}"
                    ran += 1
                elif line.startswith("cd "):
                    os.chdir(line.removeprefix("cd "))
                    supply(Path())
                elif line.startswith("make "):
                    assert line.removeprefix("make ") in targets, line
                else:
                    # The first needs no test; the second has its own, below.
                    assert line.startswith((". .venv/bin/activate", "python -m newsletter.migrations ")), line
                    if line.startswith("newsletter delivery retry"):
                        assert delivery(2) == "queued", said.out
                    if line.startswith("newsletter delivery resolve"):
                        assert delivery(3) == ("sent" if "--sent" in line else "uncertain"), said.out
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert ran > 50
    # Beside the issue and the test, what `newsletter run` tells the editors.
    mails = [message_from_bytes(each.read_bytes(), policy=default) for each in Path("outbox/new").iterdir()]
    bodies = [mail.get_body(("plain",)) for mail in mails if mail["List-Id"]]
    texts = [str(body.get_content()) for body in bodies if body is not None]
    assert len(texts) == 61, "60 readers and a test"
    assert all(re.search(r"Dear \S.*, the bridge", text) and "[[if" not in text for text in texts)


def test_the_readmes_way_to_a_migration_works(tmp_path: Path) -> None:
    (line,) = (line for block in blocks() for line in block.text.splitlines() if line.startswith("python -m"))
    shutil.copytree(TOP / "newsletter", tmp_path / "newsletter", ignore=shutil.ignore_patterns("__pycache__"))
    models = tmp_path / "newsletter" / "models.py"
    text = models.read_text(encoding="utf-8")
    column = "    erased: Mapped[dt.datetime | None]\n"
    assert text.count(column) == 1
    new = '    nickname: Mapped[str] = mapped_column(Text, server_default="")\n    met: Mapped[dt.datetime | None]\n'
    models.write_text(text.replace(column, column + new), encoding="utf-8")

    def run() -> str:
        words = [sys.executable, *shlex.split(line)[1:]]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    written = Path(run().strip())
    assert written.is_relative_to(tmp_path)
    assert "nickname" in written.read_text(encoding="utf-8")
    assert "nothing to write" in run(), "after it the tables are as the models say"


def test_the_unit_file_starts_a_command_that_there_is() -> None:
    (unit,) = (block.text for block in blocks() if block.language == "ini")
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(unit)
    program, *words = shlex.split(parsed["Service"]["ExecStart"])
    assert Path(program).name == "newsletter"
    assert f"newsletter {' '.join(words)}" in LONG


def test_the_relay_in_the_readme_is_one_that_config_takes() -> None:
    (relay,) = (block.text for block in blocks() if block.language == "toml")
    sample = (TOP / "config.toml").read_text(encoding="utf-8")
    place = re.search(r'(?s)\[\[relays\]\]\nname = "outbox".*?\n\n', sample)
    assert place is not None
    read = config.decode(sample.replace(place[0], relay + "\n"), TOP / "config.toml")
    assert read.relays[0].host == "smtp.example.org"


def test_every_command_is_in_the_table_of_commands_and_no_other() -> None:
    told = {}
    for named, does in table("command"):
        noun = named.strip("`").removeprefix("newsletter ")
        told[noun] = set(re.findall(r"`([a-z][a-z-]*)`", does))
    nouns = {typed for typed in there_is() if typed and " " not in typed}
    there = {noun: {typed.split()[1] for typed in there_is() if typed.startswith(f"{noun} ")} for noun in nouns}
    assert told == there


def test_every_command_and_option_named_in_the_readme_is_there() -> None:
    ahead = README[README.index("## What is not there yet") : README.index("## For developers")]
    nouns = {typed.split()[0] for typed in there_is() if " " in typed}
    for span in spans():
        words = span.split()
        if words[0] == "newsletter" and len(words) > 1 and words[1][0] != "-":
            typed = " ".join(words[1:3]) if words[1] in nouns and len(words) > 2 and words[2][0] != "-" else words[1]
            assert typed in there_is() or f"`{span}`" in ahead, span
        elif words[0] in nouns and len(words) > 1:
            assert " ".join(words[:2]) in there_is(), span
    there = {
        option
        for command in there_is().values()
        for each in command.params
        for option in (*each.opts, *each.secondary_opts)
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README)) - {"--strict", "--renew-golden"}
    assert len(named) > 20
    assert named - there <= {"--help"}, named - there


# ---- tables


PARTS: dict[str, type[msgspec.Struct]] = {
    "At the top of the file:": config.Config,
    "`[[relays]]`:": config.Relay,
    "`[sending]`:": config.Sending,
    "`[[dkim]]`:": config.Dkim,
    '`[warm_up."DOMAIN"]`,': config.WarmUp,
    "`[web]`:": reader_settings.Web,
    "`[sign_up]`:": reader_settings.SignUp,
    "`[returns]`:": reader_settings.Returns,
    "`[returns.listener]`:": reader_settings.Listener,
    "`[returns.imap]`:": reader_settings.Imap,
    "`[returns.webhooks]`;": reader_settings.Webhooks,
    "`[publications.NAME]`;": config.Publication,
    "`[publications.NAME.numbering]`:": config.Numbering,
    "`[publications.NAME.theme]`:": theme_settings.Theme,
    "`[publications.NAME.cadence]`:": config.Cadence,
}


def keys() -> Iterator[tuple[str, str, Any]]:
    """Every key of config.toml: the words before its table, its name, its default (NODEFAULT where it is needed)."""
    for words, shape in PARTS.items():
        for field in msgspec.structs.fields(shape):
            yield words, field.encode_name, {} if field.default_factory is dict else field.default


@pytest.mark.parametrize("words", sorted({words for words, _, _ in keys()}))
def test_every_key_of_config_toml_is_in_its_table_with_its_default_and_no_other(words: str) -> None:
    there = {name: default for part, name, default in keys() if part == words}
    told = {name.strip("`"): default for name, default, _ in table("key", after=words)}
    assert told.keys() == there.keys()
    for name, said in told.items():
        default = there[name]
        if default is msgspec.NODEFAULT:
            assert said == "needed", name
        elif default is None:
            assert said == "none", name
        elif isinstance(default, msgspec.Struct):
            assert said == "as below", name
        else:
            plain = default.value if isinstance(default, enum.Enum) else default
            value = tomllib.loads(f"it = {said.strip('`')}")["it"]
            assert value == (list(plain) if isinstance(plain, tuple) else plain), name


def test_no_part_of_config_is_left_out_of_the_tables() -> None:
    structs = {
        each
        for module in (config, reader_settings)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, msgspec.Struct)
    }
    assert structs - {msgspec.Struct} == set(PARTS.values())


@pytest.mark.parametrize(
    ("head", "states"), [("state of an issue", IssueState), ("state of a delivery", DeliveryState)]
)
def test_every_state_is_glossed_and_no_other(head: str, states: type[enum.Enum]) -> None:
    rows = table(head)
    assert [row[0] for row in rows] == [each.value for each in states]
    assert all(len(row[1].split()) > 2 or row[1] == "not begun" for row in rows)


def test_the_times_of_trying_again_are_the_defaults() -> None:
    (row,) = (row for row in table("state of a delivery") if row[0] == "deferred")
    told = [int(number) for number in re.findall(r"\d+", row[1])]
    assert told == [config.span(each) // dt.timedelta(minutes=1) for each in config.Sending().retry_after]
    assert "for two days" in row[1]
    assert config.span(config.Sending().give_up_after) == dt.timedelta(days=2)


def test_every_line_of_a_storys_front_matter_is_explained_and_no_other() -> None:
    told = [key for row in table("line") for key in re.findall(r"`([a-z_]+)`", row[0])]
    assert sorted(told) == sorted(story_file.KEYS)


def test_every_module_has_its_place_in_the_flow_and_no_other() -> None:
    told = [name for row in table("module") for name in re.findall(r"`([a-z_]+)`", row[0])]
    there = {
        path.stem for path in (TOP / "newsletter").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert len(told) == len(set(told))
    assert set(told) == {name for name in there if not name.startswith("__")}


# ---- words


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_the_words_are_plain(name: str) -> None:
    text = (TOP / name).read_text(encoding="utf-8")
    prose = re.sub(r"`[^`\n]+`", "", re.sub(r"(?ms)^```.*?^```$", "", text))
    assert not re.search(r"!|(?i:\b(?:please|successfully|simply|easily|powerful|blazing|oops)\b)", prose)
    assert all(len(line) <= 130 or line.startswith("|") for line in text.splitlines())


def test_every_link_within_the_readme_leads_somewhere() -> None:
    heads = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"(?m)^#+ (.*)$", README)}
    links = re.findall(r"\]\(#([^)]+)\)", README)
    assert links
    assert set(links) <= heads


def test_the_changelog_begins_with_this_version() -> None:
    text = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"(?m)^## \[(\d[^\]]*)\] - (\d{4}-\d{2}-\d{2})$", text)
    assert versions[0][0] == newsletter.__version__
    assert dt.date.fromisoformat(versions[0][1])
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == newsletter.__version__


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert (TOP / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"] == "MIT"
