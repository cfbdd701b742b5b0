"""The last ticks of loops, as a server reports them."""

import asyncio
from datetime import timedelta

import pytest

from protos.common.v1 import liveness_pb2 as pb
from protos.common.v1 import liveness_pb2_grpc as stubs
from services.chassis import clients
from services.chassis.errors import PermissionDenied, Unavailable
from services.chassis.health import HealthMonitor
from services.chassis.liveness import Liveness
from services.chassis.service import Loop
from tests.rpc import serve

SOON = timedelta(milliseconds=1)


async def fine():
    """A tick that succeeds."""


async def unreachable():
    raise Unavailable


async def stuck():
    await asyncio.Event().wait()


async def read_ages(address):
    async with clients.open_channel(address, caller_service="gateway") as channel:
        reply = await channel.call(stubs.LivenessServiceStub(channel.channel).GetLiveness, pb.GetLivenessRequest())
    return {loop.name: reply.now - loop.ticked if loop.HasField("last_tick_at") else None for loop in reply.loops}


async def test_a_loop_whose_tick_never_ends_has_no_last_tick():
    loops = [
        Loop(name="fine", run=fine, every=SOON),
        Loop(name="failing", run=unreachable, every=SOON),
        Loop(name="stuck", run=stuck, every=SOON),
        Loop(name="waiting", run=stuck),
    ]
    async with serve([], loops) as address:
        found = await read_ages(address)

    assert set(found) == {"fine", "failing", "stuck"}
    assert found["stuck"] is None
    assert 0 <= found["fine"] < 30
    assert 0 <= found["failing"] < 30


async def test_a_loop_that_no_longer_ticks_in_this_replica_has_no_last_tick():
    alive = Liveness({"swept"}, HealthMonitor(()))
    alive.tick("swept")
    alive.clear("swept")

    reply = await alive.GetLiveness(pb.GetLivenessRequest(), None)
    assert not reply.loops[0].HasField("last_tick_at")


async def test_only_the_gateway_may_read_the_liveness():
    async with serve([]) as address, clients.open_channel(address, caller_service="registry") as channel:
        with pytest.raises(PermissionDenied):
            await channel.call(stubs.LivenessServiceStub(channel.channel).GetLiveness, pb.GetLivenessRequest())
