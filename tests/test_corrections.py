"""What was wrong in an issue is put right and said; what readers have had stays as they had it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from html import unescape
from pathlib import Path

import msgspec
import pikepdf
import pypdfium2
import pytest
from click.testing import CliRunner
from conftest import CONFIG, NOW
from edition_sample import ROOT, TEMPLATES, sample
from published import sending
from sqlalchemy import select
from sqlalchemy.orm import Session
from test_render_edition import issue_with

from newsletter import compose, corrections, dispatch, drafts, issues, pictures, verifying
from newsletter.cli import newsletter
from newsletter.compose import Reader
from newsletter.corrections import Wish, correct
from newsletter.drafts import Written
from newsletter.errors import DraftMistake, FontMistake, IssueMistake, Mistake, TemplateMistake
from newsletter.folder import Folder
from newsletter.models import Correction, Delivery, Issue, Rendition
from newsletter.render import Edition, aside, pdf, render, render_issue
from newsletter.render.corrected import with_headlines
from newsletter.render.edition import CorrectionView, NoteView
from newsletter.states import DeliveryState, IssueState, RenditionKind

HTML, TEXT, PAGE, PDF, ENTRY = (RenditionKind(word) for word in ("html", "text", "page", "pdf", "entry"))
LATER = dt.datetime(2023, 11, 21, 3, 30, tzinfo=dt.UTC)
"""A Monday evening in New York, and Tuesday already in London."""
WORDS = 'An earlier version gave "$8 million"; it is <$8 billion>.'
LEAD = ROOT / "sample" / "stories" / "lead.png"


def gone(session: Session, folder: Folder, *stories: dict[str, object]) -> Issue:
    """Vol 2 No 21, rendered, and sent."""
    if not folder.templates.exists():
        folder.templates.symlink_to(TEMPLATES)
    kept = pictures.store(session, folder.pictures, LEAD, NOW)
    shown = {"picture_sha256": kept.sha256, "picture_alt": "Hills", "picture_credit": "Drawn here"}
    told = stories or (
        {"headline": "Toyota spends $8 million", "body": "Toyota will spend $8 million, it said.", **shown},
        {"headline": "Blinken in Tokyo", "body": "Dear [[first_name|reader]], he came."},
    )
    issue = issue_with(session, *told)
    render_issue(session, folder, *folder.publication(), issue, NOW)
    issue.state, issue.started, issue.finished, issue.assembled = IssueState.sent, NOW, NOW, NOW
    session.flush()
    return issue


def kept(session: Session, issue: Issue) -> dict[tuple[RenditionKind, int], bytes]:
    rows = session.scalars(select(Rendition).where(Rendition.issue_id == issue.id))
    return {(row.kind, row.revision): row.content for row in rows}


def shown(html: bytes | str) -> str:
    """The words of a page, as they are read."""
    text = html if isinstance(html, str) else html.decode()
    text = re.sub(r"(?s)<style.*?</style>|<[^<>]*>", " ", text)
    return re.sub(r"\s+([.,:;])", r"\1", " ".join(unescape(text).split()))


def on_paper(content: bytes) -> str:
    """The words of a PDF."""
    document = pypdfium2.PdfDocument(content)
    text = "\n".join(page.get_textpage().get_text_bounded() for page in document)
    document.close()
    return " ".join(text.split())


# ---- what a correction does


def test_what_was_mailed_stays_and_page_pdf_and_entry_get_a_second_revision(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    before = kept(session, issue)
    wish = Wish(WORDS, 1, "Toyota spends $8 billion", "Toyota will spend $8 billion, it said.", by="Ann")
    made = correct(session, folder, issue, wish, LATER)
    after = kept(session, issue)
    assert {key: after[key] for key in before} == before
    assert set(after) - set(before) == {(PAGE, 2), (PDF, 2), (ENTRY, 2)}
    # The evening of the 20th, where the publication is.
    assert (made.revision, made.date, made.by) == (2, dt.date(2023, 11, 20), "Ann")
    for content in (after[PAGE, 2], after[ENTRY, 2]):
        said = shown(content)
        assert "Toyota spends $8 billion" in said
        assert "will spend $8 billion" in said
        assert "$8 million, it said" not in said
        assert "Corrected on November 20, 2023: An earlier version gave “$8 million”; it is <$8 billion>." in said
        assert '<time datetime="2023-11-20">' in content.decode()
    paper = on_paper(after[PDF, 2])
    assert "Revision 2, November 20, 2023" in paper
    assert "will spend $8 billion" in paper
    assert paper.count("Corrected on November 20, 2023: An earlier version gave “$8 million”") == 2
    page = after[PAGE, 2].decode()
    assert "Revision 2, November 20, 2023" in page
    # Once at the top, once at the story, and at no other.
    places = [found.start() for found in re.finditer("Corrected on <time", page)]
    assert len(places) == 2
    assert places[0] < page.index("<article") < places[1] < page.index("<article", page.index("<article") + 1)
    assert "Corrected" not in before[PAGE, 1].decode()


def test_what_a_page_and_a_pdf_say_of_themselves_has_the_headline_as_it_was_corrected(
    session: Session, folder: Folder
) -> None:
    issue = gone(session, folder)
    issue.preheader = "Toyota spends $8 million · Blinken in Tokyo"
    correct(session, folder, issue, Wish(WORDS, 1, "Toyota spends $8 billion"), LATER)
    made = kept(session, issue)
    description = 'content="Toyota spends $8 billion · Blinken in Tokyo"'
    assert made[PAGE, 2].decode().replace("\u00a0", " ").count(description) == 2
    with pikepdf.open(io.BytesIO(made[PDF, 2])) as paper:
        assert str(paper.docinfo["/Subject"]).replace("\u00a0", " ") == "Toyota spends $8 billion · Blinken in Tokyo"


@pytest.mark.parametrize(
    ("text", "changed", "said"),
    [
        ("2.21: Tokyo · Tokyo Bay", {"Tokyo": "Osaka", "Tokyo Bay": "Tokyo Bay"}, "2.21: Osaka · Tokyo Bay"),
        ("2.21: Tokyo Bay · Tokyo", {"Tokyo": "Osaka", "Tokyo Bay": "Kobe"}, "2.21: Kobe · Osaka"),
        ("One · Two", {"One": "Two", "Two": "One"}, "Two · One"),
        ("A $8 (net) sum", {"A $8 (net) sum": "A $9 sum"}, "A $9 sum"),
        ("Tokyo", {"Tokyo": "Tokyo"}, "Tokyo"),
        ("Alliance Digest 2.21: Digest", {"Digest": "Digests"}, "Alliance Digest 2.21: Digests"),
        ("Ports · Port", {"Port": "Harbour"}, "Ports · Harbour"),
        ("2.1: 2.15", {"2.1": "x"}, "x: 2.15"),
        ("第2号：円安続く、ほか", {"円安続く": "円高続く"}, "第2号：円高続く、ほか"),
        ("円安続くほか", {"円安続く": "円高続く"}, "円高続くほか"),
    ],
)
def test_each_headline_in_a_text_becomes_what_it_was_corrected_to(
    text: str, changed: dict[str, str], said: str
) -> None:
    assert with_headlines(text, changed, "Alliance Digest") == said


def test_the_sums_that_are_kept_are_those_of_the_bytes(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    correct(session, folder, issue, Wish(WORDS), LATER)
    for row in session.scalars(select(Rendition)):
        assert hashlib.sha256(row.content).hexdigest() == row.sha256
        assert row.made == (NOW if row.revision == 1 else LATER)


def test_a_story_is_still_found_where_the_mail_says_it_is(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    correct(session, folder, issue, Wish(WORDS, 1, "Quite another headline"), LATER)
    page = kept(session, issue)[PAGE, 2].decode()
    assert '<article class="story" id="toyota-spends-8-million">' in page
    assert 'href="#toyota-spends-8-million">Quite another headline</a>' in page


def test_corrections_add_up_and_the_last_word_on_a_story_counts(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    correct(session, folder, issue, Wish("First.", 1, body="One."), LATER)
    correct(session, folder, issue, Wish("Second.", 2, "He came"), LATER + dt.timedelta(days=1))
    third = correct(session, folder, issue, Wish("Third.", 1, body="Three."), LATER + dt.timedelta(days=2))
    assert third.revision == 4
    content = kept(session, issue)
    page = shown(content[PAGE, 4])
    assert "Three." in page
    assert "One." not in page
    assert [page.count(words) for words in ("First.", "Second.", "Third.")] == [2, 2, 2]
    assert "Revision 4, November 22, 2023" in page
    assert "Third" not in shown(content[PAGE, 3])
    assert [each.words for each in corrections.listing(session, issue)] == ["First.", "Second.", "Third."]


def test_a_correction_may_change_no_text_and_be_about_the_issue_as_a_whole(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    correct(session, folder, issue, Wish("The masthead named another month."), LATER)
    content = kept(session, issue)
    assert shown(content[PAGE, 2]).count("The masthead named another month.") == 1
    assert "The masthead named another month." in on_paper(content[PDF, 2])
    assert "$8 million, it said" in shown(content[PAGE, 2])


def test_where_there_was_no_pdf_a_correction_makes_none(session: Session, folder: Folder) -> None:
    folder.templates.symlink_to(TEMPLATES)
    issue = issue_with(session, {})
    render_issue(session, folder, *folder.publication(), issue, NOW, on_paper=False)
    issue.state = IssueState.sent
    correct(session, folder, issue, Wish("Wrong."), LATER)
    assert set(kept(session, issue)) == {(HTML, 1), (TEXT, 1), (PAGE, 1), (ENTRY, 1), (PAGE, 2), (ENTRY, 2)}


def test_a_sent_copy_seen_again_in_the_browser_is_still_what_was_mailed(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    reader = Reader(1, "noor@example.org", "", {}, None)
    before = compose.for_issue(session, folder, issue, NOW).html(reader)
    correct(session, folder, issue, Wish(WORDS, 1, body="Another text."), LATER)
    assert compose.for_issue(session, folder, issue, NOW).html(reader) == before


def test_an_issue_that_is_being_sent_can_be_corrected_and_goes_on_as_it_was(
    session: Session, folder: Folder, subscribe: Callable[..., object]
) -> None:
    folder.templates.symlink_to(TEMPLATES)
    subscribe(session, "noor@example.org")
    issue = sending(session, folder)
    correct(session, folder, issue, Wish("One figure was wrong.", 2), LATER)
    assert issue.state is IssueState.sending
    assert (HTML, 2) not in kept(session, issue)


# ---- what can't be corrected


@pytest.mark.parametrize("state", [IssueState.assembled, IssueState.approved, IssueState.held, IssueState.cancelled])
def test_what_nobody_has_had_is_reopened_not_corrected(session: Session, folder: Folder, state: IssueState) -> None:
    issue = gone(session, folder)
    issue.state, issue.held_in = state, IssueState.assembled if state is IssueState.held else None
    with pytest.raises(IssueMistake, match="can't be corrected") as caught:
        correct(session, folder, issue, Wish(WORDS), LATER)
    if state is not IssueState.cancelled:
        assert "newsletter issue reopen" in str(caught.value)


def test_a_cancelled_issue_that_some_readers_have_can_be_corrected(
    session: Session, folder: Folder, subscribe: Callable[..., object]
) -> None:
    folder.templates.symlink_to(TEMPLATES)
    subscribe(session, "noor@example.org")
    issue = sending(session, folder)
    session.scalars(select(Delivery)).one().state = DeliveryState.sent
    session.flush()
    issues.cancel(session, issue, "a source took it back", NOW)
    assert correct(session, folder, issue, Wish("It was cancelled."), LATER).revision == 2


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish("  "), "what was wrong and what is right"),
        (Wish("\u200b \u2060"), "what was wrong and what is right"),
        (Wish("x" * 1001), "1,001 characters"),
        (Wish("a\nb"), "line break"),
        (Wish("a\u2028b"), "line break"),
        (Wish("Dear [[name]]"), "merge field"),
        (Wish("x", 3), "has no story 3. It has stories 1 to 2"),
        (Wish("x", None, "A headline"), "belong to a story"),
        (Wish("x", 1, " "), "headline is missing"),
        (Wish("x", 1, None, " \n"), "no text"),
        (Wish("x", 1, "a\x07b"), "control character"),
        (Wish("x", 1, "Toyota spends $8 million"), "says that already"),
    ],
)
def test_a_correction_that_can_not_be_is_refused_in_a_sentence(
    session: Session, folder: Folder, wish: Wish, said: str
) -> None:
    issue = gone(session, folder)
    with pytest.raises(Mistake) as caught:
        correct(session, folder, issue, wish, LATER)
    assert said in str(caught.value)
    assert not session.scalars(select(Correction)).all()


def test_what_can_not_be_rendered_changes_nothing(folder: Folder) -> None:
    with folder.session() as session:
        number = gone(session, folder).id
        before = kept(session, session.get_one(Issue, number))

    def step(session: Session) -> Correction:
        return correct(session, folder, session.get_one(Issue, number), Wish("x", 2, body="No font has \u0378."), LATER)

    with pytest.raises(FontMistake, match=r"U\+0378.*story 2"):
        aside(folder, step)
    with folder.session() as session:
        assert kept(session, session.get_one(Issue, number)) == before
        assert not session.scalars(select(Correction)).all()


def test_two_who_correct_at_once_make_two_revisions(folder: Folder) -> None:
    with folder.session() as session:
        number = gone(session, folder).id

    def other() -> int:
        def step(session: Session) -> int:
            return correct(session, folder, session.get_one(Issue, number), Wish("The second."), LATER).revision

        return aside(folder, step)

    with ThreadPoolExecutor(1) as pool:
        with folder.session() as session:
            first = correct(session, folder, session.get_one(Issue, number), Wish("The first."), LATER).revision
            answer = pool.submit(other)
            until_it_waits(session, answer)
        assert (first, answer.result()) == (2, 3)
    with folder.session() as session:
        last = shown(kept(session, session.get_one(Issue, number))[PAGE, 3])
        assert "The first." in last
        assert "The second." in last


def until_it_waits(session: Session, other: Future[int]) -> None:
    """Until the other process has run into a lock of this one; SQLite lets it not even begin."""
    while session.get_bind().dialect.name == "postgresql" and not other.done():
        if session.connection().exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar():
            return


# ---- designs that keep silent


def corrected_sample() -> Edition:
    edition = sample()
    one = CorrectionView(2, dt.date(2023, 11, 20), "November 20, 2023", WORDS, 1, "x", "x")
    note = NoteView("2.20", "Vol 2 No 20", "It was [another] day.", "https://digest.example.org/digest/2/20#x")
    first, *others = edition.stories
    return dataclasses.replace(
        edition,
        revision=2,
        corrections=(one,),
        notes=(note,),
        stories=(dataclasses.replace(first, corrections=(one,)), *others),
    )


@pytest.mark.parametrize(
    ("file", "line", "remedy"),
    [
        ("page.html", '{% include "shared/page-corrections.html" %}', "shared/page-corrections.html"),
        ("page.html", '{% include "shared/page-notes.html" %}', "shared/page-notes.html"),
        ("issue.mjml", '{% include "shared/mail-notes.mjml" %}', "shared/mail-notes.mjml"),
        ("issue.txt", '{% include "shared/text-notes.txt" %}', "shared/text-notes.txt"),
    ],
)
def test_a_design_that_keeps_a_correction_to_itself_is_a_mistake(
    tmp_path: Path, file: str, line: str, remedy: str
) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    edition = corrected_sample()
    render(edition, tmp_path / "templates")
    path = tmp_path / "templates" / "digest" / file
    whole = path.read_text()
    assert line in whole
    said = whole.replace(line, "").replace('{% include "shared/page-story-corrections.html" %}', "")
    path.write_text(said)
    with pytest.raises(TemplateMistake, match=re.escape(remedy)):
        render(edition, tmp_path / "templates")


OWN = """#import "/newsletter.typ": *
#heading(publication.title)
#for story in edition.stories [
  == #story.headline
  #body(story)
]
"""
SAID = {
    "corrections": "#for it in edition.corrections [ #corrected(it) ]\n",
    "notes": "#for it in edition.notes [ #noted(it) ]\n",
}


@pytest.mark.parametrize("missing", SAID)
def test_a_pdf_that_keeps_a_correction_to_itself_is_a_mistake(lite_folder: Folder, missing: str) -> None:
    shutil.copytree(TEMPLATES, lite_folder.templates)
    edition = corrected_sample()
    path = lite_folder.templates / "digest" / "issue.typ"
    path.write_text(OWN + "".join(SAID.values()))
    pdf.make(edition, lite_folder)
    path.write_text(OWN + "".join(line for what, line in SAID.items() if what != missing))
    with pytest.raises(TemplateMistake, match="this design doesn't show"):
        pdf.make(edition, lite_folder)


@pytest.mark.parametrize("design", sorted(path.parent.name for path in TEMPLATES.glob("*/issue.mjml")))
def test_every_design_says_what_was_corrected_here_and_in_earlier_issues(lite_folder: Folder, design: str) -> None:
    lite_folder.templates.symlink_to(TEMPLATES)
    edition = corrected_sample()
    edition = dataclasses.replace(edition, publication=msgspec.structs.replace(edition.publication, design=design))
    made = render(edition, TEMPLATES)
    paper = on_paper(pdf.make(edition, lite_folder))
    here = "Corrected on November 20, 2023: An earlier version gave “$8 million”; it is <$8 billion>."
    there = "Correction to Vol 2 No 20: It was [another] day."
    assert shown(made[PAGE]).count(here) == paper.count(here) == 2
    assert shown(made[ENTRY]).count(here) == 1
    assert "Revision 2, November 20, 2023" in shown(made[PAGE])
    assert "Revision 2, November 20, 2023" in paper
    for text in (shown(made[HTML]), " ".join(made[TEXT].split()), shown(made[PAGE]), shown(made[ENTRY]), paper):
        assert text.count(there) == 1
    # Nothing of it where nothing was corrected.
    plain = render(dataclasses.replace(sample(), publication=edition.publication), TEMPLATES)
    assert "Corrected on" not in shown(plain[PAGE])


# ---- the next issue's note


def assembled_next(session: Session, folder: Folder, *, private: bool = False) -> Issue:
    slug, publication = folder.publication()
    for each in ("One more", "And another"):
        drafts.add(session, slug, Written(each, "Some text.", "Economy"), LATER, sections=publication.sections)
    issue = issues.open_next(session, slug, publication, LATER)
    if private:
        issues.make_private(session, issue, private=True)
    issues.assemble(session, slug, publication, issue, LATER)
    return issue


def test_the_next_issue_tells_of_an_announced_correction_in_all_its_renditions(
    session: Session, folder: Folder
) -> None:
    earlier = gone(session, folder)
    correct(session, folder, earlier, Wish(WORDS, 1, announce=True), LATER)
    correct(session, folder, earlier, Wish("Not announced.", 1), LATER)
    issue = assembled_next(session, folder)
    made = render_issue(session, folder, *folder.publication(), issue, LATER)
    url = "https://digest.example.org/digest/2/21#toyota-spends-8-million"
    sentence = "Correction to Vol 2 No 21: An earlier version gave “$8 million”; it is <$8 billion>."
    for kind in (HTML, PAGE, ENTRY):
        assert sentence in shown(made[kind].content)
        assert f'href="{url}"' in made[kind].content.decode()
    assert sentence in " ".join(made[TEXT].content.decode().split())
    assert f"\n{url}\n" in made[TEXT].content.decode()
    assert sentence in on_paper(made[PDF].content)
    assert url.encode() in made[PDF].content or "Vol 2 No 21" in on_paper(made[PDF].content)
    assert "Not announced" not in shown(made[PAGE].content)
    assert [row.told_in for row in corrections.listing(session, earlier)] == [issue.id, None]
    assert not [row for row in session.scalars(select(Correction)) if row.issue_id == issue.id]


def test_only_one_issue_tells_of_it(session: Session, folder: Folder) -> None:
    correct(session, folder, gone(session, folder), Wish("Once.", announce=True), LATER)
    issue = assembled_next(session, folder)
    issue.state = IssueState.sent
    following = assembled_next(session, folder)
    assert following.id != issue.id
    assert len(issue.notes) == 1
    assert following.notes == []


@pytest.mark.parametrize("way", ["reopen", "cancel"])
def test_the_issue_after_tells_of_it_where_the_next_one_never_went(session: Session, folder: Folder, way: str) -> None:
    earlier = gone(session, folder)
    correct(session, folder, earlier, Wish("Once.", announce=True), LATER)
    issue = assembled_next(session, folder)
    assert issue.notes
    if way == "reopen":
        issues.reopen(session, issue, LATER)
    else:
        issues.cancel(session, issue, "not now", LATER)
    session.expire_all()
    assert [row.told_in for row in corrections.listing(session, earlier)] == [None]
    assert issue.notes == []
    assert [row.words for row in assembled_next(session, folder).notes] == ["Once."]


def test_another_publications_readers_are_not_told(make_folder: Callable[..., Folder]) -> None:
    other = CONFIG[CONFIG.index("[publications.digest]") :].replace("publications.digest", "publications.other")
    folder = make_folder(("[publications.digest]", other + "\n[publications.digest]"))
    with folder.session() as session:
        folder.templates.symlink_to(TEMPLATES)
        issue = issue_with(session, {})
        render_issue(session, folder, *folder.publication("digest"), issue, NOW)
        issue.state = IssueState.sent
        correct(session, folder, issue, Wish("Once.", announce=True), LATER)
        slug, publication = folder.publication("other")
        for each in ("One", "Two"):
            drafts.add(session, slug, Written(each, "Text.", "Economy"), LATER, sections=publication.sections)
        following = issues.open_next(session, slug, publication, LATER)
        issues.assemble(session, slug, publication, following, LATER)
        assert following.state is IssueState.assembled
        assert following.notes == []


def test_a_private_issue_is_not_given_away_by_a_note(session: Session, folder: Folder) -> None:
    earlier = gone(session, folder)
    earlier.private = True
    with pytest.raises(IssueMistake, match="is private"):
        correct(session, folder, earlier, Wish("Once.", announce=True), LATER)
    session.add(Correction(issue_id=earlier.id, revision=2, made=NOW, date=NOW.date(), words="Once.", announced=True))
    session.flush()
    public = assembled_next(session, folder)
    assert public.notes == []
    public.state = IssueState.sent
    assert len(assembled_next(session, folder, private=True).notes) == 1


# ---- the record


def test_the_page_of_the_first_revision_rendered_again_is_the_same_to_the_byte(
    session: Session, folder: Folder
) -> None:
    issue = gone(session, folder)
    correct(session, folder, issue, Wish(WORDS, 1, "Another", "Another text.", announce=True), LATER)
    checked, trouble = verifying.verify(session, folder, issue, LATER)
    assert not trouble
    assert len(checked) == 8
    assert all(each.whole and each.same for each in checked)


def test_what_is_damaged_and_what_is_only_made_otherwise_today_are_told_apart(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    session.get_one(Rendition, (issue.id, TEXT, 1)).content = b"another text"
    issue.stories[0].headline = "As if the design were another"
    session.flush()
    checked, _ = verifying.verify(session, folder, issue, LATER)
    found = {each.kind: (each.whole, each.same) for each in checked}
    assert found[TEXT] == (False, False)
    assert found[PAGE] == (True, False)


def test_renditions_that_can_not_be_made_today_are_still_whole(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    folder.templates.unlink()
    checked, trouble = verifying.verify(session, folder, issue, LATER)
    assert "there is no design" in trouble
    assert all(each.whole and each.same is None for each in checked)


# ---- the file of a corrected story


FRONT = "---\nheadline: Toyota spends $8 billion\nsection: Economy\n---\n\nToyota will spend $8 billion.\n"


def test_a_corrected_file_is_front_matter_and_text_or_text_alone(session: Session, folder: Folder) -> None:
    story = issue_with(session, {"section": "Economy"}).stories[0]
    assert corrections.from_file(FRONT.encode(), story, "digest") == (
        "Toyota spends $8 billion",
        "Toyota will spend $8 billion.",
    )
    assert corrections.from_file("\ufeffOnly text.\r\n\r\nMore.\r\n".encode(), story, "digest") == (
        None,
        "Only text.\n\nMore.",
    )


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (FRONT.replace("Economy", "Defense").encode(), 'the section is "Economy" in the issue'),
        (FRONT.replace("section", "author").encode(), "the story has no author in the issue"),
        (FRONT.replace("headline:", "headine:").encode(), "line 2"),
        (b"One.\n\xff", "line 2: this is not UTF-8"),
        (b"One.\nTwo \x07.", "line 2: the text holds a control character"),
        (b"  \n", "no text"),
    ],
)
def test_a_corrected_file_that_says_more_or_can_not_be_read_is_refused_with_its_line(
    session: Session, folder: Folder, raw: bytes, said: str
) -> None:
    story = issue_with(session, {"section": "Economy"}).stories[0]
    with pytest.raises(DraftMistake) as caught:
        corrections.from_file(raw, story, "digest", where=Path("story.md"))
    assert said in str(caught.value)
    assert str(caught.value).startswith("story.md")


# ---- the commands


@pytest.fixture
def run(lite_folder: Folder) -> Callable[..., str]:
    def go(*words: str, code: int = 0) -> str:
        found = CliRunner().invoke(newsletter, ["-C", str(lite_folder.path), "issue", *words])
        if code == 0 and found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert found.exit_code == code, found.output
        return found.output

    return go


def test_an_issue_is_corrected_and_listed_from_the_terminal(
    lite_folder: Folder, run: Callable[..., str], tmp_path: Path
) -> None:
    with lite_folder.session() as session:
        gone(session, lite_folder)
    assert "Nothing was corrected" in run("corrections", "2.21")
    (tmp_path / "new.md").write_text("Toyota will spend $8 billion.\n")
    said = run(
        "correct", "2.21", "--story", "1", "--words", WORDS, "--file", str(tmp_path / "new.md"), "--announce",
        "--by", "Ann", "--at", "2023-11-20T22:30-05:00",
    )  # fmt: skip
    assert "revision 2" in said
    assert "What was mailed stays as it was mailed." in said
    assert "next issue" in said
    (row,) = json.loads(run("corrections", "2.21", "--json"))
    assert (row["revision"], row["date"], row["story"], row["words"], row["by"], row["told_in"]) == (
        2, "2023-11-20", 1, WORDS, "Ann", None,
    )  # fmt: skip
    assert row["body"] == "Toyota will spend $8 billion."
    assert "the next issue" in run("corrections", "2.21")
    assert "revision 2" in run("show", "2.21")
    assert "the same" in run("verify", "2.21")
    assert json.loads(run("verify", "2.21", "--json"))["trouble"] == ""


def test_the_terminal_says_what_a_correction_lacks(run: Callable[..., str], lite_folder: Folder) -> None:
    with lite_folder.session() as session:
        gone(session, lite_folder)
    assert "Say with --story" in run("correct", "2.21", "--words", "x", "--headline", "y", code=2)


def test_a_damaged_rendition_is_an_exit_code(lite_folder: Folder, run: Callable[..., str]) -> None:
    with lite_folder.session() as session:
        issue = gone(session, lite_folder)
        session.get_one(Rendition, (issue.id, PAGE, 1)).content = b"another page"
    assert "DAMAGED" in run("verify", "2.21", code=2)


def test_readers_are_told_in_the_publications_language(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(('title = "US-Japan Alliance Digest"', 'title = "US-Japan Alliance Digest"\nlanguage = "ja"'))
    with folder.session() as session:
        folder.templates.symlink_to(TEMPLATES)
        issue = issue_with(session, {})
        made = render_issue(session, folder, *folder.publication(), issue, NOW, on_paper=False)
        assert "訂正" not in made[PAGE].content.decode()
        issue.state = IssueState.sent
        correct(session, folder, issue, Wish("数字が違っていました。", 1), LATER)
        page = kept(session, issue)[PAGE, 2].decode()
        assert '<time datetime="2023-11-20">2023年11月20日</time>訂正：数字が違っていました。' in page
        assert "第2版、2023年11月20日" in page


def test_dispatch_of_a_corrected_issue_makes_nothing_anew(session: Session, folder: Folder) -> None:
    issue = gone(session, folder)
    correct(session, folder, issue, Wish(WORDS), LATER)
    before = kept(session, issue)
    assert dispatch.render(session, folder, issue, LATER)
    assert kept(session, issue) == before
