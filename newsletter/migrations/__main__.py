"""python -m newsletter.migrations "what changes": writes the next migration, from what the models say by now."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext

from newsletter import database
from newsletter.models import Base, Instant

TEXT = '''"""{what}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    {steps}
'''


def write(what: str) -> Path | None:
    """The next migration, written beside the others; None where the tables are as the models say already."""
    engine = database.open_database("sqlite:///:memory:", Path())
    database.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        steps = produce_migrations(context, Base.metadata).upgrade_ops
    engine.dispose()
    if steps is None or steps.is_empty():
        return None
    code = render_python_code(steps, render_as_batch=True, render_item=_plain)
    lines = [line for line in code.splitlines() if "### " not in line]
    before = database.head()
    revision = f"{int(before) + 1:04}"
    words = re.sub(r"[^a-z0-9]+", "_", what.lower()).strip("_")
    path = database.MIGRATIONS / "versions" / f"{revision}_{words}.py"
    sentence = what[:1].upper() + what[1:].rstrip(".") + "."
    text = TEXT.format(what=sentence, revision=revision, before=before, steps="\n".join(lines).strip())
    path.write_text(text, encoding="utf-8")
    return path


def _plain(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """A migration stays as it was written, so it knows no class of ours."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Instant) else False


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        sys.exit('Say what changes: python -m newsletter.migrations "subscribers have a nickname"')
    sys.stdout.write(f"{write(sys.argv[1]) or 'The tables are as the models say; nothing to write.'}\n")
