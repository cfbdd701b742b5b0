"""What has changed in the plane."""

from gateway.errors import Malformed
from gateway.queries import limit, natural
from gateway.render import workspaces as render
from gateway.route import ADMIN, Call, Route
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MOST = 500
USUALLY = 100

QUERY = {
    "limit": "1 to 500; anything else is 100",
    "after_event_id": "Only events after this one, oldest first",
}


class EventRoutes:
    """Asks the registry, which keeps the stored events."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)

    def table(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="GET",
                path="/events",
                handler=self.list,
                summary="Stored events: the newest, or what came after one",
                guard=ADMIN,
                query=QUERY,
                answer=list[render.Event],
                refuses=frozenset({400}),
            ),
            Route(
                method="GET",
                path="/events/{workspaceId}",
                handler=self.list,
                summary="Stored events of one workspace",
                guard=ADMIN,
                query=QUERY,
                answer=list[render.Event],
            ),
        ]

    async def list(self, call: Call) -> object:
        """The events asked for."""
        request = pb.ListEventsRequest(
            workspace_id=call.workspace_id,
            after_event_id=_after(call.query.get("after_event_id", "")),
            page_size=limit(call.query.get("limit", ""), most=MOST, usual=USUALLY),
        )
        reply: pb.ListEventsResponse = await self._registry.call(
            self._stub.ListEvents, request, on_behalf_of=call.identity
        )
        return [render.event(message) for message in reply.events]


def _after(text: str) -> int | None:
    if not text:
        return None
    event_id = natural(text)
    if event_id is None:
        raise Malformed("after_event_id must be a non-negative integer")
    return event_id
