"""A story's file: what it says, and the line of every mistake in it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter import story_file
from newsletter.drafts import Written, wrongs
from newsletter.errors import DraftMistake
from newsletter.states import DraftState
from newsletter.story_file import StoryFile

SECTIONS = {"digest": ("Economy", "Diplomacy", "Defense")}
SAMPLE = Path(__file__).parent.parent / "sample" / "stories"


def read(text: str | bytes, **options: object) -> StoryFile:
    options = {"publication": "digest", "where": "story.md", **options}
    return story_file.read(text, SECTIONS, **options)  # type: ignore[arg-type]


def story(*lines: str, body: str = "Text.", headline: str = "headline: H", section: str = "section: Economy") -> str:
    return "\n".join(["---", headline, section, *lines, "---", body, ""])


def mistake(text: str | bytes, **options: object) -> DraftMistake:
    with pytest.raises(DraftMistake) as caught:
        read(text, **options)
    assert caught.value.where == "story.md"
    return caught.value


def test_a_story_says_all_that_it_may_say(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"any")
    said = read(
        story(
            "link: https://example.org/a?b=c#d",
            "picture: a.png",
            "alt: A bridge.",
            "credit: 'Picture: us'",
            "author: Us",
            "not_before: 2023-11-20",
            "not_after: 2023-12-01",
            "state: writing",
            "publication: digest",
            headline="headline: Toyota's $8\u00a0billion",
            body="One.\n\nTwo.\n\n",
        ),
        beside=tmp_path,
    )
    assert said == StoryFile(
        Written(
            "Toyota's $8\u00a0billion",
            "One.\n\nTwo.",
            "Economy",
            "https://example.org/a?b=c#d",
            "Us",
            "A bridge.",
            "Picture: us",
            dt.date(2023, 11, 20),
            dt.date(2023, 12, 1),
        ),
        "a.png",
        DraftState.writing,
        "digest",
    )


def test_a_colon_in_a_headline_is_told_with_the_line_as_it_should_be() -> None:
    error = mistake("---\nsection: Economy\nheadline: Blinken in Tokyo: G7, Gaza\n---\nText.\n")
    assert error.line == 3
    assert error.remedy == 'Put quotes round the whole of it: headline: "Blinken in Tokyo: G7, Gaza"'
    assert read("---\nsection: Economy\n" + error.remedy.split(": ", 1)[1] + "\n---\nText.\n").written.headline


@pytest.mark.parametrize(
    ("line", "what", "at"),
    [
        ('headline: "Green" steel', "YAML", 2),
        ('headline: "Green', "never close", 2),
        ("headline: 'Green", "never close", 2),
        ("headline: We are #1 in steel", 'leave out what follows "#"', 2),
        ("headline: #1 in steel", 'leave out what follows "#"', 2),
        ("headline: !Important news", 'leave out what follows "!"', 2),
        ("headline: &Co news", 'leave out what follows "&"', 2),
        ("headline: *Star* news", "YAML", 2),
        ("headline: @home", "YAML", 2),
        ("headline: `code`", "YAML", 2),
        ("headline: %x", "YAML", 2),
        ("headline: [a, b]", "not a list", 2),
        ("headline: {a: b}", "not a list", 2),
        ("headline: " + "[" * 5000, "YAML", 2),
        ("headline", "no colon", 2),
        ("headline: H\nheadline: I", "a second time", 3),
        ("headline: >\n  Two\n\n  lines", "line break", 2),
        ('headline: "a\\nb"', "line break", 2),
        ('headline: "a\\tb"', "a tab", 2),
        ('headline: "a\\0b"', "U+0000", 2),
        ('headline: "a\\x85b"', "U+0085", 2),
        ('headline: "a\\ud800b"', "U+D800", 2),
        ("headline: a\u0092b", "U+0092", 2),
        ("headline: a\u2028b", "U+2028", 2),
        ("headline: a\x1bb", "U+001B", 2),
        ("headline: " + "x" * 301, "301 characters", 2),
        ("headline: ", "the headline is missing", 2),
        ("# none", "the headline is missing", 1),
        ("headline: H\nheadlin: I", 'no "headlin"', 3),
        ("headline: H\n? [a]\n: b", "not a key", 3),
        ("- a\n- b", "key, a colon and a text", 2),
        ("headline: H\n\tsection: x", "indented", 3),
        ("headline: H\n  link: x", "indented", 3),
    ],
)
def test_what_yaml_would_take_another_way_is_told_with_its_line(line: str, what: str, at: int) -> None:
    text = story(headline=line, section="section: Economy" if not line.startswith("- ") else "# -")
    error = mistake(text)
    assert what in error.what
    assert error.line == at


def test_a_remedy_of_quotes_makes_a_line_that_can_be_read() -> None:
    for line in (
        "headline: a: b",
        'headline: "a" b',
        'headline: "a',
        "headline: 'a",
        "headline: @a",
        "headline: We are #1",
        "headline: a \"b\": 'c'",
        "headline: !a b",
        "headline: a\\b: c",
        "headline: [a] b",
    ):
        remedy = mistake(story(headline=line)).remedy
        assert remedy is not None
        headline = read(story(headline=remedy.removeprefix("Put quotes round the whole of it: "))).written.headline
        assert headline.strip("\"'") == line.removeprefix("headline: ").strip("\"'")


def test_an_unknown_key_comes_with_the_nearest_right_one() -> None:
    assert mistake(story("not-before: 2023-11-20")).remedy == "Did you mean not_before?"
    assert mistake(story("sectoin: x")).remedy == "Did you mean section?"
    assert (mistake(story("xyzzy: x")).remedy or "").startswith("There is headline, ")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "front matter"),
        ("Just a text.", 1, "front matter"),
        ("\n\nJust a text.", 3, "front matter"),
        ("---\nheadline: H\n\nText.\n", 1, "never ends"),
        ("\n---\nheadline: H", 2, "never ends"),
        ("---\n---\nText.", 1, "headline is missing"),
        (story(body=" \n\n"), 5, "no text"),
        (story(body="\u00a0"), 5, "no text"),
        (story(body="\nOne.\n\nTwo\u0085.\n"), 8, "U+0085"),
        (story(body="One.\n\x00"), 6, "U+0000"),
        (story(body="One\x0c."), 5, "U+000C"),
        (story(body="One\ufffe."), 5, "U+FFFE"),
        (story("not_before: 20.11.2023"), 4, "not a date"),
        (story("not_before: 20231120"), 4, "not a date"),
        (story("not_before: 2023-02-30"), 4, "not a date"),
        (story("not_before: 2023-11-20", "not_after: 2023-11-19"), 5, "comes before"),
        (story("state: placed"), 4, "placed"),
        (story("publication: nonesuch"), 4, "no publication"),
        (story(section="section: economy"), 3, 'no section "economy"'),
        (story(section="section:"), 3, "section is missing"),
        (story("alt: A bridge."), 4, "alt text, but no picture"),
        (story("credit: Us"), 4, "credit, but no picture"),
        (story("picture: none.png", "alt: A bridge."), 4, "there is no picture at"),
        (story("alt: A bridge.", "picture: /"), 5, "there is no picture at"),
        (story("link: javascript:alert(1)"), 4, "does not begin with"),
        (story("link: example.org/a"), 4, "does not begin with"),
        (story("link: https:///a"), 4, "names no site"),
        (story("link: https://[a"), 4, "not an address"),
        (story("link: https://a b"), 4, "a space"),
        (story("link: mailto:nobody"), 4, "no address"),
        (b"\xff\xfe-\x00-\x00", 1, "UTF-8"),
        ("---\nheadline: H\n---\nGr\u00fc\u00dfe".encode("latin-1"), 4, "UTF-8"),
        (story(body="x" * 1_000_001), None, "1 MB"),
    ],
)
def test_every_mistake_has_its_line(text: str | bytes, line: int | None, what: str) -> None:
    error = mistake(text)
    assert what in error.what
    assert error.line == line


def test_of_several_mistakes_the_first_is_told() -> None:
    assert mistake(story("link: x", "state: y")).line == 4
    assert mistake(story("state: y", "link: x")).line == 4
    assert mistake(story("link: x", section="section: z")).line == 3


def test_a_picture_without_alt_text_is_told_at_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"any")
    error = mistake(story("picture: a.png"), beside=tmp_path)
    assert (error.line, error.what) == (4, "the picture has no alt text")
    assert "sentence" in (error.remedy or "")


def test_a_section_in_other_letters_is_recognised_and_the_right_ones_are_named() -> None:
    error = mistake(story(section="section: defence"))
    assert error.remedy == "Did you mean Defense? There is Economy, Diplomacy or Defense."


def test_a_publication_without_sections_takes_any_or_none() -> None:
    for section in ("section: Whatever", "# none"):
        assert story_file.read(story(section=section), {"bulletin": ()}, publication="bulletin")


def test_a_story_for_another_publication_is_not_taken_for_this_one() -> None:
    with pytest.raises(DraftMistake, match='for "other", not for "digest"'):
        story_file.read(story("publication: other"), {**SECTIONS, "other": ()}, publication="digest")


def test_the_sections_are_those_of_the_publication_that_the_file_names() -> None:
    both = {**SECTIONS, "other": ("Letters",)}
    assert story_file.read(story("publication: other", section="section: Letters"), both).publication == "other"
    with pytest.raises(DraftMistake, match="There is Letters"):
        story_file.read(story("publication: other"), both)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_line_endings_are_fine(ending: str) -> None:
    plain = story(body="One.\n\nTwo.")
    assert read("\ufeff".encode() + plain.replace("\n", ending).encode()) == read(plain)
    error = mistake(story("link: x").replace("\n", ending))
    assert error.line == 4


def test_signs_of_html_and_of_templates_are_just_text() -> None:
    said = read(story(headline="headline: <b>5 < 6 & {{ x }}</b>", body="<script>{{ 7 * 7 }}</script> [[name]]"))
    assert said.written.headline == "<b>5 < 6 & {{ x }}</b>"
    assert said.written.body == "<script>{{ 7 * 7 }}</script> [[name]]"


def test_no_word_becomes_anything_but_text() -> None:
    for word in ("no", "null", "1e3", "2023-11-20", "0x10", "~"):
        assert read(story(headline=f"headline: {word}")).written.headline == word


def test_three_dashes_within_the_text_stay_in_it() -> None:
    assert read(story(body="One.\n\n---\n\nTwo.")).written.body == "One.\n\n---\n\nTwo."


def test_the_template_says_which_sections_there_are_and_is_no_story_yet() -> None:
    text = story_file.template(SECTIONS["digest"])
    assert "Economy, Diplomacy, Defense" in text
    assert mistake(text).what == "the headline is missing"
    assert read(text.replace("headline:", "headline: H", 1).replace("section:", "section: Economy", 1) + "Text.")


def test_the_sample_stories_are_right_and_only_the_last_is_not_due_yet() -> None:
    sections = {"digest": ("Economy", "Diplomacy", "Development and energy", "Defense")}
    files = sorted(SAMPLE.glob("*.md"))
    said = [
        story_file.read(file.read_bytes(), sections, where=file, beside=SAMPLE, publication="digest") for file in files
    ]
    assert [each.written.section for each in said] == [
        "Economy",
        "Diplomacy",
        "Development and energy",
        "Defense",
        "Defense",
        "Defense",
    ]
    assert [each.written.not_before for each in said] == [None] * 5 + [dt.date(2023, 11, 20)]
    assert [bool(each.picture) for each in said] == [True] + [False] * 5
    for each in said:
        # A sum stands on one line with its unit.
        assert "$" not in each.written.body or " billion" not in each.written.body


line = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufffe\uffff"), max_size=60
).map(lambda text: text.strip(" "))
# A carriage return is the end of a line in a file, and no character of the story.
text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), min_size=1, max_size=200)


@settings(max_examples=150, deadline=None)
@given(
    headline=line,
    body=text,
    author=line,
    link=st.sampled_from(["", "https://example.org/a b", "mailto:a@b", "http://ü.example/#é"]),
    dates=st.lists(st.dates(), min_size=2, max_size=2),
    state=st.sampled_from([None, *story_file.STATES]),
    section=st.sampled_from(["Economy", "Defense", ""]),
)
@example("a: b", "x", "- #1", "", [dt.date(1, 1, 1), dt.date(9999, 12, 31)], None, "Economy")
@example('"', "    code\n\n", "'\\", "", [dt.date(2024, 2, 29)] * 2, None, "Economy")
@example("\ufeff", "\ufeff", "null", "", [dt.date(2024, 2, 29)] * 2, None, "Economy")
def test_what_is_written_is_read_back_or_told_to_be_wrong(
    headline: str, body: str, author: str, link: str, dates: list[dt.date], state: DraftState | None, section: str
) -> None:
    written = Written(headline, body, section, link, author, "", "", *sorted(dates))
    given = StoryFile(written, "", state, "digest")
    if next(wrongs(written, SECTIONS["digest"], pictured=False), None):
        with pytest.raises(DraftMistake):
            read(story_file.write(given))
        return
    again = read(story_file.write(given).encode())
    assert again.written.headline == headline
    assert again.written.author == author
    assert again.written.body == "\n".join(_without_blank_ends(body))
    assert (again.written.not_before, again.written.not_after) == (written.not_before, written.not_after)
    assert again.state == state
    # And from then on nothing changes any more.
    assert read(story_file.write(again)) == again


def _without_blank_ends(body: str) -> list[str]:
    lines = body.split("\n")
    while not lines[0].strip(" \t"):
        del lines[0]
    return "\n".join(lines).rstrip(" \t\n").split("\n")


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200),
        st.lists(
            st.sampled_from([*"-:#\"'[]{}&*!|>%@`?,\n\t \\", "---\n", "headline", "a", "\u2028"]), max_size=40
        ).map(lambda parts: "---\n" + "".join(parts) + "\n---\nText."),
    )
)
def test_no_file_whatever_ends_in_anything_but_a_story_or_a_sentence(raw: bytes | str) -> None:
    error = None
    try:
        read(raw)
    except DraftMistake as told:
        error = told
    if error is not None and error.line is not None:
        text = raw if isinstance(raw, str) else raw.decode("latin-1")
        assert 1 <= error.line <= text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1


def test_quotes_are_written_only_where_they_are_needed() -> None:
    def line_of(headline: str) -> str:
        return story_file.write(StoryFile(Written(headline, "x"))).split("\n")[1]

    assert line_of("Toyota puts another $8\u00a0billion in") == "headline: Toyota puts another $8\u00a0billion in"
    assert line_of("a: b") == 'headline: "a: b"'
    assert line_of("C#: a") == 'headline: "C#: a"'
    for word in ("a #b", "- a", "[a", "a:", "#", "a\u3000b", "2:30", "=", "a'b\"c"):
        assert yaml.load(line_of(word), yaml.BaseLoader) == {"headline": word}
