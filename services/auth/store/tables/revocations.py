"""The table of revocations."""

from typing import Any, assert_never

import sqlalchemy as sa

from services.auth.model.placements import WorkspaceId
from services.auth.model.revocations import RevocationTarget, RevokedToken, RevokedWorkspace
from services.auth.model.tokens import Digest
from services.auth.store.tables.schema import AUTH

REVOCATIONS = sa.Table(
    "revocations",
    AUTH,
    # Starts at 2: revision 1 is the state of the feed before the first revocation, and 0 is no revision.
    sa.Column("revision", sa.BigInteger, sa.Identity(start=2), primary_key=True),
    sa.Column("workspace_id", sa.Text),
    sa.Column("token_digest", sa.LargeBinary),
    sa.Column("revoked_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint("num_nonnulls(workspace_id, token_digest) = 1", name="one_scope"),
)


def target_from_row(row: Any) -> RevocationTarget:  # noqa: ANN401 - rows are untyped
    """Return what the revocation in the row invalidates."""
    if row.workspace_id is not None:
        return RevokedWorkspace(WorkspaceId(row.workspace_id))
    return RevokedToken(Digest(row.token_digest))


def columns_of_target(target: RevocationTarget) -> dict[str, object]:
    """Return the column values that store what a revocation invalidates."""
    match target:
        case RevokedWorkspace(workspace_id):
            return {"workspace_id": workspace_id, "token_digest": None}
        case RevokedToken(digest):
            return {"workspace_id": None, "token_digest": digest}
        case _:
            assert_never(target)
