"""The table of placements."""

from typing import Any

import sqlalchemy as sa

from services.auth.model.placements import Placement, WorkspaceId
from services.auth.store.tables.schema import AUTH

PLACEMENTS = sa.Table(
    "placements",
    AUTH,
    sa.Column("workspace_id", sa.Text, primary_key=True),
    sa.Column("org_id", sa.Text, nullable=False),
    sa.Column("lowest_generation", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("placed_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("confirmed_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("barred_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("inbound_secret", sa.Text, comment="sealed; null where there is none yet"),
)

sa.Index("placements_unconfirmed", PLACEMENTS.c.placed_at, postgresql_where=PLACEMENTS.c.confirmed_at.is_(None))


def placement_from_row(row: Any) -> Placement | None:  # noqa: ANN401 - rows are untyped
    """Return the placement in the row; `None` for no row."""
    return row and Placement(
        workspace_id=WorkspaceId(row.workspace_id),
        org_id=row.org_id,
        lowest_generation=row.lowest_generation,
        barred_at=row.barred_at,
        sealed_inbound_secret=row.inbound_secret,
    )
