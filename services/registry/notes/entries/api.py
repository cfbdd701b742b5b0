"""The servicer of entries: translates between protobuf and the service."""

from protos.registry.v1 import entries_pb2 as pb
from protos.registry.v1 import entries_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.rpc import Context
from services.registry.notes.entries import wire
from services.registry.notes.entries.service import Entries
from services.registry.workspace.model import WorkspaceId


class EntryServicer(rpc.EntryServiceServicer):
    """One method for each RPC on entries."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    async def PutEntry(self, request: pb.PutEntryRequest, context: Context) -> pb.PutEntryResponse:
        entry = await self._entries.put(
            identity.current(), WorkspaceId(request.workspace_id), wire.draft_from_request(request)
        )
        return pb.PutEntryResponse(entry=wire.entry_to_proto(entry))

    async def GetEntry(self, request: pb.GetEntryRequest, context: Context) -> pb.GetEntryResponse:
        entry = await self._entries.get(identity.current(), WorkspaceId(request.workspace_id), request.key)
        return pb.GetEntryResponse(entry=wire.entry_to_proto(entry))

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Context) -> pb.ListEntriesResponse:
        page = await self._entries.list(
            identity.current(),
            WorkspaceId(request.workspace_id),
            size=pages.choose_page_size(request.page_size, default=100, maximum=500),
            token=request.page_token,
        )
        return pb.ListEntriesResponse(
            entries=[wire.entry_to_proto(entry) for entry in page.entries], next_page_token=page.next_page_token
        )

    async def DeleteEntry(self, request: pb.DeleteEntryRequest, context: Context) -> pb.DeleteEntryResponse:
        await self._entries.delete(identity.current(), WorkspaceId(request.workspace_id), request.key)
        return pb.DeleteEntryResponse()
