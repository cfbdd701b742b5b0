"""Notes the tasks in the answers of agents, and keeps lists of tasks to what their callers may see."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace

from molecule_a2a.errors import INVALID_AGENT_RESPONSE
from molecule_a2a.methods import find_method
from molecule_a2a.model import Operation
from services.a2a_proxy.answered_tasks import AnsweredTask, find_context, find_task
from services.a2a_proxy.json_values import get_object
from services.a2a_proxy.model import Answer, Envelope, IncomingMessage, Stream, StreamInterrupted
from services.a2a_proxy.stream_tasks import TaskFinder
from services.a2a_proxy.task_references import MESSAGE_OPERATIONS
from services.a2a_proxy.tasks import lists, rules
from services.a2a_proxy.tasks.access import TaskAccess, get_owner, get_viewer
from services.a2a_proxy.tasks.contexts import ContextRegister
from services.a2a_proxy.tasks.model import NewTask
from services.a2a_proxy.tasks.register import TaskRegister
from services.a2a_proxy.tasks.responses import answer_error
from services.chassis import strict_json
from services.chassis.large_bodies import run_by_size

FIRST_ERROR = 300


class AgentAnswers:
    """Looks at what agents answer before their callers receive it."""

    def __init__(self, register: TaskRegister, contexts: ContextRegister, access: TaskAccess) -> None:
        self._register = register
        self._contexts = contexts
        self._access = access

    async def receive(self, incoming: IncomingMessage, envelope: Envelope, answer: Answer | Stream) -> Answer | Stream:
        """Return what the caller receives of an answer of an agent.

        The task in an answer to a message is noted before the caller learns of it. A list of tasks keeps those that
        the caller may see. Raises `Unavailable` if they cannot be found.
        """
        known = find_method(envelope.method)
        if known is None:
            return answer
        if known.operation in MESSAGE_OPERATIONS:
            return await self._note_answer(incoming, envelope, answer)
        if known.operation is Operation.LIST_TASKS and not rules.sees_all(get_viewer(incoming)):
            return await self._filter_list(incoming, envelope, answer)
        return answer

    async def note(self, incoming: IncomingMessage, envelope: Envelope, task: AnsweredTask) -> None:
        """Note the task in an answer; one in the answer to another request than a message is no new one."""
        known = find_method(envelope.method)
        if known is None or known.operation not in MESSAGE_OPERATIONS:
            return
        if task.context_id is not None:
            self._contexts.note(incoming.target, task.context_id, get_owner(incoming))
        await self._register.note(
            NewTask(
                target_id=incoming.target,
                task_id=task.id,
                owner=get_owner(incoming),
                context_id=task.context_id,
            )
        )

    def note_context(self, incoming: IncomingMessage, context_id: str) -> None:
        """Note the context in an answer that tells of no task."""
        self._contexts.note(incoming.target, context_id, get_owner(incoming))

    async def _note_answer(
        self, incoming: IncomingMessage, envelope: Envelope, answer: Answer | Stream
    ) -> Answer | Stream:
        if isinstance(answer, Stream):
            return replace(answer, chunks=self._note_stream(incoming, envelope, answer.chunks))
        if answer.status < FIRST_ERROR:
            task = await run_by_size(len(answer.body), find_task, answer.body)
            if task is not None:
                await self.note(incoming, envelope, task)
            elif context_id := await run_by_size(len(answer.body), find_context, answer.body):
                self.note_context(incoming, context_id)
        return answer

    async def _note_stream(
        self, incoming: IncomingMessage, envelope: Envelope, chunks: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield a stream unchanged; its task is noted before the chunk that tells of it is passed on."""
        finder = TaskFinder()
        try:
            async for chunk in chunks:
                if finder.is_searching and (task := finder.feed(chunk)) is not None:
                    await self.note(incoming, envelope, task)
                yield chunk
        finally:
            await chunks.aclose()

    async def _filter_list(self, incoming: IncomingMessage, envelope: Envelope, answer: Answer | Stream) -> Answer:
        """Return a list of tasks with those that the caller may see; an unreadable one is not passed on."""
        if isinstance(answer, Stream):
            await _end_stream(answer)
            return answer_error(envelope, INVALID_AGENT_RESPONSE)
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
            return answer_error(envelope, INVALID_AGENT_RESPONSE)
        caller = get_viewer(incoming)
        known = await self._register.find(incoming.target, lists.list_ids(tasks))
        visible = {id_ for id_, task in known.items() if self._access.may_see(caller, task.owner)}
        params = get_object(strict_json.parse(envelope.body), "params")
        context_id = params.get("contextId")
        owned = await self._register.count(
            incoming.target,
            caller,
            self._access.list_workspaces(caller),
            context_id if isinstance(context_id, str) and "\0" not in context_id else None,
        )
        kept = {**response, "result": lists.keep_visible(response["result"], visible, most=owned)}
        return replace(answer, body=strict_json.dump(kept))


async def _end_stream(stream: Stream) -> None:
    """End a stream that is not passed on. One that is never begun would not end at its agent either."""
    async with aclosing(stream.chunks) as chunks:
        with suppress(StreamInterrupted):
            async for _ in chunks:
                return
