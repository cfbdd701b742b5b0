"""The registry as its neighbours meet it: its own process wiring, over real gRPC."""

from contextlib import aclosing

import pytest

from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.identity import Identity, Kind
from services.chassis.service import serving
from services.registry.app import service
from services.registry.settings import Settings
from tests import databases
from tests.registry.neighbours import WillingAuth, served
from tests.rpc import listening

ADMIN = Identity(kind=Kind.ADMIN)


class Registry:
    """The registry over a line of each of its neighbours."""

    def __init__(self, address, lines):
        self.address = address
        self._lines = lines

    async def ask(self, method, request, *, by=None, speaker="gateway"):
        line = self._lines[speaker]
        stub = rpc.RegistryServiceStub(line.channel)
        return await line.ask(getattr(stub, method), request, on_behalf_of=by)

    def watch(self, request, *, speaker="provisioner"):
        line = self._lines[speaker]
        return line.watch(rpc.RegistryServiceStub(line.channel).WatchWorkspaces, request)

    async def create(self, **said):
        answer = await self.ask("CreateWorkspace", pb.CreateWorkspaceRequest(name="ada", **said), by=ADMIN)
        return answer.workspace


@pytest.fixture
async def registry(database_url, tmp_path):
    async with databases.fresh(database_url, service), listening([served(WillingAuth())]) as auth:
        values = Settings(
            mode="development", listen=f"unix:{tmp_path}/r.sock", database_url=database_url, auth_targets=auth
        )
        async with serving(service, values) as address:
            speakers = ("gateway", "provisioner", "a2a_proxy")
            async with clients.dialled(address, speaker="gateway") as one:
                lines = {speaker: clients.Line(one.channel, speaker) for speaker in speakers}
                yield Registry(address, lines)


async def test_a_workspace_is_created_registered_heard_and_read(registry):
    made = await registry.create(runtime="echo")
    by = Identity(kind=Kind.WORKSPACE, name=made.id, generation=1)

    registered = await registry.ask(
        "Register",
        pb.RegisterRequest(workspace_id=made.id, agent_card=b'{"name":"Ada"}', url="http://127.0.0.1:1"),
        by=by,
    )
    beat = await registry.ask("Heartbeat", pb.HeartbeatRequest(workspace_id=made.id, active_tasks=2), by=by)
    read = await registry.ask("GetWorkspace", pb.GetWorkspaceRequest(workspace_id=made.id), by=by)

    assert made.status == pb.WORKSPACE_STATUS_PROVISIONING
    assert registered.delivery_mode == pb.DELIVERY_MODE_PUSH
    assert registered.inbound_secret
    assert beat.status == pb.WORKSPACE_STATUS_ONLINE
    assert (read.workspace.active_tasks, read.workspace.agent_card) == (2, b'{"name":"Ada"}')


async def test_the_feed_tells_what_is_and_then_what_changes(registry):
    made = await registry.create(runtime="echo")

    async with aclosing(registry.watch(pb.WatchWorkspacesRequest(backend="process"))) as feed:
        assert (await anext(feed)).changed.id == made.id
        assert (await anext(feed)).WhichOneof("news") == "snapshot_done"
        await registry.ask(
            "ReportFact",
            pb.ReportFactRequest(
                workspace_id=made.id,
                generation=1,
                instance_started=pb.InstanceStarted(backend="process", address="http://127.0.0.1:7"),
            ),
            speaker="provisioner",
        )
        async for news in feed:
            if news.WhichOneof("news") == "changed":
                break

    assert (news.changed.address, news.changed.address_trusted) == ("http://127.0.0.1:7", True)
    assert news.changed.desire == pb.DESIRE_RUNNING
    assert news.changed.adapter_module == "molecule_agent.adapters.echo"
