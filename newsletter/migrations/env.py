"""Alembic's way in; run by newsletter.database.upgrade, which hands over a connection."""

from alembic import context

from newsletter.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=False)
context.run_migrations()
