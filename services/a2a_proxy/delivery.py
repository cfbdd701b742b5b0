"""Delivers a message: checks the route, sends or stores the message, and records the activity."""

import os
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never
from uuid import uuid4

import structlog

from services.a2a_proxy import envelope, outcome, routing
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.agent_client import AgentClient, Dispatch
from services.a2a_proxy.clients import ProvisionerClient, RegistryClient
from services.a2a_proxy.errors import AddressRefused, AgentBusy, AgentBusyWithSession, TargetWaking
from services.a2a_proxy.inbound_secrets import InboundSecrets
from services.a2a_proxy.model import (
    Activity,
    Answer,
    Answered,
    AnswerReceipt,
    Busy,
    Deadline,
    DispatchFailure,
    Envelope,
    Failed,
    FailureReceipt,
    IncomingMessage,
    InstanceCondition,
    Outcome,
    Poll,
    Push,
    QueueReceipt,
    Receipt,
    Refusal,
    Route,
    Stream,
    StreamInterrupted,
    SuspectedDead,
)
from services.a2a_proxy.route_cache import RouteCache
from services.chassis import telemetry
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.chassis.large_bodies import run_by_size

log = structlog.get_logger()

MAX_WORKSPACE_CALL_TIMEOUT = timedelta(minutes=30)
"""Longest time that a call from a workspace may take; other callers have no such limit."""

REQUEST_HEADERS = (
    "content-type",
    "accept",
    "a2a-extensions",
    "x-a2a-extensions",
    "last-event-id",
    "traceparent",
    "tracestate",
    "baggage",
)
"""The headers of a message that are forwarded to the agent."""

HOPS_HEADER = "x-molecule-hops"
"""Counts the dispatches of a message. A plane whose agent is a plane, itself included, receives it back."""

STREAM_TAIL_BYTES = 64 * 1024
"""Bytes at the end of a stream in which the activity log looks for the last event."""

MAX_METHOD_LENGTH = 200
"""Characters of a method name that the activity log stores."""


