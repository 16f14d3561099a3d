"""MJML to HTML, by way of a check: mjml-python lets most mistakes through and says of no other where it is.

What is worked round here was measured with mjml-python 1.4.2 (mrml 6.0.1), which is pinned; tests/test_render_mjml.py
holds each of its faults, so that a version that mends one is noticed.
"""

from __future__ import annotations

import re

from newsletter.render.mjml_check import Wrong

_TAG = re.compile(r"<[a-zA-Z](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>")
_LEFT_OVER = re.compile(r"</?(?:mj-[a-z-]+|mjml)(?=[\s/>])")
_FIXED_HEIGHT = re.compile(r"(<img\b[^>]*?\bstyle=\"[^\"]*?)\bheight:\d+px;")


def compile_mjml(source: str) -> str | Wrong:
    """The HTML of a checked MJML text, or what the compiler had against it. No fonts are linked to."""
    from mjml import mjml2html

    try:
        html = soften(str(mjml2html(harden(source), fonts={})))
    except ValueError as error:
        found = re.search(r"(\d+):\d+", str(error))
        return Wrong(int(found[1]) if found else 0, f"MJML can't be made of this: {error}")
    if found := _LEFT_OVER.search(html):
        return Wrong(
            max(source.find(found[0]), 0),
            f"MJML leaves {found[0]}> as it is",
            "Something before it opens an element and doesn't close it.",
        )
    # Spam filters count white words against a mail, hidden or not (SpamAssassin: HTML_FONT_LOW_CONTRAST).
    html = html.replace("font-size:1px;color:#ffffff;", "font-size:1px;", 1)
    # Outlook reads the attribute; everywhere else a fixed height would squeeze the picture on a phone.
    return _FIXED_HEIGHT.sub(r"\1height:auto;", html)


def harden(source: str) -> str:
    r"""MJML in ASCII, with no backslash or line break in a tag.

    The compiler writes attribute values with the escapes of Rust's debugger: Thai, Devanagari, emoji with
    joiners, no-break spaces, backslashes and line breaks would all reach the reader as \u{…}. References it
    leaves alone.
    """
    source = source.encode("ascii", "xmlcharrefreplace").decode()
    return _TAG.sub(lambda found: re.sub(r"[ \t\r\n]+", " ", found[0]).replace("\\", "&#92;"), source)


def soften(html: str) -> str:
    """The references of `harden` as characters again: three to five bytes saved on each."""
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])) if 160 <= int(found[1]) < 0x110000 else found[0], html)
