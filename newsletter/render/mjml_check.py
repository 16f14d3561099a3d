"""What is wrong with an MJML text, and where: every silent fault of the compiler's is an answer here.

Against a table of MJML's elements (mjml-components.json, see its licence beside it): unknown or misplaced
elements, unknown attributes and values; and by the rules of XML, which name the place.
"""

from __future__ import annotations

import difflib
import functools
import html.entities
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

DEEPEST = 100
"""Elements within elements. Some thousands bring the compiler down, and the whole process with it."""

_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_SHORT = re.compile(r"#[0-9a-fA-F]{3}(?![0-9a-zA-Z])")
_COLOUR = re.compile(
    r"#[0-9a-fA-F]{6}|(?!.*#)[a-z]{3,20}|rgba?\(\s*\d{1,3}\s*(?:,\s*\d{1,3}\s*){2}(?:,\s*[\d.]+\s*)?\)", re.IGNORECASE
)
_HTML_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]*)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*?(/?)>")
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())  # noqa: SIM905
_ONE_CLASS = frozenset({"mj-section", "mj-wrapper", "mj-hero"})
_PICTURES = frozenset({"mj-image", "img"})


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong, by where it begins in the text, in characters."""

    offset: int
    what: str
    remedy: str | None = None


def wrongs(source: str) -> list[Wrong]:
    """Everything that is wrong with an MJML text, in its order; after a fault of its XML, nothing more."""
    reader = _Reader(source)
    reader.read()
    return sorted(reader.found, key=lambda wrong: wrong.offset)


@functools.cache
def _components() -> Mapping[str, Any]:
    table: Mapping[str, Any] = json.loads((Path(__file__).parent / "mjml-components.json").read_text("utf-8"))
    return table


@dataclass(slots=True)
class _Open:
    """An element that hasn't been closed yet."""

    name: str
    holds_html: bool
    text: list[str] = field(default_factory=list)


