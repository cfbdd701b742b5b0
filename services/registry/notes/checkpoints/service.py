"""♥ How far agents have come with what they do in steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis import pages
from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.checkpoints import rules as notes
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.notes.errors import CheckpointNotFound, TooManyNotes
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the steps, and the token to go on with; empty on the last one."""

    checkpoints: Sequence[Checkpoint]
    next: str = ""


class Checkpoints:
    """Keeps completed steps, each once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, caller: Identity, checkpoint: Checkpoint) -> Checkpoint:
        """Keep a step; the same step of the same workflow is replaced."""
        notes.check(checkpoint)
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, checkpoint.workspace_id)
            kept = await tx.checkpoints.put(checkpoint)
            if await tx.checkpoints.count(checkpoint.workspace_id) > notes.MOST:
                raise TooManyNotes("checkpoints", notes.MOST)
        return kept

    async def latest(self, caller: Identity, workspace_id: WorkspaceId) -> Checkpoint:
        """The step that was completed last, of any workflow; raises `CheckpointNotFound`."""
        async with self._store.begin() as tx:
            known = await access.find_listable(tx, caller, workspace_id)
            found = await tx.checkpoints.latest(workspace_id) if known else None
        if found is None:
            raise CheckpointNotFound("no checkpoints found for workspace")
        return found

    async def list(
        self, caller: Identity, workspace_id: WorkspaceId, workflow_id: str, *, size: int, token: str
    ) -> Page:
        """The steps of a workflow, the highest first; raises `CheckpointNotFound` where there is none."""
        before = _place(token)
        async with self._store.begin() as tx:
            known = await access.find_listable(tx, caller, workspace_id)
            found = await tx.checkpoints.page(workspace_id, workflow_id, before=before, limit=size + 1) if known else []
        if not found and before is None:
            raise CheckpointNotFound("no checkpoints found for workflow")
        if len(found) <= size:
            return Page(found)
        last = found[size - 1]
        return Page(found[:size], pages.encode_page_token([str(last.step_index), last.step_name]))

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, workflow_id: str) -> int:
        """Delete the steps of a workflow; how many there were. Raises `CheckpointNotFound` where that is none."""
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            deleted = await tx.checkpoints.delete(workspace_id, workflow_id)
        if not deleted:
            raise CheckpointNotFound("no checkpoints found for workflow")
        return deleted


def _place(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    step_index, step_name = pages.decode_page_token(token, 2)
    try:
        return int(step_index), step_name
    except ValueError:
        raise pages.InvalidPageToken from None
