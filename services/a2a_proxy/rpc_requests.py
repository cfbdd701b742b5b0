"""Sends requests to agents that offer gRPC only, and returns their answers as those of agents of HTTP+JSON."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from socket import AF_UNSPEC
from typing import Any

import aiohttp
import grpc
from a2a.types import a2a_pb2
from aiohttp.abc import AbstractResolver
from google.protobuf import message_factory
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError, SerializeToJsonError
from google.protobuf.message import DecodeError, EncodeError, Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from yarl import URL

from molecule_a2a.error_objects import ERROR_INFO
from protos.message_json import render_message
from services.chassis import strict_json
from services.chassis.addresses import is_ip_address
from services.chassis.large_bodies import run_by_size

SERVICE = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]

MAX_METADATA_BYTES = 16 * 1024

LEFT_OUT_HEADERS = frozenset(
    {"accept", "accept-encoding", "content-type", "content-length", "host", "te", "user-agent"}
)
"""Headers of a request by HTTP that mean nothing in gRPC, or that gRPC sends itself."""

STATUS_DETAILS = "grpc-status-details-bin"

HTTP_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""The HTTP status that an agent's code stands for; 500 for any other."""

LOCAL_CODES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED})
"""The codes that this side gives to an RPC whose connection breaks, or whose answer is too large."""

