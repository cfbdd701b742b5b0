"""Stores placements: which workspaces exist, their organisations, and whether they are barred."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.authorization import CredentialState
from services.auth.model.placements import OrgMembership, Placement, WorkspaceId
from services.auth.store.tables.placements import PLACEMENTS, placement_from_row
from services.auth.store.tables.workspace_tokens import LIVE_TOKENS_OF_PLACEMENT


class PlacementStore:
    """The statements about placements, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, workspace_id: WorkspaceId) -> Placement | None:
        """Return the placement of the workspace."""
        return placement_from_row(await self._first(_select_placements([workspace_id])))

    async def lock(self, workspace_id: WorkspaceId) -> Placement | None:
        """Return the placement, and prevent changes to it and its tokens until this transaction ends."""
        return placement_from_row(await self._first(_select_placements([workspace_id]).with_for_update()))

    async def find_credential_state(self, workspace_id: WorkspaceId | None, *, now: datetime) -> CredentialState:
        """Return whether the workspace is known, is barred, or has a live token."""
        has_live_token = LIVE_TOKENS_OF_PLACEMENT.exists().label("has_live_token")
        row = await self._first(
            sa.select(PLACEMENTS.c.barred_at, has_live_token).where(PLACEMENTS.c.workspace_id == workspace_id), now=now
        )
        if row is None:
            return CredentialState.UNKNOWN
        if row.barred_at is not None:
            return CredentialState.BARRED
        return CredentialState.HAS_LIVE_TOKEN if row.has_live_token else CredentialState.NO_LIVE_TOKEN

    async def list_memberships(self, workspace_ids: Collection[WorkspaceId]) -> Sequence[OrgMembership]:
        """Return the known ones of the workspaces."""
        rows = await self._connection.execute(_select_placements(workspace_ids))
        return [OrgMembership(WorkspaceId(row.workspace_id), row.org_id) for row in rows]

    async def lock_memberships(self, workspace_ids: Collection[WorkspaceId]) -> Sequence[OrgMembership]:
        """Lock the known ones of the workspaces in the order of their ids, so that two callers cannot deadlock."""
        rows = await self._connection.execute(
            _select_placements(workspace_ids).order_by(PLACEMENTS.c.workspace_id).with_for_update()
        )
        return [OrgMembership(WorkspaceId(row.workspace_id), row.org_id) for row in rows]

    async def save(
        self, memberships: Collection[OrgMembership], *, now: datetime, confirmed_at: datetime | None
    ) -> None:
        """Insert or move the workspaces. A workspace that is confirmed or barred stays so."""
        if not memberships:
            return
        new = insert(PLACEMENTS).values(placed_at=now, confirmed_at=confirmed_at)
        await self._connection.execute(
            new.on_conflict_do_update(
                index_elements=[PLACEMENTS.c.workspace_id],
                set_={
                    "org_id": new.excluded.org_id,
                    "placed_at": new.excluded.placed_at,
                    "confirmed_at": sa.func.coalesce(PLACEMENTS.c.confirmed_at, new.excluded.confirmed_at),
                },
            ),
            [
                {"workspace_id": membership.workspace_id, "org_id": membership.org_id}
                for membership in sorted(memberships, key=lambda membership: membership.workspace_id)
            ],
        )

    async def bar(self, workspace_id: WorkspaceId, *, now: datetime) -> None:
        """Bar the workspace, known or not. It counts as confirmed, so `forget_unconfirmed` does not delete the bar."""
        await self._connection.execute(
            insert(PLACEMENTS)
            .values(workspace_id=workspace_id, org_id="", placed_at=now, confirmed_at=now, barred_at=now)
            .on_conflict_do_update(
                index_elements=[PLACEMENTS.c.workspace_id],
                set_={
                    "barred_at": sa.func.coalesce(PLACEMENTS.c.barred_at, now),
                    "confirmed_at": sa.func.coalesce(PLACEMENTS.c.confirmed_at, now),
                },
            )
        )

    async def raise_generation(self, workspace_id: WorkspaceId, generation: int) -> None:
        """Set the lowest generation whose tokens are live."""
        await self._update(workspace_id, lowest_generation=generation)

    async def save_inbound_secret(self, workspace_id: WorkspaceId, sealed: str) -> None:
        """Replace the sealed inbound secret."""
        await self._update(workspace_id, inbound_secret=sealed)

    async def forget(self, workspace_id: WorkspaceId) -> bool:
        """Delete the workspace and its tokens; return whether it was known."""
        result = await self._connection.execute(sa.delete(PLACEMENTS).where(PLACEMENTS.c.workspace_id == workspace_id))
        return result.rowcount > 0

    async def forget_unconfirmed(self, *, placed_before: datetime) -> Sequence[WorkspaceId]:
        """Delete the workspaces that were placed before that time and never confirmed; return their ids."""
        rows = await self._connection.execute(
            sa.delete(PLACEMENTS)
            .where(PLACEMENTS.c.confirmed_at.is_(None), PLACEMENTS.c.placed_at < placed_before)
            .returning(PLACEMENTS.c.workspace_id)
        )
        return [WorkspaceId(row.workspace_id) for row in rows]

    async def _first(self, query: sa.Select[Any], **values: object) -> Any:  # noqa: ANN401 - rows are untyped
        return (await self._connection.execute(query, values)).first()

    async def _update(self, workspace_id: WorkspaceId, **values: object) -> None:
        await self._connection.execute(
            sa.update(PLACEMENTS).where(PLACEMENTS.c.workspace_id == workspace_id).values(**values)
        )


def _select_placements(workspace_ids: Collection[WorkspaceId]) -> sa.Select[Any]:
    return sa.select(PLACEMENTS).where(PLACEMENTS.c.workspace_id.in_(workspace_ids))
