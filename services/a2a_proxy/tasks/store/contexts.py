"""Statements on the register of contexts."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.store.statements import NOW
from services.a2a_proxy.store import CompiledStatement, build_array_table, select_distinct
from services.a2a_proxy.tasks.model import ContextKey, TaskOwner
from services.a2a_proxy.tasks.tables import CONTEXTS
from services.chassis import database

_C = CONTEXTS.c

_NAMES = ("target_id", "context_id", "owner_id", "owner_org_id", "owner_token_id")


class ContextStore:
    """Stores whose the contexts are, each statement in a transaction of its own."""

    def __init__(self, engine: AsyncEngine, connections: DriverConnections) -> None:
        self._engine = engine
        self._connections = connections

    async def note(self, owners: Mapping[ContextKey, TaskOwner]) -> dict[ContextKey, TaskOwner]:
        """Store contexts, each only once, and return their owners: the first one stays. Raises `Unavailable`."""
        ordered = sorted(owners.items())  # so that two statements never wait for each other
        values: dict[str, list[Any]] = {
            "target_id": [target for (target, _), _ in ordered],
            "context_id": [context_id for (_, context_id), _ in ordered],
            "owner_id": [owner.workspace_id for _, owner in ordered],
            "owner_org_id": [owner.org_id for _, owner in ordered],
            "owner_token_id": [owner.token_id for _, owner in ordered],
        }
        return _read_owners(await _NOTE.fetch(self._connections, values))

    async def trim(self, target: WorkspaceId, owner: TaskOwner, *, keep: int, limit: int) -> int:
        """Delete at most `limit` contexts of an owner at a workspace beyond the `keep` seen last; returns how many."""
        own = sa.and_(
            _C.target_id == target,
            _C.owner_id.is_not_distinct_from(owner.workspace_id),
            _C.owner_org_id.is_not_distinct_from(owner.org_id),
            _C.owner_token_id.is_not_distinct_from(owner.token_id),
        )
        return await self._delete(
            sa.select(_C.context_id).where(own).order_by(_C.seen_at.desc()).offset(keep), target, limit
        )

    async def list_targets(self) -> list[WorkspaceId]:
        """Return the workspaces whose contexts are known."""
        async with database.transaction(self._engine) as connection:
            return [WorkspaceId(target) for target in await connection.scalars(select_distinct(_C.target_id))]

    async def delete_old(self, target: WorkspaceId, *, age: timedelta, limit: int) -> int:
        """Delete at most `limit` contexts of a workspace that were last seen before `age`; returns how many."""
        old = sa.select(_C.context_id).where(_C.target_id == target, _C.seen_at < NOW - age)
        return await self._delete(old, target, limit)

    async def purge(self, workspace_id: WorkspaceId, *, limit: int) -> int:
        """Delete at most `limit` contexts at a workspace, and as many of its own; returns how many."""
        total = 0
        async with database.transaction(self._engine) as connection:
            for own in (_C.target_id == workspace_id, _C.owner_id == workspace_id):
                chosen = sa.select(_C.target_id, _C.context_id).where(own).limit(limit)
                deleted = sa.delete(CONTEXTS).where(sa.tuple_(_C.target_id, _C.context_id).in_(chosen))
                total += (await connection.execute(deleted)).rowcount
        return total

    async def _delete(self, chosen: sa.Select[Any], target: WorkspaceId, limit: int) -> int:
        async with database.transaction(self._engine) as connection:
            deleted = sa.delete(CONTEXTS).where(_C.target_id == target, _C.context_id.in_(chosen.limit(limit)))
            return (await connection.execute(deleted)).rowcount


def _read_owners(rows: Iterable[Any]) -> dict[ContextKey, TaskOwner]:
    return {
        (WorkspaceId(str(row[0])), str(row[1])): TaskOwner(
            None if row[2] is None else WorkspaceId(str(row[2])), row[3], row[4]
        )
        for row in rows
    }


def _build_note() -> CompiledStatement:
    rows = build_array_table({name: _C[name].type for name in _NAMES}, ordinality="place")
    selected = sa.select(*(rows.c[name] for name in _NAMES), NOW).order_by(rows.c.place)
    upsert = insert(CONTEXTS).from_select([*_NAMES, "seen_at"], selected)
    seen = upsert.on_conflict_do_update(index_elements=["target_id", "context_id"], set_={"seen_at": NOW})
    return CompiledStatement(seen.returning(*(_C[name] for name in _NAMES)))


_NOTE = _build_note()
