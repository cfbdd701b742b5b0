"""Routes of configurations and of the viewport of the canvas."""

from gateway.guards import ADMIN, ANY, READ, WRITE
from gateway.json_format import parse_stored
from gateway.limits import MAX_CONFIG_BYTES
from gateway.request_body import BodySpec, encode_payload, refuse_with_text
from gateway.route import Call, Route
from gateway.schemas.configs import CanvasViewport, ConfigPatch, ViewportUpdate, WorkspaceConfig
from gateway.schemas.instructions import ChangeResult
from protos.registry.v1 import configs_pb2 as pb
from protos.registry.v1 import configs_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.strict_json import drop_zero_fraction


class ConfigRoutes:
    """Routes to the registry, which keeps both."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.ConfigServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/config",
                handler=self.get,
                summary="What a workspace is set to",
                guard=READ,
                answer=WorkspaceConfig,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="PATCH",
                path="/workspaces/{id}/config",
                handler=self.merge,
                summary="Set keys of a workspace",
                guard=WRITE,
                body=BodySpec(
                    model=ConfigPatch,
                    fault_to_error=refuse_with_text("invalid JSON"),
                    max_bytes=MAX_CONFIG_BYTES,
                    too_large_text="body too large or unreadable",
                ),
                answer=ChangeResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="GET",
                path="/canvas/viewport",
                handler=self.get_viewport,
                summary="Where the canvas stands",
                guard=ANY,
                answer=CanvasViewport,
            ),
            Route(
                method="PUT",
                path="/canvas/viewport",
                handler=self.save_viewport,
                summary="Keep where the canvas stands",
                guard=ADMIN,
                body=BodySpec(model=ViewportUpdate, fault_to_error=refuse_with_text("invalid viewport data")),
                answer=ChangeResult,
            ),
        ]

    async def get(self, call: Call) -> object:
        """Return the configuration of a workspace."""
        request = pb.GetConfigRequest(workspace_id=call.workspace_id)
        reply: pb.GetConfigResponse = await self._registry.call(
            self._stub.GetConfig, request, on_behalf_of=call.identity
        )
        return WorkspaceConfig(data=parse_stored(reply.data))

    async def merge(self, call: Call) -> object:
        """Merge an object into the configuration of a workspace."""
        patch = encode_payload(call.body.model_extra, refuse_with_text("invalid JSON"))
        request = pb.MergeConfigRequest(workspace_id=call.workspace_id, data=patch)
        await self._registry.call(self._stub.MergeConfig, request, on_behalf_of=call.identity)
        return ChangeResult(status="updated")

    async def get_viewport(self, call: Call) -> object:
        """Return the viewport."""
        reply: pb.GetViewportResponse = await self._registry.call(
            self._stub.GetViewport, pb.GetViewportRequest(), on_behalf_of=call.identity
        )
        return CanvasViewport(
            x=drop_zero_fraction(reply.x), y=drop_zero_fraction(reply.y), zoom=drop_zero_fraction(reply.zoom)
        )

    async def save_viewport(self, call: Call) -> object:
        """Save the viewport."""
        request = pb.SaveViewportRequest(x=call.body.x, y=call.body.y, zoom=call.body.zoom)
        await self._registry.call(self._stub.SaveViewport, request, on_behalf_of=call.identity)
        return ChangeResult(status="saved")
