"""What the registry knows: workspaces, and the facts that change them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)

EXTERNAL = "external"
"""The runtime of agents that the plane does not start."""

NO_BACKEND = "none"
"""The backend that starts nothing: agents bring themselves."""


class Status(StrEnum):
    """How a workspace is."""

    PROVISIONING = "provisioning"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    AWAITING_AGENT = "awaiting_agent"
    PAUSED = "paused"
    HIBERNATING = "hibernating"
    HIBERNATED = "hibernated"
    FAILED = "failed"
    REMOVED = "removed"


class Reason(StrEnum):
    """Why a workspace has its status: the codes of docs/spec/rest.md, section 7."""

    CREATED = "created"
    EXTERNAL_CREATED = "external_created"
    REGISTERED = "registered"
    HEARTBEAT = "heartbeat"
    WEDGED = "wedged"
    ERROR_RATE = "error_rate"
    REGISTER_FAILED = "register_failed"
    RECOVERED = "recovered"
    LIVENESS_TIMEOUT = "liveness_timeout"
    AGENT_STALE = "agent_stale"
    CONTAINER_NOT_RUNNING = "container_not_running"
    UPSTREAM_DEAD = "upstream_dead"
    PROVISION_TIMEOUT = "provision_timeout"
    PROVISION_ERROR = "provision_error"
    RESTART_REQUESTED = "restart_requested"
    AUTO_RESTART = "auto_restart"
    WAKE = "wake"
    HIBERNATE_FAILED = "hibernate_failed"
    DELETED = "deleted"


class DeliveryMode(StrEnum):
    """How messages reach an agent: posted to its address, or fetched by it."""

    PUSH = "push"
    POLL = "poll"


class Access(StrEnum):
    """What an instance may do with the workspace's directory of the host."""

    NONE = "none"
    READ_ONLY = "read_only"
    READ_WRITE = "read_write"


class Desire(StrEnum):
    """What is to become of the instance of a workspace."""

    RUNNING = "running"
    STOPPED = "stopped"
    UNTOUCHED = "untouched"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Declarations:
    """What an agent says it does itself, and how long it may be silent at work."""

    capabilities: frozenset[str] = frozenset()
    idle_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How an agent felt when it was last heard. Money in cents of a US dollar."""

    last_seen: datetime | None = None
    error_rate: float = 0.0
    sample_error: str = ""
    current_task: str = ""
    active_tasks: int = 0
    uptime_seconds: int = 0
    monthly_spend: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A place in the organisation that an agent fills. Its card is kept beside it, because cards are big."""

    id: WorkspaceId
    name: str
    runtime: str
    org_id: WorkspaceId
    status: Status
    status_reason: Reason
    status_since: datetime
    created_at: datetime

    role: str | None = None
    tier: int = 3
    model: str | None = None
    parent_id: WorkspaceId | None = None
    workspace_dir: str | None = None
    workspace_access: Access = Access.NONE
    budget_limit: int | None = None
    max_concurrent_tasks: int = 1
    hibernation_idle_minutes: int | None = None
    x: float = 0.0
    y: float = 0.0
    collapsed: bool = False

    status_detail: str = ""
    status_event_id: int = 0
    former_status: Status | None = None
    """What a hibernating workspace goes back to if its instance cannot be stopped."""

    generation: int = 0
    """How often an instance was asked for; 0 where none ever was."""
    provision_deadline: datetime | None = None
    restart_request: str = ""
    """The id of the last request to restart, so that repeating it asks once."""
    backend: str = ""
    backend_address: str = ""
    instance_reference: str = ""

    delivery_mode: DeliveryMode = DeliveryMode.PUSH
    url: str = ""
    has_card: bool = False
    registered_at: datetime | None = None
    register_failed_at: datetime | None = None
    declarations: Declarations = Declarations()
    vitals: Vitals = Vitals()

    placement_confirmed: bool = False
    removal_wanted_at: datetime | None = None
    purge_wanted: bool = False
    removed_at: datetime | None = None
    stopped_at: datetime | None = None
    """When nothing of a removed workspace was left running."""
    stop_error: str = ""
    purged_at: datetime | None = None
    revision: int = 0

    @property
    def external(self) -> bool:
        """True where the plane does not start the agent."""
        return self.runtime == EXTERNAL

    @property
    def restartable(self) -> bool:
        """True where a backend is known to start its instances."""
        return not self.external and self.backend not in {"", NO_BACKEND}


@dataclass(frozen=True, slots=True)
class Entry:
    """A workspace as the book shows it: with its card."""

    workspace: Workspace
    card: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an agent may be silent, by who starts it."""

    managed: timedelta
    external: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A heartbeat, as it arrived."""

    workspace_id: WorkspaceId
    active_tasks: int
    current_task: str
    uptime_seconds: int


# Facts: what was observed, when, and of which generation (`None`: whoever says so knows of none).


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observed:
    at: datetime
    generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCreated(_Observed):
    """A workspace was made whose agent the plane does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(_Observed):
    """An agent said where it is and what it can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse(_Observed):
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
class Silence(_Observed):
    """An agent was not heard for as long as it may be silent."""

    patience: Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStarted(_Observed):
    """A backend has accepted an instance; the agent inside may still be booting."""

    backend: str
    address: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSkipped(_Observed):
    """This plane starts no instances."""

    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceExited(_Observed):
    """An instance ended by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStopped(_Observed):
    """Nothing runs any more, because nothing was to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFailed(_Observed):
    """An instance could not be stopped."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningFailed(_Observed):
    """An instance cannot be started; `error` is one of the fixed public texts."""

    error: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningTimedOut(_Observed):
    """The time allowed for an agent to come up has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamDead(_Observed):
    """A message found the agent gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRequested(_Observed):
    """A fresh instance is wanted: somebody asks, or (`AUTO_RESTART`) the plane itself does."""

    reason: Reason
    limit: timedelta
    """How long the new instance may take to come up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed(_Observed):
    """The workspace is no more."""


Fact = (
    ExternalCreated
    | Registered
    | Pulse
    | Silence
    | InstanceStarted
    | InstanceSkipped
    | InstanceExited
    | InstanceStopped
    | StopFailed
    | ProvisioningFailed
    | ProvisioningTimedOut
    | UpstreamDead
    | RestartRequested
    | Removed
)
