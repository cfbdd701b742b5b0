"""Reads, lists, cancels and follows queued messages as tasks."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from functools import partial

import structlog

from molecule_a2a.model import Dialect
from services.a2a_proxy.errors import AgentBusy
from services.a2a_proxy.model import Deadline, JsonObject, StreamInterrupted, WorkspaceId
from services.a2a_proxy.queue import rules as queue_rules
from services.a2a_proxy.queue.model import OPEN_STATES, Change, MessageState, QueuedMessage
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.tasks import events, lists, views
from services.a2a_proxy.tasks.model import Subscription, TaskListQuery, TaskOwner
from services.a2a_proxy.tasks.store.tasks import MAX_LISTED_BYTES, TaskStore
from services.a2a_proxy.tasks.watching import QueueWatch
from services.chassis.errors import Unavailable
from services.chassis.large_bodies import run_by_size

log = structlog.get_logger()

KEEPALIVE_INTERVAL = timedelta(seconds=15)
"""Time after which a stream that has nothing to tell sends a comment."""

RETRY_INTERVAL = timedelta(seconds=1)
"""Delay until a stream reads its message again while the database is unavailable."""

CANCELLED = "cancelled by its sender"


class QueuedTasks:
    """Shows queued messages as tasks."""

    def __init__(
        self,
        queue: QueueStore,
        store: TaskStore,
        watch: QueueWatch,
        *,
        keepalive_interval: timedelta = KEEPALIVE_INTERVAL,
    ) -> None:
        self._keepalive_interval = keepalive_interval
        self._queue = queue
        self._store = store
        self._watch = watch

    async def find(self, target: WorkspaceId, ids: Sequence[str]) -> dict[str, QueuedMessage]:
        """Return those of the messages that are stored for a target, without their bodies; raises `Unavailable`."""
        async with self._store.begin_single() as tx:
            return await tx.find_messages(target, ids)

    async def show(
        self, message: QueuedMessage, dialect: Dialect, *, id_: str | None = None, keeps_agent_id: bool = False
    ) -> JsonObject:
        """Return the task that stands for a message (`views.build_task`); raises `Unavailable`."""
        async with self._store.begin_single() as tx:
            requests = await tx.read_requests([message.id], max_bytes=MAX_LISTED_BYTES)
        request = requests.get(message.id, b"")
        return await _build_task(message, dialect, request, id_=id_, keeps_agent_id=keeps_agent_id)

    async def cancel(self, message: QueuedMessage) -> QueuedMessage | None:
        """Drop a message that waits; `None` if it does not wait any more. Raises `Unavailable`."""
        async with self._queue.begin() as tx:
            present = await tx.lock_message(message.id)
            if present is None or present.state is not MessageState.QUEUED:
                return None
            after = queue_rules.drop(present, CANCELLED, now=await tx.now())
            await tx.apply([Change(present, after)])
        log.info("queued message cancelled", message=message.id)
        return after

    async def list_tasks(
        self,
        target: WorkspaceId,
        caller: TaskOwner,
        org_workspaces: Sequence[WorkspaceId],
        query: TaskListQuery,
        dialect: Dialect,
    ) -> JsonObject:
        """Return a page of the tasks that stand for the messages of a target; raises `Unavailable`."""
        async with self._store.begin() as tx:
            found, total = await tx.list_messages(target, caller, org_workspaces, query)
            shown = found[: query.page_size]
            requests = await tx.read_requests([message.id for message in shown], max_bytes=MAX_LISTED_BYTES)
        tasks = [await _build_task(message, dialect, requests.get(message.id, b"")) for message in shown]
        before = lists.find_position(shown[-1]) if len(found) > len(shown) else None
        return lists.build_list(tasks, query, dialect, total=total, before=before)

    def check_room(self, target: WorkspaceId) -> None:
        """Raise `AgentBusy` if no further message of a target may be followed."""
        self._watch.check_room(target)

    async def follow(
        self, subscription: Subscription, *, deadline: Deadline | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events of a message: its task as it is now, its changes, and its end.

        Raises `StreamInterrupted` at the deadline, when the service stops, and for a message that is not stored any
        more. Nothing of the message is kept while it waits.
        """
        try:
            with self._watch.watch(subscription.target_id, subscription.queue_id) as watcher:
                seen, told = await self._render(subscription, None)
                yield told
                while seen[0] in OPEN_STATES:
                    watcher.seen = seen
                    if await self._watch.wait(watcher, self._keepalive_interval, deadline):
                        seen, told = await self._render(subscription, seen[0])
                        yield told
                    else:
                        yield events.KEEPALIVE
        except AgentBusy:
            raise StreamInterrupted from None

    async def _render(
        self, subscription: Subscription, before: MessageState | None
    ) -> tuple[tuple[MessageState, int], bytes]:
        """Return what is seen of a message, and the events to tell; `before` is the state that was told of."""
        dialect = subscription.dialect
        message = await self._read(subscription)
        seen = message.state, message.lease_generation
        if message.state is before:
            return seen, events.KEEPALIVE
        task = await self.show(message, dialect, id_=subscription.task_id)
        if before is None:
            told = [events.build_beginning(task, dialect)]
        elif message.state in OPEN_STATES:
            told = [events.build_update(task, dialect)]
        else:
            told = events.build_end(task, dialect)
        return seen, b"".join(events.render_event(subscription.request_id, event) for event in told)

    async def _read(self, subscription: Subscription) -> QueuedMessage:
        """Return a message, once the database is available; raises `StreamInterrupted` if it is not stored."""
        while not self._watch.is_stopping:
            try:
                found = await self.find(subscription.target_id, [subscription.queue_id])
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())
            else:
                if not found:
                    break
                return found[subscription.queue_id]
        raise StreamInterrupted


async def _build_task(
    message: QueuedMessage,
    dialect: Dialect,
    request: bytes,
    *,
    id_: str | None = None,
    keeps_agent_id: bool = False,
) -> JsonObject:
    build = partial(views.build_task, message, dialect, request=request, id_=id_, keeps_agent_id=keeps_agent_id)
    return await run_by_size(len(message.answer_body or b"") + len(request), build)
