"""newsletter template: the designs that issues may have, looked at and copied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.text import Text

from newsletter.cli.common import console, emit, json_option, listed, place, plural, print_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from newsletter.config import Config
    from newsletter.design_check import Fault

MARKS = {"error": ("✗ error", "red"), "warning": ("◷ warning", "yellow"), "note": ("· note", "bright_black")}


@click.group()
def template() -> None:
    """Designs: the templates of mail, text, page and PDF.

    \b
    newsletter template list
    newsletter template check digest
    newsletter template copy digest ours
    """


@template.command("list")
@json_option
def list_(as_json: bool) -> None:
    """The designs of this folder, and those that come with the program.

    \b
    newsletter template list
    """
    from newsletter.folder import included

    config = _config()
    here, there = _designs(place() / "templates"), _designs(included() / "templates")
    rows = [
        {
            "name": name,
            "where": "here" if name in here else "comes with the program",
            "publications": [slug for slug, each in config.publications.items() if each.design == name]
            if config
            else [],
        }
        for name in sorted({*here, *there})
    ]

    def shown(out: Console) -> None:
        made = table("Design", "Where", "Publications")
        for name, row in zip(sorted({*here, *there}), rows, strict=True):
            made.add_row(name, str(row["where"]), ", ".join(row["publications"]))
        out.print(made)

    emit(as_json, rows, shown)


@template.command()
@click.argument("design", metavar="DESIGN|DIR")
@json_option
def check(design: str, as_json: bool) -> None:
    """What is wrong with a design, and what would harm readers. Exit code 2 where something is wrong.

    Three made-up issues go through its templates: an ordinary one, an odd one (from right to left, one story, a long
    headline, no picture), and one with hardly anything in it. A design of this folder is looked at with the colours,
    typefaces and merge fields of the publication that has it. Nothing is sent and nothing is kept.

    \b
    newsletter template check digest
    newsletter template check templates/ours
    newsletter template check ours --json
    """
    from newsletter import design_check
    from newsletter.preflight_rules import Level
    from newsletter.theme_settings import Theme

    folder = _folder(design)
    config = _config()
    themes = [each.theme for each in config.publications.values() if each.design == folder.name] if config else []
    theme, attributes = (themes or [Theme()])[0], config.attributes if config else ()
    out = console()
    if out.is_terminal and not as_json:
        with out.status("looking"):
            faults = design_check.check(folder, theme=theme, attributes=attributes)
    else:
        faults = design_check.check(folder, theme=theme, attributes=attributes)
    if as_json:
        print_json({"design": folder.name, "faults": [msgspec.to_builtins(each) for each in faults]})
    else:
        _told(folder, faults)
    if any(each.level is Level.error for each in faults):
        raise SystemExit(2)


@template.command()
@click.argument("design")
@click.argument("new")
def copy(design: str, new: str) -> None:
    """A copy of a design under a new name, to make one's own of.

    It is taken from this folder, or else from those that come with the program, together with the shared templates
    where this folder has none.

    \b
    newsletter template copy digest ours
    """
    import re

    from newsletter.errors import TemplateMistake
    from newsletter.folder import included
    from newsletter.render.templates import SHARED

    templates = place() / "templates"
    source = _folder(design)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", new) or new in _NO_DESIGNS:
        raise TemplateMistake(
            f'"{new}" is no name for a design', remedy="Write small letters, digits and dashes, such as our-digest."
        )
    if (templates / new).exists():
        raise TemplateMistake("there is something here already", where=templates / new, remedy="Choose another name.")
    if not (templates / SHARED).exists():
        shutil.copytree(included() / "templates" / SHARED, templates / SHARED)
    shutil.copytree(source, templates / new, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    console().print(f'{templates / new}\nA publication uses it with design = "{new}" in config.toml.', soft_wrap=True)


_NO_DESIGNS = ("shared", "mail", "web", "translations")


def _designs(templates: Path) -> set[str]:
    return {path.parent.name for path in templates.glob("*/issue.mjml")}


def _config() -> Config | None:
    """What config.toml says; None outside a publication's folder, where designs are looked at as well."""
    from newsletter import config

    path = place() / "config.toml"
    return config.read(path) if path.is_file() else None


def _folder(design: str) -> Path:
    """The folder of a design: as a path, by its name in this folder, or by its name among those of the program."""
    from newsletter.errors import TemplateMistake
    from newsletter.folder import included

    here, there = place() / "templates", included() / "templates"
    for path in (here / design, Path(design), there / design):
        if (path / "issue.mjml").is_file() or ("/" in design and path.is_dir()):
            return path.resolve()
    raise TemplateMistake(
        f'there is no design "{design}"', remedy=f"There is {listed(sorted(_designs(here) | _designs(there)))}."
    )


def _told(folder: Path, faults: tuple[Fault, ...]) -> None:
    out = console()
    if not faults:
        out.print(f"Nothing is wrong with {folder.name}.")
        return
    for each in faults:
        words, colour = MARKS[each.level.value]
        where = (
            each.file
            + (f", line {each.line}" if each.line else "")
            + (f", column {each.column}" if each.column else "")
        )
        line = Text(words, colour).append(f"  {where + ': ' if where else ''}{each.what}.", "default")
        out.print(line, soft_wrap=True)
        shows = (
            f"Shows in the {listed(each.samples)} issue{'s' if len(each.samples) > 1 else ''}." if each.samples else ""
        )
        out.print(Text("  ".ljust(11) + " ".join(filter(None, (each.remedy, shows))), "bright_black"), soft_wrap=True)
    errors = sum(each.level.value == "error" for each in faults)
    out.print(f"\n{plural(errors, 'error')}, {plural(len(faults) - errors, 'other finding')}.")
