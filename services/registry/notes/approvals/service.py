"""♥ What agents may not do without somebody's consent."""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.notes.approvals import rules as notes
from services.registry.notes.approvals.rules import Approval, Decision, Listed
from services.registry.notes.errors import ApprovalNotFound, OwnApproval, TooManyNotes
from services.registry.store.transaction import Store
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.model import Status, WorkspaceId

log = structlog.get_logger()

BATCH = 500
"""Requests that a sweep takes at a time."""


class Approvals:
    """Keeps requests for consent. Each is decided once: by somebody in time, or by the plane."""

    def __init__(self, store: Store, *, clock: Clock, keep: timedelta) -> None:
        """`keep` is how long requests are kept, decided or not."""
        self._store = store
        self._clock = clock
        self._keep = keep

    async def ask(self, caller: Identity, approval: Approval) -> Approval:
        """Ask for consent, once: the same request does not ask again, however often it is sent."""
        notes.check(approval)
        async with self._store.begin() as tx:
            workspace = await access.require_writable(tx, caller, approval.workspace_id)
            if await tx.approvals.count_open(workspace.id) >= notes.MOST:
                raise TooManyNotes("pending approvals", notes.MOST)
            if await tx.approvals.put(approval):
                tx.save(workspace, notes.asked(approval))
                if workspace.parent_id is not None:
                    tx.publish(await tx.get(workspace.parent_id), notes.escalated(approval))
                log.info("approval requested", workspace=workspace.id, approval=approval.id)
        return approval

    async def list(self, caller: Identity, workspace_id: WorkspaceId, *, size: int) -> Sequence[Listed]:
        """The newest requests of a workspace; none of one that is unknown or removed."""
        async with self._store.begin() as tx:
            if await access.find_listable(tx, caller, workspace_id) is None:
                return ()
            return await tx.approvals.newest(workspace_id, limit=size)

    async def pending(self, caller: Identity, *, size: int) -> Sequence[Listed]:
        """The newest requests that wait for somebody, of every workspace that the caller may decide for."""
        async with self._store.begin() as tx:
            return await tx.approvals.open(org_id=access.get_org_filter(caller), limit=size)

    async def decide(
        self, caller: Identity, workspace_id: WorkspaceId, approval_id: str, *, decision: str, by: str
    ) -> Approval:
        """Decide a request; raises `ApprovalNotFound` where it has been decided, and `OwnApproval` to who asks."""
        if caller.kind is Kind.WORKSPACE:
            raise OwnApproval
        wanted, decider = notes.decision_of(decision), notes.decider_of(by)
        async with self._store.begin() as tx:
            workspace = await access.require_writable(tx, caller, workspace_id)
            approval = await tx.approvals.find_open(workspace_id, approval_id)
            if approval is None:
                raise ApprovalNotFound
            settled = notes.decided(approval, wanted, decider, self._clock.now())
            await tx.approvals.settle(settled)
            tx.save(workspace, notes.settled(settled))
            await tx.audit_outbox.add(
                caller, AuditAction.DECIDED, workspace, approval_id=approval_id, decision=wanted.value
            )
            log.info("approval decided", workspace=workspace.id, approval=approval.id, decision=wanted)
        return settled

    async def expire(self) -> None:
        """Deny what has waited too long."""
        async with self._store.begin() as tx:
            found = await tx.approvals.waited_too_long(limit=BATCH)
        for workspace_id in found:
            await self._deny_late(workspace_id)

    async def forget(self) -> None:
        """Delete what is old."""
        gone = BATCH
        while gone == BATCH:
            async with self._store.begin() as tx:
                gone = await tx.approvals.forget(self._keep, limit=BATCH)

    async def _deny_late(self, workspace_id: WorkspaceId) -> None:
        """In the order of every other change: the workspace first, so that of two sweeps one finds nothing."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id, lock=True)
            late = await tx.approvals.late(workspace_id)
            denied = [notes.decided(one, Decision.DENIED, notes.PLATFORM, self._clock.now()) for one in late]
            for approval in denied:
                await tx.approvals.settle(approval)
            if denied and workspace.status is not Status.REMOVED:
                tx.save(workspace, *(notes.settled(approval) for approval in denied))
        log.info("approvals expired", workspace=workspace_id, count=len(denied))
