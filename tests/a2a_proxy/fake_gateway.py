"""The gateway's end of an exchange with the A2A proxy."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from services.chassis import clients, identity
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.running_proxy import RunningProxy

TARGET = str(uuid4())
CALLER = str(uuid4())
ADMIN = Identity(kind=Kind.ADMIN)
A_WORKSPACE = Identity(kind=Kind.WORKSPACE, name=CALLER, generation=1)


def message_body(method: str = "message/send", *, message_id: str = "m-1", **params) -> bytes:
    message = {"messageId": message_id, "parts": [{"kind": "text", "text": "hi"}]}
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": {"message": message, **params}}).encode()


class FakeGateway:
    """The gateway's end of an exchange, one frame at a time."""

    def __init__(self, stream) -> None:
        self._stream = stream
        self._queues: dict[int, asyncio.Queue] = {}
        self.last_call = False
        self.messages: list[list[str | None]] = []
        """What each message of the proxy contained: the steps of its frames."""

    async def read(self) -> None:
        async for message in self._stream:
            self.last_call = self.last_call or message.last_call
            self.messages.append([frame.WhichOneof("step") for frame in message.frames])
            for frame in message.frames:
                self._queue(frame.call_id).put_nowait(frame)

    async def send(self, *frames: pb.CallFrame) -> None:
        await self._stream.write(pb.ExchangeRequest(frames=frames))

    async def open(self, call_id: int, body: bytes, *, sender: Identity = ADMIN, target: str = TARGET, **fields):
        opening = pb.CallOpen(identity=identity.to_wire(sender), workspace_id=target, body=body, **fields)
        await self.send(pb.CallFrame(call_id=call_id, open=opening))

    async def next(self, call_id: int) -> pb.ReplyFrame:
        return await asyncio.wait_for(self._queue(call_id).get(), 10)

    async def send_message(self, body: bytes, **options) -> pb.ReplyFrame:
        """Open a call and return its first frame."""
        await self.open(99, body, **options)
        return await self.next(99)

    def count_frames(self, call_id: int) -> int:
        return self._queue(call_id).qsize()

    def _queue(self, call_id: int) -> asyncio.Queue:
        return self._queues.setdefault(call_id, asyncio.Queue())


@asynccontextmanager
async def open_exchange(proxy: RunningProxy, *, caller_service: str = "gateway") -> AsyncIterator[FakeGateway]:
    async with clients.open_channel(proxy.address, caller_service=caller_service) as channel:
        stream = rpc.A2aProxyServiceStub(channel.channel).Exchange(metadata=channel.build_metadata(None))
        await stream.wait_for_connection()
        gateway = FakeGateway(stream)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(gateway.read())
            yield gateway
            reading.cancel()


def decode_details(refused: pb.CallRefused) -> dict:
    return {name: json.loads(text) for name, text in refused.details.items()}
