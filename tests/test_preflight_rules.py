"""Preflight's rules, one by one: each finds what it is for, in an issue that is otherwise right, and nothing in a right one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from edition_sample import TEMPLATES, sample
from hypothesis import example, given, settings
from hypothesis import strategies as st
from preflight_sample import EARLIER, READERS, day, found, known, pictured, publishing, saying, story

from newsletter.config import Numbering, NumberingScheme
from newsletter.errors import Mistake
from newsletter.numbering import Number, Numbered
from newsletter.preflight import LOOKS, Facts, findings
from newsletter.preflight.caniemail import support
from newsletter.preflight.colours import colour, contrast, declarations
from newsletter.preflight.facts import Earlier, Followed, Sheet, Spam, Trouble
from newsletter.preflight.finding import capital
from newsletter.preflight.gathering import sheets
from newsletter.preflight.inbox import cut
from newsletter.preflight.structure import script
from newsletter.preflight_rules import RULES, Level

LINK = "https://example.org/sources/toyota-battery"


def with_html(old: str, new: str, **more: object) -> Facts:
    """The sample with its HTML changed, once, by a regular expression."""
    html, times = re.subn(old, new.replace("\\", r"\\"), known().html, count=1, flags=re.DOTALL)
    assert times == 1, old
    return known(html=html, **more)


def with_end(html: str) -> Facts:
    """The sample with something at the end of its HTML."""
    return with_html("</body>", f"{html}</body>")


def sheet(css: str, *, inlined: bool = True) -> Facts:
    return known(sheets=(Sheet("digest/inline.css", css, 1, inlined=inlined),))


def headed(name: str, value: str | None) -> Facts:
    """The sample's message with a header changed, or gone."""
    head, _, body = known().message.partition(b"\r\n\r\n")
    lines = re.split(rb"\r\n(?![ \t])", head)
    kept = [line for line in lines if not line.lower().startswith(name.lower().encode() + b":")]
    assert len(kept) < len(lines)
    kept += [f"{name}: {value}".encode()] if value is not None else []
    return known(message=b"\r\n".join(kept) + b"\r\n\r\n" + body)


def signed(names: str) -> Facts:
    return known(
        message=f"DKIM-Signature: v=1; d=example.org;\r\n h={names};\r\n b=aaaa\r\n".encode() + known().message
    )


BAD: dict[str, Callable[[], Facts]] = {
    "not-rendered": lambda: known(html="", text="", troubles=(Trouble("not-rendered", "a tag isn't closed", "Close it."),)),
    "no-pdf": lambda: known(pdf=None, troubles=(Trouble("no-pdf", 'no font has "𓀀"', "Install one.", 2),)),
    "pdf-emoji": lambda: known(pdf=b"%PDF-1.7 left out: U+1F600"),
    "renditions-differ": lambda: known(text=known().text.replace(sample().stories[2].headline, "")),
    "clipped": lambda: with_end(f"<p>{'So many words. ' * 7000}</p>"),
    "nearly-clipped": lambda: with_end(f"<p>{'w' * (95_000 - len(known().html.encode()))}</p>"),
    "subject-empty": lambda: known(dataclasses.replace(sample(), subject="[[name]]"),
                                   audience=dataclasses.replace(READERS, lacking={"name": 3})),
    "subject-long": lambda: known(dataclasses.replace(sample(), subject="A subject that goes on " * 5)),
    "subject-cut": known,
    "preheader-empty": lambda: known(dataclasses.replace(sample(), preheader=" ")),
    "preheader-long": lambda: known(dataclasses.replace(sample(), preheader="And on it goes, " * 10)),
    "preheader-repeats": lambda: known(dataclasses.replace(sample(), preheader=sample().stories[0].headline)),
    "no-unsubscribe": lambda: with_html('href="\x02unsubscribe_url\x03"', 'href="https://example.org/"'),
    "no-postal-address": lambda: with_html("100\\s+Example\\s+Street", "Somewhere"),
    "no-one-click": lambda: headed("List-Unsubscribe-Post", None),
    "one-click-unsigned": lambda: signed("from:to:subject:list-unsubscribe"),
    "unsigned": lambda: known(signs=False),
    "link-local": lambda: known(saying("The [draft](http://localhost:8080/draft) is out.")),
    "link-placeholder": lambda: known(saying("The [report](https://example.org/TKTK) is out.")),
    "link-lost": lambda: known(saying("The [report](reports/2023.html) is out.")),
    "link-http": lambda: known(saying("The [report](http://example.org/report) is out.")),
    "link-words": lambda: known(saying("For the report click [here](https://example.org/report).")),
    "link-bare": lambda: known(saying("See [https://example.org/report](https://example.org/report) for it.")),
    "link-twice": lambda: known(
        saying("The [joint statement](https://example.org/a) follows a [joint statement](https://example.org/b).")
    ),
    "link-dead": lambda: known(followed={LINK: Followed(alive=False, said="the site says that it isn't there (404)")}),
    "alt-missing": lambda: known(pictured(alt="")),
    "alt-useless": lambda: known(pictured(alt="IMG_2041.JPG")),
    "alt-long": lambda: known(pictured(alt="A bridge between two shores. " * 10)),
    "picture-size": lambda: with_end('<img src="https://digest.example.org/x.png" alt="A chart" width="300">'),
    "pictures-heavy": lambda: known(pictures={known().edition.stories[0].picture.url: 1_400_000}),  # type: ignore[union-attr]
    "picture-in-text": lambda: known(saying("![The signing](https://example.org/signing.jpg)")),
    "no-credit": lambda: known(pictured(credit="")),
    "heading-order": lambda: with_html("<h2", "<h4"),
    "table-role": lambda: with_end("<table><tr><td>Left</td><td>Right</td></tr></table>"),
    "table-wide": lambda: known(saying("| a | b | c | d | e | f |\n|---|---|---|---|---|---|\n| 1 | 2 | 3 | 4 | 5 | 6 |")),
    "list-deep": lambda: known(saying("\n".join(f"{'  ' * deep}- point {deep}" for deep in range(6)))),
    "no-title": lambda: with_html("<title>.*?</title>", "<title></title>"),
    "language": lambda: known(publishing(language="ja")),
    "direction": lambda: known(publishing(direction="rtl")),
    "mixed-direction": lambda: known(saying("The paper is called السلام في المنطقة in Arabic.")),
    "invisible-text": lambda: with_end('<p style="color:#ffffff">Printed white on white</p>'),
    "contrast": lambda: with_end('<p style="color:#8a8a8a;background-color:#ffffff">Printed pale</p>'),
    "css-support": lambda: sheet(".row { display: flex; gap: 8px }"),
    "spam-score": lambda: known(spam=Spam(5.6, ("URIBL_BLACK 3.0", "MPART_ALT_DIFF 2.6"))),
    "placeholder": lambda: known(saying("Lorem ipsum dolor sit amet.")),
    "placeholder-perhaps": lambda: known(saying("The plant will have TK workers by 2030.")),
    "field-unknown": lambda: known(saying("Dear [[frist_name|reader]], this is for you.")),
    "field-foreign": lambda: known(saying("Dear *|FNAME|*, this is for you.")),
    "field-empty": lambda: known(saying("You live in [[city]]."),
                                 audience=dataclasses.replace(READERS, lacking={"city": 41})),
    "control-characters": lambda: with_end("<p>It\x92s here</p>"),
    "invisible-characters": lambda: known(saying("The min\u200bisters met.")),
    "broken-characters": lambda: known(saying("Japanâ€™s ministers met.")),
    "html-in-text": lambda: known(saying("The <b>ministers</b> met.")),
    "footnote-lost": lambda: known(saying("The ministers met.[^1]")),
    "own-name": lambda: known(saying("As the US-Japan Aliance Digest wrote, they met.")),
    "headline-twice": lambda: known(story(2, headline=sample().stories[2].headline + ".")),
    "headline-long": lambda: known(story(2, headline="Ministers meet, speak, part and meet again in Tokyo " * 3)),
    "story-short": lambda: known(story(2, body="More soon.")),
    "no-source": lambda: known(story(2, link="", body="The ministers met in Tokyo, and nobody says who says so.")),
    "used-before": lambda: known(story(2, headline=EARLIER.headline)),
    "number-order": lambda: known(last=Numbered(Number(2, 19), day("2023-10-31"))),
    "date-differs": lambda: known(goes=day("2023-11-15")),
}  # fmt: skip


