"""newsletter template: what is wrong with a design is told whole, with its place; what harms readers too; and it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import CONFIG
from design_samples import DESIGNS
from edition_sample import ROOT, TEMPLATES

from newsletter.cli import newsletter
from newsletter.design_check import Fault, check
from newsletter.errors import TemplateMistake
from newsletter.preflight_rules import Level
from newsletter.theme_settings import Theme

Spoil = Callable[..., Path]


@pytest.fixture
def spoil(tmp_path: Path) -> Spoil:
    """spoil("issue.mjml", old, new, …): a copy of the digest called "ours", things in it replaced."""
    shutil.copytree(TEMPLATES / "digest", tmp_path / "templates" / "ours")
    shutil.copytree(TEMPLATES / "shared", tmp_path / "templates" / "shared")

    def spoilt(*changes: str) -> Path:
        for name, old, new in zip(changes[::3], changes[1::3], changes[2::3], strict=True):
            path = tmp_path / "templates" / "ours" / name
            text = path.read_text("utf-8")
            assert old in text, old
            path.write_text(text.replace(old, new, 1), "utf-8")
        return tmp_path / "templates" / "ours"

    return spoilt


def told(faults: tuple[Fault, ...], file: str = "") -> str:
    return "\n".join(f"{each.file}: {each.what}. {each.remedy}" for each in faults if file in each.file)


def typed(path: Path, *words: str) -> Result:
    return CliRunner().invoke(newsletter, ["--folder", str(path), *words], catch_exceptions=False)


@pytest.mark.parametrize("design", DESIGNS)
def test_nothing_is_wrong_with_the_designs_that_come_with_the_program(design: str) -> None:
    theme = Theme(logo="logo.png", portrait="me.png", signed="Ada Example", role="Editor")
    assert check(TEMPLATES / design, theme=theme) == ()


def test_every_mistake_of_every_template_is_told_at_once_with_its_place(spoil: Spoil) -> None:
    folder = spoil(
        "issue.mjml", "{{ flag() }}", '{{ flag() }}<mj-foo /><mj-text colr="#112233" color="#fff">x</mj-text>',
        "inline.css", '{% include "shared/mail.css" %}', "h1 { color: #159; }\nh2 { color: rgb(1 2 3); }",
        "issue.txt", "{{ body(story) }}", "{{ body(storey) }}",
        "page.html", "{{ footer() }}", "{{ edition.nope }}",
        "issue.typ", "#flag", "#flagg",
    )  # fmt: skip
    found = {(each.file, each.line, each.column): each for each in check(folder)}
    said = {
        ("issue.mjml", "{{ flag() }}<mj-foo", "there is no element <mj-foo>"),
        ("issue.mjml", "colr=", "<mj-text> takes no colr"),
        ("issue.mjml", 'color="#fff"', "a colour has six digits"),
        ("inline.css", "color: #159", "#159 is a colour of three digits"),
        ("inline.css", "color: rgb(", "isn't understood by mail programs"),
        ("issue.txt", "storey", 'nothing is called "storey" here'),
        ("page.html", "edition.nope", 'there is no "nope" in edition'),
        ("issue.typ", "#flagg", "unknown variable: flagg"),
    }
    for name, at, what in said:
        text = (folder / name).read_text("utf-8")
        line = text[: text.index(at)].count("\n") + 1
        fault = next(
            each
            for (file, row, _), each in found.items()
            if (file, row) == (f"ours/{name}", line) and what in each.what
        )
        assert fault.level is Level.error
        assert fault.samples == ("ordinary", "odd", "bare")
    assert len(found) == len(said)


HARM = (
    # in the mail's HTML, which compiles
    (
        ("issue.mjml", '{% include "shared/mail-foot.mjml" %}', "", "there is no unsubscribe link"),
        ("issue.mjml", "{{ dateline() }}", "<table><tr><td>{{ dateline() }}</td></tr></table>", 'role="presentation"'),
        (
            "inline.css",
            "%}\n",
            "%}\n.label { display: flex; }\n.soft { color: #cccccc; }\n",
            "display:flex is understood by",
        ),
        ("issue.mjml", "<h1>{{ publication.title }}</h1>", "<b>{{ publication.title }}</b>", "h1"),
        ("page.html", "{{ body(story) }}", "", "the beginning of its text is missing in the page"),
        ("issue.txt", '{% include "shared/text-foot.txt" %}', "", "no link by which readers change what they get"),
    ),
    # pictures, which the compiler's check refuses
    (
        (
            "issue.mjml",
            "{{ shown(picture, theme.width) }}",
            '<img src="{{ picture.url }}" width="640" height="320" />',
            "has no alt",
        ),
        ("issue.mjml", ' height="320" />', " />", "has no height in pixels"),
        ("issue.txt", '{% include "shared/text-foot.txt" %}', "[[unsubscribe_url]]", ""),
    ),
)


@pytest.mark.parametrize("changes", HARM, ids=["mail, page and text", "pictures"])
def test_what_would_harm_readers_is_told_though_it_compiles(spoil: Spoil, changes: tuple[tuple[str, ...], ...]) -> None:
    found = told(check(spoil(*(word for each in changes for word in each[:3]))))
    for *_, what in changes:
        assert what in found


def test_colours_of_a_theme_that_can_not_be_read_are_told(spoil: Spoil) -> None:
    found = told(check(spoil(), theme=Theme(link="#88aaff", link_dark="#223355")))
    assert "in light" in found
    assert "in dark" in found


ENDLESS = {
    "a loop within a loop": (
        "issue.txt",
        '{% for a in "x" * 1000000 %}{% for b in "x" * 1000000 %}{% endfor %}{% endfor %}',
    ),
    "a macro that calls itself": ("issue.mjml", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"),
    "range of a billion": ("page.html", "{% for a in range(1000000000) %}{% endfor %}"),
    "a template that includes itself": ("issue.txt", '{% include "issue.txt" %}'),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_template_that_goes_on_for_ever_is_ended_with_a_sentence(spoil: Spoil, kind: str) -> None:
    name, endless = ENDLESS[kind]
    first = (TEMPLATES / "digest" / name).read_text("utf-8")[:40]
    faults = check(spoil(name, first, endless + first), seconds=4)
    assert faults[0].level is Level.error
    assert faults[0].file == f"ours/{name}"
    assert any(words in faults[0].what for words in ("it isn't done after 4 seconds", "without end", "turns"))


def test_a_template_that_eats_memory_is_ended_with_a_sentence(spoil: Spoil) -> None:
    eats = "{% set a = ('x' * 2000000)|list|batch(1)|list %}" * 2
    faults = check(spoil("issue.txt", "{#", eats + "{#"), memory=400_000_000)
    assert any("of memory" in each.what and each.file == "ours/issue.txt" for each in faults), faults


def test_a_design_whose_files_are_missing_or_garbled_is_told_so(spoil: Spoil, tmp_path: Path) -> None:
    folder = spoil()
    (folder / "issue.txt").unlink()
    (folder / "issue.typ").unlink()
    faults = check(folder)
    assert told(faults, "issue.txt").startswith("ours/issue.txt: there is no such file")
    assert told(faults, "issue.typ").startswith("ours/issue.typ: there is no such file")
    (folder / "issue.txt").write_bytes(b"caf\xe9")
    assert "this is not UTF-8" in told(check(folder), "issue.txt")
    for name in ("issue.txt", "issue.typ"):
        shutil.copy(TEMPLATES / "digest" / name, folder)
    shutil.rmtree(tmp_path / "templates" / "shared")
    assert 'there is no template "shared/' in told(check(folder))
    with pytest.raises(TemplateMistake, match="there is no such folder"):
        check(tmp_path / "templates" / "gone")


def test_the_command_tells_people_and_machines_and_ends_with_two(spoil: Spoil, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG + '\n[publications.digest.theme]\nmark = "#0b5d4e"\n', "utf-8")
    folder = spoil("issue.mjml", "{{ flag() }}", "<mj-foo />", "inline.css", "%}\n", "%}\n.label { display: flex; }\n")
    for what in ("ours", str(folder)):
        shown = typed(tmp_path, "template", "check", what)
        assert shown.exit_code == 2
        assert "ours/issue.mjml, line " in shown.output
        assert "there is no element <mj-foo>" in shown.output
        assert "1 error" in shown.output
    row = json.loads(typed(tmp_path, "template", "check", "ours", "--json").stdout)
    assert row["design"] == "ours"
    assert row["faults"][0]["level"] == "error"
    assert row["faults"][0]["file"] == "ours/issue.mjml"
    shutil.copy(TEMPLATES / "digest" / "issue.mjml", folder)
    shown = typed(tmp_path, "template", "check", "ours")
    assert shown.exit_code == 0
    assert "warning" in shown.output


def test_a_field_of_the_publication_is_known_in_its_design_and_another_is_not(spoil: Spoil, tmp_path: Path) -> None:
    spoil("issue.txt", "{#", "[[plan|free]] {#")
    (tmp_path / "config.toml").write_text(CONFIG, "utf-8")
    assert "is not a field" not in typed(tmp_path, "template", "check", "ours").output
    (tmp_path / "config.toml").write_text(CONFIG.replace(', "plan"', ""), "utf-8")
    assert "[[plan|free]] is not a field" in typed(tmp_path, "template", "check", "ours").output


def test_designs_are_listed_and_copied_and_a_copy_works(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG, "utf-8")
    rows = json.loads(typed(tmp_path, "template", "list", "--json").stdout)
    assert [row["name"] for row in rows] == sorted(DESIGNS)
    assert {row["where"] for row in rows} == {"comes with the program"}
    assert typed(tmp_path, "template", "copy", "brief", "ours").exit_code == 0
    assert (tmp_path / "templates" / "shared" / "mail.css").is_file()
    assert (tmp_path / "templates" / "ours" / "issue.mjml").read_bytes() == (
        ROOT / "templates/brief/issue.mjml"
    ).read_bytes()
    assert "Nothing is wrong with ours." in typed(tmp_path, "template", "check", "ours").output
    assert {"name": "ours", "where": "here", "publications": []} in json.loads(
        typed(tmp_path, "template", "list", "--json").stdout
    )
    for words, what in (
        (("brief", "ours"), "there is something here already"),
        (("glossy", "new"), 'there is no design "glossy". There is brief, digest, letter and ours.'),
        (("brief", "../out"), '"../out" is no name for a design'),
        (("brief", "shared"), '"shared" is no name for a design'),
        (("brief", "Ours"), '"Ours" is no name for a design'),
    ):
        with pytest.raises(TemplateMistake) as caught:
            typed(tmp_path, "template", "copy", *words)
        assert what.lower() in str(caught.value).lower()
    assert not (tmp_path / "out").exists()
