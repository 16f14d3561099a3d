"""The plain text part: lines, links, lists, tables, in any script."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from newsletter.render.markdown import parse
from newsletter.render.text import COLUMNS, Links, body, listing, underlined, wrap


def told(text: str, links: Links | None = None) -> str:
    return body(parse(text, "en"), links or Links())


def test_lines_have_at_most_72_columns_and_nothing_is_lost() -> None:
    text = "Words of several lengths, some longer, some short, " * 20
    lines = wrap(text)
    assert max(map(len, lines)) <= COLUMNS
    assert " ".join(lines).split() == text.split()


@pytest.mark.parametrize("before", range(40))
@pytest.mark.parametrize(
    "text",
    [
        "日米同盟についての記事です。" * 12,
        "トヨタは「八十億ドル」を投資すると発表した。" * 8,
        "中文沒有空格的段落，標點符號不在行首。" * 9,
    ],
)
def test_chinese_and_japanese_break_where_their_typesetters_would(text: str, before: int) -> None:
    text = "日" * before + text
    lines = wrap(text)
    assert len(lines) > 2
    assert "".join(lines) == text
    assert all(wcswidth(line) <= COLUMNS for line in lines)
    assert all(line[0] not in "、。」，" and line[-1] != "「" for line in lines)
    assert all(wcswidth(line) > COLUMNS - 8 for line in lines[:-1])


@pytest.mark.parametrize("before", range(40))
def test_a_line_of_japanese_with_a_link_in_it_is_no_wider(before: int) -> None:
    made = told("x" + "日" * before + "[発表](https://a.example/)した。" + "日" * 30)
    assert max(wcswidth(line) for line in made.split("\n")) <= COLUMNS


def test_korean_breaks_at_its_spaces() -> None:
    lines = wrap("한국어는 띄어쓰기를 하므로 낱말 사이에서만 줄이 바뀝니다. " * 5)
    assert all(wcswidth(line) <= COLUMNS for line in lines)
    assert " ".join(lines) == ("한국어는 띄어쓰기를 하므로 낱말 사이에서만 줄이 바뀝니다. " * 5).strip()


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("emoji", ["👩‍👩‍👧‍👦", "👍🏽", "か\u3099"])
def test_an_emoji_of_several_characters_is_never_parted(emoji: str, before: int) -> None:
    lines = wrap("日" * before + emoji * 60)
    assert len(lines) > 1
    assert all(line.lstrip("日").count(emoji) * len(emoji) == len(line.lstrip("日")) for line in lines)


def test_a_no_break_space_is_not_broken_at() -> None:
    lines = wrap("a " * 34 + "xx $8\u00a0billion more")
    assert lines[1] == "$8\u00a0billion more"


def test_a_long_address_has_a_line_to_itself_and_stays_whole() -> None:
    address = "https://example.org/" + "a" * 90
    assert wrap(f"See {address} for more") == ["See", address, "for more"]


@settings(max_examples=150, deadline=None)
@given(
    st.text(
        st.characters(blacklist_categories=["Cs", "Cc"]) | st.sampled_from("日本、。「」 \u00a0가👩🏽\u200d"),
        max_size=200,
    )
)
def test_wrapping_only_ever_turns_spaces_into_line_breaks(text: str) -> None:
    assert "".join("".join(wrap(text)).split(" ")) == "".join(text.replace("\t", " ").split(" "))


def test_links_are_numbered_through_the_issue_and_listed_under_their_story() -> None:
    links = Links()
    assert told("[One](https://a.example/) and [two](https://b.example/).", links) == (
        "One [1] and two [2].\n\n[1] https://a.example/\n[2] https://b.example/"
    )
    assert told("[Two](https://b.example/) again, [three](https://c.example/), [two](https://b.example/).", links) == (
        "Two [2] again, three [3], two [2].\n\n[2] https://b.example/\n[3] https://c.example/"
    )


def test_a_link_that_is_its_own_words_needs_no_number() -> None:
    assert told("<https://a.example/> or <desk@example.org>") == "https://a.example/ or desk@example.org"


def test_a_number_stays_with_the_word_before_it() -> None:
    lines = told("a " * 33 + "[words](https://a.example/) more").split("\n")
    assert lines[1].startswith("words [1]") or lines[0].endswith("words [1]")


def test_lists_are_indented_under_their_marks() -> None:
    made = told("1. One\n2. Two\n   - nested\n   - " + "long " * 20 + "\n3. Three")
    assert made.split("\n") == [
        "1. One",
        "2. Two",
        "   - nested",
        "   - long long long long long long long long long long long long long",
        "     long long long long long long long",
        "3. Three",
    ]
    assert told("9. a\n10. b") == " 9. a\n10. b"
    assert told("- a\n\n- b\n\n  more") == "- a\n\n- b\n\n  more"


def test_quotes_code_rules_and_headings_look_like_themselves() -> None:
    assert told("> one\n>\n> > two\n") == "> one\n>\n> > two"
    assert told("```\nx = 1\n\n  y\n```") == "    x = 1\n\n      y"
    assert told("## Heading") == "Heading\n-------"
    assert told("a\n\n---\n\nb").split("\n")[2].strip() == "* * *"
    assert told("*em* **strong** ~~gone~~ `code`") == "_em_ *strong* ~gone~ `code`"
    assert told("one  \ntwo\nthree") == "one\ntwo three"


def test_the_columns_of_a_table_stand_under_each_other() -> None:
    assert told("|Country|Sum|\n|-|-:|\n|日本|13.9|\n|US|2.1|").split("\n") == [
        "Country   Sum",
        "-------  ----",
        "日本     13.9",
        "US        2.1",
    ]


def test_a_table_too_wide_for_a_line_becomes_a_paragraph_a_row() -> None:
    made = told(f"|A|B|\n|-|-|\n|{'x ' * 30}|{'y ' * 30}|\n|1|2|")
    assert made.split("\n") == [
        "A: " + "x " * 29 + "x",
        "B: " + "y " * 29 + "y",
        "",
        "A: 1",
        "B: 2",
    ]


def test_footnotes_stand_between_the_text_and_its_links() -> None:
    made = told("One[^1].\n\n[^1]: The note, [here](https://a.example/).")
    assert made == "One¹.\n\n\n¹ The note, here [1].\n\n[1] https://a.example/"


def test_a_headline_is_underlined_as_long_as_it_is_wide() -> None:
    assert underlined("日本 and", "=") == "日本 and\n========"
    assert underlined("x " * 50, "=").split("\n")[2] == "=" * 71


def test_headlines_are_listed_under_themselves() -> None:
    assert listing(["One", "two " * 20]).split("\n") == [
        "  1. One",
        "  2. " + "two " * 16 + "two",
        "     two two two",
    ]
