"""Calls to the A2A proxy: many over one stream, so that a message costs no RPC of its own."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Sequence
from typing import Any

import grpc
import structlog

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import COMMON_DOMAIN, ERRORS_BY_CODE, Code, InternalError, ServiceError, Unavailable

log = structlog.get_logger()

MAX_BATCH_BYTES = 1024 * 1024
"""Bytes from which a message takes no further frame."""

CREDIT_INTERVAL_BYTES = 64 * 1024
"""Bytes taken by a client before the proxy is told: a quarter of what it sends ahead."""

RECONNECT_DELAY_SECONDS = 0.1
"""Seconds before a broken stream is opened again."""

CONNECT_TIMEOUT_SECONDS = 2.0
"""Seconds that a call waits for a stream: a proxy that was restarted is back within them."""


class Exchange:
    """One stream to one proxy, opened again whenever it breaks, and the calls under way on it."""

    def __init__(self, line: ServiceChannel) -> None:
        self._line = line
        self._stub = rpc.A2aProxyServiceStub(line.channel)
        self._ids = itertools.count(1)
        self._calls: dict[int, ExchangeCall] = {}
        self._frames: deque[pb.CallFrame] = deque()
        self._wake = asyncio.Event()
        self.connected = asyncio.Event()

    @property
    def load(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    async def run(self) -> None:
        """Keep the stream open until cancelled."""
        while True:
            try:
                await self._run_once()
            except grpc.RpcError as error:
                if self.connected.is_set():
                    log.warning("exchange broken", code=str(error.code()), calls=self.load)
            finally:
                self.connected.clear()
                self._break_calls()
            _raise_if_cancelled()
            await asyncio.sleep(RECONNECT_DELAY_SECONDS)

    def open(self, opening: pb.CallOpen) -> "ExchangeCall":
        """Begin a call; only while connected."""
        call = ExchangeCall(next(self._ids), self)
        self._calls[call.call_id] = call
        self.put(pb.CallFrame(call_id=call.call_id, open=opening))
        return call

    def put(self, frame: pb.CallFrame) -> None:
        """Send a frame, together with all others that wait."""
        self._frames.append(frame)
        self._wake.set()

    def forget(self, call_id: int) -> None:
        """A call is over: what still comes for it is dropped."""
        self._calls.pop(call_id, None)

    async def _run_once(self) -> None:
        stream: Any = self._stub.Exchange(metadata=self._line.metadata(None))
        try:
            await stream.wait_for_connection()
            self.connected.set()
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write(stream))
                await self._read(stream)
                writing.cancel()
        except* grpc.RpcError as group_error:
            raise group_error.exceptions[0] from None
        finally:
            stream.cancel()

    async def _read(self, stream: Any) -> None:  # noqa: ANN401 - generic in the stubs only
        calls = self._calls
        async for message in stream:
            if message.last_call:
                self.connected.clear()
            for frame in message.frames:
                call = calls.get(frame.call_id)
                if call is not None:
                    call.hear(frame)

    async def _write(self, stream: Any) -> None:  # noqa: ANN401 - generic in the stubs only
        while True:
            if self._frames:
                await stream.write(self._batch())
            else:
                self._wake.clear()
                await self._wake.wait()

    def _batch(self) -> pb.ExchangeRequest:
        batch: list[pb.CallFrame] = []
        size = 0
        while self._frames and size < MAX_BATCH_BYTES:
            frame = self._frames.popleft()
            batch.append(frame)
            size += frame.ByteSize()
        return pb.ExchangeRequest(frames=batch)

    def _break_calls(self) -> None:
        """Tell every call that its stream is gone. What was never written was never sent."""
        unsent = {frame.call_id for frame in self._frames if frame.HasField("open")}
        self._frames.clear()
        for call in list(self._calls.values()):
            call.hear(_build_broken_reply(call.call_id, "not_sent" if call.call_id in unsent else "unknown"))
        self._calls.clear()


class ExchangePool:
    """The streams to all proxies."""

    def __init__(self, lines: Sequence[ServiceChannel]) -> None:
        self._exchanges = [Exchange(line) for line in lines]

    async def run(self) -> None:
        """Keep the streams open until cancelled."""
        async with asyncio.TaskGroup() as group:
            for exchange in self._exchanges:
                group.create_task(exchange.run())

    async def open(self, opening: pb.CallOpen) -> "ExchangeCall":
        """Begin a call on the stream with the fewest; raises `Unavailable` where no proxy is there."""
        connected = [exchange for exchange in self._exchanges if exchange.connected.is_set()]
        if not connected:
            connected = [await self._first()]
        return min(connected, key=_count_active_calls).open(opening)

    async def _first(self) -> Exchange:
        """The first stream that comes back."""
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
    """One message on its way: the frames that come back, one after the other."""

    def __init__(self, call_id: int, exchange: Exchange) -> None:
        self.call_id = call_id
        self._exchange = exchange
        self._frames: deque[pb.ReplyFrame] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._taken = 0
        self._left = False

    async def next(self) -> pb.ReplyFrame | None:
        """The next frame; `None` once the client has left."""
        while not self._frames and not self._left:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return None if self._left else self._frames.popleft()

    def hear(self, frame: pb.ReplyFrame) -> None:
        """Take a frame that came."""
        self._frames.append(frame)
        self._rouse()

    def took(self, size: int) -> None:
        """The client has taken this much of the stream."""
        self._taken += size
        if self._taken >= CREDIT_INTERVAL_BYTES:
            self._exchange.put(pb.CallFrame(call_id=self.call_id, credit=pb.CallCredit(bytes=self._taken)))
            self._taken = 0

    def leave(self) -> None:
        """The client has left."""
        self._left = True
        self._rouse()
        self._exchange.put(pb.CallFrame(call_id=self.call_id, cancel=pb.CallCancel()))

    def close(self) -> None:
        """The call is over."""
        self._exchange.forget(self.call_id)

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def error_from_refusal(refused: pb.CallRefused) -> ServiceError:
    """The error that a proxy refused a call with."""
    error = ERRORS_BY_CODE.get(refused.code, InternalError)(
        refused.message,
        details={name: json.loads(text) for name, text in refused.details.items()},
        retry_in=refused.retry_in.ToTimedelta() if refused.HasField("retry_in") else None,
    )
    error.reason, error.domain = refused.reason, refused.domain
    return error


def _build_broken_reply(call_id: int, delivery: str) -> pb.ReplyFrame:
    """What a proxy that is gone cannot say itself."""
    refused = pb.CallRefused(
        code=int(Code.UNAVAILABLE),
        reason=Unavailable.reason,
        domain=COMMON_DOMAIN,
        message=Unavailable.message,
        details={"delivery": json.dumps(delivery)},
    )
    return pb.ReplyFrame(call_id=call_id, refused=refused)


def _raise_if_cancelled() -> None:
    """End a task that was cancelled while a group of its was falling apart: the group's errors hide that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _count_active_calls(exchange: Exchange) -> int:
    return exchange.load
