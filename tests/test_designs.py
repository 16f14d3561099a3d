"""The three designs: each tells the whole issue in every rendition, in any theme, and in what Outlook reads."""

from __future__ import annotations

import dataclasses
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from conftest import CONFIG, NOW
from design_samples import DESIGNS, LEAD, SIGNED, arabic, for_a_reader, issue, portrait, square
from edition_sample import ROOT, TEMPLATES, telling
from everything import everything
from everything import picture as a_picture
from lxml import html as lxml_html
from PIL import Image
from sqlalchemy.orm import Session
from test_render_edition import issue_with
from test_render_issue import HTML, PAGE, TEXT, Tree, odd
from test_render_pdf import a_folder, boxes_of, links_of, squeezed, tags_of, text_of

from newsletter import config, init, preflight
from newsletter.errors import ConfigMistake, PictureMistake
from newsletter.folder import Folder, included
from newsletter.models import Picture
from newsletter.preflight.colours import contrast
from newsletter.render import Edition, pdf, render, render_issue, theme_pictures
from newsletter.render.rendering import for_nobody
from newsletter.states import RenditionKind
from newsletter.theme_settings import STACKS, Theme, Typeface
from newsletter.web import make

OURS = Theme(
    mark="#0b5d4e",
    mark_dark="#5fd0b4",
    link="#5a2a82",
    link_dark="#cfa8f5",
    text=Typeface.palatino,
    labels=Typeface.verdana,
    width=560,
)
ALL = {
    "the sample": issue,
    "from right to left": arabic,
    "odd": lambda design: dataclasses.replace(odd(), publication=issue(design).publication),
    "one story of one word": lambda design: telling(
        "Word.", edition=issue(design), headline="H", section="", author=""
    ),
}
every_design = pytest.mark.parametrize("design", DESIGNS)


def mail(edition: Edition) -> str:
    return for_a_reader(render(edition, TEMPLATES)[HTML], edition)


def styles(html: str) -> str:
    """All that is written into the tags."""
    return " ".join(found[2] for found in re.finditer(r"style=([\"'])(.*?)\1", html, re.DOTALL))


@every_design
@pytest.mark.parametrize("kind", ALL)
def test_every_story_with_its_text_and_links_stands_in_every_rendition_in_its_order(design: str, kind: str) -> None:
    edition = ALL[kind](design)
    made = render(edition, TEMPLATES)
    facts = preflight.Facts(edition, NOW, edition.date, html=made[HTML], text=made[TEXT], page=made[PAGE])
    assert preflight.findings(facts, {}, {"renditions-differ": preflight.LOOKS["renditions-differ"]}) == ()


@every_design
@pytest.mark.parametrize("make", [issue, arabic])
def test_on_paper_every_story_is_told_and_tagged_and_links_are_live(
    design: str, make: Callable[[str], Edition]
) -> None:
    edition = make(design)
    if edition.portrait:
        edition = dataclasses.replace(edition, portrait=portrait(LEAD))
    content = pdf.make(edition, a_folder())
    tags = [name for name, _ in tags_of(content)]
    assert tags.count("/H1") == 1
    assert tags.count("/H2") == len(edition.stories)
    if make is issue:
        text, at = text_of(content), 0
        readied, _ = for_nobody(edition)
        beginnings = [squeezed(story.headline) for story in readied.stories]
        at = text.rfind(beginnings[-1])
        for headline in reversed(beginnings):
            assert (at := text.rfind(headline, 0, at + len(headline))) >= 0, headline
    assert {url for story in edition.stories for url in re.findall(r"\]\((https[^)]*)\)", story.body)} <= set(
        links_of(content)
    )


@every_design
@pytest.mark.parametrize("kind", ALL)
def test_what_outlook_reads_is_well_formed_tables_of_fixed_width(design: str, kind: str) -> None:
    edition = ALL[kind](design)
    html = mail(edition)
    Tree(html)
    for comment in re.findall(r"<!--\[if [^\]]*mso[^\]]*\]>(.*?)<!\[endif\]-->", html, re.DOTALL):
        for table in re.findall(r"<table[^>]*>", comment):
            assert 'role="presentation"' in table, table
    ghosts = "".join(re.findall(r"<!--\[if mso \| IE\]>(.*?)<!\[endif\]-->", html, re.DOTALL))
    opened = re.findall(r"<table\b[^>]*>", ghosts)
    assert len(opened) == ghosts.count("</table>")
    assert sum('width="640"' in table for table in opened) >= 3
    shown = re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL)
    for table in re.findall(r"<table\b[^>]*>", re.sub(r'<div class="story".*?</div>', "", shown, flags=re.DOTALL)):
        assert 'role="presentation"' in table, table


