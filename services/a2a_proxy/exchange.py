"""Multiplexes the calls of one gateway over one gRPC stream, with flow control for each call."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import assert_never

import grpc
import structlog

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from services.a2a_proxy import wire
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.model import AnswerReceipt, FailureReceipt, QueueReceipt, Receipt, Stream, StreamInterrupted
from services.chassis import identity, telemetry
from services.chassis import rpc as chassis_rpc
from services.chassis.errors import InternalError, ServiceError, Unauthenticated, Unavailable
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

WINDOW_BYTES = 256 * 1024
"""Bytes of one answer stream that may be sent before the client has acknowledged them."""

MAX_CHUNK_BYTES = 64 * 1024
"""Bytes of the largest chunk. A chunk and the bytes that a client may leave unacknowledged have to fit the window."""

FULL_MESSAGE_BYTES = 1024 * 1024
"""Bytes from which a message takes no further frame."""


class Exchange:
    """One stream of a gateway: the calls in progress, and the frames to send back."""

    def __init__(self, delivery: Delivery, group: asyncio.TaskGroup) -> None:
        """The calls run in `group`, because a dispatch continues after its stream has ended."""
        self._delivery = delivery
        self._group = group
        self._calls: dict[int, _Call] = {}
        self._frames: deque[pb.ReplyFrame] = deque()
        self._changed = asyncio.Event()
        self._accepts_calls = True
        self._must_announce_stop = False
        self._is_closed = False

    async def read(self, requests: AsyncIterator[pb.ExchangeRequest]) -> None:
        """Handle the gateway's frames until its side of the stream ends."""
        try:
            async for message in requests:
                for frame in message.frames:
                    self._handle(frame)
        except grpc.RpcError as error:
            log.info("exchange broken", code=str(_get_code(error)))
        finally:
            self._accepts_calls = False
            self._changed.set()

    async def batches(self) -> AsyncGenerator[pb.ExchangeResponse, None]:
        """Yield the frames for the gateway; all frames that are ready share a message."""
        while self._accepts_calls or self._calls or self._frames or self._must_announce_stop:
            if self._must_announce_stop:
                self._must_announce_stop = False
                yield pb.ExchangeResponse(last_call=True)
            elif self._frames:
                yield self._take_batch()
            else:
                self._changed.clear()
                await self._changed.wait()

    def stop(self) -> None:
        """Announce the stop to the gateway, refuse further calls, and end after the calls in progress."""
        self._must_announce_stop = True
        self._accepts_calls = False
        self._changed.set()

    def close(self) -> None:
        """Cancel all calls: the gateway's connection has ended, and with it those of its clients."""
        self._is_closed = True
        self._frames.clear()
        for call in list(self._calls.values()):
            call.cancel()

    def _handle(self, frame: pb.CallFrame) -> None:
        call = self._calls.get(frame.call_id)
        match frame.WhichOneof("step"):
            case "open" if not self._accepts_calls:
                self._send(wire.refusal_frame(frame.call_id, Unavailable(details={"delivery": "not_sent"})))
            case "open" if call is None:
                call = self._calls[frame.call_id] = _Call()
                self._group.create_task(self._run_call(frame.call_id, call, frame.open))
            case "credit" if call is not None:
                call.acknowledge(frame.credit.bytes)
            case "cancel" if call is not None:
                call.cancel()
            case _:
                pass  # the call has ended in the meantime

    async def _run_call(self, call_id: int, call: "_Call", opening: pb.CallOpen) -> None:
        """Run one call from its opening to its last frame. Its errors do not affect other calls."""
        try:
            with telemetry.trace_call("deliver", traceparent=opening.headers.get("traceparent")):
                receipt = await self._delivery.deliver(wire.message_from_open(opening, _authenticate(opening)))
                await self._send_receipt(call_id, call, receipt)
        except ServiceError as error:
            self._send(wire.refusal_frame(call_id, error))
        except Exception:
            log.exception("call failed", method="Exchange")
            self._send(wire.refusal_frame(call_id, InternalError(details={"trace_id": telemetry.current_trace_id()})))
        finally:
            self._calls.pop(call_id, None)
            self._changed.set()

    async def _send_receipt(self, call_id: int, call: "_Call", receipt: Receipt) -> None:
        match receipt:
            case QueueReceipt():
                self._send(wire.queued_frame(call_id, receipt))
            case FailureReceipt(error=error, agent_time=agent_time):
                self._send(wire.refusal_frame(call_id, error, agent_time))
            case AnswerReceipt(answer=answer):
                self._send(wire.answer_frame(call_id, receipt))
                if isinstance(answer, Stream):
                    await self._send_stream(call_id, call, answer.chunks)
            case _:
                assert_never(receipt)

    async def _send_stream(self, call_id: int, call: "_Call", chunks: AsyncGenerator[bytes, None]) -> None:
        """Forward a stream as it arrives, within the client's window."""
        async with call.cancellable(), aclosing(chunks):
            try:
                async for chunk in chunks:
                    for piece in _split(chunk):
                        await call.wait_for_room(len(piece))
                        self._send(wire.chunk_frame(call_id, piece))
            except StreamInterrupted:
                self._send(wire.end_frame(call_id, interrupted=True))
            else:
                self._send(wire.end_frame(call_id, interrupted=False))

    def _send(self, frame: pb.ReplyFrame) -> None:
        if not self._is_closed:
            self._frames.append(frame)
            self._changed.set()

    def _take_batch(self) -> pb.ExchangeResponse:
        batch: list[pb.ReplyFrame] = []
        size = 0
        while self._frames and size < FULL_MESSAGE_BYTES:
            frame = self._frames.popleft()
            batch.append(frame)
            size += frame.ByteSize()
        return pb.ExchangeResponse(frames=batch)


