"""The tokens that own tasks, streams, messages and push targets, and the callers that own contexts.

What a token of an organisation made before belongs to the organisation: tokens with the scope `admin` see it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SCHEMA = "a2a_proxy"

FIRST_OWNERS = """
    INSERT INTO a2a_proxy.contexts (target_id, context_id, owner_id, owner_org_id, seen_at)
    SELECT DISTINCT ON (target_id, context_id) target_id, context_id, owner_id, owner_org_id, seen_at
    FROM a2a_proxy.tasks WHERE context_id IS NOT NULL
    ORDER BY target_id, context_id, created_at
"""


def upgrade() -> None:
    for table in ("tasks", "streams", "push_targets"):
        op.add_column(table, sa.Column("owner_token_id", sa.Text), schema=SCHEMA)
    op.add_column("queued_messages", sa.Column("caller_token_id", sa.Text), schema=SCHEMA)
    op.create_table(
        "contexts",
        sa.Column("target_id", sa.Uuid, nullable=False),
        sa.Column("context_id", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Uuid),
        sa.Column("owner_org_id", sa.Text),
        sa.Column("owner_token_id", sa.Text),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("target_id", "context_id", name="contexts_pkey"),
        schema=SCHEMA,
    )
    op.execute(FIRST_OWNERS)
    op.create_index("contexts_seen", "contexts", ["target_id", "seen_at"], schema=SCHEMA)
    owned = sa.text("owner_id IS NOT NULL")
    op.create_index("contexts_owner", "contexts", ["owner_id"], schema=SCHEMA, postgresql_where=owned)
    of_owner = ["target_id", "owner_id", "owner_token_id", "seen_at"]
    op.create_index("push_targets_of_owner", "push_targets", of_owner, schema=SCHEMA)
