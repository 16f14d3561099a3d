"""An issue as others cite it: in words, and for programs that keep references."""

from __future__ import annotations

import re

from newsletter.archive.catalogue import Entry
from newsletter.config import Publication
from newsletter.dates import long_date


def sentence(publication: Publication, long_label: str, date: str, url: str) -> str:
    """In words: title, number, date, publisher, ISSN where there is one, address."""
    issn = f" ISSN {publication.issn}." if publication.issn else ""
    return f"{publication.title}, {long_label} ({date}). {publication.publisher}.{issn} {url}"


def bibtex(publication: Publication, slug: str, entry: Entry) -> str:
    """For BibTeX: one @misc, since an issue as a whole is no article."""
    values = {
        "title": f"{publication.title}, {entry.long_label}",
        "author": f"{{{publication.publisher}}}",
        "date": entry.date.isoformat(),
        "year": str(entry.date.year),
        "volume": str(entry.volume),
        "number": entry.numbers.replace("–", "--"),
        "publisher": publication.publisher,
        "issn": publication.issn,
        "url": entry.url,
        "language": publication.language,
    }
    lines = [f"  {name} = {{{_tex(value)}}}," for name, value in values.items() if value]
    return "\n".join([f"@misc{{{slug}-{entry.volume}-{entry.number},", *lines, "}", ""])


def ris(publication: Publication, entry: Entry) -> str:
    """For EndNote, Zotero and others: RIS, a line for each field."""
    date = entry.date
    fields = [
        ("TY", "NEWS"),
        ("TI", f"{publication.title}, {entry.long_label}"),
        ("T2", publication.title),
        ("PB", publication.publisher),
        ("VL", str(entry.volume)),
        ("IS", entry.numbers),
        ("PY", str(date.year)),
        ("DA", f"{date:%Y/%m/%d}"),
        ("SN", publication.issn),
        ("UR", entry.url),
        ("LA", publication.language),
        ("AB", "; ".join(entry.headlines)),
    ]
    return "".join(f"{tag}  - {_line(value)}\r\n" for tag, value in fields if value) + "ER  - \r\n"


def in_words(publication: Publication, entry: Entry) -> str:
    return sentence(publication, entry.long_label, long_date(entry.date, publication.language), entry.url)


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _tex(text: str) -> str:
    """A text that TeX takes as it is; braces that it may have are let be in pairs only."""
    if text.startswith("{") and text.endswith("}"):
        return "{" + _tex(text[1:-1]) + "}"
    text = _line(text).replace("\\", "/").replace("{", "(").replace("}", ")")
    if text.startswith("http"):
        return text
    text = re.sub(r"([&%$#_])", r"\\\1", text)
    return text.replace("~", r"\textasciitilde{}").replace("^", r"\textasciicircum{}")
