"""Routes of entries: values that agents keep by key."""

from collections.abc import AsyncIterator

from gateway.guards import READ, WRITE
from gateway.request_body import BodySpec, encode_payload
from gateway.route import Call, Route
from gateway.schemas.entries import Entry, EntryWriteResult, NewEntry, render_entry
from gateway.schemas.memories import DeletionResult
from protos.registry.v1 import entries_pb2 as pb
from protos.registry.v1 import entries_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PAGE_SIZE = 100


class EntryRoutes:
    """Routes to the registry, which keeps entries."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.EntryServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes. A key may contain slashes, so it takes the rest of the path."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/memory",
                handler=self.list_entries,
                summary="Everything that a workspace keeps by key",
                guard=READ,
                answer=list[Entry],
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/memory",
                handler=self.put,
                summary="Write a value under a key, if the key is at the version expected",
                guard=WRITE,
                body=BodySpec(model=NewEntry),
                answer=EntryWriteResult,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/memory/{key:path}",
                handler=self.get,
                summary="What is under a key",
                guard=READ,
                answer=Entry,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="DELETE",
                path="/workspaces/{id}/memory/{key:path}",
                handler=self.delete,
                summary="Delete what is under a key, if anything is",
                guard=WRITE,
                answer=DeletionResult,
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    async def list_entries(self, call: Call) -> object:
        """List the entries by key."""
        return [render_entry(message) async for message in self._pages(call)]

    async def put(self, call: Call) -> object:
        """Write a value."""
        request = pb.PutEntryRequest(
            workspace_id=call.workspace_id,
            key=call.body.key,
            value=encode_payload(call.body.value),
            ttl_seconds=call.body.ttl_seconds,
            if_match_version=call.body.if_match_version,
        )
        reply: pb.PutEntryResponse = await self._registry.call(self._stub.PutEntry, request, on_behalf_of=call.identity)
        return EntryWriteResult(key=reply.entry.key, status="ok", version=reply.entry.version)

    async def get(self, call: Call) -> object:
        """Return one entry."""
        request = pb.GetEntryRequest(workspace_id=call.workspace_id, key=call.path["key"])
        reply: pb.GetEntryResponse = await self._registry.call(self._stub.GetEntry, request, on_behalf_of=call.identity)
        return render_entry(reply.entry)

    async def delete(self, call: Call) -> object:
        """Delete an entry."""
        request = pb.DeleteEntryRequest(workspace_id=call.workspace_id, key=call.path["key"])
        await self._registry.call(self._stub.DeleteEntry, request, on_behalf_of=call.identity)
        return DeletionResult(status="deleted")

    async def _pages(self, call: Call) -> AsyncIterator[pb.Entry]:
        token = ""
        while True:
            request = pb.ListEntriesRequest(workspace_id=call.workspace_id, page_size=PAGE_SIZE, page_token=token)
            reply: pb.ListEntriesResponse = await self._registry.call(
                self._stub.ListEntries, request, on_behalf_of=call.identity
            )
            for message in reply.entries:
                yield message
            token = reply.next_page_token
            if not token:
                return