def test_every_rule_has_a_function_and_a_bad_issue_here() -> None:
    assert set(LOOKS) == set(RULES) == set(BAD)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_what_it_is_for(rule: str) -> None:
    made = found(rule, BAD[rule]())
    assert made, rule
    for finding in made:
        assert finding.level.value == RULES[rule].level.value, finding
        assert not finding.what.endswith((".", "\n")), finding.what
        assert finding.remedy.endswith((".", "?")), finding.remedy
        assert "failed" not in finding.what, finding.what


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "subject-cut"])
def test_a_rule_finds_nothing_in_the_sample(rule: str) -> None:
    assert found(rule, known()) == []


def test_all_that_preflight_has_to_say_of_the_sample_is_that_a_phone_cuts_its_subject() -> None:
    assert [(each.rule, each.level) for each in findings(known(), {})] == [("subject-cut", Level.note)]


@pytest.mark.parametrize("design", sorted(path.parent.name for path in TEMPLATES.glob("*/issue.mjml")))
def test_no_design_of_ours_makes_an_error_or_a_warning(design: str) -> None:
    facts = known(publishing(design=design), sheets=sheets(TEMPLATES, design))
    assert [each.sentence for each in findings(facts, {}) if each.level is not Level.note] == []


def test_a_rule_that_is_switched_off_is_not_asked() -> None:
    assert findings(BAD["link-local"](), {"link-local": "meant so", "subject-cut": "meant so"}) == ()


def test_errors_are_told_first() -> None:
    made = findings(known(saying("Click [here](http://localhost/x). TK.")), {})
    assert [each.level for each in made] == sorted((each.level for each in made), key=list(Level).index)
    assert made[0].rule == "link-local"


def test_a_rule_that_fails_itself_is_said_and_stops_neither_the_others_nor_the_issue() -> None:
    def broken(facts: Facts) -> object:
        raise ZeroDivisionError("oh")

    made = findings(known(), {}, {**LOOKS, "clipped": broken})  # type: ignore[dict-item]
    assert [(each.rule, each.level) for each in made] == [("clipped", Level.warning), ("subject-cut", Level.note)]
    assert "ZeroDivisionError" in made[0].what


def test_of_a_thousand_findings_of_one_rule_twenty_are_told() -> None:
    made = found("link-http", known(saying(" ".join(f"[a{n}](http://example.org/{n})" for n in range(1000)))))
    assert len(made) == 20
    assert made[-1].what == "there are 981 more of these"
    assert (made[0].story, made[-1].story) == (2, None)


def test_a_finding_names_the_story_its_file_and_the_line() -> None:
    body = sample().stories[1].body + "\n\nThe [draft](http://localhost/x) is out.\n"
    (finding,) = found("link-local", known(story(2, body=body)))
    assert (finding.story, finding.headline) == (2, sample().stories[1].headline)
    assert finding.line == body.count("\n", 0, body.index("[draft]")) + 1
    assert finding.place == f"story 2, line {finding.line} of its text"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("www.example.com is a name for examples", "www.example.com is a name for examples"),
        ("https://localhost/ leads nowhere", "https://localhost/ leads nowhere"),
        ("digest/inline.css, line 3", "digest/inline.css, line 3"),
        ("base_url in config.toml", "base_url in config.toml"),
        ("the subject", "The subject"),
        ("a link says only “here...”", "A link says only “here...”"),
        ('"TK" stands here', '"TK" stands here'),
    ],
)
def test_a_sentence_begins_with_a_capital_but_for_a_name_that_has_none(words: str, sentence: str) -> None:
    assert capital(words) == sentence


# ---- what is right, and easily taken for wrong

