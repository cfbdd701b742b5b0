"""Routes of stored events."""

from gateway.errors import MalformedRequest
from gateway.guards import ADMIN
from gateway.query_params import parse_limit, parse_natural_number
from gateway.route import Call, Route
from gateway.schemas.events import Event, render_event
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MAX_LIMIT = 500
DEFAULT_LIMIT = 100

QUERY_PARAMETERS = {
    "limit": "1 to 500; anything else is 100",
    "after_event_id": "Only events after this one, oldest first",
}


class EventRoutes:
    """Routes to the registry, which stores events."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/events",
                handler=self.list_events,
                summary="Stored events: the newest, or what came after one",
                guard=ADMIN,
                query=QUERY_PARAMETERS,
                answer=list[Event],
                refusal_statuses=frozenset({400}),
            ),
            Route(
                method="GET",
                path="/events/{workspaceId}",
                handler=self.list_events,
                summary="Stored events of one workspace",
                guard=ADMIN,
                query=QUERY_PARAMETERS,
                answer=list[Event],
            ),
        ]

    async def list_events(self, call: Call) -> object:
        """List the events that match the query."""
        request = pb.ListEventsRequest(
            workspace_id=call.workspace_id,
            after_event_id=_parse_after_event_id(call.query.get("after_event_id", "")),
            page_size=parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
        )
        reply: pb.ListEventsResponse = await self._registry.call(
            self._stub.ListEvents, request, on_behalf_of=call.identity
        )
        return [render_event(message) for message in reply.events]


def _parse_after_event_id(text: str) -> int | None:
    if not text:
        return None
    event_id = parse_natural_number(text)
    if event_id is None:
        raise MalformedRequest("after_event_id must be a non-negative integer")
    return event_id
