"""An issue as its templates see it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable

import msgspec
import pytest
from conftest import NOW
from edition_sample import sample
from sqlalchemy.orm import Session

from newsletter import fields
from newsletter.errors import IssueMistake
from newsletter.folder import Folder
from newsletter.models import Draft, Issue, Picture, Story
from newsletter.render.edition import anchors, edition, seen
from newsletter.states import IssueState


def issue_with(session: Session, *stories: dict[str, object]) -> Issue:
    """An assembled issue of these stories."""
    made = Issue(
        publication="digest",
        slot=dt.date(2023, 11, 14),
        state=IssueState.assembled,
        since=NOW,
        deadline=NOW,
        approve_by=NOW,
        sends=NOW,
        volume=2,
        number=21,
        date=dt.date(2023, 11, 14),
        subject="A subject",
        preheader="And more",
    )
    session.add(made)
    session.flush()
    for position, texts in enumerate(stories, 1):
        draft = Draft(publication="digest", headline="x", body="x", created=NOW, changed=NOW)
        session.add(draft)
        session.flush()
        session.add(
            Story(
                issue_id=made.id,
                draft_id=draft.id,
                position=position,
                **{"headline": "A headline", "body": "A text.", **texts},
            )
        )
    session.flush()
    session.expire(made)
    return made


def picture(session: Session, letter: str, width: int, height: int) -> Picture:
    made = Picture(sha256=letter * 64, extension="png", width=width, height=height, size=1, added=NOW)
    session.add(made)
    session.flush()
    return made


def test_an_edition_has_what_the_issue_has(session: Session, folder: Folder) -> None:
    issue = issue_with(session, {"section": "Economy", "link": "https://bücher.example/x", "author": "By A. B."})
    slug, publication = folder.publication()
    made = edition(folder, slug, publication, issue)
    assert (made.label, made.long_label, made.numbers, made.long_date) == (
        "2.21",
        "Vol 2 No 21",
        "21",
        "November 14, 2023",
    )
    assert made.url == "https://digest.example.org/digest/2/21"
    assert made.stories[0].url == "https://digest.example.org/digest/2/21#a-headline"
    assert made.stories[0].link == "https://xn--bcher-kva.example/x"
    assert made.fields == fields.known(folder.config.attributes)
    assert made.lead is None


@pytest.mark.parametrize(
    ("real", "leading", "within"),
    [
        ((1280, 1024), (640, 512), (560, 448)),
        ((1280, 1280), (560, 560), (560, 560)),
        ((600, 300), (560, 280), (560, 280)),
        ((700, 2400), (245, 840), (245, 840)),
        ((2, 1280), (1, 640), (1, 640)),
    ],
)
def test_no_picture_is_wider_than_its_cell_or_much_higher_than_that(
    session: Session, folder: Folder, real: tuple[int, int], leading: tuple[int, int], within: tuple[int, int]
) -> None:
    kept = picture(session, "a", *real)
    issue = issue_with(session, {"picture_sha256": kept.sha256}, {"picture_sha256": kept.sha256})
    made = edition(folder, *folder.publication(), issue)
    assert [story.picture and (story.picture.width, story.picture.height) for story in made.stories] == [
        leading,
        within,
    ]


def test_the_first_picture_leads_at_full_width_and_the_others_stand_in_the_column(
    session: Session, folder: Folder
) -> None:
    wide, tall, small = (
        picture(session, "a", 1280, 641),
        picture(session, "b", 1120, 1600),
        picture(session, "c", 300, 200),
    )
    issue = issue_with(
        session,
        {},
        {"picture_sha256": wide.sha256, "picture_alt": "Wide"},
        {"picture_sha256": tall.sha256},
        {"picture_sha256": small.sha256},
    )
    made = edition(folder, *folder.publication(), issue)
    shown = [story.picture and (story.picture.width, story.picture.height) for story in made.stories]
    assert shown == [None, (640, 320), (560, 800), (300, 200)]
    assert made.lead is made.stories[1]
    assert made.lead.picture
    assert made.lead.picture.url == f"https://digest.example.org/pictures/{'a' * 64}.png"


def test_an_issue_without_a_number_is_not_rendered_yet(session: Session, folder: Folder) -> None:
    issue = issue_with(session)
    issue.number = None
    with pytest.raises(IssueMistake, match="Assemble it first"):
        edition(folder, *folder.publication(), issue)


def test_a_base_url_in_other_letters_is_in_ascii_on_the_wire(make_folder: Callable[..., Folder]) -> None:
    folder = make_folder(("https://digest.example.org", "https://日報.example"))
    with folder.session() as session:
        made = edition(folder, *folder.publication(), issue_with(session, {}))
    assert made.url == "https://xn--olst23a.example/digest/2/21"


def test_anchors_are_plain_unique_and_never_empty() -> None:
    headlines = [
        "Toyota’s $8 billion",
        "トヨタ、80億ドルを投資",
        "Toyota's $8 billion",
        "Für Ærø: déjà vu [[name|you]]",
        "",
        "Contents",
        "x" * 90,
    ]
    assert anchors(list(enumerate(headlines, 1))) == [
        "toyotas-8-billion",
        "story-2",
        "story-3",
        "fur-r-deja-vu",
        "story-5",
        "story-6",
        "story-7",
    ]


def test_the_publisher_is_not_named_twice() -> None:
    assert sample().imprint == "Sasakawa USA, 100 Example Street NW, Suite 300, Washington, DC 20036"
    assert sample(postal_address="1 Street, Town").imprint == "Sasakawa USA, 1 Street, Town"


def test_a_combined_issue_says_both_numbers() -> None:
    both = dataclasses.replace(sample(), through=22)
    assert (both.label, both.numbers, both.url) == ("2.21–22", "21–22", "https://digest.example.org/digest/2/21")


def test_sides_follow_the_direction() -> None:
    assert (sample().start, sample().end) == ("left", "right")
    assert (sample(direction="rtl").start, sample(direction="rtl").end) == ("right", "left")


def test_the_share_link_holds_the_title_and_the_page() -> None:
    assert sample(title="A & B?").share_url == (
        "mailto:?subject=A%20%26%20B%3F%2C%20Vol%202%20No%2021&body=https%3A%2F%2Fdigest.example.org%2Fdigest%2F2%2F21"
    )


def test_characters_that_nobody_sees_are_gone() -> None:
    assert seen("a\x00\x02\x1f\x85\ud800\ufffeb\r\nc\td") == "ab\nc\td"


def test_an_edition_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample().volume = 3  # type: ignore[misc]
    with pytest.raises(AttributeError):
        sample().publication.title = "x"  # type: ignore[misc]
    assert msgspec.structs.replace(sample().publication, title="x").title == "x"
