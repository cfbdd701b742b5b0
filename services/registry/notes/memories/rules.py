"""Rules of memories: which are valid, who reads them, and how readers see them (docs/spec/rest.md, 6.14)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate

from services.registry.notes.errors import InvalidNote, NotesTooLarge, RootsOnly, TooManyNotes
from services.registry.notes.redaction import redact_secrets
from services.registry.workspace.model import Workspace, WorkspaceId
from services.registry.workspace.validation import InitialMemory

MAX_CONTENT_BYTES = 100_000
MAX_NAMESPACE_BYTES = 50
MAX_QUERY_BYTES = 1000

MAX_PAGE_BYTES = 12 * 1024 * 1024
"""Bytes of the contents in one result; a gRPC message may have 16 MiB."""

DEFAULT_NAMESPACE = "general"
"""The namespace of a memory if the caller names none."""

MAX_MEMORIES_PER_WORKSPACE = 10_000

MAX_MEMORY_BYTES_PER_WORKSPACE = 64 * 1024 * 1024
"""Bytes of the contents of all memories that a workspace wrote."""


class MemoryScope(StrEnum):
    """The readers of a memory: its author, the author's team, or all workspaces."""

    LOCAL = "LOCAL"
    TEAM = "TEAM"
    GLOBAL = "GLOBAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A text that a workspace stored."""

    id: str
    workspace_id: WorkspaceId
    scope: MemoryScope
    namespace: str
    content: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryQuery:
    """A search. Without a scope it finds what the workspace itself wrote, of every scope."""

    scope: MemoryScope | None = None
    query: str = ""
    namespace: str = ""
    limit: int = 50


def parse_scope(text: str) -> MemoryScope:
    """Return the scope that a text names; raises `InvalidNote`."""
    if text not in set(MemoryScope):
        raise InvalidNote("scope must be LOCAL, TEAM, or GLOBAL")
    return MemoryScope(text)


def check_memory(content: str, namespace: str) -> None:
    """Raise `InvalidNote` if the content or the namespace is not valid."""
    if not content or "\0" in content + namespace:
        raise InvalidNote("invalid request body")
    if len(content.encode()) > MAX_CONTENT_BYTES:
        raise InvalidNote(f"content must be <= {MAX_CONTENT_BYTES} bytes")
    if len(namespace.encode()) > MAX_NAMESPACE_BYTES:
        raise InvalidNote(f"namespace must be <= {MAX_NAMESPACE_BYTES} characters")


def check_quota(count: int, size_with_new: int) -> None:
    """Raise `TooManyNotes` or `NotesTooLarge` if a workspace with `count` memories cannot store a further one."""
    if count >= MAX_MEMORIES_PER_WORKSPACE:
        raise TooManyNotes("memories", MAX_MEMORIES_PER_WORKSPACE)
    if size_with_new > MAX_MEMORY_BYTES_PER_WORKSPACE:
        raise NotesTooLarge("memories", MAX_MEMORY_BYTES_PER_WORKSPACE)


def check_author(author: Workspace, scope: MemoryScope) -> None:
    """Raise `RootsOnly` if a workspace with a parent writes a global memory."""
    if scope is MemoryScope.GLOBAL and author.parent_id is not None:
        raise RootsOnly


def build_query(scope: str, query: str, namespace: str, limit: int) -> MemoryQuery:
    """Return the search that a caller asks for; raises `InvalidNote`."""
    check_query_length(query)
    wanted = parse_scope(scope) if scope else None
    return MemoryQuery(scope=wanted, query=query.strip(), namespace=namespace, limit=limit)


def check_query_length(query: str) -> None:
    """Raise `InvalidNote` if the text of a search is too long."""
    if len(query.encode()) > MAX_QUERY_BYTES:
        raise InvalidNote(f"q must be <= {MAX_QUERY_BYTES} bytes")


def cut_page(found: Sequence[Memory]) -> Sequence[Memory]:
    """Return the first memories whose contents fit into one message."""
    sizes = accumulate(len(memory.content.encode()) for memory in found)
    return [memory for memory, size in zip(found, sizes, strict=True) if size <= MAX_PAGE_BYTES]


def sanitize_content(content: str, scope: MemoryScope) -> str:
    """Return the content without recognised secrets; in a global one, text that looks like a frame is escaped."""
    redacted = redact_secrets(content)
    return redacted.replace("[MEMORY ", "[_MEMORY ") if scope is MemoryScope.GLOBAL else redacted


def build_initial_memories(author: Workspace, wanted: Iterable[InitialMemory], ids: Iterable[str]) -> list[Memory]:
    """Return the memories that a new workspace starts with, in their order, with the given ids.

    Memories that the workspace could not have written itself are left out: empty ones, those of an unknown scope, and
    global ones of a workspace with a parent. A long content is truncated between two characters, and only after secrets
    are redacted, because a truncated secret is not recognised.
    """
    usable = [memory for memory in wanted if _is_usable(author, memory)]
    return [
        Memory(
            id=memory_id,
            workspace_id=author.id,
            scope=MemoryScope(memory.scope or MemoryScope.LOCAL),
            namespace=DEFAULT_NAMESPACE,
            content=_truncate_content(sanitize_content(memory.content, MemoryScope(memory.scope or MemoryScope.LOCAL))),
            created_at=author.created_at + timedelta(microseconds=index),
        )
        for index, (memory, memory_id) in enumerate(zip(usable, ids, strict=False))
    ]


def get_team_lead(reader: Workspace) -> WorkspaceId:
    """Return the workspace that, with its children, is the team of the reader: its parent; of a root, itself."""
    return reader.parent_id or reader.id


def is_in_team(lead: WorkspaceId, author: Workspace) -> bool:
    """Whether the author is in the team of `lead`. The store has the same condition in SQL."""
    return lead in {author.id, author.parent_id}


def frame_memory(memory: Memory) -> Memory:
    """Return a global memory framed with its author, so that a reader does not take it for its own."""
    frame = f"[MEMORY id={memory.id} scope={memory.scope} from={memory.workspace_id}]"
    return replace(memory, content=f"{frame}: {memory.content}")


def _is_usable(author: Workspace, memory: InitialMemory) -> bool:
    allowed = {"", *MemoryScope} if author.parent_id is None else {"", MemoryScope.LOCAL, MemoryScope.TEAM}
    return memory.scope in allowed and memory.content.strip() != "" and "\0" not in memory.content


def _truncate_content(text: str) -> str:
    return text.encode()[:MAX_CONTENT_BYTES].decode(errors="ignore")
