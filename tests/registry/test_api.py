"""The RPCs of the registry over real gRPC, with the wiring of `app.py`."""

from contextlib import aclosing

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from protos.common.v1 import liveness_pb2, liveness_pb2_grpc
from protos.registry.v1 import lifecycle_pb2
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from protos.registry.v1.lifecycle_pb2_grpc import LifecycleServiceStub
from services.chassis import clients
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from services.chassis.identity import Identity, Kind
from services.chassis.service import run_service
from services.registry.app import service
from services.registry.settings import Settings
from tests import databases
from tests.registry.fake_auth import FakeAuth, serve_auth
from tests.rpc import serve

ADMIN = Identity(kind=Kind.ADMIN)


class RegistryClient:
    """Calls the registry in the name of each service."""

    def __init__(self, address, channels):
        self.address = address
        self._channels = channels

    async def ask(self, method, request, *, by=None, caller_service="gateway"):
        channel = self._channels[caller_service]
        stub_of = LifecycleServiceStub if method == "RestartWorkspace" else rpc.RegistryServiceStub
        return await channel.call(getattr(stub_of(channel.channel), method), request, on_behalf_of=by)

    def watch(self, request, *, caller_service="provisioner"):
        channel = self._channels[caller_service]
        return channel.watch(rpc.RegistryServiceStub(channel.channel).WatchWorkspaces, request)

    async def list_ticking_loops(self):
        channel = self._channels["gateway"]
        stub = liveness_pb2_grpc.LivenessServiceStub(channel.channel)
        answer = await channel.call(stub.GetLiveness, liveness_pb2.GetLivenessRequest())
        return {loop.name for loop in answer.loops}

    async def create(self, **fields):
        answer = await self.ask("CreateWorkspace", pb.CreateWorkspaceRequest(name="ada", **fields), by=ADMIN)
        return answer.workspace


@pytest.fixture
async def registry(database_url, tmp_path):
    async with databases.open_empty_database(database_url, service), serve([serve_auth(FakeAuth())]) as auth:
        values = Settings(
            mode="development", listen=f"unix:{tmp_path}/r.sock", database_url=database_url, auth_targets=auth
        )
        async with run_service(service, values) as address:
            speakers = ("gateway", "provisioner", "a2a_proxy")
            async with clients.open_channel(address, caller_service="gateway") as one:
                channels = {speaker: clients.ServiceChannel(one.channel, speaker) for speaker in speakers}
                yield RegistryClient(address, channels)


async def test_the_ticking_loops_have_the_names_that_are_published(registry):
    sweeps = {
        *("missed_heartbeats", "failed_starts", "idle_workspaces", "placements", "removals", "audit_records"),
        "old_records",
    }

    assert await registry.list_ticking_loops() == sweeps | {"approvals", "notes", "heartbeat_reception"}


async def test_a_workspace_is_created_registered_and_read_over_grpc(registry):
    made = await registry.create(runtime="echo")
    by = Identity(kind=Kind.WORKSPACE, name=made.id, generation=1)

    registered = await registry.ask(
        "Register",
        pb.RegisterRequest(workspace_id=made.id, agent_card=b'{"name":"lead"}', url="http://127.0.0.1:1"),
        by=by,
    )
    beat = await registry.ask("Heartbeat", pb.HeartbeatRequest(workspace_id=made.id, active_tasks=2), by=by)
    read = await registry.ask("GetWorkspace", pb.GetWorkspaceRequest(workspace_id=made.id), by=by)
    card = await registry.ask("GetCard", pb.GetCardRequest(workspace_id=made.id), by=by)

    assert (card.agent_card, card.stored_at.nanos, card.stored_at.seconds > 0) == (b'{"name":"lead"}', 0, True)
    assert made.status == pb.WORKSPACE_STATUS_PROVISIONING
    assert registered.delivery_mode == pb.DELIVERY_MODE_PUSH
    assert registered.inbound_secret
    assert beat.status == pb.WORKSPACE_STATUS_ONLINE
    assert (read.workspace.active_tasks, read.workspace.agent_card) == (2, b'{"name":"lead"}')