EMPTY_LIST = {"tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0}
"""The members of a list of tasks, which ProtoJSON leaves out where they are empty, and 1.0 requires."""

INVALID_PARAMS_TEXT = "invalid params: they do not have the form of A2A 1.0"
INVALID_ANSWER_REASON = "INVALID_AGENT_RESPONSE"
INVALID_ANSWER_TEXT = "the agent's answer does not have the form of A2A 1.0"


class RpcConnectionError(OSError):
    """There is no connection to the agent, so nothing was sent."""


class RpcResponse:
    """The answer to one RPC, with what the client of HTTP reads of a response."""

    content_length = None

    def __init__(self, status: int, headers: Mapping[str, str], content: "WholeContent | EventContent") -> None:
        self.status = status
        self.headers = headers
        self.content = content

    def close(self) -> None:
        """End the RPC, unless its answer was complete."""
        self.content.close()


class WholeContent:
    """A body that is complete."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def is_eof(self) -> bool:
        """Whether everything has arrived."""
        return True

    def at_eof(self) -> bool:
        """Whether everything is read."""
        return not self._body

    def read_nowait(self) -> bytes:
        """Return what is left."""
        body, self._body = self._body, b""
        return body

    async def readany(self) -> bytes:
        """Return what is left."""
        return self.read_nowait()

    def close(self) -> None:
        """Do nothing: the RPC is over."""


class EventContent:
    """The messages of a stream as server-sent events."""

    def __init__(self, rpc: "_Rpc", first: bytes) -> None:
        self._rpc = rpc
        self._waiting = first
        self._is_over = False

    def is_eof(self) -> bool:
        """Whether everything has arrived."""
        return self._is_over

    def at_eof(self) -> bool:
        """Whether everything is read."""
        return self._is_over and not self._waiting

    def read_nowait(self) -> bytes:
        """Return what has arrived."""
        waiting, self._waiting = self._waiting, b""
        return waiting

    async def readany(self) -> bytes:
        """Return the next event; empty at the end. Raises `OSError` if the connection breaks."""
        if self._waiting:
            return self.read_nowait()
        try:
            event = await self._rpc.read()
        except _Refused as refused:
            self.close()
            return b"event: error\ndata: " + refused.body + b"\n\n"
        if event is None:
            self.close()
            return b""
        return _render_event(event)

    def close(self) -> None:
        """End the RPC."""
        self._is_over = True
        self._rpc.close()


class RpcRequests:
    """Sends requests by gRPC. Each has a connection of its own, to an address that the resolver has returned."""

    def __init__(self, resolver: AbstractResolver, *, connect_seconds: float, max_answer_bytes: int) -> None:
        """`resolver` raises for a host that may not be requested. An IP address is not resolved."""
        self._resolver = resolver
        self._connect_seconds = connect_seconds
        self._max_answer_bytes = max_answer_bytes

    async def call(self, url: URL, operation: str, headers: Mapping[str, str], params: bytes) -> RpcResponse:
        """Send the params of an operation as JSON, and return the answer once it begins; raises `OSError`.

        Raises what the resolver raises, `TimeoutError` if there is no connection in time, and `aiohttp.ClientError`
        for an answer that is too large.
        """
        method = SERVICE.methods_by_name[operation]
        try:
            request = message_factory.GetMessageClass(method.input_type)()
            ParseDict(strict_json.parse(params), request, ignore_unknown_fields=True)
            body = request.SerializeToString()
        except _BAD_FORM:
            return _build_error_response(
                400, _render_error(400, "INVALID_ARGUMENT", text=INVALID_PARAMS_TEXT, reason="INVALID_PARAMS")
            )
        rpc = _Rpc(message_factory.GetMessageClass(method.output_type), self._max_answer_bytes)
        try:
            await rpc.open(await self._find_target(url), url, connect_seconds=self._connect_seconds)
            rpc.begin(f"/{SERVICE.full_name}/{operation}", _build_metadata(headers), body)
            first = await rpc.read()
            if not method.server_streaming:
                first = await rpc.read_end(first)
            extensions = await rpc.find_extensions()
        except _Refused as refused:
            rpc.close()
            return _build_error_response(refused.http, refused.body)
        except BaseException:
            rpc.close()
            raise
        if not method.server_streaming:
            rpc.close()
            whole = {"content-type": "application/json", **extensions}
            return RpcResponse(HTTPStatus.OK, whole, WholeContent(first or b""))
        streamed = {"content-type": "text/event-stream", **extensions}
        return RpcResponse(HTTPStatus.OK, streamed, EventContent(rpc, b"" if first is None else _render_event(first)))

    async def _find_target(self, url: URL) -> str:
        """Return the IP addresses to connect to, in the form of gRPC."""
        host, port = url.raw_host or "", url.port or 80
        found = [host]
        if not is_ip_address(host):
            found = [entry["host"] for entry in await self._resolver.resolve(host, port, AF_UNSPEC)]
        is_v6 = ":" in found[0]
        same = [one for one in found if (":" in one) is is_v6]
        return (
            "ipv6:" + ",".join(f"[{one}]:{port}" for one in same)
            if is_v6
            else "ipv4:" + ",".join(f"{one}:{port}" for one in same)
        )


class _Refused(Exception):
    """The agent ends an RPC with an error, or its answer has another form."""

    def __init__(self, http: int, body: bytes) -> None:
        super().__init__()
        self.http = http
        self.body = body


class _Rpc:
    """One RPC and its connection."""

    def __init__(self, answer: type[Message], max_answer_bytes: int) -> None:
        self._answer = answer
        self._max_answer_bytes = max_answer_bytes
        self._channel: Any = None
        self._call: Any = None

    async def open(self, target: str, url: URL, *, connect_seconds: float) -> None:
        """Connect; raises `RpcConnectionError` or `TimeoutError`."""
        options = [
            ("grpc.default_authority", url.raw_authority),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", self._max_answer_bytes),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ]
        if url.scheme == "https":
            options.append(("grpc.ssl_target_name_override", url.raw_host or ""))
            self._channel = grpc.aio.secure_channel(target, _load_credentials(), options=options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        async with asyncio.timeout(connect_seconds):
            state = self._channel.get_state(try_to_connect=True)
            while state is not grpc.ChannelConnectivity.READY:
                if state in {grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN}:
                    raise RpcConnectionError
                await self._channel.wait_for_state_change(state)
                state = self._channel.get_state()

    def begin(self, path: str, metadata: list[tuple[str, str]], body: bytes) -> None:
        """Send the request. Both kinds of methods are called alike."""
        self._call = self._channel.unary_stream(path)(body, metadata=metadata)

    async def read(self) -> bytes | None:
        """Return the next message as JSON; `None` at the end. Raises `_Refused`, or `OSError` without a connection."""
        try:
            message = await self._call.read()
            if message is not grpc.aio.EOF:
                return await run_by_size(len(message), _render, message, self._answer)
            code = await self._call.code()
        except grpc.aio.AioRpcError as error:
            raise _describe(error) from None
        except _BAD_FORM:
            raise _Refused(
                500, _render_error(500, "INTERNAL", text=INVALID_ANSWER_TEXT, reason=INVALID_ANSWER_REASON)
            ) from None
        if code is not grpc.StatusCode.OK:
            raise RpcConnectionError
        return None

    async def read_end(self, only: bytes | None) -> bytes:
        """Return the only message of an RPC that succeeded; raises like `read`."""
        if only is None or await self.read() is not None:
            raise _Refused(500, _render_error(500, "INTERNAL", text=INVALID_ANSWER_TEXT, reason=INVALID_ANSWER_REASON))
        return only

    async def find_extensions(self) -> dict[str, str]:
        """Return the header about the extensions that the agent has activated."""
        found = [value for name, value in await self._call.initial_metadata() if name == "a2a-extensions"]
        return {"a2a-extensions": found[0]} if found and isinstance(found[0], str) else {}

    def close(self) -> None:
        """End the RPC. The connection ends with its channel, which nothing else uses."""
        if self._call is not None:
            self._call.cancel()
        self._channel = self._call = None


@cache
def _load_credentials() -> grpc.ChannelCredentials:
    """Return credentials that trust the authorities of this machine, like the client of HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    authorities = context.get_ca_certs(binary_form=True)
    return grpc.ssl_channel_credentials("".join(map(ssl.DER_cert_to_PEM_cert, authorities)).encode() or None)


_BAD_FORM = (
    *(ParseError, SerializeToJsonError, DecodeError, EncodeError),
    *(ValueError, TypeError, AttributeError, RecursionError),
)


def _build_metadata(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (name.lower(), value)
        for name, value in headers.items()
        if name.lower() not in LEFT_OUT_HEADERS and value.isascii() and value.isprintable()
    ]


def _describe(error: grpc.aio.AioRpcError) -> Exception:
    """Return what an RPC that failed means."""
    code, trailing = error.code(), dict(error.trailing_metadata() or ())
    details = trailing.get(STATUS_DETAILS)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or ""):
        return aiohttp.ClientPayloadError("the answer is too large")
    if code in LOCAL_CODES and details is None:
        return ConnectionResetError()
    http = HTTP_STATUSES.get(code, 500)
    return _Refused(http, _render_error(http, code.name, text=error.details() or "", details=_read_details(details)))


