"""♥ How far agents have come with what they do in steps."""

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
    """Some of the steps, and the token to go on with; empty on the last one."""

    checkpoints: Sequence[Checkpoint]
    next_page_token: str = ""


class Checkpoints:
    """Keeps completed steps, each once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, caller: Identity, checkpoint: Checkpoint) -> Checkpoint:
        """Keep a step; the same step of the same workflow is replaced."""
        rules.check_checkpoint(checkpoint)
        async with self._store.begin() as tx:
            await access.writes(tx, caller, checkpoint.workspace_id)
            kept = await CheckpointStore(tx.connection).put(checkpoint)
            if (
                await CheckpointStore(tx.connection).count(checkpoint.workspace_id)
                > rules.MAX_CHECKPOINTS_PER_WORKSPACE
            ):
                raise TooManyNotes("checkpoints", rules.MAX_CHECKPOINTS_PER_WORKSPACE)
        return kept

    async def get_latest(self, caller: Identity, workspace_id: WorkspaceId) -> Checkpoint:
        """The step that was completed last, of any workflow; raises `CheckpointNotFound`."""
        async with self._store.begin() as tx:
            known = await access.lists(tx, caller, workspace_id)
            found = await CheckpointStore(tx.connection).get_latest(workspace_id) if known else None
        if found is None:
            raise CheckpointNotFound("no checkpoints found for workspace")
        return found

    async def list(
        self, caller: Identity, workspace_id: WorkspaceId, workflow_id: str, *, size: int, token: str
    ) -> CheckpointPage:
        """The steps of a workflow, the highest first; raises `CheckpointNotFound` where there is none."""
        before = _parse_page_token(token)
        async with self._store.begin() as tx:
            known = await access.lists(tx, caller, workspace_id)
            found = (
                await CheckpointStore(tx.connection).list_page(workspace_id, workflow_id, before=before, limit=size + 1)
                if known
                else []
            )
        if not found and before is None:
            raise CheckpointNotFound("no checkpoints found for workflow")
        if len(found) <= size:
            return CheckpointPage(found)
        last = found[size - 1]
        return CheckpointPage(found[:size], pages.encode_page_token([str(last.step_index), last.step_name]))

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, workflow_id: str) -> int:
        """Delete the steps of a workflow; how many there were. Raises `CheckpointNotFound` where that is none."""
        async with self._store.begin() as tx:
            await access.writes(tx, caller, workspace_id)
            deleted = await CheckpointStore(tx.connection).delete(workspace_id, workflow_id)
        if not deleted:
            raise CheckpointNotFound("no checkpoints found for workflow")
        return deleted


def _parse_page_token(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    step_index, step_name = pages.decode_page_token(token, 2)
    try:
        return int(step_index), step_name
    except ValueError:
        raise pages.InvalidPageToken from None
