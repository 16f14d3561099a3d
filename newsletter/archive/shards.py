"""The index of words as JSON files, for a search that runs in a browser: templates/web/search.js reads them.

`words-N.json` has the postings of all words whose first letter falls to N; `stories-N.json` has what is shown of each
story. Both are split, so that one search fetches a few small files of an archive however large.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from newsletter.archive.catalogue import Entry
from newsletter.archive.search import Index

SHARDS = 64
"""Files that the words are split into, by their first letter."""
STORIES = 200
"""In one file."""
SHOWN = 180
"""Characters of a story's text."""


def shards(
    index: Index, texts: Mapping[int, Mapping[str, str]], told: Callable[[Entry], tuple[str, str, str]]
) -> dict[str, bytes]:
    """The files by their names.

    `texts` are by issue and anchor; `told` is an issue's path, number and date as they are shown.
    """
    words: list[dict[str, list[int]]] = [{} for _ in range(SHARDS)]
    for word in sorted(index.postings):
        words[ord(word[0]) % SHARDS][word] = list(index.postings[word])
    made = {f"words-{at}.json": _json(each) for at, each in enumerate(words)}
    stories: list[list[str]] = []
    for place in index.places:
        assert place is not None, "an index made at once has forgotten nothing"
        path, number, date = told(place.entry)
        text = texts[place.entry.id].get(place.told.anchor, "")
        stories.append([f"{path}#{place.told.anchor}", place.told.headline, _begun(text), number, date])
    for at in range(0, len(stories), STORIES):
        made[f"stories-{at // STORIES}.json"] = _json(stories[at : at + STORIES])
    return made


def _begun(text: str) -> str:
    """The first words of a text."""
    if len(text) <= SHOWN:
        return text
    end = text.rfind(" ", 0, SHOWN)
    return text[: end if end > 0 else SHOWN] + "…"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
