"""Delivers a message: checks the route, then sends it, or accepts it into the queue."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import assert_never
from uuid import uuid4

import structlog

from services.a2a_proxy import envelope, outcome, routing
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.capacity import SLOT_WAIT, Capacity
from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.errors import AddressRefused, AgentBusy, AgentBusyWithSession, InboxFull, MessageIdReused
from services.a2a_proxy.message_activity import MessageActivity, shorten_method
from services.a2a_proxy.model import (
    Absence,
    Absent,
    Acceptance,
    Answer,
    Answered,
    AnswerReceipt,
    Busy,
    Deadline,
    DeliveryMode,
    Envelope,
    Failed,
    FailureReceipt,
    IncomingMessage,
    Poll,
    Push,
    QueueReceipt,
    Receipt,
    Route,
    SendState,
    Stream,
    StreamInterrupted,
)
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.acceptance import MessageAcceptance
from services.a2a_proxy.queue.drain import Drain
from services.a2a_proxy.queue.model import Accepted, AlreadyAccepted, Full, IdReused, NewMessage, WaitReason
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.sending import (
    CALLER_HEADER,
    HOPS_HEADER,
    MAX_WORKSPACE_CALL_TIMEOUT,
    OPERATOR,
    Outgoing,
    Sender,
    build_headers,
)
from services.a2a_proxy.streams.service import LAST_EVENT_ID, Streams
from services.a2a_proxy.tasks.service import Tasks
from services.a2a_proxy.tasks.views import choose_context_id
from services.a2a_proxy.work import WorkTracker
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError, Unavailable
from services.chassis.large_bodies import run_by_size

log = structlog.get_logger()

STREAM_TAIL_BYTES = 64 * 1024
"""Bytes at the end of a stream in which the activity log looks for the last event."""


class Delivery:
    """Delivers messages, with one call of `deliver` for each."""

    def __init__(
        self,
        *,
        route_cache: RouteCache,
        sender: Sender,
        capacity: Capacity,
        acceptance: MessageAcceptance,
        drain: Drain,
        activity: ActivityLog,
        registry: RegistryClient,
        tasks: Tasks,
        streams: Streams,
        clock: Clock,
        work: WorkTracker,
        max_inbox_bytes: int,
    ) -> None:
        """`max_inbox_bytes` is what the queue may hold for one target."""
        self._route_cache = route_cache
        self._sender = sender
        self._capacity = capacity
        self._acceptance = acceptance
        self._drain = drain
        self._activity = activity
        self._registry = registry
        self._tasks = tasks
        self._streams = streams
        self._clock = clock
        self._work = work
        self._max_inbox_bytes = max_inbox_bytes

    async def deliver(self, incoming: IncomingMessage) -> Receipt:
        """Deliver one message, with the checks in the order of docs/spec/rest.md, 6.4.

        Raises a `ServiceError` for a message that is refused before it is sent; everything later is a receipt.
        """
        self._work.begin(incoming.target)  # before the route is read: see WorkReporter
        is_let_through = False
        try:
            route = routing.check_route(await self._route_cache.find(incoming.target, incoming.caller))
            is_let_through = True
            if incoming.caller is None:
                return await self._deliver(incoming, route)
            with self._work.hold(incoming.caller):
                return await self._deliver(incoming, route)
        finally:
            self._work.end(incoming.target, was_work=is_let_through)

    async def _deliver(self, incoming: IncomingMessage, route: Route) -> Receipt:
        """Deliver a message that its caller may send."""
        message = await self._parse(incoming, route)
        answer = await self._tasks.admit(incoming, message.envelope, route, message.deadline)
        if answer is None and LAST_EVENT_ID in incoming.headers:
            answer = await self._streams.resume(incoming, message.envelope, message.deadline)
        if answer is not None:
            return AnswerReceipt(answer=answer, agent_time=timedelta())
        earlier = await self._find_earlier(message)
        if earlier is not None:
            is_polled = route.mode is DeliveryMode.POLL
            return await self._present(earlier, message) if is_polled else earlier
        decision = routing.decide(route)
        if not isinstance(decision, Push):  # the cache may be older than what the caller knows of the target
            route = routing.check_route(await self._route_cache.fetch(incoming.target, incoming.caller))
            decision = routing.decide(route)
        match decision:
            case Poll():
                return await self._store_for_polling(message)
            case Absent(absence, error):
                return await self._store_until_present(message, absence, error)
            case Push() as push:
                return await self._push(message, route, push)
            case unknown:
                assert_never(unknown)

    async def _parse(self, incoming: IncomingMessage, route: Route) -> "_Message":
        """Return the message with everything that its headers and its envelope say; raises `MalformedMessage`."""
        deadline = _choose_deadline(incoming)
        hops = envelope.parse_hops(incoming.headers.get(HOPS_HEADER, ""))
        parsed = await run_by_size(
            len(incoming.body),
            envelope.parse,
            incoming.body,
            version=incoming.headers.get("a2a-version", ""),
            entropy=os.urandom(32),
        )
        return _Message(incoming, parsed, deadline, hops, route.extension_headers)

    async def _find_earlier(self, message: "_Message") -> QueueReceipt | None:
        """Return the receipt of the same message if it was accepted before; raises `MessageIdReused`."""
        identity = message.identity
        if identity is None or not self._acceptance.may_be_known(identity):
            return None
        digest = await run_by_size(len(message.body), rules.build_digest, message.body)
        earlier = await self._acceptance.find_earlier(identity, digest)
        return None if earlier is None else message.build_receipt(earlier, Acceptance.REQUESTED)

    async def _store_for_polling(self, message: "_Message") -> Receipt:
        """Store a message for an agent that polls; the agent may also read it from its activity. Raises `InboxFull`."""
        admitted = await self._tasks.admit_to_inbox(message.incoming, message.envelope)
        if isinstance(admitted, Answer):
            return AnswerReceipt(answer=admitted, agent_time=timedelta())
        message.envelope = admitted
        self._tasks.check_room(message.incoming, message.envelope)
        stored = await self._accept(message, Acceptance.POLL)
        if stored is None:
            raise InboxFull(self._max_inbox_bytes)
        return await self._present(stored, message)

    async def _present(self, receipt: QueueReceipt, message: "_Message") -> Receipt:
        """Return the receipt of a message for an agent that polls, with the task that stands for the message."""
        return await self._tasks.present(receipt, message.incoming, message.envelope, message.deadline)

    async def _store_until_present(self, message: "_Message", absence: Absence, error: ServiceError) -> Receipt:
        """Store a message for a target that cannot take it now, and have the target woken; raises `error` otherwise.

        A subscription to a task whose stream is recorded is answered with the recording.
        """
        if not message.is_message:
            replayed = await self._streams.replay_task(message.incoming, message.envelope, message.deadline)
            if replayed is not None:
                return AnswerReceipt(answer=replayed, agent_time=timedelta())
        is_wanted = message.prefers.respond_async or absence is not Absence.UNAVAILABLE
        stored = None
        if message.is_storable and is_wanted and not message.prefers.strict:
            stored = await self._accept(message, Acceptance(absence))
        if absence is Absence.WAKING and stored is None:
            await self._registry.wake(message.incoming.target)  # the drain wakes it for a message that is stored
        if stored is None:
            raise error
        return stored

    async def _push(self, message: "_Message", route: Route, push: Push) -> Receipt:
        """Send a message to its agent, or queue it if the agent has no room."""
        if message.is_storable and message.prefers.respond_async:
            stored = await self._accept(message, Acceptance.REQUESTED)
            return stored or FailureReceipt(error=AgentBusy(), agent_time=timedelta())
        if not message.is_message:
            return await self._send(message, route, push)
        if not await self._take_slot(message, route):
            return await self._queue_for_busy(message, route, None, timedelta())
        return await self._send(message, route, push, has_slot=True)

    async def _take_slot(self, message: "_Message", route: Route) -> bool:
        """Take a slot of the target; a message that may be queued does not overtake those that are.

        It waits only for an agent that ends its tasks quickly.
        """
        has_backlog = message.is_storable and self._drain.has_backlog(route.workspace_id)
        if not has_backlog and self._capacity.take_free(route, 1):
            return True
        within = SLOT_WAIT if self._capacity.ends_tasks_within(route, SLOT_WAIT) else timedelta()
        if message.is_storable and not await self._drain.wait_for_backlog(route.workspace_id, within):
            return False
        return self._capacity.take_free(route, 1) > 0 or await self._capacity.take(route, within)

    async def _send(self, message: "_Message", route: Route, push: Push, *, has_slot: bool = False) -> Receipt:
        """Send a message and record the outcome. A message whose address is refused leaves no activity (A2A-15)."""
        await self._activity.wait_for_room(len(message.body))
        builder = message.build_activity(self._clock)
        try:
            result = await self._sender.send(message.build_outgoing(), route, push)
        finally:
            if has_slot:
                self._capacity.release(route.workspace_id)
        agent_time = builder.measure_time()
        replaced = result if message.is_message else await self._replace(message, result)
        match replaced:
            case Stream():
                return AnswerReceipt(answer=replaced, agent_time=agent_time)
            case Answered(answer):
                return await self._record(message, route, answer, builder, agent_time)
            case Busy(retry_after):
                return await self._queue_for_busy(message, route, retry_after, agent_time)
            case Failed(error):
                return await self._queue_or_fail(message, route, error, builder)
            case unknown:
                assert_never(unknown)

    async def _replace(
        self, message: "_Message", result: Answered | Busy | Failed
    ) -> Answered | Busy | Failed | Stream:
        """Return a recorded stream instead of a result that says that the agent cannot serve a subscription."""
        return await self._streams.replace(result, message.incoming, message.envelope, message.deadline)

    async def _record(
        self,
        message: "_Message",
        route: Route,
        answer: Answer | Stream,
        builder: MessageActivity,
        agent_time: timedelta,
    ) -> AnswerReceipt:
        """Record an answer, or have the stream recorded when it ends."""
        if isinstance(answer, Stream):
            recorded = replace(answer, chunks=self._record_stream(answer, builder))
            return AnswerReceipt(answer=await self._receive_stream(message, route, recorded), agent_time=agent_time)
        row = await run_by_size(len(answer.body), builder.build_from_answer, answer, agent_time)
        await self._activity.wait_for_room(len(answer.body))  # the rows of large answers must not fill the memory
        await self._activity.record(row)
        received = await self._tasks.receive(message.incoming, message.envelope, outcome.hide_foreign_body(answer))
        return AnswerReceipt(answer=received, agent_time=agent_time)

    async def _receive_stream(self, message: "_Message", route: Route, stream: Stream) -> Answer | Stream:
        """Return what the caller receives of a stream; its task is noted before the caller learns of it."""
        incoming, parsed = message.incoming, message.envelope
        if not self._streams.may_record(parsed, stream):
            return await self._tasks.receive(incoming, parsed, stream)
        return self._streams.record(
            incoming,
            parsed,
            route,
            stream,
            note_task=partial(self._tasks.note, incoming, parsed),
            note_context=partial(self._tasks.note_context, incoming),
        )

    async def _queue_for_busy(
        self, message: "_Message", route: Route, retry_after: timedelta | None, agent_time: timedelta
    ) -> Receipt:
        """Queue a message for an agent without room; an agent with a session of its own queues by itself."""
        if message.is_storable and not message.prefers.strict and not route.has_native_session:
            with suppress(Unavailable):  # what cannot be stored is refused as busy
                stored = await self._accept(message, Acceptance.BUSY, not_before_in=retry_after)
                if stored is not None:
                    return stored
        error = AgentBusyWithSession(retry_after) if route.has_native_session else AgentBusy(retry_after)
        await self._activity.record(message.build_activity(self._clock).build_from_error(error, agent_time))
        log.info("message not answered", workspace=route.workspace_id, reason=error.reason)
        return FailureReceipt(error=error, agent_time=agent_time)

    async def _queue_or_fail(
        self, message: "_Message", route: Route, error: ServiceError, builder: MessageActivity
    ) -> Receipt:
        """Queue a message again that broke off and may be sent twice; otherwise record the failure."""
        agent_time = builder.measure_time()
        is_repeatable = message.envelope.is_idempotent or route.has_idempotent_delivery
        is_ambiguous = error.details.get("delivery") == SendState.UNKNOWN
        if is_ambiguous and is_repeatable and message.is_storable and error.reason in BROKEN_REASONS:
            with suppress(Unavailable):  # the sender learns that the agent may have the message
                stored = await self._accept(message, Acceptance.RETRY, not_before_in=RETRY_DELAY)
                if stored is not None:
                    return stored
        if not isinstance(error, AddressRefused):
            await self._activity.record(builder.build_from_error(error, agent_time))
        log.info("message not answered", workspace=route.workspace_id, reason=error.reason)
        return FailureReceipt(error=error, agent_time=agent_time)

    async def _accept(
        self, message: "_Message", acceptance: Acceptance, *, not_before_in: timedelta | None = None
    ) -> QueueReceipt | None:
        """Store a message; `None` if the queue is full. Raises `MessageIdReused` and `Unavailable`."""
        digest = await run_by_size(len(message.body), rules.build_digest, message.body)
        new = message.build_new(digest, WAIT_REASONS[acceptance], not_before_in or timedelta())
        row = message.build_activity(self._clock).build(id_=new.id, summary=SUMMARIES.get(acceptance))
        result = await self._acceptance.accept(new, row)
        if isinstance(result, Accepted) and new.context_id is not None:
            self._tasks.note_context(message.incoming, new.context_id)
        return None if isinstance(result, Full) else message.build_receipt(result, acceptance)

    async def _record_stream(self, stream: Stream, builder: MessageActivity) -> AsyncGenerator[bytes, None]:
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


class _Message:
    """An incoming message with its parsed envelope."""

    __slots__ = (
        "deadline",
        "envelope",
        "extension_headers",
        "hops",
        "incoming",
        "is_message",
        "is_storable",
        "prefers",
    )

    def __init__(
        self,
        incoming: IncomingMessage,
        parsed: Envelope,
        deadline: Deadline | None,
        hops: int,
        extension_headers: Sequence[str],
    ) -> None:
        """`hops` are the dispatches before this one; `extension_headers` are those that the target's card names."""
        self.extension_headers = extension_headers
        self.incoming = incoming
        self.envelope = parsed
        self.deadline = deadline
        self.hops = hops
        self.is_message = parsed.method in envelope.MESSAGE_METHODS
        self.is_storable = parsed.method in envelope.STORABLE_METHODS
        self.prefers = envelope.parse_preferences(incoming.headers.get("prefer", ""))

    @property
    def body(self) -> bytes:
        """The request for the agent."""
        return self.envelope.body

    @property
    def identity(self) -> bytes | None:
        """The identity of the message; `None` without a message id."""
        if self.envelope.message_id is None or not self.is_message:
            return None
        token_id = self.incoming.caller_token_id
        caller = self.incoming.caller or (None if token_id is None else f"org-token:{token_id}")
        return rules.build_identity(self.incoming.target, caller, self.envelope.message_id)

    def build_activity(self, clock: Clock) -> MessageActivity:
        """Return the builder of the activity row."""
        return MessageActivity(
            target=self.incoming.target,
            caller=self.incoming.caller,
            method=self.envelope.method,
            body=self.body,
            created_at=clock.now(),
        )

    def build_outgoing(self) -> Outgoing:
        """Return the message for the agent."""
        return Outgoing(
            method=self.envelope.method,
            body=self.body,
            headers=self._build_headers(),
            deadline=self.deadline,
            waiting=self.incoming.waiting,
            ends_with_caller=self.envelope.method in envelope.STREAMING_METHODS,
            caller_token_id=self.incoming.caller_token_id,
            has_webhooks=bool(self.envelope.references.webhooks),
        )

    def build_new(self, digest: bytes, reason: WaitReason, not_before_in: timedelta) -> NewMessage:
        """Return the message for the queue."""
        seconds, id_ = self.envelope.expires_in_seconds, str(uuid4())
        return NewMessage(
            id=id_,
            target_id=self.incoming.target,
            caller_id=self.incoming.caller,
            caller_org_id=self.incoming.caller_org_id,
            caller_token_id=self.incoming.caller_token_id,
            context_id=choose_context_id(id_, self.envelope.references.context_id),
            identity=self.identity,
            digest=digest,
            method=shorten_method(self.envelope.method),
            headers=self._build_headers(),
            body=self.body,
            is_idempotent=self.envelope.is_idempotent,
            priority=self.envelope.priority,
            reason=reason,
            expires_in=None if seconds is None else timedelta(seconds=seconds),
            not_before_in=not_before_in,
        )

    def build_receipt(self, result: Accepted | AlreadyAccepted | IdReused, acceptance: Acceptance) -> QueueReceipt:
        """Return the receipt of a message that is stored, or was before; raises `MessageIdReused`."""
        method = shorten_method(self.envelope.method)
        match result:
            case Accepted(id_, depth):
                return QueueReceipt(queue_id=id_, method=method, acceptance=acceptance, depth=depth)
            case AlreadyAccepted(id_, state):
                return QueueReceipt(queue_id=id_, method=method, acceptance=acceptance, earlier_state=state)
            case IdReused():
                raise MessageIdReused
            case _:
                assert_never(result)

    def _build_headers(self) -> dict[str, str]:
        headers = build_headers(
            self.incoming.headers,
            version=self.envelope.version,
            request_id=self.incoming.request_id,
            hops=self.hops + 1,
            extension_headers=self.extension_headers,
        )
        return headers | {CALLER_HEADER: self.incoming.caller or OPERATOR}


