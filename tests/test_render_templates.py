"""Templates: what their authors get wrong is a sentence with file and line, and they can reach nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from edition_sample import TEMPLATES, sample, telling

from newsletter.errors import FieldMistake, Mistake, TemplateMistake
from newsletter.render import render
from newsletter.states import RenditionKind

Change = Callable[..., Path]


@pytest.fixture
def change(tmp_path: Path) -> Change:
    """change("issue.mjml", old, new): a copy of the sample's templates, something in it replaced."""
    shutil.copytree(TEMPLATES / "digest", tmp_path / "digest")
    shutil.copytree(TEMPLATES / "shared", tmp_path / "shared")

    def replace(name: str, old: str, new: str) -> Path:
        path = tmp_path / "digest" / name
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
        return tmp_path

    return replace


def line_with(folder: Path, name: str, words: str) -> int:
    text = (folder / "digest" / name).read_text("utf-8")
    assert text.count(words) == 1, words
    return text[: text.index(words)].count("\n") + 1


def mistake(folder: Path, name: str) -> Mistake:
    with pytest.raises((TemplateMistake, FieldMistake)) as caught:
        render(sample(), folder)
    assert caught.value.where == str(folder / "digest" / name)
    return caught.value


FOOT = '{% include "shared/text-foot.txt" %}'
HEADLINE = '<h2><a href="{{ story.url }}">{{ story.headline }}</a></h2>'

WRONG = {
    "an unknown element": ("<mj-foo />", "there is no element <mj-foo>"),
    "an unknown attribute": ('<mj-text colr="#000000">x</mj-text>', "<mj-text> takes no colr. Did you mean color?"),
    "an unclosed element": ("<mj-text><b>x</mj-text>", "</mj-text> comes where <b> is still open"),
    "a name that isn't there": ("{{ edition.titel }}", 'there is no "titel" in edition'),
    "a story's name that isn't there": (
        "{% for s in edition.stories %}{{ s.titel }}{% endfor %}",
        'there is no "titel" in story',
    ),
    "an unknown name": ("{{ issue.title }}", 'nothing is called "issue" here'),
    "an unknown filter": ("{{ edition.label|shout }}", "no filter named 'shout'"),
    "a filter that would let a story out": ("{{ edition.subject|safe }}", "no filter named 'safe'"),
    "a tag that isn't closed": ("{% if edition.lead %}", "unexpected end of template"),
    "an unknown tag": ("{% iff edition.lead %}", "unknown tag 'iff'"),
    "an expression that doesn't end": ("{{ edition.label }", "unexpected '}'"),
    "a sum of words and numbers": ("{{ edition.label + 1 }}", "can only concatenate str"),
    "a division by nothing": ("{{ 1 / 0 }}", "division by zero"),
    "an include that isn't there": ('{% include "masthead.mjml" %}', 'there is no template "masthead.mjml"'),
    "an include from outside": ('{% include "../../config.toml" %}', 'there is no template "../../config.toml"'),
    "an unknown merge field": ("[[nmae]]", "[[nmae]] is not a field"),
    "an end of nothing": ("[[end]]", "[[end]] stands where no [[if …]] is open"),
    "a condition without end": ("[[if name]]", "this [[if …]] has no [[end]]"),
    "Python's own attributes": ("{{ edition.__class__.__mro__ }}", "access to attribute '__class__'"),
    "a way to the system": ("{{ cycler.__init__.__globals__.os.getpid() }}", "access to attribute '__init__'"),
    "a loop of a billion turns": ("{% for i in range(1000000000) %}{% endfor %}", "turns"),
    "loops in loops": (
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "more than 1,000,000 turns",
    ),
    "a product of words": ("{{ 'x' * 1000000000 }}", "this product is too large"),
    "a power": ("{{ 9 ** 9 ** 9 }}", "this power is too large"),
    "a macro that calls itself": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "without end"),
}


