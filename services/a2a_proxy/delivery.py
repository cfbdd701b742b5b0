"""The walk of a message: may it go, where to, what came of it, and what the log keeps."""

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
from services.a2a_proxy.agents import Agents, Dispatch
from services.a2a_proxy.calls import Provisioner, Registry
from services.a2a_proxy.errors import AddressRefused, AgentBusy, AgentBusyWithSession, TargetWaking
from services.a2a_proxy.model import (
    Activity,
    Answer,
    Answered,
    Busy,
    Condition,
    Dead,
    Envelope,
    Failed,
    Leave,
    Left,
    Letter,
    Outcome,
    Push,
    Receipt,
    Refuse,
    Replied,
    Route,
    Stream,
    StreamBroken,
    Unanswered,
)
from services.a2a_proxy.routebook import Routebook
from services.chassis import telemetry
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError

log = structlog.get_logger()

BETWEEN_WORKSPACES = timedelta(minutes=30)
"""The longest call that a workspace can make; people may wait as long as they like."""

SENT_ALONG = (
    "content-type",
    "accept",
    "a2a-extensions",
    "x-a2a-extensions",
    "last-event-id",
    "traceparent",
    "tracestate",
    "baggage",
)
"""The headers of a message that the agent sees as they came."""

TAIL = 64 * 1024
"""Bytes of the end of a stream in which the log looks for its last event."""

LONGEST_METHOD = 200
"""Characters of a method name that the log keeps."""


class Delivery:
    """Carries messages: `deliver` raises what is refused before anything is sent, and gives the rest a receipt."""

    def __init__(
        self,
        *,
        routebook: Routebook,
        agents: Agents,
        activity: ActivityLog,
        registry: Registry,
        provisioner: Provisioner,
        clock: Clock,
        idle: timedelta,
    ) -> None:
        """`idle` is how long an agent may be silent that declares nothing itself."""
        self._routebook = routebook
        self._agents = agents
        self._activity = activity
        self._registry = registry
        self._provisioner = provisioner
        self._clock = clock
        self._idle = idle

    async def deliver(self, letter: Letter) -> Receipt:
        """Carry one message to its target, in the order of docs/spec/rest.md, 6.4."""
        route = routing.admit(await self._routebook.find(letter.target, letter.caller))
        deadline = _deadline(letter)
        message = envelope.read(letter.body, version=letter.headers.get("a2a-version", ""), entropy=os.urandom(32))
        decision = routing.decide(route)
        if isinstance(decision, Refuse):  # the feed may be a moment behind what the caller has seen of the target
            route = routing.admit(await self._routebook.ask(letter.target, letter.caller))
            decision = routing.decide(route)
        match decision:
            case Leave():
                return await self._leave(letter, message)
            case Refuse(error):
                if isinstance(error, TargetWaking):
                    await self._registry.wake(letter.target)
                raise error
            case Push() as push:
                dispatch = Dispatch(
                    target=letter.target,
                    push=push,
                    body=message.body,
                    headers=_headers(letter, message),
                    idle=route.idle_timeout or self._idle,
                    deadline=deadline,
                )
                return await self._push(dispatch, _Passage(letter, message, self._clock.now()), route)
            case unknown:
                assert_never(unknown)

    async def _leave(self, letter: Letter, message: Envelope) -> Left:
        """Put a message where its agent looks for it; the row is committed before anybody is told."""
        row = _Passage(letter, message, self._clock.now()).row()
        await self._activity.commit(row)
        return Left(queue_id=row.id, method=message.method)

    async def _push(self, dispatch: Dispatch, passage: "_Passage", route: Route) -> Receipt:
        """Send a message to its agent, and keep in the log what came of it."""
        await self._activity.room()
        result = await self._agents.post(dispatch, self._routebook.live)
        took = passage.took()
        match await self._settled(outcome.of(result), route):
            case Answered(Stream() as stream):
                return Replied(answer=replace(stream, chunks=self._passing(stream, passage)), took=took)
            case Answered(Answer() as answer):
                await self._activity.record(passage.answered(answer, took))
                return Replied(answer=outcome.presented(answer), took=took)
            case Busy():
                error: ServiceError = AgentBusyWithSession() if route.own_session else AgentBusy()
            case Failed(error):
                pass
        if not isinstance(error, AddressRefused):
            await self._activity.record(passage.failed(error, took))
        log.info("message not answered", workspace=dispatch.target, reason=error.reason)
        return Unanswered(error=error, took=took)

    async def _settled(self, found: Outcome, route: Route) -> Answered | Busy | Failed:
        """The outcome, once whoever runs the instance has been asked whether it lives. Nobody runs external ones."""
        if not isinstance(found, Dead):
            return found
        if route.external:
            return outcome.settled(found, Condition.UNKNOWN)
        return outcome.settled(found, await self._provisioner.check(route.workspace_id, route.generation))

    async def _passing(self, stream: Stream, passage: "_Passage") -> AsyncGenerator[bytes, None]:
        """The stream on its way through; the log keeps its end, whoever ended it."""
        tail, broken = b"", False
        try:
            async for chunk in stream.chunks:
                yield chunk
                tail = (tail + chunk)[-TAIL:]
        except StreamBroken:
            broken = True
            raise
        finally:
            self._activity.note(passage.streamed(stream, tail, broken=broken))


