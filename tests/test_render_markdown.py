"""A story's Markdown: what an editor writes survives, what could reach out doesn't."""

from __future__ import annotations

import re

import pytest

from newsletter.errors import DraftMistake
from newsletter.render.links import absolute, host
from newsletter.render.markdown import parse, to_html
from newsletter.render.typography import kept_together, typeset


def html(text: str, language: str = "en") -> str:
    return to_html(parse(text, language), language)


def test_html_in_a_story_is_shown_and_not_run() -> None:
    assert (
        html("<b>x</b> <script>alert(1)</script>")
        == "<p>&lt;b&gt;x&lt;/b&gt; &lt;script&gt;alert(1)&lt;/script&gt;</p>"
    )
    assert html("<mj-section>\n\n</p></td>") == "<p>&lt;mj-section&gt;</p>\n<p>&lt;/p&gt;&lt;/td&gt;</p>"
    assert html("a < b & c") == "<p>a &lt; b &amp; c</p>"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "/relative",
        "#anchor",
        "page.html",
        "//x.example",
        "file:///etc/passwd",
        "https://",
        "vbscript:x",
    ],
)
def test_a_link_that_leads_nowhere_good_is_only_its_words(url: str) -> None:
    made = html(f"See [the *words*]({url}).")
    assert "the <em>words</em>" in made
    assert "<a" not in made


@pytest.mark.parametrize(
    ("url", "wire"),
    [
        ("https://münchen.example/straße", "https://xn--mnchen-3ya.example/stra%C3%9Fe"),
        ("https://日本.example:8080/?q=日", "https://xn--wgv71a.example:8080/?q=%E6%97%A5"),
        ("mailto:desk@example.org", "mailto:desk@example.org"),
        ("tel:+12025550100", "tel:+12025550100"),
        ("http://example.org/a?b=c&d=e", "http://example.org/a?b=c&amp;d=e"),
    ],
)
def test_a_link_goes_where_it_says_in_letters_that_mail_programs_know(url: str, wire: str) -> None:
    assert f'<a href="{wire}">x</a>' in html(f"[x]({url})")


def test_hosts_are_ascii_on_the_wire_and_shown_as_their_owners_write_them() -> None:
    assert absolute("https://bücher.example/ä") == "https://xn--bcher-kva.example/ä"
    assert absolute("https://user@bücher.example:81/") == "https://user@xn--bcher-kva.example:81/"
    assert absolute("https://[::1") is None
    assert absolute("https://a\u2024b..example") is None
    assert host("https://www.xn--bcher-kva.example/x") == "bücher.example"


def test_a_picture_in_a_text_becomes_a_link_to_it() -> None:
    assert html("![A chart](https://example.org/c.png)") == '<p><a href="https://example.org/c.png">A chart</a></p>'
    assert html("![](https://example.org/c.png)") == '<p><a href="https://example.org/c.png">example.org</a></p>'
    assert html("![A chart](chart.png)") == "<p>A chart</p>"
    assert (
        html("[![A chart](https://example.org/c.png)](https://example.org/)")
        == '<p><a href="https://example.org/">A chart</a></p>'
    )


def test_footnotes_are_plain_figures_gathered_under_the_story() -> None:
    made = html(
        "One[^a] two[^b].\n\n[^b]: Second, with a [link](https://example.org/).\n[^a]: First.\n\n    More of it."
    )
    assert made.startswith("<p>One<sup>1</sup> two<sup>2</sup>.</p>")
    assert '<div class="notes">\n<p><sup>1</sup> First.</p>\n<p>More of it.</p>\n<p><sup>2</sup> Second' in made
    assert "id=" not in made
    assert "#fn" not in made


def test_headings_stand_below_the_storys_own() -> None:
    assert re.findall(r"<h\d", html("# A\n\n### B\n\n# C")) == ["<h3", "<h4", "<h3"]
    assert re.findall(r"<h\d", html("### A\n\n###### B")) == ["<h3", "<h4"]


