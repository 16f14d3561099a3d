"""`newsletter draft`, as an editor types it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import CONFIG
from PIL import Image

from newsletter.cli import newsletter
from newsletter.errors import Mistake
from newsletter.folder import Folder

STORY = "---\nheadline: {headline}\nsection: {section}\n{more}---\nText of {headline}.\n"
Run = Callable[..., str]


@pytest.fixture
def stories(tmp_path: Path) -> Callable[..., str]:
    """stories("a", more="…"): a story's file."""

    def write(headline: str, section: str = "Economy", more: str = "") -> str:
        file = tmp_path / f"{headline}.md"
        file.write_text(STORY.format(headline=headline, section=section, more=more), encoding="utf-8")
        return str(file)

    return write


def command(folder: Path, *words: object, stdin: str | bytes = "", env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(
        newsletter,
        ["-C", str(folder), "draft", *map(str, words)],
        input=stdin,
        env={"EDITOR": None, "VISUAL": None, **(env or {})},
    )


@pytest.fixture
def run(folder: Folder) -> Run:
    """run("list", "--json"): what `newsletter draft list --json` says, on both databases."""

    def run(*words: object, **options: object) -> str:
        result = command(folder.path, *words, **options)  # type: ignore[arg-type]
        assert result.exception is None, result.exception
        return result.stdout

    return run


@pytest.fixture
def refused(folder: Folder) -> Run:
    """The sentence with which something is refused."""

    def refused(*words: object, **options: object) -> str:
        result = command(folder.path, *words, **options)  # type: ignore[arg-type]
        assert isinstance(result.exception, Mistake), (result.output, result.exception)
        return str(result.exception)

    return refused


def headlines(run: Run, *words: str) -> str:
    return " ".join(each["headline"] for each in json.loads(run("list", "--json", *words)))


def editor(tmp_path: Path, *steps: str) -> dict[str, str]:
    """An $EDITOR that runs one step of Python on the text at each call: it is in `t`, and written back."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        f"steps = {list(steps)!r}\n"
        f"calls = pathlib.Path({str(tmp_path / 'calls')!r})\n"
        "n = int(calls.read_text()) if calls.exists() else 0\n"
        "calls.write_text(str(n + 1))\n"
        "file = pathlib.Path(sys.argv[-1])\n"
        f"seen = pathlib.Path({str(tmp_path)!r}, f'seen{{n}}')\n"
        "seen.write_bytes(file.read_bytes())\n"
        "space = {'t': file.read_text()}\n"
        "exec(steps[n], space)\n"
        "file.write_text(space['t'])\n"
    )
    return {"EDITOR": f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}"}


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("story-*.md"))


def test_stories_are_queued_with_a_line_for_each(run: Run, stories: Callable[..., str]) -> None:
    said = run("add", stories("One"), stories("Two", "Defense", "state: writing\n"))
    assert said == "queued 1: One (Economy)\nqueued 2: Two (Defense), in writing\n"
    assert headlines(run) == "One Two"


def test_a_mistake_in_any_file_queues_none(run: Run, refused: Run, stories: Callable[..., str], tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"not one")
    bad = stories("Two", "Sports")
    worse = stories("Three", more="picture: a.png\nalt: A bridge.\n")
    assert refused("add", stories("One"), bad).startswith(f'{bad}, line 3: there is no section "Sports"')
    assert "a.png: this is not a picture" in refused("add", stories("One"), worse)
    assert refused("add", stories("One"), tmp_path / "none.md").endswith("none.md: there is no such file.")
    assert headlines(run) == ""
    assert not (tmp_path / "pictures").exists()


def test_a_story_comes_from_standard_input(run: Run, refused: Run) -> None:
    text = STORY.format(headline="Größe", section="Economy", more="")
    assert run("add", "-", stdin=text.encode()) == "queued 1: Größe (Economy)\n"
    assert "standard input, line 2: this is not UTF-8" in refused("add", "-", stdin=text.encode("latin-1"))


def test_a_picture_is_looked_for_beside_the_storys_file(run: Run, stories: Callable[..., str], tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000), "red").save(tmp_path / "a.png")
    run("add", stories("One", more="picture: a.png\nalt: Red.\ncredit: Us\n"))
    (facts,) = json.loads(run("list", "--json"))
    assert facts["picture"]["url"].startswith("https://digest.example.org/pictures/")
    assert (facts["picture"]["width"], facts["picture"]["alt"], facts["picture"]["credit"]) == (1280, "Red.", "Us")
    assert "✓" in run("list").splitlines()[2][-10:]


def test_the_list_shows_the_queue_and_what_is_placed_and_all_when_asked(run: Run, stories: Callable[..., str]) -> None:
    run(
        "add",
        stories("One", more="not_before: 2023-11-20\n"),
        stories("Two", more="not_after: 2024-01-02\n"),
        stories("Three"),
    )
    run("drop", 3)
    said = run("list", "--at", "2023-11-13T14:46-05:00")
    assert "from Nov 20 " in said
    assert "until Jan 2, 2024" in said
    assert said.endswith("2 stories: 2 ready.\n")
    assert "– dropped" in run("list", "--all")
    assert headlines(run, "--state", "dropped") == "Three"
    run("drop", 1, 2)
    assert "newsletter draft add" in run("list")


def test_what_show_prints_can_be_queued_and_edited_with_its_picture(
    run: Run, stories: Callable[..., str], tmp_path: Path
) -> None:
    noise = Image.effect_noise((900, 600), 90).convert("RGB")
    noise.save(tmp_path / "a.jpg")
    run(
        "add",
        stories("One: two".replace(": ", " "), more="picture: a.jpg\nalt: Noise.\nauthor: 'A: b'\n"),
        "--at",
        "2023-11-13T14:46-05:00",
    )
    shown = run("show", 1)
    assert "# draft 1: ready, queued Nov 13, 2023 14:46\n" in shown
    before = json.loads(run("show", 1, "--json"))
    (tmp_path / "again.md").write_text(shown, encoding="utf-8")
    run("edit", 1, tmp_path / "again.md")
    after = json.loads(run("show", 1, "--json"))
    assert {**after, "changed": None} == {**before, "changed": None}
    run("add", tmp_path / "again.md")
    again = json.loads(run("show", 2, "--json"))
    assert (again["picture"], again["body"], again["author"]) == (before["picture"], before["body"], "A: b")


def test_options_change_one_thing_and_leave_the_rest(
    run: Run, refused: Run, stories: Callable[..., str], tmp_path: Path
) -> None:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "a.png")
    run("add", stories("One", more="not_before: 2023-11-20\nauthor: Us\n"))
    assert run(
        "edit", 1, "--headline", " A: b ", "--not-before", "", "--picture", tmp_path / "a.png", "--alt", "Red."
    ) == ("changed 1: A: b (Economy)\n")
    facts = json.loads(run("show", 1, "--json"))
    assert (facts["headline"], facts["not_before"], facts["author"], facts["body"]) == (
        "A: b",
        None,
        "Us",
        "Text of One.",
    )
    assert facts["picture"]["alt"] == "Red."
    run("edit", 1, "--not-after", "2024-01-31", "--credit", "Us")
    facts = json.loads(run("show", 1, "--json"))
    assert (facts["not_after"], facts["picture"]["credit"], facts["picture"]["alt"]) == ("2024-01-31", "Us", "Red.")
    assert "alt text" in refused("edit", 1, "--alt", "")
    assert "not a date" in refused("edit", 1, "--not-after", "soon")
    assert "no section" in refused("edit", 1, "--section", "Sports")
    assert "line break" in refused("edit", 1, "--headline", "a\nBcc: b")
    assert "together" in refused("edit", 1, tmp_path / "x.md", "--headline", "x")
    run("edit", 1, "--no-picture")
    assert json.loads(run("show", 1, "--json"))["picture"] is None


def test_an_edit_keeps_the_state_unless_the_file_says_another(run: Run, stories: Callable[..., str]) -> None:
    run("add", stories("One", more="state: writing\n"))
    for more, state in (("", "writing"), ("state: ready\n", "ready"), ("", "ready"), ("state: writing\n", "writing")):
        run("edit", 1, stories("One", more=more))
        assert json.loads(run("show", 1, "--json"))["state"] == state


def test_states_turn_for_several_at_once_or_for_none(run: Run, refused: Run, stories: Callable[..., str]) -> None:
    run("add", stories("One"), stories("Two"))
    assert run("write", 1, 2) == "writing 1: One (Economy)\nwriting 2: Two (Economy)\n"
    assert "no draft 9" in refused("ready", 1, 9)
    assert headlines(run, "--state", "ready") == ""
    assert run("ready", 2) == "ready 2: Two (Economy)\n"
    assert headlines(run, "--state", "ready") == "Two"


def test_the_order_is_changed_and_shown(run: Run, refused: Run, stories: Callable[..., str]) -> None:
    run("add", *(stories(name) for name in "abcd"))
    said = run("order", 4, 2)
    assert [line.split()[1] for line in said.splitlines()[2:6]] == ["4", "2", "1", "3"]
    run("order", 3, "--before", 2)
    run("order", 4, "--last")
    assert headlines(run) == "c b a d"
    assert "together" in refused("order", 1, "--last", "--before", 2)


def test_of_several_publications_one_must_be_named_and_its_own_drafts_are_its_own(
    make_folder: Callable[..., Folder], stories: Callable[..., str]
) -> None:
    other = CONFIG[CONFIG.index("[publications.digest]") : CONFIG.index("[publications.digest.numbering]")]
    other = other.replace("digest]", "bulletin]").replace('"Economy", "Diplomacy", "Defense"', "")
    folder = make_folder(
        (
            "[publications.digest.numbering]",
            (other + "[publications.bulletin.cadence]\nanchor = 2023-11-14\n\n[publications.digest.numbering]"),
        )
    )
    one = stories("One", "Letters")
    assert "--publication NAME" in str(command(folder.path, "add", one).exception)
    assert "no section" in str(command(folder.path, "add", one, "-p", "digest").exception)
    assert command(folder.path, "add", one, "-p", "bulletin").stdout == "queued 1: One (Letters)\n"
    assert (
        command(folder.path, "add", stories("Two", more="publication: digest\n")).stdout == "queued 2: Two (Economy)\n"
    )
    assert 'belongs to "bulletin"' in str(command(folder.path, "drop", 1, "-p", "digest").exception)
    assert 'for "bulletin"' in str(
        command(folder.path, "edit", 2, stories("Two", more="publication: bulletin\n")).exception
    )
    assert json.loads(command(folder.path, "list", "-p", "digest", "--json").stdout)[0]["id"] == 2


def lite(folder: Folder, *words: object, **options: object) -> Result:
    return command(folder.path, *words, **options)  # type: ignore[arg-type]


FILL = "t = t.replace('headline:', 'headline: One', 1).replace('section:', 'section: Economy', 1) + 'Text.'"


def test_a_story_is_written_in_the_editor(lite_folder: Folder, tmp_path: Path) -> None:
    result = lite(lite_folder, "add", env=editor(tmp_path, FILL))
    assert result.stdout == "queued 1: One (Economy)\n"
    assert not left_over(lite_folder.path)


def test_an_editor_that_is_left_without_a_word_queues_nothing(lite_folder: Folder, tmp_path: Path) -> None:
    result = lite(lite_folder, "add", env=editor(tmp_path, ""))
    assert (result.exit_code, result.stdout) == (0, "Nothing was written; nothing is queued.\n")
    assert not left_over(lite_folder.path)


def test_a_mistake_is_shown_over_the_text_which_is_offered_again(lite_folder: Folder, tmp_path: Path) -> None:
    wrong = FILL.replace("headline: One", "headline: One: two")
    env = editor(tmp_path, wrong, "t = t + ' More.'", "t = t.replace('One: two', '\"One: two\"')")
    result = lite(lite_folder, "add", env=env, stdin="y\ny\n")
    assert result.stdout.endswith("queued 1: One: two (Economy)\n")
    for n in (1, 2):
        again = (tmp_path / f"seen{n}").read_text().splitlines()
        assert again[1].startswith("# ✗ line 5: a colon stands within this text")
        assert again[4] == "headline: One: two"
        assert not again[2].startswith("# ✗")
    assert not left_over(lite_folder.path)
    assert json.loads(lite(lite_folder, "show", 1, "--json").stdout)["body"] == "Text. More."


@pytest.mark.parametrize(
    ("answer", "steps"),
    [
        ("n\n", []),
        ("", []),
        ("y\n", [""]),
        ("y\n", ["sys.exit(1)"]),
    ],
)
def test_whoever_gives_up_finds_the_text_in_a_file(
    lite_folder: Folder, tmp_path: Path, answer: str, steps: list[str]
) -> None:
    env = editor(tmp_path, FILL.replace("Economy", "Sports"), *(f"import sys; {step}" for step in steps))
    result = lite(lite_folder, "add", env=env, stdin=answer)
    assert result.exception is not None
    (file,) = left_over(lite_folder.path)
    assert f"Your text is in {file}." in result.stderr
    assert "section: Sports" in file.read_text()
    file.write_text(file.read_text().replace("Sports", "Economy"))
    assert lite(lite_folder, "add", file).stdout == "queued 1: One (Economy)\n"


def test_a_text_without_front_matter_gets_its_note_on_top(lite_folder: Folder, tmp_path: Path) -> None:
    env = editor(tmp_path, "t = 'Just a text.'", "t = t")
    assert lite(lite_folder, "add", env=env, stdin="y\n").exception is not None
    (file,) = left_over(lite_folder.path)
    assert file.read_text().splitlines()[0].startswith("# ✗ line 2: this does not begin with front matter")


def test_a_draft_is_changed_in_the_editor(lite_folder: Folder, stories: Callable[..., str], tmp_path: Path) -> None:
    lite(lite_folder, "add", stories("One"))
    assert lite(lite_folder, "edit", 1, env=editor(tmp_path, "t = t")).stdout == "Nothing was changed.\n"
    (tmp_path / "calls").unlink()
    result = lite(lite_folder, "edit", 1, env=editor(tmp_path, "t = t.replace('One', 'Two')"))
    assert result.stdout == "changed 1: Two (Economy)\n"
    assert json.loads(lite(lite_folder, "show", 1, "--json").stdout)["body"] == "Text of Two."


def test_what_somebody_else_changed_meanwhile_is_not_written_over(
    lite_folder: Folder, stories: Callable[..., str], tmp_path: Path
) -> None:
    lite(lite_folder, "add", stories("One"))
    theirs = [
        sys.executable,
        "-m",
        "newsletter",
        "-C",
        str(lite_folder.path),
        "draft",
        "edit",
        "1",
        "--headline",
        "Theirs",
    ]
    env = editor(tmp_path, f"import subprocess; subprocess.run({theirs!r}, check=True); t = t.replace('One', 'Mine')")
    result = lite(lite_folder, "edit", 1, env=env, stdin="n\n")
    assert "somebody else" in str(result.exception)
    assert json.loads(lite(lite_folder, "show", 1, "--json").stdout)["headline"] == "Theirs"
    (file,) = left_over(lite_folder.path)
    assert lite(lite_folder, "edit", 1, file).stdout == "changed 1: Mine (Economy)\n"


def test_without_a_terminal_and_an_editor_there_is_a_sentence(lite_folder: Folder, stories: Callable[..., str]) -> None:
    assert "- for standard input" in str(lite(lite_folder, "add").exception)
    lite(lite_folder, "add", stories("One"))
    assert "--headline" in str(lite(lite_folder, "edit", 1).exception)


def test_as_a_process_a_mistake_is_a_sentence_and_code_2(lite_folder: Folder, stories: Callable[..., str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "newsletter", "draft", "add", stories("One: two")],
        cwd=lite_folder.path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 2: a colon stands within this text" in done.stderr
    assert "Traceback" not in done.stderr
