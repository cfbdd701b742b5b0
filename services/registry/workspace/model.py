"""What the registry knows of workspaces."""

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
    BOOTSTRAP_FAILED = "bootstrap_failed"
    PROVISION_ERROR = "provision_error"
    RESTART_REQUESTED = "restart_requested"
    AUTO_RESTART = "auto_restart"
    WAKE = "wake"
    PAUSE_REQUESTED = "pause_requested"
    RESUME_REQUESTED = "resume_requested"
    HIBERNATE_REQUESTED = "hibernate_requested"
    IDLE = "idle"
    HIBERNATE_FAILED = "hibernate_failed"
    DELETED = "deleted"
    COLLAPSED = "collapsed"


class DeliveryMode(StrEnum):
    """How messages reach an agent: posted to its address, or fetched by it."""

    PUSH = "push"
    POLL = "poll"


class DirectoryAccess(StrEnum):
    """What an instance may do with the workspace's directory of the host."""

    NONE = "none"
    READ_ONLY = "read_only"
    READ_WRITE = "read_write"


class DesiredState(StrEnum):
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
class Schedule:
    """A message that a workspace is to get by the clock, as it was declared."""

    name: str
    cron_expr: str
    prompt: str
    timezone: str = "UTC"
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What an agent is to be told, as its template or its organisation declares it. Kept and passed on as it is."""

    initial_prompt: str = ""
    idle_prompt: str = ""
    schedules: tuple[Schedule, ...] = ()
    plugins: tuple[str, ...] = ()


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
    workspace_access: DirectoryAccess = DirectoryAccess.NONE
    budget_limit: int | None = None
    max_concurrent_tasks: int = 1
    hibernation_idle_minutes: int | None = None
    x: float = 0.0
    y: float = 0.0
    collapsed: bool = False
    template: str = ""
    """The template it was made from; empty where it was made from none."""
    kit: str = ""
    """The name of the files that its instances start with; empty for none."""
    brief: Brief = Brief()

    status_detail: str = ""
    status_event_id: int = 0
    former_status: Status | None = None
    """What a hibernating workspace goes back to if its instance cannot be stopped."""
    wake_wanted: bool = False
    """A hibernating workspace is to start again as soon as it hibernates."""

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
    removal_reason: Reason = Reason.DELETED
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
class ListedWorkspace:
    """A workspace as the book shows it: with its card."""

    workspace: Workspace
    card: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatNotice:
    """A heartbeat, as it arrived."""

    workspace_id: WorkspaceId
    active_tasks: int
    current_task: str
    uptime_seconds: int
