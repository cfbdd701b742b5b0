"""Calls that travel together, over real gRPC."""

import asyncio
from datetime import timedelta

import pytest

from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc
from protos.common.v1 import batch_pb2, batch_pb2_grpc
from services.chassis import batched_calls, errors, identity
from services.chassis.batched_calls import BatchedMethod
from services.chassis.identity import Identity, Kind
from services.chassis.service import Servicer
from tests.rpc import running
from tests.waiting import eventually

CONTRACT = activity_pb2.DESCRIPTOR.services_by_name["ActivityService"]
METHOD = CONTRACT.methods_by_name["ListActivity"]
PATH = "/molecule.a2a_proxy.v1.ActivityService/ListActivity"


class Unheard(errors.NotFound):
    reason = "UNHEARD"
    domain = "molecule.a2a_proxy.v1"
    message = "never heard of"


class GatheringActivity(activity_pb2_grpc.ActivityServiceServicer):
    """Answers with the name of the caller, as soon as it is let go on; counts those that wait at once."""

    def __init__(self):
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.waiting = self.most = 0
        self.asked = []

    async def ListActivity(self, request, context):
        caller = identity.current()
        self.asked.append(request.workspace_id)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.go_on.wait()
        self.waiting -= 1
        if request.workspace_id == "stranger":
            raise Unheard(details={"workspace_id": caller.name}, retry_in=timedelta(seconds=3))
        if request.workspace_id == "broken":
            raise RuntimeError("inner text")
        if request.workspace_id == "away" and self.asked.count("away") == 1:
            raise errors.Unavailable
        return activity_pb2.ListActivityResponse(activities=[activity_pb2.Activity(id=caller.name)])


class CountingBundles:
    """Counts journeys on their way to the real thing."""

    def __init__(self, journey):
        self.journey = journey
        self.sizes = []

    async def __call__(self, request, **said):
        self.sizes.append(len(request.calls))
        return await self.journey(request, **said)


@pytest.fixture
def servicer():
    return GatheringActivity()


@pytest.fixture
async def line(servicer):
    add = activity_pb2_grpc.add_ActivityServiceServicer_to_server
    async with running([Servicer(contract=CONTRACT, add=add, servicer=servicer)]) as line:
        yield line


@pytest.fixture
def calls(line):
    """Asks in bundles; `journeys` tells of how many."""
    asking = BatchedMethod(line, activity_pb2_grpc.ActivityServiceStub(line.channel).ListActivity, METHOD)
    asking._journey = CountingBundles(asking._journey)
    return asking


def caller(name):
    return Identity(kind=Kind.WORKSPACE, name=name, generation=7)


async def ask(calls, name, *, about=None):
    request = activity_pb2.ListActivityRequest(workspace_id=about or name)
    reply = await calls.call(request, on_behalf_of=caller(name))
    return reply.activities[0].id


async def test_what_is_asked_in_the_same_moment_travels_together_each_under_its_own_name(calls, servicer):
    names = [f"w{number}" for number in range(40)]

    told = await asyncio.gather(*(ask(calls, name) for name in names))

    assert told == names
    assert len(calls._journey.sizes) <= 3


async def test_who_comes_while_bundles_are_under_way_makes_up_the_next(calls, servicer):
    servicer.go_on.clear()
    async with asyncio.TaskGroup() as group:
        asked = []
        for number in range(batched_calls.MAX_BATCHES_IN_FLIGHT):
            asked.append(group.create_task(ask(calls, f"early{number}")))
            await eventually(lambda sent=number: len(calls._journey.sizes) > sent)
        asked += [group.create_task(ask(calls, f"late{number}")) for number in range(10)]
        await eventually(lambda: len(calls._calls._waiting) == 10)
        servicer.go_on.set()

    assert calls._journey.sizes == [1] * batched_calls.MAX_BATCHES_IN_FLIGHT + [10]
    assert [task.result() for task in asked][-1] == "late9"


async def test_each_call_is_checked_and_fails_for_itself(calls):
    outcomes = await asyncio.gather(
        ask(calls, "w1"),
        ask(calls, "w1", about="w2"),
        ask(calls, "stranger"),
        ask(calls, "broken"),
        ask(calls, "w3"),
        return_exceptions=True,
    )

    assert [outcomes[0], outcomes[4]] == ["w1", "w3"]
    assert [type(error) for error in outcomes[1:4]] == [errors.PermissionDenied, errors.NotFound, errors.InternalError]
    stranger = outcomes[2]
    assert (stranger.reason, stranger.message, stranger.details) == (
        "UNHEARD",
        "never heard of",
        {"workspace_id": "stranger"},
    )
    assert stranger.retry_in == timedelta(seconds=3)
    assert "inner text" not in str(outcomes[3])


async def test_a_call_whose_service_was_away_is_asked_again_by_itself(calls, servicer):
    assert await ask(calls, "away") == "away"
    assert servicer.asked == ["away", "away"]


async def test_nobody_carries_for_a_service_of_whom_they_do_not_speak(line):
    """Only the gateway bundles, and no bundle speaks in the name of a service."""
    stub = batch_pb2_grpc.BatchServiceStub(line.channel)
    call = batch_pb2.BatchedCall(
        identity=identity.to_wire(Identity(kind=Kind.SERVICE, name="registry")),
        request=activity_pb2.ListActivityRequest(workspace_id="w").SerializeToString(),
    )
    reply = await line.call(stub.CallBatch, batch_pb2.CallBatchRequest(method=PATH, calls=[call]))
    assert reply.outcomes[0].HasField("failure")

    with pytest.raises(errors.PermissionDenied):
        await line.call(stub.CallBatch, batch_pb2.CallBatchRequest(method=PATH, calls=[call]), on_behalf_of=caller("w"))
    with pytest.raises(errors.InvalidArgument):
        await line.call(stub.CallBatch, batch_pb2.CallBatchRequest(method="/no.Such/Method", calls=[call]))


async def test_only_the_gateway_carries(servicer):
    add = activity_pb2_grpc.add_ActivityServiceServicer_to_server
    async with running([Servicer(contract=CONTRACT, add=add, servicer=servicer)], speaker="provisioner") as line:
        stub = batch_pb2_grpc.BatchServiceStub(line.channel)
        with pytest.raises(errors.PermissionDenied):
            await line.call(stub.CallBatch, batch_pb2.CallBatchRequest(method=PATH))


@pytest.mark.parametrize("attempt", range(50))
async def test_whoever_leaves_takes_nobody_along(calls, servicer, attempt):
    servicer.go_on.clear()
    asked = [asyncio.ensure_future(ask(calls, f"w{number}")) for number in range(6)]
    for _ in range(attempt % 10):
        await asyncio.sleep(0)
    gone = {attempt % 6, (attempt // 6) % 6}
    for number in gone:
        asked[number].cancel()
    servicer.go_on.set()

    told = await asyncio.gather(*asked, return_exceptions=True)

    assert [answer for number, answer in enumerate(told) if number not in gone] == [
        f"w{number}" for number in range(6) if number not in gone
    ]
    assert (calls._calls._under_way, len(calls._calls._waiting)) == (0, 0)


async def test_large_calls_share_no_bundle_that_is_too_large(calls, servicer, line):
    big = "x" * (batched_calls.MAX_BATCH_BYTES // 2)
    requests = [activity_pb2.ListActivityRequest(workspace_id="w", page_token=big) for _ in range(5)]

    await asyncio.gather(*(calls.call(request, on_behalf_of=caller("w")) for request in requests))

    assert max(calls._journey.sizes) <= 3