class _Reader:
    """One pass of expat over the text."""

    def __init__(self, source: str) -> None:
        self.found: list[Wrong] = []
        self._source = source
        # Named entities are HTML's and unknown to XML; same length, so that places stay.
        self._bytes = _ENTITY.sub(_blotted, source).encode()
        self._ascii = len(self._bytes) == len(source)
        self._stack: list[_Open] = []
        self._seen: set[str] = set()
        self._classes: dict[str, frozenset[str]] = {}
        self._uses: list[tuple[int, list[str]]] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.CommentHandler = self._comment
        self._parser.StartDoctypeDeclHandler = lambda *_: self._unread("<!doctype>")
        self._parser.StartCdataSectionHandler = lambda: self._unread("<![CDATA[…]]>")
        self._parser.ProcessingInstructionHandler = lambda *_: self._unread("<?…?>")
        self._parser.XmlDeclHandler = lambda *_: self._unread("<?xml …?>")
        self._parser.ordered_attributes = True

    def read(self) -> None:
        try:
            self._parser.Parse(self._bytes, True)
        except expat.ExpatError as error:
            self.found.append(self._broken(error))
            return
        for name in ("mj-body", "mj-title"):
            if name not in self._seen and "mjml" in self._seen:
                self.found.append(Wrong(0, f"there is no <{name}>"))
        for offset, used in self._uses:
            sets = [self._classes.get(name, frozenset()) for name in used]
            shared = [sorted(one & other) for one, other in itertools.combinations(sets, 2) if one & other]
            if shared:
                self.found.append(
                    Wrong(
                        offset,
                        f"two classes of mj-class both set {shared[0][0]}",
                        "Which of them wins is not the same everywhere.",
                    )
                )

    def _broken(self, error: expat.ExpatError) -> Wrong:
        offset = self._at(self._parser.ErrorByteIndex)
        words = expat.ErrorString(error.code)
        if words == "mismatched tag":
            offset = self._source.rfind("<", 0, offset + 1)
            name = re.match(r"</?[\w-]*", self._source[offset:])
            inside = self._stack[-1].name if self._stack else ""
            return Wrong(
                offset,
                f"{name[0] if name else 'a tag'}> comes where <{inside}> is still open",
                f"Close it first: </{inside}>.",
            )
        if self._source[offset:].startswith("<![if") or self._source[max(offset - 3, 0) :].startswith("<![if"):
            return Wrong(
                offset,
                "a conditional comment of this kind doesn't survive",
                "Write <!--[if !mso]><!--> … <!--<![endif]-->.",
            )
        if self._source[offset:].lower().startswith("<!doctype"):
            return Wrong(offset, "MJML can't read <!doctype>", "Take it out.")
        remedies = {
            "not well-formed (invalid token)": (
                "Is there a < or & that should be &lt; or &amp;, or a value without quotes?"
            ),
            "undefined entity": "Write it as a character, or as a number such as &#160;.",
            "no element found": "Is an element not closed?",
        }
        inside = f" within <{self._stack[-1].name}>" if self._stack and words == "no element found" else ""
        what = {
            "no element found": f"the text ends{inside}",
            "junk after document element": "there is text after </mjml>",
        }.get(words, f"this is not MJML: {words}")
        return Wrong(offset, what, remedies.get(words))

    def _unread(self, what: str) -> None:
        self._wrong(f"MJML can't read {what}", "Take it out.")

    def _at(self, index: int) -> int:
        return index if self._ascii else len(self._bytes[: max(index, 0)].decode(errors="ignore"))

    def _wrong(self, what: str, remedy: str | None = None, *, within: str = "") -> None:
        offset = self._at(self._parser.CurrentByteIndex)
        if within and (found := re.search(rf"\s{re.escape(within)}\s*=", self._source[offset : offset + 5000])):
            offset += found.start() + 1
        self.found.append(Wrong(offset, what, remedy))

    def _start(self, name: str, listed: list[str]) -> None:
        attributes = dict(zip(listed[::2], listed[1::2], strict=True))
        parent = self._stack[-1] if self._stack else None
        if len(self._stack) == DEEPEST:
            self._wrong(f"more than {DEEPEST} elements stand in one another")
        if parent and parent.holds_html:
            self._html_element(parent, name, attributes)
            self._stack.append(_Open(name, holds_html=True))
            return
        known = _components().get(name)
        if name == "mj-include":
            self._wrong("<mj-include> loses the width of what it includes", 'Write {% include "NAME" %}.')
        elif known is None:
            self._wrong(f"there is no element <{name}>", _unknown(name, parent))
        else:
            self._placed(name, parent)
            in_attributes = parent is not None and parent.name == "mj-attributes"
            self._attributes(name, attributes, known["attributes"], anything=in_attributes)
        self._seen.add(name)
        self._stack.append(_Open(name, holds_html=known is None or bool(known["endingTag"])))

    def _placed(self, name: str, parent: _Open | None) -> None:
        if parent is None:
            if name != "mjml":
                self._wrong(f"<{name}> stands where <mjml> should", "Everything stands within <mjml>.")
        elif parent.name == "mjml":
            if name not in ("mj-head", "mj-body"):
                self._wrong(f"<{name}> can't stand in <mjml>", "It holds <mj-head> and <mj-body>.")
            elif name in self._seen:
                self._wrong(f"there is a second <{name}>", "Only the last would be shown.")
        elif parent.name != "mj-attributes":
            allowed: Sequence[str] = _components()[parent.name]["children"]
            if name not in allowed:
                names = ", ".join(f"<{each}>" for each in allowed)
                holds = f"It holds {names}." if names else "It holds no elements."
                self._wrong(f"<{name}> can't stand in <{parent.name}>", holds)

    def _attributes(self, name: str, given: Mapping[str, str], known: Mapping[str, str], *, anything: bool) -> None:
        for key, value in given.items():
            if name == "mj-class" and key == "name":
                self._classes[value] = frozenset(given) - {"name"}
            elif key not in known:
                near = difflib.get_close_matches(key, known, 1)
                self._wrong(
                    f"<{name}> takes no {key}",
                    f"Did you mean {near[0]}?" if near else None,
                    within=key,
                )
            elif what := _value(value, known[key], key):
                self._wrong(f'{key}="{value}" on <{name}>: {what}', within=key)
        if name == "mjml":
            for key in ("lang", "dir"):
                if not given.get(key):
                    self._wrong(f"<mjml> has no {key}", "Screen readers need both lang and dir.")
        if name == "mj-style" and "inline" in given:
            self._wrong("<mj-style inline> isn't inlined", "Write its rules into inline.css.", within="inline")
        if name == "mj-divider" and len(given.get("padding", "").split()) > 1:
            self._wrong(
                "Outlook's line would be wider than its column",
                "Write padding-left and padding-right: the compiler takes only those from its width.",
                within="padding",
            )
        if name in _PICTURES and not anything:
            self._picture(name, given)
        if len(given.get("css-class", "").split()) > 1 and name in _ONE_CLASS:
            self._wrong(
                f"<{name}> has two classes",
                "Outlook's table would get the first as it is; give it one.",
                within="css-class",
            )
        if "mj-class" in given:
            self._uses.append((self._at(self._parser.CurrentByteIndex), given["mj-class"].split()))

    def _picture(self, name: str, given: Mapping[str, str]) -> None:
        if "alt" not in given:
            self._wrong(f"<{name}> has no alt", 'Say what is to be seen, or write alt="" for an ornament.')
        for key in ("width", "height"):
            if not re.fullmatch(r"\d+(px)?", given.get(key, "")):
                self._wrong(
                    f"<{name}> has no {key} in pixels", "Outlook shows it at its full size, and other programs jump."
                )

    def _html_element(self, parent: _Open, name: str, attributes: Mapping[str, str]) -> None:
        if name.startswith("mj-") or name == "mjml":
            self._wrong(f"<{name}> can't stand in <{parent.name}>", "That holds HTML, and MJML within it isn't read.")
        if name == "img":
            self._picture(name, attributes)
        for key in ("bgcolor", "color", "style"):
            if found := _SHORT.search(attributes.get(key, "")):
                self._wrong(f"{found[0]} is a colour of three digits", "Outlook wants six.", within=key)

    def _end(self, name: str) -> None:
        closed = self._stack.pop()
        if name == "mj-title" and not "".join(closed.text).strip():
            self._wrong("<mj-title> is empty", "Screen readers and browsers call the mail by it.")

    def _text(self, text: str) -> None:
        if not self._stack:
            return
        top = self._stack[-1]
        if top.holds_html:
            top.text.append(text)
        elif text.strip():
            self._wrong(f"there is text in <{top.name}>", "Text stands in <mj-text>.")

    def _comment(self, text: str) -> None:
        """Unbalanced HTML for Outlook makes the compiler lose its place for the whole rest of the mail."""
        if not text.lstrip().startswith("["):
            return
        opened: list[str] = []
        for closing, name, alone in _HTML_TAG.findall(text):
            if alone or name.lower() in _VOID:
                continue
            if not closing:
                opened.append(name)
            elif not opened or opened.pop() != name:
                opened = ["?"]
                break
        if opened:
            self._wrong(
                "a conditional comment opens an element and doesn't close it", "Open and close in the same one."
            )


