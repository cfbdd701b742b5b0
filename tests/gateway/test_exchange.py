import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from gateway.exchange import CONNECT_TIMEOUT_SECONDS, CREDIT_INTERVAL_BYTES, Exchange, ExchangePool, error_from_refusal
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.errors import ResourceExhausted, Unavailable
from services.chassis.large_bodies import LARGE_BODY_BYTES
from services.chassis.service import Components, Service, Servicer, run_service
from services.chassis.settings import ChassisSettings
from tests.waiting import eventually

LARGE = b"x" * LARGE_BODY_BYTES


class SilentProxy(rpc.A2aProxyServiceServicer):
    """A proxy that reads every frame and replies only when the test makes it."""

    def __init__(self) -> None:
        self.messages: list[pb.ExchangeRequest] = []
        self.replies: asyncio.Queue = asyncio.Queue()

    @property
    def frames(self) -> list[pb.CallFrame]:
        return [frame for message in self.messages for frame in message.frames]

    def reply(self, *frames: pb.ReplyFrame) -> None:
        self.replies.put_nowait(pb.ExchangeResponse(frames=frames))

    async def Exchange(self, request_iterator, context) -> AsyncIterator[pb.ExchangeResponse]:
        await context.send_initial_metadata(())
        reading = asyncio.ensure_future(self._read(request_iterator))
        try:
            while True:
                yield await self.replies.get()
        finally:
            reading.cancel()

    async def _read(self, requests) -> None:
        async for message in requests:
            self.messages.append(message)


class BreakingProxy(rpc.A2aProxyServiceServicer):
    """A proxy that breaks every stream once the test sets `breaks`."""

    def __init__(self) -> None:
        self.breaks = asyncio.Event()

    async def Exchange(self, request_iterator, context) -> AsyncIterator[pb.ExchangeResponse]:
        await context.send_initial_metadata(())
        await self.breaks.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE)
        yield pb.ExchangeResponse()


@asynccontextmanager
async def listening(proxy: SilentProxy, address: str):
    @asynccontextmanager
    async def assemble(_: ChassisSettings) -> AsyncIterator[Components]:
        contract = pb.DESCRIPTOR.services_by_name["A2aProxyService"]
        add = rpc.add_A2aProxyServiceServicer_to_server
        yield Components(servicers=[Servicer(contract=contract, add=add, servicer=proxy)])

    service = Service(name="test", settings=ChassisSettings, assemble=assemble)
    async with run_service(service, ChassisSettings(listen=address)):
        yield


@pytest.fixture
def address():
    with tempfile.TemporaryDirectory(prefix="exchange-") as folder:
        yield f"unix:{Path(folder) / 'p.sock'}"


@asynccontextmanager
async def exchanging(*addresses: str) -> AsyncIterator[ExchangePool]:
    async with asyncio.TaskGroup() as group:
        lines = [clients.open_channel(address, caller_service="gateway") for address in addresses]
        opened = [await line.__aenter__() for line in lines]
        exchanges = ExchangePool(opened)
        running = group.create_task(exchanges.run())
        yield exchanges
        running.cancel()
        await asyncio.wait([running])  # it may be about to open a stream, which a closed line refuses
        for line in lines:
            await line.__aexit__(None, None, None)


def head(call_id: int, **fields) -> pb.ReplyFrame:
    return pb.ReplyFrame(call_id=call_id, head=pb.ReplyHead(status=200, **fields))


async def test_frames_reach_their_calls_in_any_order(address):
    proxy = SilentProxy()
    async with listening(proxy, address), exchanging(address) as exchanges:
        one, two = [await exchanges.open(pb.CallOpen(body=body)) for body in (b"1", b"2")]
        await eventually(lambda: len(proxy.frames) == 2)

        proxy.reply(head(two.call_id, body=b"two"), head(one.call_id, body=b"one"))

        assert [frame.open.body for frame in proxy.frames] == [b"1", b"2"]
        assert (await one.next()).head.body == b"one"
        assert (await two.next()).head.body == b"two"


