"""The servicer of PluginService: converts protobuf and calls one method per RPC."""

from protos.provisioner.v1 import plugins_pb2 as pb
from protos.provisioner.v1 import plugins_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.provisioner.model import WorkspaceId
from services.provisioner.plugins import wire
from services.provisioner.plugins.service import PluginService


class PluginServicer(rpc.PluginServiceServicer):
    """Serves `PluginService`."""

    def __init__(self, plugins: PluginService) -> None:
        self._plugins = plugins

    async def GetSchemes(self, request: pb.GetSchemesRequest, context: Context) -> pb.GetSchemesResponse:
        return pb.GetSchemesResponse(schemes=self._plugins.schemes)

    async def ReadPlugins(self, request: pb.ReadPluginsRequest, context: Context) -> pb.ReadPluginsResponse:
        plugins = await self._plugins.list(identity.current(), WorkspaceId(request.workspace_id))
        return pb.ReadPluginsResponse(plugins=[wire.plugin_to_proto(plugin) for plugin in plugins])

    async def InstallPlugin(self, request: pb.InstallPluginRequest, context: Context) -> pb.InstallPluginResponse:
        installed = await self._plugins.install(
            identity.current(), WorkspaceId(request.workspace_id), request.source, request.sha256
        )
        return pb.InstallPluginResponse(plugin=installed.name, source=request.source, sha256=installed.sha256)

    async def UninstallPlugin(self, request: pb.UninstallPluginRequest, context: Context) -> pb.UninstallPluginResponse:
        await self._plugins.uninstall(identity.current(), WorkspaceId(request.workspace_id), request.name)
        return pb.UninstallPluginResponse()
