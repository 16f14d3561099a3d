"""Merge fields: what stands in a text for a reader's name, city or link, and is filled in for each reader.

    [[name]]  [[name|reader]]                         a value, or else the words behind the bar
    [[if city]] … [[else]] … [[end]]                  where it is known, and where not
    [[if plan = pro]]   [[if plan != pro]]   [[if not city]]

In a story, what isn't a known field is just text; in a template it is a mistake. Nothing here runs code: there
are values and comparisons, no more.

While an issue is rendered each expression is hidden behind a *mark*, a word of letters and digits that passes
untouched through Markdown, the sanitiser, MJML, premailer and every kind of escaping. Afterwards it is *framed*:
STX expression ETX, two characters that can't occur in a story. compose fills the frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from newsletter.errors import FieldMistake

ALWAYS = {
    "name": "the reader's name, as they gave it",
    "address": "the address that the mail goes to",
    "joined": "the day on which they subscribed",
    "unsubscribe_url": "the page to leave by",
    "preferences_url": "the page of their own settings",
    "view_url": "this very mail, in a browser",
}
"""The fields that every publication has; a publication's `attributes` come on top."""

URLS = frozenset({"unsubscribe_url", "preferences_url", "view_url"})
"""Fields that are a whole web address, and go into a link as they are."""

MARK = "measuring_mark"
"""Stands in what newsletter.measuring puts into a mail's HTML: the token of its message. No story can write it."""

_EXPRESSION = re.compile(r"\[\[([^\[\]\r\n\x00-\x1f]{1,200})\]\]")
_VALUE = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(?:\|(.*))?", re.DOTALL)
_IF = re.compile(r"\s*if\s+(not\s+)?([a-z][a-z0-9_]*)\s*(?:(!?=)\s*(.*?)\s*)?")
_FRAME = re.compile("\x02([^\x03]*)\x03")


@dataclass(frozen=True, slots=True)
class Value:
    """[[name|fallback]]."""

    name: str
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class If:
    """[[if name]], [[if not name]], [[if name = this]], [[if name != this]]."""

    name: str
    this: str | None = None
    negated: bool = False

    def holds(self, value: str) -> bool:
        """Whether the part up to else or end is for a reader with this value."""
        return (bool(value) if self.this is None else value.casefold() == self.this.casefold()) != self.negated


@dataclass(frozen=True, slots=True)
class Else:
    """[[else]]."""


@dataclass(frozen=True, slots=True)
class End:
    """[[end]]."""


Expression = Value | If | Else | End


@dataclass(frozen=True, slots=True)
class Choice:
    """A condition with what it chooses between."""

    condition: If
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node = str | Value | Choice
"""A text with its fields is a tuple of these."""


def known(attributes: Iterable[str]) -> frozenset[str]:
    """The names of all fields of a publication that keeps these attributes."""
    return frozenset(ALWAYS) | frozenset(attributes)


def read(inner: str, names: frozenset[str]) -> Expression | None:
    """What stands between the brackets, or None where it isn't a field that is known."""
    word = inner.strip()
    if word == "else":
        return Else()
    if word == "end":
        return End()
    if found := _IF.fullmatch(inner):
        negated, name, comparison, this = found.groups()
        if name not in names or (negated and comparison):
            return None
        return If(name, this if comparison else None, bool(negated) or comparison == "!=")
    if (found := _VALUE.fullmatch(inner)) and found[1] in names:
        return Value(found[1], found[2] or "")
    return None


class Marks:
    """The marks of one rendering: hides expressions, and frames them when the rendering is done."""

    def __init__(self, names: frozenset[str], texts: Iterable[str]) -> None:
        """`texts` is everything that will be rendered, so that no mark can occur in it by itself."""
        self.names = names
        self._expressions: dict[str, str] = {}
        everything = "\n".join(texts).lower()
        self._prefix = "mergefieldx"
        while self._prefix in everything:
            self._prefix += "x"
        self._mark = re.compile(rf"{self._prefix}(\d+)z")
        self._inner: list[tuple[str, Expression]] = []

    def hide(self, text: str, *, where: str | Path | None = None, strict: bool = False, first_line: int = 1) -> str:
        """`text` with a mark in place of each field.

        strict, for templates: FieldMistake for what isn't a known field. In stories that stays as it is; so
        do else and end where no known condition is open. FieldMistake for a condition that never ends.
        """
        open_ifs: list[int] = []
        out: list[str] = []
        at = 0
        for found in _EXPRESSION.finditer(text):
            line = first_line + text.count("\n", 0, found.start())
            expression = read(found[1], self.names)
            if isinstance(expression, Else | End) and not open_ifs:
                if strict:
                    raise FieldMistake(f"{found[0]} stands where no [[if …]] is open", where=where, line=line)
                expression = None
            if expression is None:
                if strict:
                    raise FieldMistake(
                        f"{found[0]} is not a field",
                        where=where,
                        line=line,
                        remedy=f"The fields are {', '.join(sorted(self.names))};"
                        " more are declared as attributes in config.toml.",
                    )
                continue
            if isinstance(expression, If):
                open_ifs.append(line)
            elif isinstance(expression, End):
                open_ifs.pop()
            out += [text[at : found.start()], self._hidden(found[1], expression)]
            at = found.end()
        if open_ifs:
            raise FieldMistake(
                "this [[if …]] has no [[end]]",
                where=where,
                line=open_ifs[-1],
                remedy="Put [[end]] where what depends on it ends.",
            )
        return "".join([*out, text[at:]])

    def _hidden(self, inner: str, expression: Expression) -> str:
        if inner not in self._expressions:
            self._expressions[inner] = f"{self._prefix}{len(self._inner)}z"
            self._inner.append((inner, expression))
        return self._expressions[inner]

    def frame(self, text: str) -> str:
        """A finished text with its marks framed; a line that held nothing but a condition is gone."""
        alone = rf"(?m)^[ \t]*((?:{self._conditions()})+)[ \t]*\n(?:[ \t]*\n)?"
        if self._inner:
            text = re.sub(alone, r"\1", text)
        return self._framed(text)

    def frame_html(self, html: str, where: str | Path) -> str:
        """Finished HTML with its marks framed; a paragraph that held nothing but a condition is gone.

        FieldMistake where a condition opens in one element and closes in another: some readers would get
        broken HTML.
        """
        if self._inner:
            html = re.sub(rf"<p\b[^>]*>\s*((?:(?:{self._conditions()})\s*)+)</p>", r"\1", html)
        html = self._framed(html)
        _check_nesting(html, where)
        return html

    def _conditions(self) -> str:
        numbers = [str(i) for i, (_, expression) in enumerate(self._inner) if not isinstance(expression, Value)]
        return rf"{self._prefix}(?:{'|'.join(numbers)})z" if numbers else r"(?!)"

    def _framed(self, text: str) -> str:
        return self._mark.sub(lambda found: f"\x02{self._inner[int(found[1])][0]}\x03", text)


