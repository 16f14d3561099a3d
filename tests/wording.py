"""What readers' pages and letters say, as it has to be translated.

python -m tests.wording        brings templates/translations/*.po up to date with the sentences in use
"""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
PLACES = {
    ROOT / "templates": [("web/**.html", "jinja2"), ("mail/**", "jinja2")],
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
