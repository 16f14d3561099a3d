"""What readers do."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table('asks',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('network', sa.String(length=50), nullable=False),
    sa.Column('fingerprint', sa.String(length=32), nullable=False),
    sa.Column('what', sa.Enum('confirm', 'change', 'changed', 'link', name='letterkind', native_enum=False, length=16), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_asks'))
    )
    with op.batch_alter_table('asks', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_asks_at'), ['at'], unique=False)
        batch_op.create_index(batch_op.f('ix_asks_fingerprint'), ['fingerprint'], unique=False)

    op.create_table('bounce_scores',
    sa.Column('fingerprint', sa.String(length=32), nullable=False),
    sa.Column('score', sa.Double(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('fingerprint', name=op.f('pk_bounce_scores'))
    )
    op.create_table('departures',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('subscriber_id', sa.Integer(), nullable=False),
    sa.Column('publication', sa.String(length=40), nullable=False),
    sa.Column('issue_id', sa.Integer(), nullable=True),
    sa.Column('lists', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('by', sa.Enum('one-click', 'page', 'preferences', 'mail', 'admin', name='leftby', native_enum=False, length=16), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('undone', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_departures'))
    )
    with op.batch_alter_table('departures', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_departures_at'), ['at'], unique=False)
        batch_op.create_index(batch_op.f('ix_departures_subscriber_id'), ['subscriber_id'], unique=False)

    op.create_table('hits',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('what', sa.Enum('open', 'click', 'page', 'canary', name='hitkind', native_enum=False, length=16), nullable=False),
    sa.Column('issue_id', sa.Integer(), nullable=True),
    sa.Column('link', sa.Integer(), nullable=True),
    sa.Column('message', sa.String(length=32), nullable=False),
    sa.Column('client', sa.String(length=32), nullable=False),
    sa.Column('subscriber_id', sa.Integer(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hits'))
    )
    with op.batch_alter_table('hits', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_hits_at'), ['at'], unique=False)
        batch_op.create_index(batch_op.f('ix_hits_message'), ['message'], unique=False)

    op.create_table('ignored',
    sa.Column('publication', sa.String(length=40), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('what', sa.String(length=16), nullable=False),
    sa.Column('times', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('publication', 'day', 'what', name=op.f('pk_ignored'))
    )
    op.create_table('interests',
    sa.Column('subscriber_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('issue_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('what', sa.Enum('open', 'click', 'page', 'canary', name='hitkind', native_enum=False, length=16), nullable=False),
    sa.Column('link', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('subscriber_id', 'issue_id', 'what', 'link', name=op.f('pk_interests'))
    )
    op.create_table('measures',
    sa.Column('issue_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('what', sa.Enum('open', 'click', 'page', 'canary', name='hitkind', native_enum=False, length=16), nullable=False),
    sa.Column('link', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('times', sa.Integer(), nullable=False),
    sa.Column('readers', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('issue_id', 'what', 'link', name=op.f('pk_measures'))
    )
    op.create_table('returns',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('source', sa.String(length=40), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.Enum('hard', 'soft', 'policy', 'delayed', 'delivered', 'complaint', 'unsubscribe', 'reply', 'forged', 'unknown', name='returnkind', native_enum=False, length=16), nullable=False),
    sa.Column('fingerprint', sa.String(length=32), nullable=False),
    sa.Column('subscriber_id', sa.Integer(), nullable=True),
    sa.Column('issue_id', sa.Integer(), nullable=True),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('words', sa.Text(), nullable=False),
    sa.Column('done', sa.Text(), nullable=False),
    sa.Column('file', sa.String(length=200), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_returns')),
    sa.UniqueConstraint('digest', name=op.f('uq_returns_digest'))
    )
    with op.batch_alter_table('returns', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_returns_at'), ['at'], unique=False)
        batch_op.create_index(batch_op.f('ix_returns_fingerprint'), ['fingerprint'], unique=False)
        batch_op.create_index('ix_returns_undone', ['at'], unique=False, sqlite_where=sa.text("done = ''"), postgresql_where=sa.text("done = ''"))

    op.create_table('seen',
    sa.Column('issue_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('what', sa.Enum('open', 'click', 'page', 'canary', name='hitkind', native_enum=False, length=16), nullable=False),
    sa.Column('link', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('message', sa.String(length=32), nullable=False),
    sa.PrimaryKeyConstraint('issue_id', 'what', 'link', 'message', name=op.f('pk_seen')),
    sqlite_with_rowid=False
    )
    op.create_table('consents',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('subscriber_id', sa.Integer(), nullable=False),
    sa.Column('to', sa.Enum('subscription', 'measuring', name='consentto', native_enum=False, length=16), nullable=False),
    sa.Column('lists', sa.Text(), nullable=False),
    sa.Column('asked', sa.DateTime(timezone=True), nullable=False),
    sa.Column('page', sa.Text(), nullable=False),
    sa.Column('client', sa.String(length=64), nullable=False),
    sa.Column('wording', sa.Text(), nullable=False),
    sa.Column('language', sa.String(length=16), nullable=False),
    sa.Column('confirmed', sa.DateTime(timezone=True), nullable=True),
    sa.Column('confirmed_client', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['subscriber_id'], ['subscribers.id'], name=op.f('fk_consents_subscriber_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_consents'))
    )
    with op.batch_alter_table('consents', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_consents_subscriber_id'), ['subscriber_id'], unique=False)

    op.create_table('letters',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('publication', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.Enum('confirm', 'change', 'changed', 'link', name='letterkind', native_enum=False, length=16), nullable=False),
    sa.Column('subscriber_id', sa.Integer(), nullable=False),
    sa.Column('address', sa.String(length=320), nullable=False),
    sa.Column('language', sa.String(length=16), nullable=False),
    sa.Column('detail', sa.JSON(), nullable=False),
    sa.Column('state', sa.Enum('queued', 'sent', 'used', 'failed', 'expired', name='letterstate', native_enum=False, length=16), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('asked', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires', sa.DateTime(timezone=True), nullable=False),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.Column('next_look', sa.DateTime(timezone=True), nullable=True),
    sa.Column('why', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['subscriber_id'], ['subscribers.id'], name=op.f('fk_letters_subscriber_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_letters')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('letters', schema=None) as batch_op:
        batch_op.create_index('ix_letters_state_expires', ['state', 'expires'], unique=False)
        batch_op.create_index(batch_op.f('ix_letters_subscriber_id'), ['subscriber_id'], unique=False)

    with op.batch_alter_table('issues', schema=None) as batch_op:
        batch_op.add_column(sa.Column('segment', sa.String(length=40), server_default='', nullable=False))

    with op.batch_alter_table('subscribers', schema=None) as batch_op:
        batch_op.add_column(sa.Column('paused_until', sa.Date(), nullable=True))
        batch_op.add_column(sa.Column('measured', sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index('ix_subscribers_paused', ['paused_until'], unique=False, sqlite_where=sa.text('paused_until IS NOT NULL'), postgresql_where=sa.text('paused_until IS NOT NULL'))
