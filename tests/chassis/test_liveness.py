"""When loops ticked, as a server tells it."""

import asyncio
from datetime import timedelta

import pytest

from protos.common.v1 import liveness_pb2 as pb
from protos.common.v1 import liveness_pb2_grpc as stubs
from services.chassis import clients
from services.chassis.errors import PermissionDenied, Unavailable
from services.chassis.liveness import Liveness
from services.chassis.service import Loop
from tests.rpc import listening

SOON = timedelta(milliseconds=1)


async def fine():
    """Nothing to do."""


async def unreachable():
    raise Unavailable


async def stuck():
    await asyncio.Event().wait()


async def told(address):
    async with clients.open_channel(address, caller_service="gateway") as line:
        reply = await line.call(stubs.LivenessServiceStub(line.channel).GetLiveness, pb.GetLivenessRequest())
    return {loop.name: reply.now - loop.ticked if loop.HasField("last_tick_at") else None for loop in reply.loops}


async def test_a_loop_whose_tick_never_ends_has_no_last_tick():
    loops = [
        Loop(name="fine", run=fine, every=SOON),
        Loop(name="in vain", run=unreachable, every=SOON),
        Loop(name="stuck", run=stuck, every=SOON),
        Loop(name="waiting", run=stuck),
    ]
    async with listening([], loops) as address:
        found = await told(address)

    assert set(found) == {"fine", "in vain", "stuck"}
    assert found["stuck"] is None
    assert 0 <= found["fine"] < 30
    assert 0 <= found["in vain"] < 30


async def test_a_loop_that_no_longer_ticks_in_this_replica_has_no_last_tick():
    alive = Liveness({"swept"})
    alive.tick("swept")
    alive.clear("swept")

    reply = await alive.GetLiveness(pb.GetLivenessRequest(), None)
    assert not reply.loops[0].HasField("last_tick_at")


async def test_only_the_gateway_may_read_the_liveness():
    async with listening([]) as address, clients.open_channel(address, caller_service="registry") as line:
        with pytest.raises(PermissionDenied):
            await line.call(stubs.LivenessServiceStub(line.channel).GetLiveness, pb.GetLivenessRequest())