@every_design
@pytest.mark.parametrize("width", [480, 640, 720])
def test_in_outlook_no_table_and_no_picture_is_wider_than_the_cell_around_it(design: str, width: int) -> None:
    theme = msgspec.structs.replace(SIGNED, width=width)
    edition = everything(design, theme=theme)
    tall = a_picture("third", theme.column, theme.column, "A wall")
    stories = (*edition.stories[:2], dataclasses.replace(edition.stories[2], picture=tall))
    html = mail(dataclasses.replace(edition, stories=stories))
    html = re.sub(r"<!--\[if mso \| IE\]>(.*?)<!\[endif\]-->", r"\1", html, flags=re.DOTALL)
    seen = 0
    for each in lxml_html.fromstring(html).iter("table", "img"):
        own = re.fullmatch(r"(\d+)(?:px)?", each.get("width", ""))
        if own is None:
            continue
        room, taken = None, 0
        for around in each.iterancestors("td", "table"):
            if around.tag == "td":
                taken += _padding(around.get("style", ""))
            room = re.fullmatch(r"(\d+)(?:px)?", around.get("width", ""))
            if room:
                break
        if room:
            seen += 1
            assert int(own[1]) + taken <= int(room[1]), lxml_html.tostring(each)[:200]
    assert seen > 10


def _padding(style: str) -> int:
    """What a cell's padding takes of its width."""
    found = dict(re.findall(r"(padding[a-z-]*): ?([^;]+)", style))
    sides = [int(float(side.removesuffix("px"))) for side in found.get("padding", "0").split()]
    right = sides[1 % len(sides)]
    left = sides[3] if len(sides) == 4 else right
    own = {side: found.get(f"padding-{side}") for side in ("left", "right")}
    return sum(
        int((value or f"{default}px").removesuffix("px"))
        for value, default in ((own["left"], left), (own["right"], right))
    )


@every_design
def test_no_css_that_outlook_lacks_is_written_into_the_tags_and_every_colour_has_six_digits(design: str) -> None:
    html = mail(issue(design))
    written = styles(html)
    for lacking in (
        "flex",
        "grid",
        "float",
        "background-image",
        "url(",
        "position:",
        "var(",
        "calc(",
        "rgb(",
        "margin-top:-",
    ):
        assert lacking not in written, lacking
    assert not re.search(r"#[0-9a-fA-F]{3}(?![0-9a-fA-F])", re.sub(r'href="[^"]*"|&#\d+;', "", html))
    for picture in re.findall(r"<img[^>]*>", html):
        assert re.search(r' width="\d+"', picture), picture
        assert re.search(r' height="\d+"', picture), picture
        assert ' alt="' in picture


@every_design
def test_without_its_head_a_mail_still_has_its_type_and_colours(design: str) -> None:
    html = re.sub(r"<head>.*?</head>", "", mail(issue(design)), flags=re.DOTALL)
    for tag in ("h1", "h2", "p"):
        found = re.findall(rf"<{tag}\b[^>]*>", html)
        assert found
        for opening in found:
            if "border-top" not in opening:  # a line is a <p> to MJML
                assert "font-size:" in styles(opening), opening
                assert "color:#" in styles(opening), opening


@every_design
def test_right_to_left_lines_begin_on_the_right_and_nothing_tears_letters_apart(design: str) -> None:
    html = mail(arabic(design))
    assert '<html lang="ar" dir="rtl"' in html
    # The compiler's columns say left; the cells in them, which hold the text, say where it begins.
    cells = re.findall(r'<div style="[^"]*?text-align:(\w+);', html)
    assert set(cells) == {"right"}
    assert len(cells) > 10
    body = html[html.index("<body") :]
    assert re.findall(r"letter-spacing:(?!0)[^;]*", styles(re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL))) == []
    assert "font-style:italic" not in styles(body)
    assert "border-left:2px" not in styles(body)


