"""Routes of memories: texts that agents keep."""

import uuid

from gateway.guards import READ, WRITE
from gateway.query_params import parse_limit
from gateway.request_body import BodySpec
from gateway.route import Call, Route
from gateway.schemas.memories import CommittedMemory, DeletionResult, Memory, NewMemory, render_memory
from protos.registry.v1 import memories_pb2 as pb
from protos.registry.v1 import memories_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MAX_LIMIT = 50


class MemoryRoutes:
    """Routes to the registry, which keeps memories."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.MemoryServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/workspaces/{id}/memories",
                handler=self.commit,
                summary="Store a memory: for this workspace, its team or all workspaces",
                guard=WRITE,
                body=BodySpec(model=NewMemory),
                success=201,
                answer=CommittedMemory,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/memories",
                handler=self.search,
                summary="Memories that a workspace may read: the newest, or those that match best",
                guard=READ,
                query={
                    "scope": "`LOCAL`, `TEAM` or `GLOBAL`; without it the workspace's own of every scope",
                    "q": "Words to look for; a single character is looked for as it is",
                    "namespace": "Only memories of this namespace",
                    "limit": "1 to 50; anything else is 50",
                },
                answer=list[Memory],
            ),
            Route(
                method="DELETE",
                path="/workspaces/{id}/memories/{memoryId}",
                handler=self.delete,
                summary="Forget a memory of the workspace itself",
                guard=WRITE,
                answer=DeletionResult,
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    async def commit(self, call: Call) -> object:
        """Save a memory."""
        request = pb.CommitMemoryRequest(
            workspace_id=call.workspace_id,
            request_id=str(uuid.uuid4()),
            content=call.body.content,
            scope=call.body.scope,
            namespace=call.body.namespace,
        )
        reply: pb.CommitMemoryResponse = await self._registry.call(
            self._stub.CommitMemory, request, on_behalf_of=call.identity
        )
        return CommittedMemory(id=reply.memory.id, namespace=reply.memory.namespace, scope=reply.memory.scope)

    async def search(self, call: Call) -> object:
        """List the memories that match the query."""
        request = pb.SearchMemoriesRequest(
            workspace_id=call.workspace_id,
            scope=call.query.get("scope", ""),
            query=call.query.get("q", ""),
            namespace=call.query.get("namespace", ""),
            limit=parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=MAX_LIMIT),
        )
        reply: pb.SearchMemoriesResponse = await self._registry.call(
            self._stub.SearchMemories, request, on_behalf_of=call.identity
        )
        return [render_memory(message) for message in reply.memories]

    async def delete(self, call: Call) -> object:
        """Delete a memory."""
        request = pb.DeleteMemoryRequest(workspace_id=call.workspace_id, memory_id=call.path["memoryId"])
        await self._registry.call(self._stub.DeleteMemory, request, on_behalf_of=call.identity)
        return DeletionResult(status="deleted")
