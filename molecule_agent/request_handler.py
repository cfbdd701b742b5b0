"""Handles A2A requests and delivers each message to the adapter once, also when it is sent again."""

import hashlib
from collections.abc import AsyncGenerator, Sequence

from a2a.server.agent_execution import RequestContext, SimpleRequestContextBuilder
from a2a.server.context import ServerCallContext
from a2a.server.events import Event
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.types import (
    AgentCard,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
    TaskStatus,
)
from a2a.utils.errors import TaskNotFoundError, UnsupportedOperationError

from molecule_agent.delivery_journal import JournalEntry, MessageKey
from molecule_agent.executor import INTERRUPTED_TEXT, Executor
from molecule_agent.message_index import DeliveredMessage, MessageIndex
from molecule_agent.task_store import BoundedTaskStore

_MESSAGE_KEY = "molecule.message"
"""The entry of a call's state that holds the key of its message."""


class IdempotentRequestHandler(DefaultRequestHandler):
    """
    The handler of the SDK, made idempotent.

    A message that is sent again joins the task of the first delivery: a plain call waits until the task has finished,
    a stream receives the remaining events, and both return the stored task once it has finished.
    """

    def __init__(self, executor: Executor, card: AgentCard, index: MessageIndex) -> None:
        self._store = BoundedTaskStore(index)
        super().__init__(
            agent_executor=executor,
            task_store=self._store,
            agent_card=card,
            request_context_builder=_TaskIdRecorder(index),
        )
        self._index = index

    async def restore(self, entries: Sequence[JournalEntry], *, may_run_again: bool) -> None:
        """
        Take over the messages of earlier processes.

        An ended message answers a repetition with its task. One that was interrupted is forgotten if its turn
        `may_run_again`, and ends as failed otherwise.
        """
        for entry in entries:
            if entry.task is None and may_run_again:
                self._index.forget_task(entry.task_id)
                continue
            task = build_interrupted_task(entry) if entry.task is None else Task.FromString(entry.task)
            self._index.restore(entry.key, entry.task_id)
            await self._store.save(task, ServerCallContext())

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Message | Task:
        key = _message_key(params.message)
        if known := self._index.find(key):
            return await self._await_result(known, params, context)
        context.state[_MESSAGE_KEY] = key
        self._index.add(key)
        try:
            result = await super().on_message_send(params, context)
        except Exception:
            self._index.forget_unstarted(key)
            raise
        return _merge_parts(result) if isinstance(result, Task) else result

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        key = _message_key(params.message)
        if known := self._index.find(key):
            async for event in self._follow_task(known, params, context):
                yield event
            return
        context.state[_MESSAGE_KEY] = key
        self._index.add(key)
        try:
            async for event in super().on_message_send_stream(params, context):
                yield event
        except Exception:
            self._index.forget_unstarted(key)
            raise

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        task = await super().on_get_task(params, context)
        if task is None:
            raise TaskNotFoundError
        return _merge_parts(task)

    async def _await_result(
        self, known: DeliveredMessage, params: SendMessageRequest, context: ServerCallContext
    ) -> Message | Task:
        await (known.started if params.configuration.return_immediately else known.finished).wait()
        if not known.task_id:
            return await self.on_message_send(params, context)
        request = GetTaskRequest(id=known.task_id)
        if params.configuration.HasField("history_length"):
            request.history_length = params.configuration.history_length
        return await self.on_get_task(request, context)

    async def _follow_task(
        self, known: DeliveredMessage, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        await known.started.wait()
        if not known.task_id:
            async for event in self.on_message_send_stream(params, context):
                yield event
            return
        try:
            async for event in self.on_subscribe_to_task(SubscribeToTaskRequest(id=known.task_id), context):
                yield event
        except UnsupportedOperationError:  # the task has finished, so the SDK refuses a subscription
            yield await self.on_get_task(GetTaskRequest(id=known.task_id), context)


class _TaskIdRecorder(SimpleRequestContextBuilder):
    """Records the task of a message in the index, as soon as the SDK has chosen the task's id."""

    def __init__(self, index: MessageIndex) -> None:
        super().__init__()
        self._index = index

    async def build(
        self,
        context: ServerCallContext,
        params: SendMessageRequest | None = None,
        task_id: str | None = None,
        context_id: str | None = None,
        task: Task | None = None,
    ) -> RequestContext:
        request = await super().build(context, params, task_id, context_id, task)
        if (key := context.state.get(_MESSAGE_KEY)) and request.task_id:
            self._index.assign_task(key, task_id=request.task_id, context_id=request.context_id or "")
        return request


def build_interrupted_task(entry: JournalEntry) -> Task:
    """Build the task of a message whose turn the end of a process has interrupted."""
    said = Message(message_id=f"{entry.task_id}-interrupted", role=Role.ROLE_AGENT, parts=[Part(text=INTERRUPTED_TEXT)])
    status = TaskStatus(state=TaskState.TASK_STATE_FAILED, message=said)
    status.timestamp.GetCurrentTime()
    return Task(id=entry.task_id, context_id=entry.context_id, status=status)


def _message_key(message: Message) -> MessageKey:
    """Build the key from what the sender wrote, without metadata, which may differ between attempts."""
    content = Message(context_id=message.context_id, task_id=message.task_id, parts=message.parts)
    return message.message_id, hashlib.sha256(content.SerializeToString(deterministic=True)).digest()


def _merge_parts(task: Task) -> Task:
    """Join the parts of each artifact to one text: only a streaming caller needs the single pieces."""
    if all(len(artifact.parts) < 2 for artifact in task.artifacts):  # noqa: PLR2004 - a single part needs no joining
        return task
    merged = Task()
    merged.CopyFrom(task)
    for artifact in merged.artifacts:
        text = "".join(part.text for part in artifact.parts)
        del artifact.parts[:]
        artifact.parts.append(Part(text=text))
    return merged