@every_design
def test_right_to_left_code_is_read_from_the_left_and_stress_is_no_slant(design: str) -> None:
    edition = arabic(design)
    first = dataclasses.replace(edition.stories[0], body="*تأكيد* `q = z;` كلمة\n\n    q = z;\n")
    html = mail(dataclasses.replace(edition, stories=(first, *edition.stories[1:])))
    assert re.search(r'<pre style="[^"]*direction: ?ltr; text-align: ?left', html)
    assert re.search(r'<code style="[^"]*direction: ?ltr', html)
    assert re.search(r'<em style="font-style: ?normal; font-weight: ?bold', html)
    letters = boxes_of(pdf.make(dataclasses.replace(edition, stories=(first,), portrait=None), a_folder()))
    # A semicolon has no direction of its own: among Arabic it would stand on the left.
    lefts = {sign: [left for letter, left, _ in letters if letter == sign] for sign in "qz;"}
    assert [len(found) for found in lefts.values()] == [2, 2, 2]
    for q, z, semicolon in zip(*lefts.values(), strict=True):
        assert q < z < semicolon


@every_design
def test_japanese_stress_is_no_slant_and_english_stress_is(design: str) -> None:
    for language, slanted in (("ja", False), ("zh-TW", False), ("ko", False), ("en", True)):
        html = mail(telling("*very*", edition=issue(design, language=language)))
        assert ("<em>very</em>" in html) == slanted


@every_design
def test_in_the_dark_every_colour_of_text_has_another(design: str) -> None:
    html = mail(issue(design))
    dark = "".join(re.findall(r"@media \(prefers-color-scheme: dark\) \{(.*?\})\s*\}", html, re.DOTALL))
    classes = set(re.findall(r'class="([^"]+)"', html[html.index("<body") :]))
    names = {name for each in classes for name in each.split()}
    for name in ("ink", "soft", "mark", "go"):
        if name in names:
            assert re.search(rf"\.{name}\b[^{{]*\{{[^}}]*color", dark), name
    for colour in re.findall(r"(?<![-a-z])color: ?(#[0-9a-f]{6})", dark):
        assert contrast(int(colour[1:], 16), 0x161A21) > 4.5, colour


@every_design
def test_a_theme_is_in_every_rendition_and_nothing_of_the_default_is_left(design: str, tmp_path: Path) -> None:
    edition = issue(design, theme=msgspec.structs.replace(OURS, signed="Hana Whitfield"))
    stories = tuple(
        dataclasses.replace(
            story, picture=dataclasses.replace(story.picture, width=560, height=280) if story.picture else None
        )
        for story in edition.stories
    )
    edition = dataclasses.replace(edition, stories=stories, logo=None, portrait=None)
    made = render(edition, TEMPLATES)
    for kind in (HTML, PAGE):
        for colour in (OURS.mark, OURS.mark_dark, OURS.link, OURS.link_dark):
            assert colour in made[kind], (kind, colour)
        for default in ("#b3301f", "#f08a75", "#1d4480", "#9cbbf5", "Georgia, 'Times", "Segoe UI"):
            assert default not in made[kind], (kind, default)
        assert STACKS[Typeface.palatino] in made[kind].replace("&#39;", "'").replace("&quot;", "'")
    assert 'width="560"' in made[HTML]
    assert "640" not in re.sub(r"https?://[^\"]*", "", made[HTML])
    paper = pdf.make(edition, a_folder())
    shutil.copytree(TEMPLATES / "shared", tmp_path / "templates" / "shared")
    assert len(paper) > 10_000


@every_design
def test_colours_of_a_theme_are_on_paper(design: str) -> None:
    import pypdfium2

    edition = dataclasses.replace(issue(design, theme=msgspec.structs.replace(SIGNED, mark="#00c000")), portrait=None)
    page = pypdfium2.PdfDocument(pdf.make(edition, a_folder()))[0].render(scale=1).to_pil().convert("RGB")
    counts = {colour: count for count, colour in page.getcolors(1 << 24)}
    assert counts.get((0, 192, 0), 0) > 100
    assert counts.get((179, 48, 31), 0) == 0