async def test_the_feed_sends_a_snapshot_and_then_changes(registry):
    made = await registry.create(runtime="echo")

    async with aclosing(registry.watch(pb.WatchWorkspacesRequest(backend="process"))) as feed:
        assert (await anext(feed)).changed.id == made.id
        assert (await anext(feed)).WhichOneof("update") == "snapshot_done"
        await registry.ask(
            "ReportFact",
            pb.ReportFactRequest(
                workspace_id=made.id,
                generation=1,
                instance_started=pb.InstanceStarted(backend="process", address="http://127.0.0.1:7"),
            ),
            caller_service="provisioner",
        )
        async for update in feed:
            if update.WhichOneof("update") == "changed":
                break

    assert (update.changed.address, update.changed.address_trusted) == ("http://127.0.0.1:7", True)
    assert update.changed.desired_state == pb.DESIRED_STATE_RUNNING
    assert update.changed.adapter_module == "molecule_agent.echo"


async def test_a_resumed_watch_receives_heartbeats_and_signs_of_life(registry):
    made = await registry.create(runtime="echo")
    by = Identity(kind=Kind.WORKSPACE, name=made.id, generation=1)

    async with aclosing(
        registry.watch(pb.WatchWorkspacesRequest(include_heartbeats=True), caller_service="a2a_proxy")
    ) as feed:
        async for update in feed:
            if update.WhichOneof("update") == "keepalive":
                break
        await registry.ask("Heartbeat", pb.HeartbeatRequest(workspace_id=made.id, active_tasks=3), by=by)
        async for update in feed:
            if update.WhichOneof("update") == "heartbeats":
                break

    assert [(heartbeat.workspace_id, heartbeat.active_tasks) for heartbeat in update.heartbeats.heartbeats] == [
        (made.id, 3)
    ]


@pytest.mark.parametrize(
    ("method", "request_", "by", "speaker"),
    [
        ("ReportFact", pb.ReportFactRequest(workspace_id="w"), None, "gateway"),
        ("ReportFact", pb.ReportFactRequest(workspace_id="w"), ADMIN, "gateway"),
        ("ResolveRoute", pb.ResolveRouteRequest(workspace_id="w"), None, "provisioner"),
        ("CreateWorkspace", pb.CreateWorkspaceRequest(name="x"), None, "gateway"),
        ("CreateWorkspace", pb.CreateWorkspaceRequest(name="x"), Identity(kind=Kind.WORKSPACE, name="w"), "gateway"),
        ("Heartbeat", pb.HeartbeatRequest(workspace_id="w"), Identity(kind=Kind.WORKSPACE, name="v"), "gateway"),
        ("Heartbeat", pb.HeartbeatRequest(workspace_id="w"), ADMIN, "gateway"),
        ("Register", pb.RegisterRequest(workspace_id="w"), ADMIN, "gateway"),
        ("RestartWorkspace", lifecycle_pb2.RestartWorkspaceRequest(workspace_id="w"), None, "a2a_proxy"),
    ],
)
async def test_the_access_options_decide_which_callers_are_refused(registry, method, request_, by, speaker):
    with pytest.raises(PermissionDenied):
        await registry.ask(method, request_, by=by, caller_service=speaker)


async def test_errors_arrive_with_their_reason_and_public_text(registry):
    external = await registry.create(external=True)

    for method, request, kind, reason, text in (
        (
            "CreateWorkspace",
            pb.CreateWorkspaceRequest(name="a|b"),
            InvalidArgument,
            "INVALID_WORKSPACE",
            "invalid workspace fields",
        ),
        (
            "GetWorkspace",
            pb.GetWorkspaceRequest(workspace_id="x"),
            NotFound,
            "WORKSPACE_NOT_FOUND",
            "workspace not found",
        ),
        (
            "GetCard",
            pb.GetCardRequest(workspace_id=external.id),
            NotFound,
            "CARD_NOT_AVAILABLE",
            "agent card not available",
        ),
        (
            "RestartWorkspace",
            lifecycle_pb2.RestartWorkspaceRequest(workspace_id=external.id),
            FailedPrecondition,
            "NOT_SUPPORTED",
            "external workspaces cannot be restarted",
        ),
        (
            "UpdateWorkspace",
            pb.UpdateWorkspaceRequest(workspace_id=external.id),
            InvalidArgument,
            "INVALID_VALUE",
            "invalid value for field: update_mask",
        ),
    ):
        with pytest.raises(kind) as refusal:
            await registry.ask(method, request, by=ADMIN)
        assert (refusal.value.reason, refusal.value.message) == (reason, text)
        assert refusal.value.domain == "molecule.registry.v1"