class Delivery:
    """Delivers messages, with one call of `deliver` for each."""

    def __init__(
        self,
        *,
        route_cache: RouteCache,
        agents: AgentClient,
        inbound_secrets: InboundSecrets,
        activity: ActivityLog,
        registry: RegistryClient,
        provisioner: ProvisionerClient,
        clock: Clock,
        idle_timeout: timedelta,
        max_inbox_bytes: int,
    ) -> None:
        """`idle_timeout` applies to agents that declare none, `max_inbox_bytes` to the activity of one that polls."""
        self._route_cache = route_cache
        self._agents = agents
        self._inbound_secrets = inbound_secrets
        self._activity = activity
        self._registry = registry
        self._provisioner = provisioner
        self._clock = clock
        self._idle_timeout = idle_timeout
        self._max_inbox_bytes = max_inbox_bytes

    async def deliver(self, incoming: IncomingMessage) -> Receipt:
        """Deliver one message, with the checks in the order of docs/spec/rest.md, 6.4.

        Raises a `ServiceError` for a message that is refused before it is sent; everything later is a receipt.
        """
        route = routing.check_route(await self._route_cache.find(incoming.target, incoming.caller))
        deadline = _choose_deadline(incoming)
        hops = envelope.parse_hops(incoming.headers.get(HOPS_HEADER, ""))
        message = await run_by_size(
            len(incoming.body),
            envelope.parse,
            incoming.body,
            version=incoming.headers.get("a2a-version", ""),
            entropy=os.urandom(32),
        )
        decision = routing.decide(route)
        if not isinstance(decision, Push):  # the cache may be older than what the caller knows of the target
            route = routing.check_route(await self._route_cache.fetch(incoming.target, incoming.caller))
            decision = routing.decide(route)
        match decision:
            case Poll():
                return await self._enqueue(incoming, message)
            case Refusal(error):
                if isinstance(error, TargetWaking):
                    await self._registry.wake(incoming.target)
                raise error
            case Push() as push:
                dispatch = Dispatch(
                    target=incoming.target,
                    push=push,
                    body=message.body,
                    headers=_build_headers(incoming, message, hops + 1),
                    idle=route.idle_timeout or self._idle_timeout,
                    deadline=deadline,
                    waiting=incoming.waiting,
                    ends_with_caller=message.method in envelope.STREAMING_METHODS,
                    inbound_secret=await self._inbound_secrets.find(route),
                )
                return await self._push(dispatch, _ActivityBuilder(incoming, message, self._clock.now()), route)
            case unknown:
                assert_never(unknown)

    async def _enqueue(self, incoming: IncomingMessage, message: Envelope) -> QueueReceipt:
        """Store a message for an agent that polls; the row is committed before the caller is answered.

        Raises `InboxFull`.
        """
        row = _ActivityBuilder(incoming, message, self._clock.now()).build()
        await self._activity.commit(row, max_usage=self._max_inbox_bytes)
        return QueueReceipt(queue_id=row.id, method=message.method)

    async def _push(self, dispatch: Dispatch, builder: "_ActivityBuilder", route: Route) -> Receipt:
        """Send a message to its agent and record the outcome.

        A message whose address is refused leaves no activity (A2A-15).
        """
        await self._activity.wait_for_room(len(dispatch.body))
        result = await self._send(dispatch, route)
        agent_time = builder.measure_time()
        size = len(result.body) if isinstance(result, Answer) else 0
        match await self._settle(await run_by_size(size, outcome.classify, result), route):
            case Answered(Stream() as stream):
                chunks = self._record_stream(stream, builder)
                return AnswerReceipt(answer=replace(stream, chunks=chunks), agent_time=agent_time)
            case Answered(Answer() as answer):
                row = await run_by_size(size, builder.build_from_answer, answer, agent_time)
                await self._activity.wait_for_room(size)  # large answers: their rows must not fill the memory
                await self._activity.record(row)
                return AnswerReceipt(answer=outcome.hide_foreign_body(answer), agent_time=agent_time)
            case Busy():
                error: ServiceError = AgentBusyWithSession() if route.has_native_session else AgentBusy()
            case Failed(error):
                pass
        if not isinstance(error, AddressRefused):
            await self._activity.record(builder.build_from_error(error, agent_time))
        log.info("message not answered", workspace=dispatch.target, reason=error.reason)
        return FailureReceipt(error=error, agent_time=agent_time)

    async def _send(self, dispatch: Dispatch, route: Route) -> Answer | Stream | DispatchFailure:
        """Send a message, and once more with another secret if the agent refused the one that was cached."""
        result = await self._agents.send(dispatch, self._route_cache.get_hearing_start)
        if not outcome.is_unauthorized(result):
            return result
        secret = await self._inbound_secrets.find_other(route, dispatch.inbound_secret)
        if secret is None:
            return result
        again = replace(dispatch, inbound_secret=secret)
        return await self._agents.send(again, self._route_cache.get_hearing_start)

    async def _settle(self, found: Outcome, route: Route) -> Answered | Busy | Failed:
        """Ask the provisioner whether a suspected instance is alive. It does not know external agents."""
        if not isinstance(found, SuspectedDead):
            return found
        if route.external:
            return outcome.reclassify(found, InstanceCondition.UNKNOWN)
        return outcome.reclassify(found, await self._provisioner.check(route.workspace_id, route.generation))

    async def _record_stream(self, stream: Stream, builder: "_ActivityBuilder") -> AsyncGenerator[bytes, None]:
        """Yield the stream unchanged, and record its last event when it ends or its reader stops."""
        tail, interrupted = b"", False
        try:
            async for chunk in stream.chunks:
                yield chunk
                tail = (tail + chunk)[-STREAM_TAIL_BYTES:]
        except StreamInterrupted:
            interrupted = True
            raise
        finally:
            self._activity.buffer(builder.build_from_stream(stream, tail, interrupted=interrupted))


