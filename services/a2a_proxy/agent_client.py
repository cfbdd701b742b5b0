"""Sends requests to agents over HTTP: checks addresses when it connects, limits answers, and enforces timeouts."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from functools import lru_cache, partial
from http import HTTPStatus
from socket import AF_UNSPEC, AddressFamily
from typing import Any, Self, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.a2a_proxy.answer_encoding import BODY_HEADERS, drop_body, has_content_coding, may_be_utf_8
from services.a2a_proxy.answer_protocol import AnswerConnector
from services.a2a_proxy.direct_requests import MAX_DIRECT_BYTES, DirectRequests, DirectResponse
from services.a2a_proxy.dispatches import DispatchesInProgress
from services.a2a_proxy.host_resolver import HostResolver
from services.a2a_proxy.model import (
    NO_CREDENTIAL,
    AgentCredential,
    Answer,
    Deadline,
    DispatchFailure,
    Fault,
    Push,
    SendState,
    Stream,
    StreamBroken,
    StreamInterrupted,
    WaitingCaller,
    WorkspaceId,
)
from services.a2a_proxy.outcome import BODYLESS_STATUSES
from services.a2a_proxy.rpc_requests import RpcConnectionError, RpcRequests, RpcResponse
from services.a2a_proxy.timeouts import DispatchTimeout
from services.a2a_proxy.work import WorkTracker
from services.chassis import addresses
from services.chassis.addresses import AddressRules

CONNECT_TIMEOUT_SECONDS = 10.0
"""Seconds until a connection, TLS included, has to be established."""

IDLE_CONNECTION_SECONDS = 3.0
"""Seconds until an unused connection is closed: fewer than in common servers, so none closes as it is used."""

MAX_SINGLE_WRITE_BYTES = 256 * 1024
"""Bytes of the largest body that is written in one piece; a larger one would block the event loop."""

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Bytes of the largest answer that is not a stream, for a caller that waits for it."""

