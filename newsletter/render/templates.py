"""A design's templates: loaded with their merge fields hidden, rendered in a sandbox, mistakes with their line.

A template may know an edition and what is handed to it, and reach nothing else: no attribute of Python's own,
no file outside its folder, no endless loop. What it prints is escaped; there is no filter to switch that off.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.sandbox import SandboxedEnvironment

from newsletter import translations
from newsletter.errors import TemplateMistake
from newsletter.fields import Marks
from newsletter.folder import included

LARGEST = 2_000_000
"""Characters that a template may make: no mail program shows a mail a tenth as large."""
MOST_TURNS = 1_000_000
"""Turns that all of a rendering's range() loops may make together."""

SHARED = "shared"
"""The folder beside the designs whose files all of them may include, as "shared/NAME"."""

_FAULTS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
_TEMPLATES = (".mjml", ".html", ".txt")
_LINE = re.compile("\x0e([^\t\x0f]*)\t(\\d+)\x0f")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an author's file something is, as nearly as can be told."""

    file: Path
    line: int | None = None
    column: int | None = None

    def mistake(self, what: str, remedy: str | None = None) -> TemplateMistake:
        return TemplateMistake(what, where=self.file, line=self.line, column=self.column, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Expanded:
    """A rendered template that can tell which line of whose file a piece of it comes from."""

    text: str
    locate: Callable[[int], Place]


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a design, as their author wrote them, and those that all designs share."""

    folder: Path
    texts: Mapping[str, str]
    """By their names from the design's folder on; the shared ones begin with "shared/"."""

    def path(self, name: str) -> Path:
        """The file of a template, by its name, in the design's folder or beside it."""
        return (self.folder.parent if name.startswith(f"{SHARED}/") else self.folder) / name

    def text(self, name: str) -> str:
        """One file. TemplateMistake where it is missing."""
        if name not in self.texts:
            raise TemplateMistake(
                "there is no such file",
                where=self.path(name),
                remedy=f"The design needs its {name}.",
            )
        return self.texts[name]


def read(templates: Path, design: str) -> Sources:
    """The files of a design, templates/DESIGN/ with its folders, and of templates/shared/.

    TemplateMistake where they can't be read.
    """
    folder = templates / design
    if not folder.is_dir():
        there = sorted(path.parent.name for path in templates.glob("*/issue.mjml"))
        raise TemplateMistake(
            f'there is no design "{design}"',
            where=folder,
            remedy=f"There is {', '.join(there)}." if there else "newsletter init copies one here.",
        )
    texts: dict[str, str] = {}
    shared = templates / SHARED
    for path in (*sorted(folder.rglob("*")), *sorted(shared.rglob("*"))):
        if path.suffix not in (*_TEMPLATES, ".css") or not path.is_file():
            continue
        try:
            raw = path.read_bytes()
            name = path.relative_to(templates if path.is_relative_to(shared) else folder).as_posix()
            texts[name] = raw.decode("utf-8-sig").replace("\r\n", "\n")
        except OSError as error:
            raise TemplateMistake(f"it can't be read: {error.strerror}", where=path) from None
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise TemplateMistake("this is not UTF-8", where=path, line=line, remedy="Save it as UTF-8.") from None
    return Sources(folder, texts)


def words(templates: Path, language: str) -> NullTranslations:
    """What the sentences of designs are in a publication's language; as they stand, where nothing has it.

    TemplateMistake for a catalogue that can't be read.
    """
    try:
        known = translations.catalogues((templates / "translations", included() / "templates" / "translations"))
    except ValueError as error:
        raise TemplateMistake(f"a translation can't be read: {error}") from None
    return known[translations.best([language], known) or translations.SOURCE]


class Design:
    """A design's templates, ready to be rendered."""

    def __init__(self, sources: Sources, marks: Marks, spoken: NullTranslations) -> None:
        """`spoken` is what its `_()` says. FieldMistake for what isn't a merge field, with its file and line."""
        self.sources = sources
        self.spoken = spoken
        hidden = {
            name: marks.hide(text, where=sources.path(name), strict=True) if name.endswith(_TEMPLATES) else text
            for name, text in sources.texts.items()
        }
        self._environment = _environment(tuple(hidden.items()), spoken)
        self._with_lines = functools.partial(_environment, tuple(hidden.items()), spoken, lines=True)

    def expand(self, name: str, values: Mapping[str, Any]) -> Expanded:
        """The template rendered with these values. TemplateMistake for whatever goes wrong, with file and line."""
        self.sources.text(name)
        text = self._render(self._environment, name, values)

        def locate(offset: int) -> Place:
            return self._locate(name, values, text, offset)

        return Expanded(text, locate)

    def _render(self, environment: Environment, name: str, values: Mapping[str, Any]) -> str:
        made: list[str] = []
        size = 0
        try:
            template = environment.get_template(name)
            for piece in template.generate(values, range=_Turns().range):
                size += len(piece)
                if size > LARGEST:
                    break
                made.append(piece)
        except TemplateNotFound as error:
            raise self._place(error, name).mistake(
                f'there is no template "{error.name or error.message}" in {self.sources.folder}'
            ) from None
        except TemplateSyntaxError as error:
            where = self.sources.path(error.name or name)
            what = _lowered(error.message or "this is not a template")
            raise TemplateMistake(what, where=where, line=error.lineno) from None
        # Whatever a template's expressions run into: a name that isn't there, a sum of words, a recursion.
        except _FAULTS as error:
            raise self._place(error, name).mistake(_said(error)) from None
        if size > LARGEST:
            raise TemplateMistake(
                f"this template makes more than {LARGEST:,} characters",
                where=self.sources.path(name),
                remedy="Does a loop in it go on for too long? Or are the stories together as long as a book?",
            )
        return "".join(made)

    def _place(self, error: BaseException, name: str) -> Place:
        """Where a template was when it failed: the innermost line of the traceback that is in one."""
        place = Place(self.sources.path(name))
        step = error.__traceback__
        while step is not None:
            scheme, _, file = step.tb_frame.f_code.co_filename.partition(":")
            if scheme == _Loader.SCHEME and file in self.sources.texts:
                place = Place(self.sources.path(file), step.tb_lineno)
            step = step.tb_next
        return place

    def _locate(self, name: str, values: Mapping[str, Any], text: str, offset: int) -> Place:
        """Renders once more, with the line written down before every piece of a template's own text."""
        marked = self._render(self._with_lines(), name, values)
        if _LINE.sub("", marked) != text:
            return Place(self.sources.path(name))
        at = 0
        place, begun, exact = Place(self.sources.path(name)), 0, False
        end = 0
        for found in _LINE.finditer(marked):
            at += found.start() - end
            end = found.end()
            if at > offset:
                break
            place, begun = Place(self.sources.path(found[1]), int(found[2])), at
        between = text[begun:offset]
        line = (place.line or 1) + between.count("\n")
        files = {self.sources.path(each): text for each, text in self.sources.texts.items()}
        source = (*files.get(place.file, "").split("\n"), "")
        piece = re.match(r"<?[^\s<>=]*", text[offset:])
        words = piece[0] if piece else ""
        row = source[min(line, len(source)) - 1]
        exact = bool(words) and row.count(words) == 1
        return Place(place.file, line, row.index(words) + 1 if exact else None)


def _said(error: Exception) -> str:
    """What a template's mistake is, in a sentence for its author."""
    if isinstance(error, RecursionError):
        return "this template includes or calls itself without end"
    words = str(error)
    if found := re.fullmatch(r"'(?:.*\.)?(\w+?)(?:View)?(?: object)?' has no attribute '(\w+)'", words):
        return f'there is no "{found[2]}" in {found[1].lower()}'
    if found := re.fullmatch(r"'(\w+)' is undefined", words):
        return f'nothing is called "{found[1]}" here'
    return _lowered(words or type(error).__name__)


def _lowered(words: str) -> str:
    return words[:1].lower() + words[1:]


class _Turns:
    """A range() that counts, so that loops within loops end too."""

    def __init__(self) -> None:
        self.left = MOST_TURNS

    def range(self, *limits: int) -> range:
        asked = range(*limits)
        self.left -= len(asked)
        if self.left < 0:
            raise OverflowError(f"the loops of this template make more than {MOST_TURNS:,} turns")
        return asked


class _Sandbox(SandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Products of words and powers can fill any memory in one step."""
        if operator == "**" and (abs(left) > 1000 or abs(right) > 10):
            raise OverflowError("this power is too large")
        for words, times in ((left, right), (right, left)):
            if isinstance(words, str | list | tuple) and isinstance(times, int) and len(words) * times > LARGEST:
                raise OverflowError("this product is too large")
        return super().call_binop(context, operator, left, right)


class _Loader(BaseLoader):
    SCHEME = "template"
    """What a template's name stands behind where a traceback says in which file it was."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        del environment
        if template not in self._texts:
            raise TemplateNotFound(template)
        return self._texts[template], f"{self.SCHEME}:{template}", lambda: True


class _Lines(Extension):
    """Before every piece of a template's own text, the file and line that it stands on."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        def marked() -> Iterator[Token]:
            for token in stream:
                if token.type == "data":
                    yield Token(token.lineno, "data", f"\x0e{stream.name}\t{token.lineno}\x0f{token.value}")
                else:
                    yield token

        return marked()


# The last few designs stay compiled, wherever they lie: that costs a hundred times what rendering them does.
@functools.lru_cache(maxsize=16)
def _environment(texts: tuple[tuple[str, str], ...], spoken: NullTranslations, *, lines: bool = False) -> Environment:
    made = _Sandbox(
        loader=_Loader(dict(texts)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n", *([_Lines] if lines else [])],
        autoescape=lambda name: not (name or "").endswith((".txt", ".css")),
    )
    for name in ("safe", "upper", "lower", "title", "capitalize", "truncate", "striptags", "urlize"):
        # safe would let a story's text out of its place; the others would break a hidden merge field.
        del made.filters[name]
    made.filters["upper"] = _upper
    made.install_gettext_translations(spoken, newstyle=True)  # type: ignore[attr-defined]
    return made


def _upper(text: str) -> str:
    """In capitals, but for what a merge field is hidden behind."""
    return "".join(
        part if at % 2 else part.upper() for at, part in enumerate(re.split(r"(mergefieldx+\d+z)", str(text)))
    )
