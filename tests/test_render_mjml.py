"""MJML: each fault of the compiler's is held here, beside what keeps it from a reader.

Where a test shows the fault itself and one day fails, mjml-python has mended it: take the way round it out.
"""

from __future__ import annotations

import html as html_module
import re

import pytest
from mjml import mjml2html

from newsletter.render.mjml import compile_mjml, harden, soften
from newsletter.render.mjml_check import DEEPEST, Wrong, wrongs

HARD = {
    "thai": "ภาษาไทย กำลัง",
    "devanagari": "हिन्दी क्ष",
    "persian": "می‌خواهم",
    "arabic": "مُحَمَّد",
    "hebrew": "שָׁלוֹם",
    "joined emoji": "👩‍👩‍👧‍👦 ❤️ 🏳️‍🌈",
    "no-break space": "8\u00a0billion",
    "soft hyphen": "Donau\u00addampf",
    "backslash": r"C:\new\table",
    "quote": "the “so-called” &quot;one&quot;",
    "newline": "first\n second",
    "combining": "e\u0301",
}


def mail(body: str, head: str = "", attributes: str = 'lang="en" dir="ltr"') -> str:
    return (
        f"<mjml {attributes}>\n<mj-head>\n<mj-title>A mail</mj-title>\n{head}\n</mj-head>\n"
        f'<mj-body width="640px">\n{body}\n</mj-body>\n</mjml>'
    )


def column(inside: str) -> str:
    return f"<mj-section><mj-column>\n{inside}\n</mj-column></mj-section>"


def line_of(source: str, wrong: Wrong) -> int:
    return source.count("\n", 0, wrong.offset) + 1


def compiled(source: str) -> str:
    made = compile_mjml(source)
    assert isinstance(made, str), made
    return made


def only(source: str) -> Wrong:
    found = wrongs(source)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("words", HARD.values(), ids=HARD.keys())
def test_an_alt_text_in_any_script_comes_out_as_it_went_in(words: str) -> None:
    picture = (
        '<mj-image src="https://x.example/p.png" width="640px" height="320px" alt="{}" href="https://x.example/" />'
    )
    made = compiled(mail(column(picture.format(words))))
    found = re.search(r'alt="([^"]*)"', made)
    assert found
    assert html_module.unescape(found[1]) == re.sub(r"\s+", " ", html_module.unescape(words)) or "\u00a0" in words
    assert "\\u{" not in made
    assert "\u00a0" not in words or words in html_module.unescape(found[1])


@pytest.mark.parametrize("words", ["❤️", "ภาษาไทย กำลัง", "8\u00a0billion"])
def test_the_compiler_still_escapes_attributes_as_rusts_debugger_does(words: str) -> None:
    picture = f'<mj-image src="p.png" width="640px" height="320px" alt="{words}" />'
    assert "\\u{" in mjml2html(mail(column(picture)), fonts={})


def test_attributes_of_html_within_a_text_survive_too() -> None:
    made = compiled(mail(column('<mj-text><a href="https://x.example/" title="ภาษาไทย \\ ❤️">go</a></mj-text>')))
    assert 'title="ภาษาไทย &#92; ❤️"' in made


def test_hardening_leaves_entities_and_softening_markup_alone() -> None:
    assert harden('<a title="&quot;\n\\">&lt;é') == '<a title="&quot; &#92;">&lt;&#233;'
    assert soften("&#60;&#38;&#34;&#233;&#3648;&lt;") == "&#60;&#38;&#34;éเ&lt;"


