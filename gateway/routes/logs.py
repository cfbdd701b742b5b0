"""What instances have written."""

from typing_extensions import TypedDict

from gateway.errors import Malformed
from gateway.queries import natural
from gateway.route import ADMIN, Call, Route
from protos.provisioner.v1 import logs_pb2 as pb
from protos.provisioner.v1 import logs_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MOST = 5000
USUALLY = "200"

QUERY = {"tail": "Lines, 1 to 5000; 200 if left out"}


class Log(TypedDict):
    """The end of what an instance wrote, and whether there was more before it."""

    workspace_id: str
    backend: str
    tail: int
    truncated: bool
    output: str


class LogRoutes:
    """Asks the provisioner."""

    def __init__(self, provisioner: ServiceChannel) -> None:
        self._provisioner = provisioner
        self._stub = rpc.LogServiceStub(provisioner.channel)

    def table(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="GET",
                path=path,
                handler=self.read,
                summary="The last lines that the instance of a workspace has written",
                guard=ADMIN,
                query=QUERY,
                answer=Log,
                refuses=frozenset({404, 501, 502}),
            )
            for path in ("/workspaces/{id}/logs", "/workspaces/{id}/console")
        ]

    async def read(self, call: Call) -> object:
        """The last lines."""
        tail = natural(call.query.get("tail", USUALLY))
        if tail is None or not 1 <= tail <= MOST:
            raise Malformed(f"tail must be 1-{MOST}")
        request = pb.ReadLogsRequest(workspace_id=call.workspace_id, tail=tail)
        reply: pb.ReadLogsResponse = await self._provisioner.call(
            self._stub.ReadLogs, request, on_behalf_of=call.identity
        )
        return Log(
            workspace_id=call.workspace_id,
            backend=reply.backend,
            tail=tail,
            truncated=reply.truncated,
            output=reply.output,
        )
