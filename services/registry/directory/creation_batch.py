"""The transaction that commits a batch of new workspaces with everything that belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from uuid import uuid4

from services.chassis.identity import Identity
from services.registry.directory.workspace_plan import WorkspacePlan
from services.registry.notes.memories import rules as memory_rules
from services.registry.notes.memories.store import MemoryStore
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import events, hierarchy, quotas, state_machine
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import ExternalCreated
from services.registry.workspace.model import Workspace, WorkspaceId
from services.registry.workspace.quotas import Quotas


class BatchKind(Enum):
    """What asked for a batch."""

    SINGLE = auto()
    """One workspace, which gets a token if it is external."""

    TREES = auto()
    """An import: new root workspaces with everything below them."""

    TEAM = auto()
    """Children of an existing workspace; a child whose name already exists there is kept instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationBatch:
    """Workspaces that one transaction creates, at least one. `plans` and `workspaces` have the same order."""

    kind: BatchKind
    caller: Identity
    request_id: str
    parent_id: WorkspaceId | None
    plans: Sequence[WorkspacePlan]
    workspaces: Sequence[Workspace]


async def insert_batch(store: Store, batch: CreationBatch, limits: Quotas) -> list[Workspace]:
    """Commit the batch, and return its workspaces in their order.

    Returns the existing workspaces where an earlier, equal request has created them, or where a team has children of
    these names; raises `ParentNotFound`, `TooManyWorkspaces` or `TooManyRunning`.
    """
    async with store.begin() as tx:
        await tx.tree.lock()
        repeated = await _find_repeated(tx, batch)
        if repeated:
            return repeated
        parent = await _lock_parent(tx, batch)
        existing = await _find_existing_children(tx, batch)
        new = [
            (replace(workspace, org_id=parent.org_id) if parent else workspace, plan)
            for workspace, plan in zip(batch.workspaces, batch.plans, strict=True)
            if workspace.name not in existing
        ]
        if new:
            await _check_quotas(tx, limits, [workspace for workspace, _ in new])
            await _insert_new(tx, batch, new)
        created = {workspace.id: workspace for workspace, _ in new}
        result = [created.get(one.id) or existing[one.name] for one in batch.workspaces]
        if new and parent and batch.kind is BatchKind.TEAM:
            tx.save(parent, events.build_expansion_event(result))
    return [tx.get_saved(workspace) for workspace in result]


async def _find_repeated(tx: Transaction, batch: CreationBatch) -> list[Workspace]:
    """Return the workspaces of an earlier request with this id, in the order of the batch; none for the first one."""
    if not batch.request_id:
        return []
    found = {workspace.id: workspace for workspace in await tx.lists.list_by_ids([one.id for one in batch.workspaces])}
    if batch.workspaces[0].id not in found:
        return []
    return [found[one.id] for one in batch.workspaces if one.id in found]


async def _lock_parent(tx: Transaction, batch: CreationBatch) -> Workspace | None:
    if batch.parent_id is None:
        return None
    return hierarchy.require_open_parent(await tx.find(batch.parent_id, lock=True))


async def _find_existing_children(tx: Transaction, batch: CreationBatch) -> dict[str, Workspace]:
    if batch.kind is not BatchKind.TEAM or batch.parent_id is None:
        return {}
    return {child.name: child for child in await tx.tree.list_children(batch.parent_id)}


async def _check_quotas(tx: Transaction, limits: Quotas, new: Sequence[Workspace]) -> None:
    for org_id, added in quotas.count_by_org(new).items():
        quotas.check_workspaces(limits, await tx.usage.count_workspaces(org_id), added=added)
    starting = [workspace for workspace in new if quotas.is_running(workspace)]
    for org_id, added in quotas.count_by_org(starting).items():
        quotas.check_running(limits, await tx.usage.count_running(org_id), added=added)


async def _insert_new(tx: Transaction, batch: CreationBatch, new: Sequence[tuple[Workspace, WorkspacePlan]]) -> None:
    """Insert workspaces with their starter files, first memories, events and audit records."""
    await tx.starter_files.save([plan.starter for _, plan in new])
    await MemoryStore(tx.connection).insert(
        [
            memory
            for workspace, plan in new
            for memory in memory_rules.build_initial_memories(
                workspace, plan.draft.initial_memories, (str(uuid4()) for _ in plan.draft.initial_memories)
            )
        ]
    )
    for workspace, _ in new:
        fact = ExternalCreated(at=workspace.created_at)
        now = state_machine.next_state(workspace, fact)
        tx.save(now, events.build_creation_event(workspace), *events.build_change_events(workspace, now, fact))
    workspaces = [workspace for workspace, _ in new]
    details: dict[str, object] = {"workspaces_of_request": len(workspaces)}
    if batch.kind is BatchKind.SINGLE:
        details = {"name": workspaces[0].name, "runtime": workspaces[0].runtime}
    await tx.audit_outbox.add(batch.caller, AuditAction.CREATED, *workspaces, **details)
