"""Lists: files applied like configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import NOW
from sqlalchemy import select

from newsletter import lists
from newsletter.cli import newsletter
from newsletter.errors import ConfigMistake, ListMistake
from newsletter.folder import Folder
from newsletter.lists import Counts, What
from newsletter.models import List
from newsletter.states import SubscriptionState


def describe(folder: Folder, slug: str, text: str) -> Path:
    (folder.path / "lists").mkdir(exist_ok=True)
    path = folder.path / "lists" / f"{slug}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def described(folder: Folder) -> Folder:
    describe(folder, "alliance-digest", 'title = "Alliance Digest"\n')
    return folder


def applied(folder: Folder) -> list[tuple[str, What]]:
    with folder.session() as session:
        changes = lists.plan(session, folder)
        lists.apply(session, changes, NOW)
    return [(change.slug, change.what) for change in changes]


def test_applying_twice_changes_nothing_the_second_time(described: Folder) -> None:
    assert applied(described) == [("alliance-digest", What.add)]
    assert applied(described) == []


def test_planning_changes_nothing(described: Folder) -> None:
    with described.session() as session:
        lists.plan(session, described)
    with described.session() as session:
        assert session.scalars(select(List)).all() == []


def test_a_changed_file_shows_what_was_and_what_will_be(described: Folder) -> None:
    applied(described)
    describe(described, "alliance-digest", 'title = "The Digest"\npublic = false\n')
    with described.session() as session:
        [change] = lists.plan(session, described)
        assert change.fields == (("title", "Alliance Digest", "The Digest"), ("public", True, False))
        lists.apply(session, (change,), NOW)
        row = session.scalars(select(List)).one()
        assert (row.title, row.public, row.double_opt_in) == ("The Digest", False, True)


def test_a_list_whose_file_goes_is_retired_with_everyone_on_it_and_returns_with_the_file(
    described: Folder, subscribe: Callable[..., object]
) -> None:
    path = describe(described, "extra", 'title = "Extra"\n')
    applied(described)
    with described.session() as session:
        subscribe(session, "jane@example.org", lists=("extra",))
    path.unlink()
    assert applied(described) == [("extra", What.retire)]
    assert applied(described) == []
    with described.session() as session:
        assert lists.counts(session)["extra"].active == 1
        with pytest.raises(ListMistake, match="retired"):
            lists.named(session, ("extra",))
    path.write_text('title = "Extra again"\n', encoding="utf-8")
    assert applied(described) == [("extra", What.restore)]
    with described.session() as session:
        assert lists.named(session, ("extra",))[0].title == "Extra again"
        assert lists.counts(session)["extra"].active == 1


def test_a_list_that_a_publication_names_must_have_a_file(folder: Folder) -> None:
    with folder.session() as session, pytest.raises(ListMistake) as mistake:
        lists.plan(session, folder)
    assert 'config.toml, line 19: publications.digest.lists names "alliance-digest"' in str(mistake.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('titel = "X"', "there is no setting `titel`"),
        ("title = 3", "title: a text in quotes is wanted here"),
        ('title = ""', "title"),
        ("public = true", "title: it is missing"),
        ("title = ", "not TOML"),
    ],
)
def test_a_list_file_that_is_wrong_is_named_with_what_is_wrong(described: Folder, text: str, words: str) -> None:
    describe(described, "other", text)
    with described.session() as session, pytest.raises(ConfigMistake) as mistake:
        lists.plan(session, described)
    assert "other.toml" in str(mistake.value)
    assert words in str(mistake.value)


def test_a_file_whose_name_cannot_be_a_list_is_named(described: Folder) -> None:
    describe(described, "Weekly News", 'title = "X"')
    with described.session() as session, pytest.raises(ListMistake, match="Weekly News"):
        lists.plan(session, described)


def test_the_counts_of_a_list_add_up(described: Folder, subscribe: Callable[..., object]) -> None:
    from newsletter import suppressions
    from newsletter.states import SuppressionReason

    with described.session() as session:
        lists.apply(session, lists.plan(session, described), NOW)
        for number, state in enumerate(["active", "active", "active", "pending", "unsubscribed", "unsubscribed"]):
            subscribe(session, f"r{number}@example.org", state=SubscriptionState(state))
        for number in (1, 5):
            suppressions.add(session, f"r{number}@example.org", SuppressionReason.bounce, "", NOW)
        assert lists.counts(session)["alliance-digest"] == Counts(active=2, pending=1, unsubscribed=2, suppressed=1)


def run(folder: Folder, *words: str, **options: object) -> object:
    return CliRunner().invoke(newsletter, ["--folder", str(folder.path), *words], catch_exceptions=False, **options)


def test_the_command_shows_what_changes_and_asks_only_before_a_list_is_retired(described: Folder) -> None:
    shown = run(described, "list", "apply", "--dry-run")
    assert "alliance-digest" in shown.output
    assert "add" in shown.output
    assert json.loads(run(described, "list", "list", "--json").stdout) == []
    assert run(described, "list", "apply").exit_code == 0
    extra = describe(described, "extra", 'title = "Extra"\n')
    run(described, "list", "apply")
    extra.unlink()
    refused = CliRunner().invoke(newsletter, ["--folder", str(described.path), "list", "apply"], input="n\n")
    assert refused.exit_code != 0
    entries = json.loads(run(described, "list", "list", "--json").stdout)
    assert [(entry["list"], entry["retired"]) for entry in entries] == [("alliance-digest", None), ("extra", None)]
    assert run(described, "list", "apply", "--yes").exit_code == 0
    assert json.loads(run(described, "list", "show", "extra", "--json").stdout)["retired"]
    entry = json.loads(run(described, "list", "show", "alliance-digest", "--json").stdout)
    assert entry["publications"] == ["digest"]
    for words in (["list", "list"], ["list", "show", "alliance-digest"]):
        assert "Alliance Digest" in run(described, *words).output


def test_a_list_that_is_not_there_is_a_sentence_that_names_those_that_are(described: Folder) -> None:
    applied(described)
    with pytest.raises(ListMistake, match="There is alliance-digest"):
        run(described, "list", "show", "nonsense")


def test_the_sample_list_is_understood() -> None:
    from newsletter.toml_file import parse

    path = Path(__file__).parent.parent / "lists/alliance-digest.toml"
    assert parse(path.read_text(encoding="utf-8"), path, lists.Described).double_opt_in
