"""Words: what was to be replaced, what was garbled, headlines that are alike, stories that say too little."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from difflib import SequenceMatcher, get_close_matches
from urllib.parse import unquote

from newsletter import fields
from newsletter.fields import Choice, If, Node, Value
from newsletter.preflight.facts import Facts
from newsletter.preflight.finding import Found, found_at, looks_for
from newsletter.preflight.sources import Passage
from newsletter.preflight_rules import Level
from newsletter.render.text import columns

LONG_HEADLINE = 120
"""Columns."""
SHORT_STORY = 25
"""Columns of a story's whole text."""

_SURE = re.compile(
    r"\b(?:TK){2,}\b|\[(?:insert|tk|tbd|todo|placeholder)\b[^\]\n]{0,60}\]"
    r"|\[(?:add|replace|your)\b[^\]\n]{0,60}\bhere\]|<(?:insert|your|tbd)\b[^>\n]{0,60}>"
    r"|^(?:the )?(?:headline|text|copy|title|story|quote|name|date) (?:goes|to go) here\.?$"
    r"|ここに(?:文章|テキスト|見出し)を入力",
    re.IGNORECASE | re.MULTILINE,
)
"""What no author can have meant. (A quotation may well say "[your government]".)"""
_LOREM = re.compile(r"lorem ipsum|dolor sit amet", re.IGNORECASE)
_FILLER = re.compile(
    r"\s*lorem ipsum(?:[ ,]+dolor(?: sit(?: amet)?)?)?[\s.…]*$"
    r"|\s*lorem ipsum\b.*\b(?:consectetur|consectetuer|adipis\w+|eiusmod|incididunt)\b",
    re.IGNORECASE | re.DOTALL,
)
"""A passage that is nothing else. (Who writes of lorem ipsum says more of it, or less.)"""
_PERHAPS = re.compile(
    r"\b(?:TK|TBD|TBC|TBA|TODO|FIXME|X{3,})\b(?! Maxx)|(?<![\w.@/-])(?:tk|tbd|tbc|tba)(?![\w@/-]|\.\w)"
    r"|\b[Bb]lindtext\b|\b[Ff]aux[- ]texte\b|(?<!\w)\?{3,}|(?<!\w)_{3,}(?!\w)"
    # sums and dates: "$X.X billion", "XX percent", "20XX", "November XX"
    r"|(?:[$€£¥]|US\$) ?X{1,3}(?:[.,]X+)*\b|\b(?:19|20)XX\b"
    r"|\bXX(?:[.,]X+)? ?(?:%|per ?cent\b|[mb]illion\b|Prozent\b|Millionen\b|pour cent\b)"
    r"|\b(?:January|February|March|April|May|June|July|August|(?:Septem|Octo|Novem|Decem)ber) XX\b"
    # in brackets
    r"|(?<!\[)\[(?i:link|url|sources?|quote|name|date|figures?|number|amount|headline|title|photo|alt text)\](?!\])"
    r"|(?<!\[)\[(?i:quelle|zitat|lien|\?+)\](?!\])"
    r"|(?<!\[)\[(?i:check|verify|confirm|note to (?:the )?(?:ed|desk)\w*)\b[^\[\]\n]{0,60}\](?!\])"
    r"|(?<!\[)\[(?:NAME|DATE|LINK|SOURCE|QUOTE|FIGURE|NUMBER|AMOUNT)(?! WITHHELD| REDACTED)(?: [A-Z]+){1,6}\](?!\])"
    r"|(?<!\[)\[[^\[\]\n]{0,60}(?i:to come|einfügen|ergänzen|à compléter|à insérer|à vérifier)\](?!\])"
    # all that a headline or a paragraph says
    r"|\A(?i:headline|untitled|überschrift|test(?: story)?)\.?\Z|\ADRAFT(?= ?[:–—-])"
    # circles for what isn't known yet; in a number they are noughts, in a row of filled ones a grade
    r"|●●●+|(?<![〇一二三四五六七八九十０-９])〇〇+(?![〇一二三四五六七八九十０-９])|(?<![●○])○○+(?![●○])|(?<![▲△])△△+(?![▲△])|※要確認"
)
_FOREIGN = re.compile(
    r"\{\{[^{}\n]{1,80}\}\}|\{%[^{}\n]{1,80}%\}|\*?\|[A-Z_:]{3,40}\|\*?|%%[A-Za-z_]{2,40}%%|\$\{[a-z_.]{2,40}\}"
)
_FIELD = re.compile(r"\[\[([^\[\]\n]{1,200})\]\]")
_TAG = re.compile(
    r"</?(?:a|b|i|u|p|br|hr|em|strong|div|span|font|center|img|table|tr|td|th|tbody|ul|ol|li|h[1-6]|blockquote|sup|sub|small|"
    r"style|script|iframe|video|svg|form|input|button)(?:\s[^<>]*)?/?>|<!--[^\n]*",
    re.IGNORECASE,
)
_STARS = re.compile(r"(?<![*\d])\*\*(?!\*)[^*\n]{1,200}\*\*(?!\*)")
"""What was to be bold, and isn't: Markdown wants no space within, and in Japanese no sign next to the asterisks.
(Behind a figure they mark its significance.)
"""
_GARBLED = re.compile("\ufffd|â€[\u0080-\u00bf™œ\u009d˜¦“”]|Ã[\u0080-\u00bf©¨¼¶¤]|Â[\u00a0£§©«»°·]|ã\u0081|ï»¿")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNSEEN = re.compile(
    "[\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069\u3164\u115f\u1160\u180e\U000e0000-\U000e007f]"
)
"""Not among them: joiners, which emoji, Persian and Indian scripts need; soft hyphens; marks of direction."""
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007f]+")
"""England, Scotland and Wales: flags that are spelt with letters that nobody sees."""
_BREAKS_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Thai, Lao, Burmese and Khmer, in which a zero-width space says where a line may break."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""What translators put round a Latin name or a sum, so that it stands in its place."""


