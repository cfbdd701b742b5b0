"""Events as the gateway meets them: the registry's own wiring, over real gRPC."""

import asyncio
from contextlib import aclosing

import pytest

from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from protos.registry.v1 import registry_pb2, registry_pb2_grpc
from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.errors import FailedPrecondition, PermissionDenied, Unavailable
from services.chassis.identity import Identity, Kind
from services.chassis.service import run_service
from services.registry.app import service
from services.registry.settings import Settings
from tests import databases
from tests.registry.conftest import ADMIN, agent
from tests.registry.fake_auth import FakeAuth, serve_auth
from tests.rpc import listening


@pytest.fixture
async def lines(database_url, tmp_path):
    """A line to each of two replicas."""
    async with databases.fresh(database_url, service), listening([serve_auth(FakeAuth())]) as auth:

        def values(name):
            listen = f"unix:{tmp_path}/{name}.sock"
            return Settings(mode="development", listen=listen, database_url=database_url, auth_targets=auth)

        async with (
            run_service(service, values("a")) as first,
            run_service(service, values("b")) as second,
            clients.open_channel(first, speaker="gateway") as one,
            clients.open_channel(second, speaker="gateway") as other,
        ):
            yield one, other


async def create(line, **said):
    stub = registry_pb2_grpc.RegistryServiceStub(line.channel)
    request = registry_pb2.CreateWorkspaceRequest(name="ada", external=True, **said)
    return (await line.call(stub.CreateWorkspace, request, on_behalf_of=ADMIN)).workspace


async def beat(line, workspace_id):
    stub = registry_pb2_grpc.RegistryServiceStub(line.channel)
    request = registry_pb2.HeartbeatRequest(workspace_id=workspace_id, active_tasks=3, uptime_seconds=7)
    await line.call(stub.Heartbeat, request, on_behalf_of=agent(workspace_id))


def watching(line, after=0):
    stub = rpc.EventServiceStub(line.channel)
    return aclosing(line.watch(stub.WatchEvents, pb.WatchEventsRequest(after_event_id=after)))


async def until(watch, kind):
    async for message in watch:
        if message.WhichOneof("update") == kind:
            return getattr(message, kind)
    return None


@pytest.mark.covers("BEY-17")
async def test_an_event_is_told_by_every_replica_wherever_it_arose(lines):
    one, other = lines
    async with watching(one) as here, watching(other) as there:
        await until(here, "caught_up")
        await until(there, "caught_up")
        made = await create(other)
        told = [await until(here, "event"), await until(there, "event")]

    assert told[0] == told[1]
    assert told[0].event.event_type == "WORKSPACE_PROVISIONING"
    assert told[0].event.workspace_id == made.id
    assert f"one:{made.id}" in told[0].published_to


async def test_a_broadcast_is_told_by_the_replica_where_it_arises(lines):
    one, other = lines
    made = await create(one)

    async def first(line):
        stub = rpc.EventServiceStub(line.channel)
        async with aclosing(line.watch(stub.WatchBroadcasts, pb.WatchBroadcastsRequest())) as watch:
            return (await anext(watch)).broadcasts[0]

    async with asyncio.timeout(20):
        here, there = asyncio.ensure_future(first(one)), asyncio.ensure_future(first(other))
        while not here.done():
            await beat(one, made.id)
        await asyncio.wait([there], timeout=0.2)

    assert not there.done()
    there.cancel()
    assert (here.result().event_type, here.result().workspace_id) == ("WORKSPACE_HEARTBEAT", made.id)
    assert here.result().payload == b'{"active_tasks":3,"uptime_seconds":7}'
    await asyncio.gather(there, return_exceptions=True)


async def test_a_view_and_what_was_missed_are_told_on_behalf_of_a_caller(lines):
    line, _ = lines
    stub = rpc.EventServiceStub(line.channel)
    made, other = await create(line), await create(line)
    org = Identity(kind=Kind.ORG, name="t", org_id=made.id, scopes=frozenset({"read"}))
    view = await line.call(stub.ResolveSubscription, pb.ResolveSubscriptionRequest(), on_behalf_of=org)
    replay = await line.call(stub.ReplayEvents, pb.ReplayEventsRequest(page_size=1), on_behalf_of=org)

    assert list(view.subscribed_to) == [f"org:{made.id}"]
    assert [event.workspace_id for event in replay.events] == [made.id]
    assert replay.more
    assert other.id not in str(replay)


async def test_who_names_an_event_that_never_was_is_told_so(lines):
    line, _ = lines
    stub = rpc.EventServiceStub(line.channel)
    with pytest.raises(FailedPrecondition, match="event id no longer available") as refusal:
        await line.call(
            stub.ResolveSubscription, pb.ResolveSubscriptionRequest(after_event_id=2**61), on_behalf_of=ADMIN
        )
    assert refusal.value.reason == "EVENT_ID_GONE"


async def test_only_the_gateway_watches_and_nobody_listens_in_a_service_s_name(lines):
    line, _ = lines
    stub = rpc.EventServiceStub(line.channel)
    stranger = ServiceChannel(line.channel, "a2a_proxy")
    for method, request in (
        (stub.WatchEvents, pb.WatchEventsRequest()),
        (stub.WatchBroadcasts, pb.WatchBroadcastsRequest()),
    ):
        with pytest.raises(PermissionDenied):
            await anext(stranger.watch(method, request))
    with pytest.raises(PermissionDenied):
        await line.call(stub.ResolveSubscription, pb.ResolveSubscriptionRequest())


async def test_a_replica_that_stops_sends_its_watchers_away(database_url, tmp_path):
    async with databases.fresh(database_url, service), listening([serve_auth(FakeAuth())]) as auth:
        values = Settings(
            mode="development", listen=f"unix:{tmp_path}/r.sock", database_url=database_url, auth_targets=auth
        )
        async with clients.open_channel(values.listen, speaker="gateway") as line:
            async with run_service(service, values):
                watch = watching(line)
                feed = await watch.__aenter__()
                await until(feed, "caught_up")
            with pytest.raises(Unavailable):
                await until(feed, "event")
            await watch.__aexit__(None, None, None)