def test_a_table_whose_words_have_no_room_beside_each_other_is_a_list_of_its_rows() -> None:
    def table(columns: int, *rows: str) -> str:
        return "\n".join(["|a" * columns + "|", "|-" * columns + "|", *rows])

    assert "<table>" in html(table(24, "|x" * 24 + "|"))
    assert html(table(25, "|x" * 25 + "|")) == (
        "<ul>\n<li>\n<p>" + "<br>\n".join(["<strong>a</strong>: x"] * 25) + "</p>\n</li>\n</ul>"
    )
    assert html(table(1, f"|{'x' * 72}|")).count("<strong>a</strong>: ") == 1
    assert html("|" + "x" * 80 + "|\n|-|") == f"<ul>\n<li>\n<p><strong>{'x' * 80}</strong>: </p>\n</li>\n</ul>"
    assert html("|a||\n|-|-|\n|*x*[^1]|" + "y" * 80 + "|\n\n[^1]: note").startswith(
        "<ul>\n<li>\n<p><strong>a</strong>: <em>x</em><sup>1</sup><br>\n" + "y" * 80 + "</p>"
    )


def test_the_columns_of_a_table_keep_their_side_without_a_style() -> None:
    made = html("|a|b|\n|-|-:|\n|1|2|")
    assert '<td align="right">2</td>' in made
    assert "<td>1</td>" in made
    assert "style" not in made


@pytest.mark.parametrize(
    "text", ["> " * 50 + "x", "- " * 28 + "x", "[" * 3000 + "x", "*" * 9000 + "x", "`" * 999, "[^1]" * 50]
)
def test_however_deep_a_text_is_nested_it_closes_what_it_opens(text: str) -> None:
    made = html(text)
    assert made.count("<blockquote>") == made.count("</blockquote>") <= 8
    assert made.count("<ul>") == made.count("</ul>")
    assert made.count("<strong>") == made.count("</strong>") <= 4
    assert text[-1] in made or text[0] == "`"


@pytest.mark.parametrize("text", ["> " * 5000 + "x", "- " * 300 + "x", "> - " * 40 + "x"])
def test_what_is_nested_so_deep_that_the_parser_would_leave_it_out_is_a_mistake_with_its_line(text: str) -> None:
    with pytest.raises(DraftMistake, match="the text, line 3: lists or quotations stand within each other"):
        html(f"Before.\n\n{text}")


def test_a_hidden_address_of_the_readers_own_may_be_linked_to_and_no_other_field() -> None:
    body = parse(
        "[leave](markx0z) [city](markx1z) [c](https://x.example/?c=markx1z)", "en", lambda url: url == "markx0z"
    )
    made = to_html(body, "en")
    assert made == '<p><a href="markx0z">leave</a> city <a href="https://x.example/?c=markx1z">c</a></p>'


@pytest.mark.parametrize(
    ("language", "made"),
    [
        ("en", "He said “yes, ‘quite’ so” – it’s true…"),
        ("de", "He said „yes, ‚quite‘ so“ – it’s true…"),
        ("fr", "He said «\u202fyes, ‹\u202fquite\u202f› so\u202f» – it’s true…"),
        ("sv", "He said ”yes, ’quite’ so” – it’s true…"),
        ("ja", "He said 「yes, 『quite』 so」 – it’s true…"),
        ("de-CH", "He said «yes, ‹quite› so» – it’s true…"),
        ("xx", "He said “yes, ‘quite’ so” – it’s true…"),
    ],
)
def test_quotation_marks_are_the_languages(language: str, made: str) -> None:
    text = "He said \"yes, 'quite' so\" -- it's true..."
    assert html(text, language) == f"<p>{made}</p>"
    assert typeset(text, language) == made


def test_a_headline_is_typeset_and_otherwise_left_alone() -> None:
    assert typeset("*Stars* [and](x) <b> & `ticks` # 1/2", "en") == "*Stars* [and](x) <b> & `ticks` # 1/2"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("$8 billion more", "$8\u00a0billion more"),
        ("2.1 million", "2.1\u00a0million"),
        ("5 % of it", "5\u00a0% of it"),
        ("3 Milliarden Euro", "3\u00a0Milliarden Euro"),
        ("No 21, p. 4", "No\u00a021, p.\u00a04"),
        ("40 km/h", "40\u00a0km/h"),
        ("8 billionaires", "8 billionaires"),
        ("No more", "No more"),
        ("10 kgs", "10 kgs"),
        ("¥ 100", "¥\u00a0100"),
    ],
)
def test_a_figure_stays_with_its_unit(text: str, made: str) -> None:
    assert kept_together(text) == made


def test_lines_of_japanese_join_without_a_space_and_others_with_one() -> None:
    assert html("これは\n一行です。", "ja") == "<p>これは一行です。</p>"
    assert html("This is\none line.") == "<p>This is\none line.</p>"
    assert html("한국어\n문장", "ko") == "<p>한국어\n문장</p>"
