"""The tables of sealed secrets and of their changes."""

from typing import Any

import sqlalchemy as sa

from services.auth.model.placements import WorkspaceId
from services.auth.model.vault import SealedSecret, SecretMetadata
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.schema import AUTH

_TIME = sa.TIMESTAMP(timezone=True)

SECRETS = sa.Table(
    "secrets",
    AUTH,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    # Null for a global secret. Forgetting a workspace deletes its secrets.
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(PLACEMENTS.c.workspace_id, ondelete="CASCADE")),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("sealed", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False, comment="bytes of the value"),
    sa.Column("key_version", sa.Text, nullable=False, comment="of the key that sealed it"),
    sa.Column("key_id", sa.Text, nullable=False, comment="of the key that sealed it"),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME, nullable=False),
)

GLOBAL = SECRETS.c.workspace_id.is_(None)
"""Whether a secret is global: it applies to every workspace that has none of the same key."""

sa.Index("secrets_global", SECRETS.c.key, unique=True, postgresql_where=GLOBAL)
sa.Index(
    "secrets_of_workspace",
    SECRETS.c.workspace_id,
    SECRETS.c.key,
    unique=True,
    postgresql_where=SECRETS.c.workspace_id.isnot(None),
)
sa.Index("secrets_overriding", SECRETS.c.key, postgresql_where=SECRETS.c.workspace_id.isnot(None))

# Stores only the last change of each secret, so the table does not grow with every change.
SECRET_CHANGES = sa.Table(
    "changes",
    AUTH,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("workspace_id", sa.Text, sa.ForeignKey(PLACEMENTS.c.workspace_id, ondelete="CASCADE")),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("at", _TIME, nullable=False),
)

sa.Index("changes_of_secret", SECRET_CHANGES.c.workspace_id, SECRET_CHANGES.c.key)


def metadata_from_row(row: Any) -> SecretMetadata:  # noqa: ANN401 - rows are untyped
    """Return the metadata of the secret in the row."""
    return SecretMetadata(
        key=row.key,
        workspace_id=row.workspace_id and WorkspaceId(row.workspace_id),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def sealed_secret_from_row(row: Any) -> SealedSecret:  # noqa: ANN401 - rows are untyped
    """Return the secret in the row, still sealed."""
    return SealedSecret(
        row_id=row.id, key=row.key, workspace_id=row.workspace_id and WorkspaceId(row.workspace_id), sealed=row.sealed
    )
