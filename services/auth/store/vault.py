"""Stores sealed secrets and their changes."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.placements import WorkspaceId
from services.auth.model.vault import SealedSecret, SealingKeyId, SecretChange, SecretMetadata
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.vault import (
    GLOBAL,
    SECRET_CHANGES,
    SECRETS,
    metadata_from_row,
    sealed_secret_from_row,
)

VAULT_CHANNEL = "auth_changes"
"""PostgreSQL notifies this channel when a change of secrets is committed."""

AGENT_CREDENTIAL_PREFIX = "A2A_CREDENTIAL_"
"""What the names of secrets begin with that the plane presents to agents."""


class VaultStore:
    """The statements about secrets, within a transaction. A secret without a workspace is global."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # Secrets ──────────────────────────────────────────────────────────────────

    async def lock_global(self) -> None:
        """Prevent changes of global secrets by other transactions until this one ends."""
        await self._connection.execute(sa.select(_advisory_lock("auth.global_secrets")))

    async def list_metadata(self, workspace_id: WorkspaceId | None) -> Sequence[SecretMetadata]:
        """Return the secrets that apply: the workspace's own by key, then global ones that it does not override."""
        rows = await self._connection.execute(_select_applying(workspace_id).order_by(GLOBAL, SECRETS.c.key))
        return [metadata_from_row(row) for row in rows]

    async def list_sealed(self, workspace_id: WorkspaceId) -> Sequence[SealedSecret]:
        """Return the same secrets, sealed."""
        rows = await self._connection.execute(_select_applying(workspace_id).order_by(GLOBAL, SECRETS.c.key))
        return [sealed_secret_from_row(row) for row in rows]

    async def list_agent_credentials(self, workspace_id: WorkspaceId) -> Sequence[SealedSecret]:
        """Return the workspace's own secrets with which the plane proves itself to its agent, sealed."""
        rows = await self._connection.execute(
            sa.select(SECRETS)
            .where(
                SECRETS.c.workspace_id == workspace_id,
                SECRETS.c.key.startswith(AGENT_CREDENTIAL_PREFIX, autoescape=True),
            )
            .order_by(SECRETS.c.key)
        )
        return [sealed_secret_from_row(row) for row in rows]

    async def save(
        self,
        workspace_id: WorkspaceId | None,
        key: str,
        sealed: str,
        *,
        size: int,
        sealed_by: SealingKeyId,
        now: datetime,
    ) -> None:
        """Insert or replace a secret; `size` is the length of its value in bytes. The caller has locked its owner."""
        values = {
            "sealed": sealed,
            "size": size,
            "key_version": sealed_by.version,
            "key_id": sealed_by.fingerprint,
            "updated_at": now,
        }
        updated = await self._connection.execute(sa.update(SECRETS).where(*_is(workspace_id, key)).values(values))
        if not updated.rowcount:
            new = values | {"workspace_id": workspace_id, "key": key, "created_at": now}
            await self._connection.execute(sa.insert(SECRETS).values(new))

    async def delete(self, workspace_id: WorkspaceId | None, key: str) -> bool:
        """Delete a secret; return whether it existed."""
        deleted = await self._connection.execute(sa.delete(SECRETS).where(*_is(workspace_id, key)))
        return deleted.rowcount > 0

    async def measure_usage(self, workspace_id: WorkspaceId | None) -> tuple[int, int]:
        """Return how many secrets an owner has, and how many bytes their values have together."""
        usage = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(SECRETS.c.size), 0))
        row = (await self._connection.execute(usage.where(_is_owned_by(workspace_id)))).one()
        return int(row[0]), int(row[1])

    # Changes ──────────────────────────────────────────────────────────────────

    async def publish_change(self, workspace_id: WorkspaceId | None, key: str, *, now: datetime) -> None:
        """Append a change to the feed. This must be the last statement of a transaction.

        From here to the commit an advisory lock admits one transaction at a time. So changes are committed in the
        order of their ids, and a reader that has read one has read all before it.
        """
        await self._connection.execute(sa.select(_advisory_lock("auth.changes")))
        same_secret = (SECRET_CHANGES.c.workspace_id.is_not_distinct_from(workspace_id), SECRET_CHANGES.c.key == key)
        await self._connection.execute(sa.delete(SECRET_CHANGES).where(*same_secret))
        await self._connection.execute(sa.insert(SECRET_CHANGES).values(workspace_id=workspace_id, key=key, at=now))
        await self._connection.execute(sa.select(sa.func.pg_notify(VAULT_CHANNEL, "")))

    async def list_changes_after(self, change_id: int, *, limit: int) -> Sequence[SecretChange]:
        """Return the next changes, in order."""
        rows = await self._connection.execute(
            sa.select(SECRET_CHANGES).where(SECRET_CHANGES.c.id > change_id).order_by(SECRET_CHANGES.c.id).limit(limit)
        )
        return [
            SecretChange(
                id=row.id,
                key=row.key,
                workspace_id=row.workspace_id and WorkspaceId(row.workspace_id),
                overridden_by=() if row.workspace_id else await self._list_overriding(row.key),
            )
            for row in rows.all()
        ]

    async def _list_overriding(self, key: str) -> tuple[WorkspaceId, ...]:
        rows = await self._connection.execute(
            sa.select(SECRETS.c.workspace_id).where(SECRETS.c.key == key, SECRETS.c.workspace_id.isnot(None))
        )
        return tuple(WorkspaceId(row.workspace_id) for row in rows)

    # Resealing ────────────────────────────────────────────────────────────────

    async def lock_stale(self, newest_key: SealingKeyId, *, limit: int) -> Sequence[SealedSecret]:
        """Return secrets that another key sealed, locked. A secret that another transaction holds is skipped."""
        rows = await self._connection.execute(
            sa.select(SECRETS)
            .where(_is_stale(newest_key))
            .order_by(SECRETS.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [sealed_secret_from_row(row) for row in rows]

    async def save_resealed(self, row_id: int, sealed: str, *, sealed_by: SealingKeyId) -> None:
        """Replace the sealed form of a secret whose value stays the same."""
        values = {"sealed": sealed, "key_version": sealed_by.version, "key_id": sealed_by.fingerprint}
        await self._connection.execute(sa.update(SECRETS).where(SECRETS.c.id == row_id).values(values))

    async def lock_stale_inbound(self, newest_key: SealingKeyId, *, limit: int) -> Sequence[tuple[WorkspaceId, str]]:
        """Return sealed inbound secrets of another key version, locked in the same way."""
        rows = await self._connection.execute(
            sa.select(PLACEMENTS.c.workspace_id, PLACEMENTS.c.inbound_secret)
            .where(_is_stale_inbound(newest_key))
            .order_by(PLACEMENTS.c.workspace_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [(WorkspaceId(row.workspace_id), row.inbound_secret) for row in rows]

    async def count_stale(self, newest_key: SealingKeyId) -> int:
        """Return how many secrets, inbound secrets included, another key sealed."""
        secrets = sa.select(sa.func.count()).select_from(SECRETS).where(_is_stale(newest_key)).scalar_subquery()
        inbound = (
            sa.select(sa.func.count()).select_from(PLACEMENTS).where(_is_stale_inbound(newest_key)).scalar_subquery()
        )
        count: int = (await self._connection.execute(sa.select(secrets + inbound))).scalar_one()
        return count


def _is_owned_by(workspace_id: WorkspaceId | None) -> sa.ColumnElement[bool]:
    return GLOBAL if workspace_id is None else SECRETS.c.workspace_id == workspace_id


def _is(workspace_id: WorkspaceId | None, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _is_owned_by(workspace_id), SECRETS.c.key == key


def _select_applying(workspace_id: WorkspaceId | None) -> sa.Select[tuple[object, ...]]:
    """Select the secrets that apply to a workspace, in one statement, so that they are consistent."""
    if workspace_id is None:
        return sa.select(SECRETS).where(GLOBAL)
    own = SECRETS.alias("own")
    overridden = sa.exists().where(own.c.workspace_id == workspace_id, own.c.key == SECRETS.c.key)
    return sa.select(SECRETS).where(sa.or_(_is_owned_by(workspace_id), sa.and_(GLOBAL, sa.not_(overridden))))


def _is_stale(newest_key: SealingKeyId) -> sa.ColumnElement[bool]:
    return sa.or_(SECRETS.c.key_version != newest_key.version, SECRETS.c.key_id != newest_key.fingerprint)


def _is_stale_inbound(newest_key: SealingKeyId) -> sa.ColumnElement[bool]:
    sealed = PLACEMENTS.c.inbound_secret
    return sa.and_(sealed != "", sealed.isnot(None), sa.func.split_part(sealed, ":", 1) != newest_key.version)


def _advisory_lock(name: str) -> sa.Function[None]:
    return sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))
