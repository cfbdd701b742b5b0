"""Memories: protobuf and model."""

from protos.registry.v1 import memories_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.memories import rules as notes
from services.registry.notes.memories.rules import Memory, Question

MOST = 50
"""Memories in one answer."""


def question_from(request: pb.SearchMemoriesRequest) -> Question:
    """What is looked for."""
    limit = request.limit if 1 <= request.limit <= MOST else MOST
    return notes.question(request.scope, request.query, request.namespace, limit)


def memory_to(memory: Memory) -> pb.Memory:
    """A memory as the contract writes it."""
    return pb.Memory(
        id=memory.id,
        workspace_id=memory.workspace_id,
        scope=memory.scope,
        namespace=memory.namespace,
        content=memory.content,
        created_at=timestamp_from_datetime(memory.created_at),
    )