def loose(text: str, names: frozenset[str]) -> Iterator[tuple[int, str, bool]]:
    """Each [[else]] and [[end]] of a text that belongs to no condition, known or not: where it stands, how it is
    written, and whether it is a second [[else]], which takes the place of what stands before it.
    """
    elses: list[bool] = []
    for found in _EXPRESSION.finditer(text):
        expression = read(found[1], names)
        if isinstance(expression, If) or (expression is None and found[1].split()[:1] == ["if"]):
            elses.append(False)
        elif isinstance(expression, Else | End) and not elses:
            yield found.start(), found[0], False
        elif isinstance(expression, End):
            elses.pop()
        elif isinstance(expression, Else):
            if elses[-1]:
                yield found.start(), found[0], True
            elses[-1] = True


def frame(text: str, names: frozenset[str]) -> str:
    """A plain text, such as a subject, with its known fields framed."""
    marks = Marks(names, [text])
    return marks.frame(marks.hide(text))


def nodes(framed: str, names: frozenset[str]) -> tuple[Node, ...]:
    """A framed text as literal text, values and choices."""
    stack: list[tuple[If | None, list[Node], list[Node] | None]] = [(None, [], None)]
    at = 0

    def add(node: Node) -> None:
        _, then, otherwise = stack[-1]
        (then if otherwise is None else otherwise).append(node)

    for found in _FRAME.finditer(framed):
        if at < found.start():
            add(framed[at : found.start()])
        at = found.end()
        match read(found[1], names):
            case If() as opened:
                stack.append((opened, [], None))
            case Else():
                condition, then, _ = stack.pop()
                stack.append((condition, then, []))
            case End():
                condition, then, otherwise = stack.pop()
                assert condition is not None, "hide() lets no [[end]] through that closes nothing"
                add(Choice(condition, tuple(then), tuple(otherwise or ())))
            case Value() as value:
                add(value)
            case None:
                raise FieldMistake(
                    f"[[{found[1]}]] was a field when the issue was rendered, and isn't any more",
                    remedy="Put it back among the attributes in config.toml.",
                )
    if at < len(framed):
        add(framed[at:])
    return tuple(stack[0][1])


_TAG = re.compile(r"\x02([^\x03]*)\x03|<!--.*?-->|<(/?)([a-zA-Z][a-zA-Z0-9-]*)[^<>]*?(/?)>", re.DOTALL)
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())  # noqa: SIM905


def _check_nesting(html: str, where: str | Path) -> None:
    elements: list[tuple[str, int]] = []
    conditions: list[list[tuple[str, int]]] = []
    for found in _TAG.finditer(html):
        if (inner := found[1]) is not None:
            word = inner.split()[0] if inner.split() else ""
            if word == "if":
                conditions.append(list(elements))
            elif word in ("else", "end") and conditions and conditions[-1] != elements:
                raise FieldMistake(
                    f"a condition opens in one paragraph and has its [[{word}]] in another",
                    where=where,
                    remedy="Put [[if …]], [[else]] and [[end]] into one paragraph, or each into a line of its own.",
                )
            if word == "end" and conditions:
                conditions.pop()
            continue
        if found[3] is None or found[3].lower() in _VOID or found[4]:
            continue
        name = found[3].lower()
        if not found[2]:
            elements.append((name, found.start()))
        else:
            for i in range(len(elements) - 1, -1, -1):
                if elements[i][0] == name:
                    del elements[i:]
                    break


def fill(tree: tuple[Node, ...], value: Callable[[str], str]) -> str:
    """A text for one reader: `value` knows their values by field, "" where there is none."""
    return "".join(part if isinstance(part, str) else value(part.name) or part.fallback for part in chosen(tree, value))


def chosen(tree: tuple[Node, ...], value: Callable[[str], str]) -> Iterator[str | Value]:
    """A text for one reader with its choices made and its values still open."""
    for node in tree:
        if isinstance(node, Choice):
            yield from chosen(node.then if node.condition.holds(value(node.condition.name)) else node.otherwise, value)
        else:
            yield node


def conditions(tree: tuple[Node, ...]) -> Iterator[If]:
    """Every condition in a text, in the order of their opening."""
    for node in tree:
        if isinstance(node, Choice):
            yield node.condition
            yield from conditions(node.then)
            yield from conditions(node.otherwise)
