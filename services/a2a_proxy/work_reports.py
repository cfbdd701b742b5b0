"""Reports which workspaces have work, so that only idle ones hibernate (BEY-03), and which have sent messages."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.model import Route, WorkspaceId
from services.a2a_proxy.outbound import OutboundTracker
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.work import WorkTracker
from services.chassis.errors import ServiceError

log = structlog.get_logger()

REPORT_INTERVAL = timedelta(seconds=5)
"""Time between two reports, where no check asks for an earlier one."""


class WorkReporter:
    """Reports every few seconds, and at once when the registry checks whether a workspace is idle.

    From the moment at which this replica has applied the check, it gives the workspace no message. So its next report,
    which has that revision, contains all work that the workspace got before.
    """

    def __init__(
        self,
        registry: RegistryClient,
        queue: QueueStore,
        *,
        route_cache: RouteCache,
        work: WorkTracker,
        outbound: OutboundTracker,
        replica_id: str,
    ) -> None:
        """`replica_id` names this process."""
        self._registry = registry
        self._queue = queue
        self._route_cache = route_cache
        self._work = work
        self._outbound = outbound
        self._replica_id = replica_id
        self._checked: set[WorkspaceId] = set()
        self._is_asked = asyncio.Event()

    def note_heartbeat(self, workspace_id: WorkspaceId, active_tasks: int) -> None:
        """Do nothing: the registry knows the heartbeats."""

    def note_route(self, before: Route | None, after: Route) -> None:  # noqa: ARG002 - as RouteListener has it
        """Report at once if the registry checks this workspace."""
        if after.is_idle_checked:
            self._checked.add(after.workspace_id)
            self._is_asked.set()
        else:
            self._checked.discard(after.workspace_id)

    def note_removal(self, workspace_id: WorkspaceId) -> None:
        """Forget a removed workspace."""
        self._checked.discard(workspace_id)

    async def run(self) -> None:
        """Report until cancelled, and then tell the registry that this replica has no work any more."""
        try:
            while True:
                await self._report_and_wait()
        finally:
            with suppress(ServiceError):
                await self._registry.leave_work(self._replica_id)

    async def _report_and_wait(self) -> None:
        """Report, and wait until the next report is due; after a failed one, nothing shortens the wait."""
        try:
            await self._report()
        except ServiceError as error:
            log.warning("work not reported", reason=error.reason)
            await asyncio.sleep(REPORT_INTERVAL.total_seconds())
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(REPORT_INTERVAL.total_seconds()):
                await self._is_asked.wait()

    async def _report(self) -> None:
        """Make one report. The revision is read before the work, because a later revision would promise more."""
        self._is_asked.clear()
        revision, checked = self._route_cache.revision, list(self._checked)
        waiting = await self._list_waiting(checked)
        found = self._work.take()
        ages = {workspace_id: age for workspace_id, age in found.items() if self._hibernates(workspace_id)}
        ages |= dict.fromkeys(waiting, timedelta())
        sent = self._outbound.take()
        try:
            await self._registry.report_work(self._replica_id, revision, ages, sent)
        except BaseException:
            self._work.put_back(ages)
            self._outbound.put_back(sent)
            raise

    async def _list_waiting(self, checked: list[WorkspaceId]) -> list[WorkspaceId]:
        """Return those of the workspaces for which accepted messages wait or are being delivered."""
        if not checked:
            return []
        async with self._queue.begin() as tx:
            return await tx.list_targets_with_work(checked)

    def _hibernates(self, workspace_id: WorkspaceId) -> bool:
        route = self._route_cache.get(workspace_id)
        return route is not None and route.hibernates_when_idle