def test_a_letter_shows_the_portrait_and_the_role_only_of_who_wrote_it() -> None:
    own = issue("letter")
    guest = dataclasses.replace(own, stories=(dataclasses.replace(own.stories[0], author="A Guest"), *own.stories[1:]))
    nobody = dataclasses.replace(own, publication=msgspec.structs.replace(own.publication, theme=Theme()))
    for kind in (HTML, PAGE):
        made = render(own, TEMPLATES)[kind]
        assert own.portrait is not None
        assert own.portrait.url in made
        assert made.count("Hana Whitfield") >= 2
        assert "Editor" in made
        made = render(guest, TEMPLATES)[kind]
        assert own.portrait.url not in made
        assert made.count("A Guest") >= 2
        assert "Hana" not in made
        made = render(nobody, TEMPLATES)[kind]
        assert own.portrait.url not in made
        assert 'class="signature' not in made
    assert render(own, TEMPLATES)[TEXT].count("\nHana Whitfield\nEditor\n") == 1
    assert "Hana" not in render(guest, TEMPLATES)[TEXT]
    words = text_of(pdf.make(dataclasses.replace(own, portrait=portrait(LEAD)), a_folder()))
    assert words.count("HanaWhitfield") == 2
    alone = dataclasses.replace(own, stories=own.stories[:1])
    assert "Also" in render(own, TEMPLATES)[PAGE]
    assert ">Also<" not in render(alone, TEMPLATES)[PAGE]


@every_design
def test_a_logo_goes_into_the_store_and_stands_in_mail_page_and_pdf(
    design: str, make_folder: Callable[..., Folder], tmp_path: Path
) -> None:
    theme = '[publications.digest.theme]\nlogo = "logo.png"\nlogo_width = 120\n\n[publications.digest.numbering]'
    folder = make_folder(
        ("[publications.digest.numbering]", theme), ("min_stories = 2", f'min_stories = 2\ndesign = "{design}"')
    )
    square(tmp_path / "logo.png", size=(480, 160))
    (tmp_path / "templates").symlink_to(TEMPLATES)
    with folder.session() as session:
        slug, publication = folder.publication()
        made = render_issue(session, folder, slug, publication, issue_with(session, {}, {}), NOW)
        rows = session.query(Picture).all()
        assert [(row.width, row.height) for row in rows] == [(240, 80)]
        name = f"{rows[0].sha256}.{rows[0].extension}"
    for kind in (RenditionKind.html, RenditionKind.page):
        html = made[kind].content.decode()
        picture = next(tag for tag in re.findall(r"<img[^>]*>", html) if name in tag)
        assert 'width="120"' in picture
        assert 'height="40"' in picture
        assert 'alt="Example Society"' in picture
    assert ("/Figure", "Example Society") in tags_of(made[RenditionKind.pdf].content)
    with make(folder, lambda: NOW).test_client().get(f"/pictures/{name}") as answer:
        assert answer.status_code == 200


def test_a_portrait_is_square_whatever_it_was_and_keeps_the_upper_part_of_a_high_one(
    session: Session, make_folder: Callable[..., Folder], tmp_path: Path
) -> None:
    folder = make_folder(
        (
            "[publications.digest.numbering]",
            '[publications.digest.theme]\nportrait = "me.png"\n\n[publications.digest.numbering]',
        )
    )
    _, publication = folder.publication()
    for size, left, top in (((300, 900), 0, 150), ((900, 300), 300, 0), ((200, 200), 0, 0)):
        drawn = Image.new("RGB", size, "#406080")
        side = min(size)
        drawn.paste("#c0a080", (left, top, left + side, top + side))
        drawn.save(tmp_path / "me.png")
        made = theme_pictures.portrait(folder, publication)
        assert made is not None
        assert made.width == made.height == 192
        colours = Image.open(io.BytesIO(made.content)).convert("RGB").getcolors(1 << 16)
        most, colour = max(colours or ())
        assert most > 0.95 * 192 * 192
        assert max(abs(one - other) for one, other in zip(colour, (0xC0, 0xA0, 0x80), strict=True)) < 4