def _excerpt(text: str, start: int, end: int) -> str:
    before, after = text[:start][-20:], text[end:][:20]
    before = before.partition(" ")[2] if start > 20 and " " in before else before
    after = after.rpartition(" ")[0] if len(text) - end > 20 and " " in after else after
    return re.sub(r"\s+", " ", f"{before}{text[start:end]}{after}").strip()


@looks_for("placeholder")
def placeholders(facts: Facts) -> Iterator[Found]:
    for passage in facts.passages:
        for found in _SURE.finditer(passage.text):
            # [[your_name]] is a field that isn't known, and another rule's.
            if passage.text[max(0, found.start() - 1) : found.start()] != "[":
                yield found_at(passage, found.start(), f'"{found[0]}" is still there', "Put in what was to be there.")
        if (lorem := _LOREM.search(passage.text)) and not _told_of(facts, passage):
            level = None if _FILLER.match(passage.text) else Level.warning
            what = f'"{lorem[0]}" {"is still" if level is None else "stands"} there'
            yield replace(found_at(passage, lorem.start(), what, "Put in what was to be there."), level=level)


def _told_of(facts: Facts, passage: Passage) -> bool:
    """Whether that is what the story is about."""
    return (
        passage.key == "body"
        and passage.story is not None
        and bool(re.search(r"\blorem\b", facts.story(passage.story).headline, re.IGNORECASE))
    )


@looks_for("placeholder-perhaps")
def doubtful(facts: Facts) -> Iterator[Found]:
    stand: dict[tuple[int | None, str], list[tuple[Passage, re.Match[str]]]] = {}
    for passage in facts.passages:
        sure = [found.span() for found in _SURE.finditer(passage.text)]
        for found in _PERHAPS.finditer(passage.text):
            # What is told as an error isn't told again.
            if not any(start <= found.start() < end for start, end in sure):
                stand.setdefault((passage.story, found[0]), []).append((passage, found))
    for (story, word), places in stand.items():
        passage, found = places[0]
        more = f", and {len(places) - 1} more" if len(places) > 1 else ""
        more += " in this story" if more and story is not None else ""
        what = f'"{word}" stands in "{_excerpt(passage.text, *found.span())}"{more}'
        yield found_at(passage, found.start(), what, "Put in what was to be there, if anything was.")


@looks_for("field-unknown")
def unknown_fields(facts: Facts) -> Iterator[Found]:
    for passage in (*facts.passages, *_addresses(facts)):
        if passage.key and passage.key not in ("body", "headline", "section", "author", "alt", "credit"):
            continue
        for found in _FIELD.finditer(passage.text):
            expression = fields.read(found[1], facts.edition.fields)
            if expression is None:
                yield _unknown(facts, passage, found)
            elif isinstance(expression, If) and (this := (expression.this or "").lstrip("= ").strip("\"'“”‘’")) != (
                expression.this or ""
            ):
                what = f"{found[0]} compares {expression.name} with {expression.this}, signs and all"
                sign = "!=" if expression.negated else "="
                remedy = f"Write [[if {expression.name} {sign} {this}]], with one = and without quotes."
                yield replace(found_at(passage, found.start(), what, remedy), level=Level.warning)
    yield from _without_condition(facts)


