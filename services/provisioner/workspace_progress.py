"""What the reconciler remembers of each workspace between steps, and what it tells people about a start."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from services.chassis.clock import Clock
from services.provisioner import plan
from services.provisioner.model import (
    BackendEvent,
    BackendEventKind,
    DesiredInstance,
    DesiredState,
    Fact,
    ProvisioningReport,
    ProvisioningStep,
)
from services.provisioner.provisioning_reports import ProvisioningReporter


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
    start_timeout: asyncio.Timeout | None = None
    """The timeout of the start that runs; `None` while none does."""
    is_start_interrupted: bool = False
    """Whether the start was cancelled because its workspace is to be stopped."""
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
    events: tuple[BackendEvent, ...] = ()
    """The last events of its backend, oldest first."""
    last_provisioning: ProvisioningReport | None = None
    """Where its start stands, as it was reported last."""


class ProvisioningNotes:
    """Reports where the start of a workspace stands, whenever that changes."""

    def __init__(self, reporter: ProvisioningReporter, clock: Clock) -> None:
        self._reporter = reporter
        self._clock = clock

    def add_event(self, progress: WorkspaceProgress, kind: BackendEventKind, exit_code: int | None = None) -> None:
        """Remember an event; the next report contains it."""
        progress.events = plan.append_event(progress.events, BackendEvent(self._clock.now(), kind, exit_code))

    def enter(
        self,
        desired: DesiredInstance,
        progress: WorkspaceProgress,
        step: ProvisioningStep,
        *,
        reason: str = "",
        missing: tuple[str, ...] = (),
        next_attempt_at: datetime | None = None,
    ) -> None:
        """Report the step of a start, unless the same was reported last."""
        report = ProvisioningReport(
            workspace_id=desired.workspace_id,
            generation=desired.generation,
            step=step,
            reason=reason,
            missing=missing,
            next_attempt_at=next_attempt_at,
            events=progress.events,
        )
        if report != progress.last_provisioning:
            progress.last_provisioning = report
            self._reporter.put(report)

    def enter_queue(self, desired: DesiredInstance, progress: WorkspaceProgress) -> None:
        """Report that a start waits for its turn, if anything else was reported of this generation.

        The registry takes a start of which it knows nothing for a waiting one, so many that wait cost no report.
        """
        last = progress.last_provisioning
        if last is not None and last.generation == desired.generation:
            self.enter(desired, progress, ProvisioningStep.QUEUED)
