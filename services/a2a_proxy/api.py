"""The servicers: many calls over one stream, the log, and what is told of it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import assert_never

import grpc
import structlog

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc, broadcasts_pb2, broadcasts_pb2_grpc
from services.a2a_proxy import wire
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.broadcasts import Broadcasts
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.model import Left, Receipt, Replied, Stream, StreamBroken, Unanswered
from services.chassis import identity, telemetry
from services.chassis import rpc as chassis_rpc
from services.chassis.clock import Clock
from services.chassis.errors import InternalError, ServiceError, Unauthenticated, Unavailable
from services.chassis.identity import Identity, Kind
from services.chassis.rpc import Context

log = structlog.get_logger()

WINDOW = 256 * 1024
"""Bytes of one stream that may be under way to a client that has not taken them yet."""

PIECE = 64 * 1024
"""Bytes of the largest chunk. With what a client may take before it says so, it has to fit the window, or both wait."""

MESSAGE = 1024 * 1024
"""Bytes from which a message takes no further frame."""


class A2aProxyServicer(rpc.A2aProxyServiceServicer):
    """Carries the calls of gateways, many over one stream."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._group: asyncio.TaskGroup | None = None
        self._exchanges: set[_Exchange] = set()

    def leave(self) -> None:
        """Tell every gateway that this proxy takes no further calls."""
        for exchange in self._exchanges:
            exchange.leave()

    async def run(self) -> None:
        """Own the calls under way, until cancelled: a dispatch outlives the stream that asked for it."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    async def Exchange(
        self,
        request_iterator: AsyncIterator[pb.ExchangeRequest],
        context: Context,
    ) -> AsyncIterator[pb.ExchangeResponse]:
        """Answer the calls of one gateway until it hangs up."""
        if self._group is None:
            raise Unavailable
        await context.send_initial_metadata(())  # the gateway waits for it before it believes in the stream
        exchange = _Exchange(self._delivery, self._group)
        reading = self._group.create_task(exchange.read(request_iterator))
        self._exchanges.add(exchange)
        try:
            async for batch in exchange.batches():
                yield batch
        finally:
            self._exchanges.discard(exchange)
            reading.cancel()
            exchange.hang_up()


class ActivityServicer(activity_pb2_grpc.ActivityServiceServicer):
    """Reads the log."""

    def __init__(self, activity: ActivityLog, clock: Clock) -> None:
        self._activity = activity
        self._clock = clock

    async def ListActivity(
        self, request: activity_pb2.ListActivityRequest, context: Context
    ) -> activity_pb2.ListActivityResponse:
        """The rows asked for."""
        rows = await self._activity.rows(wire.query_from(request, self._clock))
        return activity_pb2.ListActivityResponse(activities=wire.activities_to(rows))


class BroadcastServicer(broadcasts_pb2_grpc.BroadcastServiceServicer):
    """Tells what passes to those who listen."""

    def __init__(self, broadcasts: Broadcasts) -> None:
        self._broadcasts = broadcasts

    async def WatchBroadcasts(
        self, request: broadcasts_pb2.WatchBroadcastsRequest, context: Context
    ) -> AsyncIterator[broadcasts_pb2.WatchBroadcastsResponse]:
        """What arises here from now on."""
        async for together in self._broadcasts.watch():
            yield broadcasts_pb2.WatchBroadcastsResponse(broadcasts=wire.broadcasts_to(together))


class _Exchange:
    """One stream of a gateway: its calls under way, and the frames on their way back."""

    def __init__(self, delivery: Delivery, group: asyncio.TaskGroup) -> None:
        self._delivery = delivery
        self._group = group
        self._calls: dict[int, _Call] = {}
        self._frames: deque[pb.ReplyFrame] = deque()
        self._wake = asyncio.Event()
        self._reading = True
        self._leaving = False
        self._gone = False

    async def read(self, requests: AsyncIterator[pb.ExchangeRequest]) -> None:
        """Take the gateway's frames until it says no more."""
        try:
            async for message in requests:
                for frame in message.frames:
                    self._step(frame)
        except grpc.RpcError:
            log.info("exchange broken")
        finally:
            self._reading = False
            self._wake.set()

    async def batches(self) -> AsyncGenerator[pb.ExchangeResponse, None]:
        """The frames towards the gateway: everything that waits goes out together."""
        while self._reading or self._calls or self._frames or self._leaving:
            if self._leaving:
                self._leaving = False
                yield pb.ExchangeResponse(last_call=True)
            elif self._frames:
                yield self._batch()
            else:
                self._wake.clear()
                await self._wake.wait()

    def leave(self) -> None:
        """Say so, take no further calls, and end with those under way."""
        self._leaving = True
        self._reading = False
        self._wake.set()

    def hang_up(self) -> None:
        """The gateway is gone, and with it every client."""
        self._gone = True
        self._frames.clear()
        for call in list(self._calls.values()):
            call.leave()

    def _step(self, frame: pb.CallFrame) -> None:
        call = self._calls.get(frame.call_id)
        match frame.WhichOneof("step"):
            case "open" if not self._reading:
                self._put(wire.refused_to(frame.call_id, Unavailable(details={"delivery": "not_sent"})))
            case "open" if call is None:
                call = self._calls[frame.call_id] = _Call()
                self._group.create_task(self._serve(frame.call_id, call, frame.open))
            case "credit" if call is not None:
                call.take(frame.credit.bytes)
            case "cancel" if call is not None:
                call.leave()
            case _:
                pass  # a step of a call that has ended meanwhile

    async def _serve(self, call_id: int, call: "_Call", opening: pb.CallOpen) -> None:
        """One call from its opening to its last frame. Nothing that goes wrong in it touches the others."""
        try:
            with telemetry.trace_call("deliver", traceparent=opening.headers.get("traceparent")):
                receipt = await self._delivery.deliver(wire.letter_from(opening, _sender(opening)))
                await self._answer(call_id, call, receipt)
        except ServiceError as error:
            self._put(wire.refused_to(call_id, error))
        except Exception:
            log.exception("call failed", method="Exchange")
            self._put(wire.refused_to(call_id, InternalError(details={"trace_id": telemetry.trace_id()})))
        finally:
            self._calls.pop(call_id, None)
            self._wake.set()

    async def _answer(self, call_id: int, call: "_Call", receipt: Receipt) -> None:
        match receipt:
            case Left():
                self._put(wire.left_to(call_id, receipt))
            case Unanswered(error=error, took=took):
                self._put(wire.refused_to(call_id, error, took))
            case Replied(answer=answer):
                self._put(wire.replied_to(call_id, receipt))
                if isinstance(answer, Stream):
                    await self._flow(call_id, call, answer.chunks)
            case _:
                assert_never(receipt)

    async def _flow(self, call_id: int, call: "_Call", chunks: AsyncGenerator[bytes, None]) -> None:
        """Pass a stream on as it arrives, no further ahead of the client than the window."""
        async with call.flowing(), aclosing(chunks):
            try:
                async for chunk in chunks:
                    for piece in _pieces(chunk):
                        await call.room(len(piece))
                        self._put(wire.chunk_to(call_id, piece))
            except StreamBroken:
                self._put(wire.end_to(call_id, interrupted=True))
            else:
                self._put(wire.end_to(call_id, interrupted=False))

    def _put(self, frame: pb.ReplyFrame) -> None:
        if not self._gone:
            self._frames.append(frame)
            self._wake.set()

    def _batch(self) -> pb.ExchangeResponse:
        batch: list[pb.ReplyFrame] = []
        size = 0
        while self._frames and size < MESSAGE:
            frame = self._frames.popleft()
            batch.append(frame)
            size += frame.ByteSize()
        return pb.ExchangeResponse(frames=batch)


