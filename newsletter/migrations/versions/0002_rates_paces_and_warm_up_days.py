"""Rates, paces and warm-up days."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table('allowances',
    sa.Column('name', sa.String(length=300), nullable=False),
    sa.Column('used_until', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_allowances'))
    )
    op.create_table('paces',
    sa.Column('domain', sa.String(length=255), nullable=False),
    sa.Column('rate', sa.Double(), nullable=False),
    sa.Column('before', sa.Double(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('changed', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('domain', name=op.f('pk_paces'))
    )
    op.create_table('warm_days',
    sa.Column('domain', sa.String(length=255), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('begun', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('domain', 'day', name=op.f('pk_warm_days'))
    )
    with op.batch_alter_table('batches', schema=None) as batch_op:
        batch_op.create_index('ix_batches_open', ['issue_id'], unique=False, sqlite_where=sa.text('due IS NOT NULL OR owner IS NOT NULL'), postgresql_where=sa.text('due IS NOT NULL OR owner IS NOT NULL'))
