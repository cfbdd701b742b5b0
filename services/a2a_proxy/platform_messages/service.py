"""Follows the workspaces, and accepts the messages that the plane itself sends to them into the queue."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import assert_never
from uuid import uuid4

import structlog

from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.message_activity import MessageActivity
from services.a2a_proxy.model import Activity, RouteChanged, Status, WorkspaceId, WorkspaceUpdate
from services.a2a_proxy.platform_messages import messages, rules
from services.a2a_proxy.platform_messages.rules import HandledInstance, InstanceRun, Start, StartAction
from services.a2a_proxy.platform_messages.store import HandledInstanceStore
from services.a2a_proxy.queue import rules as queue_rules
from services.a2a_proxy.queue.acceptance import MessageAcceptance
from services.a2a_proxy.queue.model import Accepted, Change, Full, MessageState, NewMessage
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError

log = structlog.get_logger()

RETRY_INTERVAL = timedelta(seconds=5)
"""Delay until the next attempt while the database or the registry is unavailable, or a queue is full."""

INITIAL_PROMPT_SUMMARY = "initial prompt"


class PlatformMessages:
    """Sends each workspace its initial prompt once, and each restarted instance a notice.

    Every replica follows the feed. A message and the record of its instance are one commit, and the queue accepts an
    identity once, so neither a restart of the proxy nor a second replica repeats a message.
    """

    def __init__(
        self, store: QueueStore, acceptance: MessageAcceptance, registry: RegistryClient, clock: Clock
    ) -> None:
        self._store = store
        self._acceptance = acceptance
        self._registry = registry
        self._clock = clock
        self._runs: dict[WorkspaceId, InstanceRun] = {}
        self._handled: dict[WorkspaceId, int] | None = None
        self._starts: dict[WorkspaceId, Start] = {}
        self._removed: set[WorkspaceId] = set()
        self._has_work = asyncio.Event()

    def note(self, update: WorkspaceUpdate) -> None:
        """Note an instance that is online, unless its start has been dealt with; forget one that is not any more."""
        if not isinstance(update, RouteChanged):
            return
        route = update.route
        known = self._runs.get(route.workspace_id)
        run = rules.observe(known, update)
        if run is known:  # the update is older than the newest one
            return
        self._starts.pop(route.workspace_id, None)
        if route.status is Status.REMOVED:
            self.note_removal(route.workspace_id)
            return
        self._runs[route.workspace_id] = run
        is_handled = self._handled is not None and self._handled.get(route.workspace_id, -1) >= run.generation
        if route.status in rules.ONLINE_STATUSES and not is_handled:
            self._starts[route.workspace_id] = Start(
                workspace_id=route.workspace_id,
                is_external=route.external,
                initial_prompt=update.initial_prompt,
                online_since=update.status_since if route.status is Status.ONLINE else None,
                run=run,
            )
            self._has_work.set()

    def note_removal(self, workspace_id: WorkspaceId) -> None:
        """Note that a workspace was removed, and perhaps purged."""
        self._runs.pop(workspace_id, None)
        self._removed.add(workspace_id)
        self._has_work.set()

    async def follow(self) -> None:
        """Accept messages whenever something was noted, until cancelled."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                has_room = await self.handle_starts()
                await self.purge_removed()
            except ServiceError as error:
                log.warning("messages of the plane wait", reason=error.reason)
                has_room = False
            if not has_room:
                self._has_work.set()
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())

    async def clean(self, is_known: Callable[[WorkspaceId], bool]) -> None:
        """Find the workspaces that were removed while this service was down."""
        async with self._store.begin() as tx:
            workspaces = await HandledInstanceStore(tx.connection).list_generations()
        for workspace_id in workspaces:
            if not is_known(workspace_id):
                self.note_removal(workspace_id)

    async def handle_starts(self) -> bool:
        """Deal with every noted start; returns whether each queue had room. Raises `Unavailable`."""
        if self._handled is None:
            async with self._store.begin() as tx:
                self._handled = await HandledInstanceStore(tx.connection).list_generations()
        has_room = True
        for start in list(self._starts.values()):
            workspace_id = start.workspace_id
            if self._starts.get(workspace_id) is not start:
                continue
            is_handled = self._handled.get(workspace_id, -1) >= start.run.generation
            if not is_handled and not await self._handle(start):
                has_room = False
                continue
            self._handled[workspace_id] = max(self._handled.get(workspace_id, -1), start.run.generation)
            if self._starts.get(workspace_id) is start:
                del self._starts[workspace_id]
        return has_room

    async def purge_removed(self) -> None:
        """Forget the noted workspaces that the registry does not know any more.

        A workspace is no longer noted while the registry is asked: a purge that is noted meanwhile has it asked again.
        """
        while self._removed:
            workspace_id = self._removed.pop()
            try:
                if (await self._registry.resolve(workspace_id, None)).route is not None:
                    continue
                async with self._store.begin() as tx:
                    await HandledInstanceStore(tx.connection).delete(workspace_id)
            except ServiceError:
                self._removed.add(workspace_id)
                raise
            if self._handled is not None:
                self._handled.pop(workspace_id, None)

    async def _handle(self, start: Start) -> bool:
        """Accept the message that a start calls for; returns whether the queue had room for it."""
        async with self._store.begin() as tx:
            handled = await HandledInstanceStore(tx.connection).find(start.workspace_id)
        match rules.choose_action(start, handled):
            case StartAction.NOTHING:
                return True
            case StartAction.RECORD:
                await self._record(start, HandledInstance(start.run.generation))
                return True
            case StartAction.SEND_INITIAL_PROMPT:
                message = messages.build_initial_prompt(start, queue_id=str(uuid4()))
                return await self._accept(start, message, HandledInstance(start.run.generation))
            case StartAction.SEND_RESTART_NOTICE:
                await self._drop_notice(handled)
                message = messages.build_restart_notice(start, queue_id=str(uuid4()))
                return await self._accept(start, message, HandledInstance(start.run.generation, message.id))
            case other:
                assert_never(other)

    async def _accept(self, start: Start, message: NewMessage, handled: HandledInstance) -> bool:
        """Accept a message, and record the instance in the same transaction."""
        row = self._build_row(message) if message.is_logged else None
        result = await self._acceptance.accept(
            message,
            row,
            alongside=lambda connection: HandledInstanceStore(connection).put(start.workspace_id, handled),
        )
        if isinstance(result, Full):
            return False
        if isinstance(result, Accepted):
            log.info("message of the plane accepted", workspace=start.workspace_id, label=message.caller_label)
        return True

    async def _record(self, start: Start, handled: HandledInstance) -> None:
        async with self._store.begin() as tx:
            await HandledInstanceStore(tx.connection).put(start.workspace_id, handled)

    async def _drop_notice(self, handled: HandledInstance | None) -> None:
        """Drop the notice of the instance before, if it still waits: a newer one takes its place."""
        if handled is None or handled.notice_id is None:
            return
        async with self._store.begin() as tx:
            notice = await tx.lock_message(handled.notice_id)
            if notice is not None and notice.state is MessageState.QUEUED:
                after = queue_rules.drop(notice, "dropped: restarted again", now=await tx.now())
                await tx.apply([Change(notice, after)])

    def _build_row(self, message: NewMessage) -> Activity:
        """Return the activity row of a message that people see."""
        builder = MessageActivity(
            target=message.target_id,
            caller=None,
            method=message.method,
            body=message.body,
            created_at=self._clock.now(),
        )
        return builder.build(id_=message.id, summary=INITIAL_PROMPT_SUMMARY)