class _Call:
    """A call under way, as the client's end of it is known: how much it has not taken yet, and whether it has left."""

    def __init__(self) -> None:
        self._under_way = 0
        self._changed = asyncio.Event()
        self._left = False
        self._stream: asyncio.Task[None] | None = None

    async def room(self, size: int) -> None:
        """Return once the client has room for `size` bytes more."""
        while self._under_way and self._under_way + size > WINDOW:
            self._changed.clear()
            await self._changed.wait()
        self._under_way += size

    def take(self, size: int) -> None:
        """The client has taken this much."""
        self._under_way = max(0, self._under_way - size)
        self._changed.set()

    def leave(self) -> None:
        """The client has left: a stream ends with it, a dispatch that may yet be answered goes on."""
        self._left = True
        if self._stream is not None:
            self._stream.cancel()

    @asynccontextmanager
    async def flowing(self) -> AsyncGenerator[None, None]:
        """The time in which leaving ends the stream."""
        self._stream = asyncio.current_task()
        if self._left and self._stream is not None:
            self._stream.cancel()
        try:
            yield
        finally:
            self._stream = None


def _sender(opening: pb.CallOpen) -> Identity:
    """Who sends it, checked as the access rule of an RPC is; raises `Denied` or `Unauthenticated`."""
    sender = identity.from_wire(opening.identity)
    if sender is None or sender.kind is Kind.SERVICE:
        raise Unauthenticated
    chassis_rpc.check_access(_RULE, sender, None)
    return sender


def _pieces(chunk: bytes) -> Iterator[bytes]:
    """A chunk in pieces."""
    if len(chunk) <= PIECE:
        yield chunk
        return
    for start in range(0, len(chunk), PIECE):
        yield chunk[start : start + PIECE]


_RULE = chassis_rpc.access_rule(pb.DESCRIPTOR.services_by_name["A2aProxyService"].methods_by_name["Exchange"])
