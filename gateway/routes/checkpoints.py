"""Routes of checkpoints: completed steps of a workflow."""

from collections.abc import AsyncIterator

from gateway.guards import READ, WRITE
from gateway.request_body import BodySpec, encode_payload
from gateway.route import Call, Route
from gateway.schemas.checkpoints import (
    Checkpoint,
    DeletedCheckpoints,
    NewCheckpoint,
    SavedCheckpoint,
    render_checkpoint,
)
from protos.registry.v1 import checkpoints_pb2 as pb
from protos.registry.v1 import checkpoints_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PAGE_SIZE = 100


class CheckpointRoutes:
    """Routes to the registry, which keeps checkpoints."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.CheckpointServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes. The name of a workflow may contain slashes, so it takes the rest of the path."""
        return [
            Route(
                method="POST",
                path="/workspaces/{id}/checkpoints",
                handler=self.save,
                summary="Keep a completed step of a workflow",
                guard=WRITE,
                body=BodySpec(model=NewCheckpoint),
                success=201,
                answer=SavedCheckpoint,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/checkpoints/latest",
                handler=self.get_latest,
                summary="The step that was completed last, of any workflow",
                guard=READ,
                answer=Checkpoint,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/checkpoints/{workflow:path}",
                handler=self.list_steps,
                summary="The completed steps of a workflow, the highest first",
                guard=READ,
                answer=list[Checkpoint],
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="DELETE",
                path="/workspaces/{id}/checkpoints/{workflow:path}",
                handler=self.delete,
                summary="Delete the completed steps of a workflow",
                guard=WRITE,
                answer=DeletedCheckpoints,
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    async def save(self, call: Call) -> object:
        """Save a step."""
        request = pb.SaveCheckpointRequest(
            workspace_id=call.workspace_id,
            workflow_id=call.body.workflow_id,
            step_name=call.body.step_name,
            step_index=call.body.step_index,
            payload=None if call.body.payload is None else encode_payload(call.body.payload),
        )
        reply: pb.SaveCheckpointResponse = await self._registry.call(
            self._stub.SaveCheckpoint, request, on_behalf_of=call.identity
        )
        kept = reply.checkpoint
        return SavedCheckpoint(
            id=kept.id, workspace_id=kept.workspace_id, workflow_id=kept.workflow_id, step_name=kept.step_name
        )

    async def get_latest(self, call: Call) -> object:
        """Return the step that was completed last."""
        request = pb.GetLatestCheckpointRequest(workspace_id=call.workspace_id)
        reply: pb.GetLatestCheckpointResponse = await self._registry.call(
            self._stub.GetLatestCheckpoint, request, on_behalf_of=call.identity
        )
        return render_checkpoint(reply.checkpoint)

    async def list_steps(self, call: Call) -> object:
        """List the steps of a workflow."""
        return [render_checkpoint(message) async for message in self._pages(call)]

    async def delete(self, call: Call) -> object:
        """Delete the steps of a workflow."""
        request = pb.DeleteCheckpointsRequest(workspace_id=call.workspace_id, workflow_id=call.path["workflow"])
        reply: pb.DeleteCheckpointsResponse = await self._registry.call(
            self._stub.DeleteCheckpoints, request, on_behalf_of=call.identity
        )
        return DeletedCheckpoints(deleted=reply.deleted, workflow_id=call.path["workflow"])

    async def _pages(self, call: Call) -> AsyncIterator[pb.Checkpoint]:
        token = ""
        while True:
            request = pb.ListCheckpointsRequest(
                workspace_id=call.workspace_id, workflow_id=call.path["workflow"], page_size=PAGE_SIZE, page_token=token
            )
            reply: pb.ListCheckpointsResponse = await self._registry.call(
                self._stub.ListCheckpoints, request, on_behalf_of=call.identity
            )
            for message in reply.checkpoints:
                yield message
            token = reply.next_page_token
            if not token:
                return
