"""Facts: what was observed of a workspace, when, and of which generation."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.registry.workspace.hearing import Hearing
from services.registry.workspace.model import Declarations, Reason, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessTimeouts:
    """How long an agent may send no heartbeat, for managed and for external workspaces."""

    managed: timedelta
    external: timedelta

    def get_timeout(self, workspace: Workspace) -> timedelta:
        """Return how long the agent of a workspace may send no heartbeat."""
        return self.external if workspace.external else self.managed


@dataclass(frozen=True, slots=True, kw_only=True)
class _BaseFact:
    at: datetime
    generation: int | None = None
    """The generation that the fact is about; `None` where the reporter does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCreated(_BaseFact):
    """A workspace was created whose agent the plane does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(_BaseFact):
    """An agent registered its address and its card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReceived(_BaseFact):
    """An agent sent a heartbeat. `None` means that the agent reports nothing on that field."""

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
    """An agent sent no heartbeat for its timeout."""

    timeouts: LivenessTimeouts
    hearing: Hearing
    """When the plane could hear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStarted(_BaseFact):
    """A backend accepted an instance; the agent inside may still be booting."""

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

    reference: str = ""
    """The backend's name of the instance."""
    exit_code: int | None = None
    """Its exit code, or the negative number of a signal; `None` where the backend does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStopped(_BaseFact):
    """The instance was stopped because the desired state is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFailed(_BaseFact):
    """An instance could not be stopped."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningFailed(_BaseFact):
    """An instance could not be started; `error` is one of the fixed public texts."""

    error: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningPossible(_BaseFact):
    """A start that failed may succeed now, because what prevented it is mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningTimedOut(_BaseFact):
    """The agent did not come up before its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningCancelled(_BaseFact):
    """A caller cancelled the start: no instance runs until a caller starts it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapFailed(_BaseFact):
    """A caller declared that the instance will not boot; `log_tail` is the end of its log."""

    error: str
    log_tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamDead(_BaseFact):
    """A message could not be delivered because the agent was not reachable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRequested(_BaseFact):
    """A new instance was requested by a caller, or (`AUTO_RESTART`) by the plane itself."""

    generation: int
    """The generation to be replaced; a request for an older one changes nothing."""
    reason: Reason
    limit: timedelta
    """How long the new instance may take to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested(_BaseFact):
    """A caller paused the workspace: no instance runs until it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested(_BaseFact):
    """A caller resumed a paused workspace."""

    limit: timedelta
    """How long the new instance may take to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HibernateRequested(_BaseFact):
    """The instance is to stop until a message arrives: on request, or after its idle time."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleCheckBegun(_BaseFact):
    """The workspace seems to have been idle for long enough; the proxies are asked whether it has work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleCheckEnded(_BaseFact):
    """The workspace is not hibernated now, because it has work or a proxy did not answer."""

    worked_at: datetime | None = None
    """The work that is not known otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed(_BaseFact):
    """The workspace was removed."""


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
    | ProvisioningPossible
    | ProvisioningTimedOut
    | ProvisioningCancelled
    | BootstrapFailed
    | UpstreamDead
    | RestartRequested
    | PauseRequested
    | ResumeRequested
    | HibernateRequested
    | IdleCheckBegun
    | IdleCheckEnded
    | Removed
)


def is_outdated(fact: Fact, workspace: Workspace) -> bool:
    """Whether the fact is about another generation than the current one."""
    return fact.generation not in {None, workspace.generation}
