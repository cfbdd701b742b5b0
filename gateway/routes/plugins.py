"""Routes of the plugins of workspaces."""

from datetime import timedelta

from gateway.guards import ANY, READ, WRITE
from gateway.request_body import BodySpec
from gateway.route import Call, Route
from gateway.schemas.plugins import (
    InstalledPlugin,
    PluginInstallation,
    PluginItem,
    PluginSchemes,
    UninstalledPlugin,
    render_plugin,
)
from protos.provisioner.v1 import plugins_pb2 as pb
from protos.provisioner.v1 import plugins_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PATH = "/workspaces/{id}/plugins"

INSTALL_TIMEOUT = timedelta(minutes=10)
"""Time for an installation: longer than the provisioner waits for a source."""

DELETE_TIMEOUT = timedelta(seconds=60)
"""Time for a removal, which deletes one file after the other."""

READ_TIMEOUT = timedelta(seconds=20)
"""Time for a list, which reads the manifest of each plugin."""


class PluginRoutes:
    """Routes to the provisioner."""

    def __init__(self, provisioner: ServiceChannel, *, max_body_bytes: int) -> None:
        self._provisioner = provisioner
        self._stub = rpc.PluginServiceStub(provisioner.channel)
        self._max_body_bytes = max_body_bytes

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/plugins/sources",
                handler=self.get_schemes,
                summary="Where plugins may come from",
                guard=ANY,
                answer=PluginSchemes,
            ),
            Route(
                method="GET",
                path=PATH,
                handler=self.list_plugins,
                summary="The plugins of a workspace",
                guard=READ,
                answer=list[PluginItem],
                refusal_statuses=frozenset({404, 502}),
            ),
            Route(
                method="POST",
                path=PATH,
                handler=self.install,
                summary="Install a plugin and restart the workspace",
                guard=WRITE,
                body=BodySpec(model=PluginInstallation, max_bytes=self._max_body_bytes),
                answer=InstalledPlugin,
                refusal_statuses=frozenset({400, 404, 413, 422, 502, 503, 504}),
            ),
            Route(
                method="DELETE",
                path=f"{PATH}/{{name}}",
                handler=self.uninstall,
                summary="Remove a plugin and restart the workspace",
                guard=WRITE,
                answer=UninstalledPlugin,
                refusal_statuses=frozenset({404, 502}),
            ),
        ]

    async def get_schemes(self, call: Call) -> object:
        """List the schemes of sources."""
        reply: pb.GetSchemesResponse = await self._provisioner.call(
            self._stub.GetSchemes, pb.GetSchemesRequest(), on_behalf_of=call.identity
        )
        return PluginSchemes(schemes=list(reply.schemes))

    async def list_plugins(self, call: Call) -> object:
        """List the plugins of a workspace."""
        request = pb.ReadPluginsRequest(workspace_id=call.workspace_id)
        reply: pb.ReadPluginsResponse = await self._provisioner.call(
            self._stub.ReadPlugins, request, on_behalf_of=call.identity, timeout=READ_TIMEOUT
        )
        return [render_plugin(plugin) for plugin in reply.plugins]

    async def install(self, call: Call) -> object:
        """Install a plugin; the workspace restarts."""
        request = pb.InstallPluginRequest(
            workspace_id=call.workspace_id, source=call.body.source, sha256=call.body.sha256
        )
        reply: pb.InstallPluginResponse = await self._provisioner.call(
            self._stub.InstallPlugin, request, on_behalf_of=call.identity, timeout=INSTALL_TIMEOUT
        )
        return InstalledPlugin(plugin=reply.plugin, source=reply.source, status="installed", sha256=reply.sha256)

    async def uninstall(self, call: Call) -> object:
        """Remove a plugin; the workspace restarts."""
        name = call.path["name"]
        request = pb.UninstallPluginRequest(workspace_id=call.workspace_id, name=name)
        await self._provisioner.call(
            self._stub.UninstallPlugin, request, on_behalf_of=call.identity, timeout=DELETE_TIMEOUT
        )
        return UninstalledPlugin(plugin=name, status="uninstalled")
