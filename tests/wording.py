"""What readers' pages, letters and issues say, as it has to be translated.

python -m tests.wording        brings templates/translations/*.po up to date with the sentences in use
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
_IN_TYPST = re.compile(r'\bwords\("((?:[^"\\]|\\.)*)"')


def in_typst(file: IO[bytes], keywords: Any, tags: Any, options: Any) -> Iterator[tuple[int, None, str, list[str]]]:
    """The sentences that an issue.typ has translated: words("…")."""
    del keywords, tags, options
    text = file.read().decode()
    for found in _IN_TYPST.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, None, re.sub(r"\\(.)", r"\1", found[1]), []


PLACES = {
    ROOT / "templates": [
        ("**.html", "jinja2"),
        ("**.mjml", "jinja2"),
        ("**.txt", "jinja2"),
        ("**.typ", in_typst),
    ],
    ROOT / "newsletter": [("**.py", "python")],
}
VOLATILE = tuple(
    f'"{name}'
    for name in (
        "Project-Id",
        "Report-Msgid",
        "POT-",
        "PO-Revision",
        "Last-Translator",
        "Language-Team",
        "Generated-By",
    )
)
TRANSLATIONS = ROOT / "templates" / "translations"


def sentences() -> Catalog:
    """Every sentence that is marked for translation, from templates and code."""
    found = Catalog(charset="utf-8")
    for place, methods in PLACES.items():
        options = {pattern: {"newstyle_gettext": "true", "trimmed": "true"} for pattern, _ in methods}
        for file, line, message, comments, context in extract_from_dir(place, method_map=methods, options_map=options):
            path = (place / file).relative_to(ROOT).as_posix()
            found.add(message, None, [(path, line)], auto_comments=comments, context=context)
    return found


def main() -> None:
    wanted = sentences()
    for path in sorted(TRANSLATIONS.glob("*.po")):
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.stem.replace("-", "_"))
        catalogue.update(wanted, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        made = io.BytesIO()
        write_po(made, catalogue, width=118, omit_header=False, sort_by_file=True, include_lineno=False)
        # The rest of the header says when and with what, and would change with every run.
        lines = made.getvalue().decode().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(VOLATILE)), encoding="utf-8")


if __name__ == "__main__":
    main()
