"""Stores the A2A tasks of the agent in memory, bounded in number and size."""

from collections import deque

from a2a.server.agent_execution.active_task import INTERRUPTED_TASK_STATES, TERMINAL_TASK_STATES
from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import Task

from molecule_agent.message_index import MessageIndex

MAX_FINISHED_TASKS = 1000
"""Finished tasks that are kept, and so the number of messages that are recognised when they are sent again."""

MAX_FINISHED_TASK_BYTES = 64 * 1024 * 1024
"""Bytes of finished tasks that are kept: agents run in small containers, and one task may hold megabytes."""


class BoundedTaskStore(InMemoryTaskStore):
    """Keeps every running task and the last finished ones; a dropped task is removed from the index too."""

    def __init__(
        self, index: MessageIndex, *, max_tasks: int = MAX_FINISHED_TASKS, max_bytes: int = MAX_FINISHED_TASK_BYTES
    ) -> None:
        super().__init__()
        self._index = index
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes
        self._finished: deque[tuple[str, int, ServerCallContext]] = deque()
        self._bytes = 0

    async def save(self, task: Task, context: ServerCallContext) -> None:
        await super().save(task, context)
        state = task.status.state
        if state in TERMINAL_TASK_STATES:
            self._index.mark_finished(task.id, task.SerializeToString())
            await self._drop_oldest(task, context)
        elif state in INTERRUPTED_TASK_STATES:
            self._index.mark_finished(task.id, task.SerializeToString())
        else:
            self._index.mark_started(task.id)

    async def _drop_oldest(self, task: Task, context: ServerCallContext) -> None:
        size = task.ByteSize()
        self._finished.append((task.id, size, context))
        self._bytes += size
        while len(self._finished) > 1 and (len(self._finished) > self._max_tasks or self._bytes > self._max_bytes):
            task_id, size_freed, task_context = self._finished.popleft()
            self._bytes -= size_freed
            self._index.forget_task(task_id)
            await self.delete(task_id, task_context)
