"""The agent that the test asks: the text of a message says what becomes of it."""

import asyncio

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import Message, Part, Role, Task, TaskState, TaskStatus
from a2a.utils.errors import ExtensionSupportRequiredError, InvalidAgentResponseError
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

REQUIRED_EXTENSION = "https://example.com/required"

TOLD_HEADERS = ("a2a-version", "a2a-extensions", "x-a2a-extensions")

ENDINGS = {
    "wait": TaskState.TASK_STATE_INPUT_REQUIRED,
    "auth": TaskState.TASK_STATE_AUTH_REQUIRED,
    "fail": TaskState.TASK_STATE_FAILED,
    "reject": TaskState.TASK_STATE_REJECTED,
}
"""The state in which a message with this word leaves its task; else the task completes."""


class RequirementExecutor(AgentExecutor):
    """Answers with an artifact of the parts that it received.

    `message` is answered by a message alone, `invalid` by an error, `headers` by the headers that came, `chunks` by one
    artifact in three chunks. A task of `hold` is worked on until it is canceled.
    """

    def __init__(self, required_extension: str = "") -> None:
        self._required_extension = required_extension

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        words = context.get_user_input().split()
        if self._required_extension and self._required_extension not in context.requested_extensions:
            raise ExtensionSupportRequiredError
        if "invalid" in words:
            raise InvalidAgentResponseError
        if "message" in words:
            parts = [Part(text="only a message")]
            message = Message(message_id="m", context_id=context.context_id, role=Role.ROLE_AGENT, parts=parts)
            await event_queue.enqueue_event(message)
            return
        if context.current_task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            await event_queue.enqueue_event(
                Task(id=context.task_id, context_id=context.context_id, status=status, history=[context.message])
            )
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        if "hold" in words:
            await asyncio.Event().wait()
        await self._add_artifacts(context, updater, words)
        state = next((state for word, state in ENDINGS.items() if word in words), TaskState.TASK_STATE_COMPLETED)
        await updater.update_status(state)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()

    async def _add_artifacts(self, context: RequestContext, updater: TaskUpdater, words: list[str]) -> None:
        if "headers" in words:
            headers = context.call_context.state.get("headers", {})
            told = {name: headers[name] for name in TOLD_HEADERS if name in headers}
            await updater.add_artifact([Part(data=ParseDict(told, Value()))], name="headers")
        elif "chunks" in words:
            for number in range(3):
                parts = [Part(text=str(number))]
                await updater.add_artifact(parts, artifact_id="chunks", append=number > 0, last_chunk=number == 2)
        else:
            await updater.add_artifact(list(context.message.parts), name="echo", metadata={"test": {"n": 1}})
