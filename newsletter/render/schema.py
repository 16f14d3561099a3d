"""An issue as schema.org knows it: for search engines, in the head of its page."""

from __future__ import annotations

from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from newsletter.render.edition import Edition, StoryView


def script(edition: Edition) -> Markup:
    """The JSON-LD of an issue; no text in it can end the script that it stands in."""
    return htmlsafe_json_dumps(_issue(edition))


def _issue(edition: Edition) -> dict[str, Any]:
    publication = edition.publication
    publisher = {"@type": "Organization", "name": publication.publisher}
    periodical = _filled(
        {
            "@type": "Periodical",
            "name": publication.title,
            "issn": publication.issn,
            "url": edition.home,
            "publisher": publisher,
        }
    )
    return _filled(
        {
            "@context": "https://schema.org",
            "@type": "PublicationIssue",
            "name": f"{publication.title}, {edition.long_label}",
            "issueNumber": edition.numbers,
            "datePublished": edition.date.isoformat(),
            "dateModified": edition.corrections[-1].date.isoformat() if edition.corrections else "",
            "inLanguage": publication.language,
            "url": edition.url,
            "publisher": publisher,
            "isPartOf": {
                "@type": "PublicationVolume",
                "volumeNumber": str(edition.volume),
                "isPartOf": periodical,
            },
            "encoding": edition.pdf
            and {"@type": "MediaObject", "encodingFormat": "application/pdf", "contentUrl": edition.pdf.url},
            "hasPart": [_article(edition, story) for story in edition.stories],
        }
    )


def _article(edition: Edition, story: StoryView) -> dict[str, Any]:
    return _filled(
        {
            "@type": "NewsArticle",
            "headline": story.headline,
            "position": story.position,
            "url": story.url,
            "datePublished": edition.date.isoformat(),
            "articleSection": story.section,
            "author": story.author and {"@type": "Person", "name": story.author},
            "image": story.picture and story.picture.url,
        }
    )


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