class _Passage:
    """One message on its way, and the row of the log that tells of it."""

    def __init__(self, letter: Letter, message: Envelope, began: datetime) -> None:
        self._letter = letter
        self._message = message
        self._began = began
        self._started = time.perf_counter()

    def took(self) -> timedelta:
        """How long it has been under way."""
        return timedelta(seconds=time.perf_counter() - self._started)

    def answered(self, answer: Answer, took: timedelta) -> Activity:
        """The row of a message that was answered."""
        return self.row(
            status="error" if outcome.is_error(answer) else "ok",
            took=took,
            response_body=outcome.json_text(answer.body),
            tool_trace=outcome.tool_trace(answer.body),
        )

    def failed(self, error: ServiceError, took: timedelta) -> Activity:
        """The row of a message that was not."""
        return self.row(status="error", took=took, error_detail=error.message)

    def streamed(self, stream: Stream, tail: bytes, *, broken: bool) -> Activity:
        """The row of a message that was answered by a stream, with its last event."""
        last = Answer(status=stream.status, body=outcome.last_event(tail) or b"")
        return self.row(
            status="error" if broken or outcome.is_error(last) else "ok",
            took=self.took(),
            error_detail="upstream stream interrupted" if broken else None,
            response_body=outcome.json_text(last.body),
            tool_trace=outcome.tool_trace(last.body),
        )

    def row(
        self,
        *,
        status: str = "ok",
        took: timedelta | None = None,
        error_detail: str | None = None,
        response_body: str | None = None,
        tool_trace: str | None = None,
    ) -> Activity:
        """The row of the target's log."""
        return Activity(
            id=str(uuid4()),
            workspace_id=self._letter.target,
            activity_type="a2a_receive",
            source_id=self._letter.caller,
            target_id=self._letter.target,
            method=_printable(self._message.method),
            status=status,
            duration_ms=None if took is None else round(took.total_seconds() * 1000),
            error_detail=error_detail,
            request_body=self._message.body.decode(),
            response_body=response_body,
            tool_trace=tool_trace,
            created_at=self._began,
        )


def _deadline(letter: Letter) -> timedelta | None:
    """How long the caller waits at most, by its own word and by what it is; raises `MalformedMessage`."""
    seconds = envelope.patience(letter.timeout)
    wished = None if seconds is None else timedelta(seconds=seconds)
    if letter.caller is None:
        return wished
    return min(wished or BETWEEN_WORKSPACES, BETWEEN_WORKSPACES)


def _headers(letter: Letter, message: Envelope) -> dict[str, str]:
    headers = {name: letter.headers[name] for name in SENT_ALONG if name in letter.headers}
    headers.setdefault("content-type", "application/json")
    headers.setdefault("accept", "application/json, text/event-stream")
    if message.version:
        headers["a2a-version"] = message.version
    if letter.request_id:
        headers["x-request-id"] = letter.request_id
    if here := telemetry.traceparent():
        headers["traceparent"] = here
    return headers


def _printable(method: str) -> str:
    """A method name as the log can keep it: callers write what they like."""
    return method[:LONGEST_METHOD].encode(errors="replace").decode().replace("\0", "")
