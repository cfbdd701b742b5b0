"""The token that minted a token: what is minted ends with it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("tokens", "org_tokens"):
        op.add_column(
            table,
            sa.Column("parent_token_id", sa.Text, comment="minted it, and ends it; null for none"),
            schema="auth",
        )
        op.create_index(
            f"{table}_of_parent",
            table,
            ["parent_token_id"],
            schema="auth",
            postgresql_where=sa.text("parent_token_id IS NOT NULL"),
        )
    # Tokens from before: an organisation token named its creator by the prefix, and the audit log names every actor.
    op.execute(
        """
        UPDATE auth.org_tokens AS child SET parent_token_id = parent.id FROM auth.org_tokens AS parent
        WHERE child.created_by = 'org-token:' || parent.prefix AND child.org_id = parent.org_id
          AND child.id <> parent.id AND child.created_at >= parent.created_at AND child.revoked_at IS NULL
        """
    )
    op.execute(
        """
        UPDATE auth.tokens AS child SET parent_token_id = split_part(deed.actor, ':', 2) FROM auth.deeds AS deed
        WHERE deed.action = 'token.minted' AND deed.subject = child.id AND deed.actor LIKE 'org-token:%'
          AND child.revoked_at IS NULL
        """
    )
