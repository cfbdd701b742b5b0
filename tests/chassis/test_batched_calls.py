"""Batched calls over real gRPC."""

import asyncio
from datetime import timedelta

import pytest

from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc
from protos.common.v1 import batch_pb2, batch_pb2_grpc
from services.chassis import batched_calls, errors, identity
from services.chassis.batched_calls import BatchedMethod
from services.chassis.identity import Identity, Kind
from services.chassis.service import Servicer
from tests.rpc import open_channel_to
from tests.waiting import eventually

CONTRACT = activity_pb2.DESCRIPTOR.services_by_name["ActivityService"]
METHOD = CONTRACT.methods_by_name["ListActivity"]
PATH = "/molecule.a2a_proxy.v1.ActivityService/ListActivity"


class UnknownWorkspace(errors.NotFound):
    reason = "UNKNOWN_WORKSPACE"
    domain = "molecule.a2a_proxy.v1"
    message = "no such workspace"


class WaitingActivity(activity_pb2_grpc.ActivityServiceServicer):
    """Answers with the name of the caller once `go_on` is set; counts the calls that wait."""

    def __init__(self):
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.waiting = self.most = 0
        self.received = []

    async def ListActivity(self, request, context):
        caller = identity.current()
        self.received.append(request.workspace_id)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.go_on.wait()
        self.waiting -= 1
        if request.workspace_id == "unknown":
            raise UnknownWorkspace(details={"workspace_id": caller.name}, retry_in=timedelta(seconds=3))
        if request.workspace_id == "broken":
            raise RuntimeError("inner text")
        if request.workspace_id == "unavailable_once" and self.received.count("unavailable_once") == 1:
            raise errors.Unavailable
        return activity_pb2.ListActivityResponse(activities=[activity_pb2.Activity(id=caller.name)])


class CountingStub:
    """Records the sizes of the batches and sends them on."""

    def __init__(self, call_batch):
        self.call_batch = call_batch
        self.sizes = []

    async def __call__(self, request, **options):
        self.sizes.append(len(request.calls))
        return await self.call_batch(request, **options)


@pytest.fixture
def servicer():
    return WaitingActivity()


@pytest.fixture
async def channel(servicer):
    add = activity_pb2_grpc.add_ActivityServiceServicer_to_server
    async with open_channel_to([Servicer(contract=CONTRACT, add=add, servicer=servicer)]) as channel:
        yield channel


@pytest.fixture
def calls(channel):
    """A batched method whose `_call_batch.sizes` records the batches."""
    method = BatchedMethod(channel, activity_pb2_grpc.ActivityServiceStub(channel.channel).ListActivity, METHOD)
    method._call_batch = CountingStub(method._call_batch)
    return method


def caller(name):
    return Identity(kind=Kind.WORKSPACE, name=name, generation=7)


async def send(calls, name, *, about=None):
    request = activity_pb2.ListActivityRequest(workspace_id=about or name)
    reply = await calls.call(request, on_behalf_of=caller(name))
    return reply.activities[0].id


async def test_simultaneous_calls_share_a_batch_with_an_identity_each(calls, servicer):
    names = [f"w{number}" for number in range(40)]

    replies = await asyncio.gather(*(send(calls, name) for name in names))

    assert replies == names
    assert len(calls._call_batch.sizes) <= 3


async def test_calls_during_a_batch_form_the_next_one(calls, servicer):
    servicer.go_on.clear()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(batched_calls.MAX_BATCHES_IN_FLIGHT):
            tasks.append(group.create_task(send(calls, f"early{number}")))
            await eventually(lambda sent=number: len(calls._call_batch.sizes) > sent)
        tasks += [group.create_task(send(calls, f"late{number}")) for number in range(10)]
        await eventually(lambda: len(calls._batcher._queue) == 10)
        servicer.go_on.set()

    assert calls._call_batch.sizes == [1] * batched_calls.MAX_BATCHES_IN_FLIGHT + [10]
    assert [task.result() for task in tasks][-1] == "late9"


