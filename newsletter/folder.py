"""A publication's folder, opened: its config, its database, its templates and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from newsletter import config, database
from newsletter.config import Config, Publication
from newsletter.errors import ConfigMistake


@dataclass(frozen=True)
class Folder:
    """Everything that a command works on. Made once, at the door, and handed down."""

    path: Path
    config: Config
    engine: Engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session whose work is committed at the end, or undone if anything is raised.

        Whoever opens it owns the transaction; steps only use it. (On SQLite it holds the write lock.)
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for looking only: on SQLite it waits for no writer, and holds none up."""
        with (
            self.engine.connect().execution_options(sqlite_begin="DEFERRED") as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session

    @property
    def pictures(self) -> Path:
        return self.path / self.config.pictures

    @property
    def templates(self) -> Path:
        return self.path / "templates"

    @property
    def template_places(self) -> tuple[Path, ...]:
        """Where the templates of pages and letters lie: the folder's own, where it has any, and what comes with the
        program. The first that has a file is the one that counts.
        """
        own, ours = self.templates, included() / "templates"
        return (own, ours) if own.is_dir() else (ours,)

    def template(self, name: str) -> Path:
        """The file of that name, "web/search.js", in the first of those places that has it."""
        paths = [place / name for place in self.template_places]
        return next((path for path in paths if path.is_file()), paths[-1])

    def publication(self, name: str | None = None) -> tuple[str, Publication]:
        """The publication called `name`, or the only one."""
        publications = self.config.publications
        if name is None:
            if len(publications) == 1:
                return next(iter(publications.items()))
            raise ConfigMistake(
                f"there are several publications here: {', '.join(publications)}",
                remedy="Say which with --publication NAME.",
            )
        if name not in publications:
            raise ConfigMistake(
                f'there is no publication "{name}"',
                where=self.path / "config.toml",
                remedy=f"There is {', '.join(publications)}.",
            )
        return name, publications[name]


def included() -> Path:
    """Where the sample publication lies: in the installed package, or at the top of a checkout."""
    package = Path(__file__).parent
    installed = package / "included"
    return installed if installed.is_dir() else package.parent


def open_folder(path: Path, *, checked: bool = True) -> Folder:
    """The publication folder at `path`. ConfigMistake or DatabaseMistake if it can't be worked with.

    With checked=False the database may be missing or old: for the commands that make it or mend it.
    """
    path = path.absolute()
    settings = config.read(path / "config.toml")
    engine = database.open_database(settings.database, path)
    if checked:
        database.check(engine)
    return Folder(path, settings, engine)
