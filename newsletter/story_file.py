"""A story as a file: front matter in YAML between two lines of three dashes, then Markdown.

Everything in the front matter is text (YAML's BaseLoader: no `no` becomes false, no date a datetime), and
every mistake has its line. Only scalars are read, so that aliases can't multiply, and no tag makes anything.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import yaml

from newsletter.drafts import Written, wrongs
from newsletter.errors import DraftMistake
from newsletter.states import DraftState

KEYS = (
    "headline",
    "section",
    "link",
    "picture",
    "alt",
    "credit",
    "author",
    "not_before",
    "not_after",
    "state",
    "publication",
)
"""In the order in which they are written."""

STATES = (DraftState.ready, DraftState.writing)
LARGEST = 1_000_000
"""Bytes that a story's file may have."""

NO_DATE = "Write year, month and day as in 2023-11-20."
_EXAMPLE = 'Begin it with "---", then lines such as "headline: What the story says", then "---" and the text.'
# Under these a comment behind the value is rather a piece of it: "headline: We are #1".
_PROSE = ("headline", "section", "alt", "credit", "author")


@dataclass(frozen=True, slots=True)
class StoryFile:
    """What a story's file says."""

    written: Written
    picture: str = ""
    """A path, as written: from where the file is."""
    state: DraftState | None = None
    """None where it doesn't say."""
    publication: str = ""


class _Places:
    """Where the parts of a file stand: for the line of every mistake."""

    def __init__(self, where: str | Path | None) -> None:
        self.where = where
        self.keys: dict[str, int] = {}
        self.body = 1

    def mistake(self, what: str, line: int | None, remedy: str | None = None) -> DraftMistake:
        return DraftMistake(what, where=self.where, line=line, remedy=remedy)


def read(
    raw: bytes | str,
    sections: Mapping[str, Sequence[str]],
    *,
    where: str | Path | None = None,
    beside: Path | None = None,
    publication: str | None = None,
) -> StoryFile:
    """A story's file as a value.

    `sections` are those of each publication here; `publication` is the one it goes to, unless it is None and
    the file says so itself. `beside` is the folder from which its picture is looked for. DraftMistake for the
    first mistake, with `where`, its line and what to do.
    """
    places = _Places(where)
    values, body = _parse(_decoded(raw, places), places)
    found: list[tuple[int, DraftMistake]] = []

    def wrong(key: str, what: str, remedy: str | None = None, row: int = 0) -> None:
        line = places.keys.get(key, 1) if key != "body" else places.body + row
        found.append((line, places.mistake(what, line, remedy)))

    dates: dict[str, dt.date | None] = {}
    for key in ("not_before", "not_after"):
        dates[key] = None
        if text := values.get(key):
            dates[key] = date(text)
            if dates[key] is None:
                wrong(key, f'"{text}" is not a date', NO_DATE)
    state = next((each for each in STATES if each.value == values.get("state")), None)
    if values.get("state") and state is None:
        wrong("state", f'a draft can\'t be "{values["state"]}"', "Write ready or writing.")
    name = values.get("publication", "")
    if name and name not in sections:
        wrong("publication", f'there is no publication "{name}"', f"There is {', '.join(sections)}.")
    elif name and publication and name != publication:
        wrong("publication", f'this is a story for "{name}", not for "{publication}"')
    picture = values.get("picture", "")
    if picture:
        path = (beside or Path()) / picture
        try:
            there = path.is_file()
        except (OSError, ValueError):
            there = False
        if not there:
            wrong("picture", f"there is no picture at {path}", "Name it by its path from where this file is.")
    written = Written(
        headline=values.get("headline", ""),
        body=body,
        section=values.get("section", ""),
        link=values.get("link", ""),
        author=values.get("author", ""),
        alt=values.get("alt", ""),
        credit=values.get("credit", ""),
        not_before=dates["not_before"],
        not_after=dates["not_after"],
    )
    for one in wrongs(written, sections.get(name or publication or "", ()), pictured=bool(picture)):
        key = "picture" if one.key == "alt" and not written.alt else one.key
        wrong(key, one.what, one.remedy, one.row)
    if found:
        raise min(found, key=lambda pair: pair[0])[1]
    return StoryFile(written, picture, state, name)


