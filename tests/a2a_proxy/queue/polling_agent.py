"""An agent that polls: it leases messages from one proxy and ends the leases."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from protos.a2a_proxy.v1 import inbox_pb2, inbox_pb2_grpc
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import TARGET

AGENT = Identity(kind=Kind.WORKSPACE, name=TARGET, generation=1)


class PollingAgent:
    """An agent that fetches its messages from one proxy."""

    def __init__(self, channel) -> None:
        self._channel = channel
        self._stub = inbox_pb2_grpc.InboxServiceStub(channel.channel)

    async def lease(self, *, wait: float = 0, most: int = 10, seconds: float = 60) -> list[inbox_pb2.InboxMessage]:
        request = inbox_pb2.LeaseMessagesRequest(
            workspace_id=TARGET, max_messages=most, wait=as_duration(wait), lease=as_duration(seconds)
        )
        answer = await self._channel.call(
            self._stub.LeaseMessages, request, on_behalf_of=AGENT, timeout=timedelta(seconds=60)
        )
        return list(answer.messages)

    async def acknowledge(self, message: inbox_pb2.InboxMessage, **answer: bytes) -> None:
        request = inbox_pb2.AcknowledgeMessageRequest(
            workspace_id=TARGET, message_id=message.id, receipt=message.receipt, **answer
        )
        await self._channel.call(self._stub.AcknowledgeMessage, request, on_behalf_of=AGENT)

    async def give_back(self, message: inbox_pb2.InboxMessage, *, delay: float = 0, reason: str = "") -> None:
        request = inbox_pb2.ReturnMessageRequest(
            workspace_id=TARGET, message_id=message.id, receipt=message.receipt, delay=as_duration(delay), reason=reason
        )
        await self._channel.call(self._stub.ReturnMessage, request, on_behalf_of=AGENT)

    async def extend(self, message: inbox_pb2.InboxMessage, seconds: float) -> None:
        request = inbox_pb2.ExtendLeaseRequest(
            workspace_id=TARGET, message_id=message.id, receipt=message.receipt, lease=as_duration(seconds)
        )
        await self._channel.call(self._stub.ExtendLease, request, on_behalf_of=AGENT)


def as_duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration
