"""The tasks of this agent, as far back as there is room for them."""

from collections import deque

from a2a.server.agent_execution.active_task import INTERRUPTED_TASK_STATES, TERMINAL_TASK_STATES
from a2a.server.context import ServerCallContext
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import Task

from molecule_agent.message_index import MessageIndex

MAX_ENDED_TASKS = 1000
"""Ended tasks that are kept, and so the number of messages that are recognised when they come again."""

MAX_ENDED_TASK_BYTES = 64 * 1024 * 1024
"""Bytes of ended tasks that are kept: agents live in small containers, and one task may hold megabytes."""


class BoundedTaskStore(InMemoryTaskStore):
    """Every task under way, and the last ones that ended; what is dropped is forgotten by the memory too."""

    def __init__(
        self, memory: MessageIndex, *, most: int = MAX_ENDED_TASKS, largest: int = MAX_ENDED_TASK_BYTES
    ) -> None:
        super().__init__()
        self._memory = memory
        self._most = most
        self._largest = largest
        self._ended: deque[tuple[str, int, ServerCallContext]] = deque()
        self._bytes = 0

    async def save(self, task: Task, context: ServerCallContext) -> None:
        await super().save(task, context)
        state = task.status.state
        if state in TERMINAL_TASK_STATES:
            self._memory.ended(task.id)
            await self._make_room(task, context)
        elif state in INTERRUPTED_TASK_STATES:
            self._memory.ended(task.id)
        else:
            self._memory.begun(task.id)

    async def _make_room(self, task: Task, context: ServerCallContext) -> None:
        size = task.ByteSize()
        self._ended.append((task.id, size, context))
        self._bytes += size
        while len(self._ended) > 1 and (len(self._ended) > self._most or self._bytes > self._largest):
            oldest, its_size, its_context = self._ended.popleft()
            self._bytes -= its_size
            self._memory.forget_task(oldest)
            await self.delete(oldest, its_context)
