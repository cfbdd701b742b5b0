"""The event service as the gateway calls it: two assembled replicas behind real gRPC."""

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
from tests.rpc import serve


@pytest.fixture
async def channels(database_url, tmp_path):
    """A channel to each of two replicas."""
    async with databases.open_empty_database(database_url, service), serve([serve_auth(FakeAuth())]) as auth:

        def values(name):
            listen = f"unix:{tmp_path}/{name}.sock"
            return Settings(mode="development", listen=listen, database_url=database_url, auth_targets=auth)

        async with (
            run_service(service, values("a")) as first,
            run_service(service, values("b")) as second,
            clients.open_channel(first, caller_service="gateway") as one,
            clients.open_channel(second, caller_service="gateway") as other,
        ):
            yield one, other


async def create(channel, **said):
    stub = registry_pb2_grpc.RegistryServiceStub(channel.channel)
    request = registry_pb2.CreateWorkspaceRequest(name="ada", external=True, **said)
    return (await channel.call(stub.CreateWorkspace, request, on_behalf_of=ADMIN)).workspace


async def send_heartbeat(channel, workspace_id):
    stub = registry_pb2_grpc.RegistryServiceStub(channel.channel)
    request = registry_pb2.HeartbeatRequest(workspace_id=workspace_id, active_tasks=3, uptime_seconds=7)
    await channel.call(stub.Heartbeat, request, on_behalf_of=agent(workspace_id))


def watching(channel, after=0):
    stub = rpc.EventServiceStub(channel.channel)
    return aclosing(channel.watch(stub.WatchEvents, pb.WatchEventsRequest(after_event_id=after)))


async def read_until(watch, kind):
    async for message in watch:
        if message.WhichOneof("update") == kind:
            return getattr(message, kind)
    return None


@pytest.mark.covers("BEY-17")
async def test_every_replica_publishes_an_event_of_any_replica(channels):
    one, other = channels
    async with watching(one) as here, watching(other) as there:
        await read_until(here, "caught_up")
        await read_until(there, "caught_up")
        made = await create(other)
        received = [await read_until(here, "event"), await read_until(there, "event")]

    assert received[0] == received[1]
    assert received[0].event.event_type == "WORKSPACE_PROVISIONING"
    assert received[0].event.workspace_id == made.id
    assert f"one:{made.id}" in received[0].published_to


async def test_only_the_replica_that_received_a_heartbeat_broadcasts_it(channels):
    one, other = channels
    made = await create(one)

    async def first(channel):
        stub = rpc.EventServiceStub(channel.channel)
        async with aclosing(channel.watch(stub.WatchBroadcasts, pb.WatchBroadcastsRequest())) as watch:
            return (await anext(watch)).broadcasts[0]

    async with asyncio.timeout(20):
        here, there = asyncio.ensure_future(first(one)), asyncio.ensure_future(first(other))
        while not here.done():
            await send_heartbeat(one, made.id)
        await asyncio.wait([there], timeout=0.2)

    assert not there.done()
    there.cancel()
    assert (here.result().event_type, here.result().workspace_id) == ("WORKSPACE_HEARTBEAT", made.id)
    assert here.result().payload == b'{"active_tasks":3,"uptime_seconds":7}'
    await asyncio.gather(there, return_exceptions=True)


async def test_subscriptions_and_replays_depend_on_the_caller(channels):
    channel, _ = channels
    stub = rpc.EventServiceStub(channel.channel)
    made, other = await create(channel), await create(channel)
    org = Identity(kind=Kind.ORG, name="t", org_id=made.id, scopes=frozenset({"read"}))
    subscription = await channel.call(stub.ResolveSubscription, pb.ResolveSubscriptionRequest(), on_behalf_of=org)
    replay = await channel.call(stub.ReplayEvents, pb.ReplayEventsRequest(page_size=1), on_behalf_of=org)

    assert list(subscription.subscribed_to) == [f"org:{made.id}"]
    assert [event.workspace_id for event in replay.events] == [made.id]
    assert replay.more
    assert other.id not in str(replay)


async def test_an_event_id_that_does_not_exist_is_refused(channels):
    channel, _ = channels
    stub = rpc.EventServiceStub(channel.channel)
    with pytest.raises(FailedPrecondition, match="event id no longer available") as refusal:
        await channel.call(
            stub.ResolveSubscription, pb.ResolveSubscriptionRequest(after_event_id=2**61), on_behalf_of=ADMIN
        )
    assert refusal.value.reason == "EVENT_ID_GONE"


async def test_only_the_proxy_stores_events_of_another_service(channels):
    channel, _ = channels
    stub = rpc.EventServiceStub(channel.channel)
    made = await create(channel)
    event = pb.RecordedEvent(
        id="00000000-0000-4000-8000-000000000001", event_type="CRON_SKIPPED", workspace_id=made.id, payload=b"{}"
    )
    request = pb.RecordEventsRequest(events=[event])

    await ServiceChannel(channel.channel, "a2a_proxy").call(stub.RecordEvents, request)

    replay = await channel.call(stub.ReplayEvents, pb.ReplayEventsRequest(), on_behalf_of=ADMIN)
    assert [one.event_type for one in replay.events][-1] == "CRON_SKIPPED"
    for caller in (None, ADMIN, agent(made.id)):
        with pytest.raises(PermissionDenied):
            await channel.call(stub.RecordEvents, request, on_behalf_of=caller)


async def test_only_the_gateway_watches_and_a_service_has_no_subscription(channels):
    channel, _ = channels
    stub = rpc.EventServiceStub(channel.channel)
    stranger = ServiceChannel(channel.channel, "a2a_proxy")
    for method, request in (
        (stub.WatchEvents, pb.WatchEventsRequest()),
        (stub.WatchBroadcasts, pb.WatchBroadcastsRequest()),
    ):
        with pytest.raises(PermissionDenied):
            await anext(stranger.watch(method, request))
    with pytest.raises(PermissionDenied):
        await channel.call(stub.ResolveSubscription, pb.ResolveSubscriptionRequest())


async def test_a_replica_that_stops_ends_its_streams(database_url, tmp_path):
    async with databases.open_empty_database(database_url, service), serve([serve_auth(FakeAuth())]) as auth:
        values = Settings(
            mode="development", listen=f"unix:{tmp_path}/r.sock", database_url=database_url, auth_targets=auth
        )
        async with clients.open_channel(values.listen, caller_service="gateway") as channel:
            async with run_service(service, values):
                watch = watching(channel)
                feed = await watch.__aenter__()
                await read_until(feed, "caught_up")
            with pytest.raises(Unavailable):
                await read_until(feed, "event")
            await watch.__aexit__(None, None, None)
