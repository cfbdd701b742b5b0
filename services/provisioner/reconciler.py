"""♥ Makes what is wanted so: one task for each workspace with something to do, one step at a time."""

import asyncio
import contextlib
from contextlib import aclosing
from datetime import timedelta

import structlog

from services.chassis.errors import ServiceError, Unavailable
from services.provisioner import plan
from services.provisioner.backends.base import Backend
from services.provisioner.calls import Registry
from services.provisioner.model import Condition, Exited, Instance, Wish, WorkspaceId
from services.provisioner.steps import NOW, Desk, Steps
from services.provisioner.wishes import Wishes

STEP_WITHIN = timedelta(minutes=1)
"""A step that takes longer is given up and begun again: a backend may hang, and wishes change meanwhile."""

HANDS = 64
"""Steps under way at once. More would only wait for each other inside the backend."""

COMPARE_EVERY = timedelta(minutes=1)
"""How often all wishes are held against all instances, whatever was noticed."""

log = structlog.get_logger()


class Reconciler:
    """Holds the instances of the plane. Runs in one replica at a time; `check` works in every one."""

    def __init__(self, *, backend: Backend, wishes: Wishes, registry: Registry, steps: Steps) -> None:
        self._backend = backend
        self._wishes = wishes
        self._registry = registry
        self._steps = steps
        self._desks: dict[WorkspaceId, Desk] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._hands = asyncio.Semaphore(HANDS)
        self._overdue = asyncio.Event()

    async def run(self) -> None:
        """Hold the instances until cancelled. Begins with what the registry and the backend say, and knows no past."""
        self._desks.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._follow_wishes(), name="wishes")
                tasks.create_task(self._follow_exits(), name="exits")
                tasks.create_task(self._compare_now_and_then(), name="comparison")
        finally:
            self._tasks = None

    async def check(self, workspace_id: WorkspaceId, generation: int) -> Condition:
        """Look whether an instance is alive; if it is gone, the registry is told before the answer.

        A backend that cannot be asked is no evidence of death.
        """
        try:
            instance = await self._backend.get(workspace_id)
        except ServiceError as error:
            log.warning("instance not checked", workspace=workspace_id, error=repr(error))
            return Condition.UNKNOWN
        wish = self._wishes.get(workspace_id)
        found = plan.condition(wish, instance, generation)
        if found is Condition.GONE:
            reference = instance.reference if instance else ""
            exit_code = instance.exit_code if instance else None
            await self._registry.report(
                workspace_id, Exited(generation=generation, reference=reference, exit_code=exit_code)
            )
            self._notice(workspace_id)
        return found

    # Noticing ────────────────────────────────────────────────────────────────

    async def _follow_wishes(self) -> None:
        async with aclosing(self._wishes.follow()) as changes:
            async for changed in changes:
                if changed is None:
                    self._overdue.set()
                else:
                    self._notice(changed)

    async def _follow_exits(self) -> None:
        while True:
            try:
                async with aclosing(self._backend.exits()) as exits:
                    async for workspace_id in exits:
                        self._notice(workspace_id)
            except Unavailable as error:
                log.warning("exits not followed", backend=self._backend.name, error=repr(error))
            await asyncio.sleep(plan.FIRST_PAUSE.total_seconds())
            self._overdue.set()

    async def _compare_now_and_then(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMPARE_EVERY.total_seconds()):
                    await self._overdue.wait()
            self._overdue.clear()
            await self._wishes.until_fresh()
            try:
                await self._compare()
            except ServiceError as error:
                log.warning("instances not compared", backend=self._backend.name, error=repr(error))
                await asyncio.sleep(plan.pause_after(3).total_seconds())
                self._overdue.set()

    async def _compare(self) -> None:
        """Hold every wish against every instance. One that cannot be told says nothing about any instance."""
        instances = {instance.workspace_id: instance for instance in await self._backend.list()}
        for wish in self._wishes.all():
            if self._unsettled(wish, instances.get(wish.workspace_id)):
                self._notice(wish.workspace_id)

    def _unsettled(self, wish: Wish, instance: Instance | None) -> bool:
        desk = self._desks.get(wish.workspace_id)
        return self._steps.needed(wish, instance, told=desk.told if desk else None)

    def _notice(self, workspace_id: WorkspaceId) -> None:
        """See to it that somebody looks. Who looks already will look once more, however often this is called."""
        if self._tasks is None:
            return
        desk = self._desks.setdefault(workspace_id, Desk())
        desk.news.set()
        if not desk.at_work:
            desk.at_work = True
            self._tasks.create_task(self._settle(workspace_id, desk), name=f"workspace {workspace_id}")

    # Acting ──────────────────────────────────────────────────────────────────

    async def _settle(self, workspace_id: WorkspaceId, desk: Desk) -> None:
        """Look and step until nothing is left to do. What changes meanwhile is seen at the next look."""
        pause: timedelta | None = NOW
        while pause is not None or desk.news.is_set():
            if pause:
                await _rest(desk, pause)
            desk.news.clear()
            pause = await self._look(workspace_id, desk)
        desk.at_work = False
        if self._wishes.get(workspace_id) is None:
            self._desks.pop(workspace_id, None)

    async def _look(self, workspace_id: WorkspaceId, desk: Desk) -> timedelta | None:
        """Say or do one thing; how long to wait before the next look, or `None` if there is nothing left.

        Nothing that goes wrong with one workspace gets out of here.
        """
        try:
            async with self._hands:
                await self._wishes.until_fresh()
                wish = self._wishes.get(workspace_id)
                async with asyncio.timeout(STEP_WITHIN.total_seconds()):
                    pause = await self._steps.take(wish, desk) if wish else None
        except (Unavailable, TimeoutError) as error:
            log.warning("step put off", workspace=workspace_id, error=repr(error))
        except Exception:
            log.exception("step failed", workspace=workspace_id)
        else:
            desk.failures = 0
            return pause
        desk.failures += 1
        return plan.pause_after(desk.failures)


async def _rest(desk: Desk, pause: timedelta) -> None:
    """Wait, unless there is news."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(pause.total_seconds()):
            await desk.news.wait()