RIGHT = [
    "The [study](https://link.springer.com/article/10.1007/s11111) is out.",
    "Read [the plan](https://www.gov.example.org/here) and [the plan](https://www.gov.example.org/here).",
    'He asked "[your government] to act", and "[sic]" stood there.',
    "T.K. Maxx and TK Maxx are one firm; the XX Corps and the 20th are not.",
    "Super Bowl XXX was in 1996.",
    "Write to [the desk](mailto:desk@example.org) or call [the desk](tel:+12025550100).",
    "A family 👨‍👩‍👧‍👦, a flag 🏴󠁧󠁢󠁥󠁮󠁧󠁿, Persian می‌خواهم as it is written.",
    "ภาษาไทย\u200bไม่มี\u200bช่องว่าง is Thai.",
    "The café's naïve résumé, Ångström, Łódź, Ñandú, “quotes” and ‘quotes’ – dashes.",
    "The US-Japan Alliance Digest's readers, the US-Japan alliance, and the US-Japan Alliance.",
    "If x < y and y > z, then <3 is no tag; nor is a <-> b.",
    "The array a[[0]] is not meant.",
    "His text goes here and there before it ends.",
    "Unsubscribe [on this page]([[unsubscribe_url]]), or read [this in a browser]([[view_url]]).",
    "Dear [[first_name|reader]], [[if city]]greetings to [[city]][[else]]greetings[[end]].",
    "| Year | Sum |\n|------|-----|\n| 2022 | 1.2 |\n| 2023 | 1.4 |",
    "The ministers met.[^1]\n\n[^1]: In Tokyo.",
    "Sasakawa Peace Foundation and Sasakawa are other names than Sasakawa USA.",
    "In Tokelau: [the page of the islands](https://www.example.org/countries/tokelau).",
    "東京の会談については、ブリンケン長官の発言を参照。",
    "The server answers at http://localhost:8080/ or at http://127.0.0.1, says [its manual](https://docs.example.org/).",
    "Sasakawa Use and Sasakawa UK are others, as the US-Japan Alliance Diet and the US-Japan Balance Digest are.",
    "שלום \u2066Toyota Motor Corp.\u2069 (\u202aNYSE: TM\u202c) ועוד.",
    "What??? Yes. He signed with a TKO, for the HK TK1 line.",
    "[[if city = Tokyo]]See [Tokyo](https://example.org/tokyo).[[else]]See [us](https://example.org/us).[[end]]",
    "沖縄サミットは二〇〇〇年、予算は三〇〇〇億円、参加は一〇〇人。評価は●●○○○。",
    "Article XX of GATT, a loan of Tk 500, gov.tk, ann@mail.tk, A$AP and snake__case.",
    'He said: "[the] minister [name withheld] of [NATO] will [...] resign [sic]."',
    "**The bill** is **read**, p is 0.05** or 0.01***, 政府は**協力**の方針を示した。[1][2] [sic][...]",
    "[The report][1] and [the annex][].\n\n[1]: https://example.org/a\n[the annex]: https://example.org/b",
    "Testing begins; DRAFT BILL READ, the test case goes on.",
    "The US-Japan\nAlliance Digest, the us‑japan alliance digest, and example.org/US-Japan-Alliance-Digest.",
    "[The page of [[city]]](https://example.org/?city=[[city]]) and [[if plan != pro]]more[[else]]less[[end]].",
]


@pytest.mark.parametrize("body", RIGHT, ids=lambda body: body[:25])
def test_what_only_looks_wrong_is_no_warning(body: str) -> None:
    made = [each for each in findings(known(saying(body)), {}) if each.level is not Level.note]
    allowed = {"placeholder-perhaps"} if "XXX" in body else {"field-unknown"} if "[[0]]" in body else set()
    assert {each.rule for each in made} <= allowed, made
    assert all(each.level is Level.warning for each in made)


def test_a_word_that_may_be_a_placeholder_is_told_once_a_story_and_not_again_of_lines_made_of_headlines() -> None:
    edition = story(2, headline="TK people meet", edition=saying("TK and TK.\n\nTK, and TBD."))
    edition = dataclasses.replace(
        edition, subject="Digest 2.21: TK people meet", preheader="TK people meet · Others TBA"
    )
    told = [(each.story, each.where, each.what) for each in found("placeholder-perhaps", known(edition))]
    assert told == [
        (None, "the preheader", '"TBA" stands in "· Others TBA"'),
        (2, "headline", '"TK" stands in "TK people meet", and 3 more in this story'),
        (2, "", '"TBD" stands in "TK, and TBD."'),
    ]
    edition = dataclasses.replace(edition, subject="Digest 2.21: TKTK")
    assert [each.where for each in found("placeholder", known(edition))] == ["the subject"]


@pytest.mark.parametrize(
    "text",
    [
        *("The plant gets tk million.", "The date is tba.", "[link]", "[Source]", "[NAME OF MINISTER]", "[?]"),
        *("[check spelling]", "[NOTE TO EDITOR: verify]", "[Zitat einfügen]", "[à compléter]", "[photo to come]"),
        *("XX percent of them", "XX% of them", "$X.X billion", "in 20XX", "on November XX", "a sum of ____ dollars"),
        *("〇〇大臣は述べた。", "費用は〇〇億円。", "○○氏", "△△社", "Headline", "Untitled", "DRAFT: Ministers meet"),
    ],
)
def test_what_editors_leave_for_later_is_told_however_they_mark_it(text: str) -> None:
    (finding,) = found("placeholder-perhaps", known(saying(text)))
    assert (finding.story, finding.line) == (2, 3)
    assert not found("placeholder", known(saying(text)))


def test_a_placeholder_that_is_told_as_an_error_is_not_told_again_as_a_doubt() -> None:
    made = [each for each in findings(known(saying("[TK]")), {}) if each.level is not Level.note]
    assert [(each.rule, each.level) for each in made] == [("placeholder", Level.error)]


def test_a_comment_is_told_since_readers_see_it() -> None:
    (finding,) = found("html-in-text", known(saying("<!-- ask legal -->")))
    assert finding.what == "readers see <!-- ask legal --> as it is"