@pytest.mark.parametrize(("text", "what"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_in_a_template_says_file_line_and_what(change: Change, text: str, what: str) -> None:
    marker = "\n{# here #}" + text
    folder = change("issue.mjml", "\n          {{ rule() }}", f"{marker}\n          {{{{ rule() }}}}")
    found = mistake(folder, "issue.mjml")
    assert what in str(found)
    # What isn't closed is noticed where something else ends.
    assert found.line
    assert "unexpected end" in what or found.line == line_with(folder, "issue.mjml", marker.strip())


def test_the_place_of_a_mistake_is_told_within_loops_and_after_expressions_of_several_lines(change: Change) -> None:
    folder = change("issue.mjml", HEADLINE, "{{ story.headline }}\n{{ '\n\n' }}\n\n<mj-oops>x</mj-oops>")
    found = mistake(folder, "issue.mjml")
    assert found.line == line_with(folder, "issue.mjml", "<mj-oops>x</mj-oops>")
    assert found.column == 1


def test_a_mistake_in_an_included_file_is_that_files(change: Change) -> None:
    folder = change("issue.mjml", HEADLINE, '{% include "parts/headline.mjml" %}')
    (folder / "digest" / "parts").mkdir()
    (folder / "digest" / "parts" / "headline.mjml").write_text(
        "{# a part #}\n<h2>\n  <b>{{ story.headline }}</i>\n</h2>\n"
    )
    found = mistake(folder, "parts/headline.mjml")
    assert (found.line, found.column) == (3, 26)
    assert "</i> comes where <b> is still open" in str(found)


def test_a_mistake_that_a_value_makes_is_placed_in_the_template_as_it_came_out(change: Change) -> None:
    folder = change("issue.mjml", '<mjml lang="{{ publication.language }}"', "<mjml lang=\"{{ '' }}\"")
    found = mistake(folder, "issue.mjml")
    assert "<mjml> has no lang" in str(found)
    assert found.line == line_with(folder, "issue.mjml", "<mjml lang")


def test_an_endless_template_is_stopped_while_it_still_runs(change: Change) -> None:
    folder = change(
        "issue.txt", '{{ _("In this issue") }}', "{% for i in range(900000) %}more and more{% endfor %}{{ 1 / 0 }}"
    )
    assert "makes more than 2,000,000 characters" in str(mistake(folder, "issue.txt"))


def test_an_endless_template_is_stopped(change: Change) -> None:
    folder = change("issue.txt", '{{ _("In this issue") }}', "{% for i in range(900000) %}more and more{% endfor %}")
    assert "makes more than 2,000,000 characters" in str(mistake(folder, "issue.txt"))


@pytest.mark.parametrize("name", ["issue.mjml", "issue.txt", "page.html", "inline.css"])
def test_a_template_that_is_missing_is_named(change: Change, name: str) -> None:
    folder = change("issue.mjml", "<mjml ", "<mjml ")
    (folder / "digest" / name).unlink()
    assert "there is no such file" in str(mistake(folder, name))


def test_a_design_that_is_missing_is_named_with_those_there_are() -> None:
    with pytest.raises(TemplateMistake) as caught:
        render(sample(design="glossy"), TEMPLATES)
    assert str(caught.value) == f'{TEMPLATES / "glossy"}: there is no design "glossy". There is brief, digest, letter.'


def test_a_template_that_is_not_utf_8_is_named_with_its_line(change: Change) -> None:
    folder = change("issue.txt", "In this issue", "In this issue")
    path = folder / "digest" / "issue.txt"
    path.write_bytes(path.read_bytes().replace(b"In this issue", b"In this issu\xe9"))
    assert mistake(folder, "issue.txt").line == line_of(path, b"In this issu")


def line_of(path: Path, words: bytes) -> int:
    raw = path.read_bytes()
    return raw[: raw.index(words)].count(b"\n") + 1


def test_a_story_where_no_text_can_be_is_a_mistake(change: Change) -> None:
    for place in (
        '<mj-text><a title="{{ body(story) }}">x</a></mj-text>',
        "<mj-text><!-- {{ body(story) }} -->x</mj-text>",
    ):
        folder = change(
            "issue.mjml", '<mj-text padding="12px 40px 0"><div class="story">{{ body(story) }}</div></mj-text>', place
        )
        assert "a story stands where no text can be" in str(mistake(folder, "issue.mjml"))
        shutil.copy(TEMPLATES / "digest" / "issue.mjml", folder / "digest" / "issue.mjml")


def test_a_filter_that_breaks_a_merge_field_is_noticed(change: Change) -> None:
    folder = change("issue.txt", FOOT, "{{ '[[city]]'|replace('g', 'G') }}")
    assert "a merge field was changed on its way" in str(mistake(folder, "issue.txt"))


def test_capitals_leave_merge_fields_alone(change: Change) -> None:
    folder = change("issue.txt", FOOT, "{{ 'dear [[city]]'|upper }}")
    assert "DEAR \x02city\x03" in render(sample(), folder)[RenditionKind.text]


def test_a_readers_own_link_on_the_web_page_is_a_mistake(change: Change) -> None:
    folder = change("page.html", "</main>", '<a href="[[unsubscribe_url]]">Leave</a></main>')
    assert "The page is the same for all" in str(mistake(folder, "page.html"))


def test_a_mistake_in_inline_css_has_its_line_and_column(change: Change) -> None:
    folder = change("inline.css", '{% include "shared/mail.css" %}', "h1 { margin: 0; }\nh2 a { color: #159; }")
    found = mistake(folder, "inline.css")
    assert (found.line, found.column) == (line_with(folder, "inline.css", "#159;"), 8)
    assert "#159 is a colour of three digits" in str(found)


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("mail.css", "h2 a { color: #15191f;", "h2 a { color: #159;", "#159 is a colour of three digits"),
        ("mail-exits.mjml", "<mj-column", "<mj-colum", "there is no element <mj-colum>"),
        ("mail-foot.mjml", "edition.imprint", "edition.imprnt", 'there is no "imprnt" in edition'),
        ("mail-foot.mjml", "[[address]]", "[[adress]]", "[[adress]] is not a field"),
        ("text-head.txt", "publication.title", "publication.titel", 'there is no "titel" in publication'),
        ("page.html", "edition.imprint", "edition.imprnt", 'there is no "imprnt" in edition'),
    ],
)
def test_a_mistake_in_a_shared_template_is_that_files_with_its_line(
    change: Change, name: str, old: str, new: str, told: str
) -> None:
    folder = change(f"../shared/{name}", old, new)
    with pytest.raises((TemplateMistake, FieldMistake)) as caught:
        render(sample(), folder)
    text = (folder / "shared" / name).read_text("utf-8")
    assert caught.value.where == str(folder / "shared" / name)
    assert caught.value.line == text[: text.index(new)].count("\n") + 1
    assert told in str(caught.value)


