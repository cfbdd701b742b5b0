"""Stores the completed steps of workflows, each once."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis import pages
from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.checkpoints import rules
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.notes.checkpoints.store import CheckpointStore
from services.registry.notes.errors import CheckpointNotFound, TooManyNotes
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId


@dataclass(frozen=True, slots=True)
class CheckpointPage:
    """Some checkpoints of a list, and the token of the next page; empty on the last page."""

    checkpoints: Sequence[Checkpoint]
    next_page_token: str = ""


class Checkpoints:
    """The checkpoints of all workspaces."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, caller: Identity, checkpoint: Checkpoint) -> Checkpoint:
        """Store a completed step, in place of the same step of the same workflow."""
        rules.check_checkpoint(checkpoint)
        async with self._store.begin() as tx:
            checkpoints = CheckpointStore(tx.connection)
            await access.require_writable(tx, caller, checkpoint.workspace_id)
            stored = await checkpoints.put(checkpoint)
            if await checkpoints.count(checkpoint.workspace_id) > rules.MAX_CHECKPOINTS_PER_WORKSPACE:
                raise TooManyNotes("checkpoints", rules.MAX_CHECKPOINTS_PER_WORKSPACE)
        return stored

    async def get_latest(self, caller: Identity, workspace_id: WorkspaceId) -> Checkpoint:
        """Return the step that was completed last, of any workflow; raises `CheckpointNotFound`."""
        async with self._store.begin() as tx:
            workspace = await access.find_listable(tx, caller, workspace_id)
            found = await CheckpointStore(tx.connection).find_latest(workspace_id) if workspace else None
        if found is None:
            raise CheckpointNotFound("no checkpoints found for workspace")
        return found

    async def list(
        self, caller: Identity, workspace_id: WorkspaceId, workflow_id: str, *, size: int, token: str
    ) -> CheckpointPage:
        """Return the steps of a workflow, the highest first; raises `CheckpointNotFound` if it has none."""
        before = _parse_page_token(token)
        async with self._store.begin() as tx:
            found: list[Checkpoint] = []
            if await access.find_listable(tx, caller, workspace_id):
                found = await CheckpointStore(tx.connection).list_page(
                    workspace_id, workflow_id, before=before, limit=size + 1
                )
        if not found and before is None:
            raise CheckpointNotFound("no checkpoints found for workflow")
        if len(found) <= size:
            return CheckpointPage(found)
        last = found[size - 1]
        return CheckpointPage(found[:size], pages.encode_page_token([str(last.step_index), last.step_name]))

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, workflow_id: str) -> int:
        """Delete the steps of a workflow and return their number; raises `CheckpointNotFound` if it has none."""
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            deleted = await CheckpointStore(tx.connection).delete_workflow(workspace_id, workflow_id)
        if not deleted:
            raise CheckpointNotFound("no checkpoints found for workflow")
        return deleted


def _parse_page_token(token: str) -> tuple[int, str] | None:
    """Return the step index and the step name in a token; raises `InvalidPageToken`."""
    if not token:
        return None
    step_index, step_name = pages.decode_page_token(token, 2)
    try:
        return int(step_index), step_name
    except ValueError:
        raise pages.InvalidPageToken from None
