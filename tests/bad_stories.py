"""Stories as nobody should write them, and somebody does: what is refused as it is queued, and what is rendered.

Each that is rendered has a beginning and an end of its own (see `edition`), so that what stands between can be found in
every rendition.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from unicodedata import normalize

from edition_sample import sample

from newsletter.render.edition import Edition, anchors

HEAD = "---\nheadline: A headline\nsection: Economy\n---\n\n"


def a_file(body: str = "Text.", **front: str) -> bytes:
    values = {"headline": "A headline", "section": "Economy", **front}
    return ("---\n" + "".join(f"{key}: {value}\n" for key, value in values.items()) + f"---\n\n{body}\n").encode()


_LOL = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nheadline: *b\n"

REFUSED: dict[str, tuple[bytes, int | None, str]] = {
    "nothing at all": (b"", 1, "does not begin with front matter"),
    "text without front matter": (b"Just text.\n", 1, "does not begin with front matter"),
    "front matter and no text": (HEAD.encode(), 5, "the story has no text"),
    "text that nobody sees": (a_file("\u200b \u2060\u00ad"), 6, "the story has no text"),
    "a headline that nobody sees": (a_file(headline="\u200b\u2060"), 2, "the headline is missing"),
    "a headline of 301 letters": (a_file(headline="x" * 301), 2, "the headline has 301 characters; 300 is the most"),
    "a NUL": (a_file("One\nand \x00 two."), 7, r"a control character \(U\+0000\)"),
    "a C1 control": (a_file("And \x85 more."), 6, r"a control character \(U\+0085\)"),
    "a NUL in the headline": (a_file(headline="A \x00 b"), 2, r"a control character \(U\+0000\)"),
    "half a character": (HEAD.encode() + b"Half \xed\xa0\x80 a character.", 6, "this is not UTF-8"),
    "half a character, escaped": (a_file(headline='"Half \\ud800"'), 2, r"half a character \(U\+D800\)"),
    "UTF-16": (a_file().decode().encode("utf-16"), 1, "this is not UTF-8"),
    "Latin-1": (a_file("Caf\u00e9.").decode().encode("latin-1"), 6, "this is not UTF-8"),
    "any bytes": (bytes(range(256)) * 10, None, "this is not UTF-8"),
    "a billion laughs": (f"---\n{_LOL}---\n\nText.\n".encode(), 2, 'there is no "a" in a story'),
    "an alias": (a_file(headline="&h lol", author="*h"), 2, 'YAML would leave out what follows "&"'),
    "a tag of Python's": (a_file(headline="!!python/object/apply:os.system ['id']"), 2, "one text is wanted here"),
    "five thousand brackets": (a_file(headline="[" * 5000 + "]" * 5000), 2, "not YAML"),
    "a merge key": (a_file(**{"<<": "{headline: x}"}), 4, 'there is no "<<" in a story'),
    "a megabyte": (a_file("x" * 1_000_001), None, "more than 1 MB"),
    "more than a book": (a_file("word " * 60_001), 6, "the text has 300,004 characters; 300,000 is the most"),
    "lines without end": (a_file("> " * 20 + "a\n" + "b\n" * 20_001), 6, "20,001 lines; 20,000 is the most"),
    "brackets without end": (a_file("![[[[" * 10_000), 6, "40,000 square brackets that open; 15,000 is the most"),
    "quotes without end": (a_file("'\"" * 20_001), 6, "the text has 20,001 '; 20,000 is the most"),
}
"""Name: the file, the line of what is wrong, and the words about it."""


@dataclass(frozen=True)
class Bad:
    """A story that is rendered, and what of it each rendition holds, in this order."""

    body: str
    holds: tuple[str, ...] = ()
    headline: str = ""
    lacks: tuple[str, ...] = ()
    """What none has."""
    not_on_paper: tuple[str, ...] = ()
    """Of what they hold, what the PDF has otherwise."""


def _numbered(count: int, text: str) -> tuple[str, ...]:
    return tuple(text.format(at) for at in range(count))


RENDERED: dict[str, Bad] = {
    "one word": Bad("Yes.", ("Yes.",)),
    "only a table": Bad("| a | b |\n|---|--:|\n| one | 22 |\n| three | 44 |", ("one", "22", "three", "44")),
    "lists twelve deep": Bad(
        "\n".join("  " * at + f"- level {at}." for at in range(12))
        + "\n\n"
        + "\n".join("   " * at + f"1. number {at}." for at in range(12)),
        (*_numbered(12, "level {}."), *_numbered(12, "number {}.")),
    ),
    "raw HTML and other languages": Bad(
        "<script>alert(1)</script>\n\n<div style='position:fixed'>over</div> <b>bold</b> <!-- hidden -->\n\n"
        "<img src=x onerror=alert(2)>\n\n{{ 7*7 }} {% for %} #set page(fill: red) $x^2$ [js](javascript:alert(3)) "
        "<mj-raw>raw</mj-raw>",
        ("<script>alert(1)</script>", "<b>bold</b>", "<!-- hidden -->", "onerror=alert(2)", "{{ 7*7 }}", "#set page("),
        lacks=("49",),
    ),
    "footnotes": Bad(
        "One[^1] two[^2] one again[^1] and inline^[in the line].\n\n[^1]: First *note*.\n\n[^2]: Second\n    goes on.\n\n"
        "    And on.\n\n[^3]: Nobody asks for this one.",
        ("One", "two", "First", "note", "Second", "goes on.", "And on.", "in the line"),
    ),
    "footnotes in a ring": Bad(
        "A[^a].\n\n[^a]: See beta[^b].\n\n[^b]: See alpha[^a] and gamma[^c].\n\n[^c]: Itself[^c].",
        ("See beta", "See alpha", "and gamma", "Itself"),
    ),
    "right to left within left to right": Bad(
        "Latin then العربية 123 (עברית) back, \u202eturned\u202c and \u2067isolated\u2069, left open \u202e here.\n\n"
        "The next paragraph is plain.",
        ("Latin then", "back,", "The next paragraph is plain."),
        headline="Latin العربية mixed \u202e end",
        not_on_paper=("back,",),
    ),
    "a headline of 300 letters": Bad("Text.", headline=("A headline that goes on and on " * 10)[:299] + "!"),
    "a headline of one word": Bad("Text.", headline="H" * 300),
    "a word of 5,000 letters": Bad("Before " + "x" * 5000 + " after.", ("Before", "x" * 5000, "after.")),
    "three thousand letters of Japanese": Bad("長" * 3000 + "。"),
    "a table of forty columns": Bad(
        "|"
        + "|".join(f"h{at}" for at in range(40))
        + "|\n|"
        + "---|" * 40
        + "\n|"
        + "|".join(f"cell{at}." for at in range(40))
        + "|",
        _numbered(40, "cell{}."),
    ),
    "ragged tables": Bad(
        "| a | b | c |\n|---|---|---|\n| 1 |\n| two | three | four | five |\n|||\n\n| |\n|---|\n\n| lone |\n|---|\n| |",
        ("two", "three", "four", "lone"),
    ),
    "code of a thousand lines": Bad(
        "```python\n" + "\n".join(f"line_{at} = {'a' * (at % 200)}" for at in range(1000)) + "\n```",
        ("line_0 =", "line_500 =", "line_999 ="),
    ),
    "quotations forty deep": Bad(
        "\n".join(f"{'>' * at} level {at}.\n{'>' * at}" for at in range(1, 41)), _numbered(41, "level {}.")[1:]
    ),
    "everything in everything": Bad(
        "> - a.\n>   > - b.\n>   >   > 1. c.\n>   >   >    ```\n>   >   >    code here\n>   >   >    ```",
        ("a.", "b.", "c.", "code here"),
    ),
    "marks over marks": Bad(
        "He" + "\u0300\u0301\u0302\u0303" * 10 + "y, and plain text.",
        ("and plain text.",),
        headline="Z" + "\u0300\u0301" * 20 + "algo",
    ),
    "brackets that don't close": Bad(
        "Open [[ and [[name and ]] and [[nmae]] and [[[name]]] end.",
        ("Open [[ and [[name and ]] and [[nmae]] and [", "] end."),
        headline="Open [[ too",
    ),
    "headings of all sizes": Bad(
        "# One.\n\n### Three.\n\n###### Six.\n\nSetext.\n===\n\n#\n\n####### seven.",
        ("One.", "Three.", "Six.", "Setext.", "seven."),
    ),
    "the same headline, once": Bad("The first of the two.", ("The first of the two.",), headline="Twice the same"),
    "the same headline, twice": Bad("The second of the two.", ("The second of the two.",), headline="Twice the same"),
    "huge numbers": Bad(
        "99999999999999999999. one\n\n1. x.\n999999999. y.\n\n&#99999999; &#x110000; &#0; &#xD800; ok " + "9" * 500,
        ("one", "x.", "y.", "ok", "9" * 500),
        headline="9" * 200,
    ),
    "emoji": Bad("Family 👩‍👩‍👧‍👦, flag 🇯🇵, keycap 1️⃣, thumb 👍🏽 and text.", ("Family", "flag", "keycap", "and text.")),
    "rules alone": Bad("---\n\n***\n\n___"),
    "brackets by the thousand": Bad("[" * 3000 + "deep" + "]" * 3000, ("deep",)),
    "stars by the thousand": Bad("*" * 5000 + "starred" + "*" * 5000, ("starred",)),
    "a link of 10,000 letters": Bad(f"[words](https://example.org/{'a' * 10_000}) end.", ("words", "end.")),
    "an address of 7,000 letters": Bad(f"<https://example.org/{'b' * 7000}> end.", ("b" * 7000, "end.")),
    "pictures in the text": Bad(
        "![alt words](https://example.org/x.png) ![](https://example.org/y.png) ![no](data:image/png;base64,AA) end.",
        ("alt words", "example.org", "no", "end."),
    ),
    "tabs": Bad("\tcode by tab\n\n-\ttab list\n\n1.\ttab number", ("code by tab", "tab list", "tab number")),
    "line breaks of old machines": Bad("One\r\ntwo.\r\n\r\nThree\rfour.", ("One two.", "Three four.")),
    "separators of Unicode's": Bad("One\u2028two\u2029three.", ("One two", "three.")),
    "signs that nobody sees": Bad(
        "Zero\u200bwidth, soft\u00adhyphen, word\u2060joiner, a mark\ufeff of order, none\U0001fffe\ufdd0 at all.",
        ("width, soft", "hyphen, word", "joiner, a mark", "none at all."),
    ),
}
"""Name: the story."""

HEAVY: dict[str, Bad] = {
    "200 KB": Bad(
        "\n\n".join(
            f"Paragraph {at}. It says what most of them agree with, in principle and writing." for at in range(2500)
        ),
        ("Paragraph 0.", "Paragraph 1250.", "Paragraph 2499."),
    ),
    "10,000 links": Bad(
        " ".join(f"[l{at}.](https://example.org/{at})" for at in range(10_000)), ("l0.", "l5000.", "l9999.")
    ),
}
"""What takes seconds."""


def edition(stories: dict[str, Bad]) -> Edition:
    """An issue of these stories."""
    whole = sample()
    headlines = [(at, bad.headline or name) for at, (name, bad) in enumerate(stories.items(), 1)]
    names = anchors(headlines)
    made = tuple(
        dataclasses.replace(
            whole.stories[1],
            position=at,
            headline=headline,
            anchor=anchor,
            url=f"{whole.url}#{anchor}",
            body=f"Begin{at}x.\n\n{bad.body}\n\nEnd{at}x.",
            link="",
            picture=None,
        )
        for (at, headline), anchor, bad in zip(headlines, names, stories.values(), strict=True)
    )
    return dataclasses.replace(whole, stories=made)


def squeezed(text: str) -> str:
    """A text without white space and what nobody sees, its letters in one form."""
    return re.sub(r"[\s\u200b-\u200f\u2028-\u202e\u2060-\u2069\u00ad\ufeff\ufffe\x02-]+", "", normalize("NFKC", text))
