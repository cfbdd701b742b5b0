"""Routes of the images of workspaces."""

from datetime import timedelta

from gateway.guards import PLATFORM
from gateway.route import Call, Route
from gateway.schemas.images import ImageRefresh
from protos.provisioner.v1 import images_pb2 as pb
from protos.provisioner.v1 import images_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

REFRESH_TIMEOUT = timedelta(minutes=30)
"""Time for a refresh: images may be large."""


class ImageRoutes:
    """Routes to the provisioner."""

    def __init__(self, provisioner: ServiceChannel) -> None:
        self._provisioner = provisioner
        self._stub = rpc.ImageServiceStub(provisioner.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/admin/workspace-images/refresh",
                handler=self.refresh,
                summary="Pull the images of runtimes, and restart workspaces on them",
                guard=PLATFORM,
                query={
                    "runtime": "One runtime; all if left out",
                    "recreate": "`true` also restarts running workspaces on a pulled image",
                },
                answer=ImageRefresh,
                refusal_statuses=frozenset({400, 500, 501}),
            ),
        ]

    async def refresh(self, call: Call) -> object:
        """Pull the images of runtimes; a pull that fails is only listed."""
        request = pb.RefreshImagesRequest(
            runtime=call.query.get("runtime", ""), recreate=call.query.get("recreate", "") == "true"
        )
        reply: pb.RefreshImagesResponse = await self._provisioner.call(
            self._stub.RefreshImages, request, on_behalf_of=call.identity, timeout=REFRESH_TIMEOUT
        )
        return ImageRefresh(pulled=list(reply.pulled), failed=list(reply.failed), recreated=list(reply.recreated))
