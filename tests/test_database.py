"""The database: both kinds, the models and the migrations saying the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from newsletter import database
from newsletter.errors import DatabaseMistake
from newsletter.folder import Folder
from newsletter.models import Base


def test_the_migrations_make_exactly_the_tables_of_the_models(folder: Folder) -> None:
    with folder.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_a_database_newer_than_the_program_is_left_alone_with_a_sentence(folder: Folder) -> None:
    with folder.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseMistake, match="newer than this program"):
        database.check(folder.engine)
    with pytest.raises(DatabaseMistake, match="newer than this program"):
        database.upgrade(folder.engine)


def test_a_database_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    engine = database.open_database("sqlite:///new.db", tmp_path)
    with pytest.raises(DatabaseMistake, match="newsletter db upgrade"):
        database.check(engine)
    database.upgrade(engine)
    database.check(engine)


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "nonsense", "sqlite:////no/such/place/at/all.db", "postgresql://127.0.0.1:1/x"]
)
def test_a_database_that_cannot_be_used_is_a_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(DatabaseMistake):
        database.check(database.open_database(url, tmp_path))


def test_the_databases_url_may_be_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatabaseMistake, match="DIGEST_DATABASE"):
        database.open_database("$DIGEST_DATABASE", tmp_path)
    monkeypatch.setenv("DIGEST_DATABASE", "sqlite:///from-environment.db")
    assert database.open_database("$DIGEST_DATABASE", tmp_path).url.database == str(tmp_path / "from-environment.db")
