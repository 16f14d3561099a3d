"""An issue as an entry of a feed: plain HTML without styles, since feed readers bring their own."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup, escape

from newsletter.render.edition import Edition, PictureView, StoryView


def entry(edition: Edition, texts: Mapping[int, str]) -> str:
    """The HTML of an edition for nobody in particular, with each story's own by its position; all addresses whole."""
    lead = edition.lead
    parts = [_figure(lead.picture)] if lead and lead.picture else []
    parts += [_story(story, texts[story.position], pictured=story is not lead) for story in edition.stories]
    if edition.publication.compiled_by:
        parts.append(Markup("<p><em>{}</em></p>").format(edition.publication.compiled_by))
    return "\n".join(parts) + "\n"


def _story(story: StoryView, text: str, *, pictured: bool) -> Markup:
    parts = [Markup('<h2><a href="{}">{}</a></h2>').format(story.url, story.headline)]
    if story.author:
        parts.append(Markup("<p>{}</p>").format(story.author))
    if pictured and story.picture:
        parts.append(_figure(story.picture))
    parts.append(Markup(text.strip()))  # noqa: S704 - the sanitised HTML of a story
    if story.source:
        parts.append(Markup('<p>Source: <a href="{}">{}</a></p>').format(story.link, story.source))
    return Markup("\n").join(parts)


def _figure(picture: PictureView) -> Markup:
    credit = Markup("<figcaption>{}</figcaption>").format(picture.credit) if picture.credit else escape("")
    return Markup('<figure><img src="{}" width="{}" height="{}" alt="{}">{}</figure>').format(
        picture.url, picture.real_width, picture.real_height, picture.alt, credit
    )