async def test_the_rpcs_from_creation_to_removal(registry):
    root = await registry.create(external=True)
    child = await registry.create(external=True, parent_id=root.id)

    changed = await registry.ask(
        "UpdateWorkspace",
        pb.UpdateWorkspaceRequest(
            workspace_id=child.id,
            changes=pb.WorkspaceChanges(name="eve", x=0.0, y=1.0),
            update_mask=FieldMask(paths=["name", "role", "x", "y"]),
        ),
        by=ADMIN,
    )
    listed = await registry.ask("ListWorkspaces", pb.ListWorkspacesRequest(), by=ADMIN)
    peers = await registry.ask("ListPeers", pb.ListPeersRequest(workspace_id=root.id), by=ADMIN)
    access = await registry.ask("CheckAccess", pb.CheckAccessRequest(caller_id=root.id, target_id=child.id), by=ADMIN)
    route = await registry.ask(
        "ResolveRoute", pb.ResolveRouteRequest(workspace_id=child.id, caller_id=root.id), caller_service="a2a_proxy"
    )
    removed = await registry.ask(
        "RemoveWorkspace", pb.RemoveWorkspaceRequest(workspace_id=root.id, confirm=True), by=ADMIN
    )
    events = await registry.ask("ListEvents", pb.ListEventsRequest(), by=ADMIN)

    assert (changed.workspace.name, changed.workspace.x, changed.workspace.y) == ("eve", 0.0, 1.0)
    assert [workspace.id for workspace in listed.workspaces] == [root.id, child.id]
    assert [workspace.id for workspace in peers.workspaces] == [child.id]
    assert access.allowed
    assert route.allowed
    assert (route.record.external, route.record.desired_state) == (True, pb.DESIRED_STATE_STOPPED)
    assert removed.cascade_deleted == 1
    assert events.events[0].event_type == "WORKSPACE_REMOVED"
    assert child.status_event_id in {event.event_id for event in events.events}


async def test_declarations_reach_senders(registry):
    made = await registry.create(runtime="echo")
    by = Identity(kind=Kind.WORKSPACE, name=made.id, generation=1)
    fields = pb.Declarations(capabilities={"session": True, "scheduler": False, "": True}, idle_timeout_seconds=60)

    await registry.ask("Heartbeat", pb.HeartbeatRequest(workspace_id=made.id, declarations=fields), by=by)
    route = await registry.ask("ResolveRoute", pb.ResolveRouteRequest(workspace_id=made.id), caller_service="a2a_proxy")

    assert route.record.declarations == pb.Declarations(capabilities={"session": True}, idle_timeout_seconds=60)


@pytest.mark.covers("REG-43")
async def test_an_idle_time_of_zero_clears_it(registry):
    made = await registry.create(runtime="echo")
    by = Identity(kind=Kind.WORKSPACE, name=made.id, generation=1)

    for seconds in (60, 0, 60, -5):
        fields = pb.Declarations(idle_timeout_seconds=seconds)
        await registry.ask("Heartbeat", pb.HeartbeatRequest(workspace_id=made.id, declarations=fields), by=by)
        route = await registry.ask(
            "ResolveRoute", pb.ResolveRouteRequest(workspace_id=made.id), caller_service="a2a_proxy"
        )
        assert route.record.declarations.idle_timeout_seconds == max(seconds, 0)


