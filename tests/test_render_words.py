"""What a design says of its own is in the publication's language; what nothing translates stays as it is written."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pypdfium2
import pytest
from edition_sample import TEMPLATES, sample, telling
from test_render_pdf import a_folder, on_paper

from newsletter import translations
from newsletter.errors import TemplateMistake
from newsletter.folder import Folder
from newsletter.render import PdfView, render
from newsletter.render.edition import Edition
from newsletter.states import RenditionKind

HTML, TEXT, PAGE = RenditionKind.html, RenditionKind.text, RenditionKind.page
HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the design, without translations of its own."""
    shutil.copytree(TEMPLATES, tmp_path / "templates", ignore=shutil.ignore_patterns("*.po"))
    return tmp_path / "templates"


def french(place: Path, **sentences: str) -> None:
    text = HEAD + "".join(f'msgid "{key}"\nmsgstr "{value}"\n\n' for key, value in sentences.items())
    (place / "translations" / "fr.po").write_text(text, "utf-8")


def on_paper_text(edition: Edition, folder: Folder) -> str:
    content = on_paper(edition, folder)
    return "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(content))


def with_source(edition: Edition) -> Edition:
    return telling("Text.", link="https://example.org/source", edition=edition)


def test_a_japanese_publication_says_it_in_japanese_in_every_rendition() -> None:
    this = sample(language="ja")
    made = render(this, TEMPLATES)
    for kind in (HTML, TEXT, PAGE):
        assert "今号の内容" in made[kind]
        assert "In this issue" not in made[kind]
    for kind in (HTML, TEXT):
        assert "を購読しているため、このメールをお送り" in made[kind].replace("\n", "")
        assert re.search("\x02if joined\x03（\x02joined\x03 から）\x02end\x03。", made[kind].replace("\n", ""))
    assert "第2巻 第21号、2023年11月14日\n" in made[TEXT]
    assert "設定         \x02preferences_url\x03\n" in made[TEXT]
    with_pdf = dataclasses.replace(this, pdf=PdfView(this.pdf_url, 2, 71_000))
    assert "2 ページ、71 KB" in render(with_pdf, TEMPLATES)[HTML]
    for kind, text in render(with_source(this), TEMPLATES).items():
        assert "出典：" in text, kind


def test_on_paper_what_nothing_translates_stays_as_it_is_written() -> None:
    assert "1 of 2" in on_paper_text(sample(language="fr"), a_folder())


def test_a_folder_translates_a_design_on_paper_and_everywhere_else(place: Path) -> None:
    french(
        place,
        **{
            "In this issue": "Dans ce num\u00e9ro",
            "%(page)s of %(pages)s": "%(page)s sur %(pages)s \u00e0 100 %%",
            "page %(number)s": "p. %(number)s",
        },
    )
    made = render(sample(language="fr-CA"), place)
    assert "Dans ce num\u00e9ro" in made[HTML]
    assert "Share by e-mail" in made[PAGE]
    text = on_paper_text(sample(language="fr-CA"), a_folder(place.parent))
    assert "1 sur 2 \u00e0 100 %" in text
    assert "p. 2" in text
    assert "About" in text.title()


def test_a_folders_catalogue_goes_first_and_the_programs_fills_in_the_rest(place: Path) -> None:
    (place / "translations" / "ja.po").write_text(HEAD + 'msgid "In this issue"\nmsgstr "目次"\n', "utf-8")
    made = render(sample(language="ja"), place)[TEXT]
    assert "目次" in made
    assert "ブラウザー" in made


def test_a_catalogue_that_has_changed_is_read_again(place: Path) -> None:
    for words in ("Au sommaire", "Au menu"):
        french(place, **{"In this issue": words})
        assert words in render(sample(language="fr"), place)[TEXT]


def test_a_catalogue_that_can_not_be_read_is_told_with_its_file(place: Path) -> None:
    (place / "translations" / "fr.po").write_bytes(b'msgid "In this issue\nmsgstr \xff\n')
    with pytest.raises(TemplateMistake, match=r"a translation can't be read: .*fr\.po"):
        render(sample(language="fr"), place)


def test_a_value_in_a_sentence_is_escaped_and_a_field_is_filled_in_later(place: Path) -> None:
    french(place, **{" on %(date)s": " depuis le %(date)s"})
    made = render(sample(language="fr", title="R&D <b>"), place)
    assert "subscribed to R&amp;D &lt;b&gt;" in made[HTML]
    assert "\x02if joined\x03 depuis le \x02joined\x03\x02end\x03." in made[HTML]


def test_every_sentence_of_a_catalogue_is_listed_whoever_has_it(place: Path) -> None:
    french(place, **{"In this issue": "Au sommaire"})
    known = translations.catalogues((place / "translations", TEMPLATES / "translations"))
    assert translations.sentences(known["fr"]) == {"In this issue": "Au sommaire"}
    assert translations.sentences(known["ja"])["About"]
    assert translations.sentences(known["en"]) == {}
