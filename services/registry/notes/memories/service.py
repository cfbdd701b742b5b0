"""Stores memories of agents, and searches those that a workspace may read."""

from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.errors import MemoryNotFound
from services.registry.notes.memories import rules
from services.registry.notes.memories.rules import Memory, MemoryQuery, MemoryScope
from services.registry.notes.memories.store import MemoryStore
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId


class Memories:
    """The memories of all workspaces."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def commit(
        self, caller: Identity, workspace_id: WorkspaceId, request_id: str, *, content: str, scope: str, namespace: str
    ) -> Memory:
        """Store a memory. If a caller repeats a `request_id`, one memory is stored."""
        wanted = rules.parse_scope(scope)
        rules.check_memory(content, namespace)
        memory = Memory(
            id=access.derive_id(caller, request_id),
            workspace_id=workspace_id,
            scope=wanted,
            namespace=namespace or rules.DEFAULT_NAMESPACE,
            content=rules.sanitize_content(content, wanted),
            created_at=self._clock.now(),
        )
        async with self._store.begin() as tx:
            memories = MemoryStore(tx.connection)
            author = await access.require_writable(tx, caller, workspace_id)
            rules.check_author(author, wanted)
            count, size = await memories.measure(workspace_id)
            rules.check_quota(count, size + len(memory.content.encode()))
            await memories.insert([memory])
        return memory

    async def search(self, caller: Identity, workspace_id: WorkspaceId, query: MemoryQuery) -> Sequence[Memory]:
        """Return the memories that match and that the workspace may read; none for an unknown or removed one."""
        async with self._store.begin() as tx:
            reader = await access.find_listable(tx, caller, workspace_id)
            if reader is None:
                return ()
            found = await MemoryStore(tx.connection).search(reader.id, rules.get_team_lead(reader), query)
        return [rules.frame_memory(memory) for memory in found] if query.scope is MemoryScope.GLOBAL else found

    async def find(self, caller: Identity, workspace_id: WorkspaceId, text: str, *, limit: int) -> Sequence[Memory]:
        """Return the newest memories that the workspace wrote and that contain the text; none for an unknown one."""
        rules.check_query_length(text)
        async with self._store.begin() as tx:
            author = await access.find_listable(tx, caller, workspace_id)
            if author is None:
                return ()
            found = await MemoryStore(tx.connection).find(author.id, text, limit=limit)
        return rules.cut_page(found)

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, memory_id: str) -> None:
        """Delete a memory that the workspace wrote; raises `MemoryNotFound`."""
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            if not await MemoryStore(tx.connection).delete(workspace_id, memory_id):
                raise MemoryNotFound
