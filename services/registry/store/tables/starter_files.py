"""The table of starter files. Workspaces with equal files share them."""

import sqlalchemy as sa

from services.registry.store.tables.schema import META

starter_files = sa.Table(
    "kit_files",
    META,
    sa.Column("kit", sa.Text, key="digest", primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
)