MAX_STORED_ANSWER_BYTES = 10 * 1024 * 1024
"""Bytes of the largest answer that is stored for its caller."""

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of the largest header that an answer may have, and of its status line."""

MAX_HEADERS = 1000
"""Headers that an answer may have."""

MAX_FORWARDED_HEADER_CHARACTERS = 8000
"""Characters of the longest header value that is forwarded; clients refuse longer ones."""

READ_BUFFER_BYTES = 64 * 1024
"""Bytes of a body that are read ahead of the client; aiohttp reads up to twice as many."""

PARSER_LIMITS: Mapping[str, Any] = {
    "read_bufsize": READ_BUFFER_BYTES,
    "max_line_size": MAX_HEADER_BYTES,
    "max_field_size": MAX_HEADER_BYTES,
    "max_headers": MAX_HEADERS,
}

FIRST_ERROR = 300

ANSWER_STATUSES = range(200, 600)
"""The statuses that an answer may have: HTTP defines no others, and those below 200 precede an answer."""

RESPONSE_HEADERS = (
    "content-type",
    "content-encoding",
    "retry-after",
    "etag",
    "cache-control",
    "www-authenticate",
    "a2a-extensions",
    "x-a2a-extensions",
)
"""The headers of an answer that are forwarded to the client."""


MAX_KNOWN_ADDRESSES = 4096
"""Addresses that are kept in their parsed form."""

MAX_DISPATCHES_PER_TARGET = 256
"""Dispatches in progress to one workspace, and to one address."""

ANSWER_RESERVATIONS_BYTES = (16 * 1024, 128 * 1024, 1024 * 1024, 8 * 1024 * 1024, MAX_ANSWER_BYTES)
"""The sizes for which room is reserved while an answer of unknown length grows; for the first it is not needed."""


_Response: TypeAlias = aiohttp.ClientResponse | DirectResponse | RpcResponse


class AnswerForm(Enum):
    """How an answer is returned."""

    MESSAGE = auto()
    """An event stream as a stream, and any other answer whole."""

    WHOLE = auto()
    """Whole, whatever its type."""

    FILE = auto()
    """With the status 200 as a stream without a limit on its size, otherwise whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A request to an agent; `idle` and `deadline` limit the wait for its answer.

    `waiting` is the caller that waits for the answer, if there is one. If the dispatch `ends_with_caller`, its end is
    that of the dispatch, also before the answer begins.
    """

    target: WorkspaceId
    push: Push
    body: bytes
    headers: Mapping[str, str]
    idle: timedelta
    deadline: Deadline | None
    waiting: WaitingCaller | None = None
    ends_with_caller: bool = False
    inbound_secret: str | None = field(default=None, repr=False)
    """Sent as the bearer, to the address of this dispatch only."""
    credential: AgentCredential = NO_CREDENTIAL
    """What the card of the agent requires, sent to the same address; it replaces the bearer if it has one."""
    method: str = "POST"
    rpc: str = ""
    """The operation for an agent of gRPC; `body` has its params."""
    source: AsyncIterable[bytes] | None = None
    """Sent instead of `body`, piece by piece; an error that it raises breaks the request off."""
    answer_form: AnswerForm = AnswerForm.MESSAGE
    answer_headers: Sequence[str] = RESPONSE_HEADERS
    """The headers of the answer that are returned."""
    max_answer_bytes: int = MAX_ANSWER_BYTES
    """Bytes of the largest answer that is read whole."""
    heartbeats_restart_idle: bool = True
    """A sign of life restarts the idle timeout; otherwise only bytes do."""


class AgentClient:
    """Sends requests to agents. It follows no redirects, and ignores cookies and the proxy variables."""

    def __init__(
        self,
        *,
        rules: AddressRules,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        max_dispatches_per_target: int = MAX_DISPATCHES_PER_TARGET,
        resolver: AbstractResolver | None = None,
        work: WorkTracker | None = None,
    ) -> None:
        """`resolver` resolves names instead of `HostResolver`; `work` counts the dispatches as work."""
        self._resolver = resolver
        self._rules = rules
        self._may_be_resolved = lru_cache(MAX_KNOWN_ADDRESSES)(partial(_may_be_resolved, rules=rules))
        self._connect_seconds = connect_timeout_seconds
        self._connect_timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_seconds)
        self._sessions = AsyncExitStack()
        self.dispatches = DispatchesInProgress(max_per_target=max_dispatches_per_target, work=work or WorkTracker())
        self._trusted: _Pool
        self._checked: _Pool

    async def __aenter__(self) -> Self:
        """Open two pools, so that no message to a checked address uses a connection to a trusted one."""
        resolver = self._resolver or HostResolver()
        self._sessions.push_async_callback(resolver.close)
        checking = CheckingResolver(self._rules, resolver)
        self._trusted = await self._sessions.enter_async_context(self._open_pool(resolver, use_cache=True))
        self._checked = await self._sessions.enter_async_context(self._open_pool(checking, use_cache=False))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._sessions.aclose()

    async def send(
        self, dispatch: Dispatch, get_hearing_start: Callable[[], float | None]
    ) -> Answer | Stream | DispatchFailure:
        """Send a message and return the agent's answer, or why there is none.

        `get_hearing_start` says since when signs of life of the target are heard (`DispatchTimeout`).
        """
        failure = self._find_refusal(dispatch)
        if failure is not None:
            return failure
        dispatch_timeout = DispatchTimeout(
            dispatch.idle,
            dispatch.deadline,
            get_hearing_start,
            hears_signs_of_life=dispatch.heartbeats_restart_idle,
        )
        self._begin(dispatch, dispatch_timeout)
        result: Answer | Stream | DispatchFailure | None = None
        try:
            result = await self._request(dispatch, dispatch_timeout)
        finally:
            if dispatch.waiting is not None and dispatch.ends_with_caller:
                dispatch.waiting.remove_listener(dispatch_timeout.end_for_caller)
            if not isinstance(result, Stream):
                self._end(dispatch, dispatch_timeout)
        return result

    def _find_refusal(self, dispatch: Dispatch) -> DispatchFailure | None:
        """Return why a dispatch may not begin."""
        push, deadline, waiting = dispatch.push, dispatch.deadline, dispatch.waiting
        if not push.trusted and not self._may_be_resolved(push.address):
            return DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT)
        if deadline is not None and asyncio.get_running_loop().time() >= deadline.at:
            return DispatchFailure(Fault.DEADLINE_EXCEEDED, SendState.NOT_SENT, deadline.allowed)
        if dispatch.ends_with_caller and waiting is not None and waiting.has_left:
            return DispatchFailure(Fault.CALLER_LEFT, SendState.NOT_SENT)
        if not self.dispatches.has_room(dispatch.target, push.address):
            return DispatchFailure(Fault.TARGET_FULL, SendState.NOT_SENT)
        return None

    def _begin(self, dispatch: Dispatch, dispatch_timeout: DispatchTimeout) -> None:
        self.dispatches.add(dispatch.target, dispatch.push.address, dispatch_timeout)
        if dispatch.waiting is not None:
            dispatch.waiting.is_sent = True
            if dispatch.ends_with_caller:
                dispatch.waiting.add_listener(dispatch_timeout.end_for_caller)

    def _end(self, dispatch: Dispatch, dispatch_timeout: DispatchTimeout) -> None:
        self.dispatches.remove(dispatch.target, dispatch.push.address, dispatch_timeout)

    async def _request(
        self, dispatch: Dispatch, dispatch_timeout: DispatchTimeout
    ) -> Answer | Stream | DispatchFailure:
        try:
            with dispatch_timeout:
                response = await self._request_answer(dispatch, dispatch_timeout)
        except TimeoutError:
            return dispatch_timeout.expired or DispatchFailure(Fault.CONNECT_FAILED, SendState.NOT_SENT)
        except (ForbiddenHostError, ValueError, aiohttp.ClientError, OSError) as error:
            return _describe_failure(error)
        if response.status not in ANSWER_STATUSES:
            response.close()
            return DispatchFailure(Fault.INVALID_STATUS, SendState.UNKNOWN)
        if dispatch.answer_form is AnswerForm.MESSAGE:
            return await self._receive_message(dispatch, response, dispatch_timeout)
        if dispatch.answer_form is AnswerForm.FILE and response.status == HTTPStatus.OK:
            return self._receive_stream(dispatch, response, dispatch_timeout)
        return await _read_answer(response, dispatch_timeout, dispatch)

    async def _receive_message(
        self, dispatch: Dispatch, response: _Response, dispatch_timeout: DispatchTimeout
    ) -> Answer | Stream | DispatchFailure:
        """Return an answer that the plane can read; of an error in another encoding only the status."""
        has_coding = has_content_coding(response.status, response.headers)
        if has_coding and response.status < FIRST_ERROR:
            response.close()
            return DispatchFailure(Fault.ENCODED, SendState.UNKNOWN)
        if _is_event_stream(response) and not has_coding:
            return self._receive_stream(dispatch, response, dispatch_timeout)
        answer = await _read_answer(response, dispatch_timeout, dispatch)
        if isinstance(answer, DispatchFailure) or (may_be_utf_8(answer.body) and not has_coding):
            return answer
        is_error = answer.status >= FIRST_ERROR
        return drop_body(answer) if is_error else DispatchFailure(Fault.ENCODED, SendState.UNKNOWN)

    def _receive_stream(self, dispatch: Dispatch, response: _Response, dispatch_timeout: DispatchTimeout) -> Stream:
        return Stream(
            status=response.status,
            headers=_select_headers(response, dispatch.answer_headers),
            chunks=self._read_stream(dispatch, response, dispatch_timeout),
        )

    async def _request_answer(self, dispatch: Dispatch, dispatch_timeout: DispatchTimeout) -> _Response:
        """Send the request and return the answer once its head has arrived."""
        pool = self._trusted if dispatch.push.trusted else self._checked
        headers, url = dispatch.headers, _parse_url(dispatch.push.address)
        if dispatch.inbound_secret is not None:
            headers = {**headers, "authorization": f"Bearer {dispatch.inbound_secret}"}
        if dispatch.credential.headers:
            headers = {**headers, **dict(dispatch.credential.headers)}
        if dispatch.credential.query and not dispatch.rpc:
            url = _add_query(dispatch.push.address, dispatch.credential.query)
        if dispatch.rpc:
            return await pool.rpcs.call(url, dispatch.rpc, headers, dispatch.body)
        if dispatch.method == "POST" and dispatch.source is None and len(dispatch.body) <= MAX_DIRECT_BYTES:
            return await pool.direct.post(url, headers, dispatch.body)
        return await pool.session.request(
            dispatch.method,
            url,
            data=_prepare_body(dispatch, dispatch_timeout),
            headers=headers,
            allow_redirects=False,
        )

    async def _read_stream(
        self, dispatch: Dispatch, response: _Response, dispatch_timeout: DispatchTimeout
    ) -> AsyncGenerator[bytes, None]:
        """Yield the stream as it arrives; the connection is closed when the reader stops."""
        try:
            dispatch_timeout.restart_idle()
            while chunk := await _read_chunk(response, dispatch_timeout):
                yield chunk
                dispatch_timeout.restart_idle()  # the agent has to wait while the client reads
        except TimeoutError:
            raise StreamInterrupted from None
        except (aiohttp.ClientError, OSError):
            raise StreamBroken from None
        finally:
            response.close()
            self._end(dispatch, dispatch_timeout)

    @asynccontextmanager
    async def _open_pool(self, resolver: AbstractResolver, *, use_cache: bool) -> AsyncGenerator["_Pool", None]:
        connector = AnswerConnector(
            resolver=resolver, limit=0, keepalive_timeout=IDLE_CONNECTION_SECONDS, use_dns_cache=use_cache
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=self._connect_timeout,
            trust_env=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            **PARSER_LIMITS,
        ) as session:
            rpcs = RpcRequests(resolver, connect_seconds=self._connect_seconds, max_answer_bytes=MAX_ANSWER_BYTES)
            yield _Pool(session, DirectRequests(session, **PARSER_LIMITS), rpcs)


@dataclass(frozen=True, slots=True)
class _Pool:
    """A pool of connections, and the two ways to send a request over them; and requests by gRPC to the same hosts."""

    session: aiohttp.ClientSession
    direct: DirectRequests
    rpcs: RpcRequests


class ForbiddenHostError(Exception):
    """The host resolves to an address that the rules refuse."""


class CheckingResolver(AbstractResolver):
    """Resolves hosts and checks every address; the client then connects to these addresses and resolves no more."""

    def __init__(self, rules: AddressRules, resolver: AbstractResolver) -> None:
        self._rules = rules
        self._may_be_resolved = lru_cache(MAX_KNOWN_ADDRESSES)(partial(_may_be_resolved, rules=rules))
        self._resolver = resolver

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of `host`; raises `ForbiddenHostError`."""
        found = await self._resolver.resolve(host, port, family)
        if addresses.find_address_refusal([entry["host"] for entry in found], self._rules) is not None:
            raise ForbiddenHostError(host)
        return found

    async def close(self) -> None:
        """Leave the wrapped resolver open: the client closes it."""


