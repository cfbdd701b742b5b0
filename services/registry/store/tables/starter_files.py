"""The files that instances start with. Workspaces made from the same files share them."""

import sqlalchemy as sa

from services.registry.store.tables.schema import META

starter_files = sa.Table(
    "kit_files",
    META,
    sa.Column("kit", sa.Text, key="digest", primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
)
