"""Runs one step for one workspace: reports a fact, or starts, stops or forgets its instance."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError, Unavailable
from services.provisioner import environment, plan, spec
from services.provisioner.backends.base import Backend
from services.provisioner.clients import AuthClient, RegistryClient
from services.provisioner.errors import (
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
    DesiredInstance,
    DesiredState,
    Environment,
    Fact,
    Instance,
    InstanceExited,
    InstanceStopFailed,
    ProvisioningFailed,
    ProvisioningPossible,
)
from services.provisioner.plan import Step

NO_DELAY = timedelta(0)

CONFIGURATION_ERRORS = (NoBackend, NoAdapter, MissingEnvironment, GlobalSecretUnreadable, WorkspaceSecretUnreadable)
"""Errors that a user or operator can fix, so they are logged without a traceback."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Report:
    """A fact that was reported, and the desired state for which: another state makes the same fact news."""

    state: DesiredState
    fact: Fact


@dataclass(slots=True)
class WorkspaceProgress:
    """What the reconciler remembers of one workspace between steps. Losing it only repeats a report."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the desired state or the instance may have changed."""
    is_active: bool = False
    """Whether a task is working on the workspace."""
    last_report: Report | None = None
    starts: list[datetime] = field(default_factory=list)
    """The times of the latest starts, oldest first."""
    ended_at: datetime | None = None
    """When the end of an instance was last reported."""
    failures: int = 0
    """Consecutive failed steps."""
    refused_starts: int = 0
    """Starts that the backend refused since the last success or request."""
    failed_checks: int = 0
    """Consecutive checks, the start included, that found a fault in the configuration."""
    check_at: datetime | None = None
    """When to check again whether a start that failed may succeed; `None`: at once."""


class StepRunner:
    """Runs steps. A step that raised, or was cancelled, is repeated from the beginning."""

    def __init__(
        self, *, backend: Backend, registry: RegistryClient, auth: AuthClient, clock: Clock, platform_url: str
    ) -> None:
        self._backend = backend
        self._registry = registry
        self._auth = auth
        self._clock = clock
        self._platform_url = platform_url

    def has_work(self, desired: DesiredInstance, instance: Instance | None, *, last_report: Report | None) -> bool:
        """Whether there is a fact to report or a step to take."""
        fact = self._choose_fact(desired, instance)
        if fact is not None and Report(desired.state, fact) != last_report:
            return True
        return self._backend.starts_instances and plan.choose_step(desired, instance) is not Step.NOTHING

    async def run_next(self, desired: DesiredInstance, progress: WorkspaceProgress) -> timedelta | None:
        """Report one fact or take one step; return the delay before the next call, `None` if nothing is left to do."""
        instance = await self._backend.get(desired.workspace_id)
        if await self._report(desired, self._choose_fact(desired, instance), progress):
            return NO_DELAY
        match plan.choose_step(desired, instance) if self._backend.starts_instances else Step.NOTHING:
            case Step.NOTHING:
                return None
            case Step.START:
                return await self._start(desired, instance, progress)
            case Step.STOP:
                return await self._stop(desired, progress)
            case Step.FORGET:
                return await self._forget(desired)
            case Step.CHECK:
                return await self._check(desired, progress)
            case step:
                assert_never(step)

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
            log.info(
                "instance ended", workspace=desired.workspace_id, generation=fact.generation, exit_code=fact.exit_code
            )
        return True

    async def _start(
        self, desired: DesiredInstance, instance: Instance | None, progress: WorkspaceProgress
    ) -> timedelta:
        """Start the instance, or return the delay until it may be started. A permanent error is reported."""
        if instance and plan.is_requested_restart(desired, instance):
            progress.starts.clear()
        if not desired.is_automatic_restart:
            progress.refused_starts = 0
        now = self._clock.now()
        if (earliest := plan.compute_earliest_start(desired, instance, progress.starts, progress.ended_at)) > now:
            return earliest - now
        progress.starts = [*progress.starts, now][-plan.MAX_REMEMBERED_STARTS :]
        try:
            await self._start_with_new_credentials(desired)
        except (Unavailable, TimeoutError):
            raise
        except CONFIGURATION_ERRORS as error:
            log.warning("instance refused", workspace=desired.workspace_id, reason=error.reason, **error.details)
            await self._report_failure(desired, type(error), missing=getattr(error, "missing", ()))
            return _postpone_check(progress, now)
        except Exception as error:
            log.exception("instance not started", workspace=desired.workspace_id, generation=desired.generation)
            await self._report_failure(desired, ImageMissing if isinstance(error, ImageMissing) else StartFailed)
            progress.refused_starts += 1
            delay = plan.FAILED_START_BACKOFF.delay(progress.refused_starts)
            progress.check_at = now + delay
            return delay
        progress.refused_starts, progress.failed_checks, progress.check_at = 0, 0, None
        return NO_DELAY

    async def _check(self, desired: DesiredInstance, progress: WorkspaceProgress) -> timedelta:
        """Report a start that failed as possible if its configuration is complete; return the delay before the next.

        The registry decides whether the workspace gets another instance.
        """
        now = self._clock.now()
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

    async def _start_with_new_credentials(self, desired: DesiredInstance) -> None:
        """Resolve the environment, then issue credentials, then start the instance.

        The environment comes first, so that a start that fails on it leaves the existing tokens valid. The secrets are
        read after the generation was raised, so the instance receives every secret that was set before the restart.
        """
        variables = await self._resolve_environment(desired)
        files = await self._registry.get_starter_files(desired)
        credentials = await self._auth.issue_credentials(desired.workspace_id, desired.generation)
        log.info(
            "Provisioner: injected fresh auth token", workspace=desired.workspace_id, generation=desired.generation
        )
        started = await self._backend.start(spec.build_spec(desired, credentials, environment=variables, files=files))
        log.info(
            "instance started",
            workspace=desired.workspace_id,
            generation=desired.generation,
            reference=started.reference,
        )

    async def _resolve_environment(self, desired: DesiredInstance) -> Environment:
        """Return the variables of the instance; raises the configuration error that prevents a start."""
        spec.require_adapter(desired)
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
