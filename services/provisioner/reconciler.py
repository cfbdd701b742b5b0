"""Reconciles the instances with the desired state: one task for each workspace that needs work, one step at a time."""

import asyncio
import contextlib
from contextlib import aclosing
from datetime import timedelta

import structlog

from services.chassis.errors import ServiceError, Unavailable
from services.provisioner import plan
from services.provisioner.backends.base import Backend
from services.provisioner.circuit_breaker import CircuitBreaker
from services.provisioner.clients import RegistryClient
from services.provisioner.desired_state import DesiredStateCache
from services.provisioner.model import (
    Condition,
    DesiredInstance,
    DesiredState,
    Instance,
    InstanceExited,
    WorkspaceId,
)
from services.provisioner.provisioning_reports import ProvisioningReporter
from services.provisioner.start_gate import StartGate
from services.provisioner.steps import NO_DELAY, STEP_TIMEOUT, StepRunner
from services.provisioner.workspace_progress import WorkspaceProgress

MAX_CONCURRENT_STEPS = 64
"""Steps in progress at the same time. More would only wait for each other inside the backend. Starts have a limit of
their own, the slots of the gate, so that stops and checks never wait for them."""

COMPARE_INTERVAL = timedelta(minutes=1)
"""How often every desired instance is compared with the actual ones, to find changes that no event announced."""

COMPARE_RETRY_DELAY = timedelta(seconds=1)
"""The delay before a comparison that failed is repeated."""

log = structlog.get_logger()


