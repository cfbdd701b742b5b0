"""The servicer of configurations: translates between protobuf and the service."""

from protos.registry.v1 import configs_pb2 as pb
from protos.registry.v1 import configs_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.registry.notes.configs.rules import Viewport
from services.registry.notes.configs.service import Configs
from services.registry.workspace.model import WorkspaceId


class ConfigServicer(rpc.ConfigServiceServicer):
    """One method for each RPC on configurations."""

    def __init__(self, configs: Configs) -> None:
        self._configs = configs

    async def GetConfig(self, request: pb.GetConfigRequest, context: Context) -> pb.GetConfigResponse:
        data = await self._configs.get(identity.current(), WorkspaceId(request.workspace_id))
        return pb.GetConfigResponse(data=data.encode())

    async def MergeConfig(self, request: pb.MergeConfigRequest, context: Context) -> pb.MergeConfigResponse:
        await self._configs.merge(
            identity.current(), WorkspaceId(request.workspace_id), request.data.decode(errors="replace")
        )
        return pb.MergeConfigResponse()

    async def GetViewport(self, request: pb.GetViewportRequest, context: Context) -> pb.GetViewportResponse:
        viewport = await self._configs.get_viewport()
        return pb.GetViewportResponse(x=viewport.x, y=viewport.y, zoom=viewport.zoom)

    async def SaveViewport(self, request: pb.SaveViewportRequest, context: Context) -> pb.SaveViewportResponse:
        await self._configs.save_viewport(Viewport(x=request.x, y=request.y, zoom=request.zoom))
        return pb.SaveViewportResponse()
