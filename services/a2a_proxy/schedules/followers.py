"""Follows the workspaces: applies the schedules that templates declare, and stops those of removed workspaces."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import structlog

from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.model import DeclaredSchedule, RouteChanged, Status, WorkspaceId, WorkspaceUpdate
from services.a2a_proxy.schedules import declarations
from services.a2a_proxy.schedules.store import AppliedDeclaration, ScheduleStore
from services.a2a_proxy.store import Store
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError

log = structlog.get_logger()

RETRY_INTERVAL = timedelta(seconds=5)
"""Delay until the next attempt while the database or the registry is unavailable."""


@dataclass(frozen=True, slots=True)
class _Declaration:
    revision: int
    schedules: Sequence[DeclaredSchedule]
    digest: str


class WorkspaceFollower:
    """Changes schedules when workspaces change. Every replica does so: what is applied already changes nothing."""

    def __init__(self, store: Store, registry: RegistryClient, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._applied: dict[WorkspaceId, str] | None = None
        self._declared: dict[WorkspaceId, _Declaration] = {}
        self._removed: set[WorkspaceId] = set()
        self._has_work = asyncio.Event()

    def note(self, update: WorkspaceUpdate) -> None:
        """Note the declaration of a workspace if it is another one, or the removal of a workspace."""
        if not isinstance(update, RouteChanged):
            return
        workspace_id = update.route.workspace_id
        if update.route.status is Status.REMOVED:
            self._declared.pop(workspace_id, None)
            self.note_removal(workspace_id)
            return
        digest = declarations.compute_digest(update.schedules)
        if self._applied is None or self._applied.get(workspace_id, "") != digest:
            self._declared[workspace_id] = _Declaration(update.route.revision, update.schedules, digest)
            self._has_work.set()

    def note_removal(self, workspace_id: WorkspaceId) -> None:
        """Note that a workspace was removed, and perhaps purged."""
        self._removed.add(workspace_id)
        self._has_work.set()

    async def follow(self) -> None:
        """Change schedules whenever something was noted, until cancelled."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self._apply_declarations()
                await self._stop_removed()
            except ServiceError as error:
                log.warning("schedules wait", reason=error.reason)
                self._has_work.set()
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())

    async def clean(self, is_known: Callable[[WorkspaceId], bool]) -> None:
        """Find the workspaces that were removed while this service was down."""
        async with self._store.begin() as tx:
            workspaces = await ScheduleStore(tx.connection).list_workspaces()
        for workspace_id in workspaces:
            if not is_known(workspace_id):
                self.note_removal(workspace_id)

    async def _apply_declarations(self) -> None:
        if self._applied is None:
            async with self._store.begin() as tx:
                self._applied = await ScheduleStore(tx.connection).list_digests()
        while self._declared:
            workspace_id, declaration = self._declared.popitem()
            if self._applied.get(workspace_id, "") == declaration.digest:
                continue
            try:
                self._applied[workspace_id] = await self._apply(workspace_id, declaration)
            except ServiceError:
                self._declared.setdefault(workspace_id, declaration)
                raise

    async def _apply(self, workspace_id: WorkspaceId, declaration: _Declaration) -> str:
        """Apply a declaration unless a newer one is applied; returns the digest of the one that is."""
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            await schedules.lock_workspace(workspace_id)
            applied = await schedules.find_declaration(workspace_id)
            if applied is not None and (
                applied.revision >= declaration.revision or applied.digest == declaration.digest
            ):
                return applied.digest
            changes = await asyncio.to_thread(
                declarations.plan_changes,
                workspace_id,
                declaration.schedules,
                await schedules.list_of_workspace(workspace_id),
                now=self._clock.now(),
                ids=_make_ids(),
            )
            for schedule in changes.deleted:
                await schedules.delete(schedule.id)
            for schedule in changes.updated:
                await schedules.update(schedule)
            for schedule in changes.created:
                await schedules.insert(schedule)
            await schedules.put_declaration(workspace_id, AppliedDeclaration(declaration.revision, declaration.digest))
        log.info(
            "declared schedules applied",
            workspace=workspace_id,
            created=len(changes.created),
            updated=len(changes.updated),
            deleted=len(changes.deleted),
            ignored=changes.ignored,
        )
        return declaration.digest

    async def _stop_removed(self) -> None:
        """Disable the schedules of removed workspaces, and delete those of workspaces that the registry does not know.

        A workspace is no longer noted while the registry is asked: a purge that is noted meanwhile has it asked again.
        """
        while self._removed:
            workspace_id = self._removed.pop()
            try:
                await self._stop(workspace_id)
            except ServiceError:
                self._removed.add(workspace_id)
                raise

    async def _stop(self, workspace_id: WorkspaceId) -> None:
        route = (await self._registry.resolve(workspace_id, None)).route
        if route is not None and route.status is not Status.REMOVED:
            return
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            if route is None:
                stopped = await schedules.delete_of_workspace(workspace_id)
            else:
                stopped = await schedules.disable_of_workspace(workspace_id)
        if route is None and self._applied is not None:
            self._applied.pop(workspace_id, None)
        if stopped:
            log.info("schedules stopped", workspace=workspace_id, schedules=stopped, purged=route is None)


def _make_ids() -> Iterator[str]:
    while True:
        yield str(uuid4())
