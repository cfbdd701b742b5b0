"""The server side of every call: identifies the caller, checks access, translates errors, and traces."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from protos.common.v1 import access_pb2, identity_pb2
from services.chassis import identity, telemetry
from services.chassis.errors import InternalError, PermissionDenied, ServiceError, Unauthenticated, Unavailable
from services.chassis.identity import Identity, Kind
from services.chassis.timestamps import duration_from_timedelta

log = structlog.get_logger()

IDENTITY_FORWARDER = "gateway"
"""The only service that may forward the identity of a caller."""

SPIFFE_PREFIX = "spiffe://molecule/"
"""Start of the URI in a service's certificate; the service's name follows."""

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
else:  # these classes are generic in the type stubs only
    Context, Handler = grpc.aio.ServicerContext, grpc.RpcMethodHandler


class UndeclaredAccess(Exception):
    """An RPC without an access rule."""


def collect_access_rules(contracts: Iterable[ServiceDescriptor]) -> dict[str, access_pb2.Access]:
    """Return the access rule of every method by its path; raises `UndeclaredAccess` if one has none."""
    found: dict[str, access_pb2.Access] = {}
    for contract in contracts:
        for method in contract.methods:
            rule = get_access_rule(method)
            if not rule.allow:
                raise UndeclaredAccess(f"{contract.full_name}/{method.name} does not say who may call it")
            found[f"/{contract.full_name}/{method.name}"] = rule
    return found


def get_access_rule(method: MethodDescriptor) -> access_pb2.Access:
    """Return the access rule of a method; empty if it declares none."""
    return method.GetOptions().Extensions[access_pb2.access]


def check_access(rule: access_pb2.Access, caller: Identity, request: Message | None) -> None:
    """Raise `PermissionDenied` unless the rule allows the caller.

    `request` holds the field that PRINCIPAL_SELF is compared with.
    """
    for principal in rule.allow:
        match principal:
            case access_pb2.PRINCIPAL_SERVICE if caller.kind is Kind.SERVICE and caller.name in rule.services:
                return
            case access_pb2.PRINCIPAL_SELF if caller.kind is Kind.WORKSPACE and caller.name:
                if request is not None and getattr(request, rule.self_field) == caller.name:
                    return
            case _ if _PRINCIPALS.get(principal) is caller.kind:
                return
    raise PermissionDenied


_PRINCIPALS: Mapping[int, Kind] = {
    access_pb2.PRINCIPAL_ADMIN: Kind.ADMIN,
    access_pb2.PRINCIPAL_ORG: Kind.ORG,
    access_pb2.PRINCIPAL_WORKSPACE: Kind.WORKSPACE,
    access_pb2.PRINCIPAL_ANONYMOUS: Kind.ANONYMOUS,
}


class PeerVerifier(Protocol):
    """Verifies which service is the peer of a connection."""

    def verify(self, context: Context, claimed: str) -> str:
        """Return the name of the peer; raises `Unauthenticated` unless `claimed` is proven."""
        ...


class SocketPeerVerifier:
    """Trusts the claimed name, because only the plane's user can enter the 0700 directory of the socket."""

    def verify(self, context: Context, claimed: str) -> str:  # noqa: ARG002 - the socket's directory is the proof
        """Return the claimed name."""
        if not claimed:
            raise Unauthenticated
        return claimed


class CertificatePeerVerifier:
    """Compares the claimed name with the URI in the peer's certificate."""

    def verify(self, context: Context, claimed: str) -> str:
        """Return the name in the certificate."""
        uris = context.auth_context().get("peer_spiffe_id") or ()
        names = {bytes(uri).decode(errors="replace").removeprefix(SPIFFE_PREFIX) for uri in uris}
        if len(names) != 1 or claimed not in names:
            raise Unauthenticated
        return claimed


class Interceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Wraps every servicer: caller, access, errors, trace."""

    def __init__(
        self, contracts: Iterable[ServiceDescriptor], peers: PeerVerifier, *, open_methods: Iterable[str]
    ) -> None:
        """`open_methods` are path prefixes that every peer may call, such as the health service."""
        self.rules = collect_access_rules(contracts)
        self._peers = peers
        self._open = tuple(open_methods)
        self._feeds: set[asyncio.Task[Any]] = set()
        self._is_stopping = False

    def end_feeds(self) -> None:
        """End every feed when the service stops, because feeds do not end by themselves. Watchers reconnect."""
        self._is_stopping = True
        for feed in self._feeds:
            feed.cancel()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of a method."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        rule = self.rules.get(method)
        if handler is None or method.startswith(self._open):
            return handler
        if rule is None:
            raise UndeclaredAccess(method)
        if handler.response_streaming:
            return self._wrap_streaming(handler, method, rule)
        return self._wrap_unary(handler, method, rule)

    def _wrap_unary(self, handler: Handler, method: str, rule: access_pb2.Access) -> Handler:
        async def answer(request: Message, context: Context) -> Message:
            try:
                caller = _identify_caller(self._peers, context)
                check_access(rule, caller, request)
                with identity.act_as(caller), telemetry.trace_call(method, traceparent=_find_traceparent(context)):
                    reply: Message = await handler.unary_unary(request, context)  # type: ignore[misc, arg-type]
                    return reply
            except Exception as error:  # noqa: BLE001 - translated in one place
                return await _abort(context, to_service_error(method, error))

        return handler._replace(unary_unary=answer)  # type: ignore[attr-defined, no-any-return]

    def _wrap_streaming(self, handler: Handler, method: str, rule: access_pb2.Access) -> Handler:
        kind = "stream_stream" if handler.request_streaming else "unary_stream"

        async def answers(request: Any, context: Context) -> AsyncIterator[Message]:  # noqa: ANN401 - message or stream
            task = asyncio.current_task()
            if task is not None and not handler.request_streaming:
                self._feeds.add(task)
                task.add_done_callback(self._feeds.discard)
            try:
                caller = _identify_caller(self._peers, context)
                check_access(rule, caller, request if isinstance(request, Message) else None)
                with identity.act_as(caller):
                    async for reply in getattr(handler, kind)(request, context):
                        yield reply
            except asyncio.CancelledError:
                if not self._is_stopping:
                    raise
                await _abort(context, Unavailable())
            except Exception as error:  # noqa: BLE001 - translated in one place
                await _abort(context, to_service_error(method, error))

        return handler._replace(**{kind: answers})  # type: ignore[attr-defined, no-any-return]


def to_service_error(method: str, error: Exception) -> ServiceError:
    """Return the error for the caller. Any other exception than `ServiceError` is logged, and its text withheld."""
    if isinstance(error, ServiceError):
        return error
    log.error("call failed", method=method, exc_info=error)
    return InternalError(details={"trace_id": telemetry.current_trace_id()})


async def _abort(context: Context, failure: ServiceError) -> NoReturn:
    await context.abort_with_status(rpc_status.to_status(status_from_error(failure)))
    raise AssertionError  # abort_with_status always raises


def status_from_error(error: ServiceError) -> Status:
    """Return the error as `google.rpc.Status`."""
    info = ErrorInfo(
        reason=error.reason,
        domain=error.domain,
        metadata={name: json.dumps(value) for name, value in error.details.items()},
    )
    details = [_pack_detail(info)]
    if error.retry_in is not None:
        details.append(_pack_detail(RetryInfo(retry_delay=duration_from_timedelta(error.retry_in))))
    return Status(code=int(error.code), message=error.message, details=details)


def _pack_detail(message: Message) -> AnyMessage:
    detail = AnyMessage()
    detail.Pack(message)
    return detail


def _identify_caller(peers: PeerVerifier, context: Context) -> Identity:
    metadata = dict(context.invocation_metadata() or ())
    peer = peers.verify(context, _to_text(metadata.get(identity.SERVICE_KEY, "")))
    forwarded = metadata.get(identity.IDENTITY_KEY)
    if forwarded is None:
        return identity.service_identity(peer)
    if peer != IDENTITY_FORWARDER:
        raise PermissionDenied
    return _parse_identity(forwarded)


def _parse_identity(raw: str | bytes) -> Identity:
    try:
        found = identity.from_wire(identity_pb2.Identity.FromString(raw if isinstance(raw, bytes) else raw.encode()))
    except ValueError:  # protobuf's DecodeError is one
        found = None
    if found is None or found.kind is Kind.SERVICE:
        raise Unauthenticated
    return found


def _find_traceparent(context: Context) -> str | None:
    return next((_to_text(value) for key, value in context.invocation_metadata() or () if key == "traceparent"), None)


def _to_text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
