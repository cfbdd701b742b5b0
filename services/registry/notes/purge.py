"""Deletes the notes of purged workspaces."""

from collections.abc import Sequence

from services.registry.notes.approvals.store import ApprovalStore
from services.registry.notes.checkpoints.store import CheckpointStore
from services.registry.notes.configs.store import ConfigStore
from services.registry.notes.entries.store import EntryStore
from services.registry.notes.instructions.store import InstructionStore
from services.registry.notes.memories.store import MemoryStore
from services.registry.store.transaction import Transaction
from services.registry.workspace.model import WorkspaceId


async def delete_notes(tx: Transaction, ids: Sequence[WorkspaceId]) -> None:
    """Delete the notes of these workspaces, with one statement for each kind of note."""
    for store in (
        MemoryStore(tx.connection),
        EntryStore(tx.connection, tx.now),
        ApprovalStore(tx.connection, tx.now),
        CheckpointStore(tx.connection),
        ConfigStore(tx.connection),
        InstructionStore(tx.connection),
    ):
        await store.delete_of_workspaces(ids)
