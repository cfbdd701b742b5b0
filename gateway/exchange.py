"""Calls to the A2A proxy: one stream to each proxy carries all of them, so a message costs no RPC of its own."""

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any

import grpc
import structlog

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from services.chassis import strict_json
from services.chassis.clients import ServiceChannel
from services.chassis.errors import COMMON_DOMAIN, ERRORS_BY_CODE, Code, InternalError, ServiceError, Unavailable
from services.chassis.large_bodies import LARGE_BODY_BYTES

log = structlog.get_logger()

MAX_BATCH_BYTES = 1024 * 1024
"""Size from which a message to the proxy takes no further frame."""

CREDIT_INTERVAL_BYTES = 64 * 1024
"""Bytes that a client takes before the gateway reports them: a quarter of what the proxy sends ahead."""

RECONNECT_DELAY_SECONDS = 0.1

CONNECT_TIMEOUT_SECONDS = 2.0
"""Time that a call waits for a stream: a restarted proxy is back within it."""


class Exchange:
    """The stream to one proxy, opened again whenever it breaks, and its active calls."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub = rpc.A2aProxyServiceStub(channel.channel)
        self._ids = itertools.count(1)
        self._calls: dict[int, ExchangeCall] = {}
        self._unsent_frames: deque[pb.CallFrame] = deque()
        self._unsent_large_frames: deque[pb.CallFrame] = deque()
        self._may_send_large = True
        self._has_unsent_frames = asyncio.Event()
        self.connected = asyncio.Event()

    @property
    def active_calls(self) -> int:
        """The number of calls that are not over."""
        return len(self._calls)

    async def run(self) -> None:
        """Keep the stream open until cancelled."""
        while True:
            try:
                await self._run_once()
            except grpc.RpcError as error:
                if self.connected.is_set():
                    log.warning("exchange broken", code=str(error.code()), calls=self.active_calls)
            finally:
                self.connected.clear()
                self._refuse_calls()
            _raise_if_cancelled()
            await asyncio.sleep(RECONNECT_DELAY_SECONDS)

    def open(self, opening: pb.CallOpen) -> "ExchangeCall":
        """Begin a call; only while connected."""
        call = ExchangeCall(next(self._ids), self)
        self._calls[call.call_id] = call
        call.is_body_unsent = opening.body_bytes > 0
        self._send_by_size(pb.CallFrame(call_id=call.call_id, open=opening), len(opening.body))
        return call

    def send_body(self, call_id: int, body: bytes) -> None:
        """Send the announced body of a call that the proxy has admitted."""
        self._send_by_size(pb.CallFrame(call_id=call_id, body=body), len(body))

    def send(self, frame: pb.CallFrame) -> None:
        """Send a frame, in one message with the others that wait, and before large ones that wait."""
        self._unsent_frames.append(frame)
        self._has_unsent_frames.set()

    def cancel(self, call_id: int) -> None:
        """Tell the proxy that the client of a call has left, unless the proxy does not know of the call yet."""
        unsent = [frame for frame in self._unsent_large_frames if frame.call_id == call_id]
        for frame in unsent:
            self._unsent_large_frames.remove(frame)
        if not any(frame.HasField("open") for frame in unsent):
            self.send(pb.CallFrame(call_id=call_id, cancel=pb.CallCancel()))

    def forget(self, call_id: int) -> None:
        """End a call: frames that still arrive for it are dropped."""
        self._calls.pop(call_id, None)

    def _send_by_size(self, frame: pb.CallFrame, size: int) -> None:
        if size < LARGE_BODY_BYTES:
            self.send(frame)
        else:
            self._unsent_large_frames.append(frame)
            self._has_unsent_frames.set()

    async def _run_once(self) -> None:
        stream: Any = self._stub.Exchange(metadata=self._channel.build_metadata(None))
        broken: BaseException | None = None
        try:
            await stream.wait_for_connection()
            self.connected.set()
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write(stream))
                await self._read(stream)
                writing.cancel()
        except* grpc.RpcError as group_error:
            broken = group_error.exceptions[0]  # before Python 3.11.4, `raise` here wraps it again
        finally:
            stream.cancel()
        if broken is not None:
            raise broken

    async def _read(self, stream: Any) -> None:  # noqa: ANN401 - generic in the stubs only
        calls = self._calls
        async for message in stream:
            if message.last_call:
                self.connected.clear()
            for frame in message.frames:
                call = calls.get(frame.call_id)
                if call is not None:
                    call.receive(frame)

    async def _write(self, stream: Any) -> None:  # noqa: ANN401 - generic in the stubs only
        """Write frames until cancelled; return if the proxy has ended the stream, which `_read` then notices."""
        while True:
            if self._unsent_frames or self._unsent_large_frames:
                try:
                    await stream.write(self._take_batch())
                except asyncio.InvalidStateError:  # gRPC: the call is over already
                    return
            else:
                self._has_unsent_frames.clear()
                await self._has_unsent_frames.wait()

    def _take_batch(self) -> pb.ExchangeRequest:
        """Take small frames and large ones by turns, so that a small message waits for one large one at most."""
        is_large = bool(self._unsent_large_frames) and (self._may_send_large or not self._unsent_frames)
        self._may_send_large = not is_large
        if is_large:
            return pb.ExchangeRequest(frames=[self._unsent_large_frames.popleft()])
        batch: list[pb.CallFrame] = []
        size = 0
        while self._unsent_frames and size < MAX_BATCH_BYTES:
            frame = self._unsent_frames.popleft()
            batch.append(frame)
            size += frame.ByteSize()
        return pb.ExchangeRequest(frames=batch)

    def _refuse_calls(self) -> None:
        """Refuse every call of a broken stream. A call whose opening or body was not written was not sent."""
        waiting = [*self._unsent_frames, *self._unsent_large_frames]
        unsent = {frame.call_id for frame in waiting if frame.HasField("open") or frame.HasField("body")}
        unsent |= {call.call_id for call in self._calls.values() if call.is_body_unsent}
        self._unsent_frames.clear()
        self._unsent_large_frames.clear()
        for call in list(self._calls.values()):
            call.receive(_build_broken_reply(call.call_id, "not_sent" if call.call_id in unsent else "unknown"))
        self._calls.clear()


class ExchangePool:
    """The streams to all proxies."""

    def __init__(self, channels: Sequence[ServiceChannel]) -> None:
        self._exchanges = [Exchange(channel) for channel in channels]

    async def run(self) -> None:
        """Keep the streams open until cancelled."""
        async with asyncio.TaskGroup() as group:
            for exchange in self._exchanges:
                group.create_task(exchange.run())

    async def open(self, opening: pb.CallOpen) -> "ExchangeCall":
        """Begin a call on the stream with the fewest active calls; raises `Unavailable` without a connected proxy."""
        connected = [exchange for exchange in self._exchanges if exchange.connected.is_set()]
        if not connected:
            connected = [await self._wait_for_first()]
        return min(connected, key=_count_active_calls).open(opening)

    async def _wait_for_first(self) -> Exchange:
        """Return the first stream that connects."""
        waits = [asyncio.ensure_future(exchange.connected.wait()) for exchange in self._exchanges]
        try:
            await asyncio.wait(waits, timeout=CONNECT_TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for exchange in self._exchanges:
            if exchange.connected.is_set():
                return exchange
        raise Unavailable(details={"delivery": "not_sent"})


class ExchangeCall:
    """One message on its way: the frames that the proxy replies, in order."""

    def __init__(self, call_id: int, exchange: Exchange) -> None:
        self.call_id = call_id
        self._exchange = exchange
        self._frames: deque[pb.ReplyFrame] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._unreported_bytes = 0
        self._is_cancelled = False
        self.is_body_unsent = False
        """Whether the body was announced, and is not handed over yet."""

    async def next(self) -> pb.ReplyFrame | None:
        """Return the next frame; `None` once the call is cancelled."""
        while not self._frames and not self._is_cancelled:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return None if self._is_cancelled else self._frames.popleft()

    async def next_within(self, seconds: float) -> pb.ReplyFrame | None:
        """Return the next frame if it arrives within this time; `None` otherwise."""
        if not self._frames:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            timer = loop.call_later(seconds, self._wake_reader)
            try:
                await waiter
            finally:
                timer.cancel()
        return self._frames.popleft() if self._frames and not self._is_cancelled else None

    def send_body(self, body: bytes) -> None:
        """Send the announced body, once the proxy has admitted it."""
        self.is_body_unsent = False
        self._exchange.send_body(self.call_id, body)

    def receive(self, frame: pb.ReplyFrame) -> None:
        """Add a frame from the proxy."""
        self._frames.append(frame)
        self._wake_reader()

    def report_taken(self, size: int) -> None:
        """Count bytes that the client took, and give the proxy credit for them."""
        self._unreported_bytes += size
        if self._unreported_bytes >= CREDIT_INTERVAL_BYTES:
            credit = pb.CallCredit(bytes=self._unreported_bytes)
            self._exchange.send(pb.CallFrame(call_id=self.call_id, credit=credit))
            self._unreported_bytes = 0

    def cancel(self) -> None:
        """Tell the proxy that the client has left."""
        self._is_cancelled = True
        self._wake_reader()
        self._exchange.cancel(self.call_id)

    def close(self) -> None:
        """End the call."""
        self._exchange.forget(self.call_id)

    def _wake_reader(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def error_from_refusal(refused: pb.CallRefused) -> ServiceError:
    """Return the error with which a proxy refused a call."""
    error = ERRORS_BY_CODE.get(refused.code, InternalError)(
        refused.message,
        details={name: strict_json.parse(text.encode()) for name, text in refused.details.items()},
        retry_in=refused.retry_in.ToTimedelta() if refused.HasField("retry_in") else None,
    )
    error.reason, error.domain = refused.reason, refused.domain
    return error


def _build_broken_reply(call_id: int, delivery: str) -> pb.ReplyFrame:
    """Return the refusal that the gateway makes for a proxy whose stream broke."""
    refused = pb.CallRefused(
        code=int(Code.UNAVAILABLE),
        reason=Unavailable.reason,
        domain=COMMON_DOMAIN,
        message=Unavailable.message,
        details={"delivery": strict_json.dump(delivery).decode()},
    )
    return pb.ReplyFrame(call_id=call_id, refused=refused)


def _raise_if_cancelled() -> None:
    """Raise the cancellation of this task: the errors of a task group that fails at that moment hide it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _count_active_calls(exchange: Exchange) -> int:
    return exchange.active_calls
