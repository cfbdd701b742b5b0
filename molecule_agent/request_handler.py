"""A2A requests; each message is handed to the adapter once, however often it is sent."""

import hashlib
from collections.abc import AsyncGenerator

from a2a.server.agent_execution import RequestContext, SimpleRequestContextBuilder
from a2a.server.context import ServerCallContext
from a2a.server.events import Event
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.types import (
    AgentCard,
    GetTaskRequest,
    Message,
    Part,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
)
from a2a.utils.errors import TaskNotFoundError, UnsupportedOperationError

from molecule_agent.executor import Executor
from molecule_agent.message_index import DeliveredMessage, MessageIndex, MessageKey
from molecule_agent.task_store import BoundedTaskStore

_MESSAGE_KEY = "molecule.message"
"""Where the key of the message stands in the state of a call."""


class IdempotentRequestHandler(DefaultRequestHandler):
    """
    What the SDK does, with a memory.

    A message that comes again joins the task that the first one began: a plain call waits for its end, a stream
    shows what is still to come, and either gets the result that is there.
    """

    def __init__(self, executor: Executor, card: AgentCard, memory: MessageIndex) -> None:
        super().__init__(
            agent_executor=executor,
            task_store=BoundedTaskStore(memory),
            agent_card=card,
            request_context_builder=_TaskIdRecorder(memory),
        )
        self._memory = memory

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Message | Task:
        key = _message_key(params.message)
        if first := self._memory.find(key):
            return await self._result(first, params, context)
        context.state[_MESSAGE_KEY] = key
        self._memory.add(key)
        try:
            result = await super().on_message_send(params, context)
        except Exception:
            self._memory.give_up(key)
            raise
        return _merge_parts(result) if isinstance(result, Task) else result

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        key = _message_key(params.message)
        if first := self._memory.find(key):
            async for event in self._rest(first, params, context):
                yield event
            return
        context.state[_MESSAGE_KEY] = key
        self._memory.add(key)
        try:
            async for event in super().on_message_send_stream(params, context):
                yield event
        except Exception:
            self._memory.give_up(key)
            raise

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        task = await super().on_get_task(params, context)
        if task is None:
            raise TaskNotFoundError
        return _merge_parts(task)

    async def _result(
        self, first: DeliveredMessage, params: SendMessageRequest, context: ServerCallContext
    ) -> Message | Task:
        await (first.begun if params.configuration.return_immediately else first.ended).wait()
        if not first.task_id:
            return await self.on_message_send(params, context)
        question = GetTaskRequest(id=first.task_id)
        if params.configuration.HasField("history_length"):
            question.history_length = params.configuration.history_length
        return await self.on_get_task(question, context)

    async def _rest(
        self, first: DeliveredMessage, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        await first.begun.wait()
        if not first.task_id:
            async for event in self.on_message_send_stream(params, context):
                yield event
            return
        try:
            async for event in self.on_subscribe_to_task(SubscribeToTaskRequest(id=first.task_id), context):
                yield event
        except UnsupportedOperationError:  # it has ended, there is nothing to follow
            yield await self.on_get_task(GetTaskRequest(id=first.task_id), context)


class _TaskIdRecorder(SimpleRequestContextBuilder):
    """Tells the memory which task a message becomes, as soon as the SDK has chosen its id."""

    def __init__(self, memory: MessageIndex) -> None:
        super().__init__()
        self._memory = memory

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
            self._memory.assign(key, request.task_id)
        return request


def _message_key(message: Message) -> MessageKey:
    """Of what the sender wrote; metadata may differ from one attempt to the next."""
    content = Message(context_id=message.context_id, task_id=message.task_id, parts=message.parts)
    return message.message_id, hashlib.sha256(content.SerializeToString(deterministic=True)).digest()


def _merge_parts(task: Task) -> Task:
    """The task with the pieces of its answer made one: who did not watch it stream wants a text, not its pieces."""
    if all(len(artifact.parts) < 2 for artifact in task.artifacts):  # noqa: PLR2004 - one piece is whole
        return task
    whole = Task()
    whole.CopyFrom(task)
    for artifact in whole.artifacts:
        text = "".join(part.text for part in artifact.parts)
        del artifact.parts[:]
        artifact.parts.append(Part(text=text))
    return whole
