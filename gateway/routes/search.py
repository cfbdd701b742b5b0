"""Routes that find workspaces by the skills of their agents."""

from gateway.errors import MalformedRequest
from gateway.guards import SEARCH
from gateway.query_params import parse_limit
from gateway.route import Call, Route
from gateway.schemas.agents import SearchPage, render_peer
from protos.registry.v1 import search_pb2 as pb
from protos.registry.v1 import search_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

MAX_LIMIT = 100
DEFAULT_LIMIT = 50

MAX_QUERY_LENGTH = 255

QUERY_PARAMETERS = {
    "skill": "Id or name of a skill of the agent's card, whatever its case",
    "tag": "A tag of one of its skills, whatever its case",
    "q": "Part of name or role, whatever its case",
    "limit": "1 to 100; anything else is 50",
    "page_token": "`next` of the page before",
}


class SearchRoutes:
    """Routes to the registry."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.SearchServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/registry/search",
                handler=self.search,
                summary="Workspaces by skill, tag, name or role",
                guard=SEARCH,
                query=QUERY_PARAMETERS,
                answer=SearchPage,
                refusal_statuses=frozenset({400}),
            )
        ]

    async def search(self, call: Call) -> object:
        """Return one page of the workspaces that match."""
        texts = _parse_search(call)
        request = pb.SearchWorkspacesRequest(
            skill=texts["skill"],
            tag=texts["tag"],
            query=texts["q"],
            page_size=parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
            page_token=call.query.get("page_token", ""),
        )
        reply: pb.SearchWorkspacesResponse = await self._registry.call(
            self._stub.SearchWorkspaces, request, on_behalf_of=call.identity
        )
        return SearchPage(
            workspaces=[render_peer(message) for message in reply.workspaces], next=reply.next_page_token or None
        )


def _parse_search(call: Call) -> dict[str, str]:
    """Return the search texts by parameter; raises `MalformedRequest` for one that is too long."""
    texts = {name: call.query.get(name, "").strip() for name in ("skill", "tag", "q")}
    for name, text in texts.items():
        if len(text) > MAX_QUERY_LENGTH:
            raise MalformedRequest(f"{name} must be at most {MAX_QUERY_LENGTH} characters")
    return texts
