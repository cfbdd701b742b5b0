"""The client side of calls between services: channels, retries, deadlines and errors."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import structlog
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services.chassis import identity, telemetry
from services.chassis.backoff import Backoff
from services.chassis.certificates import build_server_name
from services.chassis.errors import ERRORS_BY_CODE, InternalError, ServiceError, Unavailable
from services.chassis.identity import Identity
from services.chassis.settings import Tls
from services.chassis.timestamps import timedelta_from_duration

StubMethod = Callable[..., Any]
"""A method of a generated gRPC stub; the generated code gives each its precise type."""

CALL_TIMEOUT = timedelta(seconds=5)
"""Time for a call, retries included, unless the caller sets another."""

FAIL_FAST_TIMEOUT = timedelta(seconds=1)
"""Time for a call to a service that did not answer within CALL_TIMEOUT before."""

DEADLINE_GRACE_SECONDS = 0.5
"""Seconds after its deadline at which an RPC is given up that gRPC has not ended."""

RETRY_BACKOFF = Backoff(timedelta(milliseconds=20), timedelta(milliseconds=500))
"""Delay between the attempts of a call; its maximum bounds how late a restarted service is noticed."""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Bytes of the largest gRPC message: an A2A body of 10 MiB and its metadata."""

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)


TRANSIENT_CODES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
"""Codes of gRPC itself after which to try again: to the caller, a timeout means the same as a failed connection."""

UNEXPECTED_CERTIFICATE = "Hostname Verification Check failed"
"""Part of gRPC's message about a certificate that does not name the expected service."""

log = structlog.get_logger()


class ServiceChannel:
    """A gRPC channel to one service, and the names of that service and of the one that calls."""

    def __init__(self, channel: grpc.aio.Channel, caller_service: str, service: str = "") -> None:
        self.channel = channel
        self._caller_service = caller_service
        self._service = service
        self._has_logged_refusal = False
        self._is_unreachable = False

    async def call(
        self,
        method: StubMethod,
        request: Any,  # noqa: ANN401 - the stubs type it
        *,
        on_behalf_of: Identity | None = None,
        timeout: timedelta = CALL_TIMEOUT,  # noqa: ASYNC109 - the deadline of the call, which gRPC keeps
    ) -> Any:  # noqa: ANN401 - the stubs type it
        """Return the answer to `request`; raises the `ServiceError` that the service raised.

        An unreachable service is retried until the timeout: every RPC is idempotent or carries a request id. An error
        with a reason of its own is not retried. After a call has timed out, later calls try once and fail fast until
        one succeeds.
        """
        allowed = FAIL_FAST_TIMEOUT if self._is_unreachable and timeout <= CALL_TIMEOUT else timeout
        deadline = asyncio.get_running_loop().time() + allowed.total_seconds()
        failures = 0
        while True:
            left = deadline - asyncio.get_running_loop().time()
            try:
                answer = await self.call_once(method, request, seconds=left, on_behalf_of=on_behalf_of)
            except grpc.aio.AioRpcError as error:
                failure = self._translate(error)
            except TimeoutError:
                failure = Unavailable(retry_in=timedelta(seconds=5))
            else:
                self._is_unreachable = False
                return answer
            if failure.reason != Unavailable.reason:
                self._is_unreachable = False
                raise failure
            failures += 1
            if self._is_unreachable or left <= RETRY_BACKOFF.delay(failures).total_seconds():
                self._is_unreachable = self._is_unreachable or timeout >= CALL_TIMEOUT
                raise failure
            await asyncio.sleep(RETRY_BACKOFF.delay(failures, random.random()).total_seconds())  # noqa: S311 - no secret

    async def call_once(
        self,
        method: StubMethod,
        request: Any,  # noqa: ANN401 - the stubs type it
        *,
        seconds: float,
        on_behalf_of: Identity | None = None,
    ) -> Any:  # noqa: ANN401 - the stubs type it
        """Return the answer to one RPC; raises gRPC's error, and `TimeoutError` for an RPC that gRPC does not end.

        gRPC keeps RPCs open beyond their deadline on a connection whose other side takes nothing any more.
        """
        seconds = max(seconds, 0.001)
        async with asyncio.timeout(seconds + DEADLINE_GRACE_SECONDS):
            return await method(request, timeout=seconds, metadata=self.build_metadata(on_behalf_of))

    async def watch(self, method: StubMethod, request: Any) -> AsyncGenerator[Any, None]:  # noqa: ANN401
        """Yield the messages of a feed; raises `ServiceError` when it breaks."""
        call = method(request, metadata=self.build_metadata(None))
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._translate(error) from None
        finally:
            call.cancel()

    def build_metadata(self, on_behalf_of: Identity | None) -> tuple[tuple[str, str | bytes], ...]:
        """Build the metadata of a call: the calling service, the forwarded identity, and the trace."""
        entries: list[tuple[str, str | bytes]] = [(identity.SERVICE_KEY, self._caller_service)]
        if on_behalf_of is not None:
            entries.append((identity.IDENTITY_KEY, identity.to_wire(on_behalf_of).SerializeToString()))
        if parent := telemetry.current_traceparent():
            entries.append(("traceparent", parent))
        return tuple(entries)

    def _translate(self, error: grpc.aio.AioRpcError) -> ServiceError:
        """Return the error for the caller. A certificate of another service is logged once, because retries hide it."""
        if UNEXPECTED_CERTIFICATE in (error.details() or "") and not self._has_logged_refusal:
            self._has_logged_refusal = True
            log.error("certificate of another service refused", service=self._service, hint="molecule certs makes it")
        return _error_from_rpc(error, self._service)