class _Call:
    """The client's side of a call: the bytes it has not acknowledged, and whether it has cancelled."""

    def __init__(self) -> None:
        self._unacknowledged = 0
        self._acknowledged = asyncio.Event()
        self._is_cancelled = False
        self._stream: asyncio.Task[None] | None = None

    async def wait_for_room(self, size: int) -> None:
        """Return once the window has room for `size` further bytes, and count them as sent."""
        while self._unacknowledged and self._unacknowledged + size > WINDOW_BYTES:
            self._acknowledged.clear()
            await self._acknowledged.wait()
        self._unacknowledged += size

    def acknowledge(self, size: int) -> None:
        """Count `size` bytes as received by the client."""
        self._unacknowledged = max(0, self._unacknowledged - size)
        self._acknowledged.set()

    def cancel(self) -> None:
        """Stop the answer stream. A dispatch without a stream continues, because the agent may have the message."""
        self._is_cancelled = True
        if self._stream is not None:
            self._stream.cancel()

    @asynccontextmanager
    async def cancellable(self) -> AsyncGenerator[None, None]:
        """Let `cancel` end the block; a call that is cancelled already ends it at once."""
        self._stream = asyncio.current_task()
        if self._is_cancelled and self._stream is not None:
            self._stream.cancel()
        try:
            yield
        finally:
            self._stream = None


def _authenticate(opening: pb.CallOpen) -> Identity:
    """Return the sender, checked by the access rule of the RPC; raises `PermissionDenied` or `Unauthenticated`."""
    sender = identity.from_wire(opening.identity)
    if sender is None or sender.kind is Kind.SERVICE:
        raise Unauthenticated
    chassis_rpc.check_access(_ACCESS_RULE, sender, None)
    return sender


def _get_code(error: grpc.RpcError) -> grpc.StatusCode:
    return error.code() if isinstance(error, grpc.aio.AioRpcError) else grpc.StatusCode.UNKNOWN


def _split(chunk: bytes) -> Iterator[bytes]:
    """Yield the chunk in pieces of at most MAX_CHUNK_BYTES."""
    if len(chunk) <= MAX_CHUNK_BYTES:
        yield chunk
        return
    for start in range(0, len(chunk), MAX_CHUNK_BYTES):
        yield chunk[start : start + MAX_CHUNK_BYTES]


_ACCESS_RULE = chassis_rpc.get_access_rule(
    pb.DESCRIPTOR.services_by_name["A2aProxyService"].methods_by_name["Exchange"]
)