def test_a_logo_that_is_not_there_or_no_picture_is_a_sentence(session: Session, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "templates").symlink_to(TEMPLATES)
    (tmp_path / "words.png").write_text("not a picture")
    slug, publication = folder.publication()
    that = issue_with(session, {})
    for name, told in (("gone.png", "there is no such file"), ("words.png", "this is not a picture")):
        themed = msgspec.structs.replace(publication, theme=Theme(logo=name))
        with pytest.raises(PictureMistake, match=told) as caught:
            render_issue(session, folder, slug, themed, that, NOW)
        assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('mark = "#b31"', 'mark: "#b31" is not a colour of six digits; write it as "#b3301f"'),
        ('link_dark = "blue"', "link_dark"),
        ("width = 900", "width: it must be at most 720"),
        ("width = 479", "width: it must be at least 480"),
        ("width = 601", "width: 601 is odd"),
        ('text = "comic"', 'text: "comic" is not known here; write "georgia" or "palatino"'),
        ('logo = "../secret.png"', "leads out of the folder"),
        ('logo = "/etc/logo.png"', "leads out of the folder"),
        ('portrait = "me.svg"', "is no picture that a mail can show"),
        ('print_face = "x\\"); #read(\\""', "is no name of a typeface"),
        ('colour = "#b3301f"', "there is no setting `colour` here"),
    ],
)
def test_a_theme_that_can_not_be_is_a_sentence_with_its_line(line: str, told: str, tmp_path: Path) -> None:
    text = CONFIG + f"\n[publications.digest.theme]\n{line}\n"
    with pytest.raises(ConfigMistake) as caught:
        config.decode(text, tmp_path / "config.toml")
    assert told in str(caught.value)
    assert caught.value.line == text.count("\n")


def test_a_typeface_for_paper_is_taken_from_the_folder_of_fonts(tmp_path: Path) -> None:
    fonts = [path for path in Path("/usr/share/fonts").rglob("*.ttf") if "DejaVuSerif.ttf" in path.name]
    if not fonts:
        pytest.skip("DejaVu Serif is not on this machine")
    (tmp_path / "fonts").mkdir()
    shutil.copy(fonts[0], tmp_path / "fonts")
    (tmp_path / "templates").symlink_to(TEMPLATES)
    edition = issue("brief", theme=Theme(print_face="DejaVu Serif"))
    with_it = pdf.make(edition, a_folder(tmp_path, "fonts"))
    assert b"DejaVuSerif" in with_it
    assert b"DejaVuSerif" not in pdf.make(issue("brief"), a_folder(tmp_path, "fonts"))


def test_an_issue_typ_reads_what_all_designs_share_and_nothing_beside_it(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    (tmp_path / "templates" / "secret.typ").write_text("#let told = [secret]")
    path = tmp_path / "templates" / "brief" / "issue.typ"
    whole = path.read_text("utf-8")
    for way in ("/secret.typ", "/shared/../secret.typ", "../secret.typ"):
        path.write_text(whole + f'\n#import "{way}": told\n#told\n', "utf-8")
        with pytest.raises(Exception, match="not found|outside of|access denied"):
            pdf.make(issue("brief"), a_folder(tmp_path))
    path.write_text(whole, "utf-8")
    shared = tmp_path / "templates" / "shared" / "paper.typ"
    shared.write_text(shared.read_text("utf-8").replace("#let rail = 40mm", "#let rail = 40mmm"), "utf-8")
    with pytest.raises(Exception, match=r"shared/paper\.typ, line \d+, column \d+"):
        pdf.make(issue("brief"), a_folder(tmp_path))


def test_a_new_folder_has_all_designs_and_what_they_share(tmp_path: Path) -> None:
    folder = init.make(tmp_path / "new", NOW)
    for design in DESIGNS:
        names = {path.name for path in (folder.templates / design).iterdir()}
        assert names == {"issue.mjml", "inline.css", "issue.txt", "page.html", "page.css", "issue.typ"}
    assert (folder.templates / "shared" / "mail.css").is_file()
    assert included() == ROOT
    folder.engine.dispose()
