"""Dialling: one line to a service, spoken over in one service's name."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services.chassis import identity, telemetry
from services.chassis.errors import ERRORS_BY_CODE, InternalError, ServiceError, Unavailable
from services.chassis.identity import Identity
from services.chassis.settings import Tls

Request = TypeVar("Request")
Response = TypeVar("Response")

CALL_TIMEOUT = timedelta(seconds=5)
"""How long an answer may take where the caller does not say."""

FAIL_FAST_TIMEOUT = timedelta(seconds=1)
"""How long an answer may take from a service that was just away for longer than that."""

FIRST_RETRY_SECONDS = 0.02
"""Seconds before the first retry; each further one waits twice as long."""

MAX_RETRY_SECONDS = 0.5
"""Seconds that a retry waits at most: a service that was restarted is found within this."""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Bytes of the largest message: an A2A body of 10 MiB and what travels with it."""

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
)


class ServiceChannel:
    """A channel to one service, and the name to speak in."""

    def __init__(self, channel: grpc.aio.Channel, speaker: str) -> None:
        self.channel = channel
        self._speaker = speaker
        self._is_unreachable = False

    async def call(
        self,
        method: Callable[..., Any],
        request: Any,  # noqa: ANN401 - the stubs type it
        *,
        on_behalf_of: Identity | None = None,
        timeout: timedelta = CALL_TIMEOUT,  # noqa: ASYNC109 - the deadline of the call, which gRPC keeps
    ) -> Any:  # noqa: ANN401 - the stubs type it
        """The answer to `request`; raises the `ServiceError` that the other side raised.

        A service that cannot be reached is asked again until the time is up: every RPC of the plane either is
        idempotent or carries a request id. One that says why it cannot help now has answered. Once somebody has
        waited for the usual time in vain, each asks once, until one is answered.
        """
        allowed = FAIL_FAST_TIMEOUT if self._is_unreachable and timeout <= CALL_TIMEOUT else timeout
        deadline = asyncio.get_running_loop().time() + allowed.total_seconds()
        delay = FIRST_RETRY_SECONDS
        while True:
            left = deadline - asyncio.get_running_loop().time()
            try:
                answer = await method(request, timeout=max(left, 0.001), metadata=self.metadata(on_behalf_of))
            except grpc.aio.AioRpcError as error:
                fault = _error_from_rpc(error)
            else:
                self._is_unreachable = False
                return answer
            if fault.reason != Unavailable.reason:
                self._is_unreachable = False
                raise fault
            if self._is_unreachable or left <= delay:
                self._is_unreachable = self._is_unreachable or timeout >= CALL_TIMEOUT
                raise fault
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreading retries is no secret
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def watch(self, method: Callable[..., Any], request: Any) -> AsyncGenerator[Any, None]:  # noqa: ANN401
        """What a feed tells, until it breaks: then a `ServiceError`, and the caller comes back."""
        call = method(request, metadata=self.metadata(None))
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise _error_from_rpc(error) from None
        finally:
            call.cancel()

    def metadata(self, on_behalf_of: Identity | None) -> tuple[tuple[str, str | bytes], ...]:
        """What goes with a call: who speaks, for whom, and in which trace."""
        said: list[tuple[str, str | bytes]] = [(identity.SERVICE_KEY, self._speaker)]
        if on_behalf_of is not None:
            said.append((identity.IDENTITY_KEY, identity.to_wire(on_behalf_of).SerializeToString()))
        if parent := telemetry.traceparent():
            said.append(("traceparent", parent))
        return tuple(said)


@asynccontextmanager
async def open_channel(targets: str, *, speaker: str, tls: Tls | None = None) -> AsyncIterator[ServiceChannel]:
    """A line to `targets`: a Unix socket, or `host:port`, or several `address:port` joined by commas.

    Dialling never waits: the first question finds out whether anybody is there.
    """
    where = _target(targets)
    if tls is None:
        channel = grpc.aio.insecure_channel(where, options=CHANNEL_OPTIONS)
    else:
        channel = grpc.aio.secure_channel(where, _credentials(tls), options=CHANNEL_OPTIONS)
    async with channel:
        yield ServiceChannel(channel, speaker)


def _target(targets: str) -> str:
    """The target as gRPC writes it. A name stands for all its addresses."""
    if targets.startswith("unix:"):
        return targets
    if "," in targets:
        return "ipv4:" + ",".join(part.strip() for part in targets.split(","))
    return f"dns:///{targets}"


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca.read_bytes(),
        private_key=tls.key.read_bytes(),
        certificate_chain=tls.cert.read_bytes(),
    )


def _error_from_rpc(error: grpc.aio.AioRpcError) -> ServiceError:
    """The error as the other side raised it; one that gRPC itself made keeps its code and loses its text."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type, unused-ignore]
    if status is None:
        # No answer in time means the same to a caller as nobody there: try again.
        silent = error.code() in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED,
        }
        return Unavailable(retry_in=timedelta(seconds=5)) if silent else InternalError()
    return error_from_status(status)


def error_from_status(status: Status) -> ServiceError:
    """The error that travelled as `status`."""
    info, retry = ErrorInfo(), RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    details = {name: json.loads(text) for name, text in info.metadata.items()}
    retry_in = retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
    fault = ERRORS_BY_CODE.get(status.code, InternalError)(status.message, details=details, retry_in=retry_in)
    fault.reason, fault.domain = info.reason, info.domain
    return fault