def _choose_deadline(incoming: IncomingMessage) -> Deadline | None:
    """Return when the caller's X-Timeout ends, limited for workspaces; raises `MalformedMessage`."""
    seconds = envelope.parse_timeout(incoming.timeout)
    allowed = None if seconds is None else timedelta(seconds=seconds)
    if incoming.caller is not None:
        allowed = min(allowed or MAX_WORKSPACE_CALL_TIMEOUT, MAX_WORKSPACE_CALL_TIMEOUT)
    return None if allowed is None else Deadline(incoming.began_at + allowed.total_seconds(), allowed)


RETRY_DELAY = timedelta(seconds=1)
"""Delay until a message is sent again whose first attempt broke off."""

BROKEN_REASONS = frozenset({"AGENT_UNREACHABLE", "AGENT_IDLE", "AGENT_RESTARTING", "ANSWER_UNREADABLE"})
"""The errors after which a repeatable message is sent again; the deadline of the caller is none of them."""

WAIT_REASONS = {
    Acceptance.POLL: WaitReason.POLL,
    Acceptance.BUSY: WaitReason.BUSY,
    Acceptance.WAKING: WaitReason.WAKING,
    Acceptance.STARTING: WaitReason.STARTING,
    Acceptance.RESTARTING: WaitReason.OFFLINE,
    Acceptance.UNAVAILABLE: WaitReason.UNAVAILABLE,
    Acceptance.REQUESTED: WaitReason.REQUESTED,
    Acceptance.RETRY: WaitReason.RETRY,
}

SUMMARIES = {
    Acceptance.BUSY: "Message queued: the agent is busy",
    Acceptance.WAKING: "Message queued: the workspace wakes",
    Acceptance.STARTING: "Message queued: the workspace starts",
    Acceptance.RESTARTING: "Message queued: the workspace restarts",
    Acceptance.UNAVAILABLE: "Message queued: the workspace is not available",
    Acceptance.REQUESTED: "Message queued: the sender asked for it",
    Acceptance.RETRY: "Message queued: the connection to the agent broke",
}
"""Lines for people in the activity log; a message for a polling agent needs none."""
