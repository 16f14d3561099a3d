"""Every sentence that a reader meets is there in every language, with the same values in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from wording import TRANSLATIONS, sentences

LANGUAGES = sorted(TRANSLATIONS.glob("*.po"))
_VALUE = re.compile(r"%\((\w+)\)[sd]|%%")


def test_there_is_a_language_besides_english() -> None:
    assert "ja" in [path.stem for path in LANGUAGES]


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_every_sentence_is_translated_and_none_is_left_over(path: Path) -> None:
    with path.open("rb") as file:
        there = {message.id: message for message in read_po(file) if message.id}
    wanted = {message.id for message in sentences() if message.id}
    assert wanted - set(there) == set()
    assert set(there) - wanted == set()
    assert [key for key, message in there.items() if message.fuzzy or not all(_texts(message.string))] == []


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_a_translation_has_the_values_of_its_sentence_and_no_others(path: Path) -> None:
    with path.open("rb") as file:
        for message in read_po(file):
            if message.id:
                values = set(_VALUE.findall(" ".join(_texts(message.id))))
                for text in _texts(message.string):
                    assert set(_VALUE.findall(text)) == values, message.id


def _texts(words: str | tuple[str, ...] | list[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)
