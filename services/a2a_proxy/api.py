"""The gRPC servicers: exchanges with gateways, activity and reports of agents, and broadcasts."""

import asyncio
from collections.abc import AsyncIterator

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc, broadcasts_pb2, broadcasts_pb2_grpc
from services.a2a_proxy import wire
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.activity_search import ActivitySearches
from services.a2a_proxy.body_budget import BodyBudgets
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.dispatches import DispatchesInProgress
from services.a2a_proxy.exchange import Exchange
from services.a2a_proxy.reports import Reports
from services.chassis import identity
from services.chassis.clock import Clock
from services.chassis.errors import Unavailable
from services.chassis.rpc import Context


class A2aProxyServicer(rpc.A2aProxyServiceServicer):
    """Serves one exchange for each stream of a gateway."""

    def __init__(self, delivery: Delivery, *, dispatches: DispatchesInProgress, budgets: BodyBudgets) -> None:
        self._delivery = delivery
        self._dispatches = dispatches
        self._budgets = budgets
        self._group: asyncio.TaskGroup | None = None
        self._exchanges: set[Exchange] = set()

    def stop_exchanges(self) -> None:
        """Announce to every gateway that this proxy stops, and accept no further calls."""
        for exchange in self._exchanges:
            exchange.stop()

    async def run_calls(self) -> None:
        """Own the tasks of all calls until cancelled: a dispatch continues after its stream has ended."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    async def Exchange(
        self,
        request_iterator: AsyncIterator[pb.ExchangeRequest],
        context: Context,
    ) -> AsyncIterator[pb.ExchangeResponse]:
        """Answer the calls of one gateway until it ends the stream."""
        if self._group is None:
            raise Unavailable
        await context.send_initial_metadata(())  # the gateway waits for it before it uses the stream
        exchange = Exchange(
            self._delivery, self._group, budgets=self._budgets, on_request=self._dispatches.note_request
        )
        reading = self._group.create_task(exchange.read(request_iterator))
        self._exchanges.add(exchange)
        try:
            async for batch in exchange.batches():
                yield batch
        finally:
            self._exchanges.discard(exchange)
            reading.cancel()
            exchange.close()


class ActivityServicer(activity_pb2_grpc.ActivityServiceServicer):
    """Lists and searches the activity of workspaces, and takes what agents report."""

    def __init__(
        self,
        activity: ActivityLog,
        searches: ActivitySearches,
        reports: Reports,
        clock: Clock,
        *,
        dispatches: DispatchesInProgress,
    ) -> None:
        self._activity = activity
        self._searches = searches
        self._reports = reports
        self._dispatches = dispatches
        self._clock = clock

    async def ListActivity(
        self, request: activity_pb2.ListActivityRequest, context: Context
    ) -> activity_pb2.ListActivityResponse:
        """Return the rows that match the request."""
        self._dispatches.note_request(identity.current())
        rows = await self._activity.list_activities(wire.parse_activity_query(request, self._clock))
        return activity_pb2.ListActivityResponse(activities=wire.activities_to_proto(rows))

    async def SearchActivity(
        self, request: activity_pb2.SearchActivityRequest, context: Context
    ) -> activity_pb2.SearchActivityResponse:
        """Return the newest rows that contain the text."""
        rows = await self._searches.search(wire.parse_activity_search(request))
        return activity_pb2.SearchActivityResponse(activities=wire.activities_to_proto(rows))

    async def LogActivity(
        self, request: activity_pb2.LogActivityRequest, context: Context
    ) -> activity_pb2.LogActivityResponse:
        """Add a row that an agent reports."""
        await self._reports.log_activity(
            wire.parse_reported_activity(request),
            request.request_id,
            author=wire.workspace_from_identity(identity.current()),
        )
        return activity_pb2.LogActivityResponse()

    async def SendAgentMessage(
        self, request: activity_pb2.SendAgentMessageRequest, context: Context
    ) -> activity_pb2.SendAgentMessageResponse:
        """Broadcast a message of an agent to people."""
        await self._reports.send_message(wire.parse_agent_message(request), request.request_id)
        return activity_pb2.SendAgentMessageResponse()


class BroadcastServicer(broadcasts_pb2_grpc.BroadcastServiceServicer):
    """Streams broadcasts to subscribed gateways."""

    def __init__(self, broadcasts: BroadcastFanOut) -> None:
        self._broadcasts = broadcasts

    async def WatchBroadcasts(
        self, request: broadcasts_pb2.WatchBroadcastsRequest, context: Context
    ) -> AsyncIterator[broadcasts_pb2.WatchBroadcastsResponse]:
        """Stream the broadcasts of this replica from now on."""
        async for batch in self._broadcasts.subscribe():
            for message in wire.broadcasts_to_messages(batch):
                yield message
