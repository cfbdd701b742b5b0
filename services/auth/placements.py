"""Places, confirms, bars and forgets workspaces."""

from collections.abc import Collection
from datetime import datetime, timedelta

import structlog

from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import RevocationTarget, RevokedToken, RevokedWorkspace
from services.auth.store.transaction import Store, Transaction
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
        """Note that the workspaces were created or moved; unknown ones are placed first.

        The organisation tokens of a workspace that is no root any more are revoked for good, also if it becomes one
        again. This waits for the confirmation, because a move that was only placed may yet fail.
        """
        await self._save(memberships, confirmed_at=self._clock.now())
        await self._revoke_tokens_of_orgs([one.workspace_id for one in memberships if one.org_id != one.workspace_id])

    async def bar(self, workspace_id: WorkspaceId) -> int:
        """Revoke all tokens and refuse new ones permanently; return how many were live.

        An unknown workspace is barred too, in case it is placed later.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            await tx.placements.bar(workspace_id, now=now)
            revoked = await tx.workspace_tokens.revoke(workspace_id, now=now)
            below = await _revoke_tokens_of_orgs(tx, [workspace_id], now=now)
            await tx.revocations.publish([RevokedWorkspace(workspace_id), *below], now=now)
        log.info("workspace barred", workspace=workspace_id, revoked=len(revoked))
        return len(revoked)

    async def forget(self, workspace_id: WorkspaceId) -> None:
        """Delete everything that auth stores about the workspace."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            below = await _revoke_tokens_of_orgs(tx, [workspace_id], now=now)
            if await tx.placements.forget(workspace_id):
                await tx.revocations.publish([RevokedWorkspace(workspace_id), *below], now=now)

    async def forget_unconfirmed(self) -> None:
        """Forget the workspaces whose creation was not confirmed in time."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            forgotten = await tx.placements.forget_unconfirmed(placed_before=now - UNCONFIRMED_PLACEMENT_LIFETIME)
            await tx.revocations.publish([RevokedWorkspace(workspace_id) for workspace_id in forgotten], now=now)
        if forgotten:
            log.info("unconfirmed placements forgotten", count=len(forgotten))

    async def _save(self, memberships: Collection[OrgMembership], *, confirmed_at: datetime | None) -> None:
        """Save the memberships. What tokens of its former organisation minted for a moved workspace is revoked."""
        now = self._clock.now()
        ids = [membership.workspace_id for membership in memberships]
        async with self._store.begin() as tx:
            if _find_moved(await tx.placements.list_memberships(ids), memberships):
                await tx.token_tree.lock()  # before the rows, as everywhere
            before = await tx.placements.lock_memberships(ids)
            await tx.placements.save(memberships, now=now, confirmed_at=confirmed_at)
            moved = _find_moved(before, memberships)
            out_of_reach = await tx.token_tree.list_out_of_reach(moved) if moved else ()
            revoked = await tx.token_tree.revoke(out_of_reach, now=now)
            targets: list[RevocationTarget] = [RevokedWorkspace(membership.workspace_id) for membership in moved]
            await tx.revocations.publish([*targets, *map(RevokedToken, revoked)], now=now)

    async def _revoke_tokens_of_orgs(self, org_ids: Collection[WorkspaceId]) -> None:
        async with self._store.reading() as tx:
            if not org_ids or not await tx.token_tree.list_of_orgs(org_ids):
                return
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            await tx.revocations.publish(await _revoke_tokens_of_orgs(tx, org_ids, now=now), now=now)


async def _revoke_tokens_of_orgs(
    tx: Transaction, org_ids: Collection[WorkspaceId], *, now: datetime
) -> list[RevocationTarget]:
    """Revoke the organisation tokens of these roots and all below them; return what to publish."""
    token_ids = await tx.token_tree.list_of_orgs(org_ids)
    return [RevokedToken(digest) for digest in await tx.token_tree.revoke(token_ids, now=now)]


def _find_moved(before: Collection[OrgMembership], after: Collection[OrgMembership]) -> list[OrgMembership]:
    """Return the known workspaces whose organisation changes, with the organisation that they come into."""
    known = {membership.workspace_id for membership in before}
    moved = [membership for membership in set(after) - set(before) if membership.workspace_id in known]
    return sorted(moved, key=lambda membership: membership.workspace_id)
