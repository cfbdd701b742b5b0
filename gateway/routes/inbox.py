"""Routes of the inbox of an agent that polls."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from gateway.errors import MalformedRequest
from gateway.guards import WRITE
from gateway.json_format import format_timestamp
from gateway.query_params import parse_limit, parse_natural_number
from gateway.request_body import BodySpec, encode_payload
from gateway.route import Call, Route
from gateway.schemas.queue import (
    Acknowledgement,
    InboxMessage,
    InboxResult,
    LeaseExtension,
    LeaseResult,
    ReturnedMessage,
    render_inbox_message,
)
from protos.a2a_proxy.v1 import inbox_pb2 as pb
from protos.a2a_proxy.v1 import inbox_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.large_bodies import run_by_size

MAX_MESSAGES = 100

DEFAULT_MESSAGES = 10

MAX_WAIT_SECONDS = 60
"""Longer waits are read as this one."""

DEFAULT_LEASE_SECONDS = 60

MAX_LEASE_SECONDS = 3600

MAX_RESULT_BYTES = 10 * 1024 * 1024

ANSWER_TIME = timedelta(seconds=10)
"""Time for the answer of the proxy after the wait."""


class InboxRoutes:
    """Routes to the A2A proxy, which keeps the inbox."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.InboxServiceStub(a2a_proxy.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/inbox",
                handler=self.lease,
                summary="Lease the next messages of a workspace, and wait for the first one",
                guard=WRITE,
                query={
                    "max": "Messages, 1 to 100; anything else is 10",
                    "wait": "Seconds to wait for a message, 0 to 60; 0 if absent",
                    "lease_seconds": "Seconds until unacknowledged messages are offered again, 1 to 3600; 60 if absent",
                },
                answer=list[InboxMessage],
                refusal_statuses=frozenset({400}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/inbox/{messageId}/ack",
                handler=self.acknowledge,
                summary="End a leased message that was handled, with its A2A result",
                guard=WRITE,
                body=BodySpec(model=Acknowledgement, max_bytes=MAX_RESULT_BYTES),
                answer=InboxResult,
                refusal_statuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/inbox/{messageId}/nack",
                handler=self.give_back,
                summary="Return a leased message, which is offered again",
                guard=WRITE,
                body=BodySpec(model=ReturnedMessage),
                answer=InboxResult,
                refusal_statuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/inbox/{messageId}/extend",
                handler=self.extend,
                summary="Prolong the lease of a message from now on",
                guard=WRITE,
                body=BodySpec(model=LeaseExtension),
                answer=LeaseResult,
                refusal_statuses=frozenset({404, 409}),
            ),
        ]

    async def lease(self, call: Call) -> object:
        """Lease messages; HEAD changes nothing, as its answer cannot hold them."""
        wait = _parse_seconds(call, "wait", default=0, least=0, most=MAX_WAIT_SECONDS)
        lease = _parse_seconds(call, "lease_seconds", default=DEFAULT_LEASE_SECONDS, least=1, most=MAX_LEASE_SECONDS)
        if call.request.method == "HEAD":
            return []
        request = pb.LeaseMessagesRequest(
            workspace_id=call.workspace_id,
            max_messages=parse_limit(call.query.get("max", ""), maximum=MAX_MESSAGES, default=DEFAULT_MESSAGES),
            wait=Duration(seconds=wait),
            lease=Duration(seconds=lease),
        )
        reply: pb.LeaseMessagesResponse = await self._a2a_proxy.call(
            self._stub.LeaseMessages,
            request,
            on_behalf_of=call.identity,
            timeout=timedelta(seconds=wait) + ANSWER_TIME,
        )
        return await run_by_size(reply.ByteSize(), _render_messages, reply)

    async def acknowledge(self, call: Call) -> object:
        """End a message."""
        body: Acknowledgement = call.body
        if body.error is not None and body.result is not None:
            raise MalformedRequest("give either result or error")
        request = pb.AcknowledgeMessageRequest(
            workspace_id=call.workspace_id,
            message_id=call.path["messageId"],
            receipt=body.receipt,
            result=None if body.result is None else encode_payload(body.result),
            error=None if body.error is None else encode_payload(body.error),
        )
        await self._a2a_proxy.call(self._stub.AcknowledgeMessage, request, on_behalf_of=call.identity)
        return InboxResult(id=call.path["messageId"], status="acknowledged")

    async def give_back(self, call: Call) -> object:
        """Return a message."""
        request = pb.ReturnMessageRequest(
            workspace_id=call.workspace_id,
            message_id=call.path["messageId"],
            receipt=call.body.receipt,
            delay=Duration(seconds=call.body.delay_seconds),
            reason=call.body.reason,
        )
        await self._a2a_proxy.call(self._stub.ReturnMessage, request, on_behalf_of=call.identity)
        return InboxResult(id=call.path["messageId"], status="returned")

    async def extend(self, call: Call) -> object:
        """Prolong a lease."""
        request = pb.ExtendLeaseRequest(
            workspace_id=call.workspace_id,
            message_id=call.path["messageId"],
            receipt=call.body.receipt,
            lease=Duration(seconds=call.body.lease_seconds),
        )
        reply: pb.ExtendLeaseResponse = await self._a2a_proxy.call(
            self._stub.ExtendLease, request, on_behalf_of=call.identity
        )
        return LeaseResult(id=call.path["messageId"], lease_expires_at=format_timestamp(reply.lease_expires_at))


def _render_messages(reply: pb.LeaseMessagesResponse) -> list[InboxMessage]:
    return [render_inbox_message(message) for message in reply.messages]


def _parse_seconds(call: Call, name: str, *, default: int, least: int, most: int) -> int:
    """Return a number of seconds of the query; raises `MalformedRequest` outside these limits."""
    text = call.query.get(name, "")
    if not text:
        return default
    seconds = parse_natural_number(text)
    if seconds is None or not least <= seconds <= most:
        raise MalformedRequest(f"{name} must be an integer from {least} to {most}")
    return seconds
