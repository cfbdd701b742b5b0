"""Facts: what was observed, when, and of which generation."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.registry.workspace.model import Declarations, Reason, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessTimeouts:
    """How long an agent may be silent, by who starts it."""

    managed: timedelta
    external: timedelta

    def get_timeout(self, workspace: Workspace) -> timedelta:
        """How long the agent of the workspace may be silent."""
        return self.external if workspace.external else self.managed


@dataclass(frozen=True, slots=True, kw_only=True)
class _BaseFact:
    at: datetime
    generation: int | None = None
    """`None` where whoever says so knows of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCreated(_BaseFact):
    """A workspace was made whose agent the plane does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(_BaseFact):
    """An agent said where it is and what it can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReceived(_BaseFact):
    """An agent is alive, and feels like this. What it does not mention stays as it was."""

    error_rate: float = 0.0
    sample_error: str = ""
    current_task: str = ""
    active_tasks: int = 0
    uptime_seconds: int = 0
    monthly_spend: int = 0
    wedged: bool = False
    declarations: Declarations | None = None
    card: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatMissed(_BaseFact):
    """An agent was not heard for as long as it may be silent."""

    timeouts: LivenessTimeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStarted(_BaseFact):
    """A backend has accepted an instance; the agent inside may still be booting."""

    backend: str
    address: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSkipped(_BaseFact):
    """This plane starts no instances."""

    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceExited(_BaseFact):
    """An instance ended by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStopped(_BaseFact):
    """Nothing runs any more, because nothing was to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFailed(_BaseFact):
    """An instance could not be stopped."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningFailed(_BaseFact):
    """An instance cannot be started; `error` is one of the fixed public texts."""

    error: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningTimedOut(_BaseFact):
    """The time allowed for an agent to come up has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapFailed(_BaseFact):
    """Something that watches an instance boot says that it will not; `log_tail` is the end of what it wrote."""

    error: str
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamDead(_BaseFact):
    """A message found the agent gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRequested(_BaseFact):
    """A fresh instance is wanted: somebody asks, or (`AUTO_RESTART`) the plane itself does."""

    reason: Reason
    limit: timedelta
    """How long the new instance may take to come up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested(_BaseFact):
    """Nothing is to run until somebody resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested(_BaseFact):
    """What was paused is to run again."""

    limit: timedelta
    """How long the new instance may take to come up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HibernateRequested(_BaseFact):
    """The instance is to be stopped until it is needed: somebody asks, or it was idle for as long as it may be."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed(_BaseFact):
    """The workspace is no more."""


Fact = (
    ExternalCreated
    | Registered
    | HeartbeatReceived
    | HeartbeatMissed
    | InstanceStarted
    | InstanceSkipped
    | InstanceExited
    | InstanceStopped
    | StopFailed
    | ProvisioningFailed
    | ProvisioningTimedOut
    | BootstrapFailed
    | UpstreamDead
    | RestartRequested
    | PauseRequested
    | ResumeRequested
    | HibernateRequested
    | Removed
)


def is_outdated(fact: Fact, workspace: Workspace) -> bool:
    """Whether it was observed of another generation than the present one."""
    return fact.generation not in {None, workspace.generation}
