"""An archive of as many issues as are wanted, made up, and rendered as real ones are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.orm import Session

from newsletter import pictures
from newsletter.folder import Folder
from newsletter.models import Draft, Issue, Picture, Story
from newsletter.render import render_issue
from newsletter.states import DraftState, IssueState

FIRST = dt.date(2004, 1, 6)
PLACES = [
    "Washington",
    "Tokyo",
    "Kyoto",
    "Osaka",
    "Geneva",
    "Nairobi",
    "Lima",
    "Oslo",
    "Quito",
    "Hanoi",
    "Accra",
    "Delhi",
    "Cairo",
    "Seoul",
    "Sapporo",
    "Yokohama",
]
MATTERS = [
    "ports",
    "batteries",
    "tariffs",
    "exercises",
    "cables",
    "visas",
    "reactors",
    "satellites",
    "fisheries",
    "railways",
    "standards",
    "sanctions",
]
DEEDS = [
    "agree on",
    "argue about",
    "count",
    "fund",
    "rewrite",
    "inspect",
    "open",
    "postpone",
    "publish a paper on",
    "vote on",
]
SENTENCES = (
    "Officials from {place} and {other} met for two days and came away with a list of {matter}.",
    "The [agreement](https://example.org/{number}) runs for five years; ${number} million is set aside for {matter}.",
    "Three of the five working groups reported on {matter}, and two asked for more time.",
    "In {other} the ministry said that nothing was decided, while {place} spoke of progress in words it had used before.",
    "What is new is the money: half of it goes to {matter}, a quarter to training, and the rest to the summer's review.",
    "A reading of the annex shows how much was left open about {matter}.",
)


def story(number: int, position: int) -> tuple[str, str]:
    """A headline and a text, always the same for the same numbers."""
    seed = number * 7 + position * 3
    place, other = PLACES[seed % 16], PLACES[(seed * 5 + 3) % 16]
    matter, deed = MATTERS[seed % 12], DEEDS[seed % 10]
    text = " ".join(
        SENTENCES[(seed + at) % 6].format(place=place, other=other, matter=matter, number=seed) for at in range(6)
    )
    return f"{place} and {other} {deed} {matter}", text


def filled(
    session: Session,
    folder: Folder,
    count: int,
    *,
    slug: str = "digest",
    stories: int = 5,
    on_paper: bool = False,
    picture: Path | None = None,
) -> Iterator[Issue]:
    """Issues that were sent, every two weeks from FIRST on, 24 to a volume, one after another."""
    publication = folder.config.publications[slug]
    kept: Picture | None = None
    for at in range(count):
        date = FIRST + dt.timedelta(days=14 * at)
        sent = dt.datetime.combine(date, dt.time(14), dt.UTC)
        if picture is not None and kept is None:
            kept = pictures.store(session, folder.pictures, picture, sent)
        issue = Issue(
            publication=slug,
            slot=date,
            state=IssueState.sent,
            since=sent,
            deadline=sent,
            approve_by=sent,
            sends=sent,
            assembled=sent,
            started=sent,
            finished=sent,
            volume=at // 24 + 1,
            number=at % 24 + 1,
            date=date,
        )
        session.add(issue)
        for position in range(1, stories + 1):
            headline, text = story(at, position)
            draft = Draft(
                publication=slug,
                state=DraftState.published,
                headline=headline,
                body=text,
                created=sent,
                changed=sent,
            )
            session.add(draft)
            session.flush()
            told = Story(draft_id=draft.id, position=position, headline=headline, body=text, section="Economy")
            if position == 1 and kept is not None:
                told.picture, told.picture_alt = kept, "A bridge between two shores, a red sun behind it."
            issue.stories.append(told)
        issue.subject = f"{publication.title} {issue.volume}.{issue.number}: {issue.stories[0].headline}"
        issue.preheader = " · ".join(each.headline for each in issue.stories[1:3])
        session.flush()
        render_issue(session, folder, slug, publication, issue, sent, on_paper=on_paper)
        yield issue
