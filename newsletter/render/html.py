"""The HTML part of the mail."""

from __future__ import annotations

from newsletter.render import markdown
from newsletter.render.inline import inline
from newsletter.render.mjml import compile_mjml
from newsletter.render.templates import Design, Parsed

TEMPLATE, STYLES = "issue.mjml", "inline.css"


def render(design: Design) -> str:
    """A design's issue.mjml as finished HTML, its merge fields framed."""
    where = design.path / TEMPLATE
    html = compile_mjml(design.render(TEMPLATE, stories=design.views()), where)
    language = design.edition.publication.language

    def story(parsed: Parsed) -> str:
        return markdown.to_html(parsed.tokens, parsed.env, language)

    html = inline(design.with_stories(html, story), design.render(STYLES), design.path / STYLES)
    return design.marks.frame_html(html, where)