@pytest.mark.parametrize(
    ("body", "whats"),
    [
        ("So it is.[[end]]", ["no [[if …]] is open where [[end]] stands, and readers get it as it is"]),
        ("Either [[else]] or.", ["no [[if …]] is open where [[else]] stands, and readers get it as it is"]),
        ("[[if cty]]x[[else]]y[[end]]", ["[[if cty]] is no field, and readers get it as it is"]),
        (
            "[[if city]]x[[else]]y[[else]]z[[end]]",
            ["[[else]] stands here a second time, and what stands before it is lost"],
        ),
        ("[leave]([[unsubscribe]])", ["[[unsubscribe]] is no field, and readers get it as it is"]),
        (
            "[the form](https://example.org/?mail=[[adress]])",
            ["[[adress]] is no field, and readers get it as it is"],
        ),
        ("[[if plan == pro]]x[[end]]", ["[[if plan == pro]] compares plan with = pro, signs and all"]),
        ("[[if plan != “pro”]]x[[end]]", ["[[if plan != “pro”]] compares plan with “pro”, signs and all"]),
    ],
)
def test_a_condition_or_a_field_that_does_not_work_is_told_once_with_its_line(body: str, whats: list[str]) -> None:
    made = [each for each in findings(known(saying(body)), {}) if each.level is not Level.note]
    assert [(each.rule, each.what, each.line) for each in made] == [("field-unknown", what, 3) for what in whats]


@pytest.mark.parametrize(
    ("name", "text", "slip"),
    [
        ("US-Japan Alliance Digest", "The US–Japan Alliance Digest says so.", "US–Japan Alliance Digest"),
        ("US-Japan Alliance Digest", "The U.S.-Japan Alliance Digest says so.", "U.S.-Japan Alliance Digest"),
        ("US-Japan Alliance Digest", "The US Japan Alliance Digest says so.", "US Japan Alliance Digest"),
        ("US-Japan Alliance Digest", "The US–Japan Aliance Digest says so.", "US–Japan Aliance Digest"),
        ("Women’s Forum Weekly", "The Womens Forum Weekly says so.", "Womens Forum Weekly"),
        ("Women’s Forum Weekly", "The Women's Forum Weekly says so.", ""),
        ("Lettre d'Asie", "La Lettre d’Asie le dit.", ""),
        ("Lettre d'Asie", "La Lettre d’Azie le dit.", "Lettre d’Azie"),
        ("Sasakawa USA", "Follow @SasakawaUSA, or see SasakawaUSA.org.", ""),
        ("日米同盟ダイジェスト", "今号の日米同盟ダイジスト編集部による。", "日米同盟ダイジスト"),
        ("日米同盟ダイジェスト", "今号の日米同盟ダイジェスト編集部による。日米同盟は強い。", ""),
    ],
)
def test_a_name_of_our_own_with_other_signs_is_misspelt_and_with_a_typographic_apostrophe_isnt(
    name: str, text: str, slip: str
) -> None:
    made = found("own-name", known(publishing(saying(text), title=name)))
    assert [each.what for each in made] == ([f'"{slip}" is nearly "{name}"'] if slip else [])


LATIN = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor."


@pytest.mark.parametrize(
    ("headline", "body", "levels"),
    [
        ("Ministers meet", LATIN, [Level.error]),
        ("Ministers meet", "Lorem ipsum dolor.", [Level.error]),
        ("Lorem ipsum dolor sit amet", "The ministers met.", [Level.error]),
        ("Ministers meet", f"The printers' filler, “{LATIN}”, is by Cicero.", [Level.warning]),
        ("Ministers meet", "Lorem ipsum has been with us since the 1500s, and isn't Latin.", [Level.warning]),
        ("Where lorem ipsum comes from", f"Lorem ipsum is old.\n\n> {LATIN}\n\nSo it goes.", [Level.warning]),
    ],
)
def test_who_writes_of_lorem_ipsum_is_not_held_for_it(headline: str, body: str, levels: list[Level]) -> None:
    edition = story(2, headline=headline, edition=saying(body))
    assert [each.level for each in found("placeholder", known(edition))] == levels


def test_a_field_that_is_empty_for_some_is_told_with_its_story_and_line() -> None:
    audience = dataclasses.replace(READERS, lacking={"city": 41})
    (finding,) = found("field-empty", known(saying("You live in\n[[city]]."), audience=audience))
    assert (finding.story, finding.line) == (2, 4)
    subject = dataclasses.replace(sample(), subject="For [[city]]")
    (finding,) = found("field-empty", known(subject, audience=audience))
    assert (finding.story, finding.where) == (None, "the subject")


def test_an_authors_own_piece_and_one_that_names_its_source_need_no_link() -> None:
    bare = {"link": "", "body": "The ministers met in Tokyo in the first week of November."}
    assert found("no-source", known(story(2, **bare)))
    assert not found("no-source", known(story(2, **bare, author="Ann Author")))
    for named in ("Source: the ministry's minutes", "出典：外務省", "المصدر: واس", "Источник: ТАСС", "Źródło: PAP"):
        assert not found("no-source", known(story(2, link="", body=f"{bare['body']} {named}."))), named
    # To whom one may write is nowhere to see for oneself.
    assert found("no-source", known(story(2, link="", body=f"{bare['body']} [Write](mailto:desk@example.org).")))


def test_a_link_that_nobody_sees_is_told() -> None:
    (finding,) = found("link-words", known(saying("The report is out.\n[](https://example.org/report)")))
    assert (finding.line, finding.what) == (4, "nobody sees the link to https://example.org/report: it has no words")


def test_what_is_said_of_a_picture_within_a_text_is_what_readers_see() -> None:
    (finding,) = found("picture-in-text", known(saying("![](https://example.org/p.png)")))
    assert finding.what.endswith("is shown as a link, whose words are the name of its site")
    assert ">example.org</a>" in known(saying("![](https://example.org/p.png)")).html


