"""The route that searches activity and memories of a workspace at once."""

from collections.abc import Iterable

from gateway.guards import READ
from gateway.query_params import parse_limit
from gateway.route import Call, Route
from gateway.schemas.session_search import FoundItem, render_found_activity, render_found_memory
from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc
from protos.registry.v1 import memories_pb2, memories_pb2_grpc
from services.chassis.clients import ServiceChannel
from services.chassis.large_bodies import run_by_size

MAX_LIMIT = 200
DEFAULT_LIMIT = 50


class SessionSearchRoutes:
    """The route to the A2A proxy, which keeps the activity, and to the registry, which keeps memories."""

    def __init__(self, a2a_proxy: ServiceChannel, registry: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._registry = registry
        self._activities = activity_pb2_grpc.ActivityServiceStub(a2a_proxy.channel)
        self._memories = memories_pb2_grpc.MemoryServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/session-search",
                handler=self.search,
                summary="Activity and memories of a workspace that contain a text, the newest first",
                guard=READ,
                query={
                    "q": "Part of content, label, method, status or bodies, at most 1000 bytes; without it everything",
                    "limit": "1 to 200; anything else is 50",
                },
                answer=list[FoundItem],
                refusal_statuses=frozenset({400}),
            ),
        ]

    async def search(self, call: Call) -> object:
        """List what contains the text. Large results lack the oldest memories, and bodies of older activity."""
        text = call.query.get("q", "").strip()
        limit = parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
        rows: activity_pb2.SearchActivityResponse = await self._a2a_proxy.call(
            self._activities.SearchActivity,
            activity_pb2.SearchActivityRequest(workspace_id=call.workspace_id, query=text, page_size=limit),
            on_behalf_of=call.identity,
        )
        memories: memories_pb2.FindMemoriesResponse = await self._registry.call(
            self._memories.FindMemories,
            memories_pb2.FindMemoriesRequest(workspace_id=call.workspace_id, text=text, page_size=limit),
            on_behalf_of=call.identity,
        )
        return await run_by_size(
            rows.ByteSize() + memories.ByteSize(), _render_newest, rows.activities, memories.memories, limit
        )


def _render_newest(
    rows: Iterable[activity_pb2.Activity], memories: Iterable[memories_pb2.Memory], limit: int
) -> list[FoundItem]:
    found = [*map(render_found_activity, rows), *map(render_found_memory, memories)]
    return sorted(found, key=lambda item: item["created_at"], reverse=True)[:limit]