async def test_frames_for_a_stream_that_has_ended_do_not_end_the_gateway(address):
    async with listening(SilentProxy(), address), clients.open_channel(address, caller_service="gateway") as channel:
        exchange = Exchange(channel)
        stream = exchange._stub.Exchange(metadata=channel.build_metadata(None))
        await stream.wait_for_connection()
        stream.cancel()
        await eventually(stream.done)
        exchange.send(pb.CallFrame(call_id=1))

        await exchange._write(stream)


async def test_waiting_frames_are_sent_in_one_message(address):
    proxy = SilentProxy()
    async with listening(proxy, address), exchanging(address) as exchanges:
        await exchanges.open(pb.CallOpen())
        await eventually(lambda: proxy.frames)

        for _ in range(50):
            await exchanges.open(pb.CallOpen())

        await eventually(lambda: len(proxy.frames) == 51)
        assert len(proxy.messages) <= 3


async def test_large_bodies_are_sent_in_messages_of_their_own(address):
    proxy = SilentProxy()
    async with listening(proxy, address), exchanging(address) as exchanges:
        for _ in range(3):
            await exchanges.open(pb.CallOpen(body=b"x" * 10 * 1024 * 1024))

        await eventually(lambda: len(proxy.frames) == 3, within=20)
        assert len(proxy.messages) == 3


@pytest.mark.covers("TXT-04")
async def test_a_small_message_waits_for_one_large_one_at_most(address):
    async with clients.open_channel(address, caller_service="gateway") as channel:
        exchange = Exchange(channel)
        for body in (LARGE, LARGE, LARGE, b"small", b"small"):
            exchange.open(pb.CallOpen(body=body))

        sent = [[frame.open.body for frame in exchange._take_batch().frames] for _ in range(4)]

    assert sent == [[LARGE], [b"small", b"small"], [LARGE], [LARGE]]


@pytest.mark.covers("TXT-04")
async def test_a_large_message_waits_for_one_batch_of_small_ones_at_most(address):
    async with clients.open_channel(address, caller_service="gateway") as channel:
        exchange = Exchange(channel)
        exchange.open(pb.CallOpen(body=LARGE))
        exchange._take_batch()
        for body in (b"one", LARGE, b"two"):
            exchange.open(pb.CallOpen(body=body))

        assert [frame.open.body for frame in exchange._take_batch().frames] == [b"one", b"two"]
        exchange.open(pb.CallOpen(body=b"three"))
        assert [frame.open.body for frame in exchange._take_batch().frames] == [LARGE]


async def test_a_large_message_whose_client_leaves_before_it_is_written_is_never_sent(address):
    async with clients.open_channel(address, caller_service="gateway") as channel:
        exchange = Exchange(channel)
        call = exchange.open(pb.CallOpen(body=LARGE))

        call.cancel()

        assert not exchange._unsent_frames
        assert not exchange._unsent_large_frames
        assert await call.next() is None


async def test_the_delivery_of_an_active_call_is_unknown_when_the_stream_breaks(address):
    async with exchanging(address) as exchanges:
        async with listening(SilentProxy(), address):
            call = await exchanges.open(pb.CallOpen())
            await eventually(lambda: not exchanges._exchanges[0]._unsent_frames)

        error = error_from_refusal((await call.next()).refused)

        assert isinstance(error, Unavailable)
        assert error.reason == "PLATFORM_UNAVAILABLE"
        assert error.details == {"delivery": "unknown"}


@pytest.mark.parametrize("body", [b"waiting", b"x" * LARGE_BODY_BYTES], ids=["small", "large"])
async def test_a_call_that_was_not_written_when_the_stream_breaks_was_not_sent(address, body):
    async with clients.open_channel(address, caller_service="gateway") as channel:
        exchange = Exchange(channel)
        written = exchange.open(pb.CallOpen(body=b"written"))
        exchange._take_batch()
        waiting = exchange.open(pb.CallOpen(body=body))
        written.report_taken(CREDIT_INTERVAL_BYTES)

        exchange._refuse_calls()
        errors = [error_from_refusal((await call.next()).refused) for call in (written, waiting)]

    assert [type(error) for error in errors] == [Unavailable, Unavailable]
    assert [error.details for error in errors] == [{"delivery": "unknown"}, {"delivery": "not_sent"}]
    assert exchange.active_calls == 0
    assert not exchange._unsent_frames