MISTAKES = {
    "an unknown element": ("<mj-foo>x</mj-foo>", "there is no element <mj-foo>", None),
    "a slip of the pen": ("<mj-txet>x</mj-txet>", "there is no element <mj-txet>", "Did you mean <mj-text>?"),
    "HTML where MJML belongs": ("<div>x</div>", "there is no element <div>", "HTML stands in <mj-text> or <mj-raw>."),
    "an unknown attribute": (
        '<mj-text colour="#000000">x</mj-text>',
        "<mj-text> takes no colour",
        "Did you mean color?",
    ),
    "a misplaced element": ("<mj-section />", "<mj-section> can't stand in <mj-column>", None),
    "MJML within HTML": ("<mj-text><mj-text>x</mj-text></mj-text>", "<mj-text> can't stand in <mj-text>", None),
    "a size that isn't one": (
        '<mj-text font-size="huge">x</mj-text>',
        'font-size="huge" on <mj-text>: it is a measure in px',
        None,
    ),
    "a colour that isn't one": (
        '<mj-text color="#12345">x</mj-text>',
        'color="#12345" on <mj-text>: this is not a colour',
        None,
    ),
    "a colour of three digits": ('<mj-text color="#fff">x</mj-text>', "six digits", None),
    "a colour of three digits in HTML": (
        '<mj-text><b style="color:#fff">x</b></mj-text>',
        "#fff is a colour of three digits",
        None,
    ),
    "an alignment that isn't one": (
        '<mj-text align="middle">x</mj-text>',
        "it is one of left, right, center, justify",
        None,
    ),
    "a line whose width Outlook wouldn't be told": (
        '<mj-divider padding="0 40px" />',
        "Outlook's line would be wider than its column",
        "padding-left and padding-right",
    ),
    "text outside a text": ("loose words", "there is text in <mj-column>", "Text stands in <mj-text>."),
    "a picture without alt": ('<mj-image src="p.png" width="1px" height="1px" />', "<mj-image> has no alt", None),
    "a picture without a height": (
        '<mj-image src="p.png" width="1px" alt="" />',
        "<mj-image> has no height in pixels",
        None,
    ),
    "an HTML picture without a width": (
        '<mj-text><img src="p.png" height="1" alt="" /></mj-text>',
        "<img> has no width",
        None,
    ),
    "an attribute the compiler ignores": (
        '<mj-table role="presentation"><tr><td>x</td></tr></mj-table>',
        "takes no role",
        None,
    ),
    "an include in the body": ('<mj-include path="x.mjml" />', "loses the width", 'Write {% include "NAME" %}.'),
    "an unbalanced conditional comment": (
        "<mj-text><!--[if mso]><table><tr><td><![endif]-->x</mj-text>",
        "doesn't close it",
        None,
    ),
    "CDATA": ("<mj-text><![CDATA[x]]></mj-text>", "MJML can't read <![CDATA[…]]>", None),
    "an unclosed paragraph": (
        "<mj-text><p>one<p>two</mj-text>",
        "</mj-text> comes where <p> is still open",
        "Close it first: </p>.",
    ),
    "mismatched HTML": ("<mj-text><b>x</i></mj-text>", "</i> comes where <b> is still open", None),
    "mismatched MJML": ("<mj-text>x</mj-button>", "</mj-button> comes where <mj-text> is still open", None),
    "a bare <": ("<mj-text>a < b</mj-text>", "not well-formed", "&lt;"),
    "a comment for all but Outlook": (
        "<mj-text><![if !mso]>x<![endif]></mj-text>",
        "doesn't survive",
        "<!--[if !mso]><!-->",
    ),
    "an entity that nobody knows": ("<mj-text>&nbps;</mj-text>", "undefined entity", None),
    "a value without quotes": ("<mj-text align=left>x</mj-text>", "not well-formed", None),
}