@pytest.mark.parametrize("credit", ["Photo:", "©", "Credit", "Photograph by", "-"])
def test_a_credit_that_names_nobody_is_none(credit: str) -> None:
    (finding,) = found("no-credit", known(pictured(credit=credit)))
    assert finding.what == f'its picture\'s credit, "{credit}", names nobody'
    assert not found("no-credit", known(pictured(credit=f"{credit} Ada")))
    assert not found("no-credit", known(pictured(credit="Photo12")))


@pytest.mark.parametrize(
    ("body", "rule", "level"),
    [
        ("[the report](TK)", "link-placeholder", Level.error),
        ("[the report](#)", "link-placeholder", Level.error),
        ("[the report]()", "link-placeholder", Level.error),
        ("[the report](https://example.org/tk)", "link-placeholder", Level.warning),
        ("[placeholders](https://en.wikipedia.org/wiki/Placeholder)", "link-placeholder", Level.warning),
        ("[how to](https://support.example.org/add-link-to-a-mail)", "", None),
        ("[the report](https://example.org/insert-link-here)", "link-placeholder", Level.error),
        ("[the report](your-link-here)", "link-placeholder", Level.error),
        ("[the report](placeholder)", "link-placeholder", Level.error),
        ("Sasakwaa USA wrote this.", "own-name", Level.warning),
        ("The min\u202eisters met.", "invisible-characters", Level.warning),
        ("[the report](http://192.168.1.20/report.pdf)", "link-local", Level.error),
        ("[the report](http://[::1]/report.pdf)", "link-local", Level.error),
        ("[the report](https://intranet/report)", "link-local", Level.error),
        ("[the report](https://files.office.local/report)", "link-local", Level.error),
        ("[the report](file:///home/ann/report.pdf)", "link-local", Level.error),
        ("[the report](C:\\\\Users\\\\ann\\\\report.pdf)", "link-local", Level.error),
        ("[insert quote from the minister]", "placeholder", Level.error),
        ("TKTK", "placeholder", Level.error),
        ("Headline goes here", "placeholder", Level.error),
        ("[[name|", "", None),
        ("[[cty]]", "field-unknown", Level.error),
        ("[[if citty = Tokyo]]x[[end]]", "field-unknown", Level.error),
        ("[[sic]]", "field-unknown", Level.warning),
        ("Dear {{ first_name }},", "field-foreign", Level.warning),
        ("Dear %%firstname%%,", "field-foreign", Level.warning),
        ("www.example.org/report says so", "link-lost", Level.warning),
        ("こちらの[こちら](https://example.org/a)をご覧ください。", "link-words", Level.warning),
        ("[example.org/report/2023](https://example.org/report/2023)", "link-bare", Level.warning),
        ("للمزيد اضغط [هنا](https://example.org/a).", "link-words", Level.warning),
        ("政府は**「協力」**の方針を示した。", "html-in-text", Level.warning),
        ("彼は**重要。**しかし、それだけではない。", "html-in-text", Level.warning),
        ("It is **urgent **, they said.", "html-in-text", Level.warning),
        ("[The report][1] says so, and [the annex][] too.", "link-lost", Level.warning),
        ("Sasakawa US wrote this.", "", None),
    ],
)
def test_how_bad_it_is_depends_on_what_stands_there(body: str, rule: str, level: Level | None) -> None:
    made = [each for each in findings(known(saying(body)), {}) if each.level is not Level.note]
    assert {(each.rule, each.level) for each in made if each.story} == ({(rule, level)} if level else set())


# ---- the inbox


def test_a_subject_is_counted_in_columns_and_cut_between_characters_as_readers_see_them() -> None:
    assert cut("日米同盟ダイジェスト", 10) == "日米同盟…"
    assert cut("👨‍👩‍👧‍👦👨‍👩‍👧‍👦👨‍👩‍👧‍👦", 5) == "👨‍👩‍👧‍👦👨‍👩‍👧‍👦…"
    subject = "日米同盟ダイジェスト 第2巻21号 トヨタが米国の電池に80億ドル"
    (finding,) = found("subject-cut", known(dataclasses.replace(sample(), subject=subject)))
    assert '"日米同盟ダイジェスト 第2巻21号 トヨタが…"' in finding.what


@given(st.text(max_size=60), st.integers(1, 50))
def test_what_is_cut_fits(text: str, width: int) -> None:
    from newsletter.render.text import columns

    assert columns(cut(text, width)) <= max(width, 1)


def test_an_empty_subject_is_an_error_only_where_a_reader_would_get_one() -> None:
    edition = dataclasses.replace(sample(), subject="[[name]]")
    assert not found("subject-empty", known(edition, audience=dataclasses.replace(READERS, lacking={"name": 0})))
    assert found("subject-empty", known(edition, audience=None))


# ---- size


def test_an_empty_subject_is_no_error_where_readers_lack_only_what_it_does_not_hold() -> None:
    subject = dataclasses.replace(sample(), subject="[[if city]]News of [[city]][[end]]")
    assert not found(
        "subject-empty", known(subject, audience=dataclasses.replace(READERS, lacking={"city": 0, "name": 3}))
    )
    assert found("subject-empty", known(subject, audience=dataclasses.replace(READERS, lacking={"city": 3, "name": 0})))


@pytest.mark.parametrize("subject", ["🎉🎉", "…", "!!!"])
def test_a_subject_without_a_word_is_a_warning(subject: str) -> None:
    (finding,) = found("subject-empty", known(dataclasses.replace(sample(), subject=subject)))
    assert (finding.level, finding.what) == (Level.warning, f'there is no word in "{subject}"')


@pytest.mark.parametrize(
    "change", [str, str.upper, "{}.".format, "{}!".format, lambda text: text.replace("\u00a0", " ")]
)
def test_a_preheader_repeats_the_subject_whatever_its_signs_spaces_and_capitals(change: Callable[[str], str]) -> None:
    edition = dataclasses.replace(sample(), preheader=change(sample().subject))
    assert found("preheader-repeats", known(edition))


def test_the_longest_reader_counts() -> None:
    facts = known(saying("You are [[city|a reader]]."))
    room = 102_000 - len(facts.html.encode())
    short = dataclasses.replace(READERS, longest={**READERS.longest, "city": room - 3000})
    long = dataclasses.replace(READERS, longest={**READERS.longest, "city": room + 3000})
    assert not found("clipped", dataclasses.replace(facts, audience=short))
    (finding,) = found("clipped", dataclasses.replace(facts, audience=long))
    assert "KB for the longest reader" in finding.what
    assert "as it is encoded" in finding.what


