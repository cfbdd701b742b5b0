"""Everything said to the database about secrets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.model import SealedSecret, SealingKeyId, SecretChange, SecretMetadata, WorkspaceId
from services.auth.store.keys import Transaction
from services.auth.tables.keys import PLACEMENTS
from services.auth.tables.vault import CHANGES, GLOBAL, SECRETS, label_of, sealed_of
from services.chassis.database import transaction

CHANNEL = "auth_changes"
"""What rings when a change of secrets is committed."""


class VaultStore:
    """Opens transactions about secrets."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["VaultTransaction"]:
        """All or nothing; committed at the end of the block."""
        async with transaction(self._engine) as connection:
            yield VaultTransaction(connection)


class VaultTransaction:
    """One transaction, with a method for each thing the vault wants of it. `keys` is the same one, about keys."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.keys = Transaction(connection)

    # Secrets ──────────────────────────────────────────────────────────────────

    async def lock_global(self) -> None:
        """Nobody else changes the global secrets until this transaction ends."""
        await self._connection.execute(sa.select(_lock("auth.global_secrets")))

    async def labels(self, workspace_id: WorkspaceId | None) -> Sequence[SecretMetadata]:
        """What may be told of the secrets that apply: the workspace's own by key, then global ones not overridden."""
        rows = await self._connection.execute(_applying(workspace_id).order_by(GLOBAL, SECRETS.c.key))
        return [label_of(row) for row in rows]

    async def applying(self, workspace_id: WorkspaceId) -> Sequence[SealedSecret]:
        """The same secrets, as they are kept."""
        rows = await self._connection.execute(_applying(workspace_id).order_by(GLOBAL, SECRETS.c.key))
        return [sealed_of(row) for row in rows]

    async def put(
        self,
        workspace_id: WorkspaceId | None,
        key: str,
        sealed: str,
        *,
        size: int,
        sealed_by: SealingKeyId,
        now: datetime,
    ) -> None:
        """Keep a secret in place of what was there. Its owner is locked."""
        values = {
            "sealed": sealed,
            "size": size,
            "key_version": sealed_by.version,
            "key_id": sealed_by.id,
            "updated_at": now,
        }
        changed = await self._connection.execute(sa.update(SECRETS).where(*_is(workspace_id, key)).values(values))
        if not changed.rowcount:
            fresh = values | {"workspace_id": workspace_id, "key": key, "created_at": now}
            await self._connection.execute(sa.insert(SECRETS).values(fresh))

    async def erase(self, workspace_id: WorkspaceId | None, key: str) -> bool:
        """Erase a secret; whether there was one."""
        gone = await self._connection.execute(sa.delete(SECRETS).where(*_is(workspace_id, key)))
        return gone.rowcount > 0

    async def weight(self, workspace_id: WorkspaceId | None) -> tuple[int, int]:
        """How many secrets an owner has, and how many bytes are in their values."""
        summed = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(SECRETS.c.size), 0))
        row = (await self._connection.execute(summed.where(_owned(workspace_id)))).one()
        return int(row[0]), int(row[1])

    # Changes ──────────────────────────────────────────────────────────────────

    async def tell(self, workspace_id: WorkspaceId | None, key: str, *, now: datetime) -> None:
        """Tell of a change. The last thing said in a transaction: from here to the commit only one at a time proceeds.

        Hence changes are committed in the order of their ids, and who has read one has read all before it.
        """
        await self._connection.execute(sa.select(_lock("auth.changes")))
        same = (CHANGES.c.workspace_id.is_not_distinct_from(workspace_id), CHANGES.c.key == key)
        await self._connection.execute(sa.delete(CHANGES).where(*same))
        await self._connection.execute(sa.insert(CHANGES).values(workspace_id=workspace_id, key=key, at=now))
        await self._connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))

    async def changes(self, *, after: int, at_most: int) -> Sequence[SecretChange]:
        """The next changes, in order."""
        rows = await self._connection.execute(
            sa.select(CHANGES).where(CHANGES.c.id > after).order_by(CHANGES.c.id).limit(at_most)
        )
        return [
            SecretChange(
                id=row.id,
                key=row.key,
                workspace_id=row.workspace_id and WorkspaceId(row.workspace_id),
                overridden_by=() if row.workspace_id else await self._overriding(row.key),
            )
            for row in rows.all()
        ]

    async def _overriding(self, key: str) -> tuple[WorkspaceId, ...]:
        rows = await self._connection.execute(
            sa.select(SECRETS.c.workspace_id).where(SECRETS.c.key == key, SECRETS.c.workspace_id.isnot(None))
        )
        return tuple(WorkspaceId(row.workspace_id) for row in rows)

    # Sealing anew ─────────────────────────────────────────────────────────────

    async def lock_stale(self, newest: SealingKeyId, *, at_most: int) -> Sequence[SealedSecret]:
        """Some secrets that another key has sealed. One that is being written just now is left for the next time."""
        rows = await self._connection.execute(
            sa.select(SECRETS)
            .where(_stale(newest))
            .order_by(SECRETS.c.id)
            .limit(at_most)
            .with_for_update(skip_locked=True)
        )
        return [sealed_of(row) for row in rows]

    async def reseal(self, row: int, sealed: str, *, sealed_by: SealingKeyId) -> None:
        """Keep the same value, sealed by another key."""
        values = {"sealed": sealed, "key_version": sealed_by.version, "key_id": sealed_by.id}
        await self._connection.execute(sa.update(SECRETS).where(SECRETS.c.id == row).values(values))

    async def lock_stale_inbound(self, newest: SealingKeyId, *, at_most: int) -> Sequence[tuple[WorkspaceId, str]]:
        """Some inbound secrets that a key of another version has sealed, in the same way."""
        rows = await self._connection.execute(
            sa.select(PLACEMENTS.c.workspace_id, PLACEMENTS.c.inbound_secret)
            .where(_stale_inbound(newest))
            .order_by(PLACEMENTS.c.workspace_id)
            .limit(at_most)
            .with_for_update(skip_locked=True)
        )
        return [(WorkspaceId(row.workspace_id), row.inbound_secret) for row in rows]

    async def stale(self, newest: SealingKeyId) -> int:
        """How many secrets another key has sealed, inbound secrets among them."""
        secrets = sa.select(sa.func.count()).select_from(SECRETS).where(_stale(newest)).scalar_subquery()
        inbound = sa.select(sa.func.count()).select_from(PLACEMENTS).where(_stale_inbound(newest)).scalar_subquery()
        found: int = (await self._connection.execute(sa.select(secrets + inbound))).scalar_one()
        return found