@pytest.mark.parametrize(("inside", "what", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_mjml_has_its_line_and_says_what_would_be_right(
    inside: str, what: str, remedy: str | None
) -> None:
    source = mail(column(inside))
    wrong = wrongs(source)[0]
    assert what in wrong.what
    assert remedy is None or remedy in (wrong.remedy or "")
    assert line_of(source, wrong) == 8


WHOLE = {
    "no lang": (mail("", attributes='dir="ltr"'), "<mjml> has no lang"),
    "no dir": (mail("", attributes='lang="en"'), "<mjml> has no dir"),
    "an empty title": (mail("").replace("A mail", " "), "<mj-title> is empty"),
    "no title": (mail("").replace("<mj-title>A mail</mj-title>", ""), "there is no <mj-title>"),
    "no body": ('<mjml lang="en" dir="ltr"><mj-head><mj-title>x</mj-title></mj-head></mjml>', "there is no <mj-body>"),
    "two bodies": (mail("").replace("</mjml>", "<mj-body></mj-body></mjml>"), "there is a second <mj-body>"),
    "another root": ("<mj-body></mj-body>", "stands where <mjml> should"),
    "text after the end": (mail("") + "more", "there is text after </mjml>"),
    "an end that is missing": (mail("").removesuffix("</mjml>"), "the text ends within <mjml>"),
    "an XML declaration": ('<?xml version="1.0"?>' + mail(""), "MJML can't read <?xml …?>"),
    "a doctype": ("<!doctype mjml>" + mail(""), "MJML can't read <!doctype>"),
    "two classes on a section": (mail('<mj-section css-class="a b" />'), "<mj-section> has two classes"),
    "a style to be inlined": (mail("", '<mj-style inline="inline">p { color: red; }</mj-style>'), "isn't inlined"),
    "nothing at all": ("", "the text ends"),
}


@pytest.mark.parametrize(("source", "what"), WHOLE.values(), ids=WHOLE.keys())
def test_a_mail_that_lacks_something_or_has_too_much_is_refused(source: str, what: str) -> None:
    assert what in wrongs(source)[0].what


def test_classes_whose_order_matters_are_refused() -> None:
    head = '<mj-attributes><mj-class name="a" color="#111111" /><mj-class name="b" color="#222222" /></mj-attributes>'
    assert (
        "two classes of mj-class both set color" in only(mail(column('<mj-text mj-class="a b">x</mj-text>'), head)).what
    )
    other = head.replace('color="#222222"', 'align="left"')
    assert wrongs(mail(column('<mj-text mj-class="a b">x</mj-text>'), other)) == []


def test_elements_so_deep_that_the_compiler_would_bring_the_process_down_never_reach_it() -> None:
    deep = column("<mj-text>" + "<b>" * 20_000 + "</b>" * 20_000 + "</mj-text>")
    assert f"more than {DEEPEST} elements" in wrongs(mail(deep))[0].what


def test_the_compiler_still_passes_over_what_the_check_refuses() -> None:
    assert "<mj-foo>" in mjml2html(mail(column("<mj-foo>x</mj-foo>")), fonts={})
    assert "x</i>" in mjml2html(mail(column("<mj-text><b>x</i></mj-text>")), fonts={}).replace("x</b>", "x</i>")
    outlook = "<mj-raw><!--[if mso]>{}<![endif]--></mj-raw>"
    leaking = outlook.format("<table><tr><td>") + column("<mj-text>hi</mj-text>") + outlook.format("</td></tr></table>")
    assert "<mj-section" in mjml2html(mail(leaking), fonts={})
    assert "doesn't close it" in wrongs(mail(leaking))[0].what


def test_the_compiler_takes_a_lines_padding_from_outlooks_width_only_where_it_is_told_side_by_side() -> None:
    def outlooks(padding: str) -> str:
        found = re.search(
            r"\[if mso \| IE\]><table[^>]* width=\"(\d+)px\"[^>]*><tr><td style=\"height:0", compiled(line(padding))
        )
        assert found
        return found[1]

    def line(padding: str) -> str:
        return mail(column(f"<mj-divider {padding} />"))

    assert outlooks('padding-left="40px" padding-right="40px"') == "560"
    assert outlooks('padding="40px"') == "560"
    assert outlooks('padding="0 40px"') == "640"


def test_mjml_left_over_in_the_html_is_a_mistake_even_where_the_check_missed_why() -> None:
    made = compile_mjml(mail(column("<mj-foo>x</mj-foo>")))
    assert isinstance(made, Wrong)
    assert "leaves <mj-foo> as it is" in made.what


def test_what_the_compiler_itself_refuses_is_an_answer() -> None:
    made = compile_mjml(mail(column("<mj-text><p>one<p>two</mj-text>")))
    assert isinstance(made, Wrong)


def test_good_mjml_has_nothing_wrong_with_it() -> None:
    good = mail(
        '<mj-wrapper padding="0 1px 2px 3%">'
        + column(
            '<mj-text padding-top="0">&nbsp;a &lt; b<br /><!--[if mso]><b>x</b><![endif]--></mj-text>'
            '<mj-divider border-color="rgba(0, 0, 0, 0.5)" /><mj-image src="p" alt="" width="1px" height="2px" />'
            '<mj-spacer height="8px" /><mj-raw><hr /></mj-raw>'
        )
        + "</mj-wrapper>",
        '<mj-style>@media (max-width: 500px) { td > p { color: red; } }</mj-style><mj-breakpoint width="520px" />'
        '<mj-attributes><mj-all padding="0" /><mj-text align="left" css-class="a b" /></mj-attributes>',
    )
    assert wrongs(good) == []
    assert re.search("</?mj-", compiled(good)) is None


def test_places_are_right_after_characters_of_many_bytes() -> None:
    source = mail(column("<mj-text>日本語 ไทย</mj-text>\n  <mj-foo />"))
    wrong = only(source)
    assert source[wrong.offset :].startswith("<mj-foo")


def test_a_picture_keeps_its_height_for_outlook_and_its_shape_on_a_phone() -> None:
    made = compiled(mail(column('<mj-image src="p" alt="" width="600px" height="300px" padding="0" />')))
    assert 'height="300"' in made
    assert 'width="600"' in made
    assert "height:auto" in made
    assert "height:300px" not in made


def test_no_font_is_fetched() -> None:
    made = compiled(mail(column("<mj-text>x</mj-text>")))
    assert "fonts.googleapis" not in made
    assert "@import" not in made


def test_the_preheader_is_not_white_on_white() -> None:
    made = compiled(mail("", "<mj-preview>Look</mj-preview>"))
    hidden = re.search(r"<div style=\"([^\"]*)\">Look", made)
    assert hidden
    assert "display:none" in hidden[1]
    assert "ffffff" not in hidden[1]