def test_of_the_two_ways_through_a_condition_the_longer_one_counts() -> None:
    body = f"[[if city]]{'word ' * 15000}[[else]]{'word ' * 500}[[end]]"
    assert found("clipped", known(saying(body)))


# ---- ways out


def test_an_unsubscribe_link_that_some_readers_do_not_get_is_none() -> None:
    html = known().html
    opened = html.rindex("<a ", 0, html.index("\x02unsubscribe_url\x03"))
    closed = html.index("</a>", opened) + 4
    only = f"{html[:opened]}\x02if city\x03{html[opened:closed]}\x02end\x03{html[closed:]}"
    (finding,) = found("no-unsubscribe", known(html=only))
    assert "for some readers" in finding.what
    assert found("no-unsubscribe", known(text=known().text.replace("\x02unsubscribe_url\x03", "")))


def test_an_unsubscribe_link_that_nobody_sees_is_none() -> None:
    html = known().html
    opened = html.rindex("<a ", 0, html.index("\x02unsubscribe_url\x03"))
    closed = html.index("</a>", opened) + 4
    hidden = f'{html[:opened]}<span style="display: none">{html[opened:closed]}</span>{html[closed:]}'
    assert found("no-unsubscribe", known(html=hidden))


def test_a_signature_that_covers_both_headers_is_right() -> None:
    assert not found("one-click-unsigned", signed("From:To:List-Unsubscribe-Post:\r\n List-Unsubscribe"))


def test_a_key_that_cannot_be_used_is_an_error() -> None:
    (finding,) = found("one-click-unsigned", known(message=b"", no_message="keys/rsa.pem: there is no such file."))
    assert "there is no such file" in finding.what


def test_pages_without_https_are_a_warning_but_for_a_rehearsal() -> None:
    facts = headed("List-Unsubscribe", "<http://digest.example.org/leave/x>, <mailto:a@example.org>")
    (finding,) = found("no-one-click", facts)
    assert finding.level is Level.warning
    assert not found("no-one-click", dataclasses.replace(facts, rehearsal=True))


def test_a_local_base_url_holds_an_issue_but_for_a_rehearsal() -> None:
    local = known(dataclasses.replace(sample(), base_url="http://127.0.0.1:8080"))
    (finding,) = found("link-local", local)
    assert (finding.level, finding.where) == (Level.error, "base_url in config.toml")
    (finding,) = found("link-local", dataclasses.replace(local, rehearsal=True))
    assert finding.level is Level.note


# ---- pictures


def test_an_ornament_may_have_an_empty_alt_text_and_a_pixel_that_counts_none() -> None:
    facts = with_end(
        '<img src="https://x.example.org/line.png" alt="" width="10" height="2"><img src="p" width="1" height="1">'
    )
    assert not found("alt-missing", facts)
    assert found("alt-missing", with_end('<img src="https://x.example.org/chart.png" width="10" height="2">'))


@pytest.mark.parametrize(
    "alt", ["photo", "DSC_0041", "a picture", "Screenshot 2023-11-01", "写真", "صورة", "-", "[alt text]", "bridge.png"]
)
def test_an_alt_text_that_tells_nothing(alt: str) -> None:
    assert found("alt-useless", known(pictured(alt=alt)))


def test_a_credit_is_missing_where_the_picture_is_shown_without_it() -> None:
    credit = re.escape("Illustration:")
    page, times = re.subn(credit, "", known().page)
    assert times
    (finding,) = found("renditions-differ", known(page=page))
    assert (finding.what, finding.story) == ("its picture's credit is missing in the page", 1)
    # A design that leaves the picture out has no credit to give.
    bare = re.sub(r"<img[^>]*>", "", page)
    assert not found("renditions-differ", known(page=bare))


# ---- renditions


@pytest.mark.parametrize("kind", ["html", "text", "page", "entry"])
def test_a_story_that_one_rendition_lacks_is_found_in_it(kind: str) -> None:
    headline = sample().stories[3].headline
    whole = getattr(known(), kind)
    assert headline in whole
    (finding,) = found("renditions-differ", known(**{kind: whole.replace(headline, "")}))
    assert (finding.story, finding.level) == (4, Level.error)
    where = {"html": "the HTML", "text": "the text", "page": "the page", "entry": "the feed entry"}[kind]
    assert finding.what == f"its headline is missing in {where}"


def test_a_text_that_is_missing_is_told_once_and_not_by_its_links_too() -> None:
    edition = saying("")
    text = edition.stories[1].body[:40]
    facts = known(
        story(2, edition=edition, body=edition.stories[1].body.replace("Tokyo", "[Tokyo](https://t.example/)"))
    )
    page = re.sub(rf"<p>{text[:20]}.*?</p>", "", facts.page, flags=re.DOTALL)
    (finding,) = found("renditions-differ", dataclasses.replace(facts, page=page))
    assert finding.what == "the beginning of its text is missing in the page"
    assert finding.remedy == "Put it into page.html of the design, or give it back its place."


@pytest.mark.parametrize("kind", ["html", "text", "page", "entry"])
def test_a_link_that_one_rendition_lacks_is_found_in_it(kind: str) -> None:
    made = found(
        "renditions-differ", known(**{kind: getattr(known(), kind).replace(LINK, "https://example.org/other")})
    )
    assert [(each.story, each.rule) for each in made] == [(1, "renditions-differ")]
    assert LINK in made[0].what


def test_emoji_that_the_pdf_lacks_are_told_once_a_story_with_the_line() -> None:
    facts = known(saying("Go on 😀.\n\nAnd on 🇯🇵."), pdf=b"%PDF-1.7 left out: U+1F600 left out: U+1F1EF U+1F1F5")
    (finding,) = (each for each in findings(facts, {}) if each.level is Level.warning)
    assert (finding.rule, finding.story, finding.line) == ("pdf-emoji", 2, 3)
    assert finding.what == "no font here has 😀, 🇯🇵, so the PDF does without"


