"""CSS into tags: premailer's faults, each held beside what keeps it from a reader."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from premailer import Premailer

from newsletter.render.inline import css_wrongs, inlined

DARK = """<!doctype html><html lang="en"><head><title>x</title><style>
@media (prefers-color-scheme: dark) { .paper { background-color: #161a21 !important; } p { color: #e8eaed !important; } }
[data-ogsc] p { color: #e8eaed !important; } #outlook a { padding: 0; }
@supports (display: grid) { p { margin: 0; } } a:hover { color: red; } @font-face { font-family: X; src: url(x); }
</style></head><body><!--[if mso | IE]><table width="640"><tr><td>&nbsp;<![endif]-->
<p class="paper">Words</p><img src="p.png" width="176" height="88" alt=""><!--[if mso | IE]></td></tr></table><![endif]-->
<!--[if !mso]><!--><b>x</b><!--<![endif]--></body></html>"""


def style(html: str) -> str:
    return html[html.index("<style") : html.index("</style>")]


def test_what_is_dark_stays_dark() -> None:
    made = inlined(DARK, "p { color: #15191f; }")
    assert made.count("!important") == 3
    assert '<p class="paper" style="color:#15191f">' in made


def test_styles_in_the_head_are_kept_to_the_letter() -> None:
    made = inlined(DARK, "p { color: #15191f; }")
    assert style(made) == style(DARK)
    assert "data-premailer" not in made


def test_premailer_by_itself_still_loses_them() -> None:
    made = str(Premailer(DARK, disable_validation=True).transform())
    assert "!important" not in made or "[data-ogsc]" not in made
    assert "<!doctype" not in made


def test_a_rule_that_is_important_stays_so_in_its_tag() -> None:
    assert "margin:0 !important" in inlined(DARK, "p { margin: 0 !important; }")


def test_the_doctype_is_kept() -> None:
    assert inlined(DARK, "p { margin: 0; }").startswith("<!doctype html><html")


def test_attributes_that_outlook_reads_are_left_alone() -> None:
    made = inlined(DARK, "img { width: 100%; height: auto; } p { text-align: right; background-color: #ffffff; }")
    assert 'width="176"' in made
    assert 'height="88"' in made
    assert "bgcolor" not in made
    assert 'align="right"' not in made


def test_comments_for_outlook_are_kept_to_the_letter() -> None:
    made = inlined(DARK, "p { margin: 0; }")
    for comment in (
        '<!--[if mso | IE]><table width="640"><tr><td>&nbsp;<![endif]-->',
        "<!--[if !mso]><!-->",
        "<!--<![endif]-->",
    ):
        assert comment in made


def test_nothing_is_fetched_however_much_a_mail_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    html = DARK.replace(
        "<title>",
        '<link rel="stylesheet" href="https://evil.example/a.css"><style>@import url(https://evil.example/b.css);</style><title>',
    )
    assert "Words" in inlined(html, "p { margin: 0; }")


def test_a_hidden_merge_field_in_a_link_passes() -> None:
    html = '<html><body><a href="mergefieldx0z">x</a><a href="https://x.example/?n=mergefieldx1z&amp;m=[[x]]">y</a></body></html>'
    made = inlined(html, "a { color: #15191f; }")
    assert 'href="mergefieldx0z"' in made
    assert "https://x.example/?n=mergefieldx1z&amp;m=[[x]]" in made


def test_the_same_css_in_a_style_and_in_an_attribute_is_no_crash() -> None:
    html = '<html><head><style>color:red</style></head><body><p style="color:red">x</p></body></html>'
    assert "color:red" in inlined(html, "p { margin: 0; }")


def test_a_style_that_reads_like_a_selector_is_not_taken_for_one_whatever_came_before() -> None:
    html = '<html><body><p style="q">x</p></body></html>'
    first = inlined(html, "q { margin: 0; } p { margin: 0; }")
    assert '<p style="margin:0">x</p>' in first
    assert inlined(html, "q { margin: 0; } p { margin: 0; }") == first


def test_premailer_by_itself_still_takes_one_for_the_other() -> None:
    """In a process of its own, since what it answers depends on all that it was asked before."""
    asked = "from premailer import transform; transform('<p style=\"q\">x</p>', css_text='q, p { margin: 0 }')"
    answer = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert "TypeError: 'CSSSelector' object is not iterable" in answer.stderr


def test_what_premailer_falls_over_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="its CSS can't be written into the tags"):
        inlined(DARK, "@media print { @media screen { p { margin: 0; } } }")


def test_a_sheet_parsed_before_is_not_mixed_up_with_another() -> None:
    html = "<html><body><p>x</p></body></html>"
    one, other = inlined(html, "p { margin: 1px; }"), inlined(html, "p { margin: 2px; }")
    assert "margin:1px" in one
    assert "margin:2px" in other
    assert inlined(html, "p { margin: 1px; }") == one


SHEETS = {
    "media queries": ("p { margin: 0; }\n@media print { p { margin: 1px; } }", "@media can't be written into a tag", 2),
    "nested media queries": (
        "@media print { @media screen { p { margin: 0; } } }",
        "@media can't be written into a tag",
        1,
    ),
    "three digits": ("p {\n  color: #fff;\n}", "#fff is a colour of three digits", 2),
    "hover": ("\na:hover { color: #ffffff; }", ":hover can't be written into a tag", 2),
    "everything": ("* { margin: 0; }", "* can't be written into a tag", 1),
    "modern colours": ("p { color: rgb(0 0 0 / 50%); }", "isn't understood by mail programs", 1),
    "variables": ("p { color: var(--ink); }", "isn't understood by mail programs", 1),
    "no colon": ("p { margin 0; }", '"margin 0" is not a declaration', 1),
    "a brace too many": ("p { margin: 0; } }", "a rule is not closed, or closed twice", 1),
    "a brace too few": ("p { margin: 0; }\nb { margin: 0;", "a rule is not closed, or closed twice", 2),
    "a selector that isn't one": ("p > > b { margin: 0; }", "is not a selector", 1),
}


@pytest.mark.parametrize(("css", "what", "line"), SHEETS.values(), ids=SHEETS.keys())
def test_css_that_would_be_lost_in_silence_is_a_mistake_with_its_line(css: str, what: str, line: int) -> None:
    wrong = css_wrongs(css)[0]
    assert what in wrong.what
    assert css.count("\n", 0, wrong.offset) + 1 == line


def test_a_comment_may_say_anything() -> None:
    assert css_wrongs("/* @media { #fff }\n */ p { margin: 0; } /* * */") == ()