def values(raw: bytes | str, *, where: str | Path | None = None) -> tuple[dict[str, str], str]:
    """What stands in a story's file, key by key, and its text: unchecked. DraftMistake where it can't be read."""
    places = _Places(where)
    return _parse(_decoded(raw, places), places)


def body(raw: bytes, *, where: str | Path | None = None) -> str:
    """The text of a file that is nothing but a story's text. DraftMistake where it isn't UTF-8, or is too large."""
    return _decoded(raw, _Places(where)).rstrip(" \t\n")


def write(story: StoryFile) -> str:
    """The file that `read` makes this value from."""
    written = story.written
    values: dict[str, object] = {key: getattr(written, key, None) for key in KEYS}
    values.update(
        picture=story.picture, state=story.state.value if story.state else None, publication=story.publication
    )
    lines = [f"{key}: {_scalar(str(values[key]))}" for key in KEYS if values[key]]
    return "\n".join(["---", *lines, "---", "", written.body, ""])


def template(sections: Sequence[str]) -> str:
    """What someone who writes a story from nothing is given to begin with."""
    one_of = f"One of: {', '.join(sections)}." if sections else "A word or two over the headline, if any."
    return f"""\
---
# A line that begins with # is a note, and is not kept.
# Put "quotes" round whatever has a colon in it.
headline:
# {one_of}
section:
# The source, where there is one: https://…
link:
# A file, by its path from the publication's folder; alt says in a sentence what is to be seen in it.
picture:
alt:
credit:
author:
# Dates between which it may appear, such as 2023-11-20.
not_before:
not_after:
# ready: the next issue takes it. writing: it waits until it is ready.
state: ready
---

"""


def _decoded(raw: bytes | str, places: _Places) -> str:
    """The text with newlines as line breaks and without a byte order mark."""
    if len(raw) > LARGEST:
        raise places.mistake(f"this is more than {LARGEST // 1_000_000} MB, too much for a story", None)
    if isinstance(raw, bytes):
        try:
            raw = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise places.mistake("this is not UTF-8", line, "Save the file as UTF-8.") from None
    return raw.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _parse(text: str, places: _Places) -> tuple[dict[str, str], str]:
    """The front matter's keys and texts, and the body; `places` learns where they stand."""
    lines = text.split("\n")
    opens = next((row for row, line in enumerate(lines) if line.strip()), 0)
    if lines[opens].rstrip() != "---":
        raise places.mistake("this does not begin with front matter", opens + 1, _EXAMPLE)
    closes = next((row for row in range(opens + 1, len(lines)) if lines[row].rstrip() == "---"), None)
    if closes is None:
        raise places.mistake(
            "the front matter that begins here never ends",
            opens + 1,
            'Write a line "---" between it and the text.',
        )
    values = _front_matter(lines[opens + 1 : closes], opens + 2, places)
    body = lines[closes + 1 :]
    start = next((row for row, line in enumerate(body) if line.strip(" \t")), len(body))
    places.body = closes + 2 + (start if start < len(body) else 0)
    return values, "\n".join(body[start:]).rstrip(" \t\n")


