"""Merge fields: read, hidden, framed, filled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter import fields
from newsletter.errors import FieldMistake

NAMES = fields.known(["city", "plan"])


def filled(text: str, **values: str) -> str:
    return fields.fill(fields.nodes(fields.frame(text, NAMES), NAMES), lambda name: values.get(name, ""))


@pytest.mark.parametrize(
    ("text", "values", "result"),
    [
        ("Dear [[name]],", {"name": "Ada"}, "Dear Ada,"),
        ("Dear [[name|reader]],", {}, "Dear reader,"),
        ("Dear [[name|]],", {}, "Dear ,"),
        ("[[if city]]in [[city]][[else]]somewhere[[end]]", {"city": "Nara"}, "in Nara"),
        ("[[if city]]in [[city]][[else]]somewhere[[end]]", {}, "somewhere"),
        ("[[if not city]]Where?[[end]]", {}, "Where?"),
        ("[[if plan = pro]]Thanks[[end]]", {"plan": "Pro"}, "Thanks"),
        ("[[if plan != pro]]Join[[end]]", {"plan": "pro"}, ""),
        ("[[if city]][[if plan = pro]]both[[end]] city[[end]]", {"city": "x", "plan": "pro"}, "both city"),
        ("[[salary]] [[if salary]] [[end]] [[else]]", {}, "[[salary]] [[if salary]] [[end]] [[else]]"),
        (
            "[[__class__]] {{ 7*7 }} [[name.upper]] [[ name ]]",
            {"name": "Ada"},
            "[[__class__]] {{ 7*7 }} [[name.upper]] Ada",
        ),
    ],
)
def test_a_text_is_filled_in_for_a_reader(text: str, values: dict[str, str], result: str) -> None:
    assert filled(text, **values) == result


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\nb [[salary]]", 2, "is not a field"),
        ("[[end]]", 1, "no [[if …]] is open"),
        ("x\n\n[[if city]] y", 3, "has no [[end]]"),
    ],
)
def test_a_template_with_a_wrong_field_is_told_the_line(text: str, line: int, words: str) -> None:
    with pytest.raises(FieldMistake) as caught:
        fields.Marks(NAMES, [text]).hide(text, where="issue.mjml", strict=True)
    assert f"issue.mjml, line {line}: " in str(caught.value)
    assert words in str(caught.value)


def test_a_story_whose_condition_never_ends_is_told_the_line() -> None:
    with pytest.raises(FieldMistake, match=r"story.md, line 12: this \[\[if …\]\] has no \[\[end\]\]"):
        fields.Marks(NAMES, []).hide("one\n[[if city]] two", where="story.md", first_line=11)


def test_a_condition_on_lines_of_its_own_leaves_no_empty_paragraph() -> None:
    marks = fields.Marks(NAMES, [])
    hidden = next(marks.hide(part) for part in ("[[if city]]x[[end]]",))
    opened, closed = hidden.split("x", 1)[0] + "", hidden
    marks = fields.Marks(NAMES, [])
    text = marks.hide("[[if city]]\n\nHello\n\n[[end]]\n\nBye")
    html = "".join(f"<p>{block}</p>" for block in text.split("\n\n"))
    assert marks.frame_html(html, "story") == "\x02if city\x03<p>Hello</p>\x02end\x03<p>Bye</p>"
    assert marks.frame(text) == "\x02if city\x03Hello\n\n\x02end\x03Bye"
    del opened, closed


def test_a_condition_across_elements_is_a_mistake_and_not_broken_html() -> None:
    marks = fields.Marks(NAMES, [])
    html = marks.hide("<ul><li>[[if city]]a</li><li>b[[end]]</li></ul>")
    with pytest.raises(FieldMistake, match="in another"):
        marks.frame_html(html, "story 2")


@given(st.text(max_size=300))
def test_any_text_without_fields_stays_as_it_is(text: str) -> None:
    marks = fields.Marks(frozenset(), [text])
    assert marks.frame(marks.hide(text)) == text


@given(st.text(st.sampled_from("[]|if elsendcityname= x0z"), max_size=80))
def test_no_text_makes_hiding_fail_other_than_by_a_sentence(text: str) -> None:
    marks = fields.Marks(NAMES, [text])
    try:
        framed = marks.frame(marks.hide(text))
    except FieldMistake:
        return
    assert fields.fill(fields.nodes(framed, NAMES), lambda _: "v") is not None


def test_a_text_that_holds_the_mark_itself_gets_another_mark() -> None:
    text = "mergefieldx0z [[name]]"
    marks = fields.Marks(NAMES, [text])
    assert marks.frame(marks.hide(text)) == "mergefieldx0z \x02name\x03"