def _addresses(facts: Facts) -> Iterator[Passage]:
    """Where the links of the stories lead, as they were written."""
    for position, reading in facts.readings.items():
        for link in reading.links:
            yield Passage(unquote(link.written), position, row=link.row)


def _unknown(facts: Facts, passage: Passage, found: re.Match[str]) -> Found:
    """What to say of something in double brackets that is no field."""
    names = sorted(facts.edition.fields)
    word = re.sub(r"^\s*(?:if\s+(?:not\s+)?)?", "", found[1]).partition("|")[0].split("=")[0].strip()
    near = get_close_matches(word.lower(), names, 1)
    remedy = f"Did you mean {near[0]}?" if near else f"The fields are {', '.join(names)}."
    what = f"[[{found[1]}]] is no field, and readers get it as it is"
    # Brackets in brackets may be a quotation's.
    meant = near or re.search(r"[|_=]", found[1]) or re.match(r"\s*(?:if\s|else\b|end\b)", found[1])
    return replace(found_at(passage, found.start(), what, remedy), level=None if meant else Level.warning)


def _without_condition(facts: Facts) -> Iterator[Found]:
    """Each [[else]] and [[end]] that belongs to nothing, in headlines, texts and what an inbox shows."""
    texts = [passage for passage in facts.passages if passage.key in ("", "headline")]
    texts += [Passage(story.body, story.position, row=0) for story in facts.edition.stories]
    for passage in texts:
        for offset, written, again in fields.loose(passage.text, facts.edition.fields):
            if again:
                what = f"{written} stands here a second time, and what stands before it is lost"
                remedy = "Leave one [[else]] between [[if …]] and [[end]]."
            else:
                what = f"no [[if …]] is open where {written} stands, and readers get it as it is"
                remedy = "Take it out, or put [[if …]] with a known field before it."
            yield found_at(passage, offset, what, remedy)


@looks_for("field-foreign")
def foreign_fields(facts: Facts) -> Iterator[Found]:
    for passage in facts.passages:
        for found in _FOREIGN.finditer(passage.text):
            remedy = "Fields are written as [[name|fallback]] here."
            yield found_at(passage, found.start(), f"readers get {found[0]} as it is", remedy)


@looks_for("field-empty")
def empty_fields(facts: Facts) -> Iterator[Found]:
    if facts.audience is None:
        return
    for where, nodes in (("the subject", facts.subject_nodes), ("the HTML", facts.html_nodes)):
        for name in dict.fromkeys(_without_fallback(nodes, frozenset())):
            lacking = facts.audience.lacking.get(name, 0)
            if lacking:
                what = f"[[{name}]] is empty for {lacking:,} of {facts.audience.due:,} readers"
                remedy = f"Write [[{name}|…]] with words to fall back to, or put it between [[if {name}]] and [[end]]."
                written = re.compile(rf"\[\[\s*{name}\s*\]\]")
                places = [(each, found) for each in facts.passages if (found := written.search(each.text))]
                story = next((pair for pair in places if pair[0].story is not None), None)
                yield found_at(story[0], story[1].start(), what, remedy) if story else Found(what, remedy, where=where)


def _without_fallback(nodes: tuple[Node, ...], sure: frozenset[str]) -> Iterator[str]:
    """The fields that have nothing to fall back to; `sure` are those that a condition says are known here."""
    for node in nodes:
        if isinstance(node, Choice):
            name, holds = node.condition.name, not node.condition.negated
            known = frozenset({name})
            yield from _without_fallback(node.then, sure | known if holds else sure)
            certain = not holds and node.condition.this is None
            yield from _without_fallback(node.otherwise, sure | known if certain else sure)
        elif isinstance(node, Value) and not node.fallback.strip() and node.name not in sure:
            yield node.name


