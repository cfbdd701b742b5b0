"""The servicer of searching."""

from protos.registry.v1 import search_pb2 as pb
from protos.registry.v1 import search_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.rpc import Context
from services.registry.directory.search import Search
from services.registry.wire import workspaces as wire


class SearchServicer(rpc.SearchServiceServicer):
    """Unwraps, asks, wraps."""

    def __init__(self, search: Search) -> None:
        self._search = search

    async def SearchWorkspaces(
        self, request: pb.SearchWorkspacesRequest, context: Context
    ) -> pb.SearchWorkspacesResponse:
        page = await self._search.find(
            identity.current(),
            skill=request.skill,
            tag=request.tag,
            text=request.query,
            size=pages.page_size(request.page_size, default=50, most=100),
            token=request.page_token,
        )
        return pb.SearchWorkspacesResponse(
            workspaces=[wire.build_workspace(entry) for entry in page.entries], next_page_token=page.next
        )
