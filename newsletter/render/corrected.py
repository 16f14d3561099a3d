"""What an issue says since it was corrected: a story's headline and text, and the headlines in other texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from newsletter.models import Correction, Story


def corrected(story: Story, corrections: Iterable[Correction]) -> tuple[str, str]:
    """The headline and the text of a story, with the corrections made to it, given earliest first."""
    headline, body = story.headline, story.body
    for each in corrections:
        if each.position == story.position:
            headline = headline if each.headline is None else each.headline
            body = body if each.body is None else each.body
    return headline, body


def with_headlines(text: str, changed: Mapping[str, str], title: str) -> str:
    """A text such as the subject, with the headlines in it as they were corrected; `changed` has all of an issue's.

    The longest goes first, so that one that is part of another is left where it is part of it; likewise one that is
    part of the publication's title, or of a longer word.
    """
    if all(was == now for was, now in changed.items()):
        return text
    becomes = {**changed, title: title}
    longest = sorted(filter(None, becomes), key=len, reverse=True)
    return re.sub("|".join(map(_whole, longest)), lambda found: becomes[found[0]], text)


def _whole(words: str) -> str:
    """A pattern for words that are no part of a longer one, in scripts that have capitals, and so spaces."""
    first, last = (letter.upper() != letter.lower() or letter.isdigit() for letter in (words[0], words[-1]))
    return (r"(?<!\w)" if first else "") + re.escape(words) + (r"(?!\w)" if last else "")
