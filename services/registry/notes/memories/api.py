"""The servicer of memories: translates between protobuf and the service."""

from protos.registry.v1 import memories_pb2 as pb
from protos.registry.v1 import memories_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.rpc import Context
from services.registry.notes.memories import wire
from services.registry.notes.memories.service import Memories
from services.registry.workspace.model import WorkspaceId


class MemoryServicer(rpc.MemoryServiceServicer):
    """One method for each RPC on memories."""

    def __init__(self, memories: Memories) -> None:
        self._memories = memories

    async def CommitMemory(self, request: pb.CommitMemoryRequest, context: Context) -> pb.CommitMemoryResponse:
        memory = await self._memories.commit(
            identity.current(),
            WorkspaceId(request.workspace_id),
            request.request_id,
            content=request.content,
            scope=request.scope,
            namespace=request.namespace,
        )
        return pb.CommitMemoryResponse(memory=wire.memory_to_proto(memory))

    async def SearchMemories(self, request: pb.SearchMemoriesRequest, context: Context) -> pb.SearchMemoriesResponse:
        found = await self._memories.search(
            identity.current(), WorkspaceId(request.workspace_id), wire.query_from_request(request)
        )
        return pb.SearchMemoriesResponse(memories=[wire.memory_to_proto(memory) for memory in found])

    async def FindMemories(self, request: pb.FindMemoriesRequest, context: Context) -> pb.FindMemoriesResponse:
        found = await self._memories.find(
            identity.current(),
            WorkspaceId(request.workspace_id),
            request.text,
            limit=pages.choose_page_size(request.page_size, default=50, maximum=200),
        )
        return pb.FindMemoriesResponse(memories=[wire.memory_to_proto(memory) for memory in found])

    async def DeleteMemory(self, request: pb.DeleteMemoryRequest, context: Context) -> pb.DeleteMemoryResponse:
        await self._memories.delete(identity.current(), WorkspaceId(request.workspace_id), request.memory_id)
        return pb.DeleteMemoryResponse()