def test_a_design_includes_from_shared_and_from_no_other_folder_beside_it(change: Change) -> None:
    folder = change("issue.mjml", HEADLINE, '{% include "other/x.mjml" %}')
    (folder / "other").mkdir()
    (folder / "other" / "x.mjml").write_text("x")
    assert 'there is no template "other/x.mjml"' in str(mistake(folder, "issue.mjml"))
    for way in ("shared/../other/x.mjml", "../other/x.mjml", "shared/../../secret.txt"):
        shutil.copy(TEMPLATES / "digest" / "issue.mjml", folder / "digest" / "issue.mjml")
        change("issue.mjml", HEADLINE, '{% include "' + way + '" %}')
        assert "there is no template" in str(mistake(folder, "issue.mjml"))


def test_a_condition_across_paragraphs_is_refused_with_its_story() -> None:
    with pytest.raises(FieldMistake) as caught:
        render(telling("One [[if city]] two.\n\nThree [[end]]."), TEMPLATES)
    assert 'story 1, "Toyota' in str(caught.value)


def test_a_condition_that_never_ends_is_refused_with_its_story() -> None:
    with pytest.raises(FieldMistake, match=r'story 1, "Toyota.*line 3'):
        render(telling("One\n\n[[if city]] two."), TEMPLATES)


def test_what_is_included_keeps_its_width(change: Change) -> None:
    foot = '{% include "shared/mail-foot.mjml" %}'
    folder = change("issue.mjml", foot, '{% include "more.mjml" %}' + foot)
    (folder / "digest" / "more.mjml").write_text(
        "<mj-section><mj-column><mj-text>More</mj-text></mj-column></mj-section>"
    )
    made = render(sample(), folder)[RenditionKind.html]
    assert made.count("max-width:640px") > render(sample(), TEMPLATES)[RenditionKind.html].count("max-width:640px")
