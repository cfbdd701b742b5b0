"""Calls that travel together: of one method, asked by many at the same time, for the journey of one."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
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
from services.chassis.clients import CALL_TIMEOUT, ServiceChannel
from services.chassis.errors import InvalidArgument, Unauthenticated, Unavailable
from services.chassis.identity import Identity, Kind
from services.chassis.rpc import Context, Handler

CONTRACT = pb.DESCRIPTOR.services_by_name["BatchService"]
"""What every service offers beside its own contract."""

MAX_BATCHES_IN_FLIGHT = 2
"""Bundles of one method under way: while one is answered, the next is filled."""

MAX_CALLS_PER_BATCH = 500
"""Calls in one bundle."""

MAX_BATCH_BYTES = 1024 * 1024
"""Bytes from which a bundle takes no further call."""


# Asking ──────────────────────────────────────────────────────────────────────


class BatchedMethod:
    """Asks one method in bundles."""

    def __init__(
        self, line: ServiceChannel, alone: Callable[..., Any], method: MethodDescriptor, *, pause: float = 0.0
    ) -> None:
        """`alone` asks the same method for a single call; `pause` is the seconds from one bundle to the next."""
        self._line = line
        self._alone = alone
        self._path = f"/{method.containing_service.full_name}/{method.name}"
        self._reply = GetMessageClass(method.output_type)
        self._journey = stubs.BatchServiceStub(line.channel).CallBatch
        self._calls = Batcher(
            self._carry, capacity=MAX_BATCH_BYTES, weigh=_weight, at_once=MAX_BATCHES_IN_FLIGHT, pause=pause
        )

    async def call(self, request: Message, *, on_behalf_of: Identity | None = None) -> Any:  # noqa: ANN401 - as ServiceChannel.call
        """As `ServiceChannel.call`: a call that could not be answered in its bundle is asked again by itself."""
        outcome = await self._calls.submit(_wired(request, on_behalf_of))
        if outcome is not None and outcome.HasField("reply"):
            return self._reply.FromString(outcome.reply)
        if outcome is not None:
            error = clients.error_from_status(Status.FromString(outcome.failure))
            if error.reason != Unavailable.reason:
                raise error
        return await self._line.call(self._alone, request, on_behalf_of=on_behalf_of)

    async def _carry(self, calls: Sequence[pb.BatchedCall]) -> Sequence[pb.BatchedOutcome | None]:
        """Take them to the other side and back; nothing for each where the bundle did not arrive."""
        try:
            request = pb.CallBatchRequest(method=self._path, calls=calls)
            within = CALL_TIMEOUT.total_seconds()
            reply = await self._journey(request, timeout=within, metadata=self._line.metadata(None))
        except grpc.aio.AioRpcError:
            return [None] * len(calls)  # each asks by itself, and hears what is wrong
        return tuple(reply.outcomes)


def _weight(call: pb.BatchedCall) -> int:
    """The bytes of a call; a small one counts as much as the largest number of them allows."""
    return max(call.ByteSize(), MAX_BATCH_BYTES // MAX_CALLS_PER_BATCH)


def _wired(request: Message, on_behalf_of: Identity | None) -> pb.BatchedCall:
    return pb.BatchedCall(
        identity=None if on_behalf_of is None else identity.to_wire(on_behalf_of),
        request=request.SerializeToString(),
        traceparent=telemetry.traceparent() or "",
    )


# Answering ───────────────────────────────────────────────────────────────────


class BatchServicer(stubs.BatchServiceServicer):
    """Makes the calls of a bundle, each checked and answered for itself. It learns of methods as a server does."""

    def __init__(self, rules: Mapping[str, access_pb2.Access]) -> None:
        self._rules = rules
        self._handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Part of being a server; the same methods come by name as well."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Learn the methods of a servicer."""
        self._handlers |= {f"/{service}/{name}": one for name, one in handlers.items() if one.unary_unary is not None}

    async def CallBatch(  # noqa: N802 - gRPC names its methods
        self, request: pb.CallBatchRequest, context: Context
    ) -> pb.CallBatchResponse:
        """The outcome of each call."""
        if request.method not in self._handlers:
            raise InvalidArgument
        outcomes = [self._outcome(request.method, call, context) for call in request.calls]
        return pb.CallBatchResponse(outcomes=await asyncio.gather(*outcomes))

    async def _outcome(self, method: str, call: pb.BatchedCall, context: Context) -> pb.BatchedOutcome:
        handler = self._handlers[method]
        try:
            caller = _caller(call)
            request = handler.request_deserializer(call.request)  # type: ignore[misc]
            rpc.check_access(self._rules[method], caller, request)
            with identity.act_as(caller), telemetry.trace_call(method, traceparent=call.traceparent or None):
                reply = await handler.unary_unary(request, context)  # type: ignore[misc, arg-type]
        except Exception as error:  # noqa: BLE001 - translated in one place
            return pb.BatchedOutcome(
                failure=rpc.status_from_error(rpc.to_service_error(method, error)).SerializeToString()
            )
        return pb.BatchedOutcome(reply=reply.SerializeToString())


def _caller(call: pb.BatchedCall) -> Identity:
    """Whose call it is; the carrier's own where it speaks for nobody."""
    if not call.HasField("identity"):
        return identity.current()
    found = identity.from_wire(call.identity)
    if found is None or found.kind is Kind.SERVICE:
        raise Unauthenticated
    return found
