"""Admits requests about tasks, and shows accepted messages as tasks."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from functools import partial

from molecule_a2a.errors import INVALID_PARAMS, TASK_NOT_FOUND, UNSUPPORTED_OPERATION
from molecule_a2a.methods import find_method
from molecule_a2a.model import Dialect, Operation
from services.a2a_proxy.answered_tasks import AnsweredTask
from services.a2a_proxy.json_values import get_object
from services.a2a_proxy.model import (
    NO_REFERENCES,
    Answer,
    AnswerReceipt,
    Deadline,
    DeliveryMode,
    Envelope,
    IncomingMessage,
    JsonObject,
    QueueReceipt,
    Receipt,
    Route,
    Stream,
    WorkspaceId,
)
from services.a2a_proxy.queue.model import OPEN_STATES, QueuedMessage
from services.a2a_proxy.task_references import MESSAGE_OPERATIONS, PUSH_OPERATIONS
from services.a2a_proxy.tasks import poll_requests, responses, rules, views
from services.a2a_proxy.tasks.access import TaskAccess, get_owner, get_viewer
from services.a2a_proxy.tasks.agent_answers import AgentAnswers
from services.a2a_proxy.tasks.contexts import ContextRegister
from services.a2a_proxy.tasks.inbox_requests import InboxRequests
from services.a2a_proxy.tasks.lookup import TaskLookup
from services.a2a_proxy.tasks.model import Subscription
from services.a2a_proxy.tasks.queued_tasks import QueuedTasks
from services.a2a_proxy.tasks.register import TaskRegister
from services.a2a_proxy.tasks.responses import answer_error, answer_result, build_fault, choose_dialect
from services.a2a_proxy.tasks.store.tasks import MAX_LISTED_BYTES
from services.a2a_proxy.tasks.webhooks import Webhooks
from services.chassis import strict_json
from services.chassis.clock import Clock
from services.chassis.large_bodies import run_by_size

STREAM_HEADERS = {"content-type": "text/event-stream"}

FOREIGN_CONTEXT = "invalid params: the contextId belongs to another caller"

ENDED = "the task has ended: it can be read, but not subscribed to"

OK = 200

FIRST_ERROR = 300


class Tasks:
    """The tasks of all workspaces, as their callers may see and use them."""

    def __init__(
        self,
        *,
        register: TaskRegister,
        contexts: ContextRegister,
        access: TaskAccess,
        queued: QueuedTasks,
        answers: AgentAnswers,
        webhooks: Webhooks,
        clock: Clock,
    ) -> None:
        self._contexts = contexts
        self._lookup = TaskLookup(register, queued)
        self._access = access
        self._queued = queued
        self._inbox_requests = InboxRequests(queued, self._lookup, access)
        self._answers = answers
        self._webhooks = webhooks
        self._clock = clock

    async def admit(
        self, incoming: IncomingMessage, envelope: Envelope, route: Route, deadline: Deadline | None
    ) -> Answer | Stream | None:
        """Answer a request about a queued message, or about a task or a context of another; `None` for all others.

        Raises `MalformedMessage` for an invalid id of a task and for a push notification address that is refused, and
        `Unavailable` if the owner of a task cannot be found.
        """
        references = envelope.references
        if references is NO_REFERENCES:
            return None
        fault = references.fault or await self._webhooks.find_fault(references.webhooks)
        if fault:
            raise build_fault(envelope, fault)
        if references.context_id is not None and not await self._may_continue(incoming, references.context_id):
            return answer_error(envelope, INVALID_PARAMS, FOREIGN_CONTEXT)
        if not references.task_ids:
            return None
        found = await self._lookup.find(incoming.target, references.task_ids, route.mode)
        caller = get_viewer(incoming)
        visible = {id_: self._access.may_see(caller, task.owner) for id_, task in found.items()}
        if not rules.may_use(envelope.method, caller, references.task_ids, visible):
            return answer_error(envelope, TASK_NOT_FOUND)
        id_ = references.task_ids[0]
        message = found[id_].message if id_ in found else None
        if message is None or not envelope.is_json_rpc:
            return None
        return await self._answer_for_message(envelope, message, id_, route, deadline)

    async def admit_to_inbox(self, incoming: IncomingMessage, envelope: Envelope) -> Answer | Envelope:
        """Answer a request to an agent that fetches its messages, or return the message to store (`InboxRequests`)."""
        return await self._inbox_requests.admit(incoming, envelope)

    async def present(
        self, receipt: QueueReceipt, incoming: IncomingMessage, envelope: Envelope, deadline: Deadline | None
    ) -> Receipt:
        """Return the receipt of a message for an agent that fetches its messages, with the task that stands for it.

        A streaming method is answered by a stream. A bare body gets the receipt alone.
        """
        if not envelope.is_json_rpc:
            return receipt
        known = find_method(envelope.method)
        if known is not None and known.operation is Operation.SEND_STREAMING_MESSAGE:
            chunks = self._follow(envelope, incoming.target, receipt.queue_id, receipt.queue_id, deadline)
            return AnswerReceipt(answer=_build_stream(chunks), agent_time=timedelta())
        result = await self._show_receipt(receipt, incoming.target, envelope)
        return replace(receipt, response=responses.build_response(responses.read_id(envelope.body), "result", result))

    def note_context(self, incoming: IncomingMessage, context_id: str) -> None:
        """Note the context that the plane gives to a message which names none."""
        self._contexts.note(incoming.target, context_id, get_owner(incoming))

    def check_room(self, incoming: IncomingMessage, envelope: Envelope) -> None:
        """Raise `AgentBusy` if a message could be stored, but its stream could not be served."""
        known = find_method(envelope.method)
        if envelope.is_json_rpc and known is not None and known.operation is Operation.SEND_STREAMING_MESSAGE:
            self._queued.check_room(incoming.target)

    async def receive(self, incoming: IncomingMessage, envelope: Envelope, answer: Answer | Stream) -> Answer | Stream:
        """Return what the caller receives of an answer of an agent (`AgentAnswers.receive`)."""
        return await self._answers.receive(incoming, envelope, answer)

    async def note(self, incoming: IncomingMessage, envelope: Envelope, task: AnsweredTask) -> None:
        """Note the task in an answer to a message, before its caller learns of it."""
        await self._answers.note(incoming, envelope, task)

    # Requests about queued messages ──────────────────────────────────────────

    async def _answer_for_message(
        self, envelope: Envelope, message: QueuedMessage, id_: str, route: Route, deadline: Deadline | None
    ) -> Answer | Stream | None:
        known = find_method(envelope.method)
        if known is None or known.operation in MESSAGE_OPERATIONS:
            return None
        dialect = choose_dialect(envelope)
        if known.operation in PUSH_OPERATIONS:
            return answer_error(envelope, responses.PUSH_NOTIFICATION_NOT_SUPPORTED)
        if known.operation is Operation.SUBSCRIBE_TO_TASK:
            return self._subscribe(envelope, message, id_, deadline)
        keeps_agent_id = route.mode is not DeliveryMode.POLL
        if known.operation is Operation.CANCEL_TASK:
            cancelled = await self._queued.cancel(message)
            if cancelled is None:
                return answer_error(envelope, responses.TASK_NOT_CANCELABLE)
            return answer_result(envelope, await self._queued.show(cancelled, dialect, id_=id_))
        length = _read_history_length(envelope.body)
        if isinstance(length, int) and length < 0:
            raise build_fault(envelope, poll_requests.NEGATIVE_HISTORY)
        task = await self._queued.show(message, dialect, id_=id_, keeps_agent_id=keeps_agent_id)
        return answer_result(envelope, views.limit_history(task, length, known.dialect))

    def _subscribe(
        self, envelope: Envelope, message: QueuedMessage, id_: str, deadline: Deadline | None
    ) -> Answer | Stream:
        """Return the stream of a message. A client of 1.0 subscribes to no task that has ended."""
        if message.state not in OPEN_STATES and choose_dialect(envelope) is Dialect.CURRENT:
            return answer_error(envelope, UNSUPPORTED_OPERATION, ENDED)
        self._queued.check_room(message.target_id)
        chunks = self._follow(envelope, message.target_id, message.id, id_, deadline)
        return _build_stream(chunks)

    def _follow(
        self, envelope: Envelope, target: WorkspaceId, queue_id: str, task_id: str, deadline: Deadline | None
    ) -> AsyncGenerator[bytes, None]:
        subscription = Subscription(
            target_id=target,
            queue_id=queue_id,
            task_id=task_id,
            request_id=responses.read_id(envelope.body),
            dialect=choose_dialect(envelope),
        )
        return self._queued.follow(subscription, deadline=deadline)

    async def _show_receipt(self, receipt: QueueReceipt, target: WorkspaceId, envelope: Envelope) -> JsonObject:
        """Return the task of a receipt: as it is now, if the same message had been accepted before."""
        dialect = choose_dialect(envelope)
        if receipt.earlier_state is not None:
            message = (await self._queued.find(target, [receipt.queue_id])).get(receipt.queue_id)
            if message is not None:
                return views.wrap(await self._queued.show(message, dialect), dialect)
        context_id, at = envelope.references.context_id, self._clock.now()
        request = envelope.body if len(envelope.body) <= MAX_LISTED_BYTES else b""
        show = partial(views.build_submitted, receipt.queue_id, context_id, at, dialect, request=request)
        task = await run_by_size(len(request), show)
        length = _read_history_length(envelope.body, "configuration")
        return views.wrap(views.limit_history(task, length, dialect), dialect)

    async def _may_continue(self, incoming: IncomingMessage, context_id: str) -> bool:
        """Whether a caller may continue a conversation; it begins one that the plane has never seen."""
        owner = await self._contexts.claim(incoming.target, context_id, get_owner(incoming))
        return self._access.may_see(get_viewer(incoming), owner)


def _build_stream(chunks: AsyncGenerator[bytes, None]) -> Stream:
    return Stream(status=OK, headers=STREAM_HEADERS, chunks=chunks, holds_request=False)


def _read_history_length(body: bytes, *path: str) -> object:
    """Return the length in the params of a request, or in the object that `path` names in them."""
    members = strict_json.parse(body)
    for name in ("params", *path):
        members = get_object(members, name)
    return members.get("historyLength", members.get("history_length"))
