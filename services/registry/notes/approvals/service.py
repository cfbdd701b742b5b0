"""Stores approval requests and decides each of them once: by a person in time, or by the plane."""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.notes.approvals import rules
from services.registry.notes.approvals.rules import Approval, ApprovalDecision, ListedApproval
from services.registry.notes.approvals.store import ApprovalStore
from services.registry.notes.errors import ApprovalNotFound, OwnApproval, TooManyNotes
from services.registry.store.transaction import Store
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.model import Status, WorkspaceId

log = structlog.get_logger()

APPROVALS_PER_BATCH = 500
"""Approvals that one transaction of a sweep takes."""


class Approvals:
    """The approvals of all workspaces."""

    def __init__(self, store: Store, *, clock: Clock, retention: timedelta) -> None:
        """`retention` is the age at which approvals are deleted, decided or not."""
        self._store = store
        self._clock = clock
        self._retention = retention

    async def request(self, caller: Identity, approval: Approval) -> Approval:
        """Store a new request, and publish it. An approval with a known id is neither stored nor published again."""
        rules.check_approval(approval)
        async with self._store.begin() as tx:
            approvals = ApprovalStore(tx.connection, tx.now)
            workspace = await access.require_writable(tx, caller, approval.workspace_id)
            if await approvals.count_pending(workspace.id) >= rules.MAX_PENDING_APPROVALS_PER_WORKSPACE:
                raise TooManyNotes("pending approvals", rules.MAX_PENDING_APPROVALS_PER_WORKSPACE)
            if await approvals.insert(approval):
                await approvals.delete_surplus(workspace.id, kept=rules.MAX_APPROVALS_PER_WORKSPACE)
                tx.save(workspace, rules.build_request_notice(approval))
                if workspace.parent_id is not None:
                    tx.publish(await tx.get(workspace.parent_id), rules.build_escalation_notice(approval))
                log.info("approval requested", workspace=workspace.id, approval=approval.id)
        return approval

    async def list(self, caller: Identity, workspace_id: WorkspaceId, *, size: int) -> Sequence[ListedApproval]:
        """Return the newest approvals of a workspace; none of an unknown or removed workspace."""
        async with self._store.begin() as tx:
            if await access.find_listable(tx, caller, workspace_id) is None:
                return ()
            return await ApprovalStore(tx.connection, tx.now).list_newest(workspace_id, limit=size)

    async def list_pending(self, caller: Identity, *, size: int) -> Sequence[ListedApproval]:
        """Return the newest pending approvals of every workspace that the caller may decide for."""
        async with self._store.begin() as tx:
            return await ApprovalStore(tx.connection, tx.now).list_pending(
                org_id=access.get_org_filter(caller), limit=size
            )

    async def decide(
        self, caller: Identity, workspace_id: WorkspaceId, approval_id: str, *, decision: str, by: str
    ) -> Approval:
        """Decide a pending approval.

        Raises `ApprovalNotFound` if it is not pending, and `OwnApproval` if the caller is an agent.
        """
        if caller.kind is Kind.WORKSPACE:
            raise OwnApproval
        wanted, decider = rules.parse_decision(decision), rules.parse_decider(by)
        async with self._store.begin() as tx:
            approvals = ApprovalStore(tx.connection, tx.now)
            workspace = await access.require_writable(tx, caller, workspace_id)
            approval = await approvals.find_pending(workspace_id, approval_id)
            if approval is None:
                raise ApprovalNotFound
            decided = rules.apply_decision(approval, wanted, decider, self._clock.now())
            await approvals.update(decided)
            tx.save(workspace, rules.build_decision_notice(decided))
            await tx.audit_outbox.add(
                caller, AuditAction.DECIDED, workspace, approval_id=approval_id, decision=wanted.value
            )
            log.info("approval decided", workspace=workspace.id, approval=approval.id, decision=wanted)
        return decided

    async def deny_expired(self) -> None:
        """Deny the approvals that waited longer than the decision timeout."""
        async with self._store.begin() as tx:
            approvals = ApprovalStore(tx.connection, tx.now)
            found = await approvals.list_workspaces_with_expired(limit=APPROVALS_PER_BATCH)
        for workspace_id in found:
            await self._deny_expired_of(workspace_id)

    async def delete_old(self) -> None:
        """Delete the approvals that are older than the retention."""
        deleted = APPROVALS_PER_BATCH
        while deleted == APPROVALS_PER_BATCH:
            async with self._store.begin() as tx:
                approvals = ApprovalStore(tx.connection, tx.now)
                deleted = await approvals.delete_old(self._retention, limit=APPROVALS_PER_BATCH)

    async def _deny_expired_of(self, workspace_id: WorkspaceId) -> None:
        """Lock the workspace first, as every other change does; so the second of two sweeps finds nothing."""
        async with self._store.begin() as tx:
            approvals = ApprovalStore(tx.connection, tx.now)
            workspace = await tx.get(workspace_id, lock=True)
            expired = await approvals.list_expired(workspace_id)
            denied = [
                rules.apply_decision(one, ApprovalDecision.DENIED, rules.PLATFORM_DECIDER, self._clock.now())
                for one in expired
            ]
            for approval in denied:
                await approvals.update(approval)
            if denied and workspace.status is not Status.REMOVED:
                tx.save(workspace, *(rules.build_decision_notice(approval) for approval in denied))
        log.info("approvals expired", workspace=workspace_id, count=len(denied))
