"""Places, confirms, bars and forgets workspaces."""

from collections.abc import Collection
from datetime import datetime, timedelta

import structlog

from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import RevokedWorkspace
from services.auth.store.transaction import Store
from services.chassis.clock import Clock

log = structlog.get_logger()

UNCONFIRMED_PLACEMENT_LIFETIME = timedelta(minutes=10)
"""How long a placement may stay unconfirmed: far longer than creating a workspace takes."""


class Placements:
    """Keeps auth's record of which workspaces exist."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def place(self, memberships: Collection[OrgMembership]) -> None:
        """Save workspaces that will be created, or have moved. New ones are forgotten unless confirmed in time."""
        await self._save(memberships, confirmed_at=None)

    async def confirm(self, memberships: Collection[OrgMembership]) -> None:
        """Note that the workspaces were created; unknown ones are placed first."""
        await self._save(memberships, confirmed_at=self._clock.now())

    async def bar(self, workspace_id: WorkspaceId) -> int:
        """Revoke all tokens and refuse new ones permanently; return how many were live.

        An unknown workspace is barred too, in case it is placed later.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.placements.bar(workspace_id, now=now)
            revoked = await tx.workspace_tokens.revoke(workspace_id, now=now)
            await tx.revocations.publish([RevokedWorkspace(workspace_id)], now=now)
        log.info("workspace barred", workspace=workspace_id, revoked=len(revoked))
        return len(revoked)

    async def forget(self, workspace_id: WorkspaceId) -> None:
        """Delete everything that auth stores about the workspace."""
        async with self._store.begin() as tx:
            if await tx.placements.forget(workspace_id):
                await tx.revocations.publish([RevokedWorkspace(workspace_id)], now=self._clock.now())

    async def forget_unconfirmed(self) -> None:
        """Forget the workspaces whose creation was not confirmed in time."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            forgotten = await tx.placements.forget_unconfirmed(placed_before=now - UNCONFIRMED_PLACEMENT_LIFETIME)
            await tx.revocations.publish([RevokedWorkspace(workspace_id) for workspace_id in forgotten], now=now)
        if forgotten:
            log.info("unconfirmed placements forgotten", count=len(forgotten))

    async def _save(self, memberships: Collection[OrgMembership], *, confirmed_at: datetime | None) -> None:
        now = self._clock.now()
        async with self._store.begin() as tx:
            before = await tx.placements.lock_memberships([membership.workspace_id for membership in memberships])
            await tx.placements.save(memberships, now=now, confirmed_at=confirmed_at)
            moved = _find_moved(before, memberships)
            await tx.revocations.publish([RevokedWorkspace(workspace_id) for workspace_id in moved], now=now)


def _find_moved(before: Collection[OrgMembership], after: Collection[OrgMembership]) -> list[WorkspaceId]:
    """Return the known workspaces whose organisation changes."""
    known = {membership.workspace_id for membership in before}
    return sorted(
        membership.workspace_id for membership in set(after) - set(before) if membership.workspace_id in known
    )
