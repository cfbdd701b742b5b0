"""Creates, changes, lists and deletes schedules, and says how they run."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from services.a2a_proxy.errors import (
    ScheduleNameExists,
    ScheduleNotFound,
    TooManySchedules,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.a2a_proxy.model import Status, WorkspaceId
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.schedules import rules
from services.a2a_proxy.schedules.rules import Punctuality, Run, Schedule, ScheduleDraft, ScheduleSource
from services.a2a_proxy.schedules.store import ScheduleStore
from services.a2a_proxy.store import Store
from services.chassis import pages
from services.chassis.clock import Clock
from services.chassis.errors import PermissionDenied, Unavailable
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ScheduleHealth:
    """Whether a schedule runs as often as it should, and the name of its workspace."""

    workspace_name: str
    schedule: Schedule
    status: Punctuality


@dataclass(frozen=True, slots=True)
class HealthPage:
    """Some schedules of a list, and the token of the next page; empty on the last page."""

    schedules: Sequence[ScheduleHealth]
    next_page_token: str = ""


class Schedules:
    """The schedules of all workspaces."""

    def __init__(self, store: Store, route_cache: RouteCache, clock: Clock) -> None:
        self._store = store
        self._route_cache = route_cache
        self._clock = clock

    async def list_schedules(self, workspace_id: WorkspaceId) -> Sequence[Schedule]:
        """Return the schedules of a workspace, the oldest first; none of an unknown one."""
        async with self._store.begin() as tx:
            return await ScheduleStore(tx.connection).list_of_workspace(workspace_id)

    async def create(self, workspace_id: WorkspaceId, request_id: str, draft: ScheduleDraft) -> Schedule:
        """Store a new schedule under the id of the request; a repeated request stores it once.

        Raises `InvalidSchedule`, `ScheduleNameExists`, `TooManySchedules`, `WorkspaceNotFound` or `WorkspaceRemoved`.
        """
        schedule = await asyncio.to_thread(  # a search for the first time can take 0.1 s
            rules.build_schedule,
            draft,
            schedule_id=request_id,
            workspace_id=workspace_id,
            now=self._clock.now(),
            source=ScheduleSource.RUNTIME,
        )
        await self._check_writable(workspace_id)
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            await schedules.lock_workspace(workspace_id)
            known = await schedules.find(request_id)
            if known is not None:
                return _require(known, workspace_id)
            existing = await schedules.list_without_prompts(workspace_id)
            if any(other.name == schedule.name for other in existing):
                raise ScheduleNameExists
            if len(existing) >= rules.MAX_SCHEDULES_PER_WORKSPACE:
                raise TooManySchedules(rules.MAX_SCHEDULES_PER_WORKSPACE)
            await schedules.insert(schedule)
        log.info("schedule created", workspace=workspace_id, schedule=schedule.id)
        return schedule

    async def update(self, workspace_id: WorkspaceId, schedule_id: str, changes: Mapping[str, Any]) -> Schedule:
        """Change fields of a schedule; no changes change nothing.

        Raises `ScheduleNotFound`, `InvalidSchedule`, `ScheduleNameExists`, `WorkspaceNotFound` or `WorkspaceRemoved`.
        """
        await self._check_writable(workspace_id)
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            await schedules.lock_workspace(workspace_id)
            before = _require(await schedules.find(schedule_id, lock=True), workspace_id)
            if not changes:
                return before
            changed = await asyncio.to_thread(rules.apply_changes, before, changes, self._clock.now())
            others = await schedules.list_without_prompts(workspace_id)
            if any(other.name == changed.name for other in others if other.id != schedule_id):
                raise ScheduleNameExists
            await schedules.update(changed)
        return changed

    async def delete(self, workspace_id: WorkspaceId, schedule_id: str) -> None:
        """Delete a schedule; raises `ScheduleNotFound`, `WorkspaceNotFound` or `WorkspaceRemoved`."""
        await self._check_writable(workspace_id)
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            _require(await schedules.find(schedule_id, lock=True), workspace_id)
            await schedules.delete(schedule_id)
        log.info("schedule deleted", workspace=workspace_id, schedule=schedule_id)

    async def get_prompt(self, workspace_id: WorkspaceId, schedule_id: str) -> str:
        """Return the prompt of a schedule; raises `ScheduleNotFound`, `WorkspaceNotFound` or `WorkspaceRemoved`."""
        await self._check_writable(workspace_id)
        async with self._store.begin() as tx:
            return _require(await ScheduleStore(tx.connection).find(schedule_id), workspace_id).prompt

    async def list_runs(self, workspace_id: WorkspaceId, schedule_id: str) -> Sequence[Run]:
        """Return the newest runs of a schedule, the newest first; raises `ScheduleNotFound`."""
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            _require(await schedules.find(schedule_id), workspace_id)
            return await schedules.list_runs(schedule_id, limit=rules.MAX_RUNS_PER_SCHEDULE)

    async def list_health(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[Schedule]:
        """Return the schedules of a workspace without their prompts; none of an unknown one.

        Raises `PermissionDenied` for a workspace that may not write to it.
        """
        asking = WorkspaceId(caller.name) if caller.kind is Kind.WORKSPACE else None
        if not (await self._route_cache.find(workspace_id, asking)).allowed:
            raise PermissionDenied
        async with self._store.begin() as tx:
            return await ScheduleStore(tx.connection).list_without_prompts(workspace_id)

    async def list_all_health(self, caller: Identity, *, size: int, token: str) -> HealthPage:
        """Return the schedules of the workspaces that the caller may see, by the names of workspace and schedule."""
        if not self._route_cache.is_fresh():
            raise Unavailable
        after = tuple(pages.decode_page_token(token, 3)) if token else ("", "", "")
        async with self._store.begin() as tx:
            found = await ScheduleStore(tx.connection).list_without_prompts()
        listed = sorted(self._describe_visible(caller, found), key=_get_position)
        following = [one for one in listed if _get_position(one) > after]
        page = following[:size]
        more = len(following) > size
        return HealthPage(page, pages.encode_page_token(_get_position(page[-1])) if more else "")

    def _describe_visible(self, caller: Identity, schedules: Sequence[Schedule]) -> list[ScheduleHealth]:
        now = self._clock.now()
        visible = []
        for schedule in schedules:
            route = self._route_cache.get(schedule.workspace_id)
            if route is not None and (caller.kind is not Kind.ORG or route.org_id == caller.org_id):
                visible.append(ScheduleHealth(route.name, schedule, rules.judge_punctuality(schedule, now)))
        return visible

    async def _check_writable(self, workspace_id: WorkspaceId) -> None:
        route = (await self._route_cache.find(workspace_id, None)).route
        if route is None:
            raise WorkspaceNotFound
        if route.status is Status.REMOVED:
            raise WorkspaceRemoved


def _require(schedule: Schedule | None, workspace_id: WorkspaceId) -> Schedule:
    """Return the schedule if it is one of the workspace; raises `ScheduleNotFound`."""
    if schedule is None or schedule.workspace_id != workspace_id:
        raise ScheduleNotFound
    return schedule


def _get_position(one: ScheduleHealth) -> tuple[str, str, str]:
    return one.workspace_name, one.schedule.workspace_id, one.schedule.name
