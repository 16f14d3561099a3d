"""Whether a design says what was corrected: one that keeps silent of it must not go unnoticed."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from newsletter.render.edition import Edition
from newsletter.states import RenditionKind

_TAGS = re.compile(r"<(style|head)\b.*?</\1>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_CORRECTIONS = 'Put {% include "shared/page-corrections.html" %} into its page.html.'
_NOTES = {
    RenditionKind.html: 'Put {% include "shared/mail-notes.mjml" %} into its issue.mjml, behind the stories.',
    RenditionKind.text: 'Put {% include "shared/text-notes.txt" %} into its issue.txt, behind the stories.',
    RenditionKind.page: 'Put {% include "shared/page-notes.html" %} into its page.html, behind the stories.',
}


def unsaid(edition: Edition, made: Mapping[RenditionKind, str]) -> tuple[RenditionKind, str] | None:
    """The first rendition in which a correction is missing, and the remedy; None where each says all it should.

    The page says what was corrected in this issue; mail, text and page what was in earlier ones. `edition` has its
    lines typeset. Words with merge fields in them aren't looked for: they are another text for each reader.
    """
    corrected = [each.words for each in edition.corrections]
    noted = [each.words for each in edition.notes]
    if not corrected and not noted:
        return None
    page = _letters(made[RenditionKind.page], marked=True)
    if any(_letters(words) not in page for words in corrected):
        return RenditionKind.page, _CORRECTIONS
    for kind, remedy in _NOTES.items():
        said = _letters(made[kind], marked=kind is not RenditionKind.text)
        if any(_letters(words) not in said for words in noted):
            return kind, remedy
    return None


def _letters(text: str, *, marked: bool = False) -> str:
    """The letters and digits of a text alone: lines are broken here and there."""
    text = html.unescape(_TAGS.sub("", text)) if marked else text
    return "".join(each for each in text if each.isalnum())