@pytest.mark.parametrize("tier", [0, -1, 5, 2**31 - 1])
async def test_a_tier_outside_its_range_is_refused_before_anything_else(registry, tier):
    with pytest.raises(InvalidArgument) as refusal:
        await registry.create(tier=tier, template="no-such-template")

    listed = await registry.ask("ListWorkspaces", pb.ListWorkspacesRequest(), by=ADMIN)
    assert (refusal.value.reason, refusal.value.message) == ("INVALID_WORKSPACE", "invalid workspace fields")
    assert refusal.value.details == {}
    assert list(listed.workspaces) == []


async def test_a_workspace_without_a_tier_gets_the_default_one(registry):
    assert (await registry.create(runtime="echo")).tier == 3
    assert (await registry.create(runtime="echo", tier=1)).tier == 1


async def test_an_allowed_empty_mask_returns_the_unchanged_workspace(registry):
    made = await registry.create(runtime="echo")
    request = pb.UpdateWorkspaceRequest(workspace_id=made.id, allow_empty_mask=True)

    answer = await registry.ask("UpdateWorkspace", request, by=ADMIN)
    events = await registry.ask("ListEvents", pb.ListEventsRequest(), by=ADMIN)

    assert answer == pb.UpdateWorkspaceResponse(workspace=made)
    assert [event.event_type for event in events.events] == ["WORKSPACE_PROVISIONING"]


@pytest.mark.parametrize("paths", [[], ["name"]])
async def test_an_update_of_a_removed_or_unknown_workspace_is_refused(registry, paths):
    removed = await registry.create(external=True)
    await registry.ask("RemoveWorkspace", pb.RemoveWorkspaceRequest(workspace_id=removed.id), by=ADMIN)

    for workspace_id, kind, reason, text in (
        (removed.id, FailedPrecondition, "WORKSPACE_REMOVED", "workspace removed"),
        ("unknown", NotFound, "WORKSPACE_NOT_FOUND", "workspace not found"),
    ):
        request = pb.UpdateWorkspaceRequest(
            workspace_id=workspace_id,
            changes=pb.WorkspaceChanges(name="eve"),
            update_mask=FieldMask(paths=paths),
            allow_empty_mask=True,
        )
        with pytest.raises(kind) as refusal:
            await registry.ask("UpdateWorkspace", request, by=ADMIN)
        assert (refusal.value.reason, refusal.value.message) == (reason, text)
        assert refusal.value.details == {}


async def test_an_allowed_empty_mask_shows_an_organisation_nothing_of_another(registry):
    other = await registry.create(external=True)
    by = Identity(kind=Kind.ORG, name="token", org_id="another", scopes=frozenset({"admin"}))
    request = pb.UpdateWorkspaceRequest(workspace_id=other.id, allow_empty_mask=True)

    with pytest.raises(NotFound) as refusal:
        await registry.ask("UpdateWorkspace", request, by=by)

    assert refusal.value.reason == "WORKSPACE_NOT_FOUND"


async def test_a_workspace_lists_its_own_peers_only(registry):
    root = await registry.create(external=True)
    child = await registry.create(external=True, parent_id=root.id)
    by = Identity(kind=Kind.WORKSPACE, name=child.id)

    own = await registry.ask("ListPeers", pb.ListPeersRequest(workspace_id=child.id), by=by)
    assert [workspace.id for workspace in own.workspaces] == [root.id]
    for workspace_id in (root.id, "unknown"):
        with pytest.raises(Unauthenticated) as refusal:
            await registry.ask("ListPeers", pb.ListPeersRequest(workspace_id=workspace_id), by=by)
        assert (refusal.value.domain, refusal.value.reason) == ("molecule.registry.v1", "UNAUTHENTICATED")
        assert (refusal.value.message, refusal.value.details) == ("invalid workspace auth token", {})


async def test_a_heartbeat_counts_for_the_generation_of_its_token(registry):
    made = await registry.create(runtime="echo")

    for generation, status in ((7, pb.WORKSPACE_STATUS_PROVISIONING), (1, pb.WORKSPACE_STATUS_ONLINE)):
        by = Identity(kind=Kind.WORKSPACE, name=made.id, generation=generation)
        answer = await registry.ask("Heartbeat", pb.HeartbeatRequest(workspace_id=made.id), by=by)
        assert answer.status == status