def _front_matter(lines: list[str], first: int, places: _Places) -> dict[str, str]:
    """Keys and texts of YAML; `first` is the number of its first line in the file."""
    for row, line in enumerate(lines):
        # Some of these YAML takes for line breaks, and would count lines that no editor shows.
        if found := re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]", line):
            what = f"a control character (U+{ord(found[0]):04X}) stands here"
            raise places.mistake(what, first + row, "Take it out; it often comes along when text is copied.")
    try:
        root = yaml.compose("\n".join(lines), yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        raise _unparsed(error, lines, first, places) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise places.mistake("the front matter is not YAML", first, _EXAMPLE) from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise places.mistake("these are not lines of a key, a colon and a text", first, _EXAMPLE)
    values: dict[str, str] = {}
    for name, node in root.value:
        line = first + name.start_mark.line
        key = name.value if isinstance(name, yaml.ScalarNode) else ""
        if key not in KEYS:
            near = get_close_matches(key.lower().replace("-", "_").replace(" ", "_"), KEYS, 1)
            raise places.mistake(
                f'there is no "{key}" in a story' if key else "this is not a key",
                line,
                f"Did you mean {near[0]}?" if near else f"There is {', '.join(KEYS)}.",
            )
        if key in values:
            raise places.mistake(f'"{key}" stands here a second time', line, f"It is also on line {places.keys[key]}.")
        quotes = _quoted(lines[line - first])
        if not isinstance(node, yaml.ScalarNode):
            raise places.mistake(f"{key}: one text is wanted here, not a list", line, quotes)
        if lost := _lost(key, node, lines):
            raise places.mistake(f'{key}: YAML would leave out what follows "{lost}"', line, quotes)
        values[key] = node.value.strip(" \t\n")
        places.keys[key] = line
    return values


def _lost(key: str, node: yaml.ScalarNode, lines: list[str]) -> str:
    """The sign through which YAML would silently leave out a part of a text; "" where it doesn't."""

    def after(mark: yaml.Mark) -> str:
        return lines[mark.line][mark.column :] if mark.line < len(lines) else ""

    begins = after(node.start_mark)[:1]
    if begins in ("&", "!"):
        return begins
    remark = node.style not in ("|", ">") and after(node.end_mark).lstrip(" \t").startswith("#")
    return "#" if remark and key in _PROSE else ""


def _unparsed(error: yaml.MarkedYAMLError, lines: list[str], first: int, places: _Places) -> DraftMistake:
    """What a person did whom YAML's parser doesn't understand."""
    context = error.context or ""
    remedy: str | None
    # Of an unclosed quote and a missing colon it is the beginning that helps, not where the parser gave up.
    early = error.context_mark is not None and ("quoted scalar" in context or "simple key" in context)
    mark = error.context_mark if early else error.problem_mark or error.context_mark
    row = min(mark.line if mark else 0, len(lines) - 1)
    line = lines[row] if lines else ""
    problem, quotes = error.problem or context, _quoted(line)
    if "mapping values" in problem and re.search(r":.*:(\s|$)", line):
        what, remedy = "a colon stands within this text, and YAML takes it for another key", quotes
    elif line[:1] in (" ", "\t"):
        what, remedy = "this line is indented, so YAML takes it for a piece of the one above", "Begin it at the margin."
    elif "simple key" in context or (row and ":" not in lines[row - 1]):
        row -= "simple key" not in context
        what, remedy = "there is no colon after the key", "Write it as in headline: What the story says."
    elif "quoted scalar" in context:
        what, remedy = "the quotes that open here never close", quotes
    else:
        what, remedy = f"this is not YAML: {problem}", quotes
    return places.mistake(what, first + row, remedy)


def _quoted(line: str) -> str | None:
    """The remedy for most of what YAML doesn't understand: the same line with quotes round the text."""
    found = re.match(r"\s*(\w+)\s*:\s*(.+?)\s*$", line)
    if not found:
        return None
    text = found[2]
    if text[0] in "\"'" and text[0] not in text[1:]:
        text = text[1:]
    mark = "'" if '"' in text and "'" not in text else '"'
    inner = text if mark == "'" else text.replace("\\", "\\\\").replace('"', '\\"')
    return f"Put quotes round the whole of it: {found[1]}: {mark}{inner}{mark}"


def _scalar(value: str) -> str:
    """A text as YAML reads it back: bare where that is safe, else in double quotes."""
    if re.fullmatch(r"\w(?:[^\s:#]|:(?=[^\s])|(?<=\S)#|[ \u00a0](?=[^\s#]))*", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def date(text: str) -> dt.date | None:
    """A date written as 2023-11-20, and in no other way; None where it isn't one."""
    try:
        return dt.date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        return None
