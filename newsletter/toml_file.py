"""A TOML file as a value of a given shape; every mistake with the file, the line and what would be right."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from newsletter.errors import ConfigMistake

T = TypeVar("T")


def source(path: Path) -> str:
    """The text of a TOML file, or a ConfigMistake."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigMistake(
            "there is no such file",
            where=path,
            remedy="Go to a publication's folder, name one with --folder, or make one: newsletter init DIR.",
        ) from None
    except OSError as error:
        raise ConfigMistake(f"it can't be read: {error.strerror}", where=path) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigMistake("this is not UTF-8", where=path, line=line, remedy="Save the file as UTF-8.") from None


def parse(text: str, path: Path, shape: type[T]) -> T:
    """TOML text as a `shape`, a msgspec Struct; `path` is for the words of mistakes."""
    raw: dict[str, Any] = {}
    try:
        raw = tomllib.loads(text)
        return msgspec.convert(raw, shape, strict=True)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)$", str(error))
        what = re.sub(r"\s*\(at .*\)$", "", str(error))
        twice = re.match(r"Cannot (?:overwrite a value|declare .* twice|mutate immutable namespace)", what)
        raise ConfigMistake(
            "this is set a second time" if twice else f"this is not TOML: {what[:1].lower()}{what[1:]}",
            where=path,
            line=int(found[1]) if found else text.rstrip().count("\n") + 1,
            column=int(found[2]) if found else None,
            remedy="Leave it in one place." if twice else None,
        ) from None
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at ")
        place = re.search(r"`\$\.?([^`]*)`$", at)
        key = _named(raw, shape, str(error), place[1] if place else "")
        key, what = _in_words(shape, key, what)
        raise ConfigMistake(f"{key}: {what}" if key else what, where=path, line=line_of(text, key)) from None
    except ValueError:
        # Python's own, of a number with thousands of digits; tomllib lets it through.
        raise ConfigMistake("a number in it has too many digits", where=path) from None


_KINDS = {
    "int": "a whole number",
    "str": "a text in quotes",
    "bool": "true or false",
    "array": 'a list such as ["…"]',
    "object": "a table",
    "float": "a number",
    "date": "a date such as 2023-11-14",
}


def _in_words(shape: type[Any], key: str, what: str) -> tuple[str, str]:
    """The key that a mistake of msgspec's is about, and what is wrong, in words for whoever wrote the file."""
    last = key.rpartition(".")[2]
    if found := re.search(r"unknown field `([^`]+)`", what):
        return f"{key}.{found[1]}".lstrip("."), f"there is no setting `{found[1]}` here"
    if found := re.search(r"missing required field `([^`]+)`", what):
        return f"{key}.{found[1]}".lstrip("."), "it is missing, and has no default"
    if found := re.fullmatch(r"Invalid enum value '?(.*?)'?", what):
        return key, f'"{found[1]}" is not known here; write {" or ".join(_choices(inspect.type_info(shape), last))}'
    if "encoded date" in what:
        return key, "this is not a date; write it as 2023-11-14"
    if found := re.fullmatch(r"Expected `(\w+)`, got `(\w+)`", what):
        return key, f"{_KINDS.get(found[1], found[1])} is wanted here, not {_KINDS.get(found[2], found[2])}"
    if found := re.fullmatch(r"Expected `int` ([<>])= (-?\d+)", what):
        return key, f"it must be {'at least' if found[1] == '>' else 'at most'} {found[2]}"
    if re.fullmatch(r"Expected `\w+` of length >= 1|Expected `str` matching regex '\\\\S'", what):
        return key, "it can't be empty"
    if "regex '^[a-z" in what:
        return key, "a name is wanted here, of small letters and digits, such as city2"
    if found := re.fullmatch(r"Expected `str` matching regex '\^\((.*)\)\$'", what):
        return key, f"write {' or '.join(found[1].split('|'))}"
    return key, what[:1].lower() + what[1:]


def _choices(shape: inspect.Type, key: str) -> list[str]:
    """The words that a setting may be, wherever in the shape it stands."""
    match shape:
        case inspect.StructType(fields=fields):
            for field in fields:
                if field.encode_name == key and isinstance(field.type, inspect.EnumType):
                    return [f'"{each.value}"' for each in field.type.cls]
            return next((found for field in fields if (found := _choices(field.type, key))), [])
        case inspect.DictType(value_type=inner) | inspect.VarTupleType(item_type=inner):
            return _choices(inner, key)
        case inspect.Metadata(type=inner):
            return _choices(inner, key)
        case _:
            return []


def _named(raw: dict[str, Any], shape: type[Any], said: str, key: str) -> str:
    """`key` with names in the place of the "[...]" that msgspec writes for any entry of a table."""
    table, dots, rest = key.partition("[...]")
    if not dots:
        return key
    whole = copy.deepcopy(raw)
    place = whole
    for part in table.split("."):
        place = place[part]
    entries = dict(place)
    for name, entry in entries.items():
        place.clear()
        place[name] = entry
        try:
            msgspec.convert(whole, shape, strict=True)
        except msgspec.ValidationError as error:
            if str(error) == said:
                return _named(whole, shape, said, f"{table}.{name}{rest}")
    return table


def line_of(text: str, key: str) -> int | None:
    """The line on which a dotted key such as `publications.digest.cadence.zone` or `relays[1].port` stands.

    That of its table where it isn't there; None where that isn't there either.
    """
    names = re.sub(r"\[\d*\.*\]", "", key).split(".")
    wanted = re.match(r"(\w+)\[(\d+)\]", key)
    if wanted and not re.search(rf"(?m)^\s*\[\[\s*{wanted[1]}\s*\]\]", text):
        wanted = None
    table: list[str] = []
    best: int | None = None
    count = -1
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            table = [part.strip(" \"'") for part in head[1].split(".")]
            if wanted and table == [wanted[1]]:
                count += 1
            here = not wanted or count == int(wanted[2])
            if here and table == names[: len(table)]:
                best = number
        elif (
            (entry := re.match(r"\s*([\w\".'-]+)\s*=", line))
            and table + [part.strip("\"'") for part in entry[1].split(".")] == names[: len(table) + 1]
            and (not wanted or count == int(wanted[2]))
        ):
            return number
    return best
