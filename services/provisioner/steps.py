"""Runs one step for one workspace: reports a fact, or starts, stops or forgets its instance."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError, Unavailable
from services.provisioner import environment, plan, spec
from services.provisioner.backends import progress as backend_progress
from services.provisioner.backends.base import Backend, ImageHost
from services.provisioner.clients import AuthClient, RegistryClient
from services.provisioner.errors import (
    BackendUnavailable,
    GlobalSecretUnreadable,
    ImageMissing,
    MissingEnvironment,
    NoAdapter,
    NoBackend,
    StartFailed,
    StopFailed,
    WorkspaceSecretUnreadable,
)
from services.provisioner.model import (
    BackendEventKind,
    DesiredInstance,
    DesiredState,
    Environment,
    Fact,
    Instance,
    InstanceExited,
    InstanceStopFailed,
    Phase,
    ProvisioningFailed,
    ProvisioningPossible,
    ProvisioningStep,
)
from services.provisioner.plan import Step
from services.provisioner.start_gate import StartGate
from services.provisioner.workspace_progress import ProvisioningNotes, Report, WorkspaceProgress

NO_DELAY = timedelta(0)

STEP_TIMEOUT = timedelta(minutes=1)
"""How long a step may take before it is cancelled and repeated: a backend may hang while the desired state changes.
During a start, each event that the backend reports gives it this time again."""

CONFIGURATION_ERRORS = (NoBackend, NoAdapter, MissingEnvironment, GlobalSecretUnreadable, WorkspaceSecretUnreadable)
"""Errors that a user or operator can fix, so they are logged without a traceback."""

log = structlog.get_logger()


class StepRunner:
    """Runs steps. A step that raised, or was cancelled, is repeated from the beginning."""

    def __init__(
        self,
        *,
        backend: Backend,
        registry: RegistryClient,
        auth: AuthClient,
        gate: StartGate,
        notes: ProvisioningNotes,
        clock: Clock,
        platform_url: str,
        on_running: Callable[[DesiredInstance], None] = lambda _: None,
    ) -> None:
        """`on_running` is called when the instance of the present generation was seen to run, perhaps repeatedly."""
        self._backend = backend
        self._registry = registry
        self._auth = auth
        self._gate = gate
        self._notes = notes
        self._clock = clock
        self._platform_url = platform_url
        self._on_running = on_running

    def has_work(self, desired: DesiredInstance, instance: Instance | None, *, last_report: Report | None) -> bool:
        """Whether there is a fact to report or a step to take."""
        fact = self._choose_fact(desired, instance)
        if fact is not None and Report(desired.state, fact) != last_report:
            return True
        return self._backend.starts_instances and plan.choose_step(desired, instance) is not Step.NOTHING

    async def run_next(
        self,
        desired: DesiredInstance,
        progress: WorkspaceProgress,
        timeout: asyncio.Timeout,  # noqa: ASYNC109 - the caller's, to be extended
    ) -> timedelta | None:
        """Report one fact or take one step; return the delay before the next call, `None` if nothing is left to do.

        `timeout` is that of the caller: a start extends it while its backend reports events.
        """
        instance = await self._backend.get(desired.workspace_id)
        if await self._report(desired, self._choose_fact(desired, instance), progress):
            return NO_DELAY
        step = plan.choose_step(desired, instance) if self._backend.starts_instances else Step.NOTHING
        if not plan.needs_slot(desired, step):
            self._gate.leave(desired.workspace_id)
        match step:
            case Step.NOTHING:
                if instance and instance.phase is Phase.RUNNING and instance.generation == desired.generation:
                    self._on_running(desired)
                return None
            case Step.START:
                return await self._start(desired, instance, progress, timeout)
            case Step.STOP:
                return await self._stop(desired, progress)
            case Step.FORGET:
                return await self._forget(desired)
            case Step.CHECK:
                return await self._check(desired, progress)
            case _:
                assert_never(step)

    def note_postponement(
        self, desired: DesiredInstance, progress: WorkspaceProgress, error: Exception, delay: timedelta
    ) -> None:
        """Report that a step failed and is repeated after a delay, if the workspace is to be started."""
        self._gate.leave(desired.workspace_id)
        if desired.state is not DesiredState.RUNNING or not desired.is_provisioning:
            return
        reason, event = plan.describe_postponement(error)
        if event is not None:
            self._notes.add_event(progress, event)
        self._notes.enter(
            desired,
            progress,
            ProvisioningStep.WAITING_TO_RETRY,
            reason=reason,
            next_attempt_at=self._clock.now() + delay,
        )

    def note_open_breaker(self, desired: DesiredInstance, progress: WorkspaceProgress) -> None:
        """Report that a start waits until the backend answers."""
        if desired.state is DesiredState.RUNNING and desired.is_provisioning:
            step = ProvisioningStep.WAITING_TO_RETRY
            self._notes.enter(desired, progress, step, reason=BackendUnavailable.reason.lower())

    def _choose_fact(self, desired: DesiredInstance, instance: Instance | None) -> Fact | None:
        if self._backend.starts_instances:
            return plan.choose_fact(desired, instance)
        return plan.choose_fact_without_instances(desired)

    async def _report(self, desired: DesiredInstance, fact: Fact | None, progress: WorkspaceProgress) -> bool:
        """Report a fact unless it was the last report; return whether it was reported."""
        if fact is None or progress.last_report == Report(desired.state, fact):
            return False
        await self._registry.report_fact(desired.workspace_id, fact)
        progress.last_report = Report(desired.state, fact)
        if isinstance(fact, InstanceExited):
            progress.ended_at = self._clock.now()
            self._notes.add_event(progress, BackendEventKind.INSTANCE_EXITED, fact.exit_code)
            log.info(
                "instance ended", workspace=desired.workspace_id, generation=fact.generation, exit_code=fact.exit_code
            )
        return True

    async def _start(
        self,
        desired: DesiredInstance,
        instance: Instance | None,
        progress: WorkspaceProgress,
        timeout: asyncio.Timeout,  # noqa: ASYNC109 - the caller's, to be extended
    ) -> timedelta | None:
        """Start the instance, or return the delay until it may be started; `None` if it waits for a slot.

        A permanent error is reported.
        """
        if instance and plan.is_requested_restart(desired, instance):
            progress.starts.clear()
        if not desired.is_automatic_restart:
            progress.refused_starts = 0
        now = self._clock.now()
        progress.starts = plan.limit_to_now(progress.starts, now)
        progress.ended_at = progress.ended_at and min(progress.ended_at, now)
        if (earliest := plan.compute_earliest_start(desired, instance, progress.starts, progress.ended_at)) > now:
            self._gate.leave(desired.workspace_id)
            step = ProvisioningStep.WAITING_TO_RETRY
            self._notes.enter(desired, progress, step, reason="agent_ended", next_attempt_at=earliest)
            return earliest - now
        if not self._gate.enter(desired):
            self._notes.enter_queue(desired, progress)
            return None
        progress.starts = [*progress.starts, now][-plan.MAX_REMEMBERED_STARTS :]
        try:
            await self._start_interruptibly(desired, progress, timeout)
        except (Unavailable, TimeoutError):
            raise
        except CONFIGURATION_ERRORS as error:
            log.warning("instance refused", workspace=desired.workspace_id, reason=error.reason, **error.details)
            await self._report_failure(desired, type(error), missing=getattr(error, "missing", ()))
            delay = _postpone_check(progress, now)
            self._note_failure(desired, progress, error)
            return delay
        except Exception as error:
            log.exception("instance not started", workspace=desired.workspace_id, generation=desired.generation)
            await self._report_failure(desired, ImageMissing if isinstance(error, ImageMissing) else StartFailed)
            progress.refused_starts += 1
            delay = plan.FAILED_START_BACKOFF.delay(progress.refused_starts)
            progress.check_at = now + delay
            self._notes.add_event(progress, BackendEventKind.START_REFUSED)
            self._note_failure(desired, progress, error if isinstance(error, ImageMissing) else StartFailed())
            return delay
        progress.refused_starts, progress.failed_checks, progress.check_at = 0, 0, None
        return NO_DELAY

    async def _start_interruptibly(
        self,
        desired: DesiredInstance,
        progress: WorkspaceProgress,
        timeout: asyncio.Timeout,  # noqa: ASYNC109 - the caller's, to be extended
    ) -> None:
        """Start the instance; meanwhile the reconciler may end the timeout at once."""
        progress.start_timeout = timeout
        try:
            await self._start_with_new_credentials(desired, progress)
        finally:
            progress.start_timeout = None

    async def _check(self, desired: DesiredInstance, progress: WorkspaceProgress) -> timedelta:
        """Report a start that failed as possible if its configuration is complete; return the delay before the next.

        The registry decides whether the workspace gets another instance.
        """
        now = self._clock.now()
        if progress.check_at is not None:
            progress.check_at = min(progress.check_at, now + plan.FAILED_START_BACKOFF.maximum)
        if progress.check_at is not None and progress.check_at > now:
            return progress.check_at - now
        try:
            await self._resolve_environment(desired)
            await self._auth.read_inbound_secret(desired.workspace_id)
        except (*CONFIGURATION_ERRORS, StartFailed) as error:
            log.debug("start still impossible", workspace=desired.workspace_id, reason=error.reason)
        else:
            log.info("start possible again", workspace=desired.workspace_id, generation=desired.generation)
            await self._registry.report_fact(desired.workspace_id, ProvisioningPossible(desired.generation))
        return _postpone_check(progress, now)

    async def _start_with_new_credentials(self, desired: DesiredInstance, progress: WorkspaceProgress) -> None:
        """Resolve the environment, then issue credentials, then start the instance.

        The environment comes first, so that a start that fails on it leaves the existing tokens valid. The secrets are
        read after the generation was raised, so the instance receives every secret that was set before the restart.
        """
        self._notes.enter(desired, progress, ProvisioningStep.RESOLVING)
        variables = await self._resolve_environment(desired)
        files = await self._registry.get_starter_files(desired)
        credentials = await self._auth.issue_credentials(desired.workspace_id, desired.generation)
        log.info(
            "Provisioner: injected fresh auth token", workspace=desired.workspace_id, generation=desired.generation
        )
        self._note_backend_event(desired, progress, BackendEventKind.START_BEGUN)
        with backend_progress.listening(lambda kind: self._note_backend_event(desired, progress, kind)):
            started = await self._backend.start(
                spec.build_spec(desired, credentials, environment=variables, files=files)
            )
        self._notes.add_event(progress, BackendEventKind.INSTANCE_STARTED)
        self._notes.enter(desired, progress, ProvisioningStep.WAITING_FOR_REGISTER)
        log.info(
            "instance started",
            workspace=desired.workspace_id,
            generation=desired.generation,
            reference=started.reference,
        )

    def _note_backend_event(
        self, desired: DesiredInstance, progress: WorkspaceProgress, kind: BackendEventKind | None
    ) -> None:
        """Report an event of a start that runs, if there is one; the start may take its whole time again."""
        if progress.start_timeout is not None and not progress.start_timeout.expired():
            progress.start_timeout.reschedule(asyncio.get_running_loop().time() + STEP_TIMEOUT.total_seconds())
        if kind is not None:
            self._notes.add_event(progress, kind)
            self._notes.enter(desired, progress, plan.choose_provisioning_step(kind))

    def _note_failure(self, desired: DesiredInstance, progress: WorkspaceProgress, error: ServiceError) -> None:
        """Report why the start failed, and when it is tried or checked again."""
        self._gate.leave(desired.workspace_id)
        self._notes.enter(
            desired,
            progress,
            ProvisioningStep.FAILED,
            reason=error.reason.lower(),
            missing=getattr(error, "missing", ()),
            next_attempt_at=progress.check_at,
        )

    async def _resolve_environment(self, desired: DesiredInstance) -> Environment:
        """Return the variables of the instance; raises the configuration error that prevents a start."""
        spec.require_adapter(desired, uses_images=isinstance(self._backend, ImageHost))
        runtime = await self._registry.get_runtime(desired.runtime)
        secrets = await self._auth.read_secrets(desired.workspace_id)
        return environment.resolve_environment(desired, runtime, secrets, platform_url=self._platform_url)

    async def _report_failure(
        self, desired: DesiredInstance, error: type[ServiceError], *, missing: tuple[str, ...] = ()
    ) -> None:
        """Report that the instance cannot be started, with the fixed text of the public contract."""
        failure = ProvisioningFailed(desired.generation, error.message, missing)
        await self._registry.report_fact(desired.workspace_id, failure)

    async def _stop(self, desired: DesiredInstance, progress: WorkspaceProgress) -> timedelta:
        """Stop the instance. Each failure is reported, because a caller may wait for the stop, and then retried."""
        try:
            await self._backend.stop(desired.workspace_id)
        except Exception:
            fact = InstanceStopFailed(desired.generation, StopFailed.message)
            progress.last_report = Report(desired.state, fact)
            await self._registry.report_fact(desired.workspace_id, fact)
            raise
        log.info("instance stopped", workspace=desired.workspace_id, generation=desired.generation)
        return NO_DELAY

    async def _forget(self, desired: DesiredInstance) -> timedelta:
        await self._backend.forget(desired.workspace_id)
        log.info("instance forgotten", workspace=desired.workspace_id)
        return NO_DELAY


def _postpone_check(progress: WorkspaceProgress, started_at: datetime) -> timedelta:
    """Return the delay until the next check, counted from the beginning of this one."""
    progress.failed_checks += 1
    delay = plan.CHECK_BACKOFF.delay(progress.failed_checks)
    progress.check_at = started_at + delay
    return delay
