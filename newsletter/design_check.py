"""Looks at a design before any issue does: what is wrong with its templates, and what of it would harm readers.

Three made-up issues (newsletter.render.specimens) go through every template of it, in a process of its own that ends in
bounded time, within bounded memory. What comes out is asked the questions of preflight that are about designs.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import create_engine

from newsletter import preflight
from newsletter.config import Config, Relay, RelayKind
from newsletter.errors import FontMistake, Mistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.preflight.gathering import sheets
from newsletter.preflight_rules import Level
from newsletter.render import rendering
from newsletter.render.edition import Edition
from newsletter.render.specimens import BASE_URL, specimens
from newsletter.states import RenditionKind
from newsletter.theme_settings import Theme

SECONDS = 30
"""Of a processor: what the templates may take together, without the PDFs, which have as much each."""
MEMORY = 2**31
"""Bytes."""
RULES = (
    "renditions-differ",
    "clipped",
    "nearly-clipped",
    "no-unsubscribe",
    "no-postal-address",
    "link-words",
    "link-bare",
    "link-http",
    "alt-missing",
    "picture-size",
    "heading-order",
    "table-role",
    "no-title",
    "invisible-text",
    "contrast",
    "css-support",
    "field-empty",
)
"""The questions of preflight that are about designs."""
_SAMPLES = ("ordinary", "odd", "bare")


class Fault(Struct, frozen=True):
    """One thing that is wrong with a design."""

    level: Level
    """An error is a mistake: nothing comes out of the template, or readers couldn't leave."""
    what: str
    remedy: str = ""
    file: str = ""
    """From the folder of designs on: "brief/issue.mjml"."""
    line: int | None = None
    column: int | None = None
    rule: str = ""
    """Preflight's name for it; empty for a mistake in a template."""
    samples: tuple[str, ...] = ()
    """The made-up issues in which it shows: ordinary, odd, bare."""


class _Task(Struct, frozen=True):
    templates: str
    design: str
    theme: Theme
    attributes: tuple[str, ...]
    seconds: int
    memory: int


