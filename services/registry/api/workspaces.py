"""The servicer of RegistryService: converts protobuf and calls one service per RPC."""

from collections.abc import AsyncIterator
from typing import assert_never

from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.clock import Clock
from services.chassis.feeds import FEED_SIGN_INTERVAL
from services.chassis.rpc import Context
from services.chassis.timestamps import duration_from_timedelta
from services.registry.catalog import Catalog
from services.registry.directory.cards import CardService
from services.registry.directory.creation import WorkspaceCreator
from services.registry.directory.discovery import Discovery
from services.registry.directory.queries import WorkspaceQueries
from services.registry.directory.updates import WorkspaceUpdater
from services.registry.errors.workspaces import CardNotAvailable
from services.registry.feeds.workspace_feed import (
    FeedKeepalive,
    HeartbeatBatch,
    SnapshotDone,
    WorkspaceChange,
    WorkspaceFeed,
)
from services.registry.lifecycle.heartbeats import HeartbeatService
from services.registry.lifecycle.observations import ObservationService
from services.registry.lifecycle.registration import RegistrationRequest, RegistrationService
from services.registry.lifecycle.removal import RemovalService
from services.registry.wire import workspaces as wire
from services.registry.workspace.model import ListedWorkspace, Workspace, WorkspaceId


class RegistryServicer(rpc.RegistryServiceServicer):
    """Serves the RPCs that create, read, change and watch workspaces."""

    def __init__(
        self,
        *,
        creator: WorkspaceCreator,
        queries: WorkspaceQueries,
        updater: WorkspaceUpdater,
        registration: RegistrationService,
        heartbeats: HeartbeatService,
        observations: ObservationService,
        cards: CardService,
        removal: RemovalService,
        discovery: Discovery,
        feed: WorkspaceFeed,
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._creator = creator
        self._queries = queries
        self._updater = updater
        self._registration = registration
        self._heartbeats = heartbeats
        self._observations = observations
        self._cards = cards
        self._removal = removal
        self._discovery = discovery
        self._feed = feed
        self._catalog = catalog
        self._clock = clock

    async def CreateWorkspace(self, request: pb.CreateWorkspaceRequest, context: Context) -> pb.CreateWorkspaceResponse:
        made = await self._creator.create(identity.current(), request.request_id, wire.parse_draft(request))
        return pb.CreateWorkspaceResponse(
            workspace=wire.build_workspace(ListedWorkspace(made.workspace)), auth_token=made.auth_token
        )

    async def GetWorkspace(self, request: pb.GetWorkspaceRequest, context: Context) -> pb.GetWorkspaceResponse:
        entry = await self._queries.get(identity.current(), WorkspaceId(request.workspace_id))
        return pb.GetWorkspaceResponse(workspace=self._build_workspace(entry))

    async def ListWorkspaces(self, request: pb.ListWorkspacesRequest, context: Context) -> pb.ListWorkspacesResponse:
        size = pages.choose_page_size(request.page_size, default=100, maximum=1000)
        page = await self._queries.list(identity.current(), size=size, token=request.page_token)
        return pb.ListWorkspacesResponse(
            workspaces=[self._build_workspace(entry) for entry in page.entries], next_page_token=page.next_page_token
        )

    async def CountWorkspaces(self, request: pb.CountWorkspacesRequest, context: Context) -> pb.CountWorkspacesResponse:
        counts = await self._queries.count_by_status()
        return pb.CountWorkspacesResponse(counts=wire.build_status_counts(counts))

    async def UpdateWorkspace(self, request: pb.UpdateWorkspaceRequest, context: Context) -> pb.UpdateWorkspaceResponse:
        changes = wire.parse_changes(request)
        update = await self._updater.update(identity.current(), WorkspaceId(request.workspace_id), changes)
        return pb.UpdateWorkspaceResponse(
            workspace=wire.build_workspace(update.entry),
            needs_restart=update.needs_restart,
            model_was_reset=update.model_was_reset,
        )

    async def RemoveWorkspace(self, request: pb.RemoveWorkspaceRequest, context: Context) -> pb.RemoveWorkspaceResponse:
        cascade = await self._removal.remove(
            identity.current(), WorkspaceId(request.workspace_id), confirm=request.confirm, purge=request.purge
        )
        return pb.RemoveWorkspaceResponse(cascade_deleted=cascade)

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        registration = RegistrationRequest(
            card=request.agent_card, url=request.url, delivery_mode=wire.parse_delivery_mode(request.delivery_mode)
        )
        registered = await self._registration.register(
            identity.current(), WorkspaceId(request.workspace_id), registration
        )
        return pb.RegisterResponse(
            delivery_mode=wire.build_delivery_mode(registered.delivery_mode),
            auth_token=registered.credentials.auth_token,
            inbound_secret=registered.credentials.inbound_secret,
            warnings=registered.warnings,
            card_signature=wire.build_card_signature(registered.card_signature),
        )

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        fact = wire.parse_heartbeat(request, at=self._clock.now(), generation=identity.current().generation)
        workspace = await self._heartbeats.receive(WorkspaceId(request.workspace_id), fact)
        return pb.HeartbeatResponse(status=wire.build_status(workspace.status))

    async def UpdateCard(self, request: pb.UpdateCardRequest, context: Context) -> pb.UpdateCardResponse:
        updated = await self._cards.update(identity.current(), WorkspaceId(request.workspace_id), request.agent_card)
        return pb.UpdateCardResponse(
            warnings=updated.warnings, card_signature=wire.build_card_signature(updated.signature)
        )

    async def GetCard(self, request: pb.GetCardRequest, context: Context) -> pb.GetCardResponse:
        entry = await self._queries.card(identity.current(), WorkspaceId(request.workspace_id))
        if entry.card is None:
            raise CardNotAvailable
        return wire.build_card(entry)

    async def DiscoverWorkspace(
        self, request: pb.DiscoverWorkspaceRequest, context: Context
    ) -> pb.DiscoverWorkspaceResponse:
        found = await self._discovery.discover(identity.current(), WorkspaceId(request.workspace_id), request.caller_id)
        return pb.DiscoverWorkspaceResponse(
            id=found.workspace.id,
            name=found.workspace.name,
            url=found.url,
            delivery_mode=wire.build_delivery_mode(found.workspace.delivery_mode),
        )

    async def ListPeers(self, request: pb.ListPeersRequest, context: Context) -> pb.ListPeersResponse:
        page = await self._discovery.list_peers(
            identity.current(),
            WorkspaceId(request.workspace_id),
            query=request.query,
            size=pages.choose_page_size(request.page_size, default=1000, maximum=1000),
            token=request.page_token,
        )
        return pb.ListPeersResponse(
            workspaces=[wire.build_workspace(entry) for entry in page.entries], next_page_token=page.next_page_token
        )

    async def CheckAccess(self, request: pb.CheckAccessRequest, context: Context) -> pb.CheckAccessResponse:
        allowed = await self._discovery.may_talk(
            identity.current(), WorkspaceId(request.caller_id), WorkspaceId(request.target_id)
        )
        return pb.CheckAccessResponse(allowed=allowed)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        found = await self._queries.events(
            identity.current(),
            workspace_id=request.workspace_id,
            after=request.after_event_id if request.HasField("after_event_id") else None,
            size=pages.choose_page_size(request.page_size, default=100, maximum=500),
        )
        return pb.ListEventsResponse(events=[wire.build_event(event) for event in found])

    async def ResolveRoute(self, request: pb.ResolveRouteRequest, context: Context) -> pb.ResolveRouteResponse:
        workspace, allowed = await self._discovery.resolve_route(WorkspaceId(request.workspace_id), request.caller_id)
        return pb.ResolveRouteResponse(record=self._build_record(workspace), allowed=allowed)

    async def ReportFact(self, request: pb.ReportFactRequest, context: Context) -> pb.ReportFactResponse:
        fact = wire.parse_fact(request, self._clock.now())
        workspace, changed = await self._observations.observe(WorkspaceId(request.workspace_id), fact)
        return pb.ReportFactResponse(status=wire.build_status(workspace.status), changed=changed)

    async def WatchWorkspaces(
        self, request: pb.WatchWorkspacesRequest, context: Context
    ) -> AsyncIterator[pb.WatchWorkspacesResponse]:
        async for update in self._feed.watch(
            request.after_revision, include_heartbeats=request.include_heartbeats, backend=request.backend
        ):
            match update:
                case WorkspaceChange(workspace):
                    record = self._build_record(workspace)
                    yield pb.WatchWorkspacesResponse(revision=workspace.revision, changed=record)
                case HeartbeatBatch(heartbeats):
                    yield pb.WatchWorkspacesResponse(
                        heartbeats=pb.HeartbeatNotices(heartbeats=map(wire.build_heartbeat_notice, heartbeats))
                    )
                case SnapshotDone(revision):
                    yield pb.WatchWorkspacesResponse(revision=revision, snapshot_done=pb.SnapshotDone())
                case FeedKeepalive(revision):
                    yield pb.WatchWorkspacesResponse(
                        revision=revision, keepalive=duration_from_timedelta(FEED_SIGN_INTERVAL)
                    )
                case _:
                    assert_never(update)

    def _build_record(self, workspace: Workspace) -> pb.WorkspaceRecord:
        runtime = workspace.runtime
        return wire.build_record(workspace, self._catalog.adapter_module(runtime), self._catalog.command(runtime))

    def _build_workspace(self, entry: ListedWorkspace) -> pb.Workspace:
        return wire.build_workspace(entry, self._catalog.declared_limit(entry.workspace.runtime))