def _read_details(details: object) -> list[dict[str, Any]]:
    """Return the reason in the details of an agent's error."""
    try:
        status = Status.FromString(details if isinstance(details, bytes) else b"")
        infos = [error_details_pb2.ErrorInfo() for _ in status.details]
        return [
            {"@type": ERROR_INFO, **MessageToDict(info)}
            for info, packed in zip(infos, status.details, strict=True)
            if packed.Unpack(info)
        ]
    except _BAD_FORM:
        return []


def _render_error(
    http: int, status: str, *, text: str, reason: str = "", details: list[dict[str, Any]] | None = None
) -> bytes:
    """Return the body of an error of HTTP+JSON."""
    own = [{"@type": ERROR_INFO, "reason": reason, "domain": "a2a-protocol.org"}] if reason else []
    error = {"code": http, "status": status, "message": text, "details": [*own, *(details or [])]}
    return strict_json.dump({"error": error})


def _build_error_response(http: int, body: bytes) -> RpcResponse:
    return RpcResponse(http, {"content-type": "application/json"}, WholeContent(body))


def _render(message: bytes, form: type[Message]) -> bytes:
    """Return a serialised message as JSON, with the empty members that 1.0 requires."""
    empty = EMPTY_LIST if form is a2a_pb2.ListTasksResponse else {}
    rendered = render_message(
        form.FromString(message),
        max_values=strict_json.MAX_JSON_VALUES,
        write_number=strict_json.drop_zero_fraction,
    )
    return strict_json.dump({**empty, **rendered})


def _render_event(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"
