"""An issue as an entry of a feed: plain HTML without styles, since feed readers bring their own."""

from __future__ import annotations

from collections.abc import Mapping
from gettext import NullTranslations

from markupsafe import Markup, escape

from newsletter.render.edition import CorrectionView, Edition, PictureView, StoryView


def entry(edition: Edition, texts: Mapping[int, str], spoken: NullTranslations) -> str:
    """The HTML of an edition for nobody in particular, with each story's own by its position; all addresses whole."""
    lead = edition.lead
    _ = spoken.gettext
    parts = [_corrected(each, _("Corrected on %(date)s: %(words)s")) for each in edition.corrections]
    parts += [_figure(lead.picture)] if lead and lead.picture else []
    parts += [
        _story(story, texts[story.position], _("Source:"), pictured=story is not lead) for story in edition.stories
    ]
    for note in edition.notes:
        issue = Markup('<a href="{}">{}</a>').format(note.url, note.long_label)
        said = escape(_("Correction to %(issue)s: %(words)s")) % {"issue": issue, "words": note.words}
        parts.append(Markup("<p>{}</p>").format(said))
    if edition.publication.compiled_by:
        parts.append(Markup("<p><em>{}</em></p>").format(edition.publication.compiled_by))
    return "\n".join(parts) + "\n"


def _story(story: StoryView, text: str, source: str, *, pictured: bool) -> Markup:
    parts = [Markup('<h2><a href="{}">{}</a></h2>').format(story.url, story.headline)]
    if story.author:
        parts.append(Markup("<p>{}</p>").format(story.author))
    if pictured and story.picture:
        parts.append(_figure(story.picture))
    parts.append(Markup(text.strip()))  # noqa: S704 - the sanitised HTML of a story
    if story.source:
        parts.append(Markup('<p>{} <a href="{}">{}</a></p>').format(source, story.link, story.source))
    return Markup("\n").join(parts)


def _corrected(correction: CorrectionView, sentence: str) -> Markup:
    date = Markup('<time datetime="{}">{}</time>').format(correction.date.isoformat(), correction.long_date)
    return Markup("<p>{}</p>").format(escape(sentence) % {"date": date, "words": correction.words})


def _figure(picture: PictureView) -> Markup:
    credit = Markup("<figcaption>{}</figcaption>").format(picture.credit) if picture.credit else escape("")
    return Markup('<figure><img src="{}" width="{}" height="{}" alt="{}">{}</figure>').format(
        picture.url, picture.real_width, picture.real_height, picture.alt, credit
    )
