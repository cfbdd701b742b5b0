"""The servicer of checkpoints: translates between protobuf and the service."""

from uuid import uuid4

from protos.registry.v1 import checkpoints_pb2 as pb
from protos.registry.v1 import checkpoints_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.clock import Clock
from services.chassis.rpc import Context
from services.registry.notes.checkpoints import wire
from services.registry.notes.checkpoints.service import Checkpoints
from services.registry.workspace.model import WorkspaceId

MAX_CHECKPOINTS_PER_PAGE = 100
"""So many checkpoints of the maximum size fit into one message between services."""


class CheckpointServicer(rpc.CheckpointServiceServicer):
    """One method for each RPC on checkpoints."""

    def __init__(self, checkpoints: Checkpoints, *, clock: Clock) -> None:
        self._checkpoints = checkpoints
        self._clock = clock

    async def SaveCheckpoint(self, request: pb.SaveCheckpointRequest, context: Context) -> pb.SaveCheckpointResponse:
        checkpoint = wire.checkpoint_from_request(request, str(uuid4()), self._clock.now())
        stored = await self._checkpoints.save(identity.current(), checkpoint)
        return pb.SaveCheckpointResponse(checkpoint=wire.checkpoint_to_proto(stored))

    async def GetLatestCheckpoint(
        self, request: pb.GetLatestCheckpointRequest, context: Context
    ) -> pb.GetLatestCheckpointResponse:
        found = await self._checkpoints.get_latest(identity.current(), WorkspaceId(request.workspace_id))
        return pb.GetLatestCheckpointResponse(checkpoint=wire.checkpoint_to_proto(found))

    async def ListCheckpoints(self, request: pb.ListCheckpointsRequest, context: Context) -> pb.ListCheckpointsResponse:
        page = await self._checkpoints.list(
            identity.current(),
            WorkspaceId(request.workspace_id),
            request.workflow_id,
            size=pages.choose_page_size(
                request.page_size, default=MAX_CHECKPOINTS_PER_PAGE, maximum=MAX_CHECKPOINTS_PER_PAGE
            ),
            token=request.page_token,
        )
        return pb.ListCheckpointsResponse(
            checkpoints=[wire.checkpoint_to_proto(one) for one in page.checkpoints],
            next_page_token=page.next_page_token,
        )

    async def DeleteCheckpoints(
        self, request: pb.DeleteCheckpointsRequest, context: Context
    ) -> pb.DeleteCheckpointsResponse:
        deleted = await self._checkpoints.delete(
            identity.current(), WorkspaceId(request.workspace_id), request.workflow_id
        )
        return pb.DeleteCheckpointsResponse(deleted=deleted)
