"""Multiplexes the calls of one gateway over one gRPC stream, with flow control for each call."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from datetime import timedelta
from functools import lru_cache
from typing import assert_never

import grpc
import structlog

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.common.v1 import identity_pb2
from services.a2a_proxy import envelope, wire
from services.a2a_proxy.body_budget import SMALL_BODY_BYTES, BodyBudgets
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.errors import CallDeadlineExceeded, MalformedMessage
from services.a2a_proxy.model import (
    AnswerReceipt,
    FailureReceipt,
    QueueReceipt,
    Receipt,
    SendState,
    Stream,
    StreamInterrupted,
    WorkspaceId,
)
from services.a2a_proxy.waiting_call import WaitingCall
from services.chassis import identity, telemetry
from services.chassis import rpc as chassis_rpc
from services.chassis.errors import InternalError, ServiceError, Unauthenticated, Unavailable
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_CHUNK_BYTES = 64 * 1024
"""Bytes of the largest chunk. A chunk and the bytes that a client may leave unacknowledged have to fit the window."""

FULL_MESSAGE_BYTES = 1024 * 1024
"""Bytes from which a message takes no further frame."""

MAX_KNOWN_SENDERS = 4096
"""Senders that are kept in their parsed form."""

HEAD_DELAY_SECONDS = 0.005
"""Seconds for which the head of a stream waits for the first chunk: both in one message cost half as much."""

DEADLINE_GRACE_SECONDS = 0.1
"""Seconds after a deadline at which a call is answered whatever it waits for: a dispatch ends in them by itself."""


class Exchange:
    """One stream of a gateway: the calls in progress, and the frames to send back."""

    def __init__(
        self,
        delivery: Delivery,
        group: asyncio.TaskGroup,
        *,
        budgets: BodyBudgets,
        on_request: Callable[[Identity], None],
    ) -> None:
        """The calls run in `group`, because a dispatch continues after its stream has ended.

        `on_request` is called with the sender of each message: it is alive.
        """
        self._delivery = delivery
        self._group = group
        self._budgets = budgets
        self._on_request = on_request
        self._calls: dict[int, WaitingCall] = {}
        self._unwritten: dict[int, asyncio.Event] = {}
        self._frames: deque[pb.ReplyFrame] = deque()
        self._changed = asyncio.Event()
        self._head_timer: asyncio.TimerHandle | None = None
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
                batch = self._take_batch()
                yield batch
                self._note_written(batch)
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
        for written in self._unwritten.values():
            written.set()
        for call in list(self._calls.values()):
            call.cancel()

    def _handle(self, frame: pb.CallFrame) -> None:
        call = self._calls.get(frame.call_id)
        match frame.WhichOneof("step"):
            case "open" if not self._accepts_calls:
                self._send(wire.refusal_frame(frame.call_id, Unavailable(details={"delivery": "not_sent"})))
            case "open" if call is None:
                call = self._calls[frame.call_id] = WaitingCall(WorkspaceId(frame.open.workspace_id), self._budgets)
                self._group.create_task(self._run_call(frame.call_id, call, frame.open))
            case "credit" if call is not None:
                call.acknowledge(frame.credit.bytes)
            case "body" if call is not None:
                call.put_body(frame.body)
            case "cancel" if call is not None:
                call.cancel()
            case _:
                pass  # the call has ended in the meantime

    async def _run_call(self, call_id: int, call: WaitingCall, opening: pb.CallOpen) -> None:
        """Run one call from its opening to its last frame. Its errors do not affect other calls."""
        began_at = asyncio.get_running_loop().time() - opening.elapsed_micros / 1_000_000
        timer = self._start_timer(call_id, call, opening, began_at)
        try:
            with telemetry.trace_call("deliver", traceparent=opening.headers.get("traceparent")):
                receipt = await self._deliver(call_id, call, opening, began_at)
                await self._send_receipt(call_id, call, receipt)
        except ServiceError as error:
            self._send_first(call, wire.refusal_frame(call_id, error))
        except Exception:
            log.exception("call failed", method="Exchange")
            bug = InternalError(details={"trace_id": telemetry.current_trace_id()})
            self._send_first(call, wire.refusal_frame(call_id, bug))
        finally:
            if timer is not None:
                timer.cancel()
            call.release()
            self._calls.pop(call_id, None)
            self._changed.set()

    async def _deliver(self, call_id: int, call: WaitingCall, opening: pb.CallOpen, began_at: float) -> Receipt:
        """Deliver the message of a call. Its body is not kept here: a stream may last long after it was delivered."""
        sender = _authenticate(opening.identity.SerializeToString())
        self._on_request(sender)
        is_small = not opening.body_bytes and len(opening.body) <= SMALL_BODY_BYTES
        body = opening.body if is_small else await self._receive_body(call_id, call, opening)
        opening.ClearField("body")
        return await self._delivery.deliver(
            wire.message_from_open(opening, sender, body=body, began_at=began_at, waiting=call)
        )

    def _start_timer(
        self, call_id: int, call: WaitingCall, opening: pb.CallOpen, began_at: float
    ) -> asyncio.TimerHandle | None:
        """Bound the whole wait of the caller; an invalid X-Timeout is refused later, in the order of the checks."""
        try:
            seconds = envelope.parse_timeout(opening.timeout)
        except MalformedMessage:
            return None
        if seconds is None:
            return None
        at = began_at + seconds + DEADLINE_GRACE_SECONDS
        return asyncio.get_running_loop().call_at(at, self._end_wait, call_id, call, seconds)

    def _end_wait(self, call_id: int, call: WaitingCall, seconds: int) -> None:
        """Answer a call whose deadline has passed; what the message still needs goes on without its caller."""
        if call.is_answered:
            return
        delivery = SendState.UNKNOWN if call.is_sent else SendState.NOT_SENT
        error = CallDeadlineExceeded(details={"timeout_seconds": seconds, "delivery": str(delivery)})
        agent_time = timedelta(seconds=seconds) if call.is_sent else timedelta()
        self._send_first(call, wire.refusal_frame(call_id, error, agent_time))
        call.cancel()

    async def _receive_body(self, call_id: int, call: WaitingCall, opening: pb.CallOpen) -> bytes:
        """Return the body of a call, for a large one once there is room for it."""
        size = opening.body_bytes or len(opening.body)
        if size > SMALL_BODY_BYTES:
            await call.reserve_message(size)
        if not opening.body_bytes:
            return opening.body
        self._send(wire.admitted_frame(call_id))
        return await call.receive_body()

    async def _send_receipt(self, call_id: int, call: WaitingCall, receipt: Receipt) -> None:
        match receipt:
            case QueueReceipt():
                self._send_first(call, wire.queued_frame(call_id, receipt))
            case FailureReceipt(error=error, agent_time=agent_time):
                self._send_first(call, wire.refusal_frame(call_id, error, agent_time))
            case AnswerReceipt(answer=answer):
                head = wire.answer_frame(call_id, receipt)
                self._send_first(call, head, may_wait=not head.head.complete)
                if isinstance(answer, Stream):
                    if not answer.holds_request:
                        call.release_message()
                    await self._send_stream(call_id, call, answer.chunks)
                elif wire.is_sent_in_chunks(answer):
                    await self._send_stream(call_id, call, _iterate(answer.body))
                elif call.has_large_answer:
                    await self._wait_until_written(call_id)
            case _:
                assert_never(receipt)

    async def _send_stream(self, call_id: int, call: WaitingCall, chunks: AsyncGenerator[bytes, None]) -> None:
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

    def _send(self, frame: pb.ReplyFrame, *, may_wait: bool = False) -> None:
        """Send a frame with the others that are ready; one that may wait goes with the next one, or after a delay."""
        if self._is_closed:
            return
        self._frames.append(frame)
        if not may_wait:
            self._changed.set()
        elif self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(HEAD_DELAY_SECONDS, self._changed.set)

    def _send_first(self, call: WaitingCall, frame: pb.ReplyFrame, *, may_wait: bool = False) -> None:
        """Send the first frame of a reply, or all of it, unless the call is answered already."""
        if not call.is_answered:
            call.is_answered = True
            self._send(frame, may_wait=may_wait)

    async def _wait_until_written(self, call_id: int) -> None:
        """Return once the only frame of a reply is written: until then its body occupies memory."""
        if self._is_closed:
            return
        written = self._unwritten[call_id] = asyncio.Event()
        try:
            await written.wait()
        finally:
            del self._unwritten[call_id]

    def _note_written(self, batch: pb.ExchangeResponse) -> None:
        if not self._unwritten:
            return
        for frame in batch.frames:
            if frame.call_id in self._unwritten:
                self._unwritten[frame.call_id].set()

    def _take_batch(self) -> pb.ExchangeResponse:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        batch: list[pb.ReplyFrame] = []
        size = 0
        while self._frames and size < FULL_MESSAGE_BYTES:
            frame = self._frames.popleft()
            batch.append(frame)
            size += frame.ByteSize()
        return pb.ExchangeResponse(frames=batch)


@lru_cache(MAX_KNOWN_SENDERS)
def _authenticate(serialized: bytes) -> Identity:
    """Return the sender, checked by the access rule of the RPC; raises `PermissionDenied` or `Unauthenticated`."""
    sender = identity.from_wire(identity_pb2.Identity.FromString(serialized))
    if sender is None or sender.kind is Kind.SERVICE:
        raise Unauthenticated
    chassis_rpc.check_access(_ACCESS_RULE, sender, None)
    return sender


def _get_code(error: grpc.RpcError) -> grpc.StatusCode:
    return error.code() if isinstance(error, grpc.aio.AioRpcError) else grpc.StatusCode.UNKNOWN


async def _iterate(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


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