def _prepare_body(dispatch: Dispatch, dispatch_timeout: DispatchTimeout) -> bytes | io.BytesIO | AsyncIterable[bytes]:
    """Return the body in the form in which the HTTP client writes it without blocking the event loop."""
    if dispatch.source is not None:
        return _pass_on(dispatch.source, dispatch_timeout)
    body = dispatch.body
    return body if len(body) <= MAX_SINGLE_WRITE_BYTES else io.BytesIO(body)


async def _pass_on(body: AsyncIterable[bytes], dispatch_timeout: DispatchTimeout) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a body. The idle timeout restarts whenever the agent has taken one or another has come."""
    async for piece in body:
        dispatch_timeout.restart_idle()
        yield piece
        dispatch_timeout.restart_idle()


async def _read_answer(
    response: _Response, dispatch_timeout: DispatchTimeout, dispatch: Dispatch
) -> Answer | DispatchFailure:
    """Read the whole body, up to the limit. While there is no room for a large one, the agent has to wait."""
    waiting = dispatch.waiting
    body = bytearray()
    reserved = ANSWER_RESERVATIONS_BYTES[0]
    try:
        while chunk := await _read_chunk(response, dispatch_timeout):
            body += chunk
            if len(body) > dispatch.max_answer_bytes:
                return DispatchFailure(Fault.TOO_LARGE, SendState.UNKNOWN, size=dispatch.max_answer_bytes)
            if len(body) > reserved and waiting is not None:
                reserved = _choose_reservation(len(body), response.content_length)
                await waiting.reserve_answer(reserved)
                dispatch_timeout.restart_idle()
    except TimeoutError:
        return dispatch_timeout.expired or _UNREADABLE
    except (aiohttp.ClientError, OSError):
        return _UNREADABLE
    finally:
        if not response.content.at_eof():
            response.close()
    if response.status in BODYLESS_STATUSES:
        body.clear()
    return Answer(status=response.status, headers=_select_headers(response, dispatch.answer_headers), body=bytes(body))


def _choose_reservation(received: int, length: int | None) -> int:
    """Return the bytes to reserve for an answer: its length, or for an unknown one the next larger step."""
    if length is not None and received <= length <= MAX_ANSWER_BYTES:
        return length
    return next(size for size in ANSWER_RESERVATIONS_BYTES if size >= received)


async def _read_chunk(response: _Response, dispatch_timeout: DispatchTimeout) -> bytes:
    """Read the next chunk of a body; returns an empty one at its end."""
    content = response.content
    if content.is_eof():
        return content.read_nowait()
    with dispatch_timeout:
        chunk = await content.readany()
    dispatch_timeout.restart_idle()
    return chunk


def _select_headers(response: _Response, names: Sequence[str]) -> dict[str, str]:
    """Return the headers with these names; of a repeated header the first value, and none that HTTP cannot carry."""
    found = response.headers
    selected = {name: found[name] for name in names if name in found}
    if response.status in BODYLESS_STATUSES:
        selected = {name: value for name, value in selected.items() if name not in BODY_HEADERS}
    return {name: value for name, value in selected.items() if _is_forwardable(value)}


def _is_forwardable(value: str) -> bool:
    """Whether a header value is printable ASCII of moderate length."""
    return value.isascii() and value.isprintable() and len(value) <= MAX_FORWARDED_HEADER_CHARACTERS


def _is_event_stream(response: _Response) -> bool:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "text/event-stream" and response.status not in BODYLESS_STATUSES


@lru_cache(MAX_KNOWN_ADDRESSES)
def _parse_url(address: str) -> URL:
    return URL(address, encoded=True)


def _add_query(address: str, query: str) -> URL:
    """Return an address with a credential in its query. It is not cached."""
    return URL(f"{address}{'&' if '?' in address else '?'}{query}", encoded=True)


def _may_be_resolved(address: str, rules: AddressRules) -> bool:
    """Whether the address is a URL whose host may be resolved. An IP address is checked here: it is not resolved."""
    endpoint = addresses.parse_endpoint(address)
    if (
        endpoint is None or endpoint.host != (_parse_url(address).raw_host or "").lower()
    ):  # what is checked is what is connected to
        return False
    return not addresses.is_ip_address(endpoint.host) or addresses.find_ip_refusal(endpoint.host, rules) is None


def _describe_failure(error: Exception) -> DispatchFailure:
    """Return what an error of the HTTP client means."""
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ClientSSLError() | RpcConnectionError():
            return DispatchFailure(Fault.CONNECT_FAILED, SendState.NOT_SENT)
        case ForbiddenHostError() | ValueError():
            return DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT)
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return _UNREADABLE
        case _:
            return DispatchFailure(Fault.RESET, SendState.UNKNOWN)


_UNREADABLE = DispatchFailure(Fault.UNREADABLE, SendState.UNKNOWN)
