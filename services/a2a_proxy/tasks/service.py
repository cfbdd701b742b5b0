"""Admits requests about tasks, shows accepted messages as tasks, and notes the tasks in the answers of agents."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from molecule_a2a.errors import INVALID_AGENT_RESPONSE, TASK_NOT_FOUND, UNSUPPORTED_OPERATION
from molecule_a2a.methods import find_method
from molecule_a2a.model import Dialect, Operation
from services.a2a_proxy.answered_tasks import AnsweredTask, find_task
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
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.task_references import MESSAGE_OPERATIONS, PUSH_OPERATIONS
from services.a2a_proxy.tasks import lists, responses, rules, views
from services.a2a_proxy.tasks.model import NewTask, TaskOwner
from services.a2a_proxy.tasks.queued_tasks import QueuedTasks
from services.a2a_proxy.tasks.register import TaskRegister
from services.a2a_proxy.tasks.responses import answer_error, answer_result, build_fault, read_dialect
from services.a2a_proxy.tasks.stream_tasks import TaskFinder
from services.a2a_proxy.tasks.webhooks import Webhooks
from services.chassis import strict_json
from services.chassis.clock import Clock
from services.chassis.large_bodies import run_by_size

QUEUE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

STREAM_HEADERS = {"content-type": "text/event-stream"}

NO_TASK_ID = "invalid params: the id of the task is required"

ENDED = "the task has ended: it can be read, but not subscribed to"

OK = 200

FIRST_ERROR = 300


@dataclass(frozen=True, slots=True)
class _FoundTask:
    """What is known of a task that a request names; `message` is the queued message that stands for it."""

    owner: TaskOwner
    message: QueuedMessage | None = None


class Tasks:
    """The tasks of all workspaces, as their callers may see and use them."""

    def __init__(
        self,
        *,
        register: TaskRegister,
        queued: QueuedTasks,
        webhooks: Webhooks,
        route_cache: RouteCache,
        clock: Clock,
    ) -> None:
        self._register = register
        self._queued = queued
        self._webhooks = webhooks
        self._route_cache = route_cache
        self._clock = clock

    async def admit(
        self, incoming: IncomingMessage, envelope: Envelope, route: Route, deadline: Deadline | None
    ) -> Answer | Stream | None:
        """Answer a request about a queued message, or about a task of another owner; `None` for all others.

        Raises `MalformedMessage` for an invalid id of a task and for a push notification address that is refused, and
        `Unavailable` if the owner of a task cannot be found.
        """
        references = envelope.references
        if references is NO_REFERENCES:
            return None
        fault = references.fault or await self._webhooks.find_fault(references.webhooks)
        if fault:
            raise build_fault(envelope.body, envelope.method, fault)
        if not references.task_ids:
            return None
        found = await self._find(incoming.target, references.task_ids, route)
        caller = _get_owner(incoming)
        visible = {id_: self._may_see(caller, task.owner) for id_, task in found.items()}
        if not rules.may_use(envelope.method, caller, references.task_ids, visible):
            return answer_error(envelope.body, envelope.method, TASK_NOT_FOUND)
        id_ = references.task_ids[0]
        message = found[id_].message if id_ in found else None
        if message is None or not envelope.is_json_rpc:
            return None
        return await self._answer_for_message(envelope, message, id_, route, deadline)

    async def answer_for_poll(self, incoming: IncomingMessage, envelope: Envelope) -> Answer | None:
        """Answer a request to an agent that fetches its messages; `None` for a message and for a bare body.

        Such a request is not queued: nobody could read what the agent answers. Raises `MalformedMessage`.
        """
        known = find_method(envelope.method)
        operation = None if known is None else known.operation
        if not envelope.is_json_rpc or operation in MESSAGE_OPERATIONS:
            return None
        if operation is Operation.LIST_TASKS:
            return await self._list(incoming, envelope)
        if operation is None or operation is Operation.GET_EXTENDED_CARD:
            return answer_error(envelope.body, envelope.method, UNSUPPORTED_OPERATION)
        if not envelope.references.task_ids:
            raise build_fault(envelope.body, envelope.method, NO_TASK_ID)
        return answer_error(envelope.body, envelope.method, TASK_NOT_FOUND)

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
            chunks = self._queued.follow(
                incoming.target, receipt.queue_id, request=envelope.body, method=envelope.method, deadline=deadline
            )
            stream = Stream(status=OK, headers=STREAM_HEADERS, chunks=chunks)
            return AnswerReceipt(answer=stream, agent_time=timedelta())
        result = await self._show_receipt(receipt, incoming.target, envelope)
        return replace(receipt, response=responses.build_response(envelope.body, "result", result))

    def check_room(self, incoming: IncomingMessage, envelope: Envelope) -> None:
        """Raise `AgentBusy` if a message could be stored, but its stream could not be served."""
        known = find_method(envelope.method)
        if envelope.is_json_rpc and known is not None and known.operation is Operation.SEND_STREAMING_MESSAGE:
            self._queued.check_room(incoming.target)

    async def receive(self, incoming: IncomingMessage, envelope: Envelope, answer: Answer | Stream) -> Answer | Stream:
        """Return what the caller receives of an answer of an agent.

        The task in an answer to a message is noted before the caller learns of it. A list of tasks keeps those that
        the caller may see. Raises `Unavailable` if they cannot be found.
        """
        known = find_method(envelope.method)
        if known is None:
            return answer
        if known.operation in MESSAGE_OPERATIONS:
            return await self._note_answer(incoming, answer)
        if known.operation is Operation.LIST_TASKS and not rules.sees_all(_get_owner(incoming)):
            return await self._filter_list(incoming, envelope, answer)
        return answer

    # Requests about queued messages ──────────────────────────────────────────

    async def _answer_for_message(
        self, envelope: Envelope, message: QueuedMessage, id_: str, route: Route, deadline: Deadline | None
    ) -> Answer | Stream | None:
        known = find_method(envelope.method)
        if known is None or known.operation in MESSAGE_OPERATIONS:
            return None
        body, method = envelope.body, envelope.method
        if known.operation in PUSH_OPERATIONS:
            return answer_error(body, method, responses.PUSH_NOTIFICATION_NOT_SUPPORTED)
        if known.operation is Operation.SUBSCRIBE_TO_TASK:
            return self._subscribe(envelope, message, id_, known.dialect, deadline)
        keeps_agent_id = route.mode is not DeliveryMode.POLL
        if known.operation is Operation.CANCEL_TASK:
            cancelled = await self._queued.cancel(message)
            if cancelled is None:
                return answer_error(body, method, responses.TASK_NOT_CANCELABLE)
            return answer_result(body, await self._queued.show(cancelled, known.dialect, id_=id_))
        task = await self._queued.show(message, known.dialect, id_=id_, keeps_agent_id=keeps_agent_id)
        return answer_result(body, views.limit_history(task, _read_history_length(body), known.dialect))

    def _subscribe(
        self, envelope: Envelope, message: QueuedMessage, id_: str, dialect: Dialect, deadline: Deadline | None
    ) -> Answer | Stream:
        """Return the stream of a message. A client of 1.0 subscribes to no task that has ended."""
        if message.state not in OPEN_STATES and dialect is Dialect.CURRENT:
            return answer_error(envelope.body, envelope.method, UNSUPPORTED_OPERATION, ENDED)
        self._queued.check_room(message.target_id)
        chunks = self._queued.follow(
            message.target_id,
            message.id,
            request=envelope.body,
            method=envelope.method,
            id_=id_,
            deadline=deadline,
        )
        return Stream(status=OK, headers=STREAM_HEADERS, chunks=chunks)

    async def _list(self, incoming: IncomingMessage, envelope: Envelope) -> Answer:
        try:
            query = lists.parse_query(get_object(strict_json.parse(envelope.body), "params"))
        except lists.InvalidQueryError as invalid:
            raise build_fault(envelope.body, envelope.method, f"invalid params: {invalid}") from None
        caller, dialect = _get_owner(incoming), read_dialect(envelope.method)
        workspaces = self._list_workspaces(caller)
        page = await self._queued.list_tasks(incoming.target, caller, workspaces, query, dialect)
        return answer_result(envelope.body, page)

    async def _show_receipt(self, receipt: QueueReceipt, target: WorkspaceId, envelope: Envelope) -> JsonObject:
        """Return the task of a receipt: as it is now, if the same message had been accepted before."""
        dialect = read_dialect(envelope.method)
        if receipt.earlier_state is not None:
            message = (await self._queued.find(target, [receipt.queue_id])).get(receipt.queue_id)
            if message is not None:
                return views.wrap(await self._queued.show(message, dialect), dialect)
        context_id = envelope.references.context_id
        task = views.build_submitted(receipt.queue_id, context_id, self._clock.now(), dialect)
        return views.wrap(task, dialect)

    # Owners ──────────────────────────────────────────────────────────────────

    async def _find(self, target: WorkspaceId, ids: Sequence[str], route: Route) -> Mapping[str, _FoundTask]:
        """Return what is known of tasks: of those of agents from the register, of queued messages from the queue."""
        known = await self._register.find(target, ids)
        queue_ids: dict[str, str] = {}
        for id_ in ids:
            if id_ not in known:
                if QUEUE_ID.fullmatch(id_):
                    queue_ids[id_] = id_
            elif (queue_id := known[id_].queue_id) is not None and route.mode is DeliveryMode.POLL:
                queue_ids[id_] = queue_id
        messages = await self._queued.find(target, list(queue_ids.values())) if queue_ids else {}
        found = {id_: _FoundTask(task.owner) for id_, task in known.items()}
        for id_, queue_id in queue_ids.items():
            message = messages.get(queue_id)
            if message is not None:
                owner = found[id_].owner if id_ in found else TaskOwner(message.caller_id, message.caller_org_id)
                found[id_] = _FoundTask(owner, message)
        return found

    def _may_see(self, caller: TaskOwner, owner: TaskOwner) -> bool:
        route = None if owner.workspace_id is None else self._route_cache.get(owner.workspace_id)
        return rules.may_see(caller, owner, None if route is None else route.org_id)

    def _list_workspaces(self, caller: TaskOwner) -> Sequence[WorkspaceId]:
        """Return the workspaces whose tasks the token of an organisation sees."""
        return () if caller.org_id is None else self._route_cache.list_organisation(WorkspaceId(caller.org_id))

    # Answers of agents ───────────────────────────────────────────────────────

    async def _note_answer(self, incoming: IncomingMessage, answer: Answer | Stream) -> Answer | Stream:
        if isinstance(answer, Stream):
            return replace(answer, chunks=self._note_stream(incoming, answer.chunks))
        if answer.status < FIRST_ERROR:
            task = await run_by_size(len(answer.body), find_task, answer.body)
            if task is not None:
                await self._note(incoming, task)
        return answer

    async def _note_stream(
        self, incoming: IncomingMessage, chunks: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield a stream unchanged; its task is noted before the chunk that tells of it is passed on."""
        finder = TaskFinder()
        try:
            async for chunk in chunks:
                if finder.is_searching and (task := finder.feed(chunk)) is not None:
                    await self._note(incoming, task)
                yield chunk
        finally:
            await chunks.aclose()

    async def _note(self, incoming: IncomingMessage, task: AnsweredTask) -> None:
        await self._register.note(
            NewTask(
                target_id=incoming.target,
                task_id=task.id,
                owner=_get_owner(incoming),
                context_id=task.context_id,
            )
        )

    async def _filter_list(self, incoming: IncomingMessage, envelope: Envelope, answer: Answer | Stream) -> Answer:
        """Return a list of tasks with those that the caller may see; an unreadable one is not passed on."""
        if isinstance(answer, Stream):
            await answer.chunks.aclose()
            return answer_error(envelope.body, envelope.method, INVALID_AGENT_RESPONSE)
        if answer.status >= FIRST_ERROR:
            return answer
        try:
            response = await run_by_size(len(answer.body), strict_json.parse, answer.body)
        except strict_json.InvalidJson:
            response = None
        if isinstance(response, dict) and "result" not in response and "error" in response:
            return answer
        tasks = lists.find_tasks(response.get("result")) if isinstance(response, dict) else None
        if tasks is None:
            return answer_error(envelope.body, envelope.method, INVALID_AGENT_RESPONSE)
        caller = _get_owner(incoming)
        known = await self._register.find(incoming.target, lists.list_ids(tasks))
        visible = {id_ for id_, task in known.items() if self._may_see(caller, task.owner)}
        params = get_object(strict_json.parse(envelope.body), "params")
        context_id = params.get("contextId")
        owned = await self._register.count(
            incoming.target,
            caller,
            self._list_workspaces(caller),
            context_id if isinstance(context_id, str) and "\0" not in context_id else None,
        )
        kept = {**response, "result": lists.keep_visible(response["result"], visible, most=owned)}
        return replace(answer, body=strict_json.dump(kept))


def _get_owner(incoming: IncomingMessage) -> TaskOwner:
    """Return the owner of what a caller makes."""
    return TaskOwner(incoming.caller, incoming.caller_org_id)


def _read_history_length(body: bytes) -> object:
    params = get_object(strict_json.parse(body), "params")
    return params.get("historyLength", params.get("history_length"))
