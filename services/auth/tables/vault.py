"""Sealed secrets and their changes, and the rows as the model knows them."""

from typing import Any

import sqlalchemy as sa

from services.auth.model import SealedSecret, SecretMetadata, WorkspaceId
from services.auth.tables.keys import PLACEMENTS
from services.auth.tables.schema import AUTH

_moment = sa.TIMESTAMP(timezone=True)

SECRETS = sa.Table(
    "secrets",
    AUTH,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    # Null where it is global. A workspace that is forgotten takes its secrets with it.
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(PLACEMENTS.c.workspace_id, ondelete="CASCADE")),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("sealed", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False, comment="bytes of the value"),
    sa.Column("key_version", sa.Text, nullable=False, comment="of the key that sealed it"),
    sa.Column("key_id", sa.Text, nullable=False, comment="of the key that sealed it"),
    sa.Column("created_at", _moment, nullable=False),
    sa.Column("updated_at", _moment, nullable=False),
)

GLOBAL = SECRETS.c.workspace_id.is_(None)
"""Secrets that apply to every workspace without its own."""

sa.Index("secrets_global", SECRETS.c.key, unique=True, postgresql_where=GLOBAL)
sa.Index(
    "secrets_of_workspace",
    SECRETS.c.workspace_id,
    SECRETS.c.key,
    unique=True,
    postgresql_where=SECRETS.c.workspace_id.isnot(None),
)
sa.Index("secrets_overriding", SECRETS.c.key, postgresql_where=SECRETS.c.workspace_id.isnot(None))

# The last change of each secret there ever was, so the table grows with names and not with time.
CHANGES = sa.Table(
    "changes",
    AUTH,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(PLACEMENTS.c.workspace_id, ondelete="CASCADE")),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("at", _moment, nullable=False),
)

sa.Index("changes_of_secret", CHANGES.c.workspace_id, CHANGES.c.key)


def label_of(row: Any) -> SecretMetadata:  # noqa: ANN401 - rows are untyped
    """What may be told of the secret in the row."""
    return SecretMetadata(
        key=row.key,
        workspace_id=row.workspace_id and WorkspaceId(row.workspace_id),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def sealed_of(row: Any) -> SealedSecret:  # noqa: ANN401 - rows are untyped
    """The secret in the row, as it is kept."""
    return SealedSecret(
        row=row.id, key=row.key, workspace_id=row.workspace_id and WorkspaceId(row.workspace_id), text=row.sealed
    )