def _blotted(found: re.Match[str]) -> str:
    known = f"{found[1]};" in html.entities.html5 and found[1] not in ("lt", "gt", "amp", "quot", "apos")
    return "_" * len(found[0]) if known else found[0]


def _unknown(name: str, parent: _Open | None) -> str | None:
    if not name.startswith("mj"):
        return "HTML stands in <mj-text> or <mj-raw>." if parent else None
    near = difflib.get_close_matches(name, _components(), 1)
    return f"Did you mean <{near[0]}>?" if near else "It isn't MJML's, or the compiler can't do it."


def _value(value: str, shape: str, key: str) -> str:
    """What is wrong with an attribute's value; nothing where it is right. `shape` is MJML's own notation."""
    if key.endswith("color") or shape == "color":
        if _SHORT.fullmatch(value):
            return "a colour has six digits, or Outlook misses it"
        return "" if _COLOUR.fullmatch(value) else "this is not a colour"
    if found := re.fullmatch(r"enum\((.*)\)", shape):
        allowed = found[1].split(",")
        return "" if value in allowed else f"it is one of {', '.join(filter(None, allowed))}"
    if shape == "boolean":
        return "" if value in ("true", "false") else "it is true or false"
    if shape == "integer":
        return "" if value.isdigit() else "it is a whole number"
    if found := re.fullmatch(r"unit(WithNegative)?\(([^)]*)\)(?:\{(\d),(\d)\})?", shape):
        units = found[2].split(",")
        ends = "|".join(re.escape(unit) for unit in units if unit not in ("", "auto"))
        plain = "|0(?:\\.0+)?" + ("|\\d+(?:\\.\\d+)?" if "" in units else "") + ("|auto" if "auto" in units else "")
        one = f"(?:{'-?' if found[1] else ''}\\d+(?:\\.\\d+)?(?:{ends}){plain})"
        most = int(found[4] or 1)
        right = re.fullmatch(rf"{one}(?: +{one}){{0,{most - 1}}}", value.strip())
        measures = " or ".join(unit for unit in units if unit)
        return "" if right else f"it is {'up to four measures' if most > 1 else 'a measure'} in {measures}"
    return ""