def test_stories_in_another_order_are_found() -> None:
    entry = known().entry
    first, *others = entry.split("<h2>")
    others[1], others[2] = others[2], others[1]
    made = found("renditions-differ", known(entry="<h2>".join([first, *others])))
    assert any("out of its order in the feed entry" in each.what for each in made)


def test_an_issue_full_of_everything_that_markdown_has_is_the_same_in_all_renditions() -> None:
    body = (
        "> A *quotation* with **weight**, ~~struck~~ and `code`.\n\n1. One [link](https://example.org/ü?a=1&b=2)\n2. Two\n"
        '   - deeper\n\n| A | B |\n|---|---|\n| 1 | 2 |\n\nA note.[^n] (c) 1998 -- 2023... "quoted"\n\n[^n]: *Here*.\n'
    )
    assert not found("renditions-differ", known(story(2, body=body)))
    assert not found("renditions-differ", known(story(2, body="# A heading first\n\nThen text enough for a story.\n")))
    assert not found("renditions-differ", known(saying("It is at <https://example.org/q>, at https://example.org/q.")))
    assert not found("renditions-differ", known(saying("([https://example.org/q](https://example.org/q))を参照。")))
    assert not found("renditions-differ", known(saying("[[if city]][[city]]: [q](https://example.org/q).[[end]] Yes.")))
    assert not found("renditions-differ", known(story(2, headline="[[first_name|Reader]]: what *you* & <others> read")))


# ---- structure, language, colour


@pytest.mark.parametrize(
    ("language", "body", "right"),
    [
        ("ja", "日米両国の外相は東京で会談し、エネルギーと安全保障について話し合いました。" * 8, True),
        ("zh-Hans", "两国外长在东京会晤，讨论了能源和安全问题，并发表了一份联合声明。" * 8, True),
        ("ja", "两国外长在东京会晤，讨论了能源和安全问题，并发表了一份联合声明。" * 8, False),
        ("ar", "التقى الوزيران في طوكيو وتحدثا عن الطاقة والأمن لمدة يومين كاملين." * 8, True),
        ("en", "التقى الوزيران في طوكيو وتحدثا عن الطاقة والأمن لمدة يومين كاملين." * 8, False),
        ("sr-Latn", "Ministri su se sreli u Tokiju i razgovarali o energiji i bezbednosti. " * 8, True),
        ("de", "Die Minister trafen sich in Tokio und sprachen zwei Tage lang. " * 8, True),
        ("xx", "The ministers met in Tokyo and spoke for two days about energy. " * 8, True),
    ],
)
def test_the_language_tag_is_held_against_the_script_of_the_stories(language: str, body: str, right: bool) -> None:
    edition = publishing(language=language, direction="rtl" if language == "ar" else "ltr")
    for position in range(1, 6):
        edition = story(position, edition=edition, body=body, headline=f"{body[:10]} {position}", link="", picture=None)
    assert bool(found("language", known(edition))) is not right


def test_the_usual_script_of_a_language() -> None:
    assert [script(tag) for tag in ("en", "ja", "zh", "zh-Hant-TW", "sr", "sr-Latn", "qqq")] == [
        "Latn", "Jpan", "Hans", "Hant", "Cyrl", "Latn", None,
    ]  # fmt: skip


def test_contrast_is_as_wcag_defines_it() -> None:
    assert contrast(0x000000, 0xFFFFFF) == pytest.approx(21)
    assert contrast(0x777777, 0xFFFFFF) == pytest.approx(4.48, abs=0.01)
    assert (colour("#FFF"), colour("rgb(1, 2, 3)"), colour("rgba(1,2,3,.5)"), colour("Navy"), colour("inherit")) == (
        0xFFFFFF, 0x010203, None, 0x000080, None,
    )  # fmt: skip
    assert declarations("color:red;background:url(data:a;b);COLOR:blue !important;color:green") == {
        "color": "blue",
        "background": "url(data:a;b)",
    }


def dark(rule: str, html: str) -> Facts:
    head = f"<style>@media (prefers-color-scheme: dark) {{ {rule} }}</style></head>"
    return known(html=known().html.replace("</head>", head).replace("</body>", f"{html}</body>"))


def test_the_dark_scheme_is_painted_too() -> None:
    paper = (
        '<div class="sheet" style="background-color:#ffffff"><p class="line" style="color:#111111">Only here</p></div>'
    )
    (finding,) = found("invisible-text", dark(".sheet { background-color: #161a21 !important }", paper))
    assert 'in dark, "Only here"' in finding.what
    both = ".sheet { background-color: #161a21 !important } .line { color: #e8eaed !important }"
    assert not found("invisible-text", dark(both, paper))


def test_what_is_not_important_does_not_overrule_a_tag() -> None:
    paper = '<p class="line" style="color:#111111;background-color:#ffffff">Only here</p>'
    assert not found("invisible-text", dark(".line { color: #ffffff }", paper))


def test_text_on_a_picture_and_text_that_is_not_shown_are_left_alone() -> None:
    for style in ("background:url(https://x.example.org/a.png)", "background-image: url('a.png')", "display:none"):
        assert not found("invisible-text", with_end(f'<div style="{style}"><p style="color:#fff">White</p></div>'))
    on_paper = '<div style="background:url(a.png)"><p style="color:#fff;background:#fff">White</p></div>'
    assert found("invisible-text", with_end(on_paper))


def test_large_text_needs_less_contrast() -> None:
    assert not found("contrast", with_end('<p style="color:#8a8a8a;background:#fff;font-size:28px">Large</p>'))


def test_css_is_told_with_its_line_and_share_once() -> None:
    (finding,) = found(
        "css-support", sheet("p { color: #111111 }\n\n.a { position: sticky }\n.b { position: absolute }")
    )
    assert finding.where == "digest/inline.css, line 3"
    assert re.search(r"\d+% of mail programs, not by .*Gmail", finding.what)