@looks_for("control-characters")
def control_characters(facts: Facts) -> Iterator[Found]:
    for passage in facts.passages:
        if found := _CONTROL.search(passage.text):
            yield found_at(passage, found.start(), f"there is {_called(found[0])}", "Take it out and type it anew.")
    for where, text in (("the HTML", facts.html), ("the text", facts.text), ("the page", facts.page)):
        # STX and ETX frame merge fields.
        if found := re.search("[\x00\x01\x04-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text):
            yield Found(f"there is {_called(found[0])}", "Take it out of the design's template.", where=where)


def _called(character: str) -> str:
    return f"a control character (U+{ord(character):04X})"


@looks_for("invisible-characters")
def invisible_characters(facts: Facts) -> Iterator[Found]:
    for passage in facts.passages:
        text = _FLAG.sub(lambda flag: "x" * len(flag[0]), passage.text)
        found = _UNSEEN.findall(text)
        if _BREAKS_WITHOUT_SPACES.search(text):
            found = [character for character in found if character != "\u200b"]
        if _RIGHT_TO_LEFT.search(text):
            found = [character for character in found if character not in _TURNS]
        if found:
            name = unicodedata.name(found[0], "no name").lower()
            several = f", and {len(found) - 1} more" if len(found) > 1 else ""
            what = f"there is a character that nobody sees (U+{ord(found[0]):04X}, {name}{several})"
            at = text.index(found[0])
            yield found_at(
                passage, at, f'{what} in "{_excerpt(text, at, at)}"', "Take it out; it came along by copying."
            )


@looks_for("broken-characters")
def broken_characters(facts: Facts) -> Iterator[Found]:
    for passage in facts.passages:
        if found := _GARBLED.search(passage.text):
            yield found_at(
                passage, found.start(), f'"{_excerpt(passage.text, *found.span())}" looks garbled',
                "Type it anew, and save the file as UTF-8.",
            )  # fmt: skip


@looks_for("html-in-text")
def html_in_text(facts: Facts) -> Iterator[Found]:
    for passage in facts.passages:
        if found := _TAG.search(passage.text):
            remedy = "Take it out: a comment is shown, too." if found[0].startswith("<!") else "Write it in Markdown."
            yield found_at(passage, found.start(), f"readers see {found[0][:60]} as it is", remedy)
        if found := _STARS.search(passage.text):
            remedy = "Begin and end with a letter within the asterisks: no space, no bracket, no full stop."
            yield found_at(passage, found.start(), f"readers see {found[0][:60]} with its asterisks", remedy)


@looks_for("footnote-lost")
def lost_footnotes(facts: Facts) -> Iterator[Found]:
    for passage in facts.passages:
        if found := re.search(r"\[\^[^\]\s]{1,40}\]", passage.text):
            yield found_at(
                passage, found.start(), f"{found[0]} has no footnote",
                f"Write {found[0]}: and its text, on a line of its own.",
            )  # fmt: skip


@looks_for("headline-twice")
def same_headlines(facts: Facts) -> Iterator[Found]:
    seen: dict[str, int] = {}
    for story in facts.edition.stories:
        bare = "".join(filter(str.isalnum, story.headline.casefold()))
        if bare in seen:
            yield Found(f"story {seen[bare]} has the same headline", "Give each its own.", story.position, "headline")
            continue
        if near := next((first for other, first in seen.items() if _nearly(other, bare)), None):
            what = f"story {near} has nearly the same headline"
            yield Found(what, "See whether they are two.", story.position, "headline", level=Level.note)
        seen[bare] = story.position


def _nearly(one: str, other: str) -> bool:
    """Whether two headlines differ in some letters only; those that differ in a figure, as "part 2", mean it."""
    if [*filter(str.isdigit, one)] != [*filter(str.isdigit, other)]:
        return False
    told = SequenceMatcher(None, one, other, autojunk=False)
    return told.quick_ratio() >= 0.9 and told.ratio() >= 0.9


@looks_for("headline-long")
def long_headlines(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        if (width := columns(story.headline)) > LONG_HEADLINE:
            yield Found(
                f"its headline has {width} columns", "Say the news in a line or two.", story.position, "headline"
            )


@looks_for("story-short")
def short_stories(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        text = " ".join(passage.text for passage in facts.readings[story.position].passages).strip()
        # A table or code may say little in words, and much.
        if (
            columns(text) < SHORT_STORY
            and "|" not in story.body
            and "    " not in story.body
            and "```" not in story.body
        ):
            yield Found(f'its whole text is "{text}"', "Write the story, or drop its draft.", story.position, row=0)
