"""The table of search terms of cards."""

import sqlalchemy as sa

from services.registry.store.tables.schema import META
from services.registry.store.tables.workspaces import workspaces

card_terms = sa.Table(
    "terms",
    META,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(workspaces.c.id, ondelete="CASCADE"), primary_key=True),
)

sa.Index("terms_of_workspace", card_terms.c.workspace_id)
