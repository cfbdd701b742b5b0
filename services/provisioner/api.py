"""The servicer: speaks protobuf and decides nothing."""

from protos.provisioner.v1 import provisioner_pb2 as pb
from protos.provisioner.v1 import provisioner_pb2_grpc as rpc
from services.chassis.rpc import Context
from services.provisioner import wire
from services.provisioner.model import WorkspaceId
from services.provisioner.reconciler import Reconciler


class ProvisionerServicer(rpc.ProvisionerServiceServicer):
    """Answers for the instances."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def CheckInstance(self, request: pb.CheckInstanceRequest, context: Context) -> pb.CheckInstanceResponse:
        found = await self._reconciler.check(WorkspaceId(request.workspace_id), request.generation)
        return pb.CheckInstanceResponse(condition=wire.condition_to(found))
