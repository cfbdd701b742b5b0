"""The data of a workspace: its fields, status, declarations and vitals."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from molecule_a2a.agent_security import NO_SECURITY, AgentSecurity

WorkspaceId = NewType("WorkspaceId", str)

EXTERNAL = "external"
"""The runtime of agents that the plane does not start."""

NO_BACKEND = "none"

IMAGE_BACKENDS = frozenset({"docker"})
"""The backends that run images; the others start an agent by its adapter or its command."""
"""The backend that starts no instances: agents are started outside the plane."""


class Status(StrEnum):
    """The status of a workspace (docs/spec/rest.md, section 7)."""

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
    PROVISION_CANCELLED = "provision_cancelled"
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
    """How an agent receives messages: the plane posts them, or the agent polls."""

    PUSH = "push"
    POLL = "poll"


class DirectoryAccess(StrEnum):
    """How an instance may access the host directory of its workspace."""

    NONE = "none"
    READ_ONLY = "read_only"
    READ_WRITE = "read_write"


class DesiredState(StrEnum):
    """What the provisioner is to do with the instance of a workspace."""

    RUNNING = "running"
    STOPPED = "stopped"
    UNTOUCHED = "untouched"
    FORGOTTEN = "forgotten"


class SignatureState(StrEnum):
    """What the plane knows about the signatures of a card."""

    UNSIGNED = "unsigned"
    UNVERIFIED = "unverified"
    """It has signatures, but none with a key that the plane knows."""
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Declarations:
    """The capabilities that an agent declares, and how long it may send no heartbeat while it works."""

    capabilities: frozenset[str] = frozenset()
    idle_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """The values of the last heartbeat of an agent. Money is in cents of a US dollar."""

    last_seen: datetime | None = None
    error_rate: float = 0.0
    sample_error: str = ""
    current_task: str = ""
    active_tasks: int = 0
    uptime_seconds: int = 0
    monthly_spend: int = 0
    worked_at: datetime | None = None
    """When the agent last reported active tasks, or came online."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A message that a workspace receives at the times of a cron expression, as it was declared."""

    name: str
    cron_expr: str
    prompt: str
    timezone: str = "UTC"
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """Prompts, schedules and plugins that a template or organisation file declares; stored and sent unchanged."""

    initial_prompt: str = ""
    idle_prompt: str = ""
    schedules: tuple[Schedule, ...] = ()
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInterface:
    """An address at which an agent says that it serves A2A, and what it serves there."""

    url: str
    binding: str
    """As the card names it, e.g. `JSONRPC`."""
    version: str
    """Major.Minor of A2A."""
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A position in an organisation that an agent fills. Its card is stored separately, because cards are large."""

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
    """The template it was created from; empty for none."""
    starter_files_digest: str = ""
    """The digest of the files that its instances start with; empty for none."""
    brief: Brief = Brief()

    status_detail: str = ""
    status_event_id: int = 0
    former_status: Status | None = None
    """The status to which a hibernating workspace returns if its instance cannot be stopped."""
    wake_wanted: bool = False
    """Whether a hibernating workspace is to start again as soon as it is hibernated."""
    idle_check_at: datetime | None = None
    """Since when the proxies are asked whether it has work; they give it no messages meanwhile."""

    generation: int = 0
    """How often an instance was requested; 0 for never."""
    provision_deadline: datetime | None = None
    restart_request: str = ""
    """The id of the last restart request, so that a repeated request restarts once."""
    backend: str = ""
    backend_address: str = ""
    instance_reference: str = ""
    restart_count: int = 0
    """How often its instance ended by itself since a caller last requested one."""
    last_exit_at: datetime | None = None
    """When an instance last ended by itself."""
    last_exit_code: int | None = None
    """Its exit code, or the negative number of a signal."""
    last_exit_reference: str = ""
    """The backend's name of that instance."""

    delivery_mode: DeliveryMode = DeliveryMode.PUSH
    url: str = ""
    has_card: bool = False
    interfaces: tuple[AgentInterface, ...] = ()
    """What the card offers."""
    agent_security: AgentSecurity = NO_SECURITY
    """What the card requires of callers."""
    extension_headers: tuple[str, ...] = ()
    """The headers that the extensions of the card name, in lower case."""
    card_signature: SignatureState | None = None
    """What the signatures of the card prove; `None` without a card, and for one that an earlier release stored."""
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
    """When the instance of a removed workspace had stopped."""
    stop_error: str = ""
    purged_at: datetime | None = None
    revision: int = 0

    @property
    def external(self) -> bool:
        """Whether the agent is started outside the plane."""
        return self.runtime == EXTERNAL

    @property
    def is_cancelled(self) -> bool:
        """Whether a caller cancelled its start: it stays stopped until a caller starts it again."""
        return self.status is Status.FAILED and self.status_reason is Reason.PROVISION_CANCELLED

    @property
    def hibernates_when_idle(self) -> bool:
        """Whether its instance is stopped once it has had no work for some time."""
        return bool(self.hibernation_idle_minutes) and not self.external and self.backend != NO_BACKEND

    @property
    def restartable(self) -> bool:
        """Whether a backend is known that starts its instances."""
        return not self.external and self.backend not in {"", NO_BACKEND}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatNotice:
    """The part of a heartbeat that is sent to watchers."""

    workspace_id: WorkspaceId
    active_tasks: int
    current_task: str
    uptime_seconds: int


@dataclass(frozen=True, slots=True)
class BackendEvent:
    """An event of a backend during the starts of a workspace. A negative exit code is the number of a signal."""

    at: datetime
    kind: str
    exit_code: int | None = None
    text: str = ""
    """The event as a sentence for people; empty until it is described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningView:
    """Where the start of a workspace stands, for people."""

    step: str
    reason: str
    text: str
    position: int | None = None
    """0 for a start that is in progress, 1 for the next one that waits; `None` where it does not apply."""
    since: datetime | None = None
    deadline: datetime | None = None
    next_attempt_at: datetime | None = None
    missing: tuple[str, ...] = ()
    events: tuple[BackendEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedWorkspace:
    """A workspace together with its card."""

    workspace: Workspace
    card: bytes | None = None
    card_stored_at: datetime | None = None
    """When the card was stored; only for one that is read by itself."""
    provisioning: ProvisioningView | None = None
    """Where its start stands; only for one that is read by itself while it is provisioning or failed."""
    last_sent_at: datetime | None = None
    """When it last sent a message that was answered or accepted."""