def test_css_that_only_makes_it_plainer_or_stands_in_the_head_for_some_is_not_told_as_loud() -> None:
    assert not found("css-support", sheet(".a { border-radius: 4px; line-height: 1.4; box-shadow: 0 0 2px #000000 }"))
    assert not found("css-support", sheet("@media (max-width: 600px) { .a { display: flex } }", inlined=False))
    (finding,) = found("css-support", sheet(".a { display: flex }", inlined=False))
    assert finding.level is Level.note


def test_the_data_of_mail_programs_is_there() -> None:
    flex = support("css-display-flex")
    assert flex is not None
    assert flex.title == "display:flex"
    assert 0.5 < flex.share < 0.9
    assert support("css-nothing-of-the-kind") is None


# ---- what went before


def test_numbers_that_follow_are_right_in_each_scheme() -> None:
    def numbered(scheme: str, last: tuple[int, int], own: tuple[int, int], date: str, before: str) -> bool:
        edition = dataclasses.replace(sample(), volume=own[0], number=own[1], date=day(date))
        edition = publishing(edition, numbering=Numbering(scheme=NumberingScheme(scheme), per_volume=24))
        facts = known(edition, last=Numbered(Number(*last), day(before)))
        return not found("number-order", facts)

    assert numbered("by-year", (2, 20), (2, 21), "2023-11-14", "2023-10-31")
    assert not numbered("by-year", (2, 20), (2, 22), "2023-11-14", "2023-10-31")
    assert numbered("by-year", (2, 24), (3, 1), "2024-01-09", "2023-12-26")
    assert numbered("by-count", (2, 24), (3, 1), "2023-11-14", "2023-10-31")
    assert not numbered("by-count", (2, 24), (2, 25), "2023-11-14", "2023-10-31")
    assert numbered("by-hand", (2, 20), (3, 1), "2023-11-14", "2023-10-31")
    assert not numbered("by-hand", (2, 20), (4, 7), "2023-11-14", "2023-10-31")


def test_an_issue_that_comes_before_one_with_a_higher_number_is_told() -> None:
    (finding,) = found("number-order", known(ahead=Number(2, 22)))
    assert finding.what == "2.21 comes after 2.22 in the calendar"


def test_a_story_is_known_again_by_its_text_its_headline_or_its_source() -> None:
    texts = [each.what for each in found("used-before", known(story(2, body=EARLIER.body)))]
    assert texts == ["its text was in 2.20"]
    (finding,) = found("used-before", known(story(2, link=EARLIER.link)))
    assert finding.level is Level.note


TOLD = (
    "The ports of Rotterdam and Yokohama signed a corridor agreement on November 24. From 2028 on, four lines will"
    " bunker ammonia at both ends; the first vessel is to sail in the spring of that year, said Ingrid Vos."
)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (TOLD, TOLD.replace("24", "25").replace("Ingrid Vos", "its director"), "but for small changes"),
        (
            "日米両政府は11月19日、太平洋の海底ケーブルの保守について協力の覚書を交わした。敷設船二隻を共同で待機させる。",
            "日米両政府は11月20日、太平洋の海底ケーブルの保守について協力の覚書を交わした。敷設船三隻を共同で待機させる。",
            "but for small changes",
        ),
        (
            TOLD,
            "The ports of Rotterdam and Yokohama have built the first tanks for ammonia, and opened them on May 3.",
            "",
        ),
    ],
)
def test_a_story_that_is_told_again_with_small_changes_is_known_again(old: str, new: str, what: str) -> None:
    facts = known(story(2, body=new), earlier=(Earlier("2.20", "Two ports sign", "https://example.org/old", old),))
    assert [each.what.partition(", ")[2] for each in found("used-before", facts)] == ([what] if what else [])


def test_of_all_that_went_before_the_strongest_is_told() -> None:
    edition = story(2, body=TOLD, link="https://example.org/corridor")
    earlier = (
        Earlier("2.20", "Tanks are built", "https://example.org/corridor", "Other words."),
        Earlier("2.19", "Two ports sign", "https://example.org/old", TOLD),
    )
    (finding,) = found("used-before", known(edition, earlier=earlier))
    assert (finding.what, finding.level) == ("its text was in 2.19", Level.warning)


@pytest.mark.parametrize(
    ("text", "what", "level"),
    [
        (TOLD, "story 2 has the same text", Level.warning),
        (TOLD.replace("24", "25"), "story 2 has nearly the same text", Level.note),
    ],
)
def test_a_story_that_was_queued_twice_is_told_of_the_later_one(text: str, what: str, level: Level) -> None:
    (finding,) = found("used-before", known(story(3, body=text, edition=story(2, body=TOLD))))
    assert (finding.story, finding.what, finding.level) == (3, what, level)


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("Allies met in Tokyo on energy and aid", "Allies meet in Tokyo on energy and aid", Level.note),
        ("Allies meet in Tokyo", "ALLIES MEET IN TOKYO!", Level.warning),
        ("The budget, part 1 of the series", "The budget, part 2 of the series", None),
        ("France ratifies the treaty", "Greece ratifies the treaty", None),
    ],
)
def test_headlines_that_are_nearly_the_same_are_a_note(one: str, other: str, level: Level | None) -> None:
    made = found("headline-twice", known(story(3, headline=other, edition=story(2, headline=one))))
    assert [(each.story, each.level) for each in made] == ([(3, level)] if level else [])


# ---- never a fault of ours


@settings(max_examples=60, deadline=None)
@example("http://[[name|")
@given(
    st.lists(
        st.sampled_from(
            [
                *"ab [](){}|*_<>#!.:/%&;\\\n\"'`~^-=TKtk1",
                "\u200b",
                "\x92",
                "日",
                "ع",
                "👨‍👩‍👧",
                "[[",
                "]]",
                "[[name|",
                "http://",
            ]
        ),
        max_size=120,
    ).map("".join)
)
def test_no_story_makes_a_rule_fail(body: str) -> None:
    edition = saying(body)
    try:
        facts = known(edition)
    except Mistake:
        return
    for each in findings(facts, {}):
        assert "this rule itself failed" not in each.what, each
        assert each.rule != "renditions-differ", each
