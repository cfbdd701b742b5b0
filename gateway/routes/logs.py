"""Routes of the logs of instances."""

from gateway.errors import MalformedRequest
from gateway.guards import ADMIN
from gateway.query_params import parse_natural_number
from gateway.route import Call, Route
from gateway.schemas.logs import InstanceLog
from protos.provisioner.v1 import logs_pb2 as pb
from protos.provisioner.v1 import logs_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MAX_LINES = 5000
DEFAULT_LINES = "200"

QUERY_PARAMETERS = {"tail": "Lines, 1 to 5000; 200 if left out"}


class LogRoutes:
    """Routes to the provisioner."""

    def __init__(self, provisioner: ServiceChannel) -> None:
        self._provisioner = provisioner
        self._stub = rpc.LogServiceStub(provisioner.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path=path,
                handler=self.read,
                summary="The last lines that the instance of a workspace has written",
                guard=ADMIN,
                query=QUERY_PARAMETERS,
                answer=InstanceLog,
                refusal_statuses=frozenset({404, 501, 502}),
            )
            for path in ("/workspaces/{id}/logs", "/workspaces/{id}/console")
        ]

    async def read(self, call: Call) -> object:
        """Return the last lines."""
        tail = parse_natural_number(call.query.get("tail", DEFAULT_LINES))
        if tail is None or not 1 <= tail <= MAX_LINES:
            raise MalformedRequest(f"tail must be 1-{MAX_LINES}")
        request = pb.ReadLogsRequest(workspace_id=call.workspace_id, tail=tail)
        reply: pb.ReadLogsResponse = await self._provisioner.call(
            self._stub.ReadLogs, request, on_behalf_of=call.identity
        )
        return InstanceLog(
            workspace_id=call.workspace_id,
            backend=reply.backend,
            tail=tail,
            truncated=reply.truncated,
            output=reply.output,
        )