async def test_a_stream_that_broke_is_opened_again(address):
    async with exchanging(address) as exchanges:
        async with listening(SilentProxy(), address):
            await exchanges.open(pb.CallOpen())
        await eventually(lambda: not exchanges._exchanges[0].connected.is_set())
        opening = asyncio.ensure_future(exchanges.open(pb.CallOpen(body=b"again")))
        proxy = SilentProxy()
        async with listening(proxy, address):
            call = await opening
            await eventually(lambda: proxy.frames)
            proxy.reply(head(call.call_id))
            assert (await call.next()).head.status == 200


async def test_a_run_that_is_cancelled_while_the_stream_breaks_ends(address):
    """The errors of a task group that fails at that moment hide the cancellation."""
    proxy = BreakingProxy()
    async with listening(proxy, address), clients.open_channel(address, caller_service="gateway") as line:
        for attempt in range(60):
            proxy.breaks.clear()
            exchange = Exchange(line)
            running = asyncio.ensure_future(exchange.run())
            await exchange.connected.wait()
            proxy.breaks.set()
            for _ in range(attempt):
                await asyncio.sleep(0)
            running.cancel()
            ended, _ = await asyncio.wait([running], timeout=5)
            assert ended, attempt


async def test_a_call_without_a_connected_proxy_was_not_sent(address):
    async with exchanging(address) as exchanges:
        began = asyncio.get_running_loop().time()

        with pytest.raises(Unavailable) as caught:
            await exchanges.open(pb.CallOpen())

        assert caught.value.details == {"delivery": "not_sent"}
        assert asyncio.get_running_loop().time() - began >= CONNECT_TIMEOUT_SECONDS


async def test_a_proxy_that_stops_gets_no_further_calls_and_finishes_its_active_ones(address):
    leaving, staying = SilentProxy(), SilentProxy()
    async with (
        listening(leaving, address),
        listening(staying, address + "2"),
        exchanging(address, address + "2") as exchanges,
    ):
        await eventually(lambda: all(exchange.connected.is_set() for exchange in exchanges._exchanges))
        call = await exchanges.open(pb.CallOpen())
        await eventually(lambda: leaving.frames)

        leaving.replies.put_nowait(pb.ExchangeResponse(last_call=True))
        await eventually(lambda: not exchanges._exchanges[0].connected.is_set())
        for _ in range(3):
            await exchanges.open(pb.CallOpen())
        leaving.reply(head(call.call_id, body=b"finished"))

        assert (await call.next()).head.body == b"finished"
        await eventually(lambda: len(staying.frames) == 3)
        assert len(leaving.frames) == 1


async def test_calls_are_spread_over_the_proxies(address):
    one, two = SilentProxy(), SilentProxy()
    async with listening(one, address), listening(two, address + "2"), exchanging(address, address + "2") as exchanges:
        await eventually(lambda: all(exchange.connected.is_set() for exchange in exchanges._exchanges))

        for _ in range(4):
            await exchanges.open(pb.CallOpen())

        await eventually(lambda: len(one.frames) == len(two.frames) == 2)


async def test_the_proxy_gets_credit_for_bytes_taken_and_learns_of_a_cancellation(address):
    proxy = SilentProxy()
    async with listening(proxy, address), exchanging(address) as exchanges:
        call = await exchanges.open(pb.CallOpen())

        call.report_taken(CREDIT_INTERVAL_BYTES - 1)
        call.report_taken(1)
        call.cancel()

        await eventually(lambda: len(proxy.frames) == 3)
        assert proxy.frames[1].credit.bytes == CREDIT_INTERVAL_BYTES
        assert proxy.frames[2].HasField("cancel")
        assert await call.next() is None


async def test_a_refusal_becomes_the_error_that_the_proxy_raised():
    refused = pb.CallRefused(
        code=8, reason="BUDGET_EXCEEDED", domain="molecule.a2a_proxy.v1", message="m", details={"x": "[1]"}
    )
    refused.retry_in.FromSeconds(3)

    error = error_from_refusal(refused)

    assert isinstance(error, ResourceExhausted)
    assert (error.reason, error.domain, error.message) == ("BUDGET_EXCEEDED", "molecule.a2a_proxy.v1", "m")
    assert (error.details, error.retry_in.total_seconds()) == ({"x": [1]}, 3)
