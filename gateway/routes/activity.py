"""Routes of the activity log."""

from google.protobuf.duration_pb2 import Duration

from gateway.errors import MalformedRequest
from gateway.guards import READ
from gateway.query_params import parse_limit, parse_natural_number
from gateway.route import Call, Route
from gateway.schemas.activity import Activity, render_activity
from protos.a2a_proxy.v1 import activity_pb2 as pb
from protos.a2a_proxy.v1 import activity_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.large_bodies import run_by_size

MAX_LIMIT = 500
DEFAULT_LIMIT = 100

MAX_LOOK_BACK_SECONDS = 2_592_000
"""Thirty days."""

SOURCES = {
    "": pb.ACTIVITY_SOURCE_UNSPECIFIED,
    "canvas": pb.ACTIVITY_SOURCE_CANVAS,
    "agent": pb.ACTIVITY_SOURCE_AGENT,
}


class ActivityRoutes:
    """Routes to the A2A proxy, which keeps the log."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.ActivityServiceStub(a2a_proxy.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/activity",
                handler=self.list_activity,
                summary="Activity of a workspace: the newest, or what came after a row",
                guard=READ,
                query={
                    "type": "One activity type",
                    "source": "`canvas`: from people and tools; `agent`: from workspaces",
                    "limit": "1 to 500; anything else is 100",
                    "since_secs": "Only rows of the last so many seconds, at most 2592000",
                    "since_id": "Only rows after this one, oldest first",
                },
                answer=list[Activity],
                refusal_statuses=frozenset({410}),
            ),
        ]

    async def list_activity(self, call: Call) -> object:
        """List the rows that match the query."""
        source = call.query.get("source", "")
        if source not in SOURCES:
            raise MalformedRequest("source must be 'canvas' or 'agent'")
        request = pb.ListActivityRequest(
            workspace_id=call.workspace_id,
            type=call.query.get("type", ""),
            source=SOURCES[source],
            since=_parse_look_back(call.query.get("since_secs", "")),
            since_id=call.query.get("since_id", "").lower(),
            page_size=parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
        )
        reply: pb.ListActivityResponse = await self._a2a_proxy.call(
            self._stub.ListActivity, request, on_behalf_of=call.identity
        )
        return await run_by_size(reply.ByteSize(), _render_page, reply)


def _render_page(reply: pb.ListActivityResponse) -> list[Activity]:
    return [render_activity(row) for row in reply.activities]


def _parse_look_back(text: str) -> Duration | None:
    if not text:
        return None
    seconds = parse_natural_number(text)
    if not seconds:
        raise MalformedRequest("since_secs must be a positive integer")
    return Duration(seconds=min(seconds, MAX_LOOK_BACK_SECONDS))