@asynccontextmanager
async def open_channel(
    targets: str, *, caller_service: str, service: str = "", tls: Tls | None = None
) -> AsyncIterator[ServiceChannel]:
    """Open a channel to a Unix socket, to `host:port`, or to several `address:port` separated by commas.

    The connection is established by the first call. With TLS, only a certificate of `service` is accepted.
    """
    target = _build_target(targets)
    if tls is None:
        channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    else:
        expected_name = ("grpc.ssl_target_name_override", build_server_name(service))
        channel = grpc.aio.secure_channel(target, _load_credentials(tls), options=(*CHANNEL_OPTIONS, expected_name))
    async with channel:
        yield ServiceChannel(channel, caller_service, service)


def _build_target(targets: str) -> str:
    """Return the target in gRPC's syntax. A host name stands for all its addresses."""
    if targets.startswith("unix:"):
        return targets
    if "," in targets:
        return "ipv4:" + ",".join(part.strip() for part in targets.split(","))
    return f"dns:///{targets}"


def _load_credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca.read_bytes(),
        private_key=tls.key.read_bytes(),
        certificate_chain=tls.cert.read_bytes(),
    )


def _error_from_rpc(error: grpc.aio.AioRpcError, service: str) -> ServiceError:
    """Return the error that the service raised. An error made by gRPC itself keeps its code only.

    A service has logged its own error; one of gRPC is logged here, unless it is transient.
    """
    status = rpc_status.from_call(error)  # type: ignore[arg-type, unused-ignore]
    if status is not None:
        return error_from_status(status)
    if error.code() in TRANSIENT_CODES:
        return Unavailable(retry_in=timedelta(seconds=5))
    log.error("call failed", service=service, code=error.code().name, details=error.details())
    return InternalError()


def error_from_status(status: Status) -> ServiceError:
    """Return the error that a `google.rpc.Status` carries."""
    info, retry = ErrorInfo(), RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    details = {name: json.loads(text) for name, text in info.metadata.items()}
    retry_in = timedelta_from_duration(retry.retry_delay) if retry.HasField("retry_delay") else None
    failure = ERRORS_BY_CODE.get(status.code, InternalError)(status.message, details=details, retry_in=retry_in)
    failure.reason, failure.domain = info.reason, info.domain
    return failure
