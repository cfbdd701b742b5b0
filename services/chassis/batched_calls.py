"""Sends concurrent calls of one method as one RPC, which costs less than one RPC for each call."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from protos.common.v1 import access_pb2
from protos.common.v1 import batch_pb2 as pb
from protos.common.v1 import batch_pb2_grpc as stubs
from services.chassis import clients, identity, rpc, telemetry
from services.chassis.batching import Batcher
from services.chassis.clients import CALL_TIMEOUT, ServiceChannel, StubMethod
from services.chassis.errors import InvalidArgument, Unauthenticated, Unavailable
from services.chassis.identity import Identity, Kind
from services.chassis.rpc import Context, Handler

CONTRACT = pb.DESCRIPTOR.services_by_name["BatchService"]
"""The contract that every service serves besides its own."""

MAX_BATCHES_IN_FLIGHT = 2
"""Batches of one method that may be in progress: while one is answered, the next is filled."""

MAX_CALLS_PER_BATCH = 500
"""Calls in one batch."""

MAX_BATCH_BYTES = 1024 * 1024
"""Bytes from which a batch takes no further call."""


# Client side ─────────────────────────────────────────────────────────────────


class BatchedMethod:
    """The client side of one method whose calls are batched."""

    def __init__(
        self, channel: ServiceChannel, call: StubMethod, method: MethodDescriptor, *, interval_seconds: float = 0.0
    ) -> None:
        """`call` is the stub's method for a call outside of a batch; `interval_seconds` is as in `Batcher`."""
        self._channel = channel
        self._call_single = call
        self._path = f"/{method.containing_service.full_name}/{method.name}"
        self._reply = GetMessageClass(method.output_type)
        self._call_batch = stubs.BatchServiceStub(channel.channel).CallBatch
        self._batcher = Batcher(
            self._send_batch,
            capacity=MAX_BATCH_BYTES,
            weigh=_weigh_call,
            max_concurrent=MAX_BATCHES_IN_FLIGHT,
            interval_seconds=interval_seconds,
        )

    async def call(self, request: Message, *, on_behalf_of: Identity | None = None) -> Any:  # noqa: ANN401 - as ServiceChannel.call
        """Call the method like `ServiceChannel.call`. A call whose batch was not answered is repeated alone."""
        outcome = await self._batcher.submit(_build_call(request, on_behalf_of))
        if outcome is not None and outcome.HasField("reply"):
            return self._reply.FromString(outcome.reply)
        if outcome is not None:
            error = clients.error_from_status(Status.FromString(outcome.failure))
            if error.reason != Unavailable.reason:
                raise error
        return await self._channel.call(self._call_single, request, on_behalf_of=on_behalf_of)

    async def _send_batch(self, calls: Sequence[pb.BatchedCall]) -> Sequence[pb.BatchedOutcome | None]:
        """Return one outcome for each call, or `None` for each if the batch was not answered."""
        try:
            request = pb.CallBatchRequest(method=self._path, calls=calls)
            reply = await self._channel.call_once(self._call_batch, request, seconds=CALL_TIMEOUT.total_seconds())
        except (grpc.aio.AioRpcError, TimeoutError):
            return [None] * len(calls)  # each call is repeated alone, and raises its own error
        return tuple(reply.outcomes)


def _weigh_call(call: pb.BatchedCall) -> int:
    """Return the bytes of a call, rounded up so that MAX_CALLS_PER_BATCH small calls fill a batch."""
    return max(call.ByteSize(), MAX_BATCH_BYTES // MAX_CALLS_PER_BATCH)


def _build_call(request: Message, on_behalf_of: Identity | None) -> pb.BatchedCall:
    return pb.BatchedCall(
        identity=None if on_behalf_of is None else identity.to_wire(on_behalf_of),
        request=request.SerializeToString(),
        traceparent=telemetry.current_traceparent() or "",
    )


# Server side ─────────────────────────────────────────────────────────────────


class BatchServicer(stubs.BatchServiceServicer):
    """The server side: checks and answers each call of a batch. It collects the methods like a gRPC server."""

    def __init__(self, rules: Mapping[str, access_pb2.Access]) -> None:
        self._rules = rules
        self._handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Do nothing: gRPC registers the same methods by name as well."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add the unary methods of a servicer."""
        self._handlers |= {
            f"/{service}/{name}": method for name, method in handlers.items() if method.unary_unary is not None
        }

    async def CallBatch(  # noqa: N802 - gRPC names its methods
        self, request: pb.CallBatchRequest, context: Context
    ) -> pb.CallBatchResponse:
        """Return the outcome of each call."""
        if request.method not in self._handlers:
            raise InvalidArgument
        calls = [self._run_call(request.method, call, context) for call in request.calls]
        return pb.CallBatchResponse(outcomes=await asyncio.gather(*calls))

    async def _run_call(self, method: str, call: pb.BatchedCall, context: Context) -> pb.BatchedOutcome:
        handler = self._handlers[method]
        try:
            caller = _identify_caller(call)
            request = handler.request_deserializer(call.request)  # type: ignore[misc]
            rpc.check_access(self._rules[method], caller, request)
            with identity.act_as(caller), telemetry.trace_call(method, traceparent=call.traceparent or None):
                reply = await handler.unary_unary(request, context)  # type: ignore[misc, arg-type]
        except Exception as error:  # noqa: BLE001 - translated in one place
            status = rpc.status_from_error(rpc.to_service_error(method, error))
            return pb.BatchedOutcome(failure=status.SerializeToString())
        return pb.BatchedOutcome(reply=reply.SerializeToString())


def _identify_caller(call: pb.BatchedCall) -> Identity:
    """Return the identity that a call carries, or that of the gateway."""
    if not call.HasField("identity"):
        return identity.current()
    found = identity.from_wire(call.identity)
    if found is None or found.kind is Kind.SERVICE:
        raise Unauthenticated
    return found
