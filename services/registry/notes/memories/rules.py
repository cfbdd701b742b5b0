"""Memories: what may be written, who reads it, and how it is shown (docs/spec/rest.md, 6.14)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.registry.notes.errors import InvalidNote, RootsOnly
from services.registry.notes.redaction import redact_secrets
from services.registry.workspace.model import Workspace, WorkspaceId
from services.registry.workspace.validation import InitialMemory

MAX_CONTENT_BYTES = 100_000
"""Of the longest memory."""

MAX_NAMESPACE_BYTES = 50
"""Of the longest namespace."""

MAX_QUERY_BYTES = 1000
"""Of the longest question."""

DEFAULT_NAMESPACE = "general"
"""Where memories are that nobody put elsewhere."""

MAX_MEMORIES_PER_WORKSPACE = 10_000
"""Memories that a workspace can have."""


class MemoryScope(StrEnum):
    """Who reads a memory."""

    LOCAL = "LOCAL"
    TEAM = "TEAM"
    GLOBAL = "GLOBAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Something to be remembered."""

    id: str
    workspace_id: WorkspaceId
    scope: MemoryScope
    namespace: str
    content: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryQuery:
    """Which memories are looked for; no scope means the workspace's own of every scope."""

    scope: MemoryScope | None = None
    query: str = ""
    namespace: str = ""
    limit: int = 50


def parse_scope(text: str) -> MemoryScope:
    """The scope that a text names; raises `InvalidNote`."""
    if text not in set(MemoryScope):
        raise InvalidNote("scope must be LOCAL, TEAM, or GLOBAL")
    return MemoryScope(text)


def check_memory(content: str, namespace: str) -> None:
    """Raise `InvalidNote` for what no memory can be."""
    if not content or "\0" in content + namespace:
        raise InvalidNote("invalid request body")
    if len(content.encode()) > MAX_CONTENT_BYTES:
        raise InvalidNote(f"content must be <= {MAX_CONTENT_BYTES} bytes")
    if len(namespace.encode()) > MAX_NAMESPACE_BYTES:
        raise InvalidNote(f"namespace must be <= {MAX_NAMESPACE_BYTES} characters")


def check_author(author: Workspace, scope: MemoryScope) -> None:
    """Raise `RootsOnly` where somebody below a root would speak to everybody."""
    if scope is MemoryScope.GLOBAL and author.parent_id is not None:
        raise RootsOnly


def build_query(scope: str, query: str, namespace: str, limit: int) -> MemoryQuery:
    """What is looked for; raises `InvalidNote`."""
    if len(query.encode()) > MAX_QUERY_BYTES:
        raise InvalidNote(f"q must be <= {MAX_QUERY_BYTES} bytes")
    wanted = parse_scope(scope) if scope else None
    return MemoryQuery(scope=wanted, query=query.strip(), namespace=namespace, limit=limit)


def sanitize_content(content: str, scope: MemoryScope) -> str:
    """What is kept of a text: no recognised secret, and nothing that looks like the frame of somebody else's memory."""
    kept = redact_secrets(content)
    return kept.replace("[MEMORY ", "[_MEMORY ") if scope is MemoryScope.GLOBAL else kept


def build_initial_memories(author: Workspace, some: Iterable[InitialMemory], ids: Iterable[str]) -> list[Memory]:
    """The memories that a workspace begins with, in their order, under these ids.

    Passed over are those that are empty, of an unknown scope, or for everybody from somebody below a root. What is too
    long is cut between two characters, after secrets are replaced: half a secret is not recognised.
    """
    usable = [memory for memory in some if _is_usable(author, memory)]
    return [
        Memory(
            id=memory_id,
            workspace_id=author.id,
            scope=MemoryScope(memory.scope or MemoryScope.LOCAL),
            namespace=DEFAULT_NAMESPACE,
            content=_truncate_content(sanitize_content(memory.content, MemoryScope(memory.scope or MemoryScope.LOCAL))),
            created_at=author.created_at + timedelta(microseconds=place),
        )
        for place, (memory, memory_id) in enumerate(zip(usable, ids, strict=False))
    ]


def get_team_lead(reader: Workspace) -> WorkspaceId:
    """The workspace whose team somebody reads with: its parent and the parent's children; a root's own team."""
    return reader.parent_id or reader.id


def is_in_team(lead: WorkspaceId, author: Workspace) -> bool:
    """Whether somebody is in the team of `lead`. The store asks the same of the database."""
    return lead in {author.id, author.parent_id}


def frame_memory(memory: Memory) -> Memory:
    """A memory as those read it who asked for everybody's: framed, so that nobody takes it for their own."""
    frame = f"[MEMORY id={memory.id} scope={memory.scope} from={memory.workspace_id}]"
    return replace(memory, content=f"{frame}: {memory.content}")


def _is_usable(author: Workspace, memory: InitialMemory) -> bool:
    allowed = {"", *MemoryScope} if author.parent_id is None else {"", MemoryScope.LOCAL, MemoryScope.TEAM}
    return memory.scope in allowed and memory.content.strip() != "" and "\0" not in memory.content


def _truncate_content(text: str) -> str:
    return text.encode()[:MAX_CONTENT_BYTES].decode(errors="ignore")
