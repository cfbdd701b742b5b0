"""♥ What agents remember: alone, as a team, or for everybody."""

from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.errors import MemoryNotFound, TooManyNotes
from services.registry.notes.memories import rules as notes
from services.registry.notes.memories.rules import Memory, Question, Scope
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId


class Memories:
    """Keeps memories, and finds them again for those who may read them."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def commit(
        self, caller: Identity, workspace_id: WorkspaceId, request_id: str, *, content: str, scope: str, namespace: str
    ) -> Memory:
        """Keep a memory. The same caller's same `request_id` keeps one, however often it is sent."""
        wanted = notes.scope_of(scope)
        notes.check(content, namespace)
        memory = Memory(
            id=access.derive_id(caller, request_id),
            workspace_id=workspace_id,
            scope=wanted,
            namespace=namespace or notes.NAMESPACE,
            content=notes.written(content, wanted),
            created_at=self._clock.now(),
        )
        async with self._store.begin() as tx:
            author = await access.require_writable(tx, caller, workspace_id)
            notes.check_author(author, wanted)
            if await tx.memories.count(workspace_id) >= notes.MOST:
                raise TooManyNotes("memories", notes.MOST)
            await tx.memories.put([memory])
        return memory

    async def search(self, caller: Identity, workspace_id: WorkspaceId, question: Question) -> Sequence[Memory]:
        """The memories that a workspace looks for and may read; none for one that is unknown or removed."""
        async with self._store.begin() as tx:
            reader = await access.find_listable(tx, caller, workspace_id)
            if reader is None:
                return ()
            found = await tx.memories.search(reader.id, notes.lead_of(reader), question)
        return [notes.shown(memory) for memory in found] if question.scope is Scope.GLOBAL else found

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, memory_id: str) -> None:
        """Delete a memory of the workspace itself; raises `MemoryNotFound`."""
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            if not await tx.memories.delete(workspace_id, memory_id):
                raise MemoryNotFound
