"""Converts memories between protobuf and the model."""

from protos.registry.v1 import memories_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.memories import rules
from services.registry.notes.memories.rules import Memory, MemoryQuery

MAX_MEMORIES_PER_ANSWER = 50


def query_from_request(request: pb.SearchMemoriesRequest) -> MemoryQuery:
    limit = request.limit if 1 <= request.limit <= MAX_MEMORIES_PER_ANSWER else MAX_MEMORIES_PER_ANSWER
    return rules.build_query(request.scope, request.query, request.namespace, limit)


def memory_to_proto(memory: Memory) -> pb.Memory:
    return pb.Memory(
        id=memory.id,
        workspace_id=memory.workspace_id,
        scope=memory.scope,
        namespace=memory.namespace,
        content=memory.content,
        created_at=timestamp_from_datetime(memory.created_at),
    )
