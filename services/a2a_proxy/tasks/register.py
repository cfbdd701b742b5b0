"""The register of tasks: notes whose they are before their callers learn of them, and finds their owners."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeAlias

import structlog

from services.a2a_proxy.answered_tasks import find_context, find_task
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import Change, MessageState, QueuedMessage, WaitReason
from services.a2a_proxy.tasks.model import KnownTask, NewTask, TaskOwner
from services.a2a_proxy.tasks.store.tasks import TaskStore, TaskTransaction
from services.chassis.batching import Batcher
from services.chassis.errors import Unavailable

log = structlog.get_logger()

MAX_BATCH_TASKS = 500
"""Tasks that one transaction notes."""

BATCH_INTERVAL_SECONDS = 0.002
"""Time between two batches, so that callers share them; a caller that comes later than that does not wait."""

MAX_CACHED_TASKS = 10_000
"""Tasks whose owners are kept in memory: those that were used last."""

MAX_TASKS_PER_TARGET = 100_000
"""Tasks of one workspace that are kept: those that were seen last."""

TRIM_INTERVAL_TASKS = 1000
"""Noted tasks of a workspace after which it is trimmed."""

SEEN_INTERVAL = timedelta(hours=1)
"""Time after which it is stored again that a task was seen."""


NoteContext: TypeAlias = Callable[[WorkspaceId, str, TaskOwner], None]


class TaskRegister:
    """Knows the owners of the tasks of agents: the latest in memory, and all in the database."""

    def __init__(
        self,
        store: TaskStore,
        *,
        note_context: NoteContext = lambda *_: None,
        max_per_target: int = MAX_TASKS_PER_TARGET,
        seen_interval: timedelta = SEEN_INTERVAL,
    ) -> None:
        """`note_context` is told the contexts in the answers to queued messages, with their owners."""
        self._store = store
        self._note_context = note_context
        self._seen_seconds = seen_interval.total_seconds()
        self._max_per_target = max_per_target
        self._cached: OrderedDict[tuple[WorkspaceId, str], tuple[KnownTask, float]] = OrderedDict()
        """Each with the time at which it was stored that the task was seen; 0 for one that was only read."""
        self._noted: Counter[WorkspaceId] = Counter()
        self._batcher: Batcher[NewTask, KnownTask] = Batcher(
            self._note_batch, capacity=MAX_BATCH_TASKS, interval_seconds=BATCH_INTERVAL_SECONDS
        )

    async def note(self, task: NewTask) -> None:
        """Note a task; when it returns, every replica knows the owner.

        While the database is unavailable only this replica does, as long as the task is in its memory: the agent has
        answered, and the answer must not be lost.
        """
        key, now = (task.target_id, task.task_id), asyncio.get_running_loop().time()
        _, seen_at = self._cached.get(key, (None, 0.0))
        if seen_at and now < seen_at + self._seen_seconds:
            self._cached.move_to_end(key)
            return
        try:
            known = await self._batcher.submit(task)
        except Unavailable:
            log.warning("owner of a task not stored", workspace=task.target_id)
            known = KnownTask(owner=task.owner, queue_id=task.queue_id)
        self._cache(key, known, now)

    async def find(self, target: WorkspaceId, task_ids: Sequence[str]) -> dict[str, KnownTask]:
        """Return those of the tasks of a workspace that are known; raises `Unavailable`."""
        found = {id_: cached[0] for id_ in task_ids if (cached := self._cached.get((target, id_))) is not None}
        missing = [id_ for id_ in task_ids if id_ not in found]
        if missing:
            async with self._store.begin_single() as tx:
                stored = await tx.find(target, missing)
            for id_, known in stored.items():
                if known.queue_id is None:  # a further answer may name another message
                    self._cache((target, id_), known, 0.0)
            found |= stored
        return found

    async def may_be_owner(
        self, target: WorkspaceId, task_id: str, owner_id: WorkspaceId | None, token_id: str | None
    ) -> bool:
        """Whether a task is not known to be that of another caller; without a workspace and a token it is the operator.

        Raises `Unavailable`.
        """
        known = (await self.find(target, [task_id])).get(task_id)
        if known is None:
            return True
        return (known.owner.workspace_id, known.owner.token_id) == (owner_id, token_id)

    async def follow_queue(self, tx: TaskTransaction, changes: Sequence[Change]) -> None:
        """Note the tasks that agents answered queued messages with, in the transaction that stores the answers.

        It also wakes the streams that follow messages of inboxes. Others look once a second.
        """
        for change in changes:
            self._note_answered_context(change.after)
        tasks = {
            (task.target_id, task.task_id): task
            for change in changes
            if (task := _find_new_task(change.after)) is not None
        }
        if tasks:
            await tx.note(list(tasks.values()))
        if any(change.before.reason is WaitReason.POLL for change in changes):
            await tx.notify()

    def count_cached(self) -> int:
        """Return how many tasks are in memory."""
        return len(self._cached)

    def forget(self, workspace_id: WorkspaceId) -> None:
        """Drop what is in memory of a workspace that was purged."""
        for key, (known, _) in list(self._cached.items()):
            if workspace_id in {key[0], known.owner.workspace_id}:
                del self._cached[key]
        self._noted.pop(workspace_id, None)

    async def count(
        self, target: WorkspaceId, caller: TaskOwner, org_workspaces: Sequence[WorkspaceId], context_id: str | None
    ) -> int:
        """Return how many tasks of a workspace a caller may see; raises `Unavailable`."""
        async with self._store.begin() as tx:
            return await tx.count(target, caller, org_workspaces, context_id)

    def _note_answered_context(self, message: QueuedMessage) -> None:
        if message.state is MessageState.COMPLETED and message.answer_body is not None:
            context_id = find_context(message.answer_body)
            if context_id is not None:
                self._note_context(message.target_id, context_id, _get_owner(message))

    def _cache(self, key: tuple[WorkspaceId, str], known: KnownTask, seen_at: float) -> None:
        self._cached[key] = known, seen_at
        self._cached.move_to_end(key)
        if len(self._cached) > MAX_CACHED_TASKS:
            self._cached.popitem(last=False)

    async def _note_batch(self, batch: Sequence[NewTask]) -> Sequence[KnownTask]:
        first = {(task.target_id, task.task_id): task for task in reversed(batch)}
        self._noted.update(target for target, _ in first)
        full = [target for target in {key[0] for key in first} if self._noted[target] >= TRIM_INTERVAL_TASKS]
        known = await self._store.note(list(first.values()))
        for target in full:
            async with self._store.begin_single() as tx:
                await tx.trim(target, keep=self._max_per_target, limit=10 * TRIM_INTERVAL_TASKS)
            del self._noted[target]
        return [known[task.target_id, task.task_id] for task in batch]


def _find_new_task(message: QueuedMessage) -> NewTask | None:
    """Return the task that an agent answered a message with."""
    if message.state is not MessageState.COMPLETED or message.answer_body is None:
        return None
    task = find_task(message.answer_body)
    if task is None:
        return None
    return NewTask(
        target_id=message.target_id,
        task_id=task.id,
        owner=_get_owner(message),
        context_id=task.context_id,
        queue_id=message.id,
    )


def _get_owner(message: QueuedMessage) -> TaskOwner:
    return TaskOwner(message.caller_id, message.caller_org_id, message.caller_token_id)