async def test_each_call_is_checked_and_fails_by_itself(calls):
    outcomes = await asyncio.gather(
        send(calls, "w1"),
        send(calls, "w1", about="w2"),
        send(calls, "unknown"),
        send(calls, "broken"),
        send(calls, "w3"),
        return_exceptions=True,
    )

    assert [outcomes[0], outcomes[4]] == ["w1", "w3"]
    assert [type(error) for error in outcomes[1:4]] == [errors.PermissionDenied, errors.NotFound, errors.InternalError]
    unknown = outcomes[2]
    assert (unknown.reason, unknown.message, unknown.details) == (
        "UNKNOWN_WORKSPACE",
        "no such workspace",
        {"workspace_id": "unknown"},
    )
    assert unknown.retry_in == timedelta(seconds=3)
    assert "inner text" not in str(outcomes[3])


async def test_a_call_that_was_unavailable_in_its_batch_is_retried_alone(calls, servicer):
    assert await send(calls, "unavailable_once") == "unavailable_once"
    assert servicer.received == ["unavailable_once", "unavailable_once"]


async def test_a_batch_cannot_carry_the_identity_of_a_service(channel):
    """A workspace may not send a batch at all, and an unknown method is refused."""
    stub = batch_pb2_grpc.BatchServiceStub(channel.channel)
    call = batch_pb2.BatchedCall(
        identity=identity.to_wire(Identity(kind=Kind.SERVICE, name="registry")),
        request=activity_pb2.ListActivityRequest(workspace_id="w").SerializeToString(),
    )
    reply = await channel.call(stub.CallBatch, batch_pb2.CallBatchRequest(method=PATH, calls=[call]))
    assert reply.outcomes[0].HasField("failure")

    with pytest.raises(errors.PermissionDenied):
        await channel.call(
            stub.CallBatch, batch_pb2.CallBatchRequest(method=PATH, calls=[call]), on_behalf_of=caller("w")
        )
    with pytest.raises(errors.InvalidArgument):
        await channel.call(stub.CallBatch, batch_pb2.CallBatchRequest(method="/no.Such/Method", calls=[call]))


async def test_only_the_gateway_may_send_batches(servicer):
    add = activity_pb2_grpc.add_ActivityServiceServicer_to_server
    async with open_channel_to(
        [Servicer(contract=CONTRACT, add=add, servicer=servicer)], caller_service="provisioner"
    ) as channel:
        stub = batch_pb2_grpc.BatchServiceStub(channel.channel)
        with pytest.raises(errors.PermissionDenied):
            await channel.call(stub.CallBatch, batch_pb2.CallBatchRequest(method=PATH))


@pytest.mark.parametrize("attempt", range(50))
async def test_a_cancelled_call_does_not_affect_the_others(calls, servicer, attempt):
    servicer.go_on.clear()
    tasks = [asyncio.ensure_future(send(calls, f"w{number}")) for number in range(6)]
    for _ in range(attempt % 10):
        await asyncio.sleep(0)
    cancelled = {attempt % 6, (attempt // 6) % 6}
    for number in cancelled:
        tasks[number].cancel()
    servicer.go_on.set()

    replies = await asyncio.gather(*tasks, return_exceptions=True)

    assert [answer for number, answer in enumerate(replies) if number not in cancelled] == [
        f"w{number}" for number in range(6) if number not in cancelled
    ]
    assert (calls._batcher._running_batches, len(calls._batcher._queue)) == (0, 0)


async def test_large_calls_do_not_exceed_the_size_of_a_batch(calls, servicer, channel):
    big = "x" * (batched_calls.MAX_BATCH_BYTES // 2)
    requests = [activity_pb2.ListActivityRequest(workspace_id="w", page_token=big) for _ in range(5)]

    await asyncio.gather(*(calls.call(request, on_behalf_of=caller("w")) for request in requests))

    assert max(calls._call_batch.sizes) <= 3