class _ActivityBuilder:
    """Builds the activity row of one message; it is created when the message is sent or stored."""

    def __init__(self, incoming: IncomingMessage, message: Envelope, created_at: datetime) -> None:
        self._incoming = incoming
        self._message = message
        self._created_at = created_at
        self._started = time.perf_counter()

    def measure_time(self) -> timedelta:
        """Return the time since the message was sent."""
        return timedelta(seconds=time.perf_counter() - self._started)

    def build_from_answer(self, answer: Answer, agent_time: timedelta) -> Activity:
        """Return the row of a message that was answered."""
        return self.build(
            status="error" if outcome.is_error(answer) else "ok",
            agent_time=agent_time,
            response_body=outcome.decode_json(answer.body),
            tool_trace=outcome.extract_tool_trace(answer.body),
        )

    def build_from_error(self, error: ServiceError, agent_time: timedelta) -> Activity:
        """Return the row of a message that was not answered."""
        return self.build(status="error", agent_time=agent_time, error_detail=error.message)

    def build_from_stream(self, stream: Stream, tail: bytes, *, interrupted: bool) -> Activity:
        """Return the row of a message that was answered by a stream, with the last event of the stream."""
        last = Answer(status=stream.status, body=outcome.find_last_event(tail) or b"")
        return self.build(
            status="error" if interrupted or outcome.is_error(last) else "ok",
            agent_time=self.measure_time(),
            error_detail="upstream stream interrupted" if interrupted else None,
            response_body=outcome.decode_json(last.body),
            tool_trace=outcome.extract_tool_trace(last.body),
        )

    def build(
        self,
        *,
        status: str = "ok",
        agent_time: timedelta | None = None,
        error_detail: str | None = None,
        response_body: str | None = None,
        tool_trace: str | None = None,
    ) -> Activity:
        """Return a row in the target's activity."""
        return Activity(
            id=str(uuid4()),
            workspace_id=self._incoming.target,
            activity_type="a2a_receive",
            source_id=self._incoming.caller,
            target_id=self._incoming.target,
            method=_clean_method(self._message.method),
            status=status,
            duration_ms=None if agent_time is None else round(agent_time.total_seconds() * 1000),
            error_detail=error_detail,
            request_body=self._message.body.decode(),
            response_body=response_body,
            tool_trace=tool_trace,
            created_at=self._created_at,
        )


def _choose_deadline(incoming: IncomingMessage) -> Deadline | None:
    """Return when the caller's X-Timeout ends, limited for workspaces; raises `MalformedMessage`."""
    seconds = envelope.parse_timeout(incoming.timeout)
    allowed = None if seconds is None else timedelta(seconds=seconds)
    if incoming.caller is not None:
        allowed = min(allowed or MAX_WORKSPACE_CALL_TIMEOUT, MAX_WORKSPACE_CALL_TIMEOUT)
    return None if allowed is None else Deadline(incoming.began_at + allowed.total_seconds(), allowed)


def _build_headers(incoming: IncomingMessage, message: Envelope, hops: int) -> dict[str, str]:
    """Return the headers for the agent; `hops` counts this dispatch too."""
    headers = {name: incoming.headers[name] for name in REQUEST_HEADERS if name in incoming.headers}
    headers.setdefault("content-type", "application/json")
    headers.setdefault("accept", "application/json, text/event-stream")
    headers[HOPS_HEADER] = str(hops)
    if message.version:
        headers["a2a-version"] = message.version
    if incoming.request_id:
        headers["x-request-id"] = incoming.request_id
    if traceparent := telemetry.current_traceparent():
        headers["traceparent"] = traceparent
    return headers


def _clean_method(method: str) -> str:
    """Return a method name that the database can store: at most 200 characters, valid UTF-8, without NUL."""
    return method[:MAX_METHOD_LENGTH].encode(errors="replace").decode().replace("\0", "")
