"""The tables of configurations and of the viewport."""

import sqlalchemy as sa

from services.registry.store.tables.schema import META

configs = sa.Table(
    "configs",
    META,
    sa.Column("workspace_id", sa.Text, primary_key=True),
    sa.Column("data", sa.Text, nullable=False),
)

# One row, because the plane has one canvas.
viewports = sa.Table(
    "viewports",
    META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("x", sa.Double, nullable=False),
    sa.Column("y", sa.Double, nullable=False),
    sa.Column("zoom", sa.Double, nullable=False),
    sa.CheckConstraint(sa.column("id") == sa.literal_column("1"), name="single"),
)