def _owned(workspace_id: WorkspaceId | None) -> sa.ColumnElement[bool]:
    return GLOBAL if workspace_id is None else SECRETS.c.workspace_id == workspace_id


def _is(workspace_id: WorkspaceId | None, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _owned(workspace_id), SECRETS.c.key == key


def _applying(workspace_id: WorkspaceId | None) -> sa.Select[tuple[object, ...]]:
    """The secrets that apply to a workspace: one statement, so that they are of one moment."""
    if workspace_id is None:
        return sa.select(SECRETS).where(GLOBAL)
    own = SECRETS.alias("own")
    overridden = sa.exists().where(own.c.workspace_id == workspace_id, own.c.key == SECRETS.c.key)
    return sa.select(SECRETS).where(sa.or_(_owned(workspace_id), sa.and_(GLOBAL, sa.not_(overridden))))


def _stale(newest: SealingKeyId) -> sa.ColumnElement[bool]:
    return sa.or_(SECRETS.c.key_version != newest.version, SECRETS.c.key_id != newest.id)


def _stale_inbound(newest: SealingKeyId) -> sa.ColumnElement[bool]:
    sealed = PLACEMENTS.c.inbound_secret
    return sa.and_(sealed != "", sealed.isnot(None), sa.func.split_part(sealed, ":", 1) != newest.version)


def _lock(name: str) -> sa.Function[None]:
    return sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))
