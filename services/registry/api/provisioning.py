"""The servicer of ProvisioningService: converts protobuf and calls one service per RPC."""

from protos.registry.v1 import provisioning_pb2 as pb
from protos.registry.v1 import provisioning_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.registry.lifecycle.provisioning import ProvisioningService
from services.registry.wire import provisioning as wire
from services.registry.wire import workspaces
from services.registry.workspace.model import ListedWorkspace, WorkspaceId


class ProvisioningServicer(rpc.ProvisioningServiceServicer):
    """Serves the RPCs that explain and cancel starts."""

    def __init__(self, provisioning: ProvisioningService) -> None:
        self._provisioning = provisioning

    async def CancelProvisioning(
        self, request: pb.CancelProvisioningRequest, context: Context
    ) -> pb.CancelProvisioningResponse:
        workspace = await self._provisioning.cancel(identity.current(), WorkspaceId(request.workspace_id))
        return pb.CancelProvisioningResponse(workspace=workspaces.build_workspace(ListedWorkspace(workspace)))

    async def ReportProvisioning(
        self, request: pb.ReportProvisioningRequest, context: Context
    ) -> pb.ReportProvisioningResponse:
        await self._provisioning.report(wire.parse_reports(request))
        return pb.ReportProvisioningResponse()
