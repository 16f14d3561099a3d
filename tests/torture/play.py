"""Which runs there are, and one of them from its folder to its verdict."""

from __future__ import annotations

import atexit
import shlex
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .ledgers import Postgres, Sqlite
from .oracle import Verdict, judge
from .run import Run
from .scenarios import SCENARIOS


@dataclass(frozen=True, slots=True)
class Asked:
    """One run, as it can be repeated."""

    scenario: str
    seed: int
    database: str
    broken: str = ""
    small: bool = False

    @property
    def command(self) -> str:
        words = ["--only", self.scenario, "--seed", str(self.seed), "--runs", "1", "--database", self.database]
        words += ["--broken", self.broken] if self.broken else []
        words += ["--small"] if self.small else []
        return f"python -m tests.torture {shlex.join(words)}"


_sources: dict[str, Sqlite | Postgres] = {}


def clean_up() -> None:
    """Ends what runs of this process stood on."""
    while _sources:
        _sources.popitem()[1].close()


atexit.register(clean_up)


def place() -> Path:
    """Where runs lie: in memory if it can be, since no machine loses its power here."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="torture-", dir=memory if memory.is_dir() else None))


def play(asked: Asked, where: Path) -> tuple[Asked, Verdict, str]:
    """One run, in a process without threads; what became of it, and the folder that is kept if it is broken."""
    if asked.database not in _sources:
        if asked.database == "sqlite":
            _sources["sqlite"] = Sqlite(Path(tempfile.mkdtemp(prefix="templates-", dir=where)))
        else:
            _sources["postgresql"] = Postgres()
    path = Path(
        tempfile.mkdtemp(prefix=f"{asked.scenario.replace(' ', '-').replace(',', '')}-{asked.seed}-", dir=where)
    )
    run = Run(asked.scenario, asked.seed, path, _sources[asked.database], asked.broken, asked.small)
    SCENARIOS[asked.scenario].prepare(run)
    try:
        run.play()
        verdict = judge(run)
    finally:
        run.close()
    if not verdict.broken and not verdict.remarks:
        shutil.rmtree(path)
        return asked, verdict, ""
    said = [f"lost: {each}" for each in verdict.lost] + [f"doubled: {each}" for each in verdict.doubled]
    said += [f"wrong: {each}" for each in verdict.wrong] + [f"remark: {each}" for each in verdict.remarks]
    (path / "story.txt").write_text("\n".join([asked.command, *said, "", *run.story, ""]))
    return asked, verdict, str(path)


def draw(
    runs: int, seed: int, databases: list[str], only: str = "", broken: str = "", *, small: bool = False
) -> list[Asked]:
    """Which scenario with which seed: everyone its share, however few or many there are."""
    names = [only] if only else [name for name, each in SCENARIOS.items() for _ in range(each.share)]
    made: list[Asked] = []
    nth: Counter[str] = Counter()
    for i in range(runs):
        # Steps that have no divisor in common with the count: the scenarios come mixed.
        name = names[i * 17 % len(names)] if len(names) % 17 else names[i % len(names)]
        possible = [each for each in databases if each in SCENARIOS[name].databases]
        if not possible:
            continue
        made.append(Asked(name, seed + i, possible[nth[name] % len(possible)], broken, small))
        nth[name] += 1
    return made