def check(
    folder: Path,
    *,
    theme: Theme | None = None,
    attributes: tuple[str, ...] = (),
    seconds: int = SECONDS,
    memory: int = MEMORY,
) -> tuple[Fault, ...]:
    """What is wrong with the design in a folder, the worst first; nothing where all is well.

    `theme` is what it is looked at with, `attributes` the publication's merge fields. TemplateMistake where there is no
    such folder.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise TemplateMistake(
            "there is no such folder", where=folder, remedy="newsletter template list shows which are."
        )
    task = _Task(str(folder.parent), folder.name, theme or Theme(), attributes, seconds, memory)
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-c", "from newsletter.design_check import main; main()"],
            input=msgspec.json.encode(task),
            capture_output=True,
            env=_environment(),
            timeout=seconds * (len(_SAMPLES) + 2),
            check=False,
        )
        return _outcome(child.stdout, child.stderr, child.returncode, task)
    except subprocess.TimeoutExpired as error:
        return _outcome(error.stdout or b"", b"", -9, task)


def _environment() -> dict[str, str]:
    import os

    here = str(Path(__file__).parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))}


def _outcome(stdout: bytes, stderr: bytes, code: int, task: _Task) -> tuple[Fault, ...]:
    at, faults = ("", ""), list[Fault]()
    # What follows the last line break was cut off when the process was ended.
    for line in stdout.decode("utf-8", "replace").split("\n")[:-1]:
        told = json.loads(line)
        if "at" in told:
            at = (told["at"][0], told["at"][1])
        else:
            faults.append(msgspec.convert(told, Fault))
    if code != 0:
        faults.append(_ended(at, code, stderr, task))
    return _merged(faults)


def _ended(at: tuple[str, str], code: int, stderr: bytes, task: _Task) -> Fault:
    """Why the process came to its end before its work did."""
    sample, file = at
    if b"MemoryError" in stderr or b"memory allocation of" in stderr:
        what = f"it needs more than {task.memory / 2**30:.1f} GB of memory"
    elif code in (-24, -9):  # SIGXCPU, SIGKILL
        what = f"it isn't done after {task.seconds} seconds"
    else:
        last = stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        what = f"the program came to grief over it ({last or f'signal {-code}'})"
    return Fault(
        Level.error,
        what,
        "Does a loop in it go on for too long, or include or call itself?",
        f"{task.design}/{file}" if file else "",
        samples=(sample,) if sample else (),
    )


def _merged(faults: list[Fault]) -> tuple[Fault, ...]:
    """Each fault once, with all issues that it shows in, the worst first."""
    found: dict[Any, Fault] = {}
    for fault in faults:
        key = (fault.level, fault.what, fault.file, fault.line, fault.column, fault.rule)
        before = found.get(key)
        samples = (*before.samples, *fault.samples) if before else fault.samples
        found[key] = msgspec.structs.replace(fault, samples=tuple(dict.fromkeys(samples)))
    return tuple(sorted(found.values(), key=lambda fault: list(Level).index(fault.level)))


def main() -> None:
    """The process that looks: reads a task, and writes a line of JSON for each step and each fault."""
    import resource

    task = msgspec.json.decode(sys.stdin.buffer.read(), type=_Task)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (task.seconds, task.seconds))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (task.memory, task.memory))
    for said in _looked(task):
        sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
        sys.stdout.buffer.flush()


def _looked(task: _Task) -> Iterator[Fault | Mapping[str, tuple[str, str]]]:
    with tempfile.TemporaryDirectory(prefix="newsletter-design-") as place:
        bench = _bench(Path(task.templates), Path(place), task)
        for name, edition in specimens(task.design, task.theme, task.attributes, Path(place)).items():
            made: dict[RenditionKind, str] = {}
            yield {"at": (name, "")}
            try:
                attempts = rendering.attempts(edition, bench.templates)
            except Mistake as mistake:
                yield _fault(mistake, name, bench.templates)
                return
            for attempt in attempts:
                yield {"at": (name, attempt.file)}
                try:
                    made[attempt.kind] = attempt.make()
                except Mistake as mistake:
                    yield _fault(mistake, name, bench.templates)
                    yield from _others(attempt, mistake, name, bench.templates)
            yield {"at": (name, "issue.typ")}
            content = None
            try:
                content = _paper(edition, bench)
            except FontMistake as mistake:
                yield Fault(
                    Level.note, f"the PDF can't be looked at: {mistake.what}", mistake.remedy or "", samples=(name,)
                )
            except Mistake as mistake:
                yield _fault(mistake, name, bench.templates)
            yield {"at": (name, "")}
            if len(made) == len(attempts):
                yield from _harm(edition, made, content, name, bench.templates)


def _others(attempt: rendering.Attempt, first: Mistake, sample: str, templates: Path) -> Iterator[Fault]:
    """What else is wrong with that template."""
    try:
        mistakes = attempt.mistakes()
    except Mistake:
        return
    for mistake in mistakes:
        if str(mistake) != str(first):
            yield _fault(mistake, sample, templates)


def _paper(edition: Edition, bench: Folder) -> bytes:
    from newsletter.render import pdf

    return pdf.make(edition, bench)


@dataclass(frozen=True)
class _Bench(Folder):
    """A folder of nothing but designs."""

    designs: Path = Path()

    @property
    def templates(self) -> Path:
        return self.designs


def _bench(designs: Path, place: Path, task: _Task) -> Folder:
    del task
    config = Config(publications={}, base_url=BASE_URL, relays=(Relay("outbox", kind=RelayKind.maildir),))
    return _Bench(place, config, create_engine("sqlite://"), designs)


def _fault(mistake: Mistake, sample: str, templates: Path) -> Fault:
    file = mistake.where or ""
    if file and Path(file).is_relative_to(templates):
        file = Path(file).relative_to(templates).as_posix()
    return Fault(Level.error, mistake.what, mistake.remedy or "", file, mistake.line, mistake.column, samples=(sample,))


def _harm(
    edition: Edition, made: Mapping[RenditionKind, str], content: bytes | None, sample: str, templates: Path
) -> Iterator[Fault]:
    """What would harm the readers of what came out."""
    facts = preflight.Facts(
        edition,
        dt.datetime.combine(edition.date, dt.time(), dt.UTC),
        edition.date,
        html=made[RenditionKind.html],
        text=made[RenditionKind.text],
        page=made[RenditionKind.page],
        pdf=content,
        sheets=sheets(templates, edition.publication.design),
    )
    for found in preflight.findings(facts, {}, {name: preflight.LOOKS[name] for name in RULES}):
        where = f"in {found.where}, " if found.where.startswith("the ") else ""
        if found.story is not None:
            where = f"story {found.story} of this issue: "
        file, _, line = found.where.partition(", line ")
        yield Fault(
            found.level,
            f"{where}{found.what}",
            found.remedy,
            "" if where else file,
            int(line) if line.isdigit() else None,
            rule=found.rule,
            samples=(sample,),
        )
    design = edition.publication.design
    for name, file, kind in (
        ("the mail", "issue.mjml", RenditionKind.html),
        ("the text", "issue.txt", RenditionKind.text),
    ):
        for field, what in (("preferences_url", "change what they get"), ("view_url", "see the mail in a browser")):
            if f"\x02{field}" not in made[kind]:
                yield Fault(
                    Level.warning,
                    f"{name} has no link by which readers {what}",
                    f"Put a link to [[{field}]] into it.",
                    f"{design}/{file}",
                    samples=(sample,),
                )