class Reconciler:
    """Reconciles the instances of the plane. `run` is active in one replica at a time, `check` works in every one."""

    def __init__(
        self,
        *,
        backend: Backend,
        desired_state: DesiredStateCache,
        registry: RegistryClient,
        steps: StepRunner,
        gate: StartGate,
        reporter: ProvisioningReporter,
    ) -> None:
        self._backend = backend
        self._desired_state = desired_state
        self._registry = registry
        self._steps = steps
        self._gate = gate
        self._reporter = reporter
        self._breaker = CircuitBreaker(backend)
        self._progress: dict[WorkspaceId, WorkspaceProgress] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._step_slots = asyncio.Semaphore(MAX_CONCURRENT_STEPS)
        self._comparison_due = asyncio.Event()

    async def run(self) -> None:
        """Reconcile until cancelled. Starts from the registry's and the backend's state, without any memory."""
        self._progress.clear()
        self._breaker.reset()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._gate.open(self._schedule)
                tasks.create_task(self._reporter.run(), name="provisioning reports")
                tasks.create_task(self._probe_backend(), name="probe of the backend")
                tasks.create_task(self._follow_desired_state(), name="desired state")
                tasks.create_task(self._follow_exits(), name="exits")
                tasks.create_task(self._compare_regularly(), name="comparison")
        finally:
            self._tasks = None
            self._gate.close()

    async def find_trouble(self) -> str:
        """Return why nothing is reconciled; empty if it is, or if another replica does it."""
        if self._breaker.is_open:
            return "the backend of instances does not answer"
        is_deaf = self._tasks is not None and not self._desired_state.is_fresh()
        return "changes of workspaces are not heard from the registry" if is_deaf else ""

    async def check(self, workspace_id: WorkspaceId, generation: int) -> Condition:
        """Return the condition of an instance. If it ended, that is reported to the registry first.

        If the backend cannot be reached, the condition is UNKNOWN.
        """
        if self._breaker.is_open:
            return Condition.UNKNOWN
        try:
            instance = await self._backend.get(workspace_id)
        except ServiceError as error:
            log.warning("instance not checked", workspace=workspace_id, error=repr(error))
            return Condition.UNKNOWN
        condition = plan.assess_condition(self._desired_state.get(workspace_id), instance, generation)
        if condition is Condition.GONE:
            fact = InstanceExited(
                generation=generation,
                reference=instance.reference if instance else "",
                exit_code=instance.exit_code if instance else None,
            )
            await self._registry.report_fact(workspace_id, fact)
            self._schedule(workspace_id)
        return condition

    # Finding work ────────────────────────────────────────────────────────────

    async def _follow_desired_state(self) -> None:
        async with aclosing(self._desired_state.follow()) as changes:
            async for changed in changes:
                if changed is None:
                    self._comparison_due.set()
                else:
                    self._schedule(changed)

    async def _follow_exits(self) -> None:
        while True:
            try:
                async with aclosing(self._backend.watch_exits()) as exits:
                    async for workspace_id in exits:
                        self._schedule(workspace_id)
            except Unavailable as error:
                log.warning("exits not followed", backend=self._backend.name, error=repr(error))
            await asyncio.sleep(plan.RETRY_BACKOFF.first.total_seconds())
            self._comparison_due.set()

    async def _probe_backend(self) -> None:
        while True:
            await self._breaker.probe()
            self._comparison_due.set()

    async def _compare_regularly(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMPARE_INTERVAL.total_seconds()):
                    await self._comparison_due.wait()
            self._comparison_due.clear()
            await self._desired_state.wait_until_fresh()
            await self._breaker.wait_until_closed()
            try:
                await self._compare()
            except ServiceError as error:
                self._breaker.record_failure(error)
                log.warning("instances not compared", backend=self._backend.name, error=repr(error))
                await asyncio.sleep(COMPARE_RETRY_DELAY.total_seconds())
                self._comparison_due.set()

    async def _compare(self) -> None:
        """Compare every desired instance with the actual ones. Raises if the backend cannot list them."""
        instances = {instance.workspace_id: instance for instance in await self._backend.list()}
        for desired in self._desired_state.list_all():
            if self._has_work(desired, instances.get(desired.workspace_id)):
                self._schedule(desired.workspace_id)

    def _has_work(self, desired: DesiredInstance, instance: Instance | None) -> bool:
        progress = self._progress.get(desired.workspace_id)
        return self._steps.has_work(desired, instance, last_report=progress.last_report if progress else None)

    def _schedule(self, workspace_id: WorkspaceId) -> None:
        """Start a task for the workspace; a task that already runs looks once more, however often this is called."""
        if self._tasks is None:
            return
        progress = self._progress.setdefault(workspace_id, WorkspaceProgress())
        progress.changed.set()
        self._interrupt_unwanted_start(workspace_id, progress)
        if not progress.is_active:
            progress.is_active = True
            self._tasks.create_task(self._reconcile(workspace_id, progress), name=f"workspace {workspace_id}")

    # Working ─────────────────────────────────────────────────────────────────

    async def _reconcile(self, workspace_id: WorkspaceId, progress: WorkspaceProgress) -> None:
        """Run steps until nothing is left to do. A change during a step is handled by the next step."""
        delay: timedelta | None = NO_DELAY
        while delay is not None or progress.changed.is_set():
            if delay:
                await _wait_for_change(progress, delay)
            progress.changed.clear()
            delay = await self._run_step(workspace_id, progress)
        progress.is_active = False
        if self._desired_state.get(workspace_id) is None:
            self._progress.pop(workspace_id, None)

    async def _run_step(self, workspace_id: WorkspaceId, progress: WorkspaceProgress) -> timedelta | None:
        """Run one step; return the delay before the next one, `None` if nothing is left to do.

        No error leaves this method, so a faulty workspace does not affect the others.
        """
        desired: DesiredInstance | None = None
        try:
            if self._breaker.is_open:
                await self._wait_for_backend(workspace_id, progress)
            async with self._step_slots:
                await self._desired_state.wait_until_fresh()
                desired = self._desired_state.get(workspace_id)
                delay = await self._take_step(desired, progress) if desired else None
        except Exception as error:
            if progress.is_start_interrupted:
                log.info("start interrupted", workspace=workspace_id)
                progress.is_start_interrupted = False
                return NO_DELAY
            if isinstance(error, Unavailable | TimeoutError):
                log.warning("step postponed", workspace=workspace_id, error=repr(error))
            else:
                log.exception("step failed", workspace=workspace_id)
            self._breaker.record_failure(error)
            progress.failures += 1
            delay = plan.RETRY_BACKOFF.delay(progress.failures)
            if desired:
                self._steps.note_postponement(desired, progress, error, delay)
            return delay
        self._breaker.record_success()
        progress.failures = 0
        progress.is_start_interrupted = False
        return delay

    async def _take_step(self, desired: DesiredInstance, progress: WorkspaceProgress) -> timedelta | None:
        """Run one step within its time, which a start extends with each event of its backend."""
        async with asyncio.timeout(STEP_TIMEOUT.total_seconds()) as timeout:
            return await self._steps.run_next(desired, progress, timeout)

    async def _wait_for_backend(self, workspace_id: WorkspaceId, progress: WorkspaceProgress) -> None:
        """Wait while the backend is probed, and say so."""
        desired = self._desired_state.get(workspace_id)
        if desired:
            self._steps.note_open_breaker(desired, progress)
        await self._breaker.wait_until_closed()

    def _interrupt_unwanted_start(self, workspace_id: WorkspaceId, progress: WorkspaceProgress) -> None:
        """Cancel a start that runs if its workspace is to be stopped. A start of another generation is finished."""
        desired = self._desired_state.get(workspace_id)
        is_stopped = desired is None or desired.state in {DesiredState.STOPPED, DesiredState.FORGOTTEN}
        timeout = progress.start_timeout
        if timeout is None or timeout.expired() or not is_stopped:
            return
        progress.is_start_interrupted, progress.start_timeout = True, None
        timeout.reschedule(asyncio.get_running_loop().time())


async def _wait_for_change(progress: WorkspaceProgress, timeout: timedelta) -> None:  # noqa: ASYNC109 - a plain delay
    """Wait until the workspace changed, or the timeout is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout.total_seconds()):
            await progress.changed.wait()
